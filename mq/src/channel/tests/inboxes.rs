//! Tests of waiting for several channels at once, and of iterators and timed forms.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use super::{super::*, NEVER, parking, until_parked};

#[derive(Debug, PartialEq)]
enum Event {
    Number(u32),
    Texts(Vec<&'static str>),
}

#[test]
fn inboxes_of_different_types_become_events() {
    let (numbers, number_inbox) = bounded(4).unwrap();
    let (texts, text_inbox) = bounded(4).unwrap();
    let mut inboxes = Inboxes::new();
    inboxes.add(&number_inbox, Event::Number);
    inboxes.add_batch(text_inbox, 2, |batch| Event::Texts(batch.collect()));
    assert_eq!(inboxes.try_recv(), Err(TryRecvError::Empty));
    texts.send_batch(&mut vec!["a", "b", "c"]).unwrap();
    assert_eq!(inboxes.try_recv(), Ok(Event::Texts(vec!["a", "b"])));
    numbers.send(1).unwrap();
    drop(texts);
    assert_eq!(inboxes.recv(), Ok(Event::Number(1)), "each in turn");
    assert_eq!(inboxes.recv(), Ok(Event::Texts(vec!["c"])), "after the close too");
    assert_eq!((inboxes.try_recv(), inboxes.open_count()), (Err(TryRecvError::Empty), 1));
    drop(numbers);
    assert_eq!((inboxes.recv(), inboxes.open_count()), (Err(RecvError), 0));
    assert_eq!(inboxes.recv_timeout(NEVER), Err(RecvTimeoutError::Closed));
    assert_eq!(Inboxes::<Event>::new().recv(), Err(RecvError), "none is like all closed");
}

#[test]
fn a_busy_inbox_does_not_starve_the_others() {
    let channels: Vec<_> = (0..3).map(|_| bounded(64).unwrap()).collect();
    let mut inboxes = Inboxes::new();
    for (index, (sender, receiver)) in channels.iter().enumerate() {
        sender.send_batch(&mut vec![(); 20]).unwrap();
        inboxes.add(receiver, move |()| index);
    }
    let order: Vec<_> = (0..6).map(|_| inboxes.recv().unwrap()).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn inboxes_wait_until_the_deadline_and_wake_for_any() {
    let (first, first_inbox) = parking(1);
    let (second, second_inbox) = parking(1);
    let mut inboxes = Inboxes::with_spin(Duration::ZERO);
    inboxes.add(&first_inbox, |value: u32| value);
    inboxes.add(&second_inbox, |value| value);
    assert_eq!(inboxes.recv_deadline(Instant::now()), Err(RecvTimeoutError::Timeout));
    assert_eq!(first_inbox.shared().values.sleepers(), 0, "nobody is left in the list");
    for sender in [first, second] {
        thread::scope(|scope| {
            let event = scope.spawn(|| inboxes.recv_timeout(NEVER));
            until_parked(&first_inbox.shared().values, 1);
            until_parked(&second_inbox.shared().values, 1);
            sender.send(1).unwrap();
            assert_eq!(event.join().unwrap(), Ok(1));
        });
        std::mem::forget(sender);
    }
}

#[test]
fn inboxes_that_were_signalled_twice_pass_one_on() {
    let (first, first_inbox) = parking(1);
    let (second, second_inbox) = parking(1);
    let rival = second_inbox.clone();
    let mut inboxes = Inboxes::new();
    inboxes.add(&first_inbox, |value: u32| value);
    inboxes.add(&second_inbox, |value| value);
    let mut future = inboxes.recv_async();
    let mut context = Context::from_waker(Waker::noop());
    let mut poll =
        |future: &mut InboxesFuture<'_, '_, u32>| std::pin::Pin::new(future).poll(&mut context);
    assert!(poll(&mut future).is_pending());
    thread::scope(|scope| {
        let thread = scope.spawn(|| rival.recv_timeout(NEVER));
        until_parked(&second_inbox.shared().values, 2);
        first.send(1).unwrap();
        second.send(2).unwrap();
        assert_eq!(poll(&mut future), Poll::Ready(Ok(1)));
        assert_eq!(thread.join().unwrap(), Ok(2));
    });
    assert!(poll(&mut future).is_pending());
    drop(future);
    assert_eq!(first_inbox.shared().values.sleepers(), 0, "a dropped future leaves the lists");
}

#[test]
fn inboxes_under_load_take_each_value_once() {
    const EACH: u64 = 5_000;
    for spin in [Duration::ZERO, SPIN_DEFAULT] {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| bounded(4).unwrap()).unzip();
        let receivers = Arc::new(receivers);
        thread::scope(|scope| {
            for sender in senders {
                scope.spawn(move || (1..=EACH).try_for_each(|value| sender.send(value)).unwrap());
            }
            let workers: Vec<_> = (0..2)
                .map(|_| {
                    let receivers = receivers.clone();
                    scope.spawn(move || {
                        let mut inboxes = Inboxes::with_spin(spin);
                        inboxes.add(&receivers[0], |value| value);
                        inboxes.add(&receivers[1], |value| value);
                        inboxes.add_batch(&receivers[2], 3, |batch| batch.sum());
                        std::iter::from_fn(|| inboxes.recv_timeout(NEVER).ok()).sum::<u64>()
                    })
                })
                .collect();
            let sum: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
            assert_eq!(sum, 3 * EACH * (EACH + 1) / 2);
        });
    }
}

#[test]
fn draining_iterators_take_what_is_there_and_no_more() {
    let (sender, receiver) = bounded(8).unwrap();
    sender.send_batch(&mut (0..6).collect()).unwrap();
    assert_eq!(receiver.drain(2).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2, 3, 4, 5]);
    sender.send(6).unwrap();
    drop(sender);
    assert_eq!((&receiver).into_iter().collect::<Vec<_>>(), [6]);
    assert_eq!(receiver.into_iter().next(), None);
}

#[test]
fn timed_batches_say_how_many_were_sent() {
    let (sender, receiver) = bounded(2).unwrap();
    let mut values = vec![1, 2, 3];
    let soon = Some(Instant::now());
    assert_eq!(
        sender.send_batch_deadline(&mut values, soon),
        Err(SendTimeoutError::Timeout(2)),
        "what fits is sent"
    );
    assert_eq!(values, [3]);
    assert_eq!(sender.send_deadline(4, Instant::now()), Err(SendTimeoutError::Timeout(4)));
    receiver.close();
    assert_eq!(sender.send_batch_deadline(&mut values, None), Err(SendTimeoutError::Closed(0)));
    assert_eq!(sender.send_deadline(4, Instant::now()), Err(SendTimeoutError::Closed(4)));
    assert_eq!(values, [3]);
}
