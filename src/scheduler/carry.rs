//! How a job carries on from its record, in a new process of its program.

use std::sync::Arc;
use std::time::Duration;

use super::ending::End;
use super::entry::{AskedBy, Attempt, Besides, Chain, Followed, Job, Live, On, State, Waiting};
use super::plan::{Plan, Scale};
use super::record::{Keep, KeptJob};
use super::stepped::is_wrong_before;
use super::table::Table;
use super::value::{Joined, Value, keepable, kept, read_failure, read_last};
use super::{Shared, register};
use crate::clock::Now;
use crate::error::Error;
use crate::event::{DropReason, Event, Failure, FailureKind};
use crate::id::JobId;
use crate::policy::{CutOff, Due, OnChange};
use crate::run::{BoxError, RunFacts, RunView};
use crate::schedule::{Schedule, from_nanos, to_nanos};
use crate::store::{FollowedRun, JobRecord, RunRecord, RunState};

/// What is known of a job that is registered.
pub(super) struct Known {
    kept: Box<KeptJob>,
    record: Option<JobRecord>,
    /// Until when another process holds it, in elapsed time.
    elsewhere: Option<i64>,
}

impl<C> Shared<C> {
    /// What the store knows of a job; `None` if it is not kept.
    pub(super) fn known(&self, name: Option<&str>, keep: &Keep) -> Result<Option<Known>, Error> {
        let (Some(store), Some(name)) = (&self.store, name) else { return Ok(None) };
        if self.table.lock().named(name).is_some() {
            return Err(Error::NameTaken { name: name.to_owned() });
        }
        if let Some((kept, record)) = self.with(|table| table.parted(name)) {
            return Ok(Some(Known { kept, record: Some(record), elsewhere: None }));
        }
        let load = |known: &str| store.load(known).map_err(|error| Error::Store { name: name.to_owned(), error });
        let (mut record, mut formerly) = (load(name)?, None);
        for other in &keep.formerly {
            if record.is_none() {
                record = load(other)?;
                formerly = record.as_ref().map(|record| record.name.clone());
            }
        }
        let now = self.now();
        let elsewhere = record.as_ref().and_then(|record| {
            let table = self.table.lock();
            table.keeping.as_ref().and_then(|keeping| keeping.held_elsewhere(record, now))
        });
        let kept = KeptJob::new(name.into(), keep, record.clone(), formerly, &self.clock);
        Ok(Some(Known { kept: Box::new(kept), record, elsewhere }))
    }
}

/// Puts a job with a schedule where it is to begin: where its record says, or anew. Gives what is to be told of it.
pub(super) fn begin<C>(
    entry: &mut Job<C>,
    mut plan: Plan,
    known: Option<Known>,
    keep: &Keep,
    now: Now,
) -> Result<Vec<Event>, Error> {
    let (id, name) = (entry.id, entry.name.clone());
    let mut told = Vec::new();
    let (mut record, mut elsewhere) = (None, None);
    if let Some(known) = known {
        (record, elsewhere) = (known.record, known.elsewhere);
        entry.besides.kept = Some(known.kept);
    }
    let mut anew = record.is_none();
    let mut run_first = anew && plan.schedule.spec().immediately;
    if let Some(record) = record.as_ref().filter(|record| !plan.has_callbacks() && record.schedule != plan.schedule.to_string()) {
        let was = record.schedule.parse::<Schedule>().ok().filter(|_| keep.on_change == OnChange::Keep);
        let then = if keep.on_change == OnChange::Keep && was.is_none() { OnChange::Reanchor } else { keep.on_change };
        match was {
            Some(was) => plan = plan.with(was, now),
            None => anew = true,
        }
        run_first |= then == OnChange::RunOnce;
        told.push(Event::ScheduleChanged { id, name: name.clone(), was: record.schedule.clone(), then });
    }
    let (record, fresh) = match record {
        Some(record) if !anew => (Some(record), false),
        record => (record, true),
    };
    let here = plan.on_scale(now);
    if fresh {
        let next = register::first(&plan, now)?;
        entry.searched = next.map_or(here, |next| here.min(next.saturating_sub(1)));
        entry.next = next;
        entry.runs_left = plan.schedule.spec().times;
    }
    entry.plan = Some(plan);
    if let Some(record) = &record {
        if !fresh {
            told.extend(entry.carry_on_schedule(record, now));
        }
        told.extend(entry.carry_on(record, elsewhere, &|_| None, now));
    }
    let reboots = entry.plan.as_ref().is_some_and(|plan| plan.schedule.is_reboot());
    if run_first || reboots {
        entry.ask_by_hand(now);
    }
    Ok(told)
}

