//! A job as the table holds it: its plan, its rules, the runs that go on and those that wait.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::away::Launcher;
use super::begin::Starting;
use super::filling::Filling;
use super::limits::LimitId;
use super::plan::{Plan, Scale};
use super::record::KeptJob;
use super::run::{Called, Run};
use super::table::earlier;
use super::value::{Joined, Reader, Value};
use crate::backfill::Told;
use crate::clock::Now;
use crate::event::{DropReason, Failure};
use crate::history::History;
use crate::id::JobId;
use crate::job::{Blocked, Epitaph, JobSnapshot};
use crate::policy::{Backoff, Due, Missed, Overlap};
use crate::queue::Rank;
use crate::run::{LateBy, RunFacts, RunView, Signals};
use crate::schedule::{Schedule, Zone, from_nanos, length, to_nanos};
use crate::seldom::{Blank, Seldom};

/// Whether runs of a job may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    No,
    Paused,
    /// It leaves once its last run has ended. Its record says what it was before.
    Retired {
        was_paused: bool,
    },
}

/// What a job on the polling thread does, given the value of the run that it follows.
pub(super) type Inline<C> = Box<dyn FnMut(&mut Run<'_, C>, Option<Value>) -> Called + Send>;

pub(super) enum Body<C> {
    Inline(Inline<C>),
    Away {
        launcher: Launcher,
        /// Whether it takes room of the executor.
        pooled: bool,
    },
}

/// What is asked before a job is called: how the run ends without that, if there is nothing to do.
pub(super) type First = Arc<dyn Fn(&RunFacts) -> Option<Called> + Send + Sync>;

impl<C: 'static> Body<C> {
    /// The same with something that is asked first, where the job runs.
    pub(super) fn after(self, first: First) -> Self {
        match self {
            Body::Inline(mut call) => {
                Body::Inline(Box::new(move |run, value| first(run.facts()).unwrap_or_else(|| call(run, value))))
            }
            Body::Away { launcher, pooled } => {
                let launcher: Launcher = Arc::new(move |mut away| {
                    away.first = Some(first.clone());
                    launcher(away)
                });
                Body::Away { launcher, pooled }
            }
        }
    }
}

/// What few jobs have, of what is said of them besides their schedule.
pub(super) struct Rules {
    pub(super) overlap: Option<Overlap>,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<Retry>,
    pub(super) pause_after: Option<u32>,
    pub(super) spacing: Option<i64>,
    pub(super) limits: Box<[LimitId]>,
    pub(super) when: Option<Condition>,
    pub(super) at_latest: Option<i64>,
    pub(super) window: Option<Hours>,
    /// Whether the condition looks at hours too, in a zone with code of the user's own.
    pub(super) asks_hours: bool,
}

/// The hours in which a job may start, as the window of a schedule, in a zone without code of the user's own.
#[derive(Clone)]
pub(super) struct Hours {
    pub(super) window: Schedule,
    pub(super) zone: Zone,
}

impl Hours {
    /// When they begin, if an instant of the wall clock lies outside.
    pub(super) fn opens(&self, at: i64) -> Option<i64> {
        self.window.window_opens(&self.zone, at)
    }
}

/// Code of the user's own, asked with the lock free: whether anything holds a run back. It is told whether that has waited so
/// long that it is let through.
pub(super) type Condition = Arc<dyn Fn(bool) -> Option<BlockedBy> + Send + Sync>;

/// Whether a failure is worth a further attempt; likewise.
pub(super) type Worth = Arc<dyn Fn(&Failure) -> bool + Send + Sync>;

/// Makes one value of several.
pub(super) type Join = fn(&[Value]) -> Option<Value>;

pub(super) struct Retry {
    /// How many attempts after the first.
    pub(super) most: u32,
    pub(super) backoff: Backoff,
    pub(super) only: Option<Worth>,
}

/// Of sets that are not complete no more are kept than this.
const MOST_SETS: usize = 1000;

