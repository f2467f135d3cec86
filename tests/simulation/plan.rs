//! One world as plain data: what is registered, what the host does, what each job does when it is called.
//!
//! The model and the scheduler are both driven by it, and a failing one can be cut down piece by piece. Instants and lengths
//! are whole milliseconds.

use std::fmt;

pub(crate) type Ms = i64;

pub(crate) const SECOND: Ms = 1_000;
pub(crate) const MINUTE: Ms = 60 * SECOND;
pub(crate) const HOUR: Ms = 60 * MINUTE;
pub(crate) const DAY: Ms = 24 * HOUR;

/// The conditions that `when` asks about: flags that the host and the jobs flip.
pub(crate) const FLAGS: usize = 3;
/// The names of limits.
pub(crate) const NAMES: [&str; 3] = ["db", "api", "disk"];
/// The tags.
pub(crate) const TAGS: [&str; 2] = ["red", "blue"];
/// The most registrations in one world, so that jobs that register jobs come to an end.
pub(crate) const MOST_JOBS: usize = 30;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Whether the scheduler is held against the model, besides the laws.
    pub(crate) compared: bool,
    /// Whether somebody observes, who tells of what the laws ask for. Jobs that nobody observes take a shorter way.
    pub(crate) watched: bool,
    /// What the wall clock shows in the beginning.
    pub(crate) start: Ms,
    /// The scheduler's own budget.
    pub(crate) budget: Option<Ms>,
    /// How much work the executor holds before it refuses more.
    pub(crate) capacity: Option<usize>,
    /// Registered before the first step.
    pub(crate) jobs: Vec<Spec>,
    /// Registered later, by the host or by jobs.
    pub(crate) spares: Vec<Spec>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    pub(crate) kind: Kind,
    pub(crate) priority: i32,
    pub(crate) tag: Option<usize>,
    pub(crate) background: bool,
    pub(crate) overlap: Option<Overlap>,
    pub(crate) timeout: Option<Ms>,
    pub(crate) retry: Option<Retry>,
    pub(crate) pause_after: Option<u32>,
    pub(crate) spacing: Option<Ms>,
    pub(crate) limits: Vec<Limit>,
    /// `when` this flag is up.
    pub(crate) condition: Option<usize>,
    pub(crate) at_latest: Option<Ms>,
    /// `run_between` these times of day.
    pub(crate) window: Option<(Ms, Ms)>,
    /// What it does, call by call, and over again.
    pub(crate) script: Vec<Behaviour>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Scheduled {
        when: When,
        immediately: bool,
        times: Option<u32>,
        /// So long after registration.
        until: Option<Ms>,
        missed: Missed,
        grace: Option<Ms>,
    },
    /// After jobs given by their place in order of registration, as far as there are so many.
    Following { of: Vec<usize>, all: bool, on: On, within: Option<Ms>, delay: Option<Ms> },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum When {
    Every(Ms),
    AfterCompletion(Ms),
    OnceAfter(Ms),
    /// At these times of day.
    Daily(Vec<Ms>),
    /// `*/n * * * *`
    Cron(i64),
    Reboot,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Missed {
    RunOnce,
    Skip,
    RunAll(u32),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Overlap {
    Skip,
    Queue(u32),
    Allow(u32),
    CancelRunning,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retry {
    pub(crate) times: u32,
    pub(crate) backoff: Option<Backoff>,
    /// `retry_if` the failure was no panic.
    pub(crate) unless_panicked: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Backoff {
    Constant(Ms),
    Exponential(Ms, Ms),
    List(Vec<Ms>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Limit {
    Mutex(usize),
    AtMost(u32, usize),
    Rate(u32, Ms, usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum On {
    Success,
    Failure,
    End,
}

/// What a job does in one call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Behaviour {
    pub(crate) takes: Ms,
    /// In the middle of it.
    pub(crate) acts: Vec<Act>,
    pub(crate) end: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ending {
    Done,
    Error,
    Panic,
    Cancel,
    Retry,
    Yield,
}

/// What the host or a job may do to the scheduler. Jobs are given by their place in order of registration, counted round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// Within a job that the poll itself calls it is a nested one, within background work it is not.
    Poll(Option<Ms>),
    Register(usize),
    Cancel(usize),
    /// The job that does it cancels itself.
    CancelSelf,
    RunNow(usize),
    Pause(usize),
    Resume(usize),
    Reschedule(usize, When),
    AlsoAfter(usize, usize),
    ClearTagged(usize),
    Flip(usize),
    PauseAll,
    ResumeAll,
    /// One piece of the work that the executor holds is run, on this thread.
    Work(usize),
    /// One is thrown away.
    Lose(usize),
    Shutdown,
}

/// What the host does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Advance(Ms),
    Suspend(Ms),
    Set(Ms),
    Act(Act),
}

impl Plan {
    pub(crate) fn spec(&self, number: usize) -> Option<&Spec> {
        if self.spares.is_empty() { None } else { self.spares.get(number % self.spares.len()) }
    }
}

impl Spec {
    /// A job that does nothing in particular.
    pub(crate) fn new(kind: Kind) -> Self {
        Spec {
            kind,
            priority: 0,
            tag: None,
            background: false,
            overlap: None,
            timeout: None,
            retry: None,
            pause_after: None,
            spacing: None,
            limits: Vec::new(),
            condition: None,
            at_latest: None,
            window: None,
            script: vec![Behaviour { takes: 0, acts: Vec::new(), end: Ending::Done }],
        }
    }

    pub(crate) fn scheduled(when: When) -> Self {
        let (missed, grace) = (Missed::RunOnce, None);
        Spec::new(Kind::Scheduled { when, immediately: false, times: None, until: None, missed, grace })
    }

    /// The same without rules.
    pub(crate) fn plain(self) -> Self {
        let Kind::Scheduled { when, missed: Missed::RunOnce | Missed::RunAll(_), .. } = self.kind else { return self };
        let Spec { priority, tag, script, .. } = self;
        Spec { priority, tag, script, ..Spec::scheduled(when) }
    }

    pub(crate) fn behaviour(&self, call: usize) -> Behaviour {
        self.script[call % self.script.len()].clone()
    }
}

/// A length as a person writes it.
pub(crate) struct Long(pub(crate) Ms);

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Long(ms) = *self;
        let sign = if ms < 0 { "-" } else { "" };
        let ms = ms.abs();
        match ms {
            _ if ms % DAY == 0 && ms > 0 => write!(f, "{sign}{}d", ms / DAY),
            _ if ms % HOUR == 0 && ms > 0 => write!(f, "{sign}{}h", ms / HOUR),
            _ if ms % MINUTE == 0 && ms > 0 => write!(f, "{sign}{}m", ms / MINUTE),
            _ if ms % SECOND == 0 => write!(f, "{sign}{}s", ms / SECOND),
            _ => write!(f, "{sign}{ms}ms"),
        }
    }
}

/// `HH:MM`
pub(crate) struct Time(pub(crate) Ms);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / HOUR % 24, self.0 / MINUTE % 60)
    }
}

/// A list with commas.
fn each<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Every(period) => write!(f, "every {}", Long(*period)),
            When::AfterCompletion(period) => write!(f, "every {} after completion", Long(*period)),
            When::OnceAfter(delay) => write!(f, "once after {}", Long(*delay)),
            When::Daily(times) => write!(f, "daily at {}", each(times.iter().map(|time| Time(*time)))),
            When::Cron(step) => write!(f, "cron */{step} * * * *"),
            When::Reboot => f.write_str("at reboot"),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Scheduled { when, immediately, times, until, missed, grace } => {
                write!(f, "{when}")?;
                if *immediately {
                    f.write_str(", immediately")?;
                }
                if let Some(times) = times {
                    write!(f, ", {times} times")?;
                }
                if let Some(until) = until {
                    write!(f, ", until +{}", Long(*until))?;
                }
                if *missed != Missed::RunOnce {
                    write!(f, ", missed {missed:?}")?;
                }
                if let Some(grace) = grace {
                    write!(f, ", grace {}", Long(*grace))?;
                }
            }
            Kind::Following { of, all, on, within, delay } => {
                write!(f, "after {}of {of:?} on {on:?}", if *all { "all " } else { "" })?;
                if let Some(within) = within {
                    write!(f, ", within {}", Long(*within))?;
                }
                if let Some(delay) = delay {
                    write!(f, ", delay {}", Long(*delay))?;
                }
            }
        }
        if self.priority != 0 {
            write!(f, ", priority {}", self.priority)?;
        }
        if let Some(tag) = self.tag {
            write!(f, ", {}", TAGS[tag])?;
        }
        if self.background {
            f.write_str(", background")?;
        }
        if let Some(overlap) = self.overlap {
            write!(f, ", overlap {overlap:?}")?;
        }
        if let Some(timeout) = self.timeout {
            write!(f, ", timeout {}", Long(timeout))?;
        }
        if let Some(retry) = &self.retry {
            write!(
                f,
                ", retry {} {:?}{}",
                retry.times,
                retry.backoff,
                if retry.unless_panicked { " unless panicked" } else { "" }
            )?;
        }
        if let Some(n) = self.pause_after {
            write!(f, ", pause after {n} failures")?;
        }
        if let Some(spacing) = self.spacing {
            write!(f, ", spacing {}", Long(spacing))?;
        }
        for limit in &self.limits {
            match limit {
                Limit::Mutex(name) => write!(f, ", mutex {}", NAMES[*name])?,
                Limit::AtMost(k, name) => write!(f, ", at most {k} {}", NAMES[*name])?,
                Limit::Rate(n, per, name) => write!(f, ", rate {n} per {} {}", Long(*per), NAMES[*name])?,
            }
        }
        if let Some(flag) = self.condition {
            write!(f, ", when flag {flag}")?;
        }
        if let Some(latest) = self.at_latest {
            write!(f, ", at latest {}", Long(latest))?;
        }
        if let Some((from, to)) = self.window {
            write!(f, ", between {} and {}", Time(from), Time(to))?;
        }
        write!(f, ": {}", each(&self.script))
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.end)?;
        if self.takes > 0 {
            write!(f, " in {}", Long(self.takes))?;
        }
        if !self.acts.is_empty() {
            write!(f, " {:?}", self.acts)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Advance(ms) => write!(f, "advance {}", Long(*ms)),
            Step::Suspend(ms) => write!(f, "suspend {}", Long(*ms)),
            Step::Set(ms) => write!(f, "set the clock {}", Long(*ms)),
            Step::Act(Act::Poll(None)) => f.write_str("poll"),
            Step::Act(Act::Poll(Some(budget))) => write!(f, "poll within {}", Long(*budget)),
            Step::Act(act) => write!(f, "{act:?}"),
        }
    }
}
