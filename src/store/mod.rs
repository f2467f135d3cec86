//! What outlives the process: what is known of named jobs, and of their runs.
//!
//! A [`Store`] keeps records and knows nothing of schedules or clocks. Whoever writes puts what belongs together into one
//! [`Change`]: a run that ends, and the runs that it sets off. A change is kept whole or not at all, and only if nobody else
//! has written to its jobs since they were read; so of several processes that want the same occurrence one has it.
//!
//! Reading waits for the answer. Writing does not: [`Store::write`] is given a [`Done`] to answer with, before it returns or
//! later from a thread of its own, so that a poll can go on while a store is slow.
//!
//! Instants are by the wall clock, since no other clock outlives a reboot. How long a job is held for its process is a length
//! of time, counted by the store on a clock that nobody sets.

mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::job::RunEnd;
use crate::run::LateBy;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteOptions, SqliteStore, rusqlite};

/// Where a scheduler's named jobs, and their runs, are kept between two lives of its program.
///
/// Two calls may come at once, from any threads. A store that cannot do what is asked says so in a [`StoreError`] and leaves
/// all as it was; it never panics, and never begins anew in place of something that it cannot read.
pub trait Store: Send + Sync + 'static {
    /// What is known of a job; `None` if nothing is.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being read. A record that is there and cannot be read is [`StoreError::Damaged`], not `None`.
    fn load(&self, name: &str) -> Result<Option<JobRecord>, StoreError>;

    /// The names of all jobs that are known, in order.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn names(&self) -> Result<Vec<String>, StoreError>;

    /// Writes changes, each whole or not at all, and answers by `done`: for each change, in order, whether it was kept.
    ///
    /// An error is for all of them: none was kept. Once it is answered that a change was kept, it survives what the store
    /// promises to survive.
    fn write(&self, batch: Batch, done: Done);

    /// Runs that have ended, as they are asked for.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn history(&self, query: &HistoryQuery) -> Result<Vec<RunRecord>, StoreError>;

    /// Forgets ended runs beyond what is to be kept, the oldest first, `most` of them at most; gives how many. Runs that go on
    /// or wait are never forgotten.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being written.
    fn prune(&self, keep: &Keep, most: usize) -> Result<usize, StoreError>;

    /// Forgets a job and all its runs; says whether it was known.
    ///
    /// # Errors
    ///
    /// As [`prune`](Self::prune); [`StoreError::Held`] while another process holds the job.
    fn purge(&self, name: &str) -> Result<bool, StoreError>;
}

/// What is known of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// Its name.
    pub name: Arc<str>,
    /// How often it was written: the record that a change is based on. Also the fence: whoever holds an older one has lost the
    /// job. 0 for a job that is not known yet.
    pub version: u64,
    /// Its schedule as text; empty if it follows another job or has a trigger of the user's own.
    pub schedule: String,
    /// The instant from which its intervals count.
    pub anchor: DateTime<Utc>,
    /// What was due up to here has been decided on.
    pub searched: DateTime<Utc>,
    /// What was due up to here had been missed when its last run started.
    pub missed_until: Option<DateTime<Utc>>,
    /// When the last occurrence was due that became a run.
    pub last_due: Option<DateTime<Utc>>,
    /// When a run last started.
    pub last_start: Option<DateTime<Utc>>,
    /// When a run last ended.
    pub last_end: Option<DateTime<Utc>>,
    /// How many runs in a row ended badly.
    pub failures: u32,
    /// How many starts in a row were cut off by the end of their process.
    pub crashes: u32,
    /// Whether it is paused.
    pub paused: bool,
    /// How many runs may still start; `None` for any number.
    pub runs_left: Option<u32>,
    /// The number that the last run was given, from 1.
    pub last_run: u64,
    /// Runs that have not ended, by number: they wait to start, go on, or are to be tried again.
    pub open: Vec<RunRecord>,
    /// If it follows all of several jobs: the successes of sets that are not complete, of each job the last one, or with
    /// [`same_due`](crate::Following::same_due) the last one for each instant.
    pub gathered: Vec<FollowedRun>,
    /// Who holds it.
    pub held: Option<Held>,
}

