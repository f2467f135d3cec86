//! Random schedules, each made twice: as the library builds it and as the oracle reads it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, Datelike, Month, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;
use fastrand::Rng;
use punctual::{OnFold, OnGap, Schedule, Shift};

use crate::fields::{self, last_day, last_of_its_weekday, nearest_weekday, nth, weekend};
use crate::walk::{Clock, DAY, DateRule, Fold, Gap, Leaf, Moved, Time, Tree, Zone, date_of, day_number, year};

pub(crate) struct Plan {
    /// How it was built, for the reader of a failure.
    pub(crate) said: String,
    pub(crate) schedule: Schedule,
    pub(crate) tree: Tree,
    pub(crate) zone: Rc<Zone>,
    /// Whether text can say it: a predicate on dates has no text.
    pub(crate) has_text: bool,
    /// Where to ask.
    pub(crate) from: i64,
}

pub(crate) fn utc(t: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(t, 0).unwrap()
}

/// Zones whose changes are out of the ordinary, and a year in which one is.
const ODD: [(Tz, i32); 21] = [
    (Tz::Australia__Lord_Howe, 2026),
    (Tz::Pacific__Apia, 2011),
    (Tz::Pacific__Kwajalein, 1993),
    (Tz::Pacific__Kwajalein, 1969),
    (Tz::Pacific__Kiritimati, 1994),
    (Tz::America__Juneau, 1867),
    (Tz::America__Sitka, 1867),
    (Tz::Asia__Manila, 1844),
    (Tz::Antarctica__Troll, 2026),
    (Tz::Africa__Casablanca, 2025),
    (Tz::Africa__Cairo, 2010),
    (Tz::Asia__Gaza, 2011),
    (Tz::Africa__Freetown, 1939),
    (Tz::Europe__Dublin, 2026),
    (Tz::America__St_Johns, 2006),
    (Tz::Africa__Monrovia, 1972),
    (Tz::Europe__Amsterdam, 1930),
    (Tz::Asia__Pyongyang, 2018),
    (Tz::America__Santiago, 2025),
    (Tz::Asia__Kathmandu, 1986),
    (Tz::Europe__Lisbon, 1996),
];

pub(crate) fn zone_named(tz: Tz) -> Rc<Zone> {
    thread_local!(static ZONES: RefCell<HashMap<Tz, Rc<Zone>>> = RefCell::default());
    ZONES.with_borrow_mut(|zones| zones.entry(tz).or_insert_with(|| Zone::new(tz)).clone())
}

/// A zone and an instant in it; every other time within a week of a change of its offset.
fn place(rng: &mut Rng) -> (Rc<Zone>, i64) {
    let odd = rng.choice(ODD).unwrap();
    let is_odd = rng.u8(..3) == 0;
    let zone = zone_named(if is_odd { odd.0 } else { rng.choice(chrono_tz::TZ_VARIANTS).unwrap() });
    let changes: Vec<i64> = zone.changes().iter().map(|span| span.from).filter(|t| *t < year(2090)).collect();
    let change = match rng.choice(&changes) {
        Some(_) if is_odd && rng.bool() => changes.iter().copied().min_by_key(|t| (t - year(odd.1) - 180 * DAY).abs()),
        change => change.copied(),
    };
    let from = match change {
        Some(change) if rng.bool() => change + if rng.bool() { rng.i64(-7 * DAY..7 * DAY) } else { rng.i64(-7_200..7_200) },
        _ => rng.i64(year(1850)..year(2090)),
    };
    (zone, from)
}

/// A union with an intersection that holds nothing searches it in vain at each step: right, but slow.
fn intersections_end(tree: &Tree) -> bool {
    matches!(tree, Tree::And(..))
}

