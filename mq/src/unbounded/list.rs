//! The list of segments: where it begins and ends, how it grows, and what becomes of a segment
//! that was drained.
//!
//! What always holds: a segment that a handle names and that was in the list when it was named is
//! not freed or reused.
//! Left to others: pushing and popping inside a segment (`segment`, and the handles above).
//!
//! # Invariants
//! As numbered in [`super`]: this file keeps INV-5 to INV-7.

use std::{alloc::handle_alloc_error, mem, ptr};

use crossbeam_utils::CachePadded;

use super::{
    hazard::{Record, Records},
    segment::{Mark, Segment},
};
use crate::{
    queue::CapacityError,
    sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, planted},
};

/// How many drained segments are kept for reuse; with the one in use they are what a queue holds
/// when it is empty and no idle handle pins more.
pub(super) const SPARES_MAX: usize = 2;

/// After so many segments in a row that were far larger than the backlog the next is half as
/// large.
const CALM_SEGMENTS: usize = 8;

/// A segment is far too large when the backlog is less than this part of it.
const CALM_PART: usize = 16;

pub(super) struct List<T> {
    head: CachePadded<AtomicPtr<Segment<T>>>,
    tail: CachePadded<AtomicPtr<Segment<T>>>,
    closed: AtomicBool,
    pub(super) records: Records<T>,
    retired: AtomicPtr<Segment<T>>,
    spares: [AtomicPtr<Segment<T>>; SPARES_MAX],
    /// How many places the next segment shall have.
    capacity_next: AtomicUsize,
    calm: AtomicUsize,
    places: AtomicUsize,
    segments: AtomicUsize,
    capacity_first: usize,
    capacity_max: usize,
}

// SAFETY: values move from the pushing to the popping thread, which needs `T: Send`; who may touch
// a segment and a value is ruled by INV-1 to INV-8, and no `&T` is ever shared.
unsafe impl<T: Send> Send for List<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for List<T> {}

