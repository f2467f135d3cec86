//! What is kept of a job: its record as its store has it, and as it is to be written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::entry::{AskedBy, Attempt, Besides, Followed, Job, Live, Rest, State, Waiting};
use super::plan::Plan;
use super::value::bytes_of;
use crate::caught::caught;
use crate::clock::{Clock, Now};
use crate::event::FailureKind;
use crate::job::RunEnd;
use crate::policy::{CutOff, OnChange};
use crate::run::{Claim, LateBy, RunFacts};
use crate::schedule::{from_nanos, to_nanos};
use crate::store::{FollowedRun, JobChange, JobRecord, LONGEST_ERROR, RunRecord, RunState};

/// Of each job so many runs that have ended wait at most to be written; then the oldest are forgotten.
const MOST_UNWRITTEN: usize = 1000;

/// What is said of how a job is kept.
#[derive(Default)]
pub(super) struct Keep {
    pub(super) cut_off: CutOff,
    pub(super) on_change: OnChange,
    pub(super) formerly: Vec<String>,
    pub(super) hold_after: Option<u32>,
}

impl Keep {
    /// Unless a job says otherwise.
    pub(super) const USUAL: Keep =
        Keep { cut_off: CutOff::Leave, on_change: OnChange::Reanchor, formerly: Vec::new(), hold_after: None };
}

/// What is kept of a job, as its store has it.
pub(super) struct KeptJob {
    pub(super) name: Arc<str>,
    /// Under which name the store knows it, if that is another.
    pub(super) formerly: Option<Arc<str>>,
    /// The record as it was last written.
    last: JobRecord,
    /// Runs that have ended and are not yet written.
    pub(super) ended: VecDeque<RunRecord>,
    /// Runs of an earlier process that were done, which nobody here knows of yet.
    pub(super) done: Vec<RunRecord>,
    last_run: u64,
    /// The last number that may be on the disk.
    sent_run: u64,
    pub(super) last_end: Option<i64>,
    pub(super) crashes: u32,
    pub(super) touched: bool,
    pub(super) cut_off: CutOff,
    pub(super) hold_after: Option<u32>,
    /// Whether it is still this process's.
    pub(super) claim: Arc<Claim>,
    /// When the hold on it is to be prolonged, in elapsed time, and whether that is now.
    pub(super) renew_at: Option<i64>,
    pub(super) renews: bool,
    /// Whether its last run was cut off, which its next one is told.
    pub(super) was_cut_off: bool,
}

impl KeptJob {
    pub(super) fn new(
        name: Arc<str>,
        keep: &Keep,
        known: Option<JobRecord>,
        formerly: Option<Arc<str>>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let last = known.unwrap_or_else(|| JobRecord::new(name.clone(), from_nanos(0)));
        KeptJob {
            name,
            formerly,
            ended: VecDeque::new(),
            done: Vec::new(),
            last_run: last.last_run,
            sent_run: last.last_run,
            last_end: last.last_end.as_ref().map(to_nanos),
            crashes: last.crashes,
            touched: false,
            cut_off: keep.cut_off,
            hold_after: keep.hold_after,
            claim: Arc::new(Claim::new(clock.clone())),
            renew_at: None,
            renews: false,
            was_cut_off: last.crashes > 0,
            last,
        }
    }

    /// Its record is another than was thought.
    pub(super) fn is_now(&mut self, record: JobRecord) {
        self.last_run = self.last_run.max(record.last_run);
        self.sent_run = self.last_run;
        self.last_end = record.last_end.as_ref().map(to_nanos);
        self.crashes = record.crashes;
        self.formerly = Some(record.name.clone()).filter(|name| *name != self.name);
        self.last = record;
    }

    /// The record from which its schedule carries on, if it does.
    pub(super) fn carries_on(&self, plan: &Plan) -> Option<JobRecord> {
        let same = plan.has_callbacks() || self.last.schedule == plan.schedule.to_string();
        (self.last.version > 0 && same).then(|| self.last.clone())
    }

    /// The name that its record has.
    pub(super) fn known_as(&self) -> &Arc<str> {
        self.formerly.as_ref().unwrap_or(&self.name)
    }

    /// There is no record of it under the name by which it was known.
    pub(super) fn is_gone(&mut self) {
        self.formerly = None;
        self.last.version = 0;
    }

    /// What it has gathered of those of which it follows all, as it was last written.
    pub(super) fn gathered(&self) -> &[FollowedRun] {
        &self.last.gathered
    }

    /// Whether a run that it is to follow, besides others, was written.
    pub(super) fn has_gathered(&self, run: &RunFacts) -> bool {
        self.last.gathered.iter().any(|known| known.number == run.number && run.name.as_deref() == Some(&known.job))
    }

