//! Runs jobs on time inside somebody else's program.
//!
//! The host registers jobs in plain words, calls [`Scheduler::run_pending`] in a loop of its own, and is told how long it may
//! rest. Calendar rules are right at every clock change; intervals count elapsed time, whatever is done to the clock; what
//! was missed is made up for as the job says.
//!
//! ```
//! use punctual::Scheduler;
//! use std::time::Duration;
//!
//! # fn fetch_quakes() -> Result<Vec<f64>, String> { Ok(vec![4.5]) }
//! # fn look_up(found: &[f64]) {}
//! # fn report() {}
//! let scheduler = Scheduler::new();
//! let quakes = scheduler.every(5).minutes().named("quakes").do_(fetch_quakes)?;
//! scheduler.following(&quakes).do_with(|_run, found: &Vec<f64>| look_up(found))?;
//! scheduler.every(1).day().at("10:30").in_zone(chrono::Utc).do_(report)?;
//!
//! loop {
//!     let tick = scheduler.run_pending();
//!     # break;
//!     std::thread::sleep(tick.idle(Duration::from_secs(1)));
//! }
//! # Ok::<(), punctual::Error>(())
//! ```
//!
//! What is where: [`Schedule`] is the *when* alone, a plain value built in words ([`When`]), from cron text or from plain
//! text. [`Scheduler`] runs jobs and gives a [`JobHandle`] on each. [`Run`] is what a job is told, [`Outcome`] what it may
//! say. [`Missed`] says what becomes of missed occurrences, [`Overlap`] of those that come while a run goes on. What is there
//! already is not made again ([`When::unless_done`]), and what is missing of the past is ([`JobHandle::backfill`]). What takes
//! long runs in steps ([`When::do_steps`]), in the background ([`When::background`]) on a [`Pool`] or an [`Executor`] of the
//! host's, or as a future ([`When::do_future`]); what is another program runs as a
//! process of its own (`do_command`). [`ManualClock`] is for tests. [`Event`], [`Why`] and [`Lateness`] are for
//! those who watch. A [`Store`] keeps named jobs for the next process of a program ([`SchedulerBuilder::store`]); what it keeps, and how to
//! choose, is told in [a page of its own](guide::what_survives).
//!
//! Features, off by default: `chrono-tz` (zones by name), `command` (`do_command`: child processes as jobs), `crontab`
//! (`Crontab`, `to_cron`), `serde` (schedules and zones as text), `sqlite` (`SqliteStore`), `tokio` (`do_async`).

#![warn(unreachable_pub)]

mod backfill;
mod builder;
mod caught;
mod clock;
#[cfg(feature = "command")]
mod command;
mod error;
mod event;
mod executor;
#[cfg(any(feature = "crontab", feature = "launchd", feature = "systemd"))]
mod export;
mod global;
#[cfg(any(doc, doctest))]
pub mod guide;
mod history;
mod id;
#[cfg(any(feature = "crontab", feature = "launchd", feature = "systemd"))]
mod import;
mod job;
mod policy;
mod queue;
mod run;
#[cfg(feature = "tokio")]
mod runtime;
mod sched;
mod schedule;
mod scheduler;
mod seldom;
mod store;
mod sync;
mod target;
mod text;

pub use backfill::BackfillProgress;
pub use builder::{Alone, Deadline, Every, When};
pub use clock::{Clock, ClockChange, ManualClock, SystemClock};
#[cfg(feature = "command")]
pub use command::{Command, CommandError, Finished, Input, LeftBehind, Output};
#[cfg(feature = "systemd")]
pub use error::OnCalendarError;
pub use error::{CronError, Error, Field, TextError};
pub use event::{DropReason, Event, Failure, FailureKind, RemoveReason};
pub use executor::{Executor, Pool, Work};
#[cfg(feature = "crontab")]
pub use export::CronLine;
#[cfg(any(feature = "crontab", feature = "launchd", feature = "systemd"))]
pub use export::NotExact;
pub use global::{
    clear, cron, default_scheduler, every, every_period, following, idle, jobs, next_run, once_after, once_at, run_all,
    run_pending, run_pending_within, schedule,
};
pub use id::JobId;
#[cfg(feature = "launchd")]
pub use import::PropertyList;
#[cfg(feature = "systemd")]
pub use import::Units;
#[cfg(feature = "crontab")]
pub use import::{CronEnvironment, Crontab};
#[cfg(any(feature = "crontab", feature = "launchd", feature = "systemd"))]
pub use import::{Import, ImportedJob, KeepUp, Note, NoteKind, Place, StartsOn};
pub use job::{Blocked, JobHandle, JobSnapshot, Jobs, LastRun, RunEnd, Stats};
pub use policy::{Backoff, Missed, OnChange, Overlap, WithoutStore};
pub use run::{BoxError, Fence, JobResult, LateBy, Outcome, Progress, RunFacts, RunView};
pub use sched::{Entry, Sched, SchedTime};
pub use schedule::{Dialect, OnFold, OnGap, Schedule, Shift, Trigger, Upcoming, Zone};
pub use scheduler::{
    Backfill, Backfilling, Events, Following, InBackground, JobFuture, Late, Lateness, OnPoll, Overrun, Registering, Run,
    Scheduler, SchedulerBuilder, Spawned, Tick, UntilDue, Upstreams, WeakScheduler, Why,
};
pub use target::TargetResult;

pub use store::{
    Batch, Change, Done, FollowedRun, Held, HistoryQuery, JobChange, JobRecord, Keep, Kept, LONGEST_ERROR, MemoryStore,
    RunRecord, RunState, Store, StoreError,
};
#[cfg(feature = "sqlite")]
pub use store::{Durability, SqliteOptions, SqliteStore, rusqlite};

/// Compile-time promises.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Schedule>();
    shared::<Scheduler<std::rc::Rc<()>>>();
    shared::<JobHandle<String>>();
    shared::<Error>();
    shared::<Event>();
    shared::<RunView>();
    shared::<Pool>();
    shared::<WeakScheduler<std::rc::Rc<()>>>();
    shared::<MemoryStore>();
    #[cfg(feature = "sqlite")]
    shared::<SqliteStore>();
    #[cfg(feature = "command")]
    {
        shared::<Command>();
        shared::<Finished>();
        shared::<CommandError>();
    }
};
