//! One segment of the list: a row of places for values, and the order in which they were pushed.
//!
//! What always holds: a segment knows nothing of handles, hazards and the list; it takes runs of
//! values that lie in its places and gives them out in order, each once.
//! Left to others: who may touch a segment at all (`list`), and moving values (the handles).
//!
//! # Invariants
//! As numbered in [`super`]: this file keeps INV-1 to INV-4 and INV-8.

use std::{alloc::Layout, mem::size_of, ptr};

use crossbeam_utils::CachePadded;

use crate::{
    cells::{Cells, prefetch},
    sync::{
        AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, order, planted,
        seq_cst_access_fence,
    },
};

/// The most places of one segment: a place is 16 bits of a mark.
pub(super) const PLACES_MAX: usize = 1 << 16;

/// The most values of one run: a length is 15 bits of a mark.
pub(super) const RUN_MAX: usize = (1 << 15) - 1;

/// How many marks a producer publishes before it tells the others how far the order has come.
#[cfg(not(loom))]
const HINT_INTERVAL: usize = 16;
#[cfg(loom)]
const HINT_INTERVAL: usize = 1;

/// How far ahead of a consumer its lines are fetched, in values.
const FETCH_AHEAD: usize = 32;

const EMPTY: u32 = 0;
const SEALED: u32 = 1;
const CLOSED: u32 = 2;
const RUN_BIT: u32 = 1 << 31;
const LENGTH_BITS: u32 = 15;

/// What one cell of the order says; a cell leaves `Empty` once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing was pushed here or later.
    Empty,
    /// The values in `length` places from `place` on come next.
    Run { place: usize, length: usize },
    /// The order goes on in the next segment, which is linked.
    Sealed,
    /// The queue was closed here.
    Closed,
}

impl Mark {
    #[inline(always)]
    fn decode(word: u32) -> Self {
        if word & RUN_BIT != 0 {
            let length = word & ((1 << LENGTH_BITS) - 1);
            let place = (word & !RUN_BIT) >> LENGTH_BITS;
            return Self::Run { place: place as usize, length: length as usize };
        }
        match word {
            EMPTY => Self::Empty,
            SEALED => Self::Sealed,
            _ => Self::Closed,
        }
    }

    #[inline(always)]
    fn encode(self) -> u32 {
        match self {
            Self::Empty => EMPTY,
            Self::Sealed => SEALED,
            Self::Closed => CLOSED,
            // Both fit: a place is below PLACES_MAX, a length at most RUN_MAX.
            Self::Run { place, length } => RUN_BIT | (place as u32) << LENGTH_BITS | length as u32,
        }
    }
}

/// How far the consumers have come: a cell of the order, and how many values of its run are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) index: usize,
    pub(super) taken: usize,
}

impl Front {
    #[inline(always)]
    fn decode(word: u64) -> Self {
        Self { index: (word >> 32) as usize, taken: word as u32 as usize }
    }

    #[inline(always)]
    fn encode(self) -> u64 {
        (self.index as u64) << 32 | self.taken as u64
    }

    /// The front once `count` more values of this cell's run of `length` are gone.
    #[inline(always)]
    pub(super) fn after(self, count: usize, length: usize) -> Self {
        if self.taken + count == length {
            Self { index: self.index + 1, taken: 0 }
        } else {
            Self { index: self.index, taken: self.taken + count }
        }
    }
}

/// What only producers write.
struct Back {
    /// A cell before which no cell is empty; not always the last such one.
    hint: AtomicUsize,
    /// How many places were reserved; grows past the capacity once they are used up.
    reserved: AtomicUsize,
}

/// A segment of the list.
pub(super) struct Segment<T> {
    front: CachePadded<AtomicU64>,
    back: CachePadded<Back>,
    /// The next segment, from before this one is sealed.
    pub(super) next: AtomicPtr<Segment<T>>,
    /// The next of the retired segments; used by the one who retires.
    pub(super) retired_next: AtomicPtr<Segment<T>>,
    /// One cell more than there are places, so that there is always one for the seal.
    order: Box<[AtomicU32]>,
    places: Cells<T>,
    /// Whether it is in use: read by whoever works here, written when it is given up and reset, so
    /// that a model fails in which the one is not ordered after the other (INV-6).
    #[cfg(loom)]
    used: crate::sync::UnsafeCell<bool>,
}

impl<T> Segment<T> {
    /// A segment with `capacity` places, or what could not be had.
    pub(super) fn new(capacity: usize) -> Result<Box<Self>, Layout> {
        debug_assert!((1..=PLACES_MAX).contains(&capacity));
        let refused = || Layout::array::<u64>(capacity).unwrap_or(Layout::new::<u64>());
        let mut order = Vec::new();
        order.try_reserve_exact(capacity + 1).map_err(|_| refused())?;
        order.extend((0..=capacity).map(|_| AtomicU32::new(EMPTY)));
        let places = Cells::new(capacity)
            .map_err(|_| Layout::array::<T>(capacity).unwrap_or_else(|_| refused()))?;
        Ok(Box::new(Self {
            front: CachePadded::new(AtomicU64::new(0)),
            back: CachePadded::new(Back {
                hint: AtomicUsize::new(0),
                reserved: AtomicUsize::new(0),
            }),
            next: AtomicPtr::new(ptr::null_mut()),
            retired_next: AtomicPtr::new(ptr::null_mut()),
            order: order.into_boxed_slice(),
            places,
            #[cfg(loom)]
            used: crate::sync::UnsafeCell::new(true),
        }))
    }

