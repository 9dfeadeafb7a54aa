//! The slot table: keys hash to 16,384 slots, the table says which shard has a slot.
//!
//! How it works: each shard's share of the slots follows from its weight. After every change the
//! shards' targets are recomputed, each its exact share rounded up or down, whichever it is nearer
//! to already; shards above their target give up the slots that they drew lowest for, and each slot
//! that is free goes to the shard below its target that draws the highest number for it (rendezvous
//! hashing: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996).
//!
//! What always holds: every slot has a shard; after construction, `add`, `remove` and `set_weight`
//! each shard has its exact share rounded up or down; no table with that property could have been
//! reached by moving fewer slots. So with equal weights `add` moves slots only to the new shard and
//! `remove` only those of the old one. Every change raises the version, and each slot knows the
//! version in which it moved last.
//! Left to others: moving the data, and carrying the version in requests.

use std::collections::BTreeMap;

use super::{PartitionError, Placement, SHARDS_MAX, ShardId, check_count, key_hash, mix, scale};

/// Slots of a table: enough for an even spread over [`SHARDS_MAX`] shards; as many as a Redis
/// cluster has.
pub const SLOTS: usize = 16_384;
/// The largest weight of a shard.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// The seed of the draws.
const PLACEMENT_SEED: u64 = 0x706c_6163_656d_656e;

/// A slot that changed hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Move {
    /// Which.
    pub slot: usize,
    /// Who had it.
    pub from: ShardId,
    /// Who has it.
    pub to: ShardId,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shard {
    weight: u32,
    slots: usize,
}

/// Places keys by a table of [`SLOTS`] slots. Lookups take one hash and one load; changes one or
/// two milliseconds; the table 160 KiB.
///
/// ```
/// use quorate_mq::partition::{Placement, SLOTS, SlotTable};
///
/// let mut table = SlotTable::new(3)?;
/// let (before, version) = (table.place(b"user:17"), table.version());
/// let moves = table.add(9)?;
/// assert_eq!(moves.len(), SLOTS / 4);
/// assert!(moves.iter().all(|moved| moved.to == 9), "no more than the newcomer's share");
/// assert!([before, 9].contains(&table.place(b"user:17")));
/// // A router with the old version learns what to ask elsewhere.
/// assert_eq!(table.moved_since(version).count(), moves.len());
/// # Ok::<(), quorate_mq::partition::PartitionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlotTable {
    owners: Box<[ShardId]>,
    /// The version in which each slot moved last.
    moved_at: Box<[u64]>,
    shards: BTreeMap<ShardId, Shard>,
    version: u64,
}

impl SlotTable {
    /// A table over the shards `0..shard_count`, each of weight 1. Takes time in slots times
    /// shards (half a millisecond for ten, 50 ms for a thousand).
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or more than [`SHARDS_MAX`].
    pub fn new(shard_count: usize) -> Result<Self, PartitionError> {
        Self::with_weights((0..shard_count).map(|shard| (shard as ShardId, 1)))
    }

    /// A table over these shards, each with its weight.
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or too many, one is there twice, or a weight is out
    /// of its range.
    pub fn with_weights(
        weights: impl IntoIterator<Item = (ShardId, u32)>,
    ) -> Result<Self, PartitionError> {
        let mut shards = BTreeMap::new();
        for (shard, weight) in weights {
            if shards.len() >= SHARDS_MAX {
                return Err(PartitionError::TooMany);
            }
            let entry = Shard { weight: check_weight(weight)?, slots: 0 };
            if shards.insert(shard, entry).is_some() {
                return Err(PartitionError::Present(shard));
            }
        }
        check_count(shards.len())?;
        let owners = vec![0; SLOTS].into_boxed_slice();
        let moved_at = vec![0; SLOTS].into_boxed_slice();
        let mut table = Self { owners, moved_at, shards, version: 0 };
        let targets = table.targets();
        table.hand_out(&(0..SLOTS).collect::<Vec<_>>(), &targets);
        Ok(table)
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

    /// Raised by one by every change of the table.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The slots that moved after `version`, and who has them: what a router that holds that
    /// version must learn. Takes time in slots.
    pub fn moved_since(&self, version: u64) -> impl Iterator<Item = (usize, ShardId)> + '_ {
        (self.moved_at.iter().zip(&self.owners).enumerate())
            .filter(move |(_, (moved_at, _))| **moved_at > version)
            .map(|(slot, (_, owner))| (slot, *owner))
    }

