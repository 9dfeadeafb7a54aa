//! The receiving side of a channel.
//!
//! What always holds: every value that left the queue is followed by a look who waits for its
//! place. `Closed` is answered only once everything was received.
//! Left to others: how to wait (`wait`), futures (`future`), iterators (`iter`).

use std::{
    fmt,
    marker::PhantomData,
    time::{Duration, Instant},
};

use super::{RecvError, RecvTimeoutError, TryRecvError, sender::BUSY_LOOKS_MAX, shared::Shared};
use crate::{
    queue::{Consume, PopError},
    ring,
    sync::{Arc, spin_loop},
    wait::{Awaited, Look, Rhythm, Single, WaitList, wait_for},
};

/// The receiving side of a channel over any queue. Clones share the values; dropping the last one
/// closes the channel and drops what nobody can receive any more.
///
/// A handle remembers how its calls went, so that a thread should keep its own. It can be cloned
/// and shared (`Sync`) if and only if the queue's handle can.
pub struct Receiver<T, C: Consume<T> = ring::Consumer<T>> {
    queue: C,
    shared: Arc<Shared>,
    rhythm: Rhythm,
    values: PhantomData<fn() -> T>,
}

/// How a receive that waits ended.
pub(crate) enum Received<R> {
    Some(R),
    Closed,
}

impl<R> Received<R> {
    pub(super) fn map<U>(self, f: impl FnOnce(R) -> U) -> Received<U> {
        match self {
            Self::Some(result) => Received::Some(f(result)),
            Self::Closed => Received::Closed,
        }
    }
}

impl<T, C: Consume<T>> Receiver<T, C> {
    pub(super) fn new(queue: C, shared: Arc<Shared>, rhythm: Rhythm) -> Self {
        Self { queue, shared, rhythm, values: PhantomData }
    }

