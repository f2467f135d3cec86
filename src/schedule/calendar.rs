//! The one calendar engine: sets of years, months, days, weekdays and times of day.
//!
//! Words, cron text and (in time) systemd's and launchd's calendars are all compiled to a [`Calendar`]. It works on local
//! time alone. A month's matching days are one 32-bit mask, worked out from the sets in a few shifts, so that the search
//! goes month by month and day by bit, never second by second. Months and years that the sets leave out are passed over
//! without a mask.
//!
//! An impossible date ends the search early: what a month's days are follows from its name, its length and its first weekday,
//! and each such kind of month returns within forty years ([`MONTHS_RECUR`]). So 41 years are searched, not all up to 2199,
//! unless years are named or counted. Deciding it once, when a cron text is read, was not taken: it would burden every text
//! for the few that never run.
//!
//! Dates are counted here and not by chrono's `NaiveDate`, whose ordinals have to be taken apart again for each month. One
//! mask serves both the rest of the day asked about and the rest of its month; two searches, one from that day and one from
//! the next, took a sixth more instructions. A path for 29 February alone, which goes by leap years, takes a third less. What is
//! left, for a next minute or day in a zone without changes, is for two fifths the way from and to `DateTime` and down to here
//! (see `benches/schedule.rs`).

use super::combine::{Exclusions, Shift};
use super::zone::DAY;

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

    /// The first year at or after one.
    fn first_from(&self, year: i32) -> Option<i32> {
        match self {
            Years::Any => Some(year),
            Years::Only(_) => (year.max(CRON_YEARS.0)..=CRON_YEARS.1).find(|year| self.contains(*year)),
        }
    }

    /// The last year at or before one.
    fn last_to(&self, year: i32) -> Option<i32> {
        match self {
            Years::Any => Some(year),
            Years::Only(_) => (CRON_YEARS.0..=year.min(CRON_YEARS.1)).rev().find(|year| self.contains(*year)),
        }
    }
}

impl DaysOfMonth {
    pub(crate) const ALL: Self = Self { plain: !1, from_last: 0, nearest: 0, last_working: false };
    pub(crate) const NONE: Self = Self { plain: 0, from_last: 0, nearest: 0, last_working: false };

    #[inline]
    fn mask(&self, month: Month) -> u32 {
        let length = month.length;
        let mut mask = self.plain;
        let mut offsets = self.from_last;
        while offsets != 0 {
            mask |= 1u32.checked_shl(length.wrapping_sub(offsets.trailing_zeros())).unwrap_or(0);
            offsets &= offsets - 1;
        }
        let mut near = self.nearest & through(length);
        while near != 0 {
            mask |= 1 << nearest_working(near.trailing_zeros(), month);
            near &= near - 1;
        }
        if self.last_working {
            mask |= 1 << nearest_working(length, month);
        }
        mask & through(length)
    }
}

/// Bits 1 to `length`.
fn through(length: u32) -> u32 {
    (u32::MAX >> (31 - length)) & !1
}

/// The Monday to Friday nearest to `day` without leaving the month.
fn nearest_working(day: u32, month: Month) -> u32 {
    match (month.first_weekday() + day - 1) % 7 {
        6 if day > 1 => day - 1,
        6 => day + 2,
        0 if day < month.length => day + 1,
        0 => day - 2,
        _ => day,
    }
}

impl DaysOfWeek {
    pub(crate) const ALL: Self = Self { plain: 0x7f, nth: [0; 5], last: 0 };
    pub(crate) const NONE: Self = Self { plain: 0, nth: [0; 5], last: 0 };

    fn is_any(&self) -> bool {
        self.plain == Self::ALL.plain
    }

