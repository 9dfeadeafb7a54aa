//! Sharding: what more groups do to throughput, which balancer spreads keys and requests how
//! evenly, and what that does to servers under skew.
//!
//! Three parts with three clocks, told apart by the case of a cell. `groups-N` runs clusters in
//! real time. `balance-N` and `lookup-N` put keys on N nodes: the first is arithmetic, with a seed
//! for each repetition and no clock, the second is the CPU time of one choice. `service-N` serves
//! requests in virtual time behind each balancer, because the runtime's own placement is fixed:
//! keys belong to groups there, by slots.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_runtime::{ClusterConfig, Layout};
use quorate_smr::Protocol;
use quorate_smr::machine::Checksum;

use crate::error::BenchError;
use crate::experiment::cluster::{Load, Prepared};
use crate::experiment::small::WINDOW;
use crate::experiment::system::{Configure, SYSTEMS};
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial};
use crate::machine::cores;
use crate::run::Cell;
use crate::workload::SMALL;

pub mod balance;
pub mod balancer;
pub mod service;

use balance::{Skew, balance, lookup};
use balancer::{ALGORITHMS, Algorithm};
use service::{Servers, service};

/// All replicas of all groups on one thread.
pub const ONE_THREAD: &str = "one-thread";
/// The groups spread over as many threads as there are cores.
pub const THREAD_PER_CORE: &str = "thread-per-core";

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "sharding",
    title: "Sharding",
    question: "What do more groups buy, and which balancer spreads the load best under skew?",
    method: "Groups: the shipped configuration with 1 to 16 groups over the same replicas, commands of 16 bytes with uniform keys, one client, in real time; all replicas on one thread (bound to the first cores, the client to the last) or the groups on a thread for each core (unbound), beside the unreplicated floor. Balance: 50,000 requests for 10,000 keys are given to nodes, new keys and draws in each repetition; a tenth of a thousandth counts as much as on any machine, there is no clock. Where a balancer looks at what is outstanding, ten requests for each node are, and end in random order. Then a node joins, and one leaves, and the keys are counted that have another node; jump hash and modulo can only lose the last. Round robin, least outstanding and power of two choices ignore keys: none has a home that could move. Service, in virtual time: one queue at each of 16 servers, exponential service times with mean 1; sustained is the closed loop with eight requests for each server, the percentiles are an open loop at 60 % of capacity; a server of half the speed stands for a slow one.",
    on_request: false,
    plan,
};

/// Groups and the threads that serve them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// How many groups.
    pub groups: usize,
    /// Threads, one for each core at most; otherwise one for all.
    pub is_spread: bool,
}

impl Configure for Groups {
    fn configure<P: Protocol>(&self, config: &mut ClusterConfig<P>) {
        config.groups = self.groups;
        if self.is_spread {
            config.layout = Layout::PerGroup;
            config.workers = cores().clamp(1, quorate_runtime::WORKERS_MAX);
        }
    }
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let load = Load {
        window: WINDOW,
        warm_up: Duration::from_millis(if effort.quick { 30 } else { 100 }),
        measured: Duration::from_millis(if effort.quick { 80 } else { 300 }),
        probes: 0,
        probe_interval: Duration::ZERO,
    };
    let mut trials = groups(effort, load);
    trials.extend(balancing(effort));
    Ok(Plan {
        trials,
        repetitions: if effort.quick { 2 } else { 5 },
        measured: load.measured,
        settings: BTreeMap::from([
            ("client".to_owned(), format!("one, with {WINDOW} requests in flight")),
            ("ring".to_owned(), format!("{} points for each node", balancer::RING_POINTS)),
            ("bounded loads".to_owned(), format!("{} % slack", balancer::SLACK_PERCENT)),
        ]),
    })
}

fn groups(effort: &Effort, load: Load) -> Vec<Trial> {
    let counts: &[usize] = if effort.quick { &[1, 4, 16] } else { &[1, 2, 4, 8, 16] };
    let prepared = Prepared::new(SMALL, 1, false);
    let mut trials = Vec::new();
    for (variant, is_spread) in [(ONE_THREAD, false), (THREAD_PER_CORE, true)] {
        for system in SYSTEMS {
            for groups in counts {
                let (prepared, setting) = (prepared.clone(), Groups { groups: *groups, is_spread });
                let measure = Box::new(move |_| {
                    system.repetition(&setting, Checksum::default, &prepared, &load)
                });
                let case = format!("groups-{groups}");
                let cell = Cell::new(EXPERIMENT.name, system.name(), variant, &case);
                trials.push(Trial { cell, measure });
            }
        }
    }
    trials
}

fn balancing(effort: &Effort) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |algorithm: Algorithm, variant: &str, case: String, measure: Measure| {
        let cell = Cell::new(EXPERIMENT.name, algorithm.name(), variant, &case);
        trials.push(Trial { cell, measure });
    };
    let sizes: &[usize] = if effort.quick { &[16] } else { &[4, 16, 100] };
    for nodes in sizes.iter().copied() {
        for algorithm in ALGORITHMS {
            for skew in Skew::ALL {
                let measure = move |seed| outcome(balance(algorithm, nodes, skew, seed));
                add(algorithm, skew.name(), format!("balance-{nodes}"), Box::new(measure));
            }
            let measure = move |_| outcome(lookup(algorithm, nodes));
            add(algorithm, "cpu-time", format!("lookup-{nodes}"), Box::new(measure));
        }
    }
    for algorithm in ALGORITHMS {
        for skew in Skew::ALL {
            let measure = move |seed| outcome(service(algorithm, Servers::Equal, skew, seed));
            add(algorithm, skew.name(), Servers::Equal.case(), Box::new(measure));
        }
        let measure =
            move |seed| outcome(service(algorithm, Servers::OneSlow, Skew::Uniform, seed));
        add(algorithm, Skew::Uniform.name(), Servers::OneSlow.case(), Box::new(measure));
    }
    trials
}

type Measure = Box<dyn FnMut(u32) -> Outcome>;

fn outcome(result: Result<BTreeMap<crate::metric::Metric, f64>, String>) -> Outcome {
    match result {
        Ok(values) => Outcome::new(values, crate::run::Proof::Verified),
        Err(reason) => Outcome::failed(&reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_groups_change_groups_and_threads_and_nothing_else() {
        for is_spread in [false, true] {
            let mut config = ClusterConfig::<quorate_raft::Raft>::default();
            Groups { groups: 8, is_spread }.configure(&mut config);
            config.validate().unwrap();
            assert_eq!(config.groups, 8);
            (config.groups, config.layout, config.workers) = (1, Layout::Inline, 1);
            assert_eq!(config, ClusterConfig::default());
        }
    }

    #[test]
    fn every_cell_of_the_plan_is_there_once() {
        let effort = Effort { quick: false, repetitions: None };
        let trials = balancing(&effort);
        let mut cells: Vec<String> = trials.iter().map(|trial| trial.cell.to_string()).collect();
        cells.sort_unstable();
        let count = cells.len();
        cells.dedup();
        assert_eq!((cells.len(), count), (count, ALGORITHMS.len() * (3 * 5 + 5)));
    }
}
