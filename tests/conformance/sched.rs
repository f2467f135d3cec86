//! `sched_cases`: jobs that run once, and events, in order of time, then priority, then registration, as Python's `sched` has
//! them.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use punctual::{Entry, JobHandle, ManualClock, Sched, Scheduler};

use crate::{report, table};

const EPOCH: DateTime<Utc> = DateTime::UNIX_EPOCH;

#[test]
fn sched_case_rows_as_jobs() {
    check_rows(Jobs::new);
}

#[test]
fn sched_case_rows_as_events() {
    check_rows(Events::new);
}

fn check_rows<F: Face>(face: impl Fn() -> F) {
    let check = |row: &Vec<String>| {
        let [id, class, ops, expected, note, ..] = &row[..] else { panic!("columns: {row:?}") };
        let got = World::on(face()).play(ops);
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

type Act = Box<dyn FnMut() -> Result<(), String> + Send>;

/// What the rows are played on. Times are in milliseconds.
trait Face: Clone + Send + Sync + 'static {
    fn now(&self) -> i64;
    fn advance(&self, millis: i64);
    fn enter(&self, name: &str, due: i64, priority: i32, act: Act);
    fn cancel(&self, name: &str) -> bool;
    /// Whether one failed.
    fn run(&self, waiting: bool) -> bool;
    fn next_in(&self) -> Option<i64>;
    fn queue(&self) -> Vec<String>;
    fn is_empty(&self) -> bool;
}

/// Shared by those who play and what they let happen, in order of entry.
type Entered<T> = Arc<Mutex<Vec<T>>>;

#[derive(Clone)]
struct Jobs {
    clock: ManualClock,
    scheduler: Scheduler,
    /// Name, due time, priority and handle.
    entered: Entered<(String, i64, i32, JobHandle<()>)>,
}

impl Jobs {
    fn new() -> Jobs {
        let clock = ManualClock::new(EPOCH);
        let scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).build();
        Jobs { clock, scheduler, entered: Arc::default() }
    }
}

impl Face for Jobs {
    fn now(&self) -> i64 {
        (self.clock.wall() - EPOCH).num_milliseconds()
    }

    fn advance(&self, millis: i64) {
        match u64::try_from(millis) {
            Ok(millis) => self.clock.advance(std::time::Duration::from_millis(millis)),
            Err(_) => self.clock.step(TimeDelta::milliseconds(millis)),
        }
    }

    fn enter(&self, name: &str, due: i64, priority: i32, act: Act) {
        let job = self.scheduler.once_at(EPOCH + TimeDelta::milliseconds(due)).priority(priority).do_(act);
        let job = job.unwrap_or_else(|error| panic!("{name}: {error}"));
        self.entered.lock().push((name.into(), due, priority, job));
    }

    fn cancel(&self, name: &str) -> bool {
        let job = self.entered.lock().iter().find(|(entered, ..)| entered == name).map(|(.., job)| job.clone());
        job.unwrap_or_else(|| panic!("{name}")).cancel()
    }

    /// Polls until a poll runs nothing, or a job fails. If it may wait, it then moves the clock to the next job and goes on.
    fn run(&self, waiting: bool) -> bool {
        loop {
            let tick = self.scheduler.run_pending();
            if tick.failed() > 0 {
                return true;
            }
            if tick.ran() == 0 {
                match self.next_in() {
                    Some(next) if waiting => self.advance(next.max(0)),
                    _ => return false,
                }
            }
        }
    }

    fn next_in(&self) -> Option<i64> {
        self.scheduler.next_run().map(|next| (next - self.clock.wall()).num_milliseconds())
    }

    fn queue(&self) -> Vec<String> {
        let entered = self.entered.lock();
        let mut pending: Vec<_> = entered.iter().filter(|(.., job)| job.next_run().is_some()).collect();
        pending.sort_by_key(|(_, due, priority, _)| (*due, *priority));
        pending.into_iter().map(|(name, ..)| name.clone()).collect()
    }

    fn is_empty(&self) -> bool {
        self.scheduler.is_empty()
    }
}

/// On a clock that is a number of the host's own, in seconds with a fraction.
#[derive(Clone)]
struct Events {
    clock: Arc<Mutex<f64>>,
    sched: Sched<f64>,
    entered: Entered<(String, Entry<f64>)>,
    next_in: Arc<Mutex<Option<f64>>>,
}

impl Events {
    fn new() -> Events {
        let clock = Arc::new(Mutex::new(0.0));
        let (read, moved) = (clock.clone(), clock.clone());
        let sched = Sched::on(move || *read.lock(), move |delay| *moved.lock() += delay);
        Events { clock, sched, entered: Arc::default(), next_in: Arc::default() }
    }
}

