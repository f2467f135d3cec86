//! A backfill runs what is missing of a job's past: in order, so many at once, stopped and taken up again as one likes.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use punctual::{
    BackfillProgress, Backfilling, Batch, Done, Error, Event, Executor, HistoryQuery, JobFuture, JobHandle, JobRecord, Keep,
    ManualClock, MemoryStore, Missed, Overlap, RunRecord, Schedule, Scheduler, Store, StoreError, WithoutStore, Work,
};
use world::{HOUR, Held, MINUTE, SECOND, World, at};

/// The hour of a date in March.
fn hour(due: DateTime<Utc>) -> String {
    due.format("%dT%H").to_string()
}

/// Polls until nothing is due.
fn polls(world: &World) {
    for _ in 0..10_000 {
        if world.scheduler.idle() != Some(Duration::ZERO) {
            return;
        }
        let _ = world.scheduler.run_pending();
    }
    panic!("it is always to be polled: {:?}", world.scheduler.jobs());
}

fn noting_hours(world: &World) -> JobHandle {
    let note = world.note();
    world.scheduler.cron("0 * * * *").do_with(move |run| note(&hour(run.due()))).unwrap()
}

#[test]
fn the_occurrences_of_a_range_run_in_order_from_the_first_up_to_now() {
    let cases = [
        ("01T06:00", "01T08:01", false, "01T06 01T07 01T08"),
        ("01T06:00", "01T08:00", false, "01T06 01T07"),
        ("01T06:01", "01T08:00", true, "01T07"),
        ("01T06:00", "01T08:01", true, "01T08 01T07 01T06"),
        ("01T09:00", "02T08:00", false, "01T09 01T10"),
        ("01T11:00", "02T08:00", false, ""),
        ("02T11:00", "03T08:00", true, ""),
    ];
    for (from, to, newest_first, expected) in cases {
        let world = World::new();
        let job = noting_hours(&world);
        let filling = job.backfill(at(from), at(to));
        let filling = if newest_first { filling.newest_first() } else { filling }.start().unwrap();
        polls(&world);
        assert_eq!((world.noted().as_str(), filling.is_over()), (expected, true), "{from} to {to}");
        assert_eq!(filling.progress().done, expected.split_whitespace().count() as u64);
        assert_eq!(world.after(HOUR), "01T11", "the schedule goes on");
    }
}

