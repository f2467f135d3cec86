//! Several processes on one store: each occurrence is run by one of them, and a dead one's jobs are taken over.
//!
//! The stories have two processes on one clock. In the long run (`nothing_is_run_twice_..`) up to four of them poll, stall beyond
//! their lease, are killed and started again, find the store busy, and are held up in the middle of jobs, all drawn from a
//! seed. `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many such machines and which.

mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use disk::{Disk, each_in_one, ended, follows_both_once, follows_once, setting};
use punctual::{
    Backoff, Batch, Blocked, Done, Event, HistoryQuery, JobHandle, JobRecord, Keep, ManualClock, MemoryStore, Overlap, RunEnd,
    RunRecord, RunState, RunView, Scheduler, SchedulerBuilder, Store, StoreError, Why, WithoutStore, Work,
};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(10);

/// A process of the program.
#[derive(Clone)]
struct Process {
    scheduler: Scheduler,
    alive: Arc<AtomicBool>,
    busy: Arc<AtomicBool>,
    /// Background runs that have been handed over and not begun.
    work: Arc<Mutex<Vec<Work>>>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn start(clock: &ManualClock, store: &MemoryStore, without: Option<WithoutStore>) -> Process {
        let (alive, busy) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (lives, waits) = (alive.clone(), busy.clone());
        let way = move |store: &MemoryStore, batch: Batch, done: Done| match () {
            // What a dead process writes does not reach the disk.
            () if !lives.load(Ordering::Relaxed) => {}
            () if waits.load(Ordering::Relaxed) => done.with(Err(StoreError::Busy { path: "jobs.db".to_owned() })),
            () => store.write(batch, done),
        };
        let work: Arc<Mutex<Vec<Work>>> = Arc::default();
        let held = work.clone();
        let executor = move |work| {
            held.lock().unwrap().push(work);
            Ok(())
        };
        let disk = Disk { store: store.clone(), way };
        let builder = Scheduler::builder().clock(clock.clone()).zone(Utc).store(disk).lease(LEASE).executor(executor);
        let builder = without.into_iter().fold(builder, SchedulerBuilder::without_store);
        let scheduler: Scheduler = builder.build();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let tell = told.clone();
        scheduler.on_event(move |event| {
            if matches!(event, Event::CutOff { .. } | Event::ClaimLost { .. } | Event::StoreFailed { .. }) {
                tell.lock().unwrap().push(event.to_string());
            }
        });
        Process { scheduler, alive, busy, work, told }
    }

    fn poll(&self) {
        let _ = self.scheduler.run_pending();
    }

    /// Polls until what is due has come to its end, claims and all.
    fn settle(&self) {
        (0..6).for_each(|_| self.poll());
    }

    fn do_work(&self) {
        let work = std::mem::take(&mut *self.work.lock().unwrap());
        work.into_iter().for_each(Work::run);
    }

    fn die(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

/// Two processes, and what their jobs note.
struct Pair {
    clock: ManualClock,
    store: MemoryStore,
    noted: Arc<Mutex<Vec<String>>>,
    one: Process,
    other: Process,
}

impl Pair {
    fn new() -> Pair {
        Pair::with(None)
    }

    fn with(without: Option<WithoutStore>) -> Pair {
        let clock = ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap());
        let store = MemoryStore::new(clock.clone());
        let (one, other) = (Process::start(&clock, &store, without), Process::start(&clock, &store, without));
        Pair { clock, store, noted: Arc::default(), one, other }
    }

    fn both(&self, each: impl Fn(&Process)) {
        [&self.one, &self.other].into_iter().for_each(each);
    }

    fn note(&self, who: &'static str) -> impl Fn(&RunView) + Send + Sync + use<> {
        let noted = self.noted.clone();
        move |run: &RunView| {
            let due = run.due().format("%H:%M:%S");
            noted.lock().unwrap().push(format!(
                "{who}: {} {due} #{} attempt {}",
                run.name().unwrap(),
                run.number(),
                run.attempt()
            ));
        }
    }

    fn noted(&self) -> Vec<String> {
        std::mem::take(&mut self.noted.lock().unwrap())
    }

    fn history(&self, job: &str) -> Vec<RunRecord> {
        self.store.history(&HistoryQuery { job: Some(job.into()), ..HistoryQuery::default() }).unwrap()
    }
}

#[test]
fn each_occurrence_is_run_by_whoever_comes_first() {
    let pair = Pair::new();
    for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
        let note = pair.note(who);
        process.scheduler.every(10).seconds().named("tick").do_with(move |run| note(run)).unwrap();
        process.poll();
    }
    for (first, second) in [(&pair.one, &pair.other), (&pair.other, &pair.one), (&pair.other, &pair.one)] {
        pair.clock.advance(10 * SECOND);
        first.settle();
        second.settle();
    }
    let expected = ["one: tick 12:00:10 #1", "other: tick 12:00:20 #2", "other: tick 12:00:30 #3"];
    assert_eq!(pair.noted(), expected.map(|line| format!("{line} attempt 1")));
    assert_eq!(pair.history("tick").len(), 3);
}

