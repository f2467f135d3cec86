//! One poll: take what is due out of the table, run it with the lock free, put it back.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::table::{End, Firing, Open, Restart, Start, Step};
use super::{Run, Scheduler, Shared, drop_quietly};
use crate::clock::Now;
use crate::event::{Event, Failure, FailureKind};
use crate::job::{JobId, LastRun, RunEnd};
use crate::policy::Due;
use crate::run::{LateBy, Outcome, RunFacts};
use crate::schedule::{from_nanos, length};

/// What a poll did, and when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a tick says how long the host may rest: `tick.idle(most)`"]
pub struct Tick {
    ran: usize,
    failed: usize,
    left: usize,
    next: Option<Duration>,
    busy: bool,
    put_off: usize,
    overran: Option<Overrun>,
}

/// A job that went on after its poll's budget was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overrun {
    /// The job.
    pub id: JobId,
    /// For how long.
    pub by: Duration,
}

impl Tick {
    const BUSY: Tick = Tick { ran: 0, failed: 0, left: 0, next: None, busy: true, put_off: 0, overran: None };

    fn quiet(idle: Option<i64>, left: usize, busy: bool) -> Tick {
        let next = idle.map(|idle| Duration::from_nanos(idle.max(0) as u64));
        Tick { left, next, busy, ..Tick::BUSY }
    }

    /// How many times a job was called: once for each run, and for each turn of a run in steps.
    pub fn ran(&self) -> usize {
        self.ran
    }

    /// How many of them ended in an error or a panic.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// How many jobs were still due when the budget was spent, counted up to a thousand; they come first at the next poll.
    pub fn put_off(&self) -> usize {
        self.put_off
    }

    /// The job that was running when the budget was spent, and for how long it went on.
    pub fn overran(&self) -> Option<Overrun> {
        self.overran
    }

    /// How many jobs wait for a later due time, or were put off.
    pub fn left(&self) -> usize {
        self.left
    }

    /// How long until the next job is due; zero if one is, `None` if none is to come.
    pub fn next(&self) -> Option<Duration> {
        self.next
    }

    /// How long the host may rest: until the next job is due, and no longer than `most`.
    pub fn idle(&self, most: Duration) -> Duration {
        self.next.map_or(most, |next| next.min(most))
    }

    /// Whether nothing was done because a poll was going on: this one was called from inside a job, or from another thread.
    pub fn was_busy(&self) -> bool {
        self.busy
    }
}

/// Marks a poll as going on.
struct Polling<'a, C>(&'a Shared<C>);

impl<'a, C> Polling<'a, C> {
    fn begin(shared: &'a Shared<C>) -> Option<Self> {
        if shared.polling.swap(true, Ordering::Acquire) {
            return None;
        }
        Some(Polling(shared))
    }
}

impl<C> Drop for Polling<'_, C> {
    fn drop(&mut self) {
        self.0.with(|table| table.end_poll());
        self.0.polling.store(false, Ordering::Release);
        self.0.changed.notify_all();
    }
}

impl Scheduler<()> {
    /// Runs the jobs that are due, in the order of their due times, then priority, then registration.
    ///
    /// What is registered or asked for meanwhile is due no earlier than the next poll. Called from inside a job it does
    /// nothing, and says so.
    pub fn run_pending(&self) -> Tick {
        self.run_pending_with(&mut ())
    }

    /// [`run_pending`](Self::run_pending) with a [`budget`](crate::SchedulerBuilder::budget) for this one call.
    pub fn run_pending_within(&self, budget: Duration) -> Tick {
        self.run_pending_within_with(budget, &mut ())
    }

    /// Runs every job once, now, in order of registration, besides its schedule. Paused jobs, and jobs that wait for one
    /// that they follow, are left out.
    pub fn run_all(&self) -> Tick {
        self.run_all_with(&mut ())
    }
}

