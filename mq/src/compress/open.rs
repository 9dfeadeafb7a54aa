//! Opens frames.
//!
//! What always holds: nothing is allocated for a frame that declares more than the caller's limit
//! or more than its body can hold; an output is exactly as long as declared, or untouched. Opened
//! bytes come from the frame (and its dictionary) alone, never from what a buffer held before.
//! Left to others: what the bytes mean.

use std::sync::Arc;

#[cfg(feature = "rayon")]
use super::blocks::ParallelDecoder;
use super::{
    Codec, Dictionary, DictionaryError, FrameError, FrameHeader,
    blocks::Layout,
    codec::{Decoder, Packing},
    frame::{DICTIONARY_ID_BYTES, word},
    held::held,
};

/// The most dictionaries that a decompressor holds.
pub const DICTIONARIES_MAX: usize = 8;

impl Packing {
    pub(super) const fn codec(self) -> Codec {
        match self {
            Self::Lz4 => Codec::Lz4,
            Self::Zstd => Codec::Zstd,
        }
    }
}

/// Opens `frame` and appends its content to `out`, taking at most `raw_bytes_max` bytes.
///
/// Holds the dictionaries of the process alone ([`hold`](super::hold)), and takes a new context for each zstd frame: where these matter, keep a
/// [`Decompressor`].
///
/// # Errors
/// Says what is wrong with the frame; `out` is unchanged then. A declared size above the limit, or
/// above what the body can hold, is refused before memory is taken.
pub fn decompress_into(
    frame: &[u8],
    raw_bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    Decompressor::new().decompress_into(frame, raw_bytes_max, out)
}

/// Opens `frame` without copying where possible: a raw body is borrowed from the frame, another
/// is opened into `scratch`, whose content is replaced and whose memory is kept.
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
    Decompressor::new().open(frame, raw_bytes_max, scratch)
}

/// Opens frames, with dictionaries and contexts kept. One for each thread that opens.
#[derive(Default)]
pub struct Decompressor {
    dictionaries: Vec<Arc<Dictionary>>,
    decoder: Decoder,
    #[cfg(feature = "rayon")]
    parallel: Option<ParallelDecoder>,
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor")
            .field("dictionaries", &self.dictionaries)
            .finish_non_exhaustive()
    }
}

impl Decompressor {
    /// Opens all frames but those that need a dictionary which the process does not
    /// [`hold`](super::hold). Takes no memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens frames that were made with `dictionary` as well.
    ///
    /// # Errors
    /// [`DictionaryError::TooMany`] beyond [`DICTIONARIES_MAX`].
    pub fn with_dictionary(mut self, dictionary: Arc<Dictionary>) -> Result<Self, DictionaryError> {
        if self.dictionaries.len() >= DICTIONARIES_MAX {
            return Err(DictionaryError::TooMany);
        }
        self.dictionaries.push(dictionary);
        Ok(self)
    }

    /// Opens frames of independent blocks with at least `bytes_min` raw bytes (see
    /// [`PARALLEL_BYTES_MIN`](super::PARALLEL_BYTES_MIN)) on the threads of the caller's rayon
    /// pool.
    #[cfg(feature = "rayon")]
    #[must_use]
    pub fn with_parallel(mut self, bytes_min: usize) -> Self {
        self.parallel = Some(ParallelDecoder::new(bytes_min));
        self
    }

    /// Opens `frame` and appends its content to `out`, taking at most `raw_bytes_max` bytes.
    ///
    /// # Errors
    /// As [`decompress_into`](super::decompress_into).
    pub fn decompress_into(
        &mut self,
        frame: &[u8],
        raw_bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        let (header, body) = FrameHeader::parse(frame)?;
        let body = self.check(header, body, raw_bytes_max)?;
        if let Body::Raw(raw) = body {
            out.extend_from_slice(raw);
            return Ok(());
        }
        let start = out.len();
        out.resize(start + header.raw_bytes, 0);
        let opened = self.fill(body, &mut out[start..]);
        if opened.is_err() {
            out.truncate(start);
        }
        opened
    }

