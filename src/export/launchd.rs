//! Schedules as the dictionary of a launchd property list.
//!
//! launchd knows one number a field, so a set of minutes is as many dictionaries as it has members; of fields that are all
//! there, none is written. Where both a day of the month and a day of the week are given, either will do, as in a crontab.

use super::NotExact;
use crate::schedule::calendar::{Calendar, DaysOfMonth, DaysOfWeek, Join, Stride, Taken, Times, Years};
use crate::schedule::{Rhythm, Schedule, Unit, Zone};

/// The most dictionaries that are written.
const MOST: usize = 1_000;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const MINUTES_OF_DAY: u32 = 1440;

const TARGET: &str = "launchd";

fn refused(part: impl Into<String>, reason: &'static str) -> NotExact {
    NotExact { target: TARGET, part: part.into(), reason }
}

/// What starts a job.
#[derive(Default)]
struct Starts {
    at_load: bool,
    interval: Option<i64>,
    dates: Vec<Date>,
}

/// Of each field its number, if it has one: minute, hour, day, month, weekday.
type Date = [Option<u32>; 5];

const FIELDS: [&str; 5] = ["Minute", "Hour", "Day", "Month", "Weekday"];

impl Schedule {
    /// The dictionary of a launchd property list that starts a job when the schedule does: `StartInterval`,
    /// `StartCalendarInterval` and `RunAtLoad`, as XML, to be completed by `Label` and `ProgramArguments`.
    ///
    /// [`PropertyList`](crate::PropertyList) reads it back. What a zone change does is launchd's own affair, and what sleep does
    /// is the same: one run makes up for all that was missed.
    ///
    /// # Errors
    ///
    /// [`NotExact`] names the part that no such dictionary can say.
    ///
    /// ```
    /// use punctual::Schedule;
    ///
    /// let report: Schedule = "every monday at 09:30".parse()?;
    /// let keys = "<key>StartCalendarInterval</key><array>\
    ///     <dict><key>Minute</key><integer>30</integer><key>Hour</key><integer>9</integer><key>Weekday</key><integer>1</integer></dict></array>";
    /// assert_eq!(report.to_launchd()?.replace("\n", ""), format!("<dict>{keys}</dict>"));
    ///
    /// let error = "every day at 09:30 in Europe/Berlin".parse::<Schedule>()?.to_launchd().unwrap_err();
    /// assert_eq!(error.part, "in Europe/Berlin");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_launchd(&self) -> Result<String, NotExact> {
        let mut starts = Starts::default();
        starts.add(self)?;
        let mut text = "<dict>\n".to_owned();
        starts.write(&mut text);
        text.push_str("</dict>");
        Ok(text)
    }
}

impl Starts {
    fn add(&mut self, schedule: &Schedule) -> Result<(), NotExact> {
        clauses(schedule)?;
        let not = |reason| Err(refused(schedule.to_string(), reason));
        self.at_load |= schedule.spec().immediately;
        match &schedule.spec().rhythm {
            Rhythm::Interval(period) if period % SECOND != 0 || *period > i64::from(i32::MAX) * SECOND => {
                not("an interval is whole seconds, 2,147,483,647 at most")
            }
            Rhythm::Interval(_) if self.interval.is_some() => not("there is one StartInterval; write a job for each interval"),
            Rhythm::Interval(period) => {
                self.interval = Some(period / SECOND);
                Ok(())
            }
            Rhythm::Aligned(period) => {
                let period = u32::try_from(period / MINUTE).ok().filter(|_| period % MINUTE == 0);
                let Some(period) = period.filter(|period| MINUTES_OF_DAY % period == 0) else {
                    return not("its periods do not fill a day evenly, in whole minutes");
                };
                let each: Vec<u32> = (0..MINUTES_OF_DAY).step_by(period as usize).collect();
                if 60 % period == 0 {
                    return self
                        .push(schedule, each.into_iter().filter(|at| *at < 60).map(|at| [Some(at), None, None, None, None]));
                }
                self.push(schedule, each.into_iter().map(|at| [Some(at % 60), Some(at / 60), None, None, None]))
            }
            Rhythm::Units(places)
                if places.every == 1 && places.unit == Unit::Hour && places.at.iter().all(|at| at % 60 == 0) =>
            {
                self.push(schedule, places.at.iter().map(|at| [Some(at / 60), None, None, None, None]))
            }
            Rhythm::Units(places) if places.every == 1 && places.at == [0] => self.push(schedule, [[None; 5]]),
            Rhythm::Units(places) if places.every == 1 => not("launchd has no seconds"),
            Rhythm::Units(_) => not("it counts from its registration; `aligned` would sit on the clock"),
            Rhythm::Cron(said) => self.add_calendar(schedule, &said.calendar),
            Rhythm::Words(said) => self.add_calendar(schedule, &said.calendar),
            #[cfg(feature = "systemd")]
            Rhythm::OnCalendar(said) if !said.places.is_empty() => not("launchd has no seconds"),
            #[cfg(feature = "systemd")]
            Rhythm::OnCalendar(said) => self.add_calendar(schedule, &said.calendar),
            Rhythm::Reboot => {
                self.at_load = true;
                Ok(())
            }
            Rhythm::AnyOf(parts) => parts.iter().try_for_each(|part| self.add(part)),
            Rhythm::Random(_) => not("it is drawn anew each time"),
            Rhythm::Once(_) | Rhythm::After(_) => not("a job that is loaded again would start again"),
            Rhythm::AllOf(_) => not("launchd has no intersections; write the times on which all agree"),
            Rhythm::Custom(_) => not("it is code"),
        }
    }

