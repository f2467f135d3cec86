//! The scheduler's contract once more, slow and plain, for comparison.
//!
//! No queue and no lock: before each decision of a poll the entries of all jobs are made anew and the first is taken. Who holds
//! a limit, how many slots are taken and whether a block still holds is counted each time. Jobs do here what their script
//! says, on hands of a clock that only this model turns.

#[path = "model/begin.rs"]
mod begin;
#[path = "model/jobs.rs"]
mod jobs;
#[path = "model/poll.rs"]
mod poll;
#[path = "model/runs.rs"]
mod runs;

use std::collections::VecDeque;
use std::rc::Rc;

use crate::log;
use crate::log::{Call, State, Ticked, Told};
use crate::occurrences::{Decision, Occurrences, Run as For, decide};
use crate::plan::{
    Act, Backoff, DAY, Ending, FLAGS, Kind, Limit, MINUTE, MOST_JOBS, Missed, Ms, On, Overlap, Plan, SECOND, Spec, Step, When,
};

/// At most so many runs wait for a job that follows others, if it does not say.
const MOST_WAITING: usize = 1_000;
/// So many visits without an effect between two looks at the budget.
const MOST_VISITS: u32 = 64;
/// How long a condition that did not hold is left alone.
const CONDITION_AGAIN: Ms = SECOND;
/// How long a full executor is left alone.
const FULL_AGAIN: Ms = 100;

/// The two scales, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Now {
    wall: Ms,
    elapsed: Ms,
}

/// An instant on one of them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Instant {
    Wall(Ms),
    Elapsed(Ms),
}

impl Instant {
    fn on_wall(self, now: Now) -> Ms {
        match self {
            Instant::Wall(at) => at,
            Instant::Elapsed(at) => at + now.wall - now.elapsed,
        }
    }

    fn passed(self, now: Now) -> bool {
        self.on_wall(now) <= now.wall
    }
}

/// How a call, or a run, ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Done,
    Failed,
    Panicked,
    TimedOut,
    Stopped,
    Lost,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            End::Done => "done",
            End::Failed => "failed",
            End::Panicked => "panicked",
            End::TimedOut => "timed out",
            End::Stopped => "stopped",
            End::Lost => "lost",
        }
    }

    fn is_bad(self) -> bool {
        matches!(self, End::Failed | End::Panicked | End::TimedOut | End::Lost)
    }
}

/// What a run is told of itself.
#[derive(Debug, Clone, PartialEq)]
struct Facts {
    /// On the wall, as it stood when this was decided.
    due: Ms,
    first: Ms,
    folded: u64,
    follows: Vec<(usize, Ms)>,
    values: Vec<u64>,
}

/// A run that waits for its turn to begin.
#[derive(Debug, Clone)]
struct Waiting {
    facts: Facts,
    ready: Instant,
    from: From,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum From {
    Hand,
    Queue,
    /// The run that it follows ended then.
    Followed {
        ended: Ms,
        by_hand: bool,
    },
}

impl From {
    fn by_hand(self) -> bool {
        matches!(self, From::Hand | From::Followed { by_hand: true, .. })
    }
}

#[derive(Debug, Clone)]
struct Run {
    id: usize,
    facts: Facts,
    attempt: u32,
    turn: u32,
    /// When this attempt began.
    began: Ms,
    place: Place,
    /// How its last attempt failed.
    failed: End,
    /// When it came to its place, in order.
    stamp: u64,
}

/// Where a live run is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Called,
    Yielded {
        at: Ms,
        order: u64,
    },
    Away {
        ticket: usize,
    },
    /// Until its next attempt.
    Resting {
        until: Ms,
    },
}

/// How work comes back.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Returned {
    Ran {
        ending: Ending,
        serial: u64,
    },
    /// It was thrown away.
    Lost,
    /// It had been told to stop before it began.
    NotBegun,
}

/// One attempt that was handed over to the executor.
#[derive(Debug, Clone)]
struct Ticket {
    job: usize,
    run: usize,
    /// When its time limit is looked at, counted from the hand-over until it is known when it began.
    look: Option<Ms>,
    /// In elapsed time.
    began: Option<Ms>,
    /// Its run does not wait for it any more.
    stray: bool,
    /// It was taken in.
    over: bool,
}

