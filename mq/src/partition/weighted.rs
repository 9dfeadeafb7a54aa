//! Smooth weighted round robin: proportions that are exact, in an order that is not bursty.
//!
//! How it works (nginx, `ngx_http_upstream_get_peer`, 2012): each worker has a credit. At each
//! choice every credit grows by its worker's weight; the highest is chosen and pays the sum of all
//! weights. Weights 5, 1, 1 give `a a b a c a a`, not `a a a a a b c`.
//!
//! What always holds: in each period of as many choices as the weights' sum (by their greatest
//! common divisor), every worker is chosen exactly in proportion to its weight; credits add up to
//! zero.
//! Left to others: finding out what the weights should be.

use super::{Balancer, PartitionError, WEIGHT_MAX, check_count};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Worker {
    weight: i64,
    credit: i64,
}

/// Takes workers in proportion to their weights, spread out evenly. A choice takes time in the
/// number of workers.
///
/// ```
/// use quorate_mq::partition::{Balancer, SmoothWeighted};
///
/// let mut balancer = SmoothWeighted::new(&[5, 1, 1])?;
/// let picks: Vec<_> = (0..7).map(|_| balancer.pick()).collect();
/// assert_eq!(picks, [0, 0, 1, 0, 2, 0, 0]);
/// # Ok::<(), quorate_mq::partition::PartitionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SmoothWeighted {
    workers: Vec<Worker>,
    total: i64,
}

impl SmoothWeighted {
    /// A worker for each weight.
    ///
    /// # Errors
    /// [`PartitionError`] when there are none or too many, or a weight is out of its range.
    pub fn new(weights: &[u32]) -> Result<Self, PartitionError> {
        check_count(weights.len())?;
        if let Some(weight) = weights.iter().find(|weight| !(1..=WEIGHT_MAX).contains(*weight)) {
            return Err(PartitionError::Weight(*weight));
        }
        let weights = weights.iter().map(|weight| i64::from(*weight));
        let total = weights.clone().sum();
        Ok(Self { workers: weights.map(|weight| Worker { weight, credit: 0 }).collect(), total })
    }
}

impl Balancer for SmoothWeighted {
    fn pick(&mut self) -> usize {
        let mut best = 0;
        for index in 0..self.workers.len() {
            let worker = &mut self.workers[index];
            worker.credit += worker.weight;
            // Of equals the first.
            if worker.credit > self.workers[best].credit {
                best = index;
            }
        }
        self.workers[best].credit -= self.total;
        best
    }

    fn completed(&mut self, _worker: usize) {}

    fn worker_count(&self) -> usize {
        self.workers.len()
    }
}
