//! Calendar events (`OnCalendar=`) against systemd's answers.
//!
//! Where they differ, one of these rules must explain it, worked out for the instant in question:
//!
//! - *gap*: a zone change skips a time that is named; systemd drops it, punctual runs once at the end of the gap.
//! - *fold*: a zone change repeats a time; punctual takes the first pass of a time that is named and both of one that runs with
//!   the clock, systemd some one of them.
//! - *back*: where a zone change would lead it back in time, systemd passes over what is left of the day, or says `backwards`.
//! - *carry*: where a step without an end leads out of its field, and so out of the next larger unit too, systemd goes on in the new
//!   unit with the value that the step came to, and passes over what is before it.
//! - *2100*: chrono-tz knows of no change of a zone after 2099, systemd goes on with the last rule: the other has the same time
//!   so much earlier or later as the zone's clocks were set for the summer.
//! - *abbreviation*: systemd takes the abbreviation of the asking process's own zone for that zone at that offset; punctual reads
//!   it as the IANA's zone of this name, if there is one.
//! - *limit*: systemd gives up after 1,000 steps and says so; what it found before is compared.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{OffsetName, Tz};
use punctual::{Schedule, Zone};

type Instant = DateTime<Utc>;

fn table() -> String {
    let path = std::env::var("PUNCTUAL_ONCALENDAR").unwrap_or_else(|_| "tests/data/moving/oncalendar.tsv".to_owned());
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A change of a zone's offset: the first instant after it, and the offsets around it in seconds.
#[derive(Clone, Copy)]
struct Change {
    at: Instant,
    before: i64,
    after: i64,
}

fn offset(zone: Tz, at: Instant) -> i64 {
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc().into()
}

/// The changes within a day and a half of an instant.
fn changes_near(zone: Tz, at: Instant) -> Vec<Change> {
    let hours = |hours: i64| at + TimeDelta::hours(hours);
    let pairs =
        (-36..36).map(|hour| (hours(hour), hours(hour + 1))).filter(|(low, high)| offset(zone, *low) != offset(zone, *high));
    pairs
        .map(|(mut low, mut high)| {
            let before = offset(zone, low);
            while high - low > TimeDelta::seconds(1) {
                let middle = low + (high - low) / 2;
                if offset(zone, middle) == before { low = middle } else { high = middle }
            }
            // Changes are at whole seconds.
            let at = DateTime::from_timestamp(high.timestamp(), 0).unwrap();
            Change { at, before, after: offset(zone, high) }
        })
        .collect()
}

/// The rule that explains why only one of the two has an instant; `ours` says which.
fn rule(event: &Schedule, zone: Tz, at: Instant, ours: bool, theirs: &[Instant]) -> Option<&'static str> {
    if ours && is_carried_over(event, zone, at) {
        return Some("carry");
    }
    changes_near(zone, at).into_iter().find_map(|change| {
        let local = |offset: i64| change.at + TimeDelta::seconds(offset);
        if change.after > change.before {
            // Local times that are skipped, read as if they were UTC.
            let (start, end) = (local(change.before), local(change.after));
            let in_utc = event.clone().in_zone(Utc);
            let skipped = in_utc.next_after(start - TimeDelta::nanoseconds(1)).is_some_and(|time| time < end);
            let is_gap = ours && at == change.at && skipped && is_fixed(event);
            let is_back = ours && at >= change.at && is_left_of_day(zone, change.at, at, theirs);
            return is_gap.then_some("gap").or(is_back.then_some("back"));
        }
        let length = TimeDelta::seconds(change.before - change.after);
        let (is_first, is_second) =
            ((change.at - length..change.at).contains(&at), (change.at..change.at + length).contains(&at));
        let explained = match (is_fixed(event), ours) {
            (true, true) if is_first => true,
            (true, false) => is_second,
            // Of a time that runs with the clock we have all that they have.
            (false, true) => is_first || is_second,
            _ => false,
        };
        let is_back = ours && at >= change.at - length && is_left_of_day(zone, change.at - length, at, theirs);
        explained.then_some("fold").or(is_back.then_some("back"))
    })
}

/// Whether an instant lies on the local date of another, and none of theirs does from there on.
fn is_left_of_day(zone: Tz, since: Instant, at: Instant, theirs: &[Instant]) -> bool {
    let date = |at: Instant| zone.from_utc_datetime(&at.naive_utc()).date_naive();
    date(at) == date(since) && !theirs.iter().any(|other| *other >= since && date(*other) == date(since))
}

