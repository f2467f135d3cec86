//! An event loop with a timer of its own, as a desktop program has one.
//!
//! The loop sleeps on its messages and no longer than until the next job is due. What happens in other threads, a job
//! registered there or a background run that comes back, posts a message to it. Jobs that name a slack run when the loop is
//! awake anyway. Ends by itself after three seconds.

use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use punctual::Scheduler;

enum Message {
    Key(char),
    /// The scheduler may have to be polled sooner than the timer says.
    Rearm,
    Quit,
}

/// The program's state. Not `Send`, and need not be: jobs that are lent it run on the loop's thread.
struct Editor {
    began: Instant,
    text: Rc<str>,
    unsaved: usize,
}

impl Editor {
    fn say(&self, what: &str) {
        println!("{:>6.3}  {what}", self.began.elapsed().as_secs_f64());
    }

    fn key(&mut self, key: char) {
        self.text = format!("{}{key}", self.text).into();
        self.unsaved += 1;
        self.say(&format!("key {key:?}"));
    }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn register(scheduler: &Scheduler<Editor>) -> Result<(), punctual::Error> {
    scheduler.every(400).milliseconds().slack(millis(200)).named("save").do_with(|run| {
        let editor = run.host();
        if editor.unsaved > 0 {
            editor.say(&format!("saved {:?}, {} keys new", editor.text, editor.unsaved));
            editor.unsaved = 0;
        }
    })?;
    scheduler.every(350).milliseconds().slack(millis(300)).named("cursor").do_(|| ())?;
    scheduler.every(1).second().named("clock").do_with(|run| run.host().say("a second has passed"))?;

    // Far too slow for the loop's thread. Its result comes back to it all the same, to the job that follows.
    let mail = scheduler.once_after(millis(300)).named("mail").background().do_(|| {
        thread::sleep(millis(900));
        Ok::<_, String>(3)
    })?;
    scheduler.following(&mail).do_with(|run, letters: &i32| run.host().say(&format!("mail: {letters} letters")))?;
    Ok(())
}

/// Somebody at the keyboard, who wants to be reminded of something.
fn user(scheduler: &Scheduler<Editor>, window: &Sender<Message>) -> Result<(), punctual::Error> {
    for (place, key) in "punctual".chars().enumerate() {
        thread::sleep(millis(230));
        let _ = window.send(Message::Key(key));
        if place == 4 {
            scheduler.once_after(millis(650)).named("reminder").do_with(|run| run.host().say("reminder: the kettle is on"))?;
        }
    }
    thread::sleep(millis(1200));
    let _ = window.send(Message::Quit);
    Ok(())
}

fn main() -> Result<(), punctual::Error> {
    let scheduler = Scheduler::<Editor>::builder().build();
    register(&scheduler)?;

    let (window, messages) = channel();
    let rearm = window.clone();
    scheduler.on_change(move || drop(rearm.send(Message::Rearm)));
    let elsewhere = scheduler.clone();
    let user = thread::spawn(move || user(&elsewhere, &window));

    let mut editor = Editor { began: Instant::now(), text: "".into(), unsaved: 0 };
    let (mut keys, mut timer, mut rearmed, mut merged) = (0, 0, 0, 0);
    loop {
        let tick = scheduler.run_pending_with(&mut editor);
        merged += tick.merged();
        let message = match tick.next() {
            Some(rest) => messages.recv_timeout(rest),
            None => messages.recv().map_err(RecvTimeoutError::from),
        };
        match message {
            Ok(Message::Key(key)) => {
                keys += 1;
                editor.key(key);
            }
            Ok(Message::Rearm) => rearmed += 1,
            Err(RecvTimeoutError::Timeout) => timer += 1,
            Ok(Message::Quit) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    println!("The loop woke for {keys} keys, {timer} times by its timer, and {rearmed} times since something changed elsewhere.");
    println!("{merged} runs went along with these; without slack the timer might have rung for each of them.");
    user.join().unwrap_or(Ok(()))
}
