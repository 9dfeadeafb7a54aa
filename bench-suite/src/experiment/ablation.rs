//! The ablation: every protocol with none of the optimisations, each alone, every pair, the shipped
//! default with one change at a time, and all four.
//!
//! What always holds: the default is what a cluster's configuration is unless told otherwise, with
//! frames instead of values between replicas and in journals, so that bytes and their CPU are real;
//! one more row has values too, and is the shipped configuration to the last field.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_mq::batcher::BatchPolicy;
use quorate_mq::compress::CompressionPolicy;
use quorate_runtime::{ClusterConfig, JournalFormat, Transport};
use quorate_smr::Protocol;

use crate::error::BenchError;
use crate::experiment::cluster::{Load, Prepared};
use crate::experiment::system::{Configure, PROTOCOLS};
use crate::experiment::variant::{Toggles, VALUES_VARIANT, ablation};
use crate::experiment::{Effort, Experiment, Plan, Trial};
use crate::run::Cell;
use crate::workload::YCSB_A;

/// Groups with sharding on.
pub const GROUPS: usize = 4;
/// Clients, each a thread of its own.
pub const CLIENTS: usize = 2;
/// Requests that each client keeps in flight.
pub const WINDOW: usize = 1024;
/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "ablation",
    title: "Ablation",
    question: "What does each optimisation buy each protocol, alone and beside the others, and what does it cost?",
    method: "Every protocol tolerates one fault (three replicas, PBFT four). From everything off, one optimisation is turned on, then two: the interaction factor is what two do together over the product of what each does alone. From the default that ships, one optimisation is turned over. Messages travel as encoded, checksummed frames and journals stay in memory, so that bytes and CPU are real and disks and links are not part of it. Reads are linearizable. Batching off means one command in each message and each slot, from the client on.",
    on_request: false,
    plan,
};

/// A setting of the ablation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// These optimisations, with frames between replicas and in journals.
    Frames(Toggles),
    /// The shipped configuration, unchanged.
    Shipped,
}

impl Configure for Setting {
    fn configure<P: Protocol>(&self, config: &mut ClusterConfig<P>) {
        match self {
            Self::Frames(toggles) => toggles.configure(config),
            Self::Shipped => {}
        }
    }
}

impl Configure for Toggles {
    fn configure<P: Protocol>(&self, config: &mut ClusterConfig<P>) {
        config.transport = Transport::Frames;
        config.journal = JournalFormat::Frames;
        config.groups = if self.sharding { GROUPS } else { 1 };
        config.compression =
            if self.compression { CompressionPolicy::default() } else { CompressionPolicy::Off };
        config.batching =
            if self.batching { BatchPolicy::adaptive() } else { BatchPolicy::single() };
        if !self.batching {
            config.client.chunk_requests = 1;
        }
        if !self.pipelining {
            let bytes = config.batching.bytes_max();
            config.batching = config
                .batching
                .with_window(1, bytes)
                .expect("a window of one batch holds one batch");
        }
    }
}

/// The cells of each protocol.
fn cells() -> Vec<(String, Setting)> {
    let with_frames = |(name, toggles)| (name, Setting::Frames(toggles));
    let mut cells: Vec<(String, Setting)> = ablation().into_iter().map(with_frames).collect();
    cells.push((VALUES_VARIANT.into(), Setting::Shipped));
    cells
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let load = Load {
        window: WINDOW,
        warm_up: Duration::from_millis(if effort.quick { 40 } else { 100 }),
        measured: Duration::from_millis(if effort.quick { 120 } else { 300 }),
        probes: if effort.quick { 60 } else { 100 },
        probe_interval: Duration::from_millis(2),
    };
    let mut trials = Vec::new();
    let prepared = Prepared::new(YCSB_A, CLIENTS, true);
    let store = prepared.filled_store();
    for system in PROTOCOLS {
        for (variant, setting) in cells() {
            let (prepared, store) = (prepared.clone(), store.clone());
            let measure = Box::new(move |_| {
                let store = store.clone();
                system.repetition(&setting, move || store.clone(), &prepared, &load)
            });
            let cell = Cell::new(EXPERIMENT.name, system.name(), &variant, YCSB_A.name);
            trials.push(Trial { cell, measure });
        }
    }
    Ok(Plan {
        trials,
        repetitions: if effort.quick { 2 } else { 10 },
        measured: load.measured,
        settings: settings(&load),
    })
}

fn settings(load: &Load) -> BTreeMap<String, String> {
    let default = BatchPolicy::adaptive();
    [
        ("clients", format!("{CLIENTS}, each with {WINDOW} requests in flight")),
        ("workload", "YCSB mixes over 10,000 JSON records of about 400 bytes, Zipf 0.99".into()),
        ("sharding", format!("{GROUPS} groups on the same replicas")),
        (
            "batching",
            format!(
                "what is waiting, at most {} commands and {} KiB",
                default.count_max(),
                default.bytes_max() >> 10
            ),
        ),
        ("pipelining", format!("{} batches in flight in each group", default.window_batches())),
        ("compression", "lz4 where it pays (adaptive)".into()),
        ("default", "batching and pipelining on, one group, no compression".into()),
        (
            "latency probe",
            format!("{} requests, one every {} ms", load.probes, load.probe_interval.as_millis()),
        ),
        ("threads", "all replicas on one, the clients on the last core".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
