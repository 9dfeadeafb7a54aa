//! Compression against link bandwidth, in virtual time: from which bandwidth down it pays.

use std::time::Duration;

use bytes::Bytes;
use quorate_mq::batcher::BatchPolicy;
use quorate_mq::compress::CompressionPolicy;
use quorate_sim::metered::{ClientPlan, Costs, Plan as Metered};

use crate::error::BenchError;
use crate::experiment::simulated::{self, costs, kept};
use crate::experiment::system::{PROTOCOLS, System};
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial};
use crate::run::Cell;
use crate::workload::{Keys, Mix, Payload, Workload};

/// Bytes of a value.
pub const VALUE_BYTES: usize = 256;
/// Bytes of a batch, at most.
pub const BATCH_BYTES: [usize; 3] = [1 << 10, 8 << 10, 64 << 10];
/// Links, in Mbit/s.
pub const MEGABITS: [u64; 7] = [10, 30, 100, 300, 1_000, 3_000, 10_000];
/// The round trip between replicas, in microseconds.
const ROUND_TRIP_US: u64 = 500;
/// Bytes in flight, at most: what eight of the largest batches have, as shipped.
const WINDOW_BYTES: usize = 512 << 10;
/// Different payloads.
const PAYLOADS: usize = 512;
/// Commands that a run measures, about.
const COMMANDS: f64 = 16_000.0;
/// Narrow links need time until the window's queue before them is in balance.
const WARM_UP_SHARE: f64 = 0.5;
/// Queues before narrow links take seconds; they are no fault.
const PATIENCE: u32 = 200;

/// The settings compared.
pub const POLICIES: [(&str, CompressionPolicy); 3] = [
    ("off", CompressionPolicy::Off),
    ("on", CompressionPolicy::Always),
    (
        "adaptive",
        CompressionPolicy::Adaptive { bytes_min: quorate_mq::compress::ADAPTIVE_BYTES_MIN },
    ),
];

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "compression",
    title: "Compression against link bandwidth (virtual time)",
    question: "From which bandwidth down does compression pay, and does the adaptive policy know?",
    method: "In the simulator, without faults, as for the window depth: one core and one link for each host, half a millisecond between replicas, 512 KiB of batches in flight at most. Batches are compressed by the codec that ships (lz4), so that the bytes on the link are real; what compressing and opening cost was measured on this machine for each kind of payload and each batch size. Writes of 256 bytes: JSON (of cargo metadata, cut into records), mixed binary records, noise. The leader sends a copy to every follower over its one link. Off, on (every batch, the raw form is kept where it is smaller) and adaptive (pauses after batches that did not shrink by an eighth; it does not look at the link).",
    on_request: false,
    plan,
};

/// One place in the table.
#[derive(Clone, Copy, Debug)]
struct Spot {
    system: System,
    kind: &'static str,
    batch_bytes: usize,
    megabits: u64,
}

impl Spot {
    fn case(self) -> String {
        format!("{}/batch-{}/mbit-{}", self.kind, self.batch_bytes, self.megabits)
    }

    const fn byte_ps(self) -> u64 {
        8_000_000 / self.megabits
    }
}

/// The kinds of payload that are compared.
const KINDS: [&str; 3] = ["json", "mixed", "noise"];

/// The payload kinds by name, as whole commands.
fn payloads(kind: &str) -> Vec<Bytes> {
    let known = Payload::kinds(VALUE_BYTES);
    let payload = known.iter().find(|(name, _)| *name == kind);
    let workload = Workload {
        name: "compression",
        mix: Mix::W,
        keys: Keys::Uniform,
        payload: payload.map_or(Payload::Noise(VALUE_BYTES), |(_, payload)| *payload),
        records: 10_000,
        seed: 7,
    };
    let operations = workload.operations(0, PAYLOADS);
    operations.into_iter().map(|operation| operation.command).collect()
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let (systems, batches, megabits): (&[System], &[usize], &[u64]) = if effort.quick {
        (&[System::Raft], &[1 << 10, 64 << 10], &[10, 100, 1_000, 10_000])
    } else {
        (&PROTOCOLS, &BATCH_BYTES, &MEGABITS)
    };
    let mut settings = std::collections::BTreeMap::from([(
        "seed".to_owned(),
        "the number of the repetition".to_owned(),
    )]);
    let mut trials = Vec::new();
    for system in systems {
        let replicas = simulated::replicas(*system);
        let costs = costs::of(*system, replicas)?;
        settings.extend([kept::setting(system.name(), replicas, &costs)]);
        for kind in KINDS {
            let payloads = payloads(kind);
            for batch_bytes in batches {
                let codec = costs::codec(kind, &payloads, *batch_bytes);
                settings.extend([kept::codec_setting(kind, *batch_bytes, codec)]);
                let (compress_byte_ps, decompress_byte_ps) = codec;
                let costs = Costs { compress_byte_ps, decompress_byte_ps, ..costs };
                for megabits in megabits {
                    let (batch_bytes, megabits) = (*batch_bytes, *megabits);
                    let spot = Spot { system: *system, kind, batch_bytes, megabits };
                    add_trials(spot, &payloads, costs, &mut trials);
                }
            }
        }
    }
    Ok(Plan { trials, repetitions: 1, measured: Duration::ZERO, settings })
}

