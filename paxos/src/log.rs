//! The slots that a replica holds in memory: what it accepted, and which prefix is decided.
//!
//! What always holds:
//! - every slot in `base + 1 ..= decided` holds its decided value; above it slots may be empty;
//! - a decided value is never replaced;
//! - `bytes` and `open_bytes` are the sums over all slots and over those above `decided`.
//!
//! It knows nothing of promises, peers or effects.

use std::collections::VecDeque;

use quorate_smr::{Batch, Lsn, Slot};

use crate::ballot::Ballot;

/// Bytes of bookkeeping counted for each value held.
const ENTRY_BYTES: usize = 96;

/// What an acceptor holds at one slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    ballot: Ballot,
    /// The durable step that recorded it.
    lsn: Lsn,
    batch: Option<Batch>,
}

impl Entry {
    const EMPTY: Self = Self { ballot: Ballot::ZERO, lsn: Lsn::ZERO, batch: None };
}

/// The slots above `base`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    base: Slot,
    decided: Slot,
    entries: VecDeque<Entry>,
    bytes: usize,
    open_bytes: usize,
}

/// What a value costs in `bytes`.
pub(crate) fn cost(batch: &Batch) -> usize {
    batch.len() + ENTRY_BYTES
}

impl Log {
    pub(crate) const fn new(base: Slot) -> Self {
        Self { base, decided: base, entries: VecDeque::new(), bytes: 0, open_bytes: 0 }
    }

    /// The slot below the first one held.
    pub(crate) const fn base(&self) -> Slot {
        self.base
    }

    /// The end of the decided prefix.
    pub(crate) const fn decided(&self) -> Slot {
        self.decided
    }

