//! Placements that compute the shard from the key and the shards' names, without a table.
//!
//! What always holds: equal keys and equal shards give equal answers, whatever happened before.
//! Left to others: weights, and moving less than a whole shard's share; the slot table has both.

use super::{PartitionError, Placement, SHARDS_MAX, ShardId, check_count, key_hash, mix};

/// The seed of the draws.
const DRAW_SEED: u64 = 0x7265_6e64_657a_766f;

/// The rest of the key's hash divided by the number of shards: even, and nearly every key moves
/// when that number changes. To compare with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Modulo {
    shard_count: usize,
}

impl Modulo {
    /// Shards `0..shard_count`.
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or too many.
    pub fn new(shard_count: usize) -> Result<Self, PartitionError> {
        check_count(shard_count)?;
        Ok(Self { shard_count })
    }
}

impl Placement for Modulo {
    fn place(&self, key: &[u8]) -> ShardId {
        (key_hash(key) % self.shard_count as u64) as ShardId
    }

    fn shard_count(&self) -> usize {
        self.shard_count
    }
}

/// Jump consistent hash: even to the last key and without memory, for shards that are numbered
/// without gaps (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014).
///
/// A key's hash seeds a sequence of draws. Growing from `b` to `b + 1` shards, a key jumps to the
/// new one with probability `1/(b + 1)`; the algorithm computes directly where the next jump
/// would be, in about ln N steps, until it is beyond the last shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JumpHash {
    shard_count: usize,
}

impl JumpHash {
    /// Shards `0..shard_count`.
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or too many.
    pub fn new(shard_count: usize) -> Result<Self, PartitionError> {
        check_count(shard_count)?;
        Ok(Self { shard_count })
    }
}

impl Placement for JumpHash {
    fn place(&self, key: &[u8]) -> ShardId {
        let mut draw = key_hash(key);
        let (mut shard, mut next) = (0, 0);
        while next < self.shard_count as u64 {
            shard = next;
            draw = draw.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
            // Both operations are exact IEEE 754, so every machine jumps alike.
            let ratio = (1u64 << 31) as f64 / ((draw >> 33) + 1) as f64;
            next = ((shard + 1) as f64 * ratio) as u64;
        }
        shard as ShardId
    }

    fn shard_count(&self) -> usize {
        self.shard_count
    }
}

/// Rendezvous hashing, or highest random weight: each shard draws a number for the key, the
/// highest has it. Even and minimal both ways; the lookup takes time in the number of shards
/// (Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996).
///
/// ```
/// use quorate_mq::partition::{Placement, Rendezvous};
///
/// let mut shards = Rendezvous::new(3)?;
/// let before = shards.place(b"user:17");
/// shards.remove((before + 1) % 3)?;
/// assert_eq!(shards.place(b"user:17"), before, "only the removed shard's keys move");
/// # Ok::<(), quorate_mq::partition::PartitionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rendezvous {
    shards: Vec<ShardId>,
}

impl Rendezvous {
    /// Shards `0..shard_count`.
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or too many.
    pub fn new(shard_count: usize) -> Result<Self, PartitionError> {
        check_count(shard_count)?;
        Ok(Self { shards: (0..shard_count as ShardId).collect() })
    }

    /// Adds a shard.
    ///
    /// # Errors
    /// [`PartitionError`] when the shard is there or there are too many.
    pub fn add(&mut self, shard: ShardId) -> Result<(), PartitionError> {
        if self.shards.contains(&shard) {
            return Err(PartitionError::Present(shard));
        }
        if self.shards.len() >= SHARDS_MAX {
            return Err(PartitionError::TooMany);
        }
        self.shards.push(shard);
        Ok(())
    }

    /// Removes a shard.
    ///
    /// # Errors
    /// [`PartitionError`] when there is no such shard or it is the last one.
    pub fn remove(&mut self, shard: ShardId) -> Result<(), PartitionError> {
        if !self.shards.contains(&shard) {
            return Err(PartitionError::Absent(shard));
        }
        if self.shards.len() == 1 {
            return Err(PartitionError::None);
        }
        self.shards.retain(|other| *other != shard);
        Ok(())
    }
}

impl Placement for Rendezvous {
    fn place(&self, key: &[u8]) -> ShardId {
        let hash = key_hash(key);
        let draw = |shard: &&ShardId| (mix(DRAW_SEED, hash, u64::from(**shard)), **shard);
        *self.shards.iter().max_by_key(draw).expect("there is at least one shard")
    }

    fn shard_count(&self) -> usize {
        self.shards.len()
    }
}
