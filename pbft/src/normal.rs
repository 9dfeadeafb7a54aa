//! The normal case: pre-prepare, prepare, commit, execute (PBFT §4.2, figure 1).

use quorate_smr::{Digest, Effect, ReplicaId, Slot, Time, To};

use crate::certificate::is_checkpoint;
use crate::group::View;
use crate::message::{Message, Proposal};
use crate::record::Record;
use crate::replica::{Out, OwnVote, Pbft};

impl Pbft {
    /// As primary: assigns the next slot to `proposal`. The caller checked that there is room.
    pub(crate) fn assign(&mut self, now: Time, proposal: Proposal, out: &mut Out) {
        let slot = self.next_slot;
        self.next_slot = slot.next();
        let (view, digest) = (self.view, proposal.digest());
        let Some(entry) = self.log.entry_mut(slot) else { return };
        entry.round.digest = Some(digest);
        // The record comes first: a primary that restarts must not assign the slot again.
        self.record_pre_prepared(slot, &proposal, out);
        out.send(To::Others, Message::PrePrepare { view, slot, proposal });
        self.note_waiting(now);
    }

    /// Accepts the primary's assignment: right view, right sender, between the watermarks, the
    /// first for its slot, with commands whose clients we believe.
    pub(crate) fn on_pre_prepare(
        &mut self,
        now: Time,
        from: ReplicaId,
        view: View,
        slot: Slot,
        proposal: Proposal,
        out: &mut Out,
    ) {
        if !self.is_active() || view != self.view || from != self.primary {
            return;
        }
        // A null request holds nothing, and what fills the log may wait for its checkpoint.
        let bytes = self.log.bytes() + proposal.batch().len();
        if !proposal.batch().is_empty() && bytes > self.limits.log_bytes_max {
            return;
        }
        let digest = proposal.digest();
        let (primary, weak) = (self.primary, self.group.weak());
        let Some(entry) = self.log.entry_mut(slot) else { return };
        // The first assignment wins. One without a body (from a NEW-VIEW) may get it here.
        let known = entry.round.accepted || entry.round.digest.is_some_and(|had| had != digest);
        if known || entry.decided.is_some_and(|decided| decided != digest) {
            return;
        }
        let vouched = entry.round.digest.is_some() || entry.round.vouched(digest, primary, weak);
        if !proposal.is_authentic() && !vouched {
            self.log.hold_unproven(slot, proposal);
            self.note_waiting(now);
            return;
        }
        self.accept_assignment(now, slot, &proposal, out);
    }

    /// The primary's PRE-PREPARE is its vote.
    fn accept_assignment(&mut self, now: Time, slot: Slot, proposal: &Proposal, out: &mut Out) {
        let primary = self.primary;
        if let Some(entry) = self.log.entry_mut(slot) {
            entry.round.digest = Some(proposal.digest());
            entry.round.prepares.vote(primary, proposal.digest());
        }
        self.prepare(now, slot, proposal, out);
    }

    /// Pre-prepares an assignment whose body is at hand: record it, then say so.
    pub(crate) fn prepare(&mut self, now: Time, slot: Slot, proposal: &Proposal, out: &mut Out) {
        let (view, digest) = (self.view, proposal.digest());
        self.record_pre_prepared(slot, proposal, out);
        out.send(To::Others, Message::Prepare { view, slot, digest });
        self.note_waiting(now);
        self.advance_slot(now, slot, out);
    }

    /// Adds to Q and to the journal; our own vote counts once that is durable.
    fn record_pre_prepared(&mut self, slot: Slot, proposal: &Proposal, out: &mut Out) {
        let (view, digest) = (self.view, proposal.digest());
        let known = digest == self.group.null
            || self
                .log
                .entry(slot)
                .is_some_and(|entry| entry.accepted().any(|a| a.digest == digest));
        let batch = (!known).then(|| proposal.batch().clone());
        self.log.accept(slot, view, digest, proposal.batch().clone());
        if let Some(entry) = self.log.entry_mut(slot) {
            entry.round.accepted = true;
        }
        #[cfg(feature = "planted-defects")]
        if self.limits.has(crate::config::Defect::PrepareNotPersisted) {
            let lsn = self.cursor.appended();
            self.unsynced.push_back((lsn, OwnVote::Prepare { view, slot, digest }));
            return;
        }
        let lsn = self.cursor.append(Record::PrePrepared { view, slot, digest, batch }, out);
        self.unsynced.push_back((lsn, OwnVote::Prepare { view, slot, digest }));
    }

    /// Our own pre-prepare is durable.
    pub(crate) fn on_own_prepare(
        &mut self,
        now: Time,
        view: View,
        slot: Slot,
        digest: Digest,
        out: &mut Out,
    ) {
        let me = self.group.me;
        if let Some(entry) = self.votable(view, slot) {
            entry.round.prepares.vote(me, digest);
            self.advance_slot(now, slot, out);
        }
    }

    /// A replica pre-prepared: a backup, or the primary for a slot that its NEW-VIEW chose.
    pub(crate) fn on_prepare(
        &mut self,
        now: Time,
        from: ReplicaId,
        view: View,
        slot: Slot,
        digest: Digest,
        out: &mut Out,
    ) {
        #[cfg(feature = "planted-defects")]
        let counts_messages = self.limits.has(crate::config::Defect::VotesCountMessages);
        let Some(entry) = self.votable(view, slot) else { return };
        if entry.round.prepares.vote(from, digest) {
            if entry.round.unproven.is_some() {
                self.accept_vouched(now, slot, out);
            }
            self.advance_slot(now, slot, out);
        } else {
            #[cfg(feature = "planted-defects")]
            if counts_messages {
                entry.round.prepares.repeat();
            }
            self.advance_repeated(now, slot, out);
        }
    }

