//! One run of a job: what it is told, and what it says.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::job::JobId;
use crate::scheduler::Scheduler;

/// An error of a job's own.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The run that a job is in.
pub struct Run<'a, C = ()> {
    pub(crate) facts: &'a RunFacts,
    pub(crate) host: &'a mut C,
    pub(crate) scheduler: &'a Scheduler<C>,
    pub(crate) stop: &'a AtomicBool,
}

/// What is known of a run when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunFacts {
    /// The job.
    pub id: JobId,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// When the run was due; of several occurrences that it makes up for, the last.
    pub due: DateTime<Utc>,
    /// When the first occurrence was due that it makes up for.
    pub first_missed: DateTime<Utc>,
    /// How long after `due` it started.
    pub late: Duration,
    /// What made it late, for the most part.
    pub late_by: LateBy,
    /// How many occurrences it makes up for, itself included: 1 if it is on time.
    pub folded: u64,
    /// Which attempt at this occurrence it is, from 1.
    pub attempt: u32,
    /// The run that it follows, of a job registered by `following`.
    pub follows: Option<Arc<RunFacts>>,
}

/// What made a run late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LateBy {
    /// The host polled after it was due.
    Host,
    /// Jobs that came before it in the same poll.
    OtherJobs,
    /// The machine was suspended.
    Suspend,
    /// The wall clock was set past its due time.
    ClockStep,
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

    /// The run that it follows, of a job registered by [`following`](Scheduler::following).
    pub fn follows(&self) -> Option<&RunFacts> {
        self.facts.follows.as_deref()
    }

    /// Whether it was asked to stop: its job was cancelled while it runs.
    pub fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
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

/// What a job says of its run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It is done; the schedule goes on.
    #[default]
    Done,
    /// It is done, and the job leaves the schedule.
    Cancel,
}

/// What a job may return: `()`, an [`Outcome`], or a `Result` of any value.
///
/// `Result<Outcome, E>` is taken at its word.
pub trait JobResult {
    /// What a job that follows is given.
    type Value: Send + Sync + 'static;

    #[doc(hidden)]
    fn into_end(self) -> Result<(Self::Value, Outcome), BoxError>;
}

impl JobResult for () {
    type Value = ();

    fn into_end(self) -> Result<((), Outcome), BoxError> {
        Ok(((), Outcome::Done))
    }
}

impl JobResult for Outcome {
    type Value = ();

    fn into_end(self) -> Result<((), Outcome), BoxError> {
        Ok(((), self))
    }
}

impl<T, E> JobResult for Result<T, E>
where
    T: Send + Sync + 'static,
    E: Into<BoxError>,
{
    type Value = T;

    fn into_end(self) -> Result<(T, Outcome), BoxError> {
        match self {
            Ok(value) => {
                let outcome = (&value as &dyn Any).downcast_ref::<Outcome>().copied().unwrap_or_default();
                Ok((value, outcome))
            }
            Err(error) => Err(error.into()),
        }
    }
}
