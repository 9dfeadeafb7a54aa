//! Tests of the channel: blocking, waking, closing, dropping, conservation under threads.
#![cfg(not(loom))]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use super::*;

mod inboxes;
mod task;
mod waking;

/// Long enough that only a lost wake-up would reach it.
const NEVER: Duration = Duration::from_secs(60);

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A channel whose blocked calls park at once.
fn parking<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    bounded_with(capacity, &ChannelOptions::default().spin(Duration::ZERO)).unwrap()
}

/// Waits until somebody is parked in the list, so that the test exercises the wake-up.
fn until_parked(list: &crate::wait::WaitList, count: usize) {
    while list.sleepers() < count {
        thread::yield_now();
    }
}

#[test]
fn try_forms_answer_full_empty_and_closed() {
    let (sender, receiver) = bounded(1).unwrap();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.try_send(1).unwrap();
    assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    assert_eq!((sender.len(), receiver.capacity()), (1, Some(1)));
    assert!(sender.close());
    assert!(!receiver.close());
    assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    assert_eq!(sender.send(4), Err(SendError(4)));
    assert_eq!(sender.send_timeout(5, NEVER), Err(SendTimeoutError::Closed(5)));
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(receiver.recv_timeout(NEVER), Err(RecvTimeoutError::Closed));
    assert!(receiver.is_closed() && receiver.is_empty());
}

#[test]
fn deadlines_that_pass_hand_the_value_back() {
    let (sender, receiver) = bounded(1).unwrap();
    assert_eq!(receiver.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    assert_eq!(receiver.recv_deadline(Instant::now()), Err(RecvTimeoutError::Timeout));
    let mut out = Vec::new();
    let soon = Some(Instant::now() + Duration::from_millis(1));
    assert_eq!(receiver.recv_batch_deadline(&mut out, 4, soon), Err(RecvTimeoutError::Timeout));
    sender.send(1).unwrap();
    let error = sender.send_timeout(2, Duration::from_millis(1)).unwrap_err();
    assert_eq!(error, SendTimeoutError::Timeout(2));
    assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(1), "an endless timeout is allowed");
}

#[test]
fn batches_keep_order_and_leave_what_did_not_fit() {
    let (sender, receiver) = bounded(3).unwrap();
    let mut values = vec![1, 2, 3, 4];
    assert_eq!(sender.try_send_batch(&mut values), Ok(3));
    assert_eq!(sender.try_send_batch(&mut values), Ok(0));
    assert_eq!(values, [4]);
    let mut out = Vec::new();
    assert_eq!(receiver.try_recv_batch(&mut out, 2), Ok(2));
    assert_eq!(receiver.recv_batch(&mut out, 9), Ok(1));
    assert_eq!(receiver.try_recv_batch(&mut out, 9), Err(TryRecvError::Empty));
    assert_eq!(out, [1, 2, 3]);
    sender.close();
    assert_eq!(sender.try_send_batch(&mut values), Err(Closed));
    assert_eq!(sender.send_batch(&mut values), Err(Closed));
    assert_eq!(values, [4], "what was not sent is handed back");
    assert_eq!(receiver.recv_batch(&mut out, 9), Err(RecvError));
}

#[test]
fn a_parked_receiver_is_woken_by_a_send() {
    let (sender, receiver) = parking(1);
    thread::scope(|scope| {
        let received = scope.spawn(|| receiver.recv_timeout(NEVER));
        until_parked(&receiver.shared().values, 1);
        sender.send(7).unwrap();
        assert_eq!(received.join().unwrap(), Ok(7));
    });
}

#[test]
fn a_parked_sender_is_woken_by_a_receive() {
    let (sender, receiver) = parking(1);
    sender.send(1).unwrap();
    thread::scope(|scope| {
        let sent = scope.spawn(|| sender.send_timeout(2, NEVER));
        until_parked(&receiver.shared().space, 1);
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(sent.join().unwrap(), Ok(()));
        assert_eq!(receiver.recv(), Ok(2));
    });
}

