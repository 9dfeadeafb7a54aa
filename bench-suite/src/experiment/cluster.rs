//! One repetition on a cluster: start, load, measure, probe, shut down, verify.
//!
//! The proof of a repetition is made of four parts: no request ended without an answer; all
//! replicas of each group ended at the same slot with the same state; the replicas applied exactly
//! as many commands as clients sent through the log, so that none was lost and none applied twice;
//! and the recorded history of the tracked keys, with a last read of each, is linearizable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_runtime::{Client, Cluster, ClusterConfig, ClusterReport, Layout};
use quorate_sim::lincheck::{
    KvCall, KvOperation, KvReturn, KvVerdict, Limits, Operation as Recorded, check_kv,
};
use quorate_smr::kv::KvStore;
use quorate_smr::{Protocol, ReplicaId, StateMachine};

use crate::error::BenchError;
use crate::experiment::Outcome;
use crate::experiment::load::{Driver, Script, Tally};
use crate::latency::Latencies;
use crate::machine::{Cores, process_cpu};
use crate::run::Proof;
use crate::workload::{Operation, Workload};

mod demand;
mod measured;
#[cfg(test)]
mod tests;

use self::demand::Demand;
pub use self::demand::{Load, Schedule};
use self::measured::Measured;

/// Operations generated for each client; sent again from the start when they are used up.
const OPERATIONS_PER_CLIENT: usize = 1 << 16;
/// Their bytes at most, as far as values go; large values repeat sooner.
const OPERATION_BYTES_PER_CLIENT: usize = 32 << 20;
/// Which records are tracked, as shares of all records by rank: warm ones, not the hottest, whose
/// calls would all overlap.
const TRACKED_SHARES: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8];

/// A workload generated for a number of clients.
#[derive(Debug)]
pub struct Prepared {
    /// What it was generated from.
    pub workload: Workload,
    clients: Vec<Vec<Operation>>,
    tracked: Vec<u32>,
    fill: Vec<Operation>,
}

impl Prepared {
    /// Generates `workload` for `clients` clients. With `tracked` a history is kept and checked;
    /// that needs the key-value machine.
    #[must_use]
    pub fn new(workload: Workload, clients: usize, tracked: bool) -> Arc<Self> {
        let records = f64::from(workload.records);
        let rank = |share: &f64| (records * share) as u32;
        let tracked = if tracked { TRACKED_SHARES.iter().map(rank).collect() } else { Vec::new() };
        let fits = OPERATION_BYTES_PER_CLIENT / workload.payload.bytes().max(1);
        let count = fits.clamp(1, OPERATIONS_PER_CLIENT);
        let operations = |client| workload.operations(client, count);
        Arc::new(Self {
            workload,
            clients: (0..clients as u64).map(operations).collect(),
            tracked,
            fill: workload.fill(),
        })
    }

    /// The store with every record written.
    #[must_use]
    pub fn filled_store(&self) -> KvStore {
        let mut store = KvStore::default();
        let mut reply = Vec::new();
        for operation in &self.fill {
            reply.clear();
            store.apply(&operation.command, &mut reply);
        }
        store
    }

    /// The writes that put the tracked records into the store, before all else.
    fn first_writes(&self) -> Vec<KvOperation> {
        let write = |record: &u32| {
            let operation = &self.fill[*record as usize];
            let call = KvCall::Put(operation.value().to_vec());
            let returned = Some((1, KvReturn::Written { existed: false }));
            let operation_of_key = Recorded { process: 0, call, called_at: 0, returned };
            KvOperation { key: operation.key.to_vec(), operation: operation_of_key }
        };
        self.tracked.iter().map(write).collect()
    }
}

/// Runs one repetition in closed loop. What goes wrong is in the outcome's proof.
#[must_use]
pub fn repetition<P: Protocol, S: StateMachine>(
    config: ClusterConfig<P>,
    machine: impl Fn() -> S + Send + Sync + 'static,
    prepared: &Prepared,
    load: &Load,
) -> Outcome {
    bound(config, machine, prepared, Demand::Closed(load))
}

/// Runs one repetition by `schedule`. What goes wrong is in the outcome's proof.
#[must_use]
pub fn scheduled<P: Protocol, S: StateMachine>(
    config: ClusterConfig<P>,
    machine: impl Fn() -> S + Send + Sync + 'static,
    prepared: &Prepared,
    schedule: &Schedule,
) -> Outcome {
    bound(config, machine, prepared, Demand::Open(schedule))
}

/// A repetition with threads bound to cores.
fn bound<P: Protocol, S: StateMachine>(
    config: ClusterConfig<P>,
    machine: impl Fn() -> S + Send + Sync + 'static,
    prepared: &Prepared,
    demand: Demand<'_>,
) -> Outcome {
    // Threads inherit the cores of the thread that starts them. One thread of replicas keeps off
    // the clients' core; where there are several, the system places them all.
    let cores = Cores::allowed();
    let spread = config.layout != Layout::Inline;
    if !spread {
        cores.all_but_last().bind();
    }
    let started = Cluster::start(config, machine);
    if !spread {
        cores.last().bind();
    }
    let outcome = match started {
        Ok(cluster) => on(cluster, prepared, demand),
        Err(error) => Outcome::failed(&error),
    };
    cores.bind();
    outcome
}

