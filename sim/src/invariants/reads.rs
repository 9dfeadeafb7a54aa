//! A read sees everything that was decided before it arrived.
//!
//! Stronger than what clients can tell (they compare keys that they wrote): a read by read-index is
//! served at a slot, and that slot must not lie before any that was decided anywhere when the read
//! arrived (Raft, thesis §6.4; *Paxos Made Live* §5.2).

use quorate_smr::{ReplicaId, Slot};

use crate::violation::{Check, broken};

/// The slot of a read is at least what was decided when it arrived.
pub const READ_SEES_DECIDED: &str = "a read sees what was decided before it";

/// `replica` serves at `slot` a read that arrived when everything up to `decided` was decided.
pub(crate) fn check_read(replica: ReplicaId, slot: Slot, decided: Slot) -> Check {
    if decided <= slot {
        return Ok(());
    }
    let detail = format!("{replica} reads at {slot}; {decided} was decided when the read arrived");
    Err(broken(READ_SEES_DECIDED, detail))
}
