//! What is kept of jobs in a store, and how they carry on from there.
//!
//! A named job is kept, if its scheduler has a store. Whatever touches it only puts it on a list. Once in a poll, before the
//! first of its runs starts, all that was touched is written in one batch: the runs that are about to start, those that have
//! ended since, and what they set off. A run is called once its start is kept. So the poll first gathers what is due, up to what
//! its budget is likely to hold, then writes, then calls; what ends is written by the next poll, for which the scheduler asks
//! at once.
//!
//! A store may answer a write late. Until then the runs that it is asked for wait, and everything else goes on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::begin::Starting;
use super::entry::{Attempt, Besides, BlockedBy, Job, Live, State, Waiting};
use super::lease::Lease;
use super::part::{self, Parting};
use super::record::KeptJob;
use super::step::{Moment, Step};
use super::table::Table;
use crate::clock::Now;
use crate::event::Event;
use crate::id::JobId;
use crate::policy::{CutOff, WithoutStore};
use crate::schedule::length;
use crate::store::{Batch, Change, JobChange, JobRecord, Kept, RunRecord, StoreError};

/// After a write that failed the next one waits this long, twice as long each time, up to the most.
const FIRST_WAIT: i64 = 1_000_000_000;
const MOST_WAIT: i64 = 60 * FIRST_WAIT;

/// While another process writes, the next try comes after the first of these, twice as long each time, up to the second; after
/// the third it has failed.
const BUSY_WAIT: i64 = 5_000_000;
const MOST_BUSY_WAIT: i64 = 100_000_000;
const BUSY_FOR: i64 = 5_000_000_000;

/// So many runs are gathered for one write at most.
const MOST_GATHERED: usize = 1000;

/// The table's side of the store.
pub(super) struct Keeping {
    /// Who writes.
    node: Arc<str>,
    pub(super) names: HashMap<Arc<str>, JobId>,
    /// Jobs that are gone and whose last record is not written.
    pub(super) parting: Vec<Parting>,
    /// Jobs of which runs of an earlier process are to be taken as ended.
    pub(super) done: Vec<JobId>,
    /// Jobs that may differ from their record.
    touched: Vec<JobId>,
    /// Runs that are about to start, in their order.
    pub(super) starting: VecDeque<About>,
    /// How long they are likely to take together.
    gathered: Duration,
    /// What was sent to the store and is not answered.
    writing: Option<Vec<Vec<Sent>>>,
    pub(super) answer: Option<Result<Vec<Kept>, StoreError>>,
    /// In which poll something was last written.
    written_in: u64,
    /// How it goes on after a write that failed.
    again: Option<Again>,
    without: Option<WithoutStore>,
    /// If other processes use the store too.
    pub(super) lease: Option<Lease>,
}

/// A write failed, and is tried again.
struct Again {
    /// From when on, in elapsed time.
    at: i64,
    /// How long it waited for that.
    waited: i64,
    /// Since when another process has been writing, if that is all.
    busy_since: Option<i64>,
}

impl Keeping {
    pub(super) fn new(node: Arc<str>, without: Option<WithoutStore>, lease: Option<Duration>) -> Self {
        Keeping {
            node,
            names: HashMap::new(),
            parting: Vec::new(),
            done: Vec::new(),
            touched: Vec::new(),
            starting: VecDeque::new(),
            gathered: Duration::ZERO,
            writing: None,
            answer: None,
            written_in: 0,
            again: None,
            without,
            lease: lease.map(Lease::new),
        }
    }

    /// Until when another process holds a job, in elapsed time.
    pub(super) fn held_elsewhere(&self, record: &JobRecord, now: Now) -> Option<i64> {
        let held = record.held.as_ref().filter(|held| held.by != self.node)?;
        Some(now.elapsed.saturating_add(length(held.left).max(1)))
    }

    fn is_settled(&self) -> bool {
        self.touched.is_empty() && self.parting.is_empty()
    }

    /// From when on there is something to write that may be written, in elapsed time.
    fn writes_at(&self) -> Option<i64> {
        if self.writing.is_some() {
            return None;
        }
        let wanted = if self.is_settled() { self.lease.as_ref().and_then(Lease::renews_at)? } else { i64::MIN };
        Some(self.again.as_ref().map_or(wanted, |again| wanted.max(again.at)))
    }

