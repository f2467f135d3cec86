//! A day of virtual time at 100,000 jobs, while others come and go all the time: heap, and what a poll costs.
//!
//!     cargo run --release --bin soak -- --hours 24
//!
//! Each virtual second jobs are registered and as many are cancelled; handles of those that went are kept by the hundred
//! thousand. It ends with failure if the heap is larger in the last quarter than in the second, or if a handle keeps more alive
//! than it should.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::Parser;
use punctual::{JobHandle, ManualClock, Scheduler};
use punctual_peers::measure::Figures;

#[derive(Parser)]
#[command(about = "A day of virtual time with jobs that come and go: heap, and what a poll costs")]
struct Arguments {
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(4..))]
    hours: u32,
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    jobs: u32,
    /// Jobs that come, and as many that go, in each virtual second.
    #[arg(long, default_value_t = 50)]
    changes: u32,
    /// Handles of jobs that are gone, which are kept.
    #[arg(long, default_value_t = 200_000)]
    dead: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The second quarter's heap may be exceeded by so much: tables grow in steps, and where they are full is chance.
const GROWTH: f64 = 1.02;

/// What each job's closure owns. A handle that kept it alive would show.
const OWNED: usize = 1024;

/// The most that a handle of a job that is gone may keep alive.
const MOST_BY_DEAD_HANDLE: f64 = 512.0;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut life = Life::new(&arguments);
    let mut heap = held(|| life.fill(arguments.jobs));
    println!("{:>5}  {:>9}  {:>7}  {:>9}  {:>9}  {:>9}  {:>9}", "hour", "heap", "jobs", "dead", "runs", "idle poll", "a run");
    let mut hours = Vec::new();
    for hour in 1..=arguments.hours {
        let mut costs = Costs::default();
        heap += held(|| costs = life.hour(arguments.changes));
        let Costs { runs, idle, firing } = costs;
        println!(
            "{hour:>5}  {:>5.1} MiB  {:>7}  {:>9}  {runs:>9}  {idle:>6.0} ns  {firing:>6.0} ns",
            mebibytes(heap),
            life.scheduler.len(),
            life.dead.len()
        );
        hours.push((heap, idle, firing));
    }
    let owned = life.owned.load(Ordering::Relaxed);
    let dead = life.dead.len();
    let by_dead = -held(|| life.dead = VecDeque::new()) as f64 / dead.max(1) as f64;
    heap -= (by_dead * dead as f64) as i64;
    println!("\n{dead} handles of jobs that are gone: {by_dead:.0} bytes each; {owned} closures of {OWNED} bytes are alive");
    println!("{:.0} bytes a job that is there, {OWNED} of them its closure's own", heap as f64 / f64::from(arguments.jobs));
    verdict(&hours, by_dead, owned, arguments.jobs)
}

fn verdict(hours: &[(i64, f64, f64)], by_dead: f64, owned: u64, jobs: u32) -> ExitCode {
    let quarter = |number: usize| &hours[hours.len() * (number - 1) / 4..hours.len() * number / 4];
    let mean = |number: usize, of: fn(&(i64, f64, f64)) -> f64| {
        quarter(number).iter().map(of).sum::<f64>() / quarter(number).len() as f64
    };
    let heap = |number| quarter(number).iter().map(|(heap, ..)| *heap).max().unwrap_or(0);
    let growth = heap(4) as f64 / heap(2) as f64;
    println!(
        "last quarter beside the second: heap {growth:.3} x, idle poll {:.2} x, a run {:.2} x",
        mean(4, |(_, idle, _)| *idle) / mean(2, |(_, idle, _)| *idle),
        mean(4, |(.., firing)| *firing) / mean(2, |(.., firing)| *firing)
    );
    let mut failures = Vec::new();
    if growth > GROWTH {
        failures.push(format!("the heap grew {growth:.3} x"));
    }
    if by_dead > MOST_BY_DEAD_HANDLE {
        failures.push(format!("a handle of a job that is gone keeps {by_dead:.0} bytes"));
    }
    if owned != u64::from(jobs) {
        failures.push(format!("{owned} closures are alive, of {jobs} jobs"));
    }
    failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// By how many bytes this leaves the heap larger.
fn held(work: impl FnOnce()) -> i64 {
    allocation_counter::measure(work).bytes_current
}

fn mebibytes(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What polls cost, in nanoseconds.
#[derive(Default)]
struct Costs {
    runs: usize,
    /// A poll with nothing due, the median.
    idle: f64,
    /// A run, the mean, of polls in which jobs were due.
    firing: f64,
}

struct Life {
    clock: ManualClock,
    scheduler: Scheduler,
    handles: Vec<JobHandle>,
    dead: VecDeque<JobHandle>,
    most_dead: usize,
    /// Closures that are alive.
    owned: Arc<AtomicU64>,
    draw: fastrand::Rng,
}

impl Life {
    fn new(arguments: &Arguments) -> Life {
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().expect("an instant"));
        let scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).build();
        let draw = fastrand::Rng::with_seed(arguments.seed);
        let owned = Arc::default();
        let (handles, dead) = (Vec::new(), VecDeque::new());
        Life { clock, scheduler, handles, dead, most_dead: arguments.dead, owned, draw }
    }

    fn fill(&mut self, jobs: u32) {
        self.handles = (0..jobs).map(|_| self.register()).collect();
    }

    /// Three in four come every minute to every hour, the rest at a time of day.
    fn register(&mut self) -> JobHandle {
        let payload = Payload::new(&self.owned);
        let when = if self.draw.u8(..4) > 0 {
            self.scheduler.every_period(Duration::from_secs(self.draw.u64(60..=3600)))
        } else {
            self.scheduler.every(1).day().at(format!("{:02}:{:02}", self.draw.u8(..24), self.draw.u8(..60)))
        };
        when.do_(move || payload.look()).expect("it registers")
    }

    fn hour(&mut self, changes: u32) -> Costs {
        let (mut runs, mut idle, mut firing) = (0, Vec::new(), 0.0);
        for _ in 0..3600 {
            (0..changes).for_each(|_| self.change());
            self.clock.advance(Duration::from_secs(1));
            let began = Instant::now();
            runs += self.scheduler.run_pending().ran();
            let between = Instant::now();
            let tick = self.scheduler.run_pending();
            idle.push(between.elapsed().as_nanos() as f64);
            firing += (between - began).as_nanos() as f64;
            assert_eq!(tick.ran(), 0, "it has just run");
        }
        Costs { runs, idle: Figures::of(idle).median, firing: firing / runs.max(1) as f64 }
    }

    /// One goes, and another one comes.
    fn change(&mut self) {
        let place = self.draw.usize(..self.handles.len());
        let new = self.register();
        let old = std::mem::replace(&mut self.handles[place], new);
        assert!(old.cancel(), "it was there");
        self.dead.push_back(old);
        if self.dead.len() > self.most_dead {
            self.dead.pop_front();
        }
    }
}

/// What a job's closure owns: it counts itself.
struct Payload {
    bytes: [u8; OWNED - size_of::<usize>()],
    owned: Arc<AtomicU64>,
}

impl Payload {
    fn new(owned: &Arc<AtomicU64>) -> Payload {
        owned.fetch_add(1, Ordering::Relaxed);
        Payload { bytes: [1; OWNED - size_of::<usize>()], owned: owned.clone() }
    }

    fn look(&self) {
        std::hint::black_box(self.bytes[0]);
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.owned.fetch_sub(1, Ordering::Relaxed);
    }
}
