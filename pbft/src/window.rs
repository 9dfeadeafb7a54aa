//! The slots between the watermarks `h` and `h + L` (PBFT §4.3).
//!
//! One [`Entry`] for each slot, of bounded size whatever arrives: one vote for each replica and
//! phase, one proposal that could not be authenticated, [`PRE_PREPARED_PER_SLOT_MAX`] bodies.

use std::collections::VecDeque;

use quorate_smr::{Batch, Digest, ReplicaId, Slot};

use crate::certificate::Pair;
use crate::config::PRE_PREPARED_PER_SLOT_MAX;
use crate::group::View;
use crate::message::Proposal;
use crate::tally::Tally;

/// A batch that was pre-prepared here: an element of Q with its body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Accepted {
    pub(crate) view: View,
    pub(crate) digest: Digest,
    pub(crate) batch: Batch,
}

/// All that is known of one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    /// What was pre-prepared here last; earlier ones with other digests are in `older`.
    newest: Option<Accepted>,
    older: Vec<Accepted>,
    /// What prepared here in the latest view in which anything did (an element of P).
    pub(crate) prepared: Option<(View, Digest)>,
    /// What is decided.
    pub(crate) decided: Option<Digest>,
    /// The body of what was decided or chosen, when it came by itself.
    fetched: Option<Batch>,
    /// Who claims to have committed what.
    pub(crate) claims: Tally,
    /// The current view.
    pub(crate) round: Round,
}

/// A slot in the current view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Round {
    /// What the primary assigned: the first that it said counts.
    pub(crate) digest: Option<Digest>,
    /// Whether it is pre-prepared here: body at hand, recorded, PREPARE sent.
    pub(crate) accepted: bool,
    /// Whether it prepared in this view.
    pub(crate) prepared: bool,
    /// An assignment with a command that did not prove its client to us.
    pub(crate) unproven: Option<Box<Proposal>>,
    pub(crate) prepares: Tally,
    pub(crate) commits: Tally,
}

impl Entry {
    /// The body with `digest`.
    pub(crate) fn body(&self, digest: Digest) -> Option<&Batch> {
        if let Some(newest) = self.newest.as_ref().filter(|newest| newest.digest == digest) {
            return Some(&newest.batch);
        }
        let older = self.older.iter().find(|accepted| accepted.digest == digest);
        let fetched = || self.fetched.as_ref().filter(|_| self.wanted() == Some(digest));
        older.map(|accepted| &accepted.batch).or_else(fetched)
    }

    /// The digest for which a body is of use by itself: decided, or assigned by a new view.
    pub(crate) fn wanted(&self) -> Option<Digest> {
        self.decided.or(self.round.digest)
    }

    /// The digest whose body must be fetched before this slot can go on.
    pub(crate) fn missing(&self) -> Option<Digest> {
        self.wanted().filter(|digest| self.body(*digest).is_none())
    }

    /// What was pre-prepared here, in order of views.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = &Accepted> {
        self.older.iter().chain(self.newest.as_ref())
    }

    /// Bytes of the bodies held.
    fn bytes(&self) -> usize {
        // Null requests are not counted: they hold nothing and must always find room.
        let held = |batch: &Batch| if batch.is_empty() { 0 } else { batch.len() };
        let unproven = self.round.unproven.as_ref().map_or(0, |proposal| held(proposal.batch()));
        let fetched = self.fetched.as_ref().map_or(0, held);
        let accepted: usize = self.accepted().map(|accepted| held(&accepted.batch)).sum();
        accepted + unproven + fetched
    }

    /// Adds an element to Q: one element for each digest, with its latest view.
    fn accept(&mut self, view: View, digest: Digest, batch: Batch) {
        if let Some(newest) = self.newest.take().filter(|newest| newest.digest != digest) {
            self.older.push(newest);
        }
        self.older.retain(|accepted| accepted.digest != digest);
        self.newest = Some(Accepted { view, digest, batch });
        if self.older.len() >= PRE_PREPARED_PER_SLOT_MAX {
            let keep = self.prepared.map(|(_, digest)| digest);
            let oldest = self.older.iter().position(|accepted| Some(accepted.digest) != keep);
            self.older.remove(oldest.unwrap_or(0));
        }
        if self.fetched.is_some() && self.wanted() == Some(digest) {
            self.fetched = None;
        }
    }
}

