//! The jobs of a scheduler and their due times: what its lock guards. No code of the user's own runs in here.

use std::any::Any;
use std::collections::VecDeque;
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::ThreadId;
use std::time::Duration;

use super::Run;
use crate::clock::{Changes, Now, Watch};
use crate::error::Error;
use crate::event::{DropReason, Event};
use crate::job::{Epitaph, JobId, JobSnapshot, LastRun, RunEnd, Stats};
use crate::policy::{Due, Missed, Verdict};
use crate::queue::{Queue, Rank};
use crate::run::{Outcome, RunFacts, Signals};
use crate::schedule::{Schedule, Setting, Zone, from_nanos, length, mix, to_nanos};

/// What a run returned, for those that follow.
pub(super) type Value = Arc<dyn Any + Send + Sync>;

/// What a job does, given the value of the run that it follows. Its own is kept by the closure and handed on, once the run
/// is done.
pub(super) type Body<C> =
    Box<dyn FnMut(&mut Run<'_, C>, Option<Value>) -> Result<(Outcome, Option<Value>), Arc<dyn StdError + Send + Sync>> + Send>;

/// A wall clock that was set back by more than this past a job's last due time was wrong before.
const WRONG_BEFORE: i64 = 86_400 * 1_000_000_000;

/// Of jobs due at the same instant, those that are taken up again come after those that begin.
const AFTER_ALL_JOBS: u64 = 1 << 63;

/// On which scale a job's due times lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Elapsed,
    Wall,
}

/// When a job is due, and what is done about missed occurrences.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) schedule: Schedule,
    zone: Zone,
    scale: Scale,
    /// From when an interval counts, on the scale of its due times.
    registered: i64,
    /// How far an anchor that was given lies from where it says.
    moved: i64,
    pub(super) seed: u64,
    pub(super) missed: Missed,
    pub(super) grace: Option<Duration>,
}

impl Plan {
    pub(super) fn new(schedule: Schedule, zone: Zone, seed: u64, missed: Missed, grace: Option<Duration>, now: Now) -> Self {
        let scale = if schedule.is_elapsed() { Scale::Elapsed } else { Scale::Wall };
        let mut plan = Plan { schedule, zone, scale, registered: 0, moved: 0, seed, missed, grace };
        plan.registered = plan.on_scale(now);
        if scale == Scale::Elapsed {
            plan.moved = -now.ahead();
        }
        plan
    }

    fn setting(&self) -> Setting<'_> {
        Setting { zone: &self.zone, registered: Some(self.registered), moved: self.moved, seed: self.seed }
    }

    pub(super) fn on_scale(&self, now: Now) -> i64 {
        if self.scale == Scale::Elapsed { now.elapsed } else { now.wall }
    }

    /// An instant of the scale as the wall clock shows it.
    fn wall(&self, at: i64, now: Now) -> i64 {
        if self.scale == Scale::Elapsed { at.saturating_add(now.ahead()) } else { at }
    }

    pub(super) fn next(&self, after: i64) -> Option<i64> {
        self.schedule.next(self.setting(), after)
    }

    pub(super) fn decide(&self, due: i64, now: Now) -> Verdict {
        crate::policy::decide(&self.schedule, self.setting(), self.missed, self.grace, due, self.on_scale(now))
    }

    /// When an occurrence is to run, its jitter added.
    fn put_off(&self, occurrence: i64) -> i64 {
        match length(self.schedule.jitter()) {
            0 => occurrence,
            jitter => {
                let drawn = mix(self.seed, occurrence as u64) % (jitter as u64 + 1);
                occurrence.saturating_add(drawn as i64)
            }
        }
    }

    /// The same plan, counted from now.
    pub(super) fn restarted(&mut self, now: Now) {
        self.registered = self.on_scale(now);
    }
}

