//! Workloads are what they say: determinism, shares, skew, sizes, and how far a codec shrinks them.

use std::collections::BTreeSet;

use quorate_mq::compress::{CompressionPolicy, Compressor};

use super::*;

#[test]
fn the_same_workload_generates_the_same_bytes_and_clients_differ() {
    assert_eq!(YCSB_A.operations(3, 500), YCSB_A.operations(3, 500));
    assert_ne!(YCSB_A.operations(3, 500), YCSB_A.operations(4, 500));
    assert_eq!(YCSB_A.fill(), YCSB_A.fill());
}

#[test]
fn keys_follow_the_zipf_law() {
    let mut counts = vec![0u32; YCSB_A.records as usize];
    let draws = 200_000;
    for operation in YCSB_A.operations(0, draws) {
        counts[operation.record as usize] += 1;
    }
    let harmonic: f64 = (1..=YCSB_A.records).map(|rank| f64::from(rank).powf(-ZIPF_CONSTANT)).sum();
    for rank in [1u32, 2, 10, 100] {
        let expected = draws as f64 * f64::from(rank).powf(-ZIPF_CONSTANT) / harmonic;
        let seen = f64::from(counts[rank as usize - 1]);
        // Six standard deviations of a binomial count.
        let tolerance = 6.0 * expected.sqrt();
        assert!((seen - expected).abs() < tolerance, "rank {rank}: {seen}, not {expected}");
    }
}

#[test]
fn even_keys_have_no_favourite() {
    let workload = Workload { keys: Keys::Uniform, records: 100, ..YCSB_A };
    let draws = 100_000;
    let mut counts = [0u32; 100];
    for operation in workload.operations(0, draws) {
        counts[operation.record as usize] += 1;
    }
    // A thousand each, within six standard deviations.
    assert!(counts.iter().all(|count| count.abs_diff(1000) < 190), "{counts:?}");
}

#[test]
fn mixes_have_their_share_of_reads() {
    for (workload, percent) in
        [(YCSB_A, 50), (YCSB_B, 95), (YCSB_C, 100), (YCSB_F, 50), (WRITES, 0), (SMALL, 0)]
    {
        let operations = workload.operations(1, 20_000);
        let reads = operations.iter().filter(|operation| operation.kind == Kind::Read).count();
        assert!(reads.abs_diff(200 * percent) < 300, "{}: {reads}", workload.name);
    }
}

#[test]
fn only_f_reads_a_record_before_it_writes_it_back() {
    for workload in [YCSB_A, YCSB_B, YCSB_C, YCSB_F, WRITES, SMALL] {
        for operation in workload.operations(0, 500) {
            let is_write = operation.kind != Kind::Read;
            let expected = (is_write && workload.mix == Mix::F)
                .then(|| Operation::read(operation.record, operation.key.clone()).command);
            assert_eq!(operation.read_first, expected, "{}", workload.name);
        }
    }
}

#[test]
fn small_commands_have_exactly_sixteen_bytes() {
    for operation in SMALL.operations(0, 1000).iter().chain(&SMALL.fill()) {
        assert_eq!(operation.command.len(), SMALL_COMMAND_BYTES);
    }
}

#[test]
fn values_are_valid_json_of_about_the_size_asked_for() {
    let mut random = YCSB_A.random(0);
    for bytes in [256, 400, 1024] {
        for record in 0..100 {
            let value = Payload::Record(bytes).value(record, &mut random);
            let parsed: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert_eq!(parsed["id"], record);
            assert!(value.len().abs_diff(bytes) < 24, "{} for {bytes}", value.len());
        }
    }
}

#[test]
fn every_record_has_its_own_key() {
    for workload in [YCSB_A, SMALL] {
        let keys: BTreeSet<_> = (0..workload.records).map(|r| workload.key(r)).collect();
        assert_eq!(keys.len(), workload.records as usize);
    }
}

#[test]
fn a_command_ends_with_its_value() {
    for operation in YCSB_A.fill().iter().take(100) {
        let value: serde_json::Value = serde_json::from_slice(operation.value()).unwrap();
        assert_eq!(value["id"], operation.record);
    }
    assert_eq!(Operation::read(1, YCSB_A.key(1)).value(), b"");
}

#[test]
fn noise_does_not_repeat() {
    let workload = Workload { mix: Mix::W, payload: Payload::Noise(64), ..YCSB_A };
    let commands: BTreeSet<_> =
        workload.operations(0, 100).into_iter().map(|operation| operation.command).collect();
    assert_eq!(commands.len(), 100);
}

#[test]
fn every_kind_has_exactly_the_bytes_asked_for_and_repeats_with_its_seed() {
    for bytes in PAYLOAD_BYTES {
        for (name, payload) in Payload::kinds(bytes) {
            let workload = Workload { payload, records: 20, ..WRITES };
            for operation in workload.fill() {
                assert_eq!(operation.value().len(), bytes, "{name}");
            }
            assert_eq!(payload.bytes(), bytes, "{name}");
            assert_eq!(workload.operations(2, 20), workload.operations(2, 20), "{name}");
        }
    }
}

/// What share of a batch of 64 KiB is left after compression.
fn share_left(payload: Payload) -> f64 {
    let workload = Workload { payload, ..WRITES };
    let values = workload.operations(0, (64 << 10) / payload.bytes());
    let raw: Vec<u8> = values.iter().flat_map(|operation| operation.value().to_vec()).collect();
    let mut frame = Vec::new();
    Compressor::new(CompressionPolicy::Always).compress_into(&raw, &mut frame);
    frame.len() as f64 / raw.len() as f64
}

#[test]
fn text_shrinks_more_than_binary_and_noise_not_at_all() {
    for bytes in [256, 1 << 10, 16 << 10] {
        let [json, source, mixed, noise] =
            Payload::kinds(bytes).map(|(_, payload)| share_left(payload));
        let all = format!("{bytes} bytes: {json:.2} {source:.2} {mixed:.2} {noise:.2}");
        assert!(json < source && source < mixed && mixed < noise, "{all}");
        assert!(json < 0.6 && mixed < 0.95 && noise > 0.99, "{all}");
    }
}
