//! Dictionaries: what they gain, how they are built, and that the encoder writes what lz4 opens.

use std::sync::Arc;

use super::*;
use crate::compress::prefix::PrefixEncoder;

pub(super) fn trained() -> Arc<Dictionary> {
    let samples: Vec<_> = (1_000..1_200).map(message).collect();
    Arc::new(Dictionary::train(samples.iter().map(Vec::as_slice), 1024).unwrap())
}

pub(super) fn frame(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let codec = Compressor::new(CompressionPolicy::default())
        .with_dictionary(trained())
        .compress_into(raw, &mut out);
    assert_eq!(codec, Codec::Lz4Dictionary);
    out
}

fn opened(dictionary: &Arc<Dictionary>, frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut decompressor = Decompressor::new().with_dictionary(dictionary.clone()).unwrap();
    decompressor.decompress_into(frame, LIMIT, &mut out).unwrap();
    out
}

#[test]
fn a_dictionary_makes_small_similar_messages_smaller() {
    let message = message(5);
    assert!(message.len() < 100);
    let plain = super::frame(CompressionPolicy::Always, &message);
    assert_eq!(FrameHeader::parse(&plain).unwrap().0.codec, Codec::Raw, "lz4 alone gains nothing");
    let packed = frame(&message);
    assert!(packed.len() < message.len() * 2 / 3, "{} of {}", packed.len(), message.len());
    assert_eq!(opened(&trained(), &packed), message);
}

#[test]
fn equal_samples_make_equal_dictionaries_and_others_another_id() {
    assert_eq!(trained(), trained());
    let (first, second) = (Dictionary::new(&[1; 50]).unwrap(), Dictionary::new(&[2; 50]).unwrap());
    assert_ne!(first.id(), second.id());
}

#[test]
fn the_id_of_a_dictionary_is_the_same_in_every_build() {
    // A golden value: if it changes, peers of another version refuse each other's frames.
    assert_eq!(Dictionary::new(b"0123456789abcdef").unwrap().id(), GOLDEN_ID);
}
const GOLDEN_ID: u32 = 0x865e_9d1b;

#[test]
fn what_samples_share_is_in_the_dictionary_and_what_they_do_not_is_not() {
    let dictionary = trained();
    let holds = |run: &[u8]| dictionary.bytes().windows(run.len()).any(|window| window == run);
    assert!(holds(b"operation") && holds(b"currency"));
    let alone = message(1);
    let error = Dictionary::train([alone.as_slice()], 1024);
    assert_eq!(error, Err(DictionaryError::TooShort(0)), "one sample shares nothing");
}

#[test]
fn impossible_dictionaries_are_refused() {
    assert_eq!(Dictionary::new(b"short"), Err(DictionaryError::TooShort(5)));
    let long = DICTIONARY_BYTES_MAX + 1;
    assert_eq!(Dictionary::new(&vec![0; long]), Err(DictionaryError::TooLong(long)));
    assert_eq!(Dictionary::train([], 1024), Err(DictionaryError::TooShort(0)));
    assert_eq!(Dictionary::train([], long), Err(DictionaryError::TooLong(long)));
    let mut decompressor = Decompressor::new();
    for _ in 0..DICTIONARIES_MAX {
        decompressor = decompressor.with_dictionary(trained()).unwrap();
    }
    let refused = decompressor.with_dictionary(trained()).unwrap_err();
    assert_eq!(refused, DictionaryError::TooMany);
}

#[test]
fn a_receiver_holds_the_old_dictionary_and_the_new_one() {
    let old = Arc::new(Dictionary::new(&message(1)).unwrap());
    let mut decompressor = Decompressor::new().with_dictionary(old.clone()).unwrap();
    decompressor = decompressor.with_dictionary(trained()).unwrap();
    for dictionary in [old, trained()] {
        let mut compressor =
            Compressor::new(CompressionPolicy::Always).with_dictionary(dictionary.clone());
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        assert_eq!(compressor.compress_into(&message(3), &mut frame), Codec::Lz4Dictionary);
        decompressor.decompress_into(&frame, LIMIT, &mut out).unwrap();
        assert_eq!(out, message(3));
    }
}

#[test]
fn inputs_too_large_for_a_dictionary_do_without_it() {
    let mut compressor = Compressor::new(CompressionPolicy::default()).with_dictionary(trained());
    let text: Vec<u8> = (0..300).flat_map(message).collect();
    let mut out = Vec::new();
    let most = &text[..DICTIONARY_RAW_BYTES_MAX];
    assert_eq!(compressor.compress_into(most, &mut out), Codec::Lz4Dictionary);
    let more = &text[..DICTIONARY_RAW_BYTES_MAX + 1];
    assert_eq!(compressor.compress_into(more, &mut out), Codec::Lz4);
}

#[test]
fn small_and_large_inputs_are_remembered_apart() {
    let mut compressor = Compressor::new(CompressionPolicy::default()).with_dictionary(trained());
    let mut out = Vec::new();
    for _ in 0..50 {
        compressor.compress_into(&noise(200), &mut out);
    }
    assert_eq!(compressor.compress_into(&[7; 20_000], &mut out), Codec::Lz4, "no pause for these");
    assert_eq!(compressor.compress_into(&[7; 200], &mut out), Codec::Raw, "a pause for those");
}

/// Bytes with repetitions near and far, of few values and of many.
fn repetitive() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(0u8..3, 0..400),
        (any::<u8>(), 0usize..700).prop_map(|(byte, count)| vec![byte; count]),
        (0u64..5).prop_map(message),
    ];
    prop::collection::vec(run, 0..12).prop_map(|runs| runs.concat())
}

proptest! {
    #[test]
    fn lz4_opens_what_the_encoder_with_a_dictionary_writes(
        dictionary in repetitive(),
        raw in repetitive(),
        overlap in any::<prop::sample::Index>(),
    ) {
        prop_assume!((DICTIONARY_BYTES_MIN..=DICTIONARY_BYTES_MAX).contains(&dictionary.len()));
        // The input often goes on where the dictionary ends, so that matches cross over.
        let mut input = dictionary[overlap.index(dictionary.len())..].to_vec();
        input.extend_from_slice(&raw);
        let dictionary = Arc::new(Dictionary::new(&dictionary).unwrap());
        let mut encoder = PrefixEncoder::new(dictionary.clone());
        for raw in [&raw, &input, &raw] {
            let raw = &raw[..raw.len().min(DICTIONARY_RAW_BYTES_MAX)];
            let block = encoder.encode(raw);
            prop_assert!(block.len() <= raw.len() + raw.len() / 255 + 16, "the reserved bound");
            let mut out = vec![0xEE; raw.len()];
            let produced =
                lz4_flex::block::decompress_into_with_dict(block, &mut out, dictionary.bytes());
            prop_assert_eq!(produced.unwrap(), raw.len());
            prop_assert_eq!(&out[..], raw);
        }
    }

    #[test]
    fn any_small_input_round_trips_with_a_dictionary(raw in repetitive()) {
        let mut frame = Vec::new();
        let mut compressor = Compressor::new(CompressionPolicy::Always).with_dictionary(trained());
        compressor.compress_into(&raw, &mut frame);
        prop_assert!(frame.len() <= raw.len() + FRAME_HEADER_BYTES);
        prop_assert_eq!(opened(&trained(), &frame), raw);
    }
}
