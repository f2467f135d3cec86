//! How runs end: figures, what they set off, what becomes of their job.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{AskedBy, Attempt, Followed, Inline, Job, Live, On, Rest, State, Taken, Waiting};
use super::filling;
use super::plan::Scale;
use super::table::{AFTER_ALL_JOBS, Ask, Departed, Table};
use super::value::{Value, keepable, kept, write_failure, write_last};
use crate::clock::Now;
use crate::event::{DropReason, Event, Failure, RemoveReason};
use crate::id::JobId;
use crate::job::{LastRun, RunEnd};
use crate::policy::{Due, Missed, Overlap};
use crate::run::{RunFacts, RunView};
use crate::schedule::{from_nanos, to_nanos};

/// Of runs to follow no more wait than this, unless the job says otherwise.
const MOST_TO_FOLLOW: usize = 1000;

/// How a run ended.
pub(super) struct End {
    pub(super) attempt: Box<Attempt>,
    pub(super) end: RunEnd,
    /// What it returned, if it went well; what was wrong, if not.
    pub(super) value: Option<Value>,
    pub(super) failure: Option<Failure>,
    /// Whether it took its job off the schedule.
    pub(super) cancels: bool,
    /// When it ended, in elapsed time.
    pub(super) ended: i64,
}

impl<C> Table<C> {
    /// A job comes back from a call: what it does goes back in its place, and what the run held is free, unless it has
    /// more to do. Gives the body back if the job is gone.
    pub(super) fn called_back(&mut self, id: JobId, body: Inline<C>, attempt: &Attempt, goes_on: bool) -> Option<Inline<C>> {
        let there = self.get(id).is_some();
        if !(goes_on && there) {
            let now = self.watch.last().elapsed;
            self.give_back(attempt.limits(), true, now);
        }
        let Some(job) = self.get_mut(id) else { return Some(body) };
        job.body = Some(super::entry::Body::Inline(body));
        job.running = false;
        None
    }

    /// A run has more to do, from an instant of elapsed time on.
    pub(super) fn yielded(&mut self, id: JobId, attempt: Box<Attempt>, again: i64) {
        self.turns += 1;
        let order = AFTER_ALL_JOBS + self.turns;
        self.goes_on(id, attempt, State::Yielded { again, order });
    }

    /// A run that failed is to be tried again, if there is still reason to. If not, the attempt comes back.
    pub(super) fn failed(
        &mut self,
        id: JobId,
        mut attempt: Box<Attempt>,
        failure: Failure,
        wait: i64,
        ended: i64,
    ) -> Option<(Box<Attempt>, Failure)> {
        // What is kept is tried again by the next process.
        if self.get(id).is_none_or(|job| job.is_retired() || self.closed && job.kept.is_none()) {
            return Some((attempt, failure));
        }
        let facts = &attempt.view.facts;
        let (name, due, next) = (facts.name.clone(), facts.due, facts.attempt.saturating_add(1));
        self.tell(|_| Event::Retried { id, name, due, attempt: next, wait: Duration::from_nanos(wait.unsigned_abs()) });
        attempt.ends = None;
        let took = std::mem::take(&mut attempt.took);
        if let Some(job) = self.get_mut(id) {
            job.history.add_time(took);
        }
        self.goes_on(id, attempt, State::Again { again: ended.saturating_add(wait), failure: Box::new(failure) });
        None
    }

    /// A run that had not begun yet when all was shut down. What is kept waits for the next process; else the attempt comes back.
    pub(super) fn not_begun(&mut self, attempt: Box<Attempt>) -> Option<Box<Attempt>> {
        let (closed, ready) = (self.closed, self.here());
        let facts = &attempt.view.facts;
        let id = facts.id;
        let Some(job) = self.get_mut(id).filter(|job| closed && facts.turn == 0 && job.kept.is_some() && !job.is_retired())
        else {
            return Some(attempt);
        };
        let due = Due { due: to_nanos(&facts.due), first: to_nanos(&facts.first_missed), folded: facts.folded };
        let (number, cut_off) = (facts.number, facts.attempt.saturating_sub(1));
        let (by, after) = (AskedBy::Nobody, attempt.after.clone());
        job.besides.waiting.push_front(Waiting { due, ready, by, after, number, cut_off });
        if attempt.fills.is_none() {
            job.runs_left = job.runs_left.map(|left| left.saturating_add(1));
        }
        if let Some(kept) = job.kept_mut() {
            kept.not_begun(facts, false);
        }
        self.after.attempts.push(attempt);
        self.requeue(id);
        None
    }

