//! A command as a person reads it: one line, as one would type it into a shell.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use super::{Command, Input, Output};

/// The line that does about the same in a shell: for lists and logs, not for running it.
///
/// ```
/// use punctual::{Command, Output};
///
/// let backup = Command::new("rsync").arg("my files").env("LC_ALL", "C").stdout(Output::Append("backup.log".into()));
/// assert_eq!(backup.to_string(), "LC_ALL=C rsync 'my files' >> backup.log");
/// assert_eq!(Command::shell("fetch | gzip").to_string(), "fetch | gzip");
/// ```
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut command = Some(self);
        while let Some(step) = command {
            step.show(f)?;
            command = step.next.as_deref();
            if command.is_some() {
                f.write_str(if step.failure_counts { " && " } else { "; " })?;
            }
        }
        Ok(())
    }
}

impl Command {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dir) = &self.dir {
            write!(f, "cd {} && ", quoted(dir.as_os_str()))?;
        }
        if let Some(mask) = self.umask {
            write!(f, "umask {mask:03o} && ")?;
        }
        if self.bare_env {
            f.write_str("env -i ")?;
        } else if self.env.iter().any(|(name, _)| !is_name(&name.to_string_lossy())) {
            // A shell takes no such name, and env(1) does.
            f.write_str("env ")?;
        }
        for (name, value) in &self.env {
            let shown = name.to_string_lossy();
            match value {
                Some(value) if is_name(&shown) => write!(f, "{shown}={} ", quoted(value))?,
                Some(value) => write!(f, "{} ", quoted(OsStr::new(&format!("{shown}={}", value.to_string_lossy()))))?,
                None => write!(f, "env -u {} ", quoted(name))?,
            }
        }
        if let Some(nice) = self.nice {
            write!(f, "nice -n {nice} ")?;
        }
        match self.args.get(1).filter(|_| self.is_shell) {
            Some(line) => write!(f, "{}", line.to_string_lossy())?,
            None => {
                f.write_str(&program(&self.program))?;
                self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))?;
            }
        }
        match &self.stdin {
            Input::Nothing => {}
            Input::Bytes(bytes) => write!(f, " <<< {}", quoted(OsStr::new(&*String::from_utf8_lossy(bytes))))?,
            Input::File(path) => write!(f, " < {}", file(path))?,
        }
        for (stream, output) in [("", &self.stdout), ("2", &self.stderr)] {
            match output {
                Output::Captured | Output::Inherited => {}
                Output::Append(path) => write!(f, " {stream}>> {}", file(path))?,
                Output::Replace(path) => write!(f, " {stream}> {}", file(path))?,
                Output::Nowhere => write!(f, " {stream}> /dev/null")?,
            }
        }
        if let Some(user) = &self.user {
            write!(f, " (as {user})")?;
        }
        Ok(())
    }
}

fn file(path: &Path) -> String {
    quoted(path.as_os_str())
}

/// As one word of a shell's.
fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into_owned() } else { in_quotes(&text) }
}

fn in_quotes(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The same where a command begins: there a shell has words of its own, and takes `A=B` for a variable.
fn program(text: &OsStr) -> String {
    const RESERVED: [&str; 13] =
        ["case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "then", "until", "while"];
    let shown = text.to_string_lossy();
    if shown.contains('=') || RESERVED.contains(&&*shown) { in_quotes(&shown) } else { quoted(text) }
}

/// Whether a shell takes it for the name of a variable.
fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(is_first) && text.chars().all(|c| is_first(c) || c.is_ascii_digit())
}
