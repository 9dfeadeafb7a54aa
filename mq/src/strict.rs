//! A bounded queue for many producers and many consumers, of any type, that is lock-free in the
//! strict sense: a thread that is stopped for ever at any instruction of a push or a pop never
//! keeps the others from completing theirs. No operation answers "busy" or spins for a peer.
//!
//! # How it works
//! In most rings a push takes two steps that others can see: it claims a position, then it fills
//! it. Who is stopped in between blocks the queue there. Here a value is in place *before* its
//! position is claimed, and one compare-and-swap claims and publishes at once:
//!
//! * Values lie in **blocks** of cells. A producer owns the block that it fills, so that it writes
//!   values where nobody looks.
//! * Positions count values from the beginning and never wrap. A **run** of `n` values has the
//!   positions `p` to `p + n`; only the slot of `p` (its index is `p` modulo the number of slots)
//!   describes it: a word of the lap of `p`, the first cell, and the length if it is below 4 (a
//!   longer one stands in the block). A slot of an earlier lap is free.
//! * **Push**: write the values, then swap the slot at the tail from the word of an earlier lap to
//!   the run's word. The tail has no counter of its own: it is the first boundary of runs whose
//!   slot is free. Each handle remembers a boundary; where the slot is filled, the next boundary
//!   is at the end of that run. A shared hint, stored now and then, shortens the way.
//! * **Pop**: the *head* word says which run is next and how many of its values are gone. Read
//!   the slot (or several, if more is wanted), then move the head over what is taken with one
//!   compare-and-swap. If it succeeds nobody else took these values, and what was read was
//!   valid; only then are they moved out. Cells are counted back to their block, which returns
//!   to a free list when all are.
//! * **Full**: positions from `head + capacity` on are not pushed to. There are more slots than
//!   capacity, so that a live slot is never overwritten and a mark fits behind a full queue.
//! * **Close** puts a mark into the slot at the tail, in competition with pushes: what was pushed
//!   before lies in front of it, and nothing can be pushed behind it.
//!
//! Positions have at least 54 bits: more than a year at 500 million values a second. Then pushing
//! panics. So no word of a slot and no head ever comes back, and a stopped thread's
//! compare-and-swap cannot succeed late (no ABA). The free list's top carries a count of takes in
//! the bits that the identities leave (51 at a capacity of 1024).
//!
//! # Progress
//! Every loop repeats only because another thread took effect meanwhile:
//!
//! | loop | repeats when |
//! |---|---|
//! | push at the tail | the slot was filled by another push, or by close |
//! | walk to the tail | each step passes a run that another push completed, or jumps to a head or hint that moved |
//! | answer "full" again | the tail's slot was filled after the head was read |
//! | pop | the head was moved by another pop |
//! | free list | another operation took or returned a block, of which each does a few at most |
//! | close | another push filled the slot |
//!
//! What a stopped thread holds is bounded and budgeted: a producer its block, a consumer the
//! blocks of one claim (see `blocks`). Making, cloning and dropping *handles* allocates and takes
//! a lock; pushing and popping never do. A single thread may lose every race (the queue is
//! lock-free, not wait-free).
//!
//! The idea of changing value and index in one swap, with counters that others can bring up to
//! date, is that of Tsigas and Zhang (SPAA 2001); LCRQ (Morrison and Afek, PPoPP 2013) and SCQ
//! (Nikolaev, DISC 2019) reach the same guarantee by handing out positions first and repairing
//! those that are not used, for single words and by indirection for other types.
//!
//! # Invariants
//! * **INV-1** The number of slots is a power of two, at least the capacity and a block more.
//! * **INV-2** A boundary is the first position, or the end of the run at a boundary. A slot at a
//!   boundary is written once per lap, by compare-and-swap from a word of an earlier lap; the
//!   boundary before which all slots are filled and whose own is free is the tail.
//! * **INV-3** The head only grows, by compare-and-swap, over values that were published; who
//!   moved it over a value owns the value, and its cell until it is counted back.
//! * **INV-4** What is read of a run (its word, its length) is acted on only if the run had not
//!   been taken afterwards: a pop by its swap of the head, a walk by looking at the head.
//! * **INV-5** The swaps of slots and head are SeqCst. "Full", "empty" and "closed" were true at
//!   one moment: the slot was read, the other side's state, and the first once more. A waiter
//!   that registers (SeqCst) before it looks misses no change. The flag of [`Handle::is_closed`]
//!   is set before anybody is told of the mark.
//! * **INV-B1** to **INV-B4**: see `blocks`.
//!
//! # Orderings
//! | name | store | load |
//! |---|---|---|
//! | `strict.publish`, `strict.observe` | a run's word, after its values | before the values are moved out |
//! | `strict.length` | a long run's length, which may overwrite that of a run that was taken | then the head, which is seen to have moved |
//! | `strict.count` | cells counted back, after the values were moved out | by who counts the last one |
//! | `strict.give-back`, `strict.take` | an empty block enters the free list | it leaves it, to be filled |
//!
//! The head and the hint of the tail carry no data, so that their orderings have no names: a stale
//! value costs a retry. What they mean to "full" and "empty" rests on SeqCst accesses, which loom
//! treats as acquire and release. The fences named
//! `strict.publish-fence`, `strict.claim-fence` and `strict.close-fence` stand for the SeqCst
//! swaps there. The models are in `tests/loom_strict.rs`.
//!
//! # Cost
//! A push or pop of a single is one compare-and-swap, of a batch one for each run. Memory: 8
//! bytes for each slot; blocks for twice the capacity; and for each handle at once two blocks
//! (producer) or five (consumer), of up to 128 values or 16 KiB each.

