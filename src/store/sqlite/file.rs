//! The files of a store, and whether they are still those that were opened.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Where a store's files are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// As the user wrote it, for what is said.
    pub(super) said: String,
    pub(super) file: PathBuf,
    pub(super) log: PathBuf,
    pub(super) mark: PathBuf,
}

impl Place {
    /// Finds where a path leads, so that it leads there still when the program goes to another folder.
    pub(super) fn find(path: &Path) -> Result<Place, StoreError> {
        let said = path.display().to_string();
        let file = match std::fs::canonicalize(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => in_folder(path, &said)?,
            Err(error) => return Err(super::fault::of_io(&error, &said)),
        };
        let beside = |ending: &str| {
            let mut name = OsString::from(&file);
            name.push(ending);
            PathBuf::from(name)
        };
        Ok(Place { said, log: beside("-wal"), mark: beside("-mark"), file })
    }

    /// A path beside the file where nothing is, to find out whether something could be.
    pub(super) fn probe(&self) -> PathBuf {
        let mut name = OsString::from(&self.file);
        name.push("-probe");
        name.into()
    }

    pub(super) fn mark_said(&self) -> String {
        self.mark.display().to_string()
    }

    /// Whether a path leads to the file. One by another link does not: SQLite would keep another log beside it.
    pub(super) fn is_at(&self, path: &str) -> bool {
        std::fs::canonicalize(path).is_ok_and(|path| path == self.file)
    }

    /// The length of the file, 0 if there is none.
    pub(super) fn len(&self) -> Result<u64, StoreError> {
        match std::fs::metadata(&self.file) {
            Ok(data) if data.is_dir() => Err(StoreError::NotADatabase { path: self.said.clone() }),
            Ok(data) => Ok(data.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(super::fault::of_io(&error, &self.said)),
        }
    }

    /// Whether commits are in the log.
    pub(super) fn has_log(&self) -> bool {
        std::fs::metadata(&self.log).is_ok_and(|data| data.len() > 0)
    }
}

/// The path of a file that is not there, in a folder that has to be.
fn in_folder(path: &Path, said: &str) -> Result<PathBuf, StoreError> {
    let none = || StoreError::NoFolder { path: said.to_owned() };
    let name = path.file_name().ok_or_else(none)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(std::fs::canonicalize(folder).map_err(|_| none())?.join(name))
}

/// Makes sure that a new file is in its folder after a power cut.
pub(super) fn sync_folder(file: &Path) {
    // Not every file system lets a folder be synced.
    if let (true, Some(folder)) = (cfg!(unix), file.parent()) {
        let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
}

/// The files that were opened: the database and its log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity([Option<(u64, u64)>; 2]);

impl Identity {
    /// Those at a place now. On Unix device and inode tell them; elsewhere only whether they are there.
    pub(super) fn at(place: &Place) -> Identity {
        Identity([identity(&place.file), identity(&place.log)])
    }

    /// Whether the database is there.
    pub(super) fn is_there(&self) -> bool {
        self.0[0].is_some()
    }

    /// Whether the database is the same, whatever its log.
    pub(super) fn is_same_file(&self, other: &Identity) -> bool {
        self.0[0] == other.0[0]
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let data = std::fs::metadata(path).ok()?;
    Some((data.dev(), data.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}
