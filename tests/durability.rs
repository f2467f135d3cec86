//! No occurrence is lost, none is run twice and none too early, whatever befalls the machine.
//!
//! A machine drawn from a seed: a program with some jobs is started, polls, is killed between any two calls of its store, in
//! one of them or in the middle of a job, the machine sleeps, is off, has its clock set, the disk is full for a while, the
//! program is replaced by a newer release, and starts again. Jobs, observers and disk keep a log, apart from the scheduler; in
//! the end it has to show what the documentation promises.
//!
//! `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many machines and which.

#[path = "durability/case.rs"]
mod case;
mod disk;
#[path = "durability/era.rs"]
mod era;
#[path = "durability/followed.rs"]
mod followed;
#[path = "durability/judge.rs"]
mod judge;
#[path = "durability/log.rs"]
mod log;
#[path = "durability/machine.rs"]
mod machine;
#[path = "durability/table.rs"]
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use disk::setting;
use judge::judge;
use log::What;
use machine::Machine;

/// What was lived through.
#[derive(Debug, Default)]
struct Sum {
    lived: Duration,
    boots: u64,
    kills: u64,
    steps: u64,
    polls: u64,
    runs: u64,
}

fn lead(seed: u64, sum: &mut Sum) -> Result<(), String> {
    let mut machine = Machine::drawn(seed);
    let disk = machine.live();
    let world = machine.world();
    sum.lived += machine.lived();
    sum.kills += world.kills;
    sum.polls += world.polls;
    sum.steps += machine.steps;
    sum.boots += world.log.iter().filter(|line| matches!(line.what, What::Boot)).count() as u64;
    sum.runs += world.log.iter().filter(|line| matches!(line.what, What::Began { .. })).count() as u64;
    judge(&machine.jobs, &world.log, &disk, &|job, life| machine.rule_in(job, life))
}

#[test]
fn nothing_is_lost_nothing_is_run_twice_and_nothing_too_early() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 150));
    let mut sum = Sum::default();
    let began = Instant::now();
    let mut led = |seed: &u64| {
        let led = catch_unwind(AssertUnwindSafe(|| lead(*seed, &mut sum)));
        let error = led.unwrap_or_else(|_| Err("it panicked".to_owned())).err();
        for error in error.iter() {
            println!("{error}\n  again: PUNCTUAL_SEED={seed} PUNCTUAL_CASES=1 cargo test --test durability");
        }
        error.is_some()
    };
    let failures = (seed..seed.saturating_add(cases)).filter(&mut led).take(12).count();
    let Sum { lived, boots, kills, steps, polls, runs } = sum;
    let years = lived.as_secs_f64() / (365.25 * 86_400.0);
    let took = began.elapsed();
    println!(
        "{years:.0} machine-years in {took:.0?}: {boots} boots, {kills} kills, {steps} steps of the clock, {polls} polls, {runs} runs"
    );
    assert_eq!(failures, 0, "machines that did not show what is promised");
}
