//! Commands as jobs (feature `command`): child processes that never hold up the poll.
//!
//! [`Command`] is what is to be run, a plain value. [`When::do_command`](crate::When::do_command) makes it a job: each run
//! starts a process in a group of its own, away from the polling thread, and ends with it. What it gives is [`Finished`], or
//! [`CommandError`].
//!
//! One thread of the library's own, started with the first job of that kind, waits for all processes of all schedulers, reads
//! what they write and tells them to end ([`thread`], [`going`]); what may take its time (users, files, the start of the
//! process itself) is done on a few threads beside it that come and go. That thread sleeps while there is nothing to do, stays
//! until the program ends and does not keep it from ending. A pool's threads would each have waited for one process; a handler
//! of our own for `SIGCHLD` would have met the host's. Only eight start at once: each takes processor time from the polling
//! thread, and a hundred at once would hold it up after all.
//!
//! A run is over when its process is, also one that was told to stop: `shutdown` waits for it, and names it if it does not
//! end. What a process left behind does not hold its run up ([`LeftBehind`]), also if it has the output open: what is there is
//! read, and then nobody does, so that it ends by `SIGPIPE` if it goes on to write.
//!
//! How many run at once: each job holds the named limit `commands`, which lets 100 at once in a scheduler, and those that wait
//! say so ([`Blocked::Limit`](crate::Blocked::Limit)). A process costs memory, a place in the system's table and up to four
//! open files here, of which 1,024 are usual: 1,000 that come due together must not fail for that, or take the machine down.
//! A limit that each job could leave out by naming another (a mutex, say) would not hold, so it is by its own name that it is
//! changed: `.at_most(500, "commands")`, on all of them.

mod finished;
mod going;
mod show;
mod system;
mod thread;

pub use finished::{CommandError, Finished};

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// What is kept of a run's output unless the command says otherwise, in bytes.
const USUAL_OUTPUT: usize = 64 * 1024;

/// How long a process that was told to end has for it, unless the command says otherwise.
const USUAL_GRACE: Duration = Duration::from_secs(10);

/// The longest name in an error, in characters.
const LONGEST_LABEL: usize = 100;

/// A program to run, and what it finds: its arguments, environment, directory, and where its output goes.
///
/// ```
/// use punctual::Command;
///
/// let backup = Command::new("/usr/bin/rsync").args(["-a", "/home", "/backup"]).dir("/").env("LC_ALL", "C");
/// let line = Command::shell("fetch | gzip > today.gz").shell_path("/bin/bash");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a command does nothing until a job runs it"]
pub struct Command {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// Whether the second argument is a line for the shell that `program` is.
    pub(crate) is_shell: bool,
    /// In order; `None` takes a variable away.
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
    /// Whether the process finds only the variables that are named.
    pub(crate) bare_env: bool,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) stdin: Input,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    pub(crate) umask: Option<u32>,
    pub(crate) nice: Option<i32>,
    /// Exit codes that are taken for success.
    pub(crate) succeeds_with: Vec<i32>,
    /// How many bytes are kept of each stream that is captured.
    pub(crate) keeps: usize,
    /// How long it has to end once it was told to, before it is killed.
    pub(crate) grace: Duration,
    pub(crate) left_behind: LeftBehind,
    /// What runs after it, if it succeeds or its failure does not count.
    pub(crate) next: Option<Box<Command>>,
    pub(crate) failure_counts: bool,
}

/// What a process reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Input {
    /// Nothing: the end at once.
    #[default]
    Nothing,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// A file.
    File(PathBuf),
}

/// Where a process writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Output {
    /// It is captured: the beginning and the end of it, up to [`Command::keep_output`].
    #[default]
    Captured,
    /// To the end of a file, which is made if it is not there.
    Append(PathBuf),
    /// Into a file, which is emptied first.
    Replace(PathBuf),
    /// Nowhere.
    Nowhere,
    /// To where the host's own goes.
    Inherited,
}

