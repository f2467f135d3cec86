//! What few have: the many who have none of it stay small.

use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

/// What reads as nothing.
pub(crate) trait Blank: Default + 'static {
    fn blank() -> &'static Self;
}

/// Something that takes no room until it is written to; before that it reads as blank.
#[derive(Clone)]
pub(crate) struct Seldom<T>(Option<Box<T>>);

impl<T> Seldom<T> {
    /// Whether it was never written to.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        self.0.is_none()
    }

    /// What was written, if anything was.
    pub(crate) fn used(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T> Default for Seldom<T> {
    fn default() -> Self {
        Seldom(None)
    }
}

impl<T: Blank> Deref for Seldom<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(used) => used,
            None => T::blank(),
        }
    }
}

impl<T: Blank> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Blank + PartialEq> PartialEq for Seldom<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Blank + Eq> Eq for Seldom<T> {}

impl<T: Blank + Hash> Hash for Seldom<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
