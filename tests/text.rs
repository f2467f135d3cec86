//! Schedules as text: what is printed reads back as the same value, and no text makes the reader panic or linger.
//!
//! `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many and which; with `PUNCTUAL_TIMED` set, no text may take longer than a
//! millisecond to read (the quickest of five readings counts, so that a busy machine does not).

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
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use fastrand::Rng;
use plan::{Plan, cron_text, utc};
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

/// Words and signs of the grammar, and some that have no place in it.
const DICTIONARY: &[&str] = &[
    "every",
    "minute",
    "minutes",
    "seconds",
    "hours",
    "days",
    "weeks",
    "months",
    "year",
    "monday",
    "weekday",
    "on",
    "the",
    "of",
    "last",
    "2nd",
    "31st",
    "day",
    "month",
    "nearest",
    "at",
    "and",
    "or",
    "(",
    ")",
    ",",
    ":",
    "10:30",
    "24:00",
    ":59",
    "3:20 pm",
    "noon",
    "in",
    "Europe/Berlin",
    "Mars/Olympus",
    "between",
    "except",
    "shifted",
    "to",
    "next",
    "previous",
    "until",
    "2026-12-31",
    "9999-99-99",
    "times",
    "once",
    "with",
    "jitter",
    "slack",
    "aligned",
    "after completion",
    "starting at",
    "immediately",
    "cron",
    "vixie",
    "@daily",
    "@reboot",
    "*",
    "*/5",
    "L",
    "LW",
    "15W",
    "#",
    "1#5",
    "L-3",
    "?",
    "+",
    "-",
    "/",
    "0",
    "1",
    "59",
    "60",
    "2199",
    "2200",
    "4294967296",
    "18446744073709551616",
    "999999999999999999999999999999",
    "-1",
    "1e9",
    "\u{e9}",
    "\u{202e}",
    "\u{0}",
    "\t",
    "\n",
    "\u{1f600}",
    "gap",
    "fold",
    "skip",
    "UTC",
    "+25:00",
    "milliseconds",
    "250 milliseconds",
    "of the month at",
];

/// A text near the grammar: one that is right, changed a few times.
fn mutated(rng: &mut Rng) -> String {
    let mut bytes = if rng.u8(..4) == 0 { format!("cron {}", cron_text(rng)) } else { schedule(rng).to_string() }.into_bytes();
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(0..=bytes.len());
        let word = *rng.choice(DICTIONARY).unwrap();
        match rng.u8(..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, format!(" {word} ").bytes())),
            3 => drop(bytes.splice(at..at, word.bytes())),
            4 => {
                let to = rng.usize(at..=bytes.len());
                let part = bytes[at..to].repeat(rng.choice([1, 2, 10, 100]).unwrap());
                bytes.splice(at..at, part);
            }
            5 => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let mut words: Vec<&str> = text.split(' ').collect();
                let (a, b) = (rng.usize(..words.len()), rng.usize(..words.len()));
                words.swap(a, b);
                bytes = words.join(" ").into_bytes();
            }
            6 => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let mut words: Vec<&str> = text.split(' ').collect();
                let a = rng.usize(..words.len());
                words[a] = word;
                bytes = words.join(" ").into_bytes();
            }
            _ => drop(bytes.splice(at..at, rng.u64(..).to_string().bytes())),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_text_panics() {
    let timed = std::env::var_os("PUNCTUAL_TIMED").is_some();
    report(&failures(|rng| {
        let text = mutated(rng);
        let cron = text.strip_prefix("cron ").unwrap_or(&text).to_owned();
        let outcome = catch_unwind(|| {
            let read = text.parse::<Schedule>();
            let others = [Schedule::cron(&cron), Schedule::cron_in(Dialect::Vixie, &cron)];
            for result in others.iter().chain([&read]) {
                match result {
                    Ok(schedule) => drop((schedule.to_string(), schedule.describe(), schedule.next_after(utc(0)))),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
        });
        outcome.map_err(|_| format!("{text:?} panics"))?;
        if timed {
            let reading = |text: &str| {
                let start = Instant::now();
                let _ = std::hint::black_box(text.parse::<Schedule>());
                start.elapsed()
            };
            let quickest = (0..5).map(|_| reading(&text)).min().unwrap();
            if quickest > Duration::from_millis(1) {
                return Err(format!("{} bytes take {quickest:?}: {text:?}", text.len()));
            }
        }
        Ok(())
    }));
}

#[test]
fn a_value_that_reads_from_a_mutated_text_prints_and_reads_back() {
    report(&failures(|rng| {
        let Ok(schedule) = mutated(rng).parse::<Schedule>() else { return Ok(()) };
        let text = schedule.to_string();
        match text.parse::<Schedule>() {
            Ok(back) if back == schedule => Ok(()),
            Ok(back) => Err(format!("`{text}` reads back as `{back}`")),
            Err(error) => Err(format!("`{text}` does not read back: {error}")),
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
