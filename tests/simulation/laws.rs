//! What holds in every world, held against what the scheduler did, without the model.

use std::collections::HashMap;

use crate::log::{Call, Heard, Line, Told, What};
use crate::plan::{Kind, Limit, Ms, NAMES, Overlap, Spec, When};
use crate::world::World;

/// What has been seen of a world so far.
#[derive(Default)]
pub(crate) struct Laws {
    jobs: Vec<Job>,
    /// Calls that have not come back, the innermost last.
    open: Vec<Call>,
    /// Polls that go on: since when, with which budget, how many calls were open, whether one was made.
    polls: Vec<Poll>,
    /// How the calls ended, by their number, and in which order.
    ended: HashMap<u64, (usize, &'static str, usize)>,
    shut: bool,
    was_set: bool,
    set_back: bool,
    wall: Ms,
    elapsed: Ms,
}

struct Poll {
    began: Ms,
    budget: Option<Ms>,
    depth: usize,
    called: bool,
}

struct Job {
    spec: Spec,
    registered: Ms,
    there: bool,
    /// Runs that have started and not ended.
    live: usize,
    /// A run that yielded, and holds what it holds.
    yielded: bool,
    starts: Vec<Ms>,
    attempts: Vec<Ms>,
    by_hand: bool,
    /// When it was asked for by hand, by the wall clock and in elapsed time.
    hands: Vec<Ms>,
    asked: Vec<Ms>,
    rescheduled: bool,
    reanchored: bool,
    dues: Vec<(Ms, u32)>,
    /// What it was given last by each job it follows, in order of their ends.
    given: HashMap<usize, usize>,
    all_given: Vec<u64>,
}

impl Laws {
    pub(crate) fn hold(&mut self, world: &World, heard: &[Heard]) -> Result<(), String> {
        heard.iter().try_for_each(|heard| self.next(world, heard))
    }

    fn next(&mut self, world: &World, heard: &Heard) -> Result<(), String> {
        self.was_set |= heard.wall - self.wall != heard.elapsed - self.elapsed && self.wall != 0;
        self.set_back |= heard.wall - self.wall < heard.elapsed - self.elapsed && self.wall != 0;
        (self.wall, self.elapsed) = (heard.wall, heard.elapsed);
        match &heard.what {
            What::Line(Line::Act(text)) => {
                if text.starts_with("registered") {
                    let spec = world.spec(self.jobs.len());
                    let by_hand = matches!(
                        spec.kind,
                        Kind::Scheduled { immediately: true, .. } | Kind::Scheduled { when: When::Reboot, .. }
                    );
                    self.jobs.push(Job {
                        spec,
                        registered: heard.wall,
                        there: true,
                        live: 0,
                        yielded: false,
                        starts: Vec::new(),
                        attempts: Vec::new(),
                        by_hand,
                        hands: if by_hand { vec![heard.wall] } else { Vec::new() },
                        asked: if by_hand { vec![heard.elapsed] } else { Vec::new() },
                        rescheduled: false,
                        reanchored: false,
                        dues: Vec::new(),
                        given: HashMap::new(),
                        all_given: Vec::new(),
                    });
                }
            }
            What::Line(Line::Call(call)) => self.call(heard, call)?,
            What::Line(Line::Back { job, serial, ended, .. }) => {
                let open = self.open.pop();
                if open.is_none_or(|open| open.serial != *serial) {
                    return Err(format!("call #{serial} of j{job} came back out of order"));
                }
                let order = self.ended.len();
                self.ended.insert(*serial, (*job, ended, order));
                let job = &mut self.jobs[*job];
                job.yielded = *ended == "yield" && job.there;
            }
            What::Started { job, attempt, turn, due } => self.started(heard, *job, *attempt, *turn, *due)?,
            What::Told(Told::Ended { job, .. }) => {
                let job = &mut self.jobs[*job];
                job.live = job.live.saturating_sub(1);
                job.yielded = false;
            }
            What::Told(Told::Failed { job, .. }) => self.jobs[*job].yielded = false,
            What::Told(Told::Removed { job }) => {
                let job = &mut self.jobs[*job];
                (job.there, job.live, job.yielded) = (false, 0, false);
            }
            What::Told(Told::Reanchored { job, .. }) => self.jobs[*job].reanchored = true,
            What::Told(_) => {}
            What::Poll(budget) => {
                let (began, depth) = (heard.elapsed, self.open.len());
                self.polls.push(Poll { began, budget: *budget, depth, called: false });
            }
            What::Polled => drop(self.polls.pop()),
            What::ByHand(job) => {
                self.jobs[*job].by_hand = true;
                self.jobs[*job].hands.push(heard.wall);
                self.jobs[*job].asked.push(heard.elapsed);
            }
            What::Rescheduled(job) => self.jobs[*job].rescheduled = true,
            What::ShutDown => self.shut = true,
        }
        Ok(())
    }

