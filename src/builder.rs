//! The words: `every(5).minutes().at(..)`.
//!
//! One chain serves programs and texts. It ends in a [`Schedule`] (`build`), or, when begun at a scheduler, in a job
//! (`do_`). The first mistake is kept and the chain goes on, so that the user meets it once, at the end.

use std::time::Duration;

use chrono::{DateTime, Month, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Weekday};

use crate::error::Error;
use crate::schedule::{
    MONDAY_TO_FRIDAY, MonthDay, OnFold, OnGap, Places, Predicate, Random, Rhythm, Schedule, Shift, Unit, Words, Zone, length,
    sunday_zero, time_of_day, to_nanos,
};

/// The longest interval: 200 years of 365 days.
const LONGEST: i64 = 200 * 365 * 86_400 * 1_000_000_000;

/// What a chain makes when it is not begun at a scheduler: a [`Schedule`].
#[derive(Debug, Clone, Copy)]
pub struct Alone;

/// `every(n)`, waiting for its unit.
#[derive(Debug)]
#[must_use = "a chain does nothing until `build` or `do_` ends it"]
pub struct Every<T> {
    n: u32,
    most: Option<u32>,
    target: T,
}

/// A schedule in the making.
#[derive(Debug)]
#[must_use = "a chain does nothing until `build` or `do_` ends it"]
pub struct When<T> {
    base: Base,
    weekdays: u8,
    months: u16,
    days: Vec<MonthDay>,
    /// Seconds within the unit.
    places: Vec<u32>,
    aligned: bool,
    /// The clauses, on an empty rhythm.
    clauses: Schedule,
    deadline: Option<Deadline>,
    mistake: Option<Box<Error>>,
    pub(crate) target: T,
}

/// What the chain began with.
#[derive(Debug)]
enum Base {
    Counted { n: u32, most: Option<u32>, unit: Counted },
    Period(Duration),
    Ready(Schedule),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}

impl Counted {
    fn name(self) -> &'static str {
        match self {
            Counted::Milliseconds => "milliseconds",
            Counted::Seconds => "seconds",
            Counted::Minutes => "minutes",
            Counted::Hours => "hours",
            Counted::Days => "days",
            Counted::Weeks => "weeks",
            Counted::Months => "months",
            Counted::Years => "years",
        }
    }

    /// In nanoseconds, if it is elapsed time.
    fn nanos(self) -> Option<i64> {
        match self {
            Counted::Milliseconds => Some(1_000_000),
            Counted::Seconds => Some(1_000_000_000),
            Counted::Minutes => Some(60_000_000_000),
            Counted::Hours => Some(3_600_000_000_000),
            _ => None,
        }
    }
}

/// Until when a job may be started: see [`When::until`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline(Until);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Until {
    At(i64),
    After(TimeDelta),
    Today(NaiveTime),
    Local(NaiveDateTime),
    Unread(String),
}

impl<Tz: TimeZone> From<DateTime<Tz>> for Deadline {
    fn from(at: DateTime<Tz>) -> Self {
        Deadline(Until::At(to_nanos(&at)))
    }
}

impl From<NaiveDateTime> for Deadline {
    fn from(at: NaiveDateTime) -> Self {
        Deadline(Until::Local(at))
    }
}

impl From<NaiveTime> for Deadline {
    fn from(time: NaiveTime) -> Self {
        Deadline(Until::Today(time))
    }
}

impl From<TimeDelta> for Deadline {
    fn from(time: TimeDelta) -> Self {
        Deadline(Until::After(time))
    }
}

impl From<Duration> for Deadline {
    fn from(time: Duration) -> Self {
        Deadline(Until::After(TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)))
    }
}

impl From<&str> for Deadline {
    fn from(text: &str) -> Self {
        let time = |text: &str| {
            let second = time_of_day(text)?;
            NaiveTime::from_num_seconds_from_midnight_opt(second, 0)
        };
        let read = match text.split_once(' ') {
            Some((day, clock)) => date(day).zip(time(clock)).map(|(day, clock)| Until::Local(day.and_time(clock))),
            None => time(text).map(Until::Today).or_else(|| date(text).map(|day| Until::Local(day.and_time(NaiveTime::MIN)))),
        };
        Deadline(read.unwrap_or_else(|| Until::Unread(text.chars().take(40).collect())))
    }
}