/// Why a job may not start anything, and when that is looked at again.
#[derive(Debug, Clone, PartialEq)]
struct Block {
    until: Option<Instant>,
    why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Why {
    /// The condition was asked just now.
    Asked,
    Condition,
    Window,
    Spacing,
    InLine(Line, Rank),
}

/// What those wait for who stand in line.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Line {
    Limit(Limit),
    Executor,
}

/// A place in a line: since when it is due, in elapsed time, its priority, and the order of registration.
type Rank = (Ms, i32, usize);

/// What asks to be let through.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Entrance {
    Run,
    ByHand,
}

struct Job {
    spec: Rc<Spec>,
    there: bool,
    paused: bool,
    /// Nothing of it begins before the next poll.
    held: bool,
    occurrences: Option<Occurrences>,
    /// The next occurrence.
    next: Option<Ms>,
    /// What was due by then was missed when the last run started.
    missed_until: Ms,
    /// The last occurrence that was run.
    last_due: Option<Ms>,
    until: Option<Ms>,
    times: Option<u32>,
    started: u32,
    waiting: VecDeque<Waiting>,
    live: Vec<Run>,
    block: Option<Block>,
    /// The block that this visit looks at again.
    unblocked: Option<Block>,
    /// Its condition was asked, and holds.
    answer: Option<()>,
    last_start: Option<Ms>,
    bad_in_a_row: u32,
    calls: usize,
    /// What it follows, with each one's latest success: its value, facts and end.
    of: Vec<usize>,
    latest: Vec<Option<(u64, Ms, Ms)>>,
    /// What it also runs after.
    also: Vec<usize>,
    state: State,
}

/// The poll that is going on.
struct Poll {
    now: Now,
    began: Ms,
    budget: Option<Ms>,
    /// Whether something was done since the budget was looked at; visits without an effect count by 64.
    did: bool,
    visits: u32,
    tick: Ticked,
}

pub(crate) struct Model {
    plan: Rc<Plan>,
    wall: Ms,
    monotonic: Ms,
    elapsed: Ms,
    /// How far the wall clock was set since the last look, and how long the machine slept.
    set: Ms,
    slept: Ms,
    jobs: Vec<Job>,
    tickets: Vec<Ticket>,
    /// Tickets that the executor holds, and those that have come back.
    held: Vec<usize>,
    returned: Vec<(usize, Ms, Returned)>,
    /// Starts under the rates: the limit's name, when.
    starts: Vec<(usize, Ms)>,
    poll: Option<Poll>,
    flags: [bool; FLAGS],
    paused: bool,
    shut: bool,
    runs: usize,
    stamps: u64,
    serial: u64,
    /// Until when the executor is left alone.
    full_until: Option<Ms>,
    pub(crate) lines: Vec<log::Line>,
    pub(crate) told: Vec<Told>,
}

impl Model {
    pub(crate) fn new(plan: Rc<Plan>) -> Self {
        Model {
            wall: plan.start,
            monotonic: 0,
            elapsed: plan.start,
            plan,
            set: 0,
            slept: 0,
            jobs: Vec::new(),
            tickets: Vec::new(),
            held: Vec::new(),
            returned: Vec::new(),
            starts: Vec::new(),
            poll: None,
            flags: [false; FLAGS],
            paused: false,
            shut: false,
            runs: 0,
            stamps: 0,
            serial: 0,
            full_until: None,
            lines: Vec::new(),
            told: Vec::new(),
        }
    }