/// A job in the table.
pub(super) struct Job<C> {
    pub(super) id: JobId,
    pub(super) name: Option<Arc<str>>,
    pub(super) priority: i32,
    /// How often it was given another schedule.
    pub(super) edition: u32,
    pub(super) plan: Option<Plan>,
    /// The next occurrence, and the instant that it was searched from.
    pub(super) next: Option<i64>,
    pub(super) searched: i64,
    /// How many runs may still start.
    pub(super) runs_left: Option<u32>,
    pub(super) last_due: Option<i64>,
    /// When a run of it last started, in elapsed time.
    pub(super) last_start: Option<i64>,
    /// What was due by this instant of its scale was missed when its last run started.
    pub(super) missed_until: i64,
    /// Away while it is called.
    pub(super) body: Option<Body<C>>,
    /// Whether it is being called on the polling thread.
    pub(super) running: bool,
    pub(super) rest: Rest,
    /// Not to be looked at before the next poll.
    pub(super) held: bool,
    /// What held back the run that is about to start.
    pub(super) held_by: Option<LateBy>,
    /// How many runs in a row ended badly.
    pub(super) failures: u32,
    pub(super) history: History,
    pub(super) epitaph: Arc<dyn Epitaph>,
    /// Of its runs on the polling thread, once it has had one.
    signals: Option<Arc<Signals>>,
    pub(super) besides: Seldom<Besides>,
}

/// What few jobs have. It reads as if it were the job's own; whoever writes to it makes it one of the few.
#[derive(Default)]
pub(super) struct Besides {
    pub(super) tags: Vec<String>,
    /// Runs that go on elsewhere, or that will be gone on with.
    pub(super) live: Vec<Live>,
    /// Runs that are to start besides the schedule.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) rules: Option<Arc<Rules>>,
    pub(super) chain: Option<Box<Chain>>,
    pub(super) followers: Vec<JobId>,
    pub(super) block: Option<Box<Block>>,
    /// In which poll its condition was last found to hold.
    pub(super) holds: u64,
    /// The last occurrences that did not become runs.
    pub(super) unrun: VecDeque<Unrun>,
    /// What its store has of it.
    pub(super) kept: Option<Box<KeptJob>>,
    pub(super) filling: Option<Box<Filling>>,
}

impl Blank for Besides {
    fn blank() -> &'static Self {
        static BLANK: Besides = Besides {
            tags: Vec::new(),
            live: Vec::new(),
            waiting: VecDeque::new(),
            rules: None,
            chain: None,
            followers: Vec::new(),
            block: None,
            holds: 0,
            unrun: VecDeque::new(),
            kept: None,
            filling: None,
        };
        &BLANK
    }
}

impl<C> Deref for Job<C> {
    type Target = Besides;

    #[inline]
    fn deref(&self) -> &Besides {
        &self.besides
    }
}

/// An attempt at a run, from its start to its end. While it is called on the polling thread it is out of the table.
pub(super) struct Attempt {
    pub(super) view: RunView,
    pub(super) after: Option<Followed>,
    /// When it started, by the wall clock, and how long the turns took that it has had.
    pub(super) started: i64,
    pub(super) took: Duration,
    /// Until when it has time, in elapsed time.
    pub(super) ends: Option<i64>,
    pub(super) rules: Option<Arc<Rules>>,
    /// Who is told of its end, if it is a backfill's.
    pub(super) fills: Option<Arc<Told>>,
    /// Of a kept job: how its last failure reads.
    pub(super) error: Option<Box<str>>,
}

/// A run between two calls, or in the background.
pub(super) struct Live {
    pub(super) serial: u64,
    pub(super) attempt: Box<Attempt>,
    pub(super) state: State,
}

pub(super) enum State {
    /// It has more to do, from this instant of elapsed time on, in this place among others.
    Yielded {
        again: i64,
        order: u64,
    },
    Away,
    /// An attempt failed so, and the next one begins from this instant of elapsed time on.
    Again {
        again: i64,
        failure: Box<Failure>,
    },
    /// It is to be called as soon as its start is written.
    Starting(Box<Starting>),
}

/// Whether anybody has asked for a run that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskedBy {
    /// It came by itself: an occurrence that found another run going on, or a run to follow.
    Nobody,
    Hand,
    Backfill,
}