fn on<P: Protocol, S: StateMachine>(
    cluster: Cluster<P, S>,
    prepared: &Prepared,
    demand: Demand<'_>,
) -> Outcome {
    let clients: Result<Vec<Client<P>>, _> =
        prepared.clients.iter().map(|_| cluster.client()).collect();
    let clients = match clients {
        Ok(clients) => clients,
        Err(error) => return Outcome::failed(&error),
    };
    let measured = match measure(&cluster, clients, prepared, demand) {
        Ok(measured) => measured,
        Err(reason) => return Outcome::failed(&reason),
    };
    let report = cluster.shutdown();
    let proof = match prove(&report, &measured.tally, prepared) {
        Ok(()) => Proof::Verified,
        Err(reason) => Proof::Failed(reason),
    };
    let latencies = Latencies::of(&measured.tally.latencies);
    Outcome { values: measured.values(demand), proof, latencies }
}

/// Loads a running cluster with a number of commands and returns how long they took.
pub type Runner = Box<dyn FnMut(u64) -> Duration>;

/// A running cluster with one client, for benches: they measure and do not verify, except that
/// every command is answered.
pub(crate) fn runner<P: Protocol, S: StateMachine>(
    config: ClusterConfig<P>,
    machine: impl Fn() -> S + Send + Sync + 'static,
    prepared: Arc<Prepared>,
    window: usize,
) -> Result<Runner, BenchError> {
    let cluster =
        Cluster::start(config, machine).map_err(|error| BenchError::setup(P::NAME, &error))?;
    let mut client = Some(cluster.client().map_err(|error| BenchError::setup(P::NAME, &error))?);
    Ok(Box::new(move |commands| {
        // The cluster lives as long as its client.
        let _ = &cluster;
        let script =
            Script { operations: &prepared.clients[0], tracked: &[], origin: Instant::now() };
        let open = client.take().expect("put back after each round");
        let mut driver = Driver::new(open, script);
        let start = Instant::now();
        driver.count_loop(window, commands);
        let elapsed = start.elapsed();
        let (finished, tally) = driver.into_parts();
        assert_eq!(tally.errors, 0, "requests without an answer: {:?}", tally.error);
        client = Some(finished);
        elapsed
    }))
}

fn measure<P: Protocol, S: StateMachine>(
    cluster: &Cluster<P, S>,
    clients: Vec<Client<P>>,
    prepared: &Prepared,
    demand: Demand<'_>,
) -> Result<Measured, String> {
    let origin = Instant::now();
    let (warm_up, measured) = demand.times();
    let begin = origin + warm_up;
    let end = begin + measured;
    let status = || cluster.status().map_err(|error| error.to_string());
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .zip(&prepared.clients)
            .map(|(client, operations)| {
                let script = Script { operations, tracked: &prepared.tracked, origin };
                let mut driver = Driver::new(client, script);
                scope.spawn(move || {
                    match demand {
                        Demand::Closed(load) => driver.closed_loop(load.window, begin, end),
                        Demand::Open(schedule) => driver.open_loop(&schedule.pace()),
                    }
                    driver
                })
            })
            .collect();
        sleep_until(begin);
        let (before, cpu_before) = (status()?, process_cpu());
        sleep_until(end);
        let (after, cpu) = (status()?, process_cpu() - cpu_before);
        let joined: Result<Vec<_>, _> = threads.into_iter().map(|thread| thread.join()).collect();
        let mut drivers = joined.map_err(|_| "a client panicked")?;
        // A repetition that failed already need not wait for more requests to time out.
        let failed = drivers.iter().any(Driver::has_failed);
        if let Some(first) = drivers.first_mut().filter(|_| !failed) {
            if let Demand::Closed(load) = demand {
                first.open_loop(&load.probe());
            }
            first.read_tracked(|record| prepared.workload.key(record));
        }
        let tally = drivers.into_iter().map(Driver::finish).fold(Tally::default(), Tally::with);
        Ok(Measured { tally, cpu, before, after })
    })
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

fn prove(report: &ClusterReport, tally: &Tally, prepared: &Prepared) -> Result<(), String> {
    if tally.errors > 0 {
        let first = tally.error.as_deref().unwrap_or("unknown");
        return Err(format!("{} requests ended without an answer: {first}", tally.errors));
    }
    if !report.settled {
        return Err("the replicas did not come to the same slot in time".into());
    }
    report.verify().map_err(|error| error.to_string())?;
    let applied = applied_commands(report);
    if applied != tally.ordered {
        return Err(format!("{applied} commands were applied where {} were sent", tally.ordered));
    }
    if prepared.tracked.is_empty() {
        return Ok(());
    }
    let mut history = prepared.first_writes();
    // Two moments are taken by the first writes.
    history.extend(tally.history.iter().cloned().map(|mut entry| {
        entry.operation.called_at += 2;
        if let Some((at, _)) = &mut entry.operation.returned {
            *at += 2;
        }
        entry
    }));
    match check_kv(&history, Limits::default()) {
        KvVerdict::Linearizable => Ok(()),
        KvVerdict::Violation { key, .. } => {
            Err(format!("the history of key {} is not linearizable", String::from_utf8_lossy(&key)))
        }
        KvVerdict::GaveUp { key } => {
            Err(format!("the history check of key {} gave up", String::from_utf8_lossy(&key)))
        }
    }
}

/// Commands applied, summed over groups, each counted at the replica that applied most: one that
/// took a snapshot over from a peer applied fewer itself.
fn applied_commands(report: &ClusterReport) -> u64 {
    let mut by_group: BTreeMap<_, BTreeMap<ReplicaId, u64>> = BTreeMap::new();
    for node in &report.last.nodes {
        let commands = node.executor.map_or(0, |executor| executor.commands);
        by_group.entry(node.group).or_default().insert(node.replica, commands);
    }
    by_group.values().filter_map(|replicas| replicas.values().max()).sum()
}
