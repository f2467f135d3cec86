//! When: pure values that read no clock, take no lock and know no job.
//!
//! A [`Schedule`] is a rhythm (an elapsed interval, a calendar, one instant, several schedules joined) and what narrows
//! it: a [`spec`]. Given an instant it answers with the next occurrence. Rules that follow the clock on the wall are a
//! [`pattern::Pattern`] of local times; [`occurrence`] sets it in a [`Zone`].

pub(crate) mod calendar;
mod combine;
mod cron;
mod describe;
pub(crate) mod interval;
mod occurrence;
#[cfg(feature = "systemd")]
pub(crate) mod on_calendar;
mod pattern;
mod print;
mod spec;
mod trigger;
mod words;
mod zone;

use std::fmt;
use std::hash::Hash;
use std::iter::FusedIterator;
use std::num::NonZeroI64;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc, Weekday};

pub use combine::Shift;
pub use cron::Dialect;
pub use occurrence::{OnFold, OnGap};
pub use trigger::Trigger;
pub use zone::Zone;

pub(crate) use combine::{Exclusions, Predicate, Window};
use cron::Cron;
#[cfg(feature = "crontab")]
pub(crate) use cron::draw;
pub(crate) use interval::{Random, Unit, mix};
use pattern::SECOND;
pub(crate) use print::{DURATIONS, MONTHS, WEEKDAYS};
pub(crate) use spec::{Clauses, InCron, InWords, Places, Rhythm, Spec};
use trigger::Custom;
pub(crate) use words::{MONDAY_TO_FRIDAY, MonthDay, Words, sunday_zero, time_of_day};
use zone::DAY;

use crate::error::Error;
use crate::seldom::Seldom;

/// 1700-01-01T00:00:00Z: searches from before it begin there.
const EARLIEST: i64 = -8_520_336_000 * SECOND;

/// 2200-01-01T00:00:00Z: nothing occurs from here on.
pub(crate) const LATEST: i64 = 7_258_118_400 * SECOND;

/// A search gives up after so many candidates in a row that a window, an exclusion or a partner refused.
const MOST_PROBES: u32 = 10_000;

/// A whole search asks the parts of what is joined, and is refused a candidate, so many times at most: what is joined within what
/// is joined would multiply otherwise, and a text of two hundred letters take hours.
const MOST_ASKED: u32 = 200_000;

/// The most that is counted one by one.
pub(crate) const MOST_COUNTED: u64 = 1_000_000;

/// The most that is asked in doing so.
const MOST_COUNTED_ASKED: u32 = 8 * MOST_COUNTED as u32;

/// When something should happen: a plain value, cheap to clone, without a clock or a job.
///
/// It is built in words ([`Schedule::every`]), from cron text ([`Schedule::cron`]) or from text in words
/// (`"every monday at 09:00".parse()`); what it prints parses back to an equal value, up to 4,096 bytes.
///
/// Instants are UTC. Calendar fields are read in the schedule's zone; a schedule that has none is read in UTC when asked
/// by itself, and in the scheduler's zone once it is registered. Likewise an interval without
/// [`starting_at`](crate::When::starting_at) counts from the instant asked about, and once registered from its registration.
/// Occurrences lie in the years 1700 to 2199.
///
/// ```
/// use punctual::Schedule;
///
/// let noon = Schedule::cron("0 12 * * *")?;
/// let next = noon.next_after("2026-02-28T12:00:00Z".parse()?);
/// assert_eq!(next, Some("2026-03-01T12:00:00Z".parse()?));
///
/// let digest: Schedule = "every monday and thursday at 09:00 and 17:00 in Europe/Berlin".parse()?;
/// assert_eq!(digest, digest.to_string().parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Schedule(Arc<Spec>);

/// What a schedule takes from where it is used.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// The zone of a schedule that names none.
    pub(crate) zone: &'a Zone,
    /// The anchor of a schedule that names none; without it, the instant asked about.
    pub(crate) registered: Option<i64>,
    /// How far a named anchor lies from where it says, since the wall clock was set.
    pub(crate) moved: i64,
    pub(crate) seed: u64,
}

const ALONE: Setting<'static> = Setting { zone: &Zone::UTC, registered: None, moved: 0, seed: 0 };

