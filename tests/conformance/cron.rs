//! `cron_next`, `cron_invalid` and `cron_disputed`.

use punctual::Schedule;

use crate::{report, same_instants, start, table, unescaped, zone};

#[test]
fn cron_next_rows() {
    let failures: Vec<String> = table("cron_next.tsv", 1_017).iter().filter_map(|row| check_next(row).err()).collect();
    report(&failures);
}

fn check_next(row: &[String]) -> Result<(), String> {
    let [id, _, class, expression, tz, from, expected, ..] = row else { panic!("columns: {row:?}") };
    answers(expression, tz, from, expected).map_err(|error| format!("{id} {class} `{expression}` in {tz}: {error}"))
}

fn answers(expression: &str, tz: &str, from: &str, expected: &str) -> Result<(), String> {
    let schedule = Schedule::cron(unescaped(expression)).map_err(|error| format!("refused: {error}"))?;
    same_instants(&schedule.in_zone(zone(tz)), from, expected)
}

#[test]
fn cron_invalid_rows() {
    let wrongly_taken = |row: &Vec<String>| {
        let [id, class, expression, rule, ..] = &row[..] else { panic!("columns: {row:?}") };
        let text = unescaped(expression);
        Schedule::cron(&text).ok().map(|_| format!("{id} {class} `{}` is taken, though {rule}", start(&text)))
    };
    let failures: Vec<String> = table("cron_invalid.tsv", 432).iter().filter_map(wrongly_taken).collect();
    report(&failures);
}

/// What a ruling makes of a row.
enum Answer {
    Refused,
    /// The answer of this implementation.
    As(&'static str),
}

struct Ruling {
    says: &'static str,
    decides: fn(kind: &str, expression: &str) -> bool,
    answer: Answer,
    rows: usize,
}

/// The rulings of the design, in order: the first that decides a row is its ruling.
const RULINGS: [Ruling; 15] = [
    Ruling {
        says: "`l` and `w` in lower case are refused",
        decides: |kind, _| kind == "lowercase-modifier",
        answer: Answer::Refused,
        rows: 12,
    },
    Ruling {
        says: "a step after a single value is refused",
        decides: |kind, _| kind == "single-value-step",
        answer: Answer::Refused,
        rows: 42,
    },
    Ruling {
        says: "a reversed range is refused",
        decides: |kind, _| kind == "reversed-range",
        answer: Answer::Refused,
        rows: 16,
    },
    Ruling {
        says: "an empty list item is refused",
        decides: |kind, _| kind == "empty-list-item",
        answer: Answer::Refused,
        rows: 4,
    },
    Ruling {
        says: "`?` outside the day fields is refused",
        decides: |kind, _| kind == "question-outside-day-fields",
        answer: Answer::Refused,
        rows: 8,
    },
    Ruling {
        says: "a step larger than its field is refused",
        decides: |kind, _| kind == "oversized-step",
        answer: Answer::Refused,
        rows: 7,
    },
    Ruling { says: "`25-L` is refused", decides: |kind, _| kind == "range-to-L", answer: Answer::Refused, rows: 2 },
    Ruling {
        says: "`*` beside other items in a list is refused",
        decides: |_, expression| expression.contains("*,") || expression.contains(",*"),
        answer: Answer::Refused,
        rows: 5,
    },
    Ruling {
        says: "a range with `#`, a bare `L` or a bare `+` as weekday are refused",
        decides: |kind, expression| kind == "bare-L-in-dow" || kind == "plus" || expression.contains("2-4#2"),
        answer: Answer::Refused,
        rows: 3,
    },
    Ruling {
        says: "names only in their field, years from 1970 to 2199",
        decides: |kind, _| kind == "name-range-shifted" || kind == "year-out-of-range",
        answer: Answer::Refused,
        rows: 2,
    },
    Ruling {
        says: "both day fields given: either may match; free only if it is `*` or `?`",
        decides: |kind, _| ["star-bit", "W-with-restricted-dow", "hash-with-dom-or-list"].contains(&kind),
        answer: Answer::As("croner-rs-4.0.3"),
        rows: 46,
    },
    Ruling {
        says: "`31W` in a month without a 31st does not fire",
        decides: |kind, _| kind == "W-day-missing-in-month",
        answer: Answer::As("croner-rs-4.0.3"),
        rows: 11,
    },
    Ruling {
        says: "`L-1` is the day before the last",
        decides: |kind, _| kind == "L-minus-n",
        answer: Answer::As("fugit-1.5.2(as negative days)"),
        rows: 2,
    },
    Ruling {
        says: "`SUN-SUN` is Sunday, as every range of one is its value",
        decides: |kind, _| kind == "sun-sun" || kind == "range-of-one",
        answer: Answer::As("cronie-5f9f16b"),
        rows: 6,
    },
    Ruling {
        says: "`*/2` in years counts from 1970",
        decides: |kind, _| kind == "year-step",
        answer: Answer::As("croner-js-11.0.1"),
        rows: 1,
    },
];

#[test]
fn cron_disputed_rows() {
    let mut decided = [0; RULINGS.len()];
    let mut failures = Vec::new();
    for row in table("cron_disputed.tsv", 167) {
        let [id, kind, _, expression, tz, from, groups, ..] = &row[..] else { panic!("columns: {row:?}") };
        let which = RULINGS.iter().position(|ruling| (ruling.decides)(kind, expression));
        let which = which.unwrap_or_else(|| panic!("no ruling for {id} {kind} `{expression}`"));
        let ruling = &RULINGS[which];
        decided[which] += 1;
        let outcome = match ruling.answer {
            Answer::Refused => match Schedule::cron(unescaped(expression)) {
                Ok(_) => Err("taken".into()),
                Err(_) => Ok(()),
            },
            Answer::As(name) => answers(expression, tz, from, group_of(groups, name)),
        };
        failures.extend(outcome.err().map(|error| format!("{id} `{expression}` ({}): {error}", ruling.says)));
    }
    let counted: Vec<(&str, usize)> = RULINGS.iter().map(|ruling| ruling.says).zip(decided).collect();
    let stated: Vec<(&str, usize)> = RULINGS.iter().map(|ruling| (ruling.says, ruling.rows)).collect();
    assert_eq!(counted, stated, "rows that each ruling decides");
    report(&failures);
}

/// The instants that one implementation gives, from `a,b => instants | c => instants`.
fn group_of<'a>(groups: &'a str, name: &str) -> &'a str {
    let group = groups.split(" | ").filter_map(|group| group.split_once(" => "));
    let mut of_name = group.filter(|(names, _)| names.split(',').any(|other| other == name));
    of_name.next().unwrap_or_else(|| panic!("no answer of {name} in {groups}")).1
}