impl Plan {
    pub(crate) fn random(rng: &mut Rng) -> Plan {
        let (zone, from) = place(rng);
        let mut plan = Plan::leaf(rng, zone, from);
        let mut joined = false;
        while !(joined && intersections_end(&plan.tree)) && rng.u8(..6) == 0 {
            let zone = if rng.bool() { plan.zone.clone() } else { place(rng).0 };
            let union = joined || rng.bool();
            let other = if union || rng.u8(..8) == 0 { Plan::leaf(rng, zone, from) } else { Plan::often(rng, zone, from) };
            joined = true;
            let word = if union { "or" } else { "and" };
            let (a, b) = (Box::new(plan.tree), Box::new(other.tree));
            plan.said = format!("({}) {word} ({})", plan.said, other.said);
            plan.schedule = if union { plan.schedule.or(other.schedule) } else { plan.schedule.and(other.schedule) };
            plan.tree = if union { Tree::Or(a, b) } else { Tree::And(a, b) };
            plan.has_text &= other.has_text;
        }
        plan
    }

    fn leaf(rng: &mut Rng, zone: Rc<Zone>, from: i64) -> Plan {
        let kind = rng.u8(..20);
        Plan::of_kind(kind, rng, zone, from)
    }

    /// One that runs often, so that it meets another now and then.
    fn often(rng: &mut Rng, zone: Rc<Zone>, from: i64) -> Plan {
        let kind = rng.choice([0, 16, 18, 20]).unwrap();
        Plan::of_kind(kind, rng, zone, from)
    }

    fn of_kind(kind: u8, rng: &mut Rng, zone: Rc<Zone>, from: i64) -> Plan {
        let mut draft = match kind {
            0..8 => cron(rng),
            8..10 => days(rng, &zone, from),
            10..13 => weeks(rng, &zone, from),
            13..15 => months(rng, &zone, from),
            15 => years(rng, &zone, from),
            16 | 17 => hours_or_minutes(rng, &zone, from),
            18 => aligned(rng),
            20 => cron_of("* * * * *".into()),
            _ => grid(rng, from),
        };
        draft.said = format!("{}, in {}", draft.said, zone.tz);
        draft.schedule = if rng.bool() { draft.schedule.in_zone(zone.tz) } else { draft.schedule.tz(zone.tz.name()).unwrap() };
        draft.change_rules(rng);
        draft.restrict(rng, from);
        let mut leaf = Leaf::new(zone.clone(), draft.clock);
        (leaf.starting, leaf.window, leaf.excluded, leaf.moved) = (draft.starting, draft.window, draft.excluded, draft.moved);
        Plan {
            said: draft.said,
            schedule: draft.schedule,
            tree: Tree::Leaf(Box::new(leaf)),
            zone,
            has_text: draft.has_text,
            from,
        }
    }
}

struct Draft {
    said: String,
    schedule: Schedule,
    clock: Clock,
    starting: Option<i64>,
    window: Option<(i64, i64)>,
    excluded: Option<DateRule>,
    moved: Moved,
    has_text: bool,
    /// A few times a day at most.
    calm: bool,
}

impl Draft {
    fn new(said: String, schedule: Schedule, clock: Clock, calm: bool) -> Draft {
        Draft { said, schedule, clock, starting: None, window: None, excluded: None, moved: Moved::Dropped, has_text: true, calm }
    }

    fn wall(said: String, schedule: Schedule, dates: DateRule, time: Time, running: bool) -> Draft {
        let (gap, fold) = if running { (Gap::Skip, Fold::Both) } else { (Gap::Next, Fold::First) };
        Draft::new(said, schedule, Clock::Wall { dates, time, gap, fold }, !running)
    }

    fn starting(mut self, at: i64) -> Draft {
        self.said += &format!(", starting at {}", utc(at));
        self.starting = Some(at);
        self
    }

    fn change_rules(&mut self, rng: &mut Rng) {
        let Clock::Wall { gap, fold, .. } = &mut self.clock else { return };
        if rng.u8(..4) == 0 {
            let (rule, word) =
                rng.choice([(Gap::Next, OnGap::Next), (Gap::Shift, OnGap::Shift), (Gap::Skip, OnGap::Skip)]).unwrap();
            *gap = rule;
            self.said += &format!(", on gap {word:?}");
            self.schedule = self.schedule.clone().on_gap(word);
        }
        if rng.u8(..4) == 0 {
            let (rule, word) =
                rng.choice([(Fold::First, OnFold::First), (Fold::Second, OnFold::Second), (Fold::Both, OnFold::Both)]).unwrap();
            *fold = rule;
            self.said += &format!(", on fold {word:?}");
            self.schedule = self.schedule.clone().on_fold(word);
        }
    }

