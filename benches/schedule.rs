//! What the next occurrence costs: for schedulers with many jobs, and for calendars that list what is to come.

use chrono::{DateTime, Utc};
use divan::{Bencher, black_box};
use punctual::Schedule;

fn main() {
    divan::main();
}

const TEXTS: [&str; 9] = [
    "every 5 minutes",
    "every day at 10:30",
    "every day at 10:30 in America/New_York",
    "every 2nd tuesday of the month at 10:30",
    "cron 0 9 * * 1-5",
    "cron 0 9 * * 1-5 in America/New_York",
    "cron */5 * * * * in America/New_York",
    "cron 0 0 29 2 *",
    "cron 0 0 31 2 *",
];

/// From one occurrence to the next; an impossible date from the same instant each time.
#[divan::bench(args = TEXTS)]
fn next_after(bencher: Bencher<'_, '_>, text: &str) {
    let schedule: Schedule = text.parse().expect(text);
    let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("an instant");
    let mut at = start;
    bencher.bench_local(|| {
        at = schedule.next_after(black_box(at)).unwrap_or(start);
        at
    });
}

#[divan::bench(args = ["0 9 * * 1-5", "*/15 9-17 1,15 */2 MON-FRI"])]
fn parse_cron(text: &str) -> Schedule {
    Schedule::cron(black_box(text)).expect(text)
}
