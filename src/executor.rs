//! Where background runs go: the pool, or an executor of the host's own.
//!
//! An executor never waits: what it has no room for it gives back, and the scheduler keeps it in its order until there is
//! room. So the memory of a flood is that of the job table, and a job that is cancelled meanwhile is not run.
//!
//! A thread of the pool that has become idle gives way and looks again, a few times, before it sleeps: some microseconds. A
//! short run takes less time than handing over the next one; without this the thread slept after each, and the host had a
//! wake-up to pay for each (1,000 runs: 1.5 to 8 µs each, 1.05 µs with it). Pausing the processor instead of giving way was
//! no better on two cores and worse on one. To look so in [`wait`](crate::Scheduler::wait) too pays only for a run that ends
//! within microseconds (one at a time on two cores, 34 µs, most of them the wake-up of a core that had halted: 3 µs; on one
//! core, 6 µs: 8 µs), and hosts rest to save power.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::caught::caught;
use crate::sync::{Condvar, Mutex, thread};

/// So often a thread that has become idle gives way and looks again, before it goes to sleep.
const LOOKS: u32 = if cfg!(punctual_model) { 1 } else { 8 };

/// Runs background work somewhere else than on the polling thread.
///
/// A closure is an executor too:
///
/// ```
/// use punctual::{Scheduler, Work};
///
/// // With rayon: `rayon::spawn(move || work.run())`; for a GUI's thread: post it to its loop.
/// let one_thread_each = |work: Work| {
///     std::thread::spawn(move || work.run());
///     Ok(())
/// };
/// let scheduler: Scheduler = Scheduler::builder().executor(one_thread_each).build();
/// # let _ = scheduler;
/// ```
pub trait Executor: Send + Sync + 'static {
    /// Takes work, to be run soon. It is called on the polling thread, so it must not wait.
    ///
    /// # Errors
    ///
    /// Gives the work back if there is no room for it. It is offered again once a background run has ended, or after a
    /// tenth of a second.
    fn execute(&self, work: Work) -> Result<(), Work>;
}

impl<F> Executor for F
where
    F: Fn(Work) -> Result<(), Work> + Send + Sync + 'static,
{
    fn execute(&self, work: Work) -> Result<(), Work> {
        self(work)
    }
}

/// A run to be done on another thread. Dropped without having been run, it ends the run as
/// [`RunEnd::Lost`](crate::RunEnd::Lost).
#[must_use = "work that is dropped is a lost run: call `run`"]
pub struct Work(Box<dyn Ready>);

/// What there is to run, and its memory.
pub(crate) trait Ready: Send {
    fn run(self: Box<Self>);
}

impl Work {
    pub(crate) fn new(work: impl Ready + 'static) -> Self {
        Work(Box::new(work))
    }

    /// Runs it, on the thread that calls this. A panic of the job goes no further.
    pub fn run(self) {
        self.0.run();
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

/// Threads for background runs. They are started when they are first needed and end with the pool.
///
/// A scheduler has one of its own, with a thread for each of the machine's, unless it is given another:
///
/// ```
/// use punctual::{Pool, Scheduler};
///
/// let scheduler: Scheduler = Scheduler::builder().executor(Pool::new(2).queue(0).named("fetch")).build();
/// # let _ = scheduler;
/// ```
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    threads: usize,
    /// How much may wait for a thread.
    queue: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    started: usize,
    idle: usize,
    /// Those of the idle that are awake, and will look at the queue again.
    looking: usize,
    closed: bool,
}

impl Pool {
    /// A pool of so many threads, at least one.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let state = Mutex::default();
        Pool { inner: Arc::new(Inner { name: "punctual".to_owned(), threads, queue: threads, state, changed: Condvar::new() }) }
    }

    /// How many runs may wait for a thread besides those that are running; as many as there are threads unless given.
    ///
    /// With 0 a thread that has become free waits for the next poll; with many, runs that wait are out of the
    /// scheduler's order.
    #[must_use]
    pub fn queue(self, most: usize) -> Self {
        self.rebuilt(|inner| inner.queue = most)
    }

    /// The name of its threads, to which a number is added; `punctual` unless given.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        self.rebuilt(|inner| inner.name = name.into())
    }

    fn rebuilt(self, change: impl FnOnce(&mut Inner)) -> Self {
        let Inner { ref name, threads, queue, .. } = *self.inner;
        let (name, state) = (name.clone(), Mutex::default());
        let mut inner = Inner { name, threads, queue, state, changed: Condvar::new() };
        change(&mut inner);
        Pool { inner: Arc::new(inner) }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Pool::new(thread::available_parallelism().map_or(2, usize::from))
    }
}

impl Executor for Pool {
    fn execute(&self, work: Work) -> Result<(), Work> {
        let mut state = self.inner.state.lock();
        let waits = state.queue.len();
        if waits >= state.idle && state.started < self.inner.threads {
            let (inner, number) = (self.inner.clone(), state.started + 1);
            let thread = thread::Builder::new().name(format!("{}-{number}", self.inner.name));
            match thread.spawn(move || inner.work()) {
                Ok(_) => {
                    state.started += 1;
                    state.idle += 1;
                }
                // The system gives no thread: what there is must do.
                Err(_) if state.started == 0 => return Err(work),
                Err(_) => {}
            }
        }
        if waits >= state.idle.saturating_add(self.inner.queue) {
            return Err(work);
        }
        state.queue.push_back(work);
        if state.queue.len() > state.looking {
            self.inner.changed.notify_one();
        }
        Ok(())
    }
}

impl Inner {
    /// What each thread does. It counts as idle from before it begins, so that nobody takes the work meant for it as
    /// waiting.
    fn work(&self) {
        let mut state = self.state.lock();
        let mut looks = 0;
        loop {
            if let Some(work) = state.queue.pop_front() {
                state.idle -= 1;
                drop(state);
                let _ = caught(|| work.run());
                looks = 0;
                state = self.state.lock();
                state.idle += 1;
            } else if state.closed {
                return;
            } else if looks < LOOKS {
                looks += 1;
                state.looking += 1;
                drop(state);
                thread::yield_now();
                state = self.state.lock();
                state.looking -= 1;
            } else {
                self.changed.wait(&mut state);
            }
        }
    }
}

impl Drop for Pool {
    /// What still waits for a thread is lost; the threads end once what they run has ended.
    fn drop(&mut self) {
        let left = {
            let mut state = self.inner.state.lock();
            state.closed = true;
            std::mem::take(&mut state.queue)
        };
        self.inner.changed.notify_all();
        drop(left);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.inner.threads).field("queue", &self.inner.queue).finish_non_exhaustive()
    }
}
