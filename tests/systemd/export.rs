//! Schedules written as calendar events: what is written reads back to the same occurrences, for systemd too.
//!
//! `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many and which.

use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use punctual::Schedule;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {text}")))
}

/// A value, a list, a range or a step of a cron field.
fn field(rng: &mut Rng, least: u32, most: u32) -> String {
    let mut value = || rng.u32(least..=most);
    let (a, b) = (value(), value());
    let (a, b) = (a.min(b), a.max(b));
    match rng.u8(..8) {
        0..=2 => "*".to_owned(),
        3 => format!("{a}-{b}"),
        4 => format!("*/{}", rng.u32(1..=(most - least) / 2 + 1)),
        5 if a != b => format!("{a},{b}"),
        6 => format!("{a}-{b}/{}", rng.u32(1..=4)),
        _ => a.to_string(),
    }
}

fn cron(rng: &mut Rng) -> String {
    let seconds = if rng.bool() { field(rng, 0, 59) + " " } else { String::new() };
    let (minute, hour, month) = (field(rng, 0, 59), field(rng, 0, 23), field(rng, 1, 12));
    let days = ["*", "L", "L-3", "15W", "LW", "1,L", "L,L-1,L-2", "L-30", "28-31", "1", "L-1,L-27"];
    let day = if rng.bool() { rng.choice(days).unwrap().to_owned() } else { field(rng, 1, 31) };
    let weekdays =
        ["*", "MON-FRI", "TUE#2", "MON#L", "TUE#1,TUE#3", "MON#1,TUE#2", "+SUN", "+MON#5", "FRI,FRI#2", "SAT,SUN", "0-6"];
    let weekday = rng.choice(weekdays).unwrap();
    format!("cron {seconds}{minute} {hour} {day} {month} {weekday}")
}

fn text(rng: &mut Rng) -> String {
    let words = [
        "every day at 09:00 and 17:00",
        "every day at 09:15 and 17:30",
        "every weekday at 08:00",
        "every monday and thursday at 02:30",
        "every 2nd tuesday of the month at 10:30",
        "every last friday of the month at 18:00",
        "every last day of the month at 23:59:59",
        "every 3rd to last day of the month at 00:30",
        "every year on 29 february at 12:00",
        "every year on the last friday of may and june at 18:00",
        "every month on the 1st and the last friday at 08:00",
        "every 3 days at 06:00",
        "every 2 weeks on monday at 09:00",
        "every hour at :15 and :45",
        "every hour at 15:30",
        "every minute at :10",
        "every 3 hours at :15",
        "every 250 milliseconds aligned",
        "every 7 milliseconds aligned",
        "every 3 microseconds aligned",
        "every 10 seconds aligned",
        "every 45 seconds aligned",
        "every 15 minutes aligned",
        "every 90 minutes aligned",
        "every 6 hours aligned",
        "every 24 hours aligned",
        "every 5 minutes",
        "every 5 to 10 minutes",
        "once at 2031-05-06 07:08:09 UTC",
        "once at 2031-05-06 07:08:09.25 UTC",
        "once after 5 minutes",
        "at reboot",
        "(every day at 09:00) or (every monday at 17:00)",
        "calendar Mon *-05~07/1",
        "calendar *:*:0.5,10/0.25",
        "calendar 2028..2040/4-*~01..03 00/6:00",
    ];
    let mut text = if rng.bool() { cron(rng) } else { rng.choice(words).unwrap().to_owned() };
    let zones =
        ["", " in UTC", " in Europe/Berlin", " in America/New_York", " in UTC-05:00", " in UTC+05:30", " in Australia/Lord_Howe"];
    text += rng.choice(zones).unwrap();
    match rng.u8(..10) {
        0 => text += " between 08:00 and 17:59:59",
        1 => text += " except on sunday and saturday",
        2 => text += " with slack 1 minute",
        _ => {}
    }
    text
}

fn instant(rng: &mut Rng) -> DateTime<Utc> {
    let near =
        ["2026-03-08T06:00:00Z", "2026-03-29T00:30:00Z", "2026-10-25T00:00:00Z", "2026-11-01T05:00:00Z", "2026-10-03T15:00:00Z"];
    let from: DateTime<Utc> = if rng.bool() { rng.choice(near).unwrap() } else { "2025-01-01T00:00:00Z" }.parse().unwrap();
    from + TimeDelta::seconds(if rng.bool() { rng.i64(0..10_000) } else { rng.i64(0..400_000_000) })
}

