//! How a waiter polls before it parks.
//!
//! What always holds: polling ends after the limit, and at the deadline.
//! Left to others: parking (`list`).

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::sync::{AtomicU32, Ordering, spin_loop, yield_now};

/// How long a waiter polls before it parks, unless told otherwise: several times what another
/// core needs to answer and a quarter of what a wake-up costs. With less, two threads that answer
/// each other fall into a state in which each is parked by the time the other one's answer comes,
/// and stay there.
pub const SPIN_DEFAULT: Duration = Duration::from_micros(10);

/// How much of the polling keeps the core; after that the waiter yields it between polls, so that
/// waiting costs little when there are more runnable threads than cores.
const SPIN_HOT: Duration = Duration::from_micros(2);

/// The longest pause between two polls, in spin-loop hints.
const PAUSES_MAX: u32 = 32;

/// For how long to poll before parking: `wanted` on several cores, not at all on one.
pub(crate) fn spin_limit(wanted: Duration) -> Duration {
    static CORES: OnceLock<usize> = OnceLock::new();
    if cfg!(loom) {
        return Duration::ZERO;
    }
    let cores =
        *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, |count| count.get()));
    if cores == 1 { Duration::ZERO } else { wanted }
}

/// Polls `ready` with growing pauses until it is true, `limit` or `deadline` passed.
pub(crate) fn spin_until(limit: Duration, deadline: Option<Instant>, ready: impl Fn() -> bool) {
    if limit.is_zero() {
        return;
    }
    let started = Instant::now();
    let mut pauses = 1;
    let mut hot = true;
    loop {
        if hot {
            (0..pauses).for_each(|_| spin_loop());
        } else {
            yield_now();
        }
        if ready() {
            return;
        }
        if pauses < PAUSES_MAX {
            pauses *= 2;
            continue;
        }
        let now = Instant::now();
        hot = now - started < SPIN_HOT;
        if now - started >= limit || deadline.is_some_and(|at| now >= at) {
            return;
        }
    }
}

/// How the calls of one handle went of late, which says how to poll. A hint: threads that share a
/// handle may spoil it for each other.
#[derive(Debug)]
pub(crate) struct Rhythm {
    limit: Duration,
    /// Calls since the last wait that did not have to wait.
    streak: AtomicU32,
}

impl Rhythm {
    /// `limit` as of [`spin_limit`].
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, streak: AtomicU32::new(0) }
    }

    /// A call did not have to wait.
    #[inline(always)]
    pub(crate) fn succeeded(&self) {
        // Never under loom, where nobody polls: it would only multiply the schedules.
        if !cfg!(loom) {
            let streak = self.streak.load(Ordering::Relaxed);
            self.streak.store(streak.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Polls `ready` until it is true, or the limit or the deadline passed.
    pub(crate) fn poll(&self, deadline: Option<Instant>, ready: impl Fn() -> bool) {
        spin_until(self.limit, deadline, ready);
    }
}

impl Clone for Rhythm {
    fn clone(&self) -> Self {
        Self::new(self.limit)
    }
}
