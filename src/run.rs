//! One run of a job: what it is told, and what it says.

use std::any::Any;
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::job::JobId;

/// An error of a job's own.
pub type BoxError = Box<dyn StdError + Send + Sync>;

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
    /// How often it was taken up before this: 0, and more after [`Outcome::Yield`].
    pub turn: u32,
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
    /// It was put off by an earlier poll, whose budget was spent.
    Budget,
    /// The machine was suspended.
    Suspend,
    /// The wall clock was set past its due time.
    ClockStep,
}

/// What passes between a job's run and those outside while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    pub(crate) stop: AtomicBool,
    done: AtomicU64,
    of: AtomicU64,
}

impl Signals {
    /// A new run has no progress yet.
    pub(crate) fn reset(&self) {
        self.report(0, 0);
    }

    pub(crate) fn report(&self, done: u64, of: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        let (done, of) = (self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed));
        (of > 0).then_some(Progress { done, of })
    }
}

/// How far a run has come, as it said by [`Run::progress`](crate::Run::progress).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// So much is done,
    pub done: u64,
    /// of so much, which is not 0.
    pub of: u64,
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
    /// There is more to do: the job is called again at a later poll, in turn with others that are under way, and goes on
    /// from the state that it keeps. All its turns are one run. An occurrence that comes meanwhile is skipped, and that is
    /// said.
    Yield,
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
