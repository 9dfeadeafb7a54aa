//! Tests of the unbounded queue alone: order, segments, reuse, close, drops, conservation under threads.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc as StdArc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use proptest::prelude::*;

use super::{list::SPARES_MAX, *};

const SMALL: Options = Options { segment_capacity_first: 2, segment_capacity_max: 8 };

fn segments_of(capacity: usize) -> Options {
    Options { segment_capacity_first: capacity, segment_capacity_max: capacity }
}

/// Counts its drops, and panics in them when told to.
#[derive(Debug)]
struct Counted {
    drops: StdArc<AtomicUsize>,
    panics: bool,
}

impl Counted {
    fn new(drops: &StdArc<AtomicUsize>) -> Self {
        Self { drops: drops.clone(), panics: false }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics, "a value panics in its drop");
    }
}

#[test]
fn values_come_out_in_order_whatever_the_size_of_segments() {
    for capacity in 1..40 {
        let options =
            Options { segment_capacity_first: capacity, segment_capacity_max: capacity * 4 };
        let (producer, consumer) = queue_with(options).unwrap();
        for value in 0..1000 {
            producer.try_push(value).unwrap();
        }
        assert_eq!(producer.len(), 1000);
        assert!((0..1000).all(|value| consumer.try_pop() == Ok(value)));
        assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    }
}

#[test]
fn impossible_capacities_are_refused_and_large_ones_limited() {
    assert_eq!(queue_with::<u8>(segments_of(0)).unwrap_err(), CapacityError::Zero);
    let largest = Options { segment_capacity_first: 1, segment_capacity_max: usize::MAX };
    let (producer, consumer) = queue_with(largest).unwrap();
    producer.push_batch(&mut (0..300_000).collect()).unwrap();
    assert!(consumer.slots() < 3 * 300_000);
    assert!((0..300_000).all(|value| consumer.try_pop() == Ok(value)));
}

#[test]
fn a_batch_of_any_size_is_pushed_whole_and_popped_in_pieces() {
    let (producer, consumer) = queue_with(SMALL).unwrap();
    let mut source: Vec<_> = (0..100).collect();
    assert_eq!(producer.push_batch(&mut source), Ok(100));
    assert!(source.is_empty());
    assert_eq!(producer.push_batch(&mut source), Ok(0));
    let mut taken = Vec::new();
    assert_eq!(consumer.pop_batch(&mut taken, 0), Ok(0));
    assert_eq!(consumer.pop_batch(&mut taken, 7), Ok(7));
    assert_eq!(consumer.len(), 93);
    assert_eq!(consumer.pop_batch(&mut taken, usize::MAX), Ok(93));
    assert!(taken.into_iter().eq(0..100));
}

#[test]
fn a_run_longer_than_a_mark_can_say_is_split() {
    let (producer, consumer) = queue_with(segments_of(SEGMENT_CAPACITY_MAX)).unwrap();
    let count = RUN_MAX as u32 * 5 + 3;
    producer.push_batch(&mut (0..count).collect()).unwrap();
    let mut taken = Vec::new();
    assert_eq!(consumer.pop_batch(&mut taken, usize::MAX), Ok(count as usize));
    assert!(taken.into_iter().eq(0..count));
}

#[test]
fn an_unbounded_queue_is_never_full() {
    let (producer, consumer) = queue::<u8>().unwrap();
    assert!(!producer.is_full() && producer.looks_free());
    assert_eq!((producer.capacity(), consumer.capacity()), (None, None));
    assert!(consumer.would_wait() && !consumer.looks_filled());
    producer.try_push(1).unwrap();
    assert!(!consumer.would_wait() && consumer.looks_filled() && !consumer.is_empty());
}

#[test]
fn a_closed_queue_refuses_pushes_and_is_drained_first() {
    for pushed in 0..20 {
        let (producer, consumer) = queue_with(SMALL).unwrap();
        producer.push_batch(&mut (0..pushed).collect()).unwrap();
        assert!(!consumer.is_closed() && consumer.close());
        assert!(producer.is_closed() && !producer.close() && !consumer.close());
        assert!(matches!(producer.try_push(7), Err(PushError::Closed(7))));
        let mut refused = vec![1, 2];
        assert_eq!(producer.push_batch(&mut refused), Err(PushError::Closed(())));
        assert_eq!(refused, [1, 2]);
        assert!((0..pushed).all(|value| consumer.try_pop() == Ok(value)));
        assert!(!consumer.would_wait());
        assert_eq!(consumer.try_pop(), Err(PopError::Closed));
        assert_eq!(consumer.pop_batch(&mut Vec::new(), 3), Err(PopError::Closed));
    }
}

