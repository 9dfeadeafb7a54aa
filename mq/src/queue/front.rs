//! Takes values from the front of a `Vec` one run at a time, without moving the rest each time.
//!
//! What always holds: every value is either taken once or still in the vector afterwards, in
//! order, whatever happens in between.
//! Left to others: where the values go.
//!
//! # Invariants
//! * **INV-1** While a `FrontDrain` lives the vector's length is 0, and the elements from `next`
//!   to `length` are initialised and belong to the drain.

use std::{fmt, mem, ptr};

/// A vector that is being emptied from the front, a run at a time; dropping it closes the gap, so
/// that what was not taken is again the vector's content.
pub struct FrontDrain<'a, T> {
    source: &'a mut Vec<T>,
    next: usize,
    length: usize,
}

impl<'a, T> FrontDrain<'a, T> {
    /// Begins to empty `source`.
    pub fn new(source: &'a mut Vec<T>) -> Self {
        let length = source.len();
        // SAFETY: 0 is within any capacity; the elements are the drain's from here on (INV-1).
        unsafe { source.set_len(0) };
        Self { source, next: 0, length }
    }

    /// How many values are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.length - self.next
    }

    /// The values that are left, as a pointer to the first; valid for `remaining` reads.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *const T {
        // SAFETY: `next` is at most the length that the vector had.
        unsafe { self.source.as_ptr().add(self.next) }
    }

    /// Gives the next `count` values away: the caller has moved them out through `as_ptr`.
    ///
    /// # Safety
    /// At least `count` values remain, and the caller owns copies of them.
    #[inline]
    pub(crate) unsafe fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.remaining());
        self.next += count;
    }
}

impl<T> fmt::Debug for FrontDrain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontDrain").field("remaining", &self.remaining()).finish()
    }
}

impl<T> Drop for FrontDrain<'_, T> {
    fn drop(&mut self) {
        let remaining = self.remaining();
        let next = mem::replace(&mut self.next, self.length);
        if next > 0 && remaining > 0 {
            let base = self.source.as_mut_ptr();
            // SAFETY: source and target lie within the vector's allocation (INV-1).
            unsafe { ptr::copy(base.add(next), base, remaining) };
        }
        // SAFETY: the first `remaining` elements are initialised (INV-1) and given back.
        unsafe { self.source.set_len(remaining) };
    }
}
