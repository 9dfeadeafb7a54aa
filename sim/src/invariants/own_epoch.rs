//! A leader commits only under an entry of its own term (Raft §5.4.2, figure 8).

use quorate_smr::{Role, Status};

use crate::inspect::Inspect;
use crate::violation::{Check, broken};

/// A leader counts replicas only for entries of its own term.
pub const COMMIT_UNDER_OWN_EPOCH: &str = "commits only under an entry of the current term";

/// Checks a leader that moved from the status `before` to `now`.
pub(crate) fn check_own_epoch<P: Inspect>(protocol: &P, before: &Status, now: &Status) -> Check {
    let counted = now.role == Role::Leader
        && before.role == Role::Leader
        && before.epoch == now.epoch
        && before.committed < now.committed;
    if !counted {
        return Ok(());
    }
    let (slot, epoch) = (now.committed, now.epoch);
    match protocol.epoch_at(slot) {
        Some(of) if of != epoch => {
            let replica = now.replica;
            let detail = format!("{replica}, leader of {epoch}, commits {slot} of epoch {of}");
            Err(broken(COMMIT_UNDER_OWN_EPOCH, detail))
        }
        _ => Ok(()),
    }
}
