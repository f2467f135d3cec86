//! The tables, their versions, and the row that says how far the store got.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};

use super::fault::Fault;
use super::mark::Mark;
use super::rows::{Columns, Fields, checksum, execute, int};

pub(super) const META: &str = "punctual_meta";

/// Brings the tables from one version to the next. Files of old versions are read for ever, so none is ever changed.
pub(super) type Migration = fn(&Connection) -> rusqlite::Result<()>;

pub(super) const MIGRATIONS: [Migration; 1] = [first];

/// What versions number 1 has. The times are nanoseconds since 1970 UTC, but for `held_until`, which counts from the boot that
/// `held_boot` names.
fn first(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE punctual_meta (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            schema INTEGER NOT NULL,
            store BLOB NOT NULL,
            tables INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            synced INTEGER NOT NULL,
            jobs INTEGER NOT NULL,
            jobs_sum INTEGER NOT NULL,
            runs INTEGER NOT NULL,
            runs_sum INTEGER NOT NULL,
            checksum INTEGER NOT NULL
        );
        INSERT INTO punctual_meta VALUES (1, 0, randomblob(16), 0, 0, 0, 0, 0, 0, 0, 0);
        CREATE TABLE punctual_jobs (
            job INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            version INTEGER NOT NULL,
            schedule TEXT NOT NULL,
            anchor INTEGER NOT NULL,
            searched INTEGER NOT NULL,
            missed_until INTEGER,
            last_due INTEGER,
            last_start INTEGER,
            last_end INTEGER,
            failures INTEGER NOT NULL,
            crashes INTEGER NOT NULL,
            paused INTEGER NOT NULL,
            runs_left INTEGER,
            last_run INTEGER NOT NULL,
            kept INTEGER NOT NULL,
            open TEXT NOT NULL,
            open_sum INTEGER NOT NULL,
            gathered TEXT NOT NULL,
            written_by TEXT NOT NULL,
            held_until INTEGER,
            held_boot TEXT,
            checksum INTEGER NOT NULL
        );
        CREATE TABLE punctual_runs (
            job INTEGER NOT NULL,
            number INTEGER NOT NULL,
            due INTEGER NOT NULL,
            first_missed INTEGER NOT NULL,
            folded INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            state TEXT NOT NULL,
            not_before INTEGER,
            by_hand INTEGER NOT NULL,
            started INTEGER,
            ended INTEGER,
            late INTEGER NOT NULL,
            late_by TEXT NOT NULL,
            took INTEGER NOT NULL,
            error TEXT,
            follows TEXT NOT NULL,
            checksum INTEGER NOT NULL,
            PRIMARY KEY (job, number)
        ) WITHOUT ROWID;
        CREATE INDEX punctual_runs_ended ON punctual_runs (ended) WHERE ended IS NOT NULL;
        CREATE INDEX punctual_runs_of_job ON punctual_runs (job, ended) WHERE ended IS NOT NULL;",
    )
}

/// The version of the tables in a file, 0 if it has none; and whether it has tables of others.
pub(super) fn version(connection: &Connection) -> Result<i64, Fault> {
    let ours = "SELECT 1 FROM sqlite_schema WHERE name GLOB 'punctual_*'";
    if connection.query_row(ours, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    // A newer version may have more columns; the first two and the last are the same in all.
    let mut statement = connection.prepare("SELECT * FROM punctual_meta")?;
    let columns = statement.column_count().saturating_sub(1);
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Err(Fault::Damaged(format!("{META} is empty")));
    };
    let (mut fields, _) = Fields::of(row, META, columns, || "the row".to_owned())?;
    fields.int()?;
    let version = fields.int()?;
    if version < 1 {
        return Err(Fault::Damaged(format!("{version} is no version of {META}")));
    }
    Ok(version)
}

/// Whether a file holds nothing but this store.
pub(super) fn is_alone(connection: &Connection) -> Result<bool, Fault> {
    let others = "SELECT 1 FROM sqlite_schema WHERE tbl_name NOT GLOB 'punctual_*'";
    Ok(connection.query_row(others, [], |_| Ok(())).optional()?.is_none())
}

