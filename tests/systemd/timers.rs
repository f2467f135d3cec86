//! Timers of real machines: their text and their files come to the same jobs.

use std::path::Path;

use punctual::{Import, NoteKind, Units};

const TIMERS: &str = "tests/data/moving/timers";

fn files() -> Vec<String> {
    let names = std::fs::read_dir(TIMERS).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn text_files_and_folders_come_to_the_same() {
    let timers: Vec<String> = files().into_iter().filter(|name| name.ends_with(".timer")).collect();
    assert!(timers.len() > 70, "{}", timers.len());
    let mut texts = Units::new();
    for name in files().iter().filter(|name| name.ends_with(".timer") || name.ends_with(".service")) {
        texts = texts.text(name, std::fs::read_to_string(Path::new(TIMERS).join(name)).unwrap());
    }
    let folder = Units::new().dir(TIMERS);
    for name in timers.iter().map(|name| name.replace("@.timer", "@a-b.timer")) {
        let jobs = |import: &Import| {
            import.jobs.iter().map(|job| (job.schedule.clone(), job.command.clone(), job.missed)).collect::<Vec<_>>()
        };
        let (of_text, of_folder) = (texts.timer(&name), folder.timer(&name));
        assert_eq!(jobs(&of_text), jobs(&of_folder), "{name}");
        // Of this machine more may be known.
        let of_file = Import::timer(Path::new(TIMERS).join(&name));
        assert_eq!(of_file.jobs.len(), of_text.jobs.len(), "{name}");
    }
    let all = folder.timers();
    let refused = all.notes.iter().filter(|note| note.kind == NoteKind::Refused).count();
    let instances = timers.iter().filter(|name| !name.ends_with("@.timer")).count();
    assert_eq!(all.jobs.len() + refused, instances);
}

#[test]
fn imported_jobs_can_be_registered_by_their_schedules() {
    let clock = punctual::ManualClock::new("2026-03-01T00:00:00Z".parse().unwrap());
    let scheduler: punctual::Scheduler = punctual::Scheduler::builder().clock(clock.clone()).zone(chrono::Utc).build();
    for job in Units::new().dir(TIMERS).timers().jobs {
        scheduler
            .schedule(job.schedule.clone())
            .named(&job.name)
            .do_(|| ())
            .unwrap_or_else(|error| panic!("{}: {error}", job.name));
    }
    assert!(scheduler.jobs().len() > 50);
}
