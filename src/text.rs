//! Schedules read from text: what [`Schedule`]'s `Display` prints, and what a person would write.
//!
//! The reader knows words, not rules: it calls the same builder that programs call, so a mistake in a text is the same
//! error as in code. The order in which clauses are printed is fixed; they are read in any order.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Month, NaiveDateTime, TimeDelta, Utc, Weekday};

use crate::builder::{Alone, When, date};
use crate::error::{DEEPEST_TEXT, Error, LONGEST_TEXT, TextError, brief};
use crate::schedule::{
    DURATIONS, Dialect, MONTHS, MonthDay, OnFold, OnGap, Rhythm, Schedule, Shift, WEEKDAYS, sunday_zero, time_of_day, to_nanos,
};

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let beginning = || text.chars().take(80).collect();
        read(text).map_err(|error| match error {
            // A cron text's own error says it all, as does a calendar event's.
            TextError::Refused { error, .. } if says_it_all(&error) => *error,
            error => Error::Text { text: beginning(), error },
        })
    }
}

fn says_it_all(error: &Error) -> bool {
    match error {
        Error::Cron { .. } => true,
        #[cfg(feature = "systemd")]
        Error::OnCalendar { .. } => true,
        _ => false,
    }
}

fn read(text: &str) -> Result<Schedule, TextError> {
    if text.len() > LONGEST_TEXT {
        return Err(TextError::TooLong { bytes: text.len() });
    }
    let mut reader = Reader::new(text);
    if reader.tokens.is_empty() {
        return Err(TextError::Empty);
    }
    let schedule = reader.schedule(0)?;
    // What is printed is to be read again, and no spelling is twice as long as another.
    let printed = if text.len() > LONGEST_TEXT / 2 { schedule.to_string().len() } else { 0 };
    match reader.peek() {
        None if printed > LONGEST_TEXT => Err(TextError::TooLongPrinted { bytes: printed }),
        None => Ok(schedule),
        Some(_) => Err(reader.unexpected("the end, or a clause such as `in Europe/Berlin` or `between 09:00 and 17:00`")),
    }
}

/// A word, a comma or a parenthesis.
#[derive(Clone)]
struct Token<'a> {
    /// As written.
    raw: &'a str,
    /// In lower case.
    word: String,
    start: usize,
}

struct Reader<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
}

type Read<T> = Result<T, TextError>;

/// The words with which a clause begins; none of them can be a field of a cron text.
const CLAUSES: [&str; 13] =
    ["in", "on", "at", "between", "except", "shifted", "until", "once", "with", "starting", "immediately", "aligned", "after"];

