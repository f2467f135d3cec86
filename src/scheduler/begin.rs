//! How a run begins: its attempt is made, takes its limits, has its start written if it is kept, and is called or goes out to
//! the background; and how it is set back if in the end it does not start.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{AskedBy, Attempt, BlockedBy, Body, Followed, Job, Live, Rest, State, Waiting};
use super::keep::Gathering;
use super::limits::ROOM;
use super::plan::{Plan, Scale};
use super::step::{Call, HandOver, Moment, Step};
use super::table::{AFTER_ALL_JOBS, Errand, Table};
use crate::clock::Now;
use crate::event::{Event, Failure};
use crate::id::JobId;
use crate::policy::Due;
use crate::queue::Rank;
use crate::run::{LateBy, RunFacts, RunView};
use crate::schedule::{from_nanos, length};

/// When the run before it started, and what had been missed by then.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    last_start: Option<i64>,
    missed_until: i64,
}

/// Where a run came from.
pub(super) enum Origin {
    /// The schedule, which goes back to this occurrence, and to the last one before, if it is still the same edition.
    Occurrence {
        due: i64,
        last_due: Option<i64>,
        edition: u32,
    },
    Waiting(Waiting),
    /// A failed attempt before it, and since when it was to come.
    Attempt(Box<Failure>, i64),
    /// A turn before it.
    Turn,
}

/// How a run begins once it may.
pub(super) struct Starting {
    pub(super) origin: Origin,
    pub(super) before: Before,
    /// Whether it could have waited for other wake-ups, and did not have to.
    pub(super) merged: bool,
}

/// What is known of a run that begins.
pub(super) struct Beginning {
    pub(super) due: Due,
    /// When it was to begin, by the wall clock: when it was due, its jitter added; for one that follows, when the run before it
    /// ended.
    pub(super) at: i64,
    pub(super) after: Option<Followed>,
    pub(super) held_by: Option<LateBy>,
    /// Its number, if it has one already.
    pub(super) number: u64,
}

impl<C> Table<C> {
    /// The first attempt at a run.
    #[inline]
    pub(super) fn attempt(&mut self, id: JobId, beginning: Beginning, moment: Moment) -> Option<Box<Attempt>> {
        let Beginning { due, at, after, held_by, number } = beginning;
        let now = moment.now;
        let down = self.was_down(self.get(id)?, at, now);
        let late_by = held_by.unwrap_or_else(|| self.late_by(at, down, moment));
        let job = self.get_mut(id)?;
        let kept = job.kept_mut();
        let claim = kept.as_ref().map(|kept| kept.claim.clone());
        let (number, previous_was_cut_off) = kept.map_or((0, false), |kept| kept.next_run(number));
        let instant = from_nanos(due.due);
        let facts = RunFacts {
            id,
            name: job.name.clone(),
            due: instant,
            first_missed: if due.first == due.due { instant } else { from_nanos(due.first) },
            late: lateness(moment.wall(), at),
            late_by,
            folded: due.folded,
            attempt: 1,
            number,
            previous_was_cut_off,
            turn: 0,
            follows: after.as_ref().map(|after| after.runs.clone()).unwrap_or_default(),
        };
        let view = RunView { facts, signals: job.signals().clone(), limit: None, claim };
        let (started, took, rules) = (moment.wall(), Duration::ZERO, job.rules.clone());
        let attempt = Attempt { view, after, started, took, ends: None, rules, fills: None, error: None };
        let Some(mut place) = self.spare.take() else { return Some(Box::new(attempt)) };
        *place = attempt;
        Some(place)
    }

    /// What makes a run late, for the most part, that was to begin at an instant of the wall clock and that nothing held back; its
    /// program was down for so long of it.
    #[inline]
    pub(super) fn late_by(&self, at: i64, down: i64, moment: Moment) -> LateBy {
        let now = moment.now;
        let before_poll = now.wall.saturating_sub(at);
        match () {
            () if moment.waited > before_poll => LateBy::OtherJobs,
            () if self.was_put_off(at) => LateBy::Budget,
            () if now.slept >= before_poll / 2 && now.slept > 0 => LateBy::Suspend,
            () if now.stepped >= before_poll / 2 && now.stepped > 0 => LateBy::ClockStep,
            () if down >= before_poll / 2 && down > 0 => LateBy::Down,
            () => LateBy::Host,
        }
    }

    /// Tells of an attempt that starts, and counts how late its run is.
    pub(super) fn announce(&mut self, facts: &RunFacts) {
        if facts.attempt == 1 && facts.turn == 0 {
            self.lateness.add(facts.late, facts.late_by);
        }
        if !self.observed {
            return;
        }
        let RunFacts { id, due, folded, first_missed: since, attempt, turn, .. } = *facts;
        let name = || facts.name.clone();
        let events = &mut self.after.events;
        if attempt == 1 && turn == 0 {
            events.push(Event::Due { id, name: name(), due });
        }
        if attempt == 1 && turn == 0 && folded > 1 {
            events.push(Event::Missed { id, name: name(), occurrences: folded, since });
        }
        if turn == 0 {
            events.push(Event::Started(facts.clone()));
        }
    }

