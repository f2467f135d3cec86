//! What the files say: jobs under names that last, and notes.
//!
//! A line of a crontab is named by its file and its command, not by its number: so a job stays the same one when another line
//! is written above it, for a reload and for the store. What people are shown is the number.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use punctual::{Command, CronEnvironment, Crontab, Import, ImportedJob, Missed, Note, NoteKind, Output, PropertyList};

use crate::cli::Args;

/// How long a command of a crontab that was told to stop has before it is killed.
const TO_STOP: Duration = Duration::from_secs(3);

/// A job as a file has it.
#[derive(Debug, Clone)]
pub struct Found {
    pub job: ImportedJob,
    /// For people: `my.crontab:4`, `logrotate.timer`.
    pub label: String,
    /// What it runs, as the file has it.
    pub told: String,
}

/// One file, read.
#[derive(Debug, Clone)]
pub struct Read {
    pub path: PathBuf,
    pub form: &'static str,
    pub jobs: Vec<Found>,
    pub notes: Vec<Note>,
}

impl Found {
    /// Whether nothing is different that matters to its runs.
    pub fn is_same(&self, other: &Found) -> bool {
        let (a, b) = (&self.job, &other.job);
        (&a.name, &a.schedule, &a.command) == (&b.name, &b.schedule, &b.command)
            && (a.missed, a.grace, a.overlap, a.timeout) == (b.missed, b.grace, b.overlap, b.timeout)
            && (a.spacing, &a.keep_up, &a.starts_on, a.disabled) == (b.spacing, &b.keep_up, &b.starts_on, b.disabled)
    }
}

impl Read {
    pub fn refused(&self) -> usize {
        self.notes.iter().filter(|note| note.kind == NoteKind::Refused).count()
    }
}

/// Reads a file, whatever it is; an error if there is nothing to read.
pub fn read(path: &Path, args: &Args) -> io::Result<Read> {
    let bytes = std::fs::read(path)?;
    let (form, mut import) = match path.extension().and_then(|end| end.to_str()) {
        Some("plist") => ("a property list", PropertyList::new(&bytes).named(path).read()),
        Some("timer") => ("a timer", Import::timer(path)),
        _ => return Ok(crontab(path, &bytes, args)),
    };
    for job in &mut import.jobs {
        job.command = directed(job.command.clone(), args);
    }
    let found = |job: ImportedJob| Found { label: job.name.clone(), told: job.command.to_string(), job };
    Ok(Read { path: path.to_owned(), form, jobs: import.jobs.into_iter().map(found).collect(), notes: import.notes })
}

fn crontab(path: &Path, bytes: &[u8], args: &Args) -> Read {
    let is_system = args.system || is_system(path);
    let (form, crontab) = match is_system {
        true => ("a crontab of the system's, with users", Crontab::system(bytes)),
        false => ("a user's crontab", Crontab::user(bytes)),
    };
    let environment = if args.host_env { CronEnvironment::Host } else { CronEnvironment::Bare };
    let missed = if args.store.is_some() { Missed::RunOnce } else { Missed::Skip };
    let import = crontab.named(path).environment(environment).missed(missed).read();

    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    let file = short_name(path, &args.files);
    let mut times: HashMap<String, usize> = HashMap::new();
    let jobs = import.jobs.into_iter().map(|mut job| {
        let number = job.place.line.unwrap_or_default();
        let told = command_of(lines.get(number.saturating_sub(1)).unwrap_or(&""), is_system);
        let time = times.entry(told.clone()).and_modify(|time| *time += 1).or_insert(1);
        job.name = match time {
            1 => format!("{}: {told}", path.display()),
            _ => format!("{} ({time}): {told}", path.display()),
        };
        job.command = directed(job.command.grace(TO_STOP), args);
        Found { job, label: format!("{file}:{number}"), told }
    });
    Read { path: path.to_owned(), form, jobs: jobs.collect(), notes: import.notes }
}

/// The name of a file without its folder, unless another one has it too.
fn short_name(path: &Path, all: &[PathBuf]) -> String {
    let is_shared = all.iter().any(|other| other != path && other.file_name() == path.file_name());
    let name = path.file_name().filter(|_| !is_shared).unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Whether its lines name users, by where it lies.
fn is_system(path: &Path) -> bool {
    let is_in = |name: &str| path.parent().and_then(Path::file_name).is_some_and(|folder| folder == name);
    is_in("cron.d") || is_in("etc") && path.file_name().is_some_and(|name| name == "crontab")
}

/// What is behind the fields of a line.
fn command_of(line: &str, is_system: bool) -> String {
    let line = line.trim();
    let fields = if line.starts_with('@') { 1 } else { 5 } + usize::from(is_system);
    let mut rest = line;
    for _ in 0..fields {
        rest = rest.split_once([' ', '\t']).map_or("", |(_, rest)| rest).trim_start();
    }
    rest.to_owned()
}

fn directed(command: Command, args: &Args) -> Command {
    if args.live { command.stdout(Output::Inherited).stderr(Output::Inherited) } else { command }
}

/// By what a change of the files is noticed: their times and lengths, and those of the services beside timers.
pub fn stamps(paths: &[PathBuf]) -> Vec<Option<(SystemTime, u64)>> {
    let stamp = |path: &Path| std::fs::metadata(path).and_then(|data| Ok((data.modified()?, data.len()))).ok();
    paths.iter().flat_map(|path| [stamp(path), stamp(&path.with_extension("service"))]).collect()
}
