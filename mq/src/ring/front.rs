//! Takes values from the front of a `Vec` one run at a time, without moving the rest each time.
//!
//! What always holds: every value is either taken once or still in the vector afterwards, in
//! order, whatever happens in between.
//! Left to others: where the values go.
//!
//! # Invariants
//! * **INV-1** While a `FrontDrain` lives the vector's length is 0, and the elements from `next`
//!   to `length` are initialised and belong to the drain.

use std::{mem, ptr};

/// A vector that is being emptied from the front; dropping it closes the gap.
pub(crate) struct FrontDrain<'a, T> {
    source: &'a mut Vec<T>,
    next: usize,
    length: usize,
}

impl<'a, T> FrontDrain<'a, T> {
    pub(crate) fn new(source: &'a mut Vec<T>) -> Self {
        let length = source.len();
        // SAFETY: 0 is within any capacity; the elements are the drain's from here on (INV-1).
        unsafe { source.set_len(0) };
        Self { source, next: 0, length }
    }

    /// How many values are left.
    pub(crate) fn remaining(&self) -> usize {
        self.length - self.next
    }

    /// Takes the next value.
    ///
    /// # Safety
    /// At least one value remains.
    #[inline]
    pub(crate) unsafe fn take_unchecked(&mut self) -> T {
        debug_assert!(self.next < self.length);
        // SAFETY: the element is initialised and ours (INV-1); moving `next` gives it away.
        let value = unsafe { ptr::read(self.source.as_ptr().add(self.next)) };
        self.next += 1;
        value
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
