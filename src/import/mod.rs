//! What other schedulers' files say, as jobs: crontabs, launchd's property lists, systemd's timers. Leaves: each reads text
//! and makes [`ImportedJob`]s, and knows of the scheduler only how a job is registered.
//!
//! Nothing is dropped in silence: what a file says and a job cannot carry is a [`Note`].

#[cfg(feature = "crontab")]
mod crontab;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "crontab")]
pub use crontab::{CronEnvironment, Crontab};

use crate::command::{Command, Finished};
use crate::error::Error;
use crate::job::JobHandle;
use crate::policy::{Missed, Overlap};
use crate::schedule::Schedule;
use crate::scheduler::Scheduler;

/// What was found in one file or more.
///
/// ```
/// # #[cfg(feature = "crontab")] {
/// use punctual::{Crontab, NoteKind, Scheduler};
///
/// let import = Crontab::user("MAILTO=joe\n30 2 * * * tidy-up\n70 * * * * refresh\n").named("joe").read();
/// let notes: Vec<String> = import.notes.iter().map(ToString::to_string).collect();
/// assert_eq!(notes[1], "joe:3:1: refused: minute `70` at column 1: 0 to 59 is the range; write a number in it");
///
/// let scheduler = Scheduler::new();
/// let jobs = import.register(&scheduler)?;
/// assert_eq!(jobs[0].name().as_deref(), Some("joe:2"));
/// # }
/// # Ok::<(), punctual::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Import {
    /// In the order of the files.
    pub jobs: Vec<ImportedJob>,
    /// What was changed, could not be carried, or could not be read.
    pub notes: Vec<Note>,
}

/// One job of another scheduler's.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportedJob {
    /// Unique among those of its file: the label, the unit's name, or the file's name and the line.
    pub name: String,
    /// Where it comes from.
    pub place: Place,
    /// When it runs.
    pub schedule: Schedule,
    /// What it runs.
    pub command: Command,
    /// What becomes of missed occurrences: its system's rule.
    pub missed: Missed,
    /// How late a run may still start, if its system has a bound.
    pub grace: Option<Duration>,
    /// What becomes of an occurrence that comes while it runs.
    pub overlap: Overlap,
    /// How long a run may take.
    pub timeout: Option<Duration>,
    /// Whether its file says that it is not to run.
    pub disabled: bool,
}

/// A place in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The file, as it was named.
    pub file: PathBuf,
    /// From 1; `None` if it is about the file as a whole.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
}

/// Something that a reader of the file would want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// Where.
    pub place: Place,
    /// What became of it.
    pub kind: NoteKind,
    /// One sentence: what was given, and what becomes of it.
    pub text: String,
}

/// What became of something that a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoteKind {
    /// It is carried in another way than the file's own system has it.
    Changed,
    /// It says something that a job cannot carry; the job is taken without it.
    NotCarried,
    /// It cannot be read, or says nothing that could run: no job was made of it.
    Refused,
}

impl Import {
    /// Registers the jobs, but for those that their file disables. If one is refused, none stays registered.
    ///
    /// Each has its [`name`](ImportedJob::name), and the name of its file as a tag: once a file has changed,
    /// [`clear_tagged`](Scheduler::clear_tagged) takes its jobs away, and reading it anew brings them back.
    ///
    /// # Errors
    ///
    /// As [`When::do_command`](crate::When::do_command).
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
    /// Registers it, also if its file disables it.
    ///
    /// # Errors
    ///
    /// As [`When::do_command`](crate::When::do_command).
    pub fn register<C: 'static>(&self, scheduler: &Scheduler<C>) -> Result<JobHandle<Finished>, Error> {
        let when = scheduler.schedule(self.schedule.clone()).named(&self.name).tag(self.place.file.display().to_string());
        let when = when.missed(self.missed).overlap(self.overlap);
        let when = match self.grace {
            Some(grace) => when.grace(grace),
            None => when,
        };
        let when = match self.timeout {
            Some(timeout) => when.timeout(timeout),
            None => when,
        };
        when.do_command(self.command.clone())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            NoteKind::Changed => "changed",
            NoteKind::NotCarried => "not carried",
            NoteKind::Refused => "refused",
        };
        write!(f, "{}: {kind}: {}", self.place, self.text)
    }
}
