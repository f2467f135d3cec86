//! What is written, within a transaction that is open: changes, what is forgotten, and that a run is done.
//!
//! Each function keeps the counts and sums of [`Meta`] in step with the rows that it writes; a job's row that was written here and
//! by nobody else since is [remembered](Remembered) rather than read.
//!
//! A run that a transaction of the host's says is done is marked so in its job's row, and stays open until its scheduler writes
//! how it ended. The job's version stays what it was, since that scheduler knows no other. So whoever read the job before the
//! mark, to take it over, could write that the run is to run again: that is refused as if the version were another one.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, Row};

use super::fault::Fault;
use super::holds::{Holds, Time};
use super::remembered::Remembered;
use super::rows::{
    JOB_COLUMNS, JOBS, JobRow, KEPT, OPEN, Open, RUNS, checksum, execute, follows_text, holder, open_text, parameter, read_run,
    run_columns, writer,
};
use super::schema::Meta;
use crate::job::RunEnd;
use crate::schedule::{from_nanos, length, to_nanos};
use crate::store::{Change, JobChange, Keep, Kept, RunRecord, RunState, StoreError};

/// Who writes, when.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    pub(super) connection: &'a Connection,
    pub(super) node: &'a Arc<str>,
    holds: &'a Holds,
    /// By the clock of holds, read once there is a hold: that may be slow.
    now: OnceCell<Time<'a>>,
    /// Which runs are forgotten on the way.
    beyond: TooMuch,
}

/// How much history is kept of each job.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) last: Option<u64>,
    pub(super) age: Option<Duration>,
}

/// The same at an instant: more than so many runs, and those that ended before that.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TooMuch {
    last: Option<i64>,
    since: Option<i64>,
}

impl Bounds {
    fn at(&self, wall: impl FnOnce() -> i64) -> TooMuch {
        let since = self.age.map(|age| wall().saturating_sub(length(age)));
        TooMuch { last: self.last.map(parameter), since }
    }
}

/// For each run that ends so many others are forgotten at most: more than one, so that what is too much becomes less.
const FORGOTTEN_FOR_EACH: usize = 2;

/// A job as it is in the file.
struct Known {
    row: JobRow,
    /// Whether another node holds it.
    elsewhere: bool,
    /// Whether another node wrote it last.
    of_another: bool,
}

impl Known {
    /// Whether a change that knows nothing of it would undo that a run is done.
    fn would_undo(&self, change: &JobChange) -> bool {
        let is_done = |run: &RunRecord| self.row.open.iter().any(|open| open.number == run.number && open.done.is_some());
        let knows = |run: &RunRecord| matches!(run.state, RunState::Ended { .. });
        self.of_another && change.ended.iter().chain(&change.record.open).any(|run| is_done(run) && !knows(run))
    }
}