impl From<String> for Deadline {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Deadline {
    fn resolve(&self, now: i64, zone: &Zone) -> Result<i64, Error> {
        let local = |at: NaiveDateTime| Schedule::instant_of(at, zone);
        let at = match &self.0 {
            Until::At(at) => *at,
            Until::After(time) => time.num_nanoseconds().map_or(i64::MAX, |time| now.saturating_add(time)),
            Until::Today(time) => local(Schedule::local_of(now, zone).date().and_time(*time)),
            Until::Local(at) => local(*at),
            Until::Unread(text) => return Err(Error::Deadline { given: text.clone() }),
        };
        if at < now {
            let (given, now) = (Schedule::local_of(at, zone).to_string(), Schedule::local_of(now, zone).to_string());
            return Err(Error::DeadlinePassed { given, now });
        }
        Ok(at)
    }
}

impl Schedule {
    /// Begins a schedule in words: `every(5).minutes().build()`.
    ///
    /// ```
    /// use punctual::Schedule;
    /// let schedule = Schedule::every(2).weeks().on(chrono::Weekday::Mon).at("09:00").build()?;
    /// assert_eq!(schedule.to_string(), "every 2 weeks on monday at 09:00");
    /// assert!(Schedule::every(0).minutes().build().is_err());
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn every(n: u32) -> Every<Alone> {
        Every::new(n, Alone)
    }