    /// An attempt begins: it takes its limits, and a run counts.
    #[inline]
    pub(super) fn begin(
        &mut self,
        id: JobId,
        mut attempt: Box<Attempt>,
        origin: Origin,
        moment: Moment,
        merged: bool,
    ) -> Option<Step<C>> {
        let here = moment.elapsed();
        let job = self.get_mut(id)?;
        let before = Before { last_start: job.last_start, missed_until: job.missed_until };
        job.asks_anew();
        if !matches!(origin, Origin::Attempt(..)) {
            if attempt.fills.is_none() {
                job.runs_left = job.runs_left.map(|left| left.saturating_sub(1));
            }
            job.last_start = Some(here);
            job.missed_until = job.on_scale(moment.now);
        }
        attempt.started = moment.wall();
        attempt.ends = None;
        if let Some(rules) = &attempt.rules {
            self.limits.take(&rules.limits, here, moment.now.elapsed);
            rules.limits.iter().for_each(|limit| self.let_on(*limit, moment.now.elapsed));
        }
        let starting = Starting { origin, before, merged };
        let gathers = |table: &Self| table.is_kept(id) && matches!(table.may_gather(moment.now), Gathering::Open);
        if self.keeping.is_some() && (self.is_gathering() || gathers(self)) {
            self.gather(id, attempt, starting);
            return None;
        }
        self.begin_now(id, attempt, starting, moment)
    }

    /// The same, once its start is written.
    #[inline]
    pub(super) fn begin_now(
        &mut self,
        id: JobId,
        mut attempt: Box<Attempt>,
        starting: Starting,
        moment: Moment,
    ) -> Option<Step<C>> {
        let Starting { origin, before, merged } = starting;
        let here = moment.elapsed();
        if let Some(limit) = attempt.rules.as_ref().and_then(|rules| rules.timeout) {
            attempt.ends = Some(here.saturating_add(length(limit)));
        }
        let waited = moment.wall().saturating_sub(attempt.started).max(0);
        attempt.started = moment.wall();
        attempt.view.facts.late = attempt.view.facts.late.saturating_add(Duration::from_nanos(waited.unsigned_abs()));
        if self.get(id)?.is_away() {
            return self.out(id, attempt, origin, before, moment, merged);
        }
        self.announce(&attempt.view.facts);
        let call = self.taken(id, attempt, merged);
        match origin {
            Origin::Occurrence { .. } | Origin::Turn => {}
            Origin::Waiting(_) => self.requeue(id),
            Origin::Attempt(failure, _) => {
                self.after.failures.push(*failure);
                self.requeue(id);
            }
        }
        call
    }

    /// A run, or a turn of one, goes out to the background.
    pub(super) fn out(
        &mut self,
        id: JobId,
        mut attempt: Box<Attempt>,
        origin: Origin,
        before: Before,
        moment: Moment,
        merged: bool,
    ) -> Option<Step<C>> {
        let Some(Body::Away { launcher, .. }) = &self.get(id)?.body else { return None };
        let launcher = launcher.clone();
        self.serial += 1;
        let serial = self.serial;
        if attempt.view.facts.turn == 0 {
            attempt.view.signals = Arc::default();
        }
        attempt.view.signals.goes_out();
        let view = attempt.view.clone();
        let rules = attempt.rules.as_ref();
        let limits = rules.map(|rules| rules.limits.clone()).unwrap_or_default();
        let errand = Errand { id, name: view.facts.name.clone(), limits, signals: view.signals.clone(), ends: None };
        self.away.insert(serial, errand);
        // A first turn has its time from its real beginning, a later one what is left.
        let left = |ends: i64| Duration::from_nanos(ends.saturating_sub(moment.elapsed()).max(0).unsigned_abs());
        let timeout = if view.facts.turn == 0 { rules.and_then(|rules| rules.timeout) } else { attempt.ends.map(left) };
        let value = attempt.after.as_ref().and_then(|after| after.value.clone());
        self.get_mut(id)?.besides.live.push(Live { serial, attempt, state: State::Away });
        self.requeue(id);
        let hand_over = HandOver { id, serial, launcher, view, value, timeout, merged, origin, before };
        Some(Step::HandOver(Box::new(hand_over)))
    }

    /// Takes a job's body out, to be called.
    #[inline]
    pub(super) fn taken(&mut self, id: JobId, attempt: Box<Attempt>, merged: bool) -> Option<Step<C>> {
        let job = self.get_mut(id)?;
        let body = match job.body.take()? {
            Body::Inline(body) => body,
            body => {
                job.body = Some(body);
                return None;
            }
        };
        job.running = true;
        if attempt.view.facts.turn == 0 {
            job.no_progress();
        }
        Some(Step::Call(Call { body, attempt, merged, is_plain: false }))
    }

