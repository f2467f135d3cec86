//! Many threads on one scheduler: all that may be called from any thread is, at random, and what must hold all the same is
//! counted. It ends after so many calls; with `PUNCTUAL_SECONDS=600` after so long a time, each of the two tests:
//!
//!     PUNCTUAL_SECONDS=600 cargo test --release --test threads -- --nocapture --test-threads=1
//!
//! Which steps meet is chance; `tests/model.rs` tries them out in small.
#![cfg(not(punctual_model))]

use std::cell::Cell;
use std::collections::VecDeque;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use fastrand::Rng;
use parking_lot::Mutex;
use punctual::{
    Backoff, Event, Executor, JobHandle, LastRun, ManualClock, Missed, Outcome, Overlap, Pool, RunEnd, RunView, Schedule,
    Scheduler, Tick, Work,
};

/// How many calls each thread makes that is told to make so many, and how many polls there are for each at least, so that
/// jobs come to run between all that is done to them.
const CALLS: u64 = 10_000;
const POLLS_A_CALL: u64 = 12;

/// How many jobs are kept at most, besides those that follow.
const JOBS: usize = 100;

/// By then it hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often each thread goes on calling after the end.
const AFTER_THE_END: u64 = 200;

thread_local! {
    /// Which poll goes on on this thread; 0 if that is not known.
    static POLL: Cell<u64> = const { Cell::new(0) };
}

/// How many hold something at once.
#[derive(Default)]
struct Holders {
    now: AtomicU64,
    most: AtomicU64,
}

impl Holders {
    fn hold(&self, work: impl FnOnce()) {
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        work();
        self.now.fetch_sub(1, SeqCst);
    }
}

/// What was counted.
#[derive(Default)]
struct Counts {
    calls: AtomicU64,
    polls: AtomicU64,
    begun: AtomicU64,
    ran: AtomicU64,
    runs: AtomicU64,
    registered: AtomicU64,
    handed: AtomicU64,
    returned: AtomicU64,
    accepted: AtomicU64,
    changes: AtomicU64,
    /// Of background jobs: attempts that started, ended, were tried again, timed out, came back after they were given up.
    started: AtomicU64,
    ended: AtomicU64,
    stopped: AtomicU64,
    retried: AtomicU64,
    timed_out: AtomicU64,
    strays: AtomicU64,
    /// Those that ended as stopped and may have waited for another attempt then, instead of going on.
    perhaps_waiting: AtomicU64,
    /// What must not be.
    clock_changes: AtomicU64,
    after_cancel: AtomicU64,
    after_end: AtomicU64,
    mutex: Holders,
    three: Holders,
    over: AtomicBool,
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, SeqCst);
}

/// What is known of one job.
#[derive(Default)]
struct Record {
    called: AtomicU64,
    /// The last poll that may call it, once it is cancelled; 0 before.
    last_poll: AtomicU64,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Inline,
    Steps,
    Retry,
    Background,
    BackgroundRetry,
}

struct Known {
    job: JobHandle,
    record: Arc<Record>,
    kind: Kind,
}

struct World {
    scheduler: Scheduler,
    manual: Option<ManualClock>,
    counts: Arc<Counts>,
    jobs: Mutex<VecDeque<Arc<Known>>>,
    runtime: tokio::runtime::Runtime,
    /// Until when it goes on, if not for so many calls.
    end: Option<Instant>,
}

/// A pool that counts what it takes.
struct Counting(Pool, Arc<Counts>);

impl Executor for Counting {
    fn execute(&self, work: Work) -> Result<(), Work> {
        self.0.execute(work).inspect(|()| add(&self.1.accepted))
    }
}

