//! How jobs come in: the end of the chain that began with `every`.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::table::{Body, Job, Plan};
use super::{Run, Scheduler};
use crate::builder::When;
use crate::clock::Now;
use crate::error::Error;
use crate::job::{Control, Epitaph, JobHandle, JobId, Results};
use crate::policy::Missed;
use crate::run::{BoxError, JobResult, Outcome};
use crate::schedule::mix;

/// What a chain makes when it is begun at a scheduler: a job.
pub struct Registering<C: 'static> {
    scheduler: Scheduler<C>,
    options: Options,
}

/// What is said of a job besides its schedule.
#[derive(Debug, Default)]
struct Options {
    name: Option<String>,
    tags: Vec<String>,
    priority: i32,
    missed: Option<Missed>,
    grace: Option<Duration>,
}

impl<C> fmt::Debug for Registering<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registering").field(&self.options).finish()
    }
}

impl Options {
    fn tag(&mut self, tag: String) {
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
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

impl<C: 'static> Registering<C> {
    pub(super) fn new(scheduler: Scheduler<C>) -> Self {
        Registering { scheduler, options: Options::default() }
    }
}

impl<C: 'static> When<Registering<C>> {
    /// A name, for logs and tables.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.target.options.name = Some(name.into());
        self
    }

    /// A tag to find the job by; several calls give several tags.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.target.options.tag(tag.into());
        self
    }

    /// Among jobs due at the same instant, the lower comes first; 0 unless given.
    pub fn priority(mut self, priority: i32) -> Self {
        self.target.options.priority = priority;
        self
    }

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
        let shared = self.target.scheduler.0.clone();
        let now = shared.now();
        let (schedule, Registering { scheduler, options }) = self.finish(Some((now.wall, &shared.zone)))?;
        let missed = options.missed.unwrap_or(shared.missed);
        if missed == (Missed::RunAll { most: 0 }) {
            return Err(Error::ZeroCatchUp);
        }
        let grace = options.grace.or(shared.grace);
        let (id, mut entry, handle) = scheduler.entry(options, move |run, _| job(run));
        let seed = identity(handle.name(), id.order, shared.seed);
        let plan = Plan::new(schedule, shared.zone.clone(), seed, missed, grace, now);
        let next = match first(&plan, now) {
            Ok(next) => next,
            Err(error) => {
                shared.with(|table| table.release(id));
                return Err(error);
            }
        };
        let spec = plan.schedule.spec();
        entry.searched = plan.on_scale(now);
        entry.next = next;
        entry.extra = (spec.immediately || plan.schedule.is_reboot()).then_some(now.elapsed);
        entry.runs_left = spec.times;
        entry.plan = Some(plan);
        shared.admit(entry)?;
        Ok(handle)
    }
}

/// No turn of a job in steps takes more of them than this, whatever the clock says.
const MOST_STEPS: u32 = 1024;

/// How a turn of a job in steps ended.
struct Turn(Result<Outcome, BoxError>);

impl JobResult for Turn {
    type Value = ();

    fn into_end(self) -> Result<((), Outcome), BoxError> {
        self.0.map(|outcome| ((), outcome))
    }
}

impl<C: 'static> When<Registering<C>> {
    /// Registers a job that is done in small steps, so that long work never holds up the host.
    ///
    /// `begin` is called as a run starts; each `next` of what it gives is a step. While a poll has budget
    /// ([`SchedulerBuilder::budget`](crate::SchedulerBuilder::budget)) the steps go on, 1,024 of them at most; without a budget
    /// there is one a poll. A step that fails ends the run so; [`Outcome::Cancel`] ends the job.
    ///
    /// # Errors
    ///
    /// As [`do_`](Self::do_).
    ///
    /// ```
    /// use punctual::Scheduler;
    ///
    /// let scheduler = Scheduler::new();
    /// let sum = scheduler.every(1).hour().immediately().do_steps(|_| (1..=3).map(|n| println!("part {n} of 3")))?;
    /// for _ in 0..4 {
    ///     let _ = scheduler.run_pending();
    /// }
    /// assert_eq!(sum.stats().runs, 1);
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn do_steps<F, I>(self, mut begin: F) -> Result<JobHandle<()>, Error>
    where
        F: FnMut(&mut Run<'_, C>) -> I + Send + 'static,
        I: Iterator + Send + 'static,
        I::Item: JobResult,
    {
        let mut steps: Option<I> = None;
        self.do_with(move |run| {
            // What a run left behind that panicked or was cut off is not gone on with.
            if run.turn() == 0 {
                steps = None;
            }
            let mut left = steps.take().unwrap_or_else(|| begin(run));
            for _ in 0..MOST_STEPS {
                let Some(step) = left.next() else { return Turn(Ok(Outcome::Done)) };
                match step.into_end() {
                    Ok((_, Outcome::Cancel)) => return Turn(Ok(Outcome::Cancel)),
                    Ok(_) => {}
                    Err(error) => return Turn(Err(error)),
                }
                if run.time_left().is_none_or(|left| left.is_zero()) || run.should_stop() {
                    break;
                }
            }
            steps = Some(left);
            Turn(Ok(Outcome::Yield))
        })
    }
}

