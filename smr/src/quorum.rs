//! Replica sets, quorum rules, and certificates that count *distinct* replicas.
//!
//! Counting messages where distinct replicas must be counted is the most common defect in
//! published consensus code. Here it cannot be written: a [`Quorum`] holds one bit for each
//! replica, and a [`Certificate`] comes only out of a full quorum. A certificate that arrived from
//! a peer is rebuilt through the same door: verify each vote, cast it, take the certificate.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ReplicaId;

/// The largest number of replicas in a group.
pub const REPLICAS_MAX: usize = 128;

/// A set of replicas, as a bitmap over their indices.
///
/// Two words instead of one `u128`: that would align every message and effect to 16 bytes. The order
/// is that of the words, for ordered maps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ReplicaSet([u64; 2]);

impl ReplicaSet {
    /// The empty set.
    pub const EMPTY: Self = Self([0; 2]);

    /// The replicas `0..count`.
    ///
    /// # Panics
    /// If `count` exceeds [`REPLICAS_MAX`].
    #[must_use]
    pub const fn first(count: usize) -> Self {
        assert!(count <= REPLICAS_MAX, "at most REPLICAS_MAX replicas");
        if count == REPLICAS_MAX {
            return Self([u64::MAX; 2]);
        }
        let bits: u128 = (1 << count) - 1;
        Self([bits as u64, (bits >> 64) as u64])
    }

    /// The set with `replica` alone.
    #[must_use]
    pub fn only(replica: ReplicaId) -> Self {
        let mut set = Self::EMPTY;
        set.insert(replica);
        set
    }

    /// Adds `replica`; false when it was there already or is beyond [`REPLICAS_MAX`].
    pub const fn insert(&mut self, replica: ReplicaId) -> bool {
        if replica.0 as usize >= REPLICAS_MAX || self.contains(replica) {
            return false;
        }
        self.0[replica.0 as usize / 64] |= 1 << (replica.0 % 64);
        true
    }

    /// Removes `replica`; false when it was not there.
    pub const fn remove(&mut self, replica: ReplicaId) -> bool {
        let had = self.contains(replica);
        if had {
            self.0[replica.0 as usize / 64] &= !(1 << (replica.0 % 64));
        }
        had
    }

    /// Whether `replica` is in the set.
    #[must_use]
    pub const fn contains(self, replica: ReplicaId) -> bool {
        (replica.0 as usize) < REPLICAS_MAX
            && self.0[replica.0 as usize / 64] & (1 << (replica.0 % 64)) != 0
    }

    /// How many replicas are in the set.
    #[must_use]
    pub const fn len(self) -> usize {
        (self.0[0].count_ones() + self.0[1].count_ones()) as usize
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0[0] == 0 && self.0[1] == 0
    }

    /// The replicas in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// The replicas of this set that are not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self([self.0[0] & !other.0[0], self.0[1] & !other.0[1]])
    }

    /// The replicas in ascending order.
    pub fn iter(self) -> impl Iterator<Item = ReplicaId> {
        let [mut low, mut high] = self.0;
        std::iter::from_fn(move || {
            let (word, base) = if low != 0 { (&mut low, 0) } else { (&mut high, 64) };
            if *word == 0 {
                return None;
            }
            let index = word.trailing_zeros();
            *word &= *word - 1;
            Some(ReplicaId((index + base) as u8))
        })
    }
}

impl FromIterator<ReplicaId> for ReplicaSet {
    fn from_iter<I: IntoIterator<Item = ReplicaId>>(replicas: I) -> Self {
        let mut set = Self::EMPTY;
        for replica in replicas {
            set.insert(replica);
        }
        set
    }
}

impl fmt::Debug for ReplicaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why a quorum rule or a membership was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// A group needs at least one replica and at most [`REPLICAS_MAX`].
    #[error("{0} replicas given; a group has 1 to {REPLICAS_MAX}")]
    ReplicaCount(usize),
    /// Quorums of the two phases must intersect (Flexible Paxos §2).
    #[error(
        "quorums of {phase1} and {phase2} out of {replicas} do not intersect; their sum must exceed it"
    )]
    NoIntersection {
        /// Size of a phase 1 (election) quorum.
        phase1: usize,
        /// Size of a phase 2 (replication) quorum.
        phase2: usize,
        /// Group size.
        replicas: usize,
    },
    /// Byzantine agreement needs `3f + 1` replicas for some `f >= 1`.
    #[error("{0} replicas tolerate no Byzantine fault; use at least 4 (3f+1)")]
    TooFewForByzantine(usize),
}