    fn goes_on(&mut self, id: JobId, attempt: Box<Attempt>, state: State) {
        let rests = |job: &Job<C>| matches!(state, State::Again { .. }) && job.kept.is_some();
        if self.get(id).is_none_or(|job| self.closed && job.is_away() && !rests(job)) {
            // It was cancelled meanwhile, or all was shut down: there is no further turn.
            let ended = match state {
                State::Yielded { again, .. } => again,
                _ => self.here(),
            };
            if self.get(id).is_some() {
                self.give_back(attempt.limits(), true, ended);
            }
            let end = RunEnd::Stopped;
            return self.finish(End { attempt, end, value: None, failure: None, cancels: false, ended });
        }
        self.serial += 1;
        let serial = self.serial;
        if let Some(job) = self.get_mut(id) {
            job.besides.live.push(Live { serial, attempt, state });
        }
        self.hold(id);
    }

    /// Gives up a run that goes on: it ends as stopped. Its job stays, whatever else there is of it.
    pub(super) fn give_up(&mut self, id: JobId, place: usize, now: Now) {
        let Some((attempt, state)) = self.drawn(id, place, now) else { return };
        let (end, ended) = (RunEnd::Stopped, now.elapsed);
        if let State::Again { failure, .. } = state {
            self.after.failures.push(*failure);
        }
        self.record(End { attempt, end, value: None, failure: None, cancels: false, ended });
    }

    /// The runs of a job that go on end with it, as stopped.
    pub(super) fn end_runs(&mut self, id: JobId) {
        let now = Now { elapsed: self.here(), ..self.watch.last() };
        if self.get(id).is_some_and(Job::is_starting) {
            self.not_started(id, None, now);
        }
        let oldest = |job: &Job<C>| (0..job.live.len()).min_by_key(|place| job.live[*place].serial);
        while let Some(place) = self.get(id).and_then(oldest) {
            self.give_up(id, place, now);
        }
    }

    /// Ends a run without a further attempt, as the last one failed. Its job stays.
    pub(super) fn end_as_failed(&mut self, id: JobId, place: usize, now: Now) {
        let Some((attempt, state)) = self.drawn(id, place, now) else { return };
        let State::Again { failure, .. } = state else { return };
        self.after.failures.push((*failure).clone());
        let (end, ended) = (failure.kind.end(), now.elapsed);
        self.record(End { attempt, end, value: None, failure: Some(*failure), cancels: false, ended });
    }

    /// Takes a run out that goes on.
    fn drawn(&mut self, id: JobId, place: usize, now: Now) -> Option<(Box<Attempt>, State)> {
        let live = self.get_mut(id)?.besides.live.swap_remove(place);
        self.let_go(&live, now);
        Some((live.attempt, live.state))
    }

    /// A run is over: it is counted, those that follow are set off, and its job goes on or leaves.
    #[inline]
    pub(super) fn finish(&mut self, end: End) {
        let (id, cancels) = (end.attempt.view.facts.id, end.cancels);
        self.record(end);
        if cancels {
            self.remove(id, RemoveReason::ByItself);
        } else {
            self.remove_if_over(id);
        }
    }

