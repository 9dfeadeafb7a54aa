//! Tests of futures, stream and sink, polled by hand.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use super::{super::*, Counted, NEVER, parking, until_parked};

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (wakes.clone(), wakes.into())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        thread::park();
    }
}

#[test]
fn a_receiving_task_waits_and_is_woken_once_by_a_send() {
    let (sender, receiver) = bounded(2).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut future = receiver.recv_async();
    assert!(poll(&mut future, &waker).is_pending());
    assert!(poll(&mut future, &waker).is_pending(), "a poll without need changes nothing");
    assert_eq!(receiver.shared().values.sleepers(), 1);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(&mut future, &waker), Poll::Ready(Ok(1)));
    assert_eq!(poll(&mut receiver.recv_async(), &waker), Poll::Ready(Ok(2)));
}

#[test]
fn a_sending_task_waits_for_room_and_is_given_its_value_back_by_a_close() {
    let (sender, receiver) = bounded(1).unwrap();
    let (wakes, waker) = Wakes::new();
    assert_eq!(poll(&mut sender.send_async(1), &waker), Poll::Ready(Ok(())));
    let mut second = sender.send_async(2);
    let mut third = sender.send_async(3);
    assert!(poll(&mut second, &waker).is_pending());
    assert!(poll(&mut third, &waker).is_pending());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(wakes.count(), 1, "room for one wakes one");
    assert_eq!(poll(&mut second, &waker), Poll::Ready(Ok(())));
    assert!(poll(&mut third, &waker).is_pending());
    receiver.close();
    assert_eq!(wakes.count(), 2);
    assert_eq!(poll(&mut third, &waker), Poll::Ready(Err(SendError(3))));
    assert_eq!(receiver.try_recv(), Ok(2), "what was sent before the close is received");
}

#[test]
fn a_dropped_receive_that_was_signalled_wakes_the_next_task() {
    let (sender, receiver) = bounded(2).unwrap();
    let ((first_wakes, first_waker), (second_wakes, second_waker)) = (Wakes::new(), Wakes::new());
    let mut first = receiver.recv_async();
    let mut second = receiver.recv_async();
    assert!(poll(&mut first, &first_waker).is_pending());
    assert!(poll(&mut second, &second_waker).is_pending());
    sender.try_send(7).unwrap();
    assert_eq!((first_wakes.count(), second_wakes.count()), (1, 0), "the oldest is woken");
    drop(first);
    assert_eq!(second_wakes.count(), 1, "and passes it on");
    assert_eq!(poll(&mut second, &second_waker), Poll::Ready(Ok(7)));
}

#[test]
fn a_dropped_receive_that_was_not_signalled_wakes_nobody_and_leaves_the_list() {
    let (sender, receiver) = bounded(2).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut first = receiver.recv_async();
    let mut second = receiver.recv_async();
    assert!(poll(&mut first, &waker).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    drop(first);
    assert_eq!((wakes.count(), receiver.shared().values.sleepers()), (0, 1));
    sender.try_send(1).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!(poll(&mut second, &waker), Poll::Ready(Ok(1)));
}

#[test]
fn a_signal_whose_value_is_gone_is_not_passed_on() {
    let (sender, receiver) = bounded(2).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut first = receiver.recv_async();
    let mut second = receiver.recv_async();
    assert!(poll(&mut first, &waker).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    sender.try_send(1).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1), "somebody else took it");
    drop(first);
    assert_eq!(wakes.count(), 1, "there is nothing to wake the second for");
    drop(second);
}

