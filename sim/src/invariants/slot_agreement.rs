//! A slot decides one batch, and each replica commits slot after slot.

use quorate_smr::{Batch, Digest, ReplicaId, Slot};

use super::one_entry::digest_of;
use crate::violation::{Check, broken};

/// A slot decides one value.
pub const SLOT_AGREEMENT: &str = "a slot decides one value";
/// Commits come without gaps and repetitions.
pub const SLOTS_CONTIGUOUS: &str = "commits are contiguous";

/// What was decided, by whom it was first seen decided, and in which epoch.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) batch: Batch,
    pub(crate) epoch: u64,
    first: ReplicaId,
}

impl Decided {
    /// The digest of the batch. Cost: hashing it.
    pub(crate) fn digest(&self) -> Digest {
        digest_of(&self.batch)
    }
}

/// All decisions of honest replicas: entry i is slot i + 1.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Vec<Decided>);

impl Ledger {
    /// The last slot that any honest replica committed.
    pub(crate) fn last(&self) -> Slot {
        Slot(self.0.len() as u64)
    }

    /// What was decided at `slot`.
    pub(crate) fn decided(&self, slot: Slot) -> Option<&Decided> {
        self.0.get(usize::try_from(slot.previous()?.0).ok()?)
    }

    /// `replica`, whose last commit was `before`, commits `batch` at `slot`.
    pub(crate) fn commit(
        &mut self,
        replica: ReplicaId,
        before: Slot,
        slot: Slot,
        batch: &Batch,
        epoch: u64,
    ) -> Check {
        if slot != before.next() {
            let detail = format!("{replica} committed {slot} after {before}");
            return Err(broken(SLOTS_CONTIGUOUS, detail));
        }
        if slot == self.last().next() {
            self.0.push(Decided { batch: batch.clone(), epoch, first: replica });
            return Ok(());
        }
        match self.decided(slot) {
            Some(decided) if same(&decided.batch, batch) => Ok(()),
            Some(decided) => Err(broken(
                SLOT_AGREEMENT,
                format!(
                    "{slot}: {} decided {:?}, {replica} decided {batch:?}",
                    decided.first, decided.batch
                ),
            )),
            None => Err(broken(
                SLOTS_CONTIGUOUS,
                format!("{replica} committed {slot}, beyond all others at {}", self.last()),
            )),
        }
    }
}

/// Replicas in one process mostly share the bytes; then there is nothing to compare.
pub(crate) fn same(left: &Batch, right: &Batch) -> bool {
    left.as_bytes().as_ptr() == right.as_bytes().as_ptr() || left == right
}
