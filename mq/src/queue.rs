//! What every queue of this crate offers to its handles: [`Produce`] and [`Consume`].
//!
//! What always holds: these operations never wait for another thread. Waiting, waking and
//! counting handles are built above them, once, by the channels; so a stage can change its queue
//! without changing its code.
//! Left to others: the algorithms (`ring`, `strict`, `unbounded`, `spsc`, `sharded`).

use std::fmt;

use thiserror::Error;

pub use self::{either::Either, front::FrontDrain};

mod either;
#[allow(unsafe_code, reason = "moves values out of a vector; invariant in the module")]
mod front;

/// The largest capacity of a bounded queue, in values.
pub const CAPACITY_MAX: usize = 1 << 28;

/// Why no queue or channel was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CapacityError {
    /// A queue needs room for at least one value.
    #[error("a queue of capacity 0 can never hold a value; ask for at least 1")]
    Zero,
    /// More than [`CAPACITY_MAX`].
    #[error("a capacity of {capacity} values exceeds the limit of {CAPACITY_MAX}; ask for fewer")]
    TooLarge {
        /// The capacity asked for.
        capacity: usize,
    },
    /// The allocator refused.
    #[error("no memory for a queue of {capacity} values; ask for fewer")]
    Memory {
        /// The capacity asked for.
        capacity: usize,
    },
}

impl CapacityError {
    /// Checks a capacity before memory is asked for.
    pub(crate) fn check(capacity: usize) -> Result<(), Self> {
        match capacity {
            0 => Err(Self::Zero),
            1..=CAPACITY_MAX => Ok(()),
            _ => Err(Self::TooLarge { capacity }),
        }
    }
}

/// Why a value was not pushed; it is handed back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError<T> {
    /// Every place holds a value.
    #[error("the queue is full; pop first or try again later")]
    Full(T),
    /// A consumer has claimed the next place and not yet emptied it; try again soon. Never
    /// answered by a queue that is lock-free in the strict sense.
    #[error("a consumer is about to free the next place; try again")]
    Busy(T),
    /// The queue was closed.
    #[error("the queue is closed; nothing can be pushed any more")]
    Closed(T),
}

impl<T> PushError<T> {
    /// The value that was not pushed.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Busy(value) | Self::Closed(value) => value,
        }
    }

    /// The same reason with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> PushError<U> {
        match self {
            Self::Full(value) => PushError::Full(f(value)),
            Self::Busy(value) => PushError::Busy(f(value)),
            Self::Closed(value) => PushError::Closed(f(value)),
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Busy(_) => "Busy(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

/// Why nothing was popped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PopError {
    /// No place holds a value or is about to.
    #[error("the queue is empty; push first or try again later")]
    Empty,
    /// A producer has claimed the next place and not yet filled it; try again soon. Never
    /// answered by a queue that is lock-free in the strict sense.
    #[error("a producer is about to fill the next place; try again")]
    Busy,
    /// The queue is closed and every value was popped.
    #[error("the queue is closed and drained; nothing will come any more")]
    Closed,
}

/// What both handles of a queue can say and do.
pub trait Handle {
    /// Closes the queue in one atomic step: no push succeeds from now on, what is inside can be
    /// popped. Returns whether this call closed it.
    fn close(&self) -> bool;

    /// Whether the queue was closed; values may still be inside.
    fn is_closed(&self) -> bool;

    /// How many values are inside: exact while no other thread works, otherwise a recent figure.
    fn len(&self) -> usize;

    /// Whether [`Handle::len`] is zero.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values fit inside; `None` when only memory bounds it.
    fn capacity(&self) -> Option<usize>;

    /// Makes the handle's last change visible before a following look at who waits: to be called
    /// between a push or pop and that look. Nothing for queues whose operations are SeqCst
    /// read-modify-writes; a fence, or what makes one needless, for queues of plain stores.
    #[inline]
    fn settle(&self) {}
}

/// The pushing handle of a queue.
///
/// A handle may remember where it last worked, so that a thread should keep its own (clone it);
/// whether several threads may share one is said by `Sync`.
pub trait Produce<T>: Handle {
    /// Pushes a value behind all others.
    ///
    /// # Errors
    /// The value comes back. `Full` and `Closed` were true at one moment during the call.
    fn try_push(&self, value: T) -> Result<(), PushError<T>>;

    /// Pushes as many values from the front of `source` as there is room for, in order, as one
    /// run as far as the queue can; returns how many. An empty source is `Ok(0)`.
    ///
    /// # Errors
    /// As [`Produce::try_push`], when not even one fits; `source` is then unchanged.
    fn push_front(&self, source: &mut FrontDrain<'_, T>) -> Result<usize, PushError<()>>;

    /// As [`Produce::push_front`] for a vector: what is left moves to its front, which costs time
    /// in its length.
    ///
    /// # Errors
    /// As [`Produce::push_front`].
    fn push_batch(&self, source: &mut Vec<T>) -> Result<usize, PushError<()>> {
        self.push_front(&mut FrontDrain::new(source))
    }

    /// A cheap hint that a push may succeed, for polling; touches as few shared lines as it can.
    fn looks_free(&self) -> bool;

    /// Whether a push would answer `Full` just now. Reads with SeqCst what consumers change with
    /// SeqCst before they wake anybody, so that a waiter that registered before (SeqCst) misses
    /// no change.
    fn is_full(&self) -> bool;
}

/// The popping handle of a queue; as [`Produce`] otherwise.
pub trait Consume<T>: Handle {
    /// Pops the oldest value.
    ///
    /// # Errors
    /// `Empty` and `Closed` were true at one moment during the call. `Closed` comes only after
    /// every value was popped.
    fn try_pop(&self) -> Result<T, PopError>;

    /// Pops up to `count_max` of the oldest values, appends them to `out` in order and returns
    /// how many: what is there, without waiting for more. `Ok(0)` if and only if `count_max` is
    /// zero.
    ///
    /// # Panics
    /// When `out` cannot grow; nothing was popped then.
    ///
    /// # Errors
    /// As [`Consume::try_pop`], when not even one value is there.
    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError>;

    /// A cheap hint that a pop may succeed, for polling; touches as few shared lines as it can.
    /// Also true once the queue is closed, as far as the hint can tell.
    fn looks_filled(&self) -> bool;

    /// Whether a pop would answer `Empty` just now (not `Closed`); as [`Produce::is_full`].
    fn would_wait(&self) -> bool;

    /// Hands values that this handle holds for itself (read ahead) to the other consumers; returns
    /// how many. Dropping the handle does the same, but tells nobody who would have to be woken.
    fn give_back(&self) -> usize {
        0
    }
}
