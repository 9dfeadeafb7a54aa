//! Tests of the single-producer queue alone: order, bounds, wrap-around, close, drops, threads.

#![cfg(not(loom))]

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::{CAPACITY_MAX, ChannelOptions, over};

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
fn capacity_is_exact_and_order_is_first_in_first_out() {
    for capacity in 1..=9 {
        let (producer, consumer) = starting_at(capacity, usize::MAX - 5).unwrap();
        for lap in 0..9 {
            for value in 0..capacity {
                assert_eq!(producer.len(), value);
                assert!(producer.looks_free() && !producer.is_full());
                producer.try_push(lap * 100 + value).unwrap();
            }
            assert!(producer.is_full() && !producer.looks_free() && consumer.looks_filled());
            assert_eq!(producer.try_push(99), Err(PushError::Full(99)));
            let expected: Vec<_> = (0..capacity).map(|value| lap * 100 + value).collect();
            assert_eq!(pop_all(&consumer), expected);
            assert_eq!(consumer.try_pop(), Err(PopError::Empty));
            assert!(consumer.would_wait() && !consumer.looks_filled());
        }
        assert!(consumer.head.get() < 100, "the positions wrapped");
    }
}

#[test]
fn impossible_capacities_are_refused() {
    assert_eq!(queue::<u8>(0).unwrap_err(), CapacityError::Zero);
    let capacity = CAPACITY_MAX + 1;
    assert_eq!(queue::<u8>(capacity).unwrap_err(), CapacityError::TooLarge { capacity });
    let capacity = CAPACITY_MAX;
    assert_eq!(
        queue::<[[u64; 1 << 20]; 1 << 13]>(capacity).unwrap_err(),
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
    assert_eq!(producer.push_batch(&mut Vec::new()), Ok(0));
    let mut out = vec![-1];
    assert_eq!(consumer.pop_batch(&mut out, 0), Ok(0));
    assert_eq!(consumer.pop_batch(&mut out, 3), Ok(3));
    assert_eq!(producer.push_slice(&source), Ok(2));
    assert_eq!(consumer.pop_batch(&mut out, usize::MAX), Ok(3));
    assert_eq!(out, [-1, 0, 1, 2, 3, 4, 5]);
    assert_eq!(consumer.pop_batch(&mut out, 1), Err(PopError::Empty));
}

#[test]
fn a_close_by_either_side_refuses_pushes_and_leaves_what_was_pushed() {
    for consumer_closes in [false, true] {
        for first in [0, usize::MAX / 2, usize::MAX] {
            let (producer, consumer) = starting_at(4, first).unwrap();
            assert_eq!(producer.push_batch(&mut vec![1, 2]), Ok(2));
            assert!(if consumer_closes { consumer.close() } else { producer.close() });
            assert!(!producer.close() && !consumer.close(), "closed already");
            assert!(producer.is_closed() && consumer.is_closed());
            assert!(producer.looks_free() && !producer.is_full() && !consumer.would_wait());
            assert_eq!(producer.try_push(3), Err(PushError::Closed(3)));
            let mut source = vec![4];
            assert_eq!(producer.push_batch(&mut source), Err(PushError::Closed(())));
            assert_eq!((source, consumer.len()), (vec![4], 2));
            assert_eq!(pop_all(&consumer), [1, 2]);
            assert_eq!(consumer.try_pop(), Err(PopError::Closed));
        }
    }
}

#[test]
fn peeked_values_stay_until_they_are_consumed() {
    let (producer, mut consumer) = starting_at(4, 2).unwrap();
    producer.push_batch(&mut vec![1, 2, 3]).unwrap();
    assert_eq!(consumer.peek(0).unwrap_err(), PopError::Empty);
    assert_eq!(consumer.peek(9).unwrap().as_slices(), (&[1, 2][..], &[3][..]));
    consumer.peek(9).unwrap().consume(2);
    assert_eq!(consumer.peek(9).unwrap().as_slices(), (&[3][..], &[][..]));
    consumer.peek(1).unwrap().consume(usize::MAX);
    assert_eq!(consumer.peek(1).unwrap_err(), PopError::Empty);
    assert_eq!(producer.len(), 0);
}

#[test]
fn every_value_is_dropped_exactly_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (producer, mut consumer) = queue(3).unwrap();
    let mut source = Counted::many(10, &drops);
    assert_eq!(producer.push_batch(&mut source), Ok(3));
    drop(consumer.try_pop().ok());
    consumer.peek(1).unwrap().consume(1);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    producer.push_batch(&mut source).unwrap();
    drop(producer);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    drop(consumer);
    assert_eq!(drops.load(Ordering::SeqCst), 5);
    drop(source);
    assert_eq!(drops.load(Ordering::SeqCst), 10);
}

