//! What a schedule says: its rhythm and the clauses that narrow it, and how each rhythm is asked.
//!
//! Most schedules say nothing but their rhythm, so what few say stands in a box of its own, and large rhythms too: an interval
//! takes 48 bytes.

use std::hash::Hash;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::calendar::{Anchor, Calendar};
use super::combine::{Exclusions, Window};
use super::interval::{self, Random, Unit};
use super::occurrence::{Occurrences, OnFold, OnGap};
use super::pattern::{Pattern, SECOND};
use super::trigger::Custom;
use super::words::Words;
use super::zone::{DAY, Zone};
use super::{Dialect, MOST_COUNTED, MOST_PROBES, Schedule, Setting, from_nanos, to_nanos};
use crate::seldom::{Blank, Seldom};

/// What a schedule says. Most say nothing but their rhythm.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spec {
    pub(crate) rhythm: Rhythm,
    pub(super) clauses: Seldom<Clauses>,
}

/// What narrows a rhythm, and where it is read.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Clauses {
    pub(crate) zone: Option<Zone>,
    pub(crate) on_gap: Option<OnGap>,
    pub(crate) on_fold: Option<OnFold>,
    /// The anchor given, in nanoseconds since 1970-01-01T00:00:00Z.
    pub(crate) start: Option<i64>,
    pub(crate) after_completion: bool,
    pub(crate) immediately: bool,
    pub(crate) window: Option<Window>,
    pub(crate) except: Exclusions,
    pub(crate) until: Option<i64>,
    pub(crate) times: Option<u32>,
    pub(crate) jitter: Duration,
    pub(crate) slack: Duration,
}

impl Clauses {
    #[inline]
    pub(super) fn here<'a>(&'a self, setting: &Setting<'a>, asked: i64) -> Here<'a> {
        let zone = self.zone.as_ref().unwrap_or(setting.zone);
        let start = self.start.map(|start| start.saturating_add(setting.moved));
        let registered = setting.registered.unwrap_or(asked);
        let inner = Setting { zone, registered: Some(registered), ..*setting };
        Here { zone, start, anchor: start.unwrap_or(registered), inner }
    }

    /// Whether occurrences pass a filter: what a zone change moved may have come to an excluded date.
    pub(super) fn is_filtered(&self) -> bool {
        self.window.is_some() || !self.except.is_empty()
    }
}

impl Blank for Clauses {
    fn blank() -> &'static Self {
        static BLANK: Clauses = Clauses {
            zone: None,
            on_gap: None,
            on_fold: None,
            start: None,
            after_completion: false,
            immediately: false,
            window: None,
            except: Exclusions::NONE,
            until: None,
            times: None,
            jitter: Duration::ZERO,
            slack: Duration::ZERO,
        };
        &BLANK
    }
}

impl Deref for Spec {
    type Target = Clauses;

    fn deref(&self) -> &Clauses {
        &self.clauses
    }
}

impl DerefMut for Spec {
    fn deref_mut(&mut self) -> &mut Clauses {
        &mut self.clauses
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Rhythm {
    /// Elapsed nanoseconds, from an anchor on.
    Interval(i64),
    /// Multiples of a period on the clock.
    Aligned(i64),
    /// A gap drawn anew each time.
    Random(Box<Random>),
    Units(Box<Places>),
    Words(Box<InWords>),
    Cron(Box<InCron>),
    #[cfg(feature = "systemd")]
    OnCalendar(Box<super::on_calendar::OnCalendar>),
    Once(i64),
    /// Nanoseconds after the anchor.
    After(i64),
    Reboot,
    AnyOf(Vec<Schedule>),
    AllOf(Vec<Schedule>),
    Custom(Custom),
}

/// Places within every so-many-th hour or minute.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Places {
    pub(crate) unit: Unit,
    pub(crate) every: u32,
    pub(crate) at: Vec<u32>,
}

/// Dates and times of day in words.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct InWords {
    pub(crate) rule: Words,
    pub(crate) times: Vec<u32>,
    pub(crate) calendar: Calendar,
}

/// Dates and times of day as cron text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct InCron {
    pub(crate) text: String,
    pub(crate) dialect: Dialect,
    pub(crate) calendar: Calendar,
}

/// A schedule's setting once its own words are taken into account.
pub(super) struct Here<'a> {
    pub(super) zone: &'a Zone,
    pub(super) start: Option<i64>,
    /// The instant from which things are counted.
    anchor: i64,
    /// For the parts of a union or an intersection.
    inner: Setting<'a>,
}

impl Here<'_> {
    fn local_anchor(&self) -> Anchor {
        let at = self.anchor.div_euclid(SECOND);
        Anchor { local: at + self.zone.offset_at(at), counts: self.start.is_some() }
    }
}

