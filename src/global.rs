//! One scheduler for the whole process, and free functions on it.

use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};

use crate::builder::{Every, When};
use crate::job::{JobHandle, Jobs};
use crate::schedule::Trigger;
use crate::scheduler::{Following, Registering, Scheduler, Tick};

/// The scheduler behind the free functions: the machine's clocks, its zone, no host state.
pub fn default_scheduler() -> &'static Scheduler {
    static DEFAULT: OnceLock<Scheduler> = OnceLock::new();
    DEFAULT.get_or_init(Scheduler::new)
}

/// [`Scheduler::every`] on the default scheduler.
pub fn every(n: u32) -> Every<Registering<()>> {
    default_scheduler().every(n)
}

/// [`Scheduler::every_period`] on the default scheduler.
pub fn every_period(period: Duration) -> When<Registering<()>> {
    default_scheduler().every_period(period)
}

/// [`Scheduler::cron`] on the default scheduler.
pub fn cron(text: impl AsRef<str>) -> When<Registering<()>> {
    default_scheduler().cron(text)
}

/// [`Scheduler::schedule`] on the default scheduler.
pub fn schedule(schedule: impl Trigger) -> When<Registering<()>> {
    default_scheduler().schedule(schedule)
}

/// [`Scheduler::once_at`] on the default scheduler.
pub fn once_at<Tz: TimeZone>(instant: DateTime<Tz>) -> When<Registering<()>> {
    default_scheduler().once_at(instant)
}

/// [`Scheduler::once_after`] on the default scheduler.
pub fn once_after(delay: Duration) -> When<Registering<()>> {
    default_scheduler().once_after(delay)
}

/// [`Scheduler::following`] on the default scheduler.
pub fn following<T: Send + Sync + 'static>(job: &JobHandle<T>) -> Following<T> {
    default_scheduler().following(job)
}

/// [`Scheduler::run_pending`] on the default scheduler.
pub fn run_pending() -> Tick {
    default_scheduler().run_pending()
}

/// [`Scheduler::run_pending_within`] on the default scheduler.
pub fn run_pending_within(budget: Duration) -> Tick {
    default_scheduler().run_pending_within(budget)
}

/// [`Scheduler::run_all`] on the default scheduler.
pub fn run_all() -> Tick {
    default_scheduler().run_all()
}

/// [`Scheduler::jobs`] on the default scheduler.
pub fn jobs() -> Jobs {
    default_scheduler().jobs()
}

/// [`Scheduler::clear`] on the default scheduler.
pub fn clear() -> usize {
    default_scheduler().clear()
}

/// [`Scheduler::next_run`] on the default scheduler.
pub fn next_run() -> Option<DateTime<Utc>> {
    default_scheduler().next_run()
}

/// [`Scheduler::idle`] on the default scheduler.
pub fn idle() -> Option<Duration> {
    default_scheduler().idle()
}
