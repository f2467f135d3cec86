//! What the logs of all processes and the store have to show in the end.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use punctual::{HistoryQuery, JobRecord, RunEnd, RunRecord, RunState, SqliteStore, Store, StoreError};

use crate::LEASE;
use crate::child::{Begun, Line, Written, nanos};
use crate::jobs::{self, Spec, When, Work};

/// What was done to a process, and when.
#[derive(Debug, Clone, Copy)]
pub struct Deed {
    pub life: usize,
    pub what: What,
    pub at: i64,
    /// When it went on.
    pub until: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Killed,
    Stopped,
}

/// What all processes have written, in the order in which they were started, and what was done to them.
pub struct Story {
    pub seed: u64,
    pub lives: Vec<Vec<Written>>,
    pub deeds: Vec<Deed>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines().map(|(life, (at, line))| (*at, life, line.to_string()));
        let deeds = self.deeds.iter().map(|deed| (deed.at, deed.life, format!("{:?} until {}", deed.what, deed.until)));
        let mut all: Vec<(i64, usize, String)> = lines.chain(deeds).collect();
        all.sort_unstable();
        all.iter().try_for_each(|(at, life, what)| writeln!(f, "{at} {life} {what}"))
    }
}

/// How long it took until another process began a run of a job that a victim had begun last: of victims that were killed or
/// stopped, in the middle of that run or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Takeover {
    what: What,
    in_run: bool,
}

/// What was seen.
#[derive(Default)]
pub struct Figures {
    lives: usize,
    deeds: BTreeMap<What, usize>,
    occurrences: u64,
    runs: usize,
    attempts: usize,
    /// Runs at most once that were cut off.
    cut_off: usize,
    /// Attempts at runs that had been begun before, and those of them whose first one came to its end all the same.
    again: usize,
    doubled: usize,
    /// Ends that came after a later attempt or run had ended, and would be refused by whoever goes by fences.
    outdated: usize,
    /// Rows that the store refused, since the run was not the process's any more.
    refused: usize,
    rows: usize,
    /// Runs of which a process was told that it had lost them; those whose job was told so when it asked.
    lost: usize,
    not_mine: usize,
    followed: usize,
    taken_over: BTreeMap<Takeover, Vec<i64>>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { lives, deeds, occurrences, runs, attempts, cut_off, again, doubled, .. } = self;
        let Figures { outdated, refused, rows, lost, not_mine, followed, taken_over, .. } = self;
        write!(
            f,
            "{lives} lives, {deeds:?}; {occurrences} occurrences in {runs} runs and {attempts} attempts; {cut_off} cut off, {again} \
             begun again, {doubled} of them ended twice, {outdated} ends by an older fence; {rows} rows, {refused} refused; {lost} \
             claims lost, {not_mine} seen by the job; {followed} followed"
        )?;
        for (Takeover { what, in_run }, times) in taken_over {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |part: usize| times[(times.len() - 1) * part / 100] as f64 / LEASE.as_nanos() as f64;
            write!(
                f,
                "\n  {what:?} {}: {} taken over after {:.2} leases at least, {:.2} in the middle, {:.2} (99 %), {:.2} at most",
                if *in_run { "in a run" } else { "after a run" },
                times.len(),
                at(0),
                at(50),
                at(99),
                at(100)
            )?;
        }
        Ok(())
    }
}

/// An attempt as it was logged.
struct Attempt<'a> {
    life: usize,
    at: i64,
    begun: &'a Begun,
    ended: Option<Ended>,
    /// The store let it not write its row.
    refused: bool,
}

#[derive(Clone, Copy)]
struct Ended {
    at: i64,
    mine: bool,
    asked: i64,
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { life, at, ended, .. } = self;
        write!(f, "process {life} from {at} to {:?}", ended.map(|ended| ended.at))
    }
}

/// Number and attempt.
type Fence = (u64, u32);

/// What is known of one job.
struct Case<'a> {
    spec: &'a Spec,
    record: JobRecord,
    /// Runs that are over or to come, by number.
    runs: BTreeMap<u64, RunRecord>,
    attempts: BTreeMap<Fence, Vec<Attempt<'a>>>,
    /// Which process was told that it had lost a run, and when.
    lost: Vec<(u64, usize, i64)>,
    /// The attempts that wrote a row for a run.
    rows: HashMap<u64, Vec<u32>>,
}

