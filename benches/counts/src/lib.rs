//! Nothing: see `benches/counts.rs`.
