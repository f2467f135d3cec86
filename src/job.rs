//! A registered job as its holders see it: handle, snapshot, figures.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::backfill::{Told, Wanted};
use crate::caught::drop_quietly;
use crate::error::Error;
use crate::history::History;
use crate::id::{JobId, label};
use crate::run::Progress;
use crate::schedule::Schedule;
use crate::sync::Mutex;
use crate::target::Look;

/// What a scheduler does for the holders of handles.
pub(crate) trait Control: Send + Sync {
    fn cancel(&self, id: JobId) -> bool;
    fn retire(&self, id: JobId) -> bool;
    fn set_paused(&self, id: JobId, paused: bool) -> bool;
    fn run_now(&self, id: JobId) -> bool;
    fn reschedule(&self, id: JobId, schedule: Schedule) -> Result<(), Error>;
    fn also_after(&self, id: JobId, upstream: JobId) -> Result<(), Error>;
    fn backfill(&self, id: JobId, wanted: Wanted) -> Result<Arc<Told>, Error>;
    fn stop_backfill(&self, id: JobId, told: &Arc<Told>) -> bool;
    fn snapshot(&self, id: JobId) -> Option<JobSnapshot>;
}

/// What a job leaves for the holders of its handle; it outlives the job.
pub(crate) struct Results<T>(Mutex<Left<T>>);

/// The value of its last good run, and what few have.
struct Left<T> {
    value: Option<Arc<T>>,
    rest: Option<Box<Rest<T>>>,
}

struct Rest<T> {
    error: Option<Arc<dyn StdError + Send + Sync>>,
    /// Of a job that is gone.
    end: Option<History>,
    codec: Option<Arc<Codec<T>>>,
    /// What finds it again.
    target: Option<Arc<Look<T>>>,
}

impl<T> Left<T> {
    fn rest(&mut self) -> &mut Rest<T> {
        self.rest.get_or_insert_with(|| Box::new(Rest { error: None, end: None, codec: None, target: None }))
    }
}

/// How results are written as bytes, and read.
pub(crate) struct Codec<T> {
    pub(crate) write: Box<Write<T>>,
    pub(crate) read: Box<Read<T>>,
}

type Write<T> = dyn Fn(&T) -> Option<Vec<u8>> + Send + Sync;
type Read<T> = dyn Fn(&[u8]) -> Option<T> + Send + Sync;

impl<T> Results<T> {
    /// Keeps what a run returned; gives it back, and how it is written, if that was said. A value without a size is kept once, so
    /// that such runs allocate nothing.
    pub(crate) fn keep(&self, value: T) -> (Arc<T>, Option<Arc<Codec<T>>>) {
        let codec = |left: &Left<T>| left.rest.as_ref().and_then(|rest| rest.codec.clone());
        if size_of::<T>() == 0 {
            let left = self.0.lock();
            let kept = left.value.clone().map(|kept| (kept, codec(&left)));
            drop(left);
            if let Some(kept) = kept {
                drop_quietly(value);
                return kept;
            }
        }
        let value = Arc::new(value);
        let mut left = self.0.lock();
        let (old, codec) = (left.value.replace(value.clone()), codec(&left));
        drop(left);
        // Dropped without the lock: it is the user's.
        drop_quietly(old);
        (value, codec)
    }

    pub(crate) fn keep_error(&self, error: Arc<dyn StdError + Send + Sync>) {
        let old = self.0.lock().rest().error.replace(error);
        drop_quietly(old);
    }

    /// How its results are written, if that was said.
    pub(crate) fn codec(&self) -> Option<Arc<Codec<T>>> {
        self.0.lock().rest.as_ref()?.codec.clone()
    }

    /// What finds them again, if that was said.
    pub(crate) fn target(&self) -> Option<Arc<Look<T>>> {
        self.0.lock().rest.as_ref()?.target.clone()
    }

    pub(crate) fn found_by(&self, target: Arc<Look<T>>) {
        self.0.lock().rest().target = Some(target);
    }

    fn value(&self) -> Option<Arc<T>> {
        self.0.lock().value.clone()
    }

    fn error(&self) -> Option<Arc<dyn StdError + Send + Sync>> {
        self.0.lock().rest.as_ref()?.error.clone()
    }

    /// What was left of a job that is gone.
    fn end(&self) -> History {
        self.0.lock().rest.as_ref().and_then(|rest| rest.end.clone()).unwrap_or_default()
    }