#[test]
fn a_dropped_send_passes_its_signal_on_and_its_value_is_dropped_once_or_taken_back() {
    let drops = Arc::new(AtomicUsize::new(0));
    let value = || Counted(drops.clone());
    let (sender, receiver) = bounded(1).unwrap();
    let (wakes, waker) = Wakes::new();
    sender.try_send(value()).map_err(drop).unwrap();
    let mut first = sender.send_async(value());
    let mut second = sender.send_async(value());
    let mut third = sender.send_async(value());
    for future in [&mut first, &mut second, &mut third] {
        assert!(poll(future, &waker).is_pending());
    }
    drop(receiver.try_recv().map_err(drop));
    assert_eq!((wakes.count(), drops.load(Ordering::SeqCst)), (1, 1));
    drop(first);
    assert_eq!((wakes.count(), drops.load(Ordering::SeqCst)), (2, 2), "passed on, dropped");
    let back = second.into_inner();
    assert_eq!((wakes.count(), drops.load(Ordering::SeqCst)), (3, 2), "passed on, taken back");
    assert!(back.is_some());
    assert!(poll(&mut third, &waker).is_ready());
    drop((back, third));
    drop((sender, receiver));
    assert_eq!(drops.load(Ordering::SeqCst), 4, "each once");
}

#[test]
fn a_future_that_moves_to_another_task_wakes_that_one() {
    let (sender, receiver) = bounded(1).unwrap();
    let ((old_wakes, old), (new_wakes, new)) = (Wakes::new(), Wakes::new());
    let mut future = receiver.recv_async();
    assert!(poll(&mut future, &old).is_pending());
    assert!(poll(&mut future, &new).is_pending());
    sender.try_send(1).unwrap();
    assert_eq!((old_wakes.count(), new_wakes.count()), (0, 1));
    assert_eq!(poll(&mut future, &new), Poll::Ready(Ok(1)));
}

#[test]
fn threads_and_tasks_stand_in_one_list() {
    let (sender, receiver) = parking(2);
    let (wakes, waker) = Wakes::new();
    let mut future = receiver.recv_async();
    assert!(poll(&mut future, &waker).is_pending());
    thread::scope(|scope| {
        let thread = scope.spawn(|| receiver.recv_timeout(NEVER));
        until_parked(&receiver.shared().values, 2);
        sender.send(1).unwrap();
        assert_eq!((wakes.count(), receiver.shared().values.sleepers()), (1, 1));
        drop(future);
        assert_eq!(thread.join().unwrap(), Ok(1), "the task passed its signal to the thread");
    });
}

#[test]
fn batches_are_sent_as_room_comes_and_keep_what_was_not_sent() {
    let (sender, receiver) = bounded(2).unwrap();
    let (wakes, waker) = Wakes::new();
    let mut values = vec![1, 2, 3, 4, 5];
    let mut future = sender.send_batch_async(&mut values);
    assert!(poll(&mut future, &waker).is_pending());
    let mut out = Vec::new();
    let taken = poll(&mut receiver.recv_batch_async(&mut out, 9), &waker);
    assert_eq!((taken, wakes.count()), (Poll::Ready(Ok(2)), 1));
    assert!(poll(&mut future, &waker).is_pending());
    drop(future);
    assert_eq!((values, out), (vec![5], vec![1, 2]));
    sender.close();
    assert_eq!(poll(&mut sender.send_batch_async(&mut vec![6]), &waker), Poll::Ready(Err(Closed)));
    let mut rest = Vec::new();
    assert_eq!(poll(&mut receiver.recv_batch_async(&mut rest, 9), &waker), Poll::Ready(Ok(2)));
    assert_eq!(
        poll(&mut receiver.recv_batch_async(&mut rest, 9), &waker),
        Poll::Ready(Err(RecvError))
    );
    assert_eq!(rest, [3, 4]);
}

#[test]
fn tasks_and_threads_exchange_everything_once() {
    const EACH: u64 = 2_000;
    for capacity in [1, 8] {
        let (sender, receiver) = parking(capacity);
        let (echo, echoed) = parking(capacity);
        thread::scope(|scope| {
            scope.spawn(move || {
                block_on(async {
                    while let Ok(value) = receiver.recv_async().await {
                        echo.send_async(value).await.unwrap();
                    }
                });
            });
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let sender = sender.clone();
                    scope.spawn(move || (1..=EACH).try_for_each(|value| sender.send(value)))
                })
                .collect();
            drop(sender);
            let sum: u64 = echoed.iter().sum();
            assert_eq!(sum, EACH * (EACH + 1));
            assert!(senders.into_iter().all(|thread| thread.join().unwrap().is_ok()));
        });
    }
}

