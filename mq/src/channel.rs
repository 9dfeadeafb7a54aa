//! Bounded channels over the [`Ring`](crate::Ring): cloneable handles, blocking and timed
//! forms, batches, and a close that loses nothing.
//!
//! What always holds:
//! * Values of one sender are received in the order it sent them; a batch that was sent in one
//!   piece is contiguous.
//! * Each value is received once, or handed back to its sender, or dropped with the channel.
//! * Closing (by [`Sender::close`], [`Receiver::close`], or by dropping the last handle of
//!   either side) is one atomic step in the ring: a send before it counts and will be received, a
//!   send after it gets its value back. Receivers see `Closed` only once all is received.
//! * The data path takes no lock while nobody is parked. A blocked thread polls for at most the
//!   configured time (never on a single core), then sleeps until it is woken: an idle receiver
//!   costs nothing.
//!
//! Left to others: the order between senders, priorities, unbounded buffering.

use std::{
    fmt,
    time::{Duration, Instant},
};

pub use self::error::{
    Closed, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use self::shared::{Received, Sent, Shared};
use crate::{
    Doorbell,
    queue::{CapacityError, FrontDrain},
    sync::{Arc, Ordering},
    wait::{SPIN_DEFAULT, wait_for},
};

mod error;
mod shared;
#[cfg(test)]
mod tests;

/// What a channel does beyond its capacity.
///
/// ```
/// use std::time::Duration;
/// let options = quorate_mq::ChannelOptions::default().spin(Duration::ZERO);
/// let (sender, receiver) = quorate_mq::bounded_with(4, &options)?;
/// sender.send("parks at once when blocked").unwrap();
/// # drop(receiver);
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChannelOptions {
    spin: Duration,
    doorbell: Option<Doorbell>,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self { spin: SPIN_DEFAULT, doorbell: None }
    }
}

impl ChannelOptions {
    /// For how long a blocked call polls before it parks (default: [`SPIN_DEFAULT`]); always
    /// zero on a single core.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// A bell to ring after every send and on close.
    pub fn doorbell(mut self, doorbell: &Doorbell) -> Self {
        self.doorbell = Some(doorbell.clone());
        self
    }
}

/// Opens a channel for `capacity` values.
///
/// # Errors
/// [`CapacityError`] when the capacity is zero, too large, or not to be had.
pub fn bounded<T>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), CapacityError> {
    bounded_with(capacity, &ChannelOptions::default())
}

/// Opens a channel whose sends and close ring `doorbell`, so that one thread can wait for many.
///
/// # Errors
/// As [`bounded`].
pub fn bounded_with_doorbell<T>(
    capacity: usize,
    doorbell: &Doorbell,
) -> Result<(Sender<T>, Receiver<T>), CapacityError> {
    bounded_with(capacity, &ChannelOptions::default().doorbell(doorbell))
}

/// Opens a channel with options.
///
/// # Errors
/// As [`bounded`].
pub fn bounded_with<T>(
    capacity: usize,
    options: &ChannelOptions,
) -> Result<(Sender<T>, Receiver<T>), CapacityError> {
    let shared = Arc::new(Shared::new(capacity, options.spin, options.doorbell.clone())?);
    Ok((Sender { shared: shared.clone() }, Receiver { shared }))
}

/// The sending side. Clones send into the same channel; dropping the last one closes it.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The receiving side. Clones share the values; dropping the last one closes the channel and
/// drops what nobody can receive any more.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends without waiting.
    ///
    /// # Errors
    /// `Full` (also while a receiver that should free the next slot is stopped halfway) or
    /// `Closed`, with the value.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.try_send(value)
    }

    /// Sends, waiting for room.
    ///
    /// # Errors
    /// The value, when the channel is closed before there was room.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_until(value, None).map_err(|error| SendError(error.into_inner()))
    }

    /// Sends, waiting for room up to `timeout`.
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

    fn send_until(&self, value: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        let shared = &*self.shared;
        let mut unsent = Some(value);
        let sent = wait_for(&shared.space, shared.spin, deadline, &shared.as_space(), || {
            shared.look_send(&mut unsent)
        });
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
        self.shared.try_send_front(&mut FrontDrain::new(values))
    }

    /// Sends all of `values` in order, waiting for room as often as it takes.
    ///
    /// # Errors
    /// [`Closed`]; what was not sent is left in `values`.
    pub fn send_batch(&self, values: &mut Vec<T>) -> Result<(), Closed> {
        let shared = &*self.shared;
        let mut unsent = FrontDrain::new(values);
        let sent = wait_for(&shared.space, shared.spin, None, &shared.as_space(), || {
            shared.look_send_front(&mut unsent)
        });
        match sent {
            Some(Sent::All) => Ok(()),
            Some(Sent::Closed) => Err(Closed),
            None => unreachable!("there is no deadline"),
        }
    }
}

impl<T> Receiver<T> {
    /// Receives without waiting.
    ///
    /// # Errors
    /// `Empty` (also while a sender that should fill the next slot is stopped halfway), or
    /// `Closed` once closed and drained.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.try_recv()
    }

    /// Receives, waiting for a value.
    ///
    /// # Errors
    /// [`RecvError`] once the channel is closed and drained.
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(None).map_err(|_| RecvError)
    }

    /// Receives, waiting for a value up to `timeout`.
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

    fn recv_until(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let shared = &*self.shared;
        wait_for(&shared.values, shared.spin, deadline, &shared.as_values(), || shared.look_recv())
            .map_or(Err(RecvTimeoutError::Timeout), |received| match received {
                Received::Some(value) => Ok(value),
                Received::Closed => Err(RecvTimeoutError::Closed),
            })
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
        self.shared.try_recv_batch(out, count_max)
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
        let shared = &*self.shared;
        wait_for(&shared.values, shared.spin, deadline, &shared.as_values(), || {
            shared.look_recv_batch(out, count_max)
        })
        .map_or(Err(RecvTimeoutError::Timeout), |received| match received {
            Received::Some(count) => Ok(count),
            Received::Closed => Err(RecvTimeoutError::Closed),
        })
    }

    /// Receives until the channel is closed and drained, waiting for each value.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }
}

/// What both sides can do.
macro_rules! both_sides {
    ($($handle:ident)+) => {$(
        impl<T> $handle<T> {
            /// Closes the channel for both sides; returns whether this call did. What was sent
            /// before can still be received.
            pub fn close(&self) -> bool {
                self.shared.close()
            }

            /// Whether the channel was closed; values may still be inside.
            pub fn is_closed(&self) -> bool {
                self.shared.ring.is_closed()
            }

            /// How many values wait inside: exact while nobody sends or receives.
            pub fn len(&self) -> usize {
                self.shared.ring.len()
            }

            /// Whether [`Self::len`] is zero.
            pub fn is_empty(&self) -> bool {
                self.shared.ring.is_empty()
            }

            /// How many values fit inside.
            pub fn capacity(&self) -> usize {
                self.shared.ring.capacity()
            }
        }

        impl<T> fmt::Debug for $handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($handle)).field(&self.shared.ring).finish()
            }
        }
    )+};
}

both_sides! { Sender Receiver }

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.sender_count.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receiver_count.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.sender_count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.close();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.shared.receiver_count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.close();
            // A value inside may hold a handle of this very channel; do not wait for the senders.
            while let Ok(value) = self.shared.ring.try_pop() {
                drop(value);
            }
        }
    }
}
