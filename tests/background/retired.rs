//! Jobs that are retired: what goes on ends in its own time, nothing else begins, and then the job is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use punctual::{Backoff, Error, Event, JobHandle, JobId, MemoryStore, Outcome, Overlap, Schedule, Scheduler, Store, Why, Work};

use crate::world::{HOUR, MINUTE, SECOND, World, at};

/// What is told of jobs' ends and drops.
fn noting_ends(world: &World) {
    world.noting_events(|event| match event {
        Event::Ended { run, end, .. } => Some(format!("{}:{end:?}", run.name.as_deref().unwrap_or("-"))),
        Event::Dropped { because, .. } => Some(format!("dropped:{because:?}")),
        Event::Retried { .. } => Some("retried".to_owned()),
        Event::Removed { name, because, .. } => Some(format!("{}-gone:{because:?}", name.as_deref().unwrap_or("-"))),
        _ => None,
    });
}

fn is_gone_to_all_else<T>(world: &World, job: &JobHandle<T>) {
    let other = world.scheduler.every(1).day().do_(|| ()).unwrap();
    assert!(!job.retire() && !job.pause() && !job.resume() && !job.run_now());
    assert_eq!(job.reschedule(Schedule::every(1).hour().build().unwrap()), Err(Error::JobGone));
    assert_eq!(job.also_after(&other), Err(Error::JobGone));
    other.cancel();
    let _ = world.noted();
}

#[test]
fn what_goes_on_ends_in_its_own_time_and_is_followed() {
    for overlap in [Overlap::Skip, Overlap::Queue { most: 3 }, Overlap::Allow { most: 2 }, Overlap::CancelRunning] {
        let world = World::new();
        let note = world.note();
        let job = world.scheduler.every(1).hour().overlap(overlap).named("job").background();
        let job = job.do_with(move |run| {
            note(if run.should_stop() { "told-to-stop" } else { "ran" });
            Ok::<_, String>(7)
        });
        let job = job.unwrap();
        let (note, late) = (world.note(), world.note());
        world.scheduler.following(&job).named("next").do_with(move |_, n: &i32| note(&format!("next-{n}"))).unwrap();
        let _ = world.after(HOUR);
        assert!(job.retire(), "{overlap:?}");
        // What follows may still come.
        let slow = world.scheduler.following(&job).named("slow").delay(2 * HOUR);
        slow.do_with(move |_, n: &i32| late(&format!("slow-{n}"))).unwrap();
        noting_ends(&world);
        is_gone_to_all_else(&world, &job);
        let seen = job.snapshot().unwrap();
        assert!(seen.retired && seen.running && !seen.paused && seen.next_run.is_none(), "{overlap:?}: {seen}");
        assert!(world.scheduler.jobs().to_string().contains("running its last"), "{}", world.scheduler.jobs());
        assert!(matches!(world.scheduler.why(&job), Why::Running { .. }));
        // Further occurrences come to nothing, and nothing is asked for.
        assert_eq!(world.after(5 * HOUR), "", "{overlap:?}");
        assert_eq!((world.held.len(), world.scheduler.idle()), (1, None), "{overlap:?}");
        let _ = world.scheduler.run_all();
        assert_eq!(world.held.len(), 1, "{overlap:?}");

        world.held.run();
        assert_eq!(world.polled(), "ran job:Done job-gone:Retired next-7 next:Done next-gone:Over", "{overlap:?}");
        assert_eq!(world.after(2 * HOUR), "slow-7 slow:Done slow-gone:Over", "{overlap:?}");
        assert!(world.scheduler.is_empty() && job.snapshot().is_none());
        assert_eq!((job.stats().runs, job.last_value().as_deref()), (1, Some(&7)));
        assert_eq!(world.scheduler.why(&job), Why::Gone);
        is_gone_to_all_else(&world, &job);
        assert!(!job.cancel());
    }
}

