//! systemd's timers, with the services that they start, as jobs.
//!
//! [`Units`] is where unit files are looked for: texts given by name, then directories. What a unit says is put together as
//! systemd does (the file, or its template's, then what is dropped in beside it); [`timer`] makes the schedule of it, [`service`]
//! the command. Files are touched here alone.

mod exec;
mod service;
mod span;
mod specifier;
mod timer;
mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Import, ImportedJob, Note, NoteKind, Place};
use crate::error::brief;
use specifier::{Name, Specifiers};
use unit::{Entry, LONGEST, Unit};

/// Where systemd's unit files are, to take timers from: see [`Import`].
///
/// A timer's job runs what its service runs, when the timer says so, under the rules that systemd has: one run at a time; what
/// passes while the machine sleeps is made up for once. So is what passes while the program is down, if the scheduler has a
/// store; systemd forgets that unless the timer is `Persistent=`. Conditions on paths are looked at before each run. A service
/// that names no user runs as the host does, not as root. What a job cannot carry (sandboxing, other units, limits) is in the
/// notes.
///
/// ```
/// use punctual::Units;
///
/// let units = Units::new()
///     .text("report.timer", "[Timer]\nOnCalendar=Mon..Fri 09:00\nPersistent=true")
///     .text("report.service", "[Service]\nType=oneshot\nExecStart=/usr/bin/report --day");
/// let import = units.timer("report.timer");
/// assert_eq!(import.jobs[0].schedule.to_string(), "calendar Mon..Fri *-*-* 09:00:00 with slack 1 minute");
/// assert!(import.notes.is_empty());
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "units do nothing until a timer is taken from them"]
pub struct Units {
    texts: BTreeMap<String, String>,
    dirs: Vec<PathBuf>,
    root: Option<PathBuf>,
}

impl Units {
    /// Nothing yet.
    pub fn new() -> Self {
        Units::default()
    }

    /// This machine's own: `/etc/systemd/system`, `/run/systemd/system`, `/usr/local/lib/systemd/system`,
    /// `/usr/lib/systemd/system`, `/lib/systemd/system`.
    pub fn system() -> Self {
        let dirs = ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"];
        dirs.iter().fold(Units::new(), |units, dir| units.dir(format!("{dir}/systemd/system"))).root("/")
    }

