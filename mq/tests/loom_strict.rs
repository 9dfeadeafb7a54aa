//! Model checks of the strict queue, on the code that ships: every interleaving of a few threads,
//! weak memory included; and a test that weakens each named ordering and plants each named
//! defect in turn, and expects a model to fail. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p quorate-mq --test loom_strict --release`.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "models are functions beside their tests")]

use std::panic::{AssertUnwindSafe, catch_unwind};

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
use quorate_mq::{
    Consume, Handle, PopError, Produce, PushError,
    modelled::weaken,
    strict::{Consumer, queue_with},
};

/// Explores a model with a bound on preemptions, which keeps it within seconds.
fn check(preemptions_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(model);
}

fn drain<T>(consumer: &Consumer<T>) -> Vec<T> {
    std::iter::from_fn(|| consumer.try_pop().ok()).collect()
}

/// INV-2: two producers meet at the tail; each run is published once, whole and in one piece.
fn two_producers_never_share_a_position() {
    check(3, || {
        let (producer, consumer) = queue_with(4, 2, 0).unwrap();
        let other = producer.clone();
        let thread = thread::spawn(move || {
            other.push_batch(&mut vec![1, 2]).unwrap();
        });
        producer.push_batch(&mut vec![3, 4]).unwrap();
        thread.join().unwrap();
        let values = drain(&consumer);
        assert!([[1, 2, 3, 4], [3, 4, 1, 2]].contains(&values.try_into().unwrap()));
    });
}

/// INV-2, INV-3: what a consumer sees at the head it sees whole.
fn a_published_value_is_seen_whole() {
    check(3, || {
        let (producer, consumer) = queue_with(2, 1, 0).unwrap();
        let thread = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer.try_push(2).unwrap();
        });
        let mut values = Vec::new();
        for _ in 0..3 {
            match consumer.try_pop() {
                Ok(value) => values.push(value),
                Err(reason) => assert_eq!(reason, PopError::Empty),
            }
        }
        thread.join().unwrap();
        values.extend(drain(&consumer));
        assert_eq!(values, [1, 2]);
    });
}

/// INV-3: two consumers share one run and never a value.
fn two_consumers_share_a_run() {
    check(3, || {
        let (producer, consumer) = queue_with(4, 4, 0).unwrap();
        let values = vec![1, 2, 3, 4];
        producer.push_batch(&mut { values }).unwrap();
        let other = consumer.clone();
        let thread = thread::spawn(move || {
            let mut out = Vec::new();
            other.pop_batch(&mut out, 3).unwrap();
            out.into_iter().collect::<Vec<_>>()
        });
        let mine = consumer.try_pop().unwrap();
        let theirs = thread.join().unwrap();
        assert_eq!(theirs.len(), 3);
        let expected = if mine == 1 { [2, 3, 4] } else { [1, 2, 3] };
        assert_eq!(theirs, expected);
    });
}

/// INV-B2: a block is filled again only after both consumers have moved their values out.
fn a_block_is_reused_only_when_it_is_empty() {
    check(2, || {
        let (producer, consumer) = queue_with(2, 2, 0).unwrap();
        producer.push_batch(&mut vec![1, 2]).unwrap();
        let other = consumer.clone();
        let thread = thread::spawn(move || {
            let value = other.try_pop();
            drop(other);
            value
        });
        let mine = consumer.try_pop();
        drop(consumer.clone());
        // Settles the block of the first run by moving on to the next one.
        let _ = producer.push_batch(&mut vec![3, 4]);
        let next = consumer.try_pop();
        let _ = producer.push_batch(&mut vec![5, 6]);
        let theirs = thread.join().unwrap();
        let mut values: Vec<_> = [mine, theirs, next].into_iter().flatten().collect();
        values.sort();
        assert!(values.starts_with(&[1, 2]));
    });
}