#[cfg(feature = "async")]
mod traits {
    use futures_core::{FusedStream, Stream};
    use futures_sink::Sink;

    use super::*;

    fn next<S: Stream + Unpin>(stream: &mut S, waker: &Waker) -> Poll<Option<S::Item>> {
        Pin::new(stream).poll_next(&mut Context::from_waker(waker))
    }

    #[test]
    fn a_stream_yields_what_is_sent_and_ends_at_the_close() {
        let (sender, receiver) = bounded(4).unwrap();
        let (wakes, waker) = Wakes::new();
        let mut stream = receiver.stream();
        assert!(next(&mut stream, &waker).is_pending());
        sender.try_send(1).unwrap();
        assert_eq!((wakes.count(), next(&mut stream, &waker)), (1, Poll::Ready(Some(1))));
        drop(stream);
        let mut stream = receiver.into_stream();
        assert!(next(&mut stream, &waker).is_pending());
        drop(sender);
        assert_eq!((wakes.count(), stream.is_terminated()), (2, false));
        assert_eq!(next(&mut stream, &waker), Poll::Ready(None));
        assert!(stream.is_terminated());
    }

    #[test]
    fn a_dropped_stream_passes_its_signal_on() {
        let (sender, receiver) = bounded(1).unwrap();
        let (wakes, waker) = Wakes::new();
        let mut first = receiver.clone().into_stream();
        let mut second = receiver.stream();
        assert!(next(&mut first, Waker::noop()).is_pending());
        assert!(next(&mut second, &waker).is_pending());
        sender.try_send(1).unwrap();
        assert_eq!(wakes.count(), 0);
        drop(first);
        assert_eq!((wakes.count(), next(&mut second, &waker)), (1, Poll::Ready(Some(1))));
    }

    #[test]
    fn a_sink_keeps_one_value_until_there_is_room_and_gives_it_back_after_a_close() {
        let (sender, receiver) = bounded(1).unwrap();
        let other = sender.clone();
        let (wakes, waker) = Wakes::new();
        let context = &mut Context::from_waker(&waker);
        let mut sink = sender.into_sink();
        for value in 1..=2 {
            assert_eq!(Pin::new(&mut sink).poll_ready(context), Poll::Ready(Ok(())));
            assert_eq!(Pin::new(&mut sink).start_send(value), Ok(()));
        }
        assert!(Pin::new(&mut sink).poll_ready(context).is_pending(), "2 waits for room");
        assert_eq!((receiver.try_recv(), wakes.count()), (Ok(1), 1));
        assert_eq!(Pin::new(&mut sink).poll_flush(context), Poll::Ready(Ok(())));
        assert_eq!(Pin::new(&mut sink).start_send(3), Ok(()));
        other.close();
        assert_eq!(Pin::new(&mut sink).poll_ready(context), Poll::Ready(Err(Closed)));
        assert_eq!((sink.take_unsent(), receiver.try_recv()), (Some(3), Ok(2)));
    }

    #[test]
    fn closing_a_sink_sends_what_it_keeps_and_drops_its_handle_alone() {
        let (sender, receiver) = bounded(1).unwrap();
        let other = sender.clone();
        let context = &mut Context::from_waker(Waker::noop());
        let mut sink = sender.into_sink();
        assert_eq!(Pin::new(&mut sink).start_send(1), Ok(()));
        assert_eq!(Pin::new(&mut sink).start_send(2), Ok(()));
        assert!(Pin::new(&mut sink).poll_close(context).is_pending());
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(Pin::new(&mut sink).poll_close(context), Poll::Ready(Ok(())));
        assert_eq!(Pin::new(&mut sink).poll_close(context), Poll::Ready(Ok(())));
        assert_eq!((receiver.try_recv(), other.is_closed()), (Ok(2), false));
    }
}
