//! The queue against its peers: streams between threads, hand-over, and the bare ring on one thread.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_bench::experiment::queue::{BATCH, CAPACITY, QUEUES, Queue, hand_over, stream};

fn streams(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue/stream");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    for queue in QUEUES {
        for threads in [(1, 1), (2, 2)] {
            if queue == Queue::Std && threads.1 > 1 {
                continue;
            }
            let name = format!("{}/{}p{}c", queue.name(), threads.0, threads.1);
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|items| {
                    stream(queue, threads, items, false).expect("the queue opens").0
                });
            });
        }
    }
    group.bench_function("mq/1p1c, batches", |bencher| {
        bencher.iter_custom(|items| stream(Queue::Mq, (1, 1), items, true).expect("it opens").0);
    });
    group.finish();
}

fn hand_overs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue/hand-over");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    for queue in QUEUES {
        group.bench_function(queue.name(), |bencher| {
            bencher.iter_custom(|rounds| {
                hand_over(queue, rounds).expect("the queue opens") * rounds as u32
            });
        });
    }
    group.finish();
}

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue/one-thread");
    group.throughput(Throughput::Elements(1));
    let (sender, receiver) = quorate_mq::bounded::<u64>(CAPACITY).expect("a valid capacity");
    group.bench_function("mq", |bencher| {
        bencher.iter(|| {
            sender.try_send(7).expect("there is room");
            receiver.try_recv()
        });
    });
    let (sender, receiver) = crossbeam::channel::bounded::<u64>(CAPACITY);
    group.bench_function("crossbeam-channel", |bencher| {
        bencher.iter(|| {
            sender.try_send(7).expect("there is room");
            receiver.try_recv()
        });
    });
    let (sender, receiver) = quorate_mq::bounded::<u64>(CAPACITY).expect("a valid capacity");
    group.throughput(Throughput::Elements(BATCH as u64));
    let (mut source, mut target) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    group.bench_function("mq, batches", |bencher| {
        bencher.iter(|| {
            source.extend(0..BATCH as u64);
            sender.try_send_batch(&mut source).expect("the channel is open");
            target.clear();
            receiver.try_recv_batch(&mut target, BATCH)
        });
    });
    group.finish();
}

criterion_group!(benches, one_thread, streams, hand_overs);
criterion_main!(benches);
