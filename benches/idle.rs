//! What a poll costs while nothing is due, and per job when much is: for hosts that poll in a hot loop.

use std::time::{Duration, Instant};

use divan::Bencher;
use punctual::{ManualClock, Scheduler};

fn main() {
    divan::main();
}

/// The floor: one look at the monotonic clock.
#[divan::bench]
fn instant_now() -> Instant {
    Instant::now()
}

/// With jobs that are due in a year or later.
#[divan::bench(args = [1, 1_000, 100_000, 1_000_000])]
fn idle_poll(bencher: Bencher<'_, '_>, jobs: u64) {
    let scheduler = Scheduler::new();
    for job in 0..jobs {
        let period = Duration::from_secs(365 * 86_400 + job);
        scheduler.every_period(period).do_(|| ()).expect("it registers");
    }
    bencher.bench(|| scheduler.run_pending());
}

/// Ten thousand jobs due at once, the figure is for all of them.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn fire_10_000(bencher: Bencher<'_, '_>) {
    let clock = ManualClock::new(chrono::DateTime::UNIX_EPOCH);
    let scheduler = Scheduler::<()>::builder().clock(clock.clone()).zone(chrono::Utc).build();
    for _ in 0..10_000 {
        scheduler.every(1).hour().do_(|| ()).expect("it registers");
    }
    bencher.bench_local(|| {
        clock.advance(Duration::from_secs(3600));
        assert_eq!(scheduler.run_pending().ran(), 10_000);
    });
}
