//! The crate's own code under every order of steps, or as many of them as there is time for.
//!
//!     RUSTFLAGS="--cfg punctual_model" cargo test --release --test model
//!
//! Locks, threads and atomics are shuttle's then (`src/sync.rs`): each model below is run some thousand times, and at each
//! step of a thread it is drawn which one goes on. A thread that sleeps for ever is a deadlock, which fails. A schedule that
//! fails is printed, and replays with `shuttle::replay`. `PUNCTUAL_SCHEDULES=100000` runs more of them, and with
//! `PUNCTUAL_COUNT=1` a model does not end at the first that fails but counts them, to see how well it finds a fault.
#![cfg(punctual_model)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use punctual::{Event, Executor, JobHandle, ManualClock, Missed, Overlap, Pool, Schedule, Scheduler, Tick, Work};
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler as Drawn};
use shuttle::sync::mpsc;
use shuttle::thread;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const FOR_EVER: Duration = Duration::MAX;

/// How many schedules are drawn for each model, in either way.
const SCHEDULES: usize = 10_000;

/// How many switches of threads a fault may need at most to be found by the second way of drawing.
const SWITCHES: usize = 3;

fn run(drawn: impl Drawn + 'static, model: fn()) {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 18;
    shuttle::Runner::new(drawn, config).run(model);
}

