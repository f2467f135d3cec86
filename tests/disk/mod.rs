//! A store in whose way a test stands.

use punctual::{Batch, Done, HistoryQuery, JobRecord, Keep, MemoryStore, RunEnd, RunRecord, RunState, Store, StoreError};

/// What is written goes by `way`; all else is the store's own.
pub struct Disk<F> {
    pub store: MemoryStore,
    pub way: F,
}

impl<F: Fn(&MemoryStore, Batch, Done) + Send + Sync + 'static> Store for Disk<F> {
    fn load(&self, name: &str) -> Result<Option<JobRecord>, StoreError> {
        self.store.load(name)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        self.store.names()
    }

    fn write(&self, batch: Batch, done: Done) {
        (self.way)(&self.store, batch, done);
    }

    fn history(&self, query: &HistoryQuery) -> Result<Vec<RunRecord>, StoreError> {
        self.store.history(query)
    }

    fn prune(&self, keep: &Keep, most: usize) -> Result<usize, StoreError> {
        self.store.prune(keep, most)
    }

    fn purge(&self, name: &str) -> Result<bool, StoreError> {
        self.store.purge(name)
    }
}

/// All runs of a job that have ended.
#[allow(dead_code, reason = "not every test has machines")]
pub fn ended(store: &MemoryStore, job: &str) -> Result<Vec<RunRecord>, String> {
    let query = HistoryQuery { job: Some(job.into()), most: usize::MAX, ..HistoryQuery::default() };
    store.history(&query).map_err(|error| error.to_string())
}

/// Whether a job has followed each success of another one once, or is still to.
#[allow(dead_code, reason = "not every test has machines")]
pub fn follows_once(store: &MemoryStore, job: &str, before: &str) -> Result<(), String> {
    let is_done = |run: &&RunRecord| matches!(run.state, RunState::Ended { end: RunEnd::Done, .. });
    let mut done: Vec<u64> = ended(store, before)?.iter().filter(is_done).map(|run| run.number).collect();
    let open = store.load(job).map_err(|error| error.to_string())?.map_or(Vec::new(), |job| job.open);
    let mut followed: Vec<u64> =
        ended(store, job)?.iter().chain(&open).flat_map(|run| &run.follows).map(|run| run.number).collect();
    done.sort_unstable();
    followed.sort_unstable();
    if done == followed { Ok(()) } else { Err(format!("{job}: followed {followed:?} of {done:?}")) }
}

/// Whether a job that follows all of two others has followed a success of each at a time: none twice, none out of order, and none
/// left where the other one has one too.
#[allow(dead_code, reason = "not every test has machines")]
pub fn follows_both_once(store: &MemoryStore, job: &str, both: [&str; 2]) -> Result<(), String> {
    let is_done = |run: &&RunRecord| matches!(run.state, RunState::Ended { end: RunEnd::Done, .. });
    let open = store.load(job).map_err(|error| error.to_string())?.map_or(Vec::new(), |job| job.open);
    let runs = ended(store, job)?;
    let mut sets = Vec::new();
    for run in runs.iter().chain(&open) {
        let of = |name: &str| run.follows.iter().filter(|run| *run.job == *name).map(|run| run.number).collect::<Vec<u64>>();
        let ([one], [other]) = (&of(both[0])[..], &of(both[1])[..]) else {
            return Err(format!("{job}: not one of each: {run:?}"));
        };
        sets.push([*one, *other]);
    }
    sets.sort_unstable();
    sets.push([u64::MAX; 2]);
    let mut before = [0; 2];
    for set in sets {
        if before[0] >= set[0] || before[1] >= set[1] {
            return Err(format!("{job}: {set:?} after {before:?}"));
        }
        let between = [0, 1].map(|which| {
            let numbers = ended(store, both[which])?;
            let numbers = numbers.iter().filter(is_done).map(|run| run.number);
            Ok::<_, String>(numbers.filter(|number| before[which] < *number && *number < set[which]).min())
        });
        if let [Ok(Some(one)), Ok(Some(other))] = between {
            return Err(format!("{job}: {one} and {other} are no set, between {before:?} and {set:?}"));
        }
        before = set;
    }
    Ok(())
}

/// Whether each occurrence belongs to one run, given the first and last that each makes up for and how many; gives how many
/// occurrences all make up for together, and the first and last of them.
#[allow(dead_code, reason = "not every test has machines")]
pub fn each_in_one(job: &str, mut ranges: Vec<(i64, i64, u64)>) -> Result<Option<(u64, i64, i64)>, String> {
    ranges.sort_unstable();
    if let Some(pair) = ranges.windows(2).find(|pair| pair[1].0 <= pair[0].1) {
        return Err(format!("{job}: twice {pair:?}"));
    }
    let run: u64 = ranges.iter().map(|(.., folded)| folded).sum();
    Ok(ranges.first().zip(ranges.last()).map(|(first, last)| (run, first.0, last.1)))
}

#[allow(dead_code, reason = "not every test has machines")]
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {text}")))
}
