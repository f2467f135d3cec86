//! Runners that run, are told to read again, and to end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use punctual::{Crontab, HistoryQuery, ManualClock, Scheduler, SqliteStore, Store};

/// Nothing here takes a tenth of it.
const BOUND: Duration = Duration::from_secs(60);

/// A folder of the test's own, gone at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("punctual-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One, or several that do the same.
struct Runner {
    children: Vec<Child>,
    lines: Receiver<String>,
    tell: Option<Sender<String>>,
    seen: Vec<String>,
}

impl Runner {
    fn start(file: &Path, arguments: &[&str]) -> Runner {
        let (tell, lines) = channel();
        let mut runner = Runner { children: Vec::new(), lines, tell: Some(tell), seen: Vec::new() };
        runner.start_another(file, arguments);
        runner
    }

    fn start_another(&mut self, file: &Path, arguments: &[&str]) {
        let mut runner = super::runner();
        let mut child = runner.arg(file).args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (tell, out) = (self.tell.clone().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        // Without what lines them up.
        let squeezed = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        std::thread::spawn(move || out.lines().map_while(Result::ok).map(squeezed).try_for_each(|line| tell.send(line)));
        self.children.push(child);
    }

    /// Waits until each of these was said, in any order, since the last wait.
    fn wait_for(&mut self, parts: &[&str]) {
        let (mut missing, end) = (parts.to_vec(), Instant::now() + BOUND);
        while !missing.is_empty() {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("{error} before {missing:?}; said:\n{}", self.seen.join("\n")));
            if let Some(place) = missing.iter().position(|part| line.contains(part)) {
                missing.remove(place);
            }
            self.seen.push(line);
        }
    }

    fn signal(&self, signal: Signal) {
        self.children.iter().for_each(|child| kill(Pid::from_raw(child.id() as i32), signal).unwrap());
    }

    /// Its exit code, of several the first that is not 0, and all that was said.
    fn end(mut self) -> (Option<i32>, String) {
        self.tell = None;
        let end = Instant::now() + BOUND;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.seen.push(line);
        }
        assert!(Instant::now() < end, "it does not end; said:\n{}", self.seen.join("\n"));
        let codes: Vec<Option<i32>> = self.children.iter_mut().map(|child| child.wait().unwrap().code()).collect();
        (codes.iter().copied().find(|code| *code != Some(0)).unwrap_or(Some(0)), self.seen.join("\n"))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.children.iter_mut().for_each(|child| drop(child.kill()));
    }
}

#[test]
fn lines_run_and_a_signal_ends_it() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let scratch = Scratch::new(signal.as_str());
        let text = "bad line\n@reboot echo hello; echo oh >&2\n@reboot echo lost; exit 7\n@reboot cat%from%the line\n";
        let mut runner = Runner::start(&scratch.write("my.crontab", text), &["--zone", "UTC"]);
        runner.wait_for(&["my.crontab:2 | hello", "my.crontab:2 ! oh", "my.crontab:2 done in "]);
        runner.signal(signal);
        let (code, said) = runner.end();
        assert_eq!(code, Some(0), "{signal}: {said}");
    }
    let scratch = Scratch::new("all");
    let text = "@reboot echo lost; exit 7\n@reboot cat%from%the line\n@reboot kill -9 $$\n";
    let mut runner = Runner::start(&scratch.write("my.crontab", text), &["--zone", "UTC", "-v"]);
    runner.wait_for(&[":1 started", ":1 | lost", ": exit code 7", ":2 | from", ":2 | the line", ":2 done in ", ": SIGKILL"]);
}

#[test]
fn a_command_that_goes_on_has_its_grace_and_is_stopped() {
    let scratch = Scratch::new("grace");
    // It ends by itself, since the end was told: `go` is there.
    let line = format!("@reboot while [ ! -e {} ]; do sleep 0.05; done; echo ended well\n", scratch.path("go").display());
    let file = scratch.write("my.crontab", &line);
    let mut runner = Runner::start(&file, &["-v", "--grace", "1h"]);
    runner.wait_for(&["my.crontab:1 started"]);
    runner.signal(Signal::SIGTERM);
    runner.wait_for(&["ending: nothing starts any more"]);
    scratch.write("go", "");
    let (code, said) = runner.end();
    assert!(code == Some(0) && said.contains("| ended well") && said.ends_with(" crontab ended"), "{code:?} {said}");

    std::fs::remove_file(scratch.path("go")).unwrap();
    for (grace, signals) in [("0s", 1), ("1h", 2)] {
        let mut runner = Runner::start(&file, &["-v", "--grace", grace]);
        runner.wait_for(&["my.crontab:1 started"]);
        runner.signal(Signal::SIGTERM);
        runner.wait_for(&["ending: nothing starts any more"]);
        if signals == 2 {
            runner.signal(Signal::SIGTERM);
        }
        let (code, said) = runner.end();
        assert!(code == Some(4) && said.contains("my.crontab:1 stopped after "), "{grace}: {code:?} {said}");
    }
}