/// A job in the table.
pub(super) struct Job<C> {
    pub(super) id: JobId,
    pub(super) name: Option<Arc<str>>,
    pub(super) tags: Vec<String>,
    pub(super) priority: i32,
    pub(super) plan: Option<Plan>,
    /// The next occurrence, and the instant that it was searched from.
    pub(super) next: Option<i64>,
    pub(super) searched: i64,
    /// When a run besides the schedule is due: by hand, at once after registration, at the first poll. In elapsed time,
    /// so that setting the wall clock doesn't put it off.
    pub(super) extra: Option<i64>,
    /// A run with more to do.
    pub(super) open: Option<Box<Open>>,
    pub(super) runs_left: Option<u32>,
    last_due: Option<i64>,
    pub(super) body: Option<Body<C>>,
    pub(super) running: bool,
    pub(super) paused: bool,
    pub(super) follows: Option<JobId>,
    pub(super) followers: Vec<JobId>,
    /// The runs that it has yet to follow.
    pub(super) to_follow: VecDeque<(Arc<RunFacts>, Value)>,
    stats: Stats,
    last: Option<LastRun>,
    epitaph: Arc<dyn Epitaph>,
    pub(super) signals: Arc<Signals>,
}

impl<C> Job<C> {
    pub(super) fn new(id: JobId, name: Option<Arc<str>>, epitaph: Arc<dyn Epitaph>, body: Body<C>) -> Self {
        Job {
            id,
            name,
            tags: Vec::new(),
            priority: 0,
            plan: None,
            next: None,
            searched: 0,
            extra: None,
            open: None,
            runs_left: None,
            last_due: None,
            body: Some(body),
            running: false,
            paused: false,
            follows: None,
            followers: Vec::new(),
            to_follow: VecDeque::new(),
            stats: Stats::default(),
            last: None,
            epitaph,
            signals: Arc::default(),
        }
    }

    /// Whether a run is going on or has more to do.
    pub(super) fn is_busy(&self) -> bool {
        self.running || self.open.is_some()
    }

    fn on_scale(&self, now: Now) -> i64 {
        self.plan.as_ref().map_or(now.wall, |plan| plan.on_scale(now))
    }

    fn scale(&self) -> Scale {
        self.plan.as_ref().map_or(Scale::Wall, |plan| plan.scale)
    }

    /// When it is to run besides its schedule, in elapsed time.
    fn soon(&self) -> Option<i64> {
        let open = self.open.as_ref().map(|open| open.again);
        open.or(self.extra).filter(|_| !self.paused)
    }

    /// When its next occurrence is to run, on its scale.
    fn scheduled(&self) -> Option<i64> {
        let plan = self.plan.as_ref().filter(|_| !self.paused)?;
        // Counted from the end of a run, there is none before that end.
        let counted_from_end = self.open.is_some() && plan.schedule.spec().after_completion;
        self.next.filter(|_| !counted_from_end).map(|next| plan.put_off(next))
    }

    fn snapshot(&self, now: Now) -> JobSnapshot {
        let wall = |at: i64| self.plan.as_ref().map_or(at, |plan| plan.wall(at, now));
        JobSnapshot {
            id: self.id,
            name: self.name.clone(),
            tags: self.tags.clone(),
            priority: self.priority,
            schedule: self.plan.as_ref().map(|plan| plan.schedule.clone()),
            follows: self.follows,
            next_run: earlier(self.soon().map(|at| at.saturating_add(now.ahead())), self.scheduled().map(wall)).map(from_nanos),
            last_run: self.last.clone(),
            stats: self.stats,
            paused: self.paused,
            running: self.running || self.open.is_some(),
            progress: self.signals.progress(),
        }
    }
}

/// A run with more to do, between two of its turns.
pub(super) struct Open {
    pub(super) facts: RunFacts,
    pub(super) follows: Option<(Arc<RunFacts>, Value)>,
    /// When it started, by the wall clock, and how long its turns took.
    pub(super) started: i64,
    pub(super) took: Duration,
    /// From when on it is taken up again, in elapsed time, and its place among others of that instant.
    pub(super) again: i64,
    pub(super) order: u64,
}

fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What is taken out for a run.
pub(super) struct Firing<C> {
    pub(super) id: JobId,
    pub(super) name: Option<Arc<str>>,
    pub(super) body: Body<C>,
    pub(super) signals: Arc<Signals>,
    pub(super) start: Start,
    pub(super) follows: Option<(Arc<RunFacts>, Value)>,
    /// Whether its schedule counts from its end.
    pub(super) counts_from_end: bool,
}

/// Whether a run begins or goes on.
pub(super) enum Start {
    /// It makes up for these, by the wall clock.
    New(Due),
    Again(Box<Open>),
}

/// What comes next of the jobs that are due.
pub(super) enum Step<C> {
    Nothing,
    Run(Firing<C>),
    /// Its schedule holds code of the user's own, so the lock is given up while it is asked.
    Ask {
        id: JobId,
        plan: Box<Plan>,
        due: i64,
    },
}

pub(super) struct Table<C> {
    jobs: Vec<Option<Job<C>>>,
    free: Vec<u32>,
    count: usize,
    elapsed: Queue,
    wall: Queue,
    /// How many jobs are in either queue.
    waiting: usize,
    /// Until when jobs were due, by the wall clock, that the last poll put off.
    pub(super) put_off: Option<i64>,
    /// The order of the next registration.
    order: u64,
    /// How often a run has yielded.
    turns: u64,
    pub(super) paused: bool,
    /// Shut down: no further run starts, and none is registered.
    pub(super) closed: bool,
    /// How often something was asked for from outside, and whether a wait is to end for nothing else.
    pub(super) news: u64,
    pub(super) woken: bool,
    pub(super) watch: Watch,
    /// While a poll goes on: jobs that it may not run any more.
    pub(super) poller: Option<ThreadId>,
    held: Vec<JobId>,
    /// Jobs that have ended, to be dropped once the lock is free; and what there is to tell.
    pub(super) ended: Vec<Job<C>>,
    pub(super) events: Vec<Event>,
}

impl<C> Table<C> {
    pub(super) fn new(watch: Watch) -> Self {
        Table {
            jobs: Vec::new(),
            free: Vec::new(),
            count: 0,
            elapsed: Queue::default(),
            wall: Queue::default(),
            waiting: 0,
            put_off: None,
            order: 1,
            turns: 0,
            paused: false,
            closed: false,
            news: 0,
            woken: false,
            watch,
            poller: None,
            held: Vec::new(),
            ended: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, id: JobId) -> Option<&Job<C>> {
        self.jobs.get(id.slot as usize)?.as_ref().filter(|job| job.id == id)
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut Job<C>> {
        self.jobs.get_mut(id.slot as usize)?.as_mut().filter(|job| job.id == id)
    }

    /// The jobs in order of registration.
    pub(super) fn ids(&self, tag: Option<&str>) -> Vec<JobId> {
        let tagged = |job: &&Job<C>| tag.is_none_or(|tag| job.tags.iter().any(|own| own == tag));
        let mut ids: Vec<JobId> = self.jobs.iter().flatten().filter(tagged).map(|job| job.id).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn snapshot(&self, id: JobId, now: Now) -> Option<JobSnapshot> {
        self.get(id).map(|job| job.snapshot(now))
    }

    /// A fresh id, whose slot is taken.
    pub(super) fn reserve(&mut self) -> JobId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() as u32 - 1
        });
        let id = JobId { order: self.order, slot };
        self.order += 1;
        id
    }

    /// Gives a reserved id back.
    pub(super) fn release(&mut self, id: JobId) {
        self.free.push(id.slot);
    }

    /// Takes a job in, unless nothing more is taken or the job is gone that it would follow; then it is left where it is.
    pub(super) fn admit(&mut self, job: &mut Option<Job<C>>) -> Result<(), Error> {
        let Some(candidate) = job else { return Ok(()) };
        let orphan = candidate.follows.is_some_and(|upstream| self.get(upstream).is_none());
        if self.closed || orphan {
            self.release(candidate.id);
            return Err(if self.closed { Error::ShutDown } else { Error::JobGone });
        }
        if let Some(job) = job.take() {
            self.insert(job);
        }
        Ok(())
    }

