//! Ballots: the numbers under which values are proposed.
//!
//! What always holds: two replicas never use the same ballot, and a replica never uses one twice
//! (it makes its own promise durable before it asks others for theirs). Rounds are dealt out among
//! the members as well, so a round alone names its ballot: an epoch has at most one leader.

use std::fmt;

use quorate_smr::{ReplicaId, ReplicaSet};
use serde::{Deserialize, Serialize};

/// The largest round that is ever used or believed. At an election each millisecond it lasts for
/// 8,900 years; anything above it comes from a damaged peer and is ignored.
pub const ROUND_MAX: u64 = 1 << 48;

/// A proposal number: ordered by round, then by replica.
///
/// Lamport, *Paxos Made Simple*, §2.2: proposers draw from disjoint sets of totally ordered
/// numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Ballot {
    /// Grows with every attempt to lead.
    pub round: u64,
    /// Whose ballot it is: only this replica proposes under it.
    pub replica: ReplicaId,
}

impl Ballot {
    /// Below every ballot that a replica uses: nothing was promised.
    pub const ZERO: Self = Self { round: 0, replica: ReplicaId(0) };

    /// The smallest ballot of `replica` above `self`, or `None` once rounds are exhausted.
    ///
    /// The i-th of n members uses the rounds that leave remainder i when divided by n.
    #[must_use]
    pub fn next_of(self, replica: ReplicaId, members: ReplicaSet) -> Option<Self> {
        let count = members.len().max(1) as u64;
        let index = members.iter().take_while(|member| *member != replica).count() as u64;
        let floor = self.round.checked_add(1)?;
        let step = (index + count - floor % count) % count;
        let round = floor.checked_add(step)?;
        (round <= ROUND_MAX).then_some(Self { round, replica })
    }

    /// Whether a correct replica can have made it.
    #[must_use]
    pub const fn is_plausible(self) -> bool {
        self.round <= ROUND_MAX
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}.{}", self.round, self.replica)
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounds_are_disjoint_and_grow(round in 0u64..1000, count in 1usize..8) {
            let members = ReplicaSet::first(count);
            let seen = Ballot { round, replica: ReplicaId(0) };
            let mut rounds: Vec<u64> = members
                .iter()
                .map(|replica| seen.next_of(replica, members).unwrap().round)
                .collect();
            prop_assert!(rounds.iter().all(|next| *next > round && *next <= round + count as u64));
            rounds.sort_unstable();
            rounds.dedup();
            prop_assert_eq!(rounds.len(), count, "no round belongs to two replicas");
        }
    }

    #[test]
    fn exhausted_rounds_end_in_none_instead_of_an_overflow() {
        let members = ReplicaSet::first(3);
        for round in [ROUND_MAX, u64::MAX - 1, u64::MAX] {
            let ballot = Ballot { round, replica: ReplicaId(0) };
            assert_eq!(ballot.next_of(ReplicaId(1), members), None);
        }
    }
}