impl World {
    fn new(manual: Option<ManualClock>) -> World {
        let counts = Arc::new(Counts::default());
        let builder = Scheduler::builder().zone(Utc).executor(Counting(Pool::new(3).queue(2), counts.clone()));
        let scheduler = match &manual {
            Some(clock) => builder.clock(clock.clone()).build(),
            None => builder.build(),
        };
        let told = counts.clone();
        let weak = scheduler.downgrade();
        scheduler.on_event(move |event| {
            let of_background = |name: &Option<Arc<str>>| name.as_ref().is_some_and(|name| name.starts_with('b'));
            match event {
                Event::Started(run) if of_background(&run.name) => add(&told.started),
                Event::Ended { run, end, .. } if of_background(&run.name) => {
                    add(&told.ended);
                    told.stopped.fetch_add(u64::from(*end == RunEnd::Stopped), SeqCst);
                    if *end == RunEnd::Stopped && run.name.as_deref() == Some("b, retry") {
                        add(&told.perhaps_waiting);
                    }
                }
                Event::Retried { name, .. } if of_background(name) => add(&told.retried),
                Event::TimedOut { name, .. } if of_background(name) => add(&told.timed_out),
                Event::Stray { name, .. } if of_background(name) => add(&told.strays),
                Event::Clock(_) => add(&told.clock_changes),
                // An observer may call anything.
                Event::Removed { .. } => drop(weak.upgrade().map(|scheduler| scheduler.len())),
                _ => {}
            }
        });
        let changes = counts.clone();
        scheduler.on_change(move || add(&changes.changes));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let seconds = std::env::var("PUNCTUAL_SECONDS").ok().and_then(|text| text.parse().ok());
        let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        World { scheduler, manual, counts, jobs: Mutex::default(), runtime, end }
    }

    /// Whether a thread has called often enough.
    fn enough(&self, calls: u64) -> bool {
        self.end.map_or(calls >= CALLS, |end| Instant::now() >= end)
    }

    fn polled(&self, poll: impl FnOnce(&Scheduler) -> Tick) {
        POLL.set(self.counts.begun.fetch_add(1, SeqCst) + 1);
        let tick = poll(&self.scheduler);
        POLL.set(0);
        add(&self.counts.polls);
        self.counts.ran.fetch_add(tick.ran() as u64, SeqCst);
        self.counts.handed.fetch_add(tick.handed() as u64, SeqCst);
        self.counts.returned.fetch_add(tick.returned() as u64, SeqCst);
        assert!(!tick.was_busy() || tick.ran() + tick.handed() + tick.returned() == 0);
    }

    fn any(&self, rng: &mut Rng) -> Option<Arc<Known>> {
        let jobs = self.jobs.lock();
        rng.choice(0..jobs.len()).map(|place| jobs[place].clone())
    }

    /// What every job does first: it is not called when it must not be.
    fn called(counts: &Counts, record: &Record, run: &RunView) {
        let (last, poll) = (record.last_poll.load(SeqCst), POLL.get());
        if last > 0 && (poll > last || !run.should_stop()) {
            add(&counts.after_cancel);
        }
        if counts.over.load(SeqCst) {
            add(&counts.after_end);
        }
        add(&record.called);
        add(&counts.runs);
    }

