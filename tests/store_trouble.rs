//! Trouble with the file while it is in use: each is said by its own error, nothing is half written, and the store goes on once
//! the cause is gone.

mod store_kit;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use punctual::{Durability, HistoryQuery, JobRecord, Keep, Kept, SqliteStore, Store, StoreError};
use store_kit::{Folder, Mounted, at, change, ended, everything, given_folder, in_a_child, write};

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::options().durability(Durability::Process).open(path)
}

/// Writes the next version of a job, with a run that ended and an error text of so many bytes.
fn put(store: &dyn Store, bytes: usize) -> Result<(), StoreError> {
    let mut record = store.load("quakes")?.unwrap_or_else(|| JobRecord::new("quakes", at(0)));
    record.last_run += 1;
    let mut run = ended("quakes", record.last_run, record.last_run as i64);
    run.error = Some("x".repeat(bytes));
    assert_eq!(write(store, "node", vec![change(record, vec![run], Duration::ZERO)])?, [Kept::Yes]);
    Ok(())
}

fn version(store: &dyn Store) -> u64 {
    store.load("quakes").unwrap().map_or(0, |record| record.version)
}

fn said(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = Folder::new();
    let path = folder.join("none").join("jobs.db");
    assert_eq!(open(&path).err(), Some(StoreError::NoFolder { path: said(&path) }));
    assert!(!path.exists() && !folder.join("none").exists());
    for path in [Path::new(""), Path::new("/")] {
        assert!(open(path).is_err());
    }
    assert_eq!(open(folder.path()).err(), Some(StoreError::NotADatabase { path: said(folder.path()) }));
}

