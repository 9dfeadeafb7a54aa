//! Leaving a view and entering the next (TOCS 2002 §4.5; the choice is in [`crate::new_view`]).

use std::sync::Arc;

use quorate_smr::{Digest, Lsn, ReplicaId, Slot, Time, To};

use crate::certificate::{NewView, SignedNewView, SignedViewChange, Verified, ViewChange};
use crate::group::View;
use crate::message::{Message, Proposal};
use crate::new_view;
use crate::record::Record;
use crate::replica::{Out, OwnVote, Pbft, Phase};

impl Pbft {
    /// Leaves the current view for `view`: nothing of earlier views is accepted any more, and what
    /// (pre-)prepared here is stated, in writing first.
    pub(crate) fn start_view_change(&mut self, now: Time, view: View, out: &mut Out) {
        if view <= self.view {
            return;
        }
        self.give_up_primacy(now);
        self.blame.forget_vouchers();
        self.note_view_change();
        self.view = view;
        self.primary = self.group.primary(view);
        self.phase = Phase::Changing;
        self.new_view = None;
        self.log.new_round();
        let content = self.view_change(view);
        let signature = self.signer.sign(content.content_digest(&self.group));
        let change = Arc::new(SignedViewChange { content, signature });
        self.own_change = Some(Arc::clone(&change));
        let lsn = self.record_view_change(&change, out);
        self.unsynced.push_back((lsn, OwnVote::ViewChange(Arc::clone(&change))));
        out.send(To::Others, Message::ViewChange(Verified::vouch(change)));
        self.announce_role(out);
    }

    fn record_view_change(&mut self, change: &Arc<SignedViewChange>, out: &mut Out) -> Lsn {
        #[cfg(feature = "planted-defects")]
        if self.limits.has(crate::config::Defect::ViewChangeNotPersisted) {
            return self.cursor.appended();
        }
        self.cursor.append(Record::ViewChange(Arc::clone(change)), out)
    }

    /// What we state when we move to `view`.
    fn view_change(&self, view: View) -> ViewChange {
        let prepared = self.log.prepared_pairs();
        #[cfg(feature = "planted-defects")]
        let prepared = if self.limits.has(crate::config::Defect::PreparedDroppedInViewChange) {
            Vec::new()
        } else {
            prepared
        };
        ViewChange {
            replica: self.group.me,
            view,
            stable: self.log.base(),
            certificate: self.certificate.clone(),
            prepared,
            pre_prepared: self.log.pre_prepared_pairs(),
        }
    }

    /// A peer leaves its view. It was verified when it was opened.
    pub(crate) fn on_view_change(
        &mut self,
        now: Time,
        from: ReplicaId,
        change: &Arc<SignedViewChange>,
        out: &mut Out,
    ) {
        self.count_view_change(now, from, change, out);
        self.join_view_change(now, out);
    }

    /// Keeps the VIEW-CHANGE for the highest view of each replica, and goes on if that suffices.
    pub(crate) fn count_view_change(
        &mut self,
        now: Time,
        from: ReplicaId,
        change: &Arc<SignedViewChange>,
        out: &mut Out,
    ) {
        let place = self.group.rank(from).and_then(|rank| self.changes.get_mut(rank));
        let Some(place) = place else { return };
        if place.as_ref().is_some_and(|held| held.content.view >= change.content.view) {
            return;
        }
        *place = Some(Arc::clone(change));
        self.check_changes(now, out);
    }

    /// `f + 1` distinct replicas left for higher views: at least one is honest, so join the
    /// smallest of those views without waiting (PBFT §4.5.2).
    fn join_view_change(&mut self, now: Time, out: &mut Out) {
        let views = self.changes.iter().flatten().map(|change| change.content.view);
        let higher: Vec<View> = views.filter(|view| *view > self.view).collect();
        if higher.len() >= self.group.weak()
            && let Some(view) = higher.into_iter().min()
        {
            self.start_view_change(now, view, out);
        }
    }

    /// `2f + 1` distinct replicas left for the view that we move to, or for later ones: the timer
    /// starts. (Those in later views must count: two honest replicas in one view, one in the next and
    /// a mute one would wait for ever.) With `2f + 1` for this very view its primary opens it.
    fn check_changes(&mut self, now: Time, out: &mut Out) {
        if self.phase != Phase::Changing {
            return;
        }
        let (view, quorum) = (self.view, self.group.quorum());
        let left = self.changes.iter().flatten().filter(|change| change.content.view >= view);
        if left.count() < quorum {
            return;
        }
        self.timers.wanted.get_or_insert(now);
        #[cfg(feature = "planted-defects")]
        let any = self.limits.has(crate::config::Defect::OldViewChangesCounted);
        #[cfg(not(feature = "planted-defects"))]
        let any = false;
        let right = |change: &&Arc<SignedViewChange>| any || change.content.view == view;
        let exact = self.changes.iter().flatten().filter(right);
        let changes: Vec<Arc<SignedViewChange>> = exact.cloned().collect();
        if self.is_primary() && changes.len() >= quorum {
            self.open_view(now, changes, out);
        }
    }

