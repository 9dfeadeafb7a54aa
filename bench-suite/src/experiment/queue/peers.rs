//! The queues that a user could take instead, each used by its own documentation.
//!
//! What always holds: an adapter adds nothing that a user would not write. Left to others: waiting
//! for those that only try (`waiting`), and which of them is measured where (`contenders`).

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;

use concurrent_queue::ConcurrentQueue;
use crossbeam::channel as crossbeam_channel;
use crossbeam::queue::{ArrayQueue, SegQueue};
use crossfire::mpmc as crossfire_mpmc;
use crossfire::{MRx, MTx};
use parking_lot::Mutex;
use thingbuf::ThingBuf;
use thingbuf::mpsc::blocking as thingbuf_mpsc;
use tokio::sync::mpsc as tokio_mpsc;

use super::ends::{Batches, Ends, Streams, Tries, TriesBatches};
use super::payload::Payload;
use super::waiting::Policy;

/// A queue that threads share by reference.
pub trait Sharable: 'static {
    /// The queue.
    type Queue<P: Payload>: Send + Sync + 'static;

    /// A queue of that capacity; `None` where it is not offered.
    fn make<P: Payload>(capacity: usize) -> Option<Self::Queue<P>>;

    /// Pushes, if there is room.
    ///
    /// # Errors
    /// The item, when there is no room.
    fn push<P: Payload>(queue: &Self::Queue<P>, item: P) -> Result<(), P>;

    /// Pops, if something is there.
    fn pop<P: Payload>(queue: &Self::Queue<P>) -> Option<P>;
}

/// The ends of a [`Sharable`] queue: the same reference for all.
#[derive(Debug)]
pub struct Shared<K>(PhantomData<K>);

impl<P: Payload, K: Sharable> Ends<P> for Shared<K> {
    type Sender = Arc<K::Queue<P>>;
    type Receiver = Arc<K::Queue<P>>;

    fn open(capacity: usize, _: Policy) -> Option<(Self::Sender, Self::Receiver)> {
        let queue = Arc::new(K::make(capacity)?);
        Some((Arc::clone(&queue), queue))
    }

    fn another_sender(sender: &Self::Sender) -> Option<Self::Sender> {
        Some(Arc::clone(sender))
    }

    fn another_receiver(receiver: &Self::Receiver) -> Option<Self::Receiver> {
        Some(Arc::clone(receiver))
    }
}

impl<P: Payload, K: Sharable> Tries<P> for Shared<K> {
    #[inline]
    fn try_send(sender: &mut Self::Sender, item: P) -> Result<(), P> {
        K::push(sender, item)
    }

    #[inline]
    fn try_receive(receiver: &mut Self::Receiver) -> Option<P> {
        K::pop(receiver)
    }
}

/// Adapts queues that threads share by reference.
macro_rules! sharable {
    ($($(#[$doc:meta])* $name:ident, $queue:ty, $make:expr, $push:expr, $pop:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Sharable for $name {
            type Queue<P: Payload> = $queue;

            fn make<P: Payload>(capacity: usize) -> Option<$queue> {
                let make: fn(usize) -> Option<$queue> = $make;
                make(capacity)
            }

            #[inline]
            fn push<P: Payload>(queue: &$queue, item: P) -> Result<(), P> {
                let push = $push;
                push(queue, item)
            }

            #[inline]
            fn pop<P: Payload>(queue: &$queue) -> Option<P> {
                let pop = $pop;
                pop(queue)
            }
        }
    )*};
}

sharable! {
    /// `crossbeam::queue::ArrayQueue`.
    CrossbeamArray, ArrayQueue<P>, |capacity| Some(ArrayQueue::new(capacity)),
        |queue: &ArrayQueue<P>, item| queue.push(item), |queue: &ArrayQueue<P>| queue.pop();
    /// `crossbeam::queue::SegQueue`, without bound.
    CrossbeamSeg, SegQueue<P>, |_| Some(SegQueue::new()),
        |queue: &SegQueue<P>, item| { queue.push(item); Ok(()) }, |queue: &SegQueue<P>| queue.pop();
    /// `ConcurrentQueue::bounded`.
    ConcurrentBounded, ConcurrentQueue<P>, |capacity| Some(ConcurrentQueue::bounded(capacity)),
        |queue: &ConcurrentQueue<P>, item| queue.push(item).map_err(|error| error.into_inner()),
        |queue: &ConcurrentQueue<P>| queue.pop().ok();
    /// `ConcurrentQueue::unbounded`.
    ConcurrentUnbounded, ConcurrentQueue<P>, |_| Some(ConcurrentQueue::unbounded()),
        |queue: &ConcurrentQueue<P>, item| queue.push(item).map_err(|error| error.into_inner()),
        |queue: &ConcurrentQueue<P>| queue.pop().ok();
    /// `thingbuf::ThingBuf`.
    ThingBuffer, ThingBuf<P>, |capacity| Some(ThingBuf::new(capacity)),
        |queue: &ThingBuf<P>, item| queue.push(item).map_err(|full| full.into_inner()),
        |queue: &ThingBuf<P>| queue.pop();
    /// `lfqueue::AllocBoundedQueue`: SCQ (Nikolaev, 2019), lock-free in the strict sense. It does
    /// not give a refused item back, so that a copy is pushed.
    Scq, lfqueue::AllocBoundedQueue<P>,
        |capacity| capacity.is_power_of_two().then(|| lfqueue::AllocBoundedQueue::new(capacity)),
        |queue: &lfqueue::AllocBoundedQueue<P>, item: P| queue.enqueue(item.clone()).map_err(|_| item),
        |queue: &lfqueue::AllocBoundedQueue<P>| queue.dequeue();
}

