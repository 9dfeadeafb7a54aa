//! Catching up: reports of where replicas stand, what is sent in answer, bodies, and state.
//!
//! Nothing here is needed while no message is lost. A replica that reports where it stands gets
//! from each peer what it lacks: the view's NEW-VIEW, votes for the slots in flight, digests of
//! committed slots (believed when `f + 1` distinct replicas claim them), the proof of a later
//! checkpoint. Bodies are fetched by digest, so it does not matter who sends them. Below the others'
//! checkpoint a whole snapshot is fetched, from one replica after another until one is right: what
//! it must be is in a certificate of `2f + 1`.

use std::sync::Arc;

use quorate_smr::{Digest, Effect, ReplicaId, ReplicaSet, Slot, SnapshotMeta, Time, To};

use crate::certificate::Verified;
use crate::message::{CLAIMS_MAX, Message, Proposal, StatusReport};
use crate::replica::{Out, Pbft, Phase};
use crate::timer::Cost;

/// Slots whose votes are sent again in answer to one report.
const RESENT_SLOTS_MAX: usize = 32;
/// Slots whose bodies are looked for at one tick.
const SOUGHT_SLOTS_MAX: u64 = 64;

impl Pbft {
    /// A peer says where it stands: it gets what it lacks.
    pub(crate) fn on_status(
        &mut self,
        now: Time,
        from: ReplicaId,
        report: &StatusReport,
        out: &mut Out,
    ) {
        if !self.may_answer(now, from, Cost::Report) {
            return;
        }
        self.send_view(now, from, report, out);
        self.send_checkpoints(from, report, out);
        self.send_claims(from, report.committed, out);
        if self.is_active() && !report.changing && report.view == self.view {
            // One that is ahead of us may lack what it needs to vote for the slots that we lack.
            let stuck = self
                .stuck_since()
                .is_some_and(|since| now.since(since) >= self.limits.retransmit_interval);
            let above = if stuck { report.committed.min(self.committed) } else { report.committed };
            self.resend_votes(from, above, out);
        }
    }

    /// What brings a peer to our view, or us to its.
    fn send_view(&mut self, now: Time, from: ReplicaId, report: &StatusReport, out: &mut Out) {
        let behind = report.view < self.view;
        let same = report.view == self.view && report.changing;
        let message = match self.phase {
            Phase::Changing if behind || (same && !report.heard.contains(self.group.me)) => {
                self.own_change.clone().map(|change| Message::ViewChange(Verified::vouch(change)))
            }
            Phase::Active if behind || same => {
                self.new_view.clone().map(|opened| Message::NewView(Verified::vouch(opened)))
            }
            Phase::Active | Phase::Changing => None,
        };
        if let Some(message) = message
            && self.may_answer(now, from, Cost::Large)
        {
            out.send(To::One(from), message);
        }
    }

    /// The proof of our checkpoint, or our vote for those to come.
    fn send_checkpoints(&self, from: ReplicaId, report: &StatusReport, out: &mut Out) {
        if report.stable < self.log.base() {
            if let Some(certificate) = self.certificate.clone() {
                out.send(To::One(from), Message::Stable(Verified::vouch(certificate)));
            }
            return;
        }
        let later = self.taken.iter().filter(|(slot, _)| **slot > report.stable);
        for (slot, snapshot) in later {
            let checkpoint = self.sign_checkpoint(*slot, snapshot.digest);
            out.send(To::One(from), Message::Checkpoint(Verified::vouch(checkpoint)));
        }
    }

    /// What we committed above `above`, as digests.
    fn send_claims(&self, from: ReplicaId, above: Slot, out: &mut Out) {
        let first = above.max(self.log.base()).0.saturating_add(1);
        let digests: Vec<Digest> = (first..=self.committed.0)
            .take(CLAIMS_MAX)
            .map_while(|slot| self.log.entry(Slot(slot)).and_then(|entry| entry.decided))
            .collect();
        if !digests.is_empty() {
            out.send(To::One(from), Message::Claims { first: Slot(first), digests });
        }
    }

