//! Which worker serves which stage of which replica: the layouts, as arithmetic.

use quorate_smr::{GroupId, ReplicaId};

use crate::config::Layout;

/// One replica of one group, as an index: all groups of replica 0, then those of replica 1, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeIndex(pub(crate) u32);

impl NodeIndex {
    pub(crate) const fn at(self) -> usize {
        self.0 as usize
    }
}

/// A stage of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Protocol,
    Journal,
    Executor,
}

/// Maps stages of nodes to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Placement {
    layout: Layout,
    replicas: usize,
    groups: usize,
    workers: usize,
}

impl Placement {
    pub(crate) const fn new(
        layout: Layout,
        replicas: usize,
        groups: usize,
        wanted_workers: usize,
    ) -> Self {
        let workers = match layout {
            Layout::Inline => 1,
            Layout::Split => 2,
            Layout::PerReplica => replicas,
            Layout::Staged => 3 * replicas,
            Layout::PerGroup if wanted_workers < groups => wanted_workers,
            Layout::PerGroup => groups,
        };
        Self { layout, replicas, groups, workers }
    }

    pub(crate) const fn workers(&self) -> usize {
        self.workers
    }

    pub(crate) const fn nodes(&self) -> usize {
        self.replicas * self.groups
    }

    pub(crate) const fn node(&self, replica: ReplicaId, group: GroupId) -> NodeIndex {
        NodeIndex((replica.0 as usize * self.groups + group.0 as usize) as u32)
    }

    pub(crate) const fn replica(&self, node: NodeIndex) -> ReplicaId {
        ReplicaId((node.at() / self.groups) as u8)
    }

    pub(crate) const fn group(&self, node: NodeIndex) -> GroupId {
        GroupId((node.at() % self.groups) as u32)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.nodes() as u32).map(NodeIndex)
    }

    /// The nodes of one replica.
    pub(crate) fn of_replica(&self, replica: ReplicaId) -> impl Iterator<Item = NodeIndex> + use<> {
        let first = (replica.0 as usize * self.groups) as u32;
        (first..first + self.groups as u32).map(NodeIndex)
    }

    /// The worker that serves `stage` of `node`.
    pub(crate) const fn worker(&self, node: NodeIndex, stage: Stage) -> usize {
        let replica = node.at() / self.groups;
        match (self.layout, stage) {
            (Layout::Inline, _) => 0,
            (Layout::Split, Stage::Executor) => 1,
            (Layout::Split, _) => 0,
            (Layout::PerReplica, _) => replica,
            (Layout::Staged, Stage::Protocol) => 3 * replica,
            (Layout::Staged, Stage::Journal) => 3 * replica + 1,
            (Layout::Staged, Stage::Executor) => 3 * replica + 2,
            (Layout::PerGroup, _) => (node.at() % self.groups) % self.workers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_gives_every_worker_something_and_no_stage_a_missing_worker() {
        for layout in
            [Layout::Inline, Layout::Split, Layout::PerReplica, Layout::Staged, Layout::PerGroup]
        {
            let placement = Placement::new(layout, 3, 5, 8);
            let mut served = vec![false; placement.workers()];
            for node in placement.all() {
                for stage in [Stage::Protocol, Stage::Journal, Stage::Executor] {
                    served[placement.worker(node, stage)] = true;
                }
            }
            assert!(served.iter().all(|served| *served), "{layout:?}");
        }
    }

    #[test]
    fn a_node_is_its_replica_and_its_group() {
        let placement = Placement::new(Layout::Inline, 3, 5, 1);
        for node in placement.all() {
            assert_eq!(placement.node(placement.replica(node), placement.group(node)), node);
        }
        assert_eq!(placement.of_replica(ReplicaId(1)).count(), 5);
    }
}
