//! Jobs that follow others: after each success, failure or end, with the result.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::away::{AtStop, JobFuture, on_executor};
use super::entry::{All, Body, Chain, Join, On};
#[cfg(feature = "command")]
use super::options::Usual;
use super::options::{Options, Place, job_options};
use super::register::{InBackground, Kept, OnPoll, entry, future_body};
use super::value::{Reader, UNREAD, Value, value_of};
use super::{Run, Scheduler, carry};
use crate::error::Error;
use crate::event::Failure;
use crate::id::JobId;
use crate::job::{Control, JobHandle, LastRun};
use crate::run::{BoxError, JobResult, RunView};
use crate::schedule::length;

/// A job in the making that follows others: see [`Scheduler::following`]. `T` is what it is given.
#[must_use = "a chain does nothing until `do_` or `do_with` ends it"]
pub struct Following<T, C: 'static = (), M = OnPoll> {
    scheduler: Scheduler<C>,
    upstreams: Vec<Upstream>,
    on: On,
    within: Option<Duration>,
    delay: Option<Duration>,
    join: Option<Join>,
    same_due: bool,
    options: Options,
    types: PhantomData<fn(&T) -> M>,
}

impl<T, C, M> fmt::Debug for Following<T, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upstreams: Vec<JobId> = self.upstreams.iter().map(|upstream| upstream.id).collect();
        f.debug_struct("Following").field("upstreams", &upstreams).field("options", &self.options).finish_non_exhaustive()
    }
}

job_options!(impl [T, C: 'static, M] Following<T, C, M>, options);

impl<C: 'static> Scheduler<C> {
    /// Begins a job that runs after each success of another one, in the same poll, with its result.
    ///
    /// It ends with the job that it follows, once it has followed all of its runs. What that job does while this one is
    /// paused is not followed. Runs to follow wait while this job runs, a thousand at most; further ones are dropped, and
    /// that is said.
    ///
    /// ```
    /// use punctual::Scheduler;
    ///
    /// let scheduler = Scheduler::new();
    /// let first = scheduler.reboot().named("first").do_(|| Ok::<_, String>(20))?;
    /// let second = scheduler.following(&first).do_with(|run, n: &i32| {
    ///     assert_eq!(run.follows().and_then(|run| run.name.as_deref()), Some("first"));
    ///     Ok::<_, String>(n + 1)
    /// })?;
    /// let both = scheduler.following_all((&first, &second)).do_with(|_, (a, b)| Ok::<_, String>(**a + **b))?;
    /// let _ = scheduler.run_pending();
    /// assert_eq!(both.last_value().as_deref(), Some(&41));
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn following<T: Send + Sync + 'static>(&self, job: &JobHandle<T>) -> Following<T, C> {
        self.following_any([job])
    }

    /// Begins a job that runs after each success of any of several others, with its result.
    pub fn following_any<'a, T: Send + Sync + 'static>(
        &self,
        jobs: impl IntoIterator<Item = &'a JobHandle<T>>,
    ) -> Following<T, C> {
        Following::new(self.clone(), jobs.into_iter().map(Upstream::of).collect(), None)
    }

    /// Begins a job that runs once each of several others has had a success, with the last result of each; then all of them
    /// have to succeed anew. With [`within`](Following::within) results that are older are not taken.
    ///
    /// It ends once no further set can be complete.
    pub fn following_all<U: Upstreams>(&self, jobs: U) -> Following<U::Values, C> {
        Following::new(self.clone(), jobs.handles(), Some(U::join))
    }
}

/// A job to follow, of whatever type.
#[doc(hidden)]
pub struct Upstream {
    id: JobId,
    control: Weak<dyn Control>,
    reader: Arc<dyn Reader>,
}

impl Upstream {
    fn of<T: Send + Sync + 'static>(job: &JobHandle<T>) -> Self {
        Upstream { id: job.id, control: job.control.clone(), reader: job.results.clone() }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream").field(&self.id).finish()
    }
}

/// Handles of several jobs, of two to four types: see [`Scheduler::following_all`].
pub trait Upstreams {
    /// A result of each.
    type Values: Send + Sync + 'static;

    #[doc(hidden)]
    fn handles(&self) -> Vec<Upstream>;

    #[doc(hidden)]
    fn join(values: &[Arc<dyn Any + Send + Sync>]) -> Option<Arc<dyn Any + Send + Sync>>;
}

macro_rules! upstreams {
    ($($type:ident $place:tt),+) => {
        impl<$($type: Send + Sync + 'static),+> Upstreams for ($(&JobHandle<$type>,)+) {
            type Values = ($(Arc<$type>,)+);

            fn handles(&self) -> Vec<Upstream> {
                vec![$(Upstream::of(self.$place)),+]
            }

            fn join(values: &[Value]) -> Option<Value> {
                Some(Arc::new(($(value_of::<$type>(values.get($place).cloned())?,)+)))
            }
        }
    };
}

