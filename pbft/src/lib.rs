//! Practical Byzantine fault tolerance as a pure state machine.

#![forbid(unsafe_code)]

mod auth;
mod certificate;
mod checkpoint;
mod config;
mod group;
mod keys;
mod message;
mod new_view;
mod normal;
mod pending;
mod record;
mod recovery;
mod replica;
mod requests;
mod sealed;
mod sign;
mod tally;
mod timer;
mod transfer;
mod view_change;
mod window;

pub use auth::{PbftAuth, PbftClient};
pub use certificate::{
    CheckpointCertificate, NewView, Pair, SignedCheckpoint, SignedNewView, SignedViewChange,
    Verified, ViewChange,
};
#[cfg(feature = "planted-defects")]
pub use config::Defect;
pub use config::{PRE_PREPARED_PER_SLOT_MAX, PbftConfig, WINDOW_SLOTS_MAX};
pub use group::View;
pub use keys::{ClusterSecret, KeySource, MacKey, ReplicaKeys};
pub use message::{CLAIMS_MAX, Message, Proposal, StatusReport, Wire};
pub use record::Record;
pub use replica::Pbft;
pub use sealed::{AUTHENTICATED_BYTES, Sealed, Tags};
pub use sign::Signature;
