//! Checkpoints agree: honest replicas vouch for the same state at the same slot (PBFT §4.3).

use std::collections::BTreeMap;

use quorate_smr::{Digest, ReplicaId, Slot};

use crate::violation::{Check, broken};

/// Honest replicas announce equal digests for equal slots.
pub const CHECKPOINTS_AGREE: &str = "checkpoints agree";

/// The digest that the first honest replica announced for each slot.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints(BTreeMap<Slot, (Digest, ReplicaId)>);

impl Checkpoints {
    /// `replica` tells others that its state at `slot` has this digest.
    pub(crate) fn announced(&mut self, replica: ReplicaId, slot: Slot, digest: Digest) -> Check {
        let (known, first) = *self.0.entry(slot).or_insert((digest, replica));
        if known == digest {
            return Ok(());
        }
        let detail = format!("{slot}: {first} announced {known:?}, {replica} {digest:?}");
        Err(broken(CHECKPOINTS_AGREE, detail))
    }
}
