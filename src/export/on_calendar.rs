//! A schedule as a calendar event of systemd's.
//!
//! Everything is brought to the sets of the calendar engine, then written field by field. A time that is named stays one, and
//! one that runs with the clock too: that decides what a zone change does to it, see [`Schedule::on_calendar`].

use super::NotExact;
use crate::schedule::calendar::{Calendar, DaySet, DaysOfMonth, DaysOfWeek, Join, Stride, Taken, Times, Years};
use crate::schedule::{Places, Rhythm, Schedule, Shift, Spec, Unit, Zone, from_nanos};

const TARGET: &str = "systemd";

const SECOND: i64 = 1_000_000_000;
const DAY: u32 = 86_400;

/// All seconds or minutes, and all hours.
const SIXTY: u64 = (1 << 60) - 1;
const HOURS: u64 = (1 << 24) - 1;

impl Schedule {
    /// The same as a calendar event of systemd's (`OnCalendar=`), if one can have the same occurrences.
    ///
    /// [`Schedule::on_calendar`] reads it back. Jitter and slack are not in it: a timer has `RandomizedDelaySec=` and
    /// `AccuracySec=` for them. A schedule without a zone, and one in the machine's own, makes an event without one.
    ///
    /// # Errors
    ///
    /// [`NotExact`] names the part that no single event can say.
    ///
    /// ```
    /// use punctual::Schedule;
    /// let digest: Schedule = "every 2nd tuesday of the month at 10:30 in Europe/Berlin".parse()?;
    /// assert_eq!(digest.to_on_calendar()?, "Tue *-*-08..14 10:30:00 Europe/Berlin");
    ///
    /// let error = "every 90 minutes".parse::<Schedule>()?.to_on_calendar().unwrap_err();
    /// assert_eq!(error.part, "every 90 minutes");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_on_calendar(&self) -> Result<String, NotExact> {
        let spec = self.spec();
        let refuse = |part: String, reason| NotExact { target: TARGET, part, reason };
        let bare = || Schedule::new(spec.rhythm.clone()).to_string();
        clauses(spec)?;
        let zone = zone(spec)?;
        let mut event = match &spec.rhythm {
            Rhythm::OnCalendar(said) if spec.window.is_none() && spec.except.is_empty() => return Ok(said.text.clone() + &zone),
            Rhythm::OnCalendar(said) if !said.places.is_empty() => {
                return Err(refuse(self.to_string(), "fractions of seconds beside a window or an exclusion are not worked out"));
            }
            Rhythm::OnCalendar(said) => Event::of(&said.calendar).map_err(|reason| refuse(bare(), reason))?,
            Rhythm::Cron(said) => Event::of(&said.calendar).map_err(|reason| refuse(bare(), reason))?,
            Rhythm::Words(said) => Event::of(&said.calendar).map_err(|reason| refuse(bare(), reason))?,
            Rhythm::Aligned(period) if period % SECOND != 0 => {
                let step = *period / 1000;
                let is_even = period % 1000 == 0 && 60_000_000 % step == 0;
                if !is_even || spec.window.is_some() || !spec.except.is_empty() {
                    return Err(refuse(self.to_string(), "its periods do not fill a minute evenly, in whole microseconds"));
                }
                return Ok(format!("*-*-* *:*:00/{}.{:06}", step / 1_000_000, step % 1_000_000) + &zone);
            }
            Rhythm::Aligned(period) => {
                let period = u32::try_from(period / SECOND).ok().filter(|period| DAY % period == 0);
                let period = period.ok_or_else(|| refuse(bare(), "its periods do not fill a day evenly"))?;
                let days = DaySet::EVERY_DAY;
                Event { days, times: (0..DAY).step_by(period as usize).collect(), is_fixed: false }
            }
            Rhythm::Units(places) if places.every > 1 => {
                return Err(refuse(bare(), "it counts from when it is registered; `aligned` would sit on the clock"));
            }
            Rhythm::Units(places) => Event::of_places(places),
            Rhythm::Once(_) if spec.window.is_some() || !spec.except.is_empty() => {
                return Err(refuse(self.to_string(), "one instant beside a window or an exclusion is not worked out"));
            }
            Rhythm::Once(at) => {
                let reason = "it is finer than a microsecond, or outside the years 1970 to 2199";
                return once(*at).map(|text| text + " UTC").ok_or_else(|| refuse(bare(), reason));
            }
            Rhythm::Interval(_) => return Err(refuse(bare(), "it counts elapsed time, not the clock's; OnUnitActiveSec= does")),
            Rhythm::Random(_) => return Err(refuse(bare(), "it is drawn anew each time")),
            Rhythm::After(_) => return Err(refuse(bare(), "it counts from registration; OnActiveSec= does")),
            Rhythm::Reboot => return Err(refuse(bare(), "it has no time; OnBootSec= has")),
            Rhythm::AnyOf(_) => return Err(refuse(bare(), "one event has no `or`; write an OnCalendar= for each part")),
            Rhythm::AllOf(_) => return Err(refuse(bare(), "an event has no `and` of two schedules")),
            Rhythm::Custom(_) => return Err(refuse(bare(), "it is code")),
        };
        let constant = spec.zone.as_ref().is_some_and(|zone| zone.constant().is_some());
        if (spec.window.is_some() || !spec.except.is_empty()) && event.is_fixed && !constant {
            let reason = "a zone change may move a time into what is left out, or out of it";
            return Err(refuse(self.to_string(), reason));
        }
        if let Some(window) = spec.window {
            event.times.retain(|time| window.contains(*time));
        }
        let except = spec.except.weekdays;
        if except != 0 {
            event.except_weekdays(except).map_err(|reason| refuse(self.to_string(), reason))?;
        }
        event.write(constant).map(|text| text + &zone).map_err(|reason| refuse(self.to_string(), reason))
    }
}

