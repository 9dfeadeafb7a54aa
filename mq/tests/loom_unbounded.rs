//! Model checks of the unbounded queue on the shipped code; run with
//! `RUSTFLAGS="--cfg loom" cargo test --release -p quorate-mq --test loom_unbounded`.
//!
//! Each model is tiny (segments of one or two values, at most three threads, no retry loops) and
//! says which invariant of `unbounded` it guards. The table of the mutants names for each ordering
//! and step of `unbounded` the model that fails without it.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "the models are functions of tests")]

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
};

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release, SeqCst},
            fence,
        },
    },
    thread,
};
use quorate_mq::{
    Consume, Handle, PopError, Produce,
    modelled::weaken,
    unbounded::{Consumer, Options, Producer, queue_with},
};

/// Explores a model with a bound on preemptions, which keeps it within seconds.
fn check(preemptions_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(model);
}

fn queue_of<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let options = Options { segment_capacity_first: capacity, segment_capacity_max: capacity };
    queue_with(options).unwrap()
}

fn drain<T>(consumer: &Consumer<T>) -> Vec<T> {
    std::iter::from_fn(|| consumer.try_pop().ok()).collect()
}

/// INV-1, INV-3: a value is seen whole, or not yet.
fn a_value_passes_from_thread_to_thread() {
    let (producer, consumer) = queue_of(2);
    let pushing = thread::spawn(move || producer.try_push(Box::new(1)).unwrap());
    let early = consumer.try_pop().ok();
    pushing.join().unwrap();
    let value = early.or_else(|| consumer.try_pop().ok());
    assert_eq!(value.as_deref(), Some(&1));
}

/// INV-1, INV-2: two producers never share a place or a cell.
fn two_producers_push_both() {
    let (producer, consumer) = queue_of(2);
    let other = producer.clone();
    let pushing = thread::spawn(move || other.try_push(Box::new(1)).unwrap());
    producer.try_push(Box::new(2)).unwrap();
    pushing.join().unwrap();
    let mut values = drain(&consumer);
    values.sort();
    assert_eq!(values, [Box::new(1), Box::new(2)]);
}

/// INV-3: two consumers never take the same value.
fn two_consumers_pop_both() {
    let (producer, consumer) = queue_of(2);
    producer.push_batch(&mut vec![Box::new(1), Box::new(2)]).unwrap();
    let other = consumer.clone();
    let popping = thread::spawn(move || other.try_pop().unwrap());
    let mine = consumer.try_pop().unwrap();
    let mut values = [mine, popping.join().unwrap()];
    values.sort();
    assert_eq!(values, [Box::new(1), Box::new(2)]);
}

/// INV-3: batches over several runs race with single pops.
fn a_batch_races_with_a_single_pop() {
    let (producer, consumer) = queue_of(3);
    producer.try_push(1).unwrap();
    producer.push_batch(&mut vec![2, 3]).unwrap();
    let other = consumer.clone();
    let popping = thread::spawn(move || other.try_pop().unwrap());
    let mut taken = Vec::new();
    consumer.pop_batch(&mut taken, 2).unwrap();
    assert!(taken.is_sorted());
    taken.push(popping.join().unwrap());
    taken.extend(drain(&consumer));
    taken.sort();
    assert_eq!(taken, [1, 2, 3]);
}

/// INV-5: the consumer follows over segments while they are made.
fn values_pass_over_segments() {
    let (producer, consumer) = queue_of(1);
    let pushing = thread::spawn(move || {
        for value in 1..=2 {
            producer.try_push(Box::new(value)).unwrap();
        }
    });
    let mut values: Vec<_> = (0..2).filter_map(|_| consumer.try_pop().ok()).collect();
    pushing.join().unwrap();
    values.extend(drain(&consumer));
    assert_eq!(values, [Box::new(1), Box::new(2)]);
}

/// INV-5: two producers that both find no place agree on the next segment.
fn two_producers_agree_on_the_next_segment() {
    let (producer, consumer) = queue_of(1);
    producer.try_push(0).unwrap();
    let other = producer.clone();
    let pushing = thread::spawn(move || other.try_push(1).unwrap());
    producer.try_push(2).unwrap();
    pushing.join().unwrap();
    let mut values = drain(&consumer);
    values.sort();
    assert_eq!(values, [0, 1, 2]);
}

/// INV-4: "empty" is real. A push that was completed before is found, another in flight or not.
fn empty_is_never_answered_after_a_completed_push() {
    let (producer, consumer) = queue_of(2);
    let other = producer.clone();
    let pushing = thread::spawn(move || other.try_push(1).unwrap());
    producer.try_push(2).unwrap();
    assert!(consumer.try_pop().is_ok());
    pushing.join().unwrap();
}