    /// Takes how its results are written, unless that was said before.
    fn set_codec(&self, codec: Arc<Codec<T>>) -> bool {
        let mut left = self.0.lock();
        let slot = &mut left.rest().codec;
        if slot.is_some() {
            // The one that is refused is the user's, and goes after the lock.
            return false;
        }
        *slot = Some(codec);
        true
    }
}

impl<T> Default for Results<T> {
    fn default() -> Self {
        Results(Mutex::new(Left { value: None, rest: None }))
    }
}

/// What a scheduler keeps for the holders of a job's handle.
pub(crate) trait Epitaph: Send + Sync {
    /// Keeps a job's last figures when it ends.
    fn write(&self, history: History);
    /// What its last good run returned.
    fn value(&self) -> Option<Arc<dyn Any + Send + Sync>>;
}

impl<T: Send + Sync + 'static> Epitaph for Results<T> {
    fn value(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.value().map(|value| value as Arc<dyn Any + Send + Sync>)
    }

    fn write(&self, history: History) {
        // One that never ran needs no room for that.
        let mut left = self.0.lock();
        if left.rest.is_some() || !history.is_empty() {
            left.rest().end = Some(history);
        }
    }
}

/// A hold on a registered job. Dropping it leaves the job alone; clones are holds on the same job.
///
/// It does not keep the scheduler alive. Everything may be called from inside jobs and from any thread.
pub struct JobHandle<T = ()> {
    pub(crate) id: JobId,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) control: Weak<dyn Control>,
    pub(crate) results: Arc<Results<T>>,
}

impl<T> Clone for JobHandle<T> {
    fn clone(&self) -> Self {
        JobHandle { id: self.id, name: self.name.clone(), control: self.control.clone(), results: self.results.clone() }
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Its name, or `job 7` if it has none.
impl<T> fmt::Display for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&label(self.id, self.name.as_deref()))
    }
}

impl<T> JobHandle<T> {
    /// Which job it is.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The name given by `named`.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The tags given by `tag`; none once the job is gone.
    pub fn tags(&self) -> Vec<String> {
        self.snapshot().map(|job| job.tags).unwrap_or_default()
    }

    /// Takes the job off the schedule. A run that is going on is asked to stop and ends as it will.
    ///
    /// Returns whether there was a further run to take away.
    pub fn cancel(&self) -> bool {
        self.control.upgrade().is_some_and(|control| control.cancel(self.id))
    }

