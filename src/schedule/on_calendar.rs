//! systemd's calendar events (`OnCalendar=`), compiled to a [`Calendar`].
//!
//! The grammar is that of systemd.time(7) as systemd 252 reads it, down to what it refuses: weekdays, date and time, each of
//! lists, ranges and repetitions, then a zone. A date must be of the weekdays *and* of the days. What is kept, printed and
//! compared is the normalized form that `systemd-analyze calendar` shows.
//!
//! As in cron text, a time is *fixed* when its hours, minutes and seconds are named (values, lists, ranges) and *running*
//! when one of them is `*` or repeats without an end (`0/15`, what cron writes `*/15`). systemd has one rule for both: it
//! passes over what a zone change skips, and takes one pass or the other of what it repeats. `tests/systemd/events.rs` lists
//! what else it does at its edges.
//!
//! Seconds may have fractions, to the microsecond: a minute has 60 million places then. So they stay progressions
//! ([`Places`]), and the calendar beside them is one of whole minutes. An answer within a minute is a division for each
//! progression. To count a union of several, their places are marked in a window of bits that goes over the minute: that is
//! bounded whatever they are, where inclusion and exclusion takes time exponential in their number.

use std::fmt::{self, Write};

use super::calendar::{CRON_YEARS, Calendar, DaySet, DaysOfMonth, DaysOfWeek, Join, Stride, Taken, Times, Years};
use super::zone::Zone;
use crate::error::{Field, LONGEST_ON_CALENDAR, OnCalendarError, brief};

/// Microseconds in a second, and in a minute.
const SECOND: u32 = 1_000_000;
pub(crate) const MINUTE: u32 = 60 * SECOND;

/// systemd reads no more items in a list.
const MOST_ITEMS: usize = 241;

/// Monday first, as systemd prints them.
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// What a calendar event says.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OnCalendar {
    /// The normalized form, without the zone.
    pub(crate) text: String,
    /// If there are places, of whole minutes.
    pub(crate) calendar: Calendar,
    /// Within the minute, if there are fractions of seconds; else none.
    pub(crate) places: Places,
}

/// Reads a calendar event, and the zone that it names.
pub(crate) fn parse(text: &str) -> Result<(OnCalendar, Option<Zone>), OnCalendarError> {
    if text.len() > LONGEST_ON_CALENDAR {
        return Err(OnCalendarError::TooLong { bytes: text.len() });
    }
    let (event, zone) = split_zone(text);
    if event.is_empty() {
        return Err(OnCalendarError::Empty);
    }
    let mut event = match shorthand(event) {
        Some(event) => event,
        None => {
            let meant = |error| if zone.is_some() { error } else { meant_zone(text, error) };
            Reader { text: event, at: 0 }.event().map_err(meant)?
        }
    };
    // A count of seconds since 1970 is an instant.
    let zone = if event.is_instant { Some(Zone::UTC) } else { zone };
    event.finish()?;
    Ok((event.compile(), zone))
}

/// Takes a zone off the end: `UTC` in any case, or a name as the IANA spells it.
fn split_zone(text: &str) -> (&str, Option<Zone>) {
    let Some((event, name)) = text.rsplit_once(' ') else { return (text, None) };
    if name.eq_ignore_ascii_case("UTC") {
        return (event, Some(Zone::UTC));
    }
    match name.parse::<Zone>() {
        Ok(zone) if is_zone_name(name) && zone.to_string() == name => (event, Some(zone)),
        _ => (text, None),
    }
}

/// A word at the end that begins with a letter was to be a zone.
fn meant_zone(text: &str, error: OnCalendarError) -> OnCalendarError {
    let Some((_, name)) = text.rsplit_once(' ') else { return error };
    let is_weekday = Reader { text: name, at: 0 }.weekday().is_some();
    if is_weekday || !name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return error;
    }
    let suggestion = match name.parse::<Zone>() {
        Err(crate::Error::UnknownZone { suggestion, .. }) if !suggestion.contains(' ') => suggestion,
        _ => "an IANA name in its own spelling, such as Europe/Berlin, or UTC",
    };
    OnCalendarError::Zone { given: brief(name), column: column(text, text.len() - name.len()), suggestion }
}

