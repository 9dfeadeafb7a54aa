//! What a leader knows of one follower, and how fast it may send to it.
//!
//! A follower is *probed* until it is known where its log agrees with the leader's: one message,
//! then silence until an answer (or an answered heartbeat: the probe was lost). Then entries are
//! *replicated*: sent optimistically, several messages ahead of their answers, within a window of
//! entries and bytes. A follower that needs entries which are no longer held gets a *snapshot*.

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
    /// `next` when the last heartbeat was sent: what the follower must have received by then.
    pub(crate) next_at_heartbeat: Slot,
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
            next_at_heartbeat: next,
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
