//! The cluster's handle: starts the threads, opens clients, injects faults, shuts down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quorate_mq::partition::SlotTable;
use quorate_mq::{Doorbell, Sender, bounded, bounded_with_doorbell};
use quorate_smr::{
    Admin, ClientId, Executor, GroupId, Protocol, Reason, ReplicaId, ReplicaSet, Seed, Setup,
    StateMachine,
};

use crate::apply::ExecutorStage;
use crate::client::{Client, ClientError, Opening};
use crate::config::{ClusterConfig, StartError};
use crate::intake::{Intake, IntakeLimits};
use crate::journal::{Journal, MemoryJournal, Recovery};
use crate::message::{Control, WorkerView};
use crate::node::ProtocolStage;
use crate::placement::{NodeIndex, Placement, Stage};
use crate::ports::{Identity, Ports};
use crate::queues;
use crate::report::{ClusterReport, ClusterStatus, NodeReport, WorkerReport};
use crate::shared::{Address, Shared};
use crate::worker::{Inbox, JournalStage, Worker};

/// Orders that wait at one worker.
const CONTROL_CAPACITY: usize = 64;
/// Hand-offs between the stages of one node that can be on their way at once, with room to spare.
const HANDS_PER_NODE: usize = 32;
/// How often the drain looks whether the replicas have settled.
const DRAIN_POLL: Duration = Duration::from_millis(1);

/// Makes the journal of a replica in a group.
pub type JournalFactory<P> =
    dyn Fn(ReplicaId, GroupId) -> Box<dyn Journal<<P as Protocol>::Record>>;

/// A running cluster of replicas of protocol `P` over state machine `S`, inside this process.
///
/// Dropping it stops the threads at once; [`Cluster::shutdown`] finishes what was begun and tells
/// what happened.
pub struct Cluster<P: Protocol, S: StateMachine> {
    config: Arc<ClusterConfig<P>>,
    shared: Arc<Shared>,
    machine: Box<dyn Fn() -> S + Send + Sync>,
    controls: Vec<Sender<Control<P, S>>>,
    threads: Vec<JoinHandle<()>>,
    /// The incarnation of each node; raised by every restart.
    incarnations: Mutex<Vec<u64>>,
    /// What clients' copies are made from.
    addresses: Mutex<Vec<Address<P>>>,
    /// The next identity to hand out where identities are fixed.
    next_fixed: AtomicU64,
    started: Instant,
}

impl<P: Protocol, S: StateMachine> std::fmt::Debug for Cluster<P, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<P: Protocol, S: StateMachine> Cluster<P, S> {
    /// Starts a cluster with journals in memory. `machine` makes each replica's state machine.
    ///
    /// # Errors
    /// When the configuration is invalid or the system refuses a thread. Nothing runs then.
    pub fn start(
        config: ClusterConfig<P>,
        machine: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let (format, cluster) = (config.journal, config.cluster);
        Self::start_with_journals(config, machine, &move |replica, group| {
            Box::new(MemoryJournal::new(format, cluster, group, replica))
        })
    }