/// The entries above the low watermark.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    base: Slot,
    width: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Window {
    pub(crate) const fn new(base: Slot, width: u64) -> Self {
        Self { base, width, entries: VecDeque::new(), bytes: 0 }
    }

    /// The low watermark `h`: the last stable checkpoint.
    pub(crate) const fn base(&self) -> Slot {
        self.base
    }

    /// The high watermark `h + L`.
    pub(crate) const fn high(&self) -> Slot {
        Slot(self.base.0.saturating_add(self.width))
    }

    /// The last slot of which anything is known.
    pub(crate) fn last(&self) -> Slot {
        Slot(self.base.0 + self.entries.len() as u64)
    }

    /// Bytes of all bodies held.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        slot > self.base && slot <= self.high()
    }

    #[inline]
    pub(crate) fn entry(&self, slot: Slot) -> Option<&Entry> {
        let above = slot.0.checked_sub(self.base.0)?.checked_sub(1)?;
        self.entries.get(usize::try_from(above).ok()?)
    }

    /// The entry of `slot`, made if it is within the watermarks.
    #[inline]
    pub(crate) fn entry_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        if !self.contains(slot) {
            return None;
        }
        let index = (slot.0 - self.base.0 - 1) as usize;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, Entry::default);
        }
        self.entries.get_mut(index)
    }

    /// All entries with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        let first = self.base.0 + 1;
        self.entries.iter().zip(first..).map(|(entry, slot)| (Slot(slot), entry))
    }

    /// Adds `batch` to what was pre-prepared in `slot`.
    pub(crate) fn accept(&mut self, slot: Slot, view: View, digest: Digest, batch: Batch) {
        self.change(slot, |entry| entry.accept(view, digest, batch));
    }

    /// Keeps a proposal that could not be authenticated, if it is the first.
    pub(crate) fn hold_unproven(&mut self, slot: Slot, proposal: Proposal) {
        self.change(slot, |entry| {
            entry.round.unproven.get_or_insert_with(|| Box::new(proposal));
        });
    }

    /// Takes out the proposal that could not be authenticated.
    pub(crate) fn take_unproven(&mut self, slot: Slot) -> Option<Proposal> {
        let mut taken = None;
        self.change(slot, |entry| taken = entry.round.unproven.take());
        taken.map(|proposal| *proposal)
    }

    /// Keeps a body that was fetched for what `slot` decided or was assigned.
    pub(crate) fn hold_fetched(&mut self, slot: Slot, batch: Batch) {
        self.change(slot, |entry| entry.fetched = Some(batch));
    }

    /// Notes what `slot` decided; a fetched body of something else is of no more use.
    pub(crate) fn decide(&mut self, slot: Slot, digest: Digest) {
        self.change(slot, |entry| {
            if entry.fetched.is_some() && entry.wanted() != Some(digest) {
                entry.fetched = None;
            }
            entry.decided = Some(digest);
        });
    }

    /// Forgets the votes and assignments of the view that ended; P and Q stay.
    pub(crate) fn new_round(&mut self) {
        for index in 0..self.entries.len() as u64 {
            self.change(Slot(self.base.0 + 1 + index), |entry| {
                if entry.decided.is_none() {
                    entry.fetched = None;
                }
                entry.round = Round::default();
            });
        }
    }

    /// Moves the low watermark up and forgets everything below it.
    pub(crate) fn advance(&mut self, base: Slot) {
        while self.base < base {
            match self.entries.pop_front() {
                Some(entry) => {
                    self.bytes -= entry.bytes();
                    self.base = self.base.next();
                }
                None => self.base = base,
            }
        }
    }

    /// The set P (TOCS 2002 §4.5).
    pub(crate) fn prepared_pairs(&self) -> Vec<Pair> {
        let pair = |(slot, entry): (Slot, &Entry)| {
            entry.prepared.map(|(view, digest)| Pair { slot, view, digest })
        };
        self.iter().filter_map(pair).collect()
    }

    /// The set Q (TOCS 2002 §4.5).
    pub(crate) fn pre_prepared_pairs(&self) -> Vec<Pair> {
        let pairs = |(slot, entry): (Slot, &Entry)| {
            let pair = |one: &Accepted| Pair { slot, view: one.view, digest: one.digest };
            entry.accepted().map(pair).collect::<Vec<_>>()
        };
        self.iter().flat_map(pairs).collect()
    }

    /// Changes an entry and keeps the byte count right.
    #[inline]
    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entry_mut(slot) {
            let before = entry.bytes();
            change(entry);
            let after = entry.bytes();
            self.bytes = self.bytes - before + after;
        }
    }
}

