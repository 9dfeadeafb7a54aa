//! Tests of the frames: what pays, what is refused, what comes back.

use proptest::prelude::*;

use super::{compressor::PAUSE_MAX, *};

mod blocks;
mod dictionary;
mod hostile;
#[cfg(feature = "zstd")]
mod zstd;

const LIMIT: usize = 1 << 20;

fn frame(policy: CompressionPolicy, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(policy).compress_into(raw, &mut out);
    out
}

/// A pseudo-random, incompressible input.
fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes as u64 / 8 + 1)
        .flat_map(|n| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()).to_le_bytes())
        .take(bytes)
        .collect()
}

#[test]
fn text_shrinks_and_noise_stays_raw() {
    let text = b"put key-0001 value; ".repeat(100);
    let packed = frame(CompressionPolicy::default(), &text);
    assert!(packed.len() < text.len() / 4);
    assert_eq!(FrameHeader::parse(&packed).unwrap().0.codec, Codec::Lz4);
    let noise = noise(4096);
    let kept = frame(CompressionPolicy::Always, &noise);
    assert_eq!(kept.len(), noise.len() + FRAME_HEADER_BYTES);
    assert_eq!(
        FrameHeader::parse(&kept).unwrap(),
        (FrameHeader { codec: Codec::Raw, raw_bytes: 4096 }, &noise[..])
    );
}

#[test]
fn what_did_not_pay_is_tried_less_and_less_but_tried_again() {
    let mut compressor = Compressor::new(CompressionPolicy::default());
    let (noise, text) = (noise(4096), b"abcd".repeat(1024));
    let mut out = Vec::new();
    for _ in 0..200 {
        out.clear();
        assert_eq!(compressor.compress_into(&noise, &mut out), Codec::Raw);
    }
    let trials_until_it_pays_again = (0..=PAUSE_MAX)
        .take_while(|_| {
            out.clear();
            compressor.compress_into(&text, &mut out) == Codec::Raw
        })
        .count();
    assert!((1..=PAUSE_MAX as usize).contains(&trials_until_it_pays_again));
    out.clear();
    assert_eq!(compressor.compress_into(&text, &mut out), Codec::Lz4);
}

#[test]
fn a_bomb_within_the_expansion_limit_still_meets_the_callers_limit() {
    // lz4 expands zeros 250 times: plausible for its body, too much for the caller.
    let bomb = frame(CompressionPolicy::Always, &vec![0; 16 * LIMIT]);
    assert!(bomb.len() < 16 * LIMIT / 240);
    let mut scratch = Vec::new();
    let declared = 16 * LIMIT;
    let refused = Err(FrameError::TooLarge { declared, limit: LIMIT });
    assert_eq!(open(&bomb, LIMIT, &mut scratch), refused);
    assert_eq!(scratch.capacity(), 0);
}

#[test]
fn opening_borrows_what_is_raw_and_replaces_what_was_in_the_scratch() {
    let raw = frame(CompressionPolicy::Off, b"as it is");
    let packed = frame(CompressionPolicy::Always, &[9; 500]);
    let mut scratch = b"old".to_vec();
    let opened = open(&raw, LIMIT, &mut scratch).unwrap();
    assert!(raw.as_ptr_range().contains(&opened.as_ptr()), "no copy");
    assert_eq!(opened, b"as it is");
    assert_eq!(open(&packed, LIMIT, &mut scratch).unwrap(), [9; 500]);
    assert_eq!(open(&raw, 7, &mut scratch), Err(FrameError::TooLarge { declared: 8, limit: 7 }));
}

#[test]
fn buffers_are_reused_in_the_steady_state() {
    let text = b"put key-0001 value; ".repeat(100);
    let (mut out, mut scratch) = (Vec::new(), Vec::new());
    let mut compressor = Compressor::new(CompressionPolicy::Always);
    let mut seen = None;
    for _ in 0..5 {
        out.clear();
        compressor.compress_into(&text, &mut out);
        assert_eq!(open(&out, LIMIT, &mut scratch).unwrap(), text);
        let memory = (out.as_ptr(), out.capacity(), scratch.as_ptr(), scratch.capacity());
        assert_eq!(*seen.get_or_insert(memory), memory);
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    let frame = frame(CompressionPolicy::Always, &b"some text, some text".repeat(5));
    for end in 0..frame.len() {
        assert!(decompress_into(&frame[..end], LIMIT, &mut Vec::new()).is_err(), "cut {end}");
    }
    for bit in 0..frame.len() * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decompress_into(&flipped, LIMIT, &mut Vec::new()).is_err(), "bit {bit}");
    }
}

/// A frame whose checksum is right but whose content lies.
fn forged(codec: u8, raw_bytes: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![FRAME_VERSION, codec];
    frame.extend_from_slice(&raw_bytes.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame), body);
    frame.extend_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

/// Text of a kind that messages have: small vocabulary, some numbers.
fn message(number: u64) -> Vec<u8> {
    let digits = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes());
    format!(
        r#"{{"account":"{:08}","operation":"transfer","amount":{},"currency":"EUR"}}"#,
        digits % 100_000_000,
        digits % 1_000,
    )
    .into_bytes()
}

proptest! {
    #[test]
    fn any_input_round_trips(raw in proptest::collection::vec(0u8..4, 0..3000), always in any::<bool>()) {
        let policy = if always { CompressionPolicy::Always } else { CompressionPolicy::default() };
        let mut out = Vec::new();
        decompress_into(&frame(policy, &raw), raw.len(), &mut out).unwrap();
        prop_assert_eq!(out, raw);
    }
}
