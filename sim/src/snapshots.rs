//! Snapshots at a node: taken when the replica asks, kept when they arrive, installed.

use std::rc::Rc;

use quorate_smr::Slot;
use quorate_smr::protocol::{Input, SnapshotMeta};

use crate::disk::Step;
use crate::event::Event;
use crate::inspect::Inspect;
use crate::invariants;
use crate::node::ARRIVED_MAX;
use crate::plan::MS;
use crate::trace::Mark;
use crate::violation::{Check, broken};
use crate::world::World;

impl<P: Inspect> World<P> {
    /// Takes the snapshots that are wanted at the slot that was just applied.
    pub(crate) fn take_snapshots(&mut self, index: usize) -> Check {
        let node = &mut self.nodes[index];
        let honest = node.is_honest();
        let Some(running) = &mut node.running else { return Ok(()) };
        let applied = running.executor.applied();
        if !running.wanted_snapshots.contains(&applied) {
            return Ok(());
        }
        running.wanted_snapshots.retain(|slot| *slot > applied);
        let (snapshot, image) = running.executor.snapshot();
        running.snapshots.insert(applied, (snapshot, Rc::new(image)));
        let (id, incarnation) = (node.id, node.incarnation);
        if honest {
            self.book.states.digest(id, applied, snapshot.digest)?;
        }
        let at = self.now_ns + self.host_dice.below(2 * MS);
        self.queue.push(at, Event::SnapshotTaken { node: index, incarnation, snapshot });
        Ok(())
    }

    pub(crate) fn snapshot_taken(
        &mut self,
        index: usize,
        incarnation: u32,
        snapshot: SnapshotMeta,
    ) -> Check {
        if self.nodes[index].incarnation != incarnation {
            return Ok(());
        }
        self.handle(index, Input::SnapshotTaken { snapshot })
    }

    pub(crate) fn install(
        &mut self,
        index: usize,
        snapshot: SnapshotMeta,
        records: Vec<P::Record>,
    ) -> Check {
        let node = &mut self.nodes[index];
        let (id, honest) = (node.id, node.is_honest());
        let Some(running) = &mut node.running else { return Ok(()) };
        let Some(image) = running.arrived.iter().find(|(meta, _)| *meta == snapshot).cloned()
        else {
            let detail =
                format!("{id} installs a snapshot at {} that never arrived", snapshot.slot);
            return Err(broken(invariants::CONTRACT, detail));
        };
        if snapshot.slot < running.committed {
            let detail = format!("{id} at {} installs {}", running.committed, snapshot.slot);
            return Err(broken(invariants::NEVER_BACK, detail));
        }
        let restored = running.executor.restore(&image.1);
        if restored != Ok(snapshot) {
            let detail =
                format!("{id}: the arrived snapshot at {} does not restore", snapshot.slot);
            return Err(broken(invariants::CONTRACT, detail));
        }
        running.committed = snapshot.slot;
        running.to_apply.clear();
        running.wanted_snapshots.clear();
        running.snapshots.insert(snapshot.slot, image.clone());
        running.arrived.retain(|(meta, _)| meta.slot > snapshot.slot);
        if honest && snapshot.slot > self.book.ledger.last() {
            let detail = format!("{id} installs {}, which nobody decided", snapshot.slot);
            return Err(broken(invariants::SLOT_AGREEMENT, detail));
        }
        if honest {
            self.book.states.digest(id, snapshot.slot, snapshot.digest)?;
        }
        self.note_at(index, Mark::Noted, || format!("installs the snapshot at {}", snapshot.slot));
        self.write(index, Step::Replace(image, records))?;
        if self.nodes[index].running.is_none() {
            return Ok(());
        }
        self.answer_reads(index);
        // Behind the effects of this step, as a message from the executor would be.
        let incarnation = self.nodes[index].incarnation;
        let at = self.now_ns;
        self.queue
            .push(at, Event::SnapshotInstalled { node: index, incarnation, slot: snapshot.slot });
        Ok(())
    }

    pub(crate) fn snapshot_installed(
        &mut self,
        index: usize,
        incarnation: u32,
        slot: Slot,
    ) -> Check {
        if self.nodes[index].incarnation != incarnation {
            return Ok(());
        }
        self.handle(index, Input::SnapshotInstalled { slot })
    }

    /// Keeps an arrived snapshot for an install, a bounded number of them.
    pub(crate) fn keep_arrived(&mut self, index: usize, meta: SnapshotMeta, image: Rc<Vec<u8>>) {
        let Some(running) = &mut self.nodes[index].running else { return };
        running.arrived.push_back((meta, image));
        if running.arrived.len() > ARRIVED_MAX {
            running.arrived.pop_front();
        }
    }
}
