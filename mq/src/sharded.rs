//! A bounded queue for many producers and many consumers that gives up the order *between*
//! producers: each producer has a lane of its own, so that producers never meet.
//!
//! # How it works
//! A producer handle owns the producing end of a single-producer queue (`spsc`), its *lane*;
//! cloning the handle adds a lane, dropping it ends the lane, which leaves the list once it is
//! drained. The consuming end of each lane stands under a lock that is only ever tried. A consumer
//! stays with a lane for [`LANE_VISIT_MAX`] values, then moves on to the next lane that has some;
//! when its lane is empty, or another consumer is in it, it moves on at once, so that every
//! consumer works wherever there is work. (The design of moodycamel's `ConcurrentQueue`, with a
//! lock per lane for its counters.)
//!
//! # Order and bounds
//! Each producer's values are popped in the order in which they were pushed; nothing is said about
//! the values of different producers, the handle and its clone being two. The capacity is that of
//! **each lane**, and exact; so the queue holds at most that many values per producer handle (and
//! per dropped one that left values behind), which is what [`Handle::capacity`] says.
//!
//! # Reading ahead
//! [`Consumer::with_read_ahead`] lets a consumer take up to that many values from a lane at once
//! and answer single pops from them, several times faster. It is off unless asked for, because it
//! delays values: they are popped as far as all others are concerned, and wait for this consumer.
//! When the handle is dropped (or with [`Consume::give_back`](crate::Consume::give_back)) they go
//! back, in front of all others, for the consumers that are left: late, so that the order of their
//! producer is broken for them. If none is left, or the others have been told that the queue is
//! closed and drained, they are dropped with the queue. Places are freed many at once, so that a
//! producer that waits for room may be woken later than it could be.
//!
//! # Closing
//! A close sets one flag, which every push looks at first, and announces itself to the lanes; the
//! consumer that finds a lane empty then agrees with its producer on an end (`spsc`). `Closed` is
//! answered when all lanes have ended and are drained.
//!
//! # Progress
//! A push is wait-free. A pop takes a bounded number of steps and never waits for a lane's lock. A
//! consumer that is stopped inside a pop hides its lane, and no other: its values stay behind, and
//! its producer goes on until the lane is full; the others answer [`Busy`](crate::PopError::Busy) when only
//! such lanes hold values. Not lock-free for that reason. Cloning and dropping handles, closing,
//! and the first pop after a clone or drop of a producer take a lock around the list of lanes; a
//! thread stopped in there stops those.
//!
//! # Invariants
//! * **INV-1, INV-2**: in `lane`.
//! * **INV-3** "Empty" is real: all lanes were seen empty, and then none had a new tail and the
//!   list had not changed, so that all were empty at the moment between.
//! * **INV-4** A push that began after the flag of the close was seen anywhere is refused; one that
//!   was accepted is received, since its lane ends behind it.
//!
//! # Orderings
//! | name | store | pairs with the load in |
//! |---|---|---|
//! | `sharded.unlock` | a lane's lock, release | `sharded.lock`, acquire: the consuming end moves with the lock |
//! | `sharded.settle-waiter` | fence between a waiter's registration and its look at the lanes | the fence of `spsc` behind a push |
//! | `sharded.look-twice` | (a step) the tails are read again before "empty" is answered | INV-3 |
//! | `sharded.look-first` | (a step) a push looks at the flag of the close before anything else | INV-4 |
//!
//! A producer that waits for room, and the consumer that frees it, use the fences of `spsc`.
//!
//! The loom models in `tests/loom_lanes.rs` check them on this code.

use std::{collections::VecDeque, fmt};

use crossbeam_utils::CachePadded;

use self::lane::{Lane, Lanes};
use crate::{
    asymmetric::Asymmetric,
    queue::{CapacityError, FrontDrain, Handle, Produce, PushError},
    spsc,
    sync::{
        Arc, AtomicBool, AtomicUsize, Monitor,
        Ordering::{Relaxed, SeqCst},
        planted, seq_cst_access_fence,
    },
};

pub use self::consumer::Consumer;

mod consumer;
mod lane;
#[cfg(test)]
mod tests;

/// How many values a consumer takes from a lane before it looks at the others.
pub const LANE_VISIT_MAX: usize = 256;

/// The most that a consumer may read ahead, in values.
pub const READ_AHEAD_MAX: usize = 1024;

/// How often a pop looks at all lanes before it answers `Busy`.
const ROUNDS_MAX: usize = 2;

/// Makes an empty queue with lanes for `capacity` values each, and its first two handles.
///
/// Memory: a row of the next power of two of places for each producer handle, from its creation
/// until it is dropped and its values are popped.
///
/// ```
/// use quorate_mq::{Consume, PopError, Produce, PushError, sharded};
///
/// let (producer, consumer) = sharded::queue(2)?;
/// let other = producer.clone();
/// assert_eq!(producer.push_batch(&mut vec![1, 2]), Ok(2));
/// assert!(matches!(producer.try_push(3), Err(PushError::Full(3))));
/// other.try_push(10).unwrap(); // has its own lane
///
/// let mut taken = Vec::new();
/// while consumer.pop_batch(&mut taken, 8).is_ok() {}
/// taken.retain(|value| *value < 10);
/// assert_eq!(taken, [1, 2]);
/// assert_eq!(consumer.try_pop(), Err(PopError::Empty));
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
///
/// # Errors
/// [`CapacityError`] when the capacity is zero, above [`crate::CAPACITY_MAX`], or not to be had.
pub fn queue<T>(capacity: usize) -> Result<(Producer<T>, Consumer<T>), CapacityError> {
    starting_at(capacity, 0)
}