/// Whether it can be a name of systemd's: our own `local` and `UTC+02:00` are not.
fn is_zone_name(name: &str) -> bool {
    name != "local" && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/'))
}

fn shorthand(text: &str) -> Option<Event> {
    const FIRST: &[i32] = &[1];
    let midnight: [&[i32]; 3] = [&[0], &[0], &[0]];
    let (weekdays, months, days, [hours, minutes, seconds]): (u8, &[i32], &[i32], [&[i32]; 3]) =
        match text.to_ascii_lowercase().as_str() {
            "minutely" => (0, &[], &[], [&[], &[], &[0]]),
            "hourly" => (0, &[], &[], [&[], &[0], &[0]]),
            "daily" => (0, &[], &[], midnight),
            "weekly" => (1, &[], &[], midnight),
            "monthly" => (0, &[], FIRST, midnight),
            "quarterly" => (0, &[1, 4, 7, 10], FIRST, midnight),
            "biannually" | "bi-annually" | "semiannually" | "semi-annually" => (0, &[1, 7], FIRST, midnight),
            "yearly" | "annually" | "anually" => (0, &[1], FIRST, midnight),
            _ => return None,
        };
    let values = |values: &[i32]| values.iter().map(|value| Item::value(*value)).collect();
    let [months, days, hours, minutes, seconds] = [months, days, hours, minutes, seconds].map(values);
    Some(Event { weekdays, months, days, hours, minutes, seconds, ..Event::default() })
}

/// Values from one to another, or on to the end of the field, in steps; one value if there is no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    start: i32,
    stop: Option<i32>,
    step: i32,
}

impl Item {
    fn value(start: i32) -> Item {
        Item { start, stop: None, step: 0 }
    }

    /// Brings the end down to the last value.
    fn normalized(mut self) -> Item {
        if let Some(stop) = self.stop.filter(|stop| *stop > self.start && self.step > 0) {
            self.stop = Some(stop - (stop - self.start) % self.step);
        }
        if self.stop == Some(self.start) {
            return Item::value(self.start);
        }
        self
    }

    fn is_open(&self) -> bool {
        self.stop.is_none() && self.step > 0
    }

    fn values(&self, last: i32) -> impl Iterator<Item = i32> + use<> {
        let last = if self.step == 0 { self.start } else { self.stop.unwrap_or(last) };
        (self.start..=last).step_by(self.step.max(1) as usize)
    }
}

/// A list of items; an empty one takes in everything.
type Chain = Vec<Item>;

