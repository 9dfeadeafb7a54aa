//! What a replica remembers over a crash: one ordered stream.
//!
//! What always holds: a record that says "decided up to s" comes after the records of the values
//! at those slots, so every prefix of the stream is a state that the replica was in.

use quorate_smr::{Batch, Slot};
use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;

/// A durable step of an acceptor or learner.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Record {
    /// The first record after a snapshot: what was promised when it was written.
    Base {
        /// The snapshot's slot.
        slot: Slot,
        /// The highest ballot promised.
        promised: Ballot,
    },
    /// Nothing below `ballot` will be accepted any more.
    Promised {
        /// The ballot.
        ballot: Ballot,
    },
    /// A value was accepted; promises `ballot` as well.
    Accepted {
        /// The ballot.
        ballot: Ballot,
        /// The slot.
        slot: Slot,
        /// All slots up to here were known to be decided.
        decided: Slot,
        /// The value.
        batch: Batch,
    },
    /// A decided value was learned from a peer. Slots up to this one are decided.
    Learned {
        /// The slot.
        slot: Slot,
        /// The value.
        batch: Batch,
    },
    /// All slots up to here are decided, with the values recorded before.
    Decided {
        /// The last of them.
        upto: Slot,
    },
}
