//! The primitives of a normal build.

use std::time::Instant;

pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
};

pub(crate) use super::plain::{UnsafeCell, planted, seq_cst_access_fence};

/// `ordering`, under the name by which a test can weaken it.
#[inline(always)]
pub(crate) const fn order(_name: &'static str, ordering: Ordering) -> Ordering {
    ordering
}

/// A mutex with one condition variable.
#[derive(Debug, Default)]
pub(crate) struct Monitor<S> {
    state: parking_lot::Mutex<S>,
    changed: parking_lot::Condvar,
}

pub(crate) type MonitorGuard<'a, S> = parking_lot::MutexGuard<'a, S>;

impl<S> Monitor<S> {
    pub(crate) fn new(state: S) -> Self {
        Self { state: parking_lot::Mutex::new(state), changed: parking_lot::Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MonitorGuard<'_, S> {
        self.state.lock()
    }

    /// Sleeps until notified or until the deadline; true when the deadline ended it.
    pub(crate) fn wait<'a>(
        &'a self,
        mut guard: MonitorGuard<'a, S>,
        deadline: Option<Instant>,
    ) -> (MonitorGuard<'a, S>, bool) {
        let timed_out = match deadline {
            Some(at) => self.changed.wait_until(&mut guard, at).timed_out(),
            None => {
                self.changed.wait(&mut guard);
                false
            }
        };
        (guard, timed_out)
    }

    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }
}
