//! The door of a replica: what comes in as bytes is a sealed message, or is refused and counted.
//!
//! What always holds: nothing behind the door sees a frame that is cut, changed, too long, of another
//! cluster, group or version, under another sender's name than the one whose connection it came
//! through, from the replica itself, or without a valid proof. What the door costs is bounded by the
//! bytes that arrived, never by a number in them.

use std::collections::BTreeMap;

use quorate_smr::ReplicaId;
use quorate_smr::auth::AuthError;
use quorate_smr::protocol::Setup;
use quorate_smr::wire::{self, FrameHeader, WireError};

use crate::inspect::{Inspect, Sealed};

/// Why something was refused before it reached a protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// The bytes are not a frame for this cluster.
    #[error(transparent)]
    Frame(#[from] WireError),
    /// The frame is for another group.
    #[error("the frame is for another group; the sender's routing is wrong")]
    Group,
    /// The frame names another sender than the connection: close it.
    #[error("the frame names {named}, the connection belongs to {connected}; close it")]
    Sender {
        /// Who the frame says that sent it.
        named: ReplicaId,
        /// Whose connection it is.
        connected: ReplicaId,
    },
    /// The sender is this replica itself, or not a member.
    #[error("{0} is no peer; close the connection")]
    NotAPeer(ReplicaId),
    /// The proof of origin does not hold.
    #[error(transparent)]
    Proof(#[from] AuthError),
}

impl DoorError {
    /// The name under which it is counted.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Frame(WireError::Truncated { .. }) => "cut short",
            Self::Frame(WireError::Magic(_)) => "not a frame",
            Self::Frame(WireError::Version(_)) => "another version",
            Self::Frame(WireError::Cluster { .. }) => "another cluster",
            Self::Frame(WireError::TooLarge(_)) => "too large",
            Self::Frame(WireError::Checksum) => "wrong checksum",
            Self::Frame(WireError::Body(_)) => "not a message",
            Self::Frame(WireError::Trailing(_)) => "bytes after the message",
            Self::Group => "another group",
            Self::Sender { .. } => "another sender",
            Self::NotAPeer(_) => "not a peer",
            Self::Proof(AuthError::Forged) => "forged proof",
            Self::Proof(AuthError::UnknownSender) => "unknown sender",
            Self::Proof(AuthError::Malformed) => "malformed content",
        }
    }
}

/// How often each error was met, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals(BTreeMap<&'static str, u64>);

impl Refusals {
    pub(crate) fn count(&mut self, error: &DoorError) {
        *self.0.entry(error.name()).or_default() += 1;
    }

    /// How often the error called `name` was met.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The error that was met since these were `before`; the first of them, if several.
    pub(crate) fn since(&self, before: &Self) -> Option<&'static str> {
        self.0.iter().find(|(name, count)| **count > before.of(name)).map(|(name, _)| *name)
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Checks who claims to send, before anything of the message is looked at.
pub(crate) fn check_peer<C>(setup: &Setup<C>, from: ReplicaId) -> Result<(), DoorError> {
    if setup.peers().contains(from) { Ok(()) } else { Err(DoorError::NotAPeer(from)) }
}

/// Opens a frame that came through the connection of `connected`.
pub(crate) fn open_frame<P: Inspect>(
    frame: &[u8],
    connected: ReplicaId,
    setup: &Setup<P::Config>,
) -> Result<Sealed<P>, DoorError> {
    let header = FrameHeader::parse(frame, setup.cluster)?;
    if header.group != setup.group {
        return Err(DoorError::Group);
    }
    let (header, sealed) = wire::decode(frame, setup.cluster)?;
    if header.from != connected {
        return Err(DoorError::Sender { named: header.from, connected });
    }
    Ok(sealed)
}
