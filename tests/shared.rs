//! Several processes on one file, of which some are killed and some stopped for longer than their lease.
//!
//! Two, and then five, processes of one program have the same jobs and the same store. Again and again one of them is killed
//! (`SIGKILL`) and another one started, or one is stopped (`SIGSTOP`) and goes on later (`SIGCONT`). The jobs keep a log apart
//! from the store. In the end each occurrence has to have been begun by one process, each job to have been taken over from who
//! had it, and nothing to be in the store that a process wrote after it had lost its claim.
//!
//! `PUNCTUAL_SECONDS` says for how long, `PUNCTUAL_SEED` which jobs and which deeds.

#![cfg(unix)]

mod child;
mod store_kit;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use child::{Begun, Life, Line, Log, Written, nanos};
use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use punctual::{
    Durability, Event, HistoryQuery, JobHandle, Overlap, RunEnd, RunRecord, RunState, RunView, Scheduler, SqliteStore, Store,
    StoreError,
};
use store_kit::{Folder, setting};

const FILE: &str = "jobs.db";
const STOP: &str = "stop";
const LEASE: Duration = Duration::from_millis(400);

/// A job of the program.
struct Spec {
    name: String,
    /// In milliseconds; `None` if it follows the job before.
    every: Option<u64>,
    again: bool,
    background: bool,
    /// How long it takes, in microseconds.
    takes: u64,
}

fn specs(seed: u64) -> Vec<Spec> {
    let mut rng = Rng::with_seed(seed);
    let spec = |number: usize| Spec {
        name: format!("job-{number}"),
        every: (number % 4 != 3).then(|| *rng.choice(&[10, 20, 50, 100, 200]).expect("one")),
        again: number % 2 == 0,
        background: number % 3 == 2,
        takes: *rng.choice(&[0, 100, 1000, 5000]).expect("one"),
    };
    (0..16).map(spec).collect()
}

#[test]
#[ignore = "run by another test, which kills and stops it"]
fn child() {
    let (folder, seed, is_last) = (child::folder(), child::given("PUNCTUAL_STORY"), child::given("PUNCTUAL_LAST") == 1);
    let log = Arc::new(Log::new());
    let panics = log.clone();
    std::panic::set_hook(Box::new(move |panic| panics.write(&Line::Trouble(panic.to_string()))));
    let store = SqliteStore::options().durability(Durability::Process).open(folder.join(FILE)).expect("it opens");
    let scheduler: Scheduler = Scheduler::builder().store(store.clone()).lease(LEASE).build();
    let told = log.clone();
    scheduler.on_event(move |event| match event {
        // Whoever is stopped while he writes keeps the others from it.
        Event::StoreFailed { error: StoreError::Busy { .. }, .. } | Event::StoreRecovered => {}
        Event::ClaimLost { name, number, .. } => {
            told.write(&Line::Said(format!("lost {} {number}", name.as_deref().unwrap_or_default())));
        }
        event => Line::of_event(event).iter().for_each(|line| told.write(line)),
    });
    let specs = specs(seed);
    let open = |name: &str| store.load(name).expect("it reads").map_or(Vec::new(), |job| job.open);
    let found: Vec<(&str, u64)> =
        specs.iter().flat_map(|spec| open(&spec.name).into_iter().map(|run| (&*spec.name, run.number))).collect();
    let mut jobs: Vec<JobHandle> = Vec::new();
    for spec in &specs {
        jobs.push(register(&scheduler, spec, jobs.last(), &log).expect("it is registered"));
    }
    loop {
        let _ = scheduler.run_pending();
        let is_over = |name: &str, number: u64| open(name).iter().all(|run| run.number != number);
        let may_stop = if is_last {
            jobs.iter().all(|job| job.stats().runs > 0) && found.iter().all(|(name, number)| is_over(name, *number))
        } else {
            folder.join(STOP).exists()
        };
        if may_stop {
            break;
        }
        scheduler.wait(Duration::from_millis(10));
    }
    let unended = scheduler.shutdown(Duration::from_secs(60));
    unended.iter().for_each(|job| log.write(&Line::Trouble(format!("{} has not ended", job.label()))));
    drop(scheduler);
    log.write(&Line::Stopped);
}

