//! A scheduler goes on while its store's file is in trouble: that is told, jobs run or wait as they are to, the file is not
//! tried again and again, and once the cause is gone all is made up for and written.

#[allow(dead_code, reason = "the file is real")]
mod disk;
mod store_kit;
mod world;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use disk::each_in_one;
use punctual::{
    Blocked, Durability, Event, HistoryQuery, ManualClock, RunEnd, RunState, SqliteStore, Store, StoreError, Why, WithoutStore,
};
use rusqlite::Connection;
use store_kit::{Folder, Mounted, in_a_child};
use world::{SECOND, World, at};

/// A folder, and the file system that it is, if it has one of its own.
struct Ground {
    path: PathBuf,
    aside: PathBuf,
    // Before the folder goes.
    _disk: Option<Mounted>,
    folder: Folder,
}

impl Ground {
    fn usual() -> Option<Ground> {
        Some(Ground::on(None, Folder::new()))
    }

    fn small() -> Option<Ground> {
        let folder = Folder::new();
        let disk = Mounted::new(folder.path(), "size=1m")?;
        Some(Ground::on(Some(disk), folder))
    }

    fn on(disk: Option<Mounted>, folder: Folder) -> Ground {
        Ground { path: folder.join("jobs.db"), aside: folder.join("aside"), _disk: disk, folder }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    }
}

/// Ends a trouble.
type Mend<'a> = Box<dyn FnOnce() + 'a>;

struct Trouble {
    what: &'static str,
    ground: fn() -> Option<Ground>,
    begins: fn(&Ground) -> Mend<'_>,
    /// Whether it is this error that has to be told of it.
    says: fn(&StoreError) -> bool,
}

fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).expect("it is renamed");
}

fn is_replaced(error: &StoreError) -> bool {
    matches!(error, StoreError::Replaced { .. })
}

const TROUBLES: [Trouble; 8] = [
    Trouble {
        what: "the disk is full",
        ground: Ground::small,
        begins: |ground| {
            use std::io::Write;
            let ballast = ground.folder.join("ballast");
            let mut file = std::fs::File::create(&ballast).expect("a file");
            while file.write_all(&[7; 1024]).is_ok() {}
            Box::new(move || std::fs::remove_file(ballast).expect("it goes"))
        },
        says: |error| matches!(error, StoreError::Full { .. }),
    },
    Trouble {
        what: "it is deleted",
        ground: Ground::usual,
        begins: |ground| {
            rename(&ground.path, &ground.aside);
            Box::new(|| rename(&ground.aside, &ground.path))
        },
        says: is_replaced,
    },
    Trouble {
        what: "a copy is in its place",
        ground: Ground::usual,
        begins: |ground| {
            rename(&ground.path, &ground.aside);
            std::fs::copy(&ground.aside, &ground.path).expect("a copy");
            Box::new(|| rename(&ground.aside, &ground.path))
        },
        says: is_replaced,
    },
    Trouble {
        what: "another store is in its place",
        ground: Ground::usual,
        begins: |ground| {
            rename(&ground.path, &ground.aside);
            let other = ground.folder.join("other.db");
            drop(SqliteStore::open(&other).expect("it opens"));
            rename(&other, &ground.path);
            Box::new(|| rename(&ground.aside, &ground.path))
        },
        says: is_replaced,
    },
    Trouble {
        what: "its log is gone",
        ground: Ground::usual,
        begins: |ground| {
            rename(&ground.beside("-wal"), &ground.aside);
            Box::new(|| rename(&ground.aside, &ground.beside("-wal")))
        },
        says: is_replaced,
    },
    Trouble {
        what: "a statement fails in the middle",
        ground: Ground::usual,
        begins: |ground| {
            let host = Connection::open(&ground.path).expect("it opens");
            let trigger = "CREATE TRIGGER trouble BEFORE UPDATE ON punctual_meta BEGIN SELECT RAISE(FAIL, 'trouble'); END";
            host.execute_batch(trigger).expect("a trigger");
            Box::new(move || host.execute_batch("DROP TRIGGER trouble").expect("it goes"))
        },
        says: |error| matches!(error, StoreError::Io { .. } | StoreError::Damaged { .. }),
    },
    Trouble {
        what: "this process has it locked",
        ground: Ground::usual,
        begins: |ground| {
            let host = Connection::open(&ground.path).expect("it opens");
            host.execute_batch("BEGIN IMMEDIATE").expect("it begins");
            Box::new(move || host.execute_batch("ROLLBACK").expect("it ends"))
        },
        says: |error| matches!(error, StoreError::Busy { .. }),
    },
    Trouble {
        what: "another process has it locked",
        ground: Ground::usual,
        begins: |ground| {
            let mut command = Command::new(std::env::current_exe().expect("the test's own program"));
            command.args(["--exact", "--ignored", "--nocapture", "has_it_locked"]).env("PUNCTUAL_FILE", &ground.path);
            let mut other = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("another process");
            let mut said = BufReader::new(other.stdout.take().expect("its output")).lines();
            assert!(said.any(|line| line.expect("text").contains("it is locked")));
            Box::new(move || {
                drop(other.stdin.take());
                // To the end, or it could not say how it went.
                said.for_each(drop);
                assert!(other.wait().expect("it ends").success());
            })
        },
        says: |error| matches!(error, StoreError::Busy { .. }),
    },
];

