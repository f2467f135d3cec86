//! 200 commands a minute, of all kinds, for as long as is said, and a shutdown in the middle of it.

use std::time::{Duration, Instant};

use fastrand::Rng;
use punctual::{Command, CommandError, Finished, Input, JobHandle, LeftBehind, RunEnd, Scheduler};

use super::kit::{self, PATIENCE, alive, alone, error_of, nap, now, open_files, processor_time, until, until_ran, zombies};

/// So often one begins.
const EVERY: Duration = Duration::from_millis(300);

/// No poll should take longer, by the processor's time of its own thread; by the clock others may hold it up.
const LONG: Duration = Duration::from_millis(5);

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How one is to end.
struct Sent {
    kind: &'static str,
    job: JobHandle<Finished>,
    end: RunEnd,
    /// Its exit code or signal, and how many bytes it wrote, if that is sure.
    status: String,
    wrote: Option<u64>,
    /// What marks its processes, and whether they may outlive it.
    nap: String,
    leaves: bool,
}

/// One more, of a kind by chance.
fn send(scheduler: &Scheduler, rng: &mut Rng) -> Sent {
    let nap = nap();
    // Most are short.
    let length = format!("{:.2}", 0.01 + 3.0 * rng.f64().powi(3));
    let bytes = if rng.u8(..8) == 0 { 10_000_000 } else { rng.u64(..300_000) };
    let code = rng.u8(1..=255);
    let limit = Duration::from_millis(rng.u64(50..1_500));
    let grace = Duration::from_millis(rng.u64(10..500));
    let done = |status: &str, wrote: u64| (RunEnd::Done, status.to_owned(), Some(wrote));
    let sh = |line: String| Command::shell(line);
    let (kind, command, (end, status, wrote), leaves, limit) = match rng.u8(..12) {
        0 => ("ends well", sh(format!("sleep {length}; echo done")), done("exit code 0", 5), false, None),
        1 => (
            "fails",
            sh(format!("sleep {length}; echo no >&2; exit {code}")),
            (RunEnd::Failed, format!("exit code {code}"), Some(0)),
            false,
            None,
        ),
        2 => ("writes much", sh(format!("head -c {bytes} /dev/zero")), done("exit code 0", bytes), false, None),
        3 => (
            "writes and waits",
            sh(format!("head -c {bytes} /dev/zero; sleep {length}; head -c {bytes} /dev/zero")),
            done("exit code 0", 2 * bytes),
            false,
            None,
        ),
        4 => ("hangs", Command::new("sleep").arg(&nap), (RunEnd::TimedOut, "SIGTERM".to_owned(), Some(0)), false, Some(limit)),
        5 => (
            "hangs and will not end",
            sh(format!("trap '' TERM; sleep {nap} & sleep {nap}")).grace(grace),
            (RunEnd::TimedOut, "SIGKILL".to_owned(), Some(0)),
            false,
            Some(limit.max(Duration::from_secs(2))),
        ),
        6 => (
            "is killed from outside",
            sh(format!("sh -c 'sleep {length}; kill -9 $0' $$ & exec sleep {nap}")),
            (RunEnd::Failed, "SIGKILL".to_owned(), Some(0)),
            false,
            None,
        ),
        7 => ("leaves one behind", sh("(sleep 1; echo late) & echo done".to_owned()), done("exit code 0", 5), true, None),
        8 => (
            "leaves one behind that writes on",
            sh(format!("(sleep {length}; exec yes) & echo done >&2; sleep {length}")),
            (RunEnd::Done, "exit code 0".to_owned(), None),
            true,
            None,
        ),
        9 => (
            "leaves some behind that have to end",
            sh(format!("sleep {nap} & (trap '' TERM; sleep {nap}) & echo done")).left_behind(LeftBehind::End).grace(grace),
            done("exit code 0", 5),
            false,
            None,
        ),
        10 => (
            "closes its output",
            sh(format!("echo out; exec >&- 2>&-; sleep {length}; exit {code}")),
            (RunEnd::Failed, format!("exit code {code}"), Some(4)),
            false,
            None,
        ),
        _ => (
            "gives back what it reads",
            Command::new("cat").stdin(Input::Bytes(vec![b'x'; bytes as usize])),
            done("exit code 0", bytes),
            false,
            None,
        ),
    };
    let job = scheduler.every(1).hour().immediately().once();
    let job = if let Some(limit) = limit { job.timeout(limit) } else { job };
    let job = job.do_command(command).unwrap();
    Sent { kind, job, end, status, wrote, nap, leaves }
}

impl Sent {
    /// Whether it has ended and nothing goes on of it.
    fn is_over(&self) -> bool {
        self.job.stats().runs > 0 && (self.job.last_value().is_some() || self.job.last_error().is_some())
    }