/// INV-B2: a block travels from a consumer through the free list to another producer.
fn a_block_travels_through_the_free_list() {
    check(3, || {
        let (producer, consumer) = queue_with(1, 1, 0).unwrap();
        let last = consumer.clone();
        let thread = thread::spawn(move || {
            (1..=2).filter(|value| producer.try_push(*value).is_ok()).count()
        });
        let mut values: Vec<_> = consumer.try_pop().into_iter().collect();
        // Counts back what was taken, so that the block is free.
        drop(consumer);
        let pushed = thread.join().unwrap();
        values.extend(drain(&last));
        assert_eq!(values, (1..=pushed).collect::<Vec<_>>()[..values.len()]);
        assert_eq!(values.len(), pushed);
    });
}

/// INV-4: a producer that passes over a long run never takes the length of a later one for it.
fn a_length_that_is_read_late_is_not_believed() {
    check(3, || {
        let (producer, consumer) = queue_with(8, 8, 0).unwrap();
        let late = producer.clone();
        let last = consumer.clone();
        producer.push_batch(&mut (0..8).collect()).unwrap();
        let thread = thread::spawn(move || {
            // The block of the first run is taken again, for a run of another length.
            assert_eq!(consumer.pop_batch(&mut Vec::new(), 8), Ok(8));
            drop(consumer);
            producer.push_batch(&mut (8..12).collect()).unwrap();
            producer
        });
        let pushed = late.try_push(99).is_ok();
        let _producer = thread.join().unwrap();
        let values = drain(&last);
        assert!(values.iter().filter(|value| **value != 99).eq(&[8, 9, 10, 11]), "{values:?}");
        assert_eq!(values.contains(&99), pushed);
    });
}

/// INV-5: "full" and "empty" were true at one moment.
fn full_and_empty_are_real() {
    check(3, || {
        let (producer, consumer) = queue_with(1, 1, 0).unwrap();
        producer.try_push(1).unwrap();
        let thread = thread::spawn(move || consumer.try_pop().map(|value| (value, consumer)));
        let second = producer.try_push(2);
        let (value, consumer) = thread.join().unwrap().unwrap();
        assert_eq!(value, 1);
        match second {
            Ok(()) => assert_eq!(consumer.try_pop(), Ok(2)),
            Err(reason) => {
                assert_eq!(reason, PushError::Full(2));
                assert_eq!(producer.try_push(3), Ok(()));
                assert_eq!(consumer.try_pop(), Ok(3));
            }
        }
        assert_eq!(consumer.try_pop(), Err(PopError::Empty));
    });
}

/// INV-5: close is one step: what was pushed is popped, what is refused is refused for ever.
fn close_is_one_step() {
    check(3, || {
        let (producer, consumer) = queue_with(2, 1, 0).unwrap();
        let thread = thread::spawn(move || {
            let first = producer.try_push(1).is_ok();
            let second = producer.try_push(2).is_ok();
            assert!(first || !second, "closed is final");
            usize::from(first) + usize::from(second)
        });
        assert!(consumer.close());
        assert!(consumer.is_closed());
        let mut values = drain(&consumer);
        assert_eq!(consumer.try_pop().unwrap_err(), PopError::Closed, "and drained");
        let pushed = thread.join().unwrap();
        values.extend(drain(&consumer));
        assert_eq!(values, (1..=pushed).collect::<Vec<_>>());
    });
}

/// INV-5: whoever is told that the queue is closed finds it closed, and so do all after them.
fn closed_is_known_before_it_is_told() {
    check(3, || {
        let (producer, consumer) = queue_with(1, 1, 0).unwrap();
        let other = consumer.clone();
        let thread = thread::spawn(move || other.close());
        if consumer.try_pop() == Err(PopError::Closed) {
            assert!(producer.is_closed());
            assert_eq!(producer.try_push(1), Err(PushError::Closed(1)));
        }
        let mine = consumer.close();
        assert!(mine ^ thread.join().unwrap(), "one call closes");
    });
}

