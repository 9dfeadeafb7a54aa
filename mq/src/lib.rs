//! The message path: lock-free bounded MPMC queue, channels, batching, compression, partitioning.

pub mod batcher;
mod channel;
pub mod compress;
mod doorbell;
pub mod partition;
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

/// Inner parts that the loom models drive on their own.
#[cfg(loom)]
#[doc(hidden)]
pub mod modelled {
    use crate::wait;

    /// The list of parked threads.
    #[derive(Debug)]
    pub struct WaitList(wait::WaitList);

    impl WaitList {
        #[allow(clippy::new_without_default)]
        pub fn new() -> Self {
            Self(wait::WaitList::new())
        }

        pub fn park(&self, nothing_yet: impl FnOnce() -> bool) {
            self.0.park(None, nothing_yet);
        }

        pub fn wake(&self, count: usize) {
            self.0.wake(count);
        }
    }
}
