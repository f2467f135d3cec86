//! Crontabs (feature `crontab`): what crontab(5) says, as jobs.
//!
//! A line is what Vixie's cron and its heirs take it for: blank, a comment, a setting, or a job; their rules differ little, and
//! where they do, the one that has the word in question is followed: cronie (`CRON_TZ`, `RANDOM_DELAY`, `-`), OpenBSD (`~`,
//! `-s`), FreeBSD (`@every_minute`, `@300`, `user:group`). A line that cannot be read is refused alone, with its column and the
//! reason; cron would leave out the whole file, or that line without a word.
//!
//! What cron does and its file does not say is chosen for those who move in:
//!
//! - A job that is due while it still runs is not started again. Cron starts it beside itself, which is why so many lines begin
//!   with `flock`. [`Crontab::overlap`] brings that back.
//! - What was missed by more than three hours is forgotten, as cron forgets it (cron(8)); of what came due within them, the
//!   last is run. [`Crontab::missed`] makes up for more, as anacron would.
//! - Commands find what cron gives them, not what the host has in its environment: [`CronEnvironment`].
//! - Zone changes are treated by this library's rule, which is Debian's but for a few cases: several fixed times in one gap
//!   make one run.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;

use super::{Import, ImportedJob, Note, NoteKind, Place};
use crate::command::Command;
use crate::error::{CronError, Error, brief};
use crate::policy::{Missed, Overlap};
use crate::schedule::{Dialect, Schedule, Zone, draw, mix};

/// cron(8): what a change of the clock, or a delay, of less than three hours skipped is made up for.
const GRACE: Duration = Duration::from_secs(3 * 3600);

/// The longest delay that cronie takes, in minutes.
const LONGEST_DELAY: u64 = 24 * 60;

const BLANKS: [char; 2] = [' ', '\t'];

/// A crontab, to be read: a user's own, or one of the system's, whose lines name the user too.
///
/// ```
/// use punctual::{Crontab, Schedule};
///
/// let text = "\
/// ## Every morning, but not at noon.
/// PATH=/usr/local/bin:/usr/bin:/bin
/// CRON_TZ=Europe/Berlin
/// 30 8 * * mon-fri  standup --channel team
/// ";
/// let import = Crontab::user(text).named("team.crontab").read();
/// let job = &import.jobs[0];
/// assert_eq!(job.name, "team.crontab:4");
/// # #[cfg(feature = "chrono-tz")]
/// assert_eq!(job.schedule, "vixie cron 30 8 * * MON-FRI in Europe/Berlin".parse::<Schedule>()?);
/// assert!(import.notes.is_empty());
/// # Ok::<(), punctual::Error>(())
/// ```
///
/// What is in a crontab, and what becomes of it:
///
/// | there | here |
/// | --- | --- |
/// | five fields, names, lists, ranges, steps, `@daily` and its kin | [`Dialect::Vixie`] |
/// | `@reboot` | a run at the scheduler's first poll, so at each start of the host; a note says so |
/// | `@every_minute`, `@every_second`, `@300` (FreeBSD) | every minute; so many seconds after the end of the last run |
/// | `~`, `0~29`, `~/10` (OpenBSD) | a value drawn by the file's name, the line's text and [`seed`](Self::seed), so the same at each start; a note says which |
/// | `CRON_TZ` | the zone of the lines below; empty for the scheduler's own. If it is not known, those that need one are refused |
/// | `RANDOM_DELAY` (cronie) | [`jitter`](crate::When::jitter), with a note |
/// | `SHELL`, `HOME`, other variables | the command's shell, working directory, environment. `TZ` too: it is no zone of the schedule |
/// | `MAILTO` | no mail is sent; a note says so unless it is empty. A run's output is in its [`Finished`](crate::Finished) |
/// | `%` | [`Command::crontab_line`] |
/// | the user, `user:group` | [`Command::user`], [`Command::group`]; only root can run as another |
/// | `-` before the minute, `-n`, `-q`, `-s` before the command | nothing is logged or mailed anyway; `-s` is [`Overlap::Skip`] |
/// | a date that never comes (`0 0 31 2 *`) | refused |
///
/// A job is named by its file and line, so one that another was written above has another name the next time. If names are to
/// last, for a store say, set [`ImportedJob::name`] before it is registered.
#[derive(Debug, Clone)]
#[must_use = "a crontab does nothing until it is read"]
pub struct Crontab {
    text: Vec<u8>,
    form: Form,
    file: PathBuf,
    environment: CronEnvironment,
    seed: u64,
    missed: Missed,
    overlap: Overlap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    User,
    System,
}