use std::{cell::Cell, fmt};

use self::{
    blocks::{Near, Seat},
    slots::{Piece, Pieces, Slots},
};
use crate::{
    queue::{CapacityError, Consume, FrontDrain, Handle, PopError, Produce, PushError},
    sync::Arc,
};

mod blocks;
mod look;
mod slots;
#[cfg(test)]
mod tests;

/// Handles of one kind at once, at most.
pub const HANDLES_MAX: usize = blocks::HANDLES_MAX;

/// Makes a queue for `capacity` values and a handle for each side; clone them for more.
///
/// # Errors
/// [`CapacityError`] when the capacity is zero, too large, or the memory is not to be had.
///
/// ```
/// use quorate_mq::{Consume, Produce, PushError, strict};
///
/// let (producer, consumer) = strict::queue(3)?;
/// assert_eq!(producer.push_batch(&mut vec![1, 2]), Ok(2));
/// producer.try_push(3).unwrap();
/// assert_eq!(producer.try_push(4), Err(PushError::Full(4)));
///
/// let mut taken = Vec::new();
/// assert_eq!(consumer.pop_batch(&mut taken, 8), Ok(3));
/// assert_eq!(taken, [1, 2, 3]);
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
pub fn queue<T>(capacity: usize) -> Result<(Producer<T>, Consumer<T>), CapacityError> {
    queue_with(capacity, 0, 0)
}

/// As [`queue`], with blocks of so many cells (a power of two up to 8), and from this position
/// on: small blocks and high positions reach corners in tests. 0: as usual.
#[doc(hidden)]
pub fn queue_with<T>(
    capacity: usize,
    cells: usize,
    first: u64,
) -> Result<(Producer<T>, Consumer<T>), CapacityError> {
    let memory = |_| CapacityError::Memory { capacity };
    let slots = Arc::new(Slots::new(capacity, cells, first)?);
    let seat = slots.blocks.sit_down().map_err(memory)?.unwrap_or_default();
    let producer = Producer::sitting(slots.clone(), seat);
    slots.blocks.come().map_err(memory)?;
    Ok((producer, Consumer::coming(slots)))
}

/// The pushing handle; it owns the block that it fills, and so is not `Sync`: clone it for another
/// thread.
///
/// # Panics
/// Cloning panics when there are [`HANDLES_MAX`] producers, or no memory; pushing when the
/// positions are used up (see the module).
pub struct Producer<T> {
    slots: Arc<Slots<T>>,
    /// The free cells of the own block: from the first one to behind the last one.
    next: Cell<u64>,
    end: Cell<u64>,
    near: Cell<Near<T>>,
    /// Where the last run ended, or a later boundary.
    tail: Cell<u64>,
    /// Positions before this one were free when the head was last read.
    freed: Cell<u64>,
}

