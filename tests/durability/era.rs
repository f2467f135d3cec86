//! An era of a job: a stretch in which its occurrences lie on one grid or calendar, and what was done about each of them.

use chrono::DateTime;

use crate::log::{At, nanos};
use crate::table::{Rule, When};

pub type Verdict = Result<(), String>;

pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// What a job has done about one stretch of occurrences.
#[derive(Debug, Clone)]
pub struct Item {
    pub first: i64,
    pub last: i64,
    /// The run's number; 0 for what was dropped.
    pub run: u64,
    pub life: usize,
    /// Whether that is known to the next process.
    pub kept: bool,
}

#[derive(Debug, Clone)]
pub struct Era {
    pub rule: Rule,
    /// From when its occurrences count.
    pub begin: Option<i64>,
    /// Of an interval whose clock was set back while it was off: its first occurrence is no later than this.
    pub no_later: i64,
    /// The least that the wall clock has shown, and whether it was set back.
    pub least: i64,
    pub set_back: bool,
    /// When it began.
    pub born: At,
    pub items: Vec<Item>,
    pub resumed: Vec<i64>,
    /// How many runs it had, with the eras before by the same registration.
    pub runs: u32,
    pub registration: u64,
    /// A run besides the schedule is to come.
    pub by_hand: bool,
}

impl Era {
    pub fn new(rule: Rule, begin: i64, born: At) -> Self {
        let (items, resumed) = (Vec::new(), Vec::new());
        let (no_later, least, begin) = (i64::MAX, begin, Some(begin));
        let registration = born.turn;
        Era { rule, begin, no_later, least, set_back: false, born, items, resumed, runs: 0, registration, by_hand: false }
    }

    /// What is not kept is not known to the next process, nor then where its occurrences lie.
    pub fn forget(&mut self) {
        self.items.retain(|item| item.kept);
        self.begin = self.begin.filter(|_| self.no_later == i64::MAX || !self.items.is_empty());
    }

    /// After the clock was set back, where its occurrences lie is known by the first.
    pub fn settle(&mut self, first: i64) -> Verdict {
        if self.begin.is_none() {
            let resumed = self.resumed.iter().max().map_or(i64::MIN, |at| at + self.rule.length());
            let late = first.saturating_sub(self.no_later.max(resumed));
            ensure(late <= 0, || format!("the first after the clock was set back came {late} too late"))?;
            self.begin = Some(first - self.rule.length());
        }
        Ok(())
    }

    pub fn next(&self, after: i64) -> Option<i64> {
        match &self.rule.when {
            When::Every(period) => {
                let begin = self.begin?;
                Some(begin + ((after - begin).div_euclid(*period) + 1).max(1) * period)
            }
            When::After(delay) => Some(self.begin? + delay).filter(|at| *at > after),
            When::Once(at) => Some(*at).filter(|at| *at > after),
            When::Wall(schedule) => schedule.next_after(DateTime::from_timestamp_nanos(after)).map(|at| nanos(&at)),
        }
    }

    /// How many occurrences lie in a closed range.
    pub fn count(&self, first: i64, last: i64) -> u64 {
        if last < first {
            return 0;
        }
        match &self.rule.when {
            When::Every(period) => {
                let begin = self.begin.unwrap_or(first);
                let (to, from) = ((last - begin).div_euclid(*period), (first - 1 - begin).div_euclid(*period));
                (to.max(0) - from.max(0)) as u64
            }
            When::After(_) | When::Once(_) => u64::from(self.next(first - 1).is_some_and(|at| at <= last)),
            When::Wall(schedule) => {
                // Short ones one by one.
                let (mut at, mut count) = (first - 1, 0);
                while let Some(next) = self.next(at).filter(|next| *next <= last) {
                    (at, count) = (next, count + 1);
                    if count == 300 {
                        let at = |at| DateTime::from_timestamp_nanos(at);
                        return schedule.count_between(at(first - 1), at(last));
                    }
                }
                count
            }
        }
    }

    /// The last of so many occurrences from one on.
    pub fn last_of(&self, first: i64, count: u64) -> i64 {
        if let When::Every(period) = self.rule.when {
            return first + (count as i64 - 1) * period;
        }
        let (mut before, mut enough) = (first - 1, i64::MAX / 2);
        if count < 50 {
            let mut at = first;
            for _ in 1..count {
                at = self.next(at).unwrap_or(i64::MAX);
            }
            return at;
        }
        while enough - before > 1 {
            let middle = before + (enough - before) / 2;
            if self.count(first, middle) >= count { enough = middle } else { before = middle }
        }
        enough
    }

    /// Whether all occurrences are accounted for, up to `here` if it is given.
    pub fn judge(&mut self, here: Option<i64>, ends: bool) -> Result<(), String> {
        self.items.sort_by_key(|item| (item.first, item.last));
        let items = self.items.clone();
        let Some(begin) = self.begin else { return Ok(()) };
        let mut covered = begin;
        let mut run_until = i64::MIN;
        let mut before: Option<&Item> = None;
        for item in &items {
            if item.run > 0 && item.first <= run_until {
                return Err(format!("twice: {item:?} after {before:?}"));
            }
            let expected = self.next(covered);
            let overlaps = before.is_some_and(|before| before.last >= item.first);
            if overlaps {
                let apart = before.is_some_and(|before| before.life != item.life) || self.set_back || !self.resumed.is_empty();
                if !apart {
                    return Err(format!("counted twice: {item:?} after {before:?}"));
                }
            } else if item.first <= begin {
                if item.first <= self.least {
                    return Err(format!("before its time: {item:?}, from {begin}"));
                }
            } else if expected != Some(item.first) {
                let excused = self.resumed.iter().any(|resumed| self.next(*resumed).is_some_and(|next| next >= item.first));
                if !excused || expected > Some(item.first) {
                    return Err(format!("{item:?} came after {before:?}, expected was {expected:?}"));
                }
            }
            covered = covered.max(item.last);
            if item.run > 0 {
                run_until = run_until.max(item.last);
            }
            if before.is_none_or(|before| before.last < item.last) {
                before = Some(item);
            }
        }
        let Some(here) = here.filter(|_| !ends) else { return Ok(()) };
        let next = self.next(covered);
        let excused = |next: i64| self.resumed.iter().any(|resumed| self.next(*resumed).is_none_or(|after| after > next));
        match next.filter(|next| *next <= here && !excused(*next)) {
            Some(next) => Err(format!("lost: {} since {next} are not accounted for", self.count(next, here))),
            None => Ok(()),
        }
    }
}
