//! Waits for one queue.
//!
//! What always holds: a signal that was not used is passed on.
//! Left to others: what a look does (`channel`).

use std::mem;

use super::{Look, Place, Rhythm, WaitList, Waiter, Waker};
use crate::sync::planted;

/// A queue as its waiters see it.
pub(crate) trait Awaited {
    /// The list that is woken when there is news.
    fn list(&self) -> &WaitList;
    /// How long and how the handle's calls poll.
    fn rhythm(&self) -> &Rhythm;
    /// A cheap hint that a look may succeed.
    fn ready(&self) -> bool;
    /// Whether there is nothing to do; reads with SeqCst (see [`WaitList::enter`]).
    fn nothing_yet(&self) -> bool;

    /// Passes a signal on that was taken and not used: news that still is there is for the next.
    fn pass_on(&self) {
        if !self.nothing_yet() {
            self.list().wake(1);
        }
    }
}

/// One wait for one queue; dropped, it passes on a signal that it took and did not use.
pub(crate) struct Single<'a, Q: Awaited, F> {
    queue: &'a Q,
    /// Outlives this value where a future keeps it between two polls.
    place: &'a mut Option<Place>,
    signalled: bool,
    look: F,
}

impl<'a, Q: Awaited, F> Single<'a, Q, F> {
    /// Waits for `queue` by repeating `look`, standing at `place`.
    pub(crate) fn new(queue: &'a Q, place: &'a mut Option<Place>, look: F) -> Self {
        Self { queue, place, signalled: false, look }
    }
}

impl<Q: Awaited, F> Drop for Single<'_, Q, F> {
    fn drop(&mut self) {
        if self.signalled {
            self.queue.pass_on();
        }
    }
}

/// Ends a wait at `place`, if there is one, without success.
pub(crate) fn abandon(queue: &impl Awaited, place: &mut Option<Place>) {
    let signalled = place.take().is_some_and(|place| queue.list().leave(place));
    if signalled && !planted("wait.abandon") {
        queue.pass_on();
    }
}

impl<R, Q: Awaited, F: FnMut() -> Look<R>> Waiter for Single<'_, Q, F> {
    type Result = R;

    fn look(&mut self) -> Look<R> {
        let look = (self.look)();
        if matches!(look, Look::Nothing) {
            // What the signal was for is gone.
            self.signalled = false;
        }
        look
    }

    fn rhythm(&self) -> &Rhythm {
        self.queue.rhythm()
    }

    fn ready(&self) -> bool {
        self.queue.ready()
    }

    fn nothing_yet(&self) -> bool {
        self.queue.nothing_yet()
    }

    fn enter(&mut self, waker: &Waker) {
        *self.place = Some(self.queue.list().enter(waker.clone()));
    }

    fn has_entered(&self) -> bool {
        self.place.is_some()
    }

    fn is_signalled(&self) -> bool {
        self.place.as_ref().is_some_and(|place| self.queue.list().is_signalled(place))
    }

    fn stay(&mut self, waker: &std::task::Waker) -> bool {
        self.place.as_ref().is_some_and(|place| self.queue.list().stay(place, waker))
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.signalled |= self.queue.list().leave(place);
        }
    }

    fn finish(&mut self) {
        // A signal that came was for us to look, which we did.
        self.leave();
        self.signalled = false;
    }

    fn give_up(&mut self) {
        self.leave();
        if mem::take(&mut self.signalled) && !planted("wait.give-up") {
            self.queue.pass_on();
        }
    }
}