    /// An attempt starts, or a turn of background work is handed over.
    fn started(&mut self, heard: &Heard, number: usize, attempt: u32, turn: u32, due: Ms) -> Result<(), String> {
        if self.shut {
            return Err(format!("j{number} started after the shutdown"));
        }
        if turn > 0 {
            return Ok(());
        }
        let job = &mut self.jobs[number];
        job.attempts.push(heard.elapsed);
        if attempt == 1 {
            job.live += 1;
            let slots = match job.spec.overlap {
                Some(Overlap::Allow(most)) => most as usize,
                _ => 1,
            };
            if job.live > slots {
                return Err(format!("j{number} has {} live runs and {slots} slots", job.live));
            }
            let last = job.starts.last().copied();
            job.starts.push(heard.elapsed);
            let asked = job.asked.contains(&(due - heard.wall + heard.elapsed));
            let by_hand = asked || job.by_hand && matches!(job.spec.kind, Kind::Following { .. });
            if let (Some(spacing), Some(last), false) = (job.spec.spacing, last, by_hand) {
                if heard.elapsed - last < spacing {
                    return Err(format!(
                        "j{number} started {} ms after its last start, spacing is {spacing} ms",
                        heard.elapsed - last
                    ));
                }
            }
            job.by_hand = false;
            if let (Kind::Scheduled { times, until, .. }, false) = (&job.spec.kind, job.rescheduled) {
                if times.is_some_and(|times| job.starts.len() > times as usize) {
                    return Err(format!("j{number} started {} times", job.starts.len()));
                }
                // The poll asks at its beginning.
                let asked = self.polls.last().map_or(heard.wall, |poll| heard.wall - (heard.elapsed - poll.began));
                if until.is_some_and(|until| asked > job.registered + until) {
                    return Err(format!("j{number} started after its deadline"));
                }
            }
        }
        for limit in job.spec.limits.clone() {
            let Limit::Rate(most, per, name) = limit else { continue };
            let of = |job: &&Job| job.spec.limits.iter().any(|limit| matches!(limit, Limit::Rate(_, _, of) if *of == name));
            let starts =
                self.jobs.iter().filter(of).flat_map(|job| &job.attempts).filter(|start| **start + per > heard.elapsed).count();
            if starts > most as usize {
                return Err(format!("{starts} starts within {per} ms under {}", NAMES[name]));
            }
        }
        Ok(())
    }

    fn call(&mut self, heard: &Heard, call: &Call) -> Result<(), String> {
        let number = call.job;
        let background = self.jobs[number].spec.background;
        if self.shut {
            return Err(format!("j{number} was called after the shutdown"));
        }
        if let Some(poll) = self.polls.last_mut().filter(|poll| !background && poll.depth == self.open.len()) {
            let spent = poll.budget.is_some_and(|budget| heard.elapsed - poll.began >= budget);
            if poll.called && spent {
                return Err(format!("j{number} was called though the budget was spent"));
            }
            poll.called = true;
        }
        let job = &mut self.jobs[number];
        let first = (call.attempt, call.turn) == (1, 0);
        if first && heard.wall < call.due && !self.set_back {
            return Err(format!("j{number} was called before it was due"));
        }
        if let (Kind::Scheduled { when: When::Daily(_) | When::Cron(_), .. }, false, 0) =
            (&job.spec.kind, job.reanchored, call.turn)
        {
            let again = (call.due, call.attempt);
            // A run by hand may fall on the time of an occurrence.
            let by_hand = job.hands.contains(&call.due) || self.was_set && (job.by_hand || !job.hands.is_empty());
            let on_time = call.follows.is_empty() && !job.rescheduled && call.due % 60_000 == 0;
            if on_time && job.dues.contains(&again) && !by_hand {
                return Err(format!("j{number} was called twice for one occurrence"));
            }
            if call.follows.is_empty() {
                job.dues.push(again);
            }
        }
        if let (Kind::Following { .. }, [given], true) = (&job.spec.kind, &call.values[..], first) {
            let new = self.ended.get(given).filter(|(of, ended, order)| {
                let well = matches!(*ended, "done" | "cancel") && call.follows.iter().any(|(from, _)| from == of);
                // Runs in the background may begin in any order.
                let in_order = job.spec.background || job.given.get(of).is_none_or(|before| before < order);
                well && in_order && !job.all_given.contains(given)
            });
            let Some((of, _, order)) = new else {
                return Err(format!("j{number} was given #{given}, which is no new success of what it follows"));
            };
            job.given.insert(*of, *order);
            job.all_given.push(*given);
        }
        job.yielded = false;
        for limit in job.spec.limits.clone() {
            let (most, name) = match limit {
                Limit::Mutex(name) => (1, name),
                Limit::AtMost(most, name) => (most as usize, name),
                Limit::Rate(..) => continue,
            };
            let has = |job: &Job| {
                job.spec.limits.iter().any(|limit| matches!(limit, Limit::Mutex(of) | Limit::AtMost(_, of) if *of == name))
            };
            let inside = self.open.iter().filter(|open| has(&self.jobs[open.job])).count();
            let between = self.jobs.iter().filter(|job| has(job) && job.yielded && !job.spec.background).count();
            if inside + between + 1 > most {
                return Err(format!("{} runs hold {}", inside + between + 1, NAMES[name]));
            }
        }
        self.open.push(call.clone());
        Ok(())
    }
}
