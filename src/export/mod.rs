//! Schedules as other schedulers write them, where that can be exact. Leaves, as the importers are: what cannot be said is
//! refused, with the part that stands in the way.

#[cfg(feature = "crontab")]
mod cron;
#[cfg(feature = "launchd")]
mod launchd;
#[cfg(feature = "systemd")]
mod on_calendar;

#[cfg(feature = "crontab")]
pub use cron::CronLine;

/// Why a schedule cannot be written for another scheduler: nothing is written that would run at other times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` cannot be written for {target}: {reason}")]
#[non_exhaustive]
pub struct NotExact {
    /// What it was to be.
    pub target: &'static str,
    /// The part of the schedule that stands in the way.
    pub part: String,
    /// Why it does, and what could be written instead.
    pub reason: &'static str,
}

impl NotExact {
    /// Refuses the first clause of a schedule's that stands and cannot be written: whether it stands, what it is, and why not.
    fn of_clauses(target: &'static str, rows: &[(bool, &str, &'static str)]) -> Result<(), NotExact> {
        match rows.iter().find(|(stands, ..)| *stands) {
            Some((_, part, reason)) => Err(NotExact { target, part: (*part).to_owned(), reason }),
            None => Ok(()),
        }
    }
}