    /// How it goes on after a write that failed now. That another process writes at the moment is no failure until it has done
    /// so for long.
    fn after_failure(&self, is_busy: bool, now: Now) -> Again {
        let before = self.again.as_ref();
        let next = |first: i64, most: i64, waited: Option<i64>| waited.map_or(first, |waited| waited.saturating_mul(2).min(most));
        let busy_since = before.and_then(|again| again.busy_since);
        let since = busy_since.unwrap_or(now.elapsed);
        let is_new = before.is_none() || busy_since.is_some();
        let (waited, busy_since) = if is_busy && is_new && now.elapsed.saturating_sub(since) < BUSY_FOR {
            let waited = before.filter(|_| busy_since.is_some()).map(|again| again.waited);
            (next(BUSY_WAIT, MOST_BUSY_WAIT, waited), Some(since))
        } else {
            (next(FIRST_WAIT, MOST_WAIT, before.filter(|_| busy_since.is_none()).map(|again| again.waited)), None)
        };
        Again { at: now.elapsed.saturating_add(waited), waited, busy_since }
    }
}

/// A job as it was sent.
pub(super) struct Sent {
    pub(super) id: JobId,
    pub(super) record: JobRecord,
    pub(super) ended: Vec<RunRecord>,
    pub(super) hold: Duration,
    pub(super) formerly: Option<Arc<str>>,
    /// What is kept of it, if it is gone, and who followed it.
    pub(super) parting: Option<(Box<KeptJob>, Vec<JobId>)>,
}

impl Sent {
    fn change(&self) -> JobChange {
        let Sent { record, ended, hold, formerly, .. } = self;
        JobChange { record: record.clone(), ended: ended.clone(), hold: *hold, formerly: formerly.clone() }
    }
}

impl<C> Table<C> {
    /// Whether a job is kept, so that its runs are written before they start.
    pub(super) fn is_kept(&self, id: JobId) -> bool {
        self.get(id).is_some_and(|job| job.kept.is_some())
    }

    /// A job may differ from its record.
    pub(super) fn touch(&mut self, id: JobId) {
        if self.keeping.is_none() {
            return;
        }
        let Some(job) = self.get_mut(id).filter(|job| !job.is_elsewhere()) else { return };
        let Some(kept) = job.kept_mut() else { return };
        if !std::mem::replace(&mut kept.touched, true) {
            self.keeping.iter_mut().for_each(|keeping| keeping.touched.push(id));
        }
    }

    /// How long until a poll is needed for the store's sake: to write, to take in what was answered, or to prolong a hold; zero or
    /// less if one is needed now.
    pub(super) fn until_written(&self, now: Now) -> Option<i64> {
        let keeping = self.keeping.as_deref().filter(|_| self.awaited.is_none())?;
        let starts = || keeping.starting.iter().any(|starting| starting.granted) && !self.rests();
        if keeping.answer.is_some() || !keeping.done.is_empty() || starts() {
            return Some(0);
        }
        keeping.writes_at().map(|at| at.saturating_sub(now.elapsed))
    }

    /// When what is about to be written is sent, by the clock of claims.
    pub(super) fn sent_at(&mut self, now: Now, time: Duration) {
        self.keeping.iter_mut().filter_map(|keeping| keeping.lease.as_mut()).for_each(|lease| lease.sent_at(now, time));
    }

    /// Whether a kept job may still be gathered in this poll. Without its store it goes by its policy.
    pub(super) fn may_gather(&self, now: Now) -> Gathering {
        let Some(keeping) = &self.keeping else { return Gathering::Open };
        match &keeping.again {
            Some(again) if again.at > now.elapsed && again.busy_since.is_some() => Gathering::Soon(again.at),
            Some(again) if again.at > now.elapsed => Gathering::Without(again.at),
            _ if keeping.writing.is_some() || keeping.written_in == self.polls => Gathering::NextPoll,
            _ => Gathering::Open,
        }
    }

    /// Whether enough was gathered for what is left of the budget.
    pub(super) fn has_gathered(&self, left: Option<Duration>) -> bool {
        let Some(keeping) = self.keeping.as_ref().filter(|keeping| !keeping.starting.is_empty()) else { return false };
        keeping.starting.len() >= MOST_GATHERED || left.is_some_and(|left| keeping.gathered >= left)
    }

    /// Whether runs are being gathered, so that one that needs no record waits for its turn among them.
    pub(super) fn is_gathering(&self) -> bool {
        self.keeping.as_ref().is_some_and(|keeping| keeping.starting.iter().any(|starting| !starting.granted))
    }

    /// A run is about to start: it waits in its place until that is written.
    pub(super) fn gather(&mut self, id: JobId, attempt: Box<Attempt>, starting: Starting) {
        self.serial += 1;
        let serial = self.serial;
        let Some(job) = self.get_mut(id) else { return };
        let likely = job.history.last().map_or(Duration::ZERO, |last| last.took);
        job.besides.live.push(Live { serial, attempt, state: State::Starting(Box::new(starting)) });
        if let Some(keeping) = &mut self.keeping {
            keeping.gathered = keeping.gathered.saturating_add(likely);
            keeping.starting.push_back(About { id, serial, granted: false });
        }
        self.touch(id);
        self.requeue(id);
    }