    /// The executor had no room: all is as before, and the job waits for it.
    pub(super) fn refused(&mut self, id: JobId, serial: u64, origin: Origin, before: Before, now: Now) {
        let Some(errand) = self.away.remove(&serial) else { return };
        self.limits.room_is_full(now.elapsed);
        let live = self.get_mut(id).and_then(|job| {
            let place = job.live.iter().position(|live| live.serial == serial)?;
            Some(job.besides.live.swap_remove(place))
        });
        if !matches!((&live, &origin), (Some(_), Origin::Turn)) {
            self.give_back(&errand.limits, matches!(origin, Origin::Turn), now.elapsed);
        }
        let full = self.limits.full_until(now.elapsed);
        let (Some(mut live), Some(full)) = (live, full) else {
            // Its job is gone, or has given it up: what it came from is the user's to drop.
            match origin {
                Origin::Waiting(waiting) => self.after.followed.extend(waiting.after),
                Origin::Attempt(failure, _) => self.after.failures.push(*failure),
                Origin::Occurrence { .. } | Origin::Turn => {}
            }
            return;
        };
        if matches!(origin, Origin::Turn) {
            self.turns += 1;
            live.state = State::Yielded { again: full, order: AFTER_ALL_JOBS + self.turns };
            if let Some(job) = self.get_mut(id) {
                job.besides.live.push(live);
            }
            self.let_on(ROOM, now.elapsed);
            return self.requeue(id);
        }
        let due = self.set_back(id, live.attempt, origin, before, now);
        if self.get(id).is_some_and(Job::is_retired) {
            // It was retired as the run was handed over.
            return self.retires(id);
        }
        let Some(priority) = self.get(id).map(|job| job.priority) else { return };
        let rank = Rank { due, priority, order: id.order };
        self.block(id, BlockedBy::Limit(ROOM, rank), None, None, now);
    }

    /// A run that was to begin does not: all is as before. Gives since when it was to begin, in elapsed time, which is its
    /// place in a line.
    pub(super) fn set_back(&mut self, id: JobId, mut attempt: Box<Attempt>, mut origin: Origin, before: Before, now: Now) -> i64 {
        self.serial += 1;
        let serial = self.serial;
        let Some(job) = self.get_mut(id) else { return now.elapsed };
        if attempt.fills.is_none() {
            job.held_by = Some(attempt.view.facts.late_by);
        }
        let due = match &origin {
            Origin::Occurrence { due, .. } => {
                job.plan.as_ref().map_or(now.elapsed, |plan| plan.wall(plan.jittered(*due), now).saturating_sub(now.ahead()))
            }
            Origin::Waiting(waiting) => waiting.ready,
            Origin::Attempt(_, again) => *again,
            Origin::Turn => now.elapsed,
        };
        if matches!(origin, Origin::Occurrence { edition, .. } if edition == job.edition) || matches!(origin, Origin::Waiting(_))
        {
            if attempt.fills.is_none() {
                job.runs_left = job.runs_left.map(|left| left.saturating_add(1));
            }
            job.last_start = before.last_start;
            job.missed_until = before.missed_until;
        }
        if let Some(kept) = job.kept_mut() {
            let is_new = match &origin {
                Origin::Occurrence { .. } => true,
                Origin::Waiting(waiting) => waiting.number == 0,
                Origin::Attempt(..) | Origin::Turn => false,
            };
            let is_free = kept.not_begun(&attempt.view.facts, is_new);
            if let Origin::Waiting(waiting) = &mut origin {
                // Those that wait behind it may have numbers already, and it begins before them.
                waiting.number = if is_free { 0 } else { attempt.view.facts.number };
            }
        }
        match origin {
            Origin::Occurrence { due, last_due, edition } => {
                // If the clock was set back so far meanwhile that it was wrong before, its schedule goes on from there.
                let calendar = |plan: &Plan| plan.scale == Scale::Wall && !plan.schedule.has_elapsed_part();
                let went_back = job.plan.as_ref().is_some_and(calendar) && job.searched < due;
                if edition == job.edition && !went_back {
                    job.last_due = last_due;
                    job.next = Some(due);
                    job.searched = due.saturating_sub(1);
                }
                self.after.attempts.push(attempt);
            }
            Origin::Waiting(waiting) => {
                let stays = match waiting.by {
                    AskedBy::Backfill => job.filling.as_ref().is_some_and(|filling| filling.has(waiting.due.due)),
                    AskedBy::Nobody | AskedBy::Hand => job.rest == Rest::No,
                };
                if stays {
                    job.besides.waiting.push_front(waiting);
                } else {
                    self.after.followed.extend(waiting.after);
                }
                self.after.attempts.push(attempt);
            }
            Origin::Attempt(failure, again) => {
                attempt.view.facts.attempt -= 1;
                attempt.ends = None;
                job.history.odd().retries -= 1;
                job.besides.live.push(Live { serial, attempt, state: State::Again { again, failure } });
            }
            Origin::Turn => {}
        }
        due
    }
}

/// How long after its due time a run starts.
pub(super) fn lateness(started: i64, due: i64) -> Duration {
    Duration::from_nanos(started.saturating_sub(due).max(0).unsigned_abs())
}
