//! What becomes of a job that is due: dropped, held back at a gate, or begun.

use super::*;

impl Model {
    pub(super) fn decide(&self, number: usize) -> Option<(Decision, Ms)> {
        let job = &self.jobs[number];
        let (Kind::Scheduled { missed, grace, .. }, Some(next)) = (&job.spec.kind, job.next) else { return None };
        let occurrences = job.occurrences.as_ref()?;
        let now = self.now();
        let until = job.until.map(|until| until - now.wall + job.scale(now));
        Some((decide(occurrences, *missed, *grace, until, next, job.scale(now)), job.instant(next).on_wall(now)))
    }

    pub(super) fn facts(&self, number: usize, run: For) -> Facts {
        let wall = |at| self.jobs[number].instant(at).on_wall(self.now());
        Facts { due: wall(run.due), first: wall(run.first), folded: run.folded, follows: Vec::new(), values: Vec::new() }
    }

    pub(super) fn drop_some(&mut self, number: usize, occurrences: u64, since: Ms, because: &str) {
        if occurrences > 0 {
            self.jobs[number].state.dropped += occurrences;
            self.told.push(Told::Dropped { job: number, occurrences, since, because: because.into() });
        }
    }

    /// Nothing starts after the deadline: what has come is dropped, and the job is over.
    pub(super) fn past_deadline(&mut self, number: usize) -> bool {
        let (now, job) = (self.now(), &self.jobs[number]);
        let Some(until) = job.until.filter(|until| now.wall > *until) else { return false };
        if let Some((next, all)) = job.next.zip(job.occurrences.as_ref()) {
            let (all, since) = (all.count(next, until - now.wall + job.scale(now)) + 1, job.instant(next).on_wall(now));
            self.drop_some(number, all, since, "Deadline");
        }
        // An interval goes on if the clock is set back to before its deadline.
        let job = &mut self.jobs[number];
        if job.occurrences.as_ref().is_some_and(Occurrences::on_wall) {
            job.next = None;
        } else {
            job.deal(now.elapsed);
        }
        self.remove_if_done(number);
        true
    }

    /// The same for one that waits.
    pub(super) fn waits_past_deadline(&mut self, number: usize) -> bool {
        let now = self.now();
        if self.jobs[number].until.is_none_or(|until| now.wall <= until) {
            return false;
        }
        if let Some(front) = self.jobs[number].waiting.pop_front() {
            self.drop_some(number, front.facts.folded, front.facts.first, "Deadline");
        }
        self.remove_if_done(number);
        true
    }

    /// An occurrence has come and all slots are taken.
    pub(super) fn overlap(&mut self, number: usize) {
        if self.past_deadline(number) {
            return;
        }
        let Some((decision, since)) = self.decide(number) else { return };
        // What is dropped takes nobody's place.
        if self.jobs[number].spec.overlap == Some(Overlap::CancelRunning) && decision.run.is_some() {
            return self.begin_occurrence(number);
        }
        self.drop_some(number, decision.dropped, since, if decision.late { "Late" } else { "Policy" });
        self.jobs[number].deal(decision.dealt);
        let Some(run) = decision.run else { return };
        let facts = self.facts(number, run);
        self.jobs[number].last_due = Some(facts.due);
        let now = self.now();
        let job = &mut self.jobs[number];
        let queued = job.waiting.iter().filter(|waiting| waiting.from == From::Queue).count();
        match job.spec.overlap {
            Some(Overlap::Queue(most)) if queued < most as usize => {
                let ready = Instant::Elapsed((facts.due - now.wall + now.elapsed).min(now.elapsed));
                job.waiting.push_back(Waiting { facts, ready, from: From::Queue });
            }
            _ => self.drop_some(number, run.folded, facts.first, "Overlapped"),
        }
    }

    /// A new run takes the place of those that go on, if there is none beside them.
    fn stop_live(&mut self, number: usize) {
        if self.jobs[number].has_slot() {
            return;
        }
        for run in self.jobs[number].live.clone() {
            if run.place != Place::Called {
                self.leave(&run);
                self.end(number, run.id, End::Stopped, None, self.now().elapsed);
            }
        }
    }

    pub(super) fn begin_occurrence(&mut self, number: usize) {
        if self.past_deadline(number) {
            return;
        }
        let Some(next) = self.jobs[number].coming(self.now()) else { return };
        if let Some(block) = self.shut_gate(number, next, Entrance::Run) {
            return self.block(number, block);
        }
        let Some((decision, since)) = self.decide(number) else { return };
        self.drop_some(number, decision.dropped, since, if decision.late { "Late" } else { "Policy" });
        let Some(run) = decision.run else {
            self.jobs[number].deal(decision.dealt);
            return self.remove_if_done(number);
        };
        // What was dropped stays dropped; what the run is for goes back if there is no room for it.
        self.jobs[number].next = Some(run.first);
        if self.is_refused(number) {
            return self.wait_for_room(number, self.jobs[number].instant(run.first));
        }
        self.jobs[number].deal(decision.dealt);
        let facts = self.facts(number, run);
        self.jobs[number].last_due = Some(facts.due);
        self.begin(number, facts);
    }

