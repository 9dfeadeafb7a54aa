//! Compression of batches as a pure value: tagged frames over lz4 blocks, limits before allocation.
//!
//! A frame says how its body is stored, how large it is when opened, and a checksum:
//!
//! ```text
//! 0 u8 version   2 u32 raw bytes   6 u32 crc32c over bytes 0..6 and the body
//! 1 u8 codec     10 body: the raw bytes (codec 0) or one lz4 block (codec 1)
//! ```
//!
//! A declared size is believed only when it is within the caller's limit *and* within what lz4 can
//! expand the body to; only then is memory taken. The produced size is checked afterwards.
//!
//! The [`Compressor`] keeps its tables and buffers; in the steady state it allocates nothing. With
//! [`CompressionPolicy::Adaptive`] it leaves small inputs alone, keeps the raw form when lz4 does not
//! make it smaller, and after inputs that did not pay it stops trying for a while.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into as lz4_open};

/// The version of the frame layout.
pub const FRAME_VERSION: u8 = 1;
/// Bytes in front of a frame's body.
pub const FRAME_HEADER_BYTES: usize = 10;
/// The largest input of one frame, in bytes.
pub const FRAME_RAW_BYTES_MAX: usize = 256 << 20;
/// Below this size the adaptive policy does not try: lz4 gains nothing on so few bytes.
pub const ADAPTIVE_BYTES_MIN: usize = 512;

/// lz4 cannot expand a block by more than this factor.
const EXPANSION_MAX: usize = 255;
/// The longest pause between trials of the adaptive policy, in inputs.
const PAUSE_MAX: u32 = 64;

/// How a frame's body is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    Raw = 0,
    /// One lz4 block.
    Lz4 = 1,
}

/// When to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompressionPolicy {
    /// Never.
    Off,
    /// Every input; the raw form is kept where lz4 does not make it smaller.
    Always,
    /// Inputs of at least `bytes_min` bytes, with pauses after inputs that did not pay: 1, 2, 4 …
    /// up to 64 inputs. An input pays when lz4 saves at least an eighth of it.
    Adaptive {
        /// The smallest input worth trying, in bytes.
        bytes_min: usize,
    },
}

impl Default for CompressionPolicy {
    fn default() -> Self {
        Self::Adaptive { bytes_min: ADAPTIVE_BYTES_MIN }
    }
}

/// Why bytes are not a frame. The receiver drops them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than a header has.
    #[error("compressed frame is cut short: {0} bytes")]
    Truncated(usize),
    /// Written by another version.
    #[error("compressed frame version {0} is unknown; this build reads version {FRAME_VERSION}")]
    Version(u8),
    /// A codec that this build does not know.
    #[error("compression codec {0} is unknown")]
    Codec(u8),
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
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let raw_bytes = word(2) as usize;
        let (codec, plausible) = match head[1] {
            0 => (Codec::Raw, raw_bytes == body.len()),
            1 => (Codec::Lz4, raw_bytes <= body.len().saturating_mul(EXPANSION_MAX)),
            unknown => return Err(FrameError::Codec(unknown)),
        };
        if !plausible {
            return Err(FrameError::Implausible { declared: raw_bytes, body: body.len() });
        }
        if crc32c::crc32c_append(crc32c::crc32c(&head[..6]), body) != word(6) {
            return Err(FrameError::Checksum);
        }
        Ok((Self { codec, raw_bytes }, body))
    }
}

/// Opens `frame` and appends its content to `out`, taking at most `raw_bytes_max` bytes.
///
/// # Errors
/// Says what is wrong with the frame; `out` is unchanged then. A declared size above the limit, or
/// above what the body can hold, is refused before memory is taken.
pub fn decompress_into(
    frame: &[u8],
    raw_bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let (header, body) = FrameHeader::parse(frame)?;
    open_body(header, body, raw_bytes_max, out)?;
    if header.codec == Codec::Raw {
        out.extend_from_slice(body);
    }
    Ok(())
}

/// Checks the declared size against the limit, then appends a compressed body's content to `out`;
/// a raw body is left to the caller.
fn open_body(
    header: FrameHeader,
    body: &[u8],
    raw_bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    if header.raw_bytes > raw_bytes_max {
        return Err(FrameError::TooLarge { declared: header.raw_bytes, limit: raw_bytes_max });
    }
    if header.codec == Codec::Raw {
        return Ok(());
    }
    let start = out.len();
    out.resize(start + header.raw_bytes, 0);
    match lz4_open(body, &mut out[start..]) {
        Ok(produced) if produced == header.raw_bytes => Ok(()),
        _ => {
            out.truncate(start);
            Err(FrameError::Body)
        }
    }
}