    /// The next of the runs whose start is written.
    pub(super) fn start_granted(&mut self, moment: Moment) -> Option<Step<C>> {
        loop {
            let keeping = self.keeping.as_mut()?;
            let place = keeping.starting.iter().position(|starting| starting.granted)?;
            let About { id, serial, .. } = keeping.starting.remove(place)?;
            let Some((attempt, starting)) = self.taken_from_start(id, serial) else { continue };
            let step = self.begin_now(id, attempt, starting, moment);
            self.requeue(id);
            if step.is_some() {
                return step;
            }
        }
    }

    fn taken_from_start(&mut self, id: JobId, serial: u64) -> Option<(Box<Attempt>, Starting)> {
        let job = self.get_mut(id)?;
        let starts = |live: &Live| live.serial == serial && matches!(live.state, State::Starting(_));
        let place = job.live.iter().position(starts)?;
        let Live { attempt, state, .. } = job.besides.live.swap_remove(place);
        match state {
            State::Starting(starting) => Some((attempt, *starting)),
            _ => None,
        }
    }

    /// All that is to be written now, if it may be.
    pub(super) fn batch(&mut self, now: Now) -> Option<Batch> {
        let polls = self.polls;
        let keeping = self.keeping.as_ref().filter(|_| self.awaited.is_none())?;
        let waits = keeping.again.as_ref().is_some_and(|again| again.at > now.elapsed);
        if keeping.writing.is_some() || keeping.written_in == polls || waits {
            return None;
        }
        self.renew(now);
        let keeping = self.keeping.as_mut().filter(|keeping| !keeping.is_settled())?;
        let touched = std::mem::take(&mut keeping.touched);
        keeping.gathered = Duration::ZERO;
        let parting = std::mem::take(&mut keeping.parting);
        let shared = keeping.lease.is_some();
        let mut together: Vec<Vec<(JobId, JobChange)>> = Vec::new();
        for jobs in self.together(&touched, shared) {
            let changes = if shared { self.claimed(&jobs, now) } else { self.changed(&jobs, now) };
            together.extend(Some(changes).filter(|changes| !changes.is_empty()));
        }
        // What needs no record only kept its place.
        let unkept = |table: &Self, about: &About| !table.is_kept(about.id);
        let free: Vec<bool> =
            self.keeping.iter().flat_map(|keeping| &keeping.starting).map(|about| unkept(self, about)).collect();
        let keeping = self.keeping.as_mut()?;
        for (about, free) in keeping.starting.iter_mut().zip(free) {
            about.granted |= free || together.is_empty();
        }
        if together.is_empty() && parting.is_empty() {
            return None;
        }
        let sent = |(id, change): (JobId, JobChange)| {
            let JobChange { record, ended, hold, formerly } = change;
            Sent { id, record, ended, hold, formerly, parting: None }
        };
        let writing = together.into_iter().map(|change| change.into_iter().map(sent).collect()).collect();
        let writing: Vec<Vec<Sent>> = parting.into_iter().fold(writing, part::joined);
        let changes = writing.iter().map(|change| Change { jobs: change.iter().map(Sent::change).collect() }).collect();
        let keeping = self.keeping.as_mut()?;
        keeping.writing = Some(writing);
        keeping.written_in = polls;
        Some(Batch { node: keeping.node.clone(), changes })
    }

    /// Puts jobs together that are linked by chains, since the end of a run and those that it sets off belong together; with all
    /// that are linked to them, if they are held together.
    fn together(&self, touched: &[JobId], whole: bool) -> Vec<Vec<JobId>> {
        let mut place_of: HashMap<JobId, usize> = HashMap::new();
        let mut together: Vec<Vec<JobId>> = Vec::new();
        for id in touched {
            let place = place_of.get(id).copied().unwrap_or_else(|| {
                let place = together.len();
                together.push(Vec::new());
                let mut open = vec![*id];
                while let Some(id) = open.pop() {
                    if place_of.insert(id, place).is_some() {
                        continue;
                    }
                    let Some(job) = self.get(id) else { continue };
                    if whole && job.kept.is_some() {
                        together[place].push(id);
                    }
                    let linked = job.followers.iter().chain(job.chain.iter().flat_map(|chain| &chain.upstreams));
                    open.extend(linked.filter(|id| !place_of.contains_key(id)));
                }
                place
            });
            if !whole {
                together[place].push(*id);
            }
        }
        together
    }

