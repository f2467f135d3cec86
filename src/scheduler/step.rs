//! What is to be done next: of the jobs that are due the first, and of what it has to do the first.
//!
//! A job may have several things to do: a run whose time is up, an occurrence or a run to follow that comes while a run goes
//! on, a turn of a run in steps, a further attempt, a run that waits, an occurrence. They are looked at in this order. What begins a run
//! passes the gates: condition, window, spacing, limits, room in the background. A job that finds one shut is held
//! back as a whole; its occurrences stay in its schedule, so that what it misses meanwhile folds as for a host that was
//! asleep.

use std::sync::Arc;
use std::time::Duration;

use super::away::Launcher;
use super::entry::{Attempt, BlockedBy, Body, Condition, Followed, Inline, Job, Live, State, Waiting};
use super::keep::Gathering;
use super::limits::{LimitId, ROOM};
use super::plan::Plan;
use super::run::Value;
use super::table::{AFTER_ALL_JOBS, Errand, Table};
use crate::clock::Now;
use crate::event::{DropReason, Event, Failure, RemoveReason};
use crate::id::JobId;
use crate::policy::{Due, Overlap, Verdict, WithoutStore};
use crate::queue::Rank;
use crate::run::{LateBy, RunFacts, RunView};
use crate::schedule::{from_nanos, length, to_nanos};
use crate::store::Batch;

/// While a condition does not hold it is asked once a second.
const ASKED_EVERY: i64 = 1_000_000_000;

/// How many jobs from which no run comes are looked at in one go.
const LOOKED_AT: usize = 64;

/// When a step is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The instant of the poll.
    pub(super) now: Now,
    /// How long the poll has gone on, and how much of its budget is left.
    pub(super) waited: i64,
    pub(super) left: Option<Duration>,
}

impl Moment {
    /// The instant of the step itself, by the wall clock.
    pub(super) fn wall(&self) -> i64 {
        self.now.wall.saturating_add(self.waited)
    }

    pub(super) fn elapsed(&self) -> i64 {
        self.now.elapsed.saturating_add(self.waited)
    }
}

/// What comes next of the jobs that are due.
pub(super) enum Step<C> {
    Nothing,
    /// So much was looked at without a run that the budget is to be asked.
    Looked,
    /// A run, or a turn of one, on the polling thread.
    Call(Call<C>),
    /// A run in the background.
    HandOver(Box<HandOver>),
    /// Its time is up.
    TimedOut(TimedOut),
    /// Its schedule holds code of the user's own, so the lock is given up while it is asked.
    AskSchedule {
        id: JobId,
        plan: Box<Plan>,
        due: i64,
        /// Whether it has yet to pass the gates if it is to be run.
        ungated: bool,
    },
    /// What is to be written to the store, before runs start whose start it is.
    Write(Batch),
    /// Its condition, likewise.
    AskCondition {
        id: JobId,
        condition: Condition,
        /// Whether what it is asked for has waited so long that it is let through.
        late: bool,
        /// When that was due, in elapsed time.
        due: i64,
    },
}

pub(super) struct Call<C> {
    pub(super) body: Inline<C>,
    pub(super) attempt: Box<Attempt>,
    /// Whether it could have waited for other wake-ups, and did not have to.
    pub(super) merged: bool,
}

pub(super) struct HandOver {
    pub(super) id: JobId,
    pub(super) serial: u64,
    pub(super) launcher: Launcher,
    pub(super) view: RunView,
    pub(super) value: Option<Value>,
    pub(super) timeout: Option<Duration>,
    /// Whether it could have waited for other wake-ups, and did not have to.
    pub(super) merged: bool,
    /// Where it came from, in case the executor has no room.
    pub(super) origin: Origin,
    pub(super) before: Before,
}

/// When the run before it started, and what had been missed by then.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    last_start: Option<i64>,
    missed_until: i64,
}

pub(super) struct TimedOut {
    pub(super) attempt: Box<Attempt>,
    pub(super) limit: Duration,
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
struct Beginning {
    due: Due,
    /// When it was to begin, by the wall clock: when it was due, its jitter added; for one that follows, when the run before it
    /// ended.
    at: i64,
    after: Option<Followed>,
    held_by: Option<LateBy>,
    /// Its number, if it has one already.
    number: u64,
}

/// What kind of a run asks to be let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entrance {
    Run,
    /// Asked for by hand: its own rules do not hold it back, what it shares with others does.
    ByHand,
    /// A further attempt, likewise.
    Attempt,
}