    /// Takes the job off the schedule, and lets the runs that go on end in their own time: no further one starts, nor a further
    /// attempt at one that fails, and with the last of them the job is gone
    /// ([`RemoveReason::Retired`](crate::RemoveReason::Retired)). A job of which none goes on is gone at once, as with
    /// [`cancel`](Self::cancel); what waits to start, be it for another attempt, goes at once in either case.
    ///
    /// A run with more to do at a later poll goes on, also if the job was paused. Jobs that follow get the result of the last run,
    /// and then end as after any job. Until then the job is in [`Scheduler::jobs`](crate::Scheduler::jobs), its name is taken, and
    /// `shutdown` waits for its run as for any other; `cancel` ends that at once. To everything else it is gone: `pause`, `resume`,
    /// `run_now` and `retire` return `false`, `reschedule` and `also_after` [`Error::JobGone`]. Its record stays in the store as
    /// after `cancel`.
    ///
    /// Returns whether the job was there and not retired before.
    ///
    /// ```
    /// use punctual::{ManualClock, Outcome, Scheduler};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new("2026-03-01T12:00:00Z".parse()?);
    /// let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).build();
    /// let steps = |run: &mut punctual::Run| if run.turn() < 2 { Outcome::Yield } else { Outcome::Done };
    /// let job = scheduler.every(1).hour().do_with(steps)?;
    /// clock.advance(Duration::from_secs(3600));
    /// let _ = scheduler.run_pending();
    /// assert!(job.retire());
    /// assert!(job.snapshot().is_some_and(|job| job.retired && job.running));
    /// let _ = (scheduler.run_pending(), scheduler.run_pending());
    /// assert!(scheduler.is_empty() && job.stats().runs == 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retire(&self) -> bool {
        self.control.upgrade().is_some_and(|control| control.retire(self.id))
    }

    /// Lets no further run start until [`resume`](Self::resume). Returns whether the job is there.
    pub fn pause(&self) -> bool {
        self.control.upgrade().is_some_and(|control| control.set_paused(self.id, true))
    }

    /// Goes on after [`pause`](Self::pause), with the first occurrence from now; those in between are not made up for, but one
    /// that was the only one still to come is.
    /// Returns whether the job is there.
    pub fn resume(&self) -> bool {
        self.control.upgrade().is_some_and(|control| control.set_paused(self.id, false))
    }

    /// Runs the job at the next poll, besides its schedule. Returns whether the job is there and not paused.
    pub fn run_now(&self) -> bool {
        self.control.upgrade().is_some_and(|control| control.run_now(self.id))
    }

    /// Gives the job another schedule, from now on.
    ///
    /// # Errors
    ///
    /// [`Error::NeverRuns`] if it has no occurrence, [`Error::JobGone`] or [`Error::SchedulerGone`]; the old schedule then
    /// stays.
    pub fn reschedule(&self, schedule: Schedule) -> Result<(), Error> {
        self.control.upgrade().ok_or(Error::SchedulerGone)?.reschedule(self.id, schedule)
    }

    /// Lets a job with a schedule also run after each success of another one of the same scheduler, without its result.
    ///
    /// # Errors
    ///
    /// [`Error::Circle`] with the path if that job runs, by way of others, after this one; [`Error::NoSchedule`] if this is a
    /// job that follows others already; [`Error::JobGone`], [`Error::OtherScheduler`], [`Error::SchedulerGone`].
    pub fn also_after<U>(&self, upstream: &JobHandle<U>) -> Result<(), Error> {
        if !Weak::ptr_eq(&self.control, &upstream.control) {
            return Err(if upstream.control.strong_count() == 0 { Error::SchedulerGone } else { Error::OtherScheduler });
        }
        self.control.upgrade().ok_or(Error::SchedulerGone)?.also_after(self.id, upstream.id)
    }

    /// When it is due next, or since when if it is held back; that is since it was asked for if a run by hand or of a backfill
    /// waits. `None` if it is paused, running its last time, waiting for the job it follows, or gone.
    pub fn next_run(&self) -> Option<DateTime<Utc>> {
        self.snapshot()?.next_run
    }

    /// Its last run, also once the job is gone.
    pub fn last_run(&self) -> Option<LastRun> {
        match self.snapshot() {
            Some(job) => job.last_run,
            None => self.results.end().last(),
        }
    }

    /// Its figures, also once the job is gone.
    pub fn stats(&self) -> Stats {
        match self.snapshot() {
            Some(job) => job.stats,
            None => self.results.end().stats(),
        }
    }

    /// All of it at once; `None` once the job is gone.
    pub fn snapshot(&self) -> Option<JobSnapshot> {
        self.control.upgrade()?.snapshot(self.id)
    }

    /// How far the run that is going on has come, if it says so; `None` before it begins and after it ends.
    pub fn progress(&self) -> Option<Progress> {
        self.snapshot()?.progress
    }

    /// What its last successful run returned.
    pub fn last_value(&self) -> Option<Arc<T>> {
        self.results.value()
    }

    /// Says how its results are kept in the scheduler's store, so that a job that follows it gets a result also in the next
    /// process of the program, if this one ends between the two. Says whether it is taken: only the first time.
    ///
    /// `write` is called for each result, where the job ran; with `None`, or a panic, that one is not kept. `read` is called with
    /// what was written, where the other job is to run; with `None` that run fails. The program that reads may be a later
    /// release than the one that wrote. Without this a run to follow that an earlier process left is dropped
    /// ([`DropReason::ResultLost`](crate::DropReason::ResultLost)), unless the result is `()`, or the job's target
    /// ([`unless_done`](crate::When::unless_done)) finds it again, or
    /// [`on_failure`](crate::Following::on_failure) or [`on_end`](crate::Following::on_end) is followed: those are always kept.
    ///
    /// ```
    /// use punctual::{ManualClock, MemoryStore, Scheduler};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new("2026-03-01T12:00:00Z".parse()?);
    /// let store = MemoryStore::new(clock.clone());
    /// let process = || -> Result<_, punctual::Error> {
    ///     let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).store(store.clone()).build();
    ///     let fetched = scheduler.every(1).hour().named("fetch").do_(|| Ok::<_, String>(vec![3, 4]))?;
    ///     fetched.keep_results(|found| serde_json::to_vec(found).ok(), |bytes| serde_json::from_slice(bytes).ok());
    ///     let later = scheduler.following(&fetched).delay(Duration::from_secs(60)).named("sum");
    ///     let sum = later.do_with(|_, found: &Vec<i32>| Ok::<i32, String>(found.iter().sum()))?;
    ///     Ok((scheduler, sum))
    /// };
    /// let (scheduler, _) = process()?;
    /// clock.advance(Duration::from_secs(3600));
    /// let _ = (scheduler.run_pending(), scheduler.run_pending());
    /// drop(scheduler);
    /// let (scheduler, sum) = process()?;
    /// clock.advance(Duration::from_secs(60));
    /// let _ = scheduler.run_pending();
    /// assert_eq!(sum.last_value().as_deref(), Some(&7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep_results(
        &self,
        write: impl Fn(&T) -> Option<Vec<u8>> + Send + Sync + 'static,
        read: impl Fn(&[u8]) -> Option<T> + Send + Sync + 'static,
    ) -> bool {
        self.results.set_codec(Arc::new(Codec { write: Box::new(write), read: Box::new(read) }))
    }

    /// What its last failed run returned.
    pub fn last_error(&self) -> Option<Arc<dyn StdError + Send + Sync>> {
        self.results.error()
    }
}

