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

/// A text with some of its characters, words and lines changed.
fn changed(rng: &mut fastrand::Rng, text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..rng.usize(1..8) {
        let at = rng.usize(0..=letters.len());
        match rng.u8(..4) {
            0 if at < letters.len() => drop(letters.drain(at..(at + rng.usize(1..20)).min(letters.len()))),
            1 => {
                let piece = rng
                    .choice(["=", "\\", "%", "$", "${", "\"", "'", ";", "\n", "[", "]", "#", "..", "\0", "\u{20ac}", "/", "~"]);
                letters.splice(at..at, piece.unwrap().chars());
            }
            2 => {
                let (from, to) = (rng.usize(0..=at), at);
                let copy: Vec<char> = letters[from..to].iter().copied().take(200).collect();
                letters.splice(at..at, copy);
            }
            _ if at < letters.len() => letters[at] = rng.choice(['\n', ' ', '0', '9', 'x', '-', '\\', '\t']).unwrap(),
            _ => {}
        }
    }
    letters.into_iter().collect()
}

#[test]
fn damaged_files_make_a_job_or_a_note() {
    let names: Vec<String> = files().into_iter().filter(|name| name.ends_with(".timer") && !name.ends_with("@.timer")).collect();
    let read = |name: &str| std::fs::read_to_string(Path::new(TIMERS).join(name)).unwrap_or_default();
    let cases: u64 = std::env::var("PUNCTUAL_CASES").map_or(5000, |cases| cases.parse().unwrap());
    for seed in 0..cases {
        let mut rng = fastrand::Rng::with_seed(seed);
        let name = rng.choice(&names).unwrap();
        let timer = changed(&mut rng, &read(name));
        let service = changed(&mut rng, &read(&name.replace(".timer", ".service")));
        let import = Units::new().text("x.timer", &timer).text("x.service", &service).timer("x.timer");
        let refused = import.notes.iter().any(|note| note.kind == NoteKind::Refused);
        assert_eq!(import.jobs.len(), usize::from(!refused), "{timer}\n{service}\n{:?}", import.notes);
        for job in &import.jobs {
            let printed = job.schedule.to_string();
            assert_eq!(printed.parse(), Ok(job.schedule.clone()), "{timer}");
        }
        for note in &import.notes {
            assert!(!note.text.is_empty() && note.place.file.to_string_lossy().starts_with("x."), "{note}");
        }
    }
}