/// The stack on which queues of up to 65,536 places are made, in bytes.
const HEAPLESS_STACK_BYTES: usize = 128 << 20;

/// `heapless::mpmc::Queue` of `N` places.
#[derive(Debug)]
pub struct Heapless<const N: usize>;

#[allow(deprecated, reason = "deprecated by its authors for not being lock-free; still in use")]
impl<const N: usize> Sharable for Heapless<N> {
    type Queue<P: Payload> = Box<heapless::mpmc::Queue<P, N>>;

    fn make<P: Payload>(capacity: usize) -> Option<Self::Queue<P>> {
        // The queue holds its places inside and is made on the stack: on one that is large enough.
        let make = || Box::new(heapless::mpmc::Queue::new());
        let thread = std::thread::Builder::new().stack_size(HEAPLESS_STACK_BYTES);
        (capacity == N).then(|| thread.spawn(make).ok()?.join().ok())?
    }

    #[inline]
    fn push<P: Payload>(queue: &Self::Queue<P>, item: P) -> Result<(), P> {
        queue.enqueue(item)
    }

    #[inline]
    fn pop<P: Payload>(queue: &Self::Queue<P>) -> Option<P> {
        queue.dequeue()
    }
}

/// `parking_lot::Mutex<VecDeque>`, bounded by hand when `BOUNDED`.
#[derive(Debug)]
pub struct Locked<const BOUNDED: bool>;

/// A deque behind a lock, and how much fits.
#[derive(Debug)]
pub struct LockedDeque<P> {
    deque: Mutex<VecDeque<P>>,
    capacity: usize,
}

impl<const BOUNDED: bool> Sharable for Locked<BOUNDED> {
    type Queue<P: Payload> = LockedDeque<P>;

    fn make<P: Payload>(capacity: usize) -> Option<LockedDeque<P>> {
        let (capacity, reserved) = if BOUNDED { (capacity, capacity) } else { (usize::MAX, 0) };
        Some(LockedDeque { deque: Mutex::new(VecDeque::with_capacity(reserved)), capacity })
    }

    #[inline]
    fn push<P: Payload>(queue: &LockedDeque<P>, item: P) -> Result<(), P> {
        let mut deque = queue.deque.lock();
        if deque.len() == queue.capacity {
            return Err(item);
        }
        deque.push_back(item);
        Ok(())
    }

    #[inline]
    fn pop<P: Payload>(queue: &LockedDeque<P>) -> Option<P> {
        queue.deque.lock().pop_front()
    }
}

impl<P: Payload, const BOUNDED: bool> TriesBatches<P> for Shared<Locked<BOUNDED>> {
    type Source<'a> = &'a mut Vec<P>;

    fn source(batch: &mut Vec<P>) -> &mut Vec<P> {
        batch
    }

    fn left(source: &&mut Vec<P>) -> usize {
        source.len()
    }

    #[inline]
    fn try_send_some(sender: &mut Self::Sender, source: &mut &mut Vec<P>) -> usize {
        let mut deque = sender.deque.lock();
        let count = source.len().min(sender.capacity - deque.len());
        deque.extend(source.drain(..count));
        count
    }

    #[inline]
    fn try_receive_some(
        receiver: &mut Self::Receiver,
        batch: &mut Vec<P>,
        count_max: usize,
    ) -> usize {
        let mut deque = receiver.deque.lock();
        let count = deque.len().min(count_max);
        batch.extend(deque.drain(..count));
        count
    }
}

/// `rtrb`: one producer, one consumer; batches are its slices.
#[derive(Debug)]
pub struct Rtrb;

impl<P: Payload> Ends<P> for Rtrb {
    type Sender = rtrb::Producer<P>;
    type Receiver = rtrb::Consumer<P>;

    fn open(capacity: usize, _: Policy) -> Option<(Self::Sender, Self::Receiver)> {
        Some(rtrb::RingBuffer::new(capacity))
    }

