//! The primitives under `--cfg loom`, and what the test of the mutants weakens.

use std::{cell::Cell, time::Instant};

pub(crate) use ::loom::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
};

std::thread_local! {
    // Loom runs all threads of a model on the thread that called it, so that this reaches them
    // all and no other test.
    static WEAKENED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Weakens the ordering, or plants the defect, of this name in models of the calling thread.
pub(crate) fn weaken(name: Option<&'static str>) {
    WEAKENED.set(name);
}

pub(crate) fn seq_cst_access_fence() {
    fence(Ordering::SeqCst);
}

/// `ordering`, or `Relaxed` while this name is weakened.
pub(crate) fn order(name: &'static str, ordering: Ordering) -> Ordering {
    if planted(name) { Ordering::Relaxed } else { ordering }
}

/// Whether the defect of this name is planted.
pub(crate) fn planted(name: &'static str) -> bool {
    WEAKENED.get() == Some(name)
}

#[derive(Debug, Default)]
pub(crate) struct Monitor<S> {
    state: ::loom::sync::Mutex<S>,
    changed: ::loom::sync::Condvar,
}

pub(crate) type MonitorGuard<'a, S> = ::loom::sync::MutexGuard<'a, S>;

impl<S> Monitor<S> {
    pub(crate) fn new(state: S) -> Self {
        Self { state: ::loom::sync::Mutex::new(state), changed: ::loom::sync::Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MonitorGuard<'_, S> {
        self.state.lock().expect("no code panics under this lock")
    }

    /// Loom has no time: a deadline is ignored, the model must notify.
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
