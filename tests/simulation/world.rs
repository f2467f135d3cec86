//! The scheduler itself, on a manual clock, driven by the same plan as the model.
//!
//! All of it happens on one thread: background work is held by an executor of the simulation's own until the host runs a piece.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use punctual::{
    BoxError, Clock, ClockChange, Error, Event, FailureKind, JobHandle, JobId, JobResult, ManualClock, Outcome, RunEnd, RunFacts,
    RunView, Schedule, Scheduler, Work,
};

use crate::log::{Call, Heard, Line, State, Ticked, Told, What};
use crate::plan::{
    Act, Backoff, Behaviour, Ending, FLAGS, Kind, Limit, MOST_JOBS, Missed, Ms, NAMES, On, Overlap, Plan, Spec, Step, TAGS, Time,
    When,
};

/// What a simulated panic says, so that it is not printed.
pub(crate) const PANIC: &str = "a simulated panic";

/// More than any one step makes.
const MOST_LINES: usize = 5_000;

/// What a job returns: the number of the call, and what it says of its run.
struct Said(Result<(u64, Outcome), &'static str>);

impl JobResult for Said {
    type Value = u64;

    fn into_end(self) -> Result<(u64, Outcome), BoxError> {
        self.0.map_err(Into::into)
    }
}

pub(crate) struct World {
    inner: Arc<Inner>,
}

struct Inner {
    plan: Arc<Plan>,
    clock: ManualClock,
    /// How often the scheduler read its clock in this step.
    reads: Arc<AtomicUsize>,
    scheduler: Mutex<Option<Scheduler>>,
    jobs: Mutex<Vec<Job>>,
    flags: Arc<[AtomicBool; FLAGS]>,
    /// What the executor holds.
    held: Mutex<Vec<Work>>,
    serial: AtomicU64,
    heard: Mutex<Vec<(Option<JobId>, Heard)>>,
}

/// The clock as the scheduler reads it: so often in one step at most, since a poll without an end may call nothing.
struct Bounded {
    clock: ManualClock,
    reads: Arc<AtomicUsize>,
}

/// More than any one step takes.
const MOST_READS: usize = 50_000;

impl Clock for Bounded {
    fn wall(&self) -> DateTime<Utc> {
        self.clock.wall()
    }

    fn monotonic(&self) -> Duration {
        if self.reads.fetch_add(1, Ordering::Relaxed) == MOST_READS {
            panic!("a poll that does not come to an end");
        }
        self.clock.monotonic()
    }

    fn boot(&self) -> Option<Duration> {
        self.clock.boot()
    }
}

struct Job {
    handle: JobHandle<u64>,
    spec: Spec,
}

fn long(ms: Ms) -> Duration {
    Duration::from_millis(ms.unsigned_abs())
}

fn ms(length: Duration) -> Ms {
    length.as_millis() as Ms
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let clock = ManualClock::new(DateTime::from_timestamp_millis(plan.start).expect("a start within the calendar"));
        let inner = Arc::new(Inner {
            plan: Arc::new(plan.clone()),
            clock: clock.clone(),
            reads: Arc::default(),
            scheduler: Mutex::default(),
            jobs: Mutex::default(),
            flags: Arc::default(),
            held: Mutex::default(),
            serial: AtomicU64::new(0),
            heard: Mutex::default(),
        });
        let holder = Arc::downgrade(&inner);
        let hold = move |work| match holder.upgrade() {
            Some(inner) => inner.hold(work),
            None => Err(work),
        };
        let mut builder = Scheduler::builder().clock(Bounded { clock, reads: inner.reads.clone() }).zone(Utc).executor(hold);
        if let Some(budget) = plan.budget {
            builder = builder.budget(long(budget));
        }
        let scheduler: Scheduler = builder.build();
        *lock(&inner.scheduler) = Some(scheduler.clone());
        name_limits(&scheduler, plan);
        if plan.watched {
            let watching = Arc::downgrade(&inner);
            scheduler.on_event(move |event| {
                if let Some(inner) = watching.upgrade() {
                    inner.told(event);
                }
            });
        }
        World { inner }
    }

    pub(crate) fn step(&self, step: &Step) {
        self.inner.reads.store(0, Ordering::Relaxed);
        match step {
            Step::Advance(ms) => self.inner.clock.advance(long(*ms)),
            Step::Suspend(ms) => self.inner.clock.suspend(long(*ms)),
            Step::Set(ms) => self.inner.clock.step(TimeDelta::milliseconds(*ms)),
            Step::Act(act) => self.inner.act(act, None),
        }
    }

    pub(crate) fn register(&self, spec: &Spec) {
        self.inner.register(spec.clone());
    }

    /// What was heard since.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        let heard = std::mem::take(&mut *lock(&self.inner.heard));
        let jobs = lock(&self.inner.jobs);
        let number = |id: Option<JobId>| jobs.iter().position(|job| Some(job.handle.id()) == id).unwrap_or(usize::MAX);
        let named = |(id, mut heard): (Option<JobId>, Heard)| {
            match &mut heard.what {
                What::Told(
                    Told::Failed { job, .. }
                    | Told::Retried { job, .. }
                    | Told::Ended { job, .. }
                    | Told::Missed { job, .. }
                    | Told::Dropped { job, .. }
                    | Told::Overran { job, .. }
                    | Told::TimedOut { job }
                    | Told::Stray { job }
                    | Told::Paused { job }
                    | Told::Reanchored { job, .. }
                    | Told::Removed { job },
                )
                | What::Started { job, .. } => *job = number(id),
                _ => {}
            }
            heard
        };
        heard.into_iter().map(named).collect()
    }

    pub(crate) fn spec(&self, number: usize) -> Spec {
        lock(&self.inner.jobs)[number].spec.clone()
    }

    pub(crate) fn state(&self, number: usize) -> State {
        let handle = lock(&self.inner.jobs)[number].handle.clone();
        let snapshot = handle.snapshot();
        let stats = handle.stats();
        State {
            there: snapshot.is_some(),
            paused: snapshot.as_ref().is_some_and(|job| job.paused),
            running: snapshot.as_ref().is_some_and(|job| job.running),
            runs: stats.runs,
            errors: stats.errors,
            panics: stats.panics,
            timeouts: stats.timeouts,
            stopped: stats.stopped,
            retries: stats.retries,
            folded: stats.folded,
            dropped: stats.dropped,
            next: handle.next_run().map(|at| at.timestamp_millis()),
            last: handle.last_run().map(|run| (run.due.timestamp_millis(), run.folded, end(run.end))),
        }
    }

    pub(crate) fn idle(&self) -> Option<Ms> {
        self.inner.scheduler()?.idle().map(ms)
    }
}

