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
        let now = self.now();
        if self.jobs[number].until.is_none_or(|until| now.wall <= until) {
            return false;
        }
        if let Some((decision, since)) = self.decide(number) {
            let folded = decision.run.map_or(0, |run| run.folded);
            let job = &self.jobs[number];
            let all = job.next.zip(job.until).zip(job.occurrences.as_ref());
            let all = all.map_or(0, |((next, until), all)| all.count(next, until - now.wall + job.scale(now)) + 1);
            let (decision, folded) =
                if known::DEADLINE_COUNT { (decision, folded) } else { (Decision { dropped: 0, ..decision }, all) };
            self.drop_some(number, decision.dropped + folded, since, "Deadline");
        }
        self.jobs[number].next = None;
        if known::DEADLINE_STOPS {
            self.remove(number);
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
        if known::DEADLINE_STOPS {
            self.remove(number);
        }
        self.remove_if_done(number);
        true
    }

    /// An occurrence has come and all slots are taken.
    pub(super) fn overlap(&mut self, number: usize) {
        if self.jobs[number].spec.overlap == Some(Overlap::CancelRunning) {
            return self.begin_occurrence(number);
        }
        if self.past_deadline(number) {
            return;
        }
        let Some((decision, since)) = self.decide(number) else { return };
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

    pub(super) fn stop_live(&mut self, number: usize) {
        for run in self.jobs[number].live.clone() {
            if run.place != Place::Called {
                self.leave(&run);
                self.end(number, run.id, End::Stopped, None, self.now().elapsed);
            }
        }
    }

    pub(super) fn begin_occurrence(&mut self, number: usize) {
        if let Some(block) = self.shut_gate(number, self.jobs[number].coming(self.now()), false) {
            return self.block(number, block);
        }
        if self.past_deadline(number) {
            return;
        }
        let Some((decision, since)) = self.decide(number) else { return };
        if decision.run.is_some() && self.is_full(number) {
            return self.block_full(number);
        }
        if decision.run.is_some() && !self.jobs[number].has_slot() {
            if known::CANCEL_LOSES_LAST {
                let next = self.jobs[number].next;
                self.jobs[number].deal(decision.dealt);
                self.stop_live(number);
                if !self.jobs[number].there {
                    return;
                }
                self.jobs[number].next = next;
            }
            self.stop_live(number);
        }
        self.drop_some(number, decision.dropped, since, if decision.late { "Late" } else { "Policy" });
        self.jobs[number].deal(decision.dealt);
        match decision.run {
            Some(run) => {
                let facts = self.facts(number, run);
                self.jobs[number].last_due = Some(facts.due);
                self.begin(number, facts);
            }
            None => self.remove_if_done(number),
        }
    }

    pub(super) fn begin_waiting(&mut self, number: usize) {
        let Some(front) = self.jobs[number].waiting.front().cloned() else { return };
        if front.from == From::Queue && self.waits_past_deadline(number) {
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
        if let Some(block) = self.shut_gate(number, Some(front.ready), front.from.by_hand()) {
            return self.block(number, block);
        }
        if self.waits_past_deadline(number) {
            return;
        }
        if self.is_full(number) {
            return self.block_full(number);
        }
        if !self.jobs[number].has_slot() {
            self.stop_live(number);
        }
        self.jobs[number].waiting.pop_front();
        let mut facts = front.facts;
        if front.from == From::Hand {
            (facts.due, facts.first) = (front.ready.on_wall(now), front.ready.on_wall(now));
        }
        self.begin(number, facts);
    }

    // Gates.

    /// The first gate that is shut. By hand only the limits count.
    pub(super) fn shut_gate(&mut self, number: usize, due: Option<Instant>, by_hand: bool) -> Option<Block> {
        if by_hand {
            return self.shut_limit(number);
        }
        let (now, spec) = (self.now(), self.jobs[number].spec.clone());
        let latest = due.zip(spec.at_latest).map(|(due, latest)| match due {
            Instant::Wall(at) => Instant::Wall(at + latest),
            Instant::Elapsed(at) => Instant::Elapsed(at + latest),
        });
        if let Some(flag) = spec.condition.filter(|_| latest.is_none_or(|latest| !latest.passed(now))) {
            let known = self.jobs[number].answer.take().is_some();
            if !known {
                if let Some(poll) = &mut self.poll {
                    poll.did = true;
                }
                if self.flags[flag] {
                    // The run begins at the next visit.
                    self.jobs[number].answer = Some(());
                    return Some(Block { until: None, why: Why::Asked });
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
            if now.elapsed - last < spacing {
                return Some(Block { until: Some(Instant::Elapsed(last + spacing)), why: Why::Spacing });
            }
        }
        self.shut_limit(number)
    }

    pub(super) fn shut_limit(&self, number: usize) -> Option<Block> {
        let now = self.now();
        self.jobs[number].spec.limits.iter().find_map(|limit| match *limit {
            Limit::Mutex(name) => (self.holders(name) >= 1).then_some(Block { until: None, why: Why::Limit(name) }),
            Limit::AtMost(k, name) => (self.holders(name) >= k as usize).then_some(Block { until: None, why: Why::Limit(name) }),
            Limit::Rate(n, per, name) => {
                let mut counting: Vec<Ms> =
                    self.starts.iter().filter(|(of, at)| *of == name && at + per > now.elapsed).map(|(_, at)| *at).collect();
                counting.sort();
                let over = counting.len().checked_sub(n as usize)?;
                Some(Block { until: Some(Instant::Elapsed(counting[over] + per)), why: Why::Limit(name) })
            }
        })
    }

    pub(super) fn holders(&self, name: usize) -> usize {
        let holds = |job: usize| {
            let limits = &self.jobs[job].spec.limits;
            limits.iter().any(|limit| matches!(limit, Limit::Mutex(of) | Limit::AtMost(_, of) if *of == name))
        };
        let freed = |job: usize| known::YIELD_FREES && self.jobs[job].spec.background;
        let here = |job: usize, run: &Run| match run.place {
            Place::Called => true,
            Place::Yielded { .. } => !freed(job),
            _ => false,
        };
        let of = |job: usize| self.jobs[job].live.iter().filter(|run| here(job, run)).count();
        let inline: usize = (0..self.jobs.len()).filter(|job| holds(*job)).map(of).sum();
        inline + self.tickets.iter().filter(|ticket| !ticket.over && holds(ticket.job)).count()
    }

    /// Something was set free: whoever waits for a limit is looked at again.
    pub(super) fn released(&mut self) {
        for number in 0..self.jobs.len() {
            let free = match &self.jobs[number].block {
                Some(Block { until: None, why: Why::Limit(name) }) => {
                    self.jobs[number].spec.limits.iter().any(|limit| match *limit {
                        Limit::Mutex(of) => of == *name && self.holders(of) < 1,
                        Limit::AtMost(k, of) => of == *name && self.holders(of) < k as usize,
                        Limit::Rate(..) => false,
                    })
                }
                _ => false,
            };
            if free {
                self.jobs[number].block = None;
            }
        }
    }

    pub(super) fn is_full(&self, number: usize) -> bool {
        self.jobs[number].spec.background && self.plan.capacity.is_some_and(|capacity| self.held.len() >= capacity)
    }

    pub(super) fn block(&mut self, number: usize, block: Block) {
        let job = &mut self.jobs[number];
        job.block = if block.why == Why::Asked { job.unblocked.take() } else { Some(block) };
    }

    pub(super) fn block_full(&mut self, number: usize) {
        let until = Some(Instant::Elapsed(self.now().elapsed + FULL_AGAIN));
        self.jobs[number].block = Some(Block { until, why: Why::Full });
    }
}