#[test]
fn deleted_or_replaced_while_it_is_open() {
    type Deed = fn(&Path, &Path);
    let deeds: [Deed; 5] = [
        |file, aside| std::fs::rename(file, aside).unwrap(),
        |file, aside| {
            std::fs::rename(file, aside).unwrap();
            std::fs::copy(aside, file).unwrap();
        },
        |file, aside| {
            std::fs::rename(file, aside).unwrap();
            drop(open(&file.with_file_name("other.db")).unwrap());
            std::fs::rename(file.with_file_name("other.db"), file).unwrap();
        },
        |file, aside| {
            std::fs::rename(file, aside).unwrap();
            std::fs::write(file, "").unwrap();
        },
        // Its log only.
        |file, _| std::fs::rename(beside(file, "-wal"), beside(file, "-aside")).unwrap(),
    ];
    for (number, deed) in deeds.into_iter().enumerate() {
        let folder = Folder::new();
        let (path, aside) = (folder.join("jobs.db"), folder.join("aside"));
        let store = open(&path).unwrap();
        put(&store, 10).unwrap();
        deed(&path, &aside);
        let there = std::fs::read(&path).ok();
        let replaced = StoreError::Replaced { path: said(&path) };
        let record = JobRecord::new("new", at(0));
        assert_eq!(write(&store, "node", vec![change(record, Vec::new(), Duration::ZERO)]), Err(replaced.clone()), "{number}");
        assert_eq!(store.load("quakes"), Err(replaced.clone()));
        assert_eq!(store.names(), Err(replaced.clone()));
        assert_eq!(store.history(&HistoryQuery::default()), Err(replaced.clone()));
        assert_eq!(store.prune(&Keep { count: Some(0), since: None }, 9), Err(replaced.clone()));
        assert_eq!((store.purge("quakes"), store.check()), (Err(replaced.clone()), Err(replaced.clone())));
        assert_eq!(store.backup(folder.join("copy.db")), Err(replaced));
        assert!(!folder.join("copy.db").exists());
        assert_eq!(std::fs::read(&path).ok(), there, "{number}");

        // Put back, it goes on.
        if number < 4 {
            std::fs::rename(&aside, &path).unwrap();
        } else {
            std::fs::rename(beside(&path, "-aside"), beside(&path, "-wal")).unwrap();
        }
        put(&store, 10).unwrap();
        assert_eq!((version(&store), store.check()), (2, Ok(())));
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[test]
fn locked_by_another() {
    let folder = Folder::new();
    let path = folder.join("jobs.db");
    let store = open(&path).unwrap();
    put(&store, 10).unwrap();
    let before = everything(&store).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    for _ in 0..3 {
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let busy = StoreError::Busy { path: said(&path) };
        assert_eq!(put(&store, 10), Err(busy.clone()));
        assert_eq!(store.prune(&Keep { count: Some(0), since: None }, 9), Err(busy.clone()));
        assert_eq!(store.purge("quakes"), Err(busy));
        assert_eq!(everything(&store).unwrap(), before, "who reads is not kept from it");
        other.execute_batch("ROLLBACK").unwrap();
    }
    put(&store, 10).unwrap();
    assert_eq!((version(&store), store.check()), (2, Ok(())));
}

#[test]
fn every_statement_that_fails_leaves_all_as_it_was() {
    // Triggers of another make each kind of statement fail in the middle of a transaction.
    let failing = [
        ("INSERT ON punctual_jobs", "new"),
        ("UPDATE ON punctual_jobs", "quakes"),
        ("INSERT ON punctual_runs", "new"),
        ("DELETE ON punctual_runs", "quakes"),
        ("UPDATE ON punctual_meta", "new"),
    ];
    for (event, name) in failing {
        let folder = Folder::new();
        let path = folder.join("jobs.db");
        let store = open(&path).unwrap();
        let state = punctual::RunState::Started { at: at(1) };
        let mut record = JobRecord::new("quakes", at(0));
        record.open = vec![store_kit::run("quakes", 1, state)];
        write(&store, "node", vec![change(record, vec![ended("quakes", 2, 2)], Duration::ZERO)]).unwrap();
        let before = everything(&store).unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        let trigger = format!("CREATE TRIGGER trouble BEFORE {event} BEGIN SELECT RAISE(FAIL, 'trouble'); END");
        other.execute_batch(&trigger).unwrap();
        let record = || store.load(name).unwrap().unwrap_or_else(|| JobRecord::new(name, at(0)));
        let changes = || {
            let quiet = change(JobRecord::new("before", at(0)), Vec::new(), Duration::ZERO);
            let mut record = record();
            record.open.clear();
            vec![quiet, change(record, vec![ended(name, 3, 3)], Duration::ZERO)]
        };
        let answer = write(&store, "node", changes());
        assert!(matches!(answer, Err(StoreError::Io { .. } | StoreError::Damaged { .. })), "{event}: {answer:?}");
        assert_eq!(everything(&store).unwrap(), before, "{event}");
        other.execute_batch("DROP TRIGGER trouble").unwrap();
        assert_eq!(write(&store, "node", changes()), Ok(vec![Kept::Yes, Kept::Yes]), "{event}");
        assert_eq!(store.check(), Ok(()), "{event}");
    }
}

/// Writes until there is no more room; gives how many versions were acknowledged.
fn fill(store: &SqliteStore, path: &Path) -> u64 {
    let acknowledged = loop {
        let before = version(store);
        match put(store, 1000) {
            Ok(()) => {}
            Err(StoreError::Full { .. } | StoreError::Io { .. }) => break before,
            Err(error) => panic!("{error}"),
        }
        assert!(before < 10_000, "there is no end to the room");
    };
    // Refused again and again, and all that was acknowledged is there.
    for _ in 0..5 {
        assert!(put(store, 1000).is_err());
    }
    let history = everything(store).unwrap().history;
    assert_eq!((version(store), history.len() as u64), (acknowledged, acknowledged));
    println!("{}: full after {acknowledged} commits", path.display());
    acknowledged
}

#[test]
#[cfg(unix)]
fn a_limit_on_the_size_of_files() {
    for test in ["fills_up_to_its_limit", "has_no_room_to_begin"] {
        let folder = Folder::new();
        let blocks = if test == "fills_up_to_its_limit" { 200 } else { 4 };
        // Without the signal, a write beyond the limit is an error.
        let mut command = Command::new("sh");
        command.args(["-c", &format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$@\""), "sh"]);
        if !in_a_child(test, folder.path(), command) {
            return;
        }
        if test == "fills_up_to_its_limit" {
            let store = open(&folder.join("jobs.db")).unwrap();
            let before = version(&store);
            assert_eq!((store.lost_at_open(), store.check()), (0, Ok(())));
            put(&store, 1000).unwrap();
            assert_eq!(version(&store), before + 1);
        }
    }
}

#[test]
#[ignore = "run by another test, with a limit on the size of files"]
fn fills_up_to_its_limit() {
    let path = given_folder().join("jobs.db");
    let store = open(&path).unwrap();
    let acknowledged = fill(&store, &path);
    // With the limit lifted it goes on, in the same process.
    let lifted = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &std::process::id().to_string()]).status();
    if lifted.is_ok_and(|status| status.success()) {
        put(&store, 1000).unwrap();
        assert_eq!((version(&store), store.check()), (acknowledged + 1, Ok(())));
    } else {
        println!("skipped: no prlimit to lift the limit with");
    }
}

