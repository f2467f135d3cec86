//! Lines as nobody would write them: no line is lost, and none makes the reader panic.

use fastrand::Rng;
use punctual::{Crontab, NoteKind};

use crate::{data, setting};

/// What mutations are made of.
const WORDS: [&str; 52] = [
    "*",
    "*/5",
    "0",
    "59",
    "60",
    "7",
    "1-5",
    "5-1",
    "1,2,,3",
    "~",
    "0~59",
    "~/7",
    "3~",
    "MON",
    "mon-fri",
    "JAN",
    "L",
    "15W",
    "#2",
    "?",
    "@daily",
    "@reboot",
    "@every",
    "@300",
    "@",
    "-",
    "-n",
    "-s",
    "root",
    "www:data/x",
    "=",
    "A=",
    "CRON_TZ=Japan",
    "CRON_TZ=Nowhere",
    "RANDOM_DELAY=9",
    "MAILTO=a",
    "\"",
    "'",
    "%",
    "\\%",
    "\\",
    "#",
    "\r",
    "\n",
    "\t",
    " ",
    "\0",
    "\u{feff}",
    "é",
    "99999999999999999999",
    "\x0b",
    "/",
];

/// env.c's `load_env`, state by state: whether a line is a setting.
fn is_setting(line: &str) -> bool {
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let (mut state, mut quote) = ("name begins", 0);
    let bytes = line.trim_start_matches([' ', '\t']).as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match state {
            "name begins" | "value begins" => {
                quote = if matches!(byte, b'\'' | b'"') { byte } else { 0 };
                at += usize::from(quote != 0);
                state = if state == "name begins" { "name" } else { "value" };
            }
            "name" | "value" if quote != 0 => {
                match (state, byte) {
                    ("name", b'=') if byte != quote => return false,
                    (_, byte) if byte == quote => state = if state == "name" { "before =" } else { "end" },
                    _ => {}
                }
                at += 1;
            }
            "name" if is_space(byte) => (state, at) = ("before =", at + 1),
            "name" if byte == b'=' => state = "before =",
            "before =" if byte == b'=' => (state, at) = ("after =", at + 1),
            "before =" if is_space(byte) => at += 1,
            "before =" => return false,
            "after =" if is_space(byte) => at += 1,
            "after =" => state = "value begins",
            "end" if is_space(byte) => at += 1,
            "end" => return false,
            _ => at += 1,
        }
    }
    // cronie takes an empty value too.
    matches!(state, "after =" | "end") || state == "value" && quote == 0
}

fn mutated(rng: &mut Rng, lines: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..rng.usize(1..4) {
        text.extend_from_slice(&rng.choice(lines).unwrap()[..]);
        text.extend_from_slice(rng.choice([&b"\n"[..], b"\n", b"\n", b"\r\n", b""]).unwrap());
    }
    for _ in 0..rng.usize(0..6) {
        let place = rng.usize(..=text.len());
        match rng.u8(..4) {
            0 => drop(text.splice(place..place, rng.choice(WORDS).unwrap().bytes())),
            1 => {
                let end = (place + rng.usize(..8)).min(text.len());
                let word = rng.choice(WORDS).unwrap();
                text.splice(place..end, format!(" {word} ").bytes());
            }
            2 if place < text.len() => text[place] = rng.u8(..),
            _ => text.truncate(text.len() - rng.usize(..=text.len().min(4))),
        }
    }
    text
}

#[test]
fn every_line_is_a_job_a_setting_or_told() {
    let folder = std::fs::read_dir(data("moving/crontabs")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let lines: Vec<Vec<u8>> = files
        .iter()
        .flat_map(|path| std::fs::read(path).unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.is_empty())
        .collect();
    let (seed, cases) = (setting("PUNCTUAL_SEED", 1), setting("PUNCTUAL_CASES", 20_000));
    let (mut jobs, mut settings, mut refused) = (0_u64, 0_u64, 0_u64);
    for case in 0..cases {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ case);
        let text = mutated(&mut rng, &lines);
        let crontab = if rng.bool() { Crontab::user(&text) } else { Crontab::system(&text) };
        let import = crontab.seed(case).read();
        let shown = || format!("PUNCTUAL_SEED={seed}, case {case}: {:?}", String::from_utf8_lossy(&text));
        let unmarked = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        for (index, line) in unmarked.split(|byte| *byte == b'\n').enumerate() {
            let number = Some(index + 1);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let made = import.jobs.iter().filter(|job| job.place.line == number).count();
            let told = import.notes.iter().filter(|note| note.place.line == number && note.kind == NoteKind::Refused).count();
            let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
            if first.is_none_or(|byte| *byte == b'#') {
                assert_eq!((made, told), (0, 0), "line {number:?} says nothing. {}", shown());
            } else if std::str::from_utf8(line).is_ok_and(|line| !line.contains('\0') && is_setting(line)) {
                assert!(made == 0 && told <= 1, "line {number:?} is a setting: {made} jobs, {told} refusals. {}", shown());
                settings += 1;
            } else {
                assert_eq!(made + told, 1, "line {number:?}: {made} jobs, {told} refusals. {}", shown());
                (jobs, refused) = (jobs + made as u64, refused + told as u64);
            }
        }
        let end = unmarked.split(|byte| *byte == b'\n').count();
        let within = |line: Option<usize>| line.is_some_and(|line| (1..=end).contains(&line));
        assert!(import.jobs.iter().all(|job| within(job.place.line)), "{}", shown());
        for note in &import.notes {
            let width = unmarked.split(|byte| *byte == b'\n').nth(note.place.line.unwrap() - 1).unwrap().len() + 1;
            assert!(note.place.column.is_none_or(|column| (1..=width).contains(&column)), "{note}. {}", shown());
        }
        for job in &import.jobs {
            let again = job.schedule.to_string().parse();
            assert_eq!(again.as_ref(), Ok(&job.schedule), "{}", shown());
        }
    }
    println!("{cases} crontabs: {jobs} jobs, {settings} settings, {refused} lines refused");
    assert!(
        jobs > cases / 4 && settings > cases / 50 && refused > cases / 4,
        "{jobs} jobs, {settings} settings, {refused} refused"
    );
}