    fn register(&self, rng: &mut Rng) {
        let record = Arc::new(Record::default());
        let (counts, seen) = (self.counts.clone(), record.clone());
        let every = self.scheduler.every_period(Duration::from_micros(rng.u64(300..30_000)));
        let every = if rng.bool() { every.immediately() } else { every };
        let every = if rng.bool() { every.missed(Missed::RunAll { most: 3 }) } else { every };
        let every = if rng.u8(0..4) == 0 { every.tag("some") } else { every };
        let backoff = Backoff::constant(Duration::from_micros(500));
        let long = rng.u32(0..2000);
        let kind = rng.u8(0..10);
        let (kind, job) = match kind {
            0 => (Kind::Inline, every.named("inline").do_with(move |run| World::called(&counts, &seen, run))),
            1 => {
                let job = every.named("inline, alone").mutex("one");
                (
                    Kind::Inline,
                    job.do_with(move |run| {
                        World::called(&counts, &seen, run);
                        counts.mutex.hold(|| spin(long));
                    }),
                )
            }
            2 => (
                Kind::Steps,
                every.named("steps").mutex("steps").do_with(move |run| {
                    World::called(&counts, &seen, run);
                    if run.turn() < 2 { Outcome::Yield } else { Outcome::Done }
                }),
            ),
            3 => {
                let job = every.named("retry").retry(2).backoff(backoff);
                (
                    Kind::Retry,
                    job.do_with(move |run| {
                        World::called(&counts, &seen, run);
                        if run.attempt() == 2 { Outcome::Done } else { Outcome::Retry }
                    }),
                )
            }
            4 => {
                let job = every.named("b, alone").mutex("one").overlap(Overlap::Allow { most: 2 }).background();
                (
                    Kind::Background,
                    job.do_with(move |run| {
                        World::called(&counts, &seen, run);
                        counts.mutex.hold(|| spin(long));
                    }),
                )
            }
            5 => {
                let job = every.named("b, three at once").at_most(3, "three").overlap(Overlap::Allow { most: 4 }).background();
                (
                    Kind::Background,
                    job.do_with(move |run| {
                        World::called(&counts, &seen, run);
                        counts.three.hold(|| spin(long));
                    }),
                )
            }
            6 => {
                let job =
                    every.named("b, timed").timeout(Duration::from_micros(200)).overlap(Overlap::Queue { most: 2 }).background();
                (
                    Kind::Background,
                    job.do_with(move |run| {
                        World::called(&counts, &seen, run);
                        (0..long).take_while(|_| !run.should_stop()).for_each(|_| spin(10));
                    }),
                )
            }
            7 => {
                let job = every.named("b, retry").retry(1).backoff(backoff).background();
                (
                    Kind::BackgroundRetry,
                    job.do_with(move |run| {
                        World::called(&counts, &seen, run);
                        if run.attempt() == 2 { Outcome::Done } else { Outcome::Retry }
                    }),
                )
            }
            8 => {
                let handle = self.runtime.handle().clone();
                let job = every.named("b, async").overlap(Overlap::Allow { most: 3 });
                (
                    Kind::Background,
                    job.do_future(
                        move |future| drop(handle.spawn(future)),
                        move |run| {
                            World::called(&counts, &seen, &run);
                            async { tokio::task::yield_now().await }
                        },
                    ),
                )
            }
            _ => {
                let job = every.named("b").overlap(Overlap::Allow { most: 3 }).background();
                (Kind::Background, job.do_with(move |run| World::called(&counts, &seen, run)))
            }
        };
        let Ok(job) = job else { return };
        add(&self.counts.registered);
        let mut jobs = self.jobs.lock();
        jobs.push_back(Arc::new(Known { job, record, kind }));
        let oldest = if jobs.len() > JOBS { jobs.pop_front() } else { None };
        drop(jobs);
        if let Some(oldest) = oldest {
            self.cancel(&oldest);
        }
    }

    fn cancel(&self, known: &Known) {
        known.job.cancel();
        // A poll that is called from now on has a higher number.
        known.record.last_poll.store(self.counts.begun.load(SeqCst).max(1), SeqCst);
        check(known);
        assert!(known.job.snapshot().is_none() && !known.job.cancel());
    }

    fn follow(&self, rng: &mut Rng) {
        let (Some(one), Some(other)) = (self.any(rng), self.any(rng)) else { return };
        let counts = self.counts.clone();
        let run = move || add(&counts.runs);
        let scheduler = &self.scheduler;
        // Any of them may be gone, and so may the scheduler.
        let _ = match rng.u8(0..6) {
            0 => scheduler.following(&one.job).do_(run).map(drop),
            1 => scheduler.following(&one.job).named("b, following").background().do_(run).map(drop),
            2 => scheduler.following_all((&one.job, &other.job)).do_(run).map(drop),
            3 => scheduler.following_any([&one.job, &other.job]).delay(Duration::from_millis(1)).do_(run).map(drop),
            4 => scheduler.following(&one.job).on_end().do_with(move |_, _: &LastRun| run()).map(drop),
            _ => one.job.also_after(&other.job),
        };
    }

    fn ask(&self, rng: &mut Rng) {
        let Some(known) = self.any(rng) else { return };
        let job = &known.job;
        match rng.u8(0..8) {
            0 | 1 => drop(job.run_now()),
            2 => drop(job.pause()),
            3 | 4 => drop(job.resume()),
            5 => {
                let schedule = Schedule::every_period(Duration::from_micros(rng.u64(500..20_000))).build().expect("a period");
                drop(job.reschedule(schedule));
            }
            6 => drop((job.next_run(), job.last_run(), job.last_error(), job.progress())),
            _ => check(&known),
        }
    }

