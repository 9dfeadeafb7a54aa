//! Explorations of Multi-Paxos.

use std::time::Duration;

use quorate_paxos::{Message, Paxos, PaxosConfig};
use quorate_smr::ReplicaId;

use super::protocol::{Bounds, Disk, Exploration, Explore, Milestone, Prelude};

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
                gate: true,
                ..run("commands", "one leader, a command, a crash of anyone")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=2,crashes=1,epochs=2"),
                lost: beside_the_point,
                timed: [ReplicaId(2)].into_iter().collect(),
                prelude: Some(FIRST_LEADS),
                one_each: true,
                expects: vec![Committed, SecondLeader, CommittedInSecondEpoch],
                gate: true,
                ..run("two-leaders", "a second leader, a command under each, a crash of anyone")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=1,epochs=3"),
                lost: quiet,
                expects: vec![Committed, SecondLeader],
                ..run("succession", "a command and two leaders, whoever they are")
            },
            Exploration {
                bounds: bounds("timeouts=1,proposals=1,crashes=1,epochs=3"),
                disk: Disk::Later,
                lost: beside_the_point,
                expects: vec![Committed],
                ..run("slow-disk", "one leader, a command, disks that lag, a crash")
            },
            Exploration {
                bounds: bounds("timeouts=1,reads=1,proposals=1,epochs=3"),
                expects: vec![ReadAnswered, Committed],
                ..run("reads", "a read and a command, every message")
            },
            Exploration {
                config: PaxosConfig {
                    snapshot_interval: 1,
                    retained_slots_max: 0,
                    ..Self::small_config()
                },
                bounds: bounds("timeouts=1,proposals=1,heartbeats=1,epochs=3"),
                expects: vec![SnapshotInstalled],
                ..run("snapshots", "a snapshot after each slot, installed by who lags")
            },
        ]
    }
}

/// The first election, without anything that the second replica knows of it.
const FIRST_LEADS: Prelude<Message> = Prelude {
    about: "replica 1 leads by the promise of replica 0",
    stands: Some(ReplicaId(1)),
    proposes: false,
    carried: |from, to, message| {
        from != ReplicaId(2)
            && to != ReplicaId(2)
            && matches!(
                message,
                Message::Canvass { .. }
                    | Message::Canvassed { .. }
                    | Message::Prepare { .. }
                    | Message::Promise { .. }
            )
    },
};

/// All but elections and acceptances: nobody fetches, is refused or hears heartbeats.
const fn beside_the_point(message: &Message) -> bool {
    !matches!(
        message,
        Message::Canvass { .. }
            | Message::Canvassed { .. }
            | Message::Prepare { .. }
            | Message::Promise { .. }
            | Message::Accept { .. }
            | Message::Accepted { .. }
    )
}
