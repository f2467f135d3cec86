//! What is said of a job besides when it runs: the words, for jobs with a schedule and for those that follow.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use super::Defaults;
use super::entry::{BlockedBy, Condition, Hours, Retry, Rules, Worth};
use super::limits::Allows;
use super::record::Keep;
use crate::clock::Clock;
use crate::error::Error;
use crate::policy::{Backoff, Missed, Overlap};
use crate::schedule::{Schedule, Zone, length, to_nanos};
use crate::seldom::{Blank, Seldom};
use crate::target::Target;

/// What is said of a job besides its schedule.
#[derive(Default)]
pub(super) struct Options {
    pub(super) name: Option<String>,
    pub(super) priority: i32,
    pub(super) missed: Option<Missed>,
    pub(super) grace: Option<Duration>,
    more: Seldom<More>,
}

/// What is said of few jobs. It reads and is written as the others are.
#[derive(Default)]
pub(super) struct More {
    pub(super) tags: Vec<String>,
    pub(super) overlap: Option<Overlap>,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<u32>,
    pub(super) backoff: Option<Backoff>,
    pub(super) only: Option<Worth>,
    pub(super) pause_after: Option<u32>,
    pub(super) spacing: Option<Duration>,
    pub(super) limits: Vec<(Arc<str>, Allows)>,
    pub(super) when: Option<Condition>,
    pub(super) at_latest: Option<Duration>,
    pub(super) window: Option<Schedule>,
    pub(super) keep: Keep,
    pub(super) target: Option<Target>,
    pub(super) mistake: Option<Error>,
}

impl Blank for More {
    fn blank() -> &'static Self {
        static BLANK: More = More {
            tags: Vec::new(),
            overlap: None,
            timeout: None,
            retry: None,
            backoff: None,
            only: None,
            pause_after: None,
            spacing: None,
            limits: Vec::new(),
            when: None,
            at_latest: None,
            window: None,
            keep: Keep::USUAL,
            target: None,
            mistake: None,
        };
        &BLANK
    }
}

impl Deref for Options {
    type Target = More;

    fn deref(&self) -> &More {
        &self.more
    }
}

impl DerefMut for Options {
    fn deref_mut(&mut self) -> &mut More {
        &mut self.more
    }
}

/// What holds for a sort of jobs.
#[cfg(feature = "command")]
pub(crate) struct Usual<T: 'static> {
    /// A limit that holds unless it was said what it lets through.
    pub(crate) limit: (u32, &'static str),
    /// What stands for a run that did nothing since all was there.
    pub(crate) bare: fn() -> T,
}

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    OnPoll,
    Away,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("name", &self.name).field("tags", &self.tags).finish_non_exhaustive()
    }
}

impl Options {
    pub(super) fn tag(&mut self, tag: String) {
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
    }

    /// Keeps the first mistake.
    pub(super) fn note(&mut self, mistake: Error) {
        self.mistake.get_or_insert(mistake);
    }

    pub(super) fn limit(&mut self, name: String, allows: Allows) {
        if matches!(allows, Allows::AtOnce(0) | Allows::Rate(0, _) | Allows::Rate(_, 0)) {
            let word = if matches!(allows, Allows::AtOnce(_)) { "at_most" } else { "rate" };
            return self.note(Error::ZeroOfMany { word });
        }
        self.limits.push((name.into(), allows));
    }

