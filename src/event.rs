//! What is told to those who watch.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::ClockChange;
use crate::id::{JobId, label};
use crate::job::{Blocked, RunEnd};
use crate::policy::OnChange;
use crate::run::RunFacts;
use crate::store::StoreError;

/// Something that happened. `Display` gives one line, for logs.
///
/// A run's life: (blocked,) due, started, (failed, retried, started ..,) ended. An occurrence that does not become a run is
/// dropped.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A job was registered.
    Registered {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
    },
    /// An occurrence came due and is to become a run.
    Due {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// When it was due.
        due: DateTime<Utc>,
    },
    /// What is due cannot start yet. It is not lost: it starts as soon as it can.
    Blocked {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// What holds it back.
        by: Blocked,
    },
    /// An attempt started: on the polling thread, or by being handed over.
    Started(RunFacts),
    /// A run ended, after its last attempt.
    Ended {
        /// What was known of it.
        run: RunFacts,
        /// How it ended.
        end: RunEnd,
        /// How long its last attempt took.
        took: Duration,
    },
    /// An attempt ended badly.
    Failed(Failure),
    /// A run that failed is to be tried again.
    Retried {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// When the run was due.
        due: DateTime<Utc>,
        /// Which attempt it will be.
        attempt: u32,
        /// How long it waits before.
        wait: Duration,
    },
    /// A run took longer than its time limit. On the polling thread it is over; in the background it has been told to
    /// stop, and if it goes on all the same there will be an [`Event::Stray`] when it ends.
    TimedOut {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// When the run was due.
        due: DateTime<Utc>,
        /// The limit.
        limit: Duration,
    },
    /// A background run that had been given up (timed out, cancelled, its job removed) has ended at last. Its result is
    /// thrown away.
    Stray {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// How long it took.
        took: Duration,
    },
    /// A run made up for several occurrences.
    Missed {
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
    /// A job was paused since so many of its runs in a row ended badly: see `pause_after_failures`.
    Paused {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// How many.
        failures: u32,
    },
    /// The machine slept, or its wall clock was set.
    Clock(ClockChange),
    /// The wall clock is right from now on: see
    /// [`SchedulerBuilder::wait_for_clock`](crate::SchedulerBuilder::wait_for_clock).
    ClockIsRight {
        /// For how long it was not.
        waited: Duration,
    },
    /// The host polls too seldom for its jobs: see [`SchedulerBuilder::host_late`](crate::SchedulerBuilder::host_late).
    HostLate {
        /// How late the first job was that this poll found due.
        by: Duration,
        /// How long ago the poll before was.
        gap: Duration,
    },
    /// The wall clock was set back by more than a day past the job's last due time: it follows the clock anew.
    Reanchored {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// When it is due now.
        next: Option<DateTime<Utc>>,
    },
    /// A run was cut off: its process ended before it did, or let its lease run out. Told as the job is registered, or taken
    /// over from that process; where several processes stand by, by each that finds it so.
    CutOff {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// When the run was due.
        due: DateTime<Utc>,
        /// Which attempt it was.
        attempt: u32,
        /// When that started.
        started: DateTime<Utc>,
        /// Whether it is run again.
        again: bool,
    },
    /// A job was paused as it was registered, since so many of its starts in a row were cut off: see `hold_after_crashes`.
    HeldAfterCrashes {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// How many.
        crashes: u32,
    },
    /// A run ended or went on after another process had taken its job over: what comes of it is not written, and sets nothing
    /// off. See [`SchedulerBuilder::lease`](crate::SchedulerBuilder::lease).
    ClaimLost {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// The run's number.
        number: u64,
        /// When it was due.
        due: DateTime<Utc>,
    },
    /// A job's schedule is another one than its record says.
    ScheduleChanged {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// The schedule of the record.
        was: String,
        /// What is done about it.
        then: OnChange,
    },
    /// The store could not be written, or a record in it not be read; it is tried again.
    StoreFailed {
        /// What was wrong.
        error: StoreError,
        /// After this time, in elapsed time.
        again: Duration,
    },
    /// The store can be written again, and all that was to be written was.
    StoreRecovered,
    /// A job left the scheduler.
    Removed {
        /// The job.
        id: JobId,
        /// Its name.
        name: Option<Arc<str>>,
        /// Why.
        because: RemoveReason,
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
    /// The run to follow had ended too long ago: `within`.
    Stale,
    /// It waited to start when its job was paused.
    Paused,
    /// It waited to start when its job was given another schedule.
    Rescheduled,
    /// The result to follow was that of an earlier process, and was not kept: see
    /// [`JobHandle::keep_results`](crate::JobHandle::keep_results).
    ResultLost,
}

/// Why a job left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemoveReason {
    /// By its handle, or with `clear`.
    Cancelled,
    /// By its handle, after the last of the runs that went on: see [`JobHandle::retire`](crate::JobHandle::retire).
    Retired,
    /// By its own [`Outcome::Cancel`](crate::Outcome::Cancel).
    ByItself,
    /// It has had its last run: no occurrence is left, or it has run as often as `times` lets it.
    Over,
    /// The deadline of `until` has passed.
    Deadline,
    /// The job that it followed is gone.
    Upstream(JobId),
    /// Its schedule's own code panicked.
    Panicked,
}

