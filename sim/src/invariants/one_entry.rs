//! One value for each epoch and slot: Raft's log matching, Paxos' one value for each ballot, PBFT's
//! agreement of prepared certificates.
//!
//! (Raft §5.3: entries of the same index and term hold the same command. The induction over
//! preceding entries follows from it and from slot agreement. PBFT §4.5.1: prepared(m, v, n, i) and
//! prepared(m', v, n, j) imply the same digest.)

use std::collections::BTreeMap;

use quorate_smr::{Digest, ReplicaId, Slot};

use super::slot_agreement::{Ledger, same};
use crate::inspect::{Entry, Value};
use crate::violation::{Check, broken};

/// Replicas that hold an entry of the same epoch and slot hold the same value.
pub const ONE_VALUE_PER_EPOCH_AND_SLOT: &str = "one value for each epoch and slot";
/// Once a batch is decided at a slot, entries of later epochs at that slot hold it too (Raft
/// §5.4.3, *Paxos Made Simple* P2b, PBFT §4.5.1).
pub const CHOSEN_STAYS_CHOSEN: &str = "what is decided is what later epochs propose";
/// One replica never says two things of one slot in one epoch, crashes or not.
pub const NEVER_TWO_THINGS: &str = "a replica never says two things";

/// Every entry that an honest replica ever wrote, and what each said.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    written: BTreeMap<(Slot, u64), (Value, ReplicaId)>,
    said: BTreeMap<(Slot, u64, ReplicaId), Value>,
}

impl Entries {
    /// `replica` writes `entry`.
    pub(crate) fn wrote(&mut self, replica: ReplicaId, entry: Entry, ledger: &Ledger) -> Check {
        let Entry { slot, epoch, value } = entry;
        if let Some(decided) = ledger.decided(slot).filter(|decided| decided.epoch < epoch) {
            let kept = match &value {
                Value::Batch(batch) => same(&decided.batch, batch),
                Value::Digest(digest) => decided.digest() == *digest,
            };
            if !kept {
                let was = &decided.batch;
                let detail =
                    format!("{slot} decided {was:?}; in epoch {epoch} {replica} has {value:?}");
                return Err(broken(CHOSEN_STAYS_CHOSEN, detail));
            }
        }
        let (known, other) =
            self.written.entry((slot, epoch)).or_insert_with(|| (value.clone(), replica));
        if equal(known, &value) {
            return Ok(());
        }
        let detail =
            format!("{slot} in epoch {epoch}: {other} holds {known:?}, {replica} holds {value:?}");
        Err(broken(ONE_VALUE_PER_EPOCH_AND_SLOT, detail))
    }

    /// What was written at `slot` in epochs above `epoch`.
    pub(super) fn above(&self, slot: Slot, epoch: u64) -> impl Iterator<Item = (u64, &Value)> {
        let range = (slot, epoch.saturating_add(1))..=(slot, u64::MAX);
        self.written.range(range).map(|((_, epoch), (value, _))| (*epoch, value))
    }

    /// `replica` has durably recorded `entry` and may tell others.
    pub(crate) fn says(&mut self, replica: ReplicaId, entry: Entry) -> Check {
        let Entry { slot, epoch, value } = entry;
        let said = self.said.entry((slot, epoch, replica)).or_insert_with(|| value.clone());
        if equal(said, &value) {
            return Ok(());
        }
        let detail = format!("{replica}, {slot}, epoch {epoch}: first {said:?}, then {value:?}");
        Err(broken(NEVER_TWO_THINGS, detail))
    }
}

/// Replicas in one process mostly share the bytes of batches.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Batch(left), Value::Batch(right)) => same(left, right),
        (Value::Digest(left), Value::Digest(right)) => left == right,
        _ => false,
    }
}

/// The digest of a decided batch; one that does not open has none that anyone could name.
pub(crate) fn digest_of(batch: &quorate_smr::Batch) -> Digest {
    batch.digest(&mut Vec::new()).unwrap_or_default()
}
