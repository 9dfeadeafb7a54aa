//! Tests of the strict queue alone: order, bounds, blocks, drops, conservation under threads.

#![cfg(not(loom))]

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use proptest::prelude::*;

use super::*;
use crate::queue::CAPACITY_MAX;

/// Counts its drops; panics in the drop of one chosen value.
struct Counted {
    drops: Arc<AtomicUsize>,
    panics: bool,
}

impl Counted {
    fn many(count: usize, drops: &Arc<AtomicUsize>) -> Vec<Self> {
        (0..count).map(|_| Self { drops: drops.clone(), panics: false }).collect()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics, "chosen to panic");
    }
}

fn pop_all<T>(consumer: &Consumer<T>) -> Vec<T> {
    std::iter::from_fn(|| consumer.try_pop().ok()).collect()
}

#[test]
fn handles_move_between_threads_and_are_not_shared() {
    fn sends<T: Send>() {}
    sends::<Producer<Box<u8>>>();
    sends::<Consumer<Box<u8>>>();
    // `Producer<T>: Sync` or `Producer<Rc<u8>>: Send` would make these calls ambiguous.
    trait Ambiguous<A> {
        fn check() {}
    }
    struct NotSync;
    struct NotSend;
    impl<T> Ambiguous<()> for T {}
    impl<T: Sync> Ambiguous<NotSync> for T {}
    <Producer<u8> as Ambiguous<_>>::check();
    <Consumer<u8> as Ambiguous<_>>::check();
    trait Stays<A> {
        fn check() {}
    }
    impl<T> Stays<()> for T {}
    impl<T: Send> Stays<NotSend> for T {}
    <Producer<std::rc::Rc<u8>> as Stays<_>>::check();
    <Consumer<std::rc::Rc<u8>> as Stays<_>>::check();
}

#[test]
fn capacity_is_exact_and_order_is_first_in_first_out() {
    for capacity in (1..=9).chain([63, 64, 65, 127, 128, 129, 1000]) {
        let (producer, consumer) = queue(capacity).unwrap();
        assert_eq!(producer.capacity(), Some(capacity));
        for lap in 0..5 {
            for value in 0..capacity {
                assert_eq!(producer.len(), value);
                assert!(!producer.is_full());
                producer.try_push(lap * 10_000 + value).unwrap();
                assert!(!consumer.would_wait());
            }
            assert!(producer.is_full());
            assert_eq!(producer.try_push(99), Err(PushError::Full(99)));
            let expected: Vec<_> = (0..capacity).map(|value| lap * 10_000 + value).collect();
            assert_eq!(pop_all(&consumer), expected);
            assert_eq!(consumer.try_pop(), Err(PopError::Empty));
            assert!(consumer.would_wait());
        }
    }
}

#[test]
fn impossible_capacities_are_refused() {
    assert_eq!(queue::<u8>(0).unwrap_err(), CapacityError::Zero);
    let capacity = CAPACITY_MAX + 1;
    assert_eq!(queue::<u8>(capacity).unwrap_err(), CapacityError::TooLarge { capacity });
    let capacity = 1 << 20;
    assert_eq!(
        queue::<[[u64; 1 << 20]; 1 << 19]>(capacity).unwrap_err(),
        CapacityError::Memory { capacity }
    );
}

#[test]
fn a_batch_takes_the_prefix_that_fits_and_leaves_the_rest_in_order() {
    let (producer, consumer) = queue(4).unwrap();
    producer.try_push(0).unwrap();
    let mut source = vec![1, 2, 3, 4, 5];
    assert_eq!(producer.push_batch(&mut source), Ok(3));
    assert_eq!(source, [4, 5]);
    assert_eq!(producer.push_batch(&mut source), Err(PushError::Full(())));
    assert_eq!(source, [4, 5]);
    assert_eq!(producer.push_batch(&mut Vec::new()), Ok(0));

    let mut out = vec![-1];
    assert_eq!(consumer.pop_batch(&mut out, 0), Ok(0));
    assert_eq!(consumer.pop_batch(&mut out, 3), Ok(3));
    assert_eq!(producer.push_batch(&mut source), Ok(2));
    assert_eq!(consumer.pop_batch(&mut out, usize::MAX), Ok(3));
    assert_eq!(out, [-1, 0, 1, 2, 3, 4, 5]);
    assert_eq!(consumer.pop_batch(&mut out, 1), Err(PopError::Empty));
}

#[test]
fn a_batch_far_larger_than_a_block_keeps_its_order() {
    for cells in [0, 1, 2, 4, 8] {
        let (producer, consumer) = queue_with(1000, cells, 0).unwrap();
        let mut source: Vec<_> = (0..3000).collect();
        let mut out = Vec::new();
        while !source.is_empty() {
            assert_eq!(producer.push_batch(&mut source), Ok(1000));
            assert!(producer.is_full());
            assert_eq!(consumer.pop_batch(&mut out, usize::MAX), Ok(1000));
        }
        assert_eq!(out, (0..3000).collect::<Vec<_>>());
    }
}