/// A job's figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Runs that ended, whichever way.
    pub runs: u64,
    /// Of those, how many found that what they are for was there already.
    pub already_done: u64,
    /// Of those, how many returned an error, asked to be tried again when no attempt was left, or were lost.
    pub errors: u64,
    /// Of those, how many panicked.
    pub panics: u64,
    /// Of those, how many took longer than their time limit.
    pub timeouts: u64,
    /// Of those, how many were given up: for a newer one, with their job, or at the scheduler's end.
    pub stopped: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Occurrences that a run made up for besides its own.
    pub folded: u64,
    /// Occurrences that were dropped.
    pub dropped: u64,
    /// How long all runs took together.
    pub total: Duration,
    /// How long the longest took.
    pub longest: Duration,
}

impl Stats {
    pub(crate) const NONE: Stats = Stats {
        runs: 0,
        already_done: 0,
        errors: 0,
        panics: 0,
        timeouts: 0,
        stopped: 0,
        retries: 0,
        folded: 0,
        dropped: 0,
        total: Duration::ZERO,
        longest: Duration::ZERO,
    };
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastRun {
    /// When it was due; of several occurrences that it made up for, the last.
    pub due: DateTime<Utc>,
    /// When the first of them was due.
    pub first_missed: DateTime<Utc>,
    /// When it started, by the wall clock.
    pub started: DateTime<Utc>,
    /// How long it took.
    pub took: Duration,
    /// How long after its due time it started.
    pub late: Duration,
    /// How many occurrences it made up for, its own included.
    pub folded: u64,
    /// Which attempt its last one was.
    pub attempt: u32,
    /// How it ended.
    pub end: RunEnd,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunEnd {
    /// Well.
    Done,
    /// Well, and without doing anything: what it is for was there already ([`Outcome::AlreadyDone`](crate::Outcome)).
    AlreadyDone,
    /// In an error.
    Failed,
    /// In a panic.
    Panicked,
    /// It took longer than its time limit.
    TimedOut,
    /// It was given up, for a newer one or with its job.
    Stopped,
    /// The executor dropped it without running it to its end.
    Lost,
}

impl RunEnd {
    /// Whether it counts as a success, so that those that follow are set off.
    pub fn is_success(self) -> bool {
        matches!(self, RunEnd::Done | RunEnd::AlreadyDone)
    }

    /// Whether it counts as a failure.
    pub fn is_failure(self) -> bool {
        matches!(self, RunEnd::Failed | RunEnd::Panicked | RunEnd::TimedOut | RunEnd::Lost)
    }
}

/// A job at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobSnapshot {
    /// Which job.
    pub id: JobId,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The lower, the earlier among jobs due together.
    pub priority: i32,
    /// Its schedule; `None` if it follows another job.
    pub schedule: Option<Schedule>,
    /// The jobs that it follows.
    pub follows: Vec<JobId>,
    /// When it is due next.
    pub next_run: Option<DateTime<Utc>>,
    /// Its last run.
    pub last_run: Option<LastRun>,
    /// Its figures.
    pub stats: Stats,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it leaves once its last run has ended: see [`JobHandle::retire`].
    pub retired: bool,
    /// Whether a run is going on, or has more to do at a later poll.
    pub running: bool,
    /// Which attempt is to come, if one has failed.
    pub retrying: Option<u32>,
    /// What holds it back, if it is due and cannot start.
    pub held_back: Option<Blocked>,
    /// How far that run has come, if it says so.
    pub progress: Option<Progress>,
}

/// What holds back a job that is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blocked {
    /// Its condition does not hold: `when`.
    Condition,
    /// It may not start at this time of day: `run_between`.
    Window,
    /// Its last run started too short a time ago: `spacing`.
    Spacing,
    /// Other runs hold the limit of this name: `mutex`, `at_most`, `rate`.
    Limit(Arc<str>),
    /// The executor has no room.
    PoolFull,
    /// Its store cannot be written: see [`WithoutStore`](crate::WithoutStore).
    Store,
    /// Another process holds it: see [`SchedulerBuilder::lease`](crate::SchedulerBuilder::lease).
    Elsewhere,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocked::Condition => f.write_str("its condition does not hold"),
            Blocked::Window => f.write_str("it may not start at this time of day"),
            Blocked::Spacing => f.write_str("its last run started too short a time ago"),
            Blocked::Limit(name) => write!(f, "the limit {name:?} is reached"),
            Blocked::PoolFull => f.write_str("the executor has no room"),
            Blocked::Store => f.write_str("its store cannot be written"),
            Blocked::Elsewhere => f.write_str("another process holds it"),
        }
    }
}

