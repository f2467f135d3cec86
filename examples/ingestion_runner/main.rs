//! Earthquakes every five minutes, and after each success the airports near them: two sources, the second depending on
//! the first. It may be killed at any moment, and goes on from there when it is started again.
//!
//! Three jobs: `ingest` asks the feed in the background, with a time limit and further attempts, and keeps what it answers;
//! `airports` follows it on this thread, in small steps; a third one fetches once what that needs. So nothing holds up the
//! loop, and Ctrl-C is heeded in the middle of a slow answer. The scheduler keeps its jobs in the file in which the data is.
//!
//! `ingest` and `look_up` are the jobs; `source` fetches for them, `feed` and `join` make sense of what came, `database` keeps
//! it, `report` shows it. `recording` and `clock` stand in for the world when no feed is named. This file joins them by a
//! scheduler.

mod cli;
mod clock;
mod database;
mod feed;
mod ingest;
mod join;
mod look_up;
mod place;
mod recording;
mod report;
mod source;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use punctual::{
    Backoff, Clock, Event, JobHandle, JobSnapshot, Outcome, Overlap, Scheduler, SqliteStore, StoreError, SystemClock,
    WithoutStore,
};

use cli::Args;
use clock::{ScaledClock, WorldClock};
use database::Database;
use ingest::Ingest;
use join::AirportList;
use look_up::look_up;
use place::Place;
use recording::Recording;
use report::Report;
use source::Source;

type AnyError = Box<dyn Error + Send + Sync>;

/// What is lived in: where the data comes from, by which clock, and for how long.
struct World {
    quakes: Source,
    airports: Source,
    /// How long an answer may take, in real time.
    limit: Duration,
    clock: WorldClock,
    time: Option<TimeDelta>,
}

/// The jobs that the loop asks after.
struct Jobs {
    ingest: JobHandle,
    airports: JobHandle<Outcome>,
}

/// After the time given, what has begun has so long to be finished; at Ctrl-C less.
const TO_FINISH: Duration = Duration::from_secs(5);
const TO_STOP: Duration = Duration::from_millis(500);

/// For how long it is kept which runs there were.
const HISTORY: Duration = Duration::from_secs(90 * 86_400);

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ingestion_runner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), AnyError> {
    let place = Place::new(args.db.as_deref())?;
    let wrong = |error: &dyn Error| format!("{} cannot be opened ({error}); check --db", place.file().display());
    let mut database = Database::open(place.file()).map_err(|error| wrong(&error))?;
    let world = World::new(&args, database.last_fetched(None)?)?;
    let store = SqliteStore::options().durability(args.durability).keep_for(HISTORY).clock(world.clock.clone());
    let store = store.open(place.file()).map_err(|error| wrong(&error))?;
    let report = Arc::new(Report::new(world.time.map(|time| time.num_minutes().max(1) as u64)));
    let scheduler = scheduler(&args, &world, &store, &report);

    let over = Arc::new(AtomicBool::new(false));
    let ingest = Ingest {
        quakes: world.quakes.clone(),
        limit: world.limit,
        clock: world.clock.clone(),
        database: Mutex::new(Database::open(place.file())?),
        store,
        report: report.clone(),
    };
    let jobs = register(&args, &world, &scheduler, ingest, over.clone())?;

    let stop = Arc::new(AtomicBool::new(false));
    let (asked, main) = (stop.clone(), std::thread::current());
    ctrlc::set_handler(move || {
        asked.store(true, Ordering::Relaxed);
        main.unpark();
    })?;
    // What comes back from the background wakes the loop.
    let main = std::thread::current();
    scheduler.on_change(move || main.unpark());

    let start = world.clock.feed_time();
    let mut finish: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        let tick = scheduler.run_pending_with(&mut database);
        let passed = world.clock.feed_time() - start;
        if world.time.is_some_and(|time| passed >= time) || args.once && jobs.ingest.stats().runs > 0 {
            over.store(true, Ordering::Relaxed);
            let end = *finish.get_or_insert_with(|| Instant::now() + TO_FINISH);
            if jobs.are_idle() || end < Instant::now() {
                break;
            }
        }
        report.progress(passed.to_std().unwrap_or_default(), jobs.airports.progress());
        std::thread::park_timeout((tick.idle(Duration::from_secs(3600)) / world.clock.speed()).min(Duration::from_millis(200)));
    }
    let left = scheduler.shutdown(TO_STOP);
    let (events, airports) = database.totals()?;
    report.summary(&jobs.ingest.stats(), events, airports);
    left.iter().for_each(|job| println!("  {} had not ended", job.label()));
    Ok(())
}

