//! Tests of what waiting costs: locks, wake-ups, looks. Counted, never timed.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{super::*, NEVER, parking, until_parked};
use crate::queue::{Handle, PopError};

/// A consumer that counts how often it was asked for anything.
struct Watched {
    queue: ring::Consumer<u32>,
    looks: Arc<AtomicUsize>,
}

impl Watched {
    fn look(&self) -> &ring::Consumer<u32> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        &self.queue
    }
}

impl Handle for Watched {
    fn close(&self) -> bool {
        self.look().close()
    }

    fn is_closed(&self) -> bool {
        self.look().is_closed()
    }

    fn len(&self) -> usize {
        self.look().len()
    }

    fn capacity(&self) -> Option<usize> {
        self.look().capacity()
    }
}

impl Consume<u32> for Watched {
    fn try_pop(&self) -> Result<u32, PopError> {
        self.look().try_pop()
    }

    fn pop_batch(&self, out: &mut Vec<u32>, count_max: usize) -> Result<usize, PopError> {
        self.look().pop_batch(out, count_max)
    }

    fn looks_filled(&self) -> bool {
        self.look().looks_filled()
    }

    fn would_wait(&self) -> bool {
        self.look().would_wait()
    }
}

#[test]
fn a_parked_receiver_does_nothing_until_it_is_woken() {
    let looks = Arc::new(AtomicUsize::new(0));
    let (producer, queue) = ring::queue(4).unwrap();
    let consumer = Watched { queue, looks: looks.clone() };
    let (sender, receiver) = over((producer, consumer), &ChannelOptions::default());
    thread::scope(|scope| {
        let shared = sender.shared();
        scope.spawn(move || {
            assert_eq!(receiver.recv(), Ok(1));
            assert!(receiver.recv().is_err());
        });
        until_parked(&shared.values, 1);
        // The last look comes behind the registration; there is at most that one to wait for.
        let mut before = looks.load(Ordering::SeqCst);
        let mut quiet = 0;
        while quiet < 1_000 {
            thread::yield_now();
            let now = looks.load(Ordering::SeqCst);
            assert!(now <= before + 1, "an idle receiver looks again and again");
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
        }
        assert_eq!(shared.values.counts.wakes(), 0);
        sender.send(1).unwrap();
        assert_eq!(shared.values.counts.wakes(), 1);
        sender.close();
    });
}

#[test]
fn no_lock_is_taken_while_nobody_waits() {
    let (sender, receiver) = bounded(4).unwrap();
    for round in 0..100 {
        sender.send(round).unwrap();
        sender.try_send_batch(&mut vec![1, 2]).unwrap();
        receiver.recv().unwrap();
        receiver.recv_batch(&mut Vec::new(), 2).unwrap();
    }
    sender.close();
    let shared = receiver.shared();
    assert_eq!((shared.values.counts.wake_locks(), shared.space.counts.wake_locks()), (0, 0));
}

#[test]
fn a_signalled_waiter_is_not_woken_again() {
    let (sender, receiver) = parking(8);
    let mut future = receiver.recv_async();
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::Pin::new(&mut future).poll(context).is_pending());
    for value in 0..8 {
        sender.send(value).unwrap();
    }
    let counts = &receiver.shared().values.counts;
    assert_eq!((counts.wakes(), counts.wake_locks()), (1, 1));
}

#[test]
fn news_for_k_wakes_k_of_n_receivers_and_no_herd() {
    for (waiting, news) in [(1, 1), (4, 1), (4, 3), (12, 10), (3, 8)] {
        let (sender, receiver) = parking(16);
        thread::scope(|scope| {
            for _ in 0..waiting {
                scope.spawn(|| receiver.recv_timeout(NEVER));
            }
            let values = &receiver.shared().values;
            until_parked(values, waiting);
            assert_eq!(sender.try_send_batch(&mut vec![0; news]), Ok(news));
            assert_eq!(values.counts.wakes(), waiting.min(news));
            sender.close();
        });
        assert_eq!(receiver.shared().values.counts.wakes(), waiting, "the close wakes the rest");
    }
}

#[test]
fn room_for_k_wakes_k_of_n_senders_and_no_herd() {
    let (sender, receiver) = parking(4);
    sender.send_batch(&mut vec![0; 4]).unwrap();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| sender.send(1));
        }
        let space = &receiver.shared().space;
        until_parked(space, 6);
        assert_eq!(receiver.try_recv_batch(&mut Vec::new(), 3), Ok(3));
        assert_eq!(space.counts.wakes(), 3);
        receiver.close();
    });
}

/// A consumer that only its own thread may use, as some queues have: the channel follows.
struct Alone {
    queue: ring::Consumer<u32>,
    _state: Cell<u32>,
}

impl Handle for Alone {
    fn close(&self) -> bool {
        self.queue.close()
    }

    fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn capacity(&self) -> Option<usize> {
        self.queue.capacity()
    }
}

impl Consume<u32> for Alone {
    fn try_pop(&self) -> Result<u32, PopError> {
        self.queue.try_pop()
    }

    fn pop_batch(&self, out: &mut Vec<u32>, count_max: usize) -> Result<usize, PopError> {
        self.queue.pop_batch(out, count_max)
    }

    fn looks_filled(&self) -> bool {
        self.queue.looks_filled()
    }

    fn would_wait(&self) -> bool {
        self.queue.would_wait()
    }
}

#[test]
fn a_channel_over_a_handle_that_cannot_be_shared_can_still_move_to_its_thread() {
    let (producer, queue) = ring::queue(1).unwrap();
    let consumer = Alone { queue, _state: Cell::new(0) };
    let (sender, receiver) = over((producer, consumer), &ChannelOptions::default());
    let worker = thread::spawn(move || receiver.into_iter().sum::<u32>());
    for value in 1..=100 {
        sender.send(value).unwrap();
    }
    drop(sender);
    assert_eq!(worker.join().unwrap(), 5_050);
}

#[test]
fn handles_are_as_free_as_their_queues() {
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    fn is_send<T: Send>(_: &T) {}
    let (sender, receiver) = bounded::<Cell<u32>>(1).unwrap();
    is_send_and_sync(&sender);
    is_send_and_sync(&receiver);
    is_send(&receiver.recv_async());
    is_send(&sender.send_async(Cell::new(1)));
    let mut inboxes = Inboxes::new();
    inboxes.add(&receiver, drop);
    is_send(&inboxes.recv_async());
}
