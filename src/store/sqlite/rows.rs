//! Jobs and runs as rows, and rows as jobs and runs.
//!
//! A row is written and read in the order of its table's columns. Its last column is a checksum of the others and of the
//! table's name; a row whose checksum differs is not read.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Row, params_from_iter};

use super::fault::Fault;
use super::holds::{Holds, Time};
use crate::job::RunEnd;
use crate::run::LateBy;
use crate::schedule::{from_nanos, length, to_nanos};
use crate::store::{FollowedRun, Held, JobRecord, RunRecord, RunState};

pub(super) const JOBS: &str = "punctual_jobs";
pub(super) const RUNS: &str = "punctual_runs";

/// The columns of a row without its checksum.
pub(super) type Columns<'a, const N: usize> = [ValueRef<'a>; N];

pub(super) const JOB_COLUMNS: usize = 22;
pub(super) const RUN_COLUMNS: usize = 16;

/// A checksum that differs if a value, its kind, its column or its table does.
pub(super) fn checksum<'a>(table: &str, columns: impl IntoIterator<Item = ValueRef<'a>>) -> i64 {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(table.as_bytes());
    for column in columns {
        match column {
            ValueRef::Null => bytes.push(0),
            ValueRef::Integer(value) => add(&mut bytes, &[1], &value.to_le_bytes()),
            ValueRef::Real(value) => add(&mut bytes, &[2], &value.to_le_bytes()),
            ValueRef::Text(value) => add(&mut bytes, &head(3, value), value),
            ValueRef::Blob(value) => add(&mut bytes, &head(4, value), value),
        }
    }
    crc32fast::hash(&bytes).into()
}

fn add(bytes: &mut Vec<u8>, head: &[u8], value: &[u8]) {
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(value);
}

/// The kind of a value and its length, so that it is clear where the next one begins.
fn head(kind: u8, value: &[u8]) -> [u8; 9] {
    let mut head = [kind; 9];
    head[1..].copy_from_slice(&(value.len() as u64).to_le_bytes());
    head
}

/// Writes a row: its columns, then its checksum, as the statement's parameters.
pub(super) fn execute<const N: usize>(
    statement: &mut CachedStatement<'_>,
    columns: &Columns<'_, N>,
    checksum: i64,
) -> rusqlite::Result<usize> {
    let values = columns.iter().copied().chain([ValueRef::Integer(checksum)]);
    statement.execute(params_from_iter(values.map(ToSqlOutput::Borrowed)))
}

/// A row, read column by column.
pub(super) struct Fields<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Fields<'r> {
    /// The first columns of a row whose checksum, which follows them, is right; and that checksum. `which` says which row it
    /// is, if it is damaged.
    pub(super) fn of(
        row: &'r Row<'r>,
        table: &str,
        columns: usize,
        which: impl FnOnce() -> String,
    ) -> Result<(Self, i64), Fault> {
        // A column that is missing makes the checksum differ.
        let found = checksum(table, (0..columns).map_while(|column| row.get_ref(column).ok()));
        match row.get_ref(columns)? {
            ValueRef::Integer(written) if written == found => Ok((Fields { row, next: 0 }, found)),
            _ => Err(Fault::Damaged(format!("the checksum of {} in {table} is wrong", which()))),
        }
    }

    fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    fn next<T: rusqlite::types::FromSql>(&mut self) -> Result<T, Fault> {
        self.next += 1;
        Ok(self.row.get(self.next - 1)?)
    }

    pub(super) fn int(&mut self) -> Result<i64, Fault> {
        self.next()
    }

    pub(super) fn count<T: TryFrom<i64>>(&mut self) -> Result<T, Fault> {
        let value = self.int()?;
        value.try_into().map_err(|_| Fault::Damaged(format!("{value} is no count")))
    }

    pub(super) fn blob<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.next()
    }

    fn text(&mut self) -> Result<&'r str, Fault> {
        self.optional_text()?.ok_or_else(|| Fault::Damaged("a text is missing".to_owned()))
    }

    fn optional_text(&mut self) -> Result<Option<&'r str>, Fault> {
        self.next += 1;
        let value = self.row.get_ref(self.next - 1)?;
        value.as_str_or_null().map_err(|error| Fault::Damaged(error.to_string()))
    }

    fn instant(&mut self) -> Result<DateTime<Utc>, Fault> {
        self.int().map(from_nanos)
    }

    fn optional_instant(&mut self) -> Result<Option<DateTime<Utc>>, Fault> {
        Ok(self.next::<Option<i64>>()?.map(from_nanos))
    }

    fn time(&mut self) -> Result<Duration, Fault> {
        self.count().map(Duration::from_nanos)
    }
}

