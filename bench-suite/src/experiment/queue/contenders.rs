//! Who is measured: one line for each queue.

use std::time::Duration;

use quorate_mq::Patience;

use super::ends::{Batches, Streams, Tries, TriesBatches};
use super::ours::{self, Module, Ours};
use super::payload::{FourLines, Line, Payload};
use super::peers::{self, Heapless, Locked, Rtrb, Shared};
use super::waiting::{Plain, Policy, Waiting};
use super::work::{self, Memory, Setup, Streamed};

/// What a queue promises, and so whom it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bounded, many to many, never waits.
    Bounded,
    /// As [`Kind::Bounded`], lock-free in the strict sense.
    Strict,
    /// Bounded, order only within what one producer sent.
    Sharded,
    /// Bounded, one to one.
    Spsc,
    /// Bounded, waits by itself.
    Channel,
    /// Without bound; waits by itself or not.
    Unbounded,
}

/// Measures a stream; `None` where the queue cannot be opened so.
pub type Run = fn(&Setup) -> Option<Streamed>;

/// A queue with a way to wait, as functions compiled for it.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// The queue; ours start with [`OURS`]. With the policy it tells rows of one scenario apart.
    pub name: &'static str,
    /// How its callers wait.
    pub policy: Policy,
    /// What it promises.
    pub kind: Kind,
    /// Whether the short run leaves it to the full one: elsewhere it was never the best.
    pub full_only: bool,
    /// Whether it can be opened so.
    pub offers: fn(&Setup) -> bool,
    /// Streams of single items, by payload as in [`PAYLOADS`].
    pub streams: [Run; 4],
    /// Streams of batches.
    pub batches: Option<Run>,
    /// One thread alone: capacity, burst, rounds.
    pub alone: fn(usize, u64, u64) -> Option<Streamed>,
    /// Round trips: how callers wait, rounds, pause.
    pub round_trips: fn(Policy, u64, Duration) -> Option<Vec<u32>>,
    /// Memory after a burst of so many items.
    pub memory: fn(u64) -> Option<Memory>,
}

/// How the names of our own queues begin.
pub const OURS: &str = "mq ";
/// The payloads in the order of [`Contender::streams`].
pub const PAYLOADS: [&str; 4] = [u64::NAME, Line::NAME, FourLines::NAME, <Box<u64>>::NAME];

/// All contenders, in the order of tables.
#[must_use]
pub fn all() -> Vec<Contender> {
    use Kind::{Bounded, Channel, Sharded, Spsc, Strict, Unbounded};
    let mut list = List(Vec::new());
    list.ours::<ours::Ring>("mq ring", Bounded);
    list.ours::<ours::Strict>("mq strict", Strict);
    list.ours::<ours::Unbounded>("mq unbounded", Unbounded);
    list.ours::<ours::Spsc>("mq spsc", Spsc);
    list.ours::<ours::Sharded>("mq sharded", Sharded);
    list.ours::<ours::ShardedAhead>("mq sharded, read-ahead 64", Sharded);
    list.waits_batches::<ours::Channel>("mq channel", Channel);
    list.waits::<ours::StrictChannel>("mq channel over strict", Channel);
    list.waits::<ours::UnboundedChannel>("mq channel, unbounded", Unbounded);

    list.tries::<Shared<peers::CrossbeamArray>>("crossbeam ArrayQueue", Bounded);
    list.tries::<Shared<peers::ConcurrentBounded>>("concurrent-queue", Bounded);
    list.tries::<Shared<peers::ThingBuffer>>("thingbuf", Bounded).full_only();
    list.tries::<Shared<Heapless<64>>>("heapless", Bounded).full_only();
    list.tries::<Shared<Heapless<1024>>>("heapless", Bounded).full_only();
    list.tries::<Shared<Heapless<65536>>>("heapless", Bounded).full_only();
    list.tries_batches::<Shared<Locked<true>>>("parking_lot VecDeque", Bounded);
    list.tries::<Shared<peers::Scq>>("lfqueue SCQ", Strict);
    list.tries_batches::<Rtrb>("rtrb", Spsc);

    list.waits::<peers::CrossbeamBounded>("crossbeam channel", Channel);
    list.waits::<peers::CrossfireBounded>("crossfire", Channel);
    list.waits::<peers::KanalBounded>("kanal", Channel);
    list.waits::<peers::FlumeBounded>("flume", Channel);
    list.waits::<peers::AsyncChannelBounded>("async-channel", Channel);
    list.waits::<peers::StdBounded>("std sync_channel", Channel);
    list.waits_batches::<peers::TokioBounded>("tokio mpsc", Channel);
    list.waits::<peers::ThingBufferChannel>("thingbuf mpsc", Channel);
    list.waits_batches::<peers::BatchChannel>("batch-channel", Channel);

    list.tries::<Shared<peers::CrossbeamSeg>>("crossbeam SegQueue", Unbounded);
    list.tries::<Shared<peers::ConcurrentUnbounded>>("concurrent-queue, unbounded", Unbounded);
    list.tries_batches::<Shared<Locked<false>>>("parking_lot VecDeque, unbounded", Unbounded)
        .full_only();
    list.waits::<peers::CrossbeamUnbounded>("crossbeam channel, unbounded", Unbounded);
    list.waits::<peers::CrossfireUnbounded>("crossfire, unbounded", Unbounded);
    list.waits::<peers::KanalUnbounded>("kanal, unbounded", Unbounded);
    list.waits::<peers::FlumeUnbounded>("flume, unbounded", Unbounded);
    list.waits::<peers::AsyncChannelUnbounded>("async-channel, unbounded", Unbounded);
    list.waits::<peers::StdUnbounded>("std channel", Unbounded);
    list.waits::<peers::TokioUnbounded>("tokio mpsc, unbounded", Unbounded);
    list.0
}

