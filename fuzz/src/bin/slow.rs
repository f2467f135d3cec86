//! Which texts take longest without a sanitizer: `slow TARGET FOLDER..` holds each file's law three times and prints the ten
//! whose quickest time is the longest.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use punctual_fuzz::laws::TARGETS;

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        eprintln!("slow TARGET FOLDER..");
        std::process::exit(2);
    };
    let files = args.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten()).map(|entry| entry.path());
    let mut times: Vec<(Duration, PathBuf)> = files
        .filter_map(|path| {
            let text = std::fs::read(&path).ok()?;
            let once = |_| {
                let start = Instant::now();
                let _ = std::hint::black_box((target.law)(&text));
                start.elapsed()
            };
            Some(((0..3).map(once).min()?, path))
        })
        .collect();
    times.sort_by(|one, other| other.cmp(one));
    for (time, path) in times.iter().take(10) {
        println!("{time:?} {}", path.display());
    }
}