#[test]
fn while_a_run_goes_on_the_job_is_held_and_the_hold_is_prolonged() {
    let pair = Pair::new();
    let mut jobs = Vec::new();
    for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
        let note = pair.note(who);
        let job = process.scheduler.every(10).seconds().named("tick").background().do_with(note).unwrap();
        process.poll();
        jobs.push(job);
    }
    pair.clock.advance(10 * SECOND);
    pair.one.settle();
    for _ in 0..10 {
        // A third of the lease, then it asks to be polled.
        assert!(pair.one.scheduler.run_pending().idle(60 * SECOND) <= LEASE / 3);
        pair.clock.advance(LEASE / 3);
        pair.one.settle();
        pair.other.settle();
        assert!(pair.other.work.lock().unwrap().is_empty());
    }
    assert_eq!(pair.other.scheduler.why(&jobs[1]), Why::Blocked(Blocked::Elsewhere));
    pair.one.do_work();
    pair.one.settle();
    assert_eq!(pair.noted(), ["one: tick 12:00:10 #1 attempt 1"]);
    // What came meanwhile overlapped. The next one is anybody's, once the other has found out.
    pair.clock.advance(10 * SECOND);
    pair.other.settle();
    pair.other.do_work();
    pair.other.settle();
    pair.one.settle();
    pair.one.do_work();
    assert_eq!(pair.noted(), ["other: tick 12:00:50 #2 attempt 1"]);
    assert_eq!((pair.one.told(), pair.other.told()), (vec![], vec![]));
}

#[test]
fn the_jobs_of_a_dead_process_are_taken_over_when_its_lease_has_run_out() {
    for again in [false, true] {
        let pair = Pair::new();
        for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
            let note = pair.note(who);
            let job =
                process.scheduler.every(1).hour().starting_at(punctual::Clock::wall(&pair.clock) + 10 * SECOND).named("tick");
            let job = if again { job.at_least_once() } else { job.at_most_once() };
            job.background().do_with(note).unwrap();
            process.poll();
        }
        pair.clock.advance(10 * SECOND);
        pair.one.settle();
        pair.other.settle();
        pair.one.die();
        pair.clock.advance(LEASE - Duration::from_nanos(1));
        pair.other.settle();
        assert_eq!(pair.other.told(), Vec::<String>::new());
        let wait = pair.other.scheduler.run_pending().idle(60 * SECOND);
        pair.clock.advance(wait.max(Duration::from_nanos(1)));
        pair.other.settle();
        pair.other.do_work();
        pair.other.settle();
        let told = pair.other.told();
        assert_eq!(told.len(), 1, "{told:?}");
        let runs = pair.history("tick");
        if again {
            assert_eq!(pair.noted(), ["other: tick 12:00:10 #1 attempt 2"]);
            assert!(matches!(runs[0].state, RunState::Ended { end: RunEnd::Done, .. }));
        } else {
            assert!(pair.noted().is_empty());
            assert!(matches!(runs[0].state, RunState::CutOff { .. }));
        }
        assert_eq!(runs.len(), 1);
        // The one that was taken for dead comes back, and its run with it.
        pair.one.alive.store(true, Ordering::Relaxed);
        pair.one.do_work();
        pair.noted();
        pair.one.settle();
        let told = pair.one.told();
        assert_eq!(
            told,
            ["tick: another process took it over during the run due 2026-03-01 12:00:10 UTC, which counts for nothing"]
        );
        assert_eq!(pair.history("tick"), runs);
    }
}

