//! Balancers of requests over equivalent workers.
//!
//! What always holds: a choice follows from the calls before it and the seed; no clock, no global
//! randomness. A balancer belongs to one router; routers do not share it.
//! Left to others: taking a worker out of service.
//!
//! Those that count what is outstanding adapt to workers of different speed by themselves; round
//! robin sends a slow worker as much as a fast one and is unstable once it cannot keep up.

use super::{Balancer, PartitionError, check_count, mix, scale};

/// Takes the workers in turn: even in number, blind to how long requests take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoundRobin {
    worker_count: usize,
    next: usize,
}

impl RoundRobin {
    /// Starts with worker 0.
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or too many.
    pub fn new(worker_count: usize) -> Result<Self, PartitionError> {
        check_count(worker_count)?;
        Ok(Self { worker_count, next: 0 })
    }
}

impl Balancer for RoundRobin {
    fn pick(&mut self) -> usize {
        let worker = self.next;
        self.next = (worker + 1) % self.worker_count;
        worker
    }

    fn completed(&mut self, _worker: usize) {}

    fn worker_count(&self) -> usize {
        self.worker_count
    }
}

/// Requests outstanding with each worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Outstanding(Vec<u64>);

impl Outstanding {
    fn new(worker_count: usize) -> Result<Self, PartitionError> {
        check_count(worker_count)?;
        Ok(Self(vec![0; worker_count]))
    }

    fn completed(&mut self, worker: usize) {
        assert!(self.0[worker] > 0, "worker {worker} has a request outstanding");
        self.0[worker] -= 1;
    }
}

/// Takes the worker with the fewest requests outstanding; ties go round. Takes time in the number
/// of workers.
///
/// ```
/// use quorate_mq::partition::{Balancer, LeastOutstanding};
///
/// let mut balancer = LeastOutstanding::new(2)?;
/// let (first, second) = (balancer.pick(), balancer.pick());
/// assert_ne!(first, second);
/// balancer.completed(second);
/// assert_eq!(balancer.pick(), second);
/// # Ok::<(), quorate_mq::partition::PartitionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeastOutstanding {
    outstanding: Outstanding,
    /// Where the search begins, so that equals take turns.
    start: usize,
}

impl LeastOutstanding {
    /// Nothing outstanding.
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or too many.
    pub fn new(worker_count: usize) -> Result<Self, PartitionError> {
        Ok(Self { outstanding: Outstanding::new(worker_count)?, start: 0 })
    }

    /// Requests that a worker has not answered.
    pub fn outstanding(&self, worker: usize) -> u64 {
        self.outstanding.0[worker]
    }
}

impl Balancer for LeastOutstanding {
    fn pick(&mut self) -> usize {
        let count = self.worker_count();
        let worker = (0..count)
            .map(|step| (self.start + step) % count)
            .min_by_key(|worker| self.outstanding.0[*worker])
            .expect("there is at least one worker");
        self.start = (worker + 1) % count;
        self.outstanding.0[worker] += 1;
        worker
    }

    fn completed(&mut self, worker: usize) {
        self.outstanding.completed(worker);
    }

    fn worker_count(&self) -> usize {
        self.outstanding.0.len()
    }
}

/// Draws two workers and takes the one with fewer requests outstanding: nearly as even as
/// [`LeastOutstanding`], in constant time, and without the herd when several routers balance with
/// figures that are a little old (Mitzenmacher, "The Power of Two Choices", 2001).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PowerOfTwo {
    outstanding: Outstanding,
    seed: u64,
    draws: u64,
}

impl PowerOfTwo {
    /// Nothing outstanding; the draws follow from `seed`.
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or too many.
    pub fn new(worker_count: usize, seed: u64) -> Result<Self, PartitionError> {
        Ok(Self { outstanding: Outstanding::new(worker_count)?, seed, draws: 0 })
    }

    /// Requests that a worker has not answered.
    pub fn outstanding(&self, worker: usize) -> u64 {
        self.outstanding.0[worker]
    }

    fn draw(&mut self, count: usize) -> usize {
        self.draws += 1;
        scale(mix(self.seed, self.draws, 0), count)
    }
}

impl Balancer for PowerOfTwo {
    fn pick(&mut self) -> usize {
        let count = self.worker_count();
        let first = self.draw(count);
        let second = if count > 1 {
            // One of the others, each as likely.
            (first + 1 + self.draw(count - 1)) % count
        } else {
            first
        };
        let outstanding = &mut self.outstanding.0;
        let worker = if outstanding[second] < outstanding[first] { second } else { first };
        outstanding[worker] += 1;
        worker
    }

    fn completed(&mut self, worker: usize) {
        self.outstanding.completed(worker);
    }

    fn worker_count(&self) -> usize {
        self.outstanding.0.len()
    }
}
