//! The table: a row a goal, in markdown.

use crate::measure::{Figures, Goal, Kind, Outcome, Unit};

pub const HEAD: &str = "\
| case | floor: min / median | peers: min / median | punctual: min / median | goal | is, by min / median | held |
| --- | --- | --- | --- | --- | --- | --- |";

/// The rows of one case; one more for each goal beyond the first.
pub fn rows(outcome: &Outcome) -> String {
    let columns = [Kind::Floor, Kind::Peer, Kind::Punctual].map(|kind| column(outcome, kind));
    let goals: Vec<String> = outcome.goals.iter().map(|goal| verdict(outcome, *goal)).collect();
    let [floors, peers, punctual] = &columns;
    let first = goals.first().map_or("| | |", String::as_str);
    let mut rows = format!("| {} | {floors} | {peers} | {punctual} {first} |\n", outcome.title);
    for goal in goals.iter().skip(1) {
        rows += &format!("| the same | | | {goal} |\n");
    }
    rows
}

/// Its own figure for other work stands beside the one it is a measure of, and nobody's name before the only one.
fn column(outcome: &Outcome, kind: Kind) -> String {
    let belongs = |of: Kind| of == kind || (kind == Kind::Punctual && of == Kind::Own);
    let mut cells: Vec<(f64, String)> = Vec::new();
    for (name, of, figures) in outcome.results.iter().filter(|(_, of, _)| belongs(*of)) {
        let name = if *of == Kind::Punctual { String::new() } else { format!("{name} ") };
        let order = figures.as_ref().map_or(f64::MAX, |figures| figures.median);
        let order = if *of == Kind::Own { f64::INFINITY } else { order };
        cells.push((order, name + &cell(figures, outcome.unit)));
    }
    cells.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    cells.into_iter().map(|(_, cell)| cell).collect::<Vec<_>>().join("<br>")
}

fn cell(figures: &Result<Figures, String>, unit: Unit) -> String {
    match figures {
        Ok(Figures { min, .. }) if unit == Unit::Bytes => shown(*min, unit),
        Ok(Figures { min, median }) => format!("{} / {}", shown(*min, unit), shown(*median, unit)),
        Err(why) => format!("({why})"),
    }
}

fn verdict(outcome: &Outcome, goal: Goal) -> String {
    let (measure, most, text) = match goal {
        Goal::Most(most) => (Some(Figures { min: 1.0, median: 1.0 }), most, format!("at most {}", shown(most, outcome.unit))),
        Goal::Times(times, name) => (outcome.figures(name), times, format!("{times} x {name}")),
    };
    let (Some(measure), Some(own)) = (measure, outcome.figures("punctual")) else {
        return format!("| {text} | | nothing to compare");
    };
    let (min, median) = (own.min / measure.min, own.median / measure.median);
    let held = match (min <= most, median <= most) {
        (true, true) => "yes",
        (false, false) => "no",
        (true, false) => "by min only",
        (false, true) => "by median only",
    };
    let is = match goal {
        Goal::Times(..) => format!("{min:.2} / {median:.2} x"),
        Goal::Most(_) => cell(&Ok(own), outcome.unit),
    };
    format!("| {text} | {is} | {held}")
}

/// Three digits or so, in the unit that people would say it in.
pub fn shown(figure: f64, unit: Unit) -> String {
    if unit == Unit::Bytes {
        return format!("{figure:.0} B");
    }
    let (figure, unit) = match figure {
        ..1e3 => (figure, "ns"),
        ..1e6 => (figure / 1e3, "µs"),
        ..1e9 => (figure / 1e6, "ms"),
        _ => (figure / 1e9, "s"),
    };
    let digits = if figure < 9.95 { 2 } else { usize::from(figure < 99.5) };
    format!("{figure:.digits$} {unit}")
}
