//! The three steps: what each makes of what was there before, as the content of a file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::AnyError;
use crate::feed::Quake;
use crate::join::{self, Airport};

/// An earthquake, as a line of CSV.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    time: String,
    magnitude: f64,
    place: String,
    latitude: f64,
    longitude: f64,
    /// The nearest one, once it was looked for, if there is any within 200 km.
    airport: Option<String>,
}

impl Row {
    fn region(&self) -> &str {
        match self.place.rsplit(", ").next() {
            Some("CA") => "California",
            Some("MX") => "Mexico",
            region => region.unwrap_or_default(),
        }
    }
}

/// The earthquakes of a date, in order. The last date of the recording is not over in it, so it does not count.
pub fn extract(recording: &[Quake], date: NaiveDate) -> Result<Vec<u8>, AnyError> {
    let time = |quake: &Quake| DateTime::<Utc>::from_timestamp_millis(quake.time).unwrap_or_default();
    let dates = || recording.iter().map(|quake| time(quake).date_naive());
    let (first, end) = (dates().min().unwrap_or_default(), dates().max().unwrap_or_default());
    if date < first || date >= end {
        let last = end.pred_opt().unwrap_or_default();
        return Err(format!("the recording has the days from {first} to {last}, and no other").into());
    }
    let mut quakes: Vec<&Quake> = recording.iter().filter(|quake| time(quake).date_naive() == date).collect();
    quakes.sort_by_key(|quake| quake.time);
    let row = |quake: &Quake| Row {
        time: time(quake).to_rfc3339_opts(SecondsFormat::Secs, true),
        magnitude: quake.magnitude.unwrap_or_default(),
        place: quake.place.clone(),
        latitude: quake.latitude,
        longitude: quake.longitude,
        airport: None,
    };
    write(quakes.into_iter().map(row))
}

/// The same, each with its nearest airport.
pub fn locate(extracted: &Path, airports: &[Airport]) -> Result<Vec<u8>, AnyError> {
    write(read(extracted)?.into_iter().map(|row| {
        let near = join::near(airports, row.latitude, row.longitude);
        let nearest = near.into_iter().min_by(|(_, a), (_, b)| a.total_cmp(b));
        Row { airport: nearest.map(|(airport, _)| airport.iata.clone()), ..row }
    }))
}

/// What a person reads.
pub fn report(located: &Path, date: NaiveDate) -> Result<Vec<u8>, AnyError> {
    let rows = read(located)?;
    let notable = rows.iter().filter(|row| row.magnitude >= join::NOTABLE).count();
    let mut text = format!("# Earthquakes on {date}\n\n");
    writeln!(text, "{} in all, {notable} of magnitude {} or more.", rows.len(), join::NOTABLE)?;
    if let Some(Row { time, magnitude, place, airport, .. }) = rows.iter().max_by(|a, b| a.magnitude.total_cmp(&b.magnitude)) {
        let airport = airport.as_ref().map(|airport| format!(", near the airport {airport}")).unwrap_or_default();
        writeln!(text, "The strongest: magnitude {magnitude:.1}, {place}{airport}, at {time}.")?;
    }

    let mut regions: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for row in &rows {
        let (count, strongest) = regions.entry(row.region()).or_insert((0, f64::MIN));
        (*count, *strongest) = (*count + 1, strongest.max(row.magnitude));
    }
    let mut regions: Vec<_> = regions.into_iter().collect();
    regions.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    writeln!(text, "\n| region | earthquakes | strongest |\n| --- | ---: | ---: |")?;
    for (region, (count, strongest)) in &regions {
        writeln!(text, "| {region} | {count} | {strongest:.1} |")?;
    }
    Ok(text.into_bytes())
}

fn read(file: &Path) -> Result<Vec<Row>, AnyError> {
    Ok(csv::Reader::from_path(file)?.into_deserialize().collect::<Result<_, _>>()?)
}

fn write(rows: impl Iterator<Item = Row>) -> Result<Vec<u8>, AnyError> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.serialize(row)?;
    }
    Ok(csv.into_inner()?)
}