/// Finds a job's row, checked, and reads what is wanted of it.
pub(super) fn find<T>(
    connection: &Connection,
    name: &str,
    read: impl FnOnce(&Row<'_>, JobRow) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM punctual_jobs WHERE name = ?")?;
    let mut rows = statement.query([name])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    read(row, JobRow::read(row)?).map(Some)
}

impl<'a> Writing<'a> {
    pub(super) fn new(connection: &'a Connection, node: &'a Arc<str>, holds: &'a Holds, bounds: Bounds) -> Self {
        Writing { connection, node, holds, now: OnceCell::new(), beyond: bounds.at(|| holds.wall()) }
    }

    fn now(&self) -> Time<'a> {
        *self.now.get_or_init(|| self.holds.now())
    }

    /// Writes a change whole, or not at all.
    pub(super) fn change(&self, last: &mut Remembered, change: &Change) -> Result<Kept, Fault> {
        let mut known = None;
        for job in &change.jobs {
            known = self.known(last, job)?;
            if !self.may_write(job, known.as_ref())? {
                return Ok(Kept::No { job: job.record.name.clone() });
            }
        }
        if let [job] = &change.jobs[..] {
            self.job(last, job, known)?;
            return Ok(Kept::Yes);
        }
        for job in &change.jobs {
            // Looked for anew, in case that a change names a job twice.
            let known = match self.known(last, job)? {
                None => self.find(&job.record.name)?,
                known => known,
            };
            self.job(last, job, known)?;
        }
        Ok(Kept::Yes)
    }

    fn find(&self, name: &str) -> Result<Option<Known>, Fault> {
        find(self.connection, name, |columns, row| {
            let elsewhere = holder(columns, || self.now())?.is_some_and(|(by, _)| *by != **self.node);
            let of_another = *writer(columns)? != **self.node;
            Ok(Known { row, elsewhere, of_another })
        })
    }

    fn known(&self, last: &Remembered, change: &JobChange) -> Result<Option<Known>, Fault> {
        let name = change.formerly.as_ref().unwrap_or(&change.record.name);
        match last.job(name, self.node) {
            Some(row) => Ok(Some(Known { row: row.clone(), elsewhere: false, of_another: false })),
            None => self.find(name),
        }
    }

    /// Whether nobody else holds a job, and it is as the writer knows it.
    fn may_write(&self, change: &JobChange, known: Option<&Known>) -> Result<bool, Fault> {
        let version = known.map_or(0, |known| known.row.version);
        let elsewhere = known.is_some_and(|known| known.elsewhere || known.would_undo(change));
        let taken = change.formerly.is_some() && self.find(&change.record.name)?.is_some();
        Ok(version == change.record.version && !elsewhere && !taken)
    }

    fn job(&self, last: &mut Remembered, change: &JobChange, known: Option<Known>) -> Result<(), Fault> {
        let is_new = known.is_none();
        let mut row = match known {
            Some(known) => known.row,
            None => JobRow { id: self.next_id()?, ..JobRow::default() },
        };
        let meta = &mut last.meta;
        meta.jobs += i64::from(is_new);
        meta.jobs_sum = meta.jobs_sum.wrapping_sub(row.checksum);
        self.runs(meta, change, &mut row)?;
        self.forget(meta, &mut row, change.ended.len().saturating_mul(FORGOTTEN_FOR_EACH))?;

        row.version = change.record.version.saturating_add(1);
        let until = |now: Time<'a>| (now.at.saturating_add(length(change.hold)), now.boot);
        let hold = (!change.hold.is_zero()).then(|| until(self.now()));
        let (open, gathered) = (open_text(&row.open), follows_text(&change.record.gathered));
        let columns = row.columns(&change.record, (&open, &gathered), self.node, hold);
        let sum = checksum(JOBS, columns);
        if change.formerly.is_some() && !is_new {
            let mut statement = self.connection.prepare_cached("UPDATE punctual_jobs SET name = ? WHERE job = ?")?;
            statement.execute((&*change.record.name, row.id))?;
            last.forget_jobs();
        }
        let mut statement = self.connection.prepare_cached(if is_new { INSERT_JOB } else { UPDATE_JOB })?;
        execute(&mut statement, &columns, sum)?;
        row.checksum = sum;
        last.meta.jobs_sum = last.meta.jobs_sum.wrapping_add(sum);
        last.wrote(&change.record.name, row, self.node);
        Ok(())
    }

    /// Writes the runs of a job in the place of those that were open.
    fn runs(&self, meta: &mut Meta, change: &JobChange, job: &mut JobRow) -> Result<(), Fault> {
        let mut before = std::mem::take(&mut job.open);
        meta.runs -= before.len() as i64;
        meta.runs_sum = meta.runs_sum.wrapping_sub(job.open_sum);
        job.open_sum = 0;
        // A run is filed by its state. Of two with the same number the last is kept.
        let mut open = Vec::with_capacity(change.record.open.len());
        for run in change.ended.iter().chain(&change.record.open) {
            if run.state.is_over() {
                self.run(meta, job, run, &mut before)?;
            } else {
                open.push(run);
            }
        }
        open.reverse();
        open.sort_by_key(|run| run.number);
        open.dedup_by_key(|run| run.number);
        for run in open {
            let done = self.still_done(job, run, &before)?;
            let sum = self.run(meta, job, run, &mut before)?;
            job.open_sum = job.open_sum.wrapping_add(sum);
            job.open.push(Open { number: run.number, done });
        }
        for Open { number, done } in std::mem::take(&mut before) {
            if let Some(done) = done {
                let run = self.stored(job, number, &change.record.name)?;
                let state = RunState::Ended { started: started(&run), at: from_nanos(done), end: RunEnd::Done };
                before.push(Open { number, done: None });
                self.run(meta, job, &RunRecord { state, ..run }, &mut before)?;
                continue;
            }
            let mut statement = self.connection.prepare_cached("DELETE FROM punctual_runs WHERE job = ? AND number = ?")?;
            statement.execute((job.id, parameter(number)))?;
        }
        Ok(())
    }

    /// Forgets ended runs of a job that are too much, so many at most. Its row is written after it.
    fn forget(&self, meta: &mut Meta, job: &mut JobRow, most: usize) -> Result<(), Fault> {
        let mut left = i64::try_from(most).unwrap_or(i64::MAX);
        if let Some(since) = self.beyond.since {
            let oldest = "SELECT number FROM punctual_runs WHERE job = ? AND ended < ? ORDER BY ended LIMIT ?";
            left -= self.forget_of(meta, job, oldest, (job.id, since, left))?;
        }
        if let Some(many) = self.beyond.last.map(|last| job.kept.saturating_sub(last).min(left)).filter(|many| *many > 0) {
            let lowest = "SELECT number FROM punctual_runs WHERE job = ? AND ended IS NOT NULL ORDER BY number LIMIT ?";
            self.forget_of(meta, job, lowest, (job.id, many))?;
        }
        Ok(())
    }

    fn forget_of(&self, meta: &mut Meta, job: &mut JobRow, which: &str, of: impl rusqlite::Params) -> Result<i64, Fault> {
        let mut which = self.connection.prepare_cached(which)?;
        let numbers: Vec<i64> = which.query_map(of, |row| row.get(0))?.collect::<Result<_, _>>()?;
        for number in &numbers {
            forget(self.connection, meta, job.id, *number)?;
        }
        job.kept -= numbers.len() as i64;
        Ok(numbers.len() as i64)
    }

    /// When a run that goes on was said to be done, if it was, and it is the same attempt still.
    fn still_done(&self, job: &JobRow, run: &RunRecord, before: &[Open]) -> Result<Option<i64>, Fault> {
        let Some(done) = before.iter().find(|open| open.number == run.number).and_then(|open| open.done) else {
            return Ok(None);
        };
        let known = self.stored(job, run.number, &run.job)?;
        let goes_on = matches!(run.state, RunState::Started { .. }) && run.attempt == known.attempt;
        Ok(goes_on.then_some(done))
    }

    fn stored(&self, job: &JobRow, number: u64, name: &Arc<str>) -> Result<RunRecord, Fault> {
        stored(self.connection, job.id, number, name)
    }

    fn next_id(&self) -> Result<i64, Fault> {
        let mut statement = self.connection.prepare_cached("SELECT ifnull(max(job), 0) + 1 FROM punctual_jobs")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Writes a run; gives the checksum of its row. Of the runs that were open it is none any more.
    fn run(&self, meta: &mut Meta, job: &mut JobRow, run: &RunRecord, before: &mut Vec<Open>) -> Result<i64, Fault> {
        let follows = follows_text(&run.follows);
        let columns = run_columns(job.id, run, &follows);
        let sum = checksum(RUNS, columns);
        let replace = || -> Result<(), Fault> {
            execute(&mut self.connection.prepare_cached(REPLACE_RUN)?, &columns, sum)?;
            Ok(())
        };
        match before.iter().position(|open| open.number == run.number) {
            Some(place) => {
                before.swap_remove(place);
                replace()?;
            }
            None => match execute(&mut self.connection.prepare_cached(INSERT_RUN)?, &columns, sum) {
                Ok(_) => {}
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    let known = "SELECT checksum, ended IS NOT NULL FROM punctual_runs WHERE job = ? AND number = ?";
                    let mut statement = self.connection.prepare_cached(known)?;
                    let (known, ended): (i64, i64) =
                        statement.query_row((job.id, parameter(run.number)), |row| Ok((row.get(0)?, row.get(1)?)))?;
                    meta.runs -= 1;
                    meta.runs_sum = meta.runs_sum.wrapping_sub(known);
                    job.kept -= ended;
                    replace()?;
                }
                Err(error) => return Err(error.into()),
            },
        }
        meta.runs += 1;
        meta.runs_sum = meta.runs_sum.wrapping_add(sum);
        job.kept += i64::from(run.state.is_over());
        Ok(sum)
    }
}