/// A job that several limits hold back stands in the line of the first of them, in the order in which they were first named.
/// Where that matters a job that is paused names them all beforehand, in the order of the plan.
fn name_limits(scheduler: &Scheduler, plan: &Plan) {
    let specs = || plan.jobs.iter().chain(&plan.spares);
    if specs().all(|spec| spec.limits.len() < 2) {
        return;
    }
    let mut job = scheduler.reboot();
    for name in 0..NAMES.len() {
        let named =
            |limit: &&Limit| matches!(limit, Limit::Mutex(of) | Limit::AtMost(_, of) | Limit::Rate(_, _, of) if *of == name);
        if let Some(limit) = specs().flat_map(|spec| &spec.limits).find(named) {
            job = match *limit {
                Limit::Mutex(name) => job.mutex(NAMES[name]),
                Limit::AtMost(most, name) => job.at_most(most, NAMES[name]),
                Limit::Rate(most, per, name) => job.rate(most, long(per), NAMES[name]),
            };
        }
    }
    job.do_(|| ()).expect("the limits of a plan can be named").pause();
}

impl Drop for World {
    fn drop(&mut self) {
        // Taken out and dropped without the lock: jobs hold the world weakly, but what they are dropped with may look at it.
        let scheduler = lock(&self.inner.scheduler).take();
        drop(scheduler);
        let held = std::mem::take(&mut *lock(&self.inner.held));
        drop(held);
    }
}

fn end(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Done => "done",
        RunEnd::Failed => "failed",
        RunEnd::Panicked => "panicked",
        RunEnd::TimedOut => "timed out",
        RunEnd::Stopped => "stopped",
        RunEnd::Lost => "lost",
        _ => "?",
    }
}

