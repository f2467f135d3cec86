//! Runs: their attempts, turns and ends, here and in the background, and what follows them.

use super::*;

impl Model {
    pub(super) fn begin(&mut self, number: usize, facts: Facts) {
        let id = self.runs;
        let now = self.now();
        self.runs += 1;
        if facts.folded > 1 {
            self.told.push(Told::Missed { job: number, occurrences: facts.folded, since: facts.first });
        }
        let job = &mut self.jobs[number];
        job.started += 1;
        job.answer = None;
        job.missed_until = job.scale(now);
        job.last_start = Some(self.elapsed);
        job.live.push(Run { id, facts, attempt: 0, turn: 0, began: 0, place: Place::Called, failed: End::Failed, stamp: 0 });
        self.attempt(number, id);
    }

    pub(super) fn stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    pub(super) fn run(&mut self, number: usize, id: usize) -> &mut Run {
        self.jobs[number].live.iter_mut().find(|run| run.id == id).expect("a live run")
    }

    /// All gates are open.
    pub(super) fn attempt(&mut self, number: usize, id: usize) {
        let elapsed = self.elapsed;
        for limit in self.jobs[number].spec.limits.clone() {
            if let Limit::Rate(_, _, name) = limit {
                self.starts.push((name, elapsed));
            }
        }
        let run = self.run(number, id);
        run.attempt += 1;
        run.turn = 0;
        run.began = elapsed;
        self.turn(number, id);
    }

    /// Called here, or handed over.
    pub(super) fn turn(&mut self, number: usize, id: usize) {
        if !self.jobs[number].spec.background {
            return self.call(number, id);
        }
        let ticket = self.tickets.len();
        let (stamp, elapsed) = (self.stamp(), self.elapsed);
        let run = self.run(number, id);
        run.place = Place::Away { ticket };
        run.stamp = stamp;
        // A first turn has its time from its real beginning, a later one what is left.
        let from = if run.turn == 0 { elapsed } else { run.began };
        let look = self.jobs[number].spec.timeout.map(|limit| from + limit);
        self.tickets.push(Ticket { job: number, run: id, look, began: None, stray: false, over: false });
        self.held.push(ticket);
        if let Some(poll) = &mut self.poll {
            poll.tick.handed += 1;
            poll.did = true;
        }
    }

    /// A further attempt is due.
    pub(super) fn attempt_again(&mut self, number: usize, id: usize) {
        let now = self.now();
        if self.jobs[number].until.is_some_and(|until| now.wall > until) {
            let failed = self.run(number, id).failed;
            return self.end(number, id, failed, None, now.elapsed);
        }
        let Place::Resting { until } = self.run(number, id).place else { return };
        if let Some(block) = self.shut_line(number, Instant::Elapsed(until)) {
            return self.block(number, block);
        }
        if self.is_refused(number) {
            return self.wait_for_room(number, Instant::Elapsed(until));
        }
        self.jobs[number].state.retries += 1;
        self.attempt(number, id);
    }

    /// A yielded run has its turn.
    pub(super) fn take_up(&mut self, number: usize, id: usize) {
        let now = self.now();
        // All that may hold it back is the executor. Then its turn comes again.
        let known = self.full_until.filter(|until| self.jobs[number].spec.background && *until > now.elapsed);
        if known.is_some() || self.is_refused(number) {
            let order = if known.is_some() { None } else { Some(self.stamp()) };
            let full = self.full_until.unwrap_or(now.elapsed);
            if let Place::Yielded { at, order: place } = &mut self.run(number, id).place {
                (*at, *place) = (full, order.unwrap_or(*place));
            }
            return;
        }
        self.run(number, id).turn += 1;
        self.turn(number, id);
    }

    pub(super) fn call(&mut self, number: usize, id: usize) {
        self.run(number, id).place = Place::Called;
        let run = self.run(number, id).clone();
        let (ending, serial) = self.play(number, &run, None);
        let monotonic = self.monotonic;
        if let Some(poll) = &mut self.poll {
            poll.tick.ran += 1;
            poll.did = true;
            if let Some(over) = poll.budget.map(|budget| monotonic - poll.began - budget).filter(|over| *over > 0) {
                self.told.push(Told::Overran { job: number, by: over });
            }
        }
        if self.jobs[number].spec.timeout.is_some_and(|timeout| self.elapsed - run.began > timeout) && ending != Ending::Yield {
            self.told.push(Told::TimedOut { job: number });
        }
        self.came_back(number, id, ending, serial, self.elapsed);
    }

