//! Files by date: each is there when it is whole, and not before.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Days, NaiveDate, Utc};
use punctual::RunFacts;

/// How the names of files begin that are being written.
const PART: &str = ".part-";

/// The date that a run is for: when it is due, the day before is over.
pub fn date(due: DateTime<Utc>) -> NaiveDate {
    due.date_naive() - Days::new(1)
}

/// The files that a step makes, one for each date.
#[derive(Debug, Clone)]
pub struct Dated {
    folder: PathBuf,
    name: &'static str,
}

impl Dated {
    pub fn new(folder: &Path, name: &'static str) -> Self {
        Dated { folder: folder.to_owned(), name }
    }

    fn of(&self, run: &RunFacts) -> PathBuf {
        self.folder.join(format!("{}-{}", date(run.due), self.name))
    }

    /// Looks for a run's file.
    pub fn find(&self) -> impl Fn(&RunFacts) -> io::Result<Option<PathBuf>> + use<> {
        let files = self.clone();
        move |run| {
            let file = files.of(run);
            Ok(file.try_exists()?.then_some(file))
        }
    }

    /// Writes a run's file.
    ///
    /// It gets its name once its content is on the disk. If the power goes before the name is, the file is missing, and the
    /// step is done again.
    pub fn write(&self, run: &RunFacts, content: &[u8]) -> io::Result<PathBuf> {
        let file = self.of(run);
        let mut part = tempfile::Builder::new().prefix(PART).tempfile_in(&self.folder)?;
        part.write_all(content)?;
        part.as_file().sync_all()?;
        part.persist(&file)?;
        Ok(file)
    }
}

/// Makes the folder ready: a program that was killed could not take away what it was writing.
pub fn prepare(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PART) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
