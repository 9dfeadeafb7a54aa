//! The slots and the head of a strict queue: which run lies where, what is pushed and popped next.
//!
//! What always holds: every operation here takes effect in one compare-and-swap, and repeats only
//! when another thread's took effect meanwhile. The algorithm, its progress, the invariants and
//! the orderings are explained in `strict`.
//! Left to others: the cells that hold the values (`blocks`), and what a handle remembers.

use std::cell::Cell;

use crossbeam_utils::CachePadded;

use super::{
    blocks::{BLOCK_CELLS_MAX, Blocks, HANDLES_MAX, LENGTH_CELLS, SPAN_MAX, block_cells},
    look::look,
};
use crate::{
    queue::{CapacityError, PopError, PushError},
    sync::{AtomicBool, AtomicU64, Ordering, order, planted, seq_cst_access_fence},
};

/// Bits of a position, at least. At 500 million values a second it lasts for more than a year.
const POSITION_BITS_MIN: u32 = if cfg!(loom) { 20 } else { 54 };
/// A slot says itself that its run has 1 to 3 values; 0: see the block.
const SHORT_BITS: u32 = LENGTH_CELLS.ilog2();
const SHORT_MASK: u64 = LENGTH_CELLS - 1;
/// Bits of the head below the position of the run: how many of its values were taken.
const TAKEN_BITS: u32 = 8;
const TAKEN_MASK: u64 = (1 << TAKEN_BITS) - 1;
const _: () = assert!(BLOCK_CELLS_MAX < 1 << TAKEN_BITS);
/// Runs that one claim takes, at most.
pub(super) const CLAIM_RUNS_MAX: usize = if cfg!(loom) { 3 } else { 64 };
/// How many positions from the last ones pushing stops: more than is pushed without taking a new
/// block, where the position is looked at.
const EXHAUSTED_MARGIN: u64 = (HANDLES_MAX * BLOCK_CELLS_MAX * 4) as u64;

/// A piece of a run: its first cell and how many values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Piece {
    pub(super) cell: u64,
    pub(super) count: u64,
}

/// The pieces of one claim; a consumer keeps the room for them.
pub(super) type Pieces = [Cell<Piece>; CLAIM_RUNS_MAX];

/// What one claim of a consumer took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) runs: usize,
    pub(super) count: u64,
}

/// The shared part of a strict queue.
pub(super) struct Slots<T> {
    /// The position of the run that is popped next, and above it how many of its values are gone.
    head: CachePadded<AtomicU64>,
    /// A position where a run begins or will begin, at or before the tail; stored now and then.
    tail_hint: CachePadded<AtomicU64>,
    /// Set after the mark that closes the queue, before anybody is told of it.
    closed: AtomicBool,
    slots: Box<[AtomicU64]>,
    pub(super) blocks: Blocks<T>,
    capacity: u64,
    /// A position's index is its low bits, its lap the others.
    index_bits: u32,
    /// From a position without its index to the lap in a slot.
    lap_shift: u32,
    /// The bits below the lap in a slot. All set but the shortness: the mark that closes.
    run_mask: u64,
}