/// Says all the words of a spec to a job in the making, of whatever type.
macro_rules! words {
    ($job:expr, $spec:expr, $number:expr, $world:expr) => {{
        let (spec, number): (&Spec, usize) = (&$spec, $number);
        let mut job = $job.named(format!("j{number}")).priority(spec.priority);
        if let Some(tag) = spec.tag {
            job = job.tag(TAGS[tag]);
        }
        if let Some(overlap) = spec.overlap {
            job = job.overlap(match overlap {
                Overlap::Skip => punctual::Overlap::Skip,
                Overlap::Queue(most) => punctual::Overlap::Queue { most },
                Overlap::Allow(most) => punctual::Overlap::Allow { most },
                Overlap::CancelRunning => punctual::Overlap::CancelRunning,
            });
        }
        if let Some(timeout) = spec.timeout {
            job = job.timeout(long(timeout));
        }
        if let Some(retry) = &spec.retry {
            job = job.retry(retry.times);
            if let Some(backoff) = &retry.backoff {
                job = job.backoff(match backoff {
                    Backoff::Constant(wait) => punctual::Backoff::constant(long(*wait)),
                    Backoff::Exponential(first, most) => punctual::Backoff::exponential(long(*first), long(*most)),
                    Backoff::List(waits) => punctual::Backoff::list(waits.iter().copied().map(long)),
                });
            }
            if retry.unless_panicked {
                job = job.retry_if(|failure| !matches!(failure.kind, FailureKind::Panic(_)));
            }
        }
        if let Some(failures) = spec.pause_after {
            job = job.pause_after_failures(failures);
        }
        if let Some(spacing) = spec.spacing {
            job = job.spacing(long(spacing));
        }
        for limit in &spec.limits {
            job = match *limit {
                Limit::Mutex(name) => job.mutex(NAMES[name]),
                Limit::AtMost(most, name) => job.at_most(most, NAMES[name]),
                Limit::Rate(most, per, name) => job.rate(most, long(per), NAMES[name]),
            };
        }
        if let Some(flag) = spec.condition {
            let flags = $world.flags.clone();
            job = job.when(move || flags[flag].load(Ordering::Relaxed));
        }
        if let Some(latest) = spec.at_latest {
            job = job.at_latest(long(latest));
        }
        if let Some((from, to)) = spec.window {
            job = job.run_between(Time(from).to_string(), Time(to).to_string());
        }
        job
    }};
}

impl Inner {
    /// The executor.
    fn hold(&self, work: Work) -> Result<(), Work> {
        let mut held = lock(&self.held);
        if self.plan.capacity.is_some_and(|capacity| held.len() >= capacity) {
            return Err(work);
        }
        held.push(work);
        Ok(())
    }

    fn held(&self, number: usize) -> Option<Work> {
        let mut held = lock(&self.held);
        let number = number.checked_rem(held.len())?;
        Some(held.remove(number))
    }

    fn scheduler(&self) -> Option<Scheduler> {
        lock(&self.scheduler).clone()
    }

    fn hear(&self, id: Option<JobId>, what: What) {
        let elapsed = self.plan.start + self.clock.boot().map_or(0, ms);
        let heard = Heard { elapsed, wall: self.clock.wall().timestamp_millis(), what };
        lock(&self.heard).push((id, heard));
    }

    fn say(&self, text: String) {
        self.hear(None, What::Line(Line::Act(text)));
    }

    fn number(&self, id: JobId) -> usize {
        lock(&self.jobs).iter().position(|job| job.handle.id() == id).unwrap_or(usize::MAX)
    }

    /// A job by its place in order of registration, counted round.
    fn job(&self, number: usize) -> Option<(usize, JobHandle<u64>, bool)> {
        let jobs = lock(&self.jobs);
        let number = number.checked_rem(jobs.len())?;
        let follows = matches!(jobs[number].spec.kind, Kind::Following { .. });
        Some((number, jobs[number].handle.clone(), follows))
    }

