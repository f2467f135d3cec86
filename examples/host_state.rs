//! Jobs that work on the host's own state, on one thread, without a lock.

use std::rc::Rc;
use std::time::Duration;

use punctual::Scheduler;

/// Not `Send`, and need not be.
struct App {
    title: Rc<str>,
    frames: u32,
}

fn main() -> Result<(), punctual::Error> {
    let mut app = App { title: "demo".into(), frames: 0 };
    let scheduler = Scheduler::<App>::builder().build();
    scheduler.every(20).milliseconds().times(50).do_with(|run| run.host().frames += 1)?;
    scheduler.every(250).milliseconds().times(4).do_with(|run| {
        let late = run.late();
        let app = run.host();
        println!("{}: {} frames, {late:?} late", app.title, app.frames);
    })?;
    while !scheduler.is_empty() {
        let tick = scheduler.run_pending_with(&mut app);
        std::thread::sleep(tick.idle(Duration::from_millis(100)));
    }
    Ok(())
}
