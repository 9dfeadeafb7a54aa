//! Whose disk it is: written once, in two copies, checked at every start.

use std::fmt;

use super::error::JournalError;
use super::{Generation, JOURNAL_VERSION};
use crate::ids::{ClusterId, GroupId, ReplicaId};

/// Where the second copy begins: behind the largest sector in use.
const COPY_OFFSET_BYTES: usize = 4096;
const COPY_BYTES: usize = 44;
const MAGIC: [u8; 8] = *b"QJIDENTY";

/// Bytes of the identity area.
pub const IDENTITY_AREA_BYTES: usize = COPY_OFFSET_BYTES + COPY_BYTES;

/// A random number that the host draws when it formats a disk, so that no two formats are alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(pub u128);

impl fmt::Debug for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Whose disk it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The deployment.
    pub cluster: ClusterId,
    /// The group within it.
    pub group: GroupId,
    /// The replica.
    pub replica: ReplicaId,
    /// The format of this disk.
    pub disk: DiskId,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} disk {:?}", self.cluster, self.group, self.replica, self.disk)
    }
}

impl Identity {
    fn encode(&self) -> [u8; COPY_BYTES] {
        let mut copy = [0; COPY_BYTES];
        copy[0..8].copy_from_slice(&MAGIC);
        copy[8..10].copy_from_slice(&u16::from(JOURNAL_VERSION).to_le_bytes());
        copy[10] = self.replica.0;
        copy[12..16].copy_from_slice(&self.group.0.to_le_bytes());
        copy[16..24].copy_from_slice(&self.cluster.0.to_le_bytes());
        copy[24..40].copy_from_slice(&self.disk.0.to_le_bytes());
        let checksum = crc32c::crc32c(&copy[..40]);
        copy[40..44].copy_from_slice(&checksum.to_le_bytes());
        copy
    }

    /// The identity in a copy, if the copy is whole.
    fn decode(copy: &[u8; COPY_BYTES]) -> Result<Option<Self>, JournalError> {
        let checksum = u32::from_le_bytes(copy[40..44].try_into().expect("four bytes"));
        if copy[0..8] != MAGIC || crc32c::crc32c(&copy[..40]) != checksum {
            return Ok(None);
        }
        let version = u16::from_le_bytes([copy[8], copy[9]]);
        if version != u16::from(JOURNAL_VERSION) {
            return Err(JournalError::Version(version));
        }
        Ok(Some(Self {
            cluster: ClusterId(u64::from_le_bytes(copy[16..24].try_into().expect("eight bytes"))),
            group: GroupId(u32::from_le_bytes(copy[12..16].try_into().expect("four bytes"))),
            replica: ReplicaId(copy[10]),
            disk: DiskId(u128::from_le_bytes(copy[24..40].try_into().expect("sixteen bytes"))),
        }))
    }

    /// What every checksum of a generation begins with.
    pub(super) fn checksum_seed(&self, generation: Generation) -> u32 {
        // Without the copy's own checksum: bytes with their checksum behind them all end in the
        // same state.
        crc32c::crc32c_append(crc32c::crc32c(&self.encode()[..40]), &generation.0.to_le_bytes())
    }
}

/// The bytes of the identity area of a new disk. The host writes and syncs the first generation
/// ([`Writer::format`](super::Writer::format)) before it writes these.
#[must_use]
pub fn format_identity(identity: &Identity) -> Vec<u8> {
    let mut area = vec![0; IDENTITY_AREA_BYTES];
    for offset in [0, COPY_OFFSET_BYTES] {
        area[offset..offset + COPY_BYTES].copy_from_slice(&identity.encode());
    }
    area
}

/// Checks that the identity area names `expected`; the damaged copy, with the bytes that mend it.
pub(super) fn check_identity(
    area: &[u8],
    expected: &Identity,
) -> Result<Option<(u64, Vec<u8>)>, JournalError> {
    if area.iter().all(|byte| *byte == 0) {
        return Err(JournalError::Unformatted);
    }
    let mut sound = None;
    let mut damaged = None;
    for offset in [0, COPY_OFFSET_BYTES] {
        let copy = area.get(offset..).and_then(<[u8]>::first_chunk);
        match copy.map(Identity::decode).transpose()?.flatten() {
            Some(found) if found == *expected => sound = Some(found),
            Some(found) => return Err(JournalError::WrongDisk { expected: *expected, found }),
            None => damaged = Some(offset),
        }
    }
    let sound = sound.ok_or(JournalError::IdentityDamaged)?;
    Ok(damaged.map(|offset| (offset as u64, sound.encode().to_vec())))
}