    fn insert(&mut self, job: Job<C>) {
        let id = job.id;
        if let Some(upstream) = job.follows {
            if let Some(upstream) = self.get_mut(upstream) {
                upstream.followers.push(id);
            }
        }
        if let Some(place) = self.jobs.get_mut(id.slot as usize) {
            *place = Some(job);
            self.count += 1;
        }
        self.asked(id);
    }

    /// Something was asked for from outside: a job goes to its place, and those that wait are told.
    pub(super) fn asked(&mut self, id: JobId) {
        self.news += 1;
        self.hold(id);
    }

    /// Lets no further run start, and asks those that go on to stop.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for job in self.jobs.iter().flatten().filter(|job| job.is_busy()) {
            job.signals.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Puts a job in its queues, in its place; from outside, or when no more can come of it in this poll.
    pub(super) fn requeue(&mut self, id: JobId) {
        let Some(job) = self.get(id) else { return };
        let (soon, scheduled, priority) = (job.soon(), job.scheduled(), job.priority);
        let soon_order = job.open.as_ref().map_or(id.order, |open| open.order);
        let rank = |due: Option<i64>, order: u64| due.map(|due| Rank { due, priority, order });
        let (soon, scheduled) = (rank(soon, soon_order), rank(scheduled, id.order));
        let (elapsed, wall) = match job.scale() {
            Scale::Elapsed => (earlier(soon, scheduled), None),
            Scale::Wall => (soon, scheduled),
        };
        self.place(id.slot, elapsed, wall);
    }

    fn place(&mut self, slot: u32, elapsed: Option<Rank>, wall: Option<Rank>) {
        let was = self.elapsed.contains(slot) || self.wall.contains(slot);
        let is = elapsed.is_some() || wall.is_some();
        for (queue, rank) in [(&mut self.elapsed, elapsed), (&mut self.wall, wall)] {
            match rank {
                Some(rank) => queue.set(slot, rank),
                None => {
                    queue.remove(slot);
                }
            }
        }
        self.waiting = self.waiting + usize::from(is) - usize::from(was);
    }

    /// The same, but not before the next poll.
    pub(super) fn hold(&mut self, id: JobId) {
        if self.poller.is_some() {
            self.place(id.slot, None, None);
            self.held.push(id);
        } else {
            self.requeue(id);
        }
    }

    pub(super) fn begin_poll(&mut self) {
        self.poller = Some(std::thread::current().id());
    }

    pub(super) fn end_poll(&mut self) {
        self.poller = None;
        for id in std::mem::take(&mut self.held) {
            self.requeue(id);
        }
    }

    /// Takes a job off the table; its followers go once they have nothing left to follow.
    pub(super) fn remove(&mut self, id: JobId) -> bool {
        let Some(job) = self.jobs.get_mut(id.slot as usize).and_then(|place| place.take_if(|job| job.id == id)) else {
            return false;
        };
        self.place(id.slot, None, None);
        self.free.push(id.slot);
        self.count -= 1;
        job.signals.stop.store(true, Ordering::Relaxed);
        job.epitaph.write(job.stats, job.last.clone());
        self.events.push(Event::Ended { id, name: job.name.clone() });
        for follower in &job.followers {
            if self.get(*follower).is_some_and(|job| job.to_follow.is_empty() && !job.is_busy() && job.extra.is_none()) {
                self.remove(*follower);
            }
        }
        self.ended.push(job);
        true
    }

    /// How long until a job is due, in nanoseconds; negative if it is overdue. `None` while none is to start.
    pub(super) fn idle(&self, now: Now) -> Option<i64> {
        if self.paused || self.closed {
            return None;
        }
        let elapsed = self.elapsed.first().map(|(rank, _)| rank.due.saturating_sub(now.elapsed));
        let wall = self.wall.first().map(|(rank, _)| rank.due.saturating_sub(now.wall));
        earlier(elapsed, wall)
    }