/// A run that is to start besides the schedule.
pub(super) struct Waiting {
    /// What it is for, by the wall clock. By hand, that is when it was asked for.
    pub(super) due: Due,
    /// From when on it may start, in elapsed time.
    pub(super) ready: i64,
    pub(super) by: AskedBy,
    pub(super) after: Option<Followed>,
    /// Its number among the runs of a kept job, once it has one, and how many attempts at it were cut off.
    pub(super) number: u64,
    pub(super) cut_off: u32,
}

/// The run, or runs, that a run follows.
#[derive(Clone)]
pub(super) struct Followed {
    pub(super) runs: Vec<Arc<RunFacts>>,
    pub(super) value: Option<Value>,
    /// When the last of them ended, in elapsed time.
    pub(super) ended: i64,
}

/// Which jobs a job follows, and how.
pub(super) struct Chain {
    pub(super) upstreams: Vec<JobId>,
    pub(super) on: On,
    pub(super) within: Option<i64>,
    pub(super) delay: Option<i64>,
    /// What reads the results of each that it is given.
    pub(super) readers: Vec<(JobId, Arc<dyn Reader>)>,
    pub(super) all: Option<All>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Success,
    Failure,
    End,
}

/// One success of each of several jobs.
pub(super) struct All {
    jobs: Vec<JobId>,
    pub(super) join: Join,
    /// Whether they are to be due at the same instant.
    same_due: bool,
    /// What was gathered and not used up, in the order in which it began. If any will do, there is one at most.
    sets: VecDeque<Set>,
}

/// The last success of each that has had one, in the order of the jobs.
struct Set {
    /// When they were due, if that matters.
    due: Option<i64>,
    latest: Vec<Option<Followed>>,
}

/// What holds a job back, and when it is looked at again.
pub(super) struct Block {
    pub(super) by: BlockedBy,
    pub(super) elapsed: Option<i64>,
    pub(super) wall: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockedBy {
    Condition,
    Window,
    Spacing,
    Store,
    /// Another process holds it.
    Elsewhere,
    /// With its place in that line.
    Limit(LimitId, Rank),
}

/// Occurrences that did not become runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unrun {
    pub(super) since: i64,
    pub(super) until: i64,
    pub(super) because: DropReason,
}

impl Attempt {
    pub(super) fn limits(&self) -> &[LimitId] {
        self.rules.as_ref().map_or(&[], |rules| &rules.limits)
    }
}

impl BlockedBy {
    pub(super) fn late_by(self) -> LateBy {
        match self {
            BlockedBy::Limit(super::limits::ROOM, _) => LateBy::Pool,
            BlockedBy::Limit(..) => LateBy::Limit,
            BlockedBy::Store | BlockedBy::Elsewhere => LateBy::Store,
            _ => LateBy::Rules,
        }
    }

    pub(super) fn told(self, limit_name: impl FnOnce(LimitId) -> Arc<str>) -> Blocked {
        match self {
            BlockedBy::Condition => Blocked::Condition,
            BlockedBy::Window => Blocked::Window,
            BlockedBy::Spacing => Blocked::Spacing,
            BlockedBy::Store => Blocked::Store,
            BlockedBy::Elsewhere => Blocked::Elsewhere,
            BlockedBy::Limit(super::limits::ROOM, _) => Blocked::PoolFull,
            BlockedBy::Limit(id, _) => Blocked::Limit(limit_name(id)),
        }
    }
}

impl<C> Job<C> {
    pub(super) fn new(id: JobId, name: Option<Arc<str>>, epitaph: Arc<dyn Epitaph>, body: Body<C>) -> Self {
        Job {
            id,
            name,
            priority: 0,
            edition: 0,
            plan: None,
            next: None,
            searched: 0,
            runs_left: None,
            last_due: None,
            last_start: None,
            missed_until: i64::MIN,
            body: Some(body),
            running: false,
            rest: Rest::No,
            held: false,
            held_by: None,
            failures: 0,
            history: History::default(),
            epitaph,
            signals: None,
            besides: Seldom::default(),
        }
    }

    /// What its store has of it.
    pub(super) fn kept_mut(&mut self) -> Option<&mut KeptJob> {
        self.besides.used()?.kept.as_deref_mut()
    }

    pub(super) fn chain_mut(&mut self) -> Option<&mut Chain> {
        self.besides.used()?.chain.as_deref_mut()
    }