    /// Makes a drained segment as good as new.
    pub(super) fn reset(&mut self) {
        clear(&mut self.order);
        self.front.store(0, Ordering::Relaxed);
        self.back.hint.store(0, Ordering::Relaxed);
        self.back.reserved.store(0, Ordering::Relaxed);
        self.next.store(ptr::null_mut(), Ordering::Relaxed);
        #[cfg(loom)]
        // SAFETY: exclusive.
        self.used.with_mut(|used| unsafe { *used = true });
    }

    /// Says that no handle works here any more, until it is reset; returns the capacity.
    pub(super) fn end_use(&self) -> usize {
        #[cfg(loom)]
        // SAFETY: the caller's alone (INV-7), which is what the model checks.
        self.used.with_mut(|used| unsafe { *used = false });
        self.capacity()
    }

    pub(super) fn capacity(&self) -> usize {
        self.places.len()
    }

    /// The memory of a segment with `capacity` places, without the allocator's own.
    pub(super) fn bytes(capacity: usize) -> usize {
        size_of::<Self>() + capacity * size_of::<T>() + (capacity + 1) * size_of::<AtomicU32>()
    }

    #[inline(always)]
    pub(super) fn places(&self) -> &Cells<T> {
        &self.places
    }

    /// Reserves up to `wanted` consecutive places for the caller alone: the first, and how many;
    /// none when they are used up.
    #[inline]
    pub(super) fn reserve(&self, wanted: usize) -> (usize, usize) {
        // Atomicity is all that is asked: a place is used by its owner until it is published.
        let first = self.back.reserved.fetch_add(wanted, Ordering::Relaxed);
        let capacity = self.capacity();
        if first >= capacity { (capacity, 0) } else { (first, wanted.min(capacity - first)) }
    }

    /// A cell before which no cell is empty.
    #[inline]
    pub(super) fn hint(&self) -> usize {
        // Acquire: whoever publishes at the hint has acquired what lies before it (INV-2).
        self.back.hint.load(Ordering::Acquire)
    }

    /// Sets an empty cell, before which none is empty; otherwise says what the cell holds.
    #[inline(always)]
    pub(super) fn put(&self, index: usize, mark: Mark) -> Result<(), Mark> {
        // SeqCst as the queue's side of the handshake with a waiter (INV-8); acquire on failure,
        // so that whoever passes the cell has acquired what it says (INV-2).
        let success = order("unbounded.publish", Ordering::SeqCst);
        let put =
            self.cell(index).compare_exchange(EMPTY, mark.encode(), success, Ordering::Acquire);
        if let Err(word) = put {
            return Err(Mark::decode(word));
        }
        seq_cst_access_fence();
        // Never past an end mark: behind it every cell is empty, for ever.
        let more = matches!(mark, Mark::Run { .. }) || planted("unbounded.hint-past-end");
        if more && (index + 1).is_multiple_of(HINT_INTERVAL) {
            self.back.hint.store(index + 1, Ordering::Release);
        }
        Ok(())
    }

    /// What a cell says.
    #[inline(always)]
    pub(super) fn mark(&self, index: usize) -> Mark {
        // SeqCst as a waiter's side of the handshake (INV-8).
        Mark::decode(self.cell(index).load(order("unbounded.read", Ordering::SeqCst)))
    }

    /// Whether a pop would find something to do, a value or an end; without ordering.
    #[inline]
    pub(super) fn looks_filled(&self) -> bool {
        let front = Front::decode(self.front.load(Ordering::Relaxed));
        self.cell(front.index).load(Ordering::Relaxed) != EMPTY
    }

    #[inline(always)]
    pub(super) fn front(&self) -> Front {
        Front::decode(self.front.load(Ordering::Relaxed))
    }

    /// Claims the values between two fronts for the caller alone; false when the front has moved.
    #[inline(always)]
    pub(super) fn claim(&self, from: Front, to: Front) -> bool {
        // Atomicity is all that is asked: the values were acquired with their marks, and the
        // places are reused only after the hazards were looked at.
        self.front
            .compare_exchange(from.encode(), to.encode(), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Fetches what a consumer at this cell and place needs after a few more pops, so that the
    /// lines are on their way from the producer's cache while it works; a hint and nothing more.
    #[inline(always)]
    pub(super) fn fetch_ahead(&self, index: usize, place: usize) {
        prefetch(self.order.as_ptr().wrapping_add(index + FETCH_AHEAD));
        self.places.prefetch(place + FETCH_AHEAD);
    }

    #[inline(always)]
    fn cell(&self, index: usize) -> &AtomicU32 {
        debug_assert!(index < self.order.len());
        #[cfg(loom)]
        // SAFETY: not written while a handle works here (INV-6), which is what the model checks.
        assert!(self.used.with(|used| unsafe { *used }), "works in a segment that was given up");
        // SAFETY: no cell behind the seal is asked for, and the seal's cell is the last at most
        // (INV-2).
        unsafe { self.order.get_unchecked(index) }
    }
}

#[cfg(not(loom))]
fn clear(order: &mut [AtomicU32]) {
    for cell in order {
        *cell.get_mut() = EMPTY;
    }
}

#[cfg(loom)]
fn clear(order: &mut [AtomicU32]) {
    for cell in order {
        cell.store(EMPTY, Ordering::Relaxed);
    }
}
