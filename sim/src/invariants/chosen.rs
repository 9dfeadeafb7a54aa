//! What a quorum holds on its disks: decisions come from there, and stay.
//!
//! A value is chosen when a quorum has durably accepted it, whether or not anybody learned of it
//! (*Paxos Made Simple* §2.2, P2b); a batch that enough honest replicas prepared survives a view
//! change (PBFT §4.5.1). That is stronger than what `one_entry` asks of decisions: nobody needs to
//! have decided yet. And nothing is decided before it is chosen; in Raft, before a majority has the
//! leader's entry of its own term (§5.3, §5.4.2).

use std::collections::BTreeMap;

use quorate_smr::{ReplicaId, ReplicaSet, Slot};

use super::one_entry::{Entries, equal};
use crate::inspect::{Entry, Value};
use crate::violation::{Check, broken};

/// A value that a quorum accepted is the one that every higher ballot proposes.
pub const CHOSEN_IS_PROPOSED: &str = "a chosen value is what every higher ballot proposes";
/// A batch that enough honest replicas prepared is the one that every later view proposes.
pub const PREPARED_SURVIVES: &str = "a prepared batch survives a view change";
/// When a slot is decided, a quorum has it on its disks.
pub const DECIDED_ON_QUORUM: &str = "what is decided is on the disks of a quorum";

/// Who durably accepted what, and what was chosen.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    accepted: BTreeMap<(Slot, u64), ReplicaSet>,
    chosen: BTreeMap<Slot, (u64, Value)>,
}

impl Chosen {
    /// `replica` has an entry of `epoch` at `slot` on its disk; whether it is one of at least
    /// `quorum` now.
    pub(crate) fn accepted(
        &mut self,
        replica: ReplicaId,
        slot: Slot,
        epoch: u64,
        quorum: usize,
    ) -> bool {
        let by = self.accepted.entry((slot, epoch)).or_default();
        by.insert(replica);
        by.len() >= quorum
    }

    /// A quorum has `entry` on its disks: it is chosen. `stays` names the invariant that follows.
    pub(crate) fn choose(&mut self, entry: Entry, entries: &Entries, stays: &'static str) -> Check {
        let Entry { slot, epoch, value } = entry;
        if self.chosen.get(&slot).is_some_and(|(before, _)| *before <= epoch) {
            return Ok(());
        }
        if let Some((higher, other)) = entries.above(slot, epoch).find(|it| !equal(it.1, &value)) {
            return Err(differs(stays, slot, (epoch, &value), (higher, other)));
        }
        self.chosen.insert(slot, (epoch, value));
        Ok(())
    }

    /// An honest replica writes `entry`.
    pub(crate) fn proposed(&self, entry: &Entry, stays: &'static str) -> Check {
        match self.chosen.get(&entry.slot) {
            Some((epoch, value)) if *epoch < entry.epoch && !equal(value, &entry.value) => {
                let other = (entry.epoch, &entry.value);
                Err(differs(stays, entry.slot, (*epoch, value), other))
            }
            _ => Ok(()),
        }
    }

    /// `replica` is the first to decide `slot`.
    pub(crate) fn decided(&self, replica: ReplicaId, slot: Slot) -> Check {
        if self.chosen.contains_key(&slot) {
            return Ok(());
        }
        let detail = format!("{replica} decided {slot}, which no quorum has accepted in any epoch");
        Err(broken(DECIDED_ON_QUORUM, detail))
    }

    /// The leader `replica` of `epoch` committed its entry at `slot`, with all before it.
    pub(crate) fn committed(
        &self,
        replica: ReplicaId,
        slot: Slot,
        epoch: u64,
        quorum: usize,
    ) -> Check {
        let by = self.accepted.get(&(slot, epoch)).copied().unwrap_or_default();
        if by.len() >= quorum {
            return Ok(());
        }
        let detail = format!("{replica}, leader of {epoch}, committed {slot}, durable at {by:?}");
        Err(broken(DECIDED_ON_QUORUM, detail))
    }
}

fn differs(
    stays: &'static str,
    slot: Slot,
    (epoch, value): (u64, &Value),
    (higher, other): (u64, &Value),
) -> Box<crate::Violation> {
    let detail = format!("{slot}: {value:?} was chosen in epoch {epoch}; {higher} has {other:?}");
    broken(stays, detail)
}
