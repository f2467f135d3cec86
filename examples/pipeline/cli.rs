//! What can be asked for on the command line.

use std::ops::Range;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Parser;

/// Makes a report of each day's earthquakes, in three steps: extract, locate, report.
///
/// Each step leaves a file for each date, and is skipped if that is there. The earthquakes are those of a recorded week,
/// 2018-01-31 to 2018-02-06; any other date fails.
#[derive(Debug, Parser)]
#[command(name = "pipeline", after_help = EXAMPLES)]
pub struct Args {
    /// The folder for the files; made if need be. It is for one such program at a time
    pub dir: PathBuf,

    /// When the day before is made, each day, in UTC
    #[arg(long, value_name = "HH:MM", default_value = "06:00")]
    pub at: String,

    /// Make these dates too: from the first to the one before the second
    #[arg(long, value_name = "FROM..TO", value_parser = dates)]
    pub backfill: Option<Range<NaiveDate>>,

    /// Begin the backfill with its last date
    #[arg(long, requires = "backfill")]
    pub newest_first: bool,

    /// How many dates of the backfill may be under way at once
    #[arg(long, value_name = "K", default_value_t = 1, requires = "backfill", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub at_most: u32,

    /// End when the backfill is over
    #[arg(long, requires = "backfill")]
    pub once: bool,

    /// Remember in this SQLite file what was due, so that days on which the program did not run are made up for, up to 31
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  pipeline data --backfill 2018-01-31..2018-02-07 --once   the recorded week
  pipeline data --store pipeline.db                        yesterday, daily

Ctrl-C ends it once the steps that go on have ended, and the next start goes on
from there.

Exit status:
  0  no date failed
  1  a date failed, or the program could not start
  2  the command line was wrong";

fn dates(text: &str) -> Result<Range<NaiveDate>, String> {
    let parsed = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let dates = parsed.ok_or_else(|| format!("{text:?} is no range of dates; write 2018-01-31..2018-02-07"))?;
    if dates.is_empty() { Err(format!("{text:?} has no date; the second comes after the first")) } else { Ok(dates) }
}
