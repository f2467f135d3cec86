//! The scheduler's promises, each a story on a manual clock.

mod world;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use parking_lot::Mutex;
use punctual::{ClockChange, DropReason, Error, Event, LateBy, Missed, Outcome, Scheduler};
use world::{HOUR, MINUTE, World, at};

#[test]
fn a_night_asleep_is_made_up_for_as_the_job_says() {
    let rows = [
        (Missed::RunOnce, None, vec!["01T19:00 folded 9"]),
        (Missed::Skip, None, vec!["01T19:00 folded 1"]),
        (Missed::RunAll { most: 3 }, None, vec!["01T17:00 folded 1", "01T18:00 folded 1", "01T19:00 folded 1"]),
        (Missed::RunAll { most: 3 }, Some(90), vec!["01T18:00 folded 1", "01T19:00 folded 1"]),
    ];
    for (missed, grace, runs) in rows {
        let world = World::new();
        let log = world.log.clone();
        let job = world.scheduler.every(1).hour().missed(missed);
        let job = grace.map_or(job, |minutes| world.scheduler.every(1).hour().missed(missed).grace(minutes * MINUTE));
        job.do_with(move |run| log.lock().push(format!("{} folded {}", run.due().format("%dT%H:%M"), run.folded()))).unwrap();
        world.clock.suspend(9 * HOUR);
        assert_eq!(world.polled(), runs.join(" "), "{missed:?} {grace:?}");
    }
}

#[test]
fn what_is_later_than_the_grace_is_dropped_and_that_is_said() {
    let world = World::new();
    let log = world.log.clone();
    world.scheduler.on_event(move |event| {
        if let Event::Dropped { occurrences, .. } = event {
            log.lock().push(format!("dropped {occurrences}"));
        }
    });
    let job = world.scheduler.every(1).hour().grace(10 * MINUTE).do_(world.noting("ran")).unwrap();
    assert_eq!(world.after(2 * HOUR + 30 * MINUTE), "dropped 2");
    assert_eq!(job.stats().dropped, 2);
    assert_eq!(world.after(35 * MINUTE), "ran");
}

#[test]
fn setting_the_clock_moves_calendars_and_not_intervals() {
    for hours in [-5, -1, 1, 30] {
        let world = World::new();
        let interval = world.scheduler.every(2).hours().do_(world.noting("interval")).unwrap();
        let daily = world.scheduler.every(1).day().at("10:30").do_(world.noting("daily")).unwrap();
        assert_eq!(world.after(31 * MINUTE), "daily");
        world.clock.step(TimeDelta::hours(hours));
        let stepped = if hours == 30 { "daily" } else { "" };
        assert_eq!(world.polled(), stepped, "{hours}");
        assert_eq!(world.after(88 * MINUTE), "", "{hours}");
        assert_eq!(world.after(MINUTE), "interval", "{hours}");
        assert_eq!(interval.stats().runs, 1);
        // Nothing runs twice: not when 10:30 comes round again.
        let runs = daily.stats().runs;
        if hours < 0 {
            assert_eq!(daily.next_run(), Some(at("02T10:30")), "{hours}");
        }
        assert_eq!(daily.stats().runs, runs);
    }
}

#[test]
fn a_clock_that_was_years_ahead_is_followed_anew_once_it_is_set_back() {
    let world = World::new();
    let log = world.log.clone();
    world.scheduler.on_event(move |event| match event {
        Event::Reanchored { .. } => log.lock().push("reanchored".into()),
        Event::Clock(ClockChange::SteppedBack(_)) => log.lock().push("back".into()),
        Event::Clock(ClockChange::SteppedForward(_)) => log.lock().push("forward".into()),
        _ => {}
    });
    let job = world.scheduler.every(1).day().at("10:30").do_(world.noting("ran")).unwrap();
    world.clock.step(TimeDelta::days(1000));
    assert_eq!(world.polled(), "forward ran");
    world.clock.step(TimeDelta::days(-1000));
    assert_eq!(world.polled(), "back reanchored");
    assert_eq!(job.next_run(), Some(at("01T10:30")));
}

