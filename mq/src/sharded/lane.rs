//! One producer's lane, and the list of all lanes.
//!
//! What always holds: the consuming end of a lane is touched only under the lane's lock, which is
//! only ever tried, never waited for. The list changes only under its own lock, and counts its
//! changes, so that consumers work with a copy while it does not change.
//! Left to others: which lane to visit (`sharded`).
//!
//! # Invariants
//! * **INV-1** `consumer` is touched by the thread that set `locked` from false to true, until it
//!   clears it (release; whoever locks next acquires).
//! * **INV-2** A lane leaves the list only when nothing will ever be popped from it: it is closed
//!   and drained, or no consumer is left.

use crossbeam_utils::CachePadded;

use crate::{
    queue::{CapacityError, Handle},
    spsc::{self, Onlooker},
    sync::{
        Arc, AtomicBool, AtomicUsize, Monitor,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        UnsafeCell, order,
    },
};

/// The consuming side of one producer's queue.
pub(super) struct Lane<T> {
    pub(super) onlooker: Onlooker<T>,
    guarded: CachePadded<Guarded<T>>,
}

struct Guarded<T> {
    locked: AtomicBool,
    consumer: UnsafeCell<spsc::Consumer<T>>,
}

// SAFETY: the only part that is not `Sync` by itself is the consumer, which moves between threads
// under the lock (INV-1); the values it hands out need `T: Send`.
unsafe impl<T: Send> Sync for Lane<T> {}

impl<T> Lane<T> {
    fn new(consumer: spsc::Consumer<T>) -> Self {
        let onlooker = consumer.onlooker();
        let guarded =
            Guarded { locked: AtomicBool::new(false), consumer: UnsafeCell::new(consumer) };
        Self { onlooker, guarded: CachePadded::new(guarded) }
    }

    /// Locks the lane, unless someone is in it.
    #[inline]
    pub(super) fn try_lock(&self) -> Option<Locked<'_, T>> {
        let locked = &self.guarded.locked;
        // Not a swap: a failed attempt should not take the line away from who is inside.
        let lock = order("sharded.lock", Acquire);
        if locked.load(Relaxed) || locked.compare_exchange(false, true, lock, Relaxed).is_err() {
            return None;
        }
        Some(Locked(self))
    }
}

/// A lane that nobody else is in; unlocks when dropped.
pub(super) struct Locked<'a, T>(&'a Lane<T>);

impl<T> Locked<'_, T> {
    /// Works with the consuming end.
    #[inline]
    pub(super) fn with<R>(&self, work: impl FnOnce(&spsc::Consumer<T>) -> R) -> R {
        // SAFETY: we hold the lock (INV-1), and `with` is not called within `work`.
        self.0.guarded.consumer.with_mut(|consumer| work(unsafe { &*consumer }))
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.guarded.locked.store(false, order("sharded.unlock", Release));
    }
}

/// What stands under the list's lock.
struct Listed<T> {
    lanes: Vec<Arc<Lane<T>>>,
    consumers: usize,
    closed: bool,
}

/// The list of all lanes.
pub(super) struct Lanes<T> {
    changes: AtomicUsize,
    listed: Monitor<Listed<T>>,
    capacity: usize,
    first: usize,
}

impl<T> Lanes<T> {
    /// An empty list for lanes of `capacity` values, whose positions start at `first`.
    pub(super) fn new(capacity: usize, first: usize) -> Self {
        let listed = Listed { lanes: Vec::new(), consumers: 1, closed: false };
        Self { changes: AtomicUsize::new(0), listed: Monitor::new(listed), capacity, first }
    }

    /// Adds a lane and returns both ends; once the list is closed it is closed from birth.
    #[allow(clippy::type_complexity)]
    pub(super) fn add(&self) -> Result<(spsc::Producer<T>, Arc<Lane<T>>), CapacityError> {
        let (producer, consumer) = spsc::starting_at(self.capacity, self.first)?;
        let lane = Arc::new(Lane::new(consumer));
        let mut listed = self.listed.lock();
        if listed.closed {
            producer.close();
        } else {
            listed.lanes.push(lane.clone());
            self.changed();
        }
        Ok((producer, lane))
    }

    /// Takes a lane off the list that is closed and drained.
    pub(super) fn retire(&self, lane: &Arc<Lane<T>>) {
        let mut listed = self.listed.lock();
        let before = listed.lanes.len();
        listed.lanes.retain(|other| !Arc::ptr_eq(other, lane));
        if listed.lanes.len() != before {
            self.changed();
        }
    }

    /// As [`Lanes::retire`] for a lane that its producer has closed, if nobody will pop from it.
    pub(super) fn retire_if_done(&self, lane: &Arc<Lane<T>>) {
        let tail = lane.onlooker.tail();
        if lane.onlooker.head() == tail || self.listed.lock().consumers == 0 {
            self.retire(lane);
        }
    }

    /// Announces the close to all lanes; nothing is added from here on. `close_first` runs before,
    /// under the lock.
    pub(super) fn close(&self, close_first: impl FnOnce()) {
        let mut listed = self.listed.lock();
        listed.closed = true;
        close_first();
        for lane in &listed.lanes {
            lane.onlooker.announce();
        }
    }

    fn changed(&self) {
        // Written under the lock only.
        let changes = self.changes.load(Relaxed);
        self.changes.store(changes.wrapping_add(1), SeqCst);
    }

    /// How often the list has changed.
    #[inline]
    pub(super) fn changes(&self) -> usize {
        self.changes.load(SeqCst)
    }

    /// Copies the list; returns how often it had changed.
    pub(super) fn copy(&self, copy: &mut Vec<Arc<Lane<T>>>) -> usize {
        let listed = self.listed.lock();
        copy.clone_from(&listed.lanes);
        self.changes()
    }

    /// How many values are inside, and how many lanes there are.
    pub(super) fn len(&self) -> (usize, usize) {
        let listed = self.listed.lock();
        (listed.lanes.iter().map(|lane| lane.onlooker.len()).sum(), listed.lanes.len())
    }

    pub(super) fn lane_capacity(&self) -> usize {
        self.capacity
    }

    /// Counts a consumer in.
    pub(super) fn enter(&self) -> usize {
        let mut listed = self.listed.lock();
        listed.consumers += 1;
        listed.consumers
    }

    /// Counts a consumer out.
    pub(super) fn leave(&self) {
        self.listed.lock().consumers -= 1;
    }
}