#[test]
fn a_closed_queue_allocates_nothing_however_often_it_refuses() {
    let (producer, _consumer) = queue_with(segments_of(1)).unwrap();
    producer.try_push(0).unwrap();
    producer.close();
    let slots = producer.slots();
    for _ in 0..100 {
        assert!(producer.clone().try_push(1).is_err());
    }
    assert_eq!(producer.slots(), slots);
}

#[test]
fn memory_is_returned_after_a_burst() {
    let (producer, consumer) = queue::<u64>().unwrap();
    let options = Options::suited_to::<u64>();
    producer.push_batch(&mut (0..1_000_000).collect()).unwrap();
    let (slots, bytes) = (consumer.slots(), consumer.memory_bytes());
    assert!((1_000_000..1_100_000).contains(&slots), "{slots} places for a million values");
    assert!(bytes > slots * 12);
    let mut taken = Vec::new();
    while consumer.pop_batch(&mut taken, 4096).is_ok() {}
    assert_eq!(taken.len(), 1_000_000);
    // The producer still names a segment in the middle of nowhere at most until it pushes again.
    let kept = (1 + SPARES_MAX) * options.segment_capacity_max;
    assert!(consumer.slots() <= kept, "{} of {slots} are kept", consumer.slots());
    assert!(consumer.memory_bytes() < bytes / 16);
}

#[test]
fn segments_shrink_again_when_the_backlog_stays_small() {
    let (producer, consumer) =
        queue_with(Options { segment_capacity_first: 32, segment_capacity_max: 1024 }).unwrap();
    producer.push_batch(&mut (0..10_000).collect()).unwrap();
    let mut taken = Vec::new();
    consumer.pop_batch(&mut taken, usize::MAX).unwrap();
    for value in 0..100_000 {
        producer.try_push(value).unwrap();
        assert_eq!(consumer.try_pop(), Ok(value));
    }
    assert!(consumer.slots() <= (2 + SPARES_MAX) * 32, "{} places", consumer.slots());
}

#[test]
fn an_idle_handle_pins_one_segment_and_the_rest_is_reused() {
    let (producer, consumer) = queue_with(segments_of(4)).unwrap();
    let idle = (producer.clone(), consumer.clone());
    for value in 0..1000 {
        producer.try_push(value).unwrap();
        assert_eq!(consumer.try_pop(), Ok(value));
    }
    assert!(consumer.slots() <= 4 * (1 + 2 + SPARES_MAX), "{} places", consumer.slots());
    // The idle ones find their way from a segment that was drained long ago.
    assert_eq!(idle.1.try_pop(), Err(PopError::Empty));
    idle.0.try_push(1).unwrap();
    assert_eq!(idle.1.try_pop(), Ok(1));
    assert_eq!(consumer.len(), 0);
}

#[test]
fn producers_that_push_seldom_waste_few_places() {
    let (first, consumer) = queue::<u32>().unwrap();
    let producers: Vec<_> = (0..100).map(|_| first.clone()).collect();
    for round in 0..3 {
        for producer in &producers {
            producer.try_push(round).unwrap();
        }
    }
    assert_eq!((consumer.len(), consumer.slots()), (300, 1024));
}

#[test]
fn a_place_reserved_before_the_seal_is_not_used_behind_it() {
    for singles in 1..60 {
        let (ahead, consumer) = queue_with(segments_of(256)).unwrap();
        let other = ahead.clone();
        // Reserves more places than it uses; then the others fill the segment and seal it.
        (0..singles).for_each(|value| ahead.try_push(value).unwrap());
        (singles..300).for_each(|value| other.try_push(value).unwrap());
        ahead.try_push(300).unwrap();
        assert!((0..=300).all(|value| consumer.try_pop() == Ok(value)));
    }
}

#[test]
fn handles_come_and_go_and_counts_go_on() {
    let (producer, consumer) = queue_with(SMALL).unwrap();
    for value in 0..100 {
        producer.clone().try_push(value).unwrap();
        assert_eq!(consumer.clone().len(), value + 1);
    }
    assert!((0..100).all(|value| consumer.clone().try_pop() == Ok(value)));
    assert_eq!(producer.len(), 0);
}

