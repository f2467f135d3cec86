//! Files that were damaged: each opens and reads what was acknowledged, or is refused and left as it is. Never is anything read
//! as right that was not written.
//!
//! `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many files are damaged, and how. With `--nocapture` it says what noticed what.

mod store_kit;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use punctual::{Change, Durability, JobRecord, Keep, ManualClock, RunState, SqliteOptions, SqliteStore, Store, StoreError};
use store_kit::{Everything, Folder, any_changes, at, change, ended, everything, run, setting, write};

/// The files of a store: the database, its log, its mark.
const FILES: [&str; 3] = ["jobs.db", "jobs.db-wal", "jobs.db-mark"];

/// What is in them; `None` for one that is not there.
type Bytes = [Option<Vec<u8>>; 3];

fn read(folder: &Path) -> Bytes {
    FILES.map(|name| std::fs::read(folder.join(name)).ok())
}

fn put(folder: &Path, bytes: &Bytes) {
    for (name, bytes) in FILES.iter().zip(bytes) {
        if let Some(bytes) = bytes {
            std::fs::write(folder.join(name), bytes).expect("a file");
        }
    }
}

fn options(durability: Durability) -> SqliteOptions {
    SqliteStore::options().durability(durability).clock(ManualClock::new(at(0)))
}

/// A store that was led through commits, as its files were on the way, and what it held after each commit.
struct Life {
    durability: Durability,
    /// By generation, from the empty store at 1.
    states: Vec<Everything>,
    /// After some of the commits, with their generation: as they would be had the process been killed there.
    copies: Vec<(usize, Bytes)>,
    /// As they are after it was closed.
    closed: Bytes,
}

impl Life {
    fn lead(durability: Durability, seed: u64) -> Life {
        let (folder, mut rng) = (Folder::new(), Rng::with_seed(seed));
        let store = options(durability).open(folder.join(FILES[0])).expect("it opens");
        let empty = everything(&store).expect("it reads");
        let (mut states, mut copies) = (vec![empty.clone(), empty], Vec::new());
        for step in 0..60 {
            let changes = any_changes(&mut rng, &store);
            let kept = write(&store, "node", changes).expect("it writes");
            if kept.contains(&punctual::Kept::Yes) {
                states.push(everything(&store).expect("it reads"));
            }
            if step == 30 {
                // Part of what is in the log is in the file as well from here on, and the log begins anew.
                let other = rusqlite::Connection::open(folder.join(FILES[0])).expect("it opens");
                other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).expect("a checkpoint");
            }
            if step % 10 == 9 {
                copies.push((states.len() - 1, read(folder.path())));
            }
        }
        drop(store);
        Life { durability, states, copies, closed: read(folder.path()) }
    }

    fn last(&self) -> usize {
        self.states.len() - 1
    }
}

