//! Named limits: how many runs may hold one at once, how many may start in a while, and who waits for it.
//!
//! A run takes all limits of its job at once or none, so nobody waits while holding, and no two can wait for each other.
//! Those that wait stand by their due order in the lines of all limits that they need, so that none of them passes them by;
//! whoever gives a limit back lets on as many as it has room for, not all.
//! Limit 0 is the executor's room.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::error::Error;
use crate::queue::Rank;

/// Which limit.
pub(super) type LimitId = u32;

/// The executor's room.
pub(super) const ROOM: LimitId = 0;

/// How long to leave an executor alone that had no room, unless one of its runs ends.
const NO_ROOM_FOR: i64 = 100_000_000;

/// What a limit lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allows {
    /// So many at once.
    AtOnce(u32),
    /// So many starts in any time of so many nanoseconds.
    Rate(u32, i64),
    /// What the executor takes.
    Room,
}

#[derive(Debug)]
struct Limit {
    name: Arc<str>,
    allows: Allows,
    in_use: u32,
    /// The last starts, as many as a rate counts, in elapsed time.
    starts: VecDeque<i64>,
    /// Until when the executor is left alone.
    full_until: Option<i64>,
    waiting: BTreeSet<(Rank, u32)>,
    /// How many jobs name it.
    jobs: u32,
    /// Whether its last starts are remembered though no job names it.
    lingers: bool,
}

impl Limit {
    fn new(name: Arc<str>, allows: Allows) -> Self {
        let (in_use, jobs, waiting) = (0, 0, BTreeSet::new());
        Limit { name, allows, in_use, starts: VecDeque::new(), full_until: None, waiting, jobs, lingers: false }
    }

    /// How many it lets through now; if none, from when on, unless that hangs on an end.
    fn room(&self, now: i64) -> Result<usize, Option<i64>> {
        match self.allows {
            Allows::AtOnce(most) if self.in_use < most => Ok((most - self.in_use) as usize),
            Allows::AtOnce(_) => Err(None),
            Allows::Rate(most, per) => {
                let counted = self.starts.len() - self.starts.partition_point(|start| start.saturating_add(per) <= now);
                let most = most as usize;
                // The oldest of those that fill it has to pass out of sight.
                let first = self.starts.len().checked_sub(most).and_then(|place| self.starts.get(place));
                match first {
                    Some(first) if counted >= most => Err(Some(first.saturating_add(per))),
                    _ => Ok(most - counted),
                }
            }
            Allows::Room => match self.full_until {
                Some(until) if until > now => Err(Some(until)),
                _ => Ok(1),
            },
        }
    }

    /// How many in its line come for it next, now or at an instant that is known.
    fn lets_on(&self, now: i64) -> usize {
        match self.allows {
            Allows::Rate(most, _) => most as usize,
            Allows::AtOnce(_) => self.room(now).unwrap_or(0),
            Allows::Room => 1,
        }
    }

