//! Cron text, compiled to a [`Calendar`].
//!
//! The grammar is the Open Cron Pattern Specification's (OCPS 1.4), with `docs` on each ruling where it is silent. It is
//! strict: what one implementation of cron runs hourly and another never is refused, with what to write instead.
//! [`Dialect::Vixie`] reads crontab(5) as Vixie's cron and its heirs do: no seconds, no years, no `L`, `W`, `#`, `?` or
//! `+`; oversized steps and `*` in lists are taken; and a day field that begins with `*` is free. What some of them leave to
//! chance (`~`) is no schedule until it is drawn: see [`draw`].
//!
//! A text is gone through once for what may not stand in it and where its fields lie; then every byte is a character. Fields
//! are looked at by bytes, numbers before anything else, and what a range stands for is a mask, not a walk. Searching each
//! field for one sign after the other with `str::split` and `find` took more than twice as long: for texts as short as these
//! it is the setting out that costs.

use std::borrow::Cow;

use super::calendar::{CRON_YEARS, Calendar, DaySet, DaysOfMonth, DaysOfWeek, Join, Stride, Taken, Times, Years};
use crate::error::{CronError, Field, LONGEST_CRON, brief};

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

    fn names(self) -> &'static [[u8; 3]] {
        match self {
            Field::Month => &MONTHS,
            Field::DayOfWeek => &WEEKDAYS,
            _ => &[],
        }
    }
}

const MONTHS: [[u8; 3]; 12] =
    [*b"JAN", *b"FEB", *b"MAR", *b"APR", *b"MAY", *b"JUN", *b"JUL", *b"AUG", *b"SEP", *b"OCT", *b"NOV", *b"DEC"];
const WEEKDAYS: [[u8; 3]; 7] = [*b"SUN", *b"MON", *b"TUE", *b"WED", *b"THU", *b"FRI", *b"SAT"];

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
}

impl<'a> Piece<'a> {
    /// Only ASCII is read, so bytes are columns.
    fn column(&self) -> usize {
        self.start + 1
    }

    fn given(&self) -> String {
        brief(self.text)
    }

    fn part(&self, text: &'a str, offset: usize) -> Piece<'a> {
        Piece { text, start: self.start + offset }
    }

    /// The items of a list.
    fn items(&self) -> impl Iterator<Item = Piece<'a>> {
        let piece = *self;
        let mut offset = 0;
        piece.text.as_bytes().split(|byte| *byte == b',').map(move |bytes| {
            let part = piece.part(piece.text.get(offset..offset + bytes.len()).unwrap_or_default(), offset);
            offset += bytes.len() + 1;
            part
        })
    }

    fn split_once(&self, at: u8) -> Option<(Piece<'a>, Piece<'a>)> {
        let place = self.text.bytes().position(|byte| byte == at)?;
        let (left, right) = (self.text.get(..place)?, self.text.get(place + 1..)?);
        Some((self.part(left, 0), self.part(right, place + 1)))
    }
}

/// Values from one to another in steps.
#[derive(Clone, Copy)]
struct Span {
    from: u32,
    to: u32,
    step: u32,
}

impl Span {
    fn values(self) -> impl Iterator<Item = u32> {
        (self.from..=self.to).step_by(self.step as usize)
    }

    /// As bits, of values below 64.
    fn bits(self) -> u64 {
        if self.step == 1 {
            return u64::MAX >> (63 - self.to) & u64::MAX << self.from;
        }
        self.values().fold(0, |bits, value| bits | 1 << value)
    }

    /// As bits of weekdays: 7 is Sunday too.
    fn weekdays(self) -> u8 {
        let bits = self.bits();
        (bits | bits >> 7) as u8 & 0x7f
    }
}

/// The text in one spelling: single spaces, capital letters.
pub(crate) fn normalized(text: &str) -> String {
    // Most texts differ from it by their capitals at most.
    let mut after_blank = true;
    let is_single_spaced = text.bytes().all(|byte| {
        let blank = byte == b' ';
        let wrong = byte == b'\t' || blank && after_blank;
        after_blank = blank;
        !wrong
    }) && !after_blank;
    let text = if is_single_spaced {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.split([' ', '\t']).filter(|field| !field.is_empty()).collect::<Vec<_>>().join(" "))
    };
    if text.starts_with('@') { text.to_ascii_lowercase() } else { text.to_ascii_uppercase() }
}

/// What a byte is to a cron text.
#[derive(Clone, Copy)]
enum Sort {
    Refused,
    Blank,
    Sign,
}

