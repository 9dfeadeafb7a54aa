//! Model checks of the bounded ring as it ships: every interleaving of a few threads, weak memory
//! included. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p quorate-mq --test loom_ring --release`.
//!
//! Each model is tiny and says which invariant of `ring` it guards. The last test weakens the
//! named orderings, and plants the named defects, one at a time, and expects a model to fail.
#![cfg(loom)]

use std::{cell::Cell, panic};

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    thread,
};
use quorate_mq::{Consume, PopError, Produce, PushError, Ring, modelled::weaken, ring::queue};

/// A value too large to lie beside its stamp.
type Large = (Box<u32>, [u64; 4]);

fn large(value: u32) -> Large {
    (Box::new(value), [0; 4])
}

std::thread_local! {
    static SPAWNED_FIRST: Cell<bool> = const { Cell::new(false) };
}

/// Explores a model with a bound on preemptions, which keeps it within seconds; from both ends:
/// beginning with the thread that spawns, and beginning with those that it spawned.
///
/// Loom remembers only the last access to each atomic. A store is therefore not tried before
/// another thread's load if the storing thread loaded in between, as every claim does; a load is
/// always tried before another thread's store. With both beginnings each pair is tried both ways.
fn check(preemptions_max: usize, model: impl Fn() + Sync + Send + Clone + 'static) {
    for spawned_first in [true, false] {
        SPAWNED_FIRST.set(spawned_first);
        let mut builder = Builder::new();
        builder.preemption_bound = Some(preemptions_max);
        builder.check(model.clone());
    }
}

/// Stands behind the spawns of a model; see [`check`].
fn let_them_begin() {
    if SPAWNED_FIRST.get() {
        thread::yield_now();
    }
}

fn drain<T>(ring: &Ring<T>) -> Vec<T> {
    std::iter::from_fn(|| ring.try_pop().ok()).collect()
}

/// INV-2, INV-3, INV-4: what two producers push, each once, is what is popped.
#[test]
fn two_producers_never_share_a_slot() {
    check(3, || {
        let ring = Arc::new(Ring::new(2).unwrap());
        let other = ring.clone();
        let producer = thread::spawn(move || other.try_push(Box::new(1)).is_ok());
        let_them_begin();
        let mine = ring.try_push(Box::new(2)).is_ok();
        assert!(producer.join().unwrap() && mine, "both fit");
        let mut values: Vec<_> = drain(&ring).into_iter().map(|value| *value).collect();
        values.sort();
        assert_eq!(values, [1, 2]);
    });
}

/// INV-2, INV-3, INV-4: two consumers never take the same value, and see it whole.
#[test]
fn two_consumers_never_share_a_value() {
    check(3, || {
        let ring = Arc::new(Ring::new(2).unwrap());
        ring.push_batch(&mut vec![Box::new(1), Box::new(2)]).unwrap();
        let other = ring.clone();
        let consumer = thread::spawn(move || other.try_pop().map(|value| *value));
        let_them_begin();
        let mine = ring.try_pop().map(|value| *value);
        let theirs = consumer.join().unwrap();
        let mut values = [mine.unwrap(), theirs.unwrap()];
        values.sort();
        assert_eq!(values, [1, 2]);
    });
}

/// INV-4: a slot is reused over two laps by a producer and a consumer that race.
#[test]
fn a_slot_passes_between_producer_and_consumer_lap_after_lap() {
    check(3, || {
        let ring = Arc::new(Ring::starting_at_lap(1, u64::MAX).unwrap());
        let other = ring.clone();
        let producer = thread::spawn(move || {
            (1..=2).filter(|value| other.try_push(Box::new(*value)).is_ok()).count()
        });
        let_them_begin();
        let mut values = Vec::new();
        for _ in 0..2 {
            if let Ok(value) = ring.try_pop() {
                values.push(*value);
            }
        }
        let pushed = producer.join().unwrap();
        values.extend(drain(&ring).into_iter().map(|value| *value));
        assert_eq!(values.len(), pushed);
        assert!(values.is_sorted());
    });
}

