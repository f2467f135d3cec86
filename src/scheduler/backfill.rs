//! Runs of a job for occurrences of its past, as they are asked for.

use std::fmt;
use std::sync::{Arc, Weak};

use chrono::{DateTime, Utc};

use crate::backfill::{BackfillProgress, Told, Wanted};
use crate::error::Error;
use crate::id::JobId;
use crate::job::{Control, JobHandle};

impl<T> JobHandle<T> {
    /// Begins to run the job for the occurrences that its schedule has in a range of the past: from `from` on, before `to`, and
    /// not after now. [`Backfill::start`] ends the chain.
    ///
    /// The range is of due times: what a job that is due at 06:00 does for the day before is asked for by the day after. Each
    /// occurrence has a run of its own, with its own [`due`](crate::RunView::due), and those that follow the job follow it. A job that
    /// says [`unless_done`](crate::When::unless_done) so runs what is missing, and if the program ends in between, the same
    /// backfill in its next process goes on from there; without a target every occurrence is run. Such a run is late by
    /// [`LateBy::Backfill`](crate::LateBy::Backfill), and no grace applies to it. All other rules of the job do: its overlap,
    /// limits, retries, hours, its end ([`until`](crate::When::until)). Its schedule goes on meanwhile, and comes first: one
    /// that is due while a run of the backfill goes on waits for it, whatever its overlap is. One for which the job has a run
    /// that waits or goes on, by its schedule or from an earlier process, is not given another.
    ///
    /// Every so many days, weeks or months count from the job's registration unless they have a
    /// [`starting_at`](crate::When::starting_at): without a store the next process finds other dates for them.
    ///
    /// A backfill is no part of what a store keeps of a job: a process that does not start it again has nothing of it but
    /// runs that had begun. Where several processes share a store, start it in one of them; while another one holds the job,
    /// it waits.
    ///
    /// ```
    /// use punctual::{ManualClock, Scheduler};
    /// use std::sync::{Arc, Mutex};
    ///
    /// let clock = ManualClock::new("2026-03-05T12:00:00Z".parse()?);
    /// let scheduler: Scheduler = Scheduler::builder().clock(clock).zone(chrono::Utc).build();
    /// let days = Arc::new(Mutex::new(vec![2]));
    /// let (there, done) = (days.clone(), days.clone());
    /// let day = |due: chrono::DateTime<chrono::Utc>| chrono::Datelike::day(&due);
    /// let fetched = scheduler.every(1).day().at("06:00");
    /// let fetched = fetched
    ///     .unless_done(move |run| there.lock().is_ok_and(|days| days.contains(&day(run.due))))
    ///     .do_with(move |run| done.lock().map(|mut days| days.push(day(run.due()))).map_err(|_| "poisoned"))?;
    ///
    /// let filling = fetched.backfill("2026-03-01T00:00:00Z".parse()?, "2026-03-05T00:00:00Z".parse()?).newest_first().start()?;
    /// while !filling.is_over() {
    ///     let _ = scheduler.run_pending();
    /// }
    /// assert_eq!(*days.lock().unwrap(), [2, 4, 3, 1]);
    /// assert_eq!((filling.progress().done, filling.progress().already_done), (3, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backfill(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Backfill {
        let wanted = Wanted { from, to, newest_first: false, at_most: 1 };
        Backfill { id: self.id, control: self.control.clone(), wanted }
    }
}

/// A backfill in the making: see [`JobHandle::backfill`].
#[must_use = "a backfill does nothing until `start`"]
pub struct Backfill {
    id: JobId,
    control: Weak<dyn Control>,
    wanted: Wanted,
}

impl Backfill {
    /// From the last occurrence of the range to the first; else the other way. Of a trigger of one's own that does not say
    /// [`prev_before`](crate::Trigger::prev_before) none is found so.
    pub fn newest_first(mut self) -> Self {
        self.wanted.newest_first = true;
        self
    }

    /// Has so many occurrences under way at once, 1 unless given. One is under way until its run has ended and those that follow
    /// it, and those that follow them, have too. How many runs of one job go on at once, its
    /// [`overlap`](crate::When::overlap) says.
    pub fn at_most(mut self, occurrences: u32) -> Self {
        self.wanted.at_most = occurrences;
        self
    }

    /// Starts it: the first run comes at the next poll.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyRange`] if no instant lies in it; [`Error::NoPast`] if the job counts elapsed time or gaps that are drawn, and
    /// [`Error::NoOccurrences`] if it follows others; [`Error::Backfilling`] if a backfill of it goes on; [`Error::ZeroOfMany`];
    /// [`Error::JobGone`], [`Error::ShutDown`], [`Error::SchedulerGone`].
    pub fn start(self) -> Result<Backfilling, Error> {
        let Backfill { id, control, wanted } = self;
        if wanted.at_most == 0 {
            return Err(Error::ZeroOfMany { word: "at_most" });
        }
        if wanted.from >= wanted.to {
            return Err(Error::EmptyRange { from: wanted.from, to: wanted.to });
        }
        let told = control.upgrade().ok_or(Error::SchedulerGone)?.backfill(id, wanted)?;
        Ok(Backfilling { id, control, told })
    }
}

impl fmt::Debug for Backfill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backfill").field("id", &self.id).field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

/// A hold on a backfill that was started: see [`JobHandle::backfill`]. Dropping it leaves the backfill alone; clones are holds on
/// the same one.
#[derive(Clone)]
pub struct Backfilling {
    id: JobId,
    control: Weak<dyn Control>,
    told: Arc<Told>,
}

impl Backfilling {
    /// Starts no further run; those that go on end as they will. Returns whether it was still going on.
    ///
    /// The same backfill, started again, takes up what this one has left.
    pub fn stop(&self) -> bool {
        self.control.upgrade().is_some_and(|control| control.stop_backfill(self.id, &self.told))
    }

    /// Whether nothing more comes of it: all occurrences are through, it was stopped, its job is gone or has another schedule,
    /// or all is shut down. A trigger of one's own that panics has no further occurrences.
    pub fn is_over(&self) -> bool {
        self.told.has_ended() || self.control.strong_count() == 0
    }

    /// How far it has come.
    pub fn progress(&self) -> BackfillProgress {
        self.told.progress()
    }
}

impl fmt::Debug for Backfilling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backfilling").field("id", &self.id).field("progress", &self.progress()).finish_non_exhaustive()
    }
}