#[test]
fn a_run_can_ask_whether_its_job_is_still_its_own() {
    let pair = Pair::new();
    let (clock, other, answers) = (pair.clock.clone(), pair.other.clone(), Arc::new(Mutex::new(Vec::new())));
    let said = answers.clone();
    let job = pair.one.scheduler.every(10).seconds().named("tick");
    job.do_with(move |run| {
        let mut answer = vec![run.still_mine()];
        clock.advance(LEASE - Duration::from_nanos(1));
        answer.push(run.still_mine());
        clock.advance(Duration::from_nanos(1));
        answer.push(run.still_mine());
        other.settle();
        answer.push(run.still_mine());
        let fence = run.fence().map(|fence| (fence.job.to_string(), fence.number, fence.attempt));
        said.lock().unwrap().push((answer, fence));
    })
    .unwrap();
    pair.one.poll();
    let note = pair.note("other");
    pair.other.scheduler.every(10).seconds().named("tick").do_with(move |run| note(run)).unwrap();
    pair.clock.advance(10 * SECOND);
    pair.one.poll();
    let fence = Some(("tick".to_owned(), 1, 1));
    assert_eq!(*answers.lock().unwrap(), [(vec![true, true, false, false], fence)]);
    // The other one took it over meanwhile, and with it what came due.
    assert_eq!(pair.other.told().len(), 1);
    assert_eq!(pair.noted(), ["other: tick 12:00:20 #2 attempt 1"]);
    pair.one.poll();
    assert_eq!(pair.one.told().len(), 1);
    let states: Vec<bool> = pair.history("tick").iter().map(|run| matches!(run.state, RunState::CutOff { .. })).collect();
    assert_eq!(states, [false, true]);
    // Without a store there is nobody to lose it to.
    let scheduler = Scheduler::builder().clock(pair.clock.clone()).build();
    let asked = scheduler.every(1).second().do_with(|run: &mut punctual::Run| {
        assert!(run.still_mine() && run.fence().is_none());
    });
    pair.clock.advance(SECOND);
    let _ = scheduler.run_pending();
    assert_eq!(asked.unwrap().stats().panics, 0);
}

#[test]
fn what_follows_is_held_with_what_it_follows_and_follows_once() {
    let pair = Pair::new();
    let mut handles: Vec<JobHandle> = Vec::new();
    for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
        let (note, follow) = (pair.note(who), pair.note(who));
        let first = process.scheduler.every(10).seconds().named("fetch").do_with(move |run| note(run)).unwrap();
        process.scheduler.following(&first).named("load").background().do_with(move |run, ()| follow(run)).unwrap();
        process.poll();
        handles.push(first);
    }
    pair.clock.advance(10 * SECOND);
    pair.one.settle();
    pair.clock.advance(5 * SECOND);
    pair.one.settle();
    pair.clock.advance(5 * SECOND);
    // As long as the one loads, the other one does not fetch.
    pair.other.settle();
    assert_eq!(pair.noted(), ["one: fetch 12:00:10 #1 attempt 1"]);
    pair.one.settle();
    pair.one.do_work();
    pair.one.settle();
    pair.one.do_work();
    pair.one.settle();
    let lines = ["one: fetch 12:00:20 #2", "one: load 12:00:10 #1", "one: load 12:00:20 #2"];
    assert_eq!(pair.noted(), lines.map(|line| format!("{line} attempt 1")));
    let followed: Vec<u64> = pair.history("load").iter().flat_map(|run| &run.follows).map(|run| run.number).collect();
    assert_eq!(followed, [2, 1]);
}

#[test]
fn a_set_is_completed_by_whichever_process_has_its_last_part() {
    let pair = Pair::new();
    for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
        let first = process.scheduler.every(20).seconds().named("first").do_(|| ()).unwrap();
        let second = process.scheduler.every(30).seconds().named("second").do_(|| ()).unwrap();
        let note = pair.note(who);
        let both = process.scheduler.following_all((&first, &second)).named("both");
        both.do_with(move |run, _| note(run)).unwrap();
        process.poll();
    }
    // At 20 and 30 seconds; 40 and 60 and 60; 80 and 90: each part by another process than the one before.
    for (at, process) in
        [(20, &pair.one), (30, &pair.other), (40, &pair.one), (60, &pair.other), (80, &pair.one), (90, &pair.other)]
    {
        let from = "2026-03-01T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
        let passed = (pair.clock.wall() - from).to_std().unwrap();
        pair.clock.advance(at * SECOND - passed);
        process.settle();
        (if at % 20 == 0 { &pair.other } else { &pair.one }).settle();
    }
    let expected = ["other: both 12:00:30 #1", "other: both 12:01:00 #2", "other: both 12:01:30 #3"];
    assert_eq!(pair.noted(), expected.map(|line| format!("{line} attempt 1")));
    assert_eq!(pair.store.load("both").unwrap().unwrap().gathered, []);
}

