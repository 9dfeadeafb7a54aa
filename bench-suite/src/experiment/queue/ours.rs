//! Our own queues, through the traits that all of them share, and our channels.

use std::marker::PhantomData;

use quorate_mq::queue::FrontDrain;
use quorate_mq::{Consume, Produce};

use super::ends::{Batches, Ends, Streams, Tries, TriesBatches};
use super::payload::Payload;

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

    fn open(capacity: usize) -> Option<(Self::Sender, Self::Receiver)> {
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
}

impl<P: Payload, M: Module> TriesBatches<P> for Ours<M> {
    type Source<'a> = FrontDrain<'a, P>;

    fn source(batch: &mut Vec<P>) -> FrontDrain<'_, P> {
        FrontDrain::new(batch)
    }

    #[inline]
    fn try_send_some(sender: &mut Self::Sender, source: &mut FrontDrain<'_, P>) -> bool {
        // A refusal leaves the source as it was; what remains says all.
        let _ = sender.push_front(source);
        source.remaining() == 0
    }

    #[inline]
    fn try_receive_some(
        receiver: &mut Self::Receiver,
        batch: &mut Vec<P>,
        count_max: usize,
    ) -> bool {
        receiver.pop_batch(batch, count_max).is_ok()
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

macro_rules! many {
    ($handle:ident) => {
        Some($handle.clone())
    };
}

modules! {
    /// The bounded ring.
    Ring, ring, |capacity| quorate_mq::ring::queue(capacity).ok(), many;
}

/// Our blocking channel over the ring.
#[derive(Debug)]
pub struct Channel;

impl<P: Payload> Ends<P> for Channel {
    type Sender = quorate_mq::Sender<P>;
    type Receiver = quorate_mq::Receiver<P>;

    fn open(capacity: usize) -> Option<(Self::Sender, Self::Receiver)> {
        quorate_mq::bounded(capacity).ok()
    }

    fn another_sender(sender: &Self::Sender) -> Option<Self::Sender> {
        Some(sender.clone())
    }

    fn another_receiver(receiver: &Self::Receiver) -> Option<Self::Receiver> {
        Some(receiver.clone())
    }
}

impl<P: Payload> Streams<P> for Channel {
    #[inline]
    fn send(sender: &mut Self::Sender, item: P) {
        assert!(sender.send(item).is_ok(), "receivers outlive the senders");
    }

    #[inline]
    fn receive(receiver: &mut Self::Receiver) -> Option<P> {
        receiver.recv().ok()
    }
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
