//! What a backfill is to do, and how far it has come.

use chrono::{DateTime, Utc};

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a backfill is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
    pub(crate) newest_first: bool,
    pub(crate) at_most: u32,
}

/// How far a backfill has come, by the runs of the job itself.
///
/// Those taken up that are nowhere else in it have not ended, or were stopped or dropped. One for which a run was waiting or going
/// on already is not in it.
///
/// How many occurrences there are [`Schedule::count_between`](crate::Schedule::count_between) says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackfillProgress {
    /// So many occurrences were taken up.
    pub taken: u64,
    /// Of those, how many were run, well.
    pub done: u64,
    /// Of those, how many had their target there already.
    pub already_done: u64,
    /// Of those, how many failed, after their last attempt.
    pub failed: u64,
}

/// What is told of a backfill.
#[derive(Debug, Default)]
pub(crate) struct Told {
    taken: AtomicU64,
    done: AtomicU64,
    already_done: AtomicU64,
    failed: AtomicU64,
    over: AtomicBool,
}

impl Told {
    pub(crate) fn takes_one(&self) {
        self.taken.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn one_is_done(&self) {
        self.done.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn one_was_there(&self) {
        self.already_done.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn one_has_failed(&self) {
        self.failed.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn ends_all(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(crate) fn progress(&self) -> BackfillProgress {
        let Told { taken, done, already_done, failed, .. } = self;
        let [taken, done, already_done, failed] = [taken, done, already_done, failed].map(|n| n.load(Ordering::Acquire));
        BackfillProgress { taken, done, already_done, failed }
    }
}
