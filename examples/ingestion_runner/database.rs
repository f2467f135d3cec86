//! What is kept: events by id in their last revision, the airports near them, and what was fetched when.
//!
//! It is in the file in which the scheduler keeps its jobs. So what an ingest found and that the ingest is done are one
//! transaction: whenever the program is killed, both are there or neither is.

use std::path::Path;

use chrono::{DateTime, Utc};
use punctual::rusqlite::{self, Connection, OptionalExtension, TransactionBehavior, params};
use punctual::{RunFacts, SqliteStore, StoreError};

use crate::feed::Quake;
use crate::join::{Airport, NOTABLE};

/// A connection of its own: each thread has one.
pub struct Database(Connection);

pub type Result<T> = std::result::Result<T, DatabaseError>;

#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an ingest changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    pub new: usize,
    pub revised: usize,
}

impl Database {
    pub fn open(file: &Path) -> Result<Self> {
        let connection = Connection::open(file)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS event (
                 id TEXT PRIMARY KEY, time INTEGER NOT NULL, updated INTEGER NOT NULL, magnitude REAL,
                 place TEXT NOT NULL, latitude REAL NOT NULL, longitude REAL NOT NULL, joined INTEGER NOT NULL DEFAULT 0);
             CREATE TABLE IF NOT EXISTS airport_near (
                 event TEXT NOT NULL REFERENCES event (id), iata TEXT NOT NULL, kilometres REAL NOT NULL,
                 PRIMARY KEY (event, iata));
             CREATE TABLE IF NOT EXISTS fetched (
                 at INTEGER NOT NULL, feed TEXT NOT NULL, run INTEGER NOT NULL, attempt INTEGER NOT NULL,
                 new INTEGER NOT NULL, revised INTEGER NOT NULL);
             CREATE INDEX IF NOT EXISTS fetched_last ON fetched (feed, at);",
        )?;
        Ok(Database(connection))
    }

    /// Takes in events: a repeat changes nothing, a newer revision replaces. With them goes when the feed was asked for them and
    /// what was new, and that the run which did so is done.
    pub fn ingest(
        &mut self,
        quakes: &[Quake],
        (feed, asked): (&str, DateTime<Utc>),
        store: &SqliteStore,
        run: &RunFacts,
    ) -> Result<Changed> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changed = Changed::default();
        for quake in quakes {
            let known = transaction
                .prepare_cached("SELECT updated FROM event WHERE id = ?")?
                .query_row([&quake.id], |row| row.get::<_, i64>(0))
                .optional()?;
            match known {
                None => changed.new += 1,
                Some(updated) if updated < quake.updated => changed.revised += 1,
                Some(_) => continue,
            }
            transaction.prepare_cached("INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?, ?, ?, 0)")?.execute(params![
                quake.id,
                quake.time,
                quake.updated,
                quake.magnitude,
                quake.place,
                quake.latitude,
                quake.longitude
            ])?;
        }
        let Changed { new, revised } = changed;
        transaction.execute(
            "INSERT INTO fetched VALUES (?, ?, ?, ?, ?, ?)",
            params![asked.timestamp_millis(), feed, run.number as i64, run.attempt, new as i64, revised as i64],
        )?;
        store.complete(&transaction, run)?;
        transaction.commit()?;
        Ok(changed)
    }

    /// When this feed, or any feed, was last asked for what is kept.
    pub fn last_fetched(&self, feed: Option<&str>) -> Result<Option<DateTime<Utc>>> {
        let at: Option<i64> =
            self.0.query_row("SELECT max(at) FROM fetched WHERE feed = coalesce(?, feed)", [feed], |row| row.get(0))?;
        Ok(at.and_then(DateTime::from_timestamp_millis))
    }

    /// The notable events whose airports are yet to be looked up, with their places.
    pub fn unjoined(&self) -> Result<Vec<(String, f64, f64)>> {
        let mut query = self.0.prepare_cached("SELECT id, latitude, longitude FROM event WHERE joined = 0 AND magnitude >= ?")?;
        let rows = query.query_map([NOTABLE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    pub fn join(&mut self, event: &str, airports: &[(&Airport, f64)]) -> Result<()> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // A revision may have moved the event.
        transaction.execute("DELETE FROM airport_near WHERE event = ?", [event])?;
        for (airport, kilometres) in airports {
            transaction.prepare_cached("INSERT OR REPLACE INTO airport_near VALUES (?, ?, ?)")?.execute(params![
                event,
                airport.iata,
                kilometres
            ])?;
        }
        transaction.execute("UPDATE event SET joined = 1 WHERE id = ?", [event])?;
        transaction.commit()?;
        Ok(())
    }

    /// How many events and pairs of event and airport there are.
    pub fn totals(&self) -> Result<(i64, i64)> {
        let totals = "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM airport_near)";
        Ok(self.0.query_row(totals, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }
}
