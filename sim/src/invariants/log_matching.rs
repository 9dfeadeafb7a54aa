//! Log matching: entries of the same slot and term are preceded by the same entries (Raft §5.3).
//!
//! By induction: two entries of one slot and term hold the same batch (`one_entry`), and here, the
//! entries right before them are of the same term.

use std::collections::BTreeMap;

use quorate_smr::{ReplicaId, Slot};

use crate::violation::{Check, broken};

/// Logs that hold an entry of the same slot and term are equal up to it.
pub const LOG_MATCHING: &str = "log matching";

/// For each entry that was ever written, the term of the entry before it, and who wrote it first.
#[derive(Debug, Default)]
pub(crate) struct Chains(BTreeMap<(Slot, u64), (u64, ReplicaId)>);

impl Chains {
    /// `replica` writes an entry of `epoch` at `slot`, behind one of the epoch `before`.
    pub(crate) fn wrote(
        &mut self,
        replica: ReplicaId,
        slot: Slot,
        epoch: u64,
        before: u64,
    ) -> Check {
        let (known, first) = *self.0.entry((slot, epoch)).or_insert((before, replica));
        if known == before {
            return Ok(());
        }
        let detail = format!(
            "{slot} of epoch {epoch} follows an entry of epoch {known} at {first}, of epoch \
             {before} at {replica}"
        );
        Err(broken(LOG_MATCHING, detail))
    }
}
