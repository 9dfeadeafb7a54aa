//! The wire format: versioned, checksummed frames around postcard-encoded messages.
//!
//! ```text
//! 0  u16 magic "QF"   4 u32 group      16 u32 body bytes
//! 2  u8  version      8 u64 cluster    20 u32 crc32c over bytes 0..20 and the body
//! 3  u8  sender                        24 body: one message, postcard
//! ```
//!
//! The header is checked before its length is believed: a receiver allocates nothing for a frame
//! that is too large, from another cluster, of another version, or corrupt.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ids::{ClusterId, GroupId, ReplicaId};

/// The version of the frame layout and of the messages in it.
pub const WIRE_VERSION: u8 = 1;
/// Bytes in front of a frame's body.
pub const FRAME_HEADER_BYTES: usize = 24;
/// The largest frame, in bytes, header included.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

const MAGIC: [u8; 2] = *b"QF";

/// Why bytes are not a frame for us. The receiver drops them and counts the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than a header has, or than it announces; read on, or drop at the stream's end.
    #[error("frame is cut short: {have} of {need} bytes")]
    Truncated {
        /// Bytes at hand.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// The first bytes are not a frame's: the peer speaks something else, close the connection.
    #[error("not a frame: magic bytes {0:02x?}")]
    Magic([u8; 2]),
    /// The peer runs another version.
    #[error("frame version {0} is unknown; this build speaks version {WIRE_VERSION}")]
    Version(u8),
    /// The peer belongs to another cluster: check the configuration.
    #[error("frame is from {got}, we are {ours}")]
    Cluster {
        /// The sender's cluster.
        got: ClusterId,
        /// Our cluster.
        ours: ClusterId,
    },
    /// The frame is larger than [`FRAME_BYTES_MAX`].
    #[error("frame of {0} bytes exceeds the limit of {FRAME_BYTES_MAX}")]
    TooLarge(usize),
    /// The bytes changed on their way.
    #[error("frame checksum differs; the bytes were corrupted")]
    Checksum,
    /// The body is not a message of the expected type.
    #[error("frame body does not decode: {0}")]
    Body(postcard::Error),
    /// Bytes follow the message.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
}

/// A checked frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameHeader {
    /// Who claims to have sent it; the authenticator proves it.
    pub from: ReplicaId,
    /// The group it is for.
    pub group: GroupId,
    /// The deployment.
    pub cluster: ClusterId,
    /// Bytes of the body.
    pub body_bytes: usize,
    checksum: u32,
}

impl FrameHeader {
    /// Checks the first [`FRAME_HEADER_BYTES`] of `bytes`.
    ///
    /// # Errors
    /// Says why these bytes do not start a frame for `ours`.
    pub fn parse(bytes: &[u8], ours: ClusterId) -> Result<Self, WireError> {
        let Some(head) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err(WireError::Truncated { have: bytes.len(), need: FRAME_HEADER_BYTES });
        };
        if head[0..2] != MAGIC {
            return Err(WireError::Magic([head[0], head[1]]));
        }
        if head[2] != WIRE_VERSION {
            return Err(WireError::Version(head[2]));
        }
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let got = ClusterId(u64::from(word(8)) | u64::from(word(12)) << 32);
        if got != ours {
            return Err(WireError::Cluster { got, ours });
        }
        let body_bytes = word(16) as usize;
        if body_bytes > FRAME_BYTES_MAX - FRAME_HEADER_BYTES {
            return Err(WireError::TooLarge(body_bytes.saturating_add(FRAME_HEADER_BYTES)));
        }
        Ok(Self {
            from: ReplicaId(head[3]),
            group: GroupId(word(4)),
            cluster: got,
            body_bytes,
            checksum: word(20),
        })
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body_bytes
    }
}

