//! The program that is killed: fifty jobs of all kinds.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use punctual::rusqlite::{self, Transaction, TransactionBehavior};
use punctual::{Backoff, Durability, JobHandle, Missed, Overlap, RunView, Scheduler, SqliteStore, Store};

use crate::child::{self, Begun, Line, Log};

pub const JOBS: usize = 50;
pub const FILE: &str = "jobs.db";

/// A job of the program.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    pub name: String,
    pub when: When,
    /// `at_least_once`.
    pub again: bool,
    /// How often it is tried again.
    pub retry: u32,
    pub fails: bool,
    pub panics: bool,
    pub place: Place,
    /// Occurrences that come while it runs wait; else they are dropped.
    pub queues: bool,
    /// Each missed occurrence is run by itself.
    pub all: bool,
    pub times: Option<u32>,
    pub work: Work,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So many milliseconds.
    Every(u64),
    /// Each second of the wall clock, by cron text.
    Cron,
    /// After each success of an earlier job, so many milliseconds later.
    Follows(usize, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    OnPoll,
    Background,
    InSteps,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    None,
    /// So many microseconds.
    Takes(u64),
    /// A row in a table of its own, in the file of the store.
    Row,
    /// The same, in one transaction with the end of its run.
    Shared,
}

impl Spec {
    /// Whether it never drops an occurrence.
    pub fn drops_none(&self) -> bool {
        self.queues || self.place == Place::OnPoll && self.retry == 0
    }
}

/// The jobs of a story: some that each has, and others drawn at random.
pub fn specs(story: u64) -> Vec<Spec> {
    let mut rng = Rng::with_seed(story);
    let mut specs: Vec<Spec> = Vec::new();
    for number in 0..JOBS {
        let mut spec = Spec {
            name: format!("job-{number}"),
            when: When::Every(*rng.choice(&[2, 3, 5, 10, 20, 50, 100, 250]).expect("one")),
            again: rng.bool(),
            retry: if rng.u8(0..10) < 2 { 2 } else { 0 },
            fails: rng.u8(0..10) < 3,
            panics: false,
            place: *rng.choice(&[Place::OnPoll, Place::OnPoll, Place::Background, Place::InSteps]).expect("one"),
            queues: rng.u8(0..4) == 0,
            all: rng.u8(0..6) == 0,
            times: None,
            work: if rng.bool() { Work::None } else { Work::Takes(rng.u64(10..500)) },
        };
        let plain = Spec { retry: 0, fails: false, place: Place::OnPoll, queues: false, all: false, ..spec.clone() };
        spec = match number {
            0 | 1 => Spec { when: When::Every(1), again: number == 1, ..plain },
            2 => Spec { when: When::Every(100), place: Place::Background, queues: true, work: Work::Takes(30_000), ..plain },
            3 | 4 => Spec { when: When::Follows(number - 3, 0), again: number == 4, ..plain },
            5 => Spec { when: When::Follows(4, 0), again: true, place: Place::Background, ..plain },
            6 => Spec { when: When::Follows(2, 20), ..plain },
            7 | 8 => Spec { when: When::Cron, again: number == 8, ..plain },
            9 | 10 => Spec { when: When::Every(5), times: Some(20), again: number == 10, ..plain },
            11 | 12 => Spec { when: When::Every(20), all: true, again: number == 12, ..plain },
            13 => Spec { fails: true, retry: 3, again: true, ..spec },
            14 => Spec { panics: true, ..plain },
            15 | 16 => Spec { when: When::Every(10), work: Work::Row, again: number == 16, ..plain },
            17..20 => Spec { when: When::Every(number as u64), work: Work::Shared, again: number != 17, ..plain },
            20 => Spec { when: When::Follows(19, 0), ..plain },
            _ if rng.u8(0..5) == 0 => {
                Spec { when: When::Follows(rng.usize(0..number), *rng.choice(&[0, 0, 3]).expect("one")), ..spec }
            }
            _ => spec,
        };
        if let When::Every(every) = &mut spec.when {
            // What waits for each of its turns must not come faster than it goes.
            if spec.queues || spec.all {
                *every = 20.max(*every);
            }
        }
        if matches!(spec.when, When::Follows(..)) {
            (spec.queues, spec.all) = (false, false);
        }
        specs.push(spec);
    }
    specs
}