impl Story {
    pub fn judge(&self, path: &Path, figures: &mut Figures) -> Result<(), Vec<String>> {
        let specs = crate::specs(self.seed);
        let mut faults = Vec::new();
        for (life, (at, line)) in self.lines() {
            if let Line::Trouble(what) | Line::Said(what) = line {
                faults.push(format!("process {life} at {at}: {what}"));
            }
        }
        figures.lives = self.lives.len();
        self.deeds.iter().for_each(|deed| *figures.deeds.entry(deed.what).or_default() += 1);
        let cases = self.cases(path, &specs).map_err(|error| [&faults[..], &[error]].concat())?;
        for case in &cases {
            let mut few = 3_u32;
            let mut fault = |what: String| {
                if few > 0 {
                    faults.push(format!("{}: {what}\n    {:?}", case.spec.name, case.spec));
                }
                few = few.saturating_sub(1);
            };
            case.claims(self, &mut fault, figures);
            case.ends(&mut fault, figures);
            case.losses(self, &mut fault);
            case.fences(&mut fault, figures);
            case.occurrences(&mut fault, figures);
            case.chain(&cases, &mut fault, figures);
            self.taken_over(case, figures);
        }
        if faults.is_empty() {
            return Ok(());
        }
        faults.truncate(20);
        Err(faults)
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &Written)> {
        self.lives.iter().enumerate().flat_map(|(life, lines)| lines.iter().map(move |line| (life, line)))
    }

    fn cases<'a>(&'a self, path: &Path, specs: &'a [Spec]) -> Result<Vec<Case<'a>>, String> {
        let said = |error: StoreError| error.to_string();
        let store = SqliteStore::open(path).map_err(said)?;
        store.check().map_err(said)?;
        let mut rows: HashMap<String, HashMap<u64, Vec<u32>>> = HashMap::new();
        for ((job, number), attempts) in jobs::rows(path).map_err(|error| error.to_string())? {
            rows.entry(job).or_default().insert(number, attempts);
        }
        let mut cases = Vec::new();
        for spec in specs {
            let of = HistoryQuery { job: Some(spec.name.as_str().into()), most: usize::MAX, ..HistoryQuery::default() };
            let record = store.load(&spec.name).map_err(said)?.ok_or_else(|| format!("{} is not known", spec.name))?;
            let mut runs = BTreeMap::new();
            for run in store.history(&of).map_err(said)?.into_iter().chain(record.open.iter().cloned()) {
                if let Some(other) = runs.insert(run.number, run.clone()) {
                    return Err(format!("{}: a run is there twice: {other:?}, {run:?}", spec.name));
                }
            }
            let rows = rows.remove(&spec.name).unwrap_or_default();
            cases.push(Case { spec, record, runs, attempts: BTreeMap::new(), lost: Vec::new(), rows });
        }
        let place: HashMap<&str, usize> = specs.iter().enumerate().map(|(place, spec)| (&*spec.name, place)).collect();
        for (life, (at, line)) in self.lines() {
            match line {
                Line::Begun(begun) => {
                    let attempts = cases[place[&*begun.job]].attempts.entry((begun.number, begun.attempt)).or_default();
                    attempts.push(Attempt { life, at: *at, begun, ended: None, refused: false });
                }
                Line::Ended { job, number, attempt, mine, asked, .. } => {
                    let ended = Ended { at: *at, mine: *mine, asked: *asked };
                    let attempt = cases[place[&**job]].attempt((*number, *attempt), life);
                    attempt.into_iter().for_each(|attempt| attempt.ended = Some(ended));
                }
                Line::Refused { job, number, attempt } => {
                    let attempt = cases[place[&**job]].attempt((*number, *attempt), life);
                    attempt.into_iter().for_each(|attempt| attempt.refused = true);
                }
                Line::Lost { job, number } => cases[place[&**job]].lost.push((*number, life, *at)),
                _ => {}
            }
        }
        Ok(cases)
    }

    /// Whether a process was killed or stopped between two instants.
    fn was_held_up(&self, life: usize, from: i64, to: i64) -> bool {
        self.deeds.iter().any(|deed| deed.life == life && deed.at <= to && deed.until >= from)
    }

    /// The longest time in which a process began no run, between two instants at which it did something.
    fn longest_pause(&self, life: usize, from: i64, to: i64) -> i64 {
        let begun = self.lives[life].iter().filter(|(_, line)| matches!(line, Line::Begun(_))).map(|(at, _)| *at);
        let mut all: Vec<i64> = begun.filter(|at| (from..to).contains(at)).chain([from, to]).collect();
        all.sort_unstable();
        all.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(0)
    }

    /// Whether some other process went on all the time.
    fn has_witness(&self, victim: usize, from: i64, to: i64) -> bool {
        self.lives.iter().enumerate().any(|(life, lines)| {
            let polled = lines.iter().find(|(_, line)| *line == Line::Polled).map(|(at, _)| *at);
            life != victim && polled.is_some_and(|at| at <= from) && !self.was_held_up(life, from, to)
        })
    }

