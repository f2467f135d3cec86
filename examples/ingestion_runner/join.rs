//! Which airports are near an earthquake.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

/// How near, in kilometres, and from which magnitude on it matters.
pub const NEAR: f64 = 200.0;
pub const NOTABLE: f64 = 2.5;

#[derive(Debug, Clone, Deserialize)]
pub struct Airport {
    pub iata: String,
    #[allow(dead_code)]
    pub name: String,
    pub latitude: f64,
    pub longitude: f64,
}

/// All of them, once they were fetched.
pub type AirportList = Arc<OnceLock<Vec<Airport>>>;

#[derive(Debug, thiserror::Error)]
pub enum AirportsError {
    #[error("the airports' CSV is broken ({0})")]
    Csv(#[from] csv::Error),
    #[error("the airports' CSV is empty")]
    Empty,
}

pub fn airports(text: &str) -> Result<Vec<Airport>, AirportsError> {
    let airports: Vec<Airport> = csv::Reader::from_reader(text.as_bytes()).deserialize().collect::<Result<_, _>>()?;
    if airports.is_empty() { Err(AirportsError::Empty) } else { Ok(airports) }
}

/// The airports within [`NEAR`], with their distances.
pub fn near(airports: &[Airport], latitude: f64, longitude: f64) -> Vec<(&Airport, f64)> {
    let distance = |airport: &Airport| kilometres((latitude, longitude), (airport.latitude, airport.longitude));
    airports.iter().map(|airport| (airport, distance(airport))).filter(|(_, km)| *km <= NEAR).collect()
}

/// The length of the great circle between two places (haversine formula, mean radius of the earth).
fn kilometres(from: (f64, f64), to: (f64, f64)) -> f64 {
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let h = half(from.0, to.0) + from.0.to_radians().cos() * to.0.to_radians().cos() * half(from.1, to.1);
    2.0 * 6371.0 * h.sqrt().min(1.0).asin()
}
