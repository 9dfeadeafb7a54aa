//! Compression: the codec over payload kinds and batch sizes, and what it does to a cluster.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::experiment::ablation::WINDOW;
use quorate_bench::experiment::cluster::Prepared;
use quorate_bench::experiment::system::PROTOCOLS;
use quorate_bench::experiment::variant::Toggles;
use quorate_bench::workload::{Mix, Payload, Workload, YCSB_A};
use quorate_mq::compress::{CompressionPolicy, Compressor, decompress_into};

/// Commands of `payload` one after another, `bytes` in all.
fn body(payload: Payload, bytes: usize) -> Vec<u8> {
    let workload = Workload { mix: Mix::W, payload, ..YCSB_A };
    let operations = workload.operations(0, bytes / 64);
    let mut body: Vec<u8> =
        operations.iter().flat_map(|operation| operation.command.to_vec()).collect();
    body.truncate(bytes);
    body
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compression/codec");
    for (kind, payload) in [("records", Payload::Record(400)), ("noise", Payload::Noise(400))] {
        for bytes in [1 << 10, 16 << 10, 64 << 10] {
            let raw = body(payload, bytes);
            assert_eq!(raw.len(), bytes, "enough operations were generated");
            group.throughput(Throughput::Bytes(bytes as u64));
            let mut compressor = Compressor::new(CompressionPolicy::Always);
            let mut frame = Vec::new();
            group.bench_function(format!("compress/{kind}/{} KiB", bytes >> 10), |bencher| {
                bencher.iter(|| {
                    frame.clear();
                    compressor.compress_into(&raw, &mut frame)
                });
            });
            frame.clear();
            compressor.compress_into(&raw, &mut frame);
            let mut opened = Vec::new();
            group.bench_function(format!("decompress/{kind}/{} KiB", bytes >> 10), |bencher| {
                bencher.iter(|| {
                    opened.clear();
                    decompress_into(&frame, bytes, &mut opened)
                });
            });
        }
    }
    group.finish();
}

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

criterion_group!(benches, codec, clusters);
criterion_main!(benches);
