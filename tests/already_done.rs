//! A job whose target is there does not run, and all goes on as if it had: with its value, for those that follow.

mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use punctual::{
    Backoff, Command, Error, Event, Failure, Finished, JobHandle, ManualClock, MemoryStore, Missed, Outcome, RunEnd, RunFacts,
    Scheduler,
};
use world::{HOUR, SECOND, World};

/// What is there, by the hour of its date.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<BTreeSet<String>>>);

impl Shelf {
    fn put(&self, what: &str) {
        self.0.lock().insert(what.to_owned());
    }

    fn has(&self, run: &RunFacts) -> bool {
        self.0.lock().contains(&hour(run))
    }
}

fn hour(run: &RunFacts) -> String {
    run.due.format("%H:%M").to_string()
}

/// Three hours pass, of which what the second is for is there; every way in which a job is called looks first.
#[test]
fn whatever_way_a_job_is_called_it_is_not_if_its_target_is_there() {
    type Add = fn(&World, Shelf) -> JobHandle<u32>;
    let ways: [(&str, Add); 5] = [
        ("on the poll", |world, shelf| {
            let (when, note) = (world.scheduler.every(1).hour(), world.note());
            when.unless_done(move |run| shelf.has(run).then_some(7u32))
                .do_with(move |run| {
                    note(&hour(run.facts()));
                    Ok::<u32, String>(1)
                })
                .unwrap()
        }),
        ("in steps", |world, shelf| {
            let (when, note) = (world.scheduler.every(1).hour(), world.note());
            let when = when.unless_done(move |run| shelf.has(run).then_some(7u32));
            let job = when.do_steps(move |run| {
                note(&hour(run.facts()));
                [Ok::<u32, String>(0), Ok(1)].into_iter()
            });
            job.unwrap()
        }),
        ("in the background", |world, shelf| {
            let (when, note) = (world.scheduler.every(1).hour(), world.note());
            when.unless_done(move |run| Ok::<_, String>(shelf.has(run).then_some(7u32)))
                .background()
                .do_with(move |run| {
                    note(&hour(run.facts()));
                    Ok::<u32, String>(1)
                })
                .unwrap()
        }),
        ("as a future", |world, shelf| {
            let (when, note) = (world.scheduler.every(1).hour(), Arc::new(world.note()));
            let when = when.unless_done(move |run| shelf.has(run).then_some(7u32));
            let spawn = |future| pollster(future);
            let job = when.do_future(spawn, move |run| {
                let note = note.clone();
                async move {
                    note(&hour(run.facts()));
                    Ok::<u32, String>(1)
                }
            });
            job.unwrap()
        }),
        ("following another", |world, shelf| {
            let (first, note) = (world.scheduler.every(1).hour().do_(|| ()).unwrap(), world.note());
            let following = world.scheduler.following(&first).unless_done(move |run| shelf.has(run).then_some(7u32));
            let job = following.do_with(move |run, ()| {
                note(&hour(run.facts()));
                Ok::<u32, String>(1)
            });
            job.unwrap()
        }),
    ];
    for (way, add) in ways {
        let (world, shelf) = (World::new(), Shelf::default());
        shelf.put("12:00");
        let job = add(&world, shelf.clone());
        let values = Arc::new(Mutex::new(Vec::new()));
        let seen = values.clone();
        world.scheduler.following(&job).do_with(move |_, n: &u32| seen.lock().push(*n)).unwrap();
        let mut ends = Vec::new();
        for _ in 0..3 {
            world.clock.advance(HOUR);
            for _ in 0..3 {
                let _ = world.scheduler.run_pending();
                world.held.run_all();
            }
            let _ = world.scheduler.run_pending();
            ends.extend(job.last_run().map(|run| run.end));
        }
        assert_eq!(world.noted(), "11:00 13:00", "{way}");
        assert_eq!(ends, [RunEnd::Done, RunEnd::AlreadyDone, RunEnd::Done], "{way}");
        assert_eq!(*values.lock(), [1, 7, 1], "{way}");
        let stats = job.stats();
        assert_eq!((stats.runs, stats.already_done, stats.errors), (3, 1, 0), "{way}");
    }
}

