//! The sending side of a channel.
//!
//! What always holds: every value that entered the queue is followed by a look who waits for it;
//! every value that did not is handed back.
//! Left to others: how to wait (`wait`), futures (`future`).

use std::{
    fmt,
    marker::PhantomData,
    time::{Duration, Instant},
};

use super::{Closed, SendError, SendTimeoutError, TrySendError, shared::Shared};
use crate::{
    queue::{FrontDrain, Produce, PushError},
    ring,
    sync::{Arc, spin_loop},
    wait::{Awaited, Look, Rhythm, Single, WaitList, wait_for},
};

/// How often a `try_` form looks again when a peer stands between claim and publication: enough
/// for one that runs, nothing for one that was stopped.
pub(super) const BUSY_LOOKS_MAX: u32 = 32;

/// The sending side of a channel over any queue. Clones send into the same channel; dropping the
/// last one closes it.
///
/// A handle remembers how its calls went, so that a thread should keep its own. It can be cloned
/// and shared (`Sync`) if and only if the queue's handle can.
pub struct Sender<T, P: Produce<T> = ring::Producer<T>> {
    queue: P,
    shared: Arc<Shared>,
    rhythm: Rhythm,
    values: PhantomData<fn(T)>,
}

/// How a send that waits ended.
pub(super) enum Sent {
    All,
    Closed,
}