    /// Whether one of its runs was written as one that has not ended.
    pub(super) fn has_open(&self, number: u64) -> bool {
        self.last.open.iter().any(|run| run.number == number)
    }

    /// Whether it was paused when it was last written.
    pub(super) fn was_paused(&self) -> bool {
        self.last.paused
    }

    /// A run of an earlier process was cut off, and is not run again.
    pub(super) fn was_left(&mut self, run: &RunRecord, started: DateTime<Utc>, now: Now) {
        self.is_over(RunRecord { state: RunState::CutOff { started, at: from_nanos(now.wall) }, ..run.clone() });
    }

    /// A run of an earlier process was cut off and was to be run again, which does not come to pass.
    pub(super) fn was_given_up(&mut self, waiting: &Waiting, now: Now) {
        let state = RunState::Ended { started: None, at: from_nanos(now.wall), end: RunEnd::Stopped };
        let run = waiting.record(&self.name, now);
        self.is_over(RunRecord { state, ..run });
    }

    fn number(&mut self) -> u64 {
        self.last_run += 1;
        self.last_run
    }

    /// A run begins that may have a number already. Gives it, and whether the run before was cut off.
    pub(super) fn next_run(&mut self, number: u64) -> (u64, bool) {
        let number = if number == 0 { self.number() } else { number };
        (number, std::mem::take(&mut self.was_cut_off))
    }

    /// A run that was to begin did not. If it had its number from that, and no later one has another, that is free again. Gives
    /// whether it is.
    pub(super) fn not_begun(&mut self, facts: &RunFacts, is_new: bool) -> bool {
        self.was_cut_off |= facts.previous_was_cut_off;
        let is_free = is_new && facts.number == self.last_run && facts.number > self.sent_run;
        self.last_run -= u64::from(is_free);
        is_free
    }

    /// A run is over, at an instant of the wall clock.
    pub(super) fn has_ended(&mut self, attempt: &Attempt, end: RunEnd, at: i64, now: Now) {
        (self.crashes, self.was_cut_off) = (0, false);
        self.last_end = Some(at);
        let state = RunState::Ended { started: Some(from_nanos(attempt.started)), at: from_nanos(at), end };
        let error = attempt.error.as_deref().map(str::to_owned).filter(|_| end.is_failure());
        let follows = follows(attempt.after.as_ref(), now);
        let run = RunRecord { state, took: attempt.took, error, follows, ..of_facts(&attempt.view.facts, &self.name) };
        self.is_over(run);
    }

    fn is_over(&mut self, mut run: RunRecord) {
        run.follows.iter_mut().for_each(|followed| followed.value = None);
        if self.ended.len() == MOST_UNWRITTEN {
            self.ended.pop_front();
        }
        self.ended.push_back(run);
    }

    /// Its record is as it was sent.
    pub(super) fn was_kept(&mut self, record: JobRecord) {
        self.last = record;
        self.formerly = None;
    }

    /// What was sent was not written.
    pub(super) fn comes_back(&mut self, sent: Vec<RunRecord>) {
        self.sent_run = self.last.last_run;
        let room = MOST_UNWRITTEN.saturating_sub(self.ended.len());
        sent.into_iter().rev().take(room).for_each(|run| self.ended.push_front(run));
    }
}

impl<C> Job<C> {
    /// What is to be written of it, and whether it differs from its record. What it was registered with may be another text
    /// than that of another process's release: if the store is shared that is no reason to write.
    pub(super) fn as_kept(&mut self, shared: bool, now: Now) -> Option<(JobChange, bool)> {
        let Besides { kept, waiting, .. } = self.besides.used()?;
        let kept = kept.as_deref_mut()?;
        kept.touched = false;
        // A backfill that goes on in the next process finds what it has yet to run by itself.
        let is_new = |waiting: &&mut Waiting| waiting.number == 0 && waiting.by != AskedBy::Backfill;
        for waiting in waiting.iter_mut().filter(is_new) {
            waiting.number = kept.number();
        }
        let mut record = self.record(now)?;
        let kept = self.kept_mut()?;
        let mut said = None;
        if shared && kept.last.version > 0 && record.schedule != kept.last.schedule {
            said = Some(std::mem::replace(&mut record.schedule, kept.last.schedule.clone()));
        }
        let differs = record != kept.last || !kept.ended.is_empty() || kept.renews;
        record.schedule = said.unwrap_or(record.schedule);
        let ended = if differs { std::mem::take(&mut kept.ended).into() } else { Vec::new() };
        kept.sent_run = record.last_run;
        Some((JobChange { record, ended, hold: Duration::ZERO, formerly: kept.formerly.clone() }, differs))
    }

