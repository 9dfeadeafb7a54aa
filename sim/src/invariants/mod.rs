//! What must always hold. One file for one invariant, each with its name as reports print it.
//!
//! Checks are incremental: each looks only at what just changed, so that they cost little more
//! than the run itself. Byzantine replicas are never asked.

mod acknowledged;
mod acknowledgements;
mod bounded;
mod checkpoints;
mod chosen;
mod exactly_once;
mod leader_completeness;
mod log_matching;
mod memory;
mod monotone;
mod one_entry;
mod own_epoch;
mod promise;
mod provenance;
mod reads;
mod slot_agreement;
mod sole_leader;
mod state_agreement;

pub use acknowledged::ACKNOWLEDGED_IS_APPLIED;
pub use bounded::BUFFERS_BOUNDED;
pub use checkpoints::CHECKPOINTS_AGREE;
pub use chosen::{CHOSEN_IS_PROPOSED, DECIDED_ON_QUORUM, PREPARED_SURVIVES};
pub use exactly_once::{APPLIED_AT_MOST_ONCE, SAME_ANSWER};
pub use leader_completeness::LEADER_COMPLETENESS;
pub use log_matching::LOG_MATCHING;
pub use memory::TOLD_IS_REMEMBERED;
pub use monotone::NEVER_BACK;
pub use one_entry::{CHOSEN_STAYS_CHOSEN, NEVER_TWO_THINGS, ONE_VALUE_PER_EPOCH_AND_SLOT};
pub use own_epoch::{ACKNOWLEDGED_IS_EQUAL, COMMIT_UNDER_OWN_EPOCH};
pub use promise::NEVER_BELOW_PROMISE;
pub use provenance::NOTHING_INVENTED;
pub use reads::READ_SEES_DECIDED;
pub use slot_agreement::{SLOT_AGREEMENT, SLOTS_CONTIGUOUS};
pub use sole_leader::ELECTION_SAFETY;
pub use state_agreement::STATE_AGREEMENT;

/// After healing, clients are served within the bound.
pub const PROGRESS: &str = "progress after healing";
/// After healing, all running replicas reach the same slot and the same state.
pub const CONVERGENCE: &str = "convergence after healing";
/// Client histories are linearizable.
pub const LINEARIZABLE: &str = "linearizability";
/// A replica recovers from its own journal.
pub const RECOVERS: &str = "recovery from the journal";
/// No assertion of the protocol or its host fails.
pub const NO_PANIC: &str = "no broken assertion";
/// A run ends: no message storm, no deadline that never passes.
pub const NO_RUNAWAY: &str = "no runaway";
/// A corrupted frame or a torn record is refused.
pub const CORRUPTION_REFUSED: &str = "corruption is refused";
/// What a protocol asks of its host makes sense (snapshots that exist, slots not yet passed).
pub const CONTRACT: &str = "host contract";

/// Every invariant, for reports.
pub const ALL: &[&str] = &[
    SLOT_AGREEMENT,
    SLOTS_CONTIGUOUS,
    STATE_AGREEMENT,
    NEVER_BACK,
    ACKNOWLEDGED_IS_APPLIED,
    NOTHING_INVENTED,
    APPLIED_AT_MOST_ONCE,
    SAME_ANSWER,
    BUFFERS_BOUNDED,
    TOLD_IS_REMEMBERED,
    ELECTION_SAFETY,
    ONE_VALUE_PER_EPOCH_AND_SLOT,
    CHOSEN_STAYS_CHOSEN,
    NEVER_TWO_THINGS,
    NEVER_BELOW_PROMISE,
    LEADER_COMPLETENESS,
    LOG_MATCHING,
    COMMIT_UNDER_OWN_EPOCH,
    CHOSEN_IS_PROPOSED,
    PREPARED_SURVIVES,
    DECIDED_ON_QUORUM,
    ACKNOWLEDGED_IS_EQUAL,
    READ_SEES_DECIDED,
    CHECKPOINTS_AGREE,
    PROGRESS,
    CONVERGENCE,
    LINEARIZABLE,
    RECOVERS,
    NO_PANIC,
    NO_RUNAWAY,
    CORRUPTION_REFUSED,
    CONTRACT,
];

pub(crate) use acknowledgements::Acknowledgements;
pub(crate) use memory::Told;
pub(crate) use monotone::Progress;

use acknowledged::Acknowledged;
use checkpoints::Checkpoints;
use chosen::Chosen;
use exactly_once::Applications;
use log_matching::Chains;
use one_entry::Entries;
use provenance::Issued;
use slot_agreement::Ledger;
use sole_leader::Leaders;
use state_agreement::States;

/// What the checks remember over the whole cluster.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) ledger: Ledger,
    pub(crate) states: States,
    pub(crate) issued: Issued,
    pub(crate) applications: Applications,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) leaders: Leaders,
    pub(crate) entries: Entries,
    pub(crate) chains: Chains,
    pub(crate) chosen: Chosen,
    pub(crate) checkpoints: Checkpoints,
}

pub(crate) use bounded::{check_bounded, check_buffer, check_host};
pub(crate) use leader_completeness::check_complete;
pub(crate) use own_epoch::{check_acknowledged, check_own_epoch, leads_on};
pub(crate) use promise::check_promise;
pub(crate) use reads::check_read;
