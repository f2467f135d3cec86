//! One poll: take in what came back, then take what is due out of the table, run it with the lock free, put it back.

use std::sync::Arc;
use std::time::Duration;

use super::away::{Away, Home, How, Returned};
use super::ending::End;
use super::entry::{Attempt, BlockedBy, Inline};
use super::lane::Back;
use super::record::text_of;
use super::run::Called;
use super::step::{Call, HandOver, Moment, Step, TimedOut};
use super::value::Value;
use super::{Run, Scheduler, Shared};
use crate::caught::{caught, drop_quietly};
use crate::clock::Now;
use crate::event::{Event, Failure, FailureKind, RemoveReason};
use crate::id::JobId;
use crate::job::RunEnd;
use crate::run::{Claim, LateBy, Outcome, TimeLimit};
use crate::schedule::{from_nanos, length, mix};
use crate::store::{Batch, Done, StoreError};
use crate::sync::atomic::Ordering;

/// What a poll did, and when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a tick says how long the host may rest: `tick.idle(most)`"]
pub struct Tick {
    ran: u32,
    handed: u32,
    returned: u32,
    failed: u32,
    merged: u32,
    put_off: u32,
    left: u32,
    busy: bool,
    next: Option<Duration>,
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
    const BUSY: Tick =
        Tick { ran: 0, handed: 0, returned: 0, failed: 0, merged: 0, left: 0, next: None, busy: true, put_off: 0, overran: None };

    fn quiet(idle: Option<i64>, left: usize, busy: bool) -> Tick {
        let next = idle.map(|idle| Duration::from_nanos(idle.max(0) as u64));
        // Each has a slot, and there are not so many of those.
        Tick { left: left as u32, next, busy, ..Tick::BUSY }
    }

    /// How many times a job was called: once for each attempt, and for each turn of a run in steps.
    pub fn ran(&self) -> usize {
        self.ran as usize
    }

    /// How many runs were handed over, to go on in the background.
    pub fn handed(&self) -> usize {
        self.handed as usize
    }

    /// How many runs came back from the background.
    pub fn returned(&self) -> usize {
        self.returned as usize
    }

    /// How many attempts ended badly, of those called here and those that came back.
    pub fn failed(&self) -> usize {
        self.failed as usize
    }

    /// How many runs could have waited by their slack, and were started since the host was awake anyway: at most so many
    /// wake-ups were saved.
    pub fn merged(&self) -> usize {
        self.merged as usize
    }

    /// How many jobs were still due when the budget was spent, counted up to a thousand; they come first at the next poll.
    pub fn put_off(&self) -> usize {
        self.put_off as usize
    }

    /// The job that was running when the budget was spent, and for how long it went on.
    pub fn overran(&self) -> Option<Overrun> {
        self.overran
    }

    /// How many jobs wait for a later due time, or were put off.
    pub fn left(&self) -> usize {
        self.left as usize
    }

    /// How long until the host is needed: until the next job is due, and its slack is used up; zero if one is, `None` if none
    /// is to come.
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
        // Both under the lock, so that whoever sees the end of a poll there may begin one.
        self.0.with(|table| {
            table.end_poll();
            self.0.polling.store(false, Ordering::Release);
        });
        self.0.changed.notify_all();
        if let Some(alarm) = self.0.alarm.get() {
            alarm.ring();
        }
    }
}

impl Scheduler<()> {
    /// Runs the jobs that are due, in the order of their due times, then priority, then registration.
    ///
    /// Runs that have come back from the background are taken in first: what follows them, and the observers, run here.
    /// What is registered or asked for meanwhile is due no earlier than the next poll. Called from inside a job it does
    /// nothing, and says so.
    pub fn run_pending(&self) -> Tick {
        self.run_pending_with(&mut ())
    }

    /// [`run_pending`](Self::run_pending) with a [`budget`](crate::SchedulerBuilder::budget) for this one call.
    pub fn run_pending_within(&self, budget: Duration) -> Tick {
        self.run_pending_within_with(budget, &mut ())
    }

