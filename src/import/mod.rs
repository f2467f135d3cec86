//! What other schedulers' files say, as jobs: crontabs, launchd's property lists, systemd's timers. Leaves: each reads text
//! and makes [`ImportedJob`]s, and knows of the scheduler only how a job is registered.
//!
//! Nothing is dropped in silence: what a file says and a job cannot carry is a [`Note`].

#[cfg(feature = "crontab")]
mod crontab;
#[cfg(feature = "launchd")]
mod launchd;
mod register;
#[cfg(feature = "systemd")]
mod systemd;
#[cfg(feature = "launchd")]
mod watch;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "crontab")]
pub use crontab::{CronEnvironment, Crontab};
#[cfg(feature = "launchd")]
pub use launchd::PropertyList;
#[cfg(feature = "systemd")]
pub use systemd::Units;

use crate::command::Command;
use crate::error::on_one_line;
use crate::policy::{Missed, Overlap};
use crate::schedule::Schedule;

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
    /// The least time between two starts.
    pub spacing: Option<Duration>,
    /// Whether it is started again when it has ended, and when.
    pub keep_up: Option<KeepUp>,
    /// What else starts it.
    pub starts_on: Vec<StartsOn>,
    /// Whether its file says that it is not to run.
    pub disabled: bool,
}

/// A job that is started again when it has ended, for as long as all of this holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepUp {
    /// Only after a run that failed (true), or only after one that did not (false).
    pub after_failure: Option<bool>,
    /// Only while these paths are there (true), or are not (false).
    pub paths: Vec<(PathBuf, bool)>,
}

/// What starts a job besides its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartsOn {
    /// A file or a directory is made, changed or removed, be it with the directories above it.
    Change(PathBuf),
    /// There is something in a directory: it is started again until nothing is.
    Content(PathBuf),
}

/// The schedule of a job that other things start: it is due as the last day that there is ends.
#[cfg(feature = "launchd")]
fn on_demand() -> Schedule {
    Schedule::once_at(chrono::DateTime::from_timestamp_nanos(crate::schedule::LATEST - 1))
}

impl ImportedJob {
    /// A job of which nothing is said but when it runs and what.
    pub(crate) fn new(name: String, place: Place, schedule: Schedule, command: Command) -> Self {
        ImportedJob {
            name,
            place,
            schedule,
            command,
            missed: Missed::RunOnce,
            grace: None,
            overlap: Overlap::Skip,
            timeout: None,
            spacing: None,
            keep_up: None,
            starts_on: Vec::new(),
            disabled: false,
        }
    }
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

impl Note {
    /// What it says is shown on one line, whatever the file holds.
    fn new(place: Place, kind: NoteKind, text: String) -> Note {
        Note { place, kind, text: on_one_line(&text) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&on_one_line(&self.file.display().to_string()))?;
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
