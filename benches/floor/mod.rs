//! The floor under the store: bare rusqlite that writes the same rows to the same tables, by statements that are prepared once,
//! in one transaction.

use std::path::Path;
use std::time::Instant;

use punctual::{Durability, SqliteStore};
use rusqlite::{Connection, params};

pub fn micros(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e6
}

/// What is written of each job, besides its own row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// A run that starts.
    Starts,
    /// The run of the same number, that has ended.
    Ends,
    /// The run before, that has ended, and one that starts.
    #[allow(dead_code, reason = "a store alone is not asked for it")]
    Both,
}

pub struct Floor {
    connection: Connection,
    names: Vec<String>,
}

impl Floor {
    pub fn open(path: &Path, durability: Durability, jobs: usize) -> Self {
        // The tables are the store's; the rows are not, so nobody opens it as a store again.
        drop(SqliteStore::open(path).expect("it opens"));
        let connection = Connection::open(path).expect("it opens");
        let synchronous = if durability == Durability::Power { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous).expect("a pragma");
        let names: Vec<String> = (0..jobs).map(|job| format!("job {job:04}")).collect();
        let insert = "INSERT INTO punctual_jobs VALUES
            (?, ?, 1, '', 0, 0, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, 0, 1, '', 0, '', '', NULL, NULL, 0)";
        connection.execute_batch("BEGIN").expect("it begins");
        for (job, name) in names.iter().enumerate() {
            connection.execute(insert, params![job as i64 + 1, name]).expect("it inserts");
        }
        connection.execute_batch("COMMIT").expect("it commits");
        let mut opened = Floor { connection, names };
        opened.write(0, Rows::Ends);
        opened
    }

    /// Gives how many microseconds it took.
    #[inline(never)]
    pub fn write(&mut self, number: u64, rows: Rows) -> f64 {
        micros(|| self.rows(number as i64, rows).expect("it writes"))
    }

    fn rows(&self, number: i64, rows: Rows) -> rusqlite::Result<()> {
        const UPDATE: &str = "UPDATE punctual_jobs SET version = ?3, schedule = ?4, anchor = ?5, searched = ?6,
            missed_until = ?7, last_due = ?8, last_start = ?9, last_end = ?10, failures = ?11, crashes = ?12, paused = ?13,
            runs_left = ?14, last_run = ?15, kept = ?16, open = ?17, open_sum = ?18, gathered = ?19, written_by = ?20,
            held_until = ?21, held_boot = ?22, checksum = ?23 WHERE job = ?1";
        let at = 1_800_000_000_000_000_000 + number;
        let (none, boot) = (None::<i64>, "8dd7c2b4-1a0b-4d3e-9a51-0d6a7d5b2f61");
        let open = if rows == Rows::Ends { String::new() } else { number.to_string() };
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for (job, name) in self.names.iter().enumerate() {
            let job = job as i64 + 1;
            self.connection.prepare_cached(UPDATE)?.execute(params![
                job,
                name,
                2 * number,
                "every 5 minutes",
                at,
                at,
                none,
                at,
                at,
                none,
                0,
                0,
                0,
                none,
                number,
                number,
                open,
                4_000_000_000i64,
                "",
                "node",
                at,
                boot,
                4_000_000_000i64
            ])?;
            match rows {
                Rows::Starts => self.run(job, number, false)?,
                Rows::Ends => self.run(job, number, true)?,
                Rows::Both => {
                    self.run(job, number - 1, true)?;
                    self.run(job, number, false)?;
                }
            }
        }
        let meta = "UPDATE punctual_meta SET generation = ?, synced = ?, jobs_sum = ?, runs = ?, runs_sum = ?, checksum = ?";
        self.connection.prepare_cached(meta)?.execute((number, number, at, number, at, at))?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn run(&self, job: i64, number: i64, has_ended: bool) -> rusqlite::Result<()> {
        const REPLACE: &str = "REPLACE INTO punctual_runs VALUES
            (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
        let at = 1_800_000_000_000_000_000 + number;
        let (none, none_text): (Option<i64>, Option<&str>) = (None, None);
        let (state, ended) = if has_ended { ("done", Some(at)) } else { ("started", None) };
        self.connection.prepare_cached(REPLACE)?.execute(params![
            job,
            number,
            at,
            at,
            1,
            1,
            state,
            none,
            0,
            at,
            ended,
            3_000_000,
            "host",
            20_000_000,
            none_text,
            "",
            4_000_000_000i64
        ])?;
        Ok(())
    }
}
