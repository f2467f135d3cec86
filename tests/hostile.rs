//! Jobs that misbehave in every way they can: the others go on.

mod world;

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use punctual::{Backoff, Event, Outcome, Scheduler, WeakScheduler};
use world::{HOUR, SECOND, World};

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// An error that panics when it is printed and when it is dropped.
#[derive(Debug)]
struct Nasty;

impl fmt::Display for Nasty {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("in Display")
    }
}

impl StdError for Nasty {}

impl Drop for Nasty {
    fn drop(&mut self) {
        panic!("in an error's Drop");
    }
}

/// Runs a hostile job between two good ones, on the polling thread and in the background; both good ones have to run each hour.
fn beside_good_ones(world: &World, register: impl FnOnce(&Scheduler)) {
    world.scheduler.every(1).hour().priority(-1).do_(world.noting("before")).unwrap();
    register(&world.scheduler);
    world.scheduler.every(1).hour().priority(1).do_(world.noting("after")).unwrap();
    for hour in 0..3 {
        world.clock.advance(HOUR);
        for _ in 0..3 {
            let _ = world.scheduler.run_pending();
            world.held.run_all();
        }
        assert_eq!(world.noted(), "before after", "hour {hour}");
    }
}

#[test]
fn panics_with_any_payload() {
    type Payload = fn() -> Box<dyn Any + Send>;
    let payloads: [Payload; 5] = [
        || Box::new("text"),
        || Box::new(String::from("text")),
        || Box::new(42),
        || Box::new(Bomb("in a payload's Drop")),
        || Box::new(Box::new(Bomb("in a payload within a payload"))),
    ];
    for payload in payloads {
        let world = World::new();
        world.scheduler.on_event(|_| panic_any(Bomb("an observer's")));
        beside_good_ones(&world, |scheduler| {
            scheduler.every(1).hour().do_(move || -> () { std::panic::resume_unwind(payload()) }).unwrap();
            let job = scheduler.every(1).hour().background();
            job.do_(move || -> () { std::panic::resume_unwind(payload()) }).unwrap();
        });
        let jobs = world.scheduler.jobs();
        assert_eq!([jobs[1].stats.panics, jobs[2].stats.panics], [3, 3]);
    }
}

#[test]
fn errors_and_values_that_panic_when_they_are_dropped_or_printed() {
    let world = World::new();
    // Somebody who prints each event meets the panic, and is none the worse for it.
    world.scheduler.on_event(|event| drop(event.to_string()));
    let events = world.scheduler.events(2);
    beside_good_ones(&world, |scheduler| {
        let backoff = Backoff::constant(SECOND);
        scheduler.every(1).hour().retry(1).backoff(backoff).do_(|| Err::<(), _>(Nasty)).unwrap();
        scheduler.every(1).hour().background().do_(|| Err::<(), _>(Nasty)).unwrap();
        let value = scheduler.every(1).hour().do_(|| Ok::<_, String>(Bomb("a value"))).unwrap();
        scheduler.following(&value).do_(|| ()).unwrap();
        let value = scheduler.every(1).hour().background().do_(|| Ok::<_, String>(Bomb("a value")));
        value.unwrap();
    });
    assert!(events.lost() > 0);
    std::mem::forget(events);
    // The last of each is still held by the table's results.
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(world)));
    drop(caught);
}

#[test]
fn a_job_whose_captures_panic_when_they_are_dropped() {
    let world = World::new();
    beside_good_ones(&world, |scheduler| {
        let bomb = Bomb("a capture");
        let job = scheduler.every(1).hour().do_(move || {
            let _ = &bomb;
            Outcome::Cancel
        });
        job.unwrap();
        let bomb = Bomb("a capture");
        let job = scheduler.every(1).hour().background().do_(move || {
            let _ = &bomb;
            Outcome::Cancel
        });
        job.unwrap();
    });
    assert_eq!(world.scheduler.len(), 2);
}

