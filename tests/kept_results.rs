//! What jobs return outlives the process too, for those that follow: if it can be written as bytes, or always is the same.

mod disk;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use disk::Disk;
use punctual::{
    Backoff, Batch, Done, DropReason, Event, Failure, HistoryQuery, JobHandle, LastRun, ManualClock, MemoryStore, Scheduler,
    Store,
};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

type Notes = Arc<Mutex<Vec<String>>>;

/// A machine on which a program lives again and again.
struct Machine {
    clock: ManualClock,
    store: MemoryStore,
    notes: Notes,
}

/// One life of the program.
struct Life {
    scheduler: Scheduler,
    alive: Arc<AtomicBool>,
    clock: ManualClock,
    notes: Notes,
}

impl Machine {
    fn new() -> Machine {
        let clock = ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap());
        Machine { store: MemoryStore::new(clock.clone()), clock, notes: Notes::default() }
    }

    fn boot(&self) -> Life {
        let alive = Arc::new(AtomicBool::new(true));
        let lives = alive.clone();
        let way = move |store: &MemoryStore, batch: Batch, done: Done| {
            // What a dead process writes does not reach the disk.
            if lives.load(Ordering::Relaxed) {
                store.write(batch, done);
            }
        };
        let disk = Disk { store: self.store.clone(), way };
        let scheduler = Scheduler::builder().clock(self.clock.clone()).zone(chrono::Utc).store(disk).build();
        let life = Life { scheduler, alive, clock: self.clock.clone(), notes: self.notes.clone() };
        let note = life.noting();
        life.scheduler.on_event(move |event| match event {
            Event::Dropped { name, because: DropReason::ResultLost, .. } => {
                note(format!("{} lost a result", name.as_deref().unwrap()));
            }
            Event::Failed(failure) => note(format!("{}: {}", failure.name.as_deref().unwrap(), failure.kind)),
            _ => {}
        });
        life
    }

    fn noted(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap())
    }
}

impl Life {
    fn noting(&self) -> impl Fn(String) + Send + Sync + Clone + 'static {
        let notes = self.notes.clone();
        move |text| notes.lock().unwrap().push(text)
    }

    /// Polls until there is nothing left to do at this instant.
    fn poll(&self) {
        for _ in 0..10 {
            if self.scheduler.run_pending().next() != Some(Duration::ZERO) {
                return;
            }
        }
        panic!("it never rests");
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.poll();
    }

    fn die(self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    /// A job that returns a number an hour, which can be kept.
    fn numbers(&self, name: &str, number: u32) -> JobHandle<u32> {
        let job = self.scheduler.every(1).hour().named(name).do_(move || Ok::<_, String>(number)).unwrap();
        assert!(keeps(&job));
        job
    }
}

fn keeps(job: &JobHandle<u32>) -> bool {
    job.keep_results(
        |number| Some(number.to_string().into_bytes()),
        |bytes| std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
    )
}

#[test]
fn what_a_run_is_to_follow_is_given_to_it_in_the_next_process() {
    let machine = Machine::new();
    for life in 0..2 {
        let it = machine.boot();
        let numbers = it.numbers("numbers", 7 + life);
        assert!(!keeps(&numbers), "it was said already");
        let fails = it.scheduler.every(1).hour().named("fails").do_(|| Err::<(), _>("no answer")).unwrap();
        let note = it.noting();
        let later = it.scheduler.following(&numbers).named("number").delay(MINUTE);
        later.do_with(move |run, number: &u32| note(format!("{number} #{}", run.follows().unwrap().number))).unwrap();
        let note = it.noting();
        let later = it.scheduler.following(&fails).on_failure().named("failure").delay(MINUTE);
        later.do_with(move |_, failure: &Failure| note(failure.to_string())).unwrap();
        let note = it.noting();
        let later = it.scheduler.following_any([&numbers]).on_end().named("end").delay(MINUTE);
        let ended =
            move |_: &mut punctual::Run<'_>, last: &LastRun| note(format!("{:?} at {}", last.end, last.due.format("%H:%M")));
        later.do_with(ended).unwrap();
        if life == 0 {
            it.pass(HOUR);
            machine.noted();
            it.die();
        } else {
            it.pass(MINUTE);
            let failed = "fails: failed, no answer (due 2026-03-01 13:00:00 UTC)";
            let mut noted = machine.noted();
            noted.sort();
            assert_eq!(noted, ["7 #1", "Done at 13:00", failed]);
        }
    }
    let runs = machine.store.history(&HistoryQuery::default()).unwrap();
    assert!(
        runs.iter().flat_map(|run| &run.follows).all(|followed| followed.value.is_none()),
        "only until it has ended: {runs:?}"
    );
}

