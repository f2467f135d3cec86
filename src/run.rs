//! One run of a job: what it is told, and what it says.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::id::{JobId, label};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// An error of a job's own.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What is known of a run when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunFacts {
    /// The job.
    pub id: JobId,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// When the run was due; of several occurrences that it makes up for, the last.
    pub due: DateTime<Utc>,
    /// When the first occurrence was due that it makes up for.
    pub first_missed: DateTime<Utc>,
    /// How long after the instant at which it was to start it did: after `due`, jitter added; for a job that follows, after
    /// the end of the run that it follows.
    pub late: Duration,
    /// What made it late, for the most part.
    pub late_by: LateBy,
    /// How many occurrences it makes up for, itself included: 1 if it is on time.
    pub folded: u64,
    /// Which attempt at this occurrence it is, from 1.
    pub attempt: u32,
    /// Its number among its job's runs, from 1; 0 if the job is not kept in a store.
    pub number: u64,
    /// Whether the job's run before this one was cut off by the end of its process.
    pub previous_was_cut_off: bool,
    /// How often it was taken up before this: 0, and more after [`Outcome::Yield`].
    pub turn: u32,
    /// The runs that it follows, of a job registered by `following`: one, or with `following_all` one of each job. Of those
    /// again it is not told which they followed.
    pub follows: Vec<Arc<RunFacts>>,
}

impl RunFacts {
    /// The job's name, or `job 7` if it has none; for logs.
    pub fn label(&self) -> String {
        label(self.id, self.name.as_deref())
    }

    /// Whether it makes up for what was due at an instant, in nanoseconds.
    pub(crate) fn holds(&self, at: i64) -> bool {
        let instant = crate::schedule::from_nanos(at);
        self.first_missed <= instant && instant <= self.due
    }
}

/// What made a run late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LateBy {
    /// The host polled after it was due.
    Host,
    /// Jobs that came before it in the same poll.
    OtherJobs,
    /// It was put off by an earlier poll, whose budget was spent.
    Budget,
    /// The machine was suspended.
    Suspend,
    /// The wall clock was set past its due time.
    ClockStep,
    /// It waited for a thread of the pool, or for room in the host's executor.
    Pool,
    /// It waited for a limit that other runs held: `mutex`, `at_most`, `rate`.
    Limit,
    /// Its own rules held it back: its condition, its window, the spacing of its runs.
    Rules,
    /// It waited for an earlier run of its own job to end.
    Overlap,
    /// An attempt before it failed.
    Retry,
    /// Its slack let it, so that wake-ups could be merged.
    Slack,
    /// Its store could not be written, or another process held the job.
    Store,
    /// The program was not running: it was due before this scheduler began, and is kept in a store.
    Down,
    /// It was asked for afterwards: [`JobHandle::backfill`](crate::JobHandle::backfill).
    Backfill,
}

impl LateBy {
    pub(crate) const ALL: [LateBy; 14] = [
        LateBy::Host,
        LateBy::OtherJobs,
        LateBy::Budget,
        LateBy::Suspend,
        LateBy::ClockStep,
        LateBy::Pool,
        LateBy::Limit,
        LateBy::Rules,
        LateBy::Overlap,
        LateBy::Retry,
        LateBy::Slack,
        LateBy::Store,
        LateBy::Down,
        LateBy::Backfill,
    ];
}

/// What passes between a job's run and those outside while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    stop: AtomicBool,
    /// The executor had no room: it never went out, and does not come back.
    refused: AtomicBool,
    done: AtomicU64,
    of: AtomicU64,
    /// When it really began, for a run in the background: nanoseconds of the monotonic clock plus one, 0 before; and as
    /// elapsed time.
    began: AtomicU64,
    began_elapsed: AtomicI64,
    /// Who is to be woken when it is told to stop.
    waker: Mutex<Option<Waker>>,
}

impl Signals {
    /// Whether anybody else has a hold on them, or they have been used to stop a run.
    pub(crate) fn are_known(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || self.is_stopped()
    }

    /// A new run has no progress yet.
    pub(crate) fn reset(&self) {
        self.report(0, 0);
    }

    pub(crate) fn report(&self, done: u64, of: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        let (done, of) = (self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed));
        (of > 0).then_some(Progress { done, of })
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Tells the run to stop. Gives whom to wake, which is code of the host's and so not for under a lock.
    #[must_use]
    pub(crate) fn stop(&self) -> Option<Waker> {
        self.stop.store(true, Ordering::Release);
        self.take_waker()
    }

