//! Looking at the oldest values where they are, before taking them.
//!
//! What always holds: the values stay in the queue until they are dropped by [`Peek::consume`] or
//! popped; a `Peek` has the consumer to itself, so that nobody pops what is being looked at.
//! Left to others: everything between the threads (`spsc`).

use std::slice;

use super::Consumer;
use crate::queue::PopError;

/// The oldest values of a queue, in place.
#[derive(Debug)]
pub struct Peek<'a, T> {
    consumer: &'a mut Consumer<T>,
    count: usize,
}

impl<T> Consumer<T> {
    /// Looks at up to `count_max` of the oldest values (at least one) without moving them.
    ///
    /// # Errors
    /// As [`crate::Consume::try_pop`]; `Empty` also when `count_max` is zero.
    pub fn peek(&mut self, count_max: usize) -> Result<Peek<'_, T>, PopError> {
        if count_max == 0 {
            return Err(PopError::Empty);
        }
        let count = self.filled(count_max)?;
        Ok(Peek { consumer: self, count })
    }
}

impl<T> Peek<'_, T> {
    /// The values in order: two pieces, of which the second is empty unless they lie around the
    /// end of the row.
    pub fn as_slices(&self) -> (&[T], &[T]) {
        let shared = &self.consumer.shared;
        let first = shared.index(self.consumer.head.get());
        let until_end = self.count.min(shared.places.len() - first);
        let places = shared.places.as_ptr();
        // SAFETY: `count` places from the head on hold values that only we touch while the
        // consumer is borrowed (INV-3 of `spsc`); both pieces lie inside the row.
        unsafe {
            (
                slice::from_raw_parts(places.add(first), until_end),
                slice::from_raw_parts(places, self.count - until_end),
            )
        }
    }

    /// Drops the first `count` values (at most those that are looked at) and frees their places
    /// at once. When a drop panics, that value is gone and the ones behind it stay inside.
    pub fn consume(self, count: usize) {
        let mut taken = Taken { consumer: &*self.consumer, count: 0 };
        for _ in 0..count.min(self.count) {
            let shared = &self.consumer.shared;
            let index = shared.index(self.consumer.head.get().wrapping_add(taken.count));
            taken.count += 1;
            // SAFETY: as in `as_slices`; the place is freed, and so read only once, by `Taken`.
            drop(unsafe { shared.places.read(index) });
        }
    }
}

/// Frees the places of the values that were moved out, also when one of their drops panics.
struct Taken<'a, T> {
    consumer: &'a Consumer<T>,
    count: usize,
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.consumer.free(self.consumer.head.get(), self.count);
    }
}
