//! Cron text: reading it, and the next occurrence.

use std::hint::black_box;

use chrono::{DateTime, Datelike, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::America::New_York;
use chrono_tz::Tz;
use cronexpr::MakeTimestamp;
use punctual::Schedule;

use crate::measure::{Case, Contender, Goal, Sample, paced};

/// Cron text, and how many occurrences are stepped through.
struct Text {
    name: &'static str,
    fields: &'static str,
    steps: usize,
}

const TEXTS: [Text; 3] = [
    Text { name: "weekdays", fields: "0 9 * * MON-FRI", steps: 500 },
    Text { name: "minutes", fields: "*/5 * * * *", steps: 2_000 },
    Text { name: "leap-day", fields: "0 0 29 2 *", steps: 15 },
];

const IMPOSSIBLE: &str = "0 0 31 2 *";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (zone, name, most) in [(Tz::UTC, "utc", 60.0), (New_York, "new-york", 180.0)] {
        for Text { name: text, fields, steps } in TEXTS {
            let title = format!("next of `{fields}`, {zone}");
            let user = "a host that plans a day of jobs, or draws a calendar of them";
            let case = Case::new(format!("cron-{text}-{name}"), title, user, move || next(fields, steps, zone));
            cases.push(case.goal(Goal::Most(most)));
        }
    }
    for (name, fields) in [("parse-short", "0 9 * * MON-FRI"), ("parse-long", "*/15 9-17 1,15 */2 MON-FRI")] {
        let user = "a host that reads its schedules from its users' settings, at every start";
        cases.push(Case::new(name, format!("parse `{fields}`"), user, move || parse(fields)).goal(Goal::Most(300.0)));
    }
    let user = "a host whose users write cron text, one of whom means mischief";
    let title = format!("next of `{IMPOSSIBLE}`, which has none");
    cases.push(Case::new("cron-impossible", title, user, impossible).goal(Goal::Most(5_000.0)));
    cases
}

fn start() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().expect("an instant")
}

/// The instant after so many steps from another one.
fn after_steps(from: DateTime<Utc>, steps: usize, mut next: impl FnMut(DateTime<Utc>) -> DateTime<Utc>) -> DateTime<Utc> {
    (0..steps).fold(from, |at, _| next(black_box(at)))
}

/// Nanoseconds a step. Whoever comes to another instant than punctual says so.
fn stepping(steps: usize, fields: &str, zone: Tz, next: impl Fn(DateTime<Utc>) -> DateTime<Utc>) -> impl FnMut() -> Sample {
    let schedule = Schedule::cron(fields).expect("cron text").in_zone(zone);
    let from = start();
    let expected = after_steps(from, steps, |at| schedule.next_after(at).expect("there is one"));
    let found = after_steps(from, steps, &next);
    let mut walk = paced(move || {
        black_box(after_steps(from, steps, &next));
    });
    move || {
        if found != expected {
            return Err(format!("comes to {found}, not {expected}"));
        }
        Ok(walk()? / steps as f64)
    }
}

fn next(fields: &'static str, steps: usize, zone: Tz) -> Vec<Contender> {
    let mut contenders = vec![bit_scan()];
    if zone != Tz::UTC {
        contenders.push(offset_look_up(zone));
    }
    let cron: cron::Schedule = format!("0 {fields}").parse().expect("cron text");
    let in_zone = move |at: DateTime<Utc>| at.with_timezone(&zone);
    contenders.push(Contender::peer(
        "cron",
        stepping(steps, fields, zone, move |at| cron.after(&in_zone(at)).next().expect("there is one").with_timezone(&Utc)),
    ));
    let croner: croner::Cron = fields.parse().expect("cron text");
    contenders.push(Contender::peer(
        "croner",
        stepping(steps, fields, zone, move |at| {
            croner.find_next_occurrence(&in_zone(at), false).expect("there is one").with_timezone(&Utc)
        }),
    ));
    let cronexpr = cronexpr::parse_crontab(&format!("{fields} {zone}")).expect("cron text");
    contenders.push(Contender::peer(
        "cronexpr",
        stepping(steps, fields, zone, move |at| {
            let next = cronexpr.find_next(timestamp(at)).expect("there is one");
            DateTime::from_timestamp_secs(next.timestamp().as_second()).expect("an instant")
        }),
    ));
    if zone == Tz::UTC {
        let saffron: saffron::Cron = fields.parse().expect("cron text");
        let next = move |at| saffron.next_after(at).expect("there is one");
        contenders.push(Contender::peer("saffron", stepping(steps, fields, zone, next)));
    }
    let schedule = Schedule::cron(fields).expect("cron text").in_zone(zone);
    let next = move |at| schedule.next_after(at).expect("there is one");
    contenders.push(Contender::punctual(stepping(steps, fields, zone, next)));
    contenders
}

