//! `schedule_api`: what Python's `schedule` does, through the same words here.

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use parking_lot::Mutex;
use punctual::{JobHandle, ManualClock, Outcome, Scheduler};

use crate::{instant, report, table, unescaped, zone};

/// Rows that come out otherwise here: the reason, and the answer of this library.
#[rustfmt::skip]
const DEPARTURES: &[(&str, &str, &str)] = &[
    ("sa0023", "a time of day ends where it ends", "error"),
    ("sa0027", "an interval counts elapsed time: setting the clock back does not delay it",
        "ran=none / next_run=2024-05-13T09:00:00+02:00 / idle=3600 / ran=A"),
    ("sa0028", "in a gap: the first instant after it; the next day at its own time",
        "next_run=2026-10-03T15:30:00+00:00 / ran=A / next_run=2026-10-04T15:15:00+00:00"),
    ("sa0029", "in a gap: the first instant after it",
        "next_run=2023-03-26T03:00:00+02:00 / ran=A / next_run=2023-03-27T02:30:00+02:00"),
    ("sa0030", "the day after a gap at its own time",
        "next_run=2023-03-26T03:00:00+02:00 / ran=A / next_run=2023-03-27T02:00:00+02:00"),
    ("sa0031", "a grid from registration, not from the last run",
        "ran=A / next_run=2024-09-29T02:20:13+12:45 / ran=A / next_run=2024-09-29T04:00:13+13:45 / ran=A / \
        next_run=2025-03-09T19:00:13+13:45 / ran=A / next_run=2025-04-07T18:00:13+12:45"),
    ("sa0034", "in a gap: the first instant after it; the next week at its own time",
        "next_run=2026-03-08T03:00:00-04:00 / ran=A / next_run=2026-03-15T02:30:00-04:00"),
    ("sa0035", "an interval counts elapsed time", "next_run=2022-10-30T02:00:30+01:00 / ran=none / ran=A / ran=A"),
    ("sa0036", "an interval counts elapsed time", "next_run=2022-10-30T03:00:00+01:00"),
    ("sa0037", "an interval counts elapsed time", "next_run=2022-03-27T03:00:30+02:00"),
    ("sa0038", "an interval counts elapsed time",
        "next_run=2022-10-30T02:30:00+02:00 / ran=A / next_run=2022-10-30T02:30:00+01:00 / ran=A / ran=A"),
    ("sa0040", "an interval counts elapsed time", "next_run=2022-03-27T03:15:00+02:00"),
    ("sa0041", "in a gap: the first instant after it", "next_run=2022-03-27T03:00:00+02:00"),
    ("sa0074", "a week takes a time of day", "next_run=2010-01-13T10:00:00+01:00"),
    ("sa0076", "a week takes a time of day", "next_run=2010-01-13T10:00:00+01:00"),
    ("sa0078", "a week takes a time of day", "next_run=2010-01-20T10:00:00+01:00"),
    ("sa0106", "an interval of zero is refused", "error"),
    ("sa0107", "an interval below zero has no type to say it", "error"),
    ("sa0108", "a grid from registration, not from the last run", "ran=A / next_run=2010-01-21T12:15:00+01:00"),
    ("sa0109", "a grid from registration, not from the last run",
        "ran=A / next_run=2010-01-06T12:15:20+01:00 / ran=A / next_run=2010-01-06T12:15:30+01:00"),
    ("sa0123", "a cleared job does not run", "ran=A / jobs=none"),
    ("sa0124", "a failure is reported; the job keeps its place and the others run",
        "ran=A,B / next_run=2010-01-06T12:17:00+01:00 / next_run=2010-01-06T12:17:00+01:00 / ran=none"),
    ("sa0159", "a deadline before the first run is refused", "error"),
    ("sa0160", "a deadline before the first run is refused", "error"),
    ("sa0162", "a deadline before the first run is refused", "error"),
    ("sa0163", "a deadline before the first run is refused", "error"),
    ("sa0165", "a deadline before the first run is refused", "error"),
    ("sa0167", "a deadline before the first run is refused", "error"),
];

