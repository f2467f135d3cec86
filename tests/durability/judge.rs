//! What a machine's life has to show: the rules of the documentation, held against what the jobs wrote down, what was told and
//! what is on the disk in the end.
//!
//! Nothing of the scheduler is used but `Schedule`, for calendars. The rules:
//!
//! - Time between two lives is what the wall clock says since the last record. A step that a poll saw and could write is no
//!   such time. If the clock shows less than the record knows, no time has passed: an interval's next occurrence comes
//!   within one period.
//! - Occurrences come in *eras*. One begins when a job is registered anew, by another schedule, or follows the clock anew after
//!   it was set back by more than a day. Within an era each occurrence is in one run, or was told as dropped, in order and
//!   without a gap, up to its end. In the last era that goes up to the last poll. What lies before an instant at which a paused
//!   job was let go on may be left out.
//! - What a process did that it could not write is not known to the next one: an era that it began, what it dropped. Only a job
//!   that runs without its store may have run so.
//! - A run's number is its own, its attempts count on from life to life, each is made once. A run that had started and was not
//!   seen to end is told once, and is run again only at least once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use punctual::{DropReason, HistoryQuery, JobRecord, MemoryStore, Missed, OnChange, RunEnd, RunRecord, RunState, Store};

use crate::machine::{At, Called, Line, What, nanos};
use crate::table::{Job, MINUTE, Rule, When};

/// What a job has done about one stretch of occurrences.
#[derive(Debug, Clone)]
struct Item {
    first: i64,
    last: i64,
    /// The run's number; 0 for what was dropped.
    run: u64,
    life: usize,
    /// Whether that is known to the next process.
    kept: bool,
}

#[derive(Debug, Clone)]
struct Era {
    rule: Rule,
    /// From when its occurrences count.
    begin: Option<i64>,
    /// Of an interval whose clock was set back while it was off: its first occurrence is no later than this.
    no_later: i64,
    /// The least that the wall clock has shown, and whether it was set back.
    least: i64,
    set_back: bool,
    /// When it began.
    born: At,
    items: Vec<Item>,
    resumed: Vec<i64>,
    runs: u32,
    /// A run besides the schedule is to come.
    by_hand: bool,
}

impl Era {
    fn new(rule: Rule, begin: i64, born: At) -> Self {
        let (items, resumed) = (Vec::new(), Vec::new());
        let (no_later, least, begin) = (i64::MAX, begin, Some(begin));
        Era { rule, begin, no_later, least, set_back: false, born, items, resumed, runs: 0, by_hand: false }
    }

    /// After the clock was set back, where its occurrences lie is known by the first.
    fn settle(&mut self, first: i64) -> Verdict {
        if self.begin.is_none() {
            let resumed = self.resumed.iter().max().map_or(i64::MIN, |at| at + self.rule.length());
            let late = first.saturating_sub(self.no_later.max(resumed));
            ensure(late <= 0, || format!("the first after the clock was set back came {late} too late"))?;
            self.begin = Some(first - self.rule.length());
        }
        Ok(())
    }

