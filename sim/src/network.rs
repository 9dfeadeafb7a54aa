//! The network between replicas: which messages arrive, when, and how often.
//!
//! Links are directed, so that every kind of partition is a set of cut links.

use quorate_smr::{ReplicaId, ReplicaSet};

use crate::dice::Dice;
use crate::fault::{FaultKind, Faults};
use crate::plan::NetworkPlan;

/// What becomes of one message: the delays after which copies arrive, at most two.
pub(crate) type Fate = [Option<u64>; 2];

/// The state of the links, and the dice that decide about messages.
#[derive(Debug)]
pub(crate) struct Network {
    plan: NetworkPlan,
    dice: Dice,
    /// For each sender, the receivers that it cannot reach.
    cut: Vec<ReplicaSet>,
    /// When each sender's link is free again.
    link_free_at: Vec<u64>,
    healed: bool,
}

impl Network {
    pub(crate) fn new(plan: NetworkPlan, replicas: usize, dice: Dice) -> Self {
        let cut = vec![ReplicaSet::EMPTY; replicas];
        Self { plan, dice, cut, link_free_at: vec![0; replicas], healed: false }
    }

    /// Whether messages travel as encoded frames.
    pub(crate) const fn frames(&self) -> bool {
        self.plan.frames
    }

    /// Whether the time of a message depends on its size.
    pub(crate) const fn has_bandwidth(&self) -> bool {
        self.plan.byte_ps > 0
    }

    /// Decides about one message of `bytes`.
    pub(crate) fn fate(
        &mut self,
        now_ns: u64,
        from: ReplicaId,
        to: ReplicaId,
        bytes: usize,
        faults: &mut Faults,
    ) -> Fate {
        if self.cut[usize::from(from.0)].contains(to) {
            faults.note(FaultKind::Cut);
            return [None, None];
        }
        let queueing = self.transmission(now_ns, from, bytes);
        if self.healed {
            return [Some(queueing + self.delay()), None];
        }
        if self.dice.chance(self.plan.loss_ppm) && faults.strikes(FaultKind::Loss) {
            return [None, None];
        }
        let mut delay = queueing + self.delay();
        if self.dice.chance(self.plan.reorder_ppm) && faults.strikes(FaultKind::Reorder) {
            delay += self.dice.below(self.plan.reorder_ns);
        }
        let twice = self.dice.chance(self.plan.duplicate_ppm);
        if !twice || !faults.strikes(FaultKind::Duplicate) {
            return [Some(delay), None];
        }
        let behind = self.delay() + self.dice.below(self.plan.reorder_ns / 4);
        [Some(delay), Some(delay + behind)]
    }

    /// Flips bits of `frame` in one message out of many; whether it did.
    pub(crate) fn corrupt(&mut self, frame: &mut [u8], faults: &mut Faults) -> bool {
        if self.healed || frame.is_empty() || !self.dice.chance(self.plan.corrupt_ppm) {
            return false;
        }
        if !faults.strikes(FaultKind::Corruption) {
            return false;
        }
        // A burst within four bytes: what CRC-32C promises to notice, whatever the frame's length.
        let start = self.dice.index(frame.len());
        let burst = (self.dice.word() as u32 | 1).to_le_bytes();
        for (byte, flips) in frame[start..].iter_mut().zip(burst) {
            *byte ^= flips;
        }
        true
    }

    fn delay(&mut self) -> u64 {
        let extra = match self.plan.delay_extra_ns {
            0 => 0,
            mean => self.dice.long_tail(mean),
        };
        self.plan.delay_min_ns + extra
    }

    /// How long the message waits for its sender's link, and takes to leave.
    fn transmission(&mut self, now_ns: u64, from: ReplicaId, bytes: usize) -> u64 {
        if self.plan.byte_ps == 0 {
            return 0;
        }
        let free_at = &mut self.link_free_at[usize::from(from.0)];
        *free_at = (*free_at).max(now_ns) + self.plan.byte_ps * bytes as u64 / 1000;
        *free_at - now_ns
    }

    /// Cuts the link from `from` to `to`, in this direction only.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut[from].insert(ReplicaId(to as u8));
    }

    /// Mends the link from `from` to `to`.
    pub(crate) fn mend_link(&mut self, from: usize, to: usize) {
        self.cut[from].remove(ReplicaId(to as u8));
    }

    /// Mends all links.
    pub(crate) fn mend(&mut self) {
        self.cut.fill(ReplicaSet::EMPTY);
    }

    /// Ends all faults, for good; long delays shrink.
    pub(crate) fn heal(&mut self) {
        self.mend();
        self.healed = true;
        self.plan.delay_extra_ns = self.plan.delay_extra_ns.min(5_000_000);
    }
}
