//! What a 60 Hz loop loses to its scheduler.
//!
//! A host begins a frame every 60th of a second: it polls its scheduler, does 2 ms of work of its own, and rests until the
//! next frame. The same 1,000 jobs are given to punctual (with a budget of 2 ms a poll), to clokwerk, and to the loop that
//! one writes by hand; each has the whole time on the real clock, one after the other.
//!
//! A frame is lost if it begins more than half a frame after its slot. A poll breaks the promise of the budget if it took
//! longer than the budget and the one call that was running, by more than [`BOOKKEEPING`]. On a machine that does other
//! things besides, the thread is taken off the CPU now and then, and no scheduler can help that; so both figures are given
//! twice, by the clock and in the thread's CPU time. What a hypervisor takes is seen by neither: so the host, in its own
//! 2 ms, reads the clock all the time, and counts by how much it leaps. As often, in proportion to its time, it leaps while the
//! scheduler itself is at work.
//!
//!     cargo run --release --bin frames -- --minutes 10 --seed 1

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clokwerk::TimeUnits;
use cpu_time::ThreadTime;
use punctual::{JobHandle, Scheduler};

const FRAME: Duration = Duration::from_nanos(16_666_667);
const BUDGET: Duration = Duration::from_millis(2);
const OWN_WORK: Duration = Duration::from_millis(2);

/// What a scheduler may take, besides its jobs, for what it does after the budget is spent.
const BOOKKEEPING: Duration = Duration::from_micros(100);

/// A call of a long job that is done in steps.
const STEP: Duration = Duration::from_micros(250);

/// From this length on punctual does a job in steps.
const LONG: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\nusage: frames [--minutes N] [--seed N] [--whole] [--alone]");
            return ExitCode::FAILURE;
        }
    };
    let table = job_table(options.seed);
    describe(&table, &options);
    let frames = (options.minutes * 60.0 / FRAME.as_secs_f64()).round() as u32;
    let (punctual, verdict) = with_punctual(&table, frames, options.whole);
    let mut rows = vec![("punctual", punctual)];
    if !options.alone {
        rows.push(("clokwerk", with_clokwerk(&table, frames)));
        rows.push(("plain loop", by_hand(&table, frames)));
    }
    print_table(&rows, &verdict);
    verdict.print();
    if verdict.off == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// ---- What is asked for ----

struct Options {
    minutes: f64,
    seed: u64,
    /// Whether punctual, too, runs the long jobs in one piece.
    whole: bool,
    /// Whether the others are left out.
    alone: bool,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { minutes: 1.0, seed: 1, whole: false, alone: false };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("`{arg}` wants a number"));
            match arg.as_str() {
                "--minutes" => options.minutes = number(&value()?)?,
                "--seed" => options.seed = number(&value()?)?,
                "--whole" => options.whole = true,
                "--alone" => options.alone = true,
                _ => return Err(format!("`{arg}` is not known")),
            }
        }
        if !(0.01..=10_000.0).contains(&options.minutes) {
            return Err(format!("{} minutes: write 0.01 to 10000", options.minutes));
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number that fits here"))
}

// ---- The jobs ----

#[derive(Clone, Copy)]
struct Work {
    period: Duration,
    /// How long a run spins.
    length: Duration,
}

