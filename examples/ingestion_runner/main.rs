//! Earthquakes every five minutes, and after each success the airports near them: two sources, the second depending on
//! the first.
//!
//! `source` fetches, `feed` and `join` make sense of what came, `database` keeps it, `report` shows it. `recording` and
//! `clock` stand in for the world when no feed is named. This file joins them by a scheduler.

mod cli;
mod clock;
mod database;
mod feed;
mod join;
mod recording;
mod report;
mod source;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use punctual::{Clock, ClockChange, Event, Run, Scheduler, SystemClock};

use cli::Args;
use clock::ScaledClock;
use database::{Changed, Database};
use join::Airport;
use recording::Recording;
use report::Report;
use source::{Fetcher, Source};

type AnyError = Box<dyn Error + Send + Sync>;

/// What the jobs work on.
struct App {
    database: Database,
    fetcher: Fetcher,
    quakes: Source,
    airports: Source,
    /// Fetched once, when first needed.
    known_airports: Option<Vec<Airport>>,
    feed_time: Box<dyn Fn() -> DateTime<Utc>>,
    report: Report,
}

/// The world that the scheduler lives in.
struct World {
    app: App,
    scheduler: Scheduler<App>,
    scaled: Option<ScaledClock>,
    /// How long to go on.
    time: Option<TimeDelta>,
}

/// How old the last fetch of the whole week may be, for late revisions.
const REVISIONS: TimeDelta = TimeDelta::hours(6);

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
    let stop = Arc::new(AtomicBool::new(false));
    let (asked, main) = (stop.clone(), std::thread::current());
    ctrlc::set_handler(move || {
        asked.store(true, Ordering::Relaxed);
        main.unpark();
    })?;
    let mut world = begin(&args, &stop)?;
    let ingest = world.scheduler.schedule(args.every.clone()).immediately().named("ingest").do_with(ingest)?;
    world.scheduler.following(&ingest).named("airports").do_with(|run, found: &Changed| join_new(run, *found))?;
    let start = (world.app.feed_time)();
    let mut step = args.set_clock;
    while !stop.load(Ordering::Relaxed) {
        let tick = world.scheduler.run_pending_with(&mut world.app);
        let passed = (world.app.feed_time)() - start;
        if world.scheduler.is_empty() || world.time.is_some_and(|time| passed >= time) || args.once && tick.ran() > 0 {
            break;
        }
        if let (Some((by, _)), Some(clock)) = (step.take_if(|(_, at)| start + passed >= *at), &world.scaled) {
            clock.set_by(by);
        }
        world.app.report.progress(passed.to_std().unwrap_or_default());
        let speed = world.scaled.as_ref().map_or(1, |_| args.speed);
        std::thread::park_timeout((tick.idle(Duration::from_secs(3600)) / speed).min(Duration::from_millis(200)));
    }
    let (events, airports) = world.app.database.totals()?;
    world.app.report.folded = ingest.stats().folded;
    world.app.report.summary(events, airports);
    Ok(())
}

fn begin(args: &Args, stop: &Arc<AtomicBool>) -> Result<World, AnyError> {
    let database = Database::open(args.db.as_deref())
        .map_err(|error| format!("the database {} cannot be opened ({error}); check --db", args.db.as_deref().unwrap_or("")))?;
    let builder = Scheduler::<App>::builder().zone(Utc).seed(args.seed);
    let fetcher = |limit| Fetcher { limit, stop: stop.clone() };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let world = match &args.quakes {
        Some(quakes) => {
            let airports = args.airports.as_deref().map_or(Source::File(data.join("airports.csv")), Source::parse);
            let quakes = Source::parse(quakes);
            if let Source::File(_) = &quakes {
                fetcher(Duration::ZERO).fetch(&quakes)?;
            }
            let report = Report::new(args.time.map(|time| time.num_minutes().max(1) as u64));
            let fetcher = fetcher(Duration::from_secs(30));
            let feed_time = Box::new(Utc::now);
            let app = App { database, fetcher, quakes, airports, known_airports: None, feed_time, report };
            World { app, scheduler: builder.clock(SystemClock::new()).build(), scaled: None, time: args.time }
        }
        None => {
            let recording = Arc::new(Recording::open(&data)?);
            let (first, last) = recording.span();
            let start = args.from.unwrap_or(first);
            let time = args.time.unwrap_or(last - start + TimeDelta::hours(12));
            let clock = ScaledClock::new(start, args.speed);
            let address = recording::serve(recording, clock.clone(), args.faults, args.seed)?;
            let airports = args.airports.clone().unwrap_or(format!("{address}/airports.csv"));
            let report = Report::new(Some(time.num_minutes().max(1) as u64));
            let feed_clock = clock.clone();
            let app = App {
                database,
                fetcher: fetcher(Duration::from_millis(250)),
                quakes: Source::Url(format!("{address}/all_hour.geojson")),
                airports: Source::parse(&airports),
                known_airports: None,
                feed_time: Box::new(move || feed_clock.feed_time()),
                report,
            };
            World { app, scheduler: builder.clock(clock.clone()).build(), scaled: Some(clock), time: Some(time) }
        }
    };
    let (wall, say) = (world.scaled.clone(), world.app.report.voice());
    world.scheduler.on_event(move |event| {
        let change = match event {
            Event::Clock(ClockChange::SteppedForward(by)) => format!("the wall clock was set ahead by {by:?}"),
            Event::Clock(ClockChange::SteppedBack(by)) => format!("the wall clock was set back by {by:?}"),
            Event::Clock(ClockChange::Suspended(time)) => format!("the machine was asleep for {time:?}"),
            _ => return,
        };
        say(wall.as_ref().map_or_else(Utc::now, Clock::wall), &change);
    });
    Ok(world)
}

