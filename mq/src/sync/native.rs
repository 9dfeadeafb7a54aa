//! The primitives of a normal build.

use std::{cell, time::Instant};

pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
};

/// Follows a SeqCst access that takes part in a store-then-load handshake. The access alone
/// suffices on hardware and in the language's model, so that this costs nothing; loom
/// treats SeqCst accesses as acquire-release and needs the fence spelled out. It stands right
/// behind the access, so that later stores (a publication) are as unordered as they ship.
#[inline(always)]
pub(crate) fn seq_cst_access_fence() {}

/// `ordering`, under the name by which a test can weaken it.
#[inline(always)]
pub(crate) const fn order(_name: &'static str, ordering: Ordering) -> Ordering {
    ordering
}

/// Whether the defect of this name is planted: never, here.
#[inline(always)]
pub(crate) const fn planted(_name: &'static str) -> bool {
    false
}

/// A cell with loom's closure interface.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
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

    pub(crate) fn notify_one(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }
}
