//! Runs away from the polling thread: they never hold it up, always come back, and are never too many.

#[path = "background/retired.rs"]
mod retired;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use punctual::{Backoff, Event, LateBy, ManualClock, MemoryStore, Missed, Outcome, Overlap, Pool, RunEnd, Scheduler};
use world::{HOUR, MINUTE, SECOND, World};

#[test]
fn results_come_back_at_the_next_poll_and_are_followed_on_its_thread() {
    let world = World::new();
    let (clock, note) = (world.clock.clone(), world.note());
    let found = world.scheduler.every(1).hour().named("fetch").background().do_with(move |run| {
        clock.advance(90 * SECOND);
        note(&format!("fetched,{:?}-late-by-{:?}", run.late(), run.late_by()));
        Ok::<_, String>(42)
    });
    let found = found.unwrap();
    let (note, here) = (world.note(), std::thread::current().id());
    let follower = world.scheduler.following(&found).do_with(move |run, n: &i32| {
        assert_eq!(std::thread::current().id(), here);
        note(&format!("followed-{n}-of-{}", run.follows().and_then(|run| run.name.clone()).unwrap_or_default()));
    });
    follower.unwrap();
    world.clock.advance(HOUR);
    let tick = world.scheduler.run_pending();
    assert_eq!((tick.ran(), tick.handed(), tick.returned()), (0, 1, 0));
    assert!(world.scheduler.jobs()[0].running);
    world.clock.advance(10 * SECOND);
    std::thread::scope(|scope| {
        scope.spawn(|| world.held.run());
    });
    assert_eq!(world.scheduler.idle(), Some(Duration::ZERO), "there is something to take in");
    assert_eq!(world.noted(), "fetched,10s-late-by-Pool");
    let tick = world.scheduler.run_pending();
    assert_eq!((tick.ran(), tick.handed(), tick.returned()), (1, 0, 1));
    assert_eq!(world.noted(), "followed-42-of-fetch");
    let last = found.last_run().unwrap();
    assert_eq!((last.end, last.took, last.late), (RunEnd::Done, 90 * SECOND, 10 * SECOND));
    assert_eq!(found.last_value().as_deref(), Some(&42));
}

/// Also if what happened to the clocks looks as if nothing had: they went ahead while the machine slept, and were set back.
#[test]
fn a_run_ends_when_it_does_whatever_happens_to_the_clocks_meanwhile() {
    let world = World::new();
    let pause = world.scheduler.every(10).minutes().after_completion().overlap(Overlap::Skip);
    pause.background().do_(|| ()).unwrap();
    let happens: [&dyn Fn(); 4] = [
        &|| world.clock.advance(MINUTE),
        &|| world.clock.suspend(HOUR),
        &|| world.clock.step(chrono::TimeDelta::hours(-1)),
        &|| {
            world.clock.suspend(HOUR);
            let _ = world.scheduler.run_pending();
            world.clock.step(chrono::TimeDelta::hours(-1));
        },
    ];
    for happens in happens {
        world.clock.advance(10 * MINUTE);
        assert_eq!(world.scheduler.run_pending().handed(), 1);
        happens();
        world.held.run();
        world.clock.advance(MINUTE);
        assert_eq!(world.scheduler.run_pending().returned(), 1);
        assert_eq!(world.scheduler.idle(), Some(9 * MINUTE));
        world.clock.advance(9 * MINUTE);
        assert_eq!(world.scheduler.run_pending().handed(), 1);
        world.held.run();
        assert_eq!(world.scheduler.run_pending().returned(), 1);
    }
}

#[test]
fn an_occurrence_that_comes_while_a_run_goes_on_is_dealt_with_as_the_job_says() {
    // For each policy: how many are handed over at 11:00, 12:00 and 13:00 while none comes back, how many wait and were
    // dropped by then, and how many are handed over once all have come back.
    let rows = [
        (Overlap::Skip, [1, 0, 0], 2, [0, 0]),
        (Overlap::Queue { most: 1 }, [1, 0, 0], 1, [1, 0]),
        (Overlap::Queue { most: 5 }, [1, 0, 0], 0, [1, 1]),
        (Overlap::Allow { most: 2 }, [1, 1, 0], 1, [0, 0]),
        (Overlap::CancelRunning, [1, 1, 1], 0, [0, 0]),
    ];
    for (overlap, handed, dropped, later) in rows {
        let world = World::new();
        let job = world.scheduler.every(1).hour().overlap(overlap).background().do_(|| ()).unwrap();
        let polls = handed.map(|_| {
            world.clock.advance(HOUR);
            world.scheduler.run_pending().handed()
        });
        assert_eq!(polls, handed, "{overlap:?}");
        assert_eq!(job.stats().dropped, dropped, "{overlap:?}");
        let polls = later.map(|_| {
            world.held.run_all();
            world.scheduler.run_pending().handed()
        });
        assert_eq!(polls, later, "{overlap:?}");
        world.held.run_all();
        let _ = world.polled();
        let stats = job.stats();
        assert_eq!(stats.runs + dropped, 3, "{overlap:?}");
        assert_eq!(stats.stopped, if overlap == Overlap::CancelRunning { 2 } else { 0 }, "{overlap:?}");
    }
}

