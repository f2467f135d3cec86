//! Power cuts at any moment of a store's life: at `Power` no write that was acknowledged is lost, at `Process` the file opens
//! and what is lost is a suffix, which the store tells.
//!
//! `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many cuts there are at each level, and which.

#[path = "../../store_kit/mod.rs"]
mod store_kit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use punctual::{
    Change, Durability, JobRecord, Keep, Kept, ManualClock, RunFacts, RunState, Scheduler, SqliteOptions, SqliteStore, Store,
};
use punctual_power::disk::{Disk, FATES};
use punctual_power::layer::{self, Deed};
use store_kit::{Everything, Folder, any_changes, at, change, everything, run, setting, write};

const NAME: &str = "jobs.db";

fn options(durability: Durability) -> SqliteOptions {
    SqliteStore::options().durability(durability).clock(ManualClock::new(at(0)))
}

/// A life of a store, as it was recorded.
struct Life {
    durability: Durability,
    folder: PathBuf,
    deeds: Vec<(PathBuf, Deed)>,
    /// What the store held after each commit, by generation; and what the host had.
    states: Vec<(Everything, i64)>,
    /// After so many deeds so many commits were acknowledged.
    acknowledged: Vec<(usize, usize)>,
    /// The host's commits among them, which are synced as the host says.
    hosts: Vec<usize>,
}

impl Life {
    fn lead(durability: Durability, seed: u64) -> Life {
        let (folder, mut rng) = (Folder::new(), Rng::with_seed(seed));
        let real = std::fs::canonicalize(folder.path()).expect("a folder");
        let path = folder.join(NAME);
        let mark = real.join(format!("{NAME}-mark"));
        layer::begin();
        let mut store = options(durability).open(&path).expect("it opens");
        let mut host = rusqlite::Connection::open(&path).expect("it opens");
        host.pragma_update(None, "synchronous", "NORMAL").expect("a pragma");
        let none = (everything(&store).expect("it reads"), 0);
        let mut life = Life {
            durability,
            folder: real,
            deeds: Vec::new(),
            states: vec![none.clone(), none],
            acknowledged: Vec::new(),
            hosts: Vec::new(),
        };
        // What is synced of the mark is what it was made with. With a new file the store syncs its folder too.
        let noted = |deeds: &[Deed]| deeds.iter().for_each(|deed| layer::note(mark.clone(), deed.clone()));
        let bytes = || Deed::Write { at: 0, bytes: std::fs::read(&mark).expect("a mark") };
        noted(&[Deed::Create, bytes(), Deed::Sync, Deed::SyncFolder]);
        life.acknowledged.push((layer::so_far(), 1));
        for _ in 0..140 {
            match rng.u8(0..40) {
                0 => {
                    drop((store, host));
                    store = options(durability).open(&path).expect("it opens");
                    host = rusqlite::Connection::open(&path).expect("it opens");
                    host.pragma_update(None, "synchronous", "NORMAL").expect("a pragma");
                    assert_eq!(store.lost_at_open(), 0);
                    noted(&[bytes()]);
                    continue;
                }
                1 | 2 => {
                    let how = *rng.choice(&["PASSIVE", "RESTART", "TRUNCATE"]).expect("one");
                    host.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(())).expect("a checkpoint");
                    continue;
                }
                3 => {
                    // Much at once, so that the log grows beyond what makes a checkpoint by itself.
                    let record = store.load("much").expect("it reads").unwrap_or_else(|| JobRecord::new("much", at(0)));
                    let mut ended = store_kit::ended("much", record.last_run + 1, 1);
                    ended.error = Some("x".repeat(1 << 20));
                    let record = JobRecord { last_run: record.last_run + 1, ..record };
                    write(&store, "node", vec![change(record, vec![ended], Duration::ZERO)]).expect("it writes");
                }
                4 => {
                    let keep = Keep { count: Some(rng.u64(0..9)), since: None };
                    if store.prune(&keep, rng.usize(1..9)).expect("it prunes") == 0 {
                        continue;
                    }
                }
                5..=9 => {
                    if !complete(&store, &mut host, &mut life) {
                        continue;
                    }
                    // The host's commit; the mark knows nothing of it.
                    life.hosts.push(life.states.len() - 1);
                    life.acknowledged.push((layer::so_far(), life.states.len() - 1));
                    continue;
                }
                _ => {
                    let changes: Vec<Change> = any_changes(&mut rng, &store);
                    if !write(&store, "node", changes).expect("it writes").contains(&Kept::Yes) {
                        continue;
                    }
                }
            }
            noted(&[bytes()]);
            let hosts = life.states.last().expect("one").1;
            life.states.push((everything(&store).expect("it reads"), hosts));
            life.acknowledged.push((layer::so_far(), life.states.len() - 1));
        }
        drop((store, host));
        life.deeds = layer::end();
        life
    }

    /// Of the first so many deeds, how many commits were acknowledged. At `Power` those of the host's last transactions that
    /// nothing of the store's own followed do not count: they are synced as the host says.
    fn promised(&self, deeds: usize) -> usize {
        let acknowledged = self.acknowledged.iter().filter(|(so_far, _)| *so_far <= deeds).map(|(_, commits)| *commits);
        let mut last = acknowledged.max().unwrap_or(0);
        while self.hosts.contains(&last) {
            last -= 1;
        }
        last
    }
}

