use std::time::Duration;

use super::*;
use crate::command::{Command, Input, LeftBehind, Output};
use crate::policy::Missed;

const SERVICE: &str = "[Service]\nType=oneshot\nExecStart=/bin/job\n";

fn timer(lines: &str) -> Import {
    Units::new().text("x.timer", format!("[Timer]\n{lines}")).text("x.service", SERVICE).timer("x.timer")
}

fn service(lines: &str) -> Import {
    Units::new().text("x.timer", "[Timer]\nOnCalendar=daily\nPersistent=yes").text("x.service", lines).timer("x.timer")
}

fn command(lines: &str) -> Command {
    let import = service(lines);
    let Some(job) = import.jobs.into_iter().next() else { panic!("{lines}: {:?}", import.notes) };
    job.command
}

#[test]
fn spans_become_intervals() {
    // What is said, the schedule, and how many notes there are.
    let rows = [
        ("OnCalendar=daily", "calendar *-*-* 00:00:00 with slack 1 minute", 0),
        ("OnCalendar=daily\nAccuracySec=1us", "calendar *-*-* 00:00:00", 0),
        ("OnCalendar=daily\nOnCalendar=\nOnCalendar=hourly\nAccuracySec=1h", "calendar *-*-* *:00:00 with slack 1 hour", 0),
        ("OnBootSec=5min\nOnCalendar=\nOnCalendar=hourly\nAccuracySec=1us", "calendar *-*-* *:00:00", 0),
        (
            "OnCalendar=Mon 09:00\nOnCalendar=Fri 17:00 UTC\nRandomizedDelaySec=5m\nAccuracySec=1us",
            "(calendar Mon *-*-* 09:00:00) or (calendar Fri *-*-* 17:00:00 in UTC) with jitter 5 minutes",
            0,
        ),
        ("OnActiveSec=5min\nAccuracySec=1us", "once after 5 minutes", 0),
        ("OnBootSec=5min\nAccuracySec=1us", "once after 5 minutes", 1),
        ("OnActiveSec=1h\nOnActiveSec=5min\nOnActiveSec=1h\nAccuracySec=1us", "(once after 5 minutes) or (once after 1 hour)", 0),
        ("OnActiveSec=1h\nOnActiveSec=2h\nOnUnitActiveSec=1h\nAccuracySec=1us", "every hour", 1),
        ("OnActiveSec=1h\nOnUnitActiveSec=1h\nAccuracySec=1us", "every hour", 0),
        ("OnActiveSec=0\nOnUnitActiveSec=1h\nOnUnitActiveSec=30min\nAccuracySec=1us", "every 30 minutes immediately", 0),
        ("OnActiveSec=0\nOnUnitInactiveSec=1h\nAccuracySec=1us", "every hour after completion immediately", 0),
        ("OnBootSec=1min\nOnUnitInactiveSec=15min\nAccuracySec=1us", "every 15 minutes after completion immediately", 1),
        ("OnBootSec=15min\nOnUnitActiveSec=1d\nAccuracySec=1us", "(once after 15 minutes) or (every 24 hours)", 1),
        ("OnUnitActiveSec=1d\nAccuracySec=1us", "every 24 hours", 1),
        ("OnActiveSec=2d\nOnUnitActiveSec=1d\nAccuracySec=1us", "every 24 hours", 1),
        ("OnUnitActiveSec=1d\nOnUnitInactiveSec=2d\nOnActiveSec=1d\nAccuracySec=1us", "every 24 hours", 0),
        ("OnCalendar=daily\nOnUnitActiveSec=1h\nAccuracySec=1us", "(calendar *-*-* 00:00:00) or (every hour)", 1),
        ("OnActiveSec=infinity\nOnCalendar=daily\nAccuracySec=1us", "calendar *-*-* 00:00:00", 0),
        ("OnCalendar=dayly\nOnCalendar=daily\nAccuracySec=1us", "calendar *-*-* 00:00:00", 1),
        ("OnCalender=hourly\nOnCalendar=daily\nAccuracySec=1us", "calendar *-*-* 00:00:00", 1),
        ("OnCalendar=daily\nAccuracySec=soon\nWakeSystem=yes", "calendar *-*-* 00:00:00 with slack 1 minute", 2),
    ];
    for (lines, expected, notes) in rows {
        let import = timer(&format!("Persistent=yes\n{lines}"));
        assert_eq!(import.jobs.len(), 1, "{lines}: {:?}", import.notes);
        let job = &import.jobs[0];
        assert_eq!(job.schedule.to_string(), expected, "{lines}");
        assert_eq!(job.schedule.to_string().parse(), Ok(job.schedule.clone()), "{lines}");
        assert_eq!(import.notes.len(), notes, "{lines}: {:?}", import.notes);
    }
}

