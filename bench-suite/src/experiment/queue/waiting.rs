//! How a caller waits for a queue that never waits itself: the policies, and what turns such a
//! queue into one that can be streamed through.
//!
//! Which policy is best depends on the queue, the shape and the machine; so every queue that only
//! tries is measured with several, and the best of them counts. The policy is chosen at run time,
//! but only by callers that have to wait: those that succeed never look at it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::utils::Backoff;
use quorate_mq::Patience;

use super::ends::{Batches, Ends, Streams, Tries, TriesBatches};
use super::payload::Payload;

/// How callers wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The queue waits by itself.
    Blocking,
    /// Crossbeam's: 1 to 64 pauses, then the thread yields.
    BackOff,
    /// Yields at once.
    Yield,
    /// Stays away long enough for a few cache lines to fill up, then yields: 128, 256, 512 pauses.
    Polite,
    /// Polls without a break; for round trips between two cores. Yields now and then, so that two
    /// threads on one core end as well.
    Spin,
    /// [`quorate_mq::Patience`], ours: away while streaming, polling while answers are awaited.
    Patience,
}

/// Pauses of the first polite wait.
const POLITE_PAUSES: u32 = 128;
/// Polite waits before the thread yields.
const POLITE_WAITS: u32 = 3;
/// Polls between two yields of a spinning caller.
const SPIN_POLLS: u32 = 10_000;

impl Policy {
    /// Those that every queue that only tries is measured with.
    pub const OF_ALL: [Self; 4] = [Self::BackOff, Self::Yield, Self::Polite, Self::Spin];

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::BackOff => "back-off",
            Self::Yield => "yield",
            Self::Polite => "polite",
            Self::Spin => "spin",
            Self::Patience => "patience",
        }
    }
}

/// What one handle's waiting remembers.
pub trait Wait: Send + 'static {
    /// For a new handle.
    fn new(policy: Policy) -> Self;
    /// Items were moved.
    fn succeeded(&mut self, count: usize);
    /// Waits once after a failure, which may be the first of its operation; `ready` is a hint that
    /// trying again may succeed.
    fn wait(&mut self, is_first: bool, ready: impl FnMut() -> bool);
}

/// The policies that remember nothing between two operations.
#[derive(Debug)]
pub struct Plain {
    policy: Policy,
    waits: u32,
    back_off: Backoff,
}

impl Wait for Plain {
    fn new(policy: Policy) -> Self {
        Self { policy, waits: 0, back_off: Backoff::new() }
    }

    #[inline]
    fn succeeded(&mut self, _: usize) {}

    fn wait(&mut self, is_first: bool, _: impl FnMut() -> bool) {
        if is_first {
            self.waits = 0;
            self.back_off.reset();
        }
        self.waits = self.waits.wrapping_add(1);
        match self.policy {
            Policy::BackOff => self.back_off.snooze(),
            Policy::Polite if self.waits <= POLITE_WAITS => {
                let pauses = POLITE_PAUSES << (self.waits - 1);
                (0..pauses).for_each(|_| std::hint::spin_loop());
            }
            Policy::Spin if !self.waits.is_multiple_of(SPIN_POLLS) => std::hint::spin_loop(),
            _ => std::thread::yield_now(),
        }
    }
}

impl Wait for Patience {
    fn new(_: Policy) -> Self {
        Self::new()
    }

    #[inline]
    fn succeeded(&mut self, _: usize) {
        self.after_success();
    }

    fn wait(&mut self, _: bool, ready: impl FnMut() -> bool) {
        Self::wait(self, ready);
    }
}

/// The queue `K` with callers that wait as `W` does. It ends when the last sender is dropped;
/// queues that cannot be closed are so treated like those that can.
#[derive(Debug)]
pub struct Waiting<K, W>(PhantomData<(K, W)>);

/// A sending end that waits.
#[derive(Debug)]
pub struct Sender<S, W> {
    inner: S,
    wait: W,
    policy: Policy,
    open: Arc<EndOnDrop>,
}

