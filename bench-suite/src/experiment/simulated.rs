//! Shared by the experiments in virtual time: configurations that fit a network, runs, figures.
//!
//! The runs are those of [`quorate_sim::metered`]: every host has one core, whose work takes what
//! [`costs`] measured on this machine. Given those figures and a seed (the number of the
//! repetition) a run is the same everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_paxos::{Paxos, PaxosConfig};
use quorate_pbft::{Pbft, PbftConfig};
use quorate_raft::{Raft, RaftConfig};
use quorate_sim::metered::{self, Plan};
use quorate_smr::Protocol;

use crate::experiment::Outcome;
use crate::experiment::system::System;
use crate::metric::Metric;
use crate::run::Proof;

pub mod costs;
pub mod kept;

/// How the clock of these experiments is called.
pub const CLOCK: &str = "virtual time, simulated network, CPU costs measured on this machine";

/// Replicas of a group that tolerates one fault.
#[must_use]
pub fn replicas(system: System) -> usize {
    match system {
        System::Paxos => Paxos::replicas_for(1),
        System::Raft => Raft::replicas_for(1),
        System::Pbft => Pbft::replicas_for(1),
        System::Direct => 1,
    }
}

/// How often a message must cross the network between the leader's proposal and its decision, in
/// round trips.
#[must_use]
pub const fn round_trips(system: System) -> f64 {
    match system {
        System::Paxos | System::Raft => 1.0,
        // Pre-prepare, prepare, commit (Castro and Liskov, OSDI 1999, §4.2).
        System::Pbft => 1.5,
        System::Direct => 0.0,
    }
}

/// Runs `plan` with replicas of `system`. All timeouts are `patience` times the shipped ones, so
/// that neither distance nor queues before a narrow link pass for a fault.
#[must_use]
pub fn run(system: System, plan: &Plan, patience: u32, seed: u64) -> metered::Outcome {
    match system {
        System::Paxos => metered::run::<Paxos>(&paxos(patience), plan, seed),
        System::Raft => metered::run::<Raft>(&raft(patience), plan, seed),
        System::Pbft => metered::run::<Pbft>(&pbft(patience, plan.clients.len()), plan, seed),
        System::Direct => unreachable!("one replica has no network"),
    }
}

pub(super) fn paxos(patience: u32) -> PaxosConfig {
    let usual = PaxosConfig::default();
    PaxosConfig {
        heartbeat: usual.heartbeat * patience,
        election_timeout_min: usual.election_timeout_min * patience,
        election_timeout_max: usual.election_timeout_max * patience,
        ..usual
    }
}

pub(super) fn raft(patience: u32) -> RaftConfig {
    let usual = RaftConfig::default();
    RaftConfig {
        heartbeat_interval: usual.heartbeat_interval * patience,
        election_timeout: usual.election_timeout * patience,
        election_spread: usual.election_spread * patience,
        ..usual
    }
}

pub(super) fn pbft(patience: u32, clients: usize) -> PbftConfig {
    let usual = PbftConfig::default();
    PbftConfig {
        view_change_timeout: usual.view_change_timeout * patience,
        view_change_timeout_max: usual.view_change_timeout_max * patience,
        retransmit_interval: usual.retransmit_interval * patience,
        status_interval: usual.status_interval * patience,
        clients_max: u32::try_from(clients.max(1)).unwrap_or(u32::MAX),
        ..usual
    }
}

/// How patient replicas must be where a round trip takes this long.
#[must_use]
pub fn patience_for(round_trip: Duration) -> u32 {
    u32::try_from(round_trip.as_millis().div_ceil(10)).unwrap_or(u32::MAX).max(1)
}

/// The figures of a run.
#[must_use]
pub fn outcome(ran: &metered::Outcome, leader_host: usize) -> Outcome {
    if let Err(reason) = &ran.proof {
        return Outcome::failed(reason);
    }
    let (commands, seconds) = (ran.commands as f64, ran.measured_ns as f64 / 1e9);
    if commands == 0.0 {
        return Outcome::failed(&"no command was answered in the measured time");
    }
    let batches = &ran.batches;
    let mut values = BTreeMap::from([
        (Metric::Throughput, commands / seconds),
        (Metric::Messages, ran.messages as f64 / commands),
        (Metric::WireBytes, ran.message_bytes as f64 / commands),
    ]);
    if batches.batches > 0 {
        values.insert(Metric::Batch, batches.commands as f64 / batches.batches as f64);
        let ratio = batches.raw_bytes as f64 / batches.sealed_bytes as f64;
        values.insert(Metric::CompressionRatio, ratio);
    }
    if let Some(busy) = ran.busy_ppm.get(leader_host) {
        values.insert(Metric::LeaderBusy, *busy as f64 / 1e6);
    }
    let mut latencies: Vec<u64> = ran.latencies_ns.iter().flatten().copied().collect();
    latencies.sort_unstable();
    values.extend(percentiles(&latencies));
    Outcome::new(values, Proof::Verified)
}

/// Median and 99th percentile of sorted latencies in nanoseconds, in µs.
pub fn percentiles(sorted_ns: &[u64]) -> impl Iterator<Item = (Metric, f64)> + '_ {
    [(Metric::LatencyP50, 0.5), (Metric::LatencyP99, 0.99)].into_iter().filter_map(
        move |(metric, share)| {
            let rank = (share * sorted_ns.len() as f64).ceil() as usize;
            Some((metric, *sorted_ns.get(rank.max(1) - 1)? as f64 / 1e3))
        },
    )
}