/// What the commands of a crontab find in their environment, beside what the crontab sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CronEnvironment {
    /// What cron gives them: `HOME`, `LOGNAME`, `USER`, `SHELL` and `PATH=/usr/bin:/bin`. Lines that were written for cron run
    /// as they did there, and see nothing of the host's.
    #[default]
    Bare,
    /// All that the host has; for runners in containers, which are configured by it. In the system form `HOME`, `LOGNAME` and
    /// `USER` are the line's user's all the same.
    Host,
}

impl Crontab {
    /// A user's crontab, as `crontab -l` shows it: five fields and a command.
    pub fn user(text: impl AsRef<[u8]>) -> Self {
        Self::new(text.as_ref(), Form::User)
    }

    /// A system's crontab, as `/etc/crontab` and the files in `/etc/cron.d`: five fields, a user and a command.
    pub fn system(text: impl AsRef<[u8]>) -> Self {
        Self::new(text.as_ref(), Form::System)
    }

    fn new(text: &[u8], form: Form) -> Self {
        Crontab {
            text: text.to_owned(),
            form,
            file: PathBuf::from("crontab"),
            environment: CronEnvironment::Bare,
            seed: 0,
            missed: Missed::Skip,
            overlap: Overlap::Skip,
        }
    }

    /// The file that it is, for the names of its jobs and the places of notes. `crontab` unless said.
    pub fn named(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = file.into();
        self
    }

    /// What the commands find in their environment.
    pub fn environment(mut self, environment: CronEnvironment) -> Self {
        self.environment = environment;
        self
    }

    /// What `~` is drawn by. Machines that share a crontab and should not all run at once need one each.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What becomes of missed occurrences. [`Missed::Skip`] unless said: what is more than three hours late is not run.
    ///
    /// Under any other policy there is no such bound; [`ImportedJob::grace`] can set one.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// What becomes of an occurrence that comes while its job runs. [`Overlap::Skip`] unless said; cron itself starts a
    /// command beside the one that runs: [`Overlap::Allow`].
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// What it says, as jobs, and what else there is to know.
    ///
    /// Homes of users are looked up on this machine.
    pub fn read(&self) -> Import {
        let mut reading = Reading {
            crontab: self,
            settings: Vec::new(),
            zone: Zoned::Scheduler,
            delay: Duration::ZERO,
            owners: HashMap::new(),
            place: Place { file: self.file.clone(), line: None, column: None },
            import: Import::default(),
        };
        reading.file();
        reading.import
    }
}

/// The zone that holds for the lines below.
enum Zoned {
    Scheduler,
    In(Zone),
    /// None that is known, and the line that says it.
    Unknown(usize),
}

/// Where the reading has come to.
///
/// A system may ask the network who its users are, so each is asked for once.
struct Reading<'a> {
    crontab: &'a Crontab,
    /// In order, none twice.
    settings: Vec<(String, String)>,
    zone: Zoned,
    delay: Duration,
    owners: HashMap<Option<String>, Owner>,
    place: Place,
    import: Import,
}

/// Why a line is refused: at which byte, and what is said of it.
type Refusal = (usize, String);

