//! Views, and the facts about a group that never change while it runs.

use std::fmt;

use quorate_smr::{
    Batch, ClusterId, Digest, GroupId, QuorumRule, RecoverError, ReplicaId, ReplicaSet, Setup,
};
use serde::{Deserialize, Serialize};

/// A period in which one replica, its *primary*, orders requests (PBFT §4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct View(pub u64);

impl View {
    /// The view after this one; the last view has no successor and stays.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Who we are, who the others are, and how many of them decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Group {
    pub(crate) cluster: ClusterId,
    pub(crate) id: GroupId,
    pub(crate) me: ReplicaId,
    pub(crate) rule: QuorumRule,
    /// The digest of the null request, an empty batch (PBFT §4.4).
    pub(crate) null: Digest,
}

impl Group {
    pub(crate) fn of<C>(setup: &Setup<C>) -> Result<Self, RecoverError> {
        let rule = QuorumRule::byzantine(setup.members).map_err(RecoverError::Quorum)?;
        if !setup.members.contains(setup.replica) {
            return Err(RecoverError::NotAMember(setup.replica));
        }
        let null = Batch::empty(setup.group)
            .digest(&mut Vec::new())
            .map_err(|error| RecoverError::Config(error.to_string()))?;
        Ok(Self { cluster: setup.cluster, id: setup.group, me: setup.replica, rule, null })
    }

    pub(crate) const fn members(&self) -> ReplicaSet {
        self.rule.members()
    }

    pub(crate) const fn replicas(&self) -> usize {
        self.rule.replicas()
    }

    /// `2f + 1` distinct replicas: two such sets share an honest one.
    pub(crate) const fn quorum(&self) -> usize {
        self.rule.phase2()
    }

    /// `f + 1` distinct replicas: one of them is honest.
    pub(crate) const fn weak(&self) -> usize {
        self.rule.weak()
    }

    /// The place of `replica` among the members, or `None` for a stranger.
    pub(crate) const fn rank(&self, replica: ReplicaId) -> Option<usize> {
        if !self.members().contains(replica) {
            return None;
        }
        Some(ReplicaSet::first(replica.0 as usize).intersection(self.members()).len())
    }

    /// The replica that orders requests in `view`: the members take turns (PBFT §4).
    pub(crate) fn primary(&self, view: View) -> ReplicaId {
        let turn = (view.0 % self.replicas() as u64) as usize;
        self.members().iter().nth(turn).unwrap_or(self.me)
    }

    pub(crate) const fn is_peer(&self, replica: ReplicaId) -> bool {
        replica.0 != self.me.0 && self.members().contains(replica)
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::Seed;

    use super::*;

    #[test]
    fn members_take_turns_as_primary_even_when_their_numbers_have_gaps() {
        let mut setup = Setup::new(ReplicaId(5), 4, Seed(1), ());
        setup.members = [1, 3, 5, 9].into_iter().map(ReplicaId).collect();
        let group = Group::of(&setup).unwrap();
        let primaries: Vec<u8> = (0..5).map(|view| group.primary(View(view)).0).collect();
        assert_eq!(primaries, [1, 3, 5, 9, 1]);
        assert_eq!(group.primary(View(u64::MAX)), ReplicaId(9));
        assert_eq!((group.rank(ReplicaId(5)), group.rank(ReplicaId(2))), (Some(2), None));
    }

    #[test]
    fn three_replicas_are_refused() {
        let setup = Setup::new(ReplicaId(0), 3, Seed(1), ());
        assert!(matches!(Group::of(&setup), Err(RecoverError::Quorum(_))));
    }
}
