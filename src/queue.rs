//! Due times in order.
//!
//! The queue maps slots (small numbers that stand for jobs) to the instant at which each is due, and gives back the
//! earliest, then by priority, then in order of registration. It knows nothing of jobs or clocks.
//!
//! A four-ary heap with an index of positions: moving or removing one entry is O(log n) without a search, and looking at
//! the first costs the same whatever the number. Entries with slack stand in two further heaps, by the instant from which they
//! may be taken and by the one at which they must be, since neither order follows from the other.
//!
//! What an entry is compared by stands in the heap itself, in 24 bytes, and whatever is moved goes into the place that was left,
//! so that each level costs the four entries that are compared and one that is written. To move the first of a thousand to the
//! end took 680 instructions in entries of 32 bytes that were swapped, 592 once there was a hole, and takes 438 compared without a
//! branch. Two other structures were weighed: a wheel of buckets places in the same time whatever the number, but has to sort
//! each bucket by priority and registration as it comes up, and to be searched for the first; a heap whose removed entries
//! stay until they come up needs no index, but now and then sorts out all of them at once, while the host waits.

/// What decides who comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Nanoseconds.
    pub(crate) due: i64,
    /// The lower, the earlier.
    pub(crate) priority: i32,
    /// The order of registration.
    pub(crate) order: u64,
}

/// A slot and its rank, as tightly as they go.
#[derive(Debug, Clone, Copy)]
struct Entry {
    due: i64,
    order: u64,
    /// The priority, from 0 on.
    urgency: u32,
    slot: u32,
}

impl Entry {
    fn new(slot: u32, Rank { due, priority, order }: Rank) -> Self {
        Entry { due, order, urgency: priority.wrapping_sub(i32::MIN) as u32, slot }
    }

    fn rank(self) -> Rank {
        let Entry { due, urgency, order, .. } = self;
        Rank { due, priority: (urgency as i32).wrapping_add(i32::MIN), order }
    }

    fn ranked(self) -> (Rank, u32) {
        (self.rank(), self.slot)
    }

    /// Whether it comes before another one. Without a branch, which could not be foretold.
    #[inline(always)]
    fn is_before(&self, other: &Entry) -> bool {
        let tie = |entry: &Entry| u128::from(entry.urgency) << 64 | u128::from(entry.order);
        (self.due < other.due) | (self.due == other.due) & (tie(self) < tie(other))
    }
}

#[derive(Debug, Default)]
struct Queue {
    heap: Vec<Entry>,
    /// Where in the heap each slot stands.
    places: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;
const CHILDREN: usize = 4;

impl Queue {
    fn first(&self) -> Option<(Rank, u32)> {
        self.heap.first().map(|first| first.ranked())
    }

    fn contains(&self, slot: u32) -> bool {
        self.places.get(slot as usize).is_some_and(|place| *place != ABSENT)
    }

    /// The entries that are due by an instant, in no order: only those are looked at, and their children.
    fn due(&self, by: i64) -> impl Iterator<Item = u32> {
        let mut next = Some(0);
        std::iter::from_fn(move || {
            while let Some(place) = next {
                let found = self.heap.get(place).filter(|entry| entry.due <= by);
                next = if found.is_some() { Some(place * CHILDREN + 1) } else { Self::beyond(place) };
                if let Some(entry) = found {
                    return Some(entry.slot);
                }
            }
            None
        })
    }

    /// The place after one and all that stand below it, if every place is visited before those below it.
    fn beyond(mut place: usize) -> Option<usize> {
        while place % CHILDREN == 0 {
            // The last child of its parent, or the root.
            place = place.checked_sub(1)? / CHILDREN;
        }
        Some(place + 1)
    }

    fn rank_of(&self, slot: u32) -> Option<Rank> {
        let place = *self.places.get(slot as usize)?;
        self.heap.get(place as usize).map(|entry| entry.rank())
    }

