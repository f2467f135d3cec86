//! What a job may ask for besides when it runs: retries, spacing, limits, conditions, hours; and that nothing is lost by it.

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use punctual::{Backoff, Blocked, DropReason, Event, FailureKind, LateBy, Outcome, Overlap, RunEnd, Why};
use world::{HOUR, MINUTE, SECOND, World, at};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_run_that_fails_is_tried_again_after_each_wait() {
    let rows: [(Backoff, Vec<u64>); 4] = [
        (Backoff::constant(SECOND), vec![1, 1, 1, 1]),
        (Backoff::exponential(SECOND, 5 * SECOND), vec![1, 2, 4, 5]),
        (Backoff::list([3 * SECOND, SECOND]), vec![3, 1, 1, 1]),
        (Backoff::list([]), vec![0, 0, 0, 0]),
    ];
    for (backoff, waits) in rows {
        let world = World::new();
        let (clock, note) = (world.clock.clone(), world.note());
        let job = world.scheduler.every(1).hour().retry(4).backoff(backoff.clone()).do_with(move |run| {
            note(&format!("{}@{}", run.attempt(), (clock.wall() - run.due()).num_seconds()));
            Err::<(), _>("no")
        });
        let job = job.unwrap();
        let mut told = vec![world.after(HOUR)];
        let mut since = 0;
        for wait in &waits {
            since += wait;
            if *wait > 0 {
                assert_eq!(world.after(millis(wait * 1000 - 1)), "", "{backoff:?}");
            }
            told.push(world.after(millis(u64::from(*wait > 0))));
            assert_eq!(told.last().map(String::as_str), Some(format!("{}@{since}", told.len()).as_str()), "{backoff:?}");
        }
        let stats = job.stats();
        assert_eq!((stats.runs, stats.errors, stats.retries), (1, 1, 4), "{backoff:?}");
        assert_eq!(job.last_run().map(|run| (run.attempt, run.end)), Some((5, RunEnd::Failed)));
    }
}

#[test]
fn attempts_have_the_same_occurrence_and_the_last_one_counts() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::Failed(failure) => Some(failure.kind.to_string().replace(' ', "-")),
        Event::Retried { attempt, wait, .. } => Some(format!("attempt-{attempt}-in-{wait:?}")),
        Event::Ended { end, .. } => Some(format!("{end:?}")),
        _ => None,
    });
    let backoff = Backoff::constant(MINUTE);
    let job = world.scheduler.every(1).hour().retry(3).backoff(backoff).do_with(|run| match run.attempt() {
        1 => Err("an error".to_owned()),
        2 => panic!("a panic"),
        3 => Ok(Outcome::Retry),
        _ => Ok(Outcome::Done),
    });
    let job = job.unwrap();
    let follower = world.scheduler.following(&job).do_(world.noting("followed")).unwrap();
    assert_eq!(world.after(HOUR), "an-error attempt-2-in-60s");
    assert_eq!(world.scheduler.why(&job), Why::Retrying { attempt: 2, at: at("01T11:01") });
    assert_eq!(world.scheduler.jobs()[0].retrying, Some(2));
    assert_eq!(world.after(MINUTE), "panicked:-a-panic attempt-3-in-60s");
    assert_eq!(world.after(MINUTE), "asked-to-be-tried-again attempt-4-in-60s");
    assert_eq!(world.after(MINUTE), "Done followed Done");
    let last = job.last_run().unwrap();
    assert_eq!((last.due, last.attempt, last.end), (at("01T11:00"), 4, RunEnd::Done));
    assert_eq!((job.stats().runs, job.stats().errors, follower.stats().runs), (1, 0, 1));
}

#[test]
fn retry_if_says_what_is_worth_it_and_may_panic() {
    let world = World::new();
    let only = |failure: &punctual::Failure| match &failure.kind {
        FailureKind::Error(error) if error.to_string() == "worse" => panic!("in retry_if"),
        FailureKind::Error(error) => error.to_string() == "busy",
        _ => false,
    };
    let mut answers = ["busy", "gone", "worse"].into_iter();
    let note = world.note();
    let job = world.scheduler.every(1).hour().retry(5).backoff(Backoff::list([])).retry_if(only).do_with(move |run| {
        note(&run.attempt().to_string());
        answers.next().map_or(Ok(()), Err)
    });
    let job = job.unwrap();
    assert_eq!(world.after(HOUR), "1");
    assert_eq!(world.polled(), "2", "the next attempt is due at the next poll at the earliest");
    assert_eq!(world.after(HOUR), "1");
    assert_eq!((job.stats().runs, job.stats().errors), (2, 2));
    assert_eq!(world.polled(), "");
}

