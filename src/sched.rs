//! Python's `sched`, on the same queue: events that happen once, on a clock of the host's own.
//!
//! It is for programs that come from there, and for hosts whose time is not the machine's: the frames of a game, the steps of
//! a simulation, the seconds of a recording. What a job of a [`Scheduler`](crate::Scheduler) has, an event has not: a schedule,
//! a name, an account, a store.
//!
//! A time is any number that can be brought into order as an `i64`; the queue knows nothing else of it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::caught::caught;
use crate::queue::{Rank, Timeline};
use crate::run::{BoxError, JobResult};
use crate::sync::Mutex;

/// What a [`Sched`] can take for time: the numbers, and [`Duration`].
///
/// A sum or a difference that there is no number for ends at the last one that there is.
pub trait SchedTime: Copy + Send + Sync + 'static {
    /// No time at all.
    const ZERO: Self;

    /// Its place among all others: of two times the later has the greater.
    fn rank(self) -> i64;

    /// So much later.
    fn plus(self, delay: Self) -> Self;

    /// How much later it is than another time, which is not after it.
    fn since(self, earlier: Self) -> Self;
}

macro_rules! whole_numbers {
    ($($number:ty: $rank:expr),+ $(,)?) => {$(
        impl SchedTime for $number {
            const ZERO: Self = 0;

            fn rank(self) -> i64 {
                ($rank)(self)
            }

            fn plus(self, delay: Self) -> Self {
                self.saturating_add(delay)
            }

            fn since(self, earlier: Self) -> Self {
                self.saturating_sub(earlier)
            }
        }
    )+};
}

/// The upper half of the unsigned numbers comes after the lower.
fn rank_of_u64(number: u64) -> i64 {
    (number ^ 1 << 63) as i64
}

whole_numbers! {
    i16: i64::from,
    i32: i64::from,
    i64: |number: i64| number,
    isize: |number: isize| number as i64,
    u16: i64::from,
    u32: i64::from,
    u64: rank_of_u64,
    usize: |number: usize| rank_of_u64(number as u64),
}

macro_rules! fractions {
    ($($number:ty),+) => {$(
        impl SchedTime for $number {
            const ZERO: Self = 0.0;

            fn rank(self) -> i64 {
                // IEEE 754's total order: the bits of a positive number grow with it, those of a negative one shrink. No
                // number comes after all numbers, and nothing before 0 after it.
                let bits = (f64::from(self) + 0.0).to_bits() as i64;
                if self.is_nan() { i64::MAX } else { bits ^ ((bits >> 63) as u64 >> 1) as i64 }
            }

            fn plus(self, delay: Self) -> Self {
                self + delay
            }

            fn since(self, earlier: Self) -> Self {
                self - earlier
            }
        }
    )+};
}

fractions!(f32, f64);

impl SchedTime for Duration {
    const ZERO: Self = Duration::ZERO;

    fn rank(self) -> i64 {
        crate::schedule::length(self)
    }

    fn plus(self, delay: Self) -> Self {
        self.saturating_add(delay)
    }

    fn since(self, earlier: Self) -> Self {
        self.saturating_sub(earlier)
    }
}

/// Events in order of time, then of priority, then of entry, as Python's `sched.scheduler` has them.
///
/// Cheap to clone; all clones are one. An action is given the `Sched`, so that it can enter others:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use punctual::Sched;
///
/// // A host whose time is its own count of ticks: to wait is to count on.
/// let ticks = Arc::new(AtomicU32::new(0));
/// let (read, count) = (ticks.clone(), ticks.clone());
/// let sched = Sched::on(move || read.load(Relaxed), move |delay| {
///     count.fetch_add(delay, Relaxed);
/// });
///
/// fn ingest(sched: &Sched<u32>) {
///     // As in Python, a chain: each run enters the next.
///     if sched.now() < 3600 {
///         sched.enter(300, 1, ingest);
///     }
/// }
/// sched.enter(300, 1, ingest);
/// sched.run()?;
/// assert_eq!(ticks.load(Relaxed), 3600);
/// # Ok::<(), punctual::BoxError>(())
/// ```
pub struct Sched<T: SchedTime = Duration>(Arc<Inner<T>>);

struct Inner<T: SchedTime> {
    now: Box<dyn Fn() -> T + Send + Sync>,
    wait: Box<dyn Fn(T) + Send + Sync>,
    waiting: Mutex<Waiting<T>>,
}

type Action<T> = Box<dyn FnOnce(&Sched<T>) -> Result<(), BoxError> + Send>;