#[test]
fn a_job_that_never_ends_holds_up_nobody() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::TimedOut { .. } => None,
        Event::Stray { .. } => Some("stray".to_owned()),
        _ => None,
    });
    let (gate, started) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(0)));
    let shut = gate.lock().unwrap();
    let (wait, count) = (gate.clone(), started.clone());
    let endless = world.scheduler.every(1).hour().named("endless").timeout(SECOND).background().do_(move || {
        *count.lock().unwrap() += 1;
        drop(wait.lock());
    });
    let endless = endless.unwrap();
    world.scheduler.every(1).hour().do_(world.noting("good")).unwrap();
    std::thread::scope(|scope| {
        for hour in 1..=3 {
            world.clock.advance(HOUR);
            let _ = world.scheduler.run_pending();
            let work = world.held.take();
            scope.spawn(move || work.run());
            while *started.lock().unwrap() < hour {
                std::thread::yield_now();
            }
            world.clock.advance(2 * SECOND);
            let _ = world.scheduler.run_pending();
            assert_eq!(world.noted(), "good");
        }
        assert_eq!(endless.stats().timeouts, 3);
        let left = world.scheduler.shutdown(std::time::Duration::ZERO);
        let left: Vec<String> = left.iter().map(|job| job.label()).collect();
        assert_eq!(left, ["endless"], "its runs had been given up, and go on");
        drop(shut);
    });
    // Those that ended after all are told of by whoever takes them in.
    let _ = world.scheduler.run_pending();
    assert_eq!(world.noted(), "stray stray stray");
}

#[test]
fn jobs_that_drop_poll_register_cancel_and_shut_down_their_scheduler() {
    type Deed = fn(&Scheduler);
    let deeds: [Deed; 8] = [
        |scheduler| {
            for _ in 0..100 {
                assert!(scheduler.run_pending().was_busy());
                assert!(scheduler.run_all().was_busy());
            }
        },
        |scheduler| {
            for _ in 0..1000 {
                drop(scheduler.reboot().do_(|| ()));
                drop(scheduler.reboot().background().do_(|| ()));
            }
        },
        |scheduler| assert!(scheduler.clear_tagged("hostile") > 0),
        |scheduler| {
            scheduler.pause();
            scheduler.resume();
        },
        |scheduler| scheduler.wake(),
        |scheduler| {
            scheduler.wait(std::time::Duration::ZERO);
        },
        |scheduler| {
            let scheduler = scheduler.clone();
            scheduler.clone().on_event(move |_| drop(scheduler.jobs()));
        },
        |scheduler| drop(scheduler.clone()),
    ];
    for (number, deed) in deeds.into_iter().enumerate() {
        let world = World::new();
        beside_good_ones(&world, |scheduler| {
            scheduler.every(1).hour().tag("hostile").do_with(move |run| deed(&run.scheduler())).unwrap();
            let weak: WeakScheduler = scheduler.downgrade();
            let job = scheduler.every(1).hour().tag("hostile").background();
            // Away from the polling thread a nested poll is a poll like any other.
            let job = job.do_(move || weak.upgrade().filter(|_| number > 0).iter().for_each(deed));
            job.unwrap();
        });
    }
    let world = World::new();
    world.scheduler.every(1).hour().do_(world.noting("before")).unwrap();
    world.scheduler.every(1).hour().do_with(|run| drop(run.scheduler().shutdown(HOUR))).unwrap();
    world.scheduler.every(1).hour().do_(world.noting("after")).unwrap();
    assert_eq!(world.after(HOUR), "before", "after a shutdown nothing starts");
}