/// INV-3: batches claim runs that do not overlap, contiguous and in order.
#[test]
fn batches_claim_runs_that_do_not_overlap() {
    check(3, || {
        let ring = Arc::new(Ring::new(3).unwrap());
        let other = ring.clone();
        let producer = thread::spawn(move || {
            let mut values = vec![1, 2];
            other.push_batch(&mut values).unwrap_or(0)
        });
        let_them_begin();
        let mine = ring.push_batch(&mut vec![3, 4]).unwrap_or(0);
        let theirs = producer.join().unwrap();
        assert_eq!(mine + theirs, 3, "what fits is taken");
        let values = drain(&ring);
        assert!([[1, 2, 3], [3, 4, 1]].contains(&[values[0], values[1], values[2]]));
    });
}

/// INV-3, INV-4: batch pops race with batch pushes.
#[test]
fn batches_race_with_batches() {
    check(3, || {
        let ring = Arc::new(Ring::new(2).unwrap());
        ring.try_push(0).unwrap();
        let other = ring.clone();
        let producer = thread::spawn(move || {
            let mut values = vec![1, 2];
            let _ = other.push_batch(&mut values);
            values.len()
        });
        let_them_begin();
        let mut values = Vec::new();
        let _ = ring.pop_batch(&mut values, 2);
        let left = producer.join().unwrap();
        let _ = ring.pop_batch(&mut values, 2);
        assert_eq!(values, [0, 1, 2][..3 - left]);
    });
}

/// INV-5: "empty" is real. A push that was completed before is found, another in flight or not.
#[test]
fn empty_is_never_answered_after_a_completed_push() {
    check(3, || {
        let ring = Arc::new(Ring::new(2).unwrap());
        let other = ring.clone();
        let producer = thread::spawn(move || other.try_push(1).unwrap());
        let_them_begin();
        ring.try_push(2).unwrap();
        // The first slot may still be in the other producer's hands.
        assert_ne!(ring.try_pop().err(), Some(PopError::Empty));
        producer.join().unwrap();
    });
}

/// INV-5: "full" is real.
#[test]
fn full_is_never_answered_after_a_completed_pop() {
    check(3, || {
        let ring = Arc::new(Ring::new(2).unwrap());
        ring.push_batch(&mut vec![1, 2]).unwrap();
        let other = ring.clone();
        let consumer = thread::spawn(move || other.try_pop().unwrap());
        let_them_begin();
        ring.try_pop().unwrap();
        assert_ne!(ring.try_push(3).err(), Some(PushError::Full(3)));
        consumer.join().unwrap();
    });
}

/// INV-5: a push that succeeds against a close is popped before "closed" is answered.
#[test]
fn a_push_that_races_with_close_is_refused_or_popped() {
    check(3, || {
        let ring = Arc::new(Ring::new(1).unwrap());
        let other = ring.clone();
        let producer = thread::spawn(move || other.try_push(Box::new(1)).is_ok());
        let_them_begin();
        ring.close();
        let early = ring.try_pop();
        let pushed = producer.join().unwrap();
        if early == Err(PopError::Closed) {
            assert!(!pushed, "closed was answered before all was popped");
        }
        let late = ring.try_pop();
        assert_eq!(usize::from(pushed), usize::from(early.is_ok()) + usize::from(late.is_ok()));
    });
}

/// INV-4: a value is whole when it is popped, wherever it lies.
#[test]
fn a_value_arrives_whole_wherever_it_lies() {
    check(3, || {
        let ring = Arc::new(Ring::new(2).unwrap());
        let other = ring.clone();
        let producer = thread::spawn(move || other.push_batch(&mut vec![large(1), large(2)]));
        let_them_begin();
        let mut values = Vec::new();
        let _ = ring.pop_batch(&mut values, 2);
        assert_eq!(producer.join().unwrap(), Ok(2));
        let _ = ring.pop_batch(&mut values, 2);
        assert_eq!(values.iter().map(|value| *value.0).collect::<Vec<_>>(), [1, 2]);
    });
}