    fn act(self: &Arc<Self>, act: &Act, by: Option<usize>) {
        let Some(scheduler) = self.scheduler() else { return };
        match act {
            Act::Poll(budget) => {
                self.hear(None, What::Poll(budget.or(self.plan.budget)));
                let tick = match budget {
                    Some(budget) => scheduler.run_pending_within(long(*budget)),
                    None => scheduler.run_pending(),
                };
                let tick = Ticked {
                    busy: tick.was_busy(),
                    ran: tick.ran(),
                    handed: tick.handed(),
                    returned: tick.returned(),
                    failed: tick.failed(),
                    put_off: tick.put_off(),
                };
                self.hear(None, What::Polled);
                self.say(format!("{tick:?}"));
            }
            Act::Register(number) => {
                if let Some(spec) = self.plan.spec(*number) {
                    self.register(spec.clone());
                }
            }
            Act::Cancel(job) => {
                if let Some((number, handle, _)) = self.job(*job) {
                    handle.cancel();
                    self.say(format!("cancel j{number}"));
                }
            }
            Act::CancelSelf => {
                if let Some((number, handle, _)) = by.and_then(|by| self.job(by)) {
                    handle.cancel();
                    self.say(format!("cancel self j{number}"));
                }
            }
            Act::RunNow(job) => {
                if let Some((number, handle, _)) = self.job(*job) {
                    self.hear(None, What::ByHand(number));
                    let was = handle.run_now();
                    self.say(format!("run j{number} now: {was}"));
                }
            }
            Act::Pause(job) => {
                if let Some((number, handle, _)) = self.job(*job) {
                    let was = handle.pause();
                    self.say(format!("pause j{number}: {was}"));
                }
            }
            Act::Resume(job) => {
                if let Some((number, handle, _)) = self.job(*job) {
                    let was = handle.resume();
                    self.say(format!("resume j{number}: {was}"));
                }
            }
            Act::Reschedule(job, when) => {
                if let Some((number, handle, false)) = self.job(*job) {
                    self.hear(None, What::Rescheduled(number));
                    if *when == When::Reboot {
                        self.hear(None, What::ByHand(number));
                    }
                    let was = match handle.reschedule(schedule(when)) {
                        Ok(()) => "done",
                        Err(Error::JobGone) => "gone",
                        Err(_) => "refused",
                    };
                    self.say(format!("reschedule j{number}: {was}"));
                }
            }
            Act::AlsoAfter(job, other) => {
                if let (Some((number, job, false)), Some((other_number, other, _))) = (self.job(*job), self.job(*other)) {
                    let was = match job.also_after(&other) {
                        Ok(()) => "done".into(),
                        Err(Error::JobGone) => "gone".into(),
                        Err(Error::Circle { .. }) => "circle".into(),
                        Err(error) => error.to_string(),
                    };
                    self.say(format!("j{number} also after j{other_number}: {was}"));
                }
            }
            Act::Work(number) => {
                if let Some(work) = self.held(*number) {
                    work.run();
                }
            }
            Act::Lose(number) => drop(self.held(*number)),
            Act::ClearTagged(tag) => {
                let cleared = scheduler.clear_tagged(TAGS[*tag]);
                self.say(format!("cleared {cleared}"));
            }
            Act::Flip(flag) => {
                self.flags[*flag].fetch_xor(true, Ordering::Relaxed);
            }
            Act::PauseAll => scheduler.pause(),
            Act::ResumeAll => scheduler.resume(),
            Act::Shutdown => {
                drop(scheduler.shutdown(Duration::ZERO));
                self.hear(None, What::ShutDown);
            }
        }
    }

