//! The parsers of text from outside, and what must hold of each whatever it is given.
//!
//! The laws are written once: `tests/fuzzed.rs` holds them against mutations on stable Rust, the targets of `fuzz/` against what
//! libFuzzer finds. A law says what became of a text, or which rule is broken; panics are for its caller to notice.
//!
//! Left out: rows of SQLite files, which nothing reaches before their checksums hold (`tests/store_damage.rs` damages them),
//! and what the system itself says (`/proc`, users, environment).

pub mod commands;
pub mod crontabs;
pub mod lists;
pub mod records;
pub mod schedules;
pub mod seeds;
pub mod texts;
pub mod units;

use std::path::Path;

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was read, or a part of it.
    Taken,
    /// It was refused, with a reason.
    Refused,
}

pub type Law = fn(&[u8]) -> Result<Fate, String>;

/// A parser and what must hold of it.
pub struct Target {
    pub name: &'static str,
    pub law: Law,
    /// Texts to begin with, from the folder of the library.
    pub seeds: fn(&Path) -> Vec<Vec<u8>>,
}

pub const TARGETS: [Target; 12] = [
    Target { name: "schedule", law: texts::schedule, seeds: seeds::schedules },
    Target { name: "cron", law: texts::cron, seeds: seeds::cron },
    Target { name: "calendar", law: texts::calendar, seeds: seeds::calendar },
    Target { name: "zone", law: texts::zone, seeds: seeds::zones },
    Target { name: "time", law: texts::time, seeds: seeds::times },
    Target { name: "crontab", law: crontabs::crontab, seeds: seeds::crontabs },
    Target { name: "unit", law: units::unit, seeds: seeds::units },
    Target { name: "span", law: units::span, seeds: seeds::spans },
    Target { name: "exec", law: units::exec, seeds: seeds::lines },
    Target { name: "list", law: lists::list, seeds: seeds::lists },
    Target { name: "command", law: commands::command, seeds: seeds::commands },
    Target { name: "record", law: records::record, seeds: seeds::records },
];

/// An error for people says something, in one line that does nothing to a terminal.
fn says(error: &impl std::fmt::Display) -> Result<(), String> {
    let said = error.to_string();
    let is_fine = !said.trim().is_empty() && !said.contains(char::is_control);
    if is_fine { Ok(()) } else { Err(format!("an error says {said:?}")) }
}

/// A character as errors show it.
fn shown(letter: char) -> String {
    if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() }
}