/// A stretch of time in which a filter's answer doesn't change.
pub(super) struct Stretch {
    pub(super) admitted: bool,
    pub(super) since: i64,
    /// The first instant after it.
    pub(super) until: i64,
}

impl Rhythm {
    /// Whether it counts elapsed time, by itself.
    pub(super) fn is_elapsed(&self) -> bool {
        match self {
            Rhythm::Interval(_) | Rhythm::After(_) => true,
            Rhythm::Random(random) => matches!(random.unit, Unit::Nanos(_)),
            _ => false,
        }
    }

    /// Its dates and times of day, if it has a calendar.
    #[inline]
    fn calendar(&self) -> Option<&Calendar> {
        match self {
            Rhythm::Words(words) => Some(&words.calendar),
            Rhythm::Cron(cron) => Some(&cron.calendar),
            #[cfg(feature = "systemd")]
            Rhythm::OnCalendar(said) => Some(&said.calendar),
            _ => None,
        }
    }
}

impl Spec {
    /// Whether nothing that it says concerns runs, but only when they are due.
    #[inline]
    pub(crate) fn leaves_runs_alone(&self) -> bool {
        let bare = |clauses: &Clauses| {
            let at_once = clauses.jitter.is_zero() && clauses.slack.is_zero();
            at_once && clauses.until.is_none() && clauses.times.is_none() && !clauses.after_completion
        };
        self.clauses.is_unused() || bare(&self.clauses)
    }

    pub(super) fn is_calendar(&self) -> bool {
        self.rhythm.calendar().is_some()
    }

