//! What is noted of the effects of honest replicas, for the invariants about logs and promises.

use quorate_smr::ReplicaId;
use quorate_smr::protocol::Release;

use crate::inspect::{Choice, Inspect};
use crate::invariants::{Book, check_promise};
use crate::violation::Check;
use crate::world::World;

impl<P: Inspect> World<P> {
    /// An honest replica asks its disk to keep `record`.
    pub(crate) fn check_entries(&mut self, index: usize, record: &P::Record) -> Check {
        let choice = P::choice(&self.config, self.replicas);
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
            if let (Ok(()), Some(choice)) = (&found, choice) {
                found = book.chosen.proposed(&entry, choice);
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
        }
        if let Some((slot, digest)) = P::checkpoint(message) {
            self.book.checkpoints.announced(node.id, slot, digest)?;
        }
        Ok(())
    }
}

/// The honest replica `id` has `record` on its disk.
pub(crate) fn check_durable<P: Inspect>(
    book: &mut Book,
    id: ReplicaId,
    record: &P::Record,
    choice: Option<Choice>,
) -> Check {
    if let Some(entry) = P::said(record) {
        book.entries.says(id, entry)?;
    }
    let Some(choice) = choice else { return Ok(()) };
    let mut found = Ok(());
    P::entries(record, &mut |entry| {
        if found.is_ok() {
            found = book.chosen.accepted(id, entry, choice, &book.entries);
        }
    });
    found
}