/// Refuses what no event can say.
fn clauses(spec: &Spec) -> Result<(), NotExact> {
    let rows = [
        (spec.after_completion, "after completion", "an event knows no runs; OnUnitInactiveSec= does"),
        (spec.start.is_some(), "starting at", "an event has no beginning but a year"),
        (spec.immediately, "immediately", "an event has no first run; OnActiveSec=0 has"),
        (spec.on_gap.is_some(), "on gap", "systemd has one rule for all times that a zone change skips"),
        (spec.on_fold.is_some(), "on fold", "systemd has one rule for all times that a zone change repeats"),
        (spec.until.is_some(), "until", "an event has no end but a year"),
        (spec.times.is_some(), "at most .. times", "an event does not count"),
        (!spec.except.dates.is_empty(), "except on a date", "an event has no exceptions"),
        (!spec.except.predicates.is_empty(), "except", "it is code"),
        (spec.except.shift != Shift::Drop, "shifted", "an event moves no days"),
    ];
    NotExact::of_clauses(TARGET, &rows)
}

/// The zone as it stands at the end of an event, with a space before it.
fn zone(spec: &Spec) -> Result<String, NotExact> {
    let Some(zone) = &spec.zone else { return Ok(String::new()) };
    let refuse = |reason| Err(NotExact { target: TARGET, part: format!("in {zone}"), reason });
    match zone.constant() {
        _ if *zone == Zone::LOCAL => Ok(String::new()),
        Some(0) => Ok(" UTC".to_owned()),
        // The IANA's names for offsets count westwards.
        Some(offset) if offset % 3600 == 0 && (-12..=14).contains(&(offset / 3600)) => {
            Ok(format!(" Etc/GMT{:+}", -offset / 3600))
        }
        Some(_) => refuse("systemd knows zones by their names, and no name has this offset"),
        None if zone.is_custom() => refuse("systemd knows zones by their names"),
        None => Ok(format!(" {zone}")),
    }
}

/// One instant.
fn once(at: i64) -> Option<String> {
    let instant = from_nanos(at);
    let in_reach = (0..crate::schedule::LATEST).contains(&at) && at % 1000 == 0;
    let format = if at % SECOND == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.6f" };
    in_reach.then(|| instant.format(format).to_string())
}

/// What is to be written: days, and the seconds of the day, sorted.
struct Event {
    days: DaySet,
    times: Vec<u32>,
    is_fixed: bool,
}

