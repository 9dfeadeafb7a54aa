//! How a caller waits for a queue that never waits itself: the policies, and what turns such a
//! queue into one that can be streamed through.
//!
//! Which policy is best depends on the queue, the shape and the machine; so every queue that only
//! tries is measured with several, and the best of them counts.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::utils::Backoff;

use super::ends::{Batches, Ends, Streams, Tries, TriesBatches};
use super::payload::Payload;

/// A way to wait until the other side has moved.
pub trait Wait: Send + 'static {
    /// Its name in tables.
    const NAME: &'static str;
    /// For a new handle.
    fn new() -> Self;
    /// An operation failed for the first time since it was begun.
    fn begin(&mut self) {}
    /// Waits once.
    fn wait(&mut self);
    /// An operation that waited succeeded.
    fn end(&mut self) {}
}

/// Crossbeam's: 1 to 64 pauses, then the thread yields.
#[derive(Debug)]
pub struct BackOff(Backoff);

impl Wait for BackOff {
    const NAME: &'static str = "back-off";

    fn new() -> Self {
        Self(Backoff::new())
    }

    fn begin(&mut self) {
        self.0.reset();
    }

    fn wait(&mut self) {
        self.0.snooze();
    }
}

/// Yields at once.
#[derive(Debug)]
pub struct Yield;

impl Wait for Yield {
    const NAME: &'static str = "yield";

    fn new() -> Self {
        Self
    }

    fn wait(&mut self) {
        std::thread::yield_now();
    }
}

/// Stays away long enough for a few cache lines to fill up, then yields: 128, 256, 512 pauses.
#[derive(Debug)]
pub struct Polite(u32);

/// Pauses of the first wait of [`Polite`].
const POLITE_PAUSES: u32 = 128;
/// Waits of [`Polite`] before it yields.
const POLITE_WAITS: u32 = 3;

impl Wait for Polite {
    const NAME: &'static str = "polite";

    fn new() -> Self {
        Self(0)
    }

    fn begin(&mut self) {
        self.0 = 0;
    }

    fn wait(&mut self) {
        if self.0 == POLITE_WAITS {
            return std::thread::yield_now();
        }
        (0..POLITE_PAUSES << self.0).for_each(|_| std::hint::spin_loop());
        self.0 += 1;
    }
}

/// Polls without a break; for round trips between two cores. Yields now and then, so that two
/// threads on one core end as well.
#[derive(Debug)]
pub struct Spin(u32);

/// Polls of [`Spin`] between two yields.
const SPIN_POLLS: u32 = 10_000;

impl Wait for Spin {
    const NAME: &'static str = "spin";

    fn new() -> Self {
        Self(0)
    }

    fn wait(&mut self) {
        self.0 += 1;
        if self.0.is_multiple_of(SPIN_POLLS) {
            std::thread::yield_now();
        }
        std::hint::spin_loop();
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
    open: Arc<EndOnDrop>,
}

/// A receiving end that waits.
#[derive(Debug)]
pub struct Receiver<R, W> {
    inner: R,
    wait: W,
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

    fn open(capacity: usize) -> Option<(Self::Sender, Self::Receiver)> {
        let (sender, receiver) = K::open(capacity)?;
        let ended = Arc::<AtomicBool>::default();
        let open = Arc::new(EndOnDrop(Arc::clone(&ended)));
        let sender = Sender { inner: sender, wait: W::new(), open };
        Some((sender, Receiver { inner: receiver, wait: W::new(), ended }))
    }

    fn another_sender(sender: &Self::Sender) -> Option<Self::Sender> {
        let inner = K::another_sender(&sender.inner)?;
        Some(Sender { inner, wait: W::new(), open: Arc::clone(&sender.open) })
    }

    fn another_receiver(receiver: &Self::Receiver) -> Option<Self::Receiver> {
        let inner = K::another_receiver(&receiver.inner)?;
        Some(Receiver { inner, wait: W::new(), ended: Arc::clone(&receiver.ended) })
    }
}

impl<K: Tries<P>, W: Wait, P: Payload> Streams<P> for Waiting<K, W> {
    #[inline]
    fn send(sender: &mut Self::Sender, item: P) {
        let Err(item) = K::try_send(&mut sender.inner, item) else { return };
        let mut unsent = Some(item);
        until(&mut sender.wait, || {
            unsent = K::try_send(&mut sender.inner, unsent.take()?).err();
            unsent.is_none().then_some(())
        });
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver) -> Option<P> {
        let Receiver { inner, wait, ended } = receiver;
        match K::try_receive(inner) {
            None => until_ended(wait, ended, || K::try_receive(inner)),
            item => item,
        }
    }
}

impl<K: TriesBatches<P>, W: Wait, P: Payload> Batches<P> for Waiting<K, W> {
    #[inline]
    fn send_batch(sender: &mut Self::Sender, batch: &mut Vec<P>) {
        let mut source = K::source(batch);
        if K::try_send_some(&mut sender.inner, &mut source) {
            return;
        }
        until(&mut sender.wait, || K::try_send_some(&mut sender.inner, &mut source).then_some(()));
    }

    #[inline]
    fn receive_batch(receiver: &mut Self::Receiver, batch: &mut Vec<P>, count_max: usize) -> bool {
        let Receiver { inner, wait, ended } = receiver;
        let mut attempt = || K::try_receive_some(inner, batch, count_max).then_some(());
        attempt().or_else(|| until_ended(wait, ended, attempt)).is_some()
    }
}

/// Waits and tries until `attempt` gives something.
#[cold]
fn until<T, W: Wait>(wait: &mut W, mut attempt: impl FnMut() -> Option<T>) -> T {
    wait.begin();
    loop {
        wait.wait();
        if let Some(done) = attempt() {
            wait.end();
            return done;
        }
    }
}

/// As [`until`]; `None` once the senders are gone and nothing is left.
#[cold]
fn until_ended<T, W: Wait>(
    wait: &mut W,
    ended: &AtomicBool,
    mut attempt: impl FnMut() -> Option<T>,
) -> Option<T> {
    wait.begin();
    loop {
        // What was sent before the end is seen by the look after it.
        let last_look = ended.load(Ordering::Acquire);
        let found = attempt();
        if found.is_some() || last_look {
            wait.end();
            return found;
        }
        wait.wait();
    }
}
