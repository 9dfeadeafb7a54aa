//! Rebuilding a replica from its journal.
//!
//! The records are replayed in the order in which they were written. What was pre-prepared and
//! prepared counts again as our own vote, for it was durable; others' votes come again when we
//! report where we stand.

use std::sync::Arc;

use quorate_smr::{Batch, Digest, RecoverError, Recovered, Slot};

use crate::certificate::{CheckpointCertificate, SignedNewView, SignedViewChange};
use crate::group::View;
use crate::message::Proposal;
use crate::record::Record;
use crate::replica::{Pbft, Phase};

impl Pbft {
    /// Replays `recovered` into a fresh replica.
    pub(crate) fn rebuild(&mut self, recovered: Recovered<Record>) -> Result<(), RecoverError> {
        let mut records = recovered.records.into_iter().peekable();
        if let Some(snapshot) = recovered.snapshot {
            let Some(Record::Base { certificate }) = records.next() else {
                return Err(damaged("a snapshot without the certificate of its checkpoint"));
            };
            if certificate.slot != snapshot.slot || certificate.digest != snapshot.digest {
                return Err(damaged("the snapshot differs from its checkpoint's certificate"));
            }
            self.start_at(certificate);
        }
        records.try_for_each(|record| self.replay(record))?;
        // A compacted journal holds what belongs to earlier views before it names the view, and P
        // may name an earlier view than Q: only the end can be checked.
        let (view, null) = (self.view, self.group.null);
        let sound = self.log.iter().all(|(_, entry)| {
            let has_body = |digest| digest == null || entry.body(digest).is_some();
            entry.accepted().all(|accepted| accepted.view <= view)
                && entry
                    .prepared
                    .is_none_or(|(prepared, digest)| prepared <= view && has_body(digest))
        });
        if sound { Ok(()) } else { Err(damaged("a certificate of a later view or without batch")) }
    }

    fn start_at(&mut self, certificate: Arc<CheckpointCertificate>) {
        self.committed = certificate.slot;
        self.state_seen = certificate.slot;
        self.move_base(certificate);
    }

    fn replay(&mut self, record: Record) -> Result<(), RecoverError> {
        match record {
            Record::Base { .. } => Err(damaged("a second base")),
            Record::PrePrepared { view, slot, digest, batch } => {
                self.replay_pre_prepared(view, slot, digest, batch)
            }
            Record::Prepared { view, slot, digest } => self.replay_prepared(view, slot, digest),
            Record::ViewChange(change) => self.replay_view_change(change),
            Record::NewView(new_view) => self.replay_new_view(new_view),
        }
    }

    fn replay_pre_prepared(
        &mut self,
        view: View,
        slot: Slot,
        digest: Digest,
        batch: Option<Batch>,
    ) -> Result<(), RecoverError> {
        if !self.log.contains(slot) {
            return Err(damaged("a pre-prepare outside the window"));
        }
        let batch = match batch {
            Some(batch) => match Proposal::new(batch) {
                Ok(proposal) if proposal.digest() == digest => proposal.into_batch(),
                _ => return Err(damaged("a batch that differs from its digest")),
            },
            None => {
                self.body(slot, digest).ok_or_else(|| damaged("a pre-prepare without a batch"))?
            }
        };
        self.log.accept(slot, view, digest, batch);
        let (me, primary) = (self.group.me, self.primary);
        let (current, chosen) = (view == self.view && self.is_active(), self.was_chosen(slot));
        if let Some(entry) = self.log.entry_mut(slot).filter(|_| current) {
            entry.round.digest = Some(digest);
            entry.round.accepted = true;
            entry.round.prepares.vote(me, digest);
            if !chosen {
                entry.round.prepares.vote(primary, digest);
            }
            self.next_slot = self.next_slot.max(slot.next());
        }
        Ok(())
    }

    fn replay_prepared(
        &mut self,
        view: View,
        slot: Slot,
        digest: Digest,
    ) -> Result<(), RecoverError> {
        let (me, current) = (self.group.me, view == self.view && self.is_active());
        let Some(entry) = self.log.entry_mut(slot) else {
            return Err(damaged("a prepared certificate outside the window"));
        };
        entry.prepared = Some((view, digest));
        if current {
            entry.round.prepared = true;
            entry.round.commits.vote(me, digest);
        }
        Ok(())
    }

    fn replay_view_change(&mut self, change: Arc<SignedViewChange>) -> Result<(), RecoverError> {
        let view = change.content.view;
        if view <= self.view || change.content.replica != self.group.me {
            return Err(damaged("a view change to an earlier view, or of another replica"));
        }
        self.replay_view(view, Phase::Changing);
        if let Some(place) = self.group.rank(self.group.me).and_then(|r| self.changes.get_mut(r)) {
            *place = Some(Arc::clone(&change));
        }
        self.own_change = Some(change);
        Ok(())
    }

    fn replay_new_view(&mut self, new_view: Arc<SignedNewView>) -> Result<(), RecoverError> {
        let content = &new_view.content;
        if content.view < self.view {
            return Err(damaged("a new view earlier than the view"));
        }
        self.replay_view(content.view, Phase::Active);
        self.assign_chosen(content.base, &content.chosen);
        self.new_view = Some(new_view);
        Ok(())
    }

    fn replay_view(&mut self, view: View, phase: Phase) {
        self.view = view;
        self.primary = self.group.primary(view);
        self.phase = phase;
        self.new_view = None;
        self.log.new_round();
    }
}

fn damaged(what: &str) -> RecoverError {
    RecoverError::Journal(format!("{what}; the journal is damaged or another replica's"))
}