impl<T> List<T> {
    pub(super) fn new(capacity_first: usize, capacity_max: usize) -> Result<Self, CapacityError> {
        let first = Segment::new(capacity_first)
            .map_err(|_| CapacityError::Memory { capacity: capacity_first })?;
        let first = Box::into_raw(first);
        Ok(Self {
            head: CachePadded::new(AtomicPtr::new(first)),
            tail: CachePadded::new(AtomicPtr::new(first)),
            closed: AtomicBool::new(false),
            records: Records::new(),
            retired: AtomicPtr::new(ptr::null_mut()),
            spares: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            capacity_next: AtomicUsize::new(capacity_first),
            calm: AtomicUsize::new(0),
            places: AtomicUsize::new(capacity_first),
            segments: AtomicUsize::new(1),
            capacity_first,
            capacity_max,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Whoever has seen the end of a closed queue says so before it answers.
    pub(super) fn note_closed(&self) {
        if !self.closed.load(Ordering::Relaxed) {
            self.closed.store(true, Ordering::SeqCst);
        }
    }

    pub(super) fn places(&self) -> usize {
        self.places.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        let segments = self.segments.load(Ordering::Relaxed);
        let fixed = Segment::<T>::bytes(0);
        segments * fixed + self.places() * (Segment::<T>::bytes(1) - fixed)
    }

    /// Names the first segment.
    pub(super) fn enter_head(&self, record: &Record<T>) -> *mut Segment<T> {
        record.protect(&self.head)
    }

    /// Names the last segment, or one that was not long ago.
    pub(super) fn enter_tail(&self, record: &Record<T>) -> *mut Segment<T> {
        record.protect(&self.tail)
    }

    /// Moves the tail behind a sealed segment, which the caller names, and names the new last one.
    pub(super) fn follow(&self, record: &Record<T>, sealed: *mut Segment<T>) -> *mut Segment<T> {
        self.pass_tail(sealed);
        let last = record.protect(&self.tail);
        self.reclaim();
        last
    }

    /// Moves the head behind a drained and sealed segment, which the caller names, and names the
    /// new first one. The one who moved the head retires the segment.
    pub(super) fn advance(&self, record: &Record<T>, drained: *mut Segment<T>) -> *mut Segment<T> {
        let next = if planted("unbounded.tail-first") {
            // SAFETY: the caller names it (INV-6).
            unsafe { &*drained }.next.load(Ordering::Acquire)
        } else {
            self.pass_tail(drained)
        };
        // Release: whoever enters the next segment by the head finds it made, or cleared.
        let moved =
            self.head.compare_exchange(drained, next, Ordering::Release, Ordering::Relaxed).is_ok();
        let first = record.protect(&self.head);
        if moved {
            let left = self.tail.load(Ordering::Relaxed) != drained;
            assert!(left, "the tail leaves a segment before the head does (INV-5)");
            self.retire(drained);
        }
        self.reclaim();
        first
    }

    /// Makes sure that the tail is not at this sealed segment, which the caller names; returns
    /// the next one, which may be gone already unless `sealed` is still in the list.
    fn pass_tail(&self, sealed: *mut Segment<T>) -> *mut Segment<T> {
        // SAFETY: the caller names it (INV-6).
        // Acquire and release, so that whoever enters by the tail finds the segment made.
        let next = unsafe { &*sealed }.next.load(Ordering::Acquire);
        assert!(!next.is_null(), "a segment is linked before the one before it is sealed (INV-5)");
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        let _ = self.tail.compare_exchange(sealed, next, success, failure);
        next
    }

    /// Makes sure that a segment, which the caller names, has a next one.
    pub(super) fn link_next(&self, segment: &Segment<T>) {
        if !segment.next.load(Ordering::Relaxed).is_null() {
            return;
        }
        let next = self.fresh();
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        let linked = segment.next.compare_exchange(ptr::null_mut(), next, success, failure);
        if linked.is_err() {
            self.keep_or_free(next);
        }
    }

    /// Puts the end mark behind all others; returns whether this call did. The record names the
    /// last segment afterwards.
    pub(super) fn close(&self, record: &Record<T>) -> bool {
        let mut segment = self.enter_tail(record);
        let closed = 'segments: loop {
            // SAFETY: the record names it (INV-6).
            let last = unsafe { &*segment };
            let mut index = last.hint();
            loop {
                match last.put(index, Mark::Closed) {
                    Ok(()) => break 'segments true,
                    Err(Mark::Closed) => break 'segments false,
                    Err(Mark::Sealed) => break,
                    Err(_) => index += 1,
                }
            }
            segment = self.follow(record, segment);
        };
        self.note_closed();
        closed
    }

    /// An empty segment that is ours alone: a spare one of the right size, or a new one.
    fn fresh(&self) -> *mut Segment<T> {
        let capacity = self.adapt_capacity();
        while let Some(spare) = self.take_spare() {
            // SAFETY: whoever took it out of the spares owns it alone (INV-7).
            let segment = unsafe { &mut *spare };
            if segment.capacity() == capacity {
                segment.reset();
                return spare;
            }
            self.free(spare);
        }
        let segment = Segment::new(capacity).unwrap_or_else(|layout| handle_alloc_error(layout));
        self.places.fetch_add(capacity, Ordering::Relaxed);
        self.segments.fetch_add(1, Ordering::Relaxed);
        Box::into_raw(segment)
    }

    /// How large the next segment shall be: twice as large as the last when the backlog does not
    /// fit into it, half as large when it was far too large for a while.
    fn adapt_capacity(&self) -> usize {
        let now = self.capacity_next.load(Ordering::Relaxed);
        let backlog = self.records.balance();
        let calm =
            if backlog < now / CALM_PART { self.calm.load(Ordering::Relaxed) + 1 } else { 0 };
        let next = if backlog > now {
            (now * 2).min(self.capacity_max)
        } else if calm >= CALM_SEGMENTS {
            (now / 2).max(self.capacity_first)
        } else {
            now
        };
        self.calm.store(if next == now { calm } else { 0 }, Ordering::Relaxed);
        // Threads that meet here may undo each other's step; the next segment tries again.
        self.capacity_next.store(next, Ordering::Relaxed);
        next
    }

    fn take_spare(&self) -> Option<*mut Segment<T>> {
        self.spares.iter().find_map(|spare| {
            if spare.load(Ordering::Relaxed).is_null() {
                return None;
            }
            // Acquire and release: what its last user did comes before its reuse.
            let taken = spare.swap(ptr::null_mut(), Ordering::Acquire);
            (!taken.is_null()).then_some(taken)
        })
    }

    /// Takes a segment that is the caller's alone out of use.
    fn keep_or_free(&self, segment: *mut Segment<T>) {
        // SAFETY: the caller's alone (INV-7).
        let capacity = unsafe { &*segment }.end_use();
        let wanted = capacity == self.capacity_next.load(Ordering::Relaxed);
        let kept = wanted
            && self.spares.iter().any(|spare| {
                let (success, failure) = (Ordering::Release, Ordering::Relaxed);
                spare.load(Ordering::Relaxed).is_null()
                    && spare.compare_exchange(ptr::null_mut(), segment, success, failure).is_ok()
            });
        if !kept {
            self.free(segment);
        }
    }

    fn free(&self, segment: *mut Segment<T>) {
        // SAFETY: the caller's alone (INV-7), made by a box.
        let segment = unsafe { Box::from_raw(segment) };
        self.places.fetch_sub(segment.capacity(), Ordering::Relaxed);
        self.segments.fetch_sub(1, Ordering::Relaxed);
    }

    /// Remembers a segment that was taken out of the list by the caller, until no handle names it.
    fn retire(&self, segment: *mut Segment<T>) {
        let mut first = self.retired.load(Ordering::Relaxed);
        loop {
            // SAFETY: alive, since only we retire it; nobody else uses this field (INV-7).
            unsafe { &*segment }.retired_next.store(first, Ordering::Relaxed);
            let (success, failure) = (Ordering::Release, Ordering::Relaxed);
            match self.retired.compare_exchange(first, segment, success, failure) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Takes out of use what was retired and is named by no handle any more.
    pub(super) fn reclaim(&self) {
        if self.retired.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut next = self.retired.swap(ptr::null_mut(), Ordering::Acquire);
        // No fence is needed here: whoever retired a segment has gone through the fence of
        // `protect` after it moved the head off, and the swap acquired that. So either we see a
        // name, or the one who names sees that head and tail have moved.
        while !next.is_null() {
            let segment = next;
            // SAFETY: ours since the swap; only we look at the field (INV-7).
            next = unsafe { &*segment }.retired_next.load(Ordering::Relaxed);
            if self.records.name(segment) && !planted("unbounded.names") {
                self.retire(segment);
            } else {
                self.keep_or_free(segment);
            }
        }
    }

    /// The oldest value, when no handle is left.
    fn take_alone(&mut self) -> Option<T> {
        loop {
            let head = self.head.load(Ordering::Relaxed);
            // SAFETY: the head is always a live segment (INV-6).
            let segment = unsafe { &*head };
            let front = segment.front();
            match segment.mark(front.index) {
                Mark::Empty | Mark::Closed => return None,
                Mark::Run { place, length } => {
                    let claimed = segment.claim(front, front.after(1, length));
                    debug_assert!(claimed);
                    // SAFETY: a published and unclaimed value (INV-3), and nobody else is here.
                    return Some(unsafe { segment.places().read(place + front.taken) });
                }
                Mark::Sealed => {
                    self.head.store(segment.next.load(Ordering::Relaxed), Ordering::Relaxed);
                    // SAFETY: out of the list now, and nobody else is here.
                    drop(unsafe { Box::from_raw(head) });
                }
            }
        }
    }

    /// Frees a list of segments without their values.
    fn free_all(first: *mut Segment<T>, next_of: fn(&Segment<T>) -> *mut Segment<T>) {
        let mut next = first;
        while !next.is_null() {
            // SAFETY: made by a box, in one list only (INV-7), and nobody else is here.
            let segment = unsafe { Box::from_raw(next) };
            next = next_of(&segment);
        }
    }
}

impl<T> Drop for List<T> {
    /// Drops every value inside, once; when one of them panics the others are dropped still.
    fn drop(&mut self) {
        struct Rest<'a, T>(&'a mut List<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                while let Some(value) = self.0.take_alone() {
                    let rest = Rest(&mut *self.0);
                    drop(value);
                    mem::forget(rest);
                }
                let list = &mut *self.0;
                let head = list.head.swap(ptr::null_mut(), Ordering::Relaxed);
                List::free_all(head, |segment| segment.next.load(Ordering::Relaxed));
                let retired = list.retired.swap(ptr::null_mut(), Ordering::Relaxed);
                List::free_all(retired, |segment| segment.retired_next.load(Ordering::Relaxed));
                while let Some(spare) = list.take_spare() {
                    List::free_all(spare, |_| ptr::null_mut());
                }
            }
        }
        drop(Rest(self));
    }
}