    /// Receives without waiting.
    ///
    /// # Errors
    /// `Empty` (also while a sender that should fill the next slot is stopped halfway), or
    /// `Closed` once closed and drained.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        for _ in 0..BUSY_LOOKS_MAX {
            match self.queue.try_pop() {
                Ok(value) => {
                    self.received(1);
                    return Ok(value);
                }
                Err(PopError::Empty) => return Err(TryRecvError::Empty),
                Err(PopError::Closed) => return Err(TryRecvError::Closed),
                Err(PopError::Busy) => spin_loop(),
            }
        }
        Err(TryRecvError::Empty)
    }

    /// Receives, waiting for a value.
    ///
    /// # Errors
    /// [`RecvError`] once the channel is closed and drained.
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        match self.queue.try_pop() {
            Ok(value) => {
                self.received(1);
                Ok(value)
            }
            Err(_) => self.recv_until(None).map_err(|_| RecvError),
        }
    }

    /// Receives, waiting for a value up to `timeout`; a timeout too long for the clock is none.
    ///
    /// # Errors
    /// When none came in time, or the channel is closed and drained.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        match self.try_recv() {
            Ok(value) => Ok(value),
            Err(TryRecvError::Closed) => Err(RecvTimeoutError::Closed),
            Err(TryRecvError::Empty) => self.recv_until(Instant::now().checked_add(timeout)),
        }
    }

    /// Receives, waiting for a value up to `deadline`.
    ///
    /// # Errors
    /// As [`Receiver::recv_timeout`].
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(Some(deadline))
    }

    #[cold]
    fn recv_until(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let mut place = None;
        Self::waited(wait_for(&mut Single::new(self, &mut place, || self.look_recv()), deadline))
    }

    /// Receives up to `count_max` values that are there, without waiting, and appends them to
    /// `out` in order; returns how many, at least one unless `count_max` is zero.
    ///
    /// # Errors
    /// As [`Receiver::try_recv`].
    pub fn try_recv_batch(
        &self,
        out: &mut Vec<T>,
        count_max: usize,
    ) -> Result<usize, TryRecvError> {
        for _ in 0..BUSY_LOOKS_MAX {
            match self.queue.pop_batch(out, count_max) {
                Ok(count) => {
                    self.received(count);
                    return Ok(count);
                }
                Err(PopError::Empty) => return Err(TryRecvError::Empty),
                Err(PopError::Closed) => return Err(TryRecvError::Closed),
                Err(PopError::Busy) => spin_loop(),
            }
        }
        Err(TryRecvError::Empty)
    }

    /// Waits for at least one value, then receives up to `count_max` of those that are there and
    /// appends them to `out` in order; returns how many.
    ///
    /// # Errors
    /// [`RecvError`] once the channel is closed and drained.
    pub fn recv_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, RecvError> {
        self.recv_batch_deadline(out, count_max, None).map_err(|_| RecvError)
    }

    /// As [`Receiver::recv_batch`], waiting up to `deadline`, for loops that also serve timers.
    ///
    /// # Errors
    /// When nothing came in time, or the channel is closed and drained.
    pub fn recv_batch_deadline(
        &self,
        out: &mut Vec<T>,
        count_max: usize,
        deadline: Option<Instant>,
    ) -> Result<usize, RecvTimeoutError> {
        if let Look::Done(Received::Some(count)) = self.look_recv_batch(out, count_max) {
            return Ok(count);
        }
        let mut place = None;
        let look = || self.look_recv_batch(out, count_max);
        Self::waited(wait_for(&mut Single::new(self, &mut place, look), deadline))
    }

    fn waited<R>(received: Option<Received<R>>) -> Result<R, RecvTimeoutError> {
        match received {
            Some(Received::Some(result)) => Ok(result),
            Some(Received::Closed) => Err(RecvTimeoutError::Closed),
            None => Err(RecvTimeoutError::Timeout),
        }
    }

    /// One look of a receive that waits.
    #[inline]
    pub(super) fn look_recv(&self) -> Look<Received<T>> {
        match self.queue.try_pop() {
            Ok(value) => {
                self.received(1);
                Look::Done(Received::Some(value))
            }
            Err(error) => Self::look_failed(error),
        }
    }

    /// One look of a batch receive that waits.
    #[inline]
    pub(super) fn look_recv_batch(
        &self,
        out: &mut Vec<T>,
        count_max: usize,
    ) -> Look<Received<usize>> {
        match self.queue.pop_batch(out, count_max) {
            Ok(count) => {
                self.received(count);
                Look::Done(Received::Some(count))
            }
            Err(error) => Self::look_failed(error),
        }
    }

    fn look_failed<R>(error: PopError) -> Look<Received<R>> {
        match error {
            PopError::Empty => Look::Nothing,
            PopError::Busy => Look::Busy,
            PopError::Closed => Look::Done(Received::Closed),
        }
    }

    /// Wakes senders for `count` places.
    #[inline]
    fn received(&self, count: usize) {
        self.rhythm.succeeded();
        self.queue.settle();
        self.shared.received(count);
    }

    /// Closes the channel for both sides; returns whether this call did. What was sent before can
    /// still be received.
    pub fn close(&self) -> bool {
        let closed_now = self.queue.close();
        if closed_now {
            self.queue.settle();
            self.shared.closed();
        }
        closed_now
    }

    /// Whether the channel was closed; values may still be inside.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// How many values wait inside: exact while nobody sends or receives.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether [`Receiver::len`] is zero.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many values fit inside; `None` when only memory bounds it.
    pub fn capacity(&self) -> Option<usize> {
        self.queue.capacity()
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// The channel as waiting receivers see it.
impl<T, C: Consume<T>> Awaited for Receiver<T, C> {
    fn list(&self) -> &WaitList {
        &self.shared.values
    }

    fn rhythm(&self) -> &Rhythm {
        &self.rhythm
    }

    fn ready(&self) -> bool {
        self.queue.looks_filled()
    }

    fn nothing_yet(&self) -> bool {
        self.queue.would_wait()
    }
}

impl<T, C: Consume<T> + Clone> Clone for Receiver<T, C> {
    fn clone(&self) -> Self {
        let queue = self.queue.clone();
        self.shared.add_receiver();
        Self::new(queue, self.shared.clone(), self.rhythm.clone())
    }
}

impl<T, C: Consume<T>> Drop for Receiver<T, C> {
    fn drop(&mut self) {
        if self.shared.remove_receiver() {
            self.close();
            // A value inside may hold a handle of this very channel; do not wait for the senders.
            while let Ok(value) = self.queue.try_pop() {
                drop(value);
            }
            return;
        }
        let count = self.queue.give_back();
        if count > 0 {
            self.queue.settle();
            self.shared.sent(count);
        }
    }
}

impl<T, C: Consume<T>> fmt::Debug for Receiver<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish()
    }
}
