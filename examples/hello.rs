//! The loop of a host that has jobs to run.

use std::time::Duration;

fn main() -> Result<(), punctual::Error> {
    let scheduler = punctual::Scheduler::new();
    scheduler.every(1).second().times(3).do_(|| println!("Hello, it is {}", chrono::Local::now().format("%H:%M:%S")))?;
    while !scheduler.is_empty() {
        let tick = scheduler.run_pending();
        std::thread::sleep(tick.idle(Duration::from_secs(1)));
    }
    Ok(())
}