#[test]
#[ignore = "run by another test, as the process that has the file locked"]
fn has_it_locked() {
    let host = Connection::open(std::env::var_os("PUNCTUAL_FILE").expect("a file")).expect("it opens");
    host.execute_batch("BEGIN EXCLUSIVE").expect("it begins");
    println!("it is locked");
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("the end of the input");
}

#[test]
fn jobs_go_on_and_all_is_made_up_for() {
    for trouble in &TROUBLES {
        go_on(trouble);
    }
}

#[test]
#[cfg(unix)]
fn with_a_limit_on_the_size_of_files() {
    let folder = Folder::new();
    // Without the signal, a write beyond the limit is an error.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    in_a_child("goes_on_at_a_limit", folder.path(), command);
}

#[test]
#[ignore = "run by another test, without the signal"]
fn goes_on_at_a_limit() {
    fn limit(bytes: &str) -> bool {
        let process = std::process::id().to_string();
        Command::new("prlimit")
            .args([&format!("--fsize={bytes}:"), "--pid", &process])
            .status()
            .is_ok_and(|status| status.success())
    }
    if !limit("unlimited") {
        return println!("skipped: no prlimit to set limits with");
    }
    go_on(&Trouble {
        what: "its log is as long as files may be",
        ground: Ground::usual,
        begins: |ground| {
            let length = std::fs::metadata(ground.beside("-wal")).expect("a log").len();
            assert!(limit(&length.to_string()));
            Box::new(|| assert!(limit("unlimited")))
        },
        says: |error| matches!(error, StoreError::Full { .. } | StoreError::Io { .. }),
    });
}

fn go_on(trouble: &Trouble) {
    for durability in [Durability::Process, Durability::Power] {
        for without in [None, Some(WithoutStore::Run), Some(WithoutStore::Hold)] {
            let Some(ground) = (trouble.ground)() else { return };
            Story { trouble, durability, without, ground }.tell();
        }
    }
}

struct Story<'a> {
    trouble: &'a Trouble,
    durability: Durability,
    without: Option<WithoutStore>,
    ground: Ground,
}