    /// Whom to wake, who is not woken any more.
    #[must_use]
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        self.waker.lock().take()
    }

    /// Wakes by this once the run is told to stop. Whoever calls it looks at [`is_stopped`](Self::is_stopped) afterwards.
    pub(crate) fn wake_by(&self, waker: &Waker) {
        let new = waker.clone();
        let old = self.waker.lock().replace(new);
        drop(old);
    }

    /// A turn of it goes out, and has not begun.
    pub(crate) fn goes_out(&self) {
        self.began.store(0, Ordering::Release);
        self.refused.store(false, Ordering::Release);
    }

    pub(crate) fn refuse(&self) {
        self.refused.store(true, Ordering::Release);
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    pub(crate) fn begin(&self, monotonic: Duration, elapsed: Option<i64>) {
        self.began_elapsed.store(elapsed.unwrap_or(i64::MIN), Ordering::Relaxed);
        self.began.store(crate::schedule::length(monotonic).unsigned_abs().saturating_add(1), Ordering::Release);
    }

    /// When it began, by the monotonic clock.
    pub(crate) fn began(&self) -> Option<Duration> {
        self.began.load(Ordering::Acquire).checked_sub(1).map(Duration::from_nanos)
    }

    /// The same as elapsed time, so with what the machine has slept, for a run that has a time limit.
    pub(crate) fn began_elapsed(&self) -> Option<i64> {
        self.began().map(|_| self.began_elapsed.load(Ordering::Relaxed)).filter(|began| *began != i64::MIN)
    }
}

/// Whether a kept job is still this process's: what its runs ask, and what tells them. All runs that go on at once share it.
pub(crate) struct Claim {
    clock: Arc<dyn Clock>,
    /// Until when by the clock that goes on in sleep, in nanoseconds; without an end if the store is not shared.
    until: AtomicU64,
    lost: AtomicBool,
}

impl Claim {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Claim { clock, until: AtomicU64::new(u64::MAX), lost: AtomicBool::new(false) }
    }

    /// The same for runs that begin after this one is lost.
    pub(crate) fn another(&self) -> Self {
        Claim::new(self.clock.clone())
    }

    /// The clock by which claims run out.
    pub(crate) fn time(clock: &dyn Clock) -> Duration {
        clock.boot().unwrap_or_else(|| clock.monotonic())
    }

    pub(crate) fn holds_until(&self, until: Duration) {
        self.until.store(crate::schedule::length(until).unsigned_abs(), Ordering::Release);
    }

    /// Another process has the job.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    fn holds(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        !self.is_lost() && (until == u64::MAX || Claim::time(&*self.clock) < Duration::from_nanos(until))
    }
}

/// What tells a run of a kept job from any other: for what a job writes elsewhere, so that an older one can be refused there.
///
/// Of one job, a later run has the greater fence, and so has a further attempt at the same run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Fence {
    /// The job's name.
    pub job: Arc<str>,
    /// The run's number.
    pub number: u64,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// A run as it may be seen from any thread: what is known of it, and whether it is to stop.
///
/// Background and async jobs are given one; a [`Run`](crate::Run), which jobs on the polling thread are given, has all of
/// this too. A clone serves as a token to hand on to whatever the job sets going.
#[derive(Clone)]
pub struct RunView {
    pub(crate) facts: RunFacts,
    pub(crate) signals: Arc<Signals>,
    pub(crate) limit: Option<TimeLimit>,
    /// Of a kept job.
    pub(crate) claim: Option<Arc<Claim>>,
}

/// Until when a run has time.
#[derive(Clone)]
pub(crate) struct TimeLimit {
    pub(crate) clock: Arc<dyn Clock>,
    /// By the monotonic clock.
    pub(crate) ends: Duration,
}

impl RunView {
    /// All that is known of it.
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// The job.
    pub fn id(&self) -> JobId {
        self.facts.id
    }

    /// The job's name.
    pub fn name(&self) -> Option<&str> {
        self.facts.name.as_deref()
    }

    /// Its number among its job's runs, from 1: see [`RunFacts::number`].
    pub fn number(&self) -> u64 {
        self.facts.number
    }

    /// Whether the job's run before this one was cut off by the end of its process, and is not this run itself.
    pub fn previous_was_cut_off(&self) -> bool {
        self.facts.previous_was_cut_off
    }

    /// When it was due: of several occurrences folded into it, the last.
    pub fn due(&self) -> DateTime<Utc> {
        self.facts.due
    }

    /// When the first of the occurrences folded into it was due.
    pub fn first_missed(&self) -> DateTime<Utc> {
        self.facts.first_missed
    }

