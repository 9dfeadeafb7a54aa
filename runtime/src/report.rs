//! What a cluster says about itself: while it runs, and after it was shut down.

use std::time::Duration;

use quorate_smr::{Digest, GroupId, ReplicaId, Slot, Status};

use crate::journal::JournalCounters;

/// What the protocol stage of one replica in one group did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ProtocolCounters {
    /// Messages handed to the transport, each receiver counted.
    pub messages_sent: u64,
    /// Messages that reached the protocol.
    pub messages_received: u64,
    /// Frames on the wire ([`crate::Transport::Frames`] only).
    pub frames: u64,
    /// Bytes of these frames and of snapshots that travelled along.
    pub wire_bytes: u64,
    /// Messages dropped: a queue was full, a link was cut, or the frame did not decode.
    pub messages_dropped: u64,
    /// Messages, requests and snapshots that failed their proof.
    pub auth_failures: u64,
    /// Batches proposed here.
    pub batches: u64,
    /// Requests in them.
    pub requests: u64,
    /// Bytes of these batches before compression.
    pub raw_bytes: u64,
    /// Bytes of these batches as stored and sent.
    pub sealed_bytes: u64,
    /// Requests given back to clients.
    pub refused: u64,
    /// Linearizable reads asked of the protocol; each may serve many queries.
    pub reads: u64,
    /// Queries served by those reads.
    pub queries: u64,
}

/// What the executor of one replica in one group did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ExecutorReport {
    /// The last slot applied.
    pub applied: Slot,
    /// Digest of state machine and sessions; only in the final report.
    pub digest: Option<Digest>,
    /// Running hash over everything applied since `history_from`.
    pub history: u64,
    /// Where the running hash began: the snapshot that this incarnation started from.
    pub history_from: Slot,
    /// Commands applied by this incarnation.
    pub commands: u64,
    /// Batches applied by this incarnation.
    pub batches: u64,
    /// Answers handed to clients.
    pub answers: u64,
    /// Messages that carried them.
    pub answer_messages: u64,
    /// Answers dropped because a client was gone or its queue full.
    pub answers_dropped: u64,
    /// Snapshots taken.
    pub snapshots: u64,
}

/// One replica of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// Which replica.
    pub replica: ReplicaId,
    /// Of which group.
    pub group: GroupId,
    /// The protocol's own view; `None` when the replica is crashed or stopped.
    pub status: Option<Status>,
    /// Why the replica stopped by itself, if it did.
    pub failure: Option<String>,
    /// Requests and committed batches that wait in the protocol stage.
    pub waiting: usize,
    /// The protocol stage.
    pub protocol: ProtocolCounters,
    /// The journal.
    pub journal: JournalCounters,
    /// The executor; `None` when the replica is crashed.
    pub executor: Option<ExecutorReport>,
}

impl NodeReport {
    /// The last slot applied; zero when the replica is crashed.
    #[must_use]
    pub fn applied(&self) -> Slot {
        self.executor.map_or(Slot::ZERO, |executor| executor.applied)
    }

    /// Whether the replica runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.status.is_some() && self.executor.is_some()
    }

    /// Requests for each proposed batch; zero when none was proposed.
    #[must_use]
    pub fn mean_batch(&self) -> f64 {
        if self.protocol.batches == 0 {
            return 0.0;
        }
        self.protocol.requests as f64 / self.protocol.batches as f64
    }
}

/// One worker thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkerReport {
    /// Its number.
    pub worker: usize,
    /// How often it was woken, or woke for a deadline.
    pub wakeups: u64,
    /// Messages of replicas and pieces of work that it handed to other threads. What stays on the
    /// thread is a plain call and not counted, nor is what clients send and get.
    pub handed_over: u64,
    /// Processor time that it used; `None` where the system does not tell.
    pub cpu: Option<Duration>,
    /// Time that it was ready to run and waited for a core: large where the machine is busy with
    /// other things, and measurements are worth little.
    pub queued: Option<Duration>,
}

/// A cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// All replicas of all groups.
    pub nodes: Vec<NodeReport>,
    /// The threads.
    pub workers: Vec<WorkerReport>,
}

impl ClusterStatus {
    /// One replica of one group.
    #[must_use]
    pub fn node(&self, replica: ReplicaId, group: GroupId) -> Option<&NodeReport> {
        self.nodes.iter().find(|node| node.replica == replica && node.group == group)
    }

    /// Who leads `group`, by the replica that leads the highest epoch.
    #[must_use]
    pub fn leader(&self, group: GroupId) -> Option<ReplicaId> {
        let statuses = self.nodes.iter().filter(|node| node.group == group);
        let leads = statuses
            .filter_map(|node| node.status)
            .filter(|status| status.role == quorate_smr::Role::Leader);
        leads.max_by_key(|status| status.epoch).map(|status| status.replica)
    }

    /// Whether, in every group, all running replicas applied the same slots and none has work left.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let running = || self.nodes.iter().filter(|node| node.is_running());
        running().all(|node| {
            let peers = running().filter(|peer| peer.group == node.group);
            let furthest = peers.map(NodeReport::furthest).max().unwrap_or(Slot::ZERO);
            node.waiting == 0 && node.applied() == furthest
        })
    }
}

impl NodeReport {
    /// The last slot for which anything is held.
    fn furthest(&self) -> Slot {
        self.status
            .map_or(Slot::ZERO, |status| status.last.max(status.committed))
            .max(self.applied())
    }
}

