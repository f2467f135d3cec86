//! Rest and end: waiting for the next due time, a thread that does the loop, shutting down.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::table::Table;
use super::{Scheduler, Shared};
use crate::caught::caught;
use crate::job::Jobs;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Instant, Mutex};

/// A wait looks at the clocks at least this often, so that a wall clock that was set, and a suspend, are noticed.
const LONGEST_REST: Duration = Duration::from_secs(1);

impl<C: 'static> Scheduler<C> {
    /// Rests until a job is due, and no longer than `most`. Returns whether there was a reason to return before.
    ///
    /// It returns at once when a job is registered, asked for, resumed or rescheduled from another thread, when a run comes
    /// back from the background, on [`wake`](Self::wake), and on [`shutdown`](Self::shutdown). It looks at the clocks once a second, so a due time that a
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
        self.wait_since(self.news(), most)
    }

    /// How often something was asked for so far.
    fn news(&self) -> u64 {
        self.0.table.lock().news
    }

    /// [`wait`](Self::wait), also for what was asked for since then.
    fn wait_since(&self, news: u64, most: Duration) -> bool {
        let shared = &*self.0;
        let end = Instant::now().checked_add(most);
        loop {
            let now = shared.now();
            let mut table = shared.table.lock();
            let woken = std::mem::take(&mut table.woken);
            // What is due is no reason to return while another thread polls: it has that in hand, and its end is told.
            let idle = table.idle(now).filter(|_| !shared.is_polled_elsewhere(&table));
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

    /// Calls back whenever there may be something to do earlier than before: a job was registered, asked for, resumed or
    /// rescheduled, a run came back from the background, [`wake`](Self::wake) or [`shutdown`](Self::shutdown) was called. For
    /// event loops that arm a timer of their own by [`idle`](Self::idle) or [`next_run`](Self::next_run). It may be called many
    /// times in a row: post one message for all that wait.
    ///
    /// It is called on the thread that made the change, with no lock held. A panic in it is swallowed.
    pub fn on_change(&self, callback: impl Fn() + Send + Sync + 'static) {
        self.0.callbacks.write().push(Arc::new(callback));
    }

    /// Ends the scheduler: no further run starts, and nothing more can be registered. Runs that go on in other threads are
    /// told to stop ([`RunView::should_stop`](crate::RunView::should_stop)) and have until `patience` is over to end; what
    /// comes back from the background meanwhile is taken in.
    ///
    /// Returns the jobs of which a run has not ended: that still goes on (also if it had been given up), has more to do at a
    /// later poll, or is the one that calls this. A run that waits for another attempt ends as stopped. Called again it waits again.
    /// Called from a job in the background it waits for that one too, until `patience` is over.
    ///
    /// For Ctrl-C, let the handler call [`wake`](Self::wake) and set a flag that the loop looks at; after the loop call this,
    /// and name in the log what it returns.
    pub fn shutdown(&self, patience: Duration) -> Jobs {
        let shared = &*self.0;
        let end = Instant::now().checked_add(patience);
        self.close();
        loop {
            let mut table = shared.table.lock();
            let left = end.map_or(LONGEST_REST, |end| end.saturating_duration_since(Instant::now()));
            if (shared.is_running_elsewhere(&table) || table.is_writing()) && !left.is_zero() {
                shared.changed.wait_for(&mut table, left);
                continue;
            }
            let here = table.is_polled_here();
            drop(table);
            // Another poll may have begun meanwhile: then there is that to wait for.
            let done = self.take_in() || here || left.is_zero();
            if done && (here || left.is_zero() || !shared.table.lock().is_writing()) {
                return self.unended();
            }
        }
    }

    /// [`shutdown`](Self::shutdown) for async hosts: it waits without holding up the runtime, whose own runs have to go on to
    /// end.
    pub async fn shutdown_async(&self, patience: Duration) -> Jobs {
        let shared = &*self.0;
        let end = Instant::now().checked_add(patience);
        self.close();
        std::future::poll_fn(|context| {
            // First the waker, then the look.
            let alarm = shared.alarm.get_or_init(Alarm::default);
            alarm.add(context.waker());
            let left = end.map_or(LONGEST_REST, |end| end.saturating_duration_since(Instant::now()));
            let (running, here) = {
                let table = shared.table.lock();
                (shared.is_running_elsewhere(&table) || table.is_writing(), table.is_polled_here())
            };
            if left.is_zero() || !running && (self.take_in() || here) {
                return Poll::Ready(());
            }
            alarm.set(left.min(LONGEST_REST));
            Poll::Pending
        })
        .await;
        self.take_in();
        self.unended()
    }

    fn close(&self) {
        self.0.with(|table| {
            table.close();
            table.returned.tell_of_each();
            table.news += 1;
        });
    }

    fn unended(&self) -> Jobs {
        let now = self.0.now();
        let table = self.0.table.lock();
        Jobs(table.unended(now))
    }

    /// Whether [`shutdown`](Self::shutdown) was called.
    pub fn is_shut_down(&self) -> bool {
        self.0.table.lock().closed
    }
}

impl<C> Shared<C> {
    /// Whether another thread polls. One that has just begun to has not yet said which it is. To be asked with the lock
    /// held, under which polls end.
    fn is_polled_elsewhere(&self, table: &Table<C>) -> bool {
        self.polling.load(Ordering::Acquire) && !table.is_polled_here()
    }

    /// Whether a run goes on in another thread than this.
    fn is_running_elsewhere(&self, table: &Table<C>) -> bool {
        // Those that have come back are in the registry until they are taken in.
        self.is_polled_elsewhere(table) || table.away.len() > table.returned.len()
    }
}

impl<C: 'static> Scheduler<C> {
    /// A future that is ready as soon as [`wait`](Self::wait) would return, but gives the runtime a turn first. It is built on wakers alone, so that any runtime
    /// can await it; a small thread of the scheduler's own, started when it is first needed, does the waking.
    ///
    /// ```
    /// # async fn example(scheduler: &punctual::Scheduler) {
    /// loop {
    ///     let _ = scheduler.run_pending();
    ///     scheduler.due().await;
    /// }
    /// # }
    /// ```
    pub fn due(&self) -> UntilDue<C> {
        UntilDue { scheduler: self.clone(), news: self.news(), gave_way: false }
    }

    /// Runs what is due, awaits the next, and so on, until `stop` is ready; gives what that gave.
    pub async fn run_until_with<F: Future>(&self, host: &mut C, stop: F) -> F::Output {
        let mut stop = pin!(stop);
        loop {
            let _ = self.run_pending_with(host);
            let mut due = self.due();
            let ended = std::future::poll_fn(|context| match stop.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending => Pin::new(&mut due).poll(context).map(|()| None),
            });
            if let Some(output) = ended.await {
                return output;
            }
            if self.is_shut_down() {
                return stop.await;
            }
        }
    }
}

