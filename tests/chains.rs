//! Jobs that follow others: once for each success, failure or end, with the very run and result that they follow.

mod world;

use punctual::{DropReason, Error, Event, LastRun, Missed, Outcome, Overlap, RunEnd, Scheduler};
use world::{HOUR, MINUTE, SECOND, World};

#[test]
fn after_success_failure_or_end_with_what_came_of_it() {
    let world = World::new();
    let mut n = 0;
    let first = world.scheduler.every(1).hour().named("first").do_(move || {
        n += 1;
        match n {
            1 => Ok(10),
            2 => Err("an error"),
            _ => panic!("a panic"),
        }
    });
    let first = first.unwrap();
    let note = world.note();
    world.scheduler.following(&first).do_with(move |_, n: &i32| note(&format!("success-{n}"))).unwrap();
    let note = world.note();
    let failed = world.scheduler.following(&first).on_failure();
    failed.do_with(move |run, failure| note(&format!("failure-{}-{}", failure.kind, run.follows().unwrap().attempt))).unwrap();
    let note = world.note();
    world.scheduler.following(&first).on_end().do_with(move |_, end: &LastRun| note(&format!("end-{:?}", end.end))).unwrap();
    assert_eq!(world.after(HOUR), "success-10 end-Done");
    assert_eq!(world.after(HOUR), "failure-an error-1 end-Failed");
    assert_eq!(world.after(HOUR), "failure-panicked: a panic-1 end-Panicked");
}

#[test]
fn a_delay_counts_from_the_end_and_what_is_stale_is_dropped() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::Dropped { because: DropReason::Stale, .. } => Some("stale".to_owned()),
        _ => None,
    });
    let first = world.scheduler.every(1).hour().do_(world.taking(30_000, "first")).unwrap();
    let later = world.scheduler.following(&first).delay(10 * MINUTE).within(12 * MINUTE).do_(world.noting("later")).unwrap();
    assert_eq!(world.after(HOUR), "first");
    assert_eq!(world.after(10 * MINUTE - SECOND), "");
    assert_eq!(later.next_run().map(|at| at.format("%H:%M:%S").to_string()).as_deref(), Some("11:10:30"));
    assert_eq!(world.after(SECOND), "later");
    assert_eq!(world.after(50 * MINUTE), "first");
    // The host is away for too long.
    assert_eq!(world.after(13 * MINUTE), "stale");
    assert_eq!((later.stats().runs, later.stats().dropped), (1, 1));
    // By hand it does not wait.
    assert_eq!(world.after(47 * MINUTE), "first");
    assert!(later.run_now());
    assert_eq!(world.polled(), "later");
    assert!(!later.run_now(), "there is nothing to follow");
}

#[test]
fn all_of_several_once_a_set_each_fresh() {
    let world = World::new();
    let (mut a, mut b) = (0, 100);
    let first = world.scheduler.every(1).hour().do_(move || {
        a += 1;
        Ok::<_, String>(a)
    });
    let second = world.scheduler.every(2).hours().do_(move || {
        b += 1;
        Ok::<_, String>(b.to_string())
    });
    let (first, second) = (first.unwrap(), second.unwrap());
    let note = world.note();
    let both = world.scheduler.following_all((&first, &second)).do_with(move |run, (a, b)| {
        note(&format!("{a}+{b}-of-{}", run.facts().follows.len()));
    });
    let both = both.unwrap();
    let note = world.note();
    let any = world.scheduler.following_any([&first]).do_with(move |_, n| note(&format!("any-{n}"))).unwrap();
    let told: Vec<String> = (0..4).map(|_| world.after(HOUR)).collect();
    assert_eq!(told, ["any-1", "2+101-of-2 any-2", "any-3", "4+102-of-2 any-4"]);
    assert_eq!((both.stats().runs, any.stats().runs), (2, 4));

    let note = world.note();
    let fresh = world.scheduler.following_all((&first, &second)).within(30 * MINUTE);
    fresh.do_with(move |_, (a, b)| note(&format!("fresh-{a}+{b}"))).unwrap();
    assert_eq!(world.after(HOUR), "any-5");
    assert_eq!(world.after(HOUR), "6+103-of-2 any-6 fresh-6+103", "the older one gave way to a new one");
    first.cancel();
    assert_eq!(world.scheduler.len(), 1, "no set can be complete any more: {}", world.scheduler.jobs());
}

