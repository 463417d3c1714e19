//! Where audit records wait for the writer.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_core::records::Record;

/// A queue with a bell. The writer sleeps until something comes or somebody rings.
pub struct Intake {
    waiting: Mutex<Waiting>,
    bell: Condvar,
    length: AtomicUsize,
    accepts: AtomicBool,
    limit: usize,
}

/// What waits: a record, or something that whoever drains the queue keeps itself, which has its turn here.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    Record(Record),
    Turn,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    rung: bool,
}

impl Intake {
    /// `limit`: how many records may wait before `has_room` says no.
    pub fn new(limit: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            bell: Condvar::new(),
            length: AtomicUsize::new(0),
            accepts: AtomicBool::new(true),
            limit,
        }
    }

    /// False while the store does not take writes: nothing may run whose record would go here.
    pub fn accepts(&self) -> bool {
        self.accepts.load(Ordering::Acquire)
    }

    pub fn set_accepts(&self, accepts: bool) {
        self.accepts.store(accepts, Ordering::Release);
    }

    /// False while so much waits that whoever hands over should wait too.
    pub fn has_room(&self) -> bool {
        self.length() < self.limit
    }

    pub fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Hand records over, in order.
    pub fn put(&self, records: &mut Vec<Record>) {
        let mut waiting = self.lock();
        waiting.items.extend(records.drain(..).map(Item::Record));
        self.rung(waiting);
    }

    /// Take a place in the queue for something that the writer has by other ways.
    pub fn put_turn(&self) {
        let mut waiting = self.lock();
        waiting.items.push_back(Item::Turn);
        self.rung(waiting);
    }

    /// Wake the writer.
    pub fn ring(&self) {
        self.rung(self.lock());
    }

    fn rung(&self, mut waiting: MutexGuard<'_, Waiting>) {
        self.length.store(waiting.items.len(), Ordering::Relaxed);
        if !waiting.rung {
            waiting.rung = true;
            drop(waiting);
            self.bell.notify_all();
        }
    }

    /// Wait until something has been put or rung since the last call, for at most this long; false where nothing was.
    pub fn wait(&self, timeout: Duration) -> bool {
        let (mut waiting, _) = self
            .bell
            .wait_timeout_while(self.lock(), timeout, |waiting| !waiting.rung)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut waiting.rung)
    }

    /// The first of what waits, in order, at most `limit`.
    pub fn take(&self, limit: usize) -> Vec<Item> {
        let mut waiting = self.lock();
        let count = waiting.items.len().min(limit);
        let taken = waiting.items.drain(..count).collect();
        self.length.store(waiting.items.len(), Ordering::Relaxed);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A holder that panicked left the queue whole: it is only ever appended to or taken.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
