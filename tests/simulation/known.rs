//! Where the scheduler is known to depart from its contract. While a switch is on the model departs in the same way, or such
//! worlds are not drawn, so that what is new stands out. Each goes when its cause does: turned off, its first seed fails.

/// `put_off` counts a job twice that is due on both scales, by its calendar and by a time limit, a turn or a wait.
pub(crate) const PUT_OFF_TWICE: bool = false;
/// `after_completion` counts from the poll that takes a background run in, not from the run's end.
pub(crate) const COMPLETION_AT_POLL: bool = false;
/// The deadline of `until`, met by an occurrence or by one that waits, takes away the run that is under way with the job.
pub(crate) const DEADLINE_STOPS: bool = false;
/// Under `RunAll` it counts too few of the occurrences it drops.
pub(crate) const DEADLINE_COUNT: bool = false;
/// A further attempt after the deadline ends its run as stopped, not as it last failed.
pub(crate) const ATTEMPT_STOPPED: bool = false;
/// An interval with a deadline counts again what it dropped once the clock is set; `once_after(0)` is refused with one.
pub(crate) const INTERVAL_UNTIL: bool = false;
/// A calendar job that has run keeps its next due time when the clock is set back by less than a day, though occurrences that
/// never were lie before it.
pub(crate) const STAYS: bool = false;
/// After the clock was set back `resume` may give an occurrence again that was run.
pub(crate) const RESUME_REPEATS: bool = false;
/// A job without an occurrence that is resumed stays for ever.
pub(crate) const RESUMED_STAYS: bool = false;
/// Once the clock was set back, a job that follows may not run in the same poll.
pub(crate) const FOLLOWER_SET: bool = false;
/// What a condition said in a poll whose budget was spent by asking it serves at the next, however much later.
pub(crate) const OLD_ANSWER: bool = false;
/// Spacing and rates count from the beginning of the poll in which a run starts.
pub(crate) const START_AT_POLL: bool = false;
/// Who is let on by a limit comes after all that is due already, and may starve.
pub(crate) const LIMIT_ORDER: bool = false;
/// Of those that wait for a full executor one is tried again in time; when it is paused, none is.
pub(crate) const FULL: bool = false;
/// A background run that yields gives its limits back between its turns.
pub(crate) const YIELD_FREES: bool = false;
/// Between its turns it is not `running`.
pub(crate) const YIELD_RESTS: bool = false;
/// Its time limit counts from its hand-over.
pub(crate) const YIELD_LIMIT: bool = false;
/// Each of its turns tells again what it makes up for.
pub(crate) const MISSED_EACH_TURN: bool = false;
/// A background run that ended in time, while a poll went on, may be told as timed out by that poll.
pub(crate) const LIMIT_IN_POLL: bool = false;
/// Under `CancelRunning` a last occurrence ends the run that goes on, and the job with it: it is lost.
pub(crate) const CANCEL_LOSES_LAST: bool = false;
/// A run that goes on when its job is cancelled is told to have ended, and is not in the job's figures.
pub(crate) const EPITAPH: bool = false;
/// What is dropped of a run asked for twice by hand is told with the time of the first request.
pub(crate) const HAND_SINCE: bool = false;
/// What is rescheduled within its own run, from or to `after_completion`, is not anchored as the new schedule says.
pub(crate) const RESCHEDULED_WITHIN: bool = false;
