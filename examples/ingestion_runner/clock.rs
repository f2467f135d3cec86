//! The clock of the world that is lived in: the machine's, or one for the recording that begins when it does and runs faster.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use punctual::{Clock, SystemClock};

#[derive(Clone)]
pub enum WorldClock {
    Machine(SystemClock),
    Recording(ScaledClock),
}

#[derive(Clone)]
pub struct ScaledClock {
    start: DateTime<Utc>,
    origin: Instant,
    speed: u32,
    /// How far the wall clock is set, and at which instants of the feed's time.
    steps: Vec<(TimeDelta, DateTime<Utc>)>,
}

impl WorldClock {
    /// The feed's own time, which nobody sets.
    pub fn feed_time(&self) -> DateTime<Utc> {
        match self {
            WorldClock::Machine(clock) => clock.wall(),
            WorldClock::Recording(clock) => clock.feed_time(),
        }
    }

    /// How many times faster than real time it runs.
    pub fn speed(&self) -> u32 {
        match self {
            WorldClock::Machine(_) => 1,
            WorldClock::Recording(clock) => clock.speed,
        }
    }
}

impl Clock for WorldClock {
    fn wall(&self) -> DateTime<Utc> {
        match self {
            WorldClock::Machine(clock) => clock.wall(),
            WorldClock::Recording(clock) => clock.wall(),
        }
    }

    fn monotonic(&self) -> Duration {
        match self {
            WorldClock::Machine(clock) => clock.monotonic(),
            WorldClock::Recording(clock) => clock.passed(),
        }
    }

    fn boot(&self) -> Option<Duration> {
        match self {
            WorldClock::Machine(clock) => clock.boot(),
            WorldClock::Recording(clock) => Some(clock.passed()),
        }
    }
}

impl ScaledClock {
    pub fn new(start: DateTime<Utc>, speed: u32, steps: Vec<(TimeDelta, DateTime<Utc>)>) -> Self {
        ScaledClock { start, origin: Instant::now(), speed, steps }
    }

    pub fn feed_time(&self) -> DateTime<Utc> {
        self.start + TimeDelta::from_std(self.passed()).unwrap_or_default()
    }

    fn wall(&self) -> DateTime<Utc> {
        let now = self.feed_time();
        self.steps.iter().filter(|(_, at)| *at <= now).fold(now, |wall, (by, _)| wall + *by)
    }

    fn passed(&self) -> Duration {
        self.origin.elapsed() * self.speed
    }
}