#[test]
fn a_run_beyond_its_time_is_told_to_stop_and_its_place_is_free() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::TimedOut { limit, .. } => Some(format!("timed-out-{limit:?}")),
        Event::Stray { took, .. } => Some(format!("stray-{took:?}")),
        _ => None,
    });
    let (clock, note) = (world.clock.clone(), world.note());
    let job = world.scheduler.every(1).hour().timeout(10 * MINUTE).mutex("db").background().do_with(move |run| {
        note(if run.should_stop() { "stop" } else { "go" });
        clock.advance(20 * MINUTE);
        note(if run.should_stop() { "stop" } else { "go" });
    });
    let job = job.unwrap();
    world.scheduler.cron("30 11 * * *").mutex("db").do_(world.noting("other")).unwrap();
    world.clock.advance(HOUR);
    let _ = world.scheduler.run_pending();
    // It waits for a thread: its time has not begun.
    assert_eq!(world.after(20 * MINUTE), "");
    let work = world.held.take();
    work.run();
    assert_eq!(world.noted(), "go stop");
    // It came back before anybody saw that its time was up: that is told, and its own result counts.
    assert_eq!(world.polled(), "timed-out-600s other");
    assert_eq!(job.stats().runs, 1);

    // One that goes on and on is given up; it keeps what it holds until it really ends.
    let world = World::new();
    world.noting_events(|event| match event {
        Event::TimedOut { limit, .. } => Some(format!("timed-out-{limit:?}")),
        Event::Stray { .. } => Some("stray".to_owned()),
        _ => None,
    });
    let (inside, ended) = (Arc::new(Mutex::new(())), Arc::new(AtomicU32::new(0)));
    let (hold, count) = (inside.clone(), ended.clone());
    let (tell, told) = std::sync::mpsc::channel();
    let tell = Mutex::new(tell);
    let job = world.scheduler.every(1).hour().timeout(10 * MINUTE).mutex("db").background().do_with(move |run| {
        tell.lock().send(()).unwrap();
        drop(hold.lock());
        count.fetch_add(u32::from(run.should_stop()), Ordering::Relaxed);
        Ok::<_, String>(1)
    });
    let job = job.unwrap();
    let follower = world.scheduler.following(&job).do_(|| ()).unwrap();
    let guard = inside.lock();
    std::thread::scope(|scope| {
        world.clock.advance(HOUR);
        let _ = world.scheduler.run_pending();
        let work = world.held.take();
        let thread = scope.spawn(move || work.run());
        told.recv().unwrap();
        assert_eq!(world.after(11 * MINUTE), "timed-out-600s");
        assert_eq!((job.stats().runs, job.stats().timeouts), (1, 1));
        assert_eq!(job.last_run().map(|run| run.end), Some(RunEnd::TimedOut));
        assert!(!world.scheduler.jobs()[0].running, "its place is free");
        assert_eq!(world.after(HOUR), "");
        assert_eq!(world.held.len(), 0, "but the limit is held still");
        drop(guard);
        thread.join().unwrap();
    });
    assert_eq!(world.polled(), "stray");
    assert_eq!(world.held.len(), 1, "now the next one goes out");
    assert_eq!(ended.load(Ordering::Relaxed), 1);
    assert_eq!(follower.stats().runs, 0, "a result that came too late is followed by nobody");
}

