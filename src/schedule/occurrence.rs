//! From local times to instants: a [`Pattern`] in a [`Zone`].
//!
//! A zone is a row of stretches of constant offset. Within one, local order is the order of time, and the pattern alone
//! answers. At a change, the rules of [`OnGap`] and [`OnFold`] say what becomes of the local times that it skips or
//! repeats. So a search looks whether there is a change within a day of where it starts (two offset look-ups). If not, the
//! first candidate of the pattern is the answer once its own surroundings have been looked at. If there is one, the
//! stretch before, the change itself and the stretch after are asked in turn. Nothing steps through time.
//!
//! Look-ups are most of what a search costs. Those two are therefore made so far apart (two days back, one on) that a
//! candidate between them needs no surroundings of its own: two look-ups instead of four for the next minute or the next
//! day, and a third fewer instructions. Further apart they may not lie, lest there be two changes between. A date of the year
//! is mostly farther away, so it is sought first where one look-up is enough. Keeping the offset from one search to the next
//! would spare the rest, but a schedule is a value: it remembers nothing.

use super::combine::Exclusions;
use super::pattern::{Pattern, SECOND};
use super::zone::{Change, DAY, Located, Zone};

/// What becomes of a local time that a zone change skips.
///
/// A schedule takes [`Next`](OnGap::Next) if its seconds, minutes and hours are named, else [`Skip`](OnGap::Skip).
/// A date that a zone skips altogether (Pacific/Apia, 30 December 2011) has no occurrences under any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnGap {
    /// The first instant after the gap; several times in one gap make one occurrence.
    Next,
    /// Later by the length of the gap: 02:30 becomes 03:30.
    Shift,
    /// No occurrence.
    Skip,
}

/// Which pass of a local time that a zone change repeats is an occurrence.
///
/// A schedule takes [`First`](OnFold::First) if its seconds, minutes and hours are named, else [`Both`](OnFold::Both).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnFold {
    /// The first pass alone.
    First,
    /// The second pass alone.
    Second,
    /// Either pass.
    Both,
}

/// A pattern in a zone, with the rules for its changes. All instants and local times are in nanoseconds.
pub(crate) struct Occurrences<'a> {
    pub(crate) pattern: Pattern<'a>,
    pub(crate) zone: &'a Zone,
    pub(crate) on_gap: OnGap,
    pub(crate) on_fold: OnFold,
    /// A skipped local time on an excluded date is not made up for.
    pub(crate) except: &'a Exclusions,
}

/// What a single local time comes to.
enum Answer {
    At(i64),
    /// No occurrence; go on from this local time.
    GoOn(i64),
}

fn nanos(seconds: i64) -> i64 {
    seconds.saturating_mul(SECOND)
}

impl<'a> Occurrences<'a> {
    #[inline]
    pub(crate) fn new(
        pattern: Pattern<'a>,
        zone: &'a Zone,
        on_gap: Option<OnGap>,
        on_fold: Option<OnFold>,
        except: &'a Exclusions,
    ) -> Self {
        let fixed = pattern.is_fixed();
        Occurrences {
            pattern,
            zone,
            on_gap: on_gap.unwrap_or(if fixed { OnGap::Next } else { OnGap::Skip }),
            on_fold: on_fold.unwrap_or(if fixed { OnFold::First } else { OnFold::Both }),
            except,
        }
    }