    /// Takes what holds for a sort of jobs.
    #[cfg(feature = "command")]
    pub(super) fn usual<T: Send + Sync + 'static>(&mut self, usual: Usual<T>) {
        let Usual { limit: (most, name), bare } = usual;
        if !self.limits.iter().any(|(named, _)| &**named == name) {
            self.limit(name.to_owned(), Allows::AtOnce(most));
        }
        if let Some(target) = self.take_target() {
            self.target = Some(target.or_bare(bare));
        }
    }

    /// Takes what tells whether a run need not be run.
    pub(super) fn take_target(&mut self) -> Option<Target> {
        self.target.is_some().then(|| self.target.take())?
    }

    pub(super) fn window(&mut self, from: &str, to: &str) {
        match Schedule::reboot().between(from, to) {
            Ok(window) => self.window = Some(window),
            Err(mistake) => self.note(mistake),
        }
    }

    /// The rules that this makes with a scheduler's defaults; `None` for most jobs.
    pub(super) fn rules(
        &mut self,
        defaults: &Defaults,
        place: Place,
        zone: &Zone,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Arc<Rules>>, Error> {
        if self.more.is_unused() && defaults.are_none() {
            return Ok(None);
        }
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        match self.overlap.or(defaults.overlap) {
            Some(Overlap::Queue { most: 0 } | Overlap::Allow { most: 0 }) => return Err(Error::ZeroOfMany { word: "overlap" }),
            Some(Overlap::Allow { .. }) if place == Place::OnPoll && self.overlap.is_some() => return Err(Error::AllowInline),
            _ => {}
        }
        if self.at_latest.is_some() && self.when.is_none() {
            return Err(Error::NothingSaid { word: "at_latest", without: "when" });
        }
        let retries = self.retry.or(defaults.retry).is_some();
        if let Some(word) =
            [(self.backoff.is_some(), "backoff"), (self.only.is_some(), "retry_if")].iter().find(|(said, _)| *said && !retries)
        {
            return Err(Error::NothingSaid { word: word.1, without: "retry" });
        }
        if self.pause_after == Some(0) {
            return Err(Error::ZeroOfMany { word: "pause_after_failures" });
        }
        let usual = defaults.overlap.filter(|overlap| place == Place::Away || !matches!(overlap, Overlap::Allow { .. }));
        let mut asks_hours = false;
        let mut window = self.window.take().map(|window| Hours { window, zone: zone.clone() });
        if let Some(hours) = window.take_if(|hours| hours.zone.is_custom()) {
            // The zone is code of the user's own, which is asked as a condition is.
            let (also, clock) = (self.when.take(), clock.clone());
            let open = move |late: bool| {
                let closed = hours.opens(to_nanos(&clock.wall())).map(|_| BlockedBy::Window);
                closed.or_else(|| also.as_ref().and_then(|also| also(late)))
            };
            self.when = Some(Arc::new(open));
            asks_hours = true;
        }
        let most = self.retry.or(defaults.retry).filter(|most| *most > 0);
        let backoff = self.backoff.take().or(defaults.backoff.clone()).unwrap_or_default();
        let rules = Rules {
            overlap: self.overlap.or(usual),
            timeout: self.timeout.or(defaults.timeout),
            retry: most.map(|most| Retry { most, backoff, only: self.only.take() }),
            pause_after: self.pause_after,
            spacing: self.spacing.map(length),
            limits: Box::default(),
            when: self.when.take(),
            at_latest: self.at_latest.map(length),
            window,
            asks_hours,
        };
        let Rules { overlap, timeout, retry, pause_after, spacing, when, window, .. } = &rules;
        let any = overlap.is_some() || timeout.is_some() || retry.is_some() || pause_after.is_some() || spacing.is_some();
        let any = any || when.is_some() || window.is_some() || !self.limits.is_empty();
        Ok(any.then(|| Arc::new(rules)))
    }
}

/// A condition, of which a panic counts as no, and a run that has waited long enough is let through unasked.
pub(crate) fn condition(holds: impl Fn() -> bool + Send + Sync + 'static) -> Condition {
    Arc::new(move |late| if late || holds() { None } else { Some(BlockedBy::Condition) })
}

