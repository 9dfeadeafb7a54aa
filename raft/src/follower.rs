//! The follower's side of replication (§5.3): compare, truncate, append, acknowledge.
//!
//! What holds: an entry at or below the commit slot is never replaced; a slot is committed only
//! when this replica's entry there was compared with the leader's; an acknowledgement leaves only
//! when the entries it names, and the term it is given in, are durable. Entries that one sync makes
//! durable are acknowledged by one message.

use quorate_smr::{Lsn, ReplicaId, Slot, To};

use crate::defect::Defect;
use crate::leader::Out;
use crate::log::entry_bytes;
use crate::message::{Entries, Entry, Message, Position};
use crate::record::Record;
use crate::replica::Raft;
use crate::term::Term;

/// An acknowledgement that waits for the disk. It grows while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owed {
    /// The leader, and its term: a later term knows nothing of this promise.
    to: ReplicaId,
    term: Term,
    /// The last slot to acknowledge.
    upto: Slot,
    /// The durable step before which nothing may be acknowledged: the term's own record.
    after: Lsn,
}

impl Raft {
    pub(crate) fn on_append(
        &mut self,
        from: ReplicaId,
        previous: Position,
        committed: Slot,
        entries: &Entries,
        out: &mut Out,
    ) {
        if !self.is_plausible(previous, entries) {
            return;
        }
        // A committed slot is in every later leader's log (leader completeness, figure 3).
        if previous.slot > self.committed && !self.agrees(previous) {
            let below = Slot(previous.slot.0 - 1);
            let hint = self.log.last_within(below, previous.term);
            let term = self.term;
            let message = Message::Conflict { term, previous: previous.slot, hint };
            return out.send(To::One(from), message);
        }
        let before = self.cursor.appended();
        let upto = self.take(previous.slot, entries, out);
        if self.setup.config.has(Defect::TruncateMatchingEntries) {
            let kept = upto.max(self.committed);
            self.log.truncate_from(kept.next());
            self.verified = self.verified.min(kept);
        }
        self.verified = self.verified.max(upto);
        self.owe(from, upto, before, out);
        self.commit_verified(committed, upto, out);
    }

    /// Whether the log holds the entry that precedes those of a message.
    fn agrees(&self, previous: Position) -> bool {
        let any = self.setup.config.has(Defect::AppendWithoutComparing);
        self.log.contains(previous) || (any && previous.slot <= self.log.last())
    }

    /// Acknowledges `upto` at once if everything is durable, else when the disk has caught up.
    fn owe(&mut self, to: ReplicaId, upto: Slot, before: Lsn, out: &mut Out) {
        if self.setup.config.has(Defect::AcknowledgeBeforeDurable) {
            return out.send_immediately(To::One(to), Message::Appended { term: self.term, upto });
        }
        let waiting = self.owed.filter(|owed| owed.term == self.term && owed.to == to);
        let (held, after) = waiting.map_or((upto, before), |owed| (owed.upto, owed.after));
        self.owed = Some(Owed { to, term: self.term, upto: upto.max(held), after });
        // No report will come from a disk that has nothing to do.
        if self.cursor.durable() == self.cursor.appended() {
            self.acknowledge(out);
        }
    }

    /// The disk moved on: acknowledges what is durable of what is owed.
    pub(crate) fn acknowledge(&mut self, out: &mut Out) {
        let Some(owed) = self.owed else { return };
        if owed.term != self.term || self.leader != Some(owed.to) {
            self.owed = None;
            return;
        }
        let durable = self.cursor.durable();
        if durable < owed.after {
            return;
        }
        let upto = owed.upto.min(self.log.durable_upto(durable));
        self.owed = Some(owed).filter(|owed| owed.upto > upto);
        let message = Message::Appended { term: self.term, upto };
        out.send_immediately(To::One(owed.to), message);
    }

    /// Figure 2, AppendEntries 5: commits to min(leaderCommit, index of last *new* entry), where
    /// `verified` is the last slot that the message showed to be equal.
    fn commit_verified(&mut self, committed: Slot, verified: Slot, out: &mut Out) {
        let unverified = self.setup.config.has(Defect::FollowerCommitsBeyondVerified);
        let bound = if unverified { self.log.last() } else { verified };
        self.commit_upto(committed.min(bound), out);
    }

    /// Whether a leader of this term could have sent these entries.
    fn is_plausible(&self, previous: Position, entries: &Entries) -> bool {
        let mut term = previous.term;
        let mut plausible = |entry: &Entry| {
            let ordered = term <= entry.term && entry.term <= self.term;
            term = entry.term;
            ordered && entry.batch.header().group == self.setup.group
        };
        entries.as_slice().iter().all(&mut plausible)
    }

    /// Takes up the entries after `previous`; returns the last slot that now equals the leader's.
    fn take(&mut self, previous: Slot, entries: &Entries, out: &mut Out) -> Slot {
        let mut upto = previous;
        for entry in entries.as_slice() {
            if !self.take_one(upto.next(), entry, out) {
                break;
            }
            upto = upto.next();
        }
        upto
    }

    /// Figure 2, AppendEntries 3 and 4, for one entry. False when there is no room for it.
    #[inline]
    fn take_one(&mut self, slot: Slot, entry: &Entry, out: &mut Out) -> bool {
        let Entry { term, batch } = entry;
        let term = *term;
        if slot <= self.log.last() {
            if slot <= self.committed || self.log.term_at(slot) == Some(term) {
                return true;
            }
            self.log.truncate_from(slot);
            self.verified = self.verified.min(Slot(slot.0 - 1));
        }
        if term < self.log.last_position().term || !self.make_room(entry_bytes(batch)) {
            return false;
        }
        let lsn = self.cursor.append(Record::Entry { slot, term, batch: batch.clone() }, out);
        self.log.push(term, batch.clone(), lsn);
        true
    }

    fn make_room(&mut self, bytes: usize) -> bool {
        let bytes_max = self.setup.config.log_bytes_max;
        if self.log.held_bytes() + bytes > bytes_max {
            self.log.trim_to(bytes_max.saturating_sub(bytes));
        }
        self.log.held_bytes() + bytes <= bytes_max
    }

    pub(crate) fn on_commit(&mut self, position: Position, out: &mut Out) {
        if self.log.contains(position) {
            self.verified = self.verified.max(position.slot);
            self.commit_upto(position.slot, out);
        }
    }

    pub(crate) fn on_heartbeat(
        &mut self,
        from: ReplicaId,
        round: u64,
        matched: Position,
        committed: Slot,
        out: &mut Out,
    ) {
        if matched.slot <= self.committed || self.log.contains(matched) {
            self.verified = self.verified.max(matched.slot);
            self.commit_verified(committed, matched.slot, out);
        }
        let received = self.verified.max(self.committed);
        // Leaves beside the disk: it says only that this replica is in the leader's term now, and
        // what it has in memory. A slow disk must neither depose a leader nor delay its reads.
        let message = Message::HeartbeatReply { term: self.term, round, received };
        out.send_immediately(To::One(from), message);
    }

    /// Commits everything up to `slot`, in order.
    ///
    /// # Panics
    /// If the log does not reach `slot`: the caller compared it with the leader's.
    #[inline]
    pub(crate) fn commit_upto(&mut self, slot: Slot, out: &mut Out) {
        if slot <= self.committed {
            return;
        }
        while self.committed < slot {
            let next = self.committed.next();
            let held = self.log.entry(next).expect("a committed entry is in the log");
            out.commit(next, held.batch.clone());
            self.committed = next;
        }
        self.want_snapshot(out);
    }
}