struct Waiting<T: SchedTime> {
    queue: Timeline,
    /// By slot.
    events: Vec<Option<(Entry<T>, Action<T>)>>,
    free: Vec<u32>,
    entered: u64,
}

/// An event that was entered: for [`Sched::cancel`], and what [`Sched::queue`] lists.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Entry<T> {
    /// When it happens.
    pub time: T,
    /// Of those of one time the lower comes first.
    pub priority: i32,
    /// Its number in the order of entry, from 0: no other of the same [`Sched`] has it.
    pub number: u64,
    slot: u32,
}

impl<T: SchedTime> Entry<T> {
    fn rank(&self) -> Rank {
        Rank { due: self.time.rank(), priority: self.priority, order: self.number }
    }
}

impl<T: SchedTime> Waiting<T> {
    fn enter(&mut self, time: T, priority: i32, action: Action<T>) -> Entry<T> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            (self.events.len() - 1) as u32
        });
        let entry = Entry { time, priority, number: self.entered, slot };
        self.entered += 1;
        self.queue.place(slot, Some(entry.rank()), 0);
        self.events[slot as usize] = Some((entry, action));
        entry
    }

    fn take(&mut self, slot: u32) -> Option<Action<T>> {
        let (_, action) = self.events.get_mut(slot as usize)?.take()?;
        self.queue.place(slot, None, 0);
        self.free.push(slot);
        Some(action)
    }

    fn first(&self) -> Option<Entry<T>> {
        let (_, slot) = self.queue.first()?;
        self.events[slot as usize].as_ref().map(|(entry, _)| *entry)
    }

    fn holds(&self, entry: &Entry<T>) -> bool {
        let held = self.events.get(entry.slot as usize).and_then(Option::as_ref);
        held.is_some_and(|(held, _)| held.number == entry.number)
    }
}

impl Sched<Duration> {
    /// On the machine's monotonic clock, from 0 now. To wait is to sleep.
    pub fn new() -> Self {
        let start = Instant::now();
        Sched::on(move || start.elapsed(), std::thread::sleep)
    }
}

impl Default for Sched<Duration> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: SchedTime> Clone for Sched<T> {
    fn clone(&self) -> Self {
        Sched(self.0.clone())
    }
}

impl<T: SchedTime + fmt::Debug> fmt::Debug for Sched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sched").field("queue", &self.queue()).finish()
    }
}

impl<T: SchedTime> Sched<T> {
    /// On a time of the host's own: what it is now, and how to wait for some of it to pass.
    ///
    /// `wait` is called by [`run`](Self::run) alone. It may return early.
    pub fn on(now: impl Fn() -> T + Send + Sync + 'static, wait: impl Fn(T) + Send + Sync + 'static) -> Self {
        let waiting = Waiting { queue: Timeline::default(), events: Vec::new(), free: Vec::new(), entered: 0 };
        Sched(Arc::new(Inner { now: Box::new(now), wait: Box::new(wait), waiting: Mutex::new(waiting) }))
    }

    /// What time it is.
    pub fn now(&self) -> T {
        (self.0.now)()
    }

