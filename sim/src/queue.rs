//! Events in virtual time: earliest first, and in the order of their making where times are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A queue of events. Pushing and popping cost O(log n); an event moves once, whatever its size.
#[derive(Debug)]
pub(crate) struct EventQueue<E> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    made: u64,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), made: 0 }
    }
}

impl<E> EventQueue<E> {
    /// Schedules `event` at `at_ns`.
    ///
    /// # Panics
    /// If four billion events wait at once.
    pub(crate) fn push(&mut self, at_ns: u64, event: E) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            u32::try_from(self.events.len() - 1).expect("fewer than four billion events wait")
        });
        self.events[place as usize] = Some(event);
        self.heap.push(Reverse((at_ns, self.made, place)));
        self.made += 1;
    }

    /// When the next event happens.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at_ns, _, _))| *at_ns)
    }

    /// Takes the next event with its time.
    ///
    /// # Panics
    /// Never: every place in the heap holds an event.
    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        let Reverse((at_ns, _, place)) = self.heap.pop()?;
        self.free.push(place);
        let event = self.events[place as usize].take().expect("a scheduled place holds an event");
        Some((at_ns, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_the_order_of_their_making() {
        let mut queue = EventQueue::default();
        for (at, event) in [(5, "c"), (1, "a"), (5, "d"), (1, "b")] {
            queue.push(at, event);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, "a"), (1, "b"), (5, "c"), (5, "d")]);
        queue.push(0, "again");
        assert_eq!(queue.pop(), Some((0, "again")));
        assert_eq!(queue.pop(), None);
    }
}
