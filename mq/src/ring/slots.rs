//! The memory of the ring: a stamp per slot, and where the values lie.
//!
//! What always holds: nothing here decides who may touch what; `ring` does.
//!
//! # Where a value lies
//! The values of a run lie side by side in a row of their own, so that a batch is copied in one
//! piece. A value that travels alone would then cost two cache lines in turn, its stamp's and its
//! own. So, for small values, the *first* value of a run lies beside its stamp, and the row holds
//! the others; the first value's place in the row stays empty. Values that are pushed one by one
//! are runs of one and lie all beside their stamps, four to a line. It costs the memory of the
//! row's places once more, and so is kept to values of at most [`BESIDE_BYTES_MAX`].

use std::{collections::TryReserveError, mem::MaybeUninit, ptr};

use super::{
    position::{Circle, Kind, Position, Stamp, Word},
    prefetch::prefetch_for_writing,
};
use crate::{
    cells::Cells,
    sync::{AtomicU64, Ordering, UnsafeCell, order},
};

/// The largest value that lies beside its stamp, in bytes: a vector or a string.
pub(super) const BESIDE_BYTES_MAX: usize = 24;

/// How far ahead of its use a line is asked for when values travel alone: four lines. A claim
/// drains the processor's store buffer, so that without this each line costs two transfers in
/// full, one for the stamp that is read and one for the right to write it.
const AHEAD_BYTES: usize = 256;
/// In a ring that is not so many times larger, to ask ahead would take lines from the other side.
const AHEAD_TIMES_MIN: usize = 8;

struct Slot<T> {
    stamp: AtomicU64,
    first: UnsafeCell<MaybeUninit<T>>,
}

/// The slots of one ring; of `slots` and `stamps` one is empty.
pub(super) struct Slots<T> {
    pub(super) circle: Circle,
    /// For small values: the stamps, each with the first value of its run.
    slots: Box<[Slot<T>]>,
    /// For large values: the stamps alone.
    stamps: Box<[AtomicU64]>,
    row: Cells<T>,
    /// How many bytes ahead of its use a single's line is asked for.
    ahead: usize,
}

// SAFETY: values enter on one thread and leave on another, which needs `T: Send`; the ring makes
// sure that no two threads touch a place at once (its INV-4), so that no `&T` is ever shared.
unsafe impl<T: Send> Send for Slots<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Slots<T> {}

impl<T> Slots<T> {
    const BESIDE: bool = size_of::<T>() <= BESIDE_BYTES_MAX;
    const STRIDE: usize = if Self::BESIDE { size_of::<Slot<T>>() } else { size_of::<AtomicU64>() };

    /// Slots whose stamps are what `stamp_of` says.
    pub(super) fn new(
        capacity: usize,
        mut stamp_of: impl FnMut(usize) -> Stamp,
    ) -> Result<Self, TryReserveError> {
        let row = Cells::new(capacity)?;
        let (mut slots, mut stamps) = (Vec::new(), Vec::new());
        let new_stamps = (0..capacity).map(|index| AtomicU64::new(stamp_of(index).0));
        if Self::BESIDE {
            slots.try_reserve_exact(capacity)?;
            slots.extend(
                new_stamps
                    .map(|stamp| Slot { stamp, first: UnsafeCell::new(MaybeUninit::uninit()) }),
            );
        } else {
            stamps.try_reserve_exact(capacity)?;
            stamps.extend(new_stamps);
        }
        Ok(Self {
            circle: Circle::new(capacity),
            slots: slots.into_boxed_slice(),
            stamps: stamps.into_boxed_slice(),
            row,
            ahead: if capacity * Self::STRIDE < AHEAD_TIMES_MIN * AHEAD_BYTES {
                0
            } else {
                AHEAD_BYTES
            },
        })
    }

    #[inline(always)]
    fn slot(&self, index: usize) -> &Slot<T> {
        debug_assert!(index < self.slots.len());
        // SAFETY: an index of a position is below the capacity (`position`, INV-1), and so many
        // slots there are where this is called.
        unsafe { self.slots.get_unchecked(index) }
    }

    /// The stamp of the slot at this position.
    #[inline(always)]
    pub(super) fn stamp(&self, position: Position) -> &AtomicU64 {
        let index = self.circle.index(position);
        if Self::BESIDE {
            return &self.slot(index).stamp;
        }
        debug_assert!(index < self.stamps.len());
        // SAFETY: as in `slot`.
        unsafe { self.stamps.get_unchecked(index) }
    }

    /// Moves a run of one value in.
    ///
    /// # Safety
    /// The caller claimed `position` for pushing and has not filled it yet.
    #[inline(always)]
    pub(super) unsafe fn write_one(&self, position: Position, value: T) {
        let index = self.circle.index(position);
        if Self::BESIDE {
            let value = MaybeUninit::new(value);
            // SAFETY: the slot is empty and the caller's.
            self.slot(index).first.with_mut(|place| unsafe { place.write(value) });
        } else {
            // SAFETY: as above.
            unsafe { self.row.write(index, value) };
        }
    }

