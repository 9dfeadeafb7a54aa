//! Model checks of the shipped concurrent code: every interleaving of a few threads, weak memory
//! included. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p quorate-mq --test loom --release`.
//!
//! Each model is tiny (capacity 1 or 2, at most three threads, no retry loops except where a
//! blocking call is what is checked) and says which invariant of `ring`, `wait` or `doorbell` it
//! guards.
#![cfg(loom)]

use loom::{
    model::Builder,
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    thread,
};
use quorate_mq::{
    Doorbell, PopError, PushError, Ring, TryRecvError, bounded, bounded_with_doorbell,
    modelled::WaitList,
};

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

/// `wait`: a blocked receiver is woken by the only send there is.
#[test]
fn a_receiver_that_parks_is_woken() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        let producer = thread::spawn(move || {
            sender.try_send(Box::new(1)).unwrap();
            // The close at the drop must not be what wakes the receiver.
            sender
        });
        assert_eq!(receiver.recv().map(|value| *value), Ok(1));
        drop(producer.join().unwrap());
    });
}

/// `wait`: a blocked sender is woken by the only receive there is.
#[test]
fn a_sender_that_parks_is_woken() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        sender.try_send(1).unwrap();
        let consumer = thread::spawn(move || {
            let first = receiver.recv().unwrap();
            (first, receiver)
        });
        sender.send(2).unwrap();
        let (first, receiver) = consumer.join().unwrap();
        assert_eq!((first, receiver.try_recv()), (1, Ok(2)));
    });
}

/// `wait`: two waiters, one change that serves both: both are woken. (On the list alone: a model
/// of the whole channel with two receivers has a yield loop that loom unrolls without end.)
#[test]
fn a_wake_of_two_reaches_both_waiters() {
    check(3, || {
        let list = Arc::new(WaitList::new());
        let permits = Arc::new(AtomicUsize::new(0));
        let take = |list: &WaitList, permits: &AtomicUsize| {
            while permits.fetch_update(SeqCst, SeqCst, |permits| permits.checked_sub(1)).is_err() {
                list.park(|| permits.load(SeqCst) == 0);
            }
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (list, permits) = (list.clone(), permits.clone());
                thread::spawn(move || take(&list, &permits))
            })
            .collect();
        permits.fetch_add(2, SeqCst);
        fence(SeqCst);
        list.wake(2);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// `wait`: two changes by two threads, each waking one, reach two waiters' worth of work.
#[test]
fn two_wakes_of_one_are_not_merged() {
    check(2, || {
        let list = Arc::new(WaitList::new());
        let permits = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (list, permits) = (list.clone(), permits.clone());
                thread::spawn(move || {
                    permits.fetch_add(1, SeqCst);
                    fence(SeqCst);
                    list.wake(1);
                })
            })
            .collect();
        for _ in 0..2 {
            while permits.fetch_update(SeqCst, SeqCst, |permits| permits.checked_sub(1)).is_err() {
                list.park(|| permits.load(SeqCst) == 0);
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// `wait`: a close wakes a parked receiver, after the values.
#[test]
fn a_close_wakes_a_parked_receiver() {
    check(3, || {
        let (sender, receiver) = bounded::<i32>(1).unwrap();
        let closer = thread::spawn(move || drop(sender));
        assert!(receiver.recv().is_err());
        closer.join().unwrap();
    });
}

/// `wait`: a close wakes a parked sender, which gets its value back.
#[test]
fn a_close_wakes_a_parked_sender() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        sender.try_send(1).unwrap();
        let closer = thread::spawn(move || receiver.close());
        assert_eq!(sender.send(2).map_err(|error| error.0), Err(2));
        assert!(closer.join().unwrap());
    });
}

/// `channel`: sends racing with the drop of the only receiver are refused or dropped once.
#[test]
fn a_send_that_races_with_the_last_receiver_leaks_nothing() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        let consumer = thread::spawn(move || drop(receiver));
        // Loom's `Arc` reports a leak if the value is never dropped.
        let _ = sender.try_send(Arc::new(1));
        consumer.join().unwrap();
    });
}

/// `doorbell`: listen, look, wait never sleeps through a send.
#[test]
fn a_worker_never_sleeps_through_a_ring() {
    check(3, || {
        let doorbell = Doorbell::new();
        let (sender, inbox) = bounded_with_doorbell(1, &doorbell).unwrap();
        let producer = thread::spawn(move || {
            sender.try_send(1).unwrap();
            sender
        });
        loop {
            let ticket = doorbell.listen();
            match inbox.try_recv() {
                Ok(value) => break assert_eq!(value, 1),
                Err(TryRecvError::Empty) => assert!(doorbell.wait(ticket, None)),
                Err(TryRecvError::Closed) => unreachable!("the sender lives"),
            }
        }
        drop(producer.join().unwrap());
    });
}

/// `doorbell`: what was done before the ring is seen after listening, however weakly it was done.
/// (On the bell alone: the channel's own fence would help out.)
#[test]
fn a_ring_orders_what_came_before_it() {
    check(3, || {
        let doorbell = Doorbell::new();
        let news = Arc::new(AtomicUsize::new(0));
        let (bell, flag) = (doorbell.clone(), news.clone());
        let ringer = thread::spawn(move || {
            flag.store(1, Relaxed);
            bell.ring();
        });
        let ticket = doorbell.listen();
        if news.load(Relaxed) == 0 {
            assert!(doorbell.wait(ticket, None));
            assert_eq!(news.load(Relaxed), 1);
        }
        ringer.join().unwrap();
    });
}

/// `doorbell`: two ringers, one listener that needs both.
#[test]
fn two_ringers_are_both_heard() {
    check(2, || {
        let doorbell = Doorbell::new();
        let (sender, inbox) = bounded_with_doorbell(2, &doorbell).unwrap();
        let threads: Vec<_> = (1..=2)
            .map(|value| {
                let sender = sender.clone();
                thread::spawn(move || sender.try_send(value).unwrap())
            })
            .collect();
        let mut values = Vec::new();
        while values.len() < 2 {
            let ticket = doorbell.listen();
            if inbox.try_recv_batch(&mut values, 2).is_err() {
                assert!(doorbell.wait(ticket, None));
            }
        }
        assert_eq!(values.iter().sum::<i32>(), 3);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