impl Scheduler<()> {
    /// [`run_until_with`](Scheduler::run_until_with) for jobs that need nothing of the host.
    ///
    /// ```
    /// # async fn example(scheduler: &punctual::Scheduler, ctrl_c: impl Future<Output = ()>) {
    /// scheduler.run_until(ctrl_c).await;
    /// let left = scheduler.shutdown_async(std::time::Duration::from_secs(5)).await;
    /// # }
    /// ```
    pub async fn run_until<F: Future>(&self, stop: F) -> F::Output {
        self.run_until_with(&mut (), stop).await
    }
}

/// Ready when a scheduler has something to do: see [`Scheduler::due`].
#[must_use = "a future does nothing until it is polled"]
pub struct UntilDue<C: 'static = ()> {
    scheduler: Scheduler<C>,
    news: u64,
    /// Whether the runtime has had its turn since it was made.
    gave_way: bool,
}

impl<C: 'static> Future for UntilDue<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.gave_way, true) {
            // A loop that always has something to do would hold up all else on its thread.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let shared = &*self.scheduler.0;
        // First the waker, then the look, or what comes in between would be slept through.
        let alarm = shared.alarm.get_or_init(Alarm::default);
        alarm.add(context.waker());
        let now = shared.now();
        let mut table = shared.table.lock();
        let idle = table.idle(now).filter(|_| !shared.is_polled_elsewhere(&table));
        let woken = std::mem::take(&mut table.woken);
        if woken || table.closed || table.news != self.news || idle.is_some_and(|idle| idle <= 0) {
            return Poll::Ready(());
        }
        drop(table);
        let idle = idle.map_or(LONGEST_REST, |idle| Duration::from_nanos(idle.unsigned_abs()).min(LONGEST_REST));
        alarm.set(idle);
        Poll::Pending
    }
}

impl<C: 'static> fmt::Debug for UntilDue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilDue").finish_non_exhaustive()
    }
}

/// Wakes futures: at once when it is rung, and at an instant by a thread that is started when it is first needed.
#[derive(Default)]
pub(super) struct Alarm(Arc<Bell>);

#[derive(Default)]
struct Bell {
    state: Mutex<BellState>,
    changed: Condvar,
}

#[derive(Default)]
struct BellState {
    wakers: Vec<Waker>,
    at: Option<Instant>,
    started: bool,
    closed: bool,
}

impl Alarm {
    fn add(&self, waker: &Waker) {
        let waker = waker.clone();
        let mut state = self.0.state.lock();
        if !state.wakers.iter().any(|other| other.will_wake(&waker)) {
            state.wakers.push(waker);
        }
    }

    /// Rings in so long, unless it rings before.
    fn set(&self, after: Duration) {
        let at = Instant::now() + after;
        let mut state = self.0.state.lock();
        if state.at.is_none_or(|other| at < other) {
            state.at = Some(at);
            self.0.changed.notify_one();
        }
        if !state.started {
            let bell = self.0.clone();
            let thread = thread::Builder::new().name("punctual-alarm".to_owned()).spawn(move || bell.watch());
            state.started = thread.is_ok();
            if thread.is_err() {
                // Without a thread the futures look again at once, which is dear and right.
                drop(state);
                self.ring();
            }
        }
    }

    pub(super) fn ring(&self) {
        self.0.ring();
    }
}

impl Bell {
    fn ring(&self) {
        let wakers = {
            let mut state = self.state.lock();
            state.at = None;
            std::mem::take(&mut state.wakers)
        };
        for waker in wakers {
            let _ = caught(|| waker.wake());
        }
    }

    fn watch(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            match state.at {
                None => self.changed.wait(&mut state),
                Some(at) if at > Instant::now() => {
                    self.changed.wait_until(&mut state, at);
                }
                Some(_) => {
                    drop(state);
                    self.ring();
                    state = self.state.lock();
                }
            }
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.changed.notify_one();
    }
}

impl Scheduler<()> {
    /// Starts a thread that does the loop: it runs what is due, waits, and so on.
    ///
    /// The thread keeps the scheduler alive. It ends when what is returned is stopped or dropped, or the scheduler is shut
    /// down. A job on it may stop it: it ends after that job.
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
            loop {
                // First the count, then the look, or a wake in between that ends another's wait would be slept through.
                let news = scheduler.news();
                if asked.load(Ordering::Acquire) || scheduler.is_shut_down() {
                    break;
                }
                let _ = scheduler.run_pending_with(&mut host);
                scheduler.wait_since(news, Duration::MAX);
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