enum Gate {
    Open,
    Shut,
    Ask { condition: Condition, late: bool },
}

impl<C> Table<C> {
    /// Goes on with the jobs that are due, up to the next thing that needs the lock to be free.
    pub(super) fn step(&mut self, moment: Moment) -> Step<C> {
        if self.paused || self.closed {
            return self.write(moment.now);
        }
        if let Some(step) = self.start_granted(moment) {
            return step;
        }
        for _ in 0..LOOKED_AT {
            if self.has_gathered(moment.left) {
                return self.write(moment.now);
            }
            let Some((_, slot)) = self.first_due(moment.now) else {
                self.put_off = None;
                return self.write(moment.now);
            };
            if let Some(step) = self.visit(slot, moment) {
                return step;
            }
        }
        Step::Looked
    }

    /// What there is to write, if it may be written in this poll.
    pub(super) fn write(&mut self, now: Now) -> Step<C> {
        match self.batch(now) {
            Some(batch) => Step::Write(batch),
            None => Step::Nothing,
        }
    }

    #[inline]
    fn visit(&mut self, slot: u32, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let Some(job) = self.at(slot) else {
            self.unplace(slot);
            return None;
        };
        let id = job.id;
        let late = |live: &Live| live.attempt.ends.is_some_and(|ends| ends <= now.elapsed);
        if let Some(place) = job.live.iter().position(late) {
            return self.time_out(id, place, moment);
        }
        let comes = |at: Option<i64>, now: i64| at.is_some_and(|at| at <= now);
        let block = job.block.as_ref();
        if !block.is_some_and(|block| comes(block.elapsed, now.elapsed) || comes(block.wall, now.wall)) {
            return self.look(id, moment);
        }
        let lines = self.unblock(id);
        let step = self.look(id, moment);
        // What it did not take is for the next in line. Whether the executor has room for another is known only once this one
        // was handed over.
        let tried = matches!(step, Some(Step::HandOver(_)));
        for limit in lines.into_iter().filter(|limit| !(tried && *limit == ROOM)) {
            self.let_on(limit, now.elapsed);
        }
        step
    }

    /// What a job has to do, besides a run whose time is up.
    #[inline]
    fn look(&mut self, id: JobId, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let job = self.get(id)?;
        let due = job.next.filter(|_| job.scheduled().is_some_and(|at| at <= job.on_scale(now)));
        if let Some(due) = due.filter(|_| !job.has_slot()) {
            return match job.overlap() {
                Some(Overlap::CancelRunning) => self.enter(id, due, moment),
                _ => self.occurrence(id, due, moment),
            };
        }
        if !job.has_slot() && job.block.is_none() && job.front().is_some_and(|front| front.ready <= now.elapsed) {
            return self.waiting(id, moment);
        }
        let turn = |live: &Live| matches!(live.state, State::Yielded { again, .. } if again <= now.elapsed);
        if let Some(place) = job.live.iter().position(turn).filter(|_| !job.paused) {
            return self.go_on(id, place, moment);
        }
        if job.block.is_none() && !job.paused {
            let failed = |live: &Live| matches!(live.state, State::Again { again, .. } if again <= now.elapsed);
            if let Some(place) = job.live.iter().position(failed) {
                return self.try_again(id, place, moment);
            }
            if job.front().is_some_and(|front| front.ready <= now.elapsed) {
                return self.waiting(id, moment);
            }
            if let Some(due) = due {
                return self.enter(id, due, moment);
            }
        }
        self.requeue(id);
        None
    }

    /// Takes a run out whose time is up.
    fn time_out(&mut self, id: JobId, place: usize, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let job = self.get(id)?;
        let limit = job.rules.as_ref().and_then(|rules| rules.timeout)?;
        let live = &job.live[place];
        if let State::Away = live.state {
            let serial = live.serial;
            // Its time counts from the real beginning of its first turn.
            let began = live.attempt.view.signals.began_elapsed();
            let ran = began.map_or(0, |began| now.elapsed.saturating_sub(began).max(0));
            if live.attempt.view.facts.turn == 0 && ran < length(limit) {
                self.get_mut(id)?.live[place].attempt.ends = Some(now.elapsed.saturating_add(length(limit) - ran));
                self.requeue(id);
                return None;
            }
            if self.returned.iter().any(|returned| returned.serial == serial) {
                // It has ended since the poll began.
                let ends = self.get_mut(id)?.live[place].attempt.ends.take();
                if let Some(errand) = self.away.get_mut(&serial) {
                    errand.ends = ends;
                }
                self.requeue(id);
                return None;
            }
        }
        let job = self.get_mut(id)?;
        let live = job.live.swap_remove(place);
        self.let_go(&live, now);
        self.requeue(id);
        let Live { mut attempt, state, .. } = live;
        if matches!(state, State::Away) {
            attempt.took = limit;
        }
        Some(Step::TimedOut(TimedOut { attempt, limit }))
    }