/// The same for a job that follows others.
pub(super) fn begin_following<C>(
    entry: &mut Job<C>,
    known: Option<Known>,
    named: &dyn Fn(&str) -> Option<JobId>,
    now: Now,
) -> Vec<Event> {
    let Some(Known { kept, record, elsewhere }) = known else { return Vec::new() };
    entry.besides.kept = Some(kept);
    record.map_or(Vec::new(), |record| entry.carry_on(&record, elsewhere, named, now))
}

impl<C> Job<C> {
    /// Takes up its schedule where it was left.
    fn carry_on_schedule(&mut self, record: &JobRecord, now: Now) -> Option<Event> {
        let reanchored = self.go_back_to(record, now);
        let plan = self.plan.as_ref()?;
        self.next = plan.next(self.searched);
        let (id, name) = (self.id, self.name.clone());
        let next = self.next.map(|next| from_nanos(plan.wall(next, now)));
        reanchored.then_some(Event::Reanchored { id, name, next })
    }

    /// Takes up its schedule where it was left, but for the next occurrence. Gives whether it follows the clock anew.
    pub(super) fn go_back_to(&mut self, record: &JobRecord, now: Now) -> bool {
        let Some(plan) = self.plan.as_mut() else { return false };
        let ahead = if plan.scale == Scale::Elapsed { now.ahead() } else { 0 };
        let on_scale = |at: &chrono::DateTime<chrono::Utc>| to_nanos(at).saturating_sub(ahead);
        let here = plan.on_scale(now);
        self.runs_left = record.runs_left;
        self.last_due = record.last_due.as_ref().map(to_nanos);
        self.missed_until = record.missed_until.as_ref().map_or(i64::MIN, on_scale);
        plan.registered = on_scale(&record.anchor);
        self.searched = on_scale(&record.searched);
        // When an interval's last occurrence was due by the wall clock says nothing once that was set.
        let last = if plan.scale == Scale::Elapsed { self.missed_until } else { self.last_due.unwrap_or(i64::MIN) };
        let latest = self.searched.max(plan.registered).max(last);
        let mut reanchored = false;
        if plan.scale == Scale::Elapsed && latest > here {
            // The clock was set back meanwhile: as if no time had passed.
            let by = latest.saturating_sub(here);
            plan.registered = plan.registered.saturating_sub(by);
            self.searched = self.searched.saturating_sub(by);
            self.missed_until = self.missed_until.saturating_sub(by);
            reanchored = is_wrong_before(latest.saturating_add(ahead), true, now);
        } else if plan.scale == Scale::Wall && is_wrong_before(latest, true, now) {
            reanchored = true;
            self.last_due = None;
            self.missed_until = i64::MIN;
            self.searched = here;
            if is_wrong_before(plan.registered, true, now) {
                plan.restarted(here);
            }
        }
        reanchored
    }

    /// Another process has gone on with it: it carries on from there.
    pub(super) fn adopt(&mut self, record: JobRecord, now: Now) {
        self.carry_on_schedule(&record, now);
        self.carry_on_figures(&record, now);
        let Some(kept) = self.kept.as_deref() else { return };
        // What was asked of this process and is not written yet stays.
        if record.paused != kept.was_paused() {
            self.paused = record.paused;
        }
        if let Some(kept) = self.kept_mut() {
            kept.is_now(record);
        }
    }

