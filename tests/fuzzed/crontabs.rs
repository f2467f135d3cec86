//! Crontabs in both forms: no line is lost, and what is said of one points at it.

use punctual::{Crontab, Import, NoteKind};

use super::{Fate, says, units};

pub fn crontab(bytes: &[u8]) -> Result<Fate, String> {
    let mut fate = Fate::Refused;
    for crontab in [Crontab::user(bytes), Crontab::system(bytes)] {
        let import = crontab.seed(bytes.len() as u64).named("tab").read();
        every_line(bytes, &import)?;
        units::jobs(&import)?;
        if !import.jobs.is_empty() {
            fate = Fate::Taken;
        }
    }
    Ok(fate)
}

/// Each line is a job, a setting, or refused, or says nothing.
fn every_line(bytes: &[u8], import: &Import) -> Result<(), String> {
    let lines: Vec<&[u8]> = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).split(|byte| *byte == b'\n').collect();
    for (index, line) in lines.iter().enumerate() {
        let number = Some(index + 1);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let made = import.jobs.iter().filter(|job| job.place.line == number).count();
        let refused = |note: &&punctual::Note| note.place.line == number && note.kind == NoteKind::Refused;
        let told = import.notes.iter().filter(refused).count();
        let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
        let is_right = match std::str::from_utf8(line) {
            _ if first.is_none_or(|byte| *byte == b'#') => (made, told) == (0, 0),
            Ok(line) if !line.contains('\0') && is_setting(line) => made == 0 && told <= 1,
            _ => made + told == 1,
        };
        if !is_right {
            return Err(format!("line {}: {made} jobs, {told} refusals", index + 1));
        }
    }
    let width = |line: Option<usize>| {
        let line = line.and_then(|line| lines.get(line.checked_sub(1)?));
        line.map(|line| String::from_utf8_lossy(line).chars().count() + 1)
    };
    for (place, what) in
        import.jobs.iter().map(|job| (&job.place, &job.name)).chain(import.notes.iter().map(|note| (&note.place, &note.text)))
    {
        let within = width(place.line).is_some_and(|width| place.column.is_none_or(|column| (1..=width).contains(&column)));
        if !within {
            return Err(format!("{place} is nowhere in the text: {what}"));
        }
    }
    import.notes.iter().try_for_each(says)
}

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
