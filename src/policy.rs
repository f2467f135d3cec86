//! What is done about occurrences that passed unrun: pure decisions.

use std::time::Duration;

use crate::schedule::{MOST_COUNTED, Schedule, Setting, length};

/// What becomes of occurrences that passed while the host was busy, asleep or off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missed {
    /// One run makes up for all of them, and is told how many there were.
    #[default]
    RunOnce,
    /// They are not run. An occurrence counts as missed when the next one has come too, or when it is later than the
    /// grace (one minute, unless set).
    Skip,
    /// Each is run, oldest first, the last `most` of them at most; the others are dropped, and that is said.
    RunAll {
        /// How many are made up for at most.
        most: u32,
    },
}

/// The grace under [`Missed::Skip`] if none is set.
const SKIP_GRACE: i64 = 60 * 1_000_000_000;

/// What becomes of an occurrence that comes while an earlier run of its job still goes on.
///
/// A run goes on from the start of its first attempt to the end of its last: also between its turns
/// ([`Outcome::Yield`](crate::Outcome::Yield)), in the background, and while it waits to be tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overlap {
    /// The occurrence is dropped, and that is said.
    #[default]
    Skip,
    /// It waits until the run has ended. When `most` wait already, it is dropped.
    Queue {
        /// How many occurrences wait at most, at least 1.
        most: u32,
    },
    /// It runs beside the earlier one, up to `most` at once; then it is dropped. For background jobs.
    Allow {
        /// How many runs go on at once at most, at least 1.
        most: u32,
    },
    /// The earlier run is given up and told to stop, and the new one starts in its place: at once, unless the earlier one goes on
    /// in the background and holds a limit that the new one needs. A new one that could not start anyway spares it.
    CancelRunning,
}

/// What a kept job does while its store cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WithoutStore {
    /// It runs all the same. What it did is written when that can be done again; if the process ends before, it is not known.
    Run,
    /// It waits.
    Hold,
}

/// What becomes of a run that was cut off by the end of its process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum CutOff {
    /// `at_most_once`: it is not run again.
    #[default]
    Leave,
    /// `at_least_once`: it is.
    RunAgain,
}

/// What becomes of a job whose schedule is another one than its record in the store says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnChange {
    /// The schedule of the record goes on to hold.
    Keep,
    /// The new one holds, counted from now.
    #[default]
    Reanchor,
    /// The new one holds, counted from now, and the job runs once at the next poll.
    RunOnce,
}

/// How long to wait before a run that failed is tried again.
///
/// ```
/// use punctual::Backoff;
/// use std::time::Duration;
///
/// let patient = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60)).jitter(Duration::from_millis(500));
/// let stepwise = Backoff::list([1, 5, 30].map(Duration::from_secs));
/// # let _ = (patient, stepwise);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    waits: Waits,
    jitter: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Waits {
    Constant(Duration),
    Exponential { first: Duration, most: Duration },
    List(Vec<Duration>),
}

impl Backoff {
    /// Always as long.
    pub fn constant(wait: Duration) -> Self {
        Backoff { waits: Waits::Constant(wait), jitter: Duration::ZERO }
    }

    /// `first`, then twice as long each time, up to `most`.
    pub fn exponential(first: Duration, most: Duration) -> Self {
        Backoff { waits: Waits::Exponential { first, most }, jitter: Duration::ZERO }
    }

    /// One after the other; the last one serves for all that follow. An empty list waits for nothing.
    pub fn list(waits: impl IntoIterator<Item = Duration>) -> Self {
        Backoff { waits: Waits::List(waits.into_iter().collect()), jitter: Duration::ZERO }
    }

    /// Adds up to so much to each wait, drawn by the scheduler's seed, so that many that failed together do not come back
    /// together.
    #[must_use]
    pub fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// The wait after so many failed attempts, at least one.
    pub(crate) fn wait(&self, failed: u32, draw: u64) -> i64 {
        let wait = match &self.waits {
            Waits::Constant(wait) => *wait,
            Waits::Exponential { first, most } => {
                let factor = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
                first.saturating_mul(factor).min(*most)
            }
            Waits::List(waits) => waits.get((failed as usize).saturating_sub(1)).or(waits.last()).copied().unwrap_or_default(),
        };
        let jitter = match length(self.jitter) {
            0 => 0,
            most => (draw % (most as u64 + 1)) as i64,
        };
        length(wait).saturating_add(jitter)
    }

