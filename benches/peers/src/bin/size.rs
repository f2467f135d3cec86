//! What depending on a scheduler costs: crates, time to build, size of the program.
//!
//!     cargo run --release --bin size
//!
//! A program that says hello, and the same with one job and one poll, are built in a folder of their own, stripped and as a
//! release. The crates' sources must be there already; nothing is fetched unless something is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Parser;

#[derive(Parser)]
#[command(about = "What depending on a scheduler costs: crates, time to build, size of the program")]
struct Arguments {
    /// How many builds at a time, as for cargo; as it decides unless given.
    #[arg(long, short)]
    jobs: Option<u32>,
    /// The least of so many builds each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

struct Program {
    name: &'static str,
    dependencies: &'static str,
    main: &'static str,
}

const BARE: Program = Program { name: "hello", dependencies: "", main: "fn main() { println!(\"hello\"); }" };

const PROGRAMS: [Program; 3] = [
    Program {
        name: "punctual",
        dependencies: concat!("punctual = { path = \"", env!("CARGO_MANIFEST_DIR"), "/../..\" }"),
        main: r#"
fn main() -> Result<(), punctual::Error> {
    let scheduler = punctual::Scheduler::new();
    scheduler.every(5).minutes().do_(|| println!("hello"))?;
    let _ = scheduler.run_pending();
    Ok(())
}"#,
    },
    Program {
        name: "clokwerk",
        dependencies: r#"clokwerk = "0.4""#,
        main: r#"
use clokwerk::TimeUnits;
fn main() {
    let mut scheduler = clokwerk::Scheduler::new();
    scheduler.every(5.minutes()).run(|| println!("hello"));
    scheduler.run_pending();
}"#,
    },
    Program {
        name: "tokio-cron-scheduler",
        dependencies: r#"
tokio-cron-scheduler = "0.15"
tokio = { version = "1", features = ["macros", "rt", "time"] }"#,
        main: r#"
use std::time::Duration;
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), tokio_cron_scheduler::JobSchedulerError> {
    let scheduler = tokio_cron_scheduler::JobScheduler::new().await?;
    let job = tokio_cron_scheduler::Job::new_repeated(Duration::from_secs(300), |_, _| println!("hello"))?;
    scheduler.add(job).await?;
    scheduler.start().await
}"#,
    },
];

fn main() -> ExitCode {
    match table(&Arguments::parse()) {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

fn table(arguments: &Arguments) -> Result<String, Failure> {
    let folder = std::env::temp_dir().join(format!("punctual-size-{}", std::process::id()));
    let result = rows(&folder, arguments);
    fs::remove_dir_all(&folder)?;
    result
}

fn rows(folder: &Path, arguments: &Arguments) -> Result<String, Failure> {
    let bare = Built::new(folder, &BARE, arguments)?.size()?;
    let mut table = "\
| | crates in the tree | all built anew | the crate alone built anew | the program alone | the program gains |
| --- | --- | --- | --- | --- | --- |
"
    .to_owned();
    for program in &PROGRAMS {
        eprintln!("{} ..", program.name);
        let built = Built::new(folder, program, arguments)?;
        let (mut cold, mut crate_alone, mut warm) = (f64::MAX, f64::MAX, f64::MAX);
        for _ in 0..arguments.rounds {
            cold = cold.min(built.build_without(&[])?);
            crate_alone = crate_alone.min(built.build_without(&["--package", program.name])?);
            warm = warm.min(built.build_without(&["--package", "probe"])?);
        }
        table += &format!(
            "| {} | {} | {cold:.1} s | {crate_alone:.1} s | {warm:.1} s | {:.0} KiB |\n",
            program.name,
            built.crates()?,
            (built.size()? - bare) as f64 / 1024.0
        );
    }
    Ok(table + &format!("\nA program that only says hello has {:.0} KiB.", bare as f64 / 1024.0))
}

/// A package in a folder of its own.
struct Built {
    folder: PathBuf,
    jobs: Option<u32>,
}

impl Built {
    fn new(folder: &Path, program: &Program, arguments: &Arguments) -> Result<Built, Failure> {
        let folder = folder.join(program.name);
        fs::create_dir_all(folder.join("src"))?;
        let manifest = format!(
            "[workspace]\n[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             [dependencies]\n{}\n[profile.release]\nstrip = true\n",
            program.dependencies
        );
        fs::write(folder.join("Cargo.toml"), manifest)?;
        fs::write(folder.join("src/main.rs"), program.main)?;
        let built = Built { folder, jobs: arguments.jobs };
        built.cargo(&["fetch"])?;
        built.build()?;
        Ok(built)
    }

    fn cargo(&self, arguments: &[&str]) -> Result<String, Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(arguments)
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            .stderr(Stdio::piped())
            .output()?;
        if !output.status.success() {
            return Err(format!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Seconds.
    fn build(&self) -> Result<f64, Failure> {
        let jobs = self.jobs.map(|jobs| format!("--jobs={jobs}"));
        let arguments: Vec<&str> = ["build", "--release", "--offline"].into_iter().chain(jobs.as_deref()).collect();
        let began = Instant::now();
        self.cargo(&arguments)?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// The same once what these name is gone; all, if nothing is named.
    fn build_without(&self, what: &[&str]) -> Result<f64, Failure> {
        let arguments: Vec<&str> = ["clean", "--release", "--offline"].iter().chain(what).copied().collect();
        self.cargo(&arguments)?;
        self.build()
    }

    fn size(&self) -> Result<u64, Failure> {
        Ok(fs::metadata(self.folder.join("target/release/probe"))?.len())
    }

    /// Besides the program itself.
    fn crates(&self) -> Result<usize, Failure> {
        let tree = self.cargo(&["tree", "--offline", "--edges=normal,build", "--prefix=none", "--format={p}", "--no-dedupe"])?;
        let mut crates: Vec<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
        crates.sort_unstable();
        crates.dedup();
        Ok(crates.len() - 1)
    }
}
