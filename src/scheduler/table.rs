//! The jobs of a scheduler and their due times: what its lock guards. No code of the user's own runs in here.
//!
//! This file holds the bookkeeping: who is there, in which place, who comes and goes. [`step`](super::step) finds out what
//! is to be done next, [`ending`](super::ending) takes in how runs end.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use super::awaited::Awaited;
use super::away::Returns;
use super::entry::{
    AskedBy, Attempt, Besides, Block, BlockedBy, Chain, Followed, Job, Live, On, Rest, Rules, State, Unrun, Waiting,
};
use super::keep::Keeping;
use super::limits::{Allows, LimitId, Limits, ROOM};
use super::part::Parting;
use super::plan::{Plan, Scale};
use super::slots::Slots;
use super::summary::Lateness;
use crate::caught::{caught, drop_quietly};
use crate::clock::{Now, Watch};
use crate::error::Error;
use crate::event::{DropReason, Event, Failure, RemoveReason};
use crate::history::History;
use crate::id::JobId;
use crate::job::{Epitaph, JobSnapshot};
use crate::queue::{Rank, Timeline};
use crate::run::{RunView, Signals};
use crate::schedule::{Today, from_nanos};
use crate::sync::thread::{self, ThreadId};

/// Of jobs due at the same instant, those that are taken up again come after those that begin.
pub(super) const AFTER_ALL_JOBS: u64 = 1 << 63;

/// How many occurrences that did not become runs are remembered of each job.
const REMEMBERED: usize = 16;

pub(super) struct Table<C> {
    pub(super) jobs: Slots<Job<C>>,
    count: usize,
    elapsed: Timeline,
    wall: Timeline,
    /// How many jobs are in either queue.
    placed: usize,
    pub(super) limits: Limits,
    /// What concerns the store, if there is one.
    pub(super) keeping: Option<Box<Keeping>>,
    /// Runs in the background that have not returned, by their serial, and those that have.
    pub(super) away: HashMap<u64, Errand>,
    pub(super) returned: Returns,
    /// Until when jobs were due, by the wall clock, that the last poll put off.
    pub(super) put_off: Option<i64>,
    /// When it began, in elapsed time.
    pub(super) began: i64,
    /// When the last poll was, in elapsed time.
    pub(super) polled: i64,
    pub(super) lateness: Lateness,
    /// The order of the next registration.
    order: u64,
    /// How often a run has yielded.
    pub(super) turns: u64,
    /// The last number given to a run.
    pub(super) serial: u64,
    /// An attempt that is over and held nothing of the user's: the next one takes its place in memory.
    pub(super) spare: Option<Box<Attempt>>,
    /// The same for the lane of plain jobs.
    pub(super) lane: Option<Box<Attempt>>,
    pub(super) today: Today,
    pub(super) paused: bool,
    /// Shut down: no further run starts, and none is registered.
    pub(super) closed: bool,
    /// The wall clock is not right yet: nothing runs, and nothing is written.
    pub(super) awaited: Option<Awaited>,
    /// Whether anybody watches, so that there is something to tell.
    pub(super) observed: bool,
    /// Jobs removed while they were being called.
    pub(super) departed: Vec<Departed>,
    /// How often something was asked for from outside, and whether a wait is to end for nothing else.
    pub(super) news: u64,
    pub(super) woken: bool,
    pub(super) watch: Watch,
    /// When the last [glance](super::glance) was, if it still holds.
    pub(super) glanced: Option<Now>,
    /// While a poll goes on: whose it is.
    pub(super) poller: Option<ThreadId>,
    /// Of which instant of elapsed time the last one was.
    pub(super) poll_at: i64,
    /// How many polls there were.
    pub(super) polls: u64,
    /// While a poll goes on: jobs that it may not run any more.
    held: Vec<JobId>,
    /// Jobs that were over as they were registered, since they had their last run in an earlier process.
    over: Vec<JobId>,
    /// The jobs that have a backfill.
    pub(super) filling: Vec<JobId>,
    /// Up to which news they have gone on.
    pub(super) fed: u64,
    /// While a poll goes on: whether another thread asked for something.
    asked_elsewhere: bool,
    /// What is done once the lock is free: things of the user's to be dropped, wakers to be woken, events to be told.
    pub(super) after: After<C>,
}

/// A run in the background.
pub(super) struct Errand {
    pub(super) id: JobId,
    pub(super) name: Option<Arc<str>>,
    pub(super) limits: Box<[LimitId]>,
    pub(super) signals: Arc<Signals>,
    /// Its time limit, if it was found to have ended before anybody could say that it was up.
    pub(super) ends: Option<i64>,
}

