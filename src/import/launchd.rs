//! launchd.plist(5): property lists, in XML or binary, as jobs.
//!
//! A property list says what is to be run and what starts it: intervals, dates, the first load, the end of the run before,
//! changes of files. launchd folds what it missed asleep into one run at the wake, and starts no job twice, nor sooner than ten
//! seconds after its last start: so it is here.
//!
//! What is started by events alone has a schedule all the same: one occurrence as the last day that there is ends.

mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use plist::{Dictionary, Value};

use super::{Import, ImportedJob, KeepUp, Note, NoteKind, Place, StartsOn, on_demand};
use crate::command::{Command, Input, LeftBehind, Output};
use crate::policy::Overlap;
use crate::schedule::{Dialect, Schedule};

/// How long launchd waits between two starts of a job, unless it says otherwise.
const USUAL_THROTTLE: Duration = Duration::from_secs(10);

/// How long launchd gives a job to end, unless it says otherwise.
const USUAL_GRACE: Duration = Duration::from_secs(20);

/// The largest property list that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// A property list of launchd's (feature `launchd`), in XML or binary.
///
/// ```
/// use punctual::PropertyList;
///
/// let list = br#"<plist version="1.0"><dict>
///     <key>Label</key><string>com.example.ingest</string>
///     <key>ProgramArguments</key><array><string>/usr/local/bin/ingest</string></array>
///     <key>StartInterval</key><integer>300</integer>
/// </dict></plist>"#;
/// let import = PropertyList::new(list).named("ingest.plist").read();
/// assert_eq!(import.jobs[0].schedule.to_string(), "every 5 minutes");
/// ```
#[derive(Debug, Clone)]
#[must_use = "a property list does nothing until `read` ends it"]
pub struct PropertyList<'a> {
    bytes: &'a [u8],
    file: PathBuf,
}

impl<'a> PropertyList<'a> {
    /// What the file holds.
    pub fn new(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        PropertyList { bytes: bytes.as_ref(), file: PathBuf::from("plist") }
    }

    /// The file, for the notes.
    pub fn named(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = file.into();
        self
    }

    /// The job that it describes, if it describes one that can run, and what is to be said of it.
    pub fn read(self) -> Import {
        let keys = self.dictionary();
        let mut reader = Reader { file: self.file, notes: Vec::new() };
        let job = match keys {
            Ok(keys) => reader.job(&mut Keys(keys)),
            Err(reason) => Err(reason),
        };
        let jobs = match job {
            Ok(job) => vec![job],
            Err(reason) => {
                reader.note(NoteKind::Refused, reason);
                Vec::new()
            }
        };
        Import { jobs, notes: reader.notes }
    }

    fn dictionary(&self) -> Result<Dictionary, String> {
        if self.bytes.len() > LARGEST {
            return Err(format!("it has {} bytes; {LARGEST} is the most that is read", self.bytes.len()));
        }
        match value::read(self.bytes)? {
            Value::Dictionary(keys) => Ok(keys),
            other => Err(format!("it holds {}; a job is a dictionary", sort(&other))),
        }
    }
}

/// What a value is, for people.
fn sort(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "an array",
        Value::Dictionary(_) => "a dictionary",
        Value::Boolean(_) => "a boolean",
        Value::Data(_) => "data",
        Value::Date(_) => "a date",
        Value::Real(_) => "a real number",
        Value::Integer(_) => "an integer",
        Value::String(_) => "a string",
        _ => "something else",
    }
}

/// A value, short enough to be shown.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Real(number) => number.to_string(),
        other => sort(other).to_owned(),
    }
}

/// The keys that have not been read yet.
struct Keys(Dictionary);

