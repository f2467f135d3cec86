//! A store in a file: SQLite's, and readable by anything that reads SQLite.
//!
//! One connection writes and never waits, another one reads, so that a poll waits for nobody. What takes long (checking,
//! copying) has one of its own. Each commit also writes the one row of `punctual_meta`: its number, and the sums of the checksums
//! of all rows, so that a row that is missing, or as it was before, is noticed too. `schema.rs` has the tables.
//!
//! Structure is checked at open by SQLite's `integrity_check`, not by its `quick_check`: the quick one does not compare tables
//! and indexes, and a run that an index has lost would be missing from the history. With a million runs that is two seconds
//! instead of half a second.
//!
//! A file that others have tables in is checked as far as it is the store's. The file itself is opened by SQLite only: on Unix
//! whoever closes a file gives up the locks of his whole process on it.

mod change;
mod fault;
mod file;
mod holds;
mod mark;
mod remembered;
mod rows;
mod schema;
mod verify;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

/// The SQLite that the store uses: its connections are those that [`SqliteStore::complete`] takes.
pub use rusqlite;

use super::{Batch, Done, HistoryQuery, JobRecord, Keep, Kept, RunRecord, Store, StoreError};
use crate::clock::{Clock, SystemClock};
use crate::run::RunFacts;
use crate::schedule::to_nanos;
use crate::sync::Mutex;
use change::{Bounds, Writing};
use fault::Fault;
use file::{Identity, Place};
use holds::Holds;
use mark::{Found, MarkFile};
use remembered::Remembered;
use schema::{MIGRATIONS, Meta};
use verify::Depth;

/// What a write survives once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// That the process is killed. If the machine loses power or its system crashes, the last commits may be missing: a run
    /// that had started may start again, and one that had ended counts as cut off. The file opens, and
    /// [`SqliteStore::lost_at_open`] says how many.
    Process,
    /// That power is lost, as far as the disk keeps what it says it has synced. A sync with each commit.
    #[default]
    Power,
}

/// A store in an SQLite file. Clones are the same store.
///
/// ```
/// use punctual::{SqliteStore, Store};
///
/// # let folder = std::env::temp_dir().join(format!("punctual-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("jobs.db");
/// let store = SqliteStore::open(&path)?;
/// assert_eq!(store.load("quakes")?, None);
/// # drop(store);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Plain SQL
///
/// The file may hold tables of the host's own; those of the store begin with `punctual_`. Times are nanoseconds since 1970
/// UTC, lengths of time nanoseconds, states and reasons words.
///
/// | table | a row for | columns to look at |
/// | --- | --- | --- |
/// | `punctual_jobs` | each job | `job` (its number here), `name`, `schedule`, `last_due`, `last_start`, `last_end`, `failures`, `paused`, `kept` (ended runs that are kept), `open` (numbers of those that have not ended; behind one that [is done](Self::complete) `@` and when), `gathered`, `written_by` |
/// | `punctual_runs` | each run | `job`, `number`, `due`, `attempt`, `state`, `not_before`, `started`, `ended`, `late`, `late_by`, `took`, `error`, `follows` |
/// | `punctual_meta` | the store, one | `schema` (the version of the tables), `generation` (how many commits there were) |
///
/// A run's `state` is `waiting`, `started` or `again`, and once it is over `done`, `failed`, `panicked`, `timed out`,
/// `stopped`, `lost` or `cut off`.
///
/// ```text
/// sqlite3 jobs.db "SELECT name, number, datetime(due / 1e9, 'unixepoch') AS due, state, took / 1e9 AS seconds, error
///     FROM punctual_runs JOIN punctual_jobs USING (job) WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT 20"
/// sqlite3 jobs.db "SELECT name, state, count(*), max(late) / 1e9 AS latest FROM punctual_runs JOIN punctual_jobs USING (job)
///     GROUP BY name, state"
/// ```
///
/// Anybody may read. Whoever writes to these tables by hand makes the store refuse the file: each row has a checksum, and
/// `punctual_meta` has the sums of them. While somebody is within a transaction that writes, be it to tables of the host's own,
/// the store cannot write and says [`StoreError::Busy`]: it waits only when it opens and reads, and then for a second.
///
/// # What is noticed
///
/// | what happened to the file | how it is noticed |
/// | --- | --- |
/// | it is another kind of file | SQLite reads its beginning |
/// | pages are gone, swapped or overwritten | at open SQLite's own integrity check, and the sums of all checksums |
/// | bytes within a row are changed | the row's checksum: at open for jobs and open runs, for ended ones when they are read |
/// | commits are missing: the log was cut or taken away, an older file put back | the mark, a file beside it: `<file>-mark` |
/// | it is gone or empty | the mark |
/// | it is deleted or replaced while it is open | device and inode, before each use (on Unix; elsewhere only that it is gone) |
///
/// A store without its mark opens and gets a new one: take the mark along when the file is moved. What is noticed is said, and
/// the file is left as it is.
#[derive(Clone)]
pub struct SqliteStore(Arc<Opened>);

