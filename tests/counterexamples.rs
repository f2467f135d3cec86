//! Each of these was once wrong.

mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use punctual::{
    Backoff, Error, Event, JobFuture, JobHandle, LateBy, Missed, Outcome, Overlap, Pool, RunEnd, RunView, Schedule, Scheduler,
    Trigger, Why, Work, Zone,
};
use world::{HOUR, MINUTE, SECOND, World, at};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("bomb")
        }
    }
}

/// Each hour; does something whenever it is asked.
struct Hourly<F>(F);
impl<F: Fn() + Send + Sync + 'static> Trigger for Hourly<F> {
    fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (self.0)();
        let h = after.timestamp().div_euclid(3600) + 1;
        DateTime::from_timestamp(h * 3600, 0)
    }
    fn prev_before(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let h = (before.timestamp() - 1).div_euclid(3600);
        DateTime::from_timestamp(h * 3600, 0)
    }
}

#[test]
fn pool_with_an_unbounded_queue() {
    let scheduler: Scheduler = Scheduler::builder().executor(Pool::new(2).queue(usize::MAX)).build();
    let job = scheduler.reboot().background().do_(|| ()).unwrap();
    for _ in 0..20 {
        let _ = scheduler.run_pending();
        if job.stats().runs > 0 {
            break;
        }
        scheduler.wait(Duration::from_millis(110));
    }
    assert_eq!(job.last_run().map(|r| r.end), Some(RunEnd::Done));
}

#[test]
fn retry_if_panics_with_a_payload_that_panics() {
    let world = World::new();
    let _ = world.scheduler.every(1).hour().retry(1).retry_if(|_| panic_any(Bomb)).mutex("m").do_(|| Err::<(), _>("x")).unwrap();
    world.scheduler.every(1).hour().mutex("m").do_(world.noting("other")).unwrap();
    world.clock.advance(HOUR);
    let r = catch_unwind(AssertUnwindSafe(|| {
        let _ = world.scheduler.run_pending();
    }));
    let out = r.is_err();
    let _ = world.scheduler.run_pending();
    let noted = world.noted();
    assert!(!out && noted == "other");
}

#[test]
fn resume_with_a_trigger_that_panics_with_such_a_payload() {
    let world = World::new();
    let armed = Arc::new(AtomicBool::new(false));
    let a = armed.clone();
    let job = world
        .scheduler
        .schedule(Hourly(move || {
            if a.load(SeqCst) {
                panic_any(Bomb)
            }
        }))
        .do_(|| ())
        .unwrap();
    job.pause();
    armed.store(true, SeqCst);
    let r = catch_unwind(AssertUnwindSafe(|| job.resume()));
    assert!(r.is_ok());
}

#[test]
fn host_late_is_told_though_a_run_came_back() {
    for back in [false, true] {
        let world = World::built(|b| b.host_late(10 * SECOND));
        world.noting_events(|e| matches!(e, Event::HostLate { .. }).then(|| "late".into()));
        world.scheduler.every(1).minute().do_(|| ()).unwrap();
        world.scheduler.every(1).hour().immediately().background().do_(|| ()).unwrap();
        let _ = world.polled();
        if back {
            world.held.run_all();
        }
        assert_eq!(world.after(10 * MINUTE), "late", "back: {back}");
    }
}

#[test]
fn budget_with_slow_triggers_whose_occurrences_are_dropped() {
    let world = World::built(|b| b.budget(Duration::from_millis(10)));
    for _ in 0..100 {
        let clock = world.clock.clone();
        world.scheduler.schedule(Hourly(move || clock.advance(Duration::from_millis(10)))).grace(SECOND).do_(|| ()).unwrap();
    }
    world.clock.advance(90 * MINUTE);
    let before = world.clock.wall();
    let _ = world.scheduler.run_pending();
    let took = world.clock.wall() - before;
    assert!(took < TimeDelta::milliseconds(200), "{took}");
}

#[test]
fn budget_with_slow_conditions_that_hold_but_a_limit_does_not() {
    let world = World::built(|b| b.budget(Duration::from_millis(10)));
    world.scheduler.every(1).hour().immediately().mutex("m").background().do_(|| ()).unwrap();
    let _ = world.polled();
    for _ in 0..100 {
        let clock = world.clock.clone();
        world
            .scheduler
            .every(1)
            .hour()
            .when(move || {
                clock.advance(Duration::from_millis(10));
                true
            })
            .mutex("m")
            .do_(|| ())
            .unwrap();
    }
    world.clock.advance(HOUR);
    let before = world.clock.wall();
    let _ = world.scheduler.run_pending();
    let took = world.clock.wall() - before;
    assert!(took < TimeDelta::milliseconds(200), "{took}");
}

