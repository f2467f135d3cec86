//! What nobody can go below, and names for it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Instant;

use parking_lot::Mutex;

use crate::hosts::{fired, job};
use crate::measure::{Contender, expect, nanos, paced};

pub const INSTANT: &str = "Instant::now";

pub fn instant_now() -> Contender {
    Contender::floor(
        INSTANT,
        paced(|| {
            black_box(Instant::now());
        }),
    )
}

pub fn lock() -> Contender {
    let mutex = Mutex::new(0u64);
    Contender::floor("lock of a Mutex", paced(move || *black_box(mutex.lock()) += 1))
}

/// Calls that nobody can see through.
pub fn boxed_calls(jobs: usize) -> Contender {
    let mut calls: Vec<Box<dyn FnMut()>> = (0..jobs).map(|_| Box::new(job) as Box<dyn FnMut()>).collect();
    Contender::floor("boxed call", move || {
        let before = fired();
        let took = nanos(|| black_box(&mut calls).iter_mut().for_each(|call| call()));
        expect("ran", fired() - before, jobs as u64)?;
        Ok(took / jobs as f64)
    })
}

/// Due times in a heap: so many are popped and come back later.
pub fn heap_pop_and_push(jobs: usize, due: usize) -> Contender {
    let mut heap: BinaryHeap<Reverse<(u64, u32)>> = (0..jobs).map(|job| Reverse((job as u64, job as u32))).collect();
    Contender::floor("BinaryHeap pop, push", move || {
        let took = nanos(|| {
            for _ in 0..due {
                let Reverse((at, job)) = heap.pop().expect("it is full");
                heap.push(black_box(Reverse((at + jobs as u64, job))));
            }
        });
        Ok(took / due as f64)
    })
}