    /// The next turn of a run in steps.
    fn go_on(&mut self, id: JobId, place: usize, moment: Moment) -> Option<Step<C>> {
        let full = self.limits.full_until(moment.now.elapsed);
        let job = self.get_mut(id)?;
        if let (true, Some(full), State::Yielded { again, .. }) = (job.takes_room(), full, &mut job.live[place].state) {
            *again = full;
            self.requeue(id);
            return None;
        }
        let Live { attempt, .. } = job.live.swap_remove(place);
        if job.is_away() {
            return self.out(id, attempt, Origin::Turn, Before::default(), moment, false);
        }
        let call = self.taken(id, attempt, false);
        self.requeue(id);
        call
    }

    /// A further attempt at a run.
    fn try_again(&mut self, id: JobId, place: usize, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let job = self.get(id)?;
        let State::Again { again, .. } = job.live[place].state else { return None };
        if job.until().is_some_and(|until| now.wall > until) {
            self.end_as_failed(id, place, now);
            self.remove_if_over(id);
            return None;
        }
        match self.gate(id, Entrance::Attempt, again, moment) {
            Gate::Open => {}
            _ => return None,
        }
        let job = self.get_mut(id)?;
        let Live { mut attempt, state, .. } = job.live.swap_remove(place);
        let State::Again { failure, .. } = state else { return None };
        job.stats.retries += 1;
        let held_by = job.held_by.take();
        let facts = &mut attempt.view.facts;
        facts.attempt = facts.attempt.saturating_add(1);
        facts.turn = 0;
        facts.late = lateness(moment.wall(), to_nanos(&facts.due));
        facts.late_by = held_by.unwrap_or(LateBy::Retry);
        self.begin(id, attempt, Origin::Attempt(failure, again), moment, false)
    }

    /// The first of those that wait.
    fn waiting(&mut self, id: JobId, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let job = self.get(id)?;
        let front = job.waiting.front()?;
        let within = job.chain.as_ref().and_then(|chain| chain.within);
        let stale =
            front.after.as_ref().zip(within).is_some_and(|(after, within)| now.elapsed.saturating_sub(after.ended) > within);
        let too_late = job.until().is_some_and(|until| now.wall > until);
        let grace = job.plan.as_ref().and_then(|plan| plan.grace);
        let late = front.after.is_none()
            && !front.by_hand
            && grace.is_some_and(|grace| now.wall.saturating_sub(front.due.due) > length(grace));
        let drop = match () {
            () if too_late => Some(DropReason::Deadline),
            () if stale => Some(DropReason::Stale),
            () if late => Some(DropReason::Late),
            () if !job.has_slot() && job.overlap() == Some(Overlap::Skip) => Some(DropReason::Overlapped),
            () => None,
        };
        if let Some(because) = drop {
            let gone = self.get_mut(id)?.waiting.pop_front()?;
            self.not_run_again(id, &gone);
            self.dropped(id, gone.due.folded, gone.due.first, gone.due.due, because);
            self.after.followed.extend(gone.after);
            self.get_mut(id)?.let_go_of_block();
            self.requeue(id);
            self.remove_if_over(id);
            return None;
        }
        let (entrance, ready) = (if front.by_hand { Entrance::ByHand } else { Entrance::Run }, front.ready);
        match self.gate(id, entrance, ready, moment) {
            Gate::Open => {}
            Gate::Shut => return None,
            Gate::Ask { condition, late } => return Some(Step::AskCondition { id, condition, late, due: ready }),
        }
        let job = self.get_mut(id)?;
        let waiting = job.waiting.pop_front()?;
        let due = match (waiting.by_hand, &waiting.after) {
            (true, None) => Due::only(waiting.ready.saturating_add(now.ahead())),
            _ => waiting.due,
        };
        let queued = waiting.after.is_none() && !waiting.by_hand;
        let held_by = job.held_by.take().or(queued.then_some(LateBy::Overlap));
        let after = waiting.after.clone();
        let (number, cut_off) = (waiting.number, waiting.cut_off);
        let at = match &after {
            Some(after) => waiting.ready.max(after.ended).saturating_add(now.ahead()),
            None => due.due,
        };
        let mut attempt = self.attempt(id, Beginning { due, at, after, held_by, number }, moment)?;
        attempt.view.facts.attempt = cut_off.saturating_add(1);
        self.begin(id, attempt, Origin::Waiting(waiting), moment, false)
    }

