//! The one calendar engine: sets of years, months, days, weekdays and times of day.
//!
//! Words, cron text and (in time) systemd's and launchd's calendars are all compiled to a [`Calendar`]. It works on local
//! time alone. A month's matching days are one 32-bit mask, worked out from the sets in a few shifts, so that the search
//! goes month by month and day by bit, never second by second; the years end at 2199, so an impossible date is found out
//! after at most a few hundred masks.

use chrono::{Datelike, NaiveDate};

use super::combine::{Exclusions, Shift};
use super::zone::{DAY, date_of, day_of};

/// The first and the last year in which anything occurs.
pub(crate) const FIRST_YEAR: i32 = 1700;
pub(crate) const LAST_YEAR: i32 = 2199;

/// The first and last years that a cron text can name (OCPS 1.4 section 4.3.2 leaves the range to the implementation).
pub(crate) const CRON_YEARS: (i32, i32) = (1970, 2199);

/// Whence a rule that counts (every third day, every second hour) counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    /// Local seconds.
    pub(crate) local: i64,
    /// Whether the unit in which the anchor lies is itself one of those counted.
    pub(crate) counts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Calendar {
    pub(crate) days: DaySet,
    pub(crate) times: Times,
    /// Whether seconds, minutes and hours are all named.
    pub(crate) fixed: bool,
}

/// Times of day.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Times {
    /// Every combination; bit n stands for n.
    Sets { seconds: u64, minutes: u64, hours: u32 },
    /// Seconds of the day, sorted, none twice, at least one.
    List(Vec<u32>),
    /// The anchor's own time of day.
    OfAnchor,
}

/// A set of dates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DaySet {
    pub(crate) years: Years,
    /// Bit n stands for month n, 1 to 12.
    pub(crate) months: u16,
    pub(crate) of_month: DaysOfMonth,
    pub(crate) of_week: DaysOfWeek,
    pub(crate) join: Join,
    pub(crate) stride: Stride,
    pub(crate) taken: Taken,
}

/// Whether a date must be in both day sets or in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Join {
    Both,
    Either,
}

/// What is counted off from the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stride {
    None,
    Days(u32),
    Weeks(u32),
    Months(u32),
    Years(u32),
}

