//! Jobs come and go, and do as they are told from outside.

use std::collections::VecDeque;
use std::rc::Rc;

use super::*;

impl Model {
    pub(crate) fn register(&mut self, spec: Spec) {
        if self.jobs.len() >= MOST_JOBS {
            return;
        }
        self.follow_the_clock();
        let number = self.jobs.len();
        let now = self.clock();
        let mut job = Job {
            there: true,
            paused: false,
            held: self.poll.is_some(),
            occurrences: None,
            next: None,
            missed_until: Ms::MIN,
            last_due: None,
            until: None,
            times: None,
            started: 0,
            waiting: VecDeque::new(),
            live: Vec::new(),
            block: None,
            unblocked: None,
            answer: None,
            last_start: None,
            bad_in_a_row: 0,
            calls: 0,
            of: Vec::new(),
            latest: Vec::new(),
            also: Vec::new(),
            state: State { there: true, ..State::default() },
            spec: Rc::new(spec),
        };
        match &job.spec.clone().kind {
            Kind::Scheduled { when, immediately, times, until, .. } => {
                let occurrences = Occurrences::new(when, now.elapsed);
                let scale = if occurrences.on_wall() { now.wall } else { now.elapsed };
                job.until = until.map(|until| now.wall + until);
                job.next = occurrences.first(scale);
                job.occurrences = Some(occurrences);
                if job.next(now).is_none() && !immediately && *when != When::Reboot {
                    return self.say("refused: it never runs".into());
                }
                job.times = *times;
                if *immediately || *when == When::Reboot {
                    job.waiting.push_back(by_hand(now));
                }
            }
            Kind::Following { of, .. } => {
                if number == 0 {
                    return;
                }
                for other in of.iter().map(|other| other % number) {
                    if !job.of.contains(&other) {
                        job.of.push(other);
                    }
                }
                if !self.shut && job.of.iter().any(|other| !self.jobs[*other].there) {
                    return self.say("refused: the job is gone".into());
                }
                job.latest = vec![None; job.of.len()];
            }
        }
        if matches!(job.spec.overlap, Some(Overlap::Allow(_))) && !job.spec.background {
            return self.say("refused: runs beside each other".into());
        }
        if self.shut {
            return self.say("refused: shut down".into());
        }
        self.jobs.push(job);
        self.say(format!("registered j{number}"));
    }

    pub(super) fn cancel(&mut self, job: usize) -> bool {
        let was = self.jobs[job].there;
        if was {
            self.remove(job);
        }
        was
    }

    /// Takes a job away, with all that waits; what is away goes on astray.
    pub(super) fn remove(&mut self, number: usize) {
        for run in self.jobs[number].live.clone() {
            if run.place != Place::Called {
                self.leave(&run);
                self.ended(number, run.id, End::Stopped, None, self.now().elapsed);
            }
        }
        let job = &mut self.jobs[number];
        job.there = false;
        job.waiting.clear();
        job.next = None;
        job.block = None;
        self.told.push(Told::Removed { job: number });
        for follower in 0..self.jobs.len() {
            if self.jobs[follower].of.contains(&number) || self.jobs[follower].also.contains(&number) {
                self.remove_if_done(follower);
            }
        }
    }

    /// A run is given up: what is away of it becomes a stray.
    pub(super) fn leave(&mut self, run: &Run) {
        if let Place::Away { ticket } = run.place {
            self.tickets[ticket].stray = true;
        }
    }

    pub(super) fn remove_if_done(&mut self, number: usize) {
        let job = &self.jobs[number];
        if !job.there || !job.waiting.is_empty() && !job.is_spent() || !job.live.is_empty() {
            return;
        }
        let following = match &job.spec.kind {
            Kind::Following { all: true, .. } => {
                let there = |other: &usize| self.jobs[*other].there;
                job.of.iter().any(there) && job.of.iter().zip(&job.latest).all(|(other, latest)| there(other) || latest.is_some())
            }
            Kind::Following { all: false, .. } => job.of.iter().any(|other| self.jobs[*other].there),
            Kind::Scheduled { .. } => job.also.iter().any(|other| self.jobs[*other].there),
        };
        if job.is_spent() || job.next(self.now()).is_none() && !following {
            self.remove(number);
        }
    }