impl Event {
    fn of(calendar: &Calendar) -> Result<Event, &'static str> {
        let times = match &calendar.times {
            Times::List(list) => list.clone(),
            Times::OfAnchor => return Err("it takes its time of day from when it is registered"),
            Times::Sets { seconds, minutes, hours } => {
                let set = |bits: u64| (0..60).filter(move |bit| bits >> bit & 1 == 1);
                let (seconds, minutes, hours) = (*seconds, *minutes, u64::from(*hours));
                let of_hour = move |hour: u32| {
                    set(minutes).flat_map(move |minute| set(seconds).map(move |second| minute * 60 + second + hour * 3600))
                };
                set(hours).flat_map(of_hour).collect()
            }
        };
        Ok(Event { days: calendar.days.clone(), times, is_fixed: calendar.fixed })
    }

    fn of_places(places: &Places) -> Event {
        let unit = if places.unit == Unit::Hour { 3600 } else { 60 };
        let times = (0..DAY / unit).flat_map(|n| places.at.iter().map(move |place| n * unit + place)).collect();
        Event { days: DaySet::EVERY_DAY, times, is_fixed: false }
    }

    fn except_weekdays(&mut self, except: u8) -> Result<(), &'static str> {
        if self.days.join == Join::Either && self.days.of_week != DaysOfWeek::NONE && self.days.of_month != DaysOfMonth::NONE {
            return Err("an event has no `or` of days and weekdays");
        }
        let week = &mut self.days.of_week;
        if self.days.join == Join::Either && *week == DaysOfWeek::NONE {
            *week = DaysOfWeek::ALL;
            self.days.join = Join::Both;
        }
        week.plain &= !except;
        week.last &= !except;
        week.nth.iter_mut().for_each(|set| *set &= !except);
        Ok(())
    }

    fn write(&self, constant: bool) -> Result<String, &'static str> {
        let (weekdays, days, from_end) = self.days()?;
        let mut hms = [0u64; 3];
        for time in &self.times {
            hms[0] |= 1 << (time / 3600);
            hms[1] |= 1 << (time / 60 % 60);
            hms[2] |= 1 << (time % 60);
        }
        let combinations: u32 = hms.iter().map(|set| set.count_ones()).product();
        if self.times.is_empty() {
            return Err("nothing is left of it");
        }
        if combinations as usize != self.times.len() {
            return Err("its times are not all combinations of some hours, minutes and seconds; write an event for each time");
        }
        let [hours, minutes, seconds] = hms;
        let open = !self.is_fixed;
        let fields = [field(hours, HOURS, 23, open), field(minutes, SIXTY, 59, open), field(seconds, SIXTY, 59, open)];
        let is_running = fields.iter().any(|(_, is_running)| *is_running);
        if is_running == self.is_fixed && !constant {
            return Err("a zone change would do something else to it: it runs with the clock, and its event names its times");
        }
        let [hours, minutes, seconds] = fields.map(|(text, _)| text);
        let years = match &self.days.years {
            Years::Any => "*".to_owned(),
            Years::Only(set) => {
                let years: Vec<u32> =
                    (0..256).filter(|bit| set[bit / 64] >> (bit % 64) & 1 == 1).map(|bit| bit as u32 + 1970).collect();
                runs(&years)
            }
        };
        let months = match self.days.months {
            0x1ffe => "*".to_owned(),
            months => runs(&bits(months.into())),
        };
        let between = if from_end { '~' } else { '-' };
        let text = format!("{weekdays}{years}-{months}{between}{days} {hours}:{minutes}:{seconds}");
        // In its own spelling.
        match Schedule::on_calendar(&text) {
            Ok(schedule) => match &schedule.spec().rhythm {
                Rhythm::OnCalendar(said) => Ok(said.text.clone()),
                _ => Ok(text),
            },
            Err(_) => Err("it is longer than an event may be"),
        }
    }

    /// Weekdays with a space after them, days, and whether those count from the end of the month.
    fn days(&self) -> Result<(String, String, bool), &'static str> {
        let days = &self.days;
        match (days.stride, days.taken) {
            (Stride::None, Taken::Nothing) => {}
            (Stride::None, _) => return Err("it takes its day from when it is registered"),
            _ => return Err("it counts days, weeks, months or years from when it begins"),
        }
        let (month, week) = match (days.join, days.of_month, days.of_week) {
            (Join::Either, DaysOfMonth::NONE, week) => (DaysOfMonth::ALL, week),
            (Join::Either, month, DaysOfWeek::NONE) => (month, DaysOfWeek::ALL),
            (Join::Either, ..) => return Err("an event has no `or` of days and weekdays; write two"),
            (Join::Both, month, week) => (month, week),
        };
        if month.nearest != 0 || month.last_working {
            return Err("an event has no working day nearest to another, and no last one");
        }
        let mut plain = month.plain;
        let mut from_last = month.from_last;
        if from_last != 0 && plain == DaysOfMonth::ALL.plain {
            from_last = 0;
        }
        if plain != 0 && from_last != 0 {
            return Err("an event counts all its days from the beginning of the month, or all from the end");
        }
        let mut weekdays = week.plain;
        let numbered: Vec<(usize, u8)> = week.nth.iter().copied().enumerate().filter(|(_, set)| set & !week.plain != 0).collect();
        let last = week.last & !week.plain;
        match (weekdays, &numbered[..], last) {
            (_, [], 0) => {}
            (0, [(_, set), rest @ ..], 0) => {
                if rest.iter().any(|(_, other)| other != set) {
                    return Err("an event cannot number some weekdays in one way and others in another");
                }
                if from_last != 0 {
                    return Err("an event counts all its days from the beginning of the month, or all from the end");
                }
                weekdays = *set;
                plain &= numbered.iter().fold(0, |days, (week, _)| days | (0x7f_u64 << (week * 7 + 1)) as u32);
            }
            (0, [], set) => {
                if plain != 0 && plain != DaysOfMonth::ALL.plain {
                    return Err("an event counts all its days from the beginning of the month, or all from the end");
                }
                weekdays = set;
                from_last = if from_last == 0 { 0x7f } else { from_last & 0x7f };
                plain = 0;
            }
            _ => return Err("an event cannot number some weekdays and others not"),
        }
        if weekdays == 0 || plain == 0 && from_last == 0 {
            return Err("nothing is left of it");
        }
        if from_last >> 28 != 0 {
            return Err("an event counts no more than 28 days from the end of the month");
        }
        const NAMES: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let weekdays = match weekdays & 0x7f {
            0x7f => String::new(),
            set => bits(set.into()).into_iter().map(|day| NAMES[day as usize]).collect::<Vec<_>>().join(",") + " ",
        };
        if from_last != 0 {
            let days: Vec<u32> = bits(from_last.into()).into_iter().map(|before| before + 1).collect();
            return Ok((weekdays, runs(&days), true));
        }
        let days = if plain == DaysOfMonth::ALL.plain { "*".to_owned() } else { runs(&bits(plain.into())) };
        Ok((weekdays, days, false))
    }
}

