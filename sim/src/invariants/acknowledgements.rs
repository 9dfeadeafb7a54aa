//! A log entry that a replica acknowledged is in its log after a crash, unless a snapshot covers it.
//!
//! What a replica acknowledges (Raft's AppendEntries result, Paxos' phase 2b) counts towards a
//! quorum; if it could be forgotten, a decided value could. An entry that the replica itself
//! replaced since then, because a newer leader said so, is demanded no more.

use std::collections::BTreeMap;

use quorate_smr::{ReplicaId, Slot};

use super::memory::TOLD_IS_REMEMBERED;
use crate::inspect::Inspect;
use crate::violation::{Check, broken};

/// For each slot that one replica acknowledged, over all its incarnations, the entry's epoch.
#[derive(Debug, Default)]
pub(crate) struct Acknowledgements(BTreeMap<Slot, u64>);

impl Acknowledgements {
    /// A message leaves that acknowledges all slots up to `upto`.
    ///
    /// Cost: the slots that were not acknowledged before.
    pub(crate) fn told<P: Inspect>(&mut self, protocol: &P, upto: Slot) {
        let settled = protocol.settled();
        if self.0.first_key_value().is_some_and(|(slot, _)| *slot <= settled) {
            self.0 = self.0.split_off(&settled.next());
        }
        let known = self.0.last_key_value().map_or(Slot::ZERO, |(slot, _)| *slot);
        for slot in (known.max(settled).0 + 1..=upto.0).map(Slot) {
            if let Some(epoch) = protocol.epoch_at(slot) {
                self.0.insert(slot, epoch);
            }
        }
    }

    /// The replica writes another entry at `slot`; what follows it in a chained log falls as well.
    pub(crate) fn replaced(&mut self, slot: Slot) {
        if self.0.last_key_value().is_some_and(|(last, _)| slot <= *last) {
            self.0.split_off(&slot);
        }
    }

    /// `protocol` was recovered from the journal.
    pub(crate) fn recovered<P: Inspect>(&self, replica: ReplicaId, protocol: &P) -> Check {
        let settled = protocol.settled();
        for (slot, epoch) in self.0.range(settled.next()..) {
            let now = protocol.epoch_at(*slot);
            if now.is_none_or(|now| now < *epoch) {
                let detail =
                    format!("{replica} acknowledged {slot} of epoch {epoch}, recovered {now:?}");
                return Err(broken(TOLD_IS_REMEMBERED, detail));
            }
        }
        Ok(())
    }
}
