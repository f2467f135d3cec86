//! A store that lives as long as the process: for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Batch, Change, Done, Held, HistoryQuery, JobChange, JobRecord, Keep, Kept, RunRecord, RunState, Store, StoreError};
use crate::clock::Clock;
use crate::sync::Mutex;

/// A store in memory. Clones are the same store, so that a test can end one scheduler and begin the next on it.
///
/// ```
/// use punctual::{ManualClock, MemoryStore, Store};
///
/// let clock = ManualClock::new("2026-03-01T12:00:00Z".parse()?);
/// let store = MemoryStore::new(clock);
/// assert_eq!(store.load("quakes")?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    kept: Arc<Mutex<Records>>,
    /// By which holds run out.
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Records {
    jobs: BTreeMap<Arc<str>, Job>,
}

struct Job {
    record: JobRecord,
    /// Who holds it, and until when since boot.
    held: Option<(Arc<str>, Duration)>,
    /// By number.
    ended: BTreeMap<u64, RunRecord>,
}

impl MemoryStore {
    /// An empty store, whose holds run out by a clock's time since boot.
    pub fn new(clock: impl Clock) -> Self {
        MemoryStore { kept: Arc::default(), clock: Arc::new(clock) }
    }

    fn time(&self) -> Duration {
        self.clock.boot().unwrap_or_else(|| self.clock.monotonic())
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("jobs", &self.kept.lock().jobs.len()).finish()
    }
}

impl Store for MemoryStore {
    fn load(&self, name: &str) -> Result<Option<JobRecord>, StoreError> {
        let time = self.time();
        let kept = self.kept.lock();
        Ok(kept.jobs.get(name).map(|job| JobRecord { held: job.held(time), ..job.record.clone() }))
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.kept.lock().jobs.keys().map(|name| name.to_string()).collect())
    }

    fn write(&self, batch: Batch, done: Done) {
        let time = self.time();
        let answers = {
            let mut kept = self.kept.lock();
            let Batch { node, changes } = batch;
            changes.into_iter().map(|change| kept.write(&node, change, time)).collect()
        };
        done.with(Ok(answers));
    }

    fn history(&self, query: &HistoryQuery) -> Result<Vec<RunRecord>, StoreError> {
        let kept = self.kept.lock();
        let of_job = |job: &&Job| query.job.as_ref().is_none_or(|name| *name == job.record.name);
        let mut found: Vec<RunRecord> = kept.jobs.values().filter(of_job).flat_map(|job| job.ended.values().cloned()).collect();
        found.retain(|run| {
            let at = ended_at(run);
            query.since.is_none_or(|since| at >= Some(since)) && query.before.is_none_or(|before| at < Some(before))
        });
        found.sort_by(|one, other| {
            ended_at(other).cmp(&ended_at(one)).then_with(|| (&one.job, other.number).cmp(&(&other.job, one.number)))
        });
        found.truncate(query.most);
        Ok(found)
    }

    fn prune(&self, keep: &Keep, most: usize) -> Result<usize, StoreError> {
        let mut kept = self.kept.lock();
        let mut beyond = Vec::new();
        for (name, job) in &kept.jobs {
            let too_many =
                keep.count.map_or(0, |count| job.ended.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX)));
            for (place, run) in job.ended.values().enumerate() {
                let too_old = keep.since.is_some_and(|since| ended_at(run) < Some(since));
                if place < too_many || too_old {
                    beyond.push((ended_at(run), name.clone(), run.number));
                }
            }
        }
        beyond.sort();
        beyond.truncate(most);
        for (_, name, number) in &beyond {
            kept.jobs.get_mut(name).map(|job| job.ended.remove(number));
        }
        Ok(beyond.len())
    }

    fn purge(&self, name: &str) -> Result<bool, StoreError> {
        let time = self.time();
        let mut kept = self.kept.lock();
        if let Some(held) = kept.jobs.get(name).and_then(|job| job.held(time)) {
            return Err(StoreError::Held { job: name.to_owned(), by: held.by.to_string() });
        }
        Ok(kept.jobs.remove(name).is_some())
    }
}

impl Records {
    fn write(&mut self, node: &Arc<str>, change: Change, time: Duration) -> Kept {
        let refused = change.jobs.iter().find(|job| !self.may_write(node, job, time));
        if let Some(refused) = refused {
            return Kept::No { job: refused.record.name.clone() };
        }
        for JobChange { record, ended, hold, formerly } in change.jobs {
            let before = formerly.as_ref().and_then(|name| self.jobs.remove(name));
            let name = record.name.clone();
            let mut history = before.or_else(|| self.jobs.remove(&name)).map(|job| job.ended).unwrap_or_default();
            for run in history.values_mut() {
                run.job = name.clone();
            }
            history.extend(ended.into_iter().map(|run| (run.number, run)));
            let held = (!hold.is_zero()).then(|| (node.clone(), time.saturating_add(hold)));
            let record = JobRecord { version: record.version + 1, held: None, ..record };
            self.jobs.insert(name, Job { record, held, ended: history });
        }
        Kept::Yes
    }

    /// Whether nobody else holds a job, and it is as the writer knows it.
    fn may_write(&self, node: &Arc<str>, change: &JobChange, time: Duration) -> bool {
        let known = change.formerly.as_ref().unwrap_or(&change.record.name);
        let taken = change.formerly.is_some() && self.jobs.contains_key(&change.record.name);
        let job = self.jobs.get(known);
        let version = job.map_or(0, |job| job.record.version);
        let elsewhere = job.and_then(|job| job.held(time)).is_some_and(|held| held.by != *node);
        version == change.record.version && !elsewhere && !taken
    }
}

impl Job {
    fn held(&self, time: Duration) -> Option<Held> {
        let (by, until) = self.held.as_ref()?;
        let left = until.saturating_sub(time);
        (!left.is_zero()).then(|| Held { by: by.clone(), left })
    }
}

fn ended_at(run: &RunRecord) -> Option<chrono::DateTime<chrono::Utc>> {
    match run.state {
        RunState::Ended { at, .. } | RunState::CutOff { at, .. } => Some(at),
        _ => None,
    }
}