impl Keys {
    /// The value of a key, if it has the sort that is asked for.
    fn take<T>(&mut self, key: &str, accept: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>, String> {
        let Some(value) = self.0.remove(key) else { return Ok(None) };
        let refused = || format!("{key} is {}, where {accept} would go", shown(&value));
        read(&value).map(Some).ok_or_else(refused)
    }

    fn boolean(&mut self, key: &str) -> Result<Option<bool>, String> {
        self.take(key, "true or false", truth)
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        self.take(key, "a string", |value| value.as_string().map(str::to_owned))
    }

    fn path(&mut self, key: &str) -> Result<Option<PathBuf>, String> {
        Ok(self.text(key)?.map(PathBuf::from))
    }

    fn number(&mut self, key: &str, least: i64, most: i64) -> Result<Option<i64>, String> {
        let accept = format!("an integer from {least} to {most}");
        self.take(key, &accept, |value| value.as_signed_integer().filter(|number| (least..=most).contains(number)))
    }

    fn seconds(&mut self, key: &str, least: i64) -> Result<Option<Duration>, String> {
        const MOST: i64 = i32::MAX as i64;
        Ok(self.number(key, least, MOST)?.map(|seconds| Duration::from_secs(seconds.unsigned_abs())))
    }

    fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, String> {
        self.take(key, "an array of strings", |value| {
            value.as_array()?.iter().map(|item| item.as_string().map(str::to_owned)).collect()
        })
    }
}

/// launchd takes numbers for truth too.
fn truth(value: &Value) -> Option<bool> {
    value.as_boolean().or_else(|| value.as_signed_integer().map(|number| number != 0))
}

/// Keys that say something of a job that has no meaning outside of launchd, or can be left out without a loss.
const WITHOUT_MEANING: [&str; 9] = [
    "ServiceDescription",
    "ProcessType",
    "EnableTransactions",
    "TransactionTimeLimitEnabled",
    "LimitLoadToSessionType",
    "Debug",
    "WaitForDebugger",
    "POSIXSpawnType",
    "LegacyTimers",
];

struct Reader {
    file: PathBuf,
    notes: Vec<Note>,
}

impl Reader {
    fn place(&self) -> Place {
        Place { file: self.file.clone(), ..Place::default() }
    }

    fn note(&mut self, kind: NoteKind, text: impl Into<String>) {
        self.notes.push(Note::new(self.place(), kind, text.into()));
    }

    /// The job, or why there is none.
    fn job(&mut self, keys: &mut Keys) -> Result<ImportedJob, String> {
        let label = keys.text("Label")?.filter(|label| !label.is_empty()).ok_or("Label is missing; it names the job")?;
        let command = self.command(keys)?;
        let throttle = keys.seconds("ThrottleInterval", 0)?.unwrap_or(USUAL_THROTTLE);
        let keep_up = self.keep_up(keys)?;
        let starts_on = starts_on(keys)?;
        let at_load = keys.boolean("RunAtLoad")?.unwrap_or(false);
        let parts: Vec<Schedule> = interval(keys)?.into_iter().chain(dates(keys)?).collect();
        let is_kept_up = keep_up.as_ref().is_some_and(|keep_up| keep_up.paths.is_empty());
        let is_started = keep_up.is_some() || !starts_on.is_empty();
        let schedule = match parts.into_iter().reduce(Schedule::or) {
            Some(parts) => parts,
            None if is_started => on_demand(),
            None if at_load => Schedule::reboot(),
            None => return Err(self.nothing_starts_it(keys)),
        };
        let first = (at_load || is_kept_up) && schedule != Schedule::reboot();
        let schedule = if first { schedule.with(|spec| spec.immediately = true) } else { schedule };
        let has_changes = starts_on.iter().any(|cause| matches!(cause, StartsOn::Change(_)));
        let disabled = keys.boolean("Disabled")?.unwrap_or(false);
        self.left_over(keys);
        Ok(ImportedJob {
            // A change while it runs is one that it may not have seen.
            overlap: if has_changes { Overlap::Queue { most: 1 } } else { Overlap::Skip },
            spacing: Some(throttle).filter(|throttle| !throttle.is_zero()),
            keep_up,
            starts_on,
            disabled,
            ..ImportedJob::new(label, self.place(), schedule, command)
        })
    }

    /// Why there is no job of it.
    fn nothing_starts_it(&self, keys: &Keys) -> String {
        let others: Vec<&str> = ["Sockets", "MachServices", "LaunchEvents", "StartOnMount", "inetdCompatibility"]
            .into_iter()
            .filter(|key| keys.0.contains_key(key))
            .collect();
        let accept = "StartInterval, StartCalendarInterval, RunAtLoad, KeepAlive, WatchPaths or QueueDirectories";
        match &others[..] {
            [] => format!("nothing starts it; a job needs {accept}"),
            others => format!("only {} starts it, which launchd alone has; a job needs {accept}", others.join(" and ")),
        }
    }

