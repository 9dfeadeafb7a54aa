//! A bounded queue for many producers and many consumers, without locks: the base of the
//! channels.
//!
//! # How it works
//! The ring follows Vyukov's bounded MPMC queue. Two counters say which position is pushed and
//! popped next; each slot carries a *stamp* that says for which position it is free or filled.
//! A push finds the slot of the tail position free, *claims* it by moving the tail with a
//! compare-and-swap, moves the value in, and *publishes* by setting the stamp. A pop does the
//! same with the head. A batch reads as many stamps as it can use, claims the whole run with one
//! compare-and-swap and publishes slot by slot, so that it never waits for an earlier thread.
//!
//! A position packs, from the lowest bit: the slot's index, one bit that is set in the tail once
//! the ring is closed, and the lap. Laps wrap around by themselves, so capacities need not be
//! powers of two and counters may overflow.
//!
//! # Progress
//! No operation takes a lock or waits for another thread. The ring is nevertheless **not
//! lock-free in the strict sense**: a producer that is stopped between claim and publication
//! hides its slots, and consumers cannot pass them. They are told so: operations answer
//! [`PopError::Busy`] and [`PushError::Busy`] instead of spinning inside. Producers go on until
//! the ring is full, consumers until they reach the hidden slot. This is the same guarantee as
//! that of crossbeam's `ArrayQueue`, whose `pop` spins in that case. No user code, no allocation
//! and no panic lies between claim and publication, so that only preemption can stretch it.
//!
//! # Invariants
//! * **INV-1** An index taken from a position is smaller than the capacity, which is the length
//!   of `slots`.
//! * **INV-2** A slot with stamp `p` is empty and belongs to whoever moves the tail past `p`. A
//!   slot with stamp `p + 1` holds a value and belongs to whoever moves the head past `p`.
//! * **INV-3** Head and tail only move forward, each by compare-and-swap from the value that was
//!   read before the stamps were; so a position is claimed once on each side, and a stamp that
//!   allowed a claim cannot change before that claim is published.
//! * **INV-4** Only the owner under INV-2 touches a slot's value, between claim and publication.
//!   Publication is a release store of the stamp; whoever acts on the stamp read it with
//!   acquire. So the accesses of the owners are ordered.
//! * **INV-5** Moves of head and tail are SeqCst. "Empty", "full" and "closed" are answered after
//!   reading the other counter with SeqCst, so they are real at the moment of that read, and a
//!   waiter that registers with SeqCst before it looks never misses a claim (see `wait`).
//!
//! The loom models in `tests/loom.rs` check INV-2 to INV-5 on this code.

use std::{fmt, mem::MaybeUninit, ptr};

use crate::{
    queue::{CapacityError, Consume, FrontDrain, Handle, PopError, Produce, PushError},
    sync::{Arc, AtomicU64, Ordering, UnsafeCell, seq_cst_access_fence},
};
use crossbeam_utils::{Backoff, CachePadded};

#[cfg(test)]
mod tests;

struct Slot<T> {
    stamp: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// A bounded multi-producer multi-consumer queue; see the module for its guarantees.
///
/// Memory: one allocation of `capacity` slots, each the value and eight bytes, made at
/// construction and kept until the ring is dropped. Values left inside are dropped with it.
///
/// ```
/// let ring = quorate_mq::Ring::new(3)?;
/// assert_eq!(ring.push_batch(&mut vec![1, 2]), Ok(2));
/// ring.try_push(3).unwrap();
/// assert!(matches!(ring.try_push(4), Err(quorate_mq::PushError::Full(4))));
///
/// let mut taken = Vec::new();
/// assert_eq!(ring.pop_batch(&mut taken, 8), Ok(3));
/// assert_eq!(taken, [1, 2, 3]);
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
pub struct Ring<T> {
    /// The next position to pop.
    head: CachePadded<AtomicU64>,
    /// The next position to push, and the closed bit.
    tail: CachePadded<AtomicU64>,
    slots: Box<[Slot<T>]>,
    capacity: u64,
    /// Set in the tail once the ring is closed; one above the highest index bit.
    closed_bit: u64,
    /// The distance of the same index in two consecutive laps.
    lap: u64,
}

// SAFETY: values move from the pushing to the popping thread, which needs `T: Send`; by INV-2 to
// INV-4 no two threads ever touch a value at the same time, so `&Ring<T>` hands out no `&T`.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// Makes an empty ring for `capacity` values.
    ///
    /// # Errors
    /// [`CapacityError`] when the capacity is zero, above [`CAPACITY_MAX`], or not to be had.
    pub fn new(capacity: usize) -> Result<Self, CapacityError> {
        Self::starting_at_lap(capacity, 0)
    }