    fn restrict(&mut self, rng: &mut Rng, from: i64) {
        let mut schedule = self.schedule.clone();
        if rng.u8(..6) == 0 {
            let (mut a, mut b) = (time_of_day(rng), time_of_day(rng));
            // A window that holds none of the times makes a schedule that never runs: a few of those will do.
            let own = match &self.clock {
                Clock::Wall { time: Time::Listed(times), .. } => rng.choice(times).copied(),
                Clock::Wall { time: Time::Fields { minutes, hours, .. }, .. } => {
                    Some(rng.choice(hours).unwrap() * 3_600 + rng.choice(minutes).unwrap() * 60)
                }
                _ => None,
            };
            if let Some(time) = own.filter(|_| rng.u8(..8) > 0) {
                (a, b) = (time - rng.i64(0..=time.min(7_200)), (time + rng.i64(60..7_200)).min(DAY - 1));
            }
            self.said += &format!(", between {} and {}", clock_text(a), clock_text(b));
            schedule = schedule.between(&clock_text(a), &clock_text(b)).unwrap();
            self.window = Some((a, b));
        }
        if rng.u8(..5) == 0 {
            self.excluded = Some(match rng.u8(..3) {
                0 => {
                    let days = weekday_set(rng);
                    self.said += &format!(", except on {days:?}");
                    schedule = days.iter().fold(schedule, |schedule, day| schedule.except_on(*day));
                    Box::new(move |date: NaiveDate| days.contains(&date.weekday()))
                }
                1 => {
                    let dates: Vec<NaiveDate> =
                        (0..rng.i64(1..5)).map(|_| date_of(from.div_euclid(DAY) + rng.i64(-4..5))).collect();
                    self.said += &format!(", except on {dates:?}");
                    schedule = dates.iter().fold(schedule, |schedule, date| schedule.except_date(*date));
                    Box::new(move |date: NaiveDate| dates.contains(&date))
                }
                _ => {
                    let (n, k) = (rng.i64(2..9), rng.i64(0..9));
                    self.said += &format!(", except when the day's number % {n} < {k} % {n}");
                    let rule = move |date: NaiveDate| i64::from(date.num_days_from_ce()) % n < k % n;
                    schedule = schedule.except_when(rule);
                    self.has_text = false;
                    Box::new(rule)
                }
            });
            if self.calm && matches!(self.clock, Clock::Wall { .. }) && rng.bool() {
                let (moved, word) = rng.choice([(Moved::Next, Shift::Next), (Moved::Previous, Shift::Previous)]).unwrap();
                self.said += &format!(", shifted {word:?}");
                schedule = schedule.shifted(word).expect("named times");
                self.moved = moved;
            }
        }
        self.schedule = schedule;
    }
}

/// Seconds since midnight; often in the small hours, where zones change.
fn time_of_day(rng: &mut Rng) -> i64 {
    let hour = if rng.bool() { rng.i64(0..24) } else { rng.choice([0, 0, 1, 2, 2, 3, 23]).unwrap() };
    let minute = if rng.bool() { rng.i64(0..60) } else { rng.choice([0, 15, 30, 45, 59]).unwrap() };
    let second = if rng.u8(..4) == 0 { rng.i64(0..60) } else { 0 };
    hour * 3_600 + minute * 60 + second
}

