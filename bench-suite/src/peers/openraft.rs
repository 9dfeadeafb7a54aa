//! `openraft` as three nodes of one process: tasks on a tokio runtime, calls instead of a network.
//!
//! Set up as its own benchmark and documentation say for speed: appends of up to 1,024 entries,
//! pipelined by handing the stream of requests to the follower (`stream_append`) instead of waiting
//! for each answer, a log in memory that completes its writes at once, commands in batches through
//! `client_write_many`. The version is pinned to an alpha, because the stable one does not pipeline.
//!
//! Not the same as ours: it has no sessions and no checksums, and a lone command costs several task
//! switches. In the current-thread runtime the client shares the thread with the nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::openraft::{Config, Raft};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use quorate_smr::machine::Checksum;
use tokio::runtime::{Builder, Runtime};

use crate::experiment::Outcome;
use crate::machine::process_cpu;
use crate::metric::Metric;
use crate::peers::Script;
use crate::peers::drive::Sending;
use crate::run::Proof;

mod network;
mod store;

use network::Network;
use store::{Log, Machine, Request, TypeConfig};

/// Nodes of the group.
const NODES: u64 = 3;
/// Entries in one append, as in the library's own benchmark.
const APPEND_ENTRIES_MAX: u64 = 1024;
/// Applied entries that are purged together, as there.
const PURGE_ENTRIES: u64 = 1024;
/// How long a leader, or the last entry on every node, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether every node has applied everything.
const POLL: Duration = Duration::from_millis(1);

/// The runtime that carries nodes and clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Everything on the calling thread.
    CurrentThread,
    /// Two worker threads.
    TwoWorkers,
}

impl Flavour {
    /// The name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CurrentThread => "current-thread",
            Self::TwoWorkers => "two-workers",
        }
    }

    fn runtime(self) -> std::io::Result<Runtime> {
        match self {
            Self::CurrentThread => Builder::new_current_thread().enable_time().build(),
            Self::TwoWorkers => Builder::new_multi_thread().worker_threads(2).enable_time().build(),
        }
    }
}

/// A node of the group.
type Node = Raft<TypeConfig, Machine>;

/// One repetition: a fresh group, loaded, verified and shut down.
#[must_use]
pub fn repetition(
    flavour: Flavour,
    script: &Arc<Script>,
    sending: Sending,
    times: (Duration, Duration),
) -> Outcome {
    let runtime = match flavour.runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::failed(&error),
    };
    let done = runtime.block_on(async {
        let group = Group::start().await?;
        let measured = group.load(script, sending, times).await;
        let proof = match &measured {
            Ok(measured) => group.prove(measured).await,
            Err(reason) => Err(reason.clone()),
        };
        group.shut_down().await;
        Ok::<_, String>((measured, proof))
    });
    match done {
        Ok((measured, proof)) => {
            let proof = proof.map_or_else(Proof::Failed, |()| Proof::Verified);
            let values = measured.map(|one| one.values()).unwrap_or_default();
            Outcome::new(values, proof)
        }
        Err(reason) => Outcome::failed(&reason),
    }
}

struct Group {
    nodes: Vec<Node>,
    machines: Vec<Machine>,
}

/// What clients share while they send.
#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    answered: AtomicU64,
    replies: AtomicU64,
    stopped: AtomicBool,
    error: Mutex<Option<String>>,
}

struct Measured {
    answered: u64,
    elapsed: Duration,
    cpu: Duration,
    sent: u64,
    replies: u64,
}

impl Measured {
    fn values(&self) -> std::collections::BTreeMap<Metric, f64> {
        let (commands, seconds) = (self.answered as f64, self.elapsed.as_secs_f64());
        [
            (Metric::Throughput, commands / seconds),
            (Metric::Cpu, self.cpu.as_secs_f64() / commands * 1e6),
        ]
        .into()
    }
}

impl Group {
    async fn start() -> Result<Self, String> {
        let config = Config {
            election_timeout_min: 200,
            election_timeout_max: 2000,
            max_payload_entries: APPEND_ENTRIES_MAX,
            purge_batch_size: PURGE_ENTRIES,
            ..Config::default()
        };
        let config = Arc::new(config.validate().map_err(|error| error.to_string())?);
        let network = Network::default();
        let (mut nodes, mut machines) = (Vec::new(), Vec::new());
        for id in 0..NODES {
            let machine = Machine::default();
            let (log, config) = (Log::default(), config.clone());
            let node = Raft::new(id, config, network.clone(), log, machine.clone()).await;
            let node = node.map_err(|error| error.to_string())?;
            network.join(id, node.clone());
            nodes.push(node);
            machines.push(machine);
        }
        let members: std::collections::BTreeMap<u64, ()> = (0..NODES).map(|id| (id, ())).collect();
        nodes[0].initialize(members).await.map_err(|error| error.to_string())?;
        for node in &nodes {
            let wait = node.wait(Some(PATIENCE));
            let elected = wait.current_leader(0, "the first node leads").await;
            elected.map_err(|error| error.to_string())?;
        }
        Ok(Self { nodes, machines })
    }

