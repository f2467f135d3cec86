//! Schedules written for cron: what is written reads back as the same occurrences, and what cannot be said is refused.

use chrono::{DateTime, Offset, TimeDelta, Utc};
use fastrand::Rng;
use punctual::{Dialect, Schedule};

use crate::{report, setting};

#[test]
fn what_is_written() {
    let rows: &[(&str, &[&str])] = &[
        ("every 5 minutes aligned", &["*/5 * * * *"]),
        ("every minute aligned", &["* * * * *"]),
        ("every 2 hours aligned", &["0 */2 * * *"]),
        ("every 24 hours aligned", &["0 */24 * * *"]),
        ("every hour at :15", &["15 * * * *"]),
        ("every hour at :00 and :30", &["*/30 * * * *"]),
        ("every day at 09:00", &["0 9 * * *"]),
        ("every day at 09:00 and 17:30", &["0 9 * * *", "30 17 * * *"]),
        ("every day at 09:00 and 17:00", &["0 9,17 * * *"]),
        ("every weekday at 09:00", &["0 9 * * 1-5"]),
        ("every monday and sunday at 09:00", &["0 9 * * 0,1"]),
        ("every month on the 1st and the 15th at 06:00", &["0 6 1,15 * *"]),
        ("every year on 24 december at 18:00", &["0 18 24 12 *"]),
        ("cron 0 9 1,15 * MON", &["0 9 1,15 * 1"]),
        ("cron 0 0 1,13 * +FRI", &["0 0 */31,13 * 5"]),
        ("cron 0 0 8-14 * +SUN", &["0 0 8-14 * */7"]),
        ("cron 0 0 */2 * 1", &["0 0 1-31/2 * 1"]),
        ("every 1st monday of the month at 09:00", &["0 9 */31,2-7 * 1"]),
        ("every 2nd sunday of the month at 09:00", &["0 9 8-14 * */7"]),
        ("cron 30 4 * * SUN#5,SUN#1", &["30 4 */31,2-7 * 0", "30 4 29-31 * */7"]),
        ("cron 0 9-17 * * *", &["0 9-17 * * *"]),
        ("cron */7,5 3 * * *", &["*/60,5,7,14,21,28,35,42,49,56 3 * * *"]),
        ("cron 0-59 0-23 * * *", &["0-59 0-23 * * *"]),
        ("cron */20 9-17 * * 1-5", &["*/20 9-17 * * 1-5"]),
        ("vixie cron 0 0 */2 * 1", &["0 0 */2 * 1"]),
        ("vixie cron */7,5 3 * * *", &["*/7,5 3 * * *"]),
        ("cron @weekly", &["0 0 * * 0"]),
        ("vixie cron @weekly", &["@weekly"]),
        ("at reboot", &["@reboot"]),
        ("every day at 09:30 in Europe/Berlin", &["CRON_TZ=Europe/Berlin\n30 9 * * *"]),
        ("every day at 09:30 in UTC+02:00", &["CRON_TZ=Etc/GMT-2\n30 9 * * *"]),
        ("(every day at 09:00) or (every sunday at 12:00)", &["0 9 * * *", "0 12 * * 0"]),
        ("(every day at 09:00 in UTC) or (every day at 12:00 in UTC)", &["CRON_TZ=UTC\n0 9 * * *", "CRON_TZ=UTC\n0 12 * * *"]),
    ];
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|(text, expected)| {
            let schedule: Schedule = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            let written = schedule.to_cron().map(|lines| lines.iter().map(ToString::to_string).collect::<Vec<_>>());
            (written.as_deref().ok() != Some(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]))
                .then(|| format!("{text}: {written:?}"))
        })
        .collect();
    report(&failures);
}

