//! A receiver as a [`Stream`], a sender as a [`Sink`].
//!
//! What always holds: as for the futures; a stream that is dropped has received what it yielded
//! and nothing more. A sink keeps at most one value, until there is room for it.
//! Left to others: combinators and executors.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;

use super::{Closed, Receiver, Sender, sender::Sent};
use crate::{
    queue::{Consume, Produce},
    ring,
    wait::{Place, Single, abandon, poll_for},
};

/// The values of a channel until it is closed and drained; see [`Receiver::stream`].
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct RecvStream<'a, T, C: Consume<T> = ring::Consumer<T>> {
    receiver: &'a Receiver<T, C>,
    place: Option<Place>,
    ended: bool,
}

/// As [`RecvStream`], with the handle inside; see [`Receiver::into_stream`].
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct IntoStream<T, C: Consume<T> = ring::Consumer<T>> {
    receiver: Receiver<T, C>,
    place: Option<Place>,
    ended: bool,
}

/// A sender with room for one value on its way; see [`Sender::into_sink`].
#[must_use = "a sink does nothing until it is polled"]
pub struct SendSink<T, P: Produce<T> = ring::Producer<T>> {
    /// `None` once closed as a sink.
    sender: Option<Sender<T, P>>,
    unsent: Option<T>,
    place: Option<Place>,
}

impl<T, C: Consume<T>> Receiver<T, C> {
    /// The values as a stream that borrows this handle.
    pub fn stream(&self) -> RecvStream<'_, T, C> {
        RecvStream { receiver: self, place: None, ended: false }
    }

    /// The values as a stream that owns this handle.
    pub fn into_stream(self) -> IntoStream<T, C> {
        IntoStream { receiver: self, place: None, ended: false }
    }
}

impl<T, P: Produce<T>> Sender<T, P> {
    /// This handle as a sink. Closing the sink sends what it keeps and drops the handle; the
    /// channel is closed by that only if it was the last.
    pub fn into_sink(self) -> SendSink<T, P> {
        SendSink { sender: Some(self), unsent: None, place: None }
    }
}

impl<T, P: Produce<T>> SendSink<T, P> {
    /// Takes back the value that the sink keeps, if any: after [`Closed`], or to give up.
    pub fn take_unsent(&mut self) -> Option<T> {
        self.leave();
        self.unsent.take()
    }

    fn leave(&mut self) {
        if let Some(sender) = &self.sender {
            abandon(sender, &mut self.place);
        }
    }

    fn poll_unsent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let Self { sender, unsent, place } = self;
        let Some(sender) = sender else { return Poll::Ready(Err(Closed)) };
        if unsent.is_none() {
            return Poll::Ready(Ok(()));
        }
        poll_for(&mut Single::new(sender, place, || sender.look_send(unsent)), context).map(
            |sent| match sent {
                Sent::All => Ok(()),
                Sent::Closed => Err(Closed),
            },
        )
    }
}

// Nothing here points into itself, and values are moved, not pinned.
impl<T, C: Consume<T>> Unpin for RecvStream<'_, T, C> {}
impl<T, C: Consume<T>> Unpin for IntoStream<T, C> {}
impl<T, P: Produce<T>> Unpin for SendSink<T, P> {}

impl<T, P: Produce<T>> Sink<T> for SendSink<T, P> {
    type Error = Closed;

    /// Ready once the value before was sent.
    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let ready = self.poll_unsent(context);
        match (&ready, &self.sender) {
            (Poll::Ready(Ok(())), Some(sender)) if sender.is_closed() => Poll::Ready(Err(Closed)),
            _ => ready,
        }
    }

    /// # Panics
    /// When [`Sink::poll_ready`] was not ready before.
    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Closed> {
        assert!(self.unsent.is_none(), "a sink must be ready before the next value is sent");
        let Some(sender) = &self.sender else { return Err(Closed) };
        match sender.try_send(value) {
            Ok(()) => Ok(()),
            Err(error) => {
                let closed = error.is_closed();
                self.unsent = Some(error.into_inner());
                if closed { Err(Closed) } else { Ok(()) }
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.poll_unsent(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if self.sender.is_none() {
            return Poll::Ready(Ok(()));
        }
        let flushed = self.poll_unsent(context);
        if flushed.is_ready() {
            self.sender = None;
        }
        flushed
    }
}

impl<T, P: Produce<T>> Drop for SendSink<T, P> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T, P: Produce<T>> std::fmt::Debug for SendSink<T, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendSink")
            .field("sender", &self.sender)
            .field("keeps_value", &self.unsent.is_some())
            .finish()
    }
}

macro_rules! streams {
    ($($name:ty),+) => {$(
        impl<T, C: Consume<T>> Stream for $name {
            type Item = T;

            fn poll_next(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<T>> {
                let Self { receiver, place, ended } = &mut *self;
                receiver.poll_recv(place, context).map(|received| {
                    *ended = received.is_err();
                    received.ok()
                })
            }
        }

        impl<T, C: Consume<T>> FusedStream for $name {
            fn is_terminated(&self) -> bool {
                self.ended
            }
        }
    )+};
}

streams!(RecvStream<'_, T, C>, IntoStream<T, C>);

impl<T, C: Consume<T>> Drop for RecvStream<'_, T, C> {
    fn drop(&mut self) {
        abandon(self.receiver, &mut self.place);
    }
}

impl<T, C: Consume<T>> Drop for IntoStream<T, C> {
    fn drop(&mut self) {
        abandon(&self.receiver, &mut self.place);
    }
}
