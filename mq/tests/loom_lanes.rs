//! Model checks of the queues made of lanes (`spsc`, `sharded`): every interleaving of a few
//! threads, weak memory included. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p quorate-mq --test loom_lanes --release`.
//!
//! Each model is tiny and says which invariant it guards; [`MUTANTS`] lists every named ordering
//! and step with a model that fails without it.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "the models are tests, called from two of them")]

use std::panic::{self, AssertUnwindSafe};

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};
use quorate_mq::{Consume, Handle, PopError, Produce, modelled::weaken, sharded, spsc};

/// Explores a model with a bound on preemptions, which keeps it within seconds.
fn check(preemptions_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(model);
}

fn drain<T>(consumer: &impl Consume<T>) -> Vec<T> {
    std::iter::from_fn(|| consumer.try_pop().ok()).collect()
}

/// INV-1 to INV-3 of `spsc`: places pass back and forth, round after round, also around the end
/// of the positions.
fn spsc_passes_places_back_and_forth() {
    check(3, || {
        let (producer, consumer) = spsc::starting_at(1, usize::MAX).unwrap();
        let pushing = thread::spawn(move || {
            (1..=3).filter(|value| producer.try_push(Box::new(*value)).is_ok()).count()
        });
        let mut values = Vec::new();
        for _ in 0..3 {
            if let Ok(value) = consumer.try_pop() {
                values.push(*value);
            }
        }
        let pushed = pushing.join().unwrap();
        values.extend(drain(&consumer).into_iter().map(|value| *value));
        assert_eq!(values.len(), pushed);
        assert!(values.is_sorted());
    });
}

/// INV-1 to INV-3 of `spsc`: batches race with batches.
fn spsc_batches_race_with_batches() {
    check(3, || {
        let (producer, consumer) = spsc::starting_at(2, usize::MAX).unwrap();
        producer.try_push(Box::new(0)).unwrap();
        let pushing = thread::spawn(move || {
            let mut values = vec![Box::new(1), Box::new(2), Box::new(3)];
            let _ = producer.push_batch(&mut values);
            let _ = producer.push_batch(&mut values);
            values.len()
        });
        let mut values = Vec::new();
        let _ = consumer.pop_batch(&mut values, 2);
        let left = pushing.join().unwrap();
        while consumer.pop_batch(&mut values, 2).is_ok() {}
        assert!(values.into_iter().map(|value| *value).eq(0..4 - left));
    });
}

/// INV-4, INV-5 of `spsc`: a push that races with the consumer's close is received or handed back.
fn spsc_consumer_close_splits_exactly() {
    check(3, || {
        let (producer, consumer) = spsc::queue(2).unwrap();
        let pushing = thread::spawn(move || {
            let accepted = (0..2).filter(|value| producer.try_push(Box::new(*value)).is_ok());
            accepted.count()
        });
        assert!(consumer.close());
        let values = drain(&consumer);
        assert_eq!(consumer.try_pop().unwrap_err(), PopError::Closed);
        let accepted = pushing.join().unwrap();
        assert!(values.into_iter().map(|value| *value).eq(0..accepted));
    });
}

/// INV-4, INV-5 of `spsc`: as above, a batch is cut at the end that was agreed on.
fn spsc_consumer_close_cuts_a_batch() {
    check(3, || {
        let (producer, consumer) = spsc::queue(3).unwrap();
        let pushing = thread::spawn(move || {
            let mut values = vec![Box::new(0), Box::new(1)];
            let _ = producer.push_batch(&mut values);
            let _ = producer.push_batch(&mut values);
            (values.len(), producer.is_closed(), producer)
        });
        let early = consumer.try_pop().is_ok();
        consumer.close();
        let received = drain(&consumer).len() + usize::from(early);
        let (kept, _, producer) = pushing.join().unwrap();
        assert!(producer.is_closed());
        assert_eq!(received + kept, 2);
    });
}

/// INV-4 of `spsc`: "closed" is answered after the producer's last value.
fn spsc_producer_close_comes_after_its_values() {
    check(3, || {
        let (producer, consumer) = spsc::queue(2).unwrap();
        let pushing = thread::spawn(move || {
            producer.try_push(Box::new(1)).unwrap();
            assert!(producer.close());
        });
        let received = match consumer.try_pop() {
            Err(PopError::Closed) => panic!("closed was answered before all was popped"),
            answer => usize::from(answer.is_ok()),
        };
        let again = consumer.try_pop();
        assert!(again != Err(PopError::Closed) || received == 1);
        let received = received + usize::from(again.is_ok());
        pushing.join().unwrap();
        assert_eq!(received + drain(&consumer).len(), 1);
    });
}

