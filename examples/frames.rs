//! Sixty frames a second, and a long computation beside them.
//!
//! The loop is the host's: it draws, lends its state to the jobs for two milliseconds, and sleeps until the next frame. To
//! count primes takes far longer than that, so it is done in steps, and the ball never halts. In a pipe only the summary is
//! printed.

use std::error::Error;
use std::io::{IsTerminal, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use punctual::{JobHandle, Scheduler};

const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 60);
const BUDGET: Duration = Duration::from_millis(2);
/// Primes are counted below this, so many numbers at a step.
const NUMBERS: u64 = 2_000_000;
const STEP: u64 = 100;
const WIDTH: usize = 60;
const HEIGHT: usize = 14;

#[derive(Parser)]
#[command(about = "A bouncing ball, and a long computation that does not disturb it")]
struct Options {
    /// How long to go on
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// The host's state: a ball, where it is in its box (0 to 1) and how fast.
#[derive(Default)]
struct Game {
    x: f64,
    y: f64,
    right: f64,
    up: f64,
    frames: u64,
}

impl Game {
    fn step(&mut self) {
        let time = FRAME.as_secs_f64();
        self.frames += 1;
        self.up -= 2.0 * time;
        self.x = (self.x + self.right * time).clamp(0.0, 1.0);
        self.y = (self.y + self.up * time).clamp(0.0, 1.0);
        if self.x == 0.0 || self.x == 1.0 {
            self.right = -self.right;
        }
        if self.y == 0.0 {
            self.up *= -0.8;
        }
    }

    fn draw(&self, done: f64, primes: u64) -> String {
        let (column, line) = ((self.x * (WIDTH - 1) as f64) as usize, ((1.0 - self.y) * (HEIGHT - 1) as f64) as usize);
        let (lid, bar) = ("-".repeat(WIDTH), "#".repeat((done * WIDTH as f64) as usize));
        let mut picture = format!("\x1b[H+{lid}+\r\n");
        for row in 0..HEIGHT {
            let ball = if row == line { format!("{:column$}o", "") } else { String::new() };
            picture += &format!("|{ball:WIDTH$}|\r\n");
        }
        picture + &format!("+{lid}+\r\n[{bar:.<WIDTH$}]\r\n{primes:>7} primes, {:>4} frames ", self.frames)
    }
}

/// How much of it is done, from 0 to 1.
fn share_done(counting: &JobHandle) -> f64 {
    match counting.progress() {
        Some(progress) => progress.share(),
        None => counting.stats().runs as f64,
    }
}

fn is_prime(n: u64) -> bool {
    n > 1 && (2..).take_while(|d| d * d <= n).all(|d| n % d != 0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let scheduler = Scheduler::<Game>::builder().budget(BUDGET).build();

    let primes = Arc::new(AtomicU64::new(0));
    let found = primes.clone();
    let counting = scheduler.reboot().named("primes").do_steps(move |run| {
        let (run, found) = (run.clone(), found.clone());
        (0..NUMBERS / STEP).map(move |step| {
            let numbers = step * STEP..(step + 1) * STEP;
            found.fetch_add(numbers.filter(|n| is_prime(*n)).count() as u64, Ordering::Relaxed);
            run.progress(step + 1, NUMBERS / STEP);
        })
    })?;
    scheduler.every(1500).milliseconds().named("kick").do_with(|run| run.host().up += 1.2)?;

    let stopped = Arc::new(AtomicBool::new(false));
    let stop = stopped.clone();
    ctrlc::set_handler(move || stop.store(true, Ordering::Relaxed))?;

    let terminal = stdout().is_terminal();
    if terminal {
        // Another screen, without a cursor.
        print!("\x1b[?1049h\x1b[2J\x1b[?25l");
    }
    let mut game = Game { right: 0.7, y: 1.0, ..Game::default() };
    let (mut longest, mut overran, mut lost) = (Duration::ZERO, 0, 0);
    let began = Instant::now();
    let mut next = began;
    while began.elapsed() < Duration::from_secs(options.seconds) && !stopped.load(Ordering::Relaxed) {
        game.step();
        if terminal {
            print!("{}", game.draw(share_done(&counting), primes.load(Ordering::Relaxed)));
            stdout().flush()?;
        }

        let polled = Instant::now();
        let tick = scheduler.run_pending_with(&mut game);
        longest = longest.max(polled.elapsed());
        overran += usize::from(tick.overran().is_some_and(|overrun| overrun.by > BUDGET / 2));

        next += FRAME;
        while next < Instant::now() {
            next += FRAME;
            lost += 1;
        }
        sleep(next.saturating_duration_since(Instant::now()));
    }
    if terminal {
        print!("\x1b[?25h\x1b[?1049l");
    }
    let (primes, percent) = (primes.load(Ordering::Relaxed), 100.0 * share_done(&counting));
    println!("{} frames, {lost} lost", game.frames);
    println!("{longest:.2?} at most in run_pending, with a budget of {BUDGET:?}; {overran} polls took over {:?}", BUDGET * 3 / 2);
    println!("{primes} primes after {percent:.0} % of the numbers below {NUMBERS}");
    Ok(())
}
