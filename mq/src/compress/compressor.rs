//! Makes frames: chooses the way for each input and remembers what did not pay.
//!
//! What always holds: a frame is never longer than its input and the header; which frame an
//! input becomes follows from the policy and the inputs before it; nothing is allocated once the
//! buffers have reached the size of the largest input.
//! Left to others: how many bytes an input may have (far below [`FRAME_RAW_BYTES_MAX`]).

use std::sync::Arc;

#[cfg(feature = "rayon")]
use super::blocks::ParallelEncoder;
#[cfg(feature = "zstd")]
use super::codec::ZstdLevelError;
use super::{
    ADAPTIVE_DICTIONARY_BYTES_MIN, Codec, CompressionPolicy, DICTIONARY_RAW_BYTES_MAX, Dictionary,
    FRAME_HEADER_BYTES, FRAME_RAW_BYTES_MAX, FrameHeader, codec::Encoder, prefix,
};

/// The longest pause between trials of the adaptive policy, in inputs.
pub(super) const PAUSE_MAX: u32 = 64;

/// Makes frames. Keep one for each thread that compresses: its tables, its buffers and its memory
/// of what paid are reused. It holds at most about 1.2 times the largest input and 100 KiB (zstd:
/// some megabytes, by level).
///
/// ```
/// use std::sync::Arc;
/// use quorate_mq::compress::{Codec, CompressionPolicy, Compressor, Decompressor, Dictionary};
///
/// let dictionary = Arc::new(Dictionary::new(br#"{"account":"","operation":"transfer"}"#)?);
/// let mut compressor =
///     Compressor::new(CompressionPolicy::default()).with_dictionary(dictionary.clone());
/// let mut decompressor = Decompressor::new().with_dictionary(dictionary)?;
/// let message = br#"{"account":"1042","operation":"transfer","amount":7}"#;
/// let (mut frame, mut opened) = (Vec::new(), Vec::new());
/// assert_eq!(compressor.compress_into(message, &mut frame), Codec::Lz4Dictionary);
/// assert!(frame.len() < message.len());
/// decompressor.decompress_into(&frame, 1024, &mut opened)?;
/// assert_eq!(opened, message);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Compressor {
    policy: CompressionPolicy,
    encoder: Encoder,
    dictionary: Option<prefix::PrefixEncoder>,
    #[cfg(feature = "rayon")]
    parallel: Option<ParallelEncoder>,
    /// What the encoder writes to; only grows, so that it is not cleared for each input.
    packed: Vec<u8>,
    /// What paid among inputs for the dictionary, and among others.
    small: Trials,
    large: Trials,
    tried: u64,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dictionary = self.dictionary.as_ref().map(prefix::PrefixEncoder::dictionary);
        f.debug_struct("Compressor")
            .field("policy", &self.policy)
            .field("codec", &self.codec())
            .field("dictionary", &dictionary)
            .finish_non_exhaustive()
    }
}

impl Compressor {
    /// A compressor to lz4 that follows `policy`.
    #[must_use]
    pub fn new(policy: CompressionPolicy) -> Self {
        Self {
            policy,
            encoder: Encoder::lz4(),
            dictionary: None,
            #[cfg(feature = "rayon")]
            parallel: None,
            packed: Vec::new(),
            small: Trials::default(),
            large: Trials::default(),
            tried: 0,
        }
    }

    /// Uses `dictionary` for inputs of at most [`DICTIONARY_RAW_BYTES_MAX`] bytes. Every receiver
    /// must hold it ([`Decompressor::with_dictionary`](super::Decompressor::with_dictionary)). The
    /// codec for these is always lz4.
    #[must_use]
    pub fn with_dictionary(mut self, dictionary: Arc<Dictionary>) -> Self {
        self.dictionary = Some(prefix::PrefixEncoder::new(dictionary));
        self
    }

    /// Uses zstd where no dictionary serves: two thirds of lz4's bytes on records, for a third to
    /// two thirds more time, which pays on links under 1.3 Gbit/s (2.5 with two receivers). See
    /// [`ZSTD_LEVEL_DEFAULT`](super::ZSTD_LEVEL_DEFAULT).
    ///
    /// # Errors
    /// [`ZstdLevelError`] when the level is out of its range (or zstd has no memory).
    #[cfg(feature = "zstd")]
    pub fn with_zstd(mut self, level: i32) -> Result<Self, ZstdLevelError> {
        self.encoder = Encoder::zstd(level)?;
        #[cfg(feature = "rayon")]
        if let Some(parallel) = self.parallel.take() {
            self.parallel = Some(ParallelEncoder::new(&self.encoder, parallel.bytes_min()));
        }
        Ok(self)
    }

