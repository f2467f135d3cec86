//! Several processes on one file, of which some are killed and some stopped for longer than their lease.
//!
//! Two, and then five, processes of one program have the same jobs, the same store and a short lease. Again and again one of them
//! is killed (`SIGKILL`) and another one started, or one is stopped (`SIGSTOP`) and goes on later (`SIGCONT`). The jobs keep a
//! log apart from the store. In the end each occurrence has to have been had by one process; a run may have been begun by a second
//! one only if its first was cut off, and if it was to be run again, and then whoever it writes to can tell the two apart.
//!
//! `PUNCTUAL_SECONDS` says for how long, `PUNCTUAL_SEED` which jobs and which deeds; odd seeds at the one level of durability,
//! even ones at the other. A seed gives the same jobs, never the same moments.

#![cfg(unix)]

mod child;
#[path = "killed/jobs.rs"]
mod jobs;
#[path = "shared/judge.rs"]
mod judge;
mod store_kit;

use std::time::{Duration, Instant};

use child::{Life, Line, Written, nanos};
use fastrand::Rng;
use jobs::{Place, Spec, When, Work};
use judge::{Deed, Figures, Story, What};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use store_kit::{Folder, setting};

const LEASE: Duration = Duration::from_millis(400);
const JOBS: usize = 16;

#[test]
#[ignore = "run by another test, which kills and stops it"]
fn child() {
    jobs::live(specs, Some(LEASE));
}

/// The jobs of a story: none drops an occurrence, each fourth one follows the one before, and one takes longer than a lease. A
/// single process could do them all.
fn specs(story: u64) -> Vec<Spec> {
    let mut rng = Rng::with_seed(story);
    let spec = |number: usize| {
        let (follows, is_followed, is_long) = (number % 4 == 3, number % 4 == 2, number == 4);
        let place = if number % 3 == 2 || is_long { Place::Background } else { Place::OnPoll };
        let every = match place {
            _ if is_long => 2_000,
            Place::OnPoll if !is_followed => *rng.choice(&[10, 20, 50, 100, 200]).expect("one"),
            _ => *rng.choice(&[50, 100, 200]).expect("one"),
        };
        let takes = match place {
            _ if is_long => LEASE.as_micros() as u64 * 5 / 4,
            Place::Background => *rng.choice(&[1_000, 10_000]).expect("one"),
            _ => *rng.choice(&[0, 100, 1_000, 3_000]).expect("one"),
        };
        Spec {
            name: format!("job-{number}"),
            when: if follows { When::Follows(number - 1, 0) } else { When::Every(every) },
            again: rng.bool(),
            retry: 0,
            fails: false,
            panics: false,
            place,
            queues: !follows,
            all: false,
            times: None,
            work: if number % 4 == 1 && place == Place::OnPoll { Work::Shared } else { Work::Takes(takes) },
        }
    };
    (0..JOBS).map(spec).collect()
}

/// A process, and until when it is stopped.
struct Process {
    number: usize,
    life: Life,
    stopped: Option<Instant>,
}

impl Process {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.life.id() as i32), signal).expect("it is there");
    }
}

/// What is done to processes that live beside each other.
struct Stage<'a> {
    seed: u64,
    folder: &'a Folder,
    alive: Vec<Process>,
    lives: Vec<Vec<Written>>,
    deeds: Vec<Deed>,
}

