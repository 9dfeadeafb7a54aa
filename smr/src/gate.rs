//! Durable before visible, enforced in one place.
//!
//! Every host (runtime, simulator, test pump) sends a replica's effects through a [`Gate`]: it
//! numbers the durable steps and holds back each message that must wait for them. A message leaves
//! in the order in which it was asked for, relative to other held messages.

use std::collections::VecDeque;

use crate::ids::Lsn;
use crate::protocol::{Release, To};

/// Holds messages until the durable steps before them are durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gate<M> {
    appended: Lsn,
    durable: Lsn,
    held: VecDeque<Held<M>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held<M> {
    after: Lsn,
    to: To,
    message: M,
}

impl<M> Default for Gate<M> {
    fn default() -> Self {
        Self { appended: Lsn::ZERO, durable: Lsn::ZERO, held: VecDeque::new() }
    }
}

impl<M> Gate<M> {
    /// A gate for a replica that just recovered: nothing asked for, nothing held.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one durable step (`Append`, `Compact`, `InstallSnapshot`) and returns its number.
    #[inline]
    pub const fn step(&mut self) -> Lsn {
        self.appended = self.appended.next();
        self.appended
    }

    /// Passes a message through, or keeps it until the steps before it are durable.
    #[inline]
    pub fn offer(&mut self, to: To, message: M, release: Release) -> Option<(To, M)> {
        if release == Release::Immediate || self.durable == self.appended {
            return Some((to, message));
        }
        self.held.push_back(Held { after: self.appended, to, message });
        None
    }

    /// Notes that all steps up to `upto` are durable; [`Gate::release`] then yields what may leave.
    ///
    /// # Panics
    /// If `upto` was never asked for: the journal's accounting is broken.
    pub fn durable_upto(&mut self, upto: Lsn) {
        assert!(upto <= self.appended, "journal reports {upto}, asked for {}", self.appended);
        self.durable = self.durable.max(upto);
    }

    /// The next held message that may leave.
    #[inline]
    pub fn release(&mut self) -> Option<(To, M)> {
        if self.held.front()?.after > self.durable {
            return None;
        }
        self.held.pop_front().map(|held| (held.to, held.message))
    }

    /// How many messages wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The last durable step asked for.
    #[must_use]
    pub const fn appended(&self) -> Lsn {
        self.appended
    }

    /// The last step known to be durable.
    #[must_use]
    pub const fn durable(&self) -> Lsn {
        self.durable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_waits_for_the_steps_before_it_and_no_others() {
        let mut gate = Gate::new();
        assert!(gate.offer(To::Others, "free", Release::Durable).is_some());
        let first = gate.step();
        assert!(gate.offer(To::Others, "after one", Release::Durable).is_none());
        let second = gate.step();
        assert!(gate.offer(To::Others, "after two", Release::Durable).is_none());
        assert!(gate.offer(To::Others, "beside the disk", Release::Immediate).is_some());
        gate.durable_upto(first);
        assert_eq!(gate.release(), Some((To::Others, "after one")));
        assert_eq!(gate.release(), None);
        gate.durable_upto(second);
        assert_eq!(gate.release(), Some((To::Others, "after two")));
        assert_eq!(gate.held(), 0);
    }

    #[test]
    #[should_panic(expected = "asked for")]
    fn a_journal_cannot_report_steps_that_were_never_asked_for() {
        Gate::<()>::new().durable_upto(Lsn(1));
    }
}
