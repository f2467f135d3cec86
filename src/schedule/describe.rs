//! A schedule in one English sentence, for people who did not write it.

use std::fmt::Write;

use super::calendar::{Calendar, DaysOfMonth, DaysOfWeek, Join, Times, Years};
use super::print::{Clock, Instant, Span, list, month_day, month_names, weekday_names};
use super::words::{MONDAY_TO_FRIDAY, MonthDay};
use super::{Rhythm, Schedule, Unit};

pub(super) fn describe(schedule: &Schedule) -> String {
    let mut text = String::from("Runs ");
    text.push_str(&when(schedule));
    text.push('.');
    text
}

fn when(schedule: &Schedule) -> String {
    let spec = schedule.spec();
    let bare = Schedule::new(spec.rhythm.clone());
    let mut text = match &spec.rhythm {
        Rhythm::Interval(_) if spec.after_completion => format!("{bare} after the end of the run before"),
        Rhythm::Aligned(period) => format!("every {} on the clock", Span(*period)),
        Rhythm::Random(_) => format!("{bare}, drawn anew each time"),
        Rhythm::Units(places) if (places.unit, places.every) == (Unit::Hour, 1) => {
            format!(
                "{} past every hour",
                list(places.at.iter().map(|place| format!("{}", Span(i64::from(*place) * 1_000_000_000))))
            )
        }
        Rhythm::Cron(said) => cron(&said.calendar),
        #[cfg(feature = "systemd")]
        Rhythm::OnCalendar(said) if said.places.is_empty() => cron(&said.calendar),
        #[cfg(feature = "systemd")]
        Rhythm::OnCalendar(said) => {
            let minutes = cron(&said.calendar);
            format!("{} of {}", places(&said.places), minutes.strip_prefix("at ").unwrap_or(&minutes))
        }
        Rhythm::Once(at) => format!("once, at {}", Instant(*at)),
        Rhythm::After(delay) => format!("once, {} after it is registered", Span(*delay)),
        Rhythm::Reboot => "once, at the scheduler's first poll".to_owned(),
        Rhythm::AnyOf(parts) => joined(parts, "and also"),
        Rhythm::AllOf(parts) => joined(parts, "whenever that coincides with a run"),
        Rhythm::Custom(trigger) => return custom(&trigger.0.describe()),
        _ => bare.to_string(),
    };
    // The clauses read as they are written.
    let whole = schedule.to_string();
    let printed = bare.to_string();
    let clauses = whole.strip_prefix(&printed).unwrap_or("");
    text.push_str(&clauses.replacen(" after completion", "", 1));
    text
}

fn custom(sentence: &str) -> String {
    sentence.strip_prefix("Runs ").unwrap_or(sentence).trim_end_matches('.').to_owned()
}

fn joined(parts: &[Schedule], word: &str) -> String {
    parts.iter().map(when).collect::<Vec<_>>().join(&format!(", {word} "))
}

fn cron(calendar: &Calendar) -> String {
    let mut text = times(&calendar.times);
    let days = &calendar.days;
    let of_month = (days.of_month != DaysOfMonth::ALL).then(|| days_of_month(&days.of_month));
    let of_week = (days.of_week != DaysOfWeek::ALL).then(|| days_of_week(&days.of_week));
    let _ = match (of_month, of_week, days.join) {
        (None, None, _) => Ok(()),
        (Some(days), None, Join::Both) | (None, Some(days), Join::Both) => write!(text, " on {days}"),
        (Some(_), None, Join::Either) | (None, Some(_), Join::Either) => Ok(()),
        (Some(of_month), Some(of_week), Join::Either) => write!(text, " on {of_month} and on {of_week}"),
        (Some(of_month), Some(of_week), Join::Both) => write!(text, " on {of_month} if that is {of_week}"),
    };
    if days.months != 0x1ffe {
        let _ = write!(text, " in {}", list(month_names(days.months).map(capital)));
    }
    if let Years::Only(bits) = &days.years {
        let years = (0..256).filter(|bit| bits[bit / 64] >> (bit % 64) & 1 == 1).map(|bit| bit as u32 + 1970);
        let _ = write!(text, " in {}", runs(years, |year| year.to_string()));
    }
    text
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn bits(set: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |bit| set >> bit & 1 == 1)
}

/// Numbers with runs of three and more drawn together: `1 to 5 and 9`.
fn runs(numbers: impl Iterator<Item = u32>, name: impl Fn(u32) -> String) -> String {
    let mut groups: Vec<(u32, u32)> = Vec::new();
    for n in numbers {
        match groups.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => groups.push((n, n)),
        }
    }
    let group = |(first, last): (u32, u32)| match last - first {
        0 => vec![name(first)],
        1 => vec![name(first), name(last)],
        _ => vec![format!("{} to {}", name(first), name(last))],
    };
    list(groups.into_iter().flat_map(group))
}