#[derive(Default)]
struct Event {
    /// Bit n stands for weekday n, Monday 0; none for all of them.
    weekdays: u8,
    years: Chain,
    months: Chain,
    days: Chain,
    /// Whether days count from the end of the month: 1 is the last.
    from_end: bool,
    hours: Chain,
    minutes: Chain,
    /// In microseconds.
    seconds: Chain,
    is_instant: bool,
    /// Where each field stands, for errors: bytes.
    spots: [(usize, usize); 6],
    /// The part of the text that holds them.
    text: String,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

type Read<T> = Result<T, OnCalendarError>;

/// A chain that was read, and the bytes of the text that it takes.
type Found = (Chain, (usize, usize));

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        while self.take(b' ') {}
    }

    fn column(&self, at: usize) -> usize {
        column(self.text, at)
    }

    /// What stands here is not what could.
    fn unexpected(&self, expected: &'static str) -> OnCalendarError {
        if self.at >= self.text.len() {
            return OnCalendarError::Ended { expected };
        }
        OnCalendarError::Unexpected { given: brief(self.rest()), column: self.column(self.at), expected }
    }

    fn event(mut self) -> Read<Event> {
        let mut event = Event { text: self.text.to_owned(), ..Event::default() };
        event.weekdays = self.weekdays()?;
        if self.take(b'@') {
            return Ok(Event { weekdays: event.weekdays, ..self.instant()? });
        }
        self.date(&mut event)?;
        self.time(&mut event)?;
        Ok(event)
    }

    fn weekdays(&mut self) -> Read<u8> {
        let mut set = 0;
        let mut range: Option<(usize, usize)> = None;
        loop {
            let start = self.at;
            let Some((day, length)) = self.weekday() else {
                return if set == 0 { Ok(0) } else { Err(self.unexpected("a weekday, `Mon` to `Sun`,")) };
            };
            self.at += length;
            if !matches!(self.peek(), None | Some(b'-' | b'.' | b',' | b' ')) {
                self.at = start;
                return Err(self.unexpected("a weekday, `Mon` to `Sun` or in full,"));
            }
            let (from, begin) = range.unwrap_or((day, start));
            if from > day {
                let given = brief(self.text.get(begin..self.at).unwrap_or_default());
                let (name, last) = (&WEEKDAYS[from][..3], &WEEKDAYS[day][..3]);
                let instead = if day == 0 { format!("{name}..Sun,Mon") } else { format!("{name}..Sun,Mon..{last}") };
                let field = Field::DayOfWeek;
                return Err(OnCalendarError::ReversedRange { field, given, column: self.column(begin), instead });
            }
            for day in from..=day {
                set |= 1 << day;
            }
            let is_end = range.take().is_some();
            match self.peek() {
                None => return Ok(set),
                Some(b' ') => {
                    self.skip_spaces();
                    return Ok(set);
                }
                Some(b',') => self.at += 1,
                _ if is_end => return Err(self.unexpected("a comma or a space")),
                // With one hyphen it is an older spelling.
                _ if self.take(b'-') || self.rest().starts_with("..") => {
                    if self.peek() == Some(b'.') {
                        self.at += 2;
                    }
                    range = Some((day, start));
                }
                _ => return Err(self.unexpected("`..` and a weekday")),
            }
            if matches!(self.peek(), None | Some(b' ')) {
                if range.is_some() {
                    return Err(self.unexpected("a weekday, to end the range,"));
                }
                self.skip_spaces();
                return Ok(set);
            }
        }
    }

    /// A weekday ahead, and how long its name is.
    fn weekday(&self) -> Option<(usize, usize)> {
        let starts = |name: &str| self.rest().get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let full = WEEKDAYS.iter().position(|name| starts(name)).map(|day| (day, WEEKDAYS[day].len()));
        full.or_else(|| WEEKDAYS.iter().position(|name| starts(&name[..3])).map(|day| (day, 3)))
    }

    /// What follows `@`: seconds since 1970, as strtoul(3) reads them.
    fn instant(&mut self) -> Read<Event> {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t'..=b'\r')) {
            self.at += 1;
        }
        let _ = self.take(b'+');
        let Some(seconds) = self.digits() else { return Err(self.unexpected("seconds since 1970")) };
        if self.at < self.text.len() {
            return Err(self.unexpected("the end"));
        }
        let at = i64::try_from(seconds).ok().and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
        let local = at.map(|at| at.naive_utc()).filter(|at| chrono::Datelike::year(at) <= CRON_YEARS.1);
        let Some(local) = local else {
            let given = format!("@{}", brief(self.text.get(start..).unwrap_or_default()));
            return Err(OnCalendarError::Instant { given, column: self.column(start - 1) });
        };
        use chrono::{Datelike, Timelike};
        let of = |n: u32| vec![Item::value(n as i32)];
        Ok(Event {
            years: vec![Item::value(local.year())],
            months: of(local.month()),
            days: of(local.day()),
            hours: of(local.hour()),
            minutes: of(local.minute()),
            seconds: of(local.second() * SECOND),
            is_instant: true,
            ..Event::default()
        })
    }

    fn date(&mut self, event: &mut Event) -> Read<()> {
        let start = self.at;
        if self.rest().is_empty() {
            return Ok(());
        }
        let first = self.chain(Field::Year)?;
        if matches!(self.peek(), None | Some(b':')) {
            // It was a time.
            self.at = start;
            return Ok(());
        }
        const DASH: &str = "`-` and a day, as in `*-*-01` or `12-24`,";
        event.from_end = self.take(b'~');
        if !event.from_end && !self.take(b'-') {
            return Err(self.unexpected("`-` within a date, as in `*-*-01`, or `:` within a time, as in `09:00`,"));
        }
        let second = self.chain(Field::DayOfMonth)?;
        if matches!(self.peek(), None | Some(b' ')) {
            self.skip_spaces();
            (event.months, event.spots[1]) = first;
            (event.days, event.spots[2]) = second;
            return Ok(());
        }
        if event.from_end {
            return Err(self.unexpected("a space, or the end: `~` comes before the day,"));
        }
        event.from_end = self.take(b'~');
        if !event.from_end && !self.take(b'-') {
            return Err(self.unexpected(DASH));
        }
        let third = self.chain(Field::DayOfMonth)?;
        if !matches!(self.peek(), None | Some(b' ')) {
            return Err(self.unexpected("a space and a time, or the end,"));
        }
        self.skip_spaces();
        (event.years, event.spots[0]) = first;
        (event.months, event.spots[1]) = second;
        (event.days, event.spots[2]) = third;
        Ok(())
    }

    fn time(&mut self, event: &mut Event) -> Read<()> {
        const COLON: &str = "`:` and minutes, as in `09:00`,";
        let zero = || vec![Item::value(0)];
        if self.rest().is_empty() {
            (event.hours, event.minutes, event.seconds) = (zero(), zero(), zero());
            return Ok(());
        }
        (event.hours, event.spots[3]) = self.chain(Field::Hour)?;
        if !self.take(b':') {
            return Err(self.unexpected(COLON));
        }
        (event.minutes, event.spots[4]) = self.chain(Field::Minute)?;
        if self.rest().is_empty() {
            event.seconds = zero();
            return Ok(());
        }
        if !self.take(b':') {
            return Err(self.unexpected("`:` and seconds, or the end,"));
        }
        (event.seconds, event.spots[5]) = self.chain(Field::Second)?;
        if self.rest().is_empty() { Ok(()) } else { Err(self.unexpected("the end, or a space and `UTC` or a zone's name,")) }
    }

    fn chain(&mut self, field: Field) -> Read<Found> {
        let start = self.at;
        if self.take(b'*') {
            let all = if field == Field::Second { vec![Item { start: 0, stop: None, step: SECOND as i32 }] } else { Vec::new() };
            if self.peek() == Some(b'/') {
                return Err(self.unexpected("nothing (a step follows the number that it starts from, as in `0/15`)"));
            }
            return Ok((all, (start, self.at)));
        }
        let mut items = Vec::new();
        loop {
            if items.len() == MOST_ITEMS {
                return Err(OnCalendarError::TooMany { column: self.column(start) });
            }
            items.push(self.item(field)?);
            if !self.take(b',') {
                return Ok((items, (start, self.at)));
            }
        }
    }

    fn item(&mut self, field: Field) -> Read<Item> {
        let begin = self.at;
        let start = self.number(field)?;
        let whole = if field == Field::Second { SECOND as i32 } else { 1 };
        let mut item = Item::value(start);
        if self.rest().starts_with("..") {
            self.at += 2;
            item.stop = Some(self.number(field)?);
            item.step = whole;
        }
        if self.take(b'/') {
            let at = self.at;
            item.step = self.number(field)?;
            if item.step == 0 {
                let given = brief(self.text.get(begin..self.at).unwrap_or_default());
                return Err(OnCalendarError::Step { field, given, column: self.column(at), hint: "write 1 or more" });
            }
        } else if let Some(stop) = item.stop.filter(|stop| field == Field::Second && start.saturating_add(whole) > *stop) {
            // Where steps may be of any length, systemd takes no range that is shorter than its own usual one.
            let given = brief(self.text.get(begin..self.at).unwrap_or_default());
            let column = self.column(begin);
            if start > stop {
                return Err(OnCalendarError::ReversedRange { field, given, column, instead: "the earlier second first".into() });
            }
            let hint = "the range is shorter than the step, a second unless said; give it one, such as `/0.1`";
            return Err(OnCalendarError::Step { field, given, column, hint });
        }
        if !matches!(self.peek(), None | Some(b' ' | b',' | b'-' | b'~' | b':')) {
            return Err(self.unexpected("one of `..`, `/`, `,`, `-`, `~`, `:` or a space"));
        }
        Ok(item)
    }

    fn digits(&mut self) -> Option<u64> {
        let start = self.at;
        let mut value: u64 = 0;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        (self.at > start).then_some(value)
    }

    /// A number; of seconds, with a fraction, in microseconds.
    fn number(&mut self, field: Field) -> Read<i32> {
        let start = self.at;
        let Some(mut value) = self.digits() else {
            return Err(self.unexpected(match field {
                Field::Second => "a number such as 30 or 0.25, or `*` alone,",
                _ => "a number, or `*` alone,",
            }));
        };
        if field == Field::Second {
            value = value.saturating_mul(SECOND.into());
            // Two points are a range.
            if self.peek() == Some(b'.') && !self.rest().starts_with("..") {
                self.at += 1;
                value = value.saturating_add(self.fraction()?.into());
            }
        }
        i32::try_from(value).map_err(|_| {
            let (least, most) = range(field);
            let given = brief(self.text.get(start..self.at).unwrap_or_default());
            OnCalendarError::OutOfRange { field, given, column: self.column(start), least, most }
        })
    }

    /// The digits after a point, as microseconds, rounded.
    fn fraction(&mut self) -> Read<u32> {
        let digit =
            |reader: &Self, at: usize| reader.text.as_bytes().get(at).filter(|byte| byte.is_ascii_digit()).map(|b| b - b'0');
        if digit(self, self.at).is_none() {
            return Err(self.unexpected("a digit, after the point,"));
        }
        let mut value = 0;
        let mut is_over = false;
        for _ in 0..6 {
            let next = digit(self, self.at).filter(|_| !is_over);
            is_over = next.is_none();
            self.at += usize::from(!is_over);
            value = value * 10 + u32::from(next.unwrap_or(0));
        }
        value += u32::from(digit(self, self.at).is_some_and(|digit| digit >= 5));
        while digit(self, self.at).is_some() {
            self.at += 1;
        }
        Ok(value)
    }
}

