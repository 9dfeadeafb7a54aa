//! The laws of a queue, for every type: the same answers as a deque, each value dropped exactly
//! once, nothing lost between threads.
#![cfg(not(any(loom, shuttle)))]
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end a test by a panic")]

#[macro_use]
#[path = "support/kinds.rs"]
mod kinds;

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use kinds::{Bound, End, Kind, Order, Pop, Push};
use proptest::{prelude::*, test_runner::TestRunner};
use quorate_mq::{PopError, PushError};

const CASES: u32 = if cfg!(miri) { 4 } else { 256 };
/// Operations of one case.
const STEPS_MAX: usize = if cfg!(miri) { 40 } else { 200 };
/// Values of each producer in the runs with threads.
const EACH: u64 = if cfg!(miri) { 60 } else { 40_000 };

for_every_kind! {
    it_answers_like_a_deque
    the_last_handle_drops_what_is_inside
    a_panic_in_one_drop_does_not_keep_the_others_from_being_dropped
    values_of_any_size_pass
    threads_lose_and_duplicate_nothing
    what_a_close_lets_in_comes_out
}

/// A value that notes its drop.
struct Noted {
    number: usize,
    producer: usize,
    drops: Arc<Mutex<Vec<u32>>>,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.drops.lock().unwrap()[self.number] += 1;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push,
    Pop,
    PushBatch(usize),
    PopBatch(usize),
    ClonePush,
    ClonePop,
    DropPush,
    DropPop,
    ClosePush,
    ClosePop,
}

/// A step, and which handle makes it.
fn step() -> impl Strategy<Value = (Step, usize)> {
    let step = prop_oneof![
        16 => Just(Step::Push),
        16 => Just(Step::Pop),
        8 => (0usize..12).prop_map(Step::PushBatch),
        8 => (0usize..12).prop_map(Step::PopBatch),
        2 => Just(Step::ClonePush),
        2 => Just(Step::ClonePop),
        2 => Just(Step::DropPush),
        2 => Just(Step::DropPop),
        1 => prop_oneof![8 => Just(Step::Pop), 1 => Just(Step::ClosePush), 1 => Just(Step::ClosePop)],
    ];
    (step, any::<usize>())
}

/// The queue with its handles, beside what it should hold.
struct Pair<K: Kind> {
    pushes: Vec<(usize, K::Push<Noted>)>,
    pops: Vec<K::Pop<Noted>>,
    producers: usize,
    capacity: usize,
    /// What was pushed and not popped: for each producer, or for all as if for one.
    model: BTreeMap<usize, VecDeque<usize>>,
    closed: bool,
    drops: Arc<Mutex<Vec<u32>>>,
}

impl<K: Kind> Pair<K> {
    fn new(capacity: usize) -> Self {
        let (push, pop) = K::queue(capacity);
        Self {
            pushes: vec![(0, push)],
            pops: vec![pop],
            producers: 1,
            capacity,
            model: BTreeMap::new(),
            closed: false,
            drops: Arc::default(),
        }
    }

    fn value(&self, producer: usize) -> Noted {
        let mut drops = self.drops.lock().unwrap();
        drops.push(0);
        Noted { number: drops.len() - 1, producer, drops: self.drops.clone() }
    }

    fn len(&self) -> usize {
        self.model.values().map(VecDeque::len).sum()
    }

    fn part(producer: usize) -> usize {
        if K::ORDER == Order::Total { 0 } else { producer }
    }

    fn room(&self, producer: usize) -> usize {
        match K::BOUND {
            Bound::Exact => self.capacity - self.len(),
            Bound::PerProducer => {
                self.capacity - self.model.get(&producer).map_or(0, VecDeque::len)
            }
            Bound::Memory => usize::MAX,
        }
    }

    fn push(&mut self, handle: usize) {
        let (producer, push) = &self.pushes[handle % self.pushes.len()];
        let value = self.value(*producer);
        let (number, producer) = (value.number, *producer);
        match push.push(value) {
            Ok(()) => {
                assert!(!self.closed && self.room(producer) > 0, "pushed where nothing fits");
                self.model.entry(Self::part(producer)).or_default().push_back(number);
            }
            Err(PushError::Full(value)) => {
                assert!(!self.closed && self.room(producer) == 0, "full with room");
                assert_eq!(value.number, number, "the value comes back");
            }
            Err(PushError::Closed(value)) => {
                assert!(self.closed, "closed by nobody");
                assert_eq!(value.number, number, "the value comes back");
            }
            Err(PushError::Busy(_)) => panic!("busy though nobody else is there"),
        }
    }

