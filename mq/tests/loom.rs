//! Model checks of the shipped concurrent code: every interleaving of a few threads, weak memory
//! included. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p quorate-mq --test loom --release`.
//!
//! Each model is tiny (capacity 1 or 2, at most three threads, no retry loops except where a
//! blocking call is what is checked) and says what of `wait`, `channel` or `doorbell` it guards.
//! The models of the queues are in files of their own, `loom_ring.rs` and so on.
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
use quorate_mq::{Doorbell, TryRecvError, bounded, bounded_with_doorbell, modelled::WaitList};

/// Explores a model with a bound on preemptions, which keeps it within seconds.
fn check(preemptions_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(model);
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
