//! What the tests of commands share: a scheduler that is polled until something holds, and what the system says of processes.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use punctual::{Command, CommandError, Finished, JobHandle, Scheduler};

/// By then it hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

static PROCESS: RwLock<()> = RwLock::new(());

/// Beside other tests; to be held by each that starts a process.
pub fn beside() -> RwLockReadGuard<'static, ()> {
    PROCESS.read()
}

/// Alone, for what counts something of the whole process.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    PROCESS.write()
}

/// Polls until it holds.
pub fn until(scheduler: &Scheduler, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited too long until {what}");
        let _ = scheduler.run_pending();
        scheduler.wait(Duration::from_millis(5));
    }
}

/// Polls until a job has had so many runs.
pub fn until_ran<T>(scheduler: &Scheduler, job: &JobHandle<T>, runs: u64) {
    until(scheduler, "a command has ended", || job.stats().runs >= runs);
}

/// Registers a command that is due now.
pub fn now(scheduler: &Scheduler, command: Command) -> JobHandle<Finished> {
    scheduler.every(1).hour().immediately().do_command(command).unwrap()
}

pub type Ended = Result<Arc<Finished>, Arc<dyn Error + Send + Sync>>;

/// How a command ends that is run once.
pub fn ended(command: Command) -> Ended {
    let scheduler = Scheduler::new();
    let job = now(&scheduler, command);
    until_ran(&scheduler, &job, 1);
    job.last_value().ok_or_else(|| job.last_error().expect("a run has a value or an error"))
}

/// What it wrote.
pub fn written(command: Command) -> String {
    match ended(command) {
        Ok(finished) => finished.stdout_text().into_owned(),
        Err(error) => panic!("{error}"),
    }
}

/// The error of a job of commands.
pub fn error_of<'a>(error: &'a (dyn Error + Send + Sync + 'static)) -> &'a CommandError {
    error.downcast_ref().unwrap_or_else(|| panic!("not an error of a command: {error}"))
}

/// A number of seconds that no other process sleeps for.
pub fn nap() -> String {
    static NAPS: AtomicU64 = AtomicU64::new(0);
    format!("{}.{:07}", 90_000 + NAPS.fetch_add(1, Ordering::Relaxed), std::process::id())
}

/// The processes with this among their arguments, that have not ended.
pub fn pids(argument: &str) -> Vec<Pid> {
    let has = |arguments: Vec<u8>| arguments.split(|byte| *byte == 0).any(|other| other == argument.as_bytes());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    // What has ended and waits for its parent has no arguments any more.
    let those = processes.filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(has));
    those.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw).collect()
}

/// How many they are.
pub fn alive(argument: &str) -> usize {
    pids(argument).len()
}

/// The children of this process that have ended and were not waited for.
pub fn zombies() -> Vec<String> {
    let own = std::process::id().to_string();
    let is_one = |stat: &String| {
        let mut words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        (words.next(), words.next()) == (Some("Z"), Some(&*own))
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok()).filter(is_one).collect()
}

/// What this process has open.
pub fn open_files() -> Vec<String> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut files: Vec<String> =
        files.filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned())).collect();
    // Of pipes and sockets only the kind.
    files.iter_mut().for_each(|file| file.truncate(file.find(":[").unwrap_or(file.len())));
    files.retain(|file| !file.starts_with("/proc/"));
    files.sort();
    files
}

/// How long this thread has had a processor.
pub fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has it").into()
}

/// A folder of a test's own.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("punctual-command-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
