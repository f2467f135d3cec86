//! What would run when: a rehearsal of the jobs, without their commands, on a clock that is moved from one to the next.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use parking_lot::Mutex;
use punctual::{Error, JobHandle, ManualClock, Schedule, Scheduler, StartsOn, Zone};

use crate::files::{Found, Read};
use crate::log::Shown;

type Runs = Arc<Mutex<Vec<(DateTime<Utc>, usize)>>>;

/// The scheduler's, which jobs have that name none.
pub fn zone(zone: Option<Tz>) -> Zone {
    zone.map_or(Zone::LOCAL, Zone::from)
}

struct Rehearsal {
    scheduler: Scheduler,
    clock: ManualClock,
    /// `None` for those that are disabled.
    jobs: Vec<Option<JobHandle>>,
    /// When which ran; emptied as they are printed.
    runs: Runs,
}

impl Rehearsal {
    fn new(found: &[&Found], shown: Shown, from: DateTime<Utc>) -> Result<Rehearsal, Error> {
        let clock = ManualClock::new(from);
        let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(zone(shown.0)).build();
        let (runs, mut jobs) = (Runs::default(), Vec::new());
        for (place, found) in found.iter().enumerate() {
            let (runs, now) = (runs.clone(), clock.clone());
            let run = move || runs.lock().push((now.wall(), place));
            let job = &found.job;
            jobs.push(if job.disabled { None } else { Some(scheduler.schedule(job.schedule.clone()).do_(run)?) });
        }
        Ok(Rehearsal { scheduler, clock, jobs, runs })
    }

    fn take(&self) -> Vec<(DateTime<Utc>, usize)> {
        let _ = self.scheduler.run_pending();
        std::mem::take(&mut *self.runs.lock())
    }
}

/// Prints the runs from then on, for so long.
pub fn dry_run(out: &mut impl Write, read: &[Read], shown: Shown, from: DateTime<Utc>, time: Duration) -> io::Result<()> {
    let found: Vec<&Found> = read.iter().flat_map(|file| &file.jobs).collect();
    let rehearsal = Rehearsal::new(&found, shown, from).map_err(io::Error::other)?;
    let width = width(&found);
    let end = from + time;
    writeln!(out, "{} to {}, {}", shown.time(from), shown.time(end), zone_told(shown))?;
    let mut times = vec![0_u64; found.len()];
    loop {
        for (at, place) in rehearsal.take() {
            times[place] += 1;
            writeln!(out, "{}  {:<width$}  {}", shown.time(at), found[place].label, found[place].told)?;
        }
        let now = rehearsal.clock.wall();
        let Some(next) = rehearsal.scheduler.next_run().filter(|next| *next < end) else { break };
        rehearsal.clock.advance((next - now).to_std().unwrap_or_default());
    }
    let runs: u64 = times.iter().sum();
    let without: Vec<&str> = found.iter().zip(&times).filter(|(_, times)| **times == 0).map(|(job, _)| &*job.label).collect();
    writeln!(out, "runs in all: {runs}")?;
    if !without.is_empty() {
        writeln!(out, "jobs without any: {}", without.join(", "))?;
    }
    Ok(())
}

/// Prints the jobs, by file.
pub fn list(out: &mut impl Write, read: &[Read], shown: Shown, from: DateTime<Utc>) -> io::Result<()> {
    let found: Vec<&Found> = read.iter().flat_map(|file| &file.jobs).collect();
    let rehearsal = Rehearsal::new(&found, shown, from).map_err(io::Error::other)?;
    let width = width(&found);
    let mut handles = rehearsal.jobs.iter();
    for (place, file) in read.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}: {}", file.path.display(), file.form)?;
        for (found, handle) in file.jobs.iter().zip(&mut handles) {
            let job = &found.job;
            let starts = job.schedule == Schedule::reboot();
            // What only other things start is due at the end of all days.
            let on_demand = job.schedule.next_after(from).is_some_and(|next| next.year() == 2199);
            let next = match handle.as_ref().map(JobHandle::next_run) {
                None => "disabled".to_owned(),
                Some(Some(next)) if starts || on_demand && next == from => "at each start".to_owned(),
                Some(Some(next)) if !on_demand => shown.time(next),
                Some(_) => "when something starts it".to_owned(),
            };
            let indent = " ".repeat(width + 2);
            let when = if starts || on_demand { String::new() } else { format!("  {}", job.schedule.describe()) };
            writeln!(out, "  {:<width$}  {}", found.label, format!("{next:<26}{when}").trim_end())?;
            if !when.is_empty() {
                writeln!(out, "  {indent}{}", job.schedule)?;
            }
            for cause in &job.starts_on {
                match cause {
                    StartsOn::Change(path) => writeln!(out, "  {indent}also when {} changes", path.display())?,
                    StartsOn::Content(path) => writeln!(out, "  {indent}also while {} holds anything", path.display())?,
                    _ => {}
                }
            }
            if job.keep_up.is_some() {
                writeln!(out, "  {indent}again when it has ended")?;
            }
            writeln!(out, "  {indent}{}", found.told)?;
        }
        file.notes.iter().try_for_each(|note| writeln!(out, "  note: {note}"))?;
    }
    writeln!(out, "\nTimes are in {}.", zone_told(shown))
}

fn width(found: &[&Found]) -> usize {
    found.iter().map(|found| found.label.chars().count()).max().unwrap_or(0)
}

fn zone_told(shown: Shown) -> String {
    shown.0.map_or_else(|| "the machine's own zone".to_owned(), |zone| zone.to_string())
}
