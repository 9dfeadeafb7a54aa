//! Message authenticators: one keyed-BLAKE3 tag for each receiver (TOCS 2002 §3.2).
//!
//! A tag covers exactly 64 bytes, one compression (about 55 ns): a domain, cluster, group, sender,
//! receiver, kind, view, slot, and the digest of the rest. So a tag is worth nothing in another
//! cluster, group, direction, kind, view or slot.

use std::sync::Arc;

use quorate_smr::{Digest, ReplicaId, Slot, Tag};
use serde::{Deserialize, Serialize};

use crate::certificate::{CheckpointCertificate, SignedCheckpoint, checkpoint_digest};
use crate::group::{Group, View};
use crate::keys::MacKey;
use crate::message::{Message, StatusReport, Wire};
use crate::sign::Canonical;

/// Bytes that a tag covers.
pub const AUTHENTICATED_BYTES: usize = 64;
/// The first of them: the domain of tags between replicas, version 1.
const DOMAIN_PEER: u8 = 0xb1;

/// A message with its authenticator: what travels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sealed {
    /// What is claimed. Nothing of it may be believed before it was opened.
    pub wire: Wire,
    /// The sender's tags.
    pub tags: Tags,
}

/// Tags for the receivers of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tags {
    /// For a single receiver.
    One(Tag),
    /// For a group of four, by rank.
    Four([Tag; 4]),
    /// For a larger group, by rank.
    Many(Arc<[Tag]>),
}

impl Tags {
    /// The tag for the member at `rank` of a group of `replicas`; `None` when the shape is wrong.
    pub(crate) fn for_rank(&self, rank: usize, replicas: usize) -> Option<Tag> {
        match self {
            Self::One(tag) => Some(*tag),
            Self::Four(tags) if replicas == 4 => tags.get(rank).copied(),
            Self::Many(tags) if tags.len() == replicas => tags.get(rank).copied(),
            Self::Four(_) | Self::Many(_) => None,
        }
    }
}

/// The kinds of messages, as authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Request = 1,
    PrePrepare = 2,
    Prepare = 3,
    Commit = 4,
    Checkpoint = 5,
    Stable = 6,
    ViewChange = 7,
    NewView = 8,
    Status = 9,
    Claims = 10,
    Fetch = 11,
    Body = 12,
    FetchState = 13,
    Snapshot = 14,
}

/// What a tag says about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) view: View,
    pub(crate) slot: Slot,
    pub(crate) digest: Digest,
}

impl Head {
    const fn new(kind: Kind, view: View, slot: Slot, digest: Digest) -> Self {
        Self { kind, view, slot, digest }
    }

    /// The head of a message of our own; digests that it carries are not computed again.
    pub(crate) fn of_message(message: &Message, group: &Group) -> Self {
        let none = View(0);
        match message {
            Message::Request(proposal) => {
                Self::new(Kind::Request, none, Slot::ZERO, proposal.digest())
            }
            Message::PrePrepare { view, slot, proposal } => {
                Self::new(Kind::PrePrepare, *view, *slot, proposal.digest())
            }
            Message::Prepare { view, slot, digest } => {
                Self::new(Kind::Prepare, *view, *slot, *digest)
            }
            Message::Commit { view, slot, digest } => {
                Self::new(Kind::Commit, *view, *slot, *digest)
            }
            Message::Body { slot, proposal } => {
                Self::new(Kind::Body, none, *slot, proposal.digest())
            }
            other => Self::of_wire(&other.clone().into_wire(), group),
        }
    }

