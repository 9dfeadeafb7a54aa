//! Tests of the sharded queue alone: order of each producer, bounds, close, lanes that come and
//! go, reading ahead, drops, threads.

#![cfg(not(loom))]

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{
    ChannelOptions, over,
    queue::{Consume, PopError},
};

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn pop_all<T>(consumer: &Consumer<T>) -> Vec<T> {
    std::iter::from_fn(|| consumer.try_pop().ok()).collect()
}

fn lanes<T>(producer: &Producer<T>) -> usize {
    producer.hub.lanes.len().1
}

#[test]
fn each_producer_is_bounded_on_its_own() {
    let (first, consumer) = starting_at(2, usize::MAX).unwrap();
    let second = first.clone();
    assert_eq!(first.push_batch(&mut vec![1, 2, 3]), Ok(2));
    assert!(first.is_full() && !second.is_full());
    assert_eq!(first.try_push(3), Err(PushError::Full(3)));
    second.try_push(10).unwrap();
    assert_eq!((first.len(), first.capacity()), (3, Some(4)));
    let mut values = pop_all(&consumer);
    values.sort_unstable();
    assert_eq!(values, [1, 2, 10]);
    assert_eq!(consumer.try_pop(), Err(PopError::Empty));
}

#[test]
fn a_batch_is_a_run_of_one_producer() {
    let (first, consumer) = queue(8).unwrap();
    let second = first.clone();
    first.push_batch(&mut vec![1, 2, 3]).unwrap();
    second.push_batch(&mut vec![11, 12, 13]).unwrap();
    let mut runs = Vec::new();
    let mut out = Vec::new();
    while consumer.pop_batch(&mut out, 2).is_ok() {
        runs.push(std::mem::take(&mut out));
    }
    assert!(runs.iter().all(|run| run.iter().all(|value| value / 10 == run[0] / 10)));
    assert_eq!(runs.concat().len(), 6);
    assert_eq!(consumer.pop_batch(&mut out, 0), Ok(0));
}

#[test]
fn a_lane_leaves_the_list_when_its_producer_is_gone_and_it_is_drained() {
    let (first, consumer) = queue(4).unwrap();
    for value in 0..100 {
        let producer = first.clone();
        producer.try_push(value).unwrap();
        drop(producer);
        drop(first.clone());
        assert_eq!(lanes(&first), 2, "an empty lane leaves at once");
        assert_eq!(consumer.try_pop(), Ok(value));
        assert_eq!(consumer.try_pop(), Err(PopError::Empty));
        assert_eq!(lanes(&first), 1);
        assert_eq!(consumer.local_lanes(), 1);
    }
    drop(consumer);
    let producer = first.clone();
    producer.try_push(0).unwrap();
    drop(producer);
    assert_eq!(lanes(&first), 1, "without a consumer nothing is kept");
}

#[test]
fn a_close_refuses_all_producers_and_leaves_what_was_pushed() {
    for consumer_closes in [false, true] {
        let (first, consumer) = queue(4).unwrap();
        let second = first.clone();
        first.push_batch(&mut vec![1, 2]).unwrap();
        assert!(if consumer_closes { consumer.close() } else { first.close() });
        assert!(!consumer.close() && second.is_closed());
        for producer in [&first, &second, &first.clone()] {
            assert_eq!(producer.try_push(3), Err(PushError::Closed(3)));
            assert_eq!(producer.push_batch(&mut vec![4]), Err(PushError::Closed(())));
            assert!(producer.looks_free() && !producer.is_full());
        }
        assert!(!consumer.would_wait());
        assert_eq!(pop_all(&consumer), [1, 2]);
        assert_eq!(consumer.try_pop(), Err(PopError::Closed));
        assert_eq!(consumer.clone().try_pop(), Err(PopError::Closed));
    }
}

#[test]
fn what_was_read_ahead_goes_back_when_its_consumer_is_dropped() {
    let (producer, consumer) = queue(8).unwrap();
    let reading_ahead = consumer.clone().with_read_ahead(5);
    producer.push_batch(&mut (0..8).collect()).unwrap();
    assert_eq!(reading_ahead.try_pop(), Ok(0));
    assert_eq!((producer.len(), reading_ahead.len()), (3, 7));
    let mut out = Vec::new();
    assert_eq!(reading_ahead.pop_batch(&mut out, 2), Ok(2));
    assert_eq!(out, [1, 2]);
    assert!(!reading_ahead.would_wait());
    drop(reading_ahead);
    assert!(consumer.looks_filled() && !consumer.would_wait());
    assert_eq!(pop_all(&consumer), [3, 4, 5, 6, 7]);
}