/// Futures of these tests are ready at once.
fn pollster(future: punctual::JobFuture) {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_ready());
}

#[test]
fn a_chain_is_dated_by_its_first_run_however_late_it_comes() {
    let (world, shelf) = (World::new(), [Shelf::default(), Shelf::default(), Shelf::default()]);
    shelf[0].put("11:00");
    shelf[1].put("12:00");
    shelf[2].put("11:00");
    let step = |name: &'static str, shelf: &Shelf| {
        let (note, there, put) = (world.note(), shelf.clone(), shelf.clone());
        let look = move |run: &RunFacts| there.has(run);
        let work = move |run: &RunFacts| {
            put.put(&hour(run));
            note(&format!("{name}-{}", hour(run)));
        };
        (look, work)
    };
    let (look, work) = step("fetch", &shelf[0]);
    let hourly = world.scheduler.every(1).hour().missed(Missed::RunAll { most: 9 });
    let fetch = hourly.unless_done(look).do_with(move |run| work(run.facts())).unwrap();
    let (look, work) = step("clean", &shelf[1]);
    let clean = world.scheduler.following(&fetch).unless_done(look).do_with(move |run, ()| work(run.facts())).unwrap();
    let (look, work) = step("report", &shelf[2]);
    let report = world.scheduler.following(&clean).unless_done(look).do_with(move |run, ()| work(run.facts())).unwrap();
    world.clock.advance(3 * HOUR);
    while world.scheduler.run_pending().ran() > 0 {}
    let noted = world.noted();
    assert_eq!(noted, "clean-11:00 fetch-12:00 report-12:00 fetch-13:00 clean-13:00 report-13:00");
    for (job, already) in [(&fetch, 1), (&clean, 1), (&report, 1)] {
        assert_eq!((job.stats().runs, job.stats().already_done), (3, already));
    }
}

#[test]
fn each_attempt_looks_anew_and_what_cannot_look_has_failed() {
    let (world, shelf) = (World::new(), Shelf::default());
    world.noting_events(|event| match event {
        Event::Failed(Failure { kind, .. }) => Some(format!("{kind}")),
        Event::Ended { end, .. } => Some(format!("{end:?}")),
        _ => None,
    });
    let (there, put) = (shelf.clone(), shelf.clone());
    let mut looked = 0;
    let count = Arc::new(Mutex::new(move || {
        looked += 1;
        looked
    }));
    let job = world.scheduler.every(1).hour().retry(5).backoff(Backoff::constant(SECOND));
    let job = job.unless_done(move |run| match (count.lock())() {
        1 => Err("no answer"),
        2 => panic!("no shelf"),
        _ => Ok(there.has(run)),
    });
    // It puts down what it is for, and fails all the same.
    job.do_with(move |run| {
        put.put(&hour(run.facts()));
        Err::<(), _>("cut short")
    })
    .unwrap();
    let noted: Vec<String> = [HOUR, SECOND, SECOND, SECOND, SECOND].map(|time| world.after(time)).into();
    assert_eq!(noted, ["no answer", "panicked: no shelf", "cut short", "AlreadyDone", ""]);
}

/// What a run that was cut off has done is seen by the next process.
#[test]
fn what_was_done_before_the_process_ended_is_not_done_again() {
    let clock = ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap());
    let (store, shelf, calls) = (MemoryStore::new(clock.clone()), Shelf::default(), Arc::new(Mutex::new(0)));
    let life = |dies: bool| {
        let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(chrono::Utc).store(store.clone()).build();
        let (there, put, calls) = (shelf.clone(), shelf.clone(), calls.clone());
        let hourly = scheduler.every(1).hour().named("fetch").at_least_once().unless_done(move |run| there.has(run));
        let job = hourly.do_with(move |run| {
            put.put(&hour(run.facts()));
            *calls.lock() += 1;
            // As if the process ended here: no end is written.
            if dies { Outcome::Yield } else { Outcome::Done }
        });
        (job.unwrap(), scheduler)
    };
    let (_, scheduler) = life(true);
    clock.advance(HOUR);
    let _ = scheduler.run_pending();
    std::mem::forget(scheduler);
    let (job, scheduler) = life(false);
    let _ = scheduler.run_pending();
    let last = job.last_run().unwrap();
    assert_eq!((last.end, last.attempt, *calls.lock()), (RunEnd::AlreadyDone, 2, 1));
}

