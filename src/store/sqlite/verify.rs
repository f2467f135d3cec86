//! Whether what is in a file is what was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::fault::Fault;
use super::rows::{JOBS, JobRow, Open, RUNS, parameter, read_name, read_run};
use super::schema::{META, Meta, is_alone, tables};
use crate::job::RunEnd;
use crate::schedule::from_nanos;
use crate::store::{RunRecord, RunState};

/// How much of it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The file's own structure, all jobs, and the runs that are open; of those that ended, that none is missing.
    Open,
    /// All.
    Whole,
}

/// Checks the structure of the file: its pages, and that indexes and tables agree.
///
/// In a file that others have tables in too, theirs are left to them.
pub(super) fn structure(connection: &Connection) -> Result<(), Fault> {
    if is_alone(connection)? {
        return ask(connection, "PRAGMA integrity_check(1)");
    }
    ask(connection, "PRAGMA integrity_check(sqlite_schema)")?;
    for table in [META, JOBS, RUNS] {
        let ours = "SELECT count(*) FROM sqlite_schema WHERE name = ?";
        if connection.query_row(ours, [table], |row| row.get(0)).map(|count: i64| count > 0)? {
            ask(connection, &format!("PRAGMA integrity_check({table})"))?;
        }
    }
    Ok(())
}

fn ask(connection: &Connection, question: &str) -> Result<(), Fault> {
    let answer: String = connection.query_row(question, [], |row| row.get(0))?;
    if answer == "ok" { Ok(()) } else { Err(Fault::Damaged(answer)) }
}

/// Checks what is in the tables against itself. Within one transaction, so that nobody writes meanwhile.
pub(super) fn content(connection: &Connection, meta: &Meta, depth: Depth) -> Result<(), Fault> {
    if tables(connection)? != meta.tables {
        return Err(Fault::Damaged("the tables are not as they were made".to_owned()));
    }
    let mut jobs = BTreeMap::new();
    let mut sum = 0i64;
    let mut statement = connection.prepare("SELECT * FROM punctual_jobs")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (row, name) = (JobRow::read(row)?, read_name(row)?);
        sum = sum.wrapping_add(row.checksum);
        open_runs(connection, &name, &row)?;
        jobs.insert(row.id, (name, row));
    }
    if (jobs.len() as i64, sum) != (meta.jobs, meta.jobs_sum) {
        return Err(Fault::Damaged(format!("{JOBS} holds {} rows that are not the {} last written", jobs.len(), meta.jobs)));
    }
    let sums = "SELECT count(*), ifnull(sum(checksum), 0), count(ended) FROM punctual_runs NOT INDEXED";
    let (count, sum, ended): (i64, i64, i64) =
        connection.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if (count, sum) != (meta.runs, meta.runs_sum) {
        return Err(Fault::Damaged(format!("{RUNS} holds {count} rows that are not the {} last written", meta.runs)));
    }
    // SQLite does not notice too many entries in an index of some rows only.
    for index in ["punctual_runs_ended", "punctual_runs_of_job"] {
        let entries = format!("SELECT count(*) FROM punctual_runs INDEXED BY {index} WHERE ended IS NOT NULL");
        let entries: i64 = connection.query_row(&entries, [], |row| row.get(0))?;
        if entries != ended {
            return Err(Fault::Damaged(format!("{index} has {entries} entries, and {RUNS} {ended} runs that ended")));
        }
    }
    if depth == Depth::Whole { every_run(connection, &jobs) } else { Ok(()) }
}

/// The open runs of a job, which have to be those that its row tells of. One that is done has ended.
pub(super) fn open_runs(connection: &Connection, job: &Arc<str>, row: &JobRow) -> Result<Vec<RunRecord>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM punctual_runs WHERE job = ? AND number = ?")?;
    let (mut open, mut sum) = (Vec::with_capacity(row.open.len()), 0i64);
    for &Open { number, done } in &row.open {
        let mut rows = statement.query((row.id, parameter(number)))?;
        let Some(row) = rows.next()? else {
            return Err(Fault::Damaged(format!("{RUNS} lacks run {number} of job {:?}", job)));
        };
        let (mut run, checksum) = read_run(row, job)?;
        sum = sum.wrapping_add(checksum);
        if let Some(done) = done {
            let RunState::Started { at } = run.state else {
                return Err(Fault::Damaged(format!("run {number} of job {:?} in {RUNS} is done and has not started", job)));
            };
            run.state = RunState::Ended { started: Some(at), at: from_nanos(done), end: RunEnd::Done };
        }
        open.push(run);
    }
    if sum != row.open_sum {
        return Err(Fault::Damaged(format!("the open runs of job {:?} in {RUNS} are not those last written", job)));
    }
    Ok(open)
}

/// Every run against its job: none without one, none open that the job does not tell of.
fn every_run(connection: &Connection, jobs: &BTreeMap<i64, (Arc<str>, JobRow)>) -> Result<(), Fault> {
    let mut kept: BTreeMap<i64, i64> = BTreeMap::new();
    let mut statement = connection.prepare("SELECT * FROM punctual_runs")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let Some((name, job)) = jobs.get(&id) else {
            return Err(Fault::Damaged(format!("a run in {RUNS} is of job {id}, which {JOBS} lacks")));
        };
        let (run, _) = read_run(row, name)?;
        if run.state.is_over() {
            *kept.entry(id).or_default() += 1;
        } else if !job.open.iter().any(|open| open.number == run.number) {
            return Err(Fault::Damaged(format!(
                "run {} of job {name:?} in {RUNS} is open, and {JOBS} knows nothing of it",
                run.number
            )));
        }
    }
    for (id, (name, job)) in jobs {
        let found = kept.get(id).copied().unwrap_or(0);
        if found != job.kept {
            return Err(Fault::Damaged(format!("{RUNS} holds {found} ended runs of job {name:?}, not {}", job.kept)));
        }
    }
    Ok(())
}