/// A way to damage files; gives a word for it.
fn damage(rng: &mut Rng, life: &Life, last: usize, bytes: &mut Bytes) -> &'static str {
    const PAGE: usize = 4096;
    let pages = |bytes: &[u8]| bytes.len() / PAGE;
    let page = |number: usize| number * PAGE..(number + 1) * PAGE;
    let older: Vec<&Bytes> = life.copies.iter().filter(|(then, _)| *then <= last).map(|(_, bytes)| bytes).collect();
    let older = rng.choice(&older).expect("one");
    let [database, log, mark] = bytes;
    let database_bytes = database.get_or_insert_default();
    match rng.u8(0..20) {
        0..5 => {
            for _ in 0..*rng.choice(&[1, 1, 1, 2, 10]).expect("one") {
                let place = rng.usize(0..database_bytes.len());
                database_bytes[place] ^= 1 << rng.u8(0..8);
            }
            "bits of the database flipped"
        }
        5 => {
            let (place, length) = (rng.usize(0..database_bytes.len()), rng.usize(1..200));
            database_bytes.iter_mut().skip(place).take(length).for_each(|byte| *byte = rng.u8(..));
            "part of the database overwritten"
        }
        6 => {
            database_bytes.truncate(rng.usize(0..database_bytes.len()));
            "database truncated"
        }
        7 => {
            let kept = rng.usize(0..pages(database_bytes));
            database_bytes.truncate(kept * PAGE);
            "database truncated at a page"
        }
        8 => {
            let number = rng.usize(0..pages(database_bytes));
            database_bytes[page(number)].fill(0);
            "page zeroed"
        }
        9 => {
            let (one, other) = (rng.usize(0..pages(database_bytes)), rng.usize(0..pages(database_bytes)));
            let copy = database_bytes[page(one)].to_vec();
            database_bytes.copy_within(page(other), one * PAGE);
            if rng.bool() {
                database_bytes[page(other)].copy_from_slice(&copy);
            }
            "pages swapped"
        }
        10 => {
            let older = older[0].as_deref().unwrap_or_default();
            let both = pages(older).min(pages(database_bytes));
            if both > 0 {
                let number = rng.usize(0..both);
                database_bytes[page(number)].copy_from_slice(&older[page(number)]);
            }
            "page as it was before"
        }
        11 => {
            *bytes = [older[0].clone(), older[1].clone(), mark.take()];
            "older copy put back"
        }
        12 => {
            *bytes = [older[0].clone(), None, mark.take()];
            "older copy put back without its log"
        }
        13 => {
            *database_bytes = (0..rng.usize(1..20_000)).map(|_| rng.u8(..)).collect();
            "another kind of file"
        }
        14 => {
            if rng.bool() {
                *database = None;
            } else {
                database_bytes.clear();
            }
            "database gone or empty"
        }
        15 | 16 => {
            if let Some(log) = log.as_mut().filter(|log| !log.is_empty()) {
                log.truncate(rng.usize(0..log.len()));
            }
            "log truncated"
        }
        17 => {
            *log = None;
            "log removed"
        }
        18 => {
            if let Some(log) = log.as_mut().filter(|log| !log.is_empty()) {
                let place = rng.usize(0..log.len());
                log[place] ^= 1 << rng.u8(0..8);
            }
            "bit of the log flipped"
        }
        _ => {
            let mark_bytes = mark.get_or_insert_default();
            match rng.u8(0..3) {
                0 => *mark = None,
                1 => mark_bytes.truncate(rng.usize(0..mark_bytes.len())),
                _ => {
                    let place = rng.usize(0..mark_bytes.len());
                    mark_bytes[place] ^= 1 << rng.u8(0..8);
                }
            }
            "mark damaged or gone"
        }
    }
}

/// What came of opening damaged files.
fn open_and_read(rng: &mut Rng, life: &Life, last: usize, bytes: &Bytes) -> Result<String, String> {
    let folder = Folder::new();
    put(folder.path(), bytes);
    let accept = rng.u8(0..8) == 0;
    let options = options(life.durability);
    let options = if accept { options.accept_shortened() } else { options };
    let path = folder.join(FILES[0]);
    let store = match options.open(&path) {
        Ok(store) => store,
        Err(error) => {
            let after = read(folder.path());
            let same = |file: usize| after[file].as_deref().unwrap_or_default() == bytes[file].as_deref().unwrap_or_default();
            if let Some(file) = (0..3).find(|file| !same(*file)) {
                return Err(format!("{} was changed, though refused: {error}", FILES[file]));
            }
            if matches!(error, StoreError::Shortened { .. }) && accept {
                return Err(format!("refused though it was to be accepted: {error}"));
            }
            return Ok(format!("refused at open: {}", name(&error)));
        }
    };
    let lost = store.lost_at_open() as usize;
    if lost > 0 && life.durability == Durability::Power && !accept {
        return Err(format!("{lost} commits are missing at Power, and it opened"));
    }
    let expected = last.checked_sub(lost).and_then(|generation| life.states.get(generation));
    let said = match everything(&store) {
        Ok(found) if Some(&found) == expected => {
            if lost == 0 {
                "read whole".to_owned()
            } else {
                "opened, so many commits missing".to_owned()
            }
        }
        Ok(found) => {
            let was = life.states.iter().rposition(|state| *state == found);
            return Err(format!(
                "{lost} of {last} commits are said to be missing, and what is read was there at {was:?}: {found:?}"
            ));
        }
        Err(error @ StoreError::Damaged { .. }) => format!("refused when read: {}", name(&error)),
        Err(error) => return Err(format!("refused when read: {error}")),
    };
    // It goes on, or says why not.
    let record = store.load("new").map_err(|error| error.to_string())?.unwrap_or_else(|| JobRecord::new("new", at(0)));
    match write(&store, "node", vec![change(record, Vec::new(), Duration::ZERO)]) {
        Ok(_) | Err(StoreError::Damaged { .. }) => {}
        Err(error) => return Err(format!("writing is refused: {error}")),
    }
    match store.check() {
        Ok(()) | Err(StoreError::Damaged { .. }) => Ok(said),
        Err(error) => Err(format!("checking is refused: {error}")),
    }
}

fn name(error: &StoreError) -> String {
    format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
}

