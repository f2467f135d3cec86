//! `dst` and `dst_disputed`: what happens where a zone changes its offset.

use punctual::Schedule;

use crate::fields::{self, Fields};
use crate::walk::{Clock, DAY, Fold, Gap, Leaf, Tree, Zone};
use crate::{instant, report, same_instants, table, zone};

/// A rule of the tables: `cron EXPRESSION`, or `daily at HH:MM`.
fn schedule_of(rule: &str) -> Schedule {
    let schedule = match rule.strip_prefix("daily at ") {
        Some(time) => Schedule::every(1).day().at(time).build(),
        None => Schedule::cron(rule.strip_prefix("cron ").expect("cron or daily")),
    };
    schedule.unwrap_or_else(|error| panic!("{rule}: {error}"))
}

#[test]
fn dst_rows() {
    let check = |row: &Vec<String>| {
        let [id, rule, tz, from, class, transition, expected, ..] = &row[..] else { panic!("columns: {row:?}") };
        let answer = same_instants(&schedule_of(rule).in_zone(zone(tz)), from, expected);
        answer.err().map(|error| format!("{id} {class} {rule} in {tz} ({transition}): {error}"))
    };
    let failures: Vec<String> = table("dst.tsv", 785).iter().filter_map(check).collect();
    report(&failures);
}

struct Ruling {
    says: &'static str,
    classes: &'static [&'static str],
    running: bool,
    rows: usize,
    /// Rows in which some implementation gives the ruling's answer. The oracle gives it for all.
    witnessed: usize,
}

const RULINGS: [Ruling; 3] = [
    Ruling {
        says: "named seconds, minutes and hours are fixed: once, right after the gap, at the first pass",
        classes: &[
            "fixed-date",
            "fixed-dow",
            "fixed-sec6",
            "fixed:last-minute",
            "fixed:middle",
            "from-last-second-before",
            "from-second-pass-before",
            "nick-daily",
            "nick-weekly",
        ],
        running: false,
        rows: 38,
        witnessed: 38,
    },
    Ruling {
        says: "lists and ranges name their values, so they are fixed too",
        classes: &["hour-list", "hour-range", "minute-list"],
        running: false,
        rows: 84,
        witnessed: 84,
    },
    Ruling {
        says: "a field that begins with `*` is running: it skips the gap and runs in both passes",
        classes: &["hour-step", "nick-hourly", "wild-hour", "wild-hour-mid"],
        running: true,
        rows: 8,
        witnessed: 8,
    },
];

#[test]
fn dst_disputed_rows() {
    let mut counts = [(0, 0); RULINGS.len()];
    let mut failures = Vec::new();
    for row in table("dst_disputed.tsv", 130) {
        let [id, rule, tz, from, class, transition, groups, ..] = &row[..] else { panic!("columns: {row:?}") };
        let which = RULINGS.iter().position(|ruling| ruling.classes.contains(&class.as_str()));
        let which = which.unwrap_or_else(|| panic!("no ruling for {id} {class}"));
        let answers: Vec<Vec<i64>> = groups.split(" | ").filter_map(instants).collect();
        let longest = answers.iter().map(Vec::len).max().expect("an answer");
        let expected = walked(rule, tz, from, RULINGS[which].running, longest);
        counts[which].0 += 1;
        counts[which].1 += usize::from(answers.iter().any(|answer| expected.starts_with(answer)));
        let got: Vec<i64> =
            schedule_of(rule).in_zone(zone(tz)).upcoming(instant(from)).take(longest).map(|t| t.timestamp()).collect();
        if got != expected {
            let shown = |list: &[i64]| {
                list.iter().map(|t| chrono::DateTime::from_timestamp(*t, 0).unwrap().to_string()).collect::<Vec<_>>()
            };
            failures.push(format!("{id} {rule} in {tz} ({transition}): expected {:?}, got {:?}", shown(&expected), shown(&got)));
        }
    }
    let counted: Vec<(&str, usize, usize)> =
        RULINGS.iter().zip(counts).map(|(ruling, (rows, seen))| (ruling.says, rows, seen)).collect();
    let stated: Vec<(&str, usize, usize)> = RULINGS.iter().map(|ruling| (ruling.says, ruling.rows, ruling.witnessed)).collect();
    assert_eq!(counted, stated, "rows that each ruling decides, and those in which an implementation agrees");
    report(&failures);
}

/// The instants of one group of answers; `None` for one that failed.
fn instants(group: &str) -> Option<Vec<i64>> {
    let list = group.split_once(" => ").expect("names => instants").1;
    let instant = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp());
    list.split(',').map(instant).collect()
}

/// What the oracle finds for a cron rule.
fn walked(rule: &str, tz: &str, from: &str, running: bool, most: usize) -> Vec<i64> {
    let Fields { dates, time, running: starred } = fields::read(rule.strip_prefix("cron ").expect("disputed rules are cron"));
    assert_eq!(running, starred, "{rule}");
    let (gap, fold) = if running { (Gap::Skip, Fold::Both) } else { (Gap::Next, Fold::First) };
    let leaf = Leaf::new(Zone::new(zone(tz)), Clock::Wall { dates, time, gap, fold });
    let from = instant(from).timestamp();
    Tree::Leaf(Box::new(leaf)).walk(from + 1, from + 900 * DAY, most, &mut usize::MAX.clone()).0
}