impl Reading<'_> {
    fn note(&mut self, column: Option<usize>, kind: NoteKind, text: String) {
        self.import.notes.push(Note::new(Place { column, ..self.place.clone() }, kind, text));
    }

    fn file(&mut self) {
        let text = self.crontab.text.as_slice();
        let unmarked = text.strip_prefix(b"\xef\xbb\xbf");
        let mut had_returns = false;
        let mut lines = unmarked.unwrap_or(text).split(|byte| *byte == b'\n').enumerate().peekable();
        while let Some((index, line)) = lines.next() {
            let returned = line.strip_suffix(b"\r");
            let is_last = lines.peek().is_none();
            self.place.line = Some(index + 1);
            if index == 0 && unmarked.is_some() {
                let text = "the file begins with a byte order mark, which cron takes for a part of the line; it is left out";
                self.note(Some(1), NoteKind::Changed, text.to_owned());
            }
            if returned.is_some() && !had_returns {
                had_returns = true;
                let text = "lines end in a carriage return, which cron takes for a part of them; they are left out";
                self.note(None, NoteKind::Changed, text.to_owned());
            }
            let said = self.line(returned.unwrap_or(line), index + 1);
            if said && is_last {
                let text = "the file ends without an end of line, and cron leaves such a line out; it is read like the others";
                self.note(None, NoteKind::Changed, text.to_owned());
            }
        }
    }

    /// Reads a line; whether it says anything.
    fn line(&mut self, line: &[u8], number: usize) -> bool {
        let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
        if line.get(start).is_none_or(|byte| *byte == b'#') {
            return false;
        }
        let column = |before: &[u8]| String::from_utf8_lossy(before).chars().count() + 1;
        let read = match std::str::from_utf8(line) {
            Err(error) => Err((error.valid_up_to(), self.no_text(line, error.valid_up_to(), number))),
            Ok(text) => match (text.find('\0'), setting(text)) {
                (Some(at), _) => Err((at, "the line holds a NUL, which no command can; take it out".to_owned())),
                (None, Some((name, value))) => self.set(name, value, start),
                (None, None) => self.job(text, start, number),
            },
        };
        if let Err((at, reason)) = read {
            self.note(Some(column(line.get(..at).unwrap_or_default())), NoteKind::Refused, reason);
        }
        true
    }

    /// What is said of a line that is not UTF-8 from a byte on.
    fn no_text(&mut self, line: &[u8], at: usize, number: usize) -> String {
        let byte = line.get(at).copied().unwrap_or_default();
        let reason = format!("the line is not UTF-8 from here on, byte 0x{byte:02X}; write the file anew in that encoding");
        let text = String::from_utf8_lossy(line);
        match setting(&text) {
            // The lines below would run by the wrong clock.
            Some(("CRON_TZ", _)) => {
                self.zone = Zoned::Unknown(number);
                format!("{reason}; the lines below that need a zone, up to another CRON_TZ, are refused")
            }
            Some((name, _)) => format!("{reason}; the lines below go without this `{}`", brief(name)),
            None => reason,
        }
    }

    fn set(&mut self, name: &str, value: &str, start: usize) -> Result<(), Refusal> {
        let column = Some(start + 1);
        match name {
            "" => return Err((start, "a setting needs a name before `=`; write NAME=value".to_owned())),
            "LOGNAME" | "USER" => {
                let text = format!("`{name}` is the name of the user that runs the command; cron lets no crontab change it");
                self.note(column, NoteKind::NotCarried, text);
                return Ok(());
            }
            "CRON_TZ" => self.set_zone(value, start)?,
            "RANDOM_DELAY" => self.set_delay(value, start)?,
            "MAILTO" if !value.is_empty() => {
                let text =
                    format!("no mail is sent to `{}`; what a command writes is kept with the result of its run", brief(value));
                self.note(column, NoteKind::NotCarried, text);
            }
            "MLS_LEVEL" | "CRON_WITHIN" if !value.is_empty() => {
                let what = if name == "MLS_LEVEL" { "a security level" } else { "a bound on how late a run may start" };
                self.note(column, NoteKind::NotCarried, format!("{what} (`{name}`) is set as a variable, and nothing more"));
            }
            "SHELL" | "HOME" if value.is_empty() => {
                let text = format!("an empty `{name}` would let nothing run; the lines below have the usual one");
                self.note(column, NoteKind::Changed, text);
            }
            _ => {}
        }
        match self.settings.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.to_owned(),
            None => self.settings.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    fn set_zone(&mut self, value: &str, start: usize) -> Result<(), Refusal> {
        // tzset(3): a colon before a name of the database.
        let name = value.strip_prefix(':').unwrap_or(value);
        if name.is_empty() {
            self.zone = Zoned::Scheduler;
            return Ok(());
        }
        // No zone has so long a name that this would cut it.
        match brief(name).parse::<Zone>() {
            Ok(zone) => self.zone = Zoned::In(zone),
            Err(error) => {
                self.zone = Zoned::Unknown(self.place.line.unwrap_or_default());
                return Err((start, format!("{error}; the lines below that need one, up to another CRON_TZ, are refused")));
            }
        }
        Ok(())
    }

    fn set_delay(&mut self, value: &str, start: usize) -> Result<(), Refusal> {
        let minutes = value.parse().ok().filter(|minutes: &u64| *minutes <= LONGEST_DELAY);
        let Some(minutes) = minutes else {
            let value = brief(value);
            let reason = format!("RANDOM_DELAY `{value}`: write minutes, 0 to {LONGEST_DELAY}; what held before goes on");
            return Err((start, reason));
        };
        self.delay = Duration::from_secs(minutes * 60);
        if minutes > 0 {
            let text =
                format!("each run below is put off by up to {minutes} minutes, drawn for each; cron draws once for all runs");
            self.note(Some(start + 1), NoteKind::Changed, text);
        }
        Ok(())
    }

    fn job(&mut self, text: &str, start: usize, number: usize) -> Result<(), Refusal> {
        if let Some(reason) = unread_setting(text) {
            return Err((start, reason));
        }
        // cronie: a line whose command is not logged.
        let quiet = text.get(start..).and_then(|line| line.strip_prefix('-')).is_some_and(|line| !line.starts_with(BLANKS));
        let start = start + usize::from(quiet);
        let (schedule, mut rest, told) = self.when(text, start)?;
        if rest.left().starts_with('*') {
            let reason = "a command does not begin with `*`; write five fields, crontab(5) has no seconds and no years";
            return Err((rest.at, reason.to_owned()));
        }
        let user = match self.crontab.form {
            Form::User => None,
            Form::System => {
                let (at, user) = rest.word();
                if !user.is_empty() && rest.left().is_empty() {
                    let reason = format!(
                        "`{}` is taken for the user, and no command follows; write both, or read the file as a user's crontab",
                        brief(user)
                    );
                    return Err((at, reason));
                }
                let user = User::of(user);
                if user.name.is_empty() {
                    return Err((at, "the line ends where a user would go; write one after the fields".to_owned()));
                }
                Some(user)
            }
        };
        let single = flags(&mut rest);
        if rest.left().is_empty() {
            return Err((text.len(), "the line ends without a command; write one after the fields".to_owned()));
        }
        let needs_zone = !schedule.is_reboot() && !schedule.spec().after_completion;
        if let (Zoned::Unknown(line), true) = (&self.zone, needs_zone) {
            return Err((start, format!("its zone is not known: see line {line}")));
        }
        if !schedule.is_reboot() && schedule.next_after(DateTime::UNIX_EPOCH).is_none() {
            return Err((start, format!("`{schedule}` never runs: no year has such a date")));
        }
        for (column, kind, text) in told {
            self.note(Some(column), kind, text);
        }
        if let Some(class) = user.as_ref().and_then(|user| user.class) {
            let text = format!("the login class `{}` is FreeBSD's; the command runs with the limits of the host", brief(class));
            self.note(Some(start + 1), NoteKind::NotCarried, text);
        }
        let command = self.command(rest.left(), user.as_ref());
        let overlap = if single { Overlap::Skip } else { self.crontab.overlap };
        let name = format!("{}:{number}", self.crontab.file.display());
        let place = Place { column: Some(start + 1), ..self.place.clone() };
        self.import.jobs.push(ImportedJob {
            missed: self.crontab.missed,
            grace: (self.crontab.missed == Missed::Skip).then_some(GRACE),
            overlap,
            ..ImportedJob::new(name, place, schedule, command)
        });
        Ok(())
    }

    /// When a line runs, what follows that, and what there is to know if the line is taken.
    fn when<'t>(&self, text: &'t str, start: usize) -> Result<(Schedule, Rest<'t>, Vec<Told>), Refusal> {
        let mut rest = Rest { text, at: start };
        let mut told = Vec::new();
        if rest.left().starts_with('@') {
            let (_, name) = rest.word();
            let schedule = match nickname(name).map_err(|reason| (start, reason))? {
                schedule if schedule.is_reboot() => {
                    let text = "`@reboot` runs at the scheduler's first poll, so at each start of the host".to_owned();
                    told.push((start + 1, NoteKind::Changed, text));
                    schedule
                }
                schedule => self.placed(schedule),
            };
            return Ok((schedule, rest, told));
        }
        let mut end = start;
        for _ in 0..5 {
            let (at, word) = rest.word();
            if !word.is_empty() {
                end = at + word.len();
            }
        }
        let fields = text.get(start..end).unwrap_or_default();
        let refused = |error: CronError, column: &dyn Fn(usize) -> usize| {
            let error = error.moved(|place| column(place) + start);
            (error.column().map_or(start, |column| column - 1), error.to_string())
        };
        let drawn = draw(fields, self.numbers(text)).map_err(|error| refused(error, &|column| column))?;
        let schedule = match Schedule::cron_in(Dialect::Vixie, &drawn.text) {
            Ok(schedule) => self.placed(schedule),
            Err(Error::Cron { error, .. }) => return Err(refused(error, &|column| drawn.column_given(column))),
            Err(error) => return Err((start, error.to_string())),
        };
        for draw in drawn.draws {
            let text =
                format!("{} `{}` is {}, drawn for this line and the same at each start", draw.field, draw.given, draw.drawn);
            told.push((start + draw.column, NoteKind::Changed, text));
        }
        Ok((schedule, rest, told))
    }

    /// A schedule in the zone, and with the delay, that hold here.
    fn placed(&self, schedule: Schedule) -> Schedule {
        let schedule = match &self.zone {
            Zoned::In(zone) => schedule.in_zone(zone.clone()),
            _ => schedule,
        };
        let delay = self.delay;
        if delay.is_zero() { schedule } else { schedule.with(|spec| spec.jitter = delay) }
    }

    /// Random numbers that are the same for a line of a file, wherever in the file it stands.
    fn numbers(&self, text: &str) -> impl FnMut(u32) -> u32 {
        let file = self.crontab.file.as_os_str().as_encoded_bytes();
        let place = file.iter().chain(text.as_bytes()).fold(self.crontab.seed, |hash, byte| mix(hash, (*byte).into()));
        let mut drawn = 0;
        move |below| {
            drawn += 1;
            (mix(place, drawn) % u64::from(below.max(1))) as u32
        }
    }

    fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn command(&mut self, line: &str, user: Option<&User<'_>>) -> Command {
        let name = user.map(|user| user.name.to_owned());
        let owner = self.owners.entry(name.clone()).or_insert_with(|| match name {
            Some(name) => Owner { home: home_of(&name), name: Some(name) },
            None => Owner::host(),
        });
        let owner = owner.clone();
        let shell = self.setting("SHELL").unwrap_or("/bin/sh");
        let home = self.setting("HOME").map(PathBuf::from).or(owner.home);
        let mut command = Command::crontab_line(line).shell_path(shell);
        if let Some(user) = user {
            command = command.user(user.name);
        }
        if let Some(group) = user.and_then(|user| user.group) {
            command = command.group(group);
        }
        let is_bare = self.crontab.environment == CronEnvironment::Bare;
        if is_bare {
            command = command.bare_env().env("SHELL", shell).env("PATH", "/usr/bin:/bin");
        }
        if is_bare || user.is_some() {
            if let Some(home) = &home {
                command = command.env("HOME", home);
            }
            if let Some(name) = &owner.name {
                command = command.env("LOGNAME", name).env("USER", name);
            }
        }
        for (name, value) in &self.settings {
            if !(value.is_empty() && matches!(name.as_str(), "SHELL" | "HOME")) {
                command = command.env(name, value);
            }
        }
        command.dir(home.unwrap_or_else(|| PathBuf::from("/")))
    }
}

