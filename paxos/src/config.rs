//! Settings of a Paxos replica, their defaults and their checks.
//!
//! What always holds: a replica runs only with settings that passed [`PaxosConfig::validate`].

use std::time::Duration;

use quorate_smr::batch::BATCH_RAW_BYTES_MAX;
use quorate_smr::{QuorumRule, RecoverError, ReplicaSet};

#[cfg(feature = "planted-defects")]
use crate::defect::Defect;

/// The largest window in slots that a configuration may ask for.
pub const WINDOW_SLOTS_MAX: u64 = 1 << 20;

/// The settings of Multi-Paxos. All replicas of a group should share them; the quorum sizes must.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PaxosConfig {
    /// How often a leader speaks when it has nothing to say, and how often lost messages are sent
    /// again.
    pub heartbeat: Duration,
    /// A follower that hears no leader for this long may stand for election (drawn at random
    /// between this and `election_timeout_max`, anew for each attempt).
    pub election_timeout_min: Duration,
    /// The upper end of that range. A leader that hears from no quorum for this long steps down.
    pub election_timeout_max: Duration,
    /// Quorum sizes; `None` means majorities.
    pub quorums: Option<FlexibleQuorums>,
    /// Slots that a leader has open (proposed, not decided) at most.
    pub window_slots_max: u64,
    /// Bytes of batches that a leader has open at most. One batch may always be open.
    pub window_bytes_max: usize,
    /// Bytes of batches (with bookkeeping) that the log holds at most; above it proposals are
    /// refused as busy. Snapshots are taken early enough to stay below it.
    pub log_bytes_max: usize,
    /// A snapshot is taken after this many slots.
    pub snapshot_interval: u64,
    /// Slots that stay in memory below a snapshot, so that a peer slightly behind needs no snapshot.
    pub retained_slots_max: u64,
    /// How long a sent snapshot may take before it is sent to the same peer again.
    pub snapshot_retry: Duration,
    /// Bytes of batches in one promise, one page of decisions or one burst of retransmissions.
    /// A single larger batch still travels.
    pub page_bytes_max: usize,
    /// Batches in one such message or burst.
    pub page_slots_max: usize,
    /// Linearizable reads that wait at a leader at most.
    pub reads_max: usize,
    /// A defect to plant; `None` is a correct replica.
    #[cfg(feature = "planted-defects")]
    pub defect: Option<Defect>,
}

/// Quorum sizes for the two phases; Howard, Malkhi, Spiegelman, *Flexible Paxos*, 2016: only
/// quorums of *different* phases must intersect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlexibleQuorums {
    /// Promises that elect a leader.
    pub phase1: usize,
    /// Acceptances that decide a slot.
    pub phase2: usize,
}

impl Default for PaxosConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(50),
            election_timeout_min: Duration::from_millis(150),
            election_timeout_max: Duration::from_millis(300),
            quorums: None,
            window_slots_max: 1024,
            window_bytes_max: 16 << 20,
            log_bytes_max: 256 << 20,
            snapshot_interval: 100_000,
            retained_slots_max: 1024,
            snapshot_retry: Duration::from_secs(2),
            page_bytes_max: 1 << 20,
            page_slots_max: 256,
            reads_max: 4096,
            #[cfg(feature = "planted-defects")]
            defect: None,
        }
    }
}

