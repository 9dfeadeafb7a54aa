//! The primitives under `--cfg stepped`: the standard ones, with a hook before every access, by
//! which a test stops a thread for ever in the middle of an operation.
//!
//! What always holds:
//! * Every access of the crate to an atomic, every fence, and every taking and leaving of a lock
//!   is one step; a thread that is stopped before a step has made none of its effects. Between
//!   two steps a thread touches nothing that others may touch, so that these stops stand for a
//!   stop at any instruction.
//! * A stop that makes another thread wait is recorded and then released, so that a test ends:
//!   by a lock whose holder is stopped, or by an operation of a watched thread that makes more
//!   steps than it was allowed.
//!
//! Left to others: which operation, which step, and what the others must achieve meanwhile
//! (`tests/lock_freedom.rs`). Counting references (`Arc`) is a single wait-free access of the
//! standard library and no step.

use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::Location,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

pub(crate) use std::{
    hint::spin_loop,
    sync::{Arc, atomic::Ordering},
    thread::yield_now,
};

pub(crate) use super::plain::{UnsafeCell, planted, seq_cst_access_fence};

mod atomics;
mod monitor;

pub use self::atomics::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};
pub(crate) use self::monitor::{Monitor, MonitorGuard};

/// A step in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The access: "load", "store", "lock".
    pub access: &'static str,
    /// The name of its ordering, where the code names it.
    pub ordering: Option<&'static str>,
    /// The file with the code.
    pub file: &'static str,
    /// The line of the code.
    pub line: u32,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.rsplit_once("src/").map_or(self.file, |(_, file)| file);
        write!(f, "{} at {file}:{}", self.access, self.line)?;
        self.ordering.map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

/// Why others could not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// They need a lock whose holder is stopped.
    Lock(Site),
    /// An operation made more steps than it was allowed; this was the last.
    Steps(Site),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Stopped(Site),
    Asleep(Site),
    Finished,
}

struct State {
    phase: Phase,
    released: bool,
    obstacle: Option<Obstacle>,
}

/// Stops one thread before a step of one operation.
pub struct Stop {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone)]
enum Role {
    Bystander,
    Stops(Arc<Stop>),
    Watched(Arc<Stop>),
}

/// The steps that a thread may make until its role says what happens; never reached by counting
/// down from this.
const NO_LIMIT: u64 = u64::MAX;

std::thread_local! {
    static STEPS_LEFT: Cell<u64> = const { Cell::new(NO_LIMIT) };
    static ORDERING: Cell<Option<&'static str>> = const { Cell::new(None) };
    static ROLE: RefCell<Role> = const { RefCell::new(Role::Bystander) };
}

/// `ordering`; its name goes to the access that it is meant for.
#[inline]
pub(crate) fn order(name: &'static str, ordering: Ordering) -> Ordering {
    if ORDERING.get().is_none() {
        ORDERING.set(Some(name));
    }
    ordering
}

/// The hook: stands before every access; also for queues of the tests that are meant to block.
#[inline]
#[track_caller]
pub fn step(access: &'static str) {
    let ordering = ORDERING.take();
    let left = STEPS_LEFT.get();
    STEPS_LEFT.set(left.wrapping_sub(1));
    if left == 0 {
        let caller = Location::caller();
        let site = Site { access, ordering, file: caller.file(), line: caller.line() };
        STEPS_LEFT.set(NO_LIMIT);
        STEPS_LEFT.set(limit_reached(site));
    }
}

#[cold]
fn limit_reached(site: Site) -> u64 {
    match role() {
        Role::Bystander => NO_LIMIT,
        Role::Stops(stop) => stop.halt(site),
        Role::Watched(stop) => {
            stop.give_way(Obstacle::Steps(site));
            NO_LIMIT
        }
    }
}

fn role() -> Role {
    ROLE.with_borrow(Clone::clone)
}

/// Sets a role for the time of a call, also when it panics.
struct Acting;

impl Acting {
    fn new(role: Role, steps: u64) -> Self {
        ROLE.set(role);
        STEPS_LEFT.set(steps);
        Self
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        STEPS_LEFT.set(NO_LIMIT);
        if let Role::Stops(stop) = ROLE.replace(Role::Bystander) {
            stop.enter(Phase::Finished);
        }
    }
}

impl Stop {
    /// A stop that no thread has come to yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Arc<Self> {
        let state = State { phase: Phase::Running, released: false, obstacle: None };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Runs `operation` on this thread, which stops before the operation's step number `step`
    /// (counted from 0) until [`Stop::release`].
    pub fn run<R>(self: &Arc<Self>, step: u64, operation: impl FnOnce() -> R) -> R {
        let _acting = Acting::new(Role::Stops(self.clone()), step);
        operation()
    }

    /// Runs operations of another thread. Each may make `steps_max` steps, counted anew whenever
    /// the function that `work` is given is called. One that makes more is waiting for the
    /// stopped thread: that is recorded as an [`Obstacle`], and the stop released.
    pub fn watch<R>(self: &Arc<Self>, steps_max: u64, work: impl FnOnce(&dyn Fn()) -> R) -> R {
        let _acting = Acting::new(Role::Watched(self.clone()), steps_max);
        work(&|| STEPS_LEFT.set(steps_max))
    }

    /// Waits until the operation stands still (`Some`: before this step, or asleep in it) or is
    /// finished (`None`).
    pub fn wait(&self) -> Option<Site> {
        let mut state = self.lock();
        loop {
            match state.phase {
                Phase::Running => state = self.sleep(state),
                Phase::Stopped(site) | Phase::Asleep(site) => return Some(site),
                Phase::Finished => return None,
            }
        }
    }

    /// Lets the stopped thread make one step.
    pub fn advance(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Stopped(_)) {
            state.phase = Phase::Running;
            self.changed.notify_all();
        }
    }

    /// Lets the stopped thread run to the end of its operation.
    pub fn release(&self) {
        self.lock().released = true;
        self.changed.notify_all();
    }

    /// What made others wait, if anything did.
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.lock().obstacle
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        self.lock().phase = phase;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        let state = self.lock();
        matches!(state.phase, Phase::Stopped(_)) && !state.released
    }

    /// Stands still; returns after how many steps to stop again.
    fn halt(&self, site: Site) -> u64 {
        let mut state = self.lock();
        if !state.released {
            state.phase = Phase::Stopped(site);
            self.changed.notify_all();
        }
        while !state.released && matches!(state.phase, Phase::Stopped(_)) {
            state = self.sleep(state);
        }
        state.phase = Phase::Running;
        if state.released { NO_LIMIT } else { 0 }
    }

    /// Records the first obstacle and lets the stopped thread go on, so that the waiting ends.
    fn give_way(&self, obstacle: Obstacle) {
        self.lock().obstacle.get_or_insert(obstacle);
        self.release();
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("phase", &self.lock().phase).finish()
    }
}
