//! What log and store have to show in the end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use chrono::DateTime;
use punctual::{Durability, HistoryQuery, JobRecord, RunEnd, RunRecord, RunState, SqliteStore, Store, StoreError};

use crate::child::{Begun, Line, Written, nanos};
use crate::jobs::{self, Place, Spec, When, Work};

/// What a folder's lives have written, in order. All but the last were killed.
pub struct Story {
    pub seed: u64,
    pub lives: Vec<Vec<Written>>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, life) in self.lives.iter().enumerate() {
            life.iter().try_for_each(|(at, line)| writeln!(f, "{number} {at} {line}"))?;
        }
        Ok(())
    }
}

/// What was seen in all stories.
#[derive(Debug, Default)]
pub struct Figures {
    stories: u64,
    at_power: u64,
    kills: u64,
    /// Lives that were killed before their first poll was over.
    before_poll: u64,
    runs: u64,
    attempts: u64,
    /// Attempts that had begun and not ended when their process was killed.
    pub cut_off: u64,
    /// Attempts that the store knew to have started, and that were told as cut off; some had ended, some not begun.
    told: u64,
    /// Of these, told by more than one life, since one was killed before it wrote that it had.
    pub told_again: u64,
    /// Occurrences that were due, and those of them that were dropped.
    occurrences: u64,
    dropped: u64,
    /// Runs whose due time was shaken.
    shaken: u64,
    pub followed: u64,
    rows: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { stories, at_power, kills, before_poll, runs, attempts, .. } = self;
        let Figures { cut_off, told, told_again, occurrences, dropped, shaken, followed, rows, .. } = self;
        write!(
            f,
            "{stories} stories ({at_power} for power), {kills} kills ({before_poll} before the first poll), {runs} runs in {attempts} \
             attempts, {cut_off} cut off by the log, {told} told ({told_again} by two lives), {occurrences} occurrences ({dropped} \
             dropped, {shaken} shaken), {followed} followed, {rows} rows"
        )
    }
}

/// What is known of one job.
struct Case<'a> {
    spec: &'a Spec,
    record: JobRecord,
    /// Runs that are over, and those that are to come, by number.
    over: BTreeMap<u64, RunRecord>,
    open: BTreeMap<u64, RunRecord>,
    /// What it logged: attempts by number, each with the life in which it was.
    begun: BTreeMap<u64, Vec<(usize, &'a Begun)>>,
    /// Number and attempt, and whether it failed.
    ended: HashMap<(u64, u32), bool>,
    /// Which lives told that an attempt was cut off, by its run's due time.
    told: BTreeMap<(i64, u32), Vec<usize>>,
    dropped: u64,
}

