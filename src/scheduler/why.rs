//! Why a job does not run, or did not.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Scheduler;
use super::entry::{BlockedBy, Job, State};
use super::table::Table;
use crate::clock::Now;
use crate::event::DropReason;
use crate::id::JobId;
use crate::job::{Blocked, JobHandle, LastRun};
use crate::schedule::{Schedule, from_nanos, to_nanos};

/// Why a job is not running now, or did not run for an instant: see [`Scheduler::why`]. `Display` gives one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It has no occurrence then; the next one is this, if there is one.
    NotDue {
        /// When it is due next.
        next: Option<DateTime<Utc>>,
    },
    /// It waits for one of the jobs that it follows.
    Upstream {
        /// Which it follows.
        follows: Vec<JobId>,
    },
    /// It is running: its last run began at this instant.
    Running {
        /// When, by the wall clock.
        since: DateTime<Utc>,
    },
    /// An attempt failed, and the next one is to come.
    Retrying {
        /// Which attempt that is.
        attempt: u32,
        /// When.
        at: DateTime<Utc>,
    },
    /// It has run for it.
    Ran(LastRun),
    /// It is paused: by hand, or after so many failures in a row (`pause_after_failures`).
    Paused {
        /// How many, if that was the reason.
        after_failures: Option<u32>,
    },
    /// Its scheduler is paused.
    SchedulerPaused,
    /// The wall clock is not right yet: see [`SchedulerBuilder::wait_for_clock`](crate::SchedulerBuilder::wait_for_clock).
    ClockNotRight,
    /// Its scheduler was shut down.
    ShutDown,
    /// It is due and held back.
    Blocked(Blocked),
    /// It was due and was dropped.
    Dropped(DropReason),
    /// Its schedule excludes that date.
    Excluded,
    /// It lies outside the daily window of its schedule.
    OutsideWindow,
    /// It is due, and was put off since the budget of the last poll was spent.
    BudgetSpent,
    /// It is due, and the host has not polled since.
    HostDidNotPoll {
        /// When it last did.
        polled: DateTime<Utc>,
    },
    /// It was due while its program was not running, and the host has not polled since it is.
    ProgramWasDown {
        /// When this scheduler began.
        began: DateTime<Utc>,
    },
    /// It is gone: cancelled, or after its last run.
    Gone,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECONDS: &str = "%Y-%m-%d %H:%M:%S UTC";
        match self {
            Why::NotDue { next: Some(next) } => write!(f, "it is not due; next at {}", next.format(SECONDS)),
            Why::NotDue { next: None } => f.write_str("it is not due, and will not be"),
            Why::Upstream { follows } => {
                let ids: Vec<String> = follows.iter().map(JobId::to_string).collect();
                write!(f, "it waits for job {}", ids.join(", "))
            }
            Why::Running { since } => write!(f, "it is running since {}", since.format(SECONDS)),
            Why::Retrying { attempt, at } => write!(f, "it failed; attempt {attempt} follows at {}", at.format(SECONDS)),
            Why::Ran(run) => write!(f, "it ran at {}: {:?}", run.started.format(SECONDS), run.end),
            Why::Paused { after_failures: None } => f.write_str("it is paused"),
            Why::Paused { after_failures: Some(failures) } => write!(f, "it is paused after {failures} failures in a row"),
            Why::SchedulerPaused => f.write_str("its scheduler is paused"),
            Why::ClockNotRight => f.write_str("the wall clock is not right yet"),
            Why::ShutDown => f.write_str("its scheduler was shut down"),
            Why::Blocked(by) => write!(f, "it is held back: {by}"),
            Why::Dropped(because) => write!(f, "it was dropped: {because}"),
            Why::Excluded => f.write_str("its schedule excludes that date"),
            Why::OutsideWindow => f.write_str("it lies outside its daily window"),
            Why::BudgetSpent => f.write_str("the budget of the last poll was spent before its turn"),
            Why::HostDidNotPoll { polled } => write!(f, "the host has not polled since {}", polled.format(SECONDS)),
            Why::ProgramWasDown { began } => {
                write!(f, "the program was down until {}, and the host has not polled since", began.format(SECONDS))
            }
            Why::Gone => f.write_str("it is gone"),
        }
    }
}

