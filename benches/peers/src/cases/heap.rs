//! What a job takes of the heap. It is counted by another program, the bin `heap`, so that nothing here is slowed down by an
//! allocator that counts.

use std::process::Command;

use super::{Options, many};
use crate::hosts::{POLLED, TOKIO_CRON};
use crate::measure::{Case, Contender, Goal, Sample};

pub(super) fn cases(options: &Options) -> Vec<Case> {
    let million = options.million();
    let title = format!("heap a job, of {} (plain function, interval)", many(million));
    let user = "a device with little memory, or a host with a job for each of its customers";
    let contenders = move || {
        let mut contenders = vec![Contender::floor("Box and due time", move || heap_a_job("plain", million))];
        contenders.extend(POLLED.map(|peer| Contender::peer(peer, move || heap_a_job(peer, million))));
        contenders.push(Contender::peer(TOKIO_CRON, || heap_a_job(TOKIO_CRON, 1_000)));
        contenders.push(Contender::own("with its handle", move || heap_a_job("punctual-handles", million)));
        contenders.push(Contender::punctual(move || heap_a_job("punctual", million)));
        contenders
    };
    vec![Case::new("heap", title, user, contenders).in_bytes().goal(Goal::Most(160.0))]
}

fn heap_a_job(name: &str, jobs: usize) -> Sample {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--manifest-path", manifest, "--bin", "heap", "--", name])
        .arg(jobs.to_string())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err("the bin `heap` failed".to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("the bin `heap` said `{}`", text.trim()))
}