    // What the host does.

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Advance(ms) => self.advance(*ms),
            Step::Suspend(ms) => {
                self.wall += ms;
                self.elapsed += ms;
                self.slept += ms;
            }
            Step::Set(ms) => {
                self.wall += ms;
                self.set += ms;
            }
            Step::Act(act) => self.act(act, None),
        }
        self.follow_the_clock();
    }

    fn advance(&mut self, ms: Ms) {
        self.wall += ms;
        self.monotonic += ms;
        self.elapsed += ms;
    }

    /// The clock as it stands, polls or no.
    fn clock(&self) -> Now {
        Now { wall: self.wall, elapsed: self.elapsed }
    }

    /// The instant at which a poll asks all its questions.
    fn now(&self) -> Now {
        self.poll.as_ref().map_or(self.clock(), |poll| poll.now)
    }

    fn say(&mut self, text: String) {
        self.lines.push(log::Line::Act(text));
    }

    pub(crate) fn act(&mut self, act: &Act, by: Option<usize>) {
        let count = self.jobs.len();
        let some = |job: usize| (count > 0).then(|| job % count);
        match act {
            Act::Poll(budget) => {
                let tick = self.poll(*budget);
                self.say(format!("{tick:?}"));
            }
            Act::Register(number) => {
                let Some(spec) = self.plan.spec(*number).cloned() else { return };
                self.register(spec);
            }
            Act::Cancel(job) => {
                let Some(job) = some(*job) else { return };
                self.cancel(job);
                self.say(format!("cancel j{job}"));
            }
            Act::CancelSelf => {
                let Some(job) = by else { return };
                self.cancel(job);
                self.say(format!("cancel self j{job}"));
            }
            Act::RunNow(job) => {
                let Some(job) = some(*job) else { return };
                let was = self.run_now(job);
                self.say(format!("run j{job} now: {was}"));
            }
            Act::Pause(job) => {
                let Some(job) = some(*job) else { return };
                let was = self.pause(job);
                self.say(format!("pause j{job}: {was}"));
            }
            Act::Resume(job) => {
                let Some(job) = some(*job) else { return };
                let was = self.resume(job);
                self.say(format!("resume j{job}: {was}"));
            }
            Act::Reschedule(job, when) => {
                let Some(job) = some(*job) else { return };
                if let Kind::Following { .. } = self.jobs[job].spec.kind {
                    return;
                }
                let was = self.reschedule(job, when);
                self.say(format!("reschedule j{job}: {was}"));
            }
            Act::AlsoAfter(job, other) => {
                let (Some(job), Some(other)) = (some(*job), some(*other)) else { return };
                if let Kind::Following { .. } = self.jobs[job].spec.kind {
                    return;
                }
                let was = self.also_after(job, other);
                self.say(format!("j{job} also after j{other}: {was}"));
            }
            Act::ClearTagged(tag) => {
                let tagged: Vec<usize> =
                    (0..count).filter(|job| self.jobs[*job].there && self.jobs[*job].spec.tag == Some(*tag)).collect();
                let cleared = tagged.iter().filter(|job| self.cancel(**job)).count();
                self.say(format!("cleared {cleared}"));
            }
            Act::Flip(flag) => self.flags[*flag] = !self.flags[*flag],
            Act::PauseAll => self.paused = true,
            Act::ResumeAll => self.paused = false,
            Act::Work(number) => {
                if !self.held.is_empty() {
                    let ticket = self.held.remove(number % self.held.len());
                    self.work(ticket);
                }
            }
            Act::Lose(number) => {
                if !self.held.is_empty() {
                    let ticket = self.held.remove(number % self.held.len());
                    let lost = if self.shut { Returned::NotBegun } else { Returned::Lost };
                    self.returned.push((ticket, self.elapsed, lost));
                }
            }
            Act::Shutdown => self.shut_down(),
        }
    }
}

fn by_hand(now: Now) -> Waiting {
    let facts = Facts { due: now.wall, first: now.wall, folded: 1, follows: Vec::new(), values: Vec::new() };
    Waiting { facts, ready: Instant::Elapsed(now.elapsed), from: From::Hand }
}