#[test]
fn what_is_due_together_runs_by_due_time_priority_and_registration() {
    let world = World::new();
    world.scheduler.every(1).hour().do_(world.noting("c")).unwrap();
    world.scheduler.cron("0 11 * * *").priority(-1).do_(world.noting("b")).unwrap();
    world.scheduler.cron("0 11 * * *").do_(world.noting("d")).unwrap();
    world.scheduler.cron("59 10 * * *").priority(9).do_(world.noting("a")).unwrap();
    assert_eq!(world.after(HOUR), "a b c d");
}

#[test]
fn a_job_that_follows_runs_once_for_each_success_with_its_result() {
    let world = World::new();
    let mut n = 0;
    let first = world.scheduler.every(1).hour().missed(Missed::RunAll { most: 9 });
    let first = first.do_(move || {
        n += 1;
        if n == 2 { Err("second") } else { Ok(n) }
    });
    let first = first.unwrap();
    let (log, other) = (world.log.clone(), world.log.clone());
    let second = world.scheduler.following(&first).do_with(move |run, n: &i32| {
        log.lock().push(format!("B{n}@{}", run.follows().map_or(0, |run| run.due.timestamp() / 3600 % 24)));
        Ok::<_, Error>(n * 10)
    });
    let second = second.unwrap();
    world.scheduler.following(&second).do_with(move |_, n: &i32| other.lock().push(format!("C{n}"))).unwrap();
    assert_eq!(world.after(3 * HOUR), "B1@11 C10 B3@13 C30");
    assert_eq!((first.stats().errors, second.stats().runs), (1, 2));
    assert_eq!(first.last_value().as_deref(), Some(&3));
    first.cancel();
    assert!(world.scheduler.is_empty(), "what follows ends with what it follows");
}

#[test]
fn panics_are_caught_counted_and_reported() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let world = World::new();
    let log = world.log.clone();
    world.scheduler.on_error(move |failure| log.lock().push(failure.kind.to_string()));
    world.scheduler.on_event(|_| panic!("an observer"));
    let job = world.scheduler.every(1).hour().do_(|| -> () { panic!("boom") }).unwrap();
    world.scheduler.every(1).hour().do_(|| -> () { std::panic::panic_any(Bomb) }).unwrap();
    world.scheduler.every(1).hour().do_(world.noting("ran")).unwrap();
    for _ in 0..2 {
        assert_eq!(world.after(HOUR), "panicked: boom panicked: with a payload that is no text ran");
    }
    assert_eq!(job.stats().panics, 2);
}

#[test]
fn a_job_may_do_anything_to_its_scheduler() {
    let world = World::new();
    let log = world.log.clone();
    world
        .scheduler
        .every(1)
        .hour()
        .do_with(move |run| {
            let scheduler = run.scheduler();
            for _ in 0..10_000 {
                scheduler.once_at(at("01T09:00")).do_(|| ()).unwrap();
            }
            let nested = scheduler.run_pending();
            log.lock().push(format!("{} {}", nested.was_busy(), nested.ran()));
            Outcome::Cancel
        })
        .unwrap();
    assert_eq!(world.after(HOUR), "true 0");
    assert_eq!(world.scheduler.len(), 10_000);
    assert_eq!(world.scheduler.run_pending().ran(), 10_000);
    assert!(world.scheduler.is_empty());

    // Dropping the last hold on the scheduler from inside.
    let world = World::new();
    let held = Arc::new(Mutex::new(Some(world.scheduler.clone())));
    let hold = held.clone();
    let job = world.scheduler.every(1).hour().do_(move || drop(hold.lock().take())).unwrap();
    world.clock.advance(HOUR);
    let scheduler = world.scheduler;
    assert_eq!(scheduler.run_pending().ran(), 1);
    drop(scheduler);
    assert!(!job.cancel() && !job.pause() && !job.run_now() && job.next_run().is_none());
}

