//! Several processes on one store: who holds a job, who stands by, and what becomes of it when the one is taken for dead.
//!
//! A process holds its kept jobs while a run of theirs has not ended, those that are linked by chains together, and says so
//! with each write. Whoever's write is refused reads the record ([`Step::Read`](super::step::Step::Read)) and goes on from
//! there: if another process holds the job it stands by until that hold has run out, and reads again; what is then still open
//! was cut off. A run of its own that the record does not have open any more is lost: what comes of it is not written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::entry::{AskedBy, Block, BlockedBy, Followed, Job, Waiting};
use super::record::KeptJob;
use super::table::Table;
use crate::clock::Now;
use crate::event::Event;
use crate::id::JobId;
use crate::schedule::length;
use crate::store::{FollowedRun, JobChange, JobRecord, RunRecord, RunState, StoreError};

/// A record that could not be read is read again after so long.
pub(super) const READ_AGAIN: i64 = 1_000_000_000;

/// A name for a scheduler that no other has: not in this process, nor in another of this machine or of one that shares its files.
pub(super) fn node(wall: i64) -> Arc<str> {
    static SCHEDULERS: AtomicU64 = AtomicU64::new(1);
    let number = SCHEDULERS.fetch_add(1, Ordering::Relaxed);
    format!("{}-{wall}-{number}", std::process::id()).into()
}

/// How a scheduler holds its jobs.
pub(super) struct Lease {
    length: Duration,
    /// Jobs that are held.
    holding: Vec<JobId>,
    /// When the first of them is to be prolonged, in elapsed time.
    renew: Option<i64>,
    /// When the last write was sent: in elapsed time, and by the clock of claims.
    sent: (i64, Duration),
}

impl Lease {
    pub(super) fn new(length: Duration) -> Self {
        Lease { length, holding: Vec::new(), renew: None, sent: (0, Duration::ZERO) }
    }

    pub(super) fn renews_at(&self) -> Option<i64> {
        self.renew
    }

    pub(super) fn sent_at(&mut self, now: Now, time: Duration) {
        self.sent = (now.elapsed, time);
    }

    /// A write was kept that holds a job for so long, or lets go of it.
    pub(super) fn was_kept(&mut self, id: JobId, kept: &mut KeptJob, hold: Duration) {
        kept.renews = false;
        if hold.is_zero() {
            kept.renew_at = None;
            return;
        }
        kept.claim.holds_until(self.sent.1.saturating_add(hold));
        let renew = self.sent.0.saturating_add(length(hold) / 3);
        if kept.renew_at.replace(renew).is_none() {
            self.holding.push(id);
        }
        self.renew = Some(self.renew.map_or(renew, |first| first.min(renew)));
    }
}

impl<C> Table<C> {
    fn lease(&mut self) -> Option<&mut Lease> {
        self.keeping.as_mut()?.lease.as_mut()
    }

    /// Marks the jobs whose hold is to be prolonged by now.
    pub(super) fn renew(&mut self, now: Now) {
        let Some(lease) = self.lease().filter(|lease| lease.renew.is_some_and(|renew| renew <= now.elapsed)) else { return };
        let holding = std::mem::take(&mut lease.holding);
        let mut held = Vec::new();
        let mut first: Option<i64> = None;
        for id in holding {
            let Some(kept) = self.get_mut(id).and_then(|job| job.kept_mut()) else { continue };
            let Some(renew) = kept.renew_at else { continue };
            held.push(id);
            if renew <= now.elapsed {
                kept.renews = true;
                self.touch(id);
            } else {
                first = Some(first.map_or(renew, |first| first.min(renew)));
            }
        }
        if let Some(lease) = self.lease() {
            lease.holding = held;
            lease.renew = first;
        }
    }