/// In characters, from 1.
fn column(text: &str, at: usize) -> usize {
    text.get(..at).map_or(0, |before| before.chars().count()) + 1
}

fn range(field: Field) -> (u32, u32) {
    match field {
        Field::Year => (CRON_YEARS.0 as u32, CRON_YEARS.1 as u32),
        Field::Month => (1, 12),
        Field::DayOfMonth => (1, 31),
        Field::Hour => (0, 23),
        _ => (0, 59),
    }
}

/// Days before the 28th to last are not in every month. For each further item of a list systemd takes three days off (it
/// means to once), so it refuses `~01,28` and takes `~28`. What it refuses is of no use to anyone, so that is done here too.
const LAST_FROM_END: i32 = 28;

impl Event {
    /// Checks the fields and brings them into one form.
    fn finish(&mut self) -> Read<()> {
        if self.weekdays == 0x7f {
            self.weekdays = 0;
        }
        if self.days.is_empty() {
            self.from_end = false;
        }
        // Two digits are of this century up to 69.
        let full = |year: i32| {
            year + if (70..100).contains(&year) {
                1900
            } else if year < 70 {
                2000
            } else {
                0
            }
        };
        for year in &mut self.years {
            year.start = full(year.start);
            year.stop = year.stop.map(full);
        }
        let from_end = self.from_end;
        let (text, spots) = (&self.text, self.spots);
        let fields = [
            (Field::Year, &mut self.years),
            (Field::Month, &mut self.months),
            (Field::DayOfMonth, &mut self.days),
            (Field::Hour, &mut self.hours),
            (Field::Minute, &mut self.minutes),
            (Field::Second, &mut self.seconds),
        ];
        for ((field, chain), (start, end)) in fields.into_iter().zip(spots) {
            chain.iter_mut().for_each(|item| *item = item.normalized());
            chain.sort_unstable();
            chain.dedup();
            for (place, item) in chain.iter().enumerate() {
                let given = || (brief(text.get(start..end).unwrap_or_default()), column(text, start));
                let from_end = (from_end && field == Field::DayOfMonth).then(|| LAST_FROM_END - 3 * place as i32);
                check(field, *item, from_end, given)?;
            }
        }
        Ok(())
    }

