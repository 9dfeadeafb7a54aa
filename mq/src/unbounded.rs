//! An unbounded queue for many producers and many consumers, lock-free in the strict sense.
//!
//! # How it works
//! The queue is a list of *segments*. A segment has a row of *places* for values and, apart from
//! it, an *order*: a row of small cells, each empty, or a *run* (first place, length), or an end
//! mark. A producer reserves places ahead (one `fetch_add` for up to 64), moves values into them,
//! where nobody looks, and then **publishes** the run with one compare-and-swap of the first empty
//! cell. That one step is the whole push: a value is in the queue or it is not, no cell is ever
//! claimed and unfilled, and a producer that stops leaves nothing that others would have to wait
//! for. A consumer reads the run at the front, and **claims** with one compare-and-swap of the
//! front as many values as it wants, across several runs when it takes a batch; then the values
//! are its own, and nobody waits until it has moved them out.
//!
//! When the places of a segment are used up a producer links the next segment and sets the end
//! mark *sealed*; closing the queue sets the end mark *closed*. Since end marks are cells of the
//! order like the values, both happen between two pushes and need no further agreement.
//!
//! Places are used once in the life of a segment. A drained segment is reused as soon as no handle
//! names it: while the backlog stays below a segment's capacity two segments take turns, stay in
//! the cache, and nothing is allocated. While it is larger, each next segment is twice as large,
//! up to a maximum; when segments prove far too large, half. After a burst the drained segments
//! are freed, but for the one in use and two spare ones.
//!
//! Segments linked into a queue are those of Michael and Scott (1996) and LCRQ (Morrison and Afek,
//! 2013); who may free them is settled by hazard pointers (Michael, 2004), one per handle, set
//! when a handle goes on to another segment, not per operation. To publish values that lie
//! elsewhere by one small word is what SCQ (Nikolaev, 2019) does with its second ring; here the
//! places need no queue of their own, since a segment's are used once.
//!
//! # Progress
//! With a thread stopped for ever at any instruction:
//!
//! | operation | own steps | the others | allocates or frees |
//! |---|---|---|---|
//! | `try_push`, `push_front` | lock-free: repeats a step only after another thread completed a push, a close, or a segment | go on | a segment at a segment's end, when no spare one fits |
//! | `try_pop`, `pop_batch`, `would_wait` | lock-free: repeats a step only after another thread completed a pop or a segment; never waits for a producer, never answers `Busy` | go on | frees segments at a segment's end |
//! | `close` | lock-free | go on | no |
//! | `len`, `is_closed`, `slots`, `looks_filled` | wait-free (`len` in the number of handles) | go on | no |
//! | `clone` | lock-free | go on | a record, when none is free |
//! | dropping a handle | lock-free; the last one drops all values | go on | frees segments |
//!
//! What a stopped thread keeps is memory: the segment that it names, the places that it reserved,
//! and what it was about to free. The allocator's own locks are not covered by the table: a
//! thread that is stopped inside the allocator may stop all others there, at a segment's end; in
//! the steady state nobody goes there. When the allocator refuses a segment the process is
//! aborted, as by `Vec`.
//!
//! # Invariants
//! * **INV-1** A place is reserved once in the life of a segment, by one handle, which alone
//!   touches it until it publishes it, once, or leaves it unused.
//! * **INV-2** Cells are set once, from the first to the last without gaps: by compare-and-swap
//!   from empty, by a thread that has acquired what all cells before it say and found no end mark.
//!   There is one cell more than places and a run has a place at least, so that whoever holds a
//!   reserved place finds a cell before the last, and the last can only be an end mark.
//! * **INV-3** The front moves forward only, by compare-and-swap, over runs that the mover has
//!   acquired; so a value is claimed once, and its place is the claimant's from then on.
//! * **INV-4** "Empty" and "closed" are answered when the cell at the front was empty, or an end
//!   mark, at a moment after the front was read: by INV-2 nothing was pushed behind it, by INV-3
//!   everything before it was claimed.
//! * **INV-5** A segment is linked before the one before it is sealed, and entered after; so
//!   "sealed" always has a next segment. The tail leaves a segment before the head does.
//! * **INV-6** A segment that a handle names, and that was in the list (head or tail pointed to
//!   it) after it was named, is neither reused nor freed until the handle names another.
//! * **INV-7** A segment that is not linked yet, or was taken out of the retired or the spare ones,
//!   belongs to one thread. Who moves the head off a segment retires it, once.
//! * **INV-8** Marks are published and read with SeqCst, so that a waiter that registers with
//!   SeqCst before it looks misses no push and no close (see `wait`).
//!
//! # Orderings
//! | named store | pairs with | for |
//! |---|---|---|
//! | `publish` of a mark | `read` of a mark | INV-3: the values of the run |
//! | `leave`: another segment is named | `left`: the names are read | INV-6: what was done in a segment comes before its reuse |
//! | `protect-fence` between naming and looking again | itself, between unlinking and retiring | INV-6: one of the two sees the other |
//! | `record-free` | taking the record | `hazard` INV-2: the counts go on |
//!
//! Steps whose omission a model finds as well: `validate` (look again after naming),
//! `names` (look at the names before reuse), `tail-first` and `link-before-seal` (INV-5),
//! `hint-past-end` (INV-2), `note-closed` (who was refused finds the queue closed).
//!
//! Orderings without a name are needed too, but no model fails without one of them alone, mostly
//! because the fences (that of `protect`, and the one that models a SeqCst access) order more there
//! than what ships: release and acquire of head, tail, link, hint, the list of records, and of the
//! retired and spare segments. Each says at its place what it is for. The models are in
//! `tests/loom_unbounded.rs`.

