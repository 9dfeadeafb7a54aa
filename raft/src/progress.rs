//! What a leader knows of one follower, and how fast it may send to it.
//!
//! A follower is *probed* until it is known where its log agrees with the leader's: one message,
//! then silence until an answer (or an answered heartbeat: the probe was lost). Then entries are
//! *replicated*: sent optimistically, several messages ahead of their answers, within a window of
//! entries and bytes. A follower that needs entries which are no longer held gets a *snapshot*.

use std::time::Duration;

use quorate_smr::{Slot, Time};

/// How a follower is being sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// One message at a time until the logs are known to agree.
    Probe {
        /// Whether the message is on its way.
        waiting: bool,
    },
    /// Pipelined, within the window.
    Replicate,
    /// Waiting for the follower to install a snapshot.
    Snapshot {
        /// The slot of the snapshot.
        slot: Slot,
        /// When to give up waiting and probe again.
        retry_at: Time,
    },
}

/// What a leader knows of one follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    /// The last slot known to be durable at the follower and equal (`matchIndex`).
    pub(crate) matched: Slot,
    /// The next slot to send (`nextIndex`). Always above `matched`.
    pub(crate) next: Slot,
    pub(crate) mode: Mode,
    /// The commit slot that the follower will have learnt from what was sent.
    pub(crate) commit_sent: Slot,
    /// When the follower was last heard.
    pub(crate) heard: Time,
    /// The last heartbeat round that the follower answered.
    pub(crate) round: u64,
    pub(crate) check: Check,
}

/// A heartbeat after which the follower must have received everything sent before it. Whatever
/// round at or after it is answered first tells what was lost; then the next one may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Check {
    round: u64,
    next: Slot,
    at: Time,
    answered: bool,
}

impl Progress {
    /// A follower of which a new leader, whose log ends before `next`, knows nothing.
    pub(crate) const fn new(next: Slot, now: Time) -> Self {
        Self {
            matched: Slot::ZERO,
            next,
            mode: Mode::Probe { waiting: false },
            commit_sent: Slot::ZERO,
            heard: now,
            round: 0,
            check: Check { round: 0, next, at: now, answered: true },
        }
    }

    /// Whether everything that was sent is acknowledged.
    #[inline]
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.mode, Mode::Replicate) && self.next.0 == self.matched.0 + 1
    }

    /// Entries sent and not yet acknowledged.
    #[inline]
    pub(crate) const fn entries_in_flight(&self) -> usize {
        (self.next.0 - self.matched.0 - 1) as usize
    }

    /// A heartbeat of `round` is being sent: let it be a check, if the last one was answered and
    /// is at least `interval` old.
    pub(crate) fn set_check(&mut self, round: u64, now: Time, interval: Duration) {
        if self.check.answered && now.since(self.check.at) >= interval {
            self.check = Check { round, next: self.next, at: now, answered: false };
        }
    }

    /// The follower answered `round`: what it must have received by then, if this settles a check.
    pub(crate) fn settle_check(&mut self, round: u64) -> Option<Slot> {
        if self.check.answered || round < self.check.round {
            return None;
        }
        self.check.answered = true;
        Some(self.check.next)
    }

    /// Asks again where the logs agree, beginning below `next`.
    pub(crate) fn probe_from(&mut self, next: Slot) {
        self.next = next.max(self.matched.next());
        self.mode = Mode::Probe { waiting: false };
    }

    /// Sends everything from `next` on again, without a probe: the follower said what it has.
    pub(crate) fn rewind_to(&mut self, next: Slot) {
        self.next = next.max(self.matched.next());
    }

    /// The follower has everything up to `upto`, durably.
    #[inline]
    pub(crate) fn acknowledged(&mut self, upto: Slot) {
        self.matched = self.matched.max(upto);
        match self.mode {
            Mode::Replicate => self.next = self.next.max(self.matched.next()),
            Mode::Snapshot { slot, .. } if upto < slot => {
                self.next = self.next.max(self.matched.next());
            }
            Mode::Probe { .. } | Mode::Snapshot { .. } => {
                self.next = self.matched.next();
                self.mode = Mode::Replicate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(50);

    fn replicating(matched: u64, next: u64) -> Progress {
        let fresh = Progress::new(Slot(next), Time::ZERO);
        Progress { matched: Slot(matched), mode: Mode::Replicate, ..fresh }
    }

    fn later(intervals: u32) -> Time {
        Time::ZERO.after(intervals * INTERVAL)
    }

    #[test]
    fn a_check_is_settled_by_any_later_round_and_only_once() {
        // Rounds may follow one another faster than answers come back, as reads make them do.
        let mut progress = replicating(3, 8);
        progress.set_check(5, later(1), INTERVAL);
        progress.set_check(6, later(2), INTERVAL);
        assert_eq!(progress.settle_check(4), None, "sent before the check");
        assert_eq!(progress.settle_check(6), Some(Slot(8)));
        assert_eq!(progress.settle_check(7), None);
    }

    #[test]
    fn checks_are_an_interval_apart() {
        let mut progress = replicating(3, 8);
        progress.set_check(1, Time::ZERO, INTERVAL);
        assert_eq!(progress.settle_check(1), None);
        progress.set_check(2, later(1), INTERVAL);
        assert!(progress.settle_check(2).is_some());
        progress.set_check(3, later(1), INTERVAL);
        assert_eq!(progress.settle_check(3), None);
    }

    #[test]
    fn an_acknowledged_probe_starts_replication_after_it() {
        let mut progress = Progress::new(Slot(9), Time::ZERO);
        progress.acknowledged(Slot(5));
        assert_eq!((progress.matched, progress.next), (Slot(5), Slot(6)));
        assert!(progress.is_idle());
    }

    #[test]
    fn a_snapshot_ends_with_its_acknowledgement_and_no_earlier() {
        let mut progress = Progress::new(Slot(1), Time::ZERO);
        progress.mode = Mode::Snapshot { slot: Slot(20), retry_at: Time(1) };
        progress.acknowledged(Slot(7));
        assert!(matches!(progress.mode, Mode::Snapshot { .. }));
        progress.acknowledged(Slot(20));
        assert_eq!((progress.mode, progress.next), (Mode::Replicate, Slot(21)));
    }

    #[test]
    fn nothing_acknowledged_is_sent_again() {
        let mut progress = replicating(3, 8);
        progress.rewind_to(Slot(1));
        assert_eq!((progress.next, progress.entries_in_flight()), (Slot(4), 0));
        progress.probe_from(Slot(2));
        assert_eq!(progress.next, Slot(4));
    }
}
