//! Fetching a text by HTTP or from a file, without ever holding up the end of the program.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub enum Source {
    Url(String),
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{address} did not answer well ({why}); the next run tries again")]
    Http { address: String, why: String },
    #[error("{address} gave no whole answer within {limit:?}; the next run tries again")]
    TimedOut { address: String, limit: Duration },
    #[error("{file} cannot be read ({why}); check --quakes and --airports")]
    File { file: String, why: String },
    #[error("it was told to stop")]
    Stopped,
}

/// How a source is asked.
#[derive(Clone)]
pub struct Fetcher {
    pub limit: Duration,
    pub stop: Arc<AtomicBool>,
}

impl Source {
    pub fn parse(text: &str) -> Source {
        if text.starts_with("http://") || text.starts_with("https://") {
            Source::Url(text.to_owned())
        } else {
            Source::File(text.into())
        }
    }

    /// The same source, for a feed that covers more or less.
    pub fn for_feed(&self, feed: &str) -> Source {
        match self {
            Source::Url(url) => Source::Url(url.replace("all_hour", feed)),
            Source::File(file) => Source::File(file.clone()),
        }
    }
}

impl Fetcher {
    /// The source's text. The request has a thread of its own, so that a stop is heeded at once.
    pub fn fetch(&self, source: &Source) -> Result<String, FetchError> {
        let address = match source {
            Source::File(file) => {
                let name = file.display().to_string();
                return std::fs::read_to_string(file).map_err(|error| FetchError::File { file: name, why: error.to_string() });
            }
            Source::Url(address) => address.clone(),
        };
        let (answer, answered) = channel();
        let (request, limit) = (address.clone(), self.limit);
        std::thread::spawn(move || {
            let _ = answer.send(get(&request, limit));
        });
        let begun = Instant::now();
        loop {
            match answered.recv_timeout(Duration::from_millis(20)) {
                Ok(Ok(text)) => return Ok(text),
                Ok(Err(why)) => return Err(FetchError::Http { address, why }),
                Err(_) if self.stop.load(Ordering::Relaxed) => return Err(FetchError::Stopped),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() > limit => return Err(FetchError::TimedOut { address, limit }),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(FetchError::Http { address, why: "the request broke off".into() });
                }
            }
        }
    }
}

fn get(address: &str, limit: Duration) -> Result<String, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(limit)).build().into();
    let mut answer = agent.get(address).call().map_err(|error| error.to_string())?;
    answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())
}