/// Jobs of one kind: how many, how long (in microseconds), and the periods (in milliseconds) that each draws from.
type Kind = (usize, RangeInclusive<u64>, &'static [u64]);

/// A thousand jobs that take some 7 % of the time together, where the budget is 12 %, and much of it at once: all are
/// registered together, so some three hundred come due every second, and all of them every minute.
const KINDS: [Kind; 5] = [
    (100, 5..=50, &[100, 200, 250, 500]),
    (740, 5..=50, &[1_000, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000]),
    (100, 200..=200, &[1_000, 2_000, 5_000, 10_000]),
    (50, 1_000..=2_000, &[1_000, 2_000, 3_000, 5_000]),
    (10, 5_000..=8_000, &[5_000, 10_000, 15_000, 20_000]),
];

fn job_table(seed: u64) -> Vec<Work> {
    let mut draw = SplitMix64(seed);
    let mut table = Vec::new();
    for (jobs, micros, periods) in KINDS {
        for _ in 0..jobs {
            let length = micros.start() + draw.below(micros.end() - micros.start() + 1);
            let period = periods[draw.below(periods.len() as u64) as usize];
            table.push(Work { period: Duration::from_millis(period), length: Duration::from_micros(length) });
        }
    }
    for last in (1..table.len()).rev() {
        table.swap(last, draw.below(last as u64 + 1) as usize);
    }
    table
}

struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn describe(table: &[Work], options: &Options) {
    let load: f64 = table.iter().map(|work| work.length.as_secs_f64() / work.period.as_secs_f64()).sum();
    let each_second = table.iter().filter(|work| Duration::from_secs(1).as_nanos().is_multiple_of(work.period.as_nanos()));
    let (jobs, burst) = each_second.fold((0, Duration::ZERO), |(jobs, sum), work| (jobs + 1, sum + work.length));
    println!(
        "{} jobs of seed {}: {:.1} % of the time together; {jobs} of them, {}, due at once every second",
        table.len(),
        options.seed,
        load * 100.0,
        millis(burst)
    );
    println!("{} minutes each at 60 Hz, budget {}, the host's own work {}", options.minutes, millis(BUDGET), millis(OWN_WORK));
}

/// What the jobs write down as they run.
struct Meter {
    /// How long the last call took, by the clock, in nanoseconds.
    last: AtomicU64,
    /// And all calls together.
    all: AtomicU64,
    /// How often each job was run to its end.
    runs: Vec<AtomicU64>,
}

impl Meter {
    fn new(jobs: usize) -> Arc<Meter> {
        Arc::new(Meter { last: AtomicU64::new(0), all: AtomicU64::new(0), runs: (0..jobs).map(|_| AtomicU64::new(0)).collect() })
    }

    /// A call of a job: it keeps the CPU until so much time has passed.
    fn call(&self, length: Duration) {
        let took = spin(length).as_nanos() as u64;
        self.last.store(took, Ordering::Relaxed);
        self.all.fetch_add(took, Ordering::Relaxed);
    }

    fn run(&self, job: usize, length: Duration) {
        self.call(length);
        self.ended(job);
    }

    fn ended(&self, job: usize) {
        self.runs[job].fetch_add(1, Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.runs.iter().map(|runs| runs.load(Ordering::Relaxed)).sum()
    }
}

fn spin(length: Duration) -> Duration {
    let began = Instant::now();
    loop {
        let passed = began.elapsed();
        if passed >= length {
            return passed;
        }
        std::hint::spin_loop();
    }
}

/// The same for the host's own work, which looks out for leaps of the clock.
fn spin_and_watch(length: Duration, leaps: &mut Leaps) {
    let began = Instant::now();
    let mut before = began;
    while before.saturating_duration_since(began) < length {
        std::hint::spin_loop();
        let now = Instant::now();
        let leap = now.saturating_duration_since(before);
        leaps.many += u32::from(leap > BOOKKEEPING);
        leaps.most = leaps.most.max(leap);
        before = now;
    }
    leaps.watched += before.saturating_duration_since(began);
}

/// By how much the clock leapt from one reading to the next one.
#[derive(Default)]
struct Leaps {
    watched: Duration,
    /// By more than the bookkeeping that a scheduler is allowed.
    many: u32,
    most: Duration,
}

// ---- The host ----

/// What came of one scheduler's time.
#[derive(Default)]
struct Figures {
    frames: u32,
    lost: u32,
    lost_in_cpu_time: u32,
    worst_delay: Duration,
    longest_poll: Duration,
    beyond: u32,
    beyond_in_cpu_time: u32,
    /// The most that a poll took longer than the budget and its last call.
    most_beyond: Duration,
    runs: u64,
    /// All polls together, without the jobs' own time.
    at_work: Duration,
    leaps: Leaps,
}

/// The host's loop. A frame that is late is begun at once, and none is left out.
fn host(frames: u32, meter: &Meter, mut poll: impl FnMut()) -> Figures {
    let mut figures = Figures { frames, ..Figures::default() };
    let start = Instant::now() + FRAME;
    // When the frame before would have ended if the thread had never been off the CPU, counted from the start.
    let mut free = Duration::ZERO;
    for frame in 0..frames {
        let slot = FRAME * frame;
        rest_until(start + slot);
        let cpu = ThreadTime::now();
        let began = Instant::now();
        let delay = began.saturating_duration_since(start + slot);

        meter.last.store(0, Ordering::Relaxed);
        poll();
        let took = began.elapsed();
        let off_cpu = took.saturating_sub(cpu.elapsed());
        spin_and_watch(OWN_WORK, &mut figures.leaps);

        let free_delay = free.saturating_sub(slot);
        free = free.max(slot) + cpu.elapsed();
        figures.at_work += took;
        let beyond = took.saturating_sub(BUDGET + Duration::from_nanos(meter.last.load(Ordering::Relaxed)));
        figures.lost += u32::from(delay > FRAME / 2);
        figures.lost_in_cpu_time += u32::from(free_delay > FRAME / 2);
        figures.worst_delay = figures.worst_delay.max(delay);
        figures.longest_poll = figures.longest_poll.max(took);
        figures.beyond += u32::from(beyond > BOOKKEEPING);
        figures.beyond_in_cpu_time += u32::from(beyond.saturating_sub(off_cpu) > BOOKKEEPING);
        figures.most_beyond = figures.most_beyond.max(beyond);
    }
    figures.runs = meter.total();
    figures.at_work = figures.at_work.saturating_sub(Duration::from_nanos(meter.all.load(Ordering::Relaxed)));
    figures
}

/// Sleeps for the most part, and spins the last millisecond.
fn rest_until(instant: Instant) {
    let left = instant.saturating_duration_since(Instant::now());
    std::thread::sleep(left.saturating_sub(Duration::from_millis(1)));
    while Instant::now() < instant {
        std::hint::spin_loop();
    }
}

// ---- punctual ----

/// Whether each of punctual's jobs ran as often as its policy says, and each poll that was longer than the budget said so.
struct Verdict {
    /// Jobs whose runs and folded and dropped occurrences are not all occurrences of their grid.
    off: usize,
    runs: u64,
    folded: u64,
    dropped: u64,
    /// Polls longer than the budget, and those of them whose tick did not say so.
    over: u32,
    unsaid: u32,
    most_beyond: Duration,
}

fn with_punctual(table: &[Work], frames: u32, whole: bool) -> (Figures, Verdict) {
    let meter = Meter::new(table.len());
    let scheduler = Scheduler::<()>::builder().budget(BUDGET).zone(chrono::Utc).build();
    let jobs: Vec<Registered> =
        table.iter().enumerate().map(|(job, work)| register(&scheduler, &meter, job, *work, whole)).collect();
    let (mut over, mut unsaid) = (0, 0);
    let figures = host(frames, &meter, || {
        let began = Instant::now();
        let tick = scheduler.run_pending();
        // Within the bookkeeping it can't be told from here whether the last call ended before the budget did.
        let is_over = began.elapsed() > BUDGET + BOOKKEEPING && tick.ran() > 0;
        over += u32::from(is_over);
        unsaid += u32::from(is_over && tick.overran().is_none());
    });
    // What is left over is done, so that at the last poll nothing is due and each grid can be counted to its end.
    let last_poll = loop {
        let (before, tick, after) = (Instant::now(), scheduler.run_pending(), Instant::now());
        if tick.ran() == 0 && tick.put_off() == 0 {
            break (before, after);
        }
    };
    let stats: Vec<_> = jobs.iter().map(|job| job.handle.stats()).collect();
    let runs_told = meter.runs.iter().map(|runs| runs.load(Ordering::Relaxed));
    let off = std::iter::zip(&jobs, &stats).zip(runs_told).filter(|((job, stats), runs)| {
        stats.runs != *runs || !job.occurrences(last_poll).contains(&(stats.runs + stats.folded + stats.dropped))
    });
    let verdict = Verdict {
        off: off.count(),
        runs: stats.iter().map(|stats| stats.runs).sum(),
        folded: stats.iter().map(|stats| stats.folded).sum(),
        dropped: stats.iter().map(|stats| stats.dropped).sum(),
        over,
        unsaid,
        most_beyond: figures.most_beyond,
    };
    (figures, verdict)
}

struct Registered {
    handle: JobHandle,
    period: Duration,
    /// Its grid is anchored between these.
    before: Instant,
    after: Instant,
}

impl Registered {
    /// How many occurrences its grid has up to the last poll. The two instants are known to a microsecond or so, and
    /// this is one number unless an occurrence lies within that.
    fn occurrences(&self, (before, after): (Instant, Instant)) -> RangeInclusive<u64> {
        let count = |time: Duration| (time.as_nanos() / self.period.as_nanos()) as u64;
        count(before - self.after)..=count(after - self.before)
    }
}

fn register(scheduler: &Scheduler, meter: &Arc<Meter>, job: usize, work: Work, whole: bool) -> Registered {
    let Work { period, length } = work;
    let meter = meter.clone();
    let before = Instant::now();
    let when = scheduler.every_period(period);
    let handle = if length >= LONG && !whole {
        let calls = length.div_duration_f64(STEP).ceil() as u32;
        when.do_steps(move |_| {
            let meter = meter.clone();
            (1..=calls).map(move |call| {
                meter.call(length / calls);
                if call == calls {
                    meter.ended(job);
                }
            })
        })
    } else {
        when.do_(move || meter.run(job, length))
    };
    Registered { handle: handle.expect("a period of its own is a good schedule"), period, before, after: Instant::now() }
}

// ---- The others ----

/// clokwerk counts in whole seconds: jobs of less are given to it as jobs of a second. It runs each job whole.
fn with_clokwerk(table: &[Work], frames: u32) -> Figures {
    let meter = Meter::new(table.len());
    let mut scheduler = clokwerk::Scheduler::with_tz(chrono::Utc);
    for (job, work) in table.iter().enumerate() {
        let Work { period, length } = *work;
        let meter = meter.clone();
        let seconds = (period.as_secs() as u32).max(1);
        scheduler.every(seconds.seconds()).run(move || meter.run(job, length));
    }
    host(frames, &meter, || scheduler.run_pending())
}

/// The loop that one writes by hand. What was missed it leaves out, as punctual does.
fn by_hand(table: &[Work], frames: u32) -> Figures {
    struct Job {
        due: Instant,
        period: Duration,
        work: Box<dyn FnMut()>,
    }
    let meter = Meter::new(table.len());
    let mut jobs: Vec<Job> = Vec::new();
    for (job, work) in table.iter().enumerate() {
        let Work { period, length } = *work;
        let meter = meter.clone();
        jobs.push(Job { due: Instant::now() + period, period, work: Box::new(move || meter.run(job, length)) });
    }
    host(frames, &meter, || {
        let now = Instant::now();
        for job in &mut jobs {
            if job.due > now {
                continue;
            }
            (job.work)();
            while job.due <= now {
                job.due += job.period;
            }
        }
    })
}

// ---- What is shown ----

fn print_table(rows: &[(&str, Figures)], verdict: &Verdict) {
    let head = [
        "scheduler",
        "frames",
        "lost",
        "(CPU time)",
        "worst delay",
        "longest poll",
        "beyond budget + one call",
        "(CPU time)",
        "runs",
        "jobs off their count",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    for (name, figures) in rows {
        lines.push([
            (*name).to_owned(),
            figures.frames.to_string(),
            figures.lost.to_string(),
            figures.lost_in_cpu_time.to_string(),
            millis(figures.worst_delay),
            millis(figures.longest_poll),
            figures.beyond.to_string(),
            figures.beyond_in_cpu_time.to_string(),
            figures.runs.to_string(),
            if *name == "punctual" { verdict.off.to_string() } else { "-".to_owned() },
        ]);
    }
    println!();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let width = lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
            if column == 0 { print!("{cell:<width$}") } else { print!("  {cell:>width$}") }
        }
        println!();
    }
    println!();
    for (name, Figures { at_work, leaps, .. }) in rows {
        let share = f64::from(leaps.many) * at_work.as_secs_f64() / leaps.watched.as_secs_f64();
        println!(
            "{name}: in {:.1} s of the host's own work the clock leapt {} times by more than {}, {} at most; in the {:.2} s that it \
             took itself that makes {share:.1} leaps",
            leaps.watched.as_secs_f64(),
            leaps.many,
            millis(BOOKKEEPING),
            millis(leaps.most),
            at_work.as_secs_f64(),
        );
    }
}

impl Verdict {
    fn print(&self) {
        let Verdict { off, runs, folded, dropped, over, unsaid, most_beyond } = self;
        let occurrences = runs + folded + dropped;
        println!("\npunctual, with what was left over at the end:");
        println!(
            "  {occurrences} occurrences = {runs} runs + {folded} folded into them + {dropped} dropped, {off} jobs off their count"
        );
        println!("  {over} polls longer than the budget, {unsaid} of them without a word of `Tick::overran`");
        println!("  at most {} beyond the budget and the call that was running", millis(*most_beyond));
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
