//! The primitives under `--cfg shuttle`: larger schedules than loom can explore, chosen at random,
//! in which every access is sequentially consistent and time stands still.

use std::{cell::Cell, time::Instant};

pub(crate) use ::shuttle::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
};

pub(crate) use super::plain::{UnsafeCell, seq_cst_access_fence};

std::thread_local! {
    // Shuttle runs all threads of a schedule on the thread that called it, so that this reaches
    // them all and no other test.
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Plants the defect of this name in schedules of the calling thread.
pub(crate) fn weaken(name: Option<&'static str>) {
    PLANTED.set(name);
}

/// `ordering`; weakening it changes nothing where all accesses are sequentially consistent.
pub(crate) fn order(_name: &'static str, ordering: Ordering) -> Ordering {
    ordering
}

/// Whether the defect of this name is planted.
pub(crate) fn planted(name: &'static str) -> bool {
    PLANTED.get() == Some(name)
}

/// A mutex with one condition variable.
#[derive(Debug, Default)]
pub(crate) struct Monitor<S> {
    state: ::shuttle::sync::Mutex<S>,
    changed: ::shuttle::sync::Condvar,
}

pub(crate) type MonitorGuard<'a, S> = ::shuttle::sync::MutexGuard<'a, S>;

impl<S> Monitor<S> {
    pub(crate) fn new(state: S) -> Self {
        Self { state: ::shuttle::sync::Mutex::new(state), changed: ::shuttle::sync::Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MonitorGuard<'_, S> {
        self.state.lock().expect("no code panics under this lock")
    }

    /// Shuttle has no time: a deadline is ignored, the schedule must notify.
    pub(crate) fn wait<'a>(
        &'a self,
        guard: MonitorGuard<'a, S>,
        _deadline: Option<Instant>,
    ) -> (MonitorGuard<'a, S>, bool) {
        (self.changed.wait(guard).expect("no code panics under this lock"), false)
    }

    pub(crate) fn notify_one(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }
}