    /// A call is over, or background work has returned.
    pub(super) fn came_back(&mut self, number: usize, id: usize, ending: Ending, serial: u64, at: Ms) {
        match ending {
            Ending::Yield if self.jobs[number].there && !(self.shut && self.jobs[number].spec.background) => {
                let order = self.stamp();
                let run = self.run(number, id);
                (run.place, run.stamp) = (Place::Yielded { at, order }, order);
                self.jobs[number].held = true;
            }
            Ending::Yield => self.end(number, id, End::Stopped, None, at),
            Ending::Done | Ending::Cancel => {
                self.end(number, id, End::Done, Some(serial), at);
                if ending == Ending::Cancel {
                    self.cancel(number);
                }
            }
            Ending::Error | Ending::Retry => self.failed(number, id, End::Failed, at),
            Ending::Panic => self.failed(number, id, End::Panicked, at),
        }
    }

    /// The job does what its script says, on this thread.
    pub(super) fn play(&mut self, number: usize, run: &Run, _ticket: Option<usize>) -> (Ending, u64) {
        let serial = self.serial;
        self.serial += 1;
        let call = self.jobs[number].calls;
        self.jobs[number].calls += 1;
        self.lines.push(log::Line::Call(Call {
            job: number,
            serial,
            at: self.elapsed,
            due: run.facts.due,
            first: run.facts.first,
            folded: run.facts.folded,
            attempt: run.attempt,
            turn: run.turn,
            follows: run.facts.follows.clone(),
            values: run.facts.values.clone(),
        }));
        let behaviour = self.jobs[number].spec.behaviour(call);
        self.advance(behaviour.takes / 2);
        for act in &behaviour.acts {
            self.act(act, Some(number));
        }
        self.advance(behaviour.takes - behaviour.takes / 2);
        self.lines.push(log::Line::Back { job: number, serial, at: self.elapsed, ended: behaviour.end.name() });
        (behaviour.end, serial)
    }

    /// An attempt has failed.
    pub(super) fn failed(&mut self, number: usize, id: usize, how: End, at: Ms) {
        self.ticked(|tick| tick.failed += 1);
        let run = self.run(number, id).clone();
        self.told.push(Told::Failed { job: number, due: run.facts.due, how: how.name() });
        let job = &self.jobs[number];
        let again = job.spec.retry.as_ref().filter(|retry| {
            run.attempt <= retry.times && !(retry.unless_panicked && how == End::Panicked) && job.there && !self.shut
        });
        let Some(retry) = again else { return self.end(number, id, how, None, at) };
        let until = at + retry.wait(run.attempt);
        self.told.push(Told::Retried { job: number, attempt: run.attempt + 1 });
        let stamp = self.stamp();
        let run = self.run(number, id);
        (run.place, run.stamp) = (Place::Resting { until }, stamp);
        run.failed = how;
        self.jobs[number].held = true;
    }

    /// A run is over. `value` is what it returned.
    pub(super) fn end(&mut self, number: usize, id: usize, end: End, value: Option<u64>, at: Ms) {
        self.ended(number, id, end, value, at);
        self.remove_if_done(number);
    }

    pub(super) fn ended(&mut self, number: usize, id: usize, end: End, value: Option<u64>, at: Ms) {
        let job = &mut self.jobs[number];
        let Some(place) = job.live.iter().position(|run| run.id == id) else { return };
        let run = job.live.remove(place);
        let due = run.facts.due;
        let state = &mut job.state;
        state.runs += 1;
        state.folded += run.facts.folded - 1;
        match end {
            End::Done => {}
            End::Failed | End::Lost => state.errors += 1,
            End::Panicked => state.panics += 1,
            End::TimedOut => state.timeouts += 1,
            End::Stopped => state.stopped += 1,
        }
        state.last = Some((due, run.facts.folded, end.name()));
        self.told.push(Told::Ended { job: number, end: end.name() });
        let job = &mut self.jobs[number];
        if end == End::Done {
            job.bad_in_a_row = 0;
        } else if end.is_bad() {
            job.bad_in_a_row += 1;
        }
        if let (Some(Occurrences::Completion { anchor, .. }), true) = (&mut job.occurrences, job.there) {
            *anchor = at;
            job.deal(at);
        }
        if job.there && !job.paused && end.is_bad() && job.spec.pause_after.is_some_and(|n| job.bad_in_a_row >= n) {
            self.pause(number);
            self.told.push(Told::Paused { job: number });
        }
        if self.jobs[number].there {
            self.set_off(number, due, end, value, at);
        }
    }

