//! The list of those who wait for one kind of event, threads and tasks alike.
//!
//! # How it works
//! A queue of entries in one vector, linked by index, under a lock that is held for a few
//! instructions; the vector grows to the largest number of waiters there ever were at once, and
//! an entry is reused, so that a wait allocates nothing. A counter beside it says how many have no
//! signal yet; a waker reads it first and goes away when it is zero.
//!
//! # Invariants
//! * **INV-1** `unsignalled` is the number of entries in state `Waiting`; it changes under the
//!   lock.
//! * **INV-2** The entries in state `Waiting`, and only they, are linked, in order of arrival.
//! * **INV-3** An entry leaves `Waiting` once: by a waker (`Signalled`), or by its owner (`Free`).
//!   Only the owner, who holds the [`Place`], frees a signalled entry.
//! * **INV-4** No user code (clone, wake and drop of a task's waker) runs under the lock.
//!
//! # Orderings and steps that models guard (`tests/loom_channel.rs`)
//! | name | what | pairs with | else |
//! |---|---|---|---|
//! | `wait.register` | the count's SeqCst change in `enter`, before the waiter's last look | the count's SeqCst load in `wake`, behind the waker's SeqCst change | both miss each other: a lost wake-up |
//! | `wait.look-before-enter` | the last look comes behind `enter` (`thread`) | the same | the same |
//! | `wait.count` | as many are signalled as there is news for | | news and a sleeper at once |
//! | `wait.stay` | a task's new waker replaces the old one | | the task is woken where it no longer is |
//! | `wait.stay-again` | a signal that came while the waker was cloned is seen | | the signal is overwritten |
//! | `wait.give-up`, `wait.abandon` | a signal that was not used is passed on (`single`) | | the signal is swallowed |

use std::mem;

use crossbeam_utils::CachePadded;

use super::parker::Parker;
use crate::sync::{AtomicUsize, Monitor, Ordering, planted, seq_cst_access_fence};

/// How many waiters are taken off the list under one lock.
const WAKES_PER_LOCK: usize = 8;

/// Marks the end of a chain of entries.
const NONE: usize = usize::MAX;

/// Whom to wake.
#[derive(Debug, Clone)]
pub(crate) enum Waker {
    Thread(Parker),
    Task(std::task::Waker),
}

impl Waker {
    fn wake(self) {
        match self {
            Self::Thread(parker) => parker.unpark(),
            Self::Task(waker) => waker.wake(),
        }
    }
}

/// A waiter's place in a list: to be given back with [`WaitList::leave`].
#[derive(Debug)]
#[must_use = "a place that is not left stays in the list and swallows a signal"]
pub(crate) struct Place(usize);

#[derive(Debug)]
enum State {
    Free,
    Waiting(Waker),
    Signalled,
}

#[derive(Debug)]
struct Entry {
    state: State,
    previous: usize,
    /// The next in the queue of waiters, or in the chain of free entries.
    next: usize,
}

#[derive(Debug)]
struct Entries {
    entries: Vec<Entry>,
    oldest: usize,
    newest: usize,
    free: usize,
}

impl Entries {
    fn push(&mut self, waker: Waker) -> usize {
        let entry = Entry { state: State::Waiting(waker), previous: self.newest, next: NONE };
        let index = if self.free == NONE {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let index = self.free;
            self.free = mem::replace(&mut self.entries[index], entry).next;
            index
        };
        match self.newest {
            NONE => self.oldest = index,
            newest => self.entries[newest].next = index,
        }
        self.newest = index;
        index
    }

    fn unlink(&mut self, index: usize) {
        let (previous, next) = (self.entries[index].previous, self.entries[index].next);
        match previous {
            NONE => self.oldest = next,
            previous => self.entries[previous].next = next,
        }
        match next {
            NONE => self.newest = previous,
            next => self.entries[next].previous = previous,
        }
    }

    /// Signals the oldest waiter.
    fn signal(&mut self) -> Option<Waker> {
        let index = self.oldest;
        if index == NONE {
            return None;
        }
        self.unlink(index);
        match mem::replace(&mut self.entries[index].state, State::Signalled) {
            State::Waiting(waker) => Some(waker),
            State::Free | State::Signalled => unreachable!("only waiters are linked (INV-2)"),
        }
    }

    /// Frees an entry that is no longer linked.
    fn free(&mut self, index: usize) -> State {
        self.entries[index].next = mem::replace(&mut self.free, index);
        mem::replace(&mut self.entries[index].state, State::Free)
    }

    fn is_signalled(&self, index: usize) -> bool {
        matches!(self.entries[index].state, State::Signalled)
    }
}

