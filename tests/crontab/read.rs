//! What becomes of each thing that can stand in a crontab.

use std::time::Duration;

use punctual::{Command, CronEnvironment, Crontab, Missed, NoteKind, Overlap, Schedule};

use crate::{command, notes, report};

fn schedule(text: &str) -> Schedule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a crontab comes to: its jobs as `line: schedule | command`, then its notes.
fn told(crontab: Crontab) -> Vec<String> {
    let import = crontab.read();
    let job = |job: &punctual::ImportedJob| format!("{}: {} | {}", job.place.line.unwrap(), job.schedule, command(job));
    import.jobs.iter().map(job).chain(notes(&import)).collect()
}

#[test]
fn lines_of_a_user() {
    let rows: &[(&str, &[&str])] = &[
        ("", &[]),
        ("\n \t \n# comment\n  # another\n", &[]),
        (
            "0-59/5 * * * *  $HOME/bin/ingest.py >> $HOME/log/ingest.out 2>&1\n",
            &[r#"1: vixie cron 0-59/5 * * * * | /bin/sh "$HOME/bin/ingest.py >> $HOME/log/ingest.out 2>&1""#],
        ),
        ("15 8 1 4 *  echo \"April Fools!\"\n", &[r#"1: vixie cron 15 8 1 4 * | /bin/sh "echo \"April Fools!\"""#]),
        ("  5\t0  * *\tsun   tidy  up \n", &[r#"1: vixie cron 5 0 * * SUN | /bin/sh "tidy  up ""#]),
        ("* * * * * a # no comment\n", &[r#"1: vixie cron * * * * * | /bin/sh "a # no comment""#]),
        ("* * * * * mail joe%Hi,%%10\\%\n", &[r#"1: vixie cron * * * * * | /bin/sh "mail joe" < "Hi,\n\n10%\n""#]),
        (
            "@daily a\n@Hourly b\n@every_minute c\n@every_second d\n@300 e\n",
            &[
                r#"1: vixie cron @daily | /bin/sh "a""#,
                r#"2: vixie cron @hourly | /bin/sh "b""#,
                r#"3: vixie cron * * * * * | /bin/sh "c""#,
                r#"4: every second after completion | /bin/sh "d""#,
                r#"5: every 5 minutes after completion | /bin/sh "e""#,
            ],
        ),
        (
            "@reboot a\n",
            &[
                r#"1: at reboot | /bin/sh "a""#,
                "crontab:1:1: changed: `@reboot` runs at the scheduler's first poll, so at each start of the host",
            ],
        ),
        ("-*/5 * * * * quiet\n", &[r#"1: vixie cron */5 * * * * | /bin/sh "quiet""#]),
        (
            "* * * * * -q -n a -q\n* * * * * -qn\t-x\n",
            &[r#"1: vixie cron * * * * * | /bin/sh "a -q""#, r#"2: vixie cron * * * * * | /bin/sh "-x""#],
        ),
        (
            "A=1\n* * * * * a\nA=2\nB = 'x y ' \n* * * * * b\n",
            &[r#"2: vixie cron * * * * * | /bin/sh "a"  A=1"#, r#"5: vixie cron * * * * * | /bin/sh "b"  A=2 B=x y "#],
        ),
        ("SHELL=/bin/bash\nPATH=/opt:/bin\n* * * * * a\n", &[r#"3: vixie cron * * * * * | /bin/bash "a"  PATH=/opt:/bin"#]),
        ("TZ=Asia/Tokyo\n0 1 * * * a\n", &[r#"2: vixie cron 0 1 * * * | /bin/sh "a"  TZ=Asia/Tokyo"#]),
        (
            "0 1 * * * a\nCRON_TZ=Japan\n0 1 * * * b\n@daily c\nCRON_TZ=\n0 1 * * * d\n",
            &[
                r#"1: vixie cron 0 1 * * * | /bin/sh "a""#,
                r#"3: vixie cron 0 1 * * * in Japan | /bin/sh "b"  CRON_TZ=Japan"#,
                r#"4: vixie cron @daily in Japan | /bin/sh "c"  CRON_TZ=Japan"#,
                r#"6: vixie cron 0 1 * * * | /bin/sh "d"  CRON_TZ="#,
            ],
        ),
        (
            "CRON_TZ=Atlantis\n0 1 * * * a\n@reboot b\nCRON_TZ=:Asia/Tokyo\n0 1 * * * c\n",
            &[
                r#"3: at reboot | /bin/sh "b""#,
                r#"5: vixie cron 0 1 * * * in Asia/Tokyo | /bin/sh "c"  CRON_TZ=:Asia/Tokyo"#,
                "crontab:1:1: refused: zone \"Atlantis\" is not known; write an IANA name such as Europe/Berlin, or UTC, local, UTC+02:00; the lines below that need one, up to another CRON_TZ, are refused",
                "crontab:2:1: refused: its zone is not known: see line 1",
                "crontab:3:1: changed: `@reboot` runs at the scheduler's first poll, so at each start of the host",
            ],
        ),
        (
            "RANDOM_DELAY=15\n0 1 * * * a\nRANDOM_DELAY=0\n0 2 * * * b\nRANDOM_DELAY=soon\n",
            &[
                r#"2: vixie cron 0 1 * * * with jitter 15 minutes | /bin/sh "a"  RANDOM_DELAY=15"#,
                r#"4: vixie cron 0 2 * * * | /bin/sh "b"  RANDOM_DELAY=0"#,
                "crontab:1:1: changed: each run below is put off by up to 15 minutes, drawn for each; cron draws once for all runs",
                "crontab:5:1: refused: RANDOM_DELAY `soon`: write minutes, 0 to 1440; what held before goes on",
            ],
        ),
        (
            "MAILTO=joe\nMAILTO=\"\"\nMAILTO=\nMLS_LEVEL=s0\n LOGNAME=root\nHOME=\nSHELL=''\n* * * * * a\n",
            &[
                r#"8: vixie cron * * * * * | /bin/sh "a"  MAILTO= MLS_LEVEL=s0"#,
                "crontab:1:1: not carried: no mail is sent to `joe`; what a command writes is kept with the result of its run",
                "crontab:4:1: not carried: a security level (`MLS_LEVEL`) is set as a variable, and nothing more",
                "crontab:5:2: not carried: `LOGNAME` is the name of the user that runs the command; cron lets no crontab change it",
                "crontab:6:1: changed: an empty `HOME` would let nothing run; the lines below have the usual one",
                "crontab:7:1: changed: an empty `SHELL` would let nothing run; the lines below have the usual one",
            ],
        ),
        // What Vixie's cron takes for settings (env.c), and what not.
        (
            "'A B'=x\n\"C\" = \"it's\"\nD=a=b c # d\nE=\"a\nF='a' b\n* * * * * a\n",
            &[
                r#"6: vixie cron * * * * * | /bin/sh "a"  A B=x C=it's D=a=b c # d"#,
                "crontab:4:1: refused: `E`: the value begins with \" and does not end with it; close it",
                "crontab:5:1: refused: `F`: nothing may follow the closing quote; quote all of the value, and give a comment a line of its own",
            ],
        ),
        (
            "=x\n* * * * * A=1 a\n",
            &[
                r#"2: vixie cron * * * * * | /bin/sh "A=1 a""#,
                "crontab:1:1: refused: a setting needs a name before `=`; write NAME=value",
            ],
        ),
        // Lines that cannot be read.
        (
            "Bad comment\n5 * * *\n@daily\n@daily \t\n* * * * *\n",
            &[
                "crontab:1:1: refused: 2 fields, where a crontab line has 5: `minute hour day month weekday`",
                "crontab:2:1: refused: 4 fields, where a crontab line has 5: `minute hour day month weekday`",
                "crontab:3:7: refused: the line ends without a command; write one after the fields",
                "crontab:4:9: refused: the line ends without a command; write one after the fields",
                "crontab:5:10: refused: the line ends without a command; write one after the fields",
            ],
        ),
        (
            "  0  24 * * *  a\n1/2 * * * * a\n\t5-1 * * * * a\n* * L * * a\n* * * * 5#2 a\n0 0 31 2 * a\n",
            &[
                "crontab:1:6: refused: hour `24` at column 6: 0 to 23 is the range; write a number in it",
                "crontab:2:1: refused: minute `1/2` at column 1: a step follows `*` or a range; write 1-59/2",
                "crontab:3:2: refused: minute `5-1` at column 2: a range goes from the lower to the higher; write 5-59,0-1 for both parts",
                "crontab:4:5: refused: day of month `L` at column 5: `L` is not in crontab(5)",
                "crontab:5:9: refused: weekday `5#2` at column 9: `#` is not in crontab(5)",
                "crontab:6:1: refused: `vixie cron 0 0 31 2 *` never runs: no year has such a date",
            ],
        ),
        (
            "0 0 9 * * * a\n@dayly a\n@every 5m a\n@0 a\n@99999999999 a\n",
            &[
                "crontab:1:11: refused: a command does not begin with `*`; write five fields, crontab(5) has no seconds and no years",
                "crontab:2:1: refused: nickname `@dayly` is not known; write @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @reboot, alone",
                "crontab:3:1: refused: `@every` is not in crontab(5); write `*/5 * * * *`, or `@300` for 300 seconds after the last run",
                "crontab:4:1: refused: `@0`: an interval of 0 seconds would never end; write 1 or more",
                "crontab:5:1: refused: `@99999999999`: so many seconds are too long; write fewer",
            ],
        ),
        // What editors and other systems leave in files.
        (
            "\u{feff}* * * * * a\n",
            &[
                r#"1: vixie cron * * * * * | /bin/sh "a""#,
                "crontab:1:1: changed: the file begins with a byte order mark, which cron takes for a part of the line; it is left out",
            ],
        ),
        (
            "A=1\r\n\r\n* * * * * a\r\n",
            &[
                r#"3: vixie cron * * * * * | /bin/sh "a"  A=1"#,
                "crontab:1: changed: lines end in a carriage return, which cron takes for a part of them; they are left out",
            ],
        ),
        (
            "* * * * * a",
            &[
                r#"1: vixie cron * * * * * | /bin/sh "a""#,
                "crontab:1: changed: the file ends without an end of line, and cron leaves such a line out; it is read like the others",
            ],
        ),
        (
            "* * * * * é\0b\n* * * * * ok\n",
            &[
                r#"2: vixie cron * * * * * | /bin/sh "ok""#,
                "crontab:1:12: refused: the line holds a NUL, which no command can; take it out",
            ],
        ),
        (
            "é * * * * a\n",
            &[
                "crontab:1:1: refused: `é` at column 1 cannot stand in a cron text; fields are parted by spaces or tabs and made of ASCII letters, digits and * , - / ? # +",
            ],
        ),
    ];
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|(text, expected)| {
            let told = told(Crontab::user(text));
            (told != *expected).then(|| format!("{text:?}:\n{}", told.join("\n")))
        })
        .collect();
    report(&failures);
}

#[test]
fn lines_of_the_system() {
    let rows: &[(&str, &[&str])] = &[
        (
            "17 *\t* * *\troot  cd / && run-parts --report /etc/cron.hourly\n",
            &[r#"1: vixie cron 17 * * * * | root /bin/sh "cd / && run-parts --report /etc/cron.hourly""#],
        ),
        ("@daily news:uucp -s a\n", &[r#"1: vixie cron @daily | news:uucp /bin/sh "a""#]),
        (
            "@daily www/daemon a\n",
            &[
                r#"1: vixie cron @daily | www /bin/sh "a""#,
                "crontab:1:1: not carried: the login class `daemon` is FreeBSD's; the command runs with the limits of the host",
            ],
        ),
        (
            "* * * * * root\n* * * * *\n* * * * * * a\n* * * * * :x a\n",
            &[
                "crontab:1:11: refused: `root` is taken for the user, and no command follows; write both, or read the file as a user's crontab",
                "crontab:2:10: refused: the line ends where a user would go; write one after the fields",
                "crontab:3:11: refused: a command does not begin with `*`; write five fields, crontab(5) has no seconds and no years",
                "crontab:4:11: refused: the line ends where a user would go; write one after the fields",
            ],
        ),
    ];
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|(text, expected)| {
            let told = told(Crontab::system(text));
            (told != *expected).then(|| format!("{text:?}:\n{}", told.join("\n")))
        })
        .collect();
    report(&failures);
}

#[test]
fn bytes_that_are_no_text_are_told_apart() {
    let lines =
        b"# caf\xe9\nA=\xe9\n* * * * * \xc3\xa9 \xe9\n* * * * * a\n CRON_TZ=\xff\n* * * * * b\nCRON_TZ=UTC\n\xfe\n* * * * * c\n";
    let import = Crontab::user(lines).read();
    let reason =
        |byte: &str| format!("refused: the line is not UTF-8 from here on, byte {byte}; write the file anew in that encoding");
    let expected = [
        format!("crontab:2:3: {}; the lines below go without this `A`", reason("0xE9")),
        format!("crontab:3:13: {}", reason("0xE9")),
        format!("crontab:5:10: {}; the lines below that need a zone, up to another CRON_TZ, are refused", reason("0xFF")),
        "crontab:6:1: refused: its zone is not known: see line 5".to_owned(),
        format!("crontab:8:1: {}", reason("0xFE")),
    ];
    assert_eq!(notes(&import), expected);
    let taken: Vec<_> = import.jobs.iter().map(|job| (job.place.line, command(job))).collect();
    let whole = |line, text: &str| (Some(line), text.to_owned());
    assert_eq!(taken, [whole(4, r#"/bin/sh "a""#), whole(9, r#"/bin/sh "c"  CRON_TZ=UTC"#)]);
}

#[test]
fn a_very_long_line_is_read() {
    let line = format!("* * * * * echo {}\n{} * * * * a\n", "x".repeat(1 << 20), "1,".repeat(1 << 20));
    let import = Crontab::user(line).read();
    assert_eq!(import.jobs.len(), 1);
    assert_eq!(
        notes(&import),
        ["crontab:2:1: refused: the cron text has 2097160 bytes; 1024 is the most that is read"],
        "what is refused is told shortly"
    );
}

#[test]
fn what_is_left_to_chance_is_drawn_once() {
    let text = "~ 0~5 * * Mon~Fri  a\n~/10 22~ ~15 * *,~ b\n0~0 3~3/2 * * * c\n";
    let read = |seed, name: &str| Crontab::user(text).seed(seed).named(name).read();
    let first = read(7, "a");
    let schedules = |import: &punctual::Import| -> Vec<Schedule> { import.jobs.iter().map(|job| job.schedule.clone()).collect() };
    assert_eq!(schedules(&first), schedules(&read(7, "a")), "the same at each load");
    assert_ne!(schedules(&first), schedules(&read(8, "a")), "another by another seed");
    assert_ne!(schedules(&first), schedules(&read(7, "b")), "another in another file");
    let below = Crontab::user(format!("# A comment is written above.\n{text}")).seed(7).named("a").read();
    assert_eq!(schedules(&first), schedules(&below), "the same when the line is moved");
    assert_eq!(first.jobs[2].schedule, schedule("vixie cron 0 3 * * *"));
    // Each note says what stands in the schedule.
    for (note, job) in [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 1)] {
        let text = first.notes[note].to_string();
        let value = text.split_once("` is ").unwrap().1.split_once(", drawn").unwrap().0;
        assert!(first.jobs[job].schedule.to_string().contains(value), "{text}: {}", first.jobs[job].schedule);
        assert_eq!(first.notes[note].kind, NoteKind::Changed);
    }
    // Every value of a range comes up, and no other.
    let mut minutes: Vec<String> =
        (0..400).map(|seed| Crontab::user("3~7 * * * * a\n").seed(seed).read().jobs[0].schedule.to_string()).collect();
    minutes.sort();
    minutes.dedup();
    assert_eq!(minutes, ["3", "4", "5", "6", "7"].map(|minute| format!("vixie cron {minute} * * * *")));
    let mut steps: Vec<String> =
        (0..400).map(|seed| Crontab::user("~/20 * * * * a\n").seed(seed).read().jobs[0].schedule.to_string()).collect();
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), 20, "{steps:?}");
    let rows = [
        (
            "7~3 * * * * a\n",
            "crontab:1:1: refused: minute `7~3` at column 1: a range goes from the lower to the higher; write 3~7",
        ),
        ("~ 1~24 * * * a\n", "crontab:1:5: refused: hour `24` at column 5: 0 to 23 is the range; write a number in it"),
        ("~,0~59,~ 1,x * * * a\n", "crontab:1:12: refused: hour `x` at column 12: not a name of a hour; write a number"),
        (
            "1~2~3 * * * * a\n",
            "crontab:1:3: refused: minute `2~3` at column 3 is no value; write a number, a range such as 1-5, a list such as 1,3, or *",
        ),
        ("~/0 * * * * a\n", "crontab:1:1: refused: minute `~/0` at column 1: the step cannot be read so; write 1 or more"),
    ];
    let failures: Vec<String> = rows
        .iter()
        .map(|(text, expected)| (text, notes(&Crontab::user(text).read()), expected))
        .filter(|(_, found, expected)| found != &[**expected])
        .map(|(text, found, _)| format!("{text:?}: {found:?}"))
        .collect();
    report(&failures);
}

#[test]
fn policies_are_those_asked_for() {
    let text = "0 1 * * * a\n0 1 * * * -s b\n";
    let job = |crontab: Crontab, place: usize| crontab.read().jobs[place].clone();
    let usual = job(Crontab::user(text), 0);
    assert_eq!((usual.missed, usual.grace, usual.overlap), (Missed::Skip, Some(Duration::from_secs(10_800)), Overlap::Skip));
    assert_eq!((usual.timeout, usual.disabled, usual.name.as_str()), (None, false, "crontab:1"));
    let beside = Overlap::Allow { most: 9 };
    let asked = Crontab::user(text).missed(Missed::RunOnce).overlap(beside).named("/etc/x");
    let first = job(asked.clone(), 0);
    assert_eq!((first.missed, first.grace, first.overlap, first.name.as_str()), (Missed::RunOnce, None, beside, "/etc/x:1"));
    assert_eq!(job(asked, 1).overlap, Overlap::Skip, "-s");
}

#[test]
fn the_environment_is_crons_or_the_hosts() {
    let text = "HOME=/srv/data\nPATH=/opt/bin\nA=1\n0 1 * * * a\n";
    let shell = || Command::shell("a").dir("/srv/data");
    let set = |command: Command| command.env("HOME", "/srv/data").env("PATH", "/opt/bin").env("A", "1");
    let host = Crontab::user(text).environment(CronEnvironment::Host).read().jobs[0].command.clone();
    assert_eq!(host, set(shell()));
    let bare = Crontab::user(text).read().jobs[0].command.clone();
    let shown = format!("{bare:?}");
    assert!(shown.contains("bare_env: true") && shown.contains(r#"("PATH", Some("/usr/bin:/bin"))"#), "{shown}");
    // A user that no system has: nothing is known but its name.
    let nobody = Crontab::system("0 1 * * * no-such-user a\n").environment(CronEnvironment::Host).read().jobs[0].command.clone();
    let named = Command::shell("a").user("no-such-user").dir("/");
    assert_eq!(nobody, named.env("LOGNAME", "no-such-user").env("USER", "no-such-user"));
}