#[test]
fn values_without_size_and_large_values_pass() {
    let (producer, consumer) = queue_with(SMALL).unwrap();
    producer.push_batch(&mut vec![(); 100]).unwrap();
    producer.try_push(()).unwrap();
    assert_eq!(consumer.pop_batch(&mut Vec::new(), 99), Ok(99));
    assert_eq!((consumer.try_pop(), consumer.try_pop()), (Ok(()), Ok(())));
    assert_eq!(consumer.try_pop(), Err(PopError::Empty));

    let (producer, consumer) = queue::<[u64; 1000]>().unwrap();
    assert!(consumer.memory_bytes() < 512 << 10);
    assert!((0..100).all(|value| producer.try_push([value; 1000]).is_ok()));
    assert!((0..100).all(|value| consumer.try_pop() == Ok([value; 1000])));
}

#[test]
fn each_value_is_dropped_exactly_once() {
    let drops = StdArc::new(AtomicUsize::new(0));
    let (producer, consumer) = queue_with(SMALL).unwrap();
    let value = || Counted::new(&drops);
    for _ in 0..20 {
        producer.try_push(value()).unwrap();
    }
    producer.push_batch(&mut (0..20).map(|_| value()).collect()).unwrap();
    let mut taken = Vec::new();
    consumer.pop_batch(&mut taken, 13).unwrap();
    drop(taken);
    assert_eq!(drops.load(Ordering::Relaxed), 13);
    consumer.close();
    drop(producer.try_push(value()).unwrap_err());
    assert_eq!(producer.push_batch(&mut vec![value(), value()]), Err(PushError::Closed(())));
    assert_eq!(drops.load(Ordering::Relaxed), 16);
    drop(producer);
    assert_eq!(drops.load(Ordering::Relaxed), 16);
    drop(consumer);
    assert_eq!(drops.load(Ordering::Relaxed), 43);
}

#[test]
fn a_value_that_panics_in_its_drop_keeps_no_other_from_being_dropped() {
    let drops = StdArc::new(AtomicUsize::new(0));
    let (producer, consumer) = queue_with(SMALL).unwrap();
    for position in 0..30 {
        let value = Counted { drops: drops.clone(), panics: position == 7 };
        producer.try_push(value).unwrap();
    }
    drop(producer);
    catch_unwind(AssertUnwindSafe(|| drop(consumer))).unwrap_err();
    assert_eq!(drops.load(Ordering::Relaxed), 30);
}

#[test]
fn a_vector_that_cannot_grow_loses_nothing() {
    let (producer, consumer) = queue::<()>().unwrap();
    producer.try_push(()).unwrap();
    // A vector of values without size is never short of memory but can be full.
    let mut full = Vec::new();
    full.resize(usize::MAX, ());
    catch_unwind(AssertUnwindSafe(|| consumer.pop_batch(&mut full, 1))).unwrap_err();
    assert_eq!(consumer.len(), 1);
    assert_eq!(consumer.try_pop(), Ok(()));
}

/// Producers push pairs (producer, number) while consumers pop; returns what each consumer got.
fn exchange(
    producers: usize,
    consumers: usize,
    each: usize,
    batch: usize,
) -> Vec<Vec<(usize, usize)>> {
    let (first, last) = queue_with(SMALL).unwrap();
    thread::scope(|scope| {
        let pushing: Vec<_> = (0..producers)
            .map(|producer| (producer, first.clone()))
            .map(|(producer, handle)| {
                scope.spawn(move || {
                    let mut values: VecDeque<_> = (0..each).map(|n| (producer, n)).collect();
                    while !values.is_empty() {
                        let count = batch.min(values.len());
                        let mut run: Vec<_> = values.drain(..count).collect();
                        match run.len() {
                            1 => handle.try_push(run[0]).unwrap(),
                            count => assert_eq!(handle.push_batch(&mut run), Ok(count)),
                        }
                    }
                })
            })
            .collect();
        let popping: Vec<_> = (0..consumers)
            .map(|_| last.clone())
            .map(|handle| {
                scope.spawn(move || {
                    let mut taken = Vec::new();
                    loop {
                        match handle.pop_batch(&mut taken, batch) {
                            Ok(_) => {}
                            Err(PopError::Closed) => return taken,
                            Err(_) => thread::yield_now(),
                        }
                    }
                })
            })
            .collect();
        pushing.into_iter().for_each(|thread| thread.join().unwrap());
        first.close();
        let taken = popping.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(last.len(), 0);
        taken
    })
}

