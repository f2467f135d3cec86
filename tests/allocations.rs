//! What is on a hot path allocates nothing.

use std::hint::black_box;
use std::time::Duration;

use chrono::{DateTime, Utc};
use punctual::{ManualClock, Schedule, Scheduler};

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
