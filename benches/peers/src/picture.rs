//! What an idle poll and a fired job cost over the number of jobs, log-log, as an SVG that can be read on light and dark pages.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::cases::{self, Options};
use crate::measure::{Case, Contender, Unit};
use crate::table::shown;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// The lines, from the first drawn to the last one, which lies above: name, colour, width.
///
/// The colours stand out on white by 3 to 1 at least, and so they do on nearly black.
const LINES: [(&str, RGBColor, u32); 9] = [
    ("Instant::now", RGBColor(134, 142, 150), 2),
    ("boxed call", RGBColor(170, 130, 90), 2),
    ("BinaryHeap pop, push", RGBColor(120, 120, 190), 2),
    ("APScheduler", RGBColor(138, 122, 31), 2),
    ("Python's schedule", RGBColor(194, 71, 155), 2),
    ("tokio-cron-scheduler", RGBColor(156, 95, 208), 2),
    ("job_scheduler_ng", RGBColor(20, 138, 138), 2),
    ("skedge", RGBColor(43, 138, 62), 2),
    ("clokwerk", RGBColor(47, 126, 216), 2),
];
const PUNCTUAL: (&str, RGBColor, u32) = ("punctual", RGBColor(217, 72, 15), 4);

const GREY: RGBColor = RGBColor(122, 122, 122);
const SIZE: (u32, u32) = (1000, 520);
const LEGEND: u32 = 76;

/// Text and grid follow the reader's scheme where styles are heeded; elsewhere grey must do.
const STYLE: &str = "<style>text { fill: #1f2328; font-family: system-ui, sans-serif } \
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }</style>";

/// Points of each line: jobs, and nanoseconds.
type Lines = BTreeMap<String, Vec<(f64, f64)>>;

/// # Errors
///
/// What went wrong with the file.
pub fn draw(file: &Path, rounds: usize, options: &Options) -> Drawn {
    let idle = measured("idle poll", rounds, options, cases::idle);
    let firing = measured("fire", rounds, options, cases::firing);
    let mut svg = String::new();
    plot(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), &idle, &firing)?;
    let opened = svg.find('>').ok_or("no SVG")? + 1;
    svg.insert_str(opened, STYLE);
    std::fs::write(file, svg)?;
    Ok(())
}

fn measured(what: &str, rounds: usize, options: &Options, contenders: fn(usize, &Options) -> Vec<Contender>) -> Lines {
    let mut lines = Lines::new();
    for jobs in (0..if options.quick { 6 } else { 7 }).map(|power| 10_usize.pow(power)) {
        eprintln!("{what}, {jobs} jobs ..");
        let asked = options.clone();
        let outcome = Case::new("", what, "", move || contenders(jobs, &asked)).run(rounds);
        for (name, _, figures) in outcome.results {
            match figures {
                Ok(figures) => lines.entry(name).or_default().push((jobs as f64, figures.median)),
                Err(why) => eprintln!("  {name}: {why}"),
            }
        }
    }
    lines
}

fn plot(area: &Area<'_>, idle: &Lines, firing: &Lines) -> Drawn {
    let (top, charts) = area.split_vertically(LEGEND);
    let has = |name: &str| idle.contains_key(name) || firing.contains_key(name);
    legend(&top, has)?;
    let [left, right]: [Area<'_>; 2] = charts.split_evenly((1, 2)).try_into().map_err(|_| "two charts")?;
    chart(&left, "an idle poll", idle)?;
    chart(&right, "a fired job, all due at once, every second", firing)
}

fn all_lines() -> impl Iterator<Item = (&'static str, RGBColor, u32)> {
    LINES.into_iter().chain([PUNCTUAL])
}

fn text_style(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&GREY)
}

/// In rows of five, punctual first.
fn legend(area: &Area<'_>, has: impl Fn(&str) -> bool) -> Drawn {
    let mut named: Vec<_> = all_lines().filter(|(name, ..)| has(name)).collect();
    named.reverse();
    let style = text_style(15).pos(Pos::new(HPos::Left, VPos::Center));
    for (place, (name, colour, width)) in named.into_iter().enumerate() {
        let (x, y) = (20 + 195 * (place as i32 % 5), 22 + 26 * (place as i32 / 5));
        let line = ShapeStyle::from(colour).stroke_width(width);
        area.draw(&PathElement::new([(x, y), (x + 26, y)], line))?;
        area.draw(&Circle::new((x + 13, y), 4, colour.filled()))?;
        area.draw(&Text::new(name, (x + 33, y), style.clone()))?;
    }
    Ok(())
}

fn chart(area: &Area<'_>, title: &str, lines: &Lines) -> Drawn {
    let points = || lines.values().flatten();
    let jobs = points().fold(10.0, |most: f64, (jobs, _)| most.max(*jobs));
    let least = points().fold(1e3, |least: f64, (_, nanos)| least.min(*nanos));
    let most = points().fold(1e3, |most: f64, (_, nanos)| most.max(*nanos));
    let decade = |nanos: f64, round: fn(f64) -> f64| 10f64.powf(round(nanos.log10()));
    let costs = decade(least, f64::floor)..decade(most, f64::ceil);
    let mut chart = ChartBuilder::on(area)
        .caption(title, text_style(18))
        .margin(12)
        .margin_right(36)
        .x_label_area_size(44)
        .y_label_area_size(68)
        .build_cartesian_2d((1.0..jobs).log_scale(), costs.log_scale())?;
    chart
        .configure_mesh()
        .x_labels(8)
        .y_labels(12)
        .bold_line_style(GREY.mix(0.35))
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .label_style(text_style(14))
        .axis_desc_style(text_style(15))
        .x_desc("jobs")
        .x_label_formatter(&|jobs| crate::cases::many(jobs.round() as usize))
        .y_label_formatter(&|nanos| round_figure(*nanos))
        .draw()?;
    for (name, colour, width) in all_lines() {
        let Some(points) = lines.get(name) else { continue };
        let line = ShapeStyle::from(colour).stroke_width(width);
        chart.draw_series(LineSeries::new(points.iter().copied(), line))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, width + 1, colour.filled())))?;
    }
    Ok(())
}

/// A power of ten, without the digits after the point.
fn round_figure(nanos: f64) -> String {
    shown(nanos, Unit::Time).replace(".00", "").replace(".0", "")
}
