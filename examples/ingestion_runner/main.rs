//! Earthquakes every five minutes, and after each success the airports near them: two sources, the second depending on
//! the first.
//!
//! Four jobs: `fetch` asks the feed in the background, with a time limit and further attempts; `ingest` follows it on this
//! thread, where the database is; `airports` follows that in small steps, and `airport list` fetches once what it needs. So
//! nothing holds up the loop, and Ctrl-C is heeded in the middle of a slow answer.
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

use std::collections::VecDeque;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use punctual::{Backoff, Clock, Event, JobHandle, Outcome, Overlap, Run, RunView, Scheduler, SystemClock};

use cli::Args;
use clock::ScaledClock;
use database::{Changed, Database};
use feed::{Quake, RecordError};
use join::Airport;
use recording::Recording;
use report::Report;
use source::Source;

type AnyError = Box<dyn Error + Send + Sync>;

/// What the jobs on this thread work on.
struct App {
    database: Database,
    known_airports: Vec<Airport>,
    /// For the next fetch: what was fetched when.
    fetched: Arc<Mutex<Fetches>>,
    report: Report,
}

/// What the jobs in the background need. `feed_time` is the feed's own time, which nobody sets.
#[derive(Clone)]
struct Feeds {
    quakes: Source,
    airports: Source,
    limit: Duration,
    feed_time: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    fetched: Arc<Mutex<Fetches>>,
}

/// When any feed, and the whole week's, was last taken in.
#[derive(Debug, Clone, Copy)]
struct Fetches {
    any: Option<DateTime<Utc>>,
    week: Option<DateTime<Utc>>,
}

/// An answer of the feed.
struct Answer {
    feed: &'static str,
    /// When it was asked for, in the feed's time, and what was missed before.
    asked: DateTime<Utc>,
    missed: Option<String>,
    quakes: Vec<Quake>,
    errors: Vec<RecordError>,
}

/// The world that the scheduler lives in.
struct World {
    app: App,
    feeds: Feeds,
    scheduler: Scheduler<App>,
    scaled: Option<ScaledClock>,
    /// How long to go on.
    time: Option<TimeDelta>,
    /// How many times faster than real time the scheduler's clock runs.
    speed: u32,
}

/// After the time given, what has begun has so long to be finished; at Ctrl-C less.
const TO_FINISH: Duration = Duration::from_secs(5);
const TO_STOP: Duration = Duration::from_millis(500);

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
    let mut world = begin(&args)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (asked, main) = (stop.clone(), std::thread::current());
    ctrlc::set_handler(move || {
        asked.store(true, Ordering::Relaxed);
        main.unpark();
    })?;
    // What comes back from the background wakes the loop.
    let main = std::thread::current();
    world.scheduler.on_change(move || main.unpark());
    let jobs = register(&args, &world)?;
    let start = (world.feeds.feed_time)();
    let mut step = args.set_clock;
    let mut finish: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        let tick = world.scheduler.run_pending_with(&mut world.app);
        let passed = (world.feeds.feed_time)() - start;
        let over = world.time.is_some_and(|time| passed >= time);
        if over && finish.is_none() {
            jobs.fetch.pause();
            finish = Some(Instant::now() + TO_FINISH);
        }
        if world.scheduler.is_empty()
            || finish.is_some_and(|end| tick.next().is_none() && !is_running(&world) || end < Instant::now())
        {
            break;
        }
        if let (Some((by, _)), Some(clock)) = (step.take_if(|(_, at)| start + passed >= *at), &world.scaled) {
            clock.set_by(by);
        }
        world.app.report.progress(passed.to_std().unwrap_or_default(), jobs.airports.progress());
        std::thread::park_timeout((tick.idle(Duration::from_secs(3600)) / world.speed).min(Duration::from_millis(200)));
    }
    let left = world.scheduler.shutdown(TO_STOP);
    let (events, airports) = world.app.database.totals()?;
    world.app.report.summary(&jobs.fetch.stats(), events, airports);
    left.iter().for_each(|job| println!("  {} had not ended", job.label()));
    Ok(())
}

fn is_running(world: &World) -> bool {
    world.scheduler.jobs().iter().any(|job| job.running)
}