/// A number that counts, as far as SQLite counts.
pub(super) fn int(value: impl TryInto<i64>) -> ValueRef<'static> {
    ValueRef::Integer(value.try_into().unwrap_or(i64::MAX))
}

/// The same as a statement's parameter.
pub(super) fn parameter(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn text(value: &str) -> ValueRef<'_> {
    ValueRef::Text(value.as_bytes())
}

fn instant(value: &DateTime<Utc>) -> ValueRef<'static> {
    ValueRef::Integer(to_nanos(value))
}

fn time(value: Duration) -> ValueRef<'static> {
    ValueRef::Integer(length(value))
}

fn optional<'a, T>(value: Option<T>, column: impl FnOnce(T) -> ValueRef<'a>) -> ValueRef<'a> {
    value.map_or(ValueRef::Null, column)
}

/// What a job's row tells besides its record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct JobRow {
    pub(super) id: i64,
    pub(super) version: u64,
    /// How many ended runs of it are kept.
    pub(super) kept: i64,
    /// Its open runs, and the sum of the checksums of their rows.
    pub(super) open: Vec<Open>,
    pub(super) open_sum: i64,
    /// The checksum of the row, 0 if it is not there yet.
    pub(super) checksum: i64,
}

/// A run that has not ended, by its job's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) number: u64,
    /// When a transaction of the host's said that it is done, if one did. What ends is still to be written by its scheduler.
    pub(super) done: Option<i64>,
}

/// Until when a job is held by who wrote it, and the boot since which that is counted.
pub(super) type Hold<'a> = Option<(i64, &'a str)>;

impl JobRow {
    /// Checks a row, and reads this of it.
    pub(super) fn read(row: &Row<'_>) -> Result<JobRow, Fault> {
        let which = || row.get(1).map_or_else(|_| "a job".to_owned(), |name: String| format!("job {name:?}"));
        let (mut fields, checksum) = Fields::of(row, JOBS, JOB_COLUMNS, which)?;
        let id = fields.int()?;
        fields.skip(1);
        let version = fields.count()?;
        fields.skip(12);
        let (kept, open, open_sum) = (fields.int()?, read_open(fields.text()?)?, fields.int()?);
        Ok(JobRow { id, version, kept, open, open_sum, checksum })
    }

    /// The columns, with the open runs, and those that it has gathered, as text.
    pub(super) fn columns<'a>(
        &self,
        record: &'a JobRecord,
        (open, gathered): (&'a str, &'a str),
        node: &'a str,
        hold: Hold<'a>,
    ) -> Columns<'a, JOB_COLUMNS> {
        [
            int(self.id),
            text(&record.name),
            int(self.version),
            text(&record.schedule),
            instant(&record.anchor),
            instant(&record.searched),
            optional(record.missed_until.as_ref(), instant),
            optional(record.last_due.as_ref(), instant),
            optional(record.last_start.as_ref(), instant),
            optional(record.last_end.as_ref(), instant),
            int(record.failures),
            int(record.crashes),
            int(record.paused),
            optional(record.runs_left, int),
            int(record.last_run),
            int(self.kept),
            text(open),
            int(self.open_sum),
            text(gathered),
            text(node),
            optional(hold, |(until, _)| int(until)),
            optional(hold, |(_, boot)| text(boot)),
        ]
    }
}

/// Which columns of a job's row say how many ended runs are kept, and which runs are open.
pub(super) const KEPT: usize = 15;
pub(super) const OPEN: usize = 16;
/// From which on its columns say what it has gathered, and who holds it.
const GATHERED: usize = 18;
const WRITER: usize = 19;

/// Who last wrote a job, by a row that was checked.
pub(super) fn writer<'r>(row: &'r Row<'r>) -> Result<&'r str, Fault> {
    Fields { row, next: WRITER }.text()
}

