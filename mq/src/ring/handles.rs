//! The handles of a ring, which remember where they last worked.
//!
//! What always holds: what a handle remembers is a tail (or head) that the ring really had, and
//! only a guess of the present one; any number of threads may share a handle, they only spoil
//! each other's guesses.

use std::fmt;

use super::{Ring, position::Word};
use crate::{
    queue::{CapacityError, Consume, FrontDrain, Handle, PopError, Produce, PushError},
    sync::{Arc, AtomicU64, Ordering},
};

/// The word that a handle met last; a hint, so that nothing is ordered by it.
struct Guess(AtomicU64);

impl Guess {
    fn new(word: Word) -> Self {
        Self(AtomicU64::new(word.0))
    }

    #[inline(always)]
    fn with<R>(&self, work: impl FnOnce(&mut Word) -> R) -> R {
        let mut word = Word(self.0.load(Ordering::Relaxed));
        let result = work(&mut word);
        self.0.store(word.0, Ordering::Relaxed);
        result
    }
}

/// The pushing handle of a [`Ring`].
pub struct Producer<T> {
    guess: Guess,
    ring: Arc<Ring<T>>,
}

/// The popping handle of a [`Ring`].
pub struct Consumer<T> {
    guess: Guess,
    ring: Arc<Ring<T>>,
}

/// Makes a ring for `capacity` values and a handle for each side; clone them for more.
///
/// A thread should keep a handle of its own: what it remembers saves it a read of a line that
/// all threads of its side write.
///
/// # Errors
/// As [`Ring::new`].
///
/// ```
/// use quorate_mq::{Consume, Produce, ring};
///
/// let (producer, consumer) = ring::queue(8)?;
/// producer.clone().try_push(1).unwrap();
/// assert_eq!(consumer.try_pop(), Ok(1));
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
pub fn queue<T>(capacity: usize) -> Result<(Producer<T>, Consumer<T>), CapacityError> {
    let ring = Arc::new(Ring::new(capacity)?);
    Ok((Producer::of(ring.clone()), Consumer::of(ring)))
}

impl<T> Producer<T> {
    fn of(ring: Arc<Ring<T>>) -> Self {
        Self { guess: Guess::new(ring.tail_now()), ring }
    }
}

impl<T> Consumer<T> {
    fn of(ring: Arc<Ring<T>>) -> Self {
        Self { guess: Guess::new(ring.head_now()), ring }
    }
}

macro_rules! handle {
    ($($name:ident)+) => {$(
        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self::of(self.ring.clone())
            }
        }

        impl<T> Handle for $name<T> {
            fn close(&self) -> bool {
                self.ring.close()
            }

            fn is_closed(&self) -> bool {
                self.ring.is_closed()
            }

            fn len(&self) -> usize {
                self.ring.len()
            }

            fn capacity(&self) -> Option<usize> {
                Some(self.ring.capacity())
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.ring).finish()
            }
        }
    )+};
}

handle! { Producer Consumer }

impl<T> Produce<T> for Producer<T> {
    #[inline]
    fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        self.guess.with(|guess| self.ring.try_push_at(guess, value))
    }

    #[inline]
    fn push_front(&self, source: &mut FrontDrain<'_, T>) -> Result<usize, PushError<()>> {
        self.guess.with(|guess| self.ring.push_front_at(guess, source))
    }

    fn looks_free(&self) -> bool {
        self.ring.looks_free()
    }

    fn is_full(&self) -> bool {
        self.ring.would_push_nothing()
    }
}

impl<T> Consume<T> for Consumer<T> {
    #[inline]
    fn try_pop(&self) -> Result<T, PopError> {
        self.guess.with(|guess| self.ring.try_pop_at(guess))
    }

    #[inline]
    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        self.guess.with(|guess| self.ring.pop_batch_at(guess, out, count_max))
    }

    fn looks_filled(&self) -> bool {
        self.ring.looks_filled()
    }

    fn would_wait(&self) -> bool {
        self.ring.would_pop_nothing()
    }
}