impl JobSnapshot {
    /// A job that is gone, of which a run goes on.
    pub(crate) fn of_gone(id: JobId, name: Option<Arc<str>>) -> Self {
        JobSnapshot {
            id,
            name,
            tags: Vec::new(),
            priority: 0,
            schedule: None,
            follows: Vec::new(),
            next_run: None,
            last_run: None,
            stats: Stats::default(),
            paused: false,
            retired: false,
            running: true,
            retrying: None,
            held_back: None,
            progress: None,
        }
    }

    /// Its name, or `job 7` if it has none; for logs.
    pub fn label(&self) -> String {
        label(self.id, self.name.as_deref())
    }

    fn cells(&self) -> [String; 6] {
        let when = |at: Option<DateTime<Utc>>| at.map_or("-".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string());
        let next = match () {
            () if self.retired => "running its last".to_owned(),
            () if self.running => "running".to_owned(),
            () if self.paused => "paused".to_owned(),
            () if self.retrying.is_some() => "retrying".to_owned(),
            () if self.held_back.is_some() => "held back".to_owned(),
            () => when(self.next_run),
        };
        let schedule = match (&self.schedule, &self.follows[..]) {
            (Some(schedule), _) => schedule.to_string(),
            (None, []) => "-".to_owned(),
            (None, [id]) => format!("after job {id}"),
            (None, ids) => format!("after {} jobs", ids.len()),
        };
        let runs = match self.stats.errors + self.stats.panics + self.stats.timeouts {
            0 => format!("{}", self.stats.runs),
            failed => format!("{} ({failed} failed)", self.stats.runs),
        };
        let name = self.name.as_deref().unwrap_or("-").to_owned();
        [self.id.to_string(), name, next, when(self.last_run.as_ref().map(|run| run.started)), runs, schedule]
    }
}

impl fmt::Display for JobSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [id, name, next, last, runs, schedule] = self.cells();
        let name = if self.name.is_some() { format!(" {name}") } else { String::new() };
        write!(f, "job {id}{name}: {schedule}; next {next}, last {last}, runs {runs}")
    }
}

/// The jobs of a scheduler at one moment, in order of registration. `Display` is a table that lines up; times are UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Jobs(pub(crate) Vec<JobSnapshot>);

impl std::ops::Deref for Jobs {
    type Target = [JobSnapshot];

    fn deref(&self) -> &[JobSnapshot] {
        &self.0
    }
}

impl IntoIterator for Jobs {
    type Item = JobSnapshot;
    type IntoIter = std::vec::IntoIter<JobSnapshot>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["job", "name", "next run", "last run", "runs", "schedule"].map(str::to_owned);
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(self.0.iter().map(JobSnapshot::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for (place, row) in rows.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            write!(f, "{:>w$}", row[0], w = widths[0])?;
            for column in 1..5 {
                write!(f, "  {:<w$}", row[column], w = widths[column])?;
            }
            write!(f, "  {}", row[5])?;
        }
        Ok(())
    }
}
