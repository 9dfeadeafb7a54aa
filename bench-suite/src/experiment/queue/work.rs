//! The measured loops: streams, batches, one thread alone, round trips, and memory after a burst.
//!
//! What always holds: each message is a number that arrives once, and what arrived is told in sums
//! ([`Received`]); the clock runs from the first thread's start to the last one's end; threads
//! begin together. A shape of one producer and one consumer has a core for each; all others run
//! where the system puts them. Left to others: how often, and what follows from it.

use std::hint::black_box;
use std::ops::Range;
use std::sync::{Barrier, mpsc};
use std::time::{Duration, Instant};

use super::ends::{Batches, Ends, Streams};
use super::payload::{Payload, Received};
use super::waiting::Policy;
use crate::machine::{self, Cores};

/// How many threads send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Threads that send.
    pub producers: u64,
    /// Threads that receive.
    pub consumers: u64,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.producers, self.consumers)
    }
}

/// A stream to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Who sends and receives.
    pub shape: Shape,
    /// Items that the queue holds, if it has a bound.
    pub capacity: usize,
    /// Items to move.
    pub items: u64,
    /// How callers wait.
    pub policy: Policy,
    /// Items that move at once, for queues that can.
    pub batch: usize,
    /// Whether one more consumer takes a single item and then holds its handle, doing nothing.
    pub idle_consumer: bool,
}

/// A measured stream.
#[derive(Clone, Copy, Debug)]
pub struct Streamed {
    /// From the first start to the last end of those that work.
    pub elapsed: Duration,
    /// What arrived.
    pub received: Received,
}

/// Whether the queue `D` can be opened as `setup` needs it.
#[must_use]
pub fn offers<D: Ends<P>, P: Payload>(setup: &Setup) -> bool {
    all_ends::<D, P>(setup).is_some()
}

/// Both sides' ends, as many as there are threads.
type AllEnds<D, P> = (Vec<<D as Ends<P>>::Sender>, Vec<<D as Ends<P>>::Receiver>);

fn all_ends<D: Ends<P>, P: Payload>(setup: &Setup) -> Option<AllEnds<D, P>> {
    let (sender, receiver) = D::open(setup.capacity, setup.policy)?;
    let consumers = setup.shape.consumers + u64::from(setup.idle_consumer);
    let (mut senders, mut receivers) = (vec![sender], vec![receiver]);
    for _ in 1..setup.shape.producers {
        senders.push(D::another_sender(&senders[0])?);
    }
    for _ in 1..consumers {
        receivers.push(D::another_receiver(&receivers[0])?);
    }
    Some((senders, receivers))
}

/// Moves `0..items` one at a time; `None` where the queue cannot be opened so.
#[must_use]
pub fn stream<D: Streams<P>, P: Payload>(setup: &Setup) -> Option<Streamed> {
    let produce = |sender: &mut D::Sender, numbers: Range<u64>| {
        numbers.for_each(|number| D::send(sender, P::of(number)));
    };
    let consume = |receiver: &mut D::Receiver, received: &mut Received, count_max: u64| {
        let until = received.count.saturating_add(count_max);
        while received.count < until {
            let Some(item) = D::receive(receiver) else { return };
            received.take(&item);
        }
    };
    run::<D, P>(setup, produce, consume)
}

/// Moves `0..items` in batches; `None` where the queue cannot be opened so.
#[must_use]
pub fn batches<D: Batches<P>, P: Payload>(setup: &Setup) -> Option<Streamed> {
    let size = setup.batch;
    let produce = move |sender: &mut D::Sender, numbers: Range<u64>| {
        let (mut numbers, mut batch) = (numbers, Vec::with_capacity(size));
        while !numbers.is_empty() {
            batch.extend(numbers.by_ref().take(size).map(P::of));
            D::send_batch(sender, &mut batch);
        }
    };
    let consume = move |receiver: &mut D::Receiver, received: &mut Received, count_max: u64| {
        let until = received.count.saturating_add(count_max);
        let mut batch = Vec::with_capacity(size);
        while received.count < until && D::receive_batch(receiver, &mut batch, size) {
            batch.drain(..).for_each(|item| received.take(&item));
        }
    };
    run::<D, P>(setup, produce, consume)
}

/// What a thread does once all have begun: given whether this is the rest (see [`Role::Idle`]).
type Work<'a> = Box<dyn FnMut(u64) -> Received + Send + 'a>;

/// A thread's part in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Producer,
    Consumer,
    /// Takes one item, holds its handle until the others are done, and then gives what it has.
    Idle,
}

