//! Where the values of a strict queue lie: blocks of cells, who fills them and when they are
//! empty again.
//!
//! What always holds: a block has one owner while it is filled; its cells are used once between
//! two stays in the free list; nothing here waits for another thread, except that making and
//! dropping *handles* takes a lock (and memory). [`Blocks::take`] always finds a block.
//! Left to others: which values are where (the slots of the queue say it), and dropping them.
//!
//! # Life of a block
//! free list → current block of one producer, which fills it from the front → left (full, or with
//! an unused rest of less than half) → every value taken out by consumers → free list.
//! `remaining` starts at the number of cells. Consumers subtract what they have moved out, the
//! producer subtracts the rest that it leaves unused; whoever brings it to zero returns the block.
//!
//! # Why a block is always free (INV-B3)
//! Take the moment at which a producer finds the free list empty, with capacity `c`, cells per
//! block `b`, `P` producer seats and `C` consumers. Every block is then
//! 1. left, with all its values in the queue. It holds at least `b / 2` of them (a rest is left
//!    unused only if smaller than half), and at most `c` values are in the queue: `2 c / b`;
//! 2. left, with some values taken and some in the queue. A seat fills one block after the other
//!    and values leave in the order in which they came, so that this is true of one block per
//!    seat: `P`;
//! 3. left, with all its values taken, some of them not yet counted back: by a consumer that
//!    stands between taking and counting, which spans at most [`SPAN_MAX`] blocks, or that saves
//!    its counts for one block more: `(SPAN_MAX + 1) C`;
//! 4. the current block of another seat, or on its way from or to the free list in the hands of
//!    another producer (a consumer's is counted under 3): `P - 1`.
//!
//! [`blocks_needed`] makes one more than the sum. A seat outlives its handle and is given to the
//! next, with the current block in it, so that `P` is the most handles that lived at once.
//!
//! # Invariants
//! * **INV-B1** Cells at and behind a seat's `next`, up to the end of the block, are touched by
//!   the owner of the seat only. Cells before it belong to the runs that were published.
//! * **INV-B2** A block enters the free list when `remaining` is zero: no value is inside and no
//!   thread will touch its cells for runs of this life. The accesses of the next owner come
//!   after all accesses of this life: count (release, acquire), give back (release), take
//!   (acquire).
//! * **INV-B3** The free list never runs empty.
//! * **INV-B4** Chunks are never freed or moved before the queue is dropped, and the identity of
//!   a block is known only after its chunk was stored.

use std::{collections::TryReserveError, marker::PhantomData, ptr};

use crossbeam_utils::CachePadded;

use crate::{
    cells::Cells,
    sync::{AtomicPtr, AtomicU32, AtomicU64, Monitor, Ordering, order, planted},
};

/// Cells in a block, at most: a power of two below 256 (what fits the words of the queue).
pub(super) const BLOCK_CELLS_MAX: usize = if cfg!(loom) { 8 } else { 128 };
/// Bytes of values in a block, at most, unless one value is larger.
const BLOCK_BYTES_MAX: usize = 1 << 14;
/// Producers at once, at most; and as many consumers.
pub(super) const HANDLES_MAX: usize = if cfg!(loom) { 4 } else { 1024 };
/// Blocks that one claim of a consumer reaches into, at most.
pub(super) const SPAN_MAX: usize = if cfg!(loom) { 2 } else { 4 };
/// Blocks that are allocated together.
const CHUNK_BLOCKS: usize = if cfg!(loom) { 4 } else { 16 };
/// Cells that share an entry for the length of the run that begins in them; a shorter run has
/// its length in the slot.
pub(super) const LENGTH_CELLS: u64 = 4;
/// Lengths that share a word, eight bits each.
const WORD_LENGTHS: u64 = if cfg!(loom) { 1 } else { 8 };
const LENGTH_WORD_CELLS: u64 = WORD_LENGTHS * LENGTH_CELLS;
const LENGTH_WORDS: usize = BLOCK_CELLS_MAX.div_ceil(LENGTH_WORD_CELLS as usize);

/// Cells per block for this capacity and type.
pub(super) fn block_cells<T>(capacity: usize) -> usize {
    let by_bytes = (BLOCK_BYTES_MAX / size_of::<T>().max(1)).max(1);
    let by_bytes = 1 << by_bytes.ilog2();
    capacity.next_power_of_two().clamp(8, BLOCK_CELLS_MAX).min(by_bytes)
}

