//! What outlives the process: jobs carry on from their records.

mod disk;
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use disk::Disk;
use punctual::{
    Batch, Change, Done, Error, Event, HistoryQuery, JobChange, Kept, ManualClock, MemoryStore, Missed, OnChange, RunEnd,
    RunRecord, RunState, Scheduler, Store, StoreError, Why, WithoutStore,
};
use world::{HOUR, MINUTE};

/// A machine on which a program lives again and again, with the store on its disk.
struct Machine {
    clock: ManualClock,
    store: MemoryStore,
    noted: Arc<Mutex<Vec<String>>>,
    told: Arc<Mutex<Vec<String>>>,
}

/// One life of the program. What it writes after it was killed does not reach the disk.
struct Life {
    scheduler: Scheduler,
    alive: Arc<AtomicBool>,
    broken: Arc<Mutex<Option<StoreError>>>,
}

impl Machine {
    fn new() -> Self {
        let clock = ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap());
        Machine { store: MemoryStore::new(clock.clone()), clock, noted: Arc::default(), told: Arc::default() }
    }

    fn boot(&self) -> Life {
        self.boot_with(None).0
    }

    fn boot_with(&self, without: Option<WithoutStore>) -> (Life, Arc<Mutex<usize>>) {
        let alive = Arc::new(AtomicBool::new(true));
        let broken: Arc<Mutex<Option<StoreError>>> = Arc::default();
        let writes = Arc::new(Mutex::new(0));
        let (lives, fails, count) = (alive.clone(), broken.clone(), writes.clone());
        let way = move |store: &MemoryStore, batch: Batch, done: Done| {
            // What a dead process writes does not reach the disk.
            if !lives.load(Ordering::Relaxed) {
                return;
            }
            *count.lock().unwrap() += 1;
            match fails.lock().unwrap().clone() {
                Some(error) => done.with(Err(error)),
                None => store.write(batch, done),
            }
        };
        let disk = Disk { store: self.store.clone(), way };
        let mut builder = Scheduler::builder().clock(self.clock.clone()).zone(chrono::Utc).store(disk);
        if let Some(without) = without {
            builder = builder.without_store(without);
        }
        let scheduler = builder.build();
        let told = self.told.clone();
        scheduler.on_event(move |event| {
            let dull = matches!(
                event,
                Event::Registered { .. }
                    | Event::Due { .. }
                    | Event::Started(_)
                    | Event::Ended { .. }
                    | Event::Clock(_)
                    | Event::HostLate { .. }
            );
            if !dull {
                told.lock().unwrap().push(event.to_string());
            }
        });
        (Life { scheduler, alive, broken }, writes)
    }

    fn noting(&self, text: &'static str) -> impl FnMut() + Send + 'static {
        let noted = self.noted.clone();
        move || noted.lock().unwrap().push(text.to_owned())
    }

    fn note(&self) -> impl Fn(String) + Send + Sync + 'static {
        let noted = self.noted.clone();
        move |text| noted.lock().unwrap().push(text)
    }

    fn noted(&self) -> String {
        std::mem::take(&mut *self.noted.lock().unwrap()).join(" ")
    }

    fn told(&self) -> String {
        std::mem::take(&mut *self.told.lock().unwrap()).join("\n")
    }
}

impl Life {
    /// Polls until there is nothing left to do at this instant.
    fn poll(&self) {
        for _ in 0..10 {
            let tick = self.scheduler.run_pending();
            if tick.next() != Some(Duration::ZERO) {
                return;
            }
        }
        panic!("a poll that asks for another one again and again");
    }

    /// Polls, though the process may end in the middle of it.
    fn poll_or_die(&self) {
        for _ in 0..5 {
            if self.alive.load(Ordering::Relaxed) {
                let _ = self.scheduler.run_pending();
            }
        }
    }

