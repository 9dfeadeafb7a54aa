//! One of two queues, chosen when it is made.
//!
//! What always holds: each call goes to the queue that was chosen; the choice costs a predictable
//! branch. For code that must offer a choice without a type parameter; everything else should
//! name its queue.

use super::{Consume, FrontDrain, Handle, PopError, Produce, PushError};

/// A handle of one of two kinds of queue.
///
/// ```
/// use quorate_mq::{Consume, Either, Produce, ring};
///
/// let (producer, consumer) = ring::queue(2)?;
/// let producer: Either<ring::Producer<u8>, ring::Producer<u8>> = Either::First(producer);
/// producer.try_push(1).unwrap();
/// assert_eq!(consumer.try_pop(), Ok(1));
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
#[derive(Debug, Clone)]
pub enum Either<A, B> {
    /// A handle of the first kind.
    First(A),
    /// A handle of the second kind.
    Second(B),
}

macro_rules! each {
    ($either:expr, $handle:ident => $call:expr) => {
        match $either {
            Either::First($handle) => $call,
            Either::Second($handle) => $call,
        }
    };
}

impl<A: Handle, B: Handle> Handle for Either<A, B> {
    fn close(&self) -> bool {
        each!(self, handle => handle.close())
    }

    fn is_closed(&self) -> bool {
        each!(self, handle => handle.is_closed())
    }

    fn len(&self) -> usize {
        each!(self, handle => handle.len())
    }

    fn capacity(&self) -> Option<usize> {
        each!(self, handle => handle.capacity())
    }

    fn settle(&self) {
        each!(self, handle => handle.settle());
    }
}

impl<T, A: Produce<T>, B: Produce<T>> Produce<T> for Either<A, B> {
    #[inline]
    fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        each!(self, handle => handle.try_push(value))
    }

    #[inline]
    fn push_front(&self, source: &mut FrontDrain<'_, T>) -> Result<usize, PushError<()>> {
        each!(self, handle => handle.push_front(source))
    }

    fn looks_free(&self) -> bool {
        each!(self, handle => handle.looks_free())
    }

    fn is_full(&self) -> bool {
        each!(self, handle => handle.is_full())
    }
}

impl<T, A: Consume<T>, B: Consume<T>> Consume<T> for Either<A, B> {
    #[inline]
    fn try_pop(&self) -> Result<T, PopError> {
        each!(self, handle => handle.try_pop())
    }

    #[inline]
    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        each!(self, handle => handle.pop_batch(out, count_max))
    }

    fn looks_filled(&self) -> bool {
        each!(self, handle => handle.looks_filled())
    }

    fn would_wait(&self) -> bool {
        each!(self, handle => handle.would_wait())
    }

    fn give_back(&self) -> usize {
        each!(self, handle => handle.give_back())
    }
}
