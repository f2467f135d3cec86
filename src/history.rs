//! What is remembered of a job's runs, in as little room as most jobs need.

use std::time::Duration;

use crate::job::{LastRun, RunEnd, Stats};
use crate::schedule::{from_nanos, length, to_nanos};
use crate::seldom::{Blank, Seldom};

/// A job's figures, and its last run. All times in nanoseconds, instants by the wall clock.
#[derive(Clone, Default)]
pub(crate) struct History {
    runs: u64,
    total: u64,
    longest: u64,
    /// Of the last run, if nothing was odd about it.
    plain: PlainRun,
    odd: Seldom<Odd>,
}

/// A run for one occurrence that went well at its first attempt.
#[derive(Clone, Copy, Default)]
pub(crate) struct PlainRun {
    pub(crate) due: i64,
    pub(crate) started: i64,
    pub(crate) took: u64,
    pub(crate) late: u64,
}

/// What jobs have of which a run failed, was late or was dropped.
#[derive(Clone, Default)]
struct Odd {
    /// All but runs and times.
    stats: Stats,
    /// The last run, unless it was plain.
    last: Option<LastRun>,
}

impl Blank for Odd {
    fn blank() -> &'static Self {
        static BLANK: Odd = Odd { stats: Stats::NONE, last: None };
        &BLANK
    }
}

fn nanos(duration: Duration) -> u64 {
    length(duration).unsigned_abs()
}

impl History {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs == 0 && self.odd.is_unused()
    }

    pub(crate) fn stats(&self) -> Stats {
        let (total, longest) = (Duration::from_nanos(self.total), Duration::from_nanos(self.longest));
        Stats { runs: self.runs, total, longest, ..self.odd.stats }
    }

    /// Counts of what seldom happens.
    pub(crate) fn odd(&mut self) -> &mut Stats {
        &mut self.odd.stats
    }

    pub(crate) fn last(&self) -> Option<LastRun> {
        if self.runs == 0 {
            return None;
        }
        let PlainRun { due, started, took, late } = self.plain;
        let due = from_nanos(due);
        let plain = || LastRun {
            due,
            first_missed: due,
            started: from_nanos(started),
            took: Duration::from_nanos(took),
            late: Duration::from_nanos(late),
            folded: 1,
            attempt: 1,
            end: RunEnd::Done,
        };
        Some(self.odd.last.clone().unwrap_or_else(plain))
    }

    /// Counts a run that ended.
    pub(crate) fn count(&mut self, run: LastRun) {
        let LastRun { due, first_missed, took, late, folded, attempt, end, .. } = run;
        if (end, folded, attempt, first_missed) == (RunEnd::Done, 1, 1, due) {
            let (due, started) = (to_nanos(&due), to_nanos(&run.started));
            return self.count_plain(PlainRun { due, started, took: nanos(took), late: nanos(late) });
        }
        self.runs += 1;
        self.add_time(took);
        self.longest = self.longest.max(nanos(took));
        let stats = &mut self.odd.stats;
        stats.already_done += u64::from(end == RunEnd::AlreadyDone);
        stats.errors += u64::from(matches!(end, RunEnd::Failed | RunEnd::Lost));
        stats.panics += u64::from(end == RunEnd::Panicked);
        stats.timeouts += u64::from(end == RunEnd::TimedOut);
        stats.stopped += u64::from(end == RunEnd::Stopped);
        stats.folded = stats.folded.saturating_add(folded.saturating_sub(1));
        self.odd.last = Some(run);
    }

    #[inline]
    pub(crate) fn count_plain(&mut self, run: PlainRun) {
        self.runs += 1;
        self.total = self.total.saturating_add(run.took);
        self.longest = self.longest.max(run.took);
        self.plain = run;
        if let Some(odd) = self.odd.used() {
            odd.last = None;
        }
    }

    /// Counts the time of an attempt that was not the last one of its run.
    pub(crate) fn add_time(&mut self, took: Duration) {
        self.total = self.total.saturating_add(nanos(took));
    }
}
