//! Timers as packages ship them, and what becomes of them, in one file to be read through: tests/data/moving/timers.golden.txt.
//!
//! `PUNCTUAL_BLESS=1 cargo test --lib import::systemd` writes it anew.

use std::fmt::Write;

use super::*;
use crate::command::{Command, Input, LeftBehind, Output};

const TIMERS: &str = "tests/data/moving/timers";
const GOLDEN: &str = "tests/data/moving/timers.golden.txt";

/// The units of the folder, on a machine of which something is known.
fn units() -> Units {
    Units::new()
        .dir(TIMERS)
        .text("/etc/hostname", "box.example.com\n")
        .text("/etc/passwd", "postgres:x:110:115::/var/lib/postgresql:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n")
        .text("/etc/default/anacron", "# Arguments\nANACRON_ARGS=-s\n")
}

fn step(text: &mut String, command: &Command) -> std::fmt::Result {
    let words = std::iter::once(&command.program).chain(&command.args);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .map(|word| if word.is_empty() || word.contains([' ', '"', '\'', ';']) { format!("{word:?}") } else { word })
        .collect();
    writeln!(text, "    runs {}", words.join(" "))?;
    let mut more = Vec::new();
    let env = command.env.iter().filter(|(name, _)| name != "PATH");
    let env: Vec<String> =
        env.map(|(name, value)| format!("{}={:?}", name.display(), value.as_deref().unwrap_or_default())).collect();
    more.extend((!env.is_empty()).then(|| format!("with {}", env.join(" "))));
    more.extend(command.dir.iter().filter(|dir| *dir != Path::new("/")).map(|dir| format!("in {}", dir.display())));
    more.extend(command.user.iter().map(|user| format!("as {user}")));
    more.extend(command.group.iter().map(|group| format!("of the group {group}")));
    more.extend(command.nice.map(|nice| format!("nice {nice}")));
    more.extend(command.umask.map(|mask| format!("umask {mask:03o}")));
    more.extend((command.succeeds_with != [0]).then(|| format!("succeeds with {:?}", command.succeeds_with)));
    more.extend((!command.failure_counts).then(|| "may fail".to_owned()));
    more.extend((command.stdin != Input::Nothing).then(|| format!("reads {:?}", command.stdin)));
    let outputs = (&command.stdout, &command.stderr);
    more.extend((outputs != (&Output::Captured, &Output::Captured)).then(|| format!("writes {outputs:?}")));
    more.extend((command.grace.as_secs() != 90).then(|| format!("has {:?} to end", command.grace)));
    more.extend((command.left_behind != LeftBehind::End).then(|| "what it leaves behind goes on".to_owned()));
    if more.is_empty() { Ok(()) } else { writeln!(text, "        {}", more.join(", ")) }
}

fn shown(name: &str, import: &Import) -> Result<String, std::fmt::Error> {
    let mut text = format!("{name}\n");
    let from = "2026-03-01T00:00:00Z".parse().unwrap();
    for job in &import.jobs {
        let schedule = &job.schedule;
        writeln!(text, "    {schedule}")?;
        writeln!(text, "    {}", schedule.describe())?;
        let next: Vec<String> = schedule.upcoming(from).take(3).map(|at| at.format("%a %F %T%.f").to_string()).collect();
        writeln!(text, "    next {}", next.join(", "))?;
        write!(text, "    missed {:?}", job.missed)?;
        match job.timeout {
            Some(timeout) => writeln!(text, ", no longer than {timeout:?}")?,
            None => writeln!(text)?,
        }
        let mut command = Some(&job.command);
        while let Some(this) = command {
            step(&mut text, this)?;
            command = this.next.as_deref();
        }
        let again: crate::Schedule = schedule.to_string().parse().unwrap();
        assert_eq!(again, *schedule, "{name}");
    }
    for note in &import.notes {
        writeln!(text, "    {}", note.to_string().replace(&format!("{TIMERS}/"), ""))?;
    }
    Ok(text)
}

#[test]
fn timers_as_packages_ship_them() {
    let units = units();
    let mut files: Vec<String> = std::fs::read_dir(TIMERS)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".timer"))
        .collect();
    files.sort();
    assert!(files.len() > 70, "{} timers", files.len());
    let mut text = String::new();
    let mut jobs = 0;
    for file in &files {
        // A template is run by an instance's name.
        let name = file.replace("@.timer", "@srv-main.timer");
        let import = units.timer(&name);
        // One job, or a note that says why there is none.
        let refused = import.notes.iter().any(|note| note.kind == NoteKind::Refused);
        assert_eq!(import.jobs.len(), usize::from(!refused), "{name}: {import:?}");
        jobs += import.jobs.len();
        text += &shown(&name, &import).unwrap();
        text.push('\n');
    }
    text = format!("{} timers, {jobs} jobs; next from 2026-03-01 00:00:00 UTC\n\n{}\n", files.len(), text.trim_end());
    if std::env::var_os("PUNCTUAL_BLESS").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    let differ = text.lines().zip(golden.lines()).find(|(one, other)| one != other);
    assert!(text == golden, "{GOLDEN} differs, first where it has\n{:?}", differ.map(|(now, then)| (then, now)));
}