pub(crate) fn to_nanos<Tz: TimeZone>(at: &DateTime<Tz>) -> i64 {
    let clamp = || if at.timestamp() < 0 { EARLIEST } else { LATEST };
    at.timestamp_nanos_opt().unwrap_or_else(clamp)
}

pub(crate) fn from_nanos(at: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(at)
}

/// The last date that was asked for: instants of one day follow one another, and dates are what takes time.
#[derive(Debug, Default)]
pub(crate) struct Today {
    day: i64,
    date: NaiveDate,
}

impl Today {
    /// The same as [`from_nanos`].
    #[inline]
    pub(crate) fn instant(&mut self, at: i64) -> DateTime<Utc> {
        let (second, nano) = (at.div_euclid(SECOND), at.rem_euclid(SECOND) as u32);
        let (day, second) = (second.div_euclid(DAY), second.rem_euclid(DAY) as u32);
        if day != self.day {
            *self = Today { day, date: from_nanos(at).date_naive() };
        }
        let time = NaiveTime::from_num_seconds_from_midnight_opt(second, nano).unwrap_or_default();
        self.date.and_time(time).and_utc()
    }
}

/// Nanoseconds, as far as they go.
#[inline]
pub(crate) fn length(duration: Duration) -> i64 {
    const MOST: u64 = (i64::MAX / SECOND) as u64;
    match duration.as_secs() {
        seconds if seconds < MOST => seconds as i64 * SECOND + i64::from(duration.subsec_nanos()),
        _ => i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX),
    }
}

impl Schedule {
    pub(crate) fn new(rhythm: Rhythm) -> Self {
        Schedule(Arc::new(Spec { rhythm, clauses: Seldom::default() }))
    }

    /// Whether it is this very value, not only an equal one.
    pub(crate) fn is_same(&self, other: &Schedule) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.0
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Cron text after the Open Cron Pattern Specification 1.4: 5 fields, 6 with seconds first, 7 with the year last, or
    /// a nickname such as `@daily`.
    ///
    /// `@reboot` parses and has no occurrence; a scheduler runs it at its first poll.
    ///
    /// # Errors
    ///
    /// [`Error::Cron`] names the field, the offending text, its column, the reason, and what would be accepted.
    ///
    /// ```
    /// use punctual::Schedule;
    /// let error = Schedule::cron("*/90 * * * *").unwrap_err();
    /// assert!(error.to_string().contains("minute `*/90` at column 1"));
    /// ```
    pub fn cron(text: impl AsRef<str>) -> Result<Self, Error> {
        Self::cron_in(Dialect::Ocps, text)
    }

    /// Cron text read by the rules of a [`Dialect`].
    ///
    /// # Errors
    ///
    /// As [`cron`](Self::cron).
    pub fn cron_in(dialect: Dialect, text: impl AsRef<str>) -> Result<Self, Error> {
        let text = text.as_ref();
        let brief = || text.chars().take(80).collect();
        match cron::parse(text, dialect).map_err(|error| Error::Cron { text: brief(), error })? {
            Cron::Reboot => Ok(Self::reboot()),
            Cron::Calendar(calendar) => {
                Ok(Self::new(Rhythm::Cron(Box::new(InCron { text: cron::normalized(text), dialect, calendar }))))
            }
        }
    }

    /// A calendar event as systemd.time(7) has it for `OnCalendar=`: `Mon..Fri 09:00`, `*-*~01`, `*:0/15`, `daily`.
    ///
    /// What systemd 252 reads is read, and nothing else. A zone at the end is the schedule's zone. Seconds may have
    /// fractions, to the microsecond. Where a zone changes, the library's own rule holds: hours, minutes and seconds that are
    /// `*`, or repeat without an end (`0/15`), run with the clock; others are made up for after a gap and run once in an overlap.
    ///
    /// # Errors
    ///
    /// [`Error::OnCalendar`] names the offending text, its column, and what would be accepted.
    ///
    /// ```
    /// use punctual::Schedule;
    /// let pay = Schedule::on_calendar("Mon *-05~07/1")?;
    /// assert_eq!(pay.to_string(), "calendar Mon *-05~07/1 00:00:00");
    /// // The last Monday of May.
    /// assert_eq!(pay.next_after("2026-01-01T00:00:00Z".parse()?), Some("2026-05-25T00:00:00Z".parse()?));
    ///
    /// let error = Schedule::on_calendar("Mon..Fri 9:60").unwrap_err();
    /// assert!(error.to_string().contains("minute `60` at column 12: 0 to 59 is the range"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "systemd")]
    pub fn on_calendar(text: impl AsRef<str>) -> Result<Self, Error> {
        let text = text.as_ref();
        let brief = || text.chars().take(80).collect();
        let (said, zone) = on_calendar::parse(text).map_err(|error| Error::OnCalendar { text: brief(), error })?;
        let schedule = Self::new(Rhythm::OnCalendar(Box::new(said)));
        Ok(match zone {
            Some(zone) => schedule.in_zone(zone),
            None => schedule,
        })
    }