/// The user of a line of the system's, with a group and a login class if FreeBSD's cron wrote it.
struct User<'t> {
    name: &'t str,
    group: Option<&'t str>,
    class: Option<&'t str>,
}

impl<'t> User<'t> {
    fn of(word: &'t str) -> Self {
        let (word, class) = word.split_once('/').map_or((word, None), |(word, class)| (word, Some(class)));
        let (name, group) = word.split_once(':').map_or((word, None), |(name, group)| (name, Some(group)));
        User { name, group, class }
    }
}

/// A note on a line that is taken: its column, its kind, its text.
type Told = (usize, NoteKind, String);

/// What is left of a line.
struct Rest<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Rest<'t> {
    fn left(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes the next word and the blanks behind it: where it is, and what.
    fn word(&mut self) -> (usize, &'t str) {
        let (at, left) = (self.at, self.left());
        let word = left.split(BLANKS).next().unwrap_or_default();
        let behind = left.get(word.len()..).unwrap_or_default();
        self.at = self.text.len() - behind.trim_start_matches(BLANKS).len();
        (at, word)
    }
}

/// Takes the flags before a command that OpenBSD and FreeBSD know, `-n`, `-q` and `-s`; whether `-s` is among them.
fn flags(rest: &mut Rest<'_>) -> bool {
    let mut single = false;
    loop {
        let before = rest.at;
        let (_, word) = rest.word();
        match word.strip_prefix('-') {
            Some(letters) if !letters.is_empty() && letters.bytes().all(|letter| matches!(letter, b'n' | b'q' | b's')) => {
                single |= letters.contains('s');
            }
            _ => {
                rest.at = before;
                return single;
            }
        }
    }
}

