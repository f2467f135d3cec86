//! Every parser of text from outside: no text makes it panic or linger, and the laws of `tests/fuzzed` hold for whatever it reads.
//!
//! A short form of what `fuzz/` does with libFuzzer, by the same laws, seeds and dictionaries; and each text in
//! `tests/data/fuzzed` that once broke a law. `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how many mutations are tried of each
//! parser, and which; `PUNCTUAL_TARGET` tries one parser alone.

#![cfg(all(feature = "crontab", feature = "launchd", feature = "systemd", feature = "chrono-tz"))]

#[path = "fuzzed/mod.rs"]
mod laws;
#[path = "fuzzed/mutate.rs"]
mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fastrand::Rng;
use laws::{Fate, TARGETS, Target};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {text}")))
}

/// What becomes of a text; a panic is a broken law too.
fn held(target: &Target, text: &[u8]) -> Result<Fate, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.law)(text)));
    let shown = || String::from_utf8_lossy(text).into_owned();
    match outcome {
        Ok(Ok(fate)) => Ok(fate),
        Ok(Err(broken)) => Err(format!("{}: {broken}\n    {:?}", target.name, shown())),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(format!("{}: it panics: {}\n    {:?}", target.name, said.unwrap_or_default(), shown()))
        }
    }
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} texts break a law:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_once_broke_a_law_does_no_more() {
    let mut failures = Vec::new();
    for target in &TARGETS {
        let folder = Path::new(ROOT).join("tests/data/fuzzed").join(target.name);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let broken = held(target, &fs::read(&path).expect("a file")).err();
            failures.extend(broken.map(|broken| format!("{}: {broken}", path.display())));
        }
    }
    report(&failures);
}

#[test]
fn the_texts_to_begin_with_hold() {
    let mut failures = Vec::new();
    for target in &TARGETS {
        let seeds = (target.seeds)(Path::new(ROOT));
        let fates: Vec<_> = seeds.iter().map(|seed| held(target, seed)).collect();
        let taken = fates.iter().filter(|fate| **fate == Ok(Fate::Taken)).count();
        assert!(taken * 4 > seeds.len(), "{}: only {taken} of {} are taken", target.name, seeds.len());
        failures.extend(fates.into_iter().filter_map(Result::err));
    }
    report(&failures);
}

#[test]
fn mutations_hold() {
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 3000));
    let alone = std::env::var("PUNCTUAL_TARGET").ok();
    let mut failures = Vec::new();
    for target in TARGETS.iter().filter(|target| alone.as_deref().is_none_or(|name| name == target.name)) {
        let seeds = (target.seeds)(Path::new(ROOT));
        let dictionary = Path::new(ROOT).join("fuzz/dictionaries").join(format!("{}.dict", target.name));
        let words = mutate::words(&fs::read_to_string(dictionary).expect("a dictionary"));
        let mut taken = 0;
        for case in 0..cases {
            let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ case);
            match held(target, &mutate::text(&mut rng, &seeds, &words)) {
                Ok(fate) => taken += u64::from(fate == Fate::Taken),
                Err(broken) => failures.push(format!("PUNCTUAL_SEED={seed}, case {case} of {broken}")),
            }
            if failures.len() == 20 {
                report(&failures);
            }
        }
        println!("{}: {cases} texts, {taken} taken", target.name);
        // Mutations that are all refused, or all taken, reach little.
        assert!(taken > cases / 50 && (taken < cases || cases < 100), "{}: {taken} of {cases} are taken", target.name);
    }
    report(&failures);
}