impl JobRecord {
    /// A job of which nothing is known yet.
    pub fn new(name: impl Into<Arc<str>>, anchor: DateTime<Utc>) -> Self {
        JobRecord {
            name: name.into(),
            version: 0,
            schedule: String::new(),
            anchor,
            searched: anchor,
            missed_until: None,
            last_due: None,
            last_start: None,
            last_end: None,
            failures: 0,
            crashes: 0,
            paused: false,
            runs_left: None,
            last_run: 0,
            open: Vec::new(),
            gathered: Vec::new(),
            held: None,
        }
    }
}

/// Who holds a job, so that nobody else may write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The node: a process, for as long as it lives.
    pub by: Arc<str>,
    /// How much longer, unless it is written again.
    pub left: Duration,
}

/// What is known of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its job.
    pub job: Arc<str>,
    /// Its number among the job's runs, from 1.
    pub number: u64,
    /// When it was due; of several occurrences that it makes up for, the last.
    pub due: DateTime<Utc>,
    /// When the first occurrence was due that it makes up for.
    pub first_missed: DateTime<Utc>,
    /// How many occurrences it makes up for.
    pub folded: u64,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// Where it is in its life.
    pub state: RunState,
    /// How late it started, and what made it late for the most part.
    pub late: Duration,
    /// See `late`.
    pub late_by: LateBy,
    /// How long its last attempt took.
    pub took: Duration,
    /// What was wrong, if its last attempt ended badly: [`LONGEST_ERROR`] bytes of it at most.
    pub error: Option<String>,
    /// The runs that it follows.
    pub follows: Vec<FollowedRun>,
}

/// A run that another one follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedRun {
    /// Its job.
    pub job: Arc<str>,
    /// Its number among that job's runs; 0 if that job is not kept.
    pub number: u64,
    /// When it was due.
    pub due: DateTime<Utc>,
    /// In which attempt it ended.
    pub attempt: u32,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Its result as bytes, if that can be kept, until the run has ended that follows it.
    pub value: Option<Arc<[u8]>>,
}

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It is to start.
    Waiting {
        /// Not before this instant.
        from: DateTime<Utc>,
        /// Whether it was asked for by hand.
        by_hand: bool,
    },
    /// An attempt has started.
    Started {
        /// When.
        at: DateTime<Utc>,
    },
    /// An attempt failed, and the next one is to come.
    Again {
        /// Not before this instant.
        from: DateTime<Utc>,
    },
    /// It is over.
    Ended {
        /// When its last attempt started; `None` if none did.
        started: Option<DateTime<Utc>>,
        /// When it ended.
        at: DateTime<Utc>,
        /// How.
        end: RunEnd,
    },
    /// Its process ended before it did.
    CutOff {
        /// When its last attempt started.
        started: DateTime<Utc>,
        /// When that was noticed.
        at: DateTime<Utc>,
    },
}

impl RunState {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self, RunState::Ended { .. } | RunState::CutOff { .. })
    }
}

/// The longest text of an error that is kept, in bytes; longer ones are cut.
pub const LONGEST_ERROR: usize = 1024;

/// Several changes that are written together: at the cost of one, and each for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Who writes: the node that holds the jobs from now on.
    pub node: Arc<str>,
    /// What is to be written.
    pub changes: Vec<Change>,
}

/// What belongs together: kept whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// The jobs as they are to be.
    pub jobs: Vec<JobChange>,
}

/// A job as it is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobChange {
    /// Its record, with the version of the one that it is based on; `held` is not looked at. Its open runs take the place of
    /// those that were open.
    pub record: JobRecord,
    /// Runs of it that are over, for the history.
    pub ended: Vec<RunRecord>,
    /// For how long nobody else may write to it; zero to let go of it.
    pub hold: Duration,
    /// Under which name it was known before, if that changes. That record goes, its history moves along.
    pub formerly: Option<Arc<str>>,
}

/// Whether a change was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It was, and each of its jobs has its next version.
    Yes,
    /// It was not: another process holds one of its jobs, or has written to it since.
    No {
        /// That job's name.
        job: Arc<str>,
    },
}

