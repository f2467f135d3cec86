//! Texts to begin with: what the tables and files of `tests/data` hold, and a few of each kind that they have none of.

use std::fs;
use std::path::{Path, PathBuf};

type Texts = Vec<Vec<u8>>;

/// The files of a folder of `tests/data`, in order.
fn files(root: &Path, folder: &str) -> Vec<PathBuf> {
    let folder = root.join("tests/data").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

fn bytes(file: &Path) -> Vec<u8> {
    fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The columns of a table with one of these names, without repetition.
fn columns(root: &Path, table: &str, names: &[&str]) -> Texts {
    let text = String::from_utf8_lossy(&bytes(&root.join("tests/data").join(table))).into_owned();
    let mut rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect::<Vec<_>>());
    let head = rows.next().unwrap_or_default();
    let places: Vec<usize> = (0..head.len()).filter(|place| names.contains(&head[*place])).collect();
    let cells = rows.flat_map(|row| {
        places.iter().filter_map(|place| row.get(*place).map(|cell| cell.as_bytes().to_vec())).collect::<Texts>()
    });
    let mut texts: Texts = cells.collect();
    assert!(!texts.is_empty(), "{table} has no column of {names:?}");
    texts.sort();
    texts.dedup();
    texts
}

fn owned(texts: &[&str]) -> Texts {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub fn schedules(_: &Path) -> Texts {
    owned(&[
        "every 5 minutes",
        "every 90 seconds immediately with jitter 30 seconds with slack 1 minute",
        "every 1 hour 30 minutes after completion",
        "every 250 milliseconds aligned in Europe/Berlin",
        "every 5 to 10 minutes at most 3 times",
        "every 1 to 3 weeks at 09:00",
        "every hour at :30 and :15",
        "every 3 hours at 15:20",
        "every day at 3:20 pm, 09:00 in America/New_York on gap shift on fold both",
        "every monday and thursday at 09:00 and 17:00:30",
        "every weekday at noon except on 2026-12-25 and friday shifted to the next day",
        "every 2 weeks on monday, wednesday at midnight",
        "every 2nd tuesday of the month at 10:30",
        "every 3rd to last day of the month at 18:00",
        "every weekday nearest the 15th of the month at 09:00",
        "every 3 months on the 1st and the last friday at 08:00 starting at 2026-01-31 08:00:00 UTC",
        "every year on 24 december at 18:00 until 2031-12-31 UTC",
        "every 4 years on the last friday of may and june at 18:00",
        "every year in march and october",
        "cron 0 9 1,15 * MON-FRI in Europe/Berlin between 08:00 and 18:00",
        "cron 30 0 0 L-3 */2 ? 2026-2030/2",
        "vixie cron 0 0 */2 * 1",
        "calendar Mon..Fri *-5~07/1 09:00:0/0.25 UTC",
        "calendar *:*:59.5 with slack 1 microsecond",
        "once at 2026-12-24 18:00:00.123456789 UTC",
        "once after 5 minutes 1 nanosecond",
        "at reboot once",
        "(every day at 09:00) or (every monday at 23:30 between 22:00 and 06:00) in UTC-03:30",
        "((every 7 seconds aligned) and (every 11 seconds aligned) except on sunday) and (cron * * 1-7 * +TUE)",
        "every 90 seconds",
        "every 1 hour 30 minutes",
        "every hour at 15:30 on gap next",
        "every minute at :10 and :40",
        "every 3 minutes at :07",
        "every last day of the month at 18:00",
        "every month on the last day and the 2nd tuesday at 03:00",
        "every 2 weeks",
        "every day",
        "every month",
        "every 2 years on 29 february at 12:00",
        "every 31st day of the month",
        "every year on the 1st and the 15th of april at 10:00 on fold first",
        "every 3rd sunday of the month at 02:30 in Europe/London",
        "every 2501 hours 41 minutes 40 seconds 1 millisecond",
        "every microsecond",
        "cron @daily",
        "cron @reboot",
        "vixie cron */7,5 3-9/2 * JAN fri at most 3 times",
        "calendar daily in Asia/Tokyo",
        "calendar 2026..2030/2-*-01,15 *:0/15",
        "every day at 02:30 in America/New_York on fold second except on sunday shifted to the previous day",
        "every 10 minutes aligned between 22:00 and 06:00 except on saturday",
        "every 7 days at 12:00 starting at 2026-02-28 12:00:00.5 UTC until 2026-12-31 23:59:59.999999999 UTC",
        "((every 2 hours aligned) or (every day at 12:30)) except on 2026-05-01 between 08:00 and 20:00",
        "(cron 0 0 13 * *) and (every friday at 00:00) immediately",
    ])
}

pub fn cron(root: &Path) -> Texts {
    let mut texts = columns(root, "cron_next.tsv", &["expression"]);
    texts.extend(columns(root, "moving/vixie.tsv", &["expr"]));
    texts.extend(columns(root, "cron_invalid.tsv", &["expression"]));
    texts
}

pub fn calendar(root: &Path) -> Texts {
    columns(root, "moving/oncalendar.tsv", &["expr"])
}

pub fn zones(root: &Path) -> Texts {
    let mut texts = columns(root, "moving/oncalendar.tsv", &["zone"]);
    texts.extend(columns(root, "dst.tsv", &["timezone"]));
    texts.extend(owned(&[
        "utc",
        "local",
        "UTC+05:53:28",
        "UTC-23:59:59",
        "Pacific/Apia",
        "Africa/Monrovia",
        "Berlin",
        "EST5EDT",
    ]));
    texts
}

pub fn times(_: &Path) -> Texts {
    owned(&[
        "09:00",
        "23:59:59",
        ":30",
        ":59",
        "15:20",
        "3:20 pm",
        "12am",
        "12:00:01 PM",
        "noon",
        "midnight",
        "24:00",
        "9:00",
        "2026-12-31",
        "2026-12-31 09:00",
        "2026-12-31 09:00:30",
        "1969-12-31",
    ])
}

pub fn crontabs(root: &Path) -> Texts {
    let mut texts: Texts = files(root, "moving/crontabs").iter().map(|file| bytes(file)).collect();
    texts.extend(owned(&[
        "CRON_TZ=Europe/Berlin\nRANDOM_DELAY=9\nMAILTO=joe\n~ 0~5/2 * * mon-fri -n -s tidy %in%put\\%\n",
        "\u{feff}A = 'x y' \r\n@reboot root a\r\n@300 www:data/class b\r\n-*/5 * * * * root c",
        "CRON_TZ=Nowhere\n@every_second a b\nSHELL=\nHOME=\n5-1 * * * * x\n",
    ]));
    texts
}

pub fn units(root: &Path) -> Texts {
    let folder = files(root, "moving/timers");
    let timers = folder.iter().filter(|file| file.extension().is_some_and(|end| end == "timer"));
    let mut texts: Texts = timers
        .map(|timer| {
            let mut text = bytes(timer);
            let service = timer.with_extension("service");
            if service.exists() {
                text.extend_from_slice(b"\n--- x.service\n");
                text.extend(bytes(&service));
            }
            text
        })
        .collect();
    texts.extend(owned(&[
        "[Timer]\nOnBootSec=5min\nOnUnitInactiveSec=1h\nUnit=b@home-me.service\n--- b@.service\n[Unit]\nConditionPathExists=!/a b\n[Service]\nUser=me\nEnvironmentFile=-/etc/b/%i\nExecStartPre=-+/bin/a $A \\\n# no\n  ${A}\nExecStart=/bin/b %I %l ; /bin/c\nStandardOutput=append:/var/log/%p\n--- b@.service.d/more.conf\n[Service]\nNice=5\nUMask=0027\nSuccessExitStatus=1 TEMPFAIL KILL\n--- /etc/b/home-me\nA='1 2'\n--- /etc/hostname\nbox.example\n--- /etc/passwd\nme:x:1:1::/home/me:/bin/zsh\n",
        "[Timer]\nOnCalendar=daily\nOnCalendar=\nOnCalendar=Mon 09:00 UTC\nOnCalendar=*:0/15\nRandomizedDelaySec=5m\nFixedRandomDelay=y\n--- x.service\n[Service]\nType=notify\nExecCondition=/bin/t\nExecStart=@/bin/x y 'z \\x41'\nStandardInput=data\nStandardInputText=a\nTimeoutSec=infinity\nKillMode=none\nWorkingDirectory=~\n",
    ]));
    texts
}

pub fn spans(root: &Path) -> Texts {
    columns(root, "moving/timespans.tsv", &["span"])
}

/// The command lines of services.
pub fn lines(root: &Path) -> Texts {
    let mut texts = Texts::new();
    for file in files(root, "moving/timers") {
        let text = String::from_utf8_lossy(&bytes(&file)).into_owned();
        let lines = text.lines().filter(|line| line.starts_with("Exec") || line.starts_with("Environment="));
        texts.extend(lines.filter_map(|line| Some(line.split_once('=')?.1.as_bytes().to_vec())));
    }
    texts.extend(owned(&["-@!/bin/sleep nap 5", r#"/bin/echo a\tb\x41\101\u20ac\s"\"c\"" \q ; +:/bin/x $ONE ${TWO}x $$ %i%%"#]));
    texts.sort();
    texts.dedup();
    texts
}

pub fn lists(root: &Path) -> Texts {
    files(root, "moving/plists").iter().map(|file| bytes(file)).collect()
}

pub fn commands(_: &Path) -> Texts {
    owned(&[
        "rsync\0-a\0my files\0it's\0=LC_ALL=C\0/var/tmp\0>backup.log",
        "mail\0-s\0ten% $HOME `x` \\\0<in put",
        "cat %one%two\\%%",
        "\0\0a=b\0=A B=c\0{\0}",
    ])
}

pub fn records(_: &Path) -> Texts {
    owned(&[
        "every day at 09:00\nevery day at 09:00\n1774000000\n1774700000",
        "every 5 minutes\nevery 7 minutes\n1774746000\n1774746000\n1774745000\n1774745900\n3\n2\n41",
        "every 5 to 10 minutes\nevery 5 to 10 minutes\n-62135596800\n253402300799",
        "cron 0 9 * * MON\nvixie cron */5 * * * * in Europe/Berlin\n0\n8000000000000\n-8000000000000\n1\n1",
        "once after 5 minutes\nonce at 2026-03-30 00:00:00 UTC at most 2 times\n1774746000\n1774745000",
        "(every 2 days) or (at reboot)\n(every 2 days) or (at reboot)\n1774746000\n1774745000\n\n\n0",
        "no schedule\nevery 2 months on the 31st immediately",
    ])
}