    /// How long after the instant at which it was to start it did: see [`RunFacts::late`].
    pub fn late(&self) -> Duration {
        self.facts.late
    }

    /// What made it late, for the most part.
    pub fn late_by(&self) -> LateBy {
        self.facts.late_by
    }

    /// How many occurrences it makes up for, itself included: 1 if it is on time.
    pub fn folded(&self) -> u64 {
        self.facts.folded
    }

    /// Which attempt at this occurrence it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.facts.attempt
    }

    /// How often it was taken up before this: 0, and more after [`Outcome::Yield`](crate::Outcome::Yield).
    pub fn turn(&self) -> u32 {
        self.facts.turn
    }

    /// The run that it follows, of a job registered by [`following`](crate::Scheduler::following); of several the first.
    pub fn follows(&self) -> Option<&RunFacts> {
        self.facts.follows.first().map(|facts| &**facts)
    }

    /// Says how far it has come, for those who hold the job's handle: [`JobHandle::progress`](crate::JobHandle::progress).
    /// `of` 0 takes back what was said.
    pub fn progress(&self, done: u64, of: u64) {
        self.signals.report(done, of);
    }

    /// Whether the job is still this process's: not if its [`lease`](crate::SchedulerBuilder::lease) has run out or another
    /// process has taken it over. A job that must not act after that asks before it does. True if the store is not shared.
    pub fn still_mine(&self) -> bool {
        self.claim.as_ref().is_none_or(|claim| claim.holds())
    }

    /// What tells this run from any other, to be handed on to whatever the job writes to; `None` if the job is not kept.
    pub fn fence(&self) -> Option<Fence> {
        let RunFacts { name, number, attempt, .. } = &self.facts;
        let job = name.clone().filter(|_| *number > 0)?;
        Some(Fence { job, number: *number, attempt: *attempt })
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.is_lost())
    }

    /// Whether it is to stop: its job was cancelled, its time is up, a newer run takes its place, or the scheduler is shut
    /// down. A job that takes long looks at it now and then and returns.
    pub fn should_stop(&self) -> bool {
        self.signals.is_stopped() || self.limit.as_ref().is_some_and(|limit| limit.clock.monotonic() >= limit.ends)
    }
}

impl fmt::Debug for RunView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunView").field(&self.facts).finish()
    }
}

/// How far a run has come, as it said by [`RunView::progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// So much is done,
    pub done: u64,
    /// of so much, which is not 0.
    pub of: u64,
}

impl Progress {
    /// From 0 to 1.
    pub fn share(&self) -> f64 {
        (self.done as f64 / self.of as f64).clamp(0.0, 1.0)
    }
}

/// What a job says of its run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It is done; the schedule goes on.
    #[default]
    Done,
    /// What it is for was there already, so that there was nothing to do: see [`unless_done`](crate::When::unless_done). As
    /// `Done`, but that it is told and counted apart.
    AlreadyDone,
    /// It is done, and the job leaves the schedule.
    Cancel,
    /// It has failed and is to be tried again, by the rule that `retry` and `backoff` give the job. Without one, or when no
    /// attempt is left, the run has failed.
    Retry,
    /// There is more to do: the job is called again at a later poll, in turn with others that are under way, and goes on
    /// from the state that it keeps. All its turns are one run. An occurrence that comes meanwhile is skipped, and that is
    /// said.
    Yield,
}

/// What a job may return: `()`, an [`Outcome`], or a `Result` of any value.
///
/// `Result<Outcome, E>` is taken at its word.
pub trait JobResult {
    /// What a job that follows is given.
    type Value: Send + Sync + 'static;

    #[doc(hidden)]
    fn into_end(self) -> Result<(Self::Value, Outcome), BoxError>;
}

impl JobResult for () {
    type Value = ();

    fn into_end(self) -> Result<((), Outcome), BoxError> {
        Ok(((), Outcome::Done))
    }
}

impl JobResult for Outcome {
    type Value = ();

    fn into_end(self) -> Result<((), Outcome), BoxError> {
        Ok(((), self))
    }
}

impl<T, E> JobResult for Result<T, E>
where
    T: Send + Sync + 'static,
    E: Into<BoxError>,
{
    type Value = T;

    fn into_end(self) -> Result<(T, Outcome), BoxError> {
        match self {
            Ok(value) => {
                let outcome = (&value as &dyn Any).downcast_ref::<Outcome>().copied().unwrap_or_default();
                Ok((value, outcome))
            }
            Err(error) => Err(error.into()),
        }
    }
}
