//! Our own queues, through the traits that all of them share, and our channels.

use std::marker::PhantomData;

use quorate_mq::queue::FrontDrain;
use quorate_mq::{
    ChannelOptions, Consume, PopError, Produce, Receiver, Sender, over, strict, unbounded,
};

use super::ends::{Batches, Ends, Halfway, Streams, Tries, TriesBatches};
use super::payload::Payload;
use super::peers::channels;
use super::waiting::Policy;

/// One of our queues.
pub trait Module: 'static {
    /// Its pushing handle.
    type Producer<P: Payload>: Produce<P> + Send + 'static;
    /// Its popping handle.
    type Consumer<P: Payload>: Consume<P> + Send + 'static;

    /// Both handles; `None` where the capacity is refused.
    fn open<P: Payload>(capacity: usize) -> Option<(Self::Producer<P>, Self::Consumer<P>)>;

    /// Another pushing handle; `None` where there can be only one.
    fn another_producer<P: Payload>(producer: &Self::Producer<P>) -> Option<Self::Producer<P>>;

    /// Another popping handle; `None` where there can be only one.
    fn another_consumer<P: Payload>(consumer: &Self::Consumer<P>) -> Option<Self::Consumer<P>>;
}

/// The ends of one of our queues.
#[derive(Debug)]
pub struct Ours<M>(PhantomData<M>);

impl<P: Payload, M: Module> Ends<P> for Ours<M> {
    type Sender = M::Producer<P>;
    type Receiver = M::Consumer<P>;

    fn open(capacity: usize, _: Policy) -> Option<(Self::Sender, Self::Receiver)> {
        M::open(capacity)
    }

    fn another_sender(sender: &Self::Sender) -> Option<Self::Sender> {
        M::another_producer(sender)
    }

    fn another_receiver(receiver: &Self::Receiver) -> Option<Self::Receiver> {
        M::another_consumer(receiver)
    }
}

impl<P: Payload, M: Module> Tries<P> for Ours<M> {
    #[inline]
    fn try_send(sender: &mut Self::Sender, item: P) -> Result<(), P> {
        sender.try_push(item).map_err(quorate_mq::PushError::into_inner)
    }

    #[inline]
    fn try_receive(receiver: &mut Self::Receiver) -> Option<P> {
        receiver.try_pop().ok()
    }

    fn try_last(receiver: &mut Self::Receiver) -> Result<Option<P>, Halfway> {
        match receiver.try_pop() {
            Ok(item) => Ok(Some(item)),
            Err(PopError::Busy) => Err(Halfway),
            Err(PopError::Empty | PopError::Closed) => Ok(None),
        }
    }

    #[inline]
    fn may_send(sender: &Self::Sender) -> bool {
        sender.looks_free()
    }

    #[inline]
    fn may_receive(receiver: &Self::Receiver) -> bool {
        receiver.looks_filled()
    }
}

impl<P: Payload, M: Module> TriesBatches<P> for Ours<M> {
    type Source<'a> = FrontDrain<'a, P>;

    fn source(batch: &mut Vec<P>) -> FrontDrain<'_, P> {
        FrontDrain::new(batch)
    }

    fn left(source: &FrontDrain<'_, P>) -> usize {
        source.remaining()
    }

    #[inline]
    fn try_send_some(sender: &mut Self::Sender, source: &mut FrontDrain<'_, P>) -> usize {
        sender.push_front(source).unwrap_or(0)
    }

    #[inline]
    fn try_receive_some(
        receiver: &mut Self::Receiver,
        batch: &mut Vec<P>,
        count_max: usize,
    ) -> usize {
        receiver.pop_batch(batch, count_max).unwrap_or(0)
    }
}

/// Names our queues: `many` handles on both sides, or `one` on each.
macro_rules! modules {
    ($($(#[$doc:meta])* $name:ident, $module:ident, $open:expr, $another:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Module for $name {
            type Producer<P: Payload> = quorate_mq::$module::Producer<P>;
            type Consumer<P: Payload> = quorate_mq::$module::Consumer<P>;

            fn open<P: Payload>(capacity: usize) -> Option<(Self::Producer<P>, Self::Consumer<P>)> {
                let open = $open;
                open(capacity)
            }

            fn another_producer<P: Payload>(producer: &Self::Producer<P>) -> Option<Self::Producer<P>> {
                $another!(producer)
            }

            fn another_consumer<P: Payload>(consumer: &Self::Consumer<P>) -> Option<Self::Consumer<P>> {
                $another!(consumer)
            }
        }
    )*};
}

/// Items that consumers of [`ShardedAhead`] take from a lane at once.
const READ_AHEAD: usize = 64;

macro_rules! many {
    ($handle:ident) => {
        Some($handle.clone())
    };
}

macro_rules! one {
    ($handle:ident) => {{
        let _ = $handle;
        None
    }};
}

modules! {
    /// The bounded ring.
    Ring, ring, |capacity| quorate_mq::ring::queue(capacity).ok(), many;
    /// The bounded queue that is lock-free in the strict sense.
    Strict, strict, |capacity| quorate_mq::strict::queue(capacity).ok(), many;
    /// The queue without bound.
    Unbounded, unbounded, |_| quorate_mq::unbounded::queue().ok(), many;
    /// The queue of one producer and one consumer.
    Spsc, spsc, |capacity| quorate_mq::spsc::queue(capacity).ok(), one;
    /// The queue with a lane for each producer; the capacity is that of each lane.
    Sharded, sharded, |capacity| quorate_mq::sharded::queue(capacity).ok(), many;
    /// The same with consumers that read ahead.
    ShardedAhead, sharded, |capacity| {
        let (producer, consumer) = quorate_mq::sharded::queue(capacity).ok()?;
        Some((producer, consumer.with_read_ahead(READ_AHEAD)))
    }, many;
}

const VALID: &str = "the scenarios' capacities are valid";

channels! {
    /// Our blocking channel, over the ring.
    Channel, Sender<P>, Receiver<P>,
        |capacity| quorate_mq::bounded(capacity).expect(VALID),
        |sender: &mut Sender<P>, item| sender.send(item).is_ok(),
        |receiver: &mut Receiver<P>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// The channel over the strictly lock-free queue.
    StrictChannel, Sender<P, strict::Producer<P>>, Receiver<P, strict::Consumer<P>>,
        |capacity| over(strict::queue(capacity).expect(VALID), &ChannelOptions::default()),
        |sender: &mut Sender<P, strict::Producer<P>>, item| sender.send(item).is_ok(),
        |receiver: &mut Receiver<P, strict::Consumer<P>>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
    /// The channel over the queue without bound.
    UnboundedChannel, Sender<P, unbounded::Producer<P>>, Receiver<P, unbounded::Consumer<P>>,
        |_| over(unbounded::queue().expect(VALID), &ChannelOptions::default()),
        |sender: &mut Sender<P, unbounded::Producer<P>>, item| sender.send(item).is_ok(),
        |receiver: &mut Receiver<P, unbounded::Consumer<P>>| receiver.recv().ok(),
        |receiver| Some(receiver.clone());
}

impl<P: Payload> Batches<P> for Channel {
    #[inline]
    fn send_batch(sender: &mut Self::Sender, batch: &mut Vec<P>) {
        assert!(sender.send_batch(batch).is_ok(), "receivers outlive the senders");
    }

    #[inline]
    fn receive_batch(receiver: &mut Self::Receiver, batch: &mut Vec<P>, count_max: usize) -> bool {
        receiver.recv_batch(batch, count_max).is_ok()
    }
}
