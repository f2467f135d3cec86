//! Which job.

use std::fmt;

/// Which job: unlike any other of its scheduler, now or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    pub(crate) order: u64,
    pub(crate) slot: u32,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.order, f)
    }
}

/// A job as texts name it.
pub(crate) fn label(id: JobId, name: Option<&str>) -> String {
    name.map_or_else(|| format!("job {id}"), str::to_owned)
}
