//! A bounded queue for one producer and one consumer, for stages that have one of each: plain
//! loads and stores, no read-modify-write.
//!
//! # How it works
//! Values lie packed in a row whose length is a power of two. Two free-running positions say where
//! the next value goes (*tail*) and where the oldest one is (*head*). The producer alone writes
//! the tail, the consumer alone the head; each keeps its own position and the last one that it saw
//! of the other in its handle, and looks at the other side's line only when by that knowledge it
//! could not go on (Lamport's queue, 1983, with the cached indices of FastForward and MCRingBuffer,
//! 2008 to 2010). A batch is one or two copies and one store. The capacity is exact: it bounds
//! tail − head, whatever the length of the row.
//!
//! # Closing
//! A push is a plain store, so a close by the other side cannot simply set a bit next to it.
//! Closing *agrees on an end*: the position behind the last accepted value, decided once, by
//! compare-and-swap. The consumer announces (`closing`), reads the tail and proposes it. The
//! producer publishes, then looks at `closing`; when it is set it proposes its own new tail, and
//! takes back what lies behind the end that was agreed on. Publish-then-look and
//! announce-then-read are a Dekker handshake, whose fences are asymmetric (`asymmetric`): free for
//! the push, a system call for the close. So the close is one atomic step on every system: a value
//! was accepted before it and will be received, or is handed back.
//!
//! # Progress
//! Every operation is wait-free: a bounded number of steps, whatever the other thread does,
//! stopped for ever included.
//!
//! # Invariants
//! * **INV-1** The positions from head to tail hold values; there are at most `capacity` of them,
//!   which the row's length is not below. Positions are taken modulo that length.
//! * **INV-2** Only the producer moves the tail and touches the places from the tail on, up to
//!   the head that it read (acquire) plus the capacity.
//! * **INV-3** Only the consumer moves the head and touches the places between the head and the
//!   tail that it read (acquire); after its own close, never beyond the agreed end.
//! * **INV-4** The end is decided once. At that moment it is the tail: of the consumer's last look
//!   or of the producer. Values behind it are the producer's again, which sets the tail back.
//! * **INV-5** Either the producer sees `closing` behind its publication, or the closing consumer
//!   sees the publication.
//!
//! # Orderings
//! | name | store | pairs with the load in |
//! |---|---|---|
//! | `spsc.publish` | tail, release | `tail_seen`: `spsc.see-values`, acquire |
//! | `spsc.free` | head, release | `head_seen`: `spsc.see-room`, acquire |
//! | `spsc.settle-push` | fence between tail and `closing`, and before a look at who waits | `spsc.settle-close`, `spsc.settle-waiter` |
//! | `spsc.settle-pop` | fence between head and a look at who waits | `spsc.settle-waiter` |
//! | (no name: under loom the fence of the publication, whole there, stands in for it) | end, release | `spsc.see-end`, acquire: the last values are visible with it |
//!
//! The loom models in `tests/loom_lanes.rs` check them on this code.

use std::{cell::Cell, fmt};

use crossbeam_utils::CachePadded;

use crate::{
    asymmetric::Asymmetric,
    cells::Cells,
    queue::{CapacityError, Consume, FrontDrain, Handle, PopError, Produce, PushError},
    sync::{
        Arc, AtomicBool, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        order, planted, seq_cst_access_fence,
    },
};

#[cfg(not(loom))]
pub use self::peek::Peek;

#[cfg(not(loom))]
mod peek;
#[cfg(test)]
mod tests;

/// The end while it is open; agreed ends are odd.
const END_OPEN: usize = 0;

/// Makes an empty queue for `capacity` values and its only two handles.
///
/// Memory: one row of the next power of two of places, kept until both handles are gone; values
/// that are inside then are dropped with it.
///
/// ```
/// use quorate_mq::{Consume, PopError, Produce, PushError, spsc};
///
/// let (producer, consumer) = spsc::queue(3)?;
/// assert_eq!(producer.push_batch(&mut vec![1, 2]), Ok(2));
/// producer.try_push(3).unwrap();
/// assert!(matches!(producer.try_push(4), Err(PushError::Full(4))));
///
/// let mut taken = Vec::new();
/// assert_eq!(consumer.pop_batch(&mut taken, 8), Ok(3));
/// assert_eq!(taken, [1, 2, 3]);
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
    CapacityError::check(capacity)?;
    let places =
        Cells::new(capacity.next_power_of_two()).map_err(|_| CapacityError::Memory { capacity })?;
    let shared = Arc::new(Shared {
        head: CachePadded::new(AtomicUsize::new(first)),
        tail: CachePadded::new(AtomicUsize::new(first)),
        closing: AtomicBool::new(false),
        end: AtomicUsize::new(END_OPEN),
        places,
        capacity,
    });
    let fences = Asymmetric::new();
    let limit = Cell::new(first.wrapping_add(capacity));
    let producer = Producer { tail: Cell::new(first), limit, fences, shared: shared.clone() };
    let consumer = Consumer {
        head: Cell::new(first),
        seen: Cell::new(first),
        ended: Cell::new(false),
        fences,
        shared,
    };
    Ok((producer, consumer))
}

