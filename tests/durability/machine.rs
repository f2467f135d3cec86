//! The machine: a program that is started, killed and started again, its disk, its clock, and what its jobs write down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use parking_lot::Mutex;
use punctual::{
    Backoff, Batch, Change, Clock, Done, Event, JobHandle, Kept, ManualClock, MemoryStore, Overlap, RunView, Scheduler, Store,
    StoreError, Work,
};

use crate::disk::Disk;
use crate::log::{At, Called, Line, What, nanos};
use crate::table::{self, DAY, HOUR, Job, MINUTE, Rule, SECOND, When, length};

/// How a process ends in a call of its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Before anything reached the disk.
    Before,
    /// All of it did, the answer was not heard.
    After,
    /// Some changes did.
    Torn,
}

/// What is seen from all sides.
pub struct World {
    clock: ManualClock,
    rng: Rng,
    at: At,
    /// The clocks when the program started.
    began: (i64, Duration),
    pub log: Vec<Line>,
    alive: bool,
    calls_left: u32,
    fate: Fate,
    /// The disk is full; and whether the last write failed, so that it is tried again only after a while.
    full: bool,
    failing: bool,
    /// The store answers in a later poll; what it has not answered.
    slow: bool,
    unanswered: Vec<(Result<Vec<Kept>, StoreError>, Done)>,
    /// A write of the last process that is still on its way, and what this process has written.
    late: Vec<Change>,
    written: BTreeSet<Arc<str>>,
    /// The last life, in which nothing befalls the machine.
    calm: bool,
    names: BTreeMap<String, usize>,
    pub polls: u64,
    pub kills: u64,
}

/// A clock that shows less was not set yet.
const SET: i64 = 30 * 365 * DAY;

type Shared = Arc<Mutex<World>>;

impl World {
    fn now(&self) -> At {
        let passed = self.clock.boot().unwrap() - self.began.1;
        let (life, turn) = (self.at.life, self.at.turn + 1);
        At { life, wall: nanos(&self.clock.wall()), elapsed: self.began.0 + passed.as_nanos() as i64, turn }
    }

    fn note(&mut self, job: usize, what: What) {
        if self.alive {
            self.log.push(Line { at: self.at, job, what });
        }
    }

    fn die(&mut self) {
        if self.alive {
            self.note(0, What::Over);
            self.alive = false;
            self.kills += 1;
        }
    }

    fn tell(&mut self, event: &Event) {
        let (name, what) = match event {
            Event::CutOff { name, due, attempt, again, .. } => {
                (name, What::CutOff { due: nanos(due), attempt: *attempt, again: *again })
            }
            Event::HeldAfterCrashes { name, .. } => (name, What::Held),
            Event::Reanchored { name, .. } => (name, What::Reanchored),
            Event::ScheduleChanged { name, then, .. } => (name, What::ScheduleChanged(*then)),
            Event::Dropped { name, occurrences, since, because, .. } => {
                (name, What::Dropped { count: *occurrences, since: nanos(since), because: *because })
            }
            _ => return,
        };
        let job = self.names[name.as_deref().unwrap()];
        self.note(job, what);
    }
}

/// Writes to the disk, and notes what it has then.
fn put(store: &MemoryStore, shared: &Shared, batch: Batch) -> Vec<Kept> {
    let answers: Arc<Mutex<Vec<Kept>>> = Arc::default();
    let heard = answers.clone();
    store.write(batch.clone(), Done::new(move |answer| *heard.lock() = answer.unwrap()));
    let answers = std::mem::take(&mut *answers.lock());
    let mut world = shared.lock();
    world.failing = false;
    for (change, answer) in batch.changes.into_iter().zip(&answers) {
        for job in change.jobs.into_iter().filter(|_| *answer == Kept::Yes) {
            world.written.insert(job.record.name.clone());
            let place = world.names[&*job.record.name];
            let what = What::Kept { record: Box::new(job.record), ended: job.ended };
            // It is so whether the process lives to hear of it or not.
            let at = world.at;
            world.log.push(Line { at, job: place, what });
        }
    }
    answers
}

