//! What differs from system to system: groups of processes, users, signals.
//!
//! On unix a process has a group of its own, which is told to end and is killed as one. Elsewhere there is the process alone:
//! it is killed at once, and what asks for more is refused.

#[cfg(not(unix))]
pub(super) use other::*;
#[cfg(unix)]
pub(super) use unix::*;

/// How much is read at once.
pub(super) const CHUNK: usize = 16 * 1024;

#[cfg(unix)]
mod unix {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::path::Path;
    use std::process::{Command as Std, ExitStatus};

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::{Gid, Group as GroupEntry, Pid, Uid, User, read};
    use tokio::process::Child;

    use super::super::{Command, CommandError};
    use super::CHUNK;

    /// So much a pipe can hold at most, unless root says otherwise (`/proc/sys/fs/pipe-max-size`).
    const MOST_IN_A_PIPE: usize = 1024 * 1024;

    /// The program and its arguments, in a group of its own, as the user that is asked for.
    pub(in super::super) fn prepared(command: &Command) -> Result<Std, CommandError> {
        let mut prepared = match wrapped(command) {
            Some(script) => {
                let mut shell = Std::new("/bin/sh");
                shell.arg("-c").arg(script).arg("sh").arg(&command.program);
                shell
            }
            None => Std::new(&command.program),
        };
        prepared.args(&command.args).process_group(0);
        let program = || command.program.to_string_lossy().into_owned();
        let not_permitted = |word, given: &str| CommandError::NotPermitted { program: program(), word, given: given.to_owned() };
        let user = command.user.as_deref().map(user_of).transpose()?;
        let group = match (&command.group, user) {
            (Some(group), _) => Some(group_of(group)?),
            (None, Some((_, Some(group)))) => Some(group),
            (None, Some((user, None))) if user != Uid::effective() => {
                return Err(CommandError::NoGroup { given: command.user.clone().unwrap_or_default() });
            }
            (None, _) => None,
        };
        let is_root = Uid::effective().is_root();
        if let Some((user, _)) = user.filter(|(user, _)| *user != Uid::effective()) {
            if !is_root {
                return Err(not_permitted("user", command.user.as_deref().unwrap_or_default()));
            }
            prepared.uid(user.as_raw());
        }
        if let Some(group) = group.filter(|group| *group != Gid::effective()) {
            match &command.group {
                Some(given) if !is_root => return Err(not_permitted("group", given)),
                // The host's own user, which runs with another group than its entry says.
                None if !is_root => {}
                _ => {
                    prepared.gid(group.as_raw());
                }
            }
        }
        Ok(prepared)
    }

    /// What a shell does before it becomes the program. A child of one's own could do it before `exec` only in unsafe code.
    fn wrapped(command: &Command) -> Option<String> {
        let umask = command.umask.map(|mask| format!("umask {:04o}; ", mask & 0o777));
        // nice(1) counts from where it is, and says where that is.
        let nice = command.nice.map(|nice| format!("nice -n $(({} - $(nice))) ", nice.clamp(-20, 19)));
        let any = umask.is_some() || nice.is_some();
        any.then(|| format!("{}exec {}\"$@\"", umask.unwrap_or_default(), nice.unwrap_or_default()))
    }

    /// A user, and its group if it has an entry.
    fn user_of(given: &str) -> Result<(Uid, Option<Gid>), CommandError> {
        let unknown = || CommandError::UnknownUser { given: given.to_owned() };
        let entry = User::from_name(given).map_err(|_| unknown())?;
        if let Some(entry) = entry {
            return Ok((entry.uid, Some(entry.gid)));
        }
        let number = given.parse().map(Uid::from_raw).map_err(|_| unknown())?;
        let entry = User::from_uid(number).map_err(|_| unknown())?;
        Ok((number, entry.map(|entry| entry.gid)))
    }

    fn group_of(given: &str) -> Result<Gid, CommandError> {
        let unknown = || CommandError::UnknownGroup { given: given.to_owned() };
        match GroupEntry::from_name(given).map_err(|_| unknown())? {
            Some(entry) => Ok(entry.gid),
            None => given.parse().map(Gid::from_raw).map_err(|_| unknown()),
        }
    }

    /// A file to read.
    pub(in super::super) fn to_read(path: &Path) -> io::Result<File> {
        opened(OpenOptions::new().read(true), path)
    }

    /// A file to write to the end of.
    pub(in super::super) fn to_append(path: &Path) -> io::Result<File> {
        opened(OpenOptions::new().append(true).create(true), path)
    }

    /// A file to write from its beginning.
    pub(in super::super) fn to_replace(path: &Path) -> io::Result<File> {
        opened(OpenOptions::new().write(true).create(true).truncate(true), path)
    }

    /// A named pipe that nobody has at its other end would be waited for.
    fn opened(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
        fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
        Ok(file)
    }

    /// A process and what it started, as far as that stayed in its group.
    pub(in super::super) struct Group(Option<Pid>);