    fn push_batch(&mut self, handle: usize, count: usize) {
        let (producer, push) = &self.pushes[handle % self.pushes.len()];
        let mut source: Vec<_> = (0..count).map(|_| self.value(*producer)).collect();
        let numbers: Vec<_> = source.iter().map(|value| value.number).collect();
        let producer = *producer;
        let fit = if self.closed { 0 } else { self.room(producer).min(count) };
        let pushed = match push.push_batch(&mut source) {
            Ok(pushed) => pushed,
            Err(PushError::Busy(())) => panic!("busy though nobody else is there"),
            Err(PushError::Full(())) => {
                assert!(!self.closed && fit == 0, "full with room");
                0
            }
            Err(PushError::Closed(())) => {
                assert!(self.closed, "closed by nobody");
                0
            }
        };
        assert_eq!(pushed, fit, "what fits goes in");
        let left: Vec<_> = source.iter().map(|value| value.number).collect();
        assert_eq!(left, numbers[pushed..], "what does not stays, in order");
        self.model.entry(Self::part(producer)).or_default().extend(&numbers[..pushed]);
    }

    fn pop(&mut self, handle: usize) {
        match self.pops[handle % self.pops.len()].pop() {
            Ok(value) => self.is_next(&value),
            Err(error) => self.has_nothing(error),
        }
    }

    fn pop_batch(&mut self, handle: usize, count_max: usize) {
        let mut out = Vec::new();
        let popped = self.pops[handle % self.pops.len()].pop_batch(&mut out, count_max);
        match popped {
            Ok(count) => {
                assert_eq!(count, out.len());
                assert!(count <= count_max && (count > 0 || count_max == 0));
                let all = count_max.min(self.len());
                assert!(K::ORDER == Order::PerProducer || count == all, "what is there comes");
                out.iter().for_each(|value| self.is_next(value));
            }
            Err(error) => self.has_nothing(error),
        }
    }

    fn is_next(&mut self, value: &Noted) {
        let part = self.model.get_mut(&Self::part(value.producer)).expect("it was pushed");
        assert_eq!(part.pop_front(), Some(value.number), "first in, first out");
    }

    fn has_nothing(&self, error: PopError) {
        assert_eq!(self.len(), 0, "{error} with values inside");
        let expected = if self.closed { PopError::Closed } else { PopError::Empty };
        assert_eq!(error, expected);
    }

    fn make(&mut self, step: &Step, handle: usize) {
        match step {
            Step::Push => self.push(handle),
            Step::Pop => self.pop(handle),
            Step::PushBatch(count) => self.push_batch(handle, *count),
            Step::PopBatch(count_max) => self.pop_batch(handle, *count_max),
            Step::ClonePush => {
                if let Some(another) = K::another_push(&self.pushes[0].1) {
                    self.pushes.push((self.producers, another));
                    self.producers += 1;
                }
            }
            Step::ClonePop => self.pops.extend(K::another_pop(&self.pops[0])),
            Step::DropPush if self.pushes.len() > 1 => {
                self.pushes.swap_remove(handle % self.pushes.len());
            }
            Step::DropPop if self.pops.len() > 1 => {
                self.pops.swap_remove(handle % self.pops.len());
            }
            Step::DropPush | Step::DropPop => {}
            Step::ClosePush | Step::ClosePop => {
                let closed = match step {
                    Step::ClosePush => self.pushes[handle % self.pushes.len()].1.close(),
                    _ => self.pops[handle % self.pops.len()].close(),
                };
                assert_eq!(closed, !self.closed, "the first close is told apart");
                self.closed = true;
            }
        }
    }

    fn dropped_each_once(self) {
        let drops = self.drops.clone();
        drop(self);
        assert!(drops.lock().unwrap().iter().all(|count| *count == 1), "each is dropped once");
    }
}

fn it_answers_like_a_deque<K: Kind>() {
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() };
    let steps = prop::collection::vec(step(), 0..STEPS_MAX);
    TestRunner::new(config)
        .run(&(1usize..10, steps), |(capacity, steps)| {
            let mut pair = Pair::<K>::new(capacity);
            for (step, handle) in &steps {
                pair.make(step, *handle);
            }
            pair.dropped_each_once();
            Ok(())
        })
        .unwrap();
}

fn the_last_handle_drops_what_is_inside<K: Kind>() {
    for (pushed, popped, closed) in [(1, 0, false), (4, 0, true), (4, 2, false), (3, 3, true)] {
        let mut pair = Pair::<K>::new(4);
        pair.push_batch(0, pushed);
        pair.pop_batch(0, popped);
        if closed {
            pair.make(&Step::ClosePop, 0);
        }
        let drops = pair.drops.clone();
        drop(std::mem::take(&mut pair.pushes));
        assert_eq!(drops.lock().unwrap().iter().sum::<u32>(), popped as u32, "still inside");
        drop(std::mem::take(&mut pair.pops));
        assert!(drops.lock().unwrap().iter().all(|count| *count == 1));
    }
}

/// Counts its drop, and panics in it if it was chosen to.
struct Panicking {
    drops: Arc<AtomicUsize>,
    panics: bool,
}

impl Drop for Panicking {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics, "chosen to panic");
    }
}

