//! Backfills: occurrences of a job's past come up as runs besides its schedule, some at once.
//!
//! A job keeps how far its backfill has come. As a poll ends, what is through makes room, the schedule is asked for what comes next
//! with the lock free, since that may be the user's code, and what it says joins the runs that wait. So a range may be of any
//! length, and nothing of it has to be kept but an instant.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::entry::{AskedBy, Job, Rest, Waiting};
use super::plan::{Plan, Scale};
use super::table::Table;
use crate::backfill::{Told, Wanted};
use crate::caught::{caught, drop_quietly};
use crate::clock::Now;
use crate::error::Error;
use crate::id::JobId;
use crate::job::RunEnd;
use crate::policy::Due;
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
    /// Whether it is known what is of the past: not while the wall clock is not right yet.
    begun: bool,
    told: Arc<Told>,
}

impl Filling {
    pub(super) fn told(&self) -> &Arc<Told> {
        &self.told
    }

    /// Whether it has to do with an occurrence that is not through.
    pub(super) fn has(&self, due: i64) -> bool {
        self.under_way.contains(&due)
    }

    /// It begins, and what is yet to come is not of the past.
    fn begin(&mut self, wall: i64) {
        self.to = self.to.min(wall.saturating_add(1));
        self.at = Some(if self.newest_first { self.to } else { self.from.saturating_sub(1) });
        self.begun = true;
    }
}

/// Counts how a run of a backfill has ended.
pub(super) fn count(told: &Told, end: RunEnd) {
    match end {
        RunEnd::Done => told.one_is_done(),
        RunEnd::AlreadyDone => told.one_was_there(),
        end if end.is_failure() => told.one_has_failed(),
        _ => {}
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.told.ends_all();
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
        let mut filling = Filling {
            from: to_nanos(&wanted.from),
            to: to_nanos(&wanted.to),
            newest_first: wanted.newest_first,
            most: wanted.at_most as usize,
            at: None,
            under_way: Vec::new(),
            begun: false,
            told: told.clone(),
        };
        self.with(|table| {
            if table.closed {
                return Err(Error::ShutDown);
            }
            if table.awaited.is_none() {
                filling.begin(now.wall);
            }
            let job = table.get_mut(id).filter(|job| !job.is_retired()).ok_or(Error::JobGone)?;
            let plan = job.plan.as_ref().ok_or(Error::NoOccurrences)?;
            // Within hours or dates too it counts from when it was registered.
            if plan.scale == Scale::Elapsed || plan.schedule.has_elapsed_part() || plan.schedule.has_random() {
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
        let (ids, news) = self.with(|table| (table.filling.clone(), table.news));
        for id in ids {
            self.with(|table| table.go_through(id));
            for _ in 0..MOST_FED {
                let Some(search) = self.with(|table| table.search(id, now)) else { break };
                // A schedule of the user's own that panics ends here.
                let found = caught(|| search.next()).unwrap_or(None);
                self.with(|table| table.fed(id, &search, found, now));
                drop_quietly(search);
            }
        }
        self.with(|table| {
            table.fed = news;
            self.feeds.store(!table.filling.is_empty(), Ordering::Relaxed);
        });
    }
}

impl<C> Table<C> {
    /// What is through of a backfill makes room.
    fn go_through(&mut self, id: JobId) {
        if self.get(id).is_none_or(|job| job.filling.is_none()) {
            return self.filling.retain(|filling| *filling != id);
        }
        let under_way = self.under_way(id);
        if let Some(filling) = self.get_mut(id).and_then(|job| job.besides.filling.as_mut()) {
            filling.under_way.retain(|due| under_way.contains(due));
        }
    }

    /// What a backfill looks for next, if it has room for that. If all is through it is over.
    fn search(&mut self, id: JobId, now: Now) -> Option<Search> {
        let rests = self.rests();
        let job = self.get_mut(id).filter(|job| job.filling.is_some())?;
        let (plan, stops) = (job.plan.clone()?, rests || job.rest != Rest::No);
        let filling = job.besides.filling.as_mut()?;
        if !filling.begun {
            if stops {
                return None;
            }
            filling.begin(now.wall);
        }
        let Filling { at, from, to, newest_first, most, under_way, told, .. } = &**filling;
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
        let Some(job) = self.get_mut(id) else { return };
        // One that is due by the schedule, that an earlier process has left, or a backfill before this one.
        let goes_on = found.is_some_and(|due| job.runs_for().any(|own| own == due));
        let Some(filling) = job.besides.filling.as_mut().filter(is_it) else { return };
        filling.at = found;
        let Some(due) = found else { return };
        filling.under_way.push(due);
        if goes_on {
            return;
        }
        filling.told.takes_one();
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

    /// For which occurrences runs of a job, or any that follow from them, are to come or go on.
    fn under_way(&self, id: JobId) -> HashSet<i64> {
        let own = self.get(id).into_iter().flat_map(Job::runs_for);
        let followers = self.downstream(id).into_iter().filter_map(|id| self.get(id));
        let following = followers.flat_map(|job| {
            let waiting = job.waiting.iter().filter(|waiting| waiting.after.is_some()).map(|waiting| waiting.due.due);
            job.goes_on_for().chain(waiting)
        });
        own.chain(following).collect()
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

impl<C> Job<C> {
    /// For which occurrences its runs that go on are.
    fn goes_on_for(&self) -> impl Iterator<Item = i64> {
        self.live.iter().map(|live| to_nanos(&live.attempt.view.facts.due))
    }

    /// The same with those that wait and are its own, if they may begin.
    fn runs_for(&self) -> impl Iterator<Item = i64> {
        let may_begin = |waiting: &&Waiting| match waiting.by {
            AskedBy::Nobody => waiting.after.is_none() && self.runs_left != Some(0),
            AskedBy::Hand => false,
            AskedBy::Backfill => true,
        };
        self.goes_on_for().chain(self.waiting.iter().filter(may_begin).map(|waiting| waiting.due.due))
    }
}
