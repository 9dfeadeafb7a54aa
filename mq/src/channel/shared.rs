//! The state that all handles of one channel share, and the single look at it that every
//! operation repeats.
//!
//! What always holds: every change of the ring is followed by waking those who may wait for it.
//! Left to others: when to look again (`wait`), counting handles (`channel`).

use std::time::Duration;

use super::{Closed, TryRecvError, TrySendError};
use crate::{
    Doorbell,
    queue::{CapacityError, FrontDrain, PopError, PushError},
    ring::Ring,
    sync::{AtomicUsize, spin_loop},
    wait::{Awaited, Look, WaitList, spin_limit},
};

/// How often a `try_` form looks again when a peer stands between claim and publication: enough
/// for one that runs, nothing for one that was stopped.
const BUSY_LOOKS_MAX: u32 = 32;

pub(super) struct Shared<T> {
    pub(super) ring: Ring<T>,
    /// Senders that wait for room.
    pub(super) space: WaitList,
    /// Receivers that wait for values.
    pub(super) values: WaitList,
    pub(super) spin: Duration,
    pub(super) sender_count: AtomicUsize,
    pub(super) receiver_count: AtomicUsize,
    doorbell: Option<Doorbell>,
}

/// How a blocking send ended.
pub(super) enum Sent {
    All,
    Closed,
}

/// How a blocking receive ended.
pub(super) enum Received<R> {
    Some(R),
    Closed,
}

impl<T> Shared<T> {
    pub(super) fn new(
        capacity: usize,
        spin: Duration,
        doorbell: Option<Doorbell>,
    ) -> Result<Self, CapacityError> {
        Ok(Self {
            ring: Ring::new(capacity)?,
            space: WaitList::new(),
            values: WaitList::new(),
            spin: spin_limit(spin),
            sender_count: AtomicUsize::new(1),
            receiver_count: AtomicUsize::new(1),
            doorbell,
        })
    }

    pub(super) fn close(&self) -> bool {
        let closed_now = self.ring.close();
        if closed_now {
            self.space.wake_all();
            self.values.wake_all();
            if let Some(doorbell) = &self.doorbell {
                doorbell.ring();
            }
        }
        closed_now
    }

    #[inline]
    fn after_send(&self, count: usize) {
        self.values.wake(count);
        if let Some(doorbell) = &self.doorbell {
            doorbell.ring();
        }
    }

    #[inline]
    pub(super) fn try_send(&self, mut value: T) -> Result<(), TrySendError<T>> {
        for _ in 0..BUSY_LOOKS_MAX {
            match self.ring.try_push(value) {
                Ok(()) => {
                    self.after_send(1);
                    return Ok(());
                }
                Err(PushError::Full(unsent)) => return Err(TrySendError::Full(unsent)),
                Err(PushError::Closed(unsent)) => return Err(TrySendError::Closed(unsent)),
                Err(PushError::Busy(unsent)) => value = unsent,
            }
            spin_loop();
        }
        Err(TrySendError::Full(value))
    }

    pub(super) fn try_send_front(&self, unsent: &mut FrontDrain<'_, T>) -> Result<usize, Closed> {
        for _ in 0..BUSY_LOOKS_MAX {
            match self.ring.push_front_of(unsent) {
                Ok(count) => {
                    if count > 0 {
                        self.after_send(count);
                    }
                    return Ok(count);
                }
                Err(PushError::Full(())) => return Ok(0),
                Err(PushError::Closed(())) => return Err(Closed),
                Err(PushError::Busy(())) => spin_loop(),
            }
        }
        Ok(0)
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        for _ in 0..BUSY_LOOKS_MAX {
            match self.ring.try_pop() {
                Ok(value) => {
                    self.space.wake(1);
                    return Ok(value);
                }
                Err(PopError::Empty) => return Err(TryRecvError::Empty),
                Err(PopError::Closed) => return Err(TryRecvError::Closed),
                Err(PopError::Busy) => spin_loop(),
            }
        }
        Err(TryRecvError::Empty)
    }

