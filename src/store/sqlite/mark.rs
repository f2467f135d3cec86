//! The mark: how far the store got, kept beside its file.
//!
//! SQLite cannot know that the end of its log is missing, or that the file was taken away and an older one put in its place.
//! So after each commit its number is written to a small file of its own, in one write and without a sync. After a power cut
//! the mark may be behind the file, and says nothing then. It is ahead of the file only if commits are missing.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Which store it is, and how far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) store: [u8; 16],
    /// The number of the last commit.
    pub(super) generation: i64,
    /// The number of the last one that was to survive a power cut.
    pub(super) synced: i64,
}

/// What is found in the mark's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A file that is no mark: it tells that there was a store, and no more.
    Unreadable,
    Mark(Mark),
}

/// How long a line is, and how much of it is before its checksum.
const LINE: usize = BODY + 10;
const BODY: usize = 90;

impl Mark {
    /// One line of text, always of the same length. It is written with each commit, so without a format.
    fn line(&self) -> [u8; LINE] {
        let Mark { store, generation, synced } = self;
        let mut line = *b"punctual-mark 1 00000000000000000000000000000000 00000000000000000000 00000000000000000000 00000000\n";
        write_hex(&mut line[16..48], u128::from_be_bytes(*store));
        write_decimal(&mut line[49..69], generation.unsigned_abs());
        write_decimal(&mut line[70..90], synced.unsigned_abs());
        let sum = crc32fast::hash(&line[..BODY]);
        write_hex(&mut line[BODY + 1..BODY + 9], sum.into());
        line
    }

    fn parse(line: &str) -> Option<Mark> {
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        let [_, _, store, generation, synced, _] = words[..] else {
            return None;
        };
        let store = u128::from_str_radix(store, 16).ok()?.to_be_bytes();
        let mark = Mark { store, generation: generation.parse().ok()?, synced: synced.parse().ok()? };
        (mark.line() == line.as_bytes()).then_some(mark)
    }
}

/// Writes a number's last digits, as many as there is room for.
fn write_hex(place: &mut [u8], mut number: u128) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

fn write_decimal(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

pub(super) fn read(path: &Path) -> io::Result<Found> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let mark = std::str::from_utf8(&bytes).ok().and_then(Mark::parse);
            Ok(mark.map_or(Found::Unreadable, Found::Mark))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

/// The mark's file, open to be written.
#[derive(Debug)]
pub(super) struct MarkFile(File);

impl MarkFile {
    /// Opens it, with the store as it is now; a new one is synced once, so that it is there after a power cut.
    pub(super) fn open(path: &Path, found: &Found, mark: &Mark) -> io::Result<Self> {
        let mut file = MarkFile(OpenOptions::new().write(true).create(true).truncate(false).open(path)?);
        if *found != Found::Mark(*mark) {
            file.write(mark)?;
        }
        if !matches!(found, Found::Mark(_)) {
            file.0.set_len(LINE as u64)?;
            file.0.sync_all()?;
        }
        Ok(file)
    }

    #[cfg(unix)]
    pub(super) fn write(&mut self, mark: &Mark) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, &mark.line(), 0)
    }

    #[cfg(not(unix))]
    pub(super) fn write(&mut self, mark: &Mark) -> io::Result<()> {
        use std::io::{Seek, SeekFrom, Write};
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(&mark.line())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_any_changed_byte_is_noticed() {
        let mark = Mark { store: [7; 16], generation: 123_456, synced: 123_400 };
        let line = String::from_utf8(mark.line().to_vec()).unwrap();
        let same = format!("punctual-mark 1 {} {:020} {:020} ", "07".repeat(16), mark.generation, mark.synced);
        assert_eq!(line, format!("{same}{:08x}\n", crc32fast::hash(same.trim_end().as_bytes())));
        assert_eq!(Mark::parse(&line), Some(mark));
        for place in 0..line.len() {
            for bit in 0..8 {
                let mut bytes = line.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                assert_eq!(std::str::from_utf8(&bytes).ok().and_then(Mark::parse), None, "byte {place}, bit {bit}");
            }
            assert_eq!(Mark::parse(&line[..place]), None);
        }
    }
}