    /// Our votes in this view for the slots above `above`.
    fn resend_votes(&self, from: ReplicaId, above: Slot, out: &mut Out) {
        let (view, to) = (self.view, To::One(from));
        let first = above.max(self.log.base()).0.saturating_add(1);
        let most = self.portion(RESENT_SLOTS_MAX) as u64;
        let last = self.log.last().0.min(first.saturating_add(most - 1));
        for slot in (first..=last).map(Slot) {
            let Some(round) = self.log.entry(slot).map(|entry| &entry.round) else { continue };
            let Some(digest) = round.digest.filter(|_| round.accepted) else { continue };
            match self.body(slot, digest) {
                Some(batch) if self.is_primary() && !self.was_chosen(slot) => {
                    let proposal = Proposal::checked(digest, batch, true);
                    out.send(to, Message::PrePrepare { view, slot, proposal });
                }
                _ => out.send(to, Message::Prepare { view, slot, digest }),
            }
            if round.prepared {
                out.send(to, Message::Commit { view, slot, digest });
            }
        }
    }

    /// Whether the NEW-VIEW of this view assigned `slot`, rather than a PRE-PREPARE.
    pub(crate) fn was_chosen(&self, slot: Slot) -> bool {
        self.new_view.as_ref().is_some_and(|opened| {
            slot.0 <= opened.content.base.0.saturating_add(opened.content.chosen.len() as u64)
        })
    }

    /// A peer says what it committed. Believed when `f + 1` distinct replicas agree.
    pub(crate) fn on_claims(
        &mut self,
        now: Time,
        from: ReplicaId,
        first: Slot,
        digests: &[Digest],
        out: &mut Out,
    ) {
        let weak = self.group.weak();
        #[cfg(feature = "planted-defects")]
        let weak =
            if self.limits.has(crate::config::Defect::ClaimOfOneBelieved) { 1 } else { weak };
        let before = self.committed;
        let mut last = first;
        for (offset, digest) in (0..).zip(digests) {
            let Some(slot) = first.0.checked_add(offset).map(Slot) else { break };
            last = slot;
            if slot <= self.committed {
                continue;
            }
            let Some(entry) = self.log.entry_mut(slot) else { continue };
            entry.claims.vote(from, *digest);
            if entry.decided.is_some() {
                continue;
            }
            if let Some(winner) = entry.claims.winner(weak) {
                self.log.decide(slot, winner);
                if self.body(slot, winner).is_none() {
                    self.fetch(slot, winner, out);
                }
            }
        }
        self.execute(now, out);
        self.ask_for_more(now, before, last, out);
    }

    /// Having caught up with all that was claimed, there may be more.
    fn ask_for_more(&mut self, now: Time, before: Slot, last: Slot, out: &mut Out) {
        let far = last.0.saturating_sub(before.0) >= CLAIMS_MAX as u64 / 2;
        if far && self.committed > before && self.committed >= last {
            self.report(now, out);
        }
    }

    /// Asks for a body. Anyone may send it: it is known by its digest.
    pub(crate) fn fetch(&self, slot: Slot, digest: Digest, out: &mut Out) {
        out.send_immediately(To::Others, Message::Fetch { slot, digest });
    }

    /// A peer lacks a body.
    pub(crate) fn on_fetch(
        &mut self,
        now: Time,
        from: ReplicaId,
        slot: Slot,
        digest: Digest,
        out: &mut Out,
    ) {
        let Some(batch) = self.log.entry(slot).and_then(|entry| entry.body(digest)).cloned() else {
            return;
        };
        if self.may_answer(now, from, Cost::Body) {
            let proposal = Proposal::checked(digest, batch, true);
            out.send_immediately(To::One(from), Message::Body { slot, proposal });
        }
    }