/// What a word that begins with `@` stands for.
fn nickname(name: &str) -> Result<Schedule, String> {
    let lower = name.to_ascii_lowercase();
    let after = |seconds| {
        let schedule = Schedule::every(seconds).seconds().after_completion().build();
        schedule.map_err(|error| format!("`{}`: {error}", brief(name)))
    };
    match lower.as_str() {
        "@every_minute" => Schedule::cron_in(Dialect::Vixie, "* * * * *").map_err(|error| error.to_string()),
        "@every_second" => after(1),
        "@every" => {
            Err("`@every` is not in crontab(5); write `*/5 * * * *`, or `@300` for 300 seconds after the last run".to_owned())
        }
        lower => match lower.get(1..).filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(digits) => match digits.parse() {
                Ok(seconds) => after(seconds),
                Err(_) => Err(format!("`{}`: so many seconds are too long; write fewer", brief(name))),
            },
            None => Schedule::cron_in(Dialect::Vixie, lower).map_err(|error| match error {
                Error::Cron { error, .. } => error.to_string(),
                error => error.to_string(),
            }),
        },
    }
}

/// What C's isspace(3) takes for a blank.
fn is_space(char: char) -> bool {
    char.is_ascii_whitespace() || char == '\x0b'
}

/// A setting, as `load_env` (env.c) reads it: either side may stand in quotes, and what follows those of the value is blank.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches(BLANKS);
    let (name, rest) = match quoted(line) {
        Some((name, rest)) => (name, rest),
        None if line.starts_with(['\'', '"']) => return None,
        None => line.split_at(line.find(|char| char == '=' || is_space(char))?),
    };
    let value = rest.trim_start_matches(is_space).strip_prefix('=').filter(|_| !name.contains('='))?;
    let value = value.trim_start_matches(is_space);
    match quoted(value) {
        Some((value, rest)) => rest.chars().all(is_space).then_some((name, value)),
        None if value.starts_with(['\'', '"']) => None,
        None => Some((name, value.trim_end_matches(is_space))),
    }
}

