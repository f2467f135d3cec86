//! Fetching a text by HTTP or from a file. It blocks: jobs do it in the background.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone)]
pub enum Source {
    Url(String),
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{address} did not answer well ({why})")]
    Http { address: String, why: String },
    #[error("{file} cannot be read ({why}); check --quakes and --airports")]
    File { file: String, why: String },
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

    /// The source's text, unless it takes longer than this.
    pub fn fetch(&self, limit: Duration) -> Result<String, FetchError> {
        match self {
            Source::File(file) => std::fs::read_to_string(file)
                .map_err(|error| FetchError::File { file: file.display().to_string(), why: error.to_string() }),
            Source::Url(address) => {
                get(address, limit).map_err(|error| FetchError::Http { address: address.clone(), why: error.to_string() })
            }
        }
    }
}

fn get(address: &str, limit: Duration) -> Result<String, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(limit)).build().into();
    agent.get(address).call()?.body_mut().with_config().limit(64 << 20).read_to_string()
}
