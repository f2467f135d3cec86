//! The thread that all commands are waited for on, and how a command becomes a job.

use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};

use super::{Command, Finished, going};
use crate::builder::When;
use crate::error::Error;
use crate::job::JobHandle;
use crate::run::RunView;
use crate::scheduler::{Following, JobFuture, Registering, Usual};

/// What holds for commands unless their jobs say otherwise.
const USUAL: Usual<Finished> = Usual { limit: (100, "commands"), bare: Finished::without_a_command };

/// How many start at the same time.
const STARTS: usize = 8;

/// The thread, once it is there.
static THREAD: Mutex<Option<Handle>> = Mutex::new(None);

/// Spawns on the thread, which is started if it is not there.
fn spawner() -> Result<impl Fn(JobFuture) + Send + Sync + 'static, Error> {
    let mut thread = THREAD.lock();
    let handle = match &*thread {
        Some(handle) => handle.clone(),
        None => thread.insert(started().map_err(|error| Error::NoCommandThread { reason: error.to_string() })?).clone(),
    };
    Ok(move |future: JobFuture| drop(handle.spawn(future)))
}

fn started() -> std::io::Result<Handle> {
    let name = "punctual-commands";
    let runtime = Builder::new_current_thread().enable_all().thread_name(name).max_blocking_threads(STARTS).build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

impl<C: 'static> When<Registering<C>> {
    /// Registers a job that runs a command as a process of its own (feature `command`).
    ///
    /// It is a background run: the polling thread never waits for it, and overlap, time limit and retry hold. It has succeeded
    /// if its exit code says so ([`Command::succeeds_with`]); else [`JobHandle::last_error`] is a
    /// [`CommandError`](crate::CommandError). When it is
    /// told to stop (its time is up, its job is cancelled, the scheduler is shut down or dropped), so is the process, with all
    /// that it started and that stayed in its process group: by `SIGTERM`, and after [`Command::grace`] by `SIGKILL`. The run is
    /// over when the process is: [`shutdown`](crate::Scheduler::shutdown) waits for that, and its patience should be longer than
    /// the grace. A program that ends without it leaves its processes running, and
    /// its next process may start a command while the last one goes on.
    ///
    /// At most 100 commands of a scheduler run at once, by the named limit `commands`; `at_most(500, "commands")` for all of them
    /// says another number.
    ///
    /// # Errors
    ///
    /// [`Error::NoCommandThread`] if the system gives no thread; else as [`When::do_`].
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use punctual::{Command, Scheduler};
    /// use std::time::Duration;
    ///
    /// let scheduler = Scheduler::new();
    /// let hello = scheduler.every(1).hour().immediately().do_command(Command::shell("echo hello; echo oh >&2; exit 3"))?;
    /// while hello.stats().runs == 0 {
    ///     let _ = scheduler.run_pending();
    ///     scheduler.wait(Duration::from_secs(1));
    /// }
    /// let error = hello.last_error().map(|error| error.to_string());
    /// assert_eq!(error.as_deref(), Some("echo hello; echo oh >&2; exit 3 ended with exit code 3: oh"));
    /// # }
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn do_command(self, command: Command) -> Result<JobHandle<Finished>, Error> {
        let steps: Arc<[Command]> = command.into_steps().into();
        self.do_to_its_end(USUAL, spawner()?, move |run| going::run(steps.clone(), run))
    }

    /// [`do_command`](Self::do_command) for a command that is made anew for each run.
    ///
    /// `make` is called on the thread that all commands share, so it should be quick. If it panics, so has the run.
    ///
    /// # Errors
    ///
    /// As [`do_command`](Self::do_command).
    pub fn do_command_with<F>(self, make: F) -> Result<JobHandle<Finished>, Error>
    where
        F: Fn(&RunView) -> Command + Send + Sync + 'static,
    {
        self.do_to_its_end(USUAL, spawner()?, move |run| going::run(make(&run).into_steps().into(), run))
    }
}

impl<T: Send + Sync + 'static, C: 'static> Following<T, C> {
    /// Registers a job that runs a command: see [`When::do_command`](crate::When::do_command).
    ///
    /// # Errors
    ///
    /// [`Error::NoCommandThread`] if the system gives no thread; else as [`do_`](Self::do_).
    pub fn do_command(self, command: Command) -> Result<JobHandle<Finished>, Error> {
        let steps: Arc<[Command]> = command.into_steps().into();
        self.do_to_its_end(USUAL, spawner()?, move |run, _| going::run(steps.clone(), run))
    }

    /// Registers a job that runs a command made for each run, by the result of the run that it follows: see
    /// [`When::do_command_with`](crate::When::do_command_with).
    ///
    /// # Errors
    ///
    /// As [`do_command`](Self::do_command).
    pub fn do_command_with<F>(self, make: F) -> Result<JobHandle<Finished>, Error>
    where
        F: Fn(&RunView, &T) -> Command + Send + Sync + 'static,
    {
        self.do_to_its_end(USUAL, spawner()?, move |run, found| going::run(make(&run, &found).into_steps().into(), run))
    }
}
