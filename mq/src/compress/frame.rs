//! The header of a frame: written last, checked first.
//!
//! What always holds: [`FrameHeader::parse`] allocates nothing and returns only headers whose
//! declared size the body can hold.
//! Left to others: the body.

use super::{Codec, DICTIONARY_RAW_BYTES_MAX};

/// The version of the frame layout.
pub const FRAME_VERSION: u8 = 1;
/// Bytes in front of a frame's body.
pub const FRAME_HEADER_BYTES: usize = 10;
/// The largest input of one frame, in bytes.
pub const FRAME_RAW_BYTES_MAX: usize = 256 << 20;

/// Bytes of the dictionary's id in front of its block.
pub(super) const DICTIONARY_ID_BYTES: usize = 4;
/// lz4 cannot expand a block by more than this factor: one byte adds at most 255 to a length.
const LZ4_EXPANSION_MAX: usize = 255;
/// zstd cannot expand by more: a block of 128 KiB takes at least four bytes.
const ZSTD_EXPANSION_MAX: usize = 32_768;

/// Why bytes are not a frame, or not one for this receiver, who drops them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than a header has.
    #[error("compressed frame is cut short: {0} bytes")]
    Truncated(usize),
    /// Written by another version.
    #[error("compressed frame version {0} is unknown; this build reads version {FRAME_VERSION}")]
    Version(u8),
    /// No codec has this number.
    #[error("compression codec {0} is unknown")]
    Codec(u8),
    /// A codec that this build leaves out: rebuild with its cargo feature, or have the sender use
    /// another.
    #[error("codec {0:?} is not built in; it needs the cargo feature `zstd`")]
    NotBuilt(Codec),
    /// The frame was made with a dictionary that the reader does not hold: agree on one.
    #[error("frame needs dictionary {0:#010x}, which is not held here")]
    Dictionary(u32),
    /// The declared size exceeds the caller's limit; nothing was allocated.
    #[error("frame declares {declared} raw bytes, above the limit {limit}")]
    TooLarge {
        /// What was declared.
        declared: usize,
        /// What the caller allows.
        limit: usize,
    },
    /// The body cannot have come from that many bytes; nothing was allocated.
    #[error("frame declares {declared} raw bytes, but its body of {body} bytes cannot hold them")]
    Implausible {
        /// What was declared.
        declared: usize,
        /// Bytes of the body.
        body: usize,
    },
    /// The bytes changed on their way.
    #[error("compressed frame checksum differs; the bytes were corrupted")]
    Checksum,
    /// The body is not what the codec produces, or opens to another size than declared.
    #[error("compressed frame body does not open to its declared size")]
    Body,
}

impl Codec {
    fn from_tag(tag: u8) -> Result<Self, FrameError> {
        Ok(match tag {
            0 => Self::Raw,
            1 => Self::Lz4,
            2 => Self::Lz4Dictionary,
            3 => Self::Lz4Blocks,
            4 => Self::Zstd,
            5 => Self::ZstdBlocks,
            unknown => return Err(FrameError::Codec(unknown)),
        })
    }

    /// Whether `body_bytes` can have come from `raw_bytes`.
    pub(super) fn plausible(self, raw_bytes: usize, body_bytes: usize) -> bool {
        match self {
            Self::Raw => raw_bytes == body_bytes,
            Self::Lz4 | Self::Lz4Blocks => {
                raw_bytes <= body_bytes.saturating_mul(LZ4_EXPANSION_MAX)
            }
            Self::Lz4Dictionary => {
                body_bytes.checked_sub(DICTIONARY_ID_BYTES).is_some_and(|block_bytes| {
                    raw_bytes <= DICTIONARY_RAW_BYTES_MAX
                        && raw_bytes <= block_bytes.saturating_mul(LZ4_EXPANSION_MAX)
                })
            }
            Self::Zstd | Self::ZstdBlocks => {
                raw_bytes <= body_bytes.saturating_mul(ZSTD_EXPANSION_MAX)
            }
        }
    }
}

/// What a frame's header says, after everything that can be checked without opening the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameHeader {
    /// How the body is stored.
    pub codec: Codec,
    /// Bytes of the input.
    pub raw_bytes: usize,
}

impl FrameHeader {
    /// Checks a whole frame (header, plausibility, checksum) and returns its body. Allocates
    /// nothing.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn parse(frame: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let Some((head, body)) = frame.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err(FrameError::Truncated(frame.len()));
        };
        if head[0] != FRAME_VERSION {
            return Err(FrameError::Version(head[0]));
        }
        let codec = Codec::from_tag(head[1])?;
        let raw_bytes = word(&head[2..]) as usize;
        if !codec.plausible(raw_bytes, body.len()) {
            return Err(FrameError::Implausible { declared: raw_bytes, body: body.len() });
        }
        if crc32c::crc32c_append(crc32c::crc32c(&head[..6]), body) != word(&head[6..]) {
            return Err(FrameError::Checksum);
        }
        Ok((Self { codec, raw_bytes }, body))
    }

    /// Makes room for a header at the end of `out` and returns where the frame starts.
    pub(super) fn begin(out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        start
    }

    /// Writes the header of the frame that starts at `start` and ends with `out`.
    pub(super) fn finish(self, out: &mut [u8], start: usize) {
        let frame = &mut out[start..];
        frame[0] = FRAME_VERSION;
        frame[1] = self.codec as u8;
        frame[2..6].copy_from_slice(&(self.raw_bytes as u32).to_le_bytes());
        let head = crc32c::crc32c(&frame[..6]);
        let checksum = crc32c::crc32c_append(head, &frame[FRAME_HEADER_BYTES..]);
        frame[6..FRAME_HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The first four bytes as a number.
pub(super) fn word(bytes: &[u8]) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[..4]);
    u32::from_le_bytes(word)
}