#[test]
fn closing_is_told_to_both_sides_after_what_was_pushed_before() {
    for full in [false, true] {
        let (producer, consumer) = queue(3).unwrap();
        let pushed: Vec<_> = (0..if full { 3 } else { 2 }).collect();
        producer.push_batch(&mut pushed.clone()).unwrap();
        assert!(!producer.is_closed() && !consumer.is_closed());
        assert!(producer.clone().close());
        assert!(!consumer.close() && !producer.close());
        assert!(producer.is_closed() && consumer.is_closed());
        assert!(!producer.is_full() && producer.looks_free());
        assert_eq!(producer.try_push(9), Err(PushError::Closed(9)));
        assert_eq!(producer.push_batch(&mut vec![9]), Err(PushError::Closed(())));
        assert_eq!(consumer.len(), pushed.len());
        assert_eq!(pop_all(&consumer), pushed);
        assert!(consumer.looks_filled() && !consumer.would_wait());
        assert_eq!(consumer.try_pop(), Err(PopError::Closed));
        assert_eq!(consumer.pop_batch(&mut Vec::new(), 4), Err(PopError::Closed));
        assert!(consumer.is_empty());
    }
}

#[test]
fn a_handle_that_slept_for_laps_finds_the_tail_again() {
    let (producer, consumer) = queue_with(5, 2, 0).unwrap();
    let sleeper = producer.clone();
    let late = consumer.clone();
    sleeper.try_push(0).unwrap();
    assert_eq!(consumer.try_pop(), Ok(0));
    for value in 0..10_000 {
        producer.push_batch(&mut vec![value, value]).unwrap();
        assert_eq!(consumer.pop_batch(&mut Vec::new(), 2), Ok(2));
    }
    assert_eq!(late.try_pop(), Err(PopError::Empty));
    sleeper.push_batch(&mut vec![1, 2, 3, 4, 5, 6]).unwrap();
    assert_eq!(producer.try_push(7), Err(PushError::Full(7)));
    assert_eq!(pop_all(&late), [1, 2, 3, 4, 5]);
}

#[test]
#[should_panic(expected = "used up")]
fn positions_end_before_they_wrap() {
    let (producer, _) = queue::<u8>(4).unwrap();
    let end = producer.slots.exhausted_at();
    assert!(end > 1 << 53, "more than a year");
    let (producer, consumer) = queue_with(4, 0, end - 20).unwrap();
    for value in 0.. {
        producer.try_push(value).unwrap();
        assert_eq!(consumer.try_pop(), Ok(value));
        assert!(value < 30, "the limit was passed");
    }
}

#[test]
fn memory_is_enough_for_handles_that_come_and_go_with_one_value_each() {
    let (producer, consumer) = queue_with(64, 8, 0).unwrap();
    for round in 0..500 {
        while producer.clone().try_push(round).is_ok() {}
        assert_eq!(producer.len(), 64);
        let taken = round % 64 + 1;
        for _ in 0..taken {
            consumer.clone().try_pop().unwrap();
        }
    }
}

#[test]
fn idle_consumers_pin_little() {
    let (producer, consumer) = queue_with(16, 2, 0).unwrap();
    let idle: Vec<_> = (0..50).map(|_| consumer.clone()).collect();
    for value in 0..5_000 {
        producer.try_push(value).unwrap();
        // Each takes one value and leaves its count unsettled.
        assert_eq!(idle[value % idle.len()].try_pop(), Ok(value));
        if value % 3 == 0 {
            while producer.push_batch(&mut vec![0, 0, 0]).is_ok() {}
            assert_eq!(producer.len(), 16);
            assert_eq!(consumer.pop_batch(&mut Vec::new(), 16), Ok(16));
        }
    }
}

#[test]
fn as_many_handles_as_promised_and_not_more() {
    let (producer, consumer) = queue::<usize>(2).unwrap();
    let producers: Vec<_> = (1..HANDLES_MAX).map(|_| producer.clone()).collect();
    let consumers: Vec<_> = (1..HANDLES_MAX).map(|_| consumer.clone()).collect();
    for (value, (producer, consumer)) in producers.iter().zip(&consumers).enumerate() {
        producer.push_batch(&mut vec![value, value]).unwrap();
        assert_eq!(consumer.pop_batch(&mut Vec::new(), 2), Ok(2));
    }
    assert!(catch_unwind(AssertUnwindSafe(|| producer.clone())).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| consumer.clone())).is_err());
    drop((producers, consumers));
    let (other, another) = (producer.clone(), consumer.clone());
    other.try_push(1).unwrap();
    assert_eq!(another.try_pop(), Ok(1));
}

