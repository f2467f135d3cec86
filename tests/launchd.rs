//! Property lists of launchd's: the real ones in tests/data/moving/plists, each with its job, its next runs and its notes, in
//! one file to be read through: tests/data/moving/plists.golden.txt.
//!
//! `PUNCTUAL_BLESS=1 cargo test --test launchd` writes it anew.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use punctual::{Import, NoteKind, PropertyList};

const FOLDER: &str = "tests/data/moving/plists";
const GOLDEN: &str = "tests/data/moving/plists.golden.txt";

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Import {
    PropertyList::new(&fs::read(path).unwrap()).named(path.strip_prefix(FOLDER).unwrap()).read()
}

fn list(keys: &str) -> Import {
    let text = format!("<plist version=\"1.0\"><dict>{keys}</dict></plist>");
    PropertyList::new(text.as_bytes()).read()
}

const WHAT: &str = "<key>Label</key><string>a</string><key>Program</key><string>/bin/true</string>";

fn shown(import: &Import) -> String {
    let from: DateTime<Utc> = "2026-02-27T09:00:00Z".parse().unwrap();
    let mut text = String::new();
    for job in &import.jobs {
        writeln!(text, "  {}: {}", job.name, job.schedule).unwrap();
        for at in job.schedule.upcoming(from).take(3) {
            writeln!(text, "    {}", at.format("%a %F %T")).unwrap();
        }
        writeln!(text, "    $ {}", job.command).unwrap();
        if let Some(spacing) = job.spacing {
            writeln!(text, "    at least {spacing:?} between two starts").unwrap();
        }
        if let Some(keep_up) = &job.keep_up {
            writeln!(text, "    kept up: after failure {:?}, paths {:?}", keep_up.after_failure, keep_up.paths).unwrap();
        }
        for cause in &job.starts_on {
            writeln!(text, "    starts on {cause:?}").unwrap();
        }
        if job.disabled {
            writeln!(text, "    disabled").unwrap();
        }
    }
    for note in &import.notes {
        writeln!(text, "  {note}").unwrap();
    }
    text
}

#[test]
fn real_lists_are_read_as_the_golden_file_has_them() {
    let text: String =
        files().iter().map(|path| format!("{}\n{}\n", path.file_name().unwrap().display(), shown(&read(path)))).collect();
    if std::env::var_os("PUNCTUAL_BLESS").is_some() {
        fs::write(GOLDEN, &text).unwrap();
    }
    let golden = fs::read_to_string(GOLDEN).unwrap();
    let differ = golden.lines().zip(text.lines()).find(|(golden, read)| golden != read);
    assert!(golden == text, "{GOLDEN} differs, first in (there, read now): {differ:?}");
}

#[test]
fn a_binary_list_is_the_same_as_its_xml() {
    let mut binary = 0;
    for path in files().iter().filter(|path| path.to_string_lossy().ends_with(".bin.plist")) {
        let xml = PathBuf::from(path.to_string_lossy().replace(".bin.plist", ".plist"));
        let same = |import: Import| shown(&import).replace(".bin.plist", ".plist");
        assert_eq!(same(read(path)), same(read(&xml)), "{}", path.display());
        binary += 1;
    }
    assert!(binary >= 5, "{binary}");
}

#[test]
fn what_starts_a_job() {
    let rows = [
        ("<key>StartInterval</key><integer>300</integer>", "every 5 minutes"),
        ("<key>StartInterval</key><integer>90</integer><key>RunAtLoad</key><true/>", "every 90 seconds immediately"),
        ("<key>RunAtLoad</key><true/>", "at reboot"),
        ("<key>StartCalendarInterval</key><dict/>", "vixie cron * * * * *"),
        ("<key>StartCalendarInterval</key><dict><key>Hour</key><integer>3</integer></dict>", "vixie cron * 3 * * *"),
        (
            "<key>StartCalendarInterval</key><dict><key>Day</key><integer>13</integer><key>Weekday</key><integer>5</integer></dict>",
            "vixie cron * * 13 * 5",
        ),
        (
            "<key>StartCalendarInterval</key><array><dict><key>Minute</key><integer>0</integer></dict><dict><key>Minute</key><integer>30</integer></dict></array>",
            "(vixie cron 0 * * * *) or (vixie cron 30 * * * *)",
        ),
        ("<key>KeepAlive</key><true/>", "every second after completion immediately"),
        ("<key>OnDemand</key><false/>", "every second after completion immediately"),
    ];
    for (keys, expected) in rows {
        let import = list(&format!("{WHAT}{keys}"));
        let found: Vec<String> = import.jobs.iter().map(|job| job.schedule.to_string()).collect();
        assert_eq!(found, [expected], "{keys}: {:?}", import.notes);
        assert_eq!(import.notes, [], "{keys}");
    }
}

#[test]
fn what_cannot_be_taken_is_refused_with_what_would_be() {
    let rows = [
        ("<key>Label</key><string>a</string>", "Program and ProgramArguments are missing; one of them says what is run"),
        ("<key>Program</key><string>/bin/true</string>", "Label is missing; it names the job"),
        ("<key>Label</key><string>a</string><key>Program</key><integer>1</integer>", "Program is 1, where a string would go"),
        (
            &format!("{WHAT}<key>StartInterval</key><integer>0</integer>"),
            "StartInterval is 0, where an integer from 1 to 2147483647 would go",
        ),
        (
            &format!("{WHAT}<key>StartCalendarInterval</key><dict><key>Hour</key><integer>24</integer></dict>"),
            "StartCalendarInterval: Hour is 24, where an integer from 0 to 23 would go",
        ),
        (
            &format!("{WHAT}<key>StartCalendarInterval</key><dict><key>Year</key><integer>2026</integer></dict>"),
            "StartCalendarInterval has \"Year\"; it takes Minute, Hour, Day, Weekday and Month",
        ),
        (
            WHAT,
            "nothing starts it; a job needs StartInterval, StartCalendarInterval, RunAtLoad, KeepAlive, WatchPaths or QueueDirectories",
        ),
        (
            &format!("{WHAT}<key>KeepAlive</key><string>yes</string>"),
            "KeepAlive is \"yes\", where true, false or a dictionary would go",
        ),
        (
            &format!(
                "{WHAT}<key>RunAtLoad</key><true/><key>EnvironmentVariables</key><dict><key>A=B</key><string>c</string></dict>"
            ),
            "EnvironmentVariables has a variable named \"A=B\"; a name has no `=` in it",
        ),
    ];
    for (keys, expected) in rows {
        let import = list(keys);
        let said: Vec<(NoteKind, &str)> = import.notes.iter().map(|note| (note.kind, note.text.as_str())).collect();
        assert_eq!((import.jobs.len(), &said[..]), (0, &[(NoteKind::Refused, expected)][..]), "{keys}");
    }
    for bytes in [&b""[..], b"bplist00", b"<plist><array/></plist>", b"\xff\xfe\x00", b"<plist><dict><key>a</key></dict></plist>"]
    {
        let import = PropertyList::new(bytes).read();
        assert_eq!((import.jobs.len(), import.notes.len(), import.notes[0].kind), (0, 1, NoteKind::Refused), "{bytes:?}");
    }
}