impl Round {
    /// Whether the distinct backups that prepared `digest`, with the primary, are `weak` or more.
    pub(crate) fn vouched(&self, digest: Digest, primary: ReplicaId, weak: usize) -> bool {
        let mut voters = self.prepares.voters(digest);
        voters.insert(primary);
        voters.len() >= weak
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::GroupId;
    use quorate_smr::testing::plain_batch;

    use super::*;

    fn proposal(seq: u64) -> Proposal {
        Proposal::new(plain_batch(GroupId(0), seq, &[b"payload"])).unwrap()
    }

    #[test]
    fn slots_outside_the_watermarks_have_no_entry() {
        let mut window = Window::new(Slot(10), 4);
        for slot in [0, 10, 15, u64::MAX] {
            assert!(window.entry_mut(Slot(slot)).is_none(), "{slot}");
        }
        assert!(window.entry_mut(Slot(14)).is_some());
        assert_eq!((window.last(), window.entries.len()), (Slot(14), 4));
        let mut end = Window::new(Slot(u64::MAX - 1), 4);
        assert!(end.entry_mut(Slot(u64::MAX)).is_some());
    }

    #[test]
    fn bytes_follow_what_is_held() {
        let mut window = Window::new(Slot::ZERO, 8);
        let (one, two) = (proposal(1), proposal(2));
        window.accept(Slot(2), View(0), one.digest(), one.batch().clone());
        window.accept(Slot(2), View(1), one.digest(), one.batch().clone());
        assert_eq!(window.bytes(), one.batch().len());
        window.hold_unproven(Slot(2), two.clone());
        window.hold_unproven(Slot(2), one.clone());
        assert_eq!(window.take_unproven(Slot(2)), Some(two.clone()));
        window.accept(Slot(2), View(2), two.digest(), two.batch().clone());
        assert_eq!(window.bytes(), one.batch().len() + two.batch().len());
        let views: Vec<u64> = window.pre_prepared_pairs().iter().map(|pair| pair.view.0).collect();
        assert_eq!(views, [1, 2]);
        window.advance(Slot(5));
        assert_eq!((window.bytes(), window.base(), window.last()), (0, Slot(5), Slot(5)));
    }

    #[test]
    fn a_slot_remembers_a_bounded_number_of_proposals_and_never_drops_the_prepared_one() {
        let mut window = Window::new(Slot::ZERO, 8);
        let first = proposal(0);
        window.accept(Slot(1), View(0), first.digest(), first.batch().clone());
        window.entry_mut(Slot(1)).unwrap().prepared = Some((View(0), first.digest()));
        for view in 1..50 {
            let next = proposal(view);
            window.accept(Slot(1), View(view), next.digest(), next.batch().clone());
        }
        let held: Vec<u64> = window.pre_prepared_pairs().iter().map(|pair| pair.view.0).collect();
        assert_eq!(held.len(), PRE_PREPARED_PER_SLOT_MAX);
        assert_eq!((held[0], held[held.len() - 1]), (0, 49));
        assert!(window.entry(Slot(1)).unwrap().body(first.digest()).is_some());
    }
}