/// How a schedule may begin.
#[cfg(not(feature = "systemd"))]
const BEGINNINGS: &str = "`every`, `cron`, `once at`, `once after` or `at reboot`";
#[cfg(feature = "systemd")]
const BEGINNINGS: &str = "`every`, `cron`, `calendar`, `once at`, `once after` or `at reboot`";

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let mut tokens = Vec::new();
        let mut start = None;
        let end = std::iter::once((text.len(), ' '));
        for (place, c) in text.char_indices().chain(end) {
            let alone = matches!(c, '(' | ')');
            if c == ' ' || c == '\t' || alone {
                if let Some(start) = start.take() {
                    tokens.push(Token { raw: &text[start..place], word: text[start..place].to_ascii_lowercase(), start });
                }
            } else if start.is_none() {
                start = Some(place);
            }
            if alone {
                tokens.push(Token { raw: &text[place..place + 1], word: c.to_string(), start: place });
            }
        }
        Reader { text, tokens, at: 0 }
    }

    /// The word ahead, in lower case.
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(|token| token.word.as_str())
    }

    /// The same without a comma at its end.
    fn word(&self) -> &str {
        self.peek().map_or("", |word| word.strip_suffix(',').unwrap_or(word))
    }

    fn word_at(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.word.as_str())
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.word() == word;
        self.at += usize::from(found);
        found
    }

    /// Takes words in a row, or none of them.
    fn take_all(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        let all = words.iter().all(|word| self.take(word));
        if !all {
            self.at = start;
        }
        all
    }

    fn column_of(&self, at: usize) -> usize {
        let start = self.tokens.get(at).map_or(self.text.len(), |token| token.start);
        self.text[..start].chars().count() + 1
    }

    fn unexpected(&self, expected: &'static str) -> TextError {
        let Some(token) = self.tokens.get(self.at) else { return TextError::Ended { expected } };
        let (found, column) = (brief(token.raw), self.column_of(self.at));
        if found.starts_with('<') { TextError::Code { found, column } } else { TextError::Unexpected { found, column, expected } }
    }

    fn refused(&self, at: usize, error: Error) -> TextError {
        TextError::Refused { column: self.column_of(at), error: Box::new(error) }
    }

    /// Takes a word that `read` understands.
    fn one<T>(&mut self, expected: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Read<T> {
        match read(self.word()).filter(|_| self.peek().is_some()) {
            Some(value) => {
                self.at += 1;
                Ok(value)
            }
            None => Err(self.unexpected(expected)),
        }
    }

    fn number(&mut self) -> Option<u32> {
        let word = self.word();
        let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        let n = word.parse().ok().filter(|_| digits)?;
        self.at += 1;
        Some(n)
    }

    fn schedule(&mut self, depth: u32) -> Read<Schedule> {
        if depth > DEEPEST_TEXT {
            return Err(TextError::TooDeep);
        }
        if self.peek() != Some("(") {
            let start = self.at;
            return self.simple()?.build().map_err(|error| self.refused(start, error));
        }
        let mut whole = self.bracketed(depth)?;
        let word = match self.word() {
            "or" => "or",
            "and" => "and",
            _ => return self.narrowed(whole),
        };
        let mut parts = vec![];
        while self.take(word) {
            parts.push(self.bracketed(depth)?);
        }
        parts.insert(0, whole);
        whole = Schedule::new(if word == "or" { Rhythm::AnyOf(parts) } else { Rhythm::AllOf(parts) });
        self.narrowed(whole)
    }

    fn bracketed(&mut self, depth: u32) -> Read<Schedule> {
        let expected = "a schedule in parentheses, as in `(every day at 09:00) or (every monday at 17:00)`,";
        if !self.take("(") {
            return Err(self.unexpected(expected));
        }
        let schedule = self.schedule(depth + 1)?;
        if !self.take(")") {
            return Err(self.unexpected("`)`"));
        }
        Ok(schedule)
    }

    /// What may follow a union, an intersection or a schedule in parentheses.
    fn narrowed(&mut self, whole: Schedule) -> Read<Schedule> {
        let start = self.at;
        let when = self.clauses(When::of(whole))?;
        when.build().map_err(|error| self.refused(start, error))
    }

    /// A schedule without parentheses.
    fn simple(&mut self) -> Read<When<Alone>> {
        let start = self.at;
        if self.take("every") {
            let when = self.every()?;
            return self.clauses(when);
        }
        let vixie = self.take_all(&["vixie", "cron"]);
        if vixie || self.take("cron") {
            let dialect = if vixie { Dialect::Vixie } else { Dialect::Ocps };
            let text = self.up_to_clauses();
            let schedule = Schedule::cron_in(dialect, text).map_err(|error| self.refused(start, error))?;
            return self.clauses(When::of(schedule));
        }
        #[cfg(feature = "systemd")]
        if self.take("calendar") {
            let text = self.up_to_clauses();
            let schedule = Schedule::on_calendar(text).map_err(|error| self.refused(start, error))?;
            return self.clauses(When::of(schedule));
        }
        if self.take_all(&["at", "reboot"]) {
            return self.clauses(When::of(Schedule::reboot()));
        }
        if self.take_all(&["once", "at"]) {
            let at = self.instant()?;
            return self.clauses(When::of(Schedule::once_at(at)));
        }
        if self.take_all(&["once", "after"]) {
            let delay = self.duration()?;
            return self.clauses(When::of(Schedule::once_after(delay)));
        }
        Err(self.unexpected(BEGINNINGS))
    }

    /// Takes the text up to the next clause or parenthesis, as it is written.
    fn up_to_clauses(&mut self) -> &'a str {
        let first = self.at;
        while self.peek().is_some_and(|word| !CLAUSES.contains(&word) && word != "(" && word != ")") {
            self.at += 1;
        }
        let end = self.tokens[..self.at].last().map_or(0, |token| token.start + token.raw.len());
        let from = self.tokens.get(first).map_or(end, |token| token.start.min(end));
        self.text[from..end].trim_end_matches(',')
    }

    /// What follows `every`.
    fn every(&mut self) -> Read<When<Alone>> {
        const EXPECTED: &str = "a number, a unit (`minutes`, `day`, `months`) or a weekday";
        let start = self.at;
        if let Some(n) = self.number() {
            if self.take("to") {
                let Some(most) = self.number() else { return Err(self.unexpected("the longest gap, a number,")) };
                let every = Schedule::every(n).to(most);
                return self.unit(every, EXPECTED);
            }
            if self.lengthened() {
                self.at = start;
                return Ok(Schedule::every_period(self.duration()?));
            }
            return self.unit(Schedule::every(n), EXPECTED);
        }
        if self.word().bytes().all(|b| b.is_ascii_digit()) && duration_unit(self.word_at(1)).is_some() {
            // A count beyond what a builder takes, as a long period prints in milliseconds.
            return Ok(Schedule::every_period(self.duration()?));
        }
        if let Some(day) = self.month_day_ahead()? {
            for word in ["of", "the", "month"] {
                if !self.take(word) {
                    return Err(self.unexpected("`of the month`"));
                }
            }
            return Ok(on_month_day(Schedule::every(1).month(), day));
        }
        if weekday(self.word()).is_some() {
            let days = self.weekdays()?;
            return Ok(days.into_iter().fold(When::weeks(1), When::on));
        }
        if matches!(self.word(), "weekday" | "weekdays") {
            self.at += 1;
            return Ok(Schedule::every(1).weekday());
        }
        // Shorter than what the builder counts in.
        if let Some(unit) = duration_unit(self.word()).filter(|_| matches!(self.word(), "microsecond" | "nanosecond")) {
            self.at += 1;
            return Ok(Schedule::every_period(Duration::from_nanos(unit)));
        }
        self.unit(Schedule::every(1), EXPECTED)
    }

    /// Whether another count and unit of time follow the unit ahead, as in `1 hour 30 minutes`, or the unit ahead is one for
    /// durations only.
    fn lengthened(&self) -> bool {
        let short = matches!(self.word(), "microsecond" | "microseconds" | "nanosecond" | "nanoseconds");
        let count = self.word_at(1);
        let longer = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) && duration_unit(self.word_at(2)).is_some();
        short || longer && duration_unit(self.word()).is_some()
    }

    /// A unit of `every`, with the days that go with it.
    fn unit(&mut self, every: crate::builder::Every<Alone>, expected: &'static str) -> Read<When<Alone>> {
        let word = self.word();
        let when = match word.strip_suffix('s').unwrap_or(word) {
            "millisecond" => every.milliseconds(),
            "second" => every.seconds(),
            "minute" => every.minutes(),
            "hour" => every.hours(),
            "day" => every.days(),
            "week" => every.weeks(),
            "month" => every.months(),
            "year" => every.years(),
            _ => return Err(self.unexpected(expected)),
        };
        let unit = word.strip_suffix('s').unwrap_or(word).to_owned();
        self.at += 1;
        match unit.as_str() {
            "week" if self.word() == "on" && !self.rule_ahead() => {
                self.at += 1;
                Ok(self.weekdays()?.into_iter().fold(when, When::on))
            }
            "month" if self.word() == "on" && !self.rule_ahead() => {
                self.at += 1;
                let days = self.month_days()?;
                Ok(days.into_iter().fold(when, on_month_day))
            }
            "year" if self.word() == "on" && !self.rule_ahead() => {
                self.at += 1;
                self.year_days(when)
            }
            "year" if self.word() == "in" && self.tokens.get(self.at + 1).is_some_and(|token| month(&token.word).is_some()) => {
                self.at += 1;
                self.months(when)
            }
            _ => Ok(when),
        }
    }

    /// Whether `on gap` or `on fold` is ahead.
    fn rule_ahead(&self) -> bool {
        self.tokens.get(self.at + 1).is_some_and(|token| matches!(token.word.as_str(), "gap" | "fold"))
    }

    /// Goes on with a list: past `and`, or past a comma after which there is one more item.
    fn more(&mut self, item: impl Fn(&Self) -> bool) -> bool {
        let start = self.at;
        let comma = self.tokens[..self.at].last().is_some_and(|token| token.word.ends_with(','));
        let and = self.take("and");
        if (and || comma) && item(self) {
            return true;
        }
        self.at = start;
        false
    }

    fn weekdays(&mut self) -> Read<Vec<Weekday>> {
        let mut days = vec![self.one("a weekday (`monday` to `sunday`)", weekday)?];
        while self.more(|reader| weekday(reader.word()).is_some()) {
            days.push(self.one("a weekday", weekday)?);
        }
        Ok(days)
    }

    fn months(&mut self, mut when: When<Alone>) -> Read<When<Alone>> {
        when = when.in_month(self.one("a month (`january` to `december`)", month)?);
        while self.more(|reader| month(reader.word()).is_some()) {
            when = when.in_month(self.one("a month", month)?);
        }
        Ok(when)
    }

    fn month_days(&mut self) -> Read<Vec<MonthDay>> {
        const EXPECTED: &str = "a day of the month, such as `the 15th`, `the last day` or `the 2nd tuesday`,";
        let mut days = Vec::new();
        loop {
            self.take("the");
            days.push(self.month_day_ahead()?.ok_or_else(|| self.unexpected(EXPECTED))?);
            let day = |reader: &Self| reader.word() == "the" || day_number(reader.word()).is_some() || reader.word() == "last";
            if !self.more(day) {
                return Ok(days);
            }
        }
    }

    /// What follows `every year on`: `24 december`, or `the last friday of november and december`.
    fn year_days(&mut self, when: When<Alone>) -> Read<When<Alone>> {
        if let Some(day) = self.number() {
            let start = self.at - 1;
            let Ok(day) = u8::try_from(day) else {
                let error = Error::DayOfMonth { word: "on_day", given: u8::MAX, least: 1, most: 31 };
                return Err(self.refused(start, error));
            };
            self.take("of");
            return self.months(when.on_day(day));
        }
        let days = self.month_days()?;
        if !self.take("of") {
            return Err(self.unexpected("`of` and a month"));
        }
        let when = days.into_iter().fold(when, on_month_day);
        self.months(when)
    }

    /// `15th`, `last day`, `3rd to last day`, `last friday`, `2nd tuesday`, `weekday nearest the 15th`.
    fn month_day_ahead(&mut self) -> Read<Option<MonthDay>> {
        let start = self.at;
        if self.take_all(&["weekday", "nearest", "the"]) {
            return self.one("a day of the month, such as `15th`", day_number).map(|day| Some(MonthDay::Nearest(day)));
        }
        if self.take("last") {
            if self.take("day") {
                return Ok(Some(MonthDay::BeforeLast(0)));
            }
            return self.one("`day` or a weekday", weekday).map(|day| Some(MonthDay::LastWeekday(sunday_zero(day))));
        }
        let Some(n) = day_number(self.word()) else { return Ok(None) };
        self.at += 1;
        if self.take_all(&["to", "last", "day"]) {
            return match n.checked_sub(1) {
                Some(before) => Ok(Some(MonthDay::BeforeLast(before))),
                None => Err(self.refused(start, Error::DayOfMonth { word: "on_day_before_last", given: n, least: 1, most: 30 })),
            };
        }
        if let Some(day) = weekday(self.word()) {
            self.at += 1;
            return Ok(Some(MonthDay::Nth(n, sunday_zero(day))));
        }
        Ok(Some(MonthDay::Day(n)))
    }

    fn duration(&mut self) -> Read<Duration> {
        let mut total: u64 = 0;
        loop {
            let start = self.at;
            let word = self.word().to_owned();
            let Some(n) = word.parse::<u64>().ok().filter(|_| word.bytes().all(|b| b.is_ascii_digit())) else {
                return Err(self.unexpected("a duration such as `30 seconds`"));
            };
            self.at += 1;
            let unit = self.one("a unit: `hours`, `minutes`, `seconds`, `milliseconds`", duration_unit)?;
            let too_long = || Error::TooLong { given: brief(self.tokens[start].raw) };
            let part = n.checked_mul(unit).and_then(|part| part.checked_add(total));
            total = part.ok_or_else(|| self.refused(start, too_long()))?;
            let more =
                self.tokens.get(self.at + 1).is_some_and(|token| duration_unit(token.word.trim_end_matches(',')).is_some());
            if !(more && self.word().bytes().all(|b| b.is_ascii_digit())) {
                return Ok(Duration::from_nanos(total));
            }
        }
    }

    /// `2026-12-24 18:00:00 UTC`.
    fn instant(&mut self) -> Read<DateTime<Utc>> {
        const EXPECTED: &str = "an instant such as `2026-12-24 18:00:00 UTC`";
        let date = self.one(EXPECTED, date)?;
        let time = match self.word().split_once(':') {
            Some(_) => self.one(EXPECTED, clock_nanos)?,
            None => 0,
        };
        if !self.take("utc") {
            return Err(self.unexpected("`UTC`, in which instants are written,"));
        }
        let at = NaiveDateTime::from(date).checked_add_signed(TimeDelta::nanoseconds(time)).unwrap_or(date.into()).and_utc();
        Ok(at)
    }

    fn clauses(&mut self, mut when: When<Alone>) -> Read<When<Alone>> {
        loop {
            self.take(",");
            let start = self.at;
            when = match self.word() {
                "at" if self.tokens.get(self.at + 1).is_some_and(|token| token.word == "most") => {
                    self.at += 2;
                    let Some(times) = self.number() else { return Err(self.unexpected("how many times, a number,")) };
                    if !self.take("times") && !self.take("time") {
                        return Err(self.unexpected("`times`"));
                    }
                    when.times(times)
                }
                "at" => {
                    self.at += 1;
                    self.times(when)?
                }
                "after" => {
                    self.at += 1;
                    if !self.take("completion") {
                        return Err(self.unexpected("`completion`"));
                    }
                    when.after_completion()
                }
                "aligned" => {
                    self.at += 1;
                    when.aligned()
                }
                "immediately" => {
                    self.at += 1;
                    when.immediately()
                }
                "starting" => {
                    self.at += 1;
                    if !self.take("at") {
                        return Err(self.unexpected("`at` and an instant"));
                    }
                    when.starting_at(self.instant()?)
                }
                "in" => {
                    self.at += 1;
                    let raw = self.tokens.get(self.at).map_or("", |token| token.raw);
                    if raw.is_empty() || raw.starts_with('<') {
                        return Err(self.unexpected("a zone such as Europe/Berlin or UTC"));
                    }
                    self.at += 1;
                    when.tz(raw.strip_suffix(',').unwrap_or(raw))
                }
                "on" => {
                    self.at += 1;
                    self.zone_rule(when)?
                }
                "between" => {
                    self.at += 1;
                    let from = self.one("a time of day such as `09:00`", |word| Some(word.to_owned()))?;
                    if !self.take("and") {
                        return Err(self.unexpected("`and`"));
                    }
                    let to = self.one("a time of day such as `17:00`", |word| Some(word.to_owned()))?;
                    when.between(&from, &to)
                }
                "except" => {
                    self.at += 1;
                    self.except(when)?
                }
                "shifted" => {
                    self.at += 1;
                    self.take("to");
                    self.take("the");
                    let shift = self.one("`next` or `previous`", |word| match word {
                        "next" => Some(Shift::Next),
                        "previous" => Some(Shift::Previous),
                        _ => None,
                    })?;
                    self.take("day");
                    when.shifted(shift)
                }
                "until" => {
                    self.at += 1;
                    let until = self.instant()?;
                    when.until_instant(to_nanos(&until))
                }
                "once" => {
                    self.at += 1;
                    when.once()
                }
                "with" => {
                    self.at += 1;
                    let jitter = self.one("`jitter` or `slack`", |word| match word {
                        "jitter" => Some(true),
                        "slack" => Some(false),
                        _ => None,
                    })?;
                    let duration = self.duration()?;
                    if jitter { when.jitter(duration) } else { when.slack(duration) }
                }
                word if word.bytes().all(|b| b.is_ascii_digit()) && !word.is_empty() => {
                    let Some(times) = self.number() else { return Err(self.unexpected("a smaller number")) };
                    if !self.take("times") && !self.take("time") {
                        self.at = start;
                        return Err(self.unexpected("a clause, or the end,"));
                    }
                    when.times(times)
                }
                _ => return Ok(when),
            };
            if let Some(error) = when.mistake() {
                return Err(self.refused(start, error.clone()));
            }
        }
    }

    fn times(&mut self, mut when: When<Alone>) -> Read<When<Alone>> {
        loop {
            let mut time = self.one("a time such as `09:00`", |word| Some(word.to_owned()))?;
            if matches!(self.word(), "am" | "pm") {
                time = format!("{time} {}", self.word());
                self.at += 1;
            }
            when = when.at(&time);
            let is_time = |reader: &Self| reader.word().contains(':') || matches!(reader.word(), "noon" | "midnight");
            if !self.more(is_time) {
                return Ok(when);
            }
        }
    }

    fn zone_rule(&mut self, when: When<Alone>) -> Read<When<Alone>> {
        if self.take("gap") {
            return Ok(when.on_gap(self.one("`next`, `shift` or `skip`", |word| match word {
                "next" => Some(OnGap::Next),
                "shift" => Some(OnGap::Shift),
                "skip" => Some(OnGap::Skip),
                _ => None,
            })?));
        }
        if self.take("fold") {
            return Ok(when.on_fold(self.one("`first`, `second` or `both`", |word| match word {
                "first" => Some(OnFold::First),
                "second" => Some(OnFold::Second),
                "both" => Some(OnFold::Both),
                _ => None,
            })?));
        }
        Err(self.unexpected("`gap` or `fold`"))
    }

    fn except(&mut self, mut when: When<Alone>) -> Read<When<Alone>> {
        if !self.take("on") {
            return Err(self.unexpected("`on` and weekdays or dates"));
        }
        loop {
            if let Some(day) = weekday(self.word()) {
                when = when.except_on(day);
            } else if let Some(date) = date(self.word()) {
                when = when.except_date(date);
            } else {
                return Err(self.unexpected("a weekday or a date such as `2026-12-25`"));
            }
            self.at += 1;
            if !self.more(|reader| weekday(reader.word()).is_some() || date(reader.word()).is_some()) {
                return Ok(when);
            }
        }
    }
}

