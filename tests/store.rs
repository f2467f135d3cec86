//! What every store has to do, whatever it is made of.
//!
//! `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many random lives are led, and which.

mod store_kit;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use punctual::{
    Change, Durability, FollowedRun, Held, HistoryQuery, JobChange, JobRecord, Keep, Kept, ManualClock, MemoryStore, RunState,
    SqliteStore, Store, StoreError,
};
use store_kit::{Everything, Folder, NAMES, NODES, SECOND, any_changes, at, change, ended, everything, run, setting, write};

/// A store under test, the clock by which its holds run out, and where it is.
struct Subject {
    store: Box<dyn Store>,
    clock: ManualClock,
    _folder: Option<Folder>,
}

fn memory() -> Subject {
    let clock = ManualClock::new(at(0));
    Subject { store: Box::new(MemoryStore::new(clock.clone())), clock, _folder: None }
}

fn sqlite() -> Subject {
    let (clock, folder) = (ManualClock::new(at(0)), Folder::new());
    let options = SqliteStore::options().durability(Durability::Process).clock(clock.clone());
    Subject { store: Box::new(options.open(folder.join("jobs.db")).unwrap()), clock, _folder: Some(folder) }
}

impl Subject {
    fn write(&self, node: &str, changes: Vec<Change>) -> Vec<Kept> {
        write(&*self.store, node, changes).unwrap()
    }

    /// Writes a job as it is known, with changes.
    fn put(&self, name: &str, edit: impl FnOnce(&mut JobChange)) -> Kept {
        let record = self.store.load(name).unwrap().unwrap_or_else(|| JobRecord::new(name, at(0)));
        let mut job = JobChange { record, ended: Vec::new(), hold: Duration::ZERO, formerly: None };
        edit(&mut job);
        self.write("node", vec![Change { jobs: vec![job] }]).remove(0)
    }

    fn history(&self, query: HistoryQuery) -> Vec<(String, u64)> {
        self.store.history(&query).unwrap().into_iter().map(|run| (run.job.to_string(), run.number)).collect()
    }
}

fn no(job: &str) -> Kept {
    Kept::No { job: job.into() }
}

type Law = fn(&Subject);

