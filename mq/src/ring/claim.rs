//! Claims and publications: the steps of the ring that other threads see.
//!
//! What always holds: see the invariants of `ring`.

use crossbeam_utils::Backoff;

use super::{
    Ring,
    position::{Kind, Position, RUN_MAX, Stamp, Word},
};
use crate::{
    queue::{PopError, PushError},
    sync::{Ordering, order, planted, seq_cst_access_fence},
};

impl<T> Ring<T> {
    pub(super) fn head_now(&self) -> Word {
        Word(self.head.load(Ordering::Relaxed))
    }

    pub(super) fn tail_now(&self) -> Word {
        Word(self.tail.load(Ordering::Relaxed))
    }

    /// Claims up to `wanted` positions for pushing: the tail before it, and how many.
    ///
    /// `guess` is any tail there ever was, and becomes one that was met.
    #[inline(always)]
    pub(super) fn claim_push(
        &self,
        guess: &mut Word,
        wanted: u64,
    ) -> Result<(Word, u64), PushError<()>> {
        let wanted = if wanted == 1 { 1 } else { wanted.min(self.slots.circle.capacity()) };
        let backoff = Backoff::new();
        let mut is_guess = true;
        loop {
            let tail = *guess;
            if tail.is_closed() {
                return Err(PushError::Closed(()));
            }
            let Some((next, count)) = self.slots.reach(tail, wanted, Kind::Free) else {
                *guess = self.no_room(tail)?;
                continue;
            };
            let success = order("ring.claim-tail", Ordering::SeqCst);
            match self.tail.compare_exchange(tail.0, next.0, success, Ordering::Relaxed) {
                Ok(_) => {
                    fence_unless(["ring.claim-tail-fence", "ring.claim-tail", "ring.see-free"]);
                    *guess = next;
                    return Ok((tail, count));
                }
                Err(now) => *guess = Word(now),
            }
            if !is_guess {
                backoff.spin();
            }
            is_guess = false;
        }
    }

    /// Why nothing could be pushed at `tail`, or another tail to try.
    #[inline(never)]
    fn no_room(&self, tail: Word) -> Result<Word, PushError<()>> {
        if planted("ring.full-from-the-stamp-alone") {
            return Err(PushError::Full(()));
        }
        // The tail first: it is then known not to have been closed when the ring was full.
        let now = Word(self.tail.load(Ordering::SeqCst));
        if now != tail {
            return Ok(now);
        }
        let head = Word(self.head.load(Ordering::SeqCst));
        if self.slots.circle.next_lap(head.position()) == tail.position() {
            return Err(PushError::Full(()));
        }
        let now = self.tail_now();
        if now == tail && !self.slots.looks(tail, Kind::Free) {
            return Err(PushError::Busy(()));
        }
        Ok(now)
    }

    /// Claims up to `wanted` positions for popping: the head before it, and how many.
    /// `before_claim` learns how many it will be at most; it may panic.
    ///
    /// `guess` is any head there ever was, and becomes one that was met.
    #[inline(always)]
    pub(super) fn claim_pop(
        &self,
        guess: &mut Word,
        wanted: u64,
        mut before_claim: impl FnMut(usize),
    ) -> Result<(Word, u64), PopError> {
        let wanted = if wanted == 1 { 1 } else { wanted.min(self.slots.circle.capacity()) };
        let backoff = Backoff::new();
        let mut is_guess = true;
        loop {
            let head = *guess;
            let Some((next, count)) = self.slots.reach(head, wanted, Kind::Filled) else {
                *guess = self.no_value(head)?;
                continue;
            };
            before_claim(count as usize);
            let success = order("ring.claim-head", Ordering::SeqCst);
            match self.head.compare_exchange(head.0, next.0, success, Ordering::Relaxed) {
                Ok(_) => {
                    fence_unless(["ring.claim-head-fence", "ring.claim-head", "ring.see-filled"]);
                    *guess = next;
                    return Ok((head, count));
                }
                Err(now) => *guess = Word(now),
            }
            if !is_guess {
                backoff.spin();
            }
            is_guess = false;
        }
    }