    fn command(&mut self, keys: &mut Keys) -> Result<Command, String> {
        let (program, arguments) = (keys.text("Program")?, keys.texts("ProgramArguments")?.unwrap_or_default());
        let command = match (program, arguments.split_first()) {
            (Some(program), Some((name, rest))) => {
                if *name != program {
                    let text = format!("Program {program:?} is run under its own name and not as {name:?}");
                    self.note(NoteKind::Changed, text);
                }
                Command::new(program).args(rest)
            }
            (Some(program), None) => Command::new(program),
            (None, Some((program, rest))) => Command::new(program).args(rest),
            (None, None) => return Err("Program and ProgramArguments are missing; one of them says what is run".to_owned()),
        };
        let grace = match keys.seconds("ExitTimeOut", 0)? {
            Some(Duration::ZERO) => {
                self.note(NoteKind::Changed, "ExitTimeOut 0 lets a job take for ever to end; it has an hour");
                Duration::from_secs(3600)
            }
            grace => grace.unwrap_or(USUAL_GRACE),
        };
        let leave = keys.boolean("AbandonProcessGroup")?.unwrap_or(false);
        let mut command = command.grace(grace).left_behind(if leave { LeftBehind::GoOn } else { LeftBehind::End });
        for (name, value) in variables(keys)? {
            command = command.env(name, value);
        }
        if let Some(dir) = keys.path("WorkingDirectory")? {
            command = command.dir(dir);
        }
        if let Some(path) = keys.path("StandardInPath")? {
            command = command.stdin(Input::File(path));
        }
        if let Some(path) = keys.path("StandardOutPath")? {
            command = command.stdout(Output::Append(path));
        }
        if let Some(path) = keys.path("StandardErrorPath")? {
            command = command.stderr(Output::Append(path));
        }
        let accept = "an integer from 0 to 511, or a string of octal digits";
        if let Some(mask) = keys.take("Umask", accept, umask)? {
            command = command.umask(mask);
        }
        if let Some(nice) = keys.number("Nice", -20, 20)? {
            command = command.nice(nice.min(19) as i32);
        }
        if let Some(user) = keys.text("UserName")? {
            command = command.user(user);
        }
        if let Some(group) = keys.text("GroupName")? {
            command = command.group(group);
        }
        Ok(command)
    }

    /// `KeepAlive`, and `OnDemand`, which came before it.
    fn keep_up(&mut self, keys: &mut Keys) -> Result<Option<KeepUp>, String> {
        let always = keys.boolean("OnDemand")? == Some(false);
        let conditions = match keys.0.remove("KeepAlive") {
            None => return Ok(always.then(KeepUp::default)),
            Some(Value::Dictionary(conditions)) => conditions,
            Some(value) => {
                let accept = || format!("KeepAlive is {}, where true, false or a dictionary would go", shown(&value));
                return Ok(truth(&value).ok_or_else(accept)?.then(KeepUp::default));
            }
        };
        let mut conditions = Keys(conditions);
        let mut keep_up = KeepUp::default();
        if let Some(success) = conditions.boolean("SuccessfulExit")? {
            keep_up.after_failure = Some(!success);
        }
        if let Some(crashed) = conditions.boolean("Crashed")? {
            // A crash is a failure; a failure that is no crash cannot be told from one here.
            let given = keep_up.after_failure.replace(crashed);
            let differs = given.is_some_and(|given| given != crashed);
            let text = if differs { "Crashed is taken, and SuccessfulExit is not" } else { "Crashed counts each failed run" };
            self.note(NoteKind::Changed, format!("KeepAlive: {text}"));
        }
        let accept = "a dictionary of true and false";
        let paths = conditions.take("PathState", accept, |value| {
            let paths = value.as_dictionary()?.iter();
            paths.map(|(path, there)| Some((PathBuf::from(path), truth(there)?))).collect::<Option<Vec<_>>>()
        })?;
        keep_up.paths = paths.unwrap_or_default();
        let others: Vec<String> = conditions.0.keys().cloned().collect();
        if !others.is_empty() {
            let text = format!("KeepAlive: {} cannot be looked at; the job is kept up without it", others.join(", "));
            self.note(NoteKind::NotCarried, text);
        }
        Ok(Some(keep_up))
    }

