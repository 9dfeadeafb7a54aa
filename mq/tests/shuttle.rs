//! Schedules that are too large for loom: four and more threads, many laps, batches, closes,
//! blocking and asynchronous waits, chosen at random and by PCT (Burckhardt et al., 2010). Run with
//! `RUSTFLAGS="--cfg shuttle" cargo test --release -p quorate-mq --test shuttle`.
//!
//! What is shown: in so many schedules with these seeds nothing is lost, doubled or turned around,
//! and no thread sleeps for ever (shuttle reports a deadlock). What is not shown: anything about
//! weak memory, which shuttle does not have; and all other schedules.
#![cfg(shuttle)]
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end a test by a panic")]

#[macro_use]
#[path = "support/kinds.rs"]
mod kinds;

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll},
};

use kinds::{Bound, End, Kind, Order, Pop, Push};
use quorate_mq::{ChannelOptions, Receiver, Sender, bounded, over};
use shuttle::{
    Config, MaxSteps, Runner, future,
    scheduler::{PctScheduler, RandomScheduler},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

/// Schedules of each scheduler for each model.
const SCHEDULES: usize = 1_500;
/// How many changes of priority a schedule of PCT has.
const DEPTH: usize = 3;
const SEED: u64 = 0x5175_6f72_6174_65;

/// Runs a model under both schedulers; a failure prints the schedule, which `shuttle::replay` takes.
fn check(model: impl Fn() + Send + Sync + Clone + 'static) {
    let mut config = Config::new();
    config.silence_warnings = true;
    config.max_steps = MaxSteps::FailAfter(2_000_000);
    let random = RandomScheduler::new_from_seed(SEED, SCHEDULES);
    Runner::new(random, config.clone()).run(model.clone());
    let pct = PctScheduler::new_from_seed(SEED, DEPTH, SCHEDULES);
    Runner::new(pct, config).run(model);
}

for_every_kind! { many_threads_and_laps_lose_nothing a_close_amid_pushes_loses_nothing }

fn handles<H>(first: H, count: usize, another: impl Fn(&H) -> Option<H>) -> Vec<H> {
    let mut handles = vec![first];
    while handles.len() < count {
        let Some(handle) = another(&handles[0]) else { break };
        handles.push(handle);
    }
    handles
}

/// Two producers, two consumers, more values than places, singly and in batches.
fn many_threads_and_laps_lose_nothing<K: Kind>() {
    const EACH: u64 = 12;
    check(|| {
        let (push, pop) = K::queue::<u64>(if K::BOUND == Bound::PerProducer { 2 } else { 3 });
        let (pushes, pops) = (handles(push, 2, K::another_push), handles(pop, 2, K::another_pop));
        let all = EACH * pushes.len() as u64;
        let received = Arc::new(AtomicU64::new(0));
        let producers: Vec<_> = (0_u64..)
            .zip(pushes)
            .map(|(producer, push)| thread::spawn(move || produce(producer << 32, &push, EACH)))
            .collect();
        let consumers: Vec<_> = pops
            .into_iter()
            .map(|pop| {
                let received = received.clone();
                thread::spawn(move || {
                    let mut out = Vec::new();
                    while received.load(SeqCst) < all {
                        let count = pop.pop_batch(&mut out, 2).unwrap_or(0);
                        received.fetch_add(count as u64, SeqCst);
                        if count == 0 {
                            thread::yield_now();
                        }
                    }
                    out
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        let mut values = Vec::new();
        for consumer in consumers {
            let out = consumer.join().unwrap();
            for producer in 0..2 {
                let of_one: Vec<_> = out.iter().filter(|value| *value >> 32 == producer).collect();
                assert!(of_one.is_sorted(), "{:?}: {out:?}", K::ORDER);
            }
            values.extend(out);
        }
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len() as u64, all, "{}", K::NAME);
    });
}

fn produce(first: u64, push: &impl Push<u64>, count: u64) {
    let mut next = 0;
    while next < count {
        let pushed = if next % 3 == 0 {
            u64::from(push.push(first + next).is_ok())
        } else {
            let mut source: Vec<_> = (next..count.min(next + 2)).map(|n| first + n).collect();
            push.push_batch(&mut source).unwrap_or(0) as u64
        };
        if pushed == 0 {
            thread::yield_now();
        }
        next += pushed;
    }
}

/// What was accepted is popped, whoever closes when; then everybody hears of the close.
fn a_close_amid_pushes_loses_nothing<K: Kind>() {
    check(|| {
        let (push, pop) = K::queue::<u64>(2);
        let (pushes, pops) = (handles(push, 2, K::another_push), handles(pop, 2, K::another_pop));
        let producers: Vec<_> = pushes
            .into_iter()
            .map(|push| {
                thread::spawn(move || {
                    let mut pushed = 0_u64;
                    for _ in 0..4 {
                        pushed += u64::from(push.push(1).is_ok());
                    }
                    push.close();
                    pushed
                })
            })
            .collect();
        let consumers: Vec<_> = pops
            .into_iter()
            .map(|pop| {
                thread::spawn(move || {
                    let mut popped = 0_u64;
                    loop {
                        match pop.pop() {
                            Ok(value) => popped += value,
                            Err(quorate_mq::PopError::Closed) => return popped,
                            Err(_) => thread::yield_now(),
                        }
                    }
                })
            })
            .collect();
        let sum = |threads: Vec<thread::JoinHandle<u64>>| {
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>()
        };
        assert_eq!(sum(producers), sum(consumers), "{} {:?}", K::NAME, Order::Total);
    });
}

/// Two blocking senders and two blocking receivers over one place: everybody sleeps and is woken.
fn everybody_is_woken<P, C>(make: impl Fn() -> (Sender<u64, P>, Receiver<u64, C>))
where
    P: quorate_mq::Produce<u64> + Clone + Send + 'static,
    C: quorate_mq::Consume<u64> + Clone + Send + 'static,
{
    let (sender, receiver) = make();
    let senders: Vec<_> = [sender.clone(), sender]
        .into_iter()
        .map(|sender| {
            thread::spawn(move || {
                for value in 1..=3 {
                    sender.send(value).unwrap();
                }
                sender.send_batch(&mut vec![4, 5]).unwrap();
            })
        })
        .collect();
    let receivers: Vec<_> = [receiver.clone(), receiver]
        .into_iter()
        .map(|receiver| {
            thread::spawn(move || {
                let mut values = Vec::new();
                while receiver.recv_batch(&mut values, 2).is_ok() {
                    values.extend(receiver.recv());
                }
                values.into_iter().sum::<u64>()
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let sum: u64 = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
    assert_eq!(sum, 2 * (1 + 2 + 3 + 4 + 5));
}

#[test]
fn blocking_ends_over_the_ring_are_woken() {
    check(|| everybody_is_woken(|| bounded(1).unwrap()));
}

#[test]
fn blocking_ends_over_the_strict_queue_are_woken() {
    check(|| {
        everybody_is_woken(|| {
            over(quorate_mq::strict::queue(1).unwrap(), &ChannelOptions::default())
        });
    });
}

#[test]
fn blocking_ends_over_the_unbounded_queue_are_woken() {
    check(|| {
        everybody_is_woken(|| {
            over(quorate_mq::unbounded::queue().unwrap(), &ChannelOptions::default())
        });
    });
}

/// Four receivers sleep; a close wakes them all.
#[test]
fn a_close_wakes_everybody() {
    check(|| {
        let (sender, receiver) = bounded::<u64>(1).unwrap();
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.recv().is_err())
            })
            .collect();
        drop(sender);
        assert!(receivers.into_iter().all(|receiver| receiver.join().unwrap()));
    });
}

/// Polls a future once and drops it, whatever it says; what it had got is returned.
async fn given_up<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|context: &mut Context<'_>| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// A task that gives up its wait passes its wake-up on: the other receivers get everything.
#[test]
fn a_wait_that_is_given_up_swallows_no_wake_up() {
    check(|| {
        let (sender, receiver) = bounded::<u64>(1).unwrap();
        let fickle = receiver.clone();
        let giving_up = thread::spawn(move || {
            future::block_on(async {
                let mut got = 0;
                for _ in 0..3 {
                    if let Some(Ok(value)) = given_up(fickle.recv_async()).await {
                        got += value;
                    }
                }
                got
            })
        });
        let steady: Vec<_> = (0..2)
            .map(|number| {
                let receiver = receiver.clone();
                thread::spawn(move || {
                    let mut got = 0;
                    if number == 0 {
                        future::block_on(async {
                            while let Ok(value) = receiver.recv_async().await {
                                got += value;
                            }
                        });
                    }
                    while let Ok(value) = receiver.recv() {
                        got += value;
                    }
                    got
                })
            })
            .collect();
        drop(receiver);
        for value in 1..=4 {
            future::block_on(sender.send_async(value)).unwrap();
        }
        drop(sender);
        let got: u64 = steady.into_iter().map(|receiver| receiver.join().unwrap()).sum();
        assert_eq!(got + giving_up.join().unwrap(), 1 + 2 + 3 + 4);
    });
}