fn bits(set: u64) -> Vec<u32> {
    (0..64).filter(|bit| set >> bit & 1 == 1).collect()
}

/// A field of the time, and whether it runs with the clock: `*`, or in steps without an end.
fn field(set: u64, all: u64, last: u32, may_run: bool) -> (String, bool) {
    if may_run && set == all {
        return ("*".to_owned(), true);
    }
    let values = bits(set);
    if let [first, second, ..] = values[..] {
        let step = second - first;
        let is_even = (first..=last).step_by(step as usize).eq(values.iter().copied());
        if may_run && is_even {
            return (format!("{first}/{step}"), true);
        }
        let end = values[values.len() - 1];
        if step > 1 && values.len() > 2 && (first..=end).step_by(step as usize).eq(values.iter().copied()) {
            return (format!("{first}..{end}/{step}"), false);
        }
    }
    (runs(&values), false)
}

/// Numbers with neighbours drawn together: `1..5,9`.
fn runs(numbers: &[u32]) -> String {
    let mut groups: Vec<(u32, u32)> = Vec::new();
    for n in numbers {
        match groups.last_mut() {
            Some((_, last)) if *last + 1 == *n => *last = *n,
            _ => groups.push((*n, *n)),
        }
    }
    let group = |(first, last): (u32, u32)| if first == last { first.to_string() } else { format!("{first}..{last}") };
    groups.into_iter().map(group).collect::<Vec<_>>().join(",")
}