/// What becomes of processes that a command started and that are still there when it has ended by itself.
///
/// A command that is stopped (its time is up, its job is cancelled, the scheduler is shut down) takes them with it in any case,
/// as far as they stayed in its process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LeftBehind {
    /// They go on, as under cron.
    #[default]
    GoOn,
    /// They are told to end, and then killed, as under launchd and systemd.
    End,
}

impl Command {
    /// A program, found by `PATH` if it is a bare name, and no shell.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            is_shell: false,
            env: Vec::new(),
            bare_env: false,
            dir: None,
            user: None,
            group: None,
            stdin: Input::Nothing,
            stdout: Output::Captured,
            stderr: Output::Captured,
            umask: None,
            nice: None,
            succeeds_with: vec![0],
            keeps: USUAL_OUTPUT,
            grace: USUAL_GRACE,
            left_behind: LeftBehind::GoOn,
            next: None,
            failure_counts: true,
        }
    }

    /// A line for the shell: `/bin/sh -c line`. What [`arg`](Self::arg) adds is `$0`, `$1` and so on there.
    pub fn shell(line: impl AsRef<OsStr>) -> Self {
        Command { is_shell: true, ..Command::new("/bin/sh").arg("-c").arg(line) }
    }

    /// What cron makes of the command of a line in its table (crontab(5)): a line for the shell, and after the first `%` what
    /// it reads, in which every further `%` ends a line. `\\%` is a percent sign.
    ///
    /// ```
    /// use punctual::{Command, Input};
    ///
    /// let mail = Command::crontab_line("mail -s 'It is 10\\%' joe%Joe,%%Where are your kids?");
    /// let same = Command::shell("mail -s 'It is 10%' joe").stdin(Input::Bytes(b"Joe,\n\nWhere are your kids?\n".to_vec()));
    /// assert_eq!(mail, same);
    /// ```
    pub fn crontab_line(line: impl AsRef<str>) -> Self {
        let (line, input) = crontab_parts(line.as_ref());
        let command = Command::shell(line);
        if input.is_empty() { command } else { command.stdin(Input::Bytes(input.into_bytes())) }
    }

    /// Another shell for [`shell`](Self::shell). It says nothing for a command without one.
    pub fn shell_path(mut self, shell: impl AsRef<OsStr>) -> Self {
        if self.is_shell {
            self.program = shell.as_ref().to_owned();
        }
        self
    }

    /// One argument more.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Further arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// A variable of its environment, beside those of the host.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes a variable of the host's away.
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// It finds only the variables that are named, before this or after, and none of the host's.
    pub fn bare_env(mut self) -> Self {
        self.bare_env = true;
        self
    }

    /// Its working directory; without one, the host's.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// The user to run as, by name or number. Only root can run as another user than itself; it then has no groups but that of
    /// the user, or [`group`](Self::group).
    ///
    /// Files for its input and output are opened by the host's own user, as cron, launchd and systemd do.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The group to run as, by name or number; without one, that of the user.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// What it reads.
    pub fn stdin(mut self, input: Input) -> Self {
        self.stdin = input;
        self
    }

    /// Where it writes its results.
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// Where it writes its troubles.
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// The bits that its new files do not get: `0o022`.
    ///
    /// It is a shell that sets this, and [`nice`](Self::nice): a program that is not there fails with its exit code 127 then.
    pub fn umask(mut self, mask: u32) -> Self {
        self.umask = Some(mask);
        self
    }

    /// How far it stands back for others, -20 to 19. Less far than the host only if it runs as root; else that is left as it is,
    /// and nice(1) says so among its troubles.
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = Some(nice);
        self
    }

    /// The exit codes that are taken for success, in place of 0 alone.
    pub fn succeeds_with(mut self, codes: impl IntoIterator<Item = i32>) -> Self {
        self.succeeds_with = codes.into_iter().collect();
        self
    }

    /// How many bytes are kept of each stream that is captured: half from its beginning, half from its end. 64 KiB unless said.
    /// Of several commands in one run, the one that keeps most says it.
    pub fn keep_output(mut self, bytes: usize) -> Self {
        self.keeps = bytes;
        self
    }

    /// How long it has to end once it is told to (`SIGTERM`), before it is killed. 10 seconds unless said, whatever
    /// the scheduler's clock is.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What becomes of processes that it leaves behind.
    pub fn left_behind(mut self, what: LeftBehind) -> Self {
        self.left_behind = what;
        self
    }

    /// A failure of it does not count: the run goes on as if it had succeeded. That it cannot be started is such a
    /// failure too, unless nothing else of the run has been.
    pub fn may_fail(mut self) -> Self {
        self.failure_counts = false;
        self
    }

    /// What runs after it in the same run, once it has succeeded. What they write is joined, and the last one's status is the
    /// run's.
    pub fn then(mut self, next: Command) -> Self {
        let mut last = &mut self.next;
        while let Some(command) = last {
            last = &mut command.next;
        }
        *last = Some(Box::new(next));
        self
    }

    /// This one, and those that run after it, each alone.
    fn into_steps(mut self) -> Vec<Command> {
        let mut steps = Vec::new();
        let mut next = self.next.take();
        steps.push(self);
        while let Some(mut command) = next {
            next = command.next.take();
            steps.push(*command);
        }
        steps
    }

    /// What it is called in errors: the line for the shell, or the program.
    fn label(&self) -> String {
        let line = self.args.get(1).filter(|_| self.is_shell);
        let text = line.unwrap_or(&self.program).to_string_lossy();
        match text.char_indices().nth(LONGEST_LABEL) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text.into_owned(),
        }
    }
}

