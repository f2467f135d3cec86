//! Schedules in the words of other schedulers, where that can be exact. Leaves, as the importers are: they know schedules, and
//! nothing of jobs. What cannot be said exactly is refused, with the part that stands in the way.

#[cfg(feature = "crontab")]
mod cron;
#[cfg(feature = "systemd")]
mod on_calendar;

#[cfg(feature = "crontab")]
pub use cron::CronLine;

/// Why a schedule cannot be written for another scheduler: nothing is written that would run at other times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("`{part}` cannot be written for {target}: {reason}")]
pub struct NotExact {
    /// The scheduler.
    pub target: &'static str,
    /// What of the schedule stands in the way.
    pub part: String,
    /// Why, and what could be written instead.
    pub reason: &'static str,
}
