//! The text of every error, as a user meets it, in one file to be read through: tests/data/errors.golden.txt.
//!
//! `PUNCTUAL_BLESS=1 cargo test --test errors` writes it anew.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::Weekday;
use punctual::{CronError, Dialect, Error, Missed, Overlap, Schedule, Scheduler, SqliteStore, StoreError, TextError};

/// The name of a variant, down to the one that says it.
fn variant(error: &Error) -> String {
    let name = |debug: String| debug.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
    match error {
        Error::Cron { error, .. } => format!("Cron::{}", name(format!("{error:?}"))),
        Error::OnCalendar { error, .. } => format!("OnCalendar::{}", name(format!("{error:?}"))),
        Error::Text { error, .. } => format!("Text::{}", name(format!("{error:?}"))),
        error => name(format!("{error:?}")),
    }
}

fn given() -> Vec<(String, Error)> {
    let mut rows: Vec<(String, Error)> = Vec::new();
    let mut row = |given: &str, result: Result<(), Error>| match result {
        Ok(()) => panic!("{given} was taken"),
        Err(error) => rows.push((given.to_owned(), error)),
    };
    let scheduler =
        Scheduler::builder().clock(punctual::ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap())).zone(chrono::Utc);
    let scheduler: Scheduler = scheduler.build();
    row("at_latest(..) without when(..)", scheduler.every(1).hour().at_latest(Duration::ZERO).do_(|| ()).map(drop));
    let clock = punctual::ManualClock::new("2026-03-01T10:00:00Z".parse().unwrap());
    let kept: Scheduler = Scheduler::builder().clock(clock.clone()).store(punctual::MemoryStore::new(clock)).build();
    kept.every(1).hour().named("sync").do_(|| ()).unwrap();
    row("named(\"sync\") twice, with a store", kept.every(1).hour().named("sync").do_(|| ()).map(drop));
    let every = Schedule::every;
    row("every(0).minutes()", every(0).minutes().build().map(drop));
    row("every(2).day()", every(2).day().build().map(drop));
    row("every(2).monday()", every(2).monday().build().map(drop));
    row("every(5).to(3).minutes()", every(5).to(3).minutes().build().map(drop));
    row("every(1).to(3).months()", every(1).to(3).months().build().map(drop));
    row("every_period(300 years)", Schedule::every_period(Duration::from_secs(300 * 31_536_000)).build().map(drop));
    row("every(1).day().at(\"9:30\")", every(1).day().at("9:30").build().map(drop));
    row("every(1).hour().at(\"61:00\")", every(1).hour().at("61:00").build().map(drop));
    row("every(1).second().at(\":10\")", every(1).second().at(":10").build().map(drop));
    row("every(1).day().on(Mon)", every(1).day().on(Weekday::Mon).build().map(drop));
    row("every(1).month().on_day(32)", every(1).month().on_day(32).build().map(drop));
    row("every(1).day().tz(\"Berlin\")", every(1).day().tz("Berlin").build().map(drop));
    row("every(1).day().tz(\"+02:00\")", every(1).day().tz("+02:00").build().map(drop));
    row("every(1).hour().between(\"9\", \"17\")", every(1).hour().between("9", "17").build().map(drop));
    row("every(1).day().until(\"soon\")", scheduler.every(1).day().until("soon").do_(|| ()).map(drop));
    row("every(1).day().until(\"09:00\") at 10:00", scheduler.every(1).day().until("09:00").do_(|| ()).map(drop));
    row("every(1).day().times(0)", every(1).day().times(0).build().map(drop));
    row(
        "every(1).day().missed(RunAll { most: 0 })",
        scheduler.every(1).day().missed(Missed::RunAll { most: 0 }).do_(|| ()).map(drop),
    );
    let hourly = || scheduler.every(1).hour();
    row("overlap(Allow { most: 2 }) inline", hourly().overlap(Overlap::Allow { most: 2 }).do_(|| ()).map(drop));
    row("overlap(Queue { most: 0 })", hourly().overlap(Overlap::Queue { most: 0 }).do_(|| ()).map(drop));
    row("at_most(0, \"api\")", hourly().at_most(0, "api").do_(|| ()).map(drop));
    row("rate(0, 1 s, \"api\")", hourly().rate(0, Duration::from_secs(1), "api").do_(|| ()).map(drop));
    row("pause_after_failures(0)", hourly().pause_after_failures(0).do_(|| ()).map(drop));
    row("run_between(\"9\", \"17\")", hourly().run_between("9", "17").do_(|| ()).map(drop));
    hourly().at_most(2, "api").rate(5, Duration::from_secs(60), "calls").do_(|| ()).unwrap();
    row("at_most(3, \"api\") beside at_most(2, \"api\")", hourly().at_most(3, "api").do_(|| ()).map(drop));
    row("mutex(\"calls\") beside rate(5, 60 s, \"calls\")", hourly().mutex("calls").do_(|| ()).map(drop));
    row("do_async outside of a runtime", hourly().do_async(|_| async {}).map(drop));
    let reason = "Resource temporarily unavailable (os error 11)".to_owned();
    row("do_command, and the system gives no thread", Err(Error::NoCommandThread { reason }));
    row(
        "unless_done(|_| Some(7u64)) for a job that returns a u32",
        hourly().unless_done(|_| Some(7u64)).do_(|| Ok::<u32, String>(7)).map(drop),
    );
    row(
        "unless_done(|_| true) for a job that returns a u32",
        hourly().unless_done(|_| true).do_(|| Ok::<u32, String>(7)).map(drop),
    );
    row("following_any([])", scheduler.following_any::<()>([]).do_(|| ()).map(drop));
    let first = hourly().named("first").do_(|| ()).unwrap();
    let second = scheduler.following(&first).do_(|| ()).unwrap();
    row("first.also_after(&second), which follows first", first.also_after(&second));
    let (minute, moment) = (Duration::from_secs(60), Duration::from_secs(1));
    row("delay(1 min).within(1 s)", scheduler.following(&first).delay(minute).within(moment).do_(|| ()).map(drop));
    let daily = scheduler.every(1).day().at("06:00").named("daily").do_(|| ()).unwrap();
    let (from, to) = ("2026-02-01T00:00:00Z".parse().unwrap(), "2026-03-01T00:00:00Z".parse().unwrap());
    row("first.backfill(..), every hour", first.backfill(from, to).start().map(drop));
    row("second.backfill(..), which follows first", second.backfill(from, to).start().map(drop));
    row("daily.backfill(to, from)", daily.backfill(to, from).start().map(drop));
    daily.backfill(from, to).start().unwrap();
    row("daily.backfill(..) a second time", daily.backfill(from, to).start().map(drop));
    row("second.also_after(&first), which follows first", second.also_after(&first));
    row("cron(\"0 0 31 2 *\")", scheduler.cron("0 0 31 2 *").do_(|| ()).map(drop));
    let job = scheduler.every(1).day().do_(|| ()).unwrap();
    let other: Scheduler = Scheduler::builder().build();
    row("following a job of another scheduler", other.following(&job).do_(|| ()).map(drop));
    job.cancel();
    row("rescheduling a job that was cancelled", job.reschedule(Schedule::once_after(Duration::ZERO)));
    let gone = other.every(1).day().do_(|| ()).unwrap();
    drop(other);
    row("rescheduling a job whose scheduler is gone", gone.reschedule(Schedule::once_after(Duration::ZERO)));
    let cron = [
        "",
        "* * *",
        "5: * * * *",
        "@dayly",
        "60 * * * *",
        "0 17-9 * * *",
        "5, * * * *",
        "5/15 * * * *",
        "*/90 * * * *",
        "*/0 * * * *",
        "*,5 * * * *",
        "0 0 * * MONDAY",
        "0 0 25-L * *",
        "0 0 l * *",
        "0 0 15L * *",
        "0 0 * * L",
        "0 0 * * 1-5#2",
        "? * * * *",
        "0 0 * * MON,+FRI",
        "1- * * * *",
    ];
    for text in cron {
        row(&format!("cron {text:?}"), Schedule::cron(text).map(drop));
    }
    row("cron, 2,000 bytes", Schedule::cron("*".repeat(2000)).map(drop));
    row("vixie cron \"0 0 9 * * 1\"", Schedule::cron_in(Dialect::Vixie, "0 0 9 * * 1").map(drop));
    let events = [
        "",
        "Mon..Foo 09:00",
        "Fri..Mon",
        "Mon,,Tue",
        "Mon..Tue..Wed",
        "*-13-01",
        "*-*-* 24:00",
        "9",
        "09:00 pm",
        "*-*-* 09:00:",
        "2026-12-24T18:00",
        "*:*/15",
        "*:0/0",
        "*:0/60",
        "*:30..10",
        "*:*:1.5..2",
        "*:*:5..4",
        "*:*:5.",
        "*-*~29",
        "*-02~03-01",
        "daily Europe/Berlino",
        "daily europe/berlin",
        "@now",
        "@99999999999",
    ];
    for text in events {
        row(&format!("on_calendar({text:?})"), Schedule::on_calendar(text).map(drop));
    }
    row("on_calendar, 2,000 bytes", Schedule::on_calendar("*".repeat(2000)).map(drop));
    row("on_calendar, 300 hours", Schedule::on_calendar(vec!["1"; 300].join(",") + ":00").map(drop));
    let texts = [
        "",
        "5 minutes",
        "every 5 fortnights",
        "every day at",
        "every day at 25:00",
        "every day in Atlantis",
        "every 0 minutes",
        "every 2nd tuesday",
        "every day between 09:00 and",
        "every day except <predicate>",
        "every day at 09:00 sometimes",
        "once at noon",
        "cron 0 9 * * 9",
    ];
    for text in texts {
        row(&format!("{text:?}"), text.parse::<Schedule>().map(drop));
    }
    let ended: Scheduler = Scheduler::new();
    let _ = ended.shutdown(Duration::ZERO);
    row("every(1).hour() after shutdown", ended.every(1).hour().do_(|| ()).map(drop));
    row("a text of 5,000 bytes", "every ".repeat(900).parse::<Schedule>().map(drop));
    let dates: Vec<String> = (2000..2330).map(|year| format!("{year}-01-01")).collect();
    let dates = format!("every day except on {}", dates.join(", "));
    row("330 dates, with commas between them", dates.parse::<Schedule>().map(drop));
    row("20 parentheses", "(".repeat(20).parse::<Schedule>().map(drop));
    rows
}