use std::{cell::Cell, fmt, mem::size_of};

use self::{
    hazard::Record,
    list::List,
    segment::{Front, Mark, PLACES_MAX, RUN_MAX, Segment},
};
use crate::{
    queue::{CapacityError, Consume, FrontDrain, Handle, PopError, Produce, PushError},
    sync::{Arc, planted, spin_loop},
};

mod hazard;
mod list;
mod segment;
#[cfg(test)]
mod tests;

/// The largest capacity of one segment, in values.
pub const SEGMENT_CAPACITY_MAX: usize = PLACES_MAX;

/// The most places that a producer reserves ahead for itself, in values.
const AHEAD_MAX: usize = 64;

/// How large the segments of a queue are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The capacity of the first segment, in values; it is never given back.
    pub segment_capacity_first: usize,
    /// The capacity up to which segments double while the backlog does not fit into one, in
    /// values; taken as [`SEGMENT_CAPACITY_MAX`] when it is larger, and as the first one's when
    /// it is smaller.
    pub segment_capacity_max: usize,
}

impl Options {
    /// Segments of 1,024 to 16,384 values, fewer when values are large: the first at most 32 KiB,
    /// the others at most 512 KiB, but 32 values at least.
    pub fn suited_to<T>() -> Self {
        const CAPACITY_MIN: usize = 32;
        let within = |bytes: usize, count: usize| {
            let size = size_of::<T>().max(1);
            (bytes / size).clamp(CAPACITY_MIN, count)
        };
        Self {
            segment_capacity_first: within(32 << 10, 1 << 10),
            segment_capacity_max: within(512 << 10, 1 << 14),
        }
    }
}

/// Makes an unbounded queue with segments that suit its values, and a handle for each side; clone
/// them for more.
///
/// ```
/// use quorate_mq::{Consume, Produce, unbounded};
///
/// let (producer, consumer) = unbounded::queue()?;
/// producer.try_push("first").unwrap();
/// producer.push_batch(&mut vec!["second", "third"]).unwrap();
/// let mut taken = Vec::new();
/// assert_eq!(consumer.pop_batch(&mut taken, 8), Ok(3));
/// assert_eq!(taken, ["first", "second", "third"]);
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
///
/// # Errors
/// As [`queue_with`].
pub fn queue<T>() -> Result<(Producer<T>, Consumer<T>), CapacityError> {
    queue_with(Options::suited_to::<T>())
}

