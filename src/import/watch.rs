//! What starts a job besides its schedule: the end of its last run, and what happens to files.
//!
//! Nothing is looked at again and again: a second job follows each run, and the system tells of files (the crate `notify`).
//! A path that is not there is watched for in the nearest directory above it that is; of directories that are made in between
//! later, what happens in them is not seen.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;

use super::{ImportedJob, KeepUp, StartsOn};
use crate::builder::When;
use crate::clock::Clock;
use crate::command::Finished;
use crate::error::Error;
use crate::job::JobHandle;
use crate::scheduler::{Registering, Scheduler, WeakScheduler};

/// How long after its end a job is started again, if its throttle lets it.
const PAUSE: Duration = Duration::from_secs(1);

impl KeepUp {
    /// Whether it is to be started, by how its last run went, if there was one.
    fn lets_start(&self, failed: Option<bool>) -> bool {
        let by_run = failed.is_none_or(|failed| self.after_failure.is_none_or(|wanted| wanted == failed));
        by_run && self.paths.iter().all(|(path, there)| path.exists() == *there)
    }
}

/// What is to be looked at.
struct Causes {
    keep_up: Option<KeepUp>,
    changes: Vec<PathBuf>,
    contents: Vec<PathBuf>,
}

impl Causes {
    fn of(job: &ImportedJob) -> Causes {
        let (mut changes, mut contents) = (Vec::new(), Vec::new());
        for cause in &job.starts_on {
            match cause {
                StartsOn::Change(path) => changes.push(path.clone()),
                StartsOn::Content(path) => contents.push(path.clone()),
            }
        }
        Causes { keep_up: job.keep_up.clone(), changes, contents }
    }

    /// Whether it is to start now, by how its last run went, whatever has happened to files.
    fn hold(&self, failed: Option<bool>) -> bool {
        let kept_up = self.keep_up.as_ref().is_some_and(|keep_up| keep_up.lets_start(failed));
        kept_up || self.contents.iter().any(|path| holds_anything(path))
    }

    /// Whether it is to start, since something has happened to a path.
    fn start_on(&self, path: &Path, failed: Option<bool>) -> bool {
        let is_in = |watched: &&PathBuf| path.starts_with(watched);
        self.changes.iter().any(|watched| is_in(&watched)) || self.looked_at().any(|watched| is_in(&watched)) && self.hold(failed)
    }

    /// The paths of which matters what there is.
    fn looked_at(&self) -> impl Iterator<Item = &PathBuf> {
        let states = self.keep_up.iter().flat_map(|keep_up| &keep_up.paths).map(|(path, _)| path);
        self.contents.iter().chain(states)
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.changes.iter().chain(self.looked_at())
    }
}

fn holds_anything(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

/// Starts the job, as soon as its throttle lets it.
struct Starter<C: 'static> {
    job: OnceLock<JobHandle<Finished>>,
    scheduler: WeakScheduler<C>,
    clock: Arc<dyn Clock>,
    tag: String,
    spacing: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When it started last, by the monotonic clock.
    started: Option<Duration>,
    /// Whether a start is on its way.
    is_coming: bool,
}

impl<C: 'static> Starter<C> {
    fn has_started(&self) {
        let now = self.clock.monotonic();
        self.state.lock().started = Some(now);
    }

    fn last_failed(&self) -> Option<bool> {
        self.job.get()?.last_run().map(|last| last.end.is_failure())
    }

    /// Not before some time has passed.
    fn start(self: &Arc<Self>, least: Duration) {
        let Some(scheduler) = self.scheduler.upgrade() else { return };
        let now = self.clock.monotonic();
        let rest = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.is_coming, true) {
                return;
            }
            let free = state.started.map_or(Duration::ZERO, |started| started.saturating_add(self.spacing));
            free.saturating_sub(now).max(least)
        };
        let starter = self.clone();
        let registered = scheduler.once_after(rest).tag(&self.tag).do_(move || {
            starter.state.lock().is_coming = false;
            starter.job.get().map(JobHandle::run_now);
        });
        if registered.is_err() {
            // It is shut down.
            self.state.lock().is_coming = false;
        }
    }
}

/// Registers the job, and the one that looks after it.
pub(super) fn register<C: 'static>(
    job: &ImportedJob,
    scheduler: &Scheduler<C>,
    when: When<Registering<C>>,
) -> Result<JobHandle<Finished>, Error> {
    let causes = Arc::new(Causes::of(job));
    let starter = Arc::new(Starter {
        job: OnceLock::new(),
        scheduler: scheduler.downgrade(),
        clock: scheduler.clock(),
        tag: job.tag(),
        spacing: job.spacing.unwrap_or_default(),
        state: Mutex::default(),
    });
    let watcher = watch(&causes, &starter)?;
    let (command, begun) = (job.command.clone(), starter.clone());
    let handle = when.do_command_with(move |_| {
        // The watch lasts as long as the job.
        let _ = &watcher;
        begun.has_started();
        command.clone()
    })?;
    let looks = scheduler.following(&handle).on_end().tag(job.tag()).do_with({
        let (causes, starter) = (causes.clone(), starter.clone());
        move |_, last| {
            if causes.hold(Some(last.end.is_failure())) {
                starter.start(PAUSE);
            }
        }
    });
    if let Err(error) = looks {
        handle.cancel();
        return Err(error);
    }
    let _ = starter.job.set(handle.clone());
    if !job.schedule.spec().immediately && causes.hold(None) {
        starter.start(Duration::ZERO);
    }
    Ok(handle)
}

/// Tells the job of what happens to the paths.
fn watch<C: 'static>(causes: &Arc<Causes>, starter: &Arc<Starter<C>>) -> Result<Option<Mutex<RecommendedWatcher>>, Error> {
    if causes.paths().next().is_none() {
        return Ok(None);
    }
    let refused = |path: &Path, error: notify::Error| Error::Watch { path: path.display().to_string(), error: error.to_string() };
    let (causes_told, starter) = (causes.clone(), starter.clone());
    let tell = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let is_read = matches!(event.kind, EventKind::Access(_));
        if !is_read && event.paths.iter().any(|path| causes_told.start_on(path, starter.last_failed())) {
            starter.start(Duration::ZERO);
        }
    };
    let mut watcher = notify::recommended_watcher(tell).map_err(|error| refused(Path::new(""), error))?;
    for path in causes.paths() {
        let found = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        // A file is watched by its directory: an editor puts a new one in its place.
        let place = if found.is_dir() { found } else { found.parent().unwrap_or(found) };
        watcher.watch(place, RecursiveMode::NonRecursive).map_err(|error| refused(path, error))?;
    }
    Ok(Some(Mutex::new(watcher)))
}