#[test]
fn what_is_about_to_start_does_not_if_another_process_holds_what_follows_it() {
    let pair = Pair::new();
    let first = |process: &Process, who| {
        let note = pair.note(who);
        process.scheduler.every(10).seconds().named("fetch").at_least_once().do_with(move |run| note(run)).unwrap()
    };
    let second = |process: &Process, who, first: &JobHandle| {
        let note = pair.note(who);
        process.scheduler.following(first).named("load").background().do_with(move |run, ()| note(run)).unwrap();
    };
    second(&pair.one, "one", &first(&pair.one, "one"));
    pair.one.poll();
    pair.clock.advance(10 * SECOND);
    // The other one registers the first while nobody holds it, and what follows it when somebody does.
    let fetch = first(&pair.other, "other");
    pair.one.settle();
    second(&pair.other, "other", &fetch);
    pair.other.settle();
    assert_eq!(pair.noted(), ["one: fetch 12:00:10 #1 attempt 1"]);
    pair.one.do_work();
    pair.one.settle();
    pair.clock.advance(LEASE);
    pair.other.settle();
    pair.other.do_work();
    assert_eq!(
        pair.noted(),
        ["one: load 12:00:10 #1 attempt 1", "other: fetch 12:00:20 #2 attempt 1", "other: load 12:00:20 #2 attempt 1"]
    );
    assert_eq!((pair.one.told(), pair.other.told()), (vec![], vec![]));
}

#[test]
fn a_job_with_a_new_name_waits_for_the_process_that_holds_it_by_the_old_one() {
    let pair = Pair::new();
    let old = pair.one.scheduler.every(10).seconds().named("old").background();
    old.do_with(pair.note("one")).unwrap();
    pair.one.poll();
    pair.clock.advance(10 * SECOND);
    pair.one.settle();
    let new = pair.other.scheduler.every(10).seconds().named("new").formerly("old").background();
    new.do_with(pair.note("other")).unwrap();
    pair.other.settle();
    pair.one.die();
    pair.clock.advance(LEASE);
    pair.other.settle();
    pair.other.do_work();
    pair.other.settle();
    assert_eq!(pair.other.told().len(), 1);
    assert_eq!(pair.noted(), ["other: new 12:00:20 #2 attempt 1"]);
    assert_eq!((pair.history("new").len(), pair.store.names().unwrap()), (2, vec!["new".to_owned()]));
}

#[test]
fn what_was_asked_of_a_process_that_stands_by_is_not_lost() {
    let pair = Pair::new();
    let mut jobs = Vec::new();
    for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
        let note = pair.note(who);
        jobs.push(process.scheduler.every(10).seconds().named("tick").background().do_with(note).unwrap());
        process.poll();
    }
    pair.clock.advance(10 * SECOND);
    pair.one.settle();
    pair.other.settle();
    assert_eq!(pair.other.scheduler.why(&jobs[1]), Why::Blocked(Blocked::Elsewhere));
    assert!(jobs[1].run_now());
    pair.other.settle();
    pair.one.do_work();
    pair.one.settle();
    pair.noted();
    pair.clock.advance(Duration::from_secs(9));
    pair.other.settle();
    pair.clock.advance(LEASE);
    pair.other.settle();
    pair.other.do_work();
    pair.other.settle();
    assert!(pair.noted().iter().any(|line| line.starts_with("other: tick 12:00:10")));
    // A pause holds for both, once the other one comes to it.
    assert!(jobs[1].pause());
    pair.other.settle();
    pair.clock.advance(3 * LEASE);
    pair.one.settle();
    assert!(pair.one.work.lock().unwrap().is_empty());
    assert!(jobs[0].snapshot().is_some_and(|job| job.paused));
}

#[test]
fn what_is_taken_over_begins_before_what_waited_behind_it() {
    let pair = Pair::new();
    for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
        let note = pair.note(who);
        let job = process.scheduler.every(10).seconds().named("tick").at_least_once().overlap(Overlap::Queue { most: 10 });
        job.background().do_with(note).unwrap();
        process.poll();
    }
    // The first run goes on, and the second one waits for it.
    for _ in 0..2 {
        pair.clock.advance(10 * SECOND);
        pair.other.settle();
    }
    pair.clock.advance(LEASE);
    pair.one.settle();
    pair.one.die();
    pair.clock.advance(LEASE);
    for _ in 0..3 {
        pair.other.settle();
        pair.other.do_work();
    }
    let noted: Vec<String> = pair.noted().iter().map(|line| line[line.find('#').unwrap()..].to_owned()).collect();
    assert_eq!(noted, ["#1 attempt 3", "#2 attempt 1", "#3 attempt 1"]);
}