/// Odd stories run at the one level, even ones at the other.
pub fn durability(story: u64) -> Durability {
    if story % 2 == 0 { Durability::Power } else { Durability::Process }
}

/// One life of the program. Only the last one ends by itself: once all that it found begun is over.
pub fn live() {
    let (folder, story, is_last) = (child::folder(), child::given("PUNCTUAL_STORY"), child::given("PUNCTUAL_LAST") == 1);
    let log = Arc::new(Log::new());
    let panics = log.clone();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&PLANNED) {
            panics.write(&Line::Trouble(panic.to_string()));
        }
    }));
    let path = folder.join(FILE);
    let store = SqliteStore::options().durability(durability(story)).open(&path).expect("it opens");
    if store.lost_at_open() > 0 {
        log.write(&Line::Trouble(format!("{} commits are lost", store.lost_at_open())));
    }
    let mut builder = Scheduler::builder().store(store.clone());
    if story % 3 == 0 {
        builder = builder.budget(Duration::from_millis(5));
    }
    let scheduler: Scheduler = builder.build();
    let told = log.clone();
    scheduler.on_event(move |event| Line::of_event(event).iter().for_each(|line| told.write(line)));

    let specs = specs(story);
    let open = |name: &str| store.load(name).expect("it reads").map_or(Vec::new(), |job| job.open);
    let found: Vec<(String, u64)> = if is_last {
        specs.iter().flat_map(|spec| open(&spec.name).into_iter().map(|run| (spec.name.clone(), run.number))).collect()
    } else {
        Vec::new()
    };
    let mut jobs: Vec<JobHandle> = Vec::new();
    for spec in &specs {
        let job = register(&scheduler, spec, &jobs, &log, (&path, &store));
        jobs.push(job.expect("it is registered"));
    }
    let mut polls = 0;
    loop {
        let _ = scheduler.run_pending();
        polls += 1;
        if polls == 1 {
            log.write(&Line::Polled);
        }
        if is_last && polls % 50 == 0 && found.iter().all(|(name, number)| open(name).iter().all(|run| run.number != *number)) {
            break;
        }
        assert!(polls < 100_000, "what was begun does not end");
        scheduler.wait(Duration::from_millis(10));
    }
    let unended = scheduler.shutdown(Duration::from_secs(60));
    // One in steps may have more to do.
    for job in unended.iter().filter(|job| specs.iter().any(|spec| *spec.name == *job.label() && spec.place != Place::InSteps)) {
        log.write(&Line::Trouble(format!("{} has not ended", job.label())));
    }
    drop(scheduler);
    log.write(&Line::Stopped);
}

const PLANNED: &str = "as planned";

