//! Where the data and the schedule are: a file that was named, or one that goes with the program.

use std::path::{Path, PathBuf};

pub struct Place {
    file: PathBuf,
    /// Goes at the end.
    folder: Option<PathBuf>,
}

impl Place {
    pub fn new(named: Option<&Path>) -> std::io::Result<Place> {
        if let Some(file) = named {
            return Ok(Place { file: file.to_owned(), folder: None });
        }
        let folder = std::env::temp_dir().join(format!("ingestion_runner-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Place { file: folder.join("quakes.db"), folder: Some(folder) })
    }

    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
