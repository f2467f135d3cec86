//! The `[Timer]` section: when.
//!
//! Calendar events carry over as they are. Of the spans, those since boot or since the timer's start become one run so long after
//! registration, since a job knows no boot; those since the unit's last start or end become an interval.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::Notes;
use super::span::{self, Span};
use super::unit::{Entry, Unit, boolean};
use crate::builder::bounded;
use crate::import::NoteKind;
use crate::schedule::{Rhythm, Schedule};

/// systemd's own accuracy, if a timer says nothing of it.
const USUAL_ACCURACY: Duration = Duration::from_secs(60);

const SECTION: &str = "Timer";

/// What a timer says.
pub(super) struct Timing {
    pub(super) schedule: Schedule,
    /// The unit that it starts, if it names one.
    pub(super) unit: Option<String>,
}

/// What runs a timer off: an empty assignment to any of them takes back all.
const TRIGGERS: [&str; 6] = ["OnCalendar", "OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec"];

/// What is read here.
const KNOWN: [&str; 15] = [
    "OnCalendar",
    "OnActiveSec",
    "OnBootSec",
    "OnStartupSec",
    "OnUnitActiveSec",
    "OnUnitInactiveSec",
    "AccuracySec",
    "RandomizedDelaySec",
    "FixedRandomDelay",
    "WakeSystem",
    "OnClockChange",
    "OnTimezoneChange",
    "DeferReactivation",
    "Persistent",
    "Unit",
];

/// The most that a timer may have of them.
const MOST_TRIGGERS: usize = 50;

/// The least spans of each kind.
#[derive(Default)]
struct Spans {
    /// Once, counted from when the timer comes up.
    first: Option<Duration>,
    /// Longer ones of that kind.
    further: BTreeSet<Duration>,
    since_boot: bool,
    since_start: Option<Duration>,
    since_end: Option<Duration>,
}

/// Reads the section; `None`, with a note, if nothing would ever run.
pub(super) fn read(unit: &Unit, file: &Path, notes: &mut Notes) -> Option<Timing> {
    let (calendars, spans) = triggers(unit, notes);
    let whole = crate::import::Place { file: file.to_owned(), ..Default::default() };
    let period = period(&spans, !calendars.is_empty(), &whole, notes);
    let is_calendar = !calendars.is_empty();
    let parts: Vec<Schedule> = calendars.into_iter().chain(period).collect();
    let mut schedule = match &parts[..] {
        [] => {
            notes.add(whole, NoteKind::Refused, "the timer says no time at which it could run".to_owned());
            return None;
        }
        [one] => one.clone(),
        _ => Schedule::new(Rhythm::AnyOf(parts)),
    };

    let mut length = |key: &str| {
        let entry = unit.last(SECTION, key)?;
        match span::parse(&entry.value) {
            Some(Span::Micros(micros)) => Some(Duration::from_micros(micros)),
            Some(Span::Infinite) | None => {
                notes.not_read(entry, "a time span such as `1h 30min`");
                None
            }
        }
    };
    let accuracy = length("AccuracySec").unwrap_or(USUAL_ACCURACY);
    let delay = length("RandomizedDelaySec").unwrap_or_default();
    // A microsecond is how systemd spells `at once`.
    let slack = if accuracy <= Duration::from_micros(1) { Duration::ZERO } else { accuracy };
    schedule = schedule.with(|spec| (spec.slack, spec.jitter) = (bounded(slack), bounded(delay)));

    for key in ["FixedRandomDelay", "WakeSystem", "OnClockChange", "OnTimezoneChange", "DeferReactivation"] {
        let Some(entry) = unit.last(SECTION, key).filter(|entry| boolean(&entry.value) == Some(true)) else { continue };
        match key {
            "FixedRandomDelay" if delay.is_zero() => {}
            "FixedRandomDelay" => notes.at(
                entry,
                NoteKind::Changed,
                "each occurrence has a random delay of its own, the same at each start, where systemd has one for all".to_owned(),
            ),
            "WakeSystem" => notes.at(entry, NoteKind::NotCarried, "a job does not wake the machine".to_owned()),
            key => notes.at(entry, NoteKind::NotCarried, format!("a job knows nothing of {key}=")),
        }
    }
    let mut rest = BTreeSet::new();
    for entry in unit.section(SECTION).filter(|entry| !KNOWN.contains(&entry.key.as_str()) && !entry.key.starts_with("X-")) {
        if rest.insert(entry.key.as_str()) {
            notes.at(entry, NoteKind::NotCarried, format!("{}= is not known, or says nothing for a job", entry.key));
        }
    }
    let persistent = unit.last(SECTION, "Persistent").and_then(|entry| boolean(&entry.value)).unwrap_or(false);
    if is_calendar && !persistent {
        let text =
            "what passes while the program is down is made up for if it has a store; without Persistent= systemd forgets it";
        notes.add(whole, NoteKind::Changed, text.to_owned());
    }
    Some(Timing { schedule, unit: unit.last(SECTION, "Unit").map(|entry| entry.value.clone()) })
}

