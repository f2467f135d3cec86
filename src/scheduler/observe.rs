//! What is told to those who watch: at once by observers, or kept for whoever comes for it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Scheduler, Shared};
use crate::caught::{caught, drop_quietly};
use crate::event::{Event, Failure};
use crate::sync::atomic::Ordering;
use crate::sync::{Condvar, Instant, Mutex};

pub(super) type Observer = dyn Fn(&Event) + Send + Sync;

impl<C> Shared<C> {
    /// Tells of events, with no lock held.
    pub(super) fn tell(&self, events: &[Event]) {
        if events.is_empty() || !self.watched.load(Ordering::Acquire) {
            return;
        }
        // Cloned, so that an observer may add another one.
        let observers = { self.observers.read().clone() };
        let subscriptions: Vec<Arc<Subscription>> =
            { self.subscriptions.read().iter().filter_map(|kept| kept.upgrade()).collect() };
        for event in events {
            for observer in &observers {
                let _ = caught(|| observer(event));
            }
            for subscription in &subscriptions {
                subscription.push(event.clone());
            }
        }
    }

    /// The scheduler goes: nobody need wait for its events any longer.
    pub(super) fn end_subscriptions(&self) {
        self.subscriptions.read().iter().filter_map(Weak::upgrade).for_each(|kept| kept.end());
    }

    fn watch(&self) {
        self.watched.store(true, Ordering::Release);
        self.table.lock().observed = true;
    }
}

impl<C: 'static> Scheduler<C> {
    /// Tells an observer of every [`Event`], on the thread where it happens: most often the one that polls, between two
    /// jobs. No lock is held, so it may call anything. A panic in it is swallowed.
    ///
    /// Its time is the host's, and counts to the poll's budget. One that may take long should take [`events`](Self::events)
    /// instead, which hold up nobody.
    pub fn on_event(&self, observer: impl Fn(&Event) + Send + Sync + 'static) {
        self.0.observers.write().push(Arc::new(observer));
        self.0.watch();
    }

    /// Tells an observer of every attempt that ends badly, as [`on_event`](Self::on_event) does.
    pub fn on_error(&self, observer: impl Fn(&Failure) + Send + Sync + 'static) {
        self.on_event(move |event| {
            if let Event::Failed(failure) = event {
                observer(failure);
            }
        });
    }

    /// Keeps the events from now on, for whoever comes for them from any thread: the last `most` of them, at least one.
    ///
    /// ```
    /// use punctual::{Event, Scheduler};
    ///
    /// let scheduler = Scheduler::new();
    /// let events = scheduler.events(100);
    /// scheduler.reboot().named("hello").do_(|| ())?;
    /// let _ = scheduler.run_pending();
    /// let told: Vec<String> = events.map(|event| event.to_string()).collect();
    /// assert_eq!(told.first().map(String::as_str), Some("hello: registered"));
    /// assert_eq!(told.last().map(String::as_str), Some("hello: removed, it has had its last run"));
    /// # Ok::<(), punctual::Error>(())
    /// ```
    pub fn events(&self, most: usize) -> Events {
        let subscription = Arc::new(Subscription { most: most.max(1), kept: Mutex::default(), came: Condvar::new() });
        let mut subscriptions = self.0.subscriptions.write();
        subscriptions.retain(|kept| kept.strong_count() > 0);
        subscriptions.push(Arc::downgrade(&subscription));
        drop(subscriptions);
        self.0.watch();
        Events(subscription)
    }
}

/// Events kept for one who comes for them: see [`Scheduler::events`]. As an iterator it gives those that are there.
pub struct Events(Arc<Subscription>);

pub(super) struct Subscription {
    most: usize,
    kept: Mutex<Kept>,
    came: Condvar,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Event>,
    lost: u64,
    /// Its scheduler is gone: no more will come.
    ended: bool,
}

impl Subscription {
    fn end(&self) {
        self.kept.lock().ended = true;
        self.came.notify_all();
    }

    fn push(&self, event: Event) {
        let gone = {
            let mut kept = self.kept.lock();
            let gone = if kept.events.len() >= self.most { kept.events.pop_front() } else { None };
            kept.lost += u64::from(gone.is_some());
            kept.events.push_back(event);
            gone
        };
        drop_quietly(gone);
        self.came.notify_one();
    }
}

impl Events {
    /// The next event, waiting for it no longer than `most`; `None` at once when there is none and the scheduler is gone.
    pub fn wait(&self, most: Duration) -> Option<Event> {
        let end = Instant::now().checked_add(most);
        let mut kept = self.0.kept.lock();
        loop {
            if let Some(event) = kept.events.pop_front() {
                return Some(event);
            }
            if kept.ended {
                return None;
            }
            match end {
                None => self.0.came.wait(&mut kept),
                Some(end) if end <= Instant::now() => return None,
                Some(end) => {
                    self.0.came.wait_until(&mut kept, end);
                }
            }
        }
    }

    /// How many events were pushed out by later ones before anybody came for them.
    pub fn lost(&self) -> u64 {
        self.0.kept.lock().lost
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.0.kept.lock().events.pop_front()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("most", &self.0.most).finish_non_exhaustive()
    }
}