const SORTS: [Sort; 256] = {
    let mut sorts = [Sort::Refused; 256];
    let mut byte = 0;
    while byte < 256 {
        sorts[byte] = match byte as u8 {
            b' ' | b'\t' => Sort::Blank,
            b'*' | b',' | b'-' | b'/' | b'?' | b'#' | b'+' | b'@' => Sort::Sign,
            other if other.is_ascii_alphanumeric() => Sort::Sign,
            _ => Sort::Refused,
        };
        byte += 1;
    }
    sorts
};

/// Reads a cron text.
pub(crate) fn parse(text: &str, dialect: Dialect) -> Result<Cron, CronError> {
    if text.len() > LONGEST_CRON {
        return Err(CronError::TooLong { bytes: text.len() });
    }
    let whole = Piece { text, start: 0 };
    let mut fields = [whole; 7];
    let (mut found, mut start) = (0, 0);
    let mut end_field = |start, end| {
        if start < end {
            if let Some(field) = fields.get_mut(found) {
                *field = whole.part(text.get(start..end).unwrap_or_default(), start);
            }
            found += 1;
        }
    };
    for (place, byte) in text.bytes().enumerate() {
        match SORTS[usize::from(byte)] {
            Sort::Sign => {}
            Sort::Blank => {
                end_field(start, place);
                start = place + 1;
            }
            Sort::Refused => {
                // All before it is ASCII, so bytes are characters and columns.
                let given = text.chars().nth(place).unwrap_or_default();
                return Err(CronError::Character { given, column: place + 1 });
            }
        }
    }
    end_field(start, text.len());
    if found == 0 {
        return Err(CronError::Empty);
    }
    if fields[0].text.starts_with('@') {
        return if found == 1 { nickname(fields[0], dialect) } else { Err(CronError::Nickname { given: whole.given() }) };
    }
    let none = Piece { text: "0", start: 0 };
    let any = Piece { text: "*", start: 0 };
    match (dialect, found) {
        (_, 5) => fields_of([none, fields[0], fields[1], fields[2], fields[3], fields[4], any], dialect),
        (Dialect::Ocps, 6) => fields_of([fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], any], dialect),
        (Dialect::Ocps, 7) => fields_of(fields, dialect),
        (Dialect::Ocps, _) => Err(CronError::FieldCount { found }),
        (Dialect::Vixie, _) => Err(CronError::FieldCountVixie { found }),
    }
    .map(Cron::Calendar)
}

/// A cron text in which what is left to chance has been drawn.
#[cfg(feature = "crontab")]
pub(crate) struct Drawn {
    pub(crate) text: String,
    pub(crate) draws: Vec<Draw>,
}

/// A value that was left to chance, and what it came to.
#[cfg(feature = "crontab")]
pub(crate) struct Draw {
    pub(crate) field: Field,
    pub(crate) given: String,
    pub(crate) column: usize,
    /// How much of the text it was.
    length: usize,
    pub(crate) drawn: String,
}

/// Draws each `low~high` (a value of that range) and `low~high/step` (the range, from a place within its first step) of a text
/// of five fields, as OpenBSD's crontab(5) has them: either end may be left out. `below` draws a number below the one given.
#[cfg(feature = "crontab")]
pub(crate) fn draw(text: &str, mut below: impl FnMut(u32) -> u32) -> Result<Drawn, CronError> {
    if text.len() > LONGEST_CRON {
        return Err(CronError::TooLong { bytes: text.len() });
    }
    let reader = Reader { dialect: Dialect::Vixie };
    let (mut drawn, mut draws, mut copied) = (String::new(), Vec::new(), 0);
    let mut fields = [Field::Minute, Field::Hour, Field::DayOfMonth, Field::Month, Field::DayOfWeek].into_iter();
    let mut start = 0;
    for word in text.split([' ', '\t']) {
        let field = if word.is_empty() { None } else { fields.next() };
        if let Some(field) = field.filter(|_| word.contains('~')) {
            for item in (Piece { text: word, start }).items().filter(|item| item.text.contains('~')) {
                let value = reader.random(field, item, &mut below)?;
                drawn.push_str(text.get(copied..item.start).unwrap_or_default());
                drawn.push_str(&value);
                copied = item.start + item.text.len();
                let (given, column, length) = (item.given(), item.column(), item.text.len());
                draws.push(Draw { field, given, column, length, drawn: value });
            }
        }
        start += word.len() + 1;
    }
    drawn.push_str(text.get(copied..).unwrap_or_default());
    Ok(Drawn { text: drawn, draws })
}

