//! The host's side: it joins clock, queue and jobs.
//!
//! A [`Scheduler`] is a handle on shared state. What its lock guards is pure bookkeeping: [`table`] holds the jobs ([`entry`],
//! [`plan`]) and their limits ([`limits`]), [`step`] finds what is to be done next, by the gates ([`gate`]), [`begin`] and
//! [`ending`] keep account of how runs begin and end, [`keep`] of what is written to a store. [`poll`]
//! does it with the lock free, [`away`] in the background. [`register`] and [`follow`] are how jobs come in, with their
//! [`options`]; [`wait`] is rest and end, [`observe`] what is told and [`why`] what is asked.

mod awaited;
mod away;
mod backfill;
mod begin;
mod carry;
mod ending;
mod entry;
mod filling;
mod follow;
mod gate;
mod glance;
mod keep;
mod lane;
mod lease;
mod limits;
mod observe;
mod options;
mod part;
mod plan;
mod poll;
mod record;
mod register;
mod run;
mod slots;
mod step;
mod stepped;
mod summary;
mod table;
mod value;
mod wait;
mod why;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};

pub use away::JobFuture;
pub use backfill::{Backfill, Backfilling};
pub use follow::{Following, Upstreams};
pub use observe::Events;
#[cfg(feature = "command")]
pub(crate) use options::Usual;
pub use poll::{Overrun, Tick};
pub use register::{InBackground, OnPoll, Registering};
pub use run::Run;
pub use summary::{Late, Lateness};
pub use wait::{Spawned, UntilDue};
pub use why::Why;

use crate::backfill::{Told, Wanted};
use crate::builder::{Every, When};
use crate::caught::{caught, drop_quietly};
use crate::clock::{Changes, Clock, Look, Now, SystemClock, Watch, read_together};
use crate::error::Error;
use crate::event::{DropReason, Event};
use crate::executor::{Executor, Pool};
use crate::id::JobId;
use crate::job::{Control, JobSnapshot, Jobs};
use crate::policy::{Backoff, Missed, Overlap, WithoutStore};
use crate::schedule::{Schedule, Trigger, Zone, from_nanos};
use crate::store::{Done, Store};
use crate::sync::atomic::AtomicBool;
use crate::sync::{Condvar, Mutex, OnceLock, RwLock};
use awaited::{Awaited, ClockTest};
use away::{Returns, WayBack};
use entry::{AskedBy, Job, Rest};
use glance::Glance;
use keep::Keeping;
use limits::Allows;
use observe::{Observer, Subscription};
use plan::{Plan, Scale};
use table::{Ask, Table};
use wait::Alarm;

/// A set of jobs and their due times, run by the host's own loop.
///
/// It is a handle: clones are the same scheduler, and it may be used from any thread and from inside its jobs. Jobs run on the
/// thread that calls [`run_pending`](Scheduler::run_pending), one after the other, unless they are said to run in the
/// [background](crate::When::background). `C` is the host's own state, which
/// [`run_pending_with`](Scheduler::run_pending_with) lends to the jobs; it need not be `Send`.
///
/// A job that keeps a clone of its scheduler keeps it alive: use [`Run::scheduler`](crate::Run::scheduler).
///
/// ```
/// use punctual::Scheduler;
///
/// let scheduler = Scheduler::new();
/// let job = scheduler.every(5).minutes().named("quakes").do_(|| println!("fetching"))?;
/// let tick = scheduler.run_pending();
/// assert_eq!(tick.ran(), 0);
/// # Ok::<(), punctual::Error>(())
/// ```
///
/// What is a mistake in any program does not compile: an interval without a unit, a count below zero,
///
/// ```compile_fail,E0599
/// punctual::Scheduler::new().every(5).do_(|| ());
/// ```
/// ```compile_fail,E0600
/// punctual::Scheduler::new().every(-5).minutes().do_(|| ());
/// ```
///
/// a job that cannot go to another thread, or a result that cannot,
///
/// ```compile_fail,E0277
/// let shared = std::rc::Rc::new(1);
/// punctual::Scheduler::new().every(5).minutes().do_(move || drop(shared.clone()));
/// ```
/// ```compile_fail,E0277
/// punctual::Scheduler::new().every(5).minutes().do_(|| Ok::<_, String>(std::rc::Rc::new(1)));
/// ```
///
/// a follower of another type of result, a poll without the host's state, and job options where there is no job.
///
/// ```compile_fail,E0631
/// let scheduler = punctual::Scheduler::new();
/// let job = scheduler.every(5).minutes().do_(|| Ok::<i32, String>(1)).unwrap();
/// scheduler.following(&job).do_with(|_, found: &String| drop(found.clone()));
/// ```
/// ```compile_fail,E0599
/// punctual::Scheduler::<Vec<u8>>::builder().build().run_pending();
/// ```
/// ```compile_fail,E0599
/// punctual::Schedule::every(5).minutes().named("quakes").build();
/// ```
pub struct Scheduler<C = ()>(Arc<Shared<C>>);

