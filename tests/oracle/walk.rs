//! When a schedule runs, found by walking through time.
//!
//! An oracle for the engine: it takes UTC seconds one after another, reads the local time from the offset that the zone
//! database gives for that second, and asks each field whether it agrees. It is slow and has no arithmetic on calendars
//! to get wrong. The only shortcut is to leave out a stretch of local time of which no second can match (a date, an hour
//! or a minute that no field names); it never leaps over a change of offset.
//!
//! It shares nothing with the engine but the zone database.

use std::cell::Cell;
use std::rc::Rc;

use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeZone, Utc};
use chrono_tz::Tz;

pub(crate) const DAY: i64 = 86_400;

/// Seconds since 1970 of a date, in its own local time.
pub(crate) fn day_number(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce()) - 719_163
}

pub(crate) fn date_of(day: i64) -> NaiveDate {
    NaiveDate::from_num_days_from_ce_opt(i32::try_from(day + 719_163).unwrap()).unwrap()
}

/// A zone as stretches of one offset each, found by sampling a time in each day and halving where it changed.
pub(crate) struct Zone {
    pub(crate) tz: Tz,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) offset: i64,
}

fn offset(tz: Tz, t: i64) -> i64 {
    let utc = DateTime::<Utc>::from_timestamp(t, 0).unwrap().naive_utc();
    i64::from(tz.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

impl Zone {
    pub(crate) fn new(tz: Tz) -> Rc<Zone> {
        let (first, last) = (year(1840), year(2105));
        let mut spans = vec![Span { from: i64::MIN / 4, offset: offset(tz, first) }];
        let mut t = first;
        while t < last {
            let (mut low, mut high) = (t, t + DAY);
            if offset(tz, low) != offset(tz, high) {
                while high - low > 1 {
                    let middle = (low + high) / 2;
                    if offset(tz, middle) == offset(tz, t) { low = middle } else { high = middle }
                }
                spans.push(Span { from: high, offset: offset(tz, high) });
            }
            t += DAY;
        }
        Rc::new(Zone { tz, spans })
    }

    /// The instants at which this zone changes its offset.
    pub(crate) fn changes(&self) -> &[Span] {
        &self.spans[1..]
    }

    fn index(&self, t: i64) -> usize {
        self.spans.partition_point(|span| span.from <= t) - 1
    }

    fn end(&self, index: usize) -> i64 {
        self.spans.get(index + 1).map_or(i64::MAX / 4, |span| span.from)
    }

    pub(crate) fn local(&self, t: i64) -> i64 {
        t + self.spans[self.index(t)].offset
    }

    /// Every instant at which clocks in this zone show `local`, in order.
    fn shown_at(&self, local: i64) -> Vec<i64> {
        let (first, last) = (self.index(local - 2 * DAY), self.index(local + 2 * DAY));
        let shows = |i: usize| Some(local - self.spans[i].offset).filter(|t| self.spans[i].from <= *t && *t < self.end(i));
        (first..=last).filter_map(shows).collect()
    }

    /// The change that skips `local`, if one does: its instant, the offset before it and the offset after it.
    fn skipped_by(&self, local: i64) -> Option<(i64, i64, i64)> {
        let (first, last) = (self.index(local - 2 * DAY).max(1), self.index(local + 2 * DAY));
        let gap = |i: usize| (self.spans[i].from, self.spans[i - 1].offset, self.spans[i].offset);
        let mut gaps = (first..=last).map(gap).filter(|(at, before, after)| at + before <= local && local < at + after);
        if self.shown_at(local).is_empty() { gaps.next() } else { None }
    }

    /// Whether no clock in this zone ever shows a time of that date.
    fn skips_date(&self, day: i64) -> bool {
        (0..48).all(|half_hour| self.shown_at(day * DAY + half_hour * 1_800).is_empty())
    }
}

pub(crate) fn year(year: i32) -> i64 {
    day_number(NaiveDate::from_ymd_opt(year, 1, 1).unwrap()) * DAY
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Next,
    Shift,
    Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    First,
    Second,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Dropped,
    Next,
    Previous,
}

/// Which seconds of a matching date run.
pub(crate) enum Time {
    /// Named seconds, minutes and hours, each a set.
    Fields { seconds: Vec<i64>, minutes: Vec<i64>, hours: Vec<i64> },
    /// Named times of day, in seconds since midnight.
    Listed(Vec<i64>),
    /// Every `every`-th local hour or minute (`unit` seconds long) counted from the anchor's, at these seconds of it.
    Stride { unit: i64, every: i64, anchor: i64, at: Vec<i64> },
    /// Each local second that is a multiple of this.
    Aligned(i64),
}

impl Time {
    fn runs_at(&self, local: i64) -> bool {
        let second_of_day = local.rem_euclid(DAY);
        match self {
            Time::Fields { seconds, minutes, hours } => {
                seconds.contains(&(second_of_day % 60))
                    && minutes.contains(&(second_of_day / 60 % 60))
                    && hours.contains(&(second_of_day / 3_600))
            }
            Time::Listed(times) => times.contains(&second_of_day),
            Time::Stride { unit, every, anchor, at } => {
                let count = local.div_euclid(*unit) - anchor.div_euclid(*unit);
                count.rem_euclid(*every) == 0 && at.contains(&local.rem_euclid(*unit))
            }
            Time::Aligned(period) => local.rem_euclid(*period) == 0,
        }
    }

    /// How many seconds from `local` on certainly do not run, with `local` itself.
    fn quiet(&self, local: i64) -> i64 {
        let second_of_day = local.rem_euclid(DAY);
        let rest = |unit: i64| unit - local.rem_euclid(unit);
        match self {
            Time::Fields { hours, .. } if !hours.contains(&(second_of_day / 3_600)) => rest(3_600),
            Time::Fields { minutes, .. } if !minutes.contains(&(second_of_day / 60 % 60)) => rest(60),
            Time::Fields { seconds, .. } if seconds == &[0] => rest(60),
            Time::Listed(times) if times.iter().all(|time| time / 3_600 != second_of_day / 3_600) => rest(3_600),
            Time::Listed(times) if times.iter().all(|time| time / 60 != second_of_day / 60) => rest(60),
            Time::Stride { unit, every, anchor, .. }
                if (local.div_euclid(*unit) - anchor.div_euclid(*unit)).rem_euclid(*every) != 0 =>
            {
                rest(*unit)
            }
            Time::Stride { unit, at, .. } if at.iter().all(|second| second / 60 != local.rem_euclid(*unit) / 60) => rest(60),
            Time::Aligned(period) => rest(*period),
            _ => 1,
        }
    }
}

pub(crate) type DateRule = Box<dyn Fn(NaiveDate) -> bool>;

pub(crate) enum Clock {
    /// The clock on the wall shows one of these.
    Wall { dates: DateRule, time: Time, gap: Gap, fold: Fold },
    /// Every so many seconds, whatever the clock on the wall shows.
    Elapsed { anchor: i64, period: i64 },
}

/// One schedule without union or intersection.
pub(crate) struct Leaf {
    pub(crate) zone: Rc<Zone>,
    pub(crate) clock: Clock,
    /// Not before this instant.
    pub(crate) starting: Option<i64>,
    /// Only at times of day from the first to the second, both included; over midnight if the second is the earlier.
    pub(crate) window: Option<(i64, i64)>,
    pub(crate) excluded: Option<DateRule>,
    pub(crate) moved: Moved,
    /// The date last asked for, and its answer.
    known: Cell<Option<(i64, bool)>>,
}

impl Leaf {
    pub(crate) fn new(zone: Rc<Zone>, clock: Clock) -> Leaf {
        Leaf { zone, clock, starting: None, window: None, excluded: None, moved: Moved::Dropped, known: Cell::new(None) }
    }

    /// Whether the schedule has this date: it names it, or the nearest date of its own beyond excluded ones was moved to it.
    fn date_matches(&self, day: i64) -> bool {
        let Clock::Wall { dates, .. } = &self.clock else { return true };
        if let Some((_, answer)) = self.known.get().filter(|(known, _)| *known == day) {
            return answer;
        }
        let back = match self.moved {
            Moved::Dropped => 0,
            Moved::Next => -1,
            Moved::Previous => 1,
        };
        let moved_here = || {
            let mut sources = (1..=31).map(|distance| day + back * distance).take_while(|source| self.excludes(*source));
            back != 0 && sources.any(|source| dates(date_of(source)))
        };
        let answer = !self.excludes(day) && (dates(date_of(day)) || moved_here());
        self.known.set(Some((day, answer)));
        answer
    }

    fn named(&self, local: i64) -> bool {
        let Clock::Wall { time, .. } = &self.clock else { return false };
        time.runs_at(local) && self.date_matches(local.div_euclid(DAY))
    }

    /// Whether the schedule names this instant, before windows and exclusions.
    fn named_at(&self, t: i64) -> bool {
        let zone = &*self.zone;
        if self.starting.is_some_and(|start| t < start) || zone.local(t) >= year(2200) {
            return false;
        }
        let (gap, fold) = match &self.clock {
            Clock::Elapsed { anchor, period } => return t >= *anchor && (t - anchor) % period == 0,
            Clock::Wall { gap, fold, .. } => (*gap, *fold),
        };
        let local = zone.local(t);
        let shown = self.named(local) && {
            let passes = zone.shown_at(local);
            match fold {
                Fold::First => passes.first() == Some(&t),
                Fold::Second => passes.last() == Some(&t),
                Fold::Both => true,
            }
        };
        shown || self.named_in_gap(t, gap)
    }

    /// Whether a local time that the latest change skipped is run at `t` instead.
    fn named_in_gap(&self, t: i64, gap: Gap) -> bool {
        let zone = &*self.zone;
        let index = zone.index(t);
        if index == 0 || gap == Gap::Skip {
            return false;
        }
        let (at, before, after) = (zone.spans[index].from, zone.spans[index - 1].offset, zone.spans[index].offset);
        let skipped = match gap {
            Gap::Next if t == at => at + before..at + after,
            Gap::Shift if t + before < at + after => t + before..t + before + 1,
            _ => return false,
        };
        let mut skipped = skipped.filter(|local| self.named(*local));
        skipped.any(|local| zone.skipped_by(local).is_some() && !zone.skips_date(local.div_euclid(DAY)))
    }

    fn in_window(&self, t: i64) -> bool {
        let time = self.zone.local(t).rem_euclid(DAY);
        self.window.is_none_or(|(from, to)| if from <= to { from <= time && time <= to } else { from <= time || time <= to })
    }

    fn excludes(&self, day: i64) -> bool {
        self.excluded.as_ref().is_some_and(|rule| rule(date_of(day)))
    }

    pub(crate) fn runs_at(&self, t: i64) -> bool {
        self.named_at(t) && self.in_window(t) && !self.excludes(self.zone.local(t).div_euclid(DAY))
    }

    /// The next second worth looking at.
    fn after(&self, t: i64) -> i64 {
        let zone = &*self.zone;
        let index = zone.index(t);
        let local = zone.local(t);
        let day = local.div_euclid(DAY);
        let in_shadow =
            |index: usize| index > 0 && t + zone.spans[index - 1].offset < zone.spans[index].from + zone.spans[index].offset;
        let leap = match &self.clock {
            Clock::Elapsed { anchor, period } => period - (t - anchor).rem_euclid(*period),
            Clock::Wall { gap: Gap::Shift, .. } if in_shadow(index) => 1,
            Clock::Wall { .. } if !self.date_matches(day) => DAY - local.rem_euclid(DAY),
            Clock::Wall { time, .. } if time.runs_at(local + 1) => 1,
            Clock::Wall { time, .. } => time.quiet(local + 1) + i64::from(time.quiet(local + 1) > 1),
        };
        (t + leap).min(zone.end(index))
    }
}

/// A schedule: leaves joined by union and intersection.
pub(crate) enum Tree {
    Leaf(Box<Leaf>),
    Or(Box<Tree>, Box<Tree>),
    And(Box<Tree>, Box<Tree>),
}

impl Tree {
    pub(crate) fn runs_at(&self, t: i64) -> bool {
        match self {
            Tree::Leaf(leaf) => leaf.runs_at(t),
            Tree::Or(a, b) => a.runs_at(t) || b.runs_at(t),
            Tree::And(a, b) => a.runs_at(t) && b.runs_at(t),
        }
    }

    fn after(&self, t: i64) -> i64 {
        match self {
            Tree::Leaf(leaf) => leaf.after(t),
            Tree::Or(a, b) => a.after(t).min(b.after(t)),
            Tree::And(a, b) => a.after(t).max(b.after(t)),
        }
    }

    /// Whether the search for an intersection may have been given up on the way: more than this many occurrences of each
    /// part between the two instants. The library promises to try 10,000 candidates, of either part.
    pub(crate) fn may_give_up(&self, from: i64, until: i64) -> bool {
        const TRIED: usize = 5_000;
        let many = |part: &Tree| part.walk(from, until, TRIED, &mut usize::MAX.clone()).0.len() == TRIED;
        match self {
            Tree::Leaf(_) => false,
            Tree::Or(a, b) => a.may_give_up(from, until) || b.may_give_up(from, until),
            Tree::And(a, b) => many(a) && many(b),
        }
    }

    /// The occurrences from `from` on, until `most` are found, `until` is reached or `steps` are used up; and the first
    /// second that was not looked at.
    pub(crate) fn walk(&self, from: i64, until: i64, most: usize, steps: &mut usize) -> (Vec<i64>, i64) {
        let (mut found, mut t) = (Vec::new(), from);
        while t < until && found.len() < most && *steps > 0 {
            if self.runs_at(t) {
                found.push(t);
            }
            t = self.after(t);
            *steps -= 1;
        }
        (found, t.min(until))
    }
}
