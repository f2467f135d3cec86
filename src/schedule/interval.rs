//! Elapsed time: grids from an anchor, and gaps drawn at random.

use super::pattern::SECOND;
use super::zone::{DAY, Located, Zone};

/// What a rule counts in, below the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    /// So many nanoseconds.
    Nanos(i64),
    Minute,
    Hour,
    Day,
    Week,
}

impl Unit {
    /// Its length on the clock.
    pub(crate) fn seconds(self) -> i64 {
        match self {
            Unit::Nanos(nanos) => nanos / SECOND,
            Unit::Minute => 60,
            Unit::Hour => 3600,
            Unit::Day => DAY,
            Unit::Week => 7 * DAY,
        }
    }
}

/// The first of `anchor + k * period` after an instant.
#[inline]
pub(crate) fn next(period: i64, anchor: i64, after: i64) -> Option<i64> {
    let behind = match after.checked_sub(anchor) {
        Some(since) => since.rem_euclid(period),
        None => (i128::from(after) - i128::from(anchor)).rem_euclid(period.into()) as i64,
    };
    after.checked_add(period - behind)
}

/// The last of `anchor + k * period` before an instant.
pub(crate) fn prev(period: i64, anchor: i64, before: i64) -> Option<i64> {
    let ahead = (i128::from(anchor) - i128::from(before)).rem_euclid(period.into()) as i64;
    before.checked_sub(period - ahead)
}

/// How many of `anchor + k * period` lie in `(after, until]`.
pub(crate) fn count(period: i64, anchor: i64, after: i64, until: i64) -> u64 {
    let below = |at: i64| (i128::from(at) - i128::from(anchor)).div_euclid(period.into());
    (below(until) - below(after)).max(0) as u64
}

/// A gap of `least` to `most` units, drawn anew for each occurrence from the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Random {
    pub(crate) least: u32,
    pub(crate) most: u32,
    pub(crate) unit: Unit,
    /// Of days and weeks: the second of the day, if one is named.
    pub(crate) time: Option<u32>,
}

impl Random {
    pub(crate) fn next(&self, zone: &Zone, seed: u64, start: Option<i64>, after: i64) -> Option<i64> {
        if let Some(start) = start.filter(|start| *start > after) {
            return Some(start);
        }
        let spread = u64::from(self.most - self.least) + 1;
        let drawn = i64::from(self.least) + (mix(seed, after as u64) % spread) as i64;
        if let Unit::Nanos(unit) = self.unit {
            return drawn.checked_mul(unit)?.checked_add(after);
        }
        let second = after.div_euclid(SECOND);
        let local = second + zone.offset_at(second);
        let day = local.div_euclid(DAY) + drawn.checked_mul(self.unit.seconds() / DAY)?;
        let time = self.time.map_or(local.rem_euclid(DAY), i64::from);
        let at = match zone.locate(day.checked_mul(DAY)?.checked_add(time)?) {
            Located::One(at) | Located::Fold { first: at, .. } => at,
            Located::Gap(change) => change.at,
        };
        at.checked_mul(SECOND)
    }

    /// The number of occurrences to be expected.
    pub(crate) fn expected(&self, after: i64, until: i64) -> u64 {
        let unit = match self.unit {
            Unit::Nanos(unit) => i128::from(unit),
            unit => i128::from(unit.seconds()) * i128::from(SECOND),
        };
        let twice_mean = (i128::from(self.least) + i128::from(self.most)) * unit;
        ((i128::from(until) - i128::from(after)) * 2 / twice_mean) as u64
    }
}

/// A number that looks drawn, the same for the same two (SplitMix64's finalizer).
pub(crate) fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