    /// The last slot that holds or held anything.
    pub(crate) fn last(&self) -> Slot {
        Slot(self.base.0 + self.entries.len() as u64)
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes above the decided prefix.
    pub(crate) const fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    #[inline]
    fn entry(&self, slot: Slot) -> Option<&Entry> {
        let index = slot.0.checked_sub(self.base.0 + 1)?;
        self.entries.get(index as usize).filter(|entry| entry.batch.is_some())
    }

    /// The value at `slot`, if one is held.
    #[inline]
    pub(crate) fn batch(&self, slot: Slot) -> Option<&Batch> {
        self.entry(slot)?.batch.as_ref()
    }

    /// Under which ballot the value at `slot` was accepted.
    #[inline]
    pub(crate) fn ballot(&self, slot: Slot) -> Option<Ballot> {
        Some(self.entry(slot)?.ballot)
    }

    /// The durable step that recorded `slot`.
    #[inline]
    pub(crate) fn lsn(&self, slot: Slot) -> Option<Lsn> {
        Some(self.entry(slot)?.lsn)
    }

    /// The values held from `from` on, in slot order.
    pub(crate) fn values(&self, from: Slot) -> impl Iterator<Item = (Slot, Ballot, &Batch)> {
        let skip = from.0.saturating_sub(self.base.0 + 1);
        let first = self.base.0 + 1 + skip;
        let entries = self.entries.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        entries.enumerate().filter_map(move |(offset, entry)| {
            let batch = entry.batch.as_ref()?;
            Some((Slot(first + offset as u64), entry.ballot, batch))
        })
    }

    /// Puts a value at `slot`, which is above the decided prefix.
    #[inline]
    pub(crate) fn put(&mut self, slot: Slot, ballot: Ballot, lsn: Lsn, batch: Batch) {
        assert!(slot > self.decided, "{slot} is decided and must not change");
        let index = (slot.0 - self.base.0 - 1) as usize;
        let cost = cost(&batch);
        self.bytes += cost;
        self.open_bytes += cost;
        let entry = Entry { ballot, lsn, batch: Some(batch) };
        if index == self.entries.len() {
            self.entries.push_back(entry);
            return;
        }
        if index > self.entries.len() {
            self.entries.resize(index + 1, Entry::EMPTY);
        }
        let old = std::mem::replace(&mut self.entries[index], entry);
        let freed = old.batch.as_ref().map_or(0, self::cost);
        self.bytes -= freed;
        self.open_bytes -= freed;
    }

    /// Extends the decided prefix by one slot, which must hold its value.
    #[inline]
    pub(crate) fn decide_next(&mut self) {
        let slot = self.decided.next();
        let batch = self.batch(slot).expect("a decided slot holds its value");
        self.open_bytes -= cost(batch);
        self.decided = slot;
    }

    /// Drops the slots up to `slot`, but keeps at most `slots_max` of them that together take no
    /// more than `bytes_max`.
    pub(crate) fn drop_upto(&mut self, slot: Slot, slots_max: u64, bytes_max: usize) {
        assert!(slot <= self.decided, "only decided slots are dropped");
        let mut kept_bytes: usize = self
            .entries
            .iter()
            .take((slot.0.saturating_sub(self.base.0)) as usize)
            .map(|entry| entry.batch.as_ref().map_or(0, cost))
            .sum();
        while self.base < slot && (slot.0 - self.base.0 > slots_max || kept_bytes > bytes_max) {
            kept_bytes -= self.drop_first();
        }
    }

    /// Makes `slot` the base and the decided prefix; what is held above stays.
    pub(crate) fn rebase(&mut self, slot: Slot) {
        while self.base < slot && !self.entries.is_empty() {
            self.drop_first();
        }
        self.base = slot;
        self.decided = self.decided.max(slot);
        let open = |entry: &Entry| entry.batch.as_ref().map_or(0, cost);
        let skip = (self.decided.0 - self.base.0) as usize;
        self.open_bytes = self.entries.iter().skip(skip).map(open).sum();
    }

    fn drop_first(&mut self) -> usize {
        let entry = self.entries.pop_front().expect("dropped slots are held");
        let freed = entry.batch.as_ref().map_or(0, cost);
        self.bytes -= freed;
        self.base = self.base.next();
        freed
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::GroupId;
    use quorate_smr::testing::plain_batch;

    use super::*;

    const UNDER: Ballot = Ballot { round: 1, replica: quorate_smr::ReplicaId(1) };

    fn batch(text: &str) -> Batch {
        plain_batch(GroupId(0), 1, &[text.as_bytes()])
    }

    fn put(log: &mut Log, slot: u64, text: &str) {
        log.put(Slot(slot), UNDER, Lsn(slot), batch(text));
    }

    /// The sums that the log keeps, counted anew.
    fn assert_sums(log: &Log) {
        let sum = |from: Slot| log.values(from).map(|(_, _, batch)| cost(batch)).sum::<usize>();
        assert_eq!(log.bytes(), sum(Slot(1)));
        assert_eq!(log.open_bytes(), sum(log.decided().next()));
    }

    #[test]
    fn slots_between_acceptances_stay_empty() {
        let mut log = Log::new(Slot(10));
        put(&mut log, 14, "d");
        put(&mut log, 11, "a");
        let held: Vec<u64> = log.values(Slot(1)).map(|(slot, _, _)| slot.0).collect();
        assert_eq!(held, [11, 14]);
        assert_eq!(
            (log.batch(Slot(12)), log.ballot(Slot(13)), log.lsn(Slot(10))),
            (None, None, None)
        );
        assert_eq!(log.values(Slot(12)).next().map(|(slot, _, _)| slot), Some(Slot(14)));
        assert_eq!(log.values(Slot(u64::MAX)).count(), 0);
        assert_sums(&log);
    }

    #[test]
    fn the_sums_follow_every_change() {
        let mut log = Log::new(Slot::ZERO);
        for slot in 1..=6 {
            put(&mut log, slot, "value");
            assert_sums(&log);
        }
        put(&mut log, 5, "a longer value than before");
        assert_sums(&log);
        (0..4).for_each(|_| log.decide_next());
        assert_sums(&log);
        log.drop_upto(Slot(3), 1, usize::MAX);
        assert_eq!(log.base(), Slot(2));
        assert_sums(&log);
        log.drop_upto(Slot(4), 9, 0);
        assert_eq!(log.base(), Slot(4));
        assert_sums(&log);
        log.rebase(Slot(5));
        assert_eq!((log.base(), log.decided(), log.last()), (Slot(5), Slot(5), Slot(6)));
        assert_sums(&log);
        log.rebase(Slot(90));
        assert_eq!((log.bytes(), log.last(), log.decided()), (0, Slot(90), Slot(90)));
    }

    #[test]
    #[should_panic(expected = "must not change")]
    fn a_decided_slot_is_never_replaced() {
        let mut log = Log::new(Slot::ZERO);
        put(&mut log, 1, "a");
        log.decide_next();
        put(&mut log, 1, "b");
    }

    #[test]
    #[should_panic(expected = "holds its value")]
    fn an_empty_slot_is_never_decided() {
        Log::new(Slot::ZERO).decide_next();
    }
}
