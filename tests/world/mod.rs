//! A scheduler on a manual clock, what its jobs and observers wrote down, and an executor whose work is run when a test says.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use punctual::{Event, Executor, ManualClock, Scheduler, SchedulerBuilder, Work};

pub fn at(text: &str) -> DateTime<Utc> {
    format!("2026-03-{text}:00Z").parse().expect("day, T and time")
}

pub const HOUR: Duration = Duration::from_secs(3600);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const SECOND: Duration = Duration::from_secs(1);

pub type Log = Arc<Mutex<Vec<String>>>;

/// In UTC, from 1 March 2026, 10:00.
pub struct World {
    pub clock: ManualClock,
    pub scheduler: Scheduler,
    pub log: Log,
    pub held: Held,
}

impl World {
    pub fn new() -> Self {
        World::built(|builder| builder)
    }

    pub fn built(with: impl Fn(SchedulerBuilder) -> SchedulerBuilder) -> Self {
        let clock = ManualClock::new(at("01T10:00"));
        let held = Held::default();
        let builder = Scheduler::builder().clock(clock.clone()).zone(Utc).executor(held.clone());
        World { clock, scheduler: with(builder).build(), log: Arc::default(), held }
    }

    /// A job that takes some milliseconds and notes its name.
    pub fn taking(&self, millis: u64, name: &str) -> impl FnMut() + Send + 'static {
        let (clock, mut note) = (self.clock.clone(), self.noting(name));
        move || {
            clock.advance(Duration::from_millis(millis));
            note();
        }
    }

    pub fn noting(&self, text: &str) -> impl FnMut() + Send + 'static {
        let note = self.note();
        let text = text.to_owned();
        move || note(&text)
    }

    /// For a job in the background.
    pub fn note_once(&self, text: &str) -> impl Fn() + Send + Sync + 'static {
        let (note, text) = (self.note(), text.to_owned());
        move || note(&text)
    }

    pub fn note(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let log = self.log.clone();
        move |text| log.lock().push(text.to_owned())
    }

    /// Notes what a closure makes of each event.
    pub fn noting_events(&self, text: impl Fn(&Event) -> Option<String> + Send + Sync + 'static) {
        let note = self.note();
        self.scheduler.on_event(move |event| {
            if let Some(text) = text(event) {
                note(&text);
            }
        });
    }

    /// What was noted since.
    pub fn noted(&self) -> String {
        std::mem::take(&mut *self.log.lock()).join(" ")
    }

    /// What was noted since, with all that is due run.
    pub fn polled(&self) -> String {
        let _ = self.scheduler.run_pending();
        self.noted()
    }

    pub fn after(&self, time: Duration) -> String {
        self.clock.advance(time);
        self.polled()
    }
}

/// An executor that has room for some work, and keeps it until a test runs it.
#[derive(Clone)]
pub struct Held {
    work: Arc<Mutex<VecDeque<Work>>>,
    pub room: Arc<Mutex<usize>>,
}

impl Default for Held {
    fn default() -> Self {
        Held { work: Arc::default(), room: Arc::new(Mutex::new(usize::MAX)) }
    }
}

impl Executor for Held {
    fn execute(&self, work: Work) -> Result<(), Work> {
        let mut held = self.work.lock();
        if held.len() >= *self.room.lock() {
            return Err(work);
        }
        held.push_back(work);
        Ok(())
    }
}

impl Held {
    pub fn len(&self) -> usize {
        self.work.lock().len()
    }

    /// Takes the oldest out.
    pub fn take(&self) -> Work {
        self.work.lock().pop_front().expect("work is held")
    }

    /// Runs the oldest.
    pub fn run(&self) {
        self.take().run();
    }

    pub fn run_all(&self) {
        while self.len() > 0 {
            self.run();
        }
    }
}