    fn another_sender(_: &Self::Sender) -> Option<Self::Sender> {
        None
    }

    fn another_receiver(_: &Self::Receiver) -> Option<Self::Receiver> {
        None
    }
}

impl<P: Payload> Tries<P> for Rtrb {
    #[inline]
    fn try_send(sender: &mut Self::Sender, item: P) -> Result<(), P> {
        sender.push(item).map_err(|rtrb::PushError::Full(item)| item)
    }

    #[inline]
    fn try_receive(receiver: &mut Self::Receiver) -> Option<P> {
        receiver.pop().ok()
    }
}

/// What is left of a batch that is sent in slices.
#[derive(Debug)]
pub struct Slices<'a, P> {
    batch: &'a mut Vec<P>,
    sent: usize,
}

impl<P> Drop for Slices<'_, P> {
    fn drop(&mut self) {
        self.batch.clear();
    }
}

impl TriesBatches<u64> for Rtrb {
    type Source<'a> = Slices<'a, u64>;

    fn source(batch: &mut Vec<u64>) -> Slices<'_, u64> {
        Slices { batch, sent: 0 }
    }

    fn left(source: &Slices<'_, u64>) -> usize {
        source.batch.len() - source.sent
    }

    #[inline]
    fn try_send_some(sender: &mut Self::Sender, source: &mut Slices<'_, u64>) -> usize {
        let sent = sender.push_partial_slice(&source.batch[source.sent..]).0.len();
        source.sent += sent;
        sent
    }

    #[inline]
    fn try_receive_some(
        receiver: &mut Self::Receiver,
        batch: &mut Vec<u64>,
        count_max: usize,
    ) -> usize {
        let before = batch.len();
        batch.resize(before + count_max, 0);
        let received = receiver.pop_partial_slice(&mut batch[before..]).0.len();
        batch.truncate(before + received);
        received
    }
}