#[test]
fn every_value_is_dropped_exactly_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (first, consumer) = queue(8).unwrap();
    let second = first.clone();
    for producer in [&first, &second] {
        producer.push_batch(&mut (0..8).map(|_| Counted(drops.clone())).collect()).unwrap();
    }
    drop(second);
    let ahead = consumer.clone().with_read_ahead(4);
    drop(ahead.try_pop().ok());
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    drop(ahead);
    drop(consumer);
    drop(first);
    assert_eq!(drops.load(Ordering::SeqCst), 16);
}

/// Runs producers and consumers; checks that nothing is lost and each consumer sees each
/// producer's values in order.
fn conserve(producers: u64, consumers: usize, batch: usize, ahead: usize) {
    const COUNT: u64 = if cfg!(miri) { 200 } else { 30_000 };
    let (producer, consumer) = starting_at(64, usize::MAX - 100).unwrap();
    let pushing: Vec<_> = (0..producers)
        .map(|id| {
            let producer = producer.clone();
            thread::spawn(move || {
                let mut values: Vec<_> = (0..COUNT).map(|value| (id, value)).collect();
                values.reverse();
                let mut run = Vec::new();
                while !values.is_empty() || !run.is_empty() {
                    if batch == 1 {
                        let value = values.pop().unwrap();
                        if producer.try_push(value).is_err() {
                            values.push(value);
                            thread::yield_now();
                        }
                        continue;
                    }
                    while run.len() < batch
                        && let Some(value) = values.pop()
                    {
                        run.push(value);
                    }
                    if producer.push_batch(&mut run).is_err() {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let popping: Vec<_> = (0..consumers)
        .map(|_| {
            let consumer = consumer.clone().with_read_ahead(ahead);
            thread::spawn(move || {
                let mut seen = Vec::new();
                loop {
                    let answer = if batch == 1 {
                        consumer.try_pop().map(|value| seen.push(value))
                    } else {
                        consumer.pop_batch(&mut seen, batch).map(|_| ())
                    };
                    match answer {
                        Ok(()) => {}
                        Err(PopError::Closed) => return seen,
                        Err(_) => thread::yield_now(),
                    }
                }
            })
        })
        .collect();
    for thread in pushing {
        thread.join().unwrap();
    }
    producer.close();
    let mut all = Vec::new();
    for thread in popping {
        let seen = thread.join().unwrap();
        let mut last = BTreeMap::new();
        for (id, value) in &seen {
            assert!(last.insert(*id, *value).is_none_or(|before| before < *value));
        }
        all.extend(seen);
    }
    all.sort_unstable();
    assert!(all.into_iter().eq((0..producers).flat_map(|id| (0..COUNT).map(move |v| (id, v)))));
}

#[test]
fn threads_lose_nothing_and_keep_the_order_of_each_producer() {
    for (producers, consumers) in [(1, 1), (1, 2), (3, 1), (2, 2), (4, 4)] {
        for (batch, ahead) in [(1, 0), (1, 16), (8, 0)] {
            conserve(producers, consumers, batch, ahead);
        }
    }
}

#[test]
fn threads_that_park_at_once_are_always_woken() {
    const COUNT: u64 = if cfg!(miri) { 50 } else { 5_000 };
    for (capacity, ahead) in [(1, 0), (2, 0), (4, 3)] {
        let options = ChannelOptions::default().spin(Duration::ZERO);
        let (producer, consumer) = queue(capacity).unwrap();
        let (sender, receiver) = over((producer, consumer.with_read_ahead(ahead)), &options);
        let sending: Vec<_> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || (0..COUNT).for_each(|value| sender.send(value).unwrap()))
            })
            .collect();
        drop(sender);
        let receiving: Vec<_> = (0..2)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.into_iter().sum::<u64>())
            })
            .collect();
        drop(receiver);
        sending.into_iter().for_each(|thread| thread.join().unwrap());
        let sum: u64 = receiving.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(sum, 3 * COUNT * (COUNT - 1) / 2);
    }
}

#[test]
fn a_receiver_that_leaves_wakes_another_for_what_it_had_read_ahead() {
    let options = ChannelOptions::default().spin(Duration::ZERO);
    let (producer, consumer) = queue(8).unwrap();
    let (sender, receiver) = over((producer, consumer.with_read_ahead(4)), &options);
    let other = receiver.clone();
    sender.send_batch(&mut vec![1, 2, 3]).unwrap();
    assert_eq!(receiver.recv(), Ok(1));
    let waiting = thread::spawn(move || (other.recv(), other));
    drop(receiver);
    assert_eq!(waiting.join().unwrap().0, Ok(2));
    drop(sender);
}