/// An attempt that ended badly. `Display` gives one line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// When the run was due.
    pub due: DateTime<Utc>,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// What went wrong.
    pub kind: FailureKind,
}

/// What went wrong in a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FailureKind {
    /// The job returned an error.
    Error(Arc<dyn StdError + Send + Sync>),
    /// The job, its condition or its schedule's own code panicked with this message.
    Panic(String),
    /// It took longer than this limit.
    TimedOut(Duration),
    /// It asked to be tried again: [`Outcome::Retry`](crate::Outcome::Retry).
    Retry,
    /// The executor dropped it without running it to its end.
    Lost,
}

impl FailureKind {
    /// How a run ends whose last attempt ended so.
    pub(crate) fn end(&self) -> RunEnd {
        match self {
            FailureKind::Panic(_) => RunEnd::Panicked,
            FailureKind::TimedOut(_) => RunEnd::TimedOut,
            FailureKind::Lost => RunEnd::Lost,
            FailureKind::Error(_) | FailureKind::Retry => RunEnd::Failed,
        }
    }
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
            FailureKind::TimedOut(limit) => write!(f, "took longer than {limit:.1?}"),
            FailureKind::Retry => f.write_str("asked to be tried again"),
            FailureKind::Lost => f.write_str("was dropped by the executor before it ended"),
        }
    }
}

impl Failure {
    /// The job's name, or `job 7` if it has none; for logs.
    pub fn label(&self) -> String {
        label(self.id, self.name.as_deref())
    }
}

fn who(id: JobId, name: &Option<Arc<str>>) -> String {
    label(id, name.as_deref())
}

const SECONDS: &str = "%Y-%m-%d %H:%M:%S UTC";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { id, name, due, attempt, kind } = self;
        write!(f, "{}: failed, {kind} (due {}", who(*id, name), due.format(SECONDS))?;
        if *attempt > 1 {
            write!(f, ", attempt {attempt}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropReason::Late => "later than the grace",
            DropReason::Policy => "missed, and not made up for",
            DropReason::Deadline => "the deadline had passed",
            DropReason::Overlapped => "an earlier run was still going on",
            DropReason::Stale => "the run to follow had ended too long ago",
            DropReason::Paused => "the job was paused",
            DropReason::Rescheduled => "the job was given another schedule",
            DropReason::ResultLost => "the result to follow went with its process",
        })
    }
}

