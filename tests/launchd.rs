//! Property lists of launchd's: the real ones in tests/data/moving/plists, each with its job, its next runs and its notes, in
//! one file to be read through: tests/data/moving/plists.golden.txt.
//!
//! `PUNCTUAL_BLESS=1 cargo test --test launchd` writes it anew.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use punctual::{Finished, Import, JobHandle, ManualClock, NoteKind, PropertyList, Schedule, Scheduler};

const FOLDER: &str = "tests/data/moving/plists";
const GOLDEN: &str = "tests/data/moving/plists.golden.txt";

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Import {
    PropertyList::new(&fs::read(path).unwrap()).named(path.strip_prefix(FOLDER).unwrap()).read()
}

fn list(keys: &str) -> Import {
    let text = format!("<plist version=\"1.0\"><dict>{keys}</dict></plist>");
    PropertyList::new(text.as_bytes()).read()
}

const WHAT: &str = "<key>Label</key><string>a</string><key>Program</key><string>/bin/true</string>";

fn shown(import: &Import) -> String {
    let from: DateTime<Utc> = "2026-02-27T09:00:00Z".parse().unwrap();
    let mut text = String::new();
    for job in &import.jobs {
        writeln!(text, "  {}: {}", job.name, job.schedule).unwrap();
        for at in job.schedule.upcoming(from).take(3) {
            writeln!(text, "    {}", at.format("%a %F %T")).unwrap();
        }
        writeln!(text, "    $ {}", job.command).unwrap();
        if let Some(spacing) = job.spacing {
            writeln!(text, "    at least {spacing:?} between two starts").unwrap();
        }
        if let Some(keep_up) = &job.keep_up {
            writeln!(text, "    kept up: after failure {:?}, paths {:?}", keep_up.after_failure, keep_up.paths).unwrap();
        }
        for cause in &job.starts_on {
            writeln!(text, "    starts on {cause:?}").unwrap();
        }
        if job.disabled {
            writeln!(text, "    disabled").unwrap();
        }
    }
    for note in &import.notes {
        writeln!(text, "  {note}").unwrap();
    }
    text
}

#[test]
fn real_lists_are_read_as_the_golden_file_has_them() {
    let text: String =
        files().iter().map(|path| format!("{}\n{}\n", path.file_name().unwrap().display(), shown(&read(path)))).collect();
    if std::env::var_os("PUNCTUAL_BLESS").is_some() {
        fs::write(GOLDEN, &text).unwrap();
    }
    let golden = fs::read_to_string(GOLDEN).unwrap();
    let differ = golden.lines().zip(text.lines()).find(|(golden, read)| golden != read);
    assert!(golden == text, "{GOLDEN} differs, first in (there, read now): {differ:?}");
}

#[test]
fn a_binary_list_is_the_same_as_its_xml() {
    let mut binary = 0;
    for path in files().iter().filter(|path| path.to_string_lossy().ends_with(".bin.plist")) {
        let xml = PathBuf::from(path.to_string_lossy().replace(".bin.plist", ".plist"));
        let same = |import: Import| shown(&import).replace(".bin.plist", ".plist");
        assert_eq!(same(read(path)), same(read(&xml)), "{}", path.display());
        binary += 1;
    }
    assert!(binary >= 5, "{binary}");
}

