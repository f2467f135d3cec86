//! The `[Service]` section: what is run.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::exec::{self, Line, Variables};
use super::span;
use super::specifier::Specifiers;
use super::unit::{Entry, Unit, boolean};
use super::{Notes, Units};
use crate::command::{Command, Input, LeftBehind, Output};
use crate::import::{NoteKind, Place};

/// What systemd's services find, whatever the machine's own `PATH` is.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a service has to end, if it says nothing of it.
const USUAL_GRACE: Duration = Duration::from_secs(90);

/// The longest that it has: a year.
const LONGEST_GRACE: Duration = Duration::from_secs(31_536_000);

const SECTION: &str = "Service";

/// What is run, and for how long at most.
pub(super) struct Work {
    pub(super) command: Command,
    pub(super) timeout: Option<Duration>,
}

/// The most commands that a service may have.
const MOST_STEPS: usize = 100;

/// In the order in which they are run.
const STEPS: [&str; 6] = ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecStop", "ExecStopPost"];

/// What is read here, of `[Service]` and of `[Unit]`.
const KNOWN: [&str; 29] = [
    "Type",
    "ExecCondition",
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecStop",
    "ExecStopPost",
    "Environment",
    "EnvironmentFile",
    "WorkingDirectory",
    "User",
    "Group",
    "UMask",
    "Nice",
    "StandardInput",
    "StandardInputText",
    "StandardOutput",
    "StandardError",
    "TimeoutSec",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "RuntimeMaxSec",
    "KillMode",
    "SuccessExitStatus",
    "PermissionsStartOnly",
    // It concerns units that run on.
    "ExecReload",
    "RemainAfterExit",
    // It says nothing.
    "Description",
    "Documentation",
];

/// What concerns other units.
const RELATIONS: [&str; 17] = [
    "After",
    "Before",
    "Wants",
    "Requires",
    "Requisite",
    "BindsTo",
    "PartOf",
    "Upholds",
    "Conflicts",
    "OnFailure",
    "OnSuccess",
    "RequiresMountsFor",
    "WantsMountsFor",
    "JoinsNamespaceOf",
    "DefaultDependencies",
    "PropagatesReloadTo",
    "StopWhenUnneeded",
];

/// Shells of users who are not to log in, which no service is told of.
const NO_SHELLS: [&str; 8] = [
    "/bin/nologin",
    "/sbin/nologin",
    "/usr/bin/nologin",
    "/usr/sbin/nologin",
    "/bin/false",
    "/usr/bin/false",
    "/bin/true",
    "/usr/bin/true",
];

/// Reads the section; `None`, with a note, if there is nothing to run. The timer's own conditions hold for each run.
pub(super) fn read(
    unit: &Unit,
    file: &Path,
    (timer, timer_file): (&Unit, &Path),
    specifiers: &Specifiers,
    units: &Units,
    notes: &mut Notes,
) -> Option<Work> {
    let mut reader = Reader { unit, specifiers, units, notes, unknown: Vec::new() };
    reader.others(timer_file, timer.section("Unit"));
    reader.others(file, unit.entries.iter().filter(|entry| entry.section != "Install"));
    let work = reader.work(file, timer);
    let unknown = reader.unknown;
    if !unknown.is_empty() {
        let whole = Place { file: file.to_owned(), ..Default::default() };
        let text = format!("{} stand for what is not known here, and are left as they are", unknown.join(", "));
        notes.add(whole, NoteKind::NotCarried, text);
    }
    work
}

struct Reader<'a> {
    unit: &'a Unit,
    specifiers: &'a Specifiers,
    units: &'a Units,
    notes: &'a mut Notes,
    unknown: Vec<String>,
}

impl<'a> Reader<'a> {
    fn expand(&mut self, text: &str) -> String {
        self.specifiers.expand(text, &mut self.unknown)
    }

