//! Waiting: spin for a moment, then park; and waking, which costs one load while nobody is
//! parked.
//!
//! What always holds:
//! * **No lost wake-up.** A waiter registers in `unsignalled` (SeqCst) and looks once more before
//!   it sleeps; a waker changes what the waiter looks at (SeqCst) and then reads `unsignalled`
//!   (SeqCst). In the single order of these four accesses either the waiter sees the change or
//!   the waker sees the waiter.
//! * **No needless wake-up.** A waker takes the lock only while someone sleeps who has not been
//!   signalled yet, and wakes no more threads than it has news for.
//! * **A signal is never swallowed.** A waiter whose deadline passes just when it is signalled
//!   counts as woken: it looks again, and so does its caller.
//!
//! Left to others: what is waited for, and how often to look before parking (`SpinLimit`).

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicUsize, Monitor, Ordering, seq_cst_access_fence, spin_loop, yield_now};

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
/// How often a waiter yields to a peer that stopped between claim and publication, before it
/// sleeps for [`BUSY_SLEEP`] at a time.
const BUSY_YIELDS_MAX: u32 = 64;
const BUSY_SLEEP: Duration = Duration::from_micros(100);

/// For how long to poll before parking: `wanted` on several cores, not at all on one.
pub(crate) fn spin_limit(wanted: Duration) -> Duration {
    static CORES: OnceLock<usize> = OnceLock::new();
    if cfg!(any(loom, shuttle)) {
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

/// Why a call to [`WaitList::park`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parked {
    /// There was no reason to sleep, or a waker had news.
    LookAgain,
    /// The deadline passed first.
    TimedOut,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Signals given to sleepers that have not run yet.
    signals: usize,
}

/// The threads that wait for one kind of event.
#[derive(Debug)]
pub(crate) struct WaitList {
    /// Sleepers without a signal. Written under the lock, read without.
    unsignalled: CachePadded<AtomicUsize>,
    waiting: Monitor<Waiting>,
}

impl WaitList {
    pub(crate) fn new() -> Self {
        Self {
            unsignalled: CachePadded::new(AtomicUsize::new(0)),
            waiting: Monitor::new(Waiting::default()),
        }
    }

    /// Sleeps until signalled or until the deadline, unless `nothing_yet` is false by now.
    ///
    /// `nothing_yet` must read with SeqCst what wakers change with SeqCst. It runs under the
    /// list's lock and so must not call back.
    pub(crate) fn park(
        &self,
        deadline: Option<Instant>,
        nothing_yet: impl FnOnce() -> bool,
    ) -> Parked {
        let mut waiting = self.waiting.lock();
        self.unsignalled.fetch_add(1, Ordering::SeqCst);
        seq_cst_access_fence();
        if !nothing_yet() {
            self.unsignalled.fetch_sub(1, Ordering::SeqCst);
            return Parked::LookAgain;
        }
        loop {
            let timed_out;
            (waiting, timed_out) = self.waiting.wait(waiting, deadline);
            if waiting.signals > 0 {
                // The waker has taken us (or one like us) off `unsignalled`.
                waiting.signals -= 1;
                return Parked::LookAgain;
            }
            if timed_out {
                self.unsignalled.fetch_sub(1, Ordering::SeqCst);
                return Parked::TimedOut;
            }
        }
    }

    /// Signals up to `count` sleepers. The caller changed before, with SeqCst, what they wait for
    /// (and passed `seq_cst_access_fence`).
    #[inline]
    pub(crate) fn wake(&self, count: usize) {
        if self.unsignalled.load(Ordering::SeqCst) != 0 {
            self.wake_slow(count);
        }
    }

    /// Signals all sleepers; as [`WaitList::wake`].
    pub(crate) fn wake_all(&self) {
        self.wake(usize::MAX);
    }

    /// How many sleepers have no signal yet.
    #[cfg(test)]
    pub(crate) fn sleepers(&self) -> usize {
        self.unsignalled.load(Ordering::SeqCst)
    }

    #[cold]
    fn wake_slow(&self, count: usize) {
        let mut waiting = self.waiting.lock();
        let sleepers = self.unsignalled.load(Ordering::SeqCst);
        let chosen = count.min(sleepers);
        self.unsignalled.fetch_sub(chosen, Ordering::SeqCst);
        waiting.signals += chosen;
        if chosen == sleepers && waiting.signals == chosen {
            self.waiting.notify_all();
        } else {
            for _ in 0..chosen {
                self.waiting.notify_one();
            }
        }
    }
}

/// What one look at a queue found.
pub(crate) enum Look<R> {
    /// The call is done.
    Done(R),
    /// Nothing to do; whoever changes that wakes the list.
    Nothing,
    /// A peer stopped between claim and publication; its wake-up may come before its change is
    /// visible, so that one must look again soon.
    Busy,
    /// Part is done and a peer stands in the way of the rest: look again at once.
    Progress,
}

/// A queue as its waiters see it.
pub(crate) trait Awaited {
    /// A cheap hint that a look may succeed.
    fn ready(&self) -> bool;
    /// Whether there is nothing to do; reads with SeqCst (see [`WaitList::park`]).
    fn nothing_yet(&self) -> bool;
}

/// Looks until done or until the deadline (`None`), polling first and then parked.
pub(crate) fn wait_for<R>(
    list: &WaitList,
    spin: Duration,
    deadline: Option<Instant>,
    queue: &impl Awaited,
    mut look: impl FnMut() -> Look<R>,
) -> Option<R> {
    let mut busy_looks = 0;
    let mut spun = false;
    loop {
        match look() {
            Look::Done(result) => return Some(result),
            Look::Busy => {
                busy_looks += 1;
                let_the_peer_finish(busy_looks);
            }
            Look::Progress => busy_looks = 0,
            Look::Nothing if !spun => {
                busy_looks = 0;
                spin_until(spin, deadline, || queue.ready());
                spun = true;
                continue;
            }
            Look::Nothing => {
                spun = false;
                if list.park(deadline, || queue.nothing_yet()) == Parked::LookAgain {
                    continue;
                }
            }
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return match look() {
                Look::Done(result) => Some(result),
                Look::Nothing | Look::Busy | Look::Progress => {
                    // We may have been signalled for what we now leave to others.
                    if !queue.nothing_yet() {
                        list.wake(1);
                    }
                    None
                }
            };
        }
    }
}

fn let_the_peer_finish(looks: u32) {
    if looks <= 4 {
        spin_loop();
    }
    if cfg!(any(loom, shuttle)) || looks <= BUSY_YIELDS_MAX {
        yield_now();
    } else {
        std::thread::sleep(BUSY_SLEEP);
    }
}