/// A run of a job as it is in the file; it has to be there.
fn stored(connection: &Connection, job: i64, number: u64, name: &Arc<str>) -> Result<RunRecord, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM punctual_runs WHERE job = ? AND number = ?")?;
    let mut rows = statement.query((job, parameter(number)))?;
    match rows.next()? {
        Some(row) => Ok(read_run(row, name)?.0),
        None => Err(Fault::Damaged(format!("{RUNS} lacks run {number} of job {name:?}"))),
    }
}

fn started(run: &RunRecord) -> Option<chrono::DateTime<chrono::Utc>> {
    match run.state {
        RunState::Started { at } => Some(at),
        _ => None,
    }
}

/// Marks a run as done, if that attempt of it goes on.
pub(super) fn complete(
    connection: &Connection,
    meta: &mut Meta,
    name: &Arc<str>,
    (number, attempt): (u64, u32),
    at: i64,
) -> Result<(), Fault> {
    let fenced = || Fault::Said(StoreError::Fenced { job: name.to_string(), number, attempt });
    amend(connection, meta, name, |values, row| {
        let mut open = row.open.clone();
        let found = open.iter_mut().find(|open| open.number == number && open.done.is_none());
        let run = found.map(|found| {
            found.done = Some(at);
            stored(connection, row.id, number, name)
        });
        match run.transpose()? {
            Some(run) if started(&run).is_some() && run.attempt == attempt => {}
            _ => return Err(fenced()),
        }
        values[OPEN] = Value::Text(open_text(&open));
        Ok(())
    })?
    .ok_or_else(fenced)
}

