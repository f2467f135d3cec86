//! What a clock on the wall shows, and when.
//!
//! A zone is one function, from an instant to an offset; everything else (which instants show a local time, which local
//! times a change skips or repeats) is derived from it here, by bisection, in the same way for every kind of zone. Local
//! look-ups of `chrono` are not used: they answer for one date at a time and differ between zone types at the edges.
//!
//! The one assumption: two changes of offset are more than [`SPACING`] apart. The closest pair in the IANA data (2026)
//! is Africa/Freetown's of September 1939, just under four days.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Days, FixedOffset, Local, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};

use crate::error::Error;

pub(crate) const DAY: i64 = 86_400;

/// No two changes of a zone's offset are nearer than this, in seconds.
const SPACING: i64 = 3 * DAY;

/// The date of a day counted from 1970-01-01.
pub(crate) fn date_of(day: i64) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(i32::try_from(day + 719_163).ok()?)
}

/// A time zone: UTC, a fixed offset, the machine's own, a named one (feature `chrono-tz`), or any [`TimeZone`].
///
/// Offsets are looked up for each occurrence, so a rule that changes is followed from the next one on.
///
/// ```
/// use punctual::Zone;
/// let berlin: Zone = "Europe/Berlin".parse()?;
/// assert_eq!(berlin.to_string(), "Europe/Berlin");
/// assert!("Europe/Berlino".parse::<Zone>().is_err());
/// # Ok::<(), punctual::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Zone(Rules);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Rules {
    Fixed(i32),
    Local,
    #[cfg(feature = "chrono-tz")]
    Named(chrono_tz::Tz),
    Custom(Custom),
}

/// A zone of the user's own, known by its name and its address.
#[derive(Clone)]
struct Custom {
    name: Arc<str>,
    offset: Arc<OffsetAt>,
}

type OffsetAt = dyn Fn(&NaiveDateTime) -> i32 + Send + Sync;

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.offset, &other.offset)
    }
}

impl Eq for Custom {}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// A change of offset: at `at` (seconds, UTC) the zone goes from `before` to `after` (seconds east of UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: i64,
    pub(crate) before: i64,
    pub(crate) after: i64,
}

impl Change {
    /// The local times that no clock shows: from the first, up to the second. Empty if this is a fold.
    pub(crate) fn gap(&self) -> (i64, i64) {
        (self.at + self.before, self.at + self.after)
    }

    pub(crate) fn is_gap(&self) -> bool {
        self.after > self.before
    }
}

/// Where on the time line a local time lies, in seconds UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    One(i64),
    Gap(Change),
    Fold { first: i64, second: i64 },
}

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Zone = Zone(Rules::Fixed(0));

    /// The machine's own zone, asked anew at each look-up.
    pub const LOCAL: Zone = Zone(Rules::Local);

    /// Any [`TimeZone`], under a name to be printed.
    ///
    /// The name does not parse back. Two changes of its offset must be at least three days apart.
    pub fn custom<Z>(name: &str, zone: Z) -> Zone
    where
        Z: TimeZone + Send + Sync + 'static,
    {
        Zone(Rules::Custom(Custom {
            name: name.into(),
            offset: Arc::new(move |at| zone.offset_from_utc_datetime(at).fix().local_minus_utc()),
        }))
    }

    /// Whether code of the user's own is asked.
    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.0, Rules::Custom(_))
    }

    /// The offset that never changes, if this is such a zone.
    #[inline]
    pub(crate) fn constant(&self) -> Option<i64> {
        match self.0 {
            Rules::Fixed(offset) => Some(offset.into()),
            _ => None,
        }
    }

    /// Seconds east of UTC at an instant.
    #[inline]
    pub(crate) fn offset_at(&self, at: i64) -> i64 {
        match self.0 {
            Rules::Fixed(offset) => offset.into(),
            _ => self.offset_on(&on_calendar(at)),
        }
    }

    /// The same at an instant and so many days later. Of the second, chrono need not find the year again.
    #[inline]
    fn offsets_at(&self, at: i64, days: u64) -> (i64, i64) {
        let first = on_calendar(at);
        let second = first.checked_add_days(Days::new(days)).unwrap_or(first);
        (self.offset_on(&first), self.offset_on(&second))
    }

    fn offset_on(&self, at: &NaiveDateTime) -> i64 {
        let offset = match &self.0 {
            Rules::Fixed(offset) => *offset,
            Rules::Local => Local.offset_from_utc_datetime(at).fix().local_minus_utc(),
            #[cfg(feature = "chrono-tz")]
            Rules::Named(zone) => zone.offset_from_utc_datetime(at).fix().local_minus_utc(),
            Rules::Custom(custom) => (custom.offset)(at),
        };
        offset.into()
    }

    /// The first change of offset in `(after, until]`.
    pub(crate) fn change_in(&self, after: i64, until: i64) -> Option<Change> {
        if self.constant().is_some() {
            return None;
        }
        let mut low = after;
        let before = self.offset_at(low);
        while low < until {
            let high = until.min(low + SPACING);
            if self.offset_at(high) != before {
                return Some(self.bisect(low, high, before));
            }
            low = high;
        }
        None
    }

    /// The offset from two days before an instant to a day after it, if it doesn't change.
    #[inline]
    pub(crate) fn steady(&self, at: i64) -> Option<i64> {
        const { assert!(SPACING >= 3 * DAY) };
        let (first, last) = self.offsets_at(at - 2 * DAY, 3);
        (first == last).then_some(first)
    }

    /// The change within a day of an instant, on either side.
    #[inline]
    pub(crate) fn change_near(&self, at: i64) -> Result<Change, i64> {
        let (before, after) = self.offsets_at(at - DAY, 2);
        if before == after {
            return Err(before);
        }
        Ok(self.bisect(at - DAY, at + DAY, before))
    }

    fn bisect(&self, mut low: i64, mut high: i64, before: i64) -> Change {
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.offset_at(middle) == before { low = middle } else { high = middle }
        }
        Change { at: high, before, after: self.offset_at(high) }
    }

    /// The instants that show a local time.
    pub(crate) fn locate(&self, local: i64) -> Located {
        if let Some(offset) = self.constant() {
            return Located::One(local - offset);
        }
        // Offsets are less than a day, so the change that matters, if any, is within a day of `local` read as UTC.
        let change = match self.change_near(local) {
            Err(offset) => return Located::One(local - offset),
            Ok(change) => change,
        };
        let (first, second) = (local - change.before, local - change.after);
        match (first < change.at, second >= change.at) {
            (true, true) => Located::Fold { first, second },
            (true, false) => Located::One(first),
            (false, true) => Located::One(second),
            (false, false) => Located::Gap(change),
        }
    }
}