    /// Says what has not been read.
    fn left_over(&mut self, keys: &Keys) {
        let (known, mut unknown): (Vec<&String>, Vec<&String>) =
            keys.0.keys().partition(|key| WITHOUT_MEANING.contains(&key.as_str()));
        if !known.is_empty() {
            let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
            self.note(NoteKind::NotCarried, format!("{}: of meaning to launchd alone", known.join(", ")));
        }
        unknown.sort_unstable();
        for key in unknown {
            self.note(NoteKind::NotCarried, format!("{key} cannot be carried"));
        }
    }
}

/// In the order of their names, which is one order for all who read the file.
fn variables(keys: &mut Keys) -> Result<BTreeMap<String, String>, String> {
    let variables = keys.take("EnvironmentVariables", "a dictionary of strings", |value| {
        let variables = value.as_dictionary()?.iter();
        variables.map(|(name, value)| Some((name.clone(), value.as_string()?.to_owned()))).collect()
    })?;
    let variables: BTreeMap<String, String> = variables.unwrap_or_default();
    match variables.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        Some(name) => Err(format!("EnvironmentVariables has a variable named {name:?}; a name has no `=` in it")),
        None => Ok(variables),
    }
}

fn umask(value: &Value) -> Option<u32> {
    let mask = match value {
        Value::String(octal) => u32::from_str_radix(octal, 8).ok()?,
        number => u32::try_from(number.as_signed_integer()?).ok()?,
    };
    Some(mask).filter(|mask| *mask <= 0o777)
}

fn starts_on(keys: &mut Keys) -> Result<Vec<StartsOn>, String> {
    let changes = keys.texts("WatchPaths")?.unwrap_or_default();
    let queues = keys.texts("QueueDirectories")?.unwrap_or_default();
    let changes = changes.into_iter().map(|path| StartsOn::Change(path.into()));
    Ok(changes.chain(queues.into_iter().map(|path| StartsOn::Content(path.into()))).collect())
}

fn interval(keys: &mut Keys) -> Result<Option<Schedule>, String> {
    let Some(period) = keys.seconds("StartInterval", 1)? else { return Ok(None) };
    Schedule::every_period(period).build().map(Some).map_err(|error| error.to_string())
}

/// The fields of a date as a crontab has them, with the least and the greatest number of each.
const FIELDS: [(&str, i64, i64); 5] = [("Minute", 0, 59), ("Hour", 0, 23), ("Day", 1, 31), ("Month", 1, 12), ("Weekday", 0, 7)];

/// `StartCalendarInterval`: one date, or several. As in a crontab, either of two days that are given will do.
fn dates(keys: &mut Keys) -> Result<Vec<Schedule>, String> {
    let key = "StartCalendarInterval";
    let each = match keys.0.remove(key) {
        None => return Ok(Vec::new()),
        Some(Value::Array(each)) => each,
        Some(one) => vec![one],
    };
    let mut dates = Vec::new();
    for date in each {
        let Value::Dictionary(date) = date else {
            return Err(format!("{key} is {}, where a dictionary or an array of them would go", shown(&date)));
        };
        let mut date = Keys(date);
        let mut fields = Vec::new();
        for (field, least, most) in FIELDS {
            let value = date.number(field, least, most).map_err(|error| format!("{key}: {error}"))?;
            fields.push(value.map_or("*".to_owned(), |value| value.to_string()));
        }
        if let Some(other) = date.0.keys().next() {
            return Err(format!("{key} has {other:?}; it takes Minute, Hour, Day, Weekday and Month"));
        }
        dates.push(Schedule::cron_in(Dialect::Vixie, fields.join(" ")).map_err(|error| error.to_string())?);
    }
    Ok(dates)
}