impl Story<'_> {
    fn boot(&self, clock: Option<&ManualClock>) -> (World, SqliteStore, [punctual::JobHandle; 2]) {
        let store = SqliteStore::options().durability(self.durability).clock(ManualClock::new(at("01T10:00")));
        let store = store.open(&self.ground.path).expect("it opens");
        let world = World::built(|builder| {
            let builder = clock.into_iter().fold(builder.store(store.clone()), |builder, clock| builder.clock(clock.clone()));
            self.without.into_iter().fold(builder, |builder, without| builder.without_store(without))
        });
        let says = self.trouble.says;
        world.noting_events(move |event| match event {
            Event::StoreFailed { error, .. } if says(error) => Some("failed".to_owned()),
            Event::StoreFailed { error, .. } => Some(format!("failed otherwise: {error}")),
            Event::StoreRecovered => Some("recovered".to_owned()),
            _ => None,
        });
        let noting = |name: &'static str| {
            let note = world.note();
            move |run: &mut punctual::Run| note(&format!("{name}*{}", run.folded()))
        };
        let jobs = &world.scheduler;
        let often = jobs.every(1).hour().named("often").at_least_once().priority(-1).do_with(noting("often")).expect("a job");
        let once = jobs.every(1).hour().named("once").do_with(noting("once")).expect("a job");
        jobs.every(1).hour().do_(world.noting("unkept")).expect("a job");
        (world, store, [often, once])
    }

    fn tell(&self) {
        let Story { trouble, durability, without, ground } = self;
        let case = format!("{}, {durability:?}, {without:?}", trouble.what);
        let (world, store, jobs) = self.boot(None);
        // A host that polls each second. Gives what its jobs noted, and what was told of the store.
        let lives = |seconds: u32| {
            let mut told = Vec::new();
            let mut noted = Vec::new();
            for _ in 0..seconds {
                world.clock.advance(SECOND);
                for poll in 0.. {
                    assert!(poll < 10, "{case}: a poll asks for another one again and again");
                    if world.scheduler.run_pending().next() != Some(Duration::ZERO) {
                        break;
                    }
                }
                for text in std::mem::take(&mut *world.log.lock()) {
                    if text.contains('*') || text == "unkept" { noted.push(text) } else { told.push(text) }
                }
            }
            (noted.join(" "), told)
        };
        assert_eq!(lives(3600), ("often*1 once*1 unkept".to_owned(), vec![]), "{case}");
        let before = store_kit::everything(&store).expect("it reads");

        let mend = (trouble.begins)(ground);
        let held = [*without != Some(WithoutStore::Run), *without == Some(WithoutStore::Hold)];
        let runs = match without {
            None => "unkept often*1",
            Some(WithoutStore::Run) => "unkept often*1 once*1",
            Some(_) => "unkept",
        };
        let sorted = |text: &str| {
            let mut words: Vec<&str> = text.split_whitespace().collect();
            words.sort_unstable();
            words.join(" ")
        };
        for hour in 0..3 {
            let (noted, told) = lives(3600);
            // While another process writes, what is due waits for five seconds: longer than its hour has left.
            let (noted, told) = if hour == 0 {
                let (later, more) = lives(30);
                (format!("{noted} {later}"), [told, more].concat())
            } else {
                (noted, told)
            };
            assert_eq!(sorted(&noted), sorted(runs), "{case}, hour {hour}");
            assert!(!told.is_empty() && told.len() <= 70, "{case}, hour {hour}: told {} times", told.len());
            assert!(told.iter().all(|text| text == "failed"), "{case}: {told:?}");
            for (job, held) in [&jobs[1], &jobs[0]].into_iter().zip(held) {
                let why = world.scheduler.why(job);
                assert_eq!(why == Why::Blocked(Blocked::Store), held, "{case}, hour {hour}: {why:?}");
            }
        }
        mend();

        assert_eq!(store_kit::everything(&store).as_ref(), Ok(&before), "{case}: nothing was half written");
        let (noted, told) = lives(60);
        let made_up = match without {
            None => "once*3",
            Some(WithoutStore::Run) => "",
            Some(_) => "often*3 once*3",
        };
        assert_eq!((noted.as_str(), told), (made_up, vec!["recovered".to_owned()]), "{case}");
        assert_eq!(lives(3600), ("often*1 once*1 unkept".to_owned(), vec![]), "{case}");

        for name in ["often", "once"] {
            let query = HistoryQuery { job: Some(name.into()), most: usize::MAX, ..HistoryQuery::default() };
            let history = store.history(&query).expect("it reads");
            assert!(history.iter().all(|run| matches!(run.state, RunState::Ended { end: RunEnd::Done, .. })), "{case}");
            let nanos = |at: &chrono::DateTime<chrono::Utc>| at.timestamp_nanos_opt().expect("a year");
            let ranges = history.iter().map(|run| (nanos(&run.first_missed), nanos(&run.due), run.folded)).collect();
            let all = each_in_one(name, ranges).expect("each in one run");
            assert_eq!(all, Some((5, nanos(&at("01T11:00")), nanos(&at("01T15:00")))), "{case}");
        }
        store.check().unwrap_or_else(|error| panic!("{case}: {error}"));

        // The next process takes nothing up again.
        let clock = world.clock.clone();
        drop((store, world, jobs));
        let (world, store, _) = self.boot(Some(&clock));
        assert_eq!((store.lost_at_open(), world.polled().as_str()), (0, ""), "{case}");
    }
}