/// The threads and tasks that wait for one kind of event.
#[derive(Debug)]
pub(crate) struct WaitList {
    /// Waiters without a signal (INV-1). Written under the lock, read without.
    unsignalled: CachePadded<AtomicUsize>,
    entries: Monitor<Entries>,
    #[cfg(test)]
    pub(crate) counts: super::tests::Counts,
}

impl WaitList {
    pub(crate) fn new() -> Self {
        let entries = Entries { entries: Vec::new(), oldest: NONE, newest: NONE, free: NONE };
        Self {
            unsignalled: CachePadded::new(AtomicUsize::new(0)),
            entries: Monitor::new(entries),
            #[cfg(test)]
            counts: Default::default(),
        }
    }

    /// Joins the list. The caller then looks once more, with SeqCst at what wakers change with
    /// SeqCst, before it sleeps.
    pub(crate) fn enter(&self, waker: Waker) -> Place {
        let mut entries = self.entries.lock();
        let place = Place(entries.push(waker));
        self.unsignalled.fetch_add(1, Ordering::SeqCst);
        drop(entries);
        if !planted("wait.register") {
            seq_cst_access_fence();
        }
        place
    }

    /// Gives the place back; returns whether it was signalled. Then the caller looks again or
    /// passes the signal on.
    pub(crate) fn leave(&self, Place(index): Place) -> bool {
        let mut entries = self.entries.lock();
        if !entries.is_signalled(index) {
            entries.unlink(index);
            self.unsignalled.fetch_sub(1, Ordering::SeqCst);
        }
        let state = entries.free(index);
        drop(entries);
        // What a state drops may be a task's waker (INV-4).
        matches!(state, State::Signalled)
    }

    /// Makes sure that `waker` will be woken; false when the place was signalled before.
    pub(crate) fn stay(&self, place: &Place, waker: &std::task::Waker) -> bool {
        match &self.entries.lock().entries[place.0].state {
            State::Waiting(Waker::Task(known)) if known.will_wake(waker) => return true,
            State::Waiting(_) => {}
            State::Signalled | State::Free => return false,
        }
        if planted("wait.stay") {
            return true;
        }
        // Cloning is the task's code (INV-4); the signal may come meanwhile.
        let waker = Waker::Task(waker.clone());
        let mut entries = self.entries.lock();
        if entries.is_signalled(place.0) && !planted("wait.stay-again") {
            return false;
        }
        let outdated = mem::replace(&mut entries.entries[place.0].state, State::Waiting(waker));
        drop(entries);
        drop(outdated);
        true
    }

    /// Whether the place was signalled.
    pub(crate) fn is_signalled(&self, place: &Place) -> bool {
        self.entries.lock().is_signalled(place.0)
    }

    /// Signals up to `count` waiters. The caller changed before, with SeqCst, what they wait for
    /// (and passed `seq_cst_access_fence`).
    #[inline]
    pub(crate) fn wake(&self, count: usize) {
        if self.unsignalled.load(Ordering::SeqCst) != 0 {
            self.wake_slow(count);
        }
    }

    /// Signals all waiters; as [`WaitList::wake`].
    pub(crate) fn wake_all(&self) {
        self.wake(usize::MAX);
    }

    /// How many waiters have no signal yet.
    #[cfg(test)]
    pub(crate) fn sleepers(&self) -> usize {
        self.unsignalled.load(Ordering::SeqCst)
    }

    #[cold]
    fn wake_slow(&self, count: usize) {
        // Who comes later has seen the news.
        let mut left = count.min(self.unsignalled.load(Ordering::SeqCst));
        if planted("wait.count") {
            left = left.min(1);
        }
        while left > 0 {
            let mut chosen = [const { None::<Waker> }; WAKES_PER_LOCK];
            let count = self.signal_oldest(&mut chosen[..left.min(WAKES_PER_LOCK)]);
            #[cfg(test)]
            self.counts.wake(count);
            // A wake-up costs microseconds, and a task's is not ours (INV-4): not under the lock.
            chosen.into_iter().flatten().for_each(Waker::wake);
            left = if count == WAKES_PER_LOCK { left - count } else { 0 };
        }
    }

    /// Signals as many of the oldest waiters as there are places in `chosen`; returns how many.
    fn signal_oldest(&self, chosen: &mut [Option<Waker>]) -> usize {
        let mut entries = self.entries.lock();
        let mut count = 0;
        for place in chosen {
            let Some(waker) = entries.signal() else { break };
            *place = Some(waker);
            count += 1;
        }
        self.unsignalled.fetch_sub(count, Ordering::SeqCst);
        count
    }
}