fn clock_text(time: i64) -> String {
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

fn times_of_day(rng: &mut Rng) -> Vec<i64> {
    (0..rng.choice([1, 1, 1, 2, 3]).unwrap()).map(|_| time_of_day(rng)).collect()
}

fn texts(times: &[i64]) -> Vec<String> {
    times.iter().map(|time| clock_text(*time)).collect()
}

/// An anchor: a little before or after the instant that will be asked about.
fn anchor(rng: &mut Rng, from: i64) -> i64 {
    from + rng.choice([-40 * DAY, -400 * DAY, -20 * 366 * DAY, -DAY, 10 * DAY]).unwrap() + rng.i64(-DAY..DAY)
}

const WEEK: [Weekday; 7] = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

fn weekday_set(rng: &mut Rng) -> Vec<Weekday> {
    let mut days = rng.choose_multiple(WEEK, rng.clone().usize(1..4));
    days.sort_by_key(|day| day.num_days_from_monday());
    days
}

fn days(rng: &mut Rng, zone: &Rc<Zone>, from: i64) -> Draft {
    let n = rng.choice([1, 1, 1, 2, 3, 7, 10, 30]).unwrap();
    let anchored = n > 1 || rng.u8(..4) == 0;
    let start = anchor(rng, from);
    let times = if anchored && rng.u8(..4) == 0 { Vec::new() } else { times_of_day(rng) };
    let mut when = Schedule::every(n).days();
    when = texts(&times).iter().fold(when, |when, text| when.at(text));
    when = if anchored { when.starting_at(utc(start)) } else { when };
    let (first, said) = (zone.local(start).div_euclid(DAY), format!("every {n} days at {:?}", texts(&times)));
    let times = if times.is_empty() { vec![zone.local(start).rem_euclid(DAY)] } else { times };
    let dates = move |date: NaiveDate| !anchored || (day_number(date) - first).rem_euclid(i64::from(n)) == 0;
    let draft = Draft::wall(said, when.build().unwrap(), Box::new(dates), Time::Listed(times), false);
    if anchored { draft.starting(start) } else { draft }
}

fn weeks(rng: &mut Rng, zone: &Rc<Zone>, from: i64) -> Draft {
    let times = times_of_day(rng);
    let said = texts(&times);
    match rng.u8(..3) {
        0 => {
            let schedule = texts(&times).iter().fold(Schedule::every(1).weekdays(), |when, text| when.at(text)).build().unwrap();
            Draft::wall(
                format!("every weekday at {said:?}"),
                schedule,
                Box::new(|date| !weekend(date)),
                Time::Listed(times),
                false,
            )
        }
        1 => {
            let days = weekday_set(rng);
            let when = days.iter().fold(Schedule::every(1).weeks(), |when, day| when.on(*day));
            let schedule = texts(&times).iter().fold(when, |when, text| when.at(text)).build().unwrap();
            let dates = move |date: NaiveDate| days.contains(&date.weekday());
            Draft::wall(format!("every week at {said:?}"), schedule, Box::new(dates), Time::Listed(times), false)
        }
        _ => {
            let (n, start) = (rng.u32(1..5), anchor(rng, from));
            let first = zone.local(start).div_euclid(DAY);
            let (days, named) = if rng.u8(..4) == 0 { (vec![date_of(first).weekday()], false) } else { (weekday_set(rng), true) };
            let mut when = Schedule::every(n).weeks().starting_at(utc(start));
            when = if named { days.iter().fold(when, |when, day| when.on(*day)) } else { when };
            let schedule = texts(&times).iter().fold(when, |when, text| when.at(text)).build().unwrap();
            let said = format!("every {n} weeks on {days:?} (named: {named}) at {said:?}");
            // 1970-01-05 was a Monday.
            let week = |day: i64| (day - 4).div_euclid(7);
            let dates = move |date: NaiveDate| {
                days.contains(&date.weekday()) && (week(day_number(date)) - week(first)).rem_euclid(i64::from(n)) == 0
            };
            Draft::wall(said, schedule, Box::new(dates), Time::Listed(times), false).starting(start)
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum DayOfMonth {
    Numbered(u8),
    Last,
    BeforeLast(u8),
    Nearest(u8),
    Nth(u8, Weekday),
    LastOf(Weekday),
}

impl DayOfMonth {
    fn random(rng: &mut Rng) -> DayOfMonth {
        let weekday = rng.choice(WEEK).unwrap();
        match rng.u8(..9) {
            0..4 => DayOfMonth::Numbered(rng.u8(1..32)),
            4 => DayOfMonth::Last,
            5 => DayOfMonth::BeforeLast(rng.u8(1..31)),
            6 => DayOfMonth::Nearest(rng.u8(1..32)),
            7 => DayOfMonth::Nth(rng.u8(1..6), weekday),
            _ => DayOfMonth::LastOf(weekday),
        }
    }

    fn holds(self, date: NaiveDate) -> bool {
        match self {
            DayOfMonth::Numbered(day) => date.day() == u32::from(day),
            DayOfMonth::Last => date.day() == last_day(date),
            DayOfMonth::BeforeLast(back) => date.day() + u32::from(back) == last_day(date),
            DayOfMonth::Nearest(day) => nearest_weekday(date, u32::from(day)),
            DayOfMonth::Nth(n, weekday) => nth(date, u32::from(n), weekday.num_days_from_sunday()),
            DayOfMonth::LastOf(weekday) => date.weekday() == weekday && last_of_its_weekday(date),
        }
    }
}

/// Adds days of the month to a chain; a macro because a chain's type has no name here.
macro_rules! on_days {
    ($when:expr, $days:expr) => {
        $days.iter().fold($when, |when, day| match *day {
            DayOfMonth::Numbered(day) => when.on_day(day),
            DayOfMonth::Last => when.on_last_day(),
            DayOfMonth::BeforeLast(back) => when.on_day_before_last(back),
            DayOfMonth::Nearest(day) => when.on_nearest_weekday(day),
            DayOfMonth::Nth(n, weekday) => when.on_nth(n, weekday),
            DayOfMonth::LastOf(weekday) => when.on_last(weekday),
        })
    };
}

fn month_number(date: NaiveDate) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month0())
}

fn months(rng: &mut Rng, zone: &Rc<Zone>, from: i64) -> Draft {
    let n = rng.choice([1, 1, 1, 2, 3, 5, 12]).unwrap();
    let (anchored, start) = (n > 1 || rng.u8(..4) == 0, anchor(rng, from));
    let days: Vec<DayOfMonth> = (0..rng.choice([1, 1, 2]).unwrap()).map(|_| DayOfMonth::random(rng)).collect();
    let times = times_of_day(rng);
    let mut when = on_days!(Schedule::every(n).months(), days);
    when = texts(&times).iter().fold(when, |when, text| when.at(text));
    when = if anchored { when.starting_at(utc(start)) } else { when };
    let said = format!("every {n} months on {days:?} at {:?}", texts(&times));
    let first = month_number(date_of(zone.local(start).div_euclid(DAY)));
    let dates = move |date: NaiveDate| {
        days.iter().any(|day| day.holds(date)) && (!anchored || (month_number(date) - first).rem_euclid(i64::from(n)) == 0)
    };
    let draft = Draft::wall(said, when.build().unwrap(), Box::new(dates), Time::Listed(times), false);
    if anchored { draft.starting(start) } else { draft }
}

fn years(rng: &mut Rng, zone: &Rc<Zone>, from: i64) -> Draft {
    let n = rng.choice([1, 1, 2, 4]).unwrap();
    let (anchored, start) = (n > 1 || rng.u8(..4) == 0, anchor(rng, from));
    let month = rng.u8(1..13);
    // Registration refuses a date that never comes; building may, so none is built.
    let day = match DayOfMonth::random(rng) {
        DayOfMonth::Numbered(day) | DayOfMonth::Nearest(day) => DayOfMonth::Numbered(day.min(28)),
        day => day,
    };
    let times = times_of_day(rng);
    let mut when = on_days!(Schedule::every(n).years().in_month(Month::try_from(month).unwrap()), [day]);
    when = texts(&times).iter().fold(when, |when, text| when.at(text));
    when = if anchored { when.starting_at(utc(start)) } else { when };
    let said = format!("every {n} years in month {month} on {day:?} at {:?}", texts(&times));
    let first = date_of(zone.local(start).div_euclid(DAY)).year();
    let dates = move |date: NaiveDate| {
        date.month() == u32::from(month) && day.holds(date) && (!anchored || (date.year() - first).rem_euclid(n as i32) == 0)
    };
    let draft = Draft::wall(said, when.build().unwrap(), Box::new(dates), Time::Listed(times), false);
    if anchored { draft.starting(start) } else { draft }
}

fn hours_or_minutes(rng: &mut Rng, zone: &Rc<Zone>, from: i64) -> Draft {
    let hours = rng.bool();
    let n = if hours { rng.choice([1, 1, 2, 3, 5, 24, 36]).unwrap() } else { rng.choice([1, 2, 10, 45, 90]).unwrap() };
    let (anchored, start) = (n > 1 || rng.u8(..4) == 0, anchor(rng, from));
    let at = if hours { rng.i64(0..60) * 60 + rng.choice([0, 0, rng.clone().i64(0..60)]).unwrap() } else { rng.i64(0..60) };
    let text = match (hours, at % 60) {
        (true, 0) => format!(":{:02}", at / 60),
        (true, second) => format!("{:02}:{second:02}", at / 60),
        (false, second) => format!(":{second:02}"),
    };
    let mut when = if hours { Schedule::every(n).hours() } else { Schedule::every(n).minutes() };
    when = when.at(&text);
    when = if anchored { when.starting_at(utc(start)) } else { when };
    let said = format!("every {n} {} at {text}", if hours { "hours" } else { "minutes" });
    let unit = if hours { 3_600 } else { 60 };
    let time = Time::Stride { unit, every: i64::from(n), anchor: zone.local(start), at: vec![at] };
    let draft = Draft::wall(said, when.build().unwrap(), Box::new(|_| true), time, true);
    if anchored { draft.starting(start) } else { draft }
}

fn aligned(rng: &mut Rng) -> Draft {
    let (n, unit) = rng
        .choice([(1, 1), (7, 1), (30, 1), (1, 60), (5, 60), (7, 60), (15, 60), (90, 60), (1, 3_600), (4, 3_600), (5, 3_600)])
        .unwrap();
    let every = Schedule::every(n);
    let when = match unit {
        1 => every.seconds(),
        60 => every.minutes(),
        _ => every.hours(),
    };
    let schedule = when.aligned().build().unwrap();
    let time = Time::Aligned(i64::from(n) * unit);
    Draft::wall(format!("every {n} times {unit} seconds, aligned"), schedule, Box::new(|_| true), time, true)
}

fn grid(rng: &mut Rng, from: i64) -> Draft {
    let period = rng.choice([1, 10, 61, 300, 3_600, 5_400, DAY, 100_000]).unwrap();
    let start = anchor(rng, from);
    let schedule = Schedule::every_period(Duration::from_secs(period as u64)).starting_at(utc(start)).build().unwrap();
    let clock = Clock::Elapsed { anchor: start, period };
    Draft::new(format!("every {period} seconds"), schedule, clock, false).starting(start)
}

fn cron(rng: &mut Rng) -> Draft {
    cron_of(cron_text(rng))
}

fn cron_of(text: String) -> Draft {
    let fields = fields::read(&text);
    let calm = match &fields.time {
        Time::Fields { seconds, minutes, hours } => !fields.running && seconds.len() * minutes.len() * hours.len() < 8,
        _ => false,
    };
    let schedule = Schedule::cron(&text).unwrap_or_else(|error| panic!("cron {text}: {error}"));
    let mut draft = Draft::wall(format!("cron {text}"), schedule, fields.dates, fields.time, fields.running);
    draft.calm = calm;
    draft
}

/// Cron text that is right by every rule of the project.
pub(crate) fn cron_text(rng: &mut Rng) -> String {
    let kind = rng.u8(..10);
    if kind == 9 && rng.u8(..3) == 0 {
        return rng.choice(["@hourly", "@daily", "@weekly", "@monthly", "@yearly"]).unwrap().into();
    }
    let mut fields = Vec::new();
    if kind > 5 {
        fields.push(number_field(rng, 0, 59, 8));
    }
    let odds = rng.choice([3, 8]).unwrap();
    fields.extend([
        number_field(rng, 0, 59, odds),
        number_field(rng, 0, 23, odds),
        day_field(rng),
        month_field(rng),
        weekday_field(rng),
    ]);
    if kind > 7 {
        let first = rng.i64(1970..2100);
        let choices = [
            "*".to_owned(),
            format!("{first}"),
            format!("{first}-2199"),
            format!("{}-{first}/3", first - 20.min(first - 1970)),
            "*/2".into(),
        ];
        fields.push(rng.choice(choices).unwrap());
    }
    fields.join(rng.choice([" ", " ", "  ", "\t"]).unwrap())
}

/// Values, ranges and steps; `*` and `*/n` too, a named value in `odds` of 10.
fn number_field(rng: &mut Rng, least: i64, most: i64, odds: u8) -> String {
    if rng.u8(..10) >= odds {
        return if rng.bool() { "*".into() } else { format!("*/{}", rng.i64(1..(most - least) / 2)) };
    }
    let item = |rng: &mut Rng| {
        let a = if rng.u8(..3) == 0 { least + rng.i64(0..4) } else { rng.i64(least..=most) };
        let b = rng.i64(a..=most);
        match rng.u8(..5) {
            0..3 => format!("{a}"),
            3 => format!("{a}-{b}"),
            _ => format!("{a}-{b}/{}", rng.i64(1..5)),
        }
    };
    let count = rng.choice([1, 1, 1, 2, 3]).unwrap();
    (0..count).map(|_| item(rng)).collect::<Vec<_>>().join(",")
}

fn month_field(rng: &mut Rng) -> String {
    match rng.u8(..6) {
        0 => number_field(rng, 1, 12, 9),
        1 => rng.choice(["JAN", "feb", "Mar,Oct", "MAR-OCT", "apr-dec/2", "NOV,12", "*/3"]).unwrap().into(),
        _ => "*".into(),
    }
}

fn day_field(rng: &mut Rng) -> String {
    let item = |rng: &mut Rng| match rng.u8(..10) {
        0..3 => format!("{}", rng.i64(1..32)),
        3 => number_field(rng, 1, 31, 10),
        4 => "L".into(),
        5 => format!("L-{}", rng.i64(1..31)),
        6 => "LW".into(),
        7 | 8 => format!("{}W", rng.choice([1, 2, 3, 15, 28, 29, 30, 31]).unwrap()),
        _ => format!("{}-{}", rng.i64(1..16), rng.i64(16..32)),
    };
    match rng.u8(..10) {
        0..4 => "*".into(),
        4 => "?".into(),
        5 => format!("*/{}", rng.i64(1..16)),
        6 => format!("{},{}", item(rng), item(rng)),
        _ => item(rng),
    }
}

fn weekday_field(rng: &mut Rng) -> String {
    let item = |rng: &mut Rng| match rng.u8(..8) {
        0 | 1 => format!("{}", rng.i64(0..8)),
        2 => rng.choice(["MON-FRI", "sun", "Tue,Thu", "SUN-WED", "sat", "MON-SAT/2"]).unwrap().into(),
        3 => format!("{}-{}", rng.i64(0..4), rng.i64(4..8)),
        4 | 5 => format!("{}#{}", rng.choice(["1", "FRI", "7", "0", "sun"]).unwrap(), rng.i64(1..6)),
        6 => format!("{}L", rng.choice(["5", "MON", "7", "0"]).unwrap()),
        _ => format!("{}-{}/2", rng.i64(0..4), rng.i64(4..8)),
    };
    let field = match rng.u8(..10) {
        0..5 => return "*".into(),
        5 => return "?".into(),
        6 => format!("*/{}", rng.i64(1..4)),
        7 => format!("{},{}", item(rng), item(rng)),
        _ => item(rng),
    };
    if rng.u8(..4) == 0 { format!("+{field}") } else { field }
}
