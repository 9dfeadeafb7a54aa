//! What is noted of the effects of honest replicas, for the invariants about logs and promises.

use quorate_smr::protocol::Release;
use quorate_smr::{ReplicaId, Role, Slot, Status};

use crate::inspect::Inspect;
use crate::invariants::{Book, check_acknowledged, check_own_epoch, check_promise, leads_on};
use crate::violation::Check;
use crate::world::World;

impl<P: Inspect> World<P> {
    /// An honest replica asks its disk to keep `record`.
    pub(crate) fn check_entries(&mut self, index: usize, record: &P::Record) -> Check {
        let node = &mut self.nodes[index];
        let Some(running) = &node.running else { return Ok(()) };
        let id = node.id;
        let mut found = check_promise::<P>(id, &mut node.promised, record);
        let (book, acknowledged) = (&mut self.book, &mut node.acknowledged);
        P::entries(record, &mut |entry| {
            let (slot, epoch) = (entry.slot, entry.epoch);
            acknowledged.replaced(slot);
            if found.is_ok() && P::CHAINED_LOG {
                let before =
                    slot.previous().map_or(Some(0), |slot| running.protocol.epoch_at(slot));
                found = before.map_or(Ok(()), |before| book.chains.wrote(id, slot, epoch, before));
            }
            if let (Ok(()), Some(stays)) = (&found, P::CHOSEN_STAYS) {
                found = book.chosen.proposed(&entry, stays);
            }
            if found.is_ok() {
                found = book.entries.wrote(id, entry, &book.ledger);
            }
        });
        found
    }

    /// An honest replica asks to send `message`. `memory` is what it promised by the end of the
    /// step, looked up at most once.
    pub(crate) fn check_message(
        &mut self,
        index: usize,
        message: &P::Message,
        release: Release,
        memory: &mut Option<P::Memory>,
    ) -> Check {
        let node = &mut self.nodes[index];
        let Some(running) = &node.running else { return Ok(()) };
        let (after, durable) = (running.gate.appended(), running.gate.durable());
        let waits = release == Release::Durable;
        if waits || P::is_promise(message) {
            let memory = memory.get_or_insert_with(|| running.protocol.memory()).clone();
            if waits {
                node.told.offer(memory, after, durable);
            } else {
                node.told.spoke(memory);
            }
        }
        if let Some(upto) = P::acknowledges(message)
            && (!waits || after <= durable)
        {
            node.acknowledged.told(&running.protocol, upto);
            self.check_equal_to_leader(index, upto)?;
        }
        if let Some((slot, digest)) = P::checkpoint(message) {
            let id = self.nodes[index].id;
            self.book.checkpoints.announced(id, slot, digest)?;
        }
        Ok(())
    }

    /// What node `index` acknowledges up to `upto` equals what the leader of its epoch has, if that
    /// one is alive to be asked.
    fn check_equal_to_leader(&self, index: usize, upto: Slot) -> Check {
        if !P::CHAINED_LOG {
            return Ok(());
        }
        let Some(own) = &self.nodes[index].running else { return Ok(()) };
        let epoch = own.protocol.status().epoch;
        for node in &self.nodes {
            let Some(leader) = &node.running else { continue };
            let status = leader.progress.status;
            if status.role == Role::Leader && status.epoch == epoch {
                let (ours, theirs) = (&own.protocol, &leader.protocol);
                return check_acknowledged(self.nodes[index].id, ours, theirs, upto);
            }
        }
        Ok(())
    }

    /// The honest node `index` moved from the status `before` to `now`: what it decided, a quorum
    /// has.
    pub(crate) fn check_decided(&self, index: usize, before: &Status, now: &Status) -> Check {
        let node = &self.nodes[index];
        let Some(running) = &node.running else { return Ok(()) };
        check_own_epoch(&running.protocol, before, now)?;
        if !leads_on(before, now) {
            return Ok(());
        }
        let quorum = P::quorum(&self.config, self.replicas);
        self.book.chosen.committed(node.id, now.committed, now.epoch, quorum)
    }
}

/// The honest replica `id` has `record` on its disk.
pub(crate) fn check_durable<P: Inspect>(
    book: &mut Book,
    id: ReplicaId,
    record: &P::Record,
    quorum: usize,
) -> Check {
    if let Some(entry) = P::said(record) {
        book.entries.says(id, entry)?;
    }
    let mut found = Ok(());
    P::entries(record, &mut |entry| {
        let reached = book.chosen.accepted(id, entry.slot, entry.epoch, quorum);
        if let (Ok(()), true, Some(stays)) = (&found, reached, P::CHOSEN_STAYS) {
            found = book.chosen.choose(entry, &book.entries, stays);
        }
    });
    found
}