    /// Runs every job once, now, in order of registration, besides its schedule. Those that can't now (a run of theirs goes
    /// on, a limit is reached) run when they can. Paused jobs, and jobs that wait for one that they follow, are left out.
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
        let mut poll = Poll::begin(self, budget);
        poll.take_in();
        poll.take_answer();
        while let Some(step) = poll.next_step() {
            poll.take(step, host);
        }
        poll.feed();
        drop(polling);
        poll.tick()
    }

    /// [`run_all`](Scheduler::run_all) for jobs that need the host's state.
    pub fn run_all_with(&self, host: &mut C) -> Tick {
        let shared = &*self.0;
        let Some(polling) = Polling::begin(shared) else { return Tick::BUSY };
        let mut poll = Poll::begin(self, None);
        poll.take_in();
        for id in shared.with(|table| table.ids(None)) {
            if let Some(step) = shared.with(|table| table.step_by_hand(id, poll.moment())) {
                poll.take(step, host);
            }
        }
        loop {
            match shared.with(|table| table.step_gathered(poll.moment())) {
                Step::Nothing => break,
                step => poll.take(step, host),
            }
        }
        poll.feed();
        drop(polling);
        poll.tick()
    }

    /// Takes in what came back from the background, for the end. Gives whether it did: not while a poll goes on.
    pub(super) fn take_in(&self) -> bool {
        let Some(_polling) = Polling::begin(&self.0) else { return false };
        let mut poll = Poll::begin(self, None);
        poll.take_in();
        poll.take_answer();
        let now = poll.now;
        if let Step::Write(batch) = self.0.with(|table| table.write(now)) {
            poll.write(batch);
        }
        true
    }
}

/// A poll as it goes on.
struct Poll<'a, C: 'static> {
    scheduler: &'a Scheduler<C>,
    now: Now,
    /// The monotonic clock when it was last read.
    read: Duration,
    /// Until when it has budget.
    budget_ends: Option<Duration>,
    /// Whether anything was done, so that the budget may end it.
    moved: bool,
    /// The last one called, if it was plain: the next hold of the lock takes it in.
    back: Option<Back<C>>,
    tick: Tick,
}

