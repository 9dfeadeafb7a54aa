//! Compression: the codecs over payload kinds and batch sizes, dictionaries on small messages, and
//! what compression does to a cluster. With `--features codecs` also zstd and several threads.

use std::sync::Arc;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::experiment::ablation::WINDOW;
use quorate_bench::experiment::cluster::Prepared;
use quorate_bench::experiment::system::PROTOCOLS;
use quorate_bench::experiment::variant::Toggles;
use quorate_bench::workload::{Mix, Payload, Workload, YCSB_A};
use quorate_mq::compress::{
    CompressionPolicy, Compressor, DICTIONARY_BYTES_MAX, Decompressor, Dictionary,
};

/// Commands of `payload` one after another, `bytes` in all.
fn body(payload: Payload, bytes: usize) -> Vec<u8> {
    let workload = Workload { mix: Mix::W, payload, ..YCSB_A };
    let operations = workload.operations(0, bytes / 64);
    let mut body: Vec<u8> =
        operations.iter().flat_map(|operation| operation.command.to_vec()).collect();
    body.truncate(bytes);
    body
}

/// The codecs that this build has.
fn compressors() -> Vec<(&'static str, Compressor)> {
    let lz4 = Compressor::new(CompressionPolicy::Always);
    vec![
        ("lz4", lz4),
        #[cfg(feature = "codecs")]
        ("zstd", zstd()),
    ]
}

#[cfg(feature = "codecs")]
fn zstd() -> Compressor {
    Compressor::new(CompressionPolicy::Always)
        .with_zstd(quorate_mq::compress::ZSTD_LEVEL_DEFAULT)
        .expect("the default level is in range")
}

/// Packs and opens `inputs`, all of them at each iteration; prints what share of their bytes is
/// left.
fn pack_and_open(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    inputs: &[Vec<u8>],
    mut compressor: Compressor,
    mut decompressor: Decompressor,
) {
    let raw_bytes: usize = inputs.iter().map(Vec::len).sum();
    group.throughput(Throughput::Bytes(raw_bytes as u64));
    let mut frame = Vec::new();
    group.bench_function(format!("compress/{name}"), |bencher| {
        bencher.iter(|| {
            for raw in inputs {
                frame.clear();
                compressor.compress_into(raw, &mut frame);
            }
        });
    });
    let pack = |raw: &Vec<u8>| {
        let mut frame = Vec::new();
        compressor.compress_into(raw, &mut frame);
        frame
    };
    let frames: Vec<Vec<u8>> = inputs.iter().map(pack).collect();
    let packed_bytes: usize = frames.iter().map(Vec::len).sum();
    eprintln!("{name}: ratio {:.2}", raw_bytes as f64 / packed_bytes as f64);
    let mut scratch = Vec::new();
    group.bench_function(format!("decompress/{name}"), |bencher| {
        bencher.iter(|| {
            for frame in &frames {
                decompressor.open(frame, raw_bytes, &mut scratch).expect("an honest frame");
            }
        });
    });
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compression/codec");
    for (kind, payload) in [("records", Payload::Record(400)), ("noise", Payload::Noise(400))] {
        for bytes in [1 << 10, 16 << 10, 64 << 10] {
            let raw = body(payload, bytes);
            assert_eq!(raw.len(), bytes, "enough operations were generated");
            for (codec, compressor) in compressors() {
                let name = format!("{codec}/{kind}/{} KiB", bytes >> 10);
                let inputs = std::slice::from_ref(&raw);
                pack_and_open(&mut group, &name, inputs, compressor, Decompressor::new());
            }
        }
    }
    group.finish();
}

/// Messages one by one, with a dictionary from other messages of the kind and without.
fn small(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compression/small");
    for bytes in [64, 256, 1024] {
        let workload = Workload { mix: Mix::W, payload: Payload::Record(bytes), ..YCSB_A };
        let messages = |client, count| -> Vec<Vec<u8>> {
            let operations = workload.operations(client, count).into_iter();
            operations.map(|operation| operation.command.to_vec()).collect()
        };
        let samples = messages(1, 400);
        let trained = Dictionary::train(samples.iter().map(Vec::as_slice), DICTIONARY_BYTES_MAX);
        let dictionary = Arc::new(trained.expect("records have much in common"));
        let inputs = messages(0, 512);
        for (codec, compressor) in compressors() {
            let name = format!("{codec}/{bytes} B");
            pack_and_open(&mut group, &name, &inputs, compressor, Decompressor::new());
        }
        let compressor = Compressor::new(CompressionPolicy::Always);
        let compressor = compressor.with_dictionary(dictionary.clone());
        let decompressor = Decompressor::new().with_dictionary(dictionary).expect("only one");
        let name = format!("lz4 and dictionary/{bytes} B");
        pack_and_open(&mut group, &name, &inputs, compressor, decompressor);
    }
    group.finish();
}

/// From which size several threads beat one.
#[cfg(feature = "codecs")]
fn parallel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compression/parallel");
    group.sample_size(10);
    for kib in [64, 128, 256, 1 << 10, 4 << 10] {
        let raw = [body(Payload::Record(400), kib << 10)];
        for (codec, alone) in compressors() {
            let name = format!("{codec}/one thread/{kib} KiB");
            pack_and_open(&mut group, &name, &raw, alone, Decompressor::new());
        }
        for (codec, together) in compressors() {
            let name = format!("{codec}/all threads/{kib} KiB");
            let decompressor = Decompressor::new().with_parallel(0);
            pack_and_open(&mut group, &name, &raw, together.with_parallel(0), decompressor);
        }
    }
    group.finish();
}

#[cfg(not(feature = "codecs"))]
fn parallel(_criterion: &mut Criterion) {}

fn clusters(criterion: &mut Criterion) {
    let prepared = Prepared::new(YCSB_A, 1, false);
    let store = prepared.filled_store();
    let mut group = criterion.benchmark_group("compression/cluster");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    let on = Toggles { sharding: false, ..Toggles::ALL };
    for system in PROTOCOLS {
        for (name, toggles) in [("on", on), ("off", Toggles { compression: false, ..on })] {
            let store = store.clone();
            let mut run = system
                .runner(&toggles, move || store.clone(), &prepared, WINDOW)
                .expect("the cluster starts");
            group.bench_function(format!("{}/{name}", system.name()), |bencher| {
                bencher.iter_custom(&mut run);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, codec, small, parallel, clusters);
criterion_main!(benches);
