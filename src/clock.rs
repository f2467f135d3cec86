//! Clocks, and what happened to them between two looks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};

use crate::schedule::{length, to_nanos};
use crate::sync::Mutex;

/// Where all time comes from.
///
/// The scheduler counts elapsed time, suspended time included, on one hand and follows the wall clock on the other. What
/// tells the two apart is asked for here.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn wall(&self) -> DateTime<Utc>;

    /// The same in nanoseconds since 1970 UTC. While nothing is due it is all that a poll asks for, so a clock that can tell it
    /// without a calendar does.
    fn wall_nanos(&self) -> i64 {
        to_nanos(&self.wall())
    }

    /// Time since an origin of the clock's own. It never goes back; it may leave out the time for which the machine was
    /// suspended.
    fn monotonic(&self) -> Duration;

    /// The same with suspended time included, `None` where the platform cannot say. It may be slow: it is asked once in
    /// the beginning and after each jump of the wall clock.
    fn boot(&self) -> Option<Duration>;
}

/// The machine's clocks.
///
/// On Linux the time since boot is read from `/proc/uptime` (in steps of 10 ms), so that a suspend is told from a wall clock
/// that was set. Elsewhere a jump ahead of the wall clock by less than two days counts as a suspend, a longer one or one
/// backward as a clock that was set. On Windows the monotonic clock goes on while the machine is suspended, so a suspend is
/// no jump at all.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// The machine's clocks, counted from now.
    pub fn new() -> Self {
        SystemClock { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn wall_nanos(&self) -> i64 {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => length(since),
            Err(before) => length(before.duration()).saturating_neg(),
        }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    #[cfg(target_os = "linux")]
    fn boot(&self) -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/uptime").ok()?;
        Duration::try_from_secs_f64(text.split(' ').next()?.parse().ok()?).ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn boot(&self) -> Option<Duration> {
        None
    }
}

/// A clock for tests: it stands still until it is told to move. Clones share it.
///
/// ```
/// use punctual::{ManualClock, Scheduler};
/// use std::time::Duration;
///
/// let clock = ManualClock::new("2026-03-01T22:00:00Z".parse()?);
/// let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).build();
/// let job = scheduler.every(1).hour().do_(|| ())?;
/// clock.suspend(Duration::from_secs(9 * 3600));
/// scheduler.run_pending();
/// assert_eq!(job.last_run().map(|run| run.folded), Some(9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    wall: DateTime<Utc>,
    monotonic: Duration,
    boot: Duration,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: DateTime<Utc>) -> Self {
        ManualClock(Arc::new(Mutex::new(Hands { wall: start, monotonic: Duration::ZERO, boot: Duration::ZERO })))
    }

    /// What it shows.
    pub fn wall(&self) -> DateTime<Utc> {
        self.0.lock().wall
    }

    /// Time passes.
    pub fn advance(&self, time: Duration) {
        let mut hands = self.0.lock();
        hands.wall = later(hands.wall, TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX));
        hands.monotonic = hands.monotonic.saturating_add(time);
        hands.boot = hands.boot.saturating_add(time);
    }

    /// The machine sleeps.
    pub fn suspend(&self, time: Duration) {
        let mut hands = self.0.lock();
        hands.wall = later(hands.wall, TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX));
        hands.boot = hands.boot.saturating_add(time);
    }

    /// The wall clock is set, forward or back.
    pub fn step(&self, by: TimeDelta) {
        let mut hands = self.0.lock();
        hands.wall = later(hands.wall, by);
    }
}

/// A later (or earlier) instant, as far as the calendar goes.
fn later(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    let end = if by < TimeDelta::zero() { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    at.checked_add_signed(by).unwrap_or(end)
}

impl Clock for ManualClock {
    fn wall(&self) -> DateTime<Utc> {
        self.0.lock().wall
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().monotonic
    }

    fn boot(&self) -> Option<Duration> {
        Some(self.0.lock().boot)
    }
}

/// What happened to the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockChange {
    /// The machine slept for so long.
    Suspended(Duration),
    /// The wall clock was set ahead.
    SteppedForward(Duration),
    /// The wall clock was set back.
    SteppedBack(Duration),
}

impl std::fmt::Display for ClockChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClockChange::Suspended(time) => write!(f, "the machine was asleep for {time:?}"),
            ClockChange::SteppedForward(by) => write!(f, "the wall clock was set ahead by {by:?}"),
            ClockChange::SteppedBack(by) => write!(f, "the wall clock was set back by {by:?}"),
        }
    }
}

/// A look at the clocks, in nanoseconds: the wall's, and elapsed time on a scale that began as the wall's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// The monotonic clock that goes with it.
    pub(crate) monotonic: i64,
    pub(crate) wall: i64,
    pub(crate) elapsed: i64,
    /// How long the machine was suspended, and how far the wall clock was set, since the look before.
    pub(crate) slept: i64,
    pub(crate) stepped: i64,
}

impl Now {
    /// How far the wall clock has come ahead of elapsed time by being set.
    pub(crate) fn ahead(&self) -> i64 {
        self.wall.saturating_sub(self.elapsed)
    }

    /// A later instant as elapsed time, by what the clocks show there; `None` if something happened to them since.
    pub(crate) fn later(&self, monotonic: Duration, wall: i64) -> Option<i64> {
        let passed = length(monotonic).checked_sub(self.monotonic).filter(|passed| *passed >= 0)?;
        let jump = wall.min(END).saturating_sub(self.wall).saturating_sub(passed);
        (!is_jump(jump, passed)).then(|| self.elapsed.saturating_add(passed).min(END))
    }
}