/// Whether a step without an end, beyond its field, comes to more than an instant has there.
fn is_carried_over(event: &Schedule, zone: Tz, at: Instant) -> bool {
    let text = event.to_string();
    let said = text.split(" in ").next().unwrap_or_default();
    let Some((date, time)) = said.rsplit_once(' ') else { return false };
    let day = date.rsplit('-').next().unwrap_or_default();
    let [hours, minutes, seconds] = time.split(':').collect::<Vec<_>>()[..] else { return false };
    let micros = |text: &str| (text.parse::<f64>().unwrap_or(0.0) * 1e6).round() as u64;
    // By how much the largest of a field's steps goes beyond it.
    let beyond = |field: &str, end: u64| {
        let open = field.split(',').filter(|item| !item.contains("..")).filter_map(|item| item.split_once('/'));
        let over = open.map(|(start, step)| (micros(start), micros(step)));
        over.map(|(start, step)| start + (end - start).div_ceil(step) * step - end).max().unwrap_or(0)
    };
    let local = zone.from_utc_datetime(&at.naive_utc());
    let value = |n: u32| u64::from(n) * 1_000_000;
    let second = value(local.second()) + u64::from(local.nanosecond() / 1000);
    // A fraction is carried over alone, else what is in the first of its larger unit but one.
    local.second() == 0 && second < beyond(seconds, 60_000_000) % 1_000_000
        || local.minute() == 0 && second < beyond(seconds, 60_000_000)
        || local.hour() == 0 && value(local.minute()) < beyond(minutes, 60_000_000)
        || local.day() == 1 && value(local.hour()) < beyond(hours, 24_000_000)
        || local.month() == 1 && value(local.day()) < beyond(day, 32_000_000) + 1_000_000
}

/// How far a zone's clocks were set for the summer, the last time that anything is known of it.
fn summer(zone: Tz) -> TimeDelta {
    let [one, other] = ["2098-01-15T12:00:00Z", "2098-07-15T12:00:00Z"].map(|at| offset(zone, at.parse().unwrap()));
    TimeDelta::seconds((one - other).abs())
}

/// Whether the clocks of a zone show this beside the time.
fn abbreviates(zone: Tz, name: &str) -> bool {
    ["2026-01-15T12:00:00", "2026-07-15T12:00:00"].iter().any(|at| {
        let offset = zone.offset_from_utc_datetime(&at.parse().unwrap());
        // Some zones have nothing but their offset.
        let number = offset.fix().to_string().replace(':', "");
        offset.abbreviation() == Some(name) || number == name || number.strip_suffix("00") == Some(name)
    })
}

/// Whether hours, minutes and seconds are named: none is `*` or repeats without an end.
fn is_fixed(event: &Schedule) -> bool {
    let text = event.to_string();
    let time = text.split(" in ").next().unwrap_or_default().rsplit(' ').next().unwrap_or_default();
    let open = |item: &str| item == "*" || item.contains('/') && !item.contains("..");
    !time.split([':', ',']).any(open)
}

struct Row<'a> {
    expr: &'a str,
    zone: Tz,
    base: Instant,
    normalized: &'a str,
    next: &'a str,
}