#[test]
fn every_value_is_dropped_once_with_handles_dropped_in_any_order() {
    for order in 0..6 {
        let drops = Arc::new(AtomicUsize::new(0));
        let (producer, consumer) = queue_with(10, 4, 0).unwrap();
        let mut values = Counted::many(12, &drops);
        assert_eq!(producer.push_batch(&mut values), Ok(10));
        drop(consumer.try_pop());
        assert_eq!(consumer.pop_batch(&mut Vec::new(), 2), Ok(2));
        assert_eq!(drops.load(Ordering::SeqCst), 3);
        let other = producer.clone();
        match order {
            0 => drop((producer, other, consumer)),
            1 => drop((consumer, producer, other)),
            2 => drop((other, consumer, producer)),
            3 => drop((producer, consumer, other)),
            4 => drop((consumer, other, producer)),
            _ => drop((other, producer, consumer)),
        }
        assert_eq!(drops.load(Ordering::SeqCst), 10);
        drop(values);
        assert_eq!(drops.load(Ordering::SeqCst), 12);
    }
}

#[test]
fn a_drop_that_panics_loses_no_other_drop() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (producer, consumer) = queue_with(8, 2, 0).unwrap();
    let mut values = Counted::many(8, &drops);
    values[2].panics = true;
    assert_eq!(producer.push_batch(&mut values), Ok(8));
    drop(producer);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(consumer))).is_err());
    assert_eq!(drops.load(Ordering::SeqCst), 8);
}

#[test]
fn values_of_no_size_and_of_great_size_work() {
    let (producer, consumer) = queue(3).unwrap();
    assert_eq!(producer.push_batch(&mut vec![(), (), (), ()]), Ok(3));
    assert_eq!(consumer.pop_batch(&mut Vec::new(), 9), Ok(3));
    let (producer, consumer) = queue(3).unwrap();
    for value in 0..100 {
        producer.try_push(Box::new([value; 9_000])).unwrap();
        producer.try_push(Box::new([value; 9_000])).unwrap();
        assert_eq!(pop_all(&consumer).len(), 2);
    }
    let (producer, consumer) = queue::<[u64; 9_000]>(2).unwrap();
    for value in 0..100 {
        producer.try_push([value; 9_000]).unwrap();
        assert_eq!(consumer.try_pop().map(|value| value[8_999]), Ok(value));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    PushBatch(usize, usize),
    Pop(usize),
    PopBatch(usize, usize),
    CloneProducer(usize),
    DropProducer(usize),
    CloneConsumer(usize),
    DropConsumer(usize),
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => any::<usize>().prop_map(Step::Push),
        4 => (any::<usize>(), 1..20_usize).prop_map(|(who, count)| Step::PushBatch(who, count)),
        8 => any::<usize>().prop_map(Step::Pop),
        4 => (any::<usize>(), 1..20_usize).prop_map(|(who, count)| Step::PopBatch(who, count)),
        1 => any::<usize>().prop_map(Step::CloneProducer),
        1 => any::<usize>().prop_map(Step::DropProducer),
        1 => any::<usize>().prop_map(Step::CloneConsumer),
        1 => any::<usize>().prop_map(Step::DropConsumer),
    ];
    let end = prop_oneof![4 => Just(None), 1 => Just(Some(Step::Close))];
    (prop::collection::vec(step, 0..200), end).prop_map(|(mut steps, close)| {
        let middle = steps.len() / 2;
        close.into_iter().for_each(|close| steps.insert(middle, close));
        steps
    })
}