/// Brings the tables from a version to the newest, in the transaction that is open.
pub(super) fn migrate(connection: &Connection, from: i64, migrations: &[Migration]) -> Result<(), Fault> {
    for migration in migrations.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        migration(connection)?;
    }
    let columns = "SELECT store, generation, synced, jobs, jobs_sum, runs, runs_sum FROM punctual_meta";
    let mut meta = connection.query_row(columns, [], |row| {
        let (schema, tables) = (migrations.len() as i64, 0);
        let (store, generation, synced) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (jobs, jobs_sum, runs, runs_sum) = (row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?);
        Ok(Meta { schema, store, tables, generation, synced, jobs, jobs_sum, runs, runs_sum })
    })?;
    meta.tables = tables(connection)?;
    meta.generation += 1;
    meta.synced = meta.generation;
    meta.write(connection)
}

/// A checksum of the tables' own text, so that a changed one is noticed.
pub(super) fn tables(connection: &Connection) -> Result<i64, Fault> {
    let text = "SELECT name, tbl_name, sql FROM sqlite_schema WHERE name GLOB 'punctual_*' ORDER BY name";
    let mut statement = connection.prepare(text)?;
    let mut rows = statement.query([])?;
    let mut sums = Vec::new();
    while let Some(row) = rows.next()? {
        sums.push(checksum("", [row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?]));
    }
    Ok(checksum("", sums.into_iter().map(ValueRef::Integer)))
}

/// How far a store got, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) schema: i64,
    /// Which store it is: drawn when it is made.
    pub(super) store: [u8; 16],
    pub(super) tables: i64,
    /// The number of the last commit.
    pub(super) generation: i64,
    /// The number of the last one that was to survive a power cut.
    pub(super) synced: i64,
    /// How many rows the tables have, and the sums of their checksums.
    pub(super) jobs: i64,
    pub(super) jobs_sum: i64,
    pub(super) runs: i64,
    pub(super) runs_sum: i64,
}

impl Meta {
    pub(super) fn read(connection: &Connection) -> Result<Meta, Fault> {
        let mut statement = connection.prepare_cached("SELECT * FROM punctual_meta WHERE one = 1")?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else {
            return Err(Fault::Damaged(format!("{META} is empty")));
        };
        let (mut fields, _) = Fields::of(row, META, 10, || "the row".to_owned())?;
        fields.int()?;
        Ok(Meta {
            schema: fields.int()?,
            store: fields.blob()?,
            tables: fields.int()?,
            generation: fields.int()?,
            synced: fields.int()?,
            jobs: fields.int()?,
            jobs_sum: fields.int()?,
            runs: fields.int()?,
            runs_sum: fields.int()?,
        })
    }

    pub(super) fn write(&self, connection: &Connection) -> Result<(), Fault> {
        let columns: Columns<'_, 10> = [
            int(1),
            int(self.schema),
            ValueRef::Blob(&self.store),
            int(self.tables),
            int(self.generation),
            int(self.synced),
            int(self.jobs),
            int(self.jobs_sum),
            int(self.runs),
            int(self.runs_sum),
        ];
        let mut statement = connection.prepare_cached(
            "UPDATE punctual_meta SET schema = ?2, store = ?3, tables = ?4, generation = ?5, synced = ?6, jobs = ?7,
                jobs_sum = ?8, runs = ?9, runs_sum = ?10, checksum = ?11 WHERE one = ?1",
        )?;
        execute(&mut statement, &columns, checksum(META, columns))?;
        Ok(())
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { store: self.store, generation: self.generation, synced: self.synced }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_go_forward_from_where_a_file_is() {
        let second: Migration = |connection| {
            connection.execute_batch("ALTER TABLE punctual_jobs ADD COLUMN colour TEXT")?;
            connection.execute_batch("UPDATE punctual_meta SET jobs = jobs + 70")
        };
        let third: Migration = |connection| connection.execute_batch("CREATE TABLE punctual_third (x)");
        let all = [first, second, third];
        let whole = Connection::open_in_memory().unwrap();
        migrate(&whole, 0, &all).unwrap();
        for halfway in 1..3 {
            let stepwise = Connection::open_in_memory().unwrap();
            migrate(&stepwise, 0, &all[..halfway]).unwrap();
            assert_eq!(version(&stepwise).unwrap(), halfway as i64);
            let before = Meta::read(&stepwise).unwrap();
            migrate(&stepwise, halfway as i64, &all).unwrap();
            let after = Meta::read(&stepwise).unwrap();
            assert_eq!((version(&stepwise).unwrap(), after.jobs, after.generation), (3, 70, 2));
            assert_eq!(after.store, before.store);
            assert_eq!(after.tables, tables(&whole).unwrap());
            assert_eq!(after.tables, tables(&stepwise).unwrap());
        }
    }
}
