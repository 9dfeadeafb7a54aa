//! Real runs of every queue, recorded and checked; and the checker, checked by planted histories.
//!
//! What is shown: in the runs that were made on this machine no call was answered as a queue must
//! not answer. What is not shown: other schedules; that is what the models are for.
#![cfg(not(any(loom, shuttle)))]
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end a test by a panic")]

#[path = "support/history.rs"]
mod history;
#[macro_use]
#[path = "support/kinds.rs"]
mod kinds;

use std::{
    sync::{
        Barrier,
        atomic::{Ordering, fence},
    },
    thread,
    time::Instant,
};

use history::{Answer, CALLS_MAX, Call, Promise, Violation, is_linearizable, violations};
use kinds::{Bound, End, Kind, Order, Pop, Push};
use quorate_mq::{PopError, PushError};

/// Attempts of one thread in a long run.
const ATTEMPTS: u64 = if cfg!(miri) { 60 } else { 20_000 };
/// Short runs, each tried in every order.
const SHORT_RUNS: u64 = if cfg!(miri) { 5 } else { 2_000 };

for_every_kind! { long_runs_violate_nothing short_runs_are_linearizable }

fn promise<K: Kind>(capacity: usize) -> Promise {
    Promise {
        producer_of: (K::ORDER == Order::PerProducer).then_some(of_producer),
        capacity: (K::BOUND == Bound::Exact).then_some(capacity),
    }
}

fn of_producer(value: u64) -> u64 {
    value >> 32
}

/// What one thread does: its calls with their times.
struct Recorder {
    started: Instant,
    calls: Vec<Call>,
}

impl Recorder {
    fn record<R>(&mut self, call: impl FnOnce() -> R, answer: impl FnOnce(R) -> Option<Answer>) {
        let begin = self.started.elapsed().as_nanos() as u64;
        // A processor may read ahead of the clock, and may keep a plain store to itself until
        // after it (the end of a push of `spsc`): no program without a clock can tell, this can.
        fence(Ordering::SeqCst);
        let result = call();
        fence(Ordering::SeqCst);
        let end = self.started.elapsed().as_nanos() as u64;
        match answer(result) {
            Some(answer) => self.calls.push(Call { begin, end, answer }),
            // Nothing happened, or nothing can be said: the other threads need the core.
            None => thread::yield_now(),
        }
    }

    /// Pushes `first` and as many of the next as there are in the batch; returns how many went in.
    fn push(&mut self, handle: &impl Push<u64>, first: u64, batch: usize) -> u64 {
        let mut count = 0;
        let mut source: Vec<_> = (first..first + batch as u64).collect();
        if batch == 1 {
            self.record(
                || handle.push(first),
                |result| match result {
                    Ok(()) => {
                        count = 1;
                        Some(Answer::Pushed(vec![first]))
                    }
                    Err(PushError::Full(_)) => Some(Answer::Full),
                    Err(PushError::Busy(_)) => None,
                    Err(PushError::Closed(_)) => unreachable!("nobody closes"),
                },
            );
            return count;
        }
        let values = source.clone();
        self.record(
            || handle.push_batch(&mut source),
            |result| match result {
                Ok(pushed) => {
                    count = pushed as u64;
                    Some(Answer::Pushed(values[..pushed].to_vec()))
                }
                Err(PushError::Full(())) => Some(Answer::Full),
                Err(PushError::Busy(())) => None,
                Err(PushError::Closed(())) => unreachable!("nobody closes"),
            },
        );
        count
    }

    fn pop(&mut self, handle: &impl Pop<u64>, batch: usize) -> Option<Answer> {
        let mut out = Vec::new();
        self.record(
            || {
                if batch == 1 {
                    handle.pop().map(|value| out.push(value))
                } else {
                    handle.pop_batch(&mut out, batch).map(|_| ())
                }
            },
            |result| match result {
                Ok(()) => Some(Answer::Popped(Vec::new())),
                Err(PopError::Empty) => Some(Answer::Empty),
                Err(PopError::Busy) => None,
                Err(PopError::Closed) => unreachable!("nobody closes"),
            },
        );
        if out.is_empty() {
            return self.calls.last().map(|call| call.answer.clone());
        }
        let last = self.calls.last_mut()?;
        last.answer = Answer::Popped(out);
        Some(last.answer.clone())
    }
}

