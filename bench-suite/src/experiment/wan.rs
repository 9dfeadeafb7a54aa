//! Distance and bandwidth, in virtual time: what a command waits for when replicas are far apart.
//!
//! Runs in the simulator without faults, with fixed delays and links of stated bandwidth. CPU costs
//! nothing there, so figures are those of the network alone, and the same on every machine.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_sim::plan::{MS, Plan as Simulated};
use quorate_sim::{Inspect, Options, simulate};
use quorate_smr::Protocol;

use crate::error::BenchError;
use crate::experiment::system::{PROTOCOLS, System};
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial, regions};
use crate::metric::Metric;
use crate::run::{Cell, Proof};

/// Clients, each with one request in flight, beside a replica.
pub const CLIENTS: usize = 16;
/// Requests of each.
pub const REQUESTS: u64 = 200;
/// Keys, so many that requests seldom meet.
const KEYS: u64 = 64;
/// Bytes of a value.
const VALUE_BYTES: usize = 1024;
/// One way between client and replica, in nanoseconds.
const CLIENT_DELAY_NS: u64 = MS / 10;
/// The round trip while the bandwidth is varied, in milliseconds.
pub const ROUND_TRIP_MS: u64 = 10;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "wan",
    title: "Distance and bandwidth (virtual time)",
    question: "What does a command wait for when replicas are far apart or their links are narrow?",
    method: "In the simulator, without faults: writes of 1 KiB, sixteen clients with one request each, 0.1 ms from every replica; equal round trips between all replicas. CPU time is not part of it, so these are lower bounds, and they do not depend on the machine. Batches hold what arrives at once, messages are not compressed. Regions: replicas and four clients with one request each in every region, real round trips between the regions of a cloud (the settings name the source), up to 2 ms of jitter, links of 1 Gbit/s, CPU costs measured on this machine; clients ask the leader, wherever it is.",
    on_request: false,
    plan,
};

/// The network of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    round_trip_ms: u64,
    /// Megabits a second; zero: unlimited.
    megabits: u64,
}

impl Network {
    fn case(self) -> String {
        match self.megabits {
            0 => format!("rtt-{}", self.round_trip_ms),
            megabits => format!("mbit-{megabits}"),
        }
    }

    fn plan(self) -> Simulated {
        let mut plan = Simulated::quiet();
        plan.network.delay_min_ns = self.round_trip_ms * MS / 2;
        // A megabit a second takes 8 µs for a byte, which are 8,000,000 ps.
        plan.network.byte_ps = 8_000_000u64.checked_div(self.megabits).unwrap_or(0);
        plan.client_delay_ns = (CLIENT_DELAY_NS, 0);
        plan.load.clients = CLIENTS;
        plan.load.requests = REQUESTS;
        plan.load.keys = KEYS;
        plan.load.read_ppm = 0;
        plan.load.value_bytes = VALUE_BYTES;
        // Clients out of step with one another, at a tenth of a round trip.
        plan.load.think_ns = self.round_trip_ms * MS / 10;
        plan
    }
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let round_trips = [1, 10, 50, 100].map(|round_trip_ms| Network { round_trip_ms, megabits: 0 });
    let links =
        [1000, 100, 30, 10].map(|megabits| Network { round_trip_ms: ROUND_TRIP_MS, megabits });
    let mut trials = Vec::new();
    for network in round_trips.into_iter().chain(links) {
        for system in PROTOCOLS {
            let cell = Cell::new(EXPERIMENT.name, system.name(), "default", &network.case());
            let measure = Box::new(move |repetition| simulated(system, network, repetition));
            trials.push(Trial { cell, measure });
        }
    }
    let settings = [
        ("clients", format!("{CLIENTS}, {REQUESTS} requests each")),
        ("narrow links", format!("{ROUND_TRIP_MS} ms round trip")),
        ("seed", "the number of the repetition".into()),
    ];
    let mut settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
    trials.extend(regions::trials(EXPERIMENT.name, effort, &mut settings)?);
    Ok(Plan {
        trials,
        repetitions: if effort.quick { 2 } else { 5 },
        measured: Duration::ZERO,
        settings,
    })
}

fn simulated(system: System, network: Network, repetition: u32) -> Outcome {
    match system {
        System::Paxos => run::<Paxos>(network, repetition),
        System::Raft => run::<Raft>(network, repetition),
        System::Pbft => run::<Pbft>(network, repetition),
        System::Direct => Outcome::failed(&"one replica has no network"),
    }
}

fn run<P: Inspect + Protocol>(network: Network, repetition: u32) -> Outcome {
    let mut options = Options::<P>::new(P::replicas_for(1));
    options.plan = Some(network.plan());
    options.config = Some(P::Config::default());
    options.byzantine = false;
    options.count_bytes = true;
    let outcome = simulate(&options, u64::from(repetition));
    let proof = match (&outcome.violation, outcome.check_gave_up) {
        (Some(violation), _) => Proof::Failed(format!("{violation:?}")),
        (None, true) => Proof::Failed("the history check gave up".into()),
        (None, false) => Proof::Verified,
    };
    let mut latencies = outcome.latencies_ns;
    latencies.sort_unstable();
    let mut values = BTreeMap::new();
    for (metric, share) in [(Metric::LatencyP50, 0.5), (Metric::LatencyP99, 0.99)] {
        let rank = (share * latencies.len() as f64).ceil() as usize;
        if let Some(latency) = latencies.get(rank.max(1) - 1) {
            values.insert(metric, *latency as f64 / 1e3);
        }
    }
    let commands = latencies.len() as f64;
    if commands > 0.0 {
        values.insert(Metric::Messages, outcome.messages as f64 / commands);
        values.insert(Metric::WireBytes, outcome.message_bytes as f64 / commands);
    }
    Outcome::new(values, proof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_waits_equally_long_and_distance_adds_up() {
        for system in PROTOCOLS {
            let median = |round_trip_ms| {
                let network = Network { round_trip_ms, megabits: 0 };
                let outcome = simulated(system, network, 1);
                assert_eq!(outcome.proof, Proof::Verified, "{}", system.name());
                assert_eq!(outcome, simulated(system, network, 1));
                outcome.values[&Metric::LatencyP50] / 1e3
            };
            let (near, far) = (median(1), median(100));
            assert!(far > near && far >= 100.0, "{}: {near} ms, {far} ms", system.name());
        }
    }
}