    /// How many jobs are due, a thousand at most, and the first of them.
    pub(super) fn due(&self, now: Now) -> Option<(usize, JobId)> {
        const MOST: usize = 1000;
        let first = self.jobs.get(self.first_due(now)? as usize)?.as_ref()?.id;
        let jobs = self.elapsed.due(now.elapsed, MOST) + self.wall.due(now.wall, MOST);
        Some((jobs.min(MOST), first))
    }

    /// The first of the jobs that are due, by the wall clock's order.
    fn first_due(&self, now: Now) -> Option<u32> {
        let elapsed = self.elapsed.first().filter(|(rank, _)| rank.due <= now.elapsed);
        let wall = self.wall.first().filter(|(rank, _)| rank.due <= now.wall);
        match (elapsed, wall) {
            (Some((mut rank, slot)), Some((other, other_slot))) => {
                rank.due = rank.due.saturating_add(now.ahead());
                Some(if rank < other { slot } else { other_slot })
            }
            (elapsed, wall) => elapsed.or(wall).map(|(_, slot)| slot),
        }
    }

    /// Goes on with the jobs that are due, up to the next one that runs.
    pub(super) fn step(&mut self, now: Now) -> Step<C> {
        if self.paused || self.closed {
            return Step::Nothing;
        }
        while let Some(slot) = self.first_due(now) {
            let Some(job) = self.jobs.get_mut(slot as usize).and_then(Option::as_mut) else {
                self.place(slot, None, None);
                continue;
            };
            let id = job.id;
            // An occurrence that came while a run goes on is seen to before that run's next turn.
            let overlaps = job.open.is_some() && job.scheduled().is_some_and(|due| due <= job.on_scale(now));
            if let Some(soon) = job.soon().filter(|soon| !overlaps && *soon <= now.elapsed) {
                let start = match job.open.take() {
                    Some(open) => Start::Again(open),
                    None => {
                        job.extra = None;
                        let followed = job.to_follow.front().map(|(facts, _)| to_nanos(&facts.due));
                        Start::New(Due::only(followed.unwrap_or(soon.saturating_add(now.ahead()))))
                    }
                };
                self.requeue(id);
                if let Some(firing) = self.take(id, start) {
                    return Step::Run(firing);
                }
                continue;
            }
            let (Some(plan), Some(due)) = (&job.plan, job.next) else {
                self.requeue(id);
                continue;
            };
            if plan.schedule.has_callbacks() {
                return Step::Ask { id, plan: Box::new(plan.clone()), due };
            }
            let verdict = plan.decide(due, now);
            if let Some(firing) = self.obey(id, due, verdict, now) {
                return Step::Run(firing);
            }
        }
        Step::Nothing
    }

    /// Carries out a verdict on a job's occurrence; gives the run that comes of it.
    pub(super) fn obey(&mut self, id: JobId, due: i64, verdict: Verdict, now: Now) -> Option<Firing<C>> {
        let job = self.get_mut(id).filter(|job| job.next == Some(due))?;
        let plan = job.plan.as_ref()?;
        let wall = |at: i64| plan.wall(at, now);
        let until = plan.schedule.spec().until;
        if until.is_some_and(|until| now.wall > until) {
            let dropped = verdict.dropped + verdict.run.map_or(0, |run| run.folded);
            let since = from_nanos(wall(due));
            job.stats.dropped += dropped;
            let name = job.name.clone();
            self.events.push(Event::Dropped { id, name, occurrences: dropped, since, because: DropReason::Deadline });
            self.remove(id);
            return None;
        }
        let run = verdict.run.map(|run| Due { due: wall(run.due), first: wall(run.first), folded: run.folded });
        let since = from_nanos(wall(due));
        let name = job.name.clone();
        job.stats.dropped = job.stats.dropped.saturating_add(verdict.dropped);
        job.searched = verdict.run.map_or(due, |run| run.due);
        job.next = verdict.next;
        if verdict.run.is_some() {
            job.last_due = run.map(|run| run.due);
        }
        if verdict.dropped > 0 {
            let because = if verdict.beyond_grace { DropReason::Late } else { DropReason::Policy };
            self.events.push(Event::Dropped { id, name: name.clone(), occurrences: verdict.dropped, since, because });
        }
        self.requeue(id);
        let Some(run) = run else {
            self.remove_if_over(id);
            return None;
        };
        if self.get(id).is_some_and(|job| job.open.is_some()) {
            self.overlapped(id, run);
            return None;
        }
        if run.folded > 1 {
            self.events.push(Event::Folded { id, name, occurrences: run.folded, since });
        }
        self.take(id, Start::New(run))
    }

