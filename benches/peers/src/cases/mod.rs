//! The rows of the table. Each says who has such work.

mod background;
mod changes;
mod cron;
mod floors;
mod heap;
mod polls;
mod rests;
mod threads;

pub use polls::{firing, idle};

use crate::measure::Case;

/// What the cases are made for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The large cases are made smaller, so that all of them take a minute or two.
    pub quick: bool,
    /// A Python that has `schedule` and APScheduler.
    pub python: Option<String>,
}

impl Options {
    /// A million, or what stands for it when time is short.
    fn million(&self) -> usize {
        if self.quick { 100_000 } else { 1_000_000 }
    }
}

pub fn all(options: &Options) -> Vec<Case> {
    let mut cases = polls::cases(options);
    cases.extend(changes::cases(options));
    cases.extend(heap::cases(options));
    cases.extend(cron::cases());
    cases.extend(rests::cases());
    cases.extend(threads::cases());
    cases.extend(background::cases());
    cases
}

/// 10,000 for people.
pub(crate) fn many(jobs: usize) -> String {
    let digits = jobs.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}