upstreams!(T 0, U 1);
upstreams!(T 0, U 1, V 2);
upstreams!(T 0, U 1, V 2, W 3);

impl<T, C: 'static> Following<T, C> {
    fn new(scheduler: Scheduler<C>, upstreams: Vec<Upstream>, join: Option<Join>) -> Self {
        let (options, on) = (Options::default(), On::Success);
        Following { scheduler, upstreams, on, within: None, delay: None, join, same_due: false, options, types: PhantomData }
    }
}

impl<T: 'static, C: 'static, M> Following<T, C, M> {
    fn retyped<U, N>(self) -> Following<U, C, N> {
        let Following { scheduler, upstreams, on, within, delay, join, same_due, options, .. } = self;
        Following { scheduler, upstreams, on, within, delay, join, same_due, options, types: PhantomData }
    }

    /// Only if the run to follow ended no longer ago than this when its turn comes, in elapsed time; else it is dropped
    /// ([`DropReason::Stale`](crate::DropReason::Stale)), and that is said.
    pub fn within(mut self, fresh: Duration) -> Self {
        self.within = Some(fresh);
        self
    }

    /// So much after the end of the run to follow, in elapsed time, instead of at once.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Of [`following_all`](Scheduler::following_all): only results of runs that were due at the same instant belong together, so
    /// that what is done for one date is not mixed with what is done for another. Sets that lack one wait for it, a thousand at
    /// most; then the oldest is dropped, and that is said.
    ///
    /// ```
    /// use punctual::{ManualClock, Missed, Scheduler};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new("2026-03-01T12:00:00Z".parse()?);
    /// let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(chrono::Utc).build();
    /// let daily = || scheduler.every(1).day().at("06:00").missed(Missed::RunAll { most: 7 });
    /// let sales = daily().do_with(|run| Ok::<_, String>(run.due()))?;
    /// // Whatever makes it slower: it comes a minute after.
    /// let stock = scheduler.following(&sales).delay(Duration::from_secs(60)).do_with(|run, _| Ok::<_, String>(run.due()))?;
    /// let both = scheduler.following_all((&sales, &stock)).same_due();
    /// let both = both.do_with(|_, (sales, stock)| if sales == stock { Ok(()) } else { Err("of two dates") })?;
    /// clock.advance(Duration::from_secs(3 * 86_400));
    /// for _ in 0..9 {
    ///     let _ = scheduler.run_pending();
    ///     clock.advance(Duration::from_secs(20));
    /// }
    /// assert_eq!((both.stats().runs, both.stats().errors), (3, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn same_due(mut self) -> Self {
        self.same_due = true;
        self
    }

    fn register<R: Send + Sync + 'static>(
        mut self,
        place: Place,
        body: impl FnOnce(Kept<R>) -> Body<C>,
    ) -> Result<JobHandle<R>, Error> {
        let shared = self.scheduler.0.clone();
        let own: Arc<dyn Control> = shared.clone();
        let own = Arc::downgrade(&own);
        if self.upstreams.is_empty() {
            return Err(Error::NothingToFollow);
        }
        if let Some(other) = self.upstreams.iter().find(|upstream| !Weak::ptr_eq(&upstream.control, &own)) {
            return Err(if other.control.strong_count() == 0 { Error::SchedulerGone } else { Error::OtherScheduler });
        }
        if let Some((delay, within)) = self.delay.zip(self.within).filter(|(delay, within)| delay > within) {
            return Err(Error::NeverFresh { delay, within });
        }
        if self.same_due && self.join.is_none() {
            return Err(Error::NothingSaid { word: "same_due", without: "following_all" });
        }
        // The scheduler's usual overlap is for occurrences.
        let defaults = super::Defaults { overlap: None, ..shared.defaults.clone() };
        let rules = self.options.rules(&defaults, place, &shared.zone, &shared.clock)?;
        let known = shared.known(self.options.name.as_deref(), &self.options.keep)?;
        let now = shared.now();
        let (mut entry, handle) = entry(&shared, &mut self.options, body)?;
        let mut upstreams: Vec<JobId> = self.upstreams.iter().map(|upstream| upstream.id).collect();
        let all = self.join.map(|join| All::new(upstreams.clone(), join, self.same_due));
        if all.is_none() {
            upstreams.sort_unstable();
            upstreams.dedup();
        }
        let (within, delay) = (self.within.map(length), self.delay.map(length));
        let readers = self.upstreams.into_iter().map(|upstream| (upstream.id, upstream.reader)).collect();
        entry.besides.chain = Some(Box::new(Chain { upstreams, on: self.on, within, delay, readers, all }));
        entry.keeps(rules);
        let named = |name: &str| shared.table.lock().named(name);
        let told = carry::begin_following(&mut entry, known, &named, now);
        shared.admit(entry, &self.options.limits, told)?;
        Ok(handle)
    }
}