/// The jobs that the loop asks after.
struct Jobs {
    fetch: JobHandle<Answer>,
    airports: JobHandle<Outcome>,
}

fn register(args: &Args, world: &World) -> Result<Jobs, AnyError> {
    let (scheduler, feeds) = (&world.scheduler, &world.feeds);
    let backoff = Backoff::exponential(Duration::from_secs(20), Duration::from_secs(120)).jitter(Duration::from_secs(10));
    let times = if args.once { 1 } else { u32::MAX };
    let ask = feeds.clone();
    let fetch = scheduler
        .schedule(args.every.clone())
        .immediately()
        .times(times)
        .named("fetch")
        .overlap(Overlap::Queue { most: 1 })
        .timeout(feeds.limit * 2 * world.speed)
        .retry(2)
        .backoff(backoff.clone())
        .background()
        .do_with(move |run| ask.ask(run))?;
    let ingest = scheduler.following(&fetch).named("ingest").do_with(ingest)?;
    let airports = scheduler.following(&ingest).named("airports").do_with(look_up())?;
    let ask = feeds.clone();
    let list = scheduler.reboot().named("airport list").retry(1000).backoff(backoff).background();
    let list = list.do_(move || Ok::<_, AnyError>(join::airports(&ask.airports.fetch(ask.limit)?)?))?;
    scheduler.following(&list).do_with(|run, list| run.host().known_airports.clone_from(list))?;
    Ok(Jobs { fetch, airports })
}

fn begin(args: &Args) -> Result<World, AnyError> {
    let database = Database::open(args.db.as_deref())
        .map_err(|error| format!("the database {} cannot be opened ({error}); check --db", args.db.as_deref().unwrap_or("")))?;
    let at = |feed| database.last_fetched(feed).map(|at| at.and_then(DateTime::from_timestamp_millis));
    let fetched = Arc::new(Mutex::new(Fetches { any: at(None)?, week: at(Some("all_week"))? }));
    let builder = Scheduler::<App>::builder().zone(Utc).seed(args.seed);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
    let app = |minutes| App { database, known_airports: Vec::new(), fetched: fetched.clone(), report: Report::new(minutes) };
    let world = match &args.quakes {
        Some(quakes) => {
            let airports = args.airports.as_deref().map_or(Source::File(data.join("airports.csv")), Source::parse);
            let (quakes, limit) = (Source::parse(quakes), Duration::from_secs(30));
            if let Source::File(_) = &quakes {
                quakes.fetch(limit)?;
            }
            let app = app(args.time.map(|time| time.num_minutes().max(1) as u64));
            let feeds = Feeds { quakes, airports, limit, feed_time: Arc::new(Utc::now), fetched };
            World { app, feeds, scheduler: builder.clock(SystemClock::new()).build(), scaled: None, time: args.time, speed: 1 }
        }
        None => {
            let recording = Arc::new(Recording::open(&data)?);
            let (first, last) = recording.span();
            let start = args.from.unwrap_or(first);
            let time = args.time.unwrap_or(last - start + TimeDelta::hours(12));
            let clock = ScaledClock::new(start, args.speed);
            let address = recording::serve(recording, clock.clone(), args.faults, args.seed)?;
            let airports = args.airports.clone().unwrap_or(format!("{address}/airports.csv"));
            let app = app(Some(time.num_minutes().max(1) as u64));
            let feed_clock = clock.clone();
            let feeds = Feeds {
                quakes: Source::Url(format!("{address}/all_hour.geojson")),
                airports: Source::parse(&airports),
                limit: Duration::from_millis(250),
                feed_time: Arc::new(move || feed_clock.feed_time()),
                fetched,
            };
            let scheduler = builder.clock(clock.clone()).build();
            World { app, feeds, scheduler, scaled: Some(clock), time: Some(time), speed: args.speed }
        }
    };
    let (wall, say) = (world.scaled.clone(), world.app.report.voice());
    world.scheduler.on_event(move |event| {
        let text = match event {
            Event::Clock(change) => change.to_string(),
            Event::Failed(failure) => format!("{:<8}  {}, attempt {}", failure.label(), failure.kind, failure.attempt),
            _ => return,
        };
        say(wall.as_ref().map_or_else(Utc::now, Clock::wall), &text);
    });
    Ok(world)
}

