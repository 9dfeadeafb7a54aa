//! Signed content: checkpoints and their certificates, view changes, new views.
//!
//! These types are *claims*: plain data as it arrives. [`Verified`] marks a claim whose signatures,
//! distinct signers, bounds and choice were all checked; only this crate's verification (and a
//! replica's own signing) makes one, and the replica's state takes nothing else.

use std::ops::Deref;
use std::sync::Arc;

use quorate_smr::{Digest, Quorum, ReplicaId, Slot};
use serde::{Deserialize, Serialize};

use crate::group::{Group, View};
use crate::sign::{Canonical, PublicKeys, Signature};

/// A claim that was verified. There is no way to make one outside this crate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// For what was just verified, signed by ourselves, or read from our own journal.
    pub(crate) const fn vouch(value: T) -> Self {
        Self(value)
    }

    /// The claim, given up as verified.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// One replica's statement that its state after `slot` has `digest` (PBFT §4.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SignedCheckpoint {
    /// The last slot applied.
    pub slot: Slot,
    /// The digest of the snapshot.
    pub digest: Digest,
    /// The replica's signature.
    pub signature: Signature,
}

/// Proof that a checkpoint is stable: `2f + 1` distinct replicas signed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckpointCertificate {
    /// The last slot that the checkpoint covers.
    pub slot: Slot,
    /// The digest of the snapshot.
    pub digest: Digest,
    /// Who signed.
    pub votes: Vec<(ReplicaId, Signature)>,
}

/// What is signed for a checkpoint.
pub(crate) fn checkpoint_digest(
    group: &Group,
    signer: ReplicaId,
    slot: Slot,
    digest: Digest,
) -> Digest {
    let mut canonical = Canonical::new(b"pbft checkpoint1", group);
    canonical.replica(signer);
    canonical.slot(slot);
    canonical.digest(digest);
    canonical.finish()
}

impl SignedCheckpoint {
    pub(crate) fn is_valid(&self, signer: ReplicaId, keys: &PublicKeys, interval: u64) -> bool {
        is_checkpoint(self.slot, interval)
            && keys.verifies(
                signer,
                checkpoint_digest(keys.group(), signer, self.slot, self.digest),
                self.signature,
            )
    }
}

/// Whether a checkpoint is taken after `slot`.
pub(crate) const fn is_checkpoint(slot: Slot, interval: u64) -> bool {
    slot.0 > 0 && slot.0.is_multiple_of(interval)
}

impl CheckpointCertificate {
    /// Whether `2f + 1` distinct members signed. Cheap checks first. Cost: 38 µs for each vote.
    pub(crate) fn is_valid(&self, keys: &PublicKeys, interval: u64) -> bool {
        let group = keys.group();
        if !is_checkpoint(self.slot, interval) || self.votes.len() > group.replicas() {
            return false;
        }
        let mut quorum = Quorum::new((), group.members(), group.quorum());
        let distinct = self
            .votes
            .iter()
            .all(|(replica, _)| quorum.vote(*replica) == quorate_smr::Vote::Counted);
        distinct
            && quorum.is_reached()
            && self.votes.iter().all(|(replica, signature)| {
                let signed = checkpoint_digest(group, *replica, self.slot, self.digest);
                keys.verifies(*replica, signed, *signature)
            })
    }

    /// The digest of the whole certificate.
    pub(crate) fn content_digest(&self, group: &Group) -> Digest {
        let mut canonical = Canonical::new(b"pbft stable   v1", group);
        canonical.slot(self.slot);
        canonical.digest(self.digest);
        canonical.number(self.votes.len() as u64);
        for (replica, signature) in &self.votes {
            canonical.replica(*replica);
            canonical.signature(*signature);
        }
        canonical.finish()
    }
}

/// "This digest (pre-)prepared here, for this slot, in this view."
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// The slot.
    pub slot: Slot,
    /// The latest view in which it did.
    pub view: View,
    /// The digest of the batch.
    pub digest: Digest,
}

/// What a replica says when it leaves its view (TOCS 2002 §4.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ViewChange {
    /// Who.
    pub replica: ReplicaId,
    /// The view that it moves to.
    pub view: View,
    /// Its last stable checkpoint (`h`).
    pub stable: Slot,
    /// The proof of it; `None` at slot 0, which needs none.
    pub certificate: Option<Arc<CheckpointCertificate>>,
    /// The set P: what prepared here, one pair for each slot, in order of slots.
    pub prepared: Vec<Pair>,
    /// The set Q: what pre-prepared here, one pair for each digest, in order of (slot, view).
    pub pre_prepared: Vec<Pair>,
}

/// A [`ViewChange`] with its author's signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SignedViewChange {
    /// What is claimed.
    pub content: ViewChange,
    /// By whom.
    pub signature: Signature,
}

/// What the primary of a view says to open it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NewView {
    /// The view.
    pub view: View,
    /// At least `2f + 1` view changes of distinct replicas for this view.
    pub changes: Vec<Arc<SignedViewChange>>,
    /// The checkpoint that the view starts from.
    pub base: Slot,
    /// The digests chosen for the slots that follow `base`.
    pub chosen: Vec<Digest>,
}

/// A [`NewView`] with its primary's signature, so that any replica may pass it on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SignedNewView {
    /// What is claimed.
    pub content: NewView,
    /// By the primary of the view.
    pub signature: Signature,
}

fn pairs(canonical: &mut Canonical, pairs: &[Pair]) {
    canonical.number(pairs.len() as u64);
    for pair in pairs {
        canonical.slot(pair.slot);
        canonical.view(pair.view);
        canonical.digest(pair.digest);
    }
}

impl ViewChange {
    /// What is signed.
    pub(crate) fn content_digest(&self, group: &Group) -> Digest {
        let mut canonical = Canonical::new(b"pbft viewchange1", group);
        canonical.replica(self.replica);
        canonical.view(self.view);
        canonical.slot(self.stable);
        match &self.certificate {
            None => canonical.number(0),
            Some(certificate) => {
                canonical.number(1);
                canonical.digest(certificate.content_digest(group));
            }
        }
        pairs(&mut canonical, &self.prepared);
        pairs(&mut canonical, &self.pre_prepared);
        canonical.finish()
    }
}

impl SignedViewChange {
    /// The digest of content and signature.
    pub(crate) fn digest(&self, group: &Group) -> Digest {
        let mut canonical = Canonical::new(b"pbft signed vc 1", group);
        canonical.digest(self.content.content_digest(group));
        canonical.signature(self.signature);
        canonical.finish()
    }
}

impl NewView {
    /// What is signed.
    pub(crate) fn content_digest(&self, group: &Group) -> Digest {
        let mut canonical = Canonical::new(b"pbft new view  1", group);
        canonical.view(self.view);
        canonical.slot(self.base);
        canonical.number(self.chosen.len() as u64);
        for digest in &self.chosen {
            canonical.digest(*digest);
        }
        canonical.number(self.changes.len() as u64);
        for change in &self.changes {
            canonical.digest(change.digest(group));
        }
        canonical.finish()
    }
}

impl SignedNewView {
    /// The digest of content and signature.
    pub(crate) fn digest(&self, group: &Group) -> Digest {
        let mut canonical = Canonical::new(b"pbft signed nv 1", group);
        canonical.digest(self.content.content_digest(group));
        canonical.signature(self.signature);
        canonical.finish()
    }
}
