//! Bodies of independent blocks, which several threads can pack and open at once.
//!
//! What always holds: the layout is checked as a whole (each size, their sum, what each block can
//! expand to) before memory is taken; each block must open to exactly its share. One thread or
//! many: the same bytes.
//! Left to others: header, checksum and limit.

#[cfg(feature = "rayon")]
use super::{Codec, codec::Encoder};
use super::{
    FrameError,
    codec::{Decoder, Packing},
    frame::word,
};

/// Bytes of a block when writing: large enough for lz4's ratio, small enough to share out.
#[cfg(feature = "rayon")]
pub(super) const BLOCK_BYTES: usize = 64 << 10;
/// Bytes of a block when reading.
pub(super) const BLOCK_BYTES_MIN: usize = 4 << 10;
pub(super) const BLOCK_BYTES_MAX: usize = 4 << 20;
/// Set in the size of a block that is stored as it is.
const STORED: u32 = 1 << 31;
/// Bytes of a number in the table.
const WORD_BYTES: usize = 4;

/// From this size on it pays to share the blocks out. On two cores, lz4 and zstd, compressing was
/// 1.5 to 2 times as fast from 256 KiB on and 1.9 to 2 times from 1 MiB on, opening 1.3 and
/// 1.7 times. Two blocks (128 KiB) already gain where the pool is awake, but an idle pool takes as
/// long to wake as a block to compress, some 60 µs.
#[cfg(feature = "rayon")]
pub const PARALLEL_BYTES_MIN: usize = 256 << 10;

/// Pieces of work for each thread, so that a slow one is helped out.
#[cfg(feature = "rayon")]
const PIECES_PER_THREAD: usize = 4;

/// A block within a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    packed: &'a [u8],
    stored: bool,
}

impl Block<'_> {
    fn open(
        self,
        packing: Packing,
        decoder: &mut Decoder,
        out: &mut [u8],
    ) -> Result<(), FrameError> {
        if self.stored {
            out.copy_from_slice(self.packed);
            return Ok(());
        }
        decoder.decode(packing, self.packed, out)
    }
}

/// A body whose sizes have been checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout<'a> {
    block_bytes: usize,
    sizes: &'a [u8],
    data: &'a [u8],
}

impl<'a> Layout<'a> {
    /// Checks the sizes of all blocks. Takes no memory.
    pub(super) fn parse(
        body: &'a [u8],
        raw_bytes: usize,
        packing: Packing,
    ) -> Result<Self, FrameError> {
        let implausible = FrameError::Implausible { declared: raw_bytes, body: body.len() };
        let (first, rest) = body.split_at_checked(WORD_BYTES).ok_or(implausible)?;
        let block_bytes = word(first) as usize;
        if !(BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&block_bytes) {
            return Err(FrameError::Body);
        }
        let count = raw_bytes.div_ceil(block_bytes);
        let (sizes, data) = rest.split_at_checked(count * WORD_BYTES).ok_or(implausible)?;
        let layout = Self { block_bytes, sizes, data };
        let mut data_bytes = 0;
        for (index, (packed_bytes, stored)) in layout.sizes().enumerate() {
            let raw_bytes = block_bytes.min(raw_bytes - index * block_bytes);
            let codec = if stored { super::Codec::Raw } else { packing.codec() };
            if !codec.plausible(raw_bytes, packed_bytes) {
                return Err(implausible);
            }
            data_bytes += packed_bytes;
        }
        if data_bytes == data.len() { Ok(layout) } else { Err(implausible) }
    }

    /// Packed bytes of each block, and whether it is stored as it is.
    fn sizes(self) -> impl Iterator<Item = (usize, bool)> + 'a {
        self.sizes.chunks_exact(WORD_BYTES).map(|size| {
            let size = word(size);
            ((size & !STORED) as usize, size & STORED != 0)
        })
    }

    fn blocks(self) -> impl Iterator<Item = Block<'a>> {
        let mut rest = self.data;
        self.sizes().map(move |(packed_bytes, stored)| {
            let (packed, after) = rest.split_at(packed_bytes);
            rest = after;
            Block { packed, stored }
        })
    }

    /// Opens all blocks into `out`, which has the declared size.
    pub(super) fn open(
        self,
        packing: Packing,
        decoder: &mut Decoder,
        out: &mut [u8],
    ) -> Result<(), FrameError> {
        for (block, out) in self.blocks().zip(out.chunks_mut(self.block_bytes)) {
            block.open(packing, decoder, out)?;
        }
        Ok(())
    }
}