/// INV-4 of `spsc`: both close at once; both agree on what is inside.
fn spsc_both_sides_close() {
    check(3, || {
        let (producer, consumer) = spsc::queue(2).unwrap();
        let pushing = thread::spawn(move || {
            let accepted = producer.try_push(Box::new(1)).is_ok();
            (accepted, producer.close())
        });
        let first = consumer.close();
        let received = drain(&consumer).len();
        let (accepted, other_first) = pushing.join().unwrap();
        assert!(first != other_first, "one of the two closed it");
        assert_eq!(received, usize::from(accepted));
    });
}

/// INV-5 of `spsc` with a waiter: a consumer that registers and then finds nothing is seen by the
/// producer that pushes.
fn spsc_push_sees_the_waiting_consumer() {
    check(3, || {
        let (producer, consumer) = spsc::queue(1).unwrap();
        let waits = Arc::new(AtomicBool::new(false));
        let waits_too = waits.clone();
        let pushing = thread::spawn(move || {
            producer.try_push(Box::new(1)).unwrap();
            producer.settle();
            waits_too.load(Relaxed)
        });
        waits.store(true, Relaxed);
        let sleeps = consumer.would_wait();
        assert!(pushing.join().unwrap() || !sleeps, "the wake-up is lost");
    });
}

/// As above for a producer that waits for room.
fn spsc_pop_sees_the_waiting_producer() {
    check(3, || {
        let (producer, consumer) = spsc::queue(1).unwrap();
        producer.try_push(Box::new(1)).unwrap();
        let waits = Arc::new(AtomicBool::new(false));
        let waits_too = waits.clone();
        let popping = thread::spawn(move || {
            consumer.try_pop().unwrap();
            consumer.settle();
            waits_too.load(Relaxed)
        });
        waits.store(true, Relaxed);
        let sleeps = producer.is_full();
        assert!(popping.join().unwrap() || !sleeps, "the wake-up is lost");
    });
}

/// INV-1 of `sharded`: two consumers never take the same value of a lane, and see it whole.
fn sharded_consumers_share_a_lane() {
    check(3, || {
        let (producer, consumer) = sharded::starting_at(2, usize::MAX).unwrap();
        producer.push_batch(&mut vec![Box::new(1), Box::new(2)]).unwrap();
        let other = consumer.clone();
        let popping = thread::spawn(move || {
            let value = other.try_pop().map(|value| *value);
            (value, other)
        });
        let mine = consumer.try_pop().map(|value| *value);
        let (theirs, _other) = popping.join().unwrap();
        let mut values: Vec<_> = drain(&consumer).into_iter().map(|value| *value).collect();
        values.extend(mine.into_iter().chain(theirs));
        values.sort_unstable();
        assert_eq!(values, [1, 2]);
    });
}

/// INV-3 of `sharded`: "empty" is never answered while there was always a value in some lane.
fn sharded_empty_is_real() {
    check(3, || {
        let (first, consumer) = sharded::queue(1).unwrap();
        let second = first.clone();
        second.try_push(1).unwrap();
        let other = consumer.clone();
        let moving = thread::spawn(move || {
            first.try_push(2).unwrap();
            // One of the two values stays.
            let popped = other.try_pop();
            (popped, first, other)
        });
        assert_ne!(consumer.try_pop(), Err(PopError::Empty));
        let _ends = moving.join().unwrap();
    });
}

/// INV-4 of `sharded`: once the close was seen anywhere, no producer's push is accepted.
fn sharded_close_is_one_step_for_all_producers() {
    check(3, || {
        let (first, consumer) = sharded::queue(1).unwrap();
        let second = first.clone();
        let closing = thread::spawn(move || {
            assert!(consumer.close());
            consumer
        });
        let seen = first.is_closed();
        let accepted = second.try_push(1).is_ok();
        assert!(!(seen && accepted), "pushed behind the close");
        assert_eq!(drain(&closing.join().unwrap()).len(), usize::from(accepted));
    });
}

/// INV-4 of `sharded`: a push that races with a close is received or handed back.
fn sharded_close_splits_exactly() {
    check(2, || {
        let (producer, consumer) = sharded::queue(1).unwrap();
        let pushing = thread::spawn(move || {
            let accepted = producer.try_push(Box::new(1)).is_ok();
            (accepted, producer)
        });
        consumer.close();
        let received = drain(&consumer).len();
        let told = consumer.try_pop().unwrap_err();
        let (accepted, _producer) = pushing.join().unwrap();
        if told == PopError::Closed {
            assert_eq!(received, usize::from(accepted));
        }
        assert_eq!(received + drain(&consumer).len(), usize::from(accepted));
    });
}

