//! Peers: our protocols against the consensus libraries that a user would pick instead, in the same
//! loops.
//!
//! Two layers. *Bare*: all replicas of a group as plain values in one loop on one thread, which is
//! what raft-rs and omnipaxos are. *Running*: a group with its threads, queues and clients, which is
//! what openraft and `hotstuff_rs` are. What others need to be built is behind the feature
//! `consensus-peers`; without it only our rows are measured.

use std::rc::Rc;
use std::time::Duration;

use quorate_mq::batcher::BatchPolicy;
use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_runtime::ClusterConfig;
use quorate_smr::Protocol;
use quorate_smr::machine::Checksum;

use crate::error::BenchError;
use crate::experiment::cluster::{Load, Prepared};
use crate::experiment::system::{Configure, SYSTEMS, System};
use crate::experiment::{Effort, Experiment, Outcome, Plan, Trial};
use crate::peers::drive::{self, Sending};
use crate::peers::ours::{Ours, Unreplicated};
use crate::peers::{COMPILED_IN, Group, Script};
use crate::run::Cell;
use crate::workload::{Payload, SMALL, Workload};

/// Commands on their way at once, where it is not one.
pub const IN_FLIGHT: usize = 512;
/// The variant of a bare group whose entries hold one command each, unless it is ours, which always
/// seals commands that leave together into one batch.
pub const BARE: &str = "bare";
/// The variant of a bare group whose application packs commands into entries.
pub const PACKED: &str = "bare-packed";
/// The variant of our protocols behind queues and threads.
pub const CLUSTER: &str = "cluster";

/// The experiment.
pub const EXPERIMENT: Experiment = Experiment {
    name: "peers",
    title: "Against other consensus libraries",
    question: "How fast are our protocols against what a user would pick instead?",
    method: "The same commands into the same state machine (a running checksum) on every replica, logs in memory, messages as values, every reply delivered and checked. Bare: all replicas in one loop on one thread, throughput by the CPU time of that thread: our cores, raft-rs and omnipaxos. Running: with threads, queues and clients, throughput by the clock: our clusters, openraft and hotstuff_rs. One at a time: the next command leaves when the one before is answered. 512 in flight: each command in an entry of its own. Batches: 512 in flight, gathered in 64s or all together, by the library's own means (batch_append, batch_size, client_write_many, blocks) or, as packed, by the application, into one entry. The best of a library's settings counts. A repetition has failed when replicas end in different states, a command was lost or applied twice, or a reply is missing or wrong.",
    on_request: !COMPILED_IN,
    plan,
};

/// How commands are sent, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The name in tables.
    pub name: &'static str,
    /// How they are sent.
    pub sending: Sending,
    /// Bytes of a value; `None` for commands of 16 bytes in all.
    pub value_bytes: Option<usize>,
}

const fn case(
    name: &'static str,
    (batch, in_flight): (usize, usize),
    value_bytes: Option<usize>,
) -> Case {
    Case { name, sending: Sending { batch, in_flight }, value_bytes }
}

/// The cases, in the order of tables.
pub const CASES: [Case; 6] = [
    case("one-at-a-time", (1, 1), None),
    case("512-in-flight", (1, IN_FLIGHT), None),
    case("batches-of-64", (64, IN_FLIGHT), None),
    case("batches-of-512", (512, IN_FLIGHT), None),
    case("batches-of-64-256B", (64, IN_FLIGHT), Some(256)),
    case("batches-of-64-1KiB", (64, IN_FLIGHT), Some(1024)),
];

impl Case {
    /// What is sent.
    #[must_use]
    pub fn workload(&self) -> Workload {
        match self.value_bytes {
            None => SMALL,
            Some(bytes) => {
                let name = if bytes < 1024 { "write-256B" } else { "write-1KiB" };
                Workload { name, payload: Payload::Noise(bytes), ..SMALL }
            }
        }
    }
}

