//! What all handles of one channel share beside the queue: who waits, and how many handles there
//! are.
//!
//! What always holds: nothing here knows the type of the values. `channel.sent`,
//! `channel.received`, `channel.close-space` and `channel.close-values` name the wake-ups whose
//! omission a model finds.
//! Left to others: the queue and what is done with it (`sender`, `receiver`).

use super::ChannelOptions;
use crate::{
    Doorbell,
    sync::{Arc, AtomicUsize, Ordering, planted},
    wait::WaitList,
};

pub(super) struct Shared {
    /// Senders that wait for room.
    pub(super) space: WaitList,
    /// Receivers that wait for values.
    pub(super) values: WaitList,
    doorbell: Option<Doorbell>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

impl Shared {
    /// For one sender and one receiver.
    pub(super) fn new(options: &ChannelOptions) -> Arc<Self> {
        Arc::new(Self {
            space: WaitList::new(),
            values: WaitList::new(),
            doorbell: options.doorbell.clone(),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
        })
    }

    /// Wakes receivers for `count` values that were just sent.
    #[inline]
    pub(super) fn sent(&self, count: usize) {
        if !planted("channel.sent") {
            self.values.wake(count);
        }
        if let Some(doorbell) = &self.doorbell {
            doorbell.ring();
        }
    }

    /// Wakes senders for `count` places that just became free.
    #[inline]
    pub(super) fn received(&self, count: usize) {
        if !planted("channel.received") {
            self.space.wake(count);
        }
    }

    /// Wakes everybody: the queue was just closed.
    pub(super) fn closed(&self) {
        if !planted("channel.close-space") {
            self.space.wake_all();
        }
        if !planted("channel.close-values") {
            self.values.wake_all();
        }
        if let Some(doorbell) = &self.doorbell {
            doorbell.ring();
        }
    }

    pub(super) fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_receiver(&self) {
        self.receivers.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether that was the last one.
    pub(super) fn remove_sender(&self) -> bool {
        self.senders.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether that was the last one.
    pub(super) fn remove_receiver(&self) -> bool {
        self.receivers.fetch_sub(1, Ordering::AcqRel) == 1
    }
}