struct Opened {
    place: Place,
    files: Identity,
    holds: Holds,
    durability: Durability,
    bounds: Bounds,
    /// It never waits for another process.
    writer: Mutex<Writer>,
    /// One of its own, so that a poll does not wait for who reads.
    reader: Mutex<Connection>,
    lost: u64,
}

struct Writer {
    connection: Connection,
    mark: MarkFile,
    last: Option<Remembered>,
}

/// How a store is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    durability: Durability,
    accept_shortened: bool,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    boot: Option<Arc<str>>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            durability: Durability::default(),
            accept_shortened: false,
            bounds: Bounds::default(),
            clock: Arc::new(SystemClock::new()),
            boot: None,
        }
    }
}

impl std::fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let SqliteOptions { durability, accept_shortened, bounds, .. } = self;
        let mut options = f.debug_struct("SqliteOptions");
        options.field("durability", durability).field("accept_shortened", accept_shortened);
        options.field("keep_last", &bounds.last).field("keep_for", &bounds.age).finish_non_exhaustive()
    }
}

impl SqliteOptions {
    /// What a write survives once it is answered. Of several processes each may have its own.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Opens a file whose last commits are missing, as a restored backup's are; else that is [`StoreError::Shortened`].
    #[must_use]
    pub fn accept_shortened(mut self) -> Self {
        self.accept_shortened = true;
        self
    }

    /// Keeps the last so many ended runs of each job, instead of all.
    ///
    /// There is no work of its own for it: what writes that runs of a job have ended also forgets the oldest that are too many,
    /// two for each that it adds at most. So a history that was longer, of a store that was opened without this, becomes
    /// shorter in small steps; and a job of which no run ends any more keeps what it has. [`Store::prune`] is for both.
    #[must_use]
    pub fn keep_last(mut self, runs: u64) -> Self {
        self.bounds.last = Some(runs);
        self
    }

    /// Keeps ended runs for so long after their end, instead of for ever: by the wall clock of this store, and in steps as
    /// [`keep_last`](Self::keep_last). With both, what is beyond either goes.
    #[must_use]
    pub fn keep_for(mut self, age: Duration) -> Self {
        self.bounds.age = Some(age);
        self
    }

    /// The clock by which holds run out and runs grow old, instead of the machine's.
    ///
    /// It is [`Clock::boot`] that counts, and it has to be the same for all processes that share the file. Where it is `None`,
    /// as the machine's is anywhere but on Linux, it is the wall clock: if that is set, holds last longer or shorter.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// A name for the boot since which the clock counts, instead of the machine's own. Holds of another boot are over.
    #[must_use]
    pub fn boot(mut self, boot: impl Into<Arc<str>>) -> Self {
        self.boot = Some(boot.into());
        self
    }

    /// Opens the store in a file, or makes one if there is none. The folder has to be there.
    ///
    /// All jobs and open runs are read and checked, and the structure of the tables: some milliseconds, and about two seconds
    /// for each million of runs. If another process has the file locked, it waits for a second.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] but [`StoreError::Held`] and [`StoreError::Unanswered`]. The file is left as it is then.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        let place = Place::find(path.as_ref())?;
        let holds = Holds::new(self.clock.clone(), self.boot.clone());
        let opening = Opening { options: self, place: &place };
        let (writer, reader, files, lost) = opening.open()?;
        let (durability, bounds) = (self.durability, self.bounds);
        let (writer, reader) = (Mutex::new(writer), Mutex::new(reader));
        Ok(SqliteStore(Arc::new(Opened { place, files, holds, durability, bounds, writer, reader, lost })))
    }
}

