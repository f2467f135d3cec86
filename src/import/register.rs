//! How jobs of other schedulers' files become jobs: what they say, in the words of this one.

use crate::command::Finished;
use crate::error::Error;
use crate::job::JobHandle;
use crate::scheduler::Scheduler;

use super::{Import, ImportedJob};

impl Import {
    /// Registers the jobs, but for those that their file disables. If one is refused, none stays registered.
    ///
    /// Each has its [`name`](ImportedJob::name), and the name of its file as a tag: once a file has changed,
    /// [`clear_tagged`](Scheduler::clear_tagged) takes its jobs away, and reading it anew brings them back.
    ///
    /// # Errors
    ///
    /// As [`ImportedJob::register`].
    pub fn register<C: 'static>(&self, scheduler: &Scheduler<C>) -> Result<Vec<JobHandle<Finished>>, Error> {
        let mut handles: Vec<JobHandle<Finished>> = Vec::new();
        for job in self.jobs.iter().filter(|job| !job.disabled) {
            match job.register(scheduler) {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    for handle in handles {
                        handle.cancel();
                    }
                    return Err(error);
                }
            }
        }
        Ok(handles)
    }
}

impl ImportedJob {
    /// Registers it, also if its file disables it. If it is kept up or started by files, there is a second job, which looks
    /// after each of its runs whether it is to start again.
    ///
    /// # Errors
    ///
    /// As [`When::do_command`](crate::When::do_command); with the feature `launchd`, [`Error::Watch`] if it starts on a path
    /// that cannot be watched.
    pub fn register<C: 'static>(&self, scheduler: &Scheduler<C>) -> Result<JobHandle<Finished>, Error> {
        let mut when = scheduler.schedule(self.schedule.clone()).named(&self.name).tag(self.tag());
        when = when.missed(self.missed).overlap(self.overlap);
        if let Some(grace) = self.grace {
            when = when.grace(grace);
        }
        if let Some(timeout) = self.timeout {
            when = when.timeout(timeout);
        }
        if let Some(spacing) = self.spacing {
            when = when.spacing(spacing);
        }
        #[cfg(feature = "launchd")]
        if self.keep_up.is_some() || !self.starts_on.is_empty() {
            return super::watch::register(self, scheduler, when);
        }
        when.do_command(self.command.clone())
    }

    pub(super) fn tag(&self) -> String {
        self.place.file.display().to_string()
    }
}