/// Opens `frame` without copying where possible: a raw body is borrowed from the frame, a
/// compressed one is opened into `scratch`, which is cleared first and keeps its memory.
///
/// ```
/// use quorate_mq::compress::{self, CompressionPolicy, Compressor};
///
/// let (mut frame, mut scratch) = (Vec::new(), Vec::new());
/// let mut compressor = Compressor::new(CompressionPolicy::default());
/// compressor.compress_into(b"too short to shrink", &mut frame);
/// assert_eq!(compress::open(&frame, 1024, &mut scratch), Ok(&b"too short to shrink"[..]));
/// assert_eq!(scratch.capacity(), 0, "borrowed");
/// ```
///
/// # Errors
/// As [`decompress_into`].
pub fn open<'a>(
    frame: &'a [u8],
    raw_bytes_max: usize,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], FrameError> {
    scratch.clear();
    let (header, body) = FrameHeader::parse(frame)?;
    open_body(header, body, raw_bytes_max, scratch)?;
    Ok(if header.codec == Codec::Raw { body } else { scratch })
}

/// Makes frames. Keep one for each thread that compresses: its tables and its memory of what paid
/// are reused.
pub struct Compressor {
    policy: CompressionPolicy,
    table: CompressTable,
    /// Inputs left to pass by before the next trial, and the length of the pause after that.
    paused: u32,
    pause: u32,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Compressor {
    /// A compressor that follows `policy`.
    #[must_use]
    pub fn new(policy: CompressionPolicy) -> Self {
        Self { policy, table: CompressTable::default(), paused: 0, pause: 0 }
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> CompressionPolicy {
        self.policy
    }

    /// Appends a frame with `raw` to `out` and says how its body is stored.
    ///
    /// # Panics
    /// If `raw` exceeds [`FRAME_RAW_BYTES_MAX`]: callers bound their batches far below it.
    pub fn compress_into(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Codec {
        assert!(raw.len() <= FRAME_RAW_BYTES_MAX, "inputs are bounded by FRAME_RAW_BYTES_MAX");
        let start = out.len();
        out.resize(start + FRAME_HEADER_BYTES, 0);
        let mut codec = Codec::Raw;
        if self.wants_to_try(raw.len()) {
            let packed_bytes = self.try_lz4(raw, out);
            self.remember(raw.len(), packed_bytes);
            if packed_bytes < raw.len() {
                codec = Codec::Lz4;
            } else {
                out.truncate(start + FRAME_HEADER_BYTES);
            }
        }
        if codec == Codec::Raw {
            out.extend_from_slice(raw);
        }
        let frame = &mut out[start..];
        frame[0] = FRAME_VERSION;
        frame[1] = codec as u8;
        frame[2..6].copy_from_slice(&(raw.len() as u32).to_le_bytes());
        let head = crc32c::crc32c(&frame[..6]);
        let checksum = crc32c::crc32c_append(head, &frame[FRAME_HEADER_BYTES..]);
        frame[6..10].copy_from_slice(&checksum.to_le_bytes());
        codec
    }

    fn wants_to_try(&mut self, raw_bytes: usize) -> bool {
        match self.policy {
            CompressionPolicy::Off => false,
            CompressionPolicy::Always => raw_bytes > 0,
            CompressionPolicy::Adaptive { bytes_min } => {
                if raw_bytes < bytes_min.max(1) {
                    return false;
                }
                let pausing = self.paused > 0;
                self.paused = self.paused.saturating_sub(1);
                !pausing
            }
        }
    }

    /// Compresses onto the end of `out` and returns the bytes produced.
    fn try_lz4(&mut self, raw: &[u8], out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.resize(start + lz4_flex::block::get_maximum_output_size(raw.len()), 0);
        let produced = compress_into_with_table(raw, &mut out[start..], &mut self.table)
            .expect("the buffer has lz4's maximum output size");
        out.truncate(start + produced);
        produced
    }

    fn remember(&mut self, raw_bytes: usize, packed_bytes: usize) {
        let paid = packed_bytes <= raw_bytes - raw_bytes / 8;
        self.pause = if paid { 0 } else { (self.pause * 2).clamp(1, PAUSE_MAX) };
        self.paused = self.pause;
    }
}

#[cfg(test)]
mod tests;