    /// What is to be written of jobs that are held together: all of them, if any differs from its record. While another process
    /// holds one of them, nothing.
    pub(super) fn claimed(&mut self, jobs: &[JobId], now: Now) -> Vec<(JobId, JobChange)> {
        let until = |job: &Job<C>| job.block.as_ref().filter(|block| block.by == BlockedBy::Elsewhere)?.elapsed;
        let elsewhere = jobs.iter().filter_map(|id| self.get(*id)).filter_map(until).max();
        if let Some(until) = elsewhere {
            for id in jobs {
                // It may have been found free when it was registered, and what is linked to it a moment later not.
                self.not_started(*id, None, now);
                let Some(job) = self.get_mut(*id) else { continue };
                job.kept_mut().into_iter().for_each(|kept| kept.touched = false);
                if !job.is_elsewhere() {
                    self.stand_by(*id, until);
                }
            }
            return Vec::new();
        }
        let mut differs = false;
        let mut changes = Vec::new();
        for id in jobs {
            let Some((change, is_other)) = self.get_mut(*id).and_then(|job| job.as_kept(true, now)) else { continue };
            differs |= is_other;
            changes.push((*id, change));
        }
        if !differs {
            return Vec::new();
        }
        let goes_on = |id: &JobId| self.get(*id).is_some_and(Job::is_running);
        let is_open = changes.iter().any(|(_, change)| !change.record.open.is_empty());
        // What is left when all is shut down is for the others.
        let hold = is_open && (!self.closed || jobs.iter().any(goes_on));
        let hold = self.lease().filter(|_| hold).map_or(Duration::ZERO, |lease| lease.length);
        changes.iter_mut().for_each(|(_, change)| change.hold = hold);
        changes
    }

    /// Another process holds a job, until then as far as is known.
    pub(super) fn stand_by(&mut self, id: JobId, until: i64) {
        self.release_from_block(id);
        if let Some(job) = self.get_mut(id) {
            job.stand_by(until);
        }
        self.requeue(id);
    }

    /// Another process has written to a job, or its hold has run out: what its record says now holds.
    ///
    /// It may have been written since the poll began. By the time of the poll the clock would seem to have been set back, so its
    /// schedule is taken up by the time at which it was read.
    pub(super) fn adopt(&mut self, id: JobId, read: Result<Option<JobRecord>, StoreError>, now: Now, here: Now) {
        let record = match read {
            Ok(Some(record)) => record,
            Ok(None) => {
                // It was purged, or known by its former name: it is written anew.
                if let Some(kept) = self.get_mut(id).and_then(|job| job.kept_mut()) {
                    kept.is_gone();
                }
                self.release_from_block(id);
                return self.requeue(id);
            }
            Err(error) => {
                let again = Duration::from_nanos(READ_AGAIN.unsigned_abs());
                self.tell(|_| Event::StoreFailed { error, again });
                return self.stand_by(id, now.elapsed.saturating_add(READ_AGAIN));
            }
        };
        let Some(keeping) = &self.keeping else { return };
        let elsewhere = keeping.held_elsewhere(&record, now);
        let takes_over = keeping.lease.is_some() && elsewhere.is_none();
        self.unnumber(id);
        self.fence(id, &record, elsewhere.is_some(), now);
        let Some(job) = self.get_mut(id) else { return };
        let orphans = record.open.iter().filter(|run| takes_over && !job.has_run(run.number));
        let orphans: Vec<RunRecord> = orphans.cloned().collect();
        self.gather_again(id, &record.gathered);
        let Some(job) = self.get_mut(id) else { return };
        job.adopt(record, here);
        let followed: Vec<Arc<str>> = orphans.iter().flat_map(|run| &run.follows).map(|run| run.job.clone()).collect();
        let followed: Vec<(Arc<str>, Option<JobId>)> =
            followed.into_iter().map(|name| (name.clone(), self.named(&name))).collect();
        let named = |name: &str| followed.iter().find(|(known, _)| **known == *name).and_then(|(_, id)| *id);
        let told = self.get_mut(id).map_or(Vec::new(), |job| job.carry_on_runs(&orphans, &named, now));
        told.into_iter().for_each(|event| self.tell(|_| event));
        self.has_done(id);
        match elsewhere {
            Some(until) => self.stand_by(id, until),
            None => {
                self.release_from_block(id);
                self.requeue(id);
                self.remove_if_over(id);
            }
        }
    }