/// The whole of what is promised, on a host, jobs and a person that are drawn by a seed: each occurrence that is missing is run, and
/// no other; in order; at most so many at once with all that follows; also if it is stopped and started again.
#[test]
fn whatever_happens_what_is_missing_is_run_once() {
    let (cases, seed) = (setting("PUNCTUAL_CASES", 300), setting("PUNCTUAL_SEED", 1));
    for case in seed..seed + cases {
        Case::draw(case).live();
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

struct Case {
    rng: fastrand::Rng,
    world: World,
    job: JobHandle,
    seen: Arc<Mutex<Seen>>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    newest_first: bool,
    at_most: u32,
    may_stop: bool,
    /// What the range holds, by another way: hour by hour.
    all: BTreeSet<DateTime<Utc>>,
    label: String,
}

#[derive(Default)]
struct Seen {
    there: BTreeSet<DateTime<Utc>>,
    /// In the order of their calls.
    called: Vec<DateTime<Utc>>,
    /// Attempts that are still to fail.
    failing: BTreeMap<DateTime<Utc>, u32>,
    /// Begun and not followed yet.
    under_way: BTreeSet<DateTime<Utc>>,
    most_under_way: usize,
}

impl Case {
    fn draw(seed: u64) -> Case {
        let mut rng = fastrand::Rng::with_seed(seed);
        let world = World::new();
        let (from, to) =
            (at("01T09:00") - TimeDelta::minutes(rng.i64(0..3000)), at("01T10:30") - TimeDelta::minutes(rng.i64(0..600)));
        let to = to.max(from + TimeDelta::minutes(1));
        let mut all = BTreeSet::new();
        let mut minute = from;
        while minute < to && minute <= at("01T10:00") {
            if minute.timestamp() % 3600 == 0 {
                all.insert(minute);
            }
            minute += TimeDelta::minutes(1);
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        for due in &all {
            match rng.u8(0..6) {
                0 => drop(seen.lock().there.insert(*due)),
                1 => drop(seen.lock().failing.insert(*due, rng.u32(1..4))),
                _ => {}
            }
        }
        let (there, calls) = (seen.clone(), seen.clone());
        let overlap = *rng.choice(&[Overlap::Skip, Overlap::Queue { most: 3 }, Overlap::Allow { most: 3 }]).unwrap();
        let job = world.scheduler.cron("0 * * * *").named("hourly").overlap(overlap).retry(1);
        let job = job.unless_done(move |run| there.lock().there.contains(&run.due)).background().do_with(move |run| {
            let mut seen = calls.lock();
            seen.called.push(run.due());
            seen.under_way.insert(run.due());
            seen.most_under_way = seen.most_under_way.max(seen.under_way.len());
            match seen.failing.get_mut(&run.due()).filter(|left| **left > 0) {
                Some(left) => {
                    *left -= 1;
                    // After its last attempt nothing follows.
                    if run.attempt() == 2 {
                        seen.under_way.remove(&run.due());
                    }
                    Err("not yet")
                }
                None => {
                    seen.there.insert(run.due());
                    Ok(())
                }
            }
        });
        let job = job.unwrap();
        let follows = seen.clone();
        let follower = world.scheduler.following(&job);
        let follower = if rng.bool() { follower.delay(MINUTE) } else { follower };
        let follower = follower.background().do_with(move |run, ()| {
            follows.lock().under_way.remove(&run.due());
        });
        follower.unwrap();
        let (newest_first, at_most, may_stop) = (rng.bool(), rng.u32(1..5), rng.bool());
        let label = format!("seed {seed}: {overlap:?}, {at_most} at most, newest first {newest_first}, {from} to {to}");
        Case { rng, world, job, seen, from, to, newest_first, at_most, may_stop, all, label }
    }

    fn start(&self) -> punctual::Backfilling {
        let filling = self.job.backfill(self.from, self.to).at_most(self.at_most);
        let filling = if self.newest_first { filling.newest_first() } else { filling };
        filling.start().unwrap()
    }

    fn live(mut self) {
        let before = self.seen.lock().there.clone();
        let mut filling = self.start();
        let mut stopped = false;
        let mut counted = BackfillProgress::default();
        for _ in 0..20_000 {
            match self.rng.u8(0..12) {
                0 => {
                    self.job.pause();
                }
                1..=3 => {
                    self.job.resume();
                }
                4 if self.may_stop => {
                    self.may_stop = self.rng.bool();
                    stopped = true;
                    filling.stop();
                    assert!(filling.is_over());
                    filling = self.start();
                }
                5 | 6 => self.world.clock.advance(Duration::from_secs(self.rng.u64(0..40))),
                7..=9 if self.world.held.len() > 0 => self.world.held.run(),
                _ => drop(self.world.scheduler.run_pending()),
            }
            if filling.is_over() {
                counted = filling.progress();
                if self.all.is_subset(&self.seen.lock().there) {
                    break;
                }
                // What failed is missing still.
                filling = self.start();
            }
        }
        assert!(
            filling.is_over(),
            "{}: it never ends: {filling:?} {:?} {} {:?}",
            self.label,
            self.world.scheduler.jobs(),
            self.world.held.len(),
            self.world.clock
        );
        let seen = self.seen.lock();
        let past = |due: &&DateTime<Utc>| self.all.contains(due);
        let there: BTreeSet<_> = seen.there.iter().filter(past).copied().collect();
        assert_eq!(there, self.all, "{}", self.label);
        assert_eq!(counted.taken, counted.done + counted.already_done + counted.failed, "{}", self.label);
        for due in &self.all {
            let done = seen.called.iter().filter(|called| *called == due).count();
            let failed = usize::from(!before.contains(due)) + seen.failing.get(due).map_or(0, |_| 1) * 3;
            assert!(
                done <= failed.max(1) && (done == 0) == before.contains(due),
                "{}: {due} was called {done} times",
                self.label
            );
        }
        // One of the schedule may come beside them; what was stopped goes on beside what is begun then.
        let most = self.at_most as usize + 1;
        assert!(stopped || seen.most_under_way <= most, "{}: {} under way", self.label, seen.most_under_way);
        if seen.failing.is_empty() {
            let mut called: Vec<_> = seen.called.iter().filter(past).copied().collect();
            called.dedup();
            let mut expected: Vec<_> = self.all.difference(&before).copied().collect();
            if self.newest_first {
                expected.reverse();
            }
            assert_eq!(called, expected, "{}", self.label);
        }
    }
}

#[test]
fn one_is_under_way_until_all_that_follows_it_is_through() {
    let world = World::new();
    let (note, hourly) = (world.note(), world.scheduler.cron("0 * * * *").overlap(Overlap::Allow { most: 9 }));
    let fetch = hourly.background().do_with(move |run| note(&format!("fetch-{}", hour(run.due())))).unwrap();
    let note = world.note();
    let clean = world.scheduler.following(&fetch).background();
    let clean = clean.do_with(move |run, ()| note(&format!("clean-{}", hour(run.due())))).unwrap();
    let note = world.note();
    let report = world.scheduler.following(&clean).delay(MINUTE);
    report.do_with(move |run, ()| note(&format!("report-{}", hour(run.due())))).unwrap();
    let filling = fetch.backfill(at("01T05:00"), at("01T09:00")).at_most(2).start().unwrap();
    polls(&world);
    assert_eq!((world.held.len(), filling.progress().taken), (2, 2));
    world.held.run_all();
    polls(&world);
    world.held.run();
    polls(&world);
    assert_eq!((world.noted().as_str(), world.held.len()), ("fetch-01T05 fetch-01T06 clean-01T05", 1));
    assert_eq!(world.after(MINUTE), "report-01T05");
    polls(&world);
    assert_eq!((world.held.len(), filling.progress().taken), (2, 3), "the clean of the second, and the third");
    for _ in 0..9 {
        world.held.run_all();
        world.clock.advance(MINUTE);
        polls(&world);
    }
    assert!(filling.is_over());
    assert_eq!(world.log.lock().iter().filter(|line| line.starts_with("report")).count(), 3);
}

/// Also by `Skip`, by which it would be dropped if the run before were one of its own.
#[test]
fn the_schedule_comes_first_and_loses_nothing() {
    let world = World::new();
    world.noting_events(|event| matches!(event, Event::Dropped { .. }).then(|| event.to_string()));
    let note = world.note();
    let hourly = world.scheduler.cron("0 * * * *").overlap(Overlap::Skip).grace(30 * MINUTE);
    let job = hourly.background().do_with(move |run| note(&format!("{}-{:?}", hour(run.due()), run.late_by()))).unwrap();
    job.backfill(at("01T05:00"), at("01T09:00")).at_most(3).start().unwrap();
    polls(&world);
    assert_eq!((world.held.len(), world.noted().as_str()), (1, ""));
    world.clock.advance(HOUR);
    polls(&world);
    for _ in 0..5 {
        world.held.run_all();
        polls(&world);
    }
    assert_eq!(
        world.noted(),
        "01T05-Backfill 01T11-Overlap 01T06-Backfill 01T07-Backfill 01T08-Backfill",
        "and no grace holds for what is of the past"
    );
}

#[test]
fn what_is_counted_of_a_job_is_counted_of_its_schedule_alone() {
    let world = World::new();
    let note = world.note();
    let twice = world.scheduler.cron("0 * * * *").times(2).do_with(move |run| note(&hour(run.due()))).unwrap();
    let filling = twice.backfill(at("01T05:00"), at("01T08:00")).start().unwrap();
    polls(&world);
    assert_eq!((world.noted().as_str(), filling.is_over()), ("01T05 01T06 01T07", true));
    assert_eq!([HOUR, HOUR, HOUR].map(|time| world.after(time)), ["01T11", "01T12", ""]);
    assert!(twice.snapshot().is_none());
}

type End = fn(&World, &JobHandle);

#[test]
fn it_ends_with_its_job_its_schedule_its_scheduler_or_when_it_is_told_to() {
    let ends: [(&str, End); 6] = [
        ("all is shut down", |world, _| assert!(world.scheduler.shutdown(Duration::ZERO).is_empty())),
        ("its job is cancelled", |_, job| assert!(job.cancel())),
        ("its job is retired", |_, job| assert!(job.retire())),
        ("it has another schedule", |_, job| job.reschedule(Schedule::cron("30 * * * *").unwrap()).unwrap()),
        ("its scheduler is cleared", |world, _| assert_eq!(world.scheduler.clear(), 1)),
        ("", |_, _| ()),
    ];
    for (how, end) in ends {
        let world = World::new();
        let job = noting_hours(&world);
        let filling = job.backfill(at("01T05:00"), at("01T09:00")).start().unwrap();
        let _ = world.scheduler.run_pending();
        assert!(matches!(job.backfill(at("01T05:00"), at("01T09:00")).start(), Err(Error::Backfilling { .. })));
        end(&world, &job);
        assert_eq!(filling.is_over(), !how.is_empty(), "{how}");
        assert_eq!(filling.stop(), how.is_empty(), "{how}");
        assert!(filling.is_over() && !filling.stop());
        polls(&world);
        assert_eq!((world.noted().as_str(), filling.progress().done), ("01T05", 1), "{how}");
    }
    let world = World::new();
    let filling = noting_hours(&world).backfill(at("01T05:00"), at("01T09:00")).start().unwrap();
    drop(world.scheduler);
    assert!(filling.is_over() && !filling.stop());
}

#[test]
fn a_paused_job_and_a_paused_scheduler_go_on_with_it_later() {
    let world = World::new();
    let job = noting_hours(&world);
    let filling = job.backfill(at("01T05:00"), at("01T08:00")).at_most(2).start().unwrap();
    job.pause();
    polls(&world);
    assert_eq!((world.noted().as_str(), filling.is_over()), ("", false));
    job.resume();
    let _ = world.scheduler.run_pending();
    world.scheduler.pause();
    polls(&world);
    world.scheduler.resume();
    polls(&world);
    assert_eq!((world.noted().as_str(), filling.is_over()), ("01T05 01T06 01T07", true));
}

/// Killed whenever: what the target says is all that the next process needs.
#[test]
fn the_next_process_takes_it_up() {
    for dies_after in 0..9 {
        let clock = ManualClock::new(at("01T10:00"));
        let store = MemoryStore::new(clock.clone());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let process = || {
            let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).store(store.clone()).build();
            let (there, call) = (calls.clone(), calls.clone());
            let hourly = scheduler.cron("0 * * * *").named("fetch").missed(Missed::RunAll { most: 99 });
            let job = hourly.at_least_once().unless_done(move |run| there.lock().contains(&run.due));
            let job = job.do_with(move |run| call.lock().push(run.due())).unwrap();
            let filling = job.backfill(at("01T04:00"), at("01T10:00")).at_most(2).start().unwrap();
            (scheduler, filling)
        };
        let (scheduler, _) = process();
        for _ in 0..dies_after {
            let _ = scheduler.run_pending();
        }
        std::mem::forget(scheduler);
        let (scheduler, filling) = process();
        while !filling.is_over() {
            let _ = scheduler.run_pending();
        }
        let hours: Vec<String> = calls.lock().iter().copied().map(hour).collect();
        assert_eq!(hours.join(" "), "01T04 01T05 01T06 01T07 01T08 01T09", "after {dies_after} polls");
    }
}

#[test]
fn what_has_no_past_is_refused() {
    let world = World::new();
    let scheduler = &world.scheduler;
    let (from, to) = (at("01T05:00"), at("01T09:00"));
    let hourly = noting_hours(&world);
    let follower = scheduler.following(&hourly).do_(|| ()).unwrap();
    let elapsed = scheduler.every(5).minutes().do_(|| ()).unwrap();
    let narrowed = scheduler.every(90).minutes().between("08:00", "18:00").do_(|| ()).unwrap();
    let drawn = scheduler.every(1).to(3).days().do_(|| ()).unwrap();
    let gone = scheduler.every(1).day().do_(|| ()).unwrap();
    gone.cancel();
    let ended = World::new();
    let closed = noting_hours(&ended);
    assert!(ended.scheduler.shutdown(Duration::ZERO).is_empty());
    let refused = [
        (hourly.backfill(to, from), "EmptyRange"),
        (hourly.backfill(from, from), "EmptyRange"),
        (hourly.backfill(from, to).at_most(0), "ZeroOfMany"),
        (follower.backfill(from, to), "NoOccurrences"),
        (elapsed.backfill(from, to), "NoPast"),
        (narrowed.backfill(from, to), "NoPast"),
        (drawn.backfill(from, to), "NoPast"),
        (closed.backfill(from, to), "ShutDown"),
        (gone.backfill(from, to), "JobGone"),
    ];
    for (backfill, expected) in refused {
        let error = format!("{:?}", backfill.start().unwrap_err());
        assert!(error.starts_with(expected), "{error}, not {expected}");
    }
    let orphan = World::new();
    let job = noting_hours(&orphan);
    drop(orphan);
    assert!(matches!(job.backfill(from, to).start(), Err(Error::SchedulerGone)));
    let aligned = scheduler.every(30).minutes().aligned().do_(world.noting("aligned")).unwrap();
    aligned.backfill(from, to).at_most(99).start().unwrap();
    polls(&world);
    assert_eq!(world.noted().matches("aligned").count(), 8);
}

/// Any instants, any number: no panic, and no hang.
#[test]
fn the_ends_of_time_are_a_range_as_any() {
    let world = World::new();
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    for newest_first in [false, true] {
        let note = world.note();
        let job =
            world.scheduler.every(1).day().at("06:00").do_with(move |run| note(&run.due().date_naive().to_string())).unwrap();
        let filling = job.backfill(first, last).at_most(u32::MAX);
        let filling = if newest_first { filling.newest_first() } else { filling }.start().unwrap();
        for _ in 0..5 {
            let _ = world.scheduler.run_pending();
        }
        let noted = world.noted();
        let (earliest, latest) = (noted.split(' ').next(), noted.split(' ').next_back());
        assert!(!noted.is_empty() && earliest < latest || newest_first && earliest > latest, "{noted}");
        filling.stop();
        job.cancel();
    }
}

/// A host that comes when it is told to, jobs with all sorts of rules, and a person who meddles: the backfill comes to its end, the
/// host is never called for nothing, and each occurrence is run once.
#[test]
fn a_host_that_sleeps_as_it_is_told_brings_it_to_its_end() {
    let (cases, seed) = (setting("PUNCTUAL_CASES", 1000), setting("PUNCTUAL_SEED", 1));
    for case in seed..seed + cases {
        Told::draw(case).live();
    }
}

struct Told {
    rng: fastrand::Rng,
    world: World,
    job: JobHandle,
    follower: Option<JobHandle>,
    filling: Backfilling,
    calls: Calls,
    futures: Futures,
    fails: bool,
    label: String,
}

type Calls = Arc<Mutex<BTreeMap<DateTime<Utc>, u32>>>;
type Futures = Arc<Mutex<Vec<JobFuture>>>;

impl Told {
    fn draw(seed: u64) -> Told {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (world, calls, futures) = (World::new(), Calls::default(), Futures::default());
        let mut label = format!("seed {seed}:");
        let kind = *rng.choice(&["poll", "background", "future", "steps"]).unwrap();
        let mut says = |rng: &mut fastrand::Rng, word: &str| {
            let is_said = rng.u8(0..4) == 0;
            if is_said {
                label = format!("{label} {word}");
            }
            is_said
        };
        let mut job = world.scheduler.cron("0 * * * *");
        let overlaps = [
            ("skip", Overlap::Skip),
            ("queue", Overlap::Queue { most: 3 }),
            ("cancel", Overlap::CancelRunning),
            ("allow", Overlap::Allow { most: 2 }),
        ];
        for (word, overlap) in &overlaps[..if matches!(kind, "poll" | "steps") { 3 } else { 4 }] {
            if says(&mut rng, word) {
                job = job.overlap(*overlap);
            }
        }
        if says(&mut rng, "spacing") {
            job = job.spacing(7 * MINUTE);
        }
        if says(&mut rng, "rate") {
            job = job.rate(3, HOUR, "calls");
        }
        if says(&mut rng, "mutex") {
            job = job.mutex("one");
        }
        if says(&mut rng, "hours") {
            job = job.run_between("08:00", "20:00");
        }
        if says(&mut rng, "when") {
            let holds = Mutex::new(rng.fork());
            job = job.when(move || holds.lock().bool());
        }
        if says(&mut rng, "times") {
            job = job.times(rng.u32(1..4));
        }
        if says(&mut rng, "grace") {
            job = job.grace(30 * MINUTE);
        }
        if says(&mut rng, "missed") {
            job = job.missed(Missed::RunAll { most: 5 });
        }
        let fails = says(&mut rng, "fails");
        if fails {
            job = job.retry(1);
        }
        if fails && says(&mut rng, "pauses") {
            job = job.pause_after_failures(2);
        }
        let (count, draws) = (calls.clone(), Mutex::new(rng.fork()));
        let work = move |due: DateTime<Utc>| {
            *count.lock().entry(due).or_default() += 1;
            if fails && draws.lock().u8(0..3) == 0 { Err("not now") } else { Ok(()) }
        };
        let job = match kind {
            "poll" => job.do_with(move |run| work(run.due())),
            "background" => job.background().do_with(move |run| work(run.due())),
            "steps" => job.do_steps(move |run| [Ok(()), work(run.due()), Ok(())].into_iter()),
            _ => {
                let (held, work) = (futures.clone(), Arc::new(work));
                job.do_future(
                    move |future| held.lock().push(future),
                    move |run| {
                        let work = work.clone();
                        async move { work(run.due()) }
                    },
                )
            }
        };
        let job = job.unwrap();
        world.scheduler.every(20).minutes().mutex("one").do_(|| ()).unwrap();
        let follower = match rng.u8(0..4) {
            0 => Some(world.scheduler.following(&job).delay(20 * MINUTE).do_(|| ()).unwrap()),
            1 => Some(world.scheduler.following(&job).background().do_(|| ()).unwrap()),
            2 => {
                let linked = world.scheduler.cron("30 * * * *").background().do_(|| ()).unwrap();
                linked.also_after(&job).unwrap();
                Some(linked)
            }
            _ => None,
        };
        let (newest_first, at_most) = (rng.bool(), rng.u32(1..5));
        let filling = job.backfill(at("01T00:00"), at("01T10:00")).at_most(at_most);
        let filling = if newest_first { filling.newest_first() } else { filling }.start().unwrap();
        let label = format!("{label} {kind}, {at_most} at most, newest first {newest_first},");
        Told { rng, world, job, follower, filling, calls, futures, fails, label }
    }

    fn live(mut self) {
        let meddles = self.rng.u32(0..60);
        let (mut in_vain, mut dropped) = (0, 0);
        for step in 0..6000 {
            if step == 3000 {
                dropped = self.job.stats().dropped;
            }
            if self.filling.is_over() {
                break;
            }
            if step < meddles {
                self.meddle();
            } else if step == meddles {
                self.world.scheduler.resume();
            } else {
                self.job.resume();
            }
            let Told { world, futures, rng, .. } = &mut self;
            let idle = world.scheduler.idle();
            let held = world.held.len() + futures.lock().len();
            if idle == Some(Duration::ZERO) {
                let ran = world.scheduler.run_pending().ran();
                in_vain = if ran == 0 { in_vain + 1 } else { 0 };
                assert!(in_vain < 60, "{}: polled in vain, {:?}", self.label, self.world.scheduler.jobs());
            } else if held > 0 && (idle.is_none() || held > 3 || rng.bool()) {
                self.goes_on();
            } else {
                world.clock.advance(idle.unwrap_or(HOUR).min(HOUR));
            }
        }
        let Told { world, job, filling, fails, label, .. } = &self;
        // What comes by the schedule goes first: a job that does not even keep up with that never gets to its past.
        let keeps_up = job.stats().dropped == dropped;
        if !filling.is_over() && !keeps_up {
            return;
        }
        assert!(filling.is_over(), "{label}: it never ends: {filling:?}, {:?}", world.scheduler.jobs());
        if *fails {
            return;
        }
        let calls = self.calls.lock();
        let of_the_past: Vec<u32> = calls.range(at("01T00:00")..at("01T10:00")).map(|(_, calls)| *calls).collect();
        assert_eq!(of_the_past, [1; 10], "{label} {calls:?}");
        assert_eq!((filling.progress().taken, filling.progress().done), (10, 10), "{label} {job:?}");
    }

    /// Something that is in the background.
    fn goes_on(&mut self) {
        if self.world.held.len() > 0 {
            return self.world.held.run();
        }
        let future = self.futures.lock().remove(0);
        if self.fails && self.rng.u8(0..8) == 0 {
            return drop(future);
        }
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(future).poll(&mut context).is_ready());
    }

    fn meddle(&mut self) {
        let Told { rng, world, job, follower, label, .. } = self;
        let deed = rng.u8(0..20);
        match (deed, follower) {
            (0, _) => drop(job.pause()),
            (1, _) => drop(job.resume()),
            (2, _) => world.scheduler.pause(),
            (3, _) => world.scheduler.resume(),
            (4, _) => drop(job.run_now()),
            (5, _) => drop(world.scheduler.run_all()),
            (6, _) => world.clock.suspend(Duration::from_secs(rng.u64(0..7200))),
            // Not back to before what is of the past, or the schedule has it too.
            (7, _) => world.clock.step(TimeDelta::minutes(rng.i64(0..90))),
            (8, Some(follower)) => drop(follower.cancel()),
            (9, Some(follower)) => drop(follower.pause()),
            _ => return,
        }
        *label = format!("{label} {deed}");
    }
}

#[test]
fn the_schedule_comes_first_however_slowly_the_past_goes() {
    for at_most in [1, 3] {
        let world = World::new();
        let note = world.note();
        let spaced = world.scheduler.cron("0 * * * *").spacing(10 * MINUTE).grace(30 * MINUTE);
        let job = spaced.do_with(move |run| note(&hour(run.due()))).unwrap();
        job.backfill(at("01T00:00") - TimeDelta::days(9), at("01T08:00")).at_most(at_most).start().unwrap();
        let noted: Vec<String> = (0..13)
            .map(|_| {
                polls(&world);
                world.clock.advance(10 * MINUTE);
                world.noted()
            })
            .collect();
        assert_eq!((&*noted[6], &*noted[12]), ("01T11", "01T12"), "{at_most} at most: {noted:?}");
    }
    let world = World::new();
    let (note, clock) = (world.note(), world.clock.clone());
    let slow = world.scheduler.cron("0 * * * *").do_with(move |run| {
        clock.advance(MINUTE);
        note(&hour(run.due()));
    });
    slow.unwrap().backfill(at("01T00:00") - TimeDelta::days(9), at("01T08:00")).at_most(3).start().unwrap();
    for _ in 0..62 {
        let _ = world.scheduler.run_pending_within(SECOND);
    }
    assert!(world.noted().contains("01T11"), "and however small the budget is");
}

#[test]
fn a_job_whose_times_are_used_up_stays_until_it_is_over() {
    let world = World::new();
    let note = world.note();
    let once = world.scheduler.cron("0 * * * *").times(1).overlap(Overlap::Queue { most: 9 }).background();
    let job = once.do_with(move |run| note(&hour(run.due()))).unwrap();
    let filling = job.backfill(at("01T05:00"), at("01T08:00")).start().unwrap();
    polls(&world);
    for _ in 0..2 {
        world.clock.advance(HOUR);
        polls(&world);
    }
    for _ in 0..9 {
        world.held.run_all();
        polls(&world);
    }
    assert_eq!((world.noted().as_str(), filling.is_over()), ("01T05 01T11 01T06 01T07", true));
    assert!(job.snapshot().is_none());
}

#[test]
fn paused_by_its_own_run_it_goes_on_once_that_is_resumed() {
    for way in ["the job", "the scheduler", "a failure"] {
        let world = World::new();
        let own: Arc<Mutex<Option<JobHandle>>> = Arc::default();
        let (note, handle, scheduler) = (world.note(), own.clone(), world.scheduler.downgrade());
        let job = world.scheduler.cron("0 * * * *").pause_after_failures(1).do_with(move |run| {
            note(&hour(run.due()));
            match handle.lock().take() {
                Some(job) if way == "the job" => assert!(job.pause()),
                Some(_) if way == "the scheduler" => scheduler.upgrade().unwrap().pause(),
                Some(_) => return Err("not now"),
                None => {}
            }
            Ok(())
        });
        let job = job.unwrap();
        *own.lock() = Some(job.clone());
        let filling = job.backfill(at("01T05:00"), at("01T08:00")).start().unwrap();
        polls(&world);
        assert_eq!(world.noted(), "01T05", "{way}");
        job.resume();
        world.scheduler.resume();
        polls(&world);
        assert_eq!((world.noted().as_str(), filling.is_over()), ("01T06 01T07", true), "{way}");
    }
}

#[test]
fn a_follower_that_goes_or_pauses_holds_up_nothing() {
    for cancels in [true, false] {
        let world = World::new();
        let job = noting_hours(&world);
        let follower = world.scheduler.following(&job).delay(9 * HOUR).do_(|| ()).unwrap();
        let filling = job.backfill(at("01T05:00"), at("01T08:00")).start().unwrap();
        polls(&world);
        assert_eq!((world.noted().as_str(), filling.is_over()), ("01T05", false));
        assert!(if cancels { follower.cancel() } else { follower.pause() });
        polls(&world);
        assert_eq!((world.noted().as_str(), filling.is_over()), ("01T06 01T07", true));
    }
}

/// Its own run of the schedule for the same is not given another one beside it, and none takes the place of one of the past.
#[test]
fn no_occurrence_is_doubled_or_lost_to_another() {
    let world = World::new();
    let (note, there) = (world.note(), Arc::new(Mutex::new(BTreeSet::new())));
    let look = there.clone();
    let hourly = world.scheduler.cron("0 * * * *").overlap(Overlap::Allow { most: 3 });
    let job = hourly.unless_done(move |run| look.lock().contains(&run.due)).background().do_with(move |run| {
        there.lock().insert(run.due());
        note(&hour(run.due()));
    });
    world.clock.advance(HOUR);
    polls(&world);
    job.unwrap().backfill(at("01T10:00"), at("01T12:00")).newest_first().start().unwrap();
    polls(&world);
    assert_eq!(world.held.len(), 1, "11:00 goes on already");
    for _ in 0..3 {
        world.held.run_all();
        polls(&world);
    }
    assert_eq!(world.noted(), "01T11 01T10");

    let world = World::new();
    let note = world.note();
    let hourly = world.scheduler.cron("0 * * * *").overlap(Overlap::CancelRunning).background();
    let job = hourly.do_with(move |run| note(&hour(run.due()))).unwrap();
    let filling = job.backfill(at("01T05:00"), at("01T07:00")).at_most(2).start().unwrap();
    polls(&world);
    world.clock.advance(HOUR);
    for _ in 0..4 {
        polls(&world);
        world.held.run_all();
    }
    polls(&world);
    assert_eq!((world.noted().as_str(), filling.progress().done), ("01T05 01T11 01T06", 2));
}

/// What also follows another job finds no room by `Skip`, were the run that goes on one of its own.
#[test]
fn what_follows_another_job_waits_for_it_too() {
    for overlap in [Overlap::Skip, Overlap::CancelRunning] {
        let world = World::new();
        let other = world.scheduler.cron("15 * * * *").do_(world.noting("other")).unwrap();
        let (note, hourly) = (world.note(), world.scheduler.cron("0 * * * *").overlap(overlap).background());
        let job = hourly.do_with(move |run| note(&hour(run.due()))).unwrap();
        job.also_after(&other).unwrap();
        let filling = job.backfill(at("01T05:00"), at("01T07:00")).start().unwrap();
        polls(&world);
        world.clock.advance(20 * MINUTE);
        for _ in 0..4 {
            polls(&world);
            world.held.run_all();
        }
        polls(&world);
        assert_eq!((world.noted().as_str(), filling.is_over()), ("other 01T05 01T10 01T06", true), "{overlap:?}");
    }
}

/// Has no room for the first, and tells it to stop first.
struct Full(Arc<Mutex<Option<Backfilling>>>, Held);

impl Executor for Full {
    fn execute(&self, work: Work) -> Result<(), Work> {
        match self.0.lock().take() {
            Some(filling) => {
                filling.stop();
                Err(work)
            }
            None => self.1.execute(work),
        }
    }
}

#[test]
fn stopped_while_a_run_is_handed_over_it_does_not_come_again() {
    let (own, held) = (Arc::new(Mutex::new(None)), Held::default());
    let world = World::built(|builder| builder.executor(Full(own.clone(), held.clone())));
    let job = world.scheduler.cron("0 * * * *").background().do_(world.note_once("ran")).unwrap();
    *own.lock() = Some(job.backfill(at("01T05:00"), at("01T08:00")).start().unwrap());
    for _ in 0..9 {
        polls(&world);
        held.run_all();
        world.clock.advance(MINUTE);
    }
    assert_eq!(world.noted(), "");
}

#[test]
fn a_clock_that_is_not_right_yet_is_waited_for() {
    let clock = ManualClock::new("1970-01-01T00:00:10Z".parse().unwrap());
    let is_right = |wall: DateTime<Utc>| wall > at("01T00:00");
    let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).wait_for_clock(is_right).build();
    let dues = Arc::new(Mutex::new(Vec::new()));
    let due = dues.clone();
    let job = scheduler.cron("0 * * * *").do_with(move |run| due.lock().push(hour(run.due()))).unwrap();
    let filling = job.backfill(at("01T08:30"), at("09T08:00")).start().unwrap();
    let _ = scheduler.run_pending();
    assert!(!filling.is_over());
    clock.step(at("01T10:00") - clock.wall());
    for _ in 0..9 {
        clock.advance(SECOND);
        let _ = scheduler.run_pending();
    }
    assert_eq!((dues.lock().join(" ").as_str(), filling.is_over()), ("01T09 01T10", true));
}

