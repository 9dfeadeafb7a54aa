//! PBFT: replicas may lie; prepared batches of one view and slot agree among the honest ones.

mod lies;

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_pbft::{
    Message, Pbft, PbftAuth, PbftConfig, Proposal, Record, Sealed, SignatureMemo, View,
};
use quorate_smr::{Batch, Digest, QuorumRule, ReplicaId, ReplicaSet, Slot, To};

use super::{Entry, Inspect, Told, Value};
use crate::byzantine::{Behaviour, Speech};
use crate::dice::Dice;
use crate::invariants::PREPARED_SURVIVES;

thread_local! {
    /// Shared by the runs on one thread: it changes nothing but their speed.
    static MEMO: SignatureMemo = SignatureMemo::new();
}

/// The view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PbftMemory {
    view: View,
}

impl Inspect for Pbft {
    type Memory = PbftMemory;

    // The primary of a view is a function of the view.
    const SOLE_LEADER: bool = true;
    // What a new primary must propose is in the certificates of the view change, not in its log.
    const COMPLETE_LEADER: bool = false;
    const BYZANTINE: bool = true;

    fn draw_config(dice: &mut Dice) -> PbftConfig {
        let checkpoint_interval = *dice.pick(&[2, 5, 10, 25]);
        let timeout_ms = dice.between(100, 400);
        let batch_bytes_max = *dice.pick(&[16 << 10, 1 << 20]);
        PbftConfig {
            memo: Some(MEMO.with(SignatureMemo::clone)),
            clients_max: 64,
            checkpoint_interval,
            window: checkpoint_interval * dice.between(2, 5),
            batch_bytes_max,
            log_bytes_max: batch_bytes_max * 4,
            queue_max: *dice.pick(&[2, 1024]),
            pending_max: *dice.pick(&[8, 65_536]),
            pending_per_client_max: *dice.pick(&[1, 8]),
            view_change_timeout: Duration::from_millis(timeout_ms),
            view_change_timeout_max: Duration::from_millis(timeout_ms * dice.between(4, 20)),
            retransmit_interval: Duration::from_millis(dice.between(15, 60)),
            status_interval: Duration::from_millis(dice.between(50, 250)),
            ..PbftConfig::default()
        }
    }

    fn batch_bytes_max(config: &PbftConfig) -> usize {
        config.batch_bytes_max
    }

    fn label(message: &Message) -> String {
        match message {
            Message::Request(proposal) => format!("Request x{}", proposal.batch().count()),
            Message::PrePrepare { view, slot, .. } => format!("PrePrepare {view} {slot}"),
            Message::Prepare { view, slot, .. } => format!("Prepare {view} {slot}"),
            Message::Commit { view, slot, .. } => format!("Commit {view} {slot}"),
            Message::Checkpoint(checkpoint) => format!("Checkpoint {}", checkpoint.slot),
            Message::Stable(certificate) => format!("Stable {}", certificate.slot),
            Message::ViewChange(change) => format!("ViewChange {}", change.content.view),
            Message::NewView(new_view) => format!("NewView {}", new_view.content.view),
            Message::Status(report) => format!("Status {} {}", report.view, report.committed),
            Message::Claims { first, digests } => format!("Claims {first} +{}", digests.len()),
            Message::Fetch { slot, .. } => format!("Fetch {slot}"),
            Message::Body { slot, .. } => format!("Body {slot}"),
            Message::FetchState { slot } => format!("FetchState {slot}"),
            Message::Snapshot(certificate) => format!("Snapshot {}", certificate.slot),
        }
    }

    fn memory(&self) -> PbftMemory {
        PbftMemory { view: self.view() }
    }

    fn still_knows(told: &PbftMemory, now: &PbftMemory) -> Result<(), String> {
        if now.view < told.view { Err("its view".into()) } else { Ok(()) }
    }

    fn entries(record: &Record, note: &mut dyn FnMut(Entry)) {
        if let Record::Prepared { view, slot, digest } = record {
            note(Entry { slot: *slot, epoch: view.0, value: Value::Digest(*digest) });
        }
    }

    fn said(record: &Record) -> Option<Entry> {
        let Record::PrePrepared { view, slot, digest, .. } = record else { return None };
        Some(Entry { slot: *slot, epoch: view.0, value: Value::Digest(*digest) })
    }

    const CHOSEN_STAYS: Option<&'static str> = Some(PREPARED_SURVIVES);

    // So many that every view change hears one of them: f + 1 of 3f + 1.
    fn quorum(_config: &PbftConfig, replicas: usize) -> usize {
        let rule = QuorumRule::byzantine(ReplicaSet::first(replicas));
        rule.map_or(replicas, |rule| replicas - rule.phase2() + 1)
    }

    fn checkpoint(message: &Message) -> Option<(Slot, Digest)> {
        let Message::Checkpoint(checkpoint) = message else { return None };
        Some((checkpoint.slot, checkpoint.digest))
    }

    fn log(&self) -> Option<BTreeMap<Slot, Batch>> {
        None
    }

    fn lie(
        how: Behaviour,
        auth: &PbftAuth,
        to: To,
        message: &Message,
        told: &mut Told,
        dice: &mut Dice,
    ) -> Option<Sealed> {
        lies::lie(how, auth, to, message, told, dice)
    }

    fn spoil(sealed: &Sealed, dice: &mut Dice) -> Option<Sealed> {
        lies::spoil(sealed, dice)
    }

    fn speech(message: &Message) -> Speech {
        match message {
            Message::PrePrepare { .. } | Message::NewView(_) => Speech::Proposal,
            Message::Prepare { .. } | Message::Commit { .. } => Speech::Vote,
            Message::Body { .. }
            | Message::Claims { .. }
            | Message::Stable(_)
            | Message::Snapshot(_) => Speech::Answer,
            _ => Speech::Other,
        }
    }

    fn place(message: &Message) -> Option<(u64, Slot)> {
        match message {
            Message::PrePrepare { view, slot, .. }
            | Message::Prepare { view, slot, .. }
            | Message::Commit { view, slot, .. } => Some((view.0, *slot)),
            _ => None,
        }
    }

    fn votes_for(proposal: &Message) -> Vec<Message> {
        let Message::PrePrepare { view, slot, proposal } = proposal else { return Vec::new() };
        let (view, slot, digest) = (*view, *slot, proposal.digest());
        vec![Message::Prepare { view, slot, digest }, Message::Commit { view, slot, digest }]
    }

    fn equivocate(message: &Message, _from: ReplicaId, batch: &Batch) -> Option<Message> {
        let Message::PrePrepare { view, slot, .. } = message else { return None };
        let proposal = Proposal::new(batch.clone()).ok()?;
        Some(Message::PrePrepare { view: *view, slot: *slot, proposal })
    }
}