#[test]
fn jitter_spreads_attempts_the_same_way_for_the_same_seed() {
    let waits = |seed| {
        let world = World::built(|builder| builder.seed(seed).retry(1, Backoff::constant(SECOND).jitter(10 * SECOND)));
        world.noting_events(|event| match event {
            Event::Retried { wait, .. } => Some(wait.as_millis().to_string()),
            _ => None,
        });
        for _ in 0..20 {
            world.scheduler.every(1).hour().do_(|| Err::<(), _>("no")).unwrap();
        }
        world.after(HOUR)
    };
    let drawn = waits(1);
    assert_eq!(drawn, waits(1));
    assert_ne!(drawn, waits(2));
    let drawn: Vec<u64> = drawn.split(' ').map(|wait| wait.parse().unwrap()).collect();
    assert!(drawn.iter().all(|wait| (1000..=11_000).contains(wait)), "{drawn:?}");
    assert!(drawn.iter().max().unwrap() - drawn.iter().min().unwrap() > 5000, "{drawn:?}");
}

#[test]
fn a_run_waiting_for_another_attempt_overlaps_with_the_next_occurrence() {
    for (overlap, told, dropped) in [
        (None, "1@11 2@11", 1),
        (Some(Overlap::Queue { most: 1 }), "1@11 2@11 1@12", 0),
        (Some(Overlap::CancelRunning), "1@11 1@12", 0),
    ] {
        let world = World::new();
        let note = world.note();
        let job = world.scheduler.every(1).hour().retry(1).backoff(Backoff::constant(90 * MINUTE));
        let job = overlap.map_or(job, |overlap| {
            let job = world.scheduler.every(1).hour().retry(1).backoff(Backoff::constant(90 * MINUTE));
            job.overlap(overlap)
        });
        let job = job.do_with(move |run| {
            note(&format!("{}@{}", run.attempt(), run.due().format("%H")));
            Err::<(), _>("no")
        });
        let polls = [world.after(HOUR), world.after(HOUR), world.after(30 * MINUTE)];
        let polls: Vec<&str> = polls.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        assert_eq!(polls.join(" "), told, "{overlap:?}");
        assert_eq!(job.unwrap().stats().dropped, dropped, "{overlap:?}");
    }
}

#[test]
fn a_job_that_fails_again_and_again_is_paused_and_says_so() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::Paused { failures, .. } => Some(format!("paused-after-{failures}")),
        _ => None,
    });
    let mut results = [Err("1"), Ok(()), Err("2"), Err("3"), Err("4"), Ok(())].into_iter();
    let job = world.scheduler.every(1).hour().pause_after_failures(3).do_(move || results.next().unwrap_or(Ok(()))).unwrap();
    for _ in 0..4 {
        assert_eq!(world.after(HOUR), "");
    }
    assert_eq!(world.after(HOUR), "paused-after-3");
    assert_eq!(world.scheduler.why(&job).to_string(), "it is paused after 3 failures in a row");
    assert_eq!(world.after(5 * HOUR), "");
    assert_eq!(job.stats().runs, 5);
    job.resume();
    assert_eq!(world.after(HOUR), "");
    assert_eq!((job.stats().runs, job.stats().errors), (6, 4));
}

#[test]
fn runs_on_the_polling_thread_learn_that_their_time_is_up() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::TimedOut { limit, .. } => Some(format!("late-{limit:?}")),
        _ => None,
    });
    let (clock, note) = (world.clock.clone(), world.note());
    let one = world.scheduler.every(1).hour().timeout(10 * SECOND).do_with(move |run| {
        for second in 0..60 {
            if run.should_stop() {
                note(&format!("stopped-at-{second}"));
                return Outcome::Done;
            }
            clock.advance(SECOND);
        }
        Outcome::Done
    });
    assert_eq!(world.after(HOUR), "stopped-at-10");
    assert_eq!(one.unwrap().last_run().map(|run| run.end), Some(RunEnd::Done), "it did as it was told");

    // Too late is said; one in steps is not taken up again.
    let world = World::new();
    world.noting_events(|event| match event {
        Event::TimedOut { limit, .. } => Some(format!("late-{limit:?}")),
        _ => None,
    });
    let late = world.scheduler.every(2).hours().timeout(SECOND).do_(world.taking(3000, "late")).unwrap();
    let steps = world.scheduler.every(1).hour().timeout(SECOND).do_steps(|_| std::iter::repeat(())).unwrap();
    assert_eq!(world.after(HOUR), "");
    assert_eq!(world.after(2 * SECOND), "late-1s");
    assert_eq!((steps.stats().timeouts, steps.last_run().map(|run| run.end)), (1, Some(RunEnd::TimedOut)));
    assert!(steps.cancel());
    assert_eq!(world.after(HOUR), "late late-1s");
    assert_eq!((late.stats().runs, late.stats().timeouts), (1, 0));
}

