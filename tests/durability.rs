//! No occurrence is lost and none is run twice, whenever the process ends.
//!
//! A machine drawn from a seed: a program with some jobs is started, polls, is killed between any two calls of its store or in
//! the middle of a job, the machine sleeps, and the program starts again. The jobs keep a log of their own, apart from the
//! store; in the end it has to show what each job was promised.
//!
//! `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many machines and which.

mod disk;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use disk::{Disk, each_in_one, ended, follows_once, setting};
use punctual::{Batch, Done, Event, ManualClock, MemoryStore, RunState, RunView, Scheduler, Store};

const SECOND: i64 = 1_000_000_000;

/// The process, and how many calls of its store it will live to see.
struct Process {
    alive: AtomicBool,
    calls_left: AtomicU32,
    /// Whether the last call reached the disk.
    reaches: bool,
}

impl Process {
    fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    fn die(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}

/// The way to the disk, while the process lives.
fn disk(store: &MemoryStore, process: &Arc<Process>) -> impl Store + use<> {
    let (store, process) = (store.clone(), process.clone());
    let way = move |store: &MemoryStore, batch: Batch, done: Done| {
        if !process.is_alive() {
            return;
        }
        if process.calls_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            process.die();
            if !process.reaches {
                return;
            }
        }
        store.write(batch, done);
    };
    Disk { store, way }
}

/// A job of the program.
#[derive(Clone)]
struct Spec {
    name: String,
    /// In seconds; `None` if it follows the one before.
    every: Option<u64>,
    again: bool,
    retry: bool,
    takes: u64,
    background: bool,
}

/// What a job wrote down itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    first: i64,
    due: i64,
    folded: u64,
    number: u64,
    attempt: u32,
    ended: bool,
    failed: bool,
}

type Log = Arc<Mutex<BTreeMap<String, Vec<Entry>>>>;

struct Machine {
    rng: fastrand::Rng,
    clock: ManualClock,
    store: MemoryStore,
    specs: Vec<Spec>,
    log: Log,
    told: Arc<Mutex<BTreeMap<String, (u64, u64)>>>,
}

impl Machine {
    fn drawn(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let clock = ManualClock::new(DateTime::from_timestamp(1_772_000_000, 0).unwrap());
        let count = rng.usize(1..6);
        let specs = (0..count).map(|number| Spec {
            name: format!("job {number}"),
            every: (number == 0 || rng.u8(..10) < 7).then(|| [1, 2, 5, 60, 3600][rng.usize(..5)]),
            again: rng.bool(),
            retry: rng.u8(..10) < 3,
            takes: [0, 0, 1, 3][rng.usize(..4)],
            background: rng.u8(..10) < 3,
        });
        let specs = specs.collect();
        let store = MemoryStore::new(clock.clone());
        Machine { rng, clock, store, specs, log: Log::default(), told: Arc::default() }
    }

    /// One life of the program.
    fn live(&mut self) {
        let calls_left = AtomicU32::new(self.rng.u32(1..40));
        let process = Arc::new(Process { alive: AtomicBool::new(true), calls_left, reaches: self.rng.bool() });
        let disk = disk(&self.store, &process);
        let held: Arc<Mutex<Vec<punctual::Work>>> = Arc::default();
        let hold = held.clone();
        let executor = move |work| {
            hold.lock().unwrap().push(work);
            Ok(())
        };
        let mut builder = Scheduler::builder().clock(self.clock.clone()).zone(Utc).store(disk).executor(executor);
        if self.rng.bool() {
            builder = builder.budget(Duration::from_secs(2));
        }
        let scheduler: Scheduler = builder.build();
        let (told, alive) = (self.told.clone(), process.clone());
        scheduler.on_event(move |event| {
            let mut told = told.lock().unwrap();
            match event {
                Event::CutOff { name: Some(name), .. } if alive.is_alive() => told.entry(name.to_string()).or_default().0 += 1,
                Event::Dropped { name: Some(name), occurrences, .. } if alive.is_alive() => {
                    told.entry(name.to_string()).or_default().1 += occurrences;
                }
                _ => {}
            }
        });
        self.register(&scheduler, &process);
        for _ in 0..self.rng.u32(1..60) {
            if !process.is_alive() {
                break;
            }
            match self.rng.u8(..10) {
                0 => self.clock.suspend(Duration::from_secs(self.rng.u64(1..7200))),
                1 => self.clock.advance(Duration::from_millis(self.rng.u64(1..1000))),
                _ => self.clock.advance(Duration::from_secs(self.rng.u64(1..10))),
            }
            let _ = scheduler.run_pending();
            while process.is_alive() {
                let Some(work) = held.lock().unwrap().pop() else { break };
                work.run();
            }
        }
        if process.is_alive() && self.rng.bool() {
            // It ends as it should: what it knows is written.
            let _ = scheduler.run_pending();
            let _ = scheduler.shutdown(Duration::ZERO);
            drop(scheduler);
        }
        process.die();
        held.lock().unwrap().clear();
    }