    /// As [`Ring::new`], with counters that start `laps` laps in, modulo what fits: with
    /// `u64::MAX` the first wrap of the ring also wraps the counters.
    #[doc(hidden)]
    pub fn starting_at_lap(capacity: usize, laps: u64) -> Result<Self, CapacityError> {
        CapacityError::check(capacity)?;
        let closed_bit = (capacity as u64 + 1).next_power_of_two();
        let lap = closed_bit * 2;
        let first = laps.wrapping_mul(lap);
        let mut slots = Vec::new();
        slots.try_reserve_exact(capacity).map_err(|_| CapacityError::Memory { capacity })?;
        slots.extend((0..capacity as u64).map(|index| Slot {
            stamp: AtomicU64::new(first + index),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }));
        Ok(Self {
            head: CachePadded::new(AtomicU64::new(first)),
            tail: CachePadded::new(AtomicU64::new(first)),
            slots: slots.into_boxed_slice(),
            capacity: capacity as u64,
            closed_bit,
            lap,
        })
    }

    /// Pushes a value behind all others.
    ///
    /// # Errors
    /// The value comes back in a [`PushError`]. `Full` and `Closed` were true at one moment
    /// during the call; `Busy` says that a consumer holds the next slot just now.
    #[inline]
    pub fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        match self.claim_push(1) {
            Ok((position, _)) => {
                // SAFETY: `claim_push` made us the owner of this position.
                unsafe { self.fill(position, value) };
                Ok(())
            }
            Err(PushError::Full(())) => Err(PushError::Full(value)),
            Err(PushError::Busy(())) => Err(PushError::Busy(value)),
            Err(PushError::Closed(())) => Err(PushError::Closed(value)),
        }
    }

    /// Pushes as many values from the front of `source` as there is room for, in order, with one
    /// claim; returns how many and leaves the others. An empty source is `Ok(0)`.
    ///
    /// The run is contiguous in the queue: no other producer's value comes between. What is left
    /// in `source` moves to its front, which costs time in its length.
    ///
    /// # Errors
    /// As [`Ring::try_push`], when not even one fits; `source` is then unchanged.
    pub fn push_batch(&self, source: &mut Vec<T>) -> Result<usize, PushError<()>> {
        self.push_front_of(&mut FrontDrain::new(source))
    }

    pub(crate) fn push_front_of(
        &self,
        source: &mut FrontDrain<'_, T>,
    ) -> Result<usize, PushError<()>> {
        if source.remaining() == 0 {
            return Ok(0);
        }
        let (first, count) = self.claim_push(source.remaining() as u64)?;
        let mut position = first;
        for _ in 0..count {
            // SAFETY: `claim_push` made us the owner of `count` positions from `first` on, and
            // granted at most as many as remain in the source.
            unsafe { self.fill(position, source.take_unchecked()) };
            position = self.advance(position, 1);
        }
        Ok(count as usize)
    }

    /// Pops the oldest value.
    ///
    /// # Errors
    /// `Empty` and `Closed` were true at one moment during the call; `Busy` says that a producer
    /// holds the next slot just now. `Closed` comes only after every value was popped.
    #[inline]
    pub fn try_pop(&self) -> Result<T, PopError> {
        let (position, _) = self.claim_pop(1, |_| ())?;
        // SAFETY: `claim_pop` made us the owner of this position.
        Ok(unsafe { self.empty(position) })
    }

    /// Pops up to `count_max` of the oldest values with one claim, appends them to `out` in
    /// order and returns how many: what is there, without waiting for more. `Ok(0)` if and only
    /// if `count_max` is zero.
    ///
    /// # Panics
    /// When `out` cannot grow; nothing was popped then.
    ///
    /// # Errors
    /// As [`Ring::try_pop`], when not even one value is there.
    pub fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        if count_max == 0 {
            return Ok(0);
        }
        let (first, count) = self.claim_pop(count_max as u64, |count| out.reserve(count))?;
        let mut position = first;
        let mut length = out.len();
        for _ in 0..count {
            // SAFETY: `claim_pop` made us the owner of `count` positions from `first` on, and
            // had room reserved for all of them before.
            unsafe { out.as_mut_ptr().add(length).write(self.empty(position)) };
            length += 1;
            position = self.advance(position, 1);
        }
        // SAFETY: the elements up to `length` were just written, within the reserved capacity.
        unsafe { out.set_len(length) };
        Ok(count as usize)
    }

    /// Closes the ring: no push succeeds from now on, what is inside can be popped. Returns
    /// whether this call closed it.
    pub fn close(&self) -> bool {
        let before = self.tail.fetch_or(self.closed_bit, Ordering::SeqCst);
        seq_cst_access_fence();
        before & self.closed_bit == 0
    }

    /// Whether the ring was closed; values may still be inside.
    pub fn is_closed(&self) -> bool {
        self.tail.load(Ordering::SeqCst) & self.closed_bit != 0
    }

    /// How many values are inside: exact while no other thread works, otherwise a recent figure
    /// between 0 and the capacity.
    pub fn len(&self) -> usize {
        let tail = self.tail.load(Ordering::SeqCst) & !self.closed_bit;
        let head = self.head.load(Ordering::SeqCst);
        let ahead = tail.wrapping_sub(head);
        let length = if ahead < self.capacity {
            ahead
        } else if ahead <= self.lap {
            // The tail is one lap further; a lap leaves out the positions without a slot.
            ahead - (self.lap - self.capacity)
        } else {
            // The head moved past the tail that was read before it.
            0
        };
        length.min(self.capacity) as usize
    }

    /// Whether [`Ring::len`] is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether [`Ring::len`] is the capacity.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// How many values fit inside.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Whether the next slot looks filled: for polling, without touching the producers' counter.
    pub(crate) fn looks_filled(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        self.slot(head).stamp.load(Ordering::Relaxed) != head
    }

    /// Whether the next slot looks free: for polling, without touching the consumers' counter.
    pub(crate) fn looks_free(&self) -> bool {
        let tail = self.tail.load(Ordering::Relaxed);
        tail & self.closed_bit != 0 || self.slot(tail).stamp.load(Ordering::Relaxed) == tail
    }

    /// Whether a pop would answer `Empty`. Read after a SeqCst registration (INV-5).
    pub(crate) fn would_pop_nothing(&self) -> bool {
        let head = self.head.load(Ordering::SeqCst);
        head == self.tail.load(Ordering::SeqCst)
    }

    /// Whether a push would answer `Full`. Read after a SeqCst registration (INV-5).
    pub(crate) fn would_push_nothing(&self) -> bool {
        let tail = self.tail.load(Ordering::SeqCst);
        tail == self.head.load(Ordering::SeqCst).wrapping_add(self.lap)
    }

    /// Claims up to `wanted` consecutive positions for pushing: the first, and how many.
    #[inline]
    fn claim_push(&self, wanted: u64) -> Result<(u64, u64), PushError<()>> {
        let backoff = Backoff::new();
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            if tail & self.closed_bit != 0 {
                return Err(PushError::Closed(()));
            }
            let (end, count) = self.run(tail, wanted, 0);
            if count == 0 {
                let head = self.head.load(Ordering::SeqCst);
                if head.wrapping_add(self.lap) == tail {
                    return Err(PushError::Full(()));
                }
                let now = self.tail.load(Ordering::Relaxed);
                if now == tail && self.slot(tail).stamp.load(Ordering::Relaxed) != tail {
                    return Err(PushError::Busy(()));
                }
                tail = now;
                continue;
            }
            match self.tail.compare_exchange_weak(tail, end, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    seq_cst_access_fence();
                    return Ok((tail, count));
                }
                Err(now) => tail = now,
            }
            backoff.spin();
        }
    }

    /// Claims up to `wanted` consecutive positions for popping: the first, and how many.
    /// `before_claim` learns how many it will be at most; it may panic.
    #[inline]
    fn claim_pop(
        &self,
        wanted: u64,
        mut before_claim: impl FnMut(usize),
    ) -> Result<(u64, u64), PopError> {
        let backoff = Backoff::new();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let (end, count) = self.run(head, wanted, 1);
            if count == 0 {
                let tail = self.tail.load(Ordering::SeqCst);
                if tail & !self.closed_bit == head {
                    let closed = tail & self.closed_bit != 0;
                    return Err(if closed { PopError::Closed } else { PopError::Empty });
                }
                let now = self.head.load(Ordering::Relaxed);
                if now == head && self.slot(head).stamp.load(Ordering::Relaxed) != head + 1 {
                    return Err(PopError::Busy);
                }
                head = now;
                continue;
            }
            before_claim(count as usize);
            match self.head.compare_exchange_weak(head, end, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    seq_cst_access_fence();
                    return Ok((head, count));
                }
                Err(now) => head = now,
            }
            backoff.spin();
        }
    }

    /// Counts slots from `first` on, up to `wanted`, whose stamp is their position plus `offset`
    /// (0: free, 1: filled); returns the position behind them, and how many. The acquire pairs
    /// with the release in `fill` and `empty` (INV-4).
    #[inline]
    fn run(&self, first: u64, wanted: u64, offset: u64) -> (u64, u64) {
        let mut position = first;
        let mut count = 0;
        while count < wanted
            && self.slot(position).stamp.load(Ordering::Acquire) == position + offset
        {
            count += 1;
            position = self.advance(position, 1);
        }
        (position, count)
    }

    /// Moves a value into a claimed slot and publishes it.
    ///
    /// # Safety
    /// The caller claimed `position` for pushing and did not fill it yet.
    #[inline]
    unsafe fn fill(&self, position: u64, value: T) {
        let slot = self.slot(position);
        // SAFETY: the caller owns the slot, which is empty (INV-2, INV-4).
        slot.value.with_mut(|cell| unsafe { cell.write(MaybeUninit::new(value)) });
        slot.stamp.store(position + 1, Ordering::Release);
    }

    /// Moves the value out of a claimed slot and publishes it as free for the next lap.
    ///
    /// # Safety
    /// The caller claimed `position` for popping and did not empty it yet.
    #[inline]
    unsafe fn empty(&self, position: u64) -> T {
        let slot = self.slot(position);
        // SAFETY: the caller owns the slot, which holds a value (INV-2, INV-4).
        let value = slot.value.with(|cell| unsafe { ptr::read(cell).assume_init() });
        slot.stamp.store(position.wrapping_add(self.lap), Ordering::Release);
        value
    }

    #[inline]
    fn index(&self, position: u64) -> usize {
        (position & (self.closed_bit - 1)) as usize
    }

    #[inline]
    fn slot(&self, position: u64) -> &Slot<T> {
        debug_assert!(self.index(position) < self.slots.len());
        // SAFETY: INV-1.
        unsafe { self.slots.get_unchecked(self.index(position)) }
    }

    /// The position `count` slots further, at most one lap; the closed bit must be clear.
    #[inline]
    fn advance(&self, position: u64, count: u64) -> u64 {
        let index = self.index(position) as u64 + count;
        if index < self.capacity {
            position + count
        } else {
            let lap_start = position & !(self.lap - 1);
            lap_start.wrapping_add(self.lap) + (index - self.capacity)
        }
    }
}

