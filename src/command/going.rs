//! A run: its commands one after the other, each from its start to its end.
//!
//! A process is watched in one place, [`Process::until`]: whatever is waited for (its end, the word to stop, the end of its grace),
//! meanwhile it is fed, and what it writes is read, so that it is never held up by a pipe that is full or empty.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::sleep;

use super::finished::{Captured, CommandError, Finished};
use super::system::{self, CHUNK, Group};
use super::{Command, Input, LeftBehind, Output};
use crate::run::RunView;

/// How long to wait before looking again whether a group is gone, of which nobody tells: at first, and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// How often one is looked at that was killed. What has not gone by then hangs in the system, and does not come back.
const LOOKS_AT_THE_KILLED: u32 = 10;

/// Runs commands one after the other.
pub(super) async fn run(steps: Arc<[Command]>, run: RunView) -> Result<Finished, CommandError> {
    let captures = |output: fn(&Command) -> &Output| {
        let those = steps.iter().filter(|step| *output(step) == Output::Captured);
        Captured::most(those.map(|step| step.keeps).max().unwrap_or_default())
    };
    let mut streams = Streams { stdout: captures(|step| &step.stdout), stderr: captures(|step| &step.stderr) };
    let (mut last, mut unstarted) = (None, None);
    for (place, step) in steps.iter().enumerate() {
        let all = steps.clone();
        // Files may be far away, users too, and a start takes its time.
        let started = tokio::task::spawn_blocking(move || start(&all, place)).await;
        let started = started.unwrap_or_else(|error| Err(not_started(step, io::Error::other(error))));
        let child = match started {
            Ok(child) => child,
            Err(error) if !step.failure_counts && !run.signals.is_stopped() => {
                unstarted = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let status = Process::new(child, step).end(step, &run, &mut streams).await;
        let status = status.map_err(|error| CommandError::StatusUnknown { command: step.label(), error })?;
        last = Some(status);
        let stopped = run.signals.is_stopped();
        let succeeded = status.code().is_some_and(|code| step.succeeds_with.contains(&code));
        if stopped || !succeeded && step.failure_counts {
            let finished = Box::new(Finished::new(status, streams.stdout, streams.stderr));
            let command = step.label();
            return Err(if stopped {
                CommandError::Stopped { command, finished }
            } else {
                CommandError::Failed { command, finished }
            });
        }
    }
    match (last, unstarted) {
        (None, Some(error)) => Err(error),
        (status, _) => Ok(Finished::new(status.unwrap_or_default(), streams.stdout, streams.stderr)),
    }
}

fn not_started(step: &Command, error: io::Error) -> CommandError {
    CommandError::NotStarted { program: program(step), error }
}

fn program(step: &Command) -> String {
    step.program.to_string_lossy().into_owned()
}

/// Starts the process of one of several commands.
fn start(steps: &[Command], place: usize) -> Result<Child, CommandError> {
    let step = &steps[place];
    let mut command = system::prepared(step)?;
    if step.bare_env {
        command.env_clear();
    }
    for (name, value) in &step.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(dir) = &step.dir {
        // The system would only say that something is not there.
        let is_dir = std::fs::metadata(dir)
            .and_then(|found| if found.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) });
        is_dir.map_err(|error| CommandError::Directory { program: program(step), dir: dir.clone(), error })?;
        command.current_dir(dir);
    }
    let refused = |stream, path: &PathBuf| {
        let (program, path) = (program(step), path.clone());
        move |error| CommandError::File { program, stream, path, error }
    };
    command.stdin(match &step.stdin {
        Input::Nothing => Stdio::null(),
        Input::Bytes(_) => Stdio::piped(),
        Input::File(path) => system::to_read(path).map_err(refused("stdin", path))?.into(),
    });
    // A file that an earlier command of this run wrote is not emptied again.
    let earlier = |path: &PathBuf| {
        let is_it = |output: &Output| matches!(output, Output::Replace(other) if other == path);
        steps[..place].iter().any(|step| is_it(&step.stdout) || is_it(&step.stderr))
    };
    let opened = |stream, output: &Output| -> Result<Stdio, CommandError> {
        Ok(match output {
            Output::Captured => Stdio::piped(),
            Output::Nowhere => Stdio::null(),
            Output::Inherited => Stdio::inherit(),
            Output::Replace(path) if !earlier(path) => system::to_replace(path).map_err(refused(stream, path))?.into(),
            Output::Append(path) | Output::Replace(path) => system::to_append(path).map_err(refused(stream, path))?.into(),
        })
    };
    match (&step.stdout, &step.stderr) {
        // Opened twice, each would write over the other.
        (Output::Replace(path), Output::Replace(other)) if path == other && !earlier(path) => {
            let both = || -> io::Result<(File, File)> {
                let file = system::to_replace(path)?;
                Ok((file.try_clone()?, file))
            };
            let (stdout, stderr) = both().map_err(refused("stdout", path))?;
            command.stdout(stdout).stderr(stderr);
        }
        (stdout, stderr) => {
            command.stdout(opened("stdout", stdout)?).stderr(opened("stderr", stderr)?);
        }
    }
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).spawn().map_err(|error| not_started(step, error))
}