    /// Moves a run of `count` values in from `source`.
    ///
    /// # Safety
    /// The caller claimed `count` positions from `first` on for pushing, has not filled them yet,
    /// and gives away as many values at `source`.
    #[inline(always)]
    pub(super) unsafe fn write_run(&self, first: Position, source: *const T, count: u64) {
        if Self::BESIDE {
            // SAFETY: the caller's contract.
            unsafe {
                self.write_one(first, ptr::read(source));
                let second = self.circle.index(self.circle.advance(first, 1));
                self.row.write_run(second, source.add(1), count as usize - 1);
            }
        } else {
            // SAFETY: as above.
            unsafe { self.row.write_run(self.circle.index(first), source, count as usize) };
        }
    }

    /// Moves one value out: the one at the position of `head`, which is inside of a run if and
    /// only if `head` has a rest.
    ///
    /// # Safety
    /// The caller claimed this position for popping, from `head` on, and has not emptied it yet.
    #[inline(always)]
    pub(super) unsafe fn read_one(&self, head: Word) -> T {
        let index = self.circle.index(head.position());
        if Self::BESIDE && head.rest() == 0 {
            // SAFETY: the slot holds a value and is the caller's.
            self.slot(index).first.with(|place| unsafe { ptr::read(place).assume_init() })
        } else {
            // SAFETY: as above.
            unsafe { self.row.read(index) }
        }
    }

    /// Moves `count` values out to `target`: from `head` on, whatever the runs.
    ///
    /// # Safety
    /// The caller claimed these positions for popping, from `head` on, and has not emptied them
    /// yet; `target` has room.
    #[inline(always)]
    pub(super) unsafe fn read_run(&self, head: Word, target: *mut T, count: u64) {
        let mut position = head.position();
        if !Self::BESIDE {
            // SAFETY: the caller's contract.
            unsafe { self.row.read_run(self.circle.index(position), target, count as usize) };
            return;
        }
        let mut done = 0;
        // What is left of a run lies in the row; then come whole runs, whose stamps tell where
        // the next begins. They were read with acquire for the claim and are the caller's.
        let mut length = head.rest().min(count);
        if length > 0 {
            // SAFETY: as above.
            unsafe { self.row.read_run(self.circle.index(position), target, length as usize) };
        }
        while done + length < count {
            done += length;
            position = self.circle.advance(position, length);
            let stamp = Stamp(self.stamp(position).load(Ordering::Relaxed));
            length = stamp.length().min(count - done);
            // SAFETY: as above; a run begins here.
            unsafe {
                let target = target.add(done as usize);
                target.write(self.read_one(Word::new(position, 0)));
                if length > 1 {
                    let second = self.circle.index(self.circle.advance(position, 1));
                    self.row.read_run(second, target.add(1), length as usize - 1);
                }
            }
        }
    }

    /// How far a claim of one position of `kind` reaches: the word behind it.
    ///
    /// As [`Slots::reach`] with `wanted` 1; the common case, a run of one, is told by a comparison
    /// alone, so that a processor that guesses its outcome need not wait for the stamp in order
    /// to know the next word.
    #[inline(always)]
    fn reach_one(&self, word: Word, kind: Kind) -> Option<Word> {
        let position = word.position();
        let behind = self.circle.advance(position, 1);
        self.prefetch_ahead(position);
        if word.rest() > 0 {
            return Some(Word::new(behind, word.rest() - 1));
        }
        let stamp = Stamp(self.stamp(position).load(Self::see(kind)));
        if stamp == Stamp::new(position, kind, 1) {
            return Some(Word::new(behind, 0));
        }
        stamp.length_at(position, kind).map(|length| Word::new(behind, length - 1))
    }

    /// Asks for the line of a stamp some way ahead; nothing comes of it near the end of the slots.
    #[inline(always)]
    fn prefetch_ahead(&self, position: Position) {
        prefetch_for_writing(ptr::from_ref(self.stamp(position)).wrapping_byte_add(self.ahead));
    }

    #[inline(always)]
    fn see(kind: Kind) -> Ordering {
        match kind {
            Kind::Free => order("ring.see-free", Ordering::Acquire),
            Kind::Filled => order("ring.see-filled", Ordering::Acquire),
        }
    }

    /// How far a claim reaches that wants `wanted` positions of `kind` from `word` on: the word
    /// behind it, and how many; `None` when not even one can be had. The acquire pairs with the
    /// release of whoever published the run.
    #[inline(always)]
    pub(super) fn reach(&self, word: Word, wanted: u64, kind: Kind) -> Option<(Word, u64)> {
        if wanted == 1 {
            return self.reach_one(word, kind).map(|next| (next, 1));
        }
        let mut count = word.rest().min(wanted);
        let mut rest = word.rest() - count;
        let mut position = self.circle.advance(word.position(), count);
        while count < wanted {
            let stamp = Stamp(self.stamp(position).load(Self::see(kind)));
            let Some(length) = stamp.length_at(position, kind) else { break };
            let taken = length.min(wanted - count);
            rest = length - taken;
            count += taken;
            position = self.circle.advance(position, taken);
        }
        (count > 0).then(|| (Word::new(position, rest), count))
    }

    /// Whether the next position is of `kind`, as far as a glance tells.
    #[inline(always)]
    pub(super) fn looks(&self, word: Word, kind: Kind) -> bool {
        let stamp = || Stamp(self.stamp(word.position()).load(Ordering::Relaxed));
        word.rest() > 0 || stamp().length_at(word.position(), kind).is_some()
    }
}