/// What a store says: of files as they come to be where that is quickly done.
fn given_of_stores() -> Vec<(String, StoreError)> {
    let folder = std::env::temp_dir().join(format!("punctual-errors-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name);
    let opened = |name: &str| SqliteStore::open(file(name)).map(drop).expect_err(name);
    std::fs::write(file("notes.txt"), "no database").unwrap();
    drop(SqliteStore::open(file("jobs.db")).unwrap());
    drop(SqliteStore::open(file("other.db")).unwrap());
    let copy = SqliteStore::open(file("jobs.db")).unwrap().backup(file("other.db"));
    let mut rows = vec![
        ("a folder that is not there", opened("none/jobs.db")),
        ("a text file", opened("notes.txt")),
        ("a backup to a file that is there", copy.unwrap_err()),
    ];
    std::fs::rename(file("other.db-mark"), file("jobs.db-mark")).unwrap();
    rows.push(("a file in another store's place", opened("jobs.db")));
    std::fs::remove_file(file("jobs.db")).unwrap();
    rows.push(("a file that is gone", opened("jobs.db")));
    std::fs::remove_dir_all(&folder).unwrap();
    let path = || "jobs.db".to_owned();
    rows.extend([
        ("a file of a newer version", StoreError::Newer { path: path(), found: 3, known: 1 }),
        (
            "a row that was changed",
            StoreError::Damaged { path: path(), what: "the checksum of job \"quakes\" in punctual_jobs is wrong".to_owned() },
        ),
        ("an older copy", StoreError::Shortened { path: path(), commits: 7 }),
        ("a file that was deleted", StoreError::Replaced { path: path() }),
        ("a file that is read-only", StoreError::ReadOnly { path: path() }),
        ("a disk that is full", StoreError::Full { path: path() }),
        ("a file that is locked", StoreError::Busy { path: path() }),
        ("a disk that fails", StoreError::Io { path: path(), what: "disk I/O error".to_owned() }),
        ("a job of another process", StoreError::Held { job: "quakes".to_owned(), by: "node-1".to_owned() }),
        ("a run that was taken over", StoreError::Fenced { job: "quakes".to_owned(), number: 7, attempt: 1 }),
        ("a run of a job without a name", StoreError::NotKept { job: "job 3".to_owned() }),
        ("a transaction on another file", StoreError::OtherFile { path: path(), given: "quakes.db".to_owned() }),
        ("a connection without a transaction", StoreError::NoTransaction { path: path() }),
        ("a store that dropped its answer", StoreError::Unanswered),
    ]);
    rows.into_iter().map(|(given, error)| (given.to_owned(), shown(error, &folder))).collect()
}

/// An error whose paths do not tell which folder it was.
fn shown(error: StoreError, folder: &std::path::Path) -> StoreError {
    let real = std::fs::canonicalize(std::env::temp_dir()).unwrap().join(folder.file_name().unwrap());
    let short =
        |text: String| [folder, &real].iter().fold(text, |text, folder| text.replace(&format!("{}/", folder.display()), ""));
    match error {
        StoreError::NoFolder { path } => StoreError::NoFolder { path: short(path) },
        StoreError::NotADatabase { path } => StoreError::NotADatabase { path: short(path) },
        StoreError::Exists { path } => StoreError::Exists { path: short(path) },
        StoreError::OtherStore { path, mark } => StoreError::OtherStore { path: short(path), mark: short(mark) },
        StoreError::Gone { path, mark } => StoreError::Gone { path: short(path), mark: short(mark) },
        error => error,
    }
}

#[test]
fn the_golden_file_holds_every_text() {
    let (rows, of_stores) = (given(), given_of_stores());
    let text: String = rows.iter().map(|(given, error)| format!("{given}\n    {error}\n")).collect();
    let text = text + &of_stores.iter().map(|(given, error)| format!("{given}\n    {error}\n")).collect::<String>();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/errors.golden.txt");
    if std::env::var_os("PUNCTUAL_BLESS").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file).unwrap());
    let name = |error: &StoreError| format!("Store::{}", format!("{error:?}").split([' ', '{']).next().unwrap_or_default());
    let met: BTreeSet<String> = rows.iter().map(|(_, error)| variant(error)).collect();
    let met: BTreeSet<String> = met.into_iter().chain(of_stores.iter().map(|(_, error)| name(error))).collect();
    let all = [
        "ZeroInterval",
        "TooLong",
        "Singular",
        "CountedWeekday",
        "ReversedRange",
        "RandomUnit",
        "TimeOfDay",
        "DoesNotFit",
        "DayOfMonth",
        "UnknownZone",
        "Window",
        "Deadline",
        "DeadlinePassed",
        "ZeroTimes",
        "NeverRuns",
        "SchedulerGone",
        "ShutDown",
        "JobGone",
        "OtherScheduler",
        "ZeroCatchUp",
        "Circle",
        "NoSchedule",
        "NothingSaid",
        "NameTaken",
        "LimitDiffers",
        "ZeroOfMany",
        "AllowInline",
        "NoRuntime",
        "NoCommandThread",
        "NothingToFollow",
        "NeverFresh",
        "Cron::Empty",
        "Cron::TooLong",
        "Cron::FieldCount",
        "Cron::FieldCountVixie",
        "Cron::Character",
        "Cron::Nickname",
        "Cron::OutOfRange",
        "Cron::ReversedRange",
        "Cron::EmptyItem",
        "Cron::StepWithoutRange",
        "Cron::Step",
        "Cron::StarInList",
        "Cron::Name",
        "Cron::Modifier",
        "Cron::Value",
        "OnCalendar::Empty",
        "OnCalendar::TooLong",
        "OnCalendar::TooMany",
        "OnCalendar::Unexpected",
        "OnCalendar::Ended",
        "OnCalendar::Zone",
        "OnCalendar::OutOfRange",
        "OnCalendar::ReversedRange",
        "OnCalendar::Step",
        "OnCalendar::Instant",
        "Text::Empty",
        "Text::TooLong",
        "Text::TooLongPrinted",
        "Text::TooDeep",
        "Text::Unexpected",
        "Text::Ended",
        "Text::Refused",
        "Text::Code",
        "Store::NoFolder",
        "Store::NotADatabase",
        "Store::Newer",
        "Store::Damaged",
        "Store::Gone",
        "Store::OtherStore",
        "Store::Shortened",
        "Store::Exists",
        "Store::Replaced",
        "Store::ReadOnly",
        "Store::Full",
        "Store::Busy",
        "Store::Io",
        "Store::Held",
        "Store::Unanswered",
    ];
    let missing: Vec<&str> = all.into_iter().filter(|name| !met.contains(*name)).collect();
    assert!(missing.is_empty(), "no row shows {missing:?}");
    let _: Option<(CronError, TextError)> = None;
}