impl<T> Producer<T> {
    fn sitting(slots: Arc<Slots<T>>, seat: Seat) -> Self {
        let tail = Cell::new(slots.recent_tail());
        let Seat { next, end } = seat;
        let near = if next < end { slots.blocks.near(next) } else { Near::nothing() };
        Self {
            slots,
            next: Cell::new(next),
            end: Cell::new(end),
            near: Cell::new(near),
            tail,
            freed: Cell::new(0),
        }
    }

    /// Leaves the current block and takes another.
    #[cold]
    #[inline(never)]
    fn renew(&self) {
        let tail = self.tail.get();
        assert!(tail < self.slots.exhausted_at(), "the positions of a strict queue are used up");
        let blocks = &self.slots.blocks;
        let (unused, first) = (self.rest(), self.next.get());
        self.end.set(first);
        if unused > 0 {
            blocks.count_back(blocks.block_of(first), unused);
        }
        let first = blocks.take();
        self.next.set(first);
        self.end.set(first + blocks.cells());
        self.near.set(blocks.near(first));
        self.slots.hint_tail(tail);
    }

    /// Free cells of the current block.
    #[inline(always)]
    fn rest(&self) -> u64 {
        self.end.get() - self.next.get()
    }

    /// Pushes one run from the front of a source that is not empty.
    #[inline]
    fn push_run(&self, source: &mut FrontDrain<'_, T>) -> Result<usize, PushError<()>> {
        let blocks = &self.slots.blocks;
        let room = self.freed.get().saturating_sub(self.tail.get());
        let mut wanted = (source.remaining() as u64).min(blocks.cells());
        if room > 0 {
            wanted = wanted.min(room);
        }
        if self.rest() < wanted && self.rest() * 2 < blocks.cells() {
            self.renew();
        }
        let wanted = wanted.min(self.rest());
        let cell = self.next.get();
        // SAFETY: the cells are ours (INV-B1). What is not published is still the source's.
        unsafe { self.near.get().write_run(cell, source.as_ptr(), wanted) };
        let count = self.slots.publish(cell, wanted, &self.tail, &self.freed)?;
        self.next.set(cell + count);
        // SAFETY: at most `wanted` values were published, which the source held.
        unsafe { source.advance(count as usize) };
        Ok(count as usize)
    }
}

impl<T> Produce<T> for Producer<T> {
    #[inline]
    fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        if self.next.get() == self.end.get() {
            self.renew();
        }
        let cell = self.next.get();
        // SAFETY: the cell is ours (INV-B1).
        unsafe { self.near.get().write(cell, value) };
        match self.slots.publish(cell, 1, &self.tail, &self.freed) {
            Ok(_) => {
                self.next.set(cell + 1);
                Ok(())
            }
            // SAFETY: the value was not published and is still ours.
            Err(reason) => Err(reason.map(|()| unsafe { self.near.get().read(cell) })),
        }
    }

    #[inline]
    fn push_front(&self, source: &mut FrontDrain<'_, T>) -> Result<usize, PushError<()>> {
        let mut pushed = 0;
        while source.remaining() > 0 {
            match self.push_run(source) {
                Ok(count) => pushed += count,
                Err(_) if pushed > 0 => break,
                Err(reason) => return Err(reason),
            }
        }
        Ok(pushed)
    }

    fn looks_free(&self) -> bool {
        self.slots.looks_free(self.tail.get(), &self.freed)
    }

    fn is_full(&self) -> bool {
        self.slots.is_full(self.tail.get())
    }
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        let seat = self.slots.blocks.sit_down().expect("memory for one more producer");
        Self::sitting(self.slots.clone(), seat.expect("at most HANDLES_MAX producers"))
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.slots.blocks.stand_up(Seat { next: self.next.get(), end: self.end.get() });
    }
}

/// The popping handle; it saves up what it counts back, and so is not `Sync`: clone it for another
/// thread.
///
/// # Panics
/// Cloning panics when there are [`HANDLES_MAX`] consumers, or no memory.
pub struct Consumer<T> {
    slots: Arc<Slots<T>>,
    /// The head when it was last seen.
    head: Cell<u64>,
    /// A block from which values were moved out that are not counted back yet, and how many.
    block: Cell<u64>,
    count: Cell<u64>,
    near: Cell<Near<T>>,
    /// Where a claim writes what it took.
    pieces: Box<Pieces>,
}

