//! Frames of independent blocks: one thread opens what several made, and the other way round.

use super::*;
use crate::compress::codec::{Encoder, Packing};

/// A frame of blocks of `block_bytes`, made on one thread; works in builds without rayon too.
pub(super) fn frame(raw: &[u8], packing: Packing, block_bytes: usize) -> Vec<u8> {
    let mut encoder = match packing {
        Packing::Lz4 => Encoder::lz4(),
        #[cfg(feature = "zstd")]
        Packing::Zstd => Encoder::zstd(1).unwrap(),
        #[cfg(not(feature = "zstd"))]
        Packing::Zstd => unreachable!("tests ask only for what is built in"),
    };
    let (mut sizes, mut data) = (Vec::new(), Vec::new());
    for raw in raw.chunks(block_bytes) {
        let mut packed = vec![0; encoder.bound(raw.len())];
        let packed_bytes = encoder.encode(raw, &mut packed);
        let stored = packed_bytes >= raw.len();
        let block = if stored { raw } else { &packed[..packed_bytes] };
        sizes.extend_from_slice(&(block.len() as u32 | u32::from(stored) << 31).to_le_bytes());
        data.extend_from_slice(block);
    }
    let mut body = (block_bytes as u32).to_le_bytes().to_vec();
    body.extend_from_slice(&sizes);
    body.extend_from_slice(&data);
    forged(if packing == Packing::Lz4 { 3 } else { 5 }, raw.len() as u32, &body)
}

/// Text, then noise, then text, so that some blocks are stored as they are.
fn mixed(bytes: usize) -> Vec<u8> {
    let mut raw: Vec<u8> = (0..).flat_map(message).take(bytes).collect();
    let third = bytes / 3;
    raw[third..2 * third].copy_from_slice(&super::noise(third));
    raw
}

#[test]
fn blocks_open_in_every_build() {
    for bytes in [1, 100, 4 << 10, (4 << 10) + 1, 100_000] {
        let raw = mixed(bytes);
        let mut out = Vec::new();
        decompress_into(&frame(&raw, Packing::Lz4, 4 << 10), bytes, &mut out).unwrap();
        assert_eq!(out, raw);
    }
}

#[cfg(feature = "rayon")]
mod parallel {
    use super::*;
    use crate::compress::{Decompressor, blocks::BLOCK_BYTES};

    fn on(threads: usize, act: impl FnOnce() + Send) {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(act);
    }

    fn round_trip(mut compressor: Compressor, expected: Codec) {
        let mut decompressor = Decompressor::new().with_parallel(0);
        let block = BLOCK_BYTES;
        for bytes in [1, 2, block - 1, block, block + 1, 5 * block, 41 * block + 17] {
            let raw = mixed(bytes);
            let (mut packed, mut alone, mut together) = (Vec::new(), Vec::new(), Vec::new());
            let codec = compressor.compress_into(&raw, &mut packed);
            assert!(codec == expected || bytes < 100, "{bytes}: {codec:?}");
            decompress_into(&packed, bytes, &mut alone).unwrap();
            assert_eq!(alone, raw);
            decompressor.decompress_into(&packed, bytes, &mut together).unwrap();
            assert_eq!(together, raw);
            // And back on fewer threads than the pieces were made for.
            let other = frame(&raw, Packing::Lz4, 8 << 10);
            assert_eq!(decompressor.open(&other, bytes, &mut together).unwrap(), raw);
        }
    }

    #[test]
    fn what_several_threads_pack_one_opens_and_the_other_way_round() {
        for threads in [1, 2, 5] {
            on(threads, || {
                let compressor = Compressor::new(CompressionPolicy::Always).with_parallel(0);
                round_trip(compressor, Codec::Lz4Blocks);
            });
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_blocks_are_packed_and_opened_by_several_threads() {
        on(2, || {
            let compressor = Compressor::new(CompressionPolicy::Always).with_parallel(0);
            round_trip(compressor.with_zstd(1).unwrap(), Codec::ZstdBlocks);
        });
    }

    #[test]
    fn only_large_inputs_are_shared_out() {
        let mut compressor = Compressor::new(CompressionPolicy::Always).with_parallel(100_000);
        let (text, mut out) = (vec![7; 100_000], Vec::new());
        assert_eq!(compressor.compress_into(&text[1..], &mut out), Codec::Lz4);
        assert_eq!(compressor.compress_into(&text, &mut out), Codec::Lz4Blocks);
    }

    #[test]
    fn noise_stays_raw_as_a_whole() {
        let mut compressor = Compressor::new(CompressionPolicy::Always).with_parallel(0);
        let (noise, mut out) = (noise(300_000), Vec::new());
        assert_eq!(compressor.compress_into(&noise, &mut out), Codec::Raw);
        assert_eq!(out.len(), noise.len() + FRAME_HEADER_BYTES);
    }

    #[test]
    fn the_number_of_threads_does_not_show_in_the_frame() {
        let raw = mixed(500_000);
        let mut seen = None;
        for threads in [1, 3] {
            on(threads, || {
                let mut out = Vec::new();
                let policy = CompressionPolicy::Always;
                Compressor::new(policy).with_parallel(0).compress_into(&raw, &mut out);
                assert!(seen.get_or_insert_with(|| out.clone()) == &out, "{threads} threads");
            });
        }
    }
}