/// Answers a write, once. Dropped without, it answers [`StoreError::Unanswered`].
pub struct Done(Option<Answer>);

type Answer = Box<dyn FnOnce(Result<Vec<Kept>, StoreError>) + Send>;

impl Done {
    /// Calls a function with the answer, on whichever thread gives it.
    pub fn new(answer: impl FnOnce(Result<Vec<Kept>, StoreError>) + Send + 'static) -> Self {
        Done(Some(Box::new(answer)))
    }

    /// Gives the answer.
    pub fn with(mut self, answer: Result<Vec<Kept>, StoreError>) {
        if let Some(done) = self.0.take() {
            done(answer);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(StoreError::Unanswered));
        }
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done").finish_non_exhaustive()
    }
}

/// Which ended runs are asked for: the newest first, by when they ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Of this job only.
    pub job: Option<Arc<str>>,
    /// Ended no earlier than this.
    pub since: Option<DateTime<Utc>>,
    /// Ended before this.
    pub before: Option<DateTime<Utc>>,
    /// So many at most.
    pub most: usize,
}

impl Default for HistoryQuery {
    /// The last hundred runs of all jobs.
    fn default() -> Self {
        HistoryQuery { job: None, since: None, before: None, most: 100 }
    }
}

/// Which ended runs are kept: those that are within both bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// The last so many of each job.
    pub count: Option<u64>,
    /// Those that ended no earlier than this.
    pub since: Option<DateTime<Utc>>,
}

/// Why a store could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum StoreError {
    #[error("{path}: there is no such folder; create it, or give another path")]
    NoFolder { path: String },
    #[error("{path}: this is no SQLite database, and is left as it is; give another path, or move the file away")]
    NotADatabase { path: String },
    #[error("{path}: this was written by a newer version (schema {found}, this one knows {known} and older); update the program")]
    Newer { path: String, found: u32, known: u32 },
    #[error("{path}: damaged, and left as it is: {what}; restore it from a backup, or move it away to begin anew")]
    Damaged { path: String, what: String },
    #[error("{path}: the store that was here is gone or empty; restore it, or remove {mark} to begin anew")]
    Gone { path: String, mark: String },
    #[error("{path}: this is not the store that was here; restore it, or remove {mark} to go on with this one")]
    OtherStore { path: String, mark: String },
    #[error(
        "{path}: the last {commits} commits are missing; restore a backup, or open it with `accept_shortened` to go on without them"
    )]
    Shortened { path: String, commits: u64 },
    #[error("{path}: there is a file already, and it is left as it is; give another path")]
    Exists { path: String },
    #[error("{path}: the file was deleted or replaced while it was open; nothing is written to either until it is opened anew")]
    Replaced { path: String },
    #[error("{path}: it cannot be written; check its permissions, and those of its folder")]
    ReadOnly { path: String },
    #[error("{path}: no room is left on the disk; what was to be written is written when there is")]
    Full { path: String },
    #[error("{path}: another process is writing; what was to be written is written when it has ended")]
    Busy { path: String },
    #[error("{path}: {what}")]
    Io { path: String, what: String },
    #[error("job {job:?} is held by {by:?}; stop that process, or wait until its hold has run out")]
    Held { job: String, by: String },
    #[error(
        "run {number} of job {job:?} does not go on in attempt {attempt}, by its store: it has ended, or another process has taken it over; roll the transaction back"
    )]
    Fenced { job: String, number: u64, attempt: u32 },
    #[error(
        "{job} is not kept in a store, so none of its runs can be said to be done there; give it a name, and its scheduler the store"
    )]
    NotKept { job: String },
    #[error(
        "{path}: the connection is on {given}, and no transaction on that one says anything here; open it on the store's file"
    )]
    OtherFile { path: String, given: String },
    #[error(
        "{path}: no transaction is open on the connection; begin one, so that the job's data and the end of its run are one commit"
    )]
    NoTransaction { path: String },
    #[error("the store did not answer a write; whether it was kept is not known")]
    Unanswered,
}