    /// Whoever follows a run that has ended is set off.
    pub(super) fn set_off(&mut self, number: usize, due: Ms, end: End, value: Option<u64>, ended: Ms) {
        let now = self.now();
        let ready_now = Instant::Elapsed((due - now.wall + now.elapsed).min(now.elapsed));
        for follower in 0..self.jobs.len() {
            let job = &mut self.jobs[follower];
            if !job.there || job.paused {
                continue;
            }
            let mut values: Vec<u64> = value.into_iter().collect();
            let mut follows = vec![(number, due)];
            let mut ready = ready_now;
            if let Some(place) = job.of.iter().position(|other| *other == number) {
                let spec = job.spec.clone();
                let Kind::Following { all, on, within, delay, .. } = &spec.kind else { continue };
                let wanted = match on {
                    On::Success => end == End::Done,
                    On::Failure => end.is_bad(),
                    On::End => true,
                };
                if !wanted {
                    continue;
                }
                if *all {
                    job.latest[place] = value.map(|value| (value, due, ended));
                    let fresh = |(_, _, at): &(u64, Ms, Ms)| within.is_none_or(|within| ended - at <= within);
                    job.latest.iter_mut().for_each(|latest| *latest = latest.filter(fresh));
                    if job.latest.iter().any(Option::is_none) {
                        continue;
                    }
                    let set: Vec<_> = job.latest.iter_mut().filter_map(Option::take).collect();
                    values = set.iter().map(|(value, ..)| *value).collect();
                    follows = job.of.iter().zip(&set).map(|(other, (_, due, _))| (*other, *due)).collect();
                }
                if *on != On::Success {
                    values.clear();
                }
                if let Some(delay) = delay {
                    ready = Instant::Elapsed(ended + delay);
                }
            } else if job.also.contains(&number) && end == End::Done {
                values.clear();
            } else {
                continue;
            }
            let facts = Facts { due, first: due, folded: 1, follows, values };
            let most = match job.spec.overlap {
                Some(Overlap::Queue(most)) => most as usize,
                _ => MOST_WAITING,
            };
            let waits = job.waiting.iter().filter(|waiting| matches!(waiting.from, From::Followed { .. })).count();
            if waits >= most && (!job.has_slot() || most == MOST_WAITING) {
                self.drop_some(follower, 1, due, "Overlapped");
            } else {
                job.waiting.push_back(Waiting { facts, ready, from: From::Followed { ended, by_hand: false } });
            }
        }
    }

    pub(super) fn look_at_limit(&mut self, number: usize, id: usize) {
        let now = self.now();
        let run = self.run(number, id).clone();
        if let (Place::Away { ticket }, Some(limit)) = (run.place, self.jobs[number].spec.timeout) {
            let ran = self.tickets[ticket].began.map_or(0, |at| now.elapsed - at);
            if run.turn == 0 && ran < limit {
                self.tickets[ticket].look = Some(now.elapsed + limit - ran);
                return;
            }
            if self.returned.iter().any(|(of, ..)| *of == ticket) {
                // It has ended since the poll began.
                self.tickets[ticket].look = None;
                return;
            }
        }
        self.told.push(Told::TimedOut { job: number });
        if let Some(poll) = &mut self.poll {
            poll.did = true;
        }
        self.leave(&run);
        self.failed(number, id, End::TimedOut, now.elapsed);
    }

    // Work in the background.

    /// The executor runs a piece of what it holds.
    pub(super) fn work(&mut self, ticket: usize) {
        let Ticket { job, run, .. } = self.tickets[ticket];
        let found = self.jobs[job].live.iter().find(|live| live.id == run).cloned();
        let (Some(run), true) = (found, self.may_begin(&self.tickets[ticket])) else {
            // Given up before it began: it is not called.
            self.returned.push((ticket, self.elapsed, Returned::NotBegun));
            return;
        };
        let elapsed = self.elapsed;
        self.tickets[ticket].began = Some(self.elapsed);
        if run.turn == 0 {
            self.run(job, run.id).began = elapsed;
        }
        let (ending, serial) = self.play(job, &run, Some(ticket));
        self.returned.push((ticket, self.elapsed, Returned::Ran { ending, serial }));
    }

    /// A background run has returned.
    pub(super) fn take_in(&mut self, ticket: usize, at: Ms, result: Returned) {
        let Ticket { job, run, stray, .. } = self.tickets[ticket];
        self.tickets[ticket].over = true;
        self.ticked(|tick| tick.returned += 1);
        self.full_until = None;
        if stray {
            self.told.push(Told::Stray { job });
            return;
        }
        if let (Some(began), 0) = (self.tickets[ticket].began, self.run(job, run).turn) {
            self.run(job, run).began = began;
        }
        let yields = matches!(result, Returned::Ran { ending: Ending::Yield, .. });
        let late = |limit: Ms| at > self.jobs[job].live.iter().find(|live| live.id == run).map_or(at, |run| run.began) + limit;
        let begun =
            self.tickets[ticket].began.is_some() || self.jobs[job].live.iter().any(|live| live.id == run && live.turn > 0);
        if !yields && begun && self.jobs[job].spec.timeout.is_some_and(late) {
            self.told.push(Told::TimedOut { job });
        }
        match result {
            Returned::Ran { ending, serial } => self.came_back(job, run, ending, serial, at),
            Returned::Lost => self.failed(job, run, End::Lost, at),
            Returned::NotBegun => self.end(job, run, End::Stopped, None, at),
        }
    }
}
