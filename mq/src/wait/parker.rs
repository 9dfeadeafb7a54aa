//! Puts the calling thread to sleep and wakes it.
//!
//! What always holds: an unpark that follows the making of the parker ends the next park. A park
//! may also end without reason.
//! Left to others: why to sleep.

use std::time::Instant;

/// The thread that made it, as those see it who wake it.
#[derive(Debug, Clone)]
pub(crate) struct Parker(imp::Inner);

impl Parker {
    pub(crate) fn of_this_thread() -> Self {
        Self(imp::Inner::of_this_thread())
    }

    /// Sleeps until unparked, until the deadline, or without reason. On the thread that made it.
    pub(crate) fn park(&self, deadline: Option<Instant>) {
        self.0.park(deadline);
    }

    pub(crate) fn unpark(&self) {
        self.0.unpark();
    }
}

#[cfg(not(any(loom, shuttle)))]
mod imp {
    use std::{thread, time::Instant};

    /// One futex wait and one wake by the standard library.
    #[derive(Debug, Clone)]
    pub(super) struct Inner(thread::Thread);

    impl Inner {
        pub(super) fn of_this_thread() -> Self {
            Self(thread::current())
        }

        pub(super) fn park(&self, deadline: Option<Instant>) {
            match deadline {
                None => thread::park(),
                Some(at) => thread::park_timeout(at.saturating_duration_since(Instant::now())),
            }
        }

        pub(super) fn unpark(&self) {
            self.0.unpark();
        }
    }
}

/// A checker's `unpark` also ends a wait for a lock, so that it gets a monitor for itself. It has
/// no time: a deadline passes at once, and others may come in before.
#[cfg(any(loom, shuttle))]
mod imp {
    use std::time::Instant;

    use crate::sync::{Arc, Monitor};

    #[derive(Debug, Clone)]
    pub(super) struct Inner(Arc<Monitor<bool>>);

    impl Inner {
        pub(super) fn of_this_thread() -> Self {
            Self(Arc::new(Monitor::new(false)))
        }

        pub(super) fn park(&self, deadline: Option<Instant>) {
            let mut unparked = self.0.lock();
            while !*unparked && deadline.is_none() {
                (unparked, _) = self.0.wait(unparked, None);
            }
            *unparked = false;
        }

        pub(super) fn unpark(&self) {
            *self.0.lock() = true;
            self.0.notify_one();
        }
    }
}