    /// Whether a new run of a job takes the place of one that goes on.
    fn takes_a_place(&self, id: JobId) -> bool {
        self.get(id).is_some_and(|job| !job.has_slot() && job.overlap() == Some(Overlap::CancelRunning))
    }

    /// Gives the runs that go on up, if the job's policy is that a new one takes their place.
    fn make_room(&mut self, id: JobId, now: Now) {
        while self.takes_a_place(id) {
            let Some(place) = self.get(id).and_then(|job| job.live.len().checked_sub(1)) else { return };
            self.give_up(id, place, now);
        }
    }

    /// An occurrence has come that may become a run, if the gates are open.
    fn enter(&mut self, id: JobId, due: i64, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let job = self.get(id)?;
        let plan = job.plan.as_ref()?;
        if job.until().is_some_and(|until| now.wall > until) {
            return self.occurrence(id, due, moment);
        }
        // What is dropped takes nobody's place.
        if !job.has_slot() && plan.has_callbacks() {
            return Some(Step::AskSchedule { id, plan: Box::new(plan.clone()), due, ungated: true });
        }
        if !job.has_slot() {
            let verdict = plan.decide(due, now);
            if verdict.run.is_none() {
                return self.obey(id, due, verdict, moment);
            }
        }
        self.pass(id, due, moment)
    }

    /// An occurrence becomes a run, if the gates are open.
    fn pass(&mut self, id: JobId, due: i64, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let plan = self.get(id)?.plan.as_ref()?;
        let at = plan.wall(plan.jittered(due), now).saturating_sub(now.ahead());
        match self.gate(id, Entrance::Run, at, moment) {
            Gate::Open => self.occurrence(id, due, moment),
            Gate::Shut => None,
            Gate::Ask { condition, late } => Some(Step::AskCondition { id, condition, late, due: at }),
        }
    }

    /// A schedule with code of the user's own has said what becomes of an occurrence.
    pub(super) fn decided(&mut self, id: JobId, due: i64, verdict: Verdict, ungated: bool, moment: Moment) -> Option<Step<C>> {
        // While it was asked it may have been paused, or all been shut down.
        if self.paused || self.closed || self.get(id).is_none_or(|job| job.paused || job.held || job.next != Some(due)) {
            return None;
        }
        if ungated && verdict.run.is_some() { self.pass(id, due, moment) } else { self.obey(id, due, verdict, moment) }
    }

    /// What becomes of an occurrence is decided.
    fn occurrence(&mut self, id: JobId, due: i64, moment: Moment) -> Option<Step<C>> {
        let plan = self.get(id)?.plan.as_ref()?;
        if plan.has_callbacks() {
            return Some(Step::AskSchedule { id, plan: Box::new(plan.clone()), due, ungated: false });
        }
        let verdict = plan.decide(due, moment.now);
        self.obey(id, due, verdict, moment)
    }

