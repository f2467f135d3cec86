//! Texts near others: seeds that are changed a few times, by words of a dictionary and by bytes.

use fastrand::Rng;

/// The words of a dictionary in libFuzzer's form: lines of `"word"`, with `\\`, `\"` and `\xAB` in them.
pub fn words(dictionary: &str) -> Vec<Vec<u8>> {
    let lines = dictionary.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("{line} is no word of a dictionary"))).collect()
}

fn word(line: &str) -> Option<Vec<u8>> {
    let quoted = line.strip_prefix('"')?.strip_suffix('"')?;
    let mut word = Vec::new();
    let mut rest = quoted.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        word.push(match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                rest = after;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?
            }
            (b'\\', [escaped @ (b'\\' | b'"'), after @ ..]) => {
                rest = after;
                *escaped
            }
            (b'\\' | b'"', _) => return None,
            (byte, _) => *byte,
        });
    }
    Some(word)
}

/// No text grows beyond this.
const LONGEST: usize = 5000;

pub fn text(rng: &mut Rng, seeds: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    let any = |rng: &mut Rng, texts: &[Vec<u8>]| rng.choice(texts).cloned().unwrap_or_default();
    let mut text = any(rng, seeds);
    for _ in 0..rng.choice([1, 1, 1, 2, 3, 6]).unwrap_or(1) {
        let at = rng.usize(0..=text.len());
        let to = (at + rng.usize(0..12)).min(text.len());
        match rng.u8(..13) {
            0 | 1 => drop(text.splice(at..at, any(rng, words))),
            2 => {
                let word = [b" ".to_vec(), any(rng, words), b" ".to_vec()].concat();
                text.splice(at..to, word);
            }
            3 => drop(text.splice(at..to, [])),
            4 => text.truncate(at),
            5 if at < text.len() => text[at] ^= 1 << rng.u8(..8),
            6 => {
                let part = text[at..to].repeat(rng.choice([1, 2, 10, 100]).unwrap_or(1));
                text.splice(at..at, part);
            }
            7 => {
                // The rest of another text, from a word on.
                let other = any(rng, seeds);
                let begin = |rng: &mut Rng, text: &[u8]| {
                    let at = rng.usize(0..=text.len());
                    at + text[at..].iter().position(|byte| matches!(byte, b' ' | b'\n')).unwrap_or(0)
                };
                let (from, at) = (begin(rng, &other), begin(rng, &text));
                text.splice(at.., other[from..].iter().copied());
            }
            8 => drop(text.splice(at..to, rng.u64(..).to_string().bytes())),
            9..=11 => {
                // Another digit, or one more: most of these are read.
                let digits: Vec<usize> = (0..text.len()).filter(|place| text[*place].is_ascii_digit()).collect();
                let Some(place) = rng.choice(digits) else { continue };
                text.splice(place..place + rng.usize(..2), [b'0' + rng.u8(..10)]);
            }
            _ => {
                // A word in the place of another.
                let places: Vec<usize> = (0..text.len()).filter(|place| matches!(text[*place], b' ' | b'\n')).collect();
                let start = rng.choice(&places).map_or(0, |place| place + 1);
                let end = places.iter().copied().find(|place| *place >= start).unwrap_or(text.len());
                text.splice(start..end, any(rng, words));
            }
        }
        text.truncate(LONGEST);
    }
    text
}