impl Story {
    pub fn judge(&self, path: &Path, figures: &mut Figures) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        let specs = jobs::specs(self.seed);
        let mut cases = self.cases(path, &specs).map_err(|error| vec![error.to_string()])?;
        let rows = jobs::rows(path).map_err(|error| vec![error.to_string()])?;
        for ((job, number), attempts) in &rows {
            // Where row and end are one, the row says that it has ended.
            if let Some(case) = cases.iter_mut().find(|case| case.spec.name == *job && case.spec.work == Work::Shared) {
                attempts.iter().for_each(|attempt| _ = case.ended.entry((*number, *attempt)).or_insert(false));
            }
        }
        figures.stories += 1;
        figures.at_power += u64::from(jobs::durability(self.seed) == Durability::Power);
        figures.kills += self.lives.len() as u64 - 1;
        for (number, life) in self.lives.iter().enumerate() {
            for (_, line) in life {
                match line {
                    Line::Trouble(what) => faults.push(format!("life {number}: {what}")),
                    Line::Said(what) => faults.push(format!("life {number}: {what}; the machine's clock was touched, try again")),
                    _ => {}
                }
            }
            let has_polled = life.iter().any(|(_, line)| *line == Line::Polled);
            figures.before_poll += u64::from(!has_polled);
        }
        if self.lives.last().and_then(|life| life.last()).is_none_or(|(_, line)| *line != Line::Stopped) {
            faults.push("the last life did not end in order".to_owned());
        }
        for case in &cases {
            let (mut few, spec) = (3_u32, case.spec);
            let mut fault = |what: String| {
                if few > 0 {
                    faults.push(format!("{}: {what}\n    {spec:?}", spec.name));
                }
                few = few.saturating_sub(1);
            };
            case.runs(self, &mut fault, figures);
            case.occurrences(&mut fault, figures);
            case.chain(&cases, &mut fault, figures);
            case.rows(&rows, &mut fault, figures);
        }
        if faults.is_empty() {
            return Ok(());
        }
        faults.truncate(20);
        Err(faults)
    }

    fn cases<'a>(&'a self, path: &Path, specs: &'a [Spec]) -> Result<Vec<Case<'a>>, StoreError> {
        let store = SqliteStore::open(path)?;
        store.check()?;
        let mut cases = Vec::new();
        for spec in specs {
            let of = HistoryQuery { job: Some(spec.name.as_str().into()), most: usize::MAX, ..HistoryQuery::default() };
            let over = store.history(&of)?.into_iter().map(|run| (run.number, run)).collect();
            let record = store.load(&spec.name)?;
            // Of one that follows, and had nothing to follow, nothing is known.
            let record = record.unwrap_or_else(|| JobRecord::new(spec.name.as_str(), DateTime::UNIX_EPOCH));
            let open = record.open.iter().map(|run| (run.number, run.clone())).collect();
            let (begun, ended, told) = (BTreeMap::new(), HashMap::new(), BTreeMap::new());
            cases.push(Case { spec, record, over, open, begun, ended, told, dropped: 0 });
        }
        let place: HashMap<&str, usize> = specs.iter().enumerate().map(|(place, spec)| (&*spec.name, place)).collect();
        for (life, (_, line)) in
            self.lives.iter().enumerate().flat_map(|(life, lines)| lines.iter().map(move |line| (life, line)))
        {
            match line {
                Line::Begun(begun) => cases[place[&*begun.job]].begun.entry(begun.number).or_default().push((life, begun)),
                Line::Ended { job, number, attempt, failed } => {
                    cases[place[&**job]].ended.insert((*number, *attempt), *failed);
                }
                Line::CutOff { job, due, attempt } => {
                    cases[place[&**job]].told.entry((*due, *attempt)).or_default().push(life);
                }
                Line::Dropped { job, occurrences } => cases[place[&**job]].dropped += occurrences,
                _ => {}
            }
        }
        Ok(cases)
    }

    fn has_polled(&self, life: usize) -> bool {
        self.lives[life].iter().any(|(_, line)| *line == Line::Polled)
    }

    fn last(&self) -> usize {
        self.lives.len() - 1
    }
}

