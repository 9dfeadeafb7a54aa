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

pub use self::rhythm::SPIN_DEFAULT;
pub(crate) use self::{
    list::{Place, WaitList, Waker},
    rhythm::{Rhythm, spin_limit, spin_until},
    single::{Awaited, Single, abandon},
    task::poll_for,
    thread::wait_for,
};

mod list;
mod parker;
mod rhythm;
mod single;
mod task;
#[cfg(test)]
mod tests;
mod thread;

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

impl<R> Look<R> {
    pub(crate) fn map<U>(self, f: impl FnOnce(R) -> U) -> Look<U> {
        match self {
            Self::Done(result) => Look::Done(f(result)),
            Self::Nothing => Look::Nothing,
            Self::Busy => Look::Busy,
            Self::Progress => Look::Progress,
        }
    }
}

/// Somebody who waits for one queue or for several, with a place in the list of each while it
/// sleeps.
pub(crate) trait Waiter {
    /// What it waits for.
    type Result;

    /// Looks whether there is something to do, and does it.
    fn look(&mut self) -> Look<Self::Result>;

    /// How long and how this waiter polls.
    fn rhythm(&self) -> &Rhythm;

    /// A cheap hint that a look may succeed.
    fn ready(&self) -> bool;

    /// Whether there is nothing to do; reads with SeqCst (see [`WaitList::enter`]).
    fn nothing_yet(&self) -> bool;

    /// Takes a place in each list. It has none.
    fn enter(&mut self, waker: &Waker);

    /// Whether it has a place in the lists.
    fn has_entered(&self) -> bool;

    /// Whether one of its places was signalled.
    fn is_signalled(&self) -> bool;

    /// Makes sure that a task's present waker will be woken; false when a place was signalled
    /// before.
    fn stay(&mut self, waker: &std::task::Waker) -> bool;

    /// Gives its places back, and remembers which were signalled.
    fn leave(&mut self);

    /// Ends the wait after a look that succeeded: gives its places back, and passes on the
    /// signals that were for something else.
    fn finish(&mut self);

    /// Ends the wait without success: gives its places back and passes its signals on, as far as
    /// there is still news.
    fn give_up(&mut self);
}

/// Waits in a list alone, for models; `None` when the deadline passed.
#[cfg(any(loom, shuttle))]
pub(crate) fn wait_alone<R>(
    list: &WaitList,
    deadline: Option<std::time::Instant>,
    nothing_yet: impl Fn() -> bool,
    look: impl FnMut() -> Look<R>,
) -> Option<R> {
    struct Alone<'a, N>(&'a WaitList, Rhythm, N);
    impl<N: Fn() -> bool> Awaited for Alone<'_, N> {
        fn list(&self) -> &WaitList {
            self.0
        }
        fn rhythm(&self) -> &Rhythm {
            &self.1
        }
        fn ready(&self) -> bool {
            true
        }
        fn nothing_yet(&self) -> bool {
            (self.2)()
        }
    }
    let alone = Alone(list, Rhythm::new(spin_limit(SPIN_DEFAULT)), nothing_yet);
    wait_for(&mut Single::new(&alone, &mut None, look), deadline)
}
