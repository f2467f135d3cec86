//! Schedules as lines of a crontab, for Vixie's cron and its heirs.
//!
//! A schedule that follows the clock is taken back to its sets of minutes, hours and days, and these are written so that
//! [`Dialect::Vixie`](crate::Dialect::Vixie) reads them as they were, zone changes included: cron makes up for times in a gap
//! only if neither minute nor hour begins with `*`, and takes both day fields together only if one of them does. So 1-31 may
//! stand for `*`, and `*/31,13` for 1,13.

use std::fmt;

use super::NotExact;
use crate::schedule::calendar::{Calendar, DaySet, DaysOfMonth, Join, Stride, Taken, Times, Years};
use crate::schedule::{Dialect, Rhythm, Schedule, Unit, Zone};

/// When, for a line of a crontab: the five fields or the nickname that come before the command.
///
/// It prints as it stands in the file, the zone on a line of its own, so that `format!("{line} command")` is a whole entry.
/// `CRON_TZ` is known to cronie and NetBSD's cron, and not to Debian's, FreeBSD's and OpenBSD's, whose zone is the machine's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CronLine {
    /// The zone, for `CRON_TZ`; `None` if the schedule names none, or the machine's own.
    pub zone: Option<String>,
    /// Five fields, or `@reboot`.
    pub fields: String,
}

impl fmt::Display for CronLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(zone) = &self.zone {
            writeln!(f, "CRON_TZ={zone}")?;
        }
        f.write_str(&self.fields)
    }
}

/// The sets of one line.
struct Fields {
    minutes: u64,
    hours: u32,
    days: Days,
    /// Bit n stands for month n.
    months: u16,
    /// Whether times in a gap are made up for.
    fixed: bool,
    /// The text, if it was one of Vixie's already.
    said: Option<String>,
}

#[derive(Clone, Copy)]
struct Days {
    /// Bit n stands for day n.
    of_month: u32,
    /// Bit n stands for weekday n, Sunday 0.
    of_week: u8,
    join: Join,
}

impl Days {
    const EVERY: Days = Days { of_month: ALL_DAYS, of_week: ALL_WEEKDAYS, join: Join::Both };

    /// The days of one line, or of several that have none in common, if cron has them.
    fn of(set: &DaySet) -> Option<Vec<Days>> {
        let (month, week) = (&set.of_month, &set.of_week);
        let all_month = month.plain & ALL_DAYS == ALL_DAYS;
        if (DaysOfMonth { plain: 0, ..*month }) != DaysOfMonth::NONE || week.last != 0 {
            return None;
        }
        if week.nth != [0; 5] {
            // The second Tuesday is the Tuesday from the 8th to the 14th.
            let is_alone = week.plain == 0 && (month.plain == 0 || all_month && set.join == Join::Both);
            let numbered = (0..).zip(week.nth).filter(|(_, weekdays)| *weekdays != 0);
            let weeks = numbered.map(|(nth, of_week)| Days { of_month: 0xfe << (7 * nth), of_week, join: Join::Both });
            return is_alone.then(|| weeks.collect());
        }
        let (of_month, of_week) = (month.plain & ALL_DAYS, week.plain & ALL_WEEKDAYS);
        Some(vec![match set.join {
            Join::Both => Days { of_month, of_week, join: Join::Both },
            Join::Either if all_month || of_week == ALL_WEEKDAYS => Days::EVERY,
            Join::Either if of_week == 0 => Days { of_month, ..Days::EVERY },
            Join::Either if of_month == 0 => Days { of_week, ..Days::EVERY },
            Join::Either => Days { of_month, of_week, join: Join::Either },
        }])
    }
}

const ALL_MINUTES: u64 = (1 << 60) - 1;
const ALL_HOURS: u32 = (1 << 24) - 1;
const ALL_DAYS: u32 = !1;
const ALL_MONTHS: u16 = 0x1ffe;
const ALL_WEEKDAYS: u8 = 0x7f;

const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;

const TARGET: &str = "cron";