#[test]
fn a_close_splits_the_values_of_every_producer_exactly() {
    for round in 0..if cfg!(miri) { 5 } else { 200 } {
        let (producer, consumer) = queue(8).unwrap();
        let pushing: Vec<_> = (0..2)
            .map(|_| {
                let producer = producer.clone();
                thread::spawn(move || {
                    let mut accepted = 0;
                    loop {
                        match producer.try_push(()) {
                            Ok(()) => accepted += 1,
                            Err(PushError::Closed(())) => return accepted,
                            Err(_) => thread::yield_now(),
                        }
                    }
                })
            })
            .collect();
        let mut seen = Vec::new();
        for _ in 0..round {
            let _ = consumer.pop_batch(&mut seen, 3);
        }
        consumer.close();
        while consumer.pop_batch(&mut seen, 3) != Err(PopError::Closed) {}
        let accepted: usize = pushing.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(seen.len(), accepted);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize, usize),
    Pop(usize),
    PopBatch(usize, usize),
    AddProducer,
    DropProducer(usize),
    AddConsumer,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            20 => (0..4_usize, 0..8_usize).prop_map(|(who, count)| Step::Push(who, count)),
            20 => (0..3_usize).prop_map(Step::Pop),
            20 => (0..3_usize, 0..8_usize).prop_map(|(who, count)| Step::PopBatch(who, count)),
            3 => Just(Step::AddProducer),
            3 => (0..4_usize).prop_map(Step::DropProducer),
            1 => Just(Step::AddConsumer),
            1 => Just(Step::Close),
        ],
        0..120,
    )
}

proptest! {
    #[test]
    fn it_behaves_as_a_deque_for_each_producer(
        capacity in 1..6_usize,
        back in 0..20_usize,
        ahead in prop_oneof![Just(0), 1..5_usize],
        steps in steps(),
    ) {
        let (producer, consumer) = starting_at(capacity, 0_usize.wrapping_sub(back)).unwrap();
        let mut producers = vec![(0_usize, producer)];
        let mut consumers = vec![consumer.with_read_ahead(ahead)];
        // What is in each producer's lane or read ahead from it, and the names given so far.
        let mut model = BTreeMap::from([(0, VecDeque::new())]);
        let (mut names, mut next, mut closed) = (1, 0..0_usize, false);
        next.end = usize::MAX;
        let mut taken = Vec::new();
        for step in steps {
            match step {
                Step::Push(who, count) => {
                    let index = who % producers.len();
                    let (name, producer) = &producers[index];
                    let mut source: Vec<_> = next.by_ref().take(count).map(|v| (*name, v)).collect();
                    let whole = source.clone();
                    let pushed = producer.push_batch(&mut source);
                    if closed && count > 0 {
                        prop_assert_eq!(pushed, Err(PushError::Closed(())));
                    }
                    let pushed = pushed.unwrap_or(0);
                    prop_assert_eq!(&whole[pushed..], &source[..]);
                    model.get_mut(name).unwrap().extend(whole[..pushed].iter().map(|v| v.1));
                    if ahead == 0 {
                        let inside = model[name].len();
                        prop_assert!(inside <= capacity && (closed || source.is_empty() || inside == capacity));
                    }
                }
                Step::Pop(who) => {
                    let index = who % consumers.len();
                    taken.extend(consumers[index].try_pop());
                }
                Step::PopBatch(who, count) => {
                    let index = who % consumers.len();
                    let _ = consumers[index].pop_batch(&mut taken, count);
                }
                Step::AddProducer if producers.len() < 4 => {
                    let producer = producers[0].1.clone();
                    model.insert(names, VecDeque::new());
                    producers.push((names, producer));
                    names += 1;
                }
                Step::DropProducer(who) if producers.len() > 1 => {
                    producers.remove(who % producers.len());
                }
                // A second consumer that reads ahead would be out of order for the model.
                Step::AddConsumer if ahead == 0 && consumers.len() < 3 => {
                    consumers.push(consumers[0].clone());
                }
                Step::Close => {
                    prop_assert_eq!(producers[0].1.close(), !closed);
                    closed = true;
                }
                _ => {}
            }
            for (name, value) in taken.drain(..) {
                prop_assert_eq!(model.get_mut(&name).unwrap().pop_front(), Some(value));
            }
            let inside: usize = model.values().map(VecDeque::len).sum();
            prop_assert_eq!(consumers[0].len(), inside);
            if inside == 0 {
                let none = if closed { PopError::Closed } else { PopError::Empty };
                prop_assert_eq!(consumers[0].try_pop(), Err(none));
                prop_assert_eq!(lanes(&producers[0].1), if closed { 0 } else { producers.len() });
            }
            prop_assert_eq!(consumers[0].would_wait(), inside == 0 && !closed);
        }
    }
}