#[test]
fn a_full_executor_holds_jobs_back_in_their_order_and_what_they_miss_folds() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::Blocked { name, by, .. } => Some(format!("{}:{by:?}", name.as_deref().unwrap_or_default())),
        Event::Started(run) => Some(format!("{}*{}", run.name.as_deref().unwrap_or_default(), run.folded)),
        _ => None,
    });
    *world.held.room.lock() = 1;
    for (name, priority) in [("c", 1), ("a", -1), ("b", 0)] {
        world.scheduler.every(1).hour().named(name).priority(priority).background().do_(|| ()).unwrap();
    }
    assert_eq!(world.after(HOUR), "a*1 b:PoolFull c:PoolFull");
    assert_eq!(world.after(HOUR + MINUTE), "", "b and c miss an occurrence, a is still out");
    world.held.run();
    assert_eq!(world.polled(), "b*2");
    world.held.run();
    assert_eq!(world.polled(), "c*2");
    assert_eq!(world.scheduler.jobs()[0].stats.dropped, 0);
    assert!(world.scheduler.lateness().by(LateBy::Pool).runs >= 2, "{}", world.scheduler.lateness());

    // With room for none it is tried again now and then, without a storm of attempts.
    *world.held.room.lock() = 0;
    world.held.run_all();
    let _ = world.after(3 * HOUR);
    *world.held.room.lock() = 9;
    assert_eq!(world.after(Duration::from_millis(99)), "");
    assert_eq!(world.after(Duration::from_millis(1)), "a*3 b*3 c*3");
}

/// Both its runs are about to start together, since that is written at once.
#[test]
fn a_kept_job_that_finds_no_room_twice_stands_in_line_once() {
    let world = World::built(|builder| builder.store(MemoryStore::new(ManualClock::new(world::at("01T10:00")))));
    let job = world.scheduler.every(1).hour().overlap(Overlap::Allow { most: 2 }).retry(1).named("job");
    let job = job.backoff(Backoff::constant(10 * MINUTE)).background().do_(|| Err::<(), _>("no")).unwrap();
    let _ = (world.after(HOUR), world.after(HOUR), world.polled());
    for _ in 0..2 {
        world.held.run();
        let _ = world.after(MINUTE);
    }
    assert_eq!(world.held.len(), 0, "both failed, and are tried again");
    *world.held.room.lock() = 0;
    let _ = (world.after(20 * MINUTE), world.polled());
    job.cancel();
    *world.held.room.lock() = 9;
    world.clock.advance(MINUTE);
    let other = world.scheduler.reboot().background().do_(|| ()).unwrap();
    let _ = world.polled();
    assert_eq!(world.held.len(), 1, "{}", world.scheduler.why(&other));
}

#[test]
fn each_occurrence_runs_once_whatever_the_executor_refuses() {
    for missed in [Missed::RunOnce, Missed::RunAll { most: 100 }] {
        let world = World::new();
        world.noting_events(|event| Some(event.to_string()));
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = seen.clone();
        let job = world.scheduler.every(1).minute().times(20).missed(missed).background().do_with(move |run| {
            log.lock().push(format!("{}+{}", run.due().format("%H:%M"), run.folded()));
        });
        let job = job.unwrap();
        for minute in 0..40 {
            *world.held.room.lock() = usize::from(minute % 3 == 0);
            world.clock.advance(MINUTE);
            let _ = world.scheduler.run_pending();
            world.held.run_all();
        }
        let _ = world.scheduler.run_pending();
        let stats = job.stats();
        assert_eq!(stats.runs, seen.lock().len() as u64);
        assert_eq!(stats.dropped, 0, "{}", world.noted());
        let mut due: Vec<_> = seen.lock().clone();
        due.dedup();
        assert_eq!(due.len() as u64, stats.runs, "{missed:?}: {due:?}");
    }
}

#[test]
fn what_an_executor_drops_or_breaks_is_a_lost_run_and_the_next_goes_out() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::Failed(failure) => Some(failure.kind.to_string().replace(' ', "-")),
        _ => None,
    });
    let job = world.scheduler.every(1).hour().background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    drop(world.held.take());
    assert_eq!(world.polled(), "was-dropped-by-the-executor-before-it-ended");
    assert_eq!((job.stats().errors, job.last_run().map(|run| run.end)), (1, Some(RunEnd::Lost)));
    let _ = world.after(HOUR);
    world.held.run();
    let _ = world.polled();
    assert_eq!(job.stats().runs, 2);

    // It panics as it is given work.
    let world = World::built(|builder| builder.executor(|_| panic!("no executor")));
    let job = world.scheduler.every(1).hour().background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    let _ = world.polled();
    assert_eq!(job.stats().errors, 1);
}