#[test]
fn a_circle_is_refused_with_its_path() {
    let world = World::new();
    let a = world.scheduler.every(1).hour().named("a").do_(world.noting("a")).unwrap();
    let b = world.scheduler.following(&a).named("b").do_(world.noting("b")).unwrap();
    let c = world.scheduler.every(3).hours().do_(world.noting("c")).unwrap();
    c.also_after(&b).unwrap();
    let path = |error: Result<(), Error>| match error {
        Err(Error::Circle { path }) => path,
        other => panic!("{other:?}"),
    };
    assert_eq!(path(a.also_after(&c)), r#""a" -> "b" -> job 3 -> "a""#);
    assert_eq!(path(a.also_after(&a)), r#""a" -> "a""#);
    assert_eq!(b.also_after(&c), Err(Error::NoSchedule));
    let other: Scheduler = Scheduler::new();
    let elsewhere = other.every(1).hour().do_(|| ()).unwrap();
    assert_eq!(a.also_after(&elsewhere), Err(Error::OtherScheduler));
    assert_eq!(world.after(HOUR), "a b c");
    assert_eq!(world.after(HOUR), "a b c");
    assert_eq!(world.after(HOUR), "a b c c", "its own occurrence, and the one after b");
    a.cancel();
    assert_eq!(world.after(3 * HOUR), "c");
}

#[test]
fn what_a_job_leaves_to_follow_is_followed_before_its_follower_goes() {
    let world = World::new();
    let mut n = 0;
    let first = world.scheduler.every(1).hour().missed(Missed::RunAll { most: 9 }).times(3).do_(move || {
        n += 1;
        Ok::<_, String>(n)
    });
    let first = first.unwrap();
    let note = world.note();
    let steps = world.scheduler.following(&first).do_with(move |run, n: &i32| {
        note(&format!("{n}.{}", run.turn()));
        if run.turn() == 0 { Outcome::Yield } else { Outcome::Done }
    });
    steps.unwrap();
    assert_eq!(world.after(3 * HOUR), "1.0");
    assert!(first.snapshot().is_none(), "it has had its last run");
    assert_eq!([world.polled(), world.polled(), world.polled()], ["1.1 2.0", "2.1 3.0", "3.1"]);
    assert!(world.scheduler.is_empty());
}

#[test]
fn runs_to_follow_are_bounded_and_take_the_policy_they_are_given() {
    for (overlap, turns, dropped) in
        [(Overlap::Skip, "1", 4), (Overlap::Queue { most: 2 }, "1 2 3", 2), (Overlap::CancelRunning, "1 2 3 4 5", 0)]
    {
        let world = World::new();
        let mut n = 0;
        let first = world.scheduler.every(1).minute().missed(Missed::RunAll { most: 9 }).times(5).do_(move || {
            n += 1;
            Ok::<_, String>(n)
        });
        let first = first.unwrap();
        let note = world.note();
        let slow = world.scheduler.following(&first).overlap(overlap).do_with(move |run, n: &i32| {
            if run.turn() == 0 {
                note(&n.to_string());
            }
            if run.turn() < 3 { Outcome::Yield } else { Outcome::Done }
        });
        let slow = slow.unwrap();
        let mut told = vec![world.after(5 * MINUTE)];
        told.extend((0..20).map(|_| world.polled()).filter(|text| !text.is_empty()));
        assert_eq!(told.join(" "), turns, "{overlap:?}");
        assert_eq!(slow.stats().dropped, dropped, "{overlap:?}");
    }
    // Unless given, a thousand wait.
    let world = World::new();
    let first = world.scheduler.every(1).second().missed(Missed::RunAll { most: 5000 }).do_(|| ()).unwrap();
    let slow = world.scheduler.following(&first).do_(|| Outcome::Yield).unwrap();
    let _ = world.after(2000 * SECOND);
    assert_eq!(slow.stats().dropped, 999, "one runs, a thousand wait");
}

#[test]
fn a_long_chain_comes_and_goes_in_one_go() {
    let world = World::new();
    let first = world.scheduler.every(1).hour().do_(|| ()).unwrap();
    let mut last = first.clone();
    for _ in 0..100_000 {
        last = world.scheduler.following(&last).do_(|| ()).unwrap();
    }
    world.clock.advance(HOUR);
    assert_eq!(world.scheduler.run_pending().ran(), 100_001);
    assert_eq!(last.last_run().map(|run| run.end), Some(RunEnd::Done));
    first.cancel();
    assert!(world.scheduler.is_empty());
}

/// In whatever order two jobs end, and however many dates they are apart.
#[test]
fn of_the_same_due_each_date_comes_together_once() {
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let world = World::new();
        let hourly = || world.scheduler.cron("0 * * * *").missed(Missed::RunAll { most: 99 }).overlap(Overlap::Allow { most: 9 });
        let first = hourly().background().do_with(|run| Ok::<_, String>(run.due())).unwrap();
        let second = world.scheduler.following(&first).overlap(Overlap::Queue { most: 99 }).background();
        let second = second.do_with(|run, due| Ok::<_, String>((run.due(), *due))).unwrap();
        let other = hourly().background().do_with(|run| Ok::<_, String>(run.due())).unwrap();
        let note = world.note();
        let both = world.scheduler.following_all((&second, &other)).same_due();
        let both = both.do_with(move |run, (second, other)| {
            assert_eq!((second.0, second.1, **other), (run.due(), run.due(), run.due()));
            note(&run.due().format("%H").to_string());
        });
        both.unwrap();
        world.clock.advance(12 * HOUR);
        let mut held = Vec::new();
        for _ in 0..400 {
            let _ = world.scheduler.run_pending();
            while world.held.len() > 0 {
                held.push(world.held.take());
            }
            if !held.is_empty() && rng.bool() {
                held.swap_remove(rng.usize(0..held.len())).run();
            }
        }
        let noted = world.noted();
        let mut hours: Vec<&str> = noted.split(' ').collect();
        hours.sort_unstable();
        assert_eq!(hours, ["11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21", "22"], "seed {seed}");
    }
}

#[test]
fn of_the_same_due_too_many_that_lack_one_give_way_and_that_is_said() {
    let world = World::new();
    world.noting_events(|event| match event {
        Event::Dropped { since, because: DropReason::Overlapped, .. } => Some(since.format("%H:%M").to_string()),
        _ => None,
    });
    let [first, second] = [0, 1].map(|_| world.scheduler.cron("* * * * *").named("each").do_(|| ()).unwrap());
    let both = world.scheduler.following_all((&first, &second)).same_due().do_(world.noting("both")).unwrap();
    second.pause();
    for _ in 0..1000 {
        assert_eq!(world.after(MINUTE), "");
    }
    assert_eq!(world.after(MINUTE), "10:01");
    assert_eq!(both.stats().dropped, 1);
    second.resume();
    assert_eq!(world.after(MINUTE), "10:02 both", "what is oldest goes, and what is complete comes");
    let refused = world.scheduler.following(&first).same_due().do_(|| ());
    assert!(matches!(refused, Err(Error::NothingSaid { word: "same_due", without: "following_all" })));
}