    pub(super) fn block_mut(&mut self) -> Option<&mut Block> {
        self.besides.used()?.block.as_deref_mut()
    }

    /// What passes between its runs on the polling thread and those outside.
    pub(super) fn signals(&mut self) -> &Arc<Signals> {
        self.signals.get_or_insert_default()
    }

    /// Its next run has these.
    #[inline]
    pub(super) fn runs_with(&mut self, signals: &Arc<Signals>) {
        self.signals = Some(signals.clone());
    }

    /// The run that had them is over.
    #[inline]
    pub(super) fn ran(&mut self) {
        self.signals = None;
    }

    /// A new run of it has no progress yet.
    pub(super) fn no_progress(&self) {
        self.signals.iter().for_each(|signals| signals.reset());
    }

    /// Tells its run on the polling thread to stop. Gives whom to wake.
    #[must_use]
    pub(super) fn stop(&self) -> Option<Waker> {
        self.signals.as_ref()?.stop()
    }

    /// If these are its signals, its next run has others.
    pub(super) fn gives_up(&mut self, signals: &Arc<Signals>) {
        self.signals.take_if(|own| Arc::ptr_eq(own, signals));
    }

    /// Takes the rules that it was registered with.
    pub(super) fn keeps(&mut self, rules: Option<Arc<Rules>>) {
        if rules.is_some() {
            self.besides.rules = rules;
        }
    }

    /// Whether there is nothing of it but its schedule: no rules, no runs, nothing kept.
    pub(super) fn is_alone(&self) -> bool {
        self.besides.is_unused() && !self.running
    }