    fn rest(&self, rng: &mut Rng, runtime: &tokio::runtime::Runtime) {
        let scheduler = &self.scheduler;
        if let Some(clock) = &self.manual {
            clock.advance(Duration::from_micros(rng.u64(0..5_000)));
        }
        match rng.u8(0..16) {
            0 => scheduler.pause(),
            1 => runtime.block_on(scheduler.due()),
            2 => drop(scheduler.wait(Duration::from_micros(rng.u64(0..2_000)))),
            3..7 => scheduler.wake(),
            _ => {}
        }
        scheduler.resume();
    }
}

/// Work that takes a while.
fn spin(long: u32) {
    (0..long).for_each(|_| spin_loop());
}

/// A job's figures agree with each other and with what was counted.
fn check(known: &Known) {
    let stats = known.job.stats();
    assert!(stats.errors + stats.panics + stats.timeouts + stats.stopped <= stats.runs, "{stats:?}");
    let called = known.record.called.load(SeqCst);
    match known.kind {
        Kind::Inline | Kind::Steps | Kind::Retry => assert!(stats.runs <= called + stats.stopped, "{stats:?}, called {called}"),
        Kind::Background => {
            assert!(stats.runs - stats.stopped - stats.timeouts <= called, "{stats:?}, called {called}");
        }
        Kind::BackgroundRetry => assert!(stats.runs - stats.stopped <= called, "{stats:?}, called {called}"),
    }
}

/// Aborts the process, and says so, if it is not called off in time.
fn watchdog(what: &'static str, patience: Duration) -> Sender<()> {
    let (call_off, called_off) = channel();
    thread::spawn(move || {
        if called_off.recv_timeout(patience) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{what}: nothing has moved to an end within {patience:?}: a deadlock");
            std::process::abort();
        }
    });
    call_off
}

