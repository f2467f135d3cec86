//! Jobs that are plain take a shorter way through a poll. Each host here lives twice: once as it is, once with an observer, which
//! sends all jobs the long way. What can be seen of them is the same.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use punctual::{JobHandle, ManualClock, Missed, Outcome, RunView, Schedule, Scheduler};

/// What a job does in its call, to the three jobs of its host and to the scheduler. It is the second of them.
type Act = fn(&Scheduler, &[JobHandle], &Host);

struct Host {
    calls: Mutex<Vec<String>>,
    tokens: Mutex<Vec<RunView>>,
    clock: ManualClock,
}

const ACTS: [(&str, Act); 21] = [
    ("nothing", |_, _, _| ()),
    ("takes its time", |_, _, host| host.clock.advance(Duration::from_millis(1_500))),
    ("sets the clock", |_, _, host| host.clock.step(chrono::TimeDelta::seconds(90))),
    ("sets the clock back", |_, _, host| host.clock.step(chrono::TimeDelta::seconds(-90))),
    ("cancels itself", |_, jobs, _| _ = jobs[1].cancel()),
    ("cancels the next", |_, jobs, _| _ = jobs[2].cancel()),
    ("cancels the one before", |_, jobs, _| _ = jobs[0].cancel()),
    ("pauses itself", |_, jobs, _| _ = jobs[1].pause()),
    ("pauses the next", |_, jobs, _| _ = jobs[2].pause()),
    ("pauses itself and goes on", |_, jobs, _| _ = (jobs[1].pause(), jobs[1].resume())),
    ("asks for itself", |_, jobs, _| _ = jobs[1].run_now()),
    ("asks for the next", |_, jobs, _| _ = jobs[2].run_now()),
    ("is rescheduled", |_, jobs, _| jobs[1].reschedule(every(3)).unwrap()),
    ("is rescheduled to end", |_, jobs, _| jobs[1].reschedule(Schedule::once_after(Duration::from_secs(5))).unwrap()),
    ("reschedules the next", |_, jobs, _| jobs[2].reschedule(every(3)).unwrap()),
    ("is followed", |scheduler, jobs, _| drop(scheduler.following(&jobs[1]).named("follower").do_with(|_, _| ()).unwrap())),
    ("links the next to itself", |_, jobs, _| _ = jobs[2].also_after(&jobs[1])),
    ("registers another", |scheduler, _, _| drop(scheduler.every(1).second().named("late").do_(|| ()).unwrap())),
    ("pauses all", |scheduler, _, _| scheduler.pause()),
    ("polls", |scheduler, _, _| assert!(scheduler.run_pending().was_busy())),
    ("clears all", |scheduler, _, _| _ = scheduler.clear()),
];

/// How the second job ends its second call.
const ENDS: [Outcome; 4] = [Outcome::Done, Outcome::Cancel, Outcome::Retry, Outcome::Yield];

fn every(seconds: u32) -> Schedule {
    Schedule::every(seconds).seconds().build().unwrap()
}

/// What can be seen of a host that lives for a while: its calls and ticks, and its jobs after each poll.
fn life(act: Act, end: Outcome, panics: bool, is_observed: bool) -> Vec<String> {
    let start: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    let clock = ManualClock::new(start);
    let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).build();
    if is_observed {
        scheduler.on_event(|_| ());
    }
    let host = Arc::new(Host { calls: Mutex::default(), tokens: Mutex::default(), clock: clock.clone() });
    let jobs: Arc<Mutex<Vec<JobHandle>>> = Arc::default();
    for number in 0..3 {
        let (host, handles) = (host.clone(), jobs.clone());
        let mut calls = 0;
        let chain = scheduler.every(2).seconds().missed(Missed::RunAll { most: 3 });
        let chain = if number == 2 { chain.starting_at(start + Duration::from_millis(700)) } else { chain };
        let job = chain.do_with(move |run| {
            calls += 1;
            let text = format!("{number}: {:?} {:?} {}", run.facts().due, run.facts().late, run.facts().late_by as u8);
            host.calls.lock().unwrap().push(text);
            if number == 0 {
                // What another job said of its run is not said of this one.
                let own = handles.lock().unwrap()[0].progress();
                host.calls.lock().unwrap().push(format!("{own:?}"));
            } else {
                run.progress(calls, 9);
            }
            if number == 2 && calls == 3 {
                // Those of a run that is over say nothing of this one.
                host.tokens.lock().unwrap().iter().for_each(|token| token.progress(1, 2));
                let own = handles.lock().unwrap()[2].progress();
                host.calls.lock().unwrap().push(format!("{own:?}"));
                host.tokens.lock().unwrap().iter().for_each(|token| token.progress(0, 0));
            }
            if number == 2 && calls == 4 {
                _ = handles.lock().unwrap()[2].cancel();
            }
            if number == 1 && calls == 2 {
                host.tokens.lock().unwrap().push(RunView::clone(run));
                let scheduler = run.scheduler();
                let handles = handles.lock().unwrap().clone();
                act(&scheduler, &handles, &host);
                assert!(!panics, "as it was to");
                return end;
            }
            Outcome::Done
        });
        jobs.lock().unwrap().push(job.unwrap());
    }
    let mut seen = Vec::new();
    for pause in [2_000, 2_000, 1_000, 1_000, 5_000, 500, 2_500, 9_000] {
        clock.advance(Duration::from_millis(pause));
        let tick = scheduler.run_pending();
        seen.push(format!("{} {} {} {:?}", tick.ran(), tick.failed(), tick.left(), tick.next()));
        seen.append(&mut host.calls.lock().unwrap());
        for job in jobs.lock().unwrap().iter() {
            seen.push(format!("{:?} {:?} {:?} {:?}", job.stats(), job.last_run(), job.snapshot(), job.last_value()));
        }
        let rest: Vec<_> =
            scheduler.jobs().iter().skip(3).map(|job| (job.name.clone(), job.stats, job.last_run.clone())).collect();
        seen.push(format!("{rest:?}"));
    }
    // Whoever was called then has a token that is of that run alone.
    seen.extend(host.tokens.lock().unwrap().iter().map(|token| format!("{}", token.should_stop())));
    jobs.lock().unwrap().clear();
    seen
}

#[test]
fn a_plain_job_is_seen_to_do_what_any_other_does() {
    for (name, act) in ACTS {
        for (end, panics) in ENDS.map(|end| (end, false)).into_iter().chain([(Outcome::Done, true)]) {
            let (short, long) = (life(act, end, panics, false), life(act, end, panics, true));
            let first = short.iter().zip(&long).position(|(short, long)| short != long);
            let at = first.unwrap_or(short.len().min(long.len()));
            assert_eq!(short.get(at), long.get(at), "{name}, {end:?}, panics {panics}, line {at}");
        }
    }
}
