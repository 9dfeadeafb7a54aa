//! A bounded queue that is lock-free in the strict sense.

use std::{cell::Cell, fmt};

use self::{
    blocks::Seat,
    slots::{Claim, Slots},
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

/// The pushing handle.
pub struct Producer<T> {
    slots: Arc<Slots<T>>,
    /// The next free cell of the own block, and how many there are.
    next: Cell<u64>,
    rest: Cell<u64>,
    /// Where the last run ended, or a later boundary.
    tail: Cell<u64>,
    /// Positions before this one were free when the head was last read.
    freed: Cell<u64>,
}

impl<T> Producer<T> {
    fn sitting(slots: Arc<Slots<T>>, seat: Seat) -> Self {
        let tail = Cell::new(slots.recent_tail());
        let (next, rest) = (Cell::new(seat.next), Cell::new(seat.rest));
        Self { slots, next, rest, tail, freed: Cell::new(0) }
    }

    /// Leaves the current block and takes another.
    #[cold]
    #[inline(never)]
    fn renew(&self) {
        let tail = self.tail.get();
        assert!(tail < self.slots.exhausted_at(), "the positions of a strict queue are used up");
        let blocks = &self.slots.blocks;
        let unused = self.rest.replace(0);
        if unused > 0 {
            blocks.count_back(blocks.block_of(self.next.get()), unused);
        }
        self.next.set(blocks.take());
        self.rest.set(blocks.cells());
        self.slots.hint_tail(tail);
    }

    /// Counts cells as used.
    #[inline(always)]
    fn used(&self, count: u64) {
        self.next.set(self.next.get() + count);
        self.rest.set(self.rest.get() - count);
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
        if self.rest.get() < wanted && self.rest.get() * 2 < blocks.cells() {
            self.renew();
        }
        let wanted = wanted.min(self.rest.get());
        let cell = self.next.get();
        // SAFETY: the cells are ours (INV-B1). What is not published is still the source's.
        unsafe { blocks.write_run(cell, source.as_ptr(), wanted) };
        let count = self.slots.publish(cell, wanted, &self.tail, &self.freed)?;
        self.used(count);
        // SAFETY: at most `wanted` values were published, which the source held.
        unsafe { source.advance(count as usize) };
        Ok(count as usize)
    }
}

impl<T> Produce<T> for Producer<T> {
    #[inline]
    fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        if self.rest.get() == 0 {
            self.renew();
        }
        let cell = self.next.get();
        // SAFETY: the cell is ours (INV-B1).
        unsafe { self.slots.blocks.write(cell, value) };
        match self.slots.publish(cell, 1, &self.tail, &self.freed) {
            Ok(_) => {
                self.used(1);
                Ok(())
            }
            // SAFETY: the value was not published and is still ours.
            Err(reason) => Err(reason.map(|()| unsafe { self.slots.blocks.read(cell) })),
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
        self.slots.blocks.stand_up(Seat { next: self.next.get(), rest: self.rest.get() });
    }
}

/// The popping handle.
pub struct Consumer<T> {
    slots: Arc<Slots<T>>,
    /// The head when it was last seen.
    head: Cell<u64>,
    /// A block from which values were moved out that are not counted back yet, and how many.
    block: Cell<u64>,
    count: Cell<u64>,
}

impl<T> Consumer<T> {
    fn coming(slots: Arc<Slots<T>>) -> Self {
        let head = Cell::new(slots.recent_head());
        Self { slots, head, block: Cell::new(0), count: Cell::new(0) }
    }

    /// Counts cells of a block as empty, now or with later ones of the same block.
    #[inline(always)]
    fn emptied(&self, cell: u64, count: u64) {
        let block = self.slots.blocks.block_of(cell);
        if block != self.block.get() {
            self.settle();
            self.block.set(block);
        }
        self.count.set(self.count.get() + count);
        if self.count.get() == self.slots.blocks.cells() {
            self.settle();
        }
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
        let mut claim = Claim::default();
        let reserve = |count| out.reserve(count as usize);
        self.slots.claim(wanted as u64, &self.head, &mut claim, reserve)?;
        for piece in &claim.pieces[..claim.runs] {
            let length = out.len();
            // SAFETY: the claim made the values ours (INV-3), and room was reserved for all.
            unsafe {
                let target = out.as_mut_ptr().add(length);
                self.slots.blocks.read_run(piece.cell, target, piece.count);
                out.set_len(length + piece.count as usize);
            }
            self.emptied(piece.cell, piece.count);
        }
        Ok(claim.count as usize)
    }
}

impl<T> Consume<T> for Consumer<T> {
    #[inline]
    fn try_pop(&self) -> Result<T, PopError> {
        let cell = self.slots.claim_one(&self.head)?;
        // SAFETY: the claim made the value ours (INV-3).
        let value = unsafe { self.slots.blocks.read(cell) };
        self.emptied(cell, 1);
        Ok(value)
    }

    #[inline]
    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        let mut popped = 0;
        while popped < count_max {
            match self.pop_claim(out, count_max - popped) {
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