#[test]
fn what_makes_no_job_is_said() {
    let rows = [
        ("", "x.timer: refused: the timer says no time at which it could run"),
        ("OnCalendar=dayly", "x.timer: refused: the timer says no time at which it could run"),
        ("OnActiveSec=infinity", "x.timer: refused: the timer says no time at which it could run"),
        ("OnCalendar=daily\nUnit=x.target", "x.timer: refused: it starts x.target, which is no service: there is nothing to run"),
        ("OnCalendar=daily\nUnit=y.service", "x.timer: refused: y.service, which it starts, is not there, or cannot be read"),
    ];
    for (lines, expected) in rows {
        let import = timer(&format!("{lines}\nPersistent=no"));
        assert!(import.jobs.is_empty(), "{lines}");
        assert_eq!(import.notes.last().map(Note::to_string).as_deref(), Some(expected), "{lines}");
    }
    for (lines, reason) in [
        ("[Service]\nType=oneshot", "the service has no ExecStart=: there is nothing to run"),
        ("[Service]\nExecStart=/bin/a\nExecStart=", "the service has no ExecStart=: there is nothing to run"),
        ("[Service]\nExecStart='/bin/a", "ExecStart=: a quote is not closed"),
        ("[Service]\nExecStart=bin/a", "ExecStart=: the program's path is not absolute"),
    ] {
        let import = service(lines);
        assert!(import.jobs.is_empty(), "{lines}");
        let last = import.notes.last().unwrap();
        assert_eq!((last.kind, last.text.as_str()), (NoteKind::Refused, reason), "{lines}");
    }
    let none = Units::new().text("a@.timer", "[Timer]\nOnCalendar=daily");
    assert!(none.timers().jobs.is_empty() && none.timers().notes.is_empty());
    assert!(none.timer("a@.timer").notes[0].text.starts_with("this is a template"));
    assert!(none.timer("b.timer").notes[0].text.starts_with("there is no such timer"));
    assert!(none.text("b.timer", "").timer("b.timer").notes[0].text.starts_with("the timer is masked"));
}

#[test]
fn what_is_made_up_for_though_systemd_would_forget_it_is_said() {
    for (lines, expected) in
        [("OnCalendar=daily", true), ("OnCalendar=daily\nPersistent=true", false), ("OnActiveSec=5s\nOnUnitActiveSec=1d", false)]
    {
        let import = timer(lines);
        let said = import.notes.iter().any(|note| note.text.contains("systemd forgets it"));
        assert_eq!((import.jobs[0].missed, said), (Missed::RunOnce, expected), "{lines}");
    }
}

#[test]
fn a_service_becomes_a_command() {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let bare = || {
        let base = Command::new("/bin/job").bare_env().dir("/");
        base.grace(Duration::from_secs(90)).left_behind(LeftBehind::End)
    };
    let usual = || bare().env("PATH", PATH);
    let rows = [
        ("", usual()),
        ("WorkingDirectory=/srv\nUMask=0027\nNice=10", usual().dir("/srv").umask(0o027).nice(10)),
        ("WorkingDirectory=~", usual().dir("/root")),
        ("KillMode=process\nTimeoutStopSec=5", usual().left_behind(LeftBehind::GoOn).grace(Duration::from_secs(5))),
        (
            "StandardOutput=append:/var/log/x",
            usual().stdout(Output::Append("/var/log/x".into())).stderr(Output::Append("/var/log/x".into())),
        ),
        ("StandardOutput=null\nStandardError=journal", usual().stdout(Output::Nowhere)),
        ("StandardInput=data\nStandardInputText=a\nStandardInputText=b", usual().stdin(Input::Bytes(b"a\nb\n".to_vec()))),
        ("SuccessExitStatus=1 TEMPFAIL", usual().succeeds_with([0, 1, 75])),
        ("Environment=A=1 \"B=two two\" 'A=3'", bare().env("A", "3").env("B", "two two").env("PATH", PATH)),
        ("User=root\nGroup=adm", {
            let named = bare().env("HOME", "/root").env("LOGNAME", "root").env("PATH", PATH).env("SHELL", "/bin/sh");
            named.env("USER", "root").user("root").group("adm")
        }),
    ];
    for (lines, expected) in rows {
        assert_eq!(command(&format!("[Service]\nType=oneshot\nExecStart=/bin/job\n{lines}")), expected, "{lines}");
    }
    let timeout = |lines: &str| service(&format!("[Service]\nExecStart=/bin/job\n{lines}")).jobs[0].timeout;
    assert_eq!(timeout("Type=oneshot\nTimeoutStartSec=1h"), Some(Duration::from_secs(3600)));
    assert_eq!(timeout("Type=oneshot\nTimeoutStartSec=infinity\nRuntimeMaxSec=5"), None);
    assert_eq!(timeout("TimeoutStartSec=1h\nRuntimeMaxSec=5min"), Some(Duration::from_secs(300)));
    assert_eq!(timeout("Type=oneshot\nTimeoutSec=0"), None);
}

