//! What Byzantine PBFT replicas say in place of the truth, with their own valid keys.
//!
//! Each function takes what an honest replica would say and returns a claim; nothing here can sign
//! or tag in another replica's name.

use std::sync::Arc;

use quorate_pbft::{
    CheckpointCertificate, Message, NewView, Pair, PbftAuth, Proposal, Sealed, SignedNewView,
    SignedViewChange, StatusReport, Tags, View, ViewChange, Wire,
};
use quorate_smr::auth::Tag;
use quorate_smr::{
    Batch, BatchBuilder, ClientId, Command, Digest, GroupId, ReplicaId, RequestSeq, Slot, To,
};

use crate::byzantine::Behaviour;
use crate::dice::Dice;
use crate::inspect::Told;

/// View changes and checkpoints that a liar falsifies, in parts of a million.
const LIES_PPM: u32 = 600_000;
/// Messages that a stale speaker moves to another view or slot.
const STALE_PPM: u32 = 300_000;
/// Proposals and bodies that an inventor replaces.
const INVENTIONS_PPM: u32 = 300_000;

/// A lie of the kind `how` in place of `message`; `None`: the truth.
pub(super) fn lie(
    how: Behaviour,
    auth: &PbftAuth,
    to: To,
    message: &Message,
    told: &mut Told,
    dice: &mut Dice,
) -> Option<Sealed> {
    let wire = match how {
        Behaviour::Lie => choice_lie(auth, message, told, dice),
        Behaviour::Stale => stale(auth, message, dice),
        Behaviour::FalseCertificates => false_certificate(auth, message, dice),
        Behaviour::TwoCheckpoints => two_checkpoints(auth, to, message),
        Behaviour::Invent => invention(message, dice),
        _ => None,
    };
    Some(auth.seal_wire(to, wire?))
}

/// `sealed` with tags that are wrong for some receivers.
pub(super) fn spoil(sealed: &Sealed, dice: &mut Dice) -> Option<Sealed> {
    let wrong = |tag: &mut Tag| tag.0[0] ^= 1;
    let mut tags = sealed.tags.clone();
    let mut spoiled = false;
    match &mut tags {
        Tags::One(tag) if dice.chance(300_000) => {
            wrong(tag);
            spoiled = true;
        }
        Tags::One(_) => {}
        Tags::Four(tags) => {
            for tag in tags.iter_mut().filter(|_| dice.chance(300_000)) {
                wrong(tag);
                spoiled = true;
            }
        }
        Tags::Many(tags) => {
            let mut changed = tags.to_vec();
            for tag in changed.iter_mut().filter(|_| dice.chance(300_000)) {
                wrong(tag);
                spoiled = true;
            }
            *tags = changed.into();
        }
    }
    spoiled.then(|| Sealed { tags, wire: sealed.wire.clone() })
}

/// Withheld P and Q, another choice in a new view, a checkpoint of another state.
fn choice_lie(
    auth: &PbftAuth,
    message: &Message,
    told: &mut Told,
    dice: &mut Dice,
) -> Option<Wire> {
    Some(match message {
        Message::ViewChange(change) if dice.chance(LIES_PPM) => {
            Wire::ViewChange(Arc::new(auth.sign_view_change(forgetful(change, dice))))
        }
        Message::NewView(new_view) => {
            let content = another_choice(new_view, told, dice)?;
            Wire::NewView(Arc::new(auth.sign_new_view(content)))
        }
        // Stands by what its new view said.
        Message::Prepare { view, slot, .. } => {
            let digest = *told.get(&(view.0, *slot))?;
            Wire::Prepare { view: *view, slot: *slot, digest }
        }
        Message::Commit { view, slot, .. } => {
            let digest = *told.get(&(view.0, *slot))?;
            Wire::Commit { view: *view, slot: *slot, digest }
        }
        Message::Checkpoint(checkpoint) if dice.chance(LIES_PPM) => {
            let digest = Digest::of(&dice.word().to_le_bytes());
            Wire::Checkpoint(auth.sign_checkpoint(checkpoint.slot, digest))
        }
        _ => return None,
    })
}

