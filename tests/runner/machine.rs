//! A machine on which the runner lives again and again: its clock goes on while it is off, and its disk can be full.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// What a life has at most to show something, in real time.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Machine {
    pub disk: Disk,
    pub speed: u32,
    /// The feed's time, while it is off.
    pub now: DateTime<Utc>,
    /// How its wall clock was set.
    pub steps: Vec<(TimeDelta, DateTime<Utc>)>,
}

/// One life of the program.
pub struct Life {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    from: DateTime<Utc>,
    speed: u32,
    started: Instant,
}

impl Machine {
    pub fn file(&self) -> PathBuf {
        self.disk.folder.join("quakes.db")
    }

    /// Starts it, for so long at most.
    pub fn start(&self, runner: &Path, time: TimeDelta) -> Life {
        // By a shell, so that a write beyond a limit on the size of files is an error and no signal.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(runner).arg("--db").arg(self.file());
        command.args(["--durability", "process", "--speed", &self.speed.to_string()]);
        command.args(["--from", &self.now.to_rfc3339(), "--for", &format!("{}s", time.num_seconds())]);
        for (by, at) in &self.steps {
            command.arg("--set-clock").arg(format!("{}s@{}", by.num_seconds(), at.to_rfc3339()));
        }
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a shell");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Life { child, lines, log: Vec::new(), from: self.now, speed: self.speed, started }
    }
}

impl Life {
    /// When its clock shows this, or a little earlier.
    pub fn instant(&self, at: DateTime<Utc>) -> Instant {
        self.started + (at - self.from).to_std().unwrap_or_default() / self.speed
    }

    /// Reads on until then, or until it has ended.
    pub fn read_until(&mut self, end: Instant) {
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.log.push(line);
        }
    }

    /// Reads on until a line has this in it.
    pub fn read_to(&mut self, text: &str) {
        self.read_to_line(text, |line| line.contains(text));
    }

    /// Reads on until it says that its wall clock was set by this. By a clock that runs so fast it may also say so of a moment
    /// between two looks.
    pub fn read_to_step(&mut self, by: TimeDelta) {
        let is_about = |seconds: f64| (seconds - by.abs().num_seconds() as f64).abs() < 60.0;
        self.read_to_line("its clock was set", |line| {
            let by = line.split_once("the wall clock was set").and_then(|(_, by)| by.strip_suffix('s')?.rsplit(' ').next());
            by.and_then(|by| by.parse().ok()).is_some_and(is_about)
        });
    }

    fn read_to_line(&mut self, text: &str, is_it: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.log.push(line),
                Err(error @ (RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) => {
                    panic!("{error} before {text:?}:\n{}", self.log.join("\n"))
                }
            }
            if self.log.last().is_some_and(|line| is_it(line)) {
                return;
            }
        }
    }

    /// Ends it by `kill -9`. Gives what it said, and a time of the feed that it did not live to see: the machine is on again
    /// then.
    pub fn kill(mut self) -> (Vec<String>, DateTime<Utc>) {
        self.child.kill().expect("it can be killed");
        let status = self.child.wait().expect("it has ended");
        assert!(!status.success(), "it ended before it was killed:\n{}", self.log.join("\n"));
        self.end()
    }

    /// Lets it come to its end.
    pub fn finish(mut self) -> (Vec<String>, DateTime<Utc>) {
        let end = Instant::now() + 2 * PATIENCE;
        self.read_until(end);
        let status = self.child.wait().expect("it has ended");
        assert!(status.success(), "it ended badly:\n{}", self.log.join("\n"));
        self.end()
    }

    fn end(mut self) -> (Vec<String>, DateTime<Utc>) {
        let lived = TimeDelta::from_std(self.started.elapsed() * self.speed).expect("not that long");
        self.log.extend(self.lines.iter());
        (self.log, self.from + lived)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// A folder: a small file system of its own in memory where one may be mounted.
pub struct Disk {
    folder: PathBuf,
    is_small: bool,
}

impl Disk {
    pub fn new(name: &str) -> Disk {
        let folder = std::env::temp_dir().join(format!("punctual-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(&folder).output();
        Disk { folder, is_small: mounted.is_ok_and(|output| output.status.success()) }
    }

    /// Leaves no room: on the disk, or where it is the machine's, to a process for larger files. Says whether it could.
    pub fn fill(&self, process: u32) -> bool {
        if !self.is_small {
            let largest = std::fs::read_dir(&self.folder).expect("a folder").flatten();
            let largest = largest.filter_map(|file| Some(file.metadata().ok()?.len())).max();
            return limit(process, &(largest.unwrap_or_default() + 4096).to_string());
        }
        let mut ballast = std::fs::File::create(self.folder.join("ballast")).expect("a file");
        while ballast.write_all(&[7; 4096]).is_ok() {}
        true
    }

    pub fn make_room(&self, process: u32) {
        if self.is_small {
            std::fs::remove_file(self.folder.join("ballast")).expect("it was full");
        } else {
            assert!(limit(process, "unlimited"));
        }
    }
}

fn limit(process: u32, size: &str) -> bool {
    let limited = Command::new("prlimit").args(["--pid", &process.to_string(), &format!("--fsize={size}:unlimited")]).status();
    limited.is_ok_and(|status| status.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_small {
            let _ = Command::new("umount").arg(&self.folder).status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