#[test]
fn no_damaged_file_is_read_as_right() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 200));
    let lives = [Durability::Power, Durability::Process].map(|durability| Life::lead(durability, seed));
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for number in 0..cases {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number);
        let life = &lives[usize::from(rng.bool())];
        let copies = life.copies.iter().map(|(last, bytes)| (*last, bytes)).chain([(life.last(), &life.closed); 5]);
        let copies: Vec<(usize, &Bytes)> = copies.collect();
        let (last, bytes) = *rng.choice(&copies).unwrap();
        let mut bytes = bytes.clone();
        let what = damage(&mut rng, life, last, &mut bytes);
        let outcome = catch_unwind(AssertUnwindSafe(|| open_and_read(&mut rng, life, last, &bytes)));
        match outcome.unwrap_or_else(|_| Err("panicked".to_owned())) {
            Ok(said) => *counts.entry((what, said)).or_default() += 1,
            Err(error) => failures.push(format!("PUNCTUAL_SEED={seed}, case {number}, {:?}: {what}: {error}", life.durability)),
        }
    }
    for ((what, said), count) in counts {
        println!("{count:>6}  {what}: {said}");
    }
    failures.truncate(3);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A disk that loses writes leaves pages as they were before: any of them, beside any others that are new.
#[test]
fn any_pages_as_they_were_before() {
    const PAGE: usize = 4096;
    type Step = fn(&SqliteStore, JobRecord) -> Change;
    let waiting = |number| run("quakes", number, RunState::Waiting { from: at(1), by_hand: false });
    let first = |store: &SqliteStore| {
        let mut record = JobRecord::new("quakes", at(0));
        record.open = vec![waiting(5)];
        let ended = (1..5).map(|number| ended("quakes", number, number as i64)).collect();
        let other = change(JobRecord::new("airports", at(0)), Vec::new(), Duration::ZERO);
        write(store, "node", vec![change(record, ended, Duration::ZERO), other]).unwrap();
    };
    let steps: [Step; 5] = [
        |_, record| change(JobRecord { paused: true, ..record }, Vec::new(), Duration::ZERO),
        |_, record| {
            let open = vec![run("quakes", 5, RunState::Started { at: at(2) })];
            change(JobRecord { open, ..record }, Vec::new(), Duration::ZERO)
        },
        |_, record| change(JobRecord { open: Vec::new(), ..record }, vec![ended("quakes", 5, 5)], Duration::ZERO),
        |store, record| {
            assert_eq!(store.prune(&Keep { count: Some(1), since: None }, 9), Ok(3));
            change(record, Vec::new(), Duration::ZERO)
        },
        |store, record| {
            assert_eq!(store.purge("airports"), Ok(true));
            change(record, Vec::new(), Duration::ZERO)
        },
    ];
    for (number, step) in steps.into_iter().enumerate() {
        let folder = Folder::new();
        let path = folder.join(FILES[0]);
        let store = options(Durability::Power).open(&path).unwrap();
        first(&store);
        drop(store);
        let [before, ..] = read(folder.path());
        let store = options(Durability::Power).open(&path).unwrap();
        let changes = vec![step(&store, store.load("quakes").unwrap().unwrap())];
        write(&store, "node", changes).unwrap();
        let expected = everything(&store).unwrap();
        drop(store);
        let [now, _, mark] = read(folder.path());
        let (before, now) = (before.unwrap(), now.unwrap());
        assert_eq!(before.len(), now.len());
        let pages = |bytes: &[u8]| bytes.chunks(PAGE).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (before, now) = (pages(&before), pages(&now));
        let differing: Vec<usize> = (0..now.len()).filter(|page| before[*page] != now[*page]).collect();
        assert!((2..10).contains(&differing.len()));
        for some in 0..1 << differing.len() {
            let mut mixed = now.clone();
            for (bit, page) in differing.iter().enumerate() {
                if some >> bit & 1 == 1 {
                    mixed[*page].clone_from(&before[*page]);
                }
            }
            // Without a mark too: then only all of them together are right again.
            let without = 1 << differing.len() == some + 1;
            let marks = if without { vec![mark.clone()] } else { vec![mark.clone(), None] };
            for mark in marks {
                let folder = Folder::new();
                put(folder.path(), &[Some(mixed.concat()), None, mark]);
                match options(Durability::Power).open(folder.join(FILES[0])) {
                    Ok(store) => {
                        let (found, here) = (everything(&store), format!("step {number}, pages {some:b} of {differing:?}"));
                        assert!(found.as_ref() == Ok(&expected), "{here}: {found:?}");
                    }
                    Err(StoreError::Damaged { .. } | StoreError::Shortened { .. }) => assert_ne!(some, 0),
                    Err(error) => panic!("step {number}, pages {some:b} of {differing:?}: {error}"),
                }
            }
        }
    }
}