    /// Whether another process holds it.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.block.as_ref().is_some_and(|block| block.by == BlockedBy::Elsewhere)
    }

    /// How many of its runs go on.
    pub(super) fn busy(&self) -> usize {
        self.live.len() + usize::from(self.running)
    }

    /// Whether a further run may go on beside those that do.
    pub(super) fn has_slot(&self) -> bool {
        let slots = match self.overlap() {
            Some(Overlap::Allow { most }) => most as usize,
            _ => 1,
        };
        self.busy() < slots
    }

    pub(super) fn overlap(&self) -> Option<Overlap> {
        self.rules.as_ref().and_then(|rules| rules.overlap)
    }

    pub(super) fn limits(&self) -> &[LimitId] {
        self.rules.as_ref().map_or(&[], |rules| &rules.limits)
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.body, Some(Body::Away { .. }))
    }

    pub(super) fn takes_room(&self) -> bool {
        matches!(self.body, Some(Body::Away { pooled: true, .. }))
    }

    pub(super) fn on_scale(&self, now: Now) -> i64 {
        self.plan.as_ref().map_or(now.wall, |plan| plan.on_scale(now))
    }

    pub(super) fn scale(&self) -> Scale {
        self.plan.as_ref().map_or(Scale::Wall, |plan| plan.scale)
    }

    /// Until when by the wall clock runs may start.
    pub(super) fn until(&self) -> Option<i64> {
        self.plan.as_ref().and_then(|plan| plan.schedule.spec().until)
    }

    /// Puts a run by hand in front of what waits; of a job that follows, the first that waits is let on.
    pub(super) fn ask_by_hand(&mut self, now: Now) {
        let ready = now.elapsed;
        if self.chain.is_some() && self.plan.is_none() {
            if let Some(front) = self.besides.waiting.front_mut() {
                front.ready = ready;
                front.by = AskedBy::Hand;
            }
        } else if let Some(asked) = self.besides.waiting.iter_mut().find(|waiting| waiting.by == AskedBy::Hand) {
            asked.ready = ready;
            asked.due = Due::only(now.wall);
        } else {
            self.besides.waiting.push_front(Waiting {
                due: Due::only(now.wall),
                ready,
                by: AskedBy::Hand,
                after: None,
                number: 0,
                cut_off: 0,
            });
        }
    }

    /// What held back a run that does not start after all is no matter of the next one.
    pub(super) fn let_go_of_block(&mut self) {
        self.asks_anew();
        self.held_by = None;
    }

    /// What its condition said is no matter of the next run.
    pub(super) fn asks_anew(&mut self) {
        if self.holds != 0 {
            self.besides.holds = 0;
        }
    }

    /// Whether a run of it is about to start: until it has, nothing else of it comes up.
    pub(super) fn is_starting(&self) -> bool {
        self.kept.is_some() && self.live.iter().any(|live| matches!(live.state, State::Starting(_)))
    }

    /// Whether a run of a backfill goes on.
    pub(super) fn fills(&self) -> bool {
        self.live.iter().any(|live| live.attempt.fills.is_some())
    }

    /// Whether a new run takes the place of one that goes on. A backfill's would be lost by that.
    pub(super) fn takes_places(&self) -> bool {
        self.overlap() == Some(Overlap::CancelRunning) && !self.fills()
    }

    fn may_start(&self) -> bool {
        self.rest == Rest::No && self.runs_left != Some(0) && !self.is_starting()
    }

    /// The first of those that wait, if it can start as far as the job's other runs go, or its policy decides on it at once.
    pub(super) fn front(&self) -> Option<&Waiting> {
        let front = self.waiting.get(self.front_place()).filter(|_| self.rest == Rest::No && !self.is_starting())?;
        if self.runs_left == Some(0) && front.by != AskedBy::Backfill {
            return None;
        }
        let decides = matches!(self.overlap(), Some(Overlap::Skip | Overlap::CancelRunning)) && front.after.is_some();
        let decides = decides && !self.fills();
        (decides || self.has_slot()).then_some(front)
    }

    /// Where it stands. A job whose runs are used up has those of a backfill only.
    pub(super) fn front_place(&self) -> usize {
        let asked_for = |waiting: &Waiting| waiting.by == AskedBy::Backfill;
        let used_up = self.runs_left == Some(0);
        if used_up { self.waiting.iter().position(asked_for).unwrap_or(0) } else { 0 }
    }

    /// When it is next to be looked at for anything but its schedule, in elapsed time, and in which order.
    pub(super) fn soon(&self) -> Option<(i64, u64)> {
        let ends = self.live.iter().filter_map(|live| live.attempt.ends).min();
        earlier(ends.map(|ends| (ends, self.id.order)), self.goes_on_at())
    }

    /// The same without time limits: when a run of it is next to start or go on.
    fn goes_on_at(&self) -> Option<(i64, u64)> {
        let mut first: Option<(i64, u64)> = None;
        let mut offer = |at: i64, order: u64| first = Some(first.map_or((at, order), |first| first.min((at, order))));
        for live in &self.live {
            match live.state {
                State::Yielded { again, order } if !self.is_paused() => offer(again, order),
                State::Again { again, .. } if self.rest == Rest::No && self.block.is_none() => offer(again, self.id.order),
                _ => {}
            }
        }
        match &self.block {
            Some(block) => {
                if let Some(at) = block.elapsed.filter(|_| !self.is_paused()) {
                    offer(at, self.id.order);
                }
            }
            None => {
                if let Some(front) = self.front() {
                    offer(front.ready, self.id.order);
                }
            }
        }
        first
    }

    /// When it is next to be looked at for its schedule, on its scale.
    pub(super) fn scheduled(&self) -> Option<i64> {
        if self.block.is_some() { None } else { self.scheduled_unblocked() }
    }

    /// When its next occurrence is to run, on its scale, if nothing holds it back.
    pub(super) fn scheduled_unblocked(&self) -> Option<i64> {
        let plan = self.plan.as_ref().filter(|_| self.may_start())?;
        // Counted from the end of a run, there is none before that end.
        let counted_from_end = !self.live.is_empty() && plan.schedule.spec().after_completion;
        let next = self.next.filter(|_| !counted_from_end)?;
        // What is made up for one by one waits for its turn: it does not come while a run goes on, it came before.
        let made_up_for = next <= self.missed_until && matches!(plan.missed, Missed::RunAll { .. });
        (!made_up_for || self.has_slot() || self.running).then(|| plan.jittered(next))
    }

    pub(super) fn slack(&self) -> i64 {
        self.plan.as_ref().map_or(0, |plan| length(plan.schedule.slack()))
    }

    /// Whether a further run may come, besides the one that is being called.
    pub(super) fn has_more(&self) -> bool {
        let follows = self.chain.as_ref().is_some_and(|chain| chain.goes_on());
        let comes = self.next.is_some() || !self.waiting.is_empty() || follows;
        let goes_on = !self.running || !self.live.is_empty() || comes && self.runs_left != Some(0);
        goes_on && !self.is_retired()
    }

    /// Whether no further run can come.
    pub(super) fn is_over(&self) -> bool {
        let has_done = self.kept.as_ref().is_some_and(|kept| !kept.done.is_empty());
        if self.busy() > 0 || has_done || self.filling.is_some() {
            return false;
        }
        let used_up = self.runs_left == Some(0) || self.is_retired();
        let follows = self.chain.as_ref().is_some_and(|chain| chain.goes_on());
        used_up || self.next.is_none() && self.waiting.is_empty() && !follows
    }

    pub(super) fn is_paused(&self) -> bool {
        self.rest == Rest::Paused
    }

    pub(super) fn is_retired(&self) -> bool {
        matches!(self.rest, Rest::Retired { .. })
    }

    /// Pauses it, or lets it go on. A job that is to leave does neither.
    pub(super) fn set_paused(&mut self, paused: bool) {
        if !self.is_retired() {
            self.rest = if paused { Rest::Paused } else { Rest::No };
        }
    }

    /// Whether a run goes on, or has more to do at a later poll.
    pub(super) fn is_running(&self) -> bool {
        self.running || self.live.iter().any(|live| !matches!(live.state, State::Again { .. }))
    }

    /// When a run of it is next to start or go on, by the wall clock, whatever holds it back.
    pub(super) fn next_run(&self, now: Now) -> Option<i64> {
        let wall = |at: i64| self.plan.as_ref().map_or(at, |plan| plan.wall(at, now));
        let soon = if self.block.is_some() { self.front().map(|front| front.ready) } else { self.goes_on_at().map(|(at, _)| at) };
        earlier(soon.map(|at| at.saturating_add(now.ahead())), self.scheduled_unblocked().map(wall))
    }

    pub(super) fn snapshot(&self, now: Now, limit_name: impl FnOnce(LimitId) -> Arc<str>) -> JobSnapshot {
        let retrying = self.live.iter().find(|live| matches!(live.state, State::Again { .. }));
        let retrying = retrying.map(|live| live.attempt.view.facts.attempt.saturating_add(1));
        let away = self.live.iter().rev().find(|live| matches!(live.state, State::Away));
        let signals = away.map(|live| &live.attempt.view.signals).or(self.signals.as_ref());
        JobSnapshot {
            id: self.id,
            name: self.name.clone(),
            tags: self.tags.clone(),
            priority: self.priority,
            schedule: self.plan.as_ref().map(|plan| plan.schedule.clone()),
            follows: self.chain.as_ref().map(|chain| chain.upstreams.clone()).unwrap_or_default(),
            next_run: self.next_run(now).map(from_nanos),
            last_run: self.history.last(),
            stats: self.history.stats(),
            paused: self.is_paused(),
            retired: self.is_retired(),
            running: self.is_running(),
            retrying,
            held_back: self.block.as_ref().map(|block| block.by.told(limit_name)),
            progress: signals.and_then(|signals| signals.progress()),
        }
    }
}