/// Changes how many ended runs a job's row says are kept, or which are open; `None` if there is no such job.
fn amend(
    connection: &Connection,
    meta: &mut Meta,
    name: &str,
    edit: impl FnOnce(&mut [Value], &JobRow) -> Result<(), Fault>,
) -> Result<Option<()>, Fault> {
    let found = find(connection, name, |columns, row| {
        let values = (0..JOB_COLUMNS).map(|column| columns.get(column)).collect::<Result<Vec<Value>, _>>()?;
        Ok((values, row))
    })?;
    let Some((mut values, row)) = found else { return Ok(None) };
    edit(&mut values, &row)?;
    let sum = checksum(JOBS, values.iter().map(ValueRef::from));
    let mut statement = connection.prepare_cached("UPDATE punctual_jobs SET kept = ?, open = ?, checksum = ? WHERE job = ?")?;
    statement.execute((&values[KEPT], &values[OPEN], sum, row.id))?;
    meta.jobs_sum = meta.jobs_sum.wrapping_sub(row.checksum).wrapping_add(sum);
    Ok(Some(()))
}

const INSERT_JOB: &str = "INSERT INTO punctual_jobs VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";

const UPDATE_JOB: &str = "UPDATE punctual_jobs SET version = ?3, schedule = ?4, anchor = ?5, searched = ?6, missed_until = ?7,
    last_due = ?8, last_start = ?9, last_end = ?10, failures = ?11, crashes = ?12, paused = ?13, runs_left = ?14, last_run = ?15,
    kept = ?16, open = ?17, open_sum = ?18, gathered = ?19, written_by = ?20, held_until = ?21, held_boot = ?22, checksum = ?23
    WHERE job = ?1";

const INSERT_RUN: &str = "INSERT INTO punctual_runs VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";

const REPLACE_RUN: &str = "REPLACE INTO punctual_runs VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";

/// An ended run that may go: the oldest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Beyond {
    ended: i64,
    name: Arc<str>,
    number: i64,
    job: i64,
}

/// Forgets ended runs beyond what is to be kept, so many at most; gives how many.
pub(super) fn prune(connection: &Connection, meta: &mut Meta, keep: &Keep, most: usize) -> Result<usize, Fault> {
    let mut beyond = BinaryHeap::new();
    if let Some(since) = keep.since {
        too_old(connection, &mut beyond, to_nanos(&since), most)?;
    }
    if let Some(count) = keep.count {
        too_many(connection, &mut beyond, i64::try_from(count).unwrap_or(i64::MAX), most)?;
    }
    let mut forgotten: BTreeMap<Arc<str>, i64> = BTreeMap::new();
    let count = beyond.len();
    for run in beyond {
        forget(connection, meta, run.job, run.number)?;
        *forgotten.entry(run.name).or_default() += 1;
    }
    for (name, count) in forgotten {
        keeps_less(connection, meta, &name, count)?;
    }
    Ok(count)
}

fn forget(connection: &Connection, meta: &mut Meta, job: i64, number: i64) -> Result<(), Fault> {
    let mut delete = connection.prepare_cached("DELETE FROM punctual_runs WHERE job = ? AND number = ? RETURNING checksum")?;
    let sum: i64 = delete.query_row((job, number), |row| row.get(0))?;
    meta.runs -= 1;
    meta.runs_sum = meta.runs_sum.wrapping_sub(sum);
    Ok(())
}

/// Writes into a job's row that so many fewer of its ended runs are kept.
fn keeps_less(connection: &Connection, meta: &mut Meta, name: &str, count: i64) -> Result<(), Fault> {
    amend(connection, meta, name, |values, row| {
        values[KEPT] = Value::Integer(row.kept - count);
        Ok(())
    })?
    .ok_or_else(|| Fault::Damaged(format!("{JOBS} lacks job {name:?}")))
}

/// Takes in a run if it is among the oldest so far; says whether it was.
fn take(beyond: &mut BinaryHeap<Beyond>, run: Beyond, most: usize) -> bool {
    if beyond.len() >= most {
        match beyond.peek_mut() {
            Some(mut newest) if run < *newest => *newest = run,
            _ => return false,
        }
    } else {
        beyond.push(run);
    }
    true
}

