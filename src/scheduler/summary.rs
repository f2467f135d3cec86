//! How late runs were, and what made them late.

use std::fmt;
use std::time::Duration;

use crate::run::LateBy;

/// How late runs were, by what made them late: see [`Scheduler::lateness`](crate::Scheduler::lateness). Runs that started
/// within a millisecond count as punctual and are left out. `Display` is a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lateness {
    causes: [Late; LateBy::ALL.len()],
}

/// Some runs' lateness.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Late {
    /// How many runs.
    pub runs: u64,
    /// How late they were together.
    pub total: Duration,
    /// How late the latest was.
    pub longest: Duration,
}

/// Less than this is not late.
const PUNCTUAL: Duration = Duration::from_millis(1);

impl Lateness {
    /// The runs that were late for this, for the most part.
    pub fn by(&self, cause: LateBy) -> Late {
        self.causes[cause as usize]
    }

    pub(super) fn add(&mut self, late: Duration, by: LateBy) {
        if late < PUNCTUAL {
            return;
        }
        let cause = &mut self.causes[by as usize];
        cause.runs += 1;
        cause.total = cause.total.saturating_add(late);
        cause.longest = cause.longest.max(late);
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.causes.iter().all(|late| late.runs == 0) {
            return f.write_str("no run was late");
        }
        write!(f, "late by         runs          mean       longest")?;
        for cause in LateBy::ALL {
            let late = self.by(cause);
            if late.runs > 0 {
                let mean = late.total.checked_div(u32::try_from(late.runs).unwrap_or(u32::MAX)).unwrap_or_default();
                let (name, mean, longest) = (format!("{cause:?}"), format!("{mean:.1?}"), format!("{:.1?}", late.longest));
                write!(f, "\n{name:<10} {:>9} {mean:>13} {longest:>13}", late.runs)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_place_of_its_own() {
        let mut lateness = Lateness::default();
        for (place, cause) in LateBy::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place);
            lateness.add(Duration::from_secs(place as u64 + 1), cause);
            lateness.add(Duration::from_secs(1), cause);
            lateness.add(Duration::from_micros(10), cause);
            assert_eq!((lateness.by(cause).runs, lateness.by(cause).longest.as_secs()), (2, place as u64 + 1));
        }
        assert_eq!(lateness.to_string().lines().count(), 1 + LateBy::ALL.len());
    }
}
