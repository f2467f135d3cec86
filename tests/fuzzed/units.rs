//! systemd's unit files, time spans and command lines; and what must hold of every import.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use punctual::{Import, ManualClock, Note, Scheduler, Units};

use super::{Fate, commands, says, schedules};

/// So many jobs of a file are looked at in full.
const MOST_JOBS: usize = 2;

/// Several files in one text: a line `--- NAME` begins each but the first, which is `x.timer`.
pub fn unit(bytes: &[u8]) -> Result<Fate, String> {
    let text = &*String::from_utf8_lossy(bytes);
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut name = "x.timer".to_owned();
    for line in text.split('\n') {
        match line.strip_prefix("--- ") {
            Some(next) => name = next.to_owned(),
            None => {
                let file = files.entry(name.clone()).or_default();
                file.push_str(line);
                file.push('\n');
            }
        }
    }
    let units = files.iter().fold(Units::new(), |units, (name, text)| units.text(name, text));
    let import = units.timers();
    for Note { place, text, .. } in &import.notes {
        let lines = files.get(&*place.file.to_string_lossy()).map(|file| file.lines().count());
        let within = place.line.is_none_or(|line| lines.is_some_and(|lines| (1..=lines).contains(&line)));
        if !within {
            return Err(format!("{place} is nowhere in the text: {text}"));
        }
    }
    jobs(&import)?;
    Ok(if import.jobs.is_empty() { Fate::Refused } else { Fate::Taken })
}

/// What must hold of jobs from any file: notes that say something, schedules that are like any other, commands that can be
/// shown. All of them can be registered, which starts nothing.
pub fn jobs(import: &Import) -> Result<(), String> {
    import.notes.iter().try_for_each(says)?;
    for (place, job) in import.jobs.iter().enumerate() {
        if place < MOST_JOBS { schedules::hold(&job.schedule) } else { schedules::reads_back(&job.schedule) }
            .map_err(|broken| format!("{}: {broken}", job.name))?;
        if job.command.to_string().is_empty() {
            return Err(format!("{}: a command is shown as nothing", job.name));
        }
    }
    // Files that start a job are watched from its registration on: those of a text that is made up are not to be touched.
    if import.jobs.iter().any(|job| job.keep_up.is_some() || !job.starts_on.is_empty()) {
        return Ok(());
    }
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let scheduler: Scheduler = Scheduler::builder().clock(clock).zone(Utc).build();
    match import.register(&scheduler) {
        Ok(handles) => {
            let enabled = import.jobs.iter().filter(|job| !job.disabled).count();
            if handles.len() == enabled { Ok(()) } else { Err(format!("{} of {enabled} jobs are registered", handles.len())) }
        }
        Err(error) if scheduler.is_empty() => says(&error),
        Err(error) => Err(format!("{} jobs stay registered after {error}", scheduler.len())),
    }
}

/// A service's time limit: `None` if it cannot be read, else the time in microseconds.
fn limit(span: &str) -> Option<Duration> {
    let service = format!("[Service]\nType=oneshot\nExecStart=/bin/job\nTimeoutStartSec={span}");
    let units = Units::new().text("x.timer", "[Timer]\nOnCalendar=daily\nPersistent=yes\nAccuracySec=1us");
    let import = units.text("x.service", service).timer("x.timer");
    let job = import.jobs.first().filter(|_| import.notes.is_empty())?;
    Some(job.timeout.unwrap_or_default())
}

/// Time spans: what two say one after the other is their sum.
pub fn span(bytes: &[u8]) -> Result<Fate, String> {
    let text = String::from_utf8_lossy(bytes).replace(['\n', '\r', '\\'], " ");
    let text = text.trim();
    let timer = format!("[Timer]\nOnActiveSec={text}\nOnUnitActiveSec={text}\nAccuracySec={text}\nRandomizedDelaySec={text}");
    let import = Units::new().text("x.timer", timer).text("x.service", "[Service]\nExecStart=/bin/job").timer("x.timer");
    jobs(&import)?;
    if text.is_empty() || text.contains("infinity") {
        return Ok(Fate::Refused);
    }
    let whole = limit(text);
    for (at, _) in text.match_indices(' ').take(8) {
        let (Some(left), Some(right)) = (limit(&text[..at]), limit(&text[at..])) else { continue };
        let sum = left.checked_add(right).filter(|sum| sum.as_micros() < u64::MAX.into());
        if sum != whole {
            return Err(format!("{left:?} and {right:?} come to {whole:?}"));
        }
    }
    Ok(if whole.is_some() { Fate::Taken } else { Fate::Refused })
}

/// Command lines: words without quotes, escapes and variables stand in the command as they are.
pub fn exec(bytes: &[u8]) -> Result<Fate, String> {
    let line = String::from_utf8_lossy(bytes).replace(['\n', '\r'], " ");
    let line = line.trim();
    let service = format!("[Service]\nType=oneshot\nEnvironment=ONE=1 \"TWO=2 2\"\nEnvironment={line}\nExecStart={line}");
    let units = Units::new().text("x@.timer", "[Timer]\nOnCalendar=daily\nPersistent=yes\nAccuracySec=1us");
    let import = units.text("x@.service", service).text("/etc/hostname", "box").timer("x@a-b.timer");
    jobs(&import)?;
    let Some(job) = import.jobs.first() else { return Ok(Fate::Refused) };
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+,@=: ".contains(letter);
    if !line.starts_with('/') || line.contains('=') || !line.chars().all(is_plain) {
        return Ok(Fate::Taken);
    }
    let shown = job.command.to_string();
    let words = commands::words(&shown).map_err(|wrong| format!("{wrong}: {shown}"))?;
    let meant: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let found: Vec<&str> = words.iter().map(String::as_str).collect();
    if found.ends_with(&meant) { Ok(Fate::Taken) } else { Err(format!("{meant:?} is shown as {shown}")) }
}
