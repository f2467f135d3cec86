//! Triggers of the user's own.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Schedule;

/// What is behind a schedule, for triggers of the user's own: sunrise, a fiscal calendar, a table in a file.
///
/// It should answer at once and always the same. An answer that is not after the instant asked about ends the schedule.
///
/// ```
/// use chrono::{DateTime, TimeDelta, Utc};
/// use punctual::{Schedule, Trigger};
///
/// struct EveryPrimeMinute;
///
/// impl Trigger for EveryPrimeMinute {
///     fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
///         let prime = |n: i64| n > 1 && (2..n).all(|d| n % d != 0);
///         let minute = after.timestamp().div_euclid(60);
///         (minute + 1..).find(|m| prime(m.rem_euclid(60))).and_then(|m| DateTime::from_timestamp(m * 60, 0))
///     }
/// }
///
/// let schedule = Schedule::custom(EveryPrimeMinute);
/// let next = schedule.next_after("2026-01-01T10:20:00Z".parse()?);
/// assert_eq!(next, Some("2026-01-01T10:23:00Z".parse()?));
/// # let _: TimeDelta;
/// # Ok::<(), chrono::ParseError>(())
/// ```
pub trait Trigger: Send + Sync + 'static {
    /// The first occurrence strictly after an instant, `None` if there is no further one.
    fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>>;

    /// The last occurrence strictly before an instant. Without it (`None`) a late run cannot say which occurrence it makes
    /// up for, and is due at the first one missed.
    fn prev_before(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let _ = before;
        None
    }

    /// One English sentence on when it runs.
    fn describe(&self) -> String {
        "Runs by a trigger of its own.".to_owned()
    }

    /// The schedule that it is.
    #[doc(hidden)]
    fn into_schedule(self) -> Schedule
    where
        Self: Sized,
    {
        Schedule::custom(self)
    }
}

impl Trigger for Schedule {
    fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Schedule::next_after(self, after)
    }

    fn prev_before(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Schedule::prev_before(self, before)
    }

    fn describe(&self) -> String {
        Schedule::describe(self)
    }

    fn into_schedule(self) -> Schedule {
        self
    }
}

/// A trigger of the user's own, compared by its address.
#[derive(Clone)]
pub(crate) struct Custom(pub(super) Arc<dyn Trigger>);

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Custom {}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<()>().hash(state);
    }
}