impl Chain {
    pub(super) fn reader(&self, upstream: JobId) -> Option<&Arc<dyn Reader>> {
        self.readers.iter().find(|(id, _)| *id == upstream).map(|(_, reader)| reader)
    }

    /// Whether all results of a job are the same: `()`.
    pub(super) fn is_unit(&self, upstream: JobId) -> bool {
        self.reader(upstream).is_some_and(|reader| reader.is_unit())
    }

    /// Whether there can be further runs to follow.
    pub(super) fn goes_on(&self) -> bool {
        match &self.all {
            Some(all) => all.may_be_complete(&self.upstreams),
            None => !self.upstreams.is_empty(),
        }
    }
}

impl All {
    pub(super) fn new(jobs: Vec<JobId>, join: Join, same_due: bool) -> Self {
        All { jobs, join, same_due, sets: VecDeque::new() }
    }

    /// Whether it is one of the jobs.
    pub(super) fn has(&self, id: JobId) -> bool {
        self.jobs.contains(&id)
    }

    /// What was gathered and not used up.
    pub(super) fn gathered(&self) -> impl Iterator<Item = &Followed> {
        self.sets.iter().flat_map(|set| set.latest.iter().flatten())
    }

    /// Whether a set can still be complete, if these are the jobs that can have further successes.
    fn may_be_complete(&self, upstreams: &[JobId]) -> bool {
        let all_come = self.jobs.iter().all(|id| upstreams.contains(id));
        let comes = |set: &Set| self.jobs.iter().zip(&set.latest).all(|(id, latest)| latest.is_some() || upstreams.contains(id));
        !upstreams.is_empty() && (all_come || self.sets.iter().any(comes))
    }