#[test]
fn spacing_and_rates_let_no_more_start_and_lose_nothing() {
    let world = World::new();
    let note = world.note();
    let job = world.scheduler.every(1).minute().spacing(150 * SECOND);
    job.do_with(move |run| note(&format!("{}*{}", run.due().format("%M"), run.folded()))).unwrap();
    let told: Vec<String> = (0..8).map(|_| world.after(MINUTE)).collect();
    assert_eq!(told.join("|"), "01*1|||04*3|||07*3|");
    assert_eq!(world.scheduler.jobs()[0].stats.dropped, 0);

    let world = World::new();
    let starts: Arc<Mutex<Vec<i64>>> = Arc::default();
    for number in 0..10 {
        let (starts, clock) = (starts.clone(), world.clock.clone());
        let job = world.scheduler.every(1).minute().rate(3, 20 * SECOND, "api");
        let start = move || starts.lock().push(clock.wall().timestamp());
        if number % 2 == 0 {
            job.do_(start).unwrap()
        } else {
            job.priority(-1).do_(start).unwrap()
        };
    }
    for _ in 0..120 {
        let _ = world.after(SECOND);
    }
    let starts = starts.lock();
    let windows = starts.windows(4).map(|window| window[3] - window[0]);
    assert!(windows.clone().all(|length| length >= 20), "{:?}", windows.collect::<Vec<_>>());
    assert!(starts.len() >= 12, "{} starts in two minutes, of 15 at most", starts.len());
}

#[test]
fn a_mutex_is_held_by_one_and_goes_on_in_the_order_of_due_times() {
    let world = World::new();
    let held = Arc::new(AtomicU32::new(0));
    // One in steps holds it over several polls, those that come meanwhile wait.
    let (count, note) = (held.clone(), world.note());
    let steps = world.scheduler.every(1).hour().mutex("db").named("steps").do_with(move |run| {
        assert_eq!(count.load(Ordering::Relaxed), u32::from(run.turn() > 0));
        note(&format!("s{}", run.turn()));
        count.store(u32::from(run.turn() < 2), Ordering::Relaxed);
        if run.turn() < 2 { Outcome::Yield } else { Outcome::Done }
    });
    steps.unwrap();
    for (name, minute, priority) in [("c", 2, 0), ("b", 1, 0), ("a", 1, -1)] {
        let (count, note) = (held.clone(), world.note());
        let job = world.scheduler.cron(format!("{minute} 11 * * *")).named(name).priority(priority).mutex("db");
        job.do_(move || {
            assert_eq!(count.load(Ordering::Relaxed), 0);
            note(name);
        })
        .unwrap();
    }
    assert_eq!(world.after(HOUR), "s0");
    assert_eq!(world.after(3 * MINUTE), "s1");
    let blocked = Why::Blocked(Blocked::Limit("db".into()));
    assert_eq!(world.scheduler.jobs()[1].held_back, Some(Blocked::Limit("db".into())));
    assert_eq!(blocked.to_string(), "it is held back: the limit \"db\" is reached");
    assert_eq!(world.polled(), "s2 a b c");

    // A job that is cancelled or paused while it waits lets the next one on.
    let world = World::new();
    let mut free = false;
    let first = world.scheduler.every(1).hour().mutex("db").do_(move || {
        free = !free;
        if free { Outcome::Yield } else { Outcome::Done }
    });
    let jobs = ["a", "b", "c"].map(|name| world.scheduler.every(1).hour().mutex("db").do_(world.noting(name)).unwrap());
    assert_eq!(world.after(HOUR), "");
    assert!(jobs[0].cancel() && jobs[1].pause());
    assert!(first.unwrap().cancel());
    assert_eq!(world.polled(), "c");
}