    /// Carries out a verdict on a job's occurrence; gives the run that comes of it.
    fn obey(&mut self, id: JobId, due: i64, verdict: Verdict, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let job = self.get_mut(id)?;
        let plan = job.plan.as_ref()?;
        let wall = |at: i64| plan.wall(at, now);
        let since = wall(due);
        if plan.schedule.spec().until.is_some_and(|until| now.wall > until) {
            let own = plan.has_callbacks();
            let decided = verdict.dropped + verdict.run.map_or(0, |run| run.folded);
            let here = plan.on_scale(now);
            let all = if own { decided } else { plan.count(due, here).saturating_add(1) };
            job.next = None;
            job.searched = here;
            self.dropped(id, all.max(1), since, now.wall, DropReason::Deadline);
            self.requeue(id);
            if self.get(id).is_some_and(Job::is_over) {
                self.remove(id, RemoveReason::Deadline);
            }
            return None;
        }
        let run = verdict.run.map(|run| Due { due: wall(run.due), first: wall(run.first), folded: run.folded });
        let again = verdict.run.map(|run| run.first);
        let at = verdict.run.map_or(0, |run| plan.jittered(run.due));
        let (here, latest) = (plan.on_scale(now), at.saturating_add(length(plan.schedule.slack())));
        let slack = at <= here && at < latest && here <= latest;
        let merged = slack && here < latest;
        let at = wall(at);
        // Whatever was decided on lies before this, and nothing that is to come.
        job.searched = match verdict.run {
            Some(run) => run.due,
            None => verdict.next.map_or(here, |next| here.min(next.saturating_sub(1))),
        };
        job.next = verdict.next;
        if let Some(plan) = &mut job.plan {
            plan.backlog = verdict.backlog;
        }
        let last_due = job.last_due;
        if let Some(run) = run {
            job.last_due = Some(run.due);
        }
        if verdict.dropped > 0 {
            let because = if verdict.beyond_grace { DropReason::Late } else { DropReason::Policy };
            let until = run.map_or(now.wall, |run| run.first.saturating_sub(1));
            self.dropped(id, verdict.dropped, since, until, because);
        }
        self.requeue(id);
        let Some(run) = run else {
            self.get_mut(id)?.let_go_of_block();
            self.remove_if_over(id);
            return None;
        };
        let job = self.get(id)?;
        if !job.has_slot() && job.overlap() != Some(Overlap::CancelRunning) {
            self.overlapped(id, run, now);
            return None;
        }
        let held_by = self.get_mut(id)?.held_by.take();
        let held_by = held_by.or_else(|| slack.then_some(LateBy::Slack));
        let attempt = self.attempt(id, Beginning { due: run, at, after: None, held_by, number: 0 }, moment)?;
        let (due, edition) = (again?, self.get(id)?.edition);
        self.begin(id, attempt, Origin::Occurrence { due, last_due, edition }, moment, merged)
    }

    /// An occurrence came while earlier runs go on: it waits or is dropped.
    fn overlapped(&mut self, id: JobId, run: Due, now: Now) {
        let Some(job) = self.get_mut(id) else { return };
        let queued = job.waiting.iter().filter(|waiting| waiting.after.is_none() && !waiting.by_hand).count();
        match job.overlap() {
            Some(Overlap::Queue { most }) if queued < most as usize => {
                let ready = run.due.saturating_sub(now.ahead()).min(now.elapsed);
                job.waiting.push_back(Waiting { due: run, ready, by_hand: false, after: None, number: 0, cut_off: 0 });
            }
            _ => self.dropped(id, run.folded, run.first, run.due, DropReason::Overlapped),
        }
    }

    /// Whether a run may begin now. If not, the job is held back.
    fn gate(&mut self, id: JobId, entrance: Entrance, due: i64, moment: Moment) -> Gate {
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
        let (paused, job) = (self.paused || self.closed, self.get_mut(id)?);
        let Some(by) = by else {
            job.holds = polls;
            let goes_on = !paused && !job.held;
            return if goes_on { self.visit(id.slot, moment) } else { None };
        };
        job.holds = 0;
        let most = job.rules.as_ref().and_then(|rules| rules.at_latest);
        let latest = most.map_or(i64::MAX, |most| due.saturating_add(most));
        let again = now.elapsed.saturating_add(ASKED_EVERY).min(latest).max(now.elapsed + 1);
        self.block(id, by, Some(again), None, now);
        None
    }

