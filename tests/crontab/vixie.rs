//! Five fields in a zone against cronsim, which follows Debian's cron: tests/data/moving/vixie.tsv, and vixie.py beside it.

use chrono::{DateTime, Utc};
use punctual::{Dialect, Schedule};

use crate::{data, report};

/// The occurrences after an instant, as the table writes them.
fn occurrences(expr: &str, zone: &str, base: &str, most: usize) -> String {
    let Ok(schedule) = Schedule::cron_in(Dialect::Vixie, expr.replace("\\t", "\t")) else { return "refused".to_owned() };
    let schedule = schedule.tz(zone).unwrap();
    let base: DateTime<Utc> = base.parse().unwrap();
    let mut found: Vec<String> =
        schedule.upcoming(base).take(most).map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string()).collect();
    if found.len() < most {
        found.push("never".to_owned());
    }
    found.join(",")
}

/// What is in the rows, so that a table that says little is noticed.
#[derive(Debug, Default)]
struct Counts {
    equal: usize,
    refused: usize,
    never: usize,
    across_a_change: usize,
    both_days: usize,
}

#[test]
fn occurrences_are_debians() {
    let named = std::env::var("PUNCTUAL_VIXIE").ok();
    let path = named.clone().unwrap_or_else(|| data("moving/vixie.tsv"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let rows = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    for row in rows {
        let [expr, zone, base, next] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{path}: {row}") };
        let found = occurrences(expr, zone, base, 5);
        if found != next {
            failures.push(format!("{row}\n  found {found}"));
            continue;
        }
        counts.equal += 1;
        counts.refused += usize::from(next == "refused");
        counts.never += usize::from(next.ends_with("never"));
        let fields: Vec<&str> = expr.split([' ', '\\']).filter(|field| !field.is_empty()).collect();
        counts.both_days += usize::from(matches!(fields[..], [_, _, day, _, week] if day != "*" && week != "*"));
        if let (Some(last), Ok(zone)) = (next.rsplit(',').find(|at| *at != "never"), zone.parse::<chrono_tz::Tz>()) {
            let offset = |at: &str| at.parse::<DateTime<Utc>>().ok().map(|at| *at.with_timezone(&zone).offset());
            let crosses = offset(base).zip(offset(last)).is_some_and(|(before, after)| before.to_string() != after.to_string());
            counts.across_a_change += usize::from(crosses);
        }
    }
    println!("{path}: {counts:?}");
    report(&failures);
    let least = Counts { equal: 500, refused: 10, never: 0, across_a_change: 50, both_days: 20 };
    let enough = counts.equal >= least.equal
        && counts.refused >= least.refused
        && counts.across_a_change >= least.across_a_change
        && counts.both_days >= least.both_days;
    assert!(enough, "{counts:?}, where {least:?} would be the least");
}
