//! Polls: with nothing due, with much due, with little due among much.

use super::floors::{INSTANT, boxed_calls, heap_pop_and_push, instant_now};
use super::{Options, many};
use crate::hosts::{self, CLOKWERK, Every, POLLED, TOKIO_CRON, TokioCron, filled};
use crate::measure::{Case, Contender, Goal};
use crate::python;

const ONE: &str = "with 1 job";
const TEN_THOUSAND: &str = "with 10,000 jobs";

/// Among more jobs than that it takes minutes to get into tokio-cron-scheduler.
const MOST_OF_TOKIO_CRON: usize = 10_000;

/// And into lists of Python's.
const MOST_OF_PYTHON: usize = 10_000;

pub(super) fn cases(options: &Options) -> Vec<Case> {
    let million = options.million();
    let mut cases = Vec::new();
    for jobs in [1, 10_000, million] {
        let asked = options.clone();
        let title = format!("idle poll, {} job{}", many(jobs), if jobs == 1 { "" } else { "s" });
        let user = "a game's loop, which polls in every frame";
        let case = Case::new(format!("idle-{jobs}"), title, user, move || {
            let mut contenders = idle(jobs, &asked);
            if jobs > 1 {
                contenders.push(Contender::own(ONE, hosts::idle(filled("punctual", 1, Every::Year))));
            }
            contenders
        });
        cases.push(case.goal(if jobs == 1 { Goal::Times(1.5, INSTANT) } else { Goal::Times(1.1, ONE) }));
    }
    let asked = options.clone();
    let user = "a simulation, or a data collector, whose jobs are all due on the second";
    let ten_thousand = Case::new("fire-10000", "fire 10,000 due at once, per job", user, move || firing(10_000, &asked));
    cases.push(ten_thousand.goal(Goal::Times(3.0, INSTANT)).goal(Goal::Times(1.0, CLOKWERK)));

    let user = "a simulation, or a test, that lives through a week in a minute on a clock of its own";
    let title = "fire 10,000 again and again, on a clock set by hand, per job";
    let by_hand = Case::new("fire-by-hand", title, user, || by_hand(10_000));
    cases.push(by_hand.goal(Goal::Times(3.0, INSTANT)).goal(Goal::Times(1.0, CLOKWERK)));

    let asked = options.clone();
    let title = format!("fire {} due at once, per job", many(million));
    let user = "a host with a job for each of its customers, at the full hour";
    let at_once = Case::new(format!("fire-{million}"), title, user, move || {
        let mut contenders = firing(million, &asked);
        contenders.push(Contender::own(TEN_THOUSAND, hosts::firing(filled("punctual", 10_000, Every::Second), 10_000)));
        contenders
    });
    cases.push(at_once.goal(Goal::Times(2.0, TEN_THOUSAND)));

    let title = format!("100 due among {}, per fired job", many(million));
    let user = "a host with a job for each of its devices, a few of which are due at any time";
    cases.push(Case::new("few-due", title, user, move || few_due(million, 100)).goal(Goal::Most(250.0)));
    cases
}

/// All who can hold so many jobs, none of which is due.
pub fn idle(jobs: usize, options: &Options) -> Vec<Contender> {
    let mut contenders = vec![instant_now()];
    contenders.extend(POLLED.map(|peer| Contender::peer(peer, hosts::idle(filled(peer, jobs, Every::Year)))));
    if jobs <= MOST_OF_TOKIO_CRON {
        contenders.push(Contender::peer(TOKIO_CRON, TokioCron::filled(jobs, Every::Year).idle()));
    }
    if jobs <= MOST_OF_PYTHON {
        contenders.extend(python::contenders(options, "idle", jobs));
    }
    contenders.push(Contender::punctual(hosts::idle(filled("punctual", jobs, Every::Year))));
    contenders
}

/// All who can hold so many jobs, all of which are due every second.
pub fn firing(jobs: usize, options: &Options) -> Vec<Contender> {
    let mut contenders = vec![instant_now(), boxed_calls(jobs), heap_pop_and_push(jobs, jobs)];
    contenders.extend(POLLED.map(|peer| Contender::peer(peer, hosts::firing(filled(peer, jobs, Every::Second), jobs))));
    if jobs <= MOST_OF_TOKIO_CRON {
        contenders.push(Contender::peer(TOKIO_CRON, TokioCron::firing(jobs)));
    }
    if jobs <= MOST_OF_PYTHON {
        contenders.extend(python::contenders(options, "fire", jobs));
    }
    contenders.push(Contender::punctual(hosts::firing(filled("punctual", jobs, Every::Second), jobs)));
    contenders
}

/// Those whose clock can be set.
fn by_hand(jobs: usize) -> Vec<Contender> {
    vec![
        instant_now(),
        boxed_calls(jobs),
        heap_pop_and_push(jobs, jobs),
        Contender::peer(CLOKWERK, hosts::clokwerk_by_hand(jobs)),
        Contender::punctual(hosts::punctual_by_hand(jobs)),
    ]
}

fn few_due(jobs: usize, due: usize) -> Vec<Contender> {
    let host = |name| {
        let mut host = filled(name, jobs - due, Every::Year);
        host.fill(due, Every::Second);
        hosts::firing(host, due)
    };
    let mut contenders = vec![instant_now(), boxed_calls(due), heap_pop_and_push(jobs, due)];
    contenders.extend(POLLED.map(|peer| Contender::peer(peer, host(peer))));
    contenders.push(Contender::punctual(host("punctual")));
    contenders
}
