//! Rest until something is due: how late one wakes up.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use punctual::Scheduler;

use crate::measure::{Case, Contender, Goal, Sample, quantile};

const REST: Duration = Duration::from_millis(5);

/// As many as are worth a p99.
const RESTS: usize = 100;

const SLEEP: &str = "thread::sleep";

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, title: &str, share: f64| {
        let user = "a program that rests in `wait` and plays a sound, or turns on a light, on time";
        let title = format!("`wait` until due in 5 ms: lateness, {title}");
        Case::new(name, title, user, move || contenders(share)).goal(Goal::Times(2.0, SLEEP))
    };
    vec![case("wait-p50", "p50", 0.5), case("wait-p99", "p99", 0.99)]
}

fn contenders(share: f64) -> Vec<Contender> {
    let (mutex, never) = (Mutex::new(()), Condvar::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let scheduler = Scheduler::new();
    vec![
        Contender::floor(SLEEP, lateness(share, || std::thread::sleep(REST))),
        Contender::floor(
            "Condvar with a time limit",
            lateness(share, move || {
                never.wait_for(&mut mutex.lock(), REST);
            }),
        ),
        Contender::peer("tokio's sleep", lateness(share, move || runtime.block_on(async { tokio::time::sleep(REST).await }))),
        Contender::punctual(lateness(share, move || wait_for_a_run(&scheduler))),
    ]
}

/// Registers a job that is due after the rest, and lives until it has run.
fn wait_for_a_run(scheduler: &Scheduler) {
    scheduler.once_after(REST).do_(|| ()).expect("it registers");
    while !scheduler.is_empty() {
        scheduler.wait(Duration::from_secs(1));
        let _ = scheduler.run_pending();
    }
}

/// How much later than asked for one is back.
fn lateness(share: f64, mut rest: impl FnMut()) -> impl FnMut() -> Sample {
    move || {
        let mut late: Vec<f64> = Vec::new();
        for _ in 0..RESTS {
            let due = Instant::now() + REST;
            rest();
            let now = Instant::now();
            if now < due {
                return Err(format!("was back {:?} too early", due - now));
            }
            late.push((now - due).as_nanos() as f64);
        }
        late.sort_by(f64::total_cmp);
        Ok(quantile(&late, share))
    }
}