impl fmt::Display for RemoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoveReason::Cancelled => f.write_str("cancelled"),
            RemoveReason::Retired => f.write_str("retired"),
            RemoveReason::ByItself => f.write_str("by itself"),
            RemoveReason::Over => f.write_str("it has had its last run"),
            RemoveReason::Deadline => f.write_str("its deadline has passed"),
            RemoveReason::Upstream(id) => write!(f, "job {id}, which it followed, is gone"),
            RemoveReason::Panicked => f.write_str("its schedule panicked"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Registered { id, name } => write!(f, "{}: registered", who(*id, name)),
            Event::Due { id, name, due } => write!(f, "{}: due {}", who(*id, name), due.format(SECONDS)),
            Event::Blocked { id, name, by } => write!(f, "{}: held back, {by}", who(*id, name)),
            Event::Started(run) => {
                write!(f, "{}: started", who(run.id, &run.name))?;
                if run.attempt > 1 {
                    write!(f, ", attempt {}", run.attempt)?;
                }
                write!(f, ", due {}", run.due.format(SECONDS))?;
                if run.late.is_zero() { Ok(()) } else { write!(f, ", {:.1?} late by {:?}", run.late, run.late_by) }
            }
            Event::Ended { run, end, took } => write!(f, "{}: {end:?} after {took:.1?}", who(run.id, &run.name)),
            Event::Failed(failure) => failure.fmt(f),
            Event::Retried { id, name, attempt, wait, .. } => {
                write!(f, "{}: attempt {attempt} follows in {wait:.1?}", who(*id, name))
            }
            Event::TimedOut { id, name, limit, .. } => write!(f, "{}: took longer than {limit:.1?}", who(*id, name)),
            Event::Stray { id, name, took } => {
                write!(f, "{}: a run that had been given up ended after {took:.1?}", who(*id, name))
            }
            Event::Missed { id, name, occurrences, since } => {
                write!(f, "{}: one run for {occurrences} occurrences since {}", who(*id, name), since.format(SECONDS))
            }
            Event::Dropped { id, name, occurrences, since, because } => {
                let since = since.format(SECONDS);
                write!(f, "{}: {occurrences} dropped since {since}, {because}", who(*id, name))
            }
            Event::PutOff { jobs, first } => write!(f, "the budget is spent: {jobs} jobs put off, the first is job {first}"),
            Event::Overran { id, name, by } => write!(f, "{}: went on for {by:.1?} after the budget was spent", who(*id, name)),
            Event::Paused { id, name, failures } => write!(f, "{}: paused after {failures} failures in a row", who(*id, name)),
            Event::Clock(change) => change.fmt(f),
            Event::ClockIsRight { waited } => write!(f, "the wall clock is right, after {waited:.1?}"),
            Event::HostLate { by, gap } => write!(f, "the host polled after {gap:.1?}: the first job was {by:.1?} late"),
            Event::Reanchored { id, name, next } => {
                write!(f, "{}: follows the clock anew", who(*id, name))?;
                next.map_or(Ok(()), |next| write!(f, ", next {}", next.format(SECONDS)))
            }
            Event::CutOff { id, name, due, attempt, again, .. } => {
                let then = if *again { "it is run again" } else { "it is not run again" };
                let due = due.format(SECONDS);
                write!(f, "{}: the process ended in attempt {attempt} of the run due {due}; {then}", who(*id, name))
            }
            Event::HeldAfterCrashes { id, name, crashes } => {
                write!(
                    f,
                    "{}: paused, the process ended in its last {crashes} starts; resume it once that is mended",
                    who(*id, name)
                )
            }
            Event::ClaimLost { id, name, due, .. } => {
                let due = due.format(SECONDS);
                write!(f, "{}: another process took it over during the run due {due}, which counts for nothing", who(*id, name))
            }
            Event::ScheduleChanged { id, name, was, then } => {
                let then = match then {
                    OnChange::Keep => "that goes on to hold",
                    OnChange::Reanchor => "the new one counts from now",
                    OnChange::RunOnce => "the new one counts from now, with a run first",
                };
                write!(f, "{}: its schedule was `{was}`; {then}", who(*id, name))
            }
            Event::StoreFailed { error, again } => write!(f, "the store cannot be used: {error}; next try in {again:.1?}"),
            Event::StoreRecovered => f.write_str("the store can be used again"),
            Event::Removed { id, name, because } => write!(f, "{}: removed, {because}", who(*id, name)),
        }
    }
}