/// What it had yet to begin is nothing of its job's, unless it is asked for again.
#[test]
fn a_process_that_does_not_take_it_up_knows_nothing_of_it() {
    let clock = ManualClock::new(at("01T10:00"));
    let (store, calls) = (MemoryStore::new(clock.clone()), Arc::new(Mutex::new(Vec::new())));
    let process = || {
        let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).store(store.clone()).build();
        let (call, drops) = (calls.clone(), calls.clone());
        scheduler.on_event(move |event| {
            if let Event::Dropped { since, .. } = event {
                drops.lock().push(format!("dropped-{}", hour(*since)));
            }
        });
        let job = scheduler.cron("0 * * * *").named("fetch").times(3).grace(MINUTE);
        (job.do_with(move |run| call.lock().push(hour(run.due()))).unwrap(), scheduler)
    };
    let (job, scheduler) = process();
    job.backfill(at("01T04:00"), at("01T10:00")).at_most(2).start().unwrap();
    for _ in 0..2 {
        let _ = scheduler.run_pending();
    }
    std::mem::forget(scheduler);
    calls.lock().clear();
    let (_, scheduler) = process();
    for _ in 0..10 {
        clock.advance(30 * MINUTE);
        let _ = scheduler.run_pending();
    }
    assert_eq!(*calls.lock(), ["01T11", "01T12", "01T13"]);
}

