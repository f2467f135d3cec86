//! A program that is killed at any moment: nothing lost, nothing twice.
//!
//! A story is a folder in which a program with fifty jobs lives again and again: each life is a process that opens the store,
//! registers the jobs and polls, and is killed by `kill -9` at a moment drawn at random; the last one ends in order. The jobs
//! keep a log apart from the store. In the end log and store have to agree, and to show what each job was promised.
//!
//! `PUNCTUAL_CASES` says how many kills, `PUNCTUAL_SEED` with which story to begin. A seed gives the same jobs, never the same
//! moments.

#![cfg(unix)]

mod child;
#[path = "killed/jobs.rs"]
mod jobs;
#[path = "killed/judge.rs"]
mod judge;
mod store_kit;

use std::time::{Duration, Instant};

use child::{Life, Line, moment};
use judge::{Figures, Story};
use store_kit::{Folder, setting};

/// So many kills make a story.
const KILLS: u64 = 20;

#[test]
#[ignore = "run by another test, which kills it"]
fn child() {
    jobs::live();
}

/// Lets a program live again and again in one folder.
fn story(seed: u64, kills: u64, folder: &Folder) -> Story {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut lives = Vec::new();
    for _ in 0..kills {
        let mut life = Life::start("child", folder.path(), &[("PUNCTUAL_STORY", seed), ("PUNCTUAL_LAST", 0)]);
        // While it starts, or after so many lines of its log.
        let early = rng.u8(0..4) == 0;
        let lines = if early { usize::MAX } else { rng.usize(1..400) };
        let end = life.started + if early { moment(&mut rng, 40) } else { Duration::from_millis(150) };
        life.read_until(lines, end);
        let further = Instant::now() + if early { Duration::ZERO } else { moment(&mut rng, 5) };
        life.read_until(usize::MAX, further);
        lives.push(life.kill());
    }
    let life = Life::start("child", folder.path(), &[("PUNCTUAL_STORY", seed), ("PUNCTUAL_LAST", 1)]);
    let (mut last, ended_well) = life.rest();
    if !ended_well {
        last.push((0, Line::Trouble("the last life ended badly".to_owned())));
    }
    lives.push(last);
    Story { seed, lives }
}

#[test]
fn nothing_is_lost_and_nothing_is_run_twice() {
    let (first, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 200));
    let began = Instant::now();
    let mut figures = Figures::default();
    for number in 0..cases.div_ceil(KILLS) {
        let (seed, kills) = (first.wrapping_add(number), KILLS.min(cases - number * KILLS));
        let folder = Folder::new();
        let story = story(seed, kills, &folder);
        if let Err(faults) = story.judge(&folder.join(jobs::FILE), &mut figures) {
            let log = std::env::temp_dir().join(format!("punctual-killed-{seed}.log"));
            std::fs::write(&log, story.to_string()).expect("a log");
            let faults = faults.join("\n");
            panic!("seed {seed}:\n{faults}\nits log: {}\nagain: PUNCTUAL_SEED={seed} PUNCTUAL_CASES=20", log.display());
        }
    }
    println!("{figures} in {:.1?}", began.elapsed());
    // Less than this, and nothing was tried.
    assert!(cases < 100 || figures.cut_off >= cases / 4 && figures.told_again > 0 && figures.followed > 1000, "{figures}");
}
