//! Runs away from the polling thread: how they are set going, and how they come back.
//!
//! A run goes out as an [`Away`] and always comes back, once, as a [`Returned`]: also when its job panics, when the executor
//! drops it, and when a runtime drops its future. What came back waits in the table for the next poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use super::Shared;
use super::run::Called;
use super::value::Value;
use crate::caught::{caught, drop_quietly};
use crate::clock::{Clock, Now};
use crate::executor::{Executor, Work};
use crate::run::{LateBy, RunView, TimeLimit};
use crate::store::{Kept, StoreError};
use crate::sync::atomic::Ordering;

/// A run on its way out.
pub(crate) struct Away {
    pub(super) view: RunView,
    pub(super) value: Option<Value>,
    pub(super) timeout: Option<Duration>,
    pub(super) clock: Arc<dyn Clock>,
    /// When it was handed over, by the monotonic clock.
    pub(super) handed: Duration,
    pub(super) seen: Seen,
    pub(super) serial: u64,
    pub(super) home: Option<Weak<dyn Home>>,
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
    fn welcome(&self, returned: Returned);
    /// Now as elapsed time, by what the clocks show: since the poll that handed the run over the machine may have slept.
    fn elapsed(&self, seen: Seen, monotonic: Duration, wall: i64) -> i64;
    /// The store has answered a write.
    fn written(&self, answer: Result<Vec<Kept>, StoreError>);
}

impl<C> Home for Shared<C> {
    fn welcome(&self, returned: Returned) {
        let unwanted = self.with(|table| {
            // One that was refused never went out.
            if !table.away.contains_key(&returned.serial) {
                return Some(returned);
            }
            table.returned.push_back(returned);
            table.news += 1;
            None
        });
        drop_quietly(unwanted);
    }

    fn elapsed(&self, seen: Seen, monotonic: Duration, wall: i64) -> i64 {
        // If nothing has happened to the clocks it needs no lock, of which the host has more use.
        let quiet = seen.now.later(monotonic, wall).filter(|_| self.clock_changes.load(Ordering::Acquire) == seen.changes);
        quiet.unwrap_or_else(|| self.now().elapsed)
    }

    fn written(&self, answer: Result<Vec<Kept>, StoreError>) {
        self.with(|table| table.written(answer));
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
    fn begin(&mut self) -> Duration {
        let now = self.clock.monotonic();
        // As elapsed time it is asked for by a time limit only.
        let home = self.timeout.and(self.home.as_ref()).and_then(Weak::upgrade);
        self.view.signals.begin(now, home.map(|home| home.elapsed(self.seen, now, self.clock.wall_nanos())));
        let waited = now.saturating_sub(self.handed);
        if waited > self.view.facts.late {
            self.view.facts.late_by = LateBy::Pool;
        }
        self.view.facts.late = self.view.facts.late.saturating_add(waited);
        self.view.limit = self.timeout.map(|limit| TimeLimit { clock: self.clock.clone(), ends: now.saturating_add(limit) });
        now
    }

    fn come_back(&mut self, how: How) {
        let Some(home) = self.home.take() else { return };
        drop_quietly((self.value.take(), self.view.signals.take_waker()));
        let home = home.upgrade();
        let ended = self.clock.monotonic();
        let began = self.view.signals.began();
        let waited = began.map_or(Duration::ZERO, |began| began.saturating_sub(self.handed));
        let took = began.map_or(Duration::ZERO, |began| ended.saturating_sub(began));
        let ended = home.as_ref().map_or(0, |home| home.elapsed(self.seen, ended, self.clock.wall_nanos()));
        let returned = Returned { serial: self.serial, how, waited, took, ended };
        match home {
            Some(home) => home.welcome(returned),
            None => drop_quietly(returned),
        }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let how = if self.view.signals.is_stopped() { How::Stopped } else { How::Lost };
        self.come_back(how);
    }
}

/// A job on an executor.
pub(super) fn on_executor(
    executor: Arc<dyn Executor>,
    job: impl Fn(&RunView, Option<Value>) -> Called + Send + Sync + 'static,
) -> Launcher {
    let job = Arc::new(job);
    Arc::new(move |mut away: Away| {
        let job = job.clone();
        executor.execute(Work::new(move || {
            if away.view.signals.is_stopped() {
                return away.come_back(How::Stopped);
            }
            away.begin();
            let value = away.value.take();
            let how = match caught(|| job(&away.view, value)) {
                Ok(called) => How::Called(called),
                Err(said) => How::Panicked(said),
            };
            away.come_back(how);
        }))
    })
}

type Making = dyn Fn(RunView, Option<Value>) -> Pin<Box<dyn Future<Output = Called> + Send>> + Send + Sync;

/// A job as a future, on whatever runs futures.
pub(super) fn on_runtime(spawn: impl Fn(JobFuture) + Send + Sync + 'static, make: Arc<Making>) -> Launcher {
    Arc::new(move |away| {
        spawn(JobFuture { away, make: make.clone(), going: None });
        Ok(())
    })
}

/// A run of an async job, for a runtime to poll: see [`When::do_future`](crate::When::do_future).
///
/// When the run is told to stop, it drops the job's own future and is ready. Dropped itself, it ends the run.
#[must_use = "a future does nothing until it is polled"]
pub struct JobFuture {
    away: Away,
    make: Arc<Making>,
    going: Option<Pin<Box<dyn Future<Output = Called> + Send>>>,
}

impl Future for JobFuture {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.away.home.is_none() {
            return Poll::Ready(());
        }
        // First the waker, then the look, or a stop in between would be slept through.
        this.away.view.signals.wake_by(context.waker());
        let how = if this.away.view.signals.is_stopped() {
            How::Stopped
        } else {
            match caught(|| this.go_on(context)) {
                Ok(Poll::Pending) => return Poll::Pending,
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
    fn go_on(&mut self, context: &mut Context<'_>) -> Poll<Called> {
        if self.going.is_none() {
            self.away.begin();
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
