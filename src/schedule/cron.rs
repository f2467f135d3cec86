//! Cron text, compiled to a [`Calendar`].
//!
//! The grammar is the Open Cron Pattern Specification's (OCPS 1.4), with `docs` on each ruling where it is silent. It is
//! strict: what one implementation of cron runs hourly and another never is refused, with what to write instead.
//! [`Dialect::Vixie`] reads crontab(5) as Vixie's cron and its heirs do: no seconds, no years, no `L`, `W`, `#`, `?` or
//! `+`; oversized steps and `*` in lists are taken; and a day field that begins with `*` is free.

use super::calendar::{CRON_YEARS, Calendar, DaySet, DaysOfMonth, DaysOfWeek, Join, Stride, Taken, Times, Years};
use crate::error::{CronError, Field, LONGEST_CRON};

/// Which rules a cron text is read by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// The Open Cron Pattern Specification 1.4, strictly.
    #[default]
    Ocps,
    /// crontab(5) as Vixie's cron and cronie read it.
    Vixie,
}

impl Field {
    fn range(self) -> (u32, u32) {
        match self {
            Field::Second | Field::Minute => (0, 59),
            Field::Hour => (0, 23),
            Field::DayOfMonth => (1, 31),
            Field::Month => (1, 12),
            Field::DayOfWeek => (0, 7),
            Field::Year => (CRON_YEARS.0 as u32, CRON_YEARS.1 as u32),
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Field::Month => &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
            Field::DayOfWeek => &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
            _ => &[],
        }
    }
}

/// What a cron text says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cron {
    Calendar(Calendar),
    Reboot,
}

/// A piece of the text, and the byte at which it begins.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    start: usize,
    /// The whole text, for counting columns.
    whole: &'a str,
}

impl<'a> Piece<'a> {
    fn column(&self) -> usize {
        self.whole.get(..self.start).map_or(self.start, |before| before.chars().count()) + 1
    }

    fn given(&self) -> String {
        // A hostile text may be long; a person needs its beginning.
        match self.text.char_indices().nth(40) {
            Some((cut, _)) => format!("{}...", &self.text[..cut]),
            None => self.text.to_owned(),
        }
    }

    fn part(&self, text: &'a str, offset: usize) -> Piece<'a> {
        Piece { text, start: self.start + offset, whole: self.whole }
    }

    fn split(&self, at: char) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        let piece = *self;
        let mut offset = 0;
        piece.text.split(at).map(move |text| {
            let part = piece.part(text, offset);
            offset += text.len() + at.len_utf8();
            part
        })
    }

    fn split_once(&self, at: char) -> Option<(Piece<'a>, Piece<'a>)> {
        let (left, right) = self.text.split_once(at)?;
        Some((self.part(left, 0), self.part(right, left.len() + at.len_utf8())))
    }
}

/// The text in one spelling: single spaces, capital letters.
pub(crate) fn normalized(text: &str) -> String {
    let fields: Vec<&str> = text.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
    let text = fields.join(" ");
    if text.starts_with('@') { text.to_ascii_lowercase() } else { text.to_ascii_uppercase() }
}

