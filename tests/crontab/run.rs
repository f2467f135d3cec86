//! Crontabs that really run, on a clock that is set by hand.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use punctual::{Crontab, Error, Finished, JobHandle, ManualClock, MemoryStore, Schedule, Scheduler};

/// So long a process may take at most.
const PATIENCE: u32 = 60;

/// A folder that goes with its holder.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("punctual-crontab-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Polls until a job has run so often.
fn until_ran(scheduler: &Scheduler, job: &JobHandle<Finished>, runs: u64) {
    for _ in 0..PATIENCE {
        let _ = scheduler.run_pending();
        if job.stats().runs >= runs {
            return;
        }
        scheduler.wait(Duration::from_secs(1));
    }
    panic!("{} runs, where {runs} should be: {:?}", job.stats().runs, job.last_error());
}

#[test]
fn ingest_every_five_minutes_for_an_hour() {
    let home = Folder::new("ingest");
    for folder in ["bin", "log"] {
        fs::create_dir_all(home.0.join(folder)).unwrap();
    }
    let script = home.0.join("bin/ingest.py");
    fs::write(&script, "#!/bin/sh\necho \"$PWD $LOGNAME ${HOST_SECRET-none}\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let line = "0-59/5 * * * *  $HOME/bin/ingest.py >> $HOME/log/ingest.out 2>&1";
    let import = Crontab::user(format!("HOME={}\n{line}\n", home.0.display())).read();
    assert!(import.notes.is_empty(), "{:?}", import.notes);

    let clock = ManualClock::new(at("2026-03-01T10:02:00Z"));
    let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(chrono::Utc).build();
    let jobs = import.register(&scheduler).unwrap();
    let job = &jobs[0];
    assert_eq!((job.name(), scheduler.jobs_tagged("crontab").len()), (Some("crontab:2"), 1));
    for minute in 1..=60 {
        clock.advance(Duration::from_secs(60));
        until_ran(&scheduler, job, (minute + 2) / 5);
    }
    assert_eq!((job.stats().runs, job.last_error().map(|error| error.to_string())), (12, None));
    let written = fs::read_to_string(home.0.join("log/ingest.out")).unwrap();
    assert_eq!(written.lines().count(), 12, "{written}");
    assert!(written.lines().all(|line| line.starts_with(&home.0.display().to_string()) && line.ends_with(" none")), "{written}");
}

#[test]
fn april_fools() {
    let import = Crontab::user("15 8 1 4 *  echo \"April Fools!\"\n").read();
    let clock = ManualClock::new(at("2026-03-31T23:59:00Z"));
    let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(chrono::Utc).build();
    let job = import.jobs[0].register(&scheduler).unwrap();
    assert_eq!(job.next_run(), Some(at("2026-04-01T08:15:00Z")));
    clock.advance(Duration::from_secs(8 * 3600 + 16 * 60));
    until_ran(&scheduler, &job, 1);
    assert_eq!(job.last_value().unwrap().stdout_text(), "April Fools!\n");
    assert_eq!(job.next_run(), Some(at("2027-04-01T08:15:00Z")));
}

#[test]
fn what_stands_behind_percent_signs_is_read() {
    let import = Crontab::user("@reboot cat; echo 10\\%%one%two\n").read();
    let scheduler: Scheduler = Scheduler::new();
    let job = import.jobs[0].register(&scheduler).unwrap();
    until_ran(&scheduler, &job, 1);
    assert_eq!(job.last_value().unwrap().stdout_text(), "one\ntwo\n10%\n");
}

/// Cron forgets what was missed by more than three hours, and makes up for what was not.
#[test]
fn a_machine_that_was_off_for_long_forgets() {
    let rows = [("2 hours", 2 * 3600, 1, 0), ("4 hours", 4 * 3600, 0, 1)];
    for (said, seconds, runs, dropped) in rows {
        let import = Crontab::user("0 3 * * * true\n").read();
        let clock = ManualClock::new(at("2026-03-01T02:59:00Z"));
        let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(chrono::Utc).build();
        let job = import.jobs[0].register(&scheduler).unwrap();
        clock.suspend(Duration::from_secs(seconds));
        until_ran(&scheduler, &job, runs);
        assert_eq!(job.next_run(), Some(at("2026-03-02T03:00:00Z")), "{said}");
        assert_eq!((job.stats().runs, job.stats().dropped), (runs, dropped), "{said}");
    }
}

#[test]
fn all_jobs_are_registered_or_none() {
    let clock = ManualClock::new(at("2026-03-01T10:00:00Z"));
    let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).store(MemoryStore::new(clock)).build();
    let mut import = Crontab::user("0 1 * * * a\n0 2 * * * b\n0 3 * * * c\n").read();
    import.jobs[2].name = "crontab:1".to_owned();
    assert!(matches!(import.register(&scheduler), Err(Error::NameTaken { .. })));
    assert_eq!(scheduler.jobs().len(), 0);
    import.jobs[2].name = "c".to_owned();
    import.jobs[1].disabled = true;
    let names: Vec<String> =
        import.register(&scheduler).unwrap().iter().filter_map(|job| job.name().map(str::to_owned)).collect();
    assert_eq!(names, ["crontab:1", "c"], "what is disabled is left out");
    assert_eq!(scheduler.clear_tagged("crontab"), 2);
    let schedule: Schedule = "every hour".parse().unwrap();
    assert!(scheduler.schedule(schedule).do_(|| ()).is_ok());
}
