//! Backfills: occurrences of a job's past come up as runs besides its schedule, some at once.
//!
//! A job keeps how far its backfill has come. As a poll ends, what is through makes room, the schedule is asked for what comes next
//! with the lock free, since that may be the user's code, and what it says joins the runs that wait. So a range may be of any
//! length, and nothing of it has to be kept but an instant.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::entry::{AskedBy, Job, Waiting};
use super::plan::{Plan, Scale};
use super::table::Table;
use crate::backfill::{Told, Wanted};
use crate::caught::{caught, drop_quietly};
use crate::clock::Now;
use crate::error::Error;
use crate::id::JobId;
use crate::policy::Due;
use crate::run::RunFacts;
use crate::schedule::to_nanos;

/// So many occurrences come up at the end of one poll at most.
const MOST_FED: usize = 64;

/// A backfill of a job.
pub(super) struct Filling {
    /// Instants by the wall clock, the second of them outside.
    from: i64,
    to: i64,
    newest_first: bool,
    most: usize,
    /// From where the search goes on; none once all were found.
    at: Option<i64>,
    /// The occurrences that are not through.
    under_way: Vec<i64>,
    told: Arc<Told>,
}

impl Filling {
    pub(super) fn told(&self) -> &Arc<Told> {
        &self.told
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.told.is_over();
    }
}

/// A search for the next occurrence of a backfill.
struct Search {
    plan: Plan,
    at: i64,
    from: i64,
    to: i64,
    newest_first: bool,
    told: Arc<Told>,
}

impl Search {
    fn next(&self) -> Option<i64> {
        let Search { plan, at, from, to, newest_first, .. } = self;
        let found = match newest_first {
            true => plan.schedule.prev(plan.setting(), *at),
            false => plan.schedule.next(plan.setting(), *at),
        };
        found.filter(|found| from <= found && found < to)
    }
}

impl<C> Shared<C> {
    pub(super) fn begin_backfill(&self, id: JobId, wanted: Wanted) -> Result<Arc<Told>, Error> {
        let now = self.now();
        let told = Arc::new(Told::default());
        // What the schedule has yet to run is not of the past.
        let (from, to) = (to_nanos(&wanted.from), to_nanos(&wanted.to).min(now.wall.saturating_add(1)));
        let at = if wanted.newest_first { to } else { from.saturating_sub(1) };
        let filling = Filling {
            from,
            to,
            newest_first: wanted.newest_first,
            most: wanted.at_most as usize,
            at: Some(at),
            under_way: Vec::new(),
            told: told.clone(),
        };
        self.with(|table| {
            let job = table.get_mut(id).ok_or(Error::JobGone)?;
            let plan = job.plan.as_ref().ok_or(Error::NoOccurrences)?;
            if plan.scale == Scale::Elapsed {
                return Err(Error::NoPast { schedule: plan.schedule.to_string() });
            }
            if job.filling.is_some() {
                return Err(Error::Backfilling { job: crate::id::label(id, job.name.as_deref()) });
            }
            job.besides.filling = Some(Box::new(filling));
            table.filling.push(id);
            self.feeds.store(true, Ordering::Relaxed);
            Ok(())
        })?;
        self.feed(now);
        Ok(told)
    }

    pub(super) fn end_backfill(&self, id: JobId, told: &Arc<Told>) -> bool {
        self.with(|table| {
            let is_it = |job: &&mut Job<C>| job.filling.as_ref().is_some_and(|filling| Arc::ptr_eq(&filling.told, told));
            table.get_mut(id).filter(is_it).is_some() && table.end_filling(id)
        })
    }

    /// Lets what is asked for of the past come up, as far as there is room.
    pub(super) fn feed(&self, now: Now) {
        for id in self.with(|table| table.filling.clone()) {
            for _ in 0..MOST_FED {
                let Some(search) = self.with(|table| table.search(id)) else { break };
                // A schedule of the user's own that panics ends here.
                let found = caught(|| search.next()).unwrap_or(None);
                self.with(|table| table.fed(id, &search, found, now));
                drop_quietly(search);
            }
        }
        self.with(|table| self.feeds.store(!table.filling.is_empty(), Ordering::Relaxed));
    }
}