    /// A command's tag was wrong for us but right for an honest replica: `f + 1` replicas say so
    /// (TOCS 2002 §3.2.2). Otherwise a client with a partly wrong authenticator stops the group.
    fn accept_vouched(&mut self, now: Time, slot: Slot, out: &mut Out) {
        let (primary, weak) = (self.primary, self.group.weak());
        let Some(entry) = self.log.entry(slot) else { return };
        let Some(unproven) = &entry.round.unproven else { return };
        if entry.round.digest.is_some() || !entry.round.vouched(unproven.digest(), primary, weak) {
            return;
        }
        if let Some(proposal) = self.log.take_unproven(slot) {
            self.accept_assignment(now, slot, &proposal, out);
        }
    }

    /// A replica saw the slot prepared.
    pub(crate) fn on_commit(
        &mut self,
        now: Time,
        from: ReplicaId,
        view: View,
        slot: Slot,
        digest: Digest,
        out: &mut Out,
    ) {
        #[cfg(feature = "planted-defects")]
        let counts_messages = self.limits.has(crate::config::Defect::VotesCountMessages);
        let Some(entry) = self.votable(view, slot) else { return };
        if entry.round.commits.vote(from, digest) {
            self.advance_slot(now, slot, out);
        } else {
            #[cfg(feature = "planted-defects")]
            if counts_messages {
                entry.round.commits.repeat();
            }
            self.advance_repeated(now, slot, out);
        }
    }

    /// A repeated vote changes nothing, except for the planted defect that counts it.
    #[cfg_attr(not(feature = "planted-defects"), allow(clippy::unused_self))]
    fn advance_repeated(&mut self, now: Time, slot: Slot, out: &mut Out) {
        #[cfg(feature = "planted-defects")]
        if self.limits.has(crate::config::Defect::VotesCountMessages) {
            self.advance_slot(now, slot, out);
        }
        #[cfg(not(feature = "planted-defects"))]
        let _ = (now, slot, out);
    }

    /// The entry in which a vote of `view` for `slot` counts.
    fn votable(&mut self, view: View, slot: Slot) -> Option<&mut crate::window::Entry> {
        if !self.is_active() || view != self.view {
            return None;
        }
        self.log.entry_mut(slot)
    }

    /// Moves a slot on as far as its votes allow: prepared, then committed.
    pub(crate) fn advance_slot(&mut self, now: Time, slot: Slot, out: &mut Out) {
        let (view, quorum) = (self.view, self.group.quorum());
        #[cfg(feature = "planted-defects")]
        let limits = self.limits;
        let Some(entry) = self.log.entry_mut(slot) else { return };
        let round = &mut entry.round;
        let Some(digest) = round.digest.filter(|_| round.accepted) else { return };
        let votes = |tally: &crate::tally::Tally| {
            #[cfg(feature = "planted-defects")]
            if limits.has(crate::config::Defect::VotesCountMessages) {
                return tally.messages(digest);
            }
            tally.voters(digest).len()
        };
        let has_quorum = votes(&round.prepares) >= quorum;
        #[cfg(feature = "planted-defects")]
        let has_quorum = has_quorum || limits.has(crate::config::Defect::PreparedWithoutQuorum);
        let prepared_now = !round.prepared && has_quorum;
        if prepared_now {
            round.prepared = true;
            entry.prepared = Some((view, digest));
            self.commit(view, slot, digest, out);
        }
        let Some(entry) = self.log.entry_mut(slot) else { return };
        if !entry.round.prepared || entry.decided.is_some() {
            return;
        }
        let committed = votes(&entry.round.commits) >= quorum;
        #[cfg(feature = "planted-defects")]
        let committed = committed || limits.has(crate::config::Defect::CommitWithoutQuorum);
        if committed {
            self.log.decide(slot, digest);
            self.execute(now, out);
        }
    }

    /// Says that `slot` prepared here, after writing it down (an element of P).
    fn commit(&mut self, view: View, slot: Slot, digest: Digest, out: &mut Out) {
        #[cfg(feature = "planted-defects")]
        let lsn = if self.limits.has(crate::config::Defect::PrepareNotPersisted) {
            self.cursor.appended()
        } else {
            self.cursor.append(Record::Prepared { view, slot, digest }, out)
        };
        #[cfg(not(feature = "planted-defects"))]
        let lsn = self.cursor.append(Record::Prepared { view, slot, digest }, out);
        self.unsynced.push_back((lsn, OwnVote::Commit { view, slot, digest }));
        out.send(To::Others, Message::Commit { view, slot, digest });
    }

    /// Hands decided batches to the executor, in order and without gaps (PBFT §4.2).
    pub(crate) fn execute(&mut self, now: Time, out: &mut Out) {
        let before = self.committed;
        while self.installing.is_none() {
            let slot = self.committed.next();
            let Some(digest) = self.log.entry(slot).and_then(|entry| entry.decided) else { break };
            let Some(batch) = self.body(slot, digest) else {
                self.fetch(slot, digest, out);
                break;
            };
            self.note_executed(&batch);
            self.committed = slot;
            out.commit(slot, batch);
            if is_checkpoint(slot, self.limits.checkpoint_interval) {
                out.push(Effect::TakeSnapshot { slot });
            }
        }
        if self.committed > before {
            self.note_progress(now);
            self.reach_ahead(out);
        }
    }
}
