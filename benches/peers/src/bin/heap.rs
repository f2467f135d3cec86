//! Bytes of the heap that a scheduler holds for each of its jobs: `heap NAME JOBS`. Prints the figure and nothing else.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use punctual::Scheduler;
use punctual_peers::hosts::{Every, POLLED, TOKIO_CRON, TokioCron, filled, job};

#[derive(Parser)]
struct Arguments {
    /// `punctual`, `punctual-handles`, `plain`, or a peer.
    name: String,
    jobs: usize,
}

fn main() -> ExitCode {
    let Arguments { name, jobs } = Arguments::parse();
    let bytes = match name.as_str() {
        "plain" => held(|| plain(jobs)),
        "punctual-handles" => held(|| with_handles(jobs)),
        TOKIO_CRON => held(|| TokioCron::filled(jobs, Every::Hour)) - held(|| TokioCron::with_room(jobs)),
        "punctual" => held(|| filled("punctual", jobs, Every::Hour)),
        peer if POLLED.contains(&peer) => held(|| filled(peer, jobs, Every::Hour)),
        _ => {
            eprintln!("`{name}` is not known");
            return ExitCode::FAILURE;
        }
    };
    println!("{:.1}", bytes as f64 / jobs.max(1) as f64);
    ExitCode::SUCCESS
}

/// The bytes that are held by what this makes.
fn held<T>(make: impl FnOnce() -> T) -> i64 {
    let mut made = None;
    allocation_counter::measure(|| made = Some(make())).bytes_current
}

fn plain(jobs: usize) -> Vec<(u64, Box<dyn FnMut()>)> {
    (0..jobs as u64).map(|due| (due, Box::new(job) as Box<dyn FnMut()>)).collect()
}

fn with_handles(jobs: usize) -> impl Sized {
    let scheduler = Scheduler::new();
    let register = |_| scheduler.every_period(Duration::from_secs(3600)).do_(job).expect("it registers");
    let handles: Vec<_> = (0..jobs).map(register).collect();
    (scheduler, handles)
}