/// What stands between quotes, and what follows them.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|char| matches!(char, '\'' | '"'))?;
    text.get(1..)?.split_once(quote)
}

/// Why a line that looks like a setting is none.
fn unread_setting(line: &str) -> Option<String> {
    let (name, value) = line.trim_start_matches(BLANKS).split_once('=')?;
    let name = name.trim_end_matches(is_space);
    let is_name = name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    let value = value.trim_start_matches(is_space);
    let quote = value.chars().next().filter(|char| is_name && matches!(char, '\'' | '"'))?;
    let name = brief(name);
    Some(match quoted(value) {
        Some(_) => format!(
            "`{name}`: nothing may follow the closing quote; quote all of the value, and give a comment a line of its own"
        ),
        None => format!("`{name}`: the value begins with {quote} and does not end with it; close it"),
    })
}

/// Who runs a command, as far as that is known here.
#[derive(Clone)]
struct Owner {
    name: Option<String>,
    home: Option<PathBuf>,
}

impl Owner {
    /// The user that the host runs as.
    fn host() -> Owner {
        let said = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let entry = host_entry();
        let name = ["LOGNAME", "USER"].into_iter().find_map(said).and_then(|name| name.into_string().ok());
        let (entry_name, entry_home) = entry.unzip();
        Owner { name: name.or(entry_name), home: said("HOME").map(PathBuf::from).or(entry_home) }
    }
}

/// The name and the home of the host's user.
#[cfg(unix)]
fn host_entry() -> Option<(String, PathBuf)> {
    let entry = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok()??;
    Some((entry.name, entry.dir))
}

#[cfg(unix)]
fn home_of(user: &str) -> Option<PathBuf> {
    Some(nix::unistd::User::from_name(user).ok()??.dir)
}

#[cfg(not(unix))]
fn host_entry() -> Option<(String, PathBuf)> {
    None
}

#[cfg(not(unix))]
fn home_of(_: &str) -> Option<PathBuf> {
    None
}