/// Who holds a job now, and for how much longer, by a row that was checked.
pub(super) fn holder<'r, 'a>(row: &'r Row<'r>, now: impl FnOnce() -> Time<'a>) -> Result<Option<(&'r str, Duration)>, Fault> {
    let mut fields = Fields { row, next: WRITER };
    let by = fields.text()?;
    let (Some(until), Some(boot)) = (fields.next::<Option<i64>>()?, fields.optional_text()?) else {
        return Ok(None);
    };
    let now = now();
    let left = u64::try_from(until.saturating_sub(now.at)).unwrap_or(0);
    Ok((boot == now.boot && left > 0).then(|| (by, Duration::from_nanos(left))))
}

/// A job's record without its open runs, by a row that was checked.
pub(super) fn read_record(row: &Row<'_>, holds: &Holds) -> Result<JobRecord, Fault> {
    let mut fields = Fields { row, next: 1 };
    Ok(JobRecord {
        name: fields.text()?.into(),
        version: fields.count()?,
        schedule: fields.text()?.to_owned(),
        anchor: fields.instant()?,
        searched: fields.instant()?,
        missed_until: fields.optional_instant()?,
        last_due: fields.optional_instant()?,
        last_start: fields.optional_instant()?,
        last_end: fields.optional_instant()?,
        failures: fields.count()?,
        crashes: fields.count()?,
        paused: fields.int()? != 0,
        runs_left: match fields.next::<Option<i64>>()? {
            Some(left) => Some(left.try_into().map_err(|_| Fault::Damaged(format!("{left} runs left")))?),
            None => None,
        },
        last_run: fields.count()?,
        open: Vec::new(),
        gathered: follows(Fields { row, next: GATHERED }.text()?)?,
        held: holder(row, || holds.now())?.map(|(by, left)| Held { by: by.into(), left }),
    })
}

/// The name of a job, by a row that was checked.
pub(super) fn read_name(row: &Row<'_>) -> Result<Arc<str>, Fault> {
    Fields { row, next: 1 }.text().map(Arc::from)
}

/// Open runs as the column `open` holds them: their numbers with a space between, and `@` and when behind one that is done.
pub(super) fn open_text(open: &[Open]) -> String {
    let mut text = String::new();
    for Open { number, done } in open {
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a text does not fail.
        let _ = write!(text, "{space}{number}");
        if let Some(at) = done {
            let _ = write!(text, "@{at}");
        }
    }
    text
}

fn read_open(text: &str) -> Result<Vec<Open>, Fault> {
    let damaged = |_| Fault::Damaged(format!("{text:?} are no open runs"));
    let run = |word: &str| {
        let (number, done) = word.split_once('@').map_or((word, None), |(number, done)| (number, Some(done)));
        let done = done.map(str::parse).transpose().map_err(damaged)?;
        Ok(Open { number: number.parse().map_err(damaged)?, done })
    };
    text.split_ascii_whitespace().map(run).collect()
}

/// The columns of a run, with what it follows as text.
pub(super) fn run_columns<'a>(job: i64, run: &'a RunRecord, follows: &'a str) -> Columns<'a, RUN_COLUMNS> {
    let state = State::of(&run.state);
    [
        int(job),
        int(run.number),
        instant(&run.due),
        instant(&run.first_missed),
        int(run.folded),
        int(run.attempt),
        text(state.word),
        optional(state.not_before.as_ref(), instant),
        int(state.by_hand),
        optional(state.started.as_ref(), instant),
        optional(state.ended.as_ref(), instant),
        time(run.late),
        text(late_word(run.late_by)),
        time(run.took),
        optional(run.error.as_deref(), text),
        text(follows),
    ]
}

/// Reads a run of a job from a row's first columns; with the checksum of the row.
pub(super) fn read_run(row: &Row<'_>, job: &Arc<str>) -> Result<(RunRecord, i64), Fault> {
    let number = || row.get(1).map_or_else(|_| "a run".to_owned(), |number: i64| format!("run {number}"));
    let (mut fields, checksum) = Fields::of(row, RUNS, RUN_COLUMNS, || format!("{} of job {job:?}", number()))?;
    fields.skip(1);
    let number = fields.count()?;
    let (due, first_missed) = (fields.instant()?, fields.instant()?);
    let (folded, attempt) = (fields.count()?, fields.count()?);
    let state = State {
        word: fields.text()?,
        not_before: fields.optional_instant()?,
        by_hand: fields.int()? != 0,
        started: fields.optional_instant()?,
        ended: fields.optional_instant()?,
    };
    let run = RunRecord {
        job: job.clone(),
        number,
        due,
        first_missed,
        folded,
        attempt,
        state: state.read()?,
        late: fields.time()?,
        late_by: late_by(fields.text()?)?,
        took: fields.time()?,
        error: fields.optional_text()?.map(str::to_owned),
        follows: follows(fields.text()?)?,
    };
    Ok((run, checksum))
}

