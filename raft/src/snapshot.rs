//! Snapshots and compaction (§7).
//!
//! When enough is committed above the last snapshot, the host is asked for one; once taken, it
//! replaces the log below it, in the journal in one atomic step. A follower that needs entries
//! which are gone gets the snapshot instead, with the position at which it stands.

use quorate_smr::{Effect, ReplicaId, Slot, SnapshotMeta, Time, To};

use crate::defect::Defect;
use crate::leader::Out;
use crate::log::Log;
use crate::message::{Message, Position};
use crate::record::Record;
use crate::replica::Raft;

/// The largest slot that a snapshot may stand at: slots above it must still be countable.
pub const SNAPSHOT_SLOT_MAX: Slot = Slot(1 << 62);

impl Raft {
    /// Asks for a snapshot when enough was committed since the last one.
    #[inline]
    pub(crate) fn want_snapshot(&mut self, out: &mut Out) {
        let config = &self.setup.config;
        let (base, committed) = (self.log.base(), self.committed);
        if self.snapshot_wanted.is_some() || committed == base {
            return;
        }
        let many = committed.0 - base.0 >= config.snapshot_interval;
        if many || self.log.bytes_between(base, committed) >= config.log_bytes_max / 2 {
            self.snapshot_wanted = Some(committed);
            out.push(Effect::TakeSnapshot { slot: committed });
        }
    }

    /// The host holds a snapshot: drop the log below it.
    pub(crate) fn on_snapshot_taken(&mut self, snapshot: SnapshotMeta, out: &mut Out) {
        let slot = snapshot.slot;
        if self.snapshot_wanted == Some(slot) {
            self.snapshot_wanted = None;
        }
        // A snapshot from a peer may have overtaken the one that was asked for.
        if slot <= self.log.base() || slot > self.committed {
            return;
        }
        self.log.compact(slot, self.setup.config.trailing_slots);
        let records = self.journal_image();
        self.cursor.compact(slot, records, out);
        self.want_snapshot(out);
    }

    /// Everything that the journal must hold above the snapshot.
    fn journal_image(&self) -> Vec<Record> {
        let forgotten = self.setup.config.has(Defect::CompactionForgetsVote);
        let vote = self.vote.filter(|_| !forgotten);
        let vote = Record::Vote { term: self.term, vote };
        let base = Record::Base { position: self.log.base_position() };
        let dropped = self.setup.config.has(Defect::CompactionDropsTail);
        let above = if dropped { self.log.last() } else { self.log.base() };
        let entries = self.log.iter_above(above).map(|(slot, held)| Record::Entry {
            slot,
            term: held.term,
            batch: held.batch.clone(),
        });
        [vote, base].into_iter().chain(entries).collect()
    }

    /// A leader sent its snapshot because the entries that this replica needs are gone.
    pub(crate) fn on_snapshot_arrived(
        &mut self,
        from: ReplicaId,
        message: &Message,
        snapshot: SnapshotMeta,
        now: Time,
        out: &mut Out,
    ) {
        let Message::Snapshot { position, .. } = message else { return };
        let position = *position;
        if !self.peers.contains(from) || !self.accept_term(from, message, now, out) {
            return;
        }
        let plausible = snapshot.slot == position.slot
            && position.slot <= SNAPSHOT_SLOT_MAX
            && position.term <= self.term;
        if !plausible || self.installing.is_some() {
            return;
        }
        if position.slot > self.committed && !self.log.contains(position) {
            self.install(position, snapshot, out);
        } else {
            // §7: the log already holds what the snapshot covers; keep it and what follows.
            self.verified = self.verified.max(position.slot);
            self.commit_upto(position.slot, out);
        }
        let upto = position.slot;
        out.send(To::One(from), Message::Appended { term: self.term, upto });
    }

    /// §7: "the follower discards its entire log; it is all superseded by the snapshot".
    fn install(&mut self, position: Position, snapshot: SnapshotMeta, out: &mut Out) {
        self.log = Log::new(position);
        self.committed = position.slot;
        self.verified = position.slot;
        self.snapshot_wanted = None;
        self.installing = Some(position.slot);
        let records = self.journal_image();
        self.cursor.install(snapshot, records, out);
    }

    pub(crate) fn on_snapshot_installed(&mut self, slot: Slot) {
        if self.installing == Some(slot) {
            self.installing = None;
        }
    }
}
