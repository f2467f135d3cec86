//! Rest and end: waiting for the next due time, a thread that does the loop, shutting down.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Scheduler;
use crate::job::Jobs;

/// A wait looks at the clocks at least this often, so that a wall clock that was set, and a suspend, are noticed.
const LONGEST_REST: Duration = Duration::from_secs(1);

impl<C: 'static> Scheduler<C> {
    /// Rests until a job is due, and no longer than `most`. Returns whether there was a reason to return before.
    ///
    /// It returns at once when a job is registered, asked for, resumed or rescheduled from another thread, on
    /// [`wake`](Self::wake), and on [`shutdown`](Self::shutdown). It looks at the clocks once a second, so a due time that a
    /// wall clock set ahead, or a suspend, brings forward is noticed within a second.
    ///
    /// ```
    /// use punctual::Scheduler;
    /// use std::time::Duration;
    ///
    /// let scheduler = Scheduler::new();
    /// let job = scheduler.every(10).milliseconds().times(3).do_(|| ())?;
    /// while !scheduler.is_empty() {
    ///     scheduler.wait(Duration::from_secs(3600));
    ///     let _ = scheduler.run_pending();
    /// }
    /// assert_eq!(job.stats().runs, 3);
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn wait(&self, most: Duration) -> bool {
        let shared = &*self.0;
        let end = Instant::now().checked_add(most);
        let news = shared.table.lock().news;
        loop {
            let now = shared.now();
            let mut table = shared.table.lock();
            let woken = std::mem::take(&mut table.woken);
            let idle = table.idle(now);
            if woken || table.closed || table.news != news || idle.is_some_and(|idle| idle <= 0) {
                return true;
            }
            let left = end.map_or(LONGEST_REST, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let idle = idle.map_or(LONGEST_REST, |idle| Duration::from_nanos(idle.unsigned_abs()));
            shared.changed.wait_for(&mut table, left.min(idle).min(LONGEST_REST));
        }
    }

    /// Ends a [`wait`](Self::wait), the next one if none is going on.
    pub fn wake(&self) {
        self.0.with(|table| {
            table.woken = true;
            table.news += 1;
        });
    }

    /// Calls back whenever a due time may have come nearer from outside a poll: a job was registered, asked for, resumed
    /// or rescheduled, or [`wake`](Self::wake) was called. For event loops that arm a timer of their own by
    /// [`idle`](Self::idle) or [`next_run`](Self::next_run).
    ///
    /// It is called on the thread that made the change, with no lock held. A panic in it is swallowed.
    pub fn on_change(&self, callback: impl Fn() + Send + Sync + 'static) {
        self.0.callbacks.write().push(Arc::new(callback));
    }

    /// Ends the scheduler: no further run starts, and nothing more can be registered. A run that is going on in another
    /// thread is asked to stop ([`Run::should_stop`](crate::Run::should_stop)) and has until `patience` is over to end.
    ///
    /// Returns the jobs whose run has not ended: that still goes on, has more to do at a later poll, or is the one that
    /// calls this. Called again it waits again.
    pub fn shutdown(&self, patience: Duration) -> Jobs {
        let shared = &*self.0;
        let end = Instant::now().checked_add(patience);
        shared.with(|table| {
            table.close();
            table.news += 1;
        });
        let mut table = shared.table.lock();
        while table.poller.is_some_and(|poller| poller != thread::current().id()) {
            let left = end.map_or(LONGEST_REST, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            shared.changed.wait_for(&mut table, left);
        }
        drop(table);
        let now = shared.now();
        let table = shared.table.lock();
        Jobs(table.ids(None).into_iter().filter_map(|id| table.snapshot(id, now)).filter(|job| job.running).collect())
    }

    /// Whether [`shutdown`](Self::shutdown) was called.
    pub fn is_shut_down(&self) -> bool {
        self.0.table.lock().closed
    }
}

impl Scheduler<()> {
    /// Starts a thread that does the loop: it runs what is due, waits, and so on.
    ///
    /// The thread keeps the scheduler alive. It ends when what is returned is stopped or dropped, or the scheduler is shut
    /// down.
    ///
    /// # Errors
    ///
    /// What the system says if it gives no thread.
    ///
    /// ```
    /// use punctual::Scheduler;
    ///
    /// let scheduler = Scheduler::new();
    /// let (tell, told) = std::sync::mpsc::channel();
    /// scheduler.reboot().do_(move || tell.send("hello from a thread of its own"))?;
    /// let thread = scheduler.spawn()?;
    /// assert!(told.recv().is_ok());
    /// thread.stop();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn(&self) -> io::Result<Spawned> {
        self.spawn_with(())
    }
}

impl<C: Send + 'static> Scheduler<C> {
    /// [`spawn`](Scheduler::spawn) for jobs that need the host's state, which [`Spawned::stop`] gives back.
    ///
    /// # Errors
    ///
    /// What the system says if it gives no thread.
    pub fn spawn_with(&self, mut host: C) -> io::Result<Spawned<C>> {
        let (scheduler, stop) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let asked = stop.clone();
        let thread = thread::Builder::new().name("punctual".to_owned()).spawn(move || {
            while !asked.load(Ordering::Acquire) && !scheduler.is_shut_down() {
                let _ = scheduler.run_pending_with(&mut host);
                scheduler.wait(Duration::MAX);
            }
            host
        })?;
        Ok(Spawned { scheduler: self.clone(), stop, thread: Some(thread) })
    }
}

/// A thread that runs a scheduler's jobs: see [`Scheduler::spawn`]. Dropping it stops it, as [`stop`](Self::stop) does.
#[must_use = "dropping it stops the thread"]
pub struct Spawned<C: Send + 'static = ()> {
    scheduler: Scheduler<C>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<C>>,
}

impl<C: Send + 'static> Spawned<C> {
    /// Lets the run that is going on end, if there is one, and no further one start; then the thread ends and gives the
    /// host's state back. `None` if this is called from a job on that thread, which ends after it.
    pub fn stop(mut self) -> Option<C> {
        self.end()
    }

    fn end(&mut self) -> Option<C> {
        self.stop.store(true, Ordering::Release);
        self.scheduler.wake();
        let thread = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id())?;
        thread.join().ok()
    }
}

impl<C: Send + 'static> Drop for Spawned<C> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<C: Send + 'static> fmt::Debug for Spawned<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawned").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}