    /// Why nothing could be popped at `head`, or another head to try.
    #[inline(never)]
    fn no_value(&self, head: Word) -> Result<Word, PopError> {
        if planted("ring.empty-from-the-stamp-alone") {
            return Err(PopError::Empty);
        }
        let tail = Word(self.tail.load(Ordering::SeqCst));
        // True whether `head` is the present one or not: the head is between it and the tail.
        if tail.position() == head.position() {
            return Err(if tail.is_closed() { PopError::Closed } else { PopError::Empty });
        }
        let now = self.head_now();
        if now == head && !self.slots.looks(head, Kind::Filled) {
            return Err(PopError::Busy);
        }
        Ok(now)
    }

    /// Publishes one value.
    ///
    /// # Safety
    /// The caller claimed `position` for pushing and did not fill it yet.
    #[inline(always)]
    pub(super) unsafe fn fill_one(&self, position: Position, value: T) {
        // SAFETY: the caller's contract.
        unsafe { self.slots.write_one(position, value) };
        self.publish_filled(position, 1);
    }

    /// Publishes `count` values, a run at a time, so that consumers can begin with the first.
    ///
    /// # Safety
    /// The caller claimed so many positions from `first` on for pushing, did not fill them yet,
    /// and gives away as many values at `source`.
    #[inline(always)]
    pub(super) unsafe fn fill_run(&self, first: Position, source: *const T, count: u64) {
        let mut position = first;
        let mut done = 0;
        while done < count {
            let length = (count - done).min(RUN_MAX);
            // SAFETY: the caller's contract.
            unsafe { self.slots.write_run(position, source.add(done as usize), length) };
            self.publish_filled(position, length);
            position = self.slots.circle.advance(position, length);
            done += length;
        }
    }

    /// Empties one position and publishes it as free.
    ///
    /// # Safety
    /// The caller claimed it for popping, from `head` on, and did not empty it yet.
    #[inline(always)]
    pub(super) unsafe fn empty_one(&self, head: Word) -> T {
        if planted("ring.free-before-read") {
            self.publish_free(head.position(), 1);
            // The models move other threads' steps only to where an atomic is accessed.
            self.head_now();
        }
        // SAFETY: the caller's contract.
        let value = unsafe { self.slots.read_one(head) };
        if !planted("ring.free-before-read") {
            self.publish_free(head.position(), 1);
        }
        value
    }

    /// Empties `count` positions and publishes them as free.
    ///
    /// # Safety
    /// The caller claimed them for popping, from `head` on, and did not empty them yet; `target`
    /// has room.
    #[inline(always)]
    pub(super) unsafe fn empty_run(&self, head: Word, target: *mut T, count: u64) {
        // SAFETY: the caller's contract.
        unsafe { self.slots.read_run(head, target, count) };
        let mut position = head.position();
        let mut done = 0;
        while done < count {
            let length = (count - done).min(RUN_MAX);
            self.publish_free(position, length);
            position = self.slots.circle.advance(position, length);
            done += length;
        }
    }

    #[inline(always)]
    fn publish_filled(&self, first: Position, length: u64) {
        let stamp = Stamp::new(first, Kind::Filled, length);
        let release = order("ring.publish-filled", Ordering::Release);
        self.slots.stamp(first).store(stamp.0, release);
    }

    #[inline(always)]
    fn publish_free(&self, first: Position, length: u64) {
        let stamp = Stamp::new(self.slots.circle.next_lap(first), Kind::Free, length);
        let release = order("ring.publish-free", Ordering::Release);
        self.slots.stamp(first).store(stamp.0, release);
    }
}

/// The fence behind a claim; not when one of these is weakened. As it ships it is nothing, and
/// only in a model it would do the work of an acquire that is missing before it.
#[inline(always)]
fn fence_unless(names: [&'static str; 3]) {
    if !names.into_iter().any(planted) {
        seq_cst_access_fence();
    }
}
