//! The popping handle: which lane to visit, when to move on, and when there is nothing.
//!
//! What always holds: a pop visits each lane a bounded number of times and waits for none.
//! Left to others: what happens inside a lane (`spsc`), and its lock (`lane`).

use std::{cell::RefCell, fmt};

use super::{Hub, LANE_VISIT_MAX, READ_AHEAD_MAX, ROUNDS_MAX, lane::Lane};
use crate::{
    asymmetric::Asymmetric,
    queue::{Consume, Handle, PopError},
    spsc,
    sync::{
        Arc,
        Ordering::{Relaxed, SeqCst},
        planted, seq_cst_access_fence,
    },
};

/// A popping handle of a sharded queue.
pub struct Consumer<T> {
    local: RefCell<Local<T>>,
    fences: Asymmetric,
    hub: Arc<Hub<T>>,
}

/// What a consumer remembers.
struct Local<T> {
    /// The list of lanes, as it was after `changes` changes.
    lanes: Vec<Arc<Lane<T>>>,
    changes: usize,
    /// The lane that is being visited, and for how many more values.
    current: usize,
    visit_left: usize,
    /// Values read ahead, the oldest one last.
    ahead: Vec<T>,
    ahead_max: usize,
}

/// What one look at all lanes found.
enum Found<R> {
    Values(R),
    /// Nothing in any lane that nobody else is in.
    Nothing {
        busy: bool,
    },
}

impl<T> Consumer<T> {
    pub(super) fn new(hub: Arc<Hub<T>>, fences: Asymmetric, home: usize, ahead_max: usize) -> Self {
        let mut lanes = Vec::new();
        let changes = hub.lanes.copy(&mut lanes);
        let local = Local {
            lanes,
            changes,
            current: home,
            visit_left: 0,
            ahead: Vec::with_capacity(ahead_max),
            ahead_max,
        };
        Self { local: RefCell::new(local), fences, hub }
    }

    /// The same handle, which takes up to `count` values (at most [`READ_AHEAD_MAX`]) from a lane
    /// at once and keeps them for its next single pops. See the module for what that means for
    /// others. 0 switches it off for later pops.
    #[must_use]
    pub fn with_read_ahead(self, count: usize) -> Self {
        {
            let local = &mut *self.local.borrow_mut();
            local.ahead_max = count.min(READ_AHEAD_MAX);
            // No allocation under a lane's lock.
            local.ahead.reserve(local.ahead_max.saturating_sub(local.ahead.len()));
        }
        self
    }

    /// How many lanes this handle remembers.
    #[cfg(test)]
    pub(super) fn local_lanes(&self) -> usize {
        self.local.borrow().lanes.len()
    }

    /// Pops with `take` from the lane that is being visited, or else from the next one where it
    /// succeeds; `take` also says how many values it took.
    #[inline]
    fn visit<R>(
        &self,
        local: &mut Local<T>,
        mut take: impl FnMut(&spsc::Consumer<T>) -> Result<(R, usize), PopError>,
    ) -> Result<R, PopError> {
        if local.visit_left > 0
            && let Some(lane) = local.lanes.get(local.current)
            && let Some(locked) = lane.try_lock()
            && let Ok((taken, count)) = locked.with(&mut take)
        {
            local.visit_left = local.visit_left.saturating_sub(count);
            return Ok(taken);
        }
        self.move_on(local, take)
    }

    #[inline(never)]
    fn move_on<R>(
        &self,
        local: &mut Local<T>,
        mut take: impl FnMut(&spsc::Consumer<T>) -> Result<(R, usize), PopError>,
    ) -> Result<R, PopError> {
        for _ in 0..ROUNDS_MAX {
            if self.hub.lanes.changes() != local.changes {
                local.changes = self.hub.lanes.copy(&mut local.lanes);
            }
            match self.look_at_all(local, &mut take) {
                Found::Values(taken) => return Ok(taken),
                Found::Nothing { busy: true } => continue,
                Found::Nothing { busy: false } => {}
            }
            if let Some(answer) = self.nothing(local) {
                return Err(answer);
            }
        }
        Err(PopError::Busy)
    }

    /// Tries all lanes once, the one behind the current one first.
    fn look_at_all<R>(
        &self,
        local: &mut Local<T>,
        mut take: impl FnMut(&spsc::Consumer<T>) -> Result<(R, usize), PopError>,
    ) -> Found<R> {
        let mut busy = false;
        let count = local.lanes.len();
        for step in 1..=count {
            let index = (local.current + step) % count;
            let lane = &local.lanes[index];
            if !lane.onlooker.needs_a_pop() {
                continue;
            }
            let Some(locked) = lane.try_lock() else {
                busy = true;
                continue;
            };
            let mut answer = locked.with(&mut take);
            if matches!(answer, Err(PopError::Empty)) && self.hub.is_closed() {
                // Agrees on the lane's end; behind it nothing is accepted (INV-4).
                locked.with(Handle::close);
                answer = locked.with(&mut take);
            }
            drop(locked);
            match answer {
                Ok((taken, count)) => {
                    local.current = index;
                    local.visit_left = LANE_VISIT_MAX.saturating_sub(count);
                    return Found::Values(taken);
                }
                Err(PopError::Closed) => self.hub.lanes.retire(lane),
                Err(PopError::Empty | PopError::Busy) => {}
            }
        }
        Found::Nothing { busy }
    }

