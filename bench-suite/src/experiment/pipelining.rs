//! Window depth against round-trip time, in virtual time: how many batches must be in flight.

use std::time::Duration;

use quorate_mq::batcher::BatchPolicy;
use quorate_sim::metered::{ClientPlan, Plan as Metered};

use crate::error::BenchError;
use crate::experiment::simulated::{self, costs, kept};
use crate::experiment::system::{PROTOCOLS, System};
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial};
use crate::run::Cell;
use crate::workload::{Keys, Mix, Payload, Workload};

/// Commands in a batch, at most.
pub const BATCH_COUNT: usize = 64;
/// Bytes of a value that is written.
pub const VALUE_BYTES: usize = 128;
/// Windows, in batches.
pub const WINDOWS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Round trips, in microseconds.
pub const ROUND_TRIPS_US: [u64; 4] = [100, 1_000, 10_000, 50_000];
/// Every host's link: 10 Gbit/s.
const BYTE_PS: u64 = 800;
/// Round trips that are measured, and the least measured time in microseconds.
const ROUND_TRIPS_MEASURED: u64 = 20;
const MEASURED_MIN_US: u64 = 20_000;
/// Added to each message, below this share of the round trip.
const JITTER_SHARE: u64 = 50;
/// Bytes in flight are not the limit here.
const WINDOW_BYTES: usize = 1 << 30;

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "pipelining",
    title: "Window depth against round-trip time (virtual time)",
    question: "How many batches must be in flight, and what does one at a time cost?",
    method: "In the simulator, without faults: three replicas (PBFT four), each on a host with one core and a link of 10 Gbit/s. What work costs that core was measured on this machine at the start, through the code that ships (the settings have the figures); the kernel's network stack, disks and waking threads are not in it. Writes of 128 bytes, batches of at most 64, clients beside the leader with twice as many requests in flight as the window holds, up to 2 % jitter. The dashed lines are the formula: window × batch / (round trip × rounds), with one round for Paxos and Raft and one and a half for PBFT. Every run is checked as a whole: replicas equal, each command applied once, history linearizable.",
    on_request: false,
    plan,
};

/// One place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Depth {
    window: usize,
    round_trip_us: u64,
}

impl Depth {
    fn variant(self) -> String {
        format!("rtt-{}us", self.round_trip_us)
    }

    fn case(self) -> String {
        format!("window-{}", self.window)
    }
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let (windows, round_trips): (&[usize], &[u64]) =
        if effort.quick { (&[1, 4, 16, 64], &[100, 10_000]) } else { (&WINDOWS, &ROUND_TRIPS_US) };
    let mut settings = std::collections::BTreeMap::from([
        ("batch".to_owned(), format!("{BATCH_COUNT} writes of {VALUE_BYTES} bytes at most")),
        ("seed".to_owned(), "the number of the repetition".to_owned()),
    ]);
    let mut trials = Vec::new();
    for system in PROTOCOLS {
        let replicas = simulated::replicas(system);
        let costs = costs::of(system, replicas)?;
        settings.extend([kept::setting(system.name(), replicas, &costs)]);
        for round_trip_us in round_trips {
            for window in windows {
                let depth = Depth { window: *window, round_trip_us: *round_trip_us };
                let metered = Metered { costs, ..metered(system, depth) };
                let measure = Box::new(move |seed| run(system, depth, &metered, seed));
                let cell =
                    Cell::new(EXPERIMENT.name, system.name(), &depth.variant(), &depth.case());
                trials.push(Trial { cell, measure });
            }
        }
    }
    Ok(Plan {
        trials,
        repetitions: if effort.quick { 1 } else { 3 },
        measured: Duration::ZERO,
        settings,
    })
}

fn metered(system: System, depth: Depth) -> Metered {
    let round_trip_ns = depth.round_trip_us * 1000;
    let mut plan = Metered::new(simulated::replicas(system), round_trip_ns, 0);
    plan.distances.jitter_ns = round_trip_ns / JITTER_SHARE;
    plan.byte_ps = BYTE_PS;
    // Clients are beside the leader.
    let far = plan.distances.one_way_ns[0][0];
    let near = 50_000.min(far);
    plan.distances.one_way_ns = vec![vec![near, near], vec![near, far]];
    plan.hosts = vec![1; plan.hosts.len()];
    let in_flight = 2 * depth.window * BATCH_COUNT;
    // Several clients, so that requests do not come in lumps of the whole window.
    let clients = 8;
    plan.clients = (0..clients)
        .map(|_| ClientPlan { place: 0, group: 0, window: in_flight.div_ceil(clients) })
        .collect();
    plan.payloads = payloads();
    plan.batching = BatchPolicy::adaptive()
        .with_count_max(BATCH_COUNT)
        .and_then(|policy| policy.with_window(depth.window, WINDOW_BYTES))
        .expect("the windows and batches here are above zero");
    plan.warm_up_ns = 6 * round_trip_ns + 2_000_000;
    plan.measured_ns = (ROUND_TRIPS_MEASURED * depth.round_trip_us).max(MEASURED_MIN_US) * 1000;
    plan
}

fn payloads() -> Vec<bytes::Bytes> {
    let workload = Workload {
        name: "noise",
        mix: Mix::W,
        keys: Keys::Uniform,
        payload: Payload::Noise(VALUE_BYTES),
        records: 64,
        seed: 1,
    };
    workload.operations(0, 64).iter().map(|operation| operation.command.clone()).collect()
}

fn run(system: System, depth: Depth, metered: &Metered, seed: u32) -> Outcome {
    let patience = simulated::patience_for(Duration::from_micros(depth.round_trip_us));
    let ran = simulated::run(system, metered, patience, u64::from(seed));
    simulated::outcome(&ran, metered.leader_host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;
    use crate::run::Proof;

    #[test]
    fn far_apart_throughput_grows_with_the_window_as_the_formula_says() {
        for system in PROTOCOLS {
            let throughput = |window| {
                let depth = Depth { window, round_trip_us: 10_000 };
                let outcome = run(system, depth, &metered(system, depth), 1);
                assert_eq!(outcome.proof, Proof::Verified, "{}", system.name());
                outcome.values[&Metric::Throughput]
            };
            for window in [1, 8] {
                let formula =
                    (window * BATCH_COUNT) as f64 / (0.010 * simulated::round_trips(system));
                let share = throughput(window) / formula;
                assert!((0.8..=1.02).contains(&share), "{}: {share}", system.name());
            }
        }
    }
}