    /// A directory of unit files. One that was named before it goes first.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dirs.push(dir.into());
        self
    }

    /// A unit file's text under its name: `backup.service`, `backup.service.d/more.conf`, or an environment file's under its path.
    /// It goes before the files of any directory.
    pub fn text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.texts.insert(name.into(), text.into());
        self
    }

    /// Where the machine's other files are that units speak of, `/` for this one: environment files, users' homes, the host's name.
    /// Without it they are not looked at, and the notes say so where it matters.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// The job of one timer, by its name: `logrotate.timer`, or `backup@home.timer` of a template.
    pub fn timer(&self, name: &str) -> Import {
        let mut notes = Notes::default();
        let job = self.job(name, &mut notes);
        Import { jobs: job.into_iter().collect(), notes: notes.0 }
    }

    /// The jobs of all timers that are there, by name. Templates are left out: it takes an instance's name to run them.
    pub fn timers(&self) -> Import {
        let mut names: BTreeSet<String> = self.texts.keys().filter(|name| !name.contains('/')).cloned().collect();
        for dir in &self.dirs {
            let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
            names.extend(files.filter_map(|file| file.file_name().into_string().ok()));
        }
        let mut all = Import::default();
        for name in names.iter().filter(|name| name.ends_with(".timer") && !name.ends_with("@.timer")) {
            let Import { jobs, notes } = self.timer(name);
            all.jobs.extend(jobs);
            all.notes.extend(notes);
        }
        all
    }

    fn job(&self, name: &str, notes: &mut Notes) -> Option<ImportedJob> {
        let whole = |file: &Path| Place { file: file.to_owned(), ..Default::default() };
        let parts = Name::of(name);
        if parts.instance == Some("") {
            let text = "this is a template; name an instance of it, such as `backup@home.timer`".to_owned();
            notes.add(whole(Path::new(name)), NoteKind::Refused, text);
            return None;
        }
        let Some((timer, file)) = self.unit(name, notes) else {
            notes.add(whole(Path::new(name)), NoteKind::Refused, "there is no such timer, or it cannot be read".to_owned());
            return None;
        };
        // Masked by a file that is empty.
        let disabled = timer.entries.is_empty();
        if disabled {
            notes.add(whole(&file), NoteKind::Refused, "the timer is masked: its file is empty".to_owned());
            return None;
        }
        let timing = timer::read(&timer, &file, notes)?;
        let specifiers = |unit: &str| Specifiers { unit: unit.to_owned(), host: self.host() };
        let service = match timing.unit {
            Some(unit) => specifiers(name).expand(&unit, &mut Vec::new()),
            None => format!("{}.service", name.strip_suffix(".timer").unwrap_or(name)),
        };
        if !service.ends_with(".service") {
            let text = format!("it starts {service}, which is no service: there is nothing to run");
            notes.add(whole(&file), NoteKind::Refused, text);
            return None;
        }
        let Some((unit, service_file)) = self.unit(&service, notes) else {
            notes.add(whole(&file), NoteKind::Refused, format!("{service}, which it starts, is not there, or cannot be read"));
            return None;
        };
        let work = service::read(&unit, &service_file, (&timer, &file), &specifiers(&service), self, notes)?;
        Some(ImportedJob {
            timeout: work.timeout,
            ..ImportedJob::new(name.to_owned(), whole(&file), timing.schedule, work.command)
        })
    }

    /// A unit with what is dropped in beside it, and its own file.
    fn unit(&self, name: &str, notes: &mut Notes) -> Option<(Unit, PathBuf)> {
        let template = Name::of(name).template();
        let names: Vec<&str> = std::iter::once(name).chain(template.as_deref()).collect();
        let (file, text) = names.iter().find_map(|name| self.file(name))?;
        let mut unit = Unit::default();
        unit.read(&file, &text);
        for (file, text) in self.dropped_in(&names) {
            unit.read(&file, &text);
        }
        for (place, line) in std::mem::take(&mut unit.odd) {
            notes.add(place, NoteKind::NotCarried, format!("`{line}` is neither a section nor `Key=Value`"));
        }
        Some((unit, file))
    }

    fn file(&self, name: &str) -> Option<(PathBuf, String)> {
        if let Some(text) = self.texts.get(name) {
            return Some((name.into(), text.clone()));
        }
        self.dirs.iter().map(|dir| dir.join(name)).find_map(|path| read(&path).map(|text| (path, text)))
    }

    /// The files of `name.d`, in the order of their own names; of those that share one, the first that is found.
    fn dropped_in(&self, names: &[&str]) -> Vec<(PathBuf, String)> {
        let mut found: BTreeMap<String, (PathBuf, String)> = BTreeMap::new();
        for name in names {
            let dir = format!("{name}.d");
            for (path, text) in &self.texts {
                if let Some(file) =
                    path.strip_prefix(&dir).and_then(|rest| rest.strip_prefix('/')).filter(|file| file.ends_with(".conf"))
                {
                    found.entry(file.to_owned()).or_insert_with(|| (path.into(), text.clone()));
                }
            }
            for folder in self.dirs.iter().map(|parent| parent.join(&dir)) {
                for file in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                    let Ok(name) = file.file_name().into_string() else { continue };
                    if name.ends_with(".conf") && !found.contains_key(&name) {
                        found.extend(read(&file.path()).map(|text| (name, (file.path(), text))));
                    }
                }
            }
        }
        found.into_values().collect()
    }

    /// A file of the machine that units speak of.
    fn host_file(&self, path: &str) -> Option<String> {
        if let Some(text) = self.texts.get(path) {
            return Some(text.clone());
        }
        read(&self.root.as_ref()?.join(path.trim_start_matches('/')))
    }

    /// A user's home directory and shell.
    fn home(&self, user: &str) -> Option<(String, String)> {
        if user == "root" || user == "0" {
            let has_bash = self.root.as_ref().is_some_and(|root| root.join("bin/bash").exists());
            let shell = if has_bash { "/bin/bash" } else { "/bin/sh" };
            return Some(("/root".to_owned(), shell.to_owned()));
        }
        let users = self.host_file("/etc/passwd")?;
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields[..] {
                [name, _, number, _, _, home, shell] if name == user || number == user => {
                    Some((home.to_owned(), shell.to_owned()))
                }
                _ => None,
            }
        })
    }

    fn host(&self) -> Option<String> {
        self.host_file("/etc/hostname").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
    }
}

/// A file's text, if it can be read and is not too long. Text that is not UTF-8 is read as well as it can be.
fn read(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(LONGEST as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= LONGEST).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

impl Import {
    /// The job of a timer in a file, with the service beside it. For more than that, see [`Units`].
    pub fn timer(file: impl AsRef<Path>) -> Import {
        let file = file.as_ref();
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        Units::new().dir(dir).root("/").timer(&name)
    }
}

/// What there is to say about the files, as they are read.
#[derive(Debug, Default)]
struct Notes(Vec<Note>);

impl Notes {
    fn add(&mut self, place: Place, kind: NoteKind, text: String) {
        self.0.push(Note::new(place, kind, text));
    }

    fn at(&mut self, entry: &Entry, kind: NoteKind, text: String) {
        self.add(entry.place.clone(), kind, text);
    }

    fn not_read(&mut self, entry: &Entry, accept: &str) {
        let given = brief(&entry.value);
        self.at(entry, NoteKind::NotCarried, format!("{}=`{given}` cannot be read; {accept} could", entry.key));
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
