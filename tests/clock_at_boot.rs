//! Machines whose clock is wrong when they start, and is set later.

mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use punctual::{Event, ManualClock, MemoryStore, Scheduler, SchedulerBuilder, Store, Why};
use world::{HOUR, MINUTE, SECOND, at};

/// A board without a battery. While it is off time goes on, and it starts with its clock in 1970.
struct Board {
    now: DateTime<Utc>,
    clock: ManualClock,
    store: MemoryStore,
    told: Arc<Mutex<Vec<String>>>,
}

impl Board {
    fn new() -> Self {
        let now = at("01T12:00");
        let clock = ManualClock::new(now);
        Board { now, store: MemoryStore::new(clock.clone()), clock, told: Arc::default() }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.clock.advance(time);
    }

    fn off(&mut self, time: Duration) {
        self.pass(time);
        self.clock.step(DateTime::UNIX_EPOCH - self.clock.wall());
    }

    fn set(&self) {
        self.clock.step(self.now - self.clock.wall());
    }

    fn boot(&self, with: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder) -> Scheduler {
        let builder = Scheduler::builder().clock(self.clock.clone()).zone(Utc).store(self.store.clone());
        let scheduler = with(builder).build();
        let told = self.told.clone();
        scheduler.on_event(move |event| {
            if matches!(
                event,
                Event::Missed { .. } | Event::Reanchored { .. } | Event::ClockIsRight { .. } | Event::Dropped { .. }
            ) {
                told.lock().unwrap().push(event.to_string());
            }
        });
        scheduler
    }

    fn kept(&self) -> Vec<String> {
        let mut names = self.store.names().expect("it reads");
        names.sort();
        names
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

fn polls(scheduler: &Scheduler) -> usize {
    let mut ran = 0;
    for _ in 0..10 {
        let tick = scheduler.run_pending();
        ran += tick.ran();
        if tick.next() != Some(Duration::ZERO) {
            return ran;
        }
    }
    panic!("a poll that asks for another one again and again");
}

fn since_2026(builder: SchedulerBuilder) -> SchedulerBuilder {
    builder.wait_for_clock(|now| now > at("01T00:00"))
}

#[test]
fn what_ran_before_the_clock_was_lost_does_not_run_again_and_what_was_missed_is_counted() {
    for waits in [false, true] {
        let with = |builder| if waits { since_2026(builder) } else { builder };
        let mut board = Board::new();
        let days = |scheduler: &Scheduler| scheduler.every(1).day().at("09:00").named("daily").do_(|| ()).expect("a job");
        let first = board.boot(with);
        let _job = days(&first);
        board.pass(22 * HOUR);
        assert_eq!(polls(&first), 1, "on 2 March at 09:00");
        drop(first);
        board.told();

        board.off(HOUR);
        let second = board.boot(with);
        let _job = days(&second);
        board.pass(12 * HOUR);
        assert_eq!(polls(&second), 0, "09:00 in 1970");
        board.set();
        assert_eq!(polls(&second), 0, "it ran on 2 March");
        board.pass(2 * 24 * HOUR);
        assert_eq!(polls(&second), 1);
        drop(second);

        board.off(3 * 24 * HOUR);
        let third = board.boot(with);
        let job = days(&third);
        assert_eq!(polls(&third), 0);
        board.pass(2 * MINUTE);
        board.set();
        assert_eq!(polls(&third), 1);
        assert_eq!(job.last_run().map(|run| run.due), Some(at("07T09:00")), "waits: {waits}");
        let missed = [2, 3].map(|days| format!("{days} occurrences"));
        let told: Vec<String> = board.told().into_iter().filter(|told| !told.contains("right")).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().zip(&missed).all(|(told, missed)| told.contains(missed)), "{told:?}");
    }
}

#[test]
fn intervals_count_the_time_off_once_the_clock_is_right() {
    let mut board = Board::new();
    let hours = |scheduler: &Scheduler| scheduler.every(6).hours().named("six").do_(|| ()).expect("a job");
    let first = board.boot(since_2026);
    let job = hours(&first);
    board.pass(4 * HOUR);
    assert_eq!(polls(&first), 0);
    assert_eq!(job.next_run(), Some(at("01T18:00")));
    drop(first);
    board.off(HOUR);
    let second = board.boot(since_2026);
    let job = hours(&second);
    assert_eq!(polls(&second), 0);
    board.pass(2 * MINUTE);
    board.set();
    assert_eq!(polls(&second), 0);
    assert_eq!(job.next_run(), Some(at("01T18:00")));
}

#[test]
fn until_the_clock_is_right_nothing_runs_and_nothing_is_written() {
    let mut board = Board::new();
    board.off(Duration::ZERO);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let scheduler = board.boot(|builder| {
        builder.wait_for_clock(move |now| {
            assert!(count.fetch_add(1, Ordering::Relaxed) != 1, "a panic is a no");
            now > at("01T00:00")
        })
    });
    let daily = scheduler.every(1).day().at("09:00").named("daily").do_(|| ()).expect("a job");
    let interval = scheduler.every(10).minutes().do_(|| ()).expect("a job");
    let anchored = scheduler.every(8).hours().starting_at(at("01T00:00")).do_(|| ()).expect("a job");
    let once = scheduler.every(1).day().at("09:00").immediately().named("once").do_(|| ()).expect("a job");
    assert!(daily.run_now());
    let tick = scheduler.run_pending();
    assert_eq!((tick.ran(), tick.next()), (0, Some(SECOND)));
    let _ = scheduler.run_pending();
    assert_eq!(asked.load(Ordering::Relaxed), 1, "once a second");
    board.pass(SECOND);
    assert_eq!(scheduler.run_all().ran(), 0);
    assert_eq!(scheduler.why(&daily), Why::ClockNotRight);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    board.pass(14 * MINUTE);
    assert_eq!(polls(&scheduler), 0);
    assert_eq!(board.kept(), Vec::<String>::new());

    board.set();
    assert_eq!(polls(&scheduler), 3, "the one by hand, the one at once, the interval");
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    assert_eq!(board.told(), ["the wall clock is right, after 841.0s"]);
    assert_eq!(daily.next_run(), Some(at("02T09:00")));
    assert_eq!(interval.next_run(), Some(at("01T12:20")), "from its registration");
    assert_eq!(anchored.next_run(), Some(at("01T16:00")));
    assert_eq!(once.stats().runs, 1);
    assert_eq!(board.kept(), ["daily", "once"]);
    board.pass(24 * HOUR);
    assert_eq!(polls(&scheduler), 4);
    assert_eq!(asked.load(Ordering::Relaxed), 4, "it has said yes");
}

#[test]
fn a_rest_ends_when_the_clock_is_to_be_asked_about() {
    let board = Board::new();
    let scheduler = board.boot(|builder| builder.wait_for_clock(|_| false));
    let _job = scheduler.every(1).hour().do_(|| ()).expect("a job");
    assert!(scheduler.wait(MINUTE), "it has not been asked about yet");
    let _ = scheduler.run_pending();
    board.clock.advance(SECOND);
    assert!(scheduler.wait(MINUTE));
    assert_eq!(scheduler.shutdown(Duration::ZERO).len(), 0);
}
