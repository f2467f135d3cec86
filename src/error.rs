//! What can be wrong with what a user passes in.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// The longest schedule text, in bytes.
pub(crate) const LONGEST_TEXT: usize = 4096;

/// How deep parentheses may stand in one.
pub(crate) const DEEPEST_TEXT: u32 = 16;

/// The longest cron text, in bytes.
pub(crate) const LONGEST_CRON: usize = 1024;

/// The longest calendar event of systemd's, in bytes. Normalized, it still fits into a schedule text.
#[cfg(feature = "systemd")]
pub(crate) const LONGEST_ON_CALENDAR: usize = 1024;

/// The beginning of a text that was given, for a person: what is hostile may be long.
pub(crate) fn brief(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((cut, _)) => on_one_line(text.get(..cut).unwrap_or_default()) + "...",
        None => on_one_line(text),
    }
}

/// The same with escapes for what would end a line of a log, or do something to a terminal.
pub(crate) fn on_one_line(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() };
    if text.contains(char::is_control) { text.chars().map(shown).collect() } else { text.to_owned() }
}

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
    #[error("a daily window from {from:?} to {to:?} cannot be read; write two times, \"HH:MM\" or \"HH:MM:SS\"")]
    Window { from: String, to: String },
    #[error(
        "until({given:?}): not a deadline; write \"HH:MM\", \"HH:MM:SS\", \"YYYY-MM-DD\", \"YYYY-MM-DD HH:MM\" or \"YYYY-MM-DD HH:MM:SS\""
    )]
    Deadline { given: String },
    #[error("until({given}): that is past (it is {now}); give a later deadline")]
    DeadlinePassed { given: String, now: String },
    #[error("named({name:?}): there is a job of this name; in a store each has a name of its own")]
    NameTaken { name: String },
    #[error("job {name:?}: {error}")]
    Store {
        name: String,
        #[source]
        error: crate::store::StoreError,
    },
    #[error("{word}() says nothing without {without}(); add {without}(), or leave it out")]
    NothingSaid { word: &'static str, without: &'static str },
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
    #[cfg(feature = "systemd")]
    #[error("calendar event {text:?}: {error}")]
    OnCalendar {
        text: String,
        #[source]
        error: OnCalendarError,
    },
    #[error("schedule text {text:?}: {error}")]
    Text {
        text: String,
        #[source]
        error: TextError,
    },
    #[error("the scheduler is gone; keep a clone of it for as long as its jobs are needed")]
    SchedulerGone,
    #[error("the scheduler was shut down; register jobs with another one")]
    ShutDown,
    #[error("the job is gone: it was cancelled, or has had its last run; register it again")]
    JobGone,
    #[error("the job followed belongs to another scheduler; follow a job of this one")]
    OtherScheduler,
    #[error("following this job would close a circle: {path}; each would set off the next for ever")]
    Circle { path: String },
    #[error("a job that follows others runs with their results; also_after is for jobs with a schedule: use following_any")]
    NoSchedule,
    #[error("the limit {name:?} lets {known} and was given {given}; use the same numbers for all jobs, or another name")]
    LimitDiffers { name: String, known: String, given: String },
    #[error(
        "a run of this job returns {returns} and unless_done finds {finds}; have it find an Option<{returns}>, which those that \
         follow are given"
    )]
    OtherTarget { returns: &'static str, finds: &'static str },
    #[error("a backfill from {from} to {to} holds no instant; the first is in it and is to be the earlier one")]
    EmptyRange { from: DateTime<Utc>, to: DateTime<Utc> },
    #[error(
        "\"{schedule}\" is counted from when its job was registered, or drawn, so it has no occurrences in the past to backfill; align it \
         to the clock with aligned(), or give it a time of day with at(..)"
    )]
    NoPast { schedule: String },
    #[error("a job that follows others has no occurrences of its own; backfill the job with which its chain begins")]
    NoOccurrences,
    #[error("a backfill of {job} goes on; wait until it is over, or stop it")]
    Backfilling { job: String },
    #[error("{word} of 0 would let nothing run; write 1 or more")]
    ZeroOfMany { word: &'static str },
    #[error("overlap(Allow {{ .. }}) needs runs beside each other, and this job runs on the polling thread; add background()")]
    AllowInline,
    #[error("following_any of no jobs would never run; name one or more")]
    NothingToFollow,
    #[error("delay({delay:?}) is longer than within({within:?}): no result would be fresh enough; give it more time")]
    NeverFresh { delay: Duration, within: Duration },
    #[error("there is no tokio runtime here; register the job within one, or use do_future with a way to spawn")]
    NoRuntime,
    #[error(
        "the thread for commands could not be started: {reason}; free what the system is short of and register the job again"
    )]
    NoCommandThread { reason: String },
    #[cfg(feature = "launchd")]
    #[error("{path} cannot be watched: {error}; take it out of WatchPaths, QueueDirectories or PathState, or mend it")]
    Watch { path: String, error: String },
    #[error("missed(RunAll {{ most: 0 }}) would make up for nothing; write 1 or more, or Missed::Skip")]
    ZeroCatchUp,
}