    impl Group {
        /// The group that a process is the first of, which has not been waited for.
        pub(in super::super) fn of(process: &Child) -> Self {
            // 0 and 1 would mean the host's own group, and all there is.
            let process = process.id().and_then(|id| i32::try_from(id).ok()).filter(|id| *id > 1);
            Group(process.map(Pid::from_raw))
        }

        /// Tells them to end. Those that were stopped go on, or they would not hear it.
        pub(in super::super) fn tell_to_end(&self, _: &mut Child) {
            self.signal(Signal::SIGTERM);
            self.signal(Signal::SIGCONT);
        }

        pub(in super::super) fn kill(&self, _: &mut Child) {
            self.signal(Signal::SIGKILL);
        }

        /// A group that is gone is not told, and one that may not be told is left.
        fn signal(&self, signal: Signal) {
            if let Some(group) = self.0 {
                let _ = killpg(group, signal);
            }
        }

        /// Whether one of them is left that has not ended. To be asked until it says no, and not after that: the number may be
        /// another group's then.
        pub(in super::super) fn is_there(&self) -> bool {
            self.0.is_some_and(|group| killpg(group, None) != Err(Errno::ESRCH) && !only_zombies(group))
        }
    }

    /// Whether all of a group have ended, and only wait for a parent that takes its time.
    #[cfg(target_os = "linux")]
    fn only_zombies(group: Pid) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else { return false };
        let alive = |stat: &str| {
            // pid (name) state parent group ..; the name may hold anything, also parentheses.
            let mut words = stat.rsplit_once(')')?.1.split_whitespace();
            let (state, of) = (words.next()?, words.nth(1)?);
            Some(of.parse() == Ok(group.as_raw()) && !matches!(state, "Z" | "X" | "x"))
        };
        let numbered =
            processes.flatten().filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit));
        let mut stats = numbered.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        !stats.any(|stat| alive(&stat).unwrap_or(false))
    }

    #[cfg(not(target_os = "linux"))]
    fn only_zombies(_: Pid) -> bool {
        false
    }

    /// Takes what is in a pipe whose process has ended, and waits for no more: others may have it open.
    ///
    /// By the pipe itself, not by what the runtime knows of it, which may be late.
    pub(in super::super) async fn rest(pipe: Option<impl AsFd>, mut take: impl FnMut(&[u8])) {
        let Some(pipe) = pipe else { return };
        let mut room = [0; CHUNK];
        let mut left = MOST_IN_A_PIPE;
        while left > 0 {
            match read(&pipe, &mut room) {
                Err(Errno::EINTR) => {}
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    take(&room[..n]);
                    left = left.saturating_sub(n);
                }
            }
        }
    }

    /// How a process ended.
    pub(in super::super) fn told(status: ExitStatus) -> String {
        let Some(number) = status.signal() else {
            return format!("exit code {}", status.code().unwrap_or_default());
        };
        let name = Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_owned());
        if status.core_dumped() { format!("{name} (core dumped)") } else { name }
    }
}

#[cfg(not(unix))]
mod other {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;
    use std::process::{Command as Std, ExitStatus};
    use std::time::Duration;

    use tokio::io::{AsyncRead, AsyncReadExt};
    use tokio::process::Child;

    use super::super::{Command, CommandError};
    use super::CHUNK;

    /// So long what is in a pipe may take to be read.
    const PATIENCE: Duration = Duration::from_millis(200);

    pub(in super::super) fn prepared(command: &Command) -> Result<Std, CommandError> {
        let asked = [
            (command.user.is_some(), "user"),
            (command.group.is_some(), "group"),
            (command.umask.is_some(), "umask"),
            (command.nice.is_some(), "nice"),
        ];
        if let Some((_, word)) = asked.into_iter().find(|(is_asked, _)| *is_asked) {
            return Err(CommandError::Unsupported { program: command.program.to_string_lossy().into_owned(), word });
        }
        let mut prepared = Std::new(&command.program);
        prepared.args(&command.args);
        Ok(prepared)
    }

    pub(in super::super) fn to_read(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(in super::super) fn to_append(path: &Path) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).open(path)
    }

    pub(in super::super) fn to_replace(path: &Path) -> io::Result<File> {
        File::create(path)
    }

    /// The process alone, which cannot be told.
    pub(in super::super) struct Group;

    impl Group {
        pub(in super::super) fn of(_: &Child) -> Self {
            Group
        }

        pub(in super::super) fn tell_to_end(&self, process: &mut Child) {
            self.kill(process);
        }

        /// One that has ended already is not killed.
        pub(in super::super) fn kill(&self, process: &mut Child) {
            let _ = process.start_kill();
        }

        pub(in super::super) fn is_there(&self) -> bool {
            false
        }
    }

    pub(in super::super) async fn rest(pipe: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
        let Some(mut pipe) = pipe else { return };
        let mut room = [0; CHUNK];
        while let Ok(Ok(n @ 1..)) = tokio::time::timeout(PATIENCE, pipe.read(&mut room)).await {
            take(&room[..n]);
        }
    }

    pub(in super::super) fn told(status: ExitStatus) -> String {
        status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
    }
}
