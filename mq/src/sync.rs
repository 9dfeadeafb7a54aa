//! The primitives under everything that is concurrent here: the standard ones and `parking_lot`
//! in a normal build, the model checker's under `--cfg loom`.
//!
//! What always holds: concurrent code of this crate takes atomics, cells, locks and yields from
//! here and nowhere else, so that loom sees every step of the code that ships.
//! Left to others: what the primitives are used for.

#[cfg(not(loom))]
mod imp {
    use std::{cell, time::Instant};

    pub(crate) use std::{
        hint::spin_loop,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
        },
        thread::yield_now,
    };

    /// Follows a SeqCst access that takes part in a store-then-load handshake. The access alone
    /// suffices on hardware and in the language's model, so that this costs nothing; loom
    /// treats SeqCst accesses as acquire-release and needs the fence spelled out. It stands right
    /// behind the access, so that later stores (a publication) are as unordered as they ship.
    #[inline(always)]
    pub(crate) fn seq_cst_access_fence() {}

    /// A cell with loom's closure interface.
    #[derive(Debug)]
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
}

#[cfg(loom)]
mod imp {
    use std::time::Instant;

    pub(crate) use loom::{
        cell::UnsafeCell,
        hint::spin_loop,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
        },
        thread::yield_now,
    };

    pub(crate) fn seq_cst_access_fence() {
        fence(Ordering::SeqCst);
    }

    #[derive(Debug, Default)]
    pub(crate) struct Monitor<S> {
        state: loom::sync::Mutex<S>,
        changed: loom::sync::Condvar,
    }

    pub(crate) type MonitorGuard<'a, S> = loom::sync::MutexGuard<'a, S>;

    impl<S> Monitor<S> {
        pub(crate) fn new(state: S) -> Self {
            Self { state: loom::sync::Mutex::new(state), changed: loom::sync::Condvar::new() }
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
}

pub(crate) use imp::*;
