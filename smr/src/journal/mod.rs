//! The journal's bytes: what a replica's durable steps look like on a disk, and how they are read
//! back.
//!
//! Encoding and decoding only; a host does the I/O. A journal is three kinds of areas (files, or
//! byte strings in the simulator). All integers are little-endian.
//!
//! ```text
//! identity area                        one for each disk, written once, by format_identity
//!    0  copy 0                         two equal copies in sectors of their own, so that one bad
//! 4096  copy 1                         sector cannot take both
//!         0 [8]  "QJIDENTY"   12 u32  group        24 [16] disk id (random, chosen by the host)
//!         8 u16  version      16 u64  cluster      40 u32  crc over bytes 0..40
//!        10 u8   replica, u8 zero
//!
//! steps area                           one for each generation: what was appended since the last
//!    0  header                         replacement, and the replacement itself in front
//!         0 [8]  "QJSTEPS1"   16 u64  place of the first step     28 u32 crc over bytes 0..28
//!         8 u64  generation   24 u32  zero
//!   32  frames, one behind the other, each
//!         0 [4]  "QJFR"        8 u64  place        24 u32 body bytes    36 body
//!         4 u8   version      16 u32  part         28 u32 crc over the body
//!         5 u8   kind, u16 0  20 u32  parts        32 u32 crc over bytes 0..32
//!
//! identifiers area                     one for each generation, one identifier for each step
//!   32*i  identifier of step i of the generation
//!         0 u64  place         8 u64  offset of the step in the steps area
//!        16 u64  bytes of the step, all frames     24 u32 checksum over the step's frame headers
//!        28 u32  crc over bytes 0..28
//! ```
//!
//! A *step* is one durable step of the protocol contract and one or more frames with the same
//! [`Place`]. An `Append` is one frame (kind 1). A replacement (`Compact`, `InstallSnapshot`) is a
//! list of frames: the snapshot's description (2), its bytes in chunks (3), the records that
//! remain (4); it begins a new generation. A step counts only when all its frames are whole, so
//! both kinds are atomic. Every checksum is CRC-32C, begun with the disk's identity and the
//! generation, so that bytes of another disk or of a generation before, and bytes that a client
//! chose, never pass for a step.
//!
//! # Writing
//! For all steps that one sync makes durable: their frames, then their identifiers, then the sync,
//! then the removal of older generations ([`Step`]). Nothing is acknowledged before the sync.
//!
//! # Reading
//! After *Protocol-Aware Recovery* (Alagappan et al., FAST 2018, §3.3): the identifiers, kept away
//! from their steps, tell a crash from damage.
//!
//! | step | its identifier | a later step or identifier | what it is | what happens |
//! |---|---|---|---|---|
//! | whole | any that does not contradict it | any | sound | recovered, identifier mended |
//! | whole | whole, of another step | any | a write that was lost or went astray | refused |
//! | not whole | absent | none | torn in a crash, never acknowledged | dropped |
//! | not whole | whole | any | rot, or a lost write | refused |
//! | not whole | any | some | rot, or a lost write | refused |
//! | whole, of another place | any | any | a write that went astray | refused |
//!
//! Refused means: [`open`] returns an error, the bytes stay as they are, and the replica must not
//! start. The last line but two includes the case that the paper calls undecidable, a bad last
//! step whose identifier is there: it is taken for rot. A disk that reorders writes within one
//! sync can produce it in a crash; then the replica is refused although nothing acknowledged was
//! lost. That is safe; a host that wants to exclude it syncs frames before it writes identifiers.
//! Bytes that were synced are assumed to survive the write of bytes that follow them in the same
//! sector.
//!
//! What no local check can see: a disk that forgets the last steps *and* their identifiers although
//! it said that both were durable. Such a disk is outside the crash-fault model.
//!
//! A disk without an identity, or with another one, is refused and never taken for a first start:
//! a replica that forgot its promises must not vote again under its old identity.

mod error;
mod frame;
mod identity;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{Flaw, JournalError, Proof};
pub use frame::{CHUNK_BYTES_MAX, PARTS_MAX, RECORD_BYTES_MAX};
pub use identity::{DiskId, IDENTITY_AREA_BYTES, Identity, format_identity};
pub use reader::{GenerationBytes, Opened, Repair, open};
pub use writer::{Step, Writer};

use std::fmt;

/// The version of the layout above.
pub const JOURNAL_VERSION: u8 = 1;

/// The number of a durable step, counted from the format over all incarnations; the first is 1.
///
/// Not an [`Lsn`](crate::Lsn), which counts from the start of an incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

impl Place {
    /// The first step of a journal.
    pub const FIRST: Self = Self(1);

    /// The step after this one.
    ///
    /// # Panics
    /// At `u64::MAX`, which takes 584 years at a billion steps a second.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("places do not overflow"))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step-{}", self.0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Which pair of steps area and identifiers area; each replacement begins the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation that formatting begins.
    pub const FIRST: Self = Self(1);
}