/// The same in another view, or of another slot: earlier, later, absurdly late.
fn stale(auth: &PbftAuth, message: &Message, dice: &mut Dice) -> Option<Wire> {
    if !dice.chance(STALE_PPM) {
        return None;
    }
    let other = |number: u64, dice: &mut Dice| match dice.below(6) {
        0 => number.saturating_sub(1),
        1 => number.saturating_add(1),
        2 => 0,
        3 => number.saturating_add(4),
        4 => u64::MAX,
        _ => number.saturating_sub(dice.below(8)),
    };
    Some(match message.clone() {
        Message::PrePrepare { view, slot, proposal } => Wire::PrePrepare {
            view: View(other(view.0, dice)),
            slot,
            digest: proposal.digest(),
            batch: proposal.batch().clone(),
        },
        Message::Prepare { view, slot, digest } => {
            Wire::Prepare { view: View(other(view.0, dice)), slot, digest }
        }
        Message::Commit { view, slot, digest } => {
            Wire::Commit { view, slot: Slot(other(slot.0, dice)), digest }
        }
        Message::Checkpoint(checkpoint) => {
            let slot = Slot(other(checkpoint.slot.0, dice));
            Wire::Checkpoint(auth.sign_checkpoint(slot, checkpoint.digest))
        }
        Message::ViewChange(change) => {
            let view = View(other(change.content.view.0, dice));
            let content = ViewChange { view, ..change.content.clone() };
            Wire::ViewChange(Arc::new(auth.sign_view_change(content)))
        }
        Message::NewView(new_view) => {
            let view = View(other(new_view.content.view.0, dice));
            let content = NewView { view, ..new_view.content.clone() };
            Wire::NewView(Arc::new(auth.sign_new_view(content)))
        }
        Message::Status(report) => {
            let (view, committed) = (other(report.view.0, dice), other(report.committed.0, dice));
            let (view, committed) = (View(view), Slot(committed));
            Wire::Status(StatusReport { view, committed, ..report })
        }
        _ => return None,
    })
}

/// Certificates that prove nothing, and view changes without the ones that they need.
fn false_certificate(auth: &PbftAuth, message: &Message, dice: &mut Dice) -> Option<Wire> {
    if !dice.chance(LIES_PPM) {
        return None;
    }
    Some(match message {
        Message::ViewChange(change) => {
            Wire::ViewChange(Arc::new(auth.sign_view_change(unproven(auth, change, dice))))
        }
        Message::NewView(new_view) => {
            Wire::NewView(Arc::new(auth.sign_new_view(unfounded(auth, new_view, dice))))
        }
        Message::Stable(certificate) => Wire::Stable(forged(auth, certificate, dice)),
        Message::Snapshot(certificate) => Wire::Snapshot(forged(auth, certificate, dice)),
        // A checkpoint that nobody else signed, with a certificate in everyone's name.
        Message::Checkpoint(checkpoint) => {
            let digest = Digest::of(&dice.word().to_le_bytes());
            Wire::Stable(in_everyones_name(auth, checkpoint.slot, digest))
        }
        _ => return None,
    })
}

/// A certificate of which every signature is the liar's own.
fn in_everyones_name(auth: &PbftAuth, slot: Slot, digest: Digest) -> Arc<CheckpointCertificate> {
    let own = auth.sign_checkpoint(slot, digest).signature;
    let votes = (0..4).map(|replica| (ReplicaId(replica), own)).collect();
    Arc::new(CheckpointCertificate { slot, digest, votes })
}

/// A certificate of another state, with too few votes, or with one vote many times.
fn forged(
    auth: &PbftAuth,
    certificate: &CheckpointCertificate,
    dice: &mut Dice,
) -> Arc<CheckpointCertificate> {
    let mut forged = certificate.clone();
    match dice.below(4) {
        0 => return in_everyones_name(auth, certificate.slot, Digest::of(b"another state")),
        1 => forged.digest = Digest::of(b"another state"),
        2 => forged.votes.truncate(1),
        _ => {
            if let Some(first) = forged.votes.first().copied() {
                forged.votes.iter_mut().for_each(|vote| *vote = first);
            }
        }
    }
    Arc::new(forged)
}

/// A view change whose certificates are withheld, forged or invented.
fn unproven(auth: &PbftAuth, change: &SignedViewChange, dice: &mut Dice) -> ViewChange {
    let mut content = change.content.clone();
    match dice.below(5) {
        0 => content.certificate = None,
        1 => {
            content.stable = Slot(content.stable.0 + 50);
            let digest = Digest::of(b"another state");
            content.certificate = Some(in_everyones_name(auth, content.stable, digest));
            content.prepared.clear();
            content.pre_prepared.clear();
        }
        2 => {
            content.prepared.clear();
            content.pre_prepared.clear();
        }
        3 => content.pre_prepared.clear(),
        _ => {
            // Prepared, of all things, in the last view: what nobody ever proposed.
            let view = View(content.view.0.saturating_sub(1));
            let digest = Digest::of(b"nobody proposed this");
            let pair = Pair { slot: content.stable.next(), view, digest };
            content.prepared.retain(|other| other.slot != pair.slot);
            content.pre_prepared.retain(|other| other.slot != pair.slot);
            content.prepared.insert(0, pair);
            content.pre_prepared.insert(0, pair);
        }
    }
    content
}

