//! The jobs that are registered, and what becomes of them when the files have changed.
//!
//! A job whose line is gone is retired: what runs of it ends in its own time. A job that has taken its name meanwhile comes after
//! that.

use std::sync::Arc;

use punctual::{Finished, JobHandle, Schedule, Scheduler};

use crate::files::Found;
use crate::log::Log;

pub struct Jobs {
    scheduler: Scheduler,
    log: Arc<Log>,
    /// What the files say; without a handle what is disabled, or comes at the next start.
    current: Vec<(Found, Option<JobHandle<Finished>>)>,
    /// Whose last run goes on.
    retired: Vec<(Found, JobHandle<Finished>)>,
    has_started: bool,
}

impl Jobs {
    pub fn new(scheduler: Scheduler, log: Arc<Log>) -> Self {
        Jobs { scheduler, log, current: Vec::new(), retired: Vec::new(), has_started: false }
    }

    /// Takes what the files say now. Says how many jobs are new, and how many are gone.
    pub fn take(&mut self, found: Vec<Found>) -> (usize, usize) {
        let mut before = std::mem::take(&mut self.current);
        let mut new = 0;
        for found in found {
            let same = before.iter().position(|(old, _)| old.is_same(&found));
            let handle = same.and_then(|place| before.swap_remove(place).1);
            if handle.is_some() {
                self.log.know(&found.job.name, &found.label);
            }
            new += usize::from(same.is_none());
            self.current.push((found, handle));
        }
        let gone = before.len();
        for (found, handle) in before {
            if let Some(handle) = handle {
                handle.retire();
                self.retired.push((found, handle));
            }
        }
        self.settle();
        self.has_started = true;
        (new, gone)
    }

    /// Registers what can be.
    pub fn settle(&mut self) {
        self.retired.retain(|(_, handle)| handle.snapshot().is_some());
        for (found, handle) in &mut self.current {
            let name = &found.job.name;
            let comes_later = found.job.disabled || self.has_started && found.job.schedule == Schedule::reboot();
            if handle.is_some() || comes_later || self.retired.iter().any(|(old, _)| old.job.name == *name) {
                continue;
            }
            self.log.know(name, &found.label);
            match found.job.register(&self.scheduler) {
                Ok(registered) => {
                    self.log.follow(name, &registered);
                    *handle = Some(registered);
                }
                Err(error) => {
                    self.log.say(format!("{}: {error}; it does not run", found.label));
                    found.job.disabled = true;
                }
            }
        }
    }

    /// Whether any command runs.
    pub fn are_running(&self) -> bool {
        self.scheduler.jobs().iter().any(|job| job.running)
    }

    pub fn label(&self, name: Option<&str>) -> String {
        let all = self.current.iter().map(|(found, _)| found).chain(self.retired.iter().map(|(found, _)| found));
        let mut labels = all.filter(|found| Some(found.job.name.as_str()) == name).map(|found| found.label.clone());
        labels.next().unwrap_or_else(|| "a job".to_owned())
    }
}
