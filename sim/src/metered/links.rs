//! Links in virtual time: each host's own link has a bandwidth, each pair of places a distance.

use super::plan::Plan;
use crate::dice::Dice;

/// The network of a metered run.
pub(super) struct Links {
    byte_ps: u64,
    one_way_ns: Vec<Vec<u64>>,
    jitter_ns: u64,
    dice: Dice,
    /// When each host's link is free, in picoseconds.
    free_at_ps: Vec<u64>,
    /// When the last message of each ordered pair of hosts arrived.
    arrived_ns: Vec<u64>,
    hosts: Vec<usize>,
}

impl Links {
    pub(super) fn new(plan: &Plan, dice: Dice) -> Self {
        let count = plan.hosts.len();
        Self {
            byte_ps: plan.byte_ps,
            one_way_ns: plan.distances.one_way_ns.clone(),
            jitter_ns: plan.distances.jitter_ns,
            dice,
            free_at_ps: vec![0; count],
            arrived_ns: vec![0; count * count],
            hosts: plan.hosts.clone(),
        }
    }

    /// When `bytes` that are ready at `ready_ps` have left the link of `from`, in picoseconds.
    fn leave(&mut self, from: usize, ready_ps: u64, bytes: usize) -> u64 {
        if self.byte_ps == 0 {
            return ready_ps;
        }
        let free_at = &mut self.free_at_ps[from];
        *free_at = (*free_at).max(ready_ps) + self.byte_ps * bytes as u64;
        *free_at
    }

    fn jitter(&mut self) -> u64 {
        if self.jitter_ns == 0 { 0 } else { self.dice.below(self.jitter_ns) }
    }

    /// When a message from host to host arrives, in nanoseconds.
    pub(super) fn peer(&mut self, (from, to): (usize, usize), ready_ps: u64, bytes: usize) -> u64 {
        let left_ns = self.leave(from, ready_ps, bytes).div_ceil(1000);
        let way = self.one_way_ns[self.hosts[from]][self.hosts[to]] + self.jitter();
        let last = &mut self.arrived_ns[from * self.hosts.len() + to];
        *last = (*last).max(left_ns + way);
        *last
    }

    /// When an answer of `from` is at a client in `place`.
    pub(super) fn answer(&mut self, from: usize, place: usize, ready_ps: u64, bytes: usize) -> u64 {
        let left_ns = self.leave(from, ready_ps, bytes).div_ceil(1000);
        left_ns + self.one_way_ns[self.hosts[from]][place] + self.jitter()
    }

    /// When a request from a client in `place` is at host `to`. Clients' links have no limit.
    pub(super) fn request(&mut self, place: usize, to: usize, now_ns: u64) -> u64 {
        now_ns + self.one_way_ns[place][self.hosts[to]] + self.jitter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_sends_one_message_after_the_other_and_distance_adds_to_it() {
        let mut plan = Plan::new(3, 2_000, 1);
        plan.byte_ps = 10_000;
        let mut links = Links::new(&plan, Dice::new(1, 0));
        assert_eq!(links.peer((0, 1), 0, 100), 2_000, "1 µs on the link, 1 µs on the way");
        assert_eq!(links.peer((0, 2), 0, 100), 3_000, "the second copy waits for the first");
        assert_eq!(links.peer((1, 2), 0, 100), 2_000, "another host's link is its own");
    }

    #[test]
    fn jitter_does_not_change_the_order_of_a_link() {
        let mut plan = Plan::new(2, 1_000, 1);
        plan.distances.jitter_ns = 10_000;
        let mut links = Links::new(&plan, Dice::new(1, 0));
        let at: Vec<u64> = (0..100).map(|n| links.peer((0, 1), n * 1_000, 1)).collect();
        assert!(at.is_sorted());
        assert!(at.iter().any(|at| *at > 5_000));
    }
}
