//! The lock that takes steps, and that knows whether its holder is stopped.

use std::{
    ops::{Deref, DerefMut},
    panic::Location,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{Arc, Obstacle, Phase, Role, Site, Stop, role, step, yield_now};

/// A mutex with one condition variable.
#[derive(Debug, Default)]
pub(crate) struct Monitor<S> {
    state: parking_lot::Mutex<S>,
    changed: parking_lot::Condvar,
    /// Who holds the lock, if it is a thread that a test may stop.
    holder: Mutex<Option<Arc<Stop>>>,
}

#[derive(Debug)]
pub(crate) struct MonitorGuard<'a, S> {
    inner: parking_lot::MutexGuard<'a, S>,
    monitor: &'a Monitor<S>,
}

impl<S> Monitor<S> {
    pub(crate) fn new(state: S) -> Self {
        Self {
            state: parking_lot::Mutex::new(state),
            changed: parking_lot::Condvar::new(),
            holder: Mutex::new(None),
        }
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MonitorGuard<'_, S> {
        step("lock");
        let inner = loop {
            match self.state.try_lock() {
                Some(inner) => break inner,
                None => self.look_at_the_holder(site("lock")),
            }
            yield_now();
        };
        self.note_holder(match role() {
            Role::Stops(stop) => Some(stop),
            Role::Bystander | Role::Watched(_) => None,
        });
        MonitorGuard { inner, monitor: self }
    }

    /// Sleeps until notified or until the deadline; true when the deadline ended it.
    #[track_caller]
    pub(crate) fn wait<'a>(
        &'a self,
        mut guard: MonitorGuard<'a, S>,
        deadline: Option<Instant>,
    ) -> (MonitorGuard<'a, S>, bool) {
        step("wait");
        let me = role();
        if let Role::Stops(stop) = &me {
            stop.enter(Phase::Asleep(site("wait")));
        }
        self.note_holder(None);
        let timed_out = match deadline {
            Some(at) => self.changed.wait_until(&mut guard.inner, at).timed_out(),
            None => {
                self.changed.wait(&mut guard.inner);
                false
            }
        };
        if let Role::Stops(stop) = me {
            stop.enter(Phase::Running);
            self.note_holder(Some(stop));
        }
        (guard, timed_out)
    }

    #[track_caller]
    pub(crate) fn notify_all(&self) {
        step("notify_all");
        self.changed.notify_all();
    }

    fn note_holder(&self, holder: Option<Arc<Stop>>) {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = holder;
    }

    fn look_at_the_holder(&self, site: Site) {
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(stop) = holder
            && stop.is_stopped()
        {
            stop.give_way(Obstacle::Lock(site));
        }
    }
}

#[track_caller]
fn site(access: &'static str) -> Site {
    let caller = Location::caller();
    Site { access, ordering: None, file: caller.file(), line: caller.line() }
}

impl<S> Deref for MonitorGuard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.inner
    }
}

impl<S> DerefMut for MonitorGuard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.inner
    }
}

impl<S> Drop for MonitorGuard<'_, S> {
    fn drop(&mut self) {
        step("unlock");
        self.monitor.note_holder(None);
    }
}
