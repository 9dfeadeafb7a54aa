//! Multi-Paxos: one value for each ballot and slot, promises kept, chosen values stay chosen.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_paxos::{Ballot, FlexibleQuorums, Message, Paxos, PaxosConfig, Record};
use quorate_smr::batch::BATCH_RAW_BYTES_MAX;
use quorate_smr::{Batch, Slot};

use super::{Entry, Inspect, Value};
use crate::dice::Dice;
use crate::invariants::CHOSEN_IS_PROPOSED;

/// The highest ballot promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PaxosMemory {
    promised: Ballot,
}

impl Inspect for Paxos {
    type Memory = PaxosMemory;

    // Rounds are dealt out among the members, so a round names one replica.
    const SOLE_LEADER: bool = true;
    // A new proposer adopts values from its promises; its own log may lack them at first.
    const COMPLETE_LEADER: bool = false;
    const BYZANTINE: bool = false;

    fn draw_config(dice: &mut Dice) -> PaxosConfig {
        let heartbeat_ms = dice.between(10, 40);
        let election_ms = heartbeat_ms * dice.between(3, 7);
        let spread_ms = dice.between(election_ms / 2, 2 * election_ms);
        let log_bytes_max = *dice.pick(&[64 << 10, 1 << 20, 256 << 20]);
        PaxosConfig {
            heartbeat: Duration::from_millis(heartbeat_ms),
            election_timeout_min: Duration::from_millis(election_ms),
            election_timeout_max: Duration::from_millis(election_ms + spread_ms),
            quorums: None,
            window_slots_max: *dice.pick(&[1, 3, 16, 1024]),
            window_bytes_max: *dice.pick(&[1, 600, log_bytes_max / 4]),
            log_bytes_max,
            snapshot_interval: *dice.pick(&[3, 10, 40, 100_000]),
            retained_slots_max: *dice.pick(&[0, 2, 1024]),
            snapshot_retry: Duration::from_millis(dice.between(50, 400)),
            page_bytes_max: *dice.pick(&[1, 600, 1 << 20]),
            page_slots_max: *dice.pick(&[1, 3, 256]),
            reads_max: *dice.pick(&[1, 64]),
            ..PaxosConfig::default()
        }
    }

    fn draw_for_group(config: &mut PaxosConfig, replicas: usize, dice: &mut Dice) {
        if replicas > 2 && dice.chance(200_000) {
            let phase2 = dice.between(2, replicas as u64) as usize;
            let phase1 = replicas + 1 - phase2;
            config.quorums = Some(FlexibleQuorums { phase1, phase2 });
        }
    }

    // A phase that needs more than a majority tolerates fewer faults.
    fn tolerated(config: &PaxosConfig, replicas: usize) -> usize {
        let larger = config.quorums.map(|sizes| sizes.phase1.max(sizes.phase2));
        larger.map_or(Self::faults(replicas), |needed| replicas.saturating_sub(needed))
    }

    fn batch_bytes_max(config: &PaxosConfig) -> usize {
        (config.log_bytes_max / 4).min(BATCH_RAW_BYTES_MAX)
    }

    fn label(message: &Message) -> String {
        match message {
            Message::Canvass { canvass } => format!("Canvass #{canvass}"),
            Message::Canvassed { canvass, free, .. } => {
                format!("Canvassed #{canvass} {}", if *free { "free" } else { "taken" })
            }
            Message::Prepare { ballot, from } => format!("Prepare {ballot} from {from}"),
            Message::Promise { ballot, accepted, .. } => {
                format!("Promise {ballot} +{}", accepted.len())
            }
            Message::Refuse { promised } => format!("Refuse {promised}"),
            Message::Accept { round, slot, .. } => format!("Accept b{round} {slot}"),
            Message::Accepted { ballot, upto } => format!("Accepted {ballot} {upto}"),
            Message::Decide { decided, .. } => format!("Decide {decided}"),
            Message::Heartbeat { ballot, probe, .. } => format!("Heartbeat {ballot} #{probe}"),
            Message::HeartbeatAck { ballot, probe, .. } => format!("HeartbeatOk {ballot} #{probe}"),
            Message::Fetch { from } => format!("Fetch {from}"),
            Message::Decisions { from, batches, .. } => {
                format!("Decisions {from} +{}", batches.len())
            }
            Message::Snapshot { decided } => format!("Snapshot {decided}"),
            Message::TakeOver { ballot } => format!("TakeOver {ballot}"),
        }
    }

    fn memory(&self) -> PaxosMemory {
        PaxosMemory { promised: self.promised() }
    }

    fn still_knows(told: &PaxosMemory, now: &PaxosMemory) -> Result<(), String> {
        if now.promised < told.promised { Err("its promise".into()) } else { Ok(()) }
    }

    fn entries(record: &Record, note: &mut dyn FnMut(Entry)) {
        if let Record::Accepted { ballot, slot, batch, .. } = record {
            note(Entry { slot: *slot, epoch: ballot.round, value: Value::Batch(batch.clone()) });
        }
    }

    fn epoch_at(&self, slot: Slot) -> Option<u64> {
        self.accepted_at(slot).map(|ballot| ballot.round)
    }

    fn settled(&self) -> Slot {
        self.decided()
    }

    fn acknowledges(message: &Message) -> Option<Slot> {
        match message {
            Message::Accepted { upto, .. } | Message::HeartbeatAck { upto, .. } => Some(*upto),
            _ => None,
        }
    }

    fn is_promise(message: &Message) -> bool {
        matches!(message, Message::Promise { .. } | Message::Prepare { .. })
    }

    const CHOSEN_STAYS: Option<&'static str> = Some(CHOSEN_IS_PROPOSED);

    fn quorum(config: &PaxosConfig, replicas: usize) -> usize {
        config.quorums.map_or(replicas / 2 + 1, |sizes| sizes.phase2)
    }

    fn buffers(&self) -> Option<(&'static str, usize, usize)> {
        Some(("waiting reads", self.pending_reads(), self.config().reads_max))
    }

    fn log(&self) -> Option<BTreeMap<Slot, Batch>> {
        None
    }

    fn promise_of(memory: &PaxosMemory) -> u64 {
        memory.promised.round
    }

    fn promises(record: &Record) -> Option<u64> {
        match record {
            Record::Promised { ballot }
            | Record::Base { promised: ballot, .. }
            | Record::Accepted { ballot, .. } => Some(ballot.round),
            Record::Learned { .. } | Record::Decided { .. } => None,
        }
    }

    fn accepts(record: &Record) -> Option<u64> {
        match record {
            Record::Accepted { ballot, .. } => Some(ballot.round),
            _ => None,
        }
    }
}