fn triggers(unit: &Unit, notes: &mut Notes) -> (Vec<Schedule>, Spans) {
    let mut entries: Vec<&Entry> = Vec::new();
    for entry in unit.section(SECTION).filter(|entry| TRIGGERS.contains(&entry.key.as_str())) {
        if entry.value.is_empty() { entries.clear() } else { entries.push(entry) }
    }
    if let Some(entry) = entries.get(MOST_TRIGGERS) {
        notes.at(entry, NoteKind::NotCarried, format!("the first {MOST_TRIGGERS} times are taken, and no more"));
        entries.truncate(MOST_TRIGGERS);
    }
    let mut calendars = Vec::new();
    let mut spans = Spans::default();
    for entry in entries {
        if entry.key == "OnCalendar" {
            match Schedule::on_calendar(&entry.value) {
                Ok(schedule) if calendars.contains(&schedule) => {}
                Ok(schedule) => calendars.push(schedule),
                Err(error) => notes.at(entry, NoteKind::NotCarried, error.to_string()),
            }
            continue;
        }
        let Some(span) = span::parse(&entry.value) else {
            notes.not_read(entry, "a time span such as `1h 30min`");
            continue;
        };
        // One that never ends never runs.
        let Some(span) = span.duration() else { continue };
        let least = |known: &mut Option<Duration>| *known = Some(known.map_or(span, |known| known.min(span)));
        match entry.key.as_str() {
            "OnUnitActiveSec" => least(&mut spans.since_start),
            "OnUnitInactiveSec" => least(&mut spans.since_end),
            key => {
                spans.since_boot |= key != "OnActiveSec";
                let first = spans.first.map_or(span, |first| first.min(span));
                spans.further.extend([span].into_iter().chain(spans.first).filter(|span| *span != first));
                spans.first = Some(first);
            }
        }
    }
    (calendars, spans)
}

/// A length of time as schedules say it.
fn said(length: Duration) -> String {
    let text = Schedule::once_after(length).to_string();
    text.strip_prefix("once after ").map(str::to_owned).unwrap_or(text)
}

/// What the spans make.
fn period(spans: &Spans, beside_calendar: bool, place: &crate::import::Place, notes: &mut Notes) -> Option<Schedule> {
    let mut changed = |text: String| notes.add(place.clone(), NoteKind::Changed, text);
    // The end of a run is never before its start, so a longer span since the end has no say.
    let since_end = spans.since_end.filter(|end| spans.since_start.is_none_or(|start| *end < start));
    if let (Some(_), Some(_)) = (spans.since_start, since_end) {
        changed("OnUnitActiveSec= is left out: OnUnitInactiveSec= is the shorter of the two".to_owned());
    }
    let boot = if spans.since_boot { "the boot" } else { "the timer's start" };
    let all = || spans.first.into_iter().chain(spans.further.iter().copied()).map(Schedule::once_after).reduce(Schedule::or);
    let Some(period) = since_end.or(spans.since_start) else {
        let first = spans.first?;
        if spans.since_boot {
            changed(format!("the run {} after {boot} comes that long after the job is registered", said(first)));
        }
        return all();
    };
    if !spans.further.is_empty() {
        let list: Vec<String> = spans.further.iter().map(|span| said(*span)).collect();
        changed(format!("beside what repeats, one first run is enough: those after {} are left out", list.join(", ")));
    }
    // It would run without end.
    if period.is_zero() {
        changed("a span of 0 would run without end: it is left out".to_owned());
        return all();
    }
    let interval = match Schedule::every_period(period).build() {
        Ok(interval) => interval,
        Err(error) => {
            changed(error.to_string());
            return all();
        }
    };
    if beside_calendar {
        changed(format!("the span of {} counts from when the job is registered, not from its last run", said(period)));
        return Some(spans.first.map_or(interval.clone(), |first| Schedule::once_after(first).or(interval)));
    }
    let is_from_end = since_end.is_some();
    let interval = if is_from_end { interval.with(|spec| spec.after_completion = true) } else { interval };
    let (each, boot) = (said(period), format!("not {} after {boot}", said(spans.first.unwrap_or_default())));
    match spans.first {
        None => {
            changed(format!(
                "nothing but its unit's own start sets this timer going; the job runs {each} after it is registered"
            ));
            Some(interval)
        }
        Some(first) if first == period && !spans.since_boot => Some(interval),
        Some(first) if first.is_zero() => Some(interval.with(|spec| spec.immediately = true)),
        Some(first) if first >= period => {
            changed(format!("the first run comes {each} after the job is registered, {boot}"));
            Some(interval)
        }
        // What counts from the end of a run stands alone, so its first run cannot be put off.
        Some(_) if is_from_end => {
            changed(format!("the first run comes as soon as the job is registered, {boot}"));
            Some(interval.with(|spec| spec.immediately = true))
        }
        Some(first) => {
            let text = format!("the first run comes {} after the job is registered, {boot}; ", said(first));
            changed(text + &format!("those every {each} count from its registration too, not from the run before"));
            Some(Schedule::once_after(first).or(interval))
        }
    }
}