impl<C> Table<C> {
    /// What a backfill looks for next, if it has room for that. If all is through it is over.
    fn search(&mut self, id: JobId) -> Option<Search> {
        let rests = self.rests();
        let Some(filling) = self.get(id).and_then(|job| job.filling.as_ref()) else {
            self.filling.retain(|filling| *filling != id);
            return None;
        };
        let mut under_way = filling.under_way.clone();
        under_way.retain(|due| self.is_under_way(id, *due));
        let job = self.get_mut(id)?;
        let (plan, stops) = (job.plan.clone()?, rests || job.paused);
        let filling = job.besides.filling.as_mut()?;
        filling.under_way = under_way;
        let Filling { at, from, to, newest_first, most, under_way, told } = &**filling;
        match at {
            None if under_way.is_empty() => {
                self.end_filling(id);
                None
            }
            Some(at) if under_way.len() < *most && !stops => {
                let (at, from, to, newest_first, told) = (*at, *from, *to, *newest_first, told.clone());
                Some(Search { plan, at, from, to, newest_first, told })
            }
            _ => None,
        }
    }

    /// What a search has found comes up, unless it is not looked for any more.
    fn fed(&mut self, id: JobId, search: &Search, found: Option<i64>, now: Now) {
        let is_it = |filling: &&mut Box<Filling>| Arc::ptr_eq(&filling.told, &search.told) && filling.at == Some(search.at);
        // A run that a backfill before it has left going on.
        let goes_on = found.is_some_and(|due| self.is_under_way(id, due));
        let Some(job) = self.get_mut(id) else { return };
        let Some(filling) = job.besides.filling.as_mut().filter(is_it) else { return };
        filling.at = found;
        let Some(due) = found else { return };
        filling.under_way.push(due);
        if goes_on {
            return;
        }
        filling.told.takes();
        let (due, ready) = (Due::only(due), now.elapsed);
        let waiting = Waiting { due, ready, by: AskedBy::Backfill, after: None, number: 0, cut_off: 0 };
        job.besides.waiting.push_back(waiting);
        self.asked(id);
    }

    /// Ends a job's backfill, if it has one: what was asked for and has not begun goes without a word.
    pub(super) fn end_filling(&mut self, id: JobId) -> bool {
        self.filling.retain(|filling| *filling != id);
        let Some(job) = self.get_mut(id) else { return false };
        let Some(filling) = job.besides.used().and_then(|besides| besides.filling.take()) else { return false };
        drop(filling);
        job.besides.waiting.retain(|waiting| waiting.by != AskedBy::Backfill);
        self.requeue(id);
        self.remove_if_over(id);
        true
    }

    /// Whether a run of a backfill, or any that follows from it, is to come or goes on.
    fn is_under_way(&self, id: JobId, due: i64) -> bool {
        let is_it = |facts: &RunFacts| to_nanos(&facts.due) == due;
        let own = self.get(id).is_some_and(|job| {
            let waits = |waiting: &Waiting| waiting.by == AskedBy::Backfill && waiting.due.due == due;
            job.live.iter().any(|live| live.attempt.fills.is_some() && is_it(&live.attempt.view.facts))
                || job.waiting.iter().any(waits)
        });
        own || self.downstream(id).into_iter().filter_map(|id| self.get(id)).any(|job| {
            let waits = |waiting: &Waiting| waiting.after.is_some() && waiting.due.due == due;
            job.live.iter().any(|live| is_it(&live.attempt.view.facts)) || job.waiting.iter().any(waits)
        })
    }

    /// The jobs that follow one, and those that follow them.
    fn downstream(&self, id: JobId) -> Vec<JobId> {
        let mut all = vec![id];
        let mut seen = 0;
        while let Some(job) = all.get(seen).map(|id| self.get(*id)) {
            seen += 1;
            for follower in job.iter().flat_map(|job| &job.followers) {
                if !all.contains(follower) {
                    all.push(*follower);
                }
            }
        }
        all.split_off(1)
    }
}