impl<'a, C: 'static> Poll<'a, C> {
    fn begin(scheduler: &'a Scheduler<C>, budget: Option<Duration>) -> Self {
        let shared = &*scheduler.0;
        // Whoever is told of the clocks is in this poll already.
        shared.with(|table| {
            shared.glance.is_over(table);
            table.begin_poll();
        });
        let now = shared.now();
        shared.ask_whether_right(now);
        let began = Duration::from_nanos(now.monotonic.unsigned_abs());
        let told = shared.with(|table| {
            table.poll_at = now.elapsed;
            table.let_on_by(now);
            if table.awaited.is_none() {
                table.take_as_ended(now);
            }
            let gap = now.elapsed.saturating_sub(table.polled);
            table.polled = now.elapsed;
            let due = table.until_due(now).filter(|_| table.awaited.is_none());
            let late = due.map_or(0, i64::saturating_neg).min(gap);
            let host_late = late.saturating_sub(now.slept).saturating_sub(now.stepped.max(0));
            let by = Duration::from_nanos(host_late.max(0).unsigned_abs());
            if by > shared.host_late {
                table.tell(|_| Event::HostLate { by, gap: Duration::from_nanos(gap.max(0).unsigned_abs()) });
            }
            table.observed
        });
        let read = if told { shared.clock.monotonic() } else { began };
        let budget_ends = budget.map(|budget| began.saturating_add(budget));
        Poll { scheduler, now, read, budget_ends, moved: false, back: None, tick: Tick { busy: false, ..Tick::BUSY } }
    }

    fn shared(&self) -> &'a Shared<C> {
        &self.scheduler.0
    }

    fn moment(&self) -> Moment {
        let left = self.budget_ends.map(|end| end.saturating_sub(self.read));
        Moment { now: self.now, waited: length(self.read).saturating_sub(self.now.monotonic).max(0), left }
    }

    /// An instant of the monotonic clock as elapsed time.
    fn elapsed_at(&self, monotonic: Duration) -> i64 {
        self.now.elapsed.saturating_add(length(monotonic).saturating_sub(self.now.monotonic))
    }

    /// Whether its budget is spent. Something is always done, or nothing ever would be.
    fn is_spent(&self) -> bool {
        self.moved && self.budget_ends.is_some_and(|end| self.read >= end)
    }

    /// Lets backfills go on.
    fn feed(&self) {
        if self.shared().feeds.load(Ordering::Relaxed) {
            self.shared().feed(self.now);
        }
    }

    /// Leaves what is still due to the next poll.
    fn put_off(&mut self) {
        let now = self.now;
        let put_off = self.shared().with(|table| {
            table.put_off = None;
            let (jobs, first) = table.due(now).filter(|_| !table.rests())?;
            table.put_off = Some(now.wall);
            table.tell(|_| Event::PutOff { jobs, first });
            Some(jobs)
        });
        self.tick.put_off = put_off.map_or(0, |jobs| jobs as u32);
    }

    /// What came back from the background, in the order in which it did.
    fn take_in(&mut self) {
        let shared = self.shared();
        let many = shared.table.lock().returned.len();
        for _ in 0..many {
            self.came_back();
            let Some(end) = self.budget_ends else { continue };
            self.read = shared.clock.monotonic();
            // The others come at the next poll; here one job still starts.
            if self.read >= end {
                return;
            }
        }
        if many > 0 && self.budget_ends.is_none() {
            self.read = shared.clock.monotonic();
        }
    }

    /// Takes in the first of those that came back.
    fn came_back(&mut self) {
        let now = self.now;
        let taken = self.shared().with(|table| {
            let Returned { serial, how, waited, took, ended, .. } = table.returned.pop()?;
            let yields = matches!(how, How::Called(Ok((Outcome::Yield, _))));
            let errand = table.away.remove(&serial)?;
            let id = errand.id;
            table.limits.room_may_be_free();
            let attempt = table.get_mut(id).and_then(|job| {
                let place = job.live.iter().position(|live| live.serial == serial)?;
                Some(job.besides.live.swap_remove(place).attempt)
            });
            // A run that has more to do keeps what it holds.
            if !(yields && attempt.is_some()) {
                table.give_back(&errand.limits, true, now.elapsed);
            }
            table.let_on(super::limits::ROOM, now.elapsed);
            let Some(mut attempt) = attempt else {
                table.tell(|_| Event::Stray { id, name: errand.name.clone(), took });
                return Some((how, now.elapsed, errand, None));
            };
            attempt.ends = attempt.ends.or(errand.ends);
            attempt.took = attempt.took.saturating_add(took);
            let limit = attempt.rules.as_ref().and_then(|rules| rules.timeout);
            let facts = &mut attempt.view.facts;
            if facts.turn == 0 {
                if waited >= Duration::from_millis(1) {
                    table.lateness.add(waited, LateBy::Pool);
                }
                if waited > facts.late {
                    facts.late_by = LateBy::Pool;
                }
                facts.late = facts.late.saturating_add(waited);
                // Its time counts from its real beginning.
                let began = errand.signals.began_elapsed().unwrap_or(ended);
                attempt.ends = limit.map(|limit| began.saturating_add(length(limit)));
            }
            facts.turn = facts.turn.saturating_add(u32::from(yields));
            let name = facts.name.clone();
            let due = facts.due;
            if let Some(limit) = limit.filter(|_| !yields && attempt.ends.is_some_and(|ends| ended > ends)) {
                table.tell(|_| Event::TimedOut { id, name, due, limit });
            }
            table.requeue(id);
            Some((how, ended, errand, Some(attempt)))
        });
        let Some((how, ended, errand, attempt)) = taken else { return };
        self.tick.returned += 1;
        let begun = errand.signals.began().is_some();
        drop_quietly(errand);
        let Some(mut attempt) = attempt else { return drop_quietly(how) };
        if let (How::Stopped, false) = (&how, begun) {
            match self.shared().with(|table| table.not_begun(attempt)) {
                None => return self.catch_up(),
                Some(back) => attempt = back,
            }
        }
        let ending = match how {
            How::Called(called) => Ending::of(called),
            How::Panicked(message) => Ending::Failed(FailureKind::Panic(message)),
            How::Lost => Ending::Failed(FailureKind::Lost),
            How::Stopped => Ending::Stopped,
        };
        self.conclude(attempt, ending, ended, None);
    }

    /// What is to be done next, unless the budget is spent.
    fn next_step(&mut self) -> Option<Step<C>> {
        let (shared, moment) = (self.shared(), self.moment());
        let (back, is_spent) = (self.back.take(), self.is_spent());
        let (leavings, step) = shared.with(|table| {
            let leavings = back.map(|back| table.comes_back(back));
            let goes_on = !is_spent && !leavings.as_ref().is_some_and(|left| left.is_slow);
            (leavings, goes_on.then(|| table.step(moment)))
        });
        drop_quietly(leavings);
        if is_spent {
            self.put_off();
            return None;
        }
        match step.unwrap_or_else(|| shared.with(|table| table.step(moment))) {
            Step::Nothing => None,
            step => Some(step),
        }
    }

    fn take(&mut self, step: Step<C>, host: &mut C) {
        let shared = self.shared();
        match step {
            Step::Nothing => {}
            Step::Looked => {
                self.moved = true;
                self.read = shared.clock.monotonic();
            }
            Step::Call(call) => self.call(call, host),
            Step::Write(batch) => self.write(batch),
            Step::Read { id, name } => {
                self.moved = true;
                self.read_record(id, &name);
                self.read = shared.clock.monotonic();
            }
            Step::HandOver(hand_over) => self.hand_over(*hand_over),
            Step::TimedOut(timed_out) => self.timed_out(timed_out),
            Step::AskSchedule { id, plan, due, ungated } => {
                let decided = caught(|| plan.decide(due, self.now));
                drop_quietly(plan);
                self.read = shared.clock.monotonic();
                let moment = self.moment();
                let step = match decided {
                    Ok(verdict) => shared.with(|table| table.decided(id, due, verdict, ungated, moment)),
                    Err(said) => {
                        // It cannot be relied on any more: the job ends, and says why.
                        self.told_failure(id, due, FailureKind::Panic(format!("in its schedule: {said}")));
                        shared.with(|table| table.remove(id, RemoveReason::Panicked));
                        None
                    }
                };
                self.take_or_move(step, host);
            }
            Step::AskCondition { id, condition, late, due } => {
                let answer = caught(|| condition(late)).unwrap_or_else(|said| {
                    self.told_failure(id, self.now.wall, FailureKind::Panic(format!("in its condition: {said}")));
                    Some(BlockedBy::Condition)
                });
                drop_quietly(condition);
                self.read = shared.clock.monotonic();
                let moment = self.moment();
                let step = shared.with(|table| table.answered(id, answer, due, moment));
                self.take_or_move(step, host);
            }
        }
    }

    /// Takes what followed from asking code of the user's own. If nothing did, the time it took may have spent the budget.
    fn take_or_move(&mut self, step: Option<Step<C>>, host: &mut C) {
        let done = |tick: &Tick| (tick.ran, tick.handed);
        let before = done(&self.tick);
        if let Some(step) = step {
            self.take(step, host);
        }
        self.moved |= done(&self.tick) == before;
    }

    /// Writes to the store, which answers now or later.
    fn write(&mut self, batch: Batch) {
        let shared = self.shared();
        if let Some(store) = &shared.store {
            if shared.is_shared {
                let (now, time) = (self.now, Claim::time(&*shared.clock));
                shared.with(|table| table.sent_at(now, time));
            }
            let home: Arc<dyn Home> = self.scheduler.0.clone();
            let home = Arc::downgrade(&home);
            let done = Done::new(move |answer| {
                if let Some(home) = home.upgrade() {
                    home.written(answer);
                }
            });
            // A store that panics has dropped the answer, and so given one.
            let _ = caught(|| store.write(batch, done));
        }
        self.take_answer();
        self.read = shared.clock.monotonic();
    }

    /// Takes the store's answer in, if it has come.
    fn take_answer(&mut self) {
        let (shared, now) = (self.shared(), self.now);
        let outdated = shared.with(|table| table.take_answer(now));
        outdated.into_iter().for_each(|(id, name)| self.read_record(id, &name));
    }

    /// Takes in what another process wrote of a job.
    fn read_record(&mut self, id: JobId, name: &str) {
        let (shared, now) = (self.shared(), self.now);
        let Some(store) = &shared.store else { return };
        let read = caught(|| store.load(name)).unwrap_or(Err(StoreError::Unanswered));
        let here = shared.now();
        shared.with(|table| table.adopt(id, read, now, here));
    }

    /// Something of a job's besides its runs went wrong.
    fn told_failure(&self, id: JobId, due: i64, kind: FailureKind) {
        let name = self.shared().table.lock().get(id).and_then(|job| job.name.clone());
        self.shared().tell(&[Event::Failed(Failure { id, name, due: from_nanos(due), attempt: 1, kind })]);
    }

    fn call(&mut self, call: Call<C>, host: &mut C) {
        let shared = self.shared();
        let Call { mut body, mut attempt, merged, is_plain } = call;
        let id = attempt.view.facts.id;
        // Observers of its start have taken their time.
        self.catch_up();
        let began = self.read;
        if let Some(limit) = attempt.rules.as_ref().and_then(|rules| rules.timeout).filter(|_| attempt.view.facts.turn == 0) {
            attempt.ends = Some(self.elapsed_at(began).saturating_add(length(limit)));
        }
        attempt.view.limit = attempt.ends.map(|ends| {
            let left = Duration::from_nanos(ends.saturating_sub(self.elapsed_at(began)).max(0).unsigned_abs());
            TimeLimit { clock: shared.clock.clone(), ends: began.saturating_add(left) }
        });
        let followed = attempt.after.as_ref().and_then(|after| after.value.clone());
        let mut run =
            Run { view: &attempt.view, host, scheduler: self.scheduler, budget_ends: self.budget_ends, is_told: !is_plain };
        let called = caught(|| body(&mut run, followed));
        let ended = shared.clock.monotonic();
        attempt.took = attempt.took.saturating_add(ended.saturating_sub(began));
        self.read = ended;
        self.moved = true;
        self.tick.ran += 1;
        self.tick.merged += u32::from(merged);
        let ending = match called {
            Ok(called) => Ending::of(called),
            Err(said) => Ending::Failed(FailureKind::Panic(said)),
        };
        let goes_on = matches!(ending, Ending::Yield);
        if goes_on {
            attempt.view.facts.turn = attempt.view.facts.turn.saturating_add(1);
        }
        let over = self.budget_ends.and_then(|end| ended.checked_sub(end)).filter(|by| !by.is_zero());
        if let Some(by) = over {
            self.tick.overran = Some(Overrun { id, by });
        }
        let late = attempt.ends.is_some_and(|ends| !goes_on && self.elapsed_at(ended) > ends);
        if over.is_some() || late {
            let limit = attempt.rules.as_ref().and_then(|rules| rules.timeout).filter(|_| late);
            let (name, due) = (attempt.view.facts.name.clone(), attempt.view.facts.due);
            let overran = over.map(|by| Event::Overran { id, name: name.clone(), by });
            let timed_out = limit.map(|limit| Event::TimedOut { id, name, due, limit });
            shared.with(|table| overran.into_iter().chain(timed_out).for_each(|event| table.tell(|_| event)));
        }
        let ended = self.elapsed_at(ended);
        match ending {
            Ending::Done(value) if is_plain => self.back = Some(Back { body, attempt, value, ended }),
            ending => self.conclude(attempt, ending, ended, Some(body)),
        }
    }

    fn hand_over(&mut self, hand_over: HandOver) {
        let shared = self.shared();
        let HandOver { id, serial, launcher, view, value, timeout, merged, origin, before } = hand_over;
        self.catch_up();
        let away = Away {
            view: view.clone(),
            value,
            timeout,
            handed: self.read,
            seen: shared.way.seen(self.now),
            serial,
            first: None,
            way: Some(shared.way.clone()),
        };
        let now = self.now;
        let handed = caught(|| launcher(away));
        drop_quietly(launcher);
        match handed {
            Ok(Err(work)) => {
                view.signals.refuse();
                shared.with(|table| table.refused(id, serial, origin, before, now));
                drop_quietly(work);
            }
            _ => {
                drop_quietly(origin);
                self.tick.handed += 1;
                self.tick.merged += u32::from(merged);
                self.moved = true;
                shared.with(|table| {
                    table.announce(&view.facts);
                    // There may be room for more.
                    table.let_on(super::limits::ROOM, now.elapsed);
                });
            }
        }
        self.read = shared.clock.monotonic();
    }

    fn timed_out(&mut self, timed_out: TimedOut) {
        let TimedOut { attempt, limit } = timed_out;
        let facts = &attempt.view.facts;
        let (id, name, due) = (facts.id, facts.name.clone(), facts.due);
        self.shared().with(|table| table.tell(|_| Event::TimedOut { id, name, due, limit }));
        let now = self.now.elapsed;
        self.conclude(attempt, Ending::Failed(FailureKind::TimedOut(limit)), now, None);
        self.moved = true;
    }

    /// What becomes of an attempt that has ended, at an instant of elapsed time.
    ///
    /// One that was called on this thread brings what was called back, in the same hold of the lock.
    #[inline]
    fn conclude(&mut self, mut attempt: Box<Attempt>, ending: Ending, ended: i64, mut called: Option<Inline<C>>) {
        let shared = self.shared();
        let id = attempt.view.facts.id;
        let (end, value, cancels, kind) = match ending {
            Ending::Yield => {
                let orphan = shared.with(|table| {
                    let orphan = called.and_then(|body| table.called_back(id, body, &attempt, true));
                    table.yielded(id, attempt, ended);
                    orphan
                });
                drop_quietly(orphan);
                return self.catch_up();
            }
            Ending::Done(value) => (RunEnd::Done, value, false, None),
            Ending::AlreadyDone(value) => (RunEnd::AlreadyDone, value, false, None),
            Ending::Cancel(value) => (RunEnd::Done, value, true, None),
            Ending::Stopped => (RunEnd::Stopped, None, false, None),
            Ending::Failed(kind) => (kind.end(), None, false, Some(kind)),
        };
        let mut failure = None;
        if let Some(kind) = kind {
            if shared.store.is_some() {
                attempt.error = Some(text_of(&kind).into());
            }
            self.tick.failed += 1;
            let facts = &attempt.view.facts;
            let told = Failure { id, name: facts.name.clone(), due: facts.due, attempt: facts.attempt, kind };
            let wait = self.wait_before_next(&attempt, &told);
            if shared.watched.load(Ordering::Relaxed) {
                shared.tell(&[Event::Failed(told.clone())]);
            }
            if let Some(wait) = wait {
                let kept = told.clone();
                let (orphan, back) = shared.with(|table| {
                    let orphan = called.take().and_then(|body| table.called_back(id, body, &attempt, false));
                    (orphan, table.failed(id, attempt, told, wait, ended))
                });
                drop_quietly((orphan, kept));
                match back {
                    None => return self.catch_up(),
                    Some((back, told)) => {
                        attempt = back;
                        failure = Some(told);
                    }
                }
            } else {
                failure = Some(told);
            }
        }
        // The last hold on what is the user's must not go while the lock is held.
        let kept = (failure.clone(), value.clone());
        let orphan = shared.with(|table| {
            let orphan = called.and_then(|body| table.called_back(id, body, &attempt, false));
            table.finish(End { attempt, end, value, failure, cancels, ended });
            orphan
        });
        drop_quietly((orphan, kept));
        self.catch_up();
    }

    /// Reads the clock again if observers may have taken their time.
    fn catch_up(&mut self) {
        if self.shared().watched.load(Ordering::Relaxed) {
            self.read = self.shared().clock.monotonic();
        }
    }

    /// How long a run that failed waits before it is tried again, if it is.
    fn wait_before_next(&mut self, attempt: &Attempt, failure: &Failure) -> Option<i64> {
        let rules = attempt.rules.as_ref().filter(|_| !attempt.view.is_lost())?;
        let retry = rules.retry.as_ref().filter(|retry| attempt.view.facts.attempt <= retry.most)?;
        if let Some(only) = &retry.only {
            // One that panics says nothing for another attempt.
            let worth = caught(|| only(failure)).unwrap_or(false);
            self.read = self.shared().clock.monotonic();
            if !worth {
                return None;
            }
        }
        let facts = &attempt.view.facts;
        let failed = facts.attempt;
        let due = facts.due.timestamp_nanos_opt().unwrap_or_default().unsigned_abs();
        let draw = mix(mix(mix(self.shared().seed, facts.id.order), due), failed.into());
        Some(retry.backoff.wait(failed, draw))
    }

    fn tick(&self) -> Tick {
        let shared = self.shared();
        let now = shared.now();
        let table = shared.table.lock();
        let Tick { left, next, .. } = Tick::quiet(table.idle(now), table.placed(), false);
        Tick { left, next, ..self.tick }
    }
}

/// How an attempt ended.
enum Ending {
    Done(Option<Value>),
    AlreadyDone(Option<Value>),
    Cancel(Option<Value>),
    Yield,
    Failed(FailureKind),
    Stopped,
}

impl Ending {
    fn of(called: Called) -> Self {
        match called {
            Ok((Outcome::Yield, _)) => Ending::Yield,
            Ok((Outcome::Retry, _)) => Ending::Failed(FailureKind::Retry),
            Ok((Outcome::AlreadyDone, value)) => Ending::AlreadyDone(value),
            Ok((Outcome::Cancel, value)) => Ending::Cancel(value),
            Ok((Outcome::Done, value)) => Ending::Done(value),
            Err(error) => Ending::Failed(FailureKind::Error(error)),
        }
    }
}