/// The line for the shell, and what it reads, as the crons that go back to ISC cron 4.1 part them (`child_process` in
/// do_command.c): a backslash goes only before a percent sign, and input that does not end a line gets the end of it.
fn crontab_parts(text: &str) -> (String, String) {
    let (mut line, mut chars, mut is_escaped) = (String::new(), text.chars(), false);
    for char in chars.by_ref() {
        match char {
            '%' if is_escaped => {
                line.pop();
            }
            '%' => break,
            _ => {}
        }
        line.push(char);
        is_escaped = char == '\\' && !is_escaped;
    }
    let (mut input, mut is_escaped) = (String::new(), false);
    for char in chars {
        // Here a backslash before a backslash does not take its force away.
        match char {
            '%' if is_escaped => {
                input.pop();
                input.push('%');
            }
            '%' => input.push('\n'),
            char => input.push(char),
        }
        is_escaped = char == '\\';
    }
    if !input.is_empty() && !input.ends_with('\n') {
        input.push('\n');
    }
    (line, input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_crontab_is_parted_at_percent_signs() {
        let rows = [
            ("", "", ""),
            ("date", "date", ""),
            ("cat%", "cat", ""),
            ("cat%%", "cat", "\n"),
            ("cat%one", "cat", "one\n"),
            ("cat%one%two%", "cat", "one\ntwo\n"),
            ("%only input", "", "only input\n"),
            (r"date +\%H:\%M", "date +%H:%M", ""),
            (r"date +\%H%\%M%\%", "date +%H", "%M\n%\n"),
            (r"printf 'a\n'", r"printf 'a\n'", ""),
            (r"sed 's/\\/x/'", r"sed 's/\\/x/'", ""),
            (r"echo \\%in", r"echo \\", "in\n"),
            (r"echo \\\%in", r"echo \\%in", ""),
            (r"cat%a\b\\c\", r"cat", "a\\b\\\\c\\\n"),
            (r"cat%\\%", r"cat", "\\%\n"),
            ("echo é%ü%", "echo é", "ü\n"),
            ("cat%one\ntwo\n", "cat", "one\ntwo\n"),
        ];
        let failures: Vec<String> = rows
            .iter()
            .filter(|(text, line, input)| crontab_parts(text) != ((*line).to_owned(), (*input).to_owned()))
            .map(|(text, line, input)| format!("{text:?}: {:?}, where it is {line:?} and {input:?}", crontab_parts(text)))
            .collect();
        assert!(failures.is_empty(), "{} rows differ:\n{}", failures.len(), failures.join("\n"));
    }
}