impl Configure for Sending {
    fn configure<P: Protocol>(&self, config: &mut ClusterConfig<P>) {
        let batches = self.in_flight / self.batch;
        let bytes = batches * config.batching.bytes_max();
        let policy = match self.batch {
            1 => BatchPolicy::single().with_window(batches, bytes),
            count => BatchPolicy::adaptive()
                .with_count_max(count)
                .and_then(|policy| policy.with_window(batches, bytes)),
        };
        config.batching = policy.expect("batch sizes and windows here are above zero");
        if self.in_flight == 1 {
            config.client.chunk_requests = 1;
        }
    }
}

/// How long things take.
#[derive(Clone, Copy)]
struct Times {
    warm_up: Duration,
    measured: Duration,
}

fn plan(effort: &Effort) -> Result<Plan, BenchError> {
    let times = if effort.quick {
        Times { warm_up: Duration::from_millis(10), measured: Duration::from_millis(40) }
    } else {
        Times { warm_up: Duration::from_millis(30), measured: Duration::from_millis(150) }
    };
    let mut trials = Vec::new();
    for case in CASES {
        add_bare(&mut trials, case, times);
        add_running(&mut trials, case, times);
    }
    let settings = [
        ("replicas", "3; 4 where one may lie".to_owned()),
        ("in flight", format!("{IN_FLIGHT} commands of one client, or one")),
        ("our cluster's threads", "all replicas on one, the client on the last core".to_owned()),
    ];
    Ok(Plan {
        trials,
        repetitions: if effort.quick { 2 } else { 10 },
        measured: times.measured,
        settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
    })
}

fn add_bare(trials: &mut Vec<Trial>, case: Case, times: Times) {
    let script = Rc::new(Script::new(&case.workload()));
    for Bare { system, variant, new } in bare(case.sending) {
        let script = script.clone();
        let measure = move |_| match new() {
            Ok(mut group) => {
                let times = (times.warm_up, times.measured);
                drive::measure(&mut *group, &script, case.sending, times)
            }
            Err(error) => Outcome::failed(&error),
        };
        let cell = Cell::new(EXPERIMENT.name, system, variant, case.name);
        trials.push(Trial { cell, measure: Box::new(measure) });
    }
}

/// Makes a fresh group.
pub type NewGroup = Box<dyn Fn() -> Result<Box<dyn Group>, BenchError>>;

/// A bare group and how it is made.
pub struct Bare {
    /// The system's name in tables.
    pub system: &'static str,
    /// The setting's.
    pub variant: &'static str,
    /// Makes one.
    pub new: NewGroup,
}

/// Every bare group of this build, set up for commands that are sent like this.
#[must_use]
pub fn bare(sending: Sending) -> Vec<Bare> {
    let ours = |system, new: NewGroup| Bare { system, variant: BARE, new };
    let groups = [
        ours(System::Direct.name(), Box::new(|| Ok(Box::<Unreplicated>::default()))),
        ours(Paxos::NAME, Box::new(|| Ok(Box::new(Ours::<Paxos>::new()?)))),
        ours(Raft::NAME, Box::new(|| Ok(Box::new(Ours::<Raft>::new()?)))),
        ours(Pbft::NAME, Box::new(|| Ok(Box::new(Ours::<Pbft>::new()?)))),
    ];
    groups.into_iter().chain(others::bare(sending)).collect()
}

fn add_running(trials: &mut Vec<Trial>, case: Case, times: Times) {
    let prepared = Prepared::new(case.workload(), 1, false);
    let load = Load {
        window: case.sending.in_flight,
        warm_up: times.warm_up,
        measured: times.measured,
        probes: 0,
        probe_interval: Duration::ZERO,
    };
    for system in SYSTEMS {
        let prepared = prepared.clone();
        let measure = Box::new(move |_| {
            system.repetition(&case.sending, Checksum::default, &prepared, &load)
        });
        let cell = Cell::new(EXPERIMENT.name, system.name(), CLUSTER, case.name);
        trials.push(Trial { cell, measure });
    }
    others::add_running(trials, case, times);
}

