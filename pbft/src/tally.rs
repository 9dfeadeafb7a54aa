//! Votes of distinct replicas in one slot: each replica has one vote, its first.

use quorate_smr::{Digest, ReplicaId, ReplicaSet};

/// Who voted for what. Almost always all vote alike, and nothing is allocated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tally {
    value: Digest,
    voters: ReplicaSet,
    /// Those who voted for something else. At most one entry for each replica.
    dissent: Vec<(ReplicaId, Digest)>,
    /// Votes that came again: only the planted defect looks at them.
    #[cfg(feature = "planted-defects")]
    repeated: usize,
}

impl Tally {
    /// Counts the first vote of `voter`, a member; false when it voted before.
    pub(crate) fn vote(&mut self, voter: ReplicaId, value: Digest) -> bool {
        if self.voters.contains(voter) || self.dissent.iter().any(|(who, _)| *who == voter) {
            return false;
        }
        if self.voters.is_empty() {
            self.value = value;
        }
        if self.value == value {
            self.voters.insert(voter);
        } else {
            self.dissent.push((voter, value));
        }
        true
    }

    /// Who voted for `value`.
    pub(crate) fn voters(&self, value: Digest) -> ReplicaSet {
        if self.value == value {
            return self.voters;
        }
        self.dissent.iter().filter(|(_, voted)| *voted == value).map(|(who, _)| *who).collect()
    }

    /// The value for which `needed` distinct replicas voted.
    pub(crate) fn winner(&self, needed: usize) -> Option<Digest> {
        if self.voters.len() >= needed {
            return Some(self.value);
        }
        let wins = |value: &&(ReplicaId, Digest)| self.voters(value.1).len() >= needed;
        self.dissent.iter().find(wins).map(|(_, value)| *value)
    }

    /// Notes a repetition, for the planted defect only.
    #[cfg(feature = "planted-defects")]
    pub(crate) const fn repeat(&mut self) {
        self.repeated += 1;
    }

    /// Votes for `value` as the planted defect counts them.
    #[cfg(feature = "planted-defects")]
    pub(crate) fn messages(&self, value: Digest) -> usize {
        self.voters(value).len() + self.repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_votes_once_and_cannot_change_its_mind() {
        let (a, b) = (Digest([1; 32]), Digest([2; 32]));
        let mut tally = Tally::default();
        assert!(tally.vote(ReplicaId(0), a));
        for _ in 0..5 {
            assert!(!tally.vote(ReplicaId(0), a) && !tally.vote(ReplicaId(0), b));
        }
        assert_eq!((tally.voters(a).len(), tally.voters(b).len()), (1, 0));
    }

    #[test]
    fn a_liar_who_votes_first_does_not_hide_the_others() {
        let (good, bad) = (Digest([1; 32]), Digest([2; 32]));
        let mut tally = Tally::default();
        tally.vote(ReplicaId(3), bad);
        for honest in 0..3 {
            assert_eq!(tally.winner(3), None);
            tally.vote(ReplicaId(honest), good);
        }
        assert_eq!(tally.winner(3), Some(good));
        assert_eq!(tally.voters(bad), ReplicaSet::only(ReplicaId(3)));
    }
}
