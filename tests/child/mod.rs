//! A program to be killed: the test's own binary, started again, and the log of its jobs.
//!
//! The log is a pipe to the test, apart from any store. A line is one write, and a pipe takes it whole or not at all; what was
//! written before a kill is read after it.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use punctual::{Event, RunView};

pub fn nanos(at: DateTime<Utc>) -> i64 {
    at.timestamp_nanos_opt().expect("a time of this century")
}

/// What stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The first poll is over, so what registration found is written.
    Polled,
    Begun(Begun),
    Ended {
        job: String,
        number: u64,
        attempt: u32,
        failed: bool,
    },
    /// It was told that an earlier process cut a run off.
    CutOff {
        job: String,
        due: i64,
        attempt: u32,
    },
    /// It was told that occurrences were dropped.
    Dropped {
        job: String,
        occurrences: u64,
    },
    /// What must not happen.
    Trouble(String),
    /// It has ended in order.
    Stopped,
    /// Whatever else a test has to say.
    Said(String),
}

/// An attempt, as its job sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub job: String,
    pub number: u64,
    pub attempt: u32,
    pub first: i64,
    pub due: i64,
    pub folded: u64,
    /// Whether the run before was cut off.
    pub after_cut_off: bool,
    /// The number of the run that it follows; 0 if it follows none.
    pub follows: u64,
}

impl Begun {
    pub fn of(run: &RunView) -> Begun {
        Begun {
            job: run.name().unwrap_or_default().to_owned(),
            number: run.number(),
            attempt: run.attempt(),
            first: nanos(run.first_missed()),
            due: nanos(run.due()),
            folded: run.folded(),
            after_cut_off: run.previous_was_cut_off(),
            follows: run.follows().map_or(0, |run| run.number),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Polled => f.write_str("polled"),
            Line::Begun(Begun { job, number, attempt, first, due, folded, after_cut_off, follows }) => {
                write!(f, "begun {job} {number} {attempt} {first} {due} {folded} {after_cut_off} {follows}")
            }
            Line::Ended { job, number, attempt, failed } => write!(f, "ended {job} {number} {attempt} {failed}"),
            Line::CutOff { job, due, attempt } => write!(f, "cut-off {job} {due} {attempt}"),
            Line::Dropped { job, occurrences } => write!(f, "dropped {job} {occurrences}"),
            Line::Trouble(what) => write!(f, "trouble {}", what.replace('\n', " ")),
            Line::Stopped => f.write_str("stopped"),
            Line::Said(what) => write!(f, "said {what}"),
        }
    }
}

impl Line {
    fn read(text: &str) -> Option<Line> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = rest.split(' ');
        macro_rules! next {
            () => {
                parts.next()?.parse().ok()?
            };
        }
        Some(match word {
            "polled" => Line::Polled,
            "begun" => Line::Begun(Begun {
                job: next!(),
                number: next!(),
                attempt: next!(),
                first: next!(),
                due: next!(),
                folded: next!(),
                after_cut_off: next!(),
                follows: next!(),
            }),
            "ended" => Line::Ended { job: next!(), number: next!(), attempt: next!(), failed: next!() },
            "cut-off" => Line::CutOff { job: next!(), due: next!(), attempt: next!() },
            "dropped" => Line::Dropped { job: next!(), occurrences: next!() },
            "trouble" => Line::Trouble(rest.to_owned()),
            "stopped" => Line::Stopped,
            "said" => Line::Said(rest.to_owned()),
            _ => return None,
        })
    }

    /// What a child tells of an event.
    pub fn of_event(event: &Event) -> Option<Line> {
        let job = |name: &Option<std::sync::Arc<str>>| name.as_deref().unwrap_or_default().to_owned();
        Some(match event {
            Event::CutOff { name, due, attempt, .. } => Line::CutOff { job: job(name), due: nanos(*due), attempt: *attempt },
            Event::Dropped { name, occurrences, .. } => Line::Dropped { job: job(name), occurrences: *occurrences },
            Event::StoreFailed { .. }
            | Event::StoreRecovered
            | Event::Reanchored { .. }
            | Event::ScheduleChanged { .. }
            | Event::HeldAfterCrashes { .. } => Line::Trouble(event.to_string()),
            Event::Clock(change) => Line::Said(format!("clock {change}")),
            _ => return None,
        })
    }
}

/// What no line may be longer than, so that a pipe takes it whole: POSIX's least `PIPE_BUF`.
const LONGEST: usize = 512;

/// The child's end of the log.
pub struct Log(File);

impl Log {
    /// Standard output. What the test harness writes there is told apart by its beginning.
    pub fn new() -> Log {
        let log = Log(std::io::stdout().as_fd().try_clone_to_owned().expect("standard output").into());
        (&log.0).write_all(b"\n").expect("somebody reads");
        log
    }

    pub fn write(&self, line: &Line) {
        // When it was written, by a clock that all processes share.
        let mut text = format!("|{} {line}", nanos(Utc::now()));
        while text.len() >= LONGEST {
            text.pop();
        }
        text.push('\n');
        (&self.0).write_all(text.as_bytes()).expect("somebody reads");
    }
}

pub fn folder() -> PathBuf {
    std::env::var_os("PUNCTUAL_FOLDER").expect("it is run by another test").into()
}

/// A child's setting.
pub fn given(name: &str) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name}: it is run by another test"))
}

/// A line, and when it was written.
pub type Written = (i64, Line);

/// One life of the program, as the test sees it.
pub struct Life {
    child: std::process::Child,
    lines: Receiver<Written>,
    /// What was read so far.
    pub read: Vec<Written>,
    pub started: Instant,
}

impl Life {
    /// Starts a test of this file in a process of its own.
    pub fn start(test: &str, folder: &Path, settings: &[(&str, u64)]) -> Life {
        let program = std::env::current_exe().expect("the test's own program");
        let mut command = Command::new(program);
        command.args(["--exact", "--ignored", "--nocapture", "--test-threads=1", test]).env("PUNCTUAL_FOLDER", folder);
        command.envs(settings.iter().map(|(name, value)| (name, value.to_string())));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Some((at, line)) = line.strip_prefix('|').and_then(|line| line.split_once(' ')) else { continue };
                let line = Line::read(line).unwrap_or_else(|| Line::Trouble(format!("not a line of the log: {line}")));
                if sender.send((at.parse().expect("a time"), line)).is_err() {
                    return;
                }
            }
        });
        Life { child, lines, read: Vec::new(), started: Instant::now() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads until there are so many lines, or so long a time has passed. Says whether it goes on.
    pub fn read_until(&mut self, lines: usize, end: Instant) -> bool {
        while self.read.len() < lines {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.read.push(line),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    /// Ends it by `kill -9`; gives all that it wrote.
    pub fn kill(mut self) -> Vec<Written> {
        self.child.kill().expect("it can be killed");
        self.rest().0
    }

    /// Lets it end by itself; gives all that it wrote, and whether it ended well.
    pub fn rest(mut self) -> (Vec<Written>, bool) {
        self.read.extend(self.lines.iter());
        let status = self.child.wait().expect("it has ended");
        (self.read, status.success())
    }
}

/// A length of time of up to this many milliseconds.
pub fn moment(rng: &mut fastrand::Rng, most: u64) -> Duration {
    Duration::from_micros(rng.u64(0..most * 1000))
}