#[test]
fn the_user_s_own_code_in_a_schedule_may_panic_or_call_back() {
    let world = World::new();
    let scheduler = world.scheduler.clone();
    let calls_back = world.scheduler.every(1).day().at("11:00").except_when(move |_| scheduler.len() > 100);
    calls_back.do_(world.noting("ran")).unwrap();
    assert_eq!(world.after(HOUR), "ran");
    let panics =
        world.scheduler.every(1).day().at("12:00").except_when(|date| date > at("01T00:00").date_naive() && panic!("own"));
    let job = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panics.do_(|| ())));
    drop(job);
    assert_eq!(world.after(24 * HOUR), "ran");
}

#[test]
fn no_number_makes_it_hang_or_panic() {
    let world = World::new();
    for n in [0, 1, 2, u32::MAX] {
        for when in [
            world.scheduler.every(n).milliseconds(),
            world.scheduler.every(n).hours().at(":30"),
            world.scheduler.every(n).days().at("10:30"),
            world.scheduler.every(n).weeks(),
            world.scheduler.every(n).months(),
            world.scheduler.every(n).years(),
            world.scheduler.every(1).to(n).days(),
            world.scheduler.every(1).day().jitter(Duration::MAX).slack(Duration::MAX).grace(Duration::MAX),
            world.scheduler.every_period(Duration::from_nanos(n.into())),
            world.scheduler.once_after(Duration::from_secs(n.into())),
        ] {
            let _ = when.priority(i32::MIN).do_(|| ());
        }
    }
    for step in [TimeDelta::days(400_000), TimeDelta::days(-800_000), TimeDelta::MAX, TimeDelta::MIN] {
        world.clock.step(step);
        let _ = world.scheduler.run_pending();
    }
    world.clock.advance(Duration::MAX);
    let _ = world.scheduler.run_pending();
}

#[test]
fn threads_may_register_cancel_and_poll_at_once() {
    let world = World::new();
    let barrier = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                for n in 1..500 {
                    let job = world.scheduler.every(n).seconds().do_(|| ()).unwrap();
                    world.clock.advance(Duration::from_millis(10));
                    let _ = world.scheduler.run_pending();
                    job.run_now();
                    job.pause();
                    job.resume();
                    assert!(job.cancel());
                }
            });
        }
    });
    assert!(world.scheduler.is_empty());
}

#[test]
fn the_table_of_jobs_lines_up() {
    let world = World::new();
    world.scheduler.every(5).minutes().named("quakes").do_(|| Err::<(), _>("x")).unwrap();
    world.scheduler.cron("0 9 * * 1-5").named("desk").do_(|| ()).unwrap().pause();
    world.after(5 * MINUTE);
    let table = "\
job  name    next run             last run             runs          schedule
  1  quakes  2026-03-01 10:10:00  2026-03-01 10:05:00  1 (1 failed)  every 5 minutes
  2  desk    paused               -                    0             cron 0 9 * * 1-5";
    assert_eq!(world.scheduler.jobs().to_string(), table);
}

