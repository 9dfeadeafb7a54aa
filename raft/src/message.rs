//! What replicas say to one another.
//!
//! The RPCs of *Raft* figure 2 as one-way messages, and those of the thesis for read-index, pre-vote
//! and leadership transfer. Every message names its sender's term. Entries are shared, not copied:
//! cloning a message for another receiver costs one reference count.

use std::sync::Arc;

use quorate_smr::{Batch, Slot};
use serde::{Deserialize, Serialize};

use crate::term::Term;

/// A position in a log: a slot and the term of the entry there. By log matching (§5.3) two logs
/// that agree on one position agree on everything before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Position {
    /// The term of the entry. First, so that positions order as §5.4.1 compares logs.
    pub term: Term,
    /// The slot of the entry.
    pub slot: Slot,
}

impl Position {
    /// Before the first entry; every log has it.
    pub const ZERO: Self = Self { term: Term::ZERO, slot: Slot::ZERO };
}

/// One entry of the log as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The term in which a leader received it.
    pub term: Term,
    /// What it orders.
    pub batch: Batch,
}

/// Consecutive entries, shared by all copies of the message that carries them.
///
/// Behind one pointer even when there is only one: a message of 56 bytes moves through queues in
/// registers, one that held an entry inline would be copied by `memcpy` at every step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Entries(Option<Arc<[Entry]>>);

impl Entries {
    /// No entry: the message only asks whether the logs agree. Allocates nothing.
    pub const NONE: Self = Self(None);

    /// A single entry.
    #[must_use]
    pub fn one(entry: Entry) -> Self {
        Self(Some(Arc::new([entry])))
    }

    /// The entries in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Entry] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let entries: Arc<[Entry]> = entries.into_iter().collect();
        Self((!entries.is_empty()).then_some(entries))
    }
}

/// What replicas say to one another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// AppendEntries (figure 2), with entries or as a probe. Answered by [`Message::Appended`] or
    /// [`Message::Conflict`].
    Append {
        /// The leader's term.
        term: Term,
        /// The position before the entries.
        previous: Position,
        /// The leader's commit slot.
        committed: Slot,
        /// What to append.
        entries: Entries,
    },
    /// The follower's log is durable and equal to the leader's up to `upto`.
    Appended {
        /// The leader's term.
        term: Term,
        /// The last slot that is known to be equal.
        upto: Slot,
    },
    /// The follower's log does not contain the position before the entries.
    Conflict {
        /// The leader's term.
        term: Term,
        /// The slot of the position that was not found.
        previous: Slot,
        /// The last position of the follower's log that may still be equal: not above `previous`,
        /// and of no later term (§5.3, "the protocol can be optimized").
        hint: Position,
    },
    /// The entry at `position` and everything before it is committed. Needs no answer.
    Commit {
        /// The leader's term.
        term: Term,
        /// The position.
        position: Position,
    },
    /// The leader is alive; also confirms its leadership for reads (thesis §6.4).
    Heartbeat {
        /// The leader's term.
        term: Term,
        /// Counts the leader's rounds in this term.
        round: u64,
        /// The last position known to be in the follower's log.
        matched: Position,
        /// The leader's commit slot.
        committed: Slot,
    },
    /// Answers a heartbeat at once. Promises nothing about the follower's disk.
    HeartbeatReply {
        /// The leader's term.
        term: Term,
        /// The round that is answered.
        round: u64,
        /// The last slot received that equals the leader's, durable or not.
        received: Slot,
    },
    /// RequestVote (figure 2), or the question whether it would succeed (pre-vote).
    Vote {
        /// The term to be led; of a pre-vote, the one after the candidate's.
        term: Term,
        /// The end of the candidate's log.
        last: Position,
        /// Whether this is only the question.
        pre: bool,
        /// Whether the old leader asked for this election: then its liveness is no objection.
        transfer: bool,
    },
    /// Answers [`Message::Vote`].
    VoteReply {
        /// When granted the term asked for, otherwise the voter's.
        term: Term,
        /// Whether the vote was granted.
        granted: bool,
        /// Whether the question was a pre-vote.
        pre: bool,
    },
    /// The receiver's term is over.
    NewerTerm {
        /// The sender's term.
        term: Term,
    },
    /// The receiver is to campaign now (leadership transfer, thesis §3.10).
    TimeoutNow {
        /// The leader's term.
        term: Term,
    },
    /// Travels with a snapshot's data (InstallSnapshot, §7). Answered by [`Message::Appended`].
    Snapshot {
        /// The leader's term.
        term: Term,
        /// The last position that the snapshot covers.
        position: Position,
    },
}

impl Message {
    /// The term that the message names.
    #[must_use]
    pub const fn term(&self) -> Term {
        match self {
            Self::Append { term, .. }
            | Self::Appended { term, .. }
            | Self::Conflict { term, .. }
            | Self::Commit { term, .. }
            | Self::Heartbeat { term, .. }
            | Self::HeartbeatReply { term, .. }
            | Self::Vote { term, .. }
            | Self::VoteReply { term, .. }
            | Self::NewerTerm { term }
            | Self::TimeoutNow { term }
            | Self::Snapshot { term, .. } => *term,
        }
    }

    /// Whether only the leader of [`Message::term`] says this.
    #[must_use]
    pub const fn is_from_leader(&self) -> bool {
        matches!(
            self,
            Self::Append { .. }
                | Self::Commit { .. }
                | Self::Heartbeat { .. }
                | Self::TimeoutNow { .. }
                | Self::Snapshot { .. }
        )
    }
}