    /// The longest that wait can be.
    pub(crate) fn longest(&self, failed: u32) -> i64 {
        self.wait(failed, length(self.jitter).unsigned_abs())
    }
}

impl Default for Backoff {
    /// Exponential, from a second to a minute.
    fn default() -> Self {
        Backoff::exponential(Duration::from_secs(1), Duration::from_secs(60))
    }
}

/// What to do with a job that has come due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The occurrence to run, if any.
    pub(crate) run: Option<Due>,
    /// How many occurrences are dropped, and whether for being later than the grace.
    pub(crate) dropped: u64,
    pub(crate) beyond_grace: bool,
    /// The next occurrence, which may have come too.
    pub(crate) next: Option<i64>,
    /// What is left to be made up for from the next one on, if that was counted.
    pub(crate) backlog: Option<Backlog>,
}

/// Occurrences that have been counted already, so that a series of runs does not count all that are left before each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// The first of them.
    due: i64,
    /// Up to when they were counted.
    until: i64,
    count: u64,
    /// From when the schedule counted, and how far its anchor was moved.
    place: (Option<i64>, i64),
}

/// The occurrences that one run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) due: i64,
    pub(crate) first: i64,
    pub(crate) folded: u64,
}

impl Due {
    pub(crate) fn only(due: i64) -> Self {
        Due { due, first: due, folded: 1 }
    }
}

/// Decides on the occurrence `due`, at `now`. What an earlier verdict said is left need not be counted again.
pub(crate) fn decide(
    schedule: &Schedule,
    setting: Setting<'_>,
    missed: Missed,
    grace: Option<Duration>,
    backlog: Option<Backlog>,
    due: i64,
    now: i64,
) -> Verdict {
    let next = schedule.next(setting, due);
    // Counted from its last occurrence, a random gap has none in between: it starts anew from now.
    let next = if schedule.is_random() && next.is_some_and(|next| next <= now) { schedule.next(setting, now) } else { next };
    let grace = grace.map(length);
    let too_late = |due: i64, grace: Option<i64>| grace.is_some_and(|grace| now.saturating_sub(due) > grace);
    let one = Due::only(due);
    if next.is_none_or(|next| next > now) {
        let grace = if missed == Missed::Skip { grace.or(Some(SKIP_GRACE)) } else { grace };
        return if too_late(due, grace) {
            Verdict { run: None, dropped: 1, beyond_grace: true, next, backlog: None }
        } else {
            Verdict { run: Some(one), dropped: 0, beyond_grace: false, next, backlog: None }
        };
    }
    let place = (setting.registered, setting.moved);
    let known = backlog.filter(|known| known.due == due && known.until <= now && known.place == place);
    let all = match known {
        Some(known) => known.count.saturating_add(schedule.count(setting, known.until, now)),
        None => schedule.count(setting, due, now).saturating_add(1),
    };
    match missed {
        Missed::RunAll { most } => {
            // The oldest that may still be run.
            let mut oldest = due;
            let mut dropped = 0;
            if all > u64::from(most) {
                oldest = last_of(schedule, setting, most, due, now);
                dropped = all - u64::from(most);
            }
            if too_late(oldest, grace) {
                let within = now.saturating_sub(grace.unwrap_or(0)).saturating_sub(1);
                let late = schedule.count(setting, oldest, within).saturating_add(1);
                let next = schedule.next(setting, within);
                return Verdict { run: None, dropped: dropped + late, beyond_grace: true, next, backlog: None };
            }
            let next = schedule.next(setting, oldest);
            // Only what is sure: a drawn gap, a count that was given up and a search back are not.
            let sure = dropped == 0 && all < MOST_COUNTED && !schedule.has_random();
            let left = |due| Backlog { due, until: now, count: all - 1, place };
            let backlog = next.filter(|next| sure && *next <= now).map(left);
            Verdict { run: Some(Due::only(oldest)), dropped, beyond_grace: false, next, backlog }
        }
        Missed::RunOnce | Missed::Skip => {
            let latest = schedule.prev(setting, now.saturating_add(1)).filter(|latest| *latest > due).unwrap_or(due);
            let next = schedule.next(setting, now);
            let grace = if missed == Missed::Skip { grace.or(Some(SKIP_GRACE)) } else { grace };
            if too_late(latest, grace) {
                return Verdict { run: None, dropped: all, beyond_grace: true, next, backlog: None };
            }
            let run = match missed {
                Missed::Skip => Due::only(latest),
                _ => Due { due: latest, first: due, folded: all },
            };
            Verdict { run: Some(run), dropped: all - run.folded, beyond_grace: false, next, backlog: None }
        }
    }
}

