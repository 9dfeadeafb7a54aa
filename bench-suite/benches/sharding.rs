//! Sharding: choosing a shard for a key, choosing a worker for a request, and throughput with
//! one group and with several.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::experiment::ablation::WINDOW;
use quorate_bench::experiment::cluster::Prepared;
use quorate_bench::experiment::system::PROTOCOLS;
use quorate_bench::experiment::variant::Toggles;
use quorate_bench::workload::YCSB_A;
use quorate_mq::partition::{
    Balancer, ConsistentHash, KeyHash, LeastLoaded, Placement, PowerOfTwo, RoundRobin,
};

const SHARDS: usize = 16;

fn place(criterion: &mut Criterion) {
    let keys: Vec<_> = YCSB_A.operations(0, 1024).into_iter().map(|o| o.key).collect();
    let placements: [(&str, Box<dyn Placement>); 2] = [
        ("slot table", Box::new(KeyHash::new(SHARDS).expect("a valid count"))),
        ("consistent hash", Box::new(ConsistentHash::new(SHARDS, 100).expect("valid counts"))),
    ];
    let mut group = criterion.benchmark_group("sharding/place");
    group.throughput(Throughput::Elements(keys.len() as u64));
    for (name, placement) in &placements {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| keys.iter().map(|key| u64::from(placement.place(key))).sum::<u64>());
        });
    }
    group.finish();
}

fn balance(criterion: &mut Criterion) {
    let balancers: [(&str, Box<dyn Balancer>); 3] = [
        ("round robin", Box::new(RoundRobin::new(SHARDS).expect("a valid count"))),
        ("least loaded", Box::new(LeastLoaded::new(SHARDS).expect("a valid count"))),
        ("power of two", Box::new(PowerOfTwo::new(SHARDS, 1).expect("a valid count"))),
    ];
    let mut group = criterion.benchmark_group("sharding/balance");
    group.throughput(Throughput::Elements(1));
    for (name, mut balancer) in balancers {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let worker = balancer.pick();
                balancer.completed(worker);
            });
        });
    }
    group.finish();
}

fn clusters(criterion: &mut Criterion) {
    let prepared = Prepared::new(YCSB_A, 1, false);
    let store = prepared.filled_store();
    let mut group = criterion.benchmark_group("sharding/cluster");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    let many = Toggles { compression: false, ..Toggles::ALL };
    for system in PROTOCOLS {
        for (name, toggles) in
            [("4 groups", many), ("1 group", Toggles { sharding: false, ..many })]
        {
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

criterion_group!(benches, place, balance, clusters);
criterion_main!(benches);
