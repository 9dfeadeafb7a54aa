//! Replicas that applied the same slots are in the same state and gave the same answers.
//!
//! After each slot the answers are compared (they come out of the state, and a hash of them costs
//! nothing); at snapshots, at installs and at the end of the run the digests of the whole state.

use std::collections::BTreeMap;

use quorate_smr::{Digest, ReplicaId, Slot};

use crate::violation::{Check, broken};

/// Applied states agree at equal slots.
pub const STATE_AGREEMENT: &str = "states agree at equal slots";

/// The answers at each slot and the state digests at some.
#[derive(Debug, Default)]
pub(crate) struct States {
    answers: Vec<u64>,
    digests: BTreeMap<Slot, (Digest, ReplicaId)>,
}

impl States {
    /// `replica` applied `slot` with answers that hash to `answers`; whether it was the first.
    pub(crate) fn applied(
        &mut self,
        replica: ReplicaId,
        slot: Slot,
        answers: u64,
    ) -> Result<bool, Box<crate::Violation>> {
        let place = slot.0 as usize - 1;
        match self.answers.get(place) {
            None => {
                assert_eq!(place, self.answers.len(), "slots are applied in order");
                self.answers.push(answers);
                Ok(true)
            }
            Some(known) if *known == answers => Ok(false),
            Some(_) => {
                let detail = format!("{replica} answered the requests of {slot} in another way");
                Err(broken(STATE_AGREEMENT, detail))
            }
        }
    }

    /// `replica` stands at `slot` with a state of this digest.
    pub(crate) fn digest(&mut self, replica: ReplicaId, slot: Slot, digest: Digest) -> Check {
        let (known, other) = *self.digests.entry(slot).or_insert((digest, replica));
        if known == digest {
            return Ok(());
        }
        let detail = format!("at {slot} {other} has {known:?}, {replica} has {digest:?}");
        Err(broken(STATE_AGREEMENT, detail))
    }
}