#[test]
fn what_others_did_since_a_poll_began_is_no_clock_that_was_set_back() {
    let pair = Pair::new();
    let (clock, one) = (pair.clock.clone(), pair.one.clone());
    let slow = pair.other.scheduler.every(1).hour().starting_at(punctual::Clock::wall(&clock) + 10 * SECOND);
    slow.do_with(move |_| {
        clock.advance(Duration::from_secs(15));
        one.settle();
    })
    .unwrap();
    for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
        let note = pair.note(who);
        process.scheduler.every(10).seconds().named("tick").do_with(move |run| note(run)).unwrap();
        process.poll();
    }
    pair.clock.advance(10 * SECOND);
    pair.other.settle();
    assert_eq!(pair.noted(), ["one: tick 12:00:20 #1 attempt 1"]);
    pair.clock.advance(5 * SECOND);
    pair.other.settle();
    assert_eq!(pair.noted(), ["other: tick 12:00:30 #2 attempt 1"]);
}

#[test]
fn what_is_taken_over_late_in_a_poll_begins_before_what_came_meanwhile() {
    let pair = Pair::new();
    let clock = pair.clock.clone();
    let slow = pair.other.scheduler.every(1).hour().starting_at(punctual::Clock::wall(&clock) + Duration::from_secs(15));
    slow.do_with(move |_| clock.advance(SECOND)).unwrap();
    for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
        let job = process.scheduler.every(10).seconds().named("tick").at_least_once().background();
        job.do_with(pair.note(who)).unwrap();
        process.poll();
    }
    pair.clock.advance(10 * SECOND);
    pair.one.settle();
    pair.other.settle();
    pair.one.die();
    pair.clock.advance(LEASE);
    for _ in 0..2 {
        pair.other.settle();
        pair.other.do_work();
    }
    assert_eq!(pair.noted()[0], "other: tick 12:00:10 #1 attempt 2");
}

/// A store that is slow to read: something happens before it answers.
struct Slow<F>(MemoryStore, F);

impl<F: Fn() + Send + Sync + 'static> Store for Slow<F> {
    fn load(&self, name: &str) -> Result<Option<JobRecord>, StoreError> {
        self.1();
        self.0.load(name)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        self.0.names()
    }

    fn write(&self, batch: Batch, done: Done) {
        self.0.write(batch, done);
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
fn what_others_did_while_a_job_is_registered_is_no_clock_that_was_set_back() {
    let pair = Pair::new();
    let tick = |process: &Scheduler, note: &'static str| {
        let note = pair.note(note);
        process.every(10).seconds().named("tick").do_with(move |run| note(run)).unwrap()
    };
    tick(&pair.one.scheduler, "one");
    pair.one.settle();
    let (clock, one) = (pair.clock.clone(), pair.one.clone());
    let store = Slow(pair.store.clone(), move || {
        clock.advance(Duration::from_secs(15));
        one.settle();
    });
    let other: Scheduler = Scheduler::builder().clock(pair.clock.clone()).zone(Utc).store(store).lease(LEASE).build();
    let job = tick(&other, "other");
    assert_eq!(pair.noted(), ["one: tick 12:00:10 #1 attempt 1"]);
    assert_eq!(job.next_run(), Some("2026-03-01T12:00:20Z".parse().unwrap()));
}

#[test]
fn runs_are_numbered_in_the_order_in_which_they_begin_also_if_the_store_was_busy() {
    let pair = Pair::new();
    let fetch = |name: &str| {
        let note = pair.note("one");
        pair.one.scheduler.every(10).seconds().named(name).do_with(move |run| note(run)).unwrap()
    };
    let note = pair.note("one");
    let both = pair.one.scheduler.following_any([&fetch("here"), &fetch("there")]);
    both.named("load").do_with(move |run, ()| note(run)).unwrap();
    pair.one.poll();
    pair.clock.advance(10 * SECOND);
    pair.one.poll();
    assert_eq!(pair.noted().len(), 2);
    // The first one to follow is about to start, the second one waits, and neither is written.
    pair.one.busy.store(true, Ordering::Relaxed);
    pair.one.poll();
    pair.one.busy.store(false, Ordering::Relaxed);
    pair.clock.advance(Duration::from_millis(100));
    pair.one.settle();
    assert_eq!(pair.noted(), ["one: load 12:00:10 #1 attempt 1", "one: load 12:00:10 #2 attempt 1"]);
}