    /// Takes up what is not of its schedule: figures, and runs that had not ended, unless another process holds it until then.
    fn carry_on(
        &mut self,
        record: &JobRecord,
        elsewhere: Option<i64>,
        named: &dyn Fn(&str) -> Option<JobId>,
        now: Now,
    ) -> Vec<Event> {
        self.carry_on_figures(record, now);
        self.paused = record.paused;
        match elsewhere {
            Some(until) => {
                self.stand_by(until);
                Vec::new()
            }
            None => {
                let (lost, _) = self.carry_on_gathered(&record.gathered, named, now);
                lost.into_iter().chain(self.carry_on_runs(&record.open, named, now)).collect()
            }
        }
    }

    /// If it follows all of several jobs: takes up the successes that its record has, instead of those that were written here. Gives
    /// what is to be told, and what is the user's to drop.
    pub(super) fn carry_on_gathered(
        &mut self,
        gathered: &[FollowedRun],
        named: &dyn Fn(&str) -> Option<JobId>,
        now: Now,
    ) -> (Vec<Event>, Vec<Followed>) {
        let (id, name) = (self.id, self.name.clone());
        let (mut lost, mut gone) = (Vec::new(), Vec::new());
        let Some(Besides { chain: Some(chain), kept, waiting, .. }) = self.besides.used() else { return (lost, gone) };
        let found: Vec<Option<Followed>> =
            gathered.iter().map(|run| followed(chain, std::slice::from_ref(run), named, now)).collect();
        let Some(all) = &mut chain.all else { return (lost, gone) };
        let was_written = |run: &Arc<RunFacts>| kept.as_ref().is_some_and(|kept| kept.has_gathered(run));
        let in_set = |run: &RunFacts| {
            let sets = waiting.iter().filter_map(|waiting| waiting.after.as_ref());
            sets.flat_map(|after| &after.runs).any(|other| (other.id, other.number) == (run.id, run.number))
        };
        gone.extend(all.give_up(|latest| latest.runs.iter().any(was_written)));
        for (run, found) in gathered.iter().zip(found) {
            let from = found.as_ref().and_then(|found| found.runs.first()).map(|run| run.id).filter(|id| all.has(*id));
            match found.zip(from) {
                Some((found, _)) if found.runs.iter().any(|run| in_set(run)) => {}
                Some((found, from)) => all.take_older(from, found),
                None => {
                    let (name, since, because) = (name.clone(), run.due, DropReason::ResultLost);
                    lost.push(Event::Dropped { id, name, occurrences: 1, since, because });
                }
            }
        }
        (lost, gone)
    }

    pub(super) fn carry_on_figures(&mut self, record: &JobRecord, now: Now) {
        self.failures = record.failures;
        let started = record.last_start.as_ref().map(|at| to_nanos(at).saturating_sub(now.ahead()));
        self.last_start = started.map(|at| at.min(now.elapsed));
    }

