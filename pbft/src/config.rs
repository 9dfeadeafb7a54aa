//! Settings and limits.

use std::time::Duration;

use quorate_smr::RecoverError;
use quorate_smr::batch::BATCH_RAW_BYTES_MAX;

use crate::keys::KeySource;
use crate::memo::SignatureMemo;

/// How many different proposals for one slot, each from another view, a replica remembers with
/// their bodies. Castro and Liskov (TOCS 2002, §4.5) let this set grow; a bound costs no safety
/// (fewer claims only make a new view harder to form), and reaching it takes as many failed views
/// in a row, each with another proposal for the slot that nobody prepared.
pub const PRE_PREPARED_PER_SLOT_MAX: usize = 8;

/// The largest window, in slots: it bounds the size of a VIEW-CHANGE.
pub const WINDOW_SLOTS_MAX: u64 = 1 << 16;

/// PBFT's settings. All replicas of a group must agree on all of them except `keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbftConfig {
    /// This replica's keys, or the secret of an in-process cluster to derive them from.
    pub keys: KeySource,
    /// Signatures known to be right, shared by the replicas of one process: for simulations. `None`
    /// elsewhere.
    pub memo: Option<SignatureMemo>,
    /// Whether commands carry a MAC of their client for each replica, checked by every replica
    /// before it prepares them. Off, a faulty *primary* can invent client requests, and replies
    /// are not tagged: only for clients inside the replicas' own trust boundary.
    pub client_auth: bool,
    /// Clients with identities `1..=clients_max` own keys; others are refused (with `client_auth`).
    pub clients_max: u32,
    /// Slots between two checkpoints.
    pub checkpoint_interval: u64,
    /// Slots above the last stable checkpoint that may be in flight (`L` in the paper); at least
    /// two checkpoint intervals, so that ordering goes on while a checkpoint becomes stable.
    pub window: u64,
    /// The largest batch that is ordered, as stored and before compression, in bytes.
    pub batch_bytes_max: usize,
    /// Bytes of batches held in the window. The primary fills half of it at most.
    pub log_bytes_max: usize,
    /// Batches that wait at the primary for room in the window.
    pub queue_max: usize,
    /// Bytes of batches that wait at the primary.
    pub queue_bytes_max: usize,
    /// Commands that a backup passed on to the primary and waits for.
    pub pending_max: usize,
    /// Bytes of batches with such commands.
    pub pending_bytes_max: usize,
    /// Commands of one client among them.
    pub pending_per_client_max: usize,
    /// How long a request may wait before a backup suspects the primary. Doubled at each view
    /// change without progress in between.
    pub view_change_timeout: Duration,
    /// The limit of that doubling.
    pub view_change_timeout_max: Duration,
    /// How long a replica that waits for something stays quiet before it tells the others what it
    /// lacks.
    pub retransmit_interval: Duration,
    /// How often a replica that waits for nothing tells the others where it stands.
    pub status_interval: Duration,
    /// A mistake to make on purpose.
    #[cfg(feature = "planted-defects")]
    pub defect: Option<Defect>,
}

impl Default for PbftConfig {
    fn default() -> Self {
        Self {
            keys: KeySource::default(),
            memo: None,
            client_auth: true,
            clients_max: 1024,
            checkpoint_interval: 1024,
            window: 4096,
            batch_bytes_max: 8 << 20,
            log_bytes_max: 512 << 20,
            queue_max: 1024,
            queue_bytes_max: 64 << 20,
            pending_max: 65_536,
            pending_bytes_max: 64 << 20,
            pending_per_client_max: 8192,
            view_change_timeout: Duration::from_secs(1),
            view_change_timeout_max: Duration::from_secs(32),
            retransmit_interval: Duration::from_millis(50),
            status_interval: Duration::from_millis(250),
            #[cfg(feature = "planted-defects")]
            defect: None,
        }
    }
}