impl<C: 'static> Scheduler<C> {
    /// Why a job is not running at this moment.
    ///
    /// ```
    /// use punctual::{Scheduler, Why};
    ///
    /// let scheduler = Scheduler::new();
    /// let job = scheduler.every(1).hour().do_(|| ())?;
    /// assert!(matches!(scheduler.why(&job), Why::NotDue { next: Some(_) }));
    /// job.pause();
    /// assert_eq!(scheduler.why(&job).to_string(), "it is paused");
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn why<T>(&self, job: &JobHandle<T>) -> Why {
        let now = self.0.now();
        self.0.table.lock().why(job.id, now)
    }

    /// Why a job did not run for an instant of the past, or that it did; `None` if that is no longer remembered. The last
    /// run and the last sixteen times that occurrences were dropped are.
    pub fn why_at<T>(&self, job: &JobHandle<T>, due: DateTime<Utc>) -> Option<Why> {
        let now = self.0.now();
        let at = to_nanos(&due);
        let known = self.0.table.lock().why_at(job.id, at, now);
        let schedule = match known {
            Known::Why(why) => return Some(why),
            Known::Nothing => return None,
            Known::Ask(schedule) => schedule,
        };
        // The schedule may hold code of the user's own: it is asked with the lock free.
        let occurs = |schedule: &Schedule| schedule.next_after(due - chrono::TimeDelta::nanoseconds(1)) == Some(due);
        if occurs(&schedule) {
            return None;
        }
        let (windowless, unlimited) = (schedule.clone().without_window(), schedule.clone().without_exclusions());
        if occurs(&windowless) {
            return Some(Why::OutsideWindow);
        }
        if occurs(&unlimited) || occurs(&windowless.without_exclusions()) {
            return Some(Why::Excluded);
        }
        Some(Why::NotDue { next: schedule.next_after(due) })
    }
}

/// What the table knows of an instant.
enum Known {
    Why(Why),
    Nothing,
    Ask(Schedule),
}

impl<C> Table<C> {
    fn why(&self, id: JobId, now: Now) -> Why {
        let Some(job) = self.get(id) else { return Why::Gone };
        let wall = |elapsed: i64| from_nanos(elapsed.saturating_add(now.ahead()));
        let again = |job: &Job<C>| {
            job.live.iter().find_map(|live| match live.state {
                State::Again { again, .. } => Some((live.attempt.view.facts.attempt.saturating_add(1), wall(again))),
                _ => None,
            })
        };
        if self.closed {
            return Why::ShutDown;
        }
        if let Some(live) = job.live.iter().find(|live| !matches!(live.state, State::Again { .. })) {
            return Why::Running { since: from_nanos(live.attempt.started) };
        }
        if job.running {
            return Why::Running { since: job.last_start.map_or(from_nanos(now.wall), wall) };
        }
        if job.is_paused() {
            let most = job.rules.as_ref().and_then(|rules| rules.pause_after);
            return Why::Paused { after_failures: most.filter(|most| job.failures >= *most).map(|_| job.failures) };
        }
        if self.paused {
            return Why::SchedulerPaused;
        }
        if self.awaited.is_some() {
            return Why::ClockNotRight;
        }
        if let Some(block) = &job.block {
            return Why::Blocked(self.told(block.by));
        }
        if let Some((attempt, at)) = again(job) {
            return Why::Retrying { attempt, at };
        }
        let due = job.scheduled().filter(|at| *at <= job.on_scale(now));
        let due = due.and_then(|at| job.plan.as_ref().map(|plan| plan.wall(at, now)));
        let waits = job.front().filter(|front| front.ready <= now.elapsed).map(|front| front.ready.saturating_add(now.ahead()));
        match due.or(waits) {
            Some(due) if self.was_put_off(due) => Why::BudgetSpent,
            Some(due) if self.polled == self.began && self.was_down(job, due, now) > 0 => {
                Why::ProgramWasDown { began: wall(self.began) }
            }
            Some(_) => Why::HostDidNotPoll { polled: wall(self.polled) },
            None => match (&job.plan, &job.chain) {
                (None, Some(chain)) if job.waiting.is_empty() => Why::Upstream { follows: chain.upstreams.clone() },
                _ => Why::NotDue { next: self.snapshot(id, now).and_then(|job| job.next_run) },
            },
        }
    }

    fn told(&self, by: BlockedBy) -> Blocked {
        by.told(|limit| -> Arc<str> { self.limits.name(limit) })
    }

    fn why_at(&self, id: JobId, at: i64, now: Now) -> Known {
        let Some(job) = self.get(id) else { return Known::Why(Why::Gone) };
        if job.running && job.last_due == Some(at) {
            let since = job.last_start.map_or(now.wall, |start| start.saturating_add(now.ahead()));
            return Known::Why(Why::Running { since: from_nanos(since) });
        }
        if let Some(live) = job.live.iter().find(|live| live.attempt.view.facts.holds(at)) {
            return Known::Why(Why::Running { since: from_nanos(live.attempt.started) });
        }
        let made_up_for = |last: &LastRun| (to_nanos(&last.first_missed)..=to_nanos(&last.due)).contains(&at);
        if let Some(last) = job.history.last().filter(made_up_for) {
            return Known::Why(Why::Ran(last.clone()));
        }
        let unrun = job.unrun.iter().rev().find(|unrun| (unrun.since..=unrun.until).contains(&at));
        if let Some(unrun) = unrun {
            return Known::Why(Why::Dropped(unrun.because));
        }
        let scheduled = job.scheduled_unblocked().and_then(|next| job.plan.as_ref().map(|plan| plan.wall(next, now)));
        if scheduled.is_some_and(|next| next <= at && at <= now.wall) {
            return Known::Why(self.why(id, now));
        }
        match &job.plan {
            Some(plan) if plan.scale == super::plan::Scale::Wall => Known::Ask(plan.schedule.clone().in_default_zone(&plan.zone)),
            _ => Known::Nothing,
        }
    }
}
