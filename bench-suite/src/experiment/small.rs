//! Commands of 16 bytes: what agreement costs when the payload costs nothing, with and without
//! batching, against the unreplicated floor; and the trials of the curve over batch sizes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_mq::batcher::BatchPolicy;
use quorate_runtime::{ClusterConfig, QueueKind};
use quorate_smr::Protocol;
use quorate_smr::machine::Checksum;

use crate::error::BenchError;
use crate::experiment::cluster::{Load, Prepared};
use crate::experiment::system::{Configure, SYSTEMS};
use crate::experiment::{Effort, Experiment, Plan, Trial};
use crate::run::Cell;
use crate::workload::SMALL;

/// Requests that the client keeps in flight.
pub const WINDOW: usize = 2048;
/// Batches in flight where each holds one command.
const WINDOW_SINGLE: usize = 512;

/// Throughput with and without batching.
pub const EXPERIMENT: Experiment = Experiment {
    name: "small",
    title: "Small commands",
    question: "What does agreement itself cost, with and without batching?",
    method: "Commands of 16 bytes into a state machine that only keeps a checksum, one client, all replies delivered, messages between replicas as values, journals in memory. The floor is the same state machine unreplicated behind the same queues, sessions and journal. One command in a slot, 512 of them in flight: the client still gathers its requests into messages. One by one: every request is a message of its own as well. Strict queues: requests reach the replicas through the queue that is lock-free in the strict sense instead of the run-stamped ring.",
    on_request: false,
    plan: plan_small,
};

/// How commands are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gathering {
    /// The shipped default.
    Batching,
    /// One command in a slot.
    Single,
    /// One command in a slot, and in each message from a client.
    OneByOne,
    /// At most so many commands in a slot.
    AtMost(usize),
    /// The default, over queues that are lock-free in the strict sense.
    BatchingStrict,
    /// One command in a slot, over these queues.
    SingleStrict,
}

impl Configure for Gathering {
    fn configure<P: Protocol>(&self, config: &mut ClusterConfig<P>) {
        let bytes = WINDOW_SINGLE * config.batching.bytes_max();
        let single = || BatchPolicy::single().with_window(WINDOW_SINGLE, bytes);
        let policy = match self {
            Self::Batching | Self::BatchingStrict => Ok(BatchPolicy::adaptive()),
            Self::Single | Self::SingleStrict | Self::OneByOne => single(),
            Self::AtMost(count) => BatchPolicy::adaptive().with_count_max(*count),
        };
        config.batching = policy.expect("batch sizes and windows here are above zero");
        if matches!(self, Self::BatchingStrict | Self::SingleStrict) {
            config.queues.kind = QueueKind::Strict;
        }
        if *self == Self::OneByOne {
            config.client.chunk_requests = 1;
        }
    }
}

fn load(effort: &Effort) -> Load {
    Load {
        window: WINDOW,
        warm_up: Duration::from_millis(if effort.quick { 60 } else { 200 }),
        measured: Duration::from_millis(if effort.quick { 200 } else { 500 }),
        probes: 0,
        probe_interval: Duration::ZERO,
    }
}

fn plan(
    effort: &Effort,
    name: &str,
    repetitions: (u32, u32),
    cells: &[(String, String, Gathering)],
) -> Plan {
    let load = load(effort);
    let prepared = Prepared::new(SMALL, 1, false);
    let mut trials = Vec::new();
    for (variant, case, gathering) in cells {
        for system in SYSTEMS {
            let (prepared, gathering) = (prepared.clone(), *gathering);
            let measure = Box::new(move |_| {
                system.repetition(&gathering, Checksum::default, &prepared, &load)
            });
            trials.push(Trial { cell: Cell::new(name, system.name(), variant, case), measure });
        }
    }
    Plan {
        trials,
        repetitions: if effort.quick { repetitions.0 } else { repetitions.1 },
        measured: load.measured,
        settings: BTreeMap::from([
            ("clients".to_owned(), format!("1 with {WINDOW} requests in flight")),
            ("threads".to_owned(), "all replicas on one, the client on the last core".to_owned()),
        ]),
    }
}

fn plan_small(effort: &Effort) -> Result<Plan, BenchError> {
    let cells = [
        ("batching", Gathering::Batching),
        ("one-command-in-a-slot", Gathering::Single),
        ("one-by-one", Gathering::OneByOne),
        ("batching-strict-queues", Gathering::BatchingStrict),
        ("one-command-in-a-slot-strict-queues", Gathering::SingleStrict),
    ];
    let cell = |(variant, gathering): (&str, Gathering)| {
        (variant.to_owned(), SMALL.name.to_owned(), gathering)
    };
    Ok(plan(effort, EXPERIMENT.name, (3, 10), &cells.map(cell)))
}

/// The curve over batch sizes: all systems with at most so many commands in a batch.
pub(super) fn size_trials(
    experiment: &str,
    sizes: &[usize],
    prepared: &Arc<Prepared>,
    load: Load,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    for size in sizes {
        for system in SYSTEMS {
            let (prepared, gathering) = (prepared.clone(), Gathering::AtMost(*size));
            let measure = Box::new(move |_| {
                system.repetition(&gathering, Checksum::default, &prepared, &load)
            });
            let case = format!("batch-{size}");
            trials.push(Trial {
                cell: Cell::new(experiment, system.name(), "fixed", &case),
                measure,
            });
        }
    }
    trials
}
