//! Tests of the ring alone: order, bounds, wrap-around, drops, conservation under threads.

#![cfg(not(loom))]

use crate::queue::{CAPACITY_MAX, Consume, Handle, Produce};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use proptest::prelude::*;

use super::*;

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

fn pop_all<T>(ring: &Ring<T>) -> Vec<T> {
    std::iter::from_fn(|| ring.try_pop().ok()).collect()
}

#[test]
fn capacity_is_exact_and_order_is_first_in_first_out() {
    for capacity in 1..=9 {
        let ring = Ring::new(capacity).unwrap();
        for lap in 0..5 {
            for value in 0..capacity {
                assert_eq!(ring.len(), value);
                ring.try_push(lap * 100 + value).unwrap();
            }
            assert!(ring.is_full());
            assert_eq!(ring.try_push(99), Err(PushError::Full(99)));
            let expected: Vec<_> = (0..capacity).map(|value| lap * 100 + value).collect();
            assert_eq!(pop_all(&ring), expected);
            assert_eq!(ring.try_pop(), Err(PopError::Empty));
        }
    }
}

#[test]
fn impossible_capacities_are_refused() {
    assert_eq!(Ring::<u8>::new(0).unwrap_err(), CapacityError::Zero);
    let capacity = CAPACITY_MAX + 1;
    assert_eq!(Ring::<u8>::new(capacity).unwrap_err(), CapacityError::TooLarge { capacity });
    let capacity = CAPACITY_MAX;
    assert_eq!(
        Ring::<[[u64; 1 << 20]; 1 << 13]>::new(capacity).unwrap_err(),
        CapacityError::Memory { capacity }
    );
}

#[test]
fn a_batch_takes_the_prefix_that_fits_and_leaves_the_rest_in_order() {
    let ring = Ring::new(4).unwrap();
    ring.try_push(0).unwrap();
    let mut source = vec![1, 2, 3, 4, 5];
    assert_eq!(ring.push_batch(&mut source), Ok(3));
    assert_eq!(source, [4, 5]);
    assert_eq!(ring.push_batch(&mut source), Err(PushError::Full(())));
    assert_eq!(source, [4, 5]);
    assert_eq!(ring.push_batch(&mut Vec::new()), Ok(0));

    let mut out = vec![-1];
    assert_eq!(ring.pop_batch(&mut out, 0), Ok(0));
    assert_eq!(ring.pop_batch(&mut out, 3), Ok(3));
    assert_eq!(ring.push_batch(&mut source), Ok(2));
    assert_eq!(ring.pop_batch(&mut out, usize::MAX), Ok(3));
    assert_eq!(out, [-1, 0, 1, 2, 3, 4, 5]);
    assert_eq!(ring.pop_batch(&mut out, 1), Err(PopError::Empty));
}

#[test]
fn a_batch_larger_than_the_ring_never_claims_a_slot_twice() {
    let ring = Ring::new(3).unwrap();
    let mut source: Vec<_> = (0..10).collect();
    let mut out = Vec::new();
    while !source.is_empty() {
        assert!(ring.push_batch(&mut source).unwrap() <= 3);
        assert!(ring.pop_batch(&mut out, 100).unwrap() <= 3);
    }
    assert_eq!(out, (0..10).collect::<Vec<_>>());
}

#[test]
fn counters_wrap_around_without_loss() {
    for capacity in [1, 2, 3, 7, 8] {
        let ring = Ring::starting_at_lap(capacity, u64::MAX).unwrap();
        assert!(ring.head_now().0 > u64::MAX - 10_000);
        let mut next = 0..;
        let mut expected = VecDeque::new();
        for round in 0..10 * capacity {
            while !ring.is_full() {
                let value = next.next().unwrap();
                ring.try_push(value).unwrap();
                expected.push_back(value);
                assert_eq!(ring.len(), expected.len());
            }
            assert!(matches!(ring.try_push(0), Err(PushError::Full(0))));
            for _ in 0..=round % capacity {
                assert_eq!(ring.try_pop().ok(), expected.pop_front());
                assert_eq!(ring.len(), expected.len());
            }
        }
        let head = ring.head_now();
        assert!(head.0 < 1 << 30, "the counter wrapped: {head:?}");
    }
}