    pub(crate) fn words(rule: Words, times: Vec<u32>) -> Self {
        let calendar = rule.compile(&times);
        Self::new(Rhythm::Words(Box::new(InWords { rule, times, calendar })))
    }

    /// One occurrence, at an instant.
    pub fn once_at<Tz: TimeZone>(instant: DateTime<Tz>) -> Self {
        Self::new(Rhythm::Once(to_nanos(&instant)))
    }

    /// One occurrence, so long after registration. It counts elapsed time: setting the clock does not move it.
    pub fn once_after(delay: Duration) -> Self {
        Self::new(Rhythm::After(length(delay)))
    }

    /// No occurrence in time: one run at a scheduler's first poll (`@reboot`).
    pub fn reboot() -> Self {
        Self::new(Rhythm::Reboot)
    }

    /// A trigger of the user's own.
    pub fn custom(trigger: impl Trigger) -> Self {
        Self::new(Rhythm::Custom(Custom(Arc::new(trigger))))
    }

    /// In a zone, by its name.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownZone`], with a suggestion. Without the feature `chrono-tz` only `UTC`, `local` and offsets such as
    /// `UTC+02:00` are known.
    pub fn tz(self, name: &str) -> Result<Self, Error> {
        Ok(self.in_zone(name.parse::<Zone>()?))
    }

    /// In a zone.
    pub fn in_zone(self, zone: impl Into<Zone>) -> Self {
        self.with(|spec| spec.zone = Some(zone.into()))
    }

    /// What becomes of local times that a zone change skips.
    pub fn on_gap(self, rule: OnGap) -> Self {
        self.with(|spec| spec.on_gap = Some(rule))
    }

    /// Which pass of local times that a zone change repeats counts.
    pub fn on_fold(self, rule: OnFold) -> Self {
        self.with(|spec| spec.on_fold = Some(rule))
    }

    /// The occurrences of either schedule.
    pub fn or(self, other: Schedule) -> Self {
        let joined = |schedule: Schedule| match &schedule.0.rhythm {
            Rhythm::AnyOf(parts) if schedule == Schedule::new(schedule.0.rhythm.clone()) => parts.clone(),
            _ => vec![schedule],
        };
        let mut parts = joined(self);
        parts.extend(joined(other));
        Self::new(Rhythm::AnyOf(parts))
    }

    /// The occurrences that both schedules have, to the nanosecond.
    pub fn and(self, other: Schedule) -> Self {
        let joined = |schedule: Schedule| match &schedule.0.rhythm {
            Rhythm::AllOf(parts) if schedule == Schedule::new(schedule.0.rhythm.clone()) => parts.clone(),
            _ => vec![schedule],
        };
        let mut parts = joined(self);
        parts.extend(joined(other));
        Self::new(Rhythm::AllOf(parts))
    }

    /// Only within a daily window, `"HH:MM"` or `"HH:MM:SS"`, in the schedule's zone.
    ///
    /// Both ends belong to it, to the second. A window that ends before it begins goes over midnight.
    ///
    /// # Errors
    ///
    /// [`Error::Window`] if either is no time of day.
    pub fn between(self, from: &str, to: &str) -> Result<Self, Error> {
        let wrong = || Error::Window { from: from.to_owned(), to: to.to_owned() };
        let window = Window { from: time_of_day(from).ok_or_else(wrong)?, to: time_of_day(to).ok_or_else(wrong)? };
        Ok(self.with(|spec| spec.window = Some(window)))
    }

    /// Not on this weekday.
    pub fn except_on(self, weekday: Weekday) -> Self {
        self.with(|spec| spec.except.add_weekday(weekday))
    }

