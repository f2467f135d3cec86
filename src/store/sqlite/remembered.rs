//! What this store's writer wrote last, so that it is not read again while nobody else writes.
//!
//! SQLite counts for each connection how often others have changed the file (`PRAGMA data_version`). Within a transaction that
//! may write nobody can, so if the count is what it was before, the rows are as they were left. A transaction that fails leaves
//! nothing remembered.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::fault::Fault;
use super::rows::JobRow;
use super::schema::Meta;

/// Of so many jobs a row is remembered at most: some hundred bytes each.
const MOST: usize = 100_000;

#[derive(Debug)]
pub(super) struct Remembered {
    /// Of which count of changes by others this is.
    others: i64,
    pub(super) meta: Meta,
    jobs: HashMap<Arc<str>, Written>,
}

/// A job's row, and by whom it was written.
#[derive(Debug)]
struct Written {
    row: JobRow,
    by: Arc<str>,
}

impl Remembered {
    /// What is in the file, in a transaction that may write: what was remembered, if that is so still.
    pub(super) fn or_read(before: Option<Remembered>, connection: &Connection) -> Result<Remembered, Fault> {
        let others = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if let Some(remembered) = before.filter(|before| before.others == others) {
            return Ok(remembered);
        }
        Ok(Remembered { others, meta: Meta::read(connection)?, jobs: HashMap::new() })
    }

    /// A job's row, if it was this node that wrote it.
    pub(super) fn job(&self, name: &str, node: &Arc<str>) -> Option<&JobRow> {
        self.jobs.get(name).filter(|written| written.by == *node).map(|written| &written.row)
    }

    /// A job was written.
    pub(super) fn wrote(&mut self, name: &Arc<str>, row: JobRow, by: &Arc<str>) {
        if let Some(known) = self.jobs.get_mut(name) {
            known.row = row;
            known.by.clone_from(by);
            return;
        }
        if self.jobs.len() >= MOST {
            self.jobs.clear();
        }
        self.jobs.insert(name.clone(), Written { row, by: by.clone() });
    }

    /// Jobs were written in another way.
    pub(super) fn forget_jobs(&mut self) {
        self.jobs.clear();
    }
}
