//! A job, as far as its log and its records have been read: what they have to show, line by line.

use std::collections::{BTreeMap, BTreeSet};

use punctual::{DropReason, JobRecord, Missed, OnChange, Overlap, RunEnd, RunRecord, RunState};

use crate::era::{Era, Item, Verdict, ensure};
use crate::followed::{Followed, SLOP};
use crate::log::{At, Called, What, nanos};
use crate::table::{Job, MINUTE, Rule, When};

#[derive(Debug, Clone)]
struct Run {
    first: i64,
    due: i64,
    folded: u64,
    follows: Vec<u64>,
    /// It waited for earlier runs to end.
    queued: bool,
    /// It was dropped as it waited, or was to be run again; and whether that is known to the next process.
    given_up: bool,
    given_up_kept: bool,
}

/// A job, as far as it is followed.
pub struct Case<'a> {
    job: &'a Job,
    eras: Vec<Era>,
    /// Those that the disk does not know of yet.
    pending: Vec<Era>,
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
    pub registered_in: usize,
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
    pub followed: Followed,
    /// Runs that were asked for besides the schedule.
    by_hand: BTreeSet<u64>,
    paused: bool,
    paused_kept: bool,
    crashes: u32,
    crashes_kept: u32,
    /// Whether the next run is told that the one before was cut off, if that is known.
    flag: Option<bool>,
}

impl<'a> Case<'a> {
    pub fn new(job: &'a Job) -> Self {
        Case {
            job,
            eras: Vec::new(),
            pending: Vec::new(),
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
            followed: Followed::default(),
            by_hand: BTreeSet::new(),
            paused: false,
            paused_kept: false,
            crashes: 0,
            crashes_kept: 0,
            flag: Some(false),
        }
    }

    /// How many may wait of which nothing is told yet.
    fn queue(&self) -> i64 {
        if let Overlap::Queue { most } = self.job.overlap { most.into() } else { 0 }
    }

    /// Whether something may wait, or run without its store, while later occurrences are told of.
    fn is_loose(&self) -> bool {
        self.queue() > 0 || self.job.again
    }

    fn era(&mut self) -> Option<&mut Era> {
        self.pending.last_mut().or(self.eras.last_mut())
    }

    fn is_elapsed(&mut self) -> bool {
        self.era().is_some_and(|era| era.rule.is_elapsed())
    }

    /// An instant of the wall clock on the scale of the job's occurrences.
    fn place(&mut self, wall: i64, at: At) -> i64 {
        let elapsed = self.is_elapsed();
        self.placed(elapsed, wall, at)
    }

    fn placed(&self, elapsed: bool, wall: i64, at: At) -> i64 {
        if elapsed { (wall - at.ahead()).saturating_add(self.shift) } else { wall }
    }

    fn here(&mut self, at: At) -> i64 {
        self.place(at.wall, at)
    }

    pub fn take(&mut self, at: At, what: &What, rule: Option<&Rule>) -> Verdict {
        match what {
            What::Boot => {
                (self.shift, self.changed, self.held, self.reanchored) = (0, None, false, false);
                self.cut_off.clear();
                self.polls.clear();
                self.began.clear();
                self.followed.boot(at);
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
                self.eras.append(&mut self.pending);
                self.withdraw(record, ended);
                let mut runs: Vec<&RunRecord> = record.open.iter().chain(ended).collect();
                runs.sort_by_key(|run| run.number);
                runs.into_iter().try_for_each(|run| self.written(at, run))?;
                record.open.iter().try_for_each(|run| self.waits(at, run))?;
                self.runs.values_mut().for_each(|run| run.given_up_kept = run.given_up);
                self.eras.iter_mut().flat_map(|era| &mut era.items).for_each(|item| item.kept = true);
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
                self.pending.clear();
                self.eras.iter_mut().for_each(Era::forget);
                // Whether it took the word with it is not known.
                self.flag = self.flag.filter(|_| self.unkept.is_empty());
                for unkept in std::mem::take(&mut self.unkept) {
                    self.attempts.remove(&unkept);
                }
                self.runs.values_mut().for_each(|run| run.given_up = run.given_up_kept);
            }
        }
        Ok(())
    }

