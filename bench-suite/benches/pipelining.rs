//! Pipelining: throughput with one batch in flight and with the default window, with batching and
//! without. In one process a round trip is short; on a network the difference grows with it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::experiment::ablation::WINDOW;
use quorate_bench::experiment::cluster::Prepared;
use quorate_bench::experiment::system::PROTOCOLS;
use quorate_bench::experiment::variant::Toggles;
use quorate_bench::workload::YCSB_A;

fn clusters(criterion: &mut Criterion) {
    let prepared = Prepared::new(YCSB_A, 1, false);
    let store = prepared.filled_store();
    for batching in [true, false] {
        let name = if batching { "pipelining/batches" } else { "pipelining/single-commands" };
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        group.sample_size(10);
        for system in PROTOCOLS {
            for (name, pipelining) in [("window", true), ("one in flight", false)] {
                let toggles = Toggles { batching, pipelining, ..Toggles::NONE };
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
}

criterion_group!(benches, clusters);
criterion_main!(benches);
