//! Frames from somebody who wants harm: the checksum is right, the content lies.

use std::sync::Arc;

use super::*;

#[test]
fn a_forged_size_is_refused_before_memory_is_taken() {
    let mut out = Vec::new();
    let bomb = forged(1, u32::MAX, &[0; 40]);
    let declared = u32::MAX as usize;
    let error = decompress_into(&bomb, usize::MAX, &mut out).unwrap_err();
    assert_eq!(error, FrameError::Implausible { declared, body: 40 });
    let large = frame(CompressionPolicy::Always, &vec![0; LIMIT + 1]);
    let error = decompress_into(&large, LIMIT, &mut out).unwrap_err();
    assert_eq!(error, FrameError::TooLarge { declared: LIMIT + 1, limit: LIMIT });
    assert_eq!(out.capacity(), 0);
}

#[test]
fn a_body_that_opens_to_another_size_is_refused_and_leaves_no_trace() {
    let honest = frame(CompressionPolicy::Always, &[7; 1000]);
    let mut out = b"before".to_vec();
    for raw_bytes in [999, 1001] {
        let lie = forged(1, raw_bytes, &honest[FRAME_HEADER_BYTES..]);
        assert_eq!(decompress_into(&lie, LIMIT, &mut out), Err(FrameError::Body));
        assert_eq!(out, b"before");
    }
    assert_eq!(decompress_into(&forged(9, 1, b"x"), LIMIT, &mut out), Err(FrameError::Codec(9)));
}

/// Frames of every kind that this build can make, honest ones.
fn honest() -> Vec<Vec<u8>> {
    let text: Vec<u8> = (0..200).flat_map(message).collect();
    let mut frames = vec![
        frame(CompressionPolicy::Off, &text[..300]),
        frame(CompressionPolicy::Always, &text),
        dictionary::frame(&message(7)),
        blocks::frame(&text, codec::Packing::Lz4, 4 << 10),
    ];
    if cfg!(feature = "zstd") {
        frames.push(blocks::frame(&text, codec::Packing::Zstd, 4 << 10));
    }
    #[cfg(feature = "zstd")]
    frames.push(zstd::frame(&text));
    frames
}

/// A decompressor with everything on.
fn decompressor() -> Decompressor {
    let decompressor = Decompressor::new().with_dictionary(dictionary::trained()).unwrap();
    #[cfg(feature = "rayon")]
    let decompressor = decompressor.with_parallel(0);
    decompressor
}

#[test]
fn every_honest_frame_opens_and_none_of_its_beginnings_does() {
    let mut decompressor = decompressor();
    for frame in honest() {
        let header = FrameHeader::parse(&frame).unwrap().0;
        let mut out = Vec::new();
        decompressor.decompress_into(&frame, LIMIT, &mut out).unwrap();
        assert_eq!(out.len(), header.raw_bytes);
        for end in 0..frame.len() {
            assert!(decompressor.decompress_into(&frame[..end], LIMIT, &mut out).is_err());
            // The same with a checksum that fits what is left.
            if let Some(body) = frame[..end].get(FRAME_HEADER_BYTES..) {
                let cut = forged(header.codec as u8, header.raw_bytes as u32, body);
                assert!(decompressor.decompress_into(&cut, LIMIT, &mut out).is_err(), "{header:?}");
            }
        }
        assert_eq!(out.len(), header.raw_bytes, "errors leave no trace");
    }
}