    pub(super) fn try_recv_batch(
        &self,
        out: &mut Vec<T>,
        count_max: usize,
    ) -> Result<usize, TryRecvError> {
        for _ in 0..BUSY_LOOKS_MAX {
            match self.ring.pop_batch(out, count_max) {
                Ok(count) => {
                    self.space.wake(count);
                    return Ok(count);
                }
                Err(PopError::Empty) => return Err(TryRecvError::Empty),
                Err(PopError::Closed) => return Err(TryRecvError::Closed),
                Err(PopError::Busy) => spin_loop(),
            }
        }
        Err(TryRecvError::Empty)
    }

    /// One look of a blocking send; leaves in `unsent` what was not sent.
    pub(super) fn look_send(&self, unsent: &mut Option<T>) -> Look<Sent> {
        let Some(value) = unsent.take() else {
            return Look::Done(Sent::All);
        };
        let (value, look) = match self.ring.try_push(value) {
            Ok(()) => {
                self.after_send(1);
                return Look::Done(Sent::All);
            }
            Err(PushError::Full(value)) => (value, Look::Nothing),
            Err(PushError::Busy(value)) => (value, Look::Busy),
            Err(PushError::Closed(value)) => (value, Look::Done(Sent::Closed)),
        };
        *unsent = Some(value);
        look
    }

    /// One look of a blocking batch send: sends as long as there is room.
    pub(super) fn look_send_front(&self, unsent: &mut FrontDrain<'_, T>) -> Look<Sent> {
        let before = unsent.remaining();
        while unsent.remaining() > 0 {
            match self.ring.push_front_of(unsent) {
                Ok(count) => self.after_send(count),
                Err(PushError::Full(())) => return Look::Nothing,
                Err(PushError::Busy(())) if unsent.remaining() < before => return Look::Progress,
                Err(PushError::Busy(())) => return Look::Busy,
                Err(PushError::Closed(())) => return Look::Done(Sent::Closed),
            }
        }
        Look::Done(Sent::All)
    }

    /// One look of a blocking receive.
    #[inline]
    pub(super) fn look_recv(&self) -> Look<Received<T>> {
        match self.ring.try_pop() {
            Ok(value) => {
                self.space.wake(1);
                Look::Done(Received::Some(value))
            }
            Err(PopError::Empty) => Look::Nothing,
            Err(PopError::Busy) => Look::Busy,
            Err(PopError::Closed) => Look::Done(Received::Closed),
        }
    }

    /// One look of a blocking batch receive.
    pub(super) fn look_recv_batch(
        &self,
        out: &mut Vec<T>,
        count_max: usize,
    ) -> Look<Received<usize>> {
        match self.ring.pop_batch(out, count_max) {
            Ok(count) => {
                self.space.wake(count);
                Look::Done(Received::Some(count))
            }
            Err(PopError::Empty) => Look::Nothing,
            Err(PopError::Busy) => Look::Busy,
            Err(PopError::Closed) => Look::Done(Received::Closed),
        }
    }

    /// The channel as waiting senders see it.
    pub(super) fn as_space(&self) -> impl Awaited + '_ {
        Space(&self.ring)
    }

    /// The channel as waiting receivers see it.
    pub(super) fn as_values(&self) -> impl Awaited + '_ {
        Values(&self.ring)
    }
}

struct Space<'a, T>(&'a Ring<T>);

impl<T> Awaited for Space<'_, T> {
    fn ready(&self) -> bool {
        self.0.looks_free()
    }

    fn nothing_yet(&self) -> bool {
        self.0.would_push_nothing()
    }
}

struct Values<'a, T>(&'a Ring<T>);

impl<T> Awaited for Values<'_, T> {
    fn ready(&self) -> bool {
        self.0.looks_filled()
    }

    fn nothing_yet(&self) -> bool {
        self.0.would_pop_nothing()
    }
}
