//! One batch for each epoch and slot: Raft's log matching, Paxos' one value for each ballot.
//!
//! (Raft §5.3: entries of the same index and term hold the same command. The induction over
//! preceding entries follows from it and from slot agreement.)

use std::collections::BTreeMap;

use quorate_smr::{Batch, ReplicaId, Slot};

use super::slot_agreement::{Ledger, same};
use crate::inspect::Entry;
use crate::violation::{Check, broken};

/// Replicas that hold an entry of the same epoch and slot hold the same batch.
pub const ONE_VALUE_PER_EPOCH_AND_SLOT: &str = "one value for each epoch and slot";

/// Once a batch is decided at a slot, entries of later epochs at that slot hold it too (Raft §5.4.3,
/// *Paxos Made Simple* P2b).
pub const CHOSEN_STAYS_CHOSEN: &str = "what is decided is what later epochs propose";

/// Every entry that an honest replica ever wrote.
#[derive(Debug, Default)]
pub(crate) struct Entries(BTreeMap<(Slot, u64), (Batch, ReplicaId)>);

impl Entries {
    /// `replica` writes `entry`.
    pub(crate) fn wrote(&mut self, replica: ReplicaId, entry: Entry, ledger: &Ledger) -> Check {
        let Entry { slot, epoch, batch } = entry;
        let decided = ledger.decided(slot).filter(|decided| decided.epoch < epoch);
        if let Some(decided) = decided.filter(|decided| !same(&decided.batch, &batch)) {
            let was = &decided.batch;
            let detail = format!("{slot} decided {was:?}; in epoch {epoch} {replica} has {batch:?}");
            return Err(broken(CHOSEN_STAYS_CHOSEN, detail));
        }
        let (known, other) =
            self.0.entry((slot, epoch)).or_insert_with(|| (batch.clone(), replica));
        if same(known, &batch) {
            return Ok(());
        }
        let detail =
            format!("{slot} in epoch {epoch}: {other} holds {known:?}, {replica} holds {batch:?}");
        Err(broken(ONE_VALUE_PER_EPOCH_AND_SLOT, detail))
    }
}