#[test]
fn several_limits_are_taken_together_so_that_nobody_waits_for_ever() {
    let world = World::new();
    let mut names = ["a", "b", "c"];
    for round in 0..6 {
        let job = world.scheduler.every(1).minute().mutex(names[0]).mutex(names[1]).background();
        job.do_(|| ()).unwrap();
        names.rotate_left(1 + round % 2);
    }
    for _ in 0..60 {
        let _ = world.after(MINUTE);
        world.held.run_all();
        let _ = world.polled();
    }
    let jobs = world.scheduler.jobs();
    assert!(jobs.iter().all(|job| (9..=11).contains(&job.stats.runs)), "one a minute, each in its turn: {jobs}");
}

#[test]
fn a_condition_defers_and_does_not_lose() {
    let world = World::new();
    let (online, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (flag, count) = (online.clone(), asked.clone());
    let condition = move || {
        count.fetch_add(1, Ordering::Relaxed);
        flag.load(Ordering::Relaxed)
    };
    let note = world.note();
    let job = world.scheduler.every(1).hour().when(condition).at_latest(150 * MINUTE).named("sync");
    let job = job.do_with(move |run| note(&format!("{}*{}-by-{:?}", run.due().format("%H:%M"), run.folded(), run.late_by())));
    let job = job.unwrap();
    assert_eq!(world.after(HOUR), "");
    assert_eq!(world.scheduler.why(&job), Why::Blocked(Blocked::Condition));
    assert_eq!(world.scheduler.idle(), Some(SECOND), "it is asked again in a second");
    let before = asked.load(Ordering::Relaxed);
    for _ in 0..10 {
        let _ = world.after(millis(100));
    }
    assert_eq!(asked.load(Ordering::Relaxed), before + 1);
    assert_eq!(world.after(HOUR), "");
    online.store(true, Ordering::Relaxed);
    assert_eq!(world.after(2 * SECOND), "12:00*2-by-Rules");
    online.store(false, Ordering::Relaxed);
    // It has waited long enough: due at 13:00, it runs at 15:30 whatever the condition says.
    assert_eq!(world.after(HOUR), "");
    assert_eq!(world.after(149 * MINUTE), "");
    assert_eq!(world.after(MINUTE), "15:00*3-by-Rules");
    assert!(job.run_now(), "by hand it runs at once");
    assert!(world.polled().starts_with("15:3"));
    assert_eq!(job.stats().dropped, 0);
}

#[test]
fn a_condition_that_panics_counts_as_no_and_is_told() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::Failed(failure) => Some(failure.to_string()),
        _ => None,
    });
    world.scheduler.every(1).hour().named("sync").when(|| panic!("boom")).do_(|| ()).unwrap();
    world.scheduler.every(1).hour().do_(world.noting("other")).unwrap();
    let told = world.after(HOUR);
    assert_eq!(told, "sync: failed, panicked: in its condition: boom (due 2026-03-01 11:00:00 UTC) other");
}

#[test]
fn hours_hold_for_late_runs_and_for_followers() {
    let world = World::new();
    let note = world.note();
    let job = world.scheduler.every(30).minutes().run_between("12:00", "12:30");
    let job = job.do_with(move |run| note(&format!("{}*{}", run.due().format("%H:%M"), run.folded()))).unwrap();
    let upstream = world.scheduler.once_at(at("01T10:10")).do_(|| ()).unwrap();
    let night = world.scheduler.following(&upstream).run_between("22:00", "06:00").do_(world.noting("night")).unwrap();
    assert_eq!(world.after(HOUR), "");
    assert_eq!(world.scheduler.why(&night), Why::Blocked(Blocked::Window));
    assert_eq!(world.scheduler.why(&job), Why::Blocked(Blocked::Window));
    assert_eq!(world.after(HOUR), "12:00*4");
    assert_eq!(world.after(31 * MINUTE), "");
    assert_eq!(world.after(9 * HOUR + 29 * MINUTE), "night");
    assert_eq!(world.after(14 * HOUR), "12:00*48");
    assert!(world.scheduler.lateness().by(LateBy::Rules).runs > 0);
}