fn on_month_day(when: When<Alone>, day: MonthDay) -> When<Alone> {
    when.on_month_day(day)
}

fn weekday(word: &str) -> Option<Weekday> {
    WEEKDAYS.iter().position(|name| *name == word).map(|place| Weekday::Mon.days(place + 6))
}

/// A weekday so many days later.
trait Later {
    fn days(self, days: usize) -> Self;
}

impl Later for Weekday {
    fn days(self, days: usize) -> Self {
        (0..days % 7).fold(self, |day, _| day.succ())
    }
}

fn month(word: &str) -> Option<Month> {
    MONTHS.iter().position(|name| *name == word).and_then(|place| Month::try_from(place as u8 + 1).ok())
}

/// `1st` to `255th`.
fn day_number(word: &str) -> Option<u8> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|suffix| word.strip_suffix(suffix))?;
    digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
}

/// A unit of elapsed time, in nanoseconds.
fn duration_unit(word: &str) -> Option<u64> {
    let name = word.strip_suffix('s').filter(|_| word.len() > 3).unwrap_or(word);
    DURATIONS.iter().find(|(unit, _)| *unit == name).map(|(_, size)| *size as u64)
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fff` as nanoseconds of the day.
fn clock_nanos(word: &str) -> Option<i64> {
    let (clock, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let digits = !fraction.is_empty() && fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit());
    let nanos: i64 = format!("{fraction:0<9}").parse().ok().filter(|_| digits)?;
    Some(i64::from(time_of_day(clock)?) * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_printed_in_one_spelling() {
        let rows = [
            ("every 5 minutes", "every 5 minutes"),
            ("Every  minute", "every minute"),
            ("every 90 seconds", "every 90 seconds"),
            ("every 1 hour 30 minutes", "every 90 minutes"),
            ("every 250 milliseconds", "every 250 milliseconds"),
            ("every 5 to 10 minutes", "every 5 to 10 minutes"),
            ("every hour at :30 and :15", "every hour at :15 and :30"),
            ("every 3 hours at 15:20", "every 3 hours at 15:20"),
            ("every day at 3:20 pm", "every day at 15:20"),
            ("every day at 09:00, 17:00 in europe/berlin", "every day at 09:00 and 17:00 in Europe/Berlin"),
            ("every monday and thursday at 09:00 and 17:00", "every monday and thursday at 09:00 and 17:00"),
            ("every weekday at 09:00", "every weekday at 09:00"),
            ("every 2 weeks on monday, wednesday at noon", "every 2 weeks on monday and wednesday at 12:00"),
            ("every 2nd tuesday of the month at 10:30", "every 2nd tuesday of the month at 10:30"),
            ("every last day of the month at 18:00", "every last day of the month at 18:00"),
            ("every 3rd to last day of the month at 18:00", "every 3rd to last day of the month at 18:00"),
            ("every weekday nearest the 15th of the month at 09:00", "every weekday nearest the 15th of the month at 09:00"),
            ("every 3 months on the 1st and the last friday at 08:00", "every 3 months on the 1st and the last friday at 08:00"),
            ("every year on 24 december at 18:00", "every year on 24 december at 18:00"),
            (
                "every 4 years on the last friday of may and june at 18:00",
                "every 4 years on the last friday of may and june at 18:00",
            ),
            ("cron 0 9 * * mon-fri in Europe/Berlin", "cron 0 9 * * MON-FRI in Europe/Berlin"),
            ("vixie cron 0 0 */2 * 1 at most 3 times", "vixie cron 0 0 */2 * 1 at most 3 times"),
            ("cron @daily", "cron @daily"),
            ("once at 2026-12-24 18:00 UTC", "once at 2026-12-24 18:00:00 UTC"),
            ("once after 5 minutes", "once after 5 minutes"),
            ("at reboot", "at reboot"),
            ("every 10 minutes aligned between 22:00 and 06:00", "every 10 minutes aligned between 22:00 and 06:00"),
            (
                "every day at 09:00 except on sunday and 2026-12-25 shifted to the next day",
                "every day at 09:00 except on sunday and 2026-12-25 shifted to the next day",
            ),
            ("every 5 minutes, 5 times, with jitter 30 seconds", "every 5 minutes at most 5 times with jitter 30 seconds"),
            ("(every day at 09:00) or (every monday at 17:30) in UTC", "(every day at 09:00) or (every monday at 17:30) in UTC"),
            ("every day at 02:30 on gap shift on fold both", "every day at 02:30 on gap shift on fold both"),
        ];
        for (text, printed) in rows {
            let schedule: Schedule = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(schedule.to_string(), printed);
            assert_eq!(printed.parse(), Ok(schedule), "{printed}");
        }
    }
}