fn register(
    scheduler: &Scheduler,
    spec: &Spec,
    before: &[JobHandle],
    log: &Arc<Log>,
    (path, store): (&Path, &SqliteStore),
) -> Result<JobHandle, punctual::Error> {
    macro_rules! said {
        ($job:expr) => {{
            let mut job = $job.named(spec.name.clone());
            job = if spec.again { job.at_least_once() } else { job.at_most_once() };
            if spec.retry > 0 {
                job = job.retry(spec.retry).backoff(Backoff::constant(Duration::from_millis(5)));
            }
            if spec.queues {
                job = job.overlap(Overlap::Queue { most: 100_000 });
            }
            job
        }};
    }
    let work = Working { spec: spec.clone(), log: log.clone() };
    if let When::Follows(of, delay) = spec.when {
        let job = said!(scheduler.following(&before[of])).delay(Duration::from_millis(delay));
        return match spec.place {
            Place::Background => job.background().do_with(move |run, ()| work.whole(run, None)),
            Place::OnPoll | Place::InSteps => job.do_with(move |run, ()| work.whole(run, None)),
        };
    }
    let job = match spec.when {
        When::Every(every) => scheduler.every_period(Duration::from_millis(every)),
        When::Cron | When::Follows(..) => scheduler.cron("* * * * * *"),
    };
    let mut job = said!(job);
    if spec.all {
        job = job.missed(Missed::RunAll { most: 100_000 });
    }
    if let Some(times) = spec.times {
        job = job.times(times);
    }
    match spec.place {
        Place::Background => job.background().do_with(move |run| work.whole(run, None)),
        Place::OnPoll => {
            let rows = match spec.work {
                Work::Row => Some(Rows::open(path, None)),
                Work::Shared => Some(Rows::open(path, Some(store.clone()))),
                Work::None | Work::Takes(_) => None,
            };
            job.do_with(move |run| work.whole(run, rows.as_ref()))
        }
        Place::InSteps => job.do_steps(move |run| {
            let (run, work) = (RunView::clone(run), work.clone());
            (0..3).map(move |step| match step {
                0 => {
                    work.begin(&run);
                    Ok(())
                }
                1 => {
                    work.do_it(&run, None);
                    Ok(())
                }
                _ => work.end(&run),
            })
        }),
    }
}

/// What each job does.
#[derive(Clone)]
struct Working {
    spec: Spec,
    log: Arc<Log>,
}

impl Working {
    fn whole(&self, run: &RunView, rows: Option<&Rows>) -> Result<(), String> {
        self.begin(run);
        self.do_it(run, rows);
        self.end(run)
    }

    fn begin(&self, run: &RunView) {
        self.log.write(&Line::Begun(Begun::of(run)));
    }

    fn do_it(&self, run: &RunView, rows: Option<&Rows>) {
        match self.spec.work {
            Work::None => {}
            Work::Takes(time) => std::thread::sleep(Duration::from_micros(time)),
            Work::Row | Work::Shared => rows.into_iter().for_each(|rows| rows.insert(run)),
        }
    }

    fn end(&self, run: &RunView) -> Result<(), String> {
        let failed = (self.spec.fails || self.spec.panics) && fastrand::u8(0..4) == 0;
        let (job, number, attempt) = (self.spec.name.clone(), run.number(), run.attempt());
        self.log.write(&Line::Ended { job, number, attempt, failed });
        match failed {
            true if self.spec.panics => std::panic::panic_any(PLANNED),
            true => Err("as planned".to_owned()),
            false => Ok(()),
        }
    }
}

/// A table of the program's own, in the file of the store. With the store, a run that inserts its row is done with that.
struct Rows(rusqlite::Connection, Option<SqliteStore>);

impl Rows {
    fn open(path: &Path, store: Option<SqliteStore>) -> Rows {
        let connection = rusqlite::Connection::open(path).expect("it opens");
        connection.busy_timeout(Duration::from_secs(10)).expect("it waits");
        connection
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS rows (job TEXT NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL)",
            )
            .expect("a table");
        Rows(connection, store)
    }

    fn insert(&self, run: &RunView) {
        let Rows(connection, store) = self;
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate).expect("it begins");
        let row = (run.name(), run.number() as i64, run.attempt());
        transaction.execute("INSERT INTO rows VALUES (?, ?, ?)", row).expect("it inserts");
        if let Some(store) = store {
            store.complete(&transaction, run.facts()).expect("it is its run");
        }
        transaction.commit().expect("it commits");
    }
}

/// For each run that inserted rows, in which attempts.
pub fn rows(path: &Path) -> rusqlite::Result<HashMap<(String, u64), Vec<u32>>> {
    let connection = rusqlite::Connection::open(path)?;
    let mut statement = connection.prepare("SELECT job, number, attempt FROM rows")?;
    let mut found: HashMap<_, Vec<u32>> = HashMap::new();
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        found.entry((row.get(0)?, row.get::<_, i64>(1)? as u64)).or_default().push(row.get(2)?);
    }
    Ok(found)
}
