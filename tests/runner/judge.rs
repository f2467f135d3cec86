//! What has to be in the runner's file in the end: the recorded week, and an account of each occurrence.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use chrono::TimeDelta;
use punctual::rusqlite::Connection;
use punctual::{HistoryQuery, RunEnd, RunRecord, RunState, SqliteStore, Store};

use super::{feed, join};

const EVERY: TimeDelta = TimeDelta::minutes(5);

/// The feed as recorded.
pub fn recorded() -> Vec<feed::Quake> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/earthquakes_all_week.geojson.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let (quakes, errors) = feed::read(&text).unwrap();
    assert_eq!(errors, []);
    quakes
}

/// Each event of the recording in its last revision, and the airports near each that is notable: no more and no less.
pub fn holds_the_week(file: &Path) {
    let quakes = recorded();
    let database = Connection::open(file).unwrap();
    let mut query = database.prepare("SELECT id, updated FROM event").unwrap();
    let kept = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let kept: BTreeMap<String, i64> = kept.collect::<Result<_, _>>().unwrap();
    assert_eq!(kept.len(), 1707);
    assert_eq!(kept, quakes.iter().map(|quake| (quake.id.clone(), quake.updated)).collect());

    let airports = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/airports.csv")).unwrap();
    let airports = join::airports(&airports).unwrap();
    let notable = quakes.iter().filter(|quake| quake.magnitude.is_some_and(|magnitude| magnitude >= join::NOTABLE));
    let near = notable.flat_map(|quake| {
        let near = join::near(&airports, quake.latitude, quake.longitude);
        near.into_iter().map(|(airport, kilometres)| ((quake.id.clone(), airport.iata.clone()), kilometres))
    });
    let mut query = database.prepare("SELECT event, iata, kilometres FROM airport_near").unwrap();
    let pairs = query.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).unwrap();
    let pairs: BTreeMap<(String, String), f64> = pairs.collect::<Result<_, _>>().unwrap();
    assert_eq!(pairs.len(), 2337);
    assert_eq!(pairs, near.collect());
}

/// What the history says of the ingests.
#[derive(Debug, Default)]
pub struct Accounts {
    pub runs: u64,
    pub occurrences: u64,
    pub failed: u64,
    /// Attempts after the first, after a failure or a kill.
    pub again: u64,
    /// Attempts that left what they fetched besides the last one of their run.
    pub twice: u64,
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accounts { runs, occurrences, failed, again, .. } = self;
        write!(f, "{runs} runs for {occurrences} occurrences, {failed} of them failed, {again} attempts again")
    }
}

/// Each occurrence of `ingest` belongs to one run, each run is in the history once, and each that is done has left what it
/// fetched once and was followed once.
/// `steps` is how far the wall clock was set, one after the other.
pub fn accounts(file: &Path, steps: &[TimeDelta]) -> Accounts {
    let store = SqliteStore::open(file).unwrap();
    assert_eq!(store.check(), Ok(()));
    let history = |job: &str| {
        let query = HistoryQuery { job: Some(job.into()), most: usize::MAX, ..HistoryQuery::default() };
        let mut runs = store.history(&query).unwrap();
        runs.sort_by_key(|run| run.number);
        runs
    };
    let (ingests, airports) = (history("ingest"), history("airports"));
    for pair in ingests.windows(2) {
        assert_eq!(pair[0].number + 1, pair[1].number, "{pair:#?}");
    }

    let mut steps = steps.iter();
    // Beyond what lies between two occurrences, there is only what the clock was set by. The runner's own runs so fast that a
    // moment between two looks at it is long.
    let mut lies_beyond = |beyond: TimeDelta, run: &RunRecord| {
        let is_about = |step: TimeDelta| (beyond - step).abs() < EVERY / 2;
        assert!(is_about(TimeDelta::zero()) || steps.next().is_some_and(|step| is_about(*step)), "{beyond} beyond, at {run:?}");
    };
    for (place, run) in ingests.iter().enumerate() {
        let within = run.due - run.first_missed - EVERY * (run.folded as i32 - 1);
        if let Some(before) = place.checked_sub(1).map(|before| &ingests[before]) {
            lies_beyond(run.first_missed - before.due - EVERY, run);
        }
        lies_beyond(within, run);
    }
    assert_eq!(steps.next(), None, "the wall clock was not set by this");

    let is_done = |run: &&RunRecord| matches!(run.state, RunState::Ended { end: RunEnd::Done, .. });
    let done: Vec<u64> = ingests.iter().filter(is_done).map(|run| run.number).collect();
    // An attempt whose time was up may have been about to commit: then the next one has done the same again.
    let database = Connection::open(file).unwrap();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    let last = "SELECT count(*) FROM fetched JOIN punctual_runs ON number = run AND punctual_runs.attempt = fetched.attempt WHERE job = (SELECT job FROM
        punctual_jobs WHERE name = 'ingest') AND state = 'done'";
    assert_eq!(count(last), done.len() as u64);
    let twice = count("SELECT count(*) FROM fetched") - done.len() as u64;

    let mut followed: Vec<u64> = airports.iter().flat_map(|run| &run.follows).map(|run| run.number).collect();
    followed.sort_unstable();
    assert_eq!(followed, done);
    assert!(ingests.iter().all(|run| matches!(run.state, RunState::Ended { .. })), "{ingests:?}");
    Accounts {
        runs: ingests.len() as u64,
        occurrences: ingests.iter().map(|run| run.folded).sum(),
        failed: (ingests.len() - done.len()) as u64,
        again: ingests.iter().map(|run| u64::from(run.attempt) - 1).sum(),
        twice,
    }
}
