//! How a waiter polls before it parks.
//!
//! What always holds: polling ends after the limit, and at the deadline.
//! Left to others: parking (`list`).

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::sync::{AtomicBool, AtomicU32, Ordering, spin_loop, yield_now};

/// How long a waiter polls before it parks, unless told otherwise: several times what another
/// core needs to answer and a quarter of what a wake-up costs. With less, two threads that answer
/// each other fall into a state in which each is parked by the time the other one's answer comes,
/// and stay there.
pub const SPIN_DEFAULT: Duration = Duration::from_micros(10);

/// Calls without a wait since the last one from which on a handle counts as streaming.
const STREAMING_MIN: u32 = 16;
/// For how long a streaming handle stays away at first; the second time it is twice as long.
const AWAY: Duration = Duration::from_nanos(1_300);
/// Every how many waits a handle in request and response stays away once nevertheless.
const PROBE_EVERY: u32 = 256;
/// How much of the polling keeps the core; after that the waiter yields it between polls, so that
/// waiting costs little when there are more runnable threads than cores.
const SPIN_HOT: Duration = Duration::from_micros(2);
/// How often a handle's waiter yields at least before it parks: when others want the core, the
/// first yield takes longer than the whole limit, and a wake-up costs the peer microseconds. More
/// than 8 leaned towards more throughput when oversubscribed, within the noise.
const YIELDS_MIN: u32 = 32;
/// A yield that took longer than this let another thread run.
const CROWDED_YIELD: Duration = Duration::from_micros(1);
/// Spin-loop hints between two looks at the clock: a hint takes 10 to 140 cycles.
const HINTS: u32 = 8;

/// For how long to poll before parking: `wanted` on several cores, not at all on one.
pub(crate) fn spin_limit(wanted: Duration) -> Duration {
    // What a thread that is pinned to one core sees is not true of the others: only "several" is
    // remembered.
    static SEVERAL_CORES: OnceLock<()> = OnceLock::new();
    if cfg!(any(loom, shuttle)) {
        return Duration::ZERO;
    }
    if SEVERAL_CORES.get().is_none() {
        if std::thread::available_parallelism().map_or(1, |count| count.get()) == 1 {
            return Duration::ZERO;
        }
        SEVERAL_CORES.get_or_init(|| ());
    }
    wanted
}

/// Polls `ready` until it is true, `limit` or `deadline` passed: for waits that say nothing about
/// each other.
pub(crate) fn spin_until(limit: Duration, deadline: Option<Instant>, ready: impl Fn() -> bool) {
    if limit.is_zero() {
        return;
    }
    let started = Instant::now();
    let end = deadline.map_or(started + limit, |at| at.min(started + limit));
    if look_closely(started + SPIN_HOT, end, &ready) {
        return;
    }
    while Instant::now() < end {
        yield_now();
        if ready() {
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
    /// Waits in request and response since the last probe.
    short_waits: AtomicU32,
    /// Whether the last yield let another thread run.
    crowded: AtomicBool,
}

impl Rhythm {
    /// `limit` as of [`spin_limit`].
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            streak: AtomicU32::new(0),
            short_waits: AtomicU32::new(0),
            crowded: AtomicBool::new(false),
        }
    }

    /// A call did not have to wait.
    #[inline(always)]
    pub(crate) fn succeeded(&self) {
        // Never under a checker, where nobody polls: it would only multiply the schedules.
        if !cfg!(any(loom, shuttle)) {
            let streak = self.streak.load(Ordering::Relaxed);
            self.streak.store(streak.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Polls `ready` until it is true, or the limit or the deadline passed.
    pub(crate) fn poll(&self, deadline: Option<Instant>, ready: impl Fn() -> bool) {
        if self.limit.is_zero() {
            return;
        }
        let started = Instant::now();
        let end = started + self.limit;
        let end = deadline.map_or(end, |at| at.min(end));
        let streaming = self.streaming();
        if !self.crowded.load(Ordering::Relaxed) {
            let found = if streaming {
                stay_away(started + AWAY, end, &ready) || stay_away(started + 3 * AWAY, end, &ready)
            } else {
                look_closely(started + SPIN_HOT, end, &ready)
            };
            if found {
                return;
            }
        }
        self.yield_until(end, &ready);
    }

    /// Whether values collect while this handle stays away; begins a new count.
    fn streaming(&self) -> bool {
        let streaming = self.streak.swap(0, Ordering::Relaxed) >= STREAMING_MIN;
        let short_waits = if streaming { 0 } else { self.short_waits.load(Ordering::Relaxed) + 1 };
        self.short_waits.store(short_waits % PROBE_EVERY, Ordering::Relaxed);
        streaming || short_waits == PROBE_EVERY
    }

    fn yield_until(&self, end: Instant, ready: &impl Fn() -> bool) {
        let mut before = Instant::now();
        let mut yields = 0;
        while before < end || yields < YIELDS_MIN {
            yield_now();
            yields += 1;
            let found = ready();
            let now = Instant::now();
            self.crowded.store(now - before > CROWDED_YIELD, Ordering::Relaxed);
            if found {
                return;
            }
            before = now;
        }
    }
}

/// Touches nothing until `back`, then looks once.
fn stay_away(back: Instant, end: Instant, ready: &impl Fn() -> bool) -> bool {
    while Instant::now() < back.min(end) {
        (0..HINTS).for_each(|_| spin_loop());
    }
    ready()
}

/// Looks again and again until `cold`.
fn look_closely(cold: Instant, end: Instant, ready: &impl Fn() -> bool) -> bool {
    while Instant::now() < cold.min(end) {
        for _ in 0..HINTS {
            if ready() {
                return true;
            }
            spin_loop();
        }
    }
    false
}

impl Clone for Rhythm {
    fn clone(&self) -> Self {
        Self::new(self.limit)
    }
}
