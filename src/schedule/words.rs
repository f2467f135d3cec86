//! Dates in words (every third day, the second Tuesday, the last day of the month), compiled to a [`Calendar`].

use chrono::Weekday;

use super::calendar::{Calendar, DaySet, DaysOfMonth, DaysOfWeek, Join, Stride, Taken, Times};

/// Which dates a rule in words means. Counts are at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Words {
    Days(u32),
    /// Every so many weeks on these weekdays (bit n stands for weekday n, Sunday 0), or on the anchor's if there are none.
    Weeks(u32, u8),
    /// Every so many months on these days, or on the anchor's if there are none.
    Months(u32, Vec<MonthDay>),
    /// Every so many years in these months (bit n stands for month n) on these days; the anchor fills in what is missing.
    Years(u32, u16, Vec<MonthDay>),
}

/// A day of a month. Weekdays count from Sunday 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum MonthDay {
    Day(u8),
    Nearest(u8),
    Nth(u8, u8),
    LastWeekday(u8),
    /// So many days before the last; 0 is the last.
    BeforeLast(u8),
}

pub(crate) const MONDAY_TO_FRIDAY: u8 = 0b0111110;

impl Words {
    /// With the times of day, in seconds; none means the anchor's.
    pub(crate) fn compile(&self, times: &[u32]) -> Calendar {
        let mut days = DaySet::EVERY_DAY;
        match self {
            Words::Days(1) => {}
            Words::Days(n) => days.stride = Stride::Days(*n),
            Words::Weeks(n, weekdays) => {
                if *weekdays == 0 {
                    days.taken = Taken::Weekday;
                } else {
                    days.of_week = DaysOfWeek { plain: *weekdays, ..DaysOfWeek::NONE };
                }
                if *n > 1 {
                    days.stride = Stride::Weeks(*n);
                }
            }
            Words::Months(n, of_month) => {
                if of_month.is_empty() {
                    days.taken = Taken::Day;
                }
                set_days(&mut days, of_month);
                if *n > 1 {
                    days.stride = Stride::Months(*n);
                }
            }
            Words::Years(n, months, of_month) => {
                match (*months, of_month.is_empty()) {
                    (0, _) => days.taken = Taken::MonthAndDay,
                    (months, true) => {
                        days.months = months;
                        days.taken = Taken::Day;
                    }
                    (months, false) => days.months = months,
                }
                set_days(&mut days, of_month);
                if *n > 1 {
                    days.stride = Stride::Years(*n);
                }
            }
        }
        let times = if times.is_empty() { Times::OfAnchor } else { Times::List(times.to_vec()) };
        Calendar { days, times, fixed: true }
    }
}

fn set_days(days: &mut DaySet, of_month: &[MonthDay]) {
    if of_month.is_empty() {
        return;
    }
    let (mut dates, mut weekdays) = (DaysOfMonth::NONE, DaysOfWeek::NONE);
    for day in of_month {
        match *day {
            MonthDay::Day(day) => dates.plain |= 1 << day,
            MonthDay::Nearest(day) => dates.nearest |= 1 << day,
            MonthDay::BeforeLast(offset) => dates.from_last |= 1 << offset,
            MonthDay::Nth(nth, weekday) => weekdays.nth[usize::from(nth) - 1] |= 1 << weekday,
            MonthDay::LastWeekday(weekday) => weekdays.last |= 1 << weekday,
        }
    }
    days.of_month = dates;
    days.of_week = weekdays;
    days.join = Join::Either;
}

pub(crate) fn sunday_zero(day: Weekday) -> u8 {
    day.num_days_from_sunday() as u8
}

/// `HH:MM` or `HH:MM:SS` as a second of the day.
pub(crate) fn time_of_day(text: &str) -> Option<u32> {
    let bytes = text.as_bytes();
    let two = |place: usize, below: u32| {
        let (tens, ones) = (*bytes.get(place)?, *bytes.get(place + 1)?);
        let n = u32::from(tens.checked_sub(b'0')?) * 10 + u32::from(ones.checked_sub(b'0')?);
        (tens.is_ascii_digit() && ones.is_ascii_digit() && n < below).then_some(n)
    };
    let colon = |place: usize| bytes.get(place) == Some(&b':');
    match bytes.len() {
        5 if colon(2) => Some(two(0, 24)? * 3600 + two(3, 60)? * 60),
        8 if colon(2) && colon(5) => Some(two(0, 24)? * 3600 + two(3, 60)? * 60 + two(6, 60)?),
        _ => None,
    }
}
