//! A failing world cut down to what shows the difference.

use crate::plan::{Kind, Missed, Plan, Step};

/// Takes away steps, jobs and words for as long as the world still fails. `fails` says after how many steps.
pub(crate) fn shrink(plan: &Plan, steps: usize, fails: &dyn Fn(&Plan) -> Option<usize>) -> Plan {
    let mut best = plan.clone();
    best.steps.truncate(steps);
    for _ in 0..6 {
        let before = best.clone();
        for place in (0..best.steps.len()).rev() {
            attempt(&mut best, fails, |plan| {
                if place < plan.steps.len() {
                    plan.steps.remove(place);
                }
            });
        }
        for place in (0..best.jobs.len()).rev() {
            attempt(&mut best, fails, |plan| drop(plan.jobs.remove(place)));
        }
        while best.spares.len() > 1 && attempt(&mut best, fails, |plan| drop(plan.spares.pop())) {}
        attempt(&mut best, fails, |plan| plan.budget = None);
        attempt(&mut best, fails, |plan| plan.capacity = None);
        for place in 0..best.jobs.len() + best.spares.len() {
            simplify(&mut best, place, fails);
        }
        for place in 0..best.steps.len() {
            for simpler in [1, 100, 1_000, 60_000] {
                attempt(&mut best, fails, |plan| match plan.steps.get_mut(place) {
                    Some(Step::Advance(ms)) if *ms > simpler => *ms = simpler,
                    _ => {}
                });
            }
        }
        if best == before {
            break;
        }
    }
    best
}

fn attempt(best: &mut Plan, fails: &dyn Fn(&Plan) -> Option<usize>, change: impl FnOnce(&mut Plan)) -> bool {
    let mut plan = best.clone();
    change(&mut plan);
    if plan == *best {
        return false;
    }
    let Some(steps) = fails(&plan) else { return false };
    plan.steps.truncate(steps);
    *best = plan;
    true
}

fn simplify(best: &mut Plan, place: usize, fails: &dyn Fn(&Plan) -> Option<usize>) {
    let jobs = best.jobs.len();
    let mut each = |change: &dyn Fn(&mut crate::plan::Spec)| {
        attempt(best, fails, |plan| match place.checked_sub(jobs) {
            None => change(&mut plan.jobs[place]),
            Some(spare) => change(&mut plan.spares[spare]),
        })
    };
    each(&|spec| spec.priority = 0);
    each(&|spec| spec.tag = None);
    each(&|spec| spec.background = false);
    each(&|spec| spec.overlap = None);
    each(&|spec| spec.timeout = None);
    each(&|spec| spec.retry = None);
    each(&|spec| spec.pause_after = None);
    each(&|spec| spec.spacing = None);
    each(&|spec| spec.limits.clear());
    for limit in 0..3 {
        each(&|spec| {
            if limit < spec.limits.len() {
                spec.limits.remove(limit);
            }
        });
    }
    each(&|spec| spec.at_latest = None);
    each(&|spec| (spec.condition, spec.at_latest) = (None, None));
    each(&|spec| spec.window = None);
    each(&|spec| match &mut spec.kind {
        Kind::Scheduled { times, .. } => *times = None,
        Kind::Following { within, .. } => *within = None,
    });
    each(&|spec| match &mut spec.kind {
        Kind::Scheduled { until, .. } => *until = None,
        Kind::Following { delay, .. } => *delay = None,
    });
    each(&|spec| {
        if let Kind::Scheduled { missed, .. } = &mut spec.kind {
            *missed = Missed::RunOnce;
        }
    });
    each(&|spec| {
        if let Kind::Scheduled { grace, .. } = &mut spec.kind {
            *grace = None;
        }
    });
    each(&|spec| {
        if let Kind::Scheduled { immediately, .. } = &mut spec.kind {
            *immediately = false;
        }
    });
    for call in (0..4).rev() {
        each(&|spec| {
            if spec.script.len() > 1 && call < spec.script.len() {
                spec.script.remove(call);
            }
        });
        each(&|spec| {
            if let Some(behaviour) = spec.script.get_mut(call) {
                behaviour.acts.pop();
            }
        });
        each(&|spec| {
            if let Some(behaviour) = spec.script.get_mut(call) {
                if !behaviour.acts.is_empty() {
                    behaviour.acts.remove(0);
                }
            }
        });
        each(&|spec| {
            if let Some(behaviour) = spec.script.get_mut(call) {
                behaviour.takes = 0;
            }
        });
        each(&|spec| {
            if let Some(behaviour) = spec.script.get_mut(call) {
                behaviour.end = crate::plan::Ending::Done;
            }
        });
    }
}