#[test]
fn a_drop_that_panics_drops_the_others_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (producer, mut consumer) = queue(8).unwrap();
    let mut values = Counted::many(6, &drops);
    values[1].panics = true;
    values[4].panics = true;
    producer.push_batch(&mut values).unwrap();
    let peek = consumer.peek(3).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| peek.consume(3))).is_err());
    assert_eq!((drops.load(Ordering::SeqCst), producer.len()), (2, 4));
    drop(producer);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(consumer))).is_err());
    assert_eq!(drops.load(Ordering::SeqCst), 6);
}

#[test]
fn values_without_size_are_counted() {
    let (producer, consumer) = queue(3).unwrap();
    assert_eq!(producer.push_batch(&mut vec![(); 5]), Ok(3));
    let mut out = Vec::new();
    assert_eq!(consumer.pop_batch(&mut out, 2), Ok(2));
    assert_eq!(consumer.len(), 1);
}

#[test]
fn two_threads_lose_and_reorder_nothing() {
    const COUNT: u64 = if cfg!(miri) { 500 } else { 20_000 };
    for capacity in [1, 3, 64] {
        let (producer, consumer) = starting_at(capacity, usize::MAX - 100).unwrap();
        let pushing = thread::spawn(move || {
            let mut next = 0;
            let mut batch = Vec::new();
            while next < COUNT || !batch.is_empty() {
                if next % 3 == 0 && batch.is_empty() {
                    if producer.try_push(next).is_ok() {
                        next += 1;
                    }
                } else {
                    while batch.len() < 5 && next < COUNT {
                        batch.push(next);
                        next += 1;
                    }
                    let _ = producer.push_batch(&mut batch);
                }
                thread::yield_now();
            }
            producer.close();
        });
        let mut seen = Vec::new();
        loop {
            match consumer.pop_batch(&mut seen, 7) {
                Ok(_) => {}
                Err(PopError::Closed) => break,
                Err(_) => thread::yield_now(),
            }
        }
        pushing.join().unwrap();
        assert!(seen.into_iter().eq(0..COUNT));
    }
}

#[test]
fn threads_that_park_at_once_are_always_woken() {
    const COUNT: u64 = if cfg!(miri) { 50 } else { 20_000 };
    for capacity in [1, 2, 16] {
        let options = ChannelOptions::default().spin(Duration::ZERO);
        let (sender, receiver) = over(queue(capacity).unwrap(), &options);
        let sending = thread::spawn(move || {
            for value in 0..COUNT {
                sender.send(value).unwrap();
            }
        });
        for value in 0..COUNT {
            assert_eq!(receiver.recv(), Ok(value));
        }
        assert!(receiver.recv().is_err());
        sending.join().unwrap();
    }
}

