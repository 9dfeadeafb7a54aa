//! Stages: everything on one thread, a thread for each stage, a thread for each group.
//!
//! What always holds: the stages do the same work in every layout; what differs is which of them
//! share a thread, and so where a plain call becomes a hand-over between threads.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_runtime::{ClusterConfig, Layout};
use quorate_smr::Protocol;
use quorate_smr::machine::Checksum;

use crate::error::BenchError;
use crate::experiment::cluster::{Load, Prepared};
use crate::experiment::small::WINDOW;
use crate::experiment::system::{Configure, SYSTEMS};
use crate::experiment::{Effort, Experiment, Plan, Trial};
use crate::machine::cores;
use crate::run::Cell;
use crate::workload::SMALL;

/// Groups where there are several.
pub const GROUPS: usize = 4;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "stages",
    title: "Stages and threads",
    question: "What do threads for each stage, each replica or each group buy, and what do the hand-overs between them cost?",
    method: "Commands of 16 bytes into a state machine that only keeps a checksum, one client. Inline: protocol, journal and executor of all replicas on one thread, bound to the first cores, the client to the last. In two: executors on a second thread. Per replica: a thread for each replica. Per stage: a thread for each stage of each replica. Per group: four groups on a thread for each core, beside four groups inline. Threads of the latter layouts are not bound: the system places them, and the client, where it likes. Hand-overs are messages and pieces of work that crossed from one thread to another; a wake-up is a thread that slept. Latency is open loop at low load, where every hand-over wakes a thread.",
    on_request: false,
    plan,
};

/// A layout with its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stages {
    /// Which threads serve what.
    pub layout: Layout,
    /// Groups over the same replicas.
    pub groups: usize,
}

/// The layouts with their names, in the order of tables.
pub const LAYOUTS: [(&str, Stages); 6] = [
    ("inline", Stages { layout: Layout::Inline, groups: 1 }),
    ("in-two", Stages { layout: Layout::Split, groups: 1 }),
    ("per-replica", Stages { layout: Layout::PerReplica, groups: 1 }),
    ("per-stage", Stages { layout: Layout::Staged, groups: 1 }),
    ("inline-four-groups", Stages { layout: Layout::Inline, groups: GROUPS }),
    ("per-group", Stages { layout: Layout::PerGroup, groups: GROUPS }),
];

impl Configure for Stages {
    fn configure<P: Protocol>(&self, config: &mut ClusterConfig<P>) {
        config.layout = self.layout;
        config.groups = self.groups;
        config.workers = cores().clamp(1, self.groups);
    }
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let load = Load {
        window: WINDOW,
        warm_up: Duration::from_millis(if effort.quick { 30 } else { 80 }),
        measured: Duration::from_millis(if effort.quick { 80 } else { 200 }),
        probes: if effort.quick { 40 } else { 100 },
        probe_interval: Duration::from_millis(2),
    };
    let prepared = Prepared::new(SMALL, 1, false);
    let mut trials = Vec::new();
    for system in SYSTEMS {
        for (variant, stages) in LAYOUTS {
            let prepared = prepared.clone();
            let measure =
                Box::new(move |_| system.repetition(&stages, Checksum::default, &prepared, &load));
            let cell = Cell::new(EXPERIMENT.name, system.name(), variant, SMALL.name);
            trials.push(Trial { cell, measure });
        }
    }
    Ok(Plan {
        trials,
        repetitions: if effort.quick { 2 } else { 5 },
        measured: load.measured,
        settings: BTreeMap::from([
            ("client".to_owned(), format!("one, with {WINDOW} requests in flight")),
            ("latency probe".to_owned(), format!("{} requests, one every 2 ms", load.probes)),
        ]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::system::System;
    use crate::metric::Metric;
    use crate::run::Proof;

    #[test]
    fn only_threads_hand_over_and_every_layout_is_verified() {
        let prepared = Prepared::new(SMALL, 1, false);
        let load = Load {
            window: 64,
            warm_up: Duration::from_millis(1),
            measured: Duration::from_millis(30),
            probes: 5,
            probe_interval: Duration::from_millis(1),
        };
        for (name, stages) in LAYOUTS {
            let outcome = System::Raft.repetition(&stages, Checksum::default, &prepared, &load);
            assert_eq!(outcome.proof, Proof::Verified, "{name}");
            let crosses = outcome.values[&Metric::HandedOver] > 0.0;
            let has_threads =
                matches!(stages.layout, Layout::Split | Layout::PerReplica | Layout::Staged);
            assert_eq!(crosses, has_threads, "{name}");
        }
    }
}
