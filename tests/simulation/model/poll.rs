//! A poll: what is due, in which order, and what is looked at.

use super::*;

impl Model {
    pub(super) fn poll(&mut self, budget: Option<Ms>) -> Ticked {
        if self.poll.is_some() {
            return Ticked { busy: true, ..Ticked::default() };
        }
        let now = self.clock();
        let budget = budget.or(self.plan.budget);
        let tick = Ticked::default();
        self.poll = Some(Poll { now, began: self.monotonic, budget, did: false, visits: 0, tick });
        self.follow_the_clock();
        let mut returned: VecDeque<_> = std::mem::take(&mut self.returned).into();
        while let Some((ticket, at, result)) = returned.pop_front() {
            self.take_in(ticket, at, result);
            let began = self.poll.as_ref().map_or(0, |poll| poll.began);
            if budget.is_some_and(|budget| self.monotonic - began >= budget) {
                break;
            }
        }
        self.returned.splice(0..0, returned);
        let mut turns = 0;
        while let Some(first) = self.in_order().first().copied() {
            turns += 1;
            assert!(turns < 3_000, "the model does not come to an end with j{first}: {:?}", self.place(first));
            if self.spent() {
                let jobs = self.in_order().len();
                self.ticked(|tick| tick.put_off = jobs);
                self.told.push(Told::PutOff { jobs });
                break;
            }
            self.process(first);
            if self.jobs[first].answer.is_some() && !self.jobs[first].held {
                // Its condition holds: it is gone on with at once.
                let done = |model: &Self| model.poll.as_ref().map(|poll| (poll.tick.ran, poll.tick.handed));
                let before = done(self);
                self.process(first);
                let none = done(self) == before;
                if let Some(poll) = &mut self.poll {
                    poll.did |= none;
                }
            }
            if let Some(poll) = &mut self.poll {
                poll.visits += 1;
                poll.did |= poll.visits % MOST_VISITS == 0;
            }
        }
        for job in &mut self.jobs {
            job.held = false;
            job.answer = None;
        }
        self.poll.take().map(|poll| poll.tick).unwrap_or_default()
    }

    pub(super) fn ticked(&mut self, count: impl FnOnce(&mut Ticked)) {
        if let Some(poll) = &mut self.poll {
            count(&mut poll.tick);
        }
    }

    pub(super) fn spent(&self) -> bool {
        let spent = |poll: &Poll| poll.did && poll.budget.is_some_and(|budget| self.monotonic - poll.began >= budget);
        self.poll.as_ref().is_some_and(spent)
    }

    pub(super) fn follow_the_clock(&mut self) {
        let (slept, set) = (std::mem::take(&mut self.slept), std::mem::take(&mut self.set));
        if slept > 0 {
            self.told.push(Told::Clock { change: format!("slept {slept}") });
        }
        if set != 0 {
            self.told.push(Told::Clock { change: format!("set {set}") });
        }
        if set != 0 {
            self.set_by(set);
        }
    }

    /// The wall clock was set. An interval keeps its instants of elapsed time, but not its place before a deadline.
    fn set_by(&mut self, set: Ms) {
        let now = self.clock();
        for number in 0..self.jobs.len() {
            // Hours are looked at anew.
            let job = &mut self.jobs[number];
            if job.block.as_ref().is_some_and(|block| block.why == Why::Window) {
                job.block = None;
            }
            let job = &self.jobs[number];
            let counts = job.occurrences.as_ref().is_some_and(|all| !all.on_wall() && *all != Occurrences::Never);
            if counts && job.until.is_some() && job.next(now).is_none() {
                self.remove_if_done(number);
            }
        }
        if set > 0 {
            return;
        }
        for (number, job) in self.jobs.iter_mut().enumerate() {
            let follows = job.there && job.occurrences.as_ref().is_some_and(Occurrences::on_wall);
            if !follows || job.next.is_none_or(|next| job.until.is_some_and(|until| next > until)) {
                continue;
            }
            let far = job.last_due.is_some_and(|last| last - now.wall > DAY);
            if far {
                job.last_due = None;
            }
            if job.next.is_some_and(|next| next > now.wall) {
                job.deal(job.last_due.map_or(now.wall, |last| last.max(now.wall)));
            }
            if far {
                self.told.push(Told::Reanchored { job: number, next: job.next });
            }
        }
    }

    /// The jobs that are due, in order.
    pub(super) fn in_order(&self) -> Vec<usize> {
        let now = self.now();
        let mut due: Vec<_> = (0..self.jobs.len()).filter_map(|job| Some((self.place(job)?, job))).collect();
        due.retain(|((at, ..), _)| *at <= now.wall);
        due.sort();
        due.into_iter().map(|(_, job)| job).collect()
    }

