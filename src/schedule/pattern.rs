//! Sets of local times: the sorts of rule that follow the clock on the wall.
//!
//! Each answers three questions about local time, and knows nothing of zones: the next and the last member, and how many
//! there are in a stretch. [`super::occurrence`] turns the answers into instants.

use super::calendar::{Anchor, Calendar};
use super::combine::Exclusions;
#[cfg(feature = "systemd")]
use super::on_calendar::{MINUTE, Places};

/// Nanoseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// A set of local times, in nanoseconds since 1970-01-01T00:00 local.
#[derive(Clone, Copy)]
pub(crate) enum Pattern<'a> {
    /// Days and times of day, some dates left out.
    Calendar { calendar: &'a Calendar, anchor: Anchor, except: &'a Exclusions },
    /// Multiples of a period.
    Aligned { period: i64 },
    /// Places (in seconds, sorted) within every so-many-th hour or minute.
    Units { unit: i64, every: i64, at: &'a [u32], anchor: Anchor },
    /// Places within the minutes of a calendar, some dates left out.
    #[cfg(feature = "systemd")]
    WithinMinutes { minutes: &'a Calendar, places: &'a Places, except: &'a Exclusions },
}

/// That of calendars which need none.
#[cfg(feature = "systemd")]
const NO_ANCHOR: Anchor = Anchor { local: 0, counts: true };

impl Pattern<'_> {
    /// Whether its times are named (then a time in a gap is made up for), rather than running with the clock.
    pub(crate) fn is_fixed(&self) -> bool {
        match self {
            Pattern::Calendar { calendar, .. } => calendar.is_fixed(),
            Pattern::Aligned { .. } | Pattern::Units { .. } => false,
            #[cfg(feature = "systemd")]
            Pattern::WithinMinutes { minutes, .. } => minutes.is_fixed(),
        }
    }

    /// Whether its members are mostly a year apart.
    pub(crate) fn is_yearly(&self) -> bool {
        matches!(self, Pattern::Calendar { calendar, .. } if calendar.is_yearly())
    }

    /// The first member at or after `from`.
    // One copy for all who ask is faster than one for each.
    #[inline(never)]
    pub(crate) fn next(&self, from: i64) -> Option<i64> {
        match *self {
            Pattern::Calendar { calendar, anchor, except } => {
                calendar.next(seconds_up(from), anchor, except)?.checked_mul(SECOND)
            }
            Pattern::Aligned { period } => from.checked_add(period - 1).map(|n| n.div_euclid(period) * period),
            Pattern::Units { unit, every, at, anchor } => {
                let from = seconds_up(from);
                let zero = anchor.local.div_euclid(unit);
                let index = from.div_euclid(unit);
                let ahead = (index - zero).rem_euclid(every);
                let within = from.rem_euclid(unit) as u32;
                if let Some(&place) =
                    at.iter().find(|&&place| ahead == 0 && place >= within && counted(index, zero, every, anchor))
                {
                    return (index * unit + i64::from(place)).checked_mul(SECOND);
                }
                let mut index = index + every - ahead;
                if !counted(index, zero, every, anchor) {
                    index += every;
                }
                index.checked_mul(unit)?.checked_add((*at.first()?).into())?.checked_mul(SECOND)
            }
            #[cfg(feature = "systemd")]
            Pattern::WithinMinutes { minutes, places, except } => {
                let (minute, within) = minute_and_place(micros_up(from));
                let found = minutes.next(minute * 60, NO_ANCHOR, except)?;
                let rest = if found == minute * 60 { places.next(within) } else { None };
                match rest {
                    Some(place) => in_nanos(found, place),
                    None if found > minute * 60 => in_nanos(found, places.next(0)?),
                    None => in_nanos(minutes.next(found + 60, NO_ANCHOR, except)?, places.next(0)?),
                }
            }
        }
    }

    /// The last member at or before `to`.
    pub(crate) fn prev(&self, to: i64) -> Option<i64> {
        match *self {
            Pattern::Calendar { calendar, anchor, except } => {
                calendar.prev(to.div_euclid(SECOND), anchor, except)?.checked_mul(SECOND)
            }
            Pattern::Aligned { period } => Some(to.div_euclid(period) * period),
            Pattern::Units { unit, every, at, anchor } => {
                let to = to.div_euclid(SECOND);
                let zero = anchor.local.div_euclid(unit);
                let index = to.div_euclid(unit);
                let behind = (index - zero).rem_euclid(every);
                let within = to.rem_euclid(unit) as u32;
                if let Some(&place) =
                    at.iter().rev().find(|&&place| behind == 0 && place <= within && counted(index, zero, every, anchor))
                {
                    return (index * unit + i64::from(place)).checked_mul(SECOND);
                }
                let mut index = index - if behind == 0 { every } else { behind };
                if !counted(index, zero, every, anchor) {
                    index -= every;
                }
                index.checked_mul(unit)?.checked_add((*at.last()?).into())?.checked_mul(SECOND)
            }
            #[cfg(feature = "systemd")]
            Pattern::WithinMinutes { minutes, places, except } => {
                let (minute, within) = minute_and_place(to.div_euclid(MICROSECOND));
                let found = minutes.prev(minute * 60, NO_ANCHOR, except)?;
                let rest = if found == minute * 60 { places.prev(within) } else { None };
                match rest {
                    Some(place) => in_nanos(found, place),
                    None if found < minute * 60 => in_nanos(found, places.prev(MINUTE - 1)?),
                    None => in_nanos(minutes.prev(found - 60, NO_ANCHOR, except)?, places.prev(MINUTE - 1)?),
                }
            }
        }
    }

    /// How many members lie in `[from, to)`.
    pub(crate) fn count(&self, from: i64, to: i64) -> u64 {
        if to <= from {
            return 0;
        }
        match *self {
            Pattern::Calendar { calendar, anchor, except } => calendar.count(seconds_up(from), seconds_up(to), anchor, except),
            Pattern::Aligned { period } => ((to - 1).div_euclid(period) - (from - 1).div_euclid(period)) as u64,
            Pattern::Units { unit, every, at, anchor } => {
                let zero = anchor.local.div_euclid(unit);
                let skipped = i64::from(!counted(zero, zero, every, anchor));
                // Members from the anchor's unit on (or, negative, before it) up to a local second.
                let below = |end: i64| {
                    let index = end.div_euclid(unit) - zero;
                    let places = at.iter().filter(|place| i64::from(**place) < end.rem_euclid(unit)).count() as i64;
                    let units = index.div_euclid(every) + i64::from(index.rem_euclid(every) > 0);
                    let here = if index.rem_euclid(every) == 0 && (index != 0 || skipped == 0) { places } else { 0 };
                    (units - if index > 0 { skipped } else { 0 }) * at.len() as i64 + here
                };
                (below(seconds_up(to)) - below(seconds_up(from))) as u64
            }
            #[cfg(feature = "systemd")]
            Pattern::WithinMinutes { minutes, places, except } => {
                let ((first, early), (last, late)) = (minute_and_place(micros_up(from)), minute_and_place(micros_up(to)));
                let count = |from, to| minutes.count(from, to, NO_ANCHOR, except);
                // Whole minutes from the first on, less what of it lies before `from`, and what of the last lies before `to`.
                let before = |minute: i64, place| count(minute * 60, minute * 60 + 60) * places.count_before(place);
                let whole = count(first * 60, last * 60);
                let each = if whole > 0 { places.count_before(MINUTE) } else { 0 };
                (whole * each + before(last, late)).saturating_sub(before(first, early))
            }
        }
    }
}

/// Nanoseconds in a microsecond.
#[cfg(feature = "systemd")]
const MICROSECOND: i64 = 1000;

/// Nanoseconds as microseconds, rounded up.
#[cfg(feature = "systemd")]
fn micros_up(nanos: i64) -> i64 {
    (nanos - 1).div_euclid(MICROSECOND) + 1
}

/// The minute in which a microsecond lies, and where in it.
#[cfg(feature = "systemd")]
fn minute_and_place(micros: i64) -> (i64, u32) {
    (micros.div_euclid(MINUTE.into()), micros.rem_euclid(MINUTE.into()) as u32)
}

#[cfg(feature = "systemd")]
fn in_nanos(second: i64, place: u32) -> Option<i64> {
    second.checked_mul(SECOND)?.checked_add(i64::from(place) * MICROSECOND)
}

/// Nanoseconds as seconds, rounded up.
fn seconds_up(nanos: i64) -> i64 {
    (nanos - 1).div_euclid(SECOND) + 1
}

/// Whether the unit `index` is one of those counted: all but, sometimes, the anchor's own.
fn counted(index: i64, zero: i64, every: i64, anchor: Anchor) -> bool {
    every == 1 || anchor.counts || index != zero
}
