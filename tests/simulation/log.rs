//! What both sides write down: every call of a job, in order, and what observers are told.

use std::fmt;

use chrono::DateTime;

use crate::plan::Ms;

/// One call of a job, or what became of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Line {
    /// A job is called.
    Call(Call),
    /// The call that has this number comes back.
    Back { job: usize, serial: u64, at: Ms, ended: &'static str },
    /// What an act gave.
    Act(String),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) job: usize,
    /// Which call it is, of all jobs together.
    pub(crate) serial: u64,
    /// Elapsed time.
    pub(crate) at: Ms,
    pub(crate) due: Ms,
    pub(crate) first: Ms,
    pub(crate) folded: u64,
    pub(crate) attempt: u32,
    pub(crate) turn: u32,
    /// The runs that it follows: the job, and when it was due.
    pub(crate) follows: Vec<(usize, Ms)>,
    /// The values that it is given: the numbers of the calls that returned them.
    pub(crate) values: Vec<u64>,
}

/// What observers are told, and what a job's end leaves. Compared without regard to order within a step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Failed { job: usize, due: Ms, how: &'static str },
    Retried { job: usize, attempt: u32 },
    Ended { job: usize, end: &'static str },
    Missed { job: usize, occurrences: u64, since: Ms },
    Dropped { job: usize, occurrences: u64, since: Ms, because: String },
    PutOff { jobs: usize },
    Overran { job: usize, by: Ms },
    TimedOut { job: usize },
    Stray { job: usize },
    Paused { job: usize },
    Clock { change: String },
    Reanchored { job: usize, next: Option<Ms> },
    Removed { job: usize },
}

/// What the scheduler's side did, in its order: what the laws are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The two scales at that moment.
    pub(crate) elapsed: Ms,
    pub(crate) wall: Ms,
    pub(crate) what: What,
}

impl Heard {
    pub(crate) fn line(&self) -> Option<&Line> {
        if let What::Line(line) = &self.what { Some(line) } else { None }
    }

    pub(crate) fn told(&self) -> Option<&Told> {
        if let What::Told(told) = &self.what { Some(told) } else { None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Line(Line),
    Told(Told),
    /// An attempt started, here or by being handed over; a further turn in the background too.
    Started {
        job: usize,
        attempt: u32,
        turn: u32,
        due: Ms,
    },
    /// A poll began, with this budget; and it ended.
    Poll(Option<Ms>),
    Polled,
    ByHand(usize),
    Rescheduled(usize),
    ShutDown,
}

/// What a poll returned.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticked {
    pub(crate) busy: bool,
    pub(crate) ran: usize,
    pub(crate) handed: usize,
    pub(crate) returned: usize,
    pub(crate) failed: usize,
    pub(crate) put_off: usize,
}

/// What can be asked of a job between polls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) there: bool,
    pub(crate) paused: bool,
    pub(crate) running: bool,
    pub(crate) runs: u64,
    pub(crate) errors: u64,
    pub(crate) panics: u64,
    pub(crate) timeouts: u64,
    pub(crate) stopped: u64,
    pub(crate) retries: u64,
    pub(crate) folded: u64,
    pub(crate) dropped: u64,
    /// `None` also where it is not defined.
    pub(crate) next: Option<Ms>,
    /// When its last run was due, how many occurrences it was for, how it ended.
    pub(crate) last: Option<(Ms, u64, &'static str)>,
}

/// An instant of the wall clock.
pub(crate) struct At(pub(crate) Ms);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(at) if self.0 % 1000 == 0 => write!(f, "{}", at.format("%Y-%m-%d %H:%M:%S")),
            Some(at) => write!(f, "{}", at.format("%Y-%m-%d %H:%M:%S%.3f")),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Call(call) => {
                write!(f, "#{} j{} called at {}, due {}", call.serial, call.job, At(call.at), At(call.due))?;
                if call.folded != 1 || call.first != call.due {
                    write!(f, ", first {}, folded {}", At(call.first), call.folded)?;
                }
                if (call.attempt, call.turn) != (1, 0) {
                    write!(f, ", attempt {}, turn {}", call.attempt, call.turn)?;
                }
                for (job, due) in &call.follows {
                    write!(f, ", follows j{job} due {}", At(*due))?;
                }
                if !call.values.is_empty() {
                    write!(f, ", given {:?}", call.values)?;
                }
                Ok(())
            }
            Line::Back { job, serial, at, ended } => write!(f, "#{serial} j{job} back at {}: {ended}", At(*at)),
            Line::Act(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Failed { job, due, how } => write!(f, "j{job} failed, due {}: {how}", At(*due)),
            Told::Missed { job, occurrences, since } => write!(f, "j{job} made up for {occurrences} since {}", At(*since)),
            Told::Dropped { job, occurrences, since, because } => {
                write!(f, "j{job} dropped {occurrences} since {}: {because}", At(*since))
            }
            Told::Reanchored { job, next } => {
                write!(f, "j{job} reanchored, next {}", next.map_or("-".into(), |next| At(next).to_string()))
            }
            told => write!(f, "{told:?}"),
        }
    }
}