    /// Keeps commands in flight, each client task one or one batch.
    async fn load(
        &self,
        script: &Arc<Script>,
        sending: Sending,
        (warm_up, measured): (Duration, Duration),
    ) -> Result<Measured, String> {
        let progress = Arc::new(Progress::default());
        let clients: Vec<_> = (0..sending.in_flight / sending.batch)
            .map(|client| {
                let first = (client * sending.batch) as u64 + 1;
                let (node, script) = (self.nodes[0].clone(), script.clone());
                tokio::spawn(client_loop(node, script, sending, first, progress.clone()))
            })
            .collect();
        tokio::time::sleep(warm_up).await;
        let answered = || progress.answered.load(Ordering::Relaxed);
        let (before, begin, cpu) = (answered(), Instant::now(), process_cpu());
        tokio::time::sleep(measured).await;
        let (answered, elapsed, cpu) = (answered() - before, begin.elapsed(), process_cpu() - cpu);
        progress.stopped.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.map_err(|error| error.to_string())?;
        }
        if let Some(error) = progress.error.lock().take() {
            return Err(error);
        }
        let sent = progress.sent.load(Ordering::Relaxed);
        let replies = progress.replies.load(Ordering::Relaxed);
        Ok(Measured { answered, elapsed, cpu, sent, replies })
    }

    /// Checks that every node applied each command that was sent and no other, that all states are
    /// equal, and that the replies add up to what the nodes computed.
    async fn prove(&self, measured: &Measured) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let lags = |machine: &Machine| machine.checksum().applied() < measured.sent;
        while self.machines.iter().any(lags) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        let expected: Checksum = self.machines[0].checksum();
        for (node, machine) in self.machines.iter().enumerate() {
            let found = machine.checksum();
            if found.applied() != measured.sent {
                let sent = measured.sent;
                return Err(format!("node {node} applied {} of {sent}", found.applied()));
            }
            if found != expected {
                return Err(format!("node {node} ended in another state than node 0"));
            }
            if machine.sum_of_replies() != measured.replies {
                return Err(format!("the replies are not those that node {node} computed"));
            }
        }
        Ok(())
    }

    async fn shut_down(&self) {
        for node in &self.nodes {
            // What is left of a node ends with the runtime.
            let _ = node.shutdown().await;
        }
    }
}

async fn client_loop(
    node: Node,
    script: Arc<Script>,
    sending: Sending,
    first: u64,
    progress: Arc<Progress>,
) {
    let mut next = first;
    while !progress.stopped.load(Ordering::Relaxed) {
        let commands = script.batch(next, sending.batch);
        next += sending.in_flight as u64;
        progress.sent.fetch_add(commands.len() as u64, Ordering::Relaxed);
        match send(&node, commands).await {
            Ok(replies) => {
                progress.replies.fetch_add(replies, Ordering::Relaxed);
                progress.answered.fetch_add(commands.len() as u64, Ordering::Relaxed);
            }
            Err(error) => {
                progress.error.lock().get_or_insert(error);
                return;
            }
        }
    }
}

/// Sends commands and returns the sum of their replies.
async fn send(node: &Node, commands: &[bytes::Bytes]) -> Result<u64, String> {
    if let [command] = commands {
        let written = node.client_write(Request(command.clone())).await;
        return written.map(|written| written.data).map_err(|error| error.to_string());
    }
    let requests: Vec<Request> = commands.iter().cloned().map(Request).collect();
    let mut written = node.client_write_many(requests).await.map_err(|error| error.to_string())?;
    let (mut sum, mut count) = (0u64, 0);
    while let Some(one) = written.next().await {
        let one = one.map_err(|error| error.to_string())?;
        sum = sum.wrapping_add(one.map_err(|error| error.to_string())?.response);
        count += 1;
    }
    if count == commands.len() {
        return Ok(sum);
    }
    Err(format!("{count} of {} commands were answered", commands.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::SMALL;

    #[test]
    fn every_command_is_applied_once_everywhere_in_both_runtimes() {
        let script = Arc::new(Script::new(&SMALL));
        let times = (Duration::from_millis(1), Duration::from_millis(20));
        for flavour in [Flavour::CurrentThread, Flavour::TwoWorkers] {
            for (batch, in_flight) in [(1, 1), (1, 512), (64, 512)] {
                let outcome = repetition(flavour, &script, Sending { batch, in_flight }, times);
                assert_eq!(outcome.proof, Proof::Verified, "{flavour:?} {batch} {in_flight}");
            }
        }
    }
}
