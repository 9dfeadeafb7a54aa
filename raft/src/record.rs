//! What a replica remembers over a crash (the persistent state of figure 2, and §7's base).

use quorate_smr::{Batch, ReplicaId, Slot};
use serde::{Deserialize, Serialize};

use crate::message::Position;
use crate::term::Term;

/// A record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Record {
    /// Term and vote, replacing earlier ones.
    Vote {
        /// The current term.
        term: Term,
        /// The candidate that got the vote in it.
        vote: Option<ReplicaId>,
    },
    /// The position of the snapshot below the log. Follows a compaction or an installed snapshot.
    Base {
        /// The position.
        position: Position,
    },
    /// An entry. One at a slot that is taken already replaces it and everything after it.
    Entry {
        /// Where.
        slot: Slot,
        /// The term in which a leader received it.
        term: Term,
        /// What it orders.
        batch: Batch,
    },
}
