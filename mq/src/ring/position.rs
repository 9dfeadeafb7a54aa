//! How the ring packs a position, the rest of a run and a mark into 64 bits.
//!
//! What always holds: the words of head and tail and the stamps of the slots are packed alike, so
//! that a stamp belongs to a word if and only if their upper bits are the same.
//! Left to others: what the words mean to whom (`ring`).
//!
//! From the lowest bit: eight bits of run (in a word how many positions of the current run are
//! left, in a stamp the length less one), one mark (in the tail "closed", in a stamp "filled"),
//! then the position: as many bits of index as the capacity needs, and the lap in all others.
//!
//! # Invariants
//! * **INV-1** The index of a position is smaller than the capacity.
//! * **INV-2** A position comes back after 2^55 positions or more than 2^54, if the capacity is
//!   no power of two: at a thousand million values a second after half a year without a pause.
//!   Only a stamp or a thread that stays as it was for *exactly* so long could then be mistaken.

/// The longest run, in values.
pub(super) const RUN_MAX: u64 = 1 << RUN_BITS;

const RUN_BITS: u32 = 8;
const MARK: u64 = 1 << RUN_BITS;
const POSITION_SHIFT: u32 = RUN_BITS + 1;

/// A place in the endless row of values, in the upper bits; the lower ones are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(u64);

/// Head or tail: the next position, how much of a run is left there, and the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

/// What a slot says about the run that begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) u64);

/// What a run consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Free,
    Filled,
}

impl Kind {
    const fn mark(self) -> u64 {
        match self {
            Self::Free => 0,
            Self::Filled => MARK,
        }
    }
}

impl Word {
    /// Set in the tail once the ring is closed.
    pub(super) const CLOSED: u64 = MARK;

    #[inline(always)]
    pub(super) fn new(position: Position, rest: u64) -> Self {
        debug_assert!(rest < RUN_MAX);
        Self(position.0 | rest)
    }

    #[inline(always)]
    pub(super) fn position(self) -> Position {
        Position(self.0 >> POSITION_SHIFT << POSITION_SHIFT)
    }

    /// How many positions of the current run are left: no stamp need be read for them.
    #[inline(always)]
    pub(super) fn rest(self) -> u64 {
        self.0 & (RUN_MAX - 1)
    }

    #[inline(always)]
    pub(super) fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }
}

impl Stamp {
    #[inline(always)]
    pub(super) fn new(first: Position, kind: Kind, length: u64) -> Self {
        debug_assert!((1..=RUN_MAX).contains(&length));
        Self(first.0 | kind.mark() | (length - 1))
    }

    /// The length of the run, if it is of this kind and begins at this position.
    #[inline(always)]
    pub(super) fn length_at(self, first: Position, kind: Kind) -> Option<u64> {
        // The upper bits agree if and only if the difference is a length less one.
        let less_one = self.0.wrapping_sub(first.0 | kind.mark());
        if less_one < RUN_MAX { Some(less_one + 1) } else { None }
    }

    /// The length of a run that is known to begin here.
    #[inline(always)]
    pub(super) fn length(self) -> u64 {
        (self.0 & (RUN_MAX - 1)) + 1
    }
}

/// The arithmetic of positions for one capacity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circle {
    capacity: u64,
    index_mask: u64,
    /// What the end of a lap leaves out, because the next begins at a power of two.
    gap: u64,
}

impl Circle {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity as u64;
        let lap = capacity.next_power_of_two();
        Self { capacity, index_mask: lap - 1, gap: (lap - capacity) << POSITION_SHIFT }
    }

    #[inline(always)]
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    #[inline(always)]
    fn lap(&self) -> u64 {
        (self.index_mask + 1) << POSITION_SHIFT
    }

    /// The beginning of a lap, modulo what fits.
    pub(super) fn start(&self, laps: u64) -> Position {
        Position(self.lap().wrapping_mul(laps))
    }

    #[inline(always)]
    pub(super) fn index(&self, position: Position) -> usize {
        (position.0 >> POSITION_SHIFT & self.index_mask) as usize
    }

    /// The position `count` further; at most one lap.
    #[inline(always)]
    pub(super) fn advance(&self, position: Position, count: u64) -> Position {
        debug_assert!(count <= self.capacity);
        let index = self.index(position) as u64 + count;
        let over = if index < self.capacity { 0 } else { self.gap };
        Position(position.0.wrapping_add(count << POSITION_SHIFT).wrapping_add(over))
    }

    /// The same slot one lap later.
    #[inline(always)]
    pub(super) fn next_lap(&self, position: Position) -> Position {
        Position(position.0.wrapping_add(self.lap()))
    }

    /// How many positions `to` is ahead of `from`; the capacity when it is further, 0 when it is
    /// behind.
    pub(super) fn distance(&self, from: Position, to: Position) -> u64 {
        let ahead = to.0.wrapping_sub(from.0);
        if ahead > self.lap() {
            // More than half the way around is behind.
            return if ahead >> 63 == 0 { self.capacity } else { 0 };
        }
        let crossed = self.index(to) < self.index(from) || ahead == self.lap();
        let skipped = if crossed { self.gap } else { 0 };
        (ahead - skipped) >> POSITION_SHIFT
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions() -> impl Strategy<Value = (Circle, Position)> {
        let laps = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
        (1usize..300, laps).prop_flat_map(|(capacity, laps)| {
            let circle = Circle::new(capacity);
            (0..capacity as u64)
                .prop_map(move |index| (circle, circle.advance(circle.start(laps), index)))
        })
    }

    proptest! {
        #[test]
        fn advancing_in_two_steps_or_one_is_the_same(
            (circle, position) in positions(),
            parts in (0u64..1_000, 0u64..1_000),
        ) {
            let first = parts.0 % (circle.capacity + 1);
            let second = parts.1 % (circle.capacity + 1 - first);
            let there = circle.advance(position, first + second);
            prop_assert_eq!(circle.advance(circle.advance(position, first), second), there);
            prop_assert!((circle.index(there) as u64) < circle.capacity);
            prop_assert_eq!(circle.distance(position, there), first + second);
        }

        #[test]
        fn a_lap_leads_to_the_same_slot((circle, position) in positions()) {
            let next = circle.next_lap(position);
            prop_assert_eq!(circle.advance(position, circle.capacity), next);
            prop_assert_eq!(circle.index(position), circle.index(next));
            prop_assert_eq!(circle.distance(next, position), 0);
        }

        #[test]
        fn a_word_gives_back_what_was_packed((_, position) in positions(), rest in 0..RUN_MAX) {
            let word = Word::new(position, rest);
            prop_assert_eq!((word.position(), word.rest()), (position, rest));
            prop_assert!(!word.is_closed());
            let closed = Word(word.0 | Word::CLOSED);
            prop_assert_eq!((closed.position(), closed.rest()), (position, rest));
            prop_assert!(closed.is_closed());
        }

        #[test]
        fn a_stamp_belongs_to_one_position_and_one_kind(
            (circle, position) in positions(),
            length in 1..=RUN_MAX,
            steps in 1u64..300,
        ) {
            let other = circle.advance(position, 1 + steps % circle.capacity);
            for (kind, opposite) in [(Kind::Free, Kind::Filled), (Kind::Filled, Kind::Free)] {
                let stamp = Stamp::new(position, kind, length);
                prop_assert_eq!(stamp.length_at(position, kind), Some(length));
                prop_assert_eq!(stamp.length_at(position, opposite), None);
                prop_assert_eq!(stamp.length_at(other, kind), None);
                prop_assert_eq!(stamp.length(), length);
            }
        }
    }
}