/// The words that say more of a job, for whatever type holds its [`Options`].
macro_rules! job_options {
    (impl [$($generics:tt)*] $type:ty, $($path:ident).+) => {
        impl<$($generics)*> $type {
            /// A name, for logs and tables.
            pub fn named(mut self, name: impl Into<String>) -> Self {
                self.$($path).+.name = Some(name.into());
                self
            }

            /// A tag to find the job by; several calls give several tags.
            pub fn tag(mut self, tag: impl Into<String>) -> Self {
                self.$($path).+.tag(tag.into());
                self
            }

            /// Among jobs due at the same instant, the lower comes first; 0 unless given.
            pub fn priority(mut self, priority: i32) -> Self {
                self.$($path).+.priority = priority;
                self
            }

            /// What becomes of a run that comes up while an earlier one of the same job goes on. Unless given, occurrences are
            /// dropped ([`Overlap::Skip`](crate::Overlap::Skip)) and runs that follow another job's wait, a thousand at most.
            pub fn overlap(mut self, overlap: $crate::policy::Overlap) -> Self {
                self.$($path).+.overlap = Some(overlap);
                self
            }

            /// How long an attempt may take, in elapsed time.
            ///
            /// Then [`should_stop`](crate::RunView::should_stop) is true. In the background the run has failed at the next
            /// poll: its place is free for others, and if it goes on all the same its result is thrown away. Limits it holds
            /// stay held until it really ends. On the polling thread a job cannot be interrupted: when it comes back late,
            /// that is told ([`Event::TimedOut`](crate::Event::TimedOut)) and its result counts, as that of a run in the
            /// background which has come back late by the next poll; a run in steps is not taken up again.
            pub fn timeout(mut self, limit: ::std::time::Duration) -> Self {
                self.$($path).+.timeout = Some(limit);
                self
            }

            /// How often a run that failed (by an error, a panic, its time limit, [`Outcome::Retry`](crate::Outcome::Retry)) is
            /// tried again. The waits in between are those of [`backoff`](Self::backoff).
            pub fn retry(mut self, most: u32) -> Self {
                self.$($path).+.retry = Some(most);
                self
            }

            /// How long to wait before each further attempt; a second, doubling up to a minute, unless given.
            pub fn backoff(mut self, backoff: $crate::policy::Backoff) -> Self {
                self.$($path).+.backoff = Some(backoff);
                self
            }

            /// Which failures are worth a further attempt; all unless given.
            pub fn retry_if(mut self, worth: impl Fn(&$crate::event::Failure) -> bool + Send + Sync + 'static) -> Self {
                self.$($path).+.only = Some(::std::sync::Arc::new(worth));
                self
            }

            /// Pauses the job once so many runs in a row have failed, each after its last attempt;
            /// [`resume`](crate::JobHandle::resume) lets it go on.
            pub fn pause_after_failures(mut self, failures: u32) -> Self {
                self.$($path).+.pause_after = Some(failures);
                self
            }

            /// Lets at least so much elapsed time pass between the starts of two runs.
            pub fn spacing(mut self, least: ::std::time::Duration) -> Self {
                self.$($path).+.spacing = Some(least);
                self
            }

            /// Never runs while another job of the same scheduler runs that names this too. A job in steps holds it from its
            /// first turn to its last.
            pub fn mutex(self, name: impl Into<String>) -> Self {
                self.at_most(1, name)
            }

            /// Never runs while `most` runs go on of the jobs of the same scheduler that name this too. What waits is let on
            /// in the order of its due time.
            pub fn at_most(mut self, most: u32, name: impl Into<String>) -> Self {
                self.$($path).+.limit(name.into(), $crate::scheduler::limits::Allows::AtOnce(most));
                self
            }

            /// Starts, together with the jobs of the same scheduler that name this too, at most `most` runs in any time
            /// of length `per`; each further attempt counts too.
            pub fn rate(mut self, most: u32, per: ::std::time::Duration, name: impl Into<String>) -> Self {
                let per = $crate::schedule::length(per);
                self.$($path).+.limit(name.into(), $crate::scheduler::limits::Allows::Rate(most, per));
                self
            }

            /// Starts a run only while this holds. One that is due waits: it is asked again at the first poll a second later or
            /// more, and occurrences that come meanwhile fold. A panic counts as no, and is told as a failure.
            pub fn when(mut self, holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
                self.$($path).+.when = Some($crate::scheduler::options::condition(holds));
                self
            }

            /// Starts a run that has waited so long for [`when`](Self::when) whether it holds or not.
            pub fn at_latest(mut self, after: ::std::time::Duration) -> Self {
                self.$($path).+.at_latest = Some(after);
                self
            }

            /// Begins each attempt by looking whether what it is for is there already: a file, a row, whatever tells. If so, the job is
            /// not called, the run ends as [`RunEnd::AlreadyDone`](crate::RunEnd::AlreadyDone), and those that follow it are set
            /// off as after any success.
            ///
            /// `target` looks where the job runs: in the background for a background job, so it may ask a database; for a
            /// future where that is polled, and for a command on the thread that all commands share, so there it should be
            /// quick. It is given the run, whose [`due`](crate::RunFacts::due) dates it: also when it comes late, and along a
            /// chain, where what follows is due when the first was; a run by hand is due when it was asked for. It answers with a `bool`; or with an `Option` of what the job returns, for jobs that return
            /// anything, so that those that follow are given it; or with a `Result` of either, whose error fails the attempt.
            ///
            /// A run that makes up for several occurrences looks for the last of them alone; [`Missed::RunAll`](crate::Missed)
            /// gives each its own run.
            ///
            /// ```
            /// use punctual::{ManualClock, Missed, Scheduler};
            /// use std::{fs, path::PathBuf, time::Duration};
            ///
            /// # let folder = std::env::temp_dir().join(format!("punctual-unless-done-{}", std::process::id()));
            /// # fs::create_dir_all(&folder)?;
            /// let file = |folder: &PathBuf, due: chrono::DateTime<chrono::Utc>| folder.join(format!("{}.csv", due.date_naive()));
            /// let clock = ManualClock::new("2026-03-01T12:00:00Z".parse()?);
            /// let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(chrono::Utc).build();
            ///
            /// let (out, there) = (folder.clone(), folder.clone());
            /// let daily = scheduler.every(1).day().at("06:00").missed(Missed::RunAll { most: 7 });
            /// let fetched = daily
            ///     .unless_done(move |run| Some(file(&there, run.due)).filter(|file| file.exists()))
            ///     .do_with(move |run| {
            ///         let file = file(&out, run.due());
            ///         fs::write(&file, "4.5\n")?;
            ///         Ok::<_, std::io::Error>(file)
            ///     })?;
            /// fs::write(folder.join("2026-03-03.csv"), "by hand\n")?;
            ///
            /// clock.advance(Duration::from_secs(3 * 86_400));
            /// while scheduler.run_pending().ran() > 0 {}
            /// assert_eq!((fetched.stats().runs, fetched.stats().already_done), (3, 1));
            /// assert_eq!(fs::read_to_string(folder.join("2026-03-03.csv"))?, "by hand\n");
            /// # fs::remove_dir_all(folder)?;
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            pub fn unless_done<R>(mut self, target: impl Fn(&$crate::RunFacts) -> R + Send + Sync + 'static) -> Self
            where
                R: $crate::TargetResult,
            {
                self.$($path).+.target = Some($crate::target::Target::new(target));
                self
            }

            /// In a store: a run that is cut off by the end of its process is not run again, and that is told
            /// ([`Event::CutOff`](crate::Event::CutOff)). So it is unless said otherwise.
            pub fn at_most_once(mut self) -> Self {
                self.$($path).+.keep.cut_off = $crate::policy::CutOff::Leave;
                self
            }

            /// In a store: a run that is cut off by the end of its process is run again, as a further attempt, by the next
            /// process. For work that may be done twice.
            pub fn at_least_once(mut self) -> Self {
                self.$($path).+.keep.cut_off = $crate::policy::CutOff::RunAgain;
                self
            }

            /// In a store: pauses the job as it is registered if so many of its starts in a row were cut off by the end of
            /// their process, since it may be what ends it. [`resume`](crate::JobHandle::resume) lets it go on.
            pub fn hold_after_crashes(mut self, starts: u32) -> Self {
                self.$($path).+.keep.hold_after = Some(starts.max(1));
                self
            }

            /// In a store: what becomes of the job if its record has another schedule.
            pub fn on_change(mut self, then: $crate::policy::OnChange) -> Self {
                self.$($path).+.keep.on_change = then;
                self
            }

            /// In a store: the name that the job had in an earlier release, so that it carries on from that record. Several
            /// calls give several names; the first that is known counts.
            pub fn formerly(mut self, name: impl Into<String>) -> Self {
                self.$($path).+.keep.formerly.push(name.into());
                self
            }

            /// Starts runs between these times of day only, `"HH:MM"` or `"HH:MM:SS"`, in the job's zone; over midnight if the
            /// second is the earlier. Unlike `between`, which narrows the schedule, this holds for late runs and for those
            /// that follow others too: what is due outside waits until the window opens.
            pub fn run_between(mut self, from: impl AsRef<str>, to: impl AsRef<str>) -> Self {
                self.$($path).+.window(from.as_ref(), to.as_ref());
                self
            }
        }
    };
}

pub(super) use job_options;