fn run<D: Ends<P>, P: Payload>(
    setup: &Setup,
    produce: impl Fn(&mut D::Sender, Range<u64>) + Copy + Send,
    consume: impl Fn(&mut D::Receiver, &mut Received, u64) + Copy + Send,
) -> Option<Streamed> {
    let (senders, receivers) = all_ends::<D, P>(setup)?;
    let (items, producers) = (setup.items, setup.shape.producers);
    let mut threads: Vec<(Role, Work<'_>)> = Vec::new();
    for mut receiver in receivers {
        let idle = setup.idle_consumer && threads.is_empty();
        let work = move |count_max| {
            let mut received = Received::default();
            consume(&mut receiver, &mut received, count_max);
            received
        };
        threads.push((if idle { Role::Idle } else { Role::Consumer }, Box::new(work)));
    }
    for (number, sender) in (0..).zip(senders) {
        let mut sender = Some(sender);
        let share = number * items / producers..(number + 1) * items / producers;
        let work = move |_| {
            // Dropped at its end, so that consumers see the stream's end.
            sender.take().iter_mut().for_each(|sender| produce(sender, share.clone()));
            Received::default()
        };
        threads.push((Role::Producer, Box::new(work)));
    }
    run_threads(threads, setup.shape)
}

/// Runs the threads from a common beginning. Threads are started through a table, once each; what
/// they do from then on is compiled for the queue.
fn run_threads(threads: Vec<(Role, Work<'_>)>, shape: Shape) -> Option<Streamed> {
    let cores = &Cores::allowed();
    let pinned = threads.len() == 2 && shape == Shape { producers: 1, consumers: 1 };
    let begin = &Barrier::new(threads.len());
    let (others_work, others_done) = mpsc::channel::<()>();
    let mut others_done = Some(others_done);
    std::thread::scope(|scope| {
        let (mut working, mut idle) = (Vec::new(), None);
        for (role, mut work) in threads {
            if let (Role::Idle, Some(others_done)) =
                (role, others_done.take_if(|_| role == Role::Idle))
            {
                idle = Some(scope.spawn(move || {
                    begin.wait();
                    let received = work(1);
                    let _ = others_done.recv();
                    received.with(work(u64::MAX))
                }));
                continue;
            }
            working.push(scope.spawn(move || {
                match role {
                    Role::Producer if pinned => cores.first().bind(),
                    Role::Consumer if pinned => cores.last().bind(),
                    _ => {}
                }
                begin.wait();
                let start = Instant::now();
                let received = work(u64::MAX);
                (start, Instant::now(), received)
            }));
        }
        const NO_PANIC: &str = "the loops do not panic";
        let ended: Vec<_> = working.into_iter().map(|t| t.join().expect(NO_PANIC)).collect();
        drop(others_work);
        let rest = idle.map_or(Received::default(), |thread| thread.join().expect(NO_PANIC));
        let start = ended.iter().map(|(start, ..)| *start).min()?;
        let end = ended.iter().map(|(_, end, _)| *end).max()?;
        let received = ended.iter().fold(rest, |all, (.., received)| all.with(*received));
        Some(Streamed { elapsed: end - start, received })
    })
}

/// Sends `burst` items and receives them again, `rounds` times, on this thread alone.
#[must_use]
pub fn alone<D: Streams<u64>>(capacity: usize, burst: u64, rounds: u64) -> Option<Streamed> {
    let (mut sender, mut receiver) = D::open(capacity, Policy::Polite)?;
    let mut received = Received::default();
    let start = Instant::now();
    for round in 0..rounds {
        for place in 0..burst {
            D::send(&mut sender, black_box(round * burst + place));
        }
        for _ in 0..burst {
            received.take(&D::receive(&mut receiver)?);
        }
    }
    Some(Streamed { elapsed: start.elapsed(), received })
}

/// Round trips that are made before any is measured.
const WARM_UP_ROUNDS: u64 = 64;

/// Times of `rounds` round trips between two threads on two cores, in ns; each after a pause in
/// which the pinging thread watches the clock, so that the other one has long been waiting.
///
/// `None` where the queue cannot be opened so, or where something else came back.
#[must_use]
pub fn round_trips<D: Streams<u64>>(
    policy: Policy,
    rounds: u64,
    pause: Duration,
) -> Option<Vec<u32>> {
    let (mut ping, mut pinged) = D::open(CAPACITY_ROUND_TRIP, policy)?;
    let (mut pong, mut ponged) = D::open(CAPACITY_ROUND_TRIP, policy)?;
    let answer = move || {
        while let Some(item) = D::receive(&mut pinged) {
            D::send(&mut pong, item);
        }
        Vec::new()
    };
    let ask = move || {
        let mut times = Vec::with_capacity((rounds + WARM_UP_ROUNDS) as usize);
        let mut last = Instant::now();
        for round in 0..rounds + WARM_UP_ROUNDS {
            while !pause.is_zero() && last.elapsed() < pause {
                std::hint::spin_loop();
            }
            let start = if pause.is_zero() { last } else { Instant::now() };
            D::send(&mut ping, round);
            if D::receive(&mut ponged) != Some(round) {
                return Vec::new();
            }
            last = Instant::now();
            times.push(u32::try_from((last - start).as_nanos()).unwrap_or(u32::MAX));
        }
        times.drain(..WARM_UP_ROUNDS as usize);
        times
    };
    Some(on_two_cores(Box::new(ask), Box::new(answer))).filter(|times| !times.is_empty())
}

/// One end of a round trip; the asking one gives the times.
type TripEnd = Box<dyn FnOnce() -> Vec<u32> + Send>;

fn on_two_cores(ask: TripEnd, answer: TripEnd) -> Vec<u32> {
    let cores = &Cores::allowed();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            cores.last().bind();
            answer()
        });
        let asking = scope.spawn(move || {
            cores.first().bind();
            ask()
        });
        asking.join().expect("the loops do not panic")
    })
}

/// Capacity of the queues of a round trip.
const CAPACITY_ROUND_TRIP: usize = 1024;

/// What a burst does to the process's resident memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes above the start, with the whole burst inside.
    pub peak: u64,
    /// Bytes above the start, after the last item was received, with the queue still open.
    pub left: u64,
}

/// Sends `items` and receives them again on this thread; meaningful in a process of its own, where
/// nothing was freed before that the allocator could use again.
#[must_use]
pub fn memory<D: Streams<u64>>(items: u64) -> Option<Memory> {
    let (mut sender, mut receiver) = D::open(0, Policy::Polite)?;
    let before = machine::resident_bytes()?;
    for number in 0..items {
        D::send(&mut sender, number);
    }
    let peak = machine::resident_bytes()?.saturating_sub(before);
    let mut received = Received::default();
    for _ in 0..items {
        received.take(&D::receive(&mut receiver)?);
    }
    let left = machine::resident_bytes()?.saturating_sub(before);
    (received == Received::of_range(items)).then_some(Memory { peak, left })
}