/// As [`queue`], with positions that start at `first`: near `usize::MAX` they soon wrap around.
///
/// # Errors
/// As [`queue`].
#[doc(hidden)]
pub fn starting_at<T>(
    capacity: usize,
    first: usize,
) -> Result<(Producer<T>, Consumer<T>), CapacityError> {
    let hub = Arc::new(Hub {
        closing: AtomicBool::new(false),
        given_back: AtomicUsize::new(0),
        lanes: CachePadded::new(Lanes::new(capacity, first)),
        returned: CachePadded::new(Monitor::new(VecDeque::new())),
    });
    let fences = Asymmetric::new();
    let producer = Producer::new(hub.clone(), fences)?;
    let consumer = Consumer::new(hub, fences, 0, 0);
    Ok((producer, consumer))
}

/// What all handles share.
struct Hub<T> {
    /// The queue is closed for pushes that begin from now on. Set once, read by every push.
    closing: AtomicBool,
    /// How many values are in `returned`.
    given_back: AtomicUsize,
    lanes: CachePadded<Lanes<T>>,
    /// Values that dropped consumers had read ahead.
    returned: CachePadded<Monitor<VecDeque<T>>>,
}

impl<T> Hub<T> {
    fn close(&self) -> bool {
        let mut first = false;
        self.lanes.close(|| {
            first = !self.closing.swap(true, SeqCst);
            seq_cst_access_fence();
        });
        first
    }

    fn is_closed(&self) -> bool {
        self.closing.load(SeqCst)
    }

    fn len(&self) -> usize {
        self.lanes.len().0 + self.given_back.load(SeqCst)
    }

    fn capacity(&self) -> usize {
        self.lanes.len().1 * self.lanes.lane_capacity()
    }

    /// Moves up to `count_max` of the values that came back to `out`.
    #[cold]
    fn take_returned(&self, out: &mut Vec<T>, count_max: usize) -> usize {
        let mut returned = self.returned.lock();
        let count = count_max.min(returned.len());
        out.extend(returned.drain(..count));
        self.given_back.store(returned.len(), SeqCst);
        count
    }
}

/// A pushing handle of a sharded queue: it owns a lane, a clone of it owns another one.
pub struct Producer<T> {
    pushing: spsc::Producer<T>,
    lane: Arc<Lane<T>>,
    fences: Asymmetric,
    hub: Arc<Hub<T>>,
}

impl<T> Producer<T> {
    fn new(hub: Arc<Hub<T>>, fences: Asymmetric) -> Result<Self, CapacityError> {
        let (pushing, lane) = hub.lanes.add()?;
        Ok(Self { pushing, lane, fences, hub })
    }

    /// As [`Clone::clone`], for callers that want to hear that there is no memory.
    ///
    /// # Errors
    /// [`CapacityError::Memory`].
    pub fn try_clone(&self) -> Result<Self, CapacityError> {
        Self::new(self.hub.clone(), self.fences)
    }

    /// Whether the queue is closed; ends the lane then, so that it can be drained.
    #[inline(always)]
    fn refuses(&self) -> bool {
        !planted("sharded.look-first") && self.hub.closing.load(Relaxed) && self.end()
    }

    #[cold]
    fn end(&self) -> bool {
        self.pushing.close();
        true
    }
}

impl<T> Clone for Producer<T> {
    /// Adds a lane, for the cost of its memory and a lock.
    ///
    /// # Panics
    /// When there is no memory for the lane.
    fn clone(&self) -> Self {
        match self.try_clone() {
            Ok(producer) => producer,
            Err(error) => panic!("a producer was not cloned: {error}"),
        }
    }
}

impl<T> Drop for Producer<T> {
    /// Ends the lane; what is in it can still be popped.
    fn drop(&mut self) {
        self.pushing.close();
        self.hub.lanes.retire_if_done(&self.lane);
    }
}

impl<T> Produce<T> for Producer<T> {
    #[inline]
    fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        if self.refuses() {
            return Err(PushError::Closed(value));
        }
        self.pushing.try_push(value)
    }

    #[inline]
    fn push_front(&self, source: &mut FrontDrain<'_, T>) -> Result<usize, PushError<()>> {
        if source.remaining() > 0 && self.refuses() {
            return Err(PushError::Closed(()));
        }
        self.pushing.push_front(source)
    }

    fn looks_free(&self) -> bool {
        self.pushing.looks_free() || self.hub.closing.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        self.pushing.is_full() && !self.hub.is_closed()
    }
}

impl<T> Handle for Producer<T> {
    fn close(&self) -> bool {
        self.hub.close()
    }

    fn is_closed(&self) -> bool {
        self.hub.is_closed()
    }

    fn len(&self) -> usize {
        self.hub.len()
    }

    /// That of all lanes there are; a push answers `Full` when its own lane is.
    fn capacity(&self) -> Option<usize> {
        Some(self.hub.capacity())
    }

    fn settle(&self) {
        self.pushing.settle();
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("len", &self.len()).finish_non_exhaustive()
    }
}
