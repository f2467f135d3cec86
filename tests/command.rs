//! Commands as jobs: what they find, what is kept of them, how they end, and that nothing of them is left.
//!
//! What is left of processes is read from `/proc`, so on Linux. `soak` lets 200 commands a minute at it, of all that is bad:
//!
//!     PUNCTUAL_SECONDS=600 cargo test --release --test command soak -- --ignored --nocapture
#![cfg(target_os = "linux")]

#[path = "command/kit.rs"]
mod kit;
#[path = "command/soak.rs"]
mod soak;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::{
    Folder, PATIENCE, alive, alone, beside, ended, error_of, nap, now, open_files, pids, processor_time, until, until_ran,
    written, zombies,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use punctual::{
    Backoff, Blocked, Command, CommandError, Error, Event, FailureKind, Input, LeftBehind, ManualClock, Output, Overlap, RunEnd,
    Scheduler,
};

fn is_root() -> bool {
    written(Command::new("id").arg("-u")).trim() == "0"
}

#[test]
fn how_it_ended_is_the_result() {
    let _beside = beside();
    let folder = Folder::new("status");
    std::fs::write(folder.file("no-program"), "#!/bin/sh\n").unwrap();
    let no_program = folder.file("no-program").display().to_string();
    let not_permitted = format!("error: {no_program} could not be started: Permission denied (os error 13)");
    let sh = Command::shell;
    let rows: [(Command, &str); 22] = [
        (sh("true"), "exit code 0"),
        (sh("exit 3"), "error: exit 3 ended with exit code 3"),
        (sh("exit 255"), "error: exit 255 ended with exit code 255"),
        (sh("echo out; exit 1"), "error: echo out; exit 1 ended with exit code 1"),
        (
            sh("echo one >&2; echo ' two ' >&2; echo >&2; exit 1").shell_path("/bin/sh"),
            "error: echo one >&2; echo ' two ' >&2; echo >&2; exit 1 ended with exit code 1: two",
        ),
        (sh("kill -9 $$"), "error: kill -9 $$ ended with SIGKILL"),
        (sh("kill -TERM $$"), "error: kill -TERM $$ ended with SIGTERM"),
        (sh("kill -40 $$"), "error: kill -40 $$ ended with signal 40"),
        (sh("exit 3").succeeds_with([0, 3]), "exit code 3"),
        (sh("exit 0").succeeds_with([3]), "error: exit 0 ended with exit code 0"),
        (sh("exit 3").may_fail(), "exit code 3"),
        (sh("kill -9 $$").may_fail(), "SIGKILL"),
        (sh("no-such-program-here 2>&-"), "error: no-such-program-here 2>&- ended with exit code 127"),
        (
            Command::new("no-such-program-here").env("PATH", "/usr/bin:/bin"),
            "error: no-such-program-here could not be started: No such file or directory (os error 2)",
        ),
        (Command::new("/nowhere/at/all"), "error: /nowhere/at/all could not be started: No such file or directory (os error 2)"),
        (Command::new(""), "error:  could not be started: No such file or directory (os error 2)"),
        (Command::new(&no_program), &not_permitted),
        (Command::new("/"), "error: / could not be started: Permission denied (os error 13)"),
        (Command::new("true").arg("a\0b"), "error: true could not be started: nul byte found in provided data"),
        (Command::new("true").env("A=\0", "b"), "error: true could not be started: nul byte found in provided data"),
        (Command::new("true").dir("/nowhere"), "error: true cannot run in /nowhere: No such file or directory (os error 2)"),
        (Command::new("true").dir("/dev/null"), "error: true cannot run in /dev/null: not a directory"),
    ];
    let failures: Vec<String> = rows
        .into_iter()
        .filter_map(|(command, expected)| {
            let found = match ended(command.clone()) {
                Ok(finished) => finished.to_string(),
                Err(error) => format!("error: {error}"),
            };
            (found != expected).then(|| format!("{command:?}: {found}, where it is {expected}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} rows differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn errors_are_typed() {
    let _beside = beside();
    let error = ended(Command::shell("echo found; exit 7")).unwrap_err();
    let CommandError::Failed { command, finished } = error_of(&*error) else { panic!("{error}") };
    assert_eq!((&**command, finished.status.code(), &*finished.stdout), ("echo found; exit 7", Some(7), &b"found\n"[..]));
    let error = ended(Command::new("/nowhere")).unwrap_err();
    let CommandError::NotStarted { program, error } = error_of(&*error) else { panic!("{error}") };
    assert_eq!((&**program, error.kind()), ("/nowhere", ErrorKind::NotFound));

    // Observers are given the same.
    let scheduler = Scheduler::new();
    let codes = Arc::new(Mutex::new(Vec::new()));
    let seen = codes.clone();
    scheduler.on_error(move |failure| {
        let FailureKind::Error(error) = &failure.kind else { return };
        let CommandError::Failed { finished, .. } = error_of(&**error) else { return };
        seen.lock().push(finished.status.code());
    });
    let job = now(&scheduler, Command::shell("exit 9"));
    until_ran(&scheduler, &job, 1);
    assert_eq!(*codes.lock(), [Some(9)]);
    assert_eq!(job.last_run().map(|run| run.end), Some(RunEnd::Failed));
}

/// What the test below runs, in a process that the system rids of its children.
#[test]
#[ignore = "run by another test"]
fn in_a_host_that_has_no_children() {
    let error = ended(Command::shell("exit 3")).unwrap_err();
    let CommandError::StatusUnknown { command, .. } = error_of(&*error) else { panic!("{error}") };
    assert_eq!(command, "exit 3");
    // They are ended all the same.
    let (scheduler, nap) = (Scheduler::new(), nap());
    let job = now(&scheduler, stubborn(&nap));
    until(&scheduler, "it goes on", || alive(&nap) == 1);
    assert_eq!(scheduler.shutdown(PATIENCE).len(), 0);
    assert_eq!((alive(&nap), job.stats().stopped), (0, 1));
}

#[test]
fn how_it_ended_is_not_known_if_somebody_else_waits_for_it() {
    let _beside = beside();
    // What is ignored is so in the next program too.
    let own = std::env::current_exe().unwrap();
    let child = Command::new("env").arg("--ignore-signal=CHLD").arg(own).args(["--ignored", "--exact"]);
    let output = written(child.arg("in_a_host_that_has_no_children"));
    assert!(output.contains("1 passed"), "{output}");
}

#[test]
fn users_and_groups_are_looked_up_and_asked_for() {
    let _beside = beside();
    let id = || Command::shell("id -u; id -g; id -G");
    let text = |command| ended(command).map(|finished| finished.stdout_text().into_owned()).map_err(|error| error.to_string());
    let own = written(id());
    let mut own = own.lines();
    let (user, group) = (own.next().unwrap().to_owned(), own.next().unwrap().to_owned());
    // What it is already, nobody needs to be allowed.
    assert_eq!(written(id().user(&*user).group(&*group)).lines().take(2).collect::<Vec<_>>(), [&*user, &*group]);
    let unknown = "user \"no such one\" is not known here; write the name, or the number, of a user of this system";
    assert_eq!(text(id().user("no such one")).unwrap_err(), unknown);
    let unknown = "group \"-1\" is not known here; write the name, or the number, of a group of this system";
    assert_eq!(text(id().group("-1")).unwrap_err(), unknown);
    let alone = "user \"4000000000\" is a number without an entry, so without a group; name one too, by group(..)";
    assert_eq!(text(id().user("4000000000")).unwrap_err(), alone);
    if is_root() {
        assert_eq!(text(id().user("65534").group("65534")).as_deref(), Ok("65534\n65534\n65534\n"));
        let nobody = written(id().user("nobody"));
        assert_eq!(nobody.lines().next(), Some("65534"));
        assert_eq!(written(id().group("65534")).lines().take(2).collect::<Vec<_>>(), ["0", "65534"]);
    } else {
        let only_root = |word| {
            format!("/bin/sh cannot run as {word} \"0\": only root may do that; leave {word}(..) out, or let root run the host")
        };
        assert_eq!(text(id().user("0")).unwrap_err(), only_root("user"));
        assert_eq!(text(id().group("0")).unwrap_err(), only_root("group"));
    }
}

#[test]
fn the_beginning_and_the_end_of_what_it_writes_are_kept() {
    let _beside = beside();
    let digits = "printf 0123456789; printf abcdefghij >&2";
    let rows: [(usize, &str, &str, u64); 6] = [
        (20, "0123456789", "abcdefghij", 0),
        (10, "0123456789", "abcdefghij", 0),
        (9, "01234\n[1 bytes left out]\n6789", "abcde\n[1 bytes left out]\nghij", 1),
        (4, "01\n[6 bytes left out]\n89", "ab\n[6 bytes left out]\nij", 6),
        (1, "0\n[9 bytes left out]\n", "a\n[9 bytes left out]\n", 9),
        (0, "\n[10 bytes left out]\n", "\n[10 bytes left out]\n", 10),
    ];
    for (keeps, stdout, stderr, left_out) in rows {
        let finished = ended(Command::shell(digits).keep_output(keeps)).unwrap();
        assert_eq!((&*finished.stdout_text(), &*finished.stderr_text()), (stdout, stderr), "{keeps} bytes");
        assert_eq!((finished.stdout_left_out, finished.stderr_left_out), (left_out, left_out), "{keeps} bytes");
    }
    // More than any pipe holds, so that it is read while the process writes.
    let finished = ended(Command::shell("printf first; head -c 3000000 /dev/zero; printf last").keep_output(20)).unwrap();
    assert_eq!((&*finished.stdout, finished.stdout_left_out), (&b"first\0\0\0\0\0\0\0\0\0\0\0last"[..], 3_000_009 - 20));
    let finished = ended(Command::shell("head -c 200000 /dev/zero")).unwrap();
    assert_eq!((finished.stdout.len(), finished.stdout_left_out), (64 * 1024, 200_000 - 64 * 1024));
    let finished = ended(Command::shell("printf '\\377ok'")).unwrap();
    assert_eq!((&*finished.stdout, &*finished.stdout_text()), (&b"\xffok"[..], "\u{fffd}ok"));
}

#[test]
fn output_goes_to_files() {
    let _beside = beside();
    let folder = Folder::new("files");
    let file = |name: &str| folder.file(name);
    let twice = |command: Command| {
        let scheduler = Scheduler::new();
        let job = now(&scheduler, command);
        until_ran(&scheduler, &job, 1);
        assert!(job.run_now());
        until_ran(&scheduler, &job, 2);
        assert_eq!(job.stats().errors, 0, "{:?}", job.last_error());
        job.last_value().unwrap()
    };
    let both = || Command::shell("echo out; echo err >&2; echo more");
    let finished = twice(both().stdout(Output::Append(file("append"))).stderr(Output::Replace(file("replace"))));
    assert_eq!(folder.read("append"), "out\nmore\nout\nmore\n");
    assert_eq!(folder.read("replace"), "err\n");
    assert_eq!((finished.stdout.len(), finished.stderr.len()), (0, 0));
    twice(both().stdout(Output::Replace(file("one"))).stderr(Output::Replace(file("one"))));
    assert_eq!(folder.read("one"), "out\nerr\nmore\n");
    twice(both().stdout(Output::Append(file("log"))).stderr(Output::Append(file("log"))));
    assert_eq!(folder.read("log"), "out\nerr\nmore\n".repeat(2));
    let steps = both().stdout(Output::Replace(file("steps"))).stderr(Output::Nowhere);
    twice(steps.clone().then(steps));
    assert_eq!(folder.read("steps"), "out\nmore\n".repeat(2));

    let path = folder.file("none/here");
    let error = ended(both().stdout(Output::Append(path.clone()))).unwrap_err().to_string();
    assert_eq!(error, format!("/bin/sh cannot have {} as its stdout: No such file or directory (os error 2)", path.display()));
    let error = ended(both().stdin(Input::File(path.clone()))).unwrap_err().to_string();
    assert_eq!(error, format!("/bin/sh cannot have {} as its stdin: No such file or directory (os error 2)", path.display()));
    // A pipe that nobody reads is not waited for.
    written(Command::new("mkfifo").arg(file("pipe")));
    let error = ended(both().stderr(Output::Append(file("pipe")))).unwrap_err();
    assert!(matches!(error_of(&*error), CommandError::File { stream: "stderr", .. }), "{error}");
    assert_eq!(written(Command::new("cat").stdin(Input::File(file("pipe")))), "");
}

#[test]
fn it_reads_what_it_is_given() {
    let _beside = beside();
    let folder = Folder::new("stdin");
    let cat = || Command::new("cat");
    assert_eq!(written(cat()), "");
    assert_eq!(written(cat().stdin(Input::Bytes(b"one\ntwo".to_vec()))), "one\ntwo");
    assert_eq!(written(cat().stdin(Input::Bytes(Vec::new()))), "");
    // More than a pipe holds, and as much comes back.
    let many = Input::Bytes(vec![b'x'; 2_000_000]);
    let finished = ended(cat().stdin(many.clone()).keep_output(3_000_000)).unwrap();
    assert!(finished.stdout.len() == 2_000_000 && finished.stdout.iter().all(|byte| *byte == b'x'));
    // One that does not read, or not to the end, has not failed for that.
    assert_eq!(written(Command::shell("echo done").stdin(many.clone())), "done\n");
    assert_eq!(written(Command::new("head").args(["-c", "3"]).stdin(many)), "xxx");
    std::fs::write(folder.file("in"), "from a file").unwrap();
    assert_eq!(written(cat().stdin(Input::File(folder.file("in")))), "from a file");
}

#[test]
fn it_finds_what_it_is_told_to() {
    let _beside = beside();
    let folder = Folder::new("finds");
    let here = std::fs::canonicalize(folder.path()).unwrap().display().to_string();
    let env = || Command::new("/usr/bin/env");
    let shell = Command::shell;
    let words = |command: Command| command.args(["%s|", "a b", "$HOME", "*", "", "-n"]);
    let rows: [(Command, String); 13] = [
        (shell("echo $ONE$TWO").env("ONE", "1").env("TWO", "2").env("ONE", "one"), "one2\n".to_owned()),
        (shell("echo ${HOME-none}").without_env("HOME"), "none\n".to_owned()),
        (shell("echo ${HOME-none}").without_env("HOME").env("HOME", "/h"), "/h\n".to_owned()),
        (env().bare_env(), String::new()),
        (env().env("ONE", "1").bare_env().env("TWO", "2").without_env("ONE"), "TWO=2\n".to_owned()),
        (shell("pwd -P").dir(folder.path()), format!("{here}\n")),
        (shell("umask").umask(0o027), "0027\n".to_owned()),
        (shell("umask").umask(u32::MAX), "0777\n".to_owned()),
        (shell("nice").nice(19), "19\n".to_owned()),
        (shell("nice").nice(i32::MAX).umask(0), "19\n".to_owned()),
        (words(Command::new("printf")), "a b|$HOME|*||-n|".to_owned()),
        (words(Command::new("printf").umask(0o077).nice(19)), "a b|$HOME|*||-n|".to_owned()),
        (shell("$0 x").shell_path("/bin/echo"), "-c $0 x\n".to_owned()),
    ];
    let failures: Vec<String> = rows
        .into_iter()
        .filter_map(|(command, expected)| {
            let found = ended(command.clone()).map(|finished| finished.stdout_text().into_owned());
            let found = found.unwrap_or_else(|error| error.to_string());
            (found != expected).then(|| format!("{command:?}: {found:?}, where it is {expected:?}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} rows differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_line_of_a_crontab_runs_as_under_cron() {
    let _beside = beside();
    let rows = [
        ("echo one", "one\n"),
        ("cat%one%two", "one\ntwo\n"),
        ("cat", ""),
        (r"printf '\%s-' a b", "a-b-"),
        (r"cat; echo 5\%%50\%", "50%\n5%\n"),
        ("cat | tr a-z A-Z%loud", "LOUD\n"),
    ];
    for (line, expected) in rows {
        assert_eq!(written(Command::crontab_line(line)), expected, "{line}");
    }
}

#[test]
fn steps_run_in_order_while_they_succeed() {
    let _beside = beside();
    let sh = |line: &str| Command::shell(line);
    let rows = [
        (sh("echo 1").then(sh("echo 2")).then(sh("echo 3; exit 0")), "1\n2\n3\n", "exit code 0"),
        (sh("echo 1").then(sh("echo 2").then(sh("echo 3"))), "1\n2\n3\n", "exit code 0"),
        (sh("echo 1").then(sh("exit 2")).then(sh("echo 3")), "1\n", "error: exit 2 ended with exit code 2"),
        (sh("echo 1").then(sh("exit 2").may_fail()).then(sh("echo 3")), "1\n3\n", "exit code 0"),
        (sh("echo 1; exit 4").may_fail(), "1\n", "exit code 4"),
        (Command::new("/nowhere").may_fail().then(sh("echo 2")), "2\n", "exit code 0"),
        (sh("echo 1").then(Command::new("/nowhere").may_fail()), "1\n", "exit code 0"),
        (Command::new("/nowhere").may_fail(), "", "error: /nowhere could not be started: No such file or directory (os error 2)"),
        (sh("echo 1; exit 3").succeeds_with([3]).then(sh("echo 2")), "1\n2\n", "exit code 0"),
        (sh("echo one").keep_output(2).then(sh("echo two").keep_output(6)), "one\n[2 bytes left out]\nwo\n", "exit code 0"),
    ];
    for (command, output, expected) in rows {
        let (found, written) = match ended(command.clone()) {
            Ok(finished) => (finished.to_string(), finished.stdout_text().into_owned()),
            Err(error) => {
                let written = match error_of(&*error) {
                    CommandError::Failed { finished, .. } => finished.stdout_text().into_owned(),
                    _ => String::new(),
                };
                (format!("error: {error}"), written)
            }
        };
        assert_eq!((&*found, &*written), (expected, output), "{command:?}");
    }
}

/// A shell and what it waits for, which both ignore what they are told. What the second sleeps for is their mark.
fn stubborn(nap: &str) -> Command {
    Command::shell(format!("trap '' TERM; echo up; sleep {nap} & wait; wait")).grace(Duration::from_millis(50))
}

/// A scheduler whose clock stands still.
fn stood_still() -> (ManualClock, Scheduler) {
    let clock = ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap());
    (clock.clone(), Scheduler::builder().clock(clock).zone(chrono::Utc).build())
}

#[test]
fn one_whose_time_is_up_is_killed_with_all_that_it_started() {
    let _beside = beside();
    let ((clock, scheduler), limit) = (stood_still(), Duration::from_secs(60));
    let told = |nap: &str| {
        let line =
            format!("trap 'echo told; exit 3' TERM; (trap 'echo too; exit' TERM; sleep {nap} & wait) & sleep {nap} & wait $!");
        Command::shell(line).grace(PATIENCE)
    };
    let rows = [
        (stubborn as fn(&str) -> Command, 1, "SIGKILL", vec!["up"]),
        // What it wrote to the end of its grace is there too, and the others of its group were told as it was.
        (told, 2, "exit code 3", vec!["told", "too"]),
    ];
    for (command, processes, status, output) in rows {
        let nap = nap();
        let job = scheduler.every(1).hour().immediately().timeout(limit).do_command(command(&nap)).unwrap();
        until(&scheduler, "it goes on", || alive(&nap) == processes);
        assert_eq!(job.stats().runs, 0);
        clock.advance(limit);
        until_ran(&scheduler, &job, 1);
        assert_eq!(job.last_run().map(|run| run.end), Some(RunEnd::TimedOut));
        until(&scheduler, "it has ended", || job.last_error().is_some());
        assert_eq!(alive(&nap), 0);
        let error = job.last_error().unwrap();
        let CommandError::Stopped { finished, .. } = error_of(&*error) else { panic!("{error}") };
        let text = finished.stdout_text();
        let mut said: Vec<&str> = text.lines().collect();
        said.sort_unstable();
        assert_eq!((said, &*finished.to_string()), (output, status));
    }
}

#[test]
fn one_that_is_stopped_hears_that_it_is_to_end() {
    let _beside = beside();
    let (scheduler, nap) = (Scheduler::new(), nap());
    let job = now(&scheduler, Command::new("sleep").arg(&nap).grace(PATIENCE * 10));
    until(&scheduler, "it goes on", || alive(&nap) == 1);
    kill(pids(&nap)[0], Signal::SIGSTOP).unwrap();
    job.cancel();
    until(&scheduler, "it has ended", || job.last_error().is_some());
    assert_eq!(alive(&nap), 0);
}

#[test]
fn a_cancelled_job_takes_its_command_with_it() {
    let _beside = beside();
    let (scheduler, folder) = (Scheduler::new(), Folder::new("cancel"));
    for command in
        [stubborn, |nap: &str| Command::shell(format!("sleep {nap} & sleep {nap}")), |nap: &str| Command::new("sleep").arg(nap)]
    {
        let nap = nap();
        let job = now(&scheduler, command(&nap));
        until(&scheduler, "it goes on", || alive(&nap) > 0);
        job.cancel();
        until(&scheduler, "it has ended", || job.last_error().is_some());
        assert_eq!(alive(&nap), 0);
        assert_eq!(job.last_run().map(|run| run.end), Some(RunEnd::Stopped));
    }
    // It has time to put things right.
    let nap = nap();
    let line = format!("trap 'echo tidy > {}; exit' TERM; sleep {nap} & wait", folder.file("left").display());
    let job = now(&scheduler, Command::shell(line).grace(PATIENCE));
    until(&scheduler, "it goes on", || alive(&nap) == 1);
    job.cancel();
    until(&scheduler, "it has ended", || job.last_error().is_some());
    assert_eq!((folder.read("left"), alive(&nap)), ("tidy\n".to_owned(), 0));
    // No further step follows.
    let nap = self::nap();
    let sleep = Command::new("sleep").arg(&nap).may_fail();
    let job = now(&scheduler, sleep.then(Command::shell(format!("echo on > {}", folder.file("on").display()))));
    until(&scheduler, "it goes on", || alive(&nap) == 1);
    job.cancel();
    until(&scheduler, "it has ended", || job.last_error().is_some());
    assert!(!folder.file("on").exists());
}

#[test]
fn a_newer_run_takes_the_place_of_the_older() {
    let _beside = beside();
    let ((clock, scheduler), nap) = (stood_still(), nap());
    let job = scheduler.every(1).hour().immediately().overlap(Overlap::CancelRunning).do_command(stubborn(&nap)).unwrap();
    until(&scheduler, "it goes on", || alive(&nap) == 1);
    let first = pids(&nap);
    clock.advance(Duration::from_secs(3600));
    until_ran(&scheduler, &job, 1);
    assert_eq!(job.last_run().map(|run| run.end), Some(RunEnd::Stopped));
    until(&scheduler, "the older has ended", || job.last_error().is_some());
    until(&scheduler, "the newer goes on alone", || alive(&nap) == 1);
    assert_ne!(pids(&nap), first);
    assert_eq!(scheduler.shutdown(PATIENCE).len(), 0);
    assert_eq!(alive(&nap), 0);
}

#[test]
fn shutdown_waits_for_processes_and_names_those_that_go_on() {
    let _beside = beside();
    let (scheduler, events) = (Scheduler::new(), Arc::new(Mutex::new(Vec::new())));
    let told = events.clone();
    scheduler.on_event(move |event| {
        if let Event::Ended { end, .. } = event {
            told.lock().push(*end);
        }
    });
    let naps: Vec<String> = (0..6).map(|_| nap()).collect();
    let commands = [stubborn, |nap: &str| Command::shell(format!("sleep {nap} & sleep {nap}"))];
    let jobs: Vec<_> = naps.iter().zip(commands.iter().cycle()).map(|(nap, command)| now(&scheduler, command(nap))).collect();
    until(&scheduler, "they go on", || naps.iter().all(|nap| alive(nap) > 0));
    let left = scheduler.shutdown(PATIENCE);
    assert_eq!(left.len(), 0, "{left}");
    assert_eq!(naps.iter().map(|nap| alive(nap)).sum::<usize>(), 0);
    assert_eq!(*events.lock(), [RunEnd::Stopped; 6]);
    assert!(jobs.iter().all(|job| matches!(error_of(&*job.last_error().unwrap()), CommandError::Stopped { .. })));

    let (scheduler, nap) = (Scheduler::new(), nap());
    let job = scheduler.every(1).hour().immediately().named("stubborn");
    let job = job.do_command(stubborn(&nap).grace(Duration::from_secs(2))).unwrap();
    until(&scheduler, "it goes on", || alive(&nap) == 1);
    let left = scheduler.shutdown(Duration::ZERO);
    assert_eq!(left.iter().map(|job| job.name.as_deref()).collect::<Vec<_>>(), [Some("stubborn")]);
    assert_eq!(scheduler.shutdown(PATIENCE).len(), 0);
    assert_eq!((alive(&nap), job.stats().stopped), (0, 1));
}

#[test]
fn a_scheduler_that_is_dropped_takes_its_commands_with_it() {
    let _beside = beside();
    let (scheduler, nap, other) = (Scheduler::new(), nap(), Scheduler::new());
    let job = now(&scheduler, stubborn(&nap));
    until(&scheduler, "it goes on", || alive(&nap) == 1);
    drop(scheduler);
    until(&other, "it has ended", || alive(&nap) == 0);
    assert_eq!(job.stats().stopped, 1);
}

#[test]
fn what_outlives_its_parent_does_not_hold_the_run_up() {
    let _beside = beside();
    // It keeps the pipes open. What was written by then is there.
    let nap = nap();
    let line = |nap: &str| format!("sleep {nap} & echo $!; head -c 30000 /dev/zero; echo end >&2");
    let finished = ended(Command::shell(line(&nap))).unwrap();
    assert_eq!((alive(&nap), &*finished.stderr), (1, &b"end\n"[..]));
    let (pid, zeros) = finished.stdout.split_at(finished.stdout.len() - 30_000);
    assert!(zeros.iter().all(|byte| *byte == 0));
    let pid = std::str::from_utf8(pid).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();

    // Unless it is to end: told first, then killed.
    let nap = self::nap();
    written(Command::shell(line(&nap)).left_behind(LeftBehind::End).grace(PATIENCE * 10));
    assert_eq!(alive(&nap), 0);
    let nap = self::nap();
    let line = format!("(trap '' TERM; sleep {nap}) & echo end");
    let end = Command::shell(line).left_behind(LeftBehind::End).grace(Duration::from_millis(50));
    assert_eq!(written(end.clone()), "end\n");
    assert_eq!(alive(&nap), 0);
    // Each step ends what it left before the next one begins.
    let looks = format!("cat /proc/[0-9]*/cmdline | grep -ac '{}'; exit 0", nap.replace('.', "[.]"));
    assert_eq!(written(end.then(Command::new("sh").stdin(Input::Bytes(looks.into_bytes())))), "end\n0\n");

    // One that writes without an end is not read without one.
    let finished = ended(Command::shell("yes & echo $! >&2; sleep 0.1")).unwrap();
    // What it writes to is gone with the run.
    let pid = Pid::from_raw(finished.stderr_text().trim().parse().unwrap());
    until(&Scheduler::new(), "it is gone", || kill(pid, None).is_err());
}

#[test]
fn one_that_closes_its_output_goes_on_until_it_ends() {
    let _beside = beside();
    let error = ended(Command::shell("echo out; exec >&- 2>&- <&-; sleep 0.2; exit 4")).unwrap_err();
    let CommandError::Failed { finished, .. } = error_of(&*error) else { panic!("{error}") };
    assert_eq!((finished.status.code(), &*finished.stdout), (Some(4), &b"out\n"[..]));
}

#[test]
fn a_run_that_failed_is_tried_again() {
    let _beside = beside();
    let (scheduler, folder) = (Scheduler::new(), Folder::new("retry"));
    let line = format!("echo try >> {0}; test $(wc -l < {0}) -ge 3", folder.file("tries").display());
    let job = scheduler.every(1).hour().immediately().retry(5).backoff(Backoff::constant(Duration::from_millis(1)));
    let job = job.do_command(Command::shell(line)).unwrap();
    until_ran(&scheduler, &job, 1);
    assert_eq!((job.last_run().map(|run| (run.end, run.attempt)), job.stats().retries), (Some((RunEnd::Done, 3)), 2));
}

#[test]
fn commands_are_made_for_their_run_and_follow_one_another() {
    let _beside = beside();
    let scheduler = Scheduler::new();
    let first = scheduler.every(1).hour().immediately().named("first");
    let first =
        first.do_command_with(|run| Command::new("echo").arg(format!("{} {}", run.facts().label(), run.attempt()))).unwrap();
    let upper = scheduler.following(&first);
    let upper = upper.do_command_with(|_, found| Command::shell("tr a-z A-Z").stdin(Input::Bytes(found.stdout.clone()))).unwrap();
    let third = scheduler.following(&upper).do_command(Command::shell("echo third")).unwrap();
    until_ran(&scheduler, &third, 1);
    assert_eq!(upper.last_value().unwrap().stdout_text(), "FIRST 1\n");
    assert_eq!(third.last_value().unwrap().stdout_text(), "third\n");
    let job = scheduler.every(1).hour().immediately().do_command_with(|_| panic!("no idea")).unwrap();
    until_ran(&scheduler, &job, 1);
    assert_eq!(job.last_run().map(|run| run.end), Some(RunEnd::Panicked));
}

#[test]
fn a_limit_bounds_how_many_run_at_once() {
    let _beside = beside();
    let scheduler = Scheduler::new();
    let blocked = Arc::new(Mutex::new(Vec::new()));
    let told = blocked.clone();
    scheduler.on_event(move |event| {
        if let Event::Blocked { by, .. } = event {
            told.lock().push(by.clone());
        }
    });
    let job = || scheduler.every(1).hour().immediately().at_most(20, "commands");
    let jobs: Vec<_> = (0..200).map(|_| job().do_command(Command::shell("sleep 0.1; echo done")).unwrap()).collect();
    let mut most = 0;
    until(&scheduler, "all have ended", || {
        most = most.max(scheduler.jobs().iter().filter(|job| job.running).count());
        jobs.iter().all(|job| job.stats().runs == 1)
    });
    assert!(jobs.iter().all(|job| job.last_value().is_some_and(|finished| &*finished.stdout == b"done\n")));
    assert_eq!(most, 20);
    assert!(!blocked.lock().is_empty() && blocked.lock().iter().all(|by| *by == Blocked::Limit("commands".into())));

    // All have to say the same, and a limit by another name leaves it as it is.
    let other = scheduler.every(1).hour().do_command(Command::new("true")).map(drop);
    let (known, given) = ("20 at once".to_owned(), "100 at once".to_owned());
    assert_eq!(other, Err(Error::LimitDiffers { name: "commands".to_owned(), known, given }));
    let scheduler = Scheduler::new();
    let naps: Vec<String> = (0..102).map(|_| nap()).collect();
    for (place, nap) in naps.iter().enumerate() {
        let job = scheduler.every(1).hour().immediately().mutex(format!("own {place}"));
        job.do_command(Command::new("sleep").arg(nap)).unwrap();
    }
    assert_eq!(scheduler.run_pending().handed(), 100);
    assert_eq!(scheduler.shutdown(PATIENCE).len(), 0);
    assert_eq!(naps.iter().filter(|nap| alive(nap) > 0).count(), 0);
}

#[test]
#[ignore = "a thousand processes: by hand"]
fn a_thousand_run_at_once_if_that_is_wished() {
    let _alone = alone();
    let (scheduler, nap) = (Scheduler::new(), nap());
    written(Command::new("true"));
    let before = open_files();
    for _ in 0..1_000 {
        let job = scheduler.every(1).hour().immediately().at_most(1_000, "commands");
        job.do_command(Command::new("sleep").arg(&nap)).unwrap();
    }
    let (poll, used) = (Instant::now(), processor_time());
    assert_eq!(scheduler.run_pending().handed(), 1_000);
    println!("the poll that handed 1,000 over: {:?}, {:?} of the processor", poll.elapsed(), processor_time() - used);
    until(&scheduler, "all go on", || alive(&nap) == 1_000);
    println!("until all go on: {:?}", poll.elapsed());
    assert_eq!(scheduler.shutdown(PATIENCE).len(), 0);
    println!("until all have ended: {:?}", poll.elapsed());
    assert_eq!((alive(&nap), zombies(), open_files()), (0, Vec::new(), before));
}

#[test]
fn nothing_is_left_of_a_command() {
    let _alone = alone();
    let many = || Input::Bytes(vec![0; 100_000]);
    let all = || {
        let scheduler = Scheduler::new();
        let naps: Vec<String> = (0..4).map(|_| nap()).collect();
        let end = |nap: &str| Command::shell(format!("sleep {nap} &")).left_behind(LeftBehind::End);
        let commands = [
            Command::new("true"),
            Command::new("false"),
            Command::new("/nowhere"),
            Command::new("true").stdin(Input::File("/nowhere".into())),
            Command::new("cat").stdin(many()),
            Command::new("true").stdin(many()),
            Command::shell("head -c 300000 /dev/zero").stdin(many()),
            Command::shell("echo out").stdout(Output::Append("/dev/null".into())).stderr(Output::Inherited),
            Command::shell("kill -9 $$").may_fail().then(Command::new("true")),
            end(&naps[0]),
        ];
        let ends = commands.map(|command| now(&scheduler, command));
        let stopped: Vec<_> = naps[1..].iter().map(|nap| now(&scheduler, stubborn(nap))).collect();
        until(&scheduler, "they have ended", || ends.iter().all(|job| job.stats().runs == 1));
        until(&scheduler, "they go on", || naps[1..].iter().all(|nap| alive(nap) == 1));
        stopped[0].cancel();
        until(&scheduler, "it has ended", || stopped[0].last_error().is_some());
        assert_eq!(scheduler.shutdown(PATIENCE).len(), 0);
        assert_eq!(naps.iter().map(|nap| alive(nap)).sum::<usize>(), 0);
    };
    // What the library keeps for all of them is there from the first on.
    all();
    let before = open_files();
    (0..5).for_each(|_| all());
    assert_eq!(open_files(), before);
    assert_eq!(zombies(), Vec::<String>::new());
}