#[cfg(feature = "crontab")]
impl Drawn {
    /// The column of the text as it was given, of one of the text that was drawn.
    pub(crate) fn column_given(&self, column: usize) -> usize {
        // What was drawn before it makes the text longer, or shorter.
        let (mut longer, mut shorter) = (0, 0);
        for draw in &self.draws {
            let begins = draw.column + longer - shorter;
            if column < begins {
                break;
            }
            if column < begins + draw.drawn.len() {
                return draw.column;
            }
            longer += draw.drawn.len();
            shorter += draw.length;
        }
        column + shorter - longer
    }
}

#[cfg(feature = "crontab")]
impl CronError {
    /// The same, of a text that stands elsewhere.
    pub(crate) fn moved(mut self, place: impl Fn(usize) -> usize) -> Self {
        if let Some(column) = self.column_mut() {
            *column = place(*column);
        }
        self
    }

    pub(crate) fn column(&self) -> Option<usize> {
        self.clone().column_mut().copied()
    }

    fn column_mut(&mut self) -> Option<&mut usize> {
        match self {
            CronError::Character { column, .. }
            | CronError::OutOfRange { column, .. }
            | CronError::ReversedRange { column, .. }
            | CronError::EmptyItem { column, .. }
            | CronError::StepWithoutRange { column, .. }
            | CronError::Step { column, .. }
            | CronError::StarInList { column, .. }
            | CronError::Name { column, .. }
            | CronError::Modifier { column, .. }
            | CronError::Value { column, .. } => Some(column),
            CronError::Empty
            | CronError::TooLong { .. }
            | CronError::FieldCount { .. }
            | CronError::FieldCountVixie { .. }
            | CronError::Nickname { .. } => None,
        }
    }
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
        self.items(field, piece, |item| {
            set |= self.span(field, item)?.bits();
            Ok(())
        })?;
        Ok(set)
    }

    fn years(&self, piece: Piece<'_>) -> Result<Years, CronError> {
        if piece.text == "*" {
            return Ok(Years::Any);
        }
        let mut bits = [0u64; 4];
        self.items(Field::Year, piece, |item| {
            for year in self.span(Field::Year, item)?.values() {
                let bit = year as usize - CRON_YEARS.0 as usize;
                bits[bit / 64] |= 1 << (bit % 64);
            }
            Ok(())
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
                days.plain |= self.span(field, item)?.bits() as u32;
                return Ok(());
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
                days.plain |= self.span(field, item)?.weekdays();
                return Ok(());
            }
            if let Some((day, nth)) = item.split_once(b'#') {
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
            days.plain |= self.span(field, item)?.weekdays();
            Ok(())
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
        let (mut list, mut signs) = (false, false);
        for byte in piece.text.bytes() {
            list |= byte == b',';
            signs |= matches!(byte, b'?' | b'+' | b'#');
        }
        if !list && !signs && !piece.text.is_empty() {
            return each(piece);
        }
        for item in piece.items() {
            if item.text.is_empty() {
                return Err(CronError::EmptyItem { field, given: piece.given(), column: item.column() });
            }
            if list && self.dialect == Dialect::Ocps && item.text == "*" {
                return Err(CronError::StarInList { field, given: piece.given(), column: item.column() });
            }
            if signs {
                self.refuse_misplaced(field, item)?;
            }
            each(item)?;
        }
        Ok(())
    }

    /// `?`, `+` and `#` where they have no meaning.
    fn refuse_misplaced(&self, field: Field, item: Piece<'_>) -> Result<(), CronError> {
        // In a day field `?` may stand for `*`, also before a step (OCPS 1.4 section 4.2).
        let question = matches!(field, Field::DayOfMonth | Field::DayOfWeek) && self.dialect == Dialect::Ocps;
        if let Some(place) = item.text.find('?').filter(|_| !(question && item.text.starts_with("?/"))) {
            let reason =
                if question { "stands alone in its field; write ? or *" } else { "stands in the day fields only; write *" };
            return Err(modifier(field, item.part(&item.text[place..], place), '?', reason));
        }
        if item.text.contains('+') {
            let reason = "comes first in the weekday field only, and asks for both day fields to match; write +MON";
            return Err(modifier(field, item, '+', reason));
        }
        if item.text.contains('#') && (field != Field::DayOfWeek || self.dialect == Dialect::Vixie) {
            let reason = if self.dialect == Dialect::Vixie { "is not in crontab(5)" } else { "stands in the weekday field only" };
            return Err(modifier(field, item, '#', reason));
        }
        Ok(())
    }

    /// What `*`, `*/n`, `a`, `a-b` or `a-b/n` stands for.
    fn span(&self, field: Field, item: Piece<'_>) -> Result<Span, CronError> {
        let (least, most) = field.range();
        if let Some(value) = digits(item.text) {
            let value = self.in_range(field, item, value, (least, most))?;
            return Ok(Span { from: value, to: value, step: 1 });
        }
        let (range, step) = match item.split_once(b'/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        // Sunday is both 0 and 7; `*` counts it once.
        let top = if field == Field::DayOfWeek { 6 } else { most };
        let (from, to) = if range.text == "*" || range.text == "?" {
            (least, top)
        } else if let Some((from, to)) = range.split_once(b'-') {
            if from.text.is_empty() || to.text.is_empty() {
                let accept = "write both ends of the range, such as 1-5";
                return Err(CronError::Value { field, given: range.given(), column: range.column(), accept });
            }
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
        Ok(Span { from, to, step })
    }

    /// What is drawn for an item of a list that holds a `~`.
    #[cfg(feature = "crontab")]
    fn random(&self, field: Field, item: Piece<'_>, below: &mut impl FnMut(u32) -> u32) -> Result<String, CronError> {
        let (range, step) = match item.split_once(b'/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let Some((low, high)) = range.split_once(b'~') else {
            return Err(CronError::Value { field, given: item.given(), column: item.column(), accept: "write 0~30, ~ or ~/10" });
        };
        let (least, most) = field.range();
        let from = if low.text.is_empty() { least } else { self.value(field, low)? };
        // Sunday is both 0 and 7; it is as likely as the other days.
        let top = if field == Field::DayOfWeek { 6 } else { most };
        let to = if high.text.is_empty() { top } else { self.value(field, high)? };
        if from > to {
            let instead = format!("{to}~{from}");
            return Err(CronError::ReversedRange { field, given: range.given(), column: range.column(), instead });
        }
        let values = to - from + 1;
        let Some(step) = step else {
            return Ok((from + below(values)).to_string());
        };
        let step = self.step(field, item, step, from, to)?;
        let first = from + below(values.min(step));
        Ok(if first == to { first.to_string() } else { format!("{first}-{to}/{step}") })
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
        if let Some(value) = digits(text) {
            return self.in_range(field, piece, value, field.range());
        }
        if let Ok(name) = <[u8; 3]>::try_from(text.as_bytes()) {
            let name = name.map(|byte| byte.to_ascii_uppercase());
            if let Some(place) = field.names().iter().position(|known| *known == name) {
                return Ok(place as u32 + u32::from(field == Field::Month));
            }
        }
        if text.bytes().any(|b| b.is_ascii_alphabetic()) && !text.bytes().any(|b| matches!(b, b'*' | b'/' | b'-')) {
            let upper = text.to_ascii_uppercase();
            if let (true, Some(letter)) = (matches!(upper.as_str(), "L" | "LW" | "W"), upper.chars().next()) {
                let vixie = self.dialect == Dialect::Vixie;
                let reason = if vixie { "is not in crontab(5)" } else { "stands in the day fields only" };
                return Err(modifier(field, piece, letter, reason));
            }
            let accept = match field {
                Field::Month => "write JAN to DEC or 1 to 12",
                Field::DayOfWeek => "write SUN to SAT or 0 to 7",
                Field::DayOfMonth if self.dialect == Dialect::Vixie => "write 1 to 31",
                Field::DayOfMonth => "write 1 to 31, L, L-3, 15W or LW",
                _ => "write a number",
            };
            return Err(CronError::Name { field, given: piece.given(), column: piece.column(), accept });
        }
        self.number(field, piece, field.range())
    }

    fn number(&self, field: Field, piece: Piece<'_>, range: (u32, u32)) -> Result<u32, CronError> {
        let Some(value) = digits(piece.text) else {
            let accept = "write a number, a range such as 1-5, a list such as 1,3, or *";
            return Err(CronError::Value { field, given: piece.given(), column: piece.column(), accept });
        };
        self.in_range(field, piece, value, range)
    }

    fn in_range(&self, field: Field, piece: Piece<'_>, value: u32, (least, most): (u32, u32)) -> Result<u32, CronError> {
        if !(least..=most).contains(&value) {
            return Err(CronError::OutOfRange { field, given: piece.given(), column: piece.column(), least, most });
        }
        Ok(value)
    }
}

/// A text of digits alone; the largest number if it stands for a larger one.
#[inline]
fn digits(text: &str) -> Option<u32> {
    let more =
        |value: u32, byte: u8| byte.is_ascii_digit().then(|| value.saturating_mul(10).saturating_add((byte - b'0').into()));
    if text.is_empty() { None } else { text.bytes().try_fold(0, more) }
}

fn modifier(field: Field, piece: Piece<'_>, modifier: char, reason: &'static str) -> CronError {
    CronError::Modifier { field, given: piece.given(), column: piece.column(), modifier, reason }
}