    fn last(&self, key: &str) -> Option<&'a Entry> {
        self.unit.last(SECTION, key)
    }

    fn list(&self, key: &str) -> Vec<&'a Entry> {
        self.unit.list(SECTION, key)
    }

    fn is_on(&self, key: &str) -> bool {
        self.last(key).and_then(|entry| boolean(&entry.value)).unwrap_or(false)
    }

    /// What a job does not carry: named, once for each file.
    fn others<'e>(&mut self, file: &Path, entries: impl Iterator<Item = &'e Entry>) {
        let mut relations = BTreeSet::new();
        let mut rest = BTreeSet::new();
        for entry in entries {
            let key = entry.key.as_str();
            let is_condition = key.starts_with("Condition") || key.starts_with("Assert");
            let is_usual = key == "Restart" && entry.value == "no";
            if KNOWN.contains(&key) || is_condition || is_usual || key.starts_with("X-") || entry.section.starts_with("X-") {
                continue;
            }
            let set = if RELATIONS.contains(&key) { &mut relations } else { &mut rest };
            set.insert(format!("{key}="));
        }
        let whole = Place { file: file.to_owned(), ..Default::default() };
        let list = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(", ");
        if !relations.is_empty() {
            let text = format!("a job knows no other units: {}", list(relations));
            self.notes.add(whole.clone(), NoteKind::NotCarried, text);
        }
        if !rest.is_empty() {
            self.notes.add(whole, NoteKind::NotCarried, format!("a job has nothing of the kind: {}", list(rest)));
        }
    }

    fn work(&mut self, file: &Path, timer: &'a Unit) -> Option<Work> {
        let kind = self.last("Type").map_or("simple", |entry| &entry.value);
        let is_oneshot = kind == "oneshot";
        if let Some(entry) =
            self.last("Type").filter(|entry| !["simple", "exec", "oneshot", "idle"].contains(&entry.value.as_str()))
        {
            let text = format!("Type={kind}: the run ends with the process that is started, whatever it says or leaves behind");
            self.notes.at(entry, NoteKind::Changed, text);
        }
        if let Some(entry) = self.last("RemainAfterExit").filter(|entry| boolean(&entry.value) == Some(true)) {
            self.notes.at(entry, NoteKind::NotCarried, "the run is over with its last process".to_owned());
        }
        let user = self.last("User").map(|entry| self.expand(&entry.value));
        let variables = self.variables(user.as_deref());
        let base = self.base(user.as_deref());
        let shared = Shared {
            base: variables.0.iter().fold(base, |base, (name, value)| base.env(name, value)),
            script: self.conditions(timer).script(),
            group: self.last("Group").map(|entry| self.expand(&entry.value)),
            starts_only: self.is_on("PermissionsStartOnly"),
            codes: self.successes(),
            user,
            variables,
        };

        let mut whole: Option<Command> = None;
        let (mut starts, mut steps) = (0, 0);
        for key in STEPS {
            for entry in self.list(key) {
                let lines = match exec::lines(&entry.value) {
                    Ok(lines) => lines,
                    Err(reason) => {
                        self.notes.at(entry, NoteKind::Refused, format!("{key}=: {reason}"));
                        return None;
                    }
                };
                let text = match key {
                    "ExecCondition" => Some("it ends the run with a failure where systemd would pass over the run"),
                    "ExecStartPost" if !is_oneshot => Some("it runs once ExecStart= has ended, not as soon as that has started"),
                    "ExecStopPost" => Some("it runs only if all before it has succeeded"),
                    _ => None,
                };
                if let Some(text) = text {
                    self.notes.at(entry, NoteKind::Changed, format!("{key}=: {text}"));
                }
                for line in lines {
                    starts += usize::from(key == "ExecStart");
                    steps += 1;
                    if steps > MOST_STEPS {
                        let text = format!("there are more than {MOST_STEPS} commands");
                        self.notes.at(entry, NoteKind::Refused, text);
                        return None;
                    }
                    let step = self.step(&shared, &line, key, entry)?;
                    whole = Some(match whole {
                        Some(whole) => whole.then(step),
                        None => step,
                    });
                }
            }
        }
        let Some(command) = whole.filter(|_| starts > 0) else {
            let place = Place { file: file.to_owned(), ..Default::default() };
            self.notes.add(place, NoteKind::Refused, "the service has no ExecStart=: there is nothing to run".to_owned());
            return None;
        };
        if steps > 1 && shared.script.is_some() {
            let place = Place { file: file.to_owned(), ..Default::default() };
            let text = format!("the conditions are looked at before each of the {steps} commands, not once for all");
            self.notes.add(place, NoteKind::Changed, text);
        }
        if starts > 1 && !is_oneshot {
            let place = Place { file: file.to_owned(), ..Default::default() };
            let text = format!("Type={kind} with {starts} commands, which systemd refuses: they run one after the other");
            self.notes.add(place, NoteKind::Changed, text);
        }
        let start = self.length("TimeoutStartSec").or_else(|| self.length("TimeoutSec"));
        let timeout = if is_oneshot { start } else { self.length("RuntimeMaxSec") };
        // 0 is an older spelling of infinity.
        Some(Work { command, timeout: timeout.flatten().filter(|timeout| !timeout.is_zero()) })
    }

    /// A length of time; `Some(None)` if it is `infinity`.
    fn length(&mut self, key: &str) -> Option<Option<Duration>> {
        let entry = self.last(key)?;
        let span = span::parse(&entry.value);
        if span.is_none() {
            self.notes.not_read(entry, "a time span such as `1h 30min`");
        }
        span.map(|span| span.duration())
    }

    /// What all steps share.
    fn base(&mut self, user: Option<&str>) -> Command {
        let mut base = Command::new("");
        base = base.bare_env().dir("/");
        if let Some(entry) = self.last("WorkingDirectory") {
            let dir = self.expand(&entry.value);
            let path = dir.strip_prefix('-').unwrap_or(&dir);
            if path != dir {
                self.notes.at(entry, NoteKind::Changed, format!("`{path}` must be there: without it the run fails"));
            }
            match path {
                "~" => match self.units.home(user.unwrap_or("root")) {
                    Some((home, _)) => base = base.dir(home),
                    None => self.notes.at(entry, NoteKind::NotCarried, "the home directory is not known; `/` it is".to_owned()),
                },
                path => base = base.dir(path),
            }
        }
        if let Some(entry) = self.last("UMask") {
            match u32::from_str_radix(&entry.value, 8).ok().filter(|mask| *mask <= 0o777) {
                Some(mask) => base = base.umask(mask),
                None => self.notes.not_read(entry, "a file mode such as 0022"),
            }
        }
        if let Some(entry) = self.last("Nice") {
            match entry.value.parse().ok().filter(|nice| (-20..=19).contains(nice)) {
                Some(nice) => base = base.nice(nice),
                None => self.notes.not_read(entry, "a number from -20 to 19"),
            }
        }
        base = self.streams(base);
        let grace = self.length("TimeoutStopSec").or_else(|| self.length("TimeoutSec"));
        // 0 is an older spelling of infinity.
        let grace = grace.map_or(Some(USUAL_GRACE), |grace| grace.filter(|grace| !grace.is_zero()));
        let grace = grace.filter(|grace| *grace <= LONGEST_GRACE);
        if grace.is_none() {
            if let Some(entry) = self.last("TimeoutStopSec").or_else(|| self.last("TimeoutSec")) {
                self.notes.at(entry, NoteKind::Changed, "a run that is stopped has a year to end, and no longer".to_owned());
            }
        }
        base = base.grace(grace.unwrap_or(LONGEST_GRACE));
        let mode = self.last("KillMode");
        let left = match mode.as_ref().map(|entry| entry.value.as_str()) {
            Some("process" | "none") => LeftBehind::GoOn,
            _ => LeftBehind::End,
        };
        if let Some(entry) = mode.filter(|entry| entry.value == "none") {
            self.notes.at(entry, NoteKind::Changed, "a run that is stopped is told to end, and killed in the end".to_owned());
        }
        base.left_behind(left)
    }

    fn streams(&mut self, mut base: Command) -> Command {
        let output = |reader: &mut Self, key: &str, usual: Output| {
            let Some(entry) = reader.last(key) else { return usual };
            let value = reader.expand(&entry.value);
            match value.split_once(':') {
                Some(("append", path)) => Output::Append(path.into()),
                Some(("truncate", path)) => Output::Replace(path.into()),
                Some(("file", path)) => {
                    let text = "the file is emptied first, where systemd writes over its beginning".to_owned();
                    reader.notes.at(entry, NoteKind::Changed, text);
                    Output::Replace(path.into())
                }
                _ if value == "null" => Output::Nowhere,
                _ if value == "inherit" => usual,
                _ if matches!(value.as_str(), "journal" | "syslog" | "kmsg") => Output::Captured,
                _ => {
                    reader.notes.at(entry, NoteKind::NotCarried, format!("`{value}`: its output is captured"));
                    Output::Captured
                }
            }
        };
        let stdout = output(self, "StandardOutput", Output::Captured);
        let stderr = output(self, "StandardError", stdout.clone());
        base = base.stdout(stdout).stderr(stderr);
        let text = self.list("StandardInputText");
        let text: Vec<String> = text.into_iter().map(|entry| entry.value.clone()).collect();
        let Some(entry) = self.last("StandardInput") else {
            return if text.is_empty() { base } else { base.stdin(Input::Bytes((text.join("\n") + "\n").into_bytes())) };
        };
        match entry.value.split_once(':') {
            Some(("file", path)) => {
                let path = self.expand(path);
                base.stdin(Input::File(path.into()))
            }
            None if entry.value == "null" => base,
            None if entry.value == "data" => base.stdin(Input::Bytes((text.join("\n") + "\n").into_bytes())),
            _ => {
                self.notes.at(entry, NoteKind::NotCarried, format!("`{}`: it reads nothing", entry.value));
                base
            }
        }
    }

    /// The environment, as far as files tell.
    fn variables(&mut self, user: Option<&str>) -> Variables {
        let mut variables = Variables::default();
        variables.set("PATH", USUAL_PATH.to_owned());
        if let Some(user) = user {
            variables.set("USER", user.to_owned());
            variables.set("LOGNAME", user.to_owned());
            match self.units.home(user) {
                // What says nothing is not set: no home but the root, and a shell that lets nobody in.
                Some((home, shell)) => {
                    if home.starts_with('/') && !home.trim_matches('/').is_empty() {
                        variables.set("HOME", home);
                    }
                    if shell.starts_with('/') && !NO_SHELLS.contains(&shell.as_str()) {
                        variables.set("SHELL", shell);
                    }
                }
                None => {
                    if let Some(entry) = self.last("User") {
                        let text = format!("nothing is known of the user {user} here: HOME and SHELL are not set");
                        self.notes.at(entry, NoteKind::NotCarried, text);
                    }
                }
            }
        }
        for entry in self.list("Environment") {
            match exec::words(&entry.value) {
                Ok(words) => {
                    for word in words {
                        let word = self.expand(&word);
                        match word.split_once('=') {
                            Some((name, value)) => variables.set(name, value.to_owned()),
                            None => {
                                self.notes.at(entry, NoteKind::NotCarried, format!("`{word}` sets no variable; write NAME=value"))
                            }
                        }
                    }
                }
                Err(reason) => self.notes.at(entry, NoteKind::NotCarried, reason.to_owned()),
            }
        }
        for entry in self.list("EnvironmentFile") {
            let name = self.expand(&entry.value);
            let path = name.strip_prefix('-').unwrap_or(&name);
            match self.units.host_file(path) {
                Some(text) => {
                    variables.read(&text);
                    let text = format!("{path} was read once, for all runs: what changes in it is not seen");
                    self.notes.at(entry, NoteKind::Changed, text);
                }
                None => {
                    let text = format!("{path} was not read: the variables in it are not set");
                    self.notes.at(entry, NoteKind::NotCarried, text);
                }
            }
        }
        variables
    }

    /// What must hold before each step, for a shell.
    fn conditions(&mut self, timer: &'a Unit) -> Conditions {
        let mut found = Conditions::default();
        // An empty one takes back all.
        let standing = |unit: &'a Unit| {
            let entries: Vec<&Entry> = unit.section("Unit").filter(|entry| is_condition(entry)).collect();
            let start = entries.iter().rposition(|entry| entry.value.is_empty()).map_or(0, |place| place + 1);
            entries.into_iter().skip(start)
        };
        let of_timer = standing(timer).map(|entry| (entry, true));
        for (entry, is_timers) in of_timer.chain(standing(self.unit).map(|entry| (entry, false))) {
            let value = self.expand(&entry.value);
            let (is_any, value) = value.strip_prefix('|').map_or((false, value.as_str()), |value| (true, value.trim_start()));
            let (is_not, value) = value.strip_prefix('!').map_or((false, value), |value| (true, value.trim_start()));
            let (kind, is_assert) = match entry.key.strip_prefix("Condition") {
                Some(kind) => (kind, false),
                None => (entry.key.strip_prefix("Assert").unwrap_or_default(), true),
            };
            let Some(test) = test(kind, value) else {
                let text = format!("{}= is not looked at: the job runs in any case", entry.key);
                self.notes.at(entry, NoteKind::NotCarried, text);
                continue;
            };
            if is_timers {
                let text = format!("{}= of the timer is looked at before each run, not once", entry.key);
                self.notes.at(entry, NoteKind::Changed, text);
            }
            let test = if is_not { format!("! {test}") } else { test };
            let tests = match (is_assert, is_any) {
                (true, _) => &mut found.asserted,
                (false, true) => &mut found.any,
                (false, false) => &mut found.all,
            };
            if !tests.contains(&test) {
                tests.push(test);
            }
        }
        found
    }

    fn step(&mut self, shared: &Shared, line: &Line, key: &str, entry: &Entry) -> Option<Command> {
        let program = self.expand(&line.program);
        let args: Vec<String> = line.args.iter().map(|arg| self.expand(arg)).collect();
        let args = if line.is_literal { Some(args) } else { shared.variables.expand(&args) };
        let Some(args) = args else {
            let text = format!("{key}=: its words come to more than a process may be given");
            self.notes.at(entry, NoteKind::Refused, text);
            return None;
        };
        if line.named {
            self.notes.at(entry, NoteKind::NotCarried, "the program finds its own name, not the one after `@`".to_owned());
        }
        let mut step = shared.base.clone();
        match &shared.script {
            None => {
                step.program = program.into();
                step = step.args(args);
            }
            Some(script) => {
                step.program = "/bin/sh".into();
                step = step.arg("-c").arg(script).arg(program).args(args);
            }
        }
        if !line.is_privileged && (key == "ExecStart" || !shared.starts_only) {
            step.user = shared.user.clone();
            step.group = shared.group.clone();
        }
        if key == "ExecStart" {
            step = step.succeeds_with(shared.codes.iter().copied());
        }
        Some(if line.may_fail { step.may_fail() } else { step })
    }

    fn successes(&mut self) -> BTreeSet<i32> {
        let mut codes = BTreeSet::from([0]);
        for entry in self.list("SuccessExitStatus") {
            let mut rest = Vec::new();
            for word in entry.value.split_ascii_whitespace() {
                match word.parse::<u8>().map(i32::from).ok().or_else(|| exit_status(word)) {
                    Some(code) => drop(codes.insert(code)),
                    None => rest.push(word),
                }
            }
            if !rest.is_empty() {
                let text = format!("{}: a run that ends by a signal has failed", rest.join(" "));
                self.notes.at(entry, NoteKind::NotCarried, text);
            }
        }
        codes
    }
}