#[test]
fn a_spent_budget_puts_jobs_off_in_their_order() {
    let world = World::built(|builder| builder.budget(Duration::from_millis(10)));
    let log = world.log.clone();
    world.scheduler.on_event(move |event| match event {
        Event::PutOff { jobs, .. } => log.lock().push(format!("({jobs} put off)")),
        Event::Overran { by, .. } => log.lock().push(format!("({by:?} over)")),
        _ => {}
    });
    for name in ["a", "b", "c", "d", "e"] {
        world.scheduler.every(1).hour().do_(world.taking(4, name)).unwrap();
    }
    let log = world.log.clone();
    let last = world.scheduler.every(1).hour().do_with(move |run| log.lock().push(format!("f by {:?}", run.late_by()))).unwrap();
    assert_eq!(world.after(HOUR), "a b c (2ms over) (3 put off)");
    // What comes due meanwhile waits its turn.
    world.scheduler.once_after(Duration::ZERO).priority(-9).do_(world.taking(1, "younger")).unwrap();
    let tick = world.scheduler.run_pending_within(Duration::from_millis(8));
    assert_eq!((tick.ran(), tick.put_off(), tick.overran()), (2, 2, None));
    assert_eq!(tick.idle(HOUR), Duration::ZERO);
    assert_eq!(world.polled(), "d e (2 put off) f by Budget younger");
    assert_eq!(last.stats().runs, 1);

    // However small the budget and however much is due, each job has its turn.
    let world = World::built(|builder| builder.budget(Duration::ZERO));
    let jobs: Vec<_> = (0..7).map(|n| world.scheduler.every(1 + n % 3).seconds().do_(world.taking(700, "")).unwrap()).collect();
    world.clock.advance(Duration::from_secs(3));
    for _ in 0..70 {
        world.clock.advance(Duration::from_millis(16));
        assert_eq!(world.scheduler.run_pending().ran(), 1);
    }
    assert!(jobs.iter().all(|job| job.stats().runs >= 7), "{}", world.scheduler.jobs());
}

#[test]
fn a_run_that_yields_goes_on_at_later_polls_in_turn_with_others() {
    let world = World::new();
    let log = world.log.clone();
    world.scheduler.on_event(move |event| {
        if let Event::Dropped { occurrences, because: DropReason::Overlapped, .. } = event {
            log.lock().push(format!("({occurrences} skipped)"));
        }
    });
    let jobs = ["a", "b"].map(|name| {
        let log = world.log.clone();
        let job = world.scheduler.every(1).hour().do_with(move |run| {
            run.progress(u64::from(run.turn()) + 1, 3);
            log.lock().push(format!("{name}{}", run.turn()));
            if run.turn() < 2 { Outcome::Yield } else { Outcome::Done }
        });
        job.unwrap()
    });
    let follower = world.scheduler.following(&jobs[0]).do_(world.noting("after a")).unwrap();
    world.scheduler.every(1).hour().do_(world.noting("c")).unwrap();
    assert_eq!(world.after(HOUR), "a0 b0 c");
    assert_eq!(jobs[0].progress().map(|progress| (progress.done, progress.of)), Some((1, 3)));
    assert_eq!(jobs[0].stats().runs, 0, "it is one run, not over");
    assert_eq!(world.polled(), "a1 b1");
    // The clock set back holds up neither; an occurrence that comes meanwhile is skipped.
    world.clock.step(TimeDelta::hours(-5));
    assert_eq!(world.after(HOUR), "(1 skipped) a2 (1 skipped) b2 after a c");
    assert_eq!((jobs[0].stats().runs, jobs[0].stats().dropped, follower.stats().runs), (1, 1, 1));
    assert_eq!(world.polled(), "");
    assert_eq!(world.after(HOUR), "a0 b0 c");
    assert!(jobs[0].cancel());
    assert_eq!(world.polled(), "b1");
}