#[test]
fn changed_files_are_taken_while_commands_go_on() {
    let scratch = Scratch::new("reload");
    let long = |name: &str| {
        let go = scratch.path(&format!("go-{name}"));
        format!("@reboot while [ ! -e {} ]; do sleep 0.05; done; echo {name} ended well\n", go.display())
    };
    let (stays, goes) = (long("stays"), long("goes"));
    let file = scratch.write("my.crontab", &format!("{goes}{stays}"));
    let mut runner = Runner::start(&file, &["-v"]);
    runner.wait_for(&[":1 started", ":2 started"]);

    // By the signal, or by the look that was quicker.
    scratch.write("my.crontab", &format!("# another line\n\n{stays}@every_second echo one\n@reboot echo later\n"));
    runner.signal(Signal::SIGHUP);
    runner.wait_for(&["read again: 2 new, 1 gone", ":4 | one"]);
    // Without a signal: a line with another command, and one in another environment.
    scratch.write("my.crontab", &format!("{stays}X=1\n@every_second echo two $X\n"));
    runner.wait_for(&["read again: 1 new, 2 gone", ":3 | two 1"]);
    scratch.write("my.crontab", &format!("{stays}X=23\n@every_second echo two $X\n"));
    runner.wait_for(&["read again: 1 new, 1 gone", ":3 | two 23"]);
    // A file that is gone takes no job away.
    std::fs::remove_file(&file).unwrap();
    runner.wait_for(&["the jobs stay as they are", ":3 | two 23"]);

    scratch.write("go-goes", "");
    scratch.write("go-stays", "");
    runner.wait_for(&["| goes ended well", ":1 done in ", ":1 | stays ended well", ":1 done in "]);
    runner.signal(Signal::SIGTERM);
    let (code, said) = runner.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("later"), "{said}");
    assert!(!said.contains("stopped"), "{said}");
}

#[test]
fn a_store_makes_up_for_what_was_missed() {
    let scratch = Scratch::new("store");
    let file = scratch.write("my.crontab", "0 * * * *  echo made up\n");
    let store = scratch.path("jobs.db");
    // What a runner leaves that ran until the power went, some days ago.
    {
        let clock = ManualClock::new(chrono::Utc::now() - chrono::TimeDelta::days(3));
        let kept = SqliteStore::options().clock(clock.clone()).open(&store).unwrap();
        let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).store(kept).build();
        let import = Crontab::user(std::fs::read(&file).unwrap()).read();
        let name = format!("{}: echo made up", file.display());
        let job = scheduler.schedule(import.jobs[0].schedule.clone()).named(name).do_(|| ()).unwrap();
        while job.stats().runs < 2 {
            clock.advance(Duration::from_secs(600));
            let _ = scheduler.run_pending();
        }
    }
    let arguments = ["--store", store.to_str().unwrap()];
    let mut runner = Runner::start(&file, &arguments);
    runner.wait_for(&["my.crontab:1 makes up for 7", "my.crontab:1 | made up", "my.crontab:1 done in "]);
    runner.signal(Signal::SIGTERM);
    assert_eq!(runner.end().0, Some(0));
}

#[test]
fn of_two_runners_on_one_store_one_runs_each_occurrence() {
    let scratch = Scratch::new("shared");
    let (busy, go) = (scratch.path("busy"), scratch.path("go"));
    let (busy, go) = (busy.display(), go.display());
    let line = format!("mkdir {busy} || echo twice at once; until [ -e {go} ]; do sleep 0.05; done; rmdir {busy}; echo ran");
    let file = scratch.write("my.crontab", &format!("@every_second {line}\n"));
    let store = scratch.path("jobs.db");
    let arguments = ["-v", "--store", store.to_str().unwrap()];
    let mut both = Runner::start(&file, &arguments);
    both.wait_for(&["my.crontab:1 started"]);
    // Its run is not taken for one that was cut off.
    both.start_another(&file, &arguments);
    both.wait_for(&["started, jobs: 1"]);
    scratch.write("go", "");
    both.wait_for(&["| ran"; 5]);
    both.signal(Signal::SIGTERM);
    let (code, said) = both.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("cut off") && !said.contains("twice at once") && !said.contains("took it over"), "{said}");
    let history = SqliteStore::open(&store).unwrap().history(&HistoryQuery::default()).unwrap();
    assert_eq!(said.matches("| ran").count(), history.len(), "each run is on record\n{said}\n{history:#?}");
    let mut due: Vec<_> = history.iter().map(|run| run.due).collect();
    due.sort();
    let is_after = |two: &[_]| two[1] - two[0] >= chrono::TimeDelta::seconds(1);
    assert!(due.windows(2).all(is_after), "each is a second after the end of the one before\n{due:?}");
}

#[test]
fn the_lines_beside_one_that_is_no_text_run() {
    let scratch = Scratch::new("bytes");
    let file = scratch.path("my.crontab");
    std::fs::write(&file, b"# caf\xe9\n@reboot echo caf\xe9\n@reboot echo coffee\n").unwrap();
    let check = super::runner().arg("--check").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(3), "{said}");
    let expected =
        "my.crontab:2:17: refused: the line is not UTF-8 from here on, byte 0xE9; write the file anew in that encoding";
    assert!(said.contains(expected), "{said}");
    let mut runner = Runner::start(&file, &[]);
    runner.wait_for(&["my.crontab:3 | coffee"]);
    runner.signal(Signal::SIGTERM);
    assert_eq!(runner.end().0, Some(0));
}
