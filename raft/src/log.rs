//! The log in memory: a deque of entries above a position.
//!
//! ```text
//!   trimmed        base                committed           last
//!      |  trailing   |     compactable     |   uncommitted   |
//! ```
//!
//! `base` is the snapshot from which the journal starts. Entries below it may stay in memory for
//! followers that are a little behind. Always: `trimmed <= base <= last`, terms never decrease,
//! slots have no gaps. Each entry knows the sum of bytes up to its end, so that every "how many
//! bytes between" is one subtraction; and the durable step that wrote it, so that "how far is my
//! own disk" is one search.

use std::collections::VecDeque;

use quorate_smr::{Batch, Lsn, Slot};

use crate::config::ENTRY_OVERHEAD_BYTES;
use crate::message::{Entries, Entry, Position};
use crate::term::Term;

/// An entry with its book-keeping.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) term: Term,
    pub(crate) batch: Batch,
    /// The durable step that writes it; zero when it was recovered.
    pub(crate) lsn: Lsn,
    /// Bytes of all entries of this incarnation up to and including this one.
    end_bytes: u64,
}

/// The entries above a position.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    trimmed: Position,
    trimmed_bytes: u64,
    base: Slot,
    entries: VecDeque<Held>,
}

/// What an entry with `batch` counts against byte limits.
#[inline]
pub(crate) fn entry_bytes(batch: &Batch) -> usize {
    batch.len() + ENTRY_OVERHEAD_BYTES
}

impl Log {
    /// An empty log above the snapshot at `base`.
    pub(crate) const fn new(base: Position) -> Self {
        Self { trimmed: base, trimmed_bytes: 0, base: base.slot, entries: VecDeque::new() }
    }

    /// The slot of the snapshot below the log.
    #[inline]
    pub(crate) const fn base(&self) -> Slot {
        self.base
    }

    /// The position of the snapshot below the log.
    pub(crate) fn base_position(&self) -> Position {
        let term = self.term_at(self.base).expect("the base is at or above the trimmed slot");
        Position { term, slot: self.base }
    }

    /// The slot below the first entry in memory.
    #[inline]
    pub(crate) const fn trimmed(&self) -> Slot {
        self.trimmed.slot
    }

    /// The slot of the last entry, or of the snapshot when there is none.
    #[inline]
    pub(crate) fn last(&self) -> Slot {
        Slot(self.trimmed.slot.0 + self.entries.len() as u64)
    }

    /// The end of the log.
    #[inline]
    pub(crate) fn last_position(&self) -> Position {
        let term = self.entries.back().map_or(self.trimmed.term, |held| held.term);
        Position { term, slot: self.last() }
    }

    /// The entry at `slot`, if it is in memory.
    #[inline]
    pub(crate) fn entry(&self, slot: Slot) -> Option<&Held> {
        self.entries.get(self.index(slot)?)
    }

    /// The term at `slot`; `None` below the trimmed slot and above the last.
    #[inline]
    pub(crate) fn term_at(&self, slot: Slot) -> Option<Term> {
        if slot == self.trimmed.slot {
            return Some(self.trimmed.term);
        }
        self.entry(slot).map(|held| held.term)
    }

    /// Whether the log contains `position`.
    #[inline]
    pub(crate) fn contains(&self, position: Position) -> bool {
        self.term_at(position.slot) == Some(position.term)
    }