    /// Not on this date, in the schedule's zone.
    pub fn except_date(self, date: NaiveDate) -> Self {
        self.with(|spec| spec.except.add_date(date))
    }

    /// Not on the dates, in the schedule's zone, for which this holds.
    ///
    /// Two schedules with predicates are equal only if one is a clone of the other; what they print doesn't parse back.
    pub fn except_when(self, excluded: impl Fn(NaiveDate) -> bool + Send + Sync + 'static) -> Self {
        self.with(|spec| spec.except.predicates.push(Predicate::new(excluded)))
    }

    /// What becomes of an occurrence on an excluded date.
    ///
    /// # Errors
    ///
    /// [`Error::DoesNotFit`] if it has no days of its own: intervals, unions, triggers.
    pub fn shifted(self, shift: Shift) -> Result<Self, Error> {
        if shift != Shift::Drop && !self.spec().is_calendar() {
            let accept = "it moves days of the calendar: every(1).day().at(..), weekdays, months, cron text";
            return Err(Error::DoesNotFit { word: "shifted", schedule: self.to_string(), accept });
        }
        Ok(self.with(|spec| spec.except.shift = shift))
    }

    /// The first occurrence strictly after `after`, or `None` if there is none before the year 2200.
    ///
    /// Calendar fields are read in the schedule's zone (UTC if it has none). A local time that a zone change skips gives
    /// the first instant after the gap; one that is repeated gives the first of the two, unless [`on_gap`](Self::on_gap)
    /// or [`on_fold`](Self::on_fold) say otherwise. Allocates nothing. Jitter is not in it: that is added when a job is
    /// queued.
    ///
    /// Narrowed schedules and intersections are searched through 10,000 refused candidates (whole days and windows at a
    /// time), then given up; schedules joined within others through 200,000 questions to their parts in all.
    ///
    /// ```
    /// # use punctual::Schedule;
    /// let early = Schedule::every(1).day().at("02:30").tz("Europe/Berlin").build()?;
    /// // On 29 March 2026 the clocks go from 02:00 to 03:00.
    /// let next = early.next_after("2026-03-28T12:00:00Z".parse()?);
    /// assert_eq!(next, Some("2026-03-29T01:00:00Z".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.next(ALONE, to_nanos(&after)).map(from_nanos)
    }

    /// The last occurrence strictly before `before`, or `None` if there is none since the year 1700.
    ///
    /// A random gap has no past: `None`.
    pub fn prev_before(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.prev(ALONE, to_nanos(&before)).map(from_nanos)
    }

    /// How many occurrences lie in `(after, until]`.
    ///
    /// Calendars and intervals are counted by months and by division. Of a union, the part with the most occurrences is
    /// counted that way and the others one by one, up to a million. Intersections, shifted dates, triggers of one's own, and
    /// unions with one of these triggers or a random gap in them are counted one by one, up to a million; of a random gap it
    /// is the number to be expected.
    pub fn count_between(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        self.count(ALONE, to_nanos(&after), to_nanos(&until))
    }

    /// The occurrences strictly after `from`, in order.
    ///
    /// ```
    /// # use punctual::Schedule;
    /// let schedule: Schedule = "every 2nd tuesday of the month at 10:30".parse()?;
    /// let dates: Vec<String> = schedule.upcoming("2026-01-01T00:00:00Z".parse()?).take(3).map(|at| at.to_string()).collect();
    /// assert_eq!(dates, ["2026-01-13 10:30:00 UTC", "2026-02-10 10:30:00 UTC", "2026-03-10 10:30:00 UTC"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn upcoming(&self, from: DateTime<Utc>) -> Upcoming<'_> {
        let from = to_nanos(&from);
        Upcoming { schedule: self, setting: Setting { registered: Some(from), ..ALONE }, at: Some(from) }
    }

    /// When it runs, in one English sentence.
    ///
    /// ```
    /// # use punctual::Schedule;
    /// let schedule = Schedule::cron("0 9 * * 1-5")?;
    /// assert_eq!(schedule.describe(), "Runs at 09:00 on Monday to Friday.");
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn describe(&self) -> String {
        describe::describe(self)
    }

    /// How late, at most, each run is put off so that jobs due together spread out; the same for the same occurrence.
    pub fn jitter(&self) -> Duration {
        self.0.jitter
    }

    /// How much later than due a run may start so that wake-ups can be merged.
    pub fn slack(&self) -> Duration {
        self.0.slack
    }

    /// What the clock shows at an instant.
    pub(crate) fn local_of(at: i64, zone: &Zone) -> NaiveDateTime {
        let second = at.div_euclid(SECOND);
        from_nanos(at.saturating_add(zone.offset_at(second).saturating_mul(SECOND))).naive_utc()
    }

    /// The first instant at which the clock shows a local time, or the end of the gap that skips it.
    pub(crate) fn instant_of(local: NaiveDateTime, zone: &Zone) -> i64 {
        let local = to_nanos(&local.and_utc());
        let second = match zone.locate(local.div_euclid(SECOND)) {
            zone::Located::One(at) | zone::Located::Fold { first: at, .. } => at,
            zone::Located::Gap(change) => change.at,
        };
        second.saturating_mul(SECOND).saturating_add(local.rem_euclid(SECOND))
    }

    /// The same with further clauses; of those that can stand once, the further ones hold.
    pub(crate) fn narrowed_by(self, clauses: &Schedule) -> Schedule {
        if clauses.spec().clauses.is_unused() {
            return self;
        }
        let more = Clauses::clone(clauses.spec());
        self.with(|spec| {
            spec.zone = more.zone.or(spec.zone.take());
            spec.on_gap = more.on_gap.or(spec.on_gap);
            spec.on_fold = more.on_fold.or(spec.on_fold);
            spec.start = more.start.or(spec.start);
            spec.after_completion |= more.after_completion;
            spec.immediately |= more.immediately;
            spec.window = more.window.or(spec.window);
            spec.except.weekdays |= more.except.weekdays;
            more.except.dates.into_iter().for_each(|date| spec.except.add_date(date));
            spec.except.predicates.extend(more.except.predicates);
            if more.except.shift != Shift::Drop {
                spec.except.shift = more.except.shift;
            }
            spec.until = more.until.or(spec.until);
            spec.times = more.times.or(spec.times);
            spec.jitter = spec.jitter.max(more.jitter);
            spec.slack = spec.slack.max(more.slack);
        })
    }

    /// Whether it counts elapsed time alone, so that setting the clock moves nothing of it.
    pub(crate) fn is_elapsed(&self) -> bool {
        let spec = self.spec();
        let bare = spec.window.is_none() && spec.except.is_empty() && spec.until.is_none();
        bare && spec.rhythm.is_elapsed()
    }

    /// Its period, and where it starts if that was said, if it is an interval of elapsed time and nothing else has a say in it.
    pub(crate) fn bare_interval(&self) -> Option<(NonZeroI64, Option<NonZeroI64>)> {
        let spec = self.spec();
        let Rhythm::Interval(period) = spec.rhythm else { return None };
        let bare = spec.leaves_runs_alone() && !spec.is_filtered() && spec.zone.is_none();
        let start = match spec.start {
            Some(start) => Some(NonZeroI64::new(start)?),
            None => None,
        };
        NonZeroI64::new(period).filter(|_| bare).map(|period| (period, start))
    }

    /// Whether any part of it counts elapsed time.
    pub(crate) fn has_elapsed_part(&self) -> bool {
        match &self.spec().rhythm {
            Rhythm::AnyOf(parts) | Rhythm::AllOf(parts) => parts.iter().any(Schedule::has_elapsed_part),
            rhythm => rhythm.is_elapsed(),
        }
    }

    /// Whether asking it runs code of the user's own.
    #[inline]
    pub(crate) fn has_callbacks(&self) -> bool {
        let spec = self.spec();
        let own = match &spec.rhythm {
            Rhythm::Custom(_) => true,
            Rhythm::AnyOf(parts) | Rhythm::AllOf(parts) => parts.iter().any(Schedule::has_callbacks),
            _ => false,
        };
        let clauses = || !spec.except.predicates.is_empty() || spec.zone.as_ref().is_some_and(Zone::is_custom);
        own || !spec.clauses.is_unused() && clauses()
    }

    /// Whether what it counts may be other than what one meets step by step: gaps drawn at random, triggers of the user's own.
    pub(crate) fn is_walked(&self) -> bool {
        match &self.spec().rhythm {
            Rhythm::Random(_) | Rhythm::Custom(_) => true,
            Rhythm::AnyOf(parts) | Rhythm::AllOf(parts) => parts.iter().any(Schedule::is_walked),
            _ => false,
        }
    }

    /// Whether any part of it is drawn at random.
    pub(crate) fn has_random(&self) -> bool {
        match &self.spec().rhythm {
            Rhythm::Random(_) => true,
            Rhythm::AnyOf(parts) | Rhythm::AllOf(parts) => parts.iter().any(Schedule::has_random),
            _ => false,
        }
    }

    pub(crate) fn is_random(&self) -> bool {
        matches!(self.spec().rhythm, Rhythm::Random(_))
    }

    /// The instant of a schedule that has only one.
    pub(crate) fn single_instant(&self, registered: i64) -> Option<i64> {
        let at = match &self.spec().rhythm {
            Rhythm::Once(at) => *at,
            Rhythm::After(delay) => registered.checked_add(*delay).filter(|at| *at < LATEST)?,
            _ => return None,
        };
        self.spec().until.is_none_or(|until| at <= until).then_some(at)
    }

    pub(crate) fn is_reboot(&self) -> bool {
        self.spec().rhythm == Rhythm::Reboot
    }

    pub(crate) fn without_window(self) -> Self {
        self.with(|spec| spec.window = None)
    }

    pub(crate) fn without_exclusions(self) -> Self {
        self.with(|spec| spec.except = Exclusions::default())
    }

    /// The same, in a zone if it names none.
    pub(crate) fn in_default_zone(self, zone: &Zone) -> Self {
        self.with(|spec| {
            spec.zone.get_or_insert_with(|| zone.clone());
        })
    }

    /// When the window opens next, if an instant lies outside it.
    pub(crate) fn window_opens(&self, zone: &Zone, at: i64) -> Option<i64> {
        let spec = self.spec();
        let mut stretch = spec.stretch(zone, at);
        let mut opens = None;
        // A zone change may cut a stretch in two or more.
        for _ in 0..MOST_PROBES {
            if stretch.admitted {
                break;
            }
            opens = Some(stretch.until);
            stretch = spec.stretch(zone, stretch.until);
        }
        opens
    }

    #[inline]
    pub(crate) fn next(&self, setting: Setting<'_>, after: i64) -> Option<i64> {
        let mut left = MOST_ASKED;
        self.next_within(setting, after, &mut left)
    }

    /// The same as a part of a search that may still ask so many times.
    #[inline]
    fn next_within(&self, setting: Setting<'_>, after: i64, left: &mut u32) -> Option<i64> {
        match self.spec() {
            Spec { rhythm: Rhythm::Interval(period), clauses } if clauses.is_unused() && after < LATEST => {
                let anchor = setting.registered.unwrap_or(after);
                interval::next(*period, anchor, after.max(EARLIEST - 1)).filter(|at| *at < LATEST)
            }
            _ => self.search(setting, after, left),
        }
    }

    fn search(&self, setting: Setting<'_>, after: i64, left: &mut u32) -> Option<i64> {
        if after >= LATEST {
            return None;
        }
        let spec = self.spec();
        let clauses: &Clauses = spec;
        let here = clauses.here(&setting, after);
        let mut after = after.max(EARLIEST - 1);
        if let Some(start) = here.start {
            after = after.max(start - 1);
        }
        let filtered = clauses.is_filtered();
        let mut probes = 0..MOST_PROBES;
        while probes.next().is_some() {
            let at = spec.next_unfiltered(clauses, &here, after, left).filter(|at| *at < LATEST && *at > after)?;
            if clauses.until.is_some_and(|until| at > until) {
                return None;
            }
            if !filtered {
                return Some(at);
            }
            let stretch = spec.stretch(here.zone, at);
            if stretch.admitted {
                return Some(at);
            }
            after = stretch.until - 1;
            *left = left.checked_sub(1)?;
        }
        None
    }

    pub(crate) fn prev(&self, setting: Setting<'_>, before: i64) -> Option<i64> {
        let mut left = MOST_ASKED;
        self.prev_within(setting, before, &mut left)
    }

    fn prev_within(&self, setting: Setting<'_>, before: i64, left: &mut u32) -> Option<i64> {
        if before <= EARLIEST {
            return None;
        }
        let spec = self.spec();
        let here = spec.here(&setting, before);
        let mut before = before.min(LATEST);
        if let Some(until) = spec.until {
            before = before.min(until.saturating_add(1));
        }
        let filtered = spec.is_filtered();
        let mut probes = 0..MOST_PROBES;
        while probes.next().is_some() {
            let at = spec.prev_unfiltered(&here, before, left).filter(|at| *at >= EARLIEST && *at < before)?;
            if here.start.is_some_and(|start| at < start) {
                return None;
            }
            if !filtered {
                return Some(at);
            }
            let stretch = spec.stretch(here.zone, at);
            if stretch.admitted {
                return Some(at);
            }
            before = stretch.since;
            *left = left.checked_sub(1)?;
        }
        None
    }

    pub(crate) fn count(&self, setting: Setting<'_>, after: i64, until: i64) -> u64 {
        let mut left = MOST_COUNTED_ASKED;
        self.count_within(setting, after, until, &mut left)
    }

    fn count_within(&self, setting: Setting<'_>, after: i64, until: i64, left: &mut u32) -> u64 {
        let spec = self.spec();
        let here = spec.here(&setting, after);
        let mut after = after.max(EARLIEST - 1);
        let mut until = until.min(LATEST - 1);
        if let Some(start) = here.start {
            after = after.max(start - 1);
        }
        if let Some(deadline) = spec.until {
            until = until.min(deadline);
        }
        if until <= after {
            return 0;
        }
        if !spec.is_filtered() {
            return spec.count_unfiltered(&here, self, setting, (after, until), left);
        }
        let mut count: u64 = 0;
        let mut from = after + 1;
        while from <= until {
            // Nothing occurs between here and the next unfiltered occurrence, so begin the stretch there.
            let Some(at) = spec.next_unfiltered(spec, &here, from - 1, left).filter(|at| *at <= until) else { break };
            let stretch = spec.stretch(here.zone, at);
            let end = until.min(stretch.until - 1);
            if stretch.admitted {
                count = count.saturating_add(spec.count_unfiltered(&here, self, setting, (at - 1, end), left));
            }
            from = end + 1;
        }
        count
    }
}