/// A result that was not kept in the store is found where the run has put it.
#[test]
fn who_follows_in_the_next_process_is_given_what_the_target_finds() {
    for (is_there, expected) in [(true, "7"), (false, "the result to follow could not be read from the store")] {
        let clock = ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap());
        let (store, shelf, noted) = (MemoryStore::new(clock.clone()), Shelf::default(), Arc::new(Mutex::new(Vec::new())));
        let life = || {
            let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(chrono::Utc).store(store.clone()).build();
            let (there, put) = (shelf.clone(), shelf.clone());
            let fetch = scheduler.every(1).hour().named("fetch").unless_done(move |run| there.has(run).then_some(7u32));
            let fetch = fetch.do_with(move |run| {
                put.put(&hour(run.facts()));
                Ok::<u32, String>(1)
            });
            let (later, noted) = (scheduler.following(&fetch.unwrap()).named("clean").delay(SECOND), noted.clone());
            let later = later.do_with(move |_, n: &u32| noted.lock().push(n.to_string())).unwrap();
            (scheduler, later)
        };
        let (scheduler, _) = life();
        clock.advance(HOUR);
        let _ = scheduler.run_pending();
        let _ = scheduler.run_pending();
        drop(scheduler);
        if !is_there {
            shelf.0.lock().clear();
        }
        let (scheduler, later) = life();
        clock.advance(SECOND);
        let _ = scheduler.run_pending();
        noted.lock().extend(later.last_error().map(|error| error.to_string()));
        assert_eq!(*noted.lock(), [expected]);
    }
}

/// What a job says itself counts as what its target says.
#[test]
fn a_job_may_find_out_by_itself() {
    let world = World::new();
    let one = world.scheduler.every(1).hour().do_(|| Outcome::AlreadyDone).unwrap();
    let other = world.scheduler.every(1).hour().unless_done(|_| true).do_(|| Ok::<_, String>(Outcome::Done)).unwrap();
    let background = world.scheduler.every(1).hour().background().do_(|| Outcome::AlreadyDone).unwrap();
    world.scheduler.following_any([&one, &background]).do_(world.noting("followed")).unwrap();
    world.clock.advance(HOUR);
    let _ = world.scheduler.run_pending();
    world.held.run();
    let _ = world.scheduler.run_pending();
    assert_eq!(world.noted(), "followed followed");
    for stats in [one.stats(), other.stats(), background.stats()] {
        assert_eq!((stats.runs, stats.already_done), (1, 1));
    }
}

#[test]
fn no_command_is_started_for_what_is_there() {
    let world = World::new();
    let hourly = world.scheduler.every(1).hour().unless_done(|_| true);
    let job = hourly.do_command(Command::new("/no/such/program")).unwrap();
    let (note, following) = (world.note(), world.scheduler.following(&job));
    following.do_with(move |_, finished: &Finished| note(&format!("{finished},{:?}", finished.stdout_text()))).unwrap();
    world.clock.advance(HOUR);
    while job.stats().runs == 0 {
        let _ = world.scheduler.run_pending();
        world.scheduler.wait(SECOND);
    }
    assert_eq!(world.noted(), "exit code 0,\"\"");
    assert_eq!(job.last_run().map(|run| run.end), Some(RunEnd::AlreadyDone));
}

#[test]
fn a_target_that_finds_something_else_is_refused() {
    let world = World::new();
    let hourly = || world.scheduler.every(1).hour();
    let refused = [
        hourly().unless_done(|_| true).do_(|| Ok::<u32, String>(1)).map(drop),
        hourly().unless_done(|_| Some(7u64)).do_(|| Ok::<u32, String>(1)).map(drop),
        hourly().unless_done(|_| Some("a")).background().do_(|| ()).map(drop),
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::OtherTarget { .. })), "{result:?}");
    }
    assert!(world.scheduler.is_empty());
}
