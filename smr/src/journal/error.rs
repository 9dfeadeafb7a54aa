//! Why a journal cannot be read or written, and who acts.

use super::identity::Identity;
use super::{JOURNAL_VERSION, Place};

/// Why a journal is refused. Nothing was changed.
///
/// Whatever says *replace the replica* means: its promises may be lost, so this identity must not
/// run again; remove it from the group and add a new one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The disk holds no journal. The operator formats it if the replica is new, otherwise
    /// replaces the replica: an empty disk is no first start.
    #[error("the disk holds no journal; format it for a new replica, replace one that ran before")]
    Unformatted,
    /// Neither copy of the identity is whole: replace the replica.
    #[error("both copies of the journal's identity are damaged; replace the replica")]
    IdentityDamaged,
    /// The disk belongs to someone else: the operator attaches the right one.
    #[error("the disk belongs to {found}, this replica's is {expected}; attach the right disk")]
    WrongDisk {
        /// What the host expects.
        expected: Identity,
        /// What the disk says.
        found: Identity,
    },
    /// Another version of this program wrote it: run that one.
    #[error("journal version {0} is unknown; this build reads version {JOURNAL_VERSION}")]
    Version(u16),
    /// The identity is there, the steps are not: replace the replica.
    #[error("the journal has an identity but no generation of steps; replace the replica")]
    NoSteps,
    /// A step that was durable is damaged: replace the replica.
    #[error("{place} at byte {offset} is damaged ({flaw}), and {proof}; replace the replica")]
    Rot {
        /// The first damaged step.
        place: Place,
        /// Where it should begin in its steps area.
        offset: u64,
        /// What is wrong with it.
        flaw: Flaw,
        /// Why it is no torn write.
        proof: Proof,
    },
    /// A step that was durable is not there: replace the replica, and its disk.
    #[error("{place} at byte {offset} is missing, and {proof}; replace the replica and its disk")]
    Gap {
        /// The first missing step.
        place: Place,
        /// Where it should begin in its steps area.
        offset: u64,
        /// Why it is no torn write.
        proof: Proof,
    },
    /// A sound step stands where another should: replace the replica, and its disk.
    #[error("{found} stands at byte {offset}, the place of {expected}; replace the replica")]
    Misplaced {
        /// The step that belongs there.
        expected: Place,
        /// The step found.
        found: Place,
        /// Where.
        offset: u64,
    },
    /// A step and its identifier are both sound and differ, so a write was lost: replace the
    /// replica, and its disk.
    #[error("{place} is not what its identifier names; a write was lost, replace the replica")]
    Conflict {
        /// The step.
        place: Place,
    },
    /// The header of a steps area is damaged: replace the replica.
    #[error("the header of generation {generation} is damaged; replace the replica")]
    Header {
        /// The generation.
        generation: u64,
    },
    /// The frames are sound but do not make a step: another program wrote them.
    #[error("{place} is not made of the frames that a step has: {what}")]
    Malformed {
        /// The step.
        place: Place,
        /// What is wrong.
        what: &'static str,
    },
    /// A record is sound but not of the expected type: run the version that wrote it.
    #[error("the record of {place} does not decode ({error}); run the version that wrote it")]
    Record {
        /// The step.
        place: Place,
        /// The decoder's reason.
        error: postcard::Error,
    },
    /// The protocol asked for more than the format holds; the step was not written.
    #[error("{what} of {size} exceeds the limit of {size_max}; the step was not written")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        size_max: u64,
    },
    /// The disk is full; the step was not written. The replica stops, and starts again when the
    /// operator has made space.
    #[error("disk full: the step needs {needed} bytes, {left} are left; make space and restart")]
    Full {
        /// Bytes that the step takes.
        needed: u64,
        /// Bytes that are left.
        left: u64,
    },
}

/// What is wrong with the bytes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// They end too early.
    #[error("cut short")]
    Short,
    /// Its place is empty: only zeros.
    #[error("nothing there")]
    Hole,
    /// A frame's header does not match its checksum.
    #[error("header checksum")]
    Header,
    /// A frame's header is whole and says what no writer writes.
    #[error("impossible header")]
    Impossible,
    /// A frame's body does not match its checksum.
    #[error("body checksum")]
    Body,
    /// A frame of another step stands here.
    #[error("a frame of another step")]
    Astray(Place),
}

/// What shows that a step had been durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Proof {
    /// An identifier of it or of a later step.
    #[error("the identifier of {0} shows that it was written whole")]
    Identifier(Place),
    /// A later step.
    #[error("{0} follows it")]
    LaterStep(Place),
    /// The generation before, which is removed only after the first step of this one is durable,
    /// is gone.
    #[error("the generation before it is gone")]
    NoPredecessor,
}