/// Why a schedule text was refused. `column` counts characters of the text from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum TextError {
    #[error("the text is empty; write when, such as `every 5 minutes` or `every monday at 09:00`")]
    Empty,
    #[error("the text has {bytes} bytes; {LONGEST_TEXT} is the most that is read")]
    TooLong { bytes: usize },
    #[error(
        "printed, the schedule has {bytes} bytes; {LONGEST_TEXT} is the most that is read; say less, or join its parts in the program"
    )]
    TooLongPrinted { bytes: usize },
    #[error("parentheses stand more than {DEEPEST_TEXT} deep")]
    TooDeep,
    #[error("`{found}` at column {column}; {expected} would go here")]
    Unexpected { found: String, column: usize, expected: &'static str },
    #[error("the text ends where {expected} would go")]
    Ended { expected: &'static str },
    #[error("at column {column}: {error}")]
    Refused { column: usize, error: Box<Error> },
    #[error(
        "`{found}` at column {column} stands for code (a predicate, a trigger, a zone of one's own), which no text can hold; build this schedule in the program"
    )]
    Code { found: String, column: usize },
}

/// Why a cron text was refused. `column` counts characters of the text from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum CronError {
    #[error("the cron text is empty; write five fields (minute hour day month weekday), such as `0 9 * * 1-5`")]
    Empty,
    #[error("the cron text has {bytes} bytes; {LONGEST_CRON} is the most that is read")]
    TooLong { bytes: usize },
    #[error("{found} {}, where 5, 6 (seconds first) or 7 (year last) are read; write `minute hour day month weekday`", if *.found == 1 { "field" } else { "fields" })]
    FieldCount { found: usize },
    #[error("{found} {}, where a crontab line has 5: `minute hour day month weekday`", if *.found == 1 { "field" } else { "fields" })]
    FieldCountVixie { found: usize },
    #[error(
        "`{}` at column {column} cannot stand in a cron text; fields are parted by spaces or tabs and made of ASCII letters, digits and * , - / ? # +", on_one_line(&.given.to_string())
    )]
    Character { given: char, column: usize },
    #[error(
        "nickname `{given}` is not known; write @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @reboot, alone"
    )]
    Nickname { given: String },
    #[error("{field} `{given}` at column {column}: {least} to {most} is the range; write a number in it")]
    OutOfRange { field: Field, given: String, column: usize, least: u32, most: u32 },
    #[error("{field} `{given}` at column {column}: a range goes from the lower to the higher; write {instead}")]
    ReversedRange { field: Field, given: String, column: usize, instead: String },
    #[error("{field} `{given}` at column {column}: a list item is empty; take the comma away")]
    EmptyItem { field: Field, given: String, column: usize },
    #[error("{field} `{given}` at column {column}: a step follows `*` or a range; write {instead}")]
    StepWithoutRange { field: Field, given: String, column: usize, instead: String },
    #[error("{field} `{given}` at column {column}: the step cannot be read so; {hint}")]
    Step { field: Field, given: String, column: usize, hint: &'static str },
    #[error("{field} `{given}` at column {column}: `*` takes in every value, so it stands alone; leave the other items out")]
    StarInList { field: Field, given: String, column: usize },
    #[error("{field} `{given}` at column {column}: not a name of a {field}; {accept}")]
    Name { field: Field, given: String, column: usize, accept: &'static str },
    #[error("{field} `{given}` at column {column}: `{modifier}` {reason}")]
    Modifier { field: Field, given: String, column: usize, modifier: char, reason: &'static str },
    #[error("{field} `{given}` at column {column} is no value; {accept}")]
    Value { field: Field, given: String, column: usize, accept: &'static str },
}

/// Why a calendar event (`OnCalendar=`) was refused. `column` counts characters of the text from 1.
#[cfg(feature = "systemd")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum OnCalendarError {
    #[error("the calendar event is empty; write weekdays, a date or a time, such as `Mon..Fri 09:00`, or `daily`")]
    Empty,
    #[error("the calendar event has {bytes} bytes; {LONGEST_ON_CALENDAR} is the most that is read")]
    TooLong { bytes: usize },
    #[error("the list at column {column} has too many items; 241 is the most that is read")]
    TooMany { column: usize },
    #[error("`{given}` at column {column}; {expected} would go here")]
    Unexpected { given: String, column: usize, expected: &'static str },
    #[error("the calendar event ends where {expected} would go")]
    Ended { expected: &'static str },
    #[error("zone `{given}` at column {column} is not known; write {suggestion}")]
    Zone { given: String, column: usize, suggestion: &'static str },
    #[error("{field} `{given}` at column {column}: {least} to {most} is the range; write a number in it")]
    OutOfRange { field: Field, given: String, column: usize, least: u32, most: u32 },
    #[error("{field} `{given}` at column {column}: a range goes from the lower to the higher; write {instead}")]
    ReversedRange { field: Field, given: String, column: usize, instead: String },
    #[error("{field} `{given}` at column {column}: the step cannot be read so; {hint}")]
    Step { field: Field, given: String, column: usize, hint: &'static str },
    #[error("instant `{given}` at column {column}: it lies outside the years 1970 to 2199; write seconds since 1970 within them")]
    Instant { given: String, column: usize },
}

/// A field of a cron text, or of a calendar event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Field {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
    Year,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Second => "second",
            Field::Minute => "minute",
            Field::Hour => "hour",
            Field::DayOfMonth => "day of month",
            Field::Month => "month",
            Field::DayOfWeek => "weekday",
            Field::Year => "year",
        })
    }
}