/// The feed that covers the time since the last fetch; the week's now and then, since records are revised for days.
fn feed_for(database: &Database, now: DateTime<Utc>) -> database::Result<(&'static str, Option<String>)> {
    let since = |at: Option<i64>| at.and_then(DateTime::from_timestamp_millis).map(|at| now - at);
    let week = since(database.last_fetched(Some("all_week"))?);
    let Some(off) = since(database.last_fetched(None)?) else { return Ok(("all_week", None)) };
    let missed = format!("nothing was fetched for {} h {} min", off.num_hours(), off.num_minutes() % 60);
    Ok(match () {
        () if off > TimeDelta::days(7) => {
            ("all_week", Some(format!("{missed}; the feeds reach back a week, what is older cannot be had")))
        }
        () if off > TimeDelta::hours(23) => ("all_week", Some(format!("{missed}; the week's feed covers it"))),
        () if week.is_none_or(|week| week > REVISIONS) => ("all_week", None),
        () if off > TimeDelta::minutes(55) => ("all_day", Some(format!("{missed}; the day's feed covers it"))),
        () => ("all_hour", None),
    })
}

/// Source 1: what has happened since the last fetch.
fn ingest(run: &mut Run<'_, App>) -> Result<Changed, AnyError> {
    let (due, folded) = (run.due(), run.folded());
    let app = run.host();
    app.report.ingests += 1;
    let now = (app.feed_time)();
    let result = fetch_and_keep(app, now, due, folded);
    if let Err(error) = &result {
        app.report.failed += 1;
        app.report.trouble(due, &format!("ingest    {error}"));
    }
    result
}

fn fetch_and_keep(app: &mut App, now: DateTime<Utc>, due: DateTime<Utc>, folded: u64) -> Result<Changed, AnyError> {
    let (feed, missed) = feed_for(&app.database, now)?;
    if let Some(missed) = missed {
        app.report.trouble(due, &format!("ingest    {missed}"));
    }
    let text = app.fetcher.fetch(&app.quakes.for_feed(feed))?;
    let (quakes, errors) = feed::read(&text)?;
    for error in &errors {
        app.report.trouble(due, &format!("ingest    {error}"));
    }
    app.report.left_out += errors.len();
    let changed = app.database.ingest(&quakes, feed, now.timestamp_millis())?;
    app.report.new += changed.new;
    app.report.revised += changed.revised;
    let late = if folded > 1 { format!(" (makes up for {folded} occurrences)") } else { String::new() };
    let Changed { new, revised } = changed;
    app.report.line(due, &format!("ingest    {feed}: {} events, {new} new, {revised} revised{late}", quakes.len()));
    Ok(changed)
}

/// Source 2: the airports near the notable events that have none looked up yet.
fn join_new(run: &mut Run<'_, App>, found: Changed) -> Result<(), AnyError> {
    let due = run.due();
    let app = run.host();
    let result = look_up(app, due, found);
    if let Err(error) = &result {
        app.report.trouble(due, &format!("airports  {error}"));
    }
    result
}

fn look_up(app: &mut App, due: DateTime<Utc>, found: Changed) -> Result<(), AnyError> {
    let events = app.database.unjoined()?;
    if events.is_empty() {
        return Ok(());
    }
    if app.known_airports.is_none() {
        app.known_airports = Some(join::airports(&app.fetcher.fetch(&app.airports)?)?);
    }
    let airports = app.known_airports.as_deref().unwrap_or_default();
    let mut pairs = 0;
    for (id, latitude, longitude) in &events {
        let near = join::near(airports, *latitude, *longitude);
        app.database.join(id, &near)?;
        pairs += near.len();
    }
    app.report.joined += events.len();
    let of = found.new + found.revised;
    app.report
        .line(due, &format!("airports  {} notable of {of} events, {pairs} airports within {} km", events.len(), join::NEAR));
    Ok(())
}
