//! What a store costs a host: polls of a scheduler whose named jobs are kept, beside bare rusqlite that writes the same rows in
//! one transaction, in the same run.
//!
//! `cargo bench --bench poll`; with `-- due 100` for that many jobs only, with `-- million` also how a file grows over a million
//! runs of which the last few are kept; with `-- idle with 100000` (or `without`) nothing but so many idle polls, for tools that
//! count instructions.

mod floor;

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use floor::{Floor, Rows, micros};
use punctual::{Durability, HistoryQuery, ManualClock, Scheduler, SqliteStore, Store};

fn main() {
    let folder = std::env::temp_dir().join(format!("punctual-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "idle") {
        let polls = arguments.get(place + 2).and_then(|text| text.parse().ok()).expect("how many polls");
        only_idle(&folder, arguments[place + 1] == "with", polls);
    } else {
        let given = arguments.iter().position(|argument| argument == "due").and_then(|place| arguments.get(place + 1));
        match given {
            Some(due) => loaded(&folder, &[due.parse().expect("how many jobs")]),
            None => {
                loaded(&folder, &[1, 10, 100, 1000]);
                idle(&folder);
            }
        }
        if arguments.iter().any(|argument| argument == "million") {
            million(&folder);
        }
    }
    std::fs::remove_dir_all(&folder).expect("it goes");
}

const PERIOD: Duration = Duration::from_secs(300);

/// A scheduler on a manual clock, with so many named jobs that are due together.
struct Jobs {
    clock: ManualClock,
    scheduler: Scheduler,
    many: usize,
}

impl Jobs {
    fn new(many: usize, period: Duration, store: Option<SqliteStore>) -> Jobs {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000));
        let builder = Scheduler::<()>::builder().clock(clock.clone()).zone(Utc);
        let scheduler = store.into_iter().fold(builder, |builder, store| builder.store(store)).build();
        for job in 0..many {
            scheduler.every_period(period).named(format!("job {job:04}")).do_(|| ()).expect("it registers");
        }
        let jobs = Jobs { clock, scheduler, many };
        jobs.settle();
        jobs
    }

    fn settle(&self) {
        while self.scheduler.run_pending().next() == Some(Duration::ZERO) {}
    }

    /// All jobs come due, and are run in one poll. Gives how many microseconds it took.
    #[inline(never)]
    fn poll(&self) -> f64 {
        self.clock.advance(PERIOD);
        micros(|| assert_eq!(self.scheduler.run_pending().ran(), self.many))
    }

    /// A poll that has nothing to do but to write how they ended.
    #[inline(never)]
    fn poll_after(&self) -> f64 {
        micros(|| assert_eq!(self.scheduler.run_pending().ran(), 0))
    }
}

fn open(folder: &Path, name: &str, durability: Durability) -> SqliteStore {
    SqliteStore::options().durability(durability).open(folder.join(name)).expect("it opens")
}

/// Some of many, in order.
struct Times(Vec<f64>);

impl Times {
    fn of(mut times: Vec<f64>) -> Times {
        times.sort_by(f64::total_cmp);
        Times(times)
    }

