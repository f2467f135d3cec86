//! A backfill runs what is missing of a job's past: in order, so many at once, stopped and taken up again as one likes.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use punctual::{BackfillProgress, Error, Event, JobHandle, ManualClock, MemoryStore, Missed, Overlap, Schedule, Scheduler};
use world::{HOUR, MINUTE, World, at};

/// The hour of a date in March.
fn hour(due: DateTime<Utc>) -> String {
    due.format("%dT%H").to_string()
}

/// Polls until nothing is due.
fn polls(world: &World) {
    while world.scheduler.idle() == Some(Duration::ZERO) {
        let _ = world.scheduler.run_pending();
    }
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

#[test]
fn it_ends_with_its_job_its_schedule_its_scheduler_or_when_it_is_told_to() {
    let ends: [(&str, fn(&World, &JobHandle)); 4] = [
        ("its job is cancelled", |_, job| assert!(job.cancel())),
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
    let gone = scheduler.every(1).day().do_(|| ()).unwrap();
    gone.cancel();
    let refused = [
        (hourly.backfill(to, from), "EmptyRange"),
        (hourly.backfill(from, from), "EmptyRange"),
        (hourly.backfill(from, to).at_most(0), "ZeroOfMany"),
        (follower.backfill(from, to), "NoOccurrences"),
        (elapsed.backfill(from, to), "NoPast"),
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
