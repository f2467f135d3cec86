//! Missed occurrences are counted once and, where they can be, without a step for each.

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use punctual::{Missed, Schedule, Trigger};
use world::{MINUTE, World};

/// Parts of unions; some are the same instants in other words, some lie across a change of offset.
const PARTS: [&str; 18] = [
    "every 7 seconds",
    "every 90 minutes",
    "every 1 minute starting at 2026-03-29 00:30:00 UTC",
    "every 1 hour starting at 2026-03-28 12:00:00 UTC",
    "cron * * * * *",
    "cron */20 * * * * *",
    "cron 30 2 * * *",
    "cron 15 */2 * * * in Europe/Berlin",
    "cron 30 2 * * * in Europe/Berlin",
    "cron 30 2 * * * in Europe/Berlin on gap shift",
    "every day at 00:00",
    "every day at 02:00 in Europe/Berlin",
    "every hour at :30",
    "every monday at 01:00",
    "every 10 minutes between 01:00 and 03:30 in Europe/Berlin",
    "cron 0 * * * * except on sunday",
    "(every 5 minutes) or (every day at 01:02)",
    "(cron */10 * * * *) and (cron */15 * * * *)",
];

#[test]
fn a_union_has_as_many_as_one_meets_going_through_it() {
    let mut rng = Rng::with_seed(1);
    for _ in 0..300 {
        let parts: Vec<&str> = (0..rng.usize(2..5)).map(|_| *rng.choice(&PARTS).unwrap()).collect();
        let text = format!("({})", parts.join(") or ("));
        let text =
            format!("{text}{}", rng.choice(["", "", " between 23:30 and 02:30 in Europe/Berlin", " except on sunday"]).unwrap());
        let schedule: Schedule = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        // The clocks go forward in the night to 29 March 2026 and back in the night to 25 October.
        let near: DateTime<Utc> = rng.choice(["2026-03-28T22:00:00Z", "2026-10-24T22:00:00Z"]).unwrap().parse().unwrap();
        let from = near + TimeDelta::milliseconds(rng.i64(0..20_000) * 1000 - rng.i64(0..2) * 500);
        let until = from + TimeDelta::seconds(rng.i64(0..40_000));
        let met = schedule.upcoming(from).take_while(|at| *at <= until).count();
        assert_eq!(schedule.count_between(from, until), met as u64, "{text} from {from} to {until}");
    }
}

#[test]
fn a_union_is_counted_by_its_sparser_part() {
    let asked = Arc::new(AtomicU32::new(0));
    let told = asked.clone();
    let daily: Schedule = "every day at 00:00".parse().unwrap();
    let daily = daily.except_when(move |_| {
        told.fetch_add(1, Ordering::Relaxed);
        false
    });
    let union = daily.or("cron * * * * * *".parse().unwrap());
    let from = "2026-03-01T12:00:00Z".parse().unwrap();
    assert_eq!(union.count_between(from, from + TimeDelta::days(10)), 864_000);
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked < 5_000, "a date was asked about {asked} times for ten days");
}

/// Each minute, and how often it was asked.
struct Minutes(Arc<AtomicU32>);

impl Trigger for Minutes {
    fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        DateTime::from_timestamp((after.timestamp().div_euclid(60) + 1) * 60, 0)
    }

    fn prev_before(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        DateTime::from_timestamp((before - TimeDelta::nanoseconds(1)).timestamp().div_euclid(60) * 60, 0)
    }
}

#[test]
fn a_series_of_missed_runs_is_counted_once() {
    let asked = Arc::new(AtomicU32::new(0));
    let world = World::new();
    let job = world.scheduler.schedule(Minutes(asked.clone())).missed(Missed::RunAll { most: 2_000 }).do_(|| ()).unwrap();
    world.clock.advance(MINUTE * 1_000);
    assert_eq!(world.scheduler.run_pending().ran(), 1_000);
    // One to count, and a few for each run.
    let first = asked.swap(0, Ordering::Relaxed);
    assert!(first < 10_000, "asked {first} times for 1,000 runs");

    // More come while the series goes on: they are counted too, and no more than `most` are run.
    world.clock.advance(MINUTE * 2_500);
    assert_eq!(world.scheduler.run_pending().ran(), 2_000);
    assert_eq!(job.stats().dropped, 500);
}