fn refused(part: impl Into<String>, reason: &'static str) -> NotExact {
    NotExact { target: TARGET, part: part.into(), reason }
}

impl Schedule {
    /// The lines of a crontab that run when it does, to be read by the rules of [`Dialect::Vixie`](crate::Dialect::Vixie):
    /// several if there is no one line for its times, of which no two run at once.
    ///
    /// Each line is a job of its own to cron. Where a zone change skips the times of several, each is made up for.
    ///
    /// # Errors
    ///
    /// [`NotExact`] if five fields cannot say it: elapsed intervals (but `aligned` ones that divide the hour or the day), seconds,
    /// years, last days, windows, exclusions, deadlines and the like.
    ///
    /// ```
    /// use punctual::Schedule;
    ///
    /// let schedule: Schedule = "every weekday at 09:00 and 17:30 in Europe/Berlin".parse()?;
    /// let lines: Vec<String> = schedule.to_cron()?.iter().map(|line| format!("{line} report")).collect();
    /// assert_eq!(lines, ["CRON_TZ=Europe/Berlin\n0 9 * * 1-5 report", "CRON_TZ=Europe/Berlin\n30 17 * * 1-5 report"]);
    ///
    /// let error = Schedule::every(90).minutes().build()?.to_cron().unwrap_err();
    /// assert!(error.to_string().starts_with("`every 90 minutes` cannot be written for cron: it counts elapsed time"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_cron(&self) -> Result<Vec<CronLine>, NotExact> {
        let zone = self.cron_zone()?;
        let line = |fields| CronLine { zone: zone.clone(), fields };
        if self.is_reboot() {
            self.refuse_clauses()?;
            return Ok(vec![line("@reboot".to_owned())]);
        }
        let fields = self.cron_fields(self.one_zone())?;
        for (place, one) in fields.iter().enumerate() {
            if fields.iter().skip(place + 1).any(|other| one.may_meet(other)) {
                let reason = "its parts may come at the same minute, and cron would run each; leave out what is said twice";
                return Err(refused(self.to_string(), reason));
            }
        }
        fields.iter().map(|fields| fields.text().map(line).ok_or_else(|| self.no_such_fields())).collect()
    }

    fn no_such_fields(&self) -> NotExact {
        let reason = "fields that must both match, or that run through a gap, begin with `*` in cron, and none of these can";
        refused(self.to_string(), reason)
    }

    /// The zone that it names, or all of its parts.
    fn one_zone(&self) -> Option<&Zone> {
        let spec = self.spec();
        match &spec.rhythm {
            Rhythm::AnyOf(parts) if spec.zone.is_none() => {
                let zone = parts.first()?.one_zone();
                zone.filter(|_| parts.iter().all(|part| part.one_zone() == zone))
            }
            _ => spec.zone.as_ref(),
        }
    }

    fn cron_zone(&self) -> Result<Option<String>, NotExact> {
        let Some(zone) = self.one_zone() else { return Ok(None) };
        let name = zone.to_string();
        match zone.constant() {
            _ if name == "local" => Ok(None),
            Some(0) => Ok(Some("UTC".to_owned())),
            Some(offset) if offset % 3600 == 0 && (-12..=14).contains(&(offset / 3600)) => {
                // Signs are the other way round in these names.
                Ok(Some(format!("Etc/GMT{:+}", -offset / 3600)))
            }
            Some(_) => Err(refused(name, "it is no zone of the database; write one by its name, such as Asia/Kolkata")),
            None if zone.is_custom() => Err(refused(name, "it is code; write a zone by its name")),
            None => Ok(Some(name)),
        }
    }

    /// What narrows a schedule has no place in a crontab.
    fn refuse_clauses(&self) -> Result<(), NotExact> {
        let spec = self.spec();
        let rows = [
            (spec.start.is_some(), "starting at", "a crontab has no beginning"),
            (spec.until.is_some(), "until", "a crontab has no end"),
            (spec.times.is_some(), "at most .. times", "cron does not count runs"),
            (spec.immediately, "immediately", "cron waits for the first time that fits; add a line with @reboot"),
            (spec.after_completion, "after completion", "cron does not know when a run ends"),
            (!spec.except.is_empty(), "except", "cron has no exclusions; write the days on which it runs"),
            (spec.window.is_some(), "between", "cron has no windows; write the hours in which it runs"),
            (!spec.jitter.is_zero(), "with jitter", "cron starts on the minute"),
            (!spec.slack.is_zero(), "with slack", "cron starts on the minute"),
            (spec.on_gap.is_some(), "on gap", "cron has one rule for gaps; leave it out"),
            (spec.on_fold.is_some(), "on fold", "cron has one rule for folds; leave it out"),
        ];
        NotExact::of_clauses(TARGET, &rows)
    }

    /// Its lines, where all that runs does so in this zone.
    fn cron_fields(&self, zone: Option<&Zone>) -> Result<Vec<Fields>, NotExact> {
        self.refuse_clauses()?;
        let running = |minutes, hours| Fields { minutes, hours, days: Days::EVERY, months: ALL_MONTHS, fixed: false, said: None };
        match &self.spec().rhythm {
            Rhythm::Cron(cron) => {
                let mut lines = Fields::of(&cron.calendar, self)?;
                if let (Dialect::Vixie, [line]) = (cron.dialect, &mut lines[..]) {
                    line.said = Some(cron.text.clone());
                }
                Ok(lines)
            }
            Rhythm::Words(words) => Fields::of(&words.calendar, self),
            #[cfg(feature = "systemd")]
            Rhythm::OnCalendar(said) if !said.places.is_empty() => Err(refused(self.to_string(), "cron has no seconds")),
            #[cfg(feature = "systemd")]
            Rhythm::OnCalendar(said) => Fields::of(&said.calendar, self),
            Rhythm::Aligned(period) => match (*period / MINUTE, *period / HOUR) {
                (n @ 1..=60, _) if period % MINUTE == 0 && 60 % n == 0 => Ok(vec![running(each(60, n), ALL_HOURS)]),
                (_, n @ 1..=24) if period % HOUR == 0 && 24 % n == 0 => Ok(vec![running(1, each(24, n) as u32)]),
                _ => Err(refused(self.to_string(), "it does not divide the hour or the day, and cron begins anew with each")),
            },
            Rhythm::Units(places) if places.every == 1 => {
                let minutes = match places.unit {
                    Unit::Hour => places.at.iter().try_fold(0, |set, at| (at % 60 == 0).then_some(set | 1 << (at / 60 % 60))),
                    _ => (places.at == [0]).then_some(ALL_MINUTES),
                };
                let minutes = minutes.ok_or_else(|| refused(self.to_string(), "cron has no seconds"))?;
                Ok(vec![running(minutes, ALL_HOURS)])
            }
            Rhythm::Units(_) => {
                let reason = "it counts hours or minutes from its registration, and cron begins anew each day; write the hours";
                Err(refused(self.to_string(), reason))
            }
            Rhythm::AnyOf(parts) => {
                let mut fields = Vec::new();
                for part in parts {
                    if part.is_reboot() {
                        return Err(refused("at reboot", "it is a line of its own"));
                    }
                    if part.spec().zone.is_some() && part.spec().zone.as_ref() != zone {
                        let reason = "parts in different zones may come at the same minute; write one zone behind the whole";
                        return Err(refused(part.to_string(), reason));
                    }
                    fields.extend(part.cron_fields(zone)?);
                }
                Ok(fields)
            }
            Rhythm::Interval(_) | Rhythm::Random(_) | Rhythm::After(_) => {
                Err(refused(self.to_string(), "it counts elapsed time, and cron reads the clock; an `aligned` interval may do"))
            }
            Rhythm::Once(_) => Err(refused(self.to_string(), "cron has no years; at(1) runs a command once")),
            Rhythm::AllOf(_) => Err(refused(self.to_string(), "cron has no intersections; write the times on which all agree")),
            Rhythm::Custom(_) => Err(refused(self.to_string(), "it is code")),
            Rhythm::Reboot => Err(refused(self.to_string(), "it is a line of its own")),
        }
    }
}

