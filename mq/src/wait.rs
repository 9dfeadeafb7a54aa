//! Waiting: poll for a moment, then park or return to the executor; and waking, which costs one
//! load while nobody waits.
//!
//! What always holds:
//! * **No lost wake-up.** A waiter registers in its list (SeqCst) and looks once more before it
//!   sleeps; a waker changes what the waiter looks at (SeqCst) and then reads how many are
//!   registered (SeqCst). In the single order of these four accesses either the waiter sees the
//!   change or the waker sees the waiter.
//! * **No needless wake-up.** A waker takes the lock only while someone waits who has not been
//!   signalled yet, and signals no more waiters than it has news for, the oldest first.
//! * **A signal is never swallowed.** A signalled waiter looks again; one that leaves without
//!   having taken anything (deadline, dropped future) signals the next if there is news.
//! * Threads and tasks stand in one list and are served in order of arrival.
//!
//! Why that suffices: each piece of news that came while somebody stood in the list signalled a
//! waiter of its own, and each signalled waiter takes one piece, finds none left, or passes the
//! signal on. So there is never news and a sleeper at once without a waiter under way.
//!
//! Left to others: what is waited for (`channel`).

use std::time::Instant;

pub(crate) use self::{
    list::{Place, WaitList, Waker},
    rhythm::{Rhythm, spin_limit, spin_until},
    task::{abandon, poll_for},
};
use crate::sync::{spin_loop, yield_now};

mod list;
mod parker;
mod rhythm;
mod task;
#[cfg(test)]
mod tests;

pub use self::rhythm::SPIN_DEFAULT;

/// How often a waiter yields to a peer that stopped between claim and publication, before it
/// sleeps for [`BUSY_SLEEP`] at a time.
const BUSY_YIELDS_MAX: u32 = 64;
const BUSY_SLEEP: std::time::Duration = std::time::Duration::from_micros(100);

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
    /// The list that is woken when there is news.
    fn list(&self) -> &WaitList;
    /// How long and how this waiter polls.
    fn rhythm(&self) -> &Rhythm;
    /// A cheap hint that a look may succeed.
    fn ready(&self) -> bool;
    /// Whether there is nothing to do; reads with SeqCst (see [`WaitList::enter`]).
    fn nothing_yet(&self) -> bool;
}

/// Looks until done or until the deadline (`None`), polling first and then parked.
#[cold]
pub(crate) fn wait_for<R>(
    queue: &impl Awaited,
    deadline: Option<Instant>,
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
                queue.rhythm().poll(deadline, || queue.ready());
                spun = true;
                continue;
            }
            Look::Nothing => {
                spun = false;
                if queue.list().park(deadline, || queue.nothing_yet()) {
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
                        queue.list().wake(1);
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