    /// A body arrived; its digest was computed when it was opened.
    pub(crate) fn on_body(&mut self, now: Time, slot: Slot, proposal: Proposal, out: &mut Out) {
        let missing = self.log.entry(slot).and_then(crate::window::Entry::missing);
        let room = self.log.bytes() + proposal.batch().len() <= self.limits.log_bytes_max;
        if missing != Some(proposal.digest()) || !room {
            return;
        }
        self.log.hold_fetched(slot, proposal.into_batch());
        self.execute(now, out);
        if self.is_active() {
            self.prepare_chosen(now, slot, out);
        }
    }

    /// At a tick: looks again for bodies and state that did not come.
    pub(crate) fn ask_for_missing(&mut self, now: Time, out: &mut Out) {
        let last = self.log.last().0.min(self.committed.0.saturating_add(SOUGHT_SLOTS_MAX));
        for slot in (self.committed.0.saturating_add(1)..=last).map(Slot) {
            let Some(entry) = self.log.entry(slot) else { break };
            let missing = entry.missing().filter(|digest| *digest != self.group.null);
            if let Some(digest) = missing {
                self.fetch(slot, digest, out);
            } else if self.is_active() {
                self.prepare_chosen(now, slot, out);
            }
        }
        self.ask_for_state(out);
    }

    /// Asks one of those who signed a later checkpoint for its snapshot, if we do not get there by
    /// ourselves: another at each attempt.
    fn ask_for_state(&mut self, out: &mut Out) {
        let stuck = self.state_seen == self.committed;
        self.state_seen = self.committed;
        let Some(ahead) = self.ahead.as_ref().filter(|ahead| ahead.slot > self.committed) else {
            return;
        };
        if !stuck || self.installing.is_some() {
            return;
        }
        let voters: ReplicaSet = ahead.votes.iter().map(|(voter, _)| *voter).collect();
        let sources = voters.difference(ReplicaSet::only(self.group.me));
        let turn = self.state_asks % (sources.len().max(1) as u64);
        let slot = ahead.slot;
        if let Some(source) = sources.iter().nth(turn as usize) {
            self.state_asks += 1;
            out.send_immediately(To::One(source), Message::FetchState { slot });
        }
    }

    /// A peer lacks everything up to `slot`: our snapshot, if it reaches that far.
    pub(crate) fn on_fetch_state(&mut self, now: Time, from: ReplicaId, slot: Slot, out: &mut Out) {
        let base = self.log.base();
        let Some(certificate) = self.certificate.clone().filter(|_| base >= slot) else { return };
        if self.installing.is_none() && self.may_answer(now, from, Cost::Large) {
            let message = Message::Snapshot(Verified::vouch(certificate));
            out.push(Effect::SendSnapshot { to: from, slot: base, message });
        }
    }

    /// Snapshot data arrived. It is taken if a certificate of `2f + 1` names its very digest and it
    /// brings us further.
    pub(crate) fn on_snapshot_arrived(
        &mut self,
        now: Time,
        message: Message,
        snapshot: SnapshotMeta,
        out: &mut Out,
    ) {
        let Message::Snapshot(certificate) = message else { return };
        let proven = certificate.slot == snapshot.slot && certificate.digest == snapshot.digest;
        if !proven || self.installing.is_some() || snapshot.slot <= self.committed {
            return;
        }
        self.move_base(Arc::clone(&certificate));
        self.committed = snapshot.slot;
        self.installing = Some(snapshot.slot);
        // Which of these were executed on the way is not known; their clients ask again.
        self.pending = Default::default();
        self.note_progress(now);
        let records = self.needed_records();
        self.cursor.install(snapshot, records, out);
    }

    /// The executor stands at the snapshot: commits go on after it.
    pub(crate) fn on_snapshot_installed(&mut self, now: Time, slot: Slot, out: &mut Out) {
        if self.installing == Some(slot) {
            self.installing = None;
            self.execute(now, out);
            self.report(now, out);
        }
    }
}