    fn register(&mut self, scheduler: &Scheduler, process: &Arc<Process>) {
        let mut before: Option<punctual::JobHandle> = None;
        for spec in self.specs.clone() {
            let (log, clock, process, work) = (self.log.clone(), self.clock.clone(), process.clone(), spec.clone());
            let dies = Mutex::new(fastrand::Rng::with_seed(self.rng.u64(..)));
            let called = move |run: &RunView| -> Result<(), String> {
                if !process.is_alive() {
                    return Ok(());
                }
                let nanos = |at: DateTime<Utc>| at.timestamp_nanos_opt().unwrap();
                let fails = work.retry && dies.lock().unwrap().u8(..10) < 3;
                let entry = Entry {
                    first: nanos(run.first_missed()),
                    due: nanos(run.due()),
                    folded: run.folded(),
                    number: run.number(),
                    attempt: run.attempt(),
                    ended: false,
                    failed: fails,
                };
                log.lock().unwrap().entry(work.name.clone()).or_default().push(entry);
                clock.advance(Duration::from_secs(work.takes));
                if dies.lock().unwrap().u8(..40) == 0 {
                    process.die();
                    return Ok(());
                }
                log.lock().unwrap().get_mut(&work.name).unwrap().last_mut().unwrap().ended = true;
                if fails { Err("an error".to_owned()) } else { Ok(()) }
            };
            macro_rules! said {
                ($job:expr) => {{
                    let mut job = $job.named(spec.name.clone());
                    if spec.again {
                        job = job.at_least_once();
                    }
                    if spec.retry {
                        job = job.retry(2).backoff(punctual::Backoff::constant(Duration::from_secs(1)));
                    }
                    job
                }};
            }
            let job = match (spec.every, &before) {
                (None, Some(before)) if spec.background => {
                    said!(scheduler.following(before)).background().do_with(move |run, ()| called(run))
                }
                (None, Some(before)) => said!(scheduler.following(before)).do_with(move |run, ()| called(run)),
                (every, _) => {
                    let job = scheduler.every_period(Duration::from_secs(every.unwrap_or(1)));
                    if spec.background {
                        said!(job).background().do_with(called)
                    } else {
                        said!(job).do_with(move |run| called(run))
                    }
                }
            };
            before = Some(job.unwrap());
        }
    }