    fn at(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

/// As many polls as are worth a p99.
fn repeats(due: usize) -> usize {
    (40_000 / due).clamp(100, 2000)
}

fn loaded(folder: &Path, due: &[usize]) {
    println!("a poll in microseconds, and how many times the floor's it is; occurrences a second by the means");
    println!("`starts`: the poll in which jobs come due and run; `ends`: the next one, which writes how they ended;");
    println!("`both`: jobs come due at each poll, so that one transaction has the ends of the last and the starts of this one.");
    println!("`no store`: the poll in which the same jobs come due and run, and nothing is kept");
    println!(
        "{:<8} {:>5} {:<7} {:>9} {:>9}   {:>9} {:>9}   {:>5} {:>5}   {:>9} {:>9}   {:>9}",
        "level", "due", "writes", "p50", "p99", "floor p50", "p99", "x p50", "x p99", "occ/s", "floor", "no store"
    );
    for durability in [Durability::Process, Durability::Power] {
        for due in due {
            compare(folder, durability, *due);
        }
    }
}

fn compare(folder: &Path, durability: Durability, due: usize) {
    let named = |name: &str| format!("{name}-{durability:?}-{due}.db");
    let without = Jobs::new(due, PERIOD, None);
    let kept = Jobs::new(due, PERIOD, Some(open(folder, &named("apart"), durability)));
    let mut apart = Floor::open(&folder.join(named("apart-floor")), durability, due);
    let steady = Jobs::new(due, PERIOD, Some(open(folder, &named("steady"), durability)));
    let mut both = Floor::open(&folder.join(named("steady-floor")), durability, due);
    let mut times: [[Vec<f64>; 2]; 3] = Default::default();
    let mut bare = Vec::new();
    // The first ones prepare statements and make room.
    const WARM: u64 = 5;
    for number in 1..=repeats(due) as u64 + WARM {
        // One after the other, so that whatever the disk does befalls all.
        let round = [
            [kept.poll(), apart.write(number, Rows::Starts)],
            [kept.poll_after(), apart.write(number, Rows::Ends)],
            [steady.poll(), both.write(number, Rows::Both)],
        ];
        let alone = without.poll();
        if number > WARM {
            bare.push(alone);
            for (times, round) in times.iter_mut().zip(round) {
                times.iter_mut().zip(round).for_each(|(times, time)| times.push(time));
            }
        }
    }
    let [starts, ends, both] = times.map(|times| times.map(Times::of));
    let bare = Times::of(bare);
    let apart = [0, 1].map(|which| starts[which].mean() + ends[which].mean());
    let steady = [0, 1].map(|which| both[which].mean());
    for (what, [poll, floor], means) in [("starts", &starts, None), ("ends", &ends, Some(apart)), ("both", &both, Some(steady))] {
        let [p50, p99] = [50, 99].map(|percent| (poll.at(percent), floor.at(percent)));
        // Of starts and ends written apart, those of both transactions together.
        let rate = |which: usize| means.map_or(String::new(), |means| format!("{:.0}", due as f64 * 1e6 / means[which]));
        println!(
            "{:<8} {due:>5} {what:<7} {:>9.1} {:>9.1}   {:>9.1} {:>9.1}   {:>5.2} {:>5.2}   {:>9} {:>9}   {:>9}",
            format!("{durability:?}"),
            p50.0,
            p99.0,
            p50.1,
            p99.1,
            p50.0 / p50.1,
            p99.0 / p99.1,
            rate(0),
            rate(1),
            if what == "starts" { format!("{:.1}", bare.at(50)) } else { String::new() }
        );
    }
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn idle_jobs(folder: &Path, many: usize, with: bool) -> Scheduler {
    let store = with.then(|| open(folder, &format!("idle-{many}.db"), Durability::Power));
    let builder = Scheduler::<()>::builder();
    let scheduler = store.into_iter().fold(builder, |builder, store| builder.store(store)).build();
    for job in 0..many {
        scheduler.every_period(YEAR).named(format!("job {job:04}")).do_(|| ()).expect("it registers");
    }
    while scheduler.run_pending().next() == Some(Duration::ZERO) {}
    scheduler
}

fn idle(folder: &Path) {
    println!("\nan idle poll in nanoseconds, median of 1000 times 1000, with and without a store");
    for many in [1, 1000] {
        let schedulers = [true, false].map(|with| idle_jobs(folder, many, with));
        let mut times: [Vec<f64>; 2] = Default::default();
        for _ in 0..1000 {
            for (scheduler, times) in schedulers.iter().zip(&mut times) {
                let start = Instant::now();
                (0..1000).for_each(|_| poll_idly(scheduler));
                times.push(start.elapsed().as_nanos() as f64 / 1000.0);
            }
        }
        let [with, without] = times.map(Times::of);
        println!("  {many:>5} jobs: {:.1} / {:.1} = {:.3}", with.at(50), without.at(50), with.at(50) / without.at(50));
    }
}

fn poll_idly(scheduler: &Scheduler) {
    let _ = std::hint::black_box(scheduler.run_pending());
}

fn only_idle(folder: &Path, with: bool, polls: usize) {
    let scheduler = idle_jobs(folder, 1000, with);
    (0..polls).for_each(|_| poll_idly(&scheduler));
}

/// A million runs of which the last ten of each job are kept.
fn million(folder: &Path) {
    const JOBS: usize = 1000;
    const KEPT: u64 = 10;
    let path = folder.join("million.db");
    let store = SqliteStore::options().durability(Durability::Process).keep_last(KEPT).open(&path).expect("it opens");
    let jobs = Jobs::new(JOBS, PERIOD, Some(store.clone()));
    println!(
        "\na million runs of {JOBS} jobs, the last {KEPT} of each kept: runs so far, MiB of the file and of its log, a poll's"
    );
    println!("median, p99 and longest in milliseconds");
    let mebibytes = |ending: &str| {
        let mut name = path.clone().into_os_string();
        name.push(ending);
        std::fs::metadata(name).map_or(0.0, |data| data.len() as f64 / (1 << 20) as f64)
    };
    for hundred in 1..=10 {
        let times = Times::of((0..100_000 / JOBS).map(|_| jobs.poll()).collect());
        println!(
            "  {:>7}  {:>6.2} {:>6.2}  {:>6.1} {:>6.1} {:>6.1}",
            hundred * 100_000,
            mebibytes(""),
            mebibytes("-wal"),
            times.at(50) / 1e3,
            times.at(99) / 1e3,
            times.at(100) / 1e3
        );
    }
    jobs.settle();
    let all = HistoryQuery { most: usize::MAX, ..HistoryQuery::default() };
    assert_eq!(store.history(&all).expect("it reads").len(), JOBS * KEPT as usize);
    store.check().expect("it is whole");
}
