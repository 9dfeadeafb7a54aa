//! What a leader commits by counting, and what its followers let it count (Raft §5.3, §5.4.2).

use quorate_smr::{ReplicaId, Role, Slot, Status};

use crate::inspect::Inspect;
use crate::violation::{Check, broken};

/// A leader counts replicas only for entries of its own term (figure 8).
pub const COMMIT_UNDER_OWN_EPOCH: &str = "commits only under an entry of the current term";
/// A follower acknowledges only what equals the log of its leader.
pub const ACKNOWLEDGED_IS_EQUAL: &str = "a follower acknowledges what its leader has";

/// Whether a leader committed something between the two statuses, in one epoch.
pub(crate) fn leads_on(before: &Status, now: &Status) -> bool {
    now.role == Role::Leader
        && before.role == Role::Leader
        && before.epoch == now.epoch
        && before.committed < now.committed
}

/// Checks a leader that moved from the status `before` to `now`.
pub(crate) fn check_own_epoch<P: Inspect>(protocol: &P, before: &Status, now: &Status) -> Check {
    if !leads_on(before, now) {
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

/// Checks that `replica`, whose state is `follower`, has at `upto` what `leader` has there.
pub(crate) fn check_acknowledged<P: Inspect>(
    replica: ReplicaId,
    follower: &P,
    leader: &P,
    upto: Slot,
) -> Check {
    let (ours, theirs) = (follower.epoch_at(upto), leader.epoch_at(upto));
    // What the leader dropped below its snapshot cannot be compared any more.
    let missing = theirs.is_none() && upto > leader.status().last;
    let differs = ours.zip(theirs).is_some_and(|(ours, theirs)| ours != theirs);
    if !missing && !differs {
        return Ok(());
    }
    let detail = format!("{replica} acknowledges {upto} of {ours:?}, the leader has {theirs:?}");
    Err(broken(ACKNOWLEDGED_IS_EQUAL, detail))
}