    pub(super) fn begin_waiting(&mut self, number: usize) {
        let Some(front) = self.jobs[number].waiting.front().cloned() else { return };
        if self.waits_past_deadline(number) {
            return;
        }
        let (now, kind) = (self.now(), &self.jobs[number].spec.kind);
        let because = match (kind, front.from) {
            (Kind::Scheduled { grace: Some(grace), .. }, From::Queue) if now.wall - front.facts.due > *grace => Some("Late"),
            (Kind::Following { within: Some(within), .. }, From::Followed { ended, .. }) if now.elapsed - ended > *within => {
                Some("Stale")
            }
            _ => None,
        };
        if let Some(because) = because {
            self.jobs[number].waiting.pop_front();
            self.drop_some(number, front.facts.folded, front.facts.first, because);
            return self.remove_if_done(number);
        }
        let job = &self.jobs[number];
        if !job.has_slot() && job.spec.overlap == Some(Overlap::Skip) {
            self.jobs[number].waiting.pop_front();
            self.drop_some(number, front.facts.folded, front.facts.first, "Overlapped");
            return self.remove_if_done(number);
        }
        let entrance = if front.from.by_hand() { Entrance::ByHand } else { Entrance::Run };
        if let Some(block) = self.shut_gate(number, front.ready, entrance) {
            return self.block(number, block);
        }
        if self.is_refused(number) {
            return self.wait_for_room(number, front.ready);
        }
        self.jobs[number].waiting.pop_front();
        let mut facts = front.facts;
        if front.from == From::Hand {
            (facts.due, facts.first) = (front.ready.on_wall(now), front.ready.on_wall(now));
        }
        self.begin(number, facts);
    }

    // Gates.

    /// The first gate that is shut to what is due then. The job's own rules are for its runs by itself alone.
    pub(super) fn shut_gate(&mut self, number: usize, due: Instant, entrance: Entrance) -> Option<Block> {
        if entrance == Entrance::ByHand {
            return self.shut_to_newer(number, due).or_else(|| {
                self.stop_live(number);
                self.shut_line(number, due)
            });
        }
        let (now, spec) = (self.now(), self.jobs[number].spec.clone());
        let latest = spec.at_latest.map(|latest| match due {
            Instant::Wall(at) => Instant::Wall(at + latest),
            Instant::Elapsed(at) => Instant::Elapsed(at + latest),
        });
        if let Some(flag) = spec.condition.filter(|_| latest.is_none_or(|latest| !latest.passed(now))) {
            if self.jobs[number].answer.take().is_none() {
                if self.flags[flag] {
                    // The run begins at the next visit.
                    self.jobs[number].answer = Some(());
                    return Some(Block { until: None, why: Why::Asked });
                }
                if let Some(poll) = &mut self.poll {
                    poll.did = true;
                }
                let sooner = latest.map(|latest| latest.on_wall(now) - now.wall + now.elapsed);
                let again = now.elapsed + CONDITION_AGAIN;
                let until = Instant::Elapsed(sooner.map_or(again, |sooner| sooner.min(again)));
                return Some(Block { until: Some(until), why: Why::Condition });
            }
        }
        if let Some(block) = self.jobs[number].shut_window(now) {
            return Some(block);
        }
        if let (Some(spacing), Some(last)) = (spec.spacing, self.jobs[number].last_start) {
            // At the instant itself: time passes while jobs run.
            if self.elapsed - last < spacing {
                return Some(Block { until: Some(Instant::Elapsed(last + spacing)), why: Why::Spacing });
            }
        }
        // It does not wait for what those hold whose place it takes; what it waits for all the same spares them.
        self.shut_to_newer(number, due).or_else(|| {
            self.stop_live(number);
            self.shut_line(number, due)
        })
    }

    /// What holds back a run that would take the place of one that goes on, besides what that one holds.
    fn shut_to_newer(&self, number: usize, due: Instant) -> Option<Block> {
        if self.jobs[number].has_slot() {
            return None;
        }
        let held = |line: &Line| !matches!(line, Line::Limit(Limit::Mutex(_) | Limit::AtMost(..)));
        self.first_shut(number, due, self.lines(number).into_iter().filter(held))
    }

    /// What the job has to pass that it shares with others: its limits, and the executor.
    fn lines(&self, number: usize) -> Vec<Line> {
        let spec = &self.jobs[number].spec;
        spec.limits.iter().map(|limit| Line::Limit(*limit)).chain(spec.background.then_some(Line::Executor)).collect()
    }

    /// The first of these that does not let on what is due then: what room there is is for those in line before it.
    pub(super) fn shut_line(&self, number: usize, due: Instant) -> Option<Block> {
        self.first_shut(number, due, self.lines(number).into_iter())
    }