impl PaxosConfig {
    /// Checks the settings for a group of `members` and derives its quorums.
    ///
    /// # Errors
    /// [`RecoverError::Config`] names the setting to change; [`RecoverError::Quorum`] says why
    /// the quorums are unsafe.
    pub fn validate(&self, members: ReplicaSet) -> Result<QuorumRule, RecoverError> {
        let require = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(RecoverError::Config(what.to_owned())) }
        };
        require(!self.heartbeat.is_zero(), "heartbeat must be above zero")?;
        require(
            self.heartbeat.saturating_mul(2) <= self.election_timeout_min,
            "election_timeout_min must be at least twice the heartbeat",
        )?;
        require(
            self.election_timeout_min < self.election_timeout_max,
            "election_timeout_max must exceed election_timeout_min, or proposers duel for ever",
        )?;
        require(
            (1..=WINDOW_SLOTS_MAX).contains(&self.window_slots_max),
            "window_slots_max must be between 1 and WINDOW_SLOTS_MAX",
        )?;
        require(self.window_bytes_max >= 1, "window_bytes_max must be above zero")?;
        require(
            self.log_bytes_max / 4 >= self.window_bytes_max,
            "log_bytes_max must be at least four times window_bytes_max",
        )?;
        require(self.snapshot_interval >= 1, "snapshot_interval must be at least one slot")?;
        require(
            (1..=BATCH_RAW_BYTES_MAX).contains(&self.page_bytes_max),
            "page_bytes_max must be between 1 and the largest batch, so that a page fits a frame",
        )?;
        require(self.page_slots_max >= 1, "page_slots_max must be above zero")?;
        require(self.reads_max >= 1, "reads_max must be above zero")?;
        Ok(match self.quorums {
            None => QuorumRule::majority(members)?,
            Some(sizes) => QuorumRule::flexible(members, sizes.phase1, sizes.phase2)?,
        })
    }

    /// How far above its decided prefix an acceptor accepts: a leader's window, and as much again
    /// for what is decided but not yet known here.
    pub(crate) const fn accept_slots_max(&self) -> u64 {
        2 * self.window_slots_max
    }

    /// The limit of `Status::held_bytes`: the log, and values adopted while a leader is prepared.
    pub(crate) const fn held_bytes_max(&self) -> usize {
        self.log_bytes_max.saturating_mul(2)
    }

    /// Whether `defect` is planted.
    #[cfg(feature = "planted-defects")]
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }
}

/// `true` when the named defect is planted; without the feature a constant `false`.
macro_rules! planted {
    ($config:expr, $defect:ident) => {{
        #[cfg(feature = "planted-defects")]
        let planted = $config.has($crate::defect::Defect::$defect);
        #[cfg(not(feature = "planted-defects"))]
        let planted = {
            let _ = &$config;
            false
        };
        planted
    }};
}
pub(crate) use planted;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_for_every_group_size() {
        for count in 1..=quorate_smr::REPLICAS_MAX {
            assert!(PaxosConfig::default().validate(ReplicaSet::first(count)).is_ok());
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let five = ReplicaSet::first(5);
        type Spoil = fn(&mut PaxosConfig);
        let cases: [(&str, Spoil); 10] = [
            ("heartbeat", |c| c.heartbeat = Duration::ZERO),
            ("election_timeout_min", |c| c.heartbeat = Duration::from_millis(100)),
            ("election_timeout_max", |c| c.election_timeout_max = c.election_timeout_min),
            ("window_slots_max", |c| c.window_slots_max = 0),
            ("window_slots_max", |c| c.window_slots_max = u64::MAX),
            ("log_bytes_max", |c| c.log_bytes_max = c.window_bytes_max),
            ("snapshot_interval", |c| c.snapshot_interval = 0),
            ("page_bytes_max", |c| c.page_bytes_max = 0),
            ("page_slots_max", |c| c.page_slots_max = 0),
            ("reads_max", |c| c.reads_max = 0),
        ];
        for (name, spoil) in cases {
            let mut config = PaxosConfig::default();
            spoil(&mut config);
            let error = config.validate(five).unwrap_err().to_string();
            assert!(error.contains(name), "{error:?} should name {name}");
        }
    }

    #[test]
    fn quorums_of_the_two_phases_must_intersect() {
        let five = ReplicaSet::first(5);
        let with = |phase1, phase2| PaxosConfig {
            quorums: Some(FlexibleQuorums { phase1, phase2 }),
            ..PaxosConfig::default()
        };
        assert!(with(4, 2).validate(five).is_ok());
        assert!(matches!(with(3, 2).validate(five), Err(RecoverError::Quorum(_))));
    }
}