#[test]
fn a_run_that_goes_on_in_the_next_process_has_what_it_follows() {
    let machine = Machine::new();
    let mut given = Vec::new();
    for life in 0..3 {
        let it = machine.boot();
        let numbers = it.numbers("numbers", 7);
        let (note, alive) = (it.noting(), it.alive.clone());
        let next = it.scheduler.following(&numbers).named("next").at_least_once().retry(1).backoff(Backoff::constant(MINUTE));
        let job = move |run: &mut punctual::Run<'_>, number: &u32| {
            note(format!("{number} in attempt {}", run.attempt()));
            match life {
                0 => Err("not yet"),
                1 => {
                    alive.store(false, Ordering::Relaxed);
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        next.do_with(job).unwrap();
        it.pass(if life == 0 { HOUR } else { MINUTE });
        given.extend(machine.noted());
        it.die();
    }
    // It failed and was to be tried again; then it was cut off, and run again.
    assert_eq!(given, ["7 in attempt 1", "next: not yet", "7 in attempt 2", "7 in attempt 3"]);
}

#[test]
fn whoever_follows_all_of_several_jobs_has_their_results_of_earlier_processes() {
    for is_kept in [true, false] {
        let machine = Machine::new();
        for life in 0..3 {
            let it = machine.boot();
            let often = it.scheduler.every(1).hour().named("often").do_(move || Ok::<_, String>(life)).unwrap();
            assert!(!is_kept || keeps(&often));
            let seldom = it.scheduler.every(3).hours().named("seldom").do_(|| ()).unwrap();
            let note = it.noting();
            let both = it.scheduler.following_all((&often, &seldom)).named("both");
            both.do_with(move |_, (number, _): &(Arc<u32>, Arc<()>)| note(format!("both, of life {number}"))).unwrap();
            it.poll();
            // In the third life the seldom one comes first; the other one last came in the second.
            it.pass(if life < 2 { HOUR } else { HOUR - MINUTE });
            if life == 2 {
                it.pass(MINUTE);
            }
            it.die();
        }
        let noted = machine.noted();
        match is_kept {
            true => assert_eq!(noted, ["both, of life 2"]),
            false => assert_eq!(noted, ["both lost a result", "both lost a result", "both, of life 2"]),
        }
    }
}

#[test]
fn a_set_that_lacks_one_is_completed_in_the_next_process() {
    let machine = Machine::new();
    for life in 0..2 {
        let it = machine.boot();
        let first = it.numbers("first", 7 + life);
        let second = it.scheduler.every(90).minutes().named("second").do_(move || Ok::<_, String>(life)).unwrap();
        assert!(keeps(&second));
        let note = it.noting();
        let both = it.scheduler.following_all((&first, &second)).named("both");
        both.do_with(move |run, (one, other): &(Arc<u32>, Arc<u32>)| {
            let due = |place: usize| run.facts().follows[place].due.format("%H:%M").to_string();
            note(format!("{one} of {} and {other} of {}", due(0), due(1)));
        })
        .unwrap();
        it.poll();
        it.pass(if life == 0 { HOUR } else { HOUR / 2 });
        it.die();
    }
    assert_eq!(machine.noted(), ["7 of 13:00 and 1 of 13:30"]);
}

/// The first is two dates ahead as its process ends; the other one catches up in the next.
#[test]
fn sets_of_several_dates_are_completed_in_the_next_process() {
    let machine = Machine::new();
    for life in 0..2 {
        let it = machine.boot();
        let hourly = || it.scheduler.cron("0 * * * *").missed(punctual::Missed::RunAll { most: 9 });
        let first = hourly().named("first").do_with(|run| Ok::<_, String>(run.due().timestamp() as u32)).unwrap();
        let second = hourly().named("second").do_with(|run| Ok::<_, String>(run.due().timestamp() as u32)).unwrap();
        assert!(keeps(&first) && keeps(&second));
        let note = it.noting();
        let both = it.scheduler.following_all((&first, &second)).same_due().named("both");
        let both = both.do_with(move |run, (one, other): &(Arc<u32>, Arc<u32>)| {
            assert_eq!((**one, **other), (run.due().timestamp() as u32, run.due().timestamp() as u32));
            note(run.due().format("%H").to_string());
        });
        both.unwrap();
        if life == 0 {
            second.pause();
            for _ in 0..2 {
                it.poll();
                it.pass(HOUR);
            }
        } else {
            second.resume();
            let filling = second
                .backfill("2026-03-01T13:00:00Z".parse().unwrap(), "2026-03-01T15:00:00Z".parse().unwrap())
                .start()
                .unwrap();
            while !filling.is_over() {
                it.poll();
            }
        }
        it.die();
    }
    assert_eq!(machine.noted(), ["13", "14"]);
}

#[test]
fn what_cannot_be_written_or_read_is_said() {
    type Case = (&'static str, fn(&u32) -> Option<Vec<u8>>, fn(&[u8]) -> Option<u32>, &'static str);
    let table: [Case; 4] = [
        ("not written", |_| None, |_| Some(7), "next lost a result"),
        ("a panic", |_| panic!("no words for it"), |_| Some(7), "next lost a result"),
        ("not read", |_| Some(vec![7]), |_| None, "next: the result to follow could not be read from the store"),
        ("a panic in reading", |_| Some(vec![7]), |_| panic!("what is this"), "next: panicked: what is this"),
    ];
    for (what, write, read, expected) in table {
        let machine = Machine::new();
        for life in 0..2 {
            let it = machine.boot();
            let numbers = it.scheduler.every(1).hour().named("numbers").do_(|| Ok::<_, String>(7)).unwrap();
            assert!(numbers.keep_results(write, read));
            let note = it.noting();
            let next = it.scheduler.following(&numbers).named("next").delay(MINUTE);
            next.do_with(move |_, number: &u32| note(format!("given {number}"))).unwrap();
            if life == 0 {
                it.pass(HOUR);
                assert_eq!(numbers.stats().runs, 1, "{what}: it is no failure of the job");
                it.die();
            } else {
                it.pass(MINUTE);
                assert_eq!(machine.noted(), [expected], "{what}");
            }
        }
    }
}

#[test]
fn a_job_with_a_schedule_of_its_own_follows_too_and_needs_no_result() {
    let machine = Machine::new();
    for life in 0..2 {
        let it = machine.boot();
        let note = it.noting();
        let daily = it.scheduler.every(1).day().named("daily").when(move || life == 1);
        let daily = daily.do_(move || note("daily".to_owned())).unwrap();
        let numbers = it.scheduler.every(1).hour().named("numbers").do_(|| Ok::<_, String>(7)).unwrap();
        daily.also_after(&numbers).unwrap();
        it.pass(if life == 0 { HOUR } else { MINUTE });
        it.die();
    }
    assert_eq!(machine.noted(), ["daily"]);
}