    fn compile(&self) -> OnCalendar {
        let bits = |chain: &Chain, last: i32| match chain.is_empty() {
            true => !0,
            false => chain.iter().flat_map(|item| item.values(last)).fold(0u64, |bits, value| bits | 1 << value),
        };
        let of_month = match (self.days.is_empty(), self.from_end) {
            (true, _) => DaysOfMonth::ALL,
            (false, false) => DaysOfMonth { plain: bits(&self.days, 31) as u32, ..DaysOfMonth::NONE },
            (false, true) => {
                // The steps go on towards the end of the month, and a range is named from its end.
                let before = |item: &Item| match item.is_open() {
                    true => (1..=item.start).rev().step_by(item.step as usize).collect::<Vec<_>>(),
                    false => item.values(LAST_FROM_END).collect(),
                };
                let from_last = self.days.iter().flat_map(before).fold(0u32, |bits, day| bits | 1 << (day - 1));
                DaysOfMonth { from_last, ..DaysOfMonth::NONE }
            }
        };
        let of_week = match self.weekdays {
            0 => DaysOfWeek::ALL,
            // Sunday is their last and our first.
            set => DaysOfWeek { plain: (set << 1 | set >> 6) & 0x7f, ..DaysOfWeek::NONE },
        };
        let years = match self.years.is_empty() {
            true => Years::Any,
            false => {
                let mut set = [0u64; 4];
                for year in self.years.iter().flat_map(|item| item.values(CRON_YEARS.1)) {
                    let bit = (year - CRON_YEARS.0) as usize;
                    set[bit / 64] |= 1 << (bit % 64);
                }
                Years::Only(set)
            }
        };
        let days = DaySet {
            years,
            months: bits(&self.months, 12) as u16 & DaySet::EVERY_DAY.months,
            of_month,
            of_week,
            join: Join::Both,
            stride: Stride::None,
            taken: Taken::Nothing,
        };
        let second = SECOND as i32;
        let is_whole = |item: &Item| item.start % second == 0 && item.step % second == 0;
        let whole = |item: &Item| Item {
            start: item.start / second,
            stop: item.stop.map(|stop| stop / second),
            step: item.step / second,
        };
        let (seconds, places) = match self.seconds.iter().all(is_whole) {
            true => (bits(&self.seconds.iter().map(whole).collect(), 59), Places::default()),
            false => (1, Places(self.seconds.iter().map(Progression::of).collect())),
        };
        let times = Times::Sets {
            seconds,
            minutes: bits(&self.minutes, 59) & ((1 << 60) - 1),
            hours: bits(&self.hours, 23) as u32 & 0xff_ffff,
        };
        let is_running = |chain: &Chain| chain.is_empty() || chain.iter().any(Item::is_open);
        let fixed = ![&self.hours, &self.minutes, &self.seconds].into_iter().any(is_running);
        OnCalendar { text: self.to_string(), calendar: Calendar { days, times, fixed }, places }
    }
}

