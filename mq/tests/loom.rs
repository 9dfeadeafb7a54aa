//! Model checks of the shipped concurrent code: every interleaving of a few threads, weak memory
//! included. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p quorate-mq --test loom --release`.
//!
//! Each model is tiny (capacity 1 or 2, at most three threads, no retry loops) and says which
//! invariant of `ring` it guards. Waiting and the channels: `loom_channel.rs`.
#![cfg(loom)]

use loom::{model::Builder, sync::Arc, thread};
use quorate_mq::{PopError, PushError, Ring};

/// Explores a model with a bound on preemptions, which keeps it within seconds.
fn check(preemptions_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(model);
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
