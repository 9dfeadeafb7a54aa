//! What the measured loops ask of a queue. Each queue is a type without values that names its ends
//! and how they are used, so that the loops are compiled for each queue: no call through a table
//! and no choice stands between two messages.

use super::payload::Payload;
use super::waiting::Policy;

/// A queue's two ends.
pub trait Ends<P>: 'static {
    /// A thread's sending end.
    type Sender: Send + 'static;
    /// A thread's receiving end.
    type Receiver: Send + 'static;

    /// Both ends of a fresh queue whose callers wait by `policy`; `None` where this capacity is
    /// not offered. Queues without bound ignore the capacity, queues that wait by themselves or
    /// not at all ignore the policy.
    fn open(capacity: usize, policy: Policy) -> Option<(Self::Sender, Self::Receiver)>;

    /// Another sending end; `None` where there can be only one.
    fn another_sender(sender: &Self::Sender) -> Option<Self::Sender>;

    /// Another receiving end; `None` where there can be only one.
    fn another_receiver(receiver: &Self::Receiver) -> Option<Self::Receiver>;
}

/// Another thread is halfway through an operation, and what it does is not to be seen yet.
#[derive(Clone, Copy, Debug)]
pub struct Halfway;

/// A queue that answers at once.
pub trait Tries<P>: Ends<P> {
    /// Sends; the item comes back where there is no room.
    ///
    /// # Errors
    /// The item, when there is no room.
    fn try_send(sender: &mut Self::Sender, item: P) -> Result<(), P>;

    /// Receives, if something is there.
    fn try_receive(receiver: &mut Self::Receiver) -> Option<P>;

    /// Receives where nothing is sent any more: the item, or that there is none.
    ///
    /// # Errors
    /// When the queue cannot tell yet, because another thread is halfway; try again.
    fn try_last(receiver: &mut Self::Receiver) -> Result<Option<P>, Halfway> {
        Ok(Self::try_receive(receiver))
    }

    /// A hint that sending may succeed.
    fn may_send(_: &Self::Sender) -> bool {
        true
    }

    /// A hint that receiving may succeed.
    fn may_receive(_: &Self::Receiver) -> bool {
        true
    }
}

/// A queue that moves several items at once, and answers at once.
pub trait TriesBatches<P>: Tries<P> {
    /// What a batch is sent from.
    type Source<'a>
    where
        P: 'a;

    /// Begins to send `batch`.
    fn source(batch: &mut Vec<P>) -> Self::Source<'_>;

    /// How many items of the batch are left.
    fn left(source: &Self::Source<'_>) -> usize;

    /// Sends what there is room for; how many.
    fn try_send_some(sender: &mut Self::Sender, source: &mut Self::Source<'_>) -> usize;

    /// Appends up to `count_max` items to `batch`; how many.
    fn try_receive_some(
        receiver: &mut Self::Receiver,
        batch: &mut Vec<P>,
        count_max: usize,
    ) -> usize;
}

/// A queue that waits, by itself or with a policy.
pub trait Streams<P: Payload>: Ends<P> {
    /// Sends when there is room.
    fn send(sender: &mut Self::Sender, item: P);

    /// Receives; `None` when all senders are gone and nothing is left.
    fn receive(receiver: &mut Self::Receiver) -> Option<P>;
}

/// A queue that waits and moves several items at once.
pub trait Batches<P: Payload>: Streams<P> {
    /// Sends all of `batch`, which is empty afterwards.
    fn send_batch(sender: &mut Self::Sender, batch: &mut Vec<P>);

    /// Appends up to `count_max` items to `batch`, at least one; `false` at the end.
    fn receive_batch(receiver: &mut Self::Receiver, batch: &mut Vec<P>, count_max: usize) -> bool;
}