    /// Opens `frame` without copying where possible, as [`open`](super::open).
    ///
    /// # Errors
    /// As [`decompress_into`](super::decompress_into).
    pub fn open<'a>(
        &mut self,
        frame: &'a [u8],
        raw_bytes_max: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], FrameError> {
        let (header, body) = FrameHeader::parse(frame)?;
        let body = self.check(header, body, raw_bytes_max)?;
        if let Body::Raw(raw) = body {
            return Ok(raw);
        }
        // What is there need not be cleared: it is overwritten as a whole, or not shown.
        if scratch.len() < header.raw_bytes {
            // Exactly: doubling would take more than the limit.
            scratch.reserve_exact(header.raw_bytes - scratch.len());
            scratch.resize(header.raw_bytes, 0);
        }
        let opened = &mut scratch[..header.raw_bytes];
        self.fill(body, opened)?;
        Ok(opened)
    }

    /// Checks everything that can be without opening the body.
    fn check<'a>(
        &self,
        header: FrameHeader,
        body: &'a [u8],
        raw_bytes_max: usize,
    ) -> Result<Body<'a>, FrameError> {
        let declared = header.raw_bytes;
        if declared > raw_bytes_max {
            return Err(FrameError::TooLarge { declared, limit: raw_bytes_max });
        }
        let blocks = |packing| Ok(Body::Blocks(packing, Layout::parse(body, declared, packing)?));
        match header.codec {
            Codec::Raw => Ok(Body::Raw(body)),
            Codec::Lz4 => Ok(Body::Block(Packing::Lz4, body)),
            Codec::Lz4Dictionary => self.check_dictionary(declared, body),
            Codec::Lz4Blocks => blocks(Packing::Lz4),
            Codec::Zstd | Codec::ZstdBlocks if cfg!(not(feature = "zstd")) => {
                Err(FrameError::NotBuilt(header.codec))
            }
            Codec::Zstd => Ok(Body::Block(Packing::Zstd, body)),
            Codec::ZstdBlocks => blocks(Packing::Zstd),
        }
    }

    fn check_dictionary<'a>(
        &self,
        declared: usize,
        body: &'a [u8],
    ) -> Result<Body<'a>, FrameError> {
        let (id, block) = body
            .split_at_checked(DICTIONARY_ID_BYTES)
            .ok_or(FrameError::Implausible { declared, body: body.len() })?;
        let id = word(id);
        let own = self.dictionaries.iter().position(|dictionary| dictionary.id() == id);
        match (own, held(id)) {
            (Some(index), _) => Ok(Body::Dictionary(index, block)),
            (None, Some(dictionary)) => Ok(Body::Held(dictionary, block)),
            (None, None) => Err(FrameError::Dictionary(id)),
        }
    }

    fn fill(&mut self, body: Body<'_>, out: &mut [u8]) -> Result<(), FrameError> {
        match body {
            Body::Raw(raw) => {
                out.copy_from_slice(raw);
                Ok(())
            }
            Body::Block(packing, block) => self.decoder.decode(packing, block, out),
            Body::Dictionary(index, block) => refer(&self.dictionaries[index], block, out),
            Body::Held(dictionary, block) => refer(dictionary, block, out),
            Body::Blocks(packing, layout) => {
                #[cfg(feature = "rayon")]
                if let Some(parallel) = &mut self.parallel
                    && out.len() >= parallel.bytes_min()
                {
                    return parallel.open(layout, packing, out);
                }
                layout.open(packing, &mut self.decoder, out)
            }
        }
    }
}

/// Opens a block that refers to `dictionary`.
fn refer(dictionary: &Dictionary, block: &[u8], out: &mut [u8]) -> Result<(), FrameError> {
    match lz4_flex::block::decompress_into_with_dict(block, out, dictionary.bytes()) {
        Ok(produced) if produced == out.len() => Ok(()),
        _ => Err(FrameError::Body),
    }
}

/// A body that has been checked.
#[derive(Clone, Copy)]
enum Body<'a> {
    Raw(&'a [u8]),
    Block(Packing, &'a [u8]),
    /// Which of the dictionaries held, and the block.
    Dictionary(usize, &'a [u8]),
    /// One that the whole process holds, and the block.
    Held(&'static Dictionary, &'a [u8]),
    Blocks(Packing, Layout<'a>),
}
