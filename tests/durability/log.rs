//! What is noted of a machine's lives: by its jobs, its observers and its disk.

use std::fmt;

use chrono::{DateTime, Utc};
use punctual::{DropReason, JobRecord, OnChange, RunRecord};

/// An instant by the clocks of one life of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct At {
    pub life: usize,
    pub wall: i64,
    /// Elapsed time, on a scale that began as the wall clock's.
    pub elapsed: i64,
    /// Later instants have greater ones, also if no time has passed.
    pub turn: u64,
}

impl At {
    pub fn ahead(&self) -> i64 {
        self.wall - self.elapsed
    }
}

/// What happened, in its order. Nothing is noted of a process that is dead.
#[derive(Debug, Clone)]
pub struct Line {
    /// When; within a poll, the instant of the poll, which is what it goes by.
    pub at: At,
    pub job: usize,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    /// The program has started.
    Boot,
    /// Whether its store knew the job, and how it stands then.
    Registered {
        known: bool,
        paused: bool,
    },
    ScheduleChanged(OnChange),
    Reanchored,
    CutOff {
        due: i64,
        attempt: u32,
        again: bool,
    },
    Held,
    Dropped {
        count: u64,
        since: i64,
        because: DropReason,
    },
    /// What a job writes down when it is called, and as it comes back.
    Began {
        run: Called,
        flagged: bool,
    },
    Finished {
        number: u64,
        attempt: u32,
        failed: bool,
    },
    /// What the disk has from now on.
    Kept {
        record: Box<JobRecord>,
        ended: Vec<RunRecord>,
    },
    Polled,
    /// A poll is over in which all could be written that was to be.
    Written,
    /// The wall clock was set back.
    SetBack,
    Paused,
    Resumed,
    /// The process is dead, or has ended.
    Over,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let At { life, wall, .. } = self.at;
        let read = |at: i64| DateTime::from_timestamp_nanos(at).format("%Y-%m-%d %H:%M:%S%.3f").to_string();
        write!(f, "life {life} {} ahead {:.3}s  ", read(wall), self.at.ahead() as f64 / 1e9)?;
        match &self.what {
            What::Kept { record, ended } => {
                write!(f, "kept {:?} `{}` anchor {}", record.name, record.schedule, read(nanos(&record.anchor)))?;
                write!(f, " searched {} missed until {:?}", read(nanos(&record.searched)), record.missed_until)?;
                write!(f, " due {:?} left {:?} paused {}", record.last_due, record.runs_left, record.paused)?;
                for run in record.open.iter().chain(ended) {
                    let first = read(nanos(&run.first_missed));
                    write!(f, " [{}.{} {first} x{} {:?}]", run.number, run.attempt, run.folded, run.state)?;
                }
                Ok(())
            }
            What::Began { run, flagged } => {
                let Called { first, due, folded, number, attempt, follows } = run;
                let (first, due) = (read(*first), read(*due));
                write!(f, "began {number}.{attempt} {first} to {due} x{folded} {follows:?} {flagged}")
            }
            What::Dropped { count, since, because } => write!(f, "dropped {count} since {} {because:?}", read(*since)),
            what => write!(f, "{what:?}"),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Called {
    pub first: i64,
    pub due: i64,
    pub folded: u64,
    pub number: u64,
    pub attempt: u32,
    pub follows: Vec<u64>,
}

pub fn nanos(at: &DateTime<Utc>) -> i64 {
    at.timestamp_nanos_opt().unwrap()
}