#[test]
#[ignore = "run by another test, with a limit on the size of files"]
fn has_no_room_to_begin() {
    let path = given_folder().join("jobs.db");
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. } | StoreError::Io { .. }), "{error}");
}

#[test]
fn a_disk_that_is_full_and_then_is_not() {
    let folder = Folder::new();
    let Some(_disk) = Mounted::new(folder.path(), "size=400k") else { return };
    let path = folder.join("jobs.db");
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![7; 64 * 1024]).unwrap();
    let store = open(&path).unwrap();
    let acknowledged = fill(&store, &path);
    std::fs::remove_file(&ballast).unwrap();
    put(&store, 1000).unwrap();
    assert_eq!((version(&store), store.check()), (acknowledged + 1, Ok(())));
    drop(store);
    let store = open(&path).unwrap();
    assert_eq!((version(&store), store.lost_at_open()), (acknowledged + 1, 0));
}

#[test]
fn a_disk_that_is_full_from_the_beginning() {
    let folder = Folder::new();
    let Some(_disk) = Mounted::new(folder.path(), "size=64k") else { return };
    let (path, ballast) = (folder.join("jobs.db"), folder.join("ballast"));
    let room = (0..).map(|kib| vec![7; kib * 1024]).take_while(|bytes| std::fs::write(&ballast, bytes).is_ok()).count();
    let mut opened = 0;
    for left in 0..room {
        std::fs::write(&ballast, vec![7; (room - 1 - left) * 1024]).unwrap();
        match open(&path) {
            Ok(store) => {
                opened += 1;
                drop(store);
                for ending in ["", "-wal", "-shm", "-mark"] {
                    let _ = std::fs::remove_file(beside(&path, ending));
                }
            }
            Err(StoreError::Full { .. } | StoreError::Io { .. }) => {}
            Err(error) => panic!("with {left} KiB left: {error}"),
        }
    }
    println!("it opened {opened} times");
}

#[test]
fn a_disk_that_cannot_be_written() {
    let folder = Folder::new();
    let Some(disk) = Mounted::new(folder.path(), "size=4m") else { return };
    let path = folder.join("jobs.db");
    put(&open(&path).unwrap(), 10).unwrap();
    disk.remount("ro");
    let before = std::fs::read(&path).unwrap();
    assert_eq!(open(&path).err(), Some(StoreError::ReadOnly { path: said(&path) }));
    assert_eq!(open(&folder.join("new.db")).err(), Some(StoreError::ReadOnly { path: said(&folder.join("new.db")) }));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    disk.remount("rw");
    assert_eq!(version(&open(&path).unwrap()), 1);
}

#[test]
#[cfg(unix)]
fn a_file_or_folder_without_permission() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let folder = Folder::new();
    let path = folder.join("jobs.db");
    put(&open(&path).unwrap(), 10).unwrap();
    let allow = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let is_root = std::fs::metadata(folder.path()).unwrap().uid() == 0;
    for (file, mode_of_folder) in [(0o444, 0o777), (0o666, 0o555)] {
        for ending in ["", "-mark"] {
            allow(&beside(&path, ending), file);
        }
        allow(folder.path(), mode_of_folder);
        let mut command = Command::new(if is_root { "setpriv" } else { "env" });
        if is_root {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        let ran = in_a_child("may_not_write", folder.path(), command);
        allow(folder.path(), 0o777);
        if !ran {
            return;
        }
    }
    assert_eq!(version(&open(&path).unwrap()), 1);
}

#[test]
#[ignore = "run by another test, without the permission to write"]
fn may_not_write() {
    let path = given_folder().join("jobs.db");
    let before = std::fs::read(&path).unwrap();
    assert_eq!(open(&path).err(), Some(StoreError::ReadOnly { path: said(&path) }));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    if std::fs::File::create_new(given_folder().join("probe")).is_err() {
        let new = given_folder().join("new.db");
        assert_eq!(open(&new).err(), Some(StoreError::ReadOnly { path: said(&new) }));
    }
}