    fn add_calendar(&mut self, schedule: &Schedule, calendar: &Calendar) -> Result<(), NotExact> {
        let not = |reason| Err(refused(schedule.to_string(), reason));
        let set = &calendar.days;
        if set.stride != Stride::None || set.taken != Taken::Nothing {
            return not("it counts from its registration, or takes its day from it");
        }
        if set.years != Years::Any {
            return not("launchd has no years");
        }
        let (month, week) = (DaysOfMonth { plain: set.of_month.plain, ..DaysOfMonth::NONE }, set.of_week.plain);
        if set.of_month != month || set.of_week != (DaysOfWeek { plain: week, ..DaysOfWeek::NONE }) {
            return not("launchd has no last, nearest or numbered days; name days of the month or of the week");
        }
        let days: Vec<u32> = members(u64::from(month.plain) & ALL_DAYS);
        let weekdays: Vec<u32> = members(week.into());
        let days: Vec<(Option<u32>, Option<u32>)> = match (set.join, days.len() == 31, weekdays.len() == 7) {
            (_, true, true) | (Join::Either, true, _) | (Join::Either, _, true) => vec![(None, None)],
            (Join::Both, true, _) => weekdays.into_iter().map(|day| (None, Some(day))).collect(),
            (Join::Both, _, true) => days.into_iter().map(|day| (Some(day), None)).collect(),
            (Join::Both, false, false) => {
                return not("a day of the month and a day of the week that must both match; launchd takes either");
            }
            (Join::Either, false, false) => {
                let days = days.into_iter().map(|day| (Some(day), None));
                days.chain(weekdays.into_iter().map(|day| (None, Some(day)))).collect()
            }
        };
        let months = match members(u64::from(set.months) & ALL_MONTHS) {
            months if months.len() == 12 => vec![None],
            months => months.into_iter().map(Some).collect(),
        };
        let times: Vec<(Option<u32>, Option<u32>)> = match &calendar.times {
            Times::OfAnchor => return not("the time of day is that of its registration; name it"),
            Times::List(times) if times.iter().all(|time| time % 60 == 0) => {
                times.iter().map(|time| (Some(time / 60 % 60), Some(time / 3600))).collect()
            }
            Times::Sets { seconds: 1, minutes, hours } => {
                let every = |set: u64, all: usize| match members(set) {
                    values if values.len() == all => vec![None],
                    values => values.into_iter().map(Some).collect::<Vec<_>>(),
                };
                let (minutes, hours) = (every(*minutes, 60), every((*hours).into(), 24));
                hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (*minute, *hour))).collect()
            }
            Times::List(_) | Times::Sets { .. } => return not("launchd has no seconds"),
        };
        let dates = months.iter().flat_map(|month| {
            let (days, times) = (&days, &times);
            days.iter()
                .flat_map(move |(day, weekday)| times.iter().map(move |(minute, hour)| [*minute, *hour, *day, *month, *weekday]))
        });
        self.push(schedule, dates)
    }

    fn push(&mut self, schedule: &Schedule, dates: impl IntoIterator<Item = Date>) -> Result<(), NotExact> {
        self.dates.extend(dates.into_iter().take(MOST + 1));
        if self.dates.len() > MOST {
            return Err(refused(schedule.to_string(), "it would take more than 1,000 dictionaries, one for each time"));
        }
        Ok(())
    }

    fn write(&self, text: &mut String) {
        if let Some(interval) = self.interval {
            *text += &format!("<key>StartInterval</key>\n<integer>{interval}</integer>\n");
        }
        if !self.dates.is_empty() {
            *text += "<key>StartCalendarInterval</key>\n<array>\n";
            for date in &self.dates {
                let named = FIELDS.iter().zip(date).filter_map(|(field, value)| value.map(|value| (field, value)));
                let fields: String =
                    named.map(|(field, value)| format!("<key>{field}</key><integer>{value}</integer>")).collect();
                *text += &format!("<dict>{fields}</dict>\n");
            }
            *text += "</array>\n";
        }
        if self.at_load {
            *text += "<key>RunAtLoad</key>\n<true/>\n";
        }
    }
}

const ALL_DAYS: u64 = 0xffff_fffe;
const ALL_MONTHS: u64 = 0x1ffe;

fn members(set: u64) -> Vec<u32> {
    (0..64).filter(|value| set >> value & 1 == 1).collect()
}

/// Refuses what no property list can say.
fn clauses(schedule: &Schedule) -> Result<(), NotExact> {
    let spec = schedule.spec();
    if let Some(zone) = spec.zone.as_ref().filter(|zone| **zone != Zone::LOCAL) {
        return Err(refused(format!("in {zone}"), "launchd knows no zone but the machine's own"));
    }
    let rows = [
        (spec.after_completion, "after completion", "write KeepAlive and ThrottleInterval"),
        (spec.start.is_some(), "starting at", "launchd counts from when a job is loaded"),
        (spec.until.is_some(), "until", "a property list has no end"),
        (spec.times.is_some(), "at most .. times", "launchd does not count"),
        (spec.window.is_some(), "between", "launchd has no windows; write the hours in which it runs"),
        (!spec.except.is_empty(), "except", "launchd has no exclusions; write the days on which it runs"),
        (!spec.jitter.is_zero(), "with jitter", "launchd starts on the minute"),
        (!spec.slack.is_zero(), "with slack", "launchd starts on the minute"),
        (spec.on_gap.is_some(), "on gap", "launchd has a rule of its own"),
        (spec.on_fold.is_some(), "on fold", "launchd has a rule of its own"),
    ];
    NotExact::of_clauses(TARGET, &rows)
}