/// The columns that say where a run is in its life.
struct State<'a> {
    word: &'a str,
    not_before: Option<DateTime<Utc>>,
    by_hand: bool,
    started: Option<DateTime<Utc>>,
    ended: Option<DateTime<Utc>>,
}

impl State<'_> {
    fn of(state: &RunState) -> State<'static> {
        let none = State { word: "", not_before: None, by_hand: false, started: None, ended: None };
        match *state {
            RunState::Waiting { from, by_hand } => State { word: "waiting", not_before: Some(from), by_hand, ..none },
            RunState::Started { at } => State { word: "started", started: Some(at), ..none },
            RunState::Again { from } => State { word: "again", not_before: Some(from), ..none },
            RunState::Ended { started, at, end } => State { word: end_word(end), started, ended: Some(at), ..none },
            RunState::CutOff { started, at } => State { word: "cut off", started: Some(started), ended: Some(at), ..none },
        }
    }

    fn read(&self) -> Result<RunState, Fault> {
        let damaged = || Fault::Damaged(format!("a run is {:?} and lacks an instant, or that is no state", self.word));
        Ok(match self.word {
            "waiting" => RunState::Waiting { from: self.not_before.ok_or_else(damaged)?, by_hand: self.by_hand },
            "started" => RunState::Started { at: self.started.ok_or_else(damaged)? },
            "again" => RunState::Again { from: self.not_before.ok_or_else(damaged)? },
            "cut off" => RunState::CutOff { started: self.started.ok_or_else(damaged)?, at: self.ended.ok_or_else(damaged)? },
            word => {
                let end = ENDS.into_iter().find(|end| end_word(*end) == word).ok_or_else(damaged)?;
                RunState::Ended { started: self.started, at: self.ended.ok_or_else(damaged)?, end }
            }
        })
    }
}

const ENDS: [RunEnd; 7] =
    [RunEnd::Done, RunEnd::Failed, RunEnd::Panicked, RunEnd::TimedOut, RunEnd::Stopped, RunEnd::Lost, RunEnd::AlreadyDone];

fn end_word(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Done => "done",
        RunEnd::Failed => "failed",
        RunEnd::Panicked => "panicked",
        RunEnd::TimedOut => "timed out",
        RunEnd::Stopped => "stopped",
        RunEnd::Lost => "lost",
        RunEnd::AlreadyDone => "already done",
    }
}

fn late_word(late_by: LateBy) -> &'static str {
    match late_by {
        LateBy::Host => "host",
        LateBy::OtherJobs => "other jobs",
        LateBy::Budget => "budget",
        LateBy::Suspend => "suspend",
        LateBy::ClockStep => "clock step",
        LateBy::Pool => "pool",
        LateBy::Limit => "limit",
        LateBy::Rules => "rules",
        LateBy::Overlap => "overlap",
        LateBy::Retry => "retry",
        LateBy::Slack => "slack",
        LateBy::Store => "store",
        LateBy::Down => "down",
        LateBy::Backfill => "backfill",
    }
}

fn late_by(word: &str) -> Result<LateBy, Fault> {
    let found = LateBy::ALL.into_iter().find(|late_by| late_word(*late_by) == word);
    found.ok_or_else(|| Fault::Damaged(format!("{word:?} makes no run late")))
}

/// What a run follows as text: a line each, of the number, when it was due, the attempt, when it ended, `-` or `=` and its result in
/// hexadecimal, and the job's name. A backslash and a line's end within a name are written as `\\` and `\n`.
pub(super) fn follows_text(follows: &[FollowedRun]) -> String {
    let mut text = String::new();
    for FollowedRun { job, number, due, attempt, ended, value } in follows {
        let (due, ended) = (to_nanos(due), to_nanos(ended));
        let end = if text.is_empty() { "" } else { "\n" };
        // Writing to a text does not fail.
        let _ = write!(text, "{end}{number} {due} {attempt} {ended} {}", if value.is_some() { '=' } else { '-' });
        for byte in value.iter().flat_map(|value| value.iter()) {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)])));
        }
        text.push(' ');
        text.push_str(&job.replace('\\', "\\\\").replace('\n', "\\n"));
    }
    text
}