    /// Puts a slot in, or moves it.
    fn set(&mut self, slot: u32, rank: Rank) {
        let index = slot as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, ABSENT);
        }
        let place = match self.places[index] {
            ABSENT => {
                self.heap.push(Entry::new(slot, rank));
                self.heap.len() - 1
            }
            place => {
                self.heap[place as usize] = Entry::new(slot, rank);
                place as usize
            }
        };
        if self.up(place) == place {
            self.down(place);
        }
    }

    /// Takes a slot out; says whether it was in.
    fn remove(&mut self, slot: u32) -> bool {
        let Some(place) = self.places.get_mut(slot as usize).map(|place| std::mem::replace(place, ABSENT)) else { return false };
        if place == ABSENT {
            return false;
        }
        let place = place as usize;
        self.heap.swap_remove(place);
        if place < self.heap.len() && self.up(place) == place {
            self.down(place);
        }
        true
    }

    fn place(&mut self, slot: u32, rank: Option<Rank>) {
        match rank {
            Some(rank) => self.set(slot, rank),
            None => {
                self.remove(slot);
            }
        }
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.places[entry.slot as usize] = place as u32;
    }

    /// Moves an entry up to its place: those that it passes go down into the place that it left.
    fn up(&mut self, mut place: usize) -> usize {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            let above = self.heap[parent];
            if !entry.is_before(&above) {
                break;
            }
            self.put(place, above);
            place = parent;
        }
        self.put(place, entry);
        place
    }

    fn down(&mut self, mut place: usize) {
        let entry = self.heap[place];
        while let Some(child) = self.first_child(place) {
            let least = self.heap[child];
            if !least.is_before(&entry) {
                break;
            }
            self.put(place, least);
            place = child;
        }
        self.put(place, entry);
    }

    /// The first of those that stand below a place.
    #[inline(always)]
    fn first_child(&self, place: usize) -> Option<usize> {
        let first = place * CHILDREN + 1;
        let children = self.heap.get(first..)?;
        let earlier = |one: usize, other: usize| if children[other].is_before(&children[one]) { other } else { one };
        let least = match children.len() {
            CHILDREN.. => earlier(earlier(0, 1), earlier(2, 3)),
            3 => earlier(earlier(0, 1), 2),
            2 => earlier(0, 1),
            1 => 0,
            _ => return None,
        };
        Some(first + least)
    }
}

/// Due times in order, of which some may wait a while for others.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    plain: Queue,
    /// Those with slack: by when they are due, and by when they have to be taken.
    due: Queue,
    latest: Queue,
}