/// Cut off before or while its runs go on; what is run again by the store's record is not run a second time beside that, and by no
/// grace is it dropped.
#[test]
fn what_a_store_runs_again_is_not_run_beside_that() {
    for (dies_after, has_target) in [(0, true), (1, true), (2, true), (3, true), (1, false), (2, false)] {
        let clock = ManualClock::new(at("01T10:00"));
        let store = MemoryStore::new(clock.clone());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let process = || {
            let held = Held::default();
            let builder = Scheduler::builder().clock(clock.clone()).zone(Utc).store(store.clone()).executor(held.clone());
            let scheduler: Scheduler = builder.build();
            let (there, call) = (calls.clone(), calls.clone());
            let job = scheduler.cron("0 * * * *").named("fetch").overlap(Overlap::Allow { most: 3 }).at_least_once();
            let job = job.grace(MINUTE).unless_done(move |run| has_target && there.lock().contains(&hour(run.due)));
            let job = job.background().do_with(move |run| call.lock().push(hour(run.due()))).unwrap();
            let filling = job.backfill(at("01T04:00"), at("01T10:00")).at_most(2).start().unwrap();
            (scheduler, filling, held)
        };
        let first = process();
        for _ in 0..dies_after {
            let _ = first.0.run_pending();
        }
        std::mem::forget(first);
        let (scheduler, filling, held) = process();
        for _ in 0..40 {
            let _ = scheduler.run_pending();
            assert!(held.len() <= 2);
            if scheduler.idle() != Some(Duration::ZERO) {
                held.run_all();
            }
        }
        calls.lock().sort();
        assert_eq!(calls.lock().join(" "), "01T04 01T05 01T06 01T07 01T08 01T09", "{dies_after} {has_target}");
        assert!(filling.is_over());
    }
}

