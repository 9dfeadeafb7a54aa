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
    let (sender, receiver) = D::open(setup.capacity)?;
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

fn run<D: Ends<P>, P: Payload>(
    setup: &Setup,
    produce: impl Fn(&mut D::Sender, Range<u64>) + Sync,
    consume: impl Fn(&mut D::Receiver, &mut Received, u64) + Sync,
) -> Option<Streamed> {
    let (senders, receivers) = all_ends::<D, P>(setup)?;
    let (produce, consume, shape) = (&produce, &consume, setup.shape);
    let begin = &Barrier::new(senders.len() + receivers.len());
    let (all_done, over) = mpsc::channel::<()>();
    let pinned = (shape.producers, shape.consumers) == (1, 1) && !setup.idle_consumer;
    let cores = &Cores::allowed();
    let mut idle_over = setup.idle_consumer.then_some(over);
    std::thread::scope(|scope| {
        let mut working = Vec::new();
        let mut idle = None;
        for mut receiver in receivers {
            if let Some(over) = idle_over.take() {
                idle = Some(scope.spawn(move || {
                    let mut received = Received::default();
                    begin.wait();
                    consume(&mut receiver, &mut received, 1);
                    // The handle is held until the others are done; what it still has, it gives.
                    let _ = over.recv();
                    consume(&mut receiver, &mut received, u64::MAX);
                    received
                }));
                continue;
            }
            working.push(scope.spawn(move || {
                if pinned {
                    cores.last().bind();
                }
                let mut received = Received::default();
                begin.wait();
                let start = Instant::now();
                consume(&mut receiver, &mut received, u64::MAX);
                (start, Instant::now(), received)
            }));
        }
        for (number, mut sender) in (0..).zip(senders) {
            let share = |number: u64| number * setup.items / shape.producers;
            working.push(scope.spawn(move || {
                if pinned {
                    cores.first().bind();
                }
                begin.wait();
                let start = Instant::now();
                produce(&mut sender, share(number)..share(number + 1));
                (start, Instant::now(), Received::default())
            }));
        }
        const NO_PANIC: &str = "the loops do not panic";
        let ended: Vec<_> = working.into_iter().map(|t| t.join().expect(NO_PANIC)).collect();
        drop(all_done);
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
    let (mut sender, mut receiver) = D::open(capacity)?;
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
pub fn round_trips<D: Streams<u64>>(rounds: u64, pause: Duration) -> Option<Vec<u32>> {
    let (mut ping, mut pinged) = D::open(CAPACITY_ROUND_TRIP)?;
    let (mut pong, mut ponged) = D::open(CAPACITY_ROUND_TRIP)?;
    let cores = &Cores::allowed();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            cores.last().bind();
            while let Some(item) = D::receive(&mut pinged) {
                D::send(&mut pong, item);
            }
        });
        let pinging = scope.spawn(move || {
            cores.first().bind();
            let mut times = Vec::with_capacity((rounds + WARM_UP_ROUNDS) as usize);
            let mut last = Instant::now();
            for round in 0..rounds + WARM_UP_ROUNDS {
                while !pause.is_zero() && last.elapsed() < pause {
                    std::hint::spin_loop();
                }
                let start = if pause.is_zero() { last } else { Instant::now() };
                D::send(&mut ping, round);
                if D::receive(&mut ponged) != Some(round) {
                    return None;
                }
                last = Instant::now();
                times.push(u32::try_from((last - start).as_nanos()).unwrap_or(u32::MAX));
            }
            times.drain(..WARM_UP_ROUNDS as usize);
            Some(times)
        });
        pinging.join().expect("the loops do not panic")
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
    let (mut sender, mut receiver) = D::open(0)?;
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