impl PbftConfig {
    /// Checks the settings against one another.
    ///
    /// # Errors
    /// [`RecoverError::Config`] names the setting to correct.
    pub fn validate(&self) -> Result<(), RecoverError> {
        let rules = [
            (self.checkpoint_interval >= 1, "checkpoint_interval must be at least 1"),
            (
                self.window >= self.checkpoint_interval.saturating_mul(2),
                "window must hold at least two checkpoint intervals",
            ),
            (self.window <= WINDOW_SLOTS_MAX, "window must not exceed WINDOW_SLOTS_MAX (65536)"),
            (
                (1024..=BATCH_RAW_BYTES_MAX).contains(&self.batch_bytes_max),
                "batch_bytes_max must lie between 1024 and BATCH_RAW_BYTES_MAX (16 MiB)",
            ),
            (
                self.log_bytes_max / 4 >= self.batch_bytes_max,
                "log_bytes_max must hold at least four batches of batch_bytes_max",
            ),
            (self.clients_max >= 1, "clients_max must be at least 1"),
            (self.pending_max >= 1, "pending_max must be at least 1"),
            (!self.view_change_timeout.is_zero(), "view_change_timeout must not be zero"),
            (
                self.view_change_timeout_max >= self.view_change_timeout,
                "view_change_timeout_max must not be below view_change_timeout",
            ),
            (!self.retransmit_interval.is_zero(), "retransmit_interval must not be zero"),
            (!self.status_interval.is_zero(), "status_interval must not be zero"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(RecoverError::Config((*rule).to_owned())),
            None => Ok(()),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            client_auth: self.client_auth,
            checkpoint_interval: self.checkpoint_interval,
            window: self.window,
            batch_bytes_max: self.batch_bytes_max,
            log_bytes_max: self.log_bytes_max,
            queue_max: self.queue_max,
            queue_bytes_max: self.queue_bytes_max,
            pending_max: self.pending_max,
            pending_bytes_max: self.pending_bytes_max,
            pending_per_client_max: self.pending_per_client_max,
            timeout: self.view_change_timeout,
            timeout_max: self.view_change_timeout_max,
            retransmit_interval: self.retransmit_interval,
            status_interval: self.status_interval,
            #[cfg(feature = "planted-defects")]
            defect: self.defect,
        }
    }
}

/// The settings without the keys: what a running replica keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    pub(crate) client_auth: bool,
    pub(crate) checkpoint_interval: u64,
    pub(crate) window: u64,
    pub(crate) batch_bytes_max: usize,
    pub(crate) log_bytes_max: usize,
    pub(crate) queue_max: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) pending_max: usize,
    pub(crate) pending_bytes_max: usize,
    pub(crate) pending_per_client_max: usize,
    pub(crate) timeout: Duration,
    pub(crate) timeout_max: Duration,
    pub(crate) retransmit_interval: Duration,
    pub(crate) status_interval: Duration,
    #[cfg(feature = "planted-defects")]
    pub(crate) defect: Option<Defect>,
}

impl Limits {
    #[cfg(feature = "planted-defects")]
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }
}

/// Mistakes that the simulator plants to prove that its checks see them.
#[cfg(feature = "planted-defects")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A NEW-VIEW is believed: neither its proofs nor its choice are checked. A primary that leaves
    /// out a committed slot then breaks agreement; needs a Byzantine primary to show.
    NewViewUnverified,
    /// A replica leaves its prepared certificates out of its VIEW-CHANGE. A batch that one replica
    /// committed can be replaced in the next view: breaks agreement after a view change.
    PreparedDroppedInViewChange,
    /// A batch is committed once it is prepared, without a quorum of commits. Another view may
    /// decide differently: breaks agreement after a view change.
    CommitWithoutQuorum,
    /// Prepares and commits are counted as messages, not as distinct replicas. A duplicated message
    /// completes a quorum: breaks agreement after a view change.
    VotesCountMessages,
    /// Pre-prepares and prepared certificates are not written to the journal. A replica that
    /// restarts forgets what it promised: breaks agreement after a crash and a view change.
    PrepareNotPersisted,
    /// A slot counts as prepared as soon as it is pre-prepared. An equivocating primary then has two
    /// batches prepared in one view and slot.
    PreparedWithoutQuorum,
    /// A checkpoint is stable when one replica signed it. What others need is forgotten, and nobody
    /// believes the certificate.
    CheckpointWithoutQuorum,
    /// The digest of a batch is taken from its sender and not computed. Replicas agree on a digest
    /// and execute different batches.
    DigestNotCompared,
    /// A batch is prepared without a look at its clients' proofs. A faulty primary invents requests.
    ClientProofUnchecked,
    /// View changes of earlier views count for the present one. The primary opens a view that nobody
    /// else believes.
    OldViewChangesCounted,
    /// What a single replica claims to have committed is believed.
    ClaimOfOneBelieved,
    /// A replica does not write down that it left its view. After a crash it is back in it, and takes
    /// part again where it promised not to.
    ViewChangeNotPersisted,
}

#[cfg(feature = "planted-defects")]
impl Defect {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::NewViewUnverified,
        Self::PreparedDroppedInViewChange,
        Self::CommitWithoutQuorum,
        Self::VotesCountMessages,
        Self::PrepareNotPersisted,
        Self::PreparedWithoutQuorum,
        Self::CheckpointWithoutQuorum,
        Self::DigestNotCompared,
        Self::ClientProofUnchecked,
        Self::OldViewChangesCounted,
        Self::ClaimOfOneBelieved,
        Self::ViewChangeNotPersisted,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_each_rule_refuses() {
        let good = PbftConfig::default();
        good.validate().unwrap();
        let bad = [
            PbftConfig { window: 2047, ..good.clone() },
            PbftConfig { checkpoint_interval: 0, ..good.clone() },
            PbftConfig { checkpoint_interval: u64::MAX, ..good.clone() },
            PbftConfig { window: WINDOW_SLOTS_MAX + 1, ..good.clone() },
            PbftConfig { batch_bytes_max: BATCH_RAW_BYTES_MAX + 1, ..good.clone() },
            PbftConfig { log_bytes_max: 1, ..good.clone() },
            PbftConfig { clients_max: 0, ..good.clone() },
            PbftConfig { view_change_timeout: Duration::ZERO, ..good.clone() },
            PbftConfig { view_change_timeout_max: Duration::ZERO, ..good.clone() },
            PbftConfig { retransmit_interval: Duration::ZERO, ..good.clone() },
            PbftConfig { status_interval: Duration::ZERO, ..good },
        ];
        for config in bad {
            assert!(matches!(config.validate(), Err(RecoverError::Config(_))), "{config:?}");
        }
    }
}
