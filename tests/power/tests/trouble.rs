//! Every call by which SQLite writes, syncs, shortens or locks a file is refused once, and once with all after it, under a
//! scheduler that goes on: jobs run or wait as they are to, nothing is half written, and when it is mended each occurrence was
//! run once and is in the history.
//!
//! `PUNCTUAL_CASES` chooses how many calls of each kind are refused, spread over all that there are; from 1000 on each is tried
//! with each [`WithoutStore`], which take turns otherwise.

#[path = "../../disk/mod.rs"]
#[allow(dead_code, reason = "the file is real")]
mod disk;
#[path = "../../store_kit/mod.rs"]
mod store_kit;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use disk::each_in_one;
use parking_lot::Mutex;
use punctual::{
    Durability, Event, HistoryQuery, ManualClock, Run, RunRecord, Scheduler, SqliteOptions, SqliteStore, Store, WithoutStore,
};
use punctual_power::layer::{self, Call, Refusal};
use rusqlite::ffi;
use store_kit::{Folder, SECOND, at, everything, setting};

const HOUR: Duration = Duration::from_secs(3600);
const NAME: &str = "jobs.db";
const ENDINGS: [&str; 3] = ["", "-wal", "-mark"];
const KEPT: [&str; 3] = ["often", "once", "after"];

/// What is refused, and what SQLite is told.
const REFUSALS: [(Call, i32); 9] = [
    (Call::Write, ffi::SQLITE_FULL),
    (Call::Write, ffi::SQLITE_IOERR_WRITE),
    (Call::Write, ffi::SQLITE_READONLY),
    (Call::TornWrite, ffi::SQLITE_FULL),
    (Call::TornWrite, ffi::SQLITE_IOERR_WRITE),
    (Call::Sync, ffi::SQLITE_IOERR_FSYNC),
    (Call::Truncate, ffi::SQLITE_IOERR_TRUNCATE),
    (Call::Read, ffi::SQLITE_IOERR_READ),
    (Call::Lock, ffi::SQLITE_BUSY),
];

/// The files of a store, as they are while it is open.
type Files = BTreeMap<&'static str, Vec<u8>>;

fn files(folder: &Path) -> Files {
    let read = |ending: &&'static str| Some((*ending, std::fs::read(folder.join(format!("{NAME}{ending}"))).ok()?));
    ENDINGS.iter().filter_map(read).collect()
}

fn options(durability: Durability) -> SqliteOptions {
    SqliteStore::options().durability(durability).clock(ManualClock::new(at(0)))
}

fn nanos(at: DateTime<Utc>) -> i64 {
    at.timestamp_nanos_opt().expect("a year")
}

/// A run's job, the first and the last occurrence that it makes up for, and how many.
type Noted = (String, i64, i64, u64);

/// A process, its store, and what its jobs noted.
struct Process {
    clock: ManualClock,
    folder: Folder,
    store: SqliteStore,
    scheduler: Scheduler,
    noted: Arc<Mutex<Vec<Noted>>>,
    told: Arc<Mutex<Vec<bool>>>,
}