/// Runs threads on both sides, each `attempts` calls, drains the queue, and returns all calls.
fn run<K: Kind>(capacity: usize, sides: usize, attempts: u64, batch: usize) -> Vec<Call> {
    let (push, pop) = K::queue::<u64>(capacity);
    let pushes: Vec<_> = (1..sides).filter_map(|_| K::another_push(&push)).collect::<Vec<_>>();
    let pops: Vec<_> = (1..sides).filter_map(|_| K::another_pop(&pop)).collect::<Vec<_>>();
    let pushes: Vec<_> = std::iter::once(push).chain(pushes).collect();
    let pops: Vec<_> = std::iter::once(pop).chain(pops).collect();
    let barrier = Barrier::new(pushes.len() + pops.len());
    let started = Instant::now();
    let recorder = || Recorder { started, calls: Vec::new() };
    let mut calls = Vec::new();
    let mut rest = None;
    thread::scope(|scope| {
        let barrier = &barrier;
        let producers: Vec<_> = (0_u64..)
            .zip(pushes)
            .map(|(producer, handle)| {
                scope.spawn(move || {
                    let mut recorder = recorder();
                    let mut next = producer << 32;
                    barrier.wait();
                    for attempt in 0..attempts {
                        let batch = if attempt % 3 == 2 { batch } else { 1 };
                        next += recorder.push(&handle, next, batch);
                    }
                    recorder.calls
                })
            })
            .collect();
        let consumers: Vec<_> = pops
            .into_iter()
            .map(|handle| {
                scope.spawn(move || {
                    let mut recorder = recorder();
                    barrier.wait();
                    for attempt in 0..attempts {
                        recorder.pop(&handle, if attempt % 3 == 2 { batch } else { 1 });
                    }
                    (recorder.calls, handle)
                })
            })
            .collect();
        for producer in producers {
            calls.extend(producer.join().unwrap());
        }
        for consumer in consumers {
            let (of_thread, handle) = consumer.join().unwrap();
            calls.extend(of_thread);
            rest = Some(handle);
        }
    });
    let mut recorder = recorder();
    let handle = rest.expect("there is a consumer");
    while recorder.pop(&handle, 1) != Some(Answer::Empty) {}
    assert!(handle.close(), "nobody closed before");
    calls.extend(recorder.calls);
    calls
}

fn long_runs_violate_nothing<K: Kind>() {
    for (capacity, batch) in [(1, 1), (3, 2), (8, 5), (64, 32), (1024, 64)] {
        let calls = run::<K>(capacity, 2, ATTEMPTS, batch);
        let found = violations(&calls, promise::<K>(capacity));
        assert_eq!(found, [], "{} of capacity {capacity}, {} calls", K::NAME, calls.len());
    }
}

fn short_runs_are_linearizable<K: Kind>() {
    if K::ORDER == Order::PerProducer {
        return; // not promised
    }
    for round in 0..SHORT_RUNS {
        let capacity = 1 + (round % 2) as usize;
        let calls = run::<K>(capacity, 2, 2, 1);
        if calls.len() > CALLS_MAX {
            continue;
        }
        let bound = (K::BOUND == Bound::Exact).then_some(capacity);
        assert!(is_linearizable(&calls, bound), "{} of capacity {capacity}: {calls:?}", K::NAME);
    }
}

fn pushed(begin: u64, end: u64, values: &[u64]) -> Call {
    Call { begin, end, answer: Answer::Pushed(values.to_vec()) }
}

fn popped(begin: u64, end: u64, values: &[u64]) -> Call {
    Call { begin, end, answer: Answer::Popped(values.to_vec()) }
}

fn check(calls: &[Call], capacity: usize) -> Vec<Violation> {
    violations(calls, Promise { producer_of: None, capacity: Some(capacity) })
}

/// A planted history, its capacity, and what must be found in it; both checkers must agree.
fn is_found(calls: &[Call], capacity: usize, expected: Violation) {
    assert_eq!(check(calls, capacity), [expected]);
    assert!(!is_linearizable(calls, Some(capacity)), "no order explains it");
}

