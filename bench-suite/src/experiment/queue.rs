//! Queues: `mq` against what a user would pick instead, in the same loops.
//!
//! Every item is a number; producers send disjoint ranges, consumers add up what they receive. The
//! proof of a repetition is that every number arrived exactly once: count, sum and sum of squares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::Backoff;

use crate::error::BenchError;
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial};
use crate::machine::Cores;
use crate::metric::Metric;
use crate::run::{Cell, Proof};

/// Items that a queue holds.
pub const CAPACITY: usize = 1024;
/// Items that move at once in batch mode.
pub const BATCH: usize = 64;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "queue",
    title: "Queues",
    question: "How fast is the queue under all of this, against what else there is?",
    method: "Items of 8 bytes through a bounded queue of 1,024, from producers to consumers on all cores; blocking channels wait as they do by default, the bare ring of crossbeam (`ArrayQueue`) spins with back-off. Batch mode moves 64 items at once and only mq has it. One hand-over is half of a round trip between two threads, each of which waits for the other.",
    plan,
};

/// A queue under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Ours.
    Mq,
    /// `crossbeam::channel::bounded`.
    CrossbeamChannel,
    /// `crossbeam::queue::ArrayQueue`.
    ArrayQueue,
    /// `std::sync::mpsc::sync_channel`; one consumer only.
    Std,
}

/// All queues.
pub const QUEUES: [Queue; 4] = [Queue::Mq, Queue::CrossbeamChannel, Queue::ArrayQueue, Queue::Std];

/// The versions of the peers, as the lock file pins them.
#[must_use]
pub fn peers() -> BTreeMap<String, String> {
    const LOCK: &str = include_str!("../../../Cargo.lock");
    let version = |name: &str| {
        let after = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
        Some((name.to_owned(), after.split_once('"')?.0.to_owned()))
    };
    ["crossbeam-channel", "crossbeam-queue"].into_iter().filter_map(version).collect()
}

impl Queue {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mq => "mq",
            Self::CrossbeamChannel => "crossbeam-channel",
            Self::ArrayQueue => "crossbeam-arrayqueue",
            Self::Std => "std-sync-channel",
        }
    }

    /// Both ends of a fresh queue.
    ///
    /// # Errors
    /// When the queue cannot be opened.
    pub fn open(self) -> Result<(Sending, Receiving), BenchError> {
        Ok(match self {
            Self::Mq => {
                let (sender, receiver) = quorate_mq::bounded(CAPACITY)
                    .map_err(|error| BenchError::setup("the queue", &error))?;
                (Sending::Mq(sender), Receiving::Mq(receiver))
            }
            Self::CrossbeamChannel => {
                let (sender, receiver) = crossbeam::channel::bounded(CAPACITY);
                (Sending::Crossbeam(sender), Receiving::Crossbeam(receiver))
            }
            Self::ArrayQueue => {
                let (queue, ended) = (Arc::new(ArrayQueue::new(CAPACITY)), Arc::default());
                let end = Arc::new(EndOnDrop(Arc::clone(&ended)));
                (Sending::Array(queue.clone(), end), Receiving::Array(queue, ended))
            }
            Self::Std => {
                let (sender, receiver) = std::sync::mpsc::sync_channel(CAPACITY);
                (Sending::Std(sender), Receiving::Std(receiver))
            }
        })
    }
}

/// A sending end.
#[derive(Clone)]
pub enum Sending {
    /// Ours.
    Mq(quorate_mq::Sender<u64>),
    /// Crossbeam's channel.
    Crossbeam(crossbeam::channel::Sender<u64>),
    /// Crossbeam's ring, and what ends it when the last sender is gone.
    Array(Arc<ArrayQueue<u64>>, Arc<EndOnDrop>),
    /// Std's channel.
    Std(std::sync::mpsc::SyncSender<u64>),
}