    /// The earliest of a job's entries, on the wall's scale, with what settles ties.
    pub(super) fn place(&self, number: usize) -> Option<(Ms, i32, Option<u64>, usize)> {
        let (now, priority) = (self.now(), self.jobs[number].spec.priority);
        self.entries(number).into_iter().map(|(at, turn)| (at.on_wall(now), priority, turn, number)).min()
    }

    /// When a job wants to be looked at; for the turn of a run that yielded also which turn it is.
    pub(super) fn entries(&self, number: usize) -> Vec<(Instant, Option<u64>)> {
        let (now, job) = (self.now(), &self.jobs[number]);
        let mut entries = Vec::new();
        if !job.there || self.paused || self.shut || job.held {
            return entries;
        }
        for run in &job.live {
            entries.extend(self.time_limit(job, run).map(|limit| (Instant::Elapsed(limit), None)));
        }
        if job.paused {
            return entries;
        }
        for run in &job.live {
            if let Place::Yielded { at, order } = run.place {
                entries.push((Instant::Elapsed(at), Some(order)));
            }
        }
        if let Some(block) = &job.block {
            entries.extend(self.looked_at(number, block).map(|at| (at, None)));
            return entries;
        }
        for run in &job.live {
            if let Place::Resting { until } = run.place {
                entries.push((Instant::Elapsed(until), None));
            }
        }
        entries.extend(self.front(number).map(|front| (front.ready, None)));
        entries.extend(job.coming(now).map(|at| (at, None)));
        entries
    }

    /// When it is looked at again whether a job is still held back.
    pub(super) fn looked_at(&self, number: usize, block: &Block) -> Option<Instant> {
        match block.why {
            Why::InLine(line, rank) => self.called(number, line, rank),
            _ => block.until,
        }
    }

    /// When it is looked at whether a run takes too long.
    pub(super) fn time_limit(&self, job: &Job, run: &Run) -> Option<Ms> {
        let limit = job.spec.timeout?;
        match run.place {
            Place::Away { ticket } => self.tickets[ticket].look,
            Place::Yielded { .. } => Some(run.began + limit),
            Place::Called | Place::Resting { .. } => None,
        }
    }

    /// The first of those that wait, if it may be looked at.
    pub(super) fn front(&self, number: usize) -> Option<&Waiting> {
        let job = &self.jobs[number];
        let decides = matches!(job.spec.overlap, Some(Overlap::Skip | Overlap::CancelRunning));
        let front = job.waiting.front().filter(|_| !job.is_spent())?;
        (job.has_slot() || decides && front.from != From::Hand).then_some(front)
    }

    pub(super) fn process(&mut self, number: usize) {
        let now = self.now();
        let limit = |run: &Run| {
            self.time_limit(&self.jobs[number], run).filter(|limit| *limit <= now.elapsed).map(|limit| (limit, run.stamp, run.id))
        };
        if let Some((.., run)) = self.jobs[number].live.iter().filter_map(limit).min() {
            return self.look_at_limit(number, run);
        }
        let job = &self.jobs[number];
        if job.paused {
            return;
        }
        let over = job.block.as_ref().and_then(|block| self.looked_at(number, block)).is_some_and(|at| at.passed(now));
        let job = &mut self.jobs[number];
        job.unblocked = if over { job.block.take() } else { None };
        let blocked = job.block.is_some();
        let occurrence = job.coming(now).is_some_and(|at| !blocked && at.passed(now));
        if occurrence && !job.has_slot() {
            return self.overlap(number);
        }
        let decided = |front: &Waiting| !self.jobs[number].has_slot() && front.ready.passed(now);
        if !blocked && self.front(number).is_some_and(decided) {
            return self.begin_waiting(number);
        }
        let turn = |run: &Run| match run.place {
            Place::Yielded { at, order } if at <= now.elapsed => Some((order, run.id)),
            _ => None,
        };
        if let Some((_, run)) = self.jobs[number].live.iter().filter_map(turn).min() {
            return self.take_up(number, run);
        }
        if blocked {
            return;
        }
        let attempt = |run: &Run| match run.place {
            Place::Resting { until } if until <= now.elapsed => Some((until, run.stamp, run.id)),
            _ => None,
        };
        if let Some((.., run)) = self.jobs[number].live.iter().filter_map(attempt).min() {
            return self.attempt_again(number, run);
        }
        if self.front(number).is_some_and(|front| front.ready.passed(now)) {
            return self.begin_waiting(number);
        }
        if occurrence {
            self.begin_occurrence(number);
        }
    }
}
