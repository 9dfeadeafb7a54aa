//! What a metered run is made of: places and distances, hosts, groups, load, batches, costs.

use bytes::Bytes;
use quorate_mq::batcher::BatchPolicy;
use quorate_mq::compress::CompressionPolicy;

use super::costs::Costs;

/// A millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;

/// How far places are apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distances {
    /// One way from place to place, in nanoseconds; on the diagonal, within one.
    pub one_way_ns: Vec<Vec<u64>>,
    /// Added to each message: uniform below this, in nanoseconds. Messages of a link keep their
    /// order, as on a stream.
    pub jitter_ns: u64,
}

impl Distances {
    /// One place with this round trip, half of it each way.
    #[must_use]
    pub fn one_place(round_trip_ns: u64) -> Self {
        Self { one_way_ns: vec![vec![round_trip_ns / 2]], jitter_ns: 0 }
    }
}

/// A client: it keeps `window` requests in flight at one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientPlan {
    /// Where it is.
    pub place: usize,
    /// The group that it asks.
    pub group: usize,
    /// Requests in flight, at most the sessions' window (8192).
    pub window: usize,
}

/// A metered run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How far places are apart.
    pub distances: Distances,
    /// The place of each host. Every group has a replica on every host.
    pub hosts: Vec<usize>,
    /// Groups.
    pub groups: usize,
    /// The host that leads group 0; group `g` is led `g` hosts further.
    pub leader_host: usize,
    /// Picoseconds that a byte occupies its sender's link; 0 is unlimited. A message to several
    /// receivers leaves once for each.
    pub byte_ps: u64,
    /// The clients.
    pub clients: Vec<ClientPlan>,
    /// What they send, in turn.
    pub payloads: Vec<Bytes>,
    /// The leaders' batches and windows.
    pub batching: BatchPolicy,
    /// Whether leaders compress batches.
    pub compression: CompressionPolicy,
    /// What work costs.
    pub costs: Costs,
    /// Load before the measurement, in nanoseconds.
    pub warm_up_ns: u64,
    /// Measured time, in nanoseconds.
    pub measured_ns: u64,
}

impl Plan {
    /// `hosts` hosts in one place with this round trip, one group, one client with `window`
    /// requests of 16 bytes in flight, the shipped batching, no compression, a CPU that costs
    /// nothing, links without limit.
    #[must_use]
    pub fn new(hosts: usize, round_trip_ns: u64, window: usize) -> Self {
        Self {
            distances: Distances::one_place(round_trip_ns),
            hosts: vec![0; hosts],
            groups: 1,
            leader_host: 0,
            byte_ps: 0,
            clients: vec![ClientPlan { place: 0, group: 0, window }],
            payloads: vec![Bytes::from_static(b"sixteen bytes...")],
            batching: BatchPolicy::adaptive(),
            compression: CompressionPolicy::Off,
            costs: Costs::FREE,
            warm_up_ns: 4 * round_trip_ns,
            measured_ns: 20 * round_trip_ns,
        }
    }

    /// The host of `replica` of `group`.
    pub(super) const fn host(&self, group: usize, replica: usize) -> usize {
        (self.leader_host + group + replica) % self.hosts.len()
    }
}