    /// Another era begins, by the same schedule.
    fn anew(&mut self, at: At) {
        let Some(Era { rule, runs, registration, by_hand, .. }) = self.era().cloned() else { return };
        self.pending.push(Era { runs, registration, by_hand, ..Era::new(rule, at.wall, at) });
    }

    fn registered(&mut self, at: At, known: bool, paused: bool, rule: Option<&Rule>) -> Verdict {
        self.registered_in = at.life;
        if let Some(rule) = rule {
            let changed = self.changed.filter(|then| *then != OnChange::Keep);
            if !known || changed.is_some() {
                let by_hand = changed == Some(OnChange::RunOnce);
                // A single instant that is past runs at the next poll.
                let begin = if let When::Once(once) = rule.when { at.wall.min(once - 1) } else { at.wall };
                self.pending.push(Era { by_hand, ..Era::new(rule.clone(), begin, at) });
            } else if self.is_elapsed() {
                let (shift, ahead) = self.kept.ok_or("it is known, and nothing was written")?;
                self.shift = shift.saturating_sub(ahead);
                if at.wall < self.latest {
                    let Era { rule, items, runs, registration, by_hand, .. } =
                        self.eras.last().cloned().ok_or("it has no era")?;
                    let over = matches!(rule.when, When::After(_)) && !items.is_empty();
                    self.shift = 0;
                    let runs = if over { u32::MAX } else { runs };
                    let new = Era::new(rule.clone(), at.wall, at);
                    let era = Era { begin: None, no_later: at.wall + rule.length(), runs, registration, by_hand, ..new };
                    self.pending.push(era);
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
        let within = self.job.within.filter(|_| because == DropReason::Stale);
        if let Some(within) = within {
            self.followed.is_stale(since, within, at)?;
        } else if self.job.follows.is_some() {
            return Err(format!("{count} runs to follow were dropped: {because:?}"));
        }
        // A run that waited, or was to be run again.
        let (told, attempts) = (&self.told, &self.attempts);
        let has_begun = |number: u64, after: u32| attempts.range((number, after + 1)..=(number, u32::MAX)).next().is_some();
        let waits = |number: u64, run: &Run| {
            let told = told.range((number, 0)..=(number, u32::MAX)).next_back();
            told.map_or(run.queued, |_| true) && !has_begun(number, told.map_or(0, |(key, _)| key.1))
        };
        let gone = |number: &u64, run: &Run| run.first == since && run.folded == count && waits(*number, run) && !run.given_up;
        if within.is_some() || matches!(because, DropReason::Late | DropReason::Paused) {
            if let Some((_, run)) = self.runs.iter_mut().find(|(number, run)| gone(number, run)) {
                run.given_up = true;
                return Ok(());
            }
        }
        if within.is_some() {
            return Ok(());
        }
        let (queues, loose) = (self.queue() > 0, self.is_loose());
        // What waited came earlier.
        let origin = if queues { self.origin(at, since, None, count) } else { at };
        let (first, here) = (self.place(since, origin), self.here(origin));
        let (missed, grace) = (self.job.missed, self.job.grace);
        let eras = self.eras.iter_mut().chain(&mut self.pending);
        let era = eras.rev().find(|era| origin == at || era.born.turn <= origin.turn);
        let Some(era) = era else { return Err("dropped, and it has no era".to_owned()) };
        if loose && era.begin.is_none() {
            return Ok(());
        }
        if because == DropReason::Paused && era.by_hand {
            era.by_hand = false;
            return Ok(());
        }
        era.settle(first)?;
        let last = era.last_of(first, count);
        let what = || format!("{count} dropped since {since}: {because:?}");
        ensure(era.count(first, last) == count, what)?;
        let waited = queues && because == DropReason::Paused;
        ensure(waited || last <= here, || format!("{}, which are still to come", what()))?;
        let grace = if missed == Missed::Skip { grace.or(Some(MINUTE)) } else { grace };
        match because {
            DropReason::Late => {
                ensure(grace.is_some_and(|grace| queues || here - last > grace), || format!("{}, within its grace", what()))?
            }
            DropReason::Policy => match missed {
                Missed::RunAll { most } => {
                    let left = era.count(last + 1, here);
                    ensure(left == u64::from(most), || format!("{}, and {left} are left", what()))?;
                }
                Missed::Skip => {}
                _ => return Err(what()),
            },
            DropReason::Overlapped => {}
            DropReason::Paused if queues => {}
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
        let before =
            self.attempts.iter().rfind(|(key, _)| key.0 == run.number && key.1 < run.attempt).map(|(key, end)| (*key, *end));
        if let Some((before, None)) = before.filter(|_| !self.job.again) {
            return Err(format!("run {} was cut off in attempt {} and run again", run.number, before.1));
        }
        if !self.kept_attempts.contains(&key) {
            ensure(self.job.again, || format!("run {} began before that was written", run.number))?;
            let known =
                self.job.follows.is_some() || self.job.background || run.attempt > 1 || self.runs.contains_key(&run.number);
            // Its time may have come by an earlier clock, with a store that failed late.
            let came = self.polls.iter().any(|poll| run.due <= poll.wall);
            ensure(known || came, || format!("{run:?} came early"))?;
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

    /// In which poll of this life occurrences became a run: that by whose clock they are their era's.
    fn origin(&self, poll: At, first: i64, due: Option<i64>, folded: u64) -> At {
        let before = self.polls.iter().rev().filter(|before| before.turn < poll.turn);
        let mut polls: Vec<At> = std::iter::once(&poll).chain(before).copied().collect();
        polls.dedup_by_key(|poll| poll.ahead());
        let fits = |at: &At| {
            let Some(era) = self.eras.iter().rev().find(|era| era.born.turn <= at.turn) else { return false };
            let place = |wall: i64| self.placed(era.rule.is_elapsed(), wall, *at);
            let first = place(first);
            let due = due.map_or_else(|| era.last_of(first, folded), place);
            let begins = era.begin.is_some_and(|begin| begin.min(era.least) < first);
            begins && due <= place(at.wall) && era.count(due, due) == 1 && era.count(first, due) == folded
        };
        polls.into_iter().find(fits).unwrap_or(poll)
    }

    /// A run is on the disk.
    fn written(&mut self, at: At, run: &RunRecord) -> Verdict {
        self.followed.written(run);
        let waits = matches!(run.state, RunState::Waiting { .. });
        if matches!(run.state, RunState::Waiting { by_hand: true, .. }) {
            self.by_hand.insert(run.number);
        }
        let queued = matches!(run.state, RunState::Waiting { by_hand: false, .. }) && run.attempt == 0;
        if waits && (!queued || self.job.follows.is_some()) {
            return Ok(());
        }
        // What runs without its store is written later, and if it is in the background as of when it was called.
        let starts = match run.state {
            RunState::Started { at: started } => (at.wall - nanos(&started)).abs() < SLOP,
            _ => false,
        };
        let starts =
            starts && !(self.job.background && self.job.again) && !self.kept_attempts.contains(&(run.number, run.attempt));
        if let Some(within) = self.job.within.filter(|_| starts && run.attempt == 1) {
            let follows: Vec<u64> = run.follows.iter().map(|run| run.number).collect();
            self.followed.is_fresh(&follows, within, at)?;
        }
        for attempt in 1..=run.attempt {
            self.kept_attempts.insert((run.number, attempt));
            self.unkept.remove(&(run.number, attempt));
        }
        let (first, due) = (nanos(&run.first_missed), nanos(&run.due));
        let follows: Vec<u64> = run.follows.iter().map(|run| run.number).collect();
        let new = Run { first, due, folded: run.folded, follows, queued, given_up: false, given_up_kept: false };
        if let Some(old) = self.runs.get(&run.number) {
            let same = (old.first, old.due, old.folded, &old.follows) == (first, due, run.folded, &new.follows);
            return ensure(same, || format!("run {} is {new:?} and was {old:?}", run.number));
        }
        self.runs.insert(run.number, new);
        if self.job.follows.is_some() {
            return Ok(());
        }
        // What ran without its store is written later, what waited came earlier.
        let poll = self.poll_of(run, at);
        let origin = self.origin(poll, first, Some(due), run.folded);
        let (queues, loose) = (self.queue() > 0, self.is_loose());
        let starts = matches!(run.state, RunState::Started { .. }) && origin == at && !queues;
        let at = origin;
        let (first, last, here) = (self.place(first, at), self.place(due, at), self.here(at));
        let paused = self.paused;
        let (missed, grace) = (self.job.missed, self.job.grace);
        let by_hand = self.by_hand.contains(&run.number);
        let place = self.eras.iter().rposition(|era| era.born.turn <= at.turn);
        let (place, registration) = place.map(|place| (place, self.eras[place].registration)).ok_or("it runs, and has no era")?;
        let later = self.eras[place..].iter_mut().filter(|era| era.registration == registration);
        later.for_each(|era| era.runs = era.runs.saturating_add(1));
        let era = &mut self.eras[place];
        if let Some(times) = era.rule.times.filter(|times| era.runs > *times) {
            return Err(format!("run {} of {times}", era.runs));
        }
        // Their order is not known, and so not where a grid lies whose clock was set back.
        if loose && era.begin.is_none() {
            return Ok(());
        }
        let what = || format!("run {} due {due}, {} folded", run.number, run.folded);
        ensure(!(starts && paused), || format!("{} started though it is paused", what()))?;
        ensure(!starts || last <= here, || format!("{} came {} early", what(), last - here))?;
        let is_one = era.begin.is_none() || era.count(last, last) == 1;
        if by_hand || era.by_hand && run.folded == 1 && (!is_one || era.begin == Some(last)) {
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

    /// A run that waits waits for no longer than it was to wait from the first, whatever the clock did meanwhile.
    fn waits(&self, at: At, run: &RunRecord) -> Verdict {
        let (from, most) = match run.state {
            RunState::Waiting { from, .. } => (from, self.job.follows.map_or(0, |(_, delay)| delay)),
            RunState::Again { from } => (from, self.job.backoff),
            _ => return Ok(()),
        };
        let late = nanos(&from) - at.wall - most;
        ensure(late < SLOP, || format!("run {} waits {late} too long", run.number))
    }

    /// What was about to start was not begun after all: its occurrences are to be accounted for otherwise.
    fn withdraw(&mut self, record: &JobRecord, ended: &[RunRecord]) {
        for run in std::mem::take(&mut self.open) {
            let (number, attempt) = (run.number, run.attempt);
            let earlier = record.open.iter().any(|run| run.number == number && run.attempt < attempt);
            if earlier && !self.attempts.contains_key(&(number, attempt)) {
                self.kept_attempts.remove(&(number, attempt));
            }
            let goes_on = record.open.iter().chain(ended).any(|run| run.number == number);
            let began = self.attempts.range((number, 0)..=(number, u32::MAX)).next().is_some();
            if goes_on || began || self.runs.get(&number).is_some_and(|run| run.given_up) {
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
    pub fn close(&mut self, at: At, history: &[RunRecord], open: &[RunRecord]) -> Verdict {
        let here = self.here(at);
        if let Some((last, closed)) = self.eras.split_last_mut() {
            closed.iter_mut().try_for_each(|era| era.judge(None, false))?;
            let ends = last.rule.times.is_some_and(|times| last.runs >= times) || last.runs == u32::MAX;
            last.judge(Some(here), ends)?;
        }
        let due = |run: &&RunRecord| match run.state {
            RunState::Waiting { from, .. } | RunState::Again { from } => nanos(&from) <= at.wall,
            _ => false,
        };
        let left = open.iter().find(due).filter(|_| self.registered_in == at.life);
        ensure(left.is_none(), || format!("it is due and does not come: {left:?}"))?;
        let over: BTreeMap<u64, &RunRecord> = history.iter().map(|run| (run.number, run)).collect();
        ensure(over.len() == history.len(), || "two runs have the same number".to_owned())?;
        for (number, run) in &self.runs {
            let is_open = open.iter().any(|run| run.number == *number);
            let Some(record) = over.get(number) else {
                ensure(is_open || run.queued && run.given_up, || format!("run {number} is not in the history: {run:?}"))?;
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
