//! The ingestion runner, from end to end: a recorded week over a bad line, switched off twice, its clock set once; and another
//! one, killed again and again.
//!
//! `PUNCTUAL_CASES` says how many weeks of kills, `PUNCTUAL_SEED` with which to begin: it gives the same plan, never the same
//! moments.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use chrono::TimeDelta;

#[path = "../examples/ingestion_runner/feed.rs"]
mod feed;
#[path = "../examples/ingestion_runner/join.rs"]
#[allow(dead_code, reason = "the judge only asks which airports are near")]
mod join;
#[path = "runner/judge.rs"]
mod judge;
#[cfg(unix)]
#[path = "runner/kills.rs"]
mod kills;
#[cfg(unix)]
#[path = "runner/machine.rs"]
mod machine;

use feed::FeedError;

/// Cargo builds the examples along with the tests, into the folder beside theirs.
fn runner() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows where it is");
    let target = test.ancestors().nth(2).expect("target/debug/deps/test");
    target.join("examples").join(format!("ingestion_runner{}", std::env::consts::EXE_SUFFIX))
}

fn spawn(arguments: &[&str]) -> Child {
    Command::new(runner())
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example is built with the tests")
}

fn output(arguments: &[&str]) -> (ExitStatus, String, String) {
    let output = spawn(arguments).wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

/// A file of the test's own, gone at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Scratch(std::env::temp_dir().join(format!("punctual-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-mark"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.path()));
        }
    }
}

#[test]
fn the_recorded_week_comes_in_whole() {
    let db = Scratch::new("week.db");
    let run = |from: &str, time: &str, more: &[&str]| {
        let step = "+2h@2018-02-01T12:00:00Z";
        let common = ["--db", db.path(), "--from", from, "--for", time, "--faults", "20%", "--speed", "40000"];
        let common = [&common[..], &["--set-clock", step, "--durability", "process"]].concat();
        let (status, out, err) = output(&[&common, more].concat());
        assert!(status.success(), "{out}\n{err}");
        out
    };
    let first = run("2018-01-31T01:00:00Z", "2d", &["--seed", "1"]);
    assert!(first.contains("the wall clock was set ahead by 7"), "{first}");
    // Off for three hours, then for thirty.
    let second = run("2018-02-02T04:00:00Z", "2d", &["--seed", "2"]);
    assert!(second.contains("nothing was fetched for "), "{second}");
    let third = run("2018-02-05T10:00:00Z", "3d", &["--seed", "3"]);
    assert!(third.contains("the week's feed covers it"), "{third}");
    assert!(third.contains("further attempts were made"), "{third}");
    assert!(third.contains("Ran ingest "), "{third}");

    judge::holds_the_week(&db.0);
    let accounts = judge::accounts(&db.0, &[TimeDelta::hours(2)]);
    assert!(accounts.occurrences > 2000 && accounts.again > 0, "{accounts:?}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_tidily() {
    for signal in ["INT", "TERM"] {
        let mut child = spawn(&["--speed", "100"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next().expect("its first run").unwrap();
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert!(child.wait().unwrap().success(), "{signal}");
        assert!(rest.iter().any(|line| line.starts_with("Ran ingest ")), "{signal}: {rest:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_is_heeded_in_the_middle_of_a_fetch() {
    // A server that takes the request and never answers.
    let server = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let feed = format!("http://{}/all_hour.geojson", server.local_addr().unwrap());
    let child = spawn(&["--quakes", &feed]);
    let (asked, _) = server.accept().unwrap();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("ingest had not ended"), "{said}");
    drop(asked);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let rows: [(&[&str], &str); 5] = [
        (&["--every", "5 fortnights"], "`fortnights` at column 9"),
        (&["--quakes", "no-such-file.geojson"], "check --quakes"),
        (&["--db", "/no/such/folder/quakes.db", "--once"], "check --db"),
        (&["--faults", "200%"], "write 0% to 100%"),
        (&["--for", "soon"], "write 90s, 30m, 1h or 7d"),
    ];
    for (arguments, said) in rows {
        let (status, _, err) = output(arguments);
        assert!(!status.success(), "{arguments:?}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}

#[test]
fn one_bad_record_does_not_lose_the_others() {
    let good = r#"{"id":"a","properties":{"time":1,"updated":2,"mag":null,"place":"here"},"geometry":{"coordinates":[1,2,3]}}"#;
    let bad = [
        (r#"{"properties":{}}"#, "its id is no text"),
        (&good.replace("\"here\"", "null"), "it has no place"),
        (&good.replace("\"updated\":2", "\"updated\":\"x\""), "its time of change is no number"),
        (&good.replace("\"mag\":null", "\"mag\":\"big\""), "its magnitude is no number"),
        (&good.replace("[1,2,3]", "null"), "it has no longitude"),
    ];
    for (record, what) in bad {
        let (quakes, errors) = feed::read(&format!(r#"{{"features":[{record},{good}]}}"#)).unwrap();
        assert_eq!(quakes.len(), 1, "{record}");
        assert_eq!(errors.iter().map(|error| error.what).collect::<Vec<_>>(), [what], "{record}");
    }
    assert_eq!(feed::read("<html>"), Err(FeedError::Html));
    assert!(matches!(feed::read(r#"{"features":[{"#), Err(FeedError::Json(_))));
    assert_eq!(feed::read("{}"), Err(FeedError::NoFeatures));
}