/// A run starts, and a transaction of the host's says that it is done: two commits, of which the first is noted here.
fn complete(store: &SqliteStore, host: &mut rusqlite::Connection, life: &mut Life) -> bool {
    let record = store.load("host").expect("it reads").unwrap_or_else(|| JobRecord::new("host", at(0)));
    let number = record.last_run + 1;
    let open = vec![run("host", number, RunState::Started { at: at(1) })];
    let record = JobRecord { last_run: number, open, ..record };
    write(store, "node", vec![change(record, Vec::new(), Duration::ZERO)]).expect("it writes");
    let mark = life.folder.join(format!("{NAME}-mark"));
    let bytes = std::fs::read(&mark).expect("a mark");
    layer::note(mark, Deed::Write { at: 0, bytes });
    let data = life.states.last().expect("one").1;
    life.states.push((everything(store).expect("it reads"), data));
    life.acknowledged.push((layer::so_far(), life.states.len() - 1));

    let transaction = host.transaction().expect("it begins");
    // A table of the host's, made by the first of them.
    let made = "CREATE TABLE IF NOT EXISTS data (one INTEGER PRIMARY KEY, runs INTEGER)";
    transaction.execute_batch(made).expect("a table");
    transaction.execute("INSERT OR REPLACE INTO data VALUES (1, ?)", [data + 1]).expect("a row");
    store.complete(&transaction, &facts(number)).expect("it goes on");
    transaction.commit().expect("it commits");
    life.states.push((everything(store).expect("it reads"), data + 1));
    true
}

fn facts(number: u64) -> RunFacts {
    let scheduler: Scheduler = Scheduler::builder().clock(ManualClock::new(at(0))).build();
    let told = std::sync::Arc::new(parking_lot::Mutex::new(None));
    let place = told.clone();
    let job = move |run: &mut punctual::Run| *place.lock() = Some(run.facts().clone());
    scheduler.every(1).hour().immediately().named("host").do_with(job).expect("a job");
    let _ = scheduler.run_pending();
    let mut facts = told.lock().take().expect("it ran");
    facts.number = number;
    facts
}

fn data(path: &Path) -> i64 {
    let host = rusqlite::Connection::open(path).expect("it opens");
    host.query_row("SELECT runs FROM data", [], |row| row.get(0)).unwrap_or(0)
}