    #[inline]
    fn record(&mut self, end: End) {
        let End { attempt, end, value, failure, cancels, ended } = end;
        let Attempt { view: RunView { facts, .. }, started, took, .. } = &*attempt;
        let (id, took) = (facts.id, *took);
        if self.observed {
            self.after.events.push(Event::Ended { run: facts.clone(), end, took });
        }
        let (late, folded, number) = (facts.late, facts.folded, facts.attempt);
        let (due, first_missed) = (facts.due, facts.first_missed);
        let last = LastRun { due, first_missed, started: from_nanos(*started), took, late, folded, attempt: number, end };
        if let Some(filling) = &attempt.fills {
            filling::count(filling, end);
        }
        let now = self.watch.last();
        let ended_wall = ended.saturating_add(now.ahead());
        let Some(job) = self.get_mut(id) else {
            self.record_of_departed(id, last, &attempt, ended_wall);
            return self.after.attempts.push(attempt);
        };
        // What another process has taken over is for that one to tell.
        let lost = attempt.view.is_lost();
        if let Some(kept) = job.kept_mut().filter(|_| !lost) {
            kept.has_ended(&attempt, end, ended_wall, now);
        }
        job.no_progress();
        job.history.count(last.clone());
        let mut counts_anew = false;
        if let Some(plan) = job.plan.as_mut().filter(|plan| plan.schedule.spec().after_completion) {
            counts_anew = true;
            let from = if plan.scale == Scale::Elapsed { ended } else { ended.saturating_add(now.ahead()) };
            plan.restarted(from);
            job.searched = from;
            if plan.has_callbacks() {
                let ask = Ask { id, plan: plan.clone(), from, reanchored: false };
                self.after.asks.push(ask);
            } else {
                job.next = plan.next(from);
            }
        }
        let Some(job) = self.get_mut(id) else { return };
        let bad = end.is_failure();
        job.failures = if bad {
            job.failures.saturating_add(1)
        } else if end.is_success() {
            0
        } else {
            job.failures
        };
        let failures = job.failures;
        let pauses = bad && attempt.rules.as_ref().and_then(|rules| rules.pause_after).is_some_and(|most| failures >= most);
        let goes_on = counts_anew || !job.waiting.is_empty() || !job.live.is_empty() || attempt.rules.is_some();
        let goes_on = goes_on || job.plan.as_ref().is_some_and(|plan| matches!(plan.missed, Missed::RunAll { .. }));
        if !job.followers.is_empty() && !lost {
            let followers = std::mem::take(&mut job.besides.followers);
            let mut effect = Effect {
                end,
                value,
                failure,
                said: attempt.error.clone(),
                last: last.clone(),
                facts: Arc::new(RunFacts { follows: Vec::new(), ..attempt.view.facts.clone() }),
                ended,
                told: [None, None],
            };
            for follower in &followers {
                self.set_off(*follower, id, &mut effect);
            }
            if let Some(job) = self.get_mut(id) {
                job.besides.followers = followers;
            }
        }
        let Some(job) = self.get_mut(id) else { return };
        let pauses = pauses && job.rest == Rest::No;
        let name = attempt.view.facts.name.clone();
        // What its job holds too may go here.
        if attempt.after.is_some() {
            self.after.attempts.push(attempt);
        } else if attempt.rules.is_none() && attempt.view.claim.is_none() {
            self.spare = Some(attempt);
        }
        if cancels {
            return;
        }
        if pauses {
            self.pause(id);
            self.tell(|_| Event::Paused { id, name, failures });
        }
        if goes_on {
            self.requeue(id);
        } else {
            self.touch(id);
        }
    }

    /// Counts the run of a job that was removed while it was being called.
    fn record_of_departed(&mut self, id: JobId, last: LastRun, attempt: &Attempt, ended: i64) {
        let Some(place) = self.departed.iter().position(|departed| departed.id == id) else { return };
        let Departed { mut history, epitaph, parting, .. } = self.departed.swap_remove(place);
        let end = last.end;
        history.count(last);
        if let Some(mut parting) = parting.filter(|_| !attempt.view.is_lost()) {
            parting.has_ended(attempt, end, ended, self.watch.last());
            self.part(parting);
        }
        epitaph.write(history);
    }