/// What is kept, each as a story that any store has to tell alike.
const LAWS: [(&str, Law); 12] = [
    ("nothing is known of a new store", |it| {
        assert_eq!((it.store.names(), it.store.load("quakes")), (Ok(Vec::new()), Ok(None)));
        assert_eq!(it.history(HistoryQuery::default()), []);
        assert_eq!((it.store.prune(&Keep { count: Some(0), since: None }, 9), it.store.purge("quakes")), (Ok(0), Ok(false)));
        assert_eq!(it.write("node", Vec::new()), []);
    }),
    ("a version counts the writes, and an old one is refused", |it| {
        for version in 0..3 {
            assert_eq!(it.put("quakes", |job| assert_eq!(job.record.version, version)), Kept::Yes);
        }
        for version in [0, 2, 4, u64::MAX] {
            assert_eq!(it.put("quakes", |job| job.record.version = version), no("quakes"), "{version}");
        }
        assert_eq!(it.put("new", |job| job.record.version = 1), no("new"));
        assert_eq!(it.store.names().unwrap(), ["quakes"]);
    }),
    ("a change is kept whole or not at all, beside others that are", |it| {
        it.put("b", |_| {});
        let new = |name: &str| JobRecord::new(name, at(0));
        let job = |record| JobChange { record, ended: Vec::new(), hold: SECOND, formerly: None };
        let changes = vec![
            change(new("a"), Vec::new(), SECOND),
            Change { jobs: vec![job(new("c")), job(new("b")), job(new("a"))] },
            change(new("d"), Vec::new(), SECOND),
            Change::default(),
        ];
        assert_eq!(it.write("node", changes), [Kept::Yes, no("b"), Kept::Yes, Kept::Yes]);
        assert_eq!(it.store.names().unwrap(), ["a", "b", "d"]);
    }),
    ("open runs take the place of those that were open", |it| {
        let waiting = RunState::Waiting { from: at(7), by_hand: true };
        it.put("quakes", |job| job.record.open = vec![run("quakes", 1, waiting), run("quakes", 2, waiting)]);
        it.put("quakes", |job| {
            job.record.open = vec![run("quakes", 2, RunState::Started { at: at(8) }), run("quakes", 3, waiting)]
        });
        let open = it.store.load("quakes").unwrap().unwrap().open;
        let found: Vec<(u64, RunState)> = open.iter().map(|run| (run.number, run.state)).collect();
        assert_eq!(found, [(2, RunState::Started { at: at(8) }), (3, waiting)]);
        assert_eq!(it.history(HistoryQuery::default()), []);
    }),
    ("history gives the newest first, as it is asked for", |it| {
        it.put("b", |job| job.ended = vec![ended("b", 1, 10), ended("b", 2, 30), ended("b", 3, 20)]);
        it.put("a", |job| job.ended = vec![ended("a", 1, 20), ended("a", 2, 20)]);
        let all = [("b", 2), ("a", 2), ("a", 1), ("b", 3), ("b", 1)].map(|(job, number)| (job.to_owned(), number));
        let query = HistoryQuery::default;
        assert_eq!(it.history(query()), all);
        assert_eq!(it.history(HistoryQuery { most: 2, ..query() }), all[..2]);
        assert_eq!(it.history(HistoryQuery { since: Some(at(20)), ..query() }), all[..4]);
        assert_eq!(it.history(HistoryQuery { before: Some(at(20)), ..query() }), all[4..]);
        assert_eq!(it.history(HistoryQuery { since: Some(at(20)), before: Some(at(30)), ..query() }), all[1..4]);
        assert_eq!(it.history(HistoryQuery { job: Some("a".into()), ..query() }), all[1..3]);
        assert_eq!(it.history(HistoryQuery { job: Some("c".into()), ..query() }), []);
        assert_eq!(it.history(HistoryQuery { most: 0, ..query() }), []);
    }),
    ("the oldest go first, within both bounds, so many at a time", |it| {
        it.put("a", |job| job.ended = (1..=5).map(|number| ended("a", number, number as i64)).collect());
        it.put("b", |job| {
            job.ended = vec![ended("b", 1, 3), ended("b", 2, 9)];
            job.record.open = vec![run("b", 3, RunState::Started { at: at(1) })];
        });
        let keep = Keep { count: Some(2), since: Some(at(4)) };
        assert_eq!(it.store.prune(&keep, 2), Ok(2));
        assert_eq!(
            it.history(HistoryQuery::default()),
            [("b", 2), ("a", 5), ("a", 4), ("a", 3), ("b", 1)].map(|(job, number)| (job.to_owned(), number))
        );
        assert_eq!((it.store.prune(&keep, 0), it.store.prune(&keep, 9), it.store.prune(&keep, 9)), (Ok(0), Ok(2), Ok(0)));
        assert_eq!(it.store.prune(&Keep::default(), 9), Ok(0));
        assert_eq!(it.store.prune(&Keep { count: Some(0), since: None }, usize::MAX), Ok(3));
        assert_eq!(it.store.load("b").unwrap().unwrap().open.len(), 1);
    }),
    ("what is too many is told by number, what is old by the end", |it| {
        it.put("a", |job| job.ended = vec![ended("a", 1, 50), ended("a", 2, 10), ended("a", 3, 40)]);
        assert_eq!(it.store.prune(&Keep { count: Some(2), since: None }, 9), Ok(1));
        assert_eq!(it.history(HistoryQuery::default()), [("a".to_owned(), 3), ("a".to_owned(), 2)]);
    }),
    ("a held job is written by its holder only, until the hold runs out", |it| {
        let record = |version| JobRecord { version, ..JobRecord::new("quakes", at(0)) };
        let held = |seconds| Some(Held { by: "one".into(), left: SECOND * seconds });
        assert_eq!(it.write("one", vec![change(record(0), Vec::new(), 10 * SECOND)]), [Kept::Yes]);
        it.clock.advance(4 * SECOND);
        assert_eq!(it.store.load("quakes").unwrap().unwrap().held, held(6));
        assert_eq!(it.write("two", vec![change(record(1), Vec::new(), SECOND)]), [no("quakes")]);
        assert_eq!(it.store.purge("quakes"), Err(StoreError::Held { job: "quakes".into(), by: "one".into() }));
        assert_eq!(it.write("one", vec![change(record(1), Vec::new(), 10 * SECOND)]), [Kept::Yes]);
        it.clock.suspend(9 * SECOND);
        it.clock.step(chrono::TimeDelta::days(3));
        assert_eq!(it.store.load("quakes").unwrap().unwrap().held, held(1));
        it.clock.suspend(SECOND);
        assert_eq!(it.store.load("quakes").unwrap().unwrap().held, None);
        assert_eq!(it.write("two", vec![change(record(2), Vec::new(), SECOND)]), [Kept::Yes]);
        assert_eq!(it.write("one", vec![change(record(2), Vec::new(), SECOND)]), [no("quakes")]);
        assert_eq!(it.write("two", vec![change(record(3), Vec::new(), Duration::ZERO)]), [Kept::Yes]);
        assert_eq!(it.store.load("quakes").unwrap().unwrap().held, None);
        assert_eq!(it.write("one", vec![change(record(4), Vec::new(), Duration::MAX)]), [Kept::Yes]);
        assert!(it.store.load("quakes").unwrap().unwrap().held.is_some());
    }),
    ("a new name takes record and history along", |it| {
        it.put("old", |job| job.ended = vec![ended("old", 1, 1)]);
        it.put("other", |_| {});
        let rename = |job: &mut JobChange, to: &str| {
            job.record.name = to.into();
            job.record.open = vec![run(to, 2, RunState::Started { at: at(2) })];
            job.formerly = Some("old".into());
        };
        assert_eq!(it.put("old", |job| rename(job, "other")), no("other"));
        assert_eq!(it.put("old", |job| rename(job, "new")), Kept::Yes);
        assert_eq!(it.store.names().unwrap(), ["new", "other"]);
        assert_eq!(it.history(HistoryQuery::default()), [("new".to_owned(), 1)]);
        let record = it.store.load("new").unwrap().unwrap();
        assert_eq!((record.version, &*record.open[0].job), (2, "new"));
        assert_eq!(it.put("old", |job| rename(job, "newer")), Kept::Yes, "nothing was known by that name");
    }),
    ("what is forgotten is gone with its runs", |it| {
        it.put("a", |job| {
            job.ended = vec![ended("a", 1, 1)];
            job.record.open = vec![run("a", 2, RunState::Started { at: at(2) })];
        });
        it.put("b", |job| job.ended = vec![ended("b", 1, 1)]);
        assert_eq!((it.store.purge("a"), it.store.purge("a")), (Ok(true), Ok(false)));
        assert_eq!((it.store.load("a"), it.store.names()), (Ok(None), Ok(vec!["b".to_owned()])));
        assert_eq!(it.history(HistoryQuery::default()), [("b".to_owned(), 1)]);
        assert_eq!(it.put("a", |job| assert_eq!(job.record.version, 0)), Kept::Yes);
        assert_eq!(it.history(HistoryQuery { job: Some("a".into()), ..HistoryQuery::default() }), []);
    }),
    ("names are told apart by each letter, and come in order", |it| {
        let mut names: Vec<String> = NAMES.map(str::to_owned).into();
        names.extend(["Quakes", "quakes ", "QUAKES", "ÿ", "\u{0}", "quakes\u{0}", "' OR 1=1 --"].map(str::to_owned));
        names.push("x".repeat(5000));
        for name in &names {
            assert_eq!(it.put(name, |job| job.record.schedule.clone_from(name)), Kept::Yes);
        }
        names.sort();
        assert_eq!(it.store.names().unwrap(), names);
        for name in &names {
            assert_eq!(it.store.load(name).unwrap().unwrap().schedule, *name);
        }
    }),
    ("numbers as large as they come", |it| {
        let most = i64::MAX as u64;
        let mut large = ended("a", 1, 1);
        (large.number, large.folded, large.attempt) = (most, most, u32::MAX);
        (large.late, large.took) = (Duration::from_nanos(most), Duration::from_nanos(most));
        let followed = FollowedRun { job: "b".into(), number: most, due: at(0), attempt: 1, ended: at(1), value: None };
        large.follows = vec![FollowedRun { value: Some([0; 9000].into()), ..followed }];
        large.error = Some("x".repeat(9000));
        it.put("a", |job| {
            job.ended = vec![large.clone()];
            (job.record.last_run, job.record.failures, job.record.runs_left) = (most, u32::MAX, Some(u32::MAX));
        });
        assert_eq!(it.store.history(&HistoryQuery::default()), Ok(vec![large]));
        let record = it.store.load("a").unwrap().unwrap();
        assert_eq!((record.last_run, record.failures, record.runs_left), (most, u32::MAX, Some(u32::MAX)));
    }),
];

