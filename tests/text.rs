//! Schedules as text: what is printed reads back as the same value. Texts that nobody printed are for `tests/fuzzed.rs`.
//!
//! `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many and which.

#[path = "oracle/fields.rs"]
mod fields;
#[allow(dead_code)]
#[path = "oracle/plan.rs"]
mod plan;
#[allow(dead_code)]
#[path = "oracle/walk.rs"]
mod walk;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use fastrand::Rng;
use plan::{Plan, utc};
use punctual::{Dialect, Schedule};
use walk::DAY;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {text}")))
}

fn failures(case: impl Fn(&mut Rng) -> Result<(), String>) -> Vec<String> {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 20_000));
    let run = |number: u64| case(&mut Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number));
    let said = |number: u64| run(number).err().map(|error| format!("PUNCTUAL_SEED={seed}, case {number}: {error}"));
    (0..cases).filter_map(said).take(20).collect()
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} cases differ (no more than 20 are looked for):\n{}", failures.len(), failures.join("\n"));
}

fn hash(schedule: &Schedule) -> u64 {
    let mut hasher = DefaultHasher::new();
    schedule.hash(&mut hasher);
    hasher.finish()
}

/// A random schedule that text can say, now and then with options that the calendar oracle has no use for.
fn schedule(rng: &mut Rng) -> Schedule {
    let from = rng.i64(0..130 * 366 * DAY);
    let n = rng.u32(1..50);
    let span =
        |rng: &mut Rng| Duration::from_millis(rng.choice([250, 1_000, 5_000, 90_000, 3_600_000, 5_400_000, 90_061_001]).unwrap());
    match rng.u8(..12) {
        0 => Schedule::once_at(utc(from)),
        1 => Schedule::once_after(span(rng)),
        2 => Schedule::every_period(span(rng)).build().unwrap(),
        3 => Schedule::every(n).to(n + rng.u32(0..30)).minutes().build().unwrap(),
        4 => Schedule::every(n).seconds().after_completion().times(rng.u32(1..9)).build().unwrap(),
        5 => Schedule::every(n).hours().immediately().jitter(span(rng)).slack(span(rng)).build().unwrap(),
        6 => Schedule::every(n).days().at("3:20 pm").until(utc(from)).build().unwrap(),
        7 => Schedule::cron_in(Dialect::Vixie, rng.choice(["0 0 */2 * 1", "5,10 3-9/2 * JAN fri", "*/90 * * * *"]).unwrap())
            .unwrap(),
        _ => loop {
            let plan = Plan::random(rng);
            if plan.has_text {
                break plan.schedule;
            }
        },
    }
}

#[test]
fn what_is_printed_reads_back() {
    report(&failures(|rng| {
        let schedule = schedule(rng);
        let text = schedule.to_string();
        let back: Schedule = text.parse().map_err(|error| format!("`{text}` does not read back: {error}"))?;
        let said = schedule.describe();
        // A dot within a word (a time zone, a fraction) does not end a sentence.
        let sentences = said.trim_end_matches('.').split(". ").count();
        match () {
            () if back != schedule => Err(format!("`{text}` reads back as `{back}`\n{schedule:?}\n{back:?}")),
            () if hash(&back) != hash(&schedule) => Err(format!("`{text}` reads back with another hash")),
            () if back.to_string() != text => Err(format!("`{text}` prints again as `{back}`")),
            () if said.trim().is_empty() || said.contains('\n') || sentences != 1 => {
                Err(format!("`{text}` is described as `{said}`"))
            }
            () => Ok(()),
        }
    }));
}

#[test]
fn a_long_period_reads_back() {
    // More milliseconds than a builder's count holds; found by a mutation.
    let schedule: Schedule = "every 2501 hours 41 minutes 40 seconds 1 millisecond".parse().unwrap();
    assert_eq!(schedule.to_string(), "every 9006100001 milliseconds");
    assert_eq!(schedule.to_string().parse(), Ok(schedule));
}

/// Of four digits a year's date can be read; in other years there is nothing to leave out.
#[test]
fn dates_of_any_year_read_back() {
    for (year, excluded) in
        [(-262_143, ""), (-26, ""), (0, " except on 0000-05-01"), (9999, " except on 9999-05-01"), (12_026, "")]
    {
        let date = chrono::NaiveDate::from_ymd_opt(year, 5, 1).unwrap_or(chrono::NaiveDate::MIN);
        let schedule = Schedule::every(1).day().at("06:00").except_date(date).build().unwrap();
        assert_eq!(schedule.to_string(), format!("every day at 06:00{excluded}"));
        assert_eq!(schedule.to_string().parse(), Ok(schedule));
    }
}
