//! Schedules, cron texts, calendar events, zones, times of day.

use chrono::Utc;
use punctual::{CronError, Dialect, Error, ManualClock, OnCalendarError, Schedule, Scheduler, TextError, Zone};

use super::{Fate, says, schedules};

/// Words for people: `every monday at 09:00 in Europe/Berlin`.
pub fn schedule(bytes: &[u8]) -> Result<Fate, String> {
    let text = &*String::from_utf8_lossy(bytes);
    match text.parse::<Schedule>() {
        Ok(schedule) if schedule.to_string().len() > schedules::LONGEST_TEXT => Err("it prints longer than is read".to_owned()),
        Ok(schedule) => schedules::hold(&schedule).map(|()| Fate::Taken),
        Err(error) => refused(text, &error),
    }
}

pub fn cron(bytes: &[u8]) -> Result<Fate, String> {
    let text = &*String::from_utf8_lossy(bytes);
    let mut fate = Fate::Refused;
    for dialect in [Dialect::Ocps, Dialect::Vixie] {
        match Schedule::cron_in(dialect, text) {
            Ok(schedule) => {
                fate = Fate::Taken;
                schedules::hold(&schedule)?;
                // The same fields within a schedule's text.
                let worded = format!("{}cron {text}", if dialect == Dialect::Vixie { "vixie " } else { "" });
                if worded.parse().as_ref() != Ok(&schedule) {
                    return Err(format!("`{worded}` is {:?}", worded.parse::<Schedule>()));
                }
            }
            Err(error) => drop(refused(text, &error)?),
        }
    }
    Ok(fate)
}

/// systemd's calendar events.
pub fn calendar(bytes: &[u8]) -> Result<Fate, String> {
    let text = &*String::from_utf8_lossy(bytes);
    match Schedule::on_calendar(text) {
        Ok(schedule) => schedules::hold(&schedule).map(|()| Fate::Taken),
        Err(error) => refused(text, &error),
    }
}

/// Names of zones, and schedules in them.
pub fn zone(bytes: &[u8]) -> Result<Fate, String> {
    let text = &*String::from_utf8_lossy(bytes);
    let zone = match text.parse::<Zone>() {
        Ok(zone) => zone,
        Err(error) => return refused(text, &error),
    };
    let printed = zone.to_string();
    if printed.parse().as_ref() != Ok(&zone) {
        return Err(format!("{printed} reads back as {:?}", printed.parse::<Zone>()));
    }
    for text in ["cron 30 2 * * *", "cron */7 0-3 * * SUN", "every 2 hours aligned", "every last day of the month at 00:00"] {
        let schedule: Schedule = text.parse().map_err(|error| format!("{text}: {error}"))?;
        schedules::hold(&schedule.in_zone(zone.clone()))?;
    }
    Ok(Fate::Taken)
}

/// Times of day, as the builder takes them.
pub fn time(bytes: &[u8]) -> Result<Fate, String> {
    let text = &*String::from_utf8_lossy(bytes);
    let mut fate = Fate::Refused;
    let built = [
        Schedule::every(1).minute().at(text).build(),
        Schedule::every(3).minutes().at(text).at(":07").build(),
        Schedule::every(1).hour().at(text).build(),
        Schedule::every(1).day().at(text).build(),
        Schedule::every(2).weeks().at(text).at("noon").build(),
        Schedule::every(1).month().on_last_day().at(text).build(),
        Schedule::every(5).minutes().aligned().between(text, "17:00").build(),
        Schedule::every(5).minutes().aligned().between("09:00", text).build(),
        Schedule::every(1).to(3).days().at(text).build(),
    ];
    for built in built {
        match built {
            Ok(schedule) => {
                fate = Fate::Taken;
                schedules::reads_back(&schedule)?;
                schedules::occurs(&schedule)?;
            }
            Err(error) => drop(refused(text, &error)?),
        }
    }
    // Deadlines are read when a job is registered, by the clock.
    for zone in ["UTC", "Europe/Berlin", "UTC-23:59:59"] {
        let zone: Zone = zone.parse().map_err(|error| format!("{zone}: {error}"))?;
        let scheduler: Scheduler = Scheduler::builder().clock(ManualClock::new(chrono::DateTime::UNIX_EPOCH)).zone(Utc).build();
        match scheduler.every(1).hour().in_zone(zone).until(text).do_(|| ()) {
            Ok(job) => {
                fate = Fate::Taken;
                let _ = scheduler.run_pending();
                let _ = (job.snapshot(), scheduler.next_run());
            }
            Err(error) => drop(refused(text, &error)?),
        }
    }
    Ok(fate)
}