    fn register(self: &Arc<Self>, spec: Spec) {
        let Some(scheduler) = self.scheduler() else { return };
        let number = lock(&self.jobs).len();
        if number >= MOST_JOBS {
            return;
        }
        let me = Me { world: Arc::downgrade(self), number, calls: Arc::default(), script: spec.script.clone() };
        let result = match &spec.kind {
            Kind::Scheduled { when, immediately, times, until, missed, grace } => {
                let mut job = match when {
                    When::Every(period) | When::AfterCompletion(period) => scheduler.every_period(long(*period)),
                    When::OnceAfter(delay) => scheduler.once_after(long(*delay)),
                    When::Reboot => scheduler.reboot(),
                    When::Daily(_) | When::Cron(_) => scheduler.schedule(schedule(when)),
                };
                if let When::AfterCompletion(_) = when {
                    job = job.after_completion();
                }
                if *immediately {
                    job = job.immediately();
                }
                if let Some(times) = times {
                    job = job.times(*times);
                }
                if let Some(until) = until {
                    job = job.until(long(*until));
                }
                let missed = match *missed {
                    Missed::RunOnce => punctual::Missed::RunOnce,
                    Missed::Skip => punctual::Missed::Skip,
                    Missed::RunAll(most) => punctual::Missed::RunAll { most },
                };
                let mut job = job.missed(missed);
                if let Some(grace) = grace {
                    job = job.grace(long(*grace));
                }
                if spec.background {
                    words!(job.background(), spec, number, self).do_with(move |run: &RunView| me.called(run, &[]))
                } else {
                    words!(job, spec, number, self).do_with(move |run| me.called(run, &[]))
                }
            }
            Kind::Following { of, all, on, within, delay } => {
                let mut others: Vec<usize> = Vec::new();
                for other in of {
                    let Some((other, ..)) = self.job(*other) else { return };
                    if !others.contains(&other) {
                        others.push(other);
                    }
                }
                let handles: Vec<_> = others.iter().filter_map(|other| Some(self.job(*other)?.1)).collect();
                macro_rules! follow {
                    ($job:expr, $value:ident => $values:expr) => {{
                        let mut job = $job;
                        if let Some(within) = within {
                            job = job.within(long(*within));
                        }
                        if let Some(delay) = delay {
                            job = job.delay(long(*delay));
                        }
                        if spec.background {
                            words!(job.background(), spec, number, self)
                                .do_with(move |run: &RunView, $value| me.called(run, $values))
                        } else {
                            words!(job, spec, number, self).do_with(move |run, $value| me.called(run, $values))
                        }
                    }};
                }
                match (all, on, &handles[..]) {
                    (true, On::Success, [one, other]) => {
                        follow!(scheduler.following_all((one, other)), values => &[*values.0, *values.1])
                    }
                    (_, On::Success, [one]) => follow!(scheduler.following(one), value => &[*value]),
                    (_, On::Success, _) => follow!(scheduler.following_any(&handles), value => &[*value]),
                    (_, On::Failure, _) => follow!(scheduler.following_any(&handles).on_failure(), _failure => &[]),
                    (_, On::End, _) => follow!(scheduler.following_any(&handles).on_end(), _last => &[]),
                }
            }
        };
        match result {
            Ok(handle) => {
                lock(&self.jobs).push(Job { handle, spec });
                self.say(format!("registered j{number}"));
            }
            Err(Error::NeverRuns { .. }) => self.say("refused: it never runs".into()),
            Err(Error::JobGone) => self.say("refused: the job is gone".into()),
            Err(Error::AllowInline) => self.say("refused: runs beside each other".into()),
            Err(Error::ShutDown) => self.say("refused: shut down".into()),
            Err(error) => self.say(format!("refused: {error}")),
        }
    }