    /// The rhythm as a set of local times, if it follows the clock on the wall.
    #[inline(always)]
    fn occurrences<'a>(&'a self, clauses: &'a Clauses, here: &Here<'a>) -> Option<Occurrences<'a>> {
        let pattern = match &self.rhythm {
            Rhythm::Aligned(period) => Pattern::Aligned { period: *period },
            Rhythm::Units(places) => Pattern::Units {
                unit: places.unit.seconds(),
                every: places.every.into(),
                at: &places.at,
                anchor: if places.every > 1 { here.local_anchor() } else { Anchor { local: 0, counts: true } },
            },
            #[cfg(feature = "systemd")]
            Rhythm::OnCalendar(said) if !said.places.is_empty() => {
                Pattern::WithinMinutes { minutes: &said.calendar, places: &said.places, except: &clauses.except }
            }
            rhythm => {
                let calendar = rhythm.calendar()?;
                let anchor = if calendar.needs_anchor() { here.local_anchor() } else { Anchor { local: 0, counts: true } };
                Pattern::Calendar { calendar, anchor, except: &clauses.except }
            }
        };
        Some(Occurrences::new(pattern, here.zone, clauses.on_gap, clauses.on_fold, &clauses.except))
    }

    #[inline(always)]
    pub(super) fn next_unfiltered(&self, clauses: &Clauses, here: &Here<'_>, after: i64, left: &mut u32) -> Option<i64> {
        match &self.rhythm {
            Rhythm::Interval(period) => interval::next(*period, here.anchor, after),
            Rhythm::Random(random) => random.next(here.zone, here.inner.seed, here.start, after),
            Rhythm::Once(at) => Some(*at).filter(|at| *at > after),
            Rhythm::After(delay) => here.anchor.checked_add(*delay).filter(|at| *at > after),
            Rhythm::Reboot => None,
            Rhythm::AnyOf(parts) => {
                // A part that asks no other answers whatever is left.
                let mut next = |part: &Schedule| {
                    *left = left.saturating_sub(1);
                    part.next_within(here.inner, after, left)
                };
                parts.iter().filter_map(&mut next).min()
            }
            Rhythm::AllOf(parts) => {
                // Each part leaps to the latest of the others' answers until all give the same.
                let mut latest = |after| {
                    parts.iter().try_fold(after, |at, part| {
                        *left = left.checked_sub(1)?;
                        Some(part.next_within(here.inner, after, left)?.max(at))
                    })
                };
                let mut at = latest(after)?;
                let mut probes = 0..MOST_PROBES;
                while probes.next().is_some() {
                    match latest(at - 1)? {
                        onward if onward == at => return Some(at),
                        onward => at = onward,
                    }
                }
                None
            }
            Rhythm::Custom(trigger) => trigger.0.next_after(from_nanos(after)).map(|at| to_nanos(&at)),
            _ => self.occurrences(clauses, here)?.next(after),
        }
    }

    pub(super) fn prev_unfiltered(&self, here: &Here<'_>, before: i64, left: &mut u32) -> Option<i64> {
        match &self.rhythm {
            Rhythm::Interval(period) => interval::prev(*period, here.anchor, before),
            Rhythm::Random(_) | Rhythm::Reboot => None,
            Rhythm::Once(at) => Some(*at).filter(|at| *at < before),
            Rhythm::After(delay) => here.anchor.checked_add(*delay).filter(|at| *at < before),
            Rhythm::AnyOf(parts) => {
                let mut prev = |part: &Schedule| {
                    *left = left.saturating_sub(1);
                    part.prev_within(here.inner, before, left)
                };
                parts.iter().filter_map(&mut prev).max()
            }
            Rhythm::AllOf(parts) => {
                let mut earliest = |before| {
                    parts.iter().try_fold(before, |at, part| {
                        *left = left.checked_sub(1)?;
                        Some(part.prev_within(here.inner, before, left)?.min(at))
                    })
                };
                let mut at = earliest(before)?;
                let mut probes = 0..MOST_PROBES;
                while probes.next().is_some() {
                    match earliest(at + 1)? {
                        back if back == at => return Some(at),
                        back => at = back,
                    }
                }
                None
            }
            Rhythm::Custom(trigger) => trigger.0.prev_before(from_nanos(before)).map(|at| to_nanos(&at)),
            _ => self.occurrences(self, here)?.prev(before),
        }
    }

    pub(super) fn count_unfiltered(
        &self,
        here: &Here<'_>,
        whole: &Schedule,
        setting: Setting<'_>,
        (after, until): (i64, i64),
        left: &mut u32,
    ) -> u64 {
        match &self.rhythm {
            Rhythm::Interval(period) => interval::count(*period, here.anchor, after, until),
            Rhythm::Random(random) => random.expected(after, until),
            Rhythm::AnyOf(parts) if !parts.iter().any(Schedule::is_walked) => count_any(parts, here.inner, after, until, left),
            Rhythm::AnyOf(_) | Rhythm::AllOf(_) | Rhythm::Custom(_) | Rhythm::Once(_) | Rhythm::After(_) | Rhythm::Reboot => {
                let setting = Setting { registered: here.inner.registered, ..setting };
                let mut count = 0;
                let mut at = after;
                while count < MOST_COUNTED {
                    match whole.next_within(setting, at, left) {
                        Some(next) if next <= until => at = next,
                        _ => break,
                    }
                    count += 1;
                }
                count
            }
            _ => self.occurrences(self, here).map_or(0, |occurrences| occurrences.count(after, until)),
        }
    }

    /// Whether an instant passes the window and the exclusions, and the stretch around it in which that stays so.
    pub(super) fn stretch(&self, zone: &Zone, at: i64) -> Stretch {
        let second = at.div_euclid(SECOND);
        let offset = zone.offset_at(second);
        let local = second + offset;
        let midnight = local.div_euclid(DAY) * DAY;
        let time = local - midnight;
        let in_window = self.window.is_none_or(|window| window.contains(time as u32));
        let excluded = self.except.excludes_day(midnight / DAY);
        let (since, until) = match self.window {
            Some(window) if !excluded => window.around(time as u32),
            _ => (0, DAY as u32),
        };
        let mut since = midnight + i64::from(since) - offset;
        let mut until = midnight + i64::from(until) - offset;
        if let Ok(change) = zone.change_near(second) {
            // Another offset, another stretch.
            if change.at > second { until = until.min(change.at) } else { since = since.max(change.at) }
        }
        Stretch { admitted: in_window && !excluded, since: since * SECOND, until: until * SECOND }
    }
}

/// How many instants in `(after, until]` any of the parts has: those of the part with the most, by its own count, and one by
/// one those of the others that it doesn't have. So a daily time beside a grid of seconds costs a step for each day.
fn count_any(parts: &[Schedule], inner: Setting<'_>, after: i64, until: i64, left: &mut u32) -> u64 {
    let counts = parts.iter().map(|part| part.count_within(inner, after, until, left));
    let Some((densest, mut count)) = counts.enumerate().max_by_key(|(_, count)| *count) else { return 0 };
    let others = || parts.iter().enumerate().filter(|(place, _)| *place != densest).map(|(_, part)| part);
    let (mut at, mut walked) = (after, 0);
    while walked < MOST_COUNTED {
        let next = others().filter_map(|part| part.next_within(inner, at, left)).min();
        let Some(next) = next.filter(|next| *next <= until) else { break };
        if parts[densest].next_within(inner, next - 1, left) != Some(next) {
            count += 1;
        }
        at = next;
        walked += 1;
    }
    count
}