/// As [`queue`] with segments of a chosen size.
///
/// # Errors
/// [`CapacityError`] when the first segment's capacity is zero, or not to be had.
pub fn queue_with<T>(options: Options) -> Result<(Producer<T>, Consumer<T>), CapacityError> {
    CapacityError::check(options.segment_capacity_first)?;
    let capacity_first = options.segment_capacity_first.min(SEGMENT_CAPACITY_MAX);
    let capacity_max = options.segment_capacity_max.clamp(capacity_first, SEGMENT_CAPACITY_MAX);
    let list = Arc::new(List::new(capacity_first, capacity_max)?);
    let consumer = Consumer { seat: Seat::new(list.clone(), List::enter_head) };
    Ok((Producer::new(list), consumer))
}

/// A handle's place in the queue: its hazard record, and the segment that it names.
struct Seat<T> {
    list: Arc<List<T>>,
    record: *const Record<T>,
    segment: Cell<*mut Segment<T>>,
}

// SAFETY: a seat is used by one thread at a time; what it points to is shared by rules of its own
// (INV-6), and values pass from thread to thread, which needs `T: Send`.
unsafe impl<T: Send> Send for Seat<T> {}

impl<T> Seat<T> {
    fn new(list: Arc<List<T>>, enter: fn(&List<T>, &Record<T>) -> *mut Segment<T>) -> Self {
        let record = list.records.join();
        // SAFETY: records live as long as the list (`hazard` INV-1).
        let segment = enter(&list, unsafe { &*record });
        Self { list, record, segment: Cell::new(segment) }
    }

    #[inline(always)]
    fn record(&self) -> &Record<T> {
        // SAFETY: records live as long as the list (`hazard` INV-1).
        unsafe { &*self.record }
    }

    /// The segment that this handle works in. The reference must not outlive the next change of
    /// `segment`.
    #[inline(always)]
    fn segment(&self) -> &Segment<T> {
        // SAFETY: named by our record since it was in the list (INV-6).
        unsafe { &*self.segment.get() }
    }
}

impl<T> Drop for Seat<T> {
    fn drop(&mut self) {
        self.record().release();
        self.list.reclaim();
    }
}

/// The pushing handle of an unbounded queue.
///
/// It reserves places ahead, remembers where it pushed last, and names the segment that it works
/// in: one handle per thread. A handle that is not used keeps one segment in memory.
pub struct Producer<T> {
    seat: Seat<T>,
    /// A cell of the order before which none is empty.
    index: Cell<usize>,
    /// The next of the places that are reserved, and the end of them.
    place: Cell<usize>,
    place_end: Cell<usize>,
    /// How many were reserved last time.
    ahead: Cell<usize>,
}

/// The popping handle of an unbounded queue; one per thread, as [`Producer`].
pub struct Consumer<T> {
    seat: Seat<T>,
}

/// Why a run was not published.
enum Refusal {
    /// The segment is full; go on to the next.
    Sealed,
    Closed,
}

impl<T> Producer<T> {
    fn new(list: Arc<List<T>>) -> Self {
        let producer = Self {
            seat: Seat::new(list, List::enter_tail),
            index: Cell::new(0),
            place: Cell::new(0),
            place_end: Cell::new(0),
            ahead: Cell::new(0),
        };
        producer.index.set(producer.seat.segment().hint());
        producer
    }