/// Every so-many-th of as many values, from 0 on.
fn each(values: u32, step: i64) -> u64 {
    (0..values).filter(|value| i64::from(*value) % step == 0).fold(0, |set, value| set | 1 << value)
}

impl Fields {
    fn of(calendar: &Calendar, schedule: &Schedule) -> Result<Vec<Fields>, NotExact> {
        let not = |reason| Err(refused(schedule.to_string(), reason));
        let set = &calendar.days;
        if set.stride != Stride::None {
            return not("it counts from its registration, and cron begins anew with each month");
        }
        if set.taken != Taken::Nothing {
            return not("the day is that of its registration; name it");
        }
        if set.years != Years::Any {
            return not("cron has no years");
        }
        let Some(days) = Days::of(set) else {
            return not("cron has no last or nearest days, and numbered weekdays only alone; name days of the month or the week");
        };
        let months = set.months & ALL_MONTHS;
        let fields = |minutes, hours, days| Fields { minutes, hours, days, months, fixed: calendar.fixed, said: None };
        let on_each_day = |times: &[(u64, u32)]| {
            let lines = days.iter().flat_map(|days| times.iter().map(|(minutes, hours)| fields(*minutes, *hours, *days)));
            Ok(lines.collect())
        };
        match &calendar.times {
            Times::OfAnchor => not("the time of day is that of its registration; name it"),
            Times::Sets { seconds: 1, minutes, hours } => on_each_day(&[(*minutes, *hours)]),
            Times::Sets { .. } => not("cron has no seconds"),
            Times::List(times) => {
                let mut hours = [0u32; 60];
                for time in times {
                    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
                    match hours.get_mut(minute as usize) {
                        Some(set) if second == 0 => *set |= 1 << (hour % 24),
                        _ => return not("cron has no seconds"),
                    }
                }
                // Minutes that have the same hours share a line.
                let mut times: Vec<(u64, u32)> = Vec::new();
                for (minute, hours) in hours.into_iter().enumerate().filter(|(_, hours)| *hours != 0) {
                    match times.iter_mut().find(|(_, known)| *known == hours) {
                        Some((minutes, _)) => *minutes |= 1 << minute,
                        None => times.push((1 << minute, hours)),
                    }
                }
                times.sort_by_key(|(minutes, hours)| (hours.trailing_zeros(), minutes.trailing_zeros()));
                on_each_day(&times)
            }
        }
    }

