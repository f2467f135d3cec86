//! What other schedulers' files say, as jobs: crontabs, launchd's property lists, systemd's timers. Leaves: each reads text
//! and makes [`ImportedJob`]s, and knows of the scheduler only how a job is registered.
//!
//! Nothing is dropped in silence: what a file says and a job cannot carry is a [`Note`].

#[cfg(feature = "systemd")]
mod systemd;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::command::Command;
use crate::policy::{Missed, Overlap};
use crate::schedule::Schedule;

#[cfg(feature = "systemd")]
pub use systemd::Units;

/// What was found in one file or more.
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
    /// What becomes of an occurrence that comes while it runs: its system's rule.
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
