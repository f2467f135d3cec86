//! Runs away from the polling thread: how they are set going, and how they come back.
//!
//! A run goes out as an [`Away`] and always comes back, once, as a [`Returned`]: also when its job panics, when the executor
//! drops it, and when a runtime drops its future. What came back waits for the next poll.
//!
//! While a host hands over many short runs, another thread is busy with the first of them, and each would wait for the other
//! at whatever both touch. So a run that goes on touches little of the scheduler's ([`WayBack`]): it finds its instants as
//! elapsed time by itself unless something happened to the clocks, goes into an inbox beside the table's lock, and takes that
//! lock to tell the host only if the inbox was empty. Its memory goes back with it: freed on the other thread, its blocks
//! were what both waited for most, in the allocator. 1,000 at once on two cores of their own, for each: 2 to 8 µs at first,
//! 1.7 µs with instants of its own, 1.2 µs with the inbox, 1.1 µs with the memory that goes back; a job on the polling thread
//! takes 0.35 µs.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use super::Shared;
use super::entry::First;
use super::run::Called;
use super::value::Value;
use crate::caught::{caught, drop_quietly};
use crate::clock::{Clock, Now};
use crate::executor::{Executor, Ready, Work};
use crate::run::{LateBy, RunView, TimeLimit};
use crate::store::{Kept, StoreError};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A run on its way out.
pub(crate) struct Away {
    pub(super) view: RunView,
    pub(super) value: Option<Value>,
    pub(super) timeout: Option<Duration>,
    /// When it was handed over, by the monotonic clock.
    pub(super) handed: Duration,
    pub(super) seen: Seen,
    pub(super) serial: u64,
    /// What is asked before its job is called.
    pub(super) first: Option<First>,
    /// Until it has come back.
    pub(super) way: Option<Arc<WayBack>>,
}

/// The clocks as the poll saw them that handed a run over, and how often something had happened to them by then.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) now: Now,
    pub(super) changes: u64,
}

/// How a job in the background is set going. What finds no room comes back.
pub(super) type Launcher = Arc<dyn Fn(Away) -> Result<(), Work> + Send + Sync>;

/// Where runs come back to.
pub(super) trait Home: Send + Sync {
    /// Something has come back.
    fn welcome(&self);
    /// Now as elapsed time.
    fn elapsed(&self) -> i64;
    /// The store has answered a write.
    fn written(&self, answer: Result<Vec<Kept>, StoreError>);
}

impl<C> Home for Shared<C> {
    fn welcome(&self) {
        self.with(|table| {
            table.returned.announce();
            table.news += u64::from(!table.returned.is_empty());
        });
    }

    fn elapsed(&self) -> i64 {
        self.now().elapsed
    }

    fn written(&self, answer: Result<Vec<Kept>, StoreError>) {
        self.with(|table| table.written(answer));
    }
}

/// What runs have of their scheduler while they are away. They do not keep it alive.
pub(super) struct WayBack {
    clock: Arc<dyn Clock>,
    home: Weak<dyn Home>,
    /// How often something was found to have happened to the clocks.
    clock_changes: AtomicU64,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    returned: VecDeque<Returned>,
    each_is_told: bool,
}

impl WayBack {
    pub(super) fn new(clock: Arc<dyn Clock>, home: Weak<dyn Home>) -> Self {
        WayBack { clock, home, clock_changes: AtomicU64::new(0), inbox: Mutex::default() }
    }