pub(crate) struct Shared<C> {
    clock: Arc<dyn Clock>,
    zone: Arc<Zone>,
    missed: Missed,
    grace: Option<Duration>,
    budget: Option<Duration>,
    defaults: Defaults,
    host_late: Duration,
    seed: u64,
    is_clock_right: Option<Box<ClockTest>>,
    store: Option<Arc<dyn Store>>,
    /// Whether other processes use the store too.
    is_shared: bool,
    table: Mutex<Table<C>>,
    glance: Glance,
    /// What runs in the background have of it.
    way: Arc<WayBack>,
    polling: AtomicBool,
    /// With `table`: something was asked for from outside, or a poll ended.
    changed: Condvar,
    /// Whether there are observers.
    watched: AtomicBool,
    /// Whether there are backfills.
    feeds: AtomicBool,
    observers: RwLock<Vec<Arc<Observer>>>,
    subscriptions: RwLock<Vec<Weak<Subscription>>>,
    callbacks: RwLock<Vec<Arc<Callback>>>,
    executor: OnceLock<Arc<dyn Executor>>,
    alarm: OnceLock<Alarm>,
}

/// What jobs take unless they say otherwise.
#[derive(Debug, Clone, Default)]
struct Defaults {
    overlap: Option<Overlap>,
    timeout: Option<Duration>,
    retry: Option<u32>,
    backoff: Option<Backoff>,
}

impl Defaults {
    fn are_none(&self) -> bool {
        self.overlap.is_none() && self.timeout.is_none() && self.retry.is_none()
    }
}

type Callback = dyn Fn() + Send + Sync;

/// Makes a [`Scheduler`] with other than the usual settings.
#[must_use = "a builder does nothing until `build`"]
pub struct SchedulerBuilder<C = ()> {
    clock: Option<Arc<dyn Clock>>,
    zone: Zone,
    missed: Missed,
    grace: Option<Duration>,
    budget: Option<Duration>,
    defaults: Defaults,
    host_late: Duration,
    executor: Option<Arc<dyn Executor>>,
    store: Option<Arc<dyn Store>>,
    without_store: Option<WithoutStore>,
    lease: Option<Duration>,
    is_clock_right: Option<Box<ClockTest>>,
    seed: u64,
    host: std::marker::PhantomData<fn(C)>,
}

impl<C> fmt::Debug for SchedulerBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerBuilder").field("zone", &self.zone).field("missed", &self.missed).finish_non_exhaustive()
    }
}

