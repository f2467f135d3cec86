//! What the program on a machine consists of: its jobs, and how its releases change them.

use std::time::Duration;

use fastrand::Rng;
use punctual::{Missed, OnChange, Overlap, Schedule};

pub const SECOND: i64 = 1_000_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

pub fn length(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.unsigned_abs())
}

/// A job, as the releases of the program have it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its names, the present one last.
    pub names: Vec<String>,
    /// Its schedules, the present one last; none if it follows another job.
    pub rules: Vec<Rule>,
    /// Which job it follows, and so long after.
    pub follows: Option<(usize, i64)>,
    /// How old what it follows may be.
    pub within: Option<i64>,
    pub on_change: OnChange,
    pub again: bool,
    pub retries: u32,
    pub backoff: i64,
    pub missed: Missed,
    pub grace: Option<i64>,
    pub hold_after: Option<u32>,
    pub background: bool,
    pub overlap: Overlap,
    pub takes: i64,
    /// In so many of a hundred attempts it fails.
    pub fails: u8,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub when: When,
    pub times: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// Counted in elapsed time from registration.
    Every(i64),
    After(i64),
    /// By the wall clock.
    Once(i64),
    Wall(Schedule),
}

const WALL: &[&str] = &[
    "cron * * * * *",
    "cron */15 * * * * in Europe/Berlin",
    "cron 30 * * * *",
    "cron 30 1-3 * * * in America/New_York",
    "cron 0 9 * * 1-5 in Europe/Berlin",
    "every day at 02:30 in Europe/Berlin",
    "every day at 01:45 and 13:00 in Australia/Lord_Howe",
    "every day at 10:30",
    "every monday and thursday at 09:00 and 17:00 in Europe/Berlin",
    "every sunday at 02:00 in America/New_York",
    "every month on the last day at 12:00",
];

const PERIODS: &[i64] = &[SECOND, 5 * SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 10 * DAY];

impl Rule {
    /// `now` is about when the machine is set up.
    fn drawn(rng: &mut Rng, now: i64, ends: bool) -> Self {
        let when = match rng.u8(..20) {
            0 if ends => When::After(rng.i64(SECOND..20 * DAY)),
            1 if ends => When::Once(now + rng.i64(-DAY..60 * DAY)),
            2..=10 => When::Wall(WALL[rng.usize(..WALL.len())].parse().unwrap()),
            _ => When::Every(PERIODS[rng.usize(..PERIODS.len())]),
        };
        let times = (ends && rng.u8(..6) == 0).then(|| rng.u32(1..6));
        Rule { when, times }
    }

    /// How long it waits, if it counts elapsed time.
    pub fn length(&self) -> i64 {
        match self.when {
            When::Every(length) | When::After(length) => length,
            _ => 0,
        }
    }

    /// Whether it has a last occurrence.
    pub fn ends(&self) -> bool {
        self.times.is_some() || matches!(self.when, When::Once(_) | When::After(_))
    }

    /// Whether it counts elapsed time.
    pub fn is_elapsed(&self) -> bool {
        matches!(self.when, When::Every(_) | When::After(_))
    }
}

impl Job {
    pub fn name(&self) -> &str {
        self.names.last().unwrap()
    }

    pub fn rule(&self) -> &Rule {
        self.rules.last().unwrap()
    }

    /// A new release: another schedule, or another name.
    pub fn release(&mut self, rng: &mut Rng, now: i64) {
        if rng.bool() {
            let number = self.names.len();
            self.names.push(format!("{} {number}", self.names[0]));
        } else if self.follows.is_none() {
            let ends = self.rule().ends();
            self.rules.push(Rule::drawn(rng, now, ends));
            self.on_change = [OnChange::Keep, OnChange::Reanchor, OnChange::RunOnce][rng.usize(..3)];
        }
    }
}

pub fn drawn(rng: &mut Rng, now: i64) -> Vec<Job> {
    let count = rng.usize(1..7);
    let mut jobs: Vec<Job> = Vec::new();
    for number in 0..count {
        let follows = (number > 0 && rng.u8(..10) < 3).then(|| (number - 1, [0, 0, 5 * SECOND, HOUR][rng.usize(..4)]));
        let within = follows.filter(|_| rng.u8(..3) == 0).map(|_| [2 * HOUR, DAY][rng.usize(..2)]);
        let background = rng.u8(..10) < 3;
        let rules = if follows.is_some() { Vec::new() } else { vec![Rule::drawn(rng, now, true)] };
        jobs.push(Job {
            names: vec![format!("job {number}")],
            rules,
            follows,
            within,
            on_change: OnChange::Reanchor,
            again: rng.bool(),
            retries: if rng.u8(..10) < 3 { rng.u32(1..4) } else { 0 },
            backoff: [SECOND, MINUTE, HOUR][rng.usize(..3)],
            missed: [Missed::RunOnce, Missed::RunOnce, Missed::Skip, Missed::RunAll { most: [1, 3, 20, 100][rng.usize(..4)] }]
                [rng.usize(..4)],
            grace: (follows.is_none() && rng.u8(..4) == 0).then(|| [SECOND, MINUTE, HOUR, DAY][rng.usize(..4)]),
            hold_after: (follows.is_none() && rng.u8(..4) == 0).then(|| rng.u32(1..4)),
            background,
            overlap: Overlap::Skip,
            takes: [0, 0, 0, SECOND, 3 * SECOND][rng.usize(..5)],
            fails: [0, 0, 20, 60][rng.usize(..4)],
        });
        if let Some(job) = jobs.last_mut().filter(|job| job.background && job.rules.iter().any(|rule| !rule.ends())) {
            let most = rng.u32(1..4);
            job.overlap = [Overlap::Skip, Overlap::Queue { most }][rng.usize(..2)];
        }
    }
    jobs
}