/// A receiving end that waits.
#[derive(Debug)]
pub struct Receiver<R, W> {
    inner: R,
    wait: W,
    policy: Policy,
    ended: Arc<AtomicBool>,
}

/// Says that the last sender is gone: consumers look here when they find nothing.
#[derive(Debug)]
struct EndOnDrop(Arc<AtomicBool>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<K: Ends<P>, W: Wait, P> Ends<P> for Waiting<K, W> {
    type Sender = Sender<K::Sender, W>;
    type Receiver = Receiver<K::Receiver, W>;

    fn open(capacity: usize, policy: Policy) -> Option<(Self::Sender, Self::Receiver)> {
        let (sender, receiver) = K::open(capacity, policy)?;
        let ended = Arc::<AtomicBool>::default();
        let open = Arc::new(EndOnDrop(Arc::clone(&ended)));
        let sender = Sender { inner: sender, wait: W::new(policy), policy, open };
        Some((sender, Receiver { inner: receiver, wait: W::new(policy), policy, ended }))
    }

    fn another_sender(sender: &Self::Sender) -> Option<Self::Sender> {
        let inner = K::another_sender(&sender.inner)?;
        let (policy, open) = (sender.policy, Arc::clone(&sender.open));
        Some(Sender { inner, wait: W::new(policy), policy, open })
    }

    fn another_receiver(receiver: &Self::Receiver) -> Option<Self::Receiver> {
        let inner = K::another_receiver(&receiver.inner)?;
        let (policy, ended) = (receiver.policy, Arc::clone(&receiver.ended));
        Some(Receiver { inner, wait: W::new(policy), policy, ended })
    }
}

impl<K: Tries<P>, W: Wait, P: Payload> Streams<P> for Waiting<K, W> {
    #[inline]
    fn send(sender: &mut Self::Sender, item: P) {
        let Sender { inner, wait, .. } = sender;
        let (mut item, mut is_first) = (item, true);
        while let Err(unsent) = K::try_send(inner, item) {
            item = unsent;
            wait.wait(is_first, || K::may_send(inner));
            is_first = false;
        }
        wait.succeeded(1);
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver) -> Option<P> {
        let Receiver { inner, wait, ended, .. } = receiver;
        let mut is_first = true;
        loop {
            if let Some(item) = K::try_receive(inner) {
                wait.succeeded(1);
                return Some(item);
            }
            // What was sent before the end is seen by the look after it.
            if ended.load(Ordering::Acquire)
                && let Ok(last) = K::try_last(inner)
            {
                return last;
            }
            wait.wait(is_first, || K::may_receive(inner));
            is_first = false;
        }
    }
}

impl<K: TriesBatches<P>, W: Wait, P: Payload> Batches<P> for Waiting<K, W> {
    #[inline]
    fn send_batch(sender: &mut Self::Sender, batch: &mut Vec<P>) {
        let Sender { inner, wait, .. } = sender;
        let (mut source, mut is_first) = (K::source(batch), true);
        while K::left(&source) > 0 {
            let sent = K::try_send_some(inner, &mut source);
            if sent > 0 {
                wait.succeeded(sent);
            } else {
                wait.wait(is_first, || K::may_send(inner));
            }
            is_first = sent > 0;
        }
    }

    #[inline]
    fn receive_batch(receiver: &mut Self::Receiver, batch: &mut Vec<P>, count_max: usize) -> bool {
        let Receiver { inner, wait, ended, .. } = receiver;
        let mut is_first = true;
        loop {
            let received = K::try_receive_some(inner, batch, count_max);
            if received > 0 {
                wait.succeeded(received);
                return true;
            }
            if ended.load(Ordering::Acquire)
                && let Ok(last) = K::try_last(inner)
            {
                batch.extend(last);
                return !batch.is_empty();
            }
            wait.wait(is_first, || K::may_receive(inner));
            is_first = false;
        }
    }
}
