//! The ring with bounded loads: a full shard's keys go on to the next one.
//!
//! Consistent hashing sends a hot shard whatever hashes to it. Here no shard takes more than its
//! fair share of what is outstanding and some slack: with `m` requests on `n` shards, at most
//! ⌈(1 + ε) m / n⌉. A request for a full shard goes round the ring to the next one that is not
//! full, so that a key's requests stay with few shards. (Mirrokni, Thorup, Zadimoghaddam,
//! "Consistent Hashing with Bounded Loads", SODA 2018; this is the form for requests, as in
//! HAProxy's `hash-balance-factor`: what was assigned stays until it is released.)
//!
//! What always holds: right after an assignment no shard that took it holds more than the bound.
//! Left to others: affinity beyond the next shard, weights.

use std::collections::BTreeMap;

use super::{ConsistentHash, PartitionError, Placement, ShardId, key_hash};

/// The most slack, in per cent of the mean load.
pub const SLACK_PERCENT_MAX: u32 = 1_000;

/// Assigns requests to shards by key, none above its bound. A lookup takes a ring's time and on
/// average 1/ε² further points.
///
/// ```
/// use quorate_mq::partition::{BoundedRing, ConsistentHash};
///
/// let mut ring = BoundedRing::new(ConsistentHash::new(4, 100)?, 25)?;
/// let first = ring.assign(b"hot");
/// let others = (0..7).filter(|_| ring.assign(b"hot") == first).count();
/// assert_eq!(others, 2, "at most a quarter above the mean of two: three requests");
/// # Ok::<(), quorate_mq::partition::PartitionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BoundedRing {
    ring: ConsistentHash,
    slack_percent: u32,
    /// Requests outstanding, in all and with each shard.
    outstanding: u64,
    loads: BTreeMap<ShardId, u64>,
}

impl BoundedRing {
    /// Bounds the loads of `ring` to the mean and `slack_percent` of it (ε in hundredths).
    ///
    /// # Errors
    /// [`PartitionError::Slack`] unless it is between 1 and [`SLACK_PERCENT_MAX`].
    pub fn new(ring: ConsistentHash, slack_percent: u32) -> Result<Self, PartitionError> {
        if !(1..=SLACK_PERCENT_MAX).contains(&slack_percent) {
            return Err(PartitionError::Slack(slack_percent));
        }
        let loads = ring.points().iter().map(|(_, shard)| (*shard, 0)).collect();
        Ok(Self { ring, slack_percent, outstanding: 0, loads })
    }

    /// Assigns a request to a shard: that of its key, or the next on the ring that is not full.
    pub fn assign(&mut self, key: &[u8]) -> ShardId {
        let shard = self.place(key);
        self.outstanding += 1;
        *self.loads.entry(shard).or_default() += 1;
        shard
    }

    /// That shard has answered one request.
    ///
    /// # Panics
    /// When the shard has no request outstanding.
    pub fn release(&mut self, shard: ShardId) {
        let load = self.loads.get_mut(&shard).filter(|load| **load > 0);
        *load.expect("the shard has a request outstanding") -= 1;
        self.outstanding -= 1;
    }

    /// Requests outstanding with a shard.
    pub fn load(&self, shard: ShardId) -> u64 {
        self.loads.get(&shard).copied().unwrap_or_default()
    }

    /// What a shard may hold once another request is assigned.
    pub fn bound(&self) -> u64 {
        let slack = u128::from(100 + self.slack_percent);
        let requests = u128::from(self.outstanding) + 1;
        (requests * slack).div_ceil(100 * self.loads.len() as u128) as u64
    }

    /// Adds a shard to the ring; what is assigned stays where it is.
    ///
    /// # Errors
    /// As [`ConsistentHash::add`].
    pub fn add(&mut self, shard: ShardId) -> Result<(), PartitionError> {
        self.ring.add(shard)?;
        self.loads.insert(shard, 0);
        Ok(())
    }

    /// Removes a shard and forgets its requests, which the caller assigns again.
    ///
    /// # Errors
    /// As [`ConsistentHash::remove`].
    pub fn remove(&mut self, shard: ShardId) -> Result<(), PartitionError> {
        self.ring.remove(shard)?;
        self.outstanding -= self.loads.remove(&shard).unwrap_or_default();
        Ok(())
    }
}

impl Placement for BoundedRing {
    /// Where the key's next request would go, with the loads as they are.
    fn place(&self, key: &[u8]) -> ShardId {
        let bound = self.bound();
        (self.ring.owners_from(key_hash(key)))
            .find(|shard| self.load(*shard) < bound)
            .expect("the bounds add up to more than what is outstanding")
    }

    fn shard_count(&self) -> usize {
        self.loads.len()
    }
}