impl<C: 'static> SchedulerBuilder<C> {
    /// The clock; [`SystemClock`] unless given.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// The zone of the schedules that name none; the machine's own unless given.
    pub fn zone(mut self, zone: impl Into<Zone>) -> Self {
        self.zone = zone.into();
        self
    }

    /// What jobs do about missed occurrences unless they say otherwise.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// How late jobs may still run unless they say otherwise; no limit unless given.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// How long a poll may take; no limit unless given.
    ///
    /// Once it is spent no further job starts: those that are still due are put off to the next poll, keep their order and
    /// come first. One job starts at every poll, however small the budget. A job that has started is not interrupted, so a
    /// poll may take longer by that one job; work that is longer is done in steps
    /// ([`Outcome::Yield`](crate::Outcome::Yield)).
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = Some(budget);
        self
    }

    /// What jobs do about occurrences that come while a run of theirs goes on, unless they say otherwise.
    /// [`Overlap::Allow`] holds for background jobs only.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.defaults.overlap = Some(overlap);
        self
    }

    /// How long runs may take unless their job says otherwise; no limit unless given.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.defaults.timeout = Some(limit);
        self
    }

    /// How often a run that failed is tried again, and after which waits, unless its job says otherwise; not at all unless
    /// given.
    pub fn retry(mut self, most: u32, backoff: Backoff) -> Self {
        self.defaults.retry = Some(most);
        self.defaults.backoff = Some(backoff);
        self
    }

    /// Where background runs go: a [`Pool`] of one's own size, or an executor of the host's. Unless given, a pool with as
    /// many threads as the machine runs at once, which are started when the first run needs one.
    pub fn executor(mut self, executor: impl Executor) -> Self {
        self.executor = Some(Arc::new(executor));
        self
    }

    /// How late the first due job may be, by the host's own doing, until [`Event::HostLate`](crate::Event::HostLate) says that
    /// the host polls too seldom; a second unless given.
    pub fn host_late(mut self, late: Duration) -> Self {
        self.host_late = late;
        self
    }

    /// Keeps named jobs in a store, so that they carry on from there in the next process of the program: each then has a name
    /// of its own.
    ///
    /// Before a run of theirs starts, that is written; all that is written in a poll is written at once. What ended is written
    /// by the next poll, which the scheduler asks for at once.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// What kept jobs do while the store cannot be written. Unless given, those that run at most once wait
    /// ([`WithoutStore::Hold`]) and those that run at least once run; with a [`lease`](Self::lease) all wait, since another
    /// process might run them too.
    pub fn without_store(mut self, then: WithoutStore) -> Self {
        self.without_store = Some(then);
        self
    }

    /// Says that other processes use the same store, so that each occurrence of a kept job is run by one of them.
    ///
    /// Whichever comes first with an occurrence claims it, and holds the job for as long as a run of it has not ended; jobs that
    /// are linked by chains are held together. A hold lasts for the length of the lease, in elapsed time, and is prolonged by
    /// polls when a third of it has passed ([`Tick::next`](crate::Tick::next) asks for them). If its process dies or is held up
    /// for longer, another one takes the job over: the run was cut off then, and goes by
    /// [`at_most_once`](crate::When::at_most_once) or [`at_least_once`](crate::When::at_least_once). What the first one
    /// still wants to write of it is refused, and told ([`Event::ClaimLost`]); its jobs can ask
    /// ([`RunView::still_mine`](crate::RunView::still_mine)) and hand on a [`Fence`](crate::Fence).
    ///
    /// So the lease is longer than any run on the polling thread, and than the host's longest pause between polls: 30 s, say. The
    /// longer, the later a dead process's jobs are taken over, be it by its own successor. While the store cannot be written
    /// nothing can be claimed, and kept jobs wait; with [`without_store(Run)`](Self::without_store) they run in each process then.
    /// Without a lease a store is for one process at a time, which takes up at once what the one before it left.
    pub fn lease(mut self, length: Duration) -> Self {
        self.lease = Some(length);
        self
    }

    /// Waits for the wall clock to be right: until a test of the host's own says that it is, nothing runs and nothing is
    /// written to the store. For machines that start with a wrong clock and are set later, by the network, say: a board
    /// without a battery starts in 1970.
    ///
    /// The test is given what the wall clock shows. It is asked by polls: by the first, when the clock was set, and once a
    /// second ([`Tick::next`](crate::Tick::next) asks for that). A panic in it is a no. Once it has said yes it is not asked again
    /// ([`Event::ClockIsRight`](crate::Event::ClockIsRight)). If the clock was set meanwhile jobs carry on from their records, or
    /// count from now if they have none, as if they had been registered just then; plain intervals count from their registration.
    ///
    /// Without this, a clock that shows a year before 2020 is taken to be wrong as long as it does: calendar jobs with a record from
    /// later wait for it to pass their last occurrence. Others run by it.
    ///
    /// ```
    /// use chrono::{DateTime, Utc};
    /// use punctual::{ManualClock, Scheduler};
    ///
    /// let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    /// let released: DateTime<Utc> = "2026-01-01T00:00:00Z".parse()?;
    /// let scheduler: Scheduler =
    ///     Scheduler::builder().clock(clock.clone()).zone(Utc).wait_for_clock(move |now| now > released).build();
    /// let job = scheduler.every(1).day().at("09:00").do_(|| ())?;
    ///
    /// clock.advance(std::time::Duration::from_secs(3 * 86_400));
    /// assert_eq!(scheduler.run_pending().ran(), 0);
    /// clock.step("2026-03-01T12:00:00Z".parse::<DateTime<Utc>>()? - clock.wall());
    /// assert_eq!(scheduler.run_pending().ran(), 0);
    /// assert_eq!(job.next_run(), Some("2026-03-02T09:00:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_clock(mut self, is_right: impl Fn(DateTime<Utc>) -> bool + Send + Sync + 'static) -> Self {
        self.is_clock_right = Some(Box::new(is_right));
        self
    }

    /// The seed of everything drawn: random gaps and jitter. The same seed draws the same.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The scheduler.
    pub fn build(self) -> Scheduler<C> {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let watch = Watch::new(&*clock);
        let lease = self.lease.filter(|_| self.store.is_some());
        let awaited = self.is_clock_right.as_ref().map(|_| Awaited::since(watch.last()));
        let keeping =
            self.store.as_ref().map(|_| Box::new(Keeping::new(lease::node(watch.last().wall), self.without_store, lease)));
        Scheduler(Arc::new_cyclic(|home: &Weak<Shared<C>>| {
            let way = Arc::new(WayBack::new(clock.clone(), home.clone()));
            Shared {
                clock,
                zone: Arc::new(self.zone),
                missed: self.missed,
                grace: self.grace,
                budget: self.budget,
                defaults: self.defaults,
                host_late: self.host_late,
                seed: self.seed,
                is_clock_right: self.is_clock_right,
                store: self.store,
                is_shared: lease.is_some(),
                glance: Glance::new(),
                table: Mutex::new(Table::new(watch, awaited, keeping, Returns::by(way.clone()))),
                way,
                polling: AtomicBool::new(false),
                changed: Condvar::new(),
                watched: AtomicBool::new(false),
                feeds: AtomicBool::new(false),
                observers: RwLock::default(),
                subscriptions: RwLock::default(),
                callbacks: RwLock::default(),
                executor: self.executor.map(OnceLock::from).unwrap_or_default(),
                alarm: OnceLock::new(),
            }
        }))
    }
}