/// Closes a ring that cannot be closed itself: consumers look here when it is empty.
pub struct EndOnDrop(Arc<AtomicBool>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A receiving end.
pub enum Receiving {
    /// Ours.
    Mq(quorate_mq::Receiver<u64>),
    /// Crossbeam's channel.
    Crossbeam(crossbeam::channel::Receiver<u64>),
    /// Crossbeam's ring, and whether its senders are gone.
    Array(Arc<ArrayQueue<u64>>, Arc<AtomicBool>),
    /// Std's channel.
    Std(std::sync::mpsc::Receiver<u64>),
}

impl Sending {
    /// Sends `items` one at a time.
    ///
    /// # Panics
    /// If the receivers are gone, which the loops here never let happen.
    pub fn send_all(&self, items: impl Iterator<Item = u64>) {
        const OPEN: &str = "receivers outlive the senders";
        match self {
            Self::Mq(sender) => items.for_each(|item| sender.send(item).expect(OPEN)),
            Self::Crossbeam(sender) => items.for_each(|item| sender.send(item).expect(OPEN)),
            Self::Std(sender) => items.for_each(|item| sender.send(item).expect(OPEN)),
            Self::Array(queue, _) => items.for_each(|item| {
                let backoff = Backoff::new();
                let mut unsent = item;
                while let Err(item) = queue.push(unsent) {
                    unsent = item;
                    backoff.snooze();
                }
            }),
        }
    }

    /// Sends `items` in batches where the queue can, one at a time where not.
    ///
    /// # Panics
    /// As [`Sending::send_all`].
    pub fn send_batches(&self, items: impl Iterator<Item = u64>) {
        let Self::Mq(sender) = self else { return self.send_all(items) };
        let mut batch = Vec::with_capacity(BATCH);
        let mut items = items.fuse();
        loop {
            batch.extend(items.by_ref().take(BATCH));
            if batch.is_empty() {
                return;
            }
            sender.send_batch(&mut batch).expect("receivers outlive the senders");
        }
    }
}

impl Receiving {
    /// Another receiving end of the same queue; `None` where there can be only one.
    #[must_use]
    pub fn another(&self) -> Option<Self> {
        match self {
            Self::Mq(receiver) => Some(Self::Mq(receiver.clone())),
            Self::Crossbeam(receiver) => Some(Self::Crossbeam(receiver.clone())),
            Self::Array(queue, ended) => Some(Self::Array(queue.clone(), ended.clone())),
            Self::Std(_) => None,
        }
    }

    /// Waits for one item; `None` when all senders are gone and nothing is left.
    #[must_use]
    pub fn receive(&self) -> Option<u64> {
        match self {
            Self::Mq(receiver) => receiver.recv().ok(),
            Self::Crossbeam(receiver) => receiver.recv().ok(),
            Self::Std(receiver) => receiver.recv().ok(),
            Self::Array(queue, ended) => {
                let backoff = Backoff::new();
                loop {
                    // What was sent before the end is seen by the look after it.
                    let last_look = ended.load(Ordering::Acquire);
                    match queue.pop() {
                        None if last_look => return None,
                        None => backoff.snooze(),
                        item => return item,
                    }
                }
            }
        }
    }

    /// Receives until the senders are gone, one item at a time.
    #[must_use]
    pub fn receive_all(&self) -> Received {
        let mut received = Received::default();
        while let Some(item) = self.receive() {
            received.take(item);
        }
        received
    }

    /// Receives until the senders are gone, in batches where the queue can.
    #[must_use]
    pub fn receive_batches(&self) -> Received {
        let Self::Mq(receiver) = self else { return self.receive_all() };
        let mut received = Received::default();
        let mut batch = Vec::with_capacity(BATCH);
        while receiver.recv_batch(&mut batch, BATCH).is_ok() {
            batch.drain(..).for_each(|item| received.take(item));
        }
        received
    }
}

/// What consumers received, in sums that notice a lost and a doubled item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    count: u64,
    sum: u64,
    squares: u64,
}

impl Received {
    #[inline]
    fn take(&mut self, item: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(item);
        self.squares = self.squares.wrapping_add(item.wrapping_mul(item));
    }

    /// What the numbers `0..count` add up to.
    #[must_use]
    pub fn of_range(count: u64) -> Self {
        let mut received = Self::default();
        (0..count).for_each(|item| received.take(item));
        received
    }

    fn with(mut self, other: Self) -> Self {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.squares = self.squares.wrapping_add(other.squares);
        self
    }
}

/// Moves `0..items` through `queue` and returns the time and what arrived.
///
/// # Errors
/// When the queue cannot be opened.
pub fn stream(
    queue: Queue,
    (producers, consumers): (u64, u64),
    items: u64,
    batches: bool,
) -> Result<(Duration, Received), BenchError> {
    let (sending, receiving) = queue.open()?;
    let mut receivers = vec![receiving];
    for _ in 1..consumers {
        receivers.extend(receivers[0].another());
    }
    let start = Instant::now();
    let received = std::thread::scope(|scope| {
        for producer in 0..producers {
            let sending = sending.clone();
            let range = producer * items / producers..(producer + 1) * items / producers;
            scope.spawn(move || {
                if batches { sending.send_batches(range) } else { sending.send_all(range) }
            });
        }
        // The producers' ends are the last ones: consumers stop when those are done.
        drop(sending);
        let consumers: Vec<_> = receivers
            .into_iter()
            .map(|receiver| {
                scope.spawn(move || {
                    if batches { receiver.receive_batches() } else { receiver.receive_all() }
                })
            })
            .collect();
        let joined = consumers
            .into_iter()
            .map(|consumer| consumer.join().expect("a consumer does not panic"));
        joined.fold(Received::default(), Received::with)
    });
    Ok((start.elapsed(), received))
}