impl Job {
    fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.started >= times)
    }

    fn has_slot(&self) -> bool {
        let slots = match self.spec.overlap {
            Some(Overlap::Allow(most)) => most as usize,
            _ => 1,
        };
        self.live.len() < slots
    }

    /// The next occurrence before the deadline.
    fn next(&self, now: Now) -> Option<Instant> {
        let next = self.instant(self.next?);
        (!self.is_spent() && self.until.is_none_or(|until| next.on_wall(now) <= until)).then_some(next)
    }

    /// The same, unless it counts from the end of a run that goes on.
    fn coming(&self, now: Now) -> Option<Instant> {
        let counts = matches!(self.occurrences, Some(Occurrences::Completion { .. })) && !self.live.is_empty();
        // What a run was missed with is made up for one after the other, and does not overlap it.
        let catches_up = matches!(self.spec.kind, Kind::Scheduled { missed: Missed::RunAll(_), .. });
        let made_up_for = catches_up && self.next.is_some_and(|next| next <= self.missed_until) && !self.has_slot();
        if counts || made_up_for { None } else { self.next(now) }
    }

    fn instant(&self, at: Ms) -> Instant {
        if self.occurrences.as_ref().is_some_and(Occurrences::on_wall) { Instant::Wall(at) } else { Instant::Elapsed(at) }
    }

    /// On its own scale.
    fn scale(&self, now: Now) -> Ms {
        if self.occurrences.as_ref().is_some_and(Occurrences::on_wall) { now.wall } else { now.elapsed }
    }

    /// Blocked until its window opens, if it is shut.
    fn shut_window(&self, now: Now) -> Option<Block> {
        let (from, to) = self.spec.window?;
        let (time, last) = (now.wall.rem_euclid(DAY), to + SECOND - 1);
        let open = if from <= to { (from..=last).contains(&time) } else { time >= from || time <= last };
        let opens = now.wall - time + from + if time < from { 0 } else { DAY };
        (!open).then_some(Block { until: Some(Instant::Wall(opens)), why: Why::Window })
    }

    /// Goes on with the first occurrence from now.
    fn follow_from(&mut self, now: Now) {
        let scale = self.scale(now);
        let Some(occurrences) = &self.occurrences else { return };
        // Nothing runs twice.
        let before = self.next;
        let from = if occurrences.on_wall() {
            // A clock that is more than a day behind it was wrong before.
            self.last_due.filter(|last| last - scale <= DAY).map_or(scale, |last| last.max(scale))
        } else {
            scale
        };
        let from_now = occurrences.next(from);
        self.next = from_now;
        // The only one that was left is not lost.
        if self.next(now).is_none() {
            self.next = before;
        }
        if self.next(now).is_none() {
            self.next = from_now;
        }
    }

    /// All up to `dealt` is dealt with.
    fn deal(&mut self, dealt: Ms) {
        self.next = self.occurrences.as_ref().and_then(|occurrences| occurrences.next(dealt));
    }
}

impl Model {
    // What can be seen from outside.

    pub(crate) fn jobs(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn state(&self, number: usize) -> State {
        let (now, job) = (self.now(), &self.jobs[number]);
        let next = match &job.waiting {
            _ if self.shut || job.paused || !job.live.is_empty() || !job.waiting.is_empty() || job.block.is_some() => None,
            _ => job.coming(now).map(|next| next.on_wall(now)),
        };
        let goes_on = |run: &Run| match run.place {
            Place::Called | Place::Away { .. } | Place::Yielded { .. } => true,
            Place::Resting { .. } => false,
        };
        State {
            there: job.there,
            paused: job.there && job.paused,
            running: job.there && job.live.iter().any(goes_on),
            next,
            ..job.state.clone()
        }
    }

    /// How long until something is due.
    pub(crate) fn idle(&self) -> Option<Ms> {
        if !self.returned.is_empty() {
            return Some(0);
        }
        let now = self.now();
        let first = (0..self.jobs.len()).filter_map(|job| self.place(job)).map(|(at, ..)| at).min()?;
        Some((first - now.wall).max(0))
    }
}

impl crate::plan::Retry {
    /// How long to wait after so many attempts.
    fn wait(&self, attempts: u32) -> Ms {
        let doubled = |first: Ms, most: Ms| (first << (attempts - 1).min(30)).min(most);
        match &self.backoff {
            None => doubled(SECOND, MINUTE),
            Some(Backoff::Constant(wait)) => *wait,
            Some(Backoff::Exponential(first, most)) => doubled(*first, *most),
            Some(Backoff::List(waits)) => waits[(attempts as usize - 1).min(waits.len() - 1)],
        }
    }
}

impl Ending {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::Error => "error",
            Ending::Panic => "panic",
            Ending::Cancel => "cancel",
            Ending::Retry => "retry",
            Ending::Yield => "yield",
        }
    }
}