#[test]
fn what_is_refused() {
    let rows = [
        (
            "every 5 minutes",
            "`every 5 minutes` cannot be written for cron: it counts elapsed time, and cron reads the clock; an `aligned` interval may do",
        ),
        (
            "every 7 minutes aligned",
            "`every 7 minutes aligned` cannot be written for cron: it does not divide the hour or the day, and cron begins anew with each",
        ),
        (
            "every 90 minutes aligned",
            "`every 90 minutes aligned` cannot be written for cron: it does not divide the hour or the day, and cron begins anew with each",
        ),
        (
            "every 2 days at 09:00",
            "`every 2 days at 09:00` cannot be written for cron: it counts from its registration, and cron begins anew with each month",
        ),
        ("every day", "`every day` cannot be written for cron: the time of day is that of its registration; name it"),
        ("every day at 09:00:30", "`every day at 09:00:30` cannot be written for cron: cron has no seconds"),
        (
            "every month on the last day at 09:00",
            "`every last day of the month at 09:00` cannot be written for cron: cron has no last or nearest days, and numbered weekdays only alone; name days of the month or the week",
        ),
        ("cron 0 0 0 1 1 * 2030", "`cron 0 0 0 1 1 * 2030` cannot be written for cron: cron has no years"),
        (
            "cron 0 0 13 * +FRI",
            "`cron 0 0 13 * +FRI` cannot be written for cron: fields that must both match, or that run through a gap, begin with `*` in cron, and none of these can",
        ),
        (
            "every day at 09:00 except on sunday",
            "`except` cannot be written for cron: cron has no exclusions; write the days on which it runs",
        ),
        ("every day at 09:00 with jitter 5 minutes", "`with jitter` cannot be written for cron: cron starts on the minute"),
        ("every day at 02:30 on gap skip", "`on gap` cannot be written for cron: cron has one rule for gaps; leave it out"),
        (
            "(every day at 09:00) or (every sunday at 09:00)",
            "`(every day at 09:00) or (every sunday at 09:00)` cannot be written for cron: its parts may come at the same minute, and cron would run each; leave out what is said twice",
        ),
        (
            "(every day at 09:00) or (every day at 10:00 in UTC)",
            "`every day at 10:00 in UTC` cannot be written for cron: parts in different zones may come at the same minute; write one zone behind the whole",
        ),
        (
            "once at 2026-12-24 18:00:00 UTC",
            "`once at 2026-12-24 18:00:00 UTC` cannot be written for cron: cron has no years; at(1) runs a command once",
        ),
        (
            "every day at 09:00 in UTC+05:30",
            "`UTC+05:30` cannot be written for cron: it is no zone of the database; write one by its name, such as Asia/Kolkata",
        ),
    ];
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|(text, expected)| {
            let schedule: Schedule = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            let refused = schedule.to_cron().map_err(|error| error.to_string());
            (refused.as_ref().err().map(String::as_str) != Some(expected)).then(|| format!("{text}: {refused:?}"))
        })
        .collect();
    report(&failures);
}

fn numbers(rng: &mut Rng, least: u32, most: u32) -> String {
    let mut numbers = |n: usize| (0..n).map(|_| rng.u32(least..=most).to_string()).collect::<Vec<_>>().join(",");
    let list = numbers(3);
    let one = numbers(1);
    let (a, step) = (rng.u32(least..most), rng.u32(1..=most - least));
    let range = format!("{a}-{}", rng.u32(a..=most));
    let choice = [
        "*".to_owned(),
        format!("*/{step}"),
        one.clone(),
        one,
        list,
        range.clone(),
        format!("{range}/{step}"),
        format!("*/{step},{}", rng.u32(least..=most)),
    ];
    rng.choice(choice).unwrap()
}

fn times(rng: &mut Rng) -> String {
    let time = |rng: &mut Rng| {
        format!("{:02}:{:02}", rng.choice([0, 1, 2, 2, 3, 9, 17, 23]).unwrap(), rng.choice([0, 0, 30, 59]).unwrap())
    };
    (0..rng.usize(1..4)).map(|_| time(rng)).collect::<Vec<_>>().join(" and ")
}