/// A store that at times cannot be written.
struct Flaky(MemoryStore, Arc<Mutex<bool>>);

impl Store for Flaky {
    fn load(&self, name: &str) -> Result<Option<JobRecord>, StoreError> {
        self.0.load(name)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        self.0.names()
    }

    fn write(&self, batch: Batch, done: Done) {
        if *self.1.lock() { done.with(Err(StoreError::NotADatabase { path: String::new() })) } else { self.0.write(batch, done) }
    }

    fn history(&self, query: &HistoryQuery) -> Result<Vec<RunRecord>, StoreError> {
        self.0.history(query)
    }

    fn prune(&self, keep: &Keep, most: usize) -> Result<usize, StoreError> {
        self.0.prune(keep, most)
    }

    fn purge(&self, name: &str) -> Result<bool, StoreError> {
        self.0.purge(name)
    }
}

#[test]
fn a_store_that_fails_at_times_loses_and_doubles_nothing() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (clock, fails, held) = (ManualClock::new(at("01T10:00")), Arc::new(Mutex::new(false)), Held::default());
        let store = Flaky(MemoryStore::new(clock.clone()), fails.clone());
        let builder = Scheduler::builder().clock(clock.clone()).zone(Utc).store(store).executor(held.clone());
        let builder = if rng.bool() { builder.without_store(WithoutStore::Hold) } else { builder };
        let scheduler: Scheduler = builder.build();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let call = calls.clone();
        let job = scheduler.cron("0 * * * *").named("fetch").background();
        let job = job.do_with(move |run| call.lock().push(hour(run.due()))).unwrap();
        let filling = job.backfill(at("01T04:00"), at("01T10:00")).at_most(2).start().unwrap();
        let stops_at = rng.u32(0..400);
        for step in 0..400 {
            *fails.lock() = step < 80 && rng.u8(0..3) == 0;
            match rng.u8(0..8) {
                0 if step < 80 => drop(job.pause()),
                1 => drop(job.resume()),
                2 if held.len() > 0 => held.run(),
                3 => clock.advance(Duration::from_secs(rng.u64(0..30))),
                _ => drop(scheduler.run_pending()),
            }
            if step == stops_at {
                filling.stop();
                let begun = calls.lock().len() + held.len();
                for _ in 0..50 {
                    (*fails.lock(), _) = (false, job.resume());
                    clock.advance(SECOND);
                    let _ = scheduler.run_pending();
                    held.run_all();
                }
                // One was written as begun, perhaps.
                assert!(calls.lock().len() <= begun + 1, "seed {seed}: {calls:?}, of which {begun} had begun");
                break;
            }
        }
        let all = ["01T04", "01T05", "01T06", "01T07", "01T08", "01T09"];
        let calls = calls.lock();
        assert_eq!(*calls, all[..calls.len()], "seed {seed}");
        assert!(filling.is_over() && (calls.len() == 6 || stops_at < 400), "seed {seed}");
    }
}