/// Whether an item lies within its field, and its step within it.
fn check(field: Field, item: Item, from_end: Option<i32>, given: impl Fn() -> (String, usize)) -> Read<()> {
    let (least, most) = range(field);
    let (low, high) = match field {
        Field::Second => (0, MINUTE as i32 - 1),
        _ => (least as i32, from_end.unwrap_or(most as i32)),
    };
    let most = from_end.map_or(most, |most| most.max(0) as u32);
    let from_end = from_end.is_some();
    let inside = |value: i32| (low..=high).contains(&value);
    if !inside(item.start) || !item.stop.is_none_or(inside) {
        let (given, column) = given();
        return Err(OnCalendarError::OutOfRange { field, given, column, least, most });
    }
    if let Some(stop) = item.stop.filter(|stop| *stop < item.start) {
        let (given, column) = given();
        let shown = |value: i32| if field == Field::Second { value / SECOND as i32 } else { value };
        let instead = if from_end {
            format!("~{:02}..{:02}, the last of them first", shown(stop), shown(item.start))
        } else {
            format!("{:02}..{most},{least:02}..{:02} for both parts", shown(item.start), shown(stop))
        };
        return Err(OnCalendarError::ReversedRange { field, given, column, instead });
    }
    let reach = match item.stop {
        Some(stop) => stop - item.start,
        None if from_end => item.start - low,
        None => high - item.start,
    };
    if item.step > reach {
        let (given, column) = given();
        let hint = "it is so long that nothing would come of it; write a smaller one, or leave it out";
        return Err(OnCalendarError::Step { field, given, column, hint });
    }
    Ok(())
}