    pub(super) fn run_now(&mut self, number: usize) -> bool {
        self.follow_the_clock();
        let (now, held) = (self.clock(), self.poll.is_some());
        let job = &mut self.jobs[number];
        if !job.there || job.paused || job.is_spent() || self.shut {
            return false;
        }
        if !job.of.is_empty() {
            let Some(front) = job.waiting.front_mut() else { return false };
            front.ready = Instant::Elapsed(now.elapsed);
            if let From::Followed { by_hand, .. } = &mut front.from {
                *by_hand = true;
            }
        } else {
            job.waiting.retain(|waiting| waiting.from != From::Hand);
            job.waiting.push_front(by_hand(now));
        }
        job.held |= held;
        job.block = None;
        true
    }

    pub(super) fn pause(&mut self, number: usize) -> bool {
        let job = &mut self.jobs[number];
        if job.there && !job.paused {
            job.paused = true;
            // A run at the first poll is its schedule, not besides it.
            let first = job.missed_until == Ms::MIN && job.occurrences == Some(Occurrences::Never);
            let kept = |waiting: &Waiting| first && waiting.from == From::Hand;
            let gone: Vec<Waiting> = job.waiting.iter().filter(|waiting| !kept(waiting)).cloned().collect();
            job.waiting.retain(kept);
            job.block = None;
            for waiting in gone.into_iter().filter(|waiting| !waiting.from.by_hand()) {
                self.drop_some(number, waiting.facts.folded, waiting.facts.first, "Paused");
            }
        }
        self.jobs[number].there
    }

    pub(super) fn resume(&mut self, number: usize) -> bool {
        self.follow_the_clock();
        let now = self.clock();
        let held = self.poll.is_some();
        let job = &mut self.jobs[number];
        let was = job.there;
        if was && job.paused {
            (job.paused, job.block, job.bad_in_a_row) = (false, None, 0);
            job.held |= held;
            job.follow_from(now);
            self.remove_if_done(number);
        }
        was
    }

    pub(super) fn reschedule(&mut self, number: usize, when: &When) -> &'static str {
        self.follow_the_clock();
        let now = self.clock();
        let held = self.poll.is_some();
        let job = &mut self.jobs[number];
        if !job.there {
            return "gone";
        }
        let gone: Vec<Waiting> = job.waiting.iter().filter(|waiting| waiting.from == From::Queue).cloned().collect();
        job.waiting.retain(|waiting| waiting.from != From::Queue);
        for waiting in gone {
            self.drop_some(number, waiting.facts.folded, waiting.facts.first, "Rescheduled");
        }
        let job = &mut self.jobs[number];
        let occurrences = Occurrences::new(when, now.elapsed);
        let scale = if occurrences.on_wall() { now.wall } else { now.elapsed };
        job.next = occurrences.first(scale);
        job.occurrences = Some(occurrences);
        // What the old schedule was run or made up for says nothing of the new one.
        (job.until, job.times, job.last_due, job.missed_until) = (None, None, None, Ms::MIN);
        if *when == When::Reboot {
            job.waiting.retain(|waiting| waiting.from != From::Hand);
            job.waiting.push_front(by_hand(now));
        }
        job.held |= held;
        job.block = None;
        "done"
    }

    pub(super) fn also_after(&mut self, number: usize, other: usize) -> String {
        if !self.jobs[number].there || !self.jobs[other].there {
            return "gone".into();
        }
        if self.leads_to(number, other) {
            return "circle".into();
        }
        if !self.jobs[number].also.contains(&other) {
            self.jobs[number].also.push(other);
        }
        "done".into()
    }

    /// Whether `other` is `number` or runs after it, near or far.
    pub(super) fn leads_to(&self, number: usize, other: usize) -> bool {
        let job = &self.jobs[other];
        number == other || job.there && job.of.iter().chain(&job.also).any(|before| self.leads_to(number, *before))
    }

    pub(super) fn shut_down(&mut self) {
        self.shut = true;
        for number in 0..self.jobs.len() {
            let background = self.jobs[number].spec.background;
            let resting = |run: &&Run| match run.place {
                Place::Resting { .. } => true,
                Place::Yielded { .. } => background,
                _ => false,
            };
            let resting: Vec<usize> = self.jobs[number].live.iter().filter(resting).map(|run| run.id).collect();
            for run in resting {
                self.end(number, run, End::Stopped, None, self.elapsed);
            }
        }
        let returned = if self.poll.is_some() { Vec::new() } else { std::mem::take(&mut self.returned) };
        for (ticket, at, result) in returned {
            self.take_in(ticket, at, result);
        }
    }

    /// Whether work that has not begun may still.
    pub(super) fn may_begin(&self, ticket: &Ticket) -> bool {
        !ticket.stray && !self.shut
    }
}