    /// An occurrence came while an earlier run was going on: it is skipped.
    fn overlapped(&mut self, id: JobId, run: Due) {
        let Some(job) = self.get_mut(id) else { return };
        job.stats.dropped = job.stats.dropped.saturating_add(run.folded);
        let (name, since) = (job.name.clone(), from_nanos(run.first));
        let because = DropReason::Overlapped;
        self.events.push(Event::Dropped { id, name, occurrences: run.folded, since, because });
    }

    /// Ends a job that has no occurrence left and nothing else to do.
    fn remove_if_over(&mut self, id: JobId) {
        let upstream_gone = |job: &Job<C>| job.follows.is_none_or(|upstream| self.get(upstream).is_none());
        let over = self.get(id).is_some_and(|job| {
            job.next.is_none()
                && job.extra.is_none()
                && job.open.is_none()
                && job.to_follow.is_empty()
                && (job.plan.is_some() || upstream_gone(job))
        });
        if over {
            self.remove(id);
        }
    }

    /// Takes a job's body out for a run.
    pub(super) fn take(&mut self, id: JobId, mut start: Start) -> Option<Firing<C>> {
        let job = self.get_mut(id)?;
        let body = job.body.take()?;
        job.running = true;
        let follows = match &mut start {
            Start::New(_) => {
                job.signals.reset();
                job.to_follow.pop_front()
            }
            Start::Again(open) => open.follows.take(),
        };
        let counts_from_end = job.plan.as_ref().is_some_and(|plan| plan.schedule.spec().after_completion);
        let (name, signals) = (job.name.clone(), job.signals.clone());
        Some(Firing { id, name, body, signals, start, follows, counts_from_end })
    }

    /// A job has more to follow: it runs again in the same poll.
    fn follow(&mut self, id: JobId, facts: Arc<RunFacts>, value: Value) {
        let now = self.watch.last();
        let due = to_nanos(&facts.due).saturating_sub(now.ahead()).min(now.elapsed);
        let Some(job) = self.get_mut(id) else { return };
        job.to_follow.push_back((facts, value));
        if job.extra.is_none() {
            job.extra = Some(due);
        }
        self.requeue(id);
    }

    /// Puts a job back whose run has more to do. Gives the body back if the job is gone.
    pub(super) fn yielded(&mut self, id: JobId, body: Body<C>, mut open: Open) -> Option<Body<C>> {
        self.turns += 1;
        open.order = AFTER_ALL_JOBS + self.turns;
        let Some(job) = self.get_mut(id) else { return Some(body) };
        job.body = Some(body);
        job.running = false;
        job.open = Some(Box::new(open));
        self.hold(id);
        None
    }