/// What is there after a cut, held against what was promised. Gives how many commits were lost.
fn check(life: &Life, cut: usize, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<usize, String> {
    let folder = Folder::new();
    for (path, bytes) in files {
        std::fs::write(folder.join(path.file_name().expect("a name").to_str().expect("UTF-8")), bytes).expect("a file");
    }
    let path = folder.join(NAME);
    let mark = std::fs::read_to_string(folder.join(&format!("{NAME}-mark"))).unwrap_or_default();
    let marked: usize = mark.split(' ').nth(3).and_then(|word| word.parse().ok()).unwrap_or(0);
    let (promised, begun) = (life.promised(cut), life.states.len() - 1);
    let store = match options(life.durability).open(&path) {
        Ok(store) => store,
        Err(error) => return Err(format!("it does not open: {error}")),
    };
    let found = (everything(&store).map_err(|error| error.to_string())?, data(&path));
    // The last one that is as what is found: some commits change nothing that can be read.
    let alike: Vec<usize> = (0..=begun).filter(|state| life.states[*state] == found).collect();
    let Some(last) = alike.last() else {
        return Err("what is there was there at no time".to_owned());
    };
    let said = usize::try_from(store.lost_at_open()).expect("small");
    if life.durability == Durability::Power && (*last < promised || said > 0) {
        return Err(format!("commit {last} is the last of {promised} that were acknowledged, and {said} are said to be lost"));
    }
    let right = alike.iter().any(|state| said == marked.saturating_sub((*state).max(1)));
    if !right {
        return Err(format!("{said} are said to be lost, with a mark at {marked} and commits {alike:?} there"));
    }
    // It goes on from there.
    let record = store.load("new").map_err(|error| error.to_string())?.unwrap_or_else(|| JobRecord::new("new", at(0)));
    let kept = write(&store, "node", vec![change(record, Vec::new(), Duration::ZERO)]).map_err(|error| error.to_string())?;
    if kept != [Kept::Yes] {
        return Err("it does not go on".to_owned());
    }
    store.check().map_err(|error| format!("afterwards: {error}"))?;
    drop(store);
    options(life.durability).open(&path).map_err(|error| format!("it does not open again: {error}"))?;
    Ok(promised.saturating_sub(*last))
}

#[test]
fn what_is_synced_is_there_and_what_is_lost_is_a_suffix() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 200));
    const CUTS_OF_A_LIFE: u64 = 100;
    layer::install();
    let mut failures = Vec::new();
    for durability in [Durability::Power, Durability::Process] {
        let (mut cuts, mut lossy, mut most) = (0, 0, 0);
        let mut left = cases;
        for number in 0.. {
            let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number;
            let (life, mut rng) = (Life::lead(durability, seed), Rng::with_seed(seed));
            let many = left.min(CUTS_OF_A_LIFE);
            let mut places: Vec<usize> = (0..many).map(|_| rng.usize(0..=life.deeds.len())).collect();
            places.sort_unstable();
            let (mut disk, mut done) = (Disk::default(), 0);
            for place in places {
                life.deeds[done..place].iter().for_each(|(path, deed)| disk.do_(path, deed));
                done = place;
                let fate = *rng.choice(&FATES).expect("one");
                let sector = *rng.choice(&[512, 4096]).expect("one");
                cuts += 1;
                match check(&life, place, &disk.cut(fate, sector, &mut rng)) {
                    Ok(lost) => {
                        lossy += usize::from(lost > 0);
                        most = most.max(lost);
                    }
                    Err(error) => failures.push(format!(
                        "{durability:?}, life {number}, after {place} of {} deeds, {fate:?} of {sector} bytes: {error}",
                        life.deeds.len()
                    )),
                }
            }
            left -= many;
            if left == 0 {
                break;
            }
        }
        println!("{durability:?}: {cuts} cuts, {lossy} with commits lost, {most} at most");
        if durability == Durability::Process && cases >= 100 {
            assert!(lossy > 0, "nothing was ever lost, so nothing was cut");
        }
    }
    failures.truncate(5);
    assert!(failures.is_empty(), "PUNCTUAL_SEED={seed}\n{}", failures.join("\n"));
}
