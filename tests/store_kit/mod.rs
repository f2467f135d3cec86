//! Records drawn from a seed, and all that a store holds, for the tests of stores.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use parking_lot::Mutex;
use punctual::{
    Batch, Change, Done, FollowedRun, HistoryQuery, JobChange, JobRecord, Kept, LateBy, RunEnd, RunRecord, RunState, Store,
    StoreError,
};

pub const SECOND: Duration = Duration::from_secs(1);

pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {text}")))
}

/// So many seconds into 1 March 2026.
pub fn at(second: i64) -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse::<DateTime<Utc>>().expect("an instant") + TimeDelta::seconds(second)
}

/// A folder that goes with its value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("punctual-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a test of the same program in a process of its own, as a command prepares it; `false` if the command cannot.
pub fn in_a_child(test: &str, folder: &Path, mut command: std::process::Command) -> bool {
    let program = std::env::current_exe().expect("the test's own program");
    command.arg(program).args(["--exact", "--ignored", "--nocapture", test]).env("PUNCTUAL_FOLDER", folder);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: {command:?}: {error}");
            return false;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains("running 1 test") {
        println!("skipped: {command:?}: {}", String::from_utf8_lossy(&output.stderr));
        return false;
    }
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// The folder that it was given.
pub fn given_folder() -> PathBuf {
    std::env::var_os("PUNCTUAL_FOLDER").expect("it is run by another test").into()
}

/// A file system of its own in memory, if it may be mounted.
pub struct Mounted(PathBuf);

impl Mounted {
    pub fn new(at: &Path, options: &str) -> Option<Mounted> {
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Mounted(at.to_owned())),
            Ok(output) => {
                println!("skipped: no tmpfs can be mounted: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                println!("skipped: no tmpfs can be mounted: {error}");
                None
            }
        }
    }

    pub fn remount(&self, options: &str) {
        let mounted = std::process::Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(mounted.is_ok_and(|status| status.success()));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

/// Writes, and waits for the answer.
pub fn write(store: &dyn Store, node: &str, changes: Vec<Change>) -> Result<Vec<Kept>, StoreError> {
    let answer = Arc::new(Mutex::new(None));
    let place = answer.clone();
    store.write(Batch { node: node.into(), changes }, Done::new(move |given| *place.lock() = Some(given)));
    let given = answer.lock().take();
    given.expect("an answer before `write` returns")
}

/// One job as it is to be, held for a while.
pub fn change(record: JobRecord, ended: Vec<RunRecord>, hold: Duration) -> Change {
    Change { jobs: vec![JobChange { record, ended, hold, formerly: None }] }
}

pub fn run(job: &str, number: u64, state: RunState) -> RunRecord {
    RunRecord {
        job: job.into(),
        number,
        due: at(number as i64),
        first_missed: at(number as i64),
        folded: 1,
        attempt: 1,
        state,
        late: Duration::ZERO,
        late_by: LateBy::Host,
        took: Duration::ZERO,
        error: None,
        follows: Vec::new(),
    }
}

pub fn ended(job: &str, number: u64, second: i64) -> RunRecord {
    run(job, number, RunState::Ended { started: Some(at(second - 1)), at: at(second), end: RunEnd::Done })
}

/// All that can be read from a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Everything {
    pub jobs: Vec<JobRecord>,
    pub history: Vec<RunRecord>,
}

pub fn everything(store: &dyn Store) -> Result<Everything, StoreError> {
    let mut jobs = Vec::new();
    for name in store.names()? {
        jobs.extend(store.load(&name)?);
    }
    let history = store.history(&HistoryQuery { most: usize::MAX, ..HistoryQuery::default() })?;
    Ok(Everything { jobs, history })
}

pub const NAMES: [&str; 6] = ["quakes", "airports", "a b", "line\nend \\ \"quoted\"", "ü", ""];
pub const NODES: [&str; 3] = ["node-1", "node-2", "Übung"];

fn instant(rng: &mut Rng) -> DateTime<Utc> {
    at(rng.i64(0..40)) + TimeDelta::nanoseconds(*rng.choice(&[0, 0, 0, 1, 999_999_999]).expect("one"))
}

fn maybe<T>(rng: &mut Rng, draw: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    if rng.bool() { Some(draw(rng)) } else { None }
}

fn length(rng: &mut Rng) -> Duration {
    let most = 1 << rng.u32(1..40);
    Duration::from_nanos(rng.u64(0..most))
}

fn letters(rng: &mut Rng, most: usize) -> String {
    (0..rng.usize(0..most)).map(|_| *rng.choice(&['a', 'b', ' ', '\'', '\n', '\u{0}', 'ß']).expect("one")).collect()
}

fn over(rng: &mut Rng) -> RunState {
    let end =
        [RunEnd::Done, RunEnd::Failed, RunEnd::Panicked, RunEnd::TimedOut, RunEnd::Stopped, RunEnd::Lost, RunEnd::AlreadyDone];
    if rng.u8(0..5) == 0 {
        return RunState::CutOff { started: instant(rng), at: instant(rng) };
    }
    RunState::Ended { started: maybe(rng, instant), at: instant(rng), end: *rng.choice(&end).expect("one") }
}

fn not_over(rng: &mut Rng) -> RunState {
    match rng.u8(0..3) {
        0 => RunState::Waiting { from: instant(rng), by_hand: rng.bool() },
        1 => RunState::Started { at: instant(rng) },
        _ => RunState::Again { from: instant(rng) },
    }
}

fn followed(rng: &mut Rng) -> FollowedRun {
    let job = (*rng.choice(&NAMES).expect("one")).into();
    let value = maybe(rng, |rng| (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect());
    FollowedRun { job, number: rng.u64(1..50), due: instant(rng), attempt: rng.u32(1..9), ended: instant(rng), value }
}

pub fn any_run(rng: &mut Rng, job: &str, number: u64, is_over: bool) -> RunRecord {
    use LateBy::*;
    let late = [Host, OtherJobs, Budget, Suspend, ClockStep, Pool, Limit, Rules, Overlap, Retry, Slack, LateBy::Store];
    RunRecord {
        job: job.into(),
        number,
        due: instant(rng),
        first_missed: instant(rng),
        folded: rng.u64(1..1000),
        attempt: rng.u32(1..9),
        state: if is_over { over(rng) } else { not_over(rng) },
        late: length(rng),
        late_by: *rng.choice(&late).expect("one"),
        took: length(rng),
        error: maybe(rng, |rng| letters(rng, 60)),
        follows: (0..rng.usize(0..3)).map(|_| followed(rng)).collect(),
    }
}

/// A job as it may come to be after what is known of it: runs start, end, are put off and dropped.
pub fn next_of(rng: &mut Rng, known: &JobRecord, name: &str) -> (JobRecord, Vec<RunRecord>) {
    let mut record = JobRecord { name: name.into(), held: None, open: Vec::new(), ..known.clone() };
    let mut ended = Vec::new();
    for run in &known.open {
        match rng.u8(0..4) {
            0 => record.open.push(RunRecord { job: name.into(), ..run.clone() }),
            1 => record.open.push(any_run(rng, name, run.number, false)),
            2 => ended.push(any_run(rng, name, run.number, true)),
            _ => {}
        }
    }
    for _ in 0..rng.usize(0..3) {
        record.last_run += 1;
        if rng.bool() {
            record.open.push(any_run(rng, name, record.last_run, false));
        } else {
            ended.push(any_run(rng, name, record.last_run, true));
        }
    }
    record.schedule = letters(rng, 20);
    (record.anchor, record.searched) = (instant(rng), instant(rng));
    (record.missed_until, record.last_due) = (maybe(rng, instant), maybe(rng, instant));
    (record.last_start, record.last_end) = (maybe(rng, instant), maybe(rng, instant));
    (record.failures, record.crashes) = (rng.u32(0..5), rng.u32(..));
    (record.paused, record.runs_left) = (rng.bool(), maybe(rng, |rng| rng.u32(..)));
    record.gathered = (0..rng.usize(0..3)).map(|_| followed(rng)).collect();
    (record, ended)
}

/// Changes for jobs as a store knows them; now and then for jobs as nobody does.
pub fn any_changes(rng: &mut Rng, store: &dyn Store) -> Vec<Change> {
    let mut changes = Vec::new();
    for _ in 0..rng.usize(1..4) {
        let mut names = NAMES.to_vec();
        rng.shuffle(&mut names);
        let mut jobs = Vec::new();
        for _ in 0..rng.usize(1..4) {
            let Some(name) = names.pop() else { break };
            let load = |name: &str| store.load(name).expect("it reads").unwrap_or_else(|| JobRecord::new(name, at(0)));
            let formerly = if rng.u8(0..12) == 0 { names.pop() } else { None };
            let known = load(formerly.unwrap_or(name));
            let (mut record, ended) = next_of(rng, &known, name);
            if rng.u8(0..20) == 0 {
                // An old one, or one that never was; not the next, whose runs would be other ones.
                record.version = if rng.bool() { known.version / 2 } else { known.version + 100 };
            }
            let hold = SECOND * *rng.choice(&[0, 0, 3, 60]).expect("one");
            jobs.push(JobChange { record, ended, hold, formerly: formerly.map(Arc::from) });
        }
        changes.push(Change { jobs });
    }
    changes
}
