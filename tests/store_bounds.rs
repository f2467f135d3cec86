//! A history within bounds: each write that ends runs forgets as many of the oldest, and never many at once.

mod store_kit;

use std::time::Duration;

use punctual::{HistoryQuery, JobRecord, Kept, ManualClock, RunState, SqliteOptions, SqliteStore, Store};
use store_kit::{Folder, SECOND, at, change, ended, run, write};

/// Writes that runs of a job have ended, each a second after the one before.
fn end(store: &SqliteStore, job: &str, numbers: std::ops::RangeInclusive<u64>) {
    let record = store.load(job).unwrap().unwrap_or_else(|| JobRecord::new(job, at(0)));
    let runs = numbers.map(|number| ended(job, number, number as i64)).collect();
    assert_eq!(write(store, "node", vec![change(record, runs, Duration::ZERO)]), Ok(vec![Kept::Yes]));
}

fn numbers(store: &SqliteStore, job: &str) -> Vec<u64> {
    let query = HistoryQuery { job: Some(job.into()), most: usize::MAX, ..HistoryQuery::default() };
    let mut numbers: Vec<u64> = store.history(&query).unwrap().iter().map(|run| run.number).collect();
    numbers.sort_unstable();
    numbers
}

fn options(clock: &ManualClock) -> SqliteOptions {
    SqliteStore::options().clock(clock.clone())
}

#[test]
fn the_last_runs_of_each_job_are_kept() {
    let (folder, clock) = (Folder::new(), ManualClock::new(at(0)));
    let store = options(&clock).keep_last(3).open(folder.join("jobs.db")).unwrap();
    for number in 1..=20 {
        end(&store, "quakes", number..=number);
        assert_eq!(numbers(&store, "quakes"), (number.saturating_sub(2).max(1)..=number).collect::<Vec<_>>());
        if number <= 2 {
            end(&store, "airports", number..=number);
        }
    }
    assert_eq!((numbers(&store, "airports"), store.check()), (vec![1, 2], Ok(())));
    // What goes on or waits is no history, and is not counted.
    let mut record = store.load("quakes").unwrap().unwrap();
    record.open = (1..=9).map(|number| run("quakes", number, RunState::Started { at: at(1) })).collect();
    assert_eq!(write(&store, "node", vec![change(record, vec![ended("quakes", 21, 21)], Duration::ZERO)]), Ok(vec![Kept::Yes]));
    assert_eq!((numbers(&store, "quakes"), store.check()), (vec![19, 20, 21], Ok(())));
    assert_eq!(store.load("quakes").unwrap().unwrap().open.len(), 9);
}

#[test]
fn runs_are_kept_for_a_while() {
    let (folder, clock) = (Folder::new(), ManualClock::new(at(0)));
    let store = options(&clock).keep_for(10 * SECOND).open(folder.join("jobs.db")).unwrap();
    for number in 1..=30 {
        clock.advance(SECOND);
        end(&store, "quakes", number..=number);
        let oldest = number.saturating_sub(10).max(1);
        assert_eq!(numbers(&store, "quakes"), (oldest..=number).collect::<Vec<_>>());
    }
    assert_eq!(store.check(), Ok(()));
    // Both bounds: whatever is beyond one of them goes.
    drop(store);
    let store = options(&clock).keep_for(10 * SECOND).keep_last(4).open(folder.join("jobs.db")).unwrap();
    (31..=40).for_each(|number| end(&store, "quakes", number..=number));
    assert_eq!(numbers(&store, "quakes"), [37, 38, 39, 40]);
    clock.advance(19 * SECOND);
    end(&store, "quakes", 41..=41);
    assert_eq!((numbers(&store, "quakes"), store.check()), (vec![39, 40, 41], Ok(())));
}

#[test]
fn a_write_forgets_no_more_than_it_adds_twice_over() {
    let (folder, clock) = (Folder::new(), ManualClock::new(at(0)));
    let path = folder.join("jobs.db");
    let store = options(&clock).open(&path).unwrap();
    end(&store, "quakes", 1..=100);
    end(&store, "airports", 1..=100);
    drop(store);
    let both = options(&clock).keep_last(10).keep_for(SECOND);
    let bounded = [options(&clock).keep_last(10), options(&clock).keep_for(SECOND), both];
    for (options, first) in bounded.into_iter().zip([101, 121, 141]) {
        clock.advance(1000 * SECOND);
        let store = options.open(&path).unwrap();
        let before = numbers(&store, "quakes").len();
        end(&store, "quakes", first..=first);
        assert_eq!(numbers(&store, "quakes").len(), before - 1);
        end(&store, "quakes", first + 1..=first + 5);
        assert_eq!(numbers(&store, "quakes").len(), before - 6);
        // Nothing ends, nothing goes.
        let record = store.load("quakes").unwrap().unwrap();
        assert_eq!(write(&store, "node", vec![change(record, Vec::new(), Duration::ZERO)]), Ok(vec![Kept::Yes]));
        assert_eq!((numbers(&store, "quakes").len(), numbers(&store, "airports").len()), (before - 6, 100));
        assert_eq!(store.check(), Ok(()));
    }
    let store = options(&clock).keep_last(10).open(&path).unwrap();
    (200..=300).for_each(|number| end(&store, "quakes", number..=number));
    assert_eq!((numbers(&store, "quakes"), store.check()), ((291..=300).collect(), Ok(())));
}

#[test]
fn none_kept_at_all() {
    let (folder, clock) = (Folder::new(), ManualClock::new(at(50)));
    let store = options(&clock).keep_last(0).open(folder.join("jobs.db")).unwrap();
    end(&store, "quakes", 1..=9);
    assert_eq!((numbers(&store, "quakes"), store.check()), (Vec::new(), Ok(())));
    drop(store);
    for age in [Duration::ZERO, Duration::MAX] {
        let store = options(&clock).keep_for(age).open(folder.join("jobs.db")).unwrap();
        end(&store, "quakes", 10..=19);
        let expected: Vec<u64> = if age.is_zero() { Vec::new() } else { (10..=19).collect() };
        assert_eq!((numbers(&store, "quakes"), store.check()), (expected, Ok(())));
    }
}
