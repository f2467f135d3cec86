//! The tables in `tests/data`: what other schedulers do, row by row.
//!
//! Rows on which they agree must come out the same here. Rows on which they disagree are answered by rulings, each named
//! once with the rows it decides. Rows that this library answers otherwise on purpose stand in one table, with the reason.

#[path = "conformance/cron.rs"]
mod cron;
#[path = "conformance/dst.rs"]
mod dst;
#[path = "oracle/fields.rs"]
mod fields;
#[path = "conformance/sched.rs"]
mod sched;
#[path = "conformance/schedule_api.rs"]
mod schedule_api;
#[allow(dead_code)]
#[path = "oracle/walk.rs"]
mod walk;

use std::fmt::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use punctual::Schedule;

/// The rows of a table, each a list of columns, with the header's names left out.
fn table(name: &str, rows: usize) -> Vec<Vec<String>> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let table: Vec<Vec<String>> = lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    assert_eq!(table.len(), rows, "rows in {name}");
    table
}

/// Fails with every row that differs.
fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} rows differ:\n{}", failures.len(), failures.join("\n"));
}

fn instant(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_utc()
}

fn zone(name: &str) -> Tz {
    name.parse().unwrap_or_else(|_| panic!("no zone {name}"))
}

/// A list of instants; `never` at its end says that there are no more.
fn same_instants(schedule: &Schedule, from: &str, expected: &str) -> Result<(), String> {
    let mut after = instant(from);
    for text in expected.split(',') {
        let wanted = (text != "never").then(|| instant(text));
        let got = schedule.next_after(after);
        if got != wanted {
            let got = got.map_or("never".into(), |t| t.to_rfc3339());
            return Err(format!("after {after} expected {text}, got {got}"));
        }
        after = got.unwrap_or(after);
    }
    Ok(())
}

/// The text of a column with its escapes undone.
fn unescaped(text: &str) -> String {
    if text == "(empty string)" {
        return String::new();
    }
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        if let Some(repeat) = rest.strip_prefix("{{") {
            let (body, after) = repeat.split_once("}}").expect("a repeat ends in }}");
            let (count, unit) = body.split_once('*').expect("a repeat is N*TEXT");
            out.push_str(&unescaped(&unit.replace("\\*", "*")).repeat(count.parse().expect("N is a number")));
            rest = after;
        } else if let Some(code) = rest.strip_prefix("\\u{") {
            let (code, after) = code.split_once('}').expect("a code point ends in }");
            out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).expect("a code point"));
            rest = after;
        } else if c == '\\' {
            out.push(match &rest[1..2] {
                "t" => '\t',
                "n" => '\n',
                "r" => '\r',
                "\\" => '\\',
                other => panic!("escape \\{other} in {text}"),
            });
            rest = &rest[2..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The start of a text, for messages about very long ones.
fn start(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        write!(short, "... ({} bytes)", text.len()).unwrap();
    }
    short
}