fn add_trials(spot: Spot, payloads: &[Bytes], costs: Costs, trials: &mut Vec<Trial>) {
    let plan = metered(spot, payloads, costs);
    for (variant, compression) in POLICIES {
        let plan = Metered { compression, ..plan.clone() };
        let measure = Box::new(move |seed| run(spot.system, &plan, seed));
        let cell = Cell::new(EXPERIMENT.name, spot.system.name(), variant, &spot.case());
        trials.push(Trial { cell, measure });
    }
}

fn metered(spot: Spot, payloads: &[Bytes], costs: Costs) -> Metered {
    let replicas = simulated::replicas(spot.system);
    let mut plan = Metered::new(replicas, ROUND_TRIP_US * 1000, 0);
    plan.costs = costs;
    plan.byte_ps = spot.byte_ps();
    plan.payloads = payloads.to_vec();
    plan.distances.jitter_ns = ROUND_TRIP_US * 20;
    let window_bytes = WINDOW_BYTES.max(spot.batch_bytes);
    plan.batching = BatchPolicy::adaptive()
        .with_bytes_max(spot.batch_bytes)
        .and_then(|policy| policy.with_window_bytes(window_bytes))
        .expect("the window holds a batch");
    // Enough to keep the link and the core busy, and no more: what waits only adds latency.
    let clients = 8;
    plan.clients = vec![ClientPlan { place: 0, group: 0, window: 512 }; clients];
    // As many commands as about the same amount of work, from what can be the limit.
    let copies = (replicas - 1) as f64;
    let command_bytes = (VALUE_BYTES + 60) as f64;
    let link_seconds = COMMANDS * command_bytes * copies * plan.byte_ps as f64 / 1e12;
    let core_seconds = COMMANDS * 3e-6;
    let measured_ns = (link_seconds.max(core_seconds) * 1e9) as u64;
    plan.measured_ns = measured_ns;
    plan.warm_up_ns = (measured_ns as f64 * WARM_UP_SHARE) as u64 + 5_000_000;
    plan
}

fn run(system: System, plan: &Metered, seed: u32) -> Outcome {
    let ran = simulated::run(system, plan, PATIENCE, u64::from(seed));
    simulated::outcome(&ran, plan.leader_host)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metric::Metric;
    use crate::run::Proof;

    /// Throughput by policy, with round costs: 2 ns for a byte compressed, 0.3 for one opened.
    fn throughputs(kind: &'static str, megabits: u64) -> BTreeMap<&'static str, f64> {
        let spot = Spot { system: System::Raft, kind, batch_bytes: 64 << 10, megabits };
        let costs = Costs { compress_byte_ps: 2_000, decompress_byte_ps: 300, ..Costs::FREE };
        let plan = metered(spot, &payloads(kind), costs);
        let throughput = |(name, compression)| {
            let outcome = run(spot.system, &Metered { compression, ..plan.clone() }, 1);
            assert_eq!(outcome.proof, Proof::Verified, "{kind}, {megabits} Mbit/s, {name}");
            (name, outcome.values[&Metric::Throughput])
        };
        POLICIES.into_iter().map(throughput).collect()
    }

    #[test]
    fn text_pays_on_narrow_links_and_costs_on_wide_ones_and_noise_never_pays() {
        let narrow = throughputs("json", 30);
        assert!(narrow["on"] > 1.3 * narrow["off"], "{narrow:?}");
        assert!(narrow["adaptive"] > 1.3 * narrow["off"], "{narrow:?}");
        let wide = throughputs("json", 10_000);
        assert!(wide["on"] < wide["off"], "{wide:?}");
        let noise = throughputs("noise", 10_000);
        assert!(noise["on"] < 0.9 * noise["off"], "{noise:?}");
        assert!(noise["adaptive"] > 0.9 * noise["off"], "{noise:?}");
    }
}
