//! Schedules in plain words, as `Display` prints them.

use std::fmt;

use chrono::NaiveDate;

use super::combine::{Exclusions, Shift};
use super::interval::Unit;
use super::words::{MONDAY_TO_FRIDAY, MonthDay, Words};
use super::{Dialect, InWords, OnFold, OnGap, Places, Rhythm, Schedule, from_nanos};

pub(crate) const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
pub(crate) const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
pub(crate) const DURATIONS: [(&str, i64); 6] = [
    ("hour", 3_600_000_000_000),
    ("minute", 60_000_000_000),
    ("second", 1_000_000_000),
    ("millisecond", 1_000_000),
    ("microsecond", 1_000),
    ("nanosecond", 1),
];

/// A count and its unit: `minute`, `5 minutes`, or with `one`, `1 minute`.
fn counted(f: &mut fmt::Formatter<'_>, n: i64, unit: &str, one: bool) -> fmt::Result {
    match n {
        1 if one => write!(f, "1 {unit}"),
        1 => f.write_str(unit),
        _ => write!(f, "{n} {unit}s"),
    }
}

/// The largest unit that a duration is a whole number of.
pub(super) fn in_units(nanos: i64) -> (i64, &'static str) {
    let (unit, size) = DURATIONS.into_iter().find(|(_, size)| nanos % size == 0).unwrap_or(("nanosecond", 1));
    (nanos / size, unit)
}

/// A duration in words.
pub(super) struct Span(pub(super) i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, unit) = in_units(self.0);
        counted(f, n, unit, true)
    }
}

/// A second of the day, `09:00` or `09:00:30`.
pub(super) struct Clock(pub(super) u32);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60)?;
        if self.0 % 60 != 0 { write!(f, ":{:02}", self.0 % 60) } else { Ok(()) }
    }
}

/// An instant, `2026-12-24 18:00:00 UTC`.
pub(super) struct Instant(pub(super) i64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} UTC", from_nanos(self.0).format("%Y-%m-%d %H:%M:%S%.f"))
    }
}

fn ordinal(n: u8) -> String {
    let suffix = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

/// Items joined by `and`.
pub(super) fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(" and ")
}

/// The names of a set of weekdays, Monday first.
pub(super) fn weekday_names(set: u8) -> impl Iterator<Item = &'static str> {
    (1..=7).map(|day| day % 7).filter(move |day| set >> day & 1 == 1).map(|day| WEEKDAYS[day])
}

pub(super) fn month_names(set: u16) -> impl Iterator<Item = &'static str> {
    (1..=12).filter(move |month| set >> month & 1 == 1).map(|month| MONTHS[month - 1])
}

/// A day of the month without an article: `15th`, `last friday`.
pub(super) fn month_day(day: MonthDay) -> String {
    match day {
        MonthDay::Day(day) => ordinal(day),
        MonthDay::Nearest(day) => format!("weekday nearest the {}", ordinal(day)),
        MonthDay::Nth(nth, weekday) => format!("{} {}", ordinal(nth), WEEKDAYS[usize::from(weekday)]),
        MonthDay::LastWeekday(weekday) => format!("last {}", WEEKDAYS[usize::from(weekday)]),
        MonthDay::BeforeLast(0) => "last day".to_owned(),
        MonthDay::BeforeLast(days) => format!("{} to last day", ordinal(days + 1)),
    }
}