#[test]
fn what_is_later_than_the_grace_when_it_is_let_on_is_dropped() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::Dropped { occurrences, because, .. } => Some(format!("{occurrences}-{because:?}")),
        _ => None,
    });
    let open = Arc::new(AtomicBool::new(false));
    let flag = open.clone();
    let job = world.scheduler.every(1).hour().grace(10 * MINUTE).when(move || flag.load(Ordering::Relaxed));
    let job = job.do_(world.noting("ran")).unwrap();
    assert_eq!(world.after(HOUR), "");
    open.store(true, Ordering::Relaxed);
    assert_eq!(world.after(30 * MINUTE), "1-Late");
    assert_eq!(world.scheduler.why_at(&job, at("01T11:00")), Some(Why::Dropped(DropReason::Late)));
    assert_eq!(world.after(30 * MINUTE), "ran");
    assert!(matches!(world.scheduler.why_at(&job, at("01T12:00")), Some(Why::Ran(_))));
}

#[test]
fn every_reason_for_not_running_is_given() {
    let world = World::built(|builder| builder.budget(Duration::ZERO));
    let daily = world.scheduler.every(1).day().at("12:00").between("09:00", "17:00").except_on(chrono::Weekday::Tue);
    let daily = daily.do_(|| Outcome::Yield).unwrap();
    let other = world.scheduler.every(1).day().at("12:00").do_(|| ()).unwrap();
    let follows = world.scheduler.following(&other).do_(|| ()).unwrap();
    let why = |job| world.scheduler.why(job);
    assert_eq!(why(&daily), Why::NotDue { next: Some(at("01T12:00")) });
    assert_eq!(why(&follows), Why::Upstream { follows: vec![other.id()] });
    world.clock.advance(2 * HOUR);
    assert_eq!(why(&other), Why::HostDidNotPoll { polled: at("01T10:00") });
    let _ = world.scheduler.run_pending();
    assert_eq!(why(&daily), Why::Running { since: at("01T12:00") });
    assert_eq!(why(&other), Why::BudgetSpent);
    let past = |day: &str| world.scheduler.why_at(&daily, at(day));
    assert_eq!(past("01T12:00"), Some(Why::Running { since: at("01T12:00") }));
    assert_eq!(past("03T12:00"), Some(Why::Excluded));
    assert_eq!(past("04T18:00"), Some(Why::NotDue { next: Some(at("05T12:00")) }));
    other.pause();
    assert_eq!(why(&other), Why::Paused { after_failures: None });
    world.scheduler.pause();
    assert_eq!(why(&follows), Why::SchedulerPaused);
    daily.cancel();
    assert_eq!(why(&daily), Why::Gone);
    let windowed = world.scheduler.every(1).hour().at(":00").between("09:00", "17:00").do_(|| ()).unwrap();
    assert_eq!(world.scheduler.why_at(&windowed, at("01T18:00")), Some(Why::OutsideWindow));
    let _ = world.scheduler.shutdown(Duration::ZERO);
    assert_eq!(why(&other), Why::ShutDown);
}

#[test]
fn a_host_that_polls_too_seldom_is_told() {
    let world = World::built(|builder| builder.host_late(10 * SECOND));
    world.noting_events(|event| match event {
        Event::HostLate { by, gap } => Some(format!("{by:?}-late-after-{gap:?}")),
        _ => None,
    });
    world.scheduler.every(1).minute().do_(|| ()).unwrap();
    assert_eq!(world.after(70 * SECOND), "");
    assert_eq!(world.after(61 * SECOND), "11s-late-after-61s");
    world.clock.suspend(HOUR);
    assert_eq!(world.polled(), "", "the host was asleep, not busy");
    let host = world.scheduler.lateness().by(LateBy::Host);
    assert_eq!((host.runs, host.longest), (2, 11 * SECOND));
    assert_eq!(world.scheduler.lateness().by(LateBy::Suspend).runs, 1);
}

#[test]
fn slack_merges_wake_ups() {
    let world = World::new();
    let loose = world.scheduler.every(1).minute().slack(50 * SECOND).do_(|| ()).unwrap();
    world.scheduler.every(90).seconds().do_(|| ()).unwrap();
    let (mut wakes, mut merged) = (0, 0);
    while world.clock.wall() < at("01T11:00") {
        world.clock.advance(world.scheduler.idle().unwrap());
        merged += world.scheduler.run_pending().merged();
        wakes += 1;
    }
    // 40 of the strict one; of the loose one's 60 the most fall within 50 s before one of those.
    assert!((40..=62).contains(&wakes) && merged >= 20, "{wakes} wakes, {merged} merged");
    assert_eq!(loose.stats().folded + loose.stats().runs, 60);
    assert!(loose.last_run().unwrap().late <= 50 * SECOND);
    assert_eq!(world.scheduler.lateness().by(LateBy::Host).runs, 0, "{}", world.scheduler.lateness());
}

