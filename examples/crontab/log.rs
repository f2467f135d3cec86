//! What is said of runs: a line for each that has ended, after the lines that it wrote.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Local, Utc};
use chrono_tz::Tz;
use parking_lot::Mutex;
use punctual::{Blocked, CommandError, Event, Failure, FailureKind, Finished, JobHandle, RunEnd};

/// The zone in which times are shown; the machine's own if none is named.
#[derive(Debug, Clone, Copy)]
pub struct Shown(pub Option<Tz>);

impl Shown {
    pub fn time(self, at: DateTime<Utc>) -> String {
        let form = "%Y-%m-%d %H:%M:%S %:z";
        match self.0 {
            Some(zone) => at.with_timezone(&zone).format(form).to_string(),
            None => at.with_timezone(&Local).format(form).to_string(),
        }
    }
}

pub struct Log {
    shown: Shown,
    verbose: bool,
    /// By their names, as events have them.
    jobs: Mutex<HashMap<String, Known>>,
}

struct Known {
    label: String,
    handle: Option<JobHandle<Finished>>,
    /// How the run failed that is about to end.
    failed: Option<String>,
}

impl Log {
    pub fn new(shown: Shown, verbose: bool) -> Self {
        Log { shown, verbose, jobs: Mutex::default() }
    }

    /// Says something of the runner itself.
    pub fn say(&self, text: impl Display) {
        self.line("crontab", &text.to_string());
    }

    /// From now on a job's events are told under this label.
    pub fn know(&self, name: &str, label: &str) {
        let mut jobs = self.jobs.lock();
        let new = || Known { label: String::new(), handle: None, failed: None };
        label.clone_into(&mut jobs.entry(name.to_owned()).or_insert_with(new).label);
    }

    /// Where what its runs write is found.
    pub fn follow(&self, name: &str, handle: &JobHandle<Finished>) {
        self.with(name, |known| known.handle = Some(handle.clone()));
    }

    fn with<T>(&self, name: &str, look: impl FnOnce(&mut Known) -> T) -> Option<T> {
        self.jobs.lock().get_mut(name).map(look)
    }

    fn line(&self, label: &str, text: &str) {
        // Nobody may be reading any more, and the jobs go on.
        let _ = writeln!(io::stdout().lock(), "{}  {label:<16}  {text}", self.shown.time(Utc::now()));
    }

    pub fn tell(&self, event: &Event) {
        match event {
            Event::Failed(failure) => self.failed(failure),
            Event::Ended { run, end, took } => self.ended(run.name.as_deref(), *end, *took),
            Event::Started(run) if self.verbose => self.of(run.name.as_deref(), "started"),
            Event::Missed { name, occurrences, since, .. } => {
                let since = self.shown.time(*since);
                self.of(name.as_deref(), &format!("makes up for {occurrences} runs missed since {since}"));
            }
            Event::Dropped { name, occurrences, since, because, .. } => {
                let (times, since) = (if *occurrences == 1 { "run" } else { "runs" }, self.shown.time(*since));
                self.of(name.as_deref(), &format!("skipped {occurrences} {times}, due {since}: {because}"));
            }
            // It runs there.
            Event::Blocked { by: Blocked::Elsewhere, .. } if !self.verbose => {}
            Event::Blocked { name, by, .. } => self.of(name.as_deref(), &format!("held back: {by}")),
            Event::CutOff { name, due, started, .. } => {
                let (due, started) = (self.shown.time(*due), self.shown.time(*started));
                self.of(name.as_deref(), &format!("the run due {due}, started {started}, was cut off, and is not run again"));
            }
            Event::ClaimLost { name, due, .. } => {
                let due = self.shown.time(*due);
                self.of(name.as_deref(), &format!("another runner took it over during the run due {due}"));
            }
            Event::Clock(_) | Event::HostLate { .. } | Event::StoreFailed { .. } | Event::StoreRecovered => self.say(event),
            _ => {}
        }
    }

    /// Says something of a job. Those without a name are helpers.
    fn of(&self, name: Option<&str>, text: &str) {
        let label = name.and_then(|name| self.with(name, |known| known.label.clone()));
        if let Some(label) = label {
            self.line(&label, text);
        }
    }

    fn failed(&self, failure: &Failure) {
        let name = failure.name.as_deref();
        let mut how = failure.kind.to_string();
        if let FailureKind::Error(error) = &failure.kind {
            if let Some(CommandError::Failed { finished, .. } | CommandError::Stopped { finished, .. }) = error.downcast_ref() {
                self.output(name, finished);
                how = finished.to_string();
            }
        }
        if let Some(name) = name {
            self.with(name, |known| known.failed = Some(how));
        }
    }

    fn ended(&self, name: Option<&str>, end: RunEnd, took: Duration) {
        let Some((handle, failed)) = name.and_then(|name| self.with(name, |known| (known.handle.clone(), known.failed.take())))
        else {
            return;
        };
        let how = match (end, failed) {
            (RunEnd::Done, _) => {
                if let Some(finished) = handle.and_then(|handle| handle.last_value()) {
                    self.output(name, &finished);
                }
                format!("done in {took:.1?}")
            }
            (RunEnd::TimedOut, _) => format!("took too long, and was stopped after {took:.1?}"),
            (RunEnd::Stopped, _) => format!("stopped after {took:.1?}"),
            (_, Some(how)) => format!("failed in {took:.1?}: {how}"),
            (end, None) => format!("{end:?} after {took:.1?}"),
        };
        self.of(name, &how);
    }

    fn output(&self, name: Option<&str>, finished: &Finished) {
        finished.stdout_text().lines().for_each(|line| self.of(name, &format!("| {line}")));
        finished.stderr_text().lines().for_each(|line| self.of(name, &format!("! {line}")));
    }
}
