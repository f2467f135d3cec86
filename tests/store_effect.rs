//! Jobs that keep their data in the store's file: what they did and that they did it are one commit.

mod store_kit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use punctual::rusqlite::{Connection, TransactionBehavior};
use punctual::{
    HistoryQuery, JobChange, JobRecord, Kept, ManualClock, RunEnd, RunFacts, RunRecord, RunState, Scheduler, SqliteStore, Store,
    StoreError,
};
use store_kit::{Folder, SECOND, at, change, ended, run, write};

/// A store, and a host's own table in the same file.
struct File {
    folder: Folder,
    clock: ManualClock,
}

impl File {
    fn new() -> File {
        let file = File { folder: Folder::new(), clock: ManualClock::new(at(100)) };
        drop(file.open());
        file.connect().execute_batch("CREATE TABLE data (run INTEGER)").unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.join("jobs.db")
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::options().clock(self.clock.clone()).open(self.path()).unwrap()
    }

    fn connect(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn data(&self) -> Vec<i64> {
        let connection = self.connect();
        let mut statement = connection.prepare("SELECT run FROM data ORDER BY run").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

/// Data of a run, and that it is done, in one transaction.
fn complete(store: &SqliteStore, connection: &mut Connection, facts: &RunFacts) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    transaction.execute("INSERT INTO data VALUES (?)", [facts.number as i64]).unwrap();
    store.complete(&transaction, facts)?;
    transaction.commit().unwrap();
    Ok(())
}

/// What a run of `quakes` is told. Only a scheduler makes it.
fn facts(number: u64, attempt: u32) -> RunFacts {
    named(Some("quakes"), number, attempt)
}

fn named(name: Option<&str>, number: u64, attempt: u32) -> RunFacts {
    let scheduler: Scheduler = Scheduler::builder().clock(ManualClock::new(at(0))).build();
    let told = Arc::new(parking_lot::Mutex::new(None));
    let place = told.clone();
    let job = move |run: &mut punctual::Run| *place.lock() = Some(run.facts().clone());
    let when = scheduler.every(1).hour().immediately();
    match name {
        Some(name) => when.named(name).do_with(job).unwrap(),
        None => when.do_with(job).unwrap(),
    };
    let _ = scheduler.run_pending();
    let mut facts = told.lock().take().unwrap();
    (facts.number, facts.attempt) = (number, attempt);
    facts
}

fn attempt(number: u64, attempt: u32) -> RunRecord {
    RunRecord { attempt, ..run("quakes", number, RunState::Started { at: at(number as i64) }) }
}

fn load(store: &SqliteStore) -> JobRecord {
    store.load("quakes").unwrap().unwrap_or_else(|| JobRecord::new("quakes", at(0)))
}

/// Writes the job with these open runs, based on a record.
fn put(store: &SqliteStore, node: &str, record: &JobRecord, open: Vec<RunRecord>, ended: Vec<RunRecord>) -> Kept {
    let record = JobRecord { open, ..record.clone() };
    write(store, node, vec![change(record, ended, Duration::ZERO)]).unwrap().remove(0)
}

fn begin(store: &SqliteStore, open: Vec<RunRecord>) {
    assert_eq!(put(store, "one", &load(store), open, Vec::new()), Kept::Yes);
}

/// The states of the open runs, by number.
fn open(store: &SqliteStore) -> Vec<(u64, RunState)> {
    load(store).open.iter().map(|run| (run.number, run.state)).collect()
}

fn is_done(number: u64) -> (u64, RunState) {
    (number, RunState::Ended { started: Some(at(number as i64)), at: at(100), end: RunEnd::Done })
}

fn goes_on(number: u64) -> (u64, RunState) {
    (number, RunState::Started { at: at(number as i64) })
}

fn history(store: &SqliteStore) -> Vec<(u64, RunState)> {
    let runs = store.history(&HistoryQuery::default()).unwrap();
    runs.iter().map(|run| (run.number, run.state)).collect()
}

fn fenced(number: u64, attempt: u32) -> Result<(), StoreError> {
    Err(StoreError::Fenced { job: "quakes".to_owned(), number, attempt })
}

#[test]
fn data_and_end_are_one_commit() {
    let file = File::new();
    let store = file.open();
    begin(&store, vec![attempt(1, 1), attempt(2, 3), attempt(3, 1)]);
    let (version, mut connection) = (load(&store).version, file.connect());
    assert_eq!(complete(&store, &mut connection, &facts(2, 3)), Ok(()));
    assert_eq!(open(&store), [goes_on(1), is_done(2), goes_on(3)]);
    assert_eq!((load(&store).version, history(&store), store.check()), (version, Vec::new(), Ok(())));
    assert_eq!(file.data(), [2]);
    // The process ends, and the next one finds it so.
    drop(store);
    let store = file.open();
    assert_eq!((open(&store), store.lost_at_open()), (vec![goes_on(1), is_done(2), goes_on(3)], 0));

    // Two in one transaction.
    let transaction = connection.transaction().unwrap();
    assert_eq!((store.complete(&transaction, &facts(1, 1)), store.complete(&transaction, &facts(3, 1))), (Ok(()), Ok(())));
    transaction.commit().unwrap();
    assert_eq!((open(&store), store.check()), (vec![is_done(1), is_done(2), is_done(3)], Ok(())));
}

#[test]
fn what_is_rolled_back_leaves_nothing() {
    let file = File::new();
    let store = file.open();
    begin(&store, vec![attempt(1, 1)]);
    let mut connection = file.connect();
    for number in 0..3 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        transaction.execute("INSERT INTO data VALUES (1)", []).unwrap();
        assert_eq!(store.complete(&transaction, &facts(1, 1)), Ok(()));
        match number {
            0 => transaction.rollback().unwrap(),
            1 => drop(transaction),
            _ => {
                // The process ends in the middle of it.
                std::mem::forget(transaction);
                connection = file.connect();
                break;
            }
        }
        assert_eq!((open(&store), file.data()), (vec![goes_on(1)], Vec::new()));
    }
    drop(store);
    let store = file.open();
    assert_eq!((open(&store), file.data(), store.check()), (vec![goes_on(1)], Vec::new(), Ok(())));
    let _ = connection;
}

#[test]
fn an_attempt_that_does_not_go_on_is_refused() {
    let file = File::new();
    let store = file.open();
    let mut connection = file.connect();
    let mut refused = |number, attempt| {
        assert_eq!(complete(&store, &mut connection, &facts(number, attempt)), fenced(number, attempt), "{number}, {attempt}");
    };
    refused(1, 1);
    let waiting = |number| run("quakes", number, RunState::Waiting { from: at(1), by_hand: false });
    let again = run("quakes", 4, RunState::Again { from: at(1) });
    assert_eq!(put(&store, "one", &load(&store), vec![attempt(2, 2), waiting(3), again], vec![ended("quakes", 1, 9)]), Kept::Yes);
    for (number, attempt) in [(1, 1), (2, 1), (2, 3), (3, 1), (4, 1), (5, 1), (u64::MAX, 1)] {
        refused(number, attempt);
    }
    assert_eq!((file.data(), store.check()), (Vec::new(), Ok(())));
    // Twice would be one time too many.
    assert_eq!(complete(&store, &mut connection, &facts(2, 2)), Ok(()));
    assert_eq!(complete(&store, &mut connection, &facts(2, 2)), fenced(2, 2));
    assert_eq!(file.data(), [2]);
}

#[test]
fn nothing_is_half_written_by_what_is_refused() {
    let file = File::new();
    let store = file.open();
    begin(&store, vec![attempt(1, 1)]);
    let mut connection = file.connect();
    // A trigger of another's makes the second of its two writes fail. The host commits all the same.
    connection
        .execute_batch("CREATE TEMP TRIGGER trouble BEFORE UPDATE ON main.punctual_meta BEGIN SELECT RAISE(FAIL, 'x'); END")
        .unwrap();
    let transaction = connection.transaction().unwrap();
    transaction.execute("INSERT INTO data VALUES (7)", []).unwrap();
    assert!(store.complete(&transaction, &facts(1, 1)).is_err());
    transaction.commit().unwrap();
    assert_eq!((file.data(), open(&store), store.check()), (vec![7], vec![goes_on(1)], Ok(())));
}

#[test]
fn whoever_took_a_run_over_has_it() {
    let file = File::new();
    let (store, other) = (file.open(), file.open());
    begin(&store, vec![attempt(1, 1), attempt(2, 1)]);
    // Another node takes it over: one run is cut off, one is to run again.
    let again = run("quakes", 2, RunState::Waiting { from: at(5), by_hand: false });
    let cut_off = run("quakes", 1, RunState::CutOff { started: at(1), at: at(5) });
    assert_eq!(put(&other, "two", &load(&other), vec![again], vec![cut_off]), Kept::Yes);
    let mut connection = file.connect();
    assert_eq!(complete(&store, &mut connection, &facts(1, 1)), fenced(1, 1));
    assert_eq!(complete(&store, &mut connection, &facts(2, 1)), fenced(2, 1));
    assert_eq!(put(&other, "two", &load(&other), vec![attempt(2, 2)], Vec::new()), Kept::Yes);
    assert_eq!(complete(&store, &mut connection, &facts(2, 1)), fenced(2, 1));
    assert_eq!(file.data(), []);
    assert_eq!(complete(&other, &mut connection, &facts(2, 2)), Ok(()));
    assert_eq!(file.data(), [2]);
}

#[test]
fn who_read_before_it_was_done_cannot_undo_it() {
    let states = [
        run("quakes", 1, RunState::Waiting { from: at(5), by_hand: false }),
        run("quakes", 1, RunState::CutOff { started: at(1), at: at(5) }),
        RunRecord { attempt: 2, ..attempt(1, 1) },
        attempt(1, 1),
    ];
    for state in states {
        let file = File::new();
        let (store, other) = (file.open(), file.open());
        begin(&store, vec![attempt(1, 1)]);
        let (known, mut connection) = (load(&other), file.connect());
        assert_eq!(complete(&store, &mut connection, &facts(1, 1)), Ok(()));
        let over = |run: &RunRecord| run.state.is_over();
        let (ended, open_runs): (Vec<_>, Vec<_>) = [state].into_iter().partition(over);
        assert_eq!(put(&other, "two", &known, open_runs, ended), Kept::No { job: "quakes".into() });
        assert_eq!(open(&other), [is_done(1)]);
        // It reads again and knows.
        let known = load(&other);
        assert_eq!(put(&other, "two", &known, Vec::new(), known.open.clone()), Kept::Yes);
        assert_eq!((open(&other), history(&other), other.check()), (Vec::new(), vec![is_done(1)], Ok(())));
    }
}

#[test]
fn what_its_scheduler_writes_of_the_run_takes_the_marks_place() {
    type Law = fn(&SqliteStore, &JobRecord);
    let laws: [Law; 5] = [
        // While it goes on, the mark stays, whatever else is written of the job.
        |store, known| {
            assert_eq!(put(store, "one", known, vec![attempt(1, 1), attempt(2, 1)], Vec::new()), Kept::Yes);
            assert_eq!(open(store), [is_done(1), goes_on(2)]);
        },
        |store, known| {
            let mut end = attempt(1, 1);
            end.state = RunState::Ended { started: Some(at(1)), at: at(200), end: RunEnd::Failed };
            assert_eq!(put(store, "one", known, Vec::new(), vec![end.clone()]), Kept::Yes);
            assert_eq!((open(store), history(store)), (Vec::new(), vec![(1, end.state)]));
        },
        // A job that fails after its commit has failed.
        |store, known| {
            let again = run("quakes", 1, RunState::Again { from: at(7) });
            assert_eq!(put(store, "one", known, vec![again.clone()], Vec::new()), Kept::Yes);
            assert_eq!(open(store), [(1, again.state)]);
            assert_eq!(put(store, "one", &load(store), vec![attempt(1, 2)], Vec::new()), Kept::Yes);
            assert_eq!(open(store), [goes_on(1)]);
        },
        |store, known| {
            assert_eq!(put(store, "one", known, vec![attempt(1, 2)], Vec::new()), Kept::Yes);
            assert_eq!(open(store), [goes_on(1)]);
        },
        // Whoever says nothing of it leaves it ended, not forgotten; by another name too.
        |store, known| {
            let record = JobRecord { name: "new".into(), open: Vec::new(), ..known.clone() };
            let job = JobChange { record, ended: Vec::new(), hold: SECOND, formerly: Some("quakes".into()) };
            let changes = vec![punctual::Change { jobs: vec![job] }];
            assert_eq!(write(store, "two", changes), Ok(vec![Kept::Yes]));
            assert_eq!(history(store), [is_done(1)]);
            assert_eq!(store.load("new").unwrap().unwrap().open, []);
        },
    ];
    for law in laws {
        let file = File::new();
        let store = file.open();
        begin(&store, vec![attempt(1, 1)]);
        let known = load(&store);
        assert_eq!(complete(&store, &mut file.connect(), &facts(1, 1)), Ok(()));
        law(&store, &known);
        assert_eq!(store.check(), Ok(()));
        drop(store);
        assert_eq!(file.open().check(), Ok(()));
    }
}

#[test]
fn another_file_or_no_transaction_is_refused() {
    let file = File::new();
    let store = file.open();
    begin(&store, vec![attempt(1, 1)]);
    let path = file.path().display().to_string();
    store.backup(file.folder.join("copy.db")).unwrap();
    let elsewhere = [
        (Connection::open(file.folder.join("copy.db")).unwrap(), "copy.db"),
        (Connection::open(file.folder.join("new.db")).unwrap(), "new.db"),
        (Connection::open_in_memory().unwrap(), ""),
    ];
    for (mut connection, name) in elsewhere {
        let real = std::fs::canonicalize(file.folder.path()).unwrap().join(name).display().to_string();
        let given = if name.is_empty() { "a database in memory".to_owned() } else { real };
        let transaction = connection.transaction().unwrap();
        let expected = StoreError::OtherFile { path: path.clone(), given };
        assert_eq!(store.complete(&transaction, &facts(1, 1)), Err(expected));
    }
    let connection = file.connect();
    assert_eq!(store.complete(&connection, &facts(1, 1)), Err(StoreError::NoTransaction { path }));
    connection.execute_batch("BEGIN").unwrap();
    let unnamed = named(None, 1, 1);
    assert_eq!(store.complete(&connection, &unnamed), Err(StoreError::NotKept { job: unnamed.label() }));
    assert_eq!(store.complete(&connection, &facts(0, 1)), Err(StoreError::NotKept { job: "quakes".to_owned() }));
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(open(&store), [goes_on(1)]);
    // By way of a link to it, it is the same file.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(file.path(), file.folder.join("link.db")).unwrap();
        let mut connection = Connection::open(file.folder.join("link.db")).unwrap();
        assert_eq!(complete(&store, &mut connection, &facts(1, 1)), Ok(()));
        assert_eq!(open(&store), [is_done(1)]);
    }
}

