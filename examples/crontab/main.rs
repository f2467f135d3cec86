//! A crontab runner in the foreground, for containers and laptops: `crontab FILE...`.
//!
//! `files` reads crontabs, property lists and timers; `jobs` registers what they say, and takes over what has changed; `log`
//! tells what becomes of it; `preview` shows what would run, and runs nothing. This file joins them by a scheduler.

mod cli;
mod files;
mod jobs;
mod log;
mod preview;
mod signals;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::Utc;
use clap::Parser;
use parking_lot::Mutex;
use punctual::{Scheduler, SqliteStore};

use cli::Args;
use files::{Found, Read};
use jobs::Jobs;
use log::{Log, Shown};
use signals::Signals;

type AnyError = Box<dyn Error + Send + Sync>;

/// How often the files are looked at, in seconds.
const LOOK: u32 = 2;

/// How long commands have that were told to stop: more than the grace of a crontab's.
const TO_STOP: Duration = Duration::from_secs(5);

/// How long what a runner holds stays its own if it says nothing more, before another one on the same store takes it over.
const LEASE: Duration = Duration::from_secs(30);

const REFUSED: u8 = 3;
const STOPPED: u8 = 4;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = if args.list || args.check || args.dry_run.is_some() { look(&args) } else { run(args) };
    done.unwrap_or_else(|error| {
        eprintln!("crontab: {error}");
        ExitCode::FAILURE
    })
}

fn read(args: &Args) -> Result<Vec<Read>, AnyError> {
    let mut paths: Vec<&PathBuf> = Vec::new();
    args.files.iter().for_each(|path| {
        if !paths.contains(&path) {
            paths.push(path)
        }
    });
    let wrong = |path: &PathBuf, error| format!("{} cannot be read: {error}", path.display());
    paths.into_iter().map(|path| files::read(path, args).map_err(|error| wrong(path, error).into())).collect()
}

fn look(args: &Args) -> Result<ExitCode, AnyError> {
    let (read, shown) = (read(args)?, Shown(args.zone));
    let from = args.from.unwrap_or_else(Utc::now);
    let out = &mut io::stdout().lock();
    let printed = match args.dry_run {
        Some(time) => {
            say_notes(&read);
            preview::dry_run(out, &read, shown, from, time)
        }
        None if args.list => preview::list(out, &read, shown, from),
        None => read.iter().flat_map(|file| &file.notes).try_for_each(|note| writeln!(out, "{note}")),
    };
    match printed {
        // A pager was left, say.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    let refused: usize = read.iter().map(Read::refused).sum();
    Ok(match refused {
        0 if read.iter().all(|file| file.jobs.is_empty()) => return Err("there is nothing to run".into()),
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(REFUSED),
    })
}

fn say_notes(read: &[Read]) {
    read.iter().flat_map(|file| &file.notes).for_each(|note| eprintln!("{note}"));
}

fn run(args: Args) -> Result<ExitCode, AnyError> {
    // Before they are read: what changes meanwhile is read again.
    let stamps = Mutex::new(files::stamps(&args.files));
    let first = read(&args)?;
    say_notes(&first);
    let found: Vec<Found> = first.into_iter().flat_map(|file| file.jobs).collect();
    if found.iter().all(|found| found.job.disabled) {
        return Err("there is nothing to run".into());
    }

    let mut builder = Scheduler::builder().zone(preview::zone(args.zone));
    if let Some(file) = &args.store {
        let wrong = |error| format!("the store {} cannot be opened: {error}; check --store", file.display());
        builder = builder.store(SqliteStore::open(file).map_err(wrong)?).lease(LEASE);
    }
    let scheduler: Scheduler = builder.build();
    let log = Arc::new(Log::new(Shown(args.zone), args.verbose));
    let told = log.clone();
    scheduler.on_event(move |event| told.tell(event));
    let signals = Signals::listen(&scheduler)?;

    let (paths, changed) = (args.files.clone(), signals.clone());
    scheduler.every(LOOK).seconds().do_(move || {
        let (now, mut before) = (files::stamps(&paths), stamps.lock());
        if now != *before {
            *before = now;
            changed.reload.store(true, Ordering::Relaxed);
        }
    })?;

    let mut jobs = Jobs::new(scheduler.clone(), log.clone());
    let (count, _) = jobs.take(found);
    log.say(format!("started, jobs: {count}"));
    let mut end: Option<Instant> = None;
    loop {
        let tick = scheduler.run_pending();
        if signals.reload.swap(false, Ordering::Relaxed) && end.is_none() {
            reload(&args, &mut jobs, &log);
        }
        jobs.settle();
        let asked = signals.ends.load(Ordering::Relaxed);
        let mut rest = Duration::from_secs(60);
        if asked > 0 {
            let end = *end.get_or_insert_with(|| {
                scheduler.pause();
                log.say("ending: nothing starts any more");
                Instant::now() + args.grace
            });
            rest = end.saturating_duration_since(Instant::now());
            if !jobs.are_running() || asked > 1 || rest.is_zero() {
                break;
            }
        }
        scheduler.wait(tick.idle(rest).min(rest));
    }
    Ok(finish(&scheduler, &jobs, &log))
}

/// Takes what the files say now; if one cannot be read, all stays as it is.
fn reload(args: &Args, jobs: &mut Jobs, log: &Log) {
    match read(args) {
        Ok(read) => {
            say_notes(&read);
            let (new, gone) = jobs.take(read.into_iter().flat_map(|file| file.jobs).collect());
            log.say(format!("the files were read again: {new} new, {gone} gone"));
        }
        Err(error) => log.say(format!("{error}; the jobs stay as they are")),
    }
}

fn finish(scheduler: &Scheduler, jobs: &Jobs, log: &Log) -> ExitCode {
    let had_to_stop = jobs.are_running();
    for job in scheduler.shutdown(TO_STOP) {
        log.say(format!("{} has not ended", jobs.label(job.name.as_deref())));
    }
    log.say(if had_to_stop { "ended; commands had to be stopped" } else { "ended" });
    if had_to_stop { ExitCode::from(STOPPED) } else { ExitCode::SUCCESS }
}