#[test]
fn a_users_home_and_shell_are_set_if_they_say_anything() {
    let users = "a:x:1:1::/home/a:/bin/zsh\nb:x:2:2::/:/usr/sbin/nologin\nc:x:3:3::/var/c:/bin/false\nd:x:4:4::\\nowhere:\n";
    let rows = [
        ("a", Some("/home/a"), Some("/bin/zsh")),
        ("b", None, None),
        ("c", Some("/var/c"), None),
        ("d", None, None),
        ("root", Some("/root"), Some("/bin/sh")),
    ];
    for (user, home, shell) in rows {
        let text = format!("[Service]\nUser={user}\nExecStart=/bin/job");
        let units = Units::new().text("x.timer", "[Timer]\nOnCalendar=daily").text("x.service", text).text("/etc/passwd", users);
        let command = &units.timer("x.timer").jobs[0].command;
        let set = |name: &str| {
            let found = command.env.iter().find(|(known, _)| known.as_os_str() == name);
            found.and_then(|(_, value)| value.as_ref()?.to_str().map(str::to_owned))
        };
        let expected = (Some(user.to_owned()), home.map(str::to_owned), shell.map(str::to_owned));
        assert_eq!((set("USER"), set("HOME"), set("SHELL")), expected, "{user}");
    }
}

