//! Which batches a new view starts with, and whether someone else chose right.
//!
//! A new primary collects VIEW-CHANGEs. Votes carry MACs, so nobody can show a prepared
//! certificate to a third party; instead each replica states what prepared (P) and pre-prepared (Q)
//! at itself, and statements are believed when enough *distinct* replicas make them (Castro and
//! Liskov, TOCS 2002, §4.5). For each slot above the highest proven checkpoint, a digest `d` that
//! some P holds for view `v` is chosen when
//!
//! - **A1**: `2f + 1` view changes hold no P for the slot in a later view, nor another digest in
//!   `v`; so nothing else can have committed;
//! - **A2**: `f + 1` view changes hold `d` in Q for the slot, in `v` or later; so an honest replica
//!   really saw that proposal, and its body exists;
//!
//! or the null request, when **B**: `2f + 1` view changes hold no P for the slot at all. When
//! neither holds, the primary waits for more view changes. Several digests may satisfy A; the one
//! of the highest view is taken. Everything is a function of the set of view changes alone, so
//! receivers compute it again.
//!
//! (The 1999 protocol signs every prepare instead, and shows certificates: 290 times the cost of
//! MACs in the normal case.)

use std::sync::Arc;

use quorate_smr::{AuthError, Digest, Quorum, Slot, Vote};

use crate::certificate::{
    CheckpointCertificate, Pair, SignedNewView, SignedViewChange, ViewChange, is_checkpoint,
};
use crate::config::{Limits, PRE_PREPARED_PER_SLOT_MAX};
use crate::group::{Group, View};
use crate::sign::PublicKeys;

/// What a new view starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The checkpoint that it builds on.
    pub(crate) base: Slot,
    /// The digests for the slots after it, without trailing null requests.
    pub(crate) chosen: Vec<Digest>,
}

/// Chooses, from view changes of distinct replicas for one view; `None` when more are needed.
///
/// Cost: for each slot up to the highest P, a binary search in each view change.
pub(crate) fn choose(changes: &[&ViewChange], group: &Group) -> Option<Choice> {
    let mut quorum = Quorum::new((), group.members(), group.quorum());
    for change in changes {
        if quorum.vote(change.replica) != Vote::Counted {
            return None;
        }
    }
    if !quorum.is_reached() {
        return None;
    }
    let base = changes.iter().map(|change| change.stable).max()?;
    let last = changes.iter().filter_map(|change| change.prepared.last()).map(|pair| pair.slot);
    let last = last.max().unwrap_or(base);
    let mut chosen = Vec::new();
    let mut used = 0;
    let mut slot = base;
    while slot < last {
        slot = slot.next();
        match choose_slot(changes, slot, group) {
            Some(Chosen::Batch(digest)) => {
                chosen.push(digest);
                used = chosen.len();
            }
            Some(Chosen::Null) => chosen.push(group.null),
            None => return None,
        }
    }
    chosen.truncate(used);
    Some(Choice { base, chosen })
}

/// What one slot starts with.
enum Chosen {
    Batch(Digest),
    Null,
}

fn choose_slot(changes: &[&ViewChange], slot: Slot, group: &Group) -> Option<Chosen> {
    let prepared: Vec<Option<Pair>> =
        changes.iter().map(|change| pair_at(&change.prepared, slot)).collect();
    let mut candidates: Vec<Pair> = prepared.iter().copied().flatten().collect();
    candidates.sort_unstable_by_key(|pair| std::cmp::Reverse((pair.view, pair.digest)));
    candidates.dedup();
    for candidate in candidates {
        // A1: one vote for each view change, and view changes are of distinct replicas.
        let agrees = |own: &&Option<Pair>| match own {
            None => true,
            Some(own) => {
                own.view < candidate.view
                    || (own.view == candidate.view && own.digest == candidate.digest)
            }
        };
        let unopposed = prepared.iter().filter(agrees).count() >= group.quorum();
        let supports = |change: &&&ViewChange| {
            pairs_at(&change.pre_prepared, slot)
                .iter()
                .any(|own| own.digest == candidate.digest && own.view >= candidate.view)
        };
        let supported = changes.iter().filter(supports).count() >= group.weak();
        if unopposed && supported {
            return Some(Chosen::Batch(candidate.digest));
        }
    }
    let silent = prepared.iter().filter(|own| own.is_none()).count();
    (silent >= group.quorum()).then_some(Chosen::Null)
}

/// The pair for `slot` in a list sorted by slot.
fn pair_at(pairs: &[Pair], slot: Slot) -> Option<Pair> {
    pairs.binary_search_by_key(&slot, |pair| pair.slot).ok().map(|index| pairs[index])
}