    /// What is to be written of jobs: those that differ from their record.
    fn changed(&mut self, jobs: &[JobId], now: Now) -> Vec<(JobId, JobChange)> {
        let mut changes = Vec::new();
        for id in jobs {
            let change = self.get_mut(*id).and_then(|job| job.as_kept(false, now));
            changes.extend(change.filter(|(_, differs)| *differs).map(|(change, _)| (*id, change)));
        }
        changes
    }

    /// Whether the store has not answered yet.
    pub(super) fn is_writing(&self) -> bool {
        self.keeping.as_ref().is_some_and(|keeping| keeping.writing.is_some() && keeping.answer.is_none())
    }

    /// The store has answered; the poll that goes on takes it in, or the next one.
    pub(super) fn written(&mut self, answer: Result<Vec<Kept>, StoreError>) {
        self.keeping.iter_mut().for_each(|keeping| keeping.answer = Some(answer.clone()));
        self.news += u64::from(!self.is_polled_here());
    }

    /// Takes the store's answer in, if it has come. Gives the jobs whose record is another than was thought.
    pub(super) fn take_answer(&mut self, now: Now) -> Vec<(JobId, Arc<str>)> {
        let mut outdated = Vec::new();
        let Some(keeping) = &mut self.keeping else { return outdated };
        let Some(answer) = keeping.answer.take() else { return outdated };
        let Some(writing) = keeping.writing.take() else { return outdated };
        let answers = match answer {
            Ok(answers) => answers,
            Err(error) => {
                self.write_failed(writing, error, now);
                return outdated;
            }
        };
        let failed = self.keeping.as_mut().and_then(|keeping| keeping.again.take());
        if failed.is_some_and(|again| again.busy_since.is_none()) {
            self.tell(|_| Event::StoreRecovered);
        }
        for (change, answer) in writing.into_iter().zip(answers) {
            match answer {
                Kept::Yes => change.into_iter().for_each(|sent| self.was_kept(sent)),
                Kept::No { .. } => {
                    let alone = change.len() == 1;
                    for Sent { id, record, ended, parting, .. } in change {
                        if let Some((mut kept, _)) = parting {
                            // What it was written with may be what is outdated.
                            kept.comes_back(ended);
                            let parting = Parting { id, kept, record, followers: Vec::new() };
                            Some(parting).filter(|_| !alone).into_iter().for_each(|parting| self.part(parting));
                            continue;
                        }
                        self.not_started(id, None, now);
                        let Some(kept) = self.get_mut(id).and_then(|job| job.kept_mut()) else { continue };
                        kept.comes_back(ended);
                        kept.touched = false;
                        outdated.push((id, kept.known_as().clone()));
                    }
                }
            }
        }
        outdated
    }

    fn was_kept(&mut self, sent: Sent) {
        let Sent { id, mut record, hold, .. } = sent;
        record.version += 1;
        let Some(mut keeping) = self.keeping.take() else { return };
        keeping.starting.iter_mut().filter(|about| about.id == id).for_each(|about| about.granted = true);
        if let Some(kept) = self.get_mut(id).and_then(|job| job.kept_mut()) {
            kept.was_kept(record);
            if let Some(lease) = &mut keeping.lease {
                lease.was_kept(id, kept, hold);
            }
            self.keeping = Some(keeping);
            return;
        }
        self.keeping = Some(keeping);
        self.was_kept_before(id, record);
    }

    /// What waits has no number yet, unless its record says so.
    pub(super) fn unnumber(&mut self, id: JobId) {
        let Some(job) = self.get_mut(id) else { return };
        let Some(Besides { kept: Some(kept), waiting, .. }) = job.besides.used() else { return };
        for waiting in waiting {
            if !kept.has_open(waiting.number) {
                waiting.number = 0;
            }
        }
    }