/// So few are gone back one by one, more are found by counting.
const ONE_BY_ONE: u32 = 64;

/// The oldest of the last `most` occurrences up to `now`, of which there are more since `due`.
fn last_of(schedule: &Schedule, setting: Setting<'_>, most: u32, due: i64, now: i64) -> i64 {
    if most > ONE_BY_ONE {
        // The latest instant after which more than so many lie.
        let (mut more, mut enough) = (due.saturating_sub(1), now);
        while enough.saturating_sub(more) > 1 {
            let middle = more + (enough - more) / 2;
            if schedule.count(setting, middle, now) > u64::from(most) { more = middle } else { enough = middle }
        }
        return schedule.next(setting, enough).filter(|at| *at <= now).unwrap_or(due);
    }
    let mut at = now.saturating_add(1);
    for _ in 0..most {
        match schedule.prev(setting, at) {
            Some(before) if before > due => at = before,
            _ => break,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::schedule::Zone;

    const SECOND: i64 = 1_000_000_000;

    fn setting(zone: &Zone) -> Setting<'_> {
        Setting { zone, registered: Some(0), moved: 0, seed: 0 }
    }

    /// What is to be done, told from a list of all occurrences up to now and the next one.
    fn told(all: &[i64], later: Option<i64>, missed: Missed, grace: Option<i64>, now: i64) -> Verdict {
        let grace = grace.or((missed == Missed::Skip).then_some(60 * SECOND));
        let in_time = |due: &i64| grace.is_none_or(|grace| now - due <= grace);
        let (first, last, count) = (all[0], all[all.len() - 1], all.len() as u64);
        let none = Verdict { run: None, dropped: count, beyond_grace: true, next: later, backlog: None };
        let Missed::RunAll { most } = missed else {
            let run = match missed {
                Missed::Skip => Due::only(last),
                _ => Due { due: last, first, folded: count },
            };
            let verdict =
                Verdict { run: Some(run), dropped: count - run.folded, beyond_grace: false, next: later, backlog: None };
            return if in_time(&last) { verdict } else { none };
        };
        let kept = &all[all.len().saturating_sub(most as usize)..];
        let mut due = kept.iter().filter(|due| in_time(due));
        if !in_time(&kept[0]) {
            let next = due.next();
            let dropped = next.map_or(count, |next| all.iter().filter(|due| *due < next).count() as u64);
            return Verdict { dropped, next: next.copied().or(later), ..none };
        }
        let dropped = count - kept.len() as u64;
        let next = kept.get(1).copied();
        // One that drops some counts anew the next time.
        let left = |due| Backlog { due, until: now, count: count - 1, place: (Some(0), 0) };
        let backlog = next.filter(|_| dropped == 0).map(left);
        let run = Some(Due::only(kept[0]));
        Verdict { run, dropped, beyond_grace: false, next: next.or(later), backlog }
    }

    #[test]
    fn what_is_missed_is_decided_as_a_list_tells() {
        let mut rng = Rng::with_seed(1);
        let zone = Zone::UTC;
        for text in ["every 40 seconds", "cron */7 * * * *", "cron 10-20 3,4 * * *"] {
            let schedule: Schedule = text.parse().unwrap();
            for _ in 0..400 {
                let due = schedule.next(setting(&zone), rng.i64(0..1_000_000 * SECOND)).unwrap();
                let many = if rng.bool() { rng.usize(1..6) } else { rng.usize(1..300) };
                let mut all = vec![due];
                while all.len() < many {
                    all.push(schedule.next(setting(&zone), all[all.len() - 1]).unwrap());
                }
                let last = all[all.len() - 1];
                let later = schedule.next(setting(&zone), last).unwrap();
                let between = rng.i64(last..later);
                let now = *rng.choice(&[last, last + 1, later - 1, between]).unwrap();
                let most = *rng.choice(&[1, 2, 3, 63, 64, 65, 66, 200]).unwrap();
                let missed = *rng.choice(&[Missed::RunOnce, Missed::Skip, Missed::RunAll { most }]).unwrap();
                // Often as long as one of them is late, or a nanosecond beside it.
                let late = now - rng.choice(&all).unwrap();
                let grace = *rng.choice(&[None, Some(late), Some((late - 1).max(0)), Some(late + 1)]).unwrap();
                let given = grace.map(|grace| Duration::from_nanos(grace as u64));
                let decided = |backlog, due, now| decide(&schedule, setting(&zone), missed, given, backlog, due, now);

                let said = decided(None, due, now);
                assert_eq!(said, told(&all, Some(later), missed, grace, now), "{text} {missed:?} {grace:?} {all:?} at {now}");

                // What is left is not counted again, now or later; what was counted for something else is.
                let Some(left) = said.backlog else { continue };
                let after_later = schedule.next(setting(&zone), later).unwrap();
                let now_and_later = [(all[1..].to_vec(), later, now), ([&all[1..], &[later]].concat(), after_later, later)];
                for (all, later, now) in now_and_later {
                    let told = told(&all, Some(later), missed, grace, now);
                    let count = left.count + 1000;
                    let stale = [
                        Backlog { due: left.due + 1, count, ..left },
                        Backlog { until: now + 1, count, ..left },
                        Backlog { place: (left.place.0, 1), count, ..left },
                    ];
                    for backlog in [left].into_iter().chain(stale) {
                        assert_eq!(decided(Some(backlog), all[0], now), told, "{text} {missed:?} {all:?} at {now}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_random_gap_starts_anew_from_now() {
        let zone = Zone::UTC;
        let schedule: Schedule = "every 10 to 20 seconds".parse().unwrap();
        let next = |after| schedule.next(setting(&zone), after);
        for missed in [Missed::RunOnce, Missed::RunAll { most: 3 }] {
            for (now, counted_from) in [(0, 0), (9 * SECOND, 0), (3600 * SECOND, 3600 * SECOND)] {
                let verdict = decide(&schedule, setting(&zone), missed, None, None, 0, now);
                let next = next(counted_from);
                assert_eq!(verdict, Verdict { run: Some(Due::only(0)), dropped: 0, beyond_grace: false, next, backlog: None });
            }
        }
    }

    #[test]
    fn waits_are_rows_of_a_table() {
        let seconds = Duration::from_secs;
        let rows = [
            (Backoff::constant(seconds(7)), [7, 7, 7, 7, 7, 7]),
            (Backoff::exponential(seconds(2), seconds(30)), [2, 2, 4, 8, 16, 30]),
            (Backoff::list([1, 5, 30].map(seconds)), [1, 1, 5, 30, 30, 30]),
            (Backoff::list([]), [0; 6]),
            (Backoff::default(), [1, 1, 2, 4, 8, 16]),
        ];
        for (backoff, waits) in rows {
            for (failed, wait) in (0..).zip(waits) {
                assert_eq!(backoff.wait(failed, 1), wait * SECOND, "{backoff:?} after {failed}");
                assert_eq!(backoff.longest(failed), wait * SECOND);
                let jittered = backoff.clone().jitter(Duration::from_nanos(9));
                for (draw, more) in [(0, 0), (4, 4), (9, 9), (10, 0), (29, 9)] {
                    assert_eq!(jittered.wait(failed, draw), wait * SECOND + more);
                }
                assert_eq!(jittered.longest(failed), wait * SECOND + 9);
            }
        }
        let patient = Backoff::exponential(seconds(1), Duration::MAX);
        assert_eq!(patient.wait(33, 0), i64::from(u32::MAX) * SECOND);
        assert_eq!(patient.wait(u32::MAX, 0), i64::from(u32::MAX) * SECOND);
    }
}