#[test]
fn what_is_not_carried_is_told_of_the_file_that_says_it() {
    let timer = "[Unit]\nRequisite=gpsd.service\nConflicts=b.device\n[Timer]\nOnCalendar=daily\nPersistent=yes";
    let service = "[Unit]\nAfter=c.service\n[Service]\nRestart=no\nPrivateTmp=yes\nExecStart=/bin/job";
    let import = Units::new().text("x.timer", timer).text("x.service", service).timer("x.timer");
    let expected = [
        "x.timer: not carried: a job knows no other units: Conflicts=, Requisite=",
        "x.service: not carried: a job knows no other units: After=",
        "x.service: not carried: a job has nothing of the kind: PrivateTmp=",
    ];
    assert_eq!(import.notes.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

#[test]
fn steps_follow_one_another() {
    let lines = "[Service]\nType=oneshot\nUser=nobody\nExecStart=-/bin/two $A ${A}x ; /bin/three\nExecStartPre=+/bin/one\nExecStartPost=:/bin/four $A\nEnvironment=\"A=a b\"";
    let import = service(lines);
    let mut shown = Vec::new();
    let mut step = Some(&import.jobs[0].command);
    while let Some(command) = step {
        let args: Vec<_> = command.args.iter().map(|arg| arg.to_string_lossy()).collect();
        shown.push(format!("{} {args:?} {:?} {}", command.program.display(), command.user, command.failure_counts));
        step = command.next.as_deref();
    }
    let expected = [
        "/bin/one [] None true",
        "/bin/two [\"a\", \"b\", \"a bx\"] Some(\"nobody\") false",
        "/bin/three [] Some(\"nobody\") true",
        "/bin/four [\"$A\"] Some(\"nobody\") true",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn conditions_are_looked_at_before_each_run() {
    let text = "[Unit]\nConditionPathExists=!/a b\nConditionPathIsDirectory=|/c\nConditionFileNotEmpty=|/d\nAssertPathExists=/e\n[Service]\nExecStart=/bin/job x";
    let script = "{ ! test -e '/a b' && { test -d '/c' || { test -f '/d' && test -s '/d'; }; }; } || exit 0; { test -e '/e'; } || exit 1; exec \"$0\" \"$@\"";
    let found = command(text);
    assert_eq!(found.program, "/bin/sh");
    assert_eq!(found.args, ["-c", script, "/bin/job", "x"]);
    let reset = command("[Unit]\nConditionPathExists=/a\nConditionPathExists=\n[Service]\nExecStart=/bin/job x");
    assert_eq!(reset.program, "/bin/job");
    let import = service("[Unit]\nConditionACPower=true\nConditionPathExistsGlob=/a/$(x)\n[Service]\nExecStart=/bin/job");
    assert_eq!(import.notes.len(), 2, "{:?}", import.notes);
}

#[cfg(unix)]
#[test]
fn a_shell_agrees_about_conditions() {
    let dir = std::env::temp_dir().join(format!("punctual-conditions-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("full it's")).unwrap();
    std::fs::create_dir_all(dir.join("empty")).unwrap();
    std::fs::write(dir.join("full it's/file"), "x").unwrap();
    std::fs::write(dir.join("nothing"), "").unwrap();
    // Conditions, and whether the job runs; of what is asserted, whether it fails.
    let rows = [
        ("ConditionPathExists=@/nothing", "ran"),
        ("ConditionPathExists=@/none", "passed over"),
        ("ConditionPathExists=!@/none", "ran"),
        ("ConditionPathExists=! @/nothing", "passed over"),
        ("ConditionPathIsDirectory=@/full it's", "ran"),
        ("ConditionPathIsDirectory=@/nothing", "passed over"),
        ("ConditionDirectoryNotEmpty=@/full it's", "ran"),
        ("ConditionDirectoryNotEmpty=@/empty", "passed over"),
        ("ConditionDirectoryNotEmpty=!@/empty", "ran"),
        ("ConditionFileNotEmpty=@/full it's/file", "ran"),
        ("ConditionFileNotEmpty=@/nothing", "passed over"),
        ("ConditionFileNotEmpty=!@/nothing", "ran"),
        ("ConditionFileIsExecutable=/bin/sh", "ran"),
        ("ConditionFileIsExecutable=@/nothing", "passed over"),
        ("ConditionPathExistsGlob=@/not*", "ran"),
        ("ConditionPathExistsGlob=@/x*", "passed over"),
        ("ConditionPathExists=|@/none\nConditionPathExists=|@/nothing", "ran"),
        ("ConditionPathExists=|@/none\nConditionPathExists=|@/never", "passed over"),
        ("ConditionPathExists=@/nothing\nConditionPathExists=@/none", "passed over"),
        ("AssertPathExists=@/nothing", "ran"),
        ("AssertPathExists=@/none", "failed"),
        ("ConditionPathExists=@/none\nAssertPathExists=@/none", "passed over"),
    ];
    for (lines, expected) in rows {
        let lines = lines.replace('@', &dir.display().to_string());
        let found = command(&format!("[Unit]\n{lines}\n[Service]\nExecStart=/bin/echo \"a  b\" 'c'"));
        let output = std::process::Command::new(&found.program).args(&found.args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let outcome = match (output.status.success(), said.as_str()) {
            (true, "a  b c\n") => "ran",
            (true, "") => "passed over",
            (false, "") => "failed",
            _ => "something else",
        };
        assert_eq!(outcome, expected, "{lines}: {output:?}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn templates_drop_ins_and_environment_files_are_found() {
    let units = Units::new()
        .text("b@.timer", "[Timer]\nOnCalendar=daily\nAccuracySec=1us\nPersistent=yes")
        .text("b@home-me.timer.d/10-when.conf", "[Timer]\nOnCalendar=\nOnCalendar=hourly")
        .text("b@.service", "[Service]\nEnvironmentFile=-/etc/b/%i\nExecStart=/bin/b %I ${LEVEL} on %l")
        .text("b@.service.d/20-more.conf", "[Service]\nNice=5")
        .text("b@home-me.service.d/20-more.conf", "[Service]\nNice=7")
        .text("/etc/b/home-me", "LEVEL=3\n")
        .text("/etc/hostname", "box.example.com");
    let import = units.timer("b@home-me.timer");
    let job = &import.jobs[0];
    assert_eq!((job.name.as_str(), job.schedule.to_string().as_str()), ("b@home-me.timer", "calendar *-*-* *:00:00"));
    assert_eq!(job.command.args, ["home/me", "3", "on", "box"]);
    assert_eq!(job.command.nice, Some(7));
    assert_eq!(import.notes.len(), 1, "{:?}", import.notes);
    assert_eq!(import.notes[0].place.line, Some(2));
}

#[test]
fn hostile_files_are_read_in_one_pass() {
    let long = "x".repeat(200_000);
    for text in [
        format!("[Timer]\nOnCalendar={long}"),
        format!("[Timer]\nOnCalendar=daily\n{long}"),
        "[Timer]\n".to_owned() + &"OnUnitActiveSec=0\n".repeat(20_000),
        "[Timer]\nOnCalendar=daily\\\n".repeat(20_000),
        format!("[Timer]\nOnActiveSec={}\nOnUnitActiveSec=0", "9".repeat(50_000)),
        "[Timer]\nOnCalendar=daily\nOnUnitActiveSec=580000y".to_owned(),
        "\u{0}[\u{fffd}]=\n=\n[]\n\\".to_owned(),
    ] {
        let service = format!("[Service]\nExecStart=/bin/x {}\nEnvironment={}", "\\x".repeat(50_000), "\"a=%%\" ".repeat(2000));
        let _ = Units::new().text("x.timer", text).text("x.service", service).timer("x.timer");
    }
}
