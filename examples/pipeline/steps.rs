//! The three steps: what each makes of what was there before, as the content of a file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::AnyError;
use crate::feed::Quake;
use crate::join::{self, Airport};

/// How many regions a report names.
const REGIONS: usize = 10;

#[derive(Debug, Serialize, Deserialize)]
struct Extracted {
    time: String,
    magnitude: f64,
    place: String,
    latitude: f64,
    longitude: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Located {
    time: String,
    magnitude: f64,
    place: String,
    region: String,
    /// The nearest one, if there is any within 200 km.
    airport: Option<String>,
    kilometres: Option<f64>,
}

/// The earthquakes of a date, in order. Those of the last date of the recording are not whole.
pub fn extract(recording: &[Quake], date: NaiveDate) -> Result<Vec<u8>, AnyError> {
    let time = |quake: &Quake| DateTime::<Utc>::from_timestamp_millis(quake.time).unwrap_or_default();
    let dates = || recording.iter().map(|quake| time(quake).date_naive());
    let (first, end) = (dates().min().unwrap_or_default(), dates().max().unwrap_or_default());
    if !(first..end).contains(&date) {
        let last = end.pred_opt().unwrap_or_default();
        return Err(format!("the recording has the days from {first} to {last}, and no other").into());
    }
    let mut quakes: Vec<&Quake> = recording.iter().filter(|quake| time(quake).date_naive() == date).collect();
    quakes.sort_by_key(|quake| quake.time);
    csv(quakes.into_iter().map(|quake| Extracted {
        time: time(quake).to_rfc3339_opts(SecondsFormat::Secs, true),
        magnitude: quake.magnitude.unwrap_or_default(),
        place: quake.place.clone(),
        latitude: quake.latitude,
        longitude: quake.longitude,
    }))
}

/// The same, with the region and the nearest airport of each.
pub fn locate(extracted: &Path, airports: &[Airport]) -> Result<Vec<u8>, AnyError> {
    let located = read(extracted)?.into_iter().map(|quake: Extracted| {
        let near = join::near(airports, quake.latitude, quake.longitude);
        let nearest = near.into_iter().min_by(|(_, a), (_, b)| a.total_cmp(b));
        let region = match quake.place.rsplit(", ").next() {
            Some("CA") => "California",
            Some("MX") => "Mexico",
            Some(region) => region,
            None => "",
        };
        Located {
            region: region.to_owned(),
            airport: nearest.map(|(airport, _)| airport.iata.clone()),
            kilometres: nearest.map(|(_, kilometres)| kilometres.round()),
            time: quake.time,
            magnitude: quake.magnitude,
            place: quake.place,
        }
    });
    csv(located)
}

/// What a person reads.
pub fn report(located: &Path, date: NaiveDate) -> Result<Vec<u8>, AnyError> {
    let quakes: Vec<Located> = read(located)?;
    let mut text = format!("# Earthquakes on {date}\n\n");
    let notable = quakes.iter().filter(|quake| quake.magnitude >= join::NOTABLE).count();
    writeln!(text, "{} in all, {notable} of magnitude {} or more.", quakes.len(), join::NOTABLE)?;
    if let Some(Located { time, magnitude, place, airport, kilometres, .. }) =
        quakes.iter().max_by(|a, b| a.magnitude.total_cmp(&b.magnitude))
    {
        writeln!(text, "The strongest: magnitude {magnitude:.1}, {place}, at {time}.")?;
        if let (Some(airport), Some(kilometres)) = (airport, kilometres) {
            writeln!(text, "It was {kilometres} km from {airport}.")?;
        }
    }

    let mut regions: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for quake in &quakes {
        let (count, strongest) = regions.entry(&quake.region).or_insert((0, f64::MIN));
        (*count, *strongest) = (*count + 1, strongest.max(quake.magnitude));
    }
    let mut regions: Vec<_> = regions.into_iter().collect();
    // Where there are as many, by name, as they are.
    regions.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    writeln!(text, "\n| region | earthquakes | strongest |\n| --- | ---: | ---: |")?;
    for (region, (count, strongest)) in regions.iter().take(REGIONS) {
        writeln!(text, "| {region} | {count} | {strongest:.1} |")?;
    }
    let rest = regions.iter().skip(REGIONS).map(|(_, (count, _))| count).sum::<usize>();
    if rest > 0 {
        writeln!(text, "\nElsewhere there were {rest} more.")?;
    }
    Ok(text.into_bytes())
}

fn read<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<Vec<T>, AnyError> {
    Ok(csv::Reader::from_path(file)?.into_deserialize().collect::<Result<_, _>>()?)
}

fn csv<T: Serialize>(rows: impl Iterator<Item = T>) -> Result<Vec<u8>, AnyError> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.serialize(row)?;
    }
    Ok(csv.into_inner()?)
}