    /// A job that follows learns of a run's end.
    fn set_off(&mut self, id: JobId, upstream: JobId, effect: &mut Effect) {
        let now = self.watch.last();
        let is_kept = self.is_kept(id);
        // What a paused job would have followed, it misses.
        let Some(job) = self.get_mut(id).filter(|job| job.rest == Rest::No) else { return };
        let linked = job.plan.is_some();
        let Some(chain) = job.chain_mut().filter(|chain| chain.on.matches(effect.end)) else { return };
        let mut value = if linked { None } else { effect.value_for(chain.on, is_kept) };
        if value.is_none() && !linked {
            return;
        }
        // Of a run of an earlier process that had said itself that it was done the result is not known.
        let is_unknown = |value: &Value| chain.on == On::Success && value.is::<()>() && !chain.is_unit(upstream);
        if value.as_ref().is_some_and(is_unknown) {
            value = chain.reader(upstream).and_then(|reader| kept(&effect.facts, None, reader));
            if value.is_none() {
                let due = to_nanos(&effect.facts.due);
                return self.dropped(id, 1, due, due, DropReason::ResultLost);
            }
        }
        let mut followed = Followed { runs: vec![effect.facts.clone()], value, ended: effect.ended };
        let within = chain.within;
        let taken = chain.all.as_mut().map(|all| all.take(upstream, followed.clone(), within));
        if let Some(Taken { set, unused, incomplete }) = taken {
            self.after.followed.extend(unused);
            if let Some(due) = incomplete {
                self.dropped(id, 1, due, due, DropReason::Overlapped);
            }
            let Some(set) = set else {
                self.after.followed.push(followed);
                return self.touch(id);
            };
            self.after.followed.push(std::mem::replace(&mut followed, set));
        }
        let Some(job) = self.get(id) else { return };
        let delay = job.chain.as_ref().and_then(|chain| chain.delay);
        let due = to_nanos(&effect.facts.due);
        let ready = match delay {
            Some(delay) => effect.ended.saturating_add(delay),
            None => due.saturating_sub(now.ahead()).min(self.here()),
        };
        let Some(job) = self.get_mut(id) else { return };
        let most = match job.overlap() {
            Some(Overlap::Queue { most }) => most as usize,
            _ => MOST_TO_FOLLOW,
        };
        let waits = job.waiting.iter().filter(|waiting| waiting.after.is_some()).count();
        if waits >= most && !job.has_slot() || waits >= most.max(MOST_TO_FOLLOW) {
            self.after.followed.push(followed);
            self.dropped(id, 1, due, due, DropReason::Overlapped);
            return;
        }
        job.besides.waiting.push_back(Waiting {
            due: Due::only(due),
            ready,
            by: AskedBy::Nobody,
            after: Some(followed),
            number: 0,
            cut_off: 0,
        });
        self.requeue(id);
    }

    /// Lets no further run of a job start. What waits to start goes; a run that has more to do waits.
    pub(super) fn pause(&mut self, id: JobId) -> bool {
        let now = self.watch.last();
        let Some(job) = self.get(id) else { return false };
        if job.rest != Rest::No {
            return job.is_paused();
        }
        if job.is_starting() {
            self.not_started(id, None, now);
        }
        let now = now.elapsed;
        let Some(job) = self.get_mut(id) else { return false };
        job.rest = Rest::Paused;
        job.let_go_of_block();
        self.news += u64::from(!self.filling.is_empty());
        let Some(job) = self.get_mut(id) else { return false };
        let limits = job.rules.clone();
        // A run at the first poll is its schedule, not besides it.
        let first = job.missed_until == i64::MIN && job.plan.as_ref().is_some_and(|plan| plan.schedule.is_reboot());
        self.clear_waiting(id, DropReason::Paused, |waiting| match waiting.by {
            AskedBy::Nobody => true,
            AskedBy::Hand => !first,
            // It goes on with its job.
            AskedBy::Backfill => false,
        });
        self.release_from_block(id);
        limits.iter().flat_map(|rules| rules.limits.iter()).for_each(|limit| self.let_on(*limit, now));
        self.requeue(id);
        true
    }
}

/// What those that follow a run are told.
struct Effect {
    end: RunEnd,
    value: Option<Value>,
    failure: Option<Failure>,
    /// How it reads.
    said: Option<Box<str>>,
    last: LastRun,
    facts: Arc<RunFacts>,
    ended: i64,
    /// The failure and the end as values, once somebody follows them.
    told: [Option<Value>; 2],
}

impl Effect {
    /// What those are given that follow so; if they are kept, with what it is written as.
    fn value_for(&mut self, on: On, is_kept: bool) -> Option<Value> {
        let value: Value = match on {
            On::Success => return self.value.clone(),
            On::Failure => {
                let failure = self.failure.as_ref()?;
                self.told[0].get_or_insert_with(|| Arc::new(failure.clone())).clone()
            }
            On::End => self.told[1].get_or_insert_with(|| Arc::new(self.last.clone())).clone(),
        };
        if !is_kept {
            return Some(value);
        }
        let bytes = match self.failure.as_ref().filter(|_| on == On::Failure) {
            Some(failure) => write_failure(&failure.kind, self.said.as_deref().unwrap_or_default()),
            None => write_last(&self.last),
        };
        Some(keepable(value, bytes))
    }
}
