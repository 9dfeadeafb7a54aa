//! PBFT: replicas may lie; prepared batches of one view and slot agree among the honest ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_pbft::{Message, Pbft, PbftAuth, PbftConfig, Proposal, Record, Sealed, View, Wire};
use quorate_smr::{Batch, Digest, ReplicaId, Slot, To};

use super::{Entry, Inspect, Value};
use crate::dice::Dice;

/// The view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    fn log(&self) -> Option<BTreeMap<Slot, Batch>> {
        None
    }

    fn lie(auth: &PbftAuth, to: To, message: &Message, dice: &mut Dice) -> Option<Sealed> {
        let wire = match message {
            // Leaves out what it prepared, or everything.
            Message::ViewChange(change) => {
                let mut content = change.content.clone();
                content.prepared.truncate(dice.index(content.prepared.len() + 1));
                if dice.chance(500_000) {
                    content.pre_prepared.clear();
                    content.prepared.clear();
                }
                Wire::ViewChange(Arc::new(auth.sign_view_change(content)))
            }
            // Chooses other batches than the view changes demand.
            Message::NewView(new_view) => {
                let mut content = new_view.content.clone();
                match dice.below(3) {
                    0 => content.chosen.truncate(dice.index(content.chosen.len() + 1)),
                    1 => content.chosen.reverse(),
                    _ => {
                        content.chosen.pop();
                        content.chosen.insert(0, Digest::default());
                    }
                }
                Wire::NewView(Arc::new(auth.sign_new_view(content)))
            }
            Message::Checkpoint(checkpoint) => {
                let digest = Digest::of(&dice.word().to_le_bytes());
                Wire::Checkpoint(auth.sign_checkpoint(checkpoint.slot, digest))
            }
            _ => return None,
        };
        Some(auth.seal_wire(to, wire))
    }

    fn is_costly(sealed: &Sealed) -> bool {
        matches!(
            sealed.wire,
            Wire::Checkpoint(_)
                | Wire::Stable(_)
                | Wire::ViewChange(_)
                | Wire::NewView(_)
                | Wire::Snapshot(_)
        )
    }

    fn equivocate(message: &Message, _from: ReplicaId, batch: &Batch) -> Option<Message> {
        let Message::PrePrepare { view, slot, .. } = message else { return None };
        let proposal = Proposal::new(batch.clone()).ok()?;
        Some(Message::PrePrepare { view: *view, slot: *slot, proposal })
    }
}
