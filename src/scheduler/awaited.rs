//! A wall clock that is not right yet: until the host says that it is, nothing runs and nothing is written.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Shared;
use super::entry::Job;
use super::plan::Scale;
use super::table::{Ask, Table};
use crate::caught::caught;
use crate::clock::Now;
use crate::event::Event;
use crate::schedule::from_nanos;

/// The host's own test of a clock.
pub(super) type ClockTest = dyn Fn(DateTime<Utc>) -> bool + Send + Sync;

/// How often it is asked.
const ASKED_EVERY: i64 = 1_000_000_000;

/// The clock is waited for, in elapsed time.
pub(super) struct Awaited {
    since: i64,
    pub(super) asks_at: i64,
    /// Whether it was set meanwhile.
    was_set: bool,
    /// What is to be told of jobs if it was right all the time.
    told: Vec<Event>,
}

impl Awaited {
    pub(super) fn since(now: Now) -> Self {
        Awaited { since: now.elapsed, asks_at: now.elapsed, was_set: false, told: Vec::new() }
    }

    /// It was set, so it is asked about at once.
    pub(super) fn is_set(&mut self, now: Now) {
        (self.asks_at, self.was_set) = (now.elapsed, true);
    }
}

impl<C> Shared<C> {
    /// Asks whether the clock is right, if it is time to. If it is, and was set meanwhile, all jobs are put where they would be
    /// had they been registered now.
    pub(super) fn ask_whether_right(&self, now: Now) {
        let Some(is_right) = &self.is_clock_right else { return };
        let is_time = self.table.lock().awaited.as_ref().is_some_and(|awaited| awaited.asks_at <= now.elapsed);
        if !is_time {
            return;
        }
        let is_right = caught(|| is_right(from_nanos(now.wall))).unwrap_or(false);
        let asked = self.with(|table| match is_right {
            true => table.clock_is_right(now),
            false => {
                let again = now.elapsed.saturating_add(ASKED_EVERY);
                table.awaited.iter_mut().for_each(|awaited| awaited.asks_at = again);
                Vec::new()
            }
        });
        asked.into_iter().for_each(|ask| self.ask(ask));
    }
}

impl<C> Table<C> {
    /// Holds back what is told of a job that is registered by a clock that may not be right. Gives the rest.
    pub(super) fn hold_back(&mut self, told: Vec<Event>) -> Vec<Event> {
        let Some(awaited) = &mut self.awaited else { return told };
        let (later, now) = told.into_iter().partition(|event| matches!(event, Event::Reanchored { .. }));
        awaited.told.extend::<Vec<Event>>(later);
        now
    }

    /// What has to be asked anew.
    fn clock_is_right(&mut self, now: Now) -> Vec<Ask> {
        let Some(awaited) = self.awaited.take() else { return Vec::new() };
        let waited = Duration::from_nanos(now.elapsed.saturating_sub(awaited.since).max(0).unsigned_abs());
        self.tell(|_| Event::ClockIsRight { waited });
        if !awaited.was_set {
            awaited.told.into_iter().for_each(|event| self.tell(|_| event));
            return Vec::new();
        }
        self.all_mut().filter_map(|job| job.place_anew(now)).collect()
    }
}

impl<C> Job<C> {
    fn place_anew(&mut self, now: Now) -> Option<Ask> {
        let record = self.kept.as_ref().zip(self.plan.as_ref()).and_then(|(kept, plan)| kept.carries_on(plan));
        let plan = self.plan.as_mut()?;
        plan.set_by(now);
        let mut reanchored = false;
        match record {
            Some(record) => {
                reanchored = self.go_back_to(&record, now);
                self.carry_on_figures(&record, now);
            }
            None if plan.scale == Scale::Wall => {
                plan.restarted(now.wall);
                self.searched = now.wall;
            }
            None => {}
        }
        let from = self.searched;
        self.plan.clone().map(|plan| Ask { id: self.id, plan, from, reanchored })
    }
}