/// How many blocks so many handles need at once; see the module.
pub(super) fn blocks_needed(
    capacity: usize,
    cells: usize,
    producers: usize,
    consumers: usize,
) -> usize {
    (2 * capacity).div_ceil(cells) + 2 * producers + (SPAN_MAX + 1) * consumers
}

struct Header {
    /// Cells of this life that were neither emptied nor left unused.
    remaining: AtomicU32,
    /// The block below this one in the free list.
    next: AtomicU32,
    /// Lengths of the runs of [`LENGTH_CELLS`] cells and more, by their first cell.
    lengths: [AtomicU64; LENGTH_WORDS],
}

struct Chunk<T> {
    headers: Vec<CachePadded<Header>>,
    cells: Cells<T>,
}

impl<T> Chunk<T> {
    fn new(cells: usize) -> Result<Box<Self>, TryReserveError> {
        let mut headers = Vec::new();
        headers.try_reserve_exact(CHUNK_BLOCKS)?;
        headers.extend((0..CHUNK_BLOCKS).map(|_| {
            CachePadded::new(Header {
                remaining: AtomicU32::new(0),
                next: AtomicU32::new(0),
                lengths: std::array::from_fn(|_| AtomicU64::new(0)),
            })
        }));
        Ok(Box::new(Self { headers, cells: Cells::new(cells * CHUNK_BLOCKS)? }))
    }
}

/// What a producer fills: the cells from `next` to before `end`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seat {
    pub(super) next: u64,
    pub(super) end: u64,
}

#[derive(Debug, Default)]
struct Seats {
    free: Vec<Seat>,
    producers: usize,
    consumers: usize,
    consumers_most: usize,
    blocks: usize,
}

/// All blocks of a queue.
pub(super) struct Blocks<T> {
    chunks: Box<[AtomicPtr<Chunk<T>>]>,
    /// The block on top of the free list, below a count of the takes.
    free: CachePadded<AtomicU64>,
    /// Bits of a block's identity in `free`; all set: none.
    identity_bits: u32,
    /// A block's identity is a cell's index shifted by this.
    cell_bits: u32,
    capacity: usize,
    seats: Monitor<Seats>,
    owned: PhantomData<Chunk<T>>,
}

impl<T> Blocks<T> {
    /// Blocks of `cells` cells (a power of two), none of them allocated yet.
    pub(super) fn new(capacity: usize, cells: usize) -> Result<Self, TryReserveError> {
        debug_assert!(cells.is_power_of_two() && cells <= BLOCK_CELLS_MAX);
        let most = blocks_needed(capacity, cells, HANDLES_MAX, HANDLES_MAX) + CHUNK_BLOCKS;
        let mut chunks = Vec::new();
        chunks.try_reserve_exact(most.div_ceil(CHUNK_BLOCKS))?;
        chunks.extend((0..most.div_ceil(CHUNK_BLOCKS)).map(|_| AtomicPtr::new(ptr::null_mut())));
        let identity_bits = (most + CHUNK_BLOCKS).ilog2() + 1;
        Ok(Self {
            chunks: chunks.into_boxed_slice(),
            free: CachePadded::new(AtomicU64::new((1 << identity_bits) - 1)),
            identity_bits,
            cell_bits: cells.ilog2(),
            capacity,
            seats: Monitor::new(Seats::default()),
            owned: PhantomData,
        })
    }

    /// Bits of a cell's index; all set is no cell.
    pub(super) fn index_bits(&self) -> u32 {
        self.identity_bits + self.cell_bits
    }

    /// Cells in a block.
    pub(super) fn cells(&self) -> u64 {
        1 << self.cell_bits
    }

    /// The block of a cell.
    #[inline(always)]
    pub(super) fn block_of(&self, cell: u64) -> u64 {
        cell >> self.cell_bits
    }

    /// A seat for one more producer, or `None` when [`HANDLES_MAX`] are taken.
    pub(super) fn sit_down(&self) -> Result<Option<Seat>, TryReserveError> {
        let mut seats = self.seats.lock();
        if let Some(seat) = seats.free.pop() {
            return Ok(Some(seat));
        }
        if seats.producers == HANDLES_MAX {
            return Ok(None);
        }
        // So that giving a seat back needs no memory.
        let producers = seats.producers + 1;
        seats.free.try_reserve(producers)?;
        let consumers = seats.consumers_most;
        self.grow(&mut seats, producers, consumers)?;
        seats.producers = producers;
        Ok(Some(Seat::default()))
    }