/// What the steps of a service have in common.
struct Shared {
    base: Command,
    /// What looks at the conditions, and becomes the step.
    script: Option<String>,
    variables: Variables,
    user: Option<String>,
    group: Option<String>,
    /// Whether only `ExecStart=` runs as that user.
    starts_only: bool,
    codes: BTreeSet<i32>,
}

/// Exit codes by name, after sysexits(3).
fn exit_status(name: &str) -> Option<i32> {
    const FROM_64: [&str; 15] = [
        "USAGE",
        "DATAERR",
        "NOINPUT",
        "NOUSER",
        "NOHOST",
        "UNAVAILABLE",
        "SOFTWARE",
        "OSERR",
        "OSFILE",
        "CANTCREAT",
        "IOERR",
        "TEMPFAIL",
        "PROTOCOL",
        "NOPERM",
        "CONFIG",
    ];
    FROM_64.iter().position(|known| *known == name).map(|place| 64 + place as i32)
}

fn is_condition(entry: &Entry) -> bool {
    entry.key.starts_with("Condition") || entry.key.starts_with("Assert")
}

/// Tests for a shell.
#[derive(Default)]
struct Conditions {
    /// All of them must hold, or the run is passed over.
    all: Vec<String>,
    /// One of them must.
    any: Vec<String>,
    /// All of them must hold, or the run fails.
    asserted: Vec<String>,
}