fn follows(text: &str) -> Result<Vec<FollowedRun>, Fault> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let line = |line: &str| {
        let mut fields = line.splitn(6, ' ');
        let number = fields.next()?.parse().ok()?;
        let due = from_nanos(fields.next()?.parse().ok()?);
        let attempt = fields.next()?.parse().ok()?;
        let ended = from_nanos(fields.next()?.parse().ok()?);
        let value = match fields.next()? {
            "-" => None,
            value => Some(bytes(value.strip_prefix('=')?)?),
        };
        let escaped = fields.next()?;
        let mut name = String::with_capacity(escaped.len());
        let mut letters = escaped.chars();
        while let Some(letter) = letters.next() {
            name.push(match letter {
                '\\' if letters.next()? == 'n' => '\n',
                letter => letter,
            });
        }
        Some(FollowedRun { job: name.into(), number, due, attempt, ended, value })
    };
    let all: Option<Vec<_>> = text.split('\n').map(line).collect();
    all.ok_or_else(|| Fault::Damaged(format!("{text:?} are no runs to follow")))
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Bytes that are written in hexadecimal.
fn bytes(text: &str) -> Option<Arc<[u8]>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_follows_reads_back_whatever_the_names() {
        let names = ["", "quakes", "a b", "\n", "\\", "\\n", "\\\n\\", "7 airports\n8 x", "\u{0}", "ü"];
        let run = |(name, number): (&str, u64)| {
            let (due, ended) = (from_nanos(number as i64), from_nanos(-7));
            let value = [None, Some([].into()), Some((0..=255).collect())][number as usize % 3].clone();
            FollowedRun { job: name.into(), number, due, attempt: 3, ended, value }
        };
        let all: Vec<FollowedRun> = names.into_iter().zip(1..).map(run).collect();
        for some in [&all[..], &all[..1], &all[3..4], &[]] {
            assert_eq!(follows(&follows_text(some)).unwrap(), some);
        }
        for text in ["1 2 3 4 name", "1 2 3 4 =7 name", "1 2 3 4 =7g name", "1 2 3 4 77 name", "1 2 3 4 - "] {
            assert_eq!(follows(text).is_ok(), text.ends_with("- "), "{text}");
        }
    }

    #[test]
    fn open_runs_read_back() {
        let run = |(number, done)| Open { number, done };
        let all = [(1, None), (2, Some(0)), (u64::MAX, Some(i64::MAX)), (0, Some(-7))].map(run);
        for some in [&all[..], &all[..1], &all[2..3], &[]] {
            assert_eq!(read_open(&open_text(some)).unwrap(), some);
        }
        for text in ["x", "1@", "@1", "1@x", "1@2@3", "-1"] {
            assert!(read_open(text).is_err(), "{text}");
        }
    }

    #[test]
    fn states_and_reasons_read_back() {
        for reason in LateBy::ALL {
            assert_eq!(late_by(late_word(reason)).unwrap(), reason);
        }
        let at = from_nanos(7);
        let ended = |end| [None, Some(at)].map(|started| RunState::Ended { started, at, end });
        let open = [RunState::Started { at }, RunState::Again { from: at }, RunState::CutOff { started: at, at }];
        let waiting = [true, false].map(|by_hand| RunState::Waiting { from: at, by_hand });
        for state in ENDS.into_iter().flat_map(ended).chain(open).chain(waiting) {
            assert_eq!(State::of(&state).read().unwrap(), state);
        }
    }

    #[test]
    fn checksums_tell_columns_kinds_and_tables_apart() {
        let rows: [&[ValueRef<'_>]; 7] = [
            &[text("ab"), text("c")],
            &[text("a"), text("bc")],
            &[text("abc"), ValueRef::Null],
            &[ValueRef::Null, text("abc")],
            &[ValueRef::Blob(b"ab"), text("c")],
            &[int(1u8), int(256u16)],
            &[int(256u16), int(1u8)],
        ];
        let sums = rows.iter().flat_map(|row| [JOBS, RUNS].map(|table| checksum(table, row.iter().copied())));
        let mut sums: Vec<i64> = sums.collect();
        sums.sort_unstable();
        sums.dedup();
        assert_eq!(sums.len(), 14);
    }
}