    /// Begins a schedule of any period of elapsed time.
    pub fn every_period(period: Duration) -> When<Alone> {
        When::period(period, Alone)
    }
}

macro_rules! units {
    ($($(#[$docs:meta])* $plural:ident $singular:ident $unit:ident;)*) => {
        impl<T> Every<T> {
            $(
                $(#[$docs])*
                pub fn $plural(self) -> When<T> {
                    self.counted(Counted::$unit)
                }

                #[doc = concat!("One ", stringify!($singular), "; a mistake if the count is another.")]
                pub fn $singular(self) -> When<T> {
                    let n = self.n;
                    let singular = n == 1 || self.most.is_some() || n == 0;
                    let when = self.counted(Counted::$unit);
                    if singular { when } else { when.note(Error::Singular { n, unit: stringify!($singular) }) }
                }
            )*
        }
    };
}

units! {
    /// Milliseconds of elapsed time.
    milliseconds millisecond Milliseconds;
    /// Seconds of elapsed time.
    seconds second Seconds;
    /// Minutes of elapsed time; with [`at`](When::at), minutes on the clock.
    minutes minute Minutes;
    /// Hours of elapsed time; with [`at`](When::at), hours on the clock.
    hours hour Hours;
    /// Days on the calendar: the same time of day, whatever the clock changes do in between.
    days day Days;
    /// Weeks on the calendar, Monday first.
    weeks week Weeks;
    /// Months on the calendar; a month without the day (31 June) has no occurrence.
    months month Months;
    /// Years on the calendar.
    years year Years;
}

macro_rules! weekdays {
    ($($name:ident $weekday:ident;)*) => {
        impl<T> Every<T> {
            $(
                #[doc = concat!("Each ", stringify!($weekday), "; further days by [`on`](When::on).")]
                pub fn $name(self) -> When<T> {
                    self.weekday_named(stringify!($name), 1 << sunday_zero(Weekday::$weekday))
                }
            )*
        }
    };
}

weekdays! {
    monday Mon;
    tuesday Tue;
    wednesday Wed;
    thursday Thu;
    friday Fri;
    saturday Sat;
    sunday Sun;
}

impl<T> Every<T> {
    pub(crate) fn new(n: u32, target: T) -> Self {
        Every { n, most: None, target }
    }

    /// A gap drawn anew each time, of `n` to `most` whole units, both included; up to weeks.
    ///
    /// Each gap counts from the occurrence before it, or from now if that was missed.
    pub fn to(mut self, most: u32) -> Self {
        self.most = Some(most);
        self
    }

    fn counted(self, unit: Counted) -> When<T> {
        let mistake = match self.most {
            _ if self.n == 0 => Some(Error::ZeroInterval { given: format!("0 {}", unit.name()) }),
            Some(most) if most < self.n => Some(Error::ReversedRange { least: self.n, most }),
            Some(most) if matches!(unit, Counted::Months | Counted::Years) => {
                Some(Error::RandomUnit { least: self.n, most, unit: unit.name(), accept: "weeks()" })
            }
            _ => None,
        };
        let when = When::begin(Base::Counted { n: self.n, most: self.most, unit }, self.target);
        match mistake {
            Some(mistake) => when.note(mistake),
            None => when,
        }
    }

    fn weekday_named(self, weekday: &'static str, set: u8) -> When<T> {
        let n = self.n;
        let one = n == 1 && self.most.is_none();
        let mut when = self.counted(Counted::Weeks);
        when.weekdays = set;
        if one { when } else { when.note(Error::CountedWeekday { n, weekday }) }
    }

    /// Monday to Friday.
    pub fn weekday(self) -> When<T> {
        self.weekday_named("weekday", MONDAY_TO_FRIDAY)
    }

    /// Monday to Friday.
    pub fn weekdays(self) -> When<T> {
        self.weekday_named("weekdays", MONDAY_TO_FRIDAY)
    }
}

impl When<Alone> {
    pub(crate) fn weeks(n: u32) -> Self {
        Schedule::every(n).weeks()
    }

    pub(crate) fn of(schedule: Schedule) -> Self {
        When::ready(schedule, Alone)
    }

    /// The schedule.
    ///
    /// # Errors
    ///
    /// The first mistake in the chain. Deadlines such as `until("17:00")` need a clock, so they are for jobs only.
    pub fn build(self) -> Result<Schedule, Error> {
        self.finish(None).map(|(schedule, Alone)| schedule)
    }
}

impl<T> When<T> {
    fn begin(base: Base, target: T) -> Self {
        When {
            base,
            weekdays: 0,
            months: 0,
            days: Vec::new(),
            places: Vec::new(),
            aligned: false,
            clauses: Schedule::reboot(),
            deadline: None,
            mistake: None,
            target,
        }
    }

    pub(crate) fn period(period: Duration, target: T) -> Self {
        When::begin(Base::Period(period), target)
    }

    pub(crate) fn ready(schedule: Schedule, target: T) -> Self {
        When::begin(Base::Ready(schedule), target)
    }

    pub(crate) fn refused(error: Error, target: T) -> Self {
        When::ready(Schedule::reboot(), target).note(error)
    }

    /// The same schedule, for something else.
    pub(crate) fn retarget<U>(self, change: impl FnOnce(T) -> U) -> When<U> {
        let When { base, weekdays, months, days, places, aligned, clauses, deadline, mistake, target } = self;
        When { base, weekdays, months, days, places, aligned, clauses, deadline, mistake, target: change(target) }
    }

    /// Keeps the first mistake.
    fn note(mut self, mistake: Error) -> Self {
        self.mistake.get_or_insert_with(|| Box::new(mistake));
        self
    }

    pub(crate) fn mistake(&self) -> Option<&Error> {
        self.mistake.as_deref()
    }

    fn unfit(self, word: &'static str, accept: &'static str) -> Self {
        let schedule = match &self.base {
            Base::Counted { n, unit, .. } => format!("every({n}).{}()", unit.name()),
            Base::Period(period) => format!("every_period({period:?})"),
            Base::Ready(schedule) => schedule.to_string(),
        };
        self.note(Error::DoesNotFit { word, schedule, accept })
    }

    fn unit(&self) -> Option<Counted> {
        match self.base {
            Base::Counted { unit, .. } => Some(unit),
            _ => None,
        }
    }

    fn narrow(mut self, change: impl FnOnce(Schedule) -> Schedule) -> Self {
        self.clauses = change(self.clauses);
        self
    }

    fn try_narrow(mut self, change: impl FnOnce(Schedule) -> Result<Schedule, Error>) -> Self {
        match change(self.clauses.clone()) {
            Ok(clauses) => {
                self.clauses = clauses;
                self
            }
            Err(mistake) => self.note(mistake),
        }
    }

    /// At a time within the unit; several calls give several times.
    ///
    /// Days and longer: `"HH:MM"`, `"HH:MM:SS"`, `"3:20 pm"`, `"noon"`, `"midnight"`, in the schedule's zone. Hours: `":MM"`
    /// or `"MM:SS"`. Minutes: `":SS"`. As with Python's `schedule`, `every(3).hours().at(":15")` counts from the hour of
    /// registration, and `every(1)` runs within the current hour, minute or day if the time is still ahead.
    pub fn at(mut self, time: impl AsRef<str>) -> Self {
        let time = time.as_ref();
        let (unit, accept) = match self.unit() {
            Some(Counted::Minutes) => ("a minute", "\":SS\""),
            Some(Counted::Hours) => ("an hour", "\":MM\" or \"MM:SS\""),
            Some(Counted::Days | Counted::Weeks | Counted::Months | Counted::Years) => {
                ("a day", "\"HH:MM\", \"HH:MM:SS\" (two digits each, 00:00 to 23:59:59), \"3:20 pm\", \"noon\" or \"midnight\"")
            }
            _ => return self.unfit("at", "it goes with minutes, hours, days, weeks, months and years"),
        };
        let place = match unit {
            "a minute" => time.strip_prefix(':').and_then(|second| time_of_day(&format!("00:00:{second}"))),
            "an hour" => match time.strip_prefix(':') {
                Some(minute) => time_of_day(&format!("00:{minute}:00")),
                None => time_of_day(&format!("00:{time}")),
            }
            .filter(|_| time.len() <= 5),
            _ => day_time(time),
        };
        let Some(place) = place else {
            return self.note(Error::TimeOfDay { given: time.chars().take(40).collect(), unit, accept });
        };
        if let Err(spot) = self.places.binary_search(&place) {
            self.places.insert(spot, place);
        }
        self
    }

    /// On this weekday, of every so many weeks; several calls give several days.
    pub fn on(mut self, weekday: Weekday) -> Self {
        if self.unit() != Some(Counted::Weeks) {
            return self.unfit("on", "weekdays go with weeks(), or with months() as on_nth(2, Weekday::Tue) or on_last(..)");
        }
        self.weekdays |= 1 << sunday_zero(weekday);
        self
    }

    fn on_checked(self, word: &'static str, given: u8, least: u8, most: u8, day: MonthDay) -> Self {
        if !(least..=most).contains(&given) {
            return self.note(Error::DayOfMonth { word, given, least, most });
        }
        if !matches!(self.unit(), Some(Counted::Months | Counted::Years)) {
            return self.unfit(word, "days of the month go with months() and years()");
        }
        let mut when = self;
        if let Err(spot) = when.days.binary_search(&day) {
            when.days.insert(spot, day);
        }
        when
    }

    pub(crate) fn on_month_day(self, day: MonthDay) -> Self {
        match day {
            MonthDay::Day(n) => self.on_checked("on_day", n, 1, 31, day),
            MonthDay::Nearest(n) => self.on_checked("on_nearest_weekday", n, 1, 31, day),
            MonthDay::Nth(n, _) => self.on_checked("on_nth", n, 1, 5, day),
            MonthDay::LastWeekday(_) => self.on_checked("on_last", 1, 1, 1, day),
            MonthDay::BeforeLast(n) => self.on_checked("on_day_before_last", n, 0, 30, day),
        }
    }

    /// On a day of the month, 1 to 31; a month without it has no occurrence.
    pub fn on_day(self, day: u8) -> Self {
        self.on_month_day(MonthDay::Day(day))
    }

    /// On the last day of the month.
    pub fn on_last_day(self) -> Self {
        self.on_month_day(MonthDay::BeforeLast(0))
    }

    /// So many days before the last day of the month, 0 to 30.
    pub fn on_day_before_last(self, days: u8) -> Self {
        self.on_month_day(MonthDay::BeforeLast(days))
    }

    /// On the Monday to Friday nearest to a day of the month, without leaving the month (cron's `15W`).
    pub fn on_nearest_weekday(self, day: u8) -> Self {
        self.on_month_day(MonthDay::Nearest(day))
    }

    /// On the first to fifth such weekday of the month.
    pub fn on_nth(self, nth: u8, weekday: Weekday) -> Self {
        self.on_month_day(MonthDay::Nth(nth, sunday_zero(weekday)))
    }

    /// On the last such weekday of the month.
    pub fn on_last(self, weekday: Weekday) -> Self {
        self.on_month_day(MonthDay::LastWeekday(sunday_zero(weekday)))
    }

    /// In this month of the year; several calls give several months.
    pub fn in_month(mut self, month: Month) -> Self {
        if self.unit() != Some(Counted::Years) {
            return self.unfit("in_month", "months of the year go with years()");
        }
        self.months |= 1 << month.number_from_month();
        self
    }

    /// In a zone, by its name: see [`Schedule::tz`].
    pub fn tz(self, name: impl AsRef<str>) -> Self {
        self.try_narrow(|schedule| schedule.tz(name.as_ref()))
    }

    /// In a zone.
    pub fn in_zone(self, zone: impl Into<Zone>) -> Self {
        self.narrow(|schedule| schedule.in_zone(zone))
    }

    /// What becomes of local times that a zone change skips.
    pub fn on_gap(self, rule: OnGap) -> Self {
        self.narrow(|schedule| schedule.on_gap(rule))
    }

    /// Which pass of local times that a zone change repeats counts.
    pub fn on_fold(self, rule: OnFold) -> Self {
        self.narrow(|schedule| schedule.on_fold(rule))
    }

    /// Counts from the end of the last run instead of keeping to a grid.
    pub fn after_completion(self) -> Self {
        if matches!(&self.base, Base::Ready(schedule) if !matches!(schedule.spec().rhythm, Rhythm::Interval(_) | Rhythm::Random(_)))
        {
            return self.unfit("after_completion", "it goes with intervals: every(5).minutes().after_completion()");
        }
        self.narrow(|schedule| schedule.with(|spec| spec.after_completion = true))
    }

    /// On the clock: `every(5).minutes().aligned()` runs at :00, :05, :10, in the schedule's zone.
    ///
    /// The local time since midnight of 1 January 1970 is a multiple of the interval.
    pub fn aligned(mut self) -> Self {
        if !matches!(self.base, Base::Period(_)) && self.unit().and_then(Counted::nanos).is_none() {
            return self.unfit("aligned", "it goes with elapsed intervals: every(5).minutes().aligned()");
        }
        self.aligned = true;
        self
    }

    /// Counts from here, and has its first occurrence no earlier.
    pub fn starting_at<Tz: TimeZone>(self, start: DateTime<Tz>) -> Self {
        self.narrow(|schedule| schedule.with(|spec| spec.start = Some(to_nanos(&start))))
    }

    /// One run at the first poll after registration, then by the schedule.
    pub fn immediately(self) -> Self {
        self.narrow(|schedule| schedule.with(|spec| spec.immediately = true))
    }

    /// No run starts after this.
    ///
    /// `"HH:MM"` and `"HH:MM:SS"` are of the day of registration; `"YYYY-MM-DD"` is the beginning of that day; a duration
    /// counts from registration. Times without a zone are in the schedule's.
    pub fn until(mut self, deadline: impl Into<Deadline>) -> Self {
        self.deadline = Some(deadline.into());
        self
    }

    pub(crate) fn until_instant(self, at: i64) -> Self {
        self.narrow(|schedule| schedule.with(|spec| spec.until = Some(at)))
    }

    /// At most so many runs; then the job is gone.
    pub fn times(self, times: u32) -> Self {
        if times == 0 {
            return self.note(Error::ZeroTimes);
        }
        self.narrow(|schedule| schedule.with(|spec| spec.times = Some(times)))
    }

    /// One run; then the job is gone.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Only within a daily window: see [`Schedule::between`].
    pub fn between(self, from: impl AsRef<str>, to: impl AsRef<str>) -> Self {
        self.try_narrow(|schedule| schedule.between(from.as_ref(), to.as_ref()))
    }

    /// Not on this weekday.
    pub fn except_on(self, weekday: Weekday) -> Self {
        self.narrow(|schedule| schedule.except_on(weekday))
    }

    /// Not on this date.
    pub fn except_date(self, date: NaiveDate) -> Self {
        self.narrow(|schedule| schedule.except_date(date))
    }

    /// Not on the dates for which this holds, holidays say: see [`Schedule::except_when`].
    pub fn except_when(self, excluded: impl Fn(NaiveDate) -> bool + Send + Sync + 'static) -> Self {
        self.narrow(|schedule| schedule.with(|spec| spec.except.predicates.push(Predicate::new(excluded))))
    }

    /// What becomes of an occurrence on an excluded date; for schedules of whole days.
    pub fn shifted(self, shift: Shift) -> Self {
        self.narrow(|schedule| schedule.with(|spec| spec.except.shift = shift))
    }

    /// Puts each run off by up to this long, so that jobs due together spread out; the same for the same occurrence.
    pub fn jitter(self, most: Duration) -> Self {
        self.narrow(|schedule| schedule.with(|spec| spec.jitter = bounded(most)))
    }

    /// Lets a run start up to this much later, so that wake-ups can be merged.
    pub fn slack(self, most: Duration) -> Self {
        self.narrow(|schedule| schedule.with(|spec| spec.slack = bounded(most)))
    }

    /// The schedule, and what it is for. `now` is the instant, and the zone of the place, of registration.
    pub(crate) fn finish(mut self, now: Option<(i64, &Zone)>) -> Result<(Schedule, T), Error> {
        if let Some(mistake) = self.mistake.take() {
            return Err(*mistake);
        }
        let deadline = self.deadline.take();
        let rhythm = self.rhythm()?;
        let (clauses, aligned) = (self.clauses, self.aligned);
        let conflict = |word, accept| {
            let schedule = Schedule::new(rhythm.clone()).to_string();
            Err(Error::DoesNotFit { word, schedule, accept })
        };
        if aligned && clauses.spec().start.is_some() {
            return conflict("starting_at", "an aligned interval is anchored to the clock; leave one of the two out");
        }
        let shift = clauses.spec().except.shift;
        let mut schedule = match self.base {
            Base::Ready(schedule) => schedule.narrowed_by(&clauses),
            _ => clauses.with(|spec| spec.rhythm = rhythm),
        };
        if shift != Shift::Drop {
            schedule = schedule.shifted(shift)?;
        }
        if let Some(deadline) = deadline {
            let Some((now, zone)) = now else {
                let Deadline(Until::At(at)) = deadline else {
                    let accept = "a schedule by itself takes an instant: until(DateTime); times of day are for jobs";
                    return Err(Error::DoesNotFit { word: "until", schedule: schedule.to_string(), accept });
                };
                return Ok((schedule.with(|spec| spec.until = Some(at)), self.target));
            };
            let zone = schedule.spec().zone.clone().unwrap_or_else(|| zone.clone());
            let at = deadline.resolve(now, &zone)?;
            schedule = schedule.with(|spec| spec.until = Some(at));
        }
        Ok((schedule, self.target))
    }

    fn rhythm(&self) -> Result<Rhythm, Error> {
        let (n, most, unit) = match &self.base {
            Base::Ready(schedule) => return Ok(schedule.spec().rhythm.clone()),
            Base::Period(period) => return self.interval(*period),
            Base::Counted { n, most, unit } => (*n, *most, *unit),
        };
        if let Some(most) = most {
            let (unit, size) = match unit {
                Counted::Days => (Unit::Day, 86_400_000_000_000),
                Counted::Weeks => (Unit::Week, 604_800_000_000_000),
                _ => unit.nanos().map_or((Unit::Week, i64::MAX), |nanos| (Unit::Nanos(nanos), nanos)),
            };
            if i64::from(most).checked_mul(size).is_none_or(|period| period > LONGEST) {
                return Err(Error::TooLong { given: format!("{most} units") });
            }
            let elapsed = matches!(unit, Unit::Nanos(_));
            if self.aligned || self.weekdays != 0 || elapsed && !self.places.is_empty() || self.places.len() > 1 {
                let schedule = format!("every({n}).to({most})");
                let accept = "a random gap takes at most one at(..), with days or weeks";
                return Err(Error::DoesNotFit { word: "this clause", schedule, accept });
            }
            return Ok(Rhythm::Random(Box::new(Random { least: n, most, unit, time: self.places.first().copied() })));
        }
        if let Some(size) = unit.nanos() {
            if self.places.is_empty() {
                let period = u64::from(n).saturating_mul(size as u64);
                return self.interval(Duration::from_nanos(period));
            }
            if self.aligned {
                let schedule = format!("every({n}).{}().at(..)", unit.name());
                return Err(Error::DoesNotFit { word: "aligned", schedule, accept: "at(..) sits on the clock already" });
            }
            let unit = if unit == Counted::Hours { Unit::Hour } else { Unit::Minute };
            return Ok(Rhythm::Units(Box::new(Places { unit, every: n, at: self.places.clone() })));
        }
        let rule = match unit {
            Counted::Days => Words::Days(n),
            Counted::Weeks => Words::Weeks(n, self.weekdays),
            Counted::Months => Words::Months(n, self.days.clone()),
            _ => {
                if self.months == 0 && !self.days.is_empty() {
                    let schedule = format!("every({n}).years()");
                    return Err(Error::DoesNotFit {
                        word: "on_day",
                        schedule,
                        accept: "name the month too: in_month(Month::December)",
                    });
                }
                Words::Years(n, self.months, self.days.clone())
            }
        };
        Ok(Schedule::words(rule, self.places.clone()).spec().rhythm.clone())
    }

    fn interval(&self, period: Duration) -> Result<Rhythm, Error> {
        let nanos = length(period);
        if nanos == 0 {
            return Err(Error::ZeroInterval { given: format!("{period:?}") });
        }
        if nanos > LONGEST {
            return Err(Error::TooLong { given: format!("{period:?}") });
        }
        Ok(if self.aligned { Rhythm::Aligned(nanos) } else { Rhythm::Interval(nanos) })
    }
}

/// No delay is longer than an interval may be.
pub(crate) fn bounded(delay: Duration) -> Duration {
    delay.min(Duration::from_nanos(LONGEST as u64))
}

/// A date such as `2026-12-25`.
pub(crate) fn date(text: &str) -> Option<NaiveDate> {
    let is_shaped = |(place, byte): (usize, u8)| if matches!(place, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    let shape = text.len() == 10 && text.bytes().enumerate().all(is_shaped);
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| shape)
}

/// A time of day as a person writes it.
fn day_time(text: &str) -> Option<u32> {
    match text {
        "noon" => return Some(12 * 3600),
        "midnight" => return Some(0),
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    let (clock, noon) = match (lower.strip_suffix("am"), lower.strip_suffix("pm")) {
        (Some(clock), _) => (clock, 0),
        (_, Some(clock)) => (clock, 12 * 3600),
        _ => return time_of_day(text),
    };
    let clock = clock.strip_suffix(' ').unwrap_or(clock);
    let mut parts = clock.splitn(2, ':');
    let hour = parts.next().filter(|hour| matches!(hour.len(), 1 | 2) && hour.bytes().all(|b| b.is_ascii_digit()))?;
    let hour: u32 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    let rest = match parts.next() {
        Some(rest) => time_of_day(&format!("00:{rest}{}", if rest.len() == 2 { ":00" } else { "" }))?,
        None => 0,
    };
    Some(hour % 12 * 3600 + noon + rest)
}
