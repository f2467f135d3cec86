//! The crontab runner, from end to end: what it prints, how it ends, what it takes over from changed files and from a store.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Cargo builds the examples along with the tests, into the folder beside theirs.
fn runner() -> Command {
    let test = std::env::current_exe().expect("the test knows where it is");
    let target = test.ancestors().nth(2).expect("target/debug/deps/test");
    Command::new(target.join("examples").join(format!("crontab{}", std::env::consts::EXE_SUFFIX)))
}

/// Where the files are that are read without being run.
fn shown() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crontab_runner")
}

fn output(arguments: &[&str]) -> (ExitStatus, String, String) {
    let output = runner().args(arguments).current_dir(shown()).output().expect("the example is built with the tests");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

/// `PUNCTUAL_BLESS=1` writes them anew.
#[test]
fn what_is_shown_is_as_in_the_golden_files() {
    let files = ["home.crontab", "cron.d/site", "report.timer", "mirror.plist"];
    let common = ["--zone", "Europe/Berlin", "--from", "2026-03-28T09:00:00Z"];
    // The night in which Berlin's clocks go from 2 to 3.
    let rows: [(&str, &[&str]); 3] = [
        ("list.golden.txt", &["--list"]),
        ("dry_run.golden.txt", &["--dry-run", "48h"]),
        ("dry_run_minute.golden.txt", &["--dry-run", "60s"]),
    ];
    for (golden, asked) in rows {
        let (status, out, err) = output(&[asked, &common[..], &files[..]].concat());
        assert_eq!(status.code(), Some(3), "{golden}: two lines are refused\n{err}");
        let path = shown().join(golden);
        if std::env::var_os("PUNCTUAL_BLESS").is_some() {
            std::fs::write(&path, &out).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(out, expected, "{golden}");
    }
}

#[test]
fn exit_codes_are_as_the_help_says() {
    let rows: [(&[&str], i32, &str); 13] = [
        (&["--help"], 0, ""),
        (&["--list", "cron.d/site"], 0, ""),
        (&["--check", "cron.d/site", "report.timer"], 0, ""),
        (&["--dry-run", "7d", "cron.d/site"], 0, ""),
        (&["no-such.crontab"], 1, "no-such.crontab cannot be read"),
        (&["--check", "home.crontab", "no-such.crontab"], 1, "no-such.crontab cannot be read"),
        (&["--list", "empty.crontab"], 1, "there is nothing to run"),
        (&["empty.crontab"], 1, "there is nothing to run"),
        (&["--store", "no/such/folder/jobs.db", "cron.d/site"], 1, "check --store"),
        (&[], 2, "<FILE>"),
        (&["--dry-run", "soon", "cron.d/site"], 2, "write 90s, 30m, 24h or 7d"),
        (&["--from", "2026-03-28T09:00:00Z", "cron.d/site"], 2, "--list"),
        (&["--check", "home.crontab"], 3, ""),
    ];
    for (arguments, code, said) in rows {
        let (status, out, err) = output(arguments);
        assert_eq!(status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}

#[cfg(unix)]
#[path = "crontab_runner/lives.rs"]
mod lives;
