//! A clock for the recording: it begins when the recording does and runs faster.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use punctual::Clock;

#[derive(Clone)]
pub struct ScaledClock {
    start: DateTime<Utc>,
    origin: Instant,
    speed: u32,
    /// How far the wall clock was set, in milliseconds.
    set: Arc<AtomicI64>,
}

impl ScaledClock {
    pub fn new(start: DateTime<Utc>, speed: u32) -> Self {
        ScaledClock { start, origin: Instant::now(), speed, set: Arc::default() }
    }

    pub fn set_by(&self, step: TimeDelta) {
        self.set.fetch_add(step.num_milliseconds(), Ordering::Relaxed);
    }

    /// The feed's own time, which nobody sets.
    pub fn feed_time(&self) -> DateTime<Utc> {
        self.start + TimeDelta::from_std(self.monotonic()).unwrap_or_default()
    }
}

impl Clock for ScaledClock {
    fn wall(&self) -> DateTime<Utc> {
        self.feed_time() + TimeDelta::milliseconds(self.set.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed() * self.speed
    }

    fn boot(&self) -> Option<Duration> {
        Some(self.monotonic())
    }
}