/// What is kept of what a run writes.
struct Streams {
    stdout: Captured,
    stderr: Captured,
}

/// A process that was started.
struct Process<'a> {
    child: Child,
    group: Group,
    feed: Option<(ChildStdin, &'a [u8])>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    status: Option<io::Result<ExitStatus>>,
}

impl<'a> Process<'a> {
    fn new(mut child: Child, step: &'a Command) -> Self {
        let bytes: &[u8] = if let Input::Bytes(bytes) = &step.stdin { bytes } else { &[] };
        let feed = child.stdin.take().map(|stdin| (stdin, bytes));
        let (group, stdout, stderr) = (Group::of(&child), child.stdout.take(), child.stderr.take());
        Process { child, group, feed, stdout, stderr, status: None }
    }

    /// Waits for its end, and sees to it once the run is told to stop. What it started goes with it then, or if the command
    /// says so.
    async fn end(mut self, step: &Command, run: &RunView, streams: &mut Streams) -> io::Result<ExitStatus> {
        self.until(streams, |process, _| process.status.is_some() || run.signals.is_stopped()).await;
        let alone = step.left_behind == LeftBehind::GoOn && !run.signals.is_stopped();
        if self.status.is_none() || !alone && self.group.is_there() {
            self.make_end(step.grace, streams).await;
        }
        system::rest(self.stdout.take(), |bytes| streams.stdout.push(bytes)).await;
        system::rest(self.stderr.take(), |bytes| streams.stderr.push(bytes)).await;
        self.status.take().unwrap_or_else(|| Err(io::ErrorKind::Other.into()))
    }

    /// Tells the group to end, kills it when its time is up, and waits until it is gone.
    async fn make_end(&mut self, grace: Duration, streams: &mut Streams) {
        self.group.tell_to_end(&mut self.child);
        let mut grace = pin!(sleep(grace));
        let (mut pause, mut left) = (LOOKS.0, None);
        while left != Some(0) {
            let mut look = pin!(sleep(pause));
            let mut is_over = false;
            self.until(streams, |process, context| {
                is_over = left.is_none() && grace.as_mut().poll(context).is_ready();
                is_over || process.status.is_some() && look.as_mut().poll(context).is_ready()
            })
            .await;
            if self.status.is_some() && !self.group.is_there() {
                return;
            }
            if is_over {
                self.group.kill(&mut self.child);
                (pause, left) = (LOOKS.0, Some(LOOKS_AT_THE_KILLED));
            } else {
                pause = pause.saturating_mul(2).min(LOOKS.1);
                left = left.map(|left| left - 1);
            }
        }
    }

    /// Waits until something holds, which is asked whenever there is news. What is in the pipes then is left there.
    async fn until(&mut self, streams: &mut Streams, mut holds: impl FnMut(&Self, &mut Context<'_>) -> bool) {
        poll_fn(|context| {
            if self.status.is_none() {
                if let Poll::Ready(status) = pin!(self.child.wait()).poll(context) {
                    self.status = Some(status);
                }
            }
            if holds(self, context) {
                return Poll::Ready(());
            }
            self.feed(context);
            read(&mut self.stdout, context, &mut streams.stdout);
            read(&mut self.stderr, context, &mut streams.stderr);
            Poll::Pending
        })
        .await;
    }

    /// Writes what it is to read. One that does not read to the end is free not to.
    fn feed(&mut self, context: &mut Context<'_>) {
        while let Some((pipe, left)) = &mut self.feed {
            match Pin::new(pipe).poll_write(context, left) {
                Poll::Pending => return,
                Poll::Ready(Ok(n @ 1..)) => *left = left.get(n..).unwrap_or_default(),
                Poll::Ready(_) => self.feed = None,
            }
        }
    }
}

impl Drop for Process<'_> {
    /// Nobody waits for it any more: the runtime is gone.
    fn drop(&mut self) {
        if self.status.is_none() && self.child.id().is_some() {
            self.group.kill(&mut self.child);
        }
    }
}

/// Reads what is there. A stream that its process closed is read no more.
fn read(pipe: &mut Option<impl AsyncRead + Unpin>, context: &mut Context<'_>, captured: &mut Captured) {
    let mut room = [0; CHUNK];
    while let Some(open) = pipe {
        let mut read = ReadBuf::new(&mut room);
        match Pin::new(open).poll_read(context, &mut read) {
            Poll::Pending => return,
            Poll::Ready(Ok(())) if !read.filled().is_empty() => captured.push(read.filled()),
            Poll::Ready(_) => *pipe = None,
        }
    }
}