/// The way to the disk.
fn way(store: &MemoryStore, shared: &Shared, mut batch: Batch, done: Done) {
    let mut world = shared.lock();
    if !world.alive {
        return;
    }
    if world.full {
        world.failing = true;
        drop(world);
        return done.with(Err(StoreError::Full { path: "jobs.db".into() }));
    }
    world.calls_left = world.calls_left.saturating_sub(1);
    if world.calls_left == 0 {
        let fate = world.fate;
        let reaches = |rng: &mut Rng| fate == Fate::After || fate == Fate::Torn && rng.bool();
        let (rng, mut left) = (&mut world.rng, Vec::new());
        let reach: Vec<bool> = batch.changes.iter().map(|_| reaches(rng)).collect();
        let mut reach = reach.into_iter();
        batch.changes.retain(|change| {
            let kept = reach.next().unwrap_or_default();
            left.extend((!kept).then(|| change.clone()));
            kept
        });
        world.late = if world.rng.bool() { left } else { Vec::new() };
        drop(world);
        put(store, shared, batch);
        return shared.lock().die();
    }
    let waits = world.slow && world.rng.bool();
    let fails = waits && world.rng.u8(..5) == 0;
    drop(world);
    if fails {
        let error = StoreError::Full { path: "jobs.db".into() };
        return shared.lock().unanswered.push((Err(error), done));
    }
    let answers = put(store, shared, batch);
    if waits {
        return shared.lock().unanswered.push((Ok(answers), done));
    }
    done.with(Ok(answers));
    // What the last process had sent arrives when this one has gone on.
    let mut world = shared.lock();
    if !world.late.is_empty() && world.rng.u8(..3) == 0 {
        let written = world.written.clone();
        let mut late = std::mem::take(&mut world.late);
        late.retain(|change| change.jobs.iter().all(|job| written.contains(&job.record.name)));
        drop(world);
        store.write(Batch { node: "late".into(), changes: late }, Done::new(|_| ()));
    }
}

pub struct Machine {
    shared: Shared,
    clock: ManualClock,
    store: MemoryStore,
    pub jobs: Vec<Job>,
    rng: Rng,
    /// What the wall clock would show had nobody set it.
    right: i64,
    /// A board without a battery: its clock begins in 1970 each time.
    is_board: bool,
    /// How often the clock was set.
    pub steps: u64,
    /// What the releases had in each life, by job.
    rules: Vec<Vec<Option<Rule>>>,
}

impl Machine {
    pub fn drawn(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let right = 1_772_000_000 * SECOND + rng.i64(0..300) * DAY + rng.i64(0..DAY);
        let clock = ManualClock::new(DateTime::from_timestamp_nanos(right));
        let jobs = table::drawn(&mut rng, right);
        let world = World {
            clock: clock.clone(),
            rng: rng.fork(),
            at: At::default(),
            began: (0, Duration::ZERO),
            log: Vec::new(),
            alive: false,
            calls_left: 0,
            fate: Fate::Before,
            full: false,
            failing: false,
            slow: false,
            unanswered: Vec::new(),
            late: Vec::new(),
            written: BTreeSet::new(),
            calm: false,
            names: BTreeMap::new(),
            polls: 0,
            kills: 0,
        };
        let (store, is_board) = (MemoryStore::new(clock.clone()), rng.u8(..6) == 0);
        let (shared, rules) = (Arc::new(Mutex::new(world)), Vec::new());
        Machine { shared, store, clock, jobs, rng, right, is_board, steps: 0, rules }
    }

    /// Leads its whole life. Gives what is on its disk in the end.
    pub fn live(&mut self) -> MemoryStore {
        for _ in 0..self.rng.u32(2..14) {
            self.run(false);
            self.rest();
            for job in &mut self.jobs {
                if self.rng.u8(..20) == 0 {
                    job.release(&mut self.rng, nanos(&self.clock.wall()));
                }
            }
        }
        self.run(true);
        self.store.clone()
    }