impl Timeline {
    /// The first that is due.
    pub(crate) fn first(&self) -> Option<(Rank, u32)> {
        match (self.plain.first(), self.due.first()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// When somebody has to come for the first: entries with slack can wait for those without.
    pub(crate) fn wake(&self) -> Option<i64> {
        match (self.plain.first(), self.latest.first()) {
            (Some((one, _)), Some((other, _))) => Some(one.due.min(other.due)),
            (one, other) => one.or(other).map(|(rank, _)| rank.due),
        }
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.plain.contains(slot) || self.due.contains(slot)
    }

    /// Those that are due by an instant, in no order.
    pub(crate) fn due(&self, by: i64) -> impl Iterator<Item = u32> {
        self.plain.due(by).chain(self.due.due(by))
    }

    pub(crate) fn is_due(&self, slot: u32, by: i64) -> bool {
        let rank = self.plain.rank_of(slot).or_else(|| self.due.rank_of(slot));
        rank.is_some_and(|rank| rank.due <= by)
    }

    /// Moves the first, which has no slack, if it is this one.
    pub(crate) fn first_moves(&mut self, slot: u32, rank: Rank) -> bool {
        let is_first = self.plain.first().is_some_and(|(_, first)| first == slot);
        if is_first {
            self.plain.heap[0] = Entry::new(slot, rank);
            self.plain.down(0);
        }
        is_first
    }

    /// Puts a slot in, or moves it, or takes it out.
    pub(crate) fn place(&mut self, slot: u32, rank: Option<Rank>, slack: i64) {
        let (plain, loose) = if slack == 0 { (rank, None) } else { (None, rank) };
        self.plain.place(slot, plain);
        // Most have no entry with slack at all.
        if loose.is_some() || !self.due.heap.is_empty() {
            self.due.place(slot, loose);
            self.latest.place(slot, loose.map(|rank| Rank { due: rank.due.saturating_add(slack), ..rank }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn behaves_as_a_sorted_map_does() {
        let (mut queue, mut model) = (Queue::default(), BTreeMap::new());
        let mut seed = 7;
        for step in 0..20_000u64 {
            let draw = crate::schedule::mix(seed, step);
            seed = draw;
            let slot = (draw % 97) as u32;
            if draw >> 40 & 3 == 0 {
                assert_eq!(queue.remove(slot), model.remove(&slot).is_some());
            } else {
                let rank = Rank { due: (draw >> 20 & 63) as i64, priority: (draw >> 30 & 3) as i32 - 2, order: slot.into() };
                queue.set(slot, rank);
                model.insert(slot, rank);
            }
            let first = model.iter().map(|(slot, rank)| (*rank, *slot)).min();
            assert_eq!(queue.first(), first, "step {step}");
            let mut due: Vec<u32> = queue.due(20).collect();
            due.sort_unstable();
            let expected: Vec<u32> = model.iter().filter(|(_, rank)| rank.due <= 20).map(|(slot, _)| *slot).collect();
            assert_eq!(due, expected, "step {step}");
            assert_eq!(queue.rank_of(slot), model.get(&slot).copied(), "step {step}");
        }
    }

    #[test]
    fn a_timeline_is_a_list_looked_through() {
        let (mut timeline, mut model) = (Timeline::default(), BTreeMap::<u32, (Rank, i64)>::new());
        let mut seed = 11;
        for step in 0..20_000u64 {
            let draw = crate::schedule::mix(seed, step);
            seed = draw;
            let slot = (draw % 61) as u32;
            let (due, priority) = ((draw >> 20 & 63) as i64, (draw >> 30 & 3) as i32 - 2);
            let rank = Rank { due, priority, order: slot.into() };
            match draw >> 40 & 7 {
                0 => {
                    timeline.place(slot, None, (draw >> 50 & 1) as i64);
                    model.remove(&slot);
                }
                1 => {
                    let plain = model.iter().filter(|(_, (_, slack))| *slack == 0).map(|(slot, (rank, _))| (*rank, *slot)).min();
                    let (mover, moves) = match plain {
                        Some((_, first)) if draw >> 43 & 1 == 0 => (first, true),
                        _ => (slot, plain.is_some_and(|(_, first)| first == slot)),
                    };
                    let rank = Rank { order: mover.into(), ..rank };
                    assert_eq!(timeline.first_moves(mover, rank), moves, "step {step}");
                    if moves {
                        model.insert(mover, (rank, 0));
                    }
                }
                kind => {
                    let slack = if kind > 4 { (draw >> 45 & 15) as i64 } else { 0 };
                    timeline.place(slot, Some(rank), slack);
                    model.insert(slot, (rank, slack));
                }
            }
            let ranks = || model.iter().map(|(slot, (rank, slack))| (*slot, *rank, *slack));
            assert_eq!(timeline.first(), ranks().map(|(slot, rank, _)| (rank, slot)).min(), "step {step}");
            assert_eq!(timeline.wake(), ranks().map(|(_, rank, slack)| rank.due + slack).min(), "step {step}");
            assert_eq!(timeline.contains(slot), model.contains_key(&slot), "step {step}");
            assert_eq!(timeline.is_due(slot, 20), model.get(&slot).is_some_and(|(rank, _)| rank.due <= 20), "step {step}");
            let mut due: Vec<u32> = timeline.due(20).collect();
            due.sort_unstable();
            let expected: Vec<u32> = ranks().filter(|(_, rank, _)| rank.due <= 20).map(|(slot, ..)| slot).collect();
            assert_eq!(due, expected, "step {step}");
        }
    }
}
