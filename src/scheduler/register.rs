//! How jobs come in: the end of the chain that began with `every`.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::away::Launcher;
use super::away::{AtStop, JobFuture, on_executor, on_runtime};
use super::entry::{Body, Job};
#[cfg(feature = "command")]
use super::options::Usual;
use super::options::{Options, Place, job_options};
use super::plan::Plan;
use super::run::Called;
use super::value::{UNREAD, Value, keepable};
use super::{Run, Scheduler, Shared, carry};
use crate::builder::When;
use crate::caught::{caught, drop_quietly};
use crate::clock::Now;
use crate::error::Error;
use crate::id::JobId;
use crate::job::{Control, Epitaph, JobHandle, Results};
use crate::policy::Missed;
use crate::run::{BoxError, JobResult, Outcome, RunView};
use crate::schedule::{Zone, mix};

/// What a chain makes when it is begun at a scheduler: a job. `M` is where it runs, [`OnPoll`] or [`InBackground`].
pub struct Registering<C: 'static, M = OnPoll> {
    scheduler: Scheduler<C>,
    options: Options,
    mode: PhantomData<M>,
}

/// A job runs on the thread that polls.
#[derive(Debug, Clone, Copy)]
pub struct OnPoll;

/// A job runs on the scheduler's executor: see [`When::background`].
#[derive(Debug, Clone, Copy)]
pub struct InBackground;

impl<C, M> fmt::Debug for Registering<C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registering").field(&self.options).finish()
    }
}

/// The first occurrence of a plan, which is allowed to be none only if there is another first run.
pub(super) fn first(plan: &Plan, now: Now) -> Result<Option<i64>, Error> {
    let schedule = &plan.schedule;
    // A single instant that is past runs at the next poll.
    let next = plan.next(plan.on_scale(now)).or_else(|| schedule.single_instant(plan.on_scale(now)));
    if next.is_some() || schedule.is_reboot() || schedule.spec().immediately {
        return Ok(next);
    }
    let until = schedule.spec().until.is_some();
    let reason = if until { "it has no occurrence before its deadline" } else { "it has no occurrence before the year 2200" };
    Err(Error::NeverRuns { schedule: schedule.to_string(), reason })
}

fn identity(name: Option<&str>, order: u64, seed: u64) -> u64 {
    name.map_or(mix(seed, order), |name| name.bytes().fold(seed, |hash, byte| mix(hash, byte.into())))
}

/// Where a job's results are kept for the holders of its handle.
pub(super) struct Kept<T>(Arc<Results<T>>);

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Kept(self.0.clone())
    }
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// Takes a call's result: keeps its value, and hands it on.
    pub(super) fn keep(&self, result: impl JobResult<Value = T>) -> Called {
        self.keep_end(result.into_end())
    }

    /// The same, for a job that knows whether it has had a result. If that has no size, another one need not be kept.
    fn keep_another(&self, result: impl JobResult<Value = T>, is_told: bool, had: &mut bool) -> Called {
        match result.into_end() {
            Ok((value, Outcome::Done)) if size_of::<T>() == 0 && *had && !is_told => {
                drop_quietly(value);
                Ok((Outcome::Done, None))
            }
            end => {
                *had |= matches!(end, Ok((_, Outcome::Done)));
                self.keep_end(end)
            }
        }
    }

    fn keep_end(&self, end: Result<(T, Outcome), BoxError>) -> Called {
        match end {
            Ok((_, outcome @ (Outcome::Yield | Outcome::Retry))) => Ok((outcome, None)),
            Ok((value, outcome)) => Ok((outcome, Some(self.value(value)))),
            Err(error) => Err(self.error(error)),
        }
    }

    fn value(&self, value: T) -> Value {
        let (value, codec) = self.0.keep(value);
        match codec.and_then(|codec| caught(|| (codec.write)(&value)).ok()?) {
            Some(bytes) => keepable(value, bytes),
            None => value,
        }
    }

    fn error(&self, error: BoxError) -> Arc<dyn std::error::Error + Send + Sync> {
        let error: Arc<dyn std::error::Error + Send + Sync> = Arc::from(error);
        self.0.keep_error(error.clone());
        error
    }
}