    /// Whether two lines may run at the same minute. A gap aside: it brings together what never meets on the clock.
    fn may_meet(&self, other: &Fields) -> bool {
        let times = self.minutes & other.minutes != 0 && self.hours & other.hours != 0;
        let either = self.days.join == Join::Either || other.days.join == Join::Either;
        let days = self.days.of_month & other.days.of_month != 0 && self.days.of_week & other.days.of_week != 0;
        times && self.months & other.months != 0 && (either || days)
    }

    fn text(&self) -> Option<String> {
        if self.said.is_some() {
            return self.said.clone();
        }
        let (minutes, hours) = (self.minutes, u64::from(self.hours));
        let (minute, hour) = if self.fixed { (listed(minutes), listed(hours)) } else { running(minutes, hours)? };
        let (of_month, of_week) = (u64::from(self.days.of_month), u64::from(self.days.of_week));
        let (all_month, all_week) = (self.days.of_month == ALL_DAYS, self.days.of_week == ALL_WEEKDAYS);
        let (day, weekday) = match self.days.join {
            Join::Either => (listed(of_month), listed(of_week)),
            Join::Both if all_month && all_week => ("*".to_owned(), "*".to_owned()),
            Join::Both if all_month => ("*".to_owned(), listed(of_week)),
            Join::Both if all_week => (listed(of_month), "*".to_owned()),
            Join::Both => match starred(of_month, 1, 31) {
                Some(day) => (day, listed(of_week)),
                None => (listed(of_month), starred(of_week, 0, 6)?),
            },
        };
        let month = if self.months == ALL_MONTHS { "*".to_owned() } else { listed(self.months.into()) };
        Some(format!("{minute} {hour} {day} {month} {weekday}"))
    }
}

