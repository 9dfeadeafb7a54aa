//! A doorbell: lets one thread wait for several queues at once.
//!
//! What always holds: a ring that follows a [`Doorbell::listen`] ends the [`Doorbell::wait`] with
//! that ticket, also when it comes before the wait begins. While nobody listens, a ring costs a
//! fence and a load and takes no lock.
//! Left to others: looking into the queues between `listen` and `wait`. For several queues without
//! a protocol of their own there is [`Inboxes`](crate::Inboxes).
//!
//! # Orderings and steps that models guard (`tests/loom_channel.rs`)
//! | name | what | pairs with |
//! |---|---|---|
//! | `doorbell.ring` | fence between the ringer's change and its look at `armed` | `doorbell.listen` |
//! | `doorbell.listen` | fence between arming and the listener's look at the queues | `doorbell.ring` |
//! | `doorbell.ticket` | the count is read before arming | the count's change behind disarming |

use std::{
    fmt,
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;

use crate::{
    sync::{Arc, AtomicBool, AtomicU64, Monitor, Ordering, fence, planted},
    wait::{SPIN_DEFAULT, spin_limit, spin_until},
};

/// Proof of having listened; see [`Doorbell`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a ticket does nothing until it is passed to `Doorbell::wait`"]
pub struct Ticket(u64);

struct State {
    /// Counts rings that found a listener; changed under the lock.
    rings: AtomicU64,
    /// Whether someone listened since the last counted ring.
    armed: AtomicBool,
    sleepers: Monitor<()>,
    spin: Duration,
}

/// Rings for one thread that serves several queues. Clones are the same bell.
///
/// The order of the calls is what prevents a lost wake-up:
///
/// ```
/// use quorate_mq::{bounded_with_doorbell, Doorbell};
///
/// let doorbell = Doorbell::new();
/// let (first, first_inbox) = bounded_with_doorbell(8, &doorbell)?;
/// let (second, second_inbox) = bounded_with_doorbell(8, &doorbell)?;
/// let worker = std::thread::spawn(move || {
///     let mut work = Vec::new();
///     loop {
///         let ticket = doorbell.listen();
///         let a = first_inbox.try_recv_batch(&mut work, 64);
///         let b = second_inbox.try_recv_batch(&mut work, 64);
///         if a.is_err_and(|e| e.is_closed()) && b.is_err_and(|e| e.is_closed()) {
///             return work;
///         }
///         if a.is_err() && b.is_err() {
///             doorbell.wait(ticket, None);
///         }
///     }
/// });
/// first.send(1).unwrap();
/// second.send(2).unwrap();
/// drop((first, second));
/// let mut work = worker.join().unwrap();
/// work.sort();
/// assert_eq!(work, [1, 2]);
/// # Ok::<(), quorate_mq::CapacityError>(())
/// ```
#[derive(Clone)]
pub struct Doorbell(Arc<CachePadded<State>>);

impl Doorbell {
    /// A new bell whose waiters poll for a moment before they park.
    pub fn new() -> Self {
        Self::with_spin(SPIN_DEFAULT)
    }

    /// A new bell whose waiters poll for `spin` before they park; never on a single core.
    pub fn with_spin(spin: Duration) -> Self {
        Self(Arc::new(CachePadded::new(State {
            rings: AtomicU64::new(0),
            armed: AtomicBool::new(false),
            sleepers: Monitor::new(()),
            spin: spin_limit(spin),
        })))
    }

    /// Wakes whoever listens. What the caller did before is visible to whoever looks after a
    /// later [`Doorbell::listen`].
    #[inline]
    pub fn ring(&self) {
        // Pairs with the fence in `listen`: either the listener sees what we did before the
        // fence, or we see that it armed the bell.
        if !planted("doorbell.ring") {
            fence(Ordering::SeqCst);
        }
        if self.0.armed.load(Ordering::Relaxed) {
            self.ring_slow();
        }
    }

    #[cold]
    fn ring_slow(&self) {
        // Of several ringers one does the work, for all who listened so far.
        if self.0.armed.swap(false, Ordering::SeqCst) {
            let _guard = self.0.sleepers.lock();
            self.0.rings.fetch_add(1, Ordering::SeqCst);
            self.0.sleepers.notify_all();
        }
    }

    /// Begins to listen; look into the queues next, then [`Doorbell::wait`] with the ticket.
    ///
    /// A ticket need not be used. Costs a store and a fence.
    pub fn listen(&self) -> Ticket {
        // Read before arming: a ring that takes the armed bell away then always changes the
        // count behind this ticket, so that no listener waits on a bell that is not armed.
        let mut ticket = Ticket(self.0.rings.load(Ordering::SeqCst));
        self.0.armed.store(true, Ordering::SeqCst);
        if planted("doorbell.ticket") {
            ticket = Ticket(self.0.rings.load(Ordering::SeqCst));
        }
        if !planted("doorbell.listen") {
            fence(Ordering::SeqCst);
        }
        ticket
    }

    /// Waits until the bell has rung since `ticket` was taken (true) or until `deadline` (false).
    /// May return true without need.
    pub fn wait(&self, ticket: Ticket, deadline: Option<Instant>) -> bool {
        let rung = || self.0.rings.load(Ordering::SeqCst) != ticket.0;
        if rung() {
            return true;
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return false;
        }
        spin_until(self.0.spin, deadline, rung);
        let mut guard = self.0.sleepers.lock();
        while !rung() {
            let timed_out;
            (guard, timed_out) = self.0.sleepers.wait(guard, deadline);
            if timed_out {
                return rung();
            }
        }
        true
    }
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").field("rings", &self.0.rings.load(Ordering::Relaxed)).finish()
    }
}