fn a_panic_in_one_drop_does_not_keep_the_others_from_being_dropped<K: Kind>() {
    for chosen in 0..6 {
        let drops = Arc::new(AtomicUsize::new(0));
        let (push, pop) = K::queue(8);
        for number in 0..6 {
            let value = Panicking { drops: drops.clone(), panics: number == chosen };
            assert!(push.push(value).is_ok());
        }
        let result = catch_unwind(AssertUnwindSafe(|| drop((push, pop))));
        assert!(result.is_err(), "the panic comes through");
        assert_eq!(drops.load(Ordering::SeqCst), 6);
    }
}

fn pass<K: Kind, T: Clone + PartialEq + std::fmt::Debug + Send + 'static>(value: &T) {
    let (push, pop) = K::queue(3);
    for _ in 0..5 {
        assert!(push.push(value.clone()).is_ok());
        assert_eq!(push.push_batch(&mut vec![value.clone(), value.clone()]), Ok(2));
        let mut out = vec![pop.pop().unwrap()];
        while pop.pop_batch(&mut out, 2).is_ok() {}
        assert_eq!(out, vec![value.clone(); 3]);
    }
}

fn values_of_any_size_pass<K: Kind>() {
    pass::<K, _>(&());
    pass::<K, _>(&7_u8);
    pass::<K, _>(&[7_u8; 3]);
    pass::<K, _>(&[9_u64; 32]);
    pass::<K, _>(&Some(Box::new("boxed".to_owned())));
}

/// The handles of one side, as many as the type allows up to `count`.
fn handles<H>(first: H, count: usize, another: impl Fn(&H) -> Option<H>) -> Vec<H> {
    let mut handles = vec![first];
    while handles.len() < count {
        let Some(handle) = another(&handles[0]) else { break };
        handles.push(handle);
    }
    handles
}

fn threads_lose_and_duplicate_nothing<K: Kind>() {
    for (capacity, batch, sides) in [(1, 1, 2), (2, 3, 2), (64, 7, 4), (1024, 64, 2)] {
        pass_between_threads::<K>(capacity, batch, sides);
    }
}

fn pass_between_threads<K: Kind>(capacity: usize, batch: usize, sides: usize) {
    let (push, pop) = K::queue::<(usize, u64)>(capacity);
    let pushes = handles(push, sides, K::another_push);
    let pops = handles(pop, sides, K::another_pop);
    let producers = pushes.len();
    let (received, sum) = (AtomicU64::new(0), AtomicU64::new(0));
    let expected = EACH * producers as u64;
    thread::scope(|scope| {
        for (producer, push) in pushes.into_iter().enumerate() {
            scope.spawn(move || produce(producer, &push, batch));
        }
        for pop in pops {
            let (received, sum) = (&received, &sum);
            scope.spawn(move || {
                let mut last = vec![None; producers];
                let mut out = Vec::new();
                while received.load(Ordering::SeqCst) < expected {
                    match pop.pop_batch(&mut out, batch) {
                        Ok(count) => _ = received.fetch_add(count as u64, Ordering::SeqCst),
                        Err(_) => thread::yield_now(),
                    }
                    for (producer, value) in out.drain(..) {
                        assert!(last[producer] < Some(value), "one producer's values in order");
                        last[producer] = Some(value);
                        sum.fetch_add(value, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(received.into_inner(), expected, "{} of capacity {capacity}", K::NAME);
    assert_eq!(sum.into_inner(), producers as u64 * (EACH * (EACH - 1) / 2));
}

/// Pushes 0..EACH, singly and in batches.
fn produce(producer: usize, push: &impl Push<(usize, u64)>, batch: usize) {
    let mut next = 0;
    while next < EACH {
        let pushed = if next % 3 == 0 {
            u64::from(push.push((producer, next)).is_ok())
        } else {
            let end = EACH.min(next + batch as u64);
            let mut source: Vec<_> = (next..end).map(|value| (producer, value)).collect();
            push.push_batch(&mut source).unwrap_or(0) as u64
        };
        if pushed == 0 {
            thread::yield_now();
        }
        next += pushed;
    }
}

fn what_a_close_lets_in_comes_out<K: Kind>() {
    for round in 0..(if cfg!(miri) { 3 } else { 40 }) {
        let (push, pop) = K::queue::<Box<u64>>(4);
        let pushes = handles(push, 2, K::another_push);
        let pops = handles(pop, 2, K::another_pop);
        let (pushed, popped) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for push in pushes {
                let pushed = &pushed;
                scope.spawn(move || {
                    loop {
                        match push.push(Box::new(1)) {
                            Ok(()) => _ = pushed.fetch_add(1, Ordering::SeqCst),
                            Err(PushError::Closed(_)) => return,
                            Err(_) => thread::yield_now(),
                        }
                    }
                });
            }
            for (consumer, pop) in pops.into_iter().enumerate() {
                let popped = &popped;
                scope.spawn(move || {
                    let mut count = 0;
                    loop {
                        match pop.pop() {
                            Ok(_) => count += 1,
                            Err(PopError::Closed) => break,
                            Err(_) => thread::yield_now(),
                        }
                        if consumer == 0 && count >= round {
                            pop.close();
                        }
                    }
                    popped.fetch_add(count, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(pushed.into_inner(), popped.into_inner(), "round {round}");
    }
}