impl<C: 'static> Scheduler<C> {
    /// [`run_pending`](Scheduler::run_pending) for jobs that need the host's state.
    pub fn run_pending_with(&self, host: &mut C) -> Tick {
        self.poll(self.0.budget, host)
    }

    /// [`run_pending_within`](Scheduler::run_pending_within) for jobs that need the host's state.
    pub fn run_pending_within_with(&self, budget: Duration, host: &mut C) -> Tick {
        self.poll(Some(budget), host)
    }

    #[inline]
    fn poll(&self, budget: Option<Duration>, host: &mut C) -> Tick {
        let shared = &*self.0;
        if let Some((idle, left)) = shared.glance() {
            return Tick::quiet(idle, left, shared.polling.load(Ordering::Relaxed));
        }
        let Some(polling) = Polling::begin(shared) else { return Tick::BUSY };
        let mut poll = Poll::new(self, shared.now(), budget);
        shared.with(|table| table.begin_poll());
        loop {
            if poll.is_spent() {
                poll.put_off();
                break;
            }
            let Some(firing) = poll.next_firing() else { break };
            poll.fire(firing, host);
        }
        drop(polling);
        poll.tick()
    }

    /// [`run_all`](Scheduler::run_all) for jobs that need the host's state.
    pub fn run_all_with(&self, host: &mut C) -> Tick {
        let shared = &*self.0;
        let now = shared.now();
        let Some(polling) = Polling::begin(shared) else { return Tick::BUSY };
        let mut poll = Poll::new(self, now, None);
        let ids = shared.with(|table| {
            table.begin_poll();
            table.ids(None)
        });
        for id in ids {
            let firing = shared.with(|table| {
                let ready = table
                    .get(id)
                    .is_some_and(|job| !job.paused && job.open.is_none() && (job.follows.is_none() || !job.to_follow.is_empty()));
                if ready && !table.closed { table.take(id, Start::New(Due::only(now.wall))) } else { None }
            });
            if let Some(firing) = firing {
                poll.fire(firing, host);
            }
        }
        drop(polling);
        poll.tick()
    }
}

/// A poll as it goes on.
struct Poll<'a, C: 'static> {
    scheduler: &'a Scheduler<C>,
    now: Now,
    /// The monotonic clock when the poll began, and when the last run ended.
    began: Duration,
    ended: Duration,
    /// Until when it has budget.
    budget_ends: Option<Duration>,
    /// Until when jobs were due, by the wall clock, that the poll before put off.
    put_off_before: Option<i64>,
    tick: Tick,
}

