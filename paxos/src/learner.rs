//! The learner: finds out what is decided, hands it to the host in order, and helps others.
//!
//! *Paxos Made Simple* §2.3: a distinguished learner (the leader) finds out that a value is chosen
//! and tells the others. It tells them a number only: "all slots up to s are decided". A replica
//! that accepted a slot under that leader's ballot holds the decided value; for every other slot it
//! must fetch it, from any replica that knows. What always holds: a slot counts as decided here
//! only with its value, and only as part of the gapless prefix.

use quorate_smr::{Batch, Effect, ReplicaId, Slot, Time, To};

use crate::ballot::Ballot;
use crate::config::planted;
use crate::log;
use crate::message::Message;
use crate::record::Record;
use crate::replica::{Mode, Out, Paxos};

impl Paxos {
    /// The leader of `ballot` says that all slots up to `decided` are decided.
    #[inline]
    pub(crate) fn learn(&mut self, ballot: Ballot, decided: Slot, effects: &mut Out) {
        let before = self.acceptor.log.decided();
        if before >= decided {
            return;
        }
        let any_ballot = planted!(self.config(), LearnFromAnyBallot);
        loop {
            let log = &mut self.acceptor.log;
            let next = log.decided().next();
            let under = log.ballot(next);
            let holds = under == Some(ballot) || (any_ballot && under.is_some());
            if next > decided || !holds {
                break;
            }
            log.decide_next();
        }
        if self.acceptor.log.decided() > before {
            self.emit_commits(effects);
            self.snapshot_if_due(effects);
        }
    }

    /// The leader is alive: learns what it decided, asks for what is missing, and answers.
    pub(crate) fn on_heartbeat(
        &mut self,
        now: Time,
        from: ReplicaId,
        ballot: Ballot,
        decided: Slot,
        probe: u64,
        effects: &mut Out,
    ) {
        // A leader below the promise must not be confirmed, whatever else is obeyed.
        if !self.follow(now, from, ballot, effects) || ballot < self.acceptor.promised {
            return;
        }
        self.learn(ballot, decided, effects);
        self.acceptor.advance_stable(self.cursor.durable());
        self.record_decided(effects);
        if self.acceptor.log.decided() < decided {
            self.fetch(from, effects);
        }
        // Says that nothing higher is promised, now; nothing that a disk must remember.
        let upto = self.acceptor.stable;
        let message = Message::HeartbeatAck { ballot, probe, upto };
        effects.send_immediately(To::One(from), message);
    }

    /// Hands decided batches to the host, each once, in slot order.
    #[inline]
    pub(crate) fn emit_commits(&mut self, effects: &mut Out) {
        let decided = self.acceptor.log.decided();
        if self.committed == decided || self.snapshots.is_installing() {
            return;
        }
        while self.committed < decided {
            self.committed = self.committed.next();
            let batch = self.acceptor.log.batch(self.committed);
            let batch = batch.expect("a decided slot holds its value").clone();
            effects.commit(self.committed, batch);
        }
    }

    /// Asks `from`, which knows more decided slots, for the next ones.
    pub(crate) fn fetch(&self, from: ReplicaId, effects: &mut Out) {
        if !self.snapshots.is_installing() {
            let next = self.acceptor.log.decided().next();
            effects.send_immediately(To::One(from), Message::Fetch { from: next });
        }
    }

    /// A peer wants decided slots from `from` on: sends one page, or the snapshot below them.
    pub(crate) fn on_fetch(&mut self, now: Time, peer: ReplicaId, from: Slot, effects: &mut Out) {
        let log = &self.acceptor.log;
        let decided = log.decided();
        if from > decided {
            return;
        }
        if from <= log.base() {
            self.send_snapshot(now, peer, effects);
            return;
        }
        let config = self.config();
        let mut batches: Vec<Batch> = Vec::new();
        let mut bytes = 0;
        for (slot, _, batch) in log.values(from) {
            bytes += batch.len();
            let full = batches.len() >= config.page_slots_max || bytes > config.page_bytes_max;
            if slot > decided || (full && !batches.is_empty()) {
                break;
            }
            batches.push(batch.clone());
        }
        // Decided values are decided whatever this disk remembers.
        let message = Message::Decisions { from, batches, decided };
        effects.send_immediately(To::One(peer), message);
    }

    /// Decided values arrived.
    pub(crate) fn on_decisions(
        &mut self,
        now: Time,
        peer: ReplicaId,
        from: Slot,
        batches: Vec<Batch>,
        decided: Slot,
        effects: &mut Out,
    ) {
        let before = self.acceptor.log.decided();
        // A leader learns from its own quorums.
        if matches!(self.mode, Mode::Leading(_)) || from > before.next() {
            return;
        }
        let known = (before.0 + 1 - from.0) as usize;
        for batch in batches.into_iter().skip(known) {
            if !self.learn_value(batch, effects) {
                break;
            }
        }
        let after = self.acceptor.log.decided();
        if after == before {
            return;
        }
        self.emit_commits(effects);
        self.snapshot_if_due(effects);
        if self.acceptor.advance_stable(self.cursor.durable()) {
            self.acknowledge(now, effects);
        }
        if let Mode::Preparing(preparing) = &mut self.mode {
            preparing.progress(now, &self.setup.config);
            self.lead_if_prepared(now, effects);
        }
        if decided > after && !matches!(self.mode, Mode::Leading(_)) {
            self.fetch(peer, effects);
        }
    }

    /// Takes `batch` as the decision of the next slot; false when the log has no room for it.
    fn learn_value(&mut self, batch: Batch, effects: &mut Out) -> bool {
        let log = &mut self.acceptor.log;
        let slot = log.decided().next();
        if log.batch(slot) != Some(&batch) {
            let replaced = log.batch(slot).map_or(0, log::cost);
            if log.bytes() - replaced + log::cost(&batch) > self.setup.config.log_bytes_max {
                return false;
            }
            let record = Record::Learned { slot, batch: batch.clone() };
            let lsn = self.cursor.append(record, effects);
            log.put(slot, Ballot::ZERO, lsn, batch);
            self.acceptor.recorded = slot;
        }
        log.decide_next();
        true
    }

    /// Writes the decided prefix to the journal if it is not there, so that a restart finds it.
    pub(crate) fn record_decided(&mut self, effects: &mut Out) {
        let upto = self.acceptor.log.decided();
        if self.acceptor.recorded < upto {
            self.acceptor.recorded = upto;
            self.cursor.append(Record::Decided { upto }, effects);
        }
    }

    /// Takes a snapshot once enough slots or bytes were decided since the last one.
    #[inline]
    pub(crate) fn snapshot_if_due(&mut self, effects: &mut Out) {
        let config = &self.setup.config;
        let slots = self.committed.0 - self.snapshots.slot().0;
        let bytes = self.acceptor.log.bytes() - self.acceptor.log.open_bytes();
        let due = slots >= config.snapshot_interval || bytes > config.log_bytes_max / 4;
        if due && slots > 0 && self.snapshots.begin(self.committed) {
            effects.push(Effect::TakeSnapshot { slot: self.committed });
        }
    }
}