fn in_millis(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

impl Face for Events {
    fn now(&self) -> i64 {
        in_millis(self.sched.now())
    }

    fn advance(&self, millis: i64) {
        *self.clock.lock() += millis as f64 / 1_000.0;
    }

    fn enter(&self, name: &str, due: i64, priority: i32, mut act: Act) {
        let entry = self.sched.enter_at(due as f64 / 1_000.0, priority, move |_| act());
        self.entered.lock().push((name.into(), entry));
    }

    fn cancel(&self, name: &str) -> bool {
        let entry = self.entered.lock().iter().find(|(entered, _)| entered == name).map(|(_, entry)| *entry);
        self.sched.cancel(&entry.unwrap_or_else(|| panic!("{name}")))
    }

    fn run(&self, waiting: bool) -> bool {
        let ran = if waiting { self.sched.run().map(|()| None) } else { self.sched.run_pending() };
        let failed = ran.is_err();
        *self.next_in.lock() = ran.ok().flatten();
        failed
    }

    fn next_in(&self) -> Option<i64> {
        self.next_in.lock().map(in_millis)
    }

    fn queue(&self) -> Vec<String> {
        let entered = self.entered.lock();
        let name = |entry| entered.iter().find(|(_, entered)| *entered == entry).map(|(name, _)| name.clone());
        self.sched.queue().into_iter().filter_map(name).collect()
    }

    fn is_empty(&self) -> bool {
        self.sched.is_empty()
    }
}

#[derive(Clone)]
struct World<F> {
    face: F,
    log: Entered<String>,
}

impl<F: Face> World<F> {
    fn on(face: F) -> Self {
        World { face, log: Arc::default() }
    }

    fn play(&self, ops: &str) -> String {
        split(ops, " ; ").into_iter().filter_map(|op| self.perform(&op)).collect::<Vec<_>>().join(" / ")
    }

    /// Does one op; some have a result.
    fn perform(&self, op: &str) -> Option<String> {
        let (word, rest) = op.split_once(' ').unwrap_or((op, ""));
        match word {
            "advance" => self.face.advance(millis(rest)),
            "cancel" => return Some(if self.face.cancel(rest) { "ok" } else { "error=ValueError" }.into()),
            "run" => {
                let failed = self.face.run(true);
                return Some(self.ran(failed, || format!("clock={}", shown(self.face.now()))));
            }
            "run_nb" => {
                let failed = self.face.run(false);
                let next = || self.face.next_in().map_or("none".into(), shown);
                return Some(self.ran(failed, || format!("next_in={}", next())));
            }
            "queue" => {
                let queue = self.face.queue();
                return Some(format!("queue={}", if queue.is_empty() { "empty".into() } else { queue.join(",") }));
            }
            "empty" => return Some(format!("empty={}", if self.face.is_empty() { "yes" } else { "no" })),
            name => self.enter(name, rest.strip_prefix("= ").unwrap_or_else(|| panic!("op: {op}"))),
        }
        None
    }

    /// `enter(DELAY PRIORITY) {actions}` or `enterabs(TIME PRIORITY) {actions}`.
    fn enter(&self, name: &str, call: &str) {
        let (kind, rest) = call.split_once('(').expect("a call");
        let (arguments, action) = rest.split_once(')').expect("a call");
        let (time, priority) = arguments.split_once(' ').expect("two arguments");
        let due = if kind == "enter" { self.face.now() + millis(time) } else { millis(time) };
        let priority = (priority.parse::<f64>().unwrap() * 100.0) as i32;
        let action = action.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or("").to_owned();
        let (world, own) = (self.clone(), name.to_owned());
        self.face.enter(name, due, priority, Box::new(move || world.act(&own, &action)));
    }

    /// The work of a job: says that it ran, then does the ops in its braces.
    fn act(&self, name: &str, action: &str) -> Result<(), String> {
        self.log.lock().push(format!("{name}@{}", shown(self.face.now())));
        for op in split(action, ", ") {
            if op == "fail" {
                return Err("job failed".into());
            }
            let result = self.perform(&op).filter(|result| result != "ok");
            self.log.lock().extend(result);
        }
        Ok(())
    }

    fn ran(&self, failed: bool, end: impl Fn() -> String) -> String {
        let log = std::mem::take(&mut *self.log.lock());
        let ran = if log.is_empty() { "none".into() } else { log.join(",") };
        if failed { format!("error=job failed ran={ran}") } else { format!("ran={ran} {}", end()) }
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
