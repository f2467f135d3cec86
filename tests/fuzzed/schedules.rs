//! What must hold of every schedule, however it was read.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use chrono::{DateTime, TimeDelta, Utc};
use punctual::{Dialect, NotExact, PropertyList, Schedule};

type Instant = DateTime<Utc>;

/// Instants at which something might go wrong: the ends of time, of a century, of February, of the years that are read.
fn instants() -> [Instant; 7] {
    let seconds = |at| DateTime::from_timestamp(at, 0).expect("an instant");
    [
        Instant::MIN_UTC,
        DateTime::UNIX_EPOCH,
        // 1999-12-31T23:59:59Z, 2024-02-29T00:00:00Z, Berlin's change of 2026-03-29, 2199-12-01T00:00:00Z.
        seconds(946_684_799),
        seconds(1_709_164_800),
        seconds(1_774_746_000),
        seconds(7_255_440_000),
        Instant::MAX_UTC,
    ]
}

/// What a schedule's text may have at most, in bytes: what a file says in many lines may print longer, and is not read then.
pub const LONGEST_TEXT: usize = 4096;

/// Of what is written in more parts than this, none is read back.
const MOST_PARTS: usize = 40;

const NANO: TimeDelta = TimeDelta::nanoseconds(1);

pub fn hold(schedule: &Schedule) -> Result<(), String> {
    reads_back(schedule)?;
    occurs(schedule)?;
    is_written(schedule)
}

/// What is printed reads back as the same value, and prints again as it was.
pub fn reads_back(schedule: &Schedule) -> Result<(), String> {
    let text = schedule.to_string();
    if text.len() > LONGEST_TEXT {
        return Ok(());
    }
    let back: Schedule = text.parse().map_err(|error| format!("`{text}` does not read back: {error}"))?;
    let hash = |schedule: &Schedule| {
        let mut hasher = DefaultHasher::new();
        schedule.hash(&mut hasher);
        hasher.finish()
    };
    let said = schedule.describe();
    match () {
        () if back != *schedule => Err(format!("`{text}` reads back as `{back}`")),
        () if hash(&back) != hash(schedule) => Err(format!("`{text}` reads back with another hash")),
        () if back.to_string() != text => Err(format!("`{text}` prints again as `{back}`")),
        () if said.trim().is_empty() || said.contains('\n') => Err(format!("`{text}` is described as {said:?}")),
        () => Ok(()),
    }
}

/// Occurrences come one after the other, and end; backwards they are the same.
pub fn occurs(schedule: &Schedule) -> Result<(), String> {
    let text = schedule.to_string();
    // Of a part that counts from where it is asked, both ways are not the same grid.
    let counts_from_here = text.contains("once after") || text.contains(") and (") && text.contains("every");
    // A gap drawn at random has no past, and of its occurrences those to be expected are counted.
    let words: Vec<&str> = text.split(' ').collect();
    let is_count = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let is_random = words.windows(3).any(|words| words[1] == "to" && is_count(words[0]) && is_count(words[2]));
    // Where ten thousand candidates may be refused before there is an answer, or none, few are asked for.
    let is_searched = [" between ", " except ", ") and ("].iter().any(|part| text.contains(part));
    let instants = if is_searched { &instants()[3..5] } else { &instants()[..] };
    for &from in instants {
        let most = if is_searched { 2 } else { 20 };
        let next = schedule.next_after(from);
        let found: Vec<Instant> = schedule.upcoming(from).take(most).collect();
        if found.first().copied() != next {
            return Err(format!("`{text}` after {from}: {next:?} is next, and {:?} the first", found.first()));
        }
        let before = std::iter::once(from).chain(found.iter().copied());
        if let Some((before, at)) = before.zip(&found).find(|(before, at)| before >= *at) {
            return Err(format!("`{text}` after {from}: {at} comes after {before}"));
        }
        if let (Some(last), false) = (found.last(), is_random) {
            let count = schedule.count_between(from, *last);
            if count != found.len() as u64 {
                return Err(format!("`{text}` has {count} occurrences in ({from}, {last}], and gives {}", found.len()));
            }
        }
        let Some(next) = next else { continue };
        let is_anywhere = !counts_from_here && !is_random && schedule.next_after(next - NANO) == Some(next);
        let back = schedule.prev_before(next + NANO);
        if is_anywhere && back != Some(next) {
            return Err(format!("`{text}`: {next} is next after {from}, and backwards it is {back:?}"));
        }
        if let Some(earlier) = schedule.prev_before(next).filter(|earlier| *earlier >= next) {
            return Err(format!("`{text}`: {earlier} comes before {next}"));
        }
    }
    Ok(())
}

/// Written for another scheduler it has the same occurrences, or the reason is said why it cannot be.
pub fn is_written(schedule: &Schedule) -> Result<(), String> {
    let text = schedule.to_string();
    // The machine's zone is not written, and what is read without a zone is read in UTC here.
    if text.contains("local") {
        return Ok(());
    }
    let [_, _, century, february, spring, _, _] = instants();
    let same = |target: &str, written: &str, again: &Schedule| {
        for from in [century, february, spring] {
            let occurrences = |schedule: &Schedule| schedule.upcoming(from).take(4).collect::<Vec<_>>();
            let (meant, found) = (occurrences(schedule), occurrences(again));
            if meant != found {
                return Err(format!("`{text}` for {target}: `{written}`\nafter {from}: meant {meant:?}\nfound {found:?}"));
            }
        }
        Ok(())
    };
    match schedule.to_cron() {
        Err(error) => refusal(&error)?,
        // What is written in many parts is the same as in few, and takes its time to read.
        Ok(lines) if lines.len() > MOST_PARTS => {}
        Ok(lines) => {
            let written = lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let read = |line: &punctual::CronLine| {
                let schedule = Schedule::cron_in(Dialect::Vixie, &line.fields)?;
                line.zone.iter().try_fold(schedule, |schedule, zone| schedule.tz(zone))
            };
            let parts: Result<Vec<Schedule>, _> = lines.iter().map(read).collect();
            let parts = parts.map_err(|error| format!("`{text}` is written `{written}`, which is refused: {error}"))?;
            let again = parts.into_iter().reduce(Schedule::or).ok_or_else(|| format!("`{text}` is written as nothing"))?;
            same("cron", &written, &again)?;
        }
    }
    match schedule.to_on_calendar() {
        Err(error) => refusal(&error)?,
        Ok(event) => {
            let again = Schedule::on_calendar(&event)
                .map_err(|error| format!("`{text}` is written `{event}`, which is refused: {error}"))?;
            same("systemd", &event, &again)?;
        }
    }
    match schedule.to_launchd() {
        Err(error) => refusal(&error)?,
        Ok(keys) if keys.matches("<dict>").count() > MOST_PARTS => {}
        Ok(keys) => {
            let what = "<dict><key>Label</key><string>a</string><key>Program</key><string>/bin/true</string>";
            let list = format!("<plist version=\"1.0\">{}</plist>", keys.replacen("<dict>", what, 1));
            let import = PropertyList::new(&list).read();
            let [job] = &import.jobs[..] else {
                return Err(format!("`{text}` is written `{keys}`, which is refused: {:?}", import.notes));
            };
            same("launchd", &keys, &job.schedule)?;
        }
    }
    Ok(())
}

fn refusal(error: &NotExact) -> Result<(), String> {
    let is_fine = !error.part.is_empty() && !error.reason.is_empty() && !error.target.is_empty();
    if is_fine { super::says(error) } else { Err(format!("a refusal says {error:?}")) }
}
