//! The recorded week as a live feed: a small HTTP server on loopback, with faults if asked for.
//!
//! It serves what would have been known at the feed's time: events that have happened, in the revision of the recording
//! once that was made, else as they were first reported. From the end of the recording on, all revisions are the last. The
//! week's feed reaches back to the recording's beginning.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::clock::ScaledClock;

pub struct Recording {
    events: Vec<Recorded>,
    airports: String,
}

/// An event, as JSON.
struct Recorded {
    time: i64,
    updated: i64,
    /// Before that, and from then on.
    first: String,
    last: String,
}

#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error(
        "the recording {file} cannot be read ({why}); run this from a checkout of the project, or give --quakes and --airports"
    )]
    File { file: String, why: String },
}

impl Recording {
    pub fn open(folder: &Path) -> Result<Self, RecordingError> {
        let wrong = |file: &Path, why: String| RecordingError::File { file: file.display().to_string(), why };
        let file = folder.join("earthquakes_all_week.geojson.gz");
        let packed = std::fs::File::open(&file).map_err(|error| wrong(&file, error.to_string()))?;
        let feed: Value = serde_json::from_reader(BufReader::new(flate2::read::GzDecoder::new(packed)))
            .map_err(|error| wrong(&file, error.to_string()))?;
        let events = feed["features"].as_array().into_iter().flatten().map(Recorded::new).collect();
        let file = folder.join("airports.csv");
        let airports = std::fs::read_to_string(&file).map_err(|error| wrong(&file, error.to_string()))?;
        Ok(Recording { events, airports })
    }

    /// When its first event happened and when its last one did.
    pub fn span(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let times = self.events.iter().map(|event| event.time);
        let at = |time: Option<i64>| time.and_then(DateTime::from_timestamp_millis).unwrap_or_default();
        (at(times.clone().min()), at(times.max()))
    }

    fn feed(&self, now: DateTime<Utc>, covers: TimeDelta) -> String {
        let (now, since, end) = (now.timestamp_millis(), (now - covers).timestamp_millis(), self.span().1.timestamp_millis());
        let known = self.events.iter().filter(|event| event.time <= now && event.time > since);
        let known = known.map(|event| if event.updated > now && now < end { &*event.first } else { &*event.last });
        format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, known.collect::<Vec<&str>>().join(","))
    }

    fn answer(&self, path: &str, now: DateTime<Utc>) -> Option<String> {
        match path {
            "/all_hour.geojson" => Some(self.feed(now, TimeDelta::hours(1))),
            "/all_day.geojson" => Some(self.feed(now, TimeDelta::days(1))),
            "/all_week.geojson" => Some(self.feed(now, TimeDelta::days(9))),
            "/airports.csv" => Some(self.airports.clone()),
            _ => None,
        }
    }
}

impl Recorded {
    fn new(event: &Value) -> Self {
        let number = |name: &str| event["properties"][name].as_i64().unwrap_or_default();
        let (time, updated) = (number("time"), number("updated"));
        let mut first = event.clone();
        first["properties"]["updated"] = json!(time);
        Recorded { time, updated, first: first.to_string(), last: event.to_string() }
    }
}

/// Serves a recording until the program ends; gives the address.
pub fn serve(recording: Arc<Recording>, clock: ScaledClock, faults: u8, seed: u64) -> std::io::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = format!("http://{}", listener.local_addr()?);
    let dice = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (recording, clock, dice) = (recording.clone(), clock.clone(), dice.clone());
            std::thread::spawn(move || {
                let fault = dice.lock().ok().and_then(|mut dice| (dice.u8(0..100) < faults).then(|| dice.u8(0..6)));
                // A client that went away is its own affair.
                let _ = respond(stream, &recording, &clock, fault);
            });
        }
    });
    Ok(address)
}

fn respond(mut stream: TcpStream, recording: &Recording, clock: &ScaledClock, fault: Option<u8>) -> std::io::Result<()> {
    if fault == Some(0) {
        return Ok(());
    }
    let mut head = BufReader::new((&stream).take(16 << 10));
    let mut request = String::new();
    head.read_line(&mut request)?;
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    drop(head);
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let (status, body) = match recording.answer(&path, clock.feed_time()) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", String::new()),
    };
    let (status, body) = match fault {
        Some(1) => ("500 Internal Server Error", String::new()),
        Some(2) => ("200 OK", "<html><body>Please sign in to the network</body></html>".to_owned()),
        _ => (status, body),
    };
    // Truncated: the length is that of half the JSON, so that only its reader notices.
    let whole = if fault == Some(3) {
        &body[..(0..=body.len() / 2).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0)]
    } else {
        &body
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", whole.len())?;
    match fault {
        // Reset in the middle of the body.
        Some(4) => stream.write_all(&whole.as_bytes()[..whole.len() / 3]),
        Some(5) => {
            std::thread::sleep(Duration::from_secs(2));
            stream.write_all(whole.as_bytes())
        }
        _ => stream.write_all(whole.as_bytes()),
    }
}