#[test]
fn all_that_waits_goes_as_when_it_is_cancelled() {
    type Make = fn(&World) -> JobHandle;
    let rows: [(&str, Make, &str); 8] = [
        ("idle", |world| world.scheduler.every(1).hour().do_(|| ()).unwrap(), ""),
        (
            "follows",
            |world| {
                let first = world.scheduler.every(1).hour().do_(|| ()).unwrap();
                world.scheduler.following(&first).delay(HOUR).do_(|| ()).unwrap()
            },
            "",
        ),
        (
            "paused",
            |world| {
                let job = world.scheduler.every(1).hour().do_(|| ()).unwrap();
                job.pause();
                job
            },
            "",
        ),
        (
            "by hand",
            |world| {
                let job = world.scheduler.every(1).hour().do_(|| ()).unwrap();
                job.run_now();
                job
            },
            "",
        ),
        (
            "a further attempt",
            |world| {
                let job = world.scheduler.every(1).hour().retry(3).backoff(Backoff::constant(HOUR));
                job.do_(|| Err::<(), _>("no")).unwrap()
            },
            "-:Stopped ",
        ),
        (
            "held by a limit",
            |world| {
                world.scheduler.every(59).minutes().mutex("db").do_with(|_| Outcome::Yield).unwrap();
                world.scheduler.every(1).hour().mutex("db").do_(|| ()).unwrap()
            },
            "",
        ),
        ("held by its hours", |world| world.scheduler.every(1).hour().run_between("02:00", "03:00").do_(|| ()).unwrap(), ""),
        (
            "no room",
            |world| {
                *world.held.room.lock() = 0;
                world.scheduler.every(1).hour().background().do_(|| ()).unwrap()
            },
            "",
        ),
    ];
    for (row, make, ends) in rows {
        let told = [JobHandle::cancel, JobHandle::retire].map(|goes| {
            let world = World::new();
            let job = make(&world);
            let _ = world.after(HOUR);
            let _ = world.polled();
            noting_ends(&world);
            assert!(goes(&job), "{row}");
            assert!(job.snapshot().is_none(), "{row}");
            (world.noted(), job.stats())
        });
        let [(cancelled, stats), (retired, others)] = told;
        assert_eq!(cancelled, format!("{ends}--gone:Cancelled"), "{row}");
        assert_eq!(retired, format!("{ends}--gone:Retired"), "{row}");
        assert_eq!(stats, others, "{row}");
    }

    // The same of a job of which a run goes on besides: those in line go without a word, and the line goes on.
    let world = World::new();
    let job = world.scheduler.every(1).hour().overlap(Overlap::Queue { most: 5 }).mutex("db").background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    let _ = world.after(HOUR);
    let _ = world.after(HOUR);
    world.scheduler.every(1).hour().mutex("db").named("other").do_(|| ()).unwrap();
    noting_ends(&world);
    assert!(job.retire());
    assert_eq!(world.after(HOUR), "");
    world.held.run();
    assert_eq!(world.polled(), "-:Done --gone:Retired other:Done");

    // A run that fails is not tried again.
    let world = World::new();
    noting_ends(&world);
    let job = world.scheduler.every(1).hour().retry(3).backoff(Backoff::constant(SECOND)).background();
    let job = job.do_(|| Err::<(), _>("no")).unwrap();
    let _ = world.after(HOUR);
    assert!(job.retire());
    world.held.run();
    assert_eq!(world.polled(), "-:Failed --gone:Retired");

    // One beyond its time is over, and its job with it; one that is cancelled after all is told to stop.
    let world = World::new();
    noting_ends(&world);
    let steps = |timeout: Duration| world.scheduler.every(1).hour().timeout(timeout).do_with(|_| Outcome::Yield).unwrap();
    let (late, cancelled) = (steps(MINUTE), steps(HOUR));
    let _ = world.after(HOUR);
    assert!(late.retire() && cancelled.retire());
    assert_eq!(world.after(2 * MINUTE), "-:TimedOut --gone:Retired");
    assert!(!cancelled.cancel(), "there is no further run to take away");
    assert_eq!(world.noted(), "-:Stopped --gone:Cancelled");
}

