//! The run that a job is in, as the job sees it.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Scheduler;
use crate::job::JobId;
use crate::run::{LateBy, RunFacts, Signals};

/// The run that a job is in.
pub struct Run<'a, C = ()> {
    pub(crate) facts: &'a RunFacts,
    pub(crate) host: &'a mut C,
    pub(crate) scheduler: &'a Scheduler<C>,
    pub(crate) signals: &'a Signals,
    /// Until when the poll has budget, by the monotonic clock.
    pub(crate) budget_ends: Option<Duration>,
}

impl<C> Run<'_, C> {
    /// All that is known of it.
    pub fn facts(&self) -> &RunFacts {
        self.facts
    }

    /// The job.
    pub fn id(&self) -> JobId {
        self.facts.id
    }

    /// The job's name.
    pub fn name(&self) -> Option<&str> {
        self.facts.name.as_deref()
    }

    /// When it was due: of several occurrences folded into it, the last.
    pub fn due(&self) -> DateTime<Utc> {
        self.facts.due
    }

    /// When the first of the occurrences folded into it was due.
    pub fn first_missed(&self) -> DateTime<Utc> {
        self.facts.first_missed
    }

    /// How long after its due time it started.
    pub fn late(&self) -> Duration {
        self.facts.late
    }

    /// What made it late, for the most part.
    pub fn late_by(&self) -> LateBy {
        self.facts.late_by
    }

    /// How many occurrences it makes up for, itself included: 1 if it is on time.
    pub fn folded(&self) -> u64 {
        self.facts.folded
    }

    /// Which attempt at this occurrence it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.facts.attempt
    }

    /// How often it was taken up before this: 0, and more after [`Outcome::Yield`](crate::Outcome::Yield).
    pub fn turn(&self) -> u32 {
        self.facts.turn
    }

    /// How much of the poll's budget is left; `None` if it has none.
    pub fn time_left(&self) -> Option<Duration> {
        self.budget_ends.map(|end| end.saturating_sub(self.scheduler.0.clock.monotonic()))
    }

    /// Says how far it has come, for those who hold the job's handle: [`JobHandle::progress`](crate::JobHandle::progress).
    /// `of` 0 takes back what was said.
    pub fn progress(&self, done: u64, of: u64) {
        self.signals.report(done, of);
    }

    /// The run that it follows, of a job registered by [`following`](Scheduler::following).
    pub fn follows(&self) -> Option<&RunFacts> {
        self.facts.follows.as_deref()
    }

    /// Whether it was asked to stop: its job was cancelled while it runs.
    pub fn should_stop(&self) -> bool {
        self.signals.stop.load(Ordering::Relaxed)
    }

    /// The scheduler, for registering and cancelling from inside. A job that keeps a clone keeps the scheduler alive.
    pub fn scheduler(&self) -> Scheduler<C> {
        self.scheduler.clone()
    }

    /// The host's own state, as it was passed to [`run_pending_with`](Scheduler::run_pending_with).
    pub fn host(&mut self) -> &mut C {
        self.host
    }
}

impl<C> fmt::Debug for Run<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Run").field(self.facts).finish()
    }
}