/// A new view without the view changes that it needs, or with some that nobody made.
fn unfounded(auth: &PbftAuth, new_view: &SignedNewView, dice: &mut Dice) -> NewView {
    let mut content = new_view.content.clone();
    match dice.below(5) {
        0 => content.changes.truncate(2),
        1 => {
            if let (Some(first), Some(last)) =
                (content.changes.first().cloned(), content.changes.last_mut())
            {
                *last = first;
            }
        }
        2 => {
            // What another replica stated, without what had prepared there.
            if let Some(change) = content.changes.last_mut() {
                let mut other = change.content.clone();
                other.prepared.clear();
                *change = Arc::new(auth.sign_view_change(other));
            }
            content.chosen.clear();
        }
        3 => content.chosen.clear(),
        _ => content.base = content.base.next(),
    }
    content
}

/// One state for the replicas with even numbers, another for the rest.
fn two_checkpoints(auth: &PbftAuth, to: To, message: &Message) -> Option<Wire> {
    let (Message::Checkpoint(checkpoint), To::One(receiver)) = (message, to) else { return None };
    let digest = Digest::of(&[b's', receiver.0 & 1]);
    Some(Wire::Checkpoint(auth.sign_checkpoint(checkpoint.slot, digest)))
}

/// A request that no client made, or another body under the digest.
fn invention(message: &Message, dice: &mut Dice) -> Option<Wire> {
    if !dice.chance(INVENTIONS_PPM) {
        return None;
    }
    let invented = invented_batch(dice)?;
    let wrong_body = dice.chance(500_000);
    Some(match message {
        Message::PrePrepare { view, slot, proposal } => {
            let digest = if wrong_body {
                proposal.digest()
            } else {
                Proposal::new(invented.clone()).ok()?.digest()
            };
            Wire::PrePrepare { view: *view, slot: *slot, digest, batch: invented }
        }
        Message::Request(proposal) => {
            let digest = if wrong_body {
                proposal.digest()
            } else {
                Proposal::new(invented.clone()).ok()?.digest()
            };
            Wire::Request { digest, batch: invented }
        }
        Message::Body { slot, proposal } => {
            Wire::Body { slot: *slot, digest: proposal.digest(), batch: invented }
        }
        Message::Claims { first, digests } => {
            let digest = Proposal::new(invented).ok()?.digest();
            Wire::Claims { first: *first, digests: vec![digest; digests.len()] }
        }
        _ => return None,
    })
}

/// A batch with a request in the name of client 1, which it did not make.
fn invented_batch(dice: &mut Dice) -> Option<Batch> {
    let mut builder = BatchBuilder::new(GroupId(0));
    let seq = RequestSeq(dice.between(1, 100));
    let proof = dice.word().to_le_bytes().repeat(8);
    let command = Command { client: ClientId(1), seq, payload: b"invented", auth: &proof };
    builder.push(&command).ok()?;
    Some(builder.seal(None))
}

/// A view change that leaves out some of what its author prepared, or everything.
fn forgetful(change: &SignedViewChange, dice: &mut Dice) -> ViewChange {
    let mut content = change.content.clone();
    content.prepared.truncate(dice.index(content.prepared.len() + 1));
    if dice.chance(500_000) {
        content.prepared.clear();
        content.pre_prepared.clear();
    }
    content
}

/// A new view that chooses otherwise than its view changes demand: null requests, or a shorter log.
/// The first lie about a view stands; `None` when it is the truth.
fn another_choice(new_view: &SignedNewView, told: &mut Told, dice: &mut Dice) -> Option<NewView> {
    let mut content = new_view.content.clone();
    let (view, base) = (content.view.0, content.base.0);
    let slots = (1..=content.chosen.len() as u64).map(|offset| Slot(base + offset));
    if !told.contains_key(&(view, Slot::ZERO)) {
        // An entry for slot 0 says that the lie about this view was chosen.
        told.insert((view, Slot::ZERO), Digest::default());
        let null = Batch::empty(GroupId(0)).digest(&mut Vec::new()).unwrap_or_default();
        for slot in slots.clone().filter(|_| dice.chance(LIES_PPM)) {
            told.insert((view, slot), null);
        }
    }
    for (slot, chosen) in slots.zip(&mut content.chosen) {
        *chosen = told.get(&(view, slot)).copied().unwrap_or(*chosen);
    }
    (content.chosen != new_view.content.chosen).then_some(content)
}
