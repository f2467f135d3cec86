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
use super::entry::{BlockedBy, Body, Condition, Followed, Inline, Live, Rules, State, Waiting};
use super::limits::{LimitId, ROOM};
use super::plan::Plan;
use super::run::Value;
use super::table::{Errand, Table};
use crate::clock::Now;
use crate::event::{DropReason, Event, RemoveReason};
use crate::id::JobId;
use crate::policy::{Due, Overlap, Verdict};
use crate::queue::Rank;
use crate::run::{LateBy, RunFacts, Signals};
use crate::schedule::{from_nanos, length, to_nanos};

/// While a condition does not hold it is asked once a second.
const ASKED_EVERY: i64 = 1_000_000_000;

/// How many jobs from which no run comes are looked at in one go.
const LOOKED_AT: usize = 64;

/// When a step is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The instant of the poll.
    pub(super) now: Now,
    /// How long the poll has gone on.
    pub(super) waited: i64,
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
#[expect(clippy::large_enum_variant, reason = "the largest is the usual one, and a box for it would be an allocation a run")]
pub(super) enum Step<C> {
    Nothing,
    /// So much was looked at without a run that the budget is to be asked.
    Looked,
    /// A run, or a turn of one, on the polling thread.
    Call(Call<C>),
    /// A run in the background.
    HandOver(Box<HandOver>),
    /// Its time is up.
    TimedOut(Box<TimedOut>),
    /// Its schedule holds code of the user's own, so the lock is given up while it is asked.
    AskSchedule {
        id: JobId,
        plan: Box<Plan>,
        due: i64,
    },
    /// Its condition, likewise.
    AskCondition {
        id: JobId,
        condition: Condition,
    },
}

/// An attempt at a run, as it is taken out of the table and goes back when it has ended.
pub(super) struct Attempt {
    pub(super) facts: RunFacts,
    pub(super) after: Option<Followed>,
    /// When it started, by the wall clock, and how long the turns took that it has had.
    pub(super) started: i64,
    pub(super) took: Duration,
    /// Until when it has time, in elapsed time.
    pub(super) ends: Option<i64>,
    pub(super) rules: Option<Arc<Rules>>,
    /// Whether its schedule counts from its end.
    pub(super) counts_from_end: bool,
}

pub(super) struct Call<C> {
    pub(super) body: Inline<C>,
    pub(super) signals: Arc<Signals>,
    pub(super) attempt: Attempt,
    /// Whether it could have waited for other wake-ups, and did not have to.
    pub(super) merged: bool,
}

pub(super) struct HandOver {
    pub(super) id: JobId,
    pub(super) serial: u64,
    pub(super) launcher: Launcher,
    pub(super) signals: Arc<Signals>,
    pub(super) facts: RunFacts,
    pub(super) value: Option<Value>,
    pub(super) timeout: Option<Duration>,
    /// Whether it could have waited for other wake-ups, and did not have to.
    pub(super) merged: bool,
    /// Where it came from, in case the executor has no room.
    pub(super) origin: Origin,
    /// When the run before it started.
    pub(super) last_start: Option<i64>,
}

pub(super) struct TimedOut {
    pub(super) attempt: Attempt,
    pub(super) limit: Duration,
}

/// Where a run came from.
pub(super) enum Origin {
    /// The schedule, which goes back to this occurrence.
    Occurrence(i64),
    Waiting(Waiting),
    Attempt,
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
    Ask(Condition),
}

impl<C> Table<C> {
    /// Goes on with the jobs that are due, up to the next thing that needs the lock to be free.
    pub(super) fn step(&mut self, moment: Moment) -> Step<C> {
        if self.paused || self.closed {
            return Step::Nothing;
        }
        for _ in 0..LOOKED_AT {
            let Some((_, slot)) = self.first_due(moment.now) else { return Step::Nothing };
            if let Some(step) = self.visit(slot, moment) {
                return step;
            }
        }
        Step::Looked
    }

