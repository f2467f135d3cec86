//! What it costs to keep that runs start and end: the SQLite store beside its floor, bare rusqlite that writes the same rows to
//! the same tables in one transaction.
//!
//! `cargo bench --bench store`; with `-- million` also what a store of a million runs costs to open, read and prune.

mod floor;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use floor::{Floor, Rows, micros};
use punctual::{
    Batch, Change, Done, Durability, HistoryQuery, JobChange, JobRecord, Keep, Kept, LateBy, RunEnd, RunRecord, RunState,
    SqliteStore, Store,
};

fn main() {
    let folder = std::env::temp_dir().join(format!("punctual-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    println!("median microseconds a batch: the store, the floor, and how many times the floor the store takes");
    println!("{:<10} {:>6}  {:>28}  {:>28}", "level", "runs", "starts", "ends");
    for durability in [Durability::Process, Durability::Power] {
        for runs in [1, 10, 100, 1000] {
            let [starts, ends] = compare(&folder, durability, runs);
            println!("{:<10} {runs:>6}  {starts:>28}  {ends:>28}", format!("{durability:?}"));
        }
    }
    if std::env::args().any(|argument| argument == "million") {
        million(&folder);
    }
    std::fs::remove_dir_all(&folder).expect("it goes");
}

const HOLD: Duration = Duration::from_secs(30);

/// As many batches as are worth a median.
fn repeats(runs: usize) -> usize {
    (20_000 / runs).clamp(20, 1000)
}

fn compare(folder: &Path, durability: Durability, runs: usize) -> [String; 2] {
    let at = |name: &str| folder.join(format!("{name}-{durability:?}-{runs}.db"));
    let mut store = Jobs::open(&at("store"), durability, runs);
    let mut floor = Floor::open(&at("floor"), durability, runs);
    let mut times: [[Vec<f64>; 2]; 2] = Default::default();
    for number in 1..=repeats(runs) as u64 {
        // One after the other, so that whatever the disk does befalls both.
        for ends in [false, true] {
            let kind = usize::from(ends);
            times[kind][0].push(store.write(number, ends));
            times[kind][1].push(floor.write(number, if ends { Rows::Ends } else { Rows::Starts }));
        }
    }
    times.map(|[store, floor]| {
        let (store, floor) = (median(store), median(floor));
        format!("{store:>9.1} / {floor:>8.1} = {:>5.2}", store / floor)
    })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn instant(number: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000 + number as i64)
}

fn run(job: &Arc<str>, number: u64, state: RunState) -> RunRecord {
    RunRecord {
        job: job.clone(),
        number,
        due: instant(number),
        first_missed: instant(number),
        folded: 1,
        attempt: 1,
        state,
        late: Duration::from_millis(3),
        late_by: LateBy::Host,
        took: Duration::from_millis(20),
        error: None,
        follows: Vec::new(),
    }
}

/// A store, and its jobs as it has them.
struct Jobs {
    store: SqliteStore,
    records: Vec<JobRecord>,
}

impl Jobs {
    fn open(path: &Path, durability: Durability, jobs: usize) -> Self {
        let store = SqliteStore::options().durability(durability).open(path).expect("it opens");
        let records = (0..jobs).map(|job| JobRecord::new(format!("job {job:04}"), instant(0))).collect();
        let mut opened = Jobs { store, records };
        opened.write(0, true);
        opened
    }

    fn write(&mut self, number: u64, ends: bool) -> f64 {
        let started = instant(number);
        for record in &mut self.records {
            record.schedule = "every 5 minutes".to_owned();
            (record.last_run, record.last_due, record.last_start) = (number, Some(started), Some(started));
            record.open = if ends { Vec::new() } else { vec![run(&record.name, number, RunState::Started { at: started })] };
        }
        let state = RunState::Ended { started: Some(started), at: started, end: RunEnd::Done };
        let change = |record: &JobRecord| {
            let ended = if ends { vec![run(&record.name, number, state)] } else { Vec::new() };
            Change { jobs: vec![JobChange { record: record.clone(), ended, hold: HOLD, formerly: None }] }
        };
        let batch = Batch { node: "node".into(), changes: self.records.iter().map(change).collect() };
        let (sender, answer) = channel();
        let time = micros(|| self.store.write(batch, Done::new(move |kept| drop(sender.send(kept)))));
        let kept = answer.recv().expect("an answer").expect("it is kept");
        assert!(kept.iter().all(|kept| *kept == Kept::Yes));
        self.records.iter_mut().for_each(|record| record.version += 1);
        time
    }
}

/// A store of a million runs.
fn million(folder: &Path) {
    const JOBS: usize = 1000;
    let path: PathBuf = folder.join("million.db");
    let mut kept = Jobs::open(&path, Durability::Process, JOBS);
    let mut times: Vec<f64> = (1..1000).map(|number| kept.write(number, false) + kept.write(number, true)).collect();
    times.sort_by(f64::total_cmp);
    println!("\na million runs of {JOBS} jobs; milliseconds");
    println!("  start and end of {JOBS}, median and longest: {:.1}, {:.1}", times[500] / 1e3, times[998] / 1e3);
    let store = kept.store.clone();
    let say = |what: &str, work: &mut dyn FnMut()| println!("  {what}: {:.2}", micros(work) / 1e3);
    let first = HistoryQuery::default();
    say("the last hundred runs", &mut || assert_eq!(store.history(&first).expect("it reads").len(), 100));
    let one = HistoryQuery { job: Some("job 0500".into()), ..HistoryQuery::default() };
    say("the last hundred of a job", &mut || assert_eq!(store.history(&one).expect("it reads").len(), 100));
    say("check", &mut || store.check().expect("it is whole"));
    say("backup", &mut || store.backup(folder.join("backup.db")).expect("it copies"));
    drop((store, kept));
    println!("  size in MiB: {:.1}", std::fs::metadata(&path).expect("a file").len() as f64 / (1 << 20) as f64);
    let mut opened = None;
    say("open", &mut || opened = Some(SqliteStore::options().durability(Durability::Process).open(&path).expect("it opens")));
    let store = opened.expect("it opened");
    for (what, keep) in [
        ("by age", Keep { count: None, since: Some(instant(300)) }),
        ("by count", Keep { count: Some(600), since: None }),
        ("by both", Keep { count: Some(500), since: Some(instant(550)) }),
    ] {
        for most in [10, 100] {
            let mut times: Vec<f64> =
                (0..50).map(|_| micros(|| assert_eq!(store.prune(&keep, most).expect("it prunes"), most))).collect();
            times.sort_by(f64::total_cmp);
            println!("  prune {most} {what}, median and longest: {:.2}, {:.2}", times[25] / 1e3, times[49] / 1e3);
        }
    }
    store.check().expect("it is whole");
}