/// The handshake with a waiting consumer: it registers and then sees the value, or the pusher
/// sees it registered.
fn a_push_and_a_waiting_consumer_do_not_miss_each_other() {
    check(3, || {
        let (producer, consumer) = queue_with(1, 1, 0).unwrap();
        let waiting = Arc::new(AtomicBool::new(false));
        let registered = waiting.clone();
        let thread = thread::spawn(move || {
            registered.store(true, SeqCst);
            fence(SeqCst);
            consumer.would_wait()
        });
        producer.try_push(1).unwrap();
        let seen = waiting.load(Relaxed);
        assert!(!thread.join().unwrap() || seen, "it sleeps and nobody knows");
    });
}

/// The handshake with a waiting producer.
fn a_pop_and_a_waiting_producer_do_not_miss_each_other() {
    check(3, || {
        let (producer, consumer) = queue_with(1, 1, 0).unwrap();
        producer.try_push(1).unwrap();
        let waiting = Arc::new(AtomicBool::new(false));
        let registered = waiting.clone();
        let thread = thread::spawn(move || {
            registered.store(true, SeqCst);
            fence(SeqCst);
            producer.is_full()
        });
        consumer.try_pop().unwrap();
        let seen = waiting.load(Relaxed);
        assert!(!thread.join().unwrap() || seen, "it sleeps and nobody knows");
    });
}

/// The handshake of close with a waiting consumer.
fn a_close_and_a_waiting_consumer_do_not_miss_each_other() {
    check(3, || {
        let (producer, consumer) = queue_with::<u8>(1, 1, 0).unwrap();
        let waiting = Arc::new(AtomicBool::new(false));
        let registered = waiting.clone();
        let thread = thread::spawn(move || {
            registered.store(true, SeqCst);
            fence(SeqCst);
            consumer.would_wait()
        });
        assert!(producer.close());
        let seen = waiting.load(Relaxed);
        assert!(!thread.join().unwrap() || seen, "it sleeps and nobody knows");
    });
}

macro_rules! models {
    ($($name:ident)+) => {
        mod unweakened {
            $(#[test]
            fn $name() {
                super::$name();
            })+
        }
    };
}

models! {
    two_producers_never_share_a_position
    a_published_value_is_seen_whole
    two_consumers_share_a_run
    a_block_is_reused_only_when_it_is_empty
    a_block_travels_through_the_free_list
    a_length_that_is_read_late_is_not_believed
    full_and_empty_are_real
    close_is_one_step
    closed_is_known_before_it_is_told
    a_push_and_a_waiting_consumer_do_not_miss_each_other
    a_pop_and_a_waiting_producer_do_not_miss_each_other
    a_close_and_a_waiting_consumer_do_not_miss_each_other
}

/// A named ordering that is made relaxed, or a named defect that is planted, and the model that
/// fails then.
const MUTANTS: &[(&str, fn())] = &[
    ("strict.publish", a_published_value_is_seen_whole),
    ("strict.observe", a_published_value_is_seen_whole),
    ("strict.publish-fence", a_push_and_a_waiting_consumer_do_not_miss_each_other),
    ("strict.claim-fence", a_pop_and_a_waiting_producer_do_not_miss_each_other),
    ("strict.close-fence", a_close_and_a_waiting_consumer_do_not_miss_each_other),
    ("strict.count", a_block_is_reused_only_when_it_is_empty),
    ("strict.early-free", a_block_is_reused_only_when_it_is_empty),
    ("strict.give-back", a_block_travels_through_the_free_list),
    ("strict.take", a_block_travels_through_the_free_list),
    ("strict.length", a_length_that_is_read_late_is_not_believed),
    ("strict.length-check", a_length_that_is_read_late_is_not_believed),
];

#[test]
fn every_mutant_is_found() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for (name, model) in MUTANTS {
        weaken(Some(name));
        if catch_unwind(AssertUnwindSafe(model)).is_ok() {
            missed.push(*name);
        }
        weaken(None);
    }
    std::panic::set_hook(hook);
    println!("{} of {} found", MUTANTS.len() - missed.len(), MUTANTS.len());
    assert!(missed.is_empty(), "missed: {missed:?}");
}
