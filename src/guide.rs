//! Pages to read: what the parts are for together, and how to choose.

#[doc = include_str!("guide/what_survives.md")]
pub mod what_survives {}