impl<T> Consumer<T> {
    fn coming(slots: Arc<Slots<T>>) -> Self {
        let head = Cell::new(slots.recent_head());
        Self {
            slots,
            head,
            block: Cell::new(u64::MAX),
            count: Cell::new(0),
            near: Cell::new(Near::nothing()),
            pieces: Box::new(std::array::from_fn(|_| Cell::new(Piece::default()))),
        }
    }

    /// Prepares to move values out of the block of `cell`, `count` of them in the end: settles
    /// the one before.
    #[inline(always)]
    fn enter(&self, cell: u64, count: u64) -> Near<T> {
        let block = self.slots.blocks.block_of(cell);
        if block != self.block.get() {
            self.change_block(block, cell);
        }
        self.count.set(self.count.get() + count);
        self.near.get()
    }

    #[inline(never)]
    fn change_block(&self, block: u64, cell: u64) {
        self.settle();
        self.block.set(block);
        self.near.set(self.slots.blocks.near(cell));
    }

    #[inline]
    fn settle(&self) {
        let count = self.count.replace(0);
        if count > 0 {
            self.slots.blocks.count_back(self.block.get(), count);
        }
    }

    /// Takes what one claim gets, at most `wanted`, to the end of `out`.
    #[inline]
    fn pop_claim(&self, out: &mut Vec<T>, wanted: usize) -> Result<usize, PopError> {
        let reserve = |count| out.reserve(count as usize);
        let claim = self.slots.claim(wanted as u64, &self.head, &self.pieces, reserve)?;
        for piece in &self.pieces[..claim.runs] {
            let piece = piece.get();
            let near = self.enter(piece.cell, piece.count);
            let length = out.len();
            // SAFETY: the claim made the values ours (INV-3), and room was reserved for all.
            unsafe {
                let target = out.as_mut_ptr().add(length);
                near.read_run(piece.cell, target, piece.count);
                out.set_len(length + piece.count as usize);
            }
        }
        Ok(claim.count as usize)
    }
}

impl<T> Consume<T> for Consumer<T> {
    #[inline]
    fn try_pop(&self) -> Result<T, PopError> {
        let cell = self.slots.claim_one(&self.head)?;
        // SAFETY: the claim made the value ours (INV-3).
        Ok(unsafe { self.enter(cell, 1).read(cell) })
    }

    #[inline]
    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        let mut popped = 0;
        while popped < count_max {
            // After the first claim it is too late to panic.
            let spare = out.capacity() - out.len();
            if popped > 0 && spare == 0 && out.try_reserve(popped).is_err() {
                break;
            }
            let wanted = if popped == 0 { count_max } else { out.capacity() - out.len() };
            match self.pop_claim(out, wanted.min(count_max - popped)) {
                Ok(count) => popped += count,
                Err(_) if popped > 0 => break,
                Err(reason) => return Err(reason),
            }
        }
        Ok(popped)
    }

    fn looks_filled(&self) -> bool {
        self.slots.looks_filled()
    }

    fn would_wait(&self) -> bool {
        self.slots.would_wait()
    }
}

impl<T> Clone for Consumer<T> {
    fn clone(&self) -> Self {
        let came = self.slots.blocks.come().expect("memory for one more consumer");
        assert!(came, "at most HANDLES_MAX consumers");
        Self::coming(self.slots.clone())
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.settle();
        self.slots.blocks.go();
    }
}

macro_rules! handle {
    ($($name:ident)+) => {$(
        impl<T> Handle for $name<T> {
            fn close(&self) -> bool {
                self.slots.close()
            }

            fn is_closed(&self) -> bool {
                self.slots.is_closed()
            }

            fn len(&self) -> usize {
                self.slots.len(self.slots.recent_tail())
            }

            fn capacity(&self) -> Option<usize> {
                Some(self.slots.capacity())
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("len", &self.len())
                    .field("capacity", &self.slots.capacity())
                    .field("closed", &self.is_closed())
                    .finish()
            }
        }
    )+};
}

handle! { Producer Consumer }
