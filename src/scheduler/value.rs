//! What a run returned, on its way to those that follow it: at once, or by way of a store.
//!
//! Values are of the user's own types, and so is the code that writes them as bytes and reads them: a job's thread writes, right
//! after the job; whoever follows reads, right before it. No lock is held then.

use std::any::{Any, TypeId};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::entry::Join;
use crate::event::FailureKind;
use crate::job::{LastRun, Results, RunEnd};
use crate::run::{BoxError, RunFacts};
use crate::schedule::{from_nanos, to_nanos};

/// What a run returned, for those that follow.
pub(super) type Value = Arc<dyn Any + Send + Sync>;

/// What is said of a run whose result to follow is not there.
pub(super) const UNREAD: &str = "the result to follow could not be read from the store";

/// A value that a store can keep, or has kept.
struct Keepable {
    bytes: Arc<[u8]>,
    value: Form,
}

/// A value that its job's target finds again, if it does.
struct Sought {
    run: RunFacts,
    reader: Arc<dyn Reader>,
}

enum Form {
    Known(Value),
    /// It comes from a store.
    Unread(Arc<dyn Reader>),
}

/// One result of each of several jobs, put together for whoever follows all of them.
pub(super) struct Joined {
    pub(super) values: Vec<Value>,
    pub(super) join: Join,
}

/// Reads what a job's results were written as.
pub(super) trait Reader: Send + Sync {
    fn read(&self, bytes: &[u8]) -> Option<Value>;

    /// Whether there is something else that may have them.
    fn finds(&self) -> bool;

    fn find(&self, run: &RunFacts) -> Option<Value>;

    /// Whether all its results are the same: `()`.
    fn is_unit(&self) -> bool;
}

impl<T: Send + Sync + 'static> Reader for Results<T> {
    fn read(&self, bytes: &[u8]) -> Option<Value> {
        let codec = self.codec()?;
        Some(Arc::new((codec.read)(bytes)?))
    }

    fn finds(&self) -> bool {
        self.target().is_some()
    }

    fn find(&self, run: &RunFacts) -> Option<Value> {
        // What it cannot tell is not there.
        let found = self.target()?(run).ok().flatten()?;
        Some(Arc::new(found))
    }

    fn is_unit(&self) -> bool {
        TypeId::of::<T>() == TypeId::of::<()>()
    }
}

/// A value as those that follow get it.
pub(super) fn value_of<T: Send + Sync + 'static>(value: Option<Value>) -> Option<Arc<T>> {
    let other = match value?.downcast::<T>() {
        Ok(value) => return Some(value),
        Err(other) => other,
    };
    let value = if let Some(joined) = other.downcast_ref::<Joined>() {
        (joined.join)(&joined.values)?
    } else if let Some(Sought { run, reader }) = other.downcast_ref() {
        reader.find(run)?
    } else {
        let Keepable { bytes, value } = other.downcast_ref()?;
        match value {
            Form::Known(value) => value.clone(),
            Form::Unread(reader) => reader.read(bytes)?,
        }
    };
    value.downcast::<T>().ok()
}

/// What of a value is kept in a store, for each run that it comes from.
pub(super) fn bytes_of(value: Option<&Value>, runs: usize) -> Vec<Option<Arc<[u8]>>> {
    match value.and_then(|value| value.downcast_ref::<Joined>()) {
        Some(joined) => joined.values.iter().map(bytes).collect(),
        None => vec![value.and_then(bytes); runs],
    }
}

fn bytes(value: &Value) -> Option<Arc<[u8]>> {
    value.downcast_ref::<Keepable>().map(|keepable| keepable.bytes.clone())
}

/// A value and what it is written as.
pub(super) fn keepable(value: Value, bytes: impl Into<Arc<[u8]>>) -> Value {
    Arc::new(Keepable { bytes: bytes.into(), value: Form::Known(value) })
}

