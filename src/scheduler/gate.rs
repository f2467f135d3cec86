//! Whether a run may begin now: condition, window, spacing, limits, room in the background, a store that can be written.
//!
//! A job that finds one shut is held back until an instant, or until its turn in a line comes.

use super::entry::{BlockedBy, Condition};
use super::keep::Gathering;
use super::limits::{LimitId, ROOM};
use super::step::{Moment, Step};
use super::table::Table;
use crate::clock::Now;
use crate::id::JobId;
use crate::policy::WithoutStore;
use crate::queue::Rank;

/// While a condition does not hold it is asked once a second.
const ASKED_EVERY: i64 = 1_000_000_000;

/// What kind of a run asks to be let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    Run,
    /// Asked for by hand: its own rules do not hold it back, what it shares with others does.
    ByHand,
    /// A further attempt, likewise.
    Attempt,
}

pub(super) enum Gate {
    Open,
    Shut,
    Ask { condition: Condition, late: bool },
}

impl<C> Table<C> {
    /// Whether a run may begin now. If not, the job is held back.
    pub(super) fn gate(&mut self, id: JobId, entrance: Entrance, due: i64, moment: Moment) -> Gate {
        let (now, here) = (moment.now, moment.elapsed());
        let Some(job) = self.get(id) else { return Gate::Shut };
        let pooled = job.takes_room();
        if job.kept.is_some() {
            match self.may_gather(now) {
                Gathering::Open => {}
                Gathering::NextPoll => {
                    self.hold(id);
                    return Gate::Shut;
                }
                Gathering::Soon(until) => {
                    self.block(id, BlockedBy::Store, Some(until), None, now);
                    return Gate::Shut;
                }
                Gathering::Without(until) => {
                    if self.without_store(id) == WithoutStore::Hold {
                        self.block(id, BlockedBy::Store, Some(until), None, now);
                        return Gate::Shut;
                    }
                }
            }
        }
        let Some(job) = self.get(id) else { return Gate::Shut };
        let Some(rules) = job.rules.clone() else {
            return if pooled { self.limit_gate(id, &[ROOM], due, moment) } else { Gate::Open };
        };
        if entrance == Entrance::Run {
            let waited = now.elapsed.saturating_sub(due);
            let late = rules.at_latest.is_some_and(|most| waited >= most);
            if let Some(condition) = rules.when.as_ref().filter(|_| job.holds != self.polls && (!late || rules.asks_hours)) {
                return Gate::Ask { condition: condition.clone(), late };
            }
            if let Some(opens) = rules.window.as_ref().and_then(|window| window.opens(now.wall)) {
                self.block(id, BlockedBy::Window, None, Some(opens), now);
                return Gate::Shut;
            }
            if let Some(free) = rules.spacing.zip(job.last_start).map(|(spacing, last)| last.saturating_add(spacing)) {
                if free > here {
                    self.block(id, BlockedBy::Spacing, Some(free), None, now);
                    return Gate::Shut;
                }
            }
        }
        // What takes another's place does not wait for what that one holds; what it would wait for all the same spares it.
        if entrance != Entrance::Attempt && self.takes_a_place(id) {
            let others = self.limits.not_held_by_runs(&rules.limits);
            for limits in [&others[..], if pooled { &[ROOM] } else { &[] }] {
                if let Gate::Shut = self.limit_gate(id, limits, due, moment) {
                    return Gate::Shut;
                }
            }
            self.make_room(id, now);
        }
        match self.limit_gate(id, &rules.limits, due, moment) {
            Gate::Open if pooled => self.limit_gate(id, &[ROOM], due, moment),
            gate => gate,
        }
    }

    fn limit_gate(&mut self, id: JobId, limits: &[LimitId], due: i64, moment: Moment) -> Gate {
        let Some(priority) = self.get(id).map(|job| job.priority) else { return Gate::Shut };
        let rank = Rank { due, priority, order: id.order };
        let Some(shut) = self.limits.shut(limits, rank, moment.elapsed()) else { return Gate::Open };
        self.block(id, BlockedBy::Limit(shut, rank), None, None, moment.now);
        Gate::Shut
    }

    /// What a job's condition answered: what holds the job back, if anything does. If nothing does it is gone on with at once,
    /// or a small budget would never let it.
    pub(super) fn answered(&mut self, id: JobId, by: Option<BlockedBy>, due: i64, moment: Moment) -> Option<Step<C>> {
        let (polls, now) = (self.polls, moment.now);
        let (rests, job) = (self.rests(), self.get_mut(id)?);
        let Some(by) = by else {
            job.besides.holds = polls;
            let goes_on = !rests && !job.held;
            return if goes_on { self.visit(id.slot, moment) } else { None };
        };
        job.asks_anew();
        let most = job.rules.as_ref().and_then(|rules| rules.at_latest);
        let latest = most.map_or(i64::MAX, |most| due.saturating_add(most));
        let again = now.elapsed.saturating_add(ASKED_EVERY).min(latest).max(now.elapsed + 1);
        self.block(id, by, Some(again), None, now);
        None
    }

    /// Whether a new run of a job takes the place of one that goes on.
    fn takes_a_place(&self, id: JobId) -> bool {
        self.get(id).is_some_and(|job| !job.has_slot() && job.takes_places())
    }

    /// Gives the runs that go on up, if the job's policy is that a new one takes their place.
    fn make_room(&mut self, id: JobId, now: Now) {
        while self.takes_a_place(id) {
            let Some(place) = self.get(id).and_then(|job| job.live.len().checked_sub(1)) else { return };
            self.give_up(id, place, now);
        }
    }
}
