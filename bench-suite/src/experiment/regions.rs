//! Real distances, in virtual time: replicas and clients in the regions of a cloud.
//!
//! Part of the experiment `wan`. Every region has a replica and clients, a client asks the leader,
//! wherever it is. One trial for each leader's region, protocol and region of clients.

use bytes::Bytes;
use quorate_sim::metered::{ClientPlan, Distances, MS, Plan as Metered};

use crate::error::BenchError;
use crate::experiment::simulated::{self, costs, kept};
use crate::experiment::system::System;
use crate::experiment::{Effort, Outcome, Trial};
use crate::run::{Cell, Proof};

/// The regions, by where they are; in the order of [`ROUND_TRIPS_US`].
pub const REGIONS: [&str; 7] =
    ["Virginia", "Oregon", "Ireland", "Tokyo", "Frankfurt", "Singapore", "Sydney"];

/// Average round trips between regions of Amazon EC2, in microseconds, as published in April 2017
/// (the mean of both directions).
pub const ROUND_TRIPS_US: [[u64; 7]; 7] = [
    [0, 87_830, 80_535, 145_300, 88_640, 216_700, 229_850],
    [87_830, 0, 137_000, 89_130, 159_500, 161_400, 162_050],
    [80_535, 137_000, 0, 212_400, 19_555, 238_550, 309_600],
    [145_300, 89_130, 212_400, 0, 236_550, 73_800, 103_900],
    [88_640, 159_500, 19_555, 236_550, 0, 325_900, 323_350],
    [216_700, 161_400, 238_550, 73_800, 325_900, 0, 175_350],
    [229_850, 162_050, 309_600, 103_900, 323_350, 175_350, 0],
];
/// Where the round trips are from.
pub const SOURCE: &str = "“Latency Between AWS Global Regions”, averages between EC2 regions, as tabulated at acomputerscientistlearnsaws.blogspot.com/2017/04/aws-regions.html (April 2017); within a region 1 ms";

/// A round trip within a region, in microseconds.
const WITHIN_US: u64 = 1_000;
/// Added to each message, uniform below this, in nanoseconds: an assumption, as averages say
/// nothing about it.
const JITTER_NS: u64 = 2 * MS;
/// Clients in each region, one request each.
const CLIENTS: usize = 4;
/// Measured time; the slowest place has some dozens of commands in it.
const MEASURED_NS: u64 = 10_000 * MS;
const WARM_UP_NS: u64 = 1_000 * MS;
/// Every link: 1 Gbit/s.
const BYTE_PS: u64 = 8_000;
/// Bytes of a command.
const COMMAND_BYTES: usize = 1024;
/// How much longer than shipped timeouts are.
const PATIENCE: u32 = 40;

/// Groups of regions: name, how many of [`REGIONS`], and who runs there. PBFT needs four replicas
/// for one fault, seven for two.
const CLUSTERS: [(&str, usize, &[System]); 4] = [
    ("three", 3, &[System::Paxos, System::Raft]),
    ("four", 4, &[System::Pbft]),
    ("five", 5, &[System::Paxos, System::Raft]),
    ("seven", 7, &[System::Pbft]),
];

/// The trials of `experiment`, and the settings that a reader needs.
///
/// # Errors
/// When the calibration fails.
pub fn trials(
    experiment: &str,
    effort: &Effort,
    settings: &mut std::collections::BTreeMap<String, String>,
) -> Result<Vec<Trial>, BenchError> {
    let clusters = if effort.quick { &CLUSTERS[..2] } else { &CLUSTERS[..] };
    settings.insert("round trips between regions".into(), SOURCE.into());
    let mut trials = Vec::new();
    for (name, count, systems) in clusters {
        for system in *systems {
            let costs = costs::of(*system, *count)?;
            settings.extend([kept::setting(system.name(), *count, &costs)]);
            for (leader, leads) in REGIONS.iter().enumerate().take(*count) {
                let plan = Metered { costs, ..metered(*count, leader) };
                for (place, asks) in REGIONS.iter().enumerate().take(*count) {
                    let (variant, case) = (format!("leader-{leads}"), format!("{name}/{asks}"));
                    let (system, plan) = (*system, plan.clone());
                    let cell = Cell::new(experiment, system.name(), &variant, &case);
                    let measure = Box::new(move |seed| run(system, &plan, place, seed));
                    trials.push(Trial { cell, measure });
                }
            }
        }
    }
    Ok(trials)
}

fn metered(count: usize, leader: usize) -> Metered {
    let mut plan = Metered::new(count, 0, 1);
    let one_way = |from: usize, to: usize| {
        let round_trip_us = if from == to { WITHIN_US } else { ROUND_TRIPS_US[from][to] };
        round_trip_us * 1000 / 2
    };
    let row = |from| (0..count).map(|to| one_way(from, to)).collect();
    plan.distances = Distances { one_way_ns: (0..count).map(row).collect(), jitter_ns: JITTER_NS };
    plan.hosts = (0..count).collect();
    plan.leader_host = leader;
    plan.byte_ps = BYTE_PS;
    plan.clients = (0..count * CLIENTS)
        .map(|client| ClientPlan { place: client % count, group: 0, window: 1 })
        .collect();
    plan.payloads = vec![Bytes::from(vec![b'x'; COMMAND_BYTES])];
    plan.warm_up_ns = WARM_UP_NS;
    plan.measured_ns = MEASURED_NS;
    plan
}

fn run(system: System, plan: &Metered, place: usize, seed: u32) -> Outcome {
    let ran = simulated::run(system, plan, PATIENCE, u64::from(seed));
    let mut outcome = simulated::outcome(&ran, plan.leader_host);
    if outcome.proof == Proof::Verified {
        outcome.values.extend(simulated::percentiles(&ran.latencies_ns[place]));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;

    #[test]
    fn round_trips_are_the_same_in_both_directions() {
        for (from, row) in ROUND_TRIPS_US.iter().enumerate() {
            for (to, round_trip) in row.iter().enumerate() {
                assert_eq!(*round_trip, ROUND_TRIPS_US[to][from]);
                assert_eq!(*round_trip == 0, from == to);
            }
        }
    }

    #[test]
    fn a_client_waits_for_the_way_to_the_leader_and_for_its_nearest_majority() {
        // Leader in Virginia: the nearest of the others is Ireland.
        let outcome = run(System::Raft, &metered(3, 0), 1, 1);
        assert_eq!(outcome.proof, Proof::Verified);
        let expected_ms = 87.8 + 80.5;
        let median_ms = outcome.values[&Metric::LatencyP50] / 1e3;
        assert!((median_ms - expected_ms).abs() < 6.0, "{median_ms} ms, not {expected_ms}");
    }
}