impl Scheduler<()> {
    /// A scheduler on the machine's clocks and in its zone, whose jobs need nothing of the host.
    pub fn new() -> Self {
        Scheduler::builder().build()
    }
}

impl<C: 'static> Default for Scheduler<C> {
    fn default() -> Self {
        Scheduler::builder().build()
    }
}

impl<C> Clone for Scheduler<C> {
    fn clone(&self) -> Self {
        Scheduler(self.0.clone())
    }
}

impl<C> fmt::Debug for Scheduler<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("zone", &self.0.zone).finish_non_exhaustive()
    }
}

impl<C> Shared<C> {
    /// Does something to the table, and then, with the lock free, what comes of it.
    fn with<R>(&self, change: impl FnOnce(&mut Table<C>) -> R) -> R {
        let (result, after, asked) = {
            let mut table = self.table.lock();
            let news = table.news;
            let result = change(&mut table);
            self.glance.looks_again(&mut table);
            let after = if table.after.is_empty() { None } else { Some(std::mem::take(&mut table.after)) };
            (result, after, table.news != news)
        };
        if let Some(after) = after {
            let (events, asks) = after.wake_and_drop();
            self.tell(&events);
            asks.into_iter().for_each(|ask| self.ask(ask));
        }
        if asked {
            self.changed.notify_all();
            if let Some(alarm) = self.alarm.get() {
                alarm.ring();
            }
            let callbacks = { self.callbacks.read().clone() };
            for callback in callbacks {
                let _ = caught(|| callback());
            }
        }
        result
    }

