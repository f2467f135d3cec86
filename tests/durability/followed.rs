//! The runs that a job follows: how old their results are.

use std::collections::BTreeMap;

use crate::era::{Verdict, ensure};
use crate::log::{At, nanos};
use crate::table::MINUTE;
use punctual::RunRecord;

/// A run ends up to so long after the poll in which it was called.
pub const SLOP: i64 = 15 * MINUTE;

/// What is known of the runs that a job follows, by their number.
#[derive(Debug, Default)]
pub struct Followed {
    due: BTreeMap<u64, i64>,
    /// In which poll they went well, and when they ended by the record of the job that follows.
    ended: BTreeMap<u64, At>,
    kept: BTreeMap<u64, i64>,
    /// The same when this life began, and when that was.
    known: BTreeMap<u64, i64>,
    boot: At,
    /// When those were due that were told to be stale.
    pub stale: Vec<i64>,
}

impl Followed {
    pub fn boot(&mut self, at: At) {
        (self.boot, self.known) = (at, self.kept.clone());
    }

    pub fn began(&mut self, number: u64, due: i64) {
        self.due.insert(number, due);
    }

    pub fn went_well(&mut self, number: u64, at: At) {
        self.ended.insert(number, at);
    }

    pub fn written(&mut self, run: &RunRecord) {
        self.kept.extend(run.follows.iter().map(|followed| (followed.number, nanos(&followed.ended))));
    }

    /// How long ago a run ended, if that is known: by elapsed time in one life, by the wall clock from life to life. A clock that
    /// was set back says nothing.
    fn age(&self, number: u64, at: At) -> Option<i64> {
        if let Some(ended) = self.ended.get(&number).filter(|ended| ended.life == at.life) {
            return Some(at.elapsed - ended.elapsed);
        }
        let off = (self.boot.wall - self.known.get(&number)?).max(0);
        Some(off.saturating_add(at.elapsed - self.boot.elapsed))
    }

    /// A job follows runs, whose results are to be no older than this.
    pub fn is_fresh(&self, numbers: &[u64], within: i64, at: At) -> Verdict {
        let stale = |number: &&u64| self.age(**number, at).is_some_and(|age| age > within + SLOP);
        let stale = numbers.iter().find(stale);
        ensure(stale.is_none(), || format!("it follows run {stale:?}, which is too old"))
    }

    /// It is told not to, since one that was due then is too old.
    pub fn is_stale(&mut self, due: i64, within: i64, at: At) -> Verdict {
        let mut those = self.due.iter().filter(|(_, its)| **its == due).map(|(number, _)| *number).peekable();
        ensure(those.peek().is_some(), || format!("a run due {due} is stale that never was"))?;
        let stale = those.any(|number| self.age(number, at).is_none_or(|age| age > within - SLOP));
        ensure(stale, || format!("the run due {due} was taken for stale and is not"))?;
        self.stale.push(due);
        Ok(())
    }

    pub fn was_stale(&self, number: u64) -> bool {
        self.due.get(&number).is_some_and(|due| self.stale.contains(due))
    }
}
