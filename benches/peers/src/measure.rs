//! Rounds, in turn.
//!
//! A case is some work, and those who can do it. Each round asks each of them once, in another order each time, so that whatever
//! else the machine does meanwhile befalls all, and none always comes after the same neighbour, who may leave it the caches
//! cold. What did not do the work gives no figure but says so.

use std::time::{Duration, Instant};

/// One figure of one round, or why there is none.
pub type Sample = Result<f64, String>;

/// What a contender is to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What nobody can go below.
    Floor,
    /// Another library.
    Peer,
    /// punctual with other work, which a goal is measured by.
    Own,
    Punctual,
}

/// Someone who can do the work of a case.
pub struct Contender {
    pub name: String,
    pub kind: Kind,
    sample: Box<dyn FnMut() -> Sample>,
}

impl Contender {
    pub fn floor(name: &str, sample: impl FnMut() -> Sample + 'static) -> Contender {
        Contender { name: name.to_owned(), kind: Kind::Floor, sample: Box::new(sample) }
    }

    pub fn peer(name: &str, sample: impl FnMut() -> Sample + 'static) -> Contender {
        Contender { kind: Kind::Peer, ..Contender::floor(name, sample) }
    }

    pub fn own(name: &str, sample: impl FnMut() -> Sample + 'static) -> Contender {
        Contender { kind: Kind::Own, ..Contender::floor(name, sample) }
    }

    pub fn punctual(sample: impl FnMut() -> Sample + 'static) -> Contender {
        Contender { kind: Kind::Punctual, ..Contender::floor("punctual", sample) }
    }
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Time,
    Bytes,
}

/// What punctual's figure is to stay within.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// So many times the figure of the contender of that name.
    Times(f64, &'static str),
    /// A figure of its own.
    Most(f64),
}

/// A row of the table.
pub struct Case {
    /// What it is asked for by.
    pub name: String,
    pub title: String,
    /// Who has it.
    pub user: &'static str,
    pub unit: Unit,
    pub goals: Vec<Goal>,
    /// More rounds would give the same figure again.
    pub is_exact: bool,
    /// Made when the case's turn comes, since a million jobs take room.
    pub contenders: Box<dyn FnOnce() -> Vec<Contender>>,
}

impl Case {
    pub fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        user: &'static str,
        contenders: impl FnOnce() -> Vec<Contender> + 'static,
    ) -> Case {
        Case {
            name: name.into(),
            title: title.into(),
            user,
            unit: Unit::Time,
            goals: Vec::new(),
            is_exact: false,
            contenders: Box::new(contenders),
        }
    }

    pub fn goal(mut self, goal: Goal) -> Case {
        self.goals.push(goal);
        self
    }

    /// Bytes, of which one round is as good as seven.
    pub fn in_bytes(self) -> Case {
        Case { unit: Unit::Bytes, is_exact: true, ..self }
    }

    pub fn run(self, rounds: usize) -> Outcome {
        let Case { title, unit, goals, is_exact, contenders, .. } = self;
        let mut contenders = contenders();
        let many = contenders.len();
        let mut samples: Vec<Result<Vec<f64>, String>> = contenders.iter().map(|_| Ok(Vec::new())).collect();
        let mut order: Vec<usize> = (0..many).collect();
        let mut draw = fastrand::Rng::with_seed(1);
        for _ in 0..if is_exact { 1 } else { rounds } {
            draw.shuffle(&mut order);
            for place in order.iter().copied() {
                let Ok(figures) = &mut samples[place] else { continue };
                match (contenders[place].sample)() {
                    Ok(figure) => figures.push(figure),
                    Err(why) => samples[place] = Err(why),
                }
            }
        }
        let results = contenders.into_iter().zip(samples);
        let results = results.map(|(of, samples)| (of.name, of.kind, samples.map(Figures::of))).collect();
        Outcome { title, unit, goals, results }
    }
}

/// The figures of one contender.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub min: f64,
    pub median: f64,
}

impl Figures {
    /// # Panics
    ///
    /// If there are none.
    pub fn of(mut figures: Vec<f64>) -> Figures {
        figures.sort_by(f64::total_cmp);
        Figures { min: figures[0], median: quantile(&figures, 0.5) }
    }
}

/// The figure below which that share of them lies, of some in order.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len() - 1;
    sorted[(last as f64 * share).round() as usize]
}

/// What came of a case.
pub struct Outcome {
    pub title: String,
    pub unit: Unit,
    pub goals: Vec<Goal>,
    pub results: Vec<(String, Kind, Result<Figures, String>)>,
}

impl Outcome {
    pub fn figures(&self, name: &str) -> Option<Figures> {
        let (_, _, figures) = self.results.iter().find(|(of, ..)| of == name)?;
        figures.as_ref().ok().copied()
    }
}

/// How long one sample of something short is to take, so that reading the clock does not count.
const SLICE: Duration = Duration::from_millis(10);

/// Nanoseconds a call: as many calls as fill a slice of time, and one if one is longer.
pub fn paced(mut call: impl FnMut()) -> impl FnMut() -> Sample {
    let mut calls = None;
    move || {
        let calls = *calls.get_or_insert_with(|| calls_that_fill(SLICE, &mut call));
        Ok(nanos(|| (0..calls).for_each(|_| call())) / f64::from(calls))
    }
}

fn calls_that_fill(slice: Duration, call: &mut impl FnMut()) -> u32 {
    let slice = slice.as_nanos() as f64;
    call();
    let mut calls = 1;
    loop {
        let took = nanos(|| (0..calls).for_each(|_| call()));
        if took > slice / 10.0 {
            return (f64::from(calls) * slice / took).max(1.0) as u32;
        }
        calls *= 4;
    }
}

pub fn nanos(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_nanos() as f64
}

/// Complains unless as much was done as was asked for.
pub fn expect(what: &str, done: u64, asked: u64) -> Result<(), String> {
    if done == asked { Ok(()) } else { Err(format!("{what} {done} of {asked}")) }
}