impl Feeds {
    /// Source 1: what has happened since the last fetch.
    fn ask(&self, _run: &RunView) -> Result<Answer, AnyError> {
        let asked = (self.feed_time)();
        let fetched = *self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let (feed, missed) = fetched.feed_at(asked);
        let (quakes, errors) = feed::read(&self.quakes.for_feed(feed).fetch(self.limit)?)?;
        Ok(Answer { feed, asked, missed, quakes, errors })
    }
}

impl Fetches {
    /// The feed that covers the time since the last fetch; the week's now and then, since records are revised for days.
    fn feed_at(&self, now: DateTime<Utc>) -> (&'static str, Option<String>) {
        let Some(off) = self.any.map(|at| now - at) else { return ("all_week", None) };
        let missed = format!("nothing was fetched for {} h {} min", off.num_hours(), off.num_minutes() % 60);
        match () {
            () if off > TimeDelta::days(7) => {
                ("all_week", Some(format!("{missed}; the feeds reach back a week, what is older cannot be had")))
            }
            () if off > TimeDelta::hours(23) => ("all_week", Some(format!("{missed}; the week's feed covers it"))),
            () if self.week.is_none_or(|week| now - week > REVISIONS) => ("all_week", None),
            () if off > TimeDelta::minutes(55) => ("all_day", Some(format!("{missed}; the day's feed covers it"))),
            () => ("all_hour", None),
        }
    }
}

/// Keeps what the feed answered.
fn ingest(run: &mut Run<'_, App>, answer: &Answer) -> Result<Changed, AnyError> {
    let (due, folded) = (run.due(), run.follows().map_or(1, |fetch| fetch.folded));
    let app = run.host();
    let Answer { feed, asked, missed, quakes, errors } = answer;
    if let Some(missed) = missed {
        app.report.trouble(due, &format!("ingest    {missed}"));
    }
    for error in errors {
        app.report.trouble(due, &format!("ingest    {error}"));
    }
    app.report.left_out += errors.len();
    let changed = app.database.ingest(quakes, feed, asked.timestamp_millis())?;
    let mut fetched = app.fetched.lock().unwrap_or_else(PoisonError::into_inner);
    fetched.any = fetched.any.max(Some(*asked));
    if *feed == "all_week" {
        fetched.week = fetched.week.max(Some(*asked));
    }
    drop(fetched);
    app.report.new += changed.new;
    app.report.revised += changed.revised;
    let late = if folded > 1 { format!(" (makes up for {folded} occurrences)") } else { String::new() };
    let Changed { new, revised } = changed;
    app.report.line(due, &format!("ingest    {feed}: {} events, {new} new, {revised} revised{late}", quakes.len()));
    Ok(changed)
}

/// How long a turn of the look-up may take.
const TURN: Duration = Duration::from_millis(2);

/// Source 2: the airports near the notable events that have none looked up yet, some at each turn.
fn look_up() -> impl FnMut(&mut Run<'_, App>, &Changed) -> Result<Outcome, AnyError> {
    let (mut left, mut of, mut pairs) = (VecDeque::new(), 0, 0);
    move |run, found| {
        if run.host().known_airports.is_empty() {
            // They come with a later run, once the list is there.
            return Ok(Outcome::Done);
        }
        if run.turn() == 0 {
            left = run.host().database.unjoined()?.into();
            (of, pairs) = (left.len(), 0);
        }
        let (due, began) = (run.due(), Instant::now());
        while let Some((id, latitude, longitude)) = left.pop_front() {
            let App { database, known_airports, report, .. } = run.host();
            let near = join::near(known_airports, latitude, longitude);
            database.join(&id, &near)?;
            report.joined += 1;
            pairs += near.len();
            run.progress((of - left.len()) as u64, of as u64);
            if began.elapsed() >= TURN && !left.is_empty() {
                return Ok(Outcome::Yield);
            }
        }
        if of > 0 {
            let events = found.new + found.revised;
            let text = format!("airports  {of} notable of {events} events, {pairs} airports within {} km", join::NEAR);
            run.host().report.line(due, &text);
        }
        Ok(Outcome::Done)
    }
}
