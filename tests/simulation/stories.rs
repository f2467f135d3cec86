//! What the model itself says, in short worlds of which anyone can see how they should go.

use std::rc::Rc;

use crate::log::{At, Line, Told};
use crate::model::Model;
use crate::plan::{
    Act, Backoff, Behaviour, Ending, HOUR, Kind, Limit, MINUTE, Missed, Ms, On, Overlap, Plan, Retry, SECOND, Spec, Step, When,
};

/// Sunday, 09:00.
const START: Ms = 1_772_355_600_000;

/// The calls, and what is told of drops and ends, in one line.
fn lived(jobs: Vec<Spec>, steps: Vec<Step>) -> String {
    let plan =
        Plan { compared: true, watched: true, start: START, budget: None, capacity: None, jobs, spares: Vec::new(), steps };
    let mut model = Model::new(Rc::new(plan.clone()));
    let mut said = Vec::new();
    plan.jobs.iter().for_each(|job| model.register(job.clone()));
    for step in &plan.steps {
        model.step(step);
        for line in std::mem::take(&mut model.lines) {
            if let Line::Call(call) = line {
                let again =
                    if (call.attempt, call.turn) == (1, 0) { "".into() } else { format!("/{}.{}", call.attempt, call.turn) };
                let folded = if call.folded == 1 { "".into() } else { format!("*{}", call.folded) };
                let due = At(call.due).to_string();
                said.push(format!("j{}@{}{folded}{again}", call.job, due.trim_start_matches("2026-03-01 ")));
            }
        }
        for told in std::mem::take(&mut model.told) {
            match told {
                Told::Dropped { job, occurrences, because, .. } => said.push(format!("-{occurrences} of j{job} {because}")),
                Told::Ended { job, end, .. } if end != "done" => said.push(format!("j{job} {end}")),
                Told::Removed { job } => said.push(format!("j{job} gone")),
                _ => {}
            }
        }
    }
    said.join(", ")
}

fn poll() -> Step {
    Step::Act(Act::Poll(None))
}

fn after(ms: Ms) -> [Step; 2] {
    [Step::Advance(ms), poll()]
}

fn every(period: Ms, ends: &[Ending]) -> Spec {
    let script = ends.iter().map(|end| Behaviour { takes: 0, acts: Vec::new(), end: *end }).collect();
    Spec { script, ..Spec::scheduled(When::Every(period)) }
}

fn missed(spec: Spec, missed: Missed, grace: Option<Ms>) -> Spec {
    let Kind::Scheduled { when, immediately, times, until, .. } = spec.kind else { return spec };
    Spec { kind: Kind::Scheduled { when, immediately, times, until, missed, grace }, ..spec }
}

fn following(of: usize, on: On) -> Spec {
    Spec::new(Kind::Following { of: vec![of], all: false, on, within: None, delay: None })
}

#[test]
fn what_was_missed_is_made_up_for_as_the_job_says() {
    let hourly = || every(HOUR, &[Ending::Done]);
    let lived = |missed_: Missed, grace| lived(vec![missed(hourly(), missed_, grace)], after(3 * HOUR + 30 * MINUTE).to_vec());
    assert_eq!(lived(Missed::RunOnce, None), "j0@12:00:00*3");
    assert_eq!(lived(Missed::RunAll(2), None), "j0@11:00:00, j0@12:00:00, -1 of j0 Policy");
    assert_eq!(lived(Missed::Skip, None), "-3 of j0 Late");
    assert_eq!(lived(Missed::Skip, Some(HOUR)), "j0@12:00:00, -2 of j0 Policy");
    assert_eq!(lived(Missed::RunAll(3), Some(HOUR)), "j0@12:00:00, -2 of j0 Late");
}

#[test]
fn an_occurrence_that_finds_its_job_at_work_goes_by_the_overlap_rule() {
    let steps = || [after(MINUTE), after(MINUTE), [poll(), poll()]].concat();
    let with = |overlap| Spec { overlap, ..every(MINUTE, &[Ending::Yield, Ending::Yield, Ending::Done]) };
    let first = "j0@09:01:00, ";
    assert_eq!(lived(vec![with(None)], steps()), format!("{first}j0@09:01:00/1.1, -1 of j0 Overlapped, j0@09:01:00/1.2"));
    let queued = lived(vec![with(Some(Overlap::Queue(1)))], steps());
    assert_eq!(queued, format!("{first}j0@09:01:00/1.1, j0@09:01:00/1.2, j0@09:02:00, j0@09:02:00/1.1"));
    let cancelled = lived(vec![with(Some(Overlap::CancelRunning))], steps());
    assert_eq!(cancelled, format!("{first}j0@09:02:00, j0 stopped, j0@09:02:00/1.1"));
}

#[test]
fn a_failed_run_is_tried_again_after_its_wait() {
    let retry = Some(Retry { times: 2, backoff: Some(Backoff::List(vec![0, 10 * SECOND])), unless_panicked: false });
    let job = Spec { retry, ..every(HOUR, &[Ending::Error]) };
    let steps = [after(HOUR), [poll(), poll()], after(9 * SECOND), after(SECOND)].concat();
    assert_eq!(lived(vec![job], steps), "j0@10:00:00, j0@10:00:00/2.0, j0@10:00:00/3.0, j0 failed");
}

#[test]
fn a_run_that_yields_keeps_its_mutex_and_lets_the_other_on_when_it_ends() {
    let limits = vec![Limit::Mutex(0)];
    let one = Spec { limits: limits.clone(), ..every(HOUR, &[Ending::Yield, Ending::Done]) };
    let other = Spec { limits, ..every(HOUR, &[Ending::Done]) };
    assert_eq!(lived(vec![one, other], [after(HOUR), [poll(), poll()]].concat()), "j0@10:00:00, j0@10:00:00/1.1, j1@10:00:00");
}

#[test]
fn what_follows_runs_in_the_same_poll_for_the_ends_it_asks_for() {
    let first = missed(every(HOUR, &[Ending::Done, Ending::Error]), Missed::RunAll(9), None);
    let jobs = vec![first, following(0, On::Success), following(0, On::Failure), following(1, On::End)];
    let said = lived(jobs, after(2 * HOUR).to_vec());
    assert_eq!(said, "j0@10:00:00, j1@10:00:00, j3@10:00:00, j0@11:00:00, j2@11:00:00, j0 failed");
}

#[test]
fn a_calendar_set_back_does_not_repeat_what_it_ran() {
    let daily = Spec::scheduled(When::Daily(vec![10 * HOUR]));
    let steps = [after(HOUR), [Step::Set(-5 * HOUR), poll()], after(6 * HOUR), after(24 * HOUR)].concat();
    assert_eq!(lived(vec![daily], steps), "j0@10:00:00, j0@2026-03-02 10:00:00");
}