#[test]
fn one_value_wakes_one_of_several_parked_receivers() {
    let (sender, receiver) = parking(8);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| receiver.recv())).collect();
        until_parked(&receiver.shared().values, 3);
        sender.send(1).unwrap();
        assert_eq!(receiver.shared().values.sleepers(), 2, "the others are not signalled");
        sender.try_send_batch(&mut vec![2, 3]).unwrap();
        assert_eq!(receiver.shared().values.sleepers(), 0);
        let mut values: Vec<_> = threads.into_iter().map(|t| t.join().unwrap().unwrap()).collect();
        values.sort();
        assert_eq!(values, [1, 2, 3]);
    });
}

#[test]
fn close_wakes_everybody_who_is_parked() {
    let (sender, receiver) = parking::<u32>(1);
    let (full_sender, full_receiver) = parking(1);
    full_sender.send(0).unwrap();
    thread::scope(|scope| {
        let receivers: Vec<_> = (0..2).map(|_| scope.spawn(|| receiver.recv())).collect();
        let senders: Vec<_> =
            (0..2).map(|_| scope.spawn(|| full_sender.send_batch(&mut vec![1, 2]))).collect();
        until_parked(&receiver.shared().values, 2);
        until_parked(&full_receiver.shared().space, 2);
        drop(sender);
        full_receiver.close();
        for thread in receivers {
            assert_eq!(thread.join().unwrap(), Err(RecvError));
        }
        for thread in senders {
            assert_eq!(thread.join().unwrap(), Err(Closed));
        }
        assert_eq!(full_receiver.recv(), Ok(0));
    });
}

#[test]
fn dropping_the_last_sender_closes_after_what_was_sent() {
    let (sender, receiver) = bounded(4).unwrap();
    let second = sender.clone();
    sender.send(1).unwrap();
    drop(sender);
    second.send(2).unwrap();
    assert!(!receiver.is_closed());
    drop(second);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn dropping_the_last_receiver_drops_the_values_and_refuses_more() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = bounded(4).unwrap();
    let second = receiver.clone();
    sender.send(Counted(drops.clone())).unwrap();
    drop(receiver);
    sender.send(Counted(drops.clone())).unwrap();
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(second);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    let refused = sender.send(Counted(drops.clone())).unwrap_err();
    assert_eq!(drops.load(Ordering::SeqCst), 2, "handed back, not dropped");
    drop(refused);
    assert_eq!(drops.load(Ordering::SeqCst), 3);
}

#[test]
fn a_value_that_holds_its_own_channel_does_not_keep_it_alive() {
    struct Cycle {
        _reply: Sender<Cycle>,
        _dropped: mpsc::Sender<()>,
    }
    let (dropped, watch) = mpsc::channel();
    let (sender, receiver) = bounded(1).unwrap();
    sender.send(Cycle { _reply: sender.clone(), _dropped: dropped }).unwrap();
    drop(receiver);
    assert_eq!(watch.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

/// Two senders and two receivers; returns what was received, and what was handed back.
fn race(capacity: usize, batch: usize, close_after: Option<usize>) -> (Vec<usize>, Vec<usize>) {
    const EACH: usize = 20_000;
    let (sender, receiver) = bounded(capacity).unwrap();
    let (received, handed_back) = thread::scope(|scope| {
        let senders: Vec<_> = (0..2)
            .map(|producer| {
                let sender = sender.clone();
                scope.spawn(move || {
                    let mut unsent: Vec<usize> = Vec::new();
                    for next in (producer * EACH..(producer + 1) * EACH).step_by(batch) {
                        unsent.extend(next..(next + batch).min((producer + 1) * EACH));
                        if batch == 1 {
                            let value = unsent.remove(unsent.len() - 1);
                            if let Err(error) = sender.send(value) {
                                unsent.push(error.0);
                            }
                        } else {
                            // After a close everything simply stays in `unsent`.
                            let _ = sender.send_batch(&mut unsent);
                        }
                    }
                    unsent
                })
            })
            .collect();
        drop(sender);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let receiver = receiver.clone();
                scope.spawn(move || {
                    let mut all = Vec::new();
                    while receiver.recv_batch(&mut all, batch).is_ok() {
                        if close_after.is_some_and(|count| all.len() >= count) {
                            receiver.close();
                        }
                    }
                    for producer in 0..2 {
                        let mine = all.iter().filter(|value| *value / EACH == producer);
                        assert!(mine.is_sorted(), "one sender's values in order");
                    }
                    all
                })
            })
            .collect();
        let received: Vec<_> = receivers.into_iter().flat_map(|t| t.join().unwrap()).collect();
        (received, senders.into_iter().flat_map(|t| t.join().unwrap()).collect::<Vec<_>>())
    });
    let mut all: Vec<_> = received.iter().chain(&handed_back).copied().collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..2 * EACH), "each value exactly once, here or there");
    (received, handed_back)
}