    pub(super) fn record(&self, now: Now) -> Option<JobRecord> {
        let kept = self.kept.as_deref()?;
        let wall = |elapsed: i64| from_nanos(elapsed.saturating_add(now.ahead()));
        let on_scale = |at: i64| from_nanos(self.plan.as_ref().map_or(at, |plan| plan.wall(at, now)));
        let text = self.plan.as_ref().filter(|plan| !plan.has_callbacks()).map(|plan| plan.schedule.to_string());
        let waiting = self.waiting.iter().filter(|waiting| waiting.number > 0 || waiting.by != AskedBy::Backfill);
        let waiting = waiting.map(|waiting| waiting.record(&kept.name, now));
        let mut open: Vec<RunRecord> = self.live.iter().map(|live| live.record(&kept.name, now)).chain(waiting).collect();
        open.sort_by_key(|run| run.number);
        let gathered = self.chain.iter().filter_map(|chain| chain.all.as_ref()).flat_map(|all| all.gathered());
        let gathered = gathered.flat_map(|one| follows(Some(one), now)).collect();
        Some(JobRecord {
            name: kept.name.clone(),
            version: kept.last.version,
            schedule: text.unwrap_or_default(),
            anchor: self.plan.as_ref().map_or(kept.last.anchor, |plan| on_scale(plan.registered)),
            searched: on_scale(self.searched),
            missed_until: (self.missed_until != i64::MIN).then(|| on_scale(self.missed_until)),
            last_due: self.last_due.map(from_nanos),
            last_start: self.last_start.map(wall),
            last_end: kept.last_end.map(from_nanos),
            failures: self.failures,
            crashes: kept.crashes,
            paused: matches!(self.rest, Rest::Paused | Rest::Retired { was_paused: true }),
            runs_left: self.runs_left,
            last_run: kept.last_run,
            open,
            gathered,
            held: None,
        })
    }
}

impl Live {
    fn record(&self, name: &Arc<str>, now: Now) -> RunRecord {
        let Attempt { view, after, started, took, error, .. } = &*self.attempt;
        let wall = |elapsed: i64| from_nanos(elapsed.saturating_add(now.ahead()));
        let state = match &self.state {
            State::Again { again, .. } => RunState::Again { from: wall(*again) },
            _ => RunState::Started { at: from_nanos(*started) },
        };
        let error = error.as_deref().map(str::to_owned);
        RunRecord { state, took: *took, error, follows: follows(after.as_ref(), now), ..of_facts(&view.facts, name) }
    }
}

impl Waiting {
    fn record(&self, name: &Arc<str>, now: Now) -> RunRecord {
        let from = from_nanos(self.ready.saturating_add(now.ahead()));
        RunRecord {
            job: name.clone(),
            number: self.number,
            due: from_nanos(self.due.due),
            first_missed: from_nanos(self.due.first),
            folded: self.due.folded,
            attempt: self.cut_off,
            state: RunState::Waiting { from, by_hand: self.by == AskedBy::Hand },
            late: Duration::ZERO,
            late_by: LateBy::Host,
            took: Duration::ZERO,
            error: None,
            follows: follows(self.after.as_ref(), now),
        }
    }
}

/// The record of a run, as far as it is known when it starts.
fn of_facts(facts: &RunFacts, name: &Arc<str>) -> RunRecord {
    RunRecord {
        job: name.clone(),
        number: facts.number,
        due: facts.due,
        first_missed: facts.first_missed,
        folded: facts.folded,
        attempt: facts.attempt,
        state: RunState::Started { at: facts.due },
        late: facts.late,
        late_by: facts.late_by,
        took: Duration::ZERO,
        error: None,
        follows: Vec::new(),
    }
}

fn follows(after: Option<&Followed>, now: Now) -> Vec<FollowedRun> {
    let Some(after) = after else { return Vec::new() };
    let ended = from_nanos(after.ended.saturating_add(now.ahead()));
    let of = |(run, value): (&Arc<RunFacts>, Option<Arc<[u8]>>)| FollowedRun {
        job: run.name.clone().unwrap_or_default(),
        number: run.number,
        due: run.due,
        attempt: run.attempt,
        ended,
        value,
    };
    after.runs.iter().zip(bytes_of(after.value.as_ref(), after.runs.len())).map(of).collect()
}

/// As much of a failure's text as is kept. It is the user's code that writes it, which may panic: not for under a lock.
pub(super) fn text_of(kind: &FailureKind) -> String {
    let mut text = caught(|| kind.to_string()).unwrap_or_else(|_| "an error whose text panics".to_owned());
    if text.len() > LONGEST_ERROR {
        let end = (0..=LONGEST_ERROR).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
