//! Jobs that are gone and whose last record is yet to be written.
//!
//! What their last runs have set off is written with it, in one change: or the next process would run them again, and have them
//! followed once more. A write of such a job that is still under way when it goes is answered to what is left of it here.

use std::time::Duration;

use super::entry::{Attempt, Job};
use super::keep::Sent;
use super::record::KeptJob;
use super::table::Table;
use crate::clock::Now;
use crate::id::JobId;
use crate::job::RunEnd;
use crate::schedule::from_nanos;
use crate::store::{JobRecord, RunRecord};

/// A job that is gone, as it is to be kept.
pub(super) struct Parting {
    pub(super) id: JobId,
    pub(super) kept: Box<KeptJob>,
    pub(super) record: JobRecord,
    /// Those that followed it.
    pub(super) followers: Vec<JobId>,
}

impl Parting {
    pub(super) fn has_ended(&mut self, attempt: &Attempt, end: RunEnd, at: i64, now: Now) {
        self.kept.has_ended(attempt, end, at, now);
        self.record.last_end = self.kept.last_end.map(from_nanos);
        self.record.crashes = self.kept.crashes;
    }

    /// A write of it from before it went was kept.
    fn was_kept(&mut self, record: JobRecord) {
        self.record.version = record.version;
        self.kept.was_kept(record);
    }
}

impl<C> Table<C> {
    /// What is kept of a job of this name that is gone, if that is not written yet.
    pub(super) fn parted(&mut self, name: &str) -> Option<(Box<KeptJob>, JobRecord)> {
        let parting = &mut self.keeping.as_mut()?.parting;
        let place = parting.iter().position(|parting| &*parting.kept.name == name)?;
        let Parting { kept, record, .. } = parting.swap_remove(place);
        Some((kept, record))
    }

    /// What is to be kept of a job that goes.
    pub(super) fn parting(&mut self, job: &mut Job<C>, now: Now) -> Option<Parting> {
        if let Some((keeping, name)) = self.keeping.as_mut().zip(job.name.as_ref()) {
            keeping.names.remove(name);
            keeping.starting.retain(|about| about.id != job.id);
        }
        let mut record = job.record(now)?;
        let kept = job.besides.used()?.kept.take()?;
        record.open.clear();
        record.last_end = kept.last_end.map(from_nanos);
        let followers = job.followers.clone();
        Some(Parting { id: job.id, kept, record, followers })
    }

    pub(super) fn part(&mut self, parting: Parting) {
        if let Some(keeping) = &mut self.keeping {
            keeping.parting.push(parting);
        }
        self.news += 1;
    }

    /// What is left of a job that is gone, and is not sent yet.
    fn left_of(&mut self, id: JobId) -> Option<&mut Parting> {
        let departed = self.departed.iter_mut().filter_map(|departed| departed.parting.as_mut());
        let parting = self.keeping.iter_mut().flat_map(|keeping| &mut keeping.parting);
        departed.chain(parting).find(|parting| parting.id == id)
    }

    /// The same, once a write of it from before it went was kept.
    pub(super) fn was_kept_before(&mut self, id: JobId, record: JobRecord) {
        self.left_of(id).into_iter().for_each(|parting| parting.was_kept(record.clone()));
    }

    /// The same, if it was not.
    pub(super) fn comes_back_to(&mut self, id: JobId, ended: Vec<RunRecord>) {
        if let Some(parting) = self.left_of(id) {
            parting.kept.comes_back(ended);
        }
    }
}

/// Puts what is left of a job to what its last runs have set off, if that is written too.
pub(super) fn joined(mut together: Vec<Vec<Sent>>, parting: Parting) -> Vec<Vec<Sent>> {
    let Parting { id, mut kept, record, followers } = parting;
    let follows = |sent: &Sent| followers.contains(&sent.id);
    let (with, mut rest): (Vec<_>, Vec<_>) = together.drain(..).partition(|change| change.iter().any(follows));
    let mut one: Vec<Sent> = with.into_iter().flatten().collect();
    let ended: Vec<RunRecord> = std::mem::take(&mut kept.ended).into();
    let formerly = kept.formerly.clone();
    one.push(Sent { id, record, ended, hold: Duration::ZERO, formerly, parting: Some((kept, followers)) });
    rest.push(one);
    rest
}