    /// From when on it lets somebody on who has so many before him in its line, if that is known.
    fn opens(&self, before: usize, now: i64) -> Option<i64> {
        match (self.room(now), &self.allows) {
            (Ok(room), _) if before < room => Some(now),
            (_, Allows::Rate(most, per)) => {
                let past = self.starts.partition_point(|start| start.saturating_add(*per) <= now);
                // So many of the starts that count may still count then.
                let may_count = (*most as usize).checked_sub(before + 1)?;
                let last = self.starts.len().checked_sub(past + may_count + 1)? + past;
                Some(self.starts[last].saturating_add(*per))
            }
            (Err(from), _) if before == 0 => from,
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Limits {
    limits: Vec<Limit>,
    names: HashMap<Arc<str>, LimitId>,
    free: Vec<LimitId>,
    /// Rates that no job names any more, whose last starts still count if one does again.
    lingering: VecDeque<LimitId>,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = vec![Limit::new("".into(), Allows::Room)];
        Limits { limits, names: HashMap::new(), free: Vec::new(), lingering: VecDeque::new() }
    }
}

impl Limits {
    /// The limits of these names, for one more job.
    pub(super) fn join(&mut self, wanted: &[(Arc<str>, Allows)], now: i64) -> Result<Box<[LimitId]>, Error> {
        while let Some(id) = self.lingering.pop_front() {
            self.limits[id as usize].lingers = false;
            if !self.forget_if_unused(id, now) {
                break;
            }
        }
        for (place, (name, allows)) in wanted.iter().enumerate() {
            // What no job names any more may be said anew.
            let named = self.names.get(name).map(|id| &self.limits[*id as usize]);
            let known = named.filter(|limit| limit.jobs > 0).map(|limit| &limit.allows);
            let known = known.or(wanted[..place].iter().find(|(other, _)| other == name).map(|(_, allows)| allows));
            if let Some(known) = known.filter(|known| *known != allows) {
                let text = |allows: &Allows| match allows {
                    Allows::AtOnce(most) => format!("{most} at once"),
                    Allows::Rate(most, per) => format!("{most} in {:?}", std::time::Duration::from_nanos(per.unsigned_abs())),
                    Allows::Room => "what the executor takes".to_owned(),
                };
                return Err(Error::LimitDiffers { name: name.to_string(), known: text(known), given: text(allows) });
            }
        }
        let mut ids: Vec<LimitId> = wanted.iter().map(|(name, allows)| self.named(name, allows)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().for_each(|id| self.limits[*id as usize].jobs += 1);
        Ok(ids.into())
    }

    fn named(&mut self, name: &Arc<str>, allows: &Allows) -> LimitId {
        if let Some(id) = self.names.get(name) {
            let limit = &mut self.limits[*id as usize];
            if limit.jobs == 0 {
                limit.allows = allows.clone();
            }
            return *id;
        }
        let limit = Limit::new(name.clone(), allows.clone());
        let id = match self.free.pop() {
            Some(id) => {
                self.limits[id as usize] = limit;
                id
            }
            None => {
                self.limits.push(limit);
                self.limits.len() as LimitId - 1
            }
        };
        self.names.insert(name.clone(), id);
        id
    }

    /// A job that named them is gone. One that nobody names, holds or remembers starts of is forgotten.
    pub(super) fn leave(&mut self, ids: &[LimitId], now: i64) {
        for id in ids {
            self.limits[*id as usize].jobs -= 1;
            self.forget_if_unused(*id, now);
        }
    }

    /// Whether nothing is left to wait for.
    fn forget_if_unused(&mut self, id: LimitId, now: i64) -> bool {
        let limit = &self.limits[id as usize];
        if id == ROOM || limit.jobs > 0 || limit.in_use > 0 {
            return true;
        }
        let last = limit.starts.back().copied();
        if matches!(limit.allows, Allows::Rate(_, per) if last.is_some_and(|start| start.saturating_add(per) > now)) {
            if !std::mem::replace(&mut self.limits[id as usize].lingers, true) {
                self.lingering.push_back(id);
            }
            return false;
        }
        if self.names.remove(&limit.name.clone()).is_some() {
            self.free.push(id);
        }
        true
    }

    pub(super) fn name(&self, id: LimitId) -> Arc<str> {
        self.limits[id as usize].name.clone()
    }

    /// The first of these limits that lets no run of this rank through now: it is reached, or what room there is is for those
    /// in line before it.
    pub(super) fn shut(&self, ids: &[LimitId], rank: Rank, now: i64) -> Option<LimitId> {
        let is_shut = |id: &LimitId| {
            let limit = &self.limits[*id as usize];
            match limit.room(now) {
                Ok(room) => limit.waiting.range(..(rank, 0)).take(room).count() >= room,
                Err(_) => true,
            }
        };
        ids.iter().copied().find(is_shut)
    }

    /// Those of these limits that a run which goes on does not hold: how often runs start.
    pub(super) fn not_held_by_runs(&self, ids: &[LimitId]) -> Vec<LimitId> {
        let is_rate = |id: &LimitId| matches!(self.limits[*id as usize].allows, Allows::Rate(..));
        ids.iter().copied().filter(is_rate).collect()
    }

    /// A run starts, in a poll of an earlier instant, at which starts count that are past by now.
    pub(super) fn take(&mut self, ids: &[LimitId], now: i64, polled: i64) {
        for id in ids {
            let limit = &mut self.limits[*id as usize];
            limit.in_use += 1;
            if let Allows::Rate(most, per) = limit.allows {
                let past = limit.starts.partition_point(|start| start.saturating_add(per) <= polled);
                limit.starts.drain(..past);
                limit.starts.push_back(now);
                // One more than counts, in case this one does not start after all.
                while limit.starts.len() > (most as usize).saturating_add(1) {
                    limit.starts.pop_front();
                }
            }
        }
    }

    /// A run has ended, or has not started after all: then its start does not count.
    pub(super) fn give_back(&mut self, ids: &[LimitId], started: bool, now: i64) {
        for id in ids {
            let limit = &mut self.limits[*id as usize];
            limit.in_use -= 1;
            if !started {
                limit.starts.pop_back();
            }
            self.forget_if_unused(*id, now);
        }
    }

    /// The executor had no room, or may have some again.
    pub(super) fn room_is_full(&mut self, now: i64) {
        self.limits[ROOM as usize].full_until = Some(now.saturating_add(NO_ROOM_FOR));
    }

    /// Until when the executor is left alone, if it had no room.
    pub(super) fn full_until(&self, now: i64) -> Option<i64> {
        self.limits[ROOM as usize].full_until.filter(|until| *until > now)
    }

    pub(super) fn room_may_be_free(&mut self) {
        self.limits[ROOM as usize].full_until = None;
    }

    pub(super) fn wait(&mut self, id: LimitId, rank: Rank, slot: u32) {
        self.limits[id as usize].waiting.insert((rank, slot));
    }

    pub(super) fn leave_line(&mut self, id: LimitId, rank: Rank, slot: u32) {
        self.limits[id as usize].waiting.remove(&(rank, slot));
    }

    /// The limits in whose line somebody waits for an instant, not for an end.
    pub(super) fn timed(&self) -> Vec<LimitId> {
        let waits = |limit: &Limit| !limit.waiting.is_empty() && !matches!(limit.allows, Allows::AtOnce(_));
        (0..).zip(&self.limits).filter(|(_, limit)| waits(limit)).map(|(id, _)| id).collect()
    }

    /// Those in line who are not let on now, nor the first at an instant to come.
    pub(super) fn behind(&self, id: LimitId, now: i64) -> impl Iterator<Item = u32> {
        let limit = &self.limits[id as usize];
        limit.waiting.iter().skip(limit.lets_on(now)).map(|(_, slot)| *slot)
    }

    /// The first in line, as many as a limit lets on, now or at an instant to come. They stay in line until they come for it.
    pub(super) fn first_in_line(&self, id: LimitId, now: i64) -> Vec<u32> {
        let limit = &self.limits[id as usize];
        if limit.waiting.is_empty() {
            return Vec::new();
        }
        limit.waiting.iter().take(limit.lets_on(now)).map(|(_, slot)| *slot).collect()
    }

    /// From when on all of these limits let somebody in their lines on, if that is known: since its due time if it may come at
    /// once, so that it does not lose its place to what came due later.
    pub(super) fn opens(&self, ids: impl Iterator<Item = LimitId>, rank: Rank, slot: u32, now: i64) -> Option<i64> {
        let mut opens = rank.due.min(now);
        for id in ids {
            let limit = &self.limits[id as usize];
            let before = limit.waiting.range(..(rank, slot)).take(limit.lets_on(now)).count();
            let from = limit.opens(before, now)?;
            if from > now {
                opens = opens.max(from);
            }
        }
        Some(opens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(due: i64) -> Rank {
        Rank { due, priority: 0, order: 1 }
    }

    #[test]
    fn a_rate_counts_the_starts_of_every_window() {
        let mut limits = Limits::default();
        let ids = limits.join(&[("api".into(), Allows::Rate(2, 10))], 0).unwrap();
        let mut starts = Vec::new();
        for now in 0..100 {
            while limits.shut(&ids, rank(now), now).is_none() {
                limits.take(&ids, now, now);
                limits.give_back(&ids, true, now);
                starts.push(now);
            }
        }
        assert_eq!(starts, (0..100).step_by(10).flat_map(|start| [start, start]).collect::<Vec<i64>>());
        assert!(limits.join(&[("api".into(), Allows::Rate(3, 10))], 99).is_err());
        limits.leave(&ids, 95);
        assert_eq!(limits.names.len(), 1, "its starts still count");
        let other = limits.join(&[("other".into(), Allows::AtOnce(3))], 105).unwrap();
        assert_eq!(limits.names.len(), 1, "nobody names it any more");
        assert!(limits.shut(&other, rank(105), 105).is_none());
    }

    #[test]
    fn who_waits_is_not_overtaken() {
        let mut limits = Limits::default();
        let ids = limits.join(&[("db".into(), Allows::AtOnce(1))], 0).unwrap();
        limits.take(&ids, 0, 0);
        limits.wait(ids[0], rank(5), 7);
        limits.give_back(&ids, true, 9);
        assert_eq!(limits.first_in_line(ids[0], 9), [7]);
        assert_eq!(limits.opens(ids.iter().copied(), rank(5), 7, 9), Some(5));
        assert!(limits.shut(&ids, rank(6), 9).is_some());
        assert!(limits.shut(&ids, rank(4), 9).is_none());
        limits.leave_line(ids[0], rank(5), 7);
        assert!(limits.shut(&ids, rank(6), 9).is_none());
    }
}