/// INV-4: a slot is written again only after its value was moved out.
#[test]
fn a_slot_is_filled_again_only_after_it_was_emptied() {
    check(3, || {
        let ring = Arc::new(Ring::new(1).unwrap());
        ring.try_push(Box::new(1)).unwrap();
        let other = ring.clone();
        let consumer = thread::spawn(move || other.try_pop().map(|value| *value));
        let_them_begin();
        let pushed = ring.try_push(Box::new(2)).is_ok();
        assert_eq!(consumer.join().unwrap(), Ok(1));
        assert_eq!(ring.try_pop().is_ok(), pushed);
    });
}

/// INV-4: a consumer that takes from the rest of a run, and reads no stamp, sees the values.
#[test]
fn the_rest_of_a_filled_run_is_handed_on() {
    check(3, || {
        let ring = Arc::new(Ring::new(2).unwrap());
        let (producing, popping) = (ring.clone(), ring.clone());
        let producer =
            thread::spawn(move || producing.push_batch(&mut vec![Box::new(1), Box::new(2)]));
        let consumer = thread::spawn(move || popping.try_pop().map(|value| *value).ok());
        let_them_begin();
        let mine = ring.try_pop().map(|value| *value).ok();
        assert_eq!(producer.join().unwrap(), Ok(2));
        let theirs = consumer.join().unwrap();
        let mut values: Vec<_> = mine.into_iter().chain(theirs).collect();
        values.extend(drain(&ring).into_iter().map(|value| *value));
        values.sort();
        assert_eq!(values, [1, 2]);
    });
}

/// INV-4: a producer that takes from the rest of a run of free slots, and reads no stamp, writes
/// after the values were moved out.
#[test]
fn the_rest_of_a_free_run_is_handed_on() {
    check(3, || {
        let ring = Arc::new(Ring::new(2).unwrap());
        ring.push_batch(&mut vec![large(1), large(2)]).unwrap();
        let (pushing, popping) = (ring.clone(), ring.clone());
        let consumer = thread::spawn(move || {
            let mut values = Vec::new();
            popping.pop_batch(&mut values, 2).unwrap();
            values.len()
        });
        let producer = thread::spawn(move || pushing.try_push(large(3)).is_ok());
        let_them_begin();
        let mine = ring.try_push(large(4)).is_ok();
        assert_eq!(consumer.join().unwrap(), 2);
        let pushed = usize::from(producer.join().unwrap()) + usize::from(mine);
        assert_eq!(drain(&ring).len(), pushed);
    });
}

/// INV-2, INV-6: runs that begin in other places each lap leave stamps behind that mislead nobody.
#[test]
fn stamps_that_were_left_behind_mislead_nobody() {
    check(3, || {
        let ring = Arc::new(Ring::starting_at_lap(3, u64::MAX).unwrap());
        let mut before = Vec::new();
        ring.push_batch(&mut vec![1, 2]).unwrap();
        ring.pop_batch(&mut before, 2).unwrap();
        let other = ring.clone();
        let producer = thread::spawn(move || {
            let mut values = vec![3, 4, 5];
            other.push_batch(&mut values).unwrap()
        });
        let_them_begin();
        let mut values = Vec::new();
        let _ = ring.try_pop().map(|value| values.push(value));
        let _ = ring.pop_batch(&mut values, 2);
        assert_eq!(producer.join().unwrap(), 3);
        values.extend(drain(&ring));
        assert_eq!(values, [3, 4, 5]);
    });
}