#[test]
fn the_last_hold_may_go_anywhere() {
    // In a job, in a background job, in an observer, in a follower; what jobs hold is dropped each time.
    for place in 0..4 {
        let world = World::new();
        let alive = Arc::new(());
        let (held, watch) = (Arc::new(Mutex::new(Some(world.scheduler.clone()))), Arc::downgrade(&alive));
        let work = world.held.clone();
        let hold = held.clone();
        let release = move || drop(hold.lock().unwrap().take());
        let job = world.scheduler.every(1).hour().do_(move || drop(alive.clone())).unwrap();
        match place {
            0 => drop(world.scheduler.every(1).hour().do_(release).unwrap()),
            1 => drop(world.scheduler.every(1).hour().background().do_(release).unwrap()),
            2 => world.scheduler.on_event(move |_| release()),
            _ => drop(world.scheduler.following(&job).do_(release).unwrap()),
        }
        world.clock.advance(HOUR);
        let World { scheduler, .. } = world;
        let _ = scheduler.run_pending();
        drop(scheduler);
        work.run_all();
        assert!(held.lock().unwrap().is_none(), "{place}");
        assert!(watch.upgrade().is_none(), "{place}");
        assert!(!job.run_now() && job.snapshot().is_none(), "{place}");
    }
}

#[test]
fn a_job_that_poisons_its_own_lock() {
    let world = World::new();
    let own = Arc::new(Mutex::new(0));
    let (lock, other) = (own.clone(), own.clone());
    beside_good_ones(&world, move |scheduler| {
        let poisons = move || -> () {
            let _held = lock.lock();
            panic!("with the lock held");
        };
        scheduler.every(1).hour().do_(poisons).unwrap();
        let job = scheduler.every(1).hour().background();
        job.do_(move || other.lock().map(drop).map_err(|error| error.to_string())).unwrap();
    });
    let jobs = world.scheduler.jobs();
    assert_eq!((jobs[1].stats.panics, jobs[2].stats.errors), (3, 3));
}

#[test]
fn a_job_that_allocates_until_it_is_refused() {
    let world = World::new();
    beside_good_ones(&world, |scheduler| {
        let job = scheduler.every(1).hour().do_(|| {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                let mut more = Vec::new();
                more.try_reserve_exact(isize::MAX as usize / 2)?;
                all.push(more);
            }
            #[allow(unreachable_code, reason = "it gives the closure its type")]
            Ok::<(), std::collections::TryReserveError>(())
        });
        job.unwrap();
        let job = scheduler.every(1).hour().do_(|| drop(Vec::<u8>::with_capacity(usize::MAX)));
        job.unwrap();
    });
    let jobs = world.scheduler.jobs();
    assert_eq!((jobs[1].stats.errors, jobs[2].stats.panics), (3, 3));
}

#[test]
fn observers_and_callbacks_that_call_back_or_panic() {
    let world = World::new();
    let weak = world.scheduler.downgrade();
    world.scheduler.on_event(move |event| {
        if let (Event::Ended { .. }, Some(scheduler)) = (event, weak.upgrade()) {
            assert!(scheduler.run_pending().was_busy());
            let _ = (scheduler.jobs(), scheduler.idle(), scheduler.lateness());
            drop(scheduler.once_after(HOUR).tag("observer").do_(|| ()));
            panic!("an observer");
        }
    });
    let weak = world.scheduler.downgrade();
    world.scheduler.on_change(move || {
        let _ = weak.upgrade().map(|scheduler| scheduler.next_run());
        panic!("a callback");
    });
    beside_good_ones(&world, |_| {});
    assert!(world.scheduler.jobs_tagged("observer").len() >= 4);
}

#[test]
fn what_drops_asks_and_answers_under_no_lock() {
    /// Asks its scheduler when it is dropped: with the lock held that would never end.
    struct Asks(WeakScheduler);
    impl Drop for Asks {
        fn drop(&mut self) {
            let _ = self.0.upgrade().map(|scheduler| scheduler.len());
        }
    }
    impl punctual::Trigger for Asks {
        fn next_after(&self, after: chrono::DateTime<chrono::Utc>) -> Option<chrono::DateTime<chrono::Utc>> {
            Some(after + chrono::TimeDelta::hours(1))
        }
    }
    let world = World::new();
    let asks = || Asks(world.scheduler.downgrade());
    let job = world.scheduler.schedule(asks()).do_(|| ()).unwrap();
    job.reschedule("every hour".parse().unwrap()).unwrap();
    let (condition, worth) = (asks(), asks());
    let holds = move || condition.0.upgrade().is_some();
    let clears = world.scheduler.every(1).hour().when(holds).retry(1).retry_if(move |_| worth.0.upgrade().is_some());
    clears.do_with(|run| assert!(run.scheduler().clear() > 0)).unwrap();
    world.clock.advance(HOUR);
    let _ = world.scheduler.run_pending();
    assert!(world.scheduler.is_empty());
}

