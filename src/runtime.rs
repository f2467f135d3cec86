//! Async jobs on tokio. A leaf: the core knows no runtime, this only spawns on one.

use std::future::Future;
use std::sync::Arc;

use crate::builder::When;
use crate::error::Error;
use crate::job::JobHandle;
use crate::run::{JobResult, RunView};
use crate::scheduler::{Following, JobFuture, Registering};

/// Spawns on the runtime that the caller is in.
fn spawner() -> Result<impl Fn(JobFuture) + Send + Sync + 'static, Error> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
    Ok(move |future: JobFuture| drop(runtime.spawn(future)))
}

impl<C: 'static> When<Registering<C>> {
    /// Registers an async job on the tokio runtime that this is called in (feature `tokio`): see
    /// [`do_future`](When::do_future).
    ///
    /// # Errors
    ///
    /// [`Error::NoRuntime`] outside of one; else as [`When::do_`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), punctual::Error> {
    /// use punctual::{Outcome, Scheduler};
    ///
    /// let scheduler = Scheduler::new();
    /// let (tell, mut told) = tokio::sync::mpsc::channel(1);
    /// scheduler.every(10).milliseconds().do_async(move |run| {
    ///     let tell = tell.clone();
    ///     async move {
    ///         let _ = tell.send(run.folded()).await;
    ///         Outcome::Cancel
    ///     }
    /// })?;
    /// let folded = scheduler.run_until(told.recv()).await;
    /// assert!(folded.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn do_async<F, R>(self, job: F) -> Result<JobHandle<<R::Output as JobResult>::Value>, Error>
    where
        F: Fn(RunView) -> R + Send + Sync + 'static,
        R: Future<Output: JobResult> + Send + 'static,
    {
        self.do_future(spawner()?, job)
    }
}

impl<T: Send + Sync + 'static, C: 'static> Following<T, C> {
    /// Registers an async job on the tokio runtime that this is called in (feature `tokio`): see
    /// [`When::do_future`](crate::When::do_future).
    ///
    /// # Errors
    ///
    /// [`Error::NoRuntime`] outside of one; else as [`do_`](Self::do_).
    pub fn do_async<F, R>(self, job: F) -> Result<JobHandle<<R::Output as JobResult>::Value>, Error>
    where
        F: Fn(RunView, Arc<T>) -> R + Send + Sync + 'static,
        R: Future<Output: JobResult> + Send + 'static,
    {
        self.do_future(spawner()?, job)
    }
}