    /// The first attempt at a run.
    #[inline]
    fn attempt(&mut self, id: JobId, beginning: Beginning, moment: Moment) -> Option<Box<Attempt>> {
        let Beginning { due, at, after, held_by, number } = beginning;
        let now = moment.now;
        let before_poll = now.wall.saturating_sub(at);
        let late_by = held_by.unwrap_or(match () {
            () if moment.waited > before_poll => LateBy::OtherJobs,
            () if self.was_put_off(at) => LateBy::Budget,
            () if now.slept >= before_poll / 2 && now.slept > 0 => LateBy::Suspend,
            () if now.stepped >= before_poll / 2 && now.stepped > 0 => LateBy::ClockStep,
            () => LateBy::Host,
        });
        let job = self.get_mut(id)?;
        let kept = job.kept.as_deref_mut();
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
        let view = RunView { facts, signals: job.signals.clone(), limit: None };
        let (started, took, rules) = (moment.wall(), Duration::ZERO, job.rules.clone());
        Some(Box::new(Attempt { view, after, started, took, ends: None, rules, error: None }))
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
    fn begin(&mut self, id: JobId, mut attempt: Box<Attempt>, origin: Origin, moment: Moment, merged: bool) -> Option<Step<C>> {
        let here = moment.elapsed();
        let job = self.get_mut(id)?;
        let before = Before { last_start: job.last_start, missed_until: job.missed_until };
        job.holds = 0;
        if !matches!(origin, Origin::Attempt(..)) {
            job.runs_left = job.runs_left.map(|left| left.saturating_sub(1));
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
    fn out(
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
        self.get_mut(id)?.live.push(Live { serial, attempt, state: State::Away });
        self.requeue(id);
        let hand_over = HandOver { id, serial, launcher, view, value, timeout, merged, origin, before };
        Some(Step::HandOver(Box::new(hand_over)))
    }

    /// Takes a job's body out, to be called.
    #[inline]
    fn taken(&mut self, id: JobId, attempt: Box<Attempt>, merged: bool) -> Option<Step<C>> {
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
            job.signals.reset();
        }
        Some(Step::Call(Call { body, attempt, merged }))
    }

    /// The executor had no room: all is as before, and the job waits for it.
    pub(super) fn refused(&mut self, id: JobId, serial: u64, origin: Origin, before: Before, now: Now) {
        let Some(errand) = self.away.remove(&serial) else { return };
        self.limits.room_is_full(now.elapsed);
        let live = self.get_mut(id).and_then(|job| {
            let place = job.live.iter().position(|live| live.serial == serial)?;
            Some(job.live.swap_remove(place))
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
                job.live.push(live);
            }
            self.let_on(ROOM, now.elapsed);
            return self.requeue(id);
        }
        let due = self.set_back(id, live.attempt, origin, before, now);
        let Some(priority) = self.get(id).map(|job| job.priority) else { return };
        let rank = Rank { due, priority, order: id.order };
        self.block(id, BlockedBy::Limit(ROOM, rank), None, None, now);
    }

    /// A run that was to begin does not: all is as before. Gives since when it was to begin, in elapsed time, which is its
    /// place in a line.
    pub(super) fn set_back(&mut self, id: JobId, mut attempt: Box<Attempt>, origin: Origin, before: Before, now: Now) -> i64 {
        self.serial += 1;
        let serial = self.serial;
        let Some(job) = self.get_mut(id) else { return now.elapsed };
        job.held_by = Some(attempt.view.facts.late_by);
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
            job.runs_left = job.runs_left.map(|left| left.saturating_add(1));
            job.last_start = before.last_start;
            job.missed_until = before.missed_until;
        }
        if let Some(kept) = job.kept.as_deref_mut() {
            kept.not_begun(&attempt.view.facts);
        }
        match origin {
            Origin::Occurrence { due, last_due, edition } => {
                if edition == job.edition {
                    job.last_due = last_due;
                    job.next = Some(due);
                    job.searched = due.saturating_sub(1);
                }
                self.after.attempts.push(attempt);
            }
            Origin::Waiting(waiting) => {
                if job.paused {
                    self.after.followed.extend(waiting.after);
                } else {
                    job.waiting.push_front(waiting);
                }
                self.after.attempts.push(attempt);
            }
            Origin::Attempt(failure, again) => {
                attempt.view.facts.attempt -= 1;
                attempt.ends = None;
                job.stats.retries -= 1;
                job.live.push(Live { serial, attempt, state: State::Again { again, failure } });
            }
            Origin::Turn => {}
        }
        due
    }

    /// What was gathered of them is written and started.
    pub(super) fn step_gathered(&mut self, moment: Moment) -> Step<C> {
        self.start_granted(moment).unwrap_or_else(|| self.write(moment.now))
    }

    /// The run by hand of all jobs: each that can run now, in the order given. Others run when they can.
    pub(super) fn step_by_hand(&mut self, id: JobId, moment: Moment) -> Option<Step<C>> {
        let none = self.closed || self.paused;
        let job = self.get_mut(id).filter(|job| !job.paused && !none)?;
        if job.plan.is_none() && job.waiting.is_empty() {
            return None;
        }
        job.ask_by_hand(moment.now);
        self.release_from_block(id);
        if self.get(id)?.front().is_some() {
            return self.waiting(id, moment);
        }
        self.requeue(id);
        None
    }
}

/// How long after its due time a run starts.
fn lateness(started: i64, due: i64) -> Duration {
    Duration::from_nanos(started.saturating_sub(due).max(0).unsigned_abs())
}