/// `every 5` for steps from the start of the field, else the numbers.
fn step(set: u64, size: u32) -> Option<u32> {
    let count = set.count_ones();
    (2..size).find(|step| bits(set).eq((0..size).step_by(*step as usize))).filter(|_| count > 2)
}

fn times(times: &Times) -> String {
    let Times::Sets { seconds, minutes, hours } = *times else { return "at its times".to_owned() };
    let hours = u64::from(hours);
    let (all_hours, all_minutes) = (hours == 0xff_ffff, minutes == (1 << 60) - 1);
    let number = |n: u32| n.to_string();
    let few = seconds.count_ones() == 1 && minutes.count_ones() * hours.count_ones() <= 6;
    if few && !all_hours {
        let second = seconds.trailing_zeros();
        let clocks = bits(hours).flat_map(|hour| bits(minutes).map(move |minute| Clock(hour * 3600 + minute * 60 + second)));
        return format!("at {}", list(clocks));
    }
    let mut text = match seconds {
        1 => String::new(),
        _ if seconds == (1 << 60) - 1 => "every second of ".to_owned(),
        _ => match step(seconds, 60) {
            Some(step) => format!("every {step} seconds of "),
            None => format!("at second {} of ", runs(bits(seconds), number)),
        },
    };
    text.push_str(&match () {
        () if all_minutes => "every minute".to_owned(),
        () => match step(minutes, 60) {
            Some(step) => format!("every {step} minutes"),
            None if text.is_empty() => format!("at minute {}", runs(bits(minutes), number)),
            None => format!("minute {}", runs(bits(minutes), number)),
        },
    });
    match () {
        () if all_hours && all_minutes => {}
        () if all_hours => text.push_str(" of every hour"),
        () => match step(hours, 24) {
            Some(step) => {
                let _ = write!(text, " of every {step} hours");
            }
            None => {
                let _ = write!(text, " of hour {}", runs(bits(hours), number));
            }
        },
    }
    text
}

#[cfg(feature = "systemd")]
fn places(places: &super::on_calendar::Places) -> String {
    let second = |place: u32| match format!("{}.{:06}", place / 1_000_000, place % 1_000_000) {
        text if place % 1_000_000 == 0 => text[..text.len() - 7].to_owned(),
        text => text.trim_end_matches('0').to_owned(),
    };
    list(places.0.iter().map(|places| match (places.first, places.last) {
        (first, last) if first == last => format!("at second {}", second(first)),
        (first, last) => format!("every {} seconds from second {} to {}", second(places.step), second(first), second(last)),
    }))
}

fn days_of_month(days: &DaysOfMonth) -> String {
    let mut names = Vec::new();
    if days.plain != 0 {
        names.push(format!("day {}", runs(bits(days.plain.into()), |day| day.to_string())));
    }
    let ending = days.from_last.trailing_ones();
    if ending > 2 {
        names.push(format!("one of the last {ending} days"));
    }
    let others = days.from_last & if ending > 2 { u32::MAX << ending } else { u32::MAX };
    names.extend(bits(others.into()).map(|before| format!("the {}", month_day(MonthDay::BeforeLast(before as u8)))));
    names.extend(bits(days.nearest.into()).map(|day| format!("the {}", month_day(MonthDay::Nearest(day as u8)))));
    if days.last_working {
        names.push("the last weekday".to_owned());
    }
    format!("{} of the month", list(names))
}

fn days_of_week(days: &DaysOfWeek) -> String {
    let mut names = Vec::new();
    if days.plain == MONDAY_TO_FRIDAY {
        names.push("Monday to Friday".to_owned());
    } else {
        names.extend(weekday_names(days.plain).map(capital));
    }
    for (nth, set) in days.nth.iter().enumerate() {
        names.extend(
            bits((*set).into()).map(|day| format!("the {} of the month", named(MonthDay::Nth(nth as u8 + 1, day as u8)))),
        );
    }
    names.extend(bits(days.last.into()).map(|day| format!("the {} of the month", named(MonthDay::LastWeekday(day as u8)))));
    list(names)
}

/// `2nd Tuesday`.
fn named(day: MonthDay) -> String {
    let text = month_day(day);
    match text.rsplit_once(' ') {
        Some((which, weekday)) => format!("{which} {}", capital(weekday)),
        None => text,
    }
}