    fn kill(self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}

#[test]
fn every_six_hours_comes_due_in_a_program_that_lives_four_hours_a_day() {
    let machine = Machine::new();
    let mut runs = Vec::new();
    for day in 0..8 {
        let life = machine.boot();
        life.scheduler.every(6).hours().named("sync").do_(machine.noting("ran")).unwrap();
        for _ in 0..4 {
            machine.clock.advance(HOUR);
            life.poll();
        }
        if day % 2 == 0 {
            drop(life)
        } else {
            life.kill()
        }
        machine.clock.suspend(20 * HOUR);
        runs.push(machine.noted());
    }
    assert_eq!(runs, ["", "ran", "ran", "ran", "ran", "ran", "ran", "ran"], "after a night off, one run makes up for four");
    let history = machine.store.history(&HistoryQuery::default()).unwrap();
    let folded: u64 = history.iter().map(|run| run.folded).sum();
    assert_eq!((history.len(), folded), (7, 7 * 24 / 6), "each occurrence is accounted for");
}

#[test]
fn nothing_is_written_by_a_poll_that_has_nothing_to_say() {
    let machine = Machine::new();
    let (life, writes) = machine.boot_with(None);
    life.scheduler.every(1).hour().named("sync").do_(machine.noting("ran")).unwrap();
    life.scheduler.every(1).minute().do_(|| ()).unwrap();
    life.poll();
    assert_eq!(*writes.lock().unwrap(), 1, "that it is registered");
    for _ in 0..59 {
        machine.clock.advance(MINUTE);
        life.poll();
    }
    assert_eq!(*writes.lock().unwrap(), 1);
    machine.clock.advance(MINUTE);
    let _ = life.scheduler.run_pending();
    assert_eq!((*writes.lock().unwrap(), machine.noted().as_str()), (2, "ran"), "its start, and then it runs");
    life.poll();
    assert_eq!(*writes.lock().unwrap(), 3, "its end");
}

#[test]
fn many_starts_share_a_write_and_keep_their_order() {
    let machine = Machine::new();
    let (life, writes) = machine.boot_with(None);
    for name in ["a", "b", "c"] {
        let priority = if name == "b" { -1 } else { 0 };
        life.scheduler.every(1).hour().named(name).priority(priority).do_(machine.noting(name)).unwrap();
    }
    life.scheduler.every(1).hour().do_(machine.noting("unnamed")).unwrap();
    life.poll();
    machine.clock.advance(HOUR);
    let tick = life.scheduler.run_pending();
    assert_eq!((tick.ran(), machine.noted().as_str()), (4, "b a c unnamed"));
    assert_eq!(*writes.lock().unwrap(), 2);
}

#[test]
fn a_run_that_is_cut_off_is_told_and_goes_by_the_jobs_choice() {
    for again in [false, true] {
        let machine = Machine::new();
        for life in 0..3 {
            let it = machine.boot();
            let (note, alive) = (machine.note(), it.alive.clone());
            let job = it.scheduler.every(1).hour().named("sync");
            let job = if again { job.at_least_once() } else { job.at_most_once() };
            let job = job.do_with(move |run| {
                note(format!(
                    "{}:{}{}",
                    run.due().format("%H"),
                    run.attempt(),
                    if run.previous_was_cut_off() { "!" } else { "" }
                ));
                // The first two lives end in the middle of the run.
                alive.store(life > 1, Ordering::Relaxed);
            });
            job.unwrap();
            machine.clock.advance(HOUR);
            it.poll_or_die();
            it.kill();
        }
        let expected = if again { "13:1 13:2! 13:3! 15:1" } else { "13:1 14:1! 15:1!" };
        assert_eq!(machine.noted(), expected);
        let told = machine.told();
        let cut_off: Vec<&str> = told.lines().filter(|line| line.contains("the process ended")).collect();
        let expected = if again {
            [
                "sync: the process ended in attempt 1 of the run due 2026-03-01 13:00:00 UTC; it is run again",
                "sync: the process ended in attempt 2 of the run due 2026-03-01 13:00:00 UTC; it is run again",
            ]
        } else {
            [
                "sync: the process ended in attempt 1 of the run due 2026-03-01 13:00:00 UTC; it is not run again",
                "sync: the process ended in attempt 1 of the run due 2026-03-01 14:00:00 UTC; it is not run again",
            ]
        };
        assert_eq!(cut_off, expected);
    }
}

#[test]
fn a_run_that_is_run_again_counts_once() {
    let machine = Machine::new();
    for life in 0..5 {
        let it = machine.boot();
        let (note, alive) = (machine.note(), it.alive.clone());
        let job = it.scheduler.every(1).hour().named("sync").times(2).at_least_once().do_with(move |run| {
            note(format!("{}:{}", run.number(), run.attempt()));
            // One life ends in the middle of the first run, two in the middle of the last one.
            alive.store(![0, 2, 3].contains(&life), Ordering::Relaxed);
        });
        job.unwrap();
        if [0, 2].contains(&life) {
            machine.clock.advance(HOUR);
        }
        it.poll_or_die();
        it.kill();
        assert_eq!(machine.noted(), ["1:1", "1:2", "2:1", "2:2", "2:3"][life], "life {life}");
    }
    assert_eq!(machine.store.history(&HistoryQuery::default()).unwrap().len(), 2);
}

#[test]
fn what_was_missed_while_off_is_made_up_for_as_after_a_stall() {
    let table = [
        (Missed::RunOnce, None, "5 by Down", 0),
        (Missed::Skip, None, "", 5),
        (Missed::RunAll { most: 3 }, None, "1 by Down 1 by Down 1 by Down", 2),
        (Missed::RunOnce, Some(10 * MINUTE), "", 5),
    ];
    for (missed, grace, expected, dropped) in table {
        let machine = Machine::new();
        for life in 0..2 {
            let it = machine.boot();
            let note = machine.note();
            let mut job = it.scheduler.every(1).hour().named("sync").missed(missed);
            if let Some(grace) = grace {
                job = job.grace(grace);
            }
            let job = job.do_with(move |run| note(format!("{} by {:?}", run.folded(), run.facts().late_by))).unwrap();
            if life == 1 {
                assert!(matches!(it.scheduler.why(&job), Why::ProgramWasDown { .. }), "{missed:?} {grace:?}");
            }
            it.poll();
            if life == 0 {
                it.kill();
                machine.clock.suspend(5 * HOUR + 30 * MINUTE);
                continue;
            }
            assert_eq!((machine.noted().as_str(), job.stats().dropped), (expected, dropped), "{missed:?} {grace:?}");
            machine.clock.advance(30 * MINUTE);
            it.poll();
            assert_eq!(machine.noted(), "1 by Host", "{missed:?}: the grid goes on");
        }
    }
}

#[test]
fn figures_and_states_outlive_the_process() {
    let machine = Machine::new();
    for life in 0..4 {
        let it = machine.boot();
        it.scheduler.every(1).hour().named("thrice").times(3).do_(machine.noting("thrice")).unwrap();
        it.scheduler.once_after(90 * MINUTE).named("once").do_(machine.noting("once")).unwrap();
        let fails = it.scheduler.every(1).hour().named("fails").pause_after_failures(2);
        let note = machine.note();
        let fails = fails.do_with(move |_| -> Result<(), String> {
            note("fails".to_owned());
            Err("no".to_owned())
        });
        let held = it.scheduler.every(1).hour().named("held").do_(machine.noting("held")).unwrap();
        it.scheduler.every(1).hour().named("fresh").immediately().do_(machine.noting("fresh")).unwrap();
        held.pause();
        it.poll();
        machine.clock.advance(HOUR);
        it.poll();
        let expected = match life {
            0 => "fresh thrice fails fresh",
            1 => "thrice once fails fresh",
            2 => "thrice fresh",
            _ => "fresh",
        };
        let mut noted: Vec<String> = machine.noted().split(' ').map(str::to_owned).collect();
        let mut expected: Vec<&str> = expected.split(' ').collect();
        noted.sort();
        expected.sort_unstable();
        assert_eq!(noted, expected, "life {life}");
        assert_eq!(fails.unwrap().snapshot().unwrap().paused, life > 0, "life {life}");
        if life % 2 == 0 { it.kill() } else { drop(it) }
    }
}

#[test]
fn a_retry_goes_on_counting_in_the_next_process() {
    let machine = Machine::new();
    for life in 0..3 {
        let it = machine.boot();
        let note = machine.note();
        let job = it.scheduler.every(6).hours().named("sync").retry(2).backoff(punctual::Backoff::constant(10 * MINUTE));
        let job = job.do_with(move |run| {
            note(format!("{}:{}", run.due().format("%H"), run.attempt()));
            Err::<(), _>("no")
        });
        let job = job.unwrap();
        machine.clock.advance(if life == 0 { 6 * HOUR - MINUTE } else { 9 * MINUTE });
        it.poll();
        assert_eq!(machine.noted(), "", "its wait goes on in the next process");
        machine.clock.advance(MINUTE);
        it.poll();
        assert_eq!(machine.noted(), format!("18:{}", life + 1));
        assert_eq!(job.stats().runs, u64::from(life == 2));
        if life == 1 { it.kill() } else { assert!(it.scheduler.shutdown(Duration::ZERO).is_empty()) }
    }
    let history = machine.store.history(&HistoryQuery::default()).unwrap();
    assert_eq!(history.len(), 1);
    let RunRecord { attempt: 3, number: 1, ref error, state: RunState::Ended { end: RunEnd::Failed, .. }, .. } = history[0]
    else {
        panic!("{history:?}");
    };
    assert_eq!(error.as_deref(), Some("no"));
}

#[test]
fn a_job_that_carries_a_retry_on_keeps_its_limits() {
    let machine = Machine::new();
    let life = |fails: bool| {
        let it = machine.boot();
        let note = machine.note();
        let sync = it.scheduler.every(1).hour().named("sync").mutex("db").retry(1).backoff(punctual::Backoff::constant(MINUTE));
        let mut turns = 0;
        // In the second life it goes on until its third turn.
        sync.do_(move || {
            turns += 1;
            note(format!("sync {turns}"));
            match turns {
                _ if fails => punctual::Outcome::Retry,
                3 => punctual::Outcome::Done,
                _ => punctual::Outcome::Yield,
            }
        })
        .unwrap();
        it.scheduler.once_after(2 * MINUTE).mutex("db").do_(machine.noting("other")).unwrap();
        it
    };
    let first = life(true);
    machine.clock.advance(HOUR);
    first.poll();
    first.kill();
    machine.noted();
    let second = life(false);
    machine.clock.advance(2 * MINUTE);
    second.poll();
    assert_eq!(machine.noted(), "sync 1 sync 2 sync 3 other");
}

#[test]
fn a_run_that_fails_as_all_is_shut_down_is_tried_again_in_the_next_process() {
    for background in [false, true] {
        let machine = Machine::new();
        for life in 0..2 {
            let it = machine.boot();
            let note = machine.note();
            let (begun, begins) = std::sync::mpsc::channel();
            let job = it.scheduler.every(1).hour().named("sync").retry(1).backoff(punctual::Backoff::constant(MINUTE));
            if background {
                let job = job.background().do_with(move |run| {
                    begun.send(()).unwrap();
                    while life == 0 && !run.should_stop() {
                        std::thread::yield_now();
                    }
                    note(run.attempt().to_string());
                    if life == 0 { Err("told to stop") } else { Ok(()) }
                });
                job.unwrap();
            } else {
                let job = job.do_with(move |run| {
                    note(run.attempt().to_string());
                    run.scheduler().shutdown(Duration::ZERO);
                    if life == 0 { Err("told to stop") } else { Ok(()) }
                });
                job.unwrap();
            }
            machine.clock.advance(if life == 0 { HOUR } else { MINUTE });
            let _ = it.scheduler.run_pending();
            if background {
                begins.recv().unwrap();
            }
            assert!(it.scheduler.shutdown(Duration::from_secs(60)).is_empty());
            drop(it);
            assert_eq!(machine.noted(), ["1", "2"][life], "background: {background}, life {life}");
        }
        let history = machine.store.history(&HistoryQuery::default()).unwrap();
        assert!(matches!(history[..], [RunRecord { attempt: 2, number: 1, .. }]), "{history:?}");
    }
}

#[test]
fn a_run_that_has_not_begun_as_all_is_shut_down_begins_in_the_next_process() {
    let machine = Machine::new();
    for life in 0..2 {
        let handed: Arc<Mutex<Vec<punctual::Work>>> = Arc::default();
        let held = handed.clone();
        let executor = move |work| {
            held.lock().unwrap().push(work);
            Ok(())
        };
        let builder = Scheduler::builder().clock(machine.clock.clone()).zone(chrono::Utc).store(machine.store.clone());
        let scheduler: Scheduler = builder.executor(executor).build();
        let note = machine.note();
        let job = scheduler.every(1).hour().named("sync").times(1).background();
        job.do_with(move |run| note(format!("{}:{} due {}", run.number(), run.attempt(), run.due().format("%H")))).unwrap();
        if life == 0 {
            machine.clock.advance(HOUR);
        }
        let _ = scheduler.run_pending();
        if life == 0 {
            assert_eq!(scheduler.shutdown(Duration::ZERO).len(), 1);
        }
        // The pool takes it up, and sees that it is not wanted any more, or runs it.
        let work = handed.lock().unwrap().pop();
        work.unwrap().run();
        let _ = scheduler.run_pending();
        assert!(scheduler.shutdown(Duration::ZERO).is_empty());
        assert_eq!(machine.noted(), ["", "1:1 due 13"][life], "life {life}");
    }
}

#[test]
fn a_job_follows_each_success_once_though_the_process_ends_between() {
    let machine = Machine::new();
    for life in 0..2 {
        let it = machine.boot();
        let alive = it.alive.clone();
        let first = it.scheduler.every(6).hours().named("first").do_(machine.noting("first")).unwrap();
        let note = machine.note();
        let second = it.scheduler.following(&first).named("second").delay(HOUR).do_with(move |run, ()| {
            let of = run.follows().unwrap();
            note(format!("second of {:?} {} {}", of.name.as_deref().unwrap(), of.number, of.due.format("%H")));
        });
        second.unwrap();
        if life == 0 {
            machine.clock.advance(6 * HOUR);
            it.poll();
            alive.store(false, Ordering::Relaxed);
            assert_eq!(machine.noted(), "first");
        } else {
            it.poll();
            assert_eq!(machine.noted(), "");
            machine.clock.advance(HOUR);
            it.poll();
            assert_eq!(machine.noted(), "second of \"first\" 1 18");
            machine.clock.advance(HOUR);
            it.poll();
            assert_eq!(machine.noted(), "");
        }
    }
}

#[test]
fn what_a_job_that_is_over_left_is_followed() {
    let machine = Machine::new();
    for life in 0..3 {
        let it = machine.boot();
        let alive = it.alive.clone();
        let first = it.scheduler.every(1).hour().named("first").times(1).do_(machine.noting("first")).unwrap();
        let second = it.scheduler.following(&first).named("second").delay(HOUR).do_(machine.noting("second")).unwrap();
        machine.clock.advance(HOUR);
        it.poll();
        assert_eq!(machine.noted(), ["first", "second", ""][life], "life {life}");
        assert_eq!(it.scheduler.len(), [1, 0, 0][life], "life {life}");
        let last = second.last_run();
        assert_eq!(last.is_some(), life == 1);
        alive.store(false, Ordering::Relaxed);
    }
}

#[test]
fn a_run_that_had_said_it_was_done_is_not_cut_off_and_is_followed() {
    let machine = Machine::new();
    for life in 0..2 {
        let it = machine.boot();
        let (alive, mut note) = (it.alive.clone(), machine.noting("first"));
        let first = it.scheduler.every(6).hours().named("first").times(1).at_least_once().do_(move || {
            note();
            alive.store(false, Ordering::Relaxed);
            Ok::<i32, String>(7)
        });
        let Ok(first) = first else { panic!("life {life}") };
        let mut ended = machine.noting("ended");
        it.scheduler.following(&first).on_end().named("ended").do_with(move |_, _| ended()).unwrap();
        let (mut second, name) = (machine.noting("second"), "second");
        it.scheduler.following(&first).named(name).do_with(move |_, _: &i32| second()).unwrap();
        if life == 0 {
            machine.clock.advance(6 * HOUR);
            it.poll_or_die();
            assert_eq!(machine.noted(), "first");
            // As a store does whose transaction the job has used.
            let mut record = machine.store.load("first").unwrap().unwrap();
            let at = record.open[0].due + TimeDelta::seconds(1);
            record.open[0].state = RunState::Ended { started: Some(record.open[0].due), at, end: RunEnd::Done };
            let change = JobChange { record, ended: Vec::new(), hold: Duration::ZERO, formerly: None };
            let batch = Batch { node: "a job".into(), changes: vec![Change { jobs: vec![change] }] };
            machine.store.write(batch, Done::new(|answer| assert_eq!(answer, Ok(vec![Kept::Yes]))));
        } else {
            it.poll();
            // Its value is not known any more.
            assert_eq!(machine.noted(), "ended");
            let told = machine.told();
            assert!(told.contains("second: 1 dropped since"), "{told}");
            assert!(!told.contains("the process ended in attempt"), "{told}");
            assert_eq!(first.snapshot(), None);
            let runs = machine.store.history(&HistoryQuery { job: Some("first".into()), ..HistoryQuery::default() }).unwrap();
            assert!(matches!(&runs[..], [run] if matches!(run.state, RunState::Ended { end: RunEnd::Done, .. })), "{runs:?}");
        }
    }
}

#[test]
fn a_job_that_ends_its_process_is_held_after_so_many_starts() {
    let machine = Machine::new();
    for life in 0..4 {
        let it = machine.boot();
        let (alive, mut note) = (it.alive.clone(), machine.noting("ran"));
        let job = it.scheduler.every(1).hour().named("crashes").hold_after_crashes(3).do_(move || {
            note();
            alive.store(false, Ordering::Relaxed);
        });
        let job = job.unwrap();
        assert_eq!(job.snapshot().unwrap().paused, life == 3);
        machine.clock.advance(HOUR);
        it.poll_or_die();
        assert_eq!(machine.noted(), if life < 3 { "ran" } else { "" });
        assert_eq!(machine.told().contains("paused, the process ended in its last 3 starts"), life == 3);
        it.kill();
    }
}

#[test]
fn a_schedule_that_was_changed_is_noticed() {
    let table = [
        (OnChange::Keep, "14 16", "its schedule was `every 2 hours`; that goes on to hold"),
        (OnChange::Reanchor, "16", "counts from now"),
        (OnChange::RunOnce, "13 16", "with a run first"),
    ];
    for (then, expected, said) in table {
        let machine = Machine::new();
        let it = machine.boot();
        it.scheduler.every(2).hours().named("sync").do_(|| ()).unwrap();
        it.poll();
        drop(it);
        machine.clock.advance(HOUR);
        let it = machine.boot();
        let (note, clock) = (machine.note(), machine.clock.clone());
        it.scheduler
            .every(3)
            .hours()
            .named("sync")
            .on_change(then)
            .do_(move || note(clock.wall().format("%H").to_string()))
            .unwrap();
        it.poll();
        for _ in 0..3 {
            machine.clock.advance(HOUR);
            it.poll();
        }
        assert_eq!(machine.noted(), expected, "{then:?}");
        let told = machine.told();
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn names_tell_jobs_apart_and_may_change() {
    let machine = Machine::new();
    let it = machine.boot();
    let old = it.scheduler.every(6).hours().named("old").do_(|| ()).unwrap();
    let Err(Error::NameTaken { name }) = it.scheduler.every(1).hour().named("old").do_(|| ()) else { panic!("twice") };
    assert_eq!(name, "old");
    it.scheduler.every(1).hour().do_(|| ()).unwrap();
    it.poll();
    machine.clock.advance(HOUR);
    // One that is gone may come back, and carries on.
    old.cancel();
    let again = it.scheduler.every(6).hours().named("old").do_(|| ()).unwrap();
    assert_eq!(again.next_run(), Some("2026-03-01T18:00:00Z".parse().unwrap()));
    it.kill();
    let it = machine.boot();
    let new = it.scheduler.every(6).hours().named("new").formerly("older").formerly("old").do_(machine.noting("new")).unwrap();
    assert_eq!(new.next_run(), Some("2026-03-01T18:00:00Z".parse().unwrap()));
    it.poll();
    assert_eq!(machine.store.names().unwrap(), ["new"]);
}

#[test]
fn while_the_store_cannot_be_written_jobs_go_by_their_choice() {
    for (without, expected) in [(None, "often"), (Some(WithoutStore::Run), "often once"), (Some(WithoutStore::Hold), "")] {
        let machine = Machine::new();
        let (it, writes) = machine.boot_with(without);
        it.scheduler.every(1).hour().named("often").at_least_once().priority(-1).do_(machine.noting("often")).unwrap();
        it.scheduler.every(1).hour().named("once").do_(machine.noting("once")).unwrap();
        it.scheduler.every(1).hour().do_(machine.noting("unnamed")).unwrap();
        it.poll();
        *it.broken.lock().unwrap() = Some(StoreError::Full { path: "jobs.db".into() });
        for hour in 0..3 {
            machine.clock.advance(HOUR);
            it.poll();
            let expected = format!("{expected} unnamed");
            assert_eq!(machine.noted(), expected.trim(), "{without:?}, hour {hour}");
        }
        assert!(machine.told().contains("no room is left on the disk"));
        *it.broken.lock().unwrap() = None;
        machine.clock.advance(MINUTE);
        it.poll();
        let held = match without {
            None => "once",
            Some(WithoutStore::Run) => "",
            Some(WithoutStore::Hold) => "often once",
        };
        assert_eq!(machine.noted(), held, "{without:?}: what was held comes, and folds");
        assert!(machine.told().contains("can be used again"));
        let often = HistoryQuery { job: Some("often".into()), ..HistoryQuery::default() };
        let folded: u64 = machine.store.history(&often).unwrap().iter().map(|run| run.folded).sum();
        assert_eq!(folded, 3, "{without:?}: all of it is in the history");
        assert!(*writes.lock().unwrap() < 20);
    }
}

#[test]
fn who_waits_for_others_goes_on_once_the_store_can_be_written_again() {
    let machine = Machine::new();
    let it = machine.boot();
    *it.broken.lock().unwrap() = Some(StoreError::Full { path: "jobs.db".to_owned() });
    let note = machine.note();
    let mut turns = 0;
    let first = move || {
        turns += 1;
        note(format!("first {turns}"));
        if turns < 3 { punctual::Outcome::Yield } else { punctual::Outcome::Done }
    };
    it.scheduler.once_after(MINUTE).mutex("db").do_(first).unwrap();
    it.scheduler.once_after(MINUTE).named("second").mutex("db").do_(machine.noting("second")).unwrap();
    machine.clock.advance(MINUTE);
    // The second one waits for the first, and then what is to be written of it cannot be.
    let _ = it.scheduler.run_pending();
    assert_eq!(machine.noted(), "first 1");
    *it.broken.lock().unwrap() = None;
    for _ in 0..5 {
        machine.clock.advance(MINUTE);
        it.poll();
    }
    assert_eq!(machine.noted(), "first 2 first 3 second");
}

#[test]
fn a_clock_that_was_set_back_while_off() {
    // By an hour, calendar jobs wait until it passes what was run; intervals go on as if no time had passed.
    for (back, daily) in [(TimeDelta::hours(1), ""), (TimeDelta::days(400), "daily")] {
        let machine = Machine::new();
        let it = machine.boot();
        it.scheduler.every(1).day().at("12:30").named("daily").do_(|| ()).unwrap();
        it.scheduler.every(10).minutes().named("often").do_(|| ()).unwrap();
        machine.clock.advance(31 * MINUTE);
        it.poll();
        drop(it);
        machine.clock.step(-back);
        let it = machine.boot();
        it.scheduler.every(1).day().at("12:30").named("daily").do_(machine.noting("daily")).unwrap();
        let job = it.scheduler.every(10).minutes().named("often").do_(|| ()).unwrap();
        it.poll();
        for _ in 0..144 {
            machine.clock.advance(10 * MINUTE);
            it.poll();
        }
        assert_eq!(machine.noted(), daily, "{back}");
        assert_eq!(job.stats().runs, 144, "{back}");
    }
}
