//! Model checks of waiting: the list, the channels, doorbell and inboxes, with threads and tasks.
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p quorate-mq --test loom_channel --release`.
//!
//! Each model is tiny (capacity 1 or 2, at most three threads, no retry loops except where waiting
//! is what is checked). A lost wake-up is a model in which all threads sleep: loom reports the
//! deadlock. `every_mutant_is_found` weakens one ordering or plants one defect at a time and
//! expects the model beside it to fail.
#![cfg(loom)]

use std::{
    env,
    future::Future,
    pin::pin,
    process::{Command, Stdio},
    sync::Arc as StdArc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use loom::{
    model::Builder,
    sync::{
        Arc, Notify,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    thread,
};
use quorate_mq::{
    Doorbell, Inboxes, RecvTimeoutError, TryRecvError, bounded, bounded_with_doorbell,
    modelled::{self, WaitList},
};

/// Explores a model with a bound on preemptions, which keeps it within seconds.
fn check(preemptions_max: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions_max);
    builder.check(model);
}

/// A waker that a loom thread can wait for.
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {
        self.0.notify();
    }
}

fn bell() -> (StdArc<Bell>, Waker) {
    let bell = StdArc::new(Bell(Notify::new()));
    (bell.clone(), bell.into())
}

/// Polls and sleeps until woken.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let (bell, waker) = bell();
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        bell.0.wait();
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}

// The list.

fn take(permits: &AtomicUsize) -> Option<()> {
    permits.fetch_update(SeqCst, SeqCst, |permits| permits.checked_sub(1)).ok().map(drop)
}

fn wait_for_permit(list: &WaitList, permits: &AtomicUsize) {
    list.wait_until(|| permits.load(SeqCst) == 0, || take(permits));
}

fn add_permits(list: &WaitList, permits: &AtomicUsize, count: usize) {
    permits.fetch_add(count, SeqCst);
    fence(SeqCst);
    list.wake(count);
}

/// A list, permits to wait for, and threads that each take one.
fn waiting_threads(count: usize) -> (Arc<WaitList>, Arc<AtomicUsize>, Vec<thread::JoinHandle<()>>) {
    let list = Arc::new(WaitList::new());
    let permits = Arc::new(AtomicUsize::new(0));
    let threads = (0..count)
        .map(|_| {
            let (list, permits) = (list.clone(), permits.clone());
            thread::spawn(move || wait_for_permit(&list, &permits))
        })
        .collect();
    (list, permits, threads)
}

/// Two waiters, one change that serves both: both are woken.
fn a_wake_of_two_reaches_both_waiters() {
    check(3, || {
        let (list, permits, threads) = waiting_threads(2);
        add_permits(&list, &permits, 2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Two changes by two threads, each waking one, reach two waiters' worth of work.
fn two_wakes_of_one_are_not_merged() {
    check(2, || {
        let list = Arc::new(WaitList::new());
        let permits = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (list, permits) = (list.clone(), permits.clone());
                thread::spawn(move || add_permits(&list, &permits, 1))
            })
            .collect();
        wait_for_permit(&list, &permits);
        wait_for_permit(&list, &permits);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A waiter whose deadline passes while a peer stands in the way passes its signal on.
fn a_waiter_that_gives_up_passes_its_signal_on() {
    check(3, || {
        let (list, permits, threads) = waiting_threads(1);
        let (other, others) = (list.clone(), permits.clone());
        let news = thread::spawn(move || add_permits(&other, &others, 1));
        list.give_up(|| permits.load(SeqCst) == 0);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        news.join().unwrap();
    });
}

// Threads.

/// A blocked receiver is woken by the only send there is.
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

/// A blocked sender is woken by the only receive there is.
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

/// A receiver whose deadline passes just when it is signalled has the value, or it is still there.
fn a_value_that_comes_at_the_deadline_is_not_lost() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        let producer = thread::spawn(move || {
            sender.try_send(1).unwrap();
            sender
        });
        let early = receiver.recv_timeout(Duration::ZERO);
        let sender = producer.join().unwrap();
        match early {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => {
                assert_eq!(error, RecvTimeoutError::Timeout);
                assert_eq!(receiver.recv(), Ok(1));
            }
        }
        drop(sender);
    });
}

/// A close wakes a parked receiver.
fn a_close_wakes_a_parked_receiver() {
    check(3, || {
        let (sender, receiver) = bounded::<i32>(1).unwrap();
        let closer = thread::spawn(move || drop(sender));
        assert!(receiver.recv().is_err());
        closer.join().unwrap();
    });
}

/// A close wakes a parked sender, which gets its value back.
fn a_close_wakes_a_parked_sender() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        sender.try_send(1).unwrap();
        let closer = thread::spawn(move || receiver.close());
        assert_eq!(sender.send(2).map_err(|error| error.0), Err(2));
        assert!(closer.join().unwrap());
    });
}

/// Sends racing with the drop of the only receiver are refused or dropped once.
fn a_send_that_races_with_the_last_receiver_leaks_nothing() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        let consumer = thread::spawn(move || drop(receiver));
        // Loom's `Arc` reports a leak if the value is never dropped.
        let _ = sender.try_send(Arc::new(1));
        consumer.join().unwrap();
    });
}

// Tasks.

/// A receiving task is woken by the only send there is.
fn a_task_that_receives_is_woken() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        let producer = thread::spawn(move || {
            sender.try_send(1).unwrap();
            sender
        });
        assert_eq!(block_on(receiver.recv_async()), Ok(1));
        drop(producer.join().unwrap());
    });
}

/// A sending task is woken by the only receive there is.
fn a_task_that_sends_is_woken() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        sender.try_send(1).unwrap();
        let consumer = thread::spawn(move || {
            assert_eq!(receiver.try_recv(), Ok(1));
            receiver
        });
        assert!(block_on(sender.send_async(2)).is_ok());
        assert_eq!(consumer.join().unwrap().try_recv(), Ok(2));
    });
}

/// A close wakes tasks on both sides.
fn a_close_wakes_a_task() {
    check(3, || {
        let (sender, receiver) = bounded::<i32>(1).unwrap();
        let closer = thread::spawn(move || {
            sender.close();
            sender
        });
        assert!(block_on(receiver.recv_async()).is_err());
        drop(closer.join().unwrap());
    });
}

/// A receiving future that is dropped when it was signalled passes the signal on to a thread.
fn a_dropped_receive_passes_its_signal_on() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        let other = receiver.clone();
        let mut future = receiver.recv_async();
        assert!(poll_once(&mut future, Waker::noop()).is_pending());
        let thread = thread::spawn(move || other.recv());
        let producer = thread::spawn(move || {
            sender.try_send(1).unwrap();
            sender
        });
        drop(future);
        assert_eq!(thread.join().unwrap(), Ok(1));
        drop(producer.join().unwrap());
    });
}

/// A sending future that is dropped when it was signalled passes the signal on to a thread, and
/// its value is nowhere.
fn a_dropped_send_passes_its_signal_on() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        sender.try_send(1).unwrap();
        let other = sender.clone();
        let mut future = sender.send_async(2);
        assert!(poll_once(&mut future, Waker::noop()).is_pending());
        let thread = thread::spawn(move || other.send(3).unwrap());
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(future.into_inner(), Some(2));
        thread.join().unwrap();
        assert_eq!(receiver.try_recv(), Ok(3));
    });
}

/// A future that moves to another task while it is signalled is woken where it is.
fn a_future_that_moves_is_woken_where_it_is() {
    check(3, || {
        let (sender, receiver) = bounded(1).unwrap();
        let mut future = receiver.recv_async();
        assert!(poll_once(&mut future, Waker::noop()).is_pending());
        let producer = thread::spawn(move || {
            sender.try_send(1).unwrap();
            sender
        });
        assert_eq!(block_on(&mut future), Ok(1));
        drop(producer.join().unwrap());
    });
}

// Several queues.

/// A waiter for two inboxes is woken by whichever gets a value.
fn inboxes_hear_each_of_two_senders() {
    check(2, || {
        let ((one, inbox), (two, other)) = (bounded(1).unwrap(), bounded(1).unwrap());
        let threads: Vec<_> = [(one, 1), (two, 2)]
            .map(|(sender, value)| {
                thread::spawn(move || {
                    sender.try_send(value).unwrap();
                    sender
                })
            })
            .into();
        let mut inboxes = Inboxes::new();
        inboxes.add(&inbox, |value| value);
        inboxes.add(&other, |value| value);
        assert_eq!(inboxes.recv().unwrap() + inboxes.recv().unwrap(), 3);
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
    });
}

/// Inboxes that were signalled twice take one value and pass the other's signal on.
fn inboxes_pass_on_what_they_do_not_take() {
    check(3, || {
        let ((one, inbox), (two, other)) = (bounded(1).unwrap(), bounded(1).unwrap());
        let mut inboxes = Inboxes::new();
        inboxes.add(&inbox, |value| value);
        inboxes.add(&other, |value| value);
        let mut future = inboxes.recv_async();
        assert!(poll_once(&mut future, Waker::noop()).is_pending());
        let rival = other.clone();
        let thread = thread::spawn(move || rival.recv());
        one.try_send(1).unwrap();
        two.try_send(2).unwrap();
        assert_eq!(poll_once(&mut future, Waker::noop()), Poll::Ready(Ok(1)));
        assert_eq!(thread.join().unwrap(), Ok(2));
    });
}

/// The close of the last open inbox ends the wait.
fn inboxes_hear_a_close() {
    check(3, || {
        let (sender, inbox) = bounded::<i32>(1).unwrap();
        let closer = thread::spawn(move || drop(sender));
        let mut inboxes = Inboxes::new();
        inboxes.add(inbox, |value| value);
        assert!(inboxes.recv().is_err());
        closer.join().unwrap();
    });
}

/// Listen, look, wait never sleeps through a send.
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

/// What was done before the ring is seen after listening, however weakly it was done. (On the bell
/// alone: the channel's own fence would help out.)
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

/// Two ringers, one listener that needs both.
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

macro_rules! models {
    ($($model:ident)+) => {
        /// The models as tests.
        mod holds {
            $(#[test]
            fn $model() {
                super::$model();
            })+
        }
    };
}

models! {
    a_wake_of_two_reaches_both_waiters
    two_wakes_of_one_are_not_merged
    a_waiter_that_gives_up_passes_its_signal_on
    a_receiver_that_parks_is_woken
    a_sender_that_parks_is_woken
    a_value_that_comes_at_the_deadline_is_not_lost
    a_close_wakes_a_parked_receiver
    a_close_wakes_a_parked_sender
    a_send_that_races_with_the_last_receiver_leaks_nothing
    a_task_that_receives_is_woken
    a_task_that_sends_is_woken
    a_close_wakes_a_task
    a_dropped_receive_passes_its_signal_on
    a_dropped_send_passes_its_signal_on
    a_future_that_moves_is_woken_where_it_is
    inboxes_hear_each_of_two_senders
    inboxes_pass_on_what_they_do_not_take
    inboxes_hear_a_close
    a_worker_never_sleeps_through_a_ring
    a_ring_orders_what_came_before_it
    two_ringers_are_both_heard
}

/// What is weakened or planted, and the model that must then fail.
const MUTANTS: &[(&str, fn())] = &[
    ("wait.register", a_receiver_that_parks_is_woken),
    ("wait.register", a_task_that_sends_is_woken),
    ("wait.register", inboxes_hear_each_of_two_senders),
    ("wait.look-before-enter", a_receiver_that_parks_is_woken),
    ("wait.look-before-enter", a_sender_that_parks_is_woken),
    ("wait.count", a_wake_of_two_reaches_both_waiters),
    ("wait.stay", a_future_that_moves_is_woken_where_it_is),
    ("wait.stay-again", a_future_that_moves_is_woken_where_it_is),
    ("wait.give-up", a_waiter_that_gives_up_passes_its_signal_on),
    ("wait.abandon", a_dropped_receive_passes_its_signal_on),
    ("wait.abandon", a_dropped_send_passes_its_signal_on),
    ("inboxes.pass-on", inboxes_pass_on_what_they_do_not_take),
    ("channel.sent", a_task_that_receives_is_woken),
    ("channel.received", a_sender_that_parks_is_woken),
    ("channel.close-values", a_close_wakes_a_parked_receiver),
    ("channel.close-values", a_close_wakes_a_task),
    ("channel.close-values", inboxes_hear_a_close),
    ("channel.close-space", a_close_wakes_a_parked_sender),
    ("doorbell.ring", a_ring_orders_what_came_before_it),
    ("doorbell.listen", a_ring_orders_what_came_before_it),
    ("doorbell.ticket", two_ringers_are_both_heard),
];

/// Which mutant a child process runs.
const MUTANT: &str = "QUORATE_MUTANT";

/// In child processes: a model that fails in the middle of a drop aborts.
#[test]
fn every_mutant_is_found() {
    if let Ok(index) = env::var(MUTANT) {
        let (name, model) = MUTANTS[index.parse::<usize>().unwrap()];
        modelled::weaken(Some(name));
        return model();
    }
    let passes = |index: usize| {
        let status = Command::new(env::current_exe().unwrap())
            .args(["--exact", "every_mutant_is_found"])
            .env(MUTANT, index.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    };
    let missed: Vec<_> =
        (0..MUTANTS.len()).filter(|index| passes(*index)).map(|index| MUTANTS[index].0).collect();
    println!("{} of {} found", MUTANTS.len() - missed.len(), MUTANTS.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