proptest! {
    #[test]
    fn any_handles_together_behave_like_one_deque(
        steps in steps(),
        capacity in prop::sample::select(vec![1_usize, 2, 3, 5, 8, 40]),
        cells in prop::sample::select(vec![0_usize, 1, 2, 4, 8]),
    ) {
        let (producer, consumer) = queue_with(capacity, cells, 0).unwrap();
        let (mut producers, mut consumers) = (vec![producer], vec![consumer]);
        let (mut model, mut closed, mut next) = (VecDeque::new(), false, 0..);
        for step in steps {
            match step {
                Step::Push(who) => {
                    let value = next.next().unwrap();
                    let expected = if closed {
                        Err(PushError::Closed(value))
                    } else if model.len() == capacity {
                        Err(PushError::Full(value))
                    } else {
                        model.push_back(value);
                        Ok(())
                    };
                    prop_assert_eq!(producers[who % producers.len()].try_push(value), expected);
                }
                Step::PushBatch(who, count) => {
                    let mut values: Vec<_> = next.by_ref().take(count).collect();
                    let fit = if closed { 0 } else { count.min(capacity - model.len()) };
                    let left = values[fit..].to_vec();
                    let expected = match fit {
                        0 if closed => Err(PushError::Closed(())),
                        0 => Err(PushError::Full(())),
                        _ => Ok(fit),
                    };
                    model.extend(&values[..fit]);
                    let result = producers[who % producers.len()].push_batch(&mut values);
                    prop_assert_eq!(result, expected);
                    prop_assert_eq!(values, left);
                }
                Step::Pop(who) => {
                    let none = if closed { PopError::Closed } else { PopError::Empty };
                    let expected = model.pop_front().ok_or(none);
                    prop_assert_eq!(consumers[who % consumers.len()].try_pop(), expected);
                }
                Step::PopBatch(who, count) => {
                    let fit = count.min(model.len());
                    let none = if closed { PopError::Closed } else { PopError::Empty };
                    let expected = if fit == 0 { Err(none) } else { Ok(fit) };
                    let mut out = Vec::new();
                    let result = consumers[who % consumers.len()].pop_batch(&mut out, count);
                    prop_assert_eq!(result, expected);
                    prop_assert_eq!(out, model.drain(..fit).collect::<Vec<_>>());
                }
                Step::CloneProducer(who) => producers.push(producers[who % producers.len()].clone()),
                Step::CloneConsumer(who) => consumers.push(consumers[who % consumers.len()].clone()),
                Step::DropProducer(who) if producers.len() > 1 => {
                    producers.swap_remove(who % producers.len());
                }
                Step::DropConsumer(who) if consumers.len() > 1 => {
                    consumers.swap_remove(who % consumers.len());
                }
                Step::DropProducer(_) | Step::DropConsumer(_) => {}
                Step::Close => {
                    prop_assert_eq!(producers[0].close(), !closed);
                    closed = true;
                }
            }
            prop_assert_eq!(consumers[0].len(), model.len());
            prop_assert_eq!(producers[0].is_full(), !closed && model.len() == capacity);
            prop_assert_eq!(consumers[0].would_wait(), !closed && model.is_empty());
            prop_assert_eq!(consumers[0].is_closed(), closed);
        }
    }
}

/// Every value arrives once, and those of one producer in order at each consumer.
fn conserve(capacity: usize, cells: usize, threads: usize, batch: usize) {
    let count = if cfg!(miri) { 60 } else { 1_000 };
    let (producer, consumer) = queue_with(capacity, cells, 0).unwrap();
    let producers: Vec<_> = (0..threads).map(|_| producer.clone()).collect();
    let consumers: Vec<_> = (0..threads).map(|_| consumer.clone()).collect();
    let taken: Vec<_> = thread::scope(|scope| {
        let pushing: Vec<_> = producers
            .into_iter()
            .enumerate()
            .map(|(thread, producer)| {
                scope.spawn(move || {
                    let mut next = 0..count;
                    let mut source: Vec<Box<(usize, usize)>> = Vec::new();
                    loop {
                        let wanted = batch - source.len();
                        source.extend(next.by_ref().take(wanted).map(|i| Box::new((thread, i))));
                        if source.is_empty() {
                            return;
                        }
                        if source.len() == 1 {
                            let value = source.pop().unwrap();
                            source
                                .extend(producer.try_push(value).err().map(PushError::into_inner));
                        } else if producer.push_batch(&mut source).is_err() {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let popping: Vec<_> = consumers
            .into_iter()
            .map(|consumer| {
                scope.spawn(move || {
                    let mut out = Vec::new();
                    loop {
                        let result = if batch == 1 {
                            consumer.try_pop().map(|value| out.push(value))
                        } else {
                            consumer.pop_batch(&mut out, batch).map(|_| ())
                        };
                        match result {
                            Ok(()) => {}
                            Err(PopError::Closed) => return out,
                            Err(_) => thread::yield_now(),
                        }
                    }
                })
            })
            .collect();
        pushing.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(producer.close());
        popping.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for out in &taken {
        for thread in 0..threads {
            assert!(out.iter().filter(|value| value.0 == thread).is_sorted());
        }
    }
    let mut all: Vec<_> = taken.into_iter().flatten().collect();
    all.sort();
    assert_eq!(all.len(), threads * count);
    assert!(all.iter().enumerate().all(|(i, value)| **value == (i / count, i % count)));
}

#[test]
fn threads_lose_nothing_and_keep_the_order_of_each_producer() {
    for (capacity, cells) in [(1, 1), (2, 2), (3, 8), (64, 0), (1000, 0)] {
        for batch in [1, 3, 200] {
            conserve(capacity, cells, 2, batch);
        }
    }
    conserve(64, 4, 4, 1);
    conserve(1000, 0, 4, 64);
}