/// What the row shows: the rules that explain differences, or a difference that none explains.
fn check(row: &Row) -> Result<BTreeSet<&'static str>, String> {
    let last = row.expr.rsplit(' ').next().unwrap_or_default();
    let schedule = match (Schedule::on_calendar(row.expr), row.next) {
        (Err(_), next) if next != "refused" && abbreviates(row.zone, last) => return Ok(BTreeSet::from(["abbreviation"])),
        (Err(_), "refused") => return Ok(BTreeSet::new()),
        (Err(error), _) => return Err(format!("is refused: {error}")),
        (Ok(schedule), "refused") => return Err(format!("is taken, as {schedule}")),
        (Ok(schedule), _) => schedule,
    };
    let printed = schedule.to_string();
    let (event, named) = match printed.strip_prefix("calendar ").unwrap_or_default().split_once(" in ") {
        Some((event, zone)) => (event.to_owned(), Some(zone.to_owned())),
        None => (printed.strip_prefix("calendar ").unwrap_or_default().to_owned(), None),
    };
    let normalized = named.iter().fold(event, |event, zone| format!("{event} {zone}"));
    // Of what it gave up at the table has no normalized form.
    if normalized != row.normalized && (row.normalized, row.next.ends_with("gave_up")) != ("-", true) {
        return Err(format!("is normalized to `{normalized}`"));
    }
    match printed.parse::<Schedule>() {
        Ok(again) if again == schedule => {}
        again => return Err(format!("prints `{printed}`, which is read as {again:?}")),
    }
    if named.as_deref().is_some_and(|name| abbreviates(row.zone, name) && name != "UTC") {
        return Ok(BTreeSet::from(["abbreviation"]));
    }
    let zone: Tz = named.map_or(row.zone, |name| name.parse().unwrap());
    let schedule = schedule.in_zone(Zone::from(zone));

    let mut rules = BTreeSet::new();
    let mut theirs: Vec<Instant> = Vec::new();
    let mut ends = false;
    for item in row.next.split(',') {
        match item {
            "never" => ends = true,
            "gave_up" => {
                rules.insert("limit");
            }
            "backwards" if !changes_near(zone, theirs.last().copied().unwrap_or(row.base)).is_empty() => {
                rules.insert("back");
            }
            item => theirs.push(item.parse().map_err(|error| format!("{item}: {error}"))?),
        }
    }
    let horizon = match theirs.last() {
        _ if ends => "2200-01-01T00:00:00Z".parse().unwrap(),
        Some(last) => *last,
        None => row.base,
    };
    let mut ours: Vec<Instant> = schedule.upcoming(row.base).take_while(|at| *at <= horizon).take(200_000).collect();
    let differ = |one: &[Instant], other: &[Instant]| -> Vec<Instant> {
        one.iter().filter(|at| other.binary_search(at).is_err()).copied().collect()
    };
    // One answer that went back in time would be hidden by a search.
    if !theirs.is_sorted() {
        theirs.sort();
    }
    for (at, is_ours) in
        differ(&ours, &theirs).into_iter().map(|at| (at, true)).chain(differ(&theirs, &ours).into_iter().map(|at| (at, false)))
    {
        let summer = summer(zone);
        let is_late = at >= "2100-01-01T00:00:00Z".parse::<Instant>().unwrap();
        let moved = |other: Instant| match is_ours {
            true => theirs.contains(&other) || other <= row.base || !ends && other > horizon,
            false => schedule.next_after(other - TimeDelta::nanoseconds(1)) == Some(other),
        };
        let is_moved = is_late && !summer.is_zero() && (moved(at + summer) || moved(at - summer));
        match rule(&schedule, zone, at, is_ours, &theirs).or(is_moved.then_some("2100")) {
            Some(rule) => {
                rules.insert(rule);
            }
            None => {
                return Err(format!(
                    "{at} is {} alone; ours {:?}",
                    if is_ours { "ours" } else { "theirs" },
                    ours.iter().take(6).collect::<Vec<_>>()
                ));
            }
        }
    }
    // And back again, and counted.
    if let (Some(first), Some(last)) = (ours.first().copied(), ours.last().copied()) {
        let count = schedule.count_between(row.base, last);
        if count != ours.len() as u64 {
            return Err(format!("counts {count} where there are {}", ours.len()));
        }
        let mut back = Vec::new();
        let mut at = last + TimeDelta::nanoseconds(1);
        while let Some(before) = schedule.prev_before(at).filter(|before| *before >= first) {
            back.push(before);
            at = before;
        }
        ours.reverse();
        if back != ours {
            return Err(format!("backwards it is {back:?}"));
        }
    }
    Ok(rules)
}

#[test]
fn calendar_events_are_what_systemd_makes_of_them() {
    let table = table();
    let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for line in rows {
        let fields: Vec<&str> = line.split('\t').collect();
        let [expr, zone, base, normalized, next] = fields[..] else { panic!("{line}: five fields are expected") };
        let expr = if expr == "(empty string)" { "" } else { expr };
        let row = Row { expr, zone: zone.parse().unwrap(), base: base.parse().unwrap(), normalized, next };
        *counts.entry("rows".to_owned()).or_default() += 1;
        match check(&row) {
            Ok(rules) if rules.is_empty() => *counts.entry("equal".to_owned()).or_default() += 1,
            Ok(rules) => {
                let names: Vec<&str> = rules.into_iter().collect();
                *counts.entry(format!("explained by {}", names.join(" and "))).or_default() += 1;
            }
            Err(problem) => failures.push(format!("{line}\n    {problem}")),
        }
    }
    println!("{counts:?}");
    assert!(counts["rows"] > 600, "{counts:?}");
    let shown = &failures[..failures.len().min(30)];
    assert!(failures.is_empty(), "{} of {counts:?} differ:\n{}", failures.len(), shown.join("\n"));
}

