//! Crontabs as packages ship them: all are read, and what becomes of them is in one file to be read through,
//! tests/data/crontabs.golden.txt.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use punctual::{Crontab, NoteKind};

use crate::{command, data};

#[test]
fn the_golden_file_holds_every_job_and_note() {
    let zone = Tz::Europe__Berlin;
    let from: DateTime<Utc> = "2026-03-28T12:00:00Z".parse().unwrap();
    let folder = std::fs::read_dir(data("moving/crontabs")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut text, mut jobs, mut refused) = (String::new(), 0, 0);
    for path in &files {
        let (content, name) = (std::fs::read(path).unwrap(), path.file_name().unwrap());
        let is_system = path.extension().is_some_and(|form| form == "system");
        let crontab = if is_system { Crontab::system(content) } else { Crontab::user(content) };
        let import = crontab.named(name).read();
        writeln!(text, "== {}", name.to_string_lossy()).unwrap();
        for job in &import.jobs {
            let schedule = job.schedule.clone().in_zone(zone);
            let next: Vec<String> = schedule
                .upcoming(from)
                .take(3)
                .map(|at| at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M").to_string())
                .collect();
            writeln!(text, "{}  {}  [{}]", job.place.line.unwrap(), job.schedule, next.join(", ")).unwrap();
            writeln!(text, "    {}", command(job)).unwrap();
        }
        for note in &import.notes {
            writeln!(text, "* {note}").unwrap();
        }
        jobs += import.jobs.len();
        refused += import.notes.iter().filter(|note| note.kind == NoteKind::Refused).count();
    }
    let summary = format!("{} crontabs, {jobs} jobs, {refused} lines refused\n", files.len());
    let text = summary + &text;
    let file = data("crontabs.golden.txt");
    if std::env::var_os("PUNCTUAL_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&file).unwrap_or_default());
    assert!(files.len() >= 40, "{} crontabs", files.len());
}