struct Shared<T> {
    /// The position of the oldest value.
    head: CachePadded<AtomicUsize>,
    /// The position behind the newest value.
    tail: CachePadded<AtomicUsize>,
    // What follows shares a line that is written at most twice.
    /// Someone closes or has closed.
    closing: AtomicBool,
    /// [`END_OPEN`], or twice the agreed end plus one (its highest bit is lost and not needed).
    end: AtomicUsize,
    places: Cells<T>,
    capacity: usize,
}

impl<T> Shared<T> {
    #[inline(always)]
    fn index(&self, position: usize) -> usize {
        position & (self.places.len() - 1)
    }

    fn len(&self) -> usize {
        let tail = self.tail.load(SeqCst);
        let length = tail.wrapping_sub(self.head.load(SeqCst));
        // A head that was read later may be ahead of the tail.
        if length > usize::MAX / 2 { 0 } else { length.min(self.capacity) }
    }

    /// Proposes `position` as the end; returns the end that holds.
    fn agree(&self, position: usize) -> usize {
        let proposed = position << 1 | 1;
        let agreed = match self.end.compare_exchange(END_OPEN, proposed, AcqRel, Acquire) {
            Ok(_) => proposed,
            Err(agreed) => agreed,
        };
        // The end is at most one run away: its lost bit is the one that brings it nearest.
        let ahead = (agreed ^ 1).wrapping_sub(position << 1) as isize >> 1;
        position.wrapping_add_signed(ahead)
    }

    fn is_closed(&self) -> bool {
        self.end.load(order("spsc.see-end", Acquire)) != END_OPEN
    }

    /// Announces a close; returns whether nobody had before.
    fn announce(&self) -> bool {
        !self.closing.swap(true, SeqCst)
    }
}

/// A look at a queue from the side, by threads that hold neither handle.
pub(crate) struct Onlooker<T>(Arc<Shared<T>>);

impl<T> Onlooker<T> {
    /// The position behind the newest value; it only grows while nobody closes.
    #[inline]
    pub(crate) fn tail(&self) -> usize {
        self.0.tail.load(SeqCst)
    }

    /// The position of the oldest value; to be read behind the tail that it is compared with.
    #[inline]
    pub(crate) fn head(&self) -> usize {
        self.0.head.load(SeqCst)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a pop would do something just now: there are values, or someone closes.
    #[inline]
    pub(crate) fn needs_a_pop(&self) -> bool {
        self.0.tail.load(Relaxed) != self.0.head.load(Relaxed) || self.0.closing.load(Relaxed)
    }

    /// Lets the producer know that it closes; the consumer decides where.
    pub(crate) fn announce(&self) {
        self.0.announce();
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let tail = self.tail.load(Relaxed);
        let mut rest = Rest { shared: self, head: self.head.load(Relaxed), tail };
        rest.drop_values();
    }
}

/// The values that are left when the queue is dropped.
struct Rest<'a, T> {
    shared: &'a Shared<T>,
    head: usize,
    tail: usize,
}

impl<T> Rest<'_, T> {
    fn drop_values(&mut self) {
        while self.head != self.tail {
            let index = self.shared.index(self.head);
            self.head = self.head.wrapping_add(1);
            // SAFETY: the place holds a value (INV-1), and both handles are gone.
            drop(unsafe { self.shared.places.read(index) });
        }
    }
}

impl<T> Drop for Rest<'_, T> {
    /// Goes on behind a value whose drop panicked.
    fn drop(&mut self) {
        self.drop_values();
    }
}

/// The pushing handle of a single-producer queue.
pub struct Producer<T> {
    /// The tail, of which this handle is the only writer.
    tail: Cell<usize>,
    /// Up to where there was room at the last look; the tail itself once the queue is closed.
    limit: Cell<usize>,
    fences: Asymmetric,
    shared: Arc<Shared<T>>,
}

impl<T> Producer<T> {
    /// Pushes copies of as many values from the front of `source` as there is room for, as one
    /// run; returns how many. An empty source is `Ok(0)`.
    ///
    /// # Errors
    /// As [`Produce::push_front`], when not even one fits.
    #[inline]
    pub fn push_slice(&self, source: &[T]) -> Result<usize, PushError<()>>
    where
        T: Copy,
    {
        // SAFETY: the slice holds as many values as it says, and copies may be given away.
        unsafe { self.push_run(source.as_ptr(), source.len()) }
    }

