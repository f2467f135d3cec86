//! Writes the texts that each target begins with into `corpus/TARGET`, together with those that once broke a law.

use std::fs;
use std::path::Path;

use punctual_fuzz::laws::TARGETS;

fn main() -> std::io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = fuzz.parent().unwrap_or(fuzz);
    for target in &TARGETS {
        let corpus = fuzz.join("corpus").join(target.name);
        fs::create_dir_all(&corpus)?;
        for (place, seed) in (target.seeds)(root).iter().enumerate() {
            fs::write(corpus.join(format!("seed-{place}")), seed)?;
        }
        for kept in fs::read_dir(root.join("tests/data/fuzzed").join(target.name)).into_iter().flatten().flatten() {
            fs::copy(kept.path(), corpus.join(kept.file_name()))?;
        }
    }
    Ok(())
}
