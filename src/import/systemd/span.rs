//! systemd's time spans: `2h 30min`, `55s500ms`, `infinity`.
//!
//! As `parse_sec` of systemd 252 reads them: numbers with units or, for seconds, without, one after the other, with or without
//! spaces; each may have a fraction, of which each digit is cut off below the microsecond by itself.

use std::time::Duration;

/// A span of time, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    Micros(u64),
    Infinite,
}

impl Span {
    /// `None` if it never ends.
    pub(crate) fn duration(self) -> Option<Duration> {
        match self {
            Span::Micros(micros) => Some(Duration::from_micros(micros)),
            Span::Infinite => None,
        }
    }
}

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;
const MONTH: u64 = 2_629_800 * SECOND;
const YEAR: u64 = 31_557_600 * SECOND;

/// The first that fits is taken, as systemd does: `1mon` is a minute, and `on` is no unit.
const UNITS: [(&str, u64); 29] = [
    ("seconds", SECOND),
    ("second", SECOND),
    ("sec", SECOND),
    ("s", SECOND),
    ("minutes", 60 * SECOND),
    ("minute", 60 * SECOND),
    ("min", 60 * SECOND),
    ("months", MONTH),
    ("month", MONTH),
    ("M", MONTH),
    ("msec", 1000),
    ("ms", 1000),
    ("m", 60 * SECOND),
    ("hours", 3600 * SECOND),
    ("hour", 3600 * SECOND),
    ("hr", 3600 * SECOND),
    ("h", 3600 * SECOND),
    ("days", DAY),
    ("day", DAY),
    ("d", DAY),
    ("weeks", 7 * DAY),
    ("week", 7 * DAY),
    ("w", 7 * DAY),
    ("years", YEAR),
    ("year", YEAR),
    ("y", YEAR),
    ("usec", 1),
    ("us", 1),
    // Both letters that look like it: U+03BC and U+00B5.
    ("\u{3bc}s", 1),
];
const OTHER_MICROSECOND: &str = "\u{b5}s";

const SPACES: [char; 4] = [' ', '\t', '\n', '\r'];

/// Reads a time span; `None` if systemd would refuse it.
pub(crate) fn parse(text: &str) -> Option<Span> {
    let mut rest = text.trim_start_matches(SPACES);
    if let Some(end) = rest.strip_prefix("infinity") {
        return end.trim_start_matches(SPACES).is_empty().then_some(Span::Infinite);
    }
    let mut total: u64 = 0;
    let mut is_first = true;
    loop {
        rest = rest.trim_start_matches(SPACES);
        if rest.is_empty() {
            return (!is_first).then_some(Span::Micros(total));
        }
        is_first = false;
        // strtoll(3) takes a sign.
        let (number, after) = digits(rest.strip_prefix('+').unwrap_or(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None if number.is_empty() => return None,
            None => ("", after),
        };
        let has_point = rest.len() > after.len() && rest[..rest.len() - after.len()].contains('.');
        if has_point && fraction.is_empty() {
            return None;
        }
        let (unit, end) = unit(after);
        if end.len() == after.len() && !end.is_empty() {
            return None;
        }
        rest = end;
        let whole: i64 = if number.is_empty() { 0 } else { number.parse().ok()? };
        // All ones stand for infinity.
        let below = |part: u64, limit: u64| (part < limit).then_some(part);
        let part = below(whole as u64, u64::MAX / unit)? * unit;
        total += below(part, u64::MAX - total)?;
        let mut place = unit / 10;
        for digit in fraction.bytes() {
            let part = u64::from(digit - b'0') * place;
            total += below(part, u64::MAX - total)?;
            place /= 10;
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// A unit's length, or a second, and what follows it.
fn unit(text: &str) -> (u64, &str) {
    let start = text.trim_start_matches(SPACES);
    let found = UNITS.iter().find_map(|(name, length)| start.strip_prefix(name).map(|end| (*length, end)));
    let found = found.or_else(|| start.strip_prefix(OTHER_MICROSECOND).map(|end| (1, end)));
    found.unwrap_or((SECOND, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_what_systemd_makes_of_them() {
        let table = include_str!("../../../tests/data/moving/timespans.tsv");
        let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
        let mut failures = Vec::new();
        let mut count = 0;
        for row in rows {
            let Some((text, micros)) = row.split_once('\t') else { panic!("{row:?}: two fields are expected") };
            let text = if text == "(empty string)" { "" } else { text };
            let expected = match micros {
                "refused" => None,
                "18446744073709551615" => Some(Span::Infinite),
                micros => Some(Span::Micros(micros.parse().unwrap())),
            };
            if parse(text) != expected {
                failures.push(format!("{row}: {:?}", parse(text)));
            }
            count += 1;
        }
        assert!(count > 250, "{count} rows");
        assert!(failures.is_empty(), "{} of {count} rows differ:\n{}", failures.len(), failures.join("\n"));
    }

    #[test]
    fn hostile_spans_are_read_in_one_pass() {
        for text in [
            "1".repeat(100_000),
            ".1 ".repeat(50_000),
            "1y".repeat(600_000),
            " ".repeat(100_000),
            format!("1.{}", "9".repeat(100_000)),
        ] {
            let _ = parse(&text);
        }
    }
}