/// A schedule that can mostly be said in five fields, in words.
fn text(rng: &mut Rng) -> String {
    let times = times(rng);
    match rng.u8(..12) {
        0..3 => {
            let days = [numbers(rng, 1, 31), numbers(rng, 1, 12), numbers(rng, 0, 6)];
            let both = if rng.bool() { "+" } else { "" };
            format!("cron {} {} {} {} {both}{}", numbers(rng, 0, 59), numbers(rng, 0, 23), days[0], days[1], days[2])
        }
        3..6 => {
            let fields = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)].map(|(least, most)| numbers(rng, least, most));
            format!("vixie cron {}", fields.join(" "))
        }
        6 => format!("every {} minutes aligned", rng.choice([2, 3, 5, 7, 15, 30, 60, 90, 120, 720, 1440]).unwrap()),
        7 => format!("every hour at :{:02} and :{:02}", rng.u8(..60), rng.u8(..60)),
        8 => format!("every day at {times}"),
        9 => format!("every monday and {} at {times}", rng.choice(["tuesday", "friday", "sunday"]).unwrap()),
        10 if rng.bool() => {
            let (nth, day) = (rng.choice(["1st", "2nd", "3rd", "5th"]).unwrap(), rng.choice(["sunday", "monday"]).unwrap());
            format!("every {nth} {day} of the month at {times}")
        }
        10 => format!("every month on the {}th and the 1st at {times}", rng.u8(4..20)),
        _ => format!("every year on {} {} at {times}", rng.u8(1..29), rng.choice(["march", "october", "february"]).unwrap()),
    }
}

#[test]
fn what_was_written_reads_back_as_the_same_occurrences() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 20_000));
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo"];
    let (mut written, mut several) = (0_u64, 0_u64);
    let mut failures = Vec::new();
    for case in 0..cases {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ case);
        let mut said = text(&mut rng);
        if rng.u8(..6) == 0 {
            said = format!("({said}) or ({})", text(&mut rng));
        }
        let zone = rng.choice(zones).unwrap();
        let said = format!("{said} in {zone}");
        let zone: chrono_tz::Tz = zone.parse().unwrap();
        let Ok(schedule) = said.parse::<Schedule>() else { continue };
        let Ok(lines) = schedule.to_cron() else { continue };
        (written, several) = (written + 1, several + u64::from(lines.len() > 1));
        // Half of the time in the days of March, April, October and November in which zones change.
        let year = rng.i64(2000..2036);
        let day = if rng.bool() { rng.choice([85, 60, 300, 310, 95]).unwrap() } else { rng.i64(0..365) };
        let from: DateTime<Utc> = format!("{year}-01-01T00:00:00Z").parse().unwrap();
        let from = from + TimeDelta::days(day) + TimeDelta::seconds(rng.i64(0..86_400));
        let read: Vec<Schedule> = lines
            .iter()
            .map(|line| Schedule::cron_in(Dialect::Vixie, &line.fields).unwrap().tz(line.zone.as_deref().unwrap()).unwrap())
            .collect();
        for (place, one) in read.iter().enumerate() {
            // A gap brings together what never meets on the clock.
            let offset = |at: DateTime<Utc>| at.with_timezone(&zone).offset().fix();
            let ours: Vec<_> =
                one.upcoming(from).take(20).filter(|at| offset(*at - TimeDelta::seconds(1)) == offset(*at)).collect();
            let met = |other: &Schedule| other.upcoming(from).take(20).any(|at| ours.contains(&at));
            if read[place + 1..].iter().any(met) {
                failures.push(format!("PUNCTUAL_SEED={seed}, case {case}: {said} after {from}: two lines run at once"));
            }
        }
        let whole = read.iter().cloned().reduce(Schedule::or).unwrap();
        let (meant, found): (Vec<_>, Vec<_>) =
            (schedule.upcoming(from).take(20).collect(), whole.upcoming(from).take(20).collect());
        if meant != found {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            failures.push(format!(
                "PUNCTUAL_SEED={seed}, case {case}: {said} after {from}: {lines:?}\n  meant {meant:?}\n  found {found:?}"
            ));
        }
    }
    println!("{cases} schedules: {written} written, {several} of them as several lines");
    failures.truncate(5);
    report(&failures);
    assert!(written > cases / 3 && several > 0, "{written} of {cases} written, {several} as several lines");
}
