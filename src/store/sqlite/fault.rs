//! What went wrong, before it is said of which file.

use rusqlite::{ErrorCode, ffi};

use crate::store::StoreError;

#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite refused.
    Sqlite(rusqlite::Error),
    /// What is there is not what was written.
    Damaged(String),
    /// It is known already what to say.
    Said(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

impl Fault {
    pub(super) fn of(self, path: &str) -> StoreError {
        let path = path.to_owned();
        match self {
            Fault::Said(error) => error,
            Fault::Damaged(what) => StoreError::Damaged { path, what },
            Fault::Sqlite(error) => of_sqlite(&error, path),
        }
    }

    /// Whether SQLite could not open the file, or one of those beside it.
    pub(super) fn is_cannot_open(&self) -> bool {
        matches!(self, Fault::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen))
    }
}

fn of_sqlite(error: &rusqlite::Error, path: String) -> StoreError {
    let what = error.to_string();
    let Some(code) = error.sqlite_error() else {
        // A value of another type than was written.
        return StoreError::Damaged { path, what };
    };
    match code.code {
        _ if code.extended_code == ffi::SQLITE_READONLY_DBMOVED => StoreError::Replaced { path },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy { path },
        ErrorCode::DiskFull => StoreError::Full { path },
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreError::ReadOnly { path },
        ErrorCode::NotADatabase => StoreError::NotADatabase { path },
        // The last is also what is said of tables and columns that are missing.
        ErrorCode::DatabaseCorrupt | ErrorCode::Unknown => StoreError::Damaged { path, what },
        _ => StoreError::Io { path, what },
    }
}

/// What the file system says of a file that it does not let be created.
pub(super) fn of_io(error: &std::io::Error, path: &str) -> StoreError {
    let path = path.to_owned();
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full { path },
        _ => StoreError::Io { path, what: error.to_string() },
    }
}