#[test]
fn many_threads_lose_nothing_and_keep_each_producers_order() {
    let each = if cfg!(miri) { 50 } else { 20_000 };
    for batch in [1, 3, 17] {
        let taken = exchange(3, 3, each, batch);
        for seen in &taken {
            for producer in 0..3 {
                let numbers = seen.iter().filter(|value| value.0 == producer).map(|value| value.1);
                assert!(numbers.is_sorted());
            }
        }
        let mut all: Vec<_> = taken.concat();
        all.sort_unstable();
        let expected = (0..3).flat_map(|producer| (0..each).map(move |n| (producer, n)));
        assert!(all.into_iter().eq(expected));
    }
}

#[test]
fn a_close_among_pushes_splits_them_into_popped_and_refused() {
    for _ in 0..if cfg!(miri) { 3 } else { 200 } {
        let (producer, consumer) = queue_with(segments_of(3)).unwrap();
        let stop = AtomicBool::new(false);
        let pushed: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..2)
                .map(|_| producer.clone())
                .map(|handle| {
                    let stop = &stop;
                    scope.spawn(move || {
                        let pushed = (0..).take_while(|n| handle.try_push(*n).is_ok()).count();
                        assert!(stop.load(Ordering::Relaxed), "refused before it was closed");
                        pushed
                    })
                })
                .collect();
            thread::yield_now();
            stop.store(true, Ordering::Relaxed);
            assert!(consumer.close());
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let mut taken = Vec::new();
        while consumer.pop_batch(&mut taken, 100).is_ok() {}
        assert_eq!(taken.len(), pushed);
        assert_eq!(consumer.try_pop(), Err(PopError::Closed));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    PushBatch(usize, usize),
    Pop(usize),
    PopBatch(usize, usize),
    Reopen(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2usize).prop_map(Step::Push),
        3 => (0..2usize, 0..12usize).prop_map(|(handle, count)| Step::PushBatch(handle, count)),
        5 => (0..2usize).prop_map(Step::Pop),
        3 => (0..2usize, 0..12usize).prop_map(|(handle, count)| Step::PopBatch(handle, count)),
        2 => (0..2usize).prop_map(Step::Reopen),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 5 } else { 400 }))]

    /// Every operation answers as a `VecDeque` with a closed flag would, whichever handle it
    /// comes from.
    #[test]
    fn it_behaves_as_a_deque(capacity in 1..4usize, steps in prop::collection::vec(step(), 0..120)) {
        let options =
            Options { segment_capacity_first: capacity, segment_capacity_max: capacity * 2 };
        let (producer, consumer) = queue_with(options).unwrap();
        let mut producers = [producer.clone(), producer];
        let mut consumers = [consumer.clone(), consumer];
        let (mut model, mut closed, mut next) = (VecDeque::new(), false, 0..);
        for step in steps {
            let nothing = if closed { PopError::Closed } else { PopError::Empty };
            match step {
                Step::Push(handle) => {
                    let value = next.next().unwrap();
                    let pushed = producers[handle].try_push(value).is_ok();
                    prop_assert_eq!(pushed, !closed);
                    model.extend(pushed.then_some(value));
                }
                Step::PushBatch(handle, count) => {
                    let mut values: Vec<_> = next.by_ref().take(count).collect();
                    let answer = producers[handle].push_batch(&mut values.clone());
                    match closed && count > 0 {
                        true => prop_assert_eq!(answer, Err(PushError::Closed(()))),
                        false => prop_assert_eq!(answer, Ok(count)),
                    }
                    values.truncate(answer.unwrap_or(0));
                    model.extend(values);
                }
                Step::Pop(handle) => {
                    let answer = consumers[handle].try_pop();
                    prop_assert_eq!(answer, model.pop_front().ok_or(nothing));
                }
                Step::PopBatch(handle, count) => {
                    let mut taken = Vec::new();
                    let answer = consumers[handle].pop_batch(&mut taken, count);
                    let some = count.min(model.len());
                    match some == 0 && count > 0 {
                        true => prop_assert_eq!(answer, Err(nothing)),
                        false => prop_assert_eq!(answer, Ok(some)),
                    }
                    prop_assert!(taken.into_iter().eq(model.drain(..some)));
                }
                Step::Reopen(handle) => {
                    producers[handle] = producers[1 - handle].clone();
                    consumers[handle] = consumers[1 - handle].clone();
                }
                Step::Close => {
                    prop_assert_eq!(producers[0].close(), !closed);
                    closed = true;
                }
            }
            prop_assert_eq!(consumers[0].len(), model.len());
            prop_assert_eq!(consumers[0].would_wait(), model.is_empty() && !closed);
            prop_assert_eq!(producers[0].is_closed(), closed);
        }
    }
}