impl<C: 'static> Scheduler<C> {
    /// A job's entry in the table, yet without a plan, and the handle on it.
    fn entry<R: JobResult>(
        &self,
        options: Options,
        mut job: impl FnMut(&mut Run<'_, C>, Option<Arc<dyn Any + Send + Sync>>) -> R + Send + 'static,
    ) -> (JobId, Job<C>, JobHandle<R::Value>) {
        let id = self.0.with(|table| table.reserve());
        let results = Arc::new(Results::<R::Value>::default());
        let kept = results.clone();
        let body: Body<C> = Box::new(move |run, followed| match job(run, followed).into_end() {
            Ok((_, Outcome::Yield)) => Ok((Outcome::Yield, None)),
            Ok((value, outcome)) => Ok((outcome, Some(kept.keep(value)))),
            Err(error) => {
                let error: Arc<dyn StdError + Send + Sync> = Arc::from(error);
                kept.keep_error(error.clone());
                Err(error)
            }
        });
        let name: Option<Arc<str>> = options.name.map(Into::into);
        let mut entry = Job::new(id, name.clone(), results.clone() as Arc<dyn Epitaph>, body);
        entry.tags = options.tags;
        entry.priority = options.priority;
        let control: Arc<dyn Control> = self.0.clone();
        (id, entry, JobHandle { id, name, control: Arc::downgrade(&control), results })
    }
}

/// A job in the making that follows another one: see [`Scheduler::following`].
#[must_use = "a chain does nothing until `do_` or `do_with` ends it"]
pub struct Following<T, C: 'static = ()> {
    scheduler: Scheduler<C>,
    upstream: JobId,
    control: Weak<dyn Control>,
    options: Options,
    value: std::marker::PhantomData<fn(&T)>,
}

impl<T, C> fmt::Debug for Following<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").field("upstream", &self.upstream).field("options", &self.options).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static, C: 'static> Following<T, C> {
    pub(super) fn new(scheduler: Scheduler<C>, job: &JobHandle<T>) -> Self {
        Following {
            scheduler,
            upstream: job.id,
            control: job.control.clone(),
            options: Options::default(),
            value: std::marker::PhantomData,
        }
    }

    /// A name, for logs and tables.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// A tag to find the job by; several calls give several tags.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.options.tag(tag.into());
        self
    }

    /// Among jobs due at the same instant, the lower comes first; 0 unless given.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// Registers a job that takes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::JobGone`] if the job to follow is gone, [`Error::OtherScheduler`] if it is another scheduler's.
    pub fn do_<F, R>(self, mut job: F) -> Result<JobHandle<R::Value>, Error>
    where
        F: FnMut() -> R + Send + 'static,
        R: JobResult,
    {
        self.do_with(move |_, _| job())
    }

    /// Registers a job that takes the [`Run`] it is in and the result of the run that it follows.
    ///
    /// # Errors
    ///
    /// As [`do_`](Self::do_).
    pub fn do_with<F, R>(self, mut job: F) -> Result<JobHandle<R::Value>, Error>
    where
        F: FnMut(&mut Run<'_, C>, &T) -> R + Send + 'static,
        R: JobResult,
    {
        let shared = self.scheduler.0.clone();
        let own: Arc<dyn Control> = shared.clone();
        if !Weak::ptr_eq(&self.control, &Arc::downgrade(&own)) {
            return Err(if self.control.strong_count() == 0 { Error::SchedulerGone } else { Error::OtherScheduler });
        }
        let (_, mut entry, handle) =
            self.scheduler.entry(self.options, move |run, followed: Option<Arc<dyn Any + Send + Sync>>| {
                // The table hands a job only what the job it follows returned, which is a `T`.
                let value = followed.and_then(|value| value.downcast::<T>().ok());
                value.map(|value| job(run, &value)).map_or(Unfollowed::Nothing, Unfollowed::Ran)
            });
        entry.follows = Some(self.upstream);
        shared.admit(entry)?;
        Ok(handle)
    }
}

/// The result of a job that follows.
enum Unfollowed<R> {
    Ran(R),
    Nothing,
}

impl<R: JobResult> JobResult for Unfollowed<R> {
    type Value = R::Value;

    fn into_end(self) -> Result<(R::Value, crate::run::Outcome), crate::run::BoxError> {
        match self {
            Unfollowed::Ran(result) => result.into_end(),
            Unfollowed::Nothing => Err("there was no run to follow".into()),
        }
    }
}