#[test]
fn a_job_retires_from_inside_its_own_run() {
    for rules in [false, true] {
        let world = World::new();
        let own: Arc<Mutex<Option<JobHandle>>> = Arc::default();
        let (inside, mut note) = (own.clone(), world.noting("ran"));
        let job = world.scheduler.every(1).hour();
        let job = if rules { job.mutex("db") } else { job };
        let job = job.do_(move || {
            let own = inside.lock().clone().unwrap();
            assert!(own.retire() && !own.retire() && !own.run_now());
            assert!(own.snapshot().is_some_and(|own| own.retired && own.running));
            note();
        });
        *own.lock() = Some(job.unwrap());
        assert_eq!(world.after(HOUR), "ran", "{rules}");
        assert!(world.scheduler.is_empty(), "{rules}");
        assert_eq!(world.after(3 * HOUR), "", "{rules}");
    }
}

#[test]
fn a_run_in_steps_goes_on_also_if_its_job_was_paused() {
    for paused in [false, true] {
        let world = World::new();
        let mut note = world.noting("step");
        let job = world.scheduler.every(1).hour().do_with(move |run| {
            note();
            if run.turn() < 2 { Outcome::Yield } else { Outcome::Retry }
        });
        let job = job.unwrap();
        assert_eq!(world.after(HOUR), "step");
        if paused {
            job.pause();
            assert_eq!(world.polled(), "");
        }
        assert!(job.retire());
        assert_eq!((world.polled(), world.polled()), ("step".into(), "step".into()), "{paused}");
        assert!(world.scheduler.is_empty(), "{paused}");
    }
}

/// It has no room, and the job is retired as it is asked.
#[test]
fn a_run_that_found_no_room_meanwhile_is_none() {
    let own: Arc<Mutex<Option<JobHandle>>> = Arc::default();
    let inside = own.clone();
    let refuses = move |work: Work| {
        let retired = inside.lock().as_ref().is_some_and(JobHandle::retire);
        assert!(retired);
        Err(work)
    };
    let world = World::built(move |builder| builder.executor(refuses.clone()));
    noting_ends(&world);
    *own.lock() = Some(world.scheduler.every(1).hour().background().do_(|| ()).unwrap());
    assert_eq!(world.after(HOUR), "--gone:Retired");
}

#[test]
fn a_shutdown_waits_for_it_as_for_any_other() {
    let world = World::new();
    let job = world.scheduler.every(1).hour().named("job").background().do_(|| ()).unwrap();
    let _ = world.after(HOUR);
    assert!(job.retire());
    let left = world.scheduler.shutdown(Duration::ZERO);
    assert_eq!(left.iter().map(|job| job.label()).collect::<Vec<_>>(), ["job"]);
    world.held.run();
    assert!(world.scheduler.shutdown(Duration::ZERO).is_empty());
    assert!(world.scheduler.is_empty() && job.stats().runs == 1);
}

