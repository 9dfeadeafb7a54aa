//! Which slot is held by how many replicas: the order statistic behind "a majority of `matchIndex`"
//! (figure 2, rules for leaders).
//!
//! The match slots of all replicas, kept in ascending order. One replica moves forward at a time, so
//! an update shifts a few neighbours, and the slot that a quorum holds is one look-up.

use quorate_smr::Slot;

/// The match slots of all replicas, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tally {
    ascending: Vec<Slot>,
}

impl Tally {
    /// `replicas` replicas that hold nothing.
    pub(crate) fn new(replicas: usize) -> Self {
        Self { ascending: vec![Slot::ZERO; replicas] }
    }

    /// One replica that stood at `from` now stands at `to`.
    ///
    /// # Panics
    /// If no replica stood at `from`.
    #[inline]
    pub(crate) fn raise(&mut self, from: Slot, to: Slot) {
        assert!(from <= to, "a match slot never goes back");
        let slots = &mut self.ascending;
        let found = slots.iter().rposition(|slot| *slot == from);
        let mut at = found.expect("a replica stood at the slot from which it moves");
        while at + 1 < slots.len() && slots[at + 1] < to {
            slots[at] = slots[at + 1];
            at += 1;
        }
        slots[at] = to;
    }

    /// The last slot that at least `quorum` replicas hold.
    #[inline]
    pub(crate) fn held_by(&self, quorum: usize) -> Slot {
        self.ascending[self.ascending.len() - quorum]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_slot_of_a_quorum_is_the_order_statistic(
            replicas in 1usize..8,
            moves in proptest::collection::vec((0usize..8, 0u64..20), 0..40),
        ) {
            let mut plain = vec![Slot::ZERO; replicas];
            let mut tally = Tally::new(replicas);
            for (who, by) in moves {
                let who = who % replicas;
                let to = Slot(plain[who].0 + by);
                tally.raise(plain[who], to);
                plain[who] = to;
                let mut descending = plain.clone();
                descending.sort_by(|a, b| b.cmp(a));
                for quorum in 1..=replicas {
                    prop_assert_eq!(tally.held_by(quorum), descending[quorum - 1]);
                }
            }
        }
    }
}
