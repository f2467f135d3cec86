//! The clock by which holds run out.

use std::sync::Arc;

use crate::clock::Clock;
use crate::schedule::{length, to_nanos};

/// Where the time is counted from, if no clock but the wall's can be had.
const WALL: &str = "wall";

#[derive(Clone)]
pub(super) struct Holds {
    clock: Arc<dyn Clock>,
    boot: Arc<str>,
}

/// An instant, in nanoseconds since the boot that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time<'a> {
    pub(super) at: i64,
    pub(super) boot: &'a str,
}

impl Holds {
    pub(super) fn new(clock: Arc<dyn Clock>, boot: Option<Arc<str>>) -> Self {
        Holds { clock, boot: boot.unwrap_or_else(|| this_boot().into()) }
    }

    pub(super) fn now(&self) -> Time<'_> {
        match self.clock.boot() {
            Some(time) => Time { at: length(time), boot: &self.boot },
            None => Time { at: self.wall(), boot: WALL },
        }
    }

    /// The wall clock's time, in nanoseconds since 1970 UTC.
    pub(super) fn wall(&self) -> i64 {
        to_nanos(&self.clock.wall())
    }
}

impl std::fmt::Debug for Holds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holds").field("boot", &self.boot).finish_non_exhaustive()
    }
}

/// A name for the time between two boots of the machine; empty where it has none.
fn this_boot() -> String {
    let text =
        if cfg!(target_os = "linux") { std::fs::read_to_string("/proc/sys/kernel/random/boot_id") } else { Ok(String::new()) };
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}