#[test]
fn a_right_history_passes() {
    let full = Call { begin: 2, end: 3, answer: Answer::Full };
    let empty = Call { begin: 20, end: 30, answer: Answer::Empty };
    let calls = [
        pushed(0, 1, &[1]),
        full,
        popped(4, 9, &[1]),
        pushed(5, 8, &[2]),
        popped(10, 25, &[2]),
        empty,
    ];
    assert_eq!(check(&calls, 1), []);
    assert!(is_linearizable(&calls, Some(1)));
}

#[test]
fn a_value_out_of_nowhere_is_found() {
    is_found(
        &[pushed(0, 1, &[1]), popped(2, 3, &[1]), popped(4, 5, &[2])],
        9,
        Violation::OutOfNowhere(2),
    );
    is_found(&[popped(0, 1, &[1]), pushed(2, 3, &[1])], 9, Violation::OutOfNowhere(1));
}

#[test]
fn a_duplicate_is_found() {
    let calls = [pushed(0, 1, &[1]), popped(2, 3, &[1]), popped(2, 3, &[1])];
    is_found(&calls, 9, Violation::Duplicate(1));
}

#[test]
fn a_lost_value_is_found() {
    let empty = Call { begin: 4, end: 5, answer: Answer::Empty };
    let calls = [pushed(0, 1, &[1, 2]), popped(2, 3, &[1]), empty];
    assert_eq!(check(&calls, 9), [Violation::Lost(2)]);
    assert!(!is_linearizable(&calls, None));
}

#[test]
fn an_overtaken_value_is_found() {
    let calls = [pushed(0, 1, &[1]), pushed(2, 3, &[2]), popped(4, 5, &[2]), popped(6, 7, &[1])];
    is_found(&calls, 9, Violation::Overtaken(1, 2));
}

#[test]
fn an_overtaken_value_in_a_batch_is_found() {
    let pushed_together = [pushed(0, 1, &[1, 2]), popped(4, 5, &[2]), popped(6, 7, &[1])];
    is_found(&pushed_together, 9, Violation::Overtaken(1, 2));
    let popped_together = [pushed(0, 1, &[1]), pushed(2, 3, &[2]), popped(4, 5, &[2, 1])];
    is_found(&popped_together, 9, Violation::Overtaken(1, 2));
}

#[test]
fn a_false_empty_is_found_also_when_no_single_value_shows_it() {
    let empty = |begin, end| Call { begin, end, answer: Answer::Empty };
    is_found(&[pushed(0, 1, &[1]), empty(2, 3), popped(4, 5, &[1])], 9, Violation::FalseEmpty(2));
    let calls = [
        pushed(0, 1, &[1]),
        pushed(3, 4, &[2]),
        popped(6, 7, &[1]),
        empty(2, 9),
        popped(10, 11, &[2]),
    ];
    is_found(&calls, 9, Violation::FalseEmpty(2));
}

#[test]
fn a_false_full_is_found() {
    let full = |begin, end| Call { begin, end, answer: Answer::Full };
    let calls = [pushed(0, 1, &[1]), full(2, 3), popped(4, 5, &[1])];
    is_found(&calls, 2, Violation::FalseFull(2));
    let calls = [pushed(0, 1, &[1]), popped(4, 5, &[1]), full(6, 7)];
    is_found(&calls, 1, Violation::FalseFull(6));
}

#[test]
fn order_between_producers_is_not_asked_for_where_it_is_not_promised() {
    let promise = Promise { producer_of: Some(of_producer), capacity: None };
    let (first, second) = (1, 1 << 32);
    let calls = [
        pushed(0, 1, &[first]),
        pushed(2, 3, &[second]),
        popped(4, 5, &[second]),
        popped(6, 7, &[first]),
    ];
    assert_eq!(violations(&calls, promise), []);
    let calls = [pushed(0, 1, &[1]), pushed(2, 3, &[2]), popped(4, 5, &[2]), popped(6, 7, &[1])];
    assert_eq!(violations(&calls, promise), [Violation::Overtaken(1, 2)]);
}
