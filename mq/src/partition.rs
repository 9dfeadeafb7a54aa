//! Where a key lives, and which worker serves a request.
//!
//! These are two questions. *Placement* maps a key to a shard and must give every router the same
//! answer: [`KeyHash`], a table of 16,384 slots, which the cluster uses, and [`ConsistentHash`], a
//! ring with virtual nodes, to compare with. *Balancing* spreads requests over workers that are
//! all able to serve them: [`RoundRobin`], [`LeastLoaded`] and [`PowerOfTwo`].
//!
//! | placement | spread (sd/mean of N shards, K keys) | moves on adding one | lookup |
//! |---|---|---|---|
//! | [`KeyHash`] | √((N−1)/K), and one slot | 1/(N+1), to the new shard only | a hash and a load |
//! | [`ConsistentHash`], V points each | √((N−1)/(NV+1)) | 1/(N+1), to the new node only | a hash and a binary search |
//!
//! What always holds: placement depends on the key's bytes and the table alone, in every process
//! and on every machine (XXH3 with a fixed seed); nothing draws global randomness.
//! Left to others: agreeing on a table, and telling a router that its version is old.

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use self::{
    balance::{LeastLoaded, PowerOfTwo, RoundRobin},
    ring::ConsistentHash,
    slots::{KeyHash, SLOTS},
};

mod balance;
mod ring;
mod slots;
#[cfg(test)]
mod tests;

/// The most shards, nodes or workers.
pub const SHARDS_MAX: usize = 1_024;

/// The seed of every key hash. Changing it moves every key.
const KEY_SEED: u64 = 0x5175_6f72_6174_6531;

/// Names a shard (or node): stable while others come and go.
pub type ShardId = u16;

/// Why a table or balancer was refused or could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PartitionError {
    /// None, or the last one was to go.
    #[error("at least one shard is needed")]
    None,
    /// More than [`SHARDS_MAX`].
    #[error("more than {SHARDS_MAX} shards are not supported")]
    TooMany,
    /// The shard is there already.
    #[error("shard {0} is there already; choose another id")]
    Present(ShardId),
    /// There is no such shard.
    #[error("there is no shard {0}")]
    Absent(ShardId),
    /// A ring needs points for its nodes.
    #[error("points for each node must be between 1 and {max}", max = ConsistentHash::POINTS_MAX)]
    Points,
    /// There is no such slot.
    #[error("there is no slot {0}; slots are below {SLOTS}")]
    NoSlot(usize),
}

/// Maps keys to shards.
pub trait Placement {
    /// The shard of a key.
    fn place(&self, key: &[u8]) -> ShardId;

    /// How many shards there are.
    fn shard_count(&self) -> usize;
}

/// Spreads requests over workers `0..worker_count()`.
pub trait Balancer {
    /// Chooses a worker for one request.
    fn pick(&mut self) -> usize;

    /// That worker has answered one request.
    ///
    /// # Panics
    /// Balancers that count: when the worker has no request outstanding.
    fn completed(&mut self, worker: usize);

    /// How many workers there are.
    fn worker_count(&self) -> usize;
}

/// The hash of a key, the same everywhere.
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, KEY_SEED)
}

/// Mixes a pair of numbers into a uniform one.
fn mix(seed: u64, first: u64, second: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    xxh3_64_with_seed(&bytes, seed)
}

/// Maps a uniform hash to `0..count` by its high bits, without a division.
fn scale(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}

fn check_count(count: usize) -> Result<(), PartitionError> {
    match count {
        0 => Err(PartitionError::None),
        _ if count > SHARDS_MAX => Err(PartitionError::TooMany),
        _ => Ok(()),
    }
}