    fn next(&self, after: i64) -> Option<i64> {
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
    fn count(&self, first: i64, last: i64) -> u64 {
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
    fn last_of(&self, first: i64, count: u64) -> i64 {
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
    fn judge(&mut self, here: Option<i64>, ends: bool) -> Result<(), String> {
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

#[derive(Debug, Clone)]
struct Run {
    first: i64,
    due: i64,
    folded: u64,
    follows: Vec<u64>,
    /// It was dropped as it was to be run again.
    given_up: bool,
}

/// A job, as far as it is followed.
struct Case<'a> {
    job: &'a Job,
    eras: Vec<Era>,
    pending: Option<Era>,
    /// What is added to elapsed time to compare it from life to life; and what that was, with how far the wall clock was
    /// ahead, when it was last written. Then the latest instant that the record knows.
    shift: i64,
    kept: Option<(i64, i64)>,
    latest: i64,
    /// Told since the program started, before the job is registered.
    changed: Option<OnChange>,
    cut_off: Vec<(i64, u32, bool)>,
    held: bool,
    reanchored: bool,
    registered_in: usize,
    /// By number; and attempts, with whether they have ended, and how.
    runs: BTreeMap<u64, Run>,
    attempts: BTreeMap<(u64, u32), Option<bool>>,
    kept_attempts: BTreeSet<(u64, u32)>,
    unkept: BTreeSet<(u64, u32)>,
    told: BTreeMap<(u64, u32), bool>,
    /// The polls of this life, and in which of them a run was first called.
    polls: Vec<At>,
    began: BTreeMap<u64, At>,
    given_up: BTreeSet<u64>,
    /// Runs that go on by the record.
    open: Vec<RunRecord>,
    paused: bool,
    paused_kept: bool,
    crashes: u32,
    crashes_kept: u32,
    /// Whether the next run is told that the one before was cut off, if that is known.
    flag: Option<bool>,
}

type Verdict = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl<'a> Case<'a> {
    fn new(job: &'a Job) -> Self {
        Case {
            job,
            eras: Vec::new(),
            pending: None,
            shift: 0,
            kept: None,
            latest: 0,
            changed: None,
            cut_off: Vec::new(),
            held: false,
            reanchored: false,
            registered_in: 0,
            runs: BTreeMap::new(),
            attempts: BTreeMap::new(),
            kept_attempts: BTreeSet::new(),
            unkept: BTreeSet::new(),
            told: BTreeMap::new(),
            polls: Vec::new(),
            began: BTreeMap::new(),
            given_up: BTreeSet::new(),
            open: Vec::new(),
            paused: false,
            paused_kept: false,
            crashes: 0,
            crashes_kept: 0,
            flag: Some(false),
        }
    }

    fn era(&mut self) -> Option<&mut Era> {
        self.pending.as_mut().or(self.eras.last_mut())
    }

    fn is_elapsed(&mut self) -> bool {
        self.era().is_some_and(|era| era.rule.is_elapsed())
    }

    /// An instant of the wall clock on the scale of the job's occurrences.
    fn place(&mut self, wall: i64, at: At) -> i64 {
        if self.is_elapsed() { wall - at.ahead() + self.shift } else { wall }
    }

    fn here(&mut self, at: At) -> i64 {
        self.place(at.wall, at)
    }

    fn take(&mut self, at: At, what: &What, rule: Option<&Rule>) -> Verdict {
        match what {
            What::Boot => {
                (self.shift, self.changed, self.held, self.reanchored) = (0, None, false, false);
                self.cut_off.clear();
                self.polls.clear();
                self.began.clear();
                (self.paused, self.crashes) = (self.paused_kept, self.crashes_kept);
                if let Some(era) = self.eras.last_mut().filter(|era| !era.rule.is_elapsed()) {
                    era.least = era.least.min(at.wall);
                }
            }
            What::ScheduleChanged(then) => self.changed = Some(*then),
            What::CutOff { due, attempt, again } => self.cut_off.push((*due, *attempt, *again)),
            What::Held => self.held = true,
            What::Reanchored if self.registered_in < at.life => self.reanchored = true,
            What::Reanchored => self.anew(at),
            What::Registered { known, paused } => return self.registered(at, *known, *paused, rule),
            What::Dropped { count, since, because } => return self.dropped(at, *count, *since, *because),
            What::Began { run, flagged } => return self.began(at, run, *flagged),
            What::Finished { number, attempt, failed } => {
                self.attempts.insert((*number, *attempt), Some(*failed));
                if !failed || *attempt > self.job.retries {
                    self.crashes = 0;
                    self.flag = self.flag.map(|_| false);
                }
            }
            What::Kept { record, ended } => {
                if let Some(era) = self.pending.take() {
                    self.eras.push(era);
                }
                self.withdraw(record, ended);
                for run in record.open.iter().chain(ended) {
                    self.written(at, run)?;
                }
                if let Some(era) = self.eras.last_mut() {
                    era.items.iter_mut().for_each(|item| item.kept = true);
                }
                self.kept = Some((self.shift, at.ahead()));
                let known = [Some(record.anchor), Some(record.searched), record.missed_until];
                self.latest = known.iter().flatten().map(nanos).max().unwrap_or_default();
                self.open = record.open.iter().filter(|run| matches!(run.state, RunState::Started { .. })).cloned().collect();
                (self.paused_kept, self.crashes_kept) = (self.paused, self.crashes);
                self.told.values_mut().for_each(|kept| *kept = true);
            }
            What::Written => {
                if let Some(kept) = &mut self.kept {
                    *kept = (self.shift, at.ahead());
                }
            }
            What::Polled => self.polls.push(at),
            What::SetBack => {
                if let Some(era) = self.era().filter(|era| !era.rule.is_elapsed()) {
                    era.least = era.least.min(at.wall);
                    era.set_back = true;
                }
            }
            What::Paused => self.paused = true,
            What::Resumed => {
                let here = self.here(at);
                (self.paused, self.crashes, self.flag) = (false, 0, None);
                if let Some(era) = self.era() {
                    era.resumed.push(here);
                }
            }
            What::Over => {
                self.pending = None;
                if let Some(era) = self.eras.last_mut() {
                    era.items.retain(|item| item.kept);
                }
                for unkept in std::mem::take(&mut self.unkept) {
                    self.attempts.remove(&unkept);
                }
            }
        }
        Ok(())
    }

    /// Another era begins, by the same schedule.
    fn anew(&mut self, at: At) {
        let Some(Era { rule, runs, by_hand, .. }) = self.era().cloned() else { return };
        self.pending = Some(Era { runs, by_hand, ..Era::new(rule, at.wall, at) });
    }

    fn registered(&mut self, at: At, known: bool, paused: bool, rule: Option<&Rule>) -> Verdict {
        self.registered_in = at.life;
        if let Some(rule) = rule {
            let changed = self.changed.filter(|then| *then != OnChange::Keep);
            if !known || changed.is_some() {
                let by_hand = changed == Some(OnChange::RunOnce);
                // A single instant that is past runs at the next poll.
                let begin = if let When::Once(once) = rule.when { at.wall.min(once - 1) } else { at.wall };
                self.pending = Some(Era { by_hand, ..Era::new(rule.clone(), begin, at) });
            } else if self.is_elapsed() {
                let (shift, ahead) = self.kept.ok_or("it is known, and nothing was written")?;
                self.shift = shift - ahead;
                if at.wall < self.latest {
                    let Era { rule, items, runs, by_hand, .. } = self.eras.last().cloned().ok_or("it has no era")?;
                    let over = matches!(rule.when, When::After(_)) && !items.is_empty();
                    self.shift = 0;
                    let runs = if over { u32::MAX } else { runs };
                    let era = Era { begin: None, no_later: at.wall + rule.length(), runs, by_hand, ..Era::new(rule, at.wall, at) };
                    self.pending = Some(era);
                }
            } else if self.reanchored {
                self.anew(at);
            }
        }
        // What was cut off.
        let expected: Vec<(i64, u32, bool)> =
            self.open.iter().filter(|_| known).map(|run| (nanos(&run.due), run.attempt, self.job.again)).collect();
        let told = std::mem::take(&mut self.cut_off);
        ensure(told == expected, || format!("cut off was {expected:?}, told was {told:?}"))?;
        for run in if known { self.open.clone() } else { Vec::new() } {
            let before = self.told.insert((run.number, run.attempt), false);
            ensure(before != Some(true), || format!("run {} was told to be cut off twice", run.number))?;
            self.flag = Some(true);
            if !self.job.again {
                self.given_up.insert(run.number);
            }
        }
        if !told.is_empty() {
            self.crashes += 1;
        }
        let holds = !told.is_empty() && self.job.hold_after.is_some_and(|most| self.crashes >= most);
        ensure(holds == self.held, || format!("after {} crashes in a row it was held: {}", self.crashes, self.held))?;
        self.paused |= holds;
        ensure(self.paused == paused || !paused, || "it is paused and was not".to_owned())?;
        Ok(())
    }

    fn dropped(&mut self, at: At, count: u64, since: i64, because: DropReason) -> Verdict {
        if self.job.follows.is_some() {
            return Err(format!("{count} runs to follow were dropped: {because:?}"));
        }
        // A run that was to be run again.
        let again = |run: &&mut Run| run.first == since && run.folded == count;
        if let Some((number, run)) = self.runs.iter_mut().map(|(number, run)| (*number, run)).find(|(_, run)| again(run)) {
            let waits = self.told.contains_key(&(number, self.kept_attempts.iter().rfind(|run| run.0 == number).map_or(1, |run| run.1)));
            if waits && matches!(because, DropReason::Late | DropReason::Paused) {
                run.given_up = true;
                return Ok(());
            }
        }
        let (first, here) = (self.place(since, at), self.here(at));
        let (missed, grace) = (self.job.missed, self.job.grace);
        let Some(era) = self.era() else { return Err("dropped, and it has no era".to_owned()) };
        if because == DropReason::Paused && era.by_hand {
            era.by_hand = false;
            return Ok(());
        }
        era.settle(first)?;
        let last = era.last_of(first, count);
        let what = || format!("{count} dropped since {since}: {because:?}");
        ensure(era.count(first, last) == count, what)?;
        ensure(last <= here, || format!("{}, which are still to come", what()))?;
        let grace = if missed == Missed::Skip { grace.or(Some(MINUTE)) } else { grace };
        match because {
            DropReason::Late => ensure(grace.is_some_and(|grace| here - last > grace), || format!("{}, within its grace", what()))?,
            DropReason::Policy => match missed {
                Missed::RunAll { most } => {
                    let left = era.count(last + 1, here);
                    ensure(left == u64::from(most), || format!("{}, and {left} are left", what()))?;
                }
                Missed::Skip => {}
                _ => return Err(what()),
            },
            DropReason::Overlapped => {}
            _ => return Err(what()),
        }
        era.items.push(Item { first, last, run: 0, life: at.life, kept: false });
        Ok(())
    }

    fn began(&mut self, at: At, run: &Called, flagged: bool) -> Verdict {
        let key = (run.number, run.attempt);
        ensure(!self.attempts.contains_key(&key), || format!("attempt {} of run {} was made twice", run.attempt, run.number))?;
        ensure(!self.given_up.contains(&run.number), || format!("run {} was cut off and run again", run.number))?;
        ensure(!self.paused || self.job.background, || format!("run {} though it is paused", run.number))?;
        let before = self.attempts.iter().rfind(|(key, _)| key.0 == run.number && key.1 < run.attempt).map(|(key, end)| (*key, *end));
        if let Some((before, None)) = before.filter(|_| !self.job.again) {
            return Err(format!("run {} was cut off in attempt {} and run again", run.number, before.1));
        }
        if !self.kept_attempts.contains(&key) {
            ensure(self.job.again, || format!("run {} began before that was written", run.number))?;
            ensure(self.job.follows.is_some() || run.attempt > 1 || run.due <= at.wall, || format!("{run:?} came early"))?;
            self.unkept.insert(key);
        } else if let Some(kept) = self.runs.get(&run.number) {
            let same = (kept.due, kept.first, kept.folded) == (run.due, run.first, run.folded) && kept.follows == run.follows;
            ensure(same, || format!("{run:?} was written as {kept:?}"))?;
        }
        let is_first = run.attempt == 1 || self.told.contains_key(&(run.number, run.attempt - 1));
        if is_first {
            if let Some(expected) = self.flag {
                ensure(flagged == expected, || format!("run {} was told {flagged} of the one before", run.number))?;
            }
            self.flag = Some(false);
        }
        self.attempts.insert(key, None);
        self.began.entry(run.number).or_insert(at);
        Ok(())
    }

    /// In which poll a run began.
    fn poll_of(&self, run: &RunRecord, at: At) -> At {
        let started = match run.state {
            RunState::Started { at } | RunState::CutOff { started: at, .. } => Some(nanos(&at)),
            RunState::Ended { started, .. } => started.as_ref().map(nanos),
            _ => None,
        };
        let began = self.began.get(&run.number).copied();
        if run.attempt > 1 || started.is_none() || !self.job.background && began.is_some() {
            return began.unwrap_or(at);
        }
        let holds = |poll: &&At| started.is_some_and(|started| (poll.wall..poll.wall + 5 * MINUTE).contains(&started));
        self.polls.iter().rfind(holds).copied().unwrap_or(at)
    }

    /// A run is on the disk.
    fn written(&mut self, at: At, run: &RunRecord) -> Verdict {
        if matches!(run.state, RunState::Waiting { .. }) {
            return Ok(());
        }
        for attempt in 1..=run.attempt {
            self.kept_attempts.insert((run.number, attempt));
            self.unkept.remove(&(run.number, attempt));
        }
        let (first, due) = (nanos(&run.first_missed), nanos(&run.due));
        let follows: Vec<u64> = run.follows.iter().map(|run| run.number).collect();
        let new = Run { first, due, folded: run.folded, follows, given_up: false };
        if let Some(old) = self.runs.get(&run.number) {
            let same = (old.first, old.due, old.folded, &old.follows) == (first, due, run.folded, &new.follows);
            return ensure(same, || format!("run {} is {new:?} and was {old:?}", run.number));
        }
        self.runs.insert(run.number, new);
        if self.job.follows.is_some() {
            return Ok(());
        }
        // What ran without its store is written later.
        let poll = self.poll_of(run, at);
        let starts = matches!(run.state, RunState::Started { .. }) && poll == at;
        let at = poll;
        let (first, last, here) = (self.place(first, at), self.place(due, at), self.here(at));
        let paused = self.paused;
        let (missed, grace) = (self.job.missed, self.job.grace);
        // What ran without its store may have begun in the era before.
        let earlier = |era: &&mut Era| era.born.life != at.life || era.born.elapsed <= at.elapsed;
        let era = self.eras.iter_mut().rev().find(earlier);
        let Some(era) = era else { return Err("it runs, and has no era".to_owned()) };
        era.runs = era.runs.saturating_add(1);
        if let Some(times) = era.rule.times.filter(|times| era.runs > *times) {
            return Err(format!("run {} of {times}", era.runs));
        }
        let what = || format!("run {} due {due}, {} folded", run.number, run.folded);
        ensure(!(starts && paused), || format!("{} started though it is paused", what()))?;
        ensure(!starts || last <= here, || format!("{} came {} early", what(), last - here))?;
        let is_one = era.begin.is_none() || era.count(last, last) == 1;
        if era.by_hand && run.folded == 1 && (!is_one || era.begin == Some(last)) {
            era.by_hand = false;
            return Ok(());
        }
        era.settle(first)?;
        ensure(is_one, || format!("{}: that is none of its occurrences", what()))?;
        let counted = era.count(first, last);
        ensure(counted == run.folded, || format!("{}: they are {counted}, from {:?}", what(), era.begin))?;
        let late = grace.or(Some(MINUTE).filter(|_| missed == Missed::Skip)).filter(|grace| starts && here - last > *grace);
        let alone = missed == Missed::RunOnce || run.folded == 1;
        ensure(alone, || format!("{}: it folds none", what()))?;
        ensure(late.is_none(), || format!("{} was {} late", what(), here - last))?;
        if starts {
            let left = era.count(last + 1, here);
            let most = if let Missed::RunAll { most } = missed { u64::from(most) - 1 } else { 0 };
            ensure(left <= most, || format!("{}: {left} more had come by then", what()))?;
        }
        era.items.push(Item { first, last, run: run.number, life: at.life, kept: true });
        Ok(())
    }

    /// What was about to start was not begun after all: its occurrences are to be accounted for otherwise.
    fn withdraw(&mut self, record: &JobRecord, ended: &[RunRecord]) {
        for run in std::mem::take(&mut self.open) {
            let number = run.number;
            let goes_on = record.open.iter().chain(ended).any(|run| run.number == number);
            let began = self.attempts.range((number, 0)..=(number, u32::MAX)).next().is_some();
            if goes_on || began {
                continue;
            }
            self.runs.remove(&number);
            self.kept_attempts.retain(|key| key.0 != number);
            if let Some(era) = self.eras.last_mut() {
                era.items.retain(|item| item.run != number);
                era.runs = era.runs.saturating_sub(1);
            }
        }
    }

    /// When all that was left is done.
    fn close(&mut self, at: At, history: &[RunRecord], open: &[RunRecord]) -> Verdict {
        let here = self.here(at);
        if let Some((last, closed)) = self.eras.split_last_mut() {
            closed.iter_mut().try_for_each(|era| era.judge(None, false))?;
            let ends = last.rule.times.is_some_and(|times| last.runs >= times) || last.runs == u32::MAX;
            last.judge(Some(here), ends)?;
        }
        let over: BTreeMap<u64, &RunRecord> = history.iter().map(|run| (run.number, run)).collect();
        ensure(over.len() == history.len(), || "two runs have the same number".to_owned())?;
        for (number, run) in &self.runs {
            let is_open = open.iter().any(|run| run.number == *number);
            let Some(record) = over.get(number) else {
                ensure(is_open, || format!("run {number} is not in the history: {run:?}"))?;
                continue;
            };
            let last = self.attempts.range((*number, 0)..=(*number, u32::MAX)).next_back();
            match (record.state, last) {
                (RunState::Ended { end, .. }, Some((key, Some(failed)))) if !run.given_up => {
                    let fits = record.attempt == key.1 && end == if *failed { RunEnd::Failed } else { RunEnd::Done };
                    ensure(fits, || format!("run {number} ended as {last:?}, by the history as {record:?}"))?;
                }
                (RunState::Ended { end: RunEnd::Stopped, .. }, _) if run.given_up => {}
                (RunState::Ended { .. }, _) => return Err(format!("run {number} did not end: {record:?}")),
                _ => {}
            }
            let left = self.job.again && !run.given_up && !matches!(record.state, RunState::Ended { .. });
            ensure(!left, || format!("run {number} was cut off and not run again"))?;
        }
        for number in over.keys() {
            ensure(self.runs.contains_key(number), || format!("run {number} of the history never was"))?;
        }
        for (number, attempts) in &self.attempts.keys().fold(BTreeMap::<u64, Vec<u32>>::new(), |mut all, key| {
            all.entry(key.0).or_default().push(key.1);
            all
        }) {
            let most = attempts.last().copied().unwrap_or_default();
            let known = (1..=most).all(|attempt| self.kept_attempts.contains(&(*number, attempt)));
            ensure(known, || format!("run {number} had the attempts {attempts:?}"))?;
        }
        Ok(())
    }
}

/// Holds the log of a machine, and its disk, against the rules.
pub fn judge(jobs: &[Job], log: &[Line], disk: &MemoryStore, rules: &dyn Fn(usize, usize) -> Option<Rule>) -> Result<(), String> {
    let mut cases: Vec<Case> = jobs.iter().map(Case::new).collect();
    let print = std::env::var("PUNCTUAL_LOG").is_ok();
    // What befell one job, up to the line that shows it.
    let story = |place: usize, until: usize| {
        if print {
            println!("{:#?}", jobs[place]);
            let all = |what: &What| matches!(what, What::Boot | What::SetBack | What::Over);
            let those = log[..=until].iter().filter(|line| line.job == place && !matches!(line.what, What::Written | What::Polled) || all(&line.what));
            those.for_each(|line| println!("{line}"));
        }
    };
    for (number, line) in log.iter().enumerate() {
        let all = matches!(line.what, What::Boot | What::Polled | What::Written | What::SetBack | What::Over);
        let those = if all { 0..jobs.len() } else { line.job..line.job + 1 };
        for place in those {
            let rule = rules(place, line.at.life);
            cases[place]
                .take(line.at, &line.what, rule.as_ref())
                .inspect_err(|_| story(place, number))
                .map_err(|what| format!("life {}, {}: {what}", line.at.life, jobs[place].names[0]))?;
        }
    }
    let at = log.last().map(|line| line.at).unwrap_or_default();
    let open = |job: &Job| disk.load(name_of(disk, job)?).map(|job| job.map_or(Vec::new(), |job| job.open)).map_err(|error| error.to_string());
    for (place, (case, job)) in cases.iter_mut().zip(jobs).enumerate() {
        let (history, open) = (history_of(disk, job)?, open(job)?);
        let closed = case.close(at, &history, &open).inspect_err(|_| story(place, log.len() - 1));
        closed.map_err(|what| format!("{}: {what}", job.names[0]))?;
        // Each success is followed once.
        if let Some((before, _)) = job.follows.filter(|_| case.registered_in == at.life) {
            let is_done = |run: &&RunRecord| matches!(run.state, RunState::Ended { end: RunEnd::Done, .. });
            let all = history_of(disk, &jobs[before])?;
            let mut done: Vec<u64> = all.iter().filter(is_done).map(|run| run.number).collect();
            let mut followed: Vec<u64> = history.iter().chain(&open).flat_map(|run| &run.follows).map(|run| run.number).collect();
            done.sort_unstable();
            followed.sort_unstable();
            ensure(done == followed, || {
                let twice: Vec<&u64> = followed.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).collect();
                let lost: Vec<&u64> = done.iter().filter(|number| !followed.contains(number)).collect();
                format!("{}: of {} successes {lost:?} were not followed, {twice:?} twice", job.names[0], done.len())
            })?;
        }
    }
    Ok(())
}

/// Under its last name, unless the last release did not get to write it.
fn history_of(disk: &MemoryStore, job: &Job) -> Result<Vec<RunRecord>, String> {
    let name = name_of(disk, job)?;
    let query = HistoryQuery { job: Some(name.into()), most: usize::MAX, ..HistoryQuery::default() };
    disk.history(&query).map_err(|error| error.to_string())
}

fn name_of<'a>(disk: &MemoryStore, job: &'a Job) -> Result<&'a str, String> {
    let names = disk.names().map_err(|error| error.to_string())?;
    Ok(job.names.iter().rev().find(|name| names.contains(name)).map_or(job.name(), |name| name))
}