#[test]
fn a_block_table_that_lies_is_refused_before_memory_is_taken() {
    let text: Vec<u8> = (0..200).flat_map(message).collect();
    let honest = blocks::frame(&text, codec::Packing::Lz4, 4 << 10);
    let body = &honest[FRAME_HEADER_BYTES..];
    // (offset in the body, the lie): the size of blocks, then those of the first two.
    for (at, lie) in [(0, 0u32), (0, 1), (0, u32::MAX), (4, 0), (4, u32::MAX), (8, 1 << 31)] {
        let mut body = body.to_vec();
        body[at..at + 4].copy_from_slice(&lie.to_le_bytes());
        let (mut out, frame) = (Vec::new(), forged(3, text.len() as u32, &body));
        let error = decompress_into(&frame, LIMIT, &mut out).unwrap_err();
        assert!(matches!(error, FrameError::Body | FrameError::Implausible { .. }), "{error}");
        assert_eq!(out.capacity(), 0, "{at}: {lie}");
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_nor_exceed_the_limit(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        codec in 0u8..8,
        raw in prop_oneof![any::<u32>(), 0u32..5_000],
        limit in 0usize..10_000,
    ) {
        let mut decompressor = decompressor();
        for frame in [bytes.clone(), forged(codec, raw, &bytes)] {
            let (mut out, mut scratch) = (Vec::new(), Vec::new());
            let opened = decompressor.decompress_into(&frame, limit, &mut out);
            prop_assert!(out.len() <= limit && out.capacity() <= limit.max(8));
            prop_assert!(opened.is_ok() || out.is_empty());
            let borrowed = decompressor.open(&frame, limit, &mut scratch);
            prop_assert_eq!(opened, borrowed.map(|bytes| assert_eq!(bytes, out)));
            prop_assert!(scratch.capacity() <= limit.max(8));
        }
    }

    #[test]
    fn honest_frames_with_changed_bodies_never_panic_nor_exceed_the_limit(
        kind in any::<prop::sample::Index>(),
        changes in changes(),
        raw in prop_oneof![Just(None), (0u32..40_000).prop_map(Some)],
    ) {
        let honest = honest();
        let frame = &honest[kind.index(honest.len())];
        let header = FrameHeader::parse(frame).unwrap().0;
        let mut body = frame[FRAME_HEADER_BYTES..].to_vec();
        for (at, value) in changes {
            let at = at.index(body.len());
            body[at] = value;
        }
        let raw = raw.unwrap_or(header.raw_bytes as u32);
        let frame = forged(header.codec as u8, raw, &body);
        let mut out = Vec::new();
        let opened = decompressor().decompress_into(&frame, LIMIT, &mut out);
        prop_assert_eq!(out.len(), if opened.is_ok() { raw as usize } else { 0 });
        prop_assert!(out.capacity() <= LIMIT);
    }

    #[test]
    fn what_a_buffer_held_before_is_never_shown(
        held in any::<u8>(),
        bytes in prop::collection::vec(any::<u8>(), 4..200),
        raw in 0u32..2_000,
    ) {
        // The same frame into a buffer of zeros and one of something else: the same outcome.
        for codec in 1..=5 {
            let frame = forged(codec, raw, &bytes);
            let (mut clean, mut used) = (vec![0; 2_000], vec![held; 2_000]);
            let mut decompressor = decompressor();
            let first = decompressor.open(&frame, LIMIT, &mut clean).map(<[u8]>::to_vec);
            let second = decompressor.open(&frame, LIMIT, &mut used).map(<[u8]>::to_vec);
            prop_assert_eq!(first, second);
        }
    }
}

#[test]
fn a_codec_that_is_not_built_in_is_named() {
    for codec in [4, 5] {
        let (mut out, frame) = (Vec::new(), forged(codec, 4, b"body"));
        let error = decompress_into(&frame, LIMIT, &mut out).unwrap_err();
        if cfg!(feature = "zstd") {
            assert!(matches!(error, FrameError::Body | FrameError::Implausible { .. }));
        } else {
            assert!(matches!(error, FrameError::NotBuilt(Codec::Zstd | Codec::ZstdBlocks)));
            assert!(error.to_string().contains("`zstd`"), "says which feature");
        }
    }
}

#[test]
fn a_dictionary_frame_without_its_dictionary_is_refused_by_id() {
    let frame = dictionary::frame(&message(1));
    let id = dictionary::trained().id();
    let mut out = Vec::new();
    assert_eq!(decompress_into(&frame, LIMIT, &mut out), Err(FrameError::Dictionary(id)));
    let other = Arc::new(Dictionary::new(&[9; 100]).unwrap());
    let mut wrong = Decompressor::new().with_dictionary(other).unwrap();
    assert_eq!(wrong.decompress_into(&frame, LIMIT, &mut out), Err(FrameError::Dictionary(id)));
    assert_eq!(out.capacity(), 0);
}
