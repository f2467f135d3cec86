//! What systemd's files say is what punctual makes of them: calendar events, time spans, timers.
//!
//! The tables are systemd's own answers; see `tests/data/moving`. `PUNCTUAL_ONCALENDAR=full.tsv cargo test --test systemd`
//! holds the calendar events against a larger table than the one kept here.

#![cfg(feature = "systemd")]

#[path = "systemd/events.rs"]
mod events;
#[path = "systemd/export.rs"]
mod export;
#[path = "systemd/timers.rs"]
mod timers;