#[test]
fn laws_of_every_store() {
    type New = fn() -> Subject;
    let stores: [(&str, New); 2] = [("memory", memory), ("sqlite", sqlite)];
    let mut failures = Vec::new();
    for (law, check) in LAWS {
        for (store, new) in stores {
            let subject = new();
            if catch_unwind(AssertUnwindSafe(|| check(&subject))).is_err() {
                failures.push(format!("{store}: {law}"));
            }
        }
    }
    assert!(failures.is_empty(), "broken:\n{}", failures.join("\n"));
}

/// Where two stores differ.
fn difference(oracle: &dyn Store, store: &dyn Store) -> Option<String> {
    let (expected, found) = (everything(oracle), everything(store));
    if expected == found {
        return None;
    }
    let (Ok(expected), Ok(found)) = (&expected, &found) else {
        return Some(format!("{found:?}\n, not\n{expected:?}"));
    };
    let jobs = expected.jobs.iter().zip(&found.jobs).find(|(expected, found)| expected != found);
    let runs = expected.history.iter().zip(&found.history).find(|(expected, found)| expected != found);
    let lengths = |of: &Everything| (of.jobs.len(), of.history.len());
    Some(format!("{:?} jobs and runs, not {:?}\n{jobs:#?}\n{runs:#?}", lengths(found), lengths(expected)))
}