/// What the words left open and the anchor's date fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Taken {
    Nothing,
    Weekday,
    Day,
    MonthAndDay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DaysOfMonth {
    /// Bit n stands for day n, 1 to 31.
    pub(crate) plain: u32,
    /// Bit n stands for the day n before the last, 0 to 30.
    pub(crate) from_last: u32,
    /// Bit n stands for the working day nearest to day n.
    pub(crate) nearest: u32,
    /// The last working day.
    pub(crate) last_working: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DaysOfWeek {
    /// Bit n stands for weekday n, Sunday 0 to Saturday 6.
    pub(crate) plain: u8,
    /// The same, for the first to the fifth such weekday of the month.
    pub(crate) nth: [u8; 5],
    pub(crate) last: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Years {
    Any,
    /// Bit n stands for the year 1970 + n.
    Only([u64; 4]),
}

impl Years {
    pub(crate) fn contains(&self, year: i32) -> bool {
        match self {
            Years::Any => true,
            Years::Only(bits) => {
                let bit = year - CRON_YEARS.0;
                (0..256).contains(&bit) && bits[bit as usize / 64] >> (bit % 64) & 1 == 1
            }
        }
    }
}

impl DaysOfMonth {
    pub(crate) const ALL: Self = Self { plain: !1, from_last: 0, nearest: 0, last_working: false };
    pub(crate) const NONE: Self = Self { plain: 0, from_last: 0, nearest: 0, last_working: false };

    fn mask(&self, first: u32, length: u32) -> u32 {
        let mut mask = self.plain;
        let mut offsets = self.from_last;
        while offsets != 0 {
            mask |= 1u32.checked_shl(length.wrapping_sub(offsets.trailing_zeros())).unwrap_or(0);
            offsets &= offsets - 1;
        }
        let mut near = self.nearest & through(length);
        while near != 0 {
            mask |= 1 << nearest_working(near.trailing_zeros(), first, length);
            near &= near - 1;
        }
        if self.last_working {
            mask |= 1 << nearest_working(length, first, length);
        }
        mask & through(length)
    }
}

/// Bits 1 to `length`.
fn through(length: u32) -> u32 {
    (u32::MAX >> (31 - length)) & !1
}

/// The Monday to Friday nearest to `day` without leaving the month, whose first day is weekday `first`.
fn nearest_working(day: u32, first: u32, length: u32) -> u32 {
    match (first + day - 1) % 7 {
        6 if day > 1 => day - 1,
        6 => day + 2,
        0 if day < length => day + 1,
        0 => day - 2,
        _ => day,
    }
}

impl DaysOfWeek {
    pub(crate) const ALL: Self = Self { plain: 0x7f, nth: [0; 5], last: 0 };
    pub(crate) const NONE: Self = Self { plain: 0, nth: [0; 5], last: 0 };

    fn mask(&self, first: u32, length: u32) -> u32 {
        // Weekday sets turned so that bit 0 is the month's first day.
        let turn = |set: u8| {
            let set = u64::from(set);
            (set >> first | set << (7 - first)) & 0x7f
        };
        const WEEKS: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
        let mut mask = turn(self.plain) * WEEKS;
        for (week, set) in self.nth.iter().enumerate() {
            mask |= turn(*set) << (7 * week);
        }
        if self.last != 0 {
            mask |= (turn(self.last) * WEEKS) & (0x7f << (length - 7));
        }
        (mask << 1) as u32 & through(length)
    }
}

/// A month, with what the masks need to know of it.
#[derive(Clone, Copy)]
struct Month {
    year: i32,
    month: u32,
    /// Days since 1970-01-01 of its first day.
    start: i64,
    length: u32,
}

impl Month {
    fn of(day: i64) -> Option<(Month, u32)> {
        let date = date_of(day)?;
        let dom = date.day();
        let month = Month {
            year: date.year(),
            month: date.month(),
            start: day - i64::from(dom) + 1,
            length: month_length(date.year(), date.month()),
        };
        Some((month, dom))
    }

    fn next(self) -> Month {
        let (year, month) = if self.month == 12 { (self.year + 1, 1) } else { (self.year, self.month + 1) };
        Month { year, month, start: self.start + i64::from(self.length), length: month_length(year, month) }
    }

    fn prev(self) -> Month {
        let (year, month) = if self.month == 1 { (self.year - 1, 12) } else { (self.year, self.month - 1) };
        let length = month_length(year, month);
        Month { year, month, start: self.start - i64::from(length), length }
    }

    /// The weekday of its first day, Sunday 0. 1970-01-01 was a Thursday.
    fn first_weekday(&self) -> u32 {
        (self.start + 4).rem_euclid(7) as u32
    }

    /// Months since the year 0.
    fn index(&self) -> i64 {
        i64::from(self.year) * 12 + i64::from(self.month) - 1
    }
}

fn month_length(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The anchor's date, taken apart once for each search.
#[derive(Clone, Copy)]
struct Zero {
    day: i64,
    year: i32,
    month: u32,
    of_month: u32,
    /// Sunday 0.
    weekday: u32,
    counts: bool,
}

impl Zero {
    fn of(anchor: Anchor) -> Zero {
        let day = anchor.local.div_euclid(DAY);
        let date = date_of(day).unwrap_or_default();
        Zero {
            day,
            year: date.year(),
            month: date.month(),
            of_month: date.day(),
            weekday: (day + 4).rem_euclid(7) as u32,
            counts: anchor.counts,
        }
    }

    /// Days since 1970-01-01 of the Monday on or before the anchor.
    fn monday(&self) -> i64 {
        self.day - i64::from((self.weekday + 6) % 7)
    }
}

impl DaySet {
    pub(crate) const EVERY_DAY: DaySet = DaySet {
        years: Years::Any,
        months: 0x1ffe,
        of_month: DaysOfMonth::ALL,
        of_week: DaysOfWeek::ALL,
        join: Join::Both,
        stride: Stride::None,
        taken: Taken::Nothing,
    };

    fn needs_anchor(&self) -> bool {
        self.stride != Stride::None || self.taken != Taken::Nothing
    }

    /// The matching days of a month: bit n stands for day n.
    fn mask(&self, month: Month, zero: &Zero) -> u32 {
        let months = match self.taken {
            Taken::MonthAndDay => 1 << zero.month,
            _ => self.months,
        };
        if months >> month.month & 1 == 0 || !self.years.contains(month.year) {
            return 0;
        }
        let first = month.first_weekday();
        let of_month = match self.taken {
            Taken::Day | Taken::MonthAndDay => 1 << zero.of_month,
            _ => self.of_month.mask(first, month.length),
        };
        let of_week = match self.taken {
            Taken::Weekday => DaysOfWeek { plain: 1 << zero.weekday, ..DaysOfWeek::NONE }.mask(first, month.length),
            _ => self.of_week.mask(first, month.length),
        };
        let mask = match self.join {
            Join::Both => of_month & of_week,
            Join::Either => of_month | of_week,
        };
        mask & through(month.length) & self.stride_mask(month, zero)
    }

    fn stride_mask(&self, month: Month, zero: &Zero) -> u32 {
        match self.stride {
            Stride::None => !0,
            Stride::Days(n) => {
                let n = i64::from(n);
                let mut mask = 0;
                let mut day = month.start + (zero.day - month.start).rem_euclid(n);
                while day < month.start + i64::from(month.length) {
                    if zero.counts || n == 1 || day != zero.day {
                        mask |= 1 << (day - month.start + 1);
                    }
                    day += n;
                }
                mask
            }
            Stride::Weeks(n) => {
                let n = i64::from(n) * 7;
                let monday = zero.monday();
                (1..=month.length)
                    .filter(|dom| (month.start + i64::from(*dom) - 1 - monday).rem_euclid(n) < 7)
                    .fold(0, |mask, dom| mask | 1 << dom)
            }
            Stride::Months(n) => {
                let index = i64::from(zero.year) * 12 + i64::from(zero.month) - 1;
                if (month.index() - index).rem_euclid(n.into()) == 0 { !0 } else { 0 }
            }
            Stride::Years(n) => {
                if (i64::from(month.year) - i64::from(zero.year)).rem_euclid(n.into()) == 0 {
                    !0
                } else {
                    0
                }
            }
        }
    }
}

/// A day set as one search sees it: with its anchor, and with what is taken out of it or moved.
struct Days<'a> {
    set: &'a DaySet,
    zero: Zero,
    except: &'a Exclusions,
}

impl Days<'_> {
    fn mask(&self, month: Month) -> u32 {
        let mask = self.set.mask(month, &self.zero);
        if self.except.is_empty() || (mask == 0 && self.except.shift == Shift::Drop) {
            return mask;
        }
        (1..=month.length).filter(|dom| self.stands(month, *dom, mask)).fold(0, |mask, dom| mask | 1 << dom)
    }

    /// Whether a date is in the set once excluded ones are dropped or moved.
    fn stands(&self, month: Month, dom: u32, mask: u32) -> bool {
        let own = mask >> dom & 1 == 1;
        if self.except.shift == Shift::Drop && !own {
            return false;
        }
        let day = month.start + i64::from(dom) - 1;
        if self.except.excludes_day(day) {
            return false;
        }
        let back = match self.except.shift {
            Shift::Drop => return own,
            Shift::Next => -1,
            Shift::Previous => 1,
        };
        own || (1..=Shift::FARTHEST)
            .map(|away| day + away * back)
            .take_while(|source| self.except.excludes_day(*source))
            .any(|source| self.set_contains(source))
    }

    fn set_contains(&self, day: i64) -> bool {
        Month::of(day).is_some_and(|(month, dom)| self.set.mask(month, &self.zero) >> dom & 1 == 1)
    }

    fn next(&self, day: i64) -> Option<i64> {
        let (mut month, dom) = Month::of(day)?;
        let mut wanted = !0u32 << dom;
        let years = self.years();
        if month.year < years.0 {
            (month, _) = Month::of(day_of(NaiveDate::from_ymd_opt(years.0, 1, 1)?))?;
            wanted = !0;
        }
        let mut empty = 0;
        while month.year <= years.1 {
            let mask = self.mask(month) & wanted;
            if mask != 0 {
                return Some(month.start + i64::from(mask.trailing_zeros()) - 1);
            }
            empty += 1;
            if !self.except.is_empty() && empty > Exclusions::EMPTY_MONTHS {
                return None;
            }
            month = month.next();
            wanted = !0;
        }
        None
    }

    fn prev(&self, day: i64) -> Option<i64> {
        let (mut month, dom) = Month::of(day)?;
        let mut wanted = !(!0u32 << dom << 1);
        let years = self.years();
        if month.year > years.1 {
            (month, _) = Month::of(day_of(NaiveDate::from_ymd_opt(years.1, 12, 31)?))?;
            wanted = !0;
        }
        let mut empty = 0;
        while month.year >= years.0 {
            let mask = self.mask(month) & wanted;
            if mask != 0 {
                return Some(month.start + i64::from(mask.ilog2()) - 1);
            }
            empty += 1;
            if !self.except.is_empty() && empty > Exclusions::EMPTY_MONTHS {
                return None;
            }
            month = month.prev();
            wanted = !0;
        }
        None
    }

    /// The years worth searching.
    fn years(&self) -> (i32, i32) {
        match &self.set.years {
            Years::Any => (FIRST_YEAR, LAST_YEAR),
            Years::Only(_) => CRON_YEARS,
        }
    }

    /// How many days lie in `[from, to)`.
    fn count(&self, from: i64, to: i64) -> u64 {
        let Some((mut month, dom)) = Month::of(from) else { return 0 };
        let mut wanted = !0u32 << dom;
        let mut days = 0;
        while month.start < to && month.year <= LAST_YEAR {
            let beyond = to - month.start;
            if beyond < i64::from(month.length) {
                wanted &= !(!0u32 << beyond << 1);
            }
            days += u64::from((self.mask(month) & wanted).count_ones());
            month = month.next();
            wanted = !0;
        }
        days
    }
}

impl Times {
    fn next(&self, from: u32, anchor: Anchor) -> Option<u32> {
        match self {
            Times::List(list) => list.get(list.partition_point(|time| *time < from)).copied(),
            Times::OfAnchor => Some(anchor.local.rem_euclid(DAY) as u32).filter(|time| *time >= from),
            Times::Sets { seconds, minutes, hours } => {
                if from >= DAY as u32 {
                    return None;
                }
                let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
                if hours >> hour & 1 == 1 {
                    if minutes >> minute & 1 == 1 {
                        if let Some(second) = bit_from(*seconds, second) {
                            return Some(hour * 3600 + minute * 60 + second);
                        }
                    }
                    if let Some(minute) = bit_from(*minutes, minute + 1) {
                        return Some(hour * 3600 + minute * 60 + seconds.trailing_zeros());
                    }
                }
                let hour = bit_from((*hours).into(), hour + 1)?;
                Some(hour * 3600 + minutes.trailing_zeros() * 60 + seconds.trailing_zeros())
            }
        }
    }

    fn prev(&self, to: u32, anchor: Anchor) -> Option<u32> {
        match self {
            Times::List(list) => list[..list.partition_point(|time| *time <= to)].last().copied(),
            Times::OfAnchor => Some(anchor.local.rem_euclid(DAY) as u32).filter(|time| *time <= to),
            Times::Sets { seconds, minutes, hours } => {
                let (hour, minute, second) = (to / 3600, to / 60 % 60, to % 60);
                let (last_minute, last_second) = (minutes.checked_ilog2()?, seconds.checked_ilog2()?);
                if hours >> hour & 1 == 1 {
                    if minutes >> minute & 1 == 1 {
                        if let Some(second) = bit_to(*seconds, second) {
                            return Some(hour * 3600 + minute * 60 + second);
                        }
                    }
                    if let Some(minute) = minute.checked_sub(1).and_then(|minute| bit_to(*minutes, minute)) {
                        return Some(hour * 3600 + minute * 60 + last_second);
                    }
                }
                let hour = bit_to((*hours).into(), hour.checked_sub(1)?)?;
                Some(hour * 3600 + last_minute * 60 + last_second)
            }
        }
    }

    /// How many there are before a second of the day.
    fn count_before(&self, end: u32, anchor: Anchor) -> u64 {
        match self {
            Times::List(list) => list.partition_point(|time| *time < end) as u64,
            Times::OfAnchor => u64::from((anchor.local.rem_euclid(DAY) as u32) < end),
            Times::Sets { seconds, minutes, hours } => {
                let below = |set: u64, n: u32| u64::from((set & !(!0u64).checked_shl(n).unwrap_or(0)).count_ones());
                let all = |set: u64| u64::from(set.count_ones());
                let hours = u64::from(*hours);
                let (hour, minute, second) = (end / 3600, end / 60 % 60, end % 60);
                let mut count = below(hours, hour) * all(*minutes) * all(*seconds);
                if hours >> hour & 1 == 1 {
                    count += below(*minutes, minute) * all(*seconds);
                    if minutes >> minute & 1 == 1 {
                        count += below(*seconds, second);
                    }
                }
                count
            }
        }
    }
}

/// The lowest set bit at or above `from`.
fn bit_from(set: u64, from: u32) -> Option<u32> {
    let rest = set & (!0u64).checked_shl(from)?;
    (rest != 0).then(|| rest.trailing_zeros())
}

/// The highest set bit at or below `to`, which is less than 63.
fn bit_to(set: u64, to: u32) -> Option<u32> {
    (set & !(!0u64 << (to + 1))).checked_ilog2()
}

impl Calendar {
    pub(crate) fn is_fixed(&self) -> bool {
        self.fixed
    }

    /// Whether anything of it hangs on an anchor.
    pub(crate) fn needs_anchor(&self) -> bool {
        self.days.needs_anchor() || self.times == Times::OfAnchor
    }

    fn days<'a>(&'a self, anchor: Anchor, except: &'a Exclusions) -> Days<'a> {
        let zero = if self.days.needs_anchor() {
            Zero::of(anchor)
        } else {
            Zero { day: 0, year: 1970, month: 1, of_month: 1, weekday: 4, counts: true }
        };
        Days { set: &self.days, zero, except }
    }

    /// The first local second at or after `from`.
    pub(crate) fn next(&self, from: i64, anchor: Anchor, except: &Exclusions) -> Option<i64> {
        let days = self.days(anchor, except);
        let day = from.div_euclid(DAY);
        let first = days.next(day)?;
        if first == day {
            if let Some(time) = self.times.next(from.rem_euclid(DAY) as u32, anchor) {
                return Some(day * DAY + i64::from(time));
            }
            let later = days.next(day + 1)?;
            return Some(later * DAY + i64::from(self.times.next(0, anchor)?));
        }
        Some(first * DAY + i64::from(self.times.next(0, anchor)?))
    }

    /// The last local second at or before `to`.
    pub(crate) fn prev(&self, to: i64, anchor: Anchor, except: &Exclusions) -> Option<i64> {
        const LAST: u32 = DAY as u32 - 1;
        let days = self.days(anchor, except);
        let day = to.div_euclid(DAY);
        let last = days.prev(day)?;
        if last == day {
            if let Some(time) = self.times.prev(to.rem_euclid(DAY) as u32, anchor) {
                return Some(day * DAY + i64::from(time));
            }
            let earlier = days.prev(day - 1)?;
            return Some(earlier * DAY + i64::from(self.times.prev(LAST, anchor)?));
        }
        Some(last * DAY + i64::from(self.times.prev(LAST, anchor)?))
    }

    /// How many local seconds in `[from, to)` are members.
    pub(crate) fn count(&self, from: i64, to: i64, anchor: Anchor, except: &Exclusions) -> u64 {
        let days = self.days(anchor, except);
        let before = |end: i64| self.times.count_before(end.rem_euclid(DAY) as u32, anchor);
        let (first, last) = (from.div_euclid(DAY), to.div_euclid(DAY));
        let whole = days.count(first, last) * self.times.count_before(DAY as u32, anchor);
        let is_member = |day| days.count(day, day + 1) == 1;
        // Whole days from the first on, less what of the first lies before `from`, and what of the last lies before `to`.
        let early = before(from);
        let late = before(to);
        let early = if early > 0 && is_member(first) { early } else { 0 };
        let late = if late > 0 && is_member(last) { late } else { 0 };
        whole + late - early
    }
}
