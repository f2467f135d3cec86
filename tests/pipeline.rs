//! The pipeline, from end to end: what it makes and leaves alone, in which order, and what is left of it when it is killed.
//!
//! `PUNCTUAL_CASES` says how many weeks of kills, `PUNCTUAL_SEED` with which to begin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;

/// The dates that the recording has.
const WEEK: [&str; 7] = ["2018-01-31", "2018-02-01", "2018-02-02", "2018-02-03", "2018-02-04", "2018-02-05", "2018-02-06"];
const THE_WEEK: [&str; 3] = ["--backfill", "2018-01-31..2018-02-07", "--once"];

/// Cargo builds the examples along with the tests, into the folder beside theirs.
fn pipeline(folder: &Path, arguments: &[&str]) -> Command {
    let test = std::env::current_exe().expect("the test knows where it is");
    let target = test.ancestors().nth(2).expect("target/debug/deps/test");
    let mut command = Command::new(target.join("examples").join(format!("pipeline{}", std::env::consts::EXE_SUFFIX)));
    command.arg(folder).args(arguments).stdout(Stdio::piped());
    if !arguments.contains(&"--at") {
        command.args(["--at", &half_a_day_after(Utc::now())]);
    }
    command
}

/// So that nothing comes due by itself while a test goes on.
fn half_a_day_after(now: DateTime<Utc>) -> String {
    (now + TimeDelta::hours(12)).format("%H:%M").to_string()
}

/// Its exit code, and the lines that it said.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = pipeline(folder, arguments).output().expect("the example is built with the tests");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).lines().map(squeezed).collect())
}

/// Without what lines it up.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder of the test's own")
}

/// What it says if each of these dates is made, one after the other, `came` of each step.
fn said<'a>(dates: impl IntoIterator<Item = &'a &'a str>, came: &str) -> Vec<String> {
    let steps = |date| ["extract", "locate", "report"].map(|step| format!("{date} {step} {came}"));
    dates.into_iter().flat_map(steps).collect()
}

/// The files by name, each with its content and when it was written.
fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file());
    let file = |path: PathBuf| (std::fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), file(entry.path()))).collect()
}

/// What an undisturbed run makes.
fn undisturbed() -> BTreeMap<String, Vec<u8>> {
    let folder = folder();
    assert_eq!(run(folder.path(), &THE_WEEK).0, Some(0));
    contents(folder.path())
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    files(folder).into_iter().map(|(name, (content, _))| (name, content)).collect()
}

const REPORT: &str = include_str!("pipeline/2018-02-01-report.md");

#[test]
fn a_week_is_made_and_then_left_alone() {
    let folder = folder();
    // What a program that was killed would have left.
    std::fs::write(folder.path().join(".part-7fa1"), "time,magn").unwrap();
    let (code, lines) = run(folder.path(), &THE_WEEK);
    let mut expected = said(&WEEK, "done");
    expected.push("7 dates: 7 made, 0 were there, 0 failed".to_owned());
    assert_eq!((code, lines), (Some(0), expected));

    let made = files(folder.path());
    let names = |date| ["extracted.csv", "located.csv", "report.md"].map(|name| format!("{date}-{name}"));
    assert_eq!(made.keys().cloned().collect::<Vec<_>>(), WEEK.iter().flat_map(names).collect::<Vec<_>>());
    assert_eq!(String::from_utf8_lossy(&made["2018-02-01-report.md"].0), REPORT);
    let rows = |date| String::from_utf8_lossy(&made[&format!("{date}-located.csv")].0).lines().count() - 1;
    assert_eq!(WEEK.map(rows), [198, 231, 242, 259, 301, 249, 213]);

    let (code, lines) = run(folder.path(), &THE_WEEK);
    let mut expected = said(&WEEK, "was there");
    expected.push("7 dates: 0 made, 7 were there, 0 failed".to_owned());
    assert_eq!((code, lines), (Some(0), expected));
    assert_eq!(files(folder.path()), made);
}