    /// Pushes as many of `wanted` values at `source` as there is room for, as one run; returns how
    /// many were accepted (at least one, unless none are wanted).
    ///
    /// # Safety
    /// `source` holds `wanted` values; those that are accepted are the queue's afterwards.
    #[inline]
    unsafe fn push_run(&self, source: *const T, wanted: usize) -> Result<usize, PushError<()>> {
        if wanted == 0 {
            return Ok(0);
        }
        let tail = self.tail.get();
        let mut room = self.limit.get().wrapping_sub(tail);
        if room < wanted {
            room = self.look_for_room(tail);
            if room == 0 {
                return Err(self.refusal());
            }
        }
        let count = room.min(wanted);
        // SAFETY: `count` places from the tail on are free and ours (INV-2); the caller gives
        // the values away, or keeps them when they are not accepted.
        unsafe { self.shared.places.write_run(self.shared.index(tail), source, count) };
        match self.publish(tail, count) {
            0 => Err(PushError::Closed(())),
            accepted => Ok(accepted),
        }
    }

    /// Looks at the consumer's head; returns the room from `tail` on.
    #[inline(always)]
    fn look_for_room(&self, tail: usize) -> usize {
        if self.shared.closing.load(Relaxed) {
            return self.end_here(tail);
        }
        let head = self.shared.head.load(order("spsc.see-room", Acquire));
        let limit = head.wrapping_add(self.shared.capacity);
        self.limit.set(limit);
        limit.wrapping_sub(tail)
    }

    /// Decides the end, so that nothing is accepted behind an answer "closed".
    #[cold]
    fn end_here(&self, tail: usize) -> usize {
        self.shared.agree(tail);
        self.limit.set(tail);
        0
    }

    #[cold]
    fn refusal(&self) -> PushError<()> {
        if self.shared.is_closed() { PushError::Closed(()) } else { PushError::Full(()) }
    }

    /// Publishes `count` values behind `tail`; returns how many were accepted. The others are the
    /// caller's again, and their places empty.
    #[inline(always)]
    fn publish(&self, tail: usize, count: usize) -> usize {
        let next = tail.wrapping_add(count);
        self.tail.set(next);
        self.shared.tail.store(next, order("spsc.publish", Release));
        if !planted("spsc.settle-push") {
            self.fences.light();
        }
        if self.shared.closing.load(Relaxed) {
            self.publish_against_close(tail, next)
        } else {
            count
        }
    }

    #[cold]
    #[inline(never)]
    fn publish_against_close(&self, tail: usize, next: usize) -> usize {
        let end = self.shared.agree(next);
        // The end lies where a closing consumer saw the tail, which may be before this run.
        let behind = next.wrapping_sub(end);
        debug_assert!(behind <= next.wrapping_sub(tail), "the close saw earlier runs (INV-5)");
        let accepted = next.wrapping_sub(tail).saturating_sub(behind);
        let kept = tail.wrapping_add(accepted);
        self.tail.set(kept);
        self.limit.set(kept);
        self.shared.tail.store(kept, Release);
        accepted
    }
}

impl<T> Produce<T> for Producer<T> {
    #[inline]
    fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        let tail = self.tail.get();
        if self.limit.get() == tail && self.look_for_room(tail) == 0 {
            return Err(self.refusal().map(|()| value));
        }
        let index = self.shared.index(tail);
        // SAFETY: the place at the tail is free and ours (INV-2).
        unsafe { self.shared.places.write(index, value) };
        if self.publish(tail, 1) == 1 {
            return Ok(());
        }
        // SAFETY: the value was not accepted and is ours again (INV-4).
        Err(PushError::Closed(unsafe { self.shared.places.read(index) }))
    }

    #[inline]
    fn push_front(&self, source: &mut FrontDrain<'_, T>) -> Result<usize, PushError<()>> {
        // SAFETY: the drain holds what it says; what was accepted is given away right below.
        let accepted = unsafe { self.push_run(source.as_ptr(), source.remaining()) }?;
        // SAFETY: that many were moved out.
        unsafe { source.advance(accepted) };
        Ok(accepted)
    }

    fn looks_free(&self) -> bool {
        let tail = self.tail.get();
        self.limit.get() != tail
            || tail.wrapping_sub(self.shared.head.load(Relaxed)) != self.shared.capacity
            || self.shared.closing.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        if !planted("spsc.settle-waiter") {
            self.fences.heavy();
        }
        let head = self.shared.head.load(SeqCst);
        self.tail.get().wrapping_sub(head) == self.shared.capacity && !self.shared.is_closed()
    }
}

