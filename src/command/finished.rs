//! What is left of a command when it has ended: its status, what it wrote, and what went wrong.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::system;

/// The longest line of a command's own in an error, in characters.
const LONGEST_LINE: usize = 200;

/// A command that has ended, or several of one run: see [`When::do_command`](crate::When::do_command).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// How the last one ended; with exit code 0 if none was started, since what it is for was there
    /// ([`unless_done`](crate::When::unless_done)).
    pub status: ExitStatus,
    /// What was kept of its captured output: all of it, or the beginning and the end.
    pub stdout: Vec<u8>,
    /// The same of its troubles.
    pub stderr: Vec<u8>,
    /// How many bytes were left out of the middle of `stdout`.
    pub stdout_left_out: u64,
    /// The same of `stderr`.
    pub stderr_left_out: u64,
    /// Where in each they were.
    gaps: [usize; 2],
}

impl Finished {
    pub(super) fn new(status: ExitStatus, stdout: Captured, stderr: Captured) -> Self {
        let gaps = [stdout.head.len(), stderr.head.len()];
        let (stdout_left_out, stderr_left_out) = (stdout.left_out, stderr.left_out);
        Finished { status, stdout: stdout.into_bytes(), stderr: stderr.into_bytes(), stdout_left_out, stderr_left_out, gaps }
    }

    /// Of a run that started no command, since what it is for was there.
    pub(super) fn without_a_command() -> Self {
        let (stdout, stderr) = (Vec::new(), Vec::new());
        Finished { status: ExitStatus::default(), stdout, stderr, stdout_left_out: 0, stderr_left_out: 0, gaps: [0, 0] }
    }

    /// `stdout` as text. Bytes that are none become U+FFFD; where something was left out a line says so.
    pub fn stdout_text(&self) -> Cow<'_, str> {
        text(&self.stdout, self.gaps[0], self.stdout_left_out)
    }

    /// `stderr` as text, likewise.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        text(&self.stderr, self.gaps[1], self.stderr_left_out)
    }

    /// The last line with something on it that it wrote of its troubles, after a colon.
    fn complaint(&self) -> String {
        let end = String::from_utf8_lossy(&self.stderr);
        let Some(line) = end.lines().map(str::trim).rfind(|line| !line.is_empty()) else { return String::new() };
        let line: String =
            line.chars().take(LONGEST_LINE).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect();
        format!(": {line}")
    }
}

fn text(bytes: &[u8], gap: usize, left_out: u64) -> Cow<'_, str> {
    if left_out == 0 {
        return String::from_utf8_lossy(bytes);
    }
    let (head, tail) = bytes.split_at_checked(gap).unwrap_or((bytes, &[]));
    let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
    Cow::Owned(format!("{head}\n[{left_out} bytes left out]\n{tail}"))
}

/// How it ended: `exit code 3`, `SIGKILL`.
impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&system::told(self.status))
    }
}

/// Why a command's run failed: what [`JobHandle::last_error`](crate::JobHandle::last_error) and
/// [`FailureKind::Error`](crate::FailureKind::Error) hold for a job of [`do_command`](crate::When::do_command).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum CommandError {
    /// It has ended, and not in success.
    #[error("{command} ended with {finished}{}", .finished.complaint())]
    Failed { command: String, finished: Box<Finished> },
    /// It was told to stop, and has ended.
    #[error("{command} was told to stop, and ended with {finished}{}", .finished.complaint())]
    Stopped { command: String, finished: Box<Finished> },
    #[error("{program} could not be started: {error}")]
    NotStarted { program: String, error: io::Error },
    #[error("{program} cannot run in {}: {error}", .dir.display())]
    Directory { program: String, dir: PathBuf, error: io::Error },
    #[error("{program} cannot have {} as its {stream}: {error}", .path.display())]
    File { program: String, stream: &'static str, path: PathBuf, error: io::Error },
    #[error("user {given:?} is not known here; write the name, or the number, of a user of this system")]
    UnknownUser { given: String },
    #[error("group {given:?} is not known here; write the name, or the number, of a group of this system")]
    UnknownGroup { given: String },
    #[error("user {given:?} is a number without an entry, so without a group; name one too, by group(..)")]
    NoGroup { given: String },
    #[error("{program} cannot run as {word} {given:?}: only root may do that; leave {word}(..) out, or let root run the host")]
    NotPermitted { program: String, word: &'static str, given: String },
    #[error("{program}: this system has no {word}; leave {word}(..) out")]
    Unsupported { program: String, word: &'static str },
    /// Somebody else in this program waited for it.
    #[error("{command} has ended, and how is not known: {error}; let the host not wait for processes that are not its own")]
    StatusUnknown { command: String, error: io::Error },
}

/// What is kept of a stream: its beginning and its end.
#[derive(Debug)]
pub(super) struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    most: usize,
    left_out: u64,
}

impl Captured {
    pub(super) fn most(most: usize) -> Self {
        Captured { head: Vec::new(), tail: VecDeque::new(), most, left_out: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let most_tail = self.most / 2;
        let room = (self.most - most_tail - self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        // Of what comes at once only the end can stay.
        let last = &rest[rest.len().saturating_sub(most_tail)..];
        let gone = (self.tail.len() + last.len()).saturating_sub(most_tail);
        self.tail.drain(..gone);
        self.tail.extend(last);
        self.left_out = self.left_out.saturating_add((rest.len() - last.len() + gone) as u64);
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.head;
        let (one, two) = self.tail.as_slices();
        bytes.extend_from_slice(one);
        bytes.extend_from_slice(two);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against what it is too simple to be wrong for: all bytes in a row, cut at the end.
    #[test]
    fn the_beginning_and_the_end_are_kept_to_the_byte() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let most = rng.usize(..40);
            let (mut captured, mut all) = (Captured::most(most), Vec::new());
            for _ in 0..rng.usize(..12) {
                let bytes: Vec<u8> = (0..rng.usize(..25)).map(|_| rng.u8(..)).collect();
                captured.push(&bytes);
                all.extend(bytes);
            }
            let (tail, head) = (most / 2, most - most / 2);
            let kept = if all.len() <= most { all.clone() } else { [&all[..head], &all[all.len() - tail..]].concat() };
            assert_eq!(captured.left_out as usize, all.len() - kept.len(), "of {} bytes, {most} kept", all.len());
            assert_eq!(captured.into_bytes(), kept, "of {} bytes, {most} kept", all.len());
        }
    }

    #[test]
    fn text_says_what_was_left_out_where_it_was() {
        let rows = [
            (10, "0123456789", "0123456789"),
            (4, "0123456789", "01\n[6 bytes left out]\n89"),
            (3, "0123456789", "01\n[7 bytes left out]\n9"),
            (0, "0123456789", "\n[10 bytes left out]\n"),
        ];
        for (most, given, expected) in rows {
            let mut captured = Captured::most(most);
            captured.push(given.as_bytes());
            let finished = Finished::new(ExitStatus::default(), captured, Captured::most(0));
            assert_eq!(finished.stdout_text(), expected, "{most} of {given}");
        }
    }
}