fn register(
    scheduler: &Scheduler,
    spec: &Spec,
    before: Option<&JobHandle>,
    log: &Arc<Log>,
) -> Result<JobHandle, punctual::Error> {
    macro_rules! said {
        ($job:expr) => {{
            let job = $job.named(spec.name.clone()).overlap(Overlap::Queue { most: 1000 });
            if spec.again { job.at_least_once() } else { job.at_most_once() }
        }};
    }
    let (log, takes) = (log.clone(), Duration::from_micros(spec.takes));
    let work = move |run: &RunView| {
        log.write(&Line::Begun(Begun::of(run)));
        std::thread::sleep(takes);
        let (job, number, attempt) = (run.name().unwrap_or_default(), run.number(), run.attempt());
        log.write(&Line::Said(format!("mine {job} {number} {attempt} {}", run.still_mine())));
        log.write(&Line::Ended { job: job.to_owned(), number, attempt, failed: false });
    };
    match (spec.every, before) {
        (None, Some(before)) if spec.background => {
            said!(scheduler.following(before)).background().do_with(move |run, ()| work(run))
        }
        (None, Some(before)) => said!(scheduler.following(before)).do_with(move |run, ()| work(run)),
        (every, _) => {
            let job = said!(scheduler.every_period(Duration::from_millis(every.unwrap_or(50))));
            if spec.background { job.background().do_with(work) } else { job.do_with(move |run| work(run)) }
        }
    }
}

/// What was done to a process, and when.
#[derive(Debug, Clone, Copy)]
struct Deed {
    life: usize,
    at: i64,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Killed,
    /// For less than a lease, or for more.
    StoppedShortly,
    Stopped,
}

/// What all processes have written, in the order in which they were started, and what was done to them.
struct Story {
    seed: u64,
    lives: Vec<Vec<Written>>,
    deeds: Vec<Deed>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self
            .lives
            .iter()
            .enumerate()
            .flat_map(|(life, lines)| lines.iter().map(move |(at, line)| (*at, life, line.to_string())));
        let deeds = self.deeds.iter().map(|deed| (deed.at, deed.life, format!("{:?}", deed.what)));
        let mut all: Vec<(i64, usize, String)> = lines.chain(deeds).collect();
        all.sort_unstable();
        all.iter().try_for_each(|(at, life, what)| writeln!(f, "{at} {life} {what}"))
    }
}

fn now() -> i64 {
    nanos(chrono::Utc::now())
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

/// Lets so many processes live beside each other.
fn story(seed: u64, processes: usize, time: Duration, folder: &Folder) -> Story {
    let mut rng = Rng::with_seed(seed);
    let (mut lives, mut deeds): (Vec<Vec<Written>>, _) = (Vec::new(), Vec::new());
    let start = |lives: &mut Vec<Vec<Written>>, last| {
        lives.push(Vec::new());
        let life = Life::start("child", folder.path(), &[("PUNCTUAL_STORY", seed), ("PUNCTUAL_LAST", last)]);
        Process { number: lives.len() - 1, life, stopped: None }
    };
    let mut alive: Vec<Process> = (0..processes).map(|_| start(&mut lives, 0)).collect();
    let end = Instant::now() + time;
    while Instant::now() < end {
        // One is killed or stopped now and then; those that were stopped go on when their time has come.
        std::thread::sleep(Duration::from_millis(rng.u64(1..1000 / processes as u64)));
        for process in &mut alive {
            if process.stopped.take_if(|until| *until <= Instant::now()).is_some() {
                process.signal(Signal::SIGCONT);
            }
        }
        let place = rng.usize(0..alive.len());
        let number = alive[place].number;
        if rng.u8(0..3) == 0 {
            let process = alive.swap_remove(place);
            deeds.push(Deed { life: number, at: now(), what: What::Killed });
            lives[number] = process.life.kill();
            alive.push(start(&mut lives, 0));
        } else if alive[place].stopped.is_none() {
            let shortly = rng.u8(0..4) == 0;
            let stop = if shortly { rng.u64(1..200) } else { rng.u64(450..1500) };
            let what = if shortly { What::StoppedShortly } else { What::Stopped };
            deeds.push(Deed { life: number, at: now(), what });
            alive[place].signal(Signal::SIGSTOP);
            alive[place].stopped = Some(Instant::now() + Duration::from_millis(stop));
        }
    }
    std::fs::write(folder.join(STOP), "").expect("a file");
    for process in &alive {
        process.signal(Signal::SIGCONT);
    }
    alive.push(start(&mut lives, 1));
    for Process { number, life, .. } in alive {
        let (mut lines, ended_well) = life.rest();
        if !ended_well || lines.last().is_none_or(|(_, line)| *line != Line::Stopped) {
            lines.push((now(), Line::Trouble("it did not end in order".to_owned())));
        }
        lives[number] = lines;
    }
    Story { seed, lives, deeds }
}

/// What was seen.
#[derive(Default)]
struct Figures {
    processes: usize,
    deeds: BTreeMap<What, usize>,
    runs: usize,
    attempts: usize,
    cut_off: usize,
    /// Runs of which their process was told that it had lost the claim, and those that knew while they ran.
    lost: usize,
    not_mine: usize,
    occurrences: i64,
    followed: usize,
    /// How long after a deed another process first began a run of a job that was last begun by its victim.
    taken_over: BTreeMap<What, Vec<i64>>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { processes, deeds, runs, attempts, cut_off, lost, not_mine, occurrences, followed, taken_over } = self;
        write!(
            f,
            "{processes} processes, {deeds:?}: {occurrences} occurrences, {runs} runs in {attempts} attempts, {cut_off} cut off, {lost} \
             claims lost ({not_mine} seen by the job), {followed} followed; taken over"
        )?;
        for (what, times) in taken_over {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |part: usize| Duration::from_nanos(times[(times.len() - 1) * part / 100].unsigned_abs());
            write!(
                f,
                ", {what:?}: {} times in {:.0?} (median), {:.0?} (99 %), {:.0?} (most)",
                times.len(),
                at(50),
                at(99),
                at(100)
            )?;
        }
        Ok(())
    }
}