    #[inline]
    fn visit(&mut self, slot: u32, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let Some(job) = self.at(slot) else {
            self.unplace(slot);
            return None;
        };
        let id = job.id;
        let late = |live: &Live| live.ends.is_some_and(|ends| ends <= now.elapsed);
        if let Some(place) = job.live.iter().position(late) {
            return self.time_out(id, place, moment);
        }
        let block = self.get(id)?.block.as_ref();
        let comes = |at: Option<i64>, now: i64| at.is_some_and(|at| at <= now);
        if block.is_some_and(|block| comes(block.elapsed, now.elapsed) || comes(block.wall, now.wall)) {
            self.unblock(id);
        }
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
            return self.go_on(id, place);
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
        let monotonic = now.monotonic;
        let job = self.get_mut(id)?;
        let limit = job.rules.as_ref().and_then(|rules| rules.timeout)?;
        if let State::Away(signals) = &job.live[place].state {
            // Its time counts from its real beginning.
            let ran = signals.began().map_or(0, |began| monotonic.saturating_sub(length(began)));
            if ran < length(limit) {
                job.live[place].ends = Some(now.elapsed.saturating_add(length(limit) - ran));
                self.requeue(id);
                return None;
            }
        }
        let live = job.live.swap_remove(place);
        let (rules, counts_from_end) = (job.rules.clone(), job.counts_from_end());
        self.let_go(&live, rules.as_ref().map_or(&[], |rules| &rules.limits), now);
        self.requeue(id);
        let took = if matches!(live.state, State::Away(_)) { limit } else { live.took };
        let Live { facts, after, started, ends, .. } = live;
        let attempt = Attempt { facts, after, started, took, ends, rules, counts_from_end };
        Some(Step::TimedOut(Box::new(TimedOut { attempt, limit })))
    }

    /// The next turn of a run in steps.
    fn go_on(&mut self, id: JobId, place: usize) -> Option<Step<C>> {
        let job = self.get_mut(id)?;
        let live = job.live.swap_remove(place);
        let Live { facts, after, started, took, ends, .. } = live;
        let attempt =
            Attempt { facts, after, started, took, ends, rules: job.rules.clone(), counts_from_end: job.counts_from_end() };
        let call = self.taken(id, attempt, false);
        self.requeue(id);
        call
    }

    /// A further attempt at a run.
    fn try_again(&mut self, id: JobId, place: usize, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let job = self.get(id)?;
        let State::Again { again, turn } = job.live[place].state else { return None };
        let until = job.plan.as_ref().and_then(|plan| plan.schedule.spec().until);
        if until.is_some_and(|until| now.wall > until) {
            self.give_up(id, place, now);
            return None;
        }
        match self.gate(id, Entrance::Attempt, again, now) {
            Gate::Open => {}
            _ => return None,
        }
        let job = self.get_mut(id)?;
        let live = job.live.swap_remove(place);
        job.stats.retries += u64::from(turn == 0);
        let held_by = job.held_by.take();
        let mut facts = live.facts;
        let due = to_nanos(&facts.due);
        facts.attempt = facts.attempt.saturating_add(u32::from(turn == 0));
        facts.turn = turn;
        facts.late = lateness(moment.wall(), due);
        facts.late_by = held_by.unwrap_or(LateBy::Retry);
        self.begin(id, facts, live.after, Origin::Attempt, moment, false)
    }

