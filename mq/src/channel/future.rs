//! Futures that send and receive, bound to no runtime.
//!
//! What always holds:
//! * **Cancel-safe.** A future does its work in the poll that answers `Ready`. Dropped before that
//!   it has received nothing; a value that was not sent is dropped with it or taken back with
//!   `into_inner`. If it was just signalled it passes the signal on to the next who waits.
//! * The last polled task is woken, however often the future moved between tasks.
//! * A future waits in the same list as blocked threads; waiting allocates nothing beyond what
//!   the executor's waker does. It does not poll: what is not there at once is waited for.
//!
//! Left to others: running them. Dropping a future by `mem::forget` leaks its place in the list,
//! which may swallow one signal.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{Closed, Receiver, RecvError, SendError, Sender, receiver::Received, sender::Sent};
use crate::{
    queue::{Consume, FrontDrain, Produce},
    ring,
    wait::{Place, Single, abandon, poll_for},
};

/// Sends one value; made by [`Sender::send_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct SendFuture<'a, T, P: Produce<T> = ring::Producer<T>> {
    sender: &'a Sender<T, P>,
    unsent: Unsent<T>,
    place: Option<Place>,
}

/// Sends all values of a vector; made by [`Sender::send_batch_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct SendBatchFuture<'a, T, P: Produce<T> = ring::Producer<T>> {
    sender: &'a Sender<T, P>,
    unsent: &'a mut Vec<T>,
    place: Option<Place>,
}

/// Receives one value; made by [`Receiver::recv_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct RecvFuture<'a, T, C: Consume<T> = ring::Consumer<T>> {
    receiver: &'a Receiver<T, C>,
    place: Option<Place>,
}

/// Receives a batch; made by [`Receiver::recv_batch_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct RecvBatchFuture<'a, T, C: Consume<T> = ring::Consumer<T>> {
    receiver: &'a Receiver<T, C>,
    out: &'a mut Vec<T>,
    count_max: usize,
    place: Option<Place>,
}

impl<T, P: Produce<T>> Sender<T, P> {
    /// Sends, waiting for room.
    ///
    /// The future answers [`SendError`] with the value when the channel is closed before there
    /// was room.
    ///
    /// # Panics
    /// When the future is polled after it was ready.
    pub fn send_async(&self, value: T) -> SendFuture<'_, T, P> {
        SendFuture { sender: self, unsent: Unsent(Some(value)), place: None }
    }

    /// Sends all of `values` in order, waiting for room as often as it takes.
    ///
    /// The future answers [`Closed`] when the channel is closed before. What was not sent, then
    /// or when the future is dropped, is left in `values`.
    pub fn send_batch_async<'a>(&'a self, values: &'a mut Vec<T>) -> SendBatchFuture<'a, T, P> {
        SendBatchFuture { sender: self, unsent: values, place: None }
    }
}

impl<T, C: Consume<T>> Receiver<T, C> {
    /// Receives, waiting for a value.
    ///
    /// The future answers [`RecvError`] once the channel is closed and drained.
    pub fn recv_async(&self) -> RecvFuture<'_, T, C> {
        RecvFuture { receiver: self, place: None }
    }

    /// Waits for at least one value, then receives up to `count_max` of those that are there and
    /// appends them to `out` in order; the future answers how many.
    ///
    /// The future answers [`RecvError`] once the channel is closed and drained.
    pub fn recv_batch_async<'a>(
        &'a self,
        out: &'a mut Vec<T>,
        count_max: usize,
    ) -> RecvBatchFuture<'a, T, C> {
        RecvBatchFuture { receiver: self, out, count_max, place: None }
    }

    /// One poll of whatever receives one value and stands at `place`.
    pub(super) fn poll_recv(
        &self,
        place: &mut Option<Place>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        poll_for(&mut Single::new(self, place, || self.look_recv()), context).map(|received| {
            match received {
                Received::Some(value) => Ok(value),
                Received::Closed => Err(RecvError),
            }
        })
    }
}

/// A value on its way, which need not be `Debug`.
struct Unsent<T>(Option<T>);

impl<T> std::fmt::Debug for Unsent<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Unsent(..)" } else { "Sent" })
    }
}

impl<T, P: Produce<T>> SendFuture<'_, T, P> {
    /// Gives up; the value that was not sent, if it was not.
    pub fn into_inner(mut self) -> Option<T> {
        self.unsent.0.take()
    }
}

// No future here points into itself, and values are moved, not pinned.
impl<T, P: Produce<T>> Unpin for SendFuture<'_, T, P> {}
impl<T, P: Produce<T>> Unpin for SendBatchFuture<'_, T, P> {}
impl<T, C: Consume<T>> Unpin for RecvFuture<'_, T, C> {}
impl<T, C: Consume<T>> Unpin for RecvBatchFuture<'_, T, C> {}

impl<T, P: Produce<T>> Future for SendFuture<'_, T, P> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { sender, unsent: Unsent(unsent), place } = &mut *self;
        assert!(unsent.is_some(), "a send future must not be polled after it was ready");
        let polled =
            poll_for(&mut Single::new(*sender, place, || sender.look_send(unsent)), context);
        polled.map(|sent| match (sent, unsent.take()) {
            (Sent::Closed, Some(value)) => Err(SendError(value)),
            (Sent::All, _) | (Sent::Closed, None) => Ok(()),
        })
    }
}

impl<T, P: Produce<T>> Future for SendBatchFuture<'_, T, P> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { sender, unsent, place } = &mut *self;
        let mut unsent = FrontDrain::new(unsent);
        poll_for(&mut Single::new(*sender, place, || sender.look_send_front(&mut unsent)), context)
            .map(|sent| match sent {
                Sent::All => Ok(()),
                Sent::Closed => Err(Closed),
            })
    }
}

impl<T, C: Consume<T>> Future for RecvFuture<'_, T, C> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiver, place } = &mut *self;
        receiver.poll_recv(place, context)
    }
}

impl<T, C: Consume<T>> Future for RecvBatchFuture<'_, T, C> {
    type Output = Result<usize, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiver, out, count_max, place } = &mut *self;
        poll_for(
            &mut Single::new(*receiver, place, || receiver.look_recv_batch(out, *count_max)),
            context,
        )
        .map(|received| match received {
            Received::Some(count) => Ok(count),
            Received::Closed => Err(RecvError),
        })
    }
}

impl<T, P: Produce<T>> Drop for SendFuture<'_, T, P> {
    fn drop(&mut self) {
        abandon(self.sender, &mut self.place);
    }
}

impl<T, P: Produce<T>> Drop for SendBatchFuture<'_, T, P> {
    fn drop(&mut self) {
        abandon(self.sender, &mut self.place);
    }
}

impl<T, C: Consume<T>> Drop for RecvFuture<'_, T, C> {
    fn drop(&mut self) {
        abandon(self.receiver, &mut self.place);
    }
}

impl<T, C: Consume<T>> Drop for RecvBatchFuture<'_, T, C> {
    fn drop(&mut self) {
        abandon(self.receiver, &mut self.place);
    }
}