    fn first_shut(&self, number: usize, due: Instant, mut lines: impl Iterator<Item = Line>) -> Option<Block> {
        let rank = self.rank(number, due);
        let line = lines.find(|line| {
            let before = self.in_line(*line).into_iter().filter(|(of, other)| *of < rank && *other != number).count();
            self.room(*line, self.elapsed).is_none_or(|room| before >= room)
        })?;
        Some(Block { until: None, why: Why::InLine(line, rank) })
    }

    fn rank(&self, number: usize, due: Instant) -> Rank {
        let now = self.now();
        (due.on_wall(now) - now.wall + now.elapsed, self.jobs[number].spec.priority, number)
    }

    /// In which lines a job stands that one of them holds back: the executor keeps nobody from anything else.
    fn stands_in(&self, number: usize, held_by: Line) -> Vec<Line> {
        let limits = || self.jobs[number].spec.limits.iter().map(|limit| Line::Limit(*limit)).collect();
        if held_by == Line::Executor { vec![Line::Executor] } else { limits() }
    }

    /// Who stands in a line, the first one first.
    fn in_line(&self, line: Line) -> Vec<(Rank, usize)> {
        let stands = |(number, job): (usize, &Job)| match job.block.as_ref()?.why {
            Why::InLine(of, rank) if self.stands_in(number, of).contains(&line) => Some((rank, number)),
            _ => None,
        };
        let mut all: Vec<_> = self.jobs.iter().enumerate().filter_map(stands).collect();
        all.sort();
        all
    }

    /// How many may pass at an instant of elapsed time; `None` if it is shut.
    fn room(&self, line: Line, at: Ms) -> Option<usize> {
        let room = match line {
            Line::Limit(Limit::Mutex(name)) => 1 - self.holders(name).min(1),
            Line::Limit(Limit::AtMost(k, name)) => (k as usize).saturating_sub(self.holders(name)),
            Line::Limit(Limit::Rate(n, per, name)) => (n as usize).saturating_sub(self.counting(per, name, at).len()),
            Line::Executor => usize::from(self.full_until.is_none_or(|until| until <= at)),
        };
        (room > 0).then_some(room)
    }

    /// The starts that a rate counts.
    fn counting(&self, per: Ms, name: usize, at: Ms) -> Vec<Ms> {
        let counts = |(of, start): &&(usize, Ms)| *of == name && start + per > at;
        let mut counting: Vec<Ms> = self.starts.iter().filter(counts).map(|(_, start)| *start).collect();
        counting.sort();
        counting
    }

    /// When one that stands in a line may come, in its place among all that is due; `None` while that hangs on an end.
    pub(super) fn called(&self, number: usize, held_by: Line, rank: Rank) -> Option<Instant> {
        let now = self.now();
        let opens = |line: Line| {
            let place = self.in_line(line).iter().position(|(_, other)| *other == number)?;
            if self.room(line, now.elapsed).is_some_and(|room| place < room) {
                return Some(rank.0.min(now.elapsed));
            }
            let opens = match line {
                Line::Limit(Limit::Rate(n, per, name)) => {
                    // Once so many of the starts count no more that there is room for those before and this one.
                    let counting = self.counting(per, name, now.elapsed);
                    return Some(counting.get(counting.len() + place - n as usize)? + per);
                }
                Line::Limit(_) => None,
                Line::Executor => self.full_until,
            };
            opens.filter(|_| place == 0)
        };
        let all: Option<Vec<Ms>> = self.stands_in(number, held_by).into_iter().map(opens).collect();
        all?.into_iter().max().map(Instant::Elapsed)
    }

    pub(super) fn holders(&self, name: usize) -> usize {
        let holds = |job: usize| {
            let limits = &self.jobs[job].spec.limits;
            limits.iter().any(|limit| matches!(limit, Limit::Mutex(of) | Limit::AtMost(_, of) if *of == name))
        };
        let here = |run: &&Run| matches!(run.place, Place::Called | Place::Yielded { .. });
        let of = |job: usize| self.jobs[job].live.iter().filter(here).count();
        let inline: usize = (0..self.jobs.len()).filter(|job| holds(*job)).map(of).sum();
        inline + self.tickets.iter().filter(|ticket| !ticket.over && holds(ticket.job)).count()
    }

    /// Whether the executor, asked, has no room for one more.
    pub(super) fn is_refused(&mut self, number: usize) -> bool {
        let full = self.jobs[number].spec.background && self.plan.capacity.is_some_and(|capacity| self.held.len() >= capacity);
        if full {
            self.full_until = Some(self.now().elapsed + FULL_AGAIN);
        }
        full
    }

    pub(super) fn wait_for_room(&mut self, number: usize, due: Instant) {
        let rank = self.rank(number, due);
        self.jobs[number].block = Some(Block { until: None, why: Why::InLine(Line::Executor, rank) });
    }

    pub(super) fn block(&mut self, number: usize, block: Block) {
        let job = &mut self.jobs[number];
        job.block = if block.why == Why::Asked { job.unblocked.take() } else { Some(block) };
    }
}