impl Conditions {
    /// A script that becomes its arguments if the conditions hold.
    fn script(&self) -> Option<String> {
        if self.all.is_empty() && self.any.is_empty() && self.asserted.is_empty() {
            return None;
        }
        let mut tests = self.all.clone();
        if !self.any.is_empty() {
            tests.push(format!("{{ {}; }}", self.any.join(" || ")));
        }
        let mut script = String::new();
        if !tests.is_empty() {
            script.push_str(&format!("{{ {}; }} || exit 0; ", tests.join(" && ")));
        }
        if !self.asserted.is_empty() {
            script.push_str(&format!("{{ {}; }} || exit 1; ", self.asserted.join(" && ")));
        }
        Some(script + "exec \"$0\" \"$@\"")
    }
}

/// A condition on a path as a shell tests it; `None` if it can't.
fn test(kind: &str, path: &str) -> Option<String> {
    let quoted = format!("'{}'", path.replace('\'', "'\\''"));
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+*?[]".contains(&byte);
    match kind {
        "PathExists" => Some(format!("test -e {quoted}")),
        "PathIsDirectory" => Some(format!("test -d {quoted}")),
        "PathIsSymbolicLink" => Some(format!("test -L {quoted}")),
        "PathIsReadWrite" => Some(format!("test -w {quoted}")),
        "FileNotEmpty" => Some(format!("{{ test -f {quoted} && test -s {quoted}; }}")),
        "FileIsExecutable" => Some(format!("{{ test -f {quoted} && test -x {quoted}; }}")),
        "DirectoryNotEmpty" => Some(format!("test -n \"$(ls -A {quoted} 2>/dev/null)\"")),
        "PathExistsGlob" if path.starts_with('/') && path.bytes().all(is_safe) => Some(format!("ls -d {path} >/dev/null 2>&1")),
        _ => None,
    }
}