/// Half of the mean round trip between two threads through two queues.
///
/// # Errors
/// When the queues cannot be opened.
pub fn hand_over(queue: Queue, rounds: u64) -> Result<Duration, BenchError> {
    let ((ping, pinged), (pong, ponged)) = (queue.open()?, queue.open()?);
    let elapsed = std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Some(item) = pinged.receive() {
                pong.send_all(std::iter::once(item));
            }
        });
        let start = Instant::now();
        for round in 0..rounds {
            ping.send_all(std::iter::once(round));
            assert_eq!(ponged.receive(), Some(round), "what was sent comes back");
        }
        let elapsed = start.elapsed();
        drop(ping);
        elapsed
    });
    Ok(elapsed / (2 * rounds) as u32)
}

fn measure(queue: Queue, threads: (u64, u64), items: u64, batches: bool) -> Outcome {
    Cores::allowed().bind();
    let (elapsed, received) = match stream(queue, threads, items, batches) {
        Ok(done) => done,
        Err(error) => return Outcome::failed(&error),
    };
    let mut values = BTreeMap::from([(Metric::Rate, items as f64 / elapsed.as_secs_f64())]);
    if threads == (1, 1) && !batches {
        match hand_over(queue, items / 100) {
            Ok(time) => values.insert(Metric::HandOver, time.as_secs_f64() * 1e9),
            Err(error) => return Outcome::failed(&error),
        };
    }
    let expected = Received::of_range(items);
    let proof = if received == expected {
        Proof::Verified
    } else {
        Proof::Failed(format!("{} of {items} items arrived, or not the same", received.count))
    };
    Outcome { values, proof }
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let items = if effort.quick { 400_000 } else { 4_000_000 };
    let shapes: &[(u64, u64)] =
        if effort.quick { &[(1, 1), (2, 2)] } else { &[(1, 1), (1, 4), (4, 1), (2, 2), (4, 4)] };
    let mut trials = Vec::new();
    for threads in shapes {
        for queue in QUEUES {
            for (variant, batches) in [("single", false), ("batches of 64", true)] {
                let one_consumer_only = queue == Queue::Std && threads.1 > 1;
                if one_consumer_only || (batches && queue != Queue::Mq) {
                    continue;
                }
                let case = format!("{}p{}c", threads.0, threads.1);
                let cell = Cell::new(EXPERIMENT.name, queue.name(), variant, &case);
                let threads = *threads;
                let measure = Box::new(move |_| measure(queue, threads, items, batches));
                trials.push(Trial { cell, measure });
            }
        }
    }
    let settings = [
        ("capacity", format!("{CAPACITY} items")),
        ("items", format!("{items} in each repetition")),
        ("threads", "not bound to cores".into()),
    ];
    Ok(Plan {
        trials,
        repetitions: if effort.quick { 3 } else { 15 },
        measured: Duration::ZERO,
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_arrives_once_through_every_queue_and_mode() {
        for queue in QUEUES {
            for threads in [(1, 1), (3, 1), (2, 3)] {
                for batches in [false, true] {
                    let (_, received) = stream(queue, threads, 5_000, batches).unwrap();
                    assert_eq!(received, Received::of_range(5_000), "{queue:?} {threads:?}");
                }
            }
            assert!(hand_over(queue, 50).unwrap() > Duration::ZERO);
        }
    }

    #[test]
    fn a_lost_and_a_doubled_item_do_not_cancel_out() {
        let expected = Received::of_range(10);
        let mut wrong = Received::default();
        (0..10).map(|item| if item == 3 { 4 } else { item }).for_each(|item| wrong.take(item));
        assert_ne!(wrong, expected);
        let mut cancelling = Received::default();
        // One and four lost, two and three doubled: count and sum agree, squares do not.
        [0, 2, 2, 3, 3, 5, 6, 7, 8, 9].into_iter().for_each(|item| cancelling.take(item));
        assert_ne!(cancelling, expected);
    }

    #[test]
    fn peers_are_named_with_their_versions() {
        assert_eq!(peers().len(), 2);
        assert!(peers().values().all(|version| version.contains('.')));
    }
}