/// A life of two stores that are given the same, and have to tell the same.
fn life(rng: &mut Rng) -> Result<(), String> {
    let oracle = memory();
    let folder = Folder::new();
    let durability = if rng.u8(0..4) == 0 { Durability::Power } else { Durability::Process };
    let options = SqliteStore::options().durability(durability).clock(oracle.clock.clone());
    let open = || options.open(folder.join("jobs.db")).map_err(|error| error.to_string());
    let mut store = open()?;
    for step in 0..rng.usize(1..40) {
        oracle.clock.advance(Duration::from_millis(rng.u64(0..4000)));
        let (what, expected, found) = match rng.u8(0..12) {
            0 => {
                let keep = Keep {
                    count: if rng.bool() { Some(rng.u64(0..6)) } else { None },
                    since: if rng.bool() { Some(at(rng.i64(0..40))) } else { None },
                };
                let most = rng.usize(0..8);
                (format!("{keep:?}, {most}"), oracle.store.prune(&keep, most).map(Some), store.prune(&keep, most).map(Some))
            }
            1 => {
                let name = rng.choice(NAMES).expect("one");
                let answer = |known: bool| Some(usize::from(known));
                (format!("purge {name:?}"), oracle.store.purge(name).map(answer), store.purge(name).map(answer))
            }
            2 => {
                drop(store);
                store = open()?;
                ("open".to_owned(), Ok(Some(0)), Ok(Some(store.lost_at_open() as usize)))
            }
            _ => {
                let node = rng.choice(NODES).expect("one");
                let changes = any_changes(rng, &*oracle.store);
                let expected = write(&*oracle.store, node, changes.clone()).map_err(|error| error.to_string())?;
                let found = write(&store, node, changes).map_err(|error| error.to_string())?;
                if expected != found {
                    return Err(format!("step {step}: {node} is answered {found:?}, not {expected:?}"));
                }
                ("write".to_owned(), Ok(None), Ok(None))
            }
        };
        if expected != found {
            return Err(format!("step {step}: {what} is answered {found:?}, not {expected:?}"));
        }
        if let Some(difference) = difference(&*oracle.store, &store) {
            return Err(format!("step {step}: after {what}\n{difference}"));
        }
        let query = HistoryQuery {
            job: if rng.bool() { rng.choice(NAMES).map(Arc::from) } else { None },
            since: if rng.bool() { Some(at(rng.i64(0..40))) } else { None },
            before: if rng.bool() { Some(at(rng.i64(0..40))) } else { None },
            most: rng.usize(0..9),
        };
        let (expected, found) = (oracle.store.history(&query), store.history(&query));
        if expected != found {
            return Err(format!("step {step}: after {what}, {query:?} is answered\n{found:?}\n, not\n{expected:?}"));
        }
    }
    store.check().map_err(|error| error.to_string())
}

