//! The queues that carry requests and messages to a worker: one of two algorithms, by
//! configuration.
//!
//! What always holds: both offer the same bounds, order and close; the choice costs a predictable
//! branch for each call, and calls carry batches.

use quorate_mq::{
    CapacityError, ChannelOptions, Doorbell, Either, Receiver, Sender, over, ring, strict,
};

/// Which algorithm queues between threads use; see the guide of `quorate_mq` for what each
/// guarantees.
///
/// What the choice costs is published in `results/` (small commands, "strict queues"): stages
/// exchange batches, so that the difference lies within the noise. The ring is the default
/// because it needs less memory, has no limit of handles, and is faster where messages travel
/// alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueueKind {
    /// The run-stamped ring. A thread that the system stops between claim and publication of a
    /// batch delays those who need these places until it runs again.
    #[default]
    Ring,
    /// Lock-free in the strict sense: no stopped thread ever delays another.
    Strict,
}

pub(crate) type Sending<T> = Sender<T, Either<ring::Producer<T>, strict::Producer<T>>>;
pub(crate) type Receiving<T> = Receiver<T, Either<ring::Consumer<T>, strict::Consumer<T>>>;

/// Opens a queue that rings `doorbell`.
pub(crate) fn open<T>(
    kind: QueueKind,
    capacity: usize,
    doorbell: &Doorbell,
) -> Result<(Sending<T>, Receiving<T>), CapacityError> {
    let handles = match kind {
        QueueKind::Ring => {
            let (producer, consumer) = ring::queue(capacity)?;
            (Either::First(producer), Either::First(consumer))
        }
        QueueKind::Strict => {
            let (producer, consumer) = strict::queue(capacity)?;
            (Either::Second(producer), Either::Second(consumer))
        }
    };
    Ok(over(handles, &ChannelOptions::default().doorbell(doorbell)))
}
