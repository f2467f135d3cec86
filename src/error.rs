//! What can be wrong with what a user passes in.

use crate::schedule::{CronError, TextError};

/// Why a schedule or a job was refused: what was wrong, what was given, what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error("an interval of {given} would never end; write 1 or more")]
    ZeroInterval { given: String },
    #[error("an interval of {given} is too long; the longest is 200 years")]
    TooLong { given: String },
    #[error("every({n}).{unit}(): more than one is counted in the plural; write every({n}).{unit}s()")]
    Singular { n: u32, unit: &'static str },
    #[error("every({n}).{weekday}(): weekdays are counted in weeks; write every({n}).weeks().on(Weekday::...)")]
    CountedWeekday { n: u32, weekday: &'static str },
    #[error("every({least}).to({most}): a random gap goes from the shorter to the longer; write every({most}).to({least})")]
    ReversedRange { least: u32, most: u32 },
    #[error("every({least}).to({most}).{unit}: a random gap is counted in weeks at most; use {accept}")]
    RandomUnit { least: u32, most: u32, unit: &'static str, accept: &'static str },
    #[error("at({given:?}): not a place in {unit}; write {accept}")]
    TimeOfDay { given: String, unit: &'static str, accept: &'static str },
    #[error("{word} does not go with `{schedule}`; {accept}")]
    DoesNotFit { word: &'static str, schedule: String, accept: &'static str },
    #[error("{word}({given}): {least} to {most} is the range")]
    DayOfMonth { word: &'static str, given: u8, least: u8, most: u8 },
    #[error("zone {given:?} is not known; write {suggestion}")]
    UnknownZone { given: String, suggestion: &'static str },
    #[error("between({from:?}, {to:?}): a daily window is given by two times, \"HH:MM\" or \"HH:MM:SS\"")]
    Window { from: String, to: String },
    #[error(
        "until({given:?}): not a deadline; write \"HH:MM\", \"HH:MM:SS\", \"YYYY-MM-DD\", \"YYYY-MM-DD HH:MM\" or \"YYYY-MM-DD HH:MM:SS\""
    )]
    Deadline { given: String },
    #[error("until({given}): that is past (it is {now}); give a later deadline")]
    DeadlinePassed { given: String, now: String },
    #[error("times(0) would never run; write 1 or more, or leave it out")]
    ZeroTimes,
    #[error("`{schedule}` never runs: {reason}")]
    NeverRuns { schedule: String, reason: &'static str },
    #[error("cron text {text:?}: {error}")]
    Cron {
        text: String,
        #[source]
        error: CronError,
    },
    #[error("schedule text {text:?}: {error}")]
    Text {
        text: String,
        #[source]
        error: TextError,
    },
    #[error("the scheduler is gone; keep a clone of it for as long as its jobs are needed")]
    SchedulerGone,
    #[error("the job is gone: it was cancelled, or has had its last run; register it again")]
    JobGone,
    #[error("the job followed belongs to another scheduler; follow a job of this one")]
    OtherScheduler,
    #[error("missed(RunAll {{ most: 0 }}) would make up for nothing; write 1 or more, or Missed::Skip")]
    ZeroCatchUp,
}
