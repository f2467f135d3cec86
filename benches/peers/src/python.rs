//! Schedulers written in Python, asked line by line, so that they take their rounds in turn with the rest.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::cases::Options;
use crate::measure::{Contender, Sample};

const PEERS: [(&str, &str); 2] = [("schedule", "Python's schedule"), ("apscheduler", "APScheduler")];

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/costs.py");

/// Those that the Python has, if there is one.
pub fn contenders(options: &Options, what: &str, jobs: usize) -> Vec<Contender> {
    let Some(python) = &options.python else { return Vec::new() };
    let contender = |(module, name): (&str, &str)| {
        let mut asked = Asked::start(python, module, what, jobs);
        Contender::peer(name, move || asked.as_mut().map_err(|why| why.clone())?.sample())
    };
    PEERS.into_iter().filter(|(module, _)| has(python, module)).map(contender).collect()
}

fn has(python: &str, module: &str) -> bool {
    let import = format!("import {module}");
    Command::new(python).args(["-c", &import]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A Python that gives a figure for each line.
struct Asked {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Asked {
    fn start(python: &str, module: &str, what: &str, jobs: usize) -> Result<Asked, String> {
        let mut child = Command::new(python)
            .args([SCRIPT, module, what, &jobs.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let answers = BufReader::new(child.stdout.take().ok_or("no output")?);
        let ask = child.stdin.take();
        Ok(Asked { child, ask, answers })
    }

    fn sample(&mut self) -> Sample {
        let mut answer = String::new();
        self.ask.as_mut().ok_or("it has ended")?.write_all(b"go\n").map_err(|error| error.to_string())?;
        self.answers.read_line(&mut answer).map_err(|error| error.to_string())?;
        answer.trim().parse().map_err(|_| format!("said `{}`", answer.trim()))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // It ends with its input.
        self.ask = None;
        let _ = self.child.wait();
    }
}