/// The pairs for `slot` in a list sorted by slot.
fn pairs_at(pairs: &[Pair], slot: Slot) -> &[Pair] {
    let start = pairs.partition_point(|pair| pair.slot < slot);
    let rest = &pairs[start..];
    &rest[..rest.partition_point(|pair| pair.slot == slot)]
}

/// Whether a view change can be what an honest replica says: everything except signatures.
fn is_well_formed(change: &ViewChange, limits: &Limits) -> bool {
    let ViewChange { view, stable, certificate, prepared, pre_prepared, .. } = change;
    let proven = match certificate {
        None => *stable == Slot::ZERO,
        Some(proof) => proof.slot == *stable && is_checkpoint(*stable, limits.checkpoint_interval),
    };
    let high = stable.0.saturating_add(limits.window);
    let inside = |pair: &Pair| pair.slot > *stable && pair.slot.0 <= high && pair.view < *view;
    let one_for_each_slot = prepared.is_sorted_by(|one, next| one.slot < next.slot);
    let in_order =
        pre_prepared.is_sorted_by(|one, next| (one.slot, one.view) < (next.slot, next.view));
    let distinct = |run: &[Pair]| {
        run.len() <= PRE_PREPARED_PER_SLOT_MAX
            && (1..run.len()).all(|end| run[..end].iter().all(|p| p.digest != run[end].digest))
    };
    let backed = |pair: &Pair| {
        let own = pairs_at(pre_prepared, pair.slot);
        own.iter().any(|own| own.digest == pair.digest && own.view >= pair.view)
    };
    *view > View(0)
        && proven
        && prepared.iter().all(inside)
        && pre_prepared.iter().all(inside)
        && one_for_each_slot
        && in_order
        && pre_prepared.chunk_by(|one, next| one.slot == next.slot).all(distinct)
        && prepared.iter().all(backed)
}

/// Verifies a VIEW-CHANGE: form, signature, checkpoint certificate. A certificate that is already
/// in `proven` is not verified again.
///
/// # Errors
/// When it is not what its author may say.
pub(crate) fn check_change(
    change: &SignedViewChange,
    public: &PublicKeys,
    limits: &Limits,
    proven: &mut Vec<Arc<CheckpointCertificate>>,
) -> Result<(), AuthError> {
    if !is_well_formed(&change.content, limits) {
        return Err(AuthError::Malformed);
    }
    let signed = change.content.content_digest(public.group());
    if !public.verifies(change.content.replica, signed, change.signature) {
        return Err(AuthError::Forged);
    }
    match &change.content.certificate {
        Some(proof) if !proven.contains(proof) => {
            if !proof.is_valid(public, limits.checkpoint_interval) {
                return Err(AuthError::Forged);
            }
            proven.push(Arc::clone(proof));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Verifies a NEW-VIEW: the right primary signed it, it carries well-formed, signed view changes of
/// `2f + 1` distinct replicas for this very view, and the choice is the one that follows from them.
///
/// # Errors
/// When anything is wrong: one bad part refuses the whole message, and nothing else.
pub(crate) fn check_new_view(
    claim: &SignedNewView,
    public: &PublicKeys,
    limits: &Limits,
) -> Result<(), AuthError> {
    #[cfg(feature = "planted-defects")]
    if limits.has(crate::config::Defect::NewViewUnverified) {
        return Ok(());
    }
    let group = public.group();
    let content = &claim.content;
    let right_view = |change: &Arc<SignedViewChange>| change.content.view == content.view;
    if content.changes.len() > group.replicas()
        || content.chosen.len() as u64 > limits.window
        || !content.changes.iter().all(right_view)
    {
        return Err(AuthError::Malformed);
    }
    let changes: Vec<&ViewChange> = content.changes.iter().map(|change| &change.content).collect();
    if !changes.iter().all(|change| is_well_formed(change, limits)) {
        return Err(AuthError::Malformed);
    }
    // Distinct senders, 2f + 1 of them, and the choice: no signature needed to refuse.
    let choice = choose(&changes, group).ok_or(AuthError::Malformed)?;
    if choice.base != content.base || choice.chosen != content.chosen {
        return Err(AuthError::Forged);
    }
    let signed = content.content_digest(group);
    if !public.verifies(group.primary(content.view), signed, claim.signature) {
        return Err(AuthError::Forged);
    }
    let mut proven = Vec::new();
    content.changes.iter().try_for_each(|change| check_change(change, public, limits, &mut proven))
}

/// The proof of the checkpoint that a verified new view builds on.
pub(crate) fn base_certificate(new_view: &SignedNewView) -> Option<&Arc<CheckpointCertificate>> {
    let content = &new_view.content;
    let proofs = content.changes.iter().filter_map(|change| change.content.certificate.as_ref());
    proofs.into_iter().find(|proof| proof.slot == content.base)
}

#[cfg(test)]
mod tests;
