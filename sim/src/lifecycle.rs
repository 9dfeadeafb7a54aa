//! How a node's replica starts from its disk, crashes, and comes back.

use quorate_smr::executor::Executor;
use quorate_smr::kv::KvStore;
use quorate_smr::protocol::Recovered;
use quorate_smr::session::SessionLimits;
use quorate_smr::{ClientId, wire};

use crate::event::Event;
use crate::fault::FaultKind;
use crate::inspect::Inspect;
use crate::invariants;
use crate::node::Running;
use crate::plan::Cut;
use crate::trace::Mark;
use crate::violation::{Check, broken};
use crate::witness;
use crate::world::{Phase, World};

impl<P: Inspect> World<P> {
    /// Starts a node from what its disk holds.
    pub(crate) fn start(&mut self, index: usize) -> Check {
        if !self.open_disk(index)? {
            return Ok(());
        }
        let now_ns = self.now_ns;
        let load = &self.plan.load;
        let limits = SessionLimits { clients_max: load.sessions_max, window: load.session_window };
        let fixed = P::reply_quorum(self.replicas) > 1;
        let identities = (self.clients_planned() + self.plan.rogues.len()) as u64;
        let clients: Vec<_> = (1..=identities).filter(|_| fixed).map(ClientId).collect();
        let quorum = P::quorum(&self.config, self.replicas);
        let node = &mut self.nodes[index];
        let mut executor = Executor::new(KvStore::default(), limits, &clients);
        if let Some(tamper) = &self.tamper {
            tamper(node.id, &mut executor);
        }
        if let Some((meta, image)) = &node.disk.snapshot {
            let restored = executor.restore(image);
            if restored != Ok(*meta) {
                let detail = format!("{}: the snapshot at {} does not restore", node.id, meta.slot);
                return Err(broken(invariants::RECOVERS, detail));
            }
        }
        let recovered = Recovered {
            snapshot: node.disk.snapshot.as_ref().map(|(meta, _)| *meta),
            records: node.disk.records.clone(),
        };
        let local = node.local_now(now_ns);
        let id = node.id;
        if self.trace.is_some() {
            let Recovered { snapshot, records } = &recovered;
            let journal = format!("recovers from {snapshot:?} and {records:?}");
            self.note_at(index, Mark::Detail, || journal);
        }
        let node = &mut self.nodes[index];
        let protocol = P::recover(node.setup.clone(), recovered, local)
            .map_err(|error| broken(invariants::RECOVERS, format!("{id}: {error}")))?;
        if node.is_honest() {
            // A crash may keep more than the disk had reported.
            for record in &node.disk.records {
                witness::check_durable::<P>(&mut self.book, id, record, quorum)?;
            }
            node.told.recovered(node.id, &protocol)?;
            node.acknowledged.recovered(node.id, &protocol)?;
        }
        node.promised = P::promise_of(&protocol.memory());
        let running = Running::new(protocol, executor, node.disk.snapshot.as_ref(), &node.setup);
        let status = running.progress.status;
        node.running = Some(running);
        node.tick_at = u64::MAX;
        self.note_at(index, Mark::Started, || {
            format!("starts at {}, epoch {}", status.base, status.epoch)
        });
        self.schedule_tick(index);
        Ok(())
    }

    /// Takes a replica's memory away; what it had asked its disk to keep survives in part.
    pub(crate) fn crash(&mut self, index: usize, kind: FaultKind) -> Check {
        self.crash_leaving(index, kind, None)
    }

    /// As [`World::crash`], with so many steps kept and the bytes cut there, or as the dice say.
    pub(crate) fn crash_leaving(
        &mut self,
        index: usize,
        kind: FaultKind,
        left: Option<(usize, Cut)>,
    ) -> Check {
        if self.nodes[index].running.is_none() {
            return Ok(());
        }
        self.faults.note(kind);
        let node = &mut self.nodes[index];
        let scripted = self.script.as_mut().and_then(|script| script.crash_keeps.take());
        let scripted = scripted.map(|kept| (kept, Cut::Drawn));
        let (kept, cut) = left
            .or(scripted)
            .unwrap_or_else(|| (self.nemesis_dice.index(node.disk.pending() + 1), Cut::Drawn));
        let loss = node.disk.crash(kept, cut, &mut self.disk_fault_dice, |record| {
            // The record that was being written when the power went: its frame is cut short.
            let (setup, mut frame) = (&node.setup, Vec::new());
            wire::encode(setup.cluster, setup.group, setup.replica, record, &mut frame).ok()?;
            let cut = self.nemesis_dice.index(frame.len());
            Some(wire::decode::<P::Record>(&frame[..cut], setup.cluster).is_err())
        });
        if node.disk.bytes.as_ref().is_some_and(|bytes| bytes.has_gap()) {
            node.damaged.get_or_insert(FaultKind::LostSync);
        }
        node.told.crash();
        node.running = None;
        node.incarnation += 1;
        node.tick_at = u64::MAX;
        node.paused = None;
        node.old_clock = None;
        node.crash_after_effects = None;
        node.crash_within_sync = false;
        let (id, incarnation) = (node.id, node.incarnation);
        self.note_at(index, Mark::Crashed, || {
            format!("crashes ({kind}): of its pending steps {loss:?}")
        });
        if loss.lost > 0 {
            self.faults.note(FaultKind::LostSteps);
        }
        match loss.torn_refused {
            Some(true) => self.faults.note(FaultKind::TornTail),
            Some(false) => {
                let detail = format!("{id}: a torn record was taken for a whole one");
                return Err(broken(invariants::CORRUPTION_REFUSED, detail));
            }
            None => {}
        }
        self.damage_mendable(index);
        if self.phase == Phase::Faults {
            let length = self.crash_length(kind);
            let at = self.now_ns + self.nemesis_dice.long_tail(length);
            self.queue.push(at, Event::Restart { node: index, incarnation });
        }
        Ok(())
    }

    pub(crate) fn restart(&mut self, index: usize, incarnation: u32) -> Check {
        let node = &self.nodes[index];
        if node.incarnation != incarnation || node.running.is_some() {
            return Ok(());
        }
        let healed = self.phase != Phase::Faults;
        if healed && self.plan.left_down.contains(&node.id.0) {
            return Ok(());
        }
        self.start(index)
    }
}