/// Rows of those whose Python answer comes out with one more word in the chain.
#[rustfmt::skip]
const WITH_ANOTHER_WORD: &[(&str, &str)] = &[
    ("sa0029", ".on_gap(Shift)"),
    ("sa0108", ".after_completion()"),
    ("sa0109", ".after_completion()"),
];

#[test]
fn schedule_api_rows() {
    let mut failures = Vec::new();
    let mut departed = 0;
    for row in table("schedule_api.tsv", 220) {
        let [id, _, chain, now, tz, steps, python, ..] = &row[..] else { panic!("columns: {row:?}") };
        let own = DEPARTURES.iter().find(|(row, ..)| row == id);
        departed += usize::from(own.is_some());
        let expected = own.map_or(python.as_str(), |(_, _, answer)| answer);
        let mut check = |chain: &str, expected: &str| {
            let got = play(chain, now, tz, steps);
            if !same(&got, expected) {
                failures.push(format!("{id} {chain} at {now} in {tz}: {steps}\n    expected {expected}\n    got      {got}"));
            }
        };
        check(chain, expected);
        if let Some((_, word)) = WITH_ANOTHER_WORD.iter().find(|(row, _)| row == id) {
            check(&format!("{chain}{word}"), python);
        }
    }
    assert_eq!(departed, DEPARTURES.len(), "every departure names a row");
    report(&failures);
}

/// Whether two answers say the same; instants may be written with another offset, and a range holds what is in it.
fn same(got: &str, expected: &str) -> bool {
    if expected.starts_with("error=") && !expected.contains(" ran=") {
        return got == "error";
    }
    let (got, expected): (Vec<&str>, Vec<&str>) = (got.split(" / ").collect(), expected.split(" / ").collect());
    got.len() == expected.len() && got.iter().zip(&expected).all(|(got, expected)| same_step(got, expected))
}

fn same_step(got: &str, expected: &str) -> bool {
    let time = |text: &str| text.strip_prefix("next_run=").and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    // A deadline is looked at by `deadlines_are_kept`.
    let expected = expected.split(" deadline=").next().unwrap();
    match expected.strip_prefix("next_run_between=").and_then(|range| range.split_once("..")) {
        Some((from, to)) => time(got).is_some_and(|got| instant(from) <= got && got <= instant(to)),
        None => got == expected || (time(got).is_some() && time(got) == time(expected)),
    }
}

/// A run per second up to the deadline, and none after it.
#[test]
fn deadlines_are_kept() {
    let mut failures = Vec::new();
    let mut rows = 0;
    for row in table("schedule_api.tsv", 220) {
        let [id, _, chain, now, tz, _, python, ..] = &row[..] else { panic!("columns: {row:?}") };
        let Some((_, deadline)) = python.split_once(" deadline=") else { continue };
        rows += 1;
        // The calendar ends with the year 2199.
        let deadline = instant(deadline);
        if deadline > instant("2199-12-31T00:00:00Z") || deadline == instant(now) {
            continue;
        }
        let chain = format!("A = every().second{}", &chain[chain.find(".until").expect("a deadline")..]);
        let last = format!(
            "@{} run_pending / @{} run_pending / jobs",
            deadline.to_rfc3339(),
            (deadline + TimeDelta::seconds(1)).to_rfc3339()
        );
        let got = play(&chain, now, tz, &last);
        if got != "ran=A / ran=none / jobs=none" {
            failures.push(format!("{id} {chain}: {last}: {got}"));
        }
    }
    assert_eq!(rows, 10, "rows with a deadline");
    report(&failures);
}

