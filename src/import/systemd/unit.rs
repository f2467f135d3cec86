//! Unit files: sections of `Key=Value`.
//!
//! Lines that begin with `#` or `;` are comments, also between the lines of a value that goes on: a line that ends in `\` takes in
//! the next. A key may come several times; what that means is its own affair, see [`Unit::list`].

use std::path::{Path, PathBuf};

use crate::error::brief;
use crate::import::Place;

/// The longest file that is read, in bytes.
pub(super) const LONGEST: usize = 256 * 1024;

/// What systemd takes off the ends of lines, keys and values.
const SPACES: [char; 4] = [' ', '\t', '\n', '\r'];

/// A unit: its file, and what was dropped in after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Unit {
    pub(super) entries: Vec<Entry>,
    /// Lines that are none: their places and what they say.
    pub(super) odd: Vec<(Place, String)>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) place: Place,
}

impl Unit {
    /// Reads a file, after what was read before.
    pub(super) fn read(&mut self, file: &Path, text: &str) {
        let mut section = String::new();
        let mut whole = String::new();
        let mut first = 0;
        let mut goes_on = false;
        for (number, line) in text.lines().enumerate() {
            let start = line.trim_start_matches(SPACES);
            if start.starts_with(['#', ';']) {
                continue;
            }
            if !goes_on {
                whole.clear();
                first = number + 1;
            }
            goes_on = match line.strip_suffix('\\') {
                Some(line) => {
                    whole.push_str(line);
                    whole.push(' ');
                    true
                }
                None => {
                    whole.push_str(line);
                    false
                }
            };
            if !goes_on {
                self.line(file, first, whole.trim_matches(SPACES), &mut section);
            }
        }
        if goes_on {
            self.line(file, first, whole.trim_matches(SPACES), &mut section);
        }
    }

    fn line(&mut self, file: &Path, number: usize, line: &str, section: &mut String) {
        if line.is_empty() {
            return;
        }
        let place = place(file, number);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            *section = name.to_owned();
            return;
        }
        match line.split_once('=') {
            Some((key, value)) if !section.is_empty() => self.entries.push(Entry {
                section: section.clone(),
                key: key.trim_end_matches(SPACES).to_owned(),
                value: value.trim_start_matches(SPACES).to_owned(),
                place,
            }),
            _ => self.odd.push((place, brief(line))),
        }
    }

    pub(super) fn section<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.section == section)
    }

    /// The last that a key was set to; an empty value is as good as none.
    pub(super) fn last<'a>(&'a self, section: &'a str, key: &str) -> Option<&'a Entry> {
        self.section(section).filter(|entry| entry.key == key).last().filter(|entry| !entry.value.is_empty())
    }

    /// All that a key was set to, of those keys that add up; an empty value takes back what came before.
    pub(super) fn list<'a>(&'a self, section: &'a str, key: &str) -> Vec<&'a Entry> {
        let mut found = Vec::new();
        for entry in self.section(section).filter(|entry| entry.key == key) {
            if entry.value.is_empty() { found.clear() } else { found.push(entry) }
        }
        found
    }
}

pub(super) fn place(file: &Path, line: usize) -> Place {
    Place { file: PathBuf::from(file), line: Some(line), column: None }
}

/// What systemd takes for yes and for no.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match () {
        () if is(&["1", "yes", "y", "true", "t", "on"]) => Some(true),
        () if is(&["0", "no", "n", "false", "f", "off"]) => Some(false),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_and_comments_do_not_count() {
        let mut unit = Unit::default();
        let text = "# top\n[Service]\n; note\nExecStart=/bin/a \\\n# between\n  b \\\n  c\nEnvironment = A=1\nEnvironment=\nEnvironment=B=2\nstray\n[Unit]\nX=y\\";
        unit.read(Path::new("x.service"), text);
        let said: Vec<(&str, &str, Option<usize>)> =
            unit.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str(), entry.place.line)).collect();
        let expected = [
            ("ExecStart", "/bin/a    b    c", Some(4)),
            ("Environment", "A=1", Some(8)),
            ("Environment", "", Some(9)),
            ("Environment", "B=2", Some(10)),
            ("X", "y", Some(13)),
        ];
        assert_eq!(said, expected);
        assert_eq!(unit.list("Service", "Environment").len(), 1);
        assert_eq!(unit.odd.len(), 1);
        assert_eq!(unit.odd[0].0.line, Some(11));
    }
}