/// INV-2, INV-4: nor when the completed push is known by hearsay and stands behind another.
fn empty_is_never_answered_after_a_push_that_one_was_told_of() {
    let (producer, consumer) = queue_of(2);
    let (first, second) = (producer.clone(), producer);
    let told = Arc::new(AtomicBool::new(false));
    let tell = told.clone();
    let threads = [
        thread::spawn(move || first.try_push(1).unwrap()),
        thread::spawn(move || {
            second.try_push(2).unwrap();
            tell.store(true, Release);
        }),
    ];
    if told.load(Acquire) {
        assert!(consumer.try_pop().is_ok());
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

/// INV-8: a waiter that registers before it looks is seen, or sees the value.
fn a_waiter_and_a_push_do_not_miss_each_other() {
    let (producer, consumer) = queue_of(1);
    let registered = Arc::new(AtomicBool::new(false));
    let waiter = registered.clone();
    let pushing = thread::spawn(move || {
        producer.try_push(1).unwrap();
        waiter.load(SeqCst)
    });
    registered.store(true, SeqCst);
    fence(SeqCst);
    let waits = consumer.would_wait();
    let seen = pushing.join().unwrap();
    assert!(seen || !waits, "the consumer waits and nobody wakes it");
}

/// INV-2: a push that succeeds against a close is popped before "closed" is answered; one that is
/// refused finds the queue closed.
fn a_push_that_races_with_close_is_refused_or_popped() {
    let (producer, consumer) = queue_of(1);
    let pushing = thread::spawn(move || {
        let pushed = producer.try_push(1).is_ok();
        assert!(pushed || producer.is_closed());
        pushed
    });
    assert!(consumer.close());
    let early = consumer.try_pop();
    let pushed = pushing.join().unwrap();
    assert!(!(pushed && early == Err(PopError::Closed)), "closed before all was popped");
    let late = consumer.try_pop();
    assert_eq!(usize::from(pushed), usize::from(early.is_ok()) + usize::from(late.is_ok()));
    assert_eq!(consumer.try_pop(), Err(PopError::Closed));
}

/// INV-2, INV-5: close finds the end of the list while it grows.
fn close_races_with_a_new_segment() {
    let (producer, consumer) = queue_of(1);
    producer.try_push(1).unwrap();
    let pushing = thread::spawn(move || producer.try_push(2).is_ok());
    assert!(consumer.close() && !consumer.close());
    let pushed = pushing.join().unwrap();
    assert_eq!(drain(&consumer).len(), 1 + usize::from(pushed));
    assert_eq!(consumer.try_pop(), Err(PopError::Closed));
}

/// One of two closes is the one.
fn two_closes_agree() {
    let (producer, consumer) = queue_of::<u8>(1);
    let closing = thread::spawn(move || producer.close());
    let mine = consumer.close();
    assert!(mine != closing.join().unwrap());
    assert!(consumer.is_closed());
}

/// INV-2: a producer that reserved a place before the segment was sealed does not publish it
/// behind the seal.
fn nothing_is_pushed_behind_a_seal() {
    let (ahead, consumer) = queue_of(32);
    let other = ahead.clone();
    // It has a place left: it reserves one, then two.
    (0..2).for_each(|value| ahead.try_push(value).unwrap());
    other.push_batch(&mut (2..31).collect()).unwrap();
    other.try_push(31).unwrap();
    ahead.try_push(32).unwrap();
    assert!((0..=32).all(|value| consumer.try_pop() == Ok(value)));
}

/// INV-6: what a consumer did in a segment comes before the segment's reuse.
fn a_value_is_moved_out_before_its_place_is_reused() {
    let (producer, consumer) = queue_of(1);
    producer.try_push(Box::new(1)).unwrap();
    let other = consumer.clone();
    let popping = thread::spawn(move || other.try_pop().map(|value| *value));
    producer.try_push(Box::new(2)).unwrap();
    let mut values: Vec<_> = consumer.try_pop().into_iter().map(|value| *value).collect();
    // Reclaims the first segment if the other has left it, and puts the value there.
    let _ = consumer.would_wait();
    producer.try_push(Box::new(3)).unwrap();
    values.extend(popping.join().unwrap().ok());
    values.extend(drain(&consumer).into_iter().map(|value| *value));
    values.sort();
    assert_eq!(values, [1, 2, 3]);
}

/// INV-6, INV-7: a handle that goes on while segments are drained, retired and given up works in
/// one that is in the list.
fn a_consumer_that_goes_on_enters_no_retired_segment() {
    let (producer, consumer) = queue_of(1);
    let late = consumer.clone();
    producer.try_push(0).unwrap();
    consumer.try_pop().unwrap();
    producer.try_push(1).unwrap();
    // On its way from the first segment to the second, which is retired meanwhile.
    let popping = thread::spawn(move || late.try_pop().ok());
    let mut values: Vec<_> = consumer.try_pop().ok().into_iter().collect();
    producer.try_push(2).unwrap();
    let _ = consumer.would_wait();
    values.extend(popping.join().unwrap());
    values.extend(drain(&consumer));
    values.sort();
    assert_eq!(values, [1, 2]);
}

/// INV-6: a handle that is in a segment keeps it, whatever the others do.
fn a_named_segment_is_not_reused() {
    let (producer, consumer) = queue_of(1);
    let late = consumer.clone();
    producer.try_push(1).unwrap();
    producer.try_push(2).unwrap();
    let popping = thread::spawn(move || late.try_pop().ok());
    let mut values: Vec<_> = consumer.try_pop().ok().into_iter().collect();
    let _ = consumer.would_wait();
    values.extend(popping.join().unwrap());
    values.extend(drain(&consumer));
    values.sort();
    assert_eq!(values, [1, 2]);
}

/// `hazard` INV-1: a record is whole when others find it.
fn a_record_is_added_while_others_look() {
    let (producer, consumer) = queue_of::<u8>(1);
    let joining = thread::spawn(move || drop(producer.clone()));
    assert_eq!(consumer.len(), 0);
    joining.join().unwrap();
}

/// `hazard` INV-2: the next owner of a record counts on.
fn counts_go_on_when_a_record_changes_hands() {
    let (producer, consumer) = queue_of(2);
    let other = producer.clone();
    let leaving = thread::spawn(move || other.try_push(1).unwrap());
    producer.clone().try_push(2).unwrap();
    leaving.join().unwrap();
    assert_eq!(consumer.len(), 2);
}

/// Values left inside are dropped once, in all segments. (Loom's `Arc` reports a leak.)
fn values_left_inside_are_dropped_with_the_queue() {
    let (producer, consumer) = queue_of(1);
    let pushing = thread::spawn(move || {
        producer.try_push(Arc::new(1)).unwrap();
        producer.try_push(Arc::new(2)).unwrap();
    });
    drop(consumer.try_pop());
    drop(consumer);
    pushing.join().unwrap();
}

/// A model and how many preemptions it is explored with.
type Model = (usize, fn());

macro_rules! models {
    ($($name:ident: $preemptions_max:literal,)+) => {
        $(
            #[test]
            fn $name() {
                check($preemptions_max, super::$name);
            }
        )+
    };
}

mod holds {
    use super::check;

    models! {
        a_value_passes_from_thread_to_thread: 3,
        two_producers_push_both: 3,
        two_consumers_pop_both: 3,
        a_batch_races_with_a_single_pop: 3,
        values_pass_over_segments: 3,
        two_producers_agree_on_the_next_segment: 3,
        empty_is_never_answered_after_a_completed_push: 3,
        empty_is_never_answered_after_a_push_that_one_was_told_of: 3,
        a_waiter_and_a_push_do_not_miss_each_other: 3,
        a_push_that_races_with_close_is_refused_or_popped: 3,
        close_races_with_a_new_segment: 3,
        two_closes_agree: 3,
        nothing_is_pushed_behind_a_seal: 1,
        a_value_is_moved_out_before_its_place_is_reused: 3,
        a_consumer_that_goes_on_enters_no_retired_segment: 3,
        a_named_segment_is_not_reused: 3,
        a_record_is_added_while_others_look: 3,
        counts_go_on_when_a_record_changes_hands: 3,
        values_left_inside_are_dropped_with_the_queue: 3,
    }
}

/// For each named ordering and step the model that fails without it.
const MUTANTS: &[(&str, Model)] = &[
    ("unbounded.publish", (3, a_value_passes_from_thread_to_thread)),
    ("unbounded.read", (3, a_value_passes_from_thread_to_thread)),
    ("unbounded.hint-past-end", (1, nothing_is_pushed_behind_a_seal)),
    ("unbounded.link-before-seal", (3, values_pass_over_segments)),
    ("unbounded.note-closed", (3, a_push_that_races_with_close_is_refused_or_popped)),
    ("unbounded.leave", (3, a_value_is_moved_out_before_its_place_is_reused)),
    ("unbounded.left", (3, a_value_is_moved_out_before_its_place_is_reused)),
    ("unbounded.protect-fence", (3, a_consumer_that_goes_on_enters_no_retired_segment)),
    ("unbounded.validate", (3, a_consumer_that_goes_on_enters_no_retired_segment)),
    ("unbounded.names", (3, a_named_segment_is_not_reused)),
    ("unbounded.tail-first", (3, values_pass_over_segments)),
    ("unbounded.record-free", (3, counts_go_on_when_a_record_changes_hands)),
];

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

#[test]
fn every_mutant_is_found() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !SILENT.get() {
            report(info);
        }
    }));
    let mut survivors = Vec::new();
    for &(name, (preemptions_max, model)) in MUTANTS {
        weaken(Some(name));
        SILENT.set(true);
        let found = catch_unwind(AssertUnwindSafe(|| check(preemptions_max, model))).is_err();
        SILENT.set(false);
        weaken(None);
        println!("{name}: {}", if found { "found" } else { "NOT FOUND" });
        if !found {
            survivors.push(name);
        }
    }
    println!("{} of {} found", MUTANTS.len() - survivors.len(), MUTANTS.len());
    assert!(survivors.is_empty(), "not found: {survivors:?}");
}