/// INV-3: handles whose memory is out of date claim nothing twice and answer nothing from it.
#[test]
fn a_stale_guess_claims_nothing_twice() {
    check(3, || {
        let (producer, consumer) = queue(2).unwrap();
        let (late, late_consumer) = (producer.clone(), consumer.clone());
        producer.try_push(Box::new(1)).unwrap();
        assert_eq!(consumer.try_pop().map(|value| *value), Ok(1));
        let pushing = thread::spawn(move || late.try_push(Box::new(2)).is_ok());
        let_them_begin();
        producer.try_push(Box::new(3)).unwrap();
        let mut values: Vec<_> = late_consumer.try_pop().map(|value| *value).into_iter().collect();
        assert!(pushing.join().unwrap(), "both fit");
        values.extend(std::iter::from_fn(|| consumer.try_pop().ok()).map(|value| *value));
        values.sort();
        assert_eq!(values, [2, 3]);
        assert_eq!(late_consumer.try_pop().err(), Some(PopError::Empty));
    });
}

/// INV-5: a push, or a close, and a consumer that registers before it looks: one sees the other.
fn a_consumer_that_registers_misses_no(
    change: impl Fn(&dyn Produce<u32>) + Copy + Send + Sync + 'static,
) {
    check(3, move || {
        let (producer, consumer) = queue(1).expect("a capacity of one");
        let registered = Arc::new(AtomicBool::new(false));
        let seen = registered.clone();
        let changing = thread::spawn(move || {
            change(&producer);
            seen.load(Relaxed)
        });
        let_them_begin();
        registered.store(true, Relaxed);
        fence(SeqCst);
        let sleeps = consumer.would_wait();
        assert!(changing.join().expect("no panic") || !sleeps, "a lost wake-up");
    });
}

#[test]
fn a_consumer_that_registers_misses_no_push() {
    a_consumer_that_registers_misses_no(|producer| producer.try_push(1).unwrap());
}

#[test]
fn a_consumer_that_registers_misses_no_close() {
    a_consumer_that_registers_misses_no(|producer| assert!(producer.close()));
}

/// INV-5: the same for a pop and a producer that registers.
#[test]
fn a_producer_that_registers_misses_no_pop() {
    check(3, || {
        let (producer, consumer) = queue(1).unwrap();
        producer.try_push(1).unwrap();
        let registered = Arc::new(AtomicBool::new(false));
        let seen = registered.clone();
        let popping = thread::spawn(move || {
            consumer.try_pop().unwrap();
            seen.load(Relaxed)
        });
        let_them_begin();
        registered.store(true, Relaxed);
        fence(SeqCst);
        let sleeps = producer.is_full();
        assert!(popping.join().unwrap() || !sleeps, "a lost wake-up");
    });
}

/// What is weakened or planted, and a model that fails then.
const MUTANTS: &[(&str, fn())] = &[
    ("ring.publish-filled", a_value_arrives_whole_wherever_it_lies),
    ("ring.see-filled", a_value_arrives_whole_wherever_it_lies),
    ("ring.publish-free", a_slot_is_filled_again_only_after_it_was_emptied),
    ("ring.see-free", a_slot_is_filled_again_only_after_it_was_emptied),
    ("ring.free-before-read", a_slot_is_filled_again_only_after_it_was_emptied),
    ("ring.claim-head", the_rest_of_a_filled_run_is_handed_on),
    ("ring.claim-tail", the_rest_of_a_free_run_is_handed_on),
    ("ring.empty-from-the-stamp-alone", empty_is_never_answered_after_a_completed_push),
    ("ring.full-from-the-stamp-alone", full_is_never_answered_after_a_completed_pop),
    ("ring.claim-tail-fence", a_consumer_that_registers_misses_no_push),
    ("ring.close-fence", a_consumer_that_registers_misses_no_close),
    ("ring.claim-head-fence", a_producer_that_registers_misses_no_pop),
];

#[test]
fn every_mutant_is_found() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let missed: Vec<_> = MUTANTS
        .iter()
        .filter(|(name, model)| {
            weaken(Some(name));
            let found = panic::catch_unwind(model).is_err();
            weaken(None);
            !found
        })
        .map(|(name, _)| name)
        .collect();
    panic::set_hook(hook);
    println!("{} of {} mutants found", MUTANTS.len() - missed.len(), MUTANTS.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