/// INV-2 of `sharded`: a lane that its producer leaves behind is drained before it goes.
fn sharded_dropped_producers_leave_their_values() {
    check(3, || {
        let (first, consumer) = sharded::queue(1).unwrap();
        let second = first.clone();
        let pushing = thread::spawn(move || {
            second.try_push(Box::new(1)).unwrap();
            drop(second);
        });
        let early = usize::from(consumer.try_pop().is_ok());
        pushing.join().unwrap();
        assert_eq!(early + drain(&consumer).len(), 1);
        assert_eq!(first.capacity(), Some(1), "the lane is gone");
    });
}

/// INV-3 of `sharded` with a waiter: a consumer that registers and then finds nothing is seen by
/// the producer that pushes, in a lane that was there or a new one.
fn sharded_push_sees_the_waiting_consumer() {
    for new_lane in [false, true] {
        check(3, move || {
            let (producer, consumer) = sharded::queue(1).unwrap();
            let waits = Arc::new(AtomicBool::new(false));
            let waits_too = waits.clone();
            let pushing = thread::spawn(move || {
                let added = new_lane.then(|| producer.clone());
                let pushing = added.as_ref().unwrap_or(&producer);
                pushing.try_push(1).unwrap();
                pushing.settle();
                (waits_too.load(Relaxed), added, producer)
            });
            waits.store(true, Relaxed);
            let sleeps = consumer.would_wait();
            let (seen, _added, _producer) = pushing.join().unwrap();
            assert!(seen || !sleeps, "the wake-up is lost");
        });
    }
}

/// As above for a producer that waits for room.
fn sharded_pop_sees_the_waiting_producer() {
    check(3, || {
        let (producer, consumer) = sharded::queue(1).unwrap();
        producer.try_push(1).unwrap();
        let waits = Arc::new(AtomicBool::new(false));
        let waits_too = waits.clone();
        let popping = thread::spawn(move || {
            consumer.try_pop().unwrap();
            consumer.settle();
            (waits_too.load(Relaxed), consumer)
        });
        waits.store(true, Relaxed);
        let sleeps = producer.is_full();
        let (seen, _consumer) = popping.join().unwrap();
        assert!(seen || !sleeps, "the wake-up is lost");
    });
}

/// Every model that has to pass.
const MODELS: &[fn()] = &[
    spsc_passes_places_back_and_forth,
    spsc_batches_race_with_batches,
    spsc_consumer_close_splits_exactly,
    spsc_consumer_close_cuts_a_batch,
    spsc_producer_close_comes_after_its_values,
    spsc_both_sides_close,
    spsc_push_sees_the_waiting_consumer,
    spsc_pop_sees_the_waiting_producer,
    sharded_consumers_share_a_lane,
    sharded_empty_is_real,
    sharded_close_is_one_step_for_all_producers,
    sharded_close_splits_exactly,
    sharded_dropped_producers_leave_their_values,
    sharded_push_sees_the_waiting_consumer,
    sharded_pop_sees_the_waiting_producer,
];

/// Every named ordering and step, and a model that fails when it is weakened.
const MUTANTS: &[(&str, fn())] = &[
    ("spsc.publish", spsc_passes_places_back_and_forth),
    ("spsc.see-values", spsc_passes_places_back_and_forth),
    ("spsc.free", spsc_passes_places_back_and_forth),
    ("spsc.see-room", spsc_passes_places_back_and_forth),
    ("spsc.settle-push", spsc_consumer_close_splits_exactly),
    ("spsc.settle-push", spsc_push_sees_the_waiting_consumer),
    ("spsc.settle-close", spsc_consumer_close_splits_exactly),
    ("spsc.settle-pop", spsc_pop_sees_the_waiting_producer),
    ("spsc.settle-waiter", spsc_push_sees_the_waiting_consumer),
    ("spsc.settle-waiter", spsc_pop_sees_the_waiting_producer),
    ("spsc.see-end", spsc_producer_close_comes_after_its_values),
    ("sharded.lock", sharded_consumers_share_a_lane),
    ("sharded.unlock", sharded_consumers_share_a_lane),
    ("sharded.look-twice", sharded_empty_is_real),
    ("sharded.look-first", sharded_close_is_one_step_for_all_producers),
    ("sharded.settle-waiter", sharded_push_sees_the_waiting_consumer),
    ("spsc.settle-pop", sharded_pop_sees_the_waiting_producer),
];

#[test]
fn every_model_passes() {
    for model in MODELS {
        model();
    }
}

#[test]
fn every_mutant_is_found() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for (name, model) in MUTANTS {
        weaken(Some(name));
        if panic::catch_unwind(AssertUnwindSafe(model)).is_ok() {
            missed.push(*name);
        }
        weaken(None);
    }
    panic::set_hook(hook);
    println!("{} of {} found", MUTANTS.len() - missed.len(), MUTANTS.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