#[test]
fn a_closed_ring_refuses_pushes_and_still_gives_what_it_holds() {
    let ring = Ring::new(2).unwrap();
    ring.try_push(1).unwrap();
    assert!(ring.close());
    assert!(!ring.close(), "the second close is told apart");
    assert_eq!(ring.try_push(2), Err(PushError::Closed(2)));
    let mut source = vec![3];
    assert_eq!(ring.push_batch(&mut source), Err(PushError::Closed(())));
    assert_eq!(source, [3]);
    assert_eq!(ring.len(), 1);
    assert_eq!(ring.try_pop(), Ok(1));
    assert_eq!(ring.try_pop(), Err(PopError::Closed));
}

#[test]
fn a_full_ring_that_is_closed_says_closed() {
    let ring = Ring::new(1).unwrap();
    ring.try_push(1).unwrap();
    ring.close();
    assert_eq!(ring.try_push(2), Err(PushError::Closed(2)));
    assert!(ring.is_full());
}

#[test]
fn a_producer_between_claim_and_publication_is_reported_as_busy() {
    let ring = Ring::new(2).unwrap();
    let (claimed, _) = ring.claim_push(&mut ring.tail_now(), 1).unwrap();
    ring.try_push(2).unwrap();
    assert_eq!(ring.try_pop(), Err(PopError::Busy));
    assert_eq!(ring.try_push(3), Err(PushError::Full(3)));
    ring.close();
    assert_eq!(ring.try_pop(), Err(PopError::Busy), "what was claimed before the close comes");
    // SAFETY: claimed above.
    unsafe { ring.fill_one(claimed.position(), 1) };
    assert_eq!(pop_all(&ring), [1, 2]);
    assert_eq!(ring.try_pop(), Err(PopError::Closed));
}

#[test]
fn a_consumer_between_claim_and_publication_is_reported_as_busy() {
    let ring = Ring::new(2).unwrap();
    ring.push_batch(&mut vec![1, 2]).unwrap();
    let (claimed, _) = ring.claim_pop(&mut ring.head_now(), 1, |_| ()).unwrap();
    assert_eq!(ring.try_push(3), Err(PushError::Busy(3)));
    assert_eq!(ring.try_pop(), Ok(2));
    assert_eq!(ring.try_pop(), Err(PopError::Empty));
    // SAFETY: claimed above.
    assert_eq!(unsafe { ring.empty_one(claimed) }, 1);
    ring.try_push(3).unwrap();
    assert_eq!(pop_all(&ring), [3]);
}

#[test]
fn each_value_is_dropped_exactly_once() {
    for (capacity, pushed, popped) in [(1, 1, 0), (4, 4, 0), (4, 4, 2), (5, 3, 3), (8, 8, 7)] {
        let drops = Arc::new(AtomicUsize::new(0));
        let ring = Ring::starting_at_lap(capacity, u64::MAX).unwrap();
        assert_eq!(ring.push_batch(&mut Counted::many(pushed, &drops)).unwrap(), pushed);
        let mut out = Vec::new();
        if popped > 0 {
            assert_eq!(ring.pop_batch(&mut out, popped), Ok(popped));
        }
        assert_eq!(drops.load(Ordering::SeqCst), 0, "moving drops nothing");
        drop(out);
        assert_eq!(drops.load(Ordering::SeqCst), popped);
        drop(ring);
        assert_eq!(drops.load(Ordering::SeqCst), pushed);
    }
}

#[test]
fn a_panic_in_one_drop_does_not_keep_the_others_from_being_dropped() {
    let drops = Arc::new(AtomicUsize::new(0));
    let ring = Ring::new(8).unwrap();
    let mut values = Counted::many(6, &drops);
    values[2].panics = true;
    ring.push_batch(&mut values).unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| drop(ring)));
    assert!(result.is_err(), "the panic comes through");
    assert_eq!(drops.load(Ordering::SeqCst), 6);
}