impl<'a, C: 'static> Poll<'a, C> {
    fn new(scheduler: &'a Scheduler<C>, now: Now, budget: Option<Duration>) -> Self {
        let began = scheduler.0.clock.monotonic();
        let budget_ends = budget.map(|budget| began.saturating_add(budget));
        let put_off_before = scheduler.0.table.lock().put_off.take();
        let tick = Tick { busy: false, ..Tick::BUSY };
        Poll { scheduler, now, began, ended: began, budget_ends, put_off_before, tick }
    }

    /// Whether its budget is spent. The first job always starts, or none ever would.
    fn is_spent(&self) -> bool {
        self.tick.ran > 0 && self.budget_ends.is_some_and(|end| self.ended >= end)
    }

    /// Leaves what is still due to the next poll.
    fn put_off(&mut self) {
        let now = self.now;
        let put_off = self.scheduler.0.with(|table| {
            let (jobs, first) = table.due(now).filter(|_| !table.paused && !table.closed)?;
            table.put_off = Some(now.wall);
            table.events.push(Event::PutOff { jobs, first });
            Some(jobs)
        });
        self.tick.put_off = put_off.unwrap_or(0);
    }

    /// The next run to start. Schedules with code of the user's own are asked with the lock free.
    fn next_firing(&mut self) -> Option<Firing<C>> {
        let shared = &*self.scheduler.0;
        loop {
            let step = shared.with(|table| table.step(self.now));
            let (id, plan, due) = match step {
                Step::Nothing => return None,
                Step::Run(firing) => return Some(firing),
                Step::Ask { id, plan, due } => (id, plan, due),
            };
            match catch_unwind(AssertUnwindSafe(|| plan.decide(due, self.now))) {
                Ok(verdict) => {
                    let now = self.now;
                    if let Some(firing) = shared.with(|table| table.obey(id, due, verdict, now)) {
                        return Some(firing);
                    }
                }
                Err(payload) => {
                    // Its schedule cannot be relied on any more: the job ends, and says why.
                    let kind = FailureKind::Panic(format!("in its schedule: {}", message(payload)));
                    let name = shared.table.lock().get(id).and_then(|job| job.name.clone());
                    shared.tell(&Event::Failed(Failure { id, name, due: from_nanos(due), kind }));
                    shared.with(|table| table.remove(id));
                }
            }
        }
    }

    fn fire(&mut self, firing: Firing<C>, host: &mut C) {
        let shared = &*self.scheduler.0;
        let Firing { id, name, mut body, signals, start, follows, counts_from_end } = firing;
        let (mut facts, started, before) = match start {
            Start::New(due) => {
                let (facts, started) = self.facts(id, name, due, follows.as_ref().map(|(facts, _)| facts.clone()));
                (facts, started, Duration::ZERO)
            }
            Start::Again(open) => (open.facts, open.started, open.took),
        };
        let budget_ends = self.budget_ends;
        let mut run = Run { facts: &facts, host, scheduler: self.scheduler, signals: &signals, budget_ends };
        let followed = follows.as_ref().map(|(_, value)| value.clone());
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&mut run, followed)));
        let ended = shared.clock.monotonic();
        let took = before + ended.saturating_sub(self.ended);
        self.ended = ended;
        self.tick.ran += 1;
        if let Some(by) = budget_ends.and_then(|end| ended.checked_sub(end)).filter(|by| !by.is_zero()) {
            self.tick.overran = Some(Overrun { id, by });
            shared.tell(&Event::Overran { id, name: facts.name.clone(), by });
        }
        let (end, value, cancel) = match outcome {
            Ok(Ok((Outcome::Yield, _))) => {
                facts.turn = facts.turn.saturating_add(1);
                let again = self.now.elapsed.saturating_add(length(ended.saturating_sub(self.began)));
                let open = Open { facts, follows, started, took, again, order: 0 };
                let orphan = shared.with(|table| table.yielded(id, body, open));
                return drop_quietly(orphan);
            }
            Ok(Ok((outcome, value))) => (RunEnd::Done, value, outcome == Outcome::Cancel),
            Ok(Err(error)) => {
                self.failure(&facts, FailureKind::Error(error));
                (RunEnd::Failed, None, false)
            }
            Err(payload) => {
                self.failure(&facts, FailureKind::Panic(message(payload)));
                (RunEnd::Panicked, None, false)
            }
        };
        let restart = if counts_from_end { self.restart(id) } else { None };
        let last = LastRun { due: facts.due, started: from_nanos(started), took, late: facts.late, folded: facts.folded, end };
        let orphan = shared.with(|table| table.finish(id, body, End { facts, last, value, cancel, restart }));
        drop_quietly(orphan);
    }

    /// What is known of a run as it starts, and when that is by the wall clock.
    fn facts(
        &self,
        id: JobId,
        name: Option<std::sync::Arc<str>>,
        due: Due,
        follows: Option<std::sync::Arc<RunFacts>>,
    ) -> (RunFacts, i64) {
        let waited = length(self.ended.saturating_sub(self.began));
        let started = self.now.wall.saturating_add(waited);
        let before_poll = self.now.wall.saturating_sub(due.due);
        let late_by = match () {
            () if waited > before_poll => LateBy::OtherJobs,
            () if self.put_off_before.is_some_and(|until| due.due <= until) => LateBy::Budget,
            () if self.now.slept >= before_poll / 2 && self.now.slept > 0 => LateBy::Suspend,
            () if self.now.stepped >= before_poll / 2 && self.now.stepped > 0 => LateBy::ClockStep,
            () => LateBy::Host,
        };
        let facts = RunFacts {
            id,
            name,
            due: from_nanos(due.due),
            first_missed: from_nanos(due.first),
            late: Duration::from_nanos(started.saturating_sub(due.due).max(0) as u64),
            late_by,
            folded: due.folded,
            attempt: 1,
            turn: 0,
            follows,
        };
        (facts, started)
    }

    /// The plan of a schedule that counts from the end of its runs, counted from now.
    fn restart(&self, id: JobId) -> Option<Restart> {
        let shared = &*self.scheduler.0;
        let now = shared.now();
        let mut plan = shared.table.lock().get(id)?.plan.clone()?;
        plan.restarted(now);
        let registered = plan.on_scale(now);
        let next = catch_unwind(AssertUnwindSafe(|| plan.next(registered))).ok()?;
        Some(Restart { registered, next })
    }

    fn failure(&mut self, facts: &RunFacts, kind: FailureKind) {
        self.tick.failed += 1;
        let failure = Failure { id: facts.id, name: facts.name.clone(), due: facts.due, kind };
        self.scheduler.0.tell(&Event::Failed(failure));
    }

    fn tick(&self) -> Tick {
        let shared = &*self.scheduler.0;
        let now = shared.now();
        let table = shared.table.lock();
        let Tick { left, next, .. } = Tick::quiet(table.idle(now), table.queued(), false);
        Tick { left, next, ..self.tick }
    }
}

/// What a panic said. The payload's own drop may panic too; that goes no further.
fn message(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "with a payload that is no text".to_owned(),
    };
    drop_quietly(payload);
    text
}