    /// The first of those that wait.
    fn waiting(&mut self, id: JobId, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let job = self.get(id)?;
        let front = job.waiting.front()?;
        let within = job.chain.as_ref().and_then(|chain| chain.within);
        let stale =
            front.after.as_ref().zip(within).is_some_and(|(after, within)| now.elapsed.saturating_sub(after.ended) > within);
        let spec = job.plan.as_ref().map(|plan| plan.schedule.spec());
        let too_late = spec.and_then(|spec| spec.until).is_some_and(|until| now.wall > until);
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
            self.dropped(id, gone.due.folded, gone.due.first, gone.due.due, because);
            self.after.followed.extend(gone.after);
            if because == DropReason::Deadline {
                self.remove(id, RemoveReason::Deadline);
            } else {
                self.get_mut(id)?.holds = false;
                self.requeue(id);
                self.remove_if_over(id);
            }
            return None;
        }
        let entrance = if front.by_hand { Entrance::ByHand } else { Entrance::Run };
        match self.gate(id, entrance, front.ready, now) {
            Gate::Open => {}
            Gate::Shut => return None,
            Gate::Ask(condition) => return Some(Step::AskCondition { id, condition }),
        }
        self.make_room(id, now);
        let job = self.get_mut(id)?;
        let waiting = job.waiting.pop_front()?;
        let due = match (waiting.by_hand, &waiting.after) {
            (true, None) => Due::only(waiting.ready.saturating_add(now.ahead())),
            _ => waiting.due,
        };
        let queued = waiting.after.is_none() && !waiting.by_hand;
        let held_by = job.held_by.take().or(queued.then_some(LateBy::Overlap));
        let after = waiting.after.clone();
        let at = match &after {
            Some(after) => waiting.ready.max(after.ended).saturating_add(now.ahead()),
            None => due.due,
        };
        let facts = self.facts(id, due, at, &after, held_by, moment)?;
        self.begin(id, facts, after, Origin::Waiting(waiting), moment, false)
    }

    /// Gives the runs that go on up, if the job's policy is that a new one takes their place.
    fn make_room(&mut self, id: JobId, now: Now) {
        while self.get(id).is_some_and(|job| !job.has_slot() && job.overlap() == Some(Overlap::CancelRunning)) {
            let Some(place) = self.get(id).and_then(|job| job.live.len().checked_sub(1)) else { return };
            self.give_up(id, place, now);
        }
    }

    /// An occurrence has come that may become a run, if the gates are open.
    fn enter(&mut self, id: JobId, due: i64, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let plan = self.get(id)?.plan.as_ref()?;
        let at = plan.wall(plan.put_off(due), now).saturating_sub(now.ahead());
        match self.gate(id, Entrance::Run, at, now) {
            Gate::Open => self.occurrence(id, due, moment),
            Gate::Shut => None,
            Gate::Ask(condition) => Some(Step::AskCondition { id, condition }),
        }
    }

    /// What becomes of an occurrence is decided.
    fn occurrence(&mut self, id: JobId, due: i64, moment: Moment) -> Option<Step<C>> {
        let plan = self.get(id)?.plan.as_ref()?;
        if plan.schedule.has_callbacks() {
            return Some(Step::AskSchedule { id, plan: Box::new(plan.clone()), due });
        }
        let verdict = plan.decide(due, moment.now);
        self.obey(id, due, verdict, moment)
    }

    /// Carries out a verdict on a job's occurrence; gives the run that comes of it.
    pub(super) fn obey(&mut self, id: JobId, due: i64, verdict: Verdict, moment: Moment) -> Option<Step<C>> {
        let now = moment.now;
        let job = self.get_mut(id).filter(|job| job.next == Some(due))?;
        let plan = job.plan.as_ref()?;
        let wall = |at: i64| plan.wall(at, now);
        let since = wall(due);
        if plan.schedule.spec().until.is_some_and(|until| now.wall > until) {
            let occurrences = verdict.dropped + verdict.run.map_or(0, |run| run.folded);
            self.dropped(id, occurrences, since, now.wall, DropReason::Deadline);
            self.remove(id, RemoveReason::Deadline);
            return None;
        }
        let run = verdict.run.map(|run| Due { due: wall(run.due), first: wall(run.first), folded: run.folded });
        let again = verdict.run.map(|run| run.first);
        let at = verdict.run.map_or(0, |run| plan.put_off(run.due));
        let (here, latest) = (plan.on_scale(now), at.saturating_add(length(plan.schedule.slack())));
        let slack = latest > at && here <= latest;
        let merged = slack && here < latest;
        let at = wall(at);
        job.searched = verdict.run.map_or(due, |run| run.due);
        job.next = verdict.next;
        if let Some(run) = run {
            job.last_due = Some(run.due);
        }
        if verdict.dropped > 0 {
            let because = if verdict.beyond_grace { DropReason::Late } else { DropReason::Policy };
            let until = run.map_or(now.wall, |run| run.first);
            self.dropped(id, verdict.dropped, since, until, because);
        }
        self.requeue(id);
        let Some(run) = run else {
            self.get_mut(id)?.holds = false;
            self.remove_if_over(id);
            return None;
        };
        let job = self.get(id)?;
        if !job.has_slot() && job.overlap() != Some(Overlap::CancelRunning) {
            self.overlapped(id, run, now);
            return None;
        }
        self.make_room(id, now);
        let held_by = self.get_mut(id)?.held_by.take();
        let held_by = held_by.or_else(|| slack.then_some(LateBy::Slack));
        let facts = self.facts(id, run, at, &None, held_by, moment)?;
        self.begin(id, facts, None, Origin::Occurrence(again?), moment, merged)
    }

    /// An occurrence came while earlier runs go on: it waits or is dropped.
    fn overlapped(&mut self, id: JobId, run: Due, now: Now) {
        let Some(job) = self.get_mut(id) else { return };
        let queued = job.waiting.iter().filter(|waiting| waiting.after.is_none() && !waiting.by_hand).count();
        match job.overlap() {
            Some(Overlap::Queue { most }) if queued < most as usize => {
                let ready = run.due.saturating_sub(now.ahead()).min(now.elapsed);
                job.waiting.push_back(Waiting { due: run, ready, by_hand: false, after: None });
            }
            _ => self.dropped(id, run.folded, run.first, run.due, DropReason::Overlapped),
        }
    }

    /// Whether a run may begin now. If not, the job is held back.
    fn gate(&mut self, id: JobId, entrance: Entrance, due: i64, now: Now) -> Gate {
        let Some(job) = self.get(id) else { return Gate::Shut };
        let away = job.is_away();
        let Some(rules) = job.rules.clone() else {
            return if away { self.limit_gate(id, &[ROOM], due, now) } else { Gate::Open };
        };
        if entrance == Entrance::Run {
            let waited = now.elapsed.saturating_sub(due);
            if let Some(condition) = rules.when.as_ref().filter(|_| !job.holds) {
                if rules.at_latest.is_none_or(|most| waited < most) {
                    return Gate::Ask(condition.clone());
                }
            }
            if let Some(opens) = rules.window.as_ref().and_then(|(window, zone)| window.window_opens(zone, now.wall)) {
                self.block(id, BlockedBy::Window, None, Some(opens), now);
                return Gate::Shut;
            }
            if let Some(free) = rules.spacing.zip(job.last_start).map(|(spacing, last)| last.saturating_add(spacing)) {
                if free > now.elapsed {
                    self.block(id, BlockedBy::Spacing, Some(free), None, now);
                    return Gate::Shut;
                }
            }
        }
        match self.limit_gate(id, &rules.limits, due, now) {
            Gate::Open if away => self.limit_gate(id, &[ROOM], due, now),
            gate => gate,
        }
    }

    fn limit_gate(&mut self, id: JobId, limits: &[LimitId], due: i64, now: Now) -> Gate {
        let Some(shut) = self.limits.shut(limits, now.elapsed) else { return Gate::Open };
        let Some(priority) = self.get(id).map(|job| job.priority) else { return Gate::Shut };
        let rank = Rank { due, priority, order: id.order };
        self.block(id, BlockedBy::Limit(shut, rank), None, None, now);
        Gate::Shut
    }

    /// What a job's condition answered.
    pub(super) fn answered(&mut self, id: JobId, holds: bool, now: Now) {
        let Some(job) = self.get_mut(id) else { return };
        job.holds = holds;
        if holds {
            return;
        }
        let due = match job.front().filter(|front| front.ready <= now.elapsed) {
            Some(front) => Some(front.ready),
            None => job.scheduled().zip(job.plan.as_ref()).map(|(at, plan)| plan.wall(at, now).saturating_sub(now.ahead())),
        };
        let latest = job.rules.as_ref().and_then(|rules| rules.at_latest).zip(due);
        let latest = latest.map_or(i64::MAX, |(most, due)| due.saturating_add(most));
        let again = now.elapsed.saturating_add(ASKED_EVERY).min(latest);
        self.block(id, BlockedBy::Condition, Some(again), None, now);
    }

    /// What is known of a run that begins, and was to begin at an instant of the wall clock: when it was due, its jitter added;
    /// for one that follows, when the run before it ended.
    #[inline]
    fn facts(
        &self,
        id: JobId,
        due: Due,
        at: i64,
        after: &Option<Followed>,
        held_by: Option<LateBy>,
        moment: Moment,
    ) -> Option<RunFacts> {
        let now = moment.now;
        let before_poll = now.wall.saturating_sub(at);
        let late_by = held_by.unwrap_or(match () {
            () if moment.waited > before_poll => LateBy::OtherJobs,
            () if self.was_put_off(at) => LateBy::Budget,
            () if now.slept >= before_poll / 2 && now.slept > 0 => LateBy::Suspend,
            () if now.stepped >= before_poll / 2 && now.stepped > 0 => LateBy::ClockStep,
            () => LateBy::Host,
        });
        Some(RunFacts {
            id,
            name: self.get(id)?.name.clone(),
            due: from_nanos(due.due),
            first_missed: from_nanos(due.first),
            late: lateness(moment.wall(), at),
            late_by,
            folded: due.folded,
            attempt: 1,
            turn: 0,
            follows: after.as_ref().map(|after| after.runs.clone()).unwrap_or_default(),
        })
    }

    /// Tells of an attempt that starts, and counts how late its run is.
    pub(super) fn announce(&mut self, facts: &RunFacts) {
        if facts.attempt == 1 {
            self.lateness.add(facts.late, facts.late_by);
        }
        if !self.observed {
            return;
        }
        let RunFacts { id, due, folded, first_missed: since, attempt, .. } = *facts;
        let name = || facts.name.clone();
        let events = &mut self.after.events;
        if attempt == 1 {
            events.push(Event::Due { id, name: name(), due });
        }
        if attempt == 1 && folded > 1 {
            events.push(Event::Missed { id, name: name(), occurrences: folded, since });
        }
        events.push(Event::Started(facts.clone()));
    }

    /// An attempt begins: it takes its limits, and a run counts.
    #[inline]
    fn begin(
        &mut self,
        id: JobId,
        facts: RunFacts,
        after: Option<Followed>,
        origin: Origin,
        moment: Moment,
        merged: bool,
    ) -> Option<Step<C>> {
        let job = self.get_mut(id)?;
        let last_start = job.last_start;
        job.holds = false;
        if !matches!(origin, Origin::Attempt) {
            job.runs_left = job.runs_left.map(|left| left.saturating_sub(1));
            job.last_start = Some(moment.now.elapsed);
            job.missed_until = job.on_scale(moment.now);
        }
        let timeout = job.rules.as_ref().and_then(|rules| rules.timeout);
        let ends = timeout.map(|limit| moment.elapsed().saturating_add(length(limit)));
        let (rules, counts_from_end) = (job.rules.clone(), job.counts_from_end());
        let launcher = match &job.body {
            Some(Body::Away(launcher)) => Some(launcher.clone()),
            _ => None,
        };
        if let Some(rules) = rules.as_ref().filter(|rules| !rules.limits.is_empty()) {
            self.limits.take(&rules.limits, moment.now.elapsed);
            rules.limits.iter().for_each(|limit| self.call(*limit, moment.now.elapsed));
        }
        let started = moment.wall();
        let Some(launcher) = launcher else {
            self.announce(&facts);
            let attempt = Attempt { facts, after, started, took: Duration::ZERO, ends, rules, counts_from_end };
            let call = self.taken(id, attempt, merged);
            if matches!(origin, Origin::Waiting(_) | Origin::Attempt) {
                self.requeue(id);
            }
            return call;
        };
        self.serial += 1;
        let serial = self.serial;
        let signals: Arc<Signals> = Arc::default();
        let limits = rules.as_ref().map(|rules| rules.limits.clone()).unwrap_or_default();
        let name = facts.name.clone();
        self.away.insert(serial, Errand { id, name, limits, signals: signals.clone() });
        let value = after.as_ref().and_then(|after| after.value.clone());
        let live = Live {
            serial,
            facts: facts.clone(),
            after,
            started,
            took: Duration::ZERO,
            ends,
            state: State::Away(signals.clone()),
        };
        self.get_mut(id)?.live.push(live);
        self.requeue(id);
        Some(Step::HandOver(Box::new(HandOver {
            id,
            serial,
            launcher,
            signals,
            facts,
            value,
            timeout,
            merged,
            origin,
            last_start,
        })))
    }

    /// Takes a job's body out, to be called.
    #[inline]
    fn taken(&mut self, id: JobId, attempt: Attempt, merged: bool) -> Option<Step<C>> {
        let job = self.get_mut(id)?;
        let body = match job.body.take()? {
            Body::Inline(body) => body,
            body => {
                job.body = Some(body);
                return None;
            }
        };
        job.running = true;
        if attempt.facts.turn == 0 {
            job.signals.reset();
        }
        let signals = job.signals.clone();
        Some(Step::Call(Call { body, signals, attempt, merged }))
    }

    /// The executor had no room: all is as before, and the job waits for it.
    pub(super) fn refused(&mut self, id: JobId, serial: u64, origin: Origin, last_start: Option<i64>, now: Now) {
        let Some(errand) = self.away.remove(&serial) else { return };
        self.limits.room_is_full(now.elapsed);
        self.give_back(&errand.limits, false, now.elapsed);
        let Some(job) = self.get_mut(id) else { return };
        let Some(place) = job.live.iter().position(|live| live.serial == serial) else { return };
        let mut live = job.live.swap_remove(place);
        job.held_by = Some(live.facts.late_by);
        let due = to_nanos(&live.facts.first_missed).saturating_sub(now.ahead());
        let further = matches!(origin, Origin::Attempt);
        match origin {
            Origin::Occurrence(due) => {
                job.next = Some(due);
                job.searched = due.saturating_sub(1);
            }
            Origin::Waiting(waiting) => job.waiting.push_front(waiting),
            Origin::Attempt => {
                let turn = live.facts.turn;
                live.facts.attempt -= u32::from(turn == 0);
                job.stats.retries -= u64::from(turn == 0);
                live.ends = None;
                live.state = State::Again { again: now.elapsed, turn };
                job.live.push(live);
            }
        }
        if !further {
            job.runs_left = job.runs_left.map(|left| left.saturating_add(1));
            job.last_start = last_start;
        }
        let rank = Rank { due, priority: job.priority, order: id.order };
        self.block(id, BlockedBy::Limit(ROOM, rank), None, None, now);
    }

    /// The run by hand of all jobs: each that can run now, in the order given. Others run when they can.
    pub(super) fn step_by_hand(&mut self, id: JobId, moment: Moment) -> Option<Step<C>> {
        let closed = self.closed;
        let job = self.get_mut(id).filter(|job| !job.paused && !closed)?;
        if job.plan.is_none() && job.waiting.is_empty() {
            return None;
        }
        job.ask_by_hand(moment.now);
        self.unblock(id);
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