#[test]
fn a_zone_whose_code_panics() {
    static BROKEN: AtomicBool = AtomicBool::new(false);
    #[derive(Clone, Copy)]
    struct Panics;
    impl chrono::TimeZone for Panics {
        type Offset = chrono::FixedOffset;
        fn from_offset(_: &chrono::FixedOffset) -> Self {
            Panics
        }
        fn offset_from_local_date(&self, _: &chrono::NaiveDate) -> chrono::MappedLocalTime<chrono::FixedOffset> {
            panic!("a zone")
        }
        fn offset_from_local_datetime(&self, _: &chrono::NaiveDateTime) -> chrono::MappedLocalTime<chrono::FixedOffset> {
            panic!("a zone")
        }
        fn offset_from_utc_date(&self, _: &chrono::NaiveDate) -> chrono::FixedOffset {
            panic!("a zone")
        }
        fn offset_from_utc_datetime(&self, _: &chrono::NaiveDateTime) -> chrono::FixedOffset {
            assert!(!BROKEN.load(Ordering::Relaxed), "a zone");
            chrono::FixedOffset::east_opt(0).expect("an offset")
        }
    }
    let world = World::built(|builder| builder.zone(punctual::Zone::custom("Panics", Panics)));
    let daily = world.scheduler.every(1).minute().at(":00").do_(|| ()).unwrap();
    let hours = world.scheduler.every(1).minute().run_between("09:00", "17:00").do_(|| ()).unwrap();
    BROKEN.store(true, Ordering::Relaxed);
    world.scheduler.every(1).hour().in_zone(chrono::Utc).do_(world.noting("good")).unwrap();
    assert!(world.after(HOUR).ends_with("good"));
    assert_eq!(world.after(HOUR), "good");
    assert_eq!((daily.snapshot(), hours.stats().runs), (None, 0));
}

#[test]
fn an_observer_may_shut_down_and_register_from_within() {
    let world = World::new();
    let weak = world.scheduler.downgrade();
    let note = world.note();
    world.scheduler.on_event(move |event| {
        if let (Event::Clock(_), Some(scheduler)) = (event, weak.upgrade()) {
            scheduler.reboot().do_(|| ()).unwrap();
            note(&scheduler.shutdown(HOUR).len().to_string());
        }
    });
    world.clock.suspend(HOUR);
    assert_eq!(world.polled(), "0");
}

#[test]
fn a_waker_that_asks_the_scheduler_when_it_is_dropped() {
    /// A host's waker, which has its own idea of what to do when nobody needs it any more.
    struct Wakes(WeakScheduler, Arc<AtomicBool>);
    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Wakes {
        fn drop(&mut self) {
            // Under the lock of the scheduler this would wait for itself.
            let asked = self.0.upgrade().map(|scheduler| scheduler.len());
            self.1.fetch_or(asked.is_some(), Ordering::Relaxed);
        }
    }
    let world = World::new();
    let (weak, dropped) = (world.scheduler.downgrade(), Arc::new(AtomicBool::new(false)));
    let seen = dropped.clone();
    let spawn = move |mut future: punctual::JobFuture| {
        let waker = Arc::new(Wakes(weak.clone(), seen.clone())).into();
        let _ = std::pin::Pin::new(&mut future).poll(&mut std::task::Context::from_waker(&waker));
    };
    let fails = |_| async { Err::<(), _>("an error") };
    let job = world.scheduler.every(1).hour().retry(1).backoff(Backoff::constant(SECOND)).do_future(spawn, fails).unwrap();
    let _ = (world.after(HOUR), world.polled(), world.after(SECOND), world.polled());
    assert_eq!((job.stats().retries, job.stats().errors), (1, 1));
    assert!(dropped.load(Ordering::Relaxed));
}
