//! What punctual costs beside its peers and the floors, in one run and one table.
//!
//!     cargo run --release --bin costs -- --rounds 7

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use punctual_peers::cases::{self, Options};
use punctual_peers::{picture, table};

#[derive(Parser)]
#[command(about = "What punctual costs beside its peers and the floors")]
struct Arguments {
    /// How often each is asked for each case.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only the cases whose names begin so; may be given several times.
    #[arg(long)]
    case: Vec<String>,
    /// A tenth of the jobs where there would be a million.
    #[arg(long)]
    quick: bool,
    /// A Python that has `schedule` and APScheduler.
    #[arg(long)]
    python: Option<String>,
    /// Names the cases, and who has each.
    #[arg(long)]
    list: bool,
    /// Draws idle polls and fired jobs over the number of jobs into this file (SVG), instead of the table.
    #[arg(long)]
    picture: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Arguments { rounds, case: asked, quick, python, list, picture } = Arguments::parse();
    let options = Options { quick, python };
    if let Some(file) = picture {
        return match picture::draw(&file, rounds as usize, &options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", file.display());
                ExitCode::FAILURE
            }
        };
    }
    let mut cases = cases::all(&options);
    cases.retain(|case| asked.is_empty() || asked.iter().any(|begin| case.name.starts_with(begin)));
    if cases.is_empty() {
        eprintln!("no case has such a name; `--list` has them all");
        return ExitCode::FAILURE;
    }
    if list {
        cases.iter().for_each(|case| println!("{}: {} ({})", case.name, case.title, case.user));
        return ExitCode::SUCCESS;
    }
    println!("{}", table::HEAD);
    for case in cases {
        eprintln!("{} ..", case.name);
        print!("{}", table::rows(&case.run(rounds as usize)));
    }
    ExitCode::SUCCESS
}