/// The settings of other libraries.
#[cfg(feature = "consensus-peers")]
mod others {
    use std::sync::Arc;

    use super::{BARE, Bare, Case, EXPERIMENT, NewGroup, PACKED, Sending, Times, Trial};
    use crate::peers::omnipaxos::OmniPaxosGroup;
    use crate::peers::openraft::Flavour;
    use crate::peers::raft_rs::{Gathering, RaftRs};
    use crate::peers::{Script, hotstuff, openraft};
    use crate::run::Cell;

    /// The cores: as their documentation says, and where there is something to pack, packed.
    pub(super) fn bare(sending: Sending) -> Vec<Bare> {
        let raft_rs = |variant, gathering| {
            let new: NewGroup = Box::new(move || Ok(Box::new(RaftRs::new(gathering)?)));
            Bare { system: "raft-rs", variant, new }
        };
        let omnipaxos = |variant, (batch_size, packed)| {
            let new: NewGroup =
                Box::new(move || Ok(Box::new(OmniPaxosGroup::new(batch_size, packed)?)));
            Bare { system: "omnipaxos", variant, new }
        };
        if sending.batch == 1 {
            return vec![raft_rs(BARE, Gathering::Apart), omnipaxos(BARE, (1, false))];
        }
        vec![
            raft_rs(BARE, Gathering::Library),
            raft_rs(PACKED, Gathering::Packed),
            omnipaxos(BARE, (sending.batch, false)),
            omnipaxos(PACKED, (1, true)),
        ]
    }

    /// Libraries with tasks and threads of their own.
    pub(super) fn add_running(trials: &mut Vec<Trial>, case: Case, times: Times) {
        let (sending, script) = (case.sending, Arc::new(Script::new(&case.workload())));
        let times = (times.warm_up, times.measured);
        for flavour in [Flavour::CurrentThread, Flavour::TwoWorkers] {
            let script = script.clone();
            let measure = Box::new(move |_| openraft::repetition(flavour, &script, sending, times));
            let cell = Cell::new(EXPERIMENT.name, "openraft", flavour.name(), case.name);
            trials.push(Trial { cell, measure });
        }
        let measure = Box::new(move |_| hotstuff::repetition(&script, sending, times));
        let cell = Cell::new(EXPERIMENT.name, "hotstuff_rs", hotstuff::VARIANT, case.name);
        trials.push(Trial { cell, measure });
    }
}

/// Without the feature there are none.
#[cfg(not(feature = "consensus-peers"))]
mod others {
    use super::{Bare, Case, Sending, Times, Trial};

    pub(super) fn bare(_: Sending) -> Vec<Bare> {
        Vec::new()
    }

    pub(super) fn add_running(_: &mut Vec<Trial>, _: Case, _: Times) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Effort = Effort { quick: true, repetitions: None };

    #[test]
    fn no_two_trials_share_a_cell_and_every_case_has_all_of_ours_in_both_layers() {
        let plan = plan(&QUICK).unwrap();
        let mut cells: Vec<&Cell> = plan.trials.iter().map(|trial| &trial.cell).collect();
        cells.sort();
        assert!(cells.windows(2).all(|pair| pair[0] != pair[1]));
        for case in CASES {
            for system in SYSTEMS {
                for variant in [BARE, CLUSTER] {
                    let cell = Cell::new(EXPERIMENT.name, system.name(), variant, case.name);
                    assert!(cells.contains(&&cell), "{cell}");
                }
            }
        }
    }

    #[test]
    fn batches_divide_what_is_in_flight_and_the_script() {
        for case in CASES {
            assert_eq!(case.sending.in_flight % case.sending.batch, 0);
            assert_eq!(Script::COMMANDS % case.sending.in_flight, 0);
        }
    }
}
