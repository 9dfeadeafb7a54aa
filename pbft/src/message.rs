//! What replicas say: as it travels ([`Wire`]: claims) and as a replica sees it ([`Message`]:
//! verified).
//!
//! The two differ where something must be checked before it is believed. A [`Message`] cannot be
//! deserialised; it comes only from [`PbftAuth::open`](crate::PbftAuth) or from a replica's own
//! hand.

use std::sync::Arc;

use quorate_smr::batch::BatchError;
use quorate_smr::{Batch, Digest, ReplicaSet, Slot};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::certificate::{
    CheckpointCertificate, SignedCheckpoint, SignedNewView, SignedViewChange, Verified,
};
use crate::group::View;

/// Digests in one [`Wire::Claims`].
pub const CLAIMS_MAX: usize = 256;

/// A batch with its digest, which was computed from it and not merely claimed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposal {
    digest: Digest,
    batch: Batch,
    authentic: bool,
}

impl Proposal {
    /// Computes the digest of `batch`. Cost: about 50 ns, and 9 µs more for each 64 KiB.
    ///
    /// # Errors
    /// When the batch does not open.
    pub fn new(batch: Batch) -> Result<Self, BatchError> {
        let digest = batch.digest(&mut Vec::new())?;
        Ok(Self { digest, batch, authentic: true })
    }

    /// For a digest that was just computed from `batch`; `authentic` says whether every command's
    /// own client authenticator was right.
    pub(crate) const fn checked(digest: Digest, batch: Batch, authentic: bool) -> Self {
        Self { digest, batch, authentic }
    }

    /// The digest of the uncompressed body.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The batch.
    #[must_use]
    pub const fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Whether every command proved to this replica that its client sent it.
    #[must_use]
    pub const fn is_authentic(&self) -> bool {
        self.authentic
    }

    pub(crate) fn into_batch(self) -> Batch {
        self.batch
    }
}

/// Where a replica stands, and thereby what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatusReport {
    /// Its view.
    pub view: View,
    /// Whether it waits for the NEW-VIEW of that view.
    pub changing: bool,
    /// Its last stable checkpoint.
    pub stable: Slot,
    /// The last slot that it committed.
    pub committed: Slot,
    /// Whose VIEW-CHANGE for that view it holds.
    pub heard: ReplicaSet,
}

/// A message as a replica sees it: all of it verified, as far as that needs no state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A backup passes a client's batch on to the primary.
    Request(Proposal),
    /// The primary assigns a slot to a batch.
    PrePrepare {
        /// In which view.
        view: View,
        /// The slot.
        slot: Slot,
        /// The batch.
        proposal: Proposal,
    },
    /// A backup accepted the assignment.
    Prepare {
        /// In which view.
        view: View,
        /// The slot.
        slot: Slot,
        /// The batch.
        digest: Digest,
    },
    /// A replica saw `2f + 1` accept it.
    Commit {
        /// In which view.
        view: View,
        /// The slot.
        slot: Slot,
        /// The batch.
        digest: Digest,
    },
    /// The sender's state after a slot.
    Checkpoint(Verified<SignedCheckpoint>),
    /// A checkpoint is stable.
    Stable(Verified<Arc<CheckpointCertificate>>),
    /// The sender leaves its view.
    ViewChange(Verified<Arc<SignedViewChange>>),
    /// A primary opens its view (or anyone passes that on).
    NewView(Verified<Arc<SignedNewView>>),
    /// Where the sender stands.
    Status(StatusReport),
    /// The sender committed these digests in the slots from `first` on.
    Claims {
        /// The first slot.
        first: Slot,
        /// One digest for each slot.
        digests: Vec<Digest>,
    },
    /// The sender lacks the body of a batch.
    Fetch {
        /// For this slot.
        slot: Slot,
        /// With this digest.
        digest: Digest,
    },
    /// The body that the receiver asked for.
    Body {
        /// For this slot.
        slot: Slot,
        /// The batch; its commands' authenticators were not checked, its digest was computed.
        proposal: Proposal,
    },
    /// The sender lacks everything up to a stable checkpoint.
    FetchState {
        /// Its slot, or an earlier one.
        slot: Slot,
    },
    /// Travels with a snapshot and proves it.
    Snapshot(Verified<Arc<CheckpointCertificate>>),
}

