//! Cluster size and number of groups, in virtual time: beyond what one machine can host.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use quorate_sim::metered::{ClientPlan, MS, Plan as Metered};

use crate::error::BenchError;
use crate::experiment::simulated::{self, costs, kept};
use crate::experiment::system::{PROTOCOLS, System};
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial};
use crate::run::Cell;
use crate::workload::SMALL;

/// Replicas of one group. Sets of replicas hold up to 128 of them.
pub const REPLICAS: [usize; 8] = [3, 4, 5, 7, 13, 25, 49, 100];
/// Groups on the same hosts.
pub const GROUPS: [usize; 4] = [1, 10, 100, 1_000];
/// The round trip between hosts, in microseconds.
const ROUND_TRIP_US: u64 = 500;
/// Every host's link: 10 Gbit/s.
const BYTE_PS: u64 = 800;
/// Requests in flight over all clients and groups: more than a link and a round trip hold.
const IN_FLIGHT: usize = 4_096;
/// Clients, at least.
const CLIENTS: usize = 8;
/// Load before the measurement, and the measured time; with one request in flight a longer one.
const WARM_UP_NS: u64 = 40 * MS;
const MEASURED_NS: u64 = 100 * MS;
const MEASURED_LIGHT_NS: u64 = 300 * MS;
/// Replicas of PBFT wait this many times longer: a hundred of them take their time.
const PATIENCE: u32 = 4;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "scale",
    title: "Cluster size and groups (virtual time)",
    question: "What becomes of throughput and latency with up to a hundred replicas, or a thousand groups on the same hosts?",
    method: "In the simulator, without faults, as for the window depth: one core and one link of 10 Gbit/s for each host, half a millisecond between hosts, CPU costs measured on this machine for each number of replicas, the shipped batching, commands of 16 bytes. Replicas: one group, with 4,096 requests in flight (full load) and with one (light load). Groups: every host has a replica of every group, hosts lead in turn, as many requests in flight over all groups, heartbeats at the shipped rate. A set of replicas holds up to 128. Signatures of PBFT's checkpoints are not charged.",
    on_request: false,
    plan,
};

/// What is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scaled {
    /// One group of so many replicas.
    Replicas(usize),
    /// So many groups on as many hosts as tolerate one fault.
    Groups(usize),
}

impl Scaled {
    fn case(self) -> String {
        match self {
            Self::Replicas(count) => format!("replicas-{count}"),
            Self::Groups(count) => format!("groups-{count}"),
        }
    }

    fn hosts(self, system: System) -> usize {
        match self {
            Self::Replicas(count) => count,
            Self::Groups(_) => simulated::replicas(system),
        }
    }
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let (replicas, groups): (&[usize], &[usize]) =
        if effort.quick { (&[3, 4, 13], &[1, 100]) } else { (&REPLICAS, &GROUPS) };
    let mut settings =
        BTreeMap::from([("seed".to_owned(), "the number of the repetition".to_owned())]);
    let mut trials = Vec::new();
    let sizes = replicas.iter().map(|count| Scaled::Replicas(*count));
    for scaled in sizes.chain(groups.iter().map(|count| Scaled::Groups(*count))) {
        for system in PROTOCOLS.into_iter().filter(|system| fits(*system, scaled)) {
            let hosts = scaled.hosts(system);
            let costs = costs::of(system, hosts)?;
            settings.extend([kept::setting(system.name(), hosts, &costs)]);
            let variants: &[&str] =
                if matches!(scaled, Scaled::Replicas(_)) { &["full", "light"] } else { &["full"] };
            for variant in variants {
                let metered = Metered { costs, ..metered(system, scaled, *variant == "light") };
                let measure = Box::new(move |seed| run(system, &metered, seed));
                let cell = Cell::new(EXPERIMENT.name, system.name(), variant, &scaled.case());
                trials.push(Trial { cell, measure });
            }
        }
    }
    Ok(Plan { trials, repetitions: 1, measured: Duration::ZERO, settings })
}

/// PBFT needs four replicas; the others gain nothing from an even number.
fn fits(system: System, scaled: Scaled) -> bool {
    match (scaled, system) {
        (Scaled::Replicas(count), System::Pbft) => count % 3 == 1,
        (Scaled::Replicas(count), _) => count % 2 == 1 || count == 100,
        (Scaled::Groups(_), _) => true,
    }
}

fn metered(system: System, scaled: Scaled, light: bool) -> Metered {
    let mut plan = Metered::new(scaled.hosts(system), ROUND_TRIP_US * 1000, 1);
    plan.byte_ps = BYTE_PS;
    plan.payloads = payloads();
    plan.warm_up_ns = WARM_UP_NS;
    plan.measured_ns = if light { MEASURED_LIGHT_NS } else { MEASURED_NS };
    let groups = match scaled {
        Scaled::Replicas(_) => 1,
        Scaled::Groups(groups) => groups,
    };
    plan.groups = groups;
    if light {
        return plan;
    }
    let clients = CLIENTS.max(groups);
    let window = (IN_FLIGHT / clients).max(1);
    plan.clients = (0..clients)
        .map(|client| ClientPlan { place: 0, group: client % groups, window })
        .collect();
    plan
}

fn payloads() -> Vec<Bytes> {
    SMALL.operations(0, 64).into_iter().map(|operation| operation.command).collect()
}

fn run(system: System, plan: &Metered, seed: u32) -> Outcome {
    let ran = simulated::run(system, plan, PATIENCE, u64::from(seed));
    simulated::outcome(&ran, plan.leader_host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;
    use crate::run::Proof;

    fn figure(system: System, scaled: Scaled, metric: Metric) -> f64 {
        let outcome = run(system, &metered(system, scaled, false), 1);
        assert_eq!(outcome.proof, Proof::Verified, "{}, {scaled:?}", system.name());
        outcome.values[&metric]
    }

    #[test]
    fn messages_grow_with_replicas_for_raft_and_with_their_square_for_pbft() {
        let growth = |system, few, many| {
            let messages = |count| {
                let replicas = Scaled::Replicas(count);
                // Batches differ in size; a batch's messages are what the protocol decides.
                figure(system, replicas, Metric::Messages) * figure(system, replicas, Metric::Batch)
            };
            messages(many) / messages(few)
        };
        let (raft, pbft) = (growth(System::Raft, 3, 9), growth(System::Pbft, 4, 10));
        assert!((3.0..=5.0).contains(&raft), "{raft}");
        assert!((4.5..=8.0).contains(&pbft), "{pbft}");
    }

    #[test]
    fn every_protocol_serves_a_hundred_groups() {
        for system in PROTOCOLS {
            assert!(figure(system, Scaled::Groups(100), Metric::Throughput) > 1e5);
        }
    }
}