fn timestamp(at: DateTime<Utc>) -> MakeTimestamp {
    MakeTimestamp::from_second(at.timestamp()).expect("an instant")
}

/// The least that finding a time of day takes: the next of a set of minutes, within a set of hours.
fn bit_scan() -> Contender {
    let (minutes, hours) = (0b1_00001_00001_00001u64, 0b111_1111_1100_0000_0000u32);
    let (mut minute, mut hour) = (0u32, 0u32);
    Contender::floor(
        "bit scan",
        paced(move || {
            let later = black_box(minutes) & (!1 << minute);
            if later == 0 {
                let after = black_box(hours) & (!1 << hour);
                hour = if after == 0 { black_box(hours) } else { after }.trailing_zeros();
            }
            minute = if later == 0 { black_box(minutes) } else { later }.trailing_zeros();
            black_box((hour, minute));
        }),
    )
}

fn offset_look_up(zone: Tz) -> Contender {
    let mut at = start().naive_utc();
    Contender::floor(
        "chrono-tz offset",
        paced(move || {
            at += TimeDelta::days(1);
            if at.year() > 2030 {
                at = start().naive_utc();
            }
            black_box(zone.offset_from_utc_datetime(&black_box(at)).fix());
        }),
    )
}

fn parse(fields: &'static str) -> Vec<Contender> {
    let (with_seconds, with_zone) = (format!("0 {fields}"), format!("{fields} UTC"));
    vec![
        Contender::floor(
            "split at blanks",
            paced(move || {
                black_box(black_box(fields).split_ascii_whitespace().map(str::len).sum::<usize>());
            }),
        ),
        Contender::peer("cron", reading(move || black_box(&*with_seconds).parse::<cron::Schedule>())),
        Contender::peer("croner", reading(move || black_box(fields).parse::<croner::Cron>())),
        Contender::peer("cronexpr", reading(move || cronexpr::parse_crontab(black_box(&with_zone)))),
        Contender::peer("saffron", reading(move || black_box(fields).parse::<saffron::Cron>())),
        Contender::punctual(reading(move || Schedule::cron(black_box(fields)))),
    ]
}

/// Whoever refuses it has not read it.
fn reading<T, E>(read: impl Fn() -> Result<T, E>) -> impl FnMut() -> Sample {
    let is_read = read().is_ok();
    let mut again = paced(move || drop(black_box(read())));
    move || if is_read { again() } else { Err("refuses it".to_owned()) }
}

/// What is found, if anything, is wrong.
fn nothing<T>(find: impl Fn() -> Option<T>) -> impl FnMut() -> Sample {
    let found = find().map(|_| "found one".to_owned());
    let mut search = paced(move || drop(black_box(find())));
    move || found.clone().map_or_else(&mut search, Err)
}

fn impossible() -> Vec<Contender> {
    let cron: cron::Schedule = format!("0 {IMPOSSIBLE}").parse().expect("cron text");
    let croner: croner::Cron = IMPOSSIBLE.parse().expect("cron text");
    let cronexpr = cronexpr::parse_crontab(&format!("{IMPOSSIBLE} UTC")).expect("cron text");
    let saffron: saffron::Cron = IMPOSSIBLE.parse().expect("cron text");
    let schedule = Schedule::cron(IMPOSSIBLE).expect("cron text").in_zone(Utc);
    vec![
        bit_scan(),
        Contender::peer("cron", nothing(move || cron.after(black_box(&start())).next())),
        Contender::peer("croner", nothing(move || croner.find_next_occurrence(black_box(&start()), false).ok())),
        Contender::peer("cronexpr", nothing(move || cronexpr.find_next(timestamp(black_box(start()))).ok())),
        Contender::peer("saffron", nothing(move || saffron.next_after(black_box(start())))),
        Contender::punctual(nothing(move || schedule.next_after(black_box(start())))),
    ]
}
