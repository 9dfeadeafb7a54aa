//! zstd frames, in builds that have the feature.

use super::*;

pub(super) fn frame(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let codec = compressor(CompressionPolicy::Always).compress_into(raw, &mut out);
    assert_eq!(codec, Codec::Zstd);
    out
}

fn compressor(policy: CompressionPolicy) -> Compressor {
    Compressor::new(policy).with_zstd(ZSTD_LEVEL_DEFAULT).unwrap()
}

#[test]
fn zstd_makes_records_smaller_than_lz4_does() {
    let text: Vec<u8> = (0..500).flat_map(message).collect();
    let lz4 = super::frame(CompressionPolicy::Always, &text);
    assert!(frame(&text).len() < lz4.len() * 3 / 4, "{} and {}", frame(&text).len(), lz4.len());
}

#[test]
fn levels_out_of_range_are_refused() {
    for level in [ZSTD_LEVEL_MIN - 1, ZSTD_LEVEL_MAX + 1] {
        let error = Compressor::new(CompressionPolicy::Off).with_zstd(level).unwrap_err();
        assert_eq!(error, ZstdLevelError(level));
    }
    for level in [ZSTD_LEVEL_MIN, ZSTD_LEVEL_MAX] {
        assert!(Compressor::new(CompressionPolicy::Off).with_zstd(level).is_ok());
    }
}

#[test]
fn a_bomb_meets_the_callers_limit() {
    // zstd expands zeros 30,000 times.
    let bomb = frame(&vec![0; 16 * LIMIT]);
    assert!(bomb.len() < 2_000);
    let mut out = Vec::new();
    let refused = Err(FrameError::TooLarge { declared: 16 * LIMIT, limit: LIMIT });
    assert_eq!(decompress_into(&bomb, LIMIT, &mut out), refused);
    // Declared smaller than it is: the buffer ends it.
    let lie = forged(4, 1_000, &bomb[FRAME_HEADER_BYTES..]);
    assert_eq!(decompress_into(&lie, LIMIT, &mut out), Err(FrameError::Body));
    assert_eq!(out.len(), 0);
}

#[test]
fn a_dictionary_serves_small_inputs_and_zstd_the_others() {
    let mut compressor =
        compressor(CompressionPolicy::Always).with_dictionary(dictionary::trained());
    let mut out = Vec::new();
    assert_eq!(compressor.compress_into(&message(1), &mut out), Codec::Lz4Dictionary);
    let text: Vec<u8> = (0..500).flat_map(message).collect();
    assert_eq!(compressor.compress_into(&text, &mut out), Codec::Zstd);
}

proptest! {
    #[test]
    fn any_input_round_trips_through_zstd(raw in prop::collection::vec(0u8..5, 0..5_000)) {
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        compressor(CompressionPolicy::Always).compress_into(&raw, &mut frame);
        prop_assert!(frame.len() <= raw.len() + FRAME_HEADER_BYTES);
        decompress_into(&frame, raw.len(), &mut out).unwrap();
        prop_assert_eq!(out, raw);
    }
}