    /// Gives a seat back, for the next producer.
    pub(super) fn stand_up(&self, seat: Seat) {
        self.seats.lock().free.push(seat);
    }

    /// Makes room for one more consumer; false when there are [`HANDLES_MAX`].
    pub(super) fn come(&self) -> Result<bool, TryReserveError> {
        let mut seats = self.seats.lock();
        if seats.consumers == HANDLES_MAX {
            return Ok(false);
        }
        let most = seats.consumers_most.max(seats.consumers + 1);
        let producers = seats.producers;
        self.grow(&mut seats, producers, most)?;
        seats.consumers_most = most;
        seats.consumers += 1;
        Ok(true)
    }

    /// A consumer, which holds no counts any more, is dropped.
    pub(super) fn go(&self) {
        self.seats.lock().consumers -= 1;
    }

    fn grow(
        &self,
        seats: &mut Seats,
        producers: usize,
        consumers: usize,
    ) -> Result<(), TryReserveError> {
        let cells = 1 << self.cell_bits;
        let needed = blocks_needed(self.capacity, cells, producers, consumers);
        while seats.blocks < needed {
            let chunk = Box::into_raw(Chunk::new(cells)?);
            self.chunks[seats.blocks / CHUNK_BLOCKS].store(chunk, Ordering::Release);
            for block in (0..CHUNK_BLOCKS).rev() {
                self.give_back((seats.blocks + block) as u64);
            }
            seats.blocks += CHUNK_BLOCKS;
        }
        Ok(())
    }

    #[inline(always)]
    fn chunk(&self, block: u64) -> &Chunk<T> {
        let chunk = &self.chunks[block as usize / CHUNK_BLOCKS];
        // SAFETY: identities are only given out for chunks that are stored (INV-B4).
        unsafe { &*chunk.load(Ordering::Acquire) }
    }

    #[inline(always)]
    fn header(&self, block: u64) -> &Header {
        &self.chunk(block).headers[block as usize % CHUNK_BLOCKS]
    }

    /// Takes a block off the free list: its first cell. It repeats only when another thread took
    /// or gave back a block meanwhile, which every operation does at most a fixed number of
    /// times.
    pub(super) fn take(&self) -> u64 {
        let none = (1 << self.identity_bits) - 1;
        let mut top = self.free.load(order("strict.take", Ordering::Acquire));
        loop {
            let block = top & none;
            assert!(block != none, "INV-B3: a block is always free");
            let header = self.header(block);
            let below = u64::from(header.next.load(Ordering::Relaxed));
            let takes = (top >> self.identity_bits).wrapping_add(1);
            match self.free.compare_exchange_weak(
                top,
                takes << self.identity_bits | below,
                order("strict.take", Ordering::Acquire),
                order("strict.take", Ordering::Acquire),
            ) {
                Ok(_) => {
                    header.remaining.store(1 << self.cell_bits, Ordering::Relaxed);
                    return block << self.cell_bits;
                }
                Err(now) => top = now,
            }
        }
    }

