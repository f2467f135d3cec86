//! Cron text as sets, read as plainly as can be. Only for text that is known to be right; anything else panics.

use chrono::{Datelike, NaiveDate, Weekday};

use crate::walk::{DateRule, Time};

pub(crate) struct Fields {
    pub(crate) dates: DateRule,
    pub(crate) time: Time,
    /// Whether one of seconds, minutes and hours begins with `*`.
    pub(crate) running: bool,
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

pub(crate) fn read(text: &str) -> Fields {
    let text = match text.trim().to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *".into(),
        "@daily" | "@midnight" => "0 0 * * *".into(),
        "@weekly" => "0 0 * * 0".into(),
        "@monthly" => "0 0 1 * *".into(),
        "@yearly" | "@annually" => "0 0 1 1 *".into(),
        _ => text.to_ascii_uppercase(),
    };
    let mut parts: Vec<&str> = text.split_ascii_whitespace().collect();
    if parts.len() == 5 {
        parts.insert(0, "0");
    }
    if parts.len() == 6 {
        parts.push("*");
    }
    let set =
        |text: &str, least: i64, most: i64| (least..=most).filter(|n| item_of(text, *n, least, most, &[])).collect::<Vec<_>>();
    let time = Time::Fields { seconds: set(parts[0], 0, 59), minutes: set(parts[1], 0, 59), hours: set(parts[2], 0, 23) };
    let running = parts[..3].iter().any(|part| part.starts_with('*'));

    let (dom, month, dow, years) = (parts[3].to_owned(), parts[4].to_owned(), parts[5].to_owned(), parts[6].to_owned());
    let both = dow.starts_with('+');
    let dow = dow.trim_start_matches('+').to_owned();
    let free = |field: &str| field == "*" || field == "?";
    let dates = move |date: NaiveDate| {
        let by_day = dom.split(',').any(|item| day_item(item, date));
        let by_weekday = dow.split(',').any(|item| weekday_item(item, date));
        let day = match (free(&dom), free(&dow)) {
            (true, true) => true,
            (true, false) => by_weekday,
            (false, true) => by_day,
            (false, false) if both => by_day && by_weekday,
            (false, false) => by_day || by_weekday,
        };
        let year_fits = years == "*" || item_of(&years, i64::from(date.year()), 1970, 2199, &[]);
        day && year_fits && item_of(&month, i64::from(date.month()), 1, 12, &MONTHS)
    };
    Fields { dates: Box::new(dates), time, running }
}

/// Whether a list of values, ranges and steps holds `n`.
fn item_of(list: &str, n: i64, least: i64, most: i64, names: &[&str]) -> bool {
    let number = |text: &str| match names.iter().position(|name| *name == text) {
        Some(at) => at as i64 + if names.len() == 12 { 1 } else { 0 },
        None => text.parse::<i64>().unwrap_or_else(|_| panic!("no number: {text} in {list}")),
    };
    list.split(',').any(|item| {
        let (range, step) = item.split_once('/').map_or((item, 1), |(range, step)| (range, step.parse().unwrap()));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (least, most),
            Some((from, to)) => (number(from), number(to)),
            None => (number(range), number(range)),
        };
        from <= n && n <= to && (n - from) % step == 0
    })
}

pub(crate) fn last_day(date: NaiveDate) -> u32 {
    (28..=31).rev().find(|day| date.with_day(*day).is_some()).unwrap()
}

pub(crate) fn weekend(date: NaiveDate) -> bool {
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// Whether `date` is the working day nearest to day `day` of its month, without leaving the month.
pub(crate) fn nearest_weekday(date: NaiveDate, day: u32) -> bool {
    let Some(wanted) = date.with_day(day) else { return false };
    let distance = |other: u32| other.abs_diff(wanted.day());
    let working = (1..=last_day(date)).filter(|day| !weekend(date.with_day(*day).unwrap()));
    working.min_by_key(|day| distance(*day)) == Some(date.day())
}

pub(crate) fn nth(date: NaiveDate, n: u32, weekday: u32) -> bool {
    date.weekday().num_days_from_sunday() == weekday % 7 && (date.day() - 1) / 7 + 1 == n
}

pub(crate) fn last_of_its_weekday(date: NaiveDate) -> bool {
    date.day() + 7 > last_day(date)
}

fn day_item(item: &str, date: NaiveDate) -> bool {
    let last = last_day(date);
    if item == "L" {
        return date.day() == last;
    }
    if item == "LW" {
        return !weekend(date) && (date.day() + 1..=last).all(|day| weekend(date.with_day(day).unwrap()));
    }
    if let Some(back) = item.strip_prefix("L-") {
        return date.day() + back.parse::<u32>().unwrap() == last;
    }
    match item.strip_suffix('W') {
        Some(day) => nearest_weekday(date, day.parse().unwrap()),
        None => item_of(item, i64::from(date.day()), 1, 31, &[]),
    }
}

fn weekday_item(item: &str, date: NaiveDate) -> bool {
    let today = i64::from(date.weekday().num_days_from_sunday());
    let number =
        |text: &str| WEEKDAYS.iter().position(|name| *name == text).map_or_else(|| text.parse().unwrap(), |at| at as u32);
    match (item.split_once('#'), item.strip_suffix('L')) {
        (Some((day, n)), _) => nth(date, n.parse().unwrap(), number(day)),
        (_, Some(day)) => number(day) % 7 == today as u32 && last_of_its_weekday(date),
        // Sunday is both 0 and 7; a step over the whole field counts from 0 to 6.
        _ if item.starts_with('*') || item.starts_with('?') => item_of(item, today, 0, 6, &WEEKDAYS),
        _ => item_of(item, today, 0, 7, &WEEKDAYS) || (today == 0 && item_of(item, 7, 0, 7, &WEEKDAYS)),
    }
}