/// A job that was removed while it was being called.
pub(super) struct Departed {
    pub(super) id: JobId,
    pub(super) history: History,
    pub(super) epitaph: Arc<dyn Epitaph>,
    pub(super) parting: Option<Parting>,
}

/// What is left to do once the lock is free.
pub(super) struct After<C> {
    pub(super) jobs: Vec<Job<C>>,
    #[expect(clippy::vec_box, reason = "they are boxed before they come here")]
    pub(super) attempts: Vec<Box<Attempt>>,
    pub(super) followed: Vec<Followed>,
    pub(super) failures: Vec<Failure>,
    pub(super) wakers: Vec<Waker>,
    pub(super) events: Vec<Event>,
    pub(super) asks: Vec<Ask>,
}

/// A job whose schedule is to be asked anew: it may have code of the user's own.
pub(super) struct Ask {
    pub(super) id: JobId,
    pub(super) plan: Plan,
    /// From this instant on its scale.
    pub(super) from: i64,
    /// Whether it follows the clock anew, since that was wrong before.
    pub(super) reanchored: bool,
}

impl<C> Default for After<C> {
    fn default() -> Self {
        After {
            jobs: Vec::new(),
            attempts: Vec::new(),
            followed: Vec::new(),
            failures: Vec::new(),
            wakers: Vec::new(),
            events: Vec::new(),
            asks: Vec::new(),
        }
    }
}

impl<C> After<C> {
    /// Wakes those that are to be woken and drops what is the user's; whatever panics in it goes no further. Gives what is to be
    /// told and asked.
    pub(super) fn wake_and_drop(self) -> (Vec<Event>, Vec<Ask>) {
        let After { jobs, attempts, followed, failures, wakers, events, asks } = self;
        wakers.into_iter().for_each(|waker| drop(caught(|| waker.wake())));
        jobs.into_iter().for_each(drop_quietly);
        attempts.into_iter().for_each(drop_quietly);
        followed.into_iter().for_each(drop_quietly);
        failures.into_iter().for_each(drop_quietly);
        (events, asks)
    }

    pub(super) fn is_empty(&self) -> bool {
        let After { jobs, attempts, followed, failures, wakers, events, asks } = self;
        jobs.is_empty()
            && attempts.is_empty()
            && followed.is_empty()
            && failures.is_empty()
            && wakers.is_empty()
            && events.is_empty()
            && asks.is_empty()
    }
}