    /// What the log has to show in the end, when all that was left was done.
    fn judge(&self) -> Result<(), String> {
        let log = self.log.lock().unwrap();
        let told = self.told.lock().unwrap();
        let empty = Vec::new();
        for (number, spec) in self.specs.iter().enumerate() {
            let entries = log.get(&spec.name).unwrap_or(&empty);
            let (cut_off, dropped) = told.get(&spec.name).copied().unwrap_or_default();
            let history = ended(&self.store, &spec.name)?;
            let mut starts: BTreeMap<u64, Vec<&Entry>> = BTreeMap::new();
            for entry in entries {
                starts.entry(entry.number).or_default().push(entry);
            }
            // Each run has one number, and each attempt of it is made once.
            for (run, attempts) in &starts {
                let numbers: Vec<u32> = attempts.iter().map(|entry| entry.attempt).collect();
                if !numbers.windows(2).all(|pair| pair[0] < pair[1]) {
                    return Err(format!("{}: run {run} had the attempts {numbers:?}", spec.name));
                }
                let last = attempts.len() - 1;
                if !spec.again && attempts[..last].iter().any(|entry| !entry.ended) {
                    return Err(format!("{}: run {run} was cut off and run again", spec.name));
                }
                if spec.again && !attempts[last].ended {
                    return Err(format!("{}: run {run} was cut off and not run again", spec.name));
                }
            }
            // Each success is followed once.
            if let (None, Some(before)) = (spec.every, number.checked_sub(1).and_then(|before| self.specs.get(before))) {
                follows_once(&self.store, &spec.name, &before.name)?;
            }
            let Some(every) = spec.every.or((number == 0).then_some(1)) else { continue };
            // Each occurrence belongs to one run.
            let mut ranges: Vec<(i64, i64, u64)> =
                starts.values().map(|attempts| (attempts[0].first, attempts[0].due, attempts[0].folded)).collect();
            // One that was cut off after its start was written, and before it began, is in the history only.
            ranges.extend(history.iter().filter(|run| !starts.contains_key(&run.number)).map(|run| {
                let nanos = |at: DateTime<Utc>| at.timestamp_nanos_opt().unwrap();
                (nanos(run.first_missed), nanos(run.due), run.folded)
            }));
            if let Some((run, first, last)) = each_in_one(&spec.name, ranges)? {
                let due = ((last - first) / (every as i64 * SECOND) + 1) as u64;
                // What overlapped with a run or its retry was dropped, and told unless the process ended with the word.
                if !spec.retry && !spec.background && run != due {
                    return Err(format!("{}: {run} of {due} occurrences, {dropped} dropped", spec.name));
                }
            }
            let left = history.iter().filter(|run| matches!(run.state, RunState::CutOff { .. })).count() as u64;
            // A process that ends before that is written leaves it to the next one to tell of it again.
            if !spec.again && left > cut_off {
                return Err(format!("{}: {left} cut off in the history, {cut_off} told", spec.name));
            }
        }
        Ok(())
    }
}

fn lives(seed: u64) -> Result<(), String> {
    let mut machine = Machine::drawn(seed);
    for _ in 0..machine.rng.u32(2..12) {
        machine.live();
        match machine.rng.u8(..4) {
            0 => {}
            1 => machine.clock.suspend(Duration::from_secs(machine.rng.u64(1..60))),
            _ => machine.clock.suspend(Duration::from_secs(machine.rng.u64(1..200_000))),
        }
    }
    // The last life does what is left, and nothing befalls it.
    let process = Arc::new(Process { alive: AtomicBool::new(true), calls_left: AtomicU32::new(u32::MAX), reaches: true });
    let disk = disk(&machine.store, &process);
    let calm = |work: punctual::Work| {
        work.run();
        Ok(())
    };
    let scheduler: Scheduler = Scheduler::builder().clock(machine.clock.clone()).zone(Utc).store(disk).executor(calm).build();
    let told = machine.told.clone();
    scheduler.on_event(move |event| {
        if let Event::CutOff { name: Some(name), .. } = event {
            told.lock().unwrap().entry(name.to_string()).or_default().0 += 1;
        }
    });
    machine.rng = fastrand::Rng::with_seed(7);
    machine.register(&scheduler, &process);
    for _ in 0..50 {
        let _ = scheduler.run_pending();
        machine.clock.advance(Duration::from_millis(300));
        if !process.is_alive() {
            return Ok(());
        }
    }
    drop(scheduler);
    machine.judge()
}

#[test]
fn nothing_is_lost_and_nothing_is_run_twice() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 2_000));
    let failures: Vec<String> = (seed..seed.saturating_add(cases))
        .filter_map(|seed| lives(seed).err().map(|error| format!("seed {seed}: {error}")))
        .take(5)
        .collect();
    assert!(failures.is_empty(), "{}\nagain: PUNCTUAL_SEED=n PUNCTUAL_CASES=1 cargo test --test durability", failures.join("\n"));
}
