//! Batching: sealing batches of several sizes, and throughput by the largest batch allowed.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::experiment::cluster::Prepared;
use quorate_bench::experiment::small::{Gathering, WINDOW};
use quorate_bench::experiment::system::PROTOCOLS;
use quorate_bench::workload::SMALL;
use quorate_smr::machine::Checksum;
use quorate_smr::{BatchBuilder, ClientId, Command, GroupId, RequestSeq};

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batching/seal");
    for count in [1u64, 64, 1024] {
        group.throughput(Throughput::Elements(count));
        let mut builder = BatchBuilder::new(GroupId(0));
        group.bench_function(format!("{count} commands"), |bencher| {
            bencher.iter(|| {
                for seq in 0..count {
                    let seq = RequestSeq(seq);
                    let command =
                        Command { client: ClientId(1), seq, payload: &[7; 16], auth: &[] };
                    builder.push(&command).expect("the batch has room");
                }
                builder.seal(None)
            });
        });
    }
    group.finish();
}

fn sizes(criterion: &mut Criterion) {
    let prepared = Prepared::new(SMALL, 1, false);
    let mut group = criterion.benchmark_group("batching/cluster");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    for system in PROTOCOLS {
        for gathering in [Gathering::AtMost(1), Gathering::AtMost(64), Gathering::Batching] {
            let mut run = system
                .runner(&gathering, Checksum::default, &prepared, WINDOW)
                .expect("the default cluster starts");
            group.bench_function(format!("{}/{gathering:?}", system.name()), |bencher| {
                bencher.iter_custom(&mut run);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, seal, sizes);
criterion_main!(benches);
