//! When a job is due: its schedule, set in its place and time.

use std::num::NonZeroI64;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::policy::{Backlog, Missed, Verdict};
use crate::schedule::{LATEST, Schedule, Setting, Zone, interval, length, mix};

/// On which scale a job's due times lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Elapsed,
    Wall,
}

/// When a job is due, and what is done about missed occurrences.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) schedule: Schedule,
    pub(super) zone: Arc<Zone>,
    pub(super) scale: Scale,
    /// Its period, if it is an interval of elapsed time and nothing else, and where that starts, if that was said; so that firing
    /// one does not look further.
    period: Option<NonZeroI64>,
    start: Option<NonZeroI64>,
    /// From when an interval counts, on the scale of its due times.
    pub(super) registered: i64,
    /// How far an anchor that was given lies from where it says.
    pub(super) moved: i64,
    pub(super) seed: u64,
    pub(super) missed: Missed,
    pub(super) grace: Option<Duration>,
    /// What is left of a series of missed occurrences.
    pub(super) backlog: Option<Box<Backlog>>,
}

impl Plan {
    pub(super) fn new(schedule: Schedule, zone: Arc<Zone>, seed: u64, missed: Missed, grace: Option<Duration>, now: Now) -> Self {
        let scale = if schedule.is_elapsed() { Scale::Elapsed } else { Scale::Wall };
        let (period, start) = schedule.bare_interval().unzip();
        let start = start.flatten();
        let mut plan = Plan { schedule, zone, scale, period, start, registered: 0, moved: 0, seed, missed, grace, backlog: None };
        plan.registered = plan.on_scale(now);
        plan.set_by(now);
        plan
    }

    /// An anchor that was given lies where it says.
    pub(super) fn set_by(&mut self, now: Now) {
        self.moved = if self.scale == Scale::Elapsed { -now.ahead() } else { 0 };
    }

    /// The same job by another schedule.
    pub(super) fn with(self, schedule: Schedule, now: Now) -> Self {
        let Plan { zone, seed, missed, grace, .. } = self;
        Plan::new(schedule, zone, seed, missed, grace, now)
    }

    #[inline]
    pub(super) fn setting(&self) -> Setting<'_> {
        Setting { zone: &self.zone, registered: Some(self.registered), moved: self.moved, seed: self.seed }
    }

    pub(super) fn on_scale(&self, now: Now) -> i64 {
        if self.scale == Scale::Elapsed { now.elapsed } else { now.wall }
    }

    /// An instant of the scale as the wall clock shows it.
    pub(super) fn wall(&self, at: i64, now: Now) -> i64 {
        if self.scale == Scale::Elapsed { at.saturating_add(now.ahead()) } else { at }
    }

    /// Whether asking it runs code of the user's own.
    #[inline]
    pub(super) fn has_callbacks(&self) -> bool {
        self.schedule.has_callbacks() || self.zone.is_custom()
    }

    #[inline]
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        self.schedule.next(self.setting(), after)
    }

    /// The occurrence after one that is due, if that one is for a run of its own, on time: no other has come, and no clause has a say
    /// in it.
    #[inline]
    pub(super) fn only(&self, due: i64, here: i64) -> Option<i64> {
        if self.grace.is_some() || self.missed == Missed::Skip || !self.leaves_runs_alone() {
            return None;
        }
        let next = match self.period {
            Some(period) => {
                let anchor = self.start.map_or(self.registered, |start| start.get().saturating_add(self.moved));
                interval::next(period.get(), anchor, due).filter(|next| *next < LATEST)
            }
            None if self.has_callbacks() => None,
            None => self.next(due),
        };
        next.filter(|next| due <= here && *next > here)
    }

    /// Whether none of its clauses has a say in runs, but only in when they are due.
    #[inline]
    pub(super) fn leaves_runs_alone(&self) -> bool {
        self.period.is_some() || self.schedule.spec().leaves_runs_alone()
    }

    /// How many occurrences lie after an instant, up to another.
    pub(super) fn count(&self, after: i64, until: i64) -> u64 {
        self.schedule.count(self.setting(), after, until)
    }

    pub(super) fn decide(&self, due: i64, now: Now) -> Verdict {
        let here = self.on_scale(now);
        crate::policy::decide(
            &self.schedule,
            self.setting(),
            self.missed,
            self.grace,
            self.backlog.as_deref().copied(),
            due,
            here,
        )
    }

    /// When an occurrence is to run, its jitter added.
    pub(super) fn jittered(&self, occurrence: i64) -> i64 {
        match length(self.schedule.jitter()) {
            0 => occurrence,
            jitter => {
                let drawn = mix(self.seed, occurrence as u64) % (jitter as u64 + 1);
                occurrence.saturating_add(drawn as i64)
            }
        }
    }

    /// The same plan, counted from an instant on its scale.
    pub(super) fn restarted(&mut self, at: i64) {
        self.registered = at;
    }
}