/// Adapts channels, which wait by themselves: how they open, send, receive, and which of their
/// ends are cloned.
macro_rules! channels {
    ($($(#[$doc:meta])* $name:ident, $sender:ty, $receiver:ty, $open:expr, $send:expr, $receive:expr,
        $another:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl<P: Payload> Ends<P> for $name {
            type Sender = $sender;
            type Receiver = $receiver;

            fn open(capacity: usize, _: Policy) -> Option<($sender, $receiver)> {
                let open: fn(usize) -> ($sender, $receiver) = $open;
                Some(open(capacity))
            }

            fn another_sender(sender: &$sender) -> Option<$sender> {
                Some(sender.clone())
            }

            fn another_receiver(receiver: &$receiver) -> Option<$receiver> {
                let another: fn(&$receiver) -> Option<$receiver> = $another;
                another(receiver)
            }
        }

        impl<P: Payload> Streams<P> for $name {
            #[inline]
            fn send(sender: &mut $sender, item: P) {
                let send = $send;
                assert!(send(sender, item), "receivers outlive the senders");
            }

            #[inline]
            fn receive(receiver: &mut $receiver) -> Option<P> {
                let receive = $receive;
                receive(receiver)
            }
        }
    )*};
}

pub(super) use channels;

channels! {
    /// `crossbeam::channel::bounded`.
    CrossbeamBounded, crossbeam_channel::Sender<P>, crossbeam_channel::Receiver<P>,
        crossbeam_channel::bounded,
        |sender: &mut crossbeam_channel::Sender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut crossbeam_channel::Receiver<P>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// `crossbeam::channel::unbounded`.
    CrossbeamUnbounded, crossbeam_channel::Sender<P>, crossbeam_channel::Receiver<P>,
        |_| crossbeam_channel::unbounded(),
        |sender: &mut crossbeam_channel::Sender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut crossbeam_channel::Receiver<P>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// `crossfire::mpmc::bounded_blocking`.
    CrossfireBounded, MTx<crossfire_mpmc::Array<P>>, MRx<crossfire_mpmc::Array<P>>,
        crossfire_mpmc::bounded_blocking,
        |sender: &mut MTx<crossfire_mpmc::Array<P>>, item| sender.send(item).is_ok(),
        |receiver: &mut MRx<crossfire_mpmc::Array<P>>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// `crossfire::mpmc::unbounded_blocking`.
    CrossfireUnbounded, MTx<crossfire_mpmc::List<P>>, MRx<crossfire_mpmc::List<P>>,
        |_| crossfire_mpmc::unbounded_blocking(),
        |sender: &mut MTx<crossfire_mpmc::List<P>>, item| sender.send(item).is_ok(),
        |receiver: &mut MRx<crossfire_mpmc::List<P>>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// `kanal::bounded`.
    KanalBounded, kanal::Sender<P>, kanal::Receiver<P>, kanal::bounded,
        |sender: &mut kanal::Sender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut kanal::Receiver<P>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// `kanal::unbounded`.
    KanalUnbounded, kanal::Sender<P>, kanal::Receiver<P>, |_| kanal::unbounded(),
        |sender: &mut kanal::Sender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut kanal::Receiver<P>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// `flume::bounded`.
    FlumeBounded, flume::Sender<P>, flume::Receiver<P>, flume::bounded,
        |sender: &mut flume::Sender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut flume::Receiver<P>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// `flume::unbounded`.
    FlumeUnbounded, flume::Sender<P>, flume::Receiver<P>, |_| flume::unbounded(),
        |sender: &mut flume::Sender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut flume::Receiver<P>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// `async_channel::bounded`, through its blocking calls.
    AsyncChannelBounded, async_channel::Sender<P>, async_channel::Receiver<P>,
        async_channel::bounded,
        |sender: &mut async_channel::Sender<P>, item| sender.send_blocking(item).is_ok(),
        |receiver: &mut async_channel::Receiver<P>| receiver.recv_blocking().ok(),
        |receiver| Some(receiver.clone());
    /// `async_channel::unbounded`, through its blocking calls.
    AsyncChannelUnbounded, async_channel::Sender<P>, async_channel::Receiver<P>,
        |_| async_channel::unbounded(),
        |sender: &mut async_channel::Sender<P>, item| sender.send_blocking(item).is_ok(),
        |receiver: &mut async_channel::Receiver<P>| receiver.recv_blocking().ok(),
        |receiver| Some(receiver.clone());
    /// `std::sync::mpsc::sync_channel`; one consumer.
    StdBounded, std_mpsc::SyncSender<P>, std_mpsc::Receiver<P>, std_mpsc::sync_channel,
        |sender: &mut std_mpsc::SyncSender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut std_mpsc::Receiver<P>| receiver.recv().ok(),
        |_| None;
    /// `std::sync::mpsc::channel`; one consumer.
    StdUnbounded, std_mpsc::Sender<P>, std_mpsc::Receiver<P>, |_| std_mpsc::channel(),
        |sender: &mut std_mpsc::Sender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut std_mpsc::Receiver<P>| receiver.recv().ok(),
        |_| None;
    /// `tokio::sync::mpsc::channel`, through its blocking calls; one consumer.
    TokioBounded, tokio_mpsc::Sender<P>, tokio_mpsc::Receiver<P>, tokio_mpsc::channel,
        |sender: &mut tokio_mpsc::Sender<P>, item| sender.blocking_send(item).is_ok(),
        |receiver: &mut tokio_mpsc::Receiver<P>| receiver.blocking_recv(),
        |_| None;
    /// `tokio::sync::mpsc::unbounded_channel`, through its blocking calls; one consumer.
    TokioUnbounded, tokio_mpsc::UnboundedSender<P>, tokio_mpsc::UnboundedReceiver<P>,
        |_| tokio_mpsc::unbounded_channel(),
        |sender: &mut tokio_mpsc::UnboundedSender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut tokio_mpsc::UnboundedReceiver<P>| receiver.blocking_recv(),
        |_| None;
    /// `thingbuf::mpsc::blocking::channel`; one consumer.
    ThingBufferChannel, thingbuf_mpsc::Sender<P>, thingbuf_mpsc::Receiver<P>,
        thingbuf_mpsc::channel,
        |sender: &mut thingbuf_mpsc::Sender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut thingbuf_mpsc::Receiver<P>| receiver.recv(),
        |_| None;
    /// `batch_channel::bounded_sync`: a lock around a deque with batch calls.
    BatchChannel, batch_channel::SyncSender<P>, batch_channel::SyncReceiver<P>,
        batch_channel::bounded_sync,
        |sender: &mut batch_channel::SyncSender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut batch_channel::SyncReceiver<P>| receiver.recv(),
        |receiver| Some(receiver.clone());
}

impl<P: Payload> Batches<P> for BatchChannel {
    fn send_batch(sender: &mut Self::Sender, batch: &mut Vec<P>) {
        assert!(sender.send_iter(batch.drain(..)).is_ok(), "receivers outlive the senders");
    }

    fn receive_batch(receiver: &mut Self::Receiver, batch: &mut Vec<P>, count_max: usize) -> bool {
        receiver.recv_vec(count_max, batch);
        !batch.is_empty()
    }
}

impl<P: Payload> Batches<P> for TokioBounded {
    fn send_batch(sender: &mut Self::Sender, batch: &mut Vec<P>) {
        batch.drain(..).for_each(|item| Self::send(sender, item));
    }

    fn receive_batch(receiver: &mut Self::Receiver, batch: &mut Vec<P>, count_max: usize) -> bool {
        receiver.blocking_recv_many(batch, count_max) > 0
    }
}
