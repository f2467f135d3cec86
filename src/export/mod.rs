//! Schedules as other schedulers write them, where that can be exact. Leaves: they know schedules, and nothing of jobs.

#[cfg(feature = "systemd")]
mod on_calendar;

/// Why a schedule cannot be written as another scheduler has it: nothing is written that would run at other times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` cannot be written as {target}: {reason}")]
#[non_exhaustive]
pub struct NotExact {
    /// What it was to be.
    pub target: &'static str,
    /// The part of the schedule that stands in the way.
    pub part: String,
    /// Why it does.
    pub reason: &'static str,
}