    /// What is wrong with how it ended.
    fn check(&self) -> Result<(), String> {
        let error = self.job.last_error();
        let value = self.job.last_value();
        let finished = match error.as_deref().map(error_of) {
            Some(CommandError::Failed { finished, .. } | CommandError::Stopped { finished, .. }) => finished,
            Some(error) => return Err(format!("{}: {error}", self.kind)),
            None => value.as_deref().ok_or("nothing is left of it")?,
        };
        let end = self.job.last_run().map(|run| run.end);
        let wrote = finished.stdout.len() as u64 + finished.stdout_left_out;
        let wrong = |what: String| Err(format!("{}: {what}", self.kind));
        if end != Some(self.end) || finished.to_string() != self.status {
            return wrong(format!("{end:?} with {finished}, where it is {:?} with {}", self.end, self.status));
        }
        if self.wrote.is_some_and(|expected| expected != wrote) {
            return wrong(format!("{wrote} bytes, where it is {:?}", self.wrote));
        }
        match alive(&self.nap) {
            left if left > 0 && !self.leaves => wrong(format!("{left} processes are left")),
            _ => Ok(()),
        }
    }
}

#[test]
#[ignore = "a minute and more: by hand"]
fn soak() {
    let _alone = alone();
    let (seconds, seed) = (setting("PUNCTUAL_SECONDS", 60), setting("PUNCTUAL_SEED", 1));
    let mut rng = Rng::with_seed(seed);
    let scheduler = Scheduler::new();
    let first = now(&scheduler, Command::new("true"));
    until_ran(&scheduler, &first, 1);
    let before = open_files();

    let (began, mut sent, mut open, mut ended) = (Instant::now(), 0_u32, Vec::new(), std::collections::BTreeMap::new());
    let (mut polls, mut long, mut longest, mut busiest, mut most_open) = (0_u64, 0_u64, Duration::ZERO, Duration::ZERO, 0);
    let mut faults = Vec::new();
    while began.elapsed().as_secs() < seconds || !open.is_empty() {
        if began.elapsed().as_secs() < seconds && began.elapsed() >= EVERY * sent {
            sent += 1;
            open.push(send(&scheduler, &mut rng));
        }
        assert!(began.elapsed() < Duration::from_secs(seconds) + PATIENCE, "{} do not end", open.len());
        most_open = most_open.max(open.len());
        let (poll, used) = (Instant::now(), processor_time());
        let _ = scheduler.run_pending();
        let (took, used) = (poll.elapsed(), processor_time() - used);
        polls += 1;
        long += u64::from(took > LONG);
        longest = longest.max(took);
        busiest = busiest.max(used);
        open.retain(|one: &Sent| {
            if one.is_over() {
                *ended.entry(one.kind).or_insert(0) += 1;
                faults.extend(one.check().err());
            }
            !one.is_over()
        });
        scheduler.wait(Duration::from_millis(10));
    }
    println!("seed {seed}: {sent} commands in {:?}, {most_open} at once at most: {ended:?}", began.elapsed());
    println!("{polls} polls, the longest {longest:?}, {long} longer than {LONG:?}; of the processor the most took {busiest:?}");
    assert!(busiest <= LONG, "a poll took {busiest:?}");
    assert!(faults.is_empty(), "{} of {sent} did not end as they should:\n{}", faults.len(), faults.join("\n"));
    assert_eq!((zombies(), open_files()), (Vec::new(), before.clone()));

    // And an end in the middle of it, of those that go on and those that are just about to start.
    let naps: Vec<String> = (0..20).map(|_| nap()).collect();
    let lines: [fn(&str) -> Command; 4] = [
        |nap| Command::new("sleep").arg(nap),
        |nap| Command::shell(format!("trap '' TERM; sleep {nap} & sleep {nap}")).grace(Duration::from_millis(200)),
        |nap| Command::shell(format!("yes & exec sleep {nap}")),
        |nap| Command::shell(format!("sleep {nap} & exec >&- 2>&-; sleep {nap}")),
    ];
    let begin = |naps: &[String]| -> Vec<JobHandle<Finished>> {
        naps.iter().zip(lines.iter().cycle()).map(|(nap, line)| now(&scheduler, line(nap))).collect()
    };
    let mut jobs = begin(&naps[..10]);
    until(&scheduler, "they go on", || naps[..10].iter().all(|nap| kit::alive(nap) > 0));
    jobs.extend(begin(&naps[10..]));
    let _ = scheduler.run_pending();
    let end = Instant::now();
    let left = scheduler.shutdown(PATIENCE);
    println!("shutdown in the middle of {}: {:?}", jobs.len(), end.elapsed());
    assert_eq!(left.len(), 0, "{left}");
    assert_eq!(naps.iter().map(|nap| alive(nap)).sum::<usize>(), 0);
    assert_eq!((zombies(), open_files()), (Vec::new(), before));
    assert!(jobs.iter().all(|job| job.stats().stopped == 1));
}
