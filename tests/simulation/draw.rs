//! Worlds drawn from a seed.

use fastrand::Rng;

use crate::plan::{
    Act, Backoff, Behaviour, DAY, Ending, FLAGS, HOUR, Kind, Limit, MINUTE, Missed, Ms, On, Overlap, Plan, Retry, SECOND, Spec,
    Step, TAGS, When,
};

struct Draw {
    rng: Rng,
    /// How likely, in percent, a job is given each further word.
    spice: u32,
    /// What the limits allow: one setting for each name.
    limits: [Limit; 3],
    /// Whether the model is to follow.
    compared: bool,
}

pub(crate) fn plan(seed: u64) -> Plan {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let spice = *pick(&mut rng, &[4, 10, 20, 35]);
    let limits = [
        Limit::Mutex(0),
        Limit::AtMost(rng.u32(1..4), 1),
        Limit::Rate(rng.u32(1..4), *pick(&mut rng, &[2 * SECOND, 10 * SECOND, MINUTE]), 2),
    ];
    // In which order several runs of one job go on that may at the same instant is left open: such worlds are held to the
    // laws alone.
    let compared = rng.u32(..12) > 0;
    let mut draw = Draw { rng, spice, limits, compared };
    let start = 1_772_355_600_000 + draw.rng.i64(0..400) * DAY / 7;
    let start = start - start % SECOND;
    let many = draw.rng.usize(1..12);
    let jobs: Vec<Spec> = (0..many).map(|before| draw.spec(before)).collect();
    let spares: Vec<Spec> = (0..draw.rng.usize(1..4)).map(|_| draw.spec(many)).collect();
    let budget = draw.sometimes(20).then(|| draw.budget());
    let capacity = draw.sometimes(50).then(|| draw.rng.usize(0..4));
    let steps = draw.steps();
    let watched = !compared || draw.rng.bool();
    let shorn = |spec: Spec| if !watched && !spec.background && draw.rng.bool() { spec.plain() } else { spec };
    let jobs = jobs.into_iter().map(shorn).collect();
    Plan { compared, watched, start, budget, capacity, jobs, spares, steps }
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

impl Draw {
    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())].clone()
    }

    fn sometimes(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    /// A further word, if the job is given one.
    fn word<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.sometimes(self.spice).then(|| draw(self))
    }

    fn budget(&mut self) -> Ms {
        self.pick(&[0, 1, 10, 100, 500, 2 * SECOND, 10 * SECOND])
    }

    fn when(&mut self) -> When {
        match self.rng.u32(..20) {
            0..8 => {
                When::Every(self.pick(&[500, SECOND, 2 * SECOND, 5 * SECOND, 7 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, HOUR]))
            }
            8..11 => When::AfterCompletion(self.pick(&[SECOND, 3 * SECOND, 10 * SECOND, MINUTE, HOUR])),
            11..13 => When::OnceAfter(self.pick(&[0, SECOND, 5 * SECOND, MINUTE, HOUR])),
            13 => When::Reboot,
            14..17 => {
                let mut times: Vec<Ms> = (0..self.rng.usize(1..4)).map(|_| self.rng.i64(0..96) * 15 * MINUTE).collect();
                times.sort();
                times.dedup();
                When::Daily(times)
            }
            _ => When::Cron(self.pick(&[1, 2, 5, 7, 15, 20, 30])),
        }
    }

    fn spec(&mut self, before: usize) -> Spec {
        let kind = if before > 0 && self.sometimes(25) { self.following(before) } else { self.scheduled() };
        let mut spec = Spec::new(kind);
        spec.priority = self.word(|draw| draw.rng.i32(-2..3)).unwrap_or(0);
        spec.tag = self.word(|draw| draw.rng.usize(..TAGS.len()));
        self.further(&mut spec);
        spec.script = (0..self.rng.usize(1..5)).map(|_| self.behaviour(&spec)).collect();
        spec
    }

    fn scheduled(&mut self) -> Kind {
        let when = self.when();
        Kind::Scheduled {
            immediately: self.sometimes(10) && when != When::Reboot,
            when,
            times: self.word(|draw| draw.rng.u32(1..6)),
            until: self.word(|draw| draw.pick(&[SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY])),
            missed: if self.sometimes(60) { Missed::RunOnce } else { self.missed() },
            grace: self.word(|draw| draw.pick(&[0, 500, SECOND, 5 * SECOND, MINUTE, 10 * MINUTE, HOUR])),
        }
    }

    fn missed(&mut self) -> Missed {
        if self.rng.bool() { Missed::Skip } else { Missed::RunAll(self.rng.u32(1..6)) }
    }

    fn following(&mut self, before: usize) -> Kind {
        let many = if self.sometimes(25) { 2 } else { 1 };
        let of = (0..many).map(|_| self.rng.usize(..before)).collect();
        let all = many > 1 && self.rng.bool();
        let within = self.word(|draw| draw.pick(&[0, SECOND, 10 * SECOND, MINUTE]));
        let delay = self.word(|draw| draw.pick(&[500, SECOND, 5 * SECOND, MINUTE]));
        Kind::Following {
            of,
            all,
            on: if all || self.sometimes(60) { On::Success } else { self.pick(&[On::Failure, On::End]) },
            within,
            // One that is longer is refused.
            delay: delay.filter(|delay| within.is_none_or(|within| *delay <= within)),
        }
    }

    /// The words of runs: overlap, time limits, attempts, gates.
    fn further(&mut self, spec: &mut Spec) {
        spec.background = self.sometimes(self.spice * 2);
        spec.overlap = self.word(|draw| match draw.rng.u32(..4) {
            0 => Overlap::Skip,
            1 => Overlap::Queue(draw.rng.u32(1..4)),
            2 => Overlap::Allow(draw.rng.u32(1..4)),
            _ => Overlap::CancelRunning,
        });
        if let (Some(Overlap::Allow(_)), false) = (spec.overlap, spec.background) {
            spec.overlap = None;
        }
        spec.timeout = self.word(|draw| draw.pick(&[100, SECOND, 5 * SECOND, MINUTE]));
        spec.retry = self.word(|draw| Retry {
            times: draw.rng.u32(1..4),
            backoff: match draw.rng.u32(..4) {
                0 => None,
                1 => Some(Backoff::Constant(draw.pick(&[0, 100, SECOND, 10 * SECOND]))),
                2 => Some(Backoff::Exponential(draw.pick(&[100, SECOND]), draw.pick(&[SECOND, 3 * SECOND]))),
                _ => Some(Backoff::List(vec![draw.pick(&[0, SECOND]), draw.pick(&[500, 3 * SECOND])])),
            },
            unless_panicked: draw.sometimes(20),
        });
        spec.pause_after = self.word(|draw| draw.rng.u32(1..4));
        spec.spacing = self.word(|draw| draw.pick(&[500, 2 * SECOND, 10 * SECOND, MINUTE]));
        for limit in self.limits {
            spec.limits.extend(self.word(|_| limit));
        }
        spec.condition = self.word(|draw| draw.rng.usize(..FLAGS));
        spec.at_latest = spec.condition.and_then(|_| self.sometimes(50).then(|| self.pick(&[500, 2 * SECOND, MINUTE])));
        spec.window = self.word(|draw| (draw.rng.i64(0..24) * HOUR, draw.rng.i64(0..24) * HOUR));
        if self.compared && matches!(spec.overlap, Some(Overlap::Allow(_))) {
            spec.retry = None;
        }
    }

    fn behaviour(&mut self, spec: &Spec) -> Behaviour {
        let takes = if self.sometimes(50) { 0 } else { self.pick(&[1, 10, 100, 500, SECOND, 5 * SECOND, MINUTE]) };
        let end = match self.rng.u32(..20) {
            0..12 => Ending::Done,
            12..14 => Ending::Error,
            14 => Ending::Panic,
            15 if self.sometimes(30) => Ending::Cancel,
            16 => Ending::Retry,
            17.. if !(self.compared && matches!(spec.overlap, Some(Overlap::Allow(_)))) => Ending::Yield,
            _ => Ending::Done,
        };
        let acts =
            if self.sometimes(self.spice) { (0..self.rng.usize(1..3)).map(|_| self.act(true)).collect() } else { Vec::new() };
        Behaviour { takes, acts, end }
    }

    fn act(&mut self, within: bool) -> Act {
        let job = self.rng.usize(..12);
        match self.rng.u32(..26) {
            0..5 => Act::RunNow(job),
            5..8 => Act::Pause(job),
            8..12 => Act::Resume(job),
            12 => Act::Cancel(job),
            13 if within => Act::CancelSelf,
            14..16 => Act::Register(self.rng.usize(..8)),
            16..18 => Act::Reschedule(job, self.when()),
            18 => Act::Poll(None),
            19 if self.sometimes(30) => Act::ClearTagged(self.rng.usize(..TAGS.len())),
            20 => Act::PauseAll,
            21 if self.sometimes(20) => Act::Shutdown,
            21 | 22 => Act::ResumeAll,
            23 => Act::AlsoAfter(job, self.rng.usize(..12)),
            24 => Act::Lose(self.rng.usize(..4)),
            25 => Act::Work(self.rng.usize(..4)),
            _ => Act::Flip(self.rng.usize(..FLAGS)),
        }
    }

    fn steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        let many = self.rng.usize(30..80);
        while steps.len() < many {
            match self.rng.u32(..20) {
                0..10 => {
                    let long =
                        self.pick(&[100, 500, SECOND, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, MINUTE, 5 * MINUTE, HOUR]);
                    steps.push(Step::Advance(long));
                    steps.push(self.poll());
                }
                10 => {
                    let long = self.pick(&[SECOND, MINUTE, HOUR, 9 * HOUR, DAY, 3 * DAY]);
                    steps.push(Step::Suspend(long));
                    steps.push(self.poll());
                }
                11 => {
                    let by = self.pick(&[SECOND, MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY, 1000 * DAY]);
                    steps.push(Step::Set(if self.rng.bool() { by } else { -by }));
                    steps.push(self.poll());
                }
                12 => steps.push(Step::Advance(self.pick(&[HOUR, DAY, 3 * DAY]))),
                13 => steps.push(self.poll()),
                14 | 15 => steps.push(Step::Act(Act::Work(self.rng.usize(..4)))),
                _ => steps.push(Step::Act(self.act(false))),
            }
        }
        steps
    }

    fn poll(&mut self) -> Step {
        Step::Act(Act::Poll(self.sometimes(15).then(|| self.budget())))
    }
}
