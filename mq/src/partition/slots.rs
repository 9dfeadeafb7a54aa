//! The slot table: keys hash to 16,384 slots, the table says which shard has a slot.
//!
//! What always holds: every slot has a shard; after construction, `add` and `remove` the shards'
//! slot counts differ by at most one; `add` moves slots only to the new shard and `remove` only
//! those of the old one, so no change moves more than it must. Every change raises the version.
//! Left to others: moving the data, and carrying the version in requests.

use std::collections::BTreeMap;

use super::{PartitionError, Placement, SHARDS_MAX, ShardId, check_count, key_hash, mix, scale};

/// Slots of a table: enough for an even spread over [`SHARDS_MAX`] shards, and 32 KiB.
pub const SLOTS: usize = 16_384;

/// The seed of the first placement.
const PLACEMENT_SEED: u64 = 0x706c_6163_656d_656e;

/// Places keys by a table of [`SLOTS`] slots.
///
/// The first placement is rendezvous hashing (each slot goes to the shard that draws the highest
/// number for it), capped at the even share.
///
/// ```
/// use quorate_mq::partition::{KeyHash, Placement};
///
/// let mut table = KeyHash::new(4)?;
/// let before = table.place(b"user:17");
/// table.add(9)?;
/// assert!([before, 9].contains(&table.place(b"user:17")), "a key stays or moves to the new shard");
/// # Ok::<(), quorate_mq::partition::PartitionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyHash {
    owners: Box<[ShardId]>,
    slot_counts: BTreeMap<ShardId, usize>,
    version: u64,
}

impl KeyHash {
    /// A table over the shards `0..shard_count`. Takes time in slots times shards.
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or more than [`SHARDS_MAX`].
    pub fn new(shard_count: usize) -> Result<Self, PartitionError> {
        check_count(shard_count)?;
        let mut counts = vec![0; shard_count];
        // The first `extra` shards to reach the share may take one slot more.
        let share = SLOTS / shard_count;
        let mut extra = SLOTS % shard_count;
        let mut owners = Vec::with_capacity(SLOTS);
        for slot in 0..SLOTS {
            let owner = (0..shard_count)
                .filter(|shard| counts[*shard] < share + usize::from(extra > 0))
                .max_by_key(|shard| mix(PLACEMENT_SEED, slot as u64, *shard as u64))
                .expect("the shares add up to all slots");
            if counts[owner] == share {
                extra -= 1;
            }
            counts[owner] += 1;
            owners.push(owner as ShardId);
        }
        let slot_counts =
            counts.into_iter().enumerate().map(|(shard, count)| (shard as ShardId, count));
        Ok(Self {
            owners: owners.into_boxed_slice(),
            slot_counts: slot_counts.collect(),
            version: 0,
        })
    }

    /// The slot of a key; it never changes.
    #[inline]
    pub fn slot_of(key: &[u8]) -> usize {
        scale(key_hash(key), SLOTS)
    }

    /// The shard that has a slot.
    ///
    /// # Errors
    /// [`PartitionError::NoSlot`].
    pub fn owner(&self, slot: usize) -> Result<ShardId, PartitionError> {
        self.owners.get(slot).copied().ok_or(PartitionError::NoSlot(slot))
    }

    /// Raised by every change of the table.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The shards and how many slots each has, in order of their ids.
    pub fn slot_counts(&self) -> impl Iterator<Item = (ShardId, usize)> + '_ {
        self.slot_counts.iter().map(|(shard, count)| (*shard, *count))
    }

    /// Adds a shard and gives it its share, taken from those that have most; returns the slots
    /// that moved.
    ///
    /// # Errors
    /// [`PartitionError`] when the shard is there or there are too many.
    pub fn add(&mut self, shard: ShardId) -> Result<Vec<usize>, PartitionError> {
        if self.slot_counts.contains_key(&shard) {
            return Err(PartitionError::Present(shard));
        }
        if self.slot_counts.len() >= SHARDS_MAX {
            return Err(PartitionError::TooMany);
        }
        let share = SLOTS / (self.slot_counts.len() + 1);
        // How many each gives: one at a time from whoever has most then.
        let mut counts = self.slot_counts.clone();
        let mut gifts: BTreeMap<ShardId, usize> = BTreeMap::new();
        for _ in 0..share {
            let (donor, count) =
                counts.iter_mut().max_by_key(|(_, count)| **count).expect("never empty");
            *count -= 1;
            *gifts.entry(*donor).or_default() += 1;
        }
        let mut moved = Vec::with_capacity(share);
        for slot in 0..SLOTS {
            if let Some(left) = gifts.get_mut(&self.owners[slot]).filter(|left| **left > 0) {
                *left -= 1;
                self.owners[slot] = shard;
                moved.push(slot);
            }
        }
        counts.insert(shard, share);
        self.slot_counts = counts;
        self.version += 1;
        Ok(moved)
    }

    /// Removes a shard and hands its slots to those that have fewest; returns the slots that
    /// moved.
    ///
    /// # Errors
    /// [`PartitionError`] when there is no such shard or it is the last one.
    pub fn remove(&mut self, shard: ShardId) -> Result<Vec<usize>, PartitionError> {
        if !self.slot_counts.contains_key(&shard) {
            return Err(PartitionError::Absent(shard));
        }
        if self.slot_counts.len() == 1 {
            return Err(PartitionError::None);
        }
        self.slot_counts.remove(&shard);
        let mut moved = Vec::new();
        for (slot, owner) in self.owners.iter_mut().enumerate().filter(|(_, o)| **o == shard) {
            let (heir, count) = self
                .slot_counts
                .iter_mut()
                .min_by_key(|(_, count)| **count)
                .expect("one at least is left");
            *count += 1;
            *owner = *heir;
            moved.push(slot);
        }
        self.version += 1;
        Ok(moved)
    }

    /// Moves one slot, for a balancer that knows which are hot.
    ///
    /// # Errors
    /// [`PartitionError`] when there is no such slot or shard.
    pub fn move_slot(&mut self, slot: usize, shard: ShardId) -> Result<(), PartitionError> {
        let before = self.owner(slot)?;
        let target = self.slot_counts.get_mut(&shard).ok_or(PartitionError::Absent(shard))?;
        *target += 1;
        *self.slot_counts.get_mut(&before).expect("every owner is a shard") -= 1;
        self.owners[slot] = shard;
        self.version += 1;
        Ok(())
    }
}

impl Placement for KeyHash {
    #[inline]
    fn place(&self, key: &[u8]) -> ShardId {
        self.owners[Self::slot_of(key)]
    }

    fn shard_count(&self) -> usize {
        self.slot_counts.len()
    }
}