    /// Asks a schedule with the lock free, and sets its job's next occurrence. One of the user's own that panics ends here; its
    /// job says so when it is next asked.
    fn ask(&self, ask: Ask) {
        let Ask { id, plan, from, reanchored } = ask;
        let next = caught(|| plan.next(from)).unwrap_or(None);
        self.with(|table| table.found(id, &plan.schedule, from, next, reanchored));
        drop_quietly(plan);
    }

    /// Takes a job in, and tells of how it carries on. One that is refused is dropped with the lock free, since it holds what is
    /// the user's.
    fn admit(&self, job: Job<C>, limits: &[(Arc<str>, Allows)], told: Vec<Event>) -> Result<(), Error> {
        let id = job.id;
        let mut job = Some(job);
        let told = self.with(|table| {
            table.admit(&mut job, limits)?;
            table.leaves_if_over(id);
            Ok(table.hold_back(told))
        })?;
        self.tell(&told);
        Ok(())
    }

    fn executor(&self) -> &Arc<dyn Executor> {
        self.executor.get_or_init(|| Arc::new(Pool::default()))
    }

    /// Looks at the clock and, with it, at the table, for what costs least: nothing was set and nothing is due.
    fn glance(&self) -> Option<(Option<i64>, usize)> {
        let wall = self.clock.wall_nanos();
        let seen = self.glance.at(wall);
        if seen.is_some() {
            return seen;
        }
        let monotonic = self.clock.monotonic();
        let mut table = self.table.lock();
        let Look::At(now, _) = table.watch.look(monotonic, wall, None) else { return None };
        let (quiet_for, idle) = table.quiet(now)?;
        table.polled = now.elapsed;
        let left = table.placed();
        table.glanced = Some(now);
        self.glance.saw(now, quiet_for, idle, left);
        Some((idle, left))
    }

    /// Looks at the clock. If the wall clock was set, the jobs that follow it are asked anew.
    fn now(&self) -> Now {
        let (monotonic, wall) = (self.clock.monotonic(), self.clock.wall_nanos());
        let mut look = self.table.lock().watch.look(monotonic, wall, None);
        if look == Look::AskBoot {
            let (monotonic, wall, boot) = read_together(&*self.clock);
            look = self.table.lock().watch.look(monotonic, wall, Some(boot));
        }
        let Look::At(now, changes) = look else { return self.table.lock().watch.last() };
        if changes == Changes::default() {
            return now;
        }
        self.way.clocks_changed();
        let events: Vec<Event> = changes.each().map(Event::Clock).collect();
        self.tell(&events);
        if changes.stepped != 0 {
            let asked = {
                let mut table = self.table.lock();
                self.glance.is_over(&mut table);
                table.stepped(changes, now)
            };
            asked.into_iter().for_each(|ask| self.ask(ask));
        }
        now
    }
}