/// Whether the wall clock parted from the monotonic one by more than slewing does: a clock that is slewed gains or loses up to a
/// thousandth.
fn is_jump(jump: i64, passed: i64) -> bool {
    jump.saturating_abs() >= JUMP + passed / 1000
}

/// How much of a jump was a suspend, by the time since boot before it and after.
fn suspended(jump: i64, passed: i64, before: Option<i64>, after: Option<i64>) -> i64 {
    match (before, after) {
        (Some(before), Some(after)) => {
            let slept = after.saturating_sub(before).saturating_sub(passed);
            if slept < JUMP / 2 + passed / 1000 { 0 } else { slept }
        }
        _ if (JUMP..=LONGEST_SUSPEND).contains(&jump) => jump,
        _ => 0,
    }
}

/// Follows the clocks from look to look.
#[derive(Debug)]
pub(crate) struct Watch {
    boot: Option<i64>,
    now: Now,
}

/// Jumps smaller than this are the clock being slewed; they are followed without a word.
const JUMP: i64 = 500_000_000;

/// Clocks that show more stand still here, in the year 2255, long after the last occurrence: so there is always a later
/// instant than now.
const END: i64 = 9_000_000_000_000_000_000;

/// The longest suspend that is believed where the platform can't say.
const LONGEST_SUSPEND: i64 = 2 * 86_400 * 1_000_000_000;

impl Watch {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        let wall = clock.wall_nanos().min(END);
        let boot = clock.boot().map(length);
        let monotonic = length(clock.monotonic());
        Watch { boot, now: Now { monotonic, wall, elapsed: wall, slept: 0, stepped: 0 } }
    }

    /// What the last look gave.
    pub(crate) fn last(&self) -> Now {
        self.now
    }

    /// Looks at the clocks. After a jump the time since boot is needed to tell what it was; without it (`None`) nothing is
    /// changed and the answer is [`Look::AskBoot`].
    pub(crate) fn look(&mut self, monotonic: Duration, wall: i64, boot: Option<Option<Duration>>) -> Look {
        let monotonic = length(monotonic);
        let wall = wall.min(END);
        if monotonic < self.now.monotonic {
            // Read before the last look, by a thread that comes late with it.
            self.now = Now { slept: 0, stepped: 0, ..self.now };
            return Look::At(self.now, Changes::default());
        }
        let passed = monotonic.saturating_sub(self.now.monotonic);
        let jump = wall.saturating_sub(self.now.wall).saturating_sub(passed);
        let jumped = is_jump(jump, passed);
        if jumped && boot.is_none() {
            return Look::AskBoot;
        }
        let elapsed = self.now.elapsed.saturating_add(passed).min(END);
        self.now = Now { monotonic, wall, elapsed, slept: 0, stepped: 0 };
        if !jumped {
            self.boot = self.boot.map(|boot| boot.saturating_add(passed));
            return Look::At(self.now, Changes::default());
        }
        let boot = boot.flatten().map(length);
        let suspended = suspended(jump, passed, self.boot, boot);
        self.boot = if self.boot.is_some() { boot.or(self.boot) } else { None };
        let stepped = jump.saturating_sub(suspended);
        let stepped = if stepped.saturating_abs() < JUMP { 0 } else { stepped };
        self.now.elapsed = self.now.elapsed.saturating_add(suspended).min(END);
        self.now.slept = suspended;
        self.now.stepped = stepped;
        Look::At(self.now, Changes { suspended, stepped })
    }
}

/// All clocks as of one instant, as far as can be had.
///
/// Between two readings the thread may have been kept from running, and a clock moved: what they then say together is a
/// jump that never was. So they are read until nothing moved meanwhile.
pub(crate) fn read_together(clock: &dyn Clock) -> (Duration, i64, Option<Duration>) {
    let mut tries = 0;
    loop {
        let (monotonic, wall, boot) = (clock.monotonic(), clock.wall_nanos(), clock.boot());
        let moved = Duration::from_nanos(clock.wall_nanos().abs_diff(wall));
        tries += 1;
        if moved.max(clock.monotonic().saturating_sub(monotonic)) < TOGETHER || tries == MOST_TRIES {
            return (monotonic, wall, boot);
        }
    }
}

/// Readings of the clocks no further apart than this are of one instant; so often they are read anew.
const TOGETHER: Duration = Duration::from_millis(100);
const MOST_TRIES: u32 = 16;

/// What a look at the clocks gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    At(Now, Changes),
    AskBoot,
}

/// What happened between two looks, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) suspended: i64,
    pub(crate) stepped: i64,
}

impl Changes {
    pub(crate) fn each(&self) -> impl Iterator<Item = ClockChange> {
        let suspended = Duration::from_nanos(self.suspended.unsigned_abs());
        let stepped = Duration::from_nanos(self.stepped.unsigned_abs());
        let step = match self.stepped {
            0 => None,
            1.. => Some(ClockChange::SteppedForward(stepped)),
            _ => Some(ClockChange::SteppedBack(stepped)),
        };
        (self.suspended > 0).then_some(ClockChange::Suspended(suspended)).into_iter().chain(step)
    }
}