static SEED: LazyLock<u64> =
    LazyLock::new(|| std::env::var("PUNCTUAL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..)));

fn storm(what: &'static str, manual: Option<ManualClock>) {
    let world = World::new(manual);
    let patience = world.end.map_or(PATIENCE, |end| PATIENCE + end.saturating_duration_since(Instant::now()));
    let call_off = watchdog(what, patience);
    let began = Instant::now();
    println!("{what}: PUNCTUAL_SEED={}", *SEED);
    let counts = &world.counts;
    let over = || counts.over.load(SeqCst);
    let (enough, all_had_enough) = channel::<()>();
    // Calls something again and again until the end and a while longer. One with a sender keeps in step with the polls, and
    // lets go of it once it has called often enough.
    let again = |number: u64, enough: Option<Sender<()>>, mut call: Box<dyn FnMut(&mut Rng) + Send + '_>| {
        let mut rng = Rng::with_seed(*SEED ^ number);
        let (mut calls, mut since, mut enough) = (0, 0, enough);
        while since < AFTER_THE_END {
            if enough.is_some() && calls * POLLS_A_CALL > counts.polls.load(SeqCst) {
                thread::yield_now();
                continue;
            }
            call(&mut rng);
            calls += 1;
            since += u64::from(over());
            if enough.is_some() && world.enough(calls) {
                enough = None;
            }
        }
        counts.calls.fetch_add(calls, SeqCst);
    };
    let (again, world) = (&again, &world);
    let left = thread::scope(|scope| {
        let thread = |number, enough: Option<Sender<()>>, call: Box<dyn FnMut(&mut Rng) + Send>| {
            scope.spawn(move || again(number, enough, call));
        };
        thread(
            1,
            None,
            Box::new(|rng| {
                world.polled(Scheduler::run_pending);
                world.scheduler.wait(Duration::from_micros(rng.u64(0..500)));
            }),
        );
        thread(
            2,
            None,
            Box::new(|rng| match rng.u8(0..32) {
                0 => world.polled(Scheduler::run_all),
                1 => {
                    let spawned = world.scheduler.spawn().expect("a thread");
                    world.scheduler.wait(Duration::from_micros(rng.u64(0..500)));
                    assert!(spawned.stop().is_some());
                }
                _ => world.polled(|scheduler| scheduler.run_pending_within(Duration::from_micros(200))),
            }),
        );
        thread(3, Some(enough.clone()), Box::new(|rng| world.register(rng)));
        thread(
            4,
            Some(enough.clone()),
            Box::new(|rng| match rng.u16(0..1000) {
                0 => drop(world.scheduler.clear_tagged("some")),
                _ => {
                    let known = {
                        let mut jobs = world.jobs.lock();
                        let place = rng.choice(JOBS / 2..jobs.len());
                        place.and_then(|place| jobs.remove(place))
                    };
                    known.iter().for_each(|known| world.cancel(known));
                }
            }),
        );
        thread(5, Some(enough.clone()), Box::new(|rng| world.ask(rng)));
        thread(
            6,
            Some(enough),
            Box::new(|rng| {
                if world.scheduler.len() < 3 * JOBS {
                    world.follow(rng);
                }
                if rng.u8(0..64) == 0 {
                    let jobs = world.scheduler.jobs();
                    assert!(jobs.windows(2).all(|pair| pair[0].id < pair[1].id));
                    drop((world.scheduler.next_run(), world.scheduler.idle(), world.scheduler.lateness(), jobs.to_string()));
                }
            }),
        );
        let mut events = world.scheduler.events(64);
        thread(
            7,
            None,
            Box::new(move |rng| {
                match rng.u8(0..4) {
                    0 => drop(events.wait(Duration::from_micros(200))),
                    1 => events = world.scheduler.events(rng.usize(0..64)),
                    _ => assert!(events.by_ref().take(64).count() <= 64),
                }
                let _ = events.lost();
            }),
        );
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        thread(8, None, Box::new(move |rng| world.rest(rng, &runtime)));
        scope
            .spawn(move || {
                // Until each that counts its calls has let go.
                let _ = all_had_enough.recv();
                let left = world.scheduler.shutdown(PATIENCE);
                counts.over.store(true, SeqCst);
                left
            })
            .join()
            .expect("no panic")
    });
    drop(call_off);
    let count = |count: &AtomicU64| count.load(SeqCst);
    let took = began.elapsed();
    println!(
        "{what}: {} calls, {} registrations, {} polls, {} runs of which {} were handed to the pool, {} changes told, in {took:.1?}",
        count(&counts.calls),
        count(&counts.registered),
        count(&counts.polls),
        count(&counts.runs),
        count(&counts.accepted),
        count(&counts.changes),
    );
    // What has more to do at a later poll is named; what was in the background has come back.
    for job in left.iter() {
        let name = job.name.as_deref().unwrap_or_default();
        assert!(name == "steps", "{job} has ended");
    }
    assert!(world.scheduler.shutdown(Duration::ZERO).len() <= left.len());
    assert!(count(&counts.mutex.most) == 1 && count(&counts.mutex.now) == 0, "{} held it at once", count(&counts.mutex.most));
    assert!(count(&counts.three.most) <= 3 && count(&counts.three.now) == 0);
    assert_eq!(count(&counts.after_cancel), 0, "runs after cancel");
    assert_eq!(count(&counts.after_end), 0, "runs after shutdown");
    // Each attempt that started has ended or was tried again, once; of those that were given up some came back later.
    let (started, told) = (count(&counts.started), count(&counts.ended) + count(&counts.retried));
    let at_most = started + count(&counts.perhaps_waiting);
    assert!((started..=at_most).contains(&told), "{started} to {at_most} started, {told} ended");
    let given_up = count(&counts.stopped) + count(&counts.timed_out);
    assert!(count(&counts.strays) <= given_up, "{} strays of {given_up}", count(&counts.strays));
    assert!(count(&counts.returned) <= count(&counts.handed) + count(&counts.started));
    if world.manual.is_some() {
        assert_eq!(count(&counts.clock_changes), 0, "time only passed");
    }
    world.jobs.lock().iter().for_each(|known| check(known));
    assert!(count(&counts.runs) > 0 && count(&counts.accepted) > 0);
}

#[test]
fn many_threads_on_the_machines_clock() {
    storm("the machine's clock", None);
}

#[test]
fn many_threads_on_a_manual_clock() {
    storm("a manual clock", Some(ManualClock::new("2026-03-01T10:00:00Z".parse().expect("an instant"))));
}