/// A value as a store has it, or else what finds it; `None` if there is neither.
pub(super) fn kept(run: &RunFacts, bytes: Option<&Arc<[u8]>>, reader: &Arc<dyn Reader>) -> Option<Value> {
    match bytes {
        _ if reader.is_unit() => Some(Arc::new(())),
        Some(bytes) => Some(Arc::new(Keepable { bytes: bytes.clone(), value: Form::Unread(reader.clone()) })),
        None if reader.finds() => Some(Arc::new(Sought { run: run.clone(), reader: reader.clone() })),
        None => None,
    }
}

/// How a run ended badly, as text: in which way, and what its error says.
pub(super) fn write_failure(kind: &FailureKind, said: &str) -> Vec<u8> {
    match kind {
        FailureKind::Error(_) => format!("error {said}"),
        FailureKind::Panic(message) => format!("panic {message}"),
        FailureKind::TimedOut(limit) => format!("limit {}", limit.as_nanos()),
        FailureKind::Retry => "retry".to_owned(),
        FailureKind::Lost => "lost".to_owned(),
    }
    .into_bytes()
}

pub(super) fn read_failure(bytes: &[u8]) -> Option<FailureKind> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (word, said) = text.split_once(' ').unwrap_or((text, ""));
    Some(match word {
        "error" => FailureKind::Error(Arc::from(BoxError::from(said))),
        "panic" => FailureKind::Panic(said.to_owned()),
        "limit" => FailureKind::TimedOut(Duration::from_nanos(said.parse().ok()?)),
        "retry" => FailureKind::Retry,
        "lost" => FailureKind::Lost,
        _ => return None,
    })
}

/// The figures of a run that has ended, as text.
pub(super) fn write_last(last: &LastRun) -> Vec<u8> {
    let LastRun { due, first_missed, started, took, late, folded, attempt, end } = last;
    let place = ENDS.iter().position(|other| other == end).unwrap_or(ENDS.len());
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = write!(text, "{} {} {}", to_nanos(due), to_nanos(first_missed), to_nanos(started));
    let _ = write!(text, " {} {} {folded} {attempt} {place}", took.as_nanos(), late.as_nanos());
    text.into_bytes()
}

pub(super) fn read_last(bytes: &[u8]) -> Option<LastRun> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split(' ');
    let mut at = || words.next()?.parse().ok().map(from_nanos);
    let (due, first_missed, started) = (at()?, at()?, at()?);
    let mut count = || words.next()?.parse::<u64>().ok();
    let (took, late) = (Duration::from_nanos(count()?), Duration::from_nanos(count()?));
    let (folded, attempt) = (count()?, count()?.try_into().ok()?);
    let end = *ENDS.get(usize::try_from(count()?).ok()?)?;
    Some(LastRun { due, first_missed, started, took, late, folded, attempt, end })
}

const ENDS: [RunEnd; 7] =
    [RunEnd::Done, RunEnd::Failed, RunEnd::Panicked, RunEnd::TimedOut, RunEnd::Stopped, RunEnd::Lost, RunEnd::AlreadyDone];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_figures_read_back() {
        let limit = Duration::from_millis(1500);
        let error: BoxError = "no answer\nat all".into();
        let kinds = [
            (FailureKind::Error(error.into()), "no answer\nat all"),
            (FailureKind::Panic("index out of bounds".to_owned()), "panicked: index out of bounds"),
            (FailureKind::TimedOut(limit), "took longer than 1.5s"),
            (FailureKind::Retry, "asked to be tried again"),
            (FailureKind::Lost, "was dropped by the executor before it ended"),
        ];
        for (kind, said) in kinds {
            let read = read_failure(&write_failure(&kind, &kind.to_string())).unwrap();
            assert_eq!((read.to_string(), read.end()), (said.to_owned(), kind.end()));
        }
        for end in ENDS {
            let (due, first_missed, started) = (from_nanos(7), from_nanos(-3), from_nanos(i64::MAX));
            let last = LastRun { due, first_missed, started, took: limit, late: Duration::ZERO, folded: 9, attempt: 2, end };
            assert_eq!(read_last(&write_last(&last)), Some(last));
        }
        for bytes in [&b""[..], b"x", b"limit", b"limit x", b"\xff", b"1 2 3 4 5 6 7 99", b"1 2 3"] {
            assert!(read_failure(bytes).is_none() && read_last(bytes).is_none(), "{bytes:?}");
        }
    }
}