    pub(super) fn clocks_changed(&self) {
        self.clock_changes.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn seen(&self, now: Now) -> Seen {
        Seen { now, changes: self.clock_changes.load(Ordering::Acquire) }
    }

    /// Now as elapsed time, by the monotonic clock: since a poll the machine may have slept. That is found out with the lock
    /// only if something has happened to the clocks.
    fn elapsed(&self, seen: Seen, monotonic: Duration) -> i64 {
        let quiet = seen.now.later(monotonic, self.clock.wall_nanos());
        let quiet = quiet.filter(|_| self.clock_changes.load(Ordering::Acquire) == seen.changes);
        quiet.or_else(|| Some(self.home.upgrade()?.elapsed())).unwrap_or(seen.now.elapsed)
    }

    /// The host is told of the first; those that come before it has looked, it sees with that one.
    fn put(&self, returned: Returned) {
        if self.home.strong_count() == 0 {
            return drop_quietly(returned);
        }
        let told = {
            let mut inbox = self.inbox.lock();
            inbox.returned.push_back(returned);
            inbox.each_is_told || inbox.returned.len() == 1
        };
        if let Some(home) = told.then(|| self.home.upgrade()).flatten() {
            home.welcome();
        }
    }
}

impl Drop for WayBack {
    fn drop(&mut self) {
        // What came just as the scheduler went.
        std::mem::take(&mut self.inbox.get_mut().returned).into_iter().for_each(drop_quietly);
    }
}

/// The runs that came back and have not been taken in, in the order in which they did.
///
/// What is in the inbox is there for the host once that was announced, with the table's lock: all that it knows of what is
/// to be done is of one moment then.
pub(super) struct Returns {
    way: Arc<WayBack>,
    announced: bool,
    /// Those that were in the inbox before.
    first: VecDeque<Returned>,
}

impl Returns {
    pub(super) fn by(way: Arc<WayBack>) -> Self {
        Returns { way, announced: false, first: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + if self.announced { self.way.inbox.lock().returned.len() } else { 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && !self.announced
    }

    /// Something was put into the inbox. It may have been taken out since.
    fn announce(&mut self) {
        self.announced = !self.way.inbox.lock().returned.is_empty();
    }

    pub(super) fn holds(&self, serial: u64) -> bool {
        let is_it = |returned: &Returned| returned.serial == serial;
        self.first.iter().any(is_it) || self.way.inbox.lock().returned.iter().any(is_it)
    }

    pub(super) fn pop(&mut self) -> Option<Returned> {
        if self.first.is_empty() {
            std::mem::swap(&mut self.first, &mut self.way.inbox.lock().returned);
            self.announced = false;
        }
        self.first.pop_front()
    }

    /// From now on the host is told of each: it waits for all of them.
    pub(super) fn tell_of_each(&self) {
        self.way.inbox.lock().each_is_told = true;
    }
}

/// A run that came back.
pub(super) struct Returned {
    pub(super) serial: u64,
    pub(super) how: How,
    /// How long it waited for its thread, and how long it took.
    pub(super) waited: Duration,
    pub(super) took: Duration,
    /// When it ended, in elapsed time.
    pub(super) ended: i64,
    /// What it travelled in, which holds nothing of the user's any more. The thread that allocated it frees it.
    memory: Option<Box<dyn Send>>,
}

pub(super) enum How {
    Called(Called),
    Panicked(String),
    /// It was told to stop, and was dropped or not begun.
    Stopped,
    /// It was dropped by whoever had it.
    Lost,
}

impl Away {
    /// It really begins.
    fn begin(&mut self) {
        let Some(way) = &self.way else { return };
        let now = way.clock.monotonic();
        // As elapsed time it is asked for by a time limit only.
        self.view.signals.begin(now, self.timeout.map(|_| way.elapsed(self.seen, now)));
        let waited = now.saturating_sub(self.handed);
        if waited > self.view.facts.late {
            self.view.facts.late_by = LateBy::Pool;
        }
        self.view.facts.late = self.view.facts.late.saturating_add(waited);
        self.view.limit = self.timeout.map(|limit| TimeLimit { clock: way.clock.clone(), ends: now.saturating_add(limit) });
    }

    /// How it ends without a call of its job, if there is nothing to do.
    fn ask_first(&self) -> Option<Called> {
        self.first.as_ref()?(&self.view.facts)
    }

    fn come_back(&mut self, how: How) {
        if let Some((way, returned)) = self.returns(how) {
            way.put(returned);
        }
    }

    /// What there is to bring back, once.
    fn returns(&mut self, how: How) -> Option<(Arc<WayBack>, Returned)> {
        let way = self.way.take()?;
        drop_quietly((self.value.take(), self.first.take(), self.view.signals.take_waker()));
        if self.view.signals.is_refused() {
            drop_quietly(how);
            return None;
        }
        let ended = way.clock.monotonic();
        let began = self.view.signals.began();
        let waited = began.map_or(Duration::ZERO, |began| began.saturating_sub(self.handed));
        let took = began.map_or(Duration::ZERO, |began| ended.saturating_sub(began));
        let ended = way.elapsed(self.seen, ended);
        Some((way, Returned { serial: self.serial, how, waited, took, ended, memory: None }))
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let how = if self.view.signals.is_stopped() { How::Stopped } else { How::Lost };
        self.come_back(how);
    }
}

/// A job on an executor.
pub(super) fn on_executor<F>(executor: Arc<dyn Executor>, job: F) -> Launcher
where
    F: Fn(&RunView, Option<Value>) -> Called + Send + Sync + 'static,
{
    let job = Arc::new(job);
    Arc::new(move |away| executor.execute(Work::new(Trip { away, job: Some(job.clone()) })))
}

/// A run on an executor.
struct Trip<F> {
    away: Away,
    job: Option<Arc<F>>,
}

impl<F> Ready for Trip<F>
where
    F: Fn(&RunView, Option<Value>) -> Called + Send + Sync + 'static,
{
    fn run(mut self: Box<Self>) {
        let how = match self.job.take() {
            Some(job) if !self.away.view.signals.is_stopped() => {
                self.away.begin();
                let value = self.away.value.take();
                let called = caught(|| self.away.ask_first().unwrap_or_else(|| job(&self.away.view, value)));
                drop_quietly(job);
                called.map_or_else(How::Panicked, How::Called)
            }
            job => {
                drop_quietly(job);
                How::Stopped
            }
        };
        if let Some((way, mut returned)) = self.away.returns(how) {
            returned.memory = Some(self);
            way.put(returned);
        }
    }
}

type Making = dyn Fn(RunView, Option<Value>) -> Pin<Box<dyn Future<Output = Called> + Send>> + Send + Sync;

/// What becomes of a job's own future when its run is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtStop {
    /// It is dropped, and the run is over.
    Dropped,
    /// It is polled, sees to it itself, and the run is over when it is ready. Unless it was done all the same, the run ends as
    /// stopped.
    #[cfg(feature = "command")]
    EndsItself,
}

/// A job as a future, on whatever runs futures.
pub(super) fn on_runtime(spawn: impl Fn(JobFuture) + Send + Sync + 'static, at_stop: AtStop, make: Arc<Making>) -> Launcher {
    Arc::new(move |away| {
        spawn(JobFuture { away, at_stop, make: make.clone(), going: None });
        Ok(())
    })
}

/// A run of an async job, for a runtime to poll: see [`When::do_future`](crate::When::do_future).
///
/// When the run is told to stop, it drops the job's own future and is ready. Dropped itself, it ends the run.
#[must_use = "a future does nothing until it is polled"]
pub struct JobFuture {
    away: Away,
    at_stop: AtStop,
    make: Arc<Making>,
    going: Option<Pin<Box<dyn Future<Output = Called> + Send>>>,
}

impl Future for JobFuture {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.away.way.is_none() {
            return Poll::Ready(());
        }
        // First the waker, then the look, or a stop in between would be slept through.
        this.away.view.signals.wake_by(context.waker());
        let how = if this.away.view.signals.is_stopped() && !this.ends_itself() {
            How::Stopped
        } else {
            match caught(|| this.go_on(context)) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Err(_))) if this.ends_itself() && this.away.view.signals.is_stopped() => How::Stopped,
                Ok(Poll::Ready(called)) => How::Called(called),
                Err(said) => How::Panicked(said),
            }
        };
        drop_quietly(this.going.take());
        this.away.come_back(how);
        Poll::Ready(())
    }
}

impl JobFuture {
    /// One that has not begun has nothing to see to.
    fn ends_itself(&self) -> bool {
        self.at_stop != AtStop::Dropped && self.going.is_some()
    }

    fn go_on(&mut self, context: &mut Context<'_>) -> Poll<Called> {
        if self.going.is_none() {
            self.away.begin();
            if let Some(ended) = self.away.ask_first() {
                return Poll::Ready(ended);
            }
            let value = self.away.value.take();
            self.going = Some((self.make)(self.away.view.clone(), value));
        }
        match &mut self.going {
            Some(going) => going.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl Drop for JobFuture {
    fn drop(&mut self) {
        drop_quietly(self.going.take());
    }
}

impl std::fmt::Debug for JobFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JobFuture").field(&self.away.view).finish()
    }
}
