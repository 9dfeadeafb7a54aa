//! What a client was told is true, and is never lost.

use quorate_smr::session::ReplyStatus;
use quorate_smr::{ClientId, RequestSeq, Slot};

use super::exactly_once::Applications;
use crate::violation::{Check, broken};

/// An acknowledged request was applied with that answer, and every replica reaches its slot.
pub const ACKNOWLEDGED_IS_APPLIED: &str = "nothing acknowledged is lost";

/// How far the acknowledgements reach.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    last: Slot,
}

impl Acknowledged {
    /// A client accepted an answer.
    pub(crate) fn accepted(
        &mut self,
        applications: &Applications,
        client: ClientId,
        seq: RequestSeq,
        status: ReplyStatus,
        answer: &[u8],
    ) -> Check {
        if status != ReplyStatus::Applied {
            return Ok(());
        }
        match applications.answer(client, seq) {
            Some((slot, applied)) if applied == answer => {
                self.last = self.last.max(slot);
                Ok(())
            }
            known => {
                let known = known.map(|(slot, _)| slot);
                let detail = format!("{client} {seq} was acknowledged; applied at {known:?}");
                Err(broken(ACKNOWLEDGED_IS_APPLIED, detail))
            }
        }
    }

    /// At the end of a run all running replicas stand at `applied`.
    pub(crate) fn survive(&self, applied: Slot) -> Check {
        if self.last <= applied {
            return Ok(());
        }
        let detail = format!("{} was acknowledged, replicas ended at {applied}", self.last);
        Err(broken(ACKNOWLEDGED_IS_APPLIED, detail))
    }
}
