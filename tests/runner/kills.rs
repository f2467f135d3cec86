//! A week in which the program is killed every three hours, its wall clock is set twice, and the disk is full once.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::judge::{self, accounts, holds_the_week};
use super::machine::{Disk, Machine};

const THREE_HOURS: TimeDelta = TimeDelta::hours(3);

/// What happens in which of the lives.
const CLOCK_IS_SET: [(usize, TimeDelta); 2] = [(10, TimeDelta::hours(2)), (28, TimeDelta::minutes(-90))];
const DISK_IS_FULL: usize = 19;

#[test]
fn killed_every_three_hours_the_week_comes_in_whole() {
    let setting = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let first = setting("PUNCTUAL_SEED", 1);
    for seed in first..first + setting("PUNCTUAL_CASES", 1) {
        println!("seed {seed}: {}", week(seed, setting("PUNCTUAL_SPEED", 60_000) as u32));
    }
}

fn week(seed: u64, speed: u32) -> String {
    let (began, runner, mut rng) = (Instant::now(), super::runner(), fastrand::Rng::with_seed(seed));
    let times: Vec<i64> = judge::recorded().iter().map(|quake| quake.time).collect();
    let at = |time: Option<&i64>| time.and_then(|time| DateTime::from_timestamp_millis(*time)).expect("a time");
    let (first, last): (DateTime<Utc>, DateTime<Utc>) = (at(times.iter().min()), at(times.iter().max()));
    let mut machine = Machine { disk: Disk::new(&format!("kills-{seed}")), speed, now: first, steps: Vec::new() };
    let (mut kills, mut cut_off, mut timed_out, mut was_full) = (0, 0, 0, "not tried");
    // Each life ends at a moment within the three hours that follow those in which it began.
    while machine.now < last {
        let passed = (machine.now - first).num_seconds() / THREE_HOURS.num_seconds();
        let next = first + THREE_HOURS * (passed as i32 + 1);
        let end = next + TimeDelta::seconds(rng.i64(0..THREE_HOURS.num_seconds()));
        let set = CLOCK_IS_SET.iter().find(|(life, _)| *life == kills);
        machine.steps.extend(set.map(|(_, by)| (*by, machine.now + TimeDelta::minutes(90))));
        // A life that is to see that has to have begun by then, on a busy machine too.
        machine.speed = if set.is_some() { speed / 6 } else { speed };
        let mut life = machine.start(&runner, TimeDelta::days(14));
        let mut within = Duration::from_millis(8);
        if rng.u8(0..8) == 0 && set.is_none() && kills != DISK_IS_FULL {
            // While it starts.
            within = Duration::from_millis(100);
        } else {
            life.read_to("  ingest  ");
            if let Some((_, by)) = set {
                // What was written by the old time only is of a clock that was set back while it was off, and counts anew. The
                // second of the next two began after it was set.
                life.read_to_step(*by);
                life.read_to("  ingest  ");
                life.read_to("  ingest  ");
            }
            if kills == DISK_IS_FULL {
                was_full = if machine.disk.fill(life.id()) {
                    life.read_to("the store cannot be used");
                    machine.disk.make_room(life.id());
                    life.read_to("the store can be used again");
                    life.read_to("  ingest  ");
                    "was full"
                } else {
                    "could not be filled"
                };
            }
            let end = life.instant(end);
            life.read_until(end);
        }
        life.read_until(Instant::now() + within.mul_f64(rng.f64()));
        let (log, now) = life.kill();
        let count = |text: &str| log.iter().filter(|line| line.contains(text)).count() as u64;
        cut_off += count("ingest: the process ended in attempt");
        timed_out += count("took longer than");
        machine.now = now;
        kills += 1;
    }
    // Once all revisions are there, the week's feed has to be asked once more.
    for _ in 0..5 {
        let (log, now) = machine.start(&runner, TimeDelta::hours(13)).finish();
        machine.now = now;
        if log.iter().any(|line| line.contains("all_week")) {
            break;
        }
    }
    holds_the_week(&machine.file());
    let steps = CLOCK_IS_SET.map(|(_, by)| by);
    let accounts = accounts(&machine.file(), &steps);
    assert!(accounts.twice <= timed_out, "{} twice, {timed_out} timed out", accounts.twice);
    // Less than this, and nothing was tried.
    assert!(kills >= 30 && cut_off > 0, "{kills} kills, {cut_off} in the middle of an ingest");
    assert!(accounts.occurrences as i64 >= (last - first).num_minutes() / 5, "{accounts:?}");
    format!("{kills} kills, {cut_off} in the middle of an ingest; the disk {was_full}; {accounts}; in {:.1?}", began.elapsed())
}
