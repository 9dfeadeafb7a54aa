//! Channels over every queue of this crate: cloneable handles, blocking, timed and asynchronous
//! forms, batches, and a close that loses nothing.
//!
//! What always holds:
//! * Values of one sender are received in the order it sent them; a batch that was sent in one
//!   piece is contiguous (as far as the queue keeps that order, see its module).
//! * Each value is received once, or handed back to its sender, or dropped with the channel.
//! * Closing (by [`Sender::close`], [`Receiver::close`], or by dropping the last handle of
//!   either side) is one atomic step in the queue: a send before it counts and will be received,
//!   a send after it gets its value back. Receivers see `Closed` only once all is received.
//! * The data path takes no lock while nobody waits. A blocked thread polls for at most the
//!   configured time (never on a single core), then sleeps until it is woken: an idle receiver
//!   costs nothing.
//!
//! A receive that frees a place signals a parked sender at once, though waking costs the receiver
//! microseconds and it may have more places to free. To wait for a share of free places would save
//! wake-ups and be wrong: a receiver that takes one value and then waits for what the sender does
//! next would sleep for ever, and so would the sender, with room in the queue. What keeps the
//! price low is that a signalled sender is not signalled again, that one that runs polls before it
//! parks, and that batches free many places at once.
//!
//! Left to others: the order between senders, priorities.

use std::time::Duration;

use self::shared::Shared;
#[cfg(feature = "async")]
pub use self::stream::{IntoStream, RecvStream, SendSink};
pub use self::{
    error::{
        Closed, RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError,
        TrySendError,
    },
    future::{RecvBatchFuture, RecvFuture, SendBatchFuture, SendFuture},
    inboxes::{Inbox, Inboxes, InboxesFuture},
    iter::{IntoIter, Iter, TryIter},
    kinds::{Ends, sharded, spsc, strict, unbounded},
    receiver::Receiver,
    sender::Sender,
};
use crate::{
    Doorbell,
    queue::{CapacityError, Consume, Produce},
    ring,
    wait::{Rhythm, SPIN_DEFAULT, spin_limit},
};

mod error;
mod future;
mod inboxes;
mod iter;
mod kinds;
mod receiver;
mod sender;
mod shared;
#[cfg(feature = "async")]
mod stream;
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
    Ok(over(ring::queue(capacity)?, options))
}

/// Opens a channel over a queue of any kind, given its two handles.
///
/// Each handle of the channel holds one of the queue. Other handles of the queue must not be used
/// beside the channel: what they do wakes nobody.
///
/// ```
/// use quorate_mq::{ChannelOptions, over, ring};
///
/// let (sender, receiver) = over(ring::queue(4)?, &ChannelOptions::default());
/// sender.send(1).unwrap();
/// drop(sender);
/// assert_eq!(receiver.into_iter().collect::<Vec<_>>(), [1]);
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
pub fn over<T, P: Produce<T>, C: Consume<T>>(
    (producer, consumer): (P, C),
    options: &ChannelOptions,
) -> (Sender<T, P>, Receiver<T, C>) {
    let shared = Shared::new(options);
    let rhythm = Rhythm::new(spin_limit(options.spin));
    let sender = Sender::new(producer, shared.clone(), rhythm.clone());
    (sender, Receiver::new(consumer, shared, rhythm))
}
