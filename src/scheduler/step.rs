//! What is to be done next: of the jobs that are due the first, and of what it has to do the first.
//!
//! A job may have several things to do: a run whose time is up, an occurrence or a run to follow that comes while a run goes
//! on, a turn of a run in steps, a further attempt, a run that waits, an occurrence. They are looked at in this order. A run
//! that may begin by the [gates](super::gate) [begins](super::begin). A job that finds one shut is held back as a whole; its
//! occurrences stay in its schedule, so that what it misses meanwhile folds as for a host that was asleep.

use std::sync::Arc;
use std::time::Duration;

use super::away::Launcher;
use super::begin::{Before, Beginning, Origin, lateness};
use super::entry::{AskedBy, Attempt, Condition, Inline, Job, Live, Rest, State, Waiting};
use super::gate::{Entrance, Gate};
use super::lease::READ_AGAIN;
use super::limits::ROOM;
use super::plan::Plan;
use super::table::Table;
use super::value::Value;
use crate::clock::Now;
use crate::event::{DropReason, RemoveReason};
use crate::id::JobId;
use crate::policy::{Due, Overlap, Verdict};
use crate::run::{LateBy, RunView};
use crate::schedule::{length, to_nanos};
use crate::store::Batch;

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
    /// Another process's hold on it has run out: its record is to be read.
    Read {
        id: JobId,
        name: Arc<str>,
    },
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
    /// Whether its job is on the [lane](super::lane) of plain ones.
    pub(super) is_plain: bool,
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

pub(super) struct TimedOut {
    pub(super) attempt: Box<Attempt>,
    pub(super) limit: Duration,
}

