//! An acceptor never accepts below its promise (*Paxos Made Simple*, P1a).

use quorate_smr::ReplicaId;

use crate::inspect::Inspect;
use crate::violation::{Check, broken};

/// Nothing is accepted under a ballot below the one promised.
pub const NEVER_BELOW_PROMISE: &str = "nothing is accepted below the promise";

/// Checks a record that `replica`, which has promised `promised`, writes; its promise afterwards.
pub(crate) fn check_promise<P: Inspect>(
    replica: ReplicaId,
    promised: &mut u64,
    record: &P::Record,
) -> Check {
    if let Some(accepted) = P::accepts(record).filter(|accepted| *accepted < *promised) {
        let detail = format!("{replica} promised {promised} and accepts under {accepted}");
        return Err(broken(NEVER_BELOW_PROMISE, detail));
    }
    *promised = P::promises(record).unwrap_or(0).max(*promised);
    Ok(())
}