/// Registers the jobs of a chain and does the steps; `error` if a job is refused.
fn play(chain: &str, now: &str, tz: &str, steps: &str) -> String {
    let clock = ManualClock::new(instant(now));
    let scheduler = Scheduler::builder().clock(clock.clone()).zone(zone(tz)).seed(7).build();
    let world = World { clock, scheduler, log: Arc::default() };
    let mut jobs = Vec::new();
    for text in chain.split("; ") {
        let (name, text) = text.split_once(" = ").unwrap_or(("A", text));
        match world.register(name, text) {
            Ok(job) => jobs.push((name.to_owned(), job)),
            Err(_) => return "error".into(),
        }
    }
    let step = |step: &str| {
        let op = match step.strip_prefix('@') {
            Some(rest) => {
                let (time, op) = rest.split_once(' ').expect("@TIME op");
                world.move_to(instant(time));
                op
            }
            None => step,
        };
        world.perform(op, &jobs)
    };
    match steps {
        "-" => step("next_run"),
        _ => steps.split(" / ").map(step).collect::<Vec<_>>().join(" / "),
    }
}

struct World {
    clock: ManualClock,
    scheduler: Scheduler,
    log: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn move_to(&self, time: DateTime<Utc>) {
        let by = time - self.clock.wall();
        match by.to_std() {
            Ok(by) => self.clock.advance(by),
            Err(_) => self.clock.step(by),
        }
    }

    fn perform(&self, op: &str, jobs: &[(String, JobHandle<Outcome>)]) -> String {
        let job = |name: &str| &jobs.iter().find(|(other, _)| other == name).expect("a job").1;
        let next = |next: Option<DateTime<Utc>>| next.map_or("next_run=none".into(), |t| format!("next_run={}", t.to_rfc3339()));
        let (word, rest) = op.split_once([' ', '(']).unwrap_or((op, ""));
        let tag = rest.trim_end_matches(')');
        match (word, rest) {
            ("run_pending", _) => {
                let _ = self.scheduler.run_pending();
                self.ran()
            }
            ("run_all", _) => {
                let _ = self.scheduler.run_all();
                self.ran()
            }
            ("run", name) => {
                job(name).run_now();
                let _ = self.scheduler.run_pending();
                let log = std::mem::take(&mut *self.log.lock());
                if log.iter().any(|ran| ran == name) { format!("ran={name}") } else { format!("ran={}", log.join(",")) }
            }
            ("next_run", "") => next(self.scheduler.next_run()),
            ("next_run", _) if op.contains('(') => next(self.scheduler.next_run_tagged(tag)),
            ("next_run", name) => next(job(name).next_run()),
            ("idle", _) => self.scheduler.idle().map_or("idle=none".into(), |idle| format!("idle={}", idle.as_secs_f64())),
            ("jobs", _) => {
                let names: Vec<String> =
                    self.scheduler.jobs().iter().map(|job| job.name.as_deref().unwrap_or_default().to_owned()).collect();
                format!("jobs={}", if names.is_empty() { "none".into() } else { names.join(",") })
            }
            ("cancel", name) => if job(name).cancel() { "ok" } else { "gone" }.into(),
            ("clear", "") => {
                self.scheduler.clear();
                "ok".into()
            }
            ("clear", _) => {
                self.scheduler.clear_tagged(tag);
                "ok".into()
            }
            _ => panic!("op {op}"),
        }
    }

    fn ran(&self) -> String {
        let log = std::mem::take(&mut *self.log.lock());
        format!("ran={}", if log.is_empty() { "none".into() } else { log.join(",") })
    }

