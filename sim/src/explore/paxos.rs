//! Explorations of Multi-Paxos.

use std::time::Duration;

use quorate_paxos::{Message, Paxos, PaxosConfig};

use super::protocol::{Bounds, Disk, Exploration, Explore, Milestone};

/// Long enough for a replica to hear no leader.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

impl Explore for Paxos {
    // Rounds are dealt out by rank, so replicas differ.
    const SYMMETRIC: bool = false;
    const COMMITTED_ONCE: bool = true;

    fn small_config() -> PaxosConfig {
        PaxosConfig {
            heartbeat: Duration::from_millis(100),
            election_timeout_min: ELECTION_TIMEOUT,
            election_timeout_max: ELECTION_TIMEOUT + Duration::from_nanos(1),
            ..PaxosConfig::default()
        }
    }

    // A replica that starts takes it that there is a leader; nobody could stand before every clock
    // had moved.
    fn boot_time(config: &PaxosConfig) -> Duration {
        config.election_timeout_min
    }

    fn explorations() -> Vec<Exploration<Self>> {
        use Milestone::SnapshotInstalled;
        use Milestone::{Committed, CommittedInSecondEpoch, Elected, ReadAnswered, SecondLeader};
        let run = Exploration::new;
        let bounds = |given: &str| given.parse::<Bounds>().unwrap_or_default();
        // Without them leaders are not deposed by news, only by silence.
        let quiet = |message: &Message| {
            matches!(message, Message::Heartbeat { .. } | Message::HeartbeatAck { .. })
        };
        vec![
            Exploration {
                bounds: bounds("timeouts=1,proposals=1,crashes=1,epochs=3"),
                lost: quiet,
                expects: vec![Elected, Committed],
                quick: true,
                ..run("commands", "one leader, a command, a crash at any point")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=1,epochs=3"),
                lost: quiet,
                expects: vec![Committed, SecondLeader],
                quick: true,
                ..run("succession", "a command and two leaders")
            },
            Exploration {
                bounds: bounds("timeouts=1,proposals=1,crashes=1,epochs=3"),
                disk: Disk::Later,
                lost: quiet,
                expects: vec![Committed],
                ..run("slow-disk", "one leader, a command, disks that lag, a crash")
            },
            Exploration {
                bounds: bounds("timeouts=2,reads=1,proposals=1,epochs=3"),
                expects: vec![ReadAnswered, Committed],
                ..run("reads", "a read, a command and two leaders")
            },
            Exploration {
                config: PaxosConfig {
                    snapshot_interval: 1,
                    retained_slots_max: 0,
                    ..Self::small_config()
                },
                bounds: bounds("timeouts=2,proposals=1,heartbeats=1,epochs=3"),
                expects: vec![SnapshotInstalled],
                ..run("snapshots", "a snapshot after each slot, installed by who lags")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=2,crashes=1,epochs=3"),
                lost: quiet,
                expects: vec![CommittedInSecondEpoch],
                ..run("deep", "two commands, two leaders, a crash at any point")
            },
        ]
    }
}
