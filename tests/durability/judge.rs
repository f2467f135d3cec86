//! What a machine's life has to show: the rules of the documentation, held against what the jobs wrote down, what was told and
//! what is on the disk in the end.
//!
//! Nothing of the scheduler is used but `Schedule`, for calendars. The rules:
//!
//! - Time between two lives is what the wall clock says since the last record. A step that a poll saw and could write is no
//!   such time. If the clock shows less than the record knows, no time has passed: an interval's next occurrence comes
//!   within one period.
//! - Occurrences come in *eras*. One begins when a job is registered anew, by another schedule, or follows the clock anew after
//!   it was set back by more than a day. Within an era each occurrence is in one run, or was told as dropped, in order and
//!   without a gap, up to its end. In the last era that goes up to the last poll. What lies before an instant at which a paused
//!   job was let go on may be left out.
//! - What a process did that it could not write is not known to the next one: an era that it began, what it dropped. Only a job
//!   that runs without its store may have run so.
//! - A run's number is its own, its attempts count on from life to life, each is made once. A run that had started and was not
//!   seen to end is told once, and is run again only at least once.

use punctual::{HistoryQuery, MemoryStore, RunEnd, RunRecord, RunState, Store};

use crate::case::Case;
use crate::era::ensure;
use crate::log::{Line, What};
use crate::table::{Job, Rule};

/// Holds the log of a machine, and its disk, against the rules.
pub fn judge(jobs: &[Job], log: &[Line], disk: &MemoryStore, rules: &dyn Fn(usize, usize) -> Option<Rule>) -> Result<(), String> {
    let mut cases: Vec<Case> = jobs.iter().map(Case::new).collect();
    let print = std::env::var("PUNCTUAL_LOG").is_ok();
    // What befell one job, up to the line that shows it.
    let story = |place: usize, until: usize| {
        if print {
            println!("{:#?}", jobs[place]);
            let all = |what: &What| matches!(what, What::Boot | What::SetBack | What::Over);
            let those = log[..=until]
                .iter()
                .filter(|line| line.job == place && !matches!(line.what, What::Written | What::Polled) || all(&line.what));
            those.for_each(|line| println!("{line}"));
        }
    };
    for (number, line) in log.iter().enumerate() {
        let all = matches!(line.what, What::Boot | What::Polled | What::Written | What::SetBack | What::Over);
        let those = if all { 0..jobs.len() } else { line.job..line.job + 1 };
        for place in those {
            let rule = rules(place, line.at.life);
            cases[place]
                .take(line.at, &line.what, rule.as_ref())
                .inspect_err(|_| story(place, number))
                .map_err(|what| format!("life {}, {}: {what}", line.at.life, jobs[place].names[0]))?;
        }
        let followers = jobs.iter().zip(&mut cases).filter(|(job, _)| job.follows.is_some_and(|(before, _)| before == line.job));
        for (_, case) in followers {
            match &line.what {
                What::Began { run, .. } => case.followed.began(run.number, run.due),
                What::Finished { number, failed: false, .. } => case.followed.went_well(*number, line.at),
                _ => {}
            }
        }
    }
    let at = log.last().map(|line| line.at).unwrap_or_default();
    let open = |job: &Job| {
        disk.load(name_of(disk, job)?).map(|job| job.map_or(Vec::new(), |job| job.open)).map_err(|error| error.to_string())
    };
    for (place, (case, job)) in cases.iter_mut().zip(jobs).enumerate() {
        let (history, open) = (history_of(disk, job)?, open(job)?);
        let closed = case.close(at, &history, &open).inspect_err(|_| story(place, log.len() - 1));
        closed.map_err(|what| format!("{}: {what}", job.names[0]))?;
        // Each success is followed once.
        if let Some((before, _)) = job.follows.filter(|_| case.registered_in == at.life) {
            let is_done = |run: &&RunRecord| matches!(run.state, RunState::Ended { end: RunEnd::Done, .. });
            let all = history_of(disk, &jobs[before])?;
            let mut done: Vec<u64> = all.iter().filter(is_done).map(|run| run.number).collect();
            let mut followed: Vec<u64> = history.iter().chain(&open).flat_map(|run| &run.follows).map(|run| run.number).collect();
            done.retain(|number| !case.followed.was_stale(*number) || followed.contains(number));
            done.sort_unstable();
            followed.sort_unstable();
            if done != followed {
                story(before, log.len() - 1);
                story(place, log.len() - 1);
            }
            ensure(done == followed, || {
                let twice: Vec<&u64> = followed.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).collect();
                let lost: Vec<&u64> = done.iter().filter(|number| !followed.contains(number)).collect();
                format!("{}: of {} successes {lost:?} were not followed, {twice:?} twice", job.names[0], done.len())
            })?;
        }
    }
    Ok(())
}

/// Under its last name, unless the last release did not get to write it.
fn history_of(disk: &MemoryStore, job: &Job) -> Result<Vec<RunRecord>, String> {
    let name = name_of(disk, job)?;
    let query = HistoryQuery { job: Some(name.into()), most: usize::MAX, ..HistoryQuery::default() };
    disk.history(&query).map_err(|error| error.to_string())
}

fn name_of<'a>(disk: &MemoryStore, job: &'a Job) -> Result<&'a str, String> {
    let names = disk.names().map_err(|error| error.to_string())?;
    Ok(job.names.iter().rev().find(|name| names.contains(name)).map_or(job.name(), |name| name))
}