impl SqliteStore {
    /// Opens the store in a file, or makes one if there is none, for [`Durability::Power`].
    ///
    /// # Errors
    ///
    /// As [`SqliteOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        SqliteOptions::default().open(path)
    }

    /// How to open it otherwise.
    ///
    /// ```no_run
    /// use punctual::{Durability, SqliteStore};
    ///
    /// let store = SqliteStore::options().durability(Durability::Process).open("jobs.db")?;
    /// # Ok::<(), punctual::StoreError>(())
    /// ```
    pub fn options() -> SqliteOptions {
        SqliteOptions::default()
    }

    /// How many commits were missing from the end when it was opened: 0 but after a power cut at [`Durability::Process`], or
    /// with [`SqliteOptions::accept_shortened`].
    pub fn lost_at_open(&self) -> u64 {
        self.0.lost
    }

    /// Says within a transaction of the host's own that a run is done, so that what the run did to the file and that it did it
    /// are one commit.
    ///
    /// For a job whose data is in the store's file. It opens a connection of its own, begins a transaction, writes its data,
    /// calls this, and commits. If the process ends before the commit, neither is there, and the run was cut off; if it ends
    /// after, both are, and the next process takes the run as ended. So an occurrence of a job that runs
    /// [at least once](crate::When::at_least_once) has its effect exactly once:
    ///
    /// | when the process ends | its data | the run | `at_least_once` |
    /// | --- | --- | --- | --- |
    /// | before the commit | is not there | was cut off | runs again |
    /// | after it, before the end is written | is there | is done | does not run again |
    ///
    /// That holds for what is in the file. A mail that was sent before the commit is sent again; one that is sent after it may
    /// not be sent. After a power cut it holds as well, whatever `synchronous` the connection has: data and run are lost
    /// together, if they are.
    ///
    /// To the scheduler of this process the run ends when the job returns, as it says: one that fails after the commit has
    /// failed, and is tried again if it has retries. So nothing that can fail should come after the commit.
    ///
    /// While the transaction is open the store cannot write: see [`StoreError::Busy`]. So it should begin (`IMMEDIATE`) when
    /// all that takes long is done.
    ///
    /// ```
    /// use punctual::rusqlite::{Connection, TransactionBehavior};
    /// use punctual::{Run, Scheduler, SqliteStore};
    ///
    /// # let folder = std::env::temp_dir().join(format!("punctual-complete-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("quakes.db");
    /// let mut data = Connection::open(&path)?;
    /// data.execute_batch("CREATE TABLE IF NOT EXISTS quake (at TEXT)")?;
    /// let store = SqliteStore::open(&path)?;
    /// let scheduler: Scheduler = Scheduler::builder().store(store.clone()).build();
    /// let job = move |run: &mut Run| {
    ///     let fetched = ["2026-03-01T12:00:00Z"];
    ///     let transaction = data.transaction_with_behavior(TransactionBehavior::Immediate)?;
    ///     for at in fetched {
    ///         transaction.execute("INSERT INTO quake VALUES (?)", [at])?;
    ///     }
    ///     store.complete(&transaction, run.facts())?;
    ///     transaction.commit()?;
    ///     Ok::<(), punctual::BoxError>(())
    /// };
    /// scheduler.every(5).minutes().immediately().named("quakes").at_least_once().do_with(job)?;
    /// # let tick = scheduler.run_pending();
    /// # assert_eq!((tick.ran(), tick.failed()), (1, 0));
    /// # let plain = Connection::open(&path)?;
    /// # assert_eq!(plain.query_row("SELECT count(*) FROM quake", [], |row| row.get::<_, i64>(0))?, 1);
    /// # drop((scheduler, plain));
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`] unless this attempt of the run goes on by the file: another process has taken the job over, the
    /// run was given up, or it was said before that it is done. [`StoreError::NotKept`] for a job that is not kept in a store,
    /// [`StoreError::OtherFile`] if the connection's main database is not the store's file, [`StoreError::NoTransaction`] if
    /// none is open. [`StoreError::Busy`] if another connection writes, or has written since the transaction began by reading.
    /// Else whatever keeps it from being written. Then nothing was written by this; the transaction is to be rolled back.
    pub fn complete(&self, transaction: &Connection, run: &RunFacts) -> Result<(), StoreError> {
        self.0.complete(transaction, run)
    }

    /// Checks all of it: the structure of the file, each row's checksum, and that jobs and runs belong together. Others go on
    /// reading and writing meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] says where; whatever else keeps it from being read.
    pub fn check(&self) -> Result<(), StoreError> {
        self.0.apart(|connection| {
            verify::structure(connection)?;
            verify::content(connection, &Meta::read(connection)?, Depth::Whole)
        })
    }

    /// Copies the whole file, tables of the host's own included, as it is at one moment. Others go on reading and writing
    /// meanwhile.
    ///
    /// In the place of the original it is a store whose last commits are missing: see [`SqliteOptions::accept_shortened`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if there is a file already; whatever keeps the one from being read or the other from being written.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<(), StoreError> {
        let to = Place::find(to.as_ref())?;
        match std::fs::OpenOptions::new().write(true).create_new(true).open(&to.file) {
            Ok(empty) => drop(empty),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(StoreError::Exists { path: to.said }),
            Err(error) => return Err(fault::of_io(&error, &to.said)),
        }
        let copied = self.0.copy(&to);
        if copied.is_err() {
            let _ = std::fs::remove_file(&to.file);
        }
        copied
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Opened { place, durability, .. } = &*self.0;
        f.debug_struct("SqliteStore").field("path", &place.said).field("durability", durability).finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn load(&self, name: &str) -> Result<Option<JobRecord>, StoreError> {
        self.0.read(|connection| {
            change::find(connection, name, |columns, row| {
                let mut record = rows::read_record(columns, &self.0.holds)?;
                record.open = verify::open_runs(connection, &record.name, &row)?;
                Ok(record)
            })
        })
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        self.0.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT name FROM punctual_jobs ORDER BY name")?;
            let names = statement.query_map([], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
    }

    fn write(&self, batch: Batch, done: Done) {
        done.with(self.0.write(&batch));
    }

    fn history(&self, query: &HistoryQuery) -> Result<Vec<RunRecord>, StoreError> {
        self.0.read(|connection| history(connection, query))
    }

    fn prune(&self, keep: &Keep, most: usize) -> Result<usize, StoreError> {
        self.0.commit(|connection, last| {
            last.forget_jobs();
            let count = change::prune(connection, &mut last.meta, keep, most)?;
            Ok((count, count > 0))
        })
    }

    fn purge(&self, name: &str) -> Result<bool, StoreError> {
        self.0.commit(|connection, last| {
            last.forget_jobs();
            let known = change::purge(connection, &mut last.meta, name, &self.0.holds)?;
            Ok((known, known))
        })
    }
}

impl Opened {
    fn write(&self, batch: &Batch) -> Result<Vec<Kept>, StoreError> {
        if batch.changes.is_empty() {
            return Ok(Vec::new());
        }
        self.commit(|connection, last| {
            let writing = Writing::new(connection, &batch.node, &self.holds, self.bounds);
            let kept: Vec<Kept> =
                batch.changes.iter().map(|change| writing.change(last, change)).collect::<Result<_, Fault>>()?;
            let any = kept.contains(&Kept::Yes);
            Ok((kept, any))
        })
    }

    /// Does work in one transaction, which is kept if the work says that it wrote something.
    fn commit<T>(&self, work: impl FnOnce(&Connection, &mut Remembered) -> Result<(T, bool), Fault>) -> Result<T, StoreError> {
        let mut writer = self.writer.lock();
        let Writer { connection, mark, last } = &mut *writer;
        self.same_files()?;
        let before = last.take();
        let committed = transact(connection, "BEGIN IMMEDIATE", || {
            let mut last = Remembered::or_read(before, connection)?;
            let (answer, wrote) = work(connection, &mut last)?;
            if wrote {
                let meta = &mut last.meta;
                meta.generation += 1;
                if self.durability == Durability::Power {
                    meta.synced = meta.generation;
                }
                meta.write(connection)?;
            }
            Ok((answer, wrote, last))
        });
        let (answer, wrote, now) = committed.map_err(|fault| fault.of(&self.place.said))?;
        if wrote {
            // What is written is written; a mark that is behind only notices less.
            let _ = mark.write(&now.meta.mark());
        }
        *last = Some(now);
        Ok(answer)
    }

    /// Within a transaction of the host's. The mark beside the file learns of it by the next commit of the store's own.
    fn complete(&self, transaction: &Connection, run: &RunFacts) -> Result<(), StoreError> {
        let path = || self.place.said.clone();
        let Some(name) = run.name.as_ref().filter(|_| run.number > 0) else {
            return Err(StoreError::NotKept { job: run.label() });
        };
        self.same_files()?;
        let given = transaction.path().unwrap_or_default();
        if !self.place.is_at(given) {
            let given = if given.is_empty() { "a database in memory" } else { given };
            return Err(StoreError::OtherFile { path: path(), given: given.to_owned() });
        }
        if transaction.is_autocommit() {
            return Err(StoreError::NoTransaction { path: path() });
        }
        let work = || {
            let mut meta = Meta::read(transaction)?;
            change::complete(transaction, &mut meta, name, (run.number, run.attempt), self.holds.wall())?;
            meta.generation += 1;
            meta.write(transaction)
        };
        step(transaction, work).map_err(|fault| fault.of(&self.place.said))
    }

    /// Reads what was there at one moment.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        let reader = self.reader.lock();
        self.same_files()?;
        transact(&reader, "BEGIN", || work(&reader)).map_err(|fault| fault.of(&self.place.said))
    }

    /// The same for what takes long, on a connection of its own.
    fn apart<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.same_files()?;
        let connection = connect(&self.place).map_err(|fault| fault.of(&self.place.said))?;
        transact(&connection, "BEGIN", || work(&connection)).map_err(|fault| fault.of(&self.place.said))
    }

    fn copy(&self, to: &Place) -> Result<(), StoreError> {
        self.same_files()?;
        let copy = |connection: &Connection| -> Result<(), Fault> {
            let file = to.file.to_str().ok_or_else(|| {
                Fault::Said(StoreError::Io { path: to.said.clone(), what: "the path of a backup has to be UTF-8".to_owned() })
            })?;
            connection.execute("VACUUM INTO ?", [file])?;
            Ok(())
        };
        let connection = connect(&self.place).map_err(|fault| fault.of(&self.place.said))?;
        copy(&connection).map_err(|fault| fault.of(&to.said))?;
        let synced = std::fs::OpenOptions::new().write(true).open(&to.file).and_then(|file| file.sync_all());
        synced.map_err(|error| fault::of_io(&error, &to.said))?;
        file::sync_folder(&to.file);
        Ok(())
    }

    fn same_files(&self) -> Result<(), StoreError> {
        if Identity::at(&self.place) == self.files {
            return Ok(());
        }
        Err(StoreError::Replaced { path: self.place.said.clone() })
    }
}

/// Does work in one transaction, which is given up if the work fails.
fn transact<T>(connection: &Connection, begin: &str, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    if !connection.is_autocommit() {
        // A transaction that could not be given up before.
        connection.execute_batch("ROLLBACK")?;
    }
    connection.prepare_cached(begin)?.execute([])?;
    let outcome = work().and_then(|answer| {
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(answer)
    });
    if outcome.is_err() && !connection.is_autocommit() {
        // If it fails, the next one begins with it.
        let _ = connection.execute_batch("ROLLBACK");
    }
    outcome
}

/// Does work as a step of a transaction: if it fails, what it wrote is undone, and no more.
fn step<T>(connection: &Connection, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    connection.execute_batch("SAVEPOINT punctual_step")?;
    let outcome = work();
    let end = if outcome.is_ok() { "RELEASE punctual_step" } else { "ROLLBACK TO punctual_step; RELEASE punctual_step" };
    // Where SQLite has given up the whole transaction, the step is gone with it.
    let ended = if connection.is_autocommit() { Ok(()) } else { connection.execute_batch(end) };
    let answer = outcome?;
    ended?;
    Ok(answer)
}

fn history(connection: &Connection, query: &HistoryQuery) -> Result<Vec<RunRecord>, Fault> {
    let since = query.since.as_ref().map_or(i64::MIN, to_nanos);
    let until = query.before.as_ref().map_or(i64::MAX, |before| to_nanos(before).saturating_sub(1));
    let most = i64::try_from(query.most).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(match query.job {
        Some(_) => {
            "SELECT r.*, j.name FROM punctual_jobs AS j JOIN punctual_runs AS r ON r.job = j.job
                WHERE r.ended >= ?1 AND r.ended <= ?2 AND j.name = ?4 ORDER BY r.ended DESC, r.number DESC LIMIT ?3"
        }
        None => {
            "SELECT r.*, j.name FROM punctual_runs AS r JOIN punctual_jobs AS j ON j.job = r.job
                WHERE r.ended >= ?1 AND r.ended <= ?2 ORDER BY r.ended DESC, j.name, r.number DESC LIMIT ?3"
        }
    })?;
    let mut rows = match &query.job {
        Some(job) => statement.query((since, until, most, &**job))?,
        None => statement.query((since, until, most))?,
    };
    let mut found: Vec<RunRecord> = Vec::new();
    while let Some(row) = rows.next()? {
        let name: Arc<str> = match row.get_ref(rows::RUN_COLUMNS + 1)?.as_str() {
            Ok(name) => found.last().map(|run| &run.job).filter(|last| ***last == *name).cloned().unwrap_or_else(|| name.into()),
            Err(error) => return Err(Fault::Damaged(error.to_string())),
        };
        found.push(rows::read_run(row, &name)?.0);
    }
    Ok(found)
}

/// The first SQLite without a known way to corrupt a log that several processes write.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long opening and reading wait for another process.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens a connection. Until it is told otherwise it moves nothing from the log to the file when it closes.
fn connect(place: &Place) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&place.file, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF")?;
    Ok(connection)
}

struct Opening<'a> {
    options: &'a SqliteOptions,
    place: &'a Place,
}

impl Opening<'_> {
    fn open(&self) -> Result<(Writer, Connection, Identity, u64), StoreError> {
        let Place { said, .. } = self.place;
        let path = || said.clone();
        if rusqlite::version_number() < OLDEST_SQLITE {
            let what = format!("SQLite {} may corrupt its log; link 3.51.3 or later", rusqlite::version());
            return Err(StoreError::Io { path: path(), what });
        }
        // Before the file, since another process writes them in the other order.
        let found = mark::read(&self.place.mark).map_err(|error| fault::of_io(&error, said))?;
        let length = self.place.len()?;
        if length == 0 && found != Found::Nothing {
            return Err(StoreError::Gone { path: path(), mark: self.place.mark_said() });
        }
        if length == 0 && self.place.has_log() {
            // SQLite would delete it.
            return Err(StoreError::Gone { path: path(), mark: self.place.log.display().to_string() });
        }
        if (1..SMALLEST).contains(&length) {
            return Err(StoreError::NotADatabase { path: path() });
        }
        let before = Identity::at(self.place);
        let opened = self.connect(&found);
        let (writer, reader, meta, lost) = opened.map_err(|fault| self.say(fault))?;
        let files = Identity::at(self.place);
        if before.is_there() && !before.is_same_file(&files) || !files.is_there() {
            return Err(StoreError::Replaced { path: path() });
        }
        if length == 0 {
            file::sync_folder(&self.place.file);
        }
        let mark = MarkFile::open(&self.place.mark, &found, &meta.mark()).map_err(|error| fault::of_io(&error, said))?;
        Ok((Writer { connection: writer, mark, last: None }, reader, files, lost))
    }

    fn connect(&self, found: &Found) -> Result<(Connection, Connection, Meta, u64), Fault> {
        let path = || self.place.said.clone();
        let writer = connect(self.place)?;
        if writer.is_readonly(MAIN_DB)? {
            return Err(Fault::Said(StoreError::ReadOnly { path: path() }));
        }
        let (version, lost) = transact(&writer, "BEGIN", || self.look(&writer, found))?;
        if version < NEWEST {
            transact(&writer, "BEGIN IMMEDIATE", || {
                // Another process may have done it meanwhile.
                let version = schema::version(&writer)?;
                if version < NEWEST { schema::migrate(&writer, version, &MIGRATIONS) } else { Ok(()) }
            })?;
        }
        set_wal(&writer)?;
        let synchronous = match self.options.durability {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        };
        writer.pragma_update(None, "synchronous", synchronous)?;
        // That it can be written is known only by doing so.
        transact(&writer, "BEGIN IMMEDIATE", || Ok(()))?;
        let meta = transact(&writer, "BEGIN", || Meta::read(&writer))?;
        let reader = connect(self.place)?;
        transact(&reader, "BEGIN", || Meta::read(&reader))?;
        for connection in [&writer, &reader] {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        }
        writer.busy_timeout(Duration::ZERO)?;
        Ok((writer, reader, meta, lost))
    }

    /// Looks at the file without changing it: the version of its tables, and how many commits are missing.
    fn look(&self, connection: &Connection, found: &Found) -> Result<(i64, u64), Fault> {
        let path = || self.place.said.clone();
        let version = schema::version(connection)?;
        if version > NEWEST {
            let found = u32::try_from(version).unwrap_or(u32::MAX);
            return Err(Fault::Said(StoreError::Newer { path: path(), found, known: MIGRATIONS.len() as u32 }));
        }
        if version == 0 && *found != Found::Nothing {
            return Err(Fault::Said(StoreError::Gone { path: path(), mark: self.place.mark_said() }));
        }
        verify::structure(connection)?;
        if version == 0 {
            return Ok((0, 0));
        }
        if version < NEWEST {
            return Ok((version, 0));
        }
        let meta = Meta::read(connection)?;
        let lost = self.lost(&meta, found)?;
        verify::content(connection, &meta, Depth::Open)?;
        Ok((version, lost))
    }

    /// How many commits are missing, if so many may be.
    fn lost(&self, meta: &Meta, found: &Found) -> Result<u64, Fault> {
        let path = || self.place.said.clone();
        let Found::Mark(mark) = found else {
            return Ok(0);
        };
        if mark.store != meta.store {
            return Err(Fault::Said(StoreError::OtherStore { path: path(), mark: self.place.mark_said() }));
        }
        let commits = u64::try_from(mark.generation.saturating_sub(meta.generation)).unwrap_or(0);
        if mark.synced > meta.generation && !self.options.accept_shortened {
            return Err(Fault::Said(StoreError::Shortened { path: path(), commits }));
        }
        Ok(commits)
    }

    /// What is said of a failure to open. That SQLite cannot open a file has many reasons; the file system knows which.
    fn say(&self, fault: Fault) -> StoreError {
        if !fault.is_cannot_open() {
            return fault.of(&self.place.said);
        }
        let probe = self.place.probe();
        let tried = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe);
        match tried {
            Ok(_) => {
                let _ = std::fs::remove_file(&probe);
                fault.of(&self.place.said)
            }
            Err(error) => fault::of_io(&error, &self.place.said),
        }
    }
}

const NEWEST: i64 = MIGRATIONS.len() as i64;

/// No SQLite database is smaller, in bytes: it has one page, and pages have that many.
const SMALLEST: u64 = 512;

/// Makes the file keep its commits in a log. Here SQLite does not wait by itself for another process that does the same.
fn set_wal(connection: &Connection) -> Result<(), Fault> {
    const STEP: Duration = Duration::from_millis(10);
    let mut left = PATIENCE;
    loop {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(Fault::Damaged(format!("it keeps no log: its journal mode is {mode}"))),
            Err(error) if is_busy(&error) && !left.is_zero() => {
                std::thread::sleep(STEP);
                left = left.saturating_sub(STEP);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of a version that does not exist yet, of which this program knows nothing.
    #[test]
    fn a_newer_file_is_refused_and_left_as_it_is() {
        let folder = std::env::temp_dir().join(format!("punctual-newer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("jobs.db");
        let connection = Connection::open(&path).expect("it opens");
        let second: schema::Migration = |connection| connection.execute_batch("ALTER TABLE punctual_jobs ADD COLUMN colour TEXT");
        schema::migrate(&connection, 0, &[MIGRATIONS[0], second]).expect("it migrates");
        drop(connection);
        let before = std::fs::read(&path).expect("a file");
        let error = SqliteStore::open(&path).err();
        let expected = StoreError::Newer { path: path.display().to_string(), found: 2, known: 1 };
        assert_eq!((error, std::fs::read(&path).expect("a file")), (Some(expected), before));

        // A byte that makes it look newer is no newer version.
        std::fs::remove_file(&path).expect("it goes");
        drop(SqliteStore::open(&path).expect("it opens"));
        let connection = Connection::open(&path).expect("it opens");
        connection.execute_batch("UPDATE punctual_meta SET schema = 2").expect("it writes");
        drop(connection);
        assert!(matches!(SqliteStore::open(&path).err(), Some(StoreError::Damaged { .. })));
        std::fs::remove_dir_all(&folder).expect("it goes");
    }
}
