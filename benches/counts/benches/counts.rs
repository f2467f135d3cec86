//! How many instructions the main cases take, which does not depend on what else the machine does; each with a bound a little
//! above it, so that a change that costs more is noticed.
//!
//! `cargo bench` in this folder; it needs valgrind, and `gungraun-runner` of the version in Cargo.toml. Whoever makes something
//! cheaper lowers its bound.

use std::hint::black_box;
use std::time::Duration;

use chrono::{DateTime, Utc};
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use punctual::{JobHandle, ManualClock, Schedule, Scheduler};

/// A scheduler on a clock set by hand, with so many jobs that are due together each second.
struct Host {
    clock: ManualClock,
    scheduler: Scheduler,
    jobs: Vec<JobHandle>,
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn host(jobs: usize) -> Host {
    let clock = ManualClock::new(at("2026-03-01T12:00:00Z"));
    let scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).build();
    let mut host = Host { clock, scheduler, jobs: Vec::new() };
    host.jobs = (0..jobs).map(|_| register(&host.scheduler)).collect();
    // The first ones make room.
    for _ in 0..2 {
        fire(&mut host);
    }
    host
}

fn register(scheduler: &Scheduler) -> JobHandle {
    scheduler.every(1).second().do_(|| ()).expect("it registers")
}

fn fire(host: &mut Host) {
    host.clock.advance(Duration::from_secs(1));
    assert_eq!(host.scheduler.run_pending().ran(), host.jobs.len());
}

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    LibraryBenchmarkConfig::default().tool(callgrind).to_owned()
}

// A hundred polls in the same millisecond, and one a millisecond later.
#[library_benchmark]
#[bench::job(args = (1), setup = host, config = at_most(18_500))]
#[bench::jobs_1000(args = (1000), setup = host, config = at_most(18_500))]
fn idle_polls(host: Host) -> Host {
    for _ in 0..100 {
        black_box(host.scheduler.run_pending().left());
    }
    host.clock.advance(Duration::from_millis(1));
    black_box(host.scheduler.run_pending().left());
    host
}

#[library_benchmark]
#[bench::of_1000(args = (1000), setup = host, config = at_most(1_845_000))]
fn fire_all(mut host: Host) -> Host {
    fire(&mut host);
    host
}

#[library_benchmark]
#[bench::of_1000(args = (0), setup = host, config = at_most(4_615_000))]
fn register_1000(host: Host) -> (Host, Vec<JobHandle>) {
    let jobs = (0..1000).map(|_| register(&host.scheduler)).collect();
    (host, jobs)
}

#[library_benchmark]
#[bench::of_10_000(args = (10_000), setup = host, config = at_most(312_000))]
fn cancel_100(host: Host) -> Host {
    for job in host.jobs.iter().step_by(100) {
        assert!(job.cancel());
    }
    host
}

#[library_benchmark]
#[bench::of_10_000(args = (10_000), setup = host, config = at_most(248_000))]
fn pause_and_resume_100(host: Host) -> Host {
    for job in host.jobs.iter().step_by(100) {
        assert!(job.pause() && job.resume());
    }
    host
}

fn in_utc(text: &str) -> Schedule {
    Schedule::cron(text).and_then(|schedule| schedule.tz("UTC")).expect("a schedule")
}

fn in_new_york(text: &str) -> Schedule {
    Schedule::cron(text).and_then(|schedule| schedule.tz("America/New_York")).expect("a schedule")
}

// A hundred occurrences, each from the one before.
#[library_benchmark]
#[bench::weekdays_utc(args = ("0 9 * * 1-5"), setup = in_utc, config = at_most(77_500))]
#[bench::leap_days_utc(args = ("0 0 29 2 *"), setup = in_utc, config = at_most(37_500))]
#[bench::weekdays_new_york(args = ("0 9 * * 1-5"), setup = in_new_york, config = at_most(198_000))]
#[bench::leap_days_new_york(args = ("0 0 29 2 *"), setup = in_new_york, config = at_most(104_000))]
fn occurrences_100(schedule: Schedule) -> Schedule {
    let mut from = at("2026-01-01T00:00:00Z");
    for _ in 0..100 {
        let Some(next) = black_box(schedule.next_after(from)) else { break };
        from = next;
    }
    schedule
}

#[library_benchmark]
#[bench::of_february(args = ("0 0 31 2 *"), setup = in_utc, config = at_most(2_450))]
fn impossible_date(schedule: Schedule) -> Schedule {
    assert_eq!(black_box(schedule.next_after(at("2026-01-01T00:00:00Z"))), None);
    schedule
}

#[library_benchmark]
#[bench::short(args = ("0 9 * * 1-5"), config = at_most(2_800))]
#[bench::long(args = ("0,15,30,45 8-18/2 1-7 JAN,APR,JUL,OCT MON-FRI"), config = at_most(6_800))]
fn parse_cron(text: &str) -> Schedule {
    Schedule::cron(text).expect("a schedule")
}

#[library_benchmark]
#[bench::weekday(args = ("every weekday at 09:00 in Europe/Berlin"), config = at_most(11_200))]
fn parse_words(text: &str) -> Schedule {
    text.parse().expect("a schedule")
}

library_benchmark_group!(name = polls, benchmarks = [idle_polls, fire_all]);
library_benchmark_group!(name = jobs, benchmarks = [register_1000, cancel_100, pause_and_resume_100]);
library_benchmark_group!(name = schedules, benchmarks = [occurrences_100, impossible_date, parse_cron, parse_words]);

main!(library_benchmark_groups = polls, jobs, schedules);