    /// The entries in memory, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Held)> {
        let first = self.trimmed.slot.0 + 1;
        (first..).map(Slot).zip(&self.entries)
    }

    /// The entries above `slot`, in order.
    pub(crate) fn iter_above(&self, slot: Slot) -> impl Iterator<Item = (Slot, &Held)> {
        let from = slot.max(self.trimmed.slot);
        let skip = self.entries.len().min((from.0 - self.trimmed.slot.0) as usize);
        (from.0 + 1..).map(Slot).zip(self.entries.range(skip..))
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// If the term is lower than the last entry's: no leader's log has that.
    #[inline]
    pub(crate) fn push(&mut self, term: Term, batch: Batch, lsn: Lsn) {
        let (last_term, end_bytes) = match self.entries.back() {
            Some(held) => (held.term, held.end_bytes),
            None => (self.trimmed.term, self.trimmed_bytes),
        };
        assert!(term >= last_term, "terms in a log never decrease");
        let end_bytes = end_bytes + entry_bytes(&batch) as u64;
        self.entries.push_back(Held { term, batch, lsn, end_bytes });
    }

    /// Drops the entry at `slot` and everything after it.
    ///
    /// # Panics
    /// If `slot` is covered by the snapshot.
    pub(crate) fn truncate_from(&mut self, slot: Slot) {
        assert!(slot > self.base, "what a snapshot covers is never truncated");
        self.entries.truncate((slot.0 - self.trimmed.slot.0 - 1) as usize);
    }

    /// Notes that a snapshot covers everything up to `slot`, and keeps `trailing` entries below it.
    ///
    /// # Panics
    /// If the log does not reach `slot`.
    pub(crate) fn compact(&mut self, slot: Slot, trailing: u64) {
        assert!(slot > self.base && slot <= self.last(), "a snapshot covers entries of the log");
        self.base = slot;
        let keep_above = Slot(slot.0.saturating_sub(trailing));
        while self.trimmed.slot < keep_above {
            self.trim_one();
        }
    }

    /// Drops trailing entries until at most `bytes_max` bytes are held, or none is left.
    pub(crate) fn trim_to(&mut self, bytes_max: usize) {
        while self.held_bytes() > bytes_max && self.trimmed.slot < self.base {
            self.trim_one();
        }
    }

    /// Bytes held in memory.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        let end = self.entries.back().map_or(self.trimmed_bytes, |held| held.end_bytes);
        (end - self.trimmed_bytes) as usize
    }

    /// Bytes of the entries above `above` up to and including `upto`, as far as they are held.
    #[inline]
    pub(crate) fn bytes_between(&self, above: Slot, upto: Slot) -> usize {
        self.end_bytes(upto).saturating_sub(self.end_bytes(above)) as usize
    }

    /// The last slot not above `slot` whose term is not above `term`; not below the trimmed slot.
    ///
    /// The back-off of §5.3: a whole term is skipped at once. Costs a binary search.
    pub(crate) fn last_within(&self, slot: Slot, term: Term) -> Position {
        let within = self.entries.partition_point(|held| held.term <= term) as u64;
        let end = (self.trimmed.slot.0 + within).min(slot.0).max(self.trimmed.slot.0);
        let term = self.term_at(Slot(end)).expect("a slot of the log");
        Position { term, slot: Slot(end) }
    }

    /// The last slot whose entry, and all before it, were written by steps up to `durable`.
    pub(crate) fn durable_upto(&self, durable: Lsn) -> Slot {
        let count = self.entries.partition_point(|held| held.lsn <= durable);
        Slot(self.trimmed.slot.0 + count as u64)
    }

    /// The entries from `first` on: at least one if there is one, at most `count_max`, and no more
    /// than fit `bytes_max`.
    ///
    /// # Panics
    /// If `first` was trimmed.
    pub(crate) fn entries_from(&self, first: Slot, count_max: usize, bytes_max: usize) -> Entries {
        let from = self.index(first).expect("entries are sent while they are held");
        let limit = self.end_bytes(Slot(first.0 - 1)).saturating_add(bytes_max as u64);
        let rest = self.entries.range(from.min(self.entries.len())..);
        let fitting = rest.take(count_max).take_while(|held| held.end_bytes <= limit).count();
        let available = self.entries.len().saturating_sub(from);
        let entry = |held: &Held| Entry { term: held.term, batch: held.batch.clone() };
        match fitting.max(1).min(available) {
            0 => Entries::NONE,
            1 => Entries::one(entry(&self.entries[from])),
            count => self.entries.range(from..from + count).map(entry).collect(),
        }
    }

    #[inline]
    fn index(&self, slot: Slot) -> Option<usize> {
        let above = slot.0.checked_sub(self.trimmed.slot.0)?;
        usize::try_from(above.checked_sub(1)?).ok()
    }

    #[inline]
    fn end_bytes(&self, slot: Slot) -> u64 {
        match self.entry(slot) {
            Some(held) => held.end_bytes,
            None if slot <= self.trimmed.slot => self.trimmed_bytes,
            None => self.entries.back().map_or(self.trimmed_bytes, |held| held.end_bytes),
        }
    }

    fn trim_one(&mut self) {
        let held = self.entries.pop_front().expect("entries reach up to the base");
        self.trimmed = Position { term: held.term, slot: self.trimmed.slot.next() };
        self.trimmed_bytes = held.end_bytes;
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::GroupId;

    use super::*;

    const ONE: usize = 24 + ENTRY_OVERHEAD_BYTES;

    fn log(base: Position, terms: &[u64]) -> Log {
        let mut log = Log::new(base);
        for (index, term) in terms.iter().enumerate() {
            log.push(Term(*term), Batch::empty(GroupId(0)), Lsn(index as u64 + 1));
        }
        log
    }

    fn at(slot: u64, term: u64) -> Position {
        Position { term: Term(term), slot: Slot(slot) }
    }

    #[test]
    fn positions_order_as_votes_compare_logs() {
        // §5.4.1: the later last term wins, the longer log among equal terms.
        assert!(at(1, 3) > at(9, 2));
        assert!(at(9, 3) > at(1, 3));
    }

    #[test]
    fn terms_are_known_from_the_trimmed_slot_to_the_last() {
        let log = log(at(10, 4), &[4, 5, 5]);
        let terms: Vec<_> = (9..15).map(|slot| log.term_at(Slot(slot))).collect();
        let known = |term| Some(Term(term));
        assert_eq!(terms, [None, known(4), known(4), known(5), known(5), None]);
        assert_eq!(log.last_position(), at(13, 5));
        assert_eq!(log.term_at(Slot(u64::MAX)), None);
    }

    #[test]
    fn backing_off_skips_whole_terms() {
        let log = log(at(0, 0), &[1, 1, 2, 2, 4]);
        assert_eq!(log.last_within(Slot(5), Term(3)), at(4, 2));
        assert_eq!(log.last_within(Slot(3), Term(3)), at(3, 2));
        assert_eq!(log.last_within(Slot(u64::MAX), Term(u64::MAX)), at(5, 4));
        assert_eq!(log.last_within(Slot(5), Term(0)), at(0, 0));
    }

    #[test]
    fn bytes_survive_truncation_and_trimming() {
        let mut log = log(at(0, 0), &[1, 1, 1, 1, 1]);
        log.truncate_from(Slot(5));
        assert_eq!(log.held_bytes(), 4 * ONE);
        log.compact(Slot(3), 1);
        assert_eq!((log.base(), log.trimmed(), log.held_bytes()), (Slot(3), Slot(2), 2 * ONE));
        assert_eq!(log.bytes_between(Slot(3), Slot(4)), ONE);
        assert_eq!(log.bytes_between(Slot(0), Slot(u64::MAX)), 2 * ONE);
        log.trim_to(0);
        assert_eq!((log.trimmed(), log.held_bytes()), (Slot(3), ONE));
        assert_eq!(log.base_position(), at(3, 1));
    }

    #[test]
    fn a_message_carries_at_least_one_entry_and_no_more_than_fit() {
        let log = log(at(0, 0), &[1; 9]);
        assert_eq!(log.entries_from(Slot(1), 100, 1).as_slice().len(), 1);
        assert_eq!(log.entries_from(Slot(1), 100, 3 * ONE).as_slice().len(), 3);
        assert_eq!(log.entries_from(Slot(1), 2, 3 * ONE).as_slice().len(), 2);
        assert_eq!(log.entries_from(Slot(8), 100, usize::MAX >> 1).as_slice().len(), 2);
        assert_eq!(log.entries_from(Slot(10), 100, 1), Entries::NONE);
    }

    #[test]
    fn entries_above_a_slot_start_right_after_it() {
        let log = log(at(4, 1), &[1, 2]);
        let slots = |above| log.iter_above(Slot(above)).map(|(slot, _)| slot.0).collect::<Vec<_>>();
        assert_eq!(slots(0), [5, 6]);
        assert_eq!(slots(5), [6]);
        assert!(slots(6).is_empty() && slots(99).is_empty());
    }

    #[test]
    fn own_entries_count_up_to_the_last_durable_step() {
        let log = log(at(0, 0), &[1, 1, 1]);
        assert_eq!(log.durable_upto(Lsn(0)), Slot(0));
        assert_eq!(log.durable_upto(Lsn(2)), Slot(2));
        assert_eq!(log.durable_upto(Lsn(9)), Slot(3));
    }
}