    /// The shards and how many slots each has, in order of their ids.
    pub fn slot_counts(&self) -> impl Iterator<Item = (ShardId, usize)> + '_ {
        self.shards.iter().map(|(id, shard)| (*id, shard.slots))
    }

    /// The weight of a shard.
    ///
    /// # Errors
    /// [`PartitionError::Absent`].
    pub fn weight(&self, shard: ShardId) -> Result<u32, PartitionError> {
        self.shards.get(&shard).map(|shard| shard.weight).ok_or(PartitionError::Absent(shard))
    }

    /// Adds a shard of weight 1 and gives it its share; returns what moved, in order of slots.
    ///
    /// # Errors
    /// [`PartitionError`] when the shard is there or there are too many.
    pub fn add(&mut self, shard: ShardId) -> Result<Vec<Move>, PartitionError> {
        self.add_with_weight(shard, 1)
    }

    /// Adds a shard and gives it its share; returns what moved, in order of slots.
    ///
    /// # Errors
    /// [`PartitionError`] when the shard is there, there are too many, or the weight is out of its
    /// range.
    pub fn add_with_weight(
        &mut self,
        shard: ShardId,
        weight: u32,
    ) -> Result<Vec<Move>, PartitionError> {
        if self.shards.contains_key(&shard) {
            return Err(PartitionError::Present(shard));
        }
        if self.shards.len() >= SHARDS_MAX {
            return Err(PartitionError::TooMany);
        }
        self.shards.insert(shard, Shard { weight: check_weight(weight)?, slots: 0 });
        Ok(self.rebalance(None))
    }

    /// Removes a shard and hands its slots to the others; returns what moved, in order of slots.
    ///
    /// # Errors
    /// [`PartitionError`] when there is no such shard or it is the last one.
    pub fn remove(&mut self, shard: ShardId) -> Result<Vec<Move>, PartitionError> {
        if !self.shards.contains_key(&shard) {
            return Err(PartitionError::Absent(shard));
        }
        if self.shards.len() == 1 {
            return Err(PartitionError::None);
        }
        self.shards.remove(&shard);
        Ok(self.rebalance(Some(shard)))
    }

    /// Changes a shard's weight; returns what moved, in order of slots.
    ///
    /// # Errors
    /// [`PartitionError`] when there is no such shard or the weight is out of its range.
    pub fn set_weight(&mut self, shard: ShardId, weight: u32) -> Result<Vec<Move>, PartitionError> {
        let weight = check_weight(weight)?;
        self.shards.get_mut(&shard).ok_or(PartitionError::Absent(shard))?.weight = weight;
        Ok(self.rebalance(None))
    }

    /// Moves one slot, for a balancer that knows which are hot. The next change by weight levels
    /// the shares again.
    ///
    /// # Errors
    /// [`PartitionError`] when there is no such slot or shard.
    pub fn move_slot(&mut self, slot: usize, shard: ShardId) -> Result<(), PartitionError> {
        let before = self.owner(slot)?;
        self.shards.get_mut(&shard).ok_or(PartitionError::Absent(shard))?.slots += 1;
        self.shards.get_mut(&before).expect("every owner is a shard").slots -= 1;
        self.version += 1;
        self.owners[slot] = shard;
        self.moved_at[slot] = self.version;
        Ok(())
    }

    /// Brings every shard to its target with as few moves as possible.
    fn rebalance(&mut self, removed: Option<ShardId>) -> Vec<Move> {
        self.version += 1;
        let targets = self.targets();
        let mut held: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
        for (slot, owner) in self.owners.iter().enumerate() {
            held.entry(*owner).or_default().push(slot);
        }
        let mut free = removed.and_then(|shard| held.remove(&shard)).unwrap_or_default();
        for (owner, mut slots) in held {
            let target = targets[&owner];
            if slots.len() > target {
                // What it drew lowest for goes.
                slots.sort_unstable_by_key(|slot| draw(*slot, owner));
                slots.truncate(slots.len() - target);
                self.shards.get_mut(&owner).expect("every owner is a shard").slots = target;
                free.append(&mut slots);
            }
        }
        free.sort_unstable();
        let before: Vec<_> = free.iter().map(|slot| self.owners[*slot]).collect();
        self.hand_out(&free, &targets);
        let moves = free.into_iter().zip(before);
        moves.map(|(slot, from)| Move { slot, from, to: self.owners[slot] }).collect()
    }

    /// Gives each of these slots to the shard below its target that draws highest for it.
    fn hand_out(&mut self, free: &[usize], targets: &BTreeMap<ShardId, usize>) {
        // How many slots each shard below its target still lacks.
        let mut lacking: Vec<_> = (self.shards.iter())
            .map(|(shard, state)| (*shard, targets[shard] - state.slots))
            .filter(|(_, lacks)| *lacks > 0)
            .collect();
        for slot in free {
            let (index, _) = (lacking.iter().enumerate())
                .max_by_key(|(_, (shard, _))| draw(*slot, *shard))
                .expect("the targets add up to all slots");
            let (heir, lacks) = &mut lacking[index];
            self.owners[*slot] = *heir;
            self.moved_at[*slot] = self.version;
            *lacks -= 1;
            if *lacks == 0 {
                lacking.remove(index);
            }
        }
        for (shard, state) in &mut self.shards {
            state.slots = targets[shard];
        }
    }

    /// How many slots each shard should have: its exact share rounded up or down, whichever it is
    /// nearer to; where that adds up to too many or too few, the shards with the smallest (largest)
    /// fractions round the other way, which costs one move each, whoever does.
    fn targets(&self) -> BTreeMap<ShardId, usize> {
        let total: u64 = self.shards.values().map(|shard| u64::from(shard.weight)).sum();
        let mut targets: BTreeMap<ShardId, usize> = BTreeMap::new();
        // The fraction of each share, in parts of `total`.
        let mut fractions = Vec::with_capacity(self.shards.len());
        for (id, shard) in &self.shards {
            let share = SLOTS as u64 * u64::from(shard.weight);
            let (floor, fraction) = ((share / total) as usize, share % total);
            targets.insert(*id, shard.slots.clamp(floor, floor + usize::from(fraction > 0)));
            fractions.push((fraction, *id, floor));
        }
        fractions.sort_unstable();
        let mut sum: usize = targets.values().sum();
        for (_, id, floor) in &fractions {
            let target = targets.get_mut(id).expect("each shard has a target");
            if sum > SLOTS && *target > *floor {
                *target = *floor;
                sum -= 1;
            }
        }
        for (fraction, id, floor) in fractions.iter().rev() {
            let target = targets.get_mut(id).expect("each shard has a target");
            if sum < SLOTS && *fraction > 0 && *target == *floor {
                *target += 1;
                sum += 1;
            }
        }
        debug_assert_eq!(sum, SLOTS);
        targets
    }
}

impl Placement for SlotTable {
    #[inline]
    fn place(&self, key: &[u8]) -> ShardId {
        self.owners[Self::slot_of(key)]
    }

    fn shard_count(&self) -> usize {
        self.shards.len()
    }
}

/// The number that a shard draws for a slot; the shard's id decides between equals.
fn draw(slot: usize, shard: ShardId) -> (u64, ShardId) {
    (mix(PLACEMENT_SEED, slot as u64, u64::from(shard)), shard)
}

fn check_weight(weight: u32) -> Result<u32, PartitionError> {
    match weight {
        1..=WEIGHT_MAX => Ok(weight),
        _ => Err(PartitionError::Weight(weight)),
    }
}