impl<T> Handle for Producer<T> {
    fn close(&self) -> bool {
        let first = self.shared.announce();
        let tail = self.tail.get();
        self.shared.agree(tail);
        self.limit.set(tail);
        seq_cst_access_fence();
        first
    }

    fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    fn len(&self) -> usize {
        self.shared.len()
    }

    fn capacity(&self) -> Option<usize> {
        Some(self.shared.capacity)
    }
    // `settle`: nothing, the fence of the publication stands before any later look.
}

/// The popping handle of a single-producer queue.
pub struct Consumer<T> {
    /// The head, of which this handle is the only writer.
    head: Cell<usize>,
    /// The tail at the last look.
    seen: Cell<usize>,
    /// Whether `seen` is the agreed end.
    ended: Cell<bool>,
    fences: Asymmetric,
    shared: Arc<Shared<T>>,
}

impl<T> Consumer<T> {
    /// Another view of the queue.
    pub(crate) fn onlooker(&self) -> Onlooker<T> {
        Onlooker(self.shared.clone())
    }

    /// Looks at the producer's tail; returns how many values there are from `head` on.
    #[inline(always)]
    fn look_for_values(&self, head: usize) -> Result<usize, PopError> {
        if !self.ended.get() {
            self.seen.set(self.shared.tail.load(order("spsc.see-values", Acquire)));
        }
        match self.seen.get().wrapping_sub(head) {
            0 => self.look_for_the_end(head),
            count => Ok(count),
        }
    }

    #[cold]
    #[inline(never)]
    fn look_for_the_end(&self, head: usize) -> Result<usize, PopError> {
        if !self.ended.get() {
            if !self.shared.is_closed() {
                return Err(PopError::Empty);
            }
            // Closed by the producer, which has published its last values before.
            self.ended.set(true);
            self.seen.set(self.shared.tail.load(Relaxed));
        }
        match self.seen.get().wrapping_sub(head) {
            0 => Err(PopError::Closed),
            count => Ok(count),
        }
    }

    /// How many of `wanted` values can be popped; at least one.
    #[inline(always)]
    fn filled(&self, wanted: usize) -> Result<usize, PopError> {
        let head = self.head.get();
        let known = self.seen.get().wrapping_sub(head);
        let count = if known < wanted { self.look_for_values(head)? } else { known };
        Ok(count.min(wanted))
    }

    /// Frees the places of `count` values from `head` on, which were moved out.
    #[inline(always)]
    fn free(&self, head: usize, count: usize) {
        let next = head.wrapping_add(count);
        self.head.set(next);
        self.shared.head.store(next, order("spsc.free", Release));
    }
}

impl<T> Consume<T> for Consumer<T> {
    #[inline]
    fn try_pop(&self) -> Result<T, PopError> {
        let head = self.head.get();
        if self.seen.get() == head {
            self.look_for_values(head)?;
        }
        // SAFETY: the place at the head holds a value and is ours (INV-3).
        let value = unsafe { self.shared.places.read(self.shared.index(head)) };
        self.free(head, 1);
        Ok(value)
    }

    #[inline]
    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        if count_max == 0 {
            return Ok(0);
        }
        let count = self.filled(count_max)?;
        out.reserve(count);
        let head = self.head.get();
        let first = self.shared.index(head);
        let length = out.len();
        // SAFETY: `count` places from the head on hold values and are ours (INV-3); the room was
        // reserved, and the values belong to the vector from here on.
        unsafe {
            self.shared.places.read_run(first, out.as_mut_ptr().add(length), count);
            out.set_len(length + count);
        }
        self.free(head, count);
        Ok(count)
    }

    fn looks_filled(&self) -> bool {
        let head = self.head.get();
        self.seen.get() != head
            || self.shared.tail.load(Relaxed) != head
            || self.shared.closing.load(Relaxed)
    }

    fn would_wait(&self) -> bool {
        if !planted("spsc.settle-waiter") {
            self.fences.heavy();
        }
        !self.shared.is_closed() && self.shared.tail.load(SeqCst) == self.head.get()
    }
}

impl<T> Handle for Consumer<T> {
    fn close(&self) -> bool {
        let first = self.shared.announce();
        if !planted("spsc.settle-close") {
            self.fences.heavy();
        }
        let tail = self.shared.tail.load(Acquire);
        self.seen.set(self.shared.agree(tail));
        self.ended.set(true);
        seq_cst_access_fence();
        first
    }

    fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    fn len(&self) -> usize {
        self.shared.len()
    }

    fn capacity(&self) -> Option<usize> {
        Some(self.shared.capacity)
    }

    fn settle(&self) {
        if !planted("spsc.settle-pop") {
            self.fences.light();
        }
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("len", &self.len()).finish_non_exhaustive()
    }
}