#[test]
fn a_store_that_is_busy_for_a_moment_is_no_failure() {
    let pair = Pair::new();
    let note = pair.note("one");
    pair.one.scheduler.every(10).seconds().named("tick").at_least_once().do_with(move |run| note(run)).unwrap();
    pair.one.poll();
    pair.clock.advance(10 * SECOND);
    pair.one.busy.store(true, Ordering::Relaxed);
    let mut tries = 0;
    for _ in 0..10 {
        let wait = pair.one.scheduler.run_pending().idle(60 * SECOND);
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        pair.clock.advance(wait);
        tries += 1;
    }
    assert_eq!((pair.noted(), pair.one.told()), (vec![], vec![]), "after {tries} tries");
    pair.one.busy.store(false, Ordering::Relaxed);
    pair.clock.advance(Duration::from_millis(100));
    pair.one.settle();
    assert_eq!(pair.noted(), ["one: tick 12:00:10 #1 attempt 1"]);
}

#[test]
fn while_nothing_can_be_claimed_for_long_jobs_wait_unless_it_is_said_otherwise() {
    for without in [None, Some(WithoutStore::Hold), Some(WithoutStore::Run)] {
        let pair = Pair::with(without);
        for (process, who) in [(&pair.one, "one"), (&pair.other, "other")] {
            let note = pair.note(who);
            process.scheduler.every(10).seconds().named("tick").at_least_once().do_with(move |run| note(run)).unwrap();
            process.poll();
        }
        pair.clock.advance(10 * SECOND);
        pair.both(|process| process.busy.store(true, Ordering::Relaxed));
        for _ in 0..100 {
            pair.both(Process::poll);
            pair.clock.advance(Duration::from_millis(100));
        }
        pair.both(|process| assert!(!process.told().is_empty(), "{without:?}"));
        let runs = match without {
            Some(WithoutStore::Run) => 2,
            _ => 0,
        };
        let first = |line: &String| line.ends_with("tick 12:00:10 #1 attempt 1");
        assert_eq!(pair.noted().into_iter().filter(first).count(), runs, "{without:?}");
        pair.both(|process| process.busy.store(false, Ordering::Relaxed));
        pair.clock.advance(60 * SECOND);
        (0..3).for_each(|_| pair.both(Process::settle));
        if runs == 0 {
            assert_eq!(pair.noted(), ["one: tick 12:01:20 #1 attempt 1"], "{without:?}");
        }
    }
}

// ---- Drawn from a seed ----

#[derive(Debug, Clone)]
struct Spec {
    name: String,
    /// In seconds; `None` if it follows the one before.
    every: Option<u64>,
    /// Whether it follows the two before.
    all: bool,
    again: bool,
    retry: bool,
    background: bool,
}

/// What a job wrote down itself, in the order of all.
#[derive(Debug, Clone)]
struct Begun {
    job: String,
    number: u64,
    attempt: u32,
    first: i64,
    due: i64,
    folded: u64,
    ended: bool,
}

struct Cluster {
    rng: fastrand::Rng,
    clock: ManualClock,
    store: MemoryStore,
    specs: Vec<Spec>,
    nodes: Arc<Mutex<Vec<Process>>>,
    log: Arc<Mutex<Vec<Begun>>>,
    /// Runs that have begun and not ended.
    going: Arc<Mutex<Vec<(usize, RunView)>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    /// How deep polls are within jobs.
    depth: Arc<Mutex<u32>>,
}

fn nanos(at: DateTime<Utc>) -> i64 {
    at.timestamp_nanos_opt().unwrap()
}

impl Cluster {
    fn drawn(seed: u64) -> Cluster {
        let mut rng = fastrand::Rng::with_seed(seed);
        let clock = ManualClock::new(DateTime::from_timestamp(1_772_000_000, 0).unwrap());
        let jobs = rng.usize(1..5);
        let specs = (0..jobs).map(|number| {
            let every = (number == 0 || rng.u8(..10) < 6).then(|| [1, 2, 5, 30][rng.usize(..4)]);
            Spec {
                name: format!("job {number}"),
                every,
                all: every.is_none() && number > 1 && rng.bool(),
                again: rng.bool(),
                retry: rng.u8(..10) < 2,
                background: rng.u8(..10) < 4,
            }
        });
        let specs = specs.collect();
        let store = MemoryStore::new(clock.clone());
        let mut cluster = Cluster {
            rng,
            clock,
            store,
            specs,
            nodes: Arc::default(),
            log: Arc::default(),
            going: Arc::default(),
            wrong: Arc::default(),
            depth: Arc::default(),
        };
        for _ in 0..cluster.rng.usize(2..5) {
            cluster.start();
        }
        cluster
    }