    fn told(&self, event: &Event) {
        let at = |instant: &DateTime<Utc>| instant.timestamp_millis();
        let job = usize::MAX;
        let (id, told) = match event {
            Event::Failed(failure) => {
                let how = match failure.kind {
                    FailureKind::Error(_) => "failed",
                    FailureKind::Panic(_) => "panicked",
                    FailureKind::TimedOut(_) => "timed out",
                    FailureKind::Retry => "failed",
                    FailureKind::Lost => "lost",
                    _ => "?",
                };
                (failure.id, Told::Failed { job, due: at(&failure.due), how })
            }
            Event::Started(run) => {
                return self.hear(Some(run.id), What::Started { job, attempt: run.attempt, turn: run.turn, due: at(&run.due) });
            }
            Event::Retried { id, attempt, .. } => (*id, Told::Retried { job, attempt: *attempt }),
            Event::Ended { run, end: how, .. } => (run.id, Told::Ended { job, end: end(*how) }),
            Event::TimedOut { id, .. } => (*id, Told::TimedOut { job }),
            Event::Stray { id, .. } => (*id, Told::Stray { job }),
            Event::Paused { id, .. } => (*id, Told::Paused { job }),
            Event::Missed { id, occurrences, since, .. } => {
                (*id, Told::Missed { job, occurrences: *occurrences, since: at(since) })
            }
            Event::Dropped { id, occurrences, since, because, .. } => {
                (*id, Told::Dropped { job, occurrences: *occurrences, since: at(since), because: format!("{because:?}") })
            }
            Event::PutOff { jobs, first } => (*first, Told::PutOff { jobs: *jobs }),
            Event::Overran { id, by, .. } => (*id, Told::Overran { job, by: ms(*by) }),
            Event::Clock(change) => {
                let change = match change {
                    ClockChange::Suspended(by) => format!("slept {}", ms(*by)),
                    ClockChange::SteppedForward(by) => format!("set {}", ms(*by)),
                    ClockChange::SteppedBack(by) => format!("set -{}", ms(*by)),
                    _ => "?".into(),
                };
                return self.hear(None, What::Told(Told::Clock { change }));
            }
            Event::Reanchored { id, next, .. } => (*id, Told::Reanchored { job, next: next.as_ref().map(at) }),
            Event::Removed { id, .. } => (*id, Told::Removed { job }),
            _ => return,
        };
        self.hear(Some(id), What::Told(told));
    }
}

/// The same as a plain schedule.
fn schedule(when: &When) -> Schedule {
    let built = match when {
        When::Every(period) => Schedule::every_period(long(*period)).build(),
        When::AfterCompletion(period) => Schedule::every_period(long(*period)).after_completion().build(),
        When::OnceAfter(delay) => Ok(Schedule::once_after(long(*delay))),
        When::Daily(times) => {
            let daily = Schedule::every(1).days();
            times.iter().fold(daily, |daily, time| daily.at(Time(*time).to_string())).build()
        }
        When::Cron(step) => Schedule::cron(format!("*/{step} * * * *")),
        When::Reboot => Ok(Schedule::reboot()),
    };
    built.expect("a plan holds schedules that can be built")
}

/// A job's own side.
struct Me {
    world: Weak<Inner>,
    number: usize,
    calls: Arc<AtomicUsize>,
    script: Vec<Behaviour>,
}

impl Me {
    fn called(&self, run: &RunView, values: &[u64]) -> Said {
        let facts: &RunFacts = run.facts();
        let Some(world) = self.world.upgrade() else { return Said(Err("the world is gone")) };
        let at = |instant: &DateTime<Utc>| instant.timestamp_millis();
        let elapsed = || world.plan.start + world.clock.boot().map_or(0, ms);
        let write = |line| world.hear(None, What::Line(line));
        let serial = world.serial.fetch_add(1, Ordering::Relaxed);
        let follows = facts.follows.iter().map(|run| (world.number(run.id), at(&run.due))).collect();
        write(Line::Call(Call {
            job: self.number,
            serial,
            at: elapsed(),
            due: at(&facts.due),
            first: at(&facts.first_missed),
            folded: facts.folded,
            attempt: facts.attempt,
            turn: facts.turn,
            follows,
            values: values.to_vec(),
        }));
        if lock(&world.heard).len() > MOST_LINES {
            // A poll without an end is ended, and differs.
            world.say("a poll that does not come to an end".into());
            world.act(&Act::Shutdown, None);
        }
        let behaviour = &self.script[self.calls.fetch_add(1, Ordering::Relaxed) % self.script.len()];
        world.clock.advance(long(behaviour.takes / 2));
        for act in &behaviour.acts {
            world.act(act, Some(self.number));
        }
        world.clock.advance(long(behaviour.takes - behaviour.takes / 2));
        write(Line::Back { job: self.number, serial, at: elapsed(), ended: behaviour.end.name() });
        match behaviour.end {
            Ending::Done => Said(Ok((serial, Outcome::Done))),
            Ending::Cancel => Said(Ok((serial, Outcome::Cancel))),
            Ending::Yield => Said(Ok((serial, Outcome::Yield))),
            Ending::Retry => Said(Ok((serial, Outcome::Retry))),
            Ending::Error => Said(Err("a simulated error")),
            Ending::Panic => std::panic::panic_any(PANIC),
        }
    }
}