impl<T, P: Produce<T>> Sender<T, P> {
    pub(super) fn new(queue: P, shared: Arc<Shared>, rhythm: Rhythm) -> Self {
        Self { queue, shared, rhythm, values: PhantomData }
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// `Full` (also while a receiver that should free the next slot is stopped halfway) or
    /// `Closed`, with the value.
    #[inline]
    pub fn try_send(&self, mut value: T) -> Result<(), TrySendError<T>> {
        for _ in 0..BUSY_LOOKS_MAX {
            match self.queue.try_push(value) {
                Ok(()) => {
                    self.sent(1);
                    return Ok(());
                }
                Err(PushError::Full(unsent)) => return Err(TrySendError::Full(unsent)),
                Err(PushError::Closed(unsent)) => return Err(TrySendError::Closed(unsent)),
                Err(PushError::Busy(unsent)) => value = unsent,
            }
            spin_loop();
        }
        Err(TrySendError::Full(value))
    }

    /// Sends, waiting for room.
    ///
    /// # Errors
    /// The value, when the channel is closed before there was room.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.queue.try_push(value) {
            Ok(()) => {
                self.sent(1);
                Ok(())
            }
            Err(refused) => self
                .send_until(refused.into_inner(), None)
                .map_err(|error| SendError(error.into_inner())),
        }
    }

    /// Sends, waiting for room up to `timeout`; a timeout too long for the clock is none.
    ///
    /// # Errors
    /// The value, when there was no room in time or the channel is closed.
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        match self.try_send(value) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(value)) => Err(SendTimeoutError::Closed(value)),
            Err(TrySendError::Full(value)) => {
                self.send_until(value, Instant::now().checked_add(timeout))
            }
        }
    }

    /// Sends, waiting for room up to `deadline`.
    ///
    /// # Errors
    /// As [`Sender::send_timeout`].
    pub fn send_deadline(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, Some(deadline))
    }

    #[cold]
    fn send_until(&self, value: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        let mut unsent = Some(value);
        let sent = {
            let mut place = None;
            wait_for(&mut Single::new(self, &mut place, || self.look_send(&mut unsent)), deadline)
        };
        match (sent, unsent) {
            (Some(Sent::All), _) => Ok(()),
            (Some(Sent::Closed), Some(value)) => Err(SendTimeoutError::Closed(value)),
            (None, Some(value)) => Err(SendTimeoutError::Timeout(value)),
            (_, None) => unreachable!("an unsent value is put back"),
        }
    }

    /// Sends what there is room for from the front of `values`, in order and without waiting;
    /// returns how many and leaves the others in `values`. With no room (or an empty `values`)
    /// that is `Ok(0)`.
    ///
    /// # Errors
    /// [`Closed`]; `values` is then unchanged.
    pub fn try_send_batch(&self, values: &mut Vec<T>) -> Result<usize, Closed> {
        let mut unsent = FrontDrain::new(values);
        for _ in 0..BUSY_LOOKS_MAX {
            match self.queue.push_front(&mut unsent) {
                Ok(count) => {
                    if count > 0 {
                        self.sent(count);
                    }
                    return Ok(count);
                }
                Err(PushError::Full(())) => return Ok(0),
                Err(PushError::Closed(())) => return Err(Closed),
                Err(PushError::Busy(())) => spin_loop(),
            }
        }
        Ok(0)
    }

    /// Sends all of `values` in order, waiting for room as often as it takes.
    ///
    /// # Errors
    /// [`Closed`]; what was not sent is left in `values`.
    pub fn send_batch(&self, values: &mut Vec<T>) -> Result<(), Closed> {
        self.send_batch_deadline(values, None).map_err(|_| Closed)
    }

    /// As [`Sender::send_batch`], waiting up to `deadline`.
    ///
    /// # Errors
    /// When there was not room for all in time, or the channel is closed; what was not sent is
    /// left in `values`, and the error's value is how many were.
    pub fn send_batch_deadline(
        &self,
        values: &mut Vec<T>,
        deadline: Option<Instant>,
    ) -> Result<(), SendTimeoutError<usize>> {
        let count = values.len();
        let mut unsent = FrontDrain::new(values);
        let mut sent = self.look_send_front(&mut unsent);
        if !matches!(sent, Look::Done(_)) {
            let mut place = None;
            let look = || self.look_send_front(&mut unsent);
            sent = wait_for(&mut Single::new(self, &mut place, look), deadline)
                .map_or(Look::Nothing, Look::Done);
        }
        let count = count - unsent.remaining();
        match sent {
            Look::Done(Sent::All) => Ok(()),
            Look::Done(Sent::Closed) => Err(SendTimeoutError::Closed(count)),
            Look::Nothing | Look::Busy | Look::Progress => Err(SendTimeoutError::Timeout(count)),
        }
    }

    /// One look of a send that waits; leaves in `unsent` what was not sent.
    #[inline]
    pub(super) fn look_send(&self, unsent: &mut Option<T>) -> Look<Sent> {
        let Some(value) = unsent.take() else {
            return Look::Done(Sent::All);
        };
        let (value, look) = match self.queue.try_push(value) {
            Ok(()) => {
                self.sent(1);
                return Look::Done(Sent::All);
            }
            Err(PushError::Full(value)) => (value, Look::Nothing),
            Err(PushError::Busy(value)) => (value, Look::Busy),
            Err(PushError::Closed(value)) => (value, Look::Done(Sent::Closed)),
        };
        *unsent = Some(value);
        look
    }

    /// One look of a batch send that waits: sends as long as there is room.
    pub(super) fn look_send_front(&self, unsent: &mut FrontDrain<'_, T>) -> Look<Sent> {
        let before = unsent.remaining();
        while unsent.remaining() > 0 {
            match self.queue.push_front(unsent) {
                Ok(count) => self.sent(count),
                Err(PushError::Full(())) => return Look::Nothing,
                Err(PushError::Busy(())) if unsent.remaining() < before => return Look::Progress,
                Err(PushError::Busy(())) => return Look::Busy,
                Err(PushError::Closed(())) => return Look::Done(Sent::Closed),
            }
        }
        Look::Done(Sent::All)
    }

    /// Wakes receivers for `count` values.
    #[inline]
    fn sent(&self, count: usize) {
        self.rhythm.succeeded();
        self.queue.settle();
        self.shared.sent(count);
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

    /// Whether [`Sender::len`] is zero.
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

/// The channel as waiting senders see it.
impl<T, P: Produce<T>> Awaited for Sender<T, P> {
    fn list(&self) -> &WaitList {
        &self.shared.space
    }

    fn rhythm(&self) -> &Rhythm {
        &self.rhythm
    }

    fn ready(&self) -> bool {
        self.queue.looks_free()
    }

    fn nothing_yet(&self) -> bool {
        self.queue.is_full()
    }
}

impl<T, P: Produce<T> + Clone> Clone for Sender<T, P> {
    fn clone(&self) -> Self {
        let queue = self.queue.clone();
        self.shared.add_sender();
        Self::new(queue, self.shared.clone(), self.rhythm.clone())
    }
}

impl<T, P: Produce<T>> Drop for Sender<T, P> {
    fn drop(&mut self) {
        if self.shared.remove_sender() {
            self.close();
        }
    }
}

impl<T, P: Produce<T>> fmt::Debug for Sender<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish()
    }
}