#[test]
fn its_record_is_as_after_a_cancel() {
    for paused in [false, true] {
        let records = [JobHandle::<()>::cancel, JobHandle::retire].map(|goes| {
            let world = World::new();
            let store = MemoryStore::new(world.clock.clone());
            let scheduler: Scheduler =
                Scheduler::builder().clock(world.clock.clone()).zone(chrono::Utc).store(store.clone()).build();
            let job = scheduler.every(1).hour().times(5).named("job").do_(|| ()).unwrap();
            world.clock.advance(HOUR);
            let _ = (scheduler.run_pending(), scheduler.run_pending());
            if paused {
                job.pause();
            }
            assert!(goes(&job));
            let _ = scheduler.run_pending();
            store.load("job").unwrap().unwrap()
        });
        let [cancelled, retired] = records;
        assert_eq!(cancelled, retired, "{paused}");
        assert_eq!((retired.paused, retired.runs_left, retired.last_run), (paused, Some(4), 1));
    }

    // While its last run goes on that is open, and its name taken; a program that ends then left it so.
    let world = World::new();
    let store = MemoryStore::new(world.clock.clone());
    let (held, clock) = (world.held.clone(), world.clock.clone());
    let process = || -> Scheduler {
        Scheduler::builder().clock(clock.clone()).zone(chrono::Utc).executor(held.clone()).store(store.clone()).build()
    };
    let scheduler = process();
    let register = |scheduler: &Scheduler| scheduler.every(1).hour().named("job").background().do_(|| ());
    let job = register(&scheduler).unwrap();
    clock.advance(HOUR);
    let _ = scheduler.run_pending();
    job.pause();
    assert!(job.retire());
    let _ = scheduler.run_pending();
    assert!(matches!(register(&scheduler), Err(Error::NameTaken { .. })));
    let record = store.load("job").unwrap().unwrap();
    assert_eq!((record.open.len(), record.paused), (1, true));
    held.run();
    let _ = (scheduler.run_pending(), scheduler.run_pending());
    let record = store.load("job").unwrap().unwrap();
    assert_eq!((record.open.len(), record.runs_left, record.last_run), (0, None, 1));
    let again = register(&scheduler).unwrap();
    assert!(again.snapshot().is_some_and(|job| job.paused && !job.retired), "its pause is remembered, as after a cancel");
}

/// It does not stand by for a job that it is not to run again.
#[test]
fn one_that_another_process_took_over_is_gone() {
    let world = World::new();
    let store = MemoryStore::new(world.clock.clone());
    let process = || -> Scheduler {
        let builder = Scheduler::builder().clock(world.clock.clone()).zone(chrono::Utc).executor(world.held.clone());
        builder.store(store.clone()).lease(MINUTE).build()
    };
    let [one, other] = [process(), process()];
    let [job, _other] = [&one, &other].map(|scheduler| scheduler.every(1).hour().named("job").background().do_(|| ()).unwrap());
    world.clock.advance(HOUR);
    let _ = (one.run_pending(), other.run_pending());
    assert_eq!(world.held.len(), 1);
    assert!(job.retire());
    // The one is held up for longer than its lease.
    world.clock.advance(HOUR);
    let _ = (other.run_pending(), other.run_pending());
    assert_eq!(world.held.len(), 2, "the other one has its next run");
    let _ = (one.run_pending(), one.run_pending());
    assert!(one.is_empty() && job.stats().stopped == 1, "{}", one.jobs());
    let last = world.held.take();
    drop(last);
    let _ = (one.run_pending(), one.run_pending());
    assert!(one.is_empty());
}

