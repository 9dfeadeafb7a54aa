//! Sharding: choosing a shard for a key, choosing a worker for a request, and throughput with
//! one group and with several.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::experiment::ablation::WINDOW;
use quorate_bench::experiment::cluster::Prepared;
use quorate_bench::experiment::system::PROTOCOLS;
use quorate_bench::experiment::variant::Toggles;
use quorate_bench::workload::YCSB_A;
use quorate_mq::partition::{
    Balancer, BoundedRing, ConsistentHash, JumpHash, LeastOutstanding, Modulo, Placement,
    PowerOfTwo, Rendezvous, RoundRobin, SlotTable, SmoothWeighted,
};

const SHARDS: usize = 16;

fn place(criterion: &mut Criterion) {
    let keys: Vec<_> = YCSB_A.operations(0, 1024).into_iter().map(|o| o.key).collect();
    let ring = || ConsistentHash::new(SHARDS, 100).expect("valid counts");
    let bounded = BoundedRing::new(ring(), 25).expect("a valid slack");
    let placements: [(&str, Box<dyn Placement>); 6] = [
        ("slot table", Box::new(SlotTable::new(SHARDS).expect("a valid count"))),
        ("rendezvous", Box::new(Rendezvous::new(SHARDS).expect("a valid count"))),
        ("jump", Box::new(JumpHash::new(SHARDS).expect("a valid count"))),
        ("consistent hash", Box::new(ring())),
        ("bounded loads", Box::new(bounded)),
        ("modulo", Box::new(Modulo::new(SHARDS).expect("a valid count"))),
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

/// A shard joins and leaves again: what the table takes to compute it.
fn rebalance(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sharding/rebalance");
    group.throughput(Throughput::Elements(2));
    for shards in [4, 64] {
        let mut table = SlotTable::new(shards).expect("a valid count");
        group.bench_function(format!("{shards} shards"), |bencher| {
            bencher.iter(|| (table.add(9_999), table.remove(9_999)));
        });
    }
    group.finish();
}

fn balance(criterion: &mut Criterion) {
    let weights: Vec<_> = (1..=SHARDS as u32).collect();
    let balancers: [(&str, Box<dyn Balancer>); 4] = [
        ("round robin", Box::new(RoundRobin::new(SHARDS).expect("a valid count"))),
        ("smooth weighted", Box::new(SmoothWeighted::new(&weights).expect("valid weights"))),
        ("least outstanding", Box::new(LeastOutstanding::new(SHARDS).expect("a valid count"))),
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

criterion_group!(benches, place, rebalance, balance, clusters);
criterion_main!(benches);
