//! launchd's property lists, in XML and binary.

use punctual::PropertyList;

use super::{Fate, units};

pub fn list(bytes: &[u8]) -> Result<Fate, String> {
    let import = PropertyList::new(bytes).named("a.plist").read();
    if let Some(note) = import.notes.iter().find(|note| note.place.line.is_some() || note.place.column.is_some()) {
        return Err(format!("a note says where it is in the file, which nothing knows: {note}"));
    }
    units::jobs(&import)?;
    match import.jobs.len() {
        0 if import.notes.is_empty() => Err("there is no job, and nothing is said".to_owned()),
        0 => Ok(Fate::Refused),
        1 => Ok(Fate::Taken),
        jobs => Err(format!("{jobs} jobs of one list")),
    }
}