/// The pushing handle of a [`Ring`].
pub struct Producer<T>(Arc<Ring<T>>);

/// The popping handle of a [`Ring`].
pub struct Consumer<T>(Arc<Ring<T>>);

/// Makes a ring for `capacity` values and a handle for each side; clone them for more.
///
/// # Errors
/// As [`Ring::new`].
pub fn queue<T>(capacity: usize) -> Result<(Producer<T>, Consumer<T>), CapacityError> {
    let ring = Arc::new(Ring::new(capacity)?);
    Ok((Producer(ring.clone()), Consumer(ring)))
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for Consumer<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

macro_rules! handle {
    ($($name:ident)+) => {$(
        impl<T> Handle for $name<T> {
            fn close(&self) -> bool {
                self.0.close()
            }

            fn is_closed(&self) -> bool {
                self.0.is_closed()
            }

            fn len(&self) -> usize {
                self.0.len()
            }

            fn capacity(&self) -> Option<usize> {
                Some(self.0.capacity())
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }
    )+};
}

handle! { Producer Consumer }

impl<T> Produce<T> for Producer<T> {
    #[inline]
    fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        self.0.try_push(value)
    }

    #[inline]
    fn push_front(&self, source: &mut FrontDrain<'_, T>) -> Result<usize, PushError<()>> {
        self.0.push_front_of(source)
    }

    fn looks_free(&self) -> bool {
        self.0.looks_free()
    }

    fn is_full(&self) -> bool {
        self.0.would_push_nothing()
    }
}

impl<T> Consume<T> for Consumer<T> {
    #[inline]
    fn try_pop(&self) -> Result<T, PopError> {
        self.0.try_pop()
    }

    #[inline]
    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        self.0.pop_batch(out, count_max)
    }

    fn looks_filled(&self) -> bool {
        self.0.looks_filled()
    }

    fn would_wait(&self) -> bool {
        self.0.would_pop_nothing()
    }
}

impl<T> Drop for Ring<T> {
    /// Drops every value inside, once; when one of them panics the others are dropped still.
    fn drop(&mut self) {
        struct Rest<'a, T>(&'a Ring<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                while let Ok(value) = self.0.try_pop() {
                    let rest = Rest(self.0);
                    drop(value);
                    std::mem::forget(rest);
                }
            }
        }
        drop(Rest(self));
    }
}

impl<T> fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish()
    }
}