#[test]
fn a_file_that_is_gone_from_the_middle_is_made_alone() {
    let folder = folder();
    run(folder.path(), &THE_WEEK);
    let before = files(folder.path());
    let gone = "2018-02-03-located.csv";
    std::fs::remove_file(folder.path().join(gone)).unwrap();
    let (code, lines) = run(folder.path(), &THE_WEEK);
    let mut expected = said(&WEEK, "was there");
    expected[10] = "2018-02-03 locate done".to_owned();
    expected.push("7 dates: 1 made, 6 were there, 0 failed".to_owned());
    assert_eq!((code, lines), (Some(0), expected));
    let after = files(folder.path());
    assert_eq!(after[gone].0, before[gone].0);
    let others =
        |files: &BTreeMap<String, (Vec<u8>, SystemTime)>| files.clone().into_iter().filter(|(name, _)| name != gone).collect();
    let (others_before, others_after): (Vec<_>, Vec<_>) = (others(&before), others(&after));
    assert_eq!(others_before, others_after);
}

#[test]
fn the_newest_is_made_first_if_asked_for() {
    let folder = folder();
    let (code, lines) = run(folder.path(), &[&THE_WEEK[..], &["--newest-first"]].concat());
    let mut expected = said(WEEK.iter().rev(), "done");
    expected.push("7 dates: 7 made, 0 were there, 0 failed".to_owned());
    assert_eq!((code, lines), (Some(0), expected));
    assert_eq!(contents(folder.path()), undisturbed());
}

#[test]
fn a_date_that_cannot_be_made_stops_no_other() {
    let folder = folder();
    let (code, lines) = run(folder.path(), &["--backfill", "2018-01-30..2018-02-01", "--once"]);
    let failed = "2018-01-30 extract failed: the recording has the days from 2018-01-31 to 2018-02-06, and no other";
    let mut expected = said(&WEEK[..1], "done");
    expected.insert(0, failed.to_owned());
    expected.push("2 dates: 1 made, 0 were there, 1 failed".to_owned());
    assert_eq!((code, lines), (Some(1), expected));
    assert!(files(folder.path()).keys().all(|name| name.starts_with("2018-01-31")));
    // Half a day is not made either.
    assert_eq!(run(folder.path(), &["--backfill", "2018-02-07..2018-02-08", "--once"]).0, Some(1));
}

/// As the lines have it: a date is under way from the end of its first step to that of its last.
#[test]
fn no_more_dates_are_under_way_than_asked_for() {
    let expected = undisturbed();
    for at_most in 1..=4 {
        let folder = folder();
        let (code, lines) = run(folder.path(), &[&THE_WEEK[..], &["--at-most", &at_most.to_string()]].concat());
        let (mut under_way, mut most) = (BTreeSet::new(), 0);
        for line in &lines {
            match line.split(' ').collect::<Vec<_>>()[..] {
                [date, "extract", "done"] => assert!(under_way.insert(date), "{lines:#?}"),
                [date, "report", "done"] => assert!(under_way.remove(date), "{lines:#?}"),
                [date, "locate", "done"] => assert!(under_way.contains(date), "{lines:#?}"),
                _ => assert_eq!(line, "7 dates: 7 made, 0 were there, 0 failed"),
            }
            most = most.max(under_way.len());
        }
        assert!(code == Some(0) && most <= at_most, "{most} under way at once, of {at_most}: {lines:#?}");
        assert_eq!(contents(folder.path()), expected);
        println!("of {at_most}, {most} were seen under way at once");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let folder = folder();
    let here = folder.path().join("a file");
    std::fs::write(&here, "").unwrap();
    let inside = here.join("inside.db");
    let rows: [(&[&str], i32, &str); 8] = [
        (&["--backfill", "2018-01-31", "--once"], 2, "write 2018-01-31..2018-02-07"),
        (&["--backfill", "2018-02-01..2018-02-01"], 2, "the second comes after the first"),
        (&["--once"], 2, "--backfill <FROM..TO>"),
        (&["--newest-first"], 2, "--backfill <FROM..TO>"),
        (&["--backfill", "2018-01-31..2018-02-07", "--at-most", "0"], 2, "0 is not in 1..=64"),
        (&["--at", "25:00"], 1, "at(\"25:00\"): not a place in a day; write \"HH:MM\""),
        (&["--store", inside.to_str().unwrap()], 1, "check --store"),
        (&[], 1, "a file cannot be used"),
    ];
    for (arguments, code, said) in rows {
        let folder = if arguments.is_empty() { here.as_path() } else { folder.path() };
        let output = pipeline(folder, arguments).stderr(Stdio::piped()).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && err.contains(said), "{arguments:?}: {:?} {err}", output.status);
    }
}

#[cfg(unix)]
#[path = "pipeline/lives.rs"]
mod lives;
