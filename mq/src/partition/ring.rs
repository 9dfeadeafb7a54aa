//! Consistent hashing: nodes own arcs of a circle that end at their points.
//!
//! What always holds: a key belongs to the node of the first point at or after its hash, going
//! round; so adding a node moves keys to it only, and removing one moves its keys only.
//! Left to others: bounded loads ([`BoundedRing`](super::BoundedRing)), weights.
//!
//! Literature: Karger et al., "Consistent Hashing and Random Trees", STOC 1997.

use super::{PartitionError, Placement, SHARDS_MAX, ShardId, check_count, key_hash, mix};

/// The seed of the points, unless told otherwise.
const POINT_SEED: u64 = 0x636f_6e73_6973_7465;

/// Places keys on a ring with several points for each node.
///
/// ```
/// use quorate_mq::partition::{ConsistentHash, Placement};
///
/// let mut ring = ConsistentHash::new(3, 160)?;
/// let before = ring.place(b"user:17");
/// ring.remove((before + 1) % 3)?;
/// assert_eq!(ring.place(b"user:17"), before, "only the removed node's keys move");
/// # Ok::<(), quorate_mq::partition::PartitionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsistentHash {
    /// Sorted by place on the circle, then by node.
    points: Vec<(u64, ShardId)>,
    points_each: usize,
    seed: u64,
    node_count: usize,
}

impl ConsistentHash {
    /// The most points for one node.
    pub const POINTS_MAX: usize = 10_000;

    /// A ring of the nodes `0..node_count` with `points_each` points each.
    ///
    /// # Errors
    /// [`PartitionError`] when either number is out of its range.
    pub fn new(node_count: usize, points_each: usize) -> Result<Self, PartitionError> {
        Self::with_seed(node_count, points_each, POINT_SEED)
    }

    /// As [`ConsistentHash::new`], with points drawn from another seed: a single draw varies a
    /// lot, so comparisons average over seeds.
    ///
    /// # Errors
    /// As [`ConsistentHash::new`].
    pub fn with_seed(
        node_count: usize,
        points_each: usize,
        seed: u64,
    ) -> Result<Self, PartitionError> {
        check_count(node_count)?;
        if !(1..=Self::POINTS_MAX).contains(&points_each) {
            return Err(PartitionError::Points);
        }
        let mut ring = Self { points: Vec::new(), points_each, seed, node_count };
        ring.points = (0..node_count).flat_map(|node| ring.points_of(node as ShardId)).collect();
        ring.points.sort_unstable();
        Ok(ring)
    }

    /// Adds a node. Takes time in the points of the ring.
    ///
    /// # Errors
    /// [`PartitionError`] when the node is there or there are too many.
    pub fn add(&mut self, node: ShardId) -> Result<(), PartitionError> {
        if self.contains(node) {
            return Err(PartitionError::Present(node));
        }
        if self.node_count >= SHARDS_MAX {
            return Err(PartitionError::TooMany);
        }
        let points = self.points_of(node);
        self.points.extend(points);
        self.points.sort_unstable();
        self.node_count += 1;
        Ok(())
    }

    /// Removes a node. Takes time in the points of the ring.
    ///
    /// # Errors
    /// [`PartitionError`] when there is no such node or it is the last one.
    pub fn remove(&mut self, node: ShardId) -> Result<(), PartitionError> {
        if !self.contains(node) {
            return Err(PartitionError::Absent(node));
        }
        if self.node_count == 1 {
            return Err(PartitionError::None);
        }
        self.points.retain(|(_, owner)| *owner != node);
        self.node_count -= 1;
        Ok(())
    }

    /// The points of the ring in order, each with its node; a node owns the arc up to its point.
    pub fn points(&self) -> &[(u64, ShardId)] {
        &self.points
    }

    /// The nodes of the points from `hash` on, once round the ring; nodes come up again and again.
    pub(super) fn owners_from(&self, hash: u64) -> impl Iterator<Item = ShardId> + '_ {
        let start = self.points.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|(_, node)| *node)
    }

    fn contains(&self, node: ShardId) -> bool {
        self.points.iter().any(|(_, owner)| *owner == node)
    }

    fn points_of(&self, node: ShardId) -> Vec<(u64, ShardId)> {
        (0..self.points_each as u64)
            .map(|point| (mix(self.seed, u64::from(node), point), node))
            .collect()
    }
}

impl Placement for ConsistentHash {
    fn place(&self, key: &[u8]) -> ShardId {
        let hash = key_hash(key);
        let at = self.points.partition_point(|(point, _)| *point < hash);
        self.points[at % self.points.len()].1
    }

    fn shard_count(&self) -> usize {
        self.node_count
    }
}