/// Files as they are after some commits, a process killed or not.
fn files(durability: Durability, commits: u64) -> (Bytes, Bytes) {
    let folder = Folder::new();
    let store = options(durability).open(folder.join(FILES[0])).unwrap();
    for version in 0..commits {
        let record = JobRecord { version, ..JobRecord::new("quakes", at(0)) };
        write(&store, "node", vec![change(record, Vec::new(), Duration::ZERO)]).unwrap();
    }
    let killed = read(folder.path());
    drop(store);
    (killed, read(folder.path()))
}

#[test]
fn commits_that_are_missing_are_said() {
    for (durability, gone) in [(Durability::Power, true), (Durability::Process, false)] {
        let ((mut killed, _), folder) = (files(durability, 5), Folder::new());
        killed[1] = None;
        put(folder.path(), &killed);
        let path = folder.join(FILES[0]);
        let said = path.display().to_string();
        if gone {
            assert_eq!(options(durability).open(&path).err(), Some(StoreError::Shortened { path: said, commits: 5 }));
            // So many commits at Power cannot be explained by opening it at Process.
            assert!(options(Durability::Process).open(&path).is_err());
            assert_eq!(read(folder.path())[0], killed[0]);
        }
        let store = options(durability).accept_shortened().open(&path).unwrap();
        assert_eq!((store.lost_at_open(), store.names()), (5, Ok(Vec::new())));
        drop(store);
        assert_eq!(options(durability).open(&path).unwrap().lost_at_open(), 0);
    }
}

#[test]
fn a_store_that_is_gone_is_not_begun_anew() {
    let (killed, closed) = files(Durability::Power, 3);
    let foreign = {
        let folder = Folder::new();
        let host = rusqlite::Connection::open(folder.join(FILES[0])).unwrap();
        host.execute_batch("CREATE TABLE quake (id)").unwrap();
        drop(host);
        read(folder.path())[0].clone()
    };
    let mark = killed[2].clone();
    let log = killed[1].clone();
    let gone: [(Bytes, &str); 6] = [
        ([None, None, mark.clone()], FILES[2]),
        ([Some(Vec::new()), None, mark.clone()], FILES[2]),
        ([None, log.clone(), mark.clone()], FILES[2]),
        ([foreign, None, mark.clone()], FILES[2]),
        ([None, log.clone(), None], FILES[1]),
        ([Some(Vec::new()), log, None], FILES[1]),
    ];
    for (number, (bytes, beside)) in gone.into_iter().enumerate() {
        let folder = Folder::new();
        put(folder.path(), &bytes);
        let path = folder.join(FILES[0]);
        let beside = std::fs::canonicalize(folder.path()).unwrap().join(beside).display().to_string();
        let expected = StoreError::Gone { path: path.display().to_string(), mark: beside };
        assert_eq!(SqliteStore::open(&path).err(), Some(expected), "{number}");
        assert_eq!(read(folder.path()), bytes, "{number}");
    }
    // Another store in its place.
    let folder = Folder::new();
    put(folder.path(), &[closed[0].clone(), None, files(Durability::Power, 1).1[2].clone()]);
    let error = SqliteStore::open(folder.join(FILES[0])).unwrap_err();
    assert!(matches!(error, StoreError::OtherStore { .. }), "{error}");
    // Without its mark it opens, and has one from then on.
    std::fs::remove_file(folder.join(FILES[2])).unwrap();
    let store = SqliteStore::open(folder.join(FILES[0])).unwrap();
    assert_eq!((store.names(), read(folder.path())[2].clone()), (Ok(vec!["quakes".to_owned()]), mark));
}

#[test]
fn files_that_are_no_database_are_left_as_they_are() {
    let texts: [&[u8]; 6] = [b"x", b"SQLite format 3\0", &[0; 511], &[0; 512], &[7; 4096], b"#!/bin/sh\necho no database\n"];
    for text in texts {
        let folder = Folder::new();
        let path = folder.join(FILES[0]);
        std::fs::write(&path, text).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        let expected = StoreError::NotADatabase { path: path.display().to_string() };
        assert_eq!(error, expected, "{} bytes", text.len());
        assert_eq!(read(folder.path()), [Some(text.to_vec()), None, None]);
    }
}
