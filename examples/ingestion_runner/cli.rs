//! What can be asked for on the command line.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use punctual::{Durability, Schedule};

/// Ingests earthquakes every five minutes, and for each notable one looks up the airports nearby.
///
/// Without arguments it needs no network: it serves a recorded week to itself over HTTP on loopback, and lives through that
/// week at a sped-up clock. With --quakes it follows a live feed.
#[derive(Debug, Parser)]
#[command(name = "ingestion_runner", after_help = EXAMPLES)]
pub struct Args {
    /// Where the earthquakes come from: a GeoJSON feed of the USGS form, or a file. If the address holds `all_hour`, it is
    /// exchanged for `all_day` or `all_week` when more has to be caught up with
    #[arg(long, value_name = "URL|FILE")]
    pub quakes: Option<String>,

    /// Where the airports come from: CSV with the columns iata, name, latitude, longitude
    #[arg(long, value_name = "URL|FILE")]
    pub airports: Option<String>,

    /// When to ingest, in the words or cron text of `punctual`
    #[arg(long, value_name = "SCHEDULE", default_value = "5 minutes", value_parser = schedule)]
    pub every: Schedule,

    /// The SQLite file for the data and the schedule: with one that is there it goes on from where it was, however it ended. A
    /// temporary one unless given
    #[arg(long, value_name = "FILE")]
    pub db: Option<PathBuf>,

    /// What that file survives besides the end of the program: also that power is lost (`power`), or not (`process`, faster)
    #[arg(long, value_name = "LEVEL", default_value = "power", value_parser = durability)]
    pub durability: Durability,

    /// How long to go on, by the feed's clock: 90s, 30m, 1h, 7d
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    pub time: Option<TimeDelta>,

    /// Ingest once and end
    #[arg(long)]
    pub once: bool,

    /// How many times faster than real time the clock of the recording runs
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub speed: u32,

    /// The share of the recording server's answers that are faulty: refused, reset, slow, truncated, HTML, status 500
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    pub faults: u8,

    /// The seed of everything drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// When the clock of the recording begins (2018-02-02T12:00:00Z), to have been off until then. Unless given, when the last
    /// answer was asked for that the file has
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<DateTime<Utc>>,

    /// Sets the wall clock while running, to see what that does: +2h@2018-02-03T12:00:00Z. May be given several times; if the
    /// clock begins later, it is set already
    #[arg(long, value_name = "STEP@INSTANT", value_parser = step, allow_hyphen_values = true)]
    pub set_clock: Vec<(TimeDelta, DateTime<Utc>)>,
}

const EXAMPLES: &str = "Examples:
  ingestion_runner                             the recorded week in half a minute
  ingestion_runner --faults 20%                the same over a bad line
  ingestion_runner --db quakes.db --for 2d     two days of it, kept in a file; again, the next two, also after kill -9
  ingestion_runner --quakes https://earthquake.usgs.gov/earthquakes/feed/v1.0/summary/all_hour.geojson --db quakes.db
                                               the live feed, until Ctrl-C

Ctrl-C ends it with a summary and exit status 0.";

fn schedule(text: &str) -> Result<Schedule, String> {
    let whole = if text.starts_with(|c: char| c.is_ascii_digit()) { format!("every {text}") } else { text.to_owned() };
    whole.parse().map_err(|error: punctual::Error| error.to_string())
}

fn span(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("{text:?} is no length of time; write 90s, 30m, 1h or 7d");
    let (number, seconds) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => return Err(wrong()),
    };
    let number: i64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).and_then(TimeDelta::try_seconds).ok_or_else(wrong)
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    number.parse().ok().filter(|n| *n <= 100).ok_or_else(|| format!("{text:?} is no share; write 0% to 100%"))
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "power" => Ok(Durability::Power),
        "process" => Ok(Durability::Process),
        _ => Err(format!("{text:?} is no level; write power or process")),
    }
}

fn step(text: &str) -> Result<(TimeDelta, DateTime<Utc>), String> {
    let wrong = || format!("{text:?} is no clock step; write +2h@2018-02-03T12:00:00Z");
    let (by, at) = text.split_once('@').ok_or_else(wrong)?;
    Ok((span(by.strip_prefix('+').unwrap_or(by))?, at.parse().map_err(|_| wrong())?))
}