#[test]
fn a_slow_retry_if_counts_to_the_budget_and_to_no_other_job() {
    for budget in [Some(Duration::from_millis(10)), None] {
        let world = World::built(|builder| match budget {
            Some(budget) => builder.budget(budget),
            None => builder,
        });
        let (clock, note) = (world.clock.clone(), world.note());
        let slow = move |_: &_| {
            clock.advance(5 * SECOND);
            false
        };
        world.scheduler.every(1).hour().retry(1).retry_if(slow).do_(|| Err::<(), _>("x")).unwrap();
        let other = world.scheduler.every(1).hour().timeout(SECOND);
        let other = other.do_with(move |run| note(&format!("stop={}", run.should_stop()))).unwrap();
        world.clock.advance(HOUR);
        let ran = world.scheduler.run_pending().ran();
        let (noted, took) = (world.noted(), other.last_run().map(|last| last.took));
        let expected = if budget.is_some() { (1, "", None) } else { (2, "stop=false", Some(Duration::ZERO)) };
        assert_eq!((ran, noted.as_str(), took), expected, "{budget:?}");
    }
}

#[test]
fn took_leaves_out_the_trigger() {
    let world = World::new();
    let clock = world.clock.clone();
    let b = world.scheduler.schedule(Hourly(move || clock.advance(5 * SECOND))).do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    assert_eq!(b.last_run().unwrap().took, Duration::ZERO);
}