#[test]
fn a_poll_keeps_its_budget_also_when_it_only_drops() {
    let world = World::built(|builder| builder.budget(Duration::ZERO));
    for _ in 0..1000 {
        world.scheduler.every(1).hour().grace(SECOND).do_(|| ()).unwrap();
    }
    world.clock.advance(90 * MINUTE);
    let mut polls = 0;
    while world.scheduler.run_pending().put_off() > 0 {
        polls += 1;
    }
    assert!((10..=20).contains(&polls), "{polls} polls");
    assert!(world.scheduler.jobs().iter().all(|job| job.stats.dropped == 1));
}

#[test]
fn whoever_leaves_a_line_without_starting_calls_the_next() {
    // Dropped as too late, rescheduled, paused and cancelled: for a limit, a rate and a full executor.
    type Leave = fn(&World, &punctual::JobHandle);
    let ways: [Leave; 4] = [
        |_, first| assert!(first.cancel()),
        |_, first| assert!(first.pause()),
        |_, first| first.reschedule("every 9 days".parse().unwrap()).unwrap(),
        |world, _| world.clock.advance(MINUTE),
    ];
    for (way, leave) in ways.into_iter().enumerate() {
        let world = World::new();
        let holds = world.scheduler.once_after(MINUTE).mutex("m").background().do_(|| ()).unwrap();
        let grace = if way == 3 { SECOND } else { HOUR };
        let first = world.scheduler.once_after(MINUTE).mutex("m").grace(grace).do_(world.noting("first")).unwrap();
        world.scheduler.once_after(MINUTE).mutex("m").do_(world.noting("second")).unwrap();
        assert_eq!(world.after(MINUTE), "");
        leave(&world, &first);
        world.held.run();
        assert_eq!(world.polled(), "second", "{way}: {holds}");

        let world = World::new();
        *world.held.room.lock() = 0;
        let first = world.scheduler.once_after(MINUTE).grace(grace).background().do_(|| ()).unwrap();
        world.scheduler.once_after(MINUTE).background().do_(world.note_once("second")).unwrap();
        let _ = world.after(MINUTE);
        leave(&world, &first);
        *world.held.room.lock() = 9;
        world.clock.advance(SECOND);
        let _ = world.scheduler.run_pending();
        world.held.run_all();
        assert!(world.noted().ends_with("second"), "{way}");

        let world = World::new();
        let first = ["", "first", "second"].map(|name| {
            let job = world.scheduler.once_after(MINUTE).rate(1, MINUTE, "r").grace(grace.max(MINUTE));
            job.do_(world.noting(name)).unwrap()
        });
        assert_eq!(world.after(MINUTE), "");
        if way < 3 {
            leave(&world, &first[1]);
        }
        assert_eq!(world.after(MINUTE), if way < 3 { "second" } else { "first" }, "{way}");
    }
}

#[test]
fn who_waits_for_a_limit_is_not_overtaken() {
    let world = World::new();
    world.scheduler.every(1).minute().mutex("m").background().do_(|| ()).unwrap();
    let waits = world.scheduler.once_after(MINUTE).mutex("m").do_(world.noting("had its turn")).unwrap();
    let mut told = String::new();
    for _ in 0..3 {
        told += &world.after(61 * SECOND);
        world.held.run_all();
    }
    assert_eq!(told, "had its turn", "{waits}");
}

#[test]
fn a_new_run_takes_the_place_of_one_that_holds_the_same_limit() {
    let world = World::new();
    let job = world.scheduler.every(1).hour().overlap(Overlap::CancelRunning).mutex("m");
    let note = world.note();
    let job = job.do_with(move |run| {
        note(&format!("{}.{}", run.due().format("%H"), run.turn()));
        Outcome::Yield
    });
    assert_eq!([world.after(HOUR), world.after(HOUR), world.polled()], ["11.0", "12.0", "12.1"]);
    assert_eq!(job.unwrap().stats().stopped, 1);
    // The last occurrence too.
    let world = World::new();
    let job = world.scheduler.every(10).seconds().until(25 * SECOND).overlap(Overlap::CancelRunning).background();
    let job = job.do_(|| ()).unwrap();
    let _ = [world.after(10 * SECOND), world.after(10 * SECOND)];
    world.held.run_all();
    let _ = world.after(10 * SECOND);
    assert_eq!((job.stats().runs, job.stats().stopped), (2, 1));
}

