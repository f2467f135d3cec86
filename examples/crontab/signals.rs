//! Signals, on a thread of their own: they are counted, and wake the loop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use punctual::Scheduler;
use tokio::runtime::Builder;

#[derive(Debug, Default)]
pub struct Signals {
    /// How often the program was told to end.
    pub ends: AtomicU32,
    /// Whether the files are to be read again.
    pub reload: AtomicBool,
}

impl Signals {
    pub fn listen(scheduler: &Scheduler) -> io::Result<Arc<Signals>> {
        let signals = Arc::new(Signals::default());
        let (heard, scheduler) = (signals.clone(), scheduler.clone());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut source = {
            let _inside = runtime.enter();
            Source::new()?
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async move {
                loop {
                    match source.next().await {
                        Signal::End => drop(heard.ends.fetch_add(1, Ordering::Relaxed)),
                        #[cfg(unix)]
                        Signal::Reload => heard.reload.store(true, Ordering::Relaxed),
                    }
                    scheduler.wake();
                }
            })
        })?;
        Ok(signals)
    }
}

enum Signal {
    End,
    #[cfg(unix)]
    Reload,
}

#[cfg(unix)]
struct Source([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Source {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Source([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?]))
    }

    async fn next(&mut self) -> Signal {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => Signal::End,
            _ = interrupt.recv() => Signal::End,
            _ = hangup.recv() => Signal::Reload,
        }
    }
}

#[cfg(windows)]
struct Source(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Source {
    fn new() -> io::Result<Self> {
        Ok(Source(tokio::signal::windows::ctrl_c()?))
    }

    async fn next(&mut self) -> Signal {
        self.0.recv().await;
        Signal::End
    }
}