#[test]
fn a_close_by_the_consumer_splits_the_values_exactly() {
    for round in 0..if cfg!(miri) { 10 } else { 300 } {
        let (producer, consumer) = queue(8).unwrap();
        let pushing = thread::spawn(move || {
            let mut accepted = 0_u64;
            loop {
                match producer.try_push(accepted) {
                    Ok(()) => accepted += 1,
                    Err(PushError::Closed(_)) => return accepted,
                    Err(_) => thread::yield_now(),
                }
            }
        });
        let mut seen = Vec::new();
        for _ in 0..round {
            let _ = consumer.pop_batch(&mut seen, 3);
        }
        assert!(consumer.close());
        while consumer.pop_batch(&mut seen, 3) != Err(PopError::Closed) {}
        let accepted = pushing.join().unwrap();
        assert!(seen.into_iter().eq(0..accepted), "what was accepted is received");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push,
    PushBatch(usize),
    Pop,
    PopBatch(usize),
    Consume(usize),
    Close(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            10 => Just(Step::Push),
            10 => (0..12_usize).prop_map(Step::PushBatch),
            10 => Just(Step::Pop),
            10 => (0..12_usize).prop_map(Step::PopBatch),
            5 => (1..12_usize).prop_map(Step::Consume),
            1 => any::<bool>().prop_map(Step::Close),
        ],
        0..120,
    )
}

proptest! {
    #[test]
    fn it_behaves_as_a_deque(capacity in 1..10_usize, back in 0..40_usize, steps in steps()) {
        let (producer, mut consumer) = starting_at(capacity, 0_usize.wrapping_sub(back)).unwrap();
        let mut model = VecDeque::new();
        let mut closed = false;
        let mut next = 0..;
        for step in steps {
            let none = if closed { PopError::Closed } else { PopError::Empty };
            match step {
                Step::Push => {
                    let value: i32 = next.next().unwrap();
                    let expected = match () {
                        () if closed => Err(PushError::Closed(value)),
                        () if model.len() == capacity => Err(PushError::Full(value)),
                        () => { model.push_back(value); Ok(()) }
                    };
                    prop_assert_eq!(producer.try_push(value), expected);
                }
                Step::PushBatch(count) => {
                    let mut source: Vec<_> = next.by_ref().take(count).collect();
                    let fits = count.min(capacity - model.len());
                    let expected = match () {
                        () if count == 0 => Ok(0),
                        () if closed => Err(PushError::Closed(())),
                        () if fits == 0 => Err(PushError::Full(())),
                        () => Ok(fits),
                    };
                    if expected.is_ok() {
                        model.extend(&source[..fits]);
                    }
                    prop_assert_eq!(producer.push_batch(&mut source), expected);
                    prop_assert_eq!(source.len(), count - expected.unwrap_or(0));
                }
                Step::Pop => {
                    prop_assert_eq!(consumer.try_pop(), model.pop_front().ok_or(none));
                }
                Step::PopBatch(count) => {
                    let expected: Vec<_> = model.drain(..count.min(model.len())).collect();
                    let mut out = Vec::new();
                    let popped = consumer.pop_batch(&mut out, count);
                    let wanted = expected.len();
                    let nothing = count > 0 && wanted == 0;
                    prop_assert_eq!(popped, if nothing { Err(none) } else { Ok(wanted) });
                    prop_assert_eq!(out, expected);
                }
                Step::Consume(count) => {
                    let known = model.len().min(count);
                    if let Ok(peek) = consumer.peek(count) {
                        let (first, second) = peek.as_slices();
                        let seen: Vec<_> = first.iter().chain(second).copied().collect();
                        prop_assert!(model.iter().copied().take(seen.len()).eq(seen.clone()));
                        prop_assert_eq!(seen.len(), known);
                        peek.consume(known);
                        model.drain(..known);
                    } else {
                        prop_assert_eq!(known, 0);
                    }
                }
                Step::Close(by_consumer) => {
                    prop_assert_eq!(if by_consumer { consumer.close() } else { producer.close() }, !closed);
                    closed = true;
                }
            }
            prop_assert_eq!(producer.len(), model.len());
            prop_assert_eq!(producer.is_full(), model.len() == capacity && !closed);
            prop_assert_eq!(consumer.would_wait(), model.is_empty() && !closed);
        }
    }
}