    /// The places of what one of the jobs has had that was due then; a set is begun for it if there is none.
    fn places(&mut self, from: JobId, due: i64) -> impl Iterator<Item = &mut Option<Followed>> {
        let due = self.same_due.then_some(due);
        if !self.sets.iter().any(|set| set.due == due) {
            self.sets.push_back(Set { due, latest: vec![None; self.jobs.len()] });
        }
        let set = self.sets.iter_mut().filter(move |set| set.due == due);
        let places = set.flat_map(|set| self.jobs.iter().zip(&mut set.latest));
        places.filter(move |(id, _)| **id == from).map(|(_, latest)| latest)
    }

    /// Takes a success in that an earlier process has gathered. One that has come since is newer.
    pub(super) fn take_older(&mut self, from: JobId, one: Followed) {
        for latest in self.places(from, due_of(&one)) {
            latest.get_or_insert_with(|| one.clone());
        }
    }

    /// Takes those out of which this holds.
    pub(super) fn give_up(&mut self, goes: impl Fn(&Followed) -> bool) -> Vec<Followed> {
        let gone = self.sets.iter_mut().flat_map(|set| &mut set.latest).filter_map(|latest| latest.take_if(|one| goes(one)));
        let gone = gone.collect();
        self.sets.retain(|set| set.latest.iter().any(Option::is_some));
        gone
    }

    /// Takes a success of one of the jobs in.
    pub(super) fn take(&mut self, from: JobId, one: Followed, within: Option<i64>) -> Taken {
        let (ended, due) = (one.ended, due_of(&one));
        let mut taken = Taken { set: None, unused: Vec::new(), incomplete: None };
        for latest in self.places(from, due) {
            taken.unused.extend(latest.replace(one.clone()));
        }
        taken.unused.push(one);
        taken.unused.extend(self.give_up(|one| within.is_some_and(|within| ended.saturating_sub(one.ended) > within)));
        let complete = self.sets.iter().position(|set| set.latest.iter().all(Option::is_some));
        if let Some(set) = complete.and_then(|place| self.sets.remove(place)) {
            let set: Vec<Followed> = set.latest.into_iter().flatten().collect();
            let values: Vec<Value> = set.iter().filter_map(|one| one.value.clone()).collect();
            let runs = set.iter().flat_map(|one| one.runs.iter().cloned()).collect();
            taken.unused.extend(set);
            let value = Arc::new(Joined { values, join: self.join });
            taken.set = Some(Followed { runs, value: Some(value), ended });
        } else if self.sets.len() > MOST_SETS {
            if let Some(set) = self.sets.pop_front() {
                taken.incomplete = set.due;
                taken.unused.extend(set.latest.into_iter().flatten());
            }
        }
        taken
    }
}

/// When the run was due that was followed.
fn due_of(one: &Followed) -> i64 {
    one.runs.last().map_or(0, |run| to_nanos(&run.due))
}

/// What came of a success that one of several jobs has had.
pub(super) struct Taken {
    /// The set that is complete with it.
    pub(super) set: Option<Followed>,
    /// What is not needed any more, which is the user's to drop.
    pub(super) unused: Vec<Followed>,
    /// When those were due that gave way to it, since there are too many.
    pub(super) incomplete: Option<i64>,
}

impl On {
    pub(super) fn matches(self, end: crate::job::RunEnd) -> bool {
        match self {
            On::Success => end.is_success(),
            On::Failure => end.is_failure(),
            On::End => true,
        }
    }
}
