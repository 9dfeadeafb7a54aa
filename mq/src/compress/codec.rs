//! One block in, one block out, with the codec's state kept: lz4, and zstd where it is built in.
//!
//! What always holds: an encoder never fails where its output has [`Encoder::bound`] bytes; a
//! decoder fills its output exactly or fails. Neither allocates after its first use, with two
//! exceptions: lz4's table grows once, at the first input of 64 KiB; zstd's context grows with the
//! largest input, and where 128 inputs in a row needed less than a third of it, zstd exchanges it
//! for a smaller one.
//! Left to others: frames, limits, what is worth it.

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

#[cfg(not(feature = "zstd"))]
use super::Codec;
use super::FrameError;

/// The level that [`Compressor::with_zstd`](super::Compressor::with_zstd) is meant for: higher
/// ones cost several times as much for a few per cent.
#[cfg(feature = "zstd")]
pub const ZSTD_LEVEL_DEFAULT: i32 = 1;
/// The fastest level.
#[cfg(feature = "zstd")]
pub const ZSTD_LEVEL_MIN: i32 = -7;
/// The highest level: beyond it the context takes tens of megabytes.
#[cfg(feature = "zstd")]
pub const ZSTD_LEVEL_MAX: i32 = 9;

/// The level asked for is out of its range.
#[cfg(feature = "zstd")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("zstd level {0} is not between {ZSTD_LEVEL_MIN} and {ZSTD_LEVEL_MAX}")]
pub struct ZstdLevelError(pub i32);

/// Compresses blocks.
pub(super) enum Encoder {
    Lz4(CompressTable),
    #[cfg(feature = "zstd")]
    Zstd {
        context: Box<zstd::bulk::Compressor<'static>>,
        #[cfg_attr(not(feature = "rayon"), expect(dead_code, reason = "for more of the same"))]
        level: i32,
    },
}

impl Encoder {
    pub(super) fn lz4() -> Self {
        Self::Lz4(CompressTable::default())
    }

    #[cfg(feature = "zstd")]
    pub(super) fn zstd(level: i32) -> Result<Self, ZstdLevelError> {
        if !(ZSTD_LEVEL_MIN..=ZSTD_LEVEL_MAX).contains(&level) {
            return Err(ZstdLevelError(level));
        }
        let context = zstd::bulk::Compressor::new(level).map_err(|_| ZstdLevelError(level))?;
        Ok(Self::Zstd { context: Box::new(context), level })
    }

    /// Another of the same kind, for blocks: what it makes does not depend on the blocks before
    /// (lz4's small table, which large blocks replace, would make short ones a little different).
    #[cfg(feature = "rayon")]
    pub(super) fn another(&self) -> Self {
        match self {
            Self::Lz4(_) => Self::Lz4(CompressTable::large()),
            #[cfg(feature = "zstd")]
            Self::Zstd { level, .. } => Self::zstd(*level).expect("the level was accepted before"),
        }
    }

    /// Bytes that a block of `raw_bytes` never exceeds.
    pub(super) fn bound(&self, raw_bytes: usize) -> usize {
        match self {
            Self::Lz4(_) => get_maximum_output_size(raw_bytes),
            #[cfg(feature = "zstd")]
            Self::Zstd { .. } => zstd::compress_bound(raw_bytes),
        }
    }

    /// Compresses `raw` to the front of `out`, which has [`Encoder::bound`] bytes, and returns the
    /// bytes produced; as many as `raw` has when the codec cannot (zstd out of memory).
    pub(super) fn encode(&mut self, raw: &[u8], out: &mut [u8]) -> usize {
        match self {
            Self::Lz4(table) => compress_into_with_table(raw, out, table)
                .expect("the buffer has lz4's maximum output size"),
            #[cfg(feature = "zstd")]
            Self::Zstd { context, .. } => context.compress_to_buffer(raw, out).unwrap_or(raw.len()),
        }
    }
}

/// How one block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Lz4,
    Zstd,
}

/// Opens blocks. Takes no memory before the first zstd block.
#[derive(Default)]
pub(super) struct Decoder {
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::zstd_safe::DCtx<'static>>,
}

impl Decoder {
    /// Opens `body` into `out`, which it must fill exactly.
    pub(super) fn decode(
        &mut self,
        packing: Packing,
        body: &[u8],
        out: &mut [u8],
    ) -> Result<(), FrameError> {
        let produced = match packing {
            Packing::Lz4 => decompress_into(body, out).map_err(|_| FrameError::Body)?,
            Packing::Zstd => self.decode_zstd(body, out)?,
        };
        if produced == out.len() { Ok(()) } else { Err(FrameError::Body) }
    }

    #[cfg(feature = "zstd")]
    fn decode_zstd(&mut self, body: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let context = match &mut self.zstd {
            Some(context) => context,
            none => {
                let context = zstd::zstd_safe::DCtx::try_create().ok_or(FrameError::Body)?;
                none.insert(context)
            }
        };
        context.decompress(out, body).map_err(|_| FrameError::Body)
    }

    #[cfg(not(feature = "zstd"))]
    #[expect(clippy::unused_self, reason = "the feature's form keeps a context")]
    fn decode_zstd(&mut self, _body: &[u8], _out: &mut [u8]) -> Result<usize, FrameError> {
        Err(FrameError::NotBuilt(Codec::Zstd))
    }
}