#[test]
fn a_deadline_ends_no_run_that_started_in_time() {
    let world = World::new();
    let job = world.scheduler.every(10).seconds().until(25 * SECOND).background().do_(|| Ok::<_, String>(1)).unwrap();
    let _ = world.after(10 * SECOND);
    let _ = world.after(20 * SECOND);
    world.held.run();
    let _ = world.polled();
    assert_eq!((job.last_run().map(|run| run.end), job.last_value().as_deref()), (Some(RunEnd::Done), Some(&1)));
    assert!(world.scheduler.is_empty());
    // A further attempt does not start after it: the run ends as it last failed.
    let world = World::new();
    let job = world.scheduler.every(10).seconds().until(15 * SECOND).retry(3).backoff(Backoff::constant(10 * SECOND));
    let job = job.do_(|| Err::<(), _>("no")).unwrap();
    world.scheduler.following(&job).on_failure().do_(world.noting("failed")).unwrap();
    assert_eq!([world.after(10 * SECOND), world.after(10 * SECOND)], ["", "failed"]);
    assert_eq!((job.stats().errors, job.stats().stopped), (1, 0));
}

#[test]
fn hours_follow_a_clock_that_is_set() {
    let world = World::new();
    world.scheduler.once_after(10 * HOUR).run_between("09:00", "17:00").do_(world.noting("ran")).unwrap();
    assert_eq!(world.after(10 * HOUR), "", "at 20:00");
    world.clock.step(chrono::TimeDelta::hours(-7));
    assert_eq!(world.polled(), "ran", "at 13:00");
}

#[test]
fn an_answer_serves_for_its_own_poll() {
    let world = World::new();
    let flag = Arc::new(AtomicBool::new(true));
    let (asked, clock) = (flag.clone(), world.clock.clone());
    let condition = move || {
        clock.advance(SECOND);
        asked.load(Ordering::Relaxed)
    };
    world.scheduler.every(1).hour().priority(-1).do_(world.noting("first")).unwrap();
    world.scheduler.every(1).hour().when(condition).do_(world.noting("ran")).unwrap();
    world.clock.advance(HOUR);
    let _ = world.scheduler.run_pending_within(Duration::ZERO);
    flag.store(false, Ordering::Relaxed);
    assert_eq!(world.noted(), "first");
    assert_eq!(world.after(30 * MINUTE), "");
    // However small the budget, one that holds is followed by its run.
    flag.store(true, Ordering::Relaxed);
    world.clock.advance(SECOND);
    assert_eq!(world.scheduler.run_pending_within(Duration::ZERO).ran(), 1);
}

#[test]
fn a_condition_that_held_while_a_limit_did_not_is_asked_again() {
    let world = World::new();
    let flag = Arc::new(AtomicBool::new(true));
    let asked = flag.clone();
    world.scheduler.every(1).hour().mutex("db").background().do_(world.note_once("other")).unwrap();
    let job = world.scheduler.every(1).hour().mutex("db").when(move || asked.load(Ordering::Relaxed));
    let job = job.do_(world.noting("ran")).unwrap();
    assert_eq!(world.after(HOUR), "", "the other holds the limit");
    assert!(matches!(world.scheduler.why(&job), Why::Blocked(Blocked::Limit { .. })));
    flag.store(false, Ordering::Relaxed);
    world.held.run_all();
    assert_eq!(world.polled(), "other");
    assert_eq!(world.scheduler.why(&job), Why::Blocked(Blocked::Condition));
    flag.store(true, Ordering::Relaxed);
    assert_eq!(world.after(SECOND), "ran");
}

