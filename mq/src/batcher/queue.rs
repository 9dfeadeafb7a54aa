//! A bounded queue of items in front of a [`Batcher`].
//!
//! What always holds: items leave in the order in which they came, each once, in batches that
//! keep the policy's limits; at most `waiting_max` items are held.
//! Left to others: what a batch is made into.

use std::collections::VecDeque;

use super::{BatchPolicy, BatchSize, Batcher, Decision};

#[derive(Debug, Clone)]
struct Waiting<T> {
    item: T,
    bytes: usize,
    came_at: u64,
}

/// Holds items until their batch leaves.
///
/// ```
/// use quorate_mq::batcher::{BatchPolicy, BatchQueue};
///
/// let mut queue = BatchQueue::new(BatchPolicy::adaptive().with_count_max(2)?, 100);
/// for item in ["a", "b", "c"] {
///     queue.push(0, item, item.len()).unwrap();
/// }
/// let mut batch = Vec::new();
/// queue.take(0, &mut batch).unwrap();
/// assert_eq!(batch, ["a", "b"]);
/// # Ok::<(), quorate_mq::batcher::PolicyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchQueue<T> {
    batcher: Batcher,
    /// The items of the open batch, then those that do not fit into it.
    waiting: VecDeque<Waiting<T>>,
    waiting_max: usize,
}

impl<T> BatchQueue<T> {
    /// A queue that holds at most `waiting_max` items (at least one).
    pub fn new(policy: BatchPolicy, waiting_max: usize) -> Self {
        Self {
            batcher: Batcher::new(policy),
            waiting: VecDeque::new(),
            waiting_max: waiting_max.max(1),
        }
    }

    /// Adds an item of `bytes` that came at `now`.
    ///
    /// # Errors
    /// The item, when `waiting_max` are held: take or complete batches first.
    pub fn push(&mut self, now: u64, item: T, bytes: usize) -> Result<(), T> {
        if self.waiting.len() >= self.waiting_max {
            return Err(item);
        }
        let all_open = self.batcher.open().count == self.waiting.len();
        self.waiting.push_back(Waiting { item, bytes, came_at: now });
        if all_open {
            // A refusal marks the open batch as complete, which is what `take` acts on.
            let _ = self.batcher.add(now, bytes);
        }
        Ok(())
    }

    /// Appends the next batch to `out` if it should leave by `now`, and says how large it is;
    /// report that to [`BatchQueue::completed`] later. Call again until `None`.
    pub fn take(&mut self, now: u64, out: &mut Vec<T>) -> Option<BatchSize> {
        if self.batcher.poll(now) != Decision::Cut {
            return None;
        }
        let size = self.batcher.cut();
        out.extend(self.waiting.drain(..size.count).map(|waiting| waiting.item));
        for next in &self.waiting {
            if self.batcher.add(next.came_at, next.bytes) == Decision::Full {
                break;
            }
        }
        Some(size)
    }

    /// A batch of `bytes` is not in flight any more; a [`BatchQueue::take`] may succeed now.
    ///
    /// # Panics
    /// As [`Batcher::completed`].
    pub fn completed(&mut self, bytes: usize) {
        self.batcher.completed(bytes);
    }

    /// When to call [`BatchQueue::take`] though nothing else happens.
    pub fn deadline(&self) -> Option<u64> {
        self.batcher.deadline()
    }

    /// Items held.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no item is held.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The decisions behind the queue.
    pub fn batcher(&self) -> &Batcher {
        &self.batcher
    }

    /// Gives up what is in flight and hands out what is held, for instance when a leadership
    /// ends.
    pub fn abandon(&mut self) -> impl Iterator<Item = T> + '_ {
        self.batcher = Batcher::new(*self.batcher.policy());
        self.waiting.drain(..).map(|waiting| waiting.item)
    }
}
