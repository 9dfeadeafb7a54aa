//! Compression of batches as a pure value: tagged frames, limits before allocation.
//!
//! A frame says how its body is stored, how large it is when opened, and a checksum:
//!
//! ```text
//! 0 u8 version   2 u32 raw bytes   6 u32 crc32c over bytes 0..6 and the body
//! 1 u8 codec     10 body
//! ```
//!
//! | codec | body | for |
//! |---|---|---|
//! | [`Codec::Raw`] | the bytes | what does not shrink, and what is too small to try |
//! | [`Codec::Lz4`] | one lz4 block | the default |
//! | [`Codec::Lz4Dictionary`] | `u32` dictionary id, one lz4 block that may refer to the dictionary | small similar messages |
//! | [`Codec::Lz4Blocks`] | independent lz4 blocks (layout below) | batches so large that several cores pay |
//! | [`Codec::Zstd`] | one zstd frame | links under 2.5 Gbit/s (feature `zstd`) |
//! | [`Codec::ZstdBlocks`] | independent zstd frames | the same, large batches |
//!
//! ```text
//! blocks: u32 bytes of each raw block (the last may be shorter); for each block u32 packed bytes,
//!         highest bit set where the block is stored as it is; the packed blocks
//! ```
//!
//! What always holds: any bytes lead to a value or a [`FrameError`], never a panic. A declared
//! size is believed only when it is within the caller's limit *and* within what the codec can
//! expand the body to, block by block; only then is memory taken. The produced size is checked
//! afterwards. A frame for another dictionary is refused by its id. A build without a feature
//! refuses its frames by name and reads all others.
//! Left to others: secrecy (sizes tell something about content: do not compress secrets next to
//! what an attacker chooses), authenticity (a checksum is no signature), and agreeing on a
//! dictionary.
//!
//! The [`Compressor`] and [`Decompressor`] keep their tables and buffers; in the steady state they
//! allocate nothing (`tests/compress_memory.rs` counts; zstd does so while inputs are of like size).
//! With [`CompressionPolicy::Adaptive`] the compressor leaves small inputs alone, keeps the raw form
//! when the codec does not make it smaller, and after inputs that did not pay it stops trying for a
//! while.
//!
//! # When it pays
//!
//! Compressing beats sending raw on links slower than `(1 − 1/ratio) / (1/C + 1/D)`, with `C` and
//! `D` the speeds of compression and decompression; a sender with several receivers multiplies
//! that by their number, because it compresses once. Compress batches, not messages: 64-byte
//! messages grow with every codec but a dictionary one, and the ratio of the same records
//! nearly doubles from 1 KiB to 64 KiB. Measured on one core of a Sapphire Rapids server
//! (`cargo bench -p quorate-bench --features codecs --bench compression` measures yours), JSON of
//! forty words and random numbers; MB/s of raw bytes:
//!
//! | input | codec | ratio | compress, open | pays below, one receiver |
//! |---|---|---|---|---|
//! | 64 B | lz4 | 0.87, so raw | | never |
//! | 64 B | lz4 and 4 KiB dictionary | 1.40 | 331, 997 | 0.6 Gbit/s |
//! | 256 B | lz4 | 1.05 | 558, 2677 | 0.2 Gbit/s |
//! | 256 B | lz4 and dictionary | 1.82 | 414, 1019 | 1.1 Gbit/s |
//! | 1 KiB | lz4 | 1.46 | 492, 3198 | 1.1 Gbit/s |
//! | 1 KiB | lz4 and dictionary | 2.16 | 458, 917 | 1.3 Gbit/s |
//! | 64 KiB | lz4 | 2.49 | 504, 3129 | 2.1 Gbit/s |
//! | 64 KiB | zstd, level 1 | 3.97 | 399, 1386 | 1.9 Gbit/s |
//!
//! One after the other, compressing, sending and opening 64 KiB is fastest with zstd below
//! 1.3 Gbit/s, with lz4 from there to 2.1, and raw above. With two receivers these double.

#[cfg(feature = "rayon")]
pub use self::blocks::PARALLEL_BYTES_MIN;
#[cfg(feature = "zstd")]
pub use self::codec::{ZSTD_LEVEL_DEFAULT, ZSTD_LEVEL_MAX, ZSTD_LEVEL_MIN, ZstdLevelError};
pub use self::{
    compressor::Compressor,
    dictionary::{
        DICTIONARY_BYTES_MAX, DICTIONARY_BYTES_MIN, Dictionary, DictionaryError, SAMPLE_BYTES_MAX,
    },
    frame::{FRAME_HEADER_BYTES, FRAME_RAW_BYTES_MAX, FRAME_VERSION, FrameError, FrameHeader},
    held::hold,
    open::{DICTIONARIES_MAX, Decompressor, decompress_into, open},
};

mod blocks;
mod codec;
mod compressor;
mod dictionary;
mod frame;
mod held;
mod open;
mod prefix;
#[cfg(test)]
mod tests;

/// Below this size the adaptive policy does not try without a dictionary: it would gain nothing on
/// so few bytes.
pub const ADAPTIVE_BYTES_MIN: usize = 512;
/// Below this size the adaptive policy does not try with a dictionary: the frame's header and the
/// dictionary's id take what could be gained.
pub const ADAPTIVE_DICTIONARY_BYTES_MIN: usize = 32;
/// Inputs above this size are compressed without the dictionary, in bytes: their own beginning
/// serves as well (at 16 KiB a dictionary gains 4 % of the ratio and costs a quarter of the speed).
pub const DICTIONARY_RAW_BYTES_MAX: usize = 4 << 10;

/// How a frame's body is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    Raw = 0,
    /// One lz4 block.
    Lz4 = 1,
    /// The id of a dictionary and one lz4 block that refers to it.
    Lz4Dictionary = 2,
    /// Independent lz4 blocks, so that several threads can work on them.
    Lz4Blocks = 3,
    /// One zstd frame.
    Zstd = 4,
    /// Independent zstd frames.
    ZstdBlocks = 5,
}

/// When to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompressionPolicy {
    /// Never.
    Off,
    /// Every input; the raw form is kept where the codec does not make it smaller.
    Always,
    /// Inputs of at least `bytes_min` bytes ([`ADAPTIVE_DICTIONARY_BYTES_MIN`], if that is less,
    /// where a dictionary serves), with pauses after inputs that did not pay: 1, 2, 4 … up to 64
    /// inputs. An input pays when the codec saves at least an eighth of it. Inputs that a
    /// dictionary serves and others are remembered apart.
    Adaptive {
        /// The smallest input worth trying without a dictionary, in bytes.
        bytes_min: usize,
    },
}

impl Default for CompressionPolicy {
    fn default() -> Self {
        Self::Adaptive { bytes_min: ADAPTIVE_BYTES_MIN }
    }
}
