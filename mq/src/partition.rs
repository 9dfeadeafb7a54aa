//! Where a key lives, and which worker serves a request.
//!
//! These are two questions. *Placement* maps a key to a shard and must give every router the same
//! answer. *Balancing* spreads requests over workers that are all able to serve them.
//!
//! | placement | spread of keys over N shards (sd/mean, K keys) | keys that move when one joins | lookup, memory | for |
//! |---|---|---|---|---|
//! | [`SlotTable`] | √((N−1)/K), and one slot | 1/(N+1), to it only; by weight | a hash and a load; 160 KiB | the default: shards come, go, weigh more or less; one slot can move alone |
//! | [`Rendezvous`] | √((N−1)/K) | 1/(N+1), to it only | N hashes; 2 N bytes | few shards, nothing to agree on but their names |
//! | [`JumpHash`] | √((N−1)/K) | 1/(N+1), to it only; only the last may leave | ln N steps; none | numbered buckets that only grow |
//! | [`ConsistentHash`], V points each | √((N−1)/(NV+1)) | 1/(N+1) on average, to it only | a hash and a binary search; 16 NV bytes | comparison: its spread wants hundreds of points |
//! | [`BoundedRing`] | never above (1+ε) times the mean | as the ring, and what then overflows | a ring's, and on average 1/ε² more steps | caches, where a hot key's neighbours should share its load |
//! | [`Modulo`] | √((N−1)/K) | N/(N+1): nearly all | a hash | comparison |
//!
//! | balancer | knows | choice takes | for |
//! |---|---|---|---|
//! | [`RoundRobin`] | nothing | 1 step | equal workers, equal requests |
//! | [`SmoothWeighted`] | weights | N steps | workers of known, different speed |
//! | [`LeastOutstanding`] | requests outstanding | N steps | one router: the best there is |
//! | [`PowerOfTwo`] | requests outstanding of two | 2 draws | many workers, several routers, old figures |
//!
//! What always holds: placement depends on the key's bytes and the table alone, in every process
//! and on every machine (XXH3 with a fixed seed, integers only where shards are chosen); nothing
//! draws global randomness.
//! Left to others: agreeing on a table, moving data, and telling a router that its version is old
//! ([`SlotTable::moved_since`] says of what).

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use self::{
    balance::{LeastOutstanding, PowerOfTwo, RoundRobin},
    bounded::{BoundedRing, SLACK_PERCENT_MAX},
    direct::{JumpHash, Modulo, Rendezvous},
    ring::ConsistentHash,
    slots::{Move, SLOTS, SlotTable, WEIGHT_MAX},
    weighted::SmoothWeighted,
};

mod balance;
mod bounded;
mod direct;
mod ring;
mod slots;
#[cfg(test)]
mod tests;
mod weighted;

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
    /// Shards without weight would get nothing.
    #[error("a weight must be between 1 and {WEIGHT_MAX}; got {0}")]
    Weight(u32),
    /// Loads are bounded by the mean and some slack.
    #[error("the slack must be between 1 and {SLACK_PERCENT_MAX} per cent; got {0}")]
    Slack(u32),
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