/// A job's entry in the table, yet without a plan, and the handle on it.
pub(super) fn entry<C: 'static, T: Send + Sync + 'static>(
    shared: &Arc<Shared<C>>,
    options: &mut Options,
    body: impl FnOnce(Kept<T>) -> Body<C>,
) -> Result<(Job<C>, JobHandle<T>), Error> {
    let target = options.take_target().map(|target| target.of::<T>()).transpose()?;
    let id = shared.table.lock().reserve();
    let results = Arc::new(Results::<T>::default());
    let name: Option<Arc<str>> = options.name.take().map(Into::into);
    let mut body = body(Kept(results.clone()));
    if let Some(look) = target {
        results.found_by(look.clone());
        let kept = Kept(results.clone());
        body = body.after(Arc::new(move |run| {
            // Only an attempt looks, not each of its turns.
            match if run.turn == 0 { look(run) } else { Ok(None) } {
                Ok(found) => found.map(|value| Ok((Outcome::AlreadyDone, Some(kept.value(value))))),
                Err(error) => Some(Err(kept.error(error))),
            }
        }));
    }
    let mut entry = Job::new(id, name.clone(), results.clone() as Arc<dyn Epitaph>, body);
    if !options.tags.is_empty() {
        entry.besides.tags = std::mem::take(&mut options.tags);
    }
    entry.priority = options.priority;
    let control: Arc<dyn Control> = shared.clone();
    Ok((entry, JobHandle { id, name, control: Arc::downgrade(&control), results }))
}

/// A place in the table that is given back unless it is used: code of the user's own may fail or panic before.
struct Reserved<'a, C> {
    shared: &'a Shared<C>,
    id: Option<JobId>,
}

impl<C> Reserved<'_, C> {
    /// There is no more that may fail.
    fn keep(&mut self) {
        self.id = None;
    }
}

impl<C> Drop for Reserved<'_, C> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.shared.with(|table| table.release(id));
        }
    }
}

impl<C: 'static> Registering<C> {
    pub(super) fn new(scheduler: Scheduler<C>) -> Self {
        Registering { scheduler, options: Options::default(), mode: PhantomData }
    }
}

job_options!(impl [C: 'static, M] When<Registering<C, M>>, target.options);

impl<C: 'static, M> When<Registering<C, M>> {
    /// What becomes of missed occurrences.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.target.options.missed = Some(missed);
        self
    }

    /// How late a run may still start; later than that it is dropped, and that is said.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.target.options.grace = Some(grace);
        self
    }

    fn register<T: Send + Sync + 'static>(
        self,
        place: Place,
        body: impl FnOnce(Kept<T>) -> Body<C>,
    ) -> Result<JobHandle<T>, Error> {
        let shared = self.target.scheduler.0.clone();
        let now = shared.now();
        let (schedule, Registering { mut options, .. }) = self.finish(Some((now.wall, &shared.zone)))?;
        let missed = options.missed.unwrap_or(shared.missed);
        if missed == (Missed::RunAll { most: 0 }) {
            return Err(Error::ZeroCatchUp);
        }
        let grace = options.grace.or(shared.grace);
        let zone = schedule.spec().zone.clone().unwrap_or_else(|| Zone::clone(&shared.zone));
        let rules = options.rules(&shared.defaults, place, &zone, &shared.clock)?;
        let known = shared.known(options.name.as_deref(), &options.keep)?;
        // Another process may have written its record since, which is not from the future for that.
        let now = if known.is_some() { shared.now() } else { now };
        let (mut entry, handle) = entry(&shared, &mut options, body)?;
        let id = entry.id;
        let mut reserved = Reserved { shared: &shared, id: Some(id) };
        let seed = identity(handle.name(), id.order, shared.seed);
        let plan = Plan::new(schedule, shared.zone.clone(), seed, missed, grace, now);
        entry.keeps(rules);
        let told = carry::begin(&mut entry, plan, known, &options.keep, now)?;
        reserved.keep();
        shared.admit(entry, &options.limits, told)?;
        Ok(handle)
    }
}