impl Process {
    fn start(
        files: &Files,
        from: DateTime<Utc>,
        durability: Durability,
        without: Option<WithoutStore>,
    ) -> Result<Process, String> {
        let folder = Folder::new();
        for (ending, bytes) in files {
            std::fs::write(folder.join(&format!("{NAME}{ending}")), bytes).expect("a file");
        }
        let store = options(durability).open(folder.join(NAME)).map_err(|error| error.to_string())?;
        if store.lost_at_open() > 0 {
            return Err(format!("{} commits are missing", store.lost_at_open()));
        }
        let clock = ManualClock::new(from);
        let builder = Scheduler::builder().clock(clock.clone()).zone(Utc).store(store.clone());
        let scheduler = without.into_iter().fold(builder, |builder, without| builder.without_store(without)).build();
        let noted: Arc<Mutex<Vec<Noted>>> = Arc::default();
        let told: Arc<Mutex<Vec<bool>>> = Arc::default();
        let tells = told.clone();
        scheduler.on_event(move |event| match event {
            Event::StoreFailed { .. } => tells.lock().push(false),
            Event::StoreRecovered => tells.lock().push(true),
            _ => {}
        });
        let noting = |name: &'static str| {
            let noted = noted.clone();
            move |run: &mut Run| {
                let facts = run.facts();
                noted.lock().push((name.to_owned(), nanos(facts.first_missed), nanos(facts.due), facts.folded));
            }
        };
        let job = || scheduler.every(1).hour().aligned();
        job().named("often").at_least_once().do_with(noting("often")).expect("a job");
        let once = job().named("once").do_with(noting("once")).expect("a job");
        let note = noting("after");
        scheduler.following(&once).named("after").do_with(move |run, ()| note(run)).expect("a job");
        job().do_with(noting("unkept")).expect("a job");
        Ok(Process { clock, folder, store, scheduler, noted, told })
    }

    /// Polls until there is nothing left to do at this instant.
    fn settle(&self) -> Result<(), String> {
        for _ in 0..12 {
            if self.scheduler.run_pending().next() != Some(Duration::ZERO) {
                return Ok(());
            }
        }
        Err("a poll asks for another one again and again".to_owned())
    }

    /// Up to the next full hour, and some seconds beyond it.
    fn live(&self, hours: usize) -> Result<(), String> {
        const BEYOND: u32 = 8;
        for _ in 0..hours {
            let told = self.told.lock().len();
            self.clock.advance(HOUR - BEYOND * SECOND);
            self.settle()?;
            for _ in 0..BEYOND {
                self.clock.advance(SECOND);
                self.settle()?;
            }
            let told = self.told.lock().len() - told;
            if told > 8 {
                return Err(format!("told {told} times in an hour"));
            }
        }
        Ok(())
    }

    fn of(&self, job: &str) -> Vec<(i64, i64, u64)> {
        let noted = self.noted.lock();
        noted.iter().filter(|(name, ..)| name == job).map(|(_, first, due, folded)| (*first, *due, *folded)).collect()
    }

    /// What the history has of a job since an instant.
    fn kept_of(&self, job: &str, since: i64) -> Result<Vec<(i64, i64, u64)>, String> {
        let query = HistoryQuery { job: Some(job.into()), most: usize::MAX, ..HistoryQuery::default() };
        let history = self.store.history(&query).map_err(|error| error.to_string())?;
        let range = |run: &RunRecord| (nanos(run.first_missed), nanos(run.due), run.folded);
        let mut kept: Vec<_> = history.iter().map(range).filter(|(_, due, _)| *due > since).collect();
        kept.sort_unstable();
        Ok(kept)
    }
}

/// A store whose log is nearly long enough to be moved to the file, and when its process left it.
fn prepare(durability: Durability) -> (Files, DateTime<Utc>) {
    // SQLite moves it when it has a thousand pages.
    const PAGES: u64 = 940;
    let process = Process::start(&Files::new(), at(0), durability, None).expect("it starts");
    process.settle().expect("it rests");
    // So that full hours are in the middle of what `live` looks at closely.
    process.clock.advance(7 * SECOND);
    let log = process.folder.join(&format!("{NAME}-wal"));
    while std::fs::metadata(&log).expect("a log").len() < PAGES * 4120 {
        process.live(1).expect("it lives");
    }
    (files(process.folder.path()), process.clock.wall())
}

/// Six hours with a refusal, and two after it. Gives how many calls of the kind there were, and whether trouble was told.
fn story(
    (files, from): &(Files, DateTime<Utc>),
    durability: Durability,
    without: Option<WithoutStore>,
    refusal: Refusal,
) -> Result<(usize, bool), String> {
    const TROUBLED: usize = 6;
    const MENDED: usize = 2;
    let process = Process::start(files, *from, durability, without)?;
    let (begin, hour) = (nanos(*from), i64::try_from(HOUR.as_nanos()).expect("small"));
    process.settle()?;
    layer::refuse(refusal);
    let mut lived = Ok(());
    for passed in 1..=TROUBLED {
        lived = lived.and_then(|()| process.live(1));
        let runs = |job: &str| process.of(job).iter().map(|(.., folded)| folded).sum::<u64>() as usize;
        let go_on = ["unkept", "often", "once", "after"].map(|job| match (job, without) {
            ("unkept", _) | (_, Some(WithoutStore::Run)) => true,
            ("often", None) => true,
            _ => refusal.many == 1,
        });
        for (job, goes_on) in ["unkept", "often", "once", "after"].into_iter().zip(go_on) {
            let runs = runs(job);
            if runs > passed || goes_on && runs < passed {
                lived = lived.and(Err(format!("{job} had {runs} runs after {passed} hours")));
            }
        }
    }
    let calls = layer::mend();
    lived?;

    // Nothing is half written: what is there is whole, and of runs that were.
    process.store.check().map_err(|error| format!("when it was mended: {error}"))?;
    for job in KEPT {
        let noted = process.of(job);
        if let Some(run) = process.kept_of(job, begin)?.iter().find(|run| !noted.contains(run)) {
            return Err(format!("{job}: {run:?} is in the history, and was not run"));
        }
    }
    if without != Some(WithoutStore::Run) {
        killed(&process, begin, durability, without).map_err(|error| format!("killed before it was mended: {error}"))?;
    }

    for _ in 0..62 {
        process.clock.advance(SECOND);
        process.settle()?;
    }
    process.clock.advance(HOUR - 62 * SECOND);
    process.settle()?;
    process.live(MENDED - 1)?;
    let told = process.told.lock().clone();
    if told.last() == Some(&false) || told.windows(2).any(|pair| pair == [true, true]) {
        return Err(format!("recovered is told once after each trouble: {told:?}"));
    }
    let all = (TROUBLED + MENDED) as u64;
    let first = begin - begin % hour + hour;
    for job in ["unkept", "often", "once", "after"] {
        let mut noted = process.of(job);
        let found = each_in_one(job, noted.clone())?;
        // What follows runs once for each run, be that of several occurrences.
        let is_right = match job {
            "after" => noted.len() == process.of("once").len(),
            _ => found == Some((all, first, first + hour * (all as i64 - 1))),
        };
        if !is_right {
            return Err(format!("{job}: {noted:?}"));
        }
        noted.sort_unstable();
        if job != "unkept" && process.kept_of(job, begin)? != noted {
            return Err(format!("{job}: ran {noted:?}, and the history has {:?}", process.kept_of(job, begin)?));
        }
    }
    process.store.check().map_err(|error| format!("at the end: {error}"))?;
    let there = everything(&process.store).map_err(|error| error.to_string())?;
    let path = process.folder.join(NAME);
    let Process { folder, store, scheduler, .. } = process;
    drop((store, scheduler));
    let store = options(durability).open(&path).map_err(|error| format!("it does not open again: {error}"))?;
    if store.lost_at_open() > 0 || everything(&store).map_err(|error| error.to_string())? != there {
        return Err("opened again it is another".to_owned());
    }
    drop(folder);
    Ok((calls, !told.is_empty()))
}

