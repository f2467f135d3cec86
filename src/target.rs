//! What a run is for, by which one sees that it need not be run: a file, a row, whatever a predicate finds.

use std::any::{Any, TypeId, type_name};
use std::sync::Arc;

use crate::error::Error;
use crate::run::{BoxError, Outcome, RunFacts};

/// What a target may answer to [`unless_done`](crate::When::unless_done): `bool`; an `Option` of what the run would return; or
/// a `Result` of either.
pub trait TargetResult {
    /// What a run of the job returns.
    type Value: Send + Sync + 'static;

    #[doc(hidden)]
    fn into_found(self) -> Result<Option<Self::Value>, BoxError>;
}

impl TargetResult for bool {
    type Value = ();

    fn into_found(self) -> Result<Option<()>, BoxError> {
        Ok(self.then_some(()))
    }
}

impl<T: Send + Sync + 'static> TargetResult for Option<T> {
    type Value = T;

    fn into_found(self) -> Result<Option<T>, BoxError> {
        Ok(self)
    }
}

impl<R: TargetResult, E: Into<BoxError>> TargetResult for Result<R, E> {
    type Value = R::Value;

    fn into_found(self) -> Result<Option<R::Value>, BoxError> {
        self.map_err(Into::into)?.into_found()
    }
}

/// Looks whether what a run is for is there: what the run would return, if so.
pub(crate) type Look<T> = dyn Fn(&RunFacts) -> Result<Option<T>, BoxError> + Send + Sync;

/// A job's target, before it is known what the job returns.
pub(crate) struct Target {
    /// An `Arc<Look<T>>`.
    look: Box<dyn Any + Send + Sync>,
    finds: TypeId,
    finds_name: &'static str,
}

impl Target {
    pub(crate) fn new<R: TargetResult>(look: impl Fn(&RunFacts) -> R + Send + Sync + 'static) -> Self {
        let look: Arc<Look<R::Value>> = Arc::new(move |run| look(run).into_found());
        Target { look: Box::new(look), finds: TypeId::of::<R::Value>(), finds_name: type_name::<R::Value>() }
    }

    /// The same for a job that returns something of which a value stands for nothing done: to say that it is done will do.
    pub(crate) fn or_bare<T: Send + Sync + 'static>(self, bare: fn() -> T) -> Self {
        let Target { look, finds, finds_name } = self;
        match look.downcast::<Arc<Look<()>>>() {
            Ok(look) => Target::new(move |run| Ok::<_, BoxError>(look(run)?.map(|()| bare()))),
            Err(look) => Target { look, finds, finds_name },
        }
    }

    /// How to look for what a job returns.
    pub(crate) fn of<T: Send + Sync + 'static>(self) -> Result<Arc<Look<T>>, Error> {
        let Target { look, finds, finds_name } = match outcome::<T>() {
            Some(bare) => self.or_bare(bare),
            None => self,
        };
        let finds = if finds == TypeId::of::<()>() { "only whether it is done" } else { finds_name };
        let look = look.downcast::<Arc<Look<T>>>();
        look.map(|look| *look).map_err(|_| Error::OtherTarget { returns: type_name::<T>(), finds })
    }
}

/// What a job returns that says its outcome itself, if that is its type.
fn outcome<T: 'static>() -> Option<fn() -> T> {
    let bare: Box<dyn Any> = Box::new((|| Outcome::AlreadyDone) as fn() -> Outcome);
    bare.downcast::<fn() -> T>().ok().map(|bare| *bare)
}