impl<C: 'static> Scheduler<C> {
    /// A scheduler with other than the usual settings.
    pub fn builder() -> SchedulerBuilder<C> {
        SchedulerBuilder {
            clock: None,
            zone: Zone::LOCAL,
            missed: Missed::default(),
            grace: None,
            budget: None,
            defaults: Defaults::default(),
            host_late: Duration::from_secs(1),
            executor: None,
            store: None,
            without_store: None,
            lease: None,
            is_clock_right: None,
            seed: 0,
            host: std::marker::PhantomData,
        }
    }

    /// Begins a job in words: `every(5).minutes().do_(f)`. See [`When`] for the words.
    pub fn every(&self, n: u32) -> Every<Registering<C>> {
        Every::new(n, self.registering())
    }

    /// Begins a job with any period of elapsed time.
    pub fn every_period(&self, period: Duration) -> When<Registering<C>> {
        When::period(period, self.registering())
    }

    /// Begins a job by cron text: see [`Schedule::cron`].
    pub fn cron(&self, text: impl AsRef<str>) -> When<Registering<C>> {
        match Schedule::cron(text) {
            Ok(schedule) => When::ready(schedule, self.registering()),
            Err(error) => When::refused(error, self.registering()),
        }
    }

    /// Begins a job by a schedule that is there already, or a trigger of the user's own.
    pub fn schedule(&self, schedule: impl Trigger) -> When<Registering<C>> {
        When::ready(schedule.into_schedule(), self.registering())
    }

    /// Begins a job that runs once, at an instant; at the next poll if that is past.
    pub fn once_at<Tz: TimeZone>(&self, instant: DateTime<Tz>) -> When<Registering<C>> {
        When::ready(Schedule::once_at(instant), self.registering())
    }

    /// Begins a job that runs once, so much later.
    pub fn once_after(&self, delay: Duration) -> When<Registering<C>> {
        When::ready(Schedule::once_after(delay), self.registering())
    }

    /// Begins a job that runs at the first poll after its registration.
    pub fn reboot(&self) -> When<Registering<C>> {
        When::ready(Schedule::reboot(), self.registering())
    }

    /// The jobs, in order of registration.
    pub fn jobs(&self) -> Jobs {
        self.snapshots(None)
    }

    /// The jobs that bear a tag.
    pub fn jobs_tagged(&self, tag: impl AsRef<str>) -> Jobs {
        self.snapshots(Some(tag.as_ref()))
    }

    fn snapshots(&self, tag: Option<&str>) -> Jobs {
        let now = self.0.now();
        self.0.with(|table| Jobs(table.ids(tag).into_iter().filter_map(|id| table.snapshot(id, now)).collect()))
    }

    /// Cancels all jobs; returns how many there were.
    pub fn clear(&self) -> usize {
        self.0.now();
        self.0.with(|table| table.cancel_all(None))
    }

    /// Cancels the jobs that bear a tag; returns how many there were.
    pub fn clear_tagged(&self, tag: impl AsRef<str>) -> usize {
        self.0.now();
        self.0.with(|table| table.cancel_all(Some(tag.as_ref())))
    }

    /// When the next job is due, by the wall clock; `None` if there is none or the scheduler is paused.
    pub fn next_run(&self) -> Option<DateTime<Utc>> {
        let now = self.0.now();
        self.0.table.lock().next_due(now).map(from_nanos)
    }

    /// When the next job that bears a tag is due.
    pub fn next_run_tagged(&self, tag: impl AsRef<str>) -> Option<DateTime<Utc>> {
        self.jobs_tagged(tag).iter().filter_map(|job| job.next_run).min()
    }

    /// How long until the host is needed: until the next job is due, and its slack is used up; zero if one is, `None` if there is none or the scheduler is paused.
    pub fn idle(&self) -> Option<Duration> {
        let now = self.0.now();
        self.0.table.lock().idle(now).map(|idle| Duration::from_nanos(idle.max(0) as u64))
    }

    /// Whether there are no jobs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many jobs there are.
    pub fn len(&self) -> usize {
        self.0.table.lock().len()
    }

    /// Lets no further run start until [`resume`](Self::resume). What passes meanwhile is missed: see [`Missed`]. Time limits are
    /// looked at again only then.
    pub fn pause(&self) {
        self.0.with(|table| table.paused = true);
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.0.with(|table| {
            table.paused = false;
            table.news += 1;
        });
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.0.table.lock().paused
    }

    /// How late runs were so far, by what made them late.
    pub fn lateness(&self) -> Lateness {
        self.0.table.lock().lateness
    }

    /// A hold that does not keep the scheduler alive, for its own jobs and for callbacks.
    pub fn downgrade(&self) -> WeakScheduler<C> {
        WeakScheduler(Arc::downgrade(&self.0))
    }

    #[cfg(feature = "launchd")]
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock.clone()
    }

    fn registering(&self) -> Registering<C> {
        Registering::new(self.clone())
    }
}