    /// Takes up the runs of a process that has ended or is taken for dead.
    pub(super) fn carry_on_runs(&mut self, open: &[RunRecord], named: &dyn Fn(&str) -> Option<JobId>, now: Now) -> Vec<Event> {
        let mut told = Vec::new();
        let (id, name) = (self.id, self.name.clone());
        let elapsed = |at: &chrono::DateTime<chrono::Utc>| to_nanos(at).saturating_sub(now.ahead());
        // If the clock was set back meanwhile they lie ahead: nothing waits for longer than it was to wait at first.
        let within = |at: &chrono::DateTime<chrono::Utc>, most: i64| elapsed(at).min(now.elapsed.saturating_add(most));
        let delay = self.chain.as_ref().and_then(|chain| chain.delay).unwrap_or(0);
        let cut_off = self.kept.as_ref().map(|kept| kept.cut_off);
        let mut crashed = false;
        for run in open {
            let after = self.chain.as_ref().and_then(|chain| followed(chain, &run.follows, named, now));
            // One with a schedule of its own is given no result.
            let lost = after.is_none() && !run.follows.is_empty() && self.plan.is_none();
            let again = cut_off == Some(CutOff::RunAgain) && !lost;
            let due = Due { due: to_nanos(&run.due), first: to_nanos(&run.first_missed), folded: run.folded };
            match run.state {
                RunState::Waiting { .. } | RunState::Again { .. } if lost => {
                    let (since, because) = (run.due, DropReason::ResultLost);
                    told.push(Event::Dropped { id, name: name.clone(), occurrences: run.folded, since, because });
                }
                RunState::Waiting { from, by_hand } => {
                    let (ready, number, cut_off) = (within(&from, delay), run.number, run.attempt);
                    let by = if by_hand { AskedBy::Hand } else { AskedBy::Nobody };
                    self.line_up(Waiting { due, ready, by, after, number, cut_off });
                }
                RunState::Again { from } => {
                    let error = run.error.clone().unwrap_or_default();
                    let kind = FailureKind::Error(Arc::from(BoxError::from(error)));
                    let retry = self.rules.as_ref().and_then(|rules| rules.retry.as_ref());
                    let longest = retry.map_or(0, |retry| retry.backoff.longest(run.attempt));
                    self.tried_again(run, kind, within(&from, longest), after, now);
                }
                RunState::Started { at } => {
                    crashed = true;
                    let attempt = run.attempt;
                    told.push(Event::CutOff { id, name: name.clone(), due: run.due, attempt, started: at, again });
                    if again {
                        // It is not at work, so what was missed meanwhile does not overlap with it. It counts when it starts.
                        self.runs_left = self.runs_left.map(|left| left.saturating_add(1));
                        let (ready, number, cut_off) = (now.elapsed, run.number, attempt);
                        self.line_up(Waiting { due, ready, by: AskedBy::Nobody, after, number, cut_off });
                    } else if let Some(kept) = self.kept_mut() {
                        kept.was_left(run, at, now);
                    }
                }
                // It had said itself that it was done, and its process ended before that could be taken in.
                RunState::Ended { .. } => self.kept_mut().into_iter().for_each(|kept| kept.done.push(run.clone())),
                RunState::CutOff { .. } => {}
            }
        }
        if let Some(kept) = self.kept_mut().filter(|_| crashed) {
            kept.was_cut_off = true;
            kept.crashes = kept.crashes.saturating_add(1);
            let crashes = kept.crashes;
            if kept.hold_after.is_some_and(|most| crashes >= most) {
                self.paused = true;
                told.push(Event::HeldAfterCrashes { id, name, crashes });
            }
        }
        told
    }

    /// A run waits before those of its job that have a greater number.
    fn line_up(&mut self, waiting: Waiting) {
        let place = self.waiting.iter().position(|other| other.number > waiting.number);
        let place = place.unwrap_or(self.waiting.len());
        self.besides.waiting.insert(place, waiting);
    }

    /// An attempt failed in an earlier process, and the next one is to come.
    fn tried_again(&mut self, run: &RunRecord, kind: FailureKind, again: i64, after: Option<Followed>, now: Now) {
        let failure = Failure { id: self.id, name: self.name.clone(), due: run.due, attempt: run.attempt.max(1), kind };
        let attempt = Box::new(self.attempt_of(run, after, now));
        // Serials of the table begin at one.
        let serial = 0;
        let state = State::Again { again, failure: Box::new(failure) };
        self.besides.live.push(Live { serial, attempt, state });
    }

