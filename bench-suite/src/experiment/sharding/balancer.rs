//! The balancers under comparison behind one face: a request's key in, a node out.
//!
//! What always holds: nodes are `0..nodes`; a balancer made from equal arguments makes equal
//! choices. Those that count what is outstanding are told of every end.

use quorate_mq::partition::{
    Balancer, BoundedRing, ConsistentHash, JumpHash, LeastOutstanding, Modulo, PartitionError,
    Placement, PowerOfTwo, Rendezvous, RoundRobin, ShardId, SlotTable,
};

/// Points of each node on the rings.
pub const RING_POINTS: usize = 160;
/// What a node of the bounded ring may have above the mean, in per cent.
pub const SLACK_PERCENT: u32 = 25;

/// A way to choose a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// In turn, whatever the key.
    RoundRobin,
    /// The node with the fewest requests outstanding, whatever the key.
    LeastOutstanding,
    /// The better of two drawn nodes, whatever the key.
    PowerOfTwo,
    /// The slot table: what the runtime places its keys by.
    SlotTable,
    /// The highest random weight.
    Rendezvous,
    /// Jump consistent hash.
    Jump,
    /// The ring.
    Ring,
    /// The ring with bounded loads.
    BoundedRing,
    /// The rest of a division.
    Modulo,
}

/// All of them, in the order of tables.
pub const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RoundRobin,
    Algorithm::LeastOutstanding,
    Algorithm::PowerOfTwo,
    Algorithm::SlotTable,
    Algorithm::Rendezvous,
    Algorithm::Jump,
    Algorithm::Ring,
    Algorithm::BoundedRing,
    Algorithm::Modulo,
];

impl Algorithm {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round robin",
            Self::LeastOutstanding => "least outstanding",
            Self::PowerOfTwo => "power of two",
            Self::SlotTable => "slot table",
            Self::Rendezvous => "rendezvous",
            Self::Jump => "jump",
            Self::Ring => "consistent hash",
            Self::BoundedRing => "bounded loads",
            Self::Modulo => "modulo",
        }
    }

    /// Whether a key has a home.
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        !matches!(self, Self::RoundRobin | Self::LeastOutstanding | Self::PowerOfTwo)
    }
}

/// A balancer at work.
pub enum Chooser {
    /// Keys have homes.
    Keyed(Box<dyn Placement>),
    /// Keys have homes, until these are full.
    Bounded(BoundedRing),
    /// Keys do not matter.
    Free(Box<dyn Balancer>),
}

impl Chooser {
    /// `algorithm` over `nodes` nodes, its draws and points from `seed`.
    ///
    /// # Errors
    /// When there are no nodes or too many.
    pub fn new(algorithm: Algorithm, nodes: usize, seed: u32) -> Result<Self, PartitionError> {
        let ring = || ConsistentHash::with_seed(nodes, RING_POINTS, u64::from(seed));
        Ok(match algorithm {
            Algorithm::RoundRobin => Self::Free(Box::new(RoundRobin::new(nodes)?)),
            Algorithm::LeastOutstanding => Self::Free(Box::new(LeastOutstanding::new(nodes)?)),
            Algorithm::PowerOfTwo => Self::Free(Box::new(PowerOfTwo::new(nodes, seed.into())?)),
            Algorithm::SlotTable => Self::Keyed(Box::new(SlotTable::new(nodes)?)),
            Algorithm::Rendezvous => Self::Keyed(Box::new(Rendezvous::new(nodes)?)),
            Algorithm::Jump => Self::Keyed(Box::new(JumpHash::new(nodes)?)),
            Algorithm::Ring => Self::Keyed(Box::new(ring()?)),
            Algorithm::BoundedRing => Self::Bounded(BoundedRing::new(ring()?, SLACK_PERCENT)?),
            Algorithm::Modulo => Self::Keyed(Box::new(Modulo::new(nodes)?)),
        })
    }

    /// The node of a request for `key`, which is outstanding there until [`Chooser::completed`].
    #[inline]
    pub fn choose(&mut self, key: &[u8]) -> usize {
        match self {
            Self::Keyed(placement) => usize::from(placement.place(key)),
            Self::Bounded(ring) => usize::from(ring.assign(key)),
            Self::Free(balancer) => balancer.pick(),
        }
    }

    /// `node` has answered one request.
    ///
    /// # Panics
    /// When it has none outstanding, where that is counted.
    #[inline]
    pub fn completed(&mut self, node: usize) {
        match self {
            Self::Keyed(_) => {}
            Self::Bounded(ring) => ring.release(node as ShardId),
            Self::Free(balancer) => balancer.completed(node),
        }
    }
}

/// Where each of `keys` lives with `nodes` nodes, after one joined, and after one of them left;
/// `None` where keys have no home. Rings with bounded loads take one request for each key.
///
/// # Errors
/// When there are no nodes or too many.
pub fn homes(
    algorithm: Algorithm,
    nodes: usize,
    seed: u32,
    keys: &[Vec<u8>],
) -> Result<Option<[Vec<ShardId>; 3]>, PartitionError> {
    let (joining, leaving) = (nodes as ShardId, (seed as usize % nodes) as ShardId);
    let all = |placement: &dyn Placement| keys.iter().map(|key| placement.place(key)).collect();
    let ring = || ConsistentHash::with_seed(nodes, RING_POINTS, u64::from(seed));
    Ok(Some(match algorithm {
        Algorithm::RoundRobin | Algorithm::LeastOutstanding | Algorithm::PowerOfTwo => {
            return Ok(None);
        }
        Algorithm::SlotTable => {
            let (table, mut more, mut fewer) =
                (SlotTable::new(nodes)?, SlotTable::new(nodes)?, SlotTable::new(nodes)?);
            more.add(joining)?;
            fewer.remove(leaving)?;
            [all(&table), all(&more), all(&fewer)]
        }
        Algorithm::Rendezvous => {
            let mut fewer = Rendezvous::new(nodes)?;
            fewer.remove(leaving)?;
            [all(&Rendezvous::new(nodes)?), all(&Rendezvous::new(nodes + 1)?), all(&fewer)]
        }
        Algorithm::Jump => [nodes, nodes + 1, nodes - 1]
            .map(|count| JumpHash::new(count).map(|jump| all(&jump)))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .try_into()
            .expect("three of them"),
        Algorithm::Modulo => [nodes, nodes + 1, nodes - 1]
            .map(|count| Modulo::new(count).map(|modulo| all(&modulo)))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .try_into()
            .expect("three of them"),
        Algorithm::Ring => {
            let (mut more, mut fewer) = (ring()?, ring()?);
            more.add(joining)?;
            fewer.remove(leaving)?;
            [all(&ring()?), all(&more), all(&fewer)]
        }
        Algorithm::BoundedRing => {
            let (mut more, mut fewer) = (ring()?, ring()?);
            more.add(joining)?;
            fewer.remove(leaving)?;
            let assigned = |ring: ConsistentHash| {
                let mut ring = BoundedRing::new(ring, SLACK_PERCENT)?;
                Ok::<_, PartitionError>(keys.iter().map(|key| ring.assign(key)).collect())
            };
            [assigned(ring()?)?, assigned(more)?, assigned(fewer)?]
        }
    }))
}