    pub fn rule_in(&self, job: usize, life: usize) -> Option<Rule> {
        self.rules.get(life.checked_sub(1)?)?[job].clone()
    }

    pub fn world(&self) -> parking_lot::MutexGuard<'_, World> {
        self.shared.lock()
    }

    /// How long all of it took.
    pub fn lived(&self) -> Duration {
        self.clock.boot().unwrap()
    }

    fn rest(&mut self) {
        let off = match self.rng.u8(..8) {
            0 => 0,
            1 | 2 => self.rng.i64(SECOND..MINUTE),
            3 | 4 => self.rng.i64(SECOND..2 * DAY),
            _ => self.rng.i64(SECOND..120 * DAY),
        };
        self.clock.suspend(length(off));
        match self.rng.u8(..20) {
            roll if self.is_board || roll == 6 => {
                let since_1970 = self.rng.i64(0..HOUR);
                self.clock.step(TimeDelta::nanoseconds(since_1970 - nanos(&self.clock.wall())));
                self.steps += 1;
            }
            roll @ 0..=5 => {
                self.set(roll > 1);
            }
            _ => {}
        }
    }

    /// Sets the wall clock: right, or anyhow. Gives whether that was back.
    fn set(&mut self, right: bool) -> bool {
        let wall = nanos(&self.clock.wall());
        let right_wall = self.right + self.clock.boot().unwrap().as_nanos() as i64;
        let size = [MINUTE, 3 * HOUR, 3 * DAY, 3 * 365 * DAY][self.rng.usize(..4)];
        let by = if right { right_wall - wall } else { self.rng.i64(2 * SECOND..size) * [1, -1][self.rng.usize(..2)] };
        if by.abs() < 2 * SECOND || !(0..150 * 365 * DAY).contains(&(wall + by)) {
            return false;
        }
        self.clock.step(TimeDelta::nanoseconds(by));
        self.steps += 1;
        by < 0
    }

    /// One life of the program.
    fn run(&mut self, calm: bool) {
        let works: Arc<Mutex<Vec<Work>>> = Arc::default();
        self.rules.push(self.jobs.iter().map(|job| job.rules.last().cloned()).collect());
        {
            let mut world = self.shared.lock();
            world.began = (nanos(&self.clock.wall()), self.clock.boot().unwrap());
            world.at.life += 1;
            world.at = world.now();
            world.alive = true;
            world.calm = calm;
            world.calls_left = if calm { u32::MAX } else { self.rng.u32(1..60) };
            world.fate = [Fate::Before, Fate::After, Fate::Torn][self.rng.usize(..3)];
            (world.full, world.failing) = (false, false);
            world.slow = !calm && self.rng.u8(..5) == 0;
            world.unanswered.clear();
            world.written.clear();
            world.names = (0..).zip(&self.jobs).map(|(place, job)| (job.name().to_owned(), place)).collect();
            world.note(0, What::Boot);
        }
        let shared = self.shared.clone();
        let disk = Disk { store: self.store.clone(), way: move |store: &_, batch, done| way(store, &shared, batch, done) };
        let queue = works.clone();
        let executor = move |work| {
            queue.lock().push(work);
            Ok(())
        };
        let mut builder = Scheduler::builder().clock(self.clock.clone()).zone(Utc).store(disk).executor(executor);
        if self.rng.u8(..3) == 0 {
            builder = builder.budget(Duration::from_secs(2));
        }
        let scheduler: Scheduler = builder.build();
        let shared = self.shared.clone();
        scheduler.on_event(move |event| shared.lock().tell(event));
        let handles = self.register(&scheduler);
        let polls = if calm { 0 } else { self.rng.u32(..60) };
        for _ in 0..polls {
            self.pass(&scheduler);
            self.poll(&scheduler, &works);
            if !self.world().alive {
                break;
            }
            if self.rng.u8(..10) == 0 {
                self.interfere(&handles);
            }
        }
        if calm {
            self.finish(&scheduler, &handles, &works);
        } else if self.world().alive && self.rng.bool() {
            // It ends as it should: what it knows is written.
            self.world().full = false;
            self.answer();
            self.poll(&scheduler, &works);
            let _ = scheduler.shutdown(Duration::ZERO);
        }
        self.world().note(0, What::Over);
        self.world().alive = false;
        drop(scheduler);
        works.lock().clear();
        let unanswered = std::mem::take(&mut self.world().unanswered);
        drop(unanswered);
    }

    /// What lies between two polls.
    fn pass(&mut self, scheduler: &Scheduler) {
        // A jump is told from slewing by how long it is beside the time that passed since the last look.
        let _ = scheduler.idle();
        if nanos(&self.clock.wall()) < SET && self.rng.u8(..10) == 0 {
            self.set(true);
            return;
        }
        match self.rng.u8(..40) {
            0 | 1 => {
                let most = [MINUTE, 2 * DAY, 20 * DAY][self.rng.usize(..3)];
                self.clock.suspend(length(self.rng.i64(2 * SECOND..most)));
            }
            right @ (2 | 3) => {
                if self.set(right == 3) {
                    let mut world = self.shared.lock();
                    world.at = world.now();
                    world.note(0, What::SetBack);
                }
            }
            4 => {}
            5..=8 => self.clock.advance(length(self.rng.i64(0..SECOND))),
            9..=20 => self.clock.advance(length(self.rng.i64(0..20 * SECOND))),
            21..=28 => self.clock.advance(length(self.rng.i64(0..HOUR))),
            29..=36 => self.clock.advance(length(self.rng.i64(0..8 * HOUR))),
            _ => self.clock.advance(length(self.rng.i64(0..5 * DAY))),
        }
    }

    fn poll(&mut self, scheduler: &Scheduler, works: &Mutex<Vec<Work>>) {
        {
            let mut world = self.shared.lock();
            world.at = world.now();
            world.polls += 1;
            world.note(0, What::Polled);
            if !world.calm {
                world.full = if world.full { self.rng.u8(..3) > 0 } else { self.rng.u8(..40) == 0 };
            }
        }
        if self.rng.bool() {
            self.answer();
        }
        let healthy = !self.world().full && self.world().unanswered.is_empty();
        let _ = scheduler.run_pending();
        let rests = scheduler.idle() != Some(Duration::ZERO);
        let mut world = self.shared.lock();
        if healthy && rests && world.unanswered.is_empty() && !world.failing {
            world.note(0, What::Written);
        }
        drop(world);
        let _ = scheduler.idle();
        while self.world().alive && (self.world().calm || self.rng.u8(..5) > 0) {
            let Some(work) = works.lock().pop() else { break };
            work.run();
        }
    }

    /// The store answers at last.
    fn answer(&mut self) {
        let unanswered = std::mem::take(&mut self.world().unanswered);
        for (answer, done) in unanswered {
            self.world().failing |= answer.is_err();
            done.with(answer);
        }
    }

    /// The host pauses a job, or lets it go on.
    fn interfere(&mut self, handles: &[Option<JobHandle>]) {
        let job = self.rng.usize(..handles.len());
        let Some(handle) = handles[job].as_ref().filter(|_| self.jobs[job].follows.is_none()) else { return };
        let Some(paused) = handle.snapshot().map(|job| job.paused) else { return };
        {
            let mut world = self.shared.lock();
            world.at = world.now();
            world.note(job, if paused { What::Resumed } else { What::Paused });
        }
        let _ = if paused { handle.resume() } else { handle.pause() };
    }

    /// All that is left is done.
    fn finish(&mut self, scheduler: &Scheduler, handles: &[Option<JobHandle>], works: &Mutex<Vec<Work>>) {
        for (job, handle) in handles.iter().enumerate() {
            if let Some(handle) = handle.as_ref().filter(|handle| handle.snapshot().is_some_and(|job| job.paused)) {
                self.world().note(job, What::Resumed);
                handle.resume();
            }
        }
        // Whatever waits has its turn within two hours.
        for pass in [0, 2 * HOUR, 2 * HOUR] {
            self.clock.advance(length(pass));
            let mut idle = || {
                self.poll(scheduler, works);
                works.lock().is_empty() && scheduler.idle() != Some(Duration::ZERO)
            };
            assert!((0..300).any(|_| idle()), "a poll that asks for another one again and again");
        }
    }

    fn register(&mut self, scheduler: &Scheduler) -> Vec<Option<JobHandle>> {
        let mut handles: Vec<Option<JobHandle>> = Vec::new();
        for (place, job) in self.jobs.iter().enumerate() {
            let known = job.names.iter().any(|name| self.store.load(name).unwrap().is_some());
            let (shared, clock) = (self.shared.clone(), self.clock.clone());
            let (takes, fails) = (job.takes, job.fails);
            let called = move |run: &RunView| call(&shared, &clock, place, run, takes, fails);
            macro_rules! said {
                ($job:expr) => {{
                    let mut new = $job.named(job.name()).on_change(job.on_change);
                    for name in job.names[..job.names.len() - 1].iter().rev() {
                        new = new.formerly(name);
                    }
                    if job.again {
                        new = new.at_least_once();
                    }
                    if job.retries > 0 {
                        new = new.retry(job.retries).backoff(Backoff::constant(length(job.backoff)));
                    }
                    if job.overlap != Overlap::Skip {
                        new = new.overlap(job.overlap);
                    }
                    if let Some(starts) = job.hold_after {
                        new = new.hold_after_crashes(starts);
                    }
                    new
                }};
            }
            let handle = match job.follows {
                Some((before, delay)) => handles[before].as_ref().and_then(|before| {
                    let mut job_of = said!(scheduler.following(before).delay(length(delay)));
                    if let Some(within) = job.within {
                        job_of = job_of.within(length(within));
                    }
                    let handle = if job.background {
                        job_of.background().do_with(move |run, ()| called(run))
                    } else {
                        job_of.do_with(move |run, ()| called(run))
                    };
                    // What it follows may have had its last run.
                    handle.ok()
                }),
                None => {
                    let rule = job.rule();
                    let when = match &rule.when {
                        When::Every(period) => scheduler.every_period(length(*period)),
                        When::After(delay) => scheduler.once_after(length(*delay)),
                        When::Once(at) => scheduler.once_at(DateTime::from_timestamp_nanos(*at)),
                        When::Wall(schedule) => scheduler.schedule(schedule.clone()),
                    };
                    let when = if let Some(times) = rule.times { when.times(times) } else { when };
                    let mut when = said!(when.missed(job.missed));
                    if let Some(grace) = job.grace {
                        when = when.grace(length(grace));
                    }
                    let handle =
                        if job.background { when.background().do_with(called) } else { when.do_with(move |run| called(run)) };
                    Some(handle.unwrap())
                }
            };
            if let Some(handle) = &handle {
                let paused = handle.snapshot().is_some_and(|job| job.paused);
                self.shared.lock().note(place, What::Registered { known, paused });
            }
            handles.push(handle);
        }
        handles
    }
}

/// A call of a job: it writes down what it was told, takes its time, fails, or ends its process.
fn call(shared: &Shared, clock: &ManualClock, job: usize, run: &RunView, takes: i64, fails: u8) -> Result<(), String> {
    let mut world = shared.lock();
    if !world.alive {
        return Ok(());
    }
    let called = Called {
        first: nanos(&run.first_missed()),
        due: nanos(&run.due()),
        folded: run.folded(),
        number: run.number(),
        attempt: run.attempt(),
        follows: run.follows().map(|run| run.number).into_iter().collect(),
    };
    let (number, attempt) = (called.number, called.attempt);
    world.note(job, What::Began { run: called, flagged: run.previous_was_cut_off() });
    let failed = !world.calm && world.rng.u8(..100) < fails;
    let dies = !world.calm && world.rng.u8(..60) == 0;
    let takes = if world.calm { 0 } else { takes };
    drop(world);
    clock.advance(length(takes));
    let mut world = shared.lock();
    if dies {
        world.die();
        return Ok(());
    }
    world.note(job, What::Finished { number, attempt, failed });
    if failed { Err("an error".to_owned()) } else { Ok(()) }
}