#[test]
fn what_is_too_long_is_refused() {
    for long in ["1,", "Mon,", "1..", "*", "9", "0.0000001,", "1/", " ", "\u{20ac}"] {
        assert!(Schedule::on_calendar(long.repeat(5000)).is_err(), "{long}");
    }
}

#[test]
fn events_are_described() {
    let rows = [
        ("daily", "Runs at 00:00."),
        ("Mon..Fri 09:00 Europe/Berlin", "Runs at 09:00 on Monday to Friday in Europe/Berlin."),
        ("*:0/15", "Runs every 15 minutes of every hour."),
        ("*:7:7", "Runs at second 7 of minute 7 of every hour."),
        ("Mon *-05~07/1", "Runs at 00:00 on one of the last 7 days of the month if that is Monday in May."),
        ("*-*~03", "Runs at 00:00 on the 3rd to last day of the month."),
        ("2026..2028,2030-*-1,15", "Runs at 00:00 on day 1 and 15 of the month in 2026 to 2028 and 2030."),
        ("*:*:0/0.25", "Runs every 0.25 seconds from second 0 to 59.75 of every minute."),
        ("Fri 9,17:00:0.5,30", "Runs at second 0.5 and at second 30 of 09:00 and 17:00 on Friday."),
    ];
    for (event, expected) in rows {
        assert_eq!(Schedule::on_calendar(event).unwrap().describe(), expected, "{event}");
    }
}

#[test]
fn unions_of_fractions_are_counted_whole() {
    // Each place of a minute that some of them has, counted once.
    let steps = [0.000_002, 0.000_003, 0.000_005, 0.000_064, 0.001_001, 0.25];
    let items: Vec<String> = steps.iter().map(|step| format!("0/{step:.6}")).collect();
    let schedule = Schedule::on_calendar(format!("*:*:{}", items.join(","))).unwrap();
    let micros: Vec<u64> = steps.iter().map(|step| (step * 1e6_f64).round() as u64).collect();
    let each = (0..60_000_000_u64).filter(|place| micros.iter().any(|step| place % step == 0)).count() as u64;
    let from: Instant = "2026-01-01T00:00:00Z".parse().unwrap();
    let before = from - TimeDelta::nanoseconds(1);
    for minutes in [1, 60, 525_600] {
        let until = before + TimeDelta::minutes(minutes);
        assert_eq!(schedule.count_between(before, until), each * minutes as u64, "{minutes} minutes");
    }
    let part = (0..1_234_567_u64).filter(|place| micros.iter().any(|step| place % step == 0)).count() as u64;
    assert_eq!(schedule.count_between(before, before + TimeDelta::microseconds(1_234_567)), part);
    assert_eq!(schedule.next_after(from), Some(from + TimeDelta::microseconds(2)));
}

#[test]
fn fractions_go_through_zone_changes_like_any_grid() {
    let changes = [
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("America/St_Johns", "2006-10-29T02:31:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ];
    let clauses =
        ["", "on gap next", "on gap shift", "on fold first", "on fold second", "between 01:30 and 02:15", "except on sunday"];
    for (zone, change) in changes {
        let change: Instant = change.parse().unwrap();
        for clause in clauses {
            let [event, grid] = ["calendar *:*:0.000/0.25", "every 250 milliseconds aligned"]
                .map(|text| format!("{text} in {zone} {clause}").parse::<Schedule>().unwrap());
            let edges = [-90_000, -7200, -3600, -1800, -1, 0, 1, 1800, 3600, 7200, 90_000].map(TimeDelta::seconds);
            let parts = [-250, -1, 0, 1, 125, 250].map(TimeDelta::milliseconds);
            for at in edges.into_iter().flat_map(|edge| parts.map(|part| change + edge + part)) {
                assert_eq!(event.next_after(at), grid.next_after(at), "{event} after {at}");
                assert_eq!(event.prev_before(at), grid.prev_before(at), "{event} before {at}");
                let until = change + TimeDelta::hours(3);
                assert_eq!(event.count_between(at, until), grid.count_between(at, until), "{event} from {at}");
            }
        }
    }
}
