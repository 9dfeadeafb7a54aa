//! A chosen value is what every higher ballot proposes.
//!
//! A value is chosen when a quorum has durably accepted it, whether or not anybody learned of it
//! (*Paxos Made Simple* §2.2, P2b); a batch that enough honest replicas prepared survives a view
//! change (PBFT §4.5.1). Stronger than what `one_entry` asks of decisions: nobody needs to have
//! decided yet.

use std::collections::BTreeMap;

use quorate_smr::{ReplicaId, ReplicaSet, Slot};

use super::one_entry::{Entries, equal};
use crate::inspect::{Choice, Entry, Value};
use crate::violation::{Check, broken};

/// A value that a quorum accepted is the one that every higher ballot proposes.
pub const CHOSEN_IS_PROPOSED: &str = "a chosen value is what every higher ballot proposes";
/// A batch that enough honest replicas prepared is the one that every later view proposes.
pub const PREPARED_SURVIVES: &str = "a prepared batch survives a view change";

/// Who durably accepted what, and what was chosen.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    accepted: BTreeMap<(Slot, u64), ReplicaSet>,
    chosen: BTreeMap<Slot, (u64, Value)>,
}

impl Chosen {
    /// `replica` has `entry` on its disk.
    pub(crate) fn accepted(
        &mut self,
        replica: ReplicaId,
        entry: Entry,
        choice: Choice,
        entries: &Entries,
    ) -> Check {
        let Entry { slot, epoch, value } = entry;
        let by = self.accepted.entry((slot, epoch)).or_default();
        by.insert(replica);
        if by.len() < choice.replicas || self.chosen.get(&slot).is_some_and(|it| it.0 <= epoch) {
            return Ok(());
        }
        if let Some((higher, other)) = entries.above(slot, epoch).find(|it| !equal(it.1, &value)) {
            return Err(differs(choice, slot, (epoch, &value), (higher, other)));
        }
        self.chosen.insert(slot, (epoch, value));
        Ok(())
    }

    /// An honest replica writes `entry`.
    pub(crate) fn proposed(&self, entry: &Entry, choice: Choice) -> Check {
        match self.chosen.get(&entry.slot) {
            Some((epoch, value)) if *epoch < entry.epoch && !equal(value, &entry.value) => {
                let other = (entry.epoch, &entry.value);
                Err(differs(choice, entry.slot, (*epoch, value), other))
            }
            _ => Ok(()),
        }
    }
}

fn differs(
    choice: Choice,
    slot: Slot,
    (epoch, value): (u64, &Value),
    (higher, other): (u64, &Value),
) -> Box<crate::Violation> {
    let detail = format!("{slot}: {value:?} was chosen in epoch {epoch}; {higher} has {other:?}");
    broken(choice.invariant, detail)
}