impl<T> Slots<T> {
    /// An empty queue; `cells` per block and the first position for tests, 0: the usual ones.
    pub(super) fn new(capacity: usize, cells: usize, first: u64) -> Result<Self, CapacityError> {
        CapacityError::check(capacity)?;
        let memory = |_| CapacityError::Memory { capacity };
        let cells = if cells == 0 { block_cells::<T>(capacity) } else { cells };
        let blocks = Blocks::new(capacity, cells).map_err(memory)?;
        let cell_bits = blocks.index_bits();
        let run_bits = cell_bits + SHORT_BITS;
        // The run at the head may be taken in part and still needs its slot, and a mark needs one
        // of its own behind a full queue.
        let length = (capacity + cells).next_power_of_two();
        let index_bits = length.ilog2().max(POSITION_BITS_MIN.saturating_sub(64 - run_bits));
        let mut slots = Vec::new();
        slots.try_reserve_exact(1 << index_bits).map_err(memory)?;
        slots.extend((0..1 << index_bits).map(|_| AtomicU64::new(0)));
        // Lap 0 means never filled.
        let first = first.max(1 << index_bits);
        Ok(Self {
            head: CachePadded::new(AtomicU64::new(first << TAKEN_BITS)),
            tail_hint: CachePadded::new(AtomicU64::new(first)),
            closed: AtomicBool::new(false),
            slots: slots.into_boxed_slice(),
            blocks,
            capacity: capacity as u64,
            index_bits,
            lap_shift: run_bits - index_bits,
            run_mask: (1 << run_bits) - 1,
        })
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Positions from here on are not pushed to.
    pub(super) fn exhausted_at(&self) -> u64 {
        let bits = (64 - self.lap_shift).min(64 - TAKEN_BITS);
        (1_u64 << bits) - EXHAUSTED_MARGIN - 2 * (1 << self.index_bits)
    }

    /// A recent head word.
    pub(super) fn recent_head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// A recent boundary of runs, to begin the search for the tail at.
    pub(super) fn recent_tail(&self) -> u64 {
        let hint = self.tail_hint.load(Ordering::Acquire);
        hint.max(self.head.load(Ordering::Acquire) >> TAKEN_BITS)
    }

    /// Lets others begin their search at `tail`, where the caller's last run ended.
    pub(super) fn hint_tail(&self, tail: u64) {
        self.tail_hint.store(tail, Ordering::Release);
    }

    #[inline(always)]
    fn slot(&self, position: u64) -> &AtomicU64 {
        let index = position as usize & (self.slots.len() - 1);
        // SAFETY: INV-1: the length is a power of two.
        unsafe { self.slots.get_unchecked(index) }
    }

    /// The lap of a position, as it stands in a slot: a slot below it is free, one from it on is
    /// filled or marked, for this lap or a later one.
    #[inline(always)]
    fn lap(&self, position: u64) -> u64 {
        (position & !(self.slots.len() as u64 - 1)) << self.lap_shift
    }

    #[inline(always)]
    fn is_of_lap(&self, word: u64, position: u64) -> bool {
        word ^ self.lap(position) <= self.run_mask
    }

    #[inline(always)]
    fn cell(&self, word: u64) -> u64 {
        (word & self.run_mask) >> SHORT_BITS
    }

    /// Whether the slot holds the mark that closes the queue; a short run is none.
    #[inline(always)]
    fn is_mark(&self, word: u64) -> bool {
        word & self.run_mask == self.run_mask & !SHORT_MASK
    }

    /// The values in the run that a slot describes. A long run's length is only sure if the run
    /// was not taken yet: see [`Blocks::length`].
    #[inline(always)]
    fn run_length(&self, word: u64) -> u64 {
        let short = word & SHORT_MASK;
        if short != 0 { short } else { self.blocks.length(self.cell(word)) }
    }

    /// Publishes a run of at most `wanted` values that lie at `cell` on behind all others, with
    /// one compare-and-swap; returns of how many. `tail` and `freed` are what the producer
    /// remembers: where its last run ended, and up to where positions were free.
    #[inline(always)]
    pub(super) fn publish(
        &self,
        cell: u64,
        wanted: u64,
        tail: &Cell<u64>,
        freed: &Cell<u64>,
    ) -> Result<u64, PushError<()>> {
        let mut position = tail.get();
        loop {
            let slot = self.slot(position);
            let word = slot.load(order("strict.observe", Ordering::SeqCst));
            if word >= self.lap(position) {
                position = self.follow(position, word)?;
                tail.set(position);
                continue;
            }
            let mut room = freed.get().saturating_sub(position);
            if room < wanted {
                room = self.fresh_room(position, freed);
                if room == 0 {
                    if slot.load(Ordering::SeqCst) == word {
                        return Err(PushError::Full(()));
                    }
                    continue;
                }
            }
            let count = room.min(wanted);
            let run = self.describe(cell, count) | self.lap(position);
            let ordering = order("strict.publish", Ordering::SeqCst);
            if slot.compare_exchange(word, run, ordering, Ordering::Relaxed).is_ok() {
                handshake_fence(&["strict.publish-fence", "strict.publish"]);
                tail.set(position + count);
                return Ok(count);
            }
        }
    }

    #[inline(always)]
    fn describe(&self, cell: u64, count: u64) -> u64 {
        if count < LENGTH_CELLS {
            return cell << SHORT_BITS | count;
        }
        self.blocks.note_length(cell, count);
        cell << SHORT_BITS
    }

    /// How many positions from `position` on are free, asked of the head.
    #[cold]
    #[inline(never)]
    fn fresh_room(&self, position: u64, freed: &Cell<u64>) -> u64 {
        let head = self.head.load(Ordering::SeqCst);
        freed.set((head >> TAKEN_BITS) + (head & TAKEN_MASK) + self.capacity);
        freed.get().saturating_sub(position)
    }

    /// A boundary of runs behind `position`, whose slot holds `word`: filled for this lap or a
    /// later one.
    #[inline(never)]
    fn follow(&self, position: u64, word: u64) -> Result<u64, PushError<()>> {
        if self.is_mark(word) {
            self.closed.store(true, Ordering::SeqCst);
            return Err(PushError::Closed(()));
        }
        let recent = self.tail_hint.load(Ordering::Acquire);
        if self.is_of_lap(word, position) {
            let length = self.run_length(word);
            let is_short = word & SHORT_MASK != 0;
            // The cells of a run that was taken may already be another run's, and the length too.
            if is_short
                || planted("strict.length-check")
                || self.head.load(Ordering::Acquire) >> TAKEN_BITS <= position
            {
                return Ok(recent.max(position + length));
            }
        }
        Ok(recent.max(self.head.load(Ordering::Acquire) >> TAKEN_BITS))
    }

    /// Claims one value at the head, which the consumer remembers: its cell.
    #[inline(always)]
    pub(super) fn claim_one(&self, remembered: &Cell<u64>) -> Result<u64, PopError> {
        let mut head = remembered.get();
        loop {
            let position = head >> TAKEN_BITS;
            let word = look(self.slot(position), order("strict.observe", Ordering::SeqCst));
            let short = word & SHORT_MASK;
            if !self.is_of_lap(word, position) || short == 0 && self.is_mark(word) {
                head = self.nothing_at(head, word)?;
                remembered.set(head);
                continue;
            }
            let taken = head & TAKEN_MASK;
            let length = self.run_length(word);
            let next =
                if taken + 1 < length { head + 1 } else { (position + length) << TAKEN_BITS };
            match self.move_head(head, next) {
                Ok(()) => {
                    remembered.set(next);
                    return Ok(self.cell(word) + taken);
                }
                Err(now) => head = now,
            }
        }
    }

    /// Claims up to `wanted` values from the head on. `before_claim` learns how many it may be;
    /// it may panic.
    #[inline]
    pub(super) fn claim(
        &self,
        wanted: u64,
        remembered: &Cell<u64>,
        pieces: &Pieces,
        mut before_claim: impl FnMut(u64),
    ) -> Result<Claim, PopError> {
        let mut head = remembered.get();
        loop {
            let (next, word, claim) = self.gather(head, wanted, pieces);
            if claim.count == 0 {
                head = self.nothing_at(head, word)?;
                remembered.set(head);
                continue;
            }
            before_claim(claim.count);
            match self.move_head(head, next) {
                Ok(()) => {
                    remembered.set(next);
                    return Ok(claim);
                }
                Err(now) => head = now,
            }
        }
    }

    /// Collects the runs from `head` on, up to `wanted` values: the head behind them, and the
    /// word of the first slot. Only if the head has not moved meanwhile they are what they seem.
    #[inline]
    fn gather(&self, head: u64, wanted: u64, pieces: &Pieces) -> (u64, u64, Claim) {
        let mut position = head >> TAKEN_BITS;
        let mut taken = head & TAKEN_MASK;
        let mut next = head;
        let mut first = 0;
        let mut block = u64::MAX;
        let mut span = 0;
        let mut claim = Claim { runs: 0, count: 0 };
        while claim.runs < CLAIM_RUNS_MAX && claim.count < wanted {
            let word = look(self.slot(position), order("strict.observe", Ordering::SeqCst));
            if claim.runs == 0 {
                first = word;
            }
            if !self.is_of_lap(word, position) || self.is_mark(word) {
                break;
            }
            let cell = self.cell(word);
            if self.blocks.block_of(cell) != block {
                block = self.blocks.block_of(cell);
                span += 1;
                if span > SPAN_MAX {
                    break;
                }
            }
            let rest = self.run_length(word).saturating_sub(taken);
            let count = rest.min(wanted - claim.count);
            if count == 0 {
                break;
            }
            pieces[claim.runs].set(Piece { cell: cell + taken, count });
            claim.runs += 1;
            claim.count += count;
            taken += count;
            if count == rest {
                position += taken;
                taken = 0;
            }
            next = position << TAKEN_BITS | taken;
        }
        (next, first, claim)
    }

    /// Nothing could be claimed at `head`, whose slot held `word`: the reason, or the head that
    /// has moved meanwhile.
    #[cold]
    #[inline(never)]
    fn nothing_at(&self, head: u64, word: u64) -> Result<u64, PopError> {
        let position = head >> TAKEN_BITS;
        if self.is_of_lap(word, position) && self.is_mark(word) {
            self.closed.store(true, Ordering::SeqCst);
            return Err(PopError::Closed);
        }
        let now = self.head.load(Ordering::SeqCst);
        if now == head { Err(PopError::Empty) } else { Ok(now) }
    }

    #[inline(always)]
    fn move_head(&self, head: u64, next: u64) -> Result<(), u64> {
        let ordering = Ordering::SeqCst;
        self.head.compare_exchange(head, next, ordering, Ordering::Acquire)?;
        handshake_fence(&["strict.claim-fence", "strict.observe"]);
        Ok(())
    }

    /// The tail, or where the mark is, and the word in its slot: true at one moment.
    fn find_tail(&self, from: u64) -> (u64, u64) {
        let mut position = from;
        loop {
            let word = self.slot(position).load(Ordering::SeqCst);
            if word < self.lap(position) {
                return (position, word);
            }
            match self.follow(position, word) {
                Ok(next) => position = next,
                Err(_) => return (position, word),
            }
        }
    }

    /// Puts the mark at the tail, unless it is there; whether this call did.
    pub(super) fn close(&self) -> bool {
        let mut position = self.recent_tail();
        loop {
            let (tail, word) = self.find_tail(position);
            if self.is_closed() {
                return false;
            }
            let mark = self.lap(tail) | self.run_mask & !SHORT_MASK;
            let slot = self.slot(tail);
            if slot.compare_exchange(word, mark, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                handshake_fence(&["strict.close-fence"]);
                self.closed.store(true, Ordering::SeqCst);
                return true;
            }
            position = tail;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Values inside, from a tail that is searched for from `from` on.
    pub(super) fn len(&self, from: u64) -> usize {
        let (tail, _) = self.find_tail(from);
        let head = self.head.load(Ordering::SeqCst);
        let length = tail.saturating_sub((head >> TAKEN_BITS) + (head & TAKEN_MASK));
        length.min(self.capacity) as usize
    }

    /// Whether a push would answer `Full`.
    pub(super) fn is_full(&self, from: u64) -> bool {
        let mut from = from;
        loop {
            let (tail, word) = self.find_tail(from);
            if self.is_of_lap(word, tail) {
                return false;
            }
            if self.fresh_room(tail, &Cell::new(0)) > 0 {
                return false;
            }
            if self.slot(tail).load(Ordering::SeqCst) == word {
                return true;
            }
            from = tail;
        }
    }

    /// Whether a push may succeed at `tail`, without looking at the slots.
    pub(super) fn looks_free(&self, tail: u64, freed: &Cell<u64>) -> bool {
        freed.get() > tail
            || self.fresh_room(tail, freed) > 0
            || self.closed.load(Ordering::Relaxed)
    }

    /// Whether the slot at the head is filled or marked.
    pub(super) fn looks_filled(&self) -> bool {
        let position = self.head.load(Ordering::Relaxed) >> TAKEN_BITS;
        self.slot(position).load(Ordering::Relaxed) >= self.lap(position)
    }

    /// Whether a pop would answer `Empty`.
    pub(super) fn would_wait(&self) -> bool {
        loop {
            let head = self.head.load(Ordering::SeqCst);
            let position = head >> TAKEN_BITS;
            let word = self.slot(position).load(Ordering::SeqCst);
            if self.is_of_lap(word, position) {
                return false;
            }
            if self.head.load(Ordering::SeqCst) == head {
                return true;
            }
        }
    }

    /// Drops the next value, which there is, while nobody else has a handle. Apart, because a
    /// value may be larger than the stack of a thread that has an empty queue to drop.
    #[inline(never)]
    fn drop_next(&mut self) {
        if let Ok(cell) = self.claim_one(&Cell::new(self.recent_head())) {
            // SAFETY: the claim made the value ours (INV-3).
            drop(unsafe { self.blocks.near(cell).read(cell) });
        }
    }
}

impl<T> Drop for Slots<T> {
    /// Drops every value inside, once; when one of them panics the others are dropped still.
    fn drop(&mut self) {
        struct Rest<'a, T>(&'a mut Slots<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                while self.0.len(self.0.recent_tail()) > 0 {
                    let rest = Rest(self.0);
                    rest.0.drop_next();
                    std::mem::forget(rest);
                }
            }
        }
        drop(Rest(self));
    }
}

/// The fence of a handshake that loom needs spelled out (see `sync`); it would hide that an
/// ordering of the same operation is weakened, and goes with it. Nothing in a normal build.
#[inline(always)]
fn handshake_fence(names: &[&'static str]) {
    if !names.iter().any(|name| planted(name)) {
        seq_cst_access_fence();
    }
}
