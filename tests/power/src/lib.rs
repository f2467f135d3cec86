//! What SQLite does to files, recorded, and what a power cut leaves of it.
//!
//! `layer` stands between SQLite and the file system and notes each write, truncation, sync and removal. `disk` replays a
//! beginning of that: what was synced is kept, and of the rest any sectors, in any order.
//!
//! Crates that offer such a layer in safe Rust were looked at: they have no shared memory, so no log in SQLite's sense, which is
//! what is to be tested. So this one hands everything on to SQLite's own layer.

pub mod disk;
pub mod layer;
