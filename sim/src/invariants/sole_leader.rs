//! Election safety: at most one leader for each epoch (Raft §5.2).

use std::collections::BTreeMap;

use quorate_smr::{ReplicaId, Role, Status};

use crate::violation::{Check, broken};

/// At most one leader for each epoch.
pub const ELECTION_SAFETY: &str = "election safety: one leader for each epoch";

/// Who led each epoch.
#[derive(Debug, Default)]
pub(crate) struct Leaders(BTreeMap<u64, ReplicaId>);

impl Leaders {
    /// A replica reports `status`.
    pub(crate) fn reported(&mut self, status: &Status) -> Check {
        if status.role != Role::Leader {
            return Ok(());
        }
        let first = *self.0.entry(status.epoch).or_insert(status.replica);
        if first == status.replica {
            return Ok(());
        }
        let detail = format!("epoch {}: {first} and {}", status.epoch, status.replica);
        Err(broken(ELECTION_SAFETY, detail))
    }

    /// How many epochs had a leader.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}
