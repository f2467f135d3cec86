//! The lane of plain jobs: no rules, nobody that follows, nothing kept, and an occurrence that is the only one to have come.
//!
//! Of those most is known beforehand: no gate is shut, nothing is dropped, and the next occurrence is all that there is to place.
//! So they pass by [`step`](super::step), [`begin`](super::begin) and [`ending`](super::ending), which do the same for any job. The
//! one that was called comes back in the hold of the lock in which the next one is taken, and the attempt that it had, signals
//! and all, is the next one's. A job that is not plain any more when it comes back takes the way of all others.
//!
//! Taking all that are due in one hold was thought of: but a job may cancel, pause or ask of another one that is due with it, and
//! would find it taken.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;

use super::begin::lateness;
use super::ending::End;
use super::entry::{Attempt, Body, Inline, Job};
use super::step::{Call, Moment};
use super::table::Table;
use super::value::Value;
use crate::history::PlainRun;
use crate::id::JobId;
use crate::job::RunEnd;
use crate::queue::Rank;
use crate::run::{LateBy, RunFacts, RunView};
use crate::schedule::{length, to_nanos};

/// A plain job that was called, and did what it had to do.
pub(super) struct Back<C> {
    pub(super) body: Inline<C>,
    pub(super) attempt: Box<Attempt>,
    pub(super) value: Option<Value>,
    /// When it ended, in elapsed time.
    pub(super) ended: i64,
}

/// What is left of a job that came back, to be dropped with the lock free.
pub(super) struct Leavings<C> {
    _value: Option<Value>,
    _orphan: Option<Inline<C>>,
    /// Whether it took the way of all others, so that there may be more to do before the next one is taken.
    pub(super) is_slow: bool,
}

impl<C> Table<C> {
    /// The call of the first job that is due, if it is plain.
    #[inline]
    pub(super) fn plain(&mut self, slot: u32, moment: Moment) -> Option<Call<C>> {
        if self.observed || self.keeping.is_some() {
            return None;
        }
        let now = moment.now;
        let job = self.jobs.get_mut(slot).filter(|job| job.is_plain() && job.may_be_called())?;
        let plan = job.plan.as_mut()?;
        let (due, here) = (job.next?, plan.on_scale(now));
        let next = plan.only(due, here)?;
        let body = match job.body.take() {
            Some(Body::Inline(body)) => body,
            other => {
                job.body = other;
                return None;
            }
        };
        let mut attempt = self.lane.take().unwrap_or_else(|| Box::new(Attempt::blank(job.id)));
        if attempt.view.signals.are_known() {
            // Somebody has kept the last run's, or they have told it to stop.
            attempt.view.signals = Arc::default();
        }
        plan.backlog = None;
        let at = plan.wall(due, now);
        let (id, priority, scale) = (job.id, job.priority, plan.scale);
        job.running = true;
        job.next = Some(next);
        job.searched = due;
        job.last_due = Some(at);
        job.last_start = Some(moment.elapsed());
        job.missed_until = here;
        job.runs_with(&attempt.view.signals);
        attempt.view.facts.name.clone_from(&job.name);
        let late_by = self.late_by(at, 0, moment);
        let instant = self.today.instant(at);
        let facts = &mut attempt.view.facts;
        (facts.id, facts.due, facts.first_missed) = (id, instant, instant);
        (facts.late, facts.late_by) = (lateness(moment.wall(), at), late_by);
        self.lateness.add(facts.late, late_by);
        (attempt.started, attempt.took, attempt.ends) = (moment.wall(), Default::default(), None);
        self.place_first(slot, scale, Rank { due: next, priority, order: id.order });
        Some(Call { body, attempt, merged: false, is_plain: true })
    }

    /// A job comes back that was plain when it was called.
    #[inline]
    pub(super) fn comes_back(&mut self, back: Back<C>) -> Leavings<C> {
        let Back { body, attempt, value, ended } = back;
        let facts = &attempt.view.facts;
        let id = facts.id;
        let is_plain = |job: &&mut Job<C>| job.is_plain() && job.goes_on_by_itself();
        let job = self.jobs.get_mut(id.slot).filter(|job| job.id == id).filter(is_plain);
        let Some(job) = job.filter(|_| !self.observed) else {
            // What nobody was to be told was not handed on.
            let value = value.or_else(|| self.get(id)?.epitaph.value());
            let _value = value.clone();
            let _orphan = self.called_back(id, body, &attempt, false);
            self.finish(End { attempt, end: RunEnd::Done, value, failure: None, cancels: false, ended });
            return Leavings { _value, _orphan, is_slow: true };
        };
        job.body = Some(Body::Inline(body));
        job.running = false;
        job.failures = 0;
        job.ran();
        let (due, late) = (to_nanos(&facts.due), length(facts.late).unsigned_abs());
        let took = length(attempt.took).unsigned_abs();
        job.history.count_plain(PlainRun { due, started: attempt.started, took, late });
        attempt.view.signals.reset();
        self.lane = Some(attempt);
        Leavings { _value: value, _orphan: None, is_slow: false }
    }
}

impl Attempt {
    /// One at nothing yet, that keeps nothing of the user's.
    fn blank(id: JobId) -> Self {
        let facts = RunFacts {
            id,
            name: None,
            due: DateTime::UNIX_EPOCH,
            first_missed: DateTime::UNIX_EPOCH,
            late: Duration::ZERO,
            late_by: LateBy::Host,
            folded: 1,
            attempt: 1,
            number: 0,
            previous_was_cut_off: false,
            turn: 0,
            follows: Vec::new(),
        };
        let view = RunView { facts, signals: Arc::default(), limit: None, claim: None };
        Attempt { view, after: None, started: 0, took: Duration::ZERO, ends: None, rules: None, fills: None, error: None }
    }
}

impl<C> Job<C> {
    /// Whether nothing has a say in its runs but its schedule.
    #[inline]
    fn is_plain(&self) -> bool {
        let few = &**self;
        let bare = || {
            let alone = few.live.is_empty() && few.waiting.is_empty() && few.followers.is_empty();
            alone && few.rules.is_none() && few.chain.is_none() && few.block.is_none() && few.kept.is_none()
        };
        self.runs_left.is_none() && (self.besides.is_unused() || bare())
    }

    fn may_be_called(&self) -> bool {
        !self.paused && !self.held && self.held_by.is_none()
    }

    /// Whether its next occurrence is known, whatever became of its last run.
    fn goes_on_by_itself(&self) -> bool {
        self.next.is_some() && self.plan.as_ref().is_some_and(|plan| plan.leaves_runs_alone())
    }
}