    /// Puts a job back after its run, and sets off the runs that follow. Gives the body back if the job is gone.
    pub(super) fn finish(&mut self, id: JobId, body: Body<C>, end: End) -> Option<Body<C>> {
        let now = self.watch.last();
        let Some(job) = self.get_mut(id) else { return Some(body) };
        let took = end.last.took;
        job.body = Some(body);
        job.running = false;
        job.stats.runs += 1;
        job.stats.errors += u64::from(end.last.end == RunEnd::Failed);
        job.stats.panics += u64::from(end.last.end == RunEnd::Panicked);
        job.stats.folded = job.stats.folded.saturating_add(end.last.folded - 1);
        job.stats.total = job.stats.total.saturating_add(took);
        job.stats.longest = job.stats.longest.max(took);
        job.last = Some(end.last);
        if let (Some(restart), Some(plan)) = (end.restart, &mut job.plan) {
            plan.registered = restart.registered;
            job.searched = restart.registered;
            job.next = restart.next;
        }
        if let Some(left) = &mut job.runs_left {
            *left -= 1;
        }
        let over = end.cancel || job.runs_left == Some(0);
        let more = job.to_follow.front().map(|(facts, _)| to_nanos(&facts.due).saturating_sub(now.ahead()).min(now.elapsed));
        if job.extra.is_none() {
            job.extra = more;
        }
        let waits = job.extra.is_some();
        if let Some(value) = end.value.filter(|_| !job.followers.is_empty()) {
            let facts = Arc::new(end.facts);
            let mut followers = std::mem::take(&mut job.followers);
            followers.retain(|follower| self.get(*follower).is_some());
            for follower in &followers {
                // What a paused job would have followed, it misses.
                if self.get(*follower).is_some_and(|job| !job.paused) {
                    self.follow(*follower, facts.clone(), value.clone());
                }
            }
            if let Some(job) = self.get_mut(id) {
                job.followers = followers;
            }
        }
        if over {
            self.remove(id);
        } else {
            if end.restart.is_some() || waits {
                self.requeue(id);
            }
            self.remove_if_over(id);
        }
        None
    }

    /// The wall clock was set: the plans that have to be asked anew, each with the instant to search from.
    pub(super) fn stepped(&mut self, changes: Changes, now: Now) -> Vec<(JobId, Plan, i64, bool)> {
        let mut asked = Vec::new();
        for job in self.jobs.iter_mut().flatten() {
            let Some(plan) = &mut job.plan else { continue };
            if plan.scale == Scale::Elapsed {
                continue;
            }
            if plan.schedule.has_elapsed_part() {
                plan.registered = plan.registered.saturating_add(changes.stepped);
                plan.moved = plan.moved.saturating_add(changes.stepped);
                let from = job.searched.saturating_add(changes.stepped);
                asked.push((job.id, plan.clone(), from, false));
            } else if changes.stepped < 0 && job.next.is_some_and(|next| next > now.wall) {
                let wrong_before = |at: i64| at.saturating_sub(now.wall) > WRONG_BEFORE;
                if wrong_before(plan.registered) {
                    plan.restarted(now);
                }
                match job.last_due {
                    None => asked.push((job.id, plan.clone(), now.wall, false)),
                    Some(last) if wrong_before(last) => {
                        job.last_due = None;
                        asked.push((job.id, plan.clone(), now.wall, true));
                    }
                    Some(_) => {}
                }
            }
        }
        asked
    }

    /// Sets a job's next occurrence as it was found anew.
    pub(super) fn found(&mut self, id: JobId, from: i64, next: Option<i64>, reanchored: bool) {
        let Some(job) = self.get_mut(id) else { return };
        job.searched = from;
        job.next = next;
        let name = job.name.clone();
        if reanchored {
            self.events.push(Event::Reanchored { id, name, next: next.map(from_nanos) });
        }
        self.requeue(id);
    }

    pub(super) fn queued(&self) -> usize {
        self.waiting
    }
}

/// How a run ended.
pub(super) struct End {
    pub(super) facts: RunFacts,
    pub(super) last: LastRun,
    /// What it returned, if it went well.
    pub(super) value: Option<Value>,
    pub(super) cancel: bool,
    pub(super) restart: Option<Restart>,
}

/// A schedule that counts from the end of the run: its new anchor and next occurrence.
#[derive(Clone, Copy)]
pub(super) struct Restart {
    pub(super) registered: i64,
    pub(super) next: Option<i64>,
}