impl<C: 'static> When<Registering<C>> {
    /// Registers a job that takes nothing.
    ///
    /// # Errors
    ///
    /// The first mistake in the chain; [`Error::NeverRuns`] if the schedule has no occurrence.
    pub fn do_<F, R>(self, mut job: F) -> Result<JobHandle<R::Value>, Error>
    where
        F: FnMut() -> R + Send + 'static,
        R: JobResult,
    {
        self.do_with(move |_| job())
    }

    /// Registers a job that takes the [`Run`] it is in.
    ///
    /// # Errors
    ///
    /// As [`do_`](Self::do_).
    pub fn do_with<F, R>(self, mut job: F) -> Result<JobHandle<R::Value>, Error>
    where
        F: FnMut(&mut Run<'_, C>) -> R + Send + 'static,
        R: JobResult,
    {
        let mut had = false;
        self.register(Place::OnPoll, |kept| {
            Body::Inline(Box::new(move |run, _| {
                let is_told = run.is_told;
                kept.keep_another(job(run), is_told, &mut had)
            }))
        })
    }

    /// Lets the job run away from the polling thread, on the scheduler's
    /// [`executor`](crate::SchedulerBuilder::executor), so that it never holds up the host.
    ///
    /// Its result comes back at the next poll: jobs that follow it, and observers, run on the polling thread as ever. When the
    /// executor has no room, the job waits in its order and what it misses folds
    /// ([`Blocked::PoolFull`](crate::Blocked::PoolFull)). Such a job is `Fn` and `Sync`, since runs of it may go on beside
    /// each other, and is not lent the host's state.
    ///
    /// ```
    /// use punctual::{Overlap, Scheduler};
    /// use std::time::Duration;
    ///
    /// let scheduler = Scheduler::new();
    /// let fetched = scheduler.every(5).minutes().immediately().timeout(Duration::from_secs(30)).background().do_with(|run| {
    ///     if run.should_stop() { Err("stopped") } else { Ok(42) }
    /// })?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// scheduler.following(&fetched).do_with(move |_, n: &i32| tell.send(*n))?;
    /// let found = loop {
    ///     let _ = scheduler.run_pending();
    ///     if let Ok(found) = told.try_recv() {
    ///         break found;
    ///     }
    ///     scheduler.wait(Duration::from_secs(1));
    /// };
    /// assert_eq!(found, 42);
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn background(self) -> When<Registering<C, InBackground>> {
        self.retarget(|Registering { scheduler, options, .. }| Registering { scheduler, options, mode: PhantomData })
    }

    /// Registers an async job, on whatever runs futures: `spawn` is given each run as a future to set going.
    ///
    /// It is a background run: overlap, time limit and retry hold, and its result comes back at the next poll. When it is told
    /// to stop, the job's future is dropped. With tokio, use `do_async` (feature `tokio`).
    ///
    /// # Errors
    ///
    /// As [`do_`](Self::do_).
    pub fn do_future<S, F, R>(self, spawn: S, job: F) -> Result<JobHandle<<R::Output as JobResult>::Value>, Error>
    where
        S: Fn(JobFuture) + Send + Sync + 'static,
        F: Fn(RunView) -> R + Send + Sync + 'static,
        R: Future<Output: JobResult> + Send + 'static,
    {
        self.register(Place::Away, |kept| {
            let launcher = future_body(spawn, AtStop::Dropped, kept, move |run, _| Some(job(run)));
            Body::Away { launcher, pooled: false }
        })
    }

    /// [`do_future`](Self::do_future) for futures that end by themselves when their run is told to stop, and hold a limit
    /// unless the job has said what that lets through.
    #[cfg(feature = "command")]
    pub(crate) fn do_to_its_end<S, F, R, T>(mut self, usual: Usual<T>, spawn: S, job: F) -> Result<JobHandle<T>, Error>
    where
        S: Fn(JobFuture) + Send + Sync + 'static,
        F: Fn(RunView) -> R + Send + Sync + 'static,
        R: Future<Output: JobResult<Value = T>> + Send + 'static,
        T: Send + Sync + 'static,
    {
        self.target.options.usual(usual);
        self.register(Place::Away, |kept| {
            let launcher = future_body(spawn, AtStop::EndsItself, kept, move |run, _| Some(job(run)));
            Body::Away { launcher, pooled: false }
        })
    }
}

/// A job that is a future for each run. Without a future the result to follow could not be read.
pub(super) fn future_body<S, F, R, T>(spawn: S, at_stop: AtStop, kept: Kept<T>, job: F) -> Launcher
where
    S: Fn(JobFuture) + Send + Sync + 'static,
    F: Fn(RunView, Option<Value>) -> Option<R> + Send + Sync + 'static,
    R: Future<Output: JobResult<Value = T>> + Send + 'static,
    T: Send + Sync + 'static,
{
    on_runtime(
        spawn,
        at_stop,
        Arc::new(move |run, value| {
            let (kept, future) = (kept.clone(), job(run, value));
            Box::pin(async move {
                match future {
                    Some(future) => kept.keep(future.await),
                    None => Err(Arc::from(BoxError::from(UNREAD))),
                }
            })
        }),
    )
}

