//! Leader completeness: a leader holds every batch committed in earlier epochs (Raft §5.4).

use quorate_smr::{Slot, Status};

use super::slot_agreement::Ledger;
use crate::inspect::Inspect;
use crate::violation::{Check, broken};

/// A leader holds what earlier epochs committed.
pub const LEADER_COMPLETENESS: &str = "leader completeness";

/// Checks a replica that just began to lead. Cost: the length of the log; elections are rare.
pub(crate) fn check_complete<P: Inspect>(protocol: &P, status: &Status, ledger: &Ledger) -> Check {
    let Some(log) = protocol.log() else { return Ok(()) };
    for slot in (status.base.next().0..=ledger.last().0).map(Slot) {
        let Some(decided) = ledger.decided(slot).filter(|held| held.epoch < status.epoch) else {
            continue;
        };
        let complete = log.get(&slot).is_some_and(|batch| *batch == decided.batch);
        if !complete {
            let (replica, epoch) = (status.replica, status.epoch);
            let detail = format!("{replica} leads epoch {epoch} without {slot}");
            return Err(broken(LEADER_COMPLETENESS, detail));
        }
    }
    Ok(())
}