/// Minutes and hours as fields of which one or both begin with `*`, the plainest that there are.
fn running(minutes: u64, hours: u64) -> Option<(String, String)> {
    let plain = |set: u64, most| starred(set, 0, most).filter(|field| set != 1 && !field.contains(','));
    match (plain(minutes, 59), plain(hours, 23)) {
        (None, None) => match starred(hours, 0, 23) {
            Some(hour) => Some((listed(minutes), hour)),
            None => Some((starred(minutes, 0, 59)?, listed(hours))),
        },
        (minute, hour) => Some((minute.unwrap_or_else(|| listed(minutes)), hour.unwrap_or_else(|| listed(hours)))),
    }
}

/// A set as a field that does not begin with `*`: runs as ranges, even steps as such.
fn listed(set: u64) -> String {
    let values: Vec<u32> = (0..64).filter(|value| set >> value & 1 == 1).collect();
    if let [first, second, .., last] = values[..] {
        let step = second - first;
        let even = values.windows(2).all(|pair| pair[1] - pair[0] == step);
        if even && values.len() > 2 && step > 1 {
            return format!("{first}-{last}/{step}");
        }
    }
    let mut items: Vec<String> = Vec::new();
    let mut rest = values.as_slice();
    while let [first, ..] = rest {
        let run = rest.iter().zip(*first..).take_while(|(value, expected)| **value == *expected).count();
        let last = first + run as u32 - 1;
        match run {
            1 => items.push(first.to_string()),
            2 => items.extend([first.to_string(), last.to_string()]),
            _ => items.push(format!("{first}-{last}")),
        }
        rest = rest.get(run..).unwrap_or_default();
    }
    items.join(",")
}

/// A set as a field that begins with `*`, if it holds the least value: `*`, `*/5`, or `*/31,13` for 1 and 13.
fn starred(set: u64, least: u32, most: u32) -> Option<String> {
    let values = || (least..=most).filter(|value| set >> value & 1 == 1);
    let stepped = |step: u32| (least..=most).step_by(step as usize).fold(0u64, |bits, value| bits | 1 << value);
    if values().count() as u32 == most - least + 1 {
        return Some("*".to_owned());
    }
    if set >> least & 1 == 0 {
        return None;
    }
    let second = values().nth(1).map_or(most - least + 1, |second| second - least);
    if stepped(second) == set {
        return Some(format!("*/{second}"));
    }
    // A step as large as the field takes its first value alone.
    Some(format!("*/{},{}", most - least + 1, listed(set & !(1 << least))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_as_fields() {
        let set = |values: &[u32]| values.iter().fold(0u64, |set, value| set | 1 << value);
        let rows: [(&[u32], &str, Option<&str>); 8] = [
            (&[0], "0", Some("*/60")),
            (&[5], "5", None),
            (&[0, 30], "0,30", Some("*/30")),
            (&[0, 15, 30, 45], "0-45/15", Some("*/15")),
            (&[0, 1, 2], "0-2", Some("*/60,1,2")),
            (&[0, 7, 8, 9], "0,7-9", Some("*/60,7-9")),
            (&[3, 4, 10], "3,4,10", None),
            (&[0, 1], "0,1", Some("*/60,1")),
        ];
        for (values, plain, star) in rows {
            assert_eq!(listed(set(values)), plain);
            assert_eq!(starred(set(values), 0, 59).as_deref(), star, "{plain}");
        }
        assert_eq!(starred(ALL_MINUTES, 0, 59).as_deref(), Some("*"));
        assert_eq!(listed(ALL_MINUTES), "0-59");
        assert_eq!(starred(set(&[1, 13]), 1, 31).as_deref(), Some("*/31,13"));
        assert_eq!(starred(set(&[1]), 1, 31).as_deref(), Some("*/31"));
    }
}