/// Jobs of all sorts, and a host that does all sorts of things: once a job is retired nothing of it starts, and when what went on
/// has ended nothing of it is left. `PUNCTUAL_CASES` and `PUNCTUAL_SEED` as elsewhere.
#[test]
fn whatever_goes_on_a_retired_job_starts_nothing_and_goes() {
    let setting = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (first, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 1_000));
    let (mut gone_later, mut gone_at_once) = (0_u64, 0_u64);
    for seed in first..first + cases {
        let mut rng = Rng::with_seed(seed);
        let kept = rng.u32(0..3);
        let world = World::built(move |builder| match kept {
            0 => builder,
            1 => builder.store(MemoryStore::new(punctual::ManualClock::new(at("01T10:00")))),
            _ => builder.store(MemoryStore::new(punctual::ManualClock::new(at("01T10:00")))).lease(HOUR),
        });
        let retired: Arc<Mutex<BTreeSet<JobId>>> = Arc::default();
        let (known, note) = (retired.clone(), world.note());
        world.scheduler.on_event(move |event| match event {
            Event::Started(run) if known.lock().contains(&run.id) => note(&format!("{} started", run.id)),
            Event::Retried { id, .. } if known.lock().contains(id) => note(&format!("{id} is tried again")),
            _ => {}
        });
        let mut jobs: Vec<JobHandle> = Vec::new();
        for number in 0..rng.u32(1..6) {
            jobs.push(any_job(&world, &mut rng, &jobs, number));
        }
        for _ in 0..60 {
            let job = rng.choice(&jobs).expect("there is one");
            match rng.u32(0..13) {
                0 => drop(job.pause()),
                1 => drop(job.resume()),
                2 => drop(job.run_now()),
                3 => *world.held.room.lock() = rng.usize(0..4),
                4 => {
                    if retired.lock().contains(&job.id()) {
                        assert!(!job.retire(), "seed {seed}");
                    } else if rng.bool() {
                        let was_there = job.snapshot().is_some();
                        assert_eq!(job.retire(), was_there, "seed {seed}");
                        retired.lock().insert(job.id());
                        let more = job.snapshot();
                        assert!(more.as_ref().is_none_or(|job| job.retired && job.running), "seed {seed}: {more:?}");
                        (gone_later, gone_at_once) =
                            (gone_later + u64::from(more.is_some()), gone_at_once + u64::from(more.is_none()));
                    }
                }
                5 => world.scheduler.pause(),
                6 => world.scheduler.resume(),
                7 if world.held.len() > 0 => world.held.run(),
                8 if world.held.len() > 0 => drop(world.held.take()),
                9 => world.clock.step(chrono::TimeDelta::minutes(rng.i64(-200..200))),
                _ => {
                    world.clock.advance(MINUTE * rng.u32(0..90));
                    let _ = world.scheduler.run_pending();
                }
            }
        }
        world.scheduler.resume();
        *world.held.room.lock() = 9;
        for job in &jobs {
            job.retire();
            retired.lock().insert(job.id());
        }
        for _ in 0..8 {
            world.clock.advance(MINUTE);
            let _ = world.scheduler.run_pending();
            world.held.run_all();
        }
        assert!(world.scheduler.is_empty(), "seed {seed}: left are\n{}", world.scheduler.jobs());
        // What they held is free.
        let last = world.scheduler.reboot().mutex("db").background().do_(|| ()).unwrap();
        let _ = world.scheduler.run_pending();
        world.held.run_all();
        let _ = world.scheduler.run_pending();
        assert_eq!(last.stats().runs, 1, "seed {seed}: {}", world.scheduler.why(&last));
        assert_eq!(world.noted(), "", "seed {seed}");
    }
    assert!(gone_later > cases / 4 && gone_at_once > cases / 4, "{gone_later} went later, {gone_at_once} at once");
}

fn any_job(world: &World, rng: &mut Rng, others: &[JobHandle], number: u32) -> JobHandle {
    let (turns, attempts) = (rng.u32(0..3), rng.u32(0..3));
    let ends = move |turn: u32, attempt: u32| match (turn, attempt) {
        (turn, _) if turn < turns => Outcome::Yield,
        (_, attempt) if attempt < attempts => Outcome::Retry,
        _ => Outcome::Done,
    };
    let name = format!("job-{number}");
    if let Some(other) = rng.choice(others).filter(|_| rng.u32(0..4) == 0) {
        let follows = world.scheduler.following(other).delay(MINUTE * rng.u32(0..90)).named(name);
        return follows.do_(|| ()).unwrap();
    }
    let mut job = world.scheduler.every(rng.u32(5..90)).minutes();
    if rng.bool() {
        job = job.after_completion();
    }
    if rng.bool() {
        job = job.named(name);
    }
    if rng.bool() {
        job = job.mutex("db");
    }
    if rng.bool() {
        job = job.retry(2).backoff(Backoff::constant(MINUTE * rng.u32(0..30)));
    }
    if rng.u32(0..3) == 0 {
        job = job.timeout(MINUTE * rng.u32(1..60));
    }
    if rng.u32(0..4) == 0 {
        job = job.pause_after_failures(2);
    }
    if rng.bool() {
        return job.do_with(move |run| ends(run.turn(), run.attempt())).unwrap();
    }
    let overlap = [Overlap::Skip, Overlap::Queue { most: 3 }, Overlap::Allow { most: 3 }, Overlap::CancelRunning];
    let overlap = *rng.choice(&overlap).expect("there are four");
    job.overlap(overlap).background().do_with(move |run| ends(run.turn(), run.attempt())).unwrap()
}