/// A hold on a scheduler that does not keep it alive: see [`Scheduler::downgrade`].
pub struct WeakScheduler<C = ()>(Weak<Shared<C>>);

impl<C> WeakScheduler<C> {
    /// The scheduler, if it still lives.
    pub fn upgrade(&self) -> Option<Scheduler<C>> {
        self.0.upgrade().map(Scheduler)
    }
}

impl<C> Clone for WeakScheduler<C> {
    fn clone(&self) -> Self {
        WeakScheduler(self.0.clone())
    }
}

impl<C> fmt::Debug for WeakScheduler<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakScheduler").finish_non_exhaustive()
    }
}

/// The last hold on a scheduler is gone: what its jobs hold is dropped, and what goes on in the background is told to stop.
impl<C> Drop for Shared<C> {
    fn drop(&mut self) {
        let table = self.table.get_mut();
        table.close();
        table.polls += 1;
        let now = table.watch.last();
        if let Some((batch, store)) = table.batch(now).zip(self.store.as_ref()) {
            // Nobody is left to hear the answer.
            let _ = caught(|| store.write(batch, Done::new(drop)));
        }
        let table = self.table.get_mut();
        for id in table.ids(None) {
            table.end_runs(id);
        }
        let (events, asks) = std::mem::take(&mut table.after).wake_and_drop();
        self.tell(&events);
        events.into_iter().for_each(drop_quietly);
        let table = self.table.get_mut();
        asks.into_iter().for_each(drop_quietly);
        for mut job in table.take_jobs() {
            job.epitaph.write(std::mem::take(&mut job.history));
            drop_quietly(job);
        }
        std::iter::from_fn(|| table.returned.pop()).for_each(drop_quietly);
        self.end_subscriptions();
    }
}

