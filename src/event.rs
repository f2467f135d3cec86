//! What is told to those who watch.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::ClockChange;
use crate::job::JobId;

/// Something that happened. Observers are called on the thread that polls, between jobs, with no lock held.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A run ended in an error or a panic.
    Failed(Failure),
    /// A run made up for several occurrences.
    Folded {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// How many, the run's own included.
        occurrences: u64,
        /// When the first of them was due.
        since: DateTime<Utc>,
    },
    /// Occurrences passed unrun, by the job's policy.
    Dropped {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// How many.
        occurrences: u64,
        /// When the first of them was due.
        since: DateTime<Utc>,
        /// Why.
        because: DropReason,
    },
    /// A poll's budget was spent while jobs were still due; they come first at the next one.
    PutOff {
        /// How many, a thousand at most.
        jobs: usize,
        /// The first of them.
        first: JobId,
    },
    /// A job went on after its poll's budget was spent.
    Overran {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// For how long.
        by: Duration,
    },
    /// The machine slept, or its wall clock was set.
    Clock(ClockChange),
    /// The wall clock was set back by more than a day past the job's last due time: it follows the clock anew.
    Reanchored {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// When it is due now.
        next: Option<DateTime<Utc>>,
    },
    /// A job ended: cancelled, out of occurrences, or after its last run.
    Ended {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
    },
}

/// Why occurrences were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// They were later than the grace.
    Late,
    /// Missed, and the policy makes up for none, or for no more.
    Policy,
    /// The deadline of `until` had passed.
    Deadline,
    /// An earlier run was still going on.
    Overlapped,
}

/// A run that ended in an error or a panic. `Display` gives one line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// When the run was due.
    pub due: DateTime<Utc>,
    /// What went wrong.
    pub kind: FailureKind,
}

/// What went wrong in a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FailureKind {
    /// The job returned an error.
    Error(Arc<dyn StdError + Send + Sync>),
    /// The job, or the schedule's own code, panicked with this message.
    Panic(String),
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureKind::Error(error) => {
                write!(f, "{error}")?;
                let mut source = error.source();
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                Ok(())
            }
            FailureKind::Panic(message) => write!(f, "panicked: {message}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}")?,
            None => write!(f, "job {}", self.id)?,
        }
        write!(f, ", due {}: {}", self.due.format("%Y-%m-%d %H:%M:%S UTC"), self.kind)
    }
}
