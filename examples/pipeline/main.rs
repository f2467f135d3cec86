//! A dated pipeline in luigi's way: each step has a file for each date, and does nothing if that is there.
//!
//! `extract` runs daily for the day before, and for days on which the program did not run; `locate` and `report` follow it.
//! A run is known by when it was due, and so is what follows it: that makes the date, however late it is. So a backfill is
//! nothing else than more runs of the first step, and a program that was killed goes on by looking what is there.
//!
//! `steps` is what each step makes, `dated` where that is kept, `log` what is said of it. This file joins them by a scheduler.
//! The recorded earthquakes are read by the modules of the ingestion runner.

mod cli;
mod dated;
#[path = "../ingestion_runner/feed.rs"]
#[allow(dead_code, reason = "the pipeline needs no ids")]
mod feed;
#[path = "../ingestion_runner/join.rs"]
#[allow(dead_code, reason = "the pipeline fetches nothing")]
mod join;
mod log;
mod steps;

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, Utc};
use clap::Parser;
use flate2::read::GzDecoder;
use punctual::{Backfilling, JobHandle, Missed, Pool, Scheduler, SqliteStore};

use cli::Args;
use dated::{Dated, date};
use log::Log;

type AnyError = Box<dyn Error + Send + Sync>;

/// So many are there, so many may go on at once.
const STEPS: usize = 3;

/// How long steps that go on at Ctrl-C have to end.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    run(&Args::parse()).unwrap_or_else(|error| {
        eprintln!("pipeline: {error}");
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> Result<ExitCode, AnyError> {
    dated::prepare(&args.dir).map_err(|error| format!("the folder {} cannot be used: {error}", args.dir.display()))?;
    let mut builder = Scheduler::builder().zone(Utc).executor(Pool::new(STEPS));
    if let Some(file) = &args.store {
        let wrong = |error| format!("the store {} cannot be opened: {error}; check --store", file.display());
        builder = builder.store(SqliteStore::open(file).map_err(wrong)?);
    }
    let scheduler: Scheduler = builder.build();
    let log = Arc::new(Log::default());
    let told = log.clone();
    scheduler.on_event(move |event| told.tell(event, "report"));
    let extract = register(&scheduler, args)?;
    if let Some(next) = extract.next_run().filter(|_| !args.once) {
        eprintln!("pipeline: {} is due at {}; Ctrl-C ends this", date(next), next.format("%Y-%m-%d %H:%M UTC"));
    }
    let filling = args.backfill.as_ref().map(|dates| fill(&extract, dates, args)).transpose()?;

    let stop = Arc::new(AtomicBool::new(false));
    let (asked, waker) = (stop.clone(), scheduler.clone());
    ctrlc::set_handler(move || {
        asked.store(true, Ordering::Relaxed);
        waker.wake();
    })?;
    loop {
        let tick = scheduler.run_pending();
        if stop.load(Ordering::Relaxed) || args.once && filling.as_ref().is_some_and(Backfilling::is_over) {
            break;
        }
        scheduler.wait(tick.idle(Duration::from_secs(60)));
    }
    for job in scheduler.shutdown(PATIENCE) {
        eprintln!("pipeline: {} has not ended", job.label());
    }
    log.summary();
    Ok(if log.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Makes the dates of a range: for each, the first step was due the day after.
fn fill(extract: &JobHandle<PathBuf>, dates: &Range<NaiveDate>, args: &Args) -> Result<Backfilling, punctual::Error> {
    let due = |date: NaiveDate| date.succ_opt().unwrap_or(date).and_time(NaiveTime::MIN).and_utc();
    let filling = extract.backfill(due(dates.start), due(dates.end)).at_most(args.at_most);
    if args.newest_first { filling.newest_first().start() } else { filling.start() }
}

/// The three steps, each of which does one date at a time. Gives the first, which the others follow.
fn register(scheduler: &Scheduler, args: &Args) -> Result<JobHandle<PathBuf>, AnyError> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let lost = |error| format!("{} cannot be read: {error}; run this from a checkout of the project", data.display());
    let packed = File::open(data.join("earthquakes_all_week.geojson.gz")).map_err(lost)?;
    let (recording, _) = feed::read(&io::read_to_string(GzDecoder::new(packed))?)?;
    let airports = join::airports(&fs::read_to_string(data.join("airports.csv")).map_err(lost)?)?;

    // A step that is cut off is done again: it has left nothing, or all.
    let files = Dated::new(&args.dir, "extracted.csv");
    let daily = scheduler.every(1).day().at(&args.at).missed(Missed::RunAll { most: 31 });
    let daily = daily.named("extract").at_least_once().unless_done(files.find());
    let extract = daily.background().do_with(move |run| -> Result<_, AnyError> {
        Ok(files.write(run.facts(), &steps::extract(&recording, date(run.due()))?)?)
    })?;

    let files = Dated::new(&args.dir, "located.csv");
    let following = scheduler.following(&extract).named("locate").at_least_once().unless_done(files.find());
    let locate = following.background().do_with(move |run, extracted: &PathBuf| -> Result<_, AnyError> {
        Ok(files.write(run.facts(), &steps::locate(extracted, &airports)?)?)
    })?;

    let files = Dated::new(&args.dir, "report.md");
    let following = scheduler.following(&locate).named("report").at_least_once().unless_done(files.find());
    following.background().do_with(move |run, located: &PathBuf| -> Result<_, AnyError> {
        Ok(files.write(run.facts(), &steps::report(located, date(run.due()))?)?)
    })?;

    Ok(extract)
}