    /// Every attempt of a push but the first.
    #[cold]
    #[inline(never)]
    fn push_slowly(&self, mut value: T) -> Result<(), PushError<T>> {
        loop {
            if self.place.get() == self.place_end.get() && !self.reserve_ahead() {
                match self.extend() {
                    Ok(()) => continue,
                    Err(Refused) => return Err(PushError::Closed(value)),
                }
            }
            let place = self.place.get();
            // SAFETY: reserved by us and not published (INV-1).
            unsafe { self.seat.segment().places().write(place, value) };
            let refusal = match self.publish(place, 1) {
                Ok(()) => {
                    self.place.set(place + 1);
                    return Ok(());
                }
                Err(refusal) => refusal,
            };
            // SAFETY: written just now, and not published (INV-1).
            value = unsafe { self.seat.segment().places().read(place) };
            match refusal {
                Refusal::Sealed => self.enter_next(),
                Refusal::Closed => return Err(PushError::Closed(value)),
            }
        }
    }

    /// Reserves places for single values: more each time, so that a handle that pushes seldom
    /// wastes few. False when the segment has none left.
    fn reserve_ahead(&self) -> bool {
        let segment = self.seat.segment();
        let ahead_max = (segment.capacity() / 16).clamp(1, AHEAD_MAX);
        let ahead = (self.ahead.get() * 2).clamp(1, ahead_max);
        let (first, count) = segment.reserve(ahead);
        self.ahead.set(ahead);
        self.place.set(first);
        self.place_end.set(first + count);
        count > 0
    }

    /// Publishes the values in `length` places from `place` on behind all others.
    fn publish(&self, place: usize, length: usize) -> Result<(), Refusal> {
        self.put_last(Mark::Run { place, length })?;
        self.seat.record().count_pushed(length);
        Ok(())
    }

    /// Puts a mark behind all others of the segment.
    fn put_last(&self, mark: Mark) -> Result<(), Refusal> {
        let segment = self.seat.segment();
        let mut index = self.index.get();
        loop {
            match segment.put(index, mark) {
                Ok(()) => {
                    self.index.set(index + 1);
                    return Ok(());
                }
                Err(Mark::Sealed) => return Err(Refusal::Sealed),
                Err(Mark::Closed) => {
                    if !planted("unbounded.note-closed") {
                        self.seat.list.note_closed();
                    }
                    return Err(Refusal::Closed);
                }
                Err(_) => {
                    stand_back();
                    index = (index + 1).max(segment.hint());
                    while let Mark::Run { .. } = segment.mark(index) {
                        index += 1;
                    }
                }
            }
        }
    }

    /// Goes on to a segment behind this one, which has no place left; makes it if need be.
    fn extend(&self) -> Result<(), Refused> {
        if self.seat.list.is_closed() {
            return Err(Refused);
        }
        // Linked first, so that a sealed segment always has a next one (INV-5).
        let late = planted("unbounded.link-before-seal");
        if !late {
            self.seat.list.link_next(self.seat.segment());
        }
        let sealed = self.put_last(Mark::Sealed);
        if late {
            self.seat.list.link_next(self.seat.segment());
        }
        match sealed {
            Ok(()) | Err(Refusal::Sealed) => {
                self.enter_next();
                Ok(())
            }
            Err(Refusal::Closed) => Err(Refused),
        }
    }

    /// Leaves a sealed segment for the last one.
    fn enter_next(&self) {
        let seat = &self.seat;
        seat.segment.set(seat.list.follow(seat.record(), seat.segment.get()));
        self.begin();
    }

    /// Begins to work in a segment.
    fn begin(&self) {
        self.index.set(self.seat.segment().hint());
        self.place.set(0);
        self.place_end.set(0);
        self.ahead.set(0);
    }

    fn close_list(&self) -> bool {
        let seat = &self.seat;
        let closed = seat.list.close(seat.record());
        seat.segment.set(seat.list.enter_tail(seat.record()));
        self.begin();
        closed
    }

    /// Reserves up to `wanted` places for one run, of those reserved ahead if they suffice: the
    /// first, and how many.
    fn reserve_run(&self, wanted: usize) -> (usize, usize) {
        let place = self.place.get();
        if self.place_end.get() - place >= wanted {
            self.place.set(place + wanted);
            return (place, wanted);
        }
        self.seat.segment().reserve(wanted)
    }
}