struct List(Vec<Contender>);

/// The contenders that one line added.
struct Added<'a>(&'a mut [Contender]);

impl Added<'_> {
    fn full_only(self) {
        self.0.iter_mut().for_each(|contender| contender.full_only = true);
    }
}

impl List {
    fn add(&mut self, added: impl IntoIterator<Item = Contender>) -> Added<'_> {
        let first = self.0.len();
        self.0.extend(added);
        Added(&mut self.0[first..])
    }

    /// A queue that only tries, with every policy.
    fn tries<K>(&mut self, name: &'static str, kind: Kind) -> Added<'_>
    where
        K: Tries<u64> + Tries<Line> + Tries<FourLines> + Tries<Box<u64>>,
    {
        let plain = contender::<Waiting<K, Plain>>(name, kind);
        self.add(Policy::OF_ALL.map(|policy| Contender { policy, ..plain }))
    }

    /// A queue that only tries and moves batches, with every policy.
    fn tries_batches<K>(&mut self, name: &'static str, kind: Kind) -> Added<'_>
    where
        K: TriesBatches<u64> + Tries<Line> + Tries<FourLines> + Tries<Box<u64>>,
    {
        let Added(added) = self.tries::<K>(name, kind);
        let batches = work::batches::<Waiting<K, Plain>, u64>;
        added.iter_mut().for_each(|contender| contender.batches = Some(batches));
        Added(added)
    }

    /// One of our queues: as others with every policy, and with the one that we ship.
    fn ours<M: Module>(&mut self, name: &'static str, kind: Kind) {
        self.tries_batches::<Ours<M>>(name, kind);
        let batches = Some(work::batches::<Waiting<Ours<M>, Patience>, u64> as Run);
        let patient = contender::<Waiting<Ours<M>, Patience>>(name, kind);
        self.add([Contender { policy: Policy::Patience, batches, ..patient }]);
    }

    /// A queue that waits by itself.
    fn waits<D>(&mut self, name: &'static str, kind: Kind) -> Added<'_>
    where
        D: Streams<u64> + Streams<Line> + Streams<FourLines> + Streams<Box<u64>>,
    {
        self.add([contender::<D>(name, kind)])
    }

    /// A queue that waits by itself and moves batches.
    fn waits_batches<D>(&mut self, name: &'static str, kind: Kind) -> Added<'_>
    where
        D: Batches<u64> + Streams<Line> + Streams<FourLines> + Streams<Box<u64>>,
    {
        let batches = Some(work::batches::<D, u64> as Run);
        self.add([Contender { batches, ..contender::<D>(name, kind) }])
    }
}

fn contender<D>(name: &'static str, kind: Kind) -> Contender
where
    D: Streams<u64> + Streams<Line> + Streams<FourLines> + Streams<Box<u64>>,
{
    Contender {
        name,
        policy: Policy::Blocking,
        kind,
        full_only: false,
        offers: work::offers::<D, u64>,
        streams: [
            work::stream::<D, u64>,
            work::stream::<D, Line>,
            work::stream::<D, FourLines>,
            work::stream::<D, Box<u64>>,
        ],
        batches: None,
        alone: work::alone::<D>,
        round_trips: work::round_trips::<D>,
        memory: work::memory::<D>,
    }
}
