//! The queues against their peers: one thread alone, streams, batches, round trips, in one run.
//!
//! A figure of a stream is the time for each message. Capacity 1,024, messages of 8 bytes. Queues
//! that only try wait politely here; `cargo compare --only queue` has the other policies.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::experiment::queue::contenders::{self, Contender};
use quorate_bench::experiment::queue::payload::Received;
use quorate_bench::experiment::queue::scenario::{BURST, CAPACITY, SHAPES};
use quorate_bench::experiment::queue::waiting::Policy;
use quorate_bench::experiment::queue::work::{Setup, Shape};

/// The shapes of streams: one to one, two to two.
const STREAMS: [Shape; 2] = [SHAPES[0], SHAPES[3]];

/// Contenders that are worth their time here, each with one policy.
fn contenders() -> Vec<Contender> {
    let worth =
        |one: &Contender| !one.full_only && matches!(one.policy, Policy::Polite | Policy::Blocking);
    contenders::all().into_iter().filter(worth).collect()
}

fn setup(shape: Shape, batch: usize) -> Setup {
    let (capacity, policy) = (CAPACITY, Policy::Polite);
    Setup { shape, capacity, items: 0, policy, batch, idle_consumer: false }
}

fn group<'a>(
    criterion: &'a mut Criterion,
    name: &str,
) -> criterion::BenchmarkGroup<'a, criterion::measurement::WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(100));
    group.measurement_time(Duration::from_millis(500));
    group
}

/// One push and one pop; and a burst of 512 pushes, then 512 pops.
fn alone(criterion: &mut Criterion) {
    for (name, burst) in [("queue/pair", 1), ("queue/burst", BURST)] {
        let mut group = group(criterion, name);
        for contender in contenders() {
            group.bench_function(contender.name, |bencher| {
                bencher.iter_custom(|items| {
                    let rounds = items.div_ceil(burst);
                    let done = (contender.alone)(CAPACITY, burst, rounds).expect("it opens");
                    assert_eq!(done.received, Received::of_range(rounds * burst));
                    done.elapsed.mul_f64(items as f64 / (rounds * burst) as f64)
                });
            });
        }
        group.finish();
    }
}

fn streams(criterion: &mut Criterion) {
    let mut group = group(criterion, "queue/stream");
    for shape in STREAMS {
        let setup = setup(shape, 1);
        for contender in contenders().iter().filter(|one| (one.offers)(&setup)) {
            group.bench_function(format!("{}/{shape}", contender.name), |bencher| {
                bencher.iter_custom(|items| {
                    let setup = Setup { items, policy: contender.policy, ..setup };
                    let done = (contender.streams[0])(&setup).expect("it opens");
                    assert_eq!(done.received, Received::of_range(items));
                    done.elapsed
                });
            });
        }
    }
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    let mut group = group(criterion, "queue/batches");
    for batch in [32, 256] {
        for shape in STREAMS {
            let setup = setup(shape, batch);
            for contender in contenders().iter().filter(|one| (one.offers)(&setup)) {
                let Some(run) = contender.batches else { continue };
                let name = format!("{}/{batch} at once/{shape}", contender.name);
                group.bench_function(name, |bencher| {
                    bencher.iter_custom(|items| {
                        let done = run(&Setup { items, policy: contender.policy, ..setup })
                            .expect("it opens");
                        assert_eq!(done.received, Received::of_range(items));
                        done.elapsed
                    });
                });
            }
        }
    }
    group.finish();
}

/// A round trip: between threads that poll, and through channels that wait by themselves.
fn round_trips(criterion: &mut Criterion) {
    let mut group = group(criterion, "queue/round-trip");
    let waits = |one: &Contender| matches!(one.policy, Policy::Spin | Policy::Blocking);
    for contender in contenders::all().into_iter().filter(|one| waits(one) && !one.full_only) {
        let name = format!("{}/{}", contender.name, contender.policy.name());
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let times = (contender.round_trips)(contender.policy, rounds, Duration::ZERO)
                    .expect("it opens");
                times.into_iter().map(|time| Duration::from_nanos(u64::from(time))).sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, alone, streams, batches, round_trips);
criterion_main!(benches);
