//! Source 1: what has happened since the last answer, in the background.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use punctual::{RunView, SqliteStore};

use crate::AnyError;
use crate::clock::WorldClock;
use crate::database::{Changed, Database};
use crate::feed;
use crate::report::Report;
use crate::source::Source;

/// How old the last answer of the whole week's feed may be, for late revisions.
const REVISIONS: TimeDelta = TimeDelta::hours(6);

pub struct Ingest {
    pub quakes: Source,
    /// How long an answer may take, in real time.
    pub limit: Duration,
    pub clock: WorldClock,
    /// Not the connection of the thread that polls.
    pub database: Mutex<Database>,
    pub store: SqliteStore,
    pub report: Arc<Report>,
}

impl Ingest {
    /// Asks the feed, and keeps what it answers.
    ///
    /// The scheduler runs this at least once for each occurrence, or for several that were missed together. What it changes is
    /// in one transaction with the end of the run, so it is changed once.
    pub fn run(&self, run: &RunView) -> Result<(), AnyError> {
        let asked = self.clock.feed_time();
        let (feed, missed) = self.feed_for(asked)?;
        // What takes long is done before the transaction begins, in which nobody else can write.
        let (quakes, errors) = feed::read(&self.quakes.for_feed(feed).fetch(self.limit)?)?;
        let Changed { new, revised } = self.database().ingest(&quakes, (feed, asked), &self.store, run.facts())?;

        let due = run.due();
        let trouble = missed.into_iter().chain(errors.iter().map(|error| error.to_string()));
        trouble.for_each(|text| self.report.trouble(due, &format!("ingest    {text}")));
        self.report.count(|counts| {
            counts.new += new;
            counts.revised += revised;
            counts.left_out += errors.len();
        });
        let folded = run.folded();
        let late = if folded > 1 { format!(" (makes up for {folded} occurrences)") } else { String::new() };
        self.report.line(due, &format!("ingest    {feed}: {} events, {new} new, {revised} revised{late}", quakes.len()));
        Ok(())
    }

    /// The feed to be asked now, and what is to be said of that.
    fn feed_for(&self, now: DateTime<Utc>) -> Result<(&'static str, Option<String>), AnyError> {
        let database = self.database();
        let (any, week) = (database.last_fetched(None)?, database.last_fetched(Some("all_week"))?);
        Ok(feed_at(now, any, week))
    }

    fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The feed that covers the time since the last answer of any; the week's now and then, since records are revised for days.
fn feed_at(now: DateTime<Utc>, any: Option<DateTime<Utc>>, week: Option<DateTime<Utc>>) -> (&'static str, Option<String>) {
    let Some(off) = any.map(|at| now - at) else { return ("all_week", None) };
    let missed = format!("nothing was fetched for {} h {} min", off.num_hours(), off.num_minutes() % 60);
    match () {
        () if off > TimeDelta::days(7) => {
            ("all_week", Some(format!("{missed}; the feeds reach back a week, what is older cannot be had")))
        }
        () if off > TimeDelta::hours(23) => ("all_week", Some(format!("{missed}; the week's feed covers it"))),
        () if week.is_none_or(|week| now - week > REVISIONS) => ("all_week", None),
        () if off > TimeDelta::minutes(55) => ("all_day", Some(format!("{missed}; the day's feed covers it"))),
        () => ("all_hour", None),
    }
}