#[test]
fn zero_sized_values_are_counted_too() {
    let ring = Ring::new(3).unwrap();
    assert_eq!(ring.push_batch(&mut vec![(); 5]), Ok(3));
    let mut out = Vec::new();
    assert_eq!(ring.pop_batch(&mut out, 9), Ok(3));
    assert_eq!(out.len(), 3);
}

#[test]
fn a_batch_longer_than_the_longest_run_is_one_contiguous_claim() {
    let capacity = 3 * RUN_MAX as usize - 5;
    for count_max in [1, 7, RUN_MAX as usize, capacity] {
        let ring = Ring::starting_at_lap(capacity, u64::MAX).unwrap();
        for _ in 0..3 {
            assert_eq!(ring.push_batch(&mut (0..2_000).collect()), Ok(capacity));
            let mut out = Vec::new();
            while ring.pop_batch(&mut out, count_max).is_ok() {}
            assert_eq!(out, (0..capacity).collect::<Vec<_>>());
            // The next lap's runs begin elsewhere.
            ring.try_push(1).unwrap();
            assert_eq!(ring.try_pop(), Ok(1));
        }
    }
}

#[test]
fn singles_and_batches_of_small_and_large_values_mix() {
    fn check<T: Clone + PartialEq + std::fmt::Debug>(value: impl Fn(usize) -> T) {
        let ring = Ring::starting_at_lap(7, u64::MAX).unwrap();
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..500 {
            let mut batch: Vec<_> = (pushed..pushed + round % 5).map(&value).collect();
            pushed += ring.push_batch(&mut batch).unwrap_or(0);
            pushed += usize::from(ring.try_push(value(pushed)).is_ok());
            let mut out: Vec<_> = ring.try_pop().into_iter().collect();
            let _ = ring.pop_batch(&mut out, round % 4);
            assert_eq!(out, (popped..popped + out.len()).map(&value).collect::<Vec<_>>());
            popped += out.len();
        }
        assert_eq!(ring.len(), pushed - popped);
    }
    check(|n| n as u8);
    check(|n| n.to_string());
    check(|n| [n; 9]);
    check(|_| ());
}

#[test]
fn a_stale_handle_answers_from_the_ring_and_not_from_memory() {
    let (producer, consumer) = queue(2).unwrap();
    let (old_producer, old_consumer) = (producer.clone(), consumer.clone());
    for value in 0..5 {
        producer.try_push(value).unwrap();
        assert_eq!(consumer.try_pop(), Ok(value));
    }
    assert_eq!(old_consumer.try_pop(), Err(PopError::Empty));
    old_producer.try_push(5).unwrap();
    old_producer.try_push(6).unwrap();
    assert_eq!(producer.try_push(7), Err(PushError::Full(7)));
    assert_eq!(old_consumer.try_pop(), Ok(5));
    producer.try_push(7).unwrap();
    assert!(consumer.close());
    assert_eq!(old_producer.try_push(8), Err(PushError::Closed(8)), "full and closed: closed");
    assert_eq!([old_consumer.try_pop(), consumer.try_pop()], [Ok(6), Ok(7)]);
    assert_eq!(old_consumer.try_pop(), Err(PopError::Closed));
}

#[test]
fn one_handle_may_serve_several_threads() {
    fn shared<T: Sync + Send>(handle: T) -> T {
        handle
    }
    let (producer, consumer) = queue(8).unwrap();
    let (producer, consumer) = (shared(producer), shared(consumer));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for value in 0..1_000 {
                    while producer.try_push(value).is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
        let sum = AtomicU64::new(0);
        let mut popped = 0;
        while popped < 2_000 {
            match consumer.try_pop() {
                Ok(value) => {
                    popped += 1;
                    sum.fetch_add(value, Ordering::SeqCst);
                }
                Err(_) => thread::yield_now(),
            }
        }
        assert_eq!(sum.into_inner(), 999 * 1_000);
    });
}

