//! What starts a job besides its schedule: the end of its last run, and what happens to files.
//!
//! Nothing is looked at again and again: a second job follows each run, and the system tells of files (the crate `notify`).
//! A path that is not there is watched for in the nearest directory above it that is. When one on the way to it is made or goes,
//! the watch moves after it, and then what is there is compared with what was: things may have been made in a directory before it
//! was watched. That is done by a job, at the next poll: the thread that tells of files is the one that sets up watches, so it
//! cannot wait for them.
//!
//! What is not seen: that a directory above the one that is watched is renamed. Watching all up to the root would tell of that;
//! on macOS it would tell of all that happens on the machine besides.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use notify::event::ModifyKind;
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

    /// Which of those are there that matter when they change.
    fn there(&self) -> Vec<bool> {
        self.changes.iter().map(|path| path.exists()).collect()
    }

    /// Whether a path is one of them, or on the way to one.
    fn is_on_the_way(&self, path: &Path) -> bool {
        self.paths().any(|watched| watched.starts_with(path))
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

/// A watch on the paths of a job, which lasts as long as this.
struct Watch<C: 'static> {
    causes: Arc<Causes>,
    starter: Arc<Starter<C>>,
    /// Who watches, and which directories. Not to be locked by the thread that tells of files.
    watching: Mutex<(Option<RecommendedWatcher>, BTreeSet<PathBuf>)>,
    seen: Mutex<Seen>,
    /// Whether it is about to be moved.
    moves: AtomicBool,
}

/// What is known of the paths.
#[derive(Default)]
struct Seen {
    /// Those of [`Causes::there`], when that was last looked at.
    there: Vec<bool>,
    /// What was removed or renamed since the watch was last set: the system may have dropped it then.
    gone: BTreeSet<PathBuf>,
}

/// Tells the job of what happens to the paths.
fn watch<C: 'static>(causes: &Arc<Causes>, starter: &Arc<Starter<C>>) -> Result<Option<Arc<Watch<C>>>, Error> {
    if causes.paths().next().is_none() {
        return Ok(None);
    }
    let watch = Arc::new(Watch {
        causes: causes.clone(),
        starter: starter.clone(),
        watching: Mutex::default(),
        seen: Mutex::default(),
        moves: AtomicBool::new(false),
    });
    let told: Weak<Watch<C>> = Arc::downgrade(&watch);
    let tell = move |event: notify::Result<notify::Event>| {
        if let Some((watch, event)) = told.upgrade().zip(event.ok()) {
            watch.tell(&event);
        }
    };
    let watcher = notify::recommended_watcher(tell).map_err(|error| refused(Path::new(""), &error))?;
    watch.watching.lock().0 = Some(watcher);
    watch.set()?;
    watch.seen.lock().there = causes.there();
    Ok(Some(watch))
}

fn refused(path: &Path, error: &notify::Error) -> Error {
    Error::Watch { path: path.display().to_string(), error: error.to_string() }
}

/// The directory in which a path is watched for.
fn place_of(path: &Path) -> &Path {
    let found = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    // A file is watched by its directory: an editor puts a new one in its place.
    if found.is_dir() { found } else { found.parent().unwrap_or(found) }
}

impl<C: 'static> Watch<C> {
    /// Something has happened to files.
    fn tell(self: &Arc<Self>, event: &notify::Event) {
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let failed = self.starter.last_failed();
        let starts = event.paths.iter().any(|path| self.causes.start_on(path, failed));
        let makes = matches!(event.kind, EventKind::Create(_) | EventKind::Any | EventKind::Other);
        let goes = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        let on_the_way = event.paths.iter().filter(|path| (makes || goes) && self.causes.is_on_the_way(path));
        let on_the_way: Vec<&PathBuf> = on_the_way.collect();
        {
            let mut seen = self.seen.lock();
            if starts {
                seen.there = self.causes.there();
            }
            seen.gone.extend(on_the_way.iter().filter(|_| goes).map(|path| path.to_path_buf()));
        }
        if starts {
            self.starter.start(Duration::ZERO);
        }
        if !on_the_way.is_empty() || event.need_rescan() {
            self.move_soon();
        }
    }

    fn move_soon(self: &Arc<Self>) {
        let Some(scheduler) = self.starter.scheduler.upgrade() else { return };
        if self.moves.swap(true, Ordering::AcqRel) {
            return;
        }
        let watch = Arc::downgrade(self);
        let registered = scheduler.once_after(Duration::ZERO).tag(&self.starter.tag).do_(move || {
            if let Some(watch) = watch.upgrade() {
                watch.moves.store(false, Ordering::Release);
                watch.follow();
            }
        });
        if registered.is_err() {
            // It is shut down.
            self.moves.store(false, Ordering::Release);
        }
    }

    /// Moves the watch to where the paths are now, and starts the job for what happened where it was not watched.
    fn follow(&self) {
        // What cannot be watched now is tried again when something more happens on the way to it.
        let has_moved = self.set().unwrap_or(true);
        let there = self.causes.there();
        let changed = { std::mem::replace(&mut self.seen.lock().there, there.clone()) != there };
        let holds = || has_moved && self.causes.looked_at().next().is_some() && self.causes.hold(self.starter.last_failed());
        if changed || holds() {
            self.starter.start(Duration::ZERO);
        }
    }

    /// Watches the directories in which the paths are watched for; whether those are others than before.
    fn set(&self) -> Result<bool, Error> {
        let mut watching = self.watching.lock();
        let (Some(watcher), placed) = &mut *watching else { return Ok(false) };
        let gone = std::mem::take(&mut self.seen.lock().gone);
        // Under the same name there may be another directory now.
        let mut has_moved = false;
        for place in gone.iter().filter(|place| placed.remove(*place)) {
            let _ = watcher.unwatch(place);
            has_moved = true;
        }
        let mut needed = BTreeSet::new();
        for path in self.causes.paths() {
            // What is made before a directory is watched is not told.
            for _ in path.ancestors() {
                let place = place_of(path);
                if !placed.contains(place) {
                    match watcher.watch(place, RecursiveMode::NonRecursive) {
                        Ok(()) => drop(placed.insert(place.to_owned())),
                        // It went before it could be watched.
                        Err(_) if !place.exists() => continue,
                        Err(error) => return Err(refused(path, &error)),
                    }
                    has_moved = true;
                }
                if place == place_of(path) {
                    needed.insert(place.to_owned());
                    break;
                }
            }
        }
        for place in placed.iter().filter(|place| !needed.contains(*place)) {
            let _ = watcher.unwatch(place);
        }
        *placed = needed;
        Ok(has_moved)
    }
}
