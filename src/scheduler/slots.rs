//! Where the jobs of a table stand: in pages that never move, so that taking one more in costs the same however many there are.
//!
//! One vector of all was tried: it is copied each time it grows, the host waits for that, and up to half of it is empty.

/// Small, so that a scheduler with three jobs is small too.
const PAGE: usize = 32;

pub(super) struct Slots<T> {
    pages: Vec<Box<[Option<T>]>>,
    /// Slots that were given back.
    free: Vec<u32>,
    /// How many were ever given out.
    used: usize,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Slots { pages: Vec::new(), free: Vec::new(), used: 0 }
    }

    /// An empty slot, which is nobody else's until it is given back.
    pub(super) fn reserve(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        if self.used % PAGE == 0 {
            self.pages.push((0..PAGE).map(|_| None).collect());
        }
        self.used += 1;
        self.used as u32 - 1
    }

    pub(super) fn release(&mut self, slot: u32) {
        self.free.push(slot);
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.pages.get(slot as usize / PAGE)?[slot as usize % PAGE].as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.pages.get_mut(slot as usize / PAGE)?[slot as usize % PAGE].as_mut()
    }

    /// Puts something in a slot that was reserved.
    pub(super) fn put(&mut self, slot: u32, content: T) {
        if let Some(page) = self.pages.get_mut(slot as usize / PAGE) {
            page[slot as usize % PAGE] = Some(content);
        }
    }

    /// Takes what is in a slot, which is free then.
    pub(super) fn take(&mut self, slot: u32) -> Option<T> {
        let content = self.pages.get_mut(slot as usize / PAGE)?[slot as usize % PAGE].take()?;
        self.release(slot);
        Some(content)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flatten().flatten()
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = T> + use<T> {
        self.pages.into_iter().flat_map(<[_]>::into_vec).flatten()
    }
}