    /// Starts a cluster whose replicas recover from, and write to, the journals that `journals`
    /// makes.
    ///
    /// # Errors
    /// As [`Cluster::start`], and when a journal does not recover.
    pub fn start_with_journals(
        config: ClusterConfig<P>,
        machine: impl Fn() -> S + Send + Sync + 'static,
        journals: &JournalFactory<P>,
    ) -> Result<Self, StartError> {
        config.validate()?;
        config.packing.hold()?;
        let config = Arc::new(config);
        let mut parts = Parts::open(&config)?;
        let machine: Box<dyn Fn() -> S + Send + Sync> = Box::new(machine);
        let workers = parts.assemble(&config, &*machine, journals)?;
        let mut cluster = Self {
            incarnations: Mutex::new(vec![1; parts.shared.placement.nodes()]),
            config,
            shared: parts.shared,
            machine,
            addresses: Mutex::new(parts.addresses),
            controls: parts.controls,
            threads: Vec::new(),
            next_fixed: AtomicU64::new(1),
            started: Instant::now(),
        };
        for (index, worker) in workers.into_iter().enumerate() {
            let thread = std::thread::Builder::new().name(format!("quorate-{index}"));
            let spawned = thread.spawn(move || worker.run());
            cluster.threads.push(spawned.map_err(|error| StartError::Thread(error.to_string()))?);
        }
        Ok(cluster)
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ClusterConfig<P> {
        &self.config
    }

    /// Opens a client: through the log where sessions are, with the next fixed identity where
    /// clients own keys. Waits until every group has a leader that answers.
    ///
    /// # Errors
    /// When no group leader answers in time, the identities are used up, or the cluster was shut
    /// down.
    pub fn client(&self) -> Result<Client<P>, ClientError> {
        let fixed = (P::reply_quorum(self.config.replicas) > 1).then(|| {
            let next = self.next_fixed.fetch_add(1, Ordering::Relaxed);
            ClientId(next)
        });
        let placement = &self.shared.placement;
        let auth = |group: u32| {
            let node = placement.node(ReplicaId(0), GroupId(group));
            P::authenticator(&setup(&self.config, node, placement)).map_err(ClientError::Keys)
        };
        let auths = (0..self.config.groups as u32).map(auth).collect::<Result<_, _>>()?;
        let config = self.config.clone();
        let (shared, addresses) = (self.shared.clone(), self.addresses.lock().clone());
        Client::open(Opening { shared, addresses, config, auths, fixed })
    }

    /// The group that serves `key`.
    #[must_use]
    pub fn group_of(&self, key: &[u8]) -> GroupId {
        self.shared.route(key)
    }

    /// Stops `replica` in all its groups as a crash does: what was not durable is lost.
    ///
    /// # Errors
    /// When there is no such replica or the cluster was shut down.
    pub fn crash(&self, replica: ReplicaId) -> Result<(), StartError> {
        self.check(replica)?;
        for control in &self.controls {
            let nodes = self.shared.placement.of_replica(replica).collect();
            ask(control, |done| Control::Crash { nodes, done })?;
        }
        Ok(())
    }

    /// Starts `replica` again from its journals, as after a crash. A replica that still runs is
    /// crashed first.
    ///
    /// # Errors
    /// When a journal does not recover, there is no such replica, or the cluster was shut down.
    pub fn restart(&self, replica: ReplicaId) -> Result<(), StartError> {
        self.crash(replica)?;
        for node in self.shared.placement.of_replica(replica) {
            self.restart_node(node)?;
        }
        Ok(())
    }

    fn restart_node(&self, node: NodeIndex) -> Result<(), StartError> {
        let placement = self.shared.placement;
        let journal = &self.controls[placement.worker(node, Stage::Journal)];
        let recovery = ask(journal, |done| Control::Reopen { node, done })?;
        let recovery = recovery.map_err(|error| StartError::Journal {
            replica: placement.replica(node),
            group: placement.group(node),
            error,
        })?;
        let machine = (self.machine)();
        let now = self.shared.clock.now();
        let started = recover(&self.config, &placement, node, recovery, machine, now)?;
        let incarnation = {
            let mut incarnations = self.incarnations.lock();
            incarnations[node.at()] += 1;
            incarnations[node.at()]
        };
        let (protocol, executor, snapshot) = started;
        ask(journal, |done| Control::StartJournal { node, incarnation, done })?;
        let stage = &self.controls[placement.worker(node, Stage::Executor)];
        ask(stage, |done| Control::StartExecutor { node, incarnation, executor, done })?;
        let stage = &self.controls[placement.worker(node, Stage::Protocol)];
        ask(stage, |done| Control::StartProtocol { node, incarnation, protocol, snapshot, done })
    }

    /// Cuts the link from one replica to another, in this direction only. Messages are dropped
    /// and counted until [`Cluster::heal`].
    ///
    /// # Errors
    /// When there is no such replica.
    pub fn pause_link(&self, from: ReplicaId, to: ReplicaId) -> Result<(), StartError> {
        self.check(from)?;
        self.check(to)?;
        self.shared.links.set(from, to, true);
        Ok(())
    }

    /// Restores all links.
    pub fn heal(&self) {
        for from in self.members().iter() {
            for to in self.members().iter() {
                self.shared.links.set(from, to, false);
            }
        }
    }

    /// Asks `at` to carry out an operator's request in `group`. `Ok`: it was taken up, or is done.
    ///
    /// # Errors
    /// Why the replica refused it; [`Reason::Invalid`] when there is no such replica or group.
    pub fn admin(&self, at: ReplicaId, group: GroupId, admin: Admin) -> Result<(), Reason> {
        if self.check(at).is_err() || group.0 as usize >= self.config.groups {
            return Err(Reason::Invalid);
        }
        let node = self.shared.placement.node(at, group);
        let worker = self.shared.placement.worker(node, Stage::Protocol);
        ask(&self.controls[worker], |done| Control::Admin { node, admin, done })
            .unwrap_or(Err(Reason::NotLeader { leader: None }))
    }

    /// What every replica and every thread says about itself at the moment.
    ///
    /// # Errors
    /// When the cluster was shut down.
    pub fn status(&self) -> Result<ClusterStatus, StartError> {
        let views =
            self.controls.iter().map(|control| ask(control, |done| Control::Status { done }));
        Ok(merge(&self.shared.placement, views.collect::<Result<Vec<_>, _>>()?))
    }

    /// Takes no more requests, finishes those that were taken in, brings all running replicas to
    /// the same slot, and stops. Answers that clients have not fetched yet stay in their queues.
    ///
    /// Waits at most [`ClusterConfig::drain_timeout`] for the replicas to settle; the report says
    /// whether they did.
    #[must_use]
    pub fn shutdown(mut self) -> ClusterReport {
        self.close_to_clients();
        let deadline = Instant::now() + self.config.drain_timeout;
        let mut settled = false;
        while !settled && Instant::now() < deadline {
            settled = self.status().is_ok_and(|status| status.is_settled());
            if !settled {
                std::thread::sleep(DRAIN_POLL);
            }
        }
        let ran = self.started.elapsed();
        let views = self.controls.iter().map(|control| ask(control, |done| Control::Stop { done }));
        let views = views.filter_map(Result::ok).collect();
        let last = merge(&self.shared.placement, views);
        self.stop();
        ClusterReport { last, settled, ran }
    }

    /// Takes no more requests from clients; those inside are still served.
    fn close_to_clients(&self) {
        for address in self.addresses.lock().iter() {
            address.clients.close();
        }
    }

    fn stop(&mut self) {
        self.close_to_clients();
        self.controls.clear();
        for thread in self.threads.drain(..) {
            let outcome = thread.join();
            if let Err(panic) = outcome
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
        self.shared.registry.clear();
    }

    fn members(&self) -> ReplicaSet {
        ReplicaSet::first(self.config.replicas)
    }

    fn check(&self, replica: ReplicaId) -> Result<(), StartError> {
        if self.members().contains(replica) {
            Ok(())
        } else {
            Err(StartError::UnknownReplica(replica))
        }
    }
}

impl<P: Protocol, S: StateMachine> Drop for Cluster<P, S> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends an order to a worker and waits for its answer.
fn ask<P: Protocol, S, T>(
    control: &Sender<Control<P, S>>,
    order: impl FnOnce(Sender<T>) -> Control<P, S>,
) -> Result<T, StartError> {
    let (done, answer) = bounded(1)?;
    control.send(order(done)).map_err(|_| StartError::Closed)?;
    answer.recv().map_err(|_| StartError::Closed)
}

fn setup<P: Protocol>(
    config: &ClusterConfig<P>,
    node: NodeIndex,
    placement: &Placement,
) -> Setup<P::Config> {
    let (replica, group) = (placement.replica(node), placement.group(node));
    let seed = Seed(config.seed.0).derive(u64::from(group.0));
    let setup = Setup::new(replica, config.replicas, seed, config.protocol.clone());
    Setup { cluster: config.cluster, group, ..setup }
}

type Started<P, S> = (Box<P>, Box<Executor<S>>, Option<crate::journal::Snapshot>);

/// Builds a replica and its state machine from what the journal remembers.
fn recover<P: Protocol, S: StateMachine>(
    config: &ClusterConfig<P>,
    placement: &Placement,
    node: NodeIndex,
    recovery: Recovery<P::Record>,
    machine: S,
    now: quorate_smr::Time,
) -> Result<Started<P, S>, StartError> {
    let (replica, group) = (placement.replica(node), placement.group(node));
    let fixed: Vec<ClientId> = if P::reply_quorum(config.replicas) > 1 {
        (1..=config.client.fixed as u64).map(ClientId).collect()
    } else {
        Vec::new()
    };
    let mut executor = Box::new(Executor::new(machine, config.sessions, &fixed));
    let (snapshot, recovered) = recovery.into_recovered();
    if let Some(snapshot) = &snapshot {
        executor.restore(&snapshot.image).map_err(|error| StartError::Snapshot {
            replica,
            group,
            reason: error.to_string(),
        })?;
    }
    let setup = setup(config, node, placement);
    let protocol = P::recover(setup, recovered, now).map_err(|error| StartError::Replica {
        replica,
        group,
        error,
    })?;
    Ok((Box::new(protocol), executor, snapshot))
}

/// The queues of a cluster that is being started.
struct Parts<P: Protocol, S: StateMachine> {
    shared: Arc<Shared>,
    addresses: Vec<Address<P>>,
    controls: Vec<Sender<Control<P, S>>>,
    inboxes: Vec<Inbox<P, S>>,
}

impl<P: Protocol, S: StateMachine> Parts<P, S> {
    fn open(config: &ClusterConfig<P>) -> Result<Self, StartError> {
        let placement =
            Placement::new(config.layout, config.replicas, config.groups, config.workers);
        let router = SlotTable::new(config.groups).map_err(|_| StartError::OutOfRange {
            what: "groups",
            value: config.groups,
            min: 1,
            max: crate::config::GROUPS_MAX,
        })?;
        let (mut addresses, mut controls, mut inboxes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..placement.workers() {
            let doorbell = Doorbell::new();
            let kind = config.queues.kind;
            let (clients, from_clients) =
                queues::open(kind, config.queues.client_messages, &doorbell)?;
            let (peers, from_peers) = queues::open(kind, config.queues.peer_messages, &doorbell)?;
            let hands = HANDS_PER_NODE * placement.nodes();
            let (internal, from_internal) = queues::open(kind, hands, &doorbell)?;
            let (control, from_control) = bounded_with_doorbell(CONTROL_CAPACITY, &doorbell)?;
            addresses.push(Address { clients, peers, internal });
            controls.push(control);
            inboxes.push(Inbox {
                clients: from_clients,
                peers: from_peers,
                internal: from_internal,
                control: from_control,
                doorbell,
            });
        }
        let crossing = (config.transport, config.cluster);
        let shared = Shared::new(placement, config.replicas, router, crossing);
        Ok(Self { shared: Arc::new(shared), addresses, controls, inboxes })
    }

    /// Builds every stage of every node and gives it to its worker.
    fn assemble(
        &mut self,
        config: &Arc<ClusterConfig<P>>,
        machine: &dyn Fn() -> S,
        journals: &JournalFactory<P>,
    ) -> Result<Vec<Worker<P, S>>, StartError> {
        let placement = self.shared.placement;
        let nodes = placement.nodes();
        let mut homes: Vec<_> = (0..placement.workers())
            .map(|_| (vacant(nodes), vacant(nodes), vacant(nodes)))
            .collect();
        for node in placement.all() {
            let (replica, group) = (placement.replica(node), placement.group(node));
            let mut journal = journals(replica, group);
            let recovery =
                journal.reopen().map_err(|error| StartError::Journal { replica, group, error })?;
            let now = self.shared.clock.now();
            let (protocol, executor, snapshot) =
                recover(config, &placement, node, recovery, machine(), now)?;
            let auth = P::authenticator(&setup(config, node, &placement))
                .map_err(|error| StartError::Replica { replica, group, error })?;
            let members = ReplicaSet::first(config.replicas);
            let all_answer = P::reply_quorum(config.replicas) > 1;
            let identity = Identity { node, replica, group, members, auth, all_answer };
            let mut stage = protocol_stage(identity.clone(), config);
            stage.start(1, protocol, snapshot);
            homes[placement.worker(node, Stage::Protocol)].0[node.at()] = Some(Box::new(stage));
            let stage = JournalStage { journal, incarnation: 1 };
            homes[placement.worker(node, Stage::Journal)].1[node.at()] = Some(Box::new(stage));
            let mut stage = ExecutorStage::new(identity);
            stage.start(1, executor);
            homes[placement.worker(node, Stage::Executor)].2[node.at()] = Some(Box::new(stage));
        }
        let workers = std::mem::take(&mut self.inboxes).into_iter().zip(homes).enumerate();
        let local_max = config.queues.peer_messages;
        Ok(workers
            .map(|(index, (inbox, (protocols, journals, executors)))| {
                let ports =
                    Ports::new(self.shared.clone(), self.addresses.clone(), index, local_max);
                Worker::new(index, inbox, ports, protocols, journals, executors)
            })
            .collect())
    }
}

fn vacant<T>(nodes: usize) -> Vec<Option<Box<T>>> {
    (0..nodes).map(|_| None).collect()
}

fn protocol_stage<P: Protocol>(
    identity: Identity<P>,
    config: &Arc<ClusterConfig<P>>,
) -> ProtocolStage<P> {
    let group = identity.group;
    let settings = config.clone();
    let make_intake = move || {
        let queues = &settings.queues;
        let limits =
            IntakeLimits { requests_max: queues.intake_requests, bytes_max: queues.intake_bytes };
        // Validated before; should memory for zstd be short now, batches travel as they are.
        let compressor = settings.packing.compressor(settings.compression).ok().flatten();
        Intake::new(group, settings.batching, compressor, limits)
    };
    let unapplied_max = config.queues.unapplied_batches;
    ProtocolStage::new(identity, Box::new(make_intake), config.retry_after(), unapplied_max)
}

/// Puts together what the workers said.
fn merge(placement: &Placement, mut views: Vec<WorkerView>) -> ClusterStatus {
    let workers = views.iter().map(|view| WorkerReport {
        worker: view.worker,
        wakeups: view.wakeups,
        handed_over: view.handed_over,
        cpu: view.account.map(|(cpu, _)| Duration::from_nanos(cpu)),
        queued: view.account.map(|(_, queued)| Duration::from_nanos(queued)),
    });
    let workers = workers.collect();
    let executors: Vec<_> = views.iter_mut().flat_map(|view| view.executors.drain(..)).collect();
    let journals: Vec<_> = views.iter_mut().flat_map(|view| view.journals.drain(..)).collect();
    let mut nodes: Vec<NodeReport> = views
        .into_iter()
        .flat_map(|view| view.protocols)
        .map(|protocol| NodeReport {
            replica: placement.replica(protocol.node),
            group: placement.group(protocol.node),
            status: protocol.status,
            failure: protocol.failure,
            waiting: protocol.waiting,
            protocol: protocol.counters,
            journal: journals
                .iter()
                .find(|(node, _)| *node == protocol.node)
                .map_or_else(Default::default, |(_, counters)| *counters),
            executor: executors
                .iter()
                .find(|(node, _)| *node == protocol.node)
                .map(|(_, report)| *report),
        })
        .collect();
    nodes.sort_by_key(|node| (node.group, node.replica));
    ClusterStatus { nodes, workers }
}