impl Stage<'_> {
    fn start(&mut self, is_last: bool) {
        let settings = [("PUNCTUAL_STORY", self.seed), ("PUNCTUAL_LAST", u64::from(is_last))];
        let life = Life::start("child", self.folder.path(), &settings);
        self.alive.push(Process { number: self.lives.len(), life, stopped: None });
        self.lives.push(Vec::new());
    }

    fn did(&mut self, life: usize, what: What) {
        self.deeds.push(Deed { life, what, at: now(), until: i64::MAX });
    }

    fn kill(&mut self, place: usize) {
        let Process { number, life, .. } = self.alive.swap_remove(place);
        self.did(number, What::Killed);
        self.lives[number] = life.kill();
        self.start(false);
    }

    fn stop(&mut self, place: usize, time: Duration) {
        self.did(self.alive[place].number, What::Stopped);
        self.alive[place].signal(Signal::SIGSTOP);
        self.alive[place].stopped = Some(Instant::now() + time);
    }

    /// Those whose time has come go on; gives when the next one is to.
    fn go_on(&mut self, all: bool) -> Option<Instant> {
        for process in &mut self.alive {
            if process.stopped.take_if(|until| all || *until <= Instant::now()).is_none() {
                continue;
            }
            let deed = self.deeds.iter_mut().rfind(|deed| deed.life == process.number).expect("it was stopped");
            deed.until = now();
            process.signal(Signal::SIGCONT);
        }
        self.alive.iter().filter_map(|process| process.stopped).min()
    }

    /// All that are alive end by themselves.
    fn end(&mut self) {
        for Process { number, life, .. } in std::mem::take(&mut self.alive) {
            let (mut lines, ended_well) = life.rest();
            if !ended_well || lines.last().is_none_or(|(_, line)| *line != Line::Stopped) {
                lines.push((now(), Line::Trouble("it did not end in order".to_owned())));
            }
            self.lives[number] = lines;
        }
    }
}

fn now() -> i64 {
    nanos(chrono::Utc::now())
}

/// Lets so many processes live beside each other.
fn story(seed: u64, processes: usize, time: Duration, folder: &Folder) -> Story {
    let mut rng = Rng::with_seed(seed);
    let mut stage = Stage { seed, folder, alive: Vec::new(), lives: Vec::new(), deeds: Vec::new() };
    (0..processes).for_each(|_| stage.start(false));
    let end = Instant::now() + time;
    while Instant::now() < end {
        let next = stage.go_on(false);
        // One that has logged a little more, or does not come to that, is killed or stopped next; often as it has begun a run.
        let place = rng.usize(0..stage.alive.len());
        let most = Instant::now() + Duration::from_millis(rng.u64(1..1500 / processes as u64));
        let Process { life, stopped, .. } = &mut stage.alive[place];
        let is_stopped = stopped.is_some();
        let end = next.map_or(most, |next| next.min(most));
        life.read_until(usize::MAX, Instant::now());
        life.read_until(life.read.len() + rng.usize(1..200), end);
        let in_run = |life: &Life| matches!(life.read.last(), Some((_, Line::Begun(_))));
        let wants_run = rng.bool();
        while wants_run && !in_run(life) && Instant::now() < end {
            life.read_until(life.read.len() + 1, end);
        }
        match rng.u8(0..8) {
            0..3 => stage.kill(place),
            _ if is_stopped => {}
            3 => stage.stop(place, LEASE.mul_f64(rng.f64())),
            _ => stage.stop(place, LEASE.mul_f64(1.0 + 3.0 * rng.f64())),
        }
    }
    std::fs::write(folder.join(jobs::STOP), "").expect("a file");
    stage.go_on(true);
    stage.end();
    // What the others left is for one that is alone.
    stage.start(true);
    stage.end();
    Story { seed, lives: stage.lives, deeds: stage.deeds }
}

#[test]
fn each_occurrence_is_had_by_one_process() {
    let (seed, seconds) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_SECONDS", 2));
    let mut failures = Vec::new();
    for processes in [2, 5] {
        let folder = Folder::new();
        let story = story(seed, processes, Duration::from_millis(seconds * 500), &folder);
        let mut figures = Figures::default();
        let judged = story.judge(&folder.join(jobs::FILE), &mut figures);
        println!("{processes} processes: {figures}");
        if let Err(faults) = judged {
            let log = std::env::temp_dir().join(format!("punctual-shared-{seed}-{processes}.log"));
            std::fs::write(&log, story.to_string()).expect("a log");
            failures.push(format!("{processes} processes:\n{}\nits log: {}", faults.join("\n"), log.display()));
        }
    }
    assert!(failures.is_empty(), "{}\nagain: PUNCTUAL_SEED={seed}", failures.join("\n"));
}
