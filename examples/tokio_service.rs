//! A service on tokio: async jobs with time limits and retries, and an orderly end.
//!
//! Ends by itself after three seconds, or at Ctrl-C if that comes first.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use punctual::{Backoff, Event, Overlap, Scheduler};
use tokio::time::sleep;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A server somewhere. Of four requests, the second fails and the third hangs.
async fn request(n: u32) -> Result<u32, String> {
    sleep(millis(40)).await;
    match n % 4 {
        1 => Err(format!("request {n}: 503, try again")),
        2 => {
            sleep(Duration::from_secs(60)).await;
            Ok(0)
        }
        _ => Ok(n),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let scheduler = Scheduler::new();
    scheduler.on_event(|event| match event {
        Event::Failed(_) | Event::Retried { .. } | Event::Dropped { .. } => println!("! {event}"),
        _ => {}
    });

    // Each attempt has 150 ms. The future of one that takes longer is dropped, as `tokio::time::timeout` would.
    static REQUESTS: AtomicU32 = AtomicU32::new(0);
    let fetched = scheduler
        .every(500)
        .milliseconds()
        .immediately()
        .named("fetch")
        .timeout(millis(150))
        .retry(2)
        .backoff(Backoff::exponential(millis(50), millis(200)).jitter(millis(20)))
        .do_async(|_| request(REQUESTS.fetch_add(1, Ordering::Relaxed)))?;

    // It follows each success, with its result.
    scheduler.following(&fetched).named("store").do_async(|run, answer| async move {
        sleep(millis(10)).await;
        let attempt = run.follows().map_or(1, |fetch| fetch.attempt);
        println!("  stored answer {answer}, got at attempt {attempt}");
    })?;

    // A report takes longer than the time between two: two of them may go on at once, a third is dropped.
    scheduler.every(300).milliseconds().named("report").overlap(Overlap::Allow { most: 2 }).do_async(|_| async {
        sleep(millis(800)).await;
        println!("  a report is done");
    })?;

    // Not everything is async, and not everything listens: this blocks a thread of the pool and never asks `should_stop`.
    scheduler
        .once_after(Duration::from_secs(2))
        .named("export")
        .background()
        .do_(|| std::thread::sleep(Duration::from_secs(60)))?;

    println!("Serving for three seconds; Ctrl-C ends it sooner.");
    let reason = scheduler
        .run_until(async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => "Ctrl-C",
                () = sleep(Duration::from_secs(3)) => "three seconds are over",
            }
        })
        .await;

    // Futures are dropped where they stand; what blocks has a second to end.
    println!("Ending: {reason}.");
    for job in scheduler.shutdown_async(Duration::from_secs(1)).await {
        println!("Did not end: {}", job.label());
    }
    Ok(())
}
