//! When a job is due, counted: each schedule is a row of instants with numbers.

use crate::plan::{DAY, HOUR, MINUTE, Missed, Ms, SECOND, When};

/// The grace of `Missed::Skip`, if none is given.
const SKIP_GRACE: Ms = 60 * SECOND;

/// The instants of one schedule, on its scale.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Occurrences {
    /// `anchor + n * period`, n from 1.
    Grid {
        anchor: Ms,
        period: Ms,
    },
    /// The same, anchored anew at each completion.
    Completion {
        anchor: Ms,
        period: Ms,
    },
    Once(Ms),
    /// At these times of each day.
    Days(Vec<Ms>),
    Never,
}

impl Occurrences {
    pub(crate) fn new(when: &When, anchor: Ms) -> Self {
        match when {
            When::Every(period) => Occurrences::Grid { anchor, period: *period },
            When::AfterCompletion(period) => Occurrences::Completion { anchor, period: *period },
            When::OnceAfter(delay) => Occurrences::Once(anchor + delay),
            When::Daily(times) => Occurrences::Days(times.clone()),
            When::Cron(step) => {
                let minutes = || (0..60).step_by(*step as usize).map(|minute| minute * MINUTE);
                Occurrences::Days((0..24).flat_map(|hour| minutes().map(move |minute| hour * HOUR + minute)).collect())
            }
            When::Reboot => Occurrences::Never,
        }
    }

    /// Whether it follows the wall clock.
    pub(crate) fn on_wall(&self) -> bool {
        matches!(self, Occurrences::Days(_))
    }

    /// The first occurrence of a job registered at `now`.
    pub(crate) fn first(&self, now: Ms) -> Option<Ms> {
        match self {
            Occurrences::Once(at) => Some(*at),
            _ => self.next(now),
        }
    }

    /// How many there are up to `at`, from a beginning that is the same each time.
    fn number(&self, at: Ms) -> i64 {
        match self {
            Occurrences::Grid { anchor, period } | Occurrences::Completion { anchor, period } => {
                (at - anchor).div_euclid(*period).max(0)
            }
            Occurrences::Once(once) => i64::from(*once <= at),
            Occurrences::Days(times) => {
                let today = times.iter().filter(|time| **time <= at.rem_euclid(DAY)).count();
                at.div_euclid(DAY) * times.len() as i64 + today as i64
            }
            Occurrences::Never => 0,
        }
    }

    /// The one with that number, from 1 on.
    fn numbered(&self, number: i64) -> Option<Ms> {
        match self {
            Occurrences::Grid { anchor, period } | Occurrences::Completion { anchor, period } => {
                (number > 0).then(|| anchor + number * period)
            }
            Occurrences::Once(once) => (number == 1).then_some(*once),
            Occurrences::Days(times) => {
                let (day, time) = ((number - 1).div_euclid(times.len() as i64), (number - 1).rem_euclid(times.len() as i64));
                Some(day * DAY + times[time as usize])
            }
            Occurrences::Never => None,
        }
    }

    pub(crate) fn next(&self, after: Ms) -> Option<Ms> {
        self.numbered(self.number(after) + 1)
    }

    /// The last up to `at`.
    fn latest(&self, at: Ms) -> Option<Ms> {
        self.numbered(self.number(at))
    }

    /// How many lie in `(after, until]`.
    pub(crate) fn count(&self, after: Ms, until: Ms) -> u64 {
        (self.number(until) - self.number(after)).max(0) as u64
    }
}

/// The occurrences that one run is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    pub(crate) due: Ms,
    pub(crate) first: Ms,
    pub(crate) folded: u64,
}

/// What is done about occurrences that have come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    pub(crate) run: Option<Run>,
    pub(crate) dropped: u64,
    /// They are dropped for being later than the grace.
    pub(crate) late: bool,
    /// Up to here all is dealt with.
    pub(crate) dealt: Ms,
}

/// Decides about the occurrences from `due` to `now`, of which the later than `until` are none.
pub(crate) fn decide(times: &Occurrences, missed: Missed, grace: Option<Ms>, until: Option<Ms>, due: Ms, now: Ms) -> Decision {
    let now_or_until = until.map_or(now, |until| until.min(now));
    let all = times.count(due, now_or_until) + 1;
    let latest = times.latest(now_or_until).filter(|latest| *latest > due).unwrap_or(due);
    let skip_grace = if missed == Missed::Skip { grace.or(Some(SKIP_GRACE)) } else { grace };
    let late = |due: Ms, grace: Option<Ms>| grace.is_some_and(|grace| now - due > grace);
    let only = |due| Some(Run { due, first: due, folded: 1 });
    match missed {
        Missed::RunOnce | Missed::Skip if late(latest, skip_grace) => {
            Decision { run: None, dropped: all, late: true, dealt: latest }
        }
        Missed::RunOnce => {
            Decision { run: Some(Run { due: latest, first: due, folded: all }), dropped: 0, late: false, dealt: latest }
        }
        Missed::Skip => Decision { run: only(latest), dropped: all - 1, late: false, dealt: latest },
        Missed::RunAll(most) => {
            let dropped = all.saturating_sub(most.into());
            let oldest = if dropped == 0 { due } else { times.numbered(times.number(due) + dropped as i64).unwrap_or(due) };
            if let Some(grace) = grace.filter(|grace| now - oldest > *grace) {
                let dealt = times.latest((now - grace - 1).min(now_or_until)).filter(|latest| *latest > oldest).unwrap_or(oldest);
                return Decision { run: None, dropped: dropped + 1 + times.count(oldest, dealt), late: true, dealt };
            }
            Decision { run: only(oldest), dropped, late: false, dealt: oldest }
        }
    }
}