/// Which numbers of distinct replicas decide, in a group of fixed members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QuorumRule {
    members: ReplicaSet,
    phase1: u8,
    phase2: u8,
    faults: u8,
}

impl QuorumRule {
    /// Majorities for both phases, over `members`.
    ///
    /// # Errors
    /// [`QuorumError::ReplicaCount`] when there are no members.
    pub fn majority(members: ReplicaSet) -> Result<Self, QuorumError> {
        let size = members.len() / 2 + 1;
        Self::flexible(members, size, size)
    }

    /// Distinct sizes for elections (phase 1) and replication (phase 2); Howard et al., *Flexible
    /// Paxos*, 2016.
    ///
    /// # Errors
    /// When the sizes do not intersect or there are no members.
    pub fn flexible(
        members: ReplicaSet,
        phase1: usize,
        phase2: usize,
    ) -> Result<Self, QuorumError> {
        let replicas = members.len();
        if replicas == 0 {
            return Err(QuorumError::ReplicaCount(0));
        }
        let in_range = |size: usize| size >= 1 && size <= replicas;
        if phase1 + phase2 <= replicas || !in_range(phase1) || !in_range(phase2) {
            return Err(QuorumError::NoIntersection { phase1, phase2, replicas });
        }
        let faults = replicas - phase1.max(phase2);
        Ok(Self { members, phase1: phase1 as u8, phase2: phase2 as u8, faults: faults as u8 })
    }

    /// `2f + 1` of `3f + 1` for both phases (for other sizes, the smallest quorum of which two
    /// share an honest replica); Castro and Liskov, *PBFT*, 1999, §3.
    ///
    /// # Errors
    /// When there are fewer than four members.
    pub fn byzantine(members: ReplicaSet) -> Result<Self, QuorumError> {
        let replicas = members.len();
        if replicas < 4 {
            return Err(QuorumError::TooFewForByzantine(replicas));
        }
        let faults = (replicas - 1) / 3;
        let size = (replicas + faults + 2) / 2;
        Ok(Self { members, phase1: size as u8, phase2: size as u8, faults: faults as u8 })
    }

    /// The members that may vote.
    #[must_use]
    pub const fn members(&self) -> ReplicaSet {
        self.members
    }

    /// How many replicas the group has.
    #[must_use]
    pub const fn replicas(&self) -> usize {
        self.members.len()
    }

    /// Distinct votes that elect (Paxos phase 1, Raft vote, PBFT view change).
    #[must_use]
    pub const fn phase1(&self) -> usize {
        self.phase1 as usize
    }

    /// Distinct votes that decide (Paxos phase 2, Raft append, PBFT prepare and commit).
    #[must_use]
    pub const fn phase2(&self) -> usize {
        self.phase2 as usize
    }

    /// How many faulty replicas the rule tolerates (`f`).
    #[must_use]
    pub const fn faults(&self) -> usize {
        self.faults as usize
    }

    /// Distinct replicas of which at least one is honest: `f + 1`.
    #[must_use]
    pub const fn weak(&self) -> usize {
        self.faults as usize + 1
    }
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vote {
    /// Counted for the first time.
    Counted,
    /// This replica had voted for this value already; not counted again.
    Duplicate,
    /// The voter is not a member; not counted.
    Stranger,
}

/// Votes of distinct members for one value, towards a fixed number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quorum<V> {
    value: V,
    members: ReplicaSet,
    voters: ReplicaSet,
    needed: u8,
}

impl<V> Quorum<V> {
    /// Opens a vote on `value` that `needed` distinct `members` decide.
    ///
    /// # Panics
    /// If `needed` is zero or more than there are members: such a quorum would be a defect.
    #[must_use]
    pub fn new(value: V, members: ReplicaSet, needed: usize) -> Self {
        assert!(needed >= 1 && needed <= members.len(), "a quorum of 1..=members");
        Self { value, members, voters: ReplicaSet::EMPTY, needed: needed as u8 }
    }

    /// Counts `voter` once.
    pub const fn vote(&mut self, voter: ReplicaId) -> Vote {
        if !self.members.contains(voter) {
            Vote::Stranger
        } else if self.voters.insert(voter) {
            Vote::Counted
        } else {
            Vote::Duplicate
        }
    }

