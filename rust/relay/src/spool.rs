//! Where recorded events wait for whoever stores them.

use std::{
    collections::BTreeMap,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What waits, by recording, and a bell for when it is much.
pub struct Spool {
    waiting: Mutex<Waiting>,
    bell: Condvar,
    length: AtomicUsize,
    accepts: AtomicBool,
    enough: usize,
    limit: usize,
}

#[derive(Default)]
struct Waiting {
    events: BTreeMap<u64, Vec<u8>>,
    length: usize,
    rung: bool,
}

impl Spool {
    /// `enough`: so many bytes ring the bell. `limit`: at so many `has_room` says no.
    pub fn new(enough: usize, limit: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            bell: Condvar::new(),
            length: AtomicUsize::new(0),
            accepts: AtomicBool::new(true),
            enough,
            limit,
        }
    }

    /// False while what waits cannot be stored: nothing more may happen that would have to be recorded.
    pub fn accepts(&self) -> bool {
        self.accepts.load(Ordering::Acquire)
    }

    pub fn set_accepts(&self, accepts: bool) {
        self.accepts.store(accepts, Ordering::Release);
    }

    /// False while so much waits that whoever records should wait too.
    pub fn has_room(&self) -> bool {
        self.length() < self.limit
    }

    pub fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Hand over whole events of one recording.
    pub fn put(&self, recording: u64, events: &[u8]) {
        if events.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        waiting
            .events
            .entry(recording)
            .or_default()
            .extend_from_slice(events);
        waiting.length += events.len();
        self.length.store(waiting.length, Ordering::Relaxed);
        if waiting.length >= self.enough && !waiting.rung {
            self.rung(waiting);
        }
    }

    /// Wake whoever stores.
    pub fn ring(&self) {
        self.rung(self.lock());
    }

    fn rung(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.rung = true;
        drop(waiting);
        self.bell.notify_all();
    }

    /// Wait until the bell has rung since the last call, for at most this long; false where it has not.
    pub fn wait(&self, timeout: Duration) -> bool {
        let (mut waiting, _) = self
            .bell
            .wait_timeout_while(self.lock(), timeout, |waiting| !waiting.rung)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut waiting.rung)
    }

    /// All that waits.
    pub fn take(&self) -> BTreeMap<u64, Vec<u8>> {
        let mut waiting = self.lock();
        waiting.length = 0;
        self.length.store(0, Ordering::Relaxed);
        std::mem::take(&mut waiting.events)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A holder that panicked left it whole: it is only ever appended to or taken.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_taken_once_and_in_order() {
        let spool = Spool::new(100, 200);
        spool.put(2, b"a\n");
        spool.put(1, b"b\n");
        spool.put(2, b"c\n");
        assert_eq!(spool.length(), 6);
        let taken = spool.take();
        assert_eq!(taken.get(&2).map(Vec::as_slice), Some(&b"a\nc\n"[..]));
        assert_eq!(taken.get(&1).map(Vec::as_slice), Some(&b"b\n"[..]));
        assert!(spool.take().is_empty() && spool.length() == 0);
    }

    #[test]
    fn much_rings_and_more_has_no_room() {
        let spool = Spool::new(10, 20);
        spool.put(1, &[b'x'; 9]);
        assert!(!spool.wait(Duration::ZERO) && spool.has_room());
        spool.put(1, b"x");
        assert!(spool.wait(Duration::ZERO));
        assert!(!spool.wait(Duration::ZERO));
        spool.put(1, &[b'x'; 10]);
        assert!(!spool.has_room());
    }
}