#[test]
fn paused_or_shut_down_while_its_trigger_is_asked() {
    let mut wrong = Vec::new();
    for deed in 0..3 {
        let world = World::new();
        let armed = Arc::new(AtomicBool::new(false));
        let (a, w) = (armed.clone(), world.scheduler.downgrade());
        let slot: Arc<Mutex<Option<JobHandle>>> = Arc::default();
        let s = slot.clone();
        let job = world
            .scheduler
            .schedule(Hourly(move || {
                if a.load(SeqCst) {
                    // what another thread may do at this moment
                    let scheduler = w.upgrade().unwrap();
                    match deed {
                        0 => {
                            assert!(s.lock().as_ref().unwrap().pause());
                        }
                        1 => scheduler.pause(),
                        _ => {
                            let _ = scheduler.shutdown(Duration::ZERO);
                        }
                    }
                }
            }))
            .do_(world.noting("ran"))
            .unwrap();
        *slot.lock() = Some(job.clone());
        armed.store(true, SeqCst);
        if !world.after(HOUR).is_empty() {
            wrong.push(deed);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn cancel_between_turns_and_figures() {
    let world = World::new();
    let note = world.note();
    let clock = world.clock.clone();
    let job = world
        .scheduler
        .every(1)
        .hour()
        .do_(move || {
            clock.advance(SECOND);
            Outcome::Yield
        })
        .unwrap();
    let _ = world.after(3 * HOUR);
    world.scheduler.following(&job).on_end().do_with(move |_, e| note(&format!("{:?}", e.end))).unwrap();
    job.cancel();
    let s = job.stats();
    let _ = world.polled();
    assert_eq!((s.runs, s.stopped, s.folded, s.total, job.last_run().map(|r| r.end)), (1, 1, 2, SECOND, Some(RunEnd::Stopped)));
}

#[test]
fn drop_of_the_scheduler_counts_what_it_stops() {
    let world = World::new();
    let job = world.scheduler.every(1).hour().background().do_(|| ()).unwrap();
    let steps = world.scheduler.every(1).hour().do_(|| Outcome::Yield).unwrap();
    let _ = world.after(HOUR);
    drop(world.scheduler);
    assert_eq!((job.stats().stopped, steps.stats().stopped), (1, 1));
}

#[test]
fn progress_is_none_after_the_end() {
    let world = World::new();
    let job = world.scheduler.every(1).hour().do_with(|run| run.progress(3, 3)).unwrap();
    let _ = world.after(HOUR);
    assert_eq!(job.progress(), None);
}

#[test]
fn ended_says_the_pool_made_it_late() {
    let world = World::new();
    world.noting_events(|e| match e {
        Event::Ended { run, .. } => Some(format!("{:?} by {:?}", run.late, run.late_by)),
        _ => None,
    });
    world.scheduler.every(1).hour().background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    world.clock.advance(10 * SECOND);
    world.held.run_all();
    assert_eq!(world.polled(), "10s by Pool");
}

#[test]
fn queued_occurrences_that_go_by_a_pause_are_told() {
    let world = World::new();
    world.noting_events(|e| match e {
        Event::Dropped { .. } => Some("dropped".into()),
        _ => None,
    });
    let job = world.scheduler.every(1).hour().overlap(Overlap::Queue { most: 5 }).background().do_(|| ()).unwrap();
    let _ = (world.after(HOUR), world.after(HOUR), world.after(HOUR));
    job.pause();
    world.held.run_all();
    let _ = world.scheduler.run_pending();
    job.resume();
    let _ = world.scheduler.run_pending();
    let s = job.stats();
    assert_eq!(s.runs + s.dropped + s.folded, 3);
}

#[test]
fn queue_of_a_follower_beyond_a_thousand() {
    let world = World::new();
    let first = world.scheduler.every(1).second().missed(Missed::RunAll { most: 5000 }).do_(|| ()).unwrap();
    let slow = world.scheduler.following(&first).overlap(Overlap::Queue { most: 1500 }).do_(|| Outcome::Yield).unwrap();
    let _ = world.after(1400 * SECOND);
    assert_eq!(slow.stats().dropped, 0);
}

#[test]
fn reschedule_of_a_follower() {
    let world = World::new();
    let first = world.scheduler.every(1).hour().do_(|| ()).unwrap();
    let f = world.scheduler.following(&first).do_(|| ()).unwrap();
    assert_ne!(f.reschedule("every hour".parse().unwrap()), Err(Error::JobGone), "it is there");
}

#[test]
fn the_order_of_events_is_as_told() {
    let world = World::new();
    world.noting_events(|e| match e {
        Event::Due { .. } => Some("due".into()),
        Event::Blocked { .. } => Some("blocked".into()),
        Event::Started(_) => Some("started".into()),
        _ => None,
    });
    let open = Arc::new(AtomicBool::new(false));
    let o = open.clone();
    world.scheduler.every(1).hour().when(move || o.load(SeqCst)).do_(|| ()).unwrap();
    let one = world.after(HOUR);
    open.store(true, SeqCst);
    let two = world.after(2 * SECOND);
    assert_eq!(format!("{one} {two}"), "blocked due started");
}

#[test]
fn condition_that_cancels_its_job_and_whose_capture_panics_in_drop() {
    let world = World::new();
    let slot: Arc<Mutex<Option<JobHandle>>> = Arc::default();
    let s = slot.clone();
    let bomb = Bomb;
    let job = world
        .scheduler
        .every(1)
        .hour()
        .when(move || {
            let _ = &bomb;
            s.lock().as_ref().unwrap().cancel();
            true
        })
        .do_(|| ())
        .unwrap();
    *slot.lock() = Some(job);
    world.clock.advance(HOUR);
    let r = catch_unwind(AssertUnwindSafe(|| {
        let _ = world.scheduler.run_pending();
    }));
    assert!(r.is_ok());
}

struct Panicking(Arc<AtomicBool>, #[allow(dead_code)] Bomb);
impl Trigger for Panicking {
    fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.0.load(SeqCst) {
            panic!("own")
        }
        Some(after + TimeDelta::hours(1))
    }
}

#[test]
fn trigger_that_panics_and_panics_in_drop() {
    let world = World::new();
    let armed = Arc::new(AtomicBool::new(false));
    world.scheduler.schedule(Panicking(armed.clone(), Bomb)).do_(|| ()).unwrap();
    world.scheduler.every(1).hour().priority(5).do_(world.noting("other")).unwrap();
    armed.store(true, SeqCst);
    world.clock.advance(HOUR);
    let r = catch_unwind(AssertUnwindSafe(|| {
        let _ = world.scheduler.run_pending();
    }));
    assert!(r.is_ok());
}

#[test]
fn cancelled_while_it_is_handed_over_and_its_capture_panics() {
    let slot: Arc<Mutex<Option<JobHandle>>> = Arc::default();
    let s = slot.clone();
    let world = World::built(move |b| {
        let s = s.clone();
        b.executor(move |work: Work| {
            if let Some(j) = s.lock().take() {
                j.cancel();
            }
            drop(work);
            Ok(())
        })
    });
    let bomb = Bomb;
    let job = world
        .scheduler
        .every(1)
        .hour()
        .background()
        .do_(move || {
            let _ = &bomb;
        })
        .unwrap();
    *slot.lock() = Some(job);
    world.clock.advance(HOUR);
    let r = catch_unwind(AssertUnwindSafe(|| {
        let _ = world.scheduler.run_pending();
    }));
    assert!(r.is_ok());
}

#[test]
fn hours_in_a_zone_of_ones_own_and_at_latest() {
    for custom in [false, true] {
        let zone = if custom { Zone::custom("own", Utc) } else { Zone::UTC };
        let world = World::built(|b| b.zone(zone.clone()));
        let job = world
            .scheduler
            .every(1)
            .hour()
            .when(|| true)
            .run_between("20:00", "21:00")
            .at_latest(MINUTE)
            .do_(world.noting("ran"))
            .unwrap();
        let mut told = world.after(HOUR);
        told += &format!("{:?}", world.scheduler.why(&job));
        told += &world.after(2 * MINUTE);
        assert_eq!(told, "Blocked(Window)", "custom: {custom}");
    }
}

#[test]
fn two_limits_and_starvation() {
    let world = World::new();
    // a-holders and b-holders, each always one running and one waiting, out of step
    let job = |names: &[&str]| {
        let j = world.scheduler.every(10).seconds().overlap(Overlap::Queue { most: 1 });
        let j = names.iter().fold(j, |j, n| j.mutex(*n));
        j.background().do_(|| ()).unwrap()
    };
    let _ = [job(&["a"]), job(&["a"])];
    let _ = [job(&["b"]), job(&["b"])];
    let _ = world.after(10 * SECOND);
    let both = world.scheduler.once_after(SECOND).mutex("a").mutex("b").background().do_(|| ()).unwrap();
    // held: a1, b1. End one at a time.
    for _ in 0..1000 {
        world.clock.advance(5 * SECOND);
        world.held.run();
        let _ = world.scheduler.run_pending();
        if both.stats().runs > 0 || both.snapshot().is_some_and(|j| j.running) {
            break;
        }
    }
    assert!(both.stats().runs > 0 || both.snapshot().is_none_or(|j| j.running), "{:?}", world.scheduler.why(&both));
}

#[test]
fn what_is_dropped_takes_nobodys_place_with_a_trigger() {
    for own in [false, true] {
        let world = World::new();
        let schedule = if own { Schedule::custom(Hourly(|| ())) } else { Schedule::cron("0 * * * *").unwrap() };
        let job =
            world.scheduler.schedule(schedule).grace(MINUTE).overlap(Overlap::CancelRunning).background().do_(|| ()).unwrap();
        let _ = world.after(HOUR);
        let _ = world.after(HOUR + 10 * MINUTE);
        assert_eq!((job.stats().stopped, job.stats().dropped), (0, 1), "own {own}");
    }
}

#[test]
fn total_is_of_all_attempts() {
    let world = World::new();
    let clock = world.clock.clone();
    let job = world
        .scheduler
        .every(1)
        .hour()
        .retry(2)
        .backoff(Backoff::constant(SECOND))
        .do_(move || {
            clock.advance(10 * SECOND);
            Err::<(), _>("x")
        })
        .unwrap();
    let _ = (world.after(HOUR), world.after(SECOND), world.after(SECOND));
    assert_eq!(job.stats().runs, 1);
    assert_eq!(job.stats().total, 30 * SECOND);
}

#[test]
fn a_background_run_that_yields_after_the_shutdown() {
    let world = World::new();
    let weak = world.scheduler.downgrade();
    let job = world
        .scheduler
        .every(1)
        .hour()
        .mutex("m")
        .background()
        .do_(move || {
            let _ = weak.upgrade().unwrap().shutdown(Duration::ZERO);
            Outcome::Yield
        })
        .unwrap();
    let _ = world.after(HOUR);
    world.held.run();
    let left = world.scheduler.shutdown(Duration::ZERO);
    let _ = world.polled();
    assert_eq!((left.len(), job.stats().stopped), (0, 1));
}

#[test]
fn taking_in_heeds_the_budget() {
    let world = World::built(|b| b.budget(Duration::from_millis(10)));
    let clock = world.clock.clone();
    world.scheduler.on_event(move |e| {
        if matches!(e, Event::Ended { .. }) {
            clock.advance(Duration::from_millis(10))
        }
    });
    for _ in 0..100 {
        world.scheduler.once_after(HOUR).background().do_(|| ()).unwrap();
    }
    world.clock.advance(HOUR);
    let _ = world.scheduler.run_pending();
    world.held.run_all();
    let before = world.clock.wall();
    let _ = world.scheduler.run_pending();
    let took = world.clock.wall() - before;
    assert!(took < TimeDelta::milliseconds(100), "{took}");
}

#[test]
fn at_latest_without_when_and_backoff_without_retry() {
    let world = World::new();
    assert!(world.scheduler.every(1).hour().at_latest(MINUTE).do_(|| ()).is_err());
}

#[test]
fn a_late_background_run_is_told_of() {
    let world = World::new();
    world.noting_events(|e| matches!(e, Event::TimedOut { .. }).then(|| "timed-out".into()));
    let clock = world.clock.clone();
    world.scheduler.every(1).hour().timeout(MINUTE).background().do_(move || clock.advance(2 * MINUTE)).unwrap();
    let _ = world.after(HOUR);
    world.held.run_all();
    assert_eq!(world.polled(), "timed-out");
}

#[test]
fn the_why_of_a_run_that_is_being_called() {
    let world = World::new();
    let slot: Arc<Mutex<Option<JobHandle>>> = Arc::default();
    let s = slot.clone();
    let note = world.note();
    let job = world
        .scheduler
        .every(1)
        .hour()
        .do_with(move |run| {
            let j = s.lock().clone().unwrap();
            note(&format!("{:?}", run.scheduler().why_at(&j, run.due()).map(|w| matches!(w, Why::Running { .. }))))
        })
        .unwrap();
    *slot.lock() = Some(job);
    assert_eq!(world.after(HOUR), "Some(true)");
}

#[test]
fn every_started_run_is_ended_for_observers() {
    for how in ["cancel", "newer"] {
        let world = World::new();
        world.noting_events(|e| match e {
            Event::Started(_) => Some("started".into()),
            Event::Ended { end, .. } => Some(format!("{end:?}")),
            Event::Stray { .. } => Some("stray".into()),
            _ => None,
        });
        let job = world.scheduler.every(1).hour().overlap(Overlap::CancelRunning).background().do_(|| ()).unwrap();
        let _ = world.scheduler.run_pending();
        world.clock.advance(HOUR);
        let _ = world.scheduler.run_pending();
        if how == "cancel" {
            job.cancel();
        } else {
            world.clock.advance(HOUR);
            let _ = world.scheduler.run_pending();
            job.cancel();
        }
        world.held.run_all();
        let noted = world.polled();
        let count = |w: &str| noted.split(' ').filter(|x| *x == w).count();
        assert_eq!(count("started"), count("Stopped") + count("Done"), "{how}: {noted}");
    }
}

#[test]
fn next_run_is_no_time_limit() {
    let world = World::new();
    let job = world.scheduler.every(1).hour().timeout(10 * MINUTE).background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    assert_eq!(job.next_run(), Some(at("01T12:00")));
}

#[test]
fn next_run_of_a_paused_job_is_none() {
    let world = World::new();
    let job = world.scheduler.every(1).hour().timeout(10 * MINUTE).background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    job.pause();
    assert_eq!(job.next_run(), None);
}

#[test]
fn async_jobs_while_the_pool_is_full() {
    let world = World::new();
    *world.held.room.lock() = 0;
    world.scheduler.every(1).hour().background().do_(|| ()).unwrap();
    let spawn = |future: JobFuture| {
        let mut f = Box::pin(future);
        let _ = f.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    };
    use std::future::Future;
    let note = world.note();
    world
        .scheduler
        .every(1)
        .hour()
        .do_future(spawn, move |_| {
            note("async");
            async {}
        })
        .unwrap();
    let mut told = world.after(HOUR);
    for _ in 0..100 {
        told += &world.after(SECOND);
    }
    assert_eq!(told, "async");
}

#[test]
fn cancel_running_gives_up_for_a_run_that_cannot_start() {
    let world = World::new();
    let job =
        world.scheduler.every(1).hour().overlap(Overlap::CancelRunning).rate(1, 3 * HOUR, "api").background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    let _ = world.after(HOUR);
    assert_eq!(job.stats().stopped, 0);
}

#[test]
fn took_and_time_limit_leave_out_observers() {
    let world = World::new();
    let clock = world.clock.clone();
    world.scheduler.on_event(move |e| {
        if matches!(e, Event::Started(_)) {
            clock.advance(5 * SECOND)
        }
    });
    let note = world.note();
    let job =
        world.scheduler.every(1).hour().timeout(SECOND).do_with(move |run| note(&format!("stop={}", run.should_stop()))).unwrap();
    let noted = world.after(HOUR);
    assert_eq!((noted.as_str(), job.last_run().unwrap().took), ("stop=false", Duration::ZERO));
}

#[test]
fn a_token_of_a_run_in_steps_learns_that_it_was_given_up() {
    type Way = fn(&World, &JobHandle);
    let ways: [(&str, Way); 3] = [
        ("newer", |w, _| {
            let _ = w.after(HOUR);
        }),
        ("cancel", |_, j| {
            j.cancel();
        }),
        ("shutdown", |w, _| {
            let _ = w.scheduler.shutdown(Duration::ZERO);
        }),
    ];
    let mut wrong = Vec::new();
    for background in [false, true] {
        for (name, way) in ways {
            let world = World::new();
            let first: Arc<Mutex<Option<RunView>>> = Arc::default();
            let f = first.clone();
            let job = world.scheduler.every(1).hour().overlap(Overlap::CancelRunning);
            let job = if background {
                job.background()
                    .do_with(move |run| {
                        f.lock().get_or_insert_with(|| run.clone());
                        Outcome::Yield
                    })
                    .unwrap()
            } else {
                job.do_with(move |run| {
                    f.lock().get_or_insert_with(|| RunView::clone(run));
                    Outcome::Yield
                })
                .unwrap()
            };
            let _ = world.after(HOUR);
            if background {
                world.held.run_all();
                let _ = world.scheduler.run_pending();
                world.held.run_all();
                let _ = world.scheduler.run_pending_within(Duration::ZERO);
            }
            way(&world, &job);
            let stop = first.lock().as_ref().unwrap().should_stop();
            if !stop {
                wrong.push((background, name));
            }
        }
    }
    assert!(wrong.is_empty(), "should_stop is false: {wrong:?}");
}

#[test]
fn time_limits_and_slow_retry_if_heed_the_budget() {
    let world = World::built(|b| b.budget(Duration::from_millis(10)));
    for _ in 0..100 {
        let clock = world.clock.clone();
        world
            .scheduler
            .every(1)
            .hour()
            .timeout(SECOND)
            .retry(1)
            .retry_if(move |_| {
                clock.advance(Duration::from_millis(10));
                false
            })
            .do_(|| Outcome::Yield)
            .unwrap();
    }
    world.clock.advance(HOUR);
    let _ = world.scheduler.run_pending();
    world.clock.advance(10 * SECOND);
    let before = world.clock.wall();
    let _ = world.scheduler.run_pending();
    let took = world.clock.wall() - before;
    assert!(took < TimeDelta::milliseconds(100), "{took}");
}

#[test]
fn a_real_thread_shuts_down_while_a_trigger_is_asked() {
    let world = World::new();
    let armed = Arc::new(AtomicBool::new(false));
    let (asked, told) = std::sync::mpsc::channel::<()>();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (asked, gone) = (Mutex::new(asked), Mutex::new(gone));
    let a = armed.clone();
    let over = Arc::new(AtomicBool::new(false));
    let o = over.clone();
    let started_after = Arc::new(AtomicBool::new(false));
    let sa = started_after.clone();
    world
        .scheduler
        .schedule(Hourly(move || {
            if a.swap(false, SeqCst) {
                asked.lock().send(()).unwrap();
                gone.lock().recv().unwrap();
            }
        }))
        .do_(move || {
            if o.load(SeqCst) {
                sa.store(true, SeqCst)
            }
        })
        .unwrap();
    armed.store(true, SeqCst);
    world.clock.advance(HOUR);
    std::thread::scope(|s| {
        s.spawn(|| {
            let _ = world.scheduler.run_pending();
        });
        told.recv().unwrap();
        let _ = world.scheduler.shutdown(Duration::ZERO);
        over.store(true, SeqCst);
        go.send(()).unwrap();
    });
    assert!(!started_after.load(SeqCst), "a run began after shutdown() had returned");
}

#[test]
fn suspended_time_counts_for_a_time_limit() {
    let world = World::new();
    world.noting_events(|e| matches!(e, Event::TimedOut { .. }).then(|| "timed-out".into()));
    let (tell, told) = std::sync::mpsc::channel();
    let tell = Mutex::new(tell);
    let gate = Arc::new(Mutex::new(()));
    let g = gate.clone();
    let token: Arc<Mutex<Option<RunView>>> = Arc::default();
    let t2 = token.clone();
    world
        .scheduler
        .every(1)
        .day()
        .timeout(10 * MINUTE)
        .background()
        .do_with(move |run| {
            *t2.lock() = Some(run.clone());
            tell.lock().send(()).unwrap();
            drop(g.lock());
        })
        .unwrap();
    let held = gate.lock();
    let _ = world.after(24 * HOUR);
    let work = world.held.take();
    let t = std::thread::spawn(move || work.run());
    told.recv().unwrap();
    world.clock.suspend(5 * HOUR);
    let noted = world.polled();
    let stop = token.lock().as_ref().unwrap().should_stop();
    drop(held);
    t.join().unwrap();
    assert_eq!((noted.as_str(), stop), ("timed-out", true));
}

#[test]
fn run_until_gives_way_to_its_runtime() {
    use std::future::Future;
    // A runtime of one thread: what run_until waits for comes only between two polls of its future.
    let scheduler = Scheduler::new();
    let calls = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let c = calls.clone();
    scheduler
        .reboot()
        .do_(move || {
            if c.fetch_add(1, SeqCst) == 2_000_000 {
                panic_any(());
            }
            if c.load(SeqCst) > 2_000_000 {
                return Outcome::Cancel;
            }
            Outcome::Yield
        })
        .unwrap();
    let turn = Arc::new(AtomicBool::new(false));
    let t = turn.clone();
    let stop = std::future::poll_fn(move |_| if t.load(SeqCst) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending });
    let mut future = Box::pin(scheduler.run_until(stop));
    let _ = future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    // now the runtime would have its turn
    turn.store(true, SeqCst);
    let n = calls.load(SeqCst);
    assert!(n < 1_000_000, "{n} calls of a step job in one poll of the future, which came back only since the job ended itself");
}

#[test]
fn a_result_older_than_a_suspend_is_stale() {
    for suspend in [false, true] {
        let world = World::new();
        let first = world.scheduler.every(1).day().background().do_(|| Ok::<_, String>(1)).unwrap();
        let f = world.scheduler.following(&first).within(30 * MINUTE).do_(world.noting("followed a stale result")).unwrap();
        let _ = world.after(24 * HOUR);
        world.held.run_all();
        if suspend {
            world.clock.suspend(9 * HOUR)
        } else {
            world.clock.advance(9 * HOUR)
        }
        assert_eq!((world.polled().as_str(), f.stats().dropped), ("", 1), "suspend: {suspend}");
    }
}

#[test]
fn all_kinds_of_put_off_count() {
    let world = World::built(|b| b.budget(Duration::ZERO));
    for n in 0..30 {
        match n % 3 {
            0 => {
                world.scheduler.every(1).hour().do_(|| ()).unwrap();
            }
            1 => {
                world.scheduler.cron("0 * * * *").do_(|| ()).unwrap();
            }
            _ => {
                world.scheduler.every(1).hour().slack(HOUR).do_(|| ()).unwrap();
            }
        }
    }
    world.clock.advance(HOUR);
    for left in (0..30).rev() {
        assert_eq!(world.scheduler.run_pending().put_off(), left);
    }
}

#[test]
fn lateness_and_pool_turns() {
    let world = World::new();
    world
        .scheduler
        .every(1)
        .hour()
        .background()
        .do_with(|run| if run.turn() < 4 { Outcome::Yield } else { Outcome::Done })
        .unwrap();
    world.clock.advance(HOUR);
    for _ in 0..6 {
        let _ = world.scheduler.run_pending();
        world.clock.advance(SECOND);
        world.held.run_all();
    }
    let pool = world.scheduler.lateness().by(LateBy::Pool).runs;
    assert_eq!(pool, 1, "one run");
}

#[test]
fn a_union_of_now_and_next_run_of_the_scheduler() {
    let world = World::new();
    world.scheduler.every(1).hour().timeout(10 * MINUTE).background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    assert_eq!(world.scheduler.next_run(), Some(at("01T12:00")));
}

#[test]
fn a_limit_that_nobody_names_any_more_may_be_given_another_number() {
    let world = World::new();
    world.scheduler.every(1).hour().rate(10, HOUR, "api").do_(|| ()).unwrap();
    world.scheduler.every(1).hour().mutex("db").background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    world.scheduler.clear();
    let one = world.scheduler.every(1).hour().rate(20, HOUR, "api").do_(|| ()).map(drop);
    let two = world.scheduler.every(1).hour().at_most(2, "db").do_(|| ()).map(drop);
    assert_eq!((one, two), (Ok(()), Ok(())));
}

#[test]
fn an_old_value_that_panics_as_it_goes_makes_the_new_run_a_panic() {
    let world = World::new();
    let job = world.scheduler.every(1).hour().do_(|| Ok::<_, String>(Bomb)).unwrap();
    world.scheduler.following(&job).do_(world.noting("followed")).unwrap();
    let _ = [world.after(HOUR), world.after(HOUR)];
    std::mem::forget(job.last_value());
    let p = job.stats().panics;
    std::mem::forget((job, world));
    assert_eq!(p, 0);
}

#[test]
fn merged_counts_jitter() {
    let world = World::new();
    for _ in 0..50 {
        world.scheduler.every(1).minute().jitter(10 * MINUTE).slack(SECOND).do_(|| ()).unwrap();
    }
    world.clock.advance(HOUR);
    let tick = world.scheduler.run_pending();
    assert_eq!(tick.merged(), 0, "every one of them is long overdue");
}

#[test]
fn a_new_schedule_does_not_run_what_the_old_one_had_queued() {
    let world = World::new();
    let note = world.note();
    let job = world
        .scheduler
        .every(1)
        .hour()
        .overlap(Overlap::Queue { most: 5 })
        .background()
        .do_with(move |r| note(&r.due().format("%H").to_string()))
        .unwrap();
    let _ = (world.after(HOUR), world.after(HOUR));
    job.reschedule("every 9 days".parse().unwrap()).unwrap();
    for _ in 0..3 {
        world.held.run_all();
        let _ = world.scheduler.run_pending();
    }
    assert_eq!((world.noted().as_str(), job.stats().dropped), ("11", 1));
}

#[test]
fn a_wait_for_the_pool_is_no_other_jobs_retry_if() {
    let world = World::new();
    let clock = world.clock.clone();
    let note = world.note();
    world
        .scheduler
        .every(1)
        .hour()
        .retry(1)
        .retry_if(move |_| {
            clock.advance(5 * SECOND);
            false
        })
        .do_(|| Err::<(), _>("x"))
        .unwrap();
    world.scheduler.every(1).hour().background().do_with(move |r| note(&format!("{:?} {:?}", r.late(), r.late_by()))).unwrap();
    let _ = world.after(HOUR);
    world.held.run_all();
    assert_ne!(world.noted(), "5s Pool", "the pool had it at once");
}

#[test]
fn a_run_that_goes_on_as_the_scheduler_goes_is_ended() {
    // the drop of events while the scheduler goes
    let world = World::new();
    let events = world.scheduler.events(100);
    world.scheduler.every(1).hour().background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    drop(world.scheduler);
    let ended = events.filter(|event| matches!(event, Event::Ended { end: RunEnd::Stopped, .. })).count();
    assert_eq!(ended, 1, "whoever watches is told as the scheduler goes");
}

#[test]
fn schedules_joined_within_joined_ones_answer() {
    // Each intersection tried ten thousand candidates of those within it: none of these came to an end.
    let parts = "(((every 2 minutes aligned) and (every minute at :30)) or (every day at 10:00)) and (every day at 11:00)";
    let primes =
        ["every 1009 milliseconds", "every 1013 milliseconds", "every 1019 milliseconds", "every 1021 milliseconds aligned"];
    let texts = [
        format!("({parts}) and (every 3 seconds aligned)"),
        format!("(({} aligned) and ({} aligned)) and (({} aligned) and ({}))", primes[0], primes[1], primes[2], primes[3]),
        format!("({parts} between 09:00 and 17:00) or (({parts}) and ({parts}))"),
    ];
    for text in texts {
        let schedule: Schedule = text.parse().unwrap();
        let from = at("01T12:00");
        assert_eq!((schedule.next_after(from), schedule.prev_before(from)), (None, None), "{text}");
        assert_eq!(schedule.count_between(from, from + TimeDelta::days(3650)), 0, "{text}");
    }
}
