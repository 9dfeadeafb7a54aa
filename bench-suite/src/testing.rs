//! Synthetic runs for this crate's own tests. None of their figures was measured.

use std::collections::BTreeMap;

use crate::metric::Metric;
use crate::run::{Cell, Done, Machine, Manifest, Proof, RUN_FORMAT, Run, Sample};

/// A sample of one repetition.
pub(crate) fn sample(cell: Cell, repetition: u32, values: &[(Metric, f64)]) -> Sample {
    Sample {
        cell,
        repetition,
        foreign_cpu: 0.01,
        repeats: 0,
        proof: Proof::Verified,
        values: values.iter().copied().collect(),
        latencies: None,
    }
}

/// Samples of one ablation cell, one for each throughput.
pub(crate) fn cell_samples(system: &str, variant: &str, throughputs: &[f64]) -> Vec<Sample> {
    let cell = Cell::new("ablation", system, variant, "ycsb-a");
    (1..)
        .zip(throughputs)
        .map(|(n, throughput)| sample(cell.clone(), n, &[(Metric::Throughput, *throughput)]))
        .collect()
}

/// A run with every experiment, three repetitions each.
pub(crate) fn run() -> Run {
    let mut samples = Vec::new();
    for repetition in 1..=3 {
        let wobble = 1.0 + 0.02 * f64::from(repetition);
        ablation(repetition, wobble, &mut samples);
        small(repetition, wobble, &mut samples);
        queue(repetition, wobble, &mut samples);
    }
    let done = |name: &str| Done {
        name: name.into(),
        repetitions: 3,
        measured_ms: 250,
        settings: BTreeMap::from([("clients".into(), "2".into())]),
    };
    Run {
        manifest: Manifest {
            format: RUN_FORMAT,
            id: "2026-01-02-0123456".into(),
            started: "2026-01-02 03:04".into(),
            seconds: 100,
            resumed: Vec::new(),
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            dirty: false,
            arguments: vec!["--quick".into()],
            quick: true,
            machine: Machine {
                cpu: "synthetic".into(),
                cores: 2,
                memory_bytes: 8 << 30,
                kernel: "linux 6".into(),
            },
            toolchain: "rustc 1.95.0".into(),
            peers: BTreeMap::from([("crossbeam-channel".into(), "0.5".into())]),
            foreign_cpu_max_percent: 10,
            workload_seed: 1,
            experiments: ["ablation", "small", "batching", "queue"].map(done).into(),
        },
        samples,
    }
}

fn ablation(repetition: u32, wobble: f64, samples: &mut Vec<Sample>) {
    let factors = [
        ("none", 0.15),
        ("only-batching", 0.9),
        ("only-compression", 0.14),
        ("only-sharding", 0.2),
        ("only-pipelining", 0.3),
        ("default", 1.0),
        ("without-sharding", 0.8),
        ("without-compression", 0.97),
        ("batching+compression", 0.7),
        ("batching+sharding", 0.85),
        ("compression+pipelining", 0.28),
        ("compression+sharding", 0.19),
        ("sharding+pipelining", 0.35),
        ("all", 0.75),
        ("default-as-values", 1.2),
    ];
    for (speed, system) in [(1.0e6, "paxos"), (0.9e6, "raft"), (0.4e6, "pbft")] {
        for (variant, factor) in factors {
            let values = [
                (Metric::Throughput, speed * factor * wobble),
                (Metric::LatencyP50, 40.0 / factor.sqrt() * wobble),
                (Metric::LatencyP99, 300.0 * wobble),
                (Metric::Cpu, 2e6 / (speed * factor)),
                (Metric::WireBytes, 600.0 / (1.0 + factor)),
                (Metric::Messages, 4.0 / (1.0 + 20.0 * factor)),
                (Metric::Batch, 1.0 + 40.0 * factor),
            ];
            let cell = Cell::new("ablation", system, variant, "ycsb-a");
            samples.push(sample(cell, repetition, &values));
        }
    }
}

fn queue(repetition: u32, wobble: f64, samples: &mut Vec<Sample>) {
    let mut add = |system: &str, waiting: &str, case: &str, values: &[(Metric, f64)]| {
        let cell = Cell::new("queue", system, waiting, case);
        samples.push(sample(cell, repetition, values));
    };
    for (place, system) in ["mq ring", "concurrent-queue", "heapless"].into_iter().enumerate() {
        let slowness = (place + 1) as f64;
        for case in ["single-1x1", "single-2x2", "batch-32-2x2", "idle-consumer-2x2"] {
            for (waiting, factor) in [("polite", 1.0), ("yield", 0.8)] {
                let rate = 6.0e7 * wobble / slowness * factor;
                add(system, waiting, case, &[(Metric::Rate, rate)]);
            }
        }
        add(system, "polite", "pair", &[(Metric::PairTime, 9.0 * wobble * slowness)]);
        let trip = 300.0 * wobble * slowness;
        let trips = [(Metric::RoundTripP50, trip), (Metric::RoundTripP99, trip * 4.0)];
        add(system, "spin", "round-trip-spinning", &trips);
        let bytes = [(Metric::MemoryPeak, 4e7 * slowness), (Metric::MemoryLeft, 1e6 * slowness)];
        add(system, "polite", "memory", &bytes);
    }
}

fn small(repetition: u32, wobble: f64, samples: &mut Vec<Sample>) {
    for (speed, system) in [(9e6, "direct"), (5e6, "paxos"), (4e6, "raft"), (1e6, "pbft")] {
        for (variant, factor) in [("batching", 1.0), ("no-batching", 0.12)] {
            let values = [
                (Metric::Throughput, speed * factor * wobble),
                (Metric::Cpu, 2e6 / (speed * factor)),
            ];
            let cell = Cell::new("small", system, variant, "write-16B");
            samples.push(sample(cell, repetition, &values));
        }
        for batch in [1, 4, 16, 64, 256, 1024] {
            let per_second = speed / (1.0 + 8.0 / f64::from(batch));
            let cell = Cell::new("batching", system, "fixed", &format!("batch-{batch}"));
            let values = [(Metric::Throughput, per_second * wobble)];
            samples.push(sample(cell, repetition, &values));
        }
    }
}