#[test]
fn a_job_in_steps_takes_what_the_budget_leaves() {
    let world = World::built(|builder| builder.budget(Duration::from_millis(10)));
    let step = |name: &'static str, last: u32| {
        let (clock, log) = (world.clock.clone(), world.log.clone());
        move |n: u32| {
            clock.advance(Duration::from_millis(4));
            log.lock().push(format!("{name}{n}"));
            if n == last { Err("no further") } else { Ok(()) }
        }
    };
    let (one, other) = (step("a", 9), step("b", 4));
    let a = world.scheduler.every(1).hour().do_steps(move |_| (0..5).map(one.clone())).unwrap();
    let b = world.scheduler.every(1).hour().do_steps(move |_| (0..).map(other.clone())).unwrap();
    assert_eq!(world.after(HOUR), "a0 a1 a2");
    assert_eq!([world.polled(), world.polled(), world.polled()], ["b0 b1 b2", "a3 a4 b3", "b4"]);
    assert_eq!((a.stats().runs, b.stats().errors), (1, 1));
    assert_eq!(b.last_error().map(|error| error.to_string()).as_deref(), Some("no further"));
    // The next run begins anew; under a clock that stands still an endless one still gives way.
    assert_eq!(world.after(HOUR).split(' ').next(), Some("a0"));
    let still = World::built(|builder| builder.budget(Duration::from_millis(10)));
    let endless = still.scheduler.every(1).hour().do_steps(|_| std::iter::repeat(())).unwrap();
    still.clock.advance(HOUR);
    assert_eq!(still.scheduler.run_pending().ran(), 1);
    assert_eq!(endless.stats().runs, 0);
}

#[test]
fn what_is_asked_for_by_hand_is_not_held_up_by_a_clock_set_back() {
    let world = World::new();
    let job = world.scheduler.every(1).day().at("12:00").do_(world.noting("ran")).unwrap();
    world.scheduler.every(1).day().at("12:00").immediately().do_(world.noting("at once")).unwrap();
    assert!(job.run_now());
    world.clock.step(TimeDelta::hours(-5));
    assert_eq!(world.polled(), "ran at once");
}

#[test]
fn a_late_run_says_who_held_it_up() {
    let world = World::new();
    world.scheduler.every(1).hour().do_(world.taking(5_000, "")).unwrap();
    let log = world.log.clone();
    let note = move |run: &mut punctual::Run<'_>| log.lock().push(format!("{:?} by {:?}", run.late(), run.late_by()));
    world.scheduler.every(1).hour().do_with(note).unwrap();
    let since = |text: String| text.trim_start().to_owned();
    assert_eq!(since(world.after(HOUR)), format!("5s by {:?}", LateBy::OtherJobs));
    assert_eq!(since(world.after(HOUR)), format!("10s by {:?}", LateBy::Host));
    world.clock.suspend(2 * HOUR);
    assert_eq!(since(world.polled()).split(" by ").nth(1), Some("Suspend"));
}

#[test]
fn a_wait_ends_by_whatever_comes_first() {
    // Nobody sleeps here: an hour is never waited for.
    let world = World::new();
    assert!(!world.scheduler.wait(Duration::ZERO), "time is up");
    world.scheduler.wake();
    assert!(world.scheduler.wait(HOUR), "a wake is not lost if nobody waits yet");
    world.scheduler.every(1).hour().do_(world.noting("ran")).unwrap();
    world.clock.advance(HOUR);
    assert!(world.scheduler.wait(HOUR), "a job is due");
    assert_eq!(world.polled(), "ran");
    let ways: [fn(&World); 4] = [
        |world| world.scheduler.wake(),
        |world| drop(world.scheduler.every(2).hours().do_(|| ()).unwrap()),
        |world| world.scheduler.resume(),
        |world| drop(world.scheduler.shutdown(Duration::ZERO)),
    ];
    for way in ways {
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| world.scheduler.wait(HOUR));
            // Early or late, a wait that has begun ends.
            while !waiting.is_finished() {
                way(&world);
                std::thread::yield_now();
            }
        });
    }
    assert!(matches!(world.scheduler.every(1).hour().do_(|| ()), Err(Error::ShutDown)));
    assert!(world.scheduler.wait(HOUR), "after the end there is nothing to wait for");
    assert_eq!(world.after(9 * HOUR), "", "after the end nothing runs");
}