/// Appends a frame with `message` to `out`.
///
/// # Errors
/// [`WireError::TooLarge`] when the message exceeds [`FRAME_BYTES_MAX`]; `out` is unchanged then.
///
/// # Panics
/// Never in practice: encoding into memory does not fail.
pub fn encode<M: Serialize>(
    cluster: ClusterId,
    group: GroupId,
    from: ReplicaId,
    message: &M,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[WIRE_VERSION, from.0]);
    out.extend_from_slice(&group.0.to_le_bytes());
    out.extend_from_slice(&cluster.0.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    let taken = std::mem::take(out);
    *out = postcard::to_extend(message, taken).expect("encoding into memory does not fail");
    let frame_bytes = out.len() - start;
    if frame_bytes > FRAME_BYTES_MAX {
        out.truncate(start);
        return Err(WireError::TooLarge(frame_bytes));
    }
    let body_bytes = (frame_bytes - FRAME_HEADER_BYTES) as u32;
    out[start + 16..start + 20].copy_from_slice(&body_bytes.to_le_bytes());
    let checksum = frame_checksum(&out[start..]);
    out[start + 20..start + 24].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Reads one frame from the start of `bytes`: its header, its message, and its length in bytes.
///
/// # Errors
/// Says why these bytes do not start a whole, intact frame for `ours`.
pub fn decode<M: DeserializeOwned>(
    bytes: &[u8],
    ours: ClusterId,
) -> Result<(FrameHeader, M), WireError> {
    let header = FrameHeader::parse(bytes, ours)?;
    let need = header.frame_bytes();
    let Some(frame) = bytes.get(..need) else {
        return Err(WireError::Truncated { have: bytes.len(), need });
    };
    #[cfg(feature = "planted-defects")]
    let checked = !UNCHECKED.get();
    #[cfg(not(feature = "planted-defects"))]
    let checked = true;
    if checked && frame_checksum(frame) != header.checksum {
        return Err(WireError::Checksum);
    }
    let (message, rest) =
        postcard::take_from_bytes(&frame[FRAME_HEADER_BYTES..]).map_err(WireError::Body)?;
    if !rest.is_empty() {
        return Err(WireError::Trailing(rest.len()));
    }
    Ok((header, message))
}

#[cfg(feature = "planted-defects")]
thread_local! {
    static UNCHECKED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Makes [`decode`] take frames of this thread for intact without looking at their checksum: a
/// planted defect, to prove that a checker sees it.
#[cfg(feature = "planted-defects")]
pub fn plant_unchecked_frames(unchecked: bool) {
    UNCHECKED.set(unchecked);
}

fn frame_checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..20]), &frame[FRAME_HEADER_BYTES..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::Batch;

    const OURS: ClusterId = ClusterId(77);

    fn frame() -> Vec<u8> {
        let mut out = Vec::new();
        let message = (5u64, Batch::empty(GroupId(4)), "text".to_string());
        encode(OURS, GroupId(4), ReplicaId(2), &message, &mut out).unwrap();
        out
    }

    type Message = (u64, Batch, String);

    #[test]
    fn a_frame_reads_back() {
        let (header, message) = decode::<Message>(&frame(), OURS).unwrap();
        assert_eq!((header.from, header.group), (ReplicaId(2), GroupId(4)));
        assert_eq!(message, (5, Batch::empty(GroupId(4)), "text".to_string()));
    }

    #[test]
    fn another_cluster_is_refused_by_name() {
        let error = decode::<Message>(&frame(), ClusterId(1)).unwrap_err();
        assert_eq!(error, WireError::Cluster { got: OURS, ours: ClusterId(1) });
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let frame = frame();
        for end in 0..frame.len() {
            assert!(decode::<Message>(&frame[..end], OURS).is_err(), "cut at {end}");
        }
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Message>(&flipped, OURS).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_declared_length_beyond_the_limit_is_refused_before_reading_on() {
        let mut frame = frame();
        frame[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(decode::<Message>(&frame, OURS), Err(WireError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode::<Message>(&bytes, OURS);
        }
    }
}