    /// Nothing was written: it is tried again later, and what was about to start goes by its policy.
    fn write_failed(&mut self, writing: Vec<Vec<Sent>>, error: StoreError, now: Now) {
        let Some(keeping) = &mut self.keeping else { return };
        let is_busy = matches!(error, StoreError::Busy { .. });
        let again = keeping.after_failure(is_busy, now);
        let (at, wait, is_busy) = (again.at, again.waited, again.busy_since.is_some());
        keeping.again = Some(again);
        if !is_busy {
            self.tell(|_| Event::StoreFailed { error, again: Duration::from_nanos(wait.unsigned_abs()) });
        }
        for Sent { id, record, ended, parting, .. } in writing.into_iter().flatten() {
            if let Some((mut kept, followers)) = parting {
                kept.comes_back(ended);
                self.part(Parting { id, kept, record, followers });
                continue;
            }
            let Some(kept) = self.get_mut(id).and_then(|job| job.kept_mut()) else {
                self.comes_back_to(id, ended);
                continue;
            };
            kept.comes_back(ended);
            self.touch(id);
            match self.without_store(id) {
                _ if is_busy => self.not_started(id, None, now),
                WithoutStore::Hold => self.not_started(id, Some(at), now),
                WithoutStore::Run => {
                    let starting = self.keeping.iter_mut().flat_map(|keeping| &mut keeping.starting);
                    starting.filter(|about| about.id == id).for_each(|about| about.granted = true);
                }
            }
        }
    }

    /// Whether another job has a job's name already, and names tell jobs apart since there is a store.
    pub(super) fn is_taken(&self, job: &Job<C>) -> bool {
        self.keeping.as_ref().zip(job.name.as_ref()).is_some_and(|(keeping, name)| keeping.names.contains_key(name))
    }

    pub(super) fn is_named(&mut self, job: &Job<C>) {
        if let Some((keeping, name)) = self.keeping.as_mut().zip(job.name.clone()) {
            keeping.names.insert(name, job.id);
        }
    }

    /// Runs of earlier processes of a job, that have ended, are taken in by the next poll.
    pub(super) fn has_done(&mut self, id: JobId) {
        let any = self.get(id).and_then(|job| job.kept.as_ref()).is_some_and(|kept| !kept.done.is_empty());
        self.keeping.iter_mut().filter(|_| any).for_each(|keeping| keeping.done.push(id));
    }

    pub(super) fn named(&self, name: &str) -> Option<JobId> {
        self.keeping.as_ref()?.names.get(name).copied()
    }

    /// What was about to start does not.
    pub(super) fn none_starts(&mut self, now: Now) {
        let about: Vec<JobId> = self.keeping.iter().flat_map(|keeping| &keeping.starting).map(|about| about.id).collect();
        about.into_iter().for_each(|id| self.not_started(id, None, now));
    }

    /// What waited to start does not. If it had started before, that counts, and is to be seen in the history.
    pub(super) fn not_run_again(&mut self, id: JobId, waiting: &Waiting) {
        let now = self.watch.last();
        let Some(job) = self.get_mut(id).filter(|_| waiting.cut_off > 0) else { return };
        job.runs_left = job.runs_left.map(|left| left.saturating_sub(1));
        job.kept_mut().into_iter().for_each(|kept| kept.was_given_up(waiting, now));
    }

    /// What a job is to do while its store cannot be written. What others might run too waits, unless it was said otherwise.
    pub(super) fn without_store(&self, id: JobId) -> WithoutStore {
        let Some(keeping) = &self.keeping else { return WithoutStore::Run };
        let cut_off = self.get(id).and_then(|job| job.kept.as_ref()).map(|kept| kept.cut_off);
        let runs = keeping.lease.is_none() && cut_off == Some(CutOff::RunAgain);
        keeping.without.unwrap_or(if runs { WithoutStore::Run } else { WithoutStore::Hold })
    }

    /// A job's runs that were about to start do not: all is as before, and it waits.
    pub(super) fn not_started(&mut self, id: JobId, until: Option<i64>, now: Now) {
        let Some(keeping) = &mut self.keeping else { return };
        let mut mine = Vec::new();
        keeping.starting.retain(|about| {
            if about.id == id {
                mine.push(about.serial);
            }
            about.id != id
        });
        for serial in mine.into_iter().rev() {
            if let Some((attempt, starting)) = self.taken_from_start(id, serial) {
                self.give_back(attempt.limits(), false, now.elapsed);
                let Starting { origin, before, .. } = starting;
                self.set_back(id, attempt, origin, before, now);
            }
        }
        // Who is held back already meets the store once that is over, and until then keeps its place in line.
        let until = until.filter(|_| self.get(id).is_some_and(|job| job.block.is_none()));
        match until {
            Some(until) => self.block(id, BlockedBy::Store, Some(until), None, now),
            None => self.requeue(id),
        }
    }
}

/// A run that is about to start.
pub(super) struct About {
    pub(super) id: JobId,
    serial: u64,
    granted: bool,
}

/// Whether a run of a kept job can be gathered.
pub(super) enum Gathering {
    Open,
    /// Something was written in this poll already, or is being written.
    NextPoll,
    /// Another process is writing; it is tried again then.
    Soon(i64),
    /// The store cannot be written, until then.
    Without(i64),
}