    /// Whether there is nothing in the queue (INV-3), and then whether there ever will be.
    fn nothing(&self, local: &Local<T>) -> Option<PopError> {
        // Read first: what is added or accepted later makes a difference below.
        let closed = self.hub.is_closed();
        let empty_at = |lane: &Arc<Lane<T>>| {
            let tail = lane.onlooker.tail();
            (lane.onlooker.head() == tail).then_some(tail)
        };
        let mut sum = 0_usize;
        for lane in &local.lanes {
            sum = sum.wrapping_add(empty_at(lane)?);
        }
        let again =
            local.lanes.iter().fold(0_usize, |sum, lane| sum.wrapping_add(lane.onlooker.tail()));
        let unchanged = (sum == again || planted("sharded.look-twice"))
            && self.hub.lanes.changes() == local.changes
            && self.hub.given_back.load(SeqCst) == 0;
        match unchanged {
            true if closed && local.lanes.is_empty() => Some(PopError::Closed),
            // A lane of a closed queue ends when it is visited.
            true if closed => None,
            true => Some(PopError::Empty),
            false => None,
        }
    }
}

impl<T> Clone for Consumer<T> {
    /// Reads as far ahead as this one.
    fn clone(&self) -> Self {
        let home = self.hub.lanes.enter();
        let ahead_max = self.local.borrow().ahead_max;
        Self::new(self.hub.clone(), self.fences, home, ahead_max)
    }
}

impl<T> Drop for Consumer<T> {
    /// Gives back what was read ahead.
    fn drop(&mut self) {
        self.give_back();
        self.hub.lanes.leave();
    }
}

impl<T> Consume<T> for Consumer<T> {
    #[inline]
    fn try_pop(&self) -> Result<T, PopError> {
        let local = &mut *self.local.borrow_mut();
        if let Some(value) = local.ahead.pop() {
            return Ok(value);
        }
        if self.hub.given_back.load(Relaxed) != 0 {
            let mut one = Vec::new();
            self.hub.take_returned(&mut one, 1);
            if let Some(value) = one.pop() {
                return Ok(value);
            }
        }
        if local.ahead_max == 0 {
            return self.visit(local, |lane| Ok((lane.try_pop()?, 1)));
        }
        let (mut ahead, count_max) = (std::mem::take(&mut local.ahead), local.ahead_max);
        let answer = self.visit(local, |lane| {
            let count = lane.pop_batch(&mut ahead, count_max)?;
            Ok(((), count))
        });
        ahead.reverse();
        local.ahead = ahead;
        answer?;
        local.ahead.pop().ok_or(PopError::Empty)
    }

    fn pop_batch(&self, out: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        if count_max == 0 {
            return Ok(0);
        }
        let local = &mut *self.local.borrow_mut();
        // No allocation under a lane's lock.
        out.reserve(count_max.min(self.hub.lanes.lane_capacity()));
        let read = local.ahead.len().min(count_max);
        if read > 0 {
            let rest = local.ahead.len() - read;
            out.extend(local.ahead.drain(rest..).rev());
            return Ok(read);
        }
        if self.hub.given_back.load(Relaxed) != 0 {
            let count = self.hub.take_returned(out, count_max);
            if count > 0 {
                return Ok(count);
            }
        }
        self.visit(local, |lane| {
            let count = lane.pop_batch(out, count_max)?;
            Ok((count, count))
        })
    }

    fn looks_filled(&self) -> bool {
        let local = self.local.borrow();
        !local.ahead.is_empty()
            || local.lanes.iter().any(|lane| lane.onlooker.needs_a_pop())
            || self.hub.lanes.changes() != local.changes
            || self.hub.given_back.load(Relaxed) != 0
            || self.hub.closing.load(Relaxed)
    }

    fn would_wait(&self) -> bool {
        let local = self.local.borrow();
        if !planted("sharded.settle-waiter") {
            self.fences.heavy();
        }
        local.ahead.is_empty() && self.nothing(&local) == Some(PopError::Empty)
    }

    fn give_back(&self) -> usize {
        let ahead = &mut self.local.borrow_mut().ahead;
        let count = ahead.len();
        if count > 0 {
            let mut returned = self.hub.returned.lock();
            returned.extend(ahead.drain(..).rev());
            self.hub.given_back.store(returned.len(), SeqCst);
            seq_cst_access_fence();
        }
        count
    }
}

impl<T> Handle for Consumer<T> {
    fn close(&self) -> bool {
        self.hub.close()
    }

    fn is_closed(&self) -> bool {
        self.hub.is_closed()
    }

    /// Includes what this consumer has read ahead.
    fn len(&self) -> usize {
        self.hub.len() + self.local.borrow().ahead.len()
    }

    /// That of all lanes there are.
    fn capacity(&self) -> Option<usize> {
        Some(self.hub.capacity())
    }

    fn settle(&self) {
        if !planted("spsc.settle-pop") {
            self.fences.light();
        }
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("len", &self.len()).finish_non_exhaustive()
    }
}