#[test]
fn a_condition_that_pauses_all_is_asked_again_once_all_goes_on() {
    let world = World::new();
    let flag = Arc::new(AtomicBool::new(true));
    let (asked, scheduler) = (flag.clone(), world.scheduler.downgrade());
    let condition = move || {
        let holds = asked.load(Ordering::Relaxed);
        scheduler.upgrade().filter(|_| holds).iter().for_each(|scheduler| scheduler.pause());
        holds
    };
    world.scheduler.every(1).hour().when(condition).do_(world.noting("ran")).unwrap();
    assert_eq!(world.after(HOUR), "");
    flag.store(false, Ordering::Relaxed);
    world.scheduler.resume();
    assert_eq!(world.polled(), "");
}

#[test]
fn no_number_holds_up_a_poll() {
    let world = World::new();
    let all = punctual::Missed::RunAll { most: 100_000_000 };
    let job = world.scheduler.every(1).millisecond().missed(all).times(3).do_(|| ()).unwrap();
    world.clock.suspend(48 * HOUR);
    assert_eq!(world.scheduler.run_pending().ran(), 3);
    assert_eq!(job.stats().dropped, 172_800_000 - 100_000_000);
    let never = Duration::from_secs(200 * 365 * 86_400);
    world.scheduler.every(1).hour().when(|| false).do_(|| ()).unwrap();
    world.scheduler.every(1).hour().timeout(SECOND).background().do_(|| ()).unwrap();
    world.scheduler.every(1).hour().background().do_(|| ()).unwrap();
    *world.held.room.lock() = 1;
    for _ in 0..3 {
        world.clock.advance(never);
        let _ = world.scheduler.run_pending();
    }
}

#[test]
fn at_latest_counts_from_what_is_asked_for() {
    let world = World::new();
    let first = world.scheduler.every(15).seconds().do_(|| ()).unwrap();
    let job = world.scheduler.every(20).seconds().immediately().overlap(Overlap::CancelRunning);
    let job = job.when(|| false).at_latest(10 * SECOND).background().do_(|| ()).unwrap();
    job.also_after(&first).unwrap();
    for _ in 0..20 {
        let _ = world.after(5 * SECOND);
    }
    assert!(job.stats().stopped > 0);
}

#[test]
fn why_tells_what_ran_from_what_was_dropped_and_forgets_a_spent_budget() {
    let world = World::new();
    let job = world.scheduler.every(1).day().at("11:00").at("12:00").at("13:00").missed(punctual::Missed::Skip).do_(|| ());
    let job = job.unwrap();
    let _ = world.after(3 * HOUR);
    let _ = world.after(21 * HOUR + 3 * HOUR);
    let past = |at: &str| world.scheduler.why_at(&job, world::at(at));
    assert_eq!(past("02T12:00"), Some(Why::Dropped(DropReason::Policy)));
    assert!(matches!(past("02T13:00"), Some(Why::Ran(_))), "{:?}", past("02T13:00"));
    let folds = world.scheduler.every(1).hour().at(":00").do_(|| ()).unwrap();
    let _ = world.after(3 * HOUR + MINUTE);
    assert!(matches!(world.scheduler.why_at(&folds, at("02T15:00")), Some(Why::Ran(_))));

    let world = World::built(|builder| builder.budget(Duration::ZERO));
    world.scheduler.every(1).hour().do_(|| ()).unwrap();
    world.scheduler.every(1).hour().do_(|| ()).unwrap();
    world.clock.advance(HOUR);
    for _ in 0..3 {
        let _ = world.scheduler.run_pending();
    }
    let late = world.scheduler.once_at(at("01T09:00")).do_(|| ()).unwrap();
    assert!(matches!(world.scheduler.why(&late), Why::HostDidNotPoll { .. }));
}

#[test]
fn a_host_that_rests_as_long_as_it_may_is_not_late() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::HostLate { .. } => Some("late".to_owned()),
        _ => None,
    });
    let job = world.scheduler.every(1).hour().slack(10 * MINUTE).do_(|| ()).unwrap();
    assert_eq!(world.scheduler.next_run(), job.next_run());
    assert_eq!(world.after(world.scheduler.idle().unwrap()), "");
    assert_eq!(job.stats().runs, 1);
}

#[test]
fn a_paused_scheduler_runs_nothing_by_hand_either() {
    let world = World::new();
    world.scheduler.every(1).hour().do_(world.noting("ran")).unwrap();
    world.scheduler.pause();
    assert_eq!(world.scheduler.run_all().ran(), 0);
    world.scheduler.resume();
    assert_eq!(world.scheduler.run_all().ran(), 1);
}
