//! Deliberate mistakes, to prove that a checker sees.
//!
//! A harness that never failed proves nothing. Each defect names what it breaks of *Paxos Made
//! Simple* (P1a, P2b, P2c) or of what clients may expect; the simulator plants one and must find
//! it. Compiled only with the feature `planted-defects`: no other build has a line of it.

/// A mistake that can be planted with the feature `planted-defects`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// An acceptor accepts under a ballot below its promise. Breaks agreement: a deposed leader
    /// and its successor both decide a slot.
    AcceptBelowPromise,
    /// A restarted acceptor has forgotten its promise. Breaks agreement after a crash: it serves the
    /// old leader again, beside the new one. Needs a leader that is cut off and comes back within
    /// `election_timeout_max`, so random runs meet it seldom.
    PromiseForgottenOnCrash,
    /// An acceptor acknowledges what its disk does not hold yet. Breaks agreement after a crash: a
    /// decided value is lost.
    AcknowledgeBeforeDurable,
    /// A new leader ignores the values that its promises report and fills the slots with its own.
    /// Breaks agreement: a decided value is replaced.
    IgnoreLowerBallotValue,
    /// A leader answers reads without asking a quorum whether it still leads. Breaks
    /// linearizability: a deposed leader serves stale reads.
    ReadWithoutQuorum,
    /// A new leader answers reads before the values that it adopted are decided. Breaks
    /// linearizability: a write that its predecessor acknowledged is missing.
    ReadBeforeAdoptedDecided,
    /// A leader decides with one acceptance too few. Breaks agreement when the leader is lost.
    DecideBelowQuorum,
    /// A learner takes whatever it accepted at a decided slot for the decision, whichever ballot
    /// it was accepted under. Breaks agreement after a change of leaders.
    LearnFromAnyBallot,
    /// A promise leaves before it is durable, so that a crash takes it back. Breaks P1a: the
    /// acceptor serves an older leader again, and what was told is forgotten.
    PromiseBeforeDurable,
    /// Compaction writes a base record without the promise. Breaks P1a after a crash: what was told
    /// is forgotten.
    CompactionForgetsPromise,
    /// Compaction keeps none of the acceptances above the snapshot in the journal. Breaks agreement
    /// after a crash: what was told is forgotten, a decided value may be lost.
    CompactionDropsAcceptances,
    /// A new leader proposes the value of the lowest ballot that it hears of, not of the highest.
    /// Breaks P2c: a decided value is replaced by an older one.
    AdoptLowestBallot,
    /// The first page of a promise counts for the whole of it. Breaks P2c: values on later pages
    /// are overlooked.
    FirstPageIsWholePromise,
    /// A new leader does not wait for the decided slots that its promises report. Breaks P2b: it
    /// fills them with values of its own.
    LeadBehindDecided,
}

impl Defect {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::AcceptBelowPromise,
        Self::PromiseForgottenOnCrash,
        Self::AcknowledgeBeforeDurable,
        Self::IgnoreLowerBallotValue,
        Self::ReadWithoutQuorum,
        Self::ReadBeforeAdoptedDecided,
        Self::DecideBelowQuorum,
        Self::LearnFromAnyBallot,
        Self::PromiseBeforeDurable,
        Self::CompactionForgetsPromise,
        Self::CompactionDropsAcceptances,
        Self::AdoptLowestBallot,
        Self::FirstPageIsWholePromise,
        Self::LeadBehindDecided,
    ];
}