#[test]
fn what_starts_a_job() {
    let rows = [
        ("<key>StartInterval</key><integer>300</integer>", "every 5 minutes"),
        ("<key>StartInterval</key><integer>90</integer><key>RunAtLoad</key><true/>", "every 90 seconds immediately"),
        ("<key>RunAtLoad</key><true/>", "at reboot"),
        ("<key>StartCalendarInterval</key><dict/>", "vixie cron * * * * *"),
        ("<key>StartCalendarInterval</key><dict><key>Hour</key><integer>3</integer></dict>", "vixie cron * 3 * * *"),
        (
            "<key>StartCalendarInterval</key><dict><key>Day</key><integer>13</integer><key>Weekday</key><integer>5</integer></dict>",
            "vixie cron * * 13 * 5",
        ),
        (
            "<key>StartCalendarInterval</key><array><dict><key>Minute</key><integer>0</integer></dict><dict><key>Minute</key><integer>30</integer></dict></array>",
            "(vixie cron 0 * * * *) or (vixie cron 30 * * * *)",
        ),
        ("<key>KeepAlive</key><true/>", "once at 2199-12-31 23:59:59.999999999 UTC immediately"),
        ("<key>OnDemand</key><false/>", "once at 2199-12-31 23:59:59.999999999 UTC immediately"),
        ("<key>KeepAlive</key><true/><key>StartInterval</key><integer>60</integer>", "every minute immediately"),
        ("<key>WatchPaths</key><array><string>/etc/hosts</string></array>", "once at 2199-12-31 23:59:59.999999999 UTC"),
    ];
    for (keys, expected) in rows {
        let import = list(&format!("{WHAT}{keys}"));
        let found: Vec<String> = import.jobs.iter().map(|job| job.schedule.to_string()).collect();
        assert_eq!(found, [expected], "{keys}: {:?}", import.notes);
        assert_eq!(import.notes, [], "{keys}");
    }
}

#[test]
fn what_cannot_be_taken_is_refused_with_what_would_be() {
    let rows = [
        ("<key>Label</key><string>a</string>", "Program and ProgramArguments are missing; one of them says what is run"),
        ("<key>Program</key><string>/bin/true</string>", "Label is missing; it names the job"),
        ("<key>Label</key><string>a</string><key>Program</key><integer>1</integer>", "Program is 1, where a string would go"),
        (
            &format!("{WHAT}<key>StartInterval</key><integer>0</integer>"),
            "StartInterval is 0, where an integer from 1 to 2147483647 would go",
        ),
        (
            &format!("{WHAT}<key>StartCalendarInterval</key><dict><key>Hour</key><integer>24</integer></dict>"),
            "StartCalendarInterval: Hour is 24, where an integer from 0 to 23 would go",
        ),
        (
            &format!("{WHAT}<key>StartCalendarInterval</key><dict><key>Year</key><integer>2026</integer></dict>"),
            "StartCalendarInterval has \"Year\"; it takes Minute, Hour, Day, Weekday and Month",
        ),
        (
            WHAT,
            "nothing starts it; a job needs StartInterval, StartCalendarInterval, RunAtLoad, KeepAlive, WatchPaths or QueueDirectories",
        ),
        (
            &format!("{WHAT}<key>KeepAlive</key><string>yes</string>"),
            "KeepAlive is \"yes\", where true, false or a dictionary would go",
        ),
        (
            &format!(
                "{WHAT}<key>RunAtLoad</key><true/><key>EnvironmentVariables</key><dict><key>A=B</key><string>c</string></dict>"
            ),
            "EnvironmentVariables has a variable named \"A=B\"; a name has no `=` in it",
        ),
    ];
    for (keys, expected) in rows {
        let import = list(keys);
        let said: Vec<(NoteKind, &str)> = import.notes.iter().map(|note| (note.kind, note.text.as_str())).collect();
        assert_eq!((import.jobs.len(), &said[..]), (0, &[(NoteKind::Refused, expected)][..]), "{keys}");
    }
    for bytes in [&b""[..], b"bplist00", b"<plist><array/></plist>", b"\xff\xfe\x00", b"<plist><dict><key>a</key></dict></plist>"]
    {
        let import = PropertyList::new(bytes).read();
        assert_eq!((import.jobs.len(), import.notes.len(), import.notes[0].kind), (0, 1, NoteKind::Refused), "{bytes:?}");
    }
}