/// The normalized form: one spelling for each event, as `systemd-analyze calendar` shows it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        weekdays(f, self.weekdays)?;
        chain(f, &self.years, 4)?;
        f.write_str("-")?;
        chain(f, &self.months, 2)?;
        f.write_str(if self.from_end { "~" } else { "-" })?;
        chain(f, &self.days, 2)?;
        f.write_str(" ")?;
        chain(f, &self.hours, 2)?;
        f.write_str(":")?;
        chain(f, &self.minutes, 2)?;
        f.write_str(":")?;
        let second = SECOND as i32;
        if self.seconds[..] == [(Item { start: 0, stop: None, step: second })] {
            return f.write_str("*");
        }
        let seconds = |f: &mut fmt::Formatter<'_>, value: i32, width: usize| {
            write!(f, "{:0width$}", value / second)?;
            if value % second > 0 { write!(f, ".{:06}", value % second) } else { Ok(()) }
        };
        for (place, item) in self.seconds.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            seconds(f, item.start, 2)?;
            if let Some(stop) = item.stop {
                f.write_str("..")?;
                seconds(f, stop, 2)?;
            }
            if item.step > 0 && !(item.stop.is_some() && item.step == second) {
                f.write_str("/")?;
                seconds(f, item.step, 1)?;
            }
        }
        Ok(())
    }
}

fn chain(f: &mut impl Write, chain: &Chain, width: usize) -> fmt::Result {
    if chain.is_empty() {
        return f.write_str("*");
    }
    for (place, item) in chain.iter().enumerate() {
        if place > 0 {
            f.write_str(",")?;
        }
        write!(f, "{:0width$}", item.start)?;
        if let Some(stop) = item.stop {
            write!(f, "..{stop:0width$}")?;
        }
        if item.step > 0 && !(item.stop.is_some() && item.step == 1) {
            write!(f, "/{}", item.step)?;
        }
    }
    Ok(())
}

/// Runs of three and more are drawn together. Monday is bit 0; a space follows if there is any.
fn weekdays(f: &mut impl Write, set: u8) -> fmt::Result {
    let mut day = 0;
    let mut comma = "";
    while day < 7 {
        let run = (set >> day).trailing_ones() as usize;
        if run > 0 {
            f.write_str(comma)?;
            comma = ",";
            f.write_str(&WEEKDAYS[day][..3])?;
        }
        if run > 1 {
            write!(f, "{}{}", if run > 2 { ".." } else { "," }, &WEEKDAYS[day + run - 1][..3])?;
        }
        day += run + 1;
    }
    if set != 0 { f.write_str(" ") } else { Ok(()) }
}

/// Places within a minute, in microseconds: all those of its progressions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Places(pub(crate) Vec<Progression>);

/// From the first to the last, both included, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progression {
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// At least 1.
    pub(crate) step: u32,
}

impl Progression {
    fn of(item: &Item) -> Progression {
        let (first, step) = (item.start as u32, item.step.max(1) as u32);
        let end = match item.stop {
            _ if item.step == 0 => first,
            Some(stop) => stop as u32,
            None => MINUTE - 1,
        };
        Progression { first, last: end - (end - first) % step, step }
    }

    fn contains(&self, place: u32) -> bool {
        (self.first..=self.last).contains(&place) && (place - self.first) % self.step == 0
    }

    fn next(&self, from: u32) -> Option<u32> {
        if from <= self.first {
            return Some(self.first);
        }
        (from <= self.last).then(|| self.first + (from - self.first).div_ceil(self.step) * self.step)
    }

    fn prev(&self, to: u32) -> Option<u32> {
        (to >= self.first).then(|| self.first + (to.min(self.last) - self.first) / self.step * self.step)
    }

    fn count_before(&self, end: u32) -> u32 {
        match end.checked_sub(1).and_then(|to| self.prev(to)) {
            Some(last) => (last - self.first) / self.step + 1,
            None => 0,
        }
    }
}

/// Words of the window in which places are marked: 65,536 microseconds.
const WINDOW: usize = 1024;