impl<T: Send + Sync + 'static, C: 'static> Following<T, C> {
    /// After each run that ends badly, after its last attempt, with what went wrong; of several jobs, of any of them.
    pub fn on_failure(mut self) -> Following<Failure, C> {
        self.on = On::Failure;
        self.join = None;
        self.retyped()
    }

    /// After each run, however it ends, with its figures; of several jobs, of any of them.
    pub fn on_end(mut self) -> Following<LastRun, C> {
        self.on = On::End;
        self.join = None;
        self.retyped()
    }

    /// Lets the job run away from the polling thread: see [`When::background`](crate::When::background).
    pub fn background(self) -> Following<T, C, InBackground> {
        self.retyped()
    }

    /// Registers a job that takes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::JobGone`] if a job to follow is gone, [`Error::OtherScheduler`] if it is another scheduler's; the first
    /// mistake in the chain.
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
        self.register(Place::OnPoll, |kept| {
            Body::Inline(Box::new(move |run, value| kept.keep(Followed::of(value, |value| job(run, value)))))
        })
    }

    /// Registers an async job: see [`When::do_future`](crate::When::do_future).
    ///
    /// # Errors
    ///
    /// As [`do_`](Self::do_).
    pub fn do_future<S, F, R>(self, spawn: S, job: F) -> Result<JobHandle<<R::Output as JobResult>::Value>, Error>
    where
        S: Fn(JobFuture) + Send + Sync + 'static,
        F: Fn(RunView, Arc<T>) -> R + Send + Sync + 'static,
        R: Future<Output: JobResult> + Send + 'static,
    {
        self.register(Place::Away, |kept| {
            let job = move |run, value| value_of::<T>(value).map(|value| job(run, value));
            Body::Away { launcher: future_body(spawn, AtStop::Dropped, kept, job), pooled: false }
        })
    }

    /// [`do_future`](Self::do_future) for futures that end by themselves when their run is told to stop, and hold a limit
    /// unless the job has said what that lets through.
    #[cfg(feature = "command")]
    pub(crate) fn do_to_its_end<S, F, R, U>(mut self, usual: Usual<U>, spawn: S, job: F) -> Result<JobHandle<U>, Error>
    where
        S: Fn(JobFuture) + Send + Sync + 'static,
        F: Fn(RunView, Arc<T>) -> R + Send + Sync + 'static,
        R: Future<Output: JobResult<Value = U>> + Send + 'static,
        U: Send + Sync + 'static,
    {
        self.options.usual(usual);
        self.register(Place::Away, |kept| {
            let job = move |run, value| value_of::<T>(value).map(|value| job(run, value));
            Body::Away { launcher: future_body(spawn, AtStop::EndsItself, kept, job), pooled: false }
        })
    }
}

impl<T: Send + Sync + 'static, C: 'static> Following<T, C, InBackground> {
    /// Registers a background job that takes nothing.
    ///
    /// # Errors
    ///
    /// As [`Following::do_`].
    pub fn do_<F, R>(self, job: F) -> Result<JobHandle<R::Value>, Error>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: JobResult,
    {
        self.do_with(move |_, _| job())
    }

    /// Registers a background job that takes the run it is in and the result of the run that it follows.
    ///
    /// # Errors
    ///
    /// As [`Following::do_`].
    pub fn do_with<F, R>(self, job: F) -> Result<JobHandle<R::Value>, Error>
    where
        F: Fn(&RunView, &T) -> R + Send + Sync + 'static,
        R: JobResult,
    {
        let executor = self.scheduler.0.executor().clone();
        self.register(Place::Away, |kept| {
            let call = move |run: &RunView, value| kept.keep(Followed::of(value, |value| job(run, value)));
            Body::Away { launcher: on_executor(executor, call), pooled: true }
        })
    }
}

/// The result of a job that follows. The table hands it only what the job it follows returned, so there is a value, unless it
/// was read from a store and is not what was written.
enum Followed<R> {
    Ran(R),
    Nothing,
}

impl<R> Followed<R> {
    fn of<T: Send + Sync + 'static>(value: Option<Value>, job: impl FnOnce(&T) -> R) -> Self {
        value_of::<T>(value).map_or(Followed::Nothing, |value| Followed::Ran(job(&value)))
    }
}

impl<R: JobResult> JobResult for Followed<R> {
    type Value = R::Value;

    fn into_end(self) -> Result<(R::Value, crate::run::Outcome), BoxError> {
        match self {
            Followed::Ran(result) => result.into_end(),
            Followed::Nothing => Err(UNREAD.into()),
        }
    }
}
