//! What a person sees: a line a run, or one live line in a terminal, and a summary at the end.

use std::io::IsTerminal;
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use punctual::{Progress, Stats};

#[derive(Debug, Default)]
pub struct Report {
    bar: Option<ProgressBar>,
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
        Report { bar, ..Report::default() }
    }

    /// As [`trouble`](Self::trouble), for those who can't keep the report.
    pub fn voice(&self) -> impl Fn(DateTime<Utc>, &str) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |at, text| {
            let text = format!("{}  {text}", at.format("%Y-%m-%d %H:%M:%S"));
            match &bar {
                Some(bar) => bar.println(text),
                None => println!("{text}"),
            }
        }
    }

    /// What a run did.
    pub fn line(&self, at: DateTime<Utc>, text: &str) {
        let text = format!("{}  {text}", at.format("%Y-%m-%d %H:%M:%S"));
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => println!("{text}"),
        }
    }

    /// What a person should see even in a terminal.
    pub fn trouble(&self, at: DateTime<Utc>, text: &str) {
        self.voice()(at, text);
    }

    /// How much of the time has passed, and how far a look-up has come that goes on.
    pub fn progress(&self, passed: Duration, look_up: Option<Progress>) {
        if let Some(bar) = &self.bar {
            bar.set_position(passed.as_secs() / 60);
            let done = look_up.map(|Progress { done, of, .. }| format!("airports {done} of {of}  ")).unwrap_or_default();
            bar.set_prefix(done);
        }
    }

    pub fn summary(&self, fetch: &Stats, events: i64, airports: i64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let failed = fetch.errors + fetch.panics + fetch.timeouts;
        println!("Ran ingest {} times", fetch.runs - failed - fetch.stopped);
        println!("  {failed} fetches failed after all attempts, {} further attempts were made", fetch.retries);
        println!("  {} missed occurrences were made up for by later runs", fetch.folded + fetch.dropped);
        println!("  {} new events, {} revisions, {} records left out", self.new, self.revised, self.left_out);
        println!("  airports looked up for {} events", self.joined);
        println!("  the database holds {events} events and {airports} pairs of event and airport");
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