/// The occurrences of a schedule, in order: see [`Schedule::upcoming`].
#[derive(Clone)]
pub struct Upcoming<'a> {
    schedule: &'a Schedule,
    setting: Setting<'a>,
    at: Option<i64>,
}

impl Iterator for Upcoming<'_> {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        self.at = self.schedule.next(self.setting, self.at?);
        self.at.map(from_nanos)
    }
}

impl FusedIterator for Upcoming<'_> {}

impl fmt::Debug for Upcoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upcoming").field("schedule", self.schedule).field("after", &self.at.map(from_nanos)).finish()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({self})")
    }
}

#[cfg(feature = "serde")]
mod serde_text {
    use super::Schedule;

    impl serde::Serialize for Schedule {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> serde::Deserialize<'de> for Schedule {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = <String as serde::Deserialize>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_is_chronos() {
        let mut today = Today::default();
        for at in [0, -1, DAY * SECOND - 1, DAY * SECOND, 5, EARLIEST, LATEST, i64::MIN, i64::MAX, -DAY * SECOND, 0] {
            assert_eq!(today.instant(at), from_nanos(at));
            assert_eq!(today.instant(at.saturating_add(1)), from_nanos(at.saturating_add(1)));
        }
    }

    #[test]
    fn asking_from_the_ends_of_time_answers_none() {
        let ends = [i64::MIN, i64::MIN + 1, EARLIEST - 1, EARLIEST, LATEST - 1, LATEST, i64::MAX - 1, i64::MAX];
        for zone in ["UTC", "UTC+23:00", "UTC-23:00", "local"] {
            for text in ["cron * * * * * *", "every 7 minutes aligned", "every day at 10:30", "every 3 hours at :15"] {
                let Ok(schedule) = format!("{text} in {zone}").parse::<Schedule>() else { continue };
                for end in ends {
                    let next = schedule.next(ALONE, end);
                    assert_eq!(next.is_none(), end >= LATEST - 1, "{schedule} after {end}: {next:?}");
                    let prev = schedule.prev(ALONE, end);
                    assert_eq!(prev.is_none(), end <= EARLIEST, "{schedule} before {end}: {prev:?}");
                }
            }
        }
    }
}
