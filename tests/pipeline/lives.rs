//! Lives that end early, by a signal, and those that go on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use chrono::{Days, TimeDelta, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use punctual::{ManualClock, Missed, Scheduler, SqliteStore};

use super::{THE_WEEK, contents, files, folder, half_a_day_after, pipeline, run, squeezed, undisturbed};

/// Nothing here takes a tenth of it.
const BOUND: Duration = Duration::from_secs(60);

/// One life of the program, whose lines are read as they come.
struct Life {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Life {
    fn start(folder: &Path, arguments: &[&str]) -> Life {
        let mut child = pipeline(folder, arguments).stderr(Stdio::null()).spawn().expect("the example is built with the tests");
        let (tell, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(squeezed(&line))));
        Life { child, lines, seen: Vec::new() }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Reads on until a line has this in it.
    fn read_to(&mut self, text: &str) {
        let end = Instant::now() + BOUND;
        while !self.seen.last().is_some_and(|line| line.contains(text)) {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            self.seen.push(line.unwrap_or_else(|error| panic!("{error} before {text:?}; said:\n{}", self.seen.join("\n"))));
        }
    }

    /// Reads on for so long, or until it has ended.
    fn read_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.push(line);
        }
    }

    /// Its exit code, and all that it said.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        self.read_for(BOUND);
        let code = self.child.wait().unwrap().code();
        (code, std::mem::take(&mut self.seen))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing that has a name is anything but whole.
fn holds_nothing_half(folder: &Path, whole: &BTreeMap<String, Vec<u8>>, seed: u64) {
    for (name, content) in contents(folder) {
        let is_part = name.starts_with(".part-") || name.starts_with("store.db");
        assert!(is_part || whole.get(&name) == Some(&content), "seed {seed}: {name} is not as it should be");
    }
}

#[test]
fn killed_at_any_moment_it_goes_on_from_there() {
    let setting = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let whole = undisturbed();
    let first = setting("PUNCTUAL_SEED", 1);
    for seed in first..first + setting("PUNCTUAL_CASES", 4) {
        println!("seed {seed}: {}", week(seed, &whole));
    }
}

/// Lives through a week, each life killed a moment after it has said so many lines.
fn week(seed: u64, whole: &BTreeMap<String, Vec<u8>>) -> String {
    let (folder, mut rng) = (folder(), fastrand::Rng::with_seed(seed));
    let store = folder.path().join("store.db");
    let mut arguments = THE_WEEK.to_vec();
    let at_most = rng.u32(1..4).to_string();
    arguments.extend(["--at-most", &at_most]);
    if rng.bool() {
        arguments.push("--newest-first");
    }
    if seed % 2 == 0 {
        arguments.extend(["--store", store.to_str().unwrap()]);
    }
    let (mut done, mut first_seen): (Vec<String>, BTreeMap<String, SystemTime>) = Default::default();
    let (mut kills, mut parts) = (0, BTreeSet::new());
    loop {
        let mut life = Life::start(folder.path(), &arguments);
        let lines = rng.usize(0..5);
        while life.seen.iter().filter(|line| line.ends_with(" done")).count() < lines {
            let Ok(line) = life.lines.recv_timeout(BOUND) else { break };
            life.seen.push(line);
        }
        life.read_for(Duration::from_micros(rng.u64(0..20_000)));
        life.signal(Signal::SIGKILL);
        let (code, seen) = life.end();
        kills += usize::from(code.is_none());
        holds_nothing_half(folder.path(), whole, seed);
        for (name, (_, written)) in files(folder.path()) {
            if name.starts_with(".part-") {
                parts.insert(name);
            } else if whole.contains_key(&name) {
                let first = *first_seen.entry(name.clone()).or_insert(written);
                assert_eq!(first, written, "seed {seed}: {name} was made twice");
            }
        }
        done.extend(seen.into_iter().filter(|line| line.ends_with(" done")));
        if code.is_some() {
            assert_eq!(code, Some(0), "seed {seed}: {done:#?}");
            break;
        }
    }
    let (code, last) = run(folder.path(), &arguments);
    assert_eq!(
        (code, last.last().map(|line| &**line)),
        (Some(0), Some("7 dates: 0 made, 7 were there, 0 failed")),
        "seed {seed}"
    );
    let mut left = contents(folder.path());
    left.retain(|name, _| !name.starts_with("store.db"));
    assert_eq!(&left, whole, "seed {seed}");
    let times = done.len();
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>().len(), times, "seed {seed}: a step was done twice");
    format!("{kills} kills, {} of them in the middle of a write; {times} of 21 steps were said to be done", parts.len())
}

