//! Jobs that come, go, and are changed by their handles.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use punctual::{JobHandle, Schedule, Scheduler};

use super::floors::lock;
use super::{Options, many};
use crate::hosts::{CLOKWERK, Every, JOB_SCHEDULER, POLLED, TOKIO_CRON, TokioCron, host, job};
use crate::measure::{Case, Contender, Goal, Sample, expect, nanos};
use crate::python;

pub(super) fn cases(options: &Options) -> Vec<Case> {
    let million = options.million();
    let mut cases = Vec::new();
    for jobs in [10_000, million] {
        let asked = options.clone();
        let title = format!("register {} jobs and drop them, per job", many(jobs));
        let user = "a game, with a job for each thing that is to happen in a level";
        let case = Case::new(format!("register-{jobs}"), title, user, move || registering(jobs, &asked));
        cases.push(case.goal(Goal::Times(1.0, CLOKWERK)));
    }
    for (name, user, change) in [
        ("cancel", "a server, that drops the time limit of a request once it is answered", Change::Cancel),
        ("reschedule", "a server, that puts off a session's end whenever it is used", Change::Reschedule),
        ("pause", "a desktop program, that pauses what belongs to a window that is hidden", Change::Pause),
    ] {
        let title = format!("{name} by handle among {}", many(million));
        cases.push(Case::new(name, title, user, move || changing(million, change)).goal(Goal::Most(300.0)));
    }
    cases
}

fn registering(jobs: usize, options: &Options) -> Vec<Contender> {
    let register = move |name: &'static str| {
        move || {
            let mut known = None;
            let took = nanos(|| {
                let mut host = host(name);
                host.fill(jobs, Every::Hour);
                known = host.jobs();
            });
            expect("has", known.unwrap_or(jobs) as u64, jobs as u64)?;
            Ok(took / jobs as f64)
        }
    };
    let mut contenders = vec![Contender::floor("Box and BinaryHeap push", move || Ok(plain(jobs)))];
    contenders.extend(POLLED.map(|peer| Contender::peer(peer, register(peer))));
    if jobs <= 10_000 {
        let register = move || Ok(nanos(|| drop(TokioCron::filled(jobs, Every::Hour))) / jobs as f64);
        contenders.push(Contender::peer(TOKIO_CRON, register));
        contenders.extend(python::contenders(options, "register", jobs));
    }
    contenders.push(Contender::punctual(register("punctual")));
    contenders
}

/// The least that can be kept of a job: what to call, and when.
fn plain(jobs: usize) -> f64 {
    let took = nanos(|| {
        let mut calls: Vec<Box<dyn FnMut() + Send>> = Vec::new();
        let mut due = BinaryHeap::new();
        for number in 0..jobs {
            let count = number as u64;
            calls.push(Box::new(move || (0..count.min(1)).for_each(|_| job())));
            due.push(Reverse((count, number as u32)));
        }
        std::hint::black_box((calls, due));
    });
    took / jobs as f64
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Cancel,
    Reschedule,
    Pause,
}

/// Of the jobs that are there, at a time.
const CHANGED: usize = 10_000;

fn changing(jobs: usize, change: Change) -> Vec<Contender> {
    let mut contenders = vec![lock(), sorted_set(jobs)];
    if matches!(change, Change::Cancel) {
        contenders.push(Contender::peer(JOB_SCHEDULER, removal(jobs)));
    }
    let mut host = Handles::new(jobs);
    contenders.push(Contender::punctual(move || host.sample(change)));
    contenders
}

/// What a set of due times takes for one that goes to another place.
fn sorted_set(jobs: usize) -> Contender {
    let mut due: Vec<u64> = (0..jobs as u64).collect();
    let mut set: BTreeSet<(u64, u32)> = due.iter().enumerate().map(|(job, at)| (*at, job as u32)).collect();
    let mut draw = fastrand::Rng::with_seed(1);
    Contender::floor("BTreeSet remove, insert", move || {
        let picked = pick(&mut draw, jobs, CHANGED);
        let took = nanos(|| {
            for job in &picked {
                set.remove(&(due[*job], *job as u32));
                due[*job] += jobs as u64 / 2;
                set.insert((due[*job], *job as u32));
            }
        });
        Ok(took / picked.len() as f64)
    })
}

/// It looks through its list, so a few must do.
fn removal(jobs: usize) -> impl FnMut() -> Sample {
    const REMOVED: usize = 10;
    let mut scheduler = job_scheduler_ng::JobScheduler::new();
    let new_job = || job_scheduler_ng::Job::new("0 0 * * * *".parse().expect("cron text"), job);
    let mut ids: Vec<_> = (0..jobs).map(|_| scheduler.add(new_job())).collect();
    let mut draw = fastrand::Rng::with_seed(1);
    move || {
        let places = pick(&mut draw, jobs, REMOVED);
        let mut removed = 0;
        let took = nanos(|| removed = places.iter().filter(|place| scheduler.remove(ids[**place])).count());
        expect("removed", removed as u64, REMOVED as u64)?;
        for place in places {
            ids[place] = scheduler.add(new_job());
        }
        Ok(took / REMOVED as f64)
    }
}

/// Some of them, in no order, none twice.
fn pick(draw: &mut fastrand::Rng, jobs: usize, most: usize) -> Vec<usize> {
    let mut picked = draw.choose_multiple(0..jobs, most.min(jobs / 2));
    draw.shuffle(&mut picked);
    picked
}

/// A scheduler with many jobs, and a hold on each.
struct Handles {
    scheduler: Scheduler,
    handles: Vec<JobHandle>,
    draw: fastrand::Rng,
}

impl Handles {
    fn new(jobs: usize) -> Handles {
        let scheduler = Scheduler::new();
        let draw = fastrand::Rng::with_seed(1);
        let mut made = Handles { scheduler, handles: Vec::new(), draw };
        made.handles = (0..jobs).map(|_| made.register()).collect();
        made
    }

    /// Periods of a day to two, so that nothing is due.
    fn schedule(&mut self) -> Schedule {
        Schedule::every_period(Duration::from_secs(self.draw.u64(86_400..2 * 86_400))).build().expect("a schedule")
    }

    fn register(&mut self) -> JobHandle {
        let schedule = self.schedule();
        self.scheduler.schedule(schedule).do_(job).expect("it registers")
    }

    fn sample(&mut self, change: Change) -> Sample {
        let places = pick(&mut self.draw, self.handles.len(), CHANGED);
        let new: Vec<Schedule> = places.iter().map(|_| self.schedule()).collect();
        let of = |place: &usize| &self.handles[*place];
        let mut done = 0;
        let took = match change {
            Change::Cancel => nanos(|| done = places.iter().filter(|place| of(place).cancel()).count()),
            Change::Pause => nanos(|| done = places.iter().filter(|place| of(place).pause()).count()),
            Change::Reschedule => nanos(|| {
                done = places.iter().zip(new).filter_map(|(place, new)| of(place).reschedule(new).ok()).count();
            }),
        };
        expect("changed", done as u64, places.len() as u64)?;
        for place in &places {
            match change {
                Change::Cancel => self.handles[*place] = self.register(),
                Change::Pause => expect("resumed", u64::from(self.handles[*place].resume()), 1)?,
                Change::Reschedule => {}
            }
        }
        Ok(took / places.len() as f64)
    }
}