    /// As primary of the view: opens it if the view changes at hand allow a choice.
    fn open_view(&mut self, now: Time, changes: Vec<Arc<SignedViewChange>>, out: &mut Out) {
        // Our own must be among them: it is there once durable.
        let contents: Vec<&ViewChange> = changes.iter().map(|change| &change.content).collect();
        let Some(choice) = new_view::choose(&contents, &self.group) else { return };
        let content =
            NewView { view: self.view, changes, base: choice.base, chosen: choice.chosen };
        let signature = self.signer.sign(content.content_digest(&self.group));
        let new_view = Arc::new(SignedNewView { content, signature });
        if !self.agrees_with_committed(&new_view) {
            return;
        }
        self.enter_view(now, &new_view, out);
    }

    /// A view was opened, for all we can verify (it was, when the message was opened).
    pub(crate) fn on_new_view(&mut self, now: Time, new_view: &Arc<SignedNewView>, out: &mut Out) {
        let view = new_view.content.view;
        // Views only grow; a view is opened once.
        if view < self.view || (view == self.view && self.is_active()) {
            return;
        }
        if self.agrees_with_committed(new_view) {
            self.enter_view(now, new_view, out);
        }
    }

    /// Whether a new view keeps what was committed here. With at most `f` faulty replicas every
    /// verified one does; with more, better to stay behind than to contradict ourselves.
    fn agrees_with_committed(&self, new_view: &SignedNewView) -> bool {
        let NewView { base, chosen, .. } = &new_view.content;
        let keeps = |(slot, entry): (Slot, &crate::window::Entry)| {
            let Some(decided) = entry.decided.filter(|_| slot > *base) else { return true };
            let index = usize::try_from(slot.0 - base.0 - 1).unwrap_or(usize::MAX);
            chosen.get(index) == Some(&decided)
        };
        self.log.iter().all(keeps)
    }

    /// Enters a verified view.
    fn enter_view(&mut self, now: Time, new_view: &Arc<SignedNewView>, out: &mut Out) {
        let NewView { view, base, chosen, .. } = &new_view.content;
        self.give_up_primacy(now);
        self.view = *view;
        self.primary = self.group.primary(*view);
        self.phase = Phase::Active;
        self.new_view = Some(Arc::clone(new_view));
        self.log.new_round();
        self.note_entered(now);
        // Before anything that belongs to the view; the NEW-VIEW itself leaves after it too.
        self.cursor.append(Record::NewView(Arc::clone(new_view)), out);
        if self.is_primary() {
            out.send(To::Others, Message::NewView(Verified::vouch(Arc::clone(new_view))));
        }
        self.announce_role(out);
        if let Some(proof) = new_view::base_certificate(new_view) {
            self.on_stable(&Arc::clone(proof), out);
        }
        self.start_from(now, *base, chosen, out);
        self.hand_over_pending(now, out);
        // Votes of those who entered before us may have come too early.
        self.report(now, out);
    }

    /// Takes the choice of a new view as its primary's assignments (PBFT §4.4).
    fn start_from(&mut self, now: Time, base: Slot, chosen: &[Digest], out: &mut Out) {
        self.assign_chosen(base, chosen);
        let first = base.max(self.log.base()).next();
        let last = Slot(base.0.saturating_add(chosen.len() as u64)).min(self.log.high());
        let mut slot = first;
        while slot <= last {
            self.prepare_chosen(now, slot, out);
            slot = slot.next();
        }
    }

    /// Notes what a new view assigned, and where its primary goes on.
    pub(crate) fn assign_chosen(&mut self, base: Slot, chosen: &[Digest]) {
        let mut slot = base;
        for digest in chosen {
            slot = slot.next();
            if let Some(entry) = self.log.entry_mut(slot) {
                entry.round.digest = Some(*digest);
            }
        }
        self.next_slot = slot.max(self.log.base()).next();
    }

    /// Pre-prepares a chosen slot if its body is at hand; fetches it otherwise.
    pub(crate) fn prepare_chosen(&mut self, now: Time, slot: Slot, out: &mut Out) {
        let Some(entry) = self.log.entry(slot) else { return };
        let Some(digest) = entry.round.digest.filter(|_| !entry.round.accepted) else { return };
        match self.body(slot, digest) {
            Some(batch) => {
                self.prepare(now, slot, &Proposal::checked(digest, batch, true), out);
            }
            None => {
                self.note_waiting(now);
                self.fetch(slot, digest, out);
            }
        }
    }
}