/// Runs two producers and two consumers over one ring and checks count, sum and order.
fn nothing_is_lost_or_duplicated(capacity: usize, batch: usize) {
    const EACH: u64 = 40_000;
    let ring = Ring::starting_at_lap(capacity, u64::MAX).unwrap();
    let received = AtomicU64::new(0);
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        for producer in 0..2 {
            let ring = &ring;
            scope.spawn(move || {
                let mut next = 0;
                let mut source = Vec::new();
                while next < EACH || !source.is_empty() {
                    while source.len() < batch && next < EACH {
                        source.push((producer, next));
                        next += 1;
                    }
                    if ring.push_batch(&mut source).is_err() {
                        thread::yield_now();
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = [None; 2];
                let mut out = Vec::new();
                while received.load(Ordering::SeqCst) < 2 * EACH {
                    match ring.pop_batch(&mut out, batch) {
                        Ok(count) => received.fetch_add(count as u64, Ordering::SeqCst),
                        Err(_) => {
                            thread::yield_now();
                            continue;
                        }
                    };
                    for (producer, value) in out.drain(..) {
                        assert!(last[producer] < Some(value), "one producer's values in order");
                        last[producer] = Some(value);
                        sum.fetch_add(value, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(received.into_inner(), 2 * EACH);
    assert_eq!(sum.into_inner(), EACH * (EACH - 1), "twice the sum of 0..EACH");
    assert_eq!(ring.try_pop(), Err(PopError::Empty));
}

#[test]
fn two_producers_and_two_consumers_lose_and_duplicate_nothing() {
    for (capacity, batch) in [(1, 1), (2, 1), (3, 2), (64, 1), (64, 7), (100, 128)] {
        nothing_is_lost_or_duplicated(capacity, batch);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(u16),
    Pop,
    PushBatch(Vec<u16>),
    PopBatch(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<u16>().prop_map(Step::Push),
        8 => Just(Step::Pop),
        4 => prop::collection::vec(any::<u16>(), 0..12).prop_map(Step::PushBatch),
        4 => (0usize..12).prop_map(Step::PopBatch),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn the_ring_behaves_like_a_bounded_deque(
        capacity in 1usize..10,
        lap in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let ring = Ring::starting_at_lap(capacity, lap).unwrap();
        let mut model = VecDeque::new();
        let mut closed = false;
        for step in steps {
            match step {
                Step::Push(value) => {
                    let expected = if closed {
                        Err(PushError::Closed(value))
                    } else if model.len() == capacity {
                        Err(PushError::Full(value))
                    } else {
                        model.push_back(value);
                        Ok(())
                    };
                    prop_assert_eq!(ring.try_push(value), expected);
                }
                Step::Pop => {
                    let nothing = if closed { PopError::Closed } else { PopError::Empty };
                    prop_assert_eq!(ring.try_pop(), model.pop_front().ok_or(nothing));
                }
                Step::PushBatch(mut values) => {
                    let fit = if closed { 0 } else { values.len().min(capacity - model.len()) };
                    let rest = values[fit..].to_vec();
                    model.extend(&values[..fit]);
                    let pushed = ring.push_batch(&mut values);
                    prop_assert_eq!(pushed.is_ok(), fit > 0 || rest.is_empty());
                    prop_assert_eq!(pushed.unwrap_or(0), fit);
                    prop_assert_eq!(values, rest);
                }
                Step::PopBatch(count_max) => {
                    let count = count_max.min(model.len());
                    let mut out = Vec::new();
                    let popped = ring.pop_batch(&mut out, count_max);
                    prop_assert_eq!(popped.is_ok(), count > 0 || count_max == 0);
                    prop_assert_eq!(out, model.drain(..count).collect::<Vec<_>>());
                }
                Step::Close => {
                    prop_assert_eq!(ring.close(), !closed);
                    closed = true;
                }
            }
            prop_assert_eq!(ring.len(), model.len());
            prop_assert_eq!(ring.is_closed(), closed);
        }
    }
}