/// The queue is closed.
struct Refused;

impl<T> Produce<T> for Producer<T> {
    #[inline]
    fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        let place = self.place.get();
        if place == self.place_end.get() {
            return self.push_slowly(value);
        }
        let segment = self.seat.segment();
        let index = self.index.get();
        // SAFETY: reserved by us and not published (INV-1).
        unsafe { segment.places().write(place, value) };
        if segment.put(index, Mark::Run { place, length: 1 }).is_ok() {
            self.index.set(index + 1);
            self.place.set(place + 1);
            self.seat.record().count_pushed(1);
            return Ok(());
        }
        // SAFETY: written just now, and not published (INV-1).
        self.push_slowly(unsafe { segment.places().read(place) })
    }

    fn push_front(&self, source: &mut FrontDrain<'_, T>) -> Result<usize, PushError<()>> {
        let mut pushed = 0;
        while source.remaining() > 0 {
            let (place, count) = self.reserve_run(source.remaining().min(RUN_MAX));
            if count == 0 {
                match self.extend() {
                    Ok(()) => continue,
                    Err(Refused) if pushed == 0 => return Err(PushError::Closed(())),
                    Err(Refused) => break,
                }
            }
            // SAFETY: reserved by us and not published (INV-1), up to the last place at most; the
            // source keeps the values until they are.
            unsafe { self.seat.segment().places().write_run(place, source.as_ptr(), count) };
            match self.publish(place, count) {
                // SAFETY: `count` values remained, and the queue owns them now.
                Ok(()) => unsafe { source.advance(count) },
                Err(Refusal::Sealed) => {
                    self.enter_next();
                    continue;
                }
                Err(Refusal::Closed) if pushed == 0 => return Err(PushError::Closed(())),
                Err(Refusal::Closed) => break,
            }
            pushed += count;
        }
        Ok(pushed)
    }

    fn looks_free(&self) -> bool {
        true
    }

    fn is_full(&self) -> bool {
        false
    }
}

impl<T> Consumer<T> {
    /// Leaves a drained and sealed segment for the first one.
    #[cold]
    #[inline(never)]
    fn enter_next(&self) {
        let seat = &self.seat;
        seat.segment.set(seat.list.advance(seat.record(), seat.segment.get()));
    }

    #[cold]
    fn closed(&self) -> PopError {
        self.seat.list.note_closed();
        PopError::Closed
    }

    fn close_list(&self) -> bool {
        let seat = &self.seat;
        let closed = seat.list.close(seat.record());
        seat.segment.set(seat.list.enter_head(seat.record()));
        closed
    }

    /// How far up to `count_max` values reach from `from` on, how many they are, and what comes
    /// then.
    fn measure(segment: &Segment<T>, from: Front, count_max: usize) -> (Front, usize, Mark) {
        let (mut to, mut count) = (from, 0);
        loop {
            let mark = segment.mark(to.index);
            let Mark::Run { length, .. } = mark else {
                return (to, count, mark);
            };
            if count == count_max {
                return (to, count, mark);
            }
            let some = (length - to.taken).min(count_max - count);
            to = to.after(some, length);
            count += some;
        }
    }

    /// Moves the `count` values from `from` on to `target`.
    ///
    /// # Safety
    /// The caller has claimed them and not moved them yet; `target` has room.
    unsafe fn move_out(segment: &Segment<T>, from: Front, count: usize, target: *mut T) {
        let (mut from, mut moved) = (from, 0);
        while moved < count {
            let Mark::Run { place, length } = segment.mark(from.index) else { return };
            let some = (length - from.taken).min(count - moved);
            // SAFETY: the caller's contract, and INV-3.
            unsafe { segment.places().read_run(place + from.taken, target.add(moved), some) };
            from = from.after(some, length);
            moved += some;
        }
    }
}