    #[inline(always)]
    fn mask(&self, month: Month) -> u32 {
        let length = month.length;
        if self.is_any() {
            return through(length);
        }
        let first = month.first_weekday();
        // Weekday sets turned so that bit 0 is the month's first day.
        let turn = |set: u8| {
            let set = u64::from(set);
            (set >> first | set << (7 - first)) & 0x7f
        };
        const WEEKS: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
        let mut mask = turn(self.plain) * WEEKS;
        if self.nth != [0; 5] {
            for (week, set) in self.nth.iter().enumerate() {
                mask |= turn(*set) << (7 * week);
            }
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
    /// The month of a day since 1970-01-01, and which day of it that is; from the year 0 on.
    ///
    /// After Neri and Schneider, "Euclidean affine functions and their application to calendar algorithms" (2022): a year that
    /// begins in March has its leap day last, so that centuries, years and months are each a multiplication and a shift.
    #[inline]
    fn of(day: i64) -> Option<(Month, u32)> {
        let since_march_0 = u32::try_from(day + MARCH_0).ok().filter(|days| *days < 1 << 28)?;
        let quarters = 4 * since_march_0 + 3;
        let (century, of_century) = (quarters / 146_097, quarters % 146_097 / 4);
        let scaled = 2_939_745 * u64::from(4 * of_century + 3);
        let (year, of_year) = (100 * century + (scaled >> 32) as u32, scaled as u32 / 2_939_745 / 4);
        let scaled = 2_141 * of_year + 197_913;
        let (month, dom) = (scaled >> 16, scaled % (1 << 16) / 2_141 + 1);
        // January and February end the year that began in March before.
        let (year, month) = if of_year >= 306 { (year as i32 + 1, month - 12) } else { (year as i32, month) };
        Some((Month { year, month, start: day - i64::from(dom) + 1, length: month_length(year, month) }, dom))
    }

    /// A month by its number, by the same paper; from the year 0 on.
    fn at(year: i32, month: u32) -> Month {
        let (since, place) = if month <= 2 { (year - 1, month + 12) } else { (year, month) };
        let since = since as u32;
        let century = since / 100;
        let days = 1461 * since / 4 - century + century / 4 + ((979 * place - 2919) >> 5);
        let start = i64::from(days) - MARCH_0;
        Month { year, month, start, length: month_length(year, month) }
    }

    /// The next month of the year.
    fn next(self) -> Month {
        let month = self.month + 1;
        Month { month, start: self.start + i64::from(self.length), length: month_length(self.year, month), ..self }
    }

    /// The weekday of its first day, Sunday 0. 1 March of the year 0 was a Wednesday.
    fn first_weekday(&self) -> u32 {
        ((self.start + MARCH_0) as u32 + 3) % 7
    }

    /// The first and the last day of a mask that is not empty, since 1970-01-01.
    fn first_of(&self, mask: u32) -> i64 {
        self.start + i64::from(mask.trailing_zeros()) - 1
    }

    fn last_of(&self, mask: u32) -> i64 {
        self.start + i64::from(31 - mask.leading_zeros()) - 1
    }

    /// Months since the year 0.
    fn index(&self) -> i64 {
        month_index(self.year, self.month)
    }
}

fn month_index(year: i32, month: u32) -> i64 {
    i64::from(year) * 12 + i64::from(month) - 1
}

/// After so many months at most there is again a month of the same name, length and first weekday: 29 February 1880 and 1920
/// are Sundays, and none between.
const MONTHS_RECUR: i64 = 40 * 12;

fn leap_year_from(year: i32) -> i32 {
    let fourth = (year + 3) & !3;
    if is_leap(fourth) { fourth } else { fourth + 4 }
}

/// A year that 4 divides is a century's last if 25 divides it too, and one in four of these is a leap year: what 16 divides.
fn is_leap(year: i32) -> bool {
    year & if year % 25 == 0 { 15 } else { 3 } == 0
}

/// Days from 1 March of the year 0 to 1970-01-01.
const MARCH_0: i64 = 719_468;

fn month_length(year: i32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
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
        // An anchor is an instant in nanoseconds, so it lies within three centuries of 1970.
        let (month, of_month) = Month::of(day).unwrap_or((Month::at(1970, 1), 1));
        Zero {
            day,
            year: month.year,
            month: month.month,
            of_month,
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

    #[inline]
    fn needs_anchor(&self) -> bool {
        !matches!((self.stride, self.taken), (Stride::None, Taken::Nothing))
    }

    /// The months in which there may be a day.
    fn months(&self, zero: &Zero) -> u16 {
        match self.taken {
            Taken::MonthAndDay => 1 << zero.month,
            _ => self.months,
        }
    }

    /// The matching days of a month: bit n stands for day n.
    #[inline]
    fn mask(&self, month: Month, zero: &Zero) -> u32 {
        if self.months(zero) >> month.month & 1 == 0 || !self.years.contains(month.year) {
            return 0;
        }
        let of_month = match self.taken {
            Taken::Day | Taken::MonthAndDay => 1 << zero.of_month & through(month.length),
            _ => self.of_month.mask(month),
        };
        if of_month == 0 && self.join == Join::Both {
            return 0;
        }
        let of_week = match self.taken {
            Taken::Weekday => DaysOfWeek { plain: 1 << zero.weekday, ..DaysOfWeek::NONE }.mask(month),
            _ => self.of_week.mask(month),
        };
        let mask = match self.join {
            Join::Both => of_month & of_week,
            Join::Either => of_month | of_week,
        };
        if matches!(self.stride, Stride::None) { mask } else { mask & self.stride_mask(month, zero) }
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
    /// Whether nothing is taken out or moved.
    whole: bool,
}

impl<'a> Days<'a> {
    fn new(set: &'a DaySet, zero: Zero, except: &'a Exclusions) -> Self {
        Days { set, zero, except, whole: except.is_empty() }
    }

    #[inline]
    fn mask(&self, month: Month) -> u32 {
        let mask = self.set.mask(month, &self.zero);
        if self.whole || (mask == 0 && self.except.shift == Shift::Drop) {
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

    /// The matching days of a month if it lies in the years worth searching, else none.
    #[inline]
    fn mask_in_reach(&self, month: Month) -> u32 {
        let (first, last) = self.years();
        if (first..=last).contains(&month.year) { self.mask(month) } else { 0 }
    }

    /// The first day in the months after one.
    fn after(&self, mut month: Month) -> Option<i64> {
        let (first_year, last_year) = self.years();
        if month.year < first_year {
            month = Month::at(first_year - 1, 12);
        }
        if self.is_leap_day() {
            return self.leap_day_after(month);
        }
        let last = month.index().saturating_add(self.farthest()).min(month_index(last_year, 12));
        loop {
            month = self.later(month).filter(|month| month.index() <= last)?;
            let mask = self.mask(month);
            if mask != 0 {
                return Some(month.first_of(mask));
            }
        }
    }

    /// The same, where no other day than 29 February can be in the set.
    fn leap_day_after(&self, month: Month) -> Option<i64> {
        if self.set.of_month.plain >> 29 & 1 == 0 {
            return None;
        }
        let on_any_weekday = self.set.of_week.is_any();
        let last = LAST_YEAR.min(month.year + MONTHS_RECUR as i32 / 12);
        let mut year = leap_year_from(month.year + i32::from(month.month >= 2));
        while year <= last {
            let month = Month::at(year, 2);
            if on_any_weekday || self.mask(month) != 0 {
                return Some(month.start + 28);
            }
            year = leap_year_from(year + 1);
        }
        None
    }

    /// The last day in the months before one.
    fn before(&self, mut month: Month) -> Option<i64> {
        let (first_year, last_year) = self.years();
        if month.year > last_year {
            month = Month::at(last_year + 1, 1);
        }
        let first = month.index().saturating_sub(self.farthest()).max(month_index(first_year, 1));
        loop {
            month = self.sooner(month).filter(|month| month.index() >= first)?;
            let mask = self.mask(month);
            if mask != 0 {
                return Some(month.last_of(mask));
            }
        }
    }

    /// The first month after one that may have a day.
    #[inline]
    fn later(&self, month: Month) -> Option<Month> {
        let (months, years) = self.spread();
        match bit_from(months.into(), month.month + 1) {
            Some(number) if number == month.month + 1 => Some(month.next()),
            Some(number) => Some(Month::at(month.year, number)),
            None => Some(Month::at(years.first_from(month.year + 1)?, bit_from(months.into(), 1)?)),
        }
    }

    /// The last month before one that may have a day.
    fn sooner(&self, month: Month) -> Option<Month> {
        let (months, years) = self.spread();
        match bit_to(months.into(), month.month - 1) {
            Some(number) => Some(Month::at(month.year, number)),
            None => Some(Month::at(years.last_to(month.year - 1)?, bit_to(months.into(), 12)?)),
        }
    }

    /// The months and the years in which there may be a day.
    #[inline]
    fn spread(&self) -> (u16, Years) {
        // A day that is moved may come to any month.
        if self.whole || self.except.shift == Shift::Drop {
            (self.set.months(&self.zero), self.set.years)
        } else {
            (DaySet::EVERY_DAY.months, Years::Any)
        }
    }

    /// Whether no day but 29 February can be in the set. What is taken from an anchor is never in both sets.
    fn is_leap_day(&self) -> bool {
        let (set, days) = (self.set, &self.set.of_month);
        let named = set.months == 1 << 2 && set.join == Join::Both && days.plain & through(28) == 0;
        let only = days.from_last == 0 && days.nearest == 0 && !days.last_working;
        named && only && self.whole && set.years == Years::Any
    }

    /// How many months beyond the first a search looks at.
    fn farthest(&self) -> i64 {
        if !self.whole {
            return Exclusions::EMPTY_MONTHS.into();
        }
        match (self.set.stride, self.set.years) {
            // What a month's days are follows from its length and its first weekday alone.
            (Stride::None, Years::Any) => MONTHS_RECUR,
            _ => i64::MAX,
        }
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
            days += u64::from((self.mask_in_reach(month) & wanted).count_ones());
            month = if month.month == 12 { Month::at(month.year + 1, 1) } else { month.next() };
            wanted = !0;
        }
        days
    }
}

impl Times {
    /// The first of a day.
    fn first(&self, anchor: Anchor) -> Option<u32> {
        match self {
            Times::Sets { seconds, minutes, hours } => {
                Some(hours.trailing_zeros() * 3600 + minutes.trailing_zeros() * 60 + seconds.trailing_zeros())
            }
            Times::List(list) => list.first().copied(),
            Times::OfAnchor => Some(anchor.local.rem_euclid(DAY) as u32),
        }
    }

    #[inline]
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

    /// Whether it names one month and one day of it.
    pub(crate) fn is_yearly(&self) -> bool {
        self.days.months.is_power_of_two() && self.days.of_month.plain.is_power_of_two()
    }

    /// Whether anything of it hangs on an anchor.
    #[inline]
    pub(crate) fn needs_anchor(&self) -> bool {
        self.days.needs_anchor() || matches!(self.times, Times::OfAnchor)
    }

    #[inline]
    fn days<'a>(&'a self, anchor: Anchor, except: &'a Exclusions) -> Days<'a> {
        let zero = if self.days.needs_anchor() {
            Zero::of(anchor)
        } else {
            Zero { day: 0, year: 1970, month: 1, of_month: 1, weekday: 4, counts: true }
        };
        Days::new(&self.days, zero, except)
    }

    /// The first local second at or after `from`.
    #[inline]
    pub(crate) fn next(&self, from: i64, anchor: Anchor, except: &Exclusions) -> Option<i64> {
        let days = self.days(anchor, except);
        let day = from.div_euclid(DAY);
        let (month, dom) = Month::of(day)?;
        let mask = days.mask_in_reach(month);
        let today = mask >> dom & 1 == 1;
        if today {
            if let Some(time) = self.times.next(from.rem_euclid(DAY) as u32, anchor) {
                return Some(day * DAY + i64::from(time));
            }
        }
        let found = match mask & !0 << dom << 1 {
            0 => days.after(month)?,
            rest => month.first_of(rest),
        };
        Some(found * DAY + i64::from(self.times.first(anchor)?))
    }

    /// The last local second at or before `to`.
    pub(crate) fn prev(&self, to: i64, anchor: Anchor, except: &Exclusions) -> Option<i64> {
        const LAST: u32 = DAY as u32 - 1;
        let days = self.days(anchor, except);
        let day = to.div_euclid(DAY);
        let (month, dom) = Month::of(day)?;
        let mask = days.mask_in_reach(month);
        let today = mask >> dom & 1 == 1;
        if today {
            if let Some(time) = self.times.prev(to.rem_euclid(DAY) as u32, anchor) {
                return Some(day * DAY + i64::from(time));
            }
        }
        let found = match mask & !(!0 << dom) {
            0 => days.before(month)?,
            rest => month.last_of(rest),
        };
        Some(found * DAY + i64::from(self.times.prev(LAST, anchor)?))
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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

    use super::*;
    use crate::Schedule;

    #[test]
    fn months_are_chronos() {
        let (first, last) = (NaiveDate::from_ymd_opt(1600, 1, 1).unwrap(), NaiveDate::from_ymd_opt(2400, 12, 31).unwrap());
        for date in first.iter_days().take_while(|date| *date <= last) {
            let day = (date - NaiveDate::default()).num_days();
            let (month, dom) = Month::of(day).unwrap();
            assert_eq!((month.year, month.month, dom), (date.year(), date.month(), date.day()));
            assert_eq!(month.start, day - i64::from(dom) + 1);
            assert_eq!(Month::at(month.year, month.month).start, month.start);
            assert_eq!(month.first_weekday(), date.with_day(1).unwrap().weekday().num_days_from_sunday());
            assert!(dom < month.length || date.succ_opt().unwrap().day() == 1);
        }
    }

    #[test]
    fn days_out_of_reach_are_none() {
        let (first, last) = (-MARCH_0, (1 << 28) - 1 - MARCH_0);
        for day in [i64::MIN / 2, first - 1, last + 1, i64::MAX / 2] {
            assert!(Month::of(day).is_none(), "{day}");
        }
        assert!(Month::of(first).is_some() && Month::of(last).is_some());
    }

    #[test]
    fn leap_years_are_found() {
        for year in 1600..2400 {
            let found = (year..).find(|year| NaiveDate::from_ymd_opt(*year, 2, 29).is_some());
            assert_eq!(Some(leap_year_from(year)), found);
        }
    }

    #[test]
    fn every_kind_of_month_recurs() {
        // The calendar repeats itself after 400 years, so what holds for two turns of it holds for all.
        for number in 1..=12 {
            let kinds: Vec<(u32, u32)> =
                (1600..2400).map(|year| Month::at(year, number)).map(|month| (month.first_weekday(), month.length)).collect();
            for (place, kind) in kinds.iter().enumerate().take(400) {
                let again = kinds[place + 1..].iter().position(|other| other == kind).unwrap() + 1;
                assert!(again as i64 * 12 <= MONTHS_RECUR, "{number} {kind:?}: {again} years after {}", 1600 + place);
            }
        }
    }

    /// Sunday 0.
    fn weekday(date: NaiveDate) -> u32 {
        date.weekday().num_days_from_sunday()
    }

    fn is_working(date: NaiveDate) -> bool {
        (1..=5).contains(&weekday(date))
    }

    /// How many days of its month are still to come.
    fn left(date: NaiveDate) -> u32 {
        month_length(date.year(), date.month()) - date.day()
    }

    fn is_last_friday(date: NaiveDate) -> bool {
        weekday(date) == 5 && left(date) < 7
    }

    fn is_last_working(date: NaiveDate) -> bool {
        is_working(date) && date.iter_days().skip(1).take(left(date) as usize).all(|date| !is_working(date))
    }

    /// Whether a date is the working day of its month that is nearest to a day of it.
    fn is_nearest(date: NaiveDate, day: u32) -> bool {
        let away = |other: &NaiveDate| other.day().abs_diff(day);
        let working = (1..=31).filter_map(|day| date.with_day(day)).filter(|date| is_working(*date));
        date.with_day(day).is_some() && working.min_by_key(away) == Some(date)
    }

    /// When the counting begins, a Sunday.
    const START: NaiveDate = NaiveDate::from_ymd_opt(2021, 2, 28).unwrap();

    fn days_since_start(date: NaiveDate) -> i64 {
        (date - START).num_days()
    }

    fn months_since_start(date: NaiveDate) -> i32 {
        (date.year() - 2021) * 12 + date.month() as i32 - 2
    }

    #[test]
    fn dates_are_what_a_walk_through_the_days_finds() {
        type Rule = fn(NaiveDate) -> bool;
        let rows: [(&str, Rule); 41] = [
            ("cron 0 0 * * *", |_| true),
            ("cron 0 0 31 * *", |date| date.day() == 31),
            ("cron 0 0 10,20-22 2,3,11 *", |date| [10, 20, 21, 22].contains(&date.day()) && [2, 3, 11].contains(&date.month())),
            ("cron 0 0 29 2 *", |date| (date.month(), date.day()) == (2, 29)),
            ("cron 0 0 28,29 2 +MON", |date| date.month() == 2 && date.day() >= 28 && weekday(date) == 1),
            ("cron 0 0 29 2 +MON,TUE", |date| (date.month(), date.day()) == (2, 29) && [1, 2].contains(&weekday(date))),
            ("cron 0 0 29 2 MON", |date| date.month() == 2 && (date.day() == 29 || weekday(date) == 1)),
            ("cron 0 0 1-28 2 *", |date| date.month() == 2 && date.day() <= 28),
            ("cron 0 0 L 2 *", |date| date.month() == 2 && left(date) == 0),
            ("cron 0 0 L,L-3 * *", |date| left(date) == 0 || left(date) == 3),
            ("cron 0 0 L-30 * *", |date| left(date) == 30),
            ("cron 0 0 1W * *", |date| is_nearest(date, 1)),
            ("cron 0 0 15W,16W * *", |date| is_nearest(date, 15) || is_nearest(date, 16)),
            ("cron 0 0 30W * *", |date| is_nearest(date, 30)),
            ("cron 0 0 29W 2 *", |date| date.month() == 2 && is_nearest(date, 29)),
            ("cron 0 0 LW * *", is_last_working),
            ("cron 0 0 LW 2 *", |date| date.month() == 2 && is_last_working(date)),
            ("cron 0 0 0 29 2 * 2016,2024,2048", |date| {
                (date.month(), date.day()) == (2, 29) && [2016, 2024, 2048].contains(&date.year())
            }),
            ("cron 0 0 * * SUN,FRI", |date| [0, 5].contains(&weekday(date))),
            ("cron 0 0 * * MON#1,WED#5", |date| weekday(date) == 1 && date.day() <= 7 || weekday(date) == 3 && date.day() > 28),
            ("cron 0 0 * * TUE,TUE#2,SAT#3", |date| weekday(date) == 2 || weekday(date) == 6 && date.day().div_ceil(7) == 3),
            ("cron 0 0 * * FRIL,FRI#4", |date| is_last_friday(date) || weekday(date) == 5 && date.day().div_ceil(7) == 4),
            ("cron 0 0 13 * FRI", |date| date.day() == 13 || weekday(date) == 5),
            ("cron 0 0 13 * +FRI", |date| date.day() == 13 && weekday(date) == 5),
            ("cron 0 0 0 1 3,5 * 2022,2024", |date| {
                date.day() == 1 && [3, 5].contains(&date.month()) && [2022, 2024].contains(&date.year())
            }),
            ("every 3 days", |date| days_since_start(date) % 3 == 0),
            ("every 2 weeks on monday, sunday", |date| weekday(date) <= 1 && (days_since_start(date) + 6) / 7 % 2 == 0),
            ("every 3 weeks", |date| days_since_start(date) % 21 == 0),
            ("every 5 months on the 31st and the last friday", |date| {
                months_since_start(date) % 5 == 0 && (date.day() == 31 || is_last_friday(date))
            }),
            ("every 2 months", |date| months_since_start(date) % 2 == 0 && date.day() == 28),
            ("every 3 years", |date| date.year() % 3 == 2 && (date.month(), date.day()) == (2, 28)),
            ("every 2 years", |date| date.year() % 2 == 1 && (date.month(), date.day()) == (2, 28)),
            ("every year in february", |date| (date.month(), date.day()) == (2, 28)),
            ("every 2 years on the last friday of may and june", |date| {
                date.year() % 2 == 1 && [5, 6].contains(&date.month()) && is_last_friday(date)
            }),
            ("cron 0 0 10,15 * * except", |date| [10, 15].contains(&date.day())),
            ("cron 0 0 10,15 * * except shifted to the next day", |date| [10, 15].contains(&date.day())),
            ("cron 0 0 1,15 * * except shifted to the previous day", |date| [1, 15].contains(&date.day())),
            ("cron 0 0 31 12 * except shifted to the next day", |date| (date.month(), date.day()) == (12, 31)),
            ("cron 0 0 1 1 * except shifted to the previous day", |date| (date.month(), date.day()) == (1, 1)),
            ("cron 0 0 29 2 * except shifted to the next day", |date| (date.month(), date.day()) == (2, 29)),
            ("cron 0 0 29 2 * except", |date| (date.month(), date.day()) == (2, 29)),
        ];
        let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0).unwrap().and_utc();
        let year = |year| NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        for (text, is_member) in rows {
            let is_counted = text.starts_with("every");
            let begin = if is_counted { START } else { year(1990) };
            let dates = begin.iter_days().take_while(|date| *date < year(2050)).filter(|date| is_member(*date));
            // A weekend's dates are left out, or moved.
            let days: &[i64] = match text {
                _ if text.ends_with("next day") => &[0, 1, 2],
                _ if text.ends_with("previous day") => &[0, -1, -2],
                _ => &[0],
            };
            let excepted = text.contains("except");
            let stands = |date: &NaiveDate| !excepted || is_working(*date);
            let mut all: Vec<NaiveDate> =
                dates.filter_map(|date| days.iter().map(|days| date + TimeDelta::days(*days)).find(stands)).collect();
            all.dedup();
            let all: Vec<_> = all.into_iter().map(midnight).collect();

            let mut text = text.replace("except", "except on saturday and sunday");
            if is_counted {
                text += " at 00:00 starting at 2021-02-28 00:00 UTC";
            }
            let schedule: Schedule = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            for date in NaiveDate::from_ymd_opt(2020, 12, 1).unwrap().iter_days().take_while(|date| *date < year(2025)) {
                for second in [-1, 0, 1] {
                    let at = midnight(date) + TimeDelta::seconds(second);
                    let next = all.get(all.partition_point(|date| *date <= at)).copied();
                    assert_eq!(schedule.next_after(at), next, "{text} after {at}");
                    let before = all.partition_point(|date| *date < at);
                    assert_eq!(schedule.prev_before(at), before.checked_sub(1).map(|place| all[place]), "{text} before {at}");
                }
                let (from, to) = (midnight(date), midnight(date) + TimeDelta::days(i64::from(date.day()) * 17));
                let below = |end| all.partition_point(|date| *date <= end) as u64;
                assert_eq!(schedule.count_between(from, to), below(to) - below(from), "{text} from {from} to {to}");
            }
        }
    }

    #[test]
    fn the_first_and_the_last_day_are_local() {
        for (zone, first, last) in [
            ("UTC", "1700-01-01T00:00:00Z", "2199-12-31T00:00:00Z"),
            ("UTC+14:00", "1700-01-01T10:00:00Z", "2199-12-30T10:00:00Z"),
            ("UTC-12:00", "1700-01-01T12:00:00Z", "2199-12-31T12:00:00Z"),
        ] {
            let schedule: Schedule = format!("cron 0 0 * * * in {zone}").parse().unwrap();
            assert_eq!(schedule.next_after("1699-01-01T00:00:00Z".parse().unwrap()), first.parse().ok(), "{zone}");
            assert_eq!(schedule.prev_before("2300-01-01T00:00:00Z".parse().unwrap()), last.parse().ok(), "{zone}");
        }
        let noon = |zone| format!("cron 0 12 * * * in {zone}").parse::<Schedule>().unwrap();
        for (zone, at) in [("UTC+02:00", "2026-01-01T10:00:00Z"), ("UTC-09:30", "2026-01-01T21:30:00Z")] {
            let at: DateTime<Utc> = at.parse().unwrap();
            for (from, to, many) in [(-1, 0, 1), (0, 1, 0), (-86_401, 0, 2), (-86_400, 0, 1)] {
                let (from, to) = (at + TimeDelta::seconds(from), at + TimeDelta::seconds(to));
                assert_eq!(noon(zone).count_between(from, to), many, "{zone}: ({from}, {to}]");
            }
        }
        let monthly: Schedule = "cron 0 0 14 * *".parse().unwrap();
        let at = |text: &str| format!("{text}T00:00:00Z").parse().unwrap();
        assert_eq!(monthly.next_after(at("1700-03-15")), Some(at("1700-04-14")));
        assert_eq!(monthly.prev_before(at("2199-03-10")), Some(at("2199-02-14")));
    }

    #[test]
    fn dates_that_are_excluded_for_fifty_years_are_given_up() {
        let from = "2026-01-01T00:00:00Z".parse().unwrap();
        let without = |year| Schedule::cron("0 0 29 2 *").unwrap().except_when(move |date| date.year() < year);
        assert_eq!(without(2072).next_after(from), "2072-02-29T00:00:00Z".parse().ok());
        assert_eq!(without(2080).next_after(from), None);
    }

    #[test]
    fn what_counts_from_the_instant_asked_about_leaves_its_day_out() {
        let at = |day: i64, hour: i64| DateTime::UNIX_EPOCH + TimeDelta::days(day) + TimeDelta::hours(hour);
        let schedule: Schedule = "every 3 days at 06:00".parse().unwrap();
        for hour in [0, 6, 12] {
            assert_eq!(schedule.next_after(at(100, hour)), Some(at(103, 6)));
            assert_eq!(schedule.prev_before(at(100, hour)), Some(at(97, 6)));
            assert_eq!(schedule.count_between(at(100, hour), at(130, 6)), 10);
        }
    }

    #[test]
    fn times_are_what_a_walk_through_the_seconds_finds() {
        let bits = |set: &[u32]| set.iter().fold(0u64, |bits, bit| bits | 1 << bit);
        let sets = |seconds: &[u32], minutes: &[u32], hours: &[u32]| Times::Sets {
            seconds: bits(seconds),
            minutes: bits(minutes),
            hours: bits(hours) as u32,
        };
        let anchor = Anchor { local: -1, counts: true };
        let rows = [
            sets(&[0, 30, 59], &[0, 1, 59], &[0, 1, 7, 23]),
            sets(&[17], &[5, 6, 40], &[3, 4]),
            Times::List(vec![0, 1, 3600, 86_399]),
            Times::List(vec![40_000]),
            Times::OfAnchor,
        ];
        let day = DAY as u32;
        for times in rows {
            let all: Vec<u32> = (0..day)
                .filter(|second| match &times {
                    Times::Sets { seconds, minutes, hours } => {
                        seconds >> (second % 60) & 1 == 1
                            && minutes >> (second / 60 % 60) & 1 == 1
                            && hours >> (second / 3600) & 1 == 1
                    }
                    Times::List(list) => list.contains(second),
                    Times::OfAnchor => *second == 86_399,
                })
                .collect();
            assert_eq!(times.first(anchor), all.first().copied());
            assert_eq!(times.next(day, anchor), None);
            assert_eq!(times.count_before(day, anchor), all.len() as u64);
            for second in 0..day {
                let below = all.partition_point(|time| *time < second);
                let next = all.get(below).copied();
                assert_eq!(times.next(second, anchor), next, "{times:?} from {second}");
                let prev = if next == Some(second) { next } else { below.checked_sub(1).map(|place| all[place]) };
                assert_eq!(times.prev(second, anchor), prev, "{times:?} to {second}");
                assert_eq!(times.count_before(second, anchor), below as u64, "{times:?} before {second}");
            }
        }
    }
}
