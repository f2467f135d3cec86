//! Crontabs: read as cron reads them, run as cron runs them, and written so that cron runs what was meant.
//!
//! `PUNCTUAL_BLESS=1 cargo test --test crontab` writes the golden file anew: what becomes of real crontabs. `PUNCTUAL_VIXIE`
//! names a longer table of what Debian's cron does than the one that is kept; `PUNCTUAL_CASES` and `PUNCTUAL_SEED` choose how
//! many schedules are written as crontabs, and which. Lines as nobody would write them are for `tests/fuzzed.rs`.

#[path = "crontab/files.rs"]
mod files;
#[path = "crontab/read.rs"]
mod read;
#[cfg(unix)]
#[path = "crontab/run.rs"]
mod run;
#[path = "crontab/vixie.rs"]
mod vixie;
#[path = "crontab/written.rs"]
mod written;

use punctual::{Import, ImportedJob};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {text}")))
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Fails with every row that differs.
fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} rows differ:\n{}", failures.len(), failures.join("\n"));
}

fn notes(import: &Import) -> Vec<String> {
    import.notes.iter().map(ToString::to_string).collect()
}

/// A part of what a command shows of itself.
fn part<'a>(shown: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = shown.split_once(from).unwrap_or_else(|| panic!("{from} in {shown}"));
    rest.split_once(to).unwrap_or_else(|| panic!("{to} in {shown}")).0
}

/// What a job runs: `user:group shell "line" < input, in directory`, and the variables that were set, but for those that
/// depend on the machine.
fn command(job: &ImportedJob) -> String {
    let shown = format!("{:?}", job.command);
    let named = |name: &str, to: &str| {
        let value = part(&shown, &format!(" {name}: "), to);
        value.strip_prefix("Some(\"").map(|value| value.trim_end_matches("\")").to_owned())
    };
    let user = named("user", ", group").map_or(String::new(), |user| match named("group", ", stdin") {
        Some(group) => format!("{user}:{group} "),
        None => format!("{user} "),
    });
    let shell = part(&shown, "program: \"", "\", args");
    let line = part(&shown, "args: [\"-c\", ", "], is_shell");
    let input = part(&shown, "stdin: ", ", stdout");
    let input = match input.strip_prefix("Bytes([") {
        Some(bytes) => {
            let bytes: Vec<u8> = bytes.trim_end_matches("])").split(", ").map(|byte| byte.parse().unwrap()).collect();
            format!(" < {:?}", String::from_utf8(bytes).unwrap())
        }
        None => String::new(),
    };
    let variables: Vec<String> = part(&shown, "env: [", "], bare_env")
        .trim_start_matches("(\"")
        .trim_end_matches("\"))")
        .split("\")), (\"")
        .filter_map(|pair| pair.split_once("\", Some(\""))
        .map(|(name, value)| format!("{name}={value}"))
        .filter(|pair| !["HOME=", "LOGNAME=", "USER=", "SHELL="].iter().any(|name| pair.starts_with(name)))
        .filter(|pair| pair != "PATH=/usr/bin:/bin")
        .collect();
    let variables = if variables.is_empty() { String::new() } else { format!("  {}", variables.join(" ")) };
    format!("{user}{shell} {line}{input}{variables}")
}