impl<T> Consume<T> for Consumer<T> {
    #[inline]
    fn try_pop(&self) -> Result<T, PopError> {
        loop {
            let segment = self.seat.segment();
            let front = segment.front();
            match segment.mark(front.index) {
                Mark::Run { place, length } => {
                    segment.fetch_ahead(front.index, place + front.taken);
                    if segment.claim(front, front.after(1, length)) {
                        self.seat.record().count_popped(1);
                        // SAFETY: published and claimed by us (INV-3).
                        return Ok(unsafe { segment.places().read(place + front.taken) });
                    }
                    stand_back();
                }
                Mark::Empty => return Err(PopError::Empty),
                Mark::Sealed => self.enter_next(),
                Mark::Closed => return Err(self.closed()),
            }
        }
    }

    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        let mut popped = 0;
        while popped < count_max {
            let segment = self.seat.segment();
            let from = segment.front();
            let (to, count, end) = Self::measure(segment, from, count_max - popped);
            if count == 0 {
                match end {
                    Mark::Sealed => self.enter_next(),
                    // Another consumer may have moved on since; then look again.
                    Mark::Run { .. } => {}
                    _ if popped > 0 => break,
                    Mark::Empty => return Err(PopError::Empty),
                    Mark::Closed => return Err(self.closed()),
                }
                continue;
            }
            if popped == 0 {
                out.reserve(count);
            } else if out.try_reserve(count).is_err() {
                break;
            }
            if !segment.claim(from, to) {
                stand_back();
                continue;
            }
            let length = out.len();
            // SAFETY: claimed by us just now; room for them was reserved before.
            unsafe {
                Self::move_out(segment, from, count, out.as_mut_ptr().add(length));
                out.set_len(length + count);
            }
            self.seat.record().count_popped(count);
            popped += count;
        }
        Ok(popped)
    }

    fn looks_filled(&self) -> bool {
        self.seat.segment().looks_filled()
    }

    fn would_wait(&self) -> bool {
        loop {
            let segment = self.seat.segment();
            match segment.mark(segment.front().index) {
                Mark::Empty => return true,
                Mark::Run { .. } | Mark::Closed => return false,
                Mark::Sealed => self.enter_next(),
            }
        }
    }
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        Self::new(self.seat.list.clone())
    }
}

impl<T> Clone for Consumer<T> {
    fn clone(&self) -> Self {
        Self { seat: Seat::new(self.seat.list.clone(), List::enter_head) }
    }
}

macro_rules! handle {
    ($($name:ident)+) => {$(
        impl<T> $name<T> {
            /// How many values the memory held has room for, filled or not: the segments in the
            /// list, the spare ones, and those that a handle still names.
            pub fn slots(&self) -> usize {
                self.seat.list.places()
            }

            /// The memory held, in bytes, as [`slots`](Self::slots); without the handles' records
            /// and the allocator's own.
            pub fn memory_bytes(&self) -> usize {
                self.seat.list.bytes()
            }
        }

        impl<T> Handle for $name<T> {
            fn close(&self) -> bool {
                self.close_list()
            }

            fn is_closed(&self) -> bool {
                self.seat.list.is_closed()
            }

            /// Costs time in the number of handles.
            fn len(&self) -> usize {
                self.seat.list.records.balance()
            }

            fn capacity(&self) -> Option<usize> {
                None
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("len", &self.len())
                    .field("slots", &self.slots())
                    .field("closed", &self.is_closed())
                    .finish()
            }
        }
    )+};
}

handle! { Producer Consumer }

/// After another thread came first: leaves the line to it for a while, so that it gets several
/// operations done before the line moves. Bounded, so that it costs time and no guarantee.
#[inline]
fn stand_back() {
    if cfg!(loom) {
        return; // a model has no time
    }
    for _ in 0..STAND_BACK_SPINS {
        spin_loop();
    }
}

/// About a third of a microsecond.
const STAND_BACK_SPINS: usize = 32;