/// An attempt as it was logged: in which life, when, and what its job was told.
type Logged<'a> = (usize, i64, &'a Begun);

impl Story {
    fn judge(&self, path: &Path, figures: &mut Figures) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        let store = SqliteStore::open(path).map_err(|error| vec![error.to_string()])?;
        faults.extend(store.check().err().map(|error| error.to_string()));
        for (life, (_, line)) in self.lines() {
            if let Line::Trouble(what) = line {
                faults.push(format!("process {life}: {what}"));
            }
        }
        let specs = specs(self.seed);
        let mut done_before: Vec<u64> = Vec::new();
        for spec in &specs {
            let mut few = 3_u32;
            let mut fault = |what: String| {
                if few > 0 {
                    faults.push(format!("{}: {what}", spec.name));
                }
                few = few.saturating_sub(1);
            };
            match self.job(&store, spec, &done_before, &mut fault, figures) {
                Ok(done) => done_before = done,
                Err(error) => fault(error.to_string()),
            }
        }
        if faults.is_empty() {
            return Ok(());
        }
        faults.truncate(20);
        Err(faults)
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &Written)> {
        self.lives.iter().enumerate().flat_map(|(life, lines)| lines.iter().map(move |line| (life, line)))
    }

    /// Gives the runs that are done.
    fn job(
        &self,
        store: &SqliteStore,
        spec: &Spec,
        done_before: &[u64],
        fault: &mut dyn FnMut(String),
        figures: &mut Figures,
    ) -> Result<Vec<u64>, StoreError> {
        let of = HistoryQuery { job: Some(spec.name.as_str().into()), most: usize::MAX, ..HistoryQuery::default() };
        let over = store.history(&of)?;
        let Some(record) = store.load(&spec.name)? else {
            fault("it is not known".to_owned());
            return Ok(Vec::new());
        };
        let mut all: BTreeMap<u64, &RunRecord> = BTreeMap::new();
        for run in over.iter().chain(&record.open) {
            if all.insert(run.number, run).is_some() {
                fault(format!("run {} is there twice", run.number));
            }
        }
        figures.runs += all.len();

        let mut begun: BTreeMap<(u64, u32), Vec<Logged<'_>>> = BTreeMap::new();
        let mut ended: HashMap<(u64, u32), usize> = HashMap::new();
        let mut lost: HashMap<u64, Vec<usize>> = HashMap::new();
        for (life, (at, line)) in self.lines() {
            match line {
                Line::Begun(it) if it.job == spec.name => {
                    begun.entry((it.number, it.attempt)).or_default().push((life, *at, it));
                }
                Line::Ended { job, number, attempt, .. } if *job == spec.name => {
                    ended.insert((*number, *attempt), life);
                }
                Line::Said(what) => {
                    let words: Vec<&str> = what.split(' ').collect();
                    match words[..] {
                        ["lost", job, number] if *job == *spec.name => {
                            lost.entry(number.parse().expect("a number")).or_default().push(life);
                            figures.lost += 1;
                        }
                        ["mine", job, _, _, "false"] if *job == *spec.name => figures.not_mine += 1,
                        _ => {}
                    }
                }
                _ => {}
            }
        }

        // Each attempt is begun by one process, and each run of a job that runs at most once in one attempt.
        figures.attempts += begun.len();
        for ((number, attempt), by) in &begun {
            if by.len() > 1 || !spec.again && *attempt > 1 {
                fault(format!("attempt {attempt} of run {number} was begun by {by:?}"));
            }
            match all.get(number) {
                None => fault(format!("run {number} was begun, and the store does not know it")),
                Some(run) => {
                    let it = by[0].2;
                    if (it.first, it.due, it.folded) != (nanos(run.first_missed), nanos(run.due), run.folded) {
                        fault(format!("run {number} was told another due time than the store has: {it:?}, {run:?}"));
                    }
                }
            }
        }
        for (number, run) in &all {
            let by = begun.get(&(*number, run.attempt)).map(|by| by[0].0);
            match run.state {
                RunState::Ended { end: RunEnd::Done, .. } => {
                    // What a process wrote that had lost its claim is not there.
                    let is_lost = by.is_some_and(|life| lost.get(number).is_some_and(|lives| lives.contains(&life)));
                    if by.is_none() || ended.get(&(*number, run.attempt)) != by.as_ref() || is_lost {
                        fault(format!("run {number} was begun by {by:?}, lost by {:?}: {run:?}", lost.get(number)));
                    }
                }
                RunState::CutOff { .. } if !spec.again => figures.cut_off += 1,
                RunState::Waiting { .. } => {}
                _ => fault(format!("run {number} has ended otherwise: {run:?}")),
            }
        }

        // Each occurrence belongs to one run.
        if let Some(every) = spec.every {
            let period = every as i64 * 1_000_000;
            let due = (nanos(record.searched) - nanos(record.anchor)) / period;
            let run: u64 = all.values().map(|run| run.folded).sum();
            figures.occurrences += due;
            if due != run as i64 {
                fault(format!("{due} occurrences, {run} were run"));
            }
            for (run, next) in all.values().zip(all.values().skip(1)) {
                let step = nanos(next.first_missed) - nanos(run.due);
                if step < period / 2 {
                    fault(format!("an occurrence was taken up twice: {run:?}, {next:?}"));
                }
            }
        } else {
            let mut followed: Vec<u64> = all.values().flat_map(|run| &run.follows).map(|run| run.number).collect();
            followed.sort_unstable();
            figures.followed += followed.len();
            if followed != done_before {
                fault(format!("it followed {} of {}, or one twice", followed.len(), done_before.len()));
            }
        }

        self.taken_over(begun.values().flatten(), figures);
        let is_done = |run: &&RunRecord| matches!(run.state, RunState::Ended { end: RunEnd::Done, .. });
        Ok(all.values().copied().filter(is_done).map(|run| run.number).collect())
    }

    /// How long it took until another process began a run.
    fn taken_over<'a>(&self, begun: impl Iterator<Item = &'a Logged<'a>>, figures: &mut Figures) {
        let mut begun: Vec<(i64, usize)> = begun.map(|(life, at, _)| (*at, *life)).collect();
        begun.sort_unstable();
        for deed in &self.deeds {
            let next = begun.partition_point(|(at, _)| *at <= deed.at);
            let had_it = next.checked_sub(1).is_some_and(|before| begun[before].1 == deed.life);
            let Some((at, by)) = begun.get(next).filter(|_| had_it) else { continue };
            if *by != deed.life {
                figures.taken_over.entry(deed.what).or_default().push(at - deed.at);
            }
        }
    }
}

#[test]
fn each_occurrence_is_claimed_by_one_process() {
    let (seed, seconds) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_SECONDS", 10));
    for processes in [2, 5] {
        let folder = Folder::new();
        let story = story(seed, processes, Duration::from_millis(seconds * 500), &folder);
        let mut figures = Figures { processes, ..Figures::default() };
        for deed in &story.deeds {
            *figures.deeds.entry(deed.what).or_default() += 1;
        }
        let judged = story.judge(&folder.join(FILE), &mut figures);
        println!("{figures}");
        if let Err(faults) = judged {
            let log = std::env::temp_dir().join(format!("punctual-shared-{seed}-{processes}.log"));
            std::fs::write(&log, story.to_string()).expect("a log");
            panic!("{}\nits log: {}\nagain: PUNCTUAL_SEED={seed}", faults.join("\n"), log.display());
        }
    }
}