/// The oldest runs that ended before an instant.
fn too_old(connection: &Connection, beyond: &mut BinaryHeap<Beyond>, since: i64, most: usize) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT r.ended, j.name, r.number, r.job FROM punctual_runs AS r JOIN punctual_jobs AS j ON j.job = r.job
            WHERE r.ended < ? ORDER BY r.ended, j.name, r.number LIMIT ?",
    )?;
    let mut rows = statement.query((since, i64::try_from(most).unwrap_or(i64::MAX)))?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        beyond.push(Beyond { ended: row.get(0)?, name: name.into(), number: row.get(2)?, job: row.get(3)? });
    }
    Ok(())
}

/// The oldest runs of those that are too many of their jobs: of each the ones with the lowest numbers.
fn too_many(connection: &Connection, beyond: &mut BinaryHeap<Beyond>, count: i64, most: usize) -> Result<(), Fault> {
    let mut known: Vec<(i64, i64)> = beyond.iter().map(|run| (run.job, run.number)).collect();
    known.sort_unstable();
    let mut jobs = connection.prepare_cached("SELECT job, name, kept FROM punctual_jobs WHERE kept > ?")?;
    let mut runs = connection
        .prepare_cached("SELECT ended, number FROM punctual_runs WHERE job = ? AND ended IS NOT NULL ORDER BY ended, number")?;
    let mut jobs = jobs.query([count])?;
    while let Some(job) = jobs.next()? {
        let (job, name, kept): (i64, String, i64) = (job.get(0)?, job.get(1)?, job.get(2)?);
        let name: Arc<str> = name.into();
        let mut lowest = Lowest { connection, job, many: kept - count, surely: None, last: None };
        let (mut runs, mut left) = (runs.query([job])?, lowest.many);
        while let (Some(run), true) = (runs.next()?, left > 0) {
            let run = Beyond { ended: run.get(0)?, name: name.clone(), number: run.get(1)?, job };
            if !lowest.holds(run.number)? {
                continue;
            }
            left -= 1;
            if known.binary_search(&(job, run.number)).is_err() && !take(beyond, run, most) {
                break;
            }
        }
    }
    Ok(())
}

/// The ended runs of a job with the lowest numbers, so many of them.
struct Lowest<'a> {
    connection: &'a Connection,
    job: i64,
    many: i64,
    /// Below this, no gaps among the numbers make a run anything else.
    surely: Option<i64>,
    /// The highest number of them: to be counted for, so only if it has to be.
    last: Option<i64>,
}

impl Lowest<'_> {
    fn holds(&mut self, number: i64) -> Result<bool, Fault> {
        let surely = match self.surely {
            Some(surely) => surely,
            None => *self.surely.insert(self.at(0)?.saturating_add(self.many)),
        };
        if number < surely {
            return Ok(true);
        }
        let last = match self.last {
            Some(last) => last,
            None => *self.last.insert(self.at(self.many - 1)?),
        };
        Ok(number <= last)
    }

    /// The number of the run in a place, from 0.
    fn at(&self, place: i64) -> Result<i64, Fault> {
        let mut statement = self.connection.prepare_cached(
            "SELECT number FROM punctual_runs WHERE job = ? AND ended IS NOT NULL ORDER BY number LIMIT 1 OFFSET ?",
        )?;
        Ok(statement.query_row((self.job, place), |row| row.get(0))?)
    }
}

/// Forgets a job and all its runs; says whether it was known.
pub(super) fn purge(connection: &Connection, meta: &mut Meta, name: &str, holds: &Holds) -> Result<bool, Fault> {
    let found = find(connection, name, |columns, row| {
        let held = holder(columns, || holds.now())?.map(|(by, _)| StoreError::Held { job: name.to_owned(), by: by.to_owned() });
        held.map_or(Ok(row), |held| Err(Fault::Said(held)))
    })?;
    let Some(row) = found else {
        return Ok(false);
    };
    let sums = "SELECT count(*), ifnull(sum(checksum), 0) FROM punctual_runs WHERE job = ?";
    let (runs, sum): (i64, i64) = connection.query_row(sums, [row.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    connection.execute("DELETE FROM punctual_runs WHERE job = ?", [row.id])?;
    connection.execute("DELETE FROM punctual_jobs WHERE job = ?", [row.id])?;
    meta.runs -= runs;
    meta.runs_sum = meta.runs_sum.wrapping_sub(sum);
    meta.jobs -= 1;
    meta.jobs_sum = meta.jobs_sum.wrapping_sub(row.checksum);
    Ok(true)
}
