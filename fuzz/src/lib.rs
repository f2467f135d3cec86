//! The laws of `tests/fuzzed`, for the targets of this package. See CONTRIBUTING.md for how they are run.

#[path = "../../tests/fuzzed/mod.rs"]
pub mod laws;

/// Holds a target's law against a text, and panics with what is broken.
pub fn hold(name: &str, text: &[u8]) {
    let target = laws::TARGETS.iter().find(|target| target.name == name).expect("a target");
    if let Err(broken) = (target.law)(text) {
        panic!("{name}: {broken}\n{:?}", String::from_utf8_lossy(text));
    }
}