/// An instant as chrono's zones take it.
fn on_calendar(at: i64) -> NaiveDateTime {
    DateTime::from_timestamp(at, 0).unwrap_or_default().naive_utc()
}

impl Default for Zone {
    fn default() -> Self {
        Zone::UTC
    }
}

impl From<Utc> for Zone {
    fn from(_: Utc) -> Self {
        Zone::UTC
    }
}

impl From<FixedOffset> for Zone {
    fn from(offset: FixedOffset) -> Self {
        Zone(Rules::Fixed(offset.local_minus_utc()))
    }
}

impl From<Local> for Zone {
    fn from(_: Local) -> Self {
        Zone::LOCAL
    }
}

#[cfg(feature = "chrono-tz")]
impl From<chrono_tz::Tz> for Zone {
    fn from(zone: chrono_tz::Tz) -> Self {
        if zone == chrono_tz::Tz::UTC { Zone::UTC } else { Zone(Rules::Named(zone)) }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rules::Fixed(0) => f.write_str("UTC"),
            Rules::Fixed(offset) => {
                let (sign, size) = (if *offset < 0 { '-' } else { '+' }, offset.abs());
                write!(f, "UTC{sign}{:02}:{:02}", size / 3600, size / 60 % 60)?;
                if size % 60 != 0 { write!(f, ":{:02}", size % 60) } else { Ok(()) }
            }
            Rules::Local => f.write_str("local"),
            #[cfg(feature = "chrono-tz")]
            Rules::Named(zone) => f.write_str(zone.name()),
            Rules::Custom(custom) => write!(f, "<zone {}>", custom.name),
        }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({self})")
    }
}

/// Reads `UTC`, `local`, `UTC+02:00`, and with the feature `chrono-tz` every IANA name, in any case.
impl FromStr for Zone {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        if name.eq_ignore_ascii_case("utc") {
            return Ok(Zone::UTC);
        }
        if name.eq_ignore_ascii_case("local") {
            return Ok(Zone::LOCAL);
        }
        if let Some(offset) = name.get(3..).filter(|_| name[..3].eq_ignore_ascii_case("utc")).and_then(fixed_offset) {
            return Ok(Zone(Rules::Fixed(offset)));
        }
        named(name)
    }
}

/// `+HH:MM` or `+HH:MM:SS` as seconds.
fn fixed_offset(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut parts = text[1..].split(':');
    let mut part = |below: i32| {
        let digits = parts.next()?;
        let two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<i32>().ok().filter(|n| two && *n < below)
    };
    let (hours, minutes) = (part(24)?, part(60)?);
    let seconds = if text.len() > 6 { part(60)? } else { 0 };
    parts.next().is_none().then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

#[cfg(feature = "chrono-tz")]
fn named(name: &str) -> Result<Zone, Error> {
    if let Ok(zone) = chrono_tz::Tz::from_str(name) {
        return Ok(zone.into());
    }
    if let Some(zone) = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name)) {
        return Ok((*zone).into());
    }
    let trimmed = name.trim();
    let like = |zone: &&chrono_tz::Tz| {
        let city = zone.name().rsplit('/').next().unwrap_or_default();
        let given = trimmed.rsplit('/').next().unwrap_or_default();
        given.len() > 3 && (city.eq_ignore_ascii_case(given) || zone.name().eq_ignore_ascii_case(trimmed))
    };
    let suggestion = match chrono_tz::TZ_VARIANTS.iter().find(like) {
        Some(zone) => zone.name(),
        None if fixed_offset(trimmed).is_some() => "UTC+02:00 (an offset follows the letters UTC)",
        None => "an IANA name such as Europe/Berlin, or UTC, local, UTC+02:00",
    };
    Err(Error::UnknownZone { given: name.into(), suggestion })
}

#[cfg(not(feature = "chrono-tz"))]
fn named(name: &str) -> Result<Zone, Error> {
    let suggestion = "UTC, local or UTC+02:00; names such as Europe/Berlin need the feature `chrono-tz`";
    Err(Error::UnknownZone { given: name.into(), suggestion })
}

#[cfg(feature = "serde")]
mod serde_text {
    use super::Zone;

    impl serde::Serialize for Zone {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> serde::Deserialize<'de> for Zone {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = <String as serde::Deserialize>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_offsets_print_and_parse() {
        for text in ["UTC", "UTC+02:00", "UTC-00:30", "UTC+05:53:28", "local"] {
            assert_eq!(text.parse::<Zone>().map(|zone| zone.to_string()).as_deref(), Ok(text));
        }
        for text in ["+02:00", "UTC+2", "UTC+02:60", "UTC+02:00:00:00", "UTC+24:00", "", "é", "UTCé", "UTC+é:00"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }
}