    /// How long it took until another process began a run, while there was one that could.
    fn taken_over(&self, case: &Case<'_>, figures: &mut Figures) {
        let mut attempts: Vec<&Attempt<'_>> = case.attempts.values().flatten().collect();
        attempts.sort_unstable_by_key(|attempt| attempt.at);
        for deed in &self.deeds {
            let next = attempts.partition_point(|attempt| attempt.at <= deed.at);
            let before = next.checked_sub(1).map(|before| attempts[before]).filter(|before| before.life == deed.life);
            let taker = attempts.get(next).filter(|next| next.life != deed.life && next.at < deed.until);
            let Some((before, taker)) = before.zip(taker) else { continue };
            if self.has_witness(deed.life, deed.at, taker.at) {
                let in_run = before.ended.is_none_or(|ended| ended.at > deed.at);
                let takeover = Takeover { what: deed.what, in_run };
                figures.taken_over.entry(takeover).or_default().push(taker.at - deed.at);
            }
        }
    }
}

impl<'a> Case<'a> {
    fn attempt(&mut self, fence: Fence, life: usize) -> Option<&mut Attempt<'a>> {
        self.attempts.get_mut(&fence)?.iter_mut().find(|attempt| attempt.life == life)
    }

    fn is_done(run: &RunRecord) -> bool {
        matches!(run.state, RunState::Ended { end: RunEnd::Done, .. })
    }

    /// Each attempt is begun by one process, and a further one only after the one before was cut off.
    fn claims(&self, story: &Story, fault: &mut dyn FnMut(String), figures: &mut Figures) {
        figures.runs += self.runs.len();
        figures.attempts += self.attempts.len();
        let mut before: Option<(Fence, &Attempt<'_>)> = None;
        for (fence, attempts) in &self.attempts {
            let (number, attempt) = *fence;
            if attempts.len() > 1 || attempt > 1 && !self.spec.again {
                fault(format!("attempt {attempt} of run {number} was begun by {attempts:?}"));
            }
            let one = &attempts[0];
            match self.runs.get(&number) {
                None => fault(format!("run {number} was begun by {one:?}, and the store does not know it")),
                Some(run) => {
                    let Begun { first, due, folded, .. } = *one.begun;
                    if (first, due, folded) != (nanos(run.first_missed), nanos(run.due), run.folded) {
                        fault(format!("run {number} was told another due time than the store has: {:?}, {run:?}", one.begun));
                    }
                }
            }
            if let Some(((_, earlier), first)) = before.filter(|((same, _), _)| *same == number) {
                figures.again += 1;
                figures.doubled += usize::from(first.ended.is_some() && one.ended.is_some());
                // Its start was written before it began; a process that does not pause between the two has it for a lease at least.
                let lease = LEASE.as_nanos() as i64;
                let paused = || story.longest_pause(first.life, first.at - lease, one.at.max(first.at)) >= lease / 3;
                let early = one.at - first.at < lease / 2 && !paused();
                if early {
                    fault(format!("attempt {attempt} of run {number} was begun by {one:?}, attempt {earlier} by {first:?}"));
                }
            }
            before = Some((*fence, one));
        }
        let late = self.runs.values().filter(|run| run.attempt > 1 && !self.spec.again);
        late.for_each(|run| fault(format!("it was begun again: {run:?}")));
    }

    /// What the store says of each run is what a process wrote that had it.
    fn ends(&self, fault: &mut dyn FnMut(String), figures: &mut Figures) {
        let is_shared = self.spec.work == Work::Shared;
        figures.lost += self.lost.len();
        for (number, run) in &self.runs {
            let rows = self.rows.get(number).map_or(&[][..], |rows| rows);
            figures.rows += rows.len();
            if is_shared && *rows != [run.attempt][..usize::from(Case::is_done(run))] {
                fault(format!("attempts {rows:?} have written its row: {run:?}"));
            }
            let by = self.attempts.get(&(*number, run.attempt)).map(|attempts| &attempts[0]);
            match run.state {
                RunState::Ended { end: RunEnd::Done, .. } => {
                    let ended = by.is_some_and(|by| by.ended.is_some() || !rows.is_empty());
                    // Told before it was begun, it was an earlier attempt of that process.
                    let is_lost = |by: &Attempt<'_>| {
                        self.lost.iter().any(|(lost, life, at)| lost == number && *life == by.life && *at >= by.at)
                    };
                    if !ended || by.is_some_and(|by| by.refused || is_lost(by) && !is_shared) {
                        fault(format!("run {number} was begun by {by:?}, lost by {:?}: {run:?}", self.lost));
                    }
                }
                RunState::CutOff { .. } if !self.spec.again => figures.cut_off += 1,
                RunState::Waiting { .. } => {}
                _ => fault(format!("run {number} has ended otherwise: {run:?}")),
            }
        }
    }

    /// Who goes on writing that runs begin prolongs its holds meanwhile, and loses none.
    fn losses(&self, story: &Story, fault: &mut dyn FnMut(String)) {
        for (number, life, at) in &self.lost {
            let by = self.attempts.range((*number, 0)..=(*number, u32::MAX)).flat_map(|(_, attempts)| attempts);
            let Some(last) = by.filter(|attempt| attempt.life == *life && attempt.at <= *at).map(|attempt| attempt.at).max()
            else {
                continue;
            };
            // It may have claimed it before a pause, and begun it after.
            let lease = LEASE.as_nanos() as i64;
            let pause = story.longest_pause(*life, last - lease, *at);
            if pause < lease / 3 {
                fault(format!(
                    "process {life} lost run {number} at {at}, begun at {last}, and never paused for longer than {pause}"
                ));
            }
        }
    }

    /// Who asks whether it still has its job is told the truth; and whoever it writes to, if he lets nobody write whose fence is
    /// not greater than the last one's, lets all those write that have their run to the end.
    fn fences(&self, fault: &mut dyn FnMut(String), figures: &mut Figures) {
        let mut all: Vec<(&Fence, &Attempt<'_>)> =
            self.attempts.iter().flat_map(|(fence, attempts)| attempts.iter().map(move |attempt| (fence, attempt))).collect();
        figures.refused += all.iter().filter(|(_, attempt)| attempt.refused).count();
        // When the first one with a greater fence began.
        let mut next: Option<(i64, usize)> = None;
        for (fence, attempt) in all.iter().rev() {
            let ended = attempt.ended.filter(|ended| ended.mine);
            if let Some(((began, by), ended)) = next.zip(ended) {
                if began < ended.asked && by != attempt.life {
                    fault(format!("{fence:?} was told it was its own at {}: {attempt:?}; {by} had it from {began}", ended.asked));
                }
            }
            figures.not_mine += usize::from(attempt.ended.is_some_and(|ended| !ended.mine));
            next = Some(next.map_or((attempt.at, attempt.life), |next| next.min((attempt.at, attempt.life))));
        }
        if self.spec.work == Work::Shared {
            // It writes to the store's own file, and was let or refused there.
            return;
        }
        all.retain(|(_, attempt)| attempt.ended.is_some());
        all.sort_by_key(|(_, attempt)| attempt.ended.map(|ended| ended.at));
        let mut last: Fence = (0, 0);
        for (fence, attempt) in all {
            let run = self.runs.get(&fence.0);
            let has_it = run.is_some_and(|run| Case::is_done(run) && run.attempt == fence.1);
            if *fence > last {
                last = *fence;
                continue;
            }
            figures.outdated += 1;
            if has_it {
                fault(format!("{fence:?} would be refused after {last:?}: {attempt:?}, {run:?}"));
            }
        }
    }

    /// Each occurrence belongs to one run.
    fn occurrences(&self, fault: &mut dyn FnMut(String), figures: &mut Figures) {
        let When::Every(milliseconds) = self.spec.when else { return };
        let period = milliseconds as i64 * 1_000_000;
        let due = (nanos(self.record.searched) - nanos(self.record.anchor)) / period;
        let run: u64 = self.runs.values().map(|run| run.folded).sum();
        figures.occurrences += run;
        if due != run as i64 {
            fault(format!("{due} occurrences, {run} were run"));
        }
        for (run, next) in self.runs.values().zip(self.runs.values().skip(1)) {
            // The two clocks are not read at one instant, so due times shake.
            let step = nanos(next.first_missed) - nanos(run.due);
            if step < period / 2 || step > period * 3 / 2 {
                fault(format!("occurrences were lost or taken up twice: {run:?}, {next:?}"));
            }
        }
    }

    /// Each success is followed once.
    fn chain(&self, cases: &[Case<'_>], fault: &mut dyn FnMut(String), figures: &mut Figures) {
        let When::Follows(of, _) = self.spec.when else { return };
        let done: Vec<u64> = cases[of].runs.values().filter(|run| Case::is_done(run)).map(|run| run.number).collect();
        let mut followed: Vec<u64> = self.runs.values().flat_map(|run| &run.follows).map(|run| run.number).collect();
        followed.sort_unstable();
        figures.followed += followed.len();
        if done != followed {
            let lost: Vec<_> = done.iter().filter(|number| !followed.contains(number)).collect();
            let wrong: Vec<_> = followed.iter().filter(|number| !done.contains(number)).collect();
            fault(format!("not followed: {lost:?}; followed and not done: {wrong:?}; or one was followed twice"));
        }
    }
}
