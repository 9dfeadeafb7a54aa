//! Channels over the queues other than the ring, each opened in one call.
//!
//! What always holds: a channel differs from another in its queue alone; the guide of the crate
//! says what each queue guarantees. [`over`] takes options, and queues that were made elsewhere.

use super::{CapacityError, ChannelOptions, Receiver, Sender, over};
use crate::{sharded, spsc, strict, unbounded};

/// Both ends of a channel.
pub type Ends<T, P, C> = (Sender<T, P>, Receiver<T, C>);

/// Opens a channel for `capacity` values over a queue that is lock-free in the strict sense.
///
/// ```
/// let (sender, receiver) = quorate_mq::channel::strict(2)?;
/// sender.send("no stopped thread delays another").unwrap();
/// assert!(receiver.recv().is_ok());
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
///
/// # Errors
/// [`CapacityError`] when the capacity is zero, too large, or not to be had.
pub fn strict<T>(
    capacity: usize,
) -> Result<Ends<T, strict::Producer<T>, strict::Consumer<T>>, CapacityError> {
    Ok(over(strict::queue(capacity)?, &ChannelOptions::default()))
}

/// Opens a channel that only memory bounds: a send never waits.
///
/// ```
/// let (sender, receiver) = quorate_mq::channel::unbounded()?;
/// assert_eq!(sender.send_batch(&mut (0..100_000).collect()), Ok(()));
/// assert_eq!(receiver.try_iter().count(), 100_000);
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
///
/// # Errors
/// [`CapacityError::Memory`] when there is no memory for the first segment.
pub fn unbounded<T>()
-> Result<Ends<T, unbounded::Producer<T>, unbounded::Consumer<T>>, CapacityError> {
    Ok(over(unbounded::queue()?, &ChannelOptions::default()))
}

/// Opens a channel for `capacity` values between one sender and one receiver, which cannot be
/// cloned.
///
/// ```
/// let (sender, receiver) = quorate_mq::channel::spsc(2)?;
/// sender.send("from one").unwrap();
/// assert_eq!(receiver.recv(), Ok("from one"));
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
///
/// # Errors
/// [`CapacityError`] when the capacity is zero, too large, or not to be had.
pub fn spsc<T>(
    capacity: usize,
) -> Result<Ends<T, spsc::Producer<T>, spsc::Consumer<T>>, CapacityError> {
    Ok(over(spsc::queue(capacity)?, &ChannelOptions::default()))
}

/// Opens a channel in which each sender has a lane of its own for `capacity` values: values of
/// one sender keep their order, those of several have none.
///
/// ```
/// let (sender, receiver) = quorate_mq::channel::sharded(2)?;
/// let other = sender.clone();
/// (sender.send(1).unwrap(), other.send(2).unwrap());
/// assert_eq!(receiver.try_iter().sum::<u64>(), 3);
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
///
/// # Errors
/// [`CapacityError`] when the capacity is zero, too large, or not to be had.
pub fn sharded<T>(
    capacity: usize,
) -> Result<Ends<T, sharded::Producer<T>, sharded::Consumer<T>>, CapacityError> {
    Ok(over(sharded::queue(capacity)?, &ChannelOptions::default()))
}