    /// The value voted on.
    #[must_use]
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// Who voted so far.
    #[must_use]
    pub const fn voters(&self) -> ReplicaSet {
        self.voters
    }

    /// Whether enough distinct members voted.
    #[must_use]
    pub const fn is_reached(&self) -> bool {
        self.voters.len() >= self.needed as usize
    }

    /// The proof that enough distinct members voted, once they have.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate<V>>
    where
        V: Clone,
    {
        self.is_reached().then(|| Certificate { value: self.value.clone(), voters: self.voters })
    }
}

/// Proof that a quorum of distinct members voted for `value`. Only [`Quorum::certificate`] makes
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate<V> {
    value: V,
    voters: ReplicaSet,
}

impl<V> Certificate<V> {
    /// What was certified.
    #[must_use]
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// Who certified it.
    #[must_use]
    pub const fn voters(&self) -> ReplicaSet {
        self.voters
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_replica_counts_once_however_often_it_votes() {
        let mut quorum = Quorum::new("v", ReplicaSet::first(4), 3);
        for _ in 0..10 {
            quorum.vote(ReplicaId(1));
        }
        assert_eq!(quorum.vote(ReplicaId(1)), Vote::Duplicate);
        assert!(quorum.certificate().is_none());
        assert_eq!(quorum.vote(ReplicaId(9)), Vote::Stranger);
        quorum.vote(ReplicaId(0));
        quorum.vote(ReplicaId(3));
        let certificate = quorum.certificate().expect("three distinct members voted");
        assert_eq!(certificate.voters().len(), 3);
    }

    #[test]
    fn rules_refuse_what_cannot_be_safe() {
        assert_eq!(QuorumRule::majority(ReplicaSet::EMPTY), Err(QuorumError::ReplicaCount(0)));
        assert!(QuorumRule::flexible(ReplicaSet::first(5), 2, 3).is_err());
        assert!(QuorumRule::flexible(ReplicaSet::first(5), 4, 2).is_ok());
        assert!(QuorumRule::byzantine(ReplicaSet::first(3)).is_err());
    }

    #[test]
    fn byzantine_quorums_are_2f_plus_1_of_3f_plus_1() {
        for faults in 1..=10 {
            let rule = QuorumRule::byzantine(ReplicaSet::first(3 * faults + 1)).unwrap();
            assert_eq!(
                (rule.phase2(), rule.faults(), rule.weak()),
                (2 * faults + 1, faults, faults + 1)
            );
        }
    }

    proptest! {
        #[test]
        fn two_byzantine_quorums_share_an_honest_replica(replicas in 4usize..=REPLICAS_MAX) {
            let rule = QuorumRule::byzantine(ReplicaSet::first(replicas)).unwrap();
            prop_assert!(2 * rule.phase2() > replicas + rule.faults());
            prop_assert!(rule.phase2() + rule.faults() <= replicas, "a quorum of honest replicas exists");
        }

        /// Of two quorums of different phases, however they are chosen, some member is in both; and
        /// sizes for which two could miss each other are refused.
        #[test]
        fn quorums_of_the_two_phases_intersect(
            (order1, order2) in (1usize..=9).prop_flat_map(|replicas| {
                let order: Vec<u8> = (0..replicas as u8).collect();
                (Just(order.clone()).prop_shuffle(), Just(order).prop_shuffle())
            }),
            phase1 in 1usize..=9,
            phase2 in 1usize..=9,
        ) {
            let members = ReplicaSet::first(order1.len());
            let of = |order: &[u8], size: usize| -> ReplicaSet {
                order.iter().take(size).map(|id| ReplicaId(*id)).collect()
            };
            for rule in [QuorumRule::majority(members), QuorumRule::flexible(members, phase1, phase2)] {
                let Ok(rule) = rule else { continue };
                let one = of(&order1, rule.phase1());
                prop_assert!(!one.intersection(of(&order2, rule.phase2())).is_empty());
            }
            let disjoint = phase1 + phase2 <= members.len();
            let refused = QuorumRule::flexible(members, phase1, phase2).is_err();
            prop_assert!(refused || !disjoint);
        }

        #[test]
        fn a_set_lists_what_was_inserted(ids in proptest::collection::btree_set(0u8..128, 0..40)) {
            let set: ReplicaSet = ids.iter().map(|id| ReplicaId(*id)).collect();
            prop_assert_eq!(set.len(), ids.len());
            prop_assert!(set.iter().map(|id| id.0).eq(ids.iter().copied()));
        }
    }
}
