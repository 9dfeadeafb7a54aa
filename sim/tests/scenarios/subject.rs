//! What scenarios that are played for several protocols must know of each.

use std::time::Duration;

use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_sim::Inspect;

/// A protocol that scenarios are played for.
pub(crate) trait Subject: Inspect {
    /// Kinds of messages that carry values of slots.
    const VALUES: &[&str];
    /// Kinds of messages that bring news of commits but no values (leaders' heartbeats among them).
    const NEWS: &[&str];
    /// The answer that confirms a leader, if there is one.
    const CONFIRMS: &str;

    /// A leader that is cut off goes on believing that it leads (for a while at least).
    fn stubborn(config: &mut Self::Config);

    /// A snapshot after every `slots`, and nothing retained below it.
    fn snapshots_every(config: &mut Self::Config, slots: u64);

    /// Whether `message` is of one of these kinds.
    fn is_one_of(message: &Self::Message, kinds: &[&str]) -> bool {
        let kind = quorate_sim::Scene::<Self>::kind(message);
        kinds.contains(&kind.as_str())
    }

    /// Whether `message` carries values of slots.
    fn has_values(message: &Self::Message) -> bool {
        Self::is_one_of(message, Self::VALUES)
    }
}

impl Subject for Raft {
    const VALUES: &[&str] = &["Append", "Snapshot"];
    const NEWS: &[&str] = &["Commit", "Heartbeat"];
    const CONFIRMS: &str = "HeartbeatReply";

    fn stubborn(config: &mut Self::Config) {
        config.check_quorum = false;
    }

    fn snapshots_every(config: &mut Self::Config, slots: u64) {
        config.snapshot_interval = slots;
        config.trailing_slots = 0;
        config.snapshot_retry = Duration::from_millis(400);
    }
}

impl Subject for Paxos {
    const VALUES: &[&str] = &["Accept", "Decisions", "Snapshot"];
    const NEWS: &[&str] = &["Decide", "Heartbeat"];
    const CONFIRMS: &str = "HeartbeatAck";

    fn stubborn(config: &mut Self::Config) {
        // A leader stops after the longest timeout; the others begin after the shortest.
        config.election_timeout_max = Duration::from_secs(4);
    }

    fn snapshots_every(config: &mut Self::Config, slots: u64) {
        config.snapshot_interval = slots;
        config.retained_slots_max = 0;
        config.snapshot_retry = Duration::from_millis(400);
    }
}

impl Subject for Pbft {
    const VALUES: &[&str] = &["Request", "PrePrepare", "Body", "NewView", "Snapshot", "Stable"];
    const NEWS: &[&str] = &["Commit", "Claims", "Status", "Checkpoint"];
    const CONFIRMS: &str = "";

    fn stubborn(_config: &mut Self::Config) {}

    fn snapshots_every(config: &mut Self::Config, slots: u64) {
        config.checkpoint_interval = slots;
        config.window = 2 * slots;
    }
}
