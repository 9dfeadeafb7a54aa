//! The protocols by name.

use std::fmt;
use std::str::FromStr;

use quorate_smr::protocol::Protocol;

use crate::inspect::Inspect;

/// The replicas that a run may have.
pub const REPLICAS_MAX: usize = 13;

/// A protocol that programs can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProtocolName {
    /// Raft.
    Raft,
    /// Multi-Paxos.
    Paxos,
    /// Practical Byzantine fault tolerance.
    Pbft,
}

impl ProtocolName {
    /// All protocols.
    pub const ALL: &[Self] = &[Self::Raft, Self::Paxos, Self::Pbft];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raft => quorate_raft::Raft::NAME,
            Self::Paxos => quorate_paxos::Paxos::NAME,
            Self::Pbft => quorate_pbft::Pbft::NAME,
        }
    }

    /// The smallest group that tolerates `faults`.
    #[must_use]
    pub fn replicas_for(self, faults: usize) -> usize {
        struct Size(usize);

        impl Visitor for Size {
            type Output = usize;

            fn visit<P: Inspect>(self) -> usize {
                P::replicas_for(self.0)
            }
        }

        self.visit(Size(faults))
    }

    /// The smallest group that runs at all: with replicas that may lie, one that tolerates a fault.
    #[must_use]
    pub fn replicas_min(self) -> usize {
        struct Least;

        impl Visitor for Least {
            type Output = usize;

            fn visit<P: Inspect>(self) -> usize {
                if P::BYZANTINE { P::replicas_for(1) } else { 1 }
            }
        }

        self.visit(Least)
    }

    /// Calls `visitor` with the protocol as a type.
    pub fn visit<V: Visitor>(self, visitor: V) -> V::Output {
        match self {
            Self::Raft => visitor.visit::<quorate_raft::Raft>(),
            Self::Paxos => visitor.visit::<quorate_paxos::Paxos>(),
            Self::Pbft => visitor.visit::<quorate_pbft::Pbft>(),
        }
    }
}

/// Something to do with a protocol, whichever it is.
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<P: Inspect>(self) -> Self::Output;
}

/// A name that no protocol has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol \"{given}\"; choose one of: {}", names())]
pub struct UnknownProtocol {
    /// What was given.
    pub given: String,
}

fn names() -> String {
    let names: Vec<_> = ProtocolName::ALL.iter().map(|name| name.as_str()).collect();
    names.join(", ")
}

impl FromStr for ProtocolName {
    type Err = UnknownProtocol;

    fn from_str(given: &str) -> Result<Self, UnknownProtocol> {
        let named = |name: &&Self| name.as_str() == given;
        let unknown = || UnknownProtocol { given: given.to_string() };
        Self::ALL.iter().find(named).copied().ok_or_else(unknown)
    }
}

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