#[test]
fn a_signal_ends_it_in_order_and_the_next_start_goes_on() {
    let whole = undisturbed();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let folder = folder();
        let mut life = Life::start(folder.path(), &["--backfill", "2018-01-31..2018-02-07"]);
        life.read_to("2018-02-01 extract done");
        life.signal(signal);
        let (code, lines) = life.end();
        let summary = lines.last().unwrap();
        assert!(code == Some(0) && summary.contains(" dates: "), "{signal}: {code:?} {lines:#?}");
        assert!(files(folder.path()).keys().all(|name| !name.starts_with(".part-")), "{signal}");
        holds_nothing_half(folder.path(), &whole, 0);
        let (code, _) = run(folder.path(), &THE_WEEK);
        assert_eq!((code, contents(folder.path())), (Some(0), whole.clone()), "{signal}");
    }
}

/// Without a range it goes on until it is told to end, and with a store it runs the days of which it missed the time.
#[test]
fn days_that_were_missed_are_made_up_for() {
    let folder = folder();
    let store = folder.path().join("store.db");
    let began = Utc::now();
    let at = half_a_day_after(began);
    // What a program leaves that ran until the power went, some days ago.
    {
        let clock = ManualClock::new(began - TimeDelta::days(5));
        let kept = SqliteStore::options().clock(clock.clone()).open(&store).unwrap();
        let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).store(kept).build();
        let daily = scheduler.every(1).day().at(&at).missed(Missed::RunAll { most: 31 }).named("extract");
        let job = daily.do_(|| ()).unwrap();
        clock.advance(Duration::from_secs(86_400));
        while job.stats().runs < 1 {
            let _ = scheduler.run_pending();
        }
    }
    let mut life = Life::start(folder.path(), &["--store", store.to_str().unwrap(), "--at", &at]);
    // Of each day that was missed, the one before is made.
    let dates = [84, 60, 36, 12].map(|hours| (began - TimeDelta::hours(hours)).date_naive() - Days::new(1));
    life.read_to(&dates[3].to_string());
    life.signal(Signal::SIGTERM);
    let (code, lines) = life.end();
    let failed = dates
        .map(|date| format!("{date} extract failed: the recording has the days from 2018-01-31 to 2018-02-06, and no other"));
    let expected = [&failed[..], &["4 dates: 0 made, 0 were there, 4 failed".to_owned()]].concat();
    assert_eq!((code, lines), (Some(1), expected));
}

/// The first step of a date was done and recorded, and the power went before the second began.
#[test]
fn a_chain_that_was_cut_goes_on_from_the_store() {
    let (folder, at) = (folder(), half_a_day_after(Utc::now()));
    let extracted = folder.path().join("2018-02-01-extracted.csv");
    std::fs::write(&extracted, &undisturbed()["2018-02-01-extracted.csv"]).unwrap();
    let store = folder.path().join("store.db");
    {
        let clock = ManualClock::new("2018-02-01T23:59:30Z".parse().unwrap());
        let kept = SqliteStore::options().clock(clock.clone()).open(&store).unwrap();
        let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).store(kept).build();
        let daily = scheduler.every(1).day().at(&at).missed(Missed::RunAll { most: 31 }).named("extract");
        let file = extracted.clone();
        let extract = daily.do_(move || Ok::<_, String>(file.clone())).unwrap();
        let follow = scheduler.following(&extract).named("locate").delay(Duration::from_secs(1));
        follow.do_with(|_, _: &PathBuf| ()).unwrap();
        clock.advance(Duration::from_secs(86_399));
        let _ = (scheduler.run_pending(), scheduler.run_pending());
        assert_eq!(extract.stats().runs, 1);
    }
    let mut life = Life::start(folder.path(), &["--store", store.to_str().unwrap(), "--at", &at]);
    life.read_to("2018-02-01 report done");
    life.signal(Signal::SIGTERM);
    let (_, lines) = life.end();
    assert!(lines.contains(&"2018-02-01 locate done".to_owned()), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with("2018-02-01 extract")), "{lines:#?}");
}
