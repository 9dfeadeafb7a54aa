//! Snapshots: taken to shorten the log, sent to peers that need what the log no longer holds.
//!
//! *Paxos Made Live* §5.5. What always holds: the journal is cut only in one step with the records
//! that are still needed; acceptances above the snapshot survive both taking and installing one.

use std::collections::BTreeMap;

use quorate_smr::{Effect, ReplicaId, Slot, SnapshotMeta, Time};

use crate::ballot::Ballot;
use crate::config::planted;
use crate::message::{Message, SLOT_MAX};
use crate::record::Record;
use crate::replica::{Mode, Out, Paxos};

/// What a replica knows of its own snapshots and of those it sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Snapshots {
    /// The snapshot below the journal; slot 0 when there is none.
    slot: Slot,
    /// The snapshot asked of the host.
    taking: Option<Slot>,
    /// The snapshot that the host is restoring; commits wait for it.
    installing: Option<Slot>,
    /// What was sent to whom, and when.
    sent: BTreeMap<ReplicaId, (Slot, Time)>,
}

impl Snapshots {
    pub(crate) const fn new(slot: Slot) -> Self {
        Self { slot, taking: None, installing: None, sent: BTreeMap::new() }
    }

    pub(crate) const fn slot(&self) -> Slot {
        self.slot
    }

    pub(crate) const fn is_installing(&self) -> bool {
        self.installing.is_some()
    }

    /// Notes that a snapshot at `slot` is wanted; false while another one is under way.
    pub(crate) const fn begin(&mut self, slot: Slot) -> bool {
        if self.taking.is_some() || self.installing.is_some() {
            return false;
        }
        self.taking = Some(slot);
        true
    }
}

impl Paxos {
    /// The host took the snapshot: cuts the log and the journal.
    pub(crate) fn on_snapshot_taken(&mut self, slot: Slot, effects: &mut Out) {
        if self.snapshots.taking != Some(slot) {
            return;
        }
        self.snapshots.taking = None;
        self.snapshots.slot = slot;
        let records = self.records_above(slot);
        self.cursor.compact(slot, records, effects);
        let config = &self.setup.config;
        let bytes_max = config.log_bytes_max / 8;
        self.acceptor.log.drop_upto(slot, config.retained_slots_max, bytes_max);
        self.snapshot_if_due(effects);
    }

    /// All that must be remembered besides a snapshot at `slot`.
    fn records_above(&mut self, slot: Slot) -> Vec<Record> {
        let log = &self.acceptor.log;
        let decided = log.decided();
        let mut promised = self.acceptor.promised;
        if planted!(self.setup.config, CompactionForgetsPromise) {
            promised = Ballot::ZERO;
        }
        let mut records = vec![Record::Base { slot, promised }];
        if planted!(self.setup.config, CompactionDropsAcceptances) {
            return records;
        }
        records.extend(log.values(slot.next()).map(|(at, ballot, batch)| {
            let batch = batch.clone();
            Record::Accepted { ballot, slot: at, decided: slot, batch }
        }));
        records.push(Record::Decided { upto: decided });
        self.acceptor.recorded = decided;
        records
    }

    /// Sends the snapshot to `peer`, unless it was sent a moment ago.
    pub(crate) fn send_snapshot(&mut self, now: Time, peer: ReplicaId, effects: &mut Out) {
        let slot = self.snapshots.slot;
        let retry = self.config().snapshot_retry;
        let busy = self
            .snapshots
            .sent
            .get(&peer)
            .is_some_and(|(sent, at)| *sent == slot && now.since(*at) < retry);
        if slot == Slot::ZERO || busy || self.snapshots.is_installing() {
            return;
        }
        self.snapshots.sent.insert(peer, (slot, now));
        let message = Message::Snapshot { decided: self.acceptor.log.decided() };
        effects.push(Effect::SendSnapshot { to: peer, slot, message });
    }

    /// A peer's snapshot arrived: installs it if it is ahead of what is known here.
    pub(crate) fn on_snapshot_arrived(
        &mut self,
        now: Time,
        from: ReplicaId,
        message: &Message,
        snapshot: SnapshotMeta,
        effects: &mut Out,
    ) {
        let known = from != self.me() && self.setup.members.contains(from);
        let wanted = matches!(message, Message::Snapshot { .. })
            && message.is_plausible(self.setup.group)
            && !matches!(self.mode, Mode::Leading(_))
            && !self.snapshots.is_installing()
            && snapshot.slot > self.acceptor.log.decided()
            && snapshot.slot <= SLOT_MAX;
        if !known || !wanted {
            return;
        }
        self.acceptor.log.rebase(snapshot.slot);
        self.committed = snapshot.slot;
        self.snapshots.slot = snapshot.slot;
        self.snapshots.taking = None;
        self.snapshots.installing = Some(snapshot.slot);
        let records = self.records_above(snapshot.slot);
        self.cursor.install(snapshot, records, effects);
        if let Mode::Preparing(preparing) = &mut self.mode {
            preparing.progress(now, &self.setup.config);
        }
    }

    /// The state machine stands at the snapshot: commits go on, and so does catching up.
    pub(crate) fn on_snapshot_installed(&mut self, now: Time, slot: Slot, effects: &mut Out) {
        if self.snapshots.installing != Some(slot) {
            return;
        }
        self.snapshots.installing = None;
        self.emit_commits(effects);
        if self.acceptor.advance_stable(self.cursor.durable()) {
            self.acknowledge(now, effects);
        }
        self.lead_if_prepared(now, effects);
        if let (Mode::Following, Some(leader)) = (&self.mode, self.election.leader) {
            self.fetch(leader, effects);
        }
    }
}
