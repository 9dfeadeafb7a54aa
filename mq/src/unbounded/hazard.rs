//! Which segment each handle works in: hazard pointers (Michael, 2004), one per handle.
//!
//! What always holds: records are only ever added to the list, and reused by later handles; they
//! are freed with the queue.
//! Left to others: which segments are retired, and freeing them (`list`).
//!
//! # Invariants
//! * **INV-1** A record in the list stays where it is until the list is dropped.
//! * **INV-2** A record belongs to the handle that set `used`, until that handle clears it; only
//!   the owner writes the other fields.

use std::ptr;

use crossbeam_utils::CachePadded;

use super::segment::Segment;
use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, Ordering, UnsafeCell, fence, order, planted};

/// What a handle tells the others.
pub(super) struct Record<T> {
    segment: AtomicPtr<Segment<T>>,
    used: AtomicBool,
    /// How many values this record's handles have pushed, and popped.
    pushed: AtomicU64,
    popped: AtomicU64,
    /// The record that was added before; set once, before this one is in the list.
    next: UnsafeCell<*mut CachePadded<Record<T>>>,
}

impl<T> Record<T> {
    /// Names the segment that `source` points to, so that it is not freed until another is named;
    /// tries again when `source` moves meanwhile.
    pub(super) fn protect(&self, source: &AtomicPtr<Segment<T>>) -> *mut Segment<T> {
        let mut segment = source.load(Ordering::Relaxed);
        loop {
            // Release: what was done in the segment named before comes before its reuse.
            self.segment.store(segment, order("unbounded.leave", Ordering::Release));
            // Either the one who retires sees the name, or we see that `source` has moved.
            if !planted("unbounded.protect-fence") {
                fence(Ordering::SeqCst);
            }
            // Acquire here too, not by the fence alone: between the two loads the segment may have
            // been reused and put back.
            let now = source.load(Ordering::Acquire);
            if now == segment || planted("unbounded.validate") {
                return segment;
            }
            segment = now;
        }
    }

    /// Names no segment any more and lets another handle have the record.
    pub(super) fn release(&self) {
        self.segment.store(ptr::null_mut(), order("unbounded.leave", Ordering::Release));
        self.used.store(false, order("unbounded.record-free", Ordering::Release));
    }

    #[inline(always)]
    pub(super) fn count_pushed(&self, count: usize) {
        let pushed = self.pushed.load(Ordering::Relaxed) + count as u64;
        self.pushed.store(pushed, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn count_popped(&self, count: usize) {
        let popped = self.popped.load(Ordering::Relaxed) + count as u64;
        self.popped.store(popped, Ordering::Relaxed);
    }
}

/// All records of a queue.
pub(super) struct Records<T> {
    first: AtomicPtr<CachePadded<Record<T>>>,
}

impl<T> Records<T> {
    pub(super) fn new() -> Self {
        Self { first: AtomicPtr::new(ptr::null_mut()) }
    }

    /// A record for a new handle, a free one if there is.
    pub(super) fn join(&self) -> *const Record<T> {
        let free = self.iter().find(|record| {
            // Acquire; the fence of `protect` comes before the counts are used, too.
            let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
            record.used.compare_exchange(false, true, success, failure).is_ok()
        });
        if let Some(record) = free {
            return record;
        }
        let record = Box::into_raw(Box::new(CachePadded::new(Record {
            segment: AtomicPtr::new(ptr::null_mut()),
            used: AtomicBool::new(true),
            pushed: AtomicU64::new(0),
            popped: AtomicU64::new(0),
            next: UnsafeCell::new(ptr::null_mut()),
        })));
        // SAFETY: just made, and freed with the list only (INV-1).
        let shared = unsafe { &*record };
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            // SAFETY: the record is not in the list yet, so that the field is ours alone.
            shared.next.with_mut(|next| unsafe { *next = first });
            // Release, and acquire in `iter`: a record is whole when others find it.
            let (success, failure) = (Ordering::Release, Ordering::Relaxed);
            match self.first.compare_exchange(first, record, success, failure) {
                Ok(_) => return &**shared,
                Err(now) => first = now,
            }
        }
    }

    /// Whether a handle names this segment, which was taken out of the list; none can begin to,
    /// with success, after the fence that followed.
    pub(super) fn name(&self, segment: *mut Segment<T>) -> bool {
        self.iter().any(|record| {
            record.segment.load(order("unbounded.left", Ordering::Acquire)) == segment
        })
    }

    /// How many values were pushed and not popped.
    pub(super) fn balance(&self) -> usize {
        // The pops first: what they popped was pushed before.
        let popped: u64 = self.iter().map(|record| record.popped.load(Ordering::Acquire)).sum();
        let pushed: u64 = self.iter().map(|record| record.pushed.load(Ordering::Acquire)).sum();
        usize::try_from(pushed.saturating_sub(popped)).unwrap_or(usize::MAX)
    }

    fn iter(&self) -> impl Iterator<Item = &Record<T>> {
        let mut next = self.first.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: null or a record of the list (INV-1).
            let record = unsafe { next.as_ref() }?;
            // SAFETY: not written any more since the record is in the list.
            next = record.next.with(|next| unsafe { *next });
            Some(&**record)
        })
    }
}

impl<T> Drop for Records<T> {
    fn drop(&mut self) {
        let mut next = self.first.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: made by a box in `join`, and nobody has a handle any more.
            let record = unsafe { Box::from_raw(next) };
            // SAFETY: as above.
            next = record.next.with(|next| unsafe { *next });
        }
    }
}