#[test]
fn foreign_loops_are_told_when_to_look_again() {
    let world = World::new();
    let (scheduler, log) = (world.scheduler.clone(), world.log.clone());
    world.scheduler.on_change(move || log.lock().push(format!("{:?}", scheduler.idle())));
    world.scheduler.on_change(|| panic!("a callback"));
    let job = world.scheduler.every(1).hour().do_(|| ()).unwrap();
    job.pause();
    job.resume();
    job.run_now();
    job.reschedule("every 3 hours".parse().unwrap()).unwrap();
    let told = std::mem::take(&mut *world.log.lock()).join(" ");
    assert_eq!(told, "Some(3600s) Some(3600s) Some(0ns) Some(0ns)");
    assert_eq!(world.after(HOUR), "", "a poll by itself changes nothing from outside");
}

#[test]
fn a_thread_of_its_own_runs_the_jobs_and_gives_the_host_back() {
    let scheduler: Scheduler<Vec<u32>> = Scheduler::builder().build();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = scheduler.spawn_with(vec![1]).unwrap();
    let add = move |run: &mut punctual::Run<'_, Vec<u32>>| {
        run.host().push(2);
        tell.send(())
    };
    scheduler.reboot().do_with(add).unwrap();
    told.recv().unwrap();
    assert_eq!(thread.stop(), Some(vec![1, 2]));

    // Dropped by one of its own jobs it does not wait for itself.
    let held = Arc::new(Mutex::new(None));
    let (tell, told) = std::sync::mpsc::channel();
    let hold = held.clone();
    let job = scheduler.every(1).millisecond().do_(move || {
        if let Some(thread) = hold.lock().take() {
            drop::<punctual::Spawned<Vec<u32>>>(thread);
            tell.send(()).unwrap();
        }
    });
    *held.lock() = Some(scheduler.spawn_with(Vec::new()).unwrap());
    told.recv().unwrap();
    job.unwrap().cancel();
}

#[test]
fn a_shutdown_names_what_did_not_end() {
    let world = World::new();
    let yields = world.scheduler.every(1).hour().named("steps").do_(|| Outcome::Yield).unwrap();
    world.scheduler.every(2).hours().do_(world.noting("never")).unwrap();
    let log = world.log.clone();
    let asks = world.scheduler.every(1).hour().named("asks").do_with(move |run| {
        let left = run.scheduler().shutdown(HOUR);
        let names: Vec<_> = left.iter().filter_map(|job| job.name.as_deref()).collect();
        log.lock().push(format!("{names:?} {}", run.should_stop()));
    });
    asks.unwrap();
    world.scheduler.every(1).hour().do_(world.noting("nor this")).unwrap();
    assert_eq!(world.after(HOUR), r#"["steps", "asks"] true"#);
    assert_eq!(world.after(HOUR), "");
    assert_eq!(world.scheduler.shutdown(HOUR).iter().map(|job| job.id).collect::<Vec<_>>(), [yields.id()]);
    assert_eq!(world.scheduler.idle(), None);

    // A run in another thread is asked to stop, and waited for.
    let world = World::new();
    let (tell, told) = std::sync::mpsc::channel();
    let long = world.scheduler.every(1).hour().do_with(move |run| {
        tell.send(()).unwrap();
        while !run.should_stop() {
            std::thread::yield_now();
        }
    });
    world.clock.advance(HOUR);
    std::thread::scope(|scope| {
        scope.spawn(|| world.polled());
        told.recv().unwrap();
        assert!(world.scheduler.shutdown(HOUR).is_empty());
    });
    assert_eq!(long.unwrap().stats().runs, 1);
}

#[test]
fn what_a_refused_job_holds_is_dropped_with_no_lock_held() {
    struct Asks(Scheduler, Arc<Mutex<Vec<String>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.1.lock().push(format!("dropped beside {} jobs", self.0.len()));
        }
    }
    let world = World::new();
    let gone = world.scheduler.every(1).hour().do_(|| ()).unwrap();
    gone.cancel();
    let asks = Asks(world.scheduler.clone(), world.log.clone());
    assert!(matches!(
        world.scheduler.following(&gone).do_(move || {
            let _ = &asks;
        }),
        Err(Error::JobGone)
    ));
    assert_eq!(world.polled(), "dropped beside 0 jobs");
}
