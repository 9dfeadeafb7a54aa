//! Checkpoints, garbage collection, and the watermarks that follow from them (PBFT §4.3).

use quorate_smr::{Digest, Quorum, ReplicaId, Slot, SnapshotMeta, To};
use std::sync::Arc;

use crate::certificate::{
    CheckpointCertificate, SignedCheckpoint, Verified, checkpoint_digest, is_checkpoint,
};
use crate::group::Group;
use crate::message::Message;
use crate::record::Record;
use crate::replica::{Out, Pbft, Phase};
use crate::sign::Signature;

/// One signed statement of each replica about the checkpoint at one slot: its first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct CheckpointVotes {
    /// By rank.
    votes: Vec<Option<(ReplicaId, Digest, Signature)>>,
}

impl CheckpointVotes {
    /// Keeps the first vote of a member whose signature was verified.
    pub(crate) fn vote(&mut self, group: &Group, voter: ReplicaId, vote: &SignedCheckpoint) {
        self.votes.resize(group.replicas(), None);
        let place = group.rank(voter).and_then(|rank| self.votes.get_mut(rank));
        if let Some(place @ None) = place {
            *place = Some((voter, vote.digest, vote.signature));
        }
    }

    /// The proof for the digest that a quorum of distinct members signed.
    pub(crate) fn certificate(&self, group: &Group, slot: Slot) -> Option<CheckpointCertificate> {
        let given = || self.votes.iter().flatten();
        for (_, digest, _) in given() {
            let mut quorum = Quorum::new(*digest, group.members(), group.quorum());
            for (voter, ..) in given().filter(|(_, voted, _)| voted == digest) {
                quorum.vote(*voter);
            }
            if let Some(certificate) = quorum.certificate() {
                let by = |(voter, voted, signature): &(ReplicaId, Digest, Signature)| {
                    (voted == certificate.value()).then_some((*voter, *signature))
                };
                let votes = given().filter_map(by).collect();
                return Some(CheckpointCertificate { slot, digest: *digest, votes });
            }
        }
        None
    }
}

impl Pbft {
    /// Our host took the snapshot that a checkpoint needs: sign it and tell the others.
    pub(crate) fn on_snapshot_taken(&mut self, snapshot: SnapshotMeta, out: &mut Out) {
        let SnapshotMeta { slot, digest, .. } = snapshot;
        let expected = is_checkpoint(slot, self.limits.checkpoint_interval)
            && self.log.contains(slot)
            && slot <= self.committed;
        if !expected {
            return;
        }
        self.taken.insert(slot, snapshot);
        let checkpoint = self.sign_checkpoint(slot, digest);
        let me = self.group.me;
        out.send(To::Others, Message::Checkpoint(Verified::vouch(checkpoint.clone())));
        self.count_checkpoint(me, &checkpoint, out);
        self.reach_ahead(out);
    }

    /// Our statement about the checkpoint at `slot`.
    pub(crate) fn sign_checkpoint(&self, slot: Slot, digest: Digest) -> SignedCheckpoint {
        let content = checkpoint_digest(&self.group, self.group.me, slot, digest);
        SignedCheckpoint { slot, digest, signature: self.signer.sign(content) }
    }

    pub(crate) fn on_checkpoint(
        &mut self,
        from: ReplicaId,
        checkpoint: &SignedCheckpoint,
        out: &mut Out,
    ) {
        // Beyond the window we learn of it when it is stable, by asking.
        if self.log.contains(checkpoint.slot) {
            self.count_checkpoint(from, checkpoint, out);
        }
    }

    fn count_checkpoint(&mut self, from: ReplicaId, vote: &SignedCheckpoint, out: &mut Out) {
        let group = self.group;
        let votes = self.checkpoints.entry(vote.slot).or_default();
        votes.vote(&group, from, vote);
        let certificate = votes.certificate(&group, vote.slot);
        #[cfg(feature = "planted-defects")]
        let certificate = certificate.or_else(|| {
            let planted = self.limits.has(crate::config::Defect::CheckpointWithoutQuorum);
            let votes = vec![(from, vote.signature)];
            let (slot, digest) = (vote.slot, vote.digest);
            planted.then_some(CheckpointCertificate { slot, digest, votes })
        });
        if let Some(certificate) = certificate {
            self.on_stable(&Arc::new(certificate), out);
        }
    }

    /// `2f + 1` replicas proved a checkpoint.
    pub(crate) fn on_stable(&mut self, certificate: &Arc<CheckpointCertificate>, out: &mut Out) {
        if certificate.slot <= self.log.base() {
            return;
        }
        if self.ahead.as_ref().is_none_or(|ahead| ahead.slot < certificate.slot) {
            self.ahead = Some(Arc::clone(certificate));
        }
        self.reach_ahead(out);
    }

    /// Makes the proven checkpoint our low watermark once our own state stands there. A digest that
    /// differs from our own keeps us from it: our state is wrong, and only a later checkpoint,
    /// transferred as a whole, can repair it.
    pub(crate) fn reach_ahead(&mut self, out: &mut Out) {
        let Some(ahead) = &self.ahead else { return };
        let matches = |taken: &SnapshotMeta| taken.digest == ahead.digest;
        if self.installing.is_some() || !self.taken.get(&ahead.slot).is_some_and(matches) {
            return;
        }
        let certificate = Arc::clone(ahead);
        let slot = certificate.slot;
        self.move_base(certificate);
        let records = self.needed_records();
        self.cursor.compact(slot, records, out);
    }

    /// Moves the low watermark to a proven checkpoint and forgets what lies below.
    pub(crate) fn move_base(&mut self, certificate: Arc<CheckpointCertificate>) {
        let base = certificate.slot;
        self.log.advance(base);
        self.taken.retain(|slot, _| *slot > base);
        self.checkpoints.retain(|slot, _| *slot > base);
        if self.ahead.as_ref().is_some_and(|ahead| ahead.slot <= base) {
            self.ahead = None;
        }
        self.next_slot = self.next_slot.max(base.next());
        self.certificate = Some(certificate);
    }

    /// Everything that the journal must hold above the low watermark: view, P, Q, bodies.
    pub(crate) fn needed_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        records.extend(self.certificate.clone().map(|certificate| Record::Base { certificate }));
        let mut earlier = |entry_view_below: bool| {
            for (slot, entry) in self.log.iter() {
                let kept = entry.accepted().filter(|a| (a.view < self.view) == entry_view_below);
                for accepted in kept {
                    let (view, digest) = (accepted.view, accepted.digest);
                    let batch = (digest != self.group.null).then(|| accepted.batch.clone());
                    records.push(Record::PrePrepared { view, slot, digest, batch });
                }
                let prepared = entry.prepared.filter(|(v, _)| (*v < self.view) == entry_view_below);
                if let Some((view, digest)) = prepared {
                    records.push(Record::Prepared { view, slot, digest });
                }
            }
            if entry_view_below {
                // In the order in which they were written: what belongs to earlier views, the
                // view, what belongs to it.
                match self.phase {
                    Phase::Active => records.extend(self.new_view.clone().map(Record::NewView)),
                    Phase::Changing => {
                        records.extend(self.own_change.clone().map(Record::ViewChange));
                    }
                }
            }
        };
        earlier(true);
        earlier(false);
        records
    }
}
