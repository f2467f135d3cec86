//! Work that is handed to another thread, and its result.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use punctual::{BoxError, JobHandle, Pool, Scheduler};

use crate::measure::{Case, Contender, Goal, Sample, expect, nanos};

type Work = Box<dyn FnOnce() -> u64 + Send>;

const CHANNEL: &str = "channels there and back";
const INLINE: &str = "on the polling thread";

pub(super) fn cases() -> Vec<Case> {
    let user = "a data collector, whose fetches are slow and whose loop is not";
    let case = |name: &str, title: &str, at_once: usize, times: usize| {
        let title = format!("background hand-over and result back, {title}, per job");
        Case::new(name, title, user, move || contenders(at_once, times)).goal(Goal::Times(2.0, CHANNEL))
    };
    vec![case("background-many", "1,000 at once", 1_000, 5), case("background-one", "one at a time", 1, 500)]
}

/// So many jobs at once, and that so many times for one figure.
fn contenders(at_once: usize, times: usize) -> Vec<Contender> {
    let (worker, runtime, rayon) = (Worker::new(), tokio_runtime(), rayon_pool());
    let (mut host, mut inline) = (Host::new(at_once), Host::inline(at_once));
    vec![
        Contender::floor(CHANNEL, averaged(at_once, times, move || worker.round(at_once))),
        Contender::peer("tokio spawn", averaged(at_once, times, move || tokio_round(&runtime, at_once))),
        Contender::peer("rayon spawn", averaged(at_once, times, move || rayon_round(&rayon, at_once))),
        Contender::punctual(averaged(at_once, times, move || host.round())),
        // The same jobs, without another thread: what there is to do for any run, besides handing it over.
        Contender::own(INLINE, averaged(at_once, times, move || inline.round())),
    ]
}

/// Nanoseconds a job, of what gives those that it took and how many results it had.
fn averaged(at_once: usize, times: usize, mut round: impl FnMut() -> (f64, u64)) -> impl FnMut() -> Sample {
    move || {
        let (mut took, mut results) = (0.0, 0);
        for _ in 0..times {
            let (time, had) = round();
            took += time;
            results += had;
        }
        let asked = at_once * times;
        expect("had results of", results, asked as u64)?;
        Ok(took / asked as f64)
    }
}

fn work() -> u64 {
    std::hint::black_box(1)
}

/// A thread that does what comes by one channel, and gives back what came of it by another.
struct Worker {
    to: Sender<Work>,
    back: Receiver<u64>,
}

impl Worker {
    fn new() -> Worker {
        let (to, todo) = channel::<Work>();
        let (done, back) = channel();
        thread::spawn(move || todo.iter().try_for_each(|work| done.send(work())));
        Worker { to, back }
    }

    fn round(&self, at_once: usize) -> (f64, u64) {
        let mut results = 0;
        let took = nanos(|| {
            (0..at_once).for_each(|_| self.to.send(Box::new(work)).expect("it listens"));
            results = self.back.iter().take(at_once).sum();
        });
        (took, results)
    }
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime")
}

fn tokio_round(runtime: &tokio::runtime::Runtime, at_once: usize) -> (f64, u64) {
    let mut results = 0;
    let took = nanos(|| {
        let spawned: Vec<_> = (0..at_once).map(|_| runtime.spawn(async { work() })).collect();
        results = runtime.block_on(async {
            let mut results = 0;
            for each in spawned {
                results += each.await.expect("it ends");
            }
            results
        });
    });
    (took, results)
}

fn rayon_pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool")
}

fn rayon_round(pool: &rayon::ThreadPool, at_once: usize) -> (f64, u64) {
    let mut results = 0;
    let took = nanos(|| {
        let (done, back) = channel();
        for _ in 0..at_once {
            let done = done.clone();
            pool.spawn(move || done.send(work()).expect("it listens"));
        }
        results = back.iter().take(at_once).sum();
    });
    (took, results)
}

/// punctual, with one thread in its pool, as the others have, or with none.
struct Host {
    scheduler: Scheduler,
    jobs: Vec<JobHandle<u64>>,
}

impl Host {
    fn new(jobs: usize) -> Host {
        let scheduler: Scheduler = Scheduler::builder().executor(Pool::new(1).queue(jobs)).build();
        let hourly = |_| scheduler.every(24).hours().background();
        let register = |job| hourly(job).do_(|| Ok::<u64, BoxError>(work())).expect("it registers");
        let jobs = (0..jobs).map(register).collect();
        Host { scheduler, jobs }
    }

    fn inline(jobs: usize) -> Host {
        let scheduler = Scheduler::new();
        let register = |_| scheduler.every(24).hours().do_(|| Ok::<u64, BoxError>(work())).expect("it registers");
        let jobs = (0..jobs).map(register).collect();
        Host { scheduler, jobs }
    }

    /// All come due, untimed; then they are handed over, and their results taken in.
    fn round(&mut self) -> (f64, u64) {
        self.jobs.iter().for_each(|job| assert!(job.run_now(), "it is there"));
        let mut results = 0;
        let took = nanos(|| {
            loop {
                let tick = self.scheduler.run_pending();
                results += tick.ran() + tick.returned() - tick.failed();
                if results >= self.jobs.len() {
                    break;
                }
                self.scheduler.wait(Duration::from_secs(1));
            }
        });
        (took, results as u64)
    }
}