impl<C> Table<C> {
    /// Goes on with the jobs that are due, up to the next thing that needs the lock to be free.
    pub(super) fn step(&mut self, moment: Moment) -> Step<C> {
        if self.rests() {
            return self.write(moment.now);
        }
        if let Some(step) = self.keeping.is_some().then(|| self.start_granted(moment)).flatten() {
            return step;
        }
        for _ in 0..LOOKED_AT {
            if self.keeping.is_some() && self.has_gathered(moment.left) {
                return self.write(moment.now);
            }
            let Some((_, slot)) = self.first_due(moment.now) else {
                self.put_off = None;
                return self.write(moment.now);
            };
            if let Some(call) = self.plain(slot, moment) {
                return Step::Call(call);
            }
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
    pub(super) fn visit(&mut self, slot: u32, moment: Moment) -> Option<Step<C>> {
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
        if let Some(name) = job.kept.as_ref().filter(|_| job.is_elsewhere()).map(|kept| kept.known_as().clone()) {
            self.stand_by(id, moment.elapsed().saturating_add(READ_AGAIN));
            return Some(Step::Read { id, name });
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
            return if job.takes_places() { self.enter(id, due, moment) } else { self.occurrence(id, due, moment) };
        }
        if !job.has_slot() && job.block.is_none() && job.front().is_some_and(|front| front.ready <= now.elapsed) {
            return self.waiting(id, moment);
        }
        let turn = |live: &Live| matches!(live.state, State::Yielded { again, .. } if again <= now.elapsed);
        if let Some(place) = job.live.iter().position(turn).filter(|_| !job.is_paused()) {
            return self.go_on(id, place, moment);
        }
        if job.block.is_none() && job.rest == Rest::No {
            let failed = |live: &Live| matches!(live.state, State::Again { again, .. } if again <= now.elapsed);
            if let Some(place) = job.live.iter().position(failed) {
                return self.try_again(id, place, moment);
            }
            // What comes by the schedule goes before what is asked for of the past, or that might hold it up for ever.
            let goes_first = |front: &Waiting| front.ready <= now.elapsed && (due.is_none() || front.by != AskedBy::Backfill);
            if job.front().is_some_and(goes_first) {
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
                self.get_mut(id)?.besides.live[place].attempt.ends = Some(now.elapsed.saturating_add(length(limit) - ran));
                self.requeue(id);
                return None;
            }
            if self.returned.holds(serial) {
                // It has ended since the poll began.
                let ends = self.get_mut(id)?.besides.live[place].attempt.ends.take();
                if let Some(errand) = self.away.get_mut(&serial) {
                    errand.ends = ends;
                }
                self.requeue(id);
                return None;
            }
        }
        let job = self.get_mut(id)?;
        let live = job.besides.live.swap_remove(place);
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
        if let (true, Some(full), State::Yielded { again, .. }) = (job.takes_room(), full, &mut job.besides.live[place].state) {
            *again = full;
            self.requeue(id);
            return None;
        }
        let Live { attempt, .. } = job.besides.live.swap_remove(place);
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
        let Live { mut attempt, state, .. } = job.besides.live.swap_remove(place);
        let State::Again { failure, .. } = state else { return None };
        job.history.odd().retries += 1;
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
        let place = job.front_place();
        let front = job.waiting.get(place)?;
        let within = job.chain.as_ref().and_then(|chain| chain.within);
        let stale =
            front.after.as_ref().zip(within).is_some_and(|(after, within)| now.elapsed.saturating_sub(after.ended) > within);
        let too_late = job.until().is_some_and(|until| now.wall > until);
        let grace = job.plan.as_ref().and_then(|plan| plan.grace);
        let late = front.after.is_none()
            && front.by == AskedBy::Nobody
            && !job.filling.as_ref().is_some_and(|filling| filling.has(front.due.due))
            && grace.is_some_and(|grace| now.wall.saturating_sub(front.due.due) > length(grace));
        let drop = match () {
            () if too_late => Some(DropReason::Deadline),
            () if stale => Some(DropReason::Stale),
            () if late => Some(DropReason::Late),
            () if !job.has_slot() && job.overlap() == Some(Overlap::Skip) => Some(DropReason::Overlapped),
            () => None,
        };
        if let Some(because) = drop {
            let gone = self.get_mut(id)?.besides.waiting.remove(place)?;
            self.not_run_again(id, &gone);
            self.dropped(id, gone.due.folded, gone.due.first, gone.due.due, because);
            self.after.followed.extend(gone.after);
            self.get_mut(id)?.let_go_of_block();
            self.requeue(id);
            self.remove_if_over(id);
            return None;
        }
        let (entrance, ready) = (if front.by == AskedBy::Hand { Entrance::ByHand } else { Entrance::Run }, front.ready);
        match self.gate(id, entrance, ready, moment) {
            Gate::Open => {}
            Gate::Shut => return None,
            Gate::Ask { condition, late } => return Some(Step::AskCondition { id, condition, late, due: ready }),
        }
        let job = self.get_mut(id)?;
        let waiting = job.besides.waiting.remove(place)?;
        let due = match (waiting.by, &waiting.after) {
            (AskedBy::Hand, None) => Due::only(waiting.ready.saturating_add(now.ahead())),
            _ => waiting.due,
        };
        let filling = job.filling.as_ref().filter(|_| waiting.by == AskedBy::Backfill);
        let fills = filling.map(|filling| filling.told().clone());
        let held_by = job.held_by.take();
        let held_by = match waiting.by {
            AskedBy::Backfill => Some(LateBy::Backfill),
            AskedBy::Nobody if waiting.after.is_none() => held_by.or(Some(LateBy::Overlap)),
            _ => held_by,
        };
        let after = waiting.after.clone();
        let (number, cut_off) = (waiting.number, waiting.cut_off);
        let at = match &after {
            Some(after) => waiting.ready.max(after.ended).saturating_add(now.ahead()),
            None => due.due,
        };
        let mut attempt = self.attempt(id, Beginning { due, at, after, held_by, number }, moment)?;
        attempt.view.facts.attempt = cut_off.saturating_add(1);
        attempt.fills = fills;
        self.begin(id, attempt, Origin::Waiting(waiting), moment, false)
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
        if self.rests() || self.get(id).is_none_or(|job| job.rest != Rest::No || job.held || job.next != Some(due)) {
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
            plan.backlog = verdict.backlog.map(Box::new);
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
        if !job.has_slot() && !job.takes_places() {
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
        let queued = job.waiting.iter().filter(|waiting| waiting.after.is_none() && waiting.by == AskedBy::Nobody).count();
        let most = match job.overlap() {
            Some(Overlap::Queue { most }) => most as usize,
            // What was asked for of the past takes nothing from what comes.
            _ => usize::from(job.fills()),
        };
        match queued < most {
            true => {
                let ready = run.due.saturating_sub(now.ahead()).min(now.elapsed);
                let waiting = Waiting { due: run, ready, by: AskedBy::Nobody, after: None, number: 0, cut_off: 0 };
                let asked_for = |waiting: &Waiting| waiting.by == AskedBy::Backfill;
                let place = job.waiting.iter().position(asked_for).unwrap_or(job.waiting.len());
                job.besides.waiting.insert(place, waiting);
            }
            false => self.dropped(id, run.folded, run.first, run.due, DropReason::Overlapped),
        }
    }

    /// What was gathered of them is written and started.
    pub(super) fn step_gathered(&mut self, moment: Moment) -> Step<C> {
        self.start_granted(moment).unwrap_or_else(|| self.write(moment.now))
    }

    /// The run by hand of all jobs: each that can run now, in the order given. Others run when they can.
    pub(super) fn step_by_hand(&mut self, id: JobId, moment: Moment) -> Option<Step<C>> {
        let none = self.rests();
        let job = self.get_mut(id).filter(|job| job.rest == Rest::No && !none)?;
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
