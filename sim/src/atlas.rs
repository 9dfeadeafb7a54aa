//! The fault atlas: which replicas of a run may be lost for good, and how.
//!
//! After *VOPR*'s atlas (TigerBeetle): faults that pass (a crash, a pause, a partition) may befall
//! any number of replicas at once, but never more are *lost* than the protocol tolerates: Byzantine,
//! left down, or with a disk that is gone or lies. Whatever makes a replica faulty for good asks the
//! atlas first, so that the bound is kept in one place. When healed, such a cluster must serve.
//!
//! A few runs go beyond the bound on purpose, with replicas that stop (never with more that lie).
//! Such a cluster need not serve any more. It must stop safely: nothing that was acknowledged is
//! contradicted, and its replicas still agree.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::plan::{DiskFault, Plan};

/// The part of a run's randomness that decides whether to go beyond the bound.
const PART_BEYOND: u64 = 13;
/// Runs beyond the bound, in a million.
const BEYOND_PPM: u32 = 30_000;

/// Why a replica does not come back, or is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// It lies.
    Byzantine,
    /// It stays ill when the others are healed: slow, cut off, standing still.
    LeftIll,
    /// It stays down when the others are healed.
    LeftDown,
    /// Its disk is damaged, emptied or not its own: it is refused at its next start.
    DiskLost,
    /// Its disk forgets what it said was durable.
    LyingDisk,
}

/// Who is lost, within a bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Atlas {
    replicas: usize,
    tolerated: usize,
    lost: BTreeMap<u8, Loss>,
}

impl Atlas {
    /// Nobody is lost in a group of `replicas` that tolerates `tolerated` faults.
    #[must_use]
    pub const fn new(replicas: usize, tolerated: usize) -> Self {
        Self { replicas, tolerated, lost: BTreeMap::new() }
    }

    /// What `plan` does to such a group, whether or not that is within the bound.
    #[must_use]
    pub fn of_plan(plan: &Plan, replicas: usize, tolerated: usize) -> Self {
        let mut atlas = Self::new(replicas, tolerated);
        let byzantine = plan.byzantine.iter().map(|(replica, _)| (*replica, Loss::Byzantine));
        let down = plan.left_down.iter().map(|replica| (*replica, Loss::LeftDown));
        let losses = plan.durability.losses.iter().filter(|_| plan.durability.bytes);
        let disks = losses.map(|loss| match loss.fault {
            DiskFault::ForgetsTail => (loss.replica, Loss::LyingDisk),
            _ => (loss.replica, Loss::DiskLost),
        });
        let ill = plan.turbulence.left_ill.iter().map(|(replica, _)| (*replica, Loss::LeftIll));
        for (replica, loss) in byzantine.chain(down).chain(ill).chain(disks) {
            atlas.lost.entry(replica).or_insert(loss);
        }
        atlas
    }

    /// Replicas of the group.
    #[must_use]
    pub const fn replicas(&self) -> usize {
        self.replicas
    }

    /// Who is lost so far, in order.
    pub fn lost(&self) -> impl Iterator<Item = u8> {
        self.lost.keys().copied()
    }

    /// How many more may be lost.
    #[must_use]
    pub fn spare(&self) -> usize {
        self.tolerated.saturating_sub(self.lost.len())
    }

    /// Counts `replica` as lost; whether that was permitted. It is not when the bound is reached,
    /// or when the replica is lost already.
    pub fn lose(&mut self, replica: u8, loss: Loss) -> bool {
        if self.spare() == 0 || self.lost.contains_key(&replica) {
            return false;
        }
        self.lost.insert(replica, loss);
        true
    }

    /// Counts `replica` as lost because a script says so.
    pub(crate) fn lose_on_purpose(&mut self, replica: u8, loss: Loss) {
        self.lost.entry(replica).or_insert(loss);
    }

    /// How `replica` is lost, if it is.
    #[must_use]
    pub fn loss(&self, replica: u8) -> Option<Loss> {
        self.lost.get(&replica).copied()
    }

    /// Whether more are lost than the protocol tolerates.
    #[must_use]
    pub fn is_beyond(&self) -> bool {
        self.lost.len() > self.tolerated
    }

    /// Whether `lost` replicas are more than the protocol tolerates.
    #[must_use]
    pub const fn exceeds(&self, lost: usize) -> bool {
        lost > self.tolerated
    }

    /// Perhaps leaves more replicas down than the protocol tolerates; which.
    pub(crate) fn go_beyond(&mut self, seed: u64) -> Vec<u8> {
        let mut dice = Dice::new(seed, PART_BEYOND);
        let mut down = Vec::new();
        if !dice.chance(BEYOND_PPM) {
            return down;
        }
        let extra = dice.index(self.replicas - self.tolerated);
        let wanted = self.tolerated + 1 + extra;
        while self.lost.len() < wanted.min(self.replicas) {
            let replica = dice.index(self.replicas) as u8;
            if self.lost.insert(replica, Loss::LeftDown).is_none() {
                down.push(replica);
            }
        }
        down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_lost_beyond_the_bound_and_nobody_twice() {
        let mut atlas = Atlas::new(7, 2);
        assert!(atlas.lose(3, Loss::Byzantine));
        assert!(!atlas.lose(3, Loss::DiskLost), "lost already");
        assert!(atlas.lose(5, Loss::LeftDown));
        assert!(!atlas.lose(6, Loss::LeftDown), "the bound is reached");
        assert_eq!((atlas.loss(3), atlas.loss(6)), (Some(Loss::Byzantine), None));
        assert!(!atlas.is_beyond());
    }

    #[test]
    fn drawn_plans_keep_the_bound_but_for_the_few_that_stop_replicas_beyond_it() {
        let mut beyond = 0;
        for seed in 0..4_000 {
            let plan = Plan::swarm(seed, 7, 2, true);
            let atlas = Atlas::of_plan(&plan, 7, 2);
            let lying = atlas.lost.values();
            let lying = lying.filter(|loss| matches!(loss, Loss::Byzantine | Loss::LyingDisk));
            assert!(lying.count() <= 2, "seed {seed}: more lie than are tolerated");
            beyond += u32::from(atlas.is_beyond());
        }
        assert!((60..240).contains(&beyond), "{beyond} of 4,000 runs are beyond the bound");
    }

    #[test]
    fn every_loss_of_a_disk_is_drawn() {
        let plans = (0..2_000).map(|seed| Plan::swarm(seed, 4, 1, true));
        let drawn: std::collections::BTreeSet<_> = plans
            .flat_map(|plan| plan.durability.losses.into_iter().map(|loss| loss.fault))
            .collect();
        assert_eq!(drawn.len(), DiskFault::NOTICED.len() + 1);
    }
}
