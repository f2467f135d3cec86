//! `sched_cases`: one-shot jobs in order of time, then priority, then registration, as Python's `sched` has them.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use punctual::{JobHandle, ManualClock, Scheduler};

use crate::{report, table};

const EPOCH: DateTime<Utc> = DateTime::UNIX_EPOCH;

#[test]
fn sched_case_rows() {
    let check = |row: &Vec<String>| {
        let [id, class, ops, expected, note, ..] = &row[..] else { panic!("columns: {row:?}") };
        let got = World::new().play(ops);
        (got != *expected).then(|| format!("{id} {class} {ops} ({note})\n    expected {expected}\n    got      {got}"))
    };
    let failures: Vec<String> = table("sched_cases.tsv", 54).iter().filter_map(check).collect();
    report(&failures);
}

/// Times in the table are seconds, some with a fraction.
fn millis(text: &str) -> i64 {
    (text.parse::<f64>().unwrap_or_else(|_| panic!("no time: {text}")) * 1_000.0).round() as i64
}

fn shown(millis: i64) -> String {
    format!("{}", millis as f64 / 1_000.0)
}

#[derive(Clone)]
struct World {
    clock: ManualClock,
    scheduler: Scheduler,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    jobs: HashMap<String, JobHandle<()>>,
    /// Name, due time and priority of each job, in order of registration.
    entered: Vec<(String, i64, i32)>,
    log: Vec<String>,
}

impl World {
    fn new() -> World {
        let clock = ManualClock::new(EPOCH);
        let scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).build();
        World { clock, scheduler, state: Arc::default() }
    }

    fn play(&self, ops: &str) -> String {
        split(ops, " ; ").into_iter().filter_map(|op| self.perform(&op)).collect::<Vec<_>>().join(" / ")
    }

    fn now(&self) -> i64 {
        (self.clock.wall() - EPOCH).num_milliseconds()
    }

    /// Does one op; some have a result.
    fn perform(&self, op: &str) -> Option<String> {
        let (word, rest) = op.split_once(' ').unwrap_or((op, ""));
        match word {
            "advance" => self.advance(millis(rest)),
            "cancel" => {
                let job = self.state.lock().jobs[rest].clone();
                return Some(if job.cancel() { "ok" } else { "error=ValueError" }.into());
            }
            "run" => {
                let failed = self.run(true);
                return Some(self.ran(failed, || format!("clock={}", shown(self.now()))));
            }
            "run_nb" => {
                let failed = self.run(false);
                let next =
                    || self.scheduler.next_run().map_or("none".into(), |t| shown((t - self.clock.wall()).num_milliseconds()));
                return Some(self.ran(failed, || format!("next_in={}", next())));
            }
            "queue" => return Some(format!("queue={}", self.queue())),
            "empty" => return Some(format!("empty={}", if self.scheduler.is_empty() { "yes" } else { "no" })),
            name => self.enter(name, rest.strip_prefix("= ").unwrap_or_else(|| panic!("op: {op}"))),
        }
        None
    }

    fn advance(&self, millis: i64) {
        match u64::try_from(millis) {
            Ok(millis) => self.clock.advance(std::time::Duration::from_millis(millis)),
            Err(_) => self.clock.step(TimeDelta::milliseconds(millis)),
        }
    }

    /// `enter(DELAY PRIORITY) {actions}` or `enterabs(TIME PRIORITY) {actions}`.
    fn enter(&self, name: &str, call: &str) {
        let (kind, rest) = call.split_once('(').expect("a call");
        let (arguments, action) = rest.split_once(')').expect("a call");
        let (time, priority) = arguments.split_once(' ').expect("two arguments");
        let due = if kind == "enter" { self.now() + millis(time) } else { millis(time) };
        let priority = (priority.parse::<f64>().unwrap() * 100.0) as i32;
        let action = action.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or("").to_owned();
        let (world, own) = (self.clone(), name.to_owned());
        let job =
            self.scheduler.once_at(EPOCH + TimeDelta::milliseconds(due)).priority(priority).do_(move || world.act(&own, &action));
        let mut state = self.state.lock();
        state.jobs.insert(name.into(), job.unwrap_or_else(|error| panic!("{name}: {error}")));
        state.entered.push((name.into(), due, priority));
    }

    /// The work of a job: says that it ran, then does the ops in its braces.
    fn act(&self, name: &str, action: &str) -> Result<(), String> {
        self.state.lock().log.push(format!("{name}@{}", shown(self.now())));
        for op in split(action, ", ") {
            if op == "fail" {
                return Err("job failed".into());
            }
            let result = self.perform(&op).filter(|result| result != "ok");
            self.state.lock().log.extend(result);
        }
        Ok(())
    }

    /// Polls until a poll runs nothing, or a job fails. If it may wait, it then moves the clock to the next job and goes on.
    fn run(&self, waiting: bool) -> bool {
        loop {
            let tick = self.scheduler.run_pending();
            if tick.failed() > 0 {
                return true;
            }
            if tick.ran() == 0 {
                match self.scheduler.next_run() {
                    Some(next) if waiting => self.advance((next - self.clock.wall()).num_milliseconds().max(0)),
                    _ => return false,
                }
            }
        }
    }

    fn ran(&self, failed: bool, end: impl Fn() -> String) -> String {
        let log = std::mem::take(&mut self.state.lock().log);
        let ran = if log.is_empty() { "none".into() } else { log.join(",") };
        if failed { format!("error=job failed ran={ran}") } else { format!("ran={ran} {}", end()) }
    }

    fn queue(&self) -> String {
        let state = self.state.lock();
        let mut pending: Vec<_> = state.entered.iter().filter(|(name, ..)| state.jobs[name].next_run().is_some()).collect();
        pending.sort_by_key(|(_, due, priority)| (*due, *priority));
        let names: Vec<&str> = pending.iter().map(|(name, ..)| name.as_str()).collect();
        if names.is_empty() { "empty".into() } else { names.join(",") }
    }
}

/// Splits at a separator outside of braces.
fn split(text: &str, separator: &str) -> Vec<String> {
    let (mut parts, mut depth, mut part) = (Vec::new(), 0, String::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if depth == 0 && rest.starts_with(separator) {
            parts.push(std::mem::take(&mut part));
            rest = &rest[separator.len()..];
            continue;
        }
        depth += i32::from(c == '{') - i32::from(c == '}');
        part.push(c);
        rest = &rest[c.len_utf8()..];
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}