#[test]
fn all_that_is_sent_is_received_once() {
    for (capacity, batch) in [(1, 1), (2, 3), (64, 1), (64, 16), (100, 128)] {
        let (_, handed_back) = race(capacity, batch, None);
        assert_eq!(handed_back, []);
    }
}

#[test]
fn a_close_in_the_middle_loses_nothing() {
    for (capacity, batch) in [(1, 1), (3, 1), (3, 2), (64, 16)] {
        let (received, handed_back) = race(capacity, batch, Some(2_000));
        assert!(!received.is_empty() && !handed_back.is_empty());
    }
}

#[test]
fn ping_pong_through_parked_threads_never_hangs() {
    let (ping, ping_inbox) = parking(1);
    let (pong, pong_inbox) = parking(1);
    thread::scope(|scope| {
        scope.spawn(move || ping_inbox.iter().try_for_each(|value| pong.send(value)));
        for round in 0..2_000 {
            ping.send(round).unwrap();
            assert_eq!(pong_inbox.recv_timeout(NEVER), Ok(round), "a wake-up was lost");
        }
        drop(ping);
    });
}

#[test]
fn one_worker_serves_several_inboxes_behind_one_doorbell() {
    const EACH: u32 = 5_000;
    for spin in [Duration::ZERO, SPIN_DEFAULT] {
        let doorbell = Doorbell::with_spin(spin);
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            (0..3).map(|_| bounded_with_doorbell(4, &doorbell).unwrap()).unzip();
        thread::scope(|scope| {
            for sender in senders {
                scope.spawn(move || (0..EACH).try_for_each(|value| sender.send(value)).unwrap());
            }
            let mut sum = 0;
            let mut work = Vec::new();
            loop {
                let ticket = doorbell.listen();
                let looks: Vec<_> =
                    inboxes.iter().map(|inbox| inbox.try_recv_batch(&mut work, 64)).collect();
                sum += work.drain(..).map(u64::from).sum::<u64>();
                if looks.iter().all(|look| look.is_err_and(TryRecvError::is_closed)) {
                    break;
                }
                if looks.iter().all(|look| look.is_err()) {
                    let deadline = Some(Instant::now() + NEVER);
                    assert!(doorbell.wait(ticket, deadline), "a ring was lost");
                }
            }
            assert_eq!(sum, 3 * u64::from(EACH) * u64::from(EACH - 1) / 2);
        });
    }
}

#[test]
fn a_ring_before_the_wait_ends_it_and_silence_lasts_until_the_deadline() {
    let doorbell = Doorbell::new();
    let ticket = doorbell.listen();
    doorbell.ring();
    assert!(doorbell.wait(ticket, None));
    let ticket = doorbell.listen();
    assert!(!doorbell.wait(ticket, Some(Instant::now() + Duration::from_millis(1))));
    doorbell.ring();
    assert!(doorbell.wait(ticket, None));
}
