//! Calendar events (`OnCalendar=`) against systemd's answers.
//!
//! Where they differ, one of these rules must explain it, worked out for the instant in question:
//!
//! - *gap*: a zone change skips a time that is named; systemd drops it, punctual runs once at the end of the gap.
//! - *fold*: a zone change repeats a time; punctual takes the first pass of a time that is named and both of one that runs with
//!   the clock, systemd some one of them.
//! - *2100*: chrono-tz knows of no change of a zone after 2099, systemd goes on with the last rule: the other has the same time
//!   so much earlier or later as the zone's clocks were set for the summer.
//! - *abbreviation*: systemd takes the abbreviation of the asking process's own zone for that zone at that offset; punctual reads
//!   it as the IANA's zone of this name, if there is one.
//! - *limit*: systemd gives up after 1,000 steps and says so; what it found before is compared.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};
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
fn rule(event: &Schedule, zone: Tz, at: Instant, ours: bool) -> Option<&'static str> {
    changes_near(zone, at).into_iter().find_map(|change| {
        let local = |offset: i64| change.at + TimeDelta::seconds(offset);
        if change.after > change.before {
            // Local times that are skipped, read as if they were UTC.
            let (start, end) = (local(change.before), local(change.after));
            let in_utc = event.clone().in_zone(Utc);
            let skipped = in_utc.next_after(start - TimeDelta::nanoseconds(1)).is_some_and(|time| time < end);
            return (ours && at == change.at && skipped && is_fixed(event)).then_some("gap");
        }
        let length = TimeDelta::seconds(change.before - change.after);
        let (is_first, is_second) =
            ((change.at - length..change.at).contains(&at), (change.at..change.at + length).contains(&at));
        let explained = match (is_fixed(event), ours) {
            (true, true) => is_first,
            (true, false) => is_second,
            // Of a time that runs with the clock we have all that they have.
            (false, true) => is_first || is_second,
            (false, false) => false,
        };
        explained.then_some("fold")
    })
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
        OffsetName::abbreviation(&offset) == Some(name)
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
    let schedule = match (Schedule::on_calendar(row.expr), row.next) {
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
    if normalized != row.normalized {
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
            "gave_up" => drop(rules.insert("limit")),
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
            true => theirs.contains(&other) || other <= row.base,
            false => schedule.next_after(other - TimeDelta::nanoseconds(1)) == Some(other),
        };
        let is_moved = is_late && !summer.is_zero() && (moved(at + summer) || moved(at - summer));
        match rule(&schedule, zone, at, is_ours).or(is_moved.then_some("2100")) {
            Some(rule) => drop(rules.insert(rule)),
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
