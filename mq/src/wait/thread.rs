//! Waiting of a thread.
//!
//! What always holds: a thread that sleeps stands in every list it waits for, and when it wakes it
//! looks again before it answers anything.
//! Left to others: what is waited for.

use std::time::{Duration, Instant};

use super::{Look, Waiter, Waker, parker::Parker};
use crate::sync::{planted, spin_loop, yield_now};

/// How often a waiter yields to a peer that stopped between claim and publication, before it
/// sleeps for [`BUSY_SLEEP`] at a time.
const BUSY_YIELDS_MAX: u32 = 64;
const BUSY_SLEEP: Duration = Duration::from_micros(100);

/// Looks until done or until the deadline (`None`), polling first and then parked.
#[cold]
pub(crate) fn wait_for<W: Waiter>(waiter: &mut W, deadline: Option<Instant>) -> Option<W::Result> {
    let mut busy_looks = 0;
    let mut polled = false;
    loop {
        match waiter.look() {
            Look::Done(result) => {
                waiter.finish();
                return Some(result);
            }
            Look::Busy => {
                busy_looks += 1;
                let_the_peer_finish(busy_looks);
            }
            Look::Progress => busy_looks = 0,
            Look::Nothing if !polled => {
                busy_looks = 0;
                waiter.rhythm().poll(deadline, || waiter.ready());
                polled = true;
                continue;
            }
            Look::Nothing => {
                polled = false;
                if park(waiter, deadline) {
                    continue;
                }
            }
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            if let Look::Done(result) = waiter.look() {
                waiter.finish();
                return Some(result);
            }
            waiter.give_up();
            return None;
        }
    }
}

/// Sleeps until signalled or until the deadline, unless there is something to do by now; false
/// when the deadline ended it.
pub(super) fn park(waiter: &mut impl Waiter, deadline: Option<Instant>) -> bool {
    let parker = Parker::of_this_thread();
    if planted("wait.look-before-enter") && !waiter.nothing_yet() {
        return true;
    }
    waiter.enter(&Waker::Thread(parker.clone()));
    let mut timed_out = false;
    if planted("wait.look-before-enter") || waiter.nothing_yet() {
        while !timed_out && !waiter.is_signalled() {
            parker.park(deadline);
            timed_out = deadline.is_some_and(|at| Instant::now() >= at);
        }
    }
    waiter.leave();
    !timed_out
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
