//! Raft's settings: timeouts, windows, limits.
//!
//! Every buffer of a replica has its limit here. `Default` is the shipped choice for a LAN: an idle
//! group of three exchanges 80 small messages a second, a dead leader is replaced in 0.3 to 0.6 s.

use std::time::Duration;

use quorate_smr::RecoverError;

use crate::defect::Defect;

/// The longest duration that a setting may name: longer ones are mistakes in the unit.
pub const DURATION_MAX: Duration = Duration::from_secs(3600);
/// What an entry costs in memory beyond its batch, in bytes; counted in every byte limit.
pub const ENTRY_OVERHEAD_BYTES: usize = 96;

/// The settings of a Raft replica. All replicas of a group should agree on them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RaftConfig {
    /// How often an idle leader speaks.
    pub heartbeat_interval: Duration,
    /// The shortest election timeout: at least twice the heartbeat interval. A leader that has not
    /// heard from a quorum for this long steps down; a follower that heard from its leader within
    /// this time does not help to depose it.
    pub election_timeout: Duration,
    /// Election timeouts are drawn from `election_timeout .. election_timeout + election_spread`.
    pub election_spread: Duration,
    /// Ask whether an election could be won before starting it (thesis §9.6).
    pub pre_vote: bool,
    /// Step down without a quorum, and refuse votes while the leader is alive (thesis §6.2, §4.2.3).
    pub check_quorum: bool,
    /// Bytes sent to one follower and not yet acknowledged, at which sending pauses.
    pub window_bytes: usize,
    /// Entries sent to one follower and not yet acknowledged, at which sending pauses.
    pub window_entries: usize,
    /// The largest sum of entries in one message, in bytes; one entry is always sent whole.
    pub max_append_bytes: usize,
    /// Bytes proposed and not yet committed, beyond which a leader answers `Busy`. A single batch
    /// above this limit is refused as invalid.
    pub uncommitted_bytes_max: usize,
    /// Entries proposed and not yet committed, beyond which a leader answers `Busy`.
    pub uncommitted_entries_max: usize,
    /// Bytes of log held in memory; at least four times `uncommitted_bytes_max`. A leader answers
    /// `Busy` above three quarters of it, a snapshot is asked for when half of it is committed.
    pub log_bytes_max: usize,
    /// Reads that wait for their confirmation, beyond which a leader answers `Busy`.
    pub reads_max: usize,
    /// Committed slots after which a snapshot is asked for and the log below it dropped.
    pub snapshot_interval: u64,
    /// Slots below the snapshot that stay in memory for followers that are a little behind.
    pub trailing_slots: u64,
    /// How long a leader waits for a follower to take up a snapshot before it sends it again.
    pub snapshot_retry: Duration,
    /// The mistake to make; see [`Defect`].
    #[cfg(feature = "planted-defects")]
    pub defect: Option<Defect>,
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(50),
            election_timeout: Duration::from_millis(300),
            election_spread: Duration::from_millis(300),
            pre_vote: true,
            check_quorum: true,
            window_bytes: 16 << 20,
            window_entries: 4096,
            max_append_bytes: 1 << 20,
            uncommitted_bytes_max: 64 << 20,
            uncommitted_entries_max: 64 << 10,
            log_bytes_max: 256 << 20,
            reads_max: 64 << 10,
            snapshot_interval: 100_000,
            trailing_slots: 4096,
            snapshot_retry: Duration::from_secs(5),
            #[cfg(feature = "planted-defects")]
            defect: None,
        }
    }
}

impl RaftConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`RecoverError::Config`] names the setting and its limit.
    pub fn validate(&self) -> Result<(), RecoverError> {
        let require = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(RecoverError::Config(what.to_string())) }
        };
        let duration = |value: Duration| value > Duration::ZERO && value <= DURATION_MAX;
        require(duration(self.heartbeat_interval), "heartbeat_interval must be in (0, 1 h]")?;
        require(duration(self.election_timeout), "election_timeout must be in (0, 1 h]")?;
        require(duration(self.election_spread), "election_spread must be in (0, 1 h]")?;
        require(duration(self.snapshot_retry), "snapshot_retry must be in (0, 1 h]")?;
        require(
            self.election_timeout >= 2 * self.heartbeat_interval,
            "election_timeout must be at least twice heartbeat_interval",
        )?;
        require(self.window_bytes >= 1, "window_bytes must be at least 1")?;
        require(self.window_entries >= 1, "window_entries must be at least 1")?;
        require(self.max_append_bytes >= 1, "max_append_bytes must be at least 1")?;
        require(self.uncommitted_bytes_max >= 1 << 10, "uncommitted_bytes_max is below 1 KiB")?;
        require(self.uncommitted_entries_max >= 1, "uncommitted_entries_max must be at least 1")?;
        require(
            self.log_bytes_max / 4 >= self.uncommitted_bytes_max,
            "log_bytes_max must be at least four times uncommitted_bytes_max",
        )?;
        require(self.reads_max >= 1, "reads_max must be at least 1")?;
        require(self.snapshot_interval >= 1, "snapshot_interval must be at least 1")
    }

    /// Bytes of log up to which a leader takes proposals; the rest is kept for no-ops and for
    /// followers whose snapshots are behind the leader's.
    pub(crate) const fn proposal_bytes_max(&self) -> usize {
        self.log_bytes_max / 4 * 3
    }

    /// Whether `defect` is planted.
    #[cfg(feature = "planted-defects")]
    #[inline]
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// Without the feature nothing is planted.
    #[cfg(not(feature = "planted-defects"))]
    #[inline]
    pub(crate) const fn has(&self, _defect: Defect) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl Fn(&mut RaftConfig)) -> bool {
        let mut config = RaftConfig::default();
        change(&mut config);
        matches!(config.validate(), Err(RecoverError::Config(_)))
    }

    #[test]
    fn the_shipped_settings_are_valid() {
        assert_eq!(RaftConfig::default().validate(), Ok(()));
    }

    #[test]
    fn every_setting_out_of_range_is_refused() {
        assert!(refused(|c| c.heartbeat_interval = Duration::ZERO));
        assert!(refused(|c| c.election_timeout = c.heartbeat_interval));
        assert!(refused(|c| c.election_timeout = Duration::MAX));
        assert!(refused(|c| c.election_spread = Duration::ZERO));
        assert!(refused(|c| c.snapshot_retry = Duration::ZERO));
        assert!(refused(|c| c.window_bytes = 0));
        assert!(refused(|c| c.window_entries = 0));
        assert!(refused(|c| c.max_append_bytes = 0));
        assert!(refused(|c| c.uncommitted_bytes_max = 0));
        assert!(refused(|c| c.uncommitted_entries_max = 0));
        assert!(refused(|c| c.log_bytes_max = c.uncommitted_bytes_max));
        assert!(refused(|c| c.reads_max = 0));
        assert!(refused(|c| c.snapshot_interval = 0));
    }
}
