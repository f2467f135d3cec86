//! What can be asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::{ArgGroup, Parser};

/// Runs the jobs of crontabs, launchd's property lists and systemd's timers, in the foreground: for containers and laptops.
///
/// What ends in `.plist` is a property list, what ends in `.timer` a timer, whose service is looked for beside it; all else is
/// a crontab. A line that cannot be read is said, with the reason, and the others run.
///
/// Each run is told when it has ended, with what it wrote (`|`) and what it complained of (`!`), up to 64 KiB of each.
#[derive(Debug, Parser)]
#[command(name = "crontab", after_help = AFTER)]
#[command(group = ArgGroup::new("look").args(["list", "dry_run", "check"]))]
pub struct Args {
    /// Crontabs, property lists, timers
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Crontabs name a user after the five fields. Without this, those do that are /etc/crontab or lie in a folder `cron.d`
    #[arg(long)]
    pub system: bool,

    /// Print the jobs, with when they run next, and run nothing
    #[arg(long)]
    pub list: bool,

    /// Print what would run within this time (90s, 30m, 24h, 7d), in order, as if each run ended at once; run nothing
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub dry_run: Option<Duration>,

    /// Print what cannot be read or carried, and run nothing
    #[arg(long)]
    pub check: bool,

    /// For --list and --dry-run: from when, instead of now
    #[arg(long, value_name = "INSTANT", requires = "look", conflicts_with = "check")]
    pub from: Option<DateTime<Utc>>,

    /// The zone of all jobs that name none, and of the times printed. The machine's own unless given
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<Tz>,

    /// Remember in this SQLite file what ran, so that what was missed while the power was off is made up for: one run for each
    /// job, however much it missed, as soon as this program starts. Cron itself forgets it, and so do lines of a crontab without
    /// this. Think of jobs that should not run at noon instead of at night. `@reboot` runs at each start all the same. Timers
    /// keep their own rule (`Persistent=`). Several such programs on one machine may have the same file: what they are given
    /// under the same path is run by one of them each time, and what one leaves that dies is taken over after 30 seconds
    #[arg(long, value_name = "FILE", conflicts_with = "look")]
    pub store: Option<PathBuf>,

    /// How long commands may go on when the program is told to end, before they are told to stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    pub grace: Duration,

    /// Let commands of crontabs find this program's environment. Without this they find what cron gives them, and
    /// `PATH=/usr/bin:/bin`
    #[arg(long)]
    pub host_env: bool,

    /// Let commands write straight to this program's output, as they go on, instead of into its log
    #[arg(long)]
    pub live: bool,

    /// Also say when runs start
    #[arg(short, long)]
    pub verbose: bool,
}

const AFTER: &str = "\
Signals:
  SIGHUP           read the files again, as is done when they have changed.
                   Jobs that are as before go on; what runs is let end, also
                   if its line is gone or is another now. A new @reboot line
                   runs at the next start
  SIGTERM, SIGINT  end: nothing starts any more, and what runs has the --grace
                   to end by itself; then it is told to stop. The second
                   signal does not wait for that

Exit status:
  0  ended in order; --list, --check, --dry-run: no line was refused
  1  a file could not be read at all, or the store not be opened, or there was
     nothing to run
  2  the command line was wrong
  3  --list, --check, --dry-run: a line was refused
  4  commands had to be stopped at the end

Examples:
  crontab my.crontab                           run it until Ctrl-C
  crontab --dry-run 24h --zone UTC my.crontab  what would run until tomorrow
  crontab --store /var/lib/jobs.db /etc/crontab /etc/cron.d/*
  crontab --list /usr/lib/systemd/system/*.timer";

fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time; write 90s, 30m, 24h or 7d");
    let (number, seconds) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}