#[test]
fn who_began_by_reading_and_was_overtaken_is_refused() {
    let file = File::new();
    let store = file.open();
    begin(&store, vec![attempt(1, 1)]);
    let mut connection = file.connect();
    let transaction = connection.transaction().unwrap();
    transaction.query_row("SELECT count(*) FROM data", [], |_| Ok(())).unwrap();
    begin(&store, vec![attempt(1, 1), attempt(2, 1)]);
    let busy = StoreError::Busy { path: file.path().display().to_string() };
    assert_eq!(store.complete(&transaction, &facts(1, 1)), Err(busy.clone()));
    drop(transaction);
    // And while a transaction is open, the store cannot write.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    assert_eq!(store.complete(&transaction, &facts(1, 1)), Ok(()));
    let changes = vec![change(load(&store), Vec::new(), Duration::ZERO)];
    assert_eq!(write(&store, "one", changes), Err(busy));
    transaction.commit().unwrap();
    assert_eq!(open(&store), [is_done(1), goes_on(2)]);
}

#[test]
fn a_damaged_mark_is_noticed() {
    let edits = [
        "UPDATE punctual_jobs SET open = replace(open, '@', '1@')",
        "UPDATE punctual_jobs SET open = open || '1'",
        "UPDATE punctual_jobs SET open = '1'",
        "UPDATE punctual_jobs SET open = ''",
        "UPDATE punctual_runs SET attempt = 2",
        "UPDATE punctual_runs SET state = 'again'",
    ];
    for edit in edits {
        let file = File::new();
        let store = file.open();
        begin(&store, vec![attempt(1, 1)]);
        let mut connection = file.connect();
        assert_eq!(complete(&store, &mut connection, &facts(1, 1)), Ok(()));
        assert_eq!(connection.execute(edit, []).unwrap(), 1);
        assert!(matches!(store.load("quakes"), Err(StoreError::Damaged { .. })), "{edit}");
        assert!(matches!(store.check(), Err(StoreError::Damaged { .. })), "{edit}");
        drop(store);
        assert!(matches!(SqliteStore::open(file.path()).err(), Some(StoreError::Damaged { .. })), "{edit}");
    }
    // A job as it was before the mark, and the sums not.
    let file = File::new();
    let store = file.open();
    begin(&store, vec![attempt(1, 1)]);
    let mut connection = file.connect();
    connection.execute_batch("CREATE TABLE before AS SELECT * FROM punctual_jobs").unwrap();
    assert_eq!(complete(&store, &mut connection, &facts(1, 1)), Ok(()));
    connection.execute_batch("DELETE FROM punctual_jobs; INSERT INTO punctual_jobs SELECT * FROM before").unwrap();
    drop(store);
    assert!(matches!(SqliteStore::open(file.path()).err(), Some(StoreError::Damaged { .. })));
}
