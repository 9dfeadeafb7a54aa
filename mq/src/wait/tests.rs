//! Tests of the list, and the counters by which other tests see what it did.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What a list did.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    locks: AtomicUsize,
    wakes: AtomicUsize,
}

impl Counts {
    pub(super) fn wake(&self, count: usize) {
        self.locks.fetch_add(1, Ordering::SeqCst);
        self.wakes.fetch_add(count, Ordering::SeqCst);
    }

    /// How often a waker took the lock.
    pub(crate) fn wake_locks(&self) -> usize {
        self.locks.load(Ordering::SeqCst)
    }

    /// How many waiters were signalled.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}