impl Places {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first at or after one.
    pub(crate) fn next(&self, from: u32) -> Option<u32> {
        self.0.iter().filter_map(|places| places.next(from)).min()
    }

    /// The last at or before one.
    pub(crate) fn prev(&self, to: u32) -> Option<u32> {
        self.0.iter().filter_map(|places| places.prev(to)).max()
    }

    /// How many there are before one.
    pub(crate) fn count_before(&self, end: u32) -> u64 {
        let mut long = self.0.iter().filter(|places| places.first != places.last);
        let first = long.next();
        if long.next().is_some() {
            return self.mark_before(end);
        }
        let stands = |place: u32| place < end && !first.is_some_and(|places| places.contains(place));
        let single = self.0.iter().filter(|places| places.first == places.last && stands(places.first)).count();
        single as u64 + first.map_or(0, |places| places.count_before(end).into())
    }

    /// The same, by marking them.
    fn mark_before(&self, end: u32) -> u64 {
        let mut count = 0;
        let mut start = 0;
        while start < end {
            let stop = end.min(start + WINDOW as u32 * 64);
            let mut marks = [0u64; WINDOW];
            for places in &self.0 {
                let Some((from, to)) = places.next(start).zip(places.prev(stop - 1)).filter(|(from, to)| from <= to) else {
                    continue;
                };
                mark(&mut marks, from - start, to - start, places.step);
            }
            count += marks.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
            start = stop;
        }
        count
    }
}

/// Sets bits from one to another, both included, in steps: by words where a word has several.
fn mark(marks: &mut [u64; WINDOW], from: u32, to: u32, step: u32) {
    let mut bit = from;
    if step < 32 {
        let comb = (0..64).step_by(step as usize).fold(0u64, |comb, bit| comb | 1 << bit);
        while bit <= to {
            let (word, within) = (bit / 64, bit % 64);
            let last = to.min(word * 64 + 63);
            let upto = u64::MAX >> (63 - last % 64);
            marks[word as usize] |= comb << within & upto;
            bit += (last - bit) / step * step + step;
        }
        return;
    }
    while bit <= to {
        marks[bit as usize / 64] |= 1 << (bit % 64);
        bit += step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_what_a_walk_through_them_finds() {
        let rows: [&[(u32, u32, u32)]; 6] = [
            &[(0, 59_750_000, 250_000)],
            &[(500_000, 500_000, 1), (750_000, 750_000, 1)],
            &[(500_000, 500_000, 1), (0, 59_750_000, 250_000), (3, 3, 1)],
            &[(0, 59_999_999, 3), (1, 59_999_998, 7), (200_000, 300_000, 1)],
            &[(63, 40_000_127, 64), (0, 59_999_968, 32), (5, 5 + 31 * 100, 31), (65_535, 65_537, 1)],
            &[(59_999_999, 59_999_999, 1), (1_000_000, 59_000_000, 1_000_000), (100_000, 59_900_000, 100_000)],
        ];
        for row in rows {
            let places = Places(
                row.iter()
                    .map(|(first, last, step)| Progression { first: *first, last: last - (last - first) % step, step: *step })
                    .collect(),
            );
            let mut all: Vec<u32> =
                places.0.iter().flat_map(|places| (places.first..=places.last).step_by(places.step as usize)).collect();
            all.sort_unstable();
            all.dedup();
            let near = |place: u32| [place.saturating_sub(1), place, place + 1];
            let edges = places.0.iter().flat_map(|places| [places.first, places.last, places.first + places.step]);
            let some = [0, 1, 63, 64, 65_535, 65_536, 65_537, 250_000, 30_000_000, MINUTE - 1];
            for place in edges.chain(some).flat_map(near).filter(|place| *place <= MINUTE) {
                let below = all.partition_point(|one| *one < place);
                let upto = all.partition_point(|one| *one <= place);
                assert_eq!(places.next(place), all.get(below).copied(), "{row:?} from {place}");
                assert_eq!(places.prev(place), upto.checked_sub(1).map(|spot| all[spot]), "{row:?} to {place}");
                assert_eq!(places.count_before(place), below as u64, "{row:?} before {place}");
            }
        }
    }
}