/// `PUNCTUAL_CASES` of them, from `PUNCTUAL_SEED` on.
#[test]
fn damaged_lists_make_a_job_or_a_note_that_says_why_not() {
    let setting = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let texts: Vec<Vec<u8>> = files().iter().map(|path| fs::read(path).unwrap()).collect();
    let seed = setting("PUNCTUAL_SEED", 1);
    let (mut jobs, mut refused) = (0, 0);
    for case in seed..seed + setting("PUNCTUAL_CASES", 5_000) {
        let mut rng = fastrand::Rng::with_seed(case);
        let mut bytes = rng.choice(&texts).unwrap().clone();
        for _ in 0..rng.usize(1..6) {
            let (place, other) = (rng.usize(..bytes.len()), rng.usize(..bytes.len()));
            let end = (place + rng.usize(1..40)).min(bytes.len());
            match rng.u8(..6) {
                0 => bytes[place] = rng.u8(..),
                1 => bytes[place] ^= 1 << rng.u8(..8),
                2 => drop(bytes.drain(place..end)),
                3 => bytes.truncate(place.max(1)),
                4 => {
                    let piece = bytes[place..end].to_vec();
                    bytes.splice(other..other, piece);
                }
                _ => {
                    let words: [&[u8]; 8] = [
                        b"<dict>",
                        b"</dict>",
                        b"<array>",
                        b"<integer>-1</integer>",
                        b"<true/>",
                        b"999999999999",
                        b"<key>",
                        b"&lt;",
                    ];
                    bytes.splice(other..other, rng.choice(words).unwrap().iter().copied());
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        let import = PropertyList::new(&bytes).read();
        let is_refused = import.notes.iter().any(|note| note.kind == NoteKind::Refused);
        assert_eq!(import.jobs.len(), usize::from(!is_refused), "seed {case}: {:?}", import.notes);
        (jobs, refused) = (jobs + import.jobs.len(), refused + usize::from(is_refused));
    }
    assert!(jobs > 100 && refused > 100, "{jobs} jobs, {refused} refused");
}

#[test]
fn what_is_written_is_read_back_with_the_same_occurrences() {
    let texts = [
        "every 5 minutes",
        "every 90 seconds immediately",
        "every 15 minutes aligned",
        "every 90 minutes aligned",
        "every hour at :15 and :45",
        "every day at 10:30",
        "every weekday at 09:00 and 17:30",
        "every year on 24 december at 18:00",
        "every month on the 1st and the 15th at 06:00",
        "cron 0 9 13 * 5",
        "cron */20 8-18 * * *",
        "cron * * * * *",
        "cron 0 0 1 */3 *",
        "vixie cron 5 4 1-31/2 * 1-5",
        "calendar Mon,Fri *-*-* 09:00:00",
        "(every day at 09:00) or (every monday at 17:30)",
        "(every 10 minutes) or (cron 3 * * * *)",
    ];
    let from: DateTime<Utc> = "2026-02-27T09:07:11Z".parse().unwrap();
    for text in texts {
        let schedule: Schedule = text.parse().unwrap();
        let keys = schedule.to_launchd().unwrap_or_else(|error| panic!("{error}"));
        let keys = keys.strip_prefix("<dict>").and_then(|keys| keys.strip_suffix("</dict>")).unwrap();
        let import = list(&format!("{WHAT}{keys}"));
        assert_eq!(import.notes, [], "{text}");
        let read = &import.jobs[0].schedule;
        let next = |schedule: &Schedule| schedule.upcoming(from).take(60).collect::<Vec<_>>();
        let mut expected = next(&schedule);
        expected.dedup();
        let mut found = next(read);
        found.dedup();
        let most = expected.len().min(found.len()).min(20);
        assert!(most >= 10, "{text}");
        assert_eq!(found[..most], expected[..most], "{text} as {keys}");
        assert_eq!(keys.contains("RunAtLoad"), text.contains("immediately"), "{text}");
    }
    let refused = [
        ("every 1500 milliseconds", "an interval is whole seconds, 2,147,483,647 at most"),
        ("every 7 minutes aligned", "its periods do not fill a day evenly, in whole minutes"),
        ("every 2 days at 09:00", "it counts from its registration, or takes its day from it"),
        ("every day", "the time of day is that of its registration; name it"),
        ("every day at 09:00:30", "launchd has no seconds"),
        (
            "every last day of the month at 09:00",
            "launchd has no last, nearest or numbered days; name days of the month or of the week",
        ),
        ("cron 0 9 13 * +FRI", "a day of the month and a day of the week that must both match; launchd takes either"),
        ("cron 0 0 9 1 1 * 2030", "launchd has no years"),
        ("cron 1-59 9-17 1-15 * *", "it would take more than 1,000 dictionaries, one for each time"),
        ("(every 5 minutes) or (every 7 minutes)", "there is one StartInterval; write a job for each interval"),
        ("every 5 minutes between 09:00 and 17:00", "launchd has no windows; write the hours in which it runs"),
        ("every day at 09:00 in UTC", "launchd knows no zone but the machine's own"),
        ("once at 2026-03-01 09:00 UTC", "a job that is loaded again would start again"),
    ];
    for (text, reason) in refused {
        let error = text.parse::<Schedule>().unwrap().to_launchd().unwrap_err();
        assert_eq!((error.target, error.reason), ("launchd", reason), "{text}");
    }
}

#[test]
fn what_would_take_more_than_a_machine_has_is_refused() {
    // A binary list of arrays, each of which holds the next one twice.
    let mut doubling = b"bplist00".to_vec();
    let last = 60;
    let offsets: Vec<u8> = (0..=last).map(|place| 8 + 3 * place).collect();
    doubling.extend((0..last).flat_map(|place| [0xa2, place + 1, place + 1]));
    doubling.push(0x09);
    let table = doubling.len() as u64;
    doubling.extend(&offsets);
    doubling.extend([0, 0, 0, 0, 0, 0, 1, 1]);
    doubling.extend([offsets.len() as u64, 0, table].into_iter().flat_map(u64::to_be_bytes));
    let deep = |open: &str, close: &str| (open.repeat(65_000) + &close.repeat(65_000)).into_bytes();
    let xml = [b"<plist version=\"1.0\">".to_vec(), deep("<array>", "</array>"), b"</plist>".to_vec()].concat();
    // One that holds a long text sixty thousand times.
    let mut repeating = b"bplist00\xaf\x11".to_vec();
    repeating.extend(60_000_u16.to_be_bytes());
    repeating.extend([1; 60_000]);
    let text = repeating.len() as u64;
    repeating.extend(b"\x5f\x12");
    repeating.extend(500_000_u32.to_be_bytes());
    repeating.extend([b'x'; 500_000]);
    let table = repeating.len() as u64;
    repeating.extend([8_u64.to_be_bytes(), text.to_be_bytes()].concat());
    repeating.extend([0, 0, 0, 0, 0, 0, 8, 1]);
    repeating.extend([2, 0, table].into_iter().flat_map(u64::to_be_bytes));
    for hostile in [doubling, repeating, xml, deep("(", ")")] {
        let import = PropertyList::new(&hostile).read();
        let said: Vec<String> = import.notes.iter().map(ToString::to_string).collect();
        assert!(import.jobs.is_empty());
        assert_eq!(said, ["plist: refused: its values come to more than a megabyte, or stand more than 64 deep"]);
    }
}

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("punctual-launchd-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A job of a property list, on a clock that is moved by hand.
struct Host {
    clock: ManualClock,
    scheduler: Scheduler,
    job: JobHandle<Finished>,
}

impl Host {
    fn of(keys: &str) -> Host {
        let clock = ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap());
        let scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).build();
        let import = list(&format!("<key>Label</key><string>job</string>{keys}"));
        assert_eq!((import.jobs.len(), &import.notes[..]), (1, &[][..]));
        let job = import.register(&scheduler).unwrap().remove(0);
        Host { clock, scheduler, job }
    }

    fn is_running(&self) -> bool {
        self.scheduler.jobs().iter().any(|job| job.running)
    }

    /// Polls until so many runs have ended, and moves the clock on by a second whenever nothing goes on. Says how far.
    fn until_runs(&self, runs: u64) -> Duration {
        let (start, patience) = (self.clock.wall(), Instant::now() + Duration::from_secs(120));
        while self.job.stats().runs < runs {
            assert!(Instant::now() < patience, "{} of {runs} runs: {:?}", self.job.stats().runs, self.scheduler.why(&self.job));
            let tick = self.scheduler.run_pending();
            if tick.ran() == 0 && !self.is_running() {
                self.clock.advance(Duration::from_secs(1));
            }
            self.scheduler.wait(Duration::from_millis(2));
        }
        (self.clock.wall() - start).to_std().unwrap()
    }

    /// Lets the system tell what it has to tell, and takes it in: nothing of it is left to be seen here.
    fn settles(&self) {
        let mut quiet = 0;
        while quiet < 100 {
            let tick = self.scheduler.run_pending();
            let is_quiet = tick.ran() == 0 && tick.handed() == 0 && !self.is_running();
            quiet = if is_quiet { quiet + 1 } else { 0 };
            self.scheduler.wait(Duration::from_millis(2));
            self.clock.advance(Duration::from_secs(1));
        }
    }

    /// Lets an hour pass in which nothing starts.
    fn rests(&self) {
        let runs = self.job.stats().runs;
        for _ in 0..60 {
            self.clock.advance(Duration::from_secs(60));
            let _ = self.scheduler.run_pending();
        }
        assert_eq!((self.job.stats().runs, self.is_running()), (runs, false));
    }
}

fn program(line: &str) -> String {
    let line = line.replace('&', "&amp;").replace('<', "&lt;");
    format!("<key>ProgramArguments</key><array><string>/bin/sh</string><string>-c</string><string>{line}</string></array>")
}

#[test]
fn a_job_that_is_kept_up_starts_again_no_sooner_than_its_throttle_lets_it() {
    let host = Host::of(&format!("{}<key>KeepAlive</key><true/>", program("exit 3")));
    let took = host.until_runs(4);
    // Four starts have three pauses of ten seconds between them; a second more for a clock that is moved in seconds.
    assert!((30..=33).contains(&took.as_secs()), "{took:?}");
    let host =
        Host::of(&format!("{}<key>KeepAlive</key><true/><key>ThrottleInterval</key><integer>60</integer>", program("exit 0")));
    let took = host.until_runs(3);
    assert!((120..=122).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_job_that_is_kept_up_after_failures_rests_after_a_success() {
    let folder = Folder::new("failures");
    let counted = folder.0.join("runs").display().to_string();
    // The third run succeeds.
    let line = format!("echo x >> {counted}; test $(wc -l < {counted}) -ge 3");
    let keys = "<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>";
    let host = Host::of(&(program(&line) + keys));
    host.until_runs(3);
    host.rests();
    assert_eq!((host.job.stats().runs, host.job.stats().errors), (3, 2));
}

#[test]
fn a_change_of_a_watched_path_starts_a_job() {
    let folder = Folder::new("watch");
    let watched = folder.0.join("hosts");
    let keys = format!("<key>WatchPaths</key><array><string>{}</string></array>", watched.display());
    let host = Host::of(&(program("true") + &keys));
    host.rests();
    // Made, written to, put in its place by another, removed.
    let steps: [&dyn Fn(); 4] = [
        &|| fs::write(&watched, "1").unwrap(),
        &|| fs::write(&watched, "2").unwrap(),
        &|| {
            let other = folder.0.join("other");
            fs::write(&other, "3").unwrap();
            fs::rename(&other, &watched).unwrap();
        },
        &|| fs::remove_file(&watched).unwrap(),
    ];
    for step in steps {
        let before = host.job.stats().runs;
        step();
        host.until_runs(before + 1);
    }
}

/// A watch moves down as directories are made, and up as they go.
#[test]
fn a_path_is_seen_whose_directories_are_made_later() {
    let folder = Folder::new("later");
    let (top, way) = (folder.0.join("a"), folder.0.join("a/b"));
    let watched = way.join("hosts");
    let keys = format!("<key>WatchPaths</key><array><string>{}</string></array>", watched.display());
    let host = Host::of(&(program("true") + &keys));
    let steps: [(&str, &dyn Fn()); 6] = [
        ("made all at once", &|| {
            fs::create_dir_all(&way).unwrap();
            fs::write(&watched, "1").unwrap();
        }),
        ("changed there", &|| fs::write(&watched, "2").unwrap()),
        ("gone with all", &|| fs::remove_dir_all(&top).unwrap()),
        ("put there with all", &|| {
            let other = folder.0.join("other");
            fs::create_dir_all(other.join("b")).unwrap();
            fs::write(other.join("b/hosts"), "3").unwrap();
            fs::rename(&other, &top).unwrap();
        }),
        ("its directory taken away", &|| fs::rename(&way, top.join("c")).unwrap()),
        ("and another one there", &|| {
            fs::create_dir(&way).unwrap();
            fs::write(&watched, "4").unwrap();
        }),
    ];
    for (step, does) in steps {
        host.settles();
        let before = host.job.stats().runs;
        println!("{step}");
        does();
        host.until_runs(before + 1);
    }
    // Step by step: a directory alone is nothing to run for, what is made in it later is.
    host.settles();
    fs::remove_dir_all(&top).unwrap();
    host.until_runs(host.job.stats().runs + 1);
    host.settles();
    let before = host.job.stats().runs;
    fs::create_dir(&top).unwrap();
    host.settles();
    fs::create_dir(&way).unwrap();
    host.settles();
    assert_eq!(host.job.stats().runs, before);
    fs::write(&watched, "5").unwrap();
    host.until_runs(before + 1);
}

#[test]
fn a_queue_and_a_switch_are_seen_whose_directories_are_made_later() {
    let folder = Folder::new("later-queue");
    let queue = folder.0.join("spool/queue");
    let keys = format!("<key>QueueDirectories</key><array><string>{}</string></array>", queue.display());
    let line = format!("rm {}/*", queue.display());
    let host = Host::of(&(program(&line) + &keys));
    host.settles();
    for runs in [1, 2] {
        fs::create_dir_all(&queue).unwrap();
        fs::write(queue.join("one"), "").unwrap();
        host.until_runs(runs);
        assert_eq!(fs::read_dir(&queue).unwrap().count(), 0);
        host.settles();
        fs::remove_dir_all(folder.0.join("spool")).unwrap();
        host.settles();
        assert_eq!(host.job.stats().runs, runs);
    }

    let switch = folder.0.join("run/on");
    let state = format!("<dict><key>PathState</key><dict><key>{}</key><true/></dict></dict>", switch.display());
    let host = Host::of(&format!("{}<key>KeepAlive</key>{state}", program("true")));
    host.settles();
    fs::create_dir(folder.0.join("run")).unwrap();
    host.settles();
    assert_eq!(host.job.stats().runs, 0);
    fs::write(&switch, "").unwrap();
    host.until_runs(2);
}

#[test]
fn a_queue_is_worked_off_until_its_directory_is_empty() {
    let folder = Folder::new("queue");
    let queue = folder.0.join("queue");
    fs::create_dir(&queue).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(queue.join(name), "").unwrap();
    }
    let keys = format!("<key>QueueDirectories</key><array><string>{}</string></array>", queue.display());
    // Each run takes one.
    let line = format!("rm {0}/$(ls {0} | head -n 1)", queue.display());
    let host = Host::of(&(program(&line) + &keys));
    host.until_runs(3);
    host.rests();
    assert_eq!(fs::read_dir(&queue).unwrap().count(), 0);
    fs::write(queue.join("d"), "").unwrap();
    host.until_runs(4);
    assert_eq!(fs::read_dir(&queue).unwrap().count(), 0);
    host.rests();
    assert_eq!(host.job.stats().errors, 0);
}

#[test]
fn a_job_is_kept_up_while_a_path_is_there() {
    let folder = Folder::new("state");
    let switch = folder.0.join("on");
    let state = format!("<dict><key>PathState</key><dict><key>{}</key><true/></dict></dict>", switch.display());
    let host = Host::of(&format!("{}<key>KeepAlive</key>{state}", program("true")));
    host.rests();
    fs::write(&switch, "").unwrap();
    host.until_runs(2);
    fs::remove_file(&switch).unwrap();
    // One may be on its way.
    host.until_runs(2);
    for _ in 0..30 {
        host.clock.advance(Duration::from_secs(1));
        let _ = host.scheduler.run_pending();
        host.scheduler.wait(Duration::from_millis(2));
    }
    host.rests();
}

#[test]
fn the_founding_property_list() {
    let folder = Folder::new("founding");
    let (out, err) = (folder.0.join("ingest.out"), folder.0.join("ingest.err"));
    let keys = format!(
        "{}<key>StartInterval</key><integer>300</integer><key>StandardOutPath</key><string>{}</string><key>StandardErrorPath</key><string>{}</string>",
        program("echo ingested; echo nothing wrong >&2"),
        out.display(),
        err.display()
    );
    let host = Host::of(&keys);
    let took = host.until_runs(12);
    assert!((3600..=3601).contains(&took.as_secs()), "{took:?}");
    let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&out), vec!["ingested"; 12]);
    assert_eq!(lines(&err), vec!["nothing wrong"; 12]);
}