/// The error says what is wrong, and where: what it quotes stands there.
fn refused(text: &str, error: &Error) -> Result<Fate, String> {
    says(error)?;
    let spot = match error {
        Error::Text { text: brief, error } => quotes(text, brief).and_then(|()| text_spot(text, error)),
        Error::Cron { text: brief, error } => of_part(text, brief, |part| cron_spot(part, error)),
        Error::OnCalendar { text: brief, error } => of_part(text, brief, |part| calendar_spot(part, error)),
        _ => Ok(()),
    };
    spot.map(|()| Fate::Refused).map_err(|wrong| format!("{wrong}: {error}"))
}

/// A law about the part of a text that an error shows the beginning of, wherever that may be.
fn of_part(text: &str, brief: &str, law: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    let parts = (0..=text.len()).filter_map(|at| text.get(at..)).filter(|part| part.starts_with(brief));
    let broken = parts.map(law).try_fold(format!("{brief:?} is not in the text"), |_, broken| broken.err());
    broken.map_or(Ok(()), Err)
}

fn quotes(text: &str, brief: &str) -> Result<(), String> {
    if text.starts_with(brief) { Ok(()) } else { Err(format!("{brief:?} is not how the text begins")) }
}

/// Around a column, counted in characters from 1, stands what an error gives: three points stand for what was cut off, and what
/// a terminal would act on is shown as an escape.
fn stands(text: &str, column: usize, given: &str) -> Result<(), String> {
    let places = text.chars().count() + 1;
    if !(1..=places).contains(&column) {
        return Err(format!("column {column} of {places}"));
    }
    let letters: Vec<String> = text.chars().map(super::shown).collect();
    let begins = |part: &str, from: usize| letters[from..].concat().starts_with(part);
    let is_there = match given.strip_suffix("...") {
        Some(part) if (0..column).any(|from| begins(part, from)) => true,
        _ => (column.saturating_sub(1 + given.chars().count())..column).any(|from| begins(given, from)),
    };
    if is_there { Ok(()) } else { Err(format!("{given:?} does not stand at column {column}")) }
}

fn text_spot(text: &str, error: &TextError) -> Result<(), String> {
    match error {
        TextError::Unexpected { found, column, .. } | TextError::Code { found, column } => stands(text, *column, found),
        TextError::Refused { column, error } => {
            stands(text, *column, "")?;
            says(error)
        }
        _ => Ok(()),
    }
}

fn cron_spot(text: &str, error: &CronError) -> Result<(), String> {
    match error {
        CronError::Character { given, column } => stands(text, *column, &super::shown(*given)),
        CronError::OutOfRange { given, column, .. }
        | CronError::ReversedRange { given, column, .. }
        | CronError::EmptyItem { given, column, .. }
        | CronError::StepWithoutRange { given, column, .. }
        | CronError::Step { given, column, .. }
        | CronError::StarInList { given, column, .. }
        | CronError::Name { given, column, .. }
        | CronError::Modifier { given, column, .. }
        | CronError::Value { given, column, .. } => stands(text, *column, given),
        _ => Ok(()),
    }
}

fn calendar_spot(text: &str, error: &OnCalendarError) -> Result<(), String> {
    match error {
        OnCalendarError::Zone { given, .. } if given == "UTC" => Err(format!("{given} is a zone")),
        OnCalendarError::TooMany { column } => stands(text, *column, ""),
        OnCalendarError::Unexpected { given, column, .. }
        | OnCalendarError::Zone { given, column, .. }
        | OnCalendarError::OutOfRange { given, column, .. }
        | OnCalendarError::ReversedRange { given, column, .. }
        | OnCalendarError::Step { given, column, .. }
        | OnCalendarError::Instant { given, column } => stands(text, *column, given),
        _ => Ok(()),
    }
}
