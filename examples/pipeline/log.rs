//! What is said: a line for each run, and at the end how many dates came to what.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};

use chrono::{DateTime, NaiveDate, Utc};
use parking_lot::Mutex;
use punctual::{Event, RunEnd};

use crate::dated::date;

/// What has come of a date so far; of several things, the last of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    WasThere,
    Made,
    Failed,
}

/// By date, what has come of it, and whether all of its steps are through.
#[derive(Debug, Default)]
pub struct Log(Mutex<BTreeMap<NaiveDate, (Option<Came>, bool)>>);

impl Log {
    /// Takes in what the scheduler tells. `last` is the name of the last step.
    pub fn tell(&self, event: &Event, last: &str) {
        match event {
            Event::Ended { run, end, .. } if end.is_success() => {
                let (came, text) = match end {
                    RunEnd::AlreadyDone => (Came::WasThere, "was there"),
                    _ => (Came::Made, "done"),
                };
                let step = run.name.as_deref();
                self.run(step, run.due, text, came, step == Some(last));
            }
            Event::Failed(failure) => {
                let text = format!("failed: {}", failure.kind);
                self.run(failure.name.as_deref(), failure.due, &text, Came::Failed, true);
            }
            Event::CutOff { .. } | Event::Dropped { .. } | Event::StoreFailed { .. } => eprintln!("pipeline: {event}"),
            _ => {}
        }
    }

    fn run(&self, step: Option<&str>, due: DateTime<Utc>, text: &str, came: Came, is_through: bool) {
        let mut dates = self.0.lock();
        let date = date(due);
        let so_far = dates.entry(date).or_default();
        *so_far = (so_far.0.max(Some(came)), is_through);
        print(&format!("{date}  {:<7}  {text}", step.unwrap_or_default()));
    }

    pub fn has_failed(&self) -> bool {
        self.0.lock().values().any(|(came, _)| *came == Some(Came::Failed))
    }

    pub fn summary(&self) {
        print(&self.to_string());
    }
}

impl Display for Log {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let dates = self.0.lock();
        let count = |which| dates.values().filter(|(came, is_through)| *is_through && *came == Some(which)).count();
        let (made, there, failed) = (count(Came::Made), count(Came::WasThere), count(Came::Failed));
        let noun = if dates.len() == 1 { "date" } else { "dates" };
        write!(f, "{} {noun}: {made} made, {there} were there, {failed} failed", dates.len())?;
        let left = dates.len() - made - there - failed;
        if left > 0 { write!(f, ", {left} not finished") } else { Ok(()) }
    }
}

/// If nobody reads it any more, the work goes on.
fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