pub(super) fn words(f: &mut dyn fmt::Write, rule: &Words) -> fmt::Result {
    let unit = |n: u32, unit: &str| if n == 1 { unit.to_owned() } else { format!("{n} {unit}s") };
    let days = |days: &[MonthDay]| list(days.iter().map(|day| format!("the {}", month_day(*day))));
    match rule {
        Words::Days(n) => write!(f, "every {}", unit(*n, "day")),
        Words::Weeks(1, MONDAY_TO_FRIDAY) => f.write_str("every weekday"),
        Words::Weeks(1, set) if *set != 0 => write!(f, "every {}", list(weekday_names(*set))),
        Words::Weeks(n, 0) => write!(f, "every {}", unit(*n, "week")),
        Words::Weeks(n, set) => write!(f, "every {} on {}", unit(*n, "week"), list(weekday_names(*set))),
        Words::Months(1, of_month) if matches!(of_month[..], [day] if !matches!(day, MonthDay::Day(_))) => {
            write!(f, "every {} of the month", month_day(of_month[0]))
        }
        Words::Months(n, of_month) => {
            write!(f, "every {}", unit(*n, "month"))?;
            if of_month.is_empty() { Ok(()) } else { write!(f, " on {}", days(of_month)) }
        }
        Words::Years(n, months, of_month) => {
            write!(f, "every {}", unit(*n, "year"))?;
            match (*months, &of_month[..]) {
                (0, _) => Ok(()),
                (months, []) => write!(f, " in {}", list(month_names(months))),
                (months, [MonthDay::Day(day)]) => write!(f, " on {day} {}", list(month_names(months))),
                (months, of_month) => write!(f, " on {} of {}", days(of_month), list(month_names(months))),
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = self.spec();
        match &spec.rhythm {
            Rhythm::Interval(period) | Rhythm::Aligned(period) => {
                f.write_str("every ")?;
                let (n, unit) = in_units(*period);
                counted(f, n, unit, false)?;
                if matches!(spec.rhythm, Rhythm::Aligned(_)) {
                    f.write_str(" aligned")?;
                }
            }
            Rhythm::Random(random) => {
                let unit = match random.unit {
                    Unit::Nanos(nanos) => in_units(nanos).1,
                    Unit::Minute => "minute",
                    Unit::Hour => "hour",
                    Unit::Day => "day",
                    Unit::Week => "week",
                };
                write!(f, "every {} to {} {unit}s", random.least, random.most)?;
                if let Some(time) = random.time {
                    write!(f, " at {}", Clock(time))?;
                }
            }
            Rhythm::Units(places) => {
                let Places { unit, every, at } = &**places;
                let name = if *unit == Unit::Hour { "hour" } else { "minute" };
                f.write_str("every ")?;
                counted(f, (*every).into(), name, false)?;
                let place = |place: &u32| match unit {
                    Unit::Hour if place % 60 != 0 => format!("{:02}:{:02}", place / 60, place % 60),
                    Unit::Hour => format!(":{:02}", place / 60),
                    _ => format!(":{place:02}"),
                };
                write!(f, " at {}", list(at.iter().map(place)))?;
            }
            Rhythm::Words(said) => {
                let InWords { rule, times, .. } = &**said;
                words(f, rule)?;
                if !times.is_empty() {
                    write!(f, " at {}", list(times.iter().map(|time| Clock(*time))))?;
                }
            }
            Rhythm::Cron(cron) => {
                let vixie = if cron.dialect == Dialect::Vixie { "vixie " } else { "" };
                write!(f, "{vixie}cron {}", cron.text)?;
            }
            #[cfg(feature = "systemd")]
            Rhythm::OnCalendar(said) => write!(f, "calendar {}", said.text)?,
            Rhythm::Once(at) => write!(f, "once at {}", Instant(*at))?,
            Rhythm::After(delay) => write!(f, "once after {}", Span(*delay))?,
            Rhythm::Reboot => f.write_str("at reboot")?,
            Rhythm::AnyOf(parts) => joined(f, parts, "or")?,
            Rhythm::AllOf(parts) => joined(f, parts, "and")?,
            Rhythm::Custom(_) => f.write_str("<trigger>")?,
        }
        self.clauses(f)
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Schedule], word: &str) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            write!(f, " {word} ")?;
        }
        write!(f, "({part})")?;
    }
    Ok(())
}

impl Schedule {
    fn clauses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = self.spec();
        if spec.after_completion {
            f.write_str(" after completion")?;
        }
        if let Some(start) = spec.start {
            write!(f, " starting at {}", Instant(start))?;
        }
        if spec.immediately {
            f.write_str(" immediately")?;
        }
        if let Some(zone) = &spec.zone {
            write!(f, " in {zone}")?;
        }
        if let Some(rule) = spec.on_gap {
            f.write_str(match rule {
                OnGap::Next => " on gap next",
                OnGap::Shift => " on gap shift",
                OnGap::Skip => " on gap skip",
            })?;
        }
        if let Some(rule) = spec.on_fold {
            f.write_str(match rule {
                OnFold::First => " on fold first",
                OnFold::Second => " on fold second",
                OnFold::Both => " on fold both",
            })?;
        }
        if let Some(window) = spec.window {
            write!(f, " between {} and {}", Clock(window.from), Clock(window.to))?;
        }
        exclusions(f, &spec.except)?;
        if let Some(until) = spec.until {
            write!(f, " until {}", Instant(until))?;
        }
        match spec.times {
            Some(1) => f.write_str(" once")?,
            Some(times) => write!(f, " at most {times} times")?,
            None => {}
        }
        for (name, duration) in [("jitter", spec.jitter), ("slack", spec.slack)] {
            if !duration.is_zero() {
                write!(f, " with {name} {}", Span(super::length(duration)))?;
            }
        }
        Ok(())
    }
}

fn exclusions(f: &mut fmt::Formatter<'_>, except: &Exclusions) -> fmt::Result {
    let names = weekday_names(except.weekdays).map(str::to_owned);
    let dates = except.dates.iter().map(NaiveDate::to_string);
    let items: Vec<String> = names.chain(dates).collect();
    if !items.is_empty() {
        write!(f, " except on {}", list(items))?;
    }
    for _ in &except.predicates {
        f.write_str(" except <predicate>")?;
    }
    match except.shift {
        Shift::Drop => Ok(()),
        Shift::Next => f.write_str(" shifted to the next day"),
        Shift::Previous => f.write_str(" shifted to the previous day"),
    }
}