fn scheduler(args: &Args, world: &World, store: &SqliteStore, report: &Arc<Report>) -> Scheduler<Database> {
    // While the file cannot be written, there is nothing to be done: the data is in it too.
    let scheduler = Scheduler::builder().store(store.clone()).without_store(WithoutStore::Hold);
    let scheduler = scheduler.clock(world.clock.clone()).zone(Utc).seed(args.seed).build();
    let (clock, report, trouble) = (world.clock.clone(), report.clone(), AtomicBool::new(false));
    scheduler.on_event(move |event| {
        let text = match event {
            Event::Failed(failure) => {
                // Only the list has no name.
                let job = failure.name.as_deref().unwrap_or("airport list");
                format!("{job:<8}  {}, attempt {}", failure.kind, failure.attempt)
            }
            // The other connection writes: by a clock that runs so fast that takes long.
            Event::StoreFailed { error: StoreError::Busy { .. }, .. } => return,
            Event::StoreRecovered if !trouble.swap(false, Ordering::Relaxed) => return,
            Event::StoreFailed { .. } => {
                trouble.store(true, Ordering::Relaxed);
                event.to_string()
            }
            Event::StoreRecovered | Event::CutOff { .. } | Event::Dropped { .. } | Event::Clock(_) => event.to_string(),
            _ => return,
        };
        report.trouble(clock.wall(), &text);
    });
    scheduler
}

fn register(
    args: &Args,
    world: &World,
    scheduler: &Scheduler<Database>,
    ingest: Ingest,
    over: Arc<AtomicBool>,
) -> Result<Jobs, AnyError> {
    let backoff = Backoff::exponential(Duration::from_secs(20), Duration::from_secs(120)).jitter(Duration::from_secs(10));
    let report = ingest.report.clone();
    let ingest = scheduler
        .schedule(args.every.clone())
        .immediately()
        .named("ingest")
        .at_least_once()
        // One asks at a time. What comes meanwhile is held back as one run, so that no occurrence is dropped; while some wait
        // for a further attempt, others go on.
        .mutex("feed")
        .overlap(Overlap::Allow { most: 8 })
        .timeout(world.limit * 4 * world.clock.speed())
        .retry(2)
        .backoff(backoff.clone())
        .when(move || !over.load(Ordering::Relaxed))
        .background()
        .do_with(move |run| ingest.run(run))?;
    if args.once && ingest.next_run().is_none_or(|next| next > world.clock.wall()) {
        // An earlier process has done what was due.
        ingest.run_now();
    }
    // Without a name, it is not kept: what it fetches goes with the process.
    let list = AirportList::default();
    let (fetched, is_there) = (list.clone(), list.clone());
    let (airports, limit) = (world.airports.clone(), world.limit);
    scheduler.reboot().retry(1000).backoff(backoff).background().do_(move || {
        let _ = fetched.set(join::airports(&airports.fetch(limit)?)?);
        Ok::<_, AnyError>(())
    })?;
    let airports = scheduler.following(&ingest).named("airports").at_least_once();
    let airports = airports.when(move || is_there.get().is_some()).do_with(look_up(list, report))?;
    Ok(Jobs { ingest, airports })
}

impl Jobs {
    /// Whether what was begun is finished.
    fn are_idle(&self) -> bool {
        let is_running = |job: Option<JobSnapshot>| job.is_some_and(|job| job.running || job.retrying.is_some());
        !is_running(self.ingest.snapshot()) && !is_running(self.airports.snapshot()) && self.airports.next_run().is_none()
    }
}

impl World {
    /// The live feed, or the recording of a week: that from when it was last asked for something that is kept.
    fn new(args: &Args, last_fetched: Option<DateTime<Utc>>) -> Result<World, AnyError> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
        let airports = args.airports.as_deref().map(Source::parse);
        if let Some(quakes) = &args.quakes {
            let (quakes, limit) = (Source::parse(quakes), Duration::from_secs(30));
            if let Source::File(_) = &quakes {
                quakes.fetch(limit)?;
            }
            let airports = airports.unwrap_or(Source::File(data.join("airports.csv")));
            let clock = WorldClock::Machine(SystemClock::new());
            return Ok(World { quakes, airports, limit, clock, time: args.time });
        }
        let recording = Arc::new(Recording::open(&data)?);
        let (first, last) = recording.span();
        let start = args.from.or(last_fetched).unwrap_or(first);
        let time = args.time.unwrap_or(last - start + TimeDelta::hours(12));
        let clock = ScaledClock::new(start, args.speed, args.set_clock.clone());
        let address = recording::serve(recording, clock.clone(), args.faults, args.seed)?;
        Ok(World {
            quakes: Source::Url(format!("{address}/all_hour.geojson")),
            airports: airports.unwrap_or(Source::Url(format!("{address}/airports.csv"))),
            limit: Duration::from_millis(250),
            clock: WorldClock::Recording(clock),
            time: Some(time),
        })
    }
}
