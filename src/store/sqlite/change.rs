//! What is written, within a transaction that is open: changes, and what is forgotten.
//!
//! Each function keeps the counts and sums of [`Meta`] in step with the rows that it writes.

use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::fault::Fault;
use super::holds::Time;
use super::rows::{JOBS, JobRow, RUNS, checksum, execute, follows_text, numbers_text, parameter, run_columns};
use super::schema::Meta;
use crate::schedule::{length, to_nanos};
use crate::store::{Change, JobChange, JobRecord, Keep, Kept, RunRecord, StoreError};

/// Who writes, when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writing<'a> {
    pub(super) connection: &'a Connection,
    pub(super) node: &'a Arc<str>,
    pub(super) now: Time<'a>,
}

type Known = Option<(JobRecord, JobRow)>;

/// A job's record without its open runs, and the rest of its row.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Known, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM punctual_jobs WHERE name = ?")?;
    let mut rows = statement.query([name])?;
    rows.next()?.map(JobRow::read).transpose()
}

impl Writing<'_> {
    /// Writes a change whole, or not at all.
    pub(super) fn change(&self, meta: &mut Meta, change: &Change) -> Result<Kept, Fault> {
        let mut last = None;
        for job in &change.jobs {
            last = self.known(job)?;
            if !self.may_write(job, last.as_ref())? {
                return Ok(Kept::No { job: job.record.name.clone() });
            }
        }
        if let [job] = &change.jobs[..] {
            self.job(meta, job, last)?;
            return Ok(Kept::Yes);
        }
        for job in &change.jobs {
            // Looked for anew, in case that a change names a job twice.
            let known = match self.known(job)? {
                None => find(self.connection, &job.record.name)?,
                known => known,
            };
            self.job(meta, job, known)?;
        }
        Ok(Kept::Yes)
    }

    fn known(&self, change: &JobChange) -> Result<Known, Fault> {
        find(self.connection, change.formerly.as_ref().unwrap_or(&change.record.name))
    }

    /// Whether nobody else holds a job, and it is as the writer knows it.
    fn may_write(&self, change: &JobChange, known: Option<&(JobRecord, JobRow)>) -> Result<bool, Fault> {
        let version = known.map_or(0, |(record, _)| record.version);
        let elsewhere = known.and_then(|(_, row)| row.holder(self.now)).is_some_and(|held| held.by != *self.node);
        let taken = change.formerly.is_some() && find(self.connection, &change.record.name)?.is_some();
        Ok(version == change.record.version && !elsewhere && !taken)
    }

    fn job(&self, meta: &mut Meta, change: &JobChange, known: Known) -> Result<(), Fault> {
        let (is_new, renamed) = (known.is_none(), known.as_ref().is_some_and(|(record, _)| record.name != change.record.name));
        let mut row = match known {
            Some((_, row)) => row,
            None => JobRow { id: self.next_id()?, ..JobRow::default() },
        };
        meta.jobs += i64::from(is_new);
        meta.jobs_sum = meta.jobs_sum.wrapping_sub(row.checksum);
        meta.runs_sum = meta.runs_sum.wrapping_sub(row.open_sum);
        let mut before = std::mem::take(&mut row.open);
        meta.runs -= before.len() as i64;
        row.open_sum = 0;

        // A run is filed by its state. Of two with the same number the last is kept.
        let mut open = BTreeMap::new();
        for run in change.ended.iter().chain(&change.record.open) {
            if run.state.is_over() {
                self.run(meta, &mut row, run, &mut before)?;
            } else {
                open.insert(run.number, run);
            }
        }
        for run in open.values() {
            let sum = self.run(meta, &mut row, run, &mut before)?;
            row.open_sum = row.open_sum.wrapping_add(sum);
        }
        for number in before {
            let mut statement = self.connection.prepare_cached("DELETE FROM punctual_runs WHERE job = ? AND number = ?")?;
            statement.execute((row.id, parameter(number)))?;
        }

        row.open = open.into_keys().collect();
        row.held = (!change.hold.is_zero())
            .then(|| (self.node.clone(), self.now.at.saturating_add(length(change.hold)), self.now.boot.into()));
        let numbers = numbers_text(&row.open);
        let mut columns = row.columns(&change.record, &numbers);
        columns[2] = super::rows::int(change.record.version.saturating_add(1));
        let sum = checksum(JOBS, columns);
        if renamed {
            let mut statement = self.connection.prepare_cached("UPDATE punctual_jobs SET name = ? WHERE job = ?")?;
            statement.execute((&*change.record.name, row.id))?;
        }
        let mut statement = self.connection.prepare_cached(if is_new { INSERT_JOB } else { UPDATE_JOB })?;
        execute(&mut statement, &columns, sum)?;
        meta.jobs_sum = meta.jobs_sum.wrapping_add(sum);
        Ok(())
    }

    fn next_id(&self) -> Result<i64, Fault> {
        let mut statement = self.connection.prepare_cached("SELECT ifnull(max(job), 0) + 1 FROM punctual_jobs")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Writes a run; gives the checksum of its row. Of the runs that were open it is none any more.
    fn run(&self, meta: &mut Meta, job: &mut JobRow, run: &RunRecord, before: &mut Vec<u64>) -> Result<i64, Fault> {
        let follows = follows_text(&run.follows);
        let columns = run_columns(job.id, run, &follows);
        let sum = checksum(RUNS, columns);
        let replace = || -> Result<(), Fault> {
            execute(&mut self.connection.prepare_cached(REPLACE_RUN)?, &columns, sum)?;
            Ok(())
        };
        match before.iter().position(|number| *number == run.number) {
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

const INSERT_JOB: &str = "INSERT INTO punctual_jobs VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)";

const UPDATE_JOB: &str = "UPDATE punctual_jobs SET version = ?3, schedule = ?4, anchor = ?5, searched = ?6, missed_until = ?7,
    last_due = ?8, last_start = ?9, last_end = ?10, failures = ?11, crashes = ?12, paused = ?13, runs_left = ?14, last_run = ?15,
    kept = ?16, open = ?17, open_sum = ?18, held_by = ?19, held_until = ?20, held_boot = ?21, checksum = ?22 WHERE job = ?1";

const INSERT_RUN: &str = "INSERT INTO punctual_runs VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

const REPLACE_RUN: &str = "REPLACE INTO punctual_runs VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";

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
    let mut delete = connection.prepare_cached("DELETE FROM punctual_runs WHERE job = ? AND number = ? RETURNING checksum")?;
    let count = beyond.len();
    for run in beyond {
        let sum: i64 = delete.query_row((run.job, run.number), |row| row.get(0))?;
        meta.runs -= 1;
        meta.runs_sum = meta.runs_sum.wrapping_sub(sum);
        *forgotten.entry(run.name).or_default() += 1;
    }
    for (name, count) in forgotten {
        let Some((record, mut row)) = find(connection, &name)? else { continue };
        row.kept -= count;
        let numbers = numbers_text(&row.open);
        let columns = row.columns(&record, &numbers);
        let sum = checksum(JOBS, columns);
        execute(&mut connection.prepare_cached(UPDATE_JOB)?, &columns, sum)?;
        meta.jobs_sum = meta.jobs_sum.wrapping_sub(row.checksum).wrapping_add(sum);
    }
    Ok(count)
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
    // The highest number that goes, counted from the end that is nearer.
    let mut from_below = connection.prepare_cached(
        "SELECT number FROM punctual_runs WHERE job = ? AND ended IS NOT NULL ORDER BY number LIMIT 1 OFFSET ?",
    )?;
    let mut from_above = connection.prepare_cached(
        "SELECT number FROM punctual_runs WHERE job = ? AND ended IS NOT NULL ORDER BY number DESC LIMIT 1 OFFSET ?",
    )?;
    let mut oldest = connection.prepare_cached(
        "SELECT ended, number FROM punctual_runs WHERE job = ? AND ended IS NOT NULL AND number <= ? ORDER BY ended, number",
    )?;
    let mut jobs = jobs.query([count])?;
    while let Some(job) = jobs.next()? {
        let (job, name, kept): (i64, String, i64) = (job.get(0)?, job.get(1)?, job.get(2)?);
        let (name, many): (Arc<str>, i64) = (name.into(), kept - count);
        let last: Option<i64> = if many <= count {
            from_below.query_row((job, many - 1), |row| row.get(0)).optional()?
        } else {
            from_above.query_row((job, count), |row| row.get(0)).optional()?
        };
        let Some(last) = last else { continue };
        let mut runs = oldest.query((job, last))?;
        while let Some(run) = runs.next()? {
            let run = Beyond { ended: run.get(0)?, name: name.clone(), number: run.get(1)?, job };
            if known.binary_search(&(job, run.number)).is_err() && !take(beyond, run, most) {
                break;
            }
        }
    }
    Ok(())
}

/// Forgets a job and all its runs; says whether it was known.
pub(super) fn purge(connection: &Connection, meta: &mut Meta, name: &str, now: Time<'_>) -> Result<bool, Fault> {
    let Some((_, row)) = find(connection, name)? else {
        return Ok(false);
    };
    if let Some(held) = row.holder(now) {
        return Err(Fault::Said(StoreError::Held { job: name.to_owned(), by: held.by.to_string() }));
    }
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