    /// The last attempt at a run of an earlier process.
    pub(super) fn attempt_of(&mut self, run: &RunRecord, after: Option<Followed>, now: Now) -> Attempt {
        let facts = RunFacts {
            id: self.id,
            name: self.name.clone(),
            due: run.due,
            first_missed: run.first_missed,
            late: run.late,
            late_by: run.late_by,
            folded: run.folded,
            attempt: run.attempt.max(1),
            number: run.number,
            previous_was_cut_off: false,
            turn: 0,
            follows: after.as_ref().map(|after| after.runs.clone()).unwrap_or_default(),
        };
        let claim = self.kept.as_ref().map(|kept| kept.claim.clone());
        let view = RunView { facts, signals: self.signals().clone(), limit: None, claim };
        let (rules, error) = (self.rules.clone(), run.error.clone().map(Into::into));
        Attempt { view, after, started: now.wall, took: Duration::ZERO, ends: None, rules, fills: None, error }
    }
}

impl<C> Table<C> {
    /// Takes the runs of earlier processes as ended that had said so themselves: now that those are there that follow.
    pub(super) fn take_as_ended(&mut self, now: Now) {
        let jobs = self.keeping.as_mut().map_or(Vec::new(), |keeping| std::mem::take(&mut keeping.done));
        for id in jobs {
            let done = self.get_mut(id).and_then(Job::kept_mut).map_or(Vec::new(), |kept| std::mem::take(&mut kept.done));
            for run in done {
                let RunState::Ended { started, at, end } = run.state else { continue };
                let Some(job) = self.get_mut(id) else { break };
                let mut attempt = Box::new(job.attempt_of(&run, None, now));
                attempt.started = started.as_ref().map_or(attempt.started, to_nanos);
                attempt.took = (at - from_nanos(attempt.started)).to_std().unwrap_or_default();
                let ended = to_nanos(&at).saturating_sub(now.ahead()).min(now.elapsed);
                // Of its result only that there was one is known.
                self.finish(End { attempt, end, value: Some(Arc::new(())), failure: None, cancels: false, ended });
            }
        }
    }
}

/// What a run of an earlier process follows, by its record; `None` if its result was not kept.
fn followed(chain: &Chain, runs: &[FollowedRun], named: &dyn Fn(&str) -> Option<JobId>, now: Now) -> Option<Followed> {
    let ended = runs.iter().map(|run| to_nanos(&run.ended).saturating_sub(now.ahead())).max()?.min(now.elapsed);
    // The only one that it follows may have another name since.
    let only = chain.upstreams.first().copied().filter(|_| chain.upstreams.len() == 1);
    let facts = runs.iter().map(|run| {
        Some(Arc::new(RunFacts {
            id: named(&run.job).or(only)?,
            name: Some(run.job.clone()),
            due: run.due,
            first_missed: run.due,
            late: Duration::ZERO,
            late_by: crate::run::LateBy::Store,
            folded: 1,
            attempt: run.attempt,
            number: run.number,
            previous_was_cut_off: false,
            turn: 0,
            follows: Vec::new(),
        }))
    });
    let facts: Vec<Arc<RunFacts>> = facts.collect::<Option<_>>()?;
    let values = facts.iter().zip(runs).map(|(facts, run)| value(chain, facts, run.value.as_ref()));
    let mut values: Vec<Value> = values.collect::<Option<_>>()?;
    let join = chain.all.as_ref().map(|all| all.join).filter(|_| values.len() > 1);
    let value = match join {
        Some(join) => Arc::new(Joined { values, join }),
        None => values.pop()?,
    };
    Some(Followed { runs: facts, value: Some(value), ended })
}

/// What a job is given of a run that it follows.
fn value(chain: &Chain, run: &RunFacts, bytes: Option<&Arc<[u8]>>) -> Option<Value> {
    let value: Value = match chain.on {
        On::Success => return kept(run, bytes, chain.reader(run.id)?),
        On::Failure => {
            let kind = read_failure(bytes?)?;
            Arc::new(Failure { id: run.id, name: run.name.clone(), due: run.due, attempt: run.attempt, kind })
        }
        On::End => Arc::new(read_last(bytes?)?),
    };
    Some(keepable(value, bytes?.clone()))
}
