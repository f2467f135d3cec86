//! Schedulers under one roof: filled with the same jobs, polled by the same loop, on the machine's own clock.
//!
//! Every job is the one plain function [`job`]; it counts, so that it can be seen whether a poll did its work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, TimeZone, Utc};
use clokwerk::TimeUnits;
use cpu_time::ThreadTime;
use punctual::{ManualClock, Scheduler};
use tokio::runtime::Runtime;

use crate::measure::{Sample, expect, nanos};

static FIRED: AtomicU64 = AtomicU64::new(0);

/// What all jobs do. They run on one thread, so it takes no more than a load and a store.
pub fn job() {
    FIRED.store(FIRED.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// How often [`job`] was called.
pub fn fired() -> u64 {
    FIRED.load(Ordering::Relaxed)
}

/// How often jobs are due. Whole seconds are the least that all schedulers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    Second,
    Hour,
    /// Or 52 weeks, or the first of January: never while anything is measured.
    Year,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A scheduler that is polled.
pub trait Host {
    fn fill(&mut self, jobs: usize, every: Every);

    fn poll(&mut self);

    /// How many jobs it has, of one that can say so.
    fn jobs(&self) -> Option<usize> {
        None
    }

    /// How long until a job is due, of one that can say so.
    fn idle(&self) -> Option<Duration> {
        None
    }
}

pub const SKEDGE: &str = "skedge";
pub const CLOKWERK: &str = "clokwerk";
pub const JOB_SCHEDULER: &str = "job_scheduler_ng";
pub const TOKIO_CRON: &str = "tokio-cron-scheduler";

/// An empty scheduler of that name.
///
/// # Panics
///
/// If there is none of it.
pub fn host(name: &str) -> Box<dyn Host> {
    match name {
        "punctual" => Box::new(Punctual::default()),
        CLOKWERK => Box::new(Clokwerk(clokwerk::Scheduler::with_tz(Utc))),
        SKEDGE => Box::new(Skedge(skedge::Scheduler::new())),
        JOB_SCHEDULER => Box::new(JobSchedulerNg::default()),
        _ => panic!("`{name}` is no scheduler that is polled"),
    }
}

pub fn filled(name: &str, jobs: usize, every: Every) -> Box<dyn Host> {
    let mut host = host(name);
    host.fill(jobs, every);
    host
}

/// The peers that are polled.
pub const POLLED: [&str; 3] = [CLOKWERK, SKEDGE, JOB_SCHEDULER];

#[derive(Default)]
struct Punctual(Scheduler);

impl Host for Punctual {
    fn fill(&mut self, jobs: usize, every: Every) {
        // Those that are to run are due at the same instants, as jobs are that are meant for the full hour.
        let start = Utc::now().trunc_subsecs(0) + TimeDelta::seconds(1);
        for _ in 0..jobs {
            let when = match every {
                Every::Second => self.0.every(1).second().starting_at(start),
                Every::Hour => self.0.every(1).hour(),
                Every::Year => self.0.every_period(YEAR),
            };
            when.do_(job).expect("it registers");
        }
    }

    fn poll(&mut self) {
        let _ = std::hint::black_box(self.0.run_pending());
    }

    fn jobs(&self) -> Option<usize> {
        Some(self.0.len())
    }

    fn idle(&self) -> Option<Duration> {
        self.0.idle()
    }
}

/// In UTC: in the local zone each run takes several times as long.
struct Clokwerk(clokwerk::Scheduler<Utc>);

impl Host for Clokwerk {
    fn fill(&mut self, jobs: usize, every: Every) {
        for _ in 0..jobs {
            let interval = match every {
                Every::Second => 1.second(),
                Every::Hour => 1.hour(),
                Every::Year => 52.weeks(),
            };
            self.0.every(interval).run(job);
        }
    }

    fn poll(&mut self) {
        self.0.run_pending();
    }
}

struct Skedge(skedge::Scheduler);

impl Skedge {
    fn add(&mut self, every: Every) -> skedge::Result<()> {
        match every {
            Every::Second => skedge::every_single().second()?,
            Every::Hour => skedge::every_single().hour()?,
            Every::Year => skedge::every(52).weeks()?,
        }
        .run(&mut self.0, job)
    }
}

impl Host for Skedge {
    fn fill(&mut self, jobs: usize, every: Every) {
        for _ in 0..jobs {
            self.add(every).expect("it registers");
        }
    }

    fn poll(&mut self) {
        self.0.run_pending().expect("it polls");
    }

    fn jobs(&self) -> Option<usize> {
        Some(self.0.get_jobs(None).len())
    }
}

#[derive(Default)]
struct JobSchedulerNg(job_scheduler_ng::JobScheduler<'static>);

impl Host for JobSchedulerNg {
    fn fill(&mut self, jobs: usize, every: Every) {
        let text = match every {
            Every::Second => "* * * * * *",
            Every::Hour => "0 0 * * * *",
            Every::Year => "0 0 0 1 1 *",
        };
        for _ in 0..jobs {
            self.0.add(job_scheduler_ng::Job::new(text.parse().expect("cron text"), job));
        }
    }

    /// The first one only notes the time.
    fn poll(&mut self) {
        self.0.tick();
    }
}

/// What an idle poll takes.
pub fn idle(mut host: Box<dyn Host>) -> impl FnMut() -> Sample {
    host.poll();
    let mut poll = crate::measure::paced(move || host.poll());
    move || {
        let before = fired();
        let sample = poll()?;
        expect("idle, it ran", fired() - before, 0)?;
        Ok(sample)
    }
}

/// What a poll takes for each of the jobs that are due in it, every second.
pub fn firing(mut host: Box<dyn Host>, due: usize) -> impl FnMut() -> Sample {
    move || {
        // What came due while others had their turn is not to be made up for in what is measured.
        host.poll();
        rest(&*host, Instant::now());
        let before = fired();
        let took = nanos(|| host.poll());
        expect("ran", fired() - before, due as u64)?;
        Ok(took / due as f64)
    }
}

/// Until jobs are due that come every second, and all of them are.
fn rest(host: &dyn Host, last: Instant) {
    const SPUN: Duration = Duration::from_millis(2);
    let due = host.idle().map_or(last + SECOND, |idle| Instant::now() + idle) + Duration::from_millis(1);
    std::thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(SPUN));
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

/// What a poll takes for each job on a clock that is set by hand, second by second and without a rest.
fn again(jobs: usize, mut next_second: impl FnMut()) -> impl FnMut() -> Sample {
    const POLLS: usize = 10;
    next_second();
    move || {
        let before = fired();
        let took = nanos(|| (0..POLLS).for_each(|_| next_second()));
        expect("ran", fired() - before, (POLLS * jobs) as u64)?;
        Ok(took / (POLLS * jobs) as f64)
    }
}

pub fn punctual_by_hand(jobs: usize) -> impl FnMut() -> Sample {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).build();
    for _ in 0..jobs {
        scheduler.every(1).second().do_(job).expect("it registers");
    }
    again(jobs, move || {
        clock.advance(SECOND);
        let _ = std::hint::black_box(scheduler.run_pending());
    })
}

/// clokwerk's way to bring a clock is a type.
struct ByHand;

static SECONDS: AtomicU64 = AtomicU64::new(0);

impl clokwerk::timeprovider::TimeProvider for ByHand {
    fn now<Tz: TimeZone + Sync + Send>(zone: &Tz) -> DateTime<Tz> {
        (DateTime::UNIX_EPOCH + Duration::from_secs(SECONDS.load(Ordering::Relaxed))).with_timezone(zone)
    }
}

pub fn clokwerk_by_hand(jobs: usize) -> impl FnMut() -> Sample {
    let mut scheduler = clokwerk::Scheduler::with_tz_and_provider::<Utc, ByHand>(Utc);
    for _ in 0..jobs {
        scheduler.every(1.second()).run(job);
    }
    again(jobs, move || {
        SECONDS.fetch_add(1, Ordering::Relaxed);
        scheduler.run_pending();
    })
}

/// tokio-cron-scheduler, which polls itself: twice a second, on a runtime that has this thread for its own.
pub struct TokioCron {
    runtime: Runtime,
    scheduler: tokio_cron_scheduler::JobScheduler,
}

impl TokioCron {
    /// An empty one that has room for so many jobs to be due at once; as it comes it has room for 200, and loses runs beyond.
    pub fn with_room(jobs: usize) -> TokioCron {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let new = tokio_cron_scheduler::JobScheduler::new_with_channel_size((2 * jobs).max(200));
        let scheduler = runtime.block_on(new).expect("a scheduler");
        TokioCron { runtime, scheduler }
    }

    fn fill(&self, jobs: usize, every: Every) {
        let period = match every {
            Every::Second => SECOND,
            Every::Hour => HOUR,
            Every::Year => YEAR,
        };
        self.runtime.block_on(async {
            for _ in 0..jobs {
                let each = tokio_cron_scheduler::Job::new_repeated(period, |_, _| job()).expect("a job");
                self.scheduler.add(each).await.expect("it registers");
            }
        });
    }

    pub fn filled(jobs: usize, every: Every) -> TokioCron {
        let host = TokioCron::with_room(jobs);
        host.fill(jobs, every);
        host.runtime.block_on(host.scheduler.start()).expect("it starts");
        host
    }

    /// What it takes of the CPU in so much time, in nanoseconds.
    fn live(&self, time: Duration) -> f64 {
        let cpu = ThreadTime::now();
        self.runtime.block_on(async { tokio::time::sleep(time).await });
        cpu.elapsed().as_nanos() as f64
    }

    /// What an idle tick of its own takes: there are two a second.
    pub fn idle(self) -> impl FnMut() -> Sample {
        move || {
            let before = fired();
            let took = self.live(SECOND * 2);
            expect("idle, it ran", fired() - before, 0)?;
            Ok(took / 4.0)
        }
    }

    /// What its ticks take for each run.
    ///
    /// It is begun anew each time: once it was kept waiting for longer than a period, such a job never runs again.
    pub fn firing(jobs: usize) -> impl FnMut() -> Sample {
        move || {
            let host = TokioCron::filled(jobs, Every::Second);
            let before = fired();
            let took = host.live(SECOND * 3);
            let ran = fired() - before;
            // A tick may come too early for one of the three runs.
            if ran < 2 * jobs as u64 {
                expect("in three seconds, ran", ran, 3 * jobs as u64)?;
            }
            Ok(took / ran as f64)
        }
    }
}
