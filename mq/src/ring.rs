//! A bounded queue for many producers and many consumers, without locks: the base of the
//! channels.
//!
//! # How it works
//! Two words say which position is pushed next (the *tail*) and which is popped next (the
//! *head*); each position has a slot with a *stamp*. As in Vyukov's bounded MPMC queue a push
//! finds positions free, *claims* them by moving the tail with one compare-and-swap, moves the
//! values in, and *publishes* by storing a stamp; a pop does the same with the head.
//!
//! Here a stamp speaks of a whole **run** of positions: "from this position on so many are
//! filled" (or "free"), and only the slot where a run begins need carry one. A push of a batch
//! publishes one run, and a pop of a batch gives back one, whatever its size: one
//! compare-and-swap, one copy and one store for all. Runs need not end where claims end: whoever
//! claims a part of a run leaves in head or tail how much is left (the *rest*), and the next
//! claim takes from the rest without looking at any stamp. A claim may also reach over several
//! runs, whose stamps it reads one by one. Nobody waits for an earlier thread in order to
//! publish, as the tickets of DPDK's rings do.
//!
//! A stamp that was left behind in the middle of later runs is not erased. It does no harm
//! because it names its position, lap included, and its kind, and each position is published
//! once of each kind (`ring/position.rs` says for how long a
//! lap is unique).
//!
//! Where the values lie, so that singles are as cheap as batches, is said in
//! `ring/slots.rs`.
//!
//! # Handles remember
//! A [`Producer`] keeps the tail that it left, a [`Consumer`] the head, and the next call begins
//! with that instead of a read: if nobody else moved it, the compare-and-swap is the first time
//! that the call touches the line; if somebody did, it fails and says the present value. "Full",
//! "empty", "closed" and "busy" are never answered from what was remembered.
//!
//! # Progress
//! No operation takes a lock or waits for another thread. The ring is nevertheless **not
//! lock-free in the strict sense**: a producer that is stopped between claim and publication
//! hides its positions, and consumers cannot pass them. They are told so: operations answer
//! [`PopError::Busy`] and [`PushError::Busy`] instead of spinning inside. Producers go on until
//! the ring is full, consumers until they reach the hidden position. This is the same guarantee
//! as that of crossbeam's `ArrayQueue`, whose `pop` spins in that case. No user code, no
//! allocation and no panic lies between claim and publication, so that only preemption can
//! stretch it.
//!
//! # Invariants
//! * **INV-1** An index taken from a position is smaller than the capacity, which is the length
//!   of the slots.
//! * **INV-2** Of each position, "free" is published once, after its value one lap before was
//!   moved out (or at construction), and then "filled" once, after its value was moved in; as
//!   part of the run that begins at a slot whose stamp says so, or as part of the rest in the
//!   tail ("free") or in the head ("filled"). A free position belongs to whoever moves the tail
//!   over it, a filled one to whoever moves the head over it.
//! * **INV-3** Head and tail only move forward, each by compare-and-swap. A claim's stamps are
//!   facts about their positions for ever (INV-2), and the compare-and-swap proves that position
//!   and rest are still the present ones; so a position is claimed once on each side.
//! * **INV-4** Only the owner under INV-2 touches a slot's value, between claim and publication.
//!   Publication is a release store of the stamp; whoever acts on the stamp read it with acquire;
//!   and whoever acts on the rest got it by a compare-and-swap that acquires from one that
//!   releases, down to the one whose thread read the stamp. So the accesses of the owners are
//!   ordered.
//! * **INV-5** Moves of head and tail are SeqCst. "Empty", "full" and "closed" are answered after
//!   reading the other word with SeqCst, so they are real at the moment of that read, and a
//!   waiter that registers with SeqCst before it looks never misses a claim (see `wait`).
//! * **INV-6** The stamps at the beginnings of the runs inside of a claim do not change before
//!   the claim is published: only their owner writes them.
//!
//! # Named orderings
//! | name | where | pairs with |
//! |---|---|---|
//! | `ring.publish-filled` | release store of a stamp behind the values | `ring.see-filled` |
//! | `ring.see-filled` | acquire load of a stamp before a claim of the head | `ring.publish-filled` |
//! | `ring.publish-free` | release store of a stamp after the values were moved out | `ring.see-free` |
//! | `ring.see-free` | acquire load of a stamp before a claim of the tail | `ring.publish-free` |
//! | `ring.claim-head` | move of the head: hands the rest on | itself |
//! | `ring.claim-tail` | move of the tail: hands the rest on | itself |
//! | `ring.claim-head-fence` | SeqCst of the same move, towards waiters | their registration |
//! | `ring.claim-tail-fence` | SeqCst of the same move, towards waiters | their registration |
//! | `ring.close-fence` | SeqCst of the close, towards waiters | their registration |
//!
//! The loom models in `tests/loom_ring.rs` check INV-2 to INV-6 on this code, and that each of
//! these is needed.

