//! Each request is applied at most once, and always answered alike.

use std::collections::BTreeMap;

use quorate_smr::session::ReplyStatus;
use quorate_smr::{ClientId, ReplicaId, RequestSeq, Slot};

use crate::violation::{Check, broken};

/// A request is applied at most once.
pub const APPLIED_AT_MOST_ONCE: &str = "a request is applied at most once";
/// A repeated request gets the answer of its application.
pub const SAME_ANSWER: &str = "a repeated request gets the same answer";

/// What became of a request.
#[derive(Debug)]
struct Application {
    slot: Slot,
    answer: Vec<u8>,
}

/// The applications of all requests, as the first replica at each slot made them.
#[derive(Debug, Default)]
pub(crate) struct Applications {
    requests: BTreeMap<(ClientId, RequestSeq), Application>,
    /// New applications at each slot.
    fresh: Vec<u64>,
}

impl Applications {
    /// Begins the next slot.
    pub(crate) fn next_slot(&mut self) {
        self.fresh.push(0);
    }

    /// The first replica at `slot` answered a request.
    pub(crate) fn answered(
        &mut self,
        slot: Slot,
        client: ClientId,
        seq: RequestSeq,
        status: ReplyStatus,
        answer: &[u8],
    ) -> Check {
        if status != ReplyStatus::Applied {
            return Ok(());
        }
        let known = self.requests.get(&(client, seq));
        match known {
            Some(known) if known.answer == answer => Ok(()),
            Some(known) => {
                let first = known.slot;
                let detail =
                    format!("{client} {seq} was answered in {first} and otherwise in {slot}");
                Err(broken(SAME_ANSWER, detail))
            }
            None => {
                let application = Application { slot, answer: answer.to_vec() };
                self.requests.insert((client, seq), application);
                *self.fresh.last_mut().expect("a slot was begun") += 1;
                Ok(())
            }
        }
    }

    /// `replica` applied `count` commands at `slot`.
    pub(crate) fn counted(&self, replica: ReplicaId, slot: Slot, count: u64) -> Check {
        let fresh = self.fresh[slot.0 as usize - 1];
        if fresh == count {
            return Ok(());
        }
        let detail = format!("{replica} applied {count} commands at {slot}, new were {fresh}");
        Err(broken(APPLIED_AT_MOST_ONCE, detail))
    }

    /// The answer to a request, if it was applied.
    pub(crate) fn answer(&self, client: ClientId, seq: RequestSeq) -> Option<(Slot, &[u8])> {
        let application = self.requests.get(&(client, seq))?;
        Some((application.slot, &application.answer))
    }
}
