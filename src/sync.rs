//! What threads share: locks, atomics, threads, and the time that a wait takes.
//!
//! In a usual build these are parking_lot's and std's own. With `--cfg punctual_model` they are shuttle's behind the same
//! names, so that `tests/model.rs` runs the crate's own code and chooses itself which thread takes the next step. There a
//! wait with an end may end at any moment (then the clock of [`Instant`] goes on to that end) or last until somebody ends
//! it: whoever relies on the end to notice what happened is found out. `Arc` and `Weak` are std's in both.

#[cfg(not(punctual_model))]
pub(crate) use real::*;

#[cfg(punctual_model)]
pub(crate) use model::*;

#[cfg(not(punctual_model))]
mod real {
    pub(crate) use std::sync::{OnceLock, atomic};
    pub(crate) use std::thread;
    pub(crate) use std::time::Instant;

    pub(crate) use parking_lot::{Condvar, Mutex, RwLock};
}

#[cfg(punctual_model)]
mod model {
    use std::cell::Cell;
    use std::ops::{Add, Deref, DerefMut};
    use std::sync::PoisonError;
    use std::time::Duration;

    use shuttle::rand::Rng;
    use shuttle::sync as shuttled;

    pub(crate) use shuttle::sync::atomic;

    pub(crate) mod thread {
        pub(crate) use shuttle::thread::{Builder, JoinHandle, ThreadId, current, yield_now};
        pub(crate) use std::thread::available_parallelism;
    }

    /// Of so many waits with an end, one ends by it before it has begun.
    const ENDS: u32 = 4;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttled::Mutex<T>);

    /// Empty only while its owner waits.
    pub(crate) struct MutexGuard<'a, T>(Option<shuttled::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(shuttled::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("held")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("held")
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(shuttled::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn read(&self) -> shuttled::RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn write(&self) -> shuttled::RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(shuttled::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Condvar::default()
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            guard.0 = guard.0.take().map(|held| self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }

        pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, most: Duration) {
            self.wait_until(guard, Instant::now() + most);
        }

        pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, end: Instant) {
            if shuttle::rand::thread_rng().gen_ratio(1, ENDS) {
                NOW.set(NOW.get().max(end.0));
            } else {
                self.wait(guard);
            }
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// A lock keeps those who come first apart; who looks passes through it too, so that a look is a step.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        first: shuttled::Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            std::sync::OnceLock::new().into()
        }

        pub(crate) fn get(&self) -> Option<&T> {
            drop(self.first.lock());
            self.value.get()
        }

        pub(crate) fn get_or_init(&self, value: impl FnOnce() -> T) -> &T {
            let _first = self.first.lock();
            self.value.get_or_init(value)
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let _first = self.first.lock();
            self.value.set(value)
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            OnceLock::new()
        }
    }

    impl<T> From<T> for OnceLock<T> {
        fn from(value: T) -> Self {
            std::sync::OnceLock::from(value).into()
        }
    }

    impl<T> From<std::sync::OnceLock<T>> for OnceLock<T> {
        fn from(value: std::sync::OnceLock<T>) -> Self {
            OnceLock { first: shuttled::Mutex::new(()), value }
        }
    }

    thread_local! {
        // All threads of a model are one.
        static NOW: Cell<Duration> = const { Cell::new(Duration::from_secs(1)) };
    }

    /// An instant of the model's own time, which passes only by waits that end.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Instant(Duration);

    impl Instant {
        pub(crate) fn now() -> Self {
            Instant(NOW.get())
        }

        pub(crate) fn checked_add(self, time: Duration) -> Option<Self> {
            self.0.checked_add(time).map(Instant)
        }

        pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
    }

    impl Add<Duration> for Instant {
        type Output = Self;

        fn add(self, time: Duration) -> Self {
            Instant(self.0.saturating_add(time))
        }
    }
}