/// What a cluster did, told by [`crate::Cluster::shutdown`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterReport {
    /// All replicas of all groups, with digests, and the threads.
    pub last: ClusterStatus,
    /// Whether all running replicas reached the same slots before the drain timeout.
    pub settled: bool,
    /// From start to the end of the drain.
    pub ran: Duration,
}

/// Why a report does not prove agreement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Two replicas differ at the same slot: agreement is broken.
    #[error("{left} and {right} of {group} differ at {slot}: agreement is broken")]
    Diverged {
        /// The group.
        group: GroupId,
        /// The slot that both applied last.
        slot: Slot,
        /// One replica.
        left: ReplicaId,
        /// The other.
        right: ReplicaId,
    },
    /// Running replicas stand at different slots: nothing is proven. Heal links, allow more time.
    #[error(
        "{replica} of {group} applied up to {applied}, others up to {furthest}; heal the links or raise the drain timeout"
    )]
    Lagging {
        /// The group.
        group: GroupId,
        /// The replica behind.
        replica: ReplicaId,
        /// Its last slot.
        applied: Slot,
        /// The last slot of the one that is ahead.
        furthest: Slot,
    },
    /// A replica stopped by itself.
    #[error("{replica} of {group} stopped: {reason}")]
    Stopped {
        /// The group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// Why.
        reason: String,
    },
}

impl ClusterReport {
    /// Proves that replicas agree: of those that ran at the end, all of a group stand at the same
    /// slot with the same digest, and with the same history where it began at the same slot.
    ///
    /// # Errors
    /// Names the first pair that differs, or the replica that is behind or stopped.
    pub fn verify(&self) -> Result<(), VerifyError> {
        for node in &self.last.nodes {
            if let Some(reason) = &node.failure {
                let (group, replica) = (node.group, node.replica);
                return Err(VerifyError::Stopped { group, replica, reason: reason.clone() });
            }
        }
        for (index, left) in self.running().enumerate() {
            let others = self.running().skip(index + 1).filter(|right| right.group == left.group);
            for right in others {
                compare(left, right)?;
            }
        }
        Ok(())
    }

    /// The sum over all replicas and groups of what `count` reads.
    #[must_use]
    pub fn total(&self, count: impl Fn(&NodeReport) -> u64) -> u64 {
        self.last.nodes.iter().map(count).sum()
    }

    fn running(&self) -> impl Iterator<Item = &NodeReport> {
        self.last.nodes.iter().filter(|node| node.is_running())
    }
}

fn compare(left: &NodeReport, right: &NodeReport) -> Result<(), VerifyError> {
    let group = left.group;
    let (Some(a), Some(b)) = (&left.executor, &right.executor) else { return Ok(()) };
    if a.applied != b.applied {
        let (behind, ahead) = if a.applied < b.applied { (left, right) } else { (right, left) };
        return Err(VerifyError::Lagging {
            group,
            replica: behind.replica,
            applied: behind.applied(),
            furthest: ahead.applied(),
        });
    }
    let histories_differ = a.history_from == b.history_from && a.history != b.history;
    if a.digest != b.digest || histories_differ {
        let (left, right) = (left.replica, right.replica);
        return Err(VerifyError::Diverged { group, slot: a.applied, left, right });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate_smr::Role;

    use super::*;

    fn node(replica: u8, applied: u64, state: &[u8]) -> NodeReport {
        let slot = Slot(applied);
        let executor = ExecutorReport {
            applied: slot,
            digest: Some(Digest::of(state)),
            ..ExecutorReport::default()
        };
        let status = Status {
            replica: ReplicaId(replica),
            role: Role::Follower,
            epoch: 1,
            leader: None,
            base: Slot::ZERO,
            committed: slot,
            last: slot,
            held_bytes: 0,
            held_bytes_max: 0,
        };
        NodeReport {
            replica: ReplicaId(replica),
            group: GroupId(0),
            status: Some(status),
            failure: None,
            waiting: 0,
            protocol: ProtocolCounters::default(),
            journal: JournalCounters::default(),
            executor: Some(executor),
        }
    }

    fn report(nodes: Vec<NodeReport>) -> ClusterReport {
        let last = ClusterStatus { nodes, workers: Vec::new() };
        ClusterReport { settled: last.is_settled(), last, ran: Duration::ZERO }
    }

    #[test]
    fn equal_digests_at_equal_slots_pass() {
        let report = report(vec![node(0, 5, b"same"), node(1, 5, b"same")]);
        assert!(report.settled);
        assert_eq!(report.verify(), Ok(()));
    }

    #[test]
    fn a_planted_difference_is_found() {
        let error = report(vec![node(0, 5, b"one"), node(1, 5, b"other")]).verify().unwrap_err();
        assert!(matches!(error, VerifyError::Diverged { slot: Slot(5), .. }));
    }

    #[test]
    fn a_replica_that_is_behind_proves_nothing() {
        let report = report(vec![node(0, 5, b"x"), node(1, 4, b"y")]);
        assert!(!report.settled);
        assert!(matches!(
            report.verify(),
            Err(VerifyError::Lagging { replica: ReplicaId(1), furthest: Slot(5), .. })
        ));
    }

    #[test]
    fn a_crashed_replica_is_left_out_and_one_that_stopped_by_itself_is_not() {
        let mut crashed = node(1, 4, b"y");
        crashed.status = None;
        assert_eq!(report(vec![node(0, 5, b"x"), crashed.clone()]).verify(), Ok(()));
        crashed.failure = Some("disk".into());
        let error = report(vec![node(0, 5, b"x"), crashed]).verify().unwrap_err();
        assert!(matches!(error, VerifyError::Stopped { replica: ReplicaId(1), .. }));
    }
}