#[test]
fn a_file_tells_what_memory_tells() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 200));
    let case = |number: u64| {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number);
        life(&mut rng).err().map(|error| format!("PUNCTUAL_SEED={seed}, case {number}: {error}"))
    };
    let failures: Vec<String> = (0..cases).filter_map(case).take(3).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn holds_of_another_boot_are_over() {
    let (clock, folder) = (ManualClock::new(at(0)), Folder::new());
    let open = |boot: &str| SqliteStore::options().clock(clock.clone()).boot(boot).open(folder.join("jobs.db")).unwrap();
    let record = |version| JobRecord { version, ..JobRecord::new("quakes", at(0)) };
    assert_eq!(write(&open("first"), "one", vec![change(record(0), Vec::new(), SECOND)]), Ok(vec![Kept::Yes]));
    assert_eq!(write(&open("first"), "two", vec![change(record(1), Vec::new(), SECOND)]), Ok(vec![no("quakes")]));
    assert_eq!(open("second").load("quakes").unwrap().unwrap().held, None);
    assert_eq!(write(&open("second"), "two", vec![change(record(1), Vec::new(), SECOND)]), Ok(vec![Kept::Yes]));
}

#[test]
fn two_stores_on_one_file_see_each_other_and_one_of_them_has_each_version() {
    let (clock, folder) = (ManualClock::new(at(0)), Folder::new());
    let open =
        || SqliteStore::options().durability(Durability::Process).clock(clock.clone()).open(folder.join("jobs.db")).unwrap();
    let stores = [open(), open()];
    const VERSIONS: u64 = 200;
    let won = std::thread::scope(|scope| {
        let claims = stores.each_ref().map(|store| {
            scope.spawn(move || {
                let mut won = Vec::new();
                loop {
                    let record = store.load("quakes").unwrap().unwrap_or_else(|| JobRecord::new("quakes", at(0)));
                    if record.version == VERSIONS {
                        return won;
                    }
                    let version = record.version;
                    match write(store, "node", vec![change(record, Vec::new(), Duration::ZERO)]) {
                        Ok(kept) if kept == [Kept::Yes] => won.push(version),
                        Ok(_) | Err(StoreError::Busy { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        let mut won: Vec<u64> = claims.into_iter().flat_map(|claim| claim.join().unwrap()).collect();
        won.sort_unstable();
        won
    });
    assert_eq!(won, (0..VERSIONS).collect::<Vec<_>>());
    let lost = open().lost_at_open();
    assert_eq!((lost, stores[0].check()), (0, Ok(())));
}

#[test]
fn many_may_open_a_new_file_at_once() {
    for _ in 0..10 {
        let folder = Folder::new();
        let path = folder.join("jobs.db");
        let opened: Vec<Result<SqliteStore, StoreError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| SqliteStore::open(&path))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (number, store) in opened.iter().enumerate() {
            let name = number.to_string();
            let store = store.as_ref().unwrap_or_else(|error| panic!("{error}"));
            let changes = vec![change(JobRecord::new(name.as_str(), at(0)), Vec::new(), Duration::ZERO)];
            assert_eq!(write(store, "node", changes), Ok(vec![Kept::Yes]));
        }
        assert_eq!(opened[0].as_ref().unwrap().names().unwrap().len(), 4);
    }
}

#[test]
fn tables_of_the_hosts_own_stay_beside_those_of_the_store() {
    let folder = Folder::new();
    let path = folder.join("host.db");
    let host = rusqlite::Connection::open(&path).unwrap();
    host.execute_batch("CREATE TABLE quake (id TEXT PRIMARY KEY); INSERT INTO quake VALUES ('one')").unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let changes = vec![change(JobRecord::new("quakes", at(0)), vec![ended("quakes", 1, 1)], Duration::ZERO)];
    assert_eq!(write(&store, "node", changes), Ok(vec![Kept::Yes]));
    host.execute_batch("INSERT INTO quake VALUES ('two'); CREATE INDEX quake_id ON quake (id)").unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!((store.check(), store.names()), (Ok(()), Ok(vec!["quakes".to_owned()])));
    let quakes: i64 = host.query_row("SELECT count(*) FROM quake", [], |row| row.get(0)).unwrap();
    assert_eq!(quakes, 2);
}

#[test]
fn plain_sql_reads_it() {
    let folder = Folder::new();
    let path = folder.join("jobs.db");
    let store = SqliteStore::open(&path).unwrap();
    let mut late = ended("quakes", 1, 90);
    (late.took, late.error) = (Duration::from_millis(1500), Some("offline".to_owned()));
    let changes = vec![change(JobRecord::new("quakes", at(0)), vec![late, ended("quakes", 2, 95)], Duration::ZERO)];
    assert_eq!(write(&store, "node", changes), Ok(vec![Kept::Yes]));
    let plain = rusqlite::Connection::open(&path).unwrap();
    let asked = "SELECT name, number, datetime(due / 1e9, 'unixepoch') AS due, state, took / 1e9 AS seconds, error
        FROM punctual_runs JOIN punctual_jobs USING (job) WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT 20";
    let mut statement = plain.prepare(asked).unwrap();
    let rows = statement.query_map([], |row| {
        let (name, number, due, state): (String, i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(format!("{name} {number} {due} {state} {} {:?}", row.get::<_, f64>(4)?, row.get::<_, Option<String>>(5)?))
    });
    let rows: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
    let expected = ["quakes 2 2026-03-01 00:00:02 done 0 None", "quakes 1 2026-03-01 00:00:01 done 1.5 Some(\"offline\")"];
    assert_eq!(rows, expected);
    let asked = "SELECT name, state, count(*), max(late) / 1e9 AS latest FROM punctual_runs JOIN punctual_jobs USING (job)
        GROUP BY name, state";
    let row = plain.query_row(asked, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    assert_eq!(row, ("quakes".to_owned(), "done".to_owned(), 2, 0.0));
}

#[test]
fn a_backup_is_what_was_there_at_one_moment() {
    let folder = Folder::new();
    let store = SqliteStore::options().durability(Durability::Process).open(folder.join("jobs.db")).unwrap();
    let put = |number: u64| {
        let known = store.load("quakes").unwrap().unwrap_or_else(|| JobRecord::new("quakes", at(0)));
        let ended = vec![ended("quakes", number, number as i64)];
        assert_eq!(write(&store, "node", vec![change(known, ended, Duration::ZERO)]), Ok(vec![Kept::Yes]));
    };
    (1..=50).for_each(put);
    let copy = folder.join("copy.db");
    std::thread::scope(|scope| {
        let backup = scope.spawn(|| store.backup(&copy));
        (51..=150).for_each(put);
        assert_eq!(backup.join().unwrap(), Ok(()));
    });
    let found = SqliteStore::open(&copy).unwrap();
    assert_eq!((found.check(), found.lost_at_open()), (Ok(()), 0));
    let (version, runs) = (found.load("quakes").unwrap().unwrap().version, everything(&found).unwrap().history);
    assert!((50..=150).contains(&version));
    assert_eq!(runs.iter().map(|run| run.number).collect::<Vec<_>>(), (1..=version).rev().collect::<Vec<_>>());
    drop(found);

    let before = std::fs::read(&copy).unwrap();
    assert_eq!(store.backup(&copy), Err(StoreError::Exists { path: copy.display().to_string() }));
    assert_eq!(std::fs::read(&copy).unwrap(), before);
    let nowhere = folder.join("none").join("copy.db");
    assert_eq!(store.backup(&nowhere), Err(StoreError::NoFolder { path: nowhere.display().to_string() }));
}