impl<C: 'static> Control for Shared<C> {
    fn cancel(&self, id: JobId) -> bool {
        // Its runs end now. A job that has nothing but its schedule asks for no clock.
        let alone = self.with(|table| table.get(id).is_none_or(Job::is_alone).then(|| table.cancel(id)));
        alone.unwrap_or_else(|| {
            self.now();
            self.with(|table| table.cancel(id))
        })
    }

    fn retire(&self, id: JobId) -> bool {
        // As for `cancel`.
        let alone = self.with(|table| table.get(id).is_none_or(Job::is_alone).then(|| table.retire(id)));
        alone.unwrap_or_else(|| {
            self.now();
            self.with(|table| table.retire(id))
        })
    }

    fn set_paused(&self, id: JobId, paused: bool) -> bool {
        if paused {
            let alone = self.with(|table| table.get(id).is_none_or(Job::is_alone).then(|| table.pause(id)));
            return alone.unwrap_or_else(|| {
                self.now();
                self.with(|table| table.pause(id))
            });
        }
        let now = self.now();
        // A job that was not paused goes on as it does.
        let resumed = self.with(|table| {
            let Some(job) = table.get_mut(id) else { return Err(false) };
            if !job.is_paused() {
                return Err(!job.is_retired());
            }
            job.set_paused(false);
            job.failures = 0;
            if let Some(kept) = job.kept_mut() {
                kept.crashes = 0;
            }
            let searched = job.kept.as_ref().map(|_| job.searched);
            Ok(job.plan.clone().map(|plan| (plan, job.last_due, searched, job.edition)))
        });
        let plan = match resumed {
            Ok(plan) => plan,
            Err(there) => return there,
        };
        let next = plan.map(|(plan, last_due, searched, edition)| {
            // What was run is not run again, also when the wall clock was set back.
            let wrong_before = |last: i64| stepped::is_wrong_before(last, searched.is_some(), now);
            let last_due = last_due.filter(|last| plan.scale == Scale::Wall && !wrong_before(*last));
            let searched = searched.filter(|_| plan.scale == Scale::Wall && stepped::is_wrong(now));
            let from = plan.on_scale(now).max(last_due.unwrap_or(i64::MIN)).max(searched.unwrap_or(i64::MIN));
            // A schedule of the user's own that panics ends here; its job says so when it is next asked.
            let next = caught(|| plan.next(from)).unwrap_or(None);
            drop_quietly(plan);
            (from, next, edition)
        });
        self.with(|table| {
            let job = table.get_mut(id).zip(next).filter(|(job, (.., edition))| job.edition == *edition);
            if let Some((job, (from, next, _))) = job {
                job.next = next.or(job.next);
                job.searched = job.next.map_or(from, |next| from.min(next.saturating_sub(1)));
            }
            table.asked(id);
            table.remove_if_over(id);
        });
        true
    }

    fn run_now(&self, id: JobId) -> bool {
        let now = self.now();
        self.with(|table| {
            let closed = table.closed;
            let Some(job) = table.get_mut(id).filter(|job| job.rest == Rest::No) else { return false };
            let nothing_to_follow = job.plan.is_none() && job.waiting.is_empty();
            if nothing_to_follow || job.runs_left == Some(0) || closed {
                return false;
            }
            job.ask_by_hand(now);
            table.release_from_block(id);
            table.asked(id);
            true
        })
    }

    fn reschedule(&self, id: JobId, schedule: Schedule) -> Result<(), Error> {
        let now = self.now();
        let (missed, grace, seed) = {
            let table = self.table.lock();
            let plan = table.staying(id).ok_or(Error::JobGone)?.plan.as_ref().ok_or(Error::NoSchedule)?;
            (plan.missed, plan.grace, plan.seed)
        };
        let mut plan = Some(Plan::new(schedule, self.zone.clone(), seed, missed, grace, now));
        let next = plan.as_ref().map_or(Ok(None), |plan| register::first(plan, now))?;
        let result = self.with(|table| {
            table.staying(id).ok_or(Error::JobGone)?;
            table.release_from_block(id);
            table.clear_waiting(id, DropReason::Rescheduled, |waiting| waiting.by == AskedBy::Nobody && waiting.after.is_none());
            // Its dates were those of the old one.
            table.end_filling(id);
            let (Some(job), Some(new)) = (table.get_mut(id), &plan) else { return Err(Error::JobGone) };
            job.edition = job.edition.wrapping_add(1);
            job.runs_left = new.schedule.spec().times;
            let here = new.on_scale(now);
            job.searched = next.map_or(here, |next| here.min(next.saturating_sub(1)));
            job.let_go_of_block();
            // What the old one was run or made up for says nothing of the new one.
            job.last_due = None;
            job.missed_until = i64::MIN;
            if new.schedule.spec().immediately || new.schedule.is_reboot() {
                job.ask_by_hand(now);
            }
            job.next = next;
            std::mem::swap(&mut job.plan, &mut plan);
            table.asked(id);
            Ok(())
        });
        // The one that is not needed holds what is the user's, and goes with the lock free.
        drop_quietly(plan);
        result
    }

    fn also_after(&self, id: JobId, upstream: JobId) -> Result<(), Error> {
        self.with(|table| table.link(id, upstream))
    }

    fn backfill(&self, id: JobId, wanted: Wanted) -> Result<Arc<Told>, Error> {
        self.begin_backfill(id, wanted)
    }

    fn stop_backfill(&self, id: JobId, told: &Arc<Told>) -> bool {
        self.end_backfill(id, told)
    }

    fn snapshot(&self, id: JobId) -> Option<JobSnapshot> {
        let now = self.now();
        self.table.lock().snapshot(id, now)
    }
}
