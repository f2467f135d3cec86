//! A collector: twenty sources behind an API that allows ten requests a second and fails now and then.
//!
//! The requests go on in a pool of four threads; the loop takes in what came back. Twenty sources every two seconds are all
//! that the API allows, so each further attempt costs some source an occurrence, which folds into its next run. Ends by
//! itself after five seconds.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use punctual::{Backoff, Event, Failure, FailureKind, JobHandle, Pool, Scheduler};

/// What a source gives: so many records.
type Records = usize;

#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("503 try again later")]
    Busy,
    #[error("410 gone")]
    Gone,
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The API: slow, and not always well. The ninth source is gone for good.
fn request(source: usize, dice: &Mutex<fastrand::Rng>) -> Result<Records, ApiError> {
    let (luck, took, records) = {
        let mut dice = dice.lock();
        (dice.u8(..100), dice.u64(20..90), dice.usize(1..50))
    };
    sleep(millis(if luck < 4 { 400 } else { took }));
    match luck {
        _ if source == 9 => Err(ApiError::Gone),
        4..14 => Err(ApiError::Busy),
        _ => Ok(records),
    }
}

/// What is gone stays so.
fn may_pass(failure: &Failure) -> bool {
    match &failure.kind {
        FailureKind::Error(error) => !matches!(error.downcast_ref(), Some(ApiError::Gone)),
        _ => true,
    }
}

/// What one wants to see of all that happens.
fn is_news(event: &Event) -> bool {
    matches!(event, Event::Failed(_) | Event::Retried { .. } | Event::Stray { .. } | Event::Missed { .. } | Event::Paused { .. })
}

fn main() -> Result<(), Box<dyn Error>> {
    let scheduler = Scheduler::builder().executor(Pool::new(4).named("fetch")).seed(7).build();
    let dice = Arc::new(Mutex::new(fastrand::Rng::with_seed(7)));

    let mut sources: Vec<JobHandle<Records>> = Vec::new();
    for source in 1..=20 {
        let dice = dice.clone();
        let job = scheduler
            .every(2)
            .seconds()
            .immediately()
            .named(format!("source {source}"))
            .rate(10, Duration::from_secs(1), "api")
            .at_most(2, format!("server {}", source % 3))
            .timeout(millis(250))
            .retry(2)
            .retry_if(may_pass)
            .backoff(Backoff::exponential(millis(100), millis(1000)).jitter(millis(50)))
            .pause_after_failures(2)
            .background()
            .do_(move || request(source, &dice))?;
        sources.push(job);
    }

    // Runs on this thread, once for each success of any of them.
    let mut sums: BTreeMap<String, Records> = BTreeMap::new();
    let sum = scheduler.following_any(&sources).named("sum").do_with(move |run, records: &Records| {
        let source = run.follows().and_then(|fetched| fetched.name.as_deref()).unwrap_or_default();
        *sums.entry(source.to_owned()).or_default() += records;
        Ok::<_, ApiError>((sums.values().sum::<Records>(), sums.len()))
    })?;

    let mut events = scheduler.events(1000);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let _ = scheduler.run_pending();
        for event in events.by_ref().filter(is_news) {
            println!("{:>6.3}  {event}", began.elapsed().as_secs_f64());
        }
        scheduler.wait(millis(200));
    }

    println!("\n{}\n\n{}\n", scheduler.jobs(), scheduler.lateness());
    if let Some((records, heard)) = sum.last_value().as_deref() {
        println!("{records} records from {heard} of {} sources", sources.len());
    }
    for job in sources.iter().filter(|job| job.snapshot().is_some_and(|job| job.paused)) {
        let error = job.last_error().map_or(String::new(), |error| error.to_string());
        println!("Why does {} not run? {}; its last error was: {error}", job, scheduler.why(job));
    }
    let left = scheduler.shutdown(Duration::from_secs(1));
    println!("At the end {} runs had not ended", left.len());
    Ok(())
}
