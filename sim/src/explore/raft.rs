//! Explorations of Raft.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_raft::{Message, Raft, RaftConfig, Term};
use quorate_smr::{Batch, ReplicaId, Slot};

use super::protocol::{Bounds, Disk, Exploration, Explore, Milestone};

impl Explore for Raft {
    const SYMMETRIC: bool = true;
    const COMMITTED_ONCE: bool = true;

    fn small_config() -> RaftConfig {
        RaftConfig {
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            election_spread: Duration::from_nanos(1),
            pre_vote: false,
            check_quorum: false,
            ..RaftConfig::default()
        }
    }

    fn logs_match(left: &Self, right: &Self) -> Result<(), String> {
        let (left, right) = (log(left), log(right));
        let common = |(slot, entry): &(&Slot, &(Term, &Batch))| {
            right.get(*slot).is_some_and(|other| other.0 == entry.0)
        };
        let Some(last) = left.iter().filter(common).map(|(slot, _)| *slot).next_back() else {
            return Ok(());
        };
        let differs = |(slot, entry): &(&Slot, &(Term, &Batch))| {
            right.get(*slot).is_some_and(|other| other != *entry)
        };
        match left.range(..=last).find(differs) {
            None => Ok(()),
            Some((slot, _)) => Err(format!("logs agree on the term at {last}, not on {slot}")),
        }
    }

    fn entry_epoch(&self, slot: Slot) -> Option<u64> {
        let mut entries = self.log_entries();
        entries.find(|(held, _, _)| *held == slot).map(|(_, term, _)| term.0)
    }

    fn explorations() -> Vec<Exploration<Self>> {
        use Milestone::SnapshotInstalled;
        use Milestone::{Committed, CommittedInSecondEpoch, Elected, ReadAnswered, SecondLeader};
        let run = Exploration::new;
        let bounds = |given: &str| given.parse::<Bounds>().unwrap_or_default();
        let election = |message: &Message| {
            !matches!(message, Message::Vote { .. } | Message::VoteReply { granted: true, .. })
        };
        vec![
            Exploration {
                bounds: bounds("timeouts=2,crashes=1,epochs=2"),
                lost: election,
                expects: vec![Elected, SecondLeader],
                gate: true,
                ..run("elections", "two elections, a crash at any point; votes only")
            },
            Exploration {
                bounds: bounds("timeouts=1,proposals=2,epochs=1"),
                expects: vec![Elected, Committed],
                gate: true,
                ..run("commands", "one leader, two commands, every message")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=2,crashes=1,epochs=2"),
                lost: beside_the_point,
                timed: [ReplicaId(0), ReplicaId(2)].into_iter().collect(),
                one_each: true,
                expects: vec![Committed, SecondLeader, CommittedInSecondEpoch],
                gate: true,
                ..run("two-leaders", "two leaders, a command under each, a crash of anyone")
            },
            Exploration {
                bounds: bounds("timeouts=1,proposals=1,crashes=1,epochs=1"),
                disk: Disk::Later,
                lost: beside_the_point,
                expects: vec![Committed],
                ..run("slow-disk", "one leader, a command, disks that lag, a crash")
            },
            Exploration {
                bounds: bounds("timeouts=2,reads=1,epochs=2"),
                expects: vec![ReadAnswered],
                ..run("reads", "a read and two leaders, every message")
            },
            Exploration {
                config: RaftConfig { pre_vote: true, check_quorum: true, ..Self::small_config() },
                bounds: bounds("timeouts=3,heartbeats=1,epochs=2"),
                expects: vec![Elected, SecondLeader],
                ..run("pre-vote", "elections with pre-vote and check-quorum, every message")
            },
            Exploration {
                config: RaftConfig {
                    snapshot_interval: 1,
                    trailing_slots: 0,
                    ..Self::small_config()
                },
                bounds: bounds("timeouts=1,proposals=1,heartbeats=1,epochs=1"),
                expects: vec![SnapshotInstalled],
                ..run("snapshots", "a snapshot after each slot, installed by who lags")
            },
        ]
    }
}

/// What only deposes, repairs or speeds up.
const fn beside_the_point(message: &Message) -> bool {
    matches!(
        message,
        Message::NewerTerm { .. }
            | Message::Conflict { .. }
            | Message::HeartbeatReply { .. }
            | Message::Commit { .. }
            | Message::VoteReply { granted: false, .. }
    )
}

fn log(raft: &Raft) -> BTreeMap<Slot, (Term, &Batch)> {
    raft.log_entries().map(|(slot, term, batch)| (slot, (term, batch))).collect()
}