    /// Enters an event that happens so long from now. One without delay happens at the next look, after those that are due
    /// by then and were entered before it.
    pub fn enter<R>(&self, delay: T, priority: i32, action: impl FnOnce(&Sched<T>) -> R + Send + 'static) -> Entry<T>
    where
        R: JobResult,
    {
        self.enter_at(self.now().plus(delay), priority, action)
    }

    /// Enters an event that happens at an instant; at once if that is past.
    pub fn enter_at<R>(&self, instant: T, priority: i32, action: impl FnOnce(&Sched<T>) -> R + Send + 'static) -> Entry<T>
    where
        R: JobResult,
    {
        let action = Box::new(move |sched: &Sched<T>| action(sched).into_end().map(drop));
        self.0.waiting.lock().enter(instant, priority, action)
    }

    /// Takes an event out of the queue. False if it is not there: it has happened, is happening, or was cancelled.
    pub fn cancel(&self, entry: &Entry<T>) -> bool {
        let mut waiting = self.0.waiting.lock();
        let action = if waiting.holds(entry) { waiting.take(entry.slot) } else { None };
        drop(waiting);
        action.is_some()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.0.waiting.lock().first().is_none()
    }

    /// The events that wait, in the order in which they would happen now.
    pub fn queue(&self) -> Vec<Entry<T>> {
        let waiting = self.0.waiting.lock();
        let mut queue: Vec<Entry<T>> = waiting.events.iter().flatten().map(|(entry, _)| *entry).collect();
        drop(waiting);
        queue.sort_by_key(Entry::rank);
        queue
    }

    /// Lets events happen, each in its time, until there are none: Python's `run(blocking=True)`. Between events it waits, and
    /// what another thread enters meanwhile is seen when the wait is over.
    ///
    /// # Errors
    ///
    /// That of the first action that fails, or what one that panicked said. The event is gone then; the others wait on, and
    /// `run` can be called again.
    pub fn run(&self) -> Result<(), BoxError> {
        while let Some(ahead) = self.run_pending()? {
            (self.0.wait)(ahead);
        }
        Ok(())
    }

    /// Lets those events happen that are due, also those that are entered meanwhile, and says how long it is until the next:
    /// Python's `run(blocking=False)`. `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_pending(&self) -> Result<Option<T>, BoxError> {
        loop {
            let now = self.now();
            let action = {
                let mut waiting = self.0.waiting.lock();
                let Some(first) = waiting.first() else { return Ok(None) };
                if first.time.rank() > now.rank() {
                    return Ok(Some(first.time.since(now)));
                }
                waiting.take(first.slot)
            };
            if let Some(action) = action {
                caught(|| action(self)).map_err(|said| format!("the action panicked: {said}"))??;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a list of times is in order, and each is the time that it is.
    fn rise<T: SchedTime + fmt::Debug>(times: &[T]) {
        for pair in times.windows(2) {
            assert!(pair[0].rank() < pair[1].rank(), "{pair:?}");
        }
    }

    #[test]
    fn numbers_keep_their_order() {
        rise(&[i64::MIN, -1, 0, 1, i64::MAX]);
        rise(&[0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX]);
        rise(&[f64::NEG_INFINITY, f64::MIN, -1.5, -1e-300, 0.0, 1e-300, 1.5, f64::MAX, f64::INFINITY, f64::NAN]);
        rise(&[f32::MIN, -0.1, 0.0, 0.1, f32::MAX, -f32::NAN]);
        rise(&[Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1)]);
        assert_eq!((-0.0_f64).rank(), 0.0_f64.rank());
        assert_eq!(u32::MAX.plus(1), u32::MAX);
        assert_eq!(Duration::MAX.plus(Duration::MAX), Duration::MAX);
    }

    /// On a clock that stands unless it is waited for.
    fn on_ticks() -> Sched<i64> {
        let ticks = Arc::new(Mutex::new(0));
        let read = ticks.clone();
        Sched::on(move || *read.lock(), move |delay| *ticks.lock() += delay)
    }

    /// The chain with which people begin: a run that enters the next one, for an hour.
    #[test]
    fn a_chain_of_five_minutes_has_twelve_runs_within_an_hour() {
        fn ingest(sched: &Sched<i64>, ran: &Arc<Mutex<Vec<i64>>>) {
            let now = sched.now();
            ran.lock().push(now);
            if now < 3600 {
                let ran = ran.clone();
                sched.enter(300, 1, move |sched| ingest(sched, &ran));
            }
        }
        let (sched, ran) = (on_ticks(), Arc::new(Mutex::new(Vec::new())));
        let first = ran.clone();
        sched.enter(300, 1, move |sched| ingest(sched, &first));
        sched.run().unwrap();
        assert_eq!(*ran.lock(), (1..=12).map(|run| run * 300).collect::<Vec<_>>());
    }

    #[test]
    fn the_entry_of_an_event_that_is_over_cancels_no_other() {
        let sched = on_ticks();
        let first = sched.enter(1, 0, |_| ());
        assert!(sched.cancel(&first));
        // It takes the first one's place.
        let second = sched.enter(1, 0, |_| ());
        assert_eq!((first.slot, sched.cancel(&first)), (second.slot, false));
        assert_eq!(sched.queue(), [second]);
    }

    #[test]
    fn an_action_that_panics_is_an_error_and_the_others_wait_on() {
        let sched = on_ticks();
        sched.enter(1, 0, |_| -> () { panic!("no more") });
        let other = sched.enter(2, 0, |_| ());
        let said = sched.run().map_err(|error| error.to_string());
        assert_eq!(said, Err("the action panicked: no more".to_owned()));
        assert_eq!(sched.queue(), [other]);
        assert!(sched.run().is_ok() && sched.is_empty());
        assert_eq!(sched.now(), 2);
    }
}