    /// Compresses inputs of at least `bytes_min` bytes (see
    /// [`PARALLEL_BYTES_MIN`](super::PARALLEL_BYTES_MIN)) as independent blocks on the threads of
    /// the caller's rayon pool. Every receiver reads such frames, alone or on several threads.
    ///
    /// The ratio is that of 64 KiB blocks, a little below that of the whole. Rayon itself
    /// allocates some bytes when it is called from outside its pool.
    #[cfg(feature = "rayon")]
    #[must_use]
    pub fn with_parallel(mut self, bytes_min: usize) -> Self {
        self.parallel = Some(ParallelEncoder::new(&self.encoder, bytes_min));
        self
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> CompressionPolicy {
        self.policy
    }

    /// How many inputs were compressed so far, those included where it was in vain: what took time.
    #[must_use]
    pub const fn tried(&self) -> u64 {
        self.tried
    }

    /// Appends a frame with `raw` to `out` and says how its body is stored.
    ///
    /// # Panics
    /// If `raw` exceeds [`FRAME_RAW_BYTES_MAX`]: callers bound their batches far below it.
    pub fn compress_into(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Codec {
        assert!(raw.len() <= FRAME_RAW_BYTES_MAX, "inputs are bounded by FRAME_RAW_BYTES_MAX");
        let start = FrameHeader::begin(out);
        let mut codec = Codec::Raw;
        if self.wants_to_try(raw.len()) {
            self.tried += 1;
            let tried = self.append_packed(raw, out);
            let packed_bytes = out.len() - start - FRAME_HEADER_BYTES;
            self.trials(raw.len()).remember(raw.len(), packed_bytes);
            if packed_bytes < raw.len() && tried.plausible(raw.len(), packed_bytes) {
                codec = tried;
            } else {
                out.truncate(start + FRAME_HEADER_BYTES);
            }
        }
        if codec == Codec::Raw {
            out.extend_from_slice(raw);
        }
        FrameHeader { codec, raw_bytes: raw.len() }.finish(out, start);
        codec
    }

    fn serves_dictionary(&self, raw_bytes: usize) -> bool {
        self.dictionary.is_some() && raw_bytes <= DICTIONARY_RAW_BYTES_MAX
    }

    fn trials(&mut self, raw_bytes: usize) -> &mut Trials {
        if self.serves_dictionary(raw_bytes) { &mut self.small } else { &mut self.large }
    }

    fn wants_to_try(&mut self, raw_bytes: usize) -> bool {
        match self.policy {
            CompressionPolicy::Off => false,
            CompressionPolicy::Always => raw_bytes > 0,
            CompressionPolicy::Adaptive { mut bytes_min } => {
                if self.serves_dictionary(raw_bytes) {
                    bytes_min = bytes_min.min(ADAPTIVE_DICTIONARY_BYTES_MIN);
                }
                raw_bytes >= bytes_min.max(1) && self.trials(raw_bytes).is_due()
            }
        }
    }

    fn codec(&self) -> Codec {
        match self.encoder {
            Encoder::Lz4(_) => Codec::Lz4,
            #[cfg(feature = "zstd")]
            Encoder::Zstd { .. } => Codec::Zstd,
        }
    }

    /// Appends the packed body to `out`, or `raw`'s size or more of anything if it does not
    /// shrink, and returns its codec.
    fn append_packed(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Codec {
        if self.serves_dictionary(raw.len())
            && let Some(encoder) = &mut self.dictionary
        {
            out.extend_from_slice(&encoder.dictionary().id().to_le_bytes());
            out.extend_from_slice(encoder.encode(raw));
            return Codec::Lz4Dictionary;
        }
        #[cfg(feature = "rayon")]
        if let Some(parallel) = &mut self.parallel
            && raw.len() >= parallel.bytes_min()
        {
            return parallel.encode(raw, &mut self.packed, out);
        }
        let bound = self.encoder.bound(raw.len());
        if self.packed.len() < bound {
            self.packed.resize(bound, 0);
        }
        let packed_bytes = self.encoder.encode(raw, &mut self.packed[..bound]);
        out.extend_from_slice(&self.packed[..packed_bytes]);
        self.codec()
    }
}

/// What the adaptive policy remembers of a kind of inputs.
#[derive(Debug, Default)]
struct Trials {
    /// Inputs left to pass by before the next trial, and the length of the pause after that.
    paused: u32,
    pause: u32,
}

impl Trials {
    fn is_due(&mut self) -> bool {
        let pausing = self.paused > 0;
        self.paused = self.paused.saturating_sub(1);
        !pausing
    }

    fn remember(&mut self, raw_bytes: usize, packed_bytes: usize) {
        let paid = packed_bytes <= raw_bytes - raw_bytes / 8;
        self.pause = if paid { 0 } else { (self.pause * 2).clamp(1, PAUSE_MAX) };
        self.paused = self.pause;
    }
}