    /// Gives up what a record does not have any more, or what is another process's now: runs of a job that go on, have ended or
    /// wait, and what they have set off.
    fn fence(&mut self, id: JobId, record: &JobRecord, elsewhere: bool, now: Now) {
        let Some(job) = self.get_mut(id) else { return };
        let open = |number: u64| record.open.iter().find(|run| run.number == number && !elsewhere);
        // With a further attempt, or waiting for one, it is another process's.
        let goes_on = |number: u64, attempt: u32| {
            let open = open(number).filter(|run| run.attempt <= attempt);
            open.is_some_and(|run| !matches!(run.state, RunState::Waiting { .. } | RunState::CutOff { .. }))
        };
        // What waits without a number is written nowhere: occurrences are searched for anew from where the record has come to.
        let waits = |waiting: &Waiting| match waiting.number {
            0 => waiting.by != AskedBy::Nobody || waiting.after.is_some(),
            number => {
                let open = open(number).filter(|run| run.attempt == waiting.cut_off);
                open.is_some_and(|run| matches!(run.state, RunState::Waiting { .. }))
            }
        };
        let (waiting, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut job.besides.waiting).into_iter().partition(waits);
        job.besides.waiting = waiting.into();
        let live = || job.live.iter().map(|live| &live.attempt.view.facts).filter(|facts| facts.number > 0);
        let mut lost: Vec<(u64, DateTime<Utc>)> = Vec::new();
        let loses = !live().all(|facts| goes_on(facts.number, facts.attempt));
        if loses {
            lost.extend(live().map(|facts| (facts.number, facts.due)));
        }
        let Some(kept) = job.kept_mut() else { return };
        if loses {
            kept.claim.lose();
            kept.claim = Arc::new(kept.claim.another());
        }
        let (ended, fenced): (Vec<_>, Vec<_>) =
            std::mem::take(&mut kept.ended).into_iter().partition(|run| goes_on(run.number, run.attempt));
        kept.ended = ended.into();
        let fenced: Vec<_> = fenced.iter().filter(|run| matches!(run.state, RunState::Ended { .. })).collect();
        lost.extend(fenced.iter().map(|run| (run.number, run.due)));
        let (name, followers) = (job.name.clone(), job.followers.clone());
        self.after.followed.extend(gone.into_iter().filter_map(|waiting| waiting.after));
        for (number, due) in lost {
            self.tell(|_| Event::ClaimLost { id, name: name.clone(), number, due });
            followers.iter().for_each(|follower| self.not_set_off(*follower, id, number));
        }
        while let Some(place) = self.get(id).and_then(|job| job.live.iter().position(|live| live.attempt.view.is_lost())) {
            self.give_up(id, place, now);
        }
    }

    /// A job does not follow a run after all, unless that is in its record.
    fn not_set_off(&mut self, id: JobId, upstream: JobId, number: u64) {
        self.unnumber(id);
        let Some(job) = self.get_mut(id) else { return };
        let follows = |after: &Followed| after.runs.iter().any(|run| run.id == upstream && run.number == number);
        let stays = |waiting: &Waiting| waiting.number > 0 || !waiting.after.as_ref().is_some_and(follows);
        let (waiting, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut job.besides.waiting).into_iter().partition(stays);
        job.besides.waiting = waiting.into();
        let all = job.chain_mut().and_then(|chain| chain.all.as_mut());
        let latest = all.map_or(Vec::new(), |all| all.give_up(follows));
        let gathered = job.kept.as_ref().map_or(Vec::new(), |kept| kept.gathered().to_vec());
        self.after.followed.extend(gone.into_iter().filter_map(|waiting| waiting.after).chain(latest));
        // It may have stood in the place of one that another process has written.
        self.gather_again(id, &gathered);
        self.requeue(id);
    }

    /// If a job follows all of several others: takes up the successes that its record has.
    fn gather_again(&mut self, id: JobId, gathered: &[FollowedRun]) {
        let now = self.watch.last();
        let ids: Vec<(Arc<str>, Option<JobId>)> = gathered.iter().map(|run| (run.job.clone(), self.named(&run.job))).collect();
        let named = |name: &str| ids.iter().find(|(known, _)| **known == *name).and_then(|(_, id)| *id);
        let Some(job) = self.get_mut(id) else { return };
        let (told, gone) = job.carry_on_gathered(gathered, &named, now);
        self.after.followed.extend(gone);
        told.into_iter().for_each(|event| self.tell(|_| event));
    }
}

impl<C> Job<C> {
    /// Another process holds it.
    pub(super) fn stand_by(&mut self, until: i64) {
        self.besides.block = Some(Box::new(Block { by: BlockedBy::Elsewhere, elapsed: Some(until), wall: None }));
    }

    /// Whether one of its runs has this number, be it that its end is not written.
    fn has_run(&self, number: u64) -> bool {
        let lives = self.live.iter().any(|live| live.attempt.view.facts.number == number);
        let ended = self.kept.iter().flat_map(|kept| &kept.ended).any(|run| run.number == number);
        lives || ended || self.waiting.iter().any(|waiting| waiting.number == number)
    }
}