/// What the next process makes of the files, as one leaves them that is killed now.
fn killed(process: &Process, begin: i64, durability: Durability, without: Option<WithoutStore>) -> Result<(), String> {
    let next = Process::start(&files(process.folder.path()), process.clock.wall(), durability, without)?;
    next.settle()?;
    next.live(2)?;
    for job in KEPT {
        let all = [process.of(job), next.of(job)].concat();
        if job == "often" {
            let hour = i64::try_from(HOUR.as_nanos()).expect("small");
            let first = begin - begin % hour + hour;
            let lost =
                (0..8).map(|number| first + number * hour).find(|due| !all.iter().any(|run| (run.0..=run.1).contains(due)));
            if let Some(lost) = lost {
                return Err(format!("{job}: {lost} is lost: {all:?}"));
            }
        } else {
            each_in_one(job, all)?;
        }
    }
    Ok(())
}

/// So many of the first numbers at most, first and last among them.
fn spread(all: usize, most: usize) -> impl Iterator<Item = usize> {
    let many = all.min(most);
    (0..many).map(move |number| if many < 2 { 0 } else { number * (all - 1) / (many - 1) })
}

#[test]
fn whatever_is_refused_jobs_go_on_and_nothing_is_lost() {
    layer::install();
    let most = usize::try_from(setting("PUNCTUAL_CASES", 12)).expect("small");
    let all = most >= 1000;
    let policies = [None, Some(WithoutStore::Run), Some(WithoutStore::Hold)];
    let (mut failures, mut turn) = (Vec::new(), 0);
    for durability in [Durability::Power, Durability::Process] {
        let prepared = prepare(durability);
        for (call, code) in REFUSALS {
            let nothing = Refusal { call, from: 0, many: 0, code };
            let (calls, _) =
                story(&prepared, durability, None, nothing).unwrap_or_else(|error| panic!("with nothing refused: {error}"));
            let (mut cases, mut told) = (0, 0);
            for from in spread(calls, most) {
                for many in [1, usize::MAX] {
                    turn += 1;
                    for (number, without) in policies.into_iter().enumerate() {
                        if !all && number != turn % policies.len() {
                            continue;
                        }
                        cases += 1;
                        let refusal = Refusal { call, from, many, code };
                        match story(&prepared, durability, without, refusal) {
                            Ok((_, tells)) => told += usize::from(tells),
                            Err(error) => {
                                let many = if many == 1 { "once" } else { "and all after it" };
                                failures.push(format!(
                                    "{durability:?}, {call:?} {from} of {calls} {many}, {code}, {without:?}: {error}"
                                ));
                            }
                        }
                    }
                }
            }
            println!("{durability:?}, {call:?}, code {code}: {calls} calls, {cases} cases, trouble told in {told}");
            let is_noticed = matches!(call, Call::Write | Call::TornWrite);
            assert!(!is_noticed || told > cases / 4 || !failures.is_empty(), "refusals go unnoticed, so nothing is refused");
        }
    }
    let many = failures.len();
    failures.truncate(8);
    assert!(failures.is_empty(), "{many} failures\n{}", failures.join("\n"));
}