    /// The head of a message as it travels. Claimed digests of batches are taken as claimed: they
    /// are compared with the batch after the tag was found right.
    pub(crate) fn of_wire(wire: &Wire, group: &Group) -> Self {
        let none = View(0);
        match wire {
            Wire::Request { digest, .. } => Self::new(Kind::Request, none, Slot::ZERO, *digest),
            Wire::PrePrepare { view, slot, digest, .. } => {
                Self::new(Kind::PrePrepare, *view, *slot, *digest)
            }
            Wire::Prepare { view, slot, digest } => Self::new(Kind::Prepare, *view, *slot, *digest),
            Wire::Commit { view, slot, digest } => Self::new(Kind::Commit, *view, *slot, *digest),
            Wire::Checkpoint(checkpoint) => {
                let digest = signed_checkpoint(checkpoint, group);
                Self::new(Kind::Checkpoint, none, checkpoint.slot, digest)
            }
            Wire::Stable(certificate) => certified(Kind::Stable, certificate, group),
            Wire::Snapshot(certificate) => certified(Kind::Snapshot, certificate, group),
            Wire::ViewChange(change) => Self::new(
                Kind::ViewChange,
                change.content.view,
                change.content.stable,
                change.digest(group),
            ),
            Wire::NewView(new_view) => {
                let content = &new_view.content;
                Self::new(Kind::NewView, content.view, content.base, new_view.digest(group))
            }
            Wire::Status(report) => {
                Self::new(Kind::Status, report.view, report.committed, status(report, group))
            }
            Wire::Claims { first, digests } => {
                Self::new(Kind::Claims, none, *first, claims(digests, group))
            }
            Wire::Fetch { slot, digest } => Self::new(Kind::Fetch, none, *slot, *digest),
            Wire::Body { slot, digest, .. } => Self::new(Kind::Body, none, *slot, *digest),
            Wire::FetchState { slot } => {
                Self::new(Kind::FetchState, none, *slot, Digest::default())
            }
        }
    }

    /// The tag with which `from` tells `to` that it said this.
    #[inline]
    pub(crate) fn tag(&self, group: &Group, from: ReplicaId, to: ReplicaId, key: &MacKey) -> Tag {
        let mut bytes = [0; AUTHENTICATED_BYTES];
        bytes[0] = DOMAIN_PEER;
        bytes[1] = self.kind as u8;
        bytes[2] = from.0;
        bytes[3] = to.0;
        bytes[4..8].copy_from_slice(&group.id.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&group.cluster.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.view.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.slot.0.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.digest.0);
        truncated(key, &bytes)
    }
}

/// The first 16 bytes of the keyed hash.
#[inline]
pub(crate) fn truncated(key: &MacKey, bytes: &[u8]) -> Tag {
    let hash = blake3::keyed_hash(key, bytes);
    let mut tag = Tag::default();
    tag.0.copy_from_slice(&hash.as_bytes()[..16]);
    tag
}

/// Whether two tags are equal, in a time that does not depend on where they differ.
#[inline]
pub(crate) fn same_tag(one: Tag, other: Tag) -> bool {
    u128::from_le_bytes(one.0) ^ u128::from_le_bytes(other.0) == 0
}

fn certified(kind: Kind, certificate: &CheckpointCertificate, group: &Group) -> Head {
    Head::new(kind, View(0), certificate.slot, certificate.content_digest(group))
}

fn signed_checkpoint(checkpoint: &SignedCheckpoint, group: &Group) -> Digest {
    let mut canonical = Canonical::new(b"pbft signed cp 1", group);
    let content = checkpoint_digest(group, ReplicaId(0), checkpoint.slot, checkpoint.digest);
    canonical.digest(content);
    canonical.signature(checkpoint.signature);
    canonical.finish()
}

fn status(report: &StatusReport, group: &Group) -> Digest {
    let mut canonical = Canonical::new(b"pbft status   v1", group);
    canonical.number(u64::from(report.changing));
    canonical.slot(report.stable);
    for replica in report.heard.iter() {
        canonical.replica(replica);
    }
    canonical.finish()
}

fn claims(digests: &[Digest], group: &Group) -> Digest {
    let mut canonical = Canonical::new(b"pbft claims   v1", group);
    for digest in digests {
        canonical.digest(*digest);
    }
    canonical.finish()
}