impl<C: 'static> When<Registering<C, InBackground>> {
    /// Registers a background job that takes nothing.
    ///
    /// # Errors
    ///
    /// As [`When::do_`].
    pub fn do_<F, R>(self, job: F) -> Result<JobHandle<R::Value>, Error>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: JobResult,
    {
        self.do_with(move |_| job())
    }

    /// Registers a background job that takes the run it is in, as a [`RunView`].
    ///
    /// # Errors
    ///
    /// As [`When::do_`].
    pub fn do_with<F, R>(self, job: F) -> Result<JobHandle<R::Value>, Error>
    where
        F: Fn(&RunView) -> R + Send + Sync + 'static,
        R: JobResult,
    {
        let executor = self.target.scheduler.0.executor().clone();
        self.register(Place::Away, |kept| {
            let launcher = on_executor(executor, move |run: &RunView, _| kept.keep(job(run)));
            Body::Away { launcher, pooled: true }
        })
    }
}

/// No turn of a job in steps takes more of them than this, whatever the clock says.
const MOST_STEPS: u32 = 1024;

impl<C: 'static> When<Registering<C>> {
    /// Registers a job that is done in small steps, so that long work never holds up the host.
    ///
    /// `begin` is called as a run starts; each `next` of what it gives is a step. While a poll has budget
    /// ([`SchedulerBuilder::budget`](crate::SchedulerBuilder::budget)) the steps go on, 1,024 of them at most; without a budget
    /// there is one a poll. The value of the last step is the run's. A step that fails ends the run so; [`Outcome::Cancel`]
    /// ends the job.
    ///
    /// # Errors
    ///
    /// As [`do_`](Self::do_).
    ///
    /// ```
    /// use punctual::Scheduler;
    ///
    /// let scheduler = Scheduler::new();
    /// let sum = scheduler.every(1).hour().immediately().do_steps(|run| {
    ///     // A view of the run that the steps may keep: to say how far they are, and to see whether they are to stop.
    ///     let (run, mut sum) = (punctual::RunView::clone(run), 0);
    ///     (1..=3).map(move |n| {
    ///         run.progress(n, 3);
    ///         sum += n;
    ///         Ok::<_, String>(sum)
    ///     })
    /// })?;
    /// while sum.stats().runs == 0 {
    ///     let _ = scheduler.run_pending();
    /// }
    /// assert_eq!(sum.last_value().as_deref(), Some(&6));
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn do_steps<F, I>(self, mut begin: F) -> Result<JobHandle<<I::Item as JobResult>::Value>, Error>
    where
        F: FnMut(&mut Run<'_, C>) -> I + Send + 'static,
        I: Iterator + Send + 'static,
        I::Item: JobResult,
    {
        let mut steps = None;
        self.register(Place::OnPoll, |kept| {
            Body::Inline(Box::new(move |run, _| {
                // What a run left behind that panicked or was cut off is not gone on with.
                let begun = steps.take().filter(|_| run.turn() > 0);
                let (mut left, mut last): (I, Option<_>) = begun.unwrap_or_else(|| (begin(run), None));
                for _ in 0..MOST_STEPS {
                    let Some(step) = left.next() else {
                        return Ok((Outcome::Done, last.or_else(nothing).map(|value| kept.value(value))));
                    };
                    match step.into_end() {
                        Ok((value, Outcome::Cancel)) => return Ok((Outcome::Cancel, Some(kept.value(value)))),
                        Ok((_, Outcome::Retry)) => return Ok((Outcome::Retry, None)),
                        Ok((value, _)) => last = Some(value),
                        Err(error) => return Err(kept.error(error)),
                    }
                    if run.time_left().is_none_or(|left| left.is_zero()) || run.should_stop() {
                        break;
                    }
                }
                steps = Some((left, last));
                Ok((Outcome::Yield, None))
            }))
        })
    }
}

/// The value of a run that had no steps, if there is one without any.
fn nothing<T: 'static>() -> Option<T> {
    (Box::new(()) as Box<dyn Any>).downcast::<T>().ok().map(|value| *value)
}
