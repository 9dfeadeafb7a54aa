//! Commits, applications and epochs never go back while a replica runs.

use quorate_smr::{Slot, Status};

use crate::violation::{Check, broken};

/// Commit, apply and epoch never go back.
pub const NEVER_BACK: &str = "commit, apply and epoch never go back";

/// How far one incarnation got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) status: Status,
    applied: Slot,
}

impl Progress {
    pub(crate) const fn new(status: Status, applied: Slot) -> Self {
        Self { status, applied }
    }

    /// The replica now reports `status` and stands at `applied`.
    pub(crate) fn advance(&mut self, status: Status, applied: Slot) -> Check {
        let before = &self.status;
        let forward = before.committed <= status.committed
            && before.epoch <= status.epoch
            && before.base <= status.base
            && self.applied <= applied
            && status.base <= status.committed
            && status.committed <= status.last.max(status.base);
        if forward {
            *self = Self { status, applied };
            return Ok(());
        }
        let was = self.applied;
        let detail = format!("from {before:?}, applied {was}, to {status:?}, applied {applied}");
        Err(broken(NEVER_BACK, detail))
    }
}
