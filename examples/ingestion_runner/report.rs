//! What a person sees: a line a run, or one live line in a terminal, and a summary at the end.

use std::io::IsTerminal;
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Debug, Default)]
pub struct Report {
    bar: Option<ProgressBar>,
    pub ingests: u64,
    pub failed: u64,
    pub folded: u64,
    pub new: usize,
    pub revised: usize,
    pub left_out: usize,
    pub joined: usize,
}

impl Report {
    pub fn new(minutes: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| match minutes {
            Some(minutes) => ProgressBar::new(minutes).with_style(style("{bar:30} {percent:>3}%  {msg}")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {msg}")),
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

    pub fn progress(&self, passed: Duration) {
        if let Some(bar) = &self.bar {
            bar.set_position(passed.as_secs() / 60);
        }
    }

    pub fn summary(&self, events: i64, airports: i64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        println!("Ran ingest {} times", self.ingests);
        println!("  {} failed, {} missed occurrences were made up for by later runs", self.failed, self.folded);
        println!("  {} new events, {} revisions, {} records left out", self.new, self.revised, self.left_out);
        println!("  airports looked up for {} events", self.joined);
        println!("  the database holds {events} events and {airports} pairs of event and airport");
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