/// A message as it travels: claims. The variants are those of [`Message`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wire {
    /// See [`Message::Request`].
    Request {
        /// The claimed digest.
        digest: Digest,
        /// The batch.
        batch: Batch,
    },
    /// See [`Message::PrePrepare`].
    PrePrepare {
        /// In which view.
        view: View,
        /// The slot.
        slot: Slot,
        /// The claimed digest.
        digest: Digest,
        /// The batch.
        batch: Batch,
    },
    /// See [`Message::Prepare`].
    Prepare {
        /// In which view.
        view: View,
        /// The slot.
        slot: Slot,
        /// The batch.
        digest: Digest,
    },
    /// See [`Message::Commit`].
    Commit {
        /// In which view.
        view: View,
        /// The slot.
        slot: Slot,
        /// The batch.
        digest: Digest,
    },
    /// See [`Message::Checkpoint`].
    Checkpoint(SignedCheckpoint),
    /// See [`Message::Stable`].
    Stable(Arc<CheckpointCertificate>),
    /// See [`Message::ViewChange`].
    ViewChange(Arc<SignedViewChange>),
    /// See [`Message::NewView`].
    NewView(Arc<SignedNewView>),
    /// See [`Message::Status`].
    Status(StatusReport),
    /// See [`Message::Claims`].
    Claims {
        /// The first slot.
        first: Slot,
        /// One digest for each slot.
        digests: Vec<Digest>,
    },
    /// See [`Message::Fetch`].
    Fetch {
        /// For this slot.
        slot: Slot,
        /// With this digest.
        digest: Digest,
    },
    /// See [`Message::Body`].
    Body {
        /// For this slot.
        slot: Slot,
        /// The claimed digest.
        digest: Digest,
        /// The batch.
        batch: Batch,
    },
    /// See [`Message::FetchState`].
    FetchState {
        /// Its slot, or an earlier one.
        slot: Slot,
    },
    /// See [`Message::Snapshot`].
    Snapshot(Arc<CheckpointCertificate>),
}

impl Message {
    /// The message as it travels.
    #[must_use]
    pub fn into_wire(self) -> Wire {
        match self {
            Self::Request(Proposal { digest, batch, .. }) => Wire::Request { digest, batch },
            Self::PrePrepare { view, slot, proposal: Proposal { digest, batch, .. } } => {
                Wire::PrePrepare { view, slot, digest, batch }
            }
            Self::Prepare { view, slot, digest } => Wire::Prepare { view, slot, digest },
            Self::Commit { view, slot, digest } => Wire::Commit { view, slot, digest },
            Self::Checkpoint(checkpoint) => Wire::Checkpoint(checkpoint.into_inner()),
            Self::Stable(certificate) => Wire::Stable(certificate.into_inner()),
            Self::ViewChange(change) => Wire::ViewChange(change.into_inner()),
            Self::NewView(new_view) => Wire::NewView(new_view.into_inner()),
            Self::Status(report) => Wire::Status(report),
            Self::Claims { first, digests } => Wire::Claims { first, digests },
            Self::Fetch { slot, digest } => Wire::Fetch { slot, digest },
            Self::Body { slot, proposal: Proposal { digest, batch, .. } } => {
                Wire::Body { slot, digest, batch }
            }
            Self::FetchState { slot } => Wire::FetchState { slot },
            Self::Snapshot(certificate) => Wire::Snapshot(certificate.into_inner()),
        }
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.clone().into_wire().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    /// Always fails: bytes become a [`Wire`] inside a [`Sealed`](crate::Sealed), which is opened.
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("a message comes only from opening a sealed one"))
    }
}
