//! Records of a store, as another program might have left them there: a job carries on from any of them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use punctual::{Batch, Change, Done, JobChange, JobRecord, ManualClock, MemoryStore, OnChange, Scheduler, Store};

use super::{Fate, says};

/// Lines: the schedule in the record, the one in the program, then numbers: instants in seconds since 1970 (anchor, searched,
/// missed until, last due), how many runs are left, how many failed.
pub fn record(bytes: &[u8]) -> Result<Fate, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let (was, is) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let numbers: Vec<i64> = lines.filter_map(|line| line.parse().ok()).collect();
    let number = |place: usize| numbers.get(place).copied();
    let instant = |place: usize| number(place).and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let Ok(schedule) = is.parse::<punctual::Schedule>() else { return Ok(Fate::Refused) };
    let now: DateTime<Utc> = DateTime::from_timestamp(1_774_746_000, 0).unwrap_or_default();
    let record = JobRecord {
        schedule: was.to_owned(),
        searched: instant(1).unwrap_or(now),
        missed_until: instant(2),
        last_due: instant(3),
        runs_left: number(4).and_then(|left| left.try_into().ok()),
        failures: number(5).unwrap_or_default() as u32,
        last_run: number(6).unwrap_or_default() as u64,
        ..JobRecord::new("job", instant(0).unwrap_or(now))
    };
    let mut fate = Fate::Refused;
    for on_change in [OnChange::Keep, OnChange::Reanchor, OnChange::RunOnce] {
        let clock = ManualClock::new(now);
        let store = MemoryStore::new(clock.clone());
        let job = JobChange { record: record.clone(), ended: Vec::new(), hold: Duration::ZERO, formerly: None };
        let batch = Batch { node: Arc::from("other"), changes: vec![Change { jobs: vec![job] }] };
        store.write(batch, Done::new(|_| ()));
        let scheduler: Scheduler = Scheduler::builder().clock(clock.clone()).zone(Utc).seed(1).store(store.clone()).build();
        match scheduler.schedule(schedule.clone()).named("job").on_change(on_change).do_(|| ()) {
            Ok(job) => {
                for _ in 0..3 {
                    let tick = scheduler.run_pending();
                    let _ = (job.snapshot(), tick.idle(Duration::from_secs(3600)));
                    clock.advance(Duration::from_secs(86_400));
                }
                fate = Fate::Taken;
            }
            Err(error) => says(&error)?,
        }
        drop(scheduler);
        store.load("job").map_err(|error| error.to_string())?;
    }
    Ok(fate)
}