    /// A process more; its number.
    fn start(&mut self) -> usize {
        let process = Process::start(&self.clock, &self.store, None);
        let number = {
            let mut nodes = self.nodes.lock().unwrap();
            nodes.push(process.clone());
            nodes.len() - 1
        };
        self.register(number, &process);
        number
    }

    fn register(&mut self, node: usize, process: &Process) {
        let mut before: Vec<JobHandle> = Vec::new();
        for spec in self.specs.clone() {
            let called = self.called(node, process, &spec);
            macro_rules! said {
                ($job:expr) => {{
                    let mut job = $job.named(spec.name.clone());
                    if spec.again {
                        job = job.at_least_once();
                    }
                    if spec.retry {
                        job = job.retry(2).backoff(Backoff::constant(SECOND));
                    }
                    job
                }};
            }
            let scheduler = &process.scheduler;
            let job = match (spec.every, &before[..]) {
                (None, [.., one, other]) if spec.all => {
                    said!(scheduler.following_all((one, other))).do_with(move |run, _| called(run))
                }
                (None, [.., before]) if spec.background => {
                    said!(scheduler.following(before)).background().do_with(move |run, ()| called(run))
                }
                (None, [.., before]) => said!(scheduler.following(before)).do_with(move |run, ()| called(run)),
                (every, _) => {
                    let job = said!(scheduler.every_period(SECOND * every.unwrap_or(1) as u32));
                    if spec.background { job.background().do_with(called) } else { job.do_with(move |run| called(run)) }
                }
            };
            before.push(job.unwrap());
        }
    }

    fn called(
        &mut self,
        node: usize,
        process: &Process,
        spec: &Spec,
    ) -> impl Fn(&RunView) -> Result<(), String> + Send + Sync + use<> {
        let (log, going, wrong, depth) = (self.log.clone(), self.going.clone(), self.wrong.clone(), self.depth.clone());
        let (nodes, clock, process, spec) = (self.nodes.clone(), self.clock.clone(), process.clone(), spec.clone());
        let rng = Mutex::new(fastrand::Rng::with_seed(self.rng.u64(..)));
        move |run: &RunView| {
            if !process.alive.load(Ordering::Relaxed) {
                return Ok(());
            }
            for (other, view) in going.lock().unwrap().iter() {
                if *other != node && view.name() == run.name() && view.still_mine() && run.still_mine() {
                    wrong.lock().unwrap().push(format!("{}: {view:?} of {other} and {run:?} of {node} at once", spec.name));
                }
            }
            let place = {
                let mut log = log.lock().unwrap();
                log.push(Begun {
                    job: spec.name.clone(),
                    number: run.number(),
                    attempt: run.attempt(),
                    first: nanos(run.first_missed()),
                    due: nanos(run.due()),
                    folded: run.folded(),
                    ended: false,
                });
                log.len() - 1
            };
            going.lock().unwrap().push((node, run.clone()));
            let draw = |most: u8| rng.lock().unwrap().u8(..most);
            if draw(10) == 0 {
                // It is held up, and the others go on meanwhile.
                let is_first = {
                    let mut depth = depth.lock().unwrap();
                    *depth += 1;
                    *depth == 1
                };
                for _ in 0..draw(8) {
                    clock.advance(Duration::from_millis(u64::from(draw(200)) * 20));
                    let others = nodes.lock().unwrap().clone();
                    let lives = |(number, other): &(usize, &Process)| *number != node && other.alive.load(Ordering::Relaxed);
                    for (_, other) in others.iter().enumerate().filter(lives).filter(|_| is_first) {
                        other.poll();
                    }
                }
                *depth.lock().unwrap() -= 1;
            }
            going.lock().unwrap().retain(|(of, view)| (*of, view.number(), view.name()) != (node, run.number(), run.name()));
            if draw(60) == 0 {
                process.die();
            }
            if !process.alive.load(Ordering::Relaxed) {
                return Ok(());
            }
            let fails = spec.retry && draw(10) < 3;
            log.lock().unwrap()[place].ended = true;
            if fails { Err("an error".to_owned()) } else { Ok(()) }
        }
    }

