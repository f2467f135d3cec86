//! The calendar engine against an oracle that walks through time.
//!
//! Random schedules in random zones, half of them near a change of offset. `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how
//! many and which; a difference prints the line that shows it again.

#[path = "oracle/fields.rs"]
mod fields;
#[path = "oracle/plan.rs"]
mod plan;
#[path = "oracle/walk.rs"]
mod walk;

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use plan::{Plan, utc};
use walk::DAY;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {text}")))
}

/// What is known of a stretch of time: every occurrence from `low` to before `high`.
struct Known {
    low: i64,
    high: i64,
    runs: Vec<i64>,
}

impl Known {
    /// Walks forward until some occurrences are found, and backward by longer and longer stretches.
    fn around(plan: &Plan, reach: i64) -> Known {
        let (from, mut steps) = (plan.from, 6_000);
        let (mut runs, high) = plan.tree.walk(from, from + reach, 4, &mut steps);
        let (mut low, mut stretch, mut steps) = (from, 60, 6_000);
        while low > from - reach && runs.first().is_none_or(|first| *first >= from) {
            let start = low - stretch;
            let (before, reached) = plan.tree.walk(start, low, usize::MAX, &mut steps);
            if reached < low {
                break;
            }
            runs.splice(0..0, before);
            (low, stretch) = (start, stretch * 6);
        }
        Known { low, high, runs }
    }

    fn next_after(&self, t: i64) -> Option<i64> {
        self.runs.iter().copied().find(|run| *run > t)
    }

    fn prev_before(&self, t: i64) -> Option<i64> {
        self.runs.iter().rev().copied().find(|run| *run < t)
    }
}

/// An instant within the known stretch; often on an occurrence or a second beside one.
fn instant(rng: &mut Rng, known: &Known) -> i64 {
    let near = rng.choice(&known.runs).copied();
    let t = match near {
        Some(run) if rng.u8(..4) > 0 => run + rng.i64(-1..2),
        _ => rng.i64(known.low..known.high),
    };
    t.clamp(known.low, known.high - 1)
}

fn check(plan: &Plan, rng: &mut Rng, reach: i64) -> Result<(), String> {
    let known = Known::around(plan, reach);
    let answer = |t: Option<DateTime<Utc>>| t.map_or("none".into(), |t| t.to_rfc3339());
    // A schedule that never runs is dear to ask and has one answer.
    let questions = if !known.runs.is_empty() { 3 } else { u8::from(rng.u8(..8) == 0) };
    for _ in 0..questions {
        let t = instant(rng, &known);
        let exact = rng.bool();
        let asked = utc(t) + TimeDelta::milliseconds(if exact { 0 } else { rng.i64(1..1_000) });

        let next = plan.schedule.next_after(asked);
        let agrees = match known.next_after(t) {
            Some(run) => next == Some(utc(run)) || (next.is_none() && plan.tree.may_give_up(t, run)),
            None => next.is_none_or(|next| next >= utc(known.high)),
        };
        if !agrees {
            let expected = answer(known.next_after(t).map(utc));
            return Err(format!("next_after({asked}) is {}, the walk to {} finds {expected}", answer(next), utc(known.high)));
        }

        let prev = plan.schedule.prev_before(asked);
        let wanted = known.prev_before(if exact { t } else { t + 1 });
        let agrees = match wanted {
            Some(run) => prev == Some(utc(run)) || (prev.is_none() && plan.tree.may_give_up(run, t)),
            None => prev.is_none_or(|prev| prev < utc(known.low)),
        };
        if !agrees {
            let expected = answer(wanted.map(utc));
            return Err(format!("prev_before({asked}) is {}, the walk from {} finds {expected}", answer(prev), utc(known.low)));
        }

        let until = instant(rng, &known);
        let count = plan.schedule.count_between(asked, utc(until));
        let wanted = known.runs.iter().filter(|run| t < **run && **run <= until).count();
        let agrees = count == wanted as u64 || count < wanted as u64 && plan.tree.may_give_up(t, until);
        if !agrees {
            return Err(format!("count_between({asked}, {}) is {count}, the walk counts {wanted}", utc(until)));
        }
    }
    Ok(())
}

/// Runs one case; its seed follows from the run's seed and the case's number, so that it can be shown again alone.
fn case(seed: u64, number: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number);
    let reach = if number % 20 == 0 { 60 * 366 * DAY } else { 800 * DAY };
    let mut said = String::from("not built");
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let plan = Plan::random(&mut rng);
        said.clone_from(&plan.said);
        check(&plan, &mut rng, reach)
    }));
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("?")))
    });
    outcome.map_err(|error| format!("PUNCTUAL_SEED={seed} PUNCTUAL_CASE={number}: {said}: {error}"))
}

#[test]
fn engine_and_walk_agree() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 100_000));
    let only = std::env::var("PUNCTUAL_CASE").map(|text| text.parse().expect("PUNCTUAL_CASE is a number"));
    let numbers = only.map_or(0..cases, |number: u64| number..number + 1);
    let failures: Vec<String> = numbers.filter_map(|number| case(seed, number).err()).take(20).collect();
    assert!(failures.is_empty(), "{} cases differ (no more than 20 are looked for):\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_time_shifted_past_a_later_one_comes_last() {
    // The gap of 1 January 1911 took 22 minutes and 48 seconds from midnight on; found by seed 1005, case 79390.
    let schedule: punctual::Schedule = "cron 2-31 0 1 1 * in Pacific/Pago_Pago on gap shift".parse().unwrap();
    let shifted = "1911-01-01T11:44:48Z".parse().unwrap();
    assert_eq!(schedule.prev_before("1911-01-08T00:00:00Z".parse().unwrap()), Some(shifted));
    assert_eq!(schedule.prev_before(shifted + TimeDelta::seconds(1)), Some(shifted));
}
