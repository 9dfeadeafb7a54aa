//! The message path: lock-free bounded MPMC queue, channels, batching, compression, partitioning.

mod channel;
mod doorbell;
mod ring;
mod sync;
mod wait;

pub use channel::{
    ChannelOptions, Closed, Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError,
    Sender, TryRecvError, TrySendError, bounded, bounded_with, bounded_with_doorbell,
};
pub use doorbell::{Doorbell, Ticket};
pub use ring::{CAPACITY_MAX, CapacityError, PopError, PushError, Ring};
pub use wait::SPIN_DEFAULT;
