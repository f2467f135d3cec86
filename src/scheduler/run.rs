//! The run that a job is in, as the job sees it.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::value::Value;
use crate::run::{Outcome, RunView};

/// The run that a job is in, on the polling thread. It has all that a [`RunView`] has.
pub struct Run<'a, C = ()> {
    pub(crate) view: &'a RunView,
    pub(crate) host: &'a mut C,
    pub(crate) scheduler: &'a Scheduler<C>,
    /// Until when the poll has budget, by the monotonic clock.
    pub(crate) budget_ends: Option<Duration>,
    /// Whether anybody is to be told what it returns.
    pub(crate) is_told: bool,
}

impl<C> Run<'_, C> {
    /// How much of the poll's budget is left; `None` if it has none.
    pub fn time_left(&self) -> Option<Duration> {
        self.budget_ends.map(|end| end.saturating_sub(self.scheduler.0.clock.monotonic()))
    }

    /// The scheduler, for registering and cancelling from inside. A job that keeps a clone keeps the scheduler alive.
    pub fn scheduler(&self) -> Scheduler<C> {
        self.scheduler.clone()
    }

    /// The host's own state, as it was passed to [`run_pending_with`](Scheduler::run_pending_with).
    pub fn host(&mut self) -> &mut C {
        self.host
    }
}

impl<C> Deref for Run<'_, C> {
    type Target = RunView;

    fn deref(&self) -> &RunView {
        self.view
    }
}

impl<C> fmt::Debug for Run<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Run").field(self.view).finish()
    }
}

/// How a call of a job went: its outcome and value, or its error. Its own value is kept by the closure and handed on.
pub(super) type Called = Result<(Outcome, Option<Value>), Arc<dyn StdError + Send + Sync>>;