    /// The first occurrence after an instant.
    #[inline]
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let lower = after.checked_add(1)?;
        match self.zone.constant() {
            Some(offset) => self.pattern.next(lower + nanos(offset)).map(|local| local - nanos(offset)),
            None => self.next_among_changes(lower),
        }
    }

    /// The first occurrence at or after an instant, in a zone that may change its offset.
    fn next_among_changes(&self, lower: i64) -> Option<i64> {
        let at = lower.div_euclid(SECOND);
        if self.on_fold == OnFold::First && self.on_gap != OnGap::Shift && self.pattern.is_yearly() {
            // A clock has shown or skipped all that is behind its hands, and here neither comes again. So what lies ahead of them,
            // farther than the last change may repeat, is found by one look-up: what they show.
            let before = (lower - 1).div_euclid(SECOND);
            let local = self.pattern.next(lower + nanos(self.zone.offset_at(before)))?;
            if local > lower + nanos(3 * DAY) {
                return self.far_next_from(local);
            }
        }
        if self.on_fold != OnFold::Second {
            // Offsets are less than a day, so a change sets clocks by less than two: no pass that it repeats reaches from before
            // such a stretch into it.
            if let Some(offset) = self.zone.steady(at) {
                let local = self.pattern.next(lower + nanos(offset))?;
                let candidate = local - nanos(offset);
                if candidate <= nanos(at + DAY) {
                    return Some(candidate);
                }
                return self.far_next_from(local);
            }
        }
        let change = match self.zone.change_near(at) {
            Err(offset) => return self.far_next(lower + nanos(offset)),
            Ok(change) => change,
        };
        let turn = nanos(change.at);
        let mut best = None;
        if lower < turn {
            let mut end = turn + nanos(change.before);
            if self.on_fold == OnFold::Second {
                end = end.min(turn + nanos(change.after));
            }
            if let Some(local) = self.pattern.next(lower + nanos(change.before)).filter(|local| *local < end) {
                return Some(local - nanos(change.before));
            }
        }
        if lower <= turn && self.on_gap == OnGap::Next && self.first_skipped(&change, i64::MIN).is_some() {
            return Some(turn);
        }
        if self.on_gap == OnGap::Shift {
            best = self.first_skipped(&change, lower + nanos(change.before)).map(|local| local - nanos(change.before));
        }
        let mut from = lower.max(turn) + nanos(change.after);
        if self.on_fold == OnFold::First {
            from = from.max(turn + nanos(change.before));
        }
        // Up to a day after a change there is no other, so its own offset holds.
        let regular = match self.pattern.next(from) {
            Some(local) if local < turn + nanos(change.after + DAY) => Some(local - nanos(change.after)),
            _ => self.far_next(from),
        };
        earlier(best, regular)
    }

    /// The last occurrence before an instant.
    pub(crate) fn prev(&self, before: i64) -> Option<i64> {
        let upper = before.checked_sub(1)?;
        if let Some(offset) = self.zone.constant() {
            return self.pattern.prev(upper + nanos(offset)).map(|local| local - nanos(offset));
        }
        let at = upper.div_euclid(SECOND);
        let change = match self.zone.change_near(at) {
            Err(offset) => return self.far_prev(upper + nanos(offset)),
            Ok(change) => change,
        };
        let turn = nanos(change.at);
        let mut to = upper.min(turn - 1) + nanos(change.before);
        if upper >= turn {
            let mut start = turn + nanos(change.after);
            if self.on_fold == OnFold::First {
                start = start.max(turn + nanos(change.before));
            }
            let mut best = self.pattern.prev(upper + nanos(change.after)).filter(|local| *local >= start);
            best = best.map(|local| local - nanos(change.after));
            if self.on_gap == OnGap::Shift {
                let shifted = self.last_skipped(&change, upper + nanos(change.before));
                best = best.max(shifted.map(|local| local - nanos(change.before)));
            }
            if best.is_none() && self.on_gap == OnGap::Next {
                best = self.first_skipped(&change, i64::MIN).map(|_| turn);
            }
            if best.is_some() {
                return best;
            }
        }
        if self.on_fold == OnFold::Second {
            to = to.min(turn + nanos(change.after) - 1);
        }
        // Down to a day before a change there is no other, so the offset before it holds.
        match self.pattern.prev(to) {
            Some(local) if local >= turn + nanos(change.before - DAY) => Some(local - nanos(change.before)),
            _ => self.far_prev(to),
        }
    }

    /// How many occurrences lie in `(after, until]`.
    pub(crate) fn count(&self, after: i64, until: i64) -> u64 {
        if until <= after {
            return 0;
        }
        let (from, to) = (after + 1, until + 1);
        if let Some(offset) = self.zone.constant() {
            return self.pattern.count(from + nanos(offset), to + nanos(offset));
        }
        let horizon = until.div_euclid(SECOND) + DAY;
        let mut search = after.div_euclid(SECOND) - DAY;
        let mut previous: Option<Change> = None;
        let mut count = 0;
        loop {
            let next = self.zone.change_in(search, horizon);
            let offset = nanos(self.zone.offset_at(search));
            // The stretch between two changes, cut to what is asked for and to the pass that counts.
            let mut first = from + offset;
            let mut last = to + offset;
            if let Some(change) = previous {
                first = first.max(nanos(change.at) + offset);
                if self.on_fold == OnFold::First {
                    first = first.max(nanos(change.at + change.before));
                }
            }
            if let Some(change) = next {
                last = last.min(nanos(change.at) + offset);
                if self.on_fold == OnFold::Second {
                    last = last.min(nanos(change.at + change.after));
                }
            }
            count += self.pattern.count(first, last);
            let Some(change) = next else { return count };
            count += self.made_up(&change, from, to);
            search = change.at;
            previous = Some(change);
        }
    }

    /// How many occurrences in `[from, to)` come only of the times that a change skips.
    fn made_up(&self, change: &Change, from: i64, to: i64) -> u64 {
        let turn = nanos(change.at);
        let regular = |at: i64| self.pattern.next(at + nanos(change.after)) == Some(at + nanos(change.after));
        match self.on_gap {
            _ if !change.is_gap() => 0,
            OnGap::Skip => 0,
            OnGap::Next => {
                let stands = (from..to).contains(&turn) && !regular(turn) && self.first_skipped(change, i64::MIN).is_some();
                u64::from(stands)
            }
            OnGap::Shift => {
                let mut count = 0;
                let mut place = from + nanos(change.before);
                while let Some(local) = self.first_skipped(change, place) {
                    let at = local - nanos(change.before);
                    if at >= to {
                        break;
                    }
                    count += u64::from(!regular(at));
                    place = local + 1;
                }
                count
            }
        }
    }

    /// The first local time at or after `from` that a change skips, on a date that it doesn't skip altogether.
    fn first_skipped(&self, change: &Change, from: i64) -> Option<i64> {
        let (start, end) = change.gap();
        let mut from = from.max(nanos(start));
        while from < nanos(end) {
            let local = self.pattern.next(from).filter(|local| *local < nanos(end))?;
            match self.passed_over(change, local) {
                None => return Some(local),
                Some((_, next_date)) => from = nanos(next_date),
            }
        }
        None
    }

    /// The last local time at or before `to` that a change skips, on a date that it doesn't skip altogether.
    fn last_skipped(&self, change: &Change, to: i64) -> Option<i64> {
        let (start, end) = change.gap();
        let mut to = to.min(nanos(end) - 1);
        while to >= nanos(start) {
            let local = self.pattern.prev(to).filter(|local| *local >= nanos(start))?;
            match self.passed_over(change, local) {
                None => return Some(local),
                Some((date, _)) => to = nanos(date) - 1,
            }
        }
        None
    }

    /// The last occurrence that [`OnGap::Shift`] makes of the change shortly before an instant (in seconds).
    fn shifted_past(&self, at: i64) -> Option<i64> {
        if self.on_gap != OnGap::Shift {
            return None;
        }
        let change = self.zone.change_near(at).ok().filter(|change| change.at <= at)?;
        self.last_skipped(&change, i64::MAX).map(|local| local - nanos(change.before))
    }

    /// The first occurrence of local times from `from` on, where no change before the first of them matters.
    fn far_next(&self, from: i64) -> Option<i64> {
        self.far_next_from(self.pattern.next(from)?)
    }

    /// The same, by the first of these times.
    fn far_next_from(&self, mut local: i64) -> Option<i64> {
        let mut tries = 0..MOST_SKIPPED;
        while tries.next().is_some() {
            match self.settle(local) {
                Answer::At(at) => return Some(at),
                Answer::GoOn(next) => local = self.pattern.next(next.max(local + 1))?,
            }
        }
        None
    }

    /// What the first of a run of local times comes to.
    fn settle(&self, local: i64) -> Answer {
        let part = local.rem_euclid(SECOND);
        match self.zone.locate(local.div_euclid(SECOND)) {
            Located::One(at) => Answer::At(nanos(at) + part),
            Located::Fold { second, .. } if self.on_fold == OnFold::Second => Answer::At(nanos(second) + part),
            Located::Fold { first, .. } => Answer::At(nanos(first) + part),
            Located::Gap(change) => {
                if let Some((_, next_date)) = self.passed_over(&change, local) {
                    return Answer::GoOn(nanos(next_date));
                }
                match self.on_gap {
                    OnGap::Skip => Answer::GoOn(nanos(change.gap().1)),
                    OnGap::Next => Answer::At(nanos(change.at)),
                    OnGap::Shift => {
                        let shifted = local - nanos(change.before);
                        let regular = self.pattern.next(nanos(change.gap().1)).map(|local| local - nanos(change.after));
                        Answer::At(regular.map_or(shifted, |regular| regular.min(shifted)))
                    }
                }
            }
        }
    }

    /// The date of a skipped local time, if the change skips all of it or it is excluded, and the date after: first local
    /// seconds.
    fn passed_over(&self, change: &Change, local: i64) -> Option<(i64, i64)> {
        let day = local.div_euclid(SECOND).div_euclid(DAY);
        let (date, next) = (day * DAY, (day + 1) * DAY);
        let (start, end) = change.gap();
        (start <= date && next <= end || self.except.excludes_day(day)).then_some((date, next))
    }

    /// The last occurrence of local times up to `to`, where no change after the last of them matters.
    fn far_prev(&self, mut to: i64) -> Option<i64> {
        let mut tries = 0..MOST_SKIPPED;
        while tries.next().is_some() {
            let local = self.pattern.prev(to)?;
            let part = local.rem_euclid(SECOND);
            match self.zone.locate(local.div_euclid(SECOND)) {
                Located::One(at) => return self.shifted_past(at).max(Some(nanos(at) + part)),
                Located::Fold { first, .. } if self.on_fold == OnFold::First => return Some(nanos(first) + part),
                Located::Fold { second, .. } => return Some(nanos(second) + part),
                Located::Gap(change) => {
                    if let Some((date, _)) = self.passed_over(&change, local) {
                        to = nanos(date) - 1;
                        continue;
                    }
                    match self.on_gap {
                        OnGap::Skip => to = nanos(change.gap().0) - 1,
                        OnGap::Next => return Some(nanos(change.at)),
                        OnGap::Shift => return Some(local - nanos(change.before)),
                    }
                }
            }
        }
        None
    }
}