    /// `every(N).unit.at("..").until(..)..`, word for word.
    fn register(&self, name: &str, chain: &str) -> Result<JobHandle<Outcome>, String> {
        let mut calls = calls(chain).into_iter().peekable();
        let (first, n) = calls.next().expect("every");
        assert_eq!(first, "every");
        let n = if n.is_empty() { 1 } else { n.parse::<u32>().map_err(|_| "not a count of anything")? };
        let mut every = self.scheduler.every(n);
        if calls.peek().is_some_and(|(word, _)| word == "to") {
            every = every.to(calls.next().expect("just seen").1.parse().expect("a number"));
        }
        let mut when = match calls.next().expect("a unit").0.as_str() {
            "second" => every.second(),
            "seconds" => every.seconds(),
            "minute" => every.minute(),
            "minutes" => every.minutes(),
            "hour" => every.hour(),
            "hours" => every.hours(),
            "day" => every.day(),
            "days" => every.days(),
            "week" => every.week(),
            "weeks" => every.weeks(),
            "monday" => every.monday(),
            "tuesday" => every.tuesday(),
            "wednesday" => every.wednesday(),
            "thursday" => every.thursday(),
            "friday" => every.friday(),
            "saturday" => every.saturday(),
            "sunday" => every.sunday(),
            unit => panic!("unit {unit}"),
        };
        let mut work = String::new();
        for (word, arguments) in calls {
            when = match word.as_str() {
                "at" => match strings(&arguments).as_slice() {
                    [time] => when.at(time),
                    [time, zone] => when.at(time).tz(zone),
                    other => panic!("at {other:?}"),
                },
                "tag" => strings(&arguments).iter().fold(when, |when, tag| when.tag(tag.as_str())),
                "until" => {
                    let text = strings(&arguments).remove(0);
                    match arguments.split('"').next().unwrap() {
                        "" => when.until(text.as_str()),
                        "dt(" => when.until(text.parse::<NaiveDateTime>().unwrap()),
                        "tm(" => when.until(text.parse::<NaiveTime>().unwrap()),
                        "td(" => when.until(duration(&text)),
                        other => panic!("until {other}"),
                    }
                }
                "on_gap" => when.on_gap(punctual::OnGap::Shift),
                "after_completion" => when.after_completion(),
                "do" => {
                    work = arguments;
                    when
                }
                word => panic!("word {word}"),
            };
        }
        let (log, own, scheduler) = (self.log.clone(), name.to_owned(), self.scheduler.clone());
        let job = when.named(name).do_(move || {
            log.lock().push(own.clone());
            match work.as_str() {
                "cancel" => Ok(Outcome::Cancel),
                "fail" => Err("job failed"),
                "clear" => {
                    scheduler.clear();
                    Ok(Outcome::Done)
                }
                _ => Ok(Outcome::Done),
            }
        });
        job.map_err(|error| error.to_string())
    }
}

/// The words of a chain with the text between their brackets.
fn calls(chain: &str) -> Vec<(String, String)> {
    let (mut calls, mut rest) = (Vec::new(), chain);
    while !rest.is_empty() {
        let end = rest.find(['.', '(']).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        rest = &rest[end..];
        let mut arguments = String::new();
        if let Some(inner) = rest.strip_prefix('(') {
            let (mut depth, mut quoted) = (0, false);
            let close = inner.char_indices().find(|(_, c)| {
                quoted ^= *c == '"';
                depth += i32::from(!quoted && *c == '(') - i32::from(!quoted && *c == ')');
                depth < 0
            });
            let close = close.expect("a closing bracket").0;
            arguments = inner[..close].to_owned();
            rest = &inner[close + 1..];
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        calls.push((word, arguments));
    }
    calls
}

/// The texts in quotes, escapes undone.
fn strings(arguments: &str) -> Vec<String> {
    arguments.split('"').skip(1).step_by(2).map(|text| if text.is_empty() { String::new() } else { unescaped(text) }).collect()
}

/// `1d2h3m4s`, with `-` before it if it is negative.
fn duration(text: &str) -> TimeDelta {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let mut seconds = 0;
    let mut rest = text;
    for (unit, length) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        let (count, after) = rest.split_once(unit).expect("days, hours, minutes, seconds");
        seconds += count.parse::<i64>().unwrap() * length;
        rest = after;
    }
    TimeDelta::seconds(sign * seconds)
}