    fn live(&mut self) {
        for _ in 0..self.rng.u32(20..200) {
            let nodes = self.nodes.lock().unwrap().clone();
            let living: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].alive.load(Ordering::Relaxed)).collect();
            let Some(place) = (!living.is_empty()).then(|| self.rng.usize(..living.len())) else {
                self.start();
                continue;
            };
            let node = &nodes[living[place]];
            match self.rng.u8(..40) {
                0 => node.die(),
                1 if living.len() < 4 => {
                    self.start();
                }
                2 => self.clock.advance(SECOND * self.rng.u32(1..30)),
                3 => {
                    let busy = self.rng.bool();
                    node.busy.store(busy, Ordering::Relaxed);
                }
                4..16 => self.clock.advance(Duration::from_millis(self.rng.u64(1..3000))),
                16..22 => node.do_work(),
                _ => node.poll(),
            }
        }
    }

    /// All but one end, and that one does what is left.
    fn end(&mut self) {
        let nodes = self.nodes.lock().unwrap().clone();
        nodes.iter().for_each(Process::die);
        loop {
            let last = self.start();
            let last = self.nodes.lock().unwrap()[last].clone();
            for _ in 0..100 {
                self.clock.advance(Duration::from_millis(400));
                last.poll();
                last.do_work();
            }
            if last.alive.load(Ordering::Relaxed) {
                break;
            }
        }
    }

    fn judge(&self) -> Result<(), String> {
        if let Some(wrong) = self.wrong.lock().unwrap().first() {
            return Err(wrong.clone());
        }
        let log = self.log.lock().unwrap();
        for (place, spec) in self.specs.iter().enumerate() {
            let history = ended(&self.store, &spec.name)?;
            let mut runs: BTreeMap<u64, Vec<&Begun>> = BTreeMap::new();
            for begun in log.iter().filter(|begun| begun.job == spec.name) {
                runs.entry(begun.number).or_default().push(begun);
            }
            for (number, attempts) in &runs {
                let numbers: Vec<u32> = attempts.iter().map(|begun| begun.attempt).collect();
                let once: BTreeSet<u32> = numbers.iter().copied().collect();
                if once.len() != numbers.len() {
                    return Err(format!("{}: run {number} had the attempts {numbers:?}", spec.name));
                }
                if !spec.retry && !spec.again && numbers.len() > 1 {
                    return Err(format!("{}: run {number} was begun {} times", spec.name, numbers.len()));
                }
                if spec.again && !attempts.iter().any(|begun| begun.ended) {
                    return Err(format!("{}: run {number} was never ended: {attempts:?}", spec.name));
                }
            }
            for run in &history {
                let done = matches!(run.state, RunState::Ended { end: RunEnd::Done, .. });
                let ended = runs.get(&run.number).is_some_and(|begun| begun.iter().any(|begun| begun.ended));
                if done && !ended {
                    return Err(format!("{}: {run:?} was never ended", spec.name));
                }
            }
            match (spec.every, &self.specs[..place]) {
                (None, [.., one, other]) if spec.all => {
                    follows_both_once(&self.store, &spec.name, [&one.name, &other.name])?;
                }
                (None, [.., before]) => follows_once(&self.store, &spec.name, &before.name)?,
                _ => {}
            }
            let Some(every) = spec.every.or((place == 0).then_some(1)) else { continue };
            let mut ranges: Vec<(i64, i64, u64)> =
                runs.values().map(|attempts| (attempts[0].first, attempts[0].due, attempts[0].folded)).collect();
            let unbegun = history.iter().filter(|run| !runs.contains_key(&run.number));
            ranges.extend(unbegun.map(|run| (nanos(run.first_missed), nanos(run.due), run.folded)));
            if let Some((run, first, last)) = each_in_one(&spec.name, ranges)? {
                let due = ((last - first) / (every as i64 * 1_000_000_000) + 1) as u64;
                if !spec.retry && !spec.background && run != due {
                    return Err(format!("{}: {run} of {due} occurrences", spec.name));
                }
            }
        }
        Ok(())
    }
}

fn lives(seed: u64) -> Result<usize, String> {
    let mut cluster = Cluster::drawn(seed);
    cluster.live();
    cluster.end();
    cluster.judge()?;
    let log = cluster.log.lock().unwrap();
    Ok(log.len())
}

#[test]
fn nothing_is_run_twice_or_lost_whoever_stalls_or_dies() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 1_000));
    let mut begun = 0;
    let mut failures = Vec::new();
    // The first one was once wrong: what one process had gathered was lost behind what another had not written.
    for seed in [47286].into_iter().chain(seed..seed.saturating_add(cases)) {
        match lives(seed) {
            Ok(runs) => begun += runs,
            Err(error) => failures.push(format!("seed {seed}: {error}")),
        }
        if failures.len() == 5 {
            break;
        }
    }
    assert!(failures.is_empty(), "{}\nagain: PUNCTUAL_SEED=n PUNCTUAL_CASES=1 cargo test --test leases", failures.join("\n"));
    println!("{cases} machines, {begun} runs begun");
}