/// How many gaps in a row a search may find its candidates in: more than two centuries of changes.
const MOST_SKIPPED: u32 = 1000;

fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use chrono::{DateTime, Offset, TimeZone, Utc};
    use chrono_tz::Tz;

    use super::{OnFold, OnGap, SECOND};
    use crate::Schedule;
    use crate::schedule::from_nanos;

    /// Minutes of a day, and of an hour.
    const DAY: i64 = 1440;
    const HOUR: i64 = 60;

    const GAPS: [(&str, OnGap); 3] = [("next", OnGap::Next), ("shift", OnGap::Shift), ("skip", OnGap::Skip)];
    const FOLDS: [(&str, OnFold); 3] = [("first", OnFold::First), ("second", OnFold::Second), ("both", OnFold::Both)];

    fn minute_of(text: &str) -> i64 {
        format!("{text}:00Z").parse::<DateTime<Utc>>().unwrap().timestamp() / 60
    }

    fn instant(minute: i64, nanos: i64) -> DateTime<Utc> {
        from_nanos(minute * 60 * SECOND + nanos)
    }

    /// A clock on the wall, looked at once a minute for some days around a change; instants and local times in minutes.
    struct Wall {
        /// Each instant, what is shown at it, and all instants at which that is shown.
        shown: Vec<(i64, i64, Vec<i64>)>,
        /// What is not shown, though more than it of its date is: when the clock passes it over, and when it would come if the
        /// clock went on as before.
        skipped: Vec<(i64, i64, i64)>,
    }

    impl Wall {
        fn around(zone: Tz, change: i64) -> Wall {
            let minutes = change - 6 * DAY..change + 6 * DAY;
            let offset = |at: i64| zone.offset_from_utc_datetime(&instant(at, 0).naive_utc()).fix().local_minus_utc();
            let pairs: Vec<(i64, i64)> = minutes.map(|at| (at, at + i64::from(offset(at)) / 60)).collect();
            let mut when: HashMap<i64, Vec<i64>> = HashMap::new();
            for (at, local) in &pairs {
                when.entry(*local).or_default().push(*at);
            }
            let mut skipped = Vec::new();
            for pair in pairs.windows(2) {
                let [(before, last), (turn, next)] = [pair[0], pair[1]];
                for local in last + 1..next {
                    let date = local.div_euclid(DAY) * DAY;
                    let is_whole = last < date && date + DAY <= next;
                    if !is_whole {
                        skipped.push((local, turn, before + local - last));
                    }
                }
            }
            Wall { shown: pairs.into_iter().map(|(at, local)| (at, local, when[&local].clone())).collect(), skipped }
        }

        /// The occurrences of some local times.
        fn occurrences(&self, is_member: impl Fn(i64) -> bool, on_gap: OnGap, on_fold: OnFold) -> Vec<i64> {
            let stands = |at: i64, when: &[i64]| match on_fold {
                OnFold::First => when.first() == Some(&at),
                OnFold::Second => when.last() == Some(&at),
                OnFold::Both => true,
            };
            let shown = self.shown.iter().filter(|(at, local, when)| is_member(*local) && stands(*at, when));
            let skipped = self.skipped.iter().filter(|(local, ..)| is_member(*local));
            let made_up = skipped.filter_map(|(_, turn, shifted)| match on_gap {
                OnGap::Next => Some(*turn),
                OnGap::Shift => Some(*shifted),
                OnGap::Skip => None,
            });
            shown.map(|(at, ..)| *at).chain(made_up).collect::<BTreeSet<i64>>().into_iter().collect()
        }
    }

    #[test]
    fn around_changes_occurrences_are_what_a_clock_looked_at_each_minute_shows() {
        let changes = [
            ("America/New_York", "2026-03-08T07:00"),
            ("America/New_York", "2026-11-01T06:00"),
            ("Australia/Lord_Howe", "2026-10-03T15:30"),
            ("Australia/Lord_Howe", "2026-04-04T15:00"),
            ("America/Havana", "2026-03-08T05:00"),
            ("America/Havana", "2026-11-01T05:00"),
            ("America/St_Johns", "2006-10-29T02:31"),
            ("Pacific/Apia", "2011-12-30T10:00"),
            ("Pacific/Kwajalein", "1993-08-21T12:00"),
        ];
        type Rule = fn(i64) -> bool;
        let rows: [(&str, Rule); 13] = [
            ("*/15 * * * *", |minute| minute % 15 == 0),
            ("1 * * * *", |minute| minute % HOUR == 1),
            ("30 2 * * *", |minute| minute == 2 * HOUR + 30),
            ("0 2 * * *", |minute| minute == 2 * HOUR),
            ("0 3 * * *", |minute| minute == 3 * HOUR),
            ("59 0,1,2 * * *", |minute| minute % HOUR == 59 && minute < 3 * HOUR),
            ("0 0 * * *", |minute| minute == 0),
            ("20,40 0 * * *", |minute| minute == 20 || minute == 40),
            ("0,30 23 * * *", |minute| minute >= 23 * HOUR && minute % 30 == 0),
            // Days apart, and on the weekdays of these changes.
            ("15,30 2 * * SUN,WED", |minute| minute == 2 * HOUR + 15 || minute == 2 * HOUR + 30),
            ("0 0 * * SUN,WED", |minute| minute == 0),
            ("0 0 * * TUE,FRI", |minute| minute == 0),
            ("30 1 * * SUN,WED", |minute| minute == HOUR + 30),
        ];
        for (zone, change) in changes {
            let change = minute_of(change);
            let wall = Wall::around(zone.parse().unwrap(), change);
            for (cron, is_member) in rows {
                let is_member = |local: i64| {
                    // 1970-01-01 was a Thursday.
                    let weekday = ["THU", "FRI", "SAT", "SUN", "MON", "TUE", "WED"][local.div_euclid(DAY).rem_euclid(7) as usize];
                    is_member(local.rem_euclid(DAY)) && (cron.ends_with('*') || cron.contains(weekday))
                };
                for (gap, on_gap) in GAPS {
                    for (fold, on_fold) in FOLDS {
                        let text = format!("cron {cron} in {zone} on gap {gap} on fold {fold}");
                        let schedule: Schedule = text.parse().unwrap();
                        let all = wall.occurrences(is_member, on_gap, on_fold);
                        let near = |minute: &i64| (minute - change).abs() < 30 * HOUR;
                        let some = (-7..=7).map(|part| change + part * 4 * HOUR).chain(change - 70..change - 55);
                        let below = |end: i64| all.partition_point(|minute| *minute < end);
                        for at in all.iter().copied().filter(near).chain(some).chain([change + 1, change + HOUR]) {
                            for part in [-1, 0, 1] {
                                let (floor, ceil) = (at - i64::from(part < 0), at + i64::from(part > 0));
                                let (from, to) = (instant(at, part), at + 26 * HOUR);
                                let (next, prev) = (all[below(floor + 1)], all[below(ceil) - 1]);
                                assert_eq!(schedule.next_after(from), Some(instant(next, 0)), "{text} {at} {part}");
                                assert_eq!(schedule.prev_before(from), Some(instant(prev, 0)), "{text} {at} {part}");
                                let count = (below(to + 1) - below(floor + 1)) as u64;
                                assert_eq!(schedule.count_between(from, instant(to, 0)), count, "{text} {at} {part}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_date_of_the_year_may_be_counted_from_the_end_of_its_month() {
        // The first text takes the way of dates of the year, the other that of all the rest. On these dates the clocks change.
        let rows = [
            ("America/New_York", "30 @ 8 3 *", "30 @ L-23 3 *", "2026-03-08"),
            ("America/New_York", "30 @ 1 11 *", "30 @ L-29 11 *", "2026-11-01"),
            ("Australia/Lord_Howe", "45 @ 5 4 *", "45 @ L-25 4 *", "2026-04-05"),
            ("Pacific/Apia", "0 @ 30 12 *", "0 @ L-1 12 *", "2011-12-30"),
        ];
        for (zone, plain, from_last, date) in rows {
            let midnight = minute_of(&format!("{date}T00:00"));
            for ((gap, _), (fold, _)) in GAPS.into_iter().flat_map(|gap| FOLDS.map(|fold| (gap, fold))) {
                for hour in ["0", "1", "2", "23"] {
                    let text = |fields: &str| format!("cron {fields} in {zone} on gap {gap} on fold {fold}").replace('@', hour);
                    let (plain, from_last): (Schedule, Schedule) =
                        (text(plain).parse().unwrap(), text(from_last).parse().unwrap());
                    for half in -5 * 48..5 * 48 {
                        for part in [-1, 0] {
                            let after = instant(midnight + half * 30, part);
                            assert_eq!(plain.next_after(after), from_last.next_after(after), "{plain} after {after}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn beyond_the_last_change_and_the_next_one_other_offsets_hold() {
        let schedule: Schedule = "cron 0 12 15 1,7 * in America/New_York".parse().unwrap();
        let [winter, summer] = ["2026-01-15T17:00", "2026-07-15T16:00"].map(|text| instant(minute_of(text), 0));
        let each_summer: Schedule = "cron 0 12 15 7 * in America/New_York".parse().unwrap();
        let last_summer = instant(minute_of("2025-07-15T16:00"), 0);
        let next_winter = instant(minute_of("2027-01-15T17:00"), 0);
        for hours in -48..48 {
            let spring = instant(minute_of("2026-03-08T07:00") + hours * HOUR, 0);
            let autumn = instant(minute_of("2026-11-01T06:00") + hours * HOUR, 0);
            assert_eq!((schedule.prev_before(spring), schedule.next_after(spring)), (Some(winter), Some(summer)));
            assert_eq!(each_summer.prev_before(spring), Some(last_summer));
            assert_eq!((schedule.prev_before(autumn), schedule.next_after(autumn)), (Some(summer), Some(next_winter)));
        }
    }

    #[test]
    fn parts_of_a_second_are_kept() {
        // New York is whole hours from UTC, so what divides an hour there divides it here.
        const QUARTER: i64 = SECOND / 4;
        for fold in ["first", "second", "both"] {
            let text = format!("every 250 milliseconds aligned in America/New_York on fold {fold}");
            let schedule: Schedule = text.parse().unwrap();
            for minute in ["2026-03-07T12:00", "2026-03-08T12:00", "2026-06-01T00:00", "2026-10-31T12:00", "2026-11-01T12:00"] {
                for part in [-QUARTER, -1, 0, 1, QUARTER - 1, QUARTER, SECOND - 1] {
                    let at = minute_of(minute) * 60 * SECOND + part;
                    let (next, prev) = (at.div_euclid(QUARTER) + 1, (at - 1).div_euclid(QUARTER));
                    assert_eq!(schedule.next_after(from_nanos(at)), Some(from_nanos(next * QUARTER)), "{text} {minute} {part}");
                    assert_eq!(schedule.prev_before(from_nanos(at)), Some(from_nanos(prev * QUARTER)), "{text} {minute} {part}");
                    assert_eq!(schedule.count_between(from_nanos(at), from_nanos((next + 7) * QUARTER)), 8);
                }
            }
        }
    }

    #[test]
    fn parts_of_a_second_are_kept_where_a_clock_is_set_back() {
        // Half past two and a quarter of a second, as the clock in Berlin shows it twice: a hundredth of the time to there is a
        // period that comes to it, and months lie between its multiples.
        let part = SECOND / 4;
        let local = minute_of("2026-10-25T02:30") * 60 * SECOND + part;
        let period = std::time::Duration::from_nanos(local.unsigned_abs() / 100);
        let (first, second) = (minute_of("2026-10-25T00:30"), minute_of("2026-10-25T01:30"));
        for (rule, expected) in [(OnFold::First, first), (OnFold::Second, second)] {
            let schedule = Schedule::every_period(period).aligned().tz("Europe/Berlin").on_fold(rule).build().unwrap();
            let expected = Some(instant(expected, part));
            assert_eq!(schedule.next_after(instant(first - 30 * DAY, 0)), expected, "{rule:?}");
            assert_eq!(schedule.prev_before(instant(first + 30 * DAY, 0)), expected, "{rule:?}");
        }
    }

    #[test]
    fn a_time_skipped_on_an_excluded_date_is_not_made_up_for() {
        for gap in ["next", "shift", "skip"] {
            let text = format!("cron 30 2 * * * in America/New_York on gap {gap} except on 2026-03-08");
            let schedule: Schedule = text.parse().unwrap();
            let (before, after) = (instant(minute_of("2026-03-07T07:30"), 0), instant(minute_of("2026-03-09T06:30"), 0));
            assert_eq!(schedule.next_after(before), Some(after), "{text}");
            assert_eq!(schedule.prev_before(after), Some(before), "{text}");
            assert_eq!(schedule.count_between(before, after), 1, "{text}");
        }
    }
}