impl<C> Table<C> {
    pub(super) fn new(watch: Watch, awaited: Option<Awaited>, keeping: Option<Box<Keeping>>, returned: Returns) -> Self {
        let began = watch.last().elapsed;
        Table {
            jobs: Slots::new(),
            count: 0,
            elapsed: Timeline::default(),
            wall: Timeline::default(),
            placed: 0,
            limits: Limits::default(),
            keeping,
            away: HashMap::new(),
            returned,
            put_off: None,
            began,
            polled: began,
            lateness: Lateness::default(),
            order: 1,
            turns: 0,
            serial: 0,
            spare: None,
            lane: None,
            today: Today::default(),
            paused: false,
            closed: false,
            awaited,
            observed: false,
            departed: Vec::new(),
            news: 0,
            woken: false,
            watch,
            glanced: None,
            poller: None,
            poll_at: began,
            polls: 0,
            held: Vec::new(),
            over: Vec::new(),
            filling: Vec::new(),
            fed: 0,
            asked_elsewhere: false,
            after: After::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, id: JobId) -> Option<&Job<C>> {
        self.jobs.get(id.slot).filter(|job| job.id == id)
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut Job<C>> {
        self.jobs.get_mut(id.slot).filter(|job| job.id == id)
    }

    /// A job that is there and is not retired.
    pub(super) fn staying(&self, id: JobId) -> Option<&Job<C>> {
        self.get(id).filter(|job| !job.is_retired())
    }

    pub(super) fn at(&self, slot: u32) -> Option<&Job<C>> {
        self.jobs.get(slot)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Job<C>> {
        self.jobs.iter()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Job<C>> {
        self.jobs.iter_mut()
    }

    /// The jobs in order of registration.
    pub(super) fn ids(&self, tag: Option<&str>) -> Vec<JobId> {
        let tagged = |job: &&Job<C>| tag.is_none_or(|tag| job.tags.iter().any(|own| own == tag));
        let mut ids: Vec<JobId> = self.all().filter(tagged).map(|job| job.id).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn snapshot(&self, id: JobId, now: Now) -> Option<JobSnapshot> {
        self.get(id).map(|job| job.snapshot(now, |limit| self.limits.name(limit)))
    }

    /// Something to tell, if anybody listens.
    pub(super) fn tell(&mut self, event: impl FnOnce(&Self) -> Event) {
        if self.observed {
            let event = event(self);
            self.after.events.push(event);
        }
    }

    /// A fresh id, whose slot is taken.
    pub(super) fn reserve(&mut self) -> JobId {
        let id = JobId { order: self.order, slot: self.jobs.reserve() };
        self.order += 1;
        id
    }

    /// Gives a reserved id back.
    pub(super) fn release(&mut self, id: JobId) {
        self.jobs.release(id.slot);
    }

    /// Takes a job in, unless nothing more is taken or a job is gone that it would follow; then it is left where it is.
    pub(super) fn admit(&mut self, job: &mut Option<Job<C>>, limits: &[(Arc<str>, Allows)]) -> Result<(), Error> {
        let Some(candidate) = job.as_mut() else { return Ok(()) };
        let orphan = candidate.chain.as_ref().is_some_and(|chain| chain.upstreams.iter().any(|id| self.get(*id).is_none()));
        let limits = match () {
            () if self.closed => Err(Error::ShutDown),
            () if orphan => Err(Error::JobGone),
            () if self.is_taken(candidate) => {
                Err(Error::NameTaken { name: candidate.name.as_deref().unwrap_or_default().to_owned() })
            }
            () => self.limits.join(limits, self.watch.last().elapsed),
        };
        let limits = match limits {
            Ok(limits) => limits,
            Err(error) => {
                self.release(candidate.id);
                return Err(error);
            }
        };
        // A run of an earlier process that it carries on with shares its rules.
        if let Some(Besides { live, rules, .. }) = candidate.besides.used() {
            live.iter_mut().for_each(|live| live.attempt.rules = None);
            if let Some(rules) = rules.as_mut().and_then(Arc::get_mut) {
                rules.limits = limits;
            }
            live.iter_mut().for_each(|live| live.attempt.rules.clone_from(rules));
        }
        if let Some(job) = job.take() {
            self.insert(job);
        }
        Ok(())
    }

    fn insert(&mut self, job: Job<C>) {
        let id = job.id;
        let name = job.name.clone();
        for upstream in job.chain.iter().flat_map(|chain| chain.upstreams.clone()) {
            let upstream = self.get_mut(upstream).filter(|job| job.followers.last() != Some(&id));
            if let Some(upstream) = upstream {
                upstream.besides.followers.push(id);
            }
        }
        self.is_named(&job);
        self.jobs.put(id.slot, job);
        self.count += 1;
        self.tell(|_| Event::Registered { id, name });
        self.touch(id);
        self.has_done(id);
        self.asked(id);
    }

    /// Something was asked for from outside: a job goes to its place, and those that wait are told.
    pub(super) fn asked(&mut self, id: JobId) {
        self.news += 1;
        self.asked_elsewhere |= self.poller.is_some() && !self.is_polled_here();
        self.hold(id);
    }

    /// Lets no further run start, and asks those that go on to stop.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for id in std::mem::take(&mut self.filling) {
            self.end_filling(id);
        }
        // What only waits for another attempt has nothing to wait for any more.
        let now = self.watch.last();
        let rests = |job: &Job<C>| {
            job.live.iter().position(|live| match live.state {
                // What is kept carries on in the next process.
                State::Again { .. } => job.kept.is_none(),
                State::Yielded { .. } => job.is_away(),
                // One that is about to start is not begun.
                State::Away | State::Starting(_) => false,
            })
        };
        self.none_starts(now);
        let resting: Vec<JobId> = self.all().filter(|job| rests(job).is_some()).map(|job| job.id).collect();
        for id in resting {
            while let Some(place) = self.get(id).and_then(rests) {
                self.give_up(id, place, now);
            }
            self.remove_if_over(id);
        }
        let between = |job: &&Job<C>| job.running || job.live.iter().any(|live| matches!(live.state, State::Yielded { .. }));
        let running = self.jobs.iter().filter(between).filter_map(Job::stop);
        let away = self.away.values().filter_map(|errand| errand.signals.stop());
        self.after.wakers.extend(running.chain(away));
    }

    /// Whether the poll that goes on is this thread's.
    pub(super) fn is_polled_here(&self) -> bool {
        self.poller == Some(thread::current().id())
    }

    /// The jobs of which a run has not ended: that goes on, has more to do at a later poll, or was given up and goes on all the
    /// same.
    pub(super) fn unended(&self, now: Now) -> Vec<JobSnapshot> {
        let out = self.away.iter().filter(|(serial, _)| !self.returned.holds(**serial)).map(|(_, errand)| errand);
        let mut ids: Vec<JobId> = self.all().filter(|job| job.is_running()).map(|job| job.id).collect();
        let mut gone: Vec<JobSnapshot> = Vec::new();
        for errand in out {
            match self.get(errand.id) {
                Some(_) => ids.push(errand.id),
                None => gone.push(JobSnapshot::of_gone(errand.id, errand.name.clone())),
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let mut all: Vec<JobSnapshot> = ids.into_iter().filter_map(|id| self.snapshot(id, now)).collect();
        all.append(&mut gone);
        all.sort_by_key(|job| job.id);
        all.dedup_by_key(|job| job.id);
        all
    }

    /// Puts a job in its queues, in its place; from outside, or when no more can come of it in this poll.
    pub(super) fn requeue(&mut self, id: JobId) {
        self.touch(id);
        let Some(job) = self.get(id).filter(|job| !job.held) else { return };
        let (soon, scheduled, slack, scale) = (job.soon(), job.scheduled(), job.slack(), job.scale());
        let priority = job.priority;
        let soon = soon.map(|(due, order)| Rank { due, priority, order });
        let scheduled = scheduled.map(|due| Rank { due, priority, order: id.order });
        let opens = job.block.as_ref().and_then(|block| block.wall).filter(|_| !job.is_paused());
        let opens = opens.map(|due| Rank { due, priority, order: id.order });
        // What is not of the schedule has no slack.
        let (elapsed, wall) = match scale {
            Scale::Elapsed => match (soon, scheduled) {
                (Some(soon), Some(scheduled)) if scheduled < soon => ((Some(scheduled), 0), (opens, 0)),
                (None, scheduled) => ((scheduled, slack), (opens, 0)),
                (soon, _) => ((soon, 0), (opens, 0)),
            },
            Scale::Wall => ((soon, 0), (scheduled.or(opens), if scheduled.is_some() { slack } else { 0 })),
        };
        self.place(id.slot, elapsed, wall);
    }

    pub(super) fn place(&mut self, slot: u32, elapsed: (Option<Rank>, i64), wall: (Option<Rank>, i64)) {
        let was = self.elapsed.contains(slot) || self.wall.contains(slot);
        let is = elapsed.0.is_some() || wall.0.is_some();
        self.elapsed.place(slot, elapsed.0, elapsed.1);
        self.wall.place(slot, wall.0, wall.1);
        self.placed = self.placed + usize::from(is) - usize::from(was);
    }

    /// The same for the first of its queue, which has no slack.
    pub(super) fn place_first(&mut self, slot: u32, scale: Scale, rank: Rank) {
        let timeline = if scale == Scale::Elapsed { &mut self.elapsed } else { &mut self.wall };
        if !timeline.first_moves(slot, rank) {
            timeline.place(slot, Some(rank), 0);
        }
    }

    pub(super) fn unplace(&mut self, slot: u32) {
        self.place(slot, (None, 0), (None, 0));
    }

    /// The same, but not before the next poll: whatever comes up for the job until then waits.
    pub(super) fn hold(&mut self, id: JobId) {
        if self.poller.is_none() {
            return self.requeue(id);
        }
        let Some(job) = self.get_mut(id).filter(|job| !job.held) else { return };
        job.held = true;
        self.unplace(id.slot);
        self.held.push(id);
    }

    /// The instant of elapsed time at which something happens: all that does in a poll, at the poll's.
    pub(super) fn here(&self) -> i64 {
        if self.poller.is_some() { self.poll_at } else { self.watch.last().elapsed }
    }

    pub(super) fn begin_poll(&mut self) {
        self.poller = Some(thread::current().id());
        self.polls += 1;
        std::mem::take(&mut self.over).into_iter().for_each(|id| self.remove_if_over(id));
    }

    /// Whom a limit lets on by now comes by its due time, not by the instant from which it is let on.
    pub(super) fn let_on_by(&mut self, now: Now) {
        for limit in self.limits.timed() {
            self.let_on(limit, now.elapsed);
        }
    }

    pub(super) fn end_poll(&mut self) {
        self.poller = None;
        // What another thread asked for meanwhile comes up only now.
        self.news += u64::from(std::mem::take(&mut self.asked_elsewhere));
        for id in std::mem::take(&mut self.held) {
            if let Some(job) = self.get_mut(id) {
                job.held = false;
            }
            self.requeue(id);
        }
    }

    /// Takes a job off the table; its followers go once they have nothing left to follow.
    pub(super) fn remove(&mut self, id: JobId, because: RemoveReason) -> bool {
        let (mut first, mut leaving) = (Some((id, because)), Vec::new());
        let mut was_there = false;
        while let Some((id, because)) = first.take().or_else(|| leaving.pop()) {
            self.end_runs(id);
            let Some(job) = self.take_off(id, because) else { continue };
            was_there = true;
            for follower in &job.followers {
                let Some(other) = self.get_mut(*follower) else { continue };
                if let Some(chain) = other.chain_mut() {
                    chain.upstreams.retain(|upstream| *upstream != id);
                }
                if other.is_over() {
                    leaving.push((*follower, RemoveReason::Upstream(id)));
                }
            }
            // One alone, mostly, and a block of several is no small one to the allocator.
            if self.after.jobs.capacity() == 0 {
                self.after.jobs.reserve_exact(1);
            }
            self.after.jobs.push(job);
        }
        was_there
    }

    fn take_off(&mut self, id: JobId, because: RemoveReason) -> Option<Job<C>> {
        self.get(id)?;
        let mut job = self.jobs.take(id.slot)?;
        self.unplace(id.slot);
        self.count -= 1;
        // A backfill whose runs it would have followed may have room.
        self.news += u64::from(!self.filling.is_empty());
        let now = self.watch.last();
        if let Some(Block { by: BlockedBy::Limit(limit, rank), .. }) = job.block.as_deref() {
            for limit in lines(*limit, job.rules.as_deref()) {
                self.limits.leave_line(limit, *rank, id.slot);
                self.let_on(limit, now.elapsed);
            }
        }
        if job.running {
            self.after.wakers.extend(job.stop());
            // Its run is counted when it ends.
            let parting = self.parting(&mut job, now);
            self.departed.push(Departed { id, history: job.history.clone(), epitaph: job.epitaph.clone(), parting });
        } else if let Some(parting) = self.parting(&mut job, now) {
            self.part(parting);
        }
        self.limits.leave(job.limits(), now.elapsed);
        for limit in job.limits() {
            self.let_on(*limit, now.elapsed);
        }
        job.epitaph.write(std::mem::take(&mut job.history));
        let name = job.name.clone();
        self.tell(|_| Event::Removed { id, name, because });
        for upstream in job.chain.iter().flat_map(|chain| &chain.upstreams) {
            if let Some(upstream) = self.get_mut(*upstream) {
                upstream.besides.followers.retain(|follower| *follower != id);
            }
        }
        Some(job)
    }

    /// A run that is given up: in the background it is told to stop, and keeps its limits until it really ends.
    pub(super) fn let_go(&mut self, live: &Live, now: Now) {
        match &live.state {
            // Between two turns it holds them too.
            State::Yielded { .. } => {
                self.give_back(live.attempt.limits(), true, now.elapsed);
                self.stop(&live.attempt);
            }
            State::Away => self.stop(&live.attempt),
            State::Starting(_) => self.give_back(live.attempt.limits(), true, now.elapsed),
            State::Again { .. } => {}
        }
    }

    /// Tells a run to stop, and whoever has its token. The job's next one has signals of its own.
    fn stop(&mut self, attempt: &Attempt) {
        let RunView { facts, signals, .. } = &attempt.view;
        self.after.wakers.extend(signals.stop());
        if let Some(job) = self.get_mut(facts.id) {
            job.gives_up(signals);
        }
    }

    /// A job that is over as it is registered leaves at the next poll: until then others may be registered that follow it, and
    /// find what it left them.
    pub(super) fn leaves_if_over(&mut self, id: JobId) {
        if self.get(id).is_some_and(Job::is_over) {
            self.over.push(id);
        }
    }

    pub(super) fn remove_if_over(&mut self, id: JobId) {
        let Some(job) = self.get(id).filter(|job| job.is_over()) else { return };
        let because = if job.is_retired() { RemoveReason::Retired } else { RemoveReason::Over };
        self.remove(id, because);
    }

    /// Cancels a job; whether there was a further run to take away. A job on its last one has none.
    pub(super) fn cancel(&mut self, id: JobId) -> bool {
        let more = self.get(id).is_some_and(Job::has_more);
        self.remove(id, RemoveReason::Cancelled) && more
    }

    /// Lets no further run of a job begin; it leaves once those that go on have ended. Whether it was there to stay.
    pub(super) fn retire(&mut self, id: JobId) -> bool {
        let Some(job) = self.get_mut(id).filter(|job| !job.is_retired()) else { return false };
        job.rest = Rest::Retired { was_paused: job.is_paused() };
        job.next = None;
        self.end_filling(id);
        self.retires(id);
        true
    }

    /// What waits of a job that is retired goes, without a word as when it is cancelled; and the job, if no run of it goes on.
    pub(super) fn retires(&mut self, id: JobId) {
        let now = Now { elapsed: self.here(), ..self.watch.last() };
        if self.get(id).is_some_and(Job::is_starting) {
            self.not_started(id, None, now);
        }
        if !self.get(id).is_some_and(Job::is_running) {
            self.remove(id, RemoveReason::Retired);
            return;
        }
        let again = |job: &Job<C>| job.live.iter().position(|live| matches!(live.state, State::Again { .. }));
        while let Some(place) = self.get(id).and_then(again) {
            self.give_up(id, place, now);
        }
        self.release_from_block(id);
        let Some(job) = self.get_mut(id) else { return };
        job.let_go_of_block();
        if let Some(few) = job.besides.used() {
            let waiting = std::mem::take(&mut few.waiting);
            self.after.followed.extend(waiting.into_iter().filter_map(|waiting| waiting.after));
        }
        self.asked(id);
    }

    /// Cancels all jobs, or all that bear a tag; returns how many there were.
    pub(super) fn cancel_all(&mut self, tag: Option<&str>) -> usize {
        let mut gone = 0;
        for id in self.ids(tag) {
            gone += usize::from(self.remove(id, RemoveReason::Cancelled));
        }
        gone
    }

    pub(super) fn take_jobs(&mut self) -> impl Iterator<Item = Job<C>> + use<C> {
        std::mem::replace(&mut self.jobs, Slots::new()).into_all()
    }

    /// Lets a job also run after each success of another one.
    pub(super) fn link(&mut self, id: JobId, upstream: JobId) -> Result<(), Error> {
        let (job, other) = (self.staying(id).ok_or(Error::JobGone)?, self.get(upstream));
        let other = other.ok_or(Error::JobGone)?;
        if job.plan.is_none() {
            return Err(Error::NoSchedule);
        }
        if other.followers.contains(&id) {
            return Ok(());
        }
        if let Some(way) = self.way(id, upstream) {
            let called = |id: &JobId| {
                let name = self.get(*id).and_then(|job| job.name.as_deref().map(|name| format!("{name:?}")));
                name.unwrap_or_else(|| format!("job {id}"))
            };
            let path: Vec<String> = way.iter().chain(way.first()).map(called).collect();
            return Err(Error::Circle { path: path.join(" -> ") });
        }
        if let Some(job) = self.get_mut(id) {
            let none = || {
                Box::new(Chain {
                    upstreams: Vec::new(),
                    on: On::Success,
                    within: None,
                    delay: None,
                    readers: Vec::new(),
                    all: None,
                })
            };
            job.besides.chain.get_or_insert_with(none).upstreams.push(upstream);
        }
        if let Some(upstream) = self.get_mut(upstream) {
            upstream.besides.followers.push(id);
        }
        Ok(())
    }

    /// How long until there is something to do, in nanoseconds; negative if it is overdue. `None` while none is to start.
    pub(super) fn idle(&self, now: Now) -> Option<i64> {
        if !self.returned.is_empty() || self.may_be_fed() {
            return Some(0);
        }
        earlier(self.until_due(now), self.until_written(now))
    }

    /// Whether a backfill may have room again, since something was asked for from outside.
    fn may_be_fed(&self) -> bool {
        !self.filling.is_empty() && self.fed != self.news && !self.rests()
    }

    /// How long until a job is due, or was negative; `None` while none is to start.
    pub(super) fn until_due(&self, now: Now) -> Option<i64> {
        if self.paused || self.closed {
            return None;
        }
        if let Some(awaited) = &self.awaited {
            return Some(awaited.asks_at.saturating_sub(now.elapsed));
        }
        let elapsed = self.elapsed.wake().map(|due| due.saturating_sub(now.elapsed));
        let wall = self.wall.wake().map(|due| due.saturating_sub(now.wall));
        earlier(elapsed, wall)
    }

    /// When the first job is due, by the wall clock, whatever its slack.
    pub(super) fn next_due(&self, now: Now) -> Option<i64> {
        if self.rests() {
            return self.until_due(now).map(|left| now.wall.saturating_add(left));
        }
        let elapsed = self.elapsed.first().map(|(rank, slot)| (rank.due.saturating_add(now.ahead()), slot));
        let (at, slot) = earlier(elapsed, self.wall.first().map(|(rank, slot)| (rank.due, slot)))?;
        if self.at(slot).is_some_and(|job| job.next_run(now) == Some(at)) {
            return Some(at);
        }
        // It stands there for a time limit, or to be looked at again.
        self.all().filter_map(|job| job.next_run(now)).min()
    }

    /// If a poll has nothing to do: for how long none will have, and how long until the host is needed, as
    /// [`idle`](Self::idle) says.
    pub(super) fn quiet(&self, now: Now) -> Option<(i64, Option<i64>)> {
        if !self.returned.is_empty() || self.may_be_fed() {
            return None;
        }
        let until_written = self.until_written(now);
        let quiet_for = earlier(self.until_looked_at(now), until_written).unwrap_or(i64::MAX);
        (quiet_for > 0).then(|| (quiet_for, earlier(self.until_due(now), until_written)))
    }

    /// How long until a job is to be looked at, whatever its slack.
    fn until_looked_at(&self, now: Now) -> Option<i64> {
        if self.rests() {
            return self.until_due(now);
        }
        let elapsed = self.elapsed.first().map(|(rank, _)| rank.due.saturating_sub(now.elapsed));
        let wall = self.wall.first().map(|(rank, _)| rank.due.saturating_sub(now.wall));
        earlier(elapsed, wall)
    }

    /// Whether nothing starts for now.
    pub(super) fn rests(&self) -> bool {
        self.paused || self.closed || self.awaited.is_some()
    }

    /// For how long a job that was due at an instant of the wall clock did not run since its program was down.
    pub(super) fn was_down(&self, job: &Job<C>, at: i64, now: Now) -> i64 {
        let before = self.began.saturating_sub(at.saturating_sub(now.ahead()));
        if job.kept.is_some() { before.max(0) } else { 0 }
    }

    /// How many jobs are due, a thousand at most, and the first of them.
    pub(super) fn due(&self, now: Now) -> Option<(usize, JobId)> {
        const MOST: usize = 1000;
        let first = self.at(self.first_due(now)?.1)?.id;
        let elapsed = self.elapsed.due(now.elapsed);
        // A job may be due on both scales.
        let wall = self.wall.due(now.wall).filter(|slot| !self.elapsed.is_due(*slot, now.elapsed));
        Some((elapsed.chain(wall).take(MOST).count(), first))
    }

    /// The first of the jobs that are due, by the wall clock's order, and since when by the wall clock.
    pub(super) fn first_due(&self, now: Now) -> Option<(i64, u32)> {
        let elapsed = self.elapsed.first().filter(|(rank, _)| rank.due <= now.elapsed);
        let elapsed = elapsed.map(|(rank, slot)| (Rank { due: rank.due.saturating_add(now.ahead()), ..rank }, slot));
        let wall = self.wall.first().filter(|(rank, _)| rank.due <= now.wall);
        earlier(elapsed, wall).map(|(rank, slot)| (rank.due, slot))
    }

    /// Remembers occurrences that did not become runs, and tells of them. By the wall clock.
    pub(super) fn dropped(&mut self, id: JobId, occurrences: u64, since: i64, until: i64, because: DropReason) {
        let Some(job) = self.get_mut(id) else { return };
        let stats = job.history.odd();
        stats.dropped = stats.dropped.saturating_add(occurrences);
        let unrun = &mut job.besides.unrun;
        if unrun.len() == REMEMBERED {
            unrun.pop_front();
        }
        unrun.push_back(Unrun { since, until, because });
        let name = job.name.clone();
        self.tell(|_| Event::Dropped { id, name, occurrences, since: from_nanos(since), because });
    }

    /// Holds a job back. It is looked at again at one of these instants, or when a limit has room.
    pub(super) fn block(&mut self, id: JobId, by: BlockedBy, elapsed: Option<i64>, wall: Option<i64>, now: Now) {
        // It may stand in line already: of several runs that are about to start together each may find no room.
        self.release_from_block(id);
        let Some(job) = self.get_mut(id) else { return };
        job.besides.block = Some(Box::new(Block { by, elapsed, wall }));
        job.asks_anew();
        let first = job.held_by.replace(by.late_by()) != Some(by.late_by());
        let name = job.name.clone();
        let limits = job.rules.clone();
        if let BlockedBy::Limit(limit, rank) = by {
            lines(limit, limits.as_deref()).for_each(|limit| self.limits.wait(limit, rank, id.slot));
        }
        if first {
            self.tell(|table| Event::Blocked { id, name, by: by.told(|limit| table.limits.name(limit)) });
        }
        self.requeue(id);
        // What it does not take may be for others.
        limits.iter().flat_map(|rules| rules.limits.iter()).for_each(|limit| self.let_on(*limit, now.elapsed));
        if let BlockedBy::Limit(limit, _) = by {
            self.let_on(limit, now.elapsed);
        }
    }

    /// Lets a job that was held back be looked at as any other. Gives the limits in whose lines it stood: others are to be
    /// called, if it does not take them.
    #[must_use]
    pub(super) fn unblock(&mut self, id: JobId) -> Vec<LimitId> {
        let Some(job) = self.get_mut(id) else { return Vec::new() };
        let Some(Block { by: BlockedBy::Limit(limit, rank), .. }) =
            job.besides.used().and_then(|few| few.block.take()).map(|block| *block)
        else {
            return Vec::new();
        };
        let lines: Vec<LimitId> = lines(limit, job.rules.as_deref()).collect();
        lines.iter().for_each(|limit| self.limits.leave_line(*limit, rank, id.slot));
        lines
    }

    /// The same, from outside: it may come back to the lines in its place.
    pub(super) fn release_from_block(&mut self, id: JobId) {
        let now = self.watch.last().elapsed;
        for limit in self.unblock(id) {
            self.let_on(limit, now);
        }
    }

    /// Calls those in line whom a limit lets on, and takes back the call of those who have been forestalled.
    pub(super) fn let_on(&mut self, limit: LimitId, now: i64) {
        // Time that passes in a poll lets on nobody else in it.
        let now = if self.poller.is_some() { self.poll_at } else { now };
        let jobs = &self.jobs;
        let block = |slot: u32| jobs.get(slot)?.block.as_ref();
        let is_called = |slot: &u32| block(*slot).is_some_and(|block| block.elapsed.is_some());
        let forestalled: Vec<u32> = self.limits.behind(limit, now).take_while(is_called).collect();
        for slot in forestalled {
            let Some(job) = self.jobs.get_mut(slot) else { continue };
            let id = job.id;
            if let Some(block) = job.block_mut() {
                block.elapsed = None;
            }
            self.requeue(id);
        }
        for slot in self.limits.first_in_line(limit, now) {
            let Some(job) = self.jobs.get_mut(slot) else { continue };
            let (id, rules) = (job.id, job.rules.clone());
            let Some(block) = job.block_mut() else { continue };
            let BlockedBy::Limit(line, rank) = block.by else { continue };
            let from = self.limits.opens(lines(line, rules.as_deref()), rank, slot, now);
            if block.elapsed != from {
                block.elapsed = from;
                self.requeue(id);
                // In a poll it is seen to, else those that wait have to be told.
                self.news += u64::from(self.poller.is_none() && from.is_some());
            }
        }
    }

    pub(super) fn give_back(&mut self, limits: &[LimitId], started: bool, now: i64) {
        self.limits.give_back(limits, started, now);
        limits.iter().for_each(|limit| self.let_on(*limit, now));
    }

    /// Some of what waits to start goes: runs by hand without a word, occurrences and runs to follow as dropped.
    pub(super) fn clear_waiting(&mut self, id: JobId, because: DropReason, goes: impl Fn(&Waiting) -> bool) {
        let Some(job) = self.get_mut(id).filter(|job| !job.waiting.is_empty()) else { return };
        let (gone, left): (VecDeque<Waiting>, _) = std::mem::take(&mut job.besides.waiting).into_iter().partition(goes);
        job.besides.waiting = left;
        for waiting in gone {
            self.not_run_again(id, &waiting);
            let Waiting { due, by, after, .. } = waiting;
            if by != AskedBy::Hand {
                self.dropped(id, due.folded, due.first, due.due, because);
            }
            self.after.followed.extend(after);
        }
    }

    pub(super) fn placed(&self) -> usize {
        self.placed
    }

    /// The jobs by whose way one is set off after another, if there is such a way: the circle that a link would close.
    pub(super) fn way(&self, from: JobId, to: JobId) -> Option<Vec<JobId>> {
        let mut came_from: HashMap<JobId, JobId> = HashMap::new();
        let mut open = vec![from];
        while let Some(here) = open.pop() {
            if here == to {
                let mut way = vec![to];
                while let Some(before) = way.last().filter(|id| **id != from).and_then(|id| came_from.get(id)) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            for next in self.get(here).iter().flat_map(|job| &job.followers) {
                if *next != from && !came_from.contains_key(next) {
                    came_from.insert(*next, here);
                    open.push(*next);
                }
            }
        }
        None
    }

    /// Whether a job was held back when the last poll's budget was spent.
    pub(super) fn was_put_off(&self, due: i64) -> bool {
        self.put_off.is_some_and(|until| due <= until)
    }
}

/// In which lines a job stands that a limit holds back: in those of all the limits that it names, so that none of them passes it
/// by. Who waits for the executor's room keeps nobody from anything else.
fn lines(limit: LimitId, rules: Option<&Rules>) -> impl Iterator<Item = LimitId> {
    let named = rules.map_or(&[][..], |rules| &rules.limits);
    let (room, named) = if limit == ROOM { (Some(ROOM), &[][..]) } else { (None, named) };
    room.into_iter().chain(named.iter().copied())
}

pub(super) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