    /// Puts an empty block on the free list; repeats as [`Blocks::take`].
    fn give_back(&self, block: u64) {
        let none = (1 << self.identity_bits) - 1;
        let header = self.header(block);
        let mut top = self.free.load(Ordering::Relaxed);
        loop {
            header.next.store((top & none) as u32, Ordering::Relaxed);
            match self.free.compare_exchange_weak(
                top,
                top & !none | block,
                order("strict.give-back", Ordering::Release),
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Subtracts cells of a block that the caller emptied, or leaves unused.
    #[inline]
    pub(super) fn count_back(&self, block: u64, count: u64) {
        // Who has the whole block need not agree with anybody.
        if count < self.cells() {
            let count = count as u32;
            let ordering = order("strict.count", Ordering::AcqRel);
            if self.header(block).remaining.fetch_sub(count, ordering) != count
                && !planted("strict.early-free")
            {
                return;
            }
        }
        self.give_back(block);
    }

    /// Notes the length of the run that begins at `cell`, which the caller owns and did not
    /// publish yet; at least [`LENGTH_CELLS`].
    #[inline]
    pub(super) fn note_length(&self, cell: u64, length: u64) {
        let (word, shift) = self.length_word(cell);
        // Alone in its word it needs no load, which would hide the store from loom (see `look`).
        let others = if WORD_LENGTHS == 1 { 0 } else { word.load(Ordering::Relaxed) };
        let others = others & !(0xFF << shift);
        word.store(others | length << shift, order("strict.length", Ordering::Release));
    }

    /// The length that was noted. It may be of a later run: the caller checks afterwards that the
    /// run was not taken, which it then sees (the acquire pairs with the release of the note).
    #[inline]
    pub(super) fn length(&self, cell: u64) -> u64 {
        let (word, shift) = self.length_word(cell);
        word.load(order("strict.length", Ordering::Acquire)) >> shift & 0xFF
    }

    #[inline(always)]
    fn length_word(&self, cell: u64) -> (&AtomicU64, u64) {
        let offset = cell & (self.cells() - 1);
        let word = &self.header(self.block_of(cell)).lengths[(offset / LENGTH_WORD_CELLS) as usize];
        (word, ((offset / LENGTH_CELLS) & (WORD_LENGTHS - 1)) * 8)
    }

    /// The cells around `cell`, in its block at least: what a handle remembers while it works
    /// there.
    #[inline(always)]
    pub(super) fn near(&self, cell: u64) -> Near<T> {
        Near { chunk: self.chunk(self.block_of(cell)), mask: (CHUNK_BLOCKS << self.cell_bits) - 1 }
    }
}

/// The cells of one chunk, by their indices in the queue.
pub(super) struct Near<T> {
    chunk: *const Chunk<T>,
    mask: usize,
}

impl<T> Clone for Near<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Near<T> {}

// SAFETY: it gives access to cells as a shared reference to the chunk does, which is `Sync` when
// values may move between threads.
unsafe impl<T: Send> Send for Near<T> {}

impl<T> Near<T> {
    /// Near nothing: to be replaced before it is used.
    pub(super) fn nothing() -> Self {
        Self { chunk: ptr::null(), mask: 0 }
    }

    /// # Safety
    /// The queue lives, and `cell` lies near what this was made for.
    #[inline(always)]
    unsafe fn place(&self, cell: u64) -> (&Cells<T>, usize) {
        // SAFETY: chunks live as long as the queue (INV-B4).
        (unsafe { &(*self.chunk).cells }, cell as usize & self.mask)
    }

    /// Moves a value in.
    ///
    /// # Safety
    /// As [`Near::place`]; the cell belongs to the caller's seat (INV-B1).
    #[inline(always)]
    pub(super) unsafe fn write(&self, cell: u64, value: T) {
        // SAFETY: the caller's contract; the index is inside the chunk.
        unsafe {
            let (cells, index) = self.place(cell);
            cells.write(index, value);
        }
    }

    /// Moves `count` values in.
    ///
    /// # Safety
    /// As [`Near::write`] for each, in one block; `source` holds `count` values.
    #[inline]
    pub(super) unsafe fn write_run(&self, cell: u64, source: *const T, count: u64) {
        // SAFETY: the caller's contract; the run ends inside the chunk.
        unsafe {
            let (cells, index) = self.place(cell);
            cells.write_run(index, source, count as usize);
        }
    }

    /// Moves a value out.
    ///
    /// # Safety
    /// As [`Near::place`]; the cell holds a value that is the caller's.
    #[inline(always)]
    pub(super) unsafe fn read(&self, cell: u64) -> T {
        // SAFETY: the caller's contract; the index is inside the chunk.
        unsafe {
            let (cells, index) = self.place(cell);
            cells.read(index)
        }
    }

    /// Moves `count` values out.
    ///
    /// # Safety
    /// As [`Near::read`] for each, in one block; `target` has room.
    #[inline]
    pub(super) unsafe fn read_run(&self, cell: u64, target: *mut T, count: u64) {
        // SAFETY: the caller's contract; the run ends inside the chunk.
        unsafe {
            let (cells, index) = self.place(cell);
            cells.read_run(index, target, count as usize);
        }
    }
}

impl<T> Drop for Blocks<T> {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            let chunk = chunk.load(Ordering::Acquire);
            if !chunk.is_null() {
                // SAFETY: made by `Box::into_raw`, and nobody uses it any more (INV-B4).
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}