impl Case<'_> {
    fn all(&self) -> BTreeMap<u64, &RunRecord> {
        self.over.iter().chain(&self.open).map(|(number, run)| (*number, run)).collect()
    }

    /// Each run is begun as often as was promised, and what was cut off is told once.
    fn runs(&self, story: &Story, fault: &mut dyn FnMut(String), figures: &mut Figures) {
        let all = self.all();
        figures.runs += all.len() as u64;
        // A number is given once. One whose run does not begin after all is given up: the pool has no room, or the last life
        // stops just then.
        let (known, given) = (all.len() as u64, self.record.last_run);
        let last = all.keys().next_back().copied().unwrap_or(0);
        let given_up = if self.spec.place == Place::Background { given } else { 1 };
        if known != (self.over.len() + self.open.len()) as u64 || last > given || given - known > given_up {
            fault(format!("{} runs over and {} open, the last is {last} of {given}", self.over.len(), self.open.len()));
        }
        // In steps there may have been more to do as the last life was to stop.
        let in_steps = self.spec.place == Place::InSteps;
        let is_started = |run: &RunRecord| matches!(run.state, RunState::Started { .. });
        if let Some((number, run)) = self.open.iter().find(|(_, run)| is_started(run) && !in_steps) {
            fault(format!("run {number} has not ended: {:?}", run.state));
        }
        let by_due: HashMap<i64, u64> = all.values().map(|run| (nanos(run.due), run.number)).collect();
        let mut told: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
        for ((due, attempt), lives) in &self.told {
            let Some(number) = by_due.get(due) else {
                fault(format!("a run due {due} was told as cut off, which nobody knows"));
                continue;
            };
            told.entry(*number).or_default().insert(*attempt);
            figures.told += 1;
            figures.told_again += u64::from(lives.len() > 1);
            // Who has told and written that tells last.
            let last = lives.len() - 1;
            if lives.windows(2).any(|two| two[0] == two[1]) || lives[..last].iter().any(|life| story.has_polled(*life)) {
                fault(format!("attempt {attempt} of run {number} was told as cut off by lives {lives:?}"));
            }
        }
        let none = BTreeSet::new();
        for (number, begun) in &self.begun {
            figures.attempts += begun.len() as u64;
            let Some(run) = all.get(number) else {
                fault(format!("run {number} has begun, and the store does not know it"));
                continue;
            };
            let told = told.get(number).unwrap_or(&none);
            let attempts: Vec<u32> = begun.iter().map(|(_, begun)| begun.attempt).collect();
            if !attempts.windows(2).all(|two| two[0] < two[1]) {
                fault(format!("run {number} had the attempts {attempts:?}"));
            }
            for (life, attempt) in begun {
                let Begun { first, due, folded, attempt, .. } = attempt;
                if (*first, *due, *folded) != (nanos(run.first_missed), nanos(run.due), run.folded) {
                    fault(format!("run {number} was told another due time than the store has: {attempt:?}, {run:?}"));
                }
                if self.ended.contains_key(&(*number, *attempt)) {
                    continue;
                }
                if *life == story.last() && in_steps && is_started(run) {
                    continue;
                }
                figures.cut_off += 1;
                if *life == story.last() {
                    fault(format!("attempt {attempt} of run {number} has not ended, though nobody killed it"));
                }
                if !told.contains(attempt) {
                    fault(format!("attempt {attempt} of run {number} was cut off, which nobody told"));
                }
                if !self.spec.again && attempts.last() != Some(attempt) {
                    fault(format!("run {number} was cut off in attempt {attempt} and run again: {attempts:?}"));
                }
            }
        }
        for (number, run) in &all {
            let told = told.get(number).unwrap_or(&none);
            let is_left = matches!(run.state, RunState::CutOff { .. });
            if is_left && (self.spec.again || !told.contains(&run.attempt)) {
                fault(format!("run {number} was cut off and not run again, told {told:?}: {run:?}"));
            }
            if !self.spec.again && told.len() != usize::from(is_left) {
                fault(format!("run {number} was told as cut off {told:?}: {run:?}"));
            }
            // Each attempt but the last was cut off, or failed.
            for attempt in 1..run.attempt {
                let failed = self.ended.get(&(*number, attempt)).is_some_and(|failed| *failed);
                if !told.contains(&attempt) && !failed || told.contains(&attempt) && !self.spec.again {
                    fault(format!("run {number} had attempt {}, told {told:?}, attempt {attempt} failed: {failed}", run.attempt));
                }
            }
            if let RunState::Ended { end, .. } = run.state {
                let failed = self.ended.get(&(*number, run.attempt));
                let as_logged = match end {
                    RunEnd::Done => failed == Some(&false),
                    RunEnd::Failed | RunEnd::Panicked => failed == Some(&true) && run.attempt > self.spec.retry,
                    _ => false,
                };
                if !as_logged {
                    fault(format!("run {number}: its log says {failed:?}: {run:?}"));
                }
            }
        }
        if self.spec.times.is_some_and(|times| all.len() > times as usize) {
            fault(format!("{} runs, {:?} were to be", all.len(), self.spec.times));
        }
    }

    /// Each occurrence belongs to one run.
    ///
    /// Intervals count elapsed time, and are told by the wall clock. The two clocks are not read at one instant, so due times
    /// shake by nanoseconds, or by as long as the process was kept from running between. An occurrence that is lost or run twice
    /// moves what comes after it by whole periods.
    fn occurrences(&self, fault: &mut dyn FnMut(String), figures: &mut Figures) {
        const SHAKES: i64 = 20_000;
        let (period, shakes) = match self.spec.when {
            When::Every(milliseconds) => (milliseconds as i64 * 1_000_000, SHAKES),
            When::Cron => (1_000_000_000, 1),
            When::Follows(..) => return,
        };
        let all = self.all();
        let mut before: Option<i64> = None;
        for (number, run) in &all {
            let (first, due) = (nanos(run.first_missed), nanos(run.due));
            if run.folded as i64 != (due - first) / period + 1 || (due - first) % period != 0 {
                fault(format!("run {number} is told a wrong number: {run:?}"));
            }
            if let Some(step) = before.map(|before| first - before) {
                let whole = (step + period / 2).div_euclid(period);
                if (step - whole * period).abs() >= shakes {
                    figures.shaken += 1;
                } else if whole < 1 || whole > 1 && self.spec.drops_none() {
                    fault(format!("run {number} comes {whole} periods after the run before: {run:?}"));
                }
            }
            before = Some(due);
        }
        let (Some(first), Some(last)) = (all.values().next(), all.values().last()) else { return };
        let searched = nanos(self.record.searched);
        let due = match self.spec.when {
            When::Cron => (searched.max(nanos(last.due)) - nanos(first.first_missed)) / period + 1,
            // Written at one look at the clocks.
            _ => (searched - nanos(self.record.anchor)) / period,
        };
        let run: u64 = all.values().map(|run| run.folded).sum();
        let lost = due - run as i64;
        if self.spec.times.is_some() {
            return;
        }
        figures.occurrences += due as u64;
        figures.dropped += lost.max(0) as u64;
        if lost < 0 || lost > 0 && self.spec.drops_none() {
            fault(format!("{due} occurrences, {run} were run, {} told as dropped", self.dropped));
        }
    }

    /// Each success is followed once.
    fn chain(&self, cases: &[Case<'_>], fault: &mut dyn FnMut(String), figures: &mut Figures) {
        let When::Follows(of, _) = self.spec.when else { return };
        let is_done = |run: &&RunRecord| matches!(run.state, RunState::Ended { end: RunEnd::Done, .. });
        let mut done: Vec<u64> = cases[of].over.values().filter(is_done).map(|run| run.number).collect();
        let mut followed: Vec<u64> = self.all().values().flat_map(|run| &run.follows).map(|run| run.number).collect();
        followed.sort_unstable();
        figures.followed += followed.len() as u64;
        if cases[of].spec.work == Work::Shared {
            // A run that its store says is done, and whose scheduler did not live to hear of it, sets nothing off yet.
            done.retain(|number| followed.binary_search(number).is_ok());
        }
        if done != followed {
            let (done, followed): (HashSet<u64>, HashSet<u64>) = (done.into_iter().collect(), followed.into_iter().collect());
            let (lost, wrong): (Vec<_>, Vec<_>) = (done.difference(&followed).collect(), followed.difference(&done).collect());
            fault(format!("not followed: {lost:?}; followed and not done: {wrong:?}; or one was followed twice"));
        }
        for (number, begun) in self.begun.iter().flat_map(|(number, begun)| begun.iter().map(move |begun| (number, begun.1))) {
            let follows = self.all().get(number).and_then(|run| run.follows.first().map(|run| run.number));
            if follows != Some(begun.follows) {
                fault(format!("run {number} was told to follow {}, and follows {follows:?}", begun.follows));
            }
        }
    }

    /// Its own table has a row for each run that is done, and no more than one for each attempt. Where row and end are one, it has
    /// one for each run that is done, and none else.
    fn rows(&self, rows: &HashMap<(String, u64), Vec<u32>>, fault: &mut dyn FnMut(String), figures: &mut Figures) {
        if !matches!(self.spec.work, Work::Row | Work::Shared) {
            return;
        }
        for (number, run) in self.all() {
            let found = rows.get(&(self.spec.name.clone(), number)).map_or(0, Vec::len);
            figures.rows += found as u64;
            let is_done = usize::from(matches!(run.state, RunState::Ended { end: RunEnd::Done, .. }));
            let begun = self.begun.get(&number).map_or(0, Vec::len);
            let most = if self.spec.work == Work::Shared { is_done } else { begun };
            if found < is_done || found > most {
                fault(format!("{found} rows, {is_done} to {most} were to be: {run:?}"));
            }
        }
    }
}
