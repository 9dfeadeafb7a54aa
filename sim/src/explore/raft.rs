//! Explorations of Raft.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_raft::{Raft, RaftConfig, Term};
use quorate_smr::{Batch, Slot};

use super::protocol::{Bounds, Disk, Exploration, Explore, Milestone, Network};

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

    fn explorations() -> Vec<Exploration<Self>> {
        use Milestone::SnapshotInstalled;
        use Milestone::{Committed, CommittedInSecondEpoch, Elected, ReadAnswered, SecondLeader};
        let run = Exploration::new;
        let bounds = |given: &str| given.parse::<Bounds>().unwrap_or_default();
        vec![
            Exploration {
                bounds: bounds("timeouts=2,crashes=1,epochs=2"),
                expects: vec![Elected, SecondLeader],
                quick: true,
                ..run("elections", "two elections, a crash at any point")
            },
            Exploration {
                bounds: bounds("timeouts=1,proposals=2,epochs=1"),
                expects: vec![Elected, Committed],
                quick: true,
                ..run("commands", "one leader, two commands")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=1,epochs=2"),
                expects: vec![Committed, SecondLeader],
                quick: true,
                ..run("succession", "a command and two leaders")
            },
            Exploration {
                bounds: bounds("timeouts=1,proposals=1,crashes=1,epochs=1"),
                disk: Disk::Later,
                expects: vec![Committed],
                ..run("slow-disk", "one leader, a command, disks that lag, a crash")
            },
            Exploration {
                bounds: bounds("timeouts=2,reads=1,heartbeats=1,proposals=1,epochs=2"),
                expects: vec![ReadAnswered, Committed],
                ..run("reads", "a read, a command and two leaders")
            },
            Exploration {
                config: RaftConfig { pre_vote: true, check_quorum: true, ..Self::small_config() },
                bounds: bounds("timeouts=3,heartbeats=1,epochs=2"),
                expects: vec![Elected, SecondLeader],
                ..run("pre-vote", "elections with pre-vote and check-quorum")
            },
            Exploration {
                config: RaftConfig {
                    snapshot_interval: 1,
                    trailing_slots: 0,
                    ..Self::small_config()
                },
                bounds: bounds("timeouts=2,proposals=1,heartbeats=1,epochs=2"),
                expects: vec![SnapshotInstalled],
                ..run("snapshots", "a snapshot after each slot, installed by who lags")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=1,crashes=1,duplicates=1,epochs=2"),
                network: Network::Once,
                expects: vec![Committed, CommittedInSecondEpoch],
                ..run("once", "messages delivered once, one of them twice; two leaders, a crash")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=2,crashes=1,epochs=2"),
                expects: vec![CommittedInSecondEpoch],
                ..run("deep", "two commands, two leaders, a crash at any point")
            },
        ]
    }
}

fn log(raft: &Raft) -> BTreeMap<Slot, (Term, &Batch)> {
    raft.log_entries().map(|(slot, term, batch)| (slot, (term, batch))).collect()
}