use std::fmt;

use crossbeam_utils::CachePadded;

use self::{
    position::{Circle, Kind, RUN_MAX, Stamp, Word},
    slots::Slots,
};
use crate::{
    queue::{CapacityError, FrontDrain, PopError, PushError},
    sync::{AtomicU64, Ordering, planted, seq_cst_access_fence},
};

pub use self::handles::{Consumer, Producer, queue};

mod claim;
mod handles;
mod position;
mod prefetch;
mod slots;
#[cfg(test)]
mod tests;

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
    /// The next position to pop, and how much of a filled run is left there.
    head: CachePadded<AtomicU64>,
    /// The next position to push, how much of a free run is left there, and the closed mark.
    tail: CachePadded<AtomicU64>,
    slots: Slots<T>,
}

impl<T> Ring<T> {
    /// Makes an empty ring for `capacity` values.
    ///
    /// # Errors
    /// [`CapacityError`] when the capacity is zero, above [`CAPACITY_MAX`](crate::CAPACITY_MAX), or not to be had.
    pub fn new(capacity: usize) -> Result<Self, CapacityError> {
        Self::starting_at_lap(capacity, 0)
    }

    /// As [`Ring::new`], with counters that start `laps` laps in, modulo what fits: with
    /// `u64::MAX` the first wrap of the ring also wraps the counters.
    #[doc(hidden)]
    pub fn starting_at_lap(capacity: usize, laps: u64) -> Result<Self, CapacityError> {
        CapacityError::check(capacity)?;
        let circle = Circle::new(capacity);
        let first = circle.start(laps);
        let stamp_of = |index: usize| {
            // A chain of free runs; the stamps inside of a run are never read.
            let index = index as u64;
            let position = circle.advance(first, index);
            Stamp::new(position, Kind::Free, (circle.capacity() - index).min(RUN_MAX))
        };
        let slots =
            Slots::new(capacity, stamp_of).map_err(|_| CapacityError::Memory { capacity })?;
        let word = Word::new(first, 0).0;
        Ok(Self {
            head: CachePadded::new(AtomicU64::new(word)),
            tail: CachePadded::new(AtomicU64::new(word)),
            slots,
        })
    }

