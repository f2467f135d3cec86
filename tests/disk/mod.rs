//! A store in whose way a test stands.

use punctual::{Batch, Done, HistoryQuery, JobRecord, Keep, MemoryStore, RunRecord, Store, StoreError};

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
