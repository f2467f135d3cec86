//! What is on a hot path allocates nothing, and reads no clock that it does not need.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use punctual::{Clock, ManualClock, Schedule, Scheduler};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn allocations(work: impl FnMut()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn an_idle_poll_allocates_nothing() {
    for jobs in [1, 1000] {
        let clock = ManualClock::new(at("2026-03-01T00:00:00Z"));
        let scheduler = Scheduler::<()>::builder().clock(clock.clone()).zone(Utc).build();
        for job in 0..jobs {
            scheduler.every(1 + job % 7).hours().do_(|| ()).expect("it registers");
            scheduler.every(1).day().at("10:30").tz("Europe/Berlin").do_(|| ()).expect("it registers");
        }
        let polls = allocations(|| {
            for _ in 0..100 {
                clock.advance(Duration::from_millis(10));
                assert_eq!(black_box(scheduler.run_pending()).ran(), 0);
            }
        });
        assert_eq!(polls, 0, "{jobs} jobs");
    }
}

#[test]
fn firing_an_interval_job_that_returns_nothing_allocates_nothing() {
    let clock = ManualClock::new(at("2026-03-01T00:00:00Z"));
    let scheduler = Scheduler::<()>::builder().clock(clock.clone()).zone(Utc).build();
    for _ in 0..100 {
        scheduler.every(5).minutes().do_(|| ()).expect("it registers");
    }
    let poll = || {
        clock.advance(Duration::from_secs(300));
        assert_eq!(black_box(scheduler.run_pending()).ran(), 100);
    };
    // The first run makes room for those after it.
    poll();
    assert_eq!(allocations(|| (0..10).for_each(|_| poll())), 0);
}

/// A clock that counts how often each of its hands is looked at.
#[derive(Clone)]
struct Counting {
    clock: ManualClock,
    wall: Arc<AtomicU32>,
    monotonic: Arc<AtomicU32>,
}

impl Clock for Counting {
    fn wall(&self) -> DateTime<Utc> {
        self.wall.fetch_add(1, Ordering::Relaxed);
        self.clock.wall()
    }

    fn monotonic(&self) -> Duration {
        self.monotonic.fetch_add(1, Ordering::Relaxed);
        Clock::monotonic(&self.clock)
    }

    fn boot(&self) -> Option<Duration> {
        self.clock.boot()
    }
}

#[test]
fn a_poll_soon_after_an_idle_one_reads_one_clock() {
    let clock = ManualClock::new(at("2026-03-01T00:00:00Z"));
    let counting = Counting { clock: clock.clone(), wall: Arc::default(), monotonic: Arc::default() };
    let scheduler = Scheduler::<()>::builder().clock(counting.clone()).zone(Utc).build();
    let job = scheduler.every(300).milliseconds().do_(|| ()).expect("it registers");
    let reads = |expected: (u32, u32), ran: usize, what: &str| {
        let before = (counting.wall.load(Ordering::Relaxed), counting.monotonic.load(Ordering::Relaxed));
        let tick = scheduler.run_pending();
        let after = (counting.wall.load(Ordering::Relaxed), counting.monotonic.load(Ordering::Relaxed));
        assert_eq!((after.0 - before.0, after.1 - before.1, tick.ran(), tick.left()), (expected.0, expected.1, ran, 1), "{what}");
        tick.next().expect("a job is to come")
    };
    let microseconds = |count: u64| clock.advance(Duration::from_micros(count));
    assert_eq!(reads((1, 1), 0, "the first"), Duration::from_millis(300));
    microseconds(400);
    assert_eq!(reads((1, 0), 0, "a little later"), Duration::from_micros(299_600));
    microseconds(600);
    reads((1, 1), 0, "after a millisecond");
    clock.step(chrono::TimeDelta::microseconds(-1));
    reads((1, 1), 0, "set back");
    let other = scheduler.every(100).milliseconds().do_(|| ()).expect("it registers");
    let tick = scheduler.run_pending();
    assert_eq!((tick.left(), tick.next()), (2, Some(Duration::from_millis(100))), "somebody has come");
    assert!(other.cancel());
    assert!(reads((1, 0), 0, "and has gone") > Duration::from_millis(298));
    assert!(job.pause());
    assert_eq!((scheduler.run_pending().left(), scheduler.run_pending().next()), (0, None), "paused");
    assert!(job.run_now() || job.resume());
    reads((1, 0), 0, "resumed");
    microseconds(298_500);
    reads((1, 1), 0, "half a millisecond before it is due");
    microseconds(200);
    reads((1, 0), 0, "not due yet");
    microseconds(300);
    let before = job.stats().runs;
    let _ = scheduler.run_pending();
    assert_eq!(job.stats().runs, before + 1, "what a poll saw does not hold beyond what is due");
}

#[test]
fn asking_a_schedule_allocates_nothing() {
    let texts = [
        "every 5 minutes",
        "every 5 to 10 minutes",
        "every 10 minutes aligned between 22:00 and 06:00",
        "every 3 hours at :15 and :45",
        "every day at 02:30 and 17:00",
        "every 3 days at 12:00 starting at 2026-01-01 00:00:00 UTC",
        "every 2 weeks on monday at 09:00",
        "every 2nd tuesday of the month at 10:30",
        "every day at 09:00 except on sunday and 2026-12-25 shifted to the next day",
        "cron 0 9 * * 1-5",
        "cron */5 * * * *",
        "cron 0 0 29 2 *",
        "cron 0 0 31 2 *",
        "(every day at 09:00) or (every monday at 17:30)",
        "(cron */5 * * * *) and (every day at 09:00)",
        "once at 2026-12-24 18:00:00 UTC",
    ];
    let (from, to) = (at("2026-03-28T12:00:00Z"), at("2026-11-01T12:00:00Z"));
    for text in texts {
        for zone in ["UTC", "Europe/Berlin"] {
            let schedule: Schedule = text.parse::<Schedule>().and_then(|schedule| schedule.tz(zone)).expect(text);
            let asked = allocations(|| {
                black_box(schedule.upcoming(from).take(50).count());
                black_box(schedule.next_after(from));
                black_box(schedule.prev_before(to));
                black_box(schedule.count_between(from, to));
            });
            assert_eq!(asked, 0, "{text} in {zone}");
        }
    }
}
