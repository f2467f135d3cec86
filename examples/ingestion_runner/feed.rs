//! From a GeoJSON text to earthquakes. One bad record does not lose the others.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Quake {
    pub id: String,
    /// Milliseconds since 1970, UTC: when the earth shook, and when the record was last changed.
    pub time: i64,
    pub updated: i64,
    /// Some events have no magnitude yet.
    pub magnitude: Option<f64>,
    pub place: String,
    pub latitude: f64,
    pub longitude: f64,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum FeedError {
    #[error("the feed gave a web page instead of data")]
    Html,
    #[error("the feed's JSON is broken ({0})")]
    Json(String),
    #[error("the feed's JSON has no list of features; is this a GeoJSON feed?")]
    NoFeatures,
}

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("event {id}: {what}; it was left out")]
pub struct RecordError {
    pub id: String,
    pub what: &'static str,
}

pub fn read(text: &str) -> Result<(Vec<Quake>, Vec<RecordError>), FeedError> {
    if text.trim_start().starts_with('<') {
        return Err(FeedError::Html);
    }
    let feed: Value = serde_json::from_str(text).map_err(|error| FeedError::Json(error.to_string()))?;
    let features = feed.get("features").and_then(Value::as_array).ok_or(FeedError::NoFeatures)?;
    let (mut quakes, mut errors) = (Vec::new(), Vec::new());
    for feature in features {
        match record(feature) {
            Ok(quake) => quakes.push(quake),
            Err(what) => {
                let id = feature.get("id").and_then(Value::as_str).unwrap_or("without an id").to_owned();
                errors.push(RecordError { id, what });
            }
        }
    }
    Ok((quakes, errors))
}

fn record(feature: &Value) -> Result<Quake, &'static str> {
    let properties = feature.get("properties").ok_or("it has no properties")?;
    let instant = |name| properties.get(name).and_then(Value::as_i64);
    let coordinate = |place| feature.pointer(&format!("/geometry/coordinates/{place}")).and_then(Value::as_f64);
    let magnitude = match properties.get("mag") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_f64().ok_or("its magnitude is no number")?),
    };
    Ok(Quake {
        id: feature.get("id").and_then(Value::as_str).ok_or("its id is no text")?.to_owned(),
        time: instant("time").ok_or("its time is no number")?,
        updated: instant("updated").ok_or("its time of change is no number")?,
        magnitude,
        place: properties.get("place").and_then(Value::as_str).ok_or("it has no place")?.to_owned(),
        longitude: coordinate(0).ok_or("it has no longitude")?,
        latitude: coordinate(1).ok_or("it has no latitude")?,
    })
}
