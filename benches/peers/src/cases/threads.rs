//! Threads that register and cancel while another one polls.

use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use punctual::Scheduler;

use crate::hosts::job;
use crate::measure::{Case, Contender, Goal, expect, quantile};

/// How long they are at it for one figure.
const TIME: Duration = Duration::from_millis(200);

/// How long the host does other things between two polls.
const BETWEEN: Duration = Duration::from_micros(100);

/// Jobs that are there all the time.
const JOBS: u64 = 1_000;

const ALONE: &str = "1 thread";

pub(super) fn cases() -> Vec<Case> {
    let user = "a server whose threads set a time limit for each request, and cancel it when it is answered";
    let title = "8 threads register and cancel while one polls, per pair of all together";
    let pairs = Case::new("threads", title, user, || {
        vec![
            Contender::floor("heap under one lock, 1 thread", || Ok(locked_heap(1)?.a_pair)),
            Contender::floor("heap under one lock, 8 threads", || Ok(locked_heap(8)?.a_pair)),
            Contender::own(ALONE, || Ok(punctual(1)?.a_pair)),
            Contender::punctual(|| Ok(punctual(8)?.a_pair)),
        ]
    });
    let polls = Case::new("threads-poll", "a poll while 8 threads register and cancel, p99", user, || {
        vec![
            Contender::floor("a look under one lock", || Ok(locked_heap(8)?.poll)),
            Contender::own("with 1 thread", || Ok(punctual(1)?.poll)),
            Contender::punctual(|| Ok(punctual(8)?.poll)),
        ]
    });
    vec![pairs.goal(Goal::Times(1.0, ALONE)), polls.goal(Goal::Most(20_000.0))]
}

struct Found {
    /// Nanoseconds, of all threads together, so that twice the throughput is half the time.
    a_pair: f64,
    /// The p99.
    poll: f64,
}

/// Threads that go on doing something while this one polls.
fn together(threads: usize, work: impl Fn() + Sync, mut poll: impl FnMut()) -> Found {
    let (pairs, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let mut polls = Vec::new();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut done = 0;
                while !is_over.load(Ordering::Relaxed) {
                    work();
                    done += 1;
                }
                pairs.fetch_add(done, Ordering::Relaxed);
            });
        }
        while began.elapsed() < TIME {
            thread::sleep(BETWEEN);
            let before = Instant::now();
            poll();
            polls.push(before.elapsed().as_nanos() as f64);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let took = began.elapsed().as_nanos() as f64;
    polls.sort_by(f64::total_cmp);
    Found { a_pair: took / pairs.into_inner() as f64, poll: quantile(&polls, 0.99) }
}

fn punctual(threads: usize) -> Result<Found, String> {
    let scheduler = Scheduler::new();
    let register = || scheduler.every_period(Duration::from_secs(3600)).do_(job).expect("it registers");
    (0..JOBS).for_each(|_| drop(register()));
    let kept = AtomicU64::new(0);
    let found = together(
        threads,
        || {
            if !register().cancel() {
                kept.fetch_add(1, Ordering::Relaxed);
            }
        },
        || {
            let _ = std::hint::black_box(scheduler.run_pending());
        },
    );
    expect("left", scheduler.len() as u64 + kept.into_inner(), JOBS)?;
    Ok(found)
}

/// The least that must be done under a lock: a due time goes in, and one goes out.
fn locked_heap(threads: usize) -> Result<Found, String> {
    let heap: Mutex<BinaryHeap<u64>> = Mutex::new((0..JOBS).collect());
    let work = || {
        heap.lock().push(JOBS);
        heap.lock().pop();
    };
    let found = together(threads, work, || {
        std::hint::black_box(heap.lock().peek());
    });
    expect("left", heap.lock().len() as u64, JOBS)?;
    Ok(found)
}