/// Reads a cron text.
pub(crate) fn parse(text: &str, dialect: Dialect) -> Result<Cron, CronError> {
    if text.len() > LONGEST_CRON {
        return Err(CronError::TooLong { bytes: text.len() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '\t' | '*' | ',' | '-' | '/' | '?' | '#' | '+' | '@');
    if let Some((column, given)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        return Err(CronError::Character { given, column: column + 1 });
    }
    let whole = Piece { text, start: 0, whole: text };
    let mut fields = [whole; 7];
    let mut found = 0;
    for piece in split_blanks(whole) {
        if let Some(field) = fields.get_mut(found) {
            *field = piece;
        }
        found += 1;
    }
    if found == 0 {
        return Err(CronError::Empty);
    }
    if fields[0].text.starts_with('@') {
        return if found == 1 { nickname(fields[0], dialect) } else { Err(CronError::Nickname { given: whole.given() }) };
    }
    let none = Piece { text: "0", start: 0, whole: "0" };
    let any = Piece { text: "*", start: 0, whole: "*" };
    match (dialect, found) {
        (_, 5) => fields_of([none, fields[0], fields[1], fields[2], fields[3], fields[4], any], dialect),
        (Dialect::Ocps, 6) => fields_of([fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], any], dialect),
        (Dialect::Ocps, 7) => fields_of(fields, dialect),
        (Dialect::Ocps, _) => Err(CronError::FieldCount { found }),
        (Dialect::Vixie, _) => Err(CronError::FieldCountVixie { found }),
    }
    .map(Cron::Calendar)
}

fn split_blanks(whole: Piece<'_>) -> impl Iterator<Item = Piece<'_>> {
    let mut offset = 0;
    whole.text.split([' ', '\t']).filter_map(move |text| {
        let piece = whole.part(text, offset);
        offset += text.len() + 1;
        (!text.is_empty()).then_some(piece)
    })
}

fn nickname(piece: Piece<'_>, dialect: Dialect) -> Result<Cron, CronError> {
    let text = match piece.text.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        "@reboot" => return Ok(Cron::Reboot),
        _ => return Err(CronError::Nickname { given: piece.given() }),
    };
    parse(text, dialect)
}

fn fields_of(fields: [Piece<'_>; 7], dialect: Dialect) -> Result<Calendar, CronError> {
    let [second, minute, hour, day, month, weekday, year] = fields;
    let reader = Reader { dialect };
    let seconds = reader.numbers(Field::Second, second)?;
    let minutes = reader.numbers(Field::Minute, minute)?;
    let hours = reader.numbers(Field::Hour, hour)?;
    let of_month = reader.days_of_month(day)?;
    let months = reader.numbers(Field::Month, month)?;
    let (both, of_week) = reader.days_of_week(weekday)?;
    let years = reader.years(year)?;
    let free = |field: Piece<'_>| match dialect {
        // A step leaves the field restricted (OCPS 1.0 section 6.1); for Vixie a leading star is enough.
        Dialect::Ocps => field.text == "*" || field.text == "?",
        Dialect::Vixie => field.text.starts_with('*'),
    };
    let join = if both || free(day) || free(weekday) { Join::Both } else { Join::Either };
    Ok(Calendar {
        days: DaySet { years, months: months as u16, of_month, of_week, join, stride: Stride::None, taken: Taken::Nothing },
        times: Times::Sets { seconds, minutes, hours: hours as u32 },
        fixed: [second, minute, hour].iter().all(|field| !field.text.starts_with('*')),
    })
}

struct Reader {
    dialect: Dialect,
}

impl Reader {
    /// A field of plain numbers, as bits.
    fn numbers(&self, field: Field, piece: Piece<'_>) -> Result<u64, CronError> {
        let mut set = 0;
        self.items(field, piece, |item| self.each_value(field, item, |value| set |= 1 << value))?;
        Ok(set)
    }

    fn years(&self, piece: Piece<'_>) -> Result<Years, CronError> {
        if piece.text == "*" {
            return Ok(Years::Any);
        }
        let mut bits = [0u64; 4];
        self.items(Field::Year, piece, |item| {
            self.each_value(Field::Year, item, |year| {
                let bit = year as usize - CRON_YEARS.0 as usize;
                bits[bit / 64] |= 1 << (bit % 64);
            })
        })?;
        Ok(Years::Only(bits))
    }

    fn days_of_month(&self, piece: Piece<'_>) -> Result<DaysOfMonth, CronError> {
        let field = Field::DayOfMonth;
        if self.is_question(piece)? {
            return Ok(DaysOfMonth::ALL);
        }
        let mut days = DaysOfMonth::NONE;
        self.items(field, piece, |item| {
            let text = item.text;
            if self.dialect == Dialect::Vixie || !text.bytes().any(|b| matches!(b.to_ascii_uppercase(), b'L' | b'W')) {
                return self.each_value(field, item, |day| days.plain |= 1 << day);
            }
            match text {
                "L" => days.from_last |= 1,
                "LW" => days.last_working = true,
                _ => {
                    if let Some(offset) = text.strip_prefix("L-") {
                        // The days before the last: 1 to 30.
                        let part = item.part(offset, 2);
                        days.from_last |= 1 << self.number(field, part, (1, 30))?;
                    } else if let Some(day) = text.strip_suffix('W') {
                        if day.is_empty() || !day.bytes().all(|b| b.is_ascii_digit()) {
                            return Err(modifier(field, item, 'W', "follows one day of the month; write 15W or LW"));
                        }
                        days.nearest |= 1 << self.number(field, item.part(day, 0), (1, 31))?;
                    } else {
                        return Err(self.misplaced_letter(item));
                    }
                }
            }
            Ok(())
        })?;
        Ok(days)
    }

    fn misplaced_letter(&self, item: Piece<'_>) -> CronError {
        let field = Field::DayOfMonth;
        let text = item.text;
        if text.contains('l') {
            modifier(field, item, 'l', "is a capital letter in cron text; write L")
        } else if text.contains('w') {
            modifier(field, item, 'w', "is a capital letter in cron text; write W")
        } else if text.contains("-L") {
            modifier(field, item, 'L', "does not end a range; write the days as a range to 31, such as 25-31")
        } else if text.contains('W') {
            modifier(field, item, 'W', "follows one day of the month; write 15W or LW")
        } else {
            modifier(field, item, 'L', "stands for the last day of the month; write L, L-3 or LW")
        }
    }

    /// Whether both day fields must match, and the weekdays.
    fn days_of_week(&self, piece: Piece<'_>) -> Result<(bool, DaysOfWeek), CronError> {
        let field = Field::DayOfWeek;
        let mut piece = piece;
        let mut both = false;
        if let (Dialect::Ocps, Some(rest)) = (self.dialect, piece.text.strip_prefix('+')) {
            both = true;
            piece = piece.part(rest, 1);
            if rest.is_empty() || rest.starts_with('+') {
                return Err(modifier(field, piece, '+', "comes once, before the weekdays that must match too; write +MON"));
            }
        }
        if !both && self.is_question(piece)? {
            return Ok((false, DaysOfWeek::ALL));
        }
        let mut days = DaysOfWeek::NONE;
        self.items(field, piece, |item| {
            if self.dialect == Dialect::Vixie {
                return self.each_value(field, item, |day| days.plain |= 1 << (day % 7));
            }
            if let Some((day, nth)) = item.split_once('#') {
                let reason = "numbers one weekday of the month, the first to the fifth or the last; write MON#2 or MON#L";
                if nth.text == "L" && !day.text.contains(['-', '/', '*']) {
                    days.last |= 1 << (self.value(field, day)? % 7);
                    return Ok(());
                }
                if day.text.contains(['-', '/', '*']) || nth.text.len() != 1 || !nth.text.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(modifier(field, item, '#', reason));
                }
                let day = self.value(field, day)?;
                let nth = self.number(field, nth, (1, 5))?;
                days.nth[nth as usize - 1] |= 1 << (day % 7);
                return Ok(());
            }
            if let Some(day) = item.text.strip_suffix('L') {
                let reason = "follows one weekday and means the last of the month; write FRIL or 5L";
                if day.is_empty() || day.contains(['-', '/', '*', 'L']) {
                    return Err(modifier(field, item, 'L', reason));
                }
                let day = self.value(field, item.part(day, 0))?;
                days.last |= 1 << (day % 7);
                return Ok(());
            }
            let starts_with_l = item.text.starts_with(['L', 'l']);
            if starts_with_l || item.text.ends_with('l') && item.text.len() <= 4 {
                return Err(modifier(field, item, 'L', "is a capital letter that follows one weekday; write FRIL or 5L"));
            }
            self.each_value(field, item, |day| days.plain |= 1 << (day % 7))
        })?;
        Ok((both, days))
    }

    fn is_question(&self, piece: Piece<'_>) -> Result<bool, CronError> {
        Ok(self.dialect == Dialect::Ocps && piece.text == "?")
    }

    /// Goes through the items of a list.
    fn items<'a>(
        &self,
        field: Field,
        piece: Piece<'a>,
        mut each: impl FnMut(Piece<'a>) -> Result<(), CronError>,
    ) -> Result<(), CronError> {
        let list = piece.text.contains(',');
        for item in piece.split(',') {
            if item.text.is_empty() {
                return Err(CronError::EmptyItem { field, given: piece.given(), column: item.column() });
            }
            if list && self.dialect == Dialect::Ocps && item.text == "*" {
                return Err(CronError::StarInList { field, given: piece.given(), column: item.column() });
            }
            // In a day field `?` may stand for `*`, also before a step (OCPS 1.4 section 4.2).
            let question = matches!(field, Field::DayOfMonth | Field::DayOfWeek) && self.dialect == Dialect::Ocps;
            if let Some(place) = item.text.find('?').filter(|_| !(question && item.text.starts_with("?/"))) {
                let reason = if matches!(field, Field::DayOfMonth | Field::DayOfWeek) && self.dialect == Dialect::Ocps {
                    "stands alone in its field; write ? or *"
                } else {
                    "stands in the day fields only; write *"
                };
                return Err(modifier(field, item.part(&item.text[place..], place), '?', reason));
            }
            if item.text.contains('+') {
                let reason = "comes first in the weekday field only, and asks for both day fields to match; write +MON";
                return Err(modifier(field, item, '+', reason));
            }
            if item.text.contains('#') && (field != Field::DayOfWeek || self.dialect == Dialect::Vixie) {
                let reason =
                    if self.dialect == Dialect::Vixie { "is not in crontab(5)" } else { "stands in the weekday field only" };
                return Err(modifier(field, item, '#', reason));
            }
            each(item)?;
        }
        Ok(())
    }

    /// Calls `each` for every value of `*`, `*/n`, `a`, `a-b` or `a-b/n`.
    fn each_value(&self, field: Field, item: Piece<'_>, mut each: impl FnMut(u32)) -> Result<(), CronError> {
        let (least, most) = field.range();
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        // Sunday is both 0 and 7; `*` counts it once.
        let top = if field == Field::DayOfWeek { 6 } else { most };
        let (from, to) = if range.text == "*" || range.text == "?" {
            (least, top)
        } else if let Some((from, to)) = range.split_once('-') {
            let (low, mut high) = (self.value(field, from)?, self.value(field, to)?);
            // SUN ends a range as 7, except after itself.
            if field == Field::DayOfWeek && high == 0 && low != 0 && to.text.eq_ignore_ascii_case("sun") {
                high = 7;
            }
            if low > high {
                let instead = match field {
                    Field::Year => format!("{}-{}", to.text, from.text),
                    _ => format!("{}-{top},{least}-{} for both parts", from.text, to.text),
                };
                return Err(CronError::ReversedRange { field, given: range.given(), column: range.column(), instead });
            }
            (low, high)
        } else {
            if let Some(step) = step {
                let instead = match self.value(field, range) {
                    Ok(value) => format!("{value}-{top}/{}", step.given()),
                    Err(_) => "*/5 or 10-50/5".to_owned(),
                };
                return Err(CronError::StepWithoutRange { field, given: item.given(), column: item.column(), instead });
            }
            let value = self.value(field, range)?;
            (value, value)
        };
        let step = match step {
            Some(step) => self.step(field, item, step, from, to)?,
            None => 1,
        };
        (from..=to).step_by(step as usize).for_each(&mut each);
        Ok(())
    }

    fn step(&self, field: Field, item: Piece<'_>, step: Piece<'_>, from: u32, to: u32) -> Result<u32, CronError> {
        // `*/90` minutes reads like every 90 minutes and isn't; a range with a long step says what it is.
        let whole = item.text.starts_with(['*', '?']);
        let most = if whole { to - from + 1 } else { u32::MAX };
        let digits = !step.text.is_empty() && step.text.bytes().all(|b| b.is_ascii_digit());
        let wrong = |hint| CronError::Step { field, given: item.given(), column: item.column(), hint };
        match step.text.parse::<u32>() {
            Ok(0) => Err(wrong("write 1 or more")),
            Ok(value) if digits && (value <= most || self.dialect == Dialect::Vixie) => Ok(value),
            Ok(_) if digits => {
                Err(wrong("it starts anew at each turn of the field; write a smaller one, or `every ...` in words"))
            }
            Err(_) if digits => Err(wrong("this one is too large; write a smaller one")),
            _ => Err(wrong("write it in digits, such as */5")),
        }
    }

    /// A number or a name.
    fn value(&self, field: Field, piece: Piece<'_>) -> Result<u32, CronError> {
        let text = piece.text;
        if let Some(place) = field.names().iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(place as u32 + u32::from(field == Field::Month));
        }
        if text.bytes().any(|b| b.is_ascii_alphabetic()) && !text.bytes().any(|b| matches!(b, b'*' | b'/' | b'-')) {
            let upper = text.to_ascii_uppercase();
            if let (true, Some(letter)) = (matches!(upper.as_str(), "L" | "LW" | "W"), upper.chars().next()) {
                return Err(modifier(field, piece, letter, "stands in the day fields only"));
            }
            let accept = match field {
                Field::Month => "write JAN to DEC or 1 to 12",
                Field::DayOfWeek => "write SUN to SAT or 0 to 7",
                Field::DayOfMonth => "write 1 to 31, L, L-3, 15W or LW",
                _ => "write a number",
            };
            return Err(CronError::Name { field, given: piece.given(), column: piece.column(), accept });
        }
        self.number(field, piece, field.range())
    }

    fn number(&self, field: Field, piece: Piece<'_>, (least, most): (u32, u32)) -> Result<u32, CronError> {
        if piece.text.is_empty() || !piece.text.bytes().all(|b| b.is_ascii_digit()) {
            let accept = "write a number, a range such as 1-5, a list such as 1,3, or *";
            return Err(CronError::Value { field, given: piece.given(), column: piece.column(), accept });
        }
        match piece.text.parse::<u32>() {
            Ok(value) if (least..=most).contains(&value) => Ok(value),
            _ => Err(CronError::OutOfRange { field, given: piece.given(), column: piece.column(), least, most }),
        }
    }
}

fn modifier(field: Field, piece: Piece<'_>, modifier: char, reason: &'static str) -> CronError {
    CronError::Modifier { field, given: piece.given(), column: piece.column(), modifier, reason }
}