#[test]
fn what_is_written_reads_back_to_the_same_occurrences() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 3000));
    let (mut written, mut failures) = (0, Vec::new());
    for case in 0..cases {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ case);
        let text = text(&mut rng);
        let Ok(schedule) = text.parse::<Schedule>() else { continue };
        let event = match schedule.to_on_calendar() {
            Ok(event) => event,
            Err(error) => {
                assert!(!error.part.is_empty() && !error.reason.is_empty(), "{text}");
                continue;
            }
        };
        written += 1;
        let again = match Schedule::on_calendar(&event) {
            Ok(again) => again,
            Err(error) => {
                failures.push(format!("case {case}: {text} is written {event}, which is refused: {error}"));
                continue;
            }
        };
        let from = instant(&mut rng);
        let next = |schedule: &Schedule| schedule.upcoming(from).take(20).collect::<Vec<_>>();
        if next(&schedule) != next(&again) {
            let (one, other) = (next(&schedule), next(&again));
            let place = one.iter().zip(&other).position(|(one, other)| one != other).unwrap_or(one.len().min(other.len()));
            let (one, other) = (one.get(place), other.get(place));
            failures.push(format!("case {case}: {text} is written {event}: after {from}, {one:?} and {other:?}"));
        }
        assert_eq!(again.to_on_calendar().as_ref(), Ok(&event), "{text}");
    }
    assert!(failures.is_empty(), "{} of {written} differ:\n{}", failures.len(), failures[..failures.len().min(20)].join("\n"));
    assert!(written * 4 > cases, "only {written} of {cases} were written");
}

#[test]
fn what_cannot_be_written_says_which_part_and_why() {
    let rows = [
        ("every 5 minutes", "every 5 minutes", "it counts elapsed time"),
        ("every 90 minutes aligned", "every 90 minutes aligned", "not all combinations"),
        ("every 7 hours aligned", "every 7 hours aligned", "do not fill a day evenly"),
        ("every 7 milliseconds aligned", "every 7 milliseconds aligned", "do not fill a minute evenly"),
        ("cron 0 0 13 * FRI", "cron 0 0 13 * FRI", "no `or` of days and weekdays"),
        ("cron 0 0 15W * *", "cron 0 0 15W * *", "working day"),
        ("cron 0 0 1,L * *", "cron 0 0 1,L * *", "all its days from the beginning"),
        ("cron 0 0 L-29 * *", "cron 0 0 L-29 * *", "no more than 28 days"),
        ("every 2 weeks on monday at 09:00", "every 2 weeks on monday at 09:00", "from when it begins"),
        ("every 5 to 10 minutes", "every 5 to 10 minutes", "drawn anew"),
        ("every day at 09:00 until 2030-01-01 UTC", "until", "no end"),
        ("every day at 09:00 on gap shift", "on gap", "one rule"),
        ("every day at 09:00 in UTC+05:30", "in UTC+05:30", "no name has this offset"),
        ("every day at 09:00 except on 2026-12-25", "except on a date", "no exceptions"),
        ("(every day at 09:00) or (every day at 10:00)", "(every day at 09:00) or (every day at 10:00)", "for each part"),
        ("every 24 hours aligned", "every 24 hours aligned", "runs with the clock"),
        ("once after 5 minutes", "once after 5 minutes", "OnActiveSec="),
    ];
    for (text, part, reason) in rows {
        let error = text.parse::<Schedule>().unwrap().to_on_calendar().unwrap_err();
        assert_eq!((error.target, error.part.as_str()), ("systemd", part), "{text}: {error}");
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
}

/// The next occurrences as `systemd-analyze calendar` has them, to the second; `None` if there is none of its kind here.
fn systemd_says(event: &str, from: DateTime<Utc>) -> Option<Vec<String>> {
    let base = from.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let mut command = Command::new("systemd-analyze");
    command.args(["calendar", "--iterations=5", "--base-time", &base, "--", event]).env("TZ", "UTC").env("LC_ALL", "C");
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let lines = said.lines().filter_map(|line| line.trim_start().split_once(": "));
    Some(lines.filter(|(key, _)| *key == "Next elapse" || key.starts_with("Iter. #")).map(|(_, at)| at.to_owned()).collect())
}

#[test]
fn systemd_reads_it_too() {
    let Some(_) = systemd_says("daily", DateTime::UNIX_EPOCH) else { return };
    let mut compared = 0;
    for case in 0..4000 {
        let mut rng = Rng::with_seed(case);
        // Zones that change have rules of their own, so those that do not.
        let text = text(&mut rng);
        let constant = !["Europe", "America", "Australia"].iter().any(|zone| text.contains(zone));
        let Some(schedule) = text.parse::<Schedule>().ok().filter(|_| constant) else { continue };
        let Ok(event) = schedule.to_on_calendar() else { continue };
        let from = DateTime::from_timestamp(1_780_000_000 + rng.i64(0..100_000_000), 0).unwrap();
        let mut ours: Vec<String> =
            schedule.upcoming(from).take(5).map(|at| at.format("%a %Y-%m-%d %H:%M:%S UTC").to_string()).collect();
        let theirs = systemd_says(&event, from).unwrap();
        if ours.len() < 5 {
            // It has a word for the end.
            ours.extend(theirs.get(ours.len()).filter(|word| *word == "never").cloned());
        }
        let zoned = theirs.iter().any(|at| at.contains("never")) && ours.is_empty();
        assert!(ours == theirs || zoned, "{text} is written {event}: after {from}\n{ours:?}\n{theirs:?}");
        compared += 1;
        if compared == 150 {
            return;
        }
    }
    panic!("only {compared} were compared");
}
