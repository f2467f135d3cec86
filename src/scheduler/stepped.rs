//! A wall clock that was set: what follows it is searched anew, and whether it was wrong before, or is still.

use super::entry::Job;
use super::plan::{Plan, Scale};
use super::table::{Ask, Table};
use crate::clock::{Changes, Now};
use crate::event::Event;
use crate::id::JobId;
use crate::schedule::{Schedule, from_nanos};

/// A wall clock that was set back by more than this past a job's last due time was wrong before.
const WRONG_BEFORE: i64 = 86_400 * 1_000_000_000;

impl<C> Table<C> {
    /// The wall clock was set: what has to be asked anew.
    pub(super) fn stepped(&mut self, changes: Changes, now: Now) -> Vec<Ask> {
        let mut asked = Vec::new();
        self.awaited.iter_mut().for_each(|awaited| awaited.is_set(now));
        // Records are by the wall clock, elapsed time is not: the next process has to know that no time has passed.
        if self.keeping.is_some() {
            let all: Vec<JobId> = self.all().map(|job| job.id).collect();
            all.into_iter().for_each(|id| self.touch(id));
        }
        // What is to come is searched anew if the clock was set back, or can be believed only now.
        let was_wrong = is_wrong(Now { wall: now.wall.saturating_sub(changes.stepped), ..now });
        // Hours are looked at anew.
        let waits = |job: &&Job<C>| job.block.as_ref().is_some_and(|block| block.wall.is_some());
        let waiting: Vec<JobId> = self.all().filter(waits).map(|job| job.id).collect();
        for id in waiting {
            self.release_from_block(id);
            self.requeue(id);
        }
        for job in self.all_mut() {
            let (id, is_kept) = (job.id, job.kept.is_some());
            let ask = |plan: &Plan, from: i64, reanchored: bool| Ask { id, plan: plan.clone(), from, reanchored };
            let Some(plan) = &mut job.plan else { continue };
            if plan.scale == Scale::Elapsed {
                continue;
            }
            if plan.schedule.has_elapsed_part() {
                plan.registered = plan.registered.saturating_add(changes.stepped);
                plan.moved = plan.moved.saturating_add(changes.stepped);
                job.missed_until = job.missed_until.saturating_add(changes.stepped);
                job.last_due = job.last_due.map(|due| due.saturating_add(changes.stepped));
                let from = job.searched.saturating_add(changes.stepped);
                asked.push(ask(plan, from, false));
            } else if (changes.stepped < 0 || is_kept && was_wrong) && job.next.is_some_and(|next| next > now.wall) {
                let wrong_before = |at: i64| is_wrong_before(at, is_kept, now);
                if wrong_before(plan.registered) {
                    plan.restarted(now.wall);
                }
                match job.last_due {
                    None => asked.push(ask(plan, now.wall, false)),
                    Some(last) if wrong_before(last) => {
                        job.last_due = None;
                        asked.push(ask(plan, now.wall, true));
                    }
                    // What lies between was dropped and not run: it may come again.
                    Some(last) => asked.push(ask(plan, now.wall.max(last), false)),
                }
            }
        }
        asked
    }

    /// Sets a job's next occurrence as it was found anew.
    pub(super) fn found(&mut self, id: JobId, asked: &Schedule, from: i64, next: Option<i64>, reanchored: bool) {
        // It may have been given another schedule meanwhile.
        let same = |job: &&mut Job<C>| job.plan.as_ref().is_some_and(|plan| plan.schedule.is_same(asked));
        let Some(job) = self.get_mut(id).filter(same) else { return };
        job.searched = from;
        job.next = next;
        let name = job.name.clone();
        if reanchored {
            self.tell(|_| Event::Reanchored { id, name, next: next.map(from_nanos) });
        }
        self.requeue(id);
        self.remove_if_over(id);
    }
}

/// Whether a clock that has shown an instant was wrong then, since it shows one so much earlier now. What is on record is believed
/// rather than a clock that is to be set yet.
pub(super) fn is_wrong_before(at: i64, is_kept: bool, now: Now) -> bool {
    at.saturating_sub(now.wall) > WRONG_BEFORE && !(is_kept && is_wrong(now))
}

/// Whether the clock shows an instant before there was this library: that of a board without a battery, which is yet to be set.
pub(super) fn is_wrong(now: Now) -> bool {
    const YEAR_2020: i64 = 1_577_836_800 * 1_000_000_000;
    now.wall < YEAR_2020
}
