//! What a person sees: a line a run, or one live line in a terminal, and a summary at the end.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use punctual::{Progress, Stats};

#[derive(Debug)]
pub struct Report {
    bar: Option<ProgressBar>,
    counts: Mutex<Counts>,
}

/// What was done since the program began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub new: usize,
    pub revised: usize,
    pub left_out: usize,
    pub joined: usize,
}

impl Report {
    pub fn new(minutes: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| match minutes {
            Some(minutes) => ProgressBar::new(minutes).with_style(style("{bar:30} {percent:>3}%  {prefix}{msg}")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {prefix}{msg}")),
        });
        Report { bar, counts: Mutex::default() }
    }

    pub fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What a run did.
    pub fn line(&self, at: DateTime<Utc>, text: &str) {
        let text = stamped(at, text);
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => print(&text),
        }
    }

    /// What a person should see even in a terminal.
    pub fn trouble(&self, at: DateTime<Utc>, text: &str) {
        let text = stamped(at, text);
        match &self.bar {
            Some(bar) => bar.println(text),
            None => print(&text),
        }
    }

    /// How much of the time has passed, and how far a look-up has come that goes on.
    pub fn progress(&self, passed: Duration, look_up: Option<Progress>) {
        if let Some(bar) = &self.bar {
            bar.set_position(passed.as_secs() / 60);
            let done = look_up.map(|Progress { done, of, .. }| format!("airports {done} of {of}  ")).unwrap_or_default();
            bar.set_prefix(done);
        }
    }

    pub fn summary(&self, ingest: &Stats, events: i64, airports: i64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let failed = ingest.errors + ingest.panics + ingest.timeouts;
        let Counts { new, revised, left_out, joined } = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        print(&format!("Ran ingest {} times", ingest.runs - failed - ingest.stopped));
        print(&format!("  {failed} more failed after all attempts, {} further attempts were made", ingest.retries));
        print(&format!("  {} missed occurrences were made up for by later runs", ingest.folded));
        print(&format!("  {new} new events, {revised} revisions, {left_out} records left out"));
        print(&format!("  airports looked up for {joined} events"));
        print(&format!("  the database holds {events} events and {airports} pairs of event and airport"));
    }
}

/// If nobody reads it any more, the work goes on: what is done is done, whether it can be said or not.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn stamped(at: DateTime<Utc>, text: &str) -> String {
    format!("{}  {text}", at.format("%Y-%m-%d %H:%M:%S"))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
