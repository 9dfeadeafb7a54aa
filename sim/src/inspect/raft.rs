//! Raft: election safety, log matching, leader completeness; term and vote survive a crash.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_raft::{ENTRY_OVERHEAD_BYTES, Message, Raft, RaftConfig, Record, Term};
use quorate_smr::{Batch, ReplicaId, Slot};

use super::{Entry, Inspect, Value};
use crate::dice::Dice;
use crate::turbulence::Illness;

/// Term and vote (figure 2, "updated on stable storage before responding").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RaftMemory {
    term: Term,
    vote: Option<ReplicaId>,
}

impl Inspect for Raft {
    type Memory = RaftMemory;

    const SOLE_LEADER: bool = true;
    const COMPLETE_LEADER: bool = true;
    const BYZANTINE: bool = false;

    fn draw_config(dice: &mut Dice) -> RaftConfig {
        let heartbeat_ms = dice.between(10, 40);
        let election_ms = heartbeat_ms * dice.between(3, 7);
        let log_bytes_max = *dice.pick(&[64 << 10, 1 << 20, 256 << 20]);
        RaftConfig {
            heartbeat_interval: Duration::from_millis(heartbeat_ms),
            election_timeout: Duration::from_millis(election_ms),
            election_spread: Duration::from_millis(dice.between(election_ms / 2, 2 * election_ms)),
            pre_vote: dice.chance(700_000),
            check_quorum: dice.chance(700_000),
            window_bytes: *dice.pick(&[1, 500, 16 << 20]),
            window_entries: *dice.pick(&[1, 3, 4096]),
            max_append_bytes: *dice.pick(&[1, 600, 1 << 20]),
            uncommitted_bytes_max: log_bytes_max / 4,
            uncommitted_entries_max: *dice.pick(&[2, 16, 64 << 10]),
            log_bytes_max,
            reads_max: *dice.pick(&[1, 64]),
            snapshot_interval: *dice.pick(&[3, 10, 40, 100_000]),
            trailing_slots: *dice.pick(&[0, 2, 4096]),
            snapshot_retry: Duration::from_millis(dice.between(50, 400)),
            ..RaftConfig::default()
        }
    }

    fn batch_bytes_max(config: &RaftConfig) -> usize {
        config.uncommitted_bytes_max - ENTRY_OVERHEAD_BYTES
    }

    // Without pre-vote and check-quorum (thesis §9.6, §6.2) a replica that does not hear the leader
    // deposes it again and again, and one that hears nobody goes on leading. And of three replicas
    // one with one friend has a quorum: it may lead for ever, and the third, which Raft lets learn
    // from its leader only, stays behind.
    fn endures(config: &RaftConfig, replicas: usize, illness: Illness) -> bool {
        let stable = config.pre_vote && config.check_quorum;
        let leads_with_one_friend = illness == Illness::OneFriend && replicas <= 3;
        !illness.is_heard() || stable && !leads_with_one_friend
    }

    fn label(message: &Message) -> String {
        let term = message.term();
        match message {
            Message::Append { previous, entries, .. } => match entries.as_slice().len() as u64 {
                0 => format!("Append? {term} after {}", previous.slot),
                1 => format!("Append {term} s{}", previous.slot.0.saturating_add(1)),
                n => format!(
                    "Append {term} s{}..{}",
                    previous.slot.0.saturating_add(1),
                    previous.slot.0.saturating_add(n)
                ),
            },
            Message::Appended { upto, .. } => format!("Appended {term} {upto}"),
            Message::Conflict { previous, .. } => format!("Conflict {term} {previous}"),
            Message::Commit { position, .. } => format!("Commit {term} {}", position.slot),
            Message::Heartbeat { round, .. } => format!("Heartbeat {term} #{round}"),
            Message::HeartbeatReply { round, .. } => format!("HeartbeatOk {term} #{round}"),
            Message::Vote { pre: true, .. } => format!("PreVote {term}"),
            Message::Vote { .. } => format!("Vote {term}"),
            Message::VoteReply { granted, pre, .. } => {
                let (pre, granted) =
                    (if *pre { "Pre" } else { "" }, if *granted { "yes" } else { "no" });
                format!("{pre}Vote {term} {granted}")
            }
            Message::NewerTerm { .. } => format!("NewerTerm {term}"),
            Message::TimeoutNow { .. } => format!("TimeoutNow {term}"),
            Message::Snapshot { position, .. } => format!("Snapshot {term} {}", position.slot),
        }
    }

    fn memory(&self) -> RaftMemory {
        RaftMemory { term: self.term(), vote: self.voted_for() }
    }

    fn still_knows(told: &RaftMemory, now: &RaftMemory) -> Result<(), String> {
        if now.term < told.term {
            return Err("its term".into());
        }
        if now.term == told.term && told.vote.is_some() && now.vote != told.vote {
            return Err("its vote".into());
        }
        Ok(())
    }

    fn entries(record: &Record, note: &mut dyn FnMut(Entry)) {
        if let Record::Entry { slot, term, batch } = record {
            note(Entry { slot: *slot, epoch: term.0, value: Value::Batch(batch.clone()) });
        }
    }

    const CHAINED_LOG: bool = true;
    const CHOSEN_STAYS: Option<&'static str> = None;

    fn epoch_at(&self, slot: Slot) -> Option<u64> {
        self.term_at(slot).map(|term| term.0)
    }

    fn acknowledges(message: &Message) -> Option<Slot> {
        if let Message::Appended { upto, .. } = message { Some(*upto) } else { None }
    }

    fn is_promise(message: &Message) -> bool {
        match message {
            Message::Vote { pre, .. } => !pre,
            Message::VoteReply { granted, pre, .. } => *granted && !pre,
            _ => false,
        }
    }

    fn buffers(&self) -> Option<(&'static str, usize, usize)> {
        Some(("waiting reads", self.pending_reads(), self.config().reads_max))
    }

    fn log(&self) -> Option<BTreeMap<Slot, Batch>> {
        Some(self.log_entries().map(|(slot, _, batch)| (slot, batch.clone())).collect())
    }
}
