//! What narrows a schedule: dates taken out, and a window of the day.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::{Datelike, NaiveDate, Weekday};

use super::zone::{DAY, date_of};

/// What becomes of an occurrence on an excluded date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shift {
    /// It is dropped.
    #[default]
    Drop,
    /// It moves to the same time of the next date that is not excluded, at most 31 days on; else it is dropped.
    Next,
    /// It moves to the same time of the last date before that is not excluded, at most 31 days back; else it is dropped.
    Previous,
}

impl Shift {
    /// How many days an occurrence may be moved.
    pub(crate) const FARTHEST: i64 = 31;
}

/// A rule of the user's own about dates, compared by its address.
#[derive(Clone)]
pub(crate) struct Predicate(Arc<dyn Fn(NaiveDate) -> bool + Send + Sync>);

impl Predicate {
    pub(crate) fn new(predicate: impl Fn(NaiveDate) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(predicate))
    }
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Predicate {}

impl Hash for Predicate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<()>().hash(state);
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fn(NaiveDate) -> bool")
    }
}

/// The dates that a schedule leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Exclusions {
    /// Bit n stands for weekday n, Sunday 0.
    pub(crate) weekdays: u8,
    /// Sorted, none twice.
    pub(crate) dates: Vec<NaiveDate>,
    pub(crate) predicates: Vec<Predicate>,
    pub(crate) shift: Shift,
}

impl Exclusions {
    pub(crate) const NONE: Self = Self { weekdays: 0, dates: Vec::new(), predicates: Vec::new(), shift: Shift::Drop };

    /// A search ends after this many months in a row in which every occurrence is excluded: fifty years.
    pub(crate) const EMPTY_MONTHS: u32 = 600;

    pub(crate) fn is_empty(&self) -> bool {
        self.weekdays == 0 && self.dates.is_empty() && self.predicates.is_empty()
    }

    pub(crate) fn add_weekday(&mut self, weekday: Weekday) {
        self.weekdays |= 1 << weekday.num_days_from_sunday();
    }

    pub(crate) fn add_date(&mut self, date: NaiveDate) {
        // No occurrence lies in any other year, and its date would not be read back.
        let is_written = (0..=9999).contains(&date.year());
        if let (true, Err(place)) = (is_written, self.dates.binary_search(&date)) {
            self.dates.insert(place, date);
        }
    }

    pub(crate) fn excludes(&self, date: NaiveDate) -> bool {
        self.weekdays >> date.weekday().num_days_from_sunday() & 1 == 1
            || self.dates.binary_search(&date).is_ok()
            || self.predicates.iter().any(|predicate| (predicate.0)(date))
    }

    pub(crate) fn excludes_day(&self, day: i64) -> bool {
        date_of(day).is_some_and(|date| self.excludes(date))
    }
}

/// A window of the day, in local seconds, both ends within it; over midnight if it ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Window {
    pub(crate) fn contains(&self, time: u32) -> bool {
        if self.from <= self.to { (self.from..=self.to).contains(&time) } else { time >= self.from || time <= self.to }
    }

    /// The stretch of the day around `time` in which `contains` doesn't change: from the first second, up to the second.
    pub(crate) fn around(&self, time: u32) -> (u32, u32) {
        let edges = [0, self.from, self.to + 1, DAY as u32];
        let since = edges.iter().copied().filter(|edge| *edge <= time).max().unwrap_or(0);
        let until = edges.iter().copied().filter(|edge| *edge > time).min().unwrap_or(DAY as u32);
        (since, until)
    }
}
