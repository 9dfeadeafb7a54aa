//! What channel operations answer when they do not succeed.
//!
//! What always holds: an error of a send carries the value that was not sent.

use std::fmt;

use thiserror::Error;

/// The channel is closed: open a new one, or stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the channel is closed; nothing can be sent any more")]
pub struct Closed;

/// Why [`Sender::try_send`](super::Sender::try_send) did not send.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum TrySendError<T> {
    /// No room now: try later, or use a blocking form.
    #[error("the channel is full; try later or use a blocking send")]
    Full(T),
    /// No receiver will ever take it.
    #[error("the channel is closed; nothing can be sent any more")]
    Closed(T),
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }

    /// Whether the channel is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

/// Why [`Sender::send`](super::Sender::send) did not send: the channel is closed.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the channel is closed; nothing can be sent any more")]
pub struct SendError<T>(
    /// The value that was not sent.
    pub T,
);

/// Why [`Sender::send_timeout`](super::Sender::send_timeout) did not send.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum SendTimeoutError<T> {
    /// No room until the deadline.
    #[error("the channel was full until the deadline; slow down or try again")]
    Timeout(T),
    /// No receiver will ever take it.
    #[error("the channel is closed; nothing can be sent any more")]
    Closed(T),
}

impl<T> SendTimeoutError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(value) | Self::Closed(value) => value,
        }
    }
}

/// Why [`Receiver::try_recv`](super::Receiver::try_recv) received nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TryRecvError {
    /// Nothing there now: try later, or use a blocking form.
    #[error("the channel is empty; try later or use a blocking receive")]
    Empty,
    /// Closed, and everything that was sent has been received.
    #[error("the channel is closed and drained; nothing will come any more")]
    Closed,
}

impl TryRecvError {
    /// Whether nothing will come any more.
    pub fn is_closed(self) -> bool {
        self == Self::Closed
    }
}

/// Why [`Receiver::recv`](super::Receiver::recv) received nothing: the channel is closed and
/// everything that was sent has been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the channel is closed and drained; nothing will come any more")]
pub struct RecvError;

/// Why a receive with a deadline received nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecvTimeoutError {
    /// Nothing came until the deadline.
    #[error("nothing came until the deadline; do other work or wait again")]
    Timeout,
    /// Closed, and everything that was sent has been received.
    #[error("the channel is closed and drained; nothing will come any more")]
    Closed,
}

impl RecvTimeoutError {
    /// Whether nothing will come any more.
    pub fn is_closed(self) -> bool {
        self == Self::Closed
    }
}

/// Values need not be `Debug` for their errors to be.
macro_rules! debug_without_value {
    ($($error:ident { $($variant:ident),+ })+) => {$(
        impl<T> fmt::Debug for $error<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant(_) => concat!(stringify!($variant), "(..)"),)+
                })
            }
        }
    )+};
}

debug_without_value! {
    TrySendError { Full, Closed }
    SendTimeoutError { Timeout, Closed }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}