/// Runs a model under schedules that are drawn evenly, and under such as have few switches in unlikely places.
fn check(name: &str, model: fn()) {
    let schedules = std::env::var("PUNCTUAL_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(SCHEDULES);
    if std::env::var_os("PUNCTUAL_COUNT").is_none() {
        run(RandomScheduler::new(schedules), model);
        return run(PctScheduler::new(SWITCHES, schedules), model);
    }
    let fails = |way: &dyn Fn(u64)| {
        let mut seeds = fastrand::Rng::with_seed(1);
        (0..schedules).filter(|_| catch_unwind(AssertUnwindSafe(|| way(seeds.u64(..)))).is_err()).count()
    };
    let even = fails(&|seed| run(RandomScheduler::new_from_seed(seed, 1), model));
    // Its first schedule is for measuring how long they are.
    let few = fails(&|seed| run(PctScheduler::new_from_seed(seed, SWITCHES, 2), model));
    println!("counted: {name}: of {schedules} schedules {even} failed, of {schedules} with {SWITCHES} switches {few}");
}

macro_rules! models {
    ($($(#[doc = $text:literal])* $name:ident $model:block)+) => {
        $($(#[doc = $text])* #[test] fn $name() {
            fn model() $model
            check(stringify!($name), model);
        })+
    };
}

/// A scheduler on a clock that stands still, with so many threads for the background.
fn world(threads: usize) -> (ManualClock, Scheduler) {
    let clock = ManualClock::new(start());
    let pool = Pool::new(threads).queue(4);
    (clock.clone(), Scheduler::builder().clock(clock).zone(Utc).executor(pool).build())
}

fn start() -> DateTime<Utc> {
    "2026-03-01T10:00:00Z".parse().expect("an instant")
}

#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn set(&self) {
        self.0.store(true, SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn add(&self, more: usize) -> usize {
        self.0.fetch_add(more, SeqCst) + more
    }

    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// A host's loop, until something is so.
fn host(scheduler: &Scheduler, over: impl Fn() -> bool) {
    loop {
        let _ = scheduler.run_pending();
        if over() {
            return;
        }
        scheduler.wait(FOR_EVER);
    }
}

/// Whether what went out came back: every attempt that started ended, or, given up before it ended, strayed back.
fn all_came_back(events: impl Iterator<Item = Event>) {
    let (mut started, mut ended, mut strays, mut removed) = (0, 0, 0, Vec::new());
    for event in events {
        match event {
            Event::Started(_) => started += 1,
            Event::Ended { .. } => ended += 1,
            Event::Stray { .. } => strays += 1,
            Event::Removed { id, .. } => removed.push(id),
            Event::Clock(change) => panic!("time only passed: {change}"),
            _ => {}
        }
    }
    assert_eq!(started, ended);
    assert!(strays <= ended, "{strays} strays of {ended}");
    removed.sort_unstable();
    let jobs = removed.len();
    removed.dedup();
    assert_eq!(removed.len(), jobs, "each job is removed once");
}

/// A host that rests for ever but for what another thread does to a job: the job runs.
fn is_woken_by(prepare: impl Fn(&JobHandle), act: impl Fn(&Scheduler, &JobHandle) + Send + Sync + 'static) {
    let (_, scheduler) = world(1);
    let ran = Flag::default();
    let job = {
        let ran = ran.clone();
        scheduler.every(1).hour().do_(move || ran.set()).unwrap()
    };
    prepare(&job);
    let other = {
        let (scheduler, job) = (scheduler.clone(), job.clone());
        thread::spawn(move || act(&scheduler, &job))
    };
    host(&scheduler, || ran.is_set());
    other.join().unwrap();
}

/// A thread of the model that waits once.
fn waiter(scheduler: &Scheduler) -> thread::JoinHandle<()> {
    let scheduler = scheduler.clone();
    thread::spawn(move || assert!(scheduler.wait(FOR_EVER)))
}

models! {
    /// The wake may come before the wait, in it, or between its look and its rest.
    a_wake_ends_a_wait {
        let (_, scheduler) = world(1);
        let waiter = waiter(&scheduler);
        scheduler.wake();
        waiter.join().unwrap();
    }

    a_registration_ends_a_wait {
        let (_, scheduler) = world(1);
        let ran = Flag::default();
        let other = {
            let (scheduler, ran) = (scheduler.clone(), ran.clone());
            thread::spawn(move || drop(scheduler.reboot().do_(move || ran.set()).unwrap()))
        };
        host(&scheduler, || ran.is_set());
        other.join().unwrap();
    }

    what_is_asked_for_ends_a_wait {
        is_woken_by(|_| (), |_, job| assert!(job.run_now()));
    }

    a_resumed_job_ends_a_wait {
        is_woken_by(|job| assert!(job.pause()), |_, job| assert!(job.resume() && job.run_now()));
    }

    a_new_schedule_ends_a_wait {
        is_woken_by(|_| (), |_, job| job.reschedule(Schedule::once_at(start())).unwrap());
    }

    /// While one thread polls, another asks: the job runs at a later poll, which somebody has to come to.
    what_is_asked_for_in_a_poll_ends_a_wait {
        let (_, scheduler) = world(1);
        let ran = Flag::default();
        let job = { let ran = ran.clone(); scheduler.every(1).hour().do_(move || ran.set()).unwrap() };
        scheduler.reboot().do_(|| ()).unwrap();
        let poller = {
            let scheduler = scheduler.clone();
            thread::spawn(move || {
                let _ = scheduler.run_pending();
                // If the job ran there, the host has to be told.
                scheduler.wake();
            })
        };
        let other = thread::spawn(move || assert!(job.run_now()));
        host(&scheduler, || ran.is_set());
        poller.join().unwrap();
        other.join().unwrap();
    }

    /// What a poll saw that had nothing to do holds until somebody asks for something.
    what_is_asked_for_runs_at_the_next_poll {
        let (_, scheduler) = world(1);
        let ran = Flag::default();
        let job = { let ran = ran.clone(); scheduler.every(1).hour().do_(move || ran.set()).unwrap() };
        let other = thread::spawn(move || assert!(job.run_now()));
        for _ in 0..3 {
            let _ = scheduler.run_pending();
        }
        other.join().unwrap();
        let _ = scheduler.run_pending();
        assert!(ran.is_set());
    }

    a_run_that_comes_back_ends_a_wait {
        let (_, scheduler) = world(1);
        let followed = Flag::default();
        let job = scheduler.reboot().background().do_(|| Ok::<_, String>(7)).unwrap();
        { let followed = followed.clone(); scheduler.following(&job).do_(move || followed.set()).unwrap() };
        host(&scheduler, || followed.is_set());
    }

    /// The last to rest is the thread that is to stop: also when another wait takes the wake for itself.
    a_spawned_thread_stops_beside_another_wait {
        let (_, scheduler) = world(1);
        let spawned = scheduler.spawn().unwrap();
        let waiter = waiter(&scheduler);
        spawned.stop();
        scheduler.shutdown(Duration::ZERO);
        waiter.join().unwrap();
    }

    shutdown_ends_every_wait {
        let (_, scheduler) = world(1);
        let waiters = [waiter(&scheduler), waiter(&scheduler)];
        assert!(scheduler.shutdown(FOR_EVER).is_empty());
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    }

    /// All work that is given to a pool is run, or dropped with it, or given back: once.
    a_pool_runs_or_drops_what_it_takes {
        let pile: Arc<Mutex<Vec<Work>>> = Arc::default();
        let taking = { let pile = pile.clone(); move |work| { pile.lock().unwrap().push(work); Ok(()) } };
        let scheduler: Scheduler = Scheduler::builder().clock(ManualClock::new(start())).executor(taking).build();
        let ran = Count::default();
        let job = {
            let ran = ran.clone();
            let every = scheduler.every(1).second().missed(Missed::RunAll { most: 4 }).overlap(Overlap::Allow { most: 4 });
            every.background().do_(move || { ran.add(1); }).unwrap()
        };
        for _ in 0..4 {
            assert!(job.run_now());
            assert_eq!(scheduler.run_pending().handed(), 1);
        }
        let pool = Arc::new(Pool::new(2).queue(1));
        let refused = Count::default();
        let givers: Vec<_> = (0..2).map(|_| {
            let (pool, pile, refused) = (pool.clone(), pile.clone(), refused.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let work = pile.lock().unwrap().pop().expect("four");
                    refused.add(pool.execute(work).is_err().into());
                }
            })
        }).collect();
        drop(pool);
        let mut returned = 0;
        while returned < 4 {
            returned += scheduler.run_pending().returned();
            if returned < 4 {
                scheduler.wait(FOR_EVER);
            }
        }
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        let stats = job.stats();
        assert_eq!((stats.runs, stats.runs - stats.errors), (4, ran.get() as u64));
        assert!(refused.get() <= stats.errors as usize);
        assert!(scheduler.shutdown(FOR_EVER).is_empty());
        assert_eq!((returned, job.stats().runs), (4, 4));
    }

    a_run_comes_back_though_its_job_is_cancelled {
        let (_, scheduler) = world(2);
        let events = scheduler.events(100);
        let job = scheduler.reboot().background().do_(thread::yield_now).unwrap();
        let other = thread::spawn(move || { job.cancel(); });
        let mut sum = Sum::default();
        sum.add(scheduler.run_pending());
        sum.add(scheduler.run_pending());
        other.join().unwrap();
        assert!(scheduler.shutdown(FOR_EVER).is_empty());
        assert!(scheduler.is_empty());
        all_came_back(events);
        assert!(sum.returned <= sum.handed);
    }

    a_run_comes_back_though_its_time_is_up {
        let (clock, scheduler) = world(2);
        let events = scheduler.events(100);
        let job = scheduler.every(3).seconds().timeout(SECOND).overlap(Overlap::CancelRunning);
        let job = job.background().do_(thread::yield_now).unwrap();
        let other = thread::spawn(move || (0..2).for_each(|_| clock.advance(3 * SECOND)));
        let (mut sum, mut polls) = (Sum::default(), 0);
        while polls < 4 {
            sum.add(scheduler.run_pending());
            polls += 1;
        }
        other.join().unwrap();
        sum.add(scheduler.run_pending());
        assert!(scheduler.shutdown(FOR_EVER).is_empty());
        assert!(sum.handed >= 1 && sum.returned <= sum.handed);
        assert!(job.stats().runs as usize >= sum.returned.saturating_sub(1));
        // One that was given up for a newer run is told as ended, and strays back.
        let stopped = job.stats().stopped as usize;
        let told: Vec<Event> = events.collect();
        let count = |which: fn(&Event) -> bool| told.iter().filter(|event| which(event)).count();
        let (started, ended) = (count(|event| matches!(event, Event::Started(_))), count(|event| matches!(event, Event::Ended { .. })));
        let (late, strays) = (job.stats().timeouts as usize, count(|event| matches!(event, Event::Stray { .. })));
        assert_eq!(started, sum.handed);
        assert!(ended + strays >= started && ended + strays <= started + late + stopped, "{started} {ended} {strays} {late} {stopped}");
        assert_eq!(count(|event| matches!(event, Event::Clock(_))), 0, "time only passed");
    }

    /// While one thread polls, another shuts down: it ends, names nothing that has ended, and nothing runs after it.
    nothing_runs_after_shutdown {
        let (_, scheduler) = world(1);
        let events = scheduler.events(100);
        let (over, ran_after) = (Flag::default(), Flag::default());
        let job = || { let (over, ran_after) = (over.clone(), ran_after.clone()); move || if over.is_set() { ran_after.set() } };
        scheduler.reboot().background().do_(job()).unwrap();
        scheduler.reboot().do_(job()).unwrap();
        let poller = {
            let scheduler = scheduler.clone();
            thread::spawn(move || for _ in 0..3 { let _ = scheduler.run_pending(); })
        };
        let left: Vec<_> = scheduler.shutdown(FOR_EVER).into_iter().map(|job| job.id).collect();
        over.set();
        assert!(left.is_empty(), "{left:?} were named, and none can be running");
        assert!(scheduler.reboot().do_(|| ()).is_err());
        poller.join().unwrap();
        assert_eq!(scheduler.run_pending().ran(), 0);
        assert!(!ran_after.is_set());
        all_came_back(events);
    }

    two_may_shut_down {
        let (_, scheduler) = world(1);
        scheduler.reboot().background().do_(|| ()).unwrap();
        assert_eq!(scheduler.run_pending().handed(), 1);
        let other = {
            let scheduler = scheduler.clone();
            thread::spawn(move || scheduler.shutdown(FOR_EVER).len())
        };
        assert_eq!((scheduler.shutdown(FOR_EVER).len(), other.join().unwrap()), (0, 0));
    }

    /// A host is told of the first that comes back, and sees those with it that come before it looks.
    all_that_come_back_are_taken_in {
        let (_, scheduler) = world(2);
        for _ in 0..3 {
            scheduler.reboot().background().do_(|| ()).unwrap();
        }
        let mut returned = 0;
        while returned < 3 {
            returned += scheduler.run_pending().returned();
            if returned < 3 {
                scheduler.wait(FOR_EVER);
            }
        }
        assert!(scheduler.is_empty());
    }

    /// Whoever shuts down is told of the last that comes back.
    shutdown_waits_for_all_that_go_on {
        let (_, scheduler) = world(2);
        for _ in 0..3 {
            scheduler.reboot().background().do_(thread::yield_now).unwrap();
        }
        assert_eq!(scheduler.run_pending().handed(), 3);
        assert!(scheduler.shutdown(FOR_EVER).is_empty());
    }

    /// What has not ended when the patience is over is named, and ends later.
    shutdown_names_what_goes_on {
        let (_, scheduler) = world(1);
        let stopped = Flag::default();
        let job = {
            let stopped = stopped.clone();
            scheduler.reboot().background().do_with(move |run| {
                while !run.should_stop() {
                    thread::yield_now();
                }
                stopped.set();
            }).unwrap()
        };
        assert_eq!(scheduler.run_pending().handed(), 1);
        let left = scheduler.shutdown(HOUR);
        assert!(left.is_empty() || left[0].id == job.id());
        assert!(scheduler.shutdown(FOR_EVER).is_empty());
        // It may have been told before it began.
        let _ = stopped.is_set();
    }

    /// The last hold on a scheduler goes while runs of it go on or wait: all ends, and everything is dropped.
    the_last_scheduler_may_go_meanwhile {
        let (_, scheduler) = world(1);
        let (held, gone) = mpsc::channel::<()>();
        for _ in 0..2 {
            let held = held.clone();
            scheduler.reboot().background().do_with(move |run| {
                let _ = (&held, run.should_stop());
            }).unwrap();
        }
        drop(held);
        assert_eq!(scheduler.run_pending().handed(), 2);
        let weak = scheduler.downgrade();
        let other = thread::spawn(move || weak.upgrade().map(|scheduler| scheduler.run_pending().returned()));
        drop(scheduler);
        assert!(gone.recv().is_err());
        assert!(other.join().unwrap().is_none_or(|returned| returned <= 2));
    }

    /// Two poll, one registers and cancels, and time passes: no occurrence runs twice, and none before it is due.
    each_occurrence_runs_once_at_most {
        let (clock, scheduler) = world(1);
        let events = scheduler.events(1000);
        let runs: Arc<Mutex<Vec<DateTime<Utc>>>> = Arc::default();
        let early = Count::default();
        let job = {
            let (runs, early, clock) = (runs.clone(), early.clone(), clock.clone());
            scheduler.every(10).seconds().missed(Missed::RunAll { most: 100 }).do_with(move |run| {
                early.add((run.due() > clock.wall()).into());
                runs.lock().unwrap().push(run.due());
            }).unwrap()
        };
        let pollers: Vec<_> = (0..2).map(|_| {
            let scheduler = scheduler.clone();
            thread::spawn(move || for _ in 0..3 { let _ = scheduler.run_pending(); })
        }).collect();
        clock.advance(20 * SECOND);
        let other = scheduler.reboot().do_(|| ()).unwrap();
        clock.advance(20 * SECOND);
        other.cancel();
        pollers.into_iter().for_each(|poller| poller.join().unwrap());
        let _ = scheduler.run_pending();
        let mut dues = runs.lock().unwrap().clone();
        assert_eq!(dues.len() as u64, job.stats().runs);
        assert_eq!(early.get(), 0, "{dues:?}");
        let expected: Vec<DateTime<Utc>> = (1..=4).map(|n| start() + 10 * n * SECOND).collect();
        dues.sort_unstable();
        assert_eq!(dues, expected);
        all_came_back(events);
    }

    /// A cancelled job does not begin once the poll that was going on has ended.
    a_cancelled_job_does_not_begin {
        let (_, scheduler) = world(1);
        let (cancelled, begun) = (Flag::default(), Count::default());
        let job = { let begun = begun.clone(); scheduler.every(1).hour().background().do_(move || { begun.add(1); }).unwrap() };
        assert!(job.run_now());
        let poller = {
            let (scheduler, cancelled, begun) = (scheduler.clone(), cancelled.clone(), begun.clone());
            thread::spawn(move || {
                let _ = scheduler.run_pending();
                if cancelled.is_set() {
                    assert!(scheduler.shutdown(FOR_EVER).is_empty());
                    let before = begun.get();
                    let _ = scheduler.run_pending();
                    assert_eq!(begun.get(), before);
                }
            })
        };
        job.cancel();
        cancelled.set();
        poller.join().unwrap();
        assert!(begun.get() <= 1);
    }

    /// One of two at a time, though each run may go on beside others on two threads, and one of the jobs is cancelled.
    a_mutex_is_held_by_one {
        let (_, scheduler) = world(2);
        let (inside, most, ran) = (Count::default(), Count::default(), Count::default());
        let jobs: Vec<_> = (0..2).map(|_| {
            let (inside, most, ran) = (inside.clone(), most.clone(), ran.clone());
            scheduler.every(1).hour().immediately().mutex("db").background().do_(move || {
                most.0.fetch_max(inside.add(1), SeqCst);
                thread::yield_now();
                inside.0.fetch_sub(1, SeqCst);
                ran.add(1);
            }).unwrap()
        }).collect();
        let _ = scheduler.run_pending();
        let canceller = { let job = jobs[0].clone(); thread::spawn(move || job.cancel()) };
        host(&scheduler, || jobs[1].stats().runs == 1);
        canceller.join().unwrap();
        assert_eq!(most.get(), 1);
        assert!(scheduler.shutdown(FOR_EVER).is_empty());
    }

    /// A future that awaits the next due time is woken by what is asked for from another thread.
    a_future_is_woken {
        let (_, scheduler) = world(1);
        let ran = Flag::default();
        let other = {
            let (scheduler, ran) = (scheduler.clone(), ran.clone());
            thread::spawn(move || drop(scheduler.reboot().do_(move || ran.set()).unwrap()))
        };
        block_on(async {
            loop {
                let due = scheduler.due();
                let _ = scheduler.run_pending();
                if ran.is_set() {
                    break;
                }
                due.await;
            }
        });
        other.join().unwrap();
    }

    /// Two futures, of which each has to be woken by the end.
    two_futures_are_woken {
        let (_, scheduler) = world(1);
        let tasks: Vec<_> = (0..2).map(|_| {
            let due = scheduler.due();
            thread::spawn(move || block_on(due))
        }).collect();
        scheduler.wake();
        tasks.into_iter().for_each(|task| task.join().unwrap());
    }

    /// What an async host waits for at its end: a poll on another thread, and a run in the background.
    an_async_shutdown_is_woken {
        let (_, scheduler) = world(1);
        scheduler.reboot().background().do_(|| ()).unwrap();
        scheduler.reboot().do_(thread::yield_now).unwrap();
        let poller = { let scheduler = scheduler.clone(); thread::spawn(move || { let _ = scheduler.run_pending(); }) };
        assert_eq!(block_on(scheduler.shutdown_async(FOR_EVER)).len(), 0);
        poller.join().unwrap();
    }

    /// A future that would never be ready is told to stop: between its look and its rest too.
    a_future_does_not_sleep_through_a_stop {
        let (_, scheduler) = world(1);
        let spawn = |future| drop(thread::spawn(move || block_on(future)));
        let job = scheduler.reboot().do_future(spawn, |_| std::future::pending::<()>()).unwrap();
        assert_eq!(scheduler.run_pending().handed(), 1);
        let _ = job.cancel();
        // To shut down would tell it once more.
        while scheduler.run_pending().returned() == 0 {
            scheduler.wait(FOR_EVER);
        }
    }

    /// The same by shutting down, and the future is polled meanwhile by what it awaits.
    a_future_is_stopped_by_shutdown {
        let (_, scheduler) = world(1);
        let spawn = |future| drop(thread::spawn(move || block_on(future)));
        scheduler.reboot().do_future(spawn, |_| async {
            shuttle::future::yield_now().await;
            std::future::pending::<()>().await;
        }).unwrap();
        let poller = { let scheduler = scheduler.clone(); thread::spawn(move || { let _ = scheduler.run_pending(); }) };
        assert!(scheduler.shutdown(FOR_EVER).is_empty());
        poller.join().unwrap();
    }

    /// Events are kept for whoever waits for them, and come in order.
    an_event_ends_a_wait_for_it {
        let (_, scheduler) = world(1);
        let events = scheduler.events(100);
        let watcher = thread::spawn(move || {
            let mut told = Vec::new();
            while told.len() < 2 {
                told.extend(events.wait(FOR_EVER));
            }
            told.iter().map(|event| matches!(event, Event::Registered { .. })).collect::<Vec<bool>>()
        });
        let job = scheduler.every(1).hour().do_(|| ()).unwrap();
        job.cancel();
        assert_eq!(watcher.join().unwrap(), [true, false]);
    }

    /// With the scheduler gone there is nothing left to wait for.
    the_end_of_a_scheduler_ends_a_wait_for_its_events {
        let (_, scheduler) = world(1);
        let events = scheduler.events(100);
        let watcher = thread::spawn(move || events.wait(FOR_EVER).is_none());
        drop(scheduler);
        assert!(watcher.join().unwrap());
    }
}

/// What several polls did.
#[derive(Default)]
struct Sum {
    handed: usize,
    returned: usize,
}

impl Sum {
    fn add(&mut self, tick: Tick) {
        self.handed += tick.handed();
        self.returned += tick.returned();
    }
}