#[test]
fn in_the_background_a_panic_a_yield_and_a_cancel_do_as_elsewhere() {
    let world = World::new();
    let (note, clock) = (world.note(), world.clock.clone());
    let job = world.scheduler.every(1).hour().background().do_with(move |run| {
        note(&format!("{}.{}", run.attempt(), run.turn()));
        clock.advance(Duration::from_secs(1));
        match run.turn() {
            0 => Outcome::Yield,
            1 => Outcome::Cancel,
            _ => unreachable!(),
        }
    });
    let panics = world.scheduler.every(1).hour().background().do_(|| -> () { panic!("in the background") }).unwrap();
    world.clock.advance(HOUR);
    for _ in 0..4 {
        let _ = world.scheduler.run_pending();
        world.held.run_all();
    }
    assert_eq!(world.noted(), "1.0 1.1");
    let job = job.unwrap();
    assert_eq!(job.last_run().unwrap().took, 2 * Duration::from_secs(1), "of both its turns");
    assert_eq!((job.stats().runs, panics.stats().panics, world.scheduler.len()), (1, 1, 1));
}

#[test]
fn a_job_cancelled_or_dropped_with_its_scheduler_is_told_to_stop() {
    let world = World::new();
    let stops = Arc::new(AtomicU32::new(0));
    let count = stops.clone();
    let run = move |run: &punctual::RunView| {
        count.fetch_add(u32::from(run.should_stop()) + 1, Ordering::Relaxed);
    };
    let job = world.scheduler.every(1).hour().background().do_with(run.clone()).unwrap();
    let other = world.scheduler.every(1).hour().named("other").background().do_with(run).unwrap();
    let _ = world.after(HOUR);
    assert!(job.cancel());
    assert_eq!(job.stats().stopped, 1);
    world.held.run();
    assert_eq!(stops.load(Ordering::Relaxed), 0, "it had not begun, so it is not run at all");
    let _ = world.polled();
    let left: Vec<_> = world.scheduler.shutdown(Duration::ZERO).iter().map(|job| job.id).collect();
    assert_eq!(left, [other.id()], "one is out");
    let work = world.held.take();
    drop(world.scheduler);
    work.run();
    assert_eq!(stops.load(Ordering::Relaxed), 0);
}

#[test]
fn a_shutdown_waits_for_runs_in_the_background_and_takes_their_results_in() {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = Mutex::new(tell);
    let scheduler: Scheduler = Scheduler::builder().executor(Pool::new(2).queue(0).named("work")).build();
    let job = scheduler.reboot().background().do_with(move |run| {
        tell.lock().send(std::thread::current().name().map(str::to_owned)).unwrap();
        while !run.should_stop() {
            std::thread::yield_now();
        }
        Ok::<_, String>("done")
    });
    let job = job.unwrap();
    assert_eq!(scheduler.run_pending().handed(), 1);
    assert_eq!(told.recv().unwrap().as_deref(), Some("work-1"));
    assert!(scheduler.shutdown(HOUR).is_empty());
    assert_eq!((job.stats().runs, job.last_value().as_deref()), (1, Some(&"done")));
}

#[test]
fn a_pool_is_bounded_and_its_threads_end_with_it() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock();
    let running = Arc::new(AtomicU32::new(0));
    let scheduler: Scheduler = Scheduler::builder().executor(Pool::new(3).queue(2)).build();
    for _ in 0..100 {
        let (gate, running) = (gate.clone(), running.clone());
        let job = scheduler.reboot().background().do_(move || {
            running.fetch_add(1, Ordering::Relaxed);
            drop(gate.lock());
            running.fetch_sub(1, Ordering::Relaxed);
        });
        job.unwrap();
    }
    assert_eq!(scheduler.run_pending().handed(), 5);
    assert_eq!(scheduler.run_pending().handed(), 0);
    drop(held);
    while !scheduler.is_empty() {
        assert!(running.load(Ordering::Relaxed) <= 3);
        scheduler.wait(HOUR);
        let _ = scheduler.run_pending();
    }
}

#[test]
fn a_wait_ends_when_a_run_comes_back() {
    let scheduler: Scheduler = Scheduler::builder().executor(Pool::new(1)).build();
    let job = scheduler.reboot().background().do_(|| ()).unwrap();
    let _ = scheduler.run_pending();
    while job.stats().runs == 0 {
        assert!(scheduler.wait(HOUR));
        let _ = scheduler.run_pending();
    }
}