/// Packs blocks on several threads.
#[cfg(feature = "rayon")]
pub(super) struct ParallelEncoder {
    bytes_min: usize,
    /// One for each piece of work.
    encoders: Vec<Encoder>,
    /// Packed bytes of each block.
    sizes: Vec<usize>,
}

#[cfg(feature = "rayon")]
impl ParallelEncoder {
    /// The number of pieces follows from the calling thread's pool.
    pub(super) fn new(encoder: &Encoder, bytes_min: usize) -> Self {
        let pieces = PIECES_PER_THREAD * rayon::current_num_threads();
        let encoders = (0..pieces).map(|_| encoder.another()).collect();
        Self { bytes_min, encoders, sizes: Vec::new() }
    }

    pub(super) fn bytes_min(&self) -> usize {
        self.bytes_min
    }

    /// Packs `raw` through `packed`, which only grows, and appends the body to `out`.
    pub(super) fn encode(&mut self, raw: &[u8], packed: &mut Vec<u8>, out: &mut Vec<u8>) -> Codec {
        use rayon::prelude::*;

        let count = raw.len().div_ceil(BLOCK_BYTES);
        let stride = self.encoders[0].bound(BLOCK_BYTES);
        if packed.len() < count * stride {
            packed.resize(count * stride, 0);
        }
        self.sizes.clear();
        self.sizes.resize(count, 0);
        let each = count.div_ceil(self.encoders.len()).max(1);
        (self.encoders.par_iter_mut())
            .zip(raw.par_chunks(each * BLOCK_BYTES))
            .zip(packed.par_chunks_mut(each * stride))
            .zip(self.sizes.par_chunks_mut(each))
            .for_each(|(((encoder, raw), packed), sizes)| {
                let blocks = raw.chunks(BLOCK_BYTES).zip(packed.chunks_mut(stride)).zip(sizes);
                for ((raw, packed), size) in blocks {
                    *size = encoder.encode(raw, packed);
                }
            });
        out.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        for (raw, size) in raw.chunks(BLOCK_BYTES).zip(&self.sizes) {
            let size = if *size < raw.len() { *size as u32 } else { raw.len() as u32 | STORED };
            out.extend_from_slice(&size.to_le_bytes());
        }
        for ((raw, packed), size) in
            raw.chunks(BLOCK_BYTES).zip(packed.chunks(stride)).zip(&self.sizes)
        {
            out.extend_from_slice(if *size < raw.len() { &packed[..*size] } else { raw });
        }
        match self.encoders[0] {
            Encoder::Lz4(_) => Codec::Lz4Blocks,
            #[cfg(feature = "zstd")]
            Encoder::Zstd { .. } => Codec::ZstdBlocks,
        }
    }
}

/// Opens blocks on several threads.
#[cfg(feature = "rayon")]
pub(super) struct ParallelDecoder {
    bytes_min: usize,
    decoders: Vec<Decoder>,
    /// Where each block is in the data, and whether it is stored as it is.
    spans: Vec<(usize, usize, bool)>,
}

#[cfg(feature = "rayon")]
impl ParallelDecoder {
    pub(super) fn new(bytes_min: usize) -> Self {
        let pieces = PIECES_PER_THREAD * rayon::current_num_threads();
        let decoders = (0..pieces).map(|_| Decoder::default()).collect();
        Self { bytes_min, decoders, spans: Vec::new() }
    }

    pub(super) fn bytes_min(&self) -> usize {
        self.bytes_min
    }

    /// Opens all blocks into `out`, which has the declared size.
    pub(super) fn open(
        &mut self,
        layout: Layout<'_>,
        packing: Packing,
        out: &mut [u8],
    ) -> Result<(), FrameError> {
        use rayon::prelude::*;

        self.spans.clear();
        let mut start = 0;
        self.spans.extend(layout.sizes().map(|(packed_bytes, stored)| {
            let span = (start, start + packed_bytes, stored);
            start = span.1;
            span
        }));
        let each = self.spans.len().div_ceil(self.decoders.len()).max(1);
        (self.decoders.par_iter_mut())
            .zip(self.spans.par_chunks(each))
            .zip(out.par_chunks_mut(each * layout.block_bytes))
            .try_for_each(|((decoder, spans), out)| {
                for ((start, end, stored), out) in
                    spans.iter().zip(out.chunks_mut(layout.block_bytes))
                {
                    let block = Block { packed: &layout.data[*start..*end], stored: *stored };
                    block.open(packing, decoder, out)?;
                }
                Ok(())
            })
    }
}