    /// Pushes a value behind all others.
    ///
    /// # Errors
    /// The value comes back in a [`PushError`]. `Full` and `Closed` were true at one moment
    /// during the call; `Busy` says that a consumer holds the next slot just now.
    #[inline]
    pub fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        self.try_push_at(&mut self.tail_now(), value)
    }

    /// Pushes as many values from the front of `source` as there is room for, in order, with one
    /// claim; returns how many and leaves the others. An empty source is `Ok(0)`.
    ///
    /// What is pushed is contiguous in the queue: no other producer's value comes between. What
    /// is left in `source` moves to its front, which costs time in its length.
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
        self.push_front_at(&mut self.tail_now(), source)
    }

    /// Pops the oldest value.
    ///
    /// # Errors
    /// `Empty` and `Closed` were true at one moment during the call; `Busy` says that a producer
    /// holds the next slot just now. `Closed` comes only after every value was popped.
    #[inline]
    pub fn try_pop(&self) -> Result<T, PopError> {
        self.try_pop_at(&mut self.head_now())
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
        self.pop_batch_at(&mut self.head_now(), out, count_max)
    }

    /// Closes the ring: no push succeeds from now on, what is inside can be popped. Returns
    /// whether this call closed it.
    pub fn close(&self) -> bool {
        let before = self.tail.fetch_or(Word::CLOSED, Ordering::SeqCst);
        if !planted("ring.close-fence") {
            seq_cst_access_fence();
        }
        !Word(before).is_closed()
    }

    /// Whether the ring was closed; values may still be inside.
    pub fn is_closed(&self) -> bool {
        Word(self.tail.load(Ordering::SeqCst)).is_closed()
    }

    /// How many values are inside: exact while no other thread works, otherwise a recent figure
    /// between 0 and the capacity.
    pub fn len(&self) -> usize {
        let tail = Word(self.tail.load(Ordering::SeqCst)).position();
        let head = Word(self.head.load(Ordering::SeqCst)).position();
        self.slots.circle.distance(head, tail) as usize
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
        self.slots.circle.capacity() as usize
    }

    /// Whether the next position looks filled: for polling, without touching the producers' word.
    pub(crate) fn looks_filled(&self) -> bool {
        self.slots.looks(self.head_now(), Kind::Filled)
    }

    /// Whether the next position looks free: for polling, without touching the consumers' word.
    pub(crate) fn looks_free(&self) -> bool {
        let tail = self.tail_now();
        tail.is_closed() || self.slots.looks(tail, Kind::Free)
    }

    /// Whether a pop would answer `Empty`. Read after a SeqCst registration (INV-5).
    pub(crate) fn would_pop_nothing(&self) -> bool {
        let head = Word(self.head.load(Ordering::SeqCst)).position();
        let tail = Word(self.tail.load(Ordering::SeqCst));
        tail.position() == head && !tail.is_closed()
    }

    /// Whether a push would answer `Full`. Read after a SeqCst registration (INV-5).
    pub(crate) fn would_push_nothing(&self) -> bool {
        let tail = Word(self.tail.load(Ordering::SeqCst));
        let head = Word(self.head.load(Ordering::SeqCst)).position();
        !tail.is_closed() && tail.position() == self.slots.circle.next_lap(head)
    }

    #[inline(always)]
    fn try_push_at(&self, guess: &mut Word, value: T) -> Result<(), PushError<T>> {
        match self.claim_push(guess, 1) {
            Ok((tail, _)) => {
                // SAFETY: `claim_push` made us the owner of this position.
                unsafe { self.fill_one(tail.position(), value) };
                Ok(())
            }
            Err(reason) => Err(reason.map(|()| value)),
        }
    }

    #[inline(always)]
    fn push_front_at(
        &self,
        guess: &mut Word,
        source: &mut FrontDrain<'_, T>,
    ) -> Result<usize, PushError<()>> {
        if source.remaining() == 0 {
            return Ok(0);
        }
        let (tail, count) = self.claim_push(guess, source.remaining() as u64)?;
        // SAFETY: `claim_push` made us the owner of `count` positions, at most as many as remain
        // in the source, which gives them away right after.
        unsafe {
            self.fill_run(tail.position(), source.as_ptr(), count);
            source.advance(count as usize);
        }
        Ok(count as usize)
    }

    #[inline(always)]
    fn try_pop_at(&self, guess: &mut Word) -> Result<T, PopError> {
        let (head, _) = self.claim_pop(guess, 1, |_| ())?;
        // SAFETY: `claim_pop` made us the owner of this position.
        Ok(unsafe { self.empty_one(head) })
    }

    #[inline(always)]
    fn pop_batch_at(
        &self,
        guess: &mut Word,
        out: &mut Vec<T>,
        count_max: usize,
    ) -> Result<usize, PopError> {
        if count_max == 0 {
            return Ok(0);
        }
        let (head, count) = self.claim_pop(guess, count_max as u64, |count| out.reserve(count))?;
        let length = out.len();
        // SAFETY: `claim_pop` made us the owner of `count` positions and had room reserved for
        // them before; they are initialised when the length is set.
        unsafe {
            self.empty_run(head, out.as_mut_ptr().add(length), count);
            out.set_len(length + count as usize);
        }
        Ok(count as usize)
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
