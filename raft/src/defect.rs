//! Deliberate mistakes, to prove that a checker sees.
//!
//! A harness that never failed proves nothing. Each defect names the invariant of *Raft* figure 3
//! (or of clients) that breaks; the simulator plants one and must find it. Without the feature
//! `planted-defects` no configuration field carries a defect and every question below is a constant
//! `false` that the compiler removes.

/// A mistake that can be planted with the feature `planted-defects`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A vote is granted without being written to the journal. After a crash the replica votes
    /// again in the same term: breaks **election safety** (two leaders of one term).
    VoteNotPersisted,
    /// The vote is forgotten whenever the replica becomes a follower within its term: breaks
    /// **election safety**.
    VoteClearedOnStepDown,
    /// An entry of an older term is committed as soon as a majority holds it (figure 8): breaks
    /// **leader completeness**, then **agreement**.
    CommitOlderTermByCounting,
    /// A follower commits up to the leader's commit slot although its own entries there were not
    /// compared with the leader's: breaks **agreement** (two batches at one slot).
    FollowerCommitsBeyondVerified,
    /// A leader answers reads without asking whether it still leads: breaks **linearizability**
    /// (a deposed leader serves a stale value).
    ReadWithoutQuorum,
    /// A follower acknowledges entries before they are durable: after a crash a committed entry is
    /// held by a minority only. Breaks **leader completeness**, then **agreement**.
    AcknowledgeBeforeDurable,
    /// A replica votes for candidates whose log is behind its own (§5.4.1 left out): breaks
    /// **leader completeness**.
    VoteForStaleLog,
    /// A vote leaves before it is durable, so that a crash takes it back: breaks **election
    /// safety**, and what was told is forgotten.
    VoteBeforeDurable,
    /// A read counts as confirmed by answers to a heartbeat that left before it arrived: breaks
    /// **linearizability** when another leader was elected in between (thesis §6.4, step 3).
    ReadConfirmedByEarlierRound,
    /// A follower appends without comparing the entry before (§5.3): breaks **log matching**.
    AppendWithoutComparing,
    /// A follower drops what follows the entries of a message although nothing contradicts it, so
    /// that a message which was overtaken takes acknowledged entries away (figure 2,
    /// AppendEntries 3 says "conflicts"): breaks **leader completeness**.
    TruncateMatchingEntries,
    /// A new leader serves reads before its no-op is committed, when it does not know yet what its
    /// predecessor committed (Redis-Raft shipped this): breaks **linearizability**.
    ReadBeforeOwnCommit,
    /// Compaction writes the term without the vote that was given in it: the replica votes again
    /// after a crash. Breaks **election safety**, and what was told is forgotten.
    CompactionForgetsVote,
    /// Compaction keeps nothing above the snapshot in the journal: acknowledged entries are gone
    /// after a crash. Breaks **leader completeness**, and what was told is forgotten.
    CompactionDropsTail,
}

impl Defect {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::VoteNotPersisted,
        Self::VoteClearedOnStepDown,
        Self::CommitOlderTermByCounting,
        Self::FollowerCommitsBeyondVerified,
        Self::ReadWithoutQuorum,
        Self::AcknowledgeBeforeDurable,
        Self::VoteForStaleLog,
        Self::VoteBeforeDurable,
        Self::ReadConfirmedByEarlierRound,
        Self::AppendWithoutComparing,
        Self::TruncateMatchingEntries,
        Self::ReadBeforeOwnCommit,
        Self::CompactionForgetsVote,
        Self::CompactionDropsTail,
    ];
}
